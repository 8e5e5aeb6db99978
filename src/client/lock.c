/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Record locks and flocks. The target decides; we remember what we hold, to tell a restarted target. */
#include "client/client_priv.h"

/* ---- what we hold ------------------------------------------------------------------------------------------------ */

static bool same_owner(const struct client_lock *a, const struct client_lock *b)
{
	return a->kind == b->kind && a->owner == b->owner;
}

static void held_add(struct client_inode *in, const struct client_lock *l)
{
	struct held_lock *h = NEW(struct held_lock);

	h->l = *l;
	list_append(&in->locks, &h->link);
}

/* With the inode locked: l's range is not held any more, whatever it was before. */
static void held_cut(struct client_inode *in, const struct client_lock *l)
{
	struct held_lock *h, *tmp;
	struct client_lock rest;

	list_each_safe(h, tmp, &in->locks, link) {
		if (!same_owner(&h->l, l) || h->l.end < l->start || h->l.start > l->end)
			continue;
		if (h->l.start < l->start && h->l.end > l->end) {
			rest = h->l;
			rest.start = l->end + 1;
			h->l.end = l->start - 1;
			held_add(in, &rest);
		} else if (h->l.start < l->start) {
			h->l.end = l->start - 1;
		} else if (h->l.end > l->end) {
			h->l.start = l->end + 1;
		} else {
			list_del(&h->link);
			free(h);
		}
	}
}

void cl_lock_held(struct client_inode *in, const struct client_lock *l)
{
	pthread_mutex_lock(&in->lock);
	held_cut(in, l);
	if (l->type != WP_LOCK_TYPE_UNLOCK)
		held_add(in, l);
	pthread_mutex_unlock(&in->lock);
}

static bool held_any(struct client_inode *in, const struct client_lock *l)
{
	struct held_lock *h;
	bool any = false;

	pthread_mutex_lock(&in->lock);
	list_each(h, &in->locks, link)
		any |= same_owner(&h->l, l);
	pthread_mutex_unlock(&in->lock);
	return any;
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

static void getlk_done(struct client_op *op, int err)
{
	struct wp_lock_test_rep rep;

	if (!err)
		err = META_DECODE(op, lock_test, &rep);
	if (!err) {
		op->res.lock.type = rep.type;
		op->res.lock.start = rep.start;
		op->res.lock.end = rep.end;
		op->res.lock.pid = rep.pid;
	}
	cl_op_finish(op, err == -WEFT_ENOSESSION ? -ESTALE : err);
}

static bool file_usable(struct client_op *op, struct client_file *f)
{
	OBJ_CHECK(f, FILE_MAGIC);
	cl_op_set_file(op, f);
	if (!cl_file_stale(f))
		return true;
	cl_op_finish(op, -ESTALE);
	return false;
}

struct client_op *client_getlk(struct client *c, struct client_file *f, const struct client_lock *l, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	if (!file_usable(op, f))
		return op;
	op->res.lock = *l;
	op->req.lock_test = (struct wp_lock_test_req){
		.fid = f->inode->fid, .kind = l->kind, .type = l->type, .owner = l->owner, .start = l->start, .end = l->end,
		.pid = l->pid,
	};
	cl_op_meta(op, &cl_req_lock_test, wp_fid_mdt(&f->inode->fid), getlk_done);
	return op;
}

static void setlk_done(struct client_op *op, int err)
{
	if (!err)
		cl_lock_held(op->file->inode, &op->res.lock);
	cl_op_finish(op, err == -WEFT_ENOSESSION ? -ENOLCK : err);
}

/* The target answers the waiting request when it sees this: with INTR, or with a grant that was faster. */
static void setlk_cancel(struct client_op *op)
{
	const struct wp_lock_req *r = &op->req.lock;
	struct client_op *cop;

	if (op->flags & OP_QUEUED) {
		cl_op_abort(op, -EINTR);
		return;
	}
	cop = cl_op_new(op->c, NULL, NULL);
	cop->flags |= OP_INTERNAL;
	cop->req.lock_cancel = (struct wp_lock_cancel_req){
		.fid = r->fid, .kind = r->kind, .owner = r->owner, .start = r->start, .end = r->end,
	};
	cl_op_meta(cop, &cl_req_lock_cancel, op->target, cl_op_done);
	/* And if the target is away: */
	env_timer_in(op->c->env, &op->grace, CLIENT_CANCEL_GRACE_MS * NSEC_PER_MSEC);
}

struct client_op *client_setlk(struct client *c, struct client_file *f, const struct client_lock *l, bool wait, client_cb *cb,
			       void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	if (l->type == WP_LOCK_TYPE_UNLOCK)
		op->flags |= OP_INTERNAL; /* also when the mount ends */
	if (!file_usable(op, f))
		return op;
	op->res.lock = *l;
	op->req.lock = (struct wp_lock_req){
		.fid = f->inode->fid, .kind = l->kind, .type = l->type, .wait = wait, .owner = l->owner, .start = l->start,
		.end = l->end, .pid = l->pid, .handle = f->handle,
	};
	if (wait && l->type != WP_LOCK_TYPE_UNLOCK) {
		op->flags |= OP_WAITS;
		op->cancelled = setlk_cancel;
	}
	cl_op_meta(op, &cl_req_lock, wp_fid_mdt(&f->inode->fid), setlk_done);
	return op;
}

static void flushed(struct client_op *op, int err)
{
	struct client_lock all = op->res.lock;

	all.type = WP_LOCK_TYPE_UNLOCK;
	cl_lock_held(op->file->inode, &all);
	cl_op_finish(op, err == -WEFT_ENOSESSION ? 0 : err);
}

struct client_op *client_flush(struct client *c, struct client_file *f, uint64_t lock_owner, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	op->flags |= OP_INTERNAL;
	cl_op_set_file(op, f);
	op->res.lock = (struct client_lock){ .kind = WP_LOCK_KIND_POSIX, .owner = lock_owner, .end = UINT64_MAX };
	/* Most programs lock nothing: no call for them. */
	if (!held_any(f->inode, &op->res.lock) || cl_file_stale(f)) {
		cl_op_finish(op, 0);
		return op;
	}
	op->req.lock_release_owner = (struct wp_lock_release_owner_req){
		.fid = f->inode->fid, .kind = WP_LOCK_KIND_POSIX, .owner = lock_owner,
	};
	cl_op_meta(op, &cl_req_lock_release_owner, wp_fid_mdt(&f->inode->fid), flushed);
	return op;
}
