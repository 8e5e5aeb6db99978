/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "world.h"

struct rpc_identity world_id(uint16_t role, const char *name)
{
	struct rpc_identity id = {
		.role = role, .auth = WP_AUTH_HMAC, .client_id = 77, .secret_len = 32, .server_secret_len = 32
	};

	(void)str_copy(id.name, sizeof(id.name), name);
	memset(id.secret, 0x11, sizeof(id.secret));
	memset(id.server_secret, 0x22, sizeof(id.server_secret));
	memset(id.uuid.b, role, sizeof(id.uuid.b));
	if (role == WP_ROLE_CLIENT)
		id.server_secret_len = 0;
	return id;
}

/* ---- service ------------------------------------------------------------------------------------------------------------- */

static void count_sent(void *arg) { ((struct world *)arg)->sents++; }

void echo_reply(struct world *w, struct rpc_req *req)
{
	struct rpc_reply r = {
		.body = req->body, .body_len = req->hdr.body_len, .sent = count_sent, .arg = w, .credits = w->credits
	};

	if (req->hdr.bulk_len) { /* in two pieces */
		r.bulk[0] = (struct iovec){ req->bulk, req->hdr.bulk_len / 2 };
		r.bulk[1] = (struct iovec){ req->bulk + req->hdr.bulk_len / 2, req->hdr.bulk_len - req->hdr.bulk_len / 2 };
		r.bulk_n = 2;
	}
	rpc_reply(req, &r);
}

static void request(void *ctx, struct rpc_req *req)
{
	struct world *w = ctx;

	if (w->requests < ARRAY_SIZE(w->xids))
		w->xids[w->requests] = req->hdr.xid;
	w->requests++;
	w->resent += (req->hdr.flags & WP_HDR_RESENT) != 0;
	w->last_flags = req->hdr.flags;
	w->last_role = rpc_conn_role(req->conn);
	if (w->hold) {
		list_append(&w->held, &req->node);
	} else if (w->answer) {
		rpc_reply_err(req, w->answer);
		if (w->answers && --w->answers == 0)
			w->answer = 0;
	} else {
		echo_reply(w, req);
	}
}

static void conn_up(void *ctx, struct rpc_conn *conn)
{
	struct world *w = ctx;

	w->ups++;
	w->last_client_id = rpc_conn_client_id(conn);
	(void)str_copy(w->last_name, sizeof(w->last_name), rpc_conn_name(conn));
	w->conn = conn;
	rpc_conn_set_data(conn, w);
}

static void conn_down(void *ctx, struct rpc_conn *conn)
{
	struct world *w = ctx;

	weft_assert(rpc_conn_data(conn) == w);
	w->downs++;
	if (w->conn == conn)
		w->conn = NULL;
}

/* ---- peer ---------------------------------------------------------------------------------------------------------------- */

static unsigned addrs(void *arg, struct rpc_peer *peer, const char **ret, unsigned max)
{
	struct world *w = arg;

	ret[0] = w->addr;
	return w->addr ? 1 : 0;
}

static void state(void *arg, struct rpc_peer *peer, bool up)
{
	struct world *w = arg;

	if (up)
		w->state_up++;
	else
		w->state_down++;
}

static void notice(void *arg, struct rpc_peer *peer, struct rpc_conn *conn, uint16_t op, const uint8_t *body, uint32_t len)
{
	struct world *w = arg;

	weft_assert(peer == w->peer && conn);
	w->notices++;
	w->notice_op = op;
	w->notice_len = len;
	memcpy(w->notice_body, body, MIN(len, (uint32_t)sizeof(w->notice_body))); /* all of it can be read */
	if (w->on_notice)
		w->on_notice(w);
}

struct attaching {
	struct rpc_call call;
	struct world *w;
	struct rpc_conn *conn;
};

static void attached(struct rpc_call *c)
{
	struct attaching *a = c->arg;
	int err = c->err ? c->err : a->w->attach_err;

	rpc_peer_ready(a->w->peer, a->conn, err);
	free(a);
}

static void attach(void *arg, struct rpc_peer *peer, struct rpc_conn *conn)
{
	struct attaching *a = NEW(struct attaching);
	struct wp_session_attach_req m = { .session = 5, .client_id = 77 };

	a->w = arg;
	a->conn = conn;
	a->w->attaches++;
	rpc_call_init(&a->call, WP_OP_SESSION_ATTACH, attached, a);
	wp_session_attach_req_enc(rpc_call_enc(&a->call, 64), &m);
	rpc_call_on(conn, &a->call);
}

const struct rpc_peer_ops world_plain_ops = { .addrs = addrs, .state = state, .notice = notice };
const struct rpc_peer_ops world_attach_ops = { .addrs = addrs, .state = state, .attach = attach, .notice = notice };
const struct rpc_peer_ops world_deaf_ops = { .addrs = addrs, .state = state };

/* ---- life ---------------------------------------------------------------------------------------------------------------- */

void world_init_env(struct world *w, struct env *env, const struct rpc_identity *server, const struct rpc_identity *client,
		    const char *listen, const struct rpc_peer_ops *ops, unsigned conns, unsigned credits)
{
	struct rpc_identity sid = world_id(WP_ROLE_META, "srv"), cid = world_id(WP_ROLE_CLIENT, "mount1");
	struct rpc_peer_params pp = {
		.service = WP_SERVICE_META, .target = TARGET, .conns = conns, .credits = credits, .ops = ops, .arg = w
	};

	w->env = env;
	list_init(&w->held);
	if (rpc_node_new(env, server ? server : &sid, &w->server) || rpc_node_new(env, client ? client : &cid, &w->client))
		bail_out("nodes");
	w->svc = (struct rpc_service){ .service = WP_SERVICE_META,
				       .target = TARGET,
				       .boot_epoch = 42,
				       .ctx = w,
				       .request = request,
				       .conn_up = conn_up,
				       .conn_down = conn_down };
	if (rpc_service_add(w->server, &w->svc) || rpc_listen(w->server, listen))
		bail_out("service");
	w->addr = rpc_listen_addr(w->server, 0);
	if (rpc_peer_new(w->client, &pp, &w->peer))
		bail_out("peer");
}

void world_init(struct world *w, const struct rpc_identity *server, const struct rpc_identity *client)
{
	memset(w, 0, sizeof(*w));
	fake_init(&w->f, 1);
	world_init_env(w, &w->f.env, server, client, ADDR, &world_plain_ops, 1, 0);
}

void world_done(struct world *w)
{
	rpc_node_free(w->client);
	world_release(w);
	rpc_node_free(w->server);
	fake_done(&w->f);
}

bool world_until(struct world *w, const bool *flag, uint64_t ms)
{
	uint64_t end = w->f.now + ms * NSEC_PER_MSEC;

	w->f.until = end;
	while (!*flag && w->f.now < end)
		if (!fake_step(&w->f))
			break;
	w->f.until = 0;
	if (!*flag)
		w->f.now = MAX(w->f.now, end);
	return *flag;
}

void world_run(struct world *w, uint64_t ms)
{
	bool never = false;

	(void)world_until(w, &never, ms);
}

void world_release(struct world *w)
{
	struct rpc_req *req;

	while ((req = list_pop(&w->held, struct rpc_req, node)))
		echo_reply(w, req);
}

/* ---- calls --------------------------------------------------------------------------------------------------------------- */

static void done(struct rpc_call *c)
{
	struct result *r = c->arg;

	weft_assert(!r->done);
	r->done = true;
	r->err = c->err;
	r->len = c->err ? 0 : c->reply_len;
	r->bulk_len = c->err ? 0 : c->reply_bulk_len;
	if (!c->err && c->reply_len)
		memcpy(r->body, c->reply, MIN(c->reply_len, sizeof(r->body)));
}

void call_prepare(struct result *r, uint16_t op, size_t len)
{
	struct wp_enc *e;

	r->done = false;
	r->err = 1;
	rpc_call_init(&r->call, op, done, r);
	e = rpc_call_enc(&r->call, len);
	for (size_t i = 0; i < len; i++)
		wp_enc_u8(e, (uint8_t)(i * 7 + op));
}

void call_start(struct world *w, struct result *r, uint16_t op, size_t len)
{
	call_prepare(r, op, len);
	rpc_call(w->peer, &r->call);
}

bool body_is_echo(const struct result *r, size_t len)
{
	if (r->len != len)
		return false;
	for (size_t i = 0; i < MIN(len, sizeof(r->body)); i++)
		if (r->body[i] != (uint8_t)(i * 7 + r->call.op))
			return false;
	return true;
}

int call_sync(struct world *w, struct result *r, uint16_t op, size_t len)
{
	call_start(w, r, op, len);
	return world_until(w, &r->done, 60000) ? r->err : 1;
}
