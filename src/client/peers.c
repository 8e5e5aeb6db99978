/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* This reactor's connections to metadata and storage targets, made on first use. */
#include "client/client_priv.h"

static unsigned target_addrs(struct client *c, uint16_t service, uint32_t target, const char **ret, unsigned max)
{
	return c->map ? cluster_map_addrs(c->map, service, target, cluster_host(), ret, max) : 0;
}

static unsigned mdt_addrs(void *arg, struct rpc_peer *peer, const char **ret, unsigned max)
{
	struct mdt *t = arg;

	return target_addrs(t->c, WP_SERVICE_META, t->target, ret, max);
}

static unsigned ost_addrs(void *arg, struct rpc_peer *peer, const char **ret, unsigned max)
{
	struct ost *o = arg;

	return target_addrs(o->c, WP_SERVICE_STORAGE, o->target, ret, max);
}

static const struct rpc_peer_ops mdt_ops = { .attach = cl_mdt_attach, .addrs = mdt_addrs, .notice = cl_mdt_notice };
static const struct rpc_peer_ops ost_ops = { .addrs = ost_addrs };

/* Grows an array of pointers so that index i exists. */
static void *grow(void *array, uint32_t *n, uint32_t i)
{
	void **p = array;
	uint32_t want = MAX(i + 1, *n ? *n * 2 : 8);

	if (i < *n)
		return array;
	p = xrealloc(p, want * sizeof(*p));
	memset(p + *n, 0, (want - *n) * sizeof(*p));
	*n = want;
	return p;
}

/* The first connection failed for good: what waits for it fails too. A later operation tries again. */
static void mdt_hello_done(struct rpc_call *call)
{
	struct mdt *t = call->arg;
	struct list failed = LIST_INIT(failed);
	struct client_op *op;

	t->ping_busy = false;
	if (t->c->freeing)
		return;
	if (!call->err) {
		cl_mdt_ping_start(t);
		return;
	}
	list_splice(&failed, &t->queue);
	while ((op = list_pop(&failed, struct client_op, queue))) {
		op->flags &= ~(uint32_t)OP_QUEUED;
		op->flags |= OP_ASYNC;
		env_timer_cancel(t->c->env, &op->timer);
		op->meta_done(op, call->err);
	}
}

/* Calls wait here, not at the peer, until there is a session; this one makes the peer connect. */
static void mdt_hello(struct mdt *t)
{
	struct wp_ping_req req = { 0 };

	rpc_call_init(&t->ping, WP_OP_PING, mdt_hello_done, t);
	wp_ping_req_enc(rpc_call_enc(&t->ping, 64), &req);
	t->ping_busy = true;
	rpc_call(t->peer, &t->ping);
}

struct mdt *cl_mdt_get(struct client *c, uint32_t target)
{
	struct rpc_peer_params p = { .service = WP_SERVICE_META, .target = target, .credits = CLIENT_META_CREDITS, .ops = &mdt_ops };
	struct mdt *t;
	int err;

	weft_assert(target <= WP_FID_MDT_MAX);
	c->mdts = grow(c->mdts, &c->mdts_n, target);
	t = c->mdts[target];
	if (!t) {
		t = NEW(struct mdt);
		t->c = c;
		t->target = target;
		list_init(&t->wait);
		list_init(&t->queue);
		list_init(&t->recalls);
		cl_mdt_init_session(t);
		p.arg = t;
		err = rpc_peer_new(c->node, &p, &t->peer);
		weft_assert(!err); /* the parameters are ours */
		c->mdts[target] = t;
	}
	if (!t->session && !t->ping_busy)
		mdt_hello(t);
	return t;
}

struct ost *cl_ost_get(struct client *c, uint32_t target)
{
	struct rpc_peer_params p = { .service = WP_SERVICE_STORAGE, .target = target, .credits = CLIENT_STORAGE_CREDITS, .ops = &ost_ops };
	struct ost *o;
	int err;

	/* Bounds the array whatever a layout says. */
	if (target > WP_TARGETS_MAX)
		return NULL;
	c->osts = grow(c->osts, &c->osts_n, target);
	o = c->osts[target];
	if (!o) {
		o = NEW(struct ost);
		o->c = c;
		o->target = target;
		p.arg = o;
		err = rpc_peer_new(c->node, &p, &o->peer);
		weft_assert(!err);
		c->osts[target] = o;
	}
	return o;
}

/* The node, and with it the peers' calls, has gone already. */
void cl_mdts_free(struct client *c)
{
	uint32_t i;

	for (i = 0; i < c->mdts_n; i++) {
		if (!c->mdts[i])
			continue;
		cl_mdt_free(c->mdts[i]);
	}
	free(c->mdts);
}

void cl_osts_free(struct client *c)
{
	uint32_t i;

	for (i = 0; i < c->osts_n; i++)
		free(c->osts[i]);
	free(c->osts);
}
