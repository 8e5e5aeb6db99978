/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * One call from start to end.
 *
 *	IDLE -> QUEUED -> SENT -> (reply) IDLE
 *	          ^        |
 *	          |        +--> WAITING, after NOTREADY and STALEMAP; back to QUEUED when its time has come
 *	          +--------+    when the connection is lost
 *
 * A call that ends without a reply goes through DONE to be reported from the event loop, or first through ABORTING while a
 * send still reads its bulk memory. While a reply's bulk is being received into its memory it stays SENT and ends when the
 * frame does.
 */
#include "rpc/rpc_priv.h"

#include "base/log.h"

#define CALL_MAGIC 0x7263616cu
#define XID_OURS (1ull << 63) /* numbers chosen here never meet those of slots' owners */

static void call_timer(void *arg);

uint64_t rpc_backoff_ns(struct env *env, unsigned fails)
{
	uint64_t max = WEFT_RPC_RETRY_MAX_MS * NSEC_PER_MSEC, d = WEFT_RPC_RETRY_MIN_MS * NSEC_PER_MSEC;

	d = fails >= 16 ? max : MIN(d << fails, max);
	return d / 2 + env_random_u64(env) % (d / 2 + 1);
}

void rpc_call_init(struct rpc_call *c, uint16_t op, rpc_done_fn *done, void *arg)
{
	const struct wp_op *info = wp_op_find(op);

	memset(c, 0, offsetof(struct rpc_call, enc));
	c->magic = CALL_MAGIC;
	c->op = op;
	c->flags = info && info->mutates ? WP_HDR_MUTATES : 0;
	c->done = done;
	c->arg = arg;
	wp_enc_init(&c->enc, c->inline_body, sizeof(c->inline_body));
	c->heap_body = NULL;
	c->peer = NULL;
	c->conn = NULL;
	list_init(&c->node);
	list_init(&c->txs);
	c->timer = (struct env_timer){ .fn = call_timer, .arg = c };
	c->retries = 0;
	c->abort_err = 0;
	c->state = CALL_IDLE;
	c->bound = false;
	c->resent = false;
}

struct wp_enc *rpc_call_enc(struct rpc_call *c, size_t max)
{
	OBJ_CHECK(c, CALL_MAGIC);
	weft_assert(max <= WP_BODY_MAX && c->state == CALL_IDLE);
	free(c->heap_body);
	c->heap_body = NULL;
	if (max <= sizeof(c->inline_body)) {
		wp_enc_init(&c->enc, c->inline_body, sizeof(c->inline_body));
	} else {
		c->heap_body = xmalloc(max);
		wp_enc_init(&c->enc, c->heap_body, (uint32_t)max);
	}
	return &c->enc;
}

/* ---- ending -------------------------------------------------------------------------------------------------------------- */

static uint64_t key_hash(uint64_t xid, uint64_t session, uint16_t slot, uint16_t op)
{
	return hash_u64(xid ^ session * 0x9e3779b97f4a7c15ull ^ (uint64_t)slot << 48 ^ (uint64_t)op << 32);
}

/* Takes the call out of wherever it is. */
static void unlink_call(struct rpc_call *c)
{
	struct rpc_conn *conn = c->conn;

	list_del(&c->node);
	if (c->state != CALL_SENT)
		return;
	htab_del(&c->peer->lookup, &c->lookup);
	conn->inflight--;
	if (!c->bound)
		c->peer->inflight--;
	if (conn->rx_call == c)
		conn->rx_call = NULL;
	c->conn = NULL;
}

static void drop_body(struct rpc_call *c)
{
	free(c->heap_body);
	c->heap_body = NULL;
}

/* The result is set, the call is in no list. It may be gone afterwards. */
static void report(struct rpc_node *node, struct rpc_call *c)
{
	env_timer_cancel(node->env, &c->timer);
	drop_body(c);
	c->state = CALL_IDLE;
	c->done(c);
}

static void report_later(struct rpc_node *node, struct rpc_call *c, int err)
{
	env_timer_cancel(node->env, &c->timer);
	node->counters.calls_failed++;
	c->err = err;
	c->state = CALL_DONE;
	list_append(&node->done, &c->node);
	rnode_post_done(node);
}

void rcall_run_done(struct rpc_node *node)
{
	struct rpc_call *c;
	struct list list;

	/* Not those that are added meanwhile: a caller that repeats a failing call must not keep the loop from other work. */
	list_init(&list);
	list_splice(&list, &node->done);
	while ((c = list_pop(&list, struct rpc_call, node)))
		report(node, c);
}

void rcall_end_now(struct rpc_call *c, int err)
{
	struct rpc_node *node = c->peer->node;
	struct net_tx *tx;

	while ((tx = list_pop(&c->txs, struct net_tx, link)))
		tx->arg = NULL;
	if (c->state == CALL_DONE)
		err = c->err;
	else
		node->counters.calls_failed++;
	unlink_call(c);
	c->err = err;
	c->reply_len = 0;
	c->reply_bulk_len = 0;
	report(node, c);
}

static bool receiving(const struct rpc_call *c) { return c->state == CALL_SENT && c->conn->rx_call == c; }

void rcall_abort(struct rpc_call *c, int err)
{
	struct rpc_node *node = c->peer->node;

	if (c->abort_err || c->state == CALL_DONE || c->state == CALL_IDLE)
		return;
	c->abort_err = err;
	if (receiving(c) || (c->state == CALL_SENT && !list_empty(&c->txs))) {
		env_timer_in(node->env, &c->timer, RPC_GRACE_MS * NSEC_PER_MSEC);
		return;
	}
	unlink_call(c);
	if (!list_empty(&c->txs)) {
		env_timer_cancel(node->env, &c->timer);
		c->state = CALL_ABORTING;
		list_append(&c->peer->aborting, &c->node);
		return;
	}
	report_later(node, c, err);
}

void rpc_call_cancel(struct rpc_call *c)
{
	struct rpc_peer *p = c->peer;

	OBJ_CHECK(c, CALL_MAGIC);
	if (c->state == CALL_IDLE || c->state == CALL_DONE || c->abort_err)
		return;
	p->node->counters.cancels++;
	rcall_abort(c, -ECANCELED);
	rpeer_pump(p);
}

/* The env no longer reads memory of the call. */
static void call_tx_done(struct net_tx *tx, int err)
{
	struct rpc_call *c = tx->arg;
	struct rpc_node *node;

	if (!c)
		return;
	node = c->peer->node;
	list_del(&tx->link);
	if (!list_empty(&c->txs))
		return;
	if (c->state == CALL_ABORTING || (c->state == CALL_SENT && c->abort_err && !receiving(c))) {
		unlink_call(c);
		report_later(node, c, c->abort_err);
	} else if (c->state == CALL_SENT && (c->flags & WP_HDR_ONEWAY) && !err) {
		unlink_call(c);
		report_later(node, c, 0);
	} else if (c->state == CALL_SENT) {
		net_conn_unhold(&c->conn->nc); /* its reply was faster */
	}
}

/* ---- starting and sending ------------------------------------------------------------------------------------------------ */

static void retry_at(struct rpc_call *c, uint64_t at)
{
	env_timer_arm(c->peer->node->env, &c->timer, c->deadline_ns ? MIN(c->deadline_ns, at) : at);
}

static void call_timer(void *arg)
{
	struct rpc_call *c = arg;
	struct rpc_peer *p = c->peer;
	struct rpc_node *node = p->node;

	OBJ_CHECK(c, CALL_MAGIC);
	if (c->abort_err) { /* the grace is over: only closing gives the memory back */
		if (c->state == CALL_SENT)
			rpeer_conn_lost(c->conn, -ETIMEDOUT);
		return;
	}
	if (c->deadline_ns && env_mono_ns(node->env) >= c->deadline_ns) {
		node->counters.timeouts++;
		rcall_abort(c, -ETIMEDOUT);
	} else if (c->state == CALL_WAITING) {
		list_del(&c->node);
		c->state = CALL_QUEUED;
		list_append(&p->queue, &c->node);
		if (c->deadline_ns)
			env_timer_arm(node->env, &c->timer, c->deadline_ns);
	}
	rpeer_pump(p);
}

/* False: it will fail. */
static bool start(struct rpc_peer *p, struct rpc_call *c)
{
	struct rpc_node *node = p->node;
	size_t bulk = 0;

	OBJ_CHECK(c, CALL_MAGIC);
	weft_assert(c->state == CALL_IDLE && c->done);
	for (int i = 0; i < c->bulk_n; i++)
		bulk += c->bulk[i].iov_len;
	c->peer = p;
	node->counters.calls++;
	if (!c->xid)
		c->xid = XID_OURS | ++node->next_xid;
	if (c->enc.err || bulk > WP_BULK_MAX || p->dying) {
		report_later(node, c, p->dying ? -ECANCELED : c->enc.err ? c->enc.err : -EMSGSIZE);
		return false;
	}
	if (c->deadline_ns)
		env_timer_arm(node->env, &c->timer, c->deadline_ns);
	return true;
}

void rpc_call(struct rpc_peer *p, struct rpc_call *c)
{
	if (!start(p, c))
		return;
	c->state = CALL_QUEUED;
	list_append(&p->queue, &c->node);
	rpeer_pump(p);
}

void rpc_call_on(struct rpc_conn *conn, struct rpc_call *c)
{
	struct rpc_peer *p = conn->peer;

	c->bound = true;
	if (!start(p, c))
		return;
	if (conn->state == CONN_ATTACH || conn->state == CONN_UP)
		rcall_send(c, conn);
	else
		report_later(p->node, c, -ECONNRESET);
}

static uint32_t deadline_ms(const struct rpc_call *c, struct env *env)
{
	uint64_t now, ms;

	if (!c->deadline_ns)
		return 0;
	now = env_mono_ns(env);
	ms = c->deadline_ns > now ? (c->deadline_ns - now) / NSEC_PER_MSEC : 0;
	return (uint32_t)MIN(MAX(ms, 1u), (uint64_t)UINT32_MAX);
}

void rcall_send(struct rpc_call *c, struct rpc_conn *conn)
{
	struct rpc_peer *p = c->peer;
	struct rpc_node *node = p->node;
	bool notify = c->bulk_n || (c->flags & WP_HDR_ONEWAY);
	struct wp_hdr h = {
		.opcode = c->op,
		.flags = (uint16_t)(c->flags | (c->resent ? WP_HDR_RESENT : 0u)),
		.xid = c->xid,
		.session = c->session,
		.map_version = node->map_version,
		.target = p->p.target,
		.slot = c->slot,
		.deadline_ms = deadline_ms(c, node->env),
	};
	struct net_msg m = {
		.hdr = &h, .body = c->enc.p, .body_len = c->enc.len, .bulk = c->bulk, .bulk_n = c->bulk_n,
		.done = notify ? call_tx_done : NULL, .arg = c,
	};
	struct net_tx *tx;

	c->conn = conn;
	c->state = CALL_SENT;
	htab_add(&p->lookup, &c->lookup, key_hash(c->xid, c->session, c->slot, c->op));
	list_append(&conn->calls, &c->node);
	conn->inflight++;
	if (!c->bound)
		p->inflight++;
	if (c->resent)
		node->counters.resends++;
	tx = net_conn_send(&conn->nc, &m);
	if (notify)
		list_append(&c->txs, &tx->link);
	if (!env_timer_armed(&conn->timer))
		env_timer_in(node->env, &conn->timer, RPC_SILENCE_MS * NSEC_PER_MSEC);
}

/* Resent calls stand at the head of the queue in xid order. Called for the last one of a connection first, so that the place is
 * found at once. */
static void requeue(struct rpc_peer *p, struct rpc_call *c)
{
	struct rpc_call *at;

	c->resent = true;
	c->state = CALL_QUEUED;
	list_each(at, &p->queue, node)
		if (!at->resent || at->xid > c->xid)
			break;
	list_insert(&c->node, at->node.prev, &at->node);
}

void rcall_conn_lost(struct rpc_call *c)
{
	struct rpc_peer *p = c->peer;

	unlink_call(c);
	if (!c->bound && !c->abort_err) {
		requeue(p, c);
	} else if (list_empty(&c->txs)) {
		report_later(p->node, c, c->abort_err ? c->abort_err : -ECONNRESET);
	} else {
		if (!c->abort_err)
			c->abort_err = -ECONNRESET;
		env_timer_cancel(p->node->env, &c->timer);
		c->state = CALL_ABORTING;
		list_append(&p->aborting, &c->node);
	}
}

/* ---- replies ------------------------------------------------------------------------------------------------------------- */

static struct rpc_call *find(struct rpc_conn *conn, const struct wp_hdr *h)
{
	struct htab_node *n;

	htab_each_match(n, &conn->peer->lookup, key_hash(h->xid, h->session, h->slot, h->opcode)) {
		struct rpc_call *c = container_of(n, struct rpc_call, lookup);

		if (c->conn == conn && c->xid == h->xid && c->session == h->session && c->slot == h->slot && c->op == h->opcode)
			return c;
	}
	return NULL;
}

int rcall_bulk(struct rpc_conn *conn, struct net_frame *f)
{
	struct rpc_node *node = conn->node;
	struct rpc_call *c;

	if (!(f->hdr.flags & WP_HDR_REPLY))
		return -EBADMSG;
	c = find(conn, &f->hdr);
	if (!c) {
		node->counters.late_replies++;
		return 0;
	}
	if (!list_empty(&c->txs))
		return NET_HOLD;
	if (f->hdr.bulk_len > c->reply_bulk_max) {
		log_debug("rpc", "%s: %s: reply of %u bytes, room for %zu", rpc_conn_name(conn), wp_op_name(c->op),
			  f->hdr.bulk_len, c->reply_bulk_max);
		unlink_call(c);
		report_later(node, c, c->abort_err ? c->abort_err : -EBADMSG);
		return 0;
	}
	conn->rx_call = c;
	f->bulk = c->reply_bulk;
	return 0;
}

static void wait_and_retry(struct rpc_call *c, struct rpc_conn *conn, uint32_t status)
{
	struct rpc_peer *p = c->peer;

	p->node->counters.retries++;
	unlink_call(c);
	c->state = CALL_WAITING;
	list_append(&p->waiting, &c->node);
	retry_at(c, env_mono_ns(p->node->env) + rpc_backoff_ns(p->node->env, c->retries++));
	if (status == WP_E_STALEMAP) /* the target is elsewhere now: ask for its addresses again */
		rpeer_conn_lost(conn, -WEFT_ESTALEMAP);
}

/* A request from the server can only be one that has no answer. */
static int notice(struct rpc_conn *conn, const struct net_frame *f)
{
	struct rpc_peer *p = conn->peer;
	const struct wp_hdr *h = &f->hdr;

	if (!(h->flags & WP_HDR_ONEWAY) || h->bulk_len || h->target != p->p.target || h->opcode == WP_OP_HELLO ||
	    h->opcode == WP_OP_AUTH || !wp_op_find(h->opcode))
		return -EBADMSG;
	conn->node->counters.notices_in++;
	rnode_saw_map(conn->node, h);
	if (conn->peer && p->p.ops->notice) /* the owner of the map may have freed it */
		p->p.ops->notice(p->p.arg, p, conn, h->opcode, f->body, h->body_len);
	return 0;
}

int rcall_reply(struct rpc_conn *conn, struct net_frame *f)
{
	struct rpc_peer *p = conn->peer;
	struct rpc_call *c;
	uint32_t status = f->hdr.status;

	if (!(f->hdr.flags & WP_HDR_REPLY))
		return notice(conn, f);
	c = conn->rx_call ? conn->rx_call : find(conn, &f->hdr);
	if (c && !list_empty(&c->txs))
		return NET_HOLD;
	conn->rx_call = NULL;
	conn->replies++;
	rnode_saw_map(conn->node, &f->hdr);
	if (!conn->peer) /* the owner of the map freed it */
		return 0;
	if (f->hdr.credits)
		p->credits = f->hdr.credits;
	c = c ? find(conn, &f->hdr) : NULL; /* it may have been ended as well */
	if (!c) {
		if (f->hdr.opcode != WP_OP_PING) /* ours: nobody waits for the answer */
			conn->node->counters.late_replies++;
		return 0;
	}
	if ((status == WP_E_NOTREADY || status == WP_E_STALEMAP) && !c->bound && !c->abort_err) {
		wait_and_retry(c, conn, status);
		return 0;
	}
	unlink_call(c);
	c->err = c->abort_err ? c->abort_err : wp_status_to_err(status);
	c->reply = f->body;
	c->reply_len = f->hdr.body_len;
	c->reply_bulk_len = f->hdr.bulk_len;
	c->reply_hdr = f->hdr;
	report(conn->node, c);
	if (conn->peer)
		rpeer_pump(p);
	return 0;
}
