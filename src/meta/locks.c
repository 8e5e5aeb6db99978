/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * fcntl and flock locks, and the append lock: granted ones and waiting requests per inode, in memory. A request that must wait is
 * parked and answered when it is granted, cancelled, or its session ends.
 *
 * Ranges include their last byte. An owner is (session, number).
 */
#include "meta/meta_priv.h"

#define CHAIN_MAX 64u /* owners that wait for each other in a row; longer chains count as a deadlock */
#define LOCKS_PER_SESSION_MAX 100000u

enum { STAGE_GRANTED = 1, STAGE_SETTLED = 2 };

struct lock {
	struct list link; /* minode.locks, or minode.lock_waiters */
	struct list all;  /* waiters: meta_target.lock_waits */
	struct minode *m;
	struct session *ses;
	uint8_t kind, type;
	uint64_t owner, start, end, handle;
	uint32_t pid;
	struct op *op;    /* waiters */
};

static bool same_owner(const struct lock *a, const struct lock *b) { return a->ses == b->ses && a->owner == b->owner; }
static bool overlaps(const struct lock *a, const struct lock *b) { return a->start <= b->end && b->start <= a->end; }

static bool conflicts(const struct lock *a, const struct lock *b)
{
	return a->kind == b->kind && !same_owner(a, b) && overlaps(a, b) &&
	       (a->type == WP_LOCK_TYPE_WRITE || b->type == WP_LOCK_TYPE_WRITE);
}

static struct lock *find_conflict(struct minode *m, const struct lock *want)
{
	struct lock *l;

	list_each (l, &m->locks, link)
		if (conflicts(l, want))
			return l;
	return NULL;
}

/* ---- granted locks ---------------------------------------------------------------------------------------------------------------- */

static struct lock *lock_add(struct meta_target *mt, struct minode *m, const struct lock *like)
{
	struct lock *l = NEW(struct lock);

	*l = *like;
	l->m = m;
	l->op = NULL;
	list_init(&l->all);
	list_append(&m->locks, &l->link);
	l->ses->n_locks++;
	mt->counters.locks++;
	return l;
}

static void lock_free(struct meta_target *mt, struct lock *l)
{
	l->ses->n_locks--;
	mt->counters.locks--;
	list_del(&l->link);
	free(l);
}

/* Takes [start, end] of want out of everything that its owner holds. */
static void carve(struct meta_target *mt, struct minode *m, const struct lock *want)
{
	struct lock *l, *tmp;

	list_each_safe (l, tmp, &m->locks, link) {
		if (l->kind != want->kind || !same_owner(l, want) || !overlaps(l, want))
			continue;
		if (l->end > want->end && l->start < want->start) {
			lock_add(mt, m, l)->start = want->end + 1;
			l->end = want->start - 1;
		} else if (l->end > want->end) {
			l->start = want->end + 1;
		} else if (l->start < want->start) {
			l->end = want->start - 1;
		} else {
			lock_free(mt, l);
		}
	}
}

/* Joins neighbours of one type. */
static void merge(struct meta_target *mt, struct minode *m, struct lock *n)
{
	struct lock *l, *tmp;

	list_each_safe (l, tmp, &m->locks, link) {
		if (l == n || l->kind != n->kind || l->type != n->type || !same_owner(l, n))
			continue;
		if ((l->end != UINT64_MAX && l->end + 1 == n->start) || (n->end != UINT64_MAX && n->end + 1 == l->start)) {
			n->start = MIN(n->start, l->start);
			n->end = MAX(n->end, l->end);
			lock_free(mt, l);
		}
	}
}

static void lock_set(struct meta_target *mt, struct minode *m, const struct lock *want)
{
	carve(mt, m, want);
	if (want->type != WP_LOCK_TYPE_UNLOCK)
		merge(mt, m, lock_add(mt, m, want));
}

/* ---- waiting ----------------------------------------------------------------------------------------------------------------------- */

static void waiter_end(struct meta_target *mt, struct lock *w, int err)
{
	struct op *op = w->op;

	list_del(&w->link);
	list_del(&w->all);
	free(w);
	op_finish(op, err);
}

void locks_wake(struct meta_target *mt, struct minode *m)
{
	struct list granted;
	struct lock *w, *tmp;

	list_init(&granted);
	list_each_safe (w, tmp, &m->lock_waiters, link)
		if (!find_conflict(m, w)) {
			lock_set(mt, m, w);
			list_del(&w->link);
			list_append(&granted, &w->link);
		}
	while ((w = list_pop(&granted, struct lock, link))) {
		struct op *op = w->op;

		list_del(&w->all);
		free(w);
		op->stage = STAGE_GRANTED;
		op_run(op);
	}
}

/* Does anybody that blocks `want` wait, over any number of others, for an owner that is want's? */
static bool deadlocks(struct meta_target *mt, struct minode *m, const struct lock *want, const struct lock *self, unsigned depth)
{
	struct lock *held, *w;

	if (depth > CHAIN_MAX)
		return true;
	list_each (held, &m->locks, link) {
		if (!conflicts(held, want))
			continue;
		if (depth && same_owner(held, self))
			return true;
		list_each (w, &mt->lock_waits, all)
			if (w->kind == WP_LOCK_KIND_POSIX && same_owner(w, held) && deadlocks(mt, w->m, w, self, depth + 1))
				return true;
	}
	return false;
}

static int lock_wait(struct op *op, struct minode *m, const struct lock *want)
{
	struct meta_target *mt = op->mt;
	struct lock *w;

	if (want->kind == WP_LOCK_KIND_POSIX && deadlocks(mt, m, want, want, 0)) {
		mt->counters.deadlocks++;
		return -EDEADLK;
	}
	w = NEW(struct lock);
	*w = *want;
	w->m = m;
	w->op = op;
	list_append(&m->lock_waiters, &w->link);
	list_append(&mt->lock_waits, &w->all);
	mt->counters.lock_waits++;
	return OP_WAIT;
}

/* ---- ends of owners ------------------------------------------------------------------------------------------------------------------ */

static void drop_matching(struct meta_target *mt, struct minode *m, bool (*match)(const struct lock *l, const void *arg),
			  const void *arg, int err)
{
	struct lock *l, *tmp;

	list_each_safe (l, tmp, &m->locks, link)
		if (match(l, arg))
			lock_free(mt, l);
	list_each_safe (l, tmp, &m->lock_waiters, link)
		if (match(l, arg))
			waiter_end(mt, l, err);
	locks_wake(mt, m);
}

static bool of_session(const struct lock *l, const void *arg) { return l->ses == arg; }

static bool of_handle(const struct lock *l, const void *arg)
{
	const struct handle *h = arg;

	return l->kind != WP_LOCK_KIND_POSIX && l->ses == h->ses && l->handle == h->id;
}

void locks_handle_closed(struct meta_target *mt, struct handle *h) { drop_matching(mt, h->m, of_handle, h, -EINTR); }

struct gone {
	struct meta_target *mt;
	struct session *ses;
	bool found;
};

static bool session_locks(struct htab_node *n, void *arg)
{
	struct minode *m = container_of(n, struct minode, node);
	struct gone *g = arg;
	struct lock *l;

	list_each (l, &m->locks, link)
		g->found |= l->ses == g->ses;
	list_each (l, &m->lock_waiters, link)
		g->found |= l->ses == g->ses;
	if (!g->found)
		return true;
	drop_matching(g->mt, m, of_session, g->ses, -WEFT_ENOSESSION);
	minode_put(g->mt, m);
	return false; /* the table may have changed: again from the start */
}

void locks_session_gone(struct meta_target *mt, struct session *ses)
{
	struct gone g = { .mt = mt, .ses = ses };

	do {
		g.found = false;
		htab_each(&mt->minodes, session_locks, &g);
	} while (g.found);
}

void locks_free(struct meta_target *mt, struct minode *m)
{
	struct lock *l;

	while (!list_empty(&m->locks))
		lock_free(mt, list_first(&m->locks, struct lock, link));
	while ((l = list_pop(&m->lock_waiters, struct lock, link)))
		waiter_end(mt, l, -ECANCELED);
}

/* ---- handlers ------------------------------------------------------------------------------------------------------------------------ */

static int lock_parse(struct session *ses, uint8_t kind, uint8_t type, uint64_t owner, uint64_t start, uint64_t end,
		      struct lock *ret)
{
	if (kind < WP_LOCK_KIND_POSIX || kind > WP_LOCK_KIND_APPEND || type < WP_LOCK_TYPE_READ || type > WP_LOCK_TYPE_UNLOCK ||
	    start > end)
		return -EINVAL;
	*ret = (struct lock){ .ses = ses, .kind = kind, .type = type, .owner = owner, .start = start, .end = end };
	if (kind != WP_LOCK_KIND_POSIX) {
		ret->start = 0;
		ret->end = UINT64_MAX;
	}
	if (kind == WP_LOCK_KIND_APPEND && type == WP_LOCK_TYPE_READ)
		return -EINVAL;
	return 0;
}

/* The size at the grant of an append lock: asked of the objects if anybody writes. */
static int append_size(struct op *op, const struct wp_fid *fid, uint64_t *size)
{
	struct inode *i;
	int err = inode_get(op, fid, &i);

	if (!err)
		err = entry_wait(op, i);
	if (err)
		return err;
	if (i->flags & INO_WRITING && op->stage != STAGE_SETTLED) {
		op->stage = STAGE_SETTLED;
		settle_start(op->mt, fid);
		op_wait_job(op, minode_find(op->mt, fid));
		return OP_WAIT;
	}
	*size = i->size;
	return 0;
}

static int lock_acquire(struct op *op, const struct wp_lock_req *m, const struct lock *want)
{
	struct meta_target *mt = op->mt;
	struct inode *i;
	struct minode *mi;
	int err = inode_get(op, &m->fid, &i);

	if (err)
		return err;
	if (want->type != WP_LOCK_TYPE_UNLOCK) {
		if (mt->grace)
			return -WEFT_ENOTREADY;
		if (op->ses->n_locks >= LOCKS_PER_SESSION_MAX)
			return -ENOLCK;
	}
	mi = minode_get(mt, &m->fid);
	if (want->type == WP_LOCK_TYPE_UNLOCK || !find_conflict(mi, want)) {
		lock_set(mt, mi, want);
		locks_wake(mt, mi); /* a lock given up, or made weaker */
		err = 0;
	} else {
		err = m->wait ? lock_wait(op, mi, want) : -EAGAIN;
	}
	minode_put(mt, mi);
	return err;
}

int meta_lock(struct op *op)
{
	struct wp_lock_rep rep = { 0 };
	struct lock want;
	int err = 0;

	META_REQ(op, lock, m);
	err = lock_parse(op->ses, m->kind, m->type, m->owner, m->start, m->end, &want);
	if (err)
		return err;
	want.pid = m->pid;
	want.handle = m->handle;
	if (!op->stage)
		err = lock_acquire(op, m, &want);
	if (err)
		return err;
	if (!op->stage)
		op->stage = STAGE_GRANTED;
	if (m->kind == WP_LOCK_KIND_APPEND && m->type == WP_LOCK_TYPE_WRITE)
		err = append_size(op, &m->fid, &rep.size);
	if (err)
		return err;
	wp_lock_rep_enc(op_enc(op, 64), &rep);
	return 0;
}

int meta_lock_test(struct op *op)
{
	struct wp_lock_test_rep rep = { .type = WP_LOCK_TYPE_UNLOCK };
	struct minode *mi;
	struct lock want;
	int err;

	META_REQ(op, lock_test, m);
	err = lock_parse(op->ses, m->kind, m->type, m->owner, m->start, m->end, &want);
	if (err)
		return err;
	if (op->mt->grace)
		return -WEFT_ENOTREADY;
	mi = minode_find(op->mt, &m->fid);
	if (mi && want.type != WP_LOCK_TYPE_UNLOCK) {
		const struct lock *l = find_conflict(mi, &want);

		if (l)
			rep = (struct wp_lock_test_rep){ .type = l->type, .start = l->start, .end = l->end, .pid = l->pid };
	}
	wp_lock_test_rep_enc(op_enc(op, 64), &rep);
	return 0;
}

static bool of_request(const struct lock *l, const void *arg)
{
	const struct lock *want = arg;

	return l->op && l->kind == want->kind && same_owner(l, want) && l->start == want->start && l->end == want->end;
}

static bool of_owner(const struct lock *l, const void *arg)
{
	const struct lock *want = arg;

	return l->kind == want->kind && same_owner(l, want);
}

int meta_lock_cancel(struct op *op)
{
	struct minode *mi;
	struct lock want;
	int err;

	META_REQ(op, lock_cancel, m);
	err = lock_parse(op->ses, m->kind, WP_LOCK_TYPE_WRITE, m->owner, m->start, m->end, &want);
	if (err)
		return err;
	mi = minode_find(op->mt, &m->fid);
	if (mi) {
		drop_matching(op->mt, mi, of_request, &want, -EINTR);
		minode_put(op->mt, mi);
	}
	wp_lock_cancel_rep_enc(op_enc(op, 64), &(struct wp_lock_cancel_rep){ 0 });
	return 0;
}

int meta_lock_release_owner(struct op *op)
{
	struct minode *mi;
	struct lock want;
	int err;

	META_REQ(op, lock_release_owner, m);
	err = lock_parse(op->ses, m->kind, WP_LOCK_TYPE_WRITE, m->owner, 0, UINT64_MAX, &want);
	if (err)
		return err;
	mi = minode_find(op->mt, &m->fid);
	if (mi) {
		drop_matching(op->mt, mi, of_owner, &want, -EINTR);
		minode_put(op->mt, mi);
	}
	wp_lock_release_owner_rep_enc(op_enc(op, 64), &(struct wp_lock_release_owner_rep){ 0 });
	return 0;
}

int lock_reclaim(struct session *ses, struct meta_target *mt, const struct wp_lock_ref *r)
{
	struct minode *mi;
	struct lock want;
	int err = lock_parse(ses, r->kind, r->type, r->owner, r->start, r->end, &want);

	if (err || want.type == WP_LOCK_TYPE_UNLOCK)
		return -EINVAL;
	if (!wp_fid_valid(&r->fid) || inode_exists(mt, &r->fid))
		return -ESTALE;
	want.pid = r->pid;
	mi = minode_get(mt, &r->fid);
	err = find_conflict(mi, &want) ? -EAGAIN : 0;
	if (!err)
		lock_set(mt, mi, &want);
	minode_put(mt, mi);
	return err;
}
