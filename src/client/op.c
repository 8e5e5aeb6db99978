/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Operations: birth, end, cancellation. */
#include "client/client_priv.h"

static void op_reset(struct client_op *op)
{
	/* The call is large and has an initialiser of its own. */
	memset(op, 0, offsetof(struct client_op, call));
	memset((char *)op + offsetof(struct client_op, ios), 0, sizeof(*op) - offsetof(struct client_op, ios));
}

static void op_grace_over(void *arg);
static void op_timer_fired(void *arg);

struct client_op *cl_op_new(struct client *c, client_cb *cb, void *arg)
{
	struct client_op *op = list_pop(&c->free_ops, struct client_op, link);

	if (op)
		c->free_ops_n--;
	else
		op = xmalloc(sizeof(*op));
	op_reset(op);
	OBJ_INIT(op, OP_MAGIC);
	op->c = c;
	op->cb = cb;
	op->arg = arg;
	op->grace.fn = op_grace_over;
	op->grace.arg = op;
	op->timer.fn = op_timer_fired;
	op->timer.arg = op;
	list_init(&op->queue);
	list_init(&op->ios);
	list_init(&op->ios_stalled);
	list_init(&op->ios_kept);
	list_init(&op->ios_redo);
	list_append(&c->ops, &op->link);
	if (c->m->op_timeout_ms)
		op->deadline_ns = env_mono_ns(c->env) + c->m->op_timeout_ms * NSEC_PER_MSEC;
	c->stats.ops++;
	return op;
}

void cl_op_cred(struct client_op *op, const struct client_cred *cred)
{
	op->cred = *cred;
}

void cl_op_set_file(struct client_op *op, struct client_file *f)
{
	client_file_ref(f);
	op->file = f;
}

void cl_op_set_grant(struct client_op *op, struct grant *g)
{
	if (op->grant)
		cl_grant_unref(op->grant);
	op->grant = g;
}

static void op_free(struct client_op *op)
{
	struct client *c = op->c;

	weft_assert(!(op->flags & (OP_CALLING | OP_QUEUED)) && !op->ios_pending && !op->has_slot);
	env_timer_cancel(c->env, &op->grace);
	env_timer_cancel(c->env, &op->timer);
	cl_ios_free_kept(op);
	cl_op_set_grant(op, NULL);
	if (op->file)
		client_file_unref(op->file);
	free(op->groups);
	free(op->iov_heap);
	free(op->settle);
	free(op->priv);
	OBJ_FINI(op);
	list_del(&op->link);
	if (c->free_ops_n < CLIENT_POOL_KEEP) {
		list_push(&c->free_ops, &op->link);
		c->free_ops_n++;
	} else {
		free(op);
	}
}

/* Nobody wants the result: what it holds is given back. */
static void op_drop_result(struct client_op *op)
{
	struct client_file *f = op->res.file;

	op->res.file = NULL;
	if (f && op->c->freeing)
		client_file_unref(f);
	else if (f)
		client_release(op->c, f, NULL, NULL);
}

/* The operation may have waited for sizes since it learned for how long its answer is good. */
static void op_age(struct client_op *op)
{
	uint64_t age;

	if (!(op->res.entry_ttl_ns | op->res.attr_ttl_ns))
		return;
	age = env_mono_ns(op->c->env) - op->ttl_from_ns;
	op->res.entry_ttl_ns -= MIN(op->res.entry_ttl_ns, age);
	op->res.attr_ttl_ns -= MIN(op->res.attr_ttl_ns, age);
}

static void op_complete(struct client_op *op)
{
	op_age(op);
	if (op->err || (op->flags & OP_ANSWERED))
		op_drop_result(op);
	if (op->cb && !(op->flags & OP_ANSWERED))
		op->cb(op->arg, op->err, &op->res);
	op_free(op);
}

void cl_op_run_finished(struct client *c)
{
	struct list now = LIST_INIT(now);
	struct client_op *op;

	list_splice(&now, &c->finished);
	while ((op = list_pop(&now, struct client_op, link)))
		op_complete(op);
}

void cl_op_finish_task(void *arg)
{
	struct client *c = arg;

	OBJ_CHECK(c, CLIENT_MAGIC);
	c->finish_posted = false;
	if (c->freeing) { /* client_free left the memory to the posted task */
		free(c);
		return;
	}
	cl_op_run_finished(c);
}

void cl_op_finish(struct client_op *op, int err)
{
	struct client *c = op->c;

	OBJ_CHECK(op, OP_MAGIC);
	weft_assert(!(op->flags & OP_FINISHED));
	if (err && op->abort_err)
		err = op->abort_err;
	op->err = wp_err_to_errno(err);
	op->flags |= OP_FINISHED;
	env_timer_cancel(c->env, &op->grace);
	if (op->flags & OP_ASYNC) {
		op_complete(op);
		return;
	}
	list_del(&op->link);
	list_append(&c->finished, &op->link);
	if (!c->finish_posted && !c->freeing) {
		c->finish_posted = true;
		env_post(c->env, &c->finish_task);
	}
}

void cl_op_done(struct client_op *op, int err)
{
	cl_op_finish(op, err);
}

bool cl_op_going(struct client_op *op)
{
	int err = op->abort_err;

	if (!err && (op->flags & OP_ANSWERED))
		err = -EINTR;
	if (!err && op->c->freeing)
		err = -ECANCELED;
	if (!err && op->c->shut && !(op->flags & OP_INTERNAL))
		err = -ESHUTDOWN;
	if (err)
		cl_op_finish(op, err);
	return !err;
}

static void op_timer_fired(void *arg)
{
	struct client_op *op = arg;

	OBJ_CHECK(op, OP_MAGIC);
	op->flags &= ~(uint32_t)OP_PAUSED;
	op->flags |= OP_ASYNC;
	op->timer_next(op);
}

void cl_op_pause(struct client_op *op, uint32_t delay_ms, void (*next)(struct client_op *op))
{
	if (op->c->freeing) {
		cl_op_finish(op, -ECANCELED);
		return;
	}
	op->timer_next = next;
	op->flags |= OP_PAUSED;
	env_timer_in(op->c->env, &op->timer, delay_ms * NSEC_PER_MSEC);
}

/* ---- cancellation ------------------------------------------------------------------------------------------------ */

void cl_op_abort(struct client_op *op, int err)
{
	if ((op->flags & OP_FINISHED) || op->abort_err)
		return;
	op->abort_err = err;
	if (op->child)
		cl_op_abort(op->child, err);
	if (op->flags & OP_QUEUED) {
		list_del(&op->queue);
		op->flags &= ~(uint32_t)OP_QUEUED;
		cl_op_finish(op, err);
	} else if (op->flags & OP_PAUSED) {
		env_timer_cancel(op->c->env, &op->timer);
		op->flags &= ~(uint32_t)OP_PAUSED;
		cl_op_finish(op, err);
	} else if (op->has_slot) {
		/* The slot stays taken until its request has an answer: the server may execute it any time until then, and a later
		 * request in the same slot could overtake it. The caller is told now. */
		op->flags |= OP_ANSWERED;
		if (op->cb)
			op->cb(op->arg, err, &op->res);
	} else if (op->flags & OP_CALLING) {
		rpc_call_cancel(&op->call);
	} else if (op->ios_pending) {
		cl_ios_abort(op);
	}
}

static void op_grace_over(void *arg)
{
	struct client_op *op = arg;

	OBJ_CHECK(op, OP_MAGIC);
	op->flags |= OP_ASYNC;
	cl_op_abort(op, -EINTR);
}

void client_cancel(struct client *c, struct client_op *op)
{
	OBJ_CHECK(op, OP_MAGIC);
	weft_assert(op->c == c);
	if (op->flags & (OP_CANCELLED | OP_FINISHED | OP_ANSWERED))
		return;
	op->flags |= OP_CANCELLED;
	if (op->cancelled)
		op->cancelled(op);
	else
		env_timer_in(c->env, &op->grace, CLIENT_CANCEL_GRACE_MS * NSEC_PER_MSEC);
}

void client_cancel_all(struct client *c, bool shut)
{
	struct client_op *op, *tmp;

	if (shut)
		c->shut = true;
	/* Ends come from timers, so that callbacks do not change the list under us, nor run from inside this call. */
	list_each_safe(op, tmp, &c->ops, link) {
		if ((op->flags & (OP_FINISHED | OP_ANSWERED | OP_INTERNAL)) || op->abort_err)
			continue;
		op->flags |= OP_CANCELLED;
		env_timer_in(c->env, &op->grace, 0);
	}
}

void cl_op_pool_done(struct client *c)
{
	struct client_op *op;

	while ((op = list_pop(&c->free_ops, struct client_op, link)))
		free(op);
	c->free_ops_n = 0;
}
