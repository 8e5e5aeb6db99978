/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "osd/dindex.h"

#include <lmdb.h>
#include <sys/stat.h>

#include "base/log.h"
#include "osd/omap.h"
#include "proto/status.h"

#define MAP_SIZE (1ull << 40) /* address space only */
#define CACHE_BYTES_DEFAULT MIB(32)
#define AGE_NS (5 * NSEC_PER_SEC)   /* what is not urgent is written after so long */
#define SEAL_NS (NSEC_PER_SEC / 2)  /* a generation takes changes for so long */
#define READERS_MAX 16

static const uint8_t key_applied[] = { 0x00, 'a' };

struct commit {
	struct list node;
	osd_commit_fn *fn;
	void *arg;
};

struct gen {
	struct list node;
	struct omap map;
	uint64_t seq;         /* highest */
	uint64_t born_ns;
	bool urgent, used;
	struct list commits;
};

struct dindex {
	struct env *env;
	MDB_env *mdb;
	MDB_dbi dbi;
	MDB_txn *snap;        /* read snapshot of the reactor */
	MDB_cursor *cursor;
	struct gen *active;
	struct list sealed;   /* old to new */
	struct list frozen;   /* old to new; being written while writing is set */
	struct list syncs;    /* of struct commit: waiting for everything stable */
	bool writing;
	int failed;           /* the device's error: every later commit fails with it */
	uint64_t cache_bytes, stable, applied, write_seq, seq;
	struct env_timer timer;
	struct env_work work;
	int work_err;
	env_fn *applied_fn;
	void *applied_arg;
};

static int mdb_errno(int r)
{
	if (r == 0)
		return 0;
	if (r > 0)
		return -r;
	switch (r) {
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
		return -ENOSPC;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
		return -WEFT_ECORRUPT;
	case MDB_VERSION_MISMATCH:
		return -WEFT_ENEWER;
	default:
		return -EIO;
	}
}

/* ---- generations --------------------------------------------------------------------------------------- */

static struct gen *gen_new(struct dindex *x)
{
	struct gen *g = NEW(struct gen);

	omap_init(&g->map);
	list_init(&g->commits);
	list_init(&g->node);
	g->born_ns = env_mono_ns(x->env);
	return g;
}

static void gen_free(struct gen *g)
{
	struct commit *c;

	while ((c = list_pop(&g->commits, struct commit, node)))
		free(c);
	omap_done(&g->map);
	free(g);
}

static void maybe_write(struct dindex *x);

static void seal(struct dindex *x)
{
	if (!x->active->used)
		return;
	list_append(&x->sealed, &x->active->node);
	x->active = gen_new(x);
}

static uint64_t next_deadline(const struct dindex *x)
{
	const struct gen *g = !list_empty(&x->sealed) ? list_first(&x->sealed, struct gen, node) : x->active;

	return g->born_ns + AGE_NS;
}

static void tick(void *arg)
{
	struct dindex *x = arg;

	maybe_write(x);
}

static void arm(struct dindex *x)
{
	if (!x->writing && (x->active->used || !list_empty(&x->sealed)) && !env_timer_armed(&x->timer))
		env_timer_arm(x->env, &x->timer, MAX(next_deadline(x), env_mono_ns(x->env) + SEAL_NS));
}

void dindex_put(struct dindex *x, const void *key, size_t key_len, const void *value, size_t len)
{
	if (!x->active->used) {
		x->active->used = true;
		x->active->born_ns = env_mono_ns(x->env);
	}
	omap_put(&x->active->map, key, key_len, value, len);
}

void dindex_commit(struct dindex *x, uint64_t seq, bool urgent, osd_commit_fn *fn, void *arg)
{
	struct gen *g = x->active;

	if (!g->used) {
		g->used = true;
		g->born_ns = env_mono_ns(x->env);
	}
	g->seq = MAX(g->seq, seq);
	g->urgent |= urgent;
	if (fn) {
		struct commit *c = NEW(struct commit);

		*c = (struct commit){ .fn = fn, .arg = arg };
		list_append(&g->commits, &c->node);
	}
	/* A generation that journalled changes flow through must end some time, or its last seq is never stable. */
	if (g->map.bytes > x->cache_bytes / 8 || env_mono_ns(x->env) - g->born_ns > SEAL_NS)
		seal(x);
	maybe_write(x);
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

/* ---- writing ------------------------------------------------------------------------------------------- */

static int write_gen(struct dindex *x, MDB_txn *txn, const struct gen *g)
{
	for (struct omap_node *n = g->map.head[0]; n; n = omap_next(n)) {
		MDB_val key = { n->key_len, (void *)(uintptr_t)omap_key(n) }, value = { n->value_len, n->value };
		int r = n->value ? mdb_put(txn, x->dbi, &key, &value, 0) : mdb_del(txn, x->dbi, &key, NULL);

		if (r && !(r == MDB_NOTFOUND && !n->value))
			return r;
	}
	return 0;
}

/* On the helper thread. The frozen generations are not changed meanwhile. */
static void write_frozen(void *arg)
{
	struct dindex *x = arg;
	MDB_txn *txn;
	struct gen *g;
	uint8_t seq[8];
	MDB_val key = { sizeof(key_applied), (void *)(uintptr_t)key_applied }, value = { sizeof(seq), seq };
	int r = mdb_txn_begin(x->mdb, NULL, 0, &txn);

	if (r) {
		x->work_err = mdb_errno(r);
		return;
	}
	list_each (g, &x->frozen, node) {
		r = write_gen(x, txn, g);
		if (r)
			break;
	}
	wp_put_le64(seq, x->write_seq);
	if (!r)
		r = mdb_put(txn, x->dbi, &key, &value, 0);
	if (!r)
		r = mdb_txn_commit(txn);
	else
		mdb_txn_abort(txn);
	x->work_err = mdb_errno(r);
}

static int renew_snapshot(struct dindex *x)
{
	int r;

	mdb_txn_reset(x->snap);
	r = mdb_txn_renew(x->snap);
	if (!r)
		r = mdb_cursor_renew(x->snap, x->cursor);
	return mdb_errno(r);
}

static void run_commits(struct list *commits, int err)
{
	struct commit *c;

	while ((c = list_pop(commits, struct commit, node))) {
		if (c->fn)
			c->fn(c->arg, err);
		free(c);
	}
}

static bool all_written(const struct dindex *x)
{
	return list_empty(&x->frozen) &&
	       (list_empty(&x->sealed) || list_first(&x->sealed, struct gen, node)->seq > x->stable) &&
	       (!x->active->used || x->active->seq > x->stable);
}

static void written(void *arg)
{
	struct dindex *x = arg;
	struct list done, commits;
	struct gen *g;
	int r = x->work_err;

	x->writing = false;
	list_init(&done);
	list_init(&commits);
	if (r == -ENOSPC) {
		log_err("osd", "the index cannot be written: no space left on the disk; trying again");
		env_timer_in(x->env, &x->timer, NSEC_PER_SEC);
		return;
	}
	if (r < 0 && !x->failed) {
		log_err("osd", "the index cannot be written: %s", strerror(r > -1000 ? -r : EIO));
		x->failed = r;
	}
	if (!r)
		r = renew_snapshot(x);
	list_splice(&done, &x->frozen);
	while ((g = list_pop(&done, struct gen, node))) {
		list_splice(&commits, &g->commits);
		gen_free(g);
	}
	if (!x->failed)
		x->applied = MAX(x->applied, x->write_seq);
	if (all_written(x))
		list_splice(&commits, &x->syncs);
	run_commits(&commits, x->failed);
	if (x->applied_fn && !x->failed)
		x->applied_fn(x->applied_arg);
	maybe_write(x);
	arm(x);
}

/* Is there a reason to write now? */
static bool is_due(struct dindex *x)
{
	struct gen *g;
	uint64_t now = env_mono_ns(x->env);

	if (!list_empty(&x->syncs) || dindex_pending(x) > x->cache_bytes)
		return true;
	list_each (g, &x->sealed, node)
		if (g->urgent || now - g->born_ns >= AGE_NS)
			return true;
	return x->active->used && (x->active->urgent || now - x->active->born_ns >= AGE_NS);
}

static void freeze_stable(struct dindex *x)
{
	struct gen *g, *tmp;

	list_each_safe (g, tmp, &x->sealed, node) {
		if (g->seq > x->stable)
			break;
		list_del(&g->node);
		list_append(&x->frozen, &g->node);
		x->write_seq = MAX(x->write_seq, g->seq);
	}
}

static void maybe_write(struct dindex *x)
{
	if (x->writing || !is_due(x)) {
		arm(x);
		return;
	}
	if (list_empty(&x->frozen)) { /* not empty: a write that failed for want of space is tried again */
		seal(x);
		freeze_stable(x);
	}
	if (list_empty(&x->frozen)) {
		if (all_written(x))
			run_commits(&x->syncs, x->failed);
		return;
	}
	x->writing = true;
	x->work = (struct env_work){ .run = write_frozen, .done = written, .arg = x };
	env_work(x->env, &x->work);
}

void dindex_stable(struct dindex *x, uint64_t seq)
{
	if (seq <= x->stable)
		return;
	x->stable = seq;
	if (!x->writing && !list_empty(&x->sealed))
		maybe_write(x);
}

uint64_t dindex_applied(const struct dindex *x) { return x->applied; }

void dindex_on_applied(struct dindex *x, env_fn *fn, void *arg)
{
	x->applied_fn = fn;
	x->applied_arg = arg;
}

struct sync_start {
	struct dindex *x;
	struct env_task task;
};

static void sync_task(void *arg)
{
	struct sync_start *t = arg;
	struct dindex *x = t->x;

	free(t);
	maybe_write(x);
}

void dindex_sync(struct dindex *x, osd_commit_fn *fn, void *arg)
{
	struct commit *c = NEW(struct commit);
	struct sync_start *t = NEW(struct sync_start);

	*c = (struct commit){ .fn = fn, .arg = arg };
	list_append(&x->syncs, &c->node);
	/* Not from inside: with nothing to write the callback would come at once. */
	t->x = x;
	t->task = (struct env_task){ .fn = sync_task, .arg = t };
	env_post(x->env, &t->task);
}

int dindex_flush_blocking(struct dindex *x)
{
	struct gen *g;

	weft_assert(!x->writing);
	seal(x);
	freeze_stable(x);
	if (list_empty(&x->frozen))
		return 0;
	write_frozen(x);
	if (x->work_err < 0)
		return x->work_err;
	while ((g = list_pop(&x->frozen, struct gen, node)))
		gen_free(g);
	x->applied = MAX(x->applied, x->write_seq);
	return renew_snapshot(x);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static int found(const struct omap_node *n, struct osd_slice *value)
{
	if (!n->value)
		return -ENOENT;
	*value = osd_slice(n->value, n->value_len);
	return 0;
}

int dindex_get(struct dindex *x, const void *key, size_t key_len, struct osd_slice *value)
{
	MDB_val k = { key_len, (void *)(uintptr_t)key }, v;
	struct omap_node *n = omap_find(&x->active->map, key, key_len);
	const struct list *lists[] = { &x->sealed, &x->frozen };
	int r;

	if (n)
		return found(n, value);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (struct list *p = lists[i]->prev; p != lists[i]; p = p->prev) {
			n = omap_find(&list_entry(p, struct gen, node)->map, key, key_len);
			if (n)
				return found(n, value);
		}
	r = mdb_get(x->snap, x->dbi, &k, &v);
	if (r)
		return mdb_errno(r);
	*value = osd_slice(v.mv_data, v.mv_size);
	return 0;
}

static int mdb_seek(struct dindex *x, const void *key, size_t key_len, bool after, MDB_val *k, MDB_val *v)
{
	int r;

	*k = (MDB_val){ key_len, (void *)(uintptr_t)key };
	r = mdb_cursor_get(x->cursor, k, v, MDB_SET_RANGE);
	if (!r && after && !omap_compare(k->mv_data, k->mv_size, key, key_len))
		r = mdb_cursor_get(x->cursor, k, v, MDB_NEXT);
	return mdb_errno(r);
}

/* Takes n as the best candidate if its key is smaller; among equal ones the first (newest) stays. */
static void consider(const struct omap_node *n, const struct omap_node **best)
{
	if (n && (!*best || omap_compare(omap_key(n), n->key_len, omap_key(*best), (*best)->key_len) < 0))
		*best = n;
}

static const struct omap_node *overlay_seek(struct dindex *x, const void *key, size_t key_len, bool after)
{
	const struct omap_node *best = omap_seek(&x->active->map, key, key_len, after);
	const struct list *lists[] = { &x->sealed, &x->frozen };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (struct list *p = lists[i]->prev; p != lists[i]; p = p->prev)
			consider(omap_seek(&list_entry(p, struct gen, node)->map, key, key_len, after), &best);
	return best;
}

int dindex_seek(struct dindex *x, const void *key, size_t key_len, bool after, struct osd_slice *ret_key,
		struct osd_slice *value)
{
	uint8_t at[OSD_KEY_MAX + 8];

	for (;;) {
		const struct omap_node *n = overlay_seek(x, key, key_len, after);
		MDB_val k, v;
		int r = mdb_seek(x, key, key_len, after, &k, &v), c;

		if (r < 0 && r != -ENOENT)
			return r;
		if (!n && r < 0)
			return -ENOENT;
		c = !n ? 1 : r < 0 ? -1 : omap_compare(omap_key(n), n->key_len, k.mv_data, k.mv_size);
		if (c > 0) {
			*ret_key = osd_slice(k.mv_data, k.mv_size);
			*value = osd_slice(v.mv_data, v.mv_size);
			return 0;
		}
		if (n->value) {
			*ret_key = osd_slice(omap_key(n), n->key_len);
			*value = osd_slice(n->value, n->value_len);
			return 0;
		}
		/* A tombstone: go on behind it. */
		memcpy(at, omap_key(n), n->key_len);
		key = at;
		key_len = n->key_len;
		after = true;
	}
}

/* ---- open, close, checkpoint --------------------------------------------------------------------------- */

static int open_mdb(struct dindex *x, const char *path)
{
	MDB_txn *txn;
	int r = mdb_env_create(&x->mdb);

	if (r)
		return mdb_errno(r);
	r = mdb_env_set_mapsize(x->mdb, MAP_SIZE);
	if (!r)
		r = mdb_env_set_maxreaders(x->mdb, READERS_MAX);
	if (!r)
		r = mdb_env_open(x->mdb, path, MDB_NOTLS | MDB_NORDAHEAD | MDB_NOMEMINIT, 0600);
	if (!r)
		r = mdb_txn_begin(x->mdb, NULL, 0, &txn);
	if (r)
		return mdb_errno(r);
	r = mdb_dbi_open(txn, NULL, 0, &x->dbi);
	if (r) {
		mdb_txn_abort(txn);
		return mdb_errno(r);
	}
	r = mdb_txn_commit(txn);
	if (!r)
		r = mdb_txn_begin(x->mdb, NULL, MDB_RDONLY, &x->snap);
	if (!r)
		r = mdb_cursor_open(x->snap, x->dbi, &x->cursor);
	return mdb_errno(r);
}

static void free_index(struct dindex *x)
{
	if (x->cursor)
		mdb_cursor_close(x->cursor);
	if (x->snap)
		mdb_txn_abort(x->snap);
	if (x->mdb)
		mdb_env_close(x->mdb);
	if (x->active)
		gen_free(x->active);
	free(x);
}

int dindex_open(struct env *env, const char *path, uint64_t cache_bytes, struct dindex **ret)
{
	struct dindex *x = NEW(struct dindex);
	struct osd_slice v;
	int r;

	x->env = env;
	x->cache_bytes = cache_bytes ? cache_bytes : CACHE_BYTES_DEFAULT;
	list_init(&x->sealed);
	list_init(&x->frozen);
	list_init(&x->syncs);
	x->timer = (struct env_timer){ .fn = tick, .arg = x };
	x->active = gen_new(x);
	r = open_mdb(x, path);
	if (r < 0) {
		free_index(x);
		return r;
	}
	if (dindex_get(x, key_applied, sizeof(key_applied), &v) == 0 && v.len == 8)
		x->applied = x->stable = x->write_seq = wp_get_le64(v.p);
	*ret = x;
	return 0;
}

void dindex_close(struct dindex *x)
{
	struct gen *g;

	env_timer_cancel(x->env, &x->timer);
	weft_assert(!x->writing);
	seal(x);
	while ((g = list_pop(&x->sealed, struct gen, node))) {
		if (g->seq > x->stable) {
			gen_free(g);
			continue;
		}
		x->write_seq = MAX(x->write_seq, g->seq);
		list_append(&x->frozen, &g->node);
	}
	if (!list_empty(&x->frozen) && !x->failed) {
		write_frozen(x);
		if (x->work_err < 0)
			log_err("osd", "the index could not be written when closing (%d): what a journal holds is replayed",
				x->work_err);
	}
	while ((g = list_pop(&x->frozen, struct gen, node)))
		gen_free(g);
	run_commits(&x->syncs, -ECANCELED);
	free_index(x);
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
	MDB_val k = { 1, &w->prefix }, v;
	MDB_cursor *cursor;
	MDB_txn *txn;
	int r = mdb_txn_begin(w->x->mdb, NULL, MDB_RDONLY, &txn);

	if (r) {
		w->err = mdb_errno(r);
		return;
	}
	r = mdb_cursor_open(txn, w->x->dbi, &cursor);
	if (!r) {
		for (r = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE); !r && *(uint8_t *)k.mv_data == w->prefix;
		     r = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
			w->err = w->fn(w->arg, osd_slice((uint8_t *)k.mv_data + 1, k.mv_size - 1),
				       osd_slice(v.mv_data, v.mv_size));
			if (w->err)
				break;
		}
		mdb_cursor_close(cursor);
	}
	if (r && r != MDB_NOTFOUND)
		w->err = mdb_errno(r);
	mdb_txn_abort(txn);
}

static void walk_done(void *arg)
{
	struct walk *w = arg;

	w->done(w->arg, w->err);
	free(w);
}

void dindex_checkpoint(struct dindex *x, uint8_t prefix, int (*fn)(void *arg, struct osd_slice key, struct osd_slice value),
		       osd_commit_fn *done, void *arg)
{
	struct walk *w = NEW(struct walk);

	*w = (struct walk){ .x = x, .prefix = prefix, .fn = fn, .done = done, .arg = arg };
	w->work = (struct env_work){ .run = walk_run, .done = walk_done, .arg = w };
	env_work(x->env, &w->work);
}
