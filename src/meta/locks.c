/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Lock requests: those that must wait are parked, and run again when locktab.c grants them. */
#include "meta/meta_priv.h"

#define LOCKS_MAX 4000000u /* of a target, about 1 GiB */

enum { STAGE_GRANTED = 1, STAGE_SETTLED = 2 };

struct parked {
	struct lock_wait w;
	struct op *op;
};

static int spec_of(const struct session *ses, uint8_t kind, uint8_t type, uint64_t owner, uint64_t start, uint64_t end,
		   struct lock_spec *ret)
{
	if (kind < WP_LOCK_KIND_POSIX || kind > WP_LOCK_KIND_APPEND || type < WP_LOCK_TYPE_READ || type > WP_LOCK_TYPE_UNLOCK ||
	    start > end || (kind == WP_LOCK_KIND_APPEND && type == WP_LOCK_TYPE_READ))
		return -EINVAL;
	*ret = (struct lock_spec){ .kind = kind, .type = type, .owner = { ses->id, owner }, .start = start, .end = end };
	if (kind != WP_LOCK_KIND_POSIX) {
		ret->start = 0;
		ret->end = UINT64_MAX;
	}
	return 0;
}

static void wait_over(struct lock_wait *w, int err)
{
	struct parked *p = container_of(w, struct parked, w);
	struct op *op = p->op;

	free(p);
	if (err) {
		mop_finish(op, err == -ESTALE ? -WEFT_ENOSESSION : err);
		return;
	}
	op->stage = STAGE_GRANTED;
	mop_run(op);
}

/* The size at the grant of an append lock: asked of the objects if anybody writes. */
static int append_size(struct op *op, const struct wp_fid *fid, uint64_t *size)
{
	struct inode *i;
	int err = ino_get(op, fid, &i);

	if (!err)
		err = entry_wait(op, i);
	if (err)
		return err;
	if (i->flags & INO_WRITING && op->stage != STAGE_SETTLED) {
		op->stage = STAGE_SETTLED;
		settle_start(op->mt, fid);
		mop_wait_job(op, minode_find(op->mt, fid));
		return OP_WAIT;
	}
	*size = i->size;
	return 0;
}

/* The same request waits already, sent before its connection was lost: both are answered together. */
static bool join_waiting(struct op *op, const struct wp_fid *fid, const struct lock_spec *spec)
{
	struct lock_wait *w = locktab_find_wait(&op->mt->locks, fid, spec->kind, &spec->owner, spec->start, spec->end);
	struct op *first;

	if (!w || w->spec.type != spec->type)
		return false;
	first = container_of(w, struct parked, w)->op;
	op->twin = first->twin;
	first->twin = op;
	op->mt->counters.resent_joined++;
	return true;
}

static int acquire(struct op *op, const struct wp_lock_req *m)
{
	struct meta_target *mt = op->mt;
	struct parked *p = NULL;
	struct lock_spec spec;
	struct inode *i;
	int err = spec_of(op->ses, m->kind, m->type, m->owner, m->start, m->end, &spec);

	if (!err)
		err = ino_get(op, &m->fid, &i);
	if (err)
		return err;
	spec.pid = m->pid;
	if (m->type != WP_LOCK_TYPE_UNLOCK) {
		/* Locks that have not been told again may be in the way. */
		if (mt->grace)
			return -WEFT_ENOTREADY;
		if (mt->locks.count >= LOCKS_MAX)
			return -ENOLCK;
	}
	if (m->wait && m->type != WP_LOCK_TYPE_UNLOCK) {
		if (join_waiting(op, &m->fid, &spec))
			return OP_WAIT;
		p = NEW(struct parked);
		p->op = op;
		p->w.done = wait_over;
	}
	err = locktab_set(&mt->locks, &m->fid, &spec, p ? &p->w : NULL);
	if (err == -EINPROGRESS) {
		mt->counters.lock_waits++;
		return OP_WAIT;
	}
	free(p);
	mt->counters.deadlocks += err == -EDEADLK;
	return err;
}

int meta_lock(struct op *op)
{
	struct wp_lock_rep rep = { 0 };
	int err = 0;

	META_REQ(op, lock, m);
	if (!op->stage)
		err = acquire(op, m);
	if (err)
		return err;
	if (!op->stage)
		op->stage = STAGE_GRANTED;
	if (m->kind == WP_LOCK_KIND_APPEND && m->type == WP_LOCK_TYPE_WRITE)
		err = append_size(op, &m->fid, &rep.size);
	if (err)
		return err;
	wp_lock_rep_enc(mop_enc(op, 64), &rep);
	return 0;
}

int meta_lock_test(struct op *op)
{
	struct wp_lock_test_rep rep = { .type = WP_LOCK_TYPE_UNLOCK };
	struct lock_spec spec, found;
	int err;

	META_REQ(op, lock_test, m);
	err = spec_of(op->ses, m->kind, m->type, m->owner, m->start, m->end, &spec);
	if (err)
		return err;
	if (op->mt->grace)
		return -WEFT_ENOTREADY;
	if (m->type != WP_LOCK_TYPE_UNLOCK && locktab_test(&op->mt->locks, &m->fid, &spec, &found))
		rep = (struct wp_lock_test_rep){ .type = found.type, .start = found.start, .end = found.end, .pid = found.pid };
	wp_lock_test_rep_enc(mop_enc(op, 64), &rep);
	return 0;
}

int meta_lock_cancel(struct op *op)
{
	struct lock_spec spec;
	struct lock_wait *w;
	int err;

	META_REQ(op, lock_cancel, m);
	err = spec_of(op->ses, m->kind, WP_LOCK_TYPE_WRITE, m->owner, m->start, m->end, &spec);
	if (err)
		return err;
	w = locktab_find_wait(&op->mt->locks, &m->fid, spec.kind, &spec.owner, spec.start, spec.end);
	if (w)
		locktab_cancel(w);
	wp_lock_cancel_rep_enc(mop_enc(op, 64), &(struct wp_lock_cancel_rep){ 0 });
	return 0;
}

int meta_lock_release_owner(struct op *op)
{
	struct lock_spec spec;
	int err;

	META_REQ(op, lock_release_owner, m);
	err = spec_of(op->ses, m->kind, WP_LOCK_TYPE_WRITE, m->owner, 0, UINT64_MAX, &spec);
	if (err)
		return err;
	locktab_release_owner(&op->mt->locks, &m->fid, spec.kind, &spec.owner);
	wp_lock_release_owner_rep_enc(mop_enc(op, 64), &(struct wp_lock_release_owner_rep){ 0 });
	return 0;
}

int lock_reclaim(struct op *op, const struct wp_lock_ref *r)
{
	struct lock_spec spec;
	int err = spec_of(op->ses, r->kind, r->type, r->owner, r->start, r->end, &spec);

	if (err || r->type == WP_LOCK_TYPE_UNLOCK)
		return -EINVAL;
	if (!wp_fid_valid(&r->fid) || ino_exists(op->mt, &r->fid))
		return -ESTALE;
	spec.pid = r->pid;
	return locktab_set(&op->mt->locks, &r->fid, &spec, NULL);
}

/* Waiters that are left when the target goes. */
void locks_cancel_all(struct meta_target *mt)
{
	while (!list_empty(&mt->locks.waits)) {
		struct parked *p = container_of(list_first(&mt->locks.waits, struct lock_wait, all), struct parked, w);

		locktab_cancel(&p->w);
	}
	locktab_done(&mt->locks);
}
