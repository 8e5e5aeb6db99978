/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The serving side of connections: from accept through the handshake to the service. */
#include "rpc/rpc_priv.h"

#include "base/log.h"

/* An accepted connection on its way to another reactor's node. */
struct moved {
	struct env_task task;
	struct rpc_node *to;
	struct env_conn *ec;
	uint32_t len;
	uint8_t hello[HS_BODY_MAX];
};

static int server_bulk(struct net_conn *nc, struct net_frame *f);
static int server_frame(struct net_conn *nc, struct net_frame *f);
static void server_lost(struct net_conn *nc, int err);

static const struct net_conn_ops server_ops = {
	.bulk = server_bulk, .frame = server_frame, .closed = server_lost, .release = rconn_release,
};

/* ---- life ---------------------------------------------------------------------------------------------------------------- */

void rserver_tell_down(struct rpc_conn *conn)
{
	if (!conn->told_up)
		return;
	conn->told_up = false;
	if (conn->svc->conn_down)
		conn->svc->conn_down(conn->svc->ctx, conn);
}

static void down_run(void *arg)
{
	struct rpc_conn *conn = arg;

	list_del(&conn->link);
	rserver_tell_down(conn);
	net_conn_put(&conn->nc);
}

static void req_free(struct req *r);

/* Everything but conn_down; the owner's reference is left to the caller. False: was dead already. */
static bool retire(struct rpc_conn *conn)
{
	if (conn->state == CONN_DEAD)
		return false;
	conn->state = CONN_DEAD;
	conn->node->counters.conns--;
	list_del(&conn->link);
	list_del(&conn->starved);
	env_timer_cancel(conn->node->env, &conn->timer);
	net_conn_close(&conn->nc);
	if (conn->rx_req) {
		struct req *r = conn->rx_req;

		conn->rx_req = NULL;
		req_free(r);
	}
	return true;
}

void rserver_close(struct rpc_conn *conn)
{
	net_conn_get(&conn->nc);
	if (retire(conn))
		net_conn_put(&conn->nc);
	rserver_tell_down(conn);
	net_conn_put(&conn->nc);
}

void rpc_conn_close(struct rpc_conn *conn)
{
	if (conn->peer) {
		rpeer_conn_lost(conn, -ECONNRESET);
		return;
	}
	if (!retire(conn))
		return;
	/* conn_down comes from the event loop: the caller may be the service in the middle of something. The owner's reference
	 * goes to the task. */
	list_append(&conn->node->downs, &conn->link);
	conn->down_task = (struct env_task){ .fn = down_run, .arg = conn };
	env_post(conn->node->env, &conn->down_task);
}

static void server_lost(struct net_conn *nc, int err)
{
	struct rpc_conn *conn = rconn_of(nc);

	if (err && err != -ECONNRESET && err != -EPIPE)
		log_debug("rpc", "%s: connection lost: %s", rpc_conn_name(conn), strerror(-wp_err_to_errno(err)));
	if (conn->state == CONN_HELLO || conn->state == CONN_AUTH)
		rnode_count_refusal(conn->node, err);
	rserver_close(conn);
}

static void server_timeout(void *arg)
{
	struct rpc_conn *conn = arg;

	log_debug("rpc", "%s: no handshake in time", net_conn_peer(&conn->nc));
	if (conn->state != CONN_REFUSED)
		rnode_count_refusal(conn->node, -ETIMEDOUT);
	rserver_close(conn);
}

static struct rpc_conn *adopt(struct rpc_node *node, struct env_conn *ec)
{
	struct rpc_conn *conn = rconn_new(node, &server_ops);

	conn->state = CONN_HELLO;
	list_append(&node->conns, &conn->link);
	node->counters.conns++;
	conn->timer = (struct env_timer){ .fn = server_timeout, .arg = conn };
	env_timer_in(node->env, &conn->timer, WEFT_HANDSHAKE_TIMEOUT_MS * NSEC_PER_MSEC);
	net_conn_start(&conn->nc, ec);
	return conn;
}

void rserver_accepted(void *arg, struct env_conn *ec)
{
	struct rpc_node *node = arg;

	node->counters.accepts++;
	if (node->dying)
		node->env->ops->conn_close(ec);
	else
		(void)adopt(node, ec);
}

/* ---- handshake ----------------------------------------------------------------------------------------------------------- */

static void refusal_sent(struct net_tx *tx, int err)
{
	rserver_close(tx->arg);
}

static void server_refuse(struct rpc_conn *conn, int err, const char *why)
{
	struct rpc_node *node = conn->node;

	rnode_count_refusal(node, err);
	if (err != -WEFT_ESTALEMAP && rnode_may_log(node))
		log_warn("rpc", "refused %s: %s", conn->name ? conn->name : net_conn_peer(&conn->nc), why);
	rconn_send_refusal(conn, err, why, refusal_sent);
}

static void hello_here(struct rpc_conn *conn, struct rpc_service *svc, const void *body, size_t len)
{
	char why[HS_WHY_MAX];
	int err;

	err = hs_server_hello(conn->hs, &conn->node->id, svc->boot_epoch, body, len, conn->node->env, why);
	if (err) {
		server_refuse(conn, err, why);
		return;
	}
	conn->svc = svc;
	conn->state = CONN_AUTH;
	rconn_send_hs(conn, WP_OP_HELLO, WP_HDR_REPLY, WP_OK, conn->hs->rep, conn->hs->rep_len, NULL);
}

static void take_hello(struct rpc_conn *conn, const struct hs_hello *h)
{
	conn->role = h->role;
	conn->sender = h->sender;
	conn->client_id = h->client_id;
	rconn_set_name(conn, h->role, h->name);
}

static void refuse_service(struct rpc_conn *conn, const struct hs_hello *h)
{
	char why[HS_WHY_MAX];

	(void)snprintf(why, sizeof(why), "%s target %u is not served here", wp_service_name(h->service), h->target);
	server_refuse(conn, -WEFT_ESTALEMAP, why);
}

/* On the reactor of m->to. */
static void moved_run(void *arg)
{
	struct moved *m = arg;
	struct rpc_service *svc;
	struct rpc_conn *conn;
	struct hs_hello h;
	char why[HS_WHY_MAX];

	if (m->to->dying) {
		m->to->env->ops->conn_close(m->ec);
		free(m);
		return;
	}
	conn = adopt(m->to, m->ec);
	if (hs_server_parse(m->hello, m->len, &h, why) == 0) { /* it did on the other reactor */
		take_hello(conn, &h);
		svc = rnode_service(m->to, h.service, h.target);
		if (svc)
			hello_here(conn, svc, m->hello, m->len);
		else
			refuse_service(conn, &h);
	}
	free(m);
}

static int move(struct rpc_conn *conn, struct rpc_node *to, const struct net_frame *f)
{
	struct env_conn *ec = net_conn_detach(&conn->nc);
	struct moved *m;

	if (!ec) /* nothing may follow a hello before its reply */
		return -EBADMSG;
	m = NEW(struct moved);
	m->task = (struct env_task){ .fn = moved_run, .arg = m };
	m->to = to;
	m->ec = ec;
	m->len = f->hdr.body_len;
	memcpy(m->hello, f->body, m->len);
	conn->node->counters.routed++;
	rserver_close(conn);
	env_post(to->env, &m->task);
	return 0;
}

static int server_hello(struct rpc_conn *conn, const struct net_frame *f)
{
	struct rpc_node *node = conn->node, *to = NULL;
	struct rpc_service *svc;
	struct hs_hello h;
	char why[HS_WHY_MAX];
	int err;

	if (f->hdr.opcode != WP_OP_HELLO || (f->hdr.flags & WP_HDR_REPLY))
		return -EBADMSG;
	err = hs_server_parse(f->body, f->hdr.body_len, &h, why);
	if (err) {
		server_refuse(conn, err, why);
		return 0;
	}
	take_hello(conn, &h);
	svc = rnode_service(node, h.service, h.target);
	if (!svc && node->find)
		to = node->find(node->find_arg, h.service, h.target);
	if (svc)
		hello_here(conn, svc, f->body, f->hdr.body_len);
	else if (to && to != node)
		return move(conn, to, f);
	else
		refuse_service(conn, &h);
	return 0;
}

static int server_auth(struct rpc_conn *conn, const struct net_frame *f)
{
	struct rpc_node *node = conn->node;
	struct wp_auth_rep rep = { 0 };
	char why[HS_WHY_MAX];
	uint8_t body[16];
	struct wp_enc e;
	int err;

	if (f->hdr.opcode != WP_OP_AUTH)
		return -EBADMSG;
	if (f->hdr.flags & WP_HDR_REPLY) {
		rconn_refusal_text(f, why);
		if (rnode_may_log(node))
			log_warn("rpc", "%s refused this server: %s", rpc_conn_name(conn), why);
		rnode_count_refusal(node, wp_status_to_err(f->hdr.status));
		rserver_close(conn);
		return 0;
	}
	err = hs_server_check(conn->hs, &node->id, f->body, f->hdr.body_len, why);
	if (err) {
		server_refuse(conn, err, why);
		return 0;
	}
	wp_enc_init(&e, body, sizeof(body));
	wp_auth_rep_enc(&e, &rep);
	rconn_send_hs(conn, WP_OP_AUTH, WP_HDR_REPLY, WP_OK, body, e.len, NULL);
	env_timer_cancel(node->env, &conn->timer);
	rconn_trust(conn);
	conn->state = CONN_UP;
	conn->told_up = true;
	log_debug("rpc", "%s: connected", rpc_conn_name(conn));
	if (conn->svc->conn_up)
		conn->svc->conn_up(conn->svc->ctx, conn);
	return 0;
}

/* ---- requests ------------------------------------------------------------------------------------------------------------ */

static struct req *req_new(struct rpc_conn *conn, const struct wp_hdr *h)
{
	struct rpc_node *node = conn->node;
	struct req *r = list_pop(&node->free_reqs, struct req, pub.node);

	if (r)
		node->free_reqs_n--;
	else
		r = NEW(struct req);
	r->pub.magic = 0x72657175u;
	r->pub.hdr = *h;
	r->pub.body = NULL;
	r->pub.bulk = NULL;
	r->pub.conn = conn;
	r->pub.priv = NULL;
	list_init(&r->pub.node);
	r->bulk_size = 0;
	r->sent = NULL;
	net_conn_get(&conn->nc);
	conn->reqs++;
	return r;
}

static bool busy(struct rpc_conn *conn)
{
	return conn->reqs >= RPC_CONN_REQS_MAX || conn->bulk_bytes >= RPC_CONN_BULK_MAX ||
	       net_conn_queued(&conn->nc) > WEFT_CONN_SENDQ_MAX;
}

/* For a request with bulk: all connections share the memory. */
static bool starved(struct rpc_conn *conn)
{
	struct rpc_node *node = conn->node;

	if (node->bulk_bytes < node->bulk_max)
		return false;
	if (list_empty(&conn->starved))
		list_append(&node->starved, &conn->starved);
	return true;
}

static void feed_starved(struct rpc_node *node)
{
	struct rpc_conn *conn;

	while (node->bulk_bytes < node->bulk_max && (conn = list_pop(&node->starved, struct rpc_conn, starved)))
		net_conn_unhold(&conn->nc);
}

static void req_free(struct req *r)
{
	struct rpc_conn *conn = r->pub.conn;
	struct rpc_node *node = conn->node;
	struct arena *a = &r->pub.arena;

	weft_assert(r->pub.magic == 0x72657175u);
	r->pub.magic = 0;
	if (r->bulk_size) {
		io_buf_put(node->net.pool, r->pub.bulk, r->bulk_size);
		conn->bulk_bytes -= r->bulk_size;
		node->bulk_bytes -= r->bulk_size;
		feed_starved(node);
	}
	conn->reqs--;
	if (a->chunks && (size_t)(a->end - (char *)a->chunks) > RPC_ARENA_KEEP)
		arena_done(a);
	else
		arena_reset(a);
	if (node->free_reqs_n < RPC_REQS_KEEP && !node->dying) {
		list_push(&node->free_reqs, &r->pub.node);
		node->free_reqs_n++;
	} else {
		arena_done(a);
		free(r);
	}
	if (conn->nc.held && !busy(conn))
		net_conn_unhold(&conn->nc);
	net_conn_put(&conn->nc);
}

void rreq_free_pool(struct rpc_node *node)
{
	struct req *r;

	while ((r = list_pop(&node->free_reqs, struct req, pub.node))) {
		arena_done(&r->pub.arena);
		free(r);
	}
}

static bool is_request(const struct wp_hdr *h)
{
	return !(h->flags & WP_HDR_REPLY) && h->opcode != WP_OP_HELLO && h->opcode != WP_OP_AUTH;
}

static int server_bulk(struct net_conn *nc, struct net_frame *f)
{
	struct rpc_conn *conn = rconn_of(nc);
	uint32_t len = f->hdr.bulk_len;
	struct req *r;

	if (conn->state == CONN_REFUSED)
		return 0;
	if (conn->state != CONN_UP || !is_request(&f->hdr))
		return -EBADMSG;
	if (busy(conn) || starved(conn))
		return NET_HOLD;
	r = req_new(conn, &f->hdr);
	if (len <= 4096) {
		r->pub.bulk = arena_alloc(&r->pub.arena, len);
	} else {
		r->pub.bulk = io_buf_get(conn->node->net.pool, len);
		if (!r->pub.bulk) {
			req_free(r);
			return -ENOMEM;
		}
		r->bulk_size = len;
		conn->bulk_bytes += len;
		conn->node->bulk_bytes += len;
	}
	conn->rx_req = r;
	f->bulk = r->pub.bulk;
	return 0;
}

static void reply_ping(struct rpc_req *req)
{
	struct env *env = req->conn->node->env;
	uint64_t now = env_wall_ns(env);
	struct wp_ping_rep rep = { .now = { .sec = (int64_t)(now / NSEC_PER_SEC), .nsec = (uint32_t)(now % NSEC_PER_SEC) } };
	struct wp_ping_req m;
	struct wp_enc e;
	uint8_t body[64];

	if (wp_ping_req_decode(req->body, req->hdr.body_len, NULL, 0, &m) < 0) {
		rpc_reply_err(req, -EBADMSG);
		return;
	}
	rep.token = m.token;
	wp_enc_init(&e, body, sizeof(body));
	wp_ping_rep_enc(&e, &rep);
	rpc_reply(req, &(struct rpc_reply){ .err = e.err, .body = body, .body_len = e.len });
}

static void reply_counters(struct rpc_req *req)
{
	enum { ROWS = 1024 };
	struct rpc_node *node = req->conn->node;
	struct wp_counters_rep rep = { .counters = arena_alloc(&req->arena, ROWS * sizeof(struct wp_counter)) };
	struct wp_enc e = rpc_reply_enc(req, ROWS * 96);

	rep.counters_n = rpc_counters_rows(node, rep.counters, ROWS);
	if (node->rows)
		rep.counters_n += node->rows(node->rows_arg, rep.counters + rep.counters_n, ROWS - rep.counters_n);
	wp_counters_rep_enc(&e, &rep);
	rpc_reply(req, &(struct rpc_reply){ .err = e.err, .body = e.err ? NULL : e.p, .body_len = e.err ? 0 : e.len });
}

static void dispatch(struct rpc_conn *conn, struct rpc_req *req)
{
	struct rpc_service *svc = conn->svc;

	if (req->hdr.opcode == WP_OP_PING)
		reply_ping(req);
	else if (req->hdr.opcode == WP_OP_COUNTERS)
		reply_counters(req);
	else if (req->hdr.target != svc->target)
		rpc_reply_err(req, -WEFT_ESTALEMAP);
	else if (!wp_op_find(req->hdr.opcode))
		rpc_reply_err(req, -EOPNOTSUPP);
	else
		svc->request(svc->ctx, req);
}

static int server_request(struct rpc_conn *conn, const struct net_frame *f)
{
	struct req *r = conn->rx_req;

	if (!is_request(&f->hdr))
		return -EBADMSG;
	if (!r) {
		if (busy(conn))
			return NET_HOLD;
		r = req_new(conn, &f->hdr);
	}
	conn->rx_req = NULL;
	conn->node->counters.requests++;
	rnode_saw_map(conn->node, &f->hdr);
	if (f->hdr.body_len <= RPC_REQ_INLINE) {
		memcpy(r->body, f->body, f->hdr.body_len);
		r->pub.body = r->body;
	} else {
		r->pub.body = arena_dup(&r->pub.arena, f->body, f->hdr.body_len);
	}
	dispatch(conn, &r->pub);
	return 0;
}

static int server_frame(struct net_conn *nc, struct net_frame *f)
{
	struct rpc_conn *conn = rconn_of(nc);

	switch (conn->state) {
	case CONN_UP:
		return server_request(conn, f);
	case CONN_HELLO:
		return server_hello(conn, f);
	case CONN_AUTH:
		return server_auth(conn, f);
	default:
		return 0; /* refused: whatever still comes does not matter */
	}
}

/* ---- replies ------------------------------------------------------------------------------------------------------------- */

static void reply_not_sent(struct net_tx *tx, int err)
{
	struct req *r = tx->arg;

	if (r->sent)
		r->sent(r->sent_arg);
	req_free(r);
}

static void reply_sent(struct net_tx *tx, int err)
{
	struct req *r = tx->arg;

	if (err)
		r->pub.conn->node->counters.replies_dropped++;
	reply_not_sent(tx, err);
}

/* Encoded by rpc_reply_enc, or in the current chunk: stays as long as the request does. */
static bool in_arena(const struct rpc_req *req, const void *p)
{
	uintptr_t at = (uintptr_t)p;

	return at >= (uintptr_t)req->arena.chunks && at < (uintptr_t)req->arena.end;
}

void rpc_reply(struct rpc_req *req, const struct rpc_reply *rep)
{
	struct req *r = container_of(req, struct req, pub);
	struct rpc_conn *conn = req->conn;
	struct wp_hdr h = {
		.opcode = req->hdr.opcode,
		.flags = WP_HDR_REPLY,
		.status = wp_status_from_errno(rep->err),
		.xid = req->hdr.xid,
		.session = req->hdr.session,
		.map_version = conn->node->map_version,
		.target = req->hdr.target,
		.slot = req->hdr.slot,
		.credits = rep->credits,
	};
	struct net_msg m = {
		.hdr = &h, .body = rep->body, .body_len = (uint32_t)rep->body_len, .body_stays = true,
		.bulk = rep->bulk, .bulk_n = rep->bulk_n, .done = reply_sent, .arg = r,
	};

	OBJ_CHECK(req, 0x72657175u);
	weft_assert(rep->body_len <= WP_BODY_MAX && list_empty(&req->node));
	r->sent = rep->sent;
	r->sent_arg = rep->arg;
	if (!net_conn_open(&conn->nc) || (req->hdr.flags & WP_HDR_ONEWAY)) {
		if (!(req->hdr.flags & WP_HDR_ONEWAY))
			conn->node->counters.replies_dropped++;
		if (r->sent)
			net_conn_later(&conn->nc, reply_not_sent, r);
		else
			req_free(r);
		return;
	}
	if (m.body_len > NET_TX_INLINE && !in_arena(req, m.body))
		m.body = arena_dup(&req->arena, m.body, m.body_len);
	conn->node->counters.replies++;
	(void)net_conn_send(&conn->nc, &m);
}

void rpc_conn_notice(struct rpc_conn *conn, uint16_t op, const void *body, size_t len)
{
	struct wp_hdr h = { .opcode = op, .flags = WP_HDR_ONEWAY };
	struct net_msg m = { .hdr = &h, .body = body, .body_len = (uint32_t)len };

	weft_assert(!conn->peer && len <= WP_BODY_MAX);
	if (conn->state != CONN_UP || !net_conn_open(&conn->nc))
		return;
	h.map_version = conn->node->map_version;
	h.target = conn->svc->target;
	conn->node->counters.notices_out++;
	(void)net_conn_send(&conn->nc, &m);
}

void rpc_reply_err(struct rpc_req *req, int err)
{
	rpc_reply(req, &(struct rpc_reply){ .err = err });
}

struct wp_enc rpc_reply_enc(struct rpc_req *req, size_t max)
{
	struct wp_enc e;

	weft_assert(max <= WP_BODY_MAX);
	wp_enc_init(&e, arena_alloc(&req->arena, max), (uint32_t)max);
	return e;
}
