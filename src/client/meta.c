/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Requests to metadata targets: sessions, slots, groups, and asking again. */
#include "client/client_priv.h"

#define X(name, NAME, cred, mut)                                                                                              \
	static void enc_##name(struct wp_enc *e, const union client_req *r)                                                   \
	{                                                                                                                     \
		wp_##name##_req_enc(e, &r->name);                                                                             \
	}                                                                                                                     \
	const struct req_type cl_req_##name = { WP_OP_##NAME, cred, mut, enc_##name };
REQ_TYPES(X)
#undef X

/* Fixed parts of any request, with room to spare. */
#define BODY_BASE 256u

static void op_meta_done(struct rpc_call *call);

/* wp_cred is the first member of requests that have one. */
static void op_fill_cred(struct client_op *op)
{
	struct wp_cred *wc = (struct wp_cred *)&op->req;

	memset(wc, 0, sizeof(*wc));
	wc->uid = op->cred.uid;
	wc->gid = op->cred.gid;
	if (op->cred.cap_dac)
		wc->flags |= WP_CRED_CAP_DAC;
	if (op->flags & OP_GROUPS) {
		wc->flags |= WP_CRED_GROUPS;
		wc->groups = (uint32_t *)(uintptr_t)op->cred.groups;
		wc->groups_n = op->cred.groups_n;
	}
}

static void op_slot_get(struct client_op *op)
{
	struct mdt *t = op->mdt;

	weft_assert(t->free_n > 0);
	op->slot = t->free_slots[--t->free_n];
	op->has_slot = true;
}

void cl_op_slot_put(struct client_op *op)
{
	struct mdt *t = op->mdt;

	if (!op->has_slot)
		return;
	op->has_slot = false;
	/* A slot of a session that is gone does not exist any more. */
	if (op->session_gen == t->session_gen)
		t->free_slots[t->free_n++] = op->slot;
}

/* Of a mutation: its caller is told, its request lives on. It may be executed at any time until it is answered: then what it changed
 * has to go from the cache, and its slot is free. */
static void op_call_timeout(struct client_op *op)
{
	cl_op_abort(op, -ETIMEDOUT);
}

static void op_meta_send(struct client_op *op)
{
	struct mdt *t = op->mdt;
	struct rpc_call *call = &op->call;
	struct wp_enc *e;

	rpc_call_init(call, op->req_type->op, op_meta_done, op);
	if (op->req_type->has_cred)
		op_fill_cred(op);
	e = rpc_call_enc(call, BODY_BASE + op->body_max + (op->flags & OP_GROUPS ? op->cred.groups_n * 4 : 0));
	op->req_type->enc(e, &op->req);
	op->session_gen = t->session_gen;
	op->boot_epoch = t->boot_epoch;
	call->session = t->session;
	if (op->req_type->mutates) {
		op_slot_get(op);
		call->slot = op->slot;
		/* rpc numbers other calls from 2^63. */
		call->xid = ++t->xid;
	}
	if (op->deadline_ns && op->req_type->mutates) {
		op->timer_next = op_call_timeout;
		env_timer_arm(op->c->env, &op->timer, MAX(op->deadline_ns, env_mono_ns(op->c->env)));
	} else if (!(op->flags & OP_WAITS)) {
		call->deadline_ns = op->deadline_ns;
	}
	op->flags |= OP_CALLING;
	op->sent_ns = op->c->m->cache ? env_mono_ns(op->c->env) : 0;
	op->c->stats.calls++;
	rpc_call(t->peer, call);
}

static bool op_meta_ready(const struct client_op *op)
{
	const struct mdt *t = op->mdt;

	return t->session && (!op->req_type->mutates || t->free_n > 0);
}

static void op_queue_timeout(struct client_op *op)
{
	list_del(&op->queue);
	op->flags &= ~(uint32_t)(OP_QUEUED | OP_PAUSED);
	cl_op_finish(op, -ETIMEDOUT);
}

static void op_meta_submit(struct client_op *op)
{
	struct mdt *t = op->mdt;
	uint64_t now;

	if (!cl_op_going(op))
		return;
	if (op_meta_ready(op)) {
		op_meta_send(op);
		return;
	}
	/* What needs no slot never waits behind what does. */
	if (op->req_type->mutates)
		list_append(&t->queue, &op->queue);
	else
		list_push(&t->queue, &op->queue);
	op->flags |= OP_QUEUED;
	if (op->deadline_ns && !(op->flags & OP_WAITS)) {
		now = env_mono_ns(op->c->env);
		op->timer_next = op_queue_timeout;
		env_timer_arm(op->c->env, &op->timer, MAX(op->deadline_ns, now));
	}
}

void cl_op_meta(struct client_op *op, const struct req_type *type, uint32_t target, void (*next)(struct client_op *op, int err))
{
	op->req_type = type;
	op->target = target;
	op->meta_done = next;
	op->mdt = cl_mdt_get(op->c, target);
	op_meta_submit(op);
}

/* As far as the session and the slots allow. */
void cl_mdt_submit_queue(struct mdt *t)
{
	struct client_op *op, *tmp;

	if (!t->session || list_empty(&t->queue))
		return;
	list_each_safe(op, tmp, &t->queue, queue) {
		if (!op_meta_ready(op))
			break;
		list_del(&op->queue);
		op->flags &= ~(uint32_t)OP_QUEUED;
		env_timer_cancel(op->c->env, &op->timer);
		op_meta_send(op);
	}
}

/* Gets the caller's groups; false: there is no way to, or they were sent already. */
static bool op_get_groups(struct client_op *op)
{
	struct client_mount *m = op->c->m;
	int n;

	if ((op->flags & (OP_GROUPS | OP_ANSWERED)) || !op->req_type->has_cred)
		return false;
	if (!op->cred.groups_known) {
		if (!m->groups)
			return false;
		op->groups = xmalloc(WP_GROUPS_MAX * sizeof(uint32_t));
		n = m->groups(m->groups_arg, &op->cred, op->groups, WP_GROUPS_MAX);
		if (n < 0)
			return false;
		op->cred.groups = op->groups;
		op->cred.groups_n = (uint32_t)n;
	}
	op->flags |= OP_GROUPS;
	return true;
}

/*
 * May a request that met a lost session be executed in a new one? Only if it cannot have been executed in the old one: it never
 * left, or its first copy was refused. Requests about handles and locks make no sense in another session.
 */
static bool op_survives_session(const struct client_op *op)
{
	const struct rpc_call *call = &op->call;
	uint16_t o = op->req_type->op;

	if (op->file || o == WP_OP_LOCK || o == WP_OP_LOCK_TEST || o == WP_OP_LOCK_CANCEL || o == WP_OP_LOCK_RELEASE_OWNER ||
	    o == WP_OP_CLOSE || o == WP_OP_REFRESH_CAP || o == WP_OP_RECLAIM)
		return false;
	if (!op->req_type->mutates)
		return true;
	return !call->resent;
}

static void op_meta_retry(struct client_op *op)
{
	op->c->stats.retries++;
	op_meta_submit(op);
}

static void op_meta_done(struct rpc_call *call)
{
	struct client_op *op = call->arg;
	struct mdt *t;
	int err = call->err;

	OBJ_CHECK(op, OP_MAGIC);
	t = op->mdt;
	if (op->req_type->mutates)
		env_timer_cancel(op->c->env, &op->timer);
	op->flags &= ~(uint32_t)OP_CALLING;
	op->flags |= OP_ASYNC;
	op->leases_count = !err && cl_lease_renew(op->c, t, op->sent_ns);
	cl_op_slot_put(op);
	if (!op->c->freeing)
		cl_mdt_submit_queue(t);
	if (op->abort_err && err) {
		op->meta_done(op, op->abort_err);
	} else if (err == -WEFT_ENEEDGROUPS && op_get_groups(op)) {
		op_meta_retry(op);
	} else if (err == -WEFT_ENOSESSION && op_survives_session(op)) {
		cl_op_pause(op, CLIENT_RETRY_MS, op_meta_retry);
	} else if (err == -WEFT_EUNSETTLED || err == -WEFT_ENOTREADY) {
		if (op->deadline_ns && env_mono_ns(op->c->env) >= op->deadline_ns)
			op->meta_done(op, -ETIMEDOUT);
		else
			cl_op_pause(op, CLIENT_RETRY_MS, op_meta_retry);
	} else {
		op->meta_done(op, err);
	}
}
