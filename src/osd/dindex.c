/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "osd/dindex.h"

#include "base/log.h"
#include "osd/kick.h"
#include "osd/lmdbfile.h"
#include "osd/waitwork.h"

#define CACHE_BYTES_DEFAULT MIB(32)
#define AGE_NS (10 * NSEC_PER_SEC) /* what is not urgent is written after so long */
#define SEAL_NS                                                                                                                \
	(NSEC_PER_SEC / 2) /* a generation takes a journal's changes for so long: its last seq must become stable some time */
#define RETRY_NS NSEC_PER_SEC /* after a write that found no space */
#define FROZEN_MAX 256u

static const uint8_t key_applied[] = { 0x00, 'a' };

/* One transaction of a generation. ops: what it did, as long as the generation may have to be split. */
struct commit {
	struct list node;
	uint64_t seq; /* as of its predecessors, too */
	struct osd_txn ops;
	osd_commit_fn *fn;
	void *arg;
};

struct gen {
	struct list node;
	struct omap map;
	uint64_t seq; /* highest */
	uint64_t born_ns;
	bool urgent, used;
	bool keeps_ops; /* every commit has its ops */
	struct list commits;
};

struct dindex {
	struct env *env;
	struct lmdbfile file;
	struct gen *active;
	struct list sealed; /* old to new */
	struct list frozen; /* old to new; being written while writing is set */
	bool started, writing, journaled;
	bool wanted; /* somebody waits for all that is stable */
	int failed;
	uint64_t cache_bytes, stable, applied, write_seq, seq;
	uint64_t retry_ns;
	uint64_t free_bytes, reserve; /* on the disk */
	bool tight, full;	      /* the disk is nearly full; the last write found no space */
	struct osd_txn open; /* of the transaction being put, if journaled */
	struct env_timer timer;
	struct kick *kick;
	struct list told; /* commits whose callbacks run with the next kick */
	int told_err;
	struct waitwork *work;
	int work_err;
	unsigned walks;
	void (*barrier)(void *arg, dindex_go_fn *go, void *go_arg);
	void *barrier_arg;
	env_fn *applied_fn;
	void *applied_arg;
};

static void maybe_write(struct dindex *x);

/* ---- generations ----------------------------------------------------------------- */

static struct gen *gen_new(struct dindex *x)
{
	struct gen *g = NEW(struct gen);

	omap_init(&g->map);
	list_init(&g->commits);
	list_init(&g->node);
	g->seq = x->seq;
	g->keeps_ops = x->journaled;
	return g;
}

static void commit_free(struct commit *c)
{
	osd_txn_done(&c->ops);
	free(c);
}

static void gen_free(struct gen *g)
{
	struct commit *c;

	while ((c = list_pop(&g->commits, struct commit, node)))
		commit_free(c);
	omap_done(&g->map);
	free(g);
}

static void gen_use(struct dindex *x, struct gen *g)
{
	if (g->used)
		return;
	g->used = true;
	g->born_ns = env_mono_ns(x->env);
}

static void seal(struct dindex *x)
{
	if (!x->active->used)
		return;
	list_append(&x->sealed, &x->active->node);
	x->active = gen_new(x);
}

static void apply(struct gen *g, struct commit *c)
{
	struct osd_slice key, value;
	size_t pos = 0;

	while (osd_txn_next(&c->ops, &pos, &key, &value))
		omap_put(&g->map, key.p, key.len, value.p, value.len);
	list_del(&c->node);
	list_append(&g->commits, &c->node);
	g->seq = MAX(g->seq, c->seq);
}

/* The stable part of g becomes a generation of its own in front of it; the rest is what g then is. */
static void split(struct dindex *x, struct gen *g)
{
	struct gen *a = gen_new(x);
	struct commit *c, *tmp;
	struct list all;

	list_init(&all);
	list_splice(&all, &g->commits);
	a->seq = 0;
	a->used = a->urgent = true;
	a->born_ns = g->born_ns;
	omap_done(&g->map);
	list_each_safe (c, tmp, &all, node)
		apply(c->seq <= x->stable ? a : g, c);
	list_insert(&a->node, g->node.prev, &g->node);
}

static bool has_stable_part(const struct dindex *x, const struct gen *g)
{
	return g->keeps_ops && !list_empty(&g->commits) && list_first(&g->commits, struct commit, node)->seq <= x->stable;
}

/* ---- changing ----------------------------------------------------------------- */

void dindex_put(struct dindex *x, const void *key, size_t key_len, const void *value, size_t len)
{
	weft_assert(key_len <= DINDEX_KEY_MAX);
	gen_use(x, x->active);
	omap_put(&x->active->map, key, key_len, value, len);
	if (!x->journaled)
		return;
	if (value)
		osd_txn_put(&x->open, osd_slice(key, key_len), osd_slice(value, len));
	else
		osd_txn_del(&x->open, osd_slice(key, key_len));
}

/* Each entry has its own leaf written anew, or all that there are; and what is new. */
static uint64_t need(const struct dindex *x, uint64_t n, uint64_t bytes)
{
	return MIN(n * LMDBFILE_ENTRY_COST, x->file.live + x->file.live / 4) + 2 * bytes + LMDBFILE_FIXED_COST;
}

static uint64_t room(const struct dindex *x)
{
	/* Not all that is free inside can be used by the next write: what the one before it freed cannot. */
	uint64_t reserve = lmdbfile_reserve(&x->file) + (x->file.bytes - MIN(x->file.live, x->file.bytes)) / 2;

	return x->free_bytes > UINT64_MAX - reserve ? UINT64_MAX : x->free_bytes + reserve;
}

static void add_commit(struct dindex *x, struct gen *g, osd_commit_fn *fn, void *arg)
{
	struct commit *c = NEW(struct commit);

	*c = (struct commit){ .seq = x->seq, .ops = x->open, .fn = fn, .arg = arg };
	osd_txn_init(&x->open);
	list_append(&g->commits, &c->node);
}

void dindex_begin(struct dindex *x, uint64_t seq)
{
	weft_assert(seq == OSD_SEQ_NONE || seq >= x->seq);
	if (seq == OSD_SEQ_NONE || x->journaled)
		return;
	seal(x); /* generations from here on know what each of their transactions did */
	x->journaled = true;
	x->active->keeps_ops = true;
}

void dindex_commit(struct dindex *x, uint64_t seq, bool urgent, osd_commit_fn *fn, void *arg)
{
	struct gen *g = x->active;

	weft_assert(seq == OSD_SEQ_NONE || x->journaled);
	gen_use(x, g);
	x->seq = MAX(x->seq, seq);
	g->seq = x->seq;
	g->urgent |= urgent;
	if (fn || x->journaled)
		add_commit(x, g, fn, arg);
	if (g->map.bytes > x->cache_bytes / 4 || (x->journaled && env_mono_ns(x->env) - g->born_ns > SEAL_NS) ||
	    need(x, g->map.count, g->map.bytes) > room(x) / 4)
		seal(x);
	if (!x->failed)
		maybe_write(x);
	else
		kick(x->kick);
}

uint64_t dindex_pending(const struct dindex *x)
{
	uint64_t bytes = x->active->map.bytes;
	struct gen *g;

	list_each (g, &x->sealed, node)
		bytes += g->map.bytes;
	list_each (g, &x->frozen, node)
		bytes += g->map.bytes;
	return bytes;
}

static uint64_t pending_entries(const struct dindex *x)
{
	uint64_t n = x->active->map.count;
	struct gen *g;

	list_each (g, &x->sealed, node)
		n += g->map.count;
	list_each (g, &x->frozen, node)
		n += g->map.count;
	return n;
}

bool dindex_has_room(const struct dindex *x, uint64_t n, uint64_t bytes)
{
	return need(x, pending_entries(x) + n, dindex_pending(x) + bytes) + x->reserve / 4 <= room(x);
}

void dindex_set_room(struct dindex *x, uint64_t free_bytes, uint64_t reserve, bool tight)
{
	x->free_bytes = free_bytes;
	x->reserve = reserve;
	if (tight && !x->tight && x->started) {
		env_timer_cancel(x->env, &x->timer); /* it is late: the journal needs its segments back sooner */
		kick(x->kick);
	}
	x->tight = tight;
}

uint64_t dindex_file_bytes(const struct dindex *x) { return lmdbfile_bytes(&x->file); }

/* ---- telling ----------------------------------------------------------------- */

static void tell(struct list *commits, int err)
{
	struct commit *c;

	while ((c = list_pop(commits, struct commit, node))) {
		if (c->fn)
			c->fn(c->arg, err);
		commit_free(c);
	}
}

/* Callbacks that could otherwise come from inside of a call, and all of them once the device has failed. */
static void kicked(void *arg)
{
	struct dindex *x = arg;
	struct list now;
	struct gen *g;
	int err = x->failed;

	list_init(&now);
	if (err) {
		list_each (g, &x->frozen, node)
			list_splice(&now, &g->commits);
		list_each (g, &x->sealed, node)
			list_splice(&now, &g->commits);
		list_splice(&now, &x->active->commits);
	}
	list_splice(&now, &x->told);
	tell(&now, err);
	maybe_write(x);
}

static void fail(struct dindex *x, int err)
{
	log_err("osd", "the index cannot be written: %s", strerror(err > -1000 ? -err : EIO));
	x->failed = err;
	kick(x->kick);
}

/* ---- writing ----------------------------------------------------------------- */

/* On the helper thread, or blocking. The frozen generations are not changed meanwhile. */
static void write_frozen(void *arg)
{
	struct dindex *x = arg;
	const struct omap *maps[FROZEN_MAX];
	uint64_t entries = 0, bytes = 0;
	uint8_t seq[8];
	unsigned n = 0;
	struct gen *g;

	list_each (g, &x->frozen, node) {
		maps[n++] = &g->map;
		entries += g->map.count;
		bytes += g->map.bytes;
	}
	wp_put_le64(seq, x->write_seq);
	/* With blocks of its own the write cannot find the disk full half-way. If there are none left it may still fit into pages
	 * that are free inside. */
	if (x->tight)
		(void)!lmdbfile_set_reserve(&x->file, need(x, entries, bytes));
	(void)!lmdbfile_set_reserve(&x->file, x->reserve);
	x->work_err =
		lmdbfile_write(&x->file, maps, n, osd_slice(key_applied, sizeof(key_applied)), osd_slice(seq, sizeof(seq)));
}

/* Their place is LMDB's now. */
static int retire_frozen(struct dindex *x, struct list *commits)
{
	int r = lmdbfile_renew(&x->file);
	struct gen *g;

	if (r < 0)
		return r; /* they stay readable */
	while ((g = list_pop(&x->frozen, struct gen, node))) {
		list_splice(commits, &g->commits);
		gen_free(g);
	}
	return 0;
}

static void start_write(struct dindex *x);

/* There was no space for all of it: one after the other needs less at once. */
static bool unfreeze_rest(struct dindex *x)
{
	const struct gen *first = list_first(&x->frozen, struct gen, node);
	struct list *last = x->frozen.prev;

	if (last == &first->node)
		return false;
	for (; last != &first->node; last = x->frozen.prev) {
		list_del(last);
		list_push(&x->sealed, last);
	}
	x->write_seq = MAX(x->applied, first->seq);
	return true;
}

static void no_space(struct dindex *x, int err)
{
	if (!x->full)
		log_err("osd", "the index cannot be written: %s; trying again until it can",
			err == -ENOSPC ? "no space left on the disk" : "its map is in use and cannot grow now");
	x->full = true;
	x->retry_ns = env_mono_ns(x->env) + RETRY_NS;
	env_timer_arm(x->env, &x->timer, x->retry_ns);
}

static void written(void *arg)
{
	struct dindex *x = arg;
	uint64_t applied = x->applied;
	struct list commits;
	int r = x->work_err;

	x->work = NULL;
	x->writing = false;
	list_init(&commits);
	if (r == -EXFULL && !x->walks) {
		r = lmdbfile_grow(&x->file);
		if (!r) {
			start_write(x);
			return;
		}
	}
	if (r == -ENOSPC && unfreeze_rest(x)) {
		start_write(x);
		return;
	}
	if (r == -ENOSPC || r == -EXFULL) {
		no_space(x, r);
		return;
	}
	if (!r && x->full)
		log_notice("osd", "the index is written again");
	x->full = false;
	if (!r)
		r = retire_frozen(x, &commits);
	if (r < 0) {
		fail(x, r);
		return;
	}
	x->applied = MAX(x->applied, x->write_seq);
	tell(&commits, 0);
	if (x->applied > applied && x->applied_fn)
		x->applied_fn(x->applied_arg);
	kick(x->kick); /* writes what has become due */
}

static void barrier_passed(void *arg, int err)
{
	struct dindex *x = arg;

	if (err < 0) {
		x->writing = false;
		fail(x, err);
		return;
	}
	x->work = waitwork_start(x->env, write_frozen, written, x);
}

static void start_write(struct dindex *x)
{
	x->writing = true;
	if (x->barrier)
		x->barrier(x->barrier_arg, barrier_passed, x);
	else
		barrier_passed(x, 0);
}

static uint64_t oldest_ns(const struct dindex *x)
{
	const struct gen *g = list_empty(&x->sealed) ? x->active : list_first(&x->sealed, struct gen, node);

	return g->used ? g->born_ns : UINT64_MAX;
}

static uint64_t age_max(const struct dindex *x) { return x->tight ? SEAL_NS : AGE_NS; }

/* Is there a reason to write now? */
static bool is_due(struct dindex *x)
{
	uint64_t now = env_mono_ns(x->env), oldest = oldest_ns(x);
	struct gen *g;

	if (!list_empty(&x->frozen))
		return now >= x->retry_ns;
	if (x->wanted || x->active->urgent || dindex_pending(x) > x->cache_bytes ||
	    need(x, pending_entries(x), dindex_pending(x)) > room(x) / 4 || (oldest < now && now - oldest >= age_max(x)))
		return true;
	list_each (g, &x->sealed, node)
		if (g->urgent)
			return true;
	return false;
}

static void freeze(struct dindex *x, struct gen *g)
{
	list_del(&g->node);
	list_append(&x->frozen, &g->node);
	x->write_seq = MAX(x->write_seq, g->seq);
}

/* exact: also the stable part of a generation that goes on behind it. */
static void freeze_stable(struct dindex *x, bool exact)
{
	uint64_t entries = 0, bytes = 0;

	for (unsigned n = 0; n < FROZEN_MAX && !list_empty(&x->sealed); n++) {
		struct gen *g = list_first(&x->sealed, struct gen, node);

		if (g->seq > x->stable) {
			if (!exact || !has_stable_part(x, g))
				break;
			split(x, g);
			g = list_first(&x->sealed, struct gen, node);
		}
		entries += g->map.count;
		bytes += g->map.bytes;
		if (n && need(x, entries, bytes) > room(x) / 2)
			break;
		freeze(x, g);
	}
}

static void maybe_write(struct dindex *x)
{
	uint64_t oldest = oldest_ns(x);

	if (!x->started || x->writing || x->failed)
		return;
	if (!is_due(x)) {
		if (oldest != UINT64_MAX && !env_timer_armed(&x->timer))
			env_timer_arm(x->env, &x->timer, oldest + age_max(x));
		return;
	}
	if (list_empty(&x->frozen)) { /* not empty: a write that found no space is tried again */
		seal(x);
		freeze_stable(x, x->wanted);
		x->wanted = false;
	}
	if (!list_empty(&x->frozen))
		start_write(x);
}

static void tick(void *arg) { maybe_write(arg); }

void dindex_stable(struct dindex *x, uint64_t seq)
{
	if (seq <= x->stable)
		return;
	x->stable = seq;
	if (!x->writing && !list_empty(&x->sealed))
		maybe_write(x);
}

uint64_t dindex_applied(const struct dindex *x) { return x->applied; }

int dindex_failed(const struct dindex *x) { return x->failed; }

void dindex_on_applied(struct dindex *x, env_fn *fn, void *arg)
{
	x->applied_fn = fn;
	x->applied_arg = arg;
}

/* The newest generation with anything stable in it; it is sealed afterwards. NULL: there is none. */
static struct gen *last_stable(struct dindex *x)
{
	struct gen *last = list_empty(&x->frozen) ? NULL : list_last(&x->frozen, struct gen, node), *g;

	seal(x);
	list_each (g, &x->sealed, node) {
		if (g->seq > x->stable) {
			if (has_stable_part(x, g)) {
				split(x, g);
				last = list_entry(g->node.prev, struct gen, node);
			}
			break;
		}
		last = g;
	}
	return last;
}

void dindex_sync(struct dindex *x, osd_commit_fn *fn, void *arg)
{
	struct commit *c = NEW(struct commit);
	struct gen *g = last_stable(x);

	*c = (struct commit){ .fn = fn, .arg = arg, .seq = g ? g->seq : 0 };
	osd_txn_init(&c->ops);
	if (g) {
		g->urgent = true;
		list_append(&g->commits, &c->node);
		x->wanted = true;
	} else {
		list_append(&x->told, &c->node);
	}
	kick(x->kick);
}

int dindex_flush_blocking(struct dindex *x)
{
	struct list commits;
	int r;

	weft_assert(!x->writing);
	list_init(&commits);
	seal(x);
	while (list_empty(&x->frozen)) {
		freeze_stable(x, true);
		if (list_empty(&x->frozen))
			return 0;
		do
			write_frozen(x);
		while (x->work_err == -EXFULL && !x->walks && lmdbfile_grow(&x->file) == 0);
		r = x->work_err;
		if (!r)
			r = retire_frozen(x, &commits);
		if (r < 0)
			return r;
		x->applied = MAX(x->applied, x->write_seq);
		tell(&commits, 0);
	}
	return -EBUSY;
}

/* ---- reading ----------------------------------------------------------------- */

static int found(const struct omap_entry *e, struct osd_slice *value)
{
	if (omap_is_tombstone(e))
		return -ENOENT;
	*value = osd_slice(omap_value(e), e->value_len);
	return 0;
}

int dindex_get(struct dindex *x, const void *key, size_t key_len, struct osd_slice *value)
{
	const struct omap_entry *e = omap_find(&x->active->map, key, key_len);
	const struct list *lists[] = { &x->sealed, &x->frozen };

	if (e)
		return found(e, value);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (struct list *p = lists[i]->prev; p != lists[i]; p = p->prev) {
			e = omap_find(&list_entry(p, struct gen, node)->map, key, key_len);
			if (e)
				return found(e, value);
		}
	return lmdbfile_get(&x->file, key, key_len, value);
}

/* Takes e as the best candidate if its key is smaller; among equal ones the first (newest) stays. */
static void consider(const struct omap_entry *e, const struct omap_entry **best)
{
	if (e && (!*best || omap_compare(e->bytes, e->key_len, (*best)->bytes, (*best)->key_len) < 0))
		*best = e;
}

static const struct omap_entry *overlay_seek(struct dindex *x, const void *key, size_t key_len, bool after)
{
	const struct omap_entry *best = omap_seek(&x->active->map, key, key_len, after, NULL);
	const struct list *lists[] = { &x->sealed, &x->frozen };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (struct list *p = lists[i]->prev; p != lists[i]; p = p->prev)
			consider(omap_seek(&list_entry(p, struct gen, node)->map, key, key_len, after, NULL), &best);
	return best;
}

int dindex_seek(struct dindex *x, const void *key, size_t key_len, bool after, struct osd_slice *ret_key,
		struct osd_slice *value)
{
	struct osd_slice k, v;
	int r = lmdbfile_seek(&x->file, key, key_len, after, &k, &v);

	for (;;) {
		const struct omap_entry *e = overlay_seek(x, key, key_len, after);
		int c;

		if (r < 0 && r != -ENOENT)
			return r;
		if (!e && r < 0)
			return -ENOENT;
		c = !e ? 1 : r < 0 ? -1 : omap_compare(e->bytes, e->key_len, k.p, k.len);
		if (c > 0) {
			*ret_key = k;
			*value = v;
			return 0;
		}
		if (!omap_is_tombstone(e)) {
			*ret_key = osd_slice(e->bytes, e->key_len);
			*value = osd_slice(omap_value(e), e->value_len);
			return 0;
		}
		/* A tombstone: go on behind it. */
		key = e->bytes;
		key_len = e->key_len;
		after = true;
		if (c == 0)
			r = lmdbfile_seek(&x->file, key, key_len, after, &k, &v);
	}
}

/* ---- open, close, checkpoint ----------------------------------------------------------------- */

int dindex_open(const struct dindex_params *p, struct dindex **ret)
{
	struct dindex *x = NEW(struct dindex);
	struct osd_slice v;
	int r = lmdbfile_open(&x->file, p->path, p->map_bytes);

	if (r < 0) {
		free(x);
		return r;
	}
	x->env = p->env;
	x->free_bytes = UINT64_MAX;
	x->cache_bytes = p->cache_bytes ? p->cache_bytes : CACHE_BYTES_DEFAULT;
	x->barrier = p->barrier;
	x->barrier_arg = p->barrier_arg;
	list_init(&x->sealed);
	list_init(&x->frozen);
	list_init(&x->told);
	osd_txn_init(&x->open);
	x->timer = (struct env_timer){ .fn = tick, .arg = x };
	x->kick = kick_new(p->env, kicked, x);
	if (lmdbfile_get(&x->file, key_applied, sizeof(key_applied), &v) == 0 && v.len == 8)
		x->applied = x->stable = x->write_seq = x->seq = wp_get_le64(v.p);
	x->active = gen_new(x);
	*ret = x;
	return 0;
}

void dindex_start(struct dindex *x)
{
	x->started = true;
	(void)!lmdbfile_set_reserve(&x->file, x->reserve); /* the next write tries again */
	maybe_write(x);
}

void dindex_abandon(struct dindex *x)
{
	struct gen *g;

	env_timer_cancel(x->env, &x->timer);
	kick_free(x->kick);
	waitwork_wait(x->work);
	list_splice(&x->frozen, &x->sealed);
	while ((g = list_pop(&x->frozen, struct gen, node)))
		gen_free(g);
	gen_free(x->active);
	tell(&x->told, -ECANCELED);
	osd_txn_done(&x->open);
	lmdbfile_close(&x->file);
	free(x);
}

int dindex_close(struct dindex *x)
{
	struct list commits;
	struct gen *g;
	int r = x->failed;

	weft_assert(!x->walks);
	list_init(&commits);
	if (x->work) {
		waitwork_wait(x->work);
		x->work = NULL;
		r = x->work_err ? x->work_err : retire_frozen(x, &commits);
		tell(&commits, 0);
	}
	x->writing = false;
	/* One that waited for the barrier, or for space, first. */
	if (!r && !list_empty(&x->frozen)) {
		write_frozen(x);
		r = x->work_err ? x->work_err : retire_frozen(x, &commits);
		tell(&commits, 0);
	}
	if (!r)
		r = dindex_flush_blocking(x);
	if (r < 0)
		log_err("osd", "the index could not be written when closing (%d): what a journal holds is replayed", r);
	list_each (g, &x->frozen, node)
		list_splice(&commits, &g->commits);
	list_each (g, &x->sealed, node)
		list_splice(&commits, &g->commits);
	list_splice(&commits, &x->active->commits);
	tell(&x->told, r);
	tell(&commits, r ? r : -ECANCELED);
	dindex_abandon(x);
	return r;
}

struct walk {
	struct dindex *x;
	struct env_work work;
	uint8_t prefix;
	int (*fn)(void *arg, struct osd_slice key, struct osd_slice value);
	osd_commit_fn *done;
	void *arg;
	int err;
};

static void walk_run(void *arg)
{
	struct walk *w = arg;

	w->err = lmdbfile_walk(&w->x->file, w->prefix, w->fn, w->arg);
}

static void walk_done(void *arg)
{
	struct walk *w = arg;

	w->x->walks--;
	w->done(w->arg, w->err);
	free(w);
}

void dindex_checkpoint(struct dindex *x, uint8_t prefix, int (*fn)(void *arg, struct osd_slice key, struct osd_slice value),
		       osd_commit_fn *done, void *arg)
{
	struct walk *w = NEW(struct walk);

	*w = (struct walk){ .x = x, .prefix = prefix, .fn = fn, .done = done, .arg = arg };
	w->work = (struct env_work){ .run = walk_run, .done = walk_done, .arg = w };
	x->walks++;
	env_work(x->env, &w->work);
}
