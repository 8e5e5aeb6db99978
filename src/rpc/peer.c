/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Connections to one service elsewhere: when to make them, what to do when they break, which one a call takes. */
#include "rpc/rpc_priv.h"

#include "base/log.h"

#define PEER_MAGIC 0x72706565u

static void peer_check(struct rpc_peer *p);
static void peer_timer(void *arg);
static void client_connected(struct net_conn *nc, int err);
static int client_bulk(struct net_conn *nc, struct net_frame *f);
static int client_frame(struct net_conn *nc, struct net_frame *f);
static void client_closed(struct net_conn *nc, int err);

static const struct net_conn_ops client_ops = {
	.connected = client_connected,
	.bulk = client_bulk,
	.frame = client_frame,
	.closed = client_closed,
	.release = rconn_release,
};

/* ---- life ---------------------------------------------------------------------------------------------------------------- */

int rpc_peer_new(struct rpc_node *node, const struct rpc_peer_params *params, struct rpc_peer **ret)
{
	struct rpc_peer *p;

	if (!params->ops || !params->ops->addrs)
		return -EINVAL;
	p = NEW(struct rpc_peer);
	OBJ_INIT(p, PEER_MAGIC);
	p->node = node;
	p->p = *params;
	p->p.conns = MIN(MAX(params->conns, 1u), RPC_CONNS_MAX);
	p->credits = params->credits ? params->credits : RPC_CREDITS_DEFAULT;
	list_init(&p->conns);
	list_init(&p->limbo);
	list_init(&p->queue);
	list_init(&p->waiting);
	list_init(&p->aborting);
	htab_init(&p->lookup);
	p->timer = (struct env_timer){ .fn = peer_timer, .arg = p };
	list_append(&node->peers, &p->link);
	*ret = p;
	return 0;
}

static void end_list(struct list *list, int err)
{
	while (!list_empty(list))
		rcall_end_now(list_first(list, struct rpc_call, node), err);
}

static void end_done(struct rpc_peer *p)
{
	struct rpc_call *c, *tmp;
	struct list mine;

	list_init(&mine);
	list_each_safe(c, tmp, &p->node->done, node) {
		if (c->peer == p) {
			list_del(&c->node);
			list_append(&mine, &c->node);
		}
	}
	end_list(&mine, -ECANCELED);
}

/* The connection has left the peer. */
static void orphan(struct rpc_conn *conn)
{
	list_del(&conn->link);
	conn->peer = NULL;
	conn->rx_call = NULL;
	net_conn_put(&conn->nc);
}

void rpc_peer_free(struct rpc_peer *p)
{
	struct rpc_conn *conn;

	if (!p)
		return;
	OBJ_CHECK(p, PEER_MAGIC);
	p->dying = true;
	list_del(&p->link);
	env_timer_cancel(p->node->env, &p->timer);
	list_each(conn, &p->conns, link) {
		conn->state = CONN_DEAD;
		env_timer_cancel(p->node->env, &conn->timer);
		net_conn_close(&conn->nc);
		end_list(&conn->calls, -ECANCELED);
	}
	end_list(&p->queue, -ECANCELED);
	end_list(&p->waiting, -ECANCELED);
	end_list(&p->aborting, -ECANCELED);
	while (!list_empty(&p->conns))
		orphan(list_first(&p->conns, struct rpc_conn, link));
	while (!list_empty(&p->limbo))
		orphan(list_first(&p->limbo, struct rpc_conn, link));
	end_done(p);
	weft_assert(p->lookup.count == 0);
	htab_done(&p->lookup);
	OBJ_FINI(p);
	free(p);
}

uint64_t rpc_peer_boot_epoch(const struct rpc_peer *p) { return p->boot_epoch; }
bool rpc_peer_up(const struct rpc_peer *p) { return p->ready > 0; }
int rpc_peer_last_error(const struct rpc_peer *p) { return p->last_error; }

static void tell_state(struct rpc_peer *p)
{
	bool up = p->ready > 0;

	if (p->told_up == up)
		return;
	p->told_up = up;
	if (p->p.ops->state)
		p->p.ops->state(p->p.arg, p, up);
}

/* ---- when to connect ----------------------------------------------------------------------------------------------------- */

static bool is_permanent(int err) { return err == -WEFT_EAUTH || err == -EPROTO || err == -WEFT_EFOREIGN; }

static struct rpc_conn *pick(const struct rpc_peer *p)
{
	struct rpc_conn *conn, *best = NULL;

	list_each(conn, &p->conns, link)
		if (conn->state == CONN_UP && (!best || conn->inflight < best->inflight))
			best = conn;
	return best;
}

/* Peers with sessions stay connected once they were: the other side counts on them. */
static bool wants_conn(const struct rpc_peer *p)
{
	if (p->starting || p->dying)
		return false;
	if (!p->ready)
		return !list_empty(&p->queue) || (p->p.ops->attach && p->ever_up);
	return p->ready < p->p.conns && p->inflight >= p->ready * RPC_CONN_BUSY;
}

static int start_conn(struct rpc_peer *p, const char *addr);

/* Every address has been tried, or none is known. */
static void round_over(struct rpc_peer *p)
{
	int err = p->permanent;

	p->addr_i = 0;
	p->permanent = 0;
	env_timer_in(p->node->env, &p->timer, rpc_backoff_ns(p->node->env, p->fails++));
	if (!err || p->ready)
		return;
	while (!list_empty(&p->queue))
		rcall_abort(list_first(&p->queue, struct rpc_call, node), err);
	while (!list_empty(&p->waiting))
		rcall_abort(list_first(&p->waiting, struct rpc_call, node), err);
}

static void attempt(struct rpc_peer *p)
{
	const char *addrs[WP_ADDRS_MAX];
	unsigned n = p->p.ops->addrs(p->p.arg, p, addrs, WP_ADDRS_MAX);

	if (!n)
		p->last_error = -EHOSTUNREACH;
	for (; p->addr_i < n; p->addr_i++) {
		p->node->counters.connects++;
		int err = start_conn(p, addrs[p->addr_i]);

		if (!err)
			return;
		p->last_error = err;
		p->node->counters.connects_failed++;
	}
	round_over(p);
}

static void attempt_failed(struct rpc_peer *p, int err)
{
	p->node->counters.connects_failed++;
	p->last_error = err;
	if (is_permanent(err))
		p->permanent = err;
	p->addr_i++;
	attempt(p);
}

static void peer_check(struct rpc_peer *p)
{
	if (!env_timer_armed(&p->timer) && wants_conn(p))
		attempt(p);
}

static void peer_timer(void *arg)
{
	struct rpc_peer *p = arg;

	OBJ_CHECK(p, PEER_MAGIC);
	peer_check(p);
}

void rpc_peer_kick(struct rpc_peer *p)
{
	OBJ_CHECK(p, PEER_MAGIC);
	p->fails = 0;
	env_timer_cancel(p->node->env, &p->timer);
	if (!p->ready && !p->starting && !p->dying) {
		p->addr_i = 0;
		attempt(p);
	}
}

void rpeer_pump(struct rpc_peer *p)
{
	struct rpc_conn *conn;

	while (!list_empty(&p->queue) && p->inflight < p->credits && (conn = pick(p))) {
		struct rpc_call *c = list_first(&p->queue, struct rpc_call, node);

		list_del(&c->node);
		rcall_send(c, conn);
	}
	peer_check(p);
}

/* ---- one connection ------------------------------------------------------------------------------------------------------ */

static bool is_starting(const struct rpc_conn *conn) { return conn->state < CONN_UP || conn->state == CONN_REFUSED; }

/* In order, while the last ones are taken first: see requeue. */
static void lose_calls(struct rpc_conn *conn)
{
	while (!list_empty(&conn->calls))
		rcall_conn_lost(list_last(&conn->calls, struct rpc_call, node));
}

void rpeer_conn_lost(struct rpc_conn *conn, int err)
{
	struct rpc_peer *p = conn->peer;
	struct rpc_node *node = conn->node;
	bool starting = is_starting(conn);

	if (conn->state == CONN_DEAD || !p)
		return;
	conn->state = CONN_DEAD;
	env_timer_cancel(node->env, &conn->timer);
	net_conn_close(&conn->nc);
	conn->rx_call = NULL;
	list_del(&conn->link);
	lose_calls(conn);
	if (conn->attach_pending)
		list_append(&p->limbo, &conn->link);
	else
		conn->peer = NULL;
	if (starting) {
		p->starting--;
		if (!conn->attach_pending)
			net_conn_put(&conn->nc);
		attempt_failed(p, err ? err : -ECONNRESET);
		return;
	}
	p->ready--;
	node->counters.disconnects++;
	p->last_error = err ? err : -ECONNRESET;
	if (conn->replies || env_mono_ns(node->env) - conn->up_ns > NSEC_PER_SEC)
		p->fails = 0;
	if (!env_timer_armed(&p->timer))
		env_timer_in(node->env, &p->timer, rpc_backoff_ns(node->env, p->fails++));
	net_conn_put(&conn->nc);
	rpeer_pump(p); /* other connections take its calls */
	tell_state(p);
}

static void client_timer(void *arg)
{
	struct rpc_conn *conn = arg;
	struct wp_ping_req ping = { 0 };
	struct wp_hdr h = { .opcode = WP_OP_PING, .target = conn->peer->p.target };
	struct net_msg m = { .hdr = &h };
	uint8_t body[32];
	struct wp_enc e;

	if (conn->state < CONN_ATTACH || conn->state == CONN_REFUSED) {
		log_debug("rpc", "%s: no handshake in time", rpc_conn_name(conn));
		rpeer_conn_lost(conn, conn->refusal ? conn->refusal : -ETIMEDOUT);
		return;
	}
	if (conn->nc.rx_bytes != conn->seen_bytes)
		conn->silences = 0;
	conn->seen_bytes = conn->nc.rx_bytes;
	if (!conn->inflight) /* armed again by the next call */
		return;
	if (conn->silences++ >= RPC_SILENCES_MAX) {
		log_debug("rpc", "%s: silent for too long", rpc_conn_name(conn));
		rpeer_conn_lost(conn, -ETIMEDOUT);
		return;
	}
	if (conn->silences == 1) {
		conn->node->counters.pings++;
		wp_enc_init(&e, body, sizeof(body));
		wp_ping_req_enc(&e, &ping);
		m.body = body;
		m.body_len = e.len;
		(void)net_conn_send(&conn->nc, &m);
	}
	env_timer_in(conn->node->env, &conn->timer, RPC_SILENCE_MS * NSEC_PER_MSEC);
}

static int start_conn(struct rpc_peer *p, const char *addr)
{
	struct rpc_conn *conn = rconn_new(p->node, &client_ops);
	int err;

	conn->peer = p;
	conn->state = CONN_CONNECTING;
	if (p->p.target == WP_TARGET_NONE)
		conn->name = xasprintf("%s at %s", wp_service_name(p->p.service), addr);
	else
		conn->name = xasprintf("%s target %u at %s", wp_service_name(p->p.service), p->p.target, addr);
	err = net_conn_connect(&conn->nc, addr);
	if (err) {
		net_conn_put(&conn->nc);
		return err;
	}
	list_append(&p->conns, &conn->link);
	p->starting++;
	conn->timer = (struct env_timer){ .fn = client_timer, .arg = conn };
	env_timer_in(p->node->env, &conn->timer, WEFT_HANDSHAKE_TIMEOUT_MS * NSEC_PER_MSEC);
	return 0;
}

static void client_connected(struct net_conn *nc, int err)
{
	struct rpc_conn *conn = rconn_of(nc);

	if (err) {
		rpeer_conn_lost(conn, err);
		return;
	}
	if (conn->state != CONN_CONNECTING)
		return;
	conn->state = CONN_HELLO;
	hs_client_hello(conn->hs, &conn->node->id, conn->peer->p.service, conn->peer->p.target, conn->node->env);
	rconn_send_hs(conn, WP_OP_HELLO, 0, WP_OK, conn->hs->req, conn->hs->req_len, NULL);
}

static void client_closed(struct net_conn *nc, int err) { rpeer_conn_lost(rconn_of(nc), err); }

/* ---- handshake ----------------------------------------------------------------------------------------------------------- */

static void complain(struct rpc_conn *conn, const char *who, const char *why, int err)
{
	rnode_count_refusal(conn->node, err);
	if (is_permanent(err) && rnode_may_log(conn->node))
		log_warn("rpc", "%s: %s: %s", rpc_conn_name(conn), who, why);
	else
		log_debug("rpc", "%s: %s: %s", rpc_conn_name(conn), who, why);
}

static void refused_by_server(struct rpc_conn *conn, const struct net_frame *f)
{
	int err = wp_status_to_err(f->hdr.status);
	char why[HS_WHY_MAX];

	rconn_refusal_text(f, why);
	complain(conn, "the server refused this side", why, err);
	rpeer_conn_lost(conn, err);
}

/* The error waits for the refusal to leave in conn->refusal. */
static void refusal_sent(struct net_tx *tx, int err)
{
	struct rpc_conn *conn = tx->arg;

	if (conn->peer)
		rpeer_conn_lost(conn, conn->refusal);
}

static int client_hello(struct rpc_conn *conn, const struct net_frame *f)
{
	struct rpc_node *node = conn->node;
	uint8_t mac[WP_MAC_SIZE], body[WP_MAC_SIZE + 32];
	struct wp_auth_req m = { .mac = wp_bytes(mac, WP_MAC_SIZE) };
	char why[HS_WHY_MAX];
	struct wp_enc e;
	int err;

	err = hs_client_check(conn->hs, &node->id, f->body, f->hdr.body_len, mac, &conn->peer->boot_epoch, why);
	if (err) {
		complain(conn, "refused", why, err);
		conn->refusal = err;
		rconn_send_refusal(conn, err, why, refusal_sent);
		return 0;
	}
	wp_enc_init(&e, body, sizeof(body));
	wp_auth_req_enc(&e, &m);
	weft_assert(!e.err);
	conn->state = CONN_AUTH;
	rconn_send_hs(conn, WP_OP_AUTH, 0, WP_OK, body, e.len, NULL);
	return 0;
}

static int client_proved(struct rpc_conn *conn)
{
	struct rpc_peer *p = conn->peer;

	env_timer_cancel(conn->node->env, &conn->timer);
	rconn_trust(conn);
	conn->role = conn->node->id.role;
	conn->state = CONN_ATTACH;
	conn->attach_pending = true;
	if (p->p.ops->attach)
		p->p.ops->attach(p->p.arg, p, conn);
	else
		rpc_peer_ready(p, conn, 0);
	return 0;
}

static int client_frame(struct net_conn *nc, struct net_frame *f)
{
	struct rpc_conn *conn = rconn_of(nc);

	if (conn->state == CONN_ATTACH || conn->state == CONN_UP)
		return rcall_reply(conn, f);
	if (conn->state == CONN_REFUSED)
		return 0;
	if (!(f->hdr.flags & WP_HDR_REPLY))
		return -EBADMSG;
	if (f->hdr.status != WP_OK) {
		refused_by_server(conn, f);
		return 0;
	}
	if (conn->state == CONN_HELLO && f->hdr.opcode == WP_OP_HELLO)
		return client_hello(conn, f);
	if (conn->state == CONN_AUTH && f->hdr.opcode == WP_OP_AUTH)
		return client_proved(conn);
	return -EBADMSG;
}

static int client_bulk(struct net_conn *nc, struct net_frame *f)
{
	struct rpc_conn *conn = rconn_of(nc);

	return conn->state == CONN_ATTACH || conn->state == CONN_UP ? rcall_bulk(conn, f) : -EBADMSG;
}

/* ---- attaching ----------------------------------------------------------------------------------------------------------- */

static void fail_session_calls(struct list *list, int err)
{
	struct rpc_call *c, *tmp;

	list_each_safe(c, tmp, list, node)
		if (c->session && !c->bound)
			rcall_abort(c, err);
}

static bool belongs(const struct list *list, const struct rpc_conn *conn)
{
	struct rpc_conn *c;

	list_each(c, list, link)
		if (c == conn)
			return true;
	return false;
}

void rpc_peer_ready(struct rpc_peer *p, struct rpc_conn *conn, int err)
{
	OBJ_CHECK(p, PEER_MAGIC);
	if (err == -WEFT_ENOSESSION) {
		fail_session_calls(&p->queue, err);
		fail_session_calls(&p->waiting, err);
	}
	if (belongs(&p->limbo, conn)) {
		conn->attach_pending = false;
		orphan(conn);
		return;
	}
	if (!belongs(&p->conns, conn) || conn->state != CONN_ATTACH)
		return;
	conn->attach_pending = false;
	if (err) {
		rpeer_conn_lost(conn, err);
		return;
	}
	conn->state = CONN_UP;
	conn->up_ns = env_mono_ns(p->node->env);
	p->starting--;
	p->ready++;
	p->ever_up = true;
	p->addr_i = 0;
	p->permanent = 0;
	p->last_error = 0;
	log_debug("rpc", "%s: connected", rpc_conn_name(conn));
	rpeer_pump(p);
	tell_state(p); /* last: it may free the peer */
}
