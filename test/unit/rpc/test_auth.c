/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Handshakes that must fail, each with the right error at the caller and in the counters, and a few that must not. */
#include "net/frame.h"
#include "raw.h"
#include "world.h"

static struct world w;
static struct result r;

static void expect(const struct rpc_identity *server, const struct rpc_identity *client, int err, const char *what)
{
	world_init(&w, server, client);
	is_int(call_sync(&w, &r, WP_OP_GETATTR, 10), err, what);
	ok(err == 0 ? w.ups == 1 : w.ups == 0 && w.requests == 0 && rpc_peer_last_error(w.peer) == err,
	   "  nothing else happened");
	if (err) {
		bool auth = err == -WEFT_EAUTH;

		ok(auth == (rpc_node_counters(w.client)->auth_failures > 0), "  counted by the client");
		ok(auth == (rpc_node_counters(w.server)->auth_failures > 0), "  counted by the server");
		is_int(call_sync(&w, &r, WP_OP_GETATTR, 10), err, "  again");
	}
	world_run(&w, 10);
	world_done(&w);
}

static void test_identities(void)
{
	struct rpc_identity s = world_id(WP_ROLE_META, "srv"), c = world_id(WP_ROLE_CLIENT, "c");

	expect(&s, &c, 0, "equal secrets");
	c.secret[5] ^= 1;
	expect(&s, &c, -WEFT_EAUTH, "wrong secret");
	c = world_id(WP_ROLE_CLIENT, "c");
	c.secret_len = 31;
	expect(&s, &c, -WEFT_EAUTH, "shorter secret");
	c = world_id(WP_ROLE_STORAGE, "st");
	expect(&s, &c, 0, "a server proves the servers' secret");
	c.secret[0] ^= 1;
	expect(&s, &c, 0, "and needs no other");
	c.server_secret[0] ^= 1;
	expect(&s, &c, -WEFT_EAUTH, "a server with a wrong one");
	c = world_id(WP_ROLE_CLIENT, "c");
	c.role = WP_ROLE_ADMIN;
	expect(&s, &c, -WEFT_EAUTH, "a client that claims to be an administrator");
	memcpy(c.server_secret, c.secret, sizeof(c.secret));
	c.server_secret_len = c.secret_len;
	expect(&s, &c, -WEFT_EAUTH, "with the clients' secret");
	c = world_id(WP_ROLE_CLIENT, "c");
	c.auth = WP_AUTH_NONE;
	expect(&s, &c, -WEFT_EAUTH, "client without authentication");
	s.auth = WP_AUTH_NONE;
	expect(&s, &c, 0, "both without");
	c.auth = WP_AUTH_HMAC;
	expect(&s, &c, -WEFT_EAUTH, "server without authentication");
	s = world_id(WP_ROLE_META, "srv");
	s.secret_len = 0;
	expect(&s, &c, -WEFT_EAUTH, "server that does not know the clients' secret");
}

static void test_clusters(void)
{
	struct rpc_identity s = world_id(WP_ROLE_META, "srv"), c = world_id(WP_ROLE_CLIENT, "c");

	s.cluster.b[3] = 1;
	expect(&s, &c, 0, "client does not know its cluster");
	c.cluster.b[3] = 1;
	expect(&s, &c, 0, "same cluster");
	c.cluster.b[3] = 2;
	expect(&s, &c, -WEFT_EFOREIGN, "foreign cluster");
	memset(&s.cluster, 0, sizeof(s.cluster));
	expect(&s, &c, 0, "server does not know its cluster");
}

/* ---- on the way ---------------------------------------------------------------------------------------------------------- */

struct tamper {
	bool of_client;
	uint16_t op;
	void (*hello)(struct wp_hello_req *m);
	void (*reply)(struct wp_hello_rep *m);
	bool did;
};

/* Decodes a handshake message, changes it, and puts it back as a good frame. */
static size_t tamper(void *arg, bool from_client, uint8_t *p, size_t n)
{
	struct tamper *t = arg;
	uint8_t copy[1024];
	struct wp_hello_req req;
	struct wp_hello_rep rep;
	struct wp_hdr h;
	struct wp_enc e;

	if (from_client != t->of_client || net_frame_open(p, &h) < 0 || h.opcode != t->op || h.body_len > sizeof(copy))
		return n;
	memcpy(copy, p + WP_HDR_SIZE, h.body_len);
	wp_enc_init(&e, p + WP_HDR_SIZE, h.body_len);
	if (t->hello && !wp_hello_req_decode(copy, h.body_len, NULL, 0, &req)) {
		t->hello(&req);
		wp_hello_req_enc(&e, &req);
	} else if (t->reply && !wp_hello_rep_decode(copy, h.body_len, NULL, 0, &rep)) {
		t->reply(&rep);
		wp_hello_rep_enc(&e, &rep);
	} else {
		return n;
	}
	weft_assert(!e.err && e.len == h.body_len);
	net_frame_seal(p, &h, p + WP_HDR_SIZE);
	t->did = true;
	return n;
}

static void old_proto(struct wp_hello_req *m) { m->proto_min = m->proto_max = 0; }
static void new_proto(struct wp_hello_req *m) { m->proto_min = m->proto_max = 2; }
static void wide_proto(struct wp_hello_req *m) { m->proto_max = 7; }
static void no_features(struct wp_hello_req *m) { m->features = 0; }
static void more_features(struct wp_hello_req *m) { m->features |= 6; }
static void other_name(struct wp_hello_req *m) { m->name = wp_str("mounT1"); }
static void other_role(struct wp_hello_req *m) { m->role = WP_ROLE_STORAGE; }
static void odd_role(struct wp_hello_req *m) { m->role = 99; }
static void no_auth(struct wp_hello_req *m) { m->auth = WP_AUTH_NONE; }
static void other_target(struct wp_hello_req *m) { m->client_id++; }
static void rep_features(struct wp_hello_rep *m) { m->features = 3; }
static void rep_epoch(struct wp_hello_rep *m) { m->boot_epoch++; }
static void rep_proto(struct wp_hello_rep *m) { m->proto = 0; }
static void rep_auth(struct wp_hello_rep *m) { m->auth = WP_AUTH_NONE; }

static void test_tampering(void)
{
	static const struct {
		void (*hello)(struct wp_hello_req *m);
		void (*reply)(struct wp_hello_rep *m);
		int err;
		const char *what;
	} cases[] = {
		{ old_proto, NULL, -EPROTO, "old protocol" },
		{ new_proto, NULL, -EPROTO, "only a newer protocol" },
		{ wide_proto, NULL, -WEFT_EAUTH, "tampered protocol range" },
		{ no_features, NULL, -EPROTO, "no base features" },
		{ more_features, NULL, -WEFT_EAUTH, "tampered features" },
		{ other_name, NULL, -WEFT_EAUTH, "tampered name" },
		{ other_role, NULL, -WEFT_EAUTH, "tampered role" },
		{ odd_role, NULL, -EPROTO, "unknown role" },
		{ no_auth, NULL, -WEFT_EAUTH, "authentication taken out" },
		{ other_target, NULL, -WEFT_EAUTH, "tampered client id" },
		{ NULL, rep_features, -WEFT_EAUTH, "tampered features in the reply" },
		{ NULL, rep_epoch, -WEFT_EAUTH, "tampered epoch in the reply" },
		{ NULL, rep_proto, -EPROTO, "tampered revision in the reply" },
		{ NULL, rep_auth, -WEFT_EAUTH, "authentication taken out of the reply" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tamper t = { .of_client = cases[i].hello != NULL, .op = WP_OP_HELLO, .hello = cases[i].hello,
				    .reply = cases[i].reply };

		world_init(&w, NULL, NULL);
		w.f.filter = tamper;
		w.f.filter_arg = &t;
		is_int(call_sync(&w, &r, WP_OP_GETATTR, 10), cases[i].err, cases[i].what);
		ok(t.did && w.ups == 0, "  no connection");
		w.f.filter = NULL;
		ok(!call_sync(&w, &r, WP_OP_GETATTR, 10), "  later calls find it gone");
		world_done(&w);
	}
}

/* ---- replay -------------------------------------------------------------------------------------------------------------- */

struct record {
	struct buf sent;
};

static size_t record(void *arg, bool from_client, uint8_t *p, size_t n)
{
	struct record *x = arg;

	if (from_client)
		buf_add(&x->sent, p, n);
	return n;
}

static void test_replay(void)
{
	struct record rec = { 0 };
	struct raw raw;
	struct wp_hdr h;
	size_t at, n;

	world_init(&w, NULL, NULL);
	w.f.filter = record;
	w.f.filter_arg = &rec;
	ok(!call_sync(&w, &r, WP_OP_MKDIR, 10), "recorded");
	w.f.filter = NULL;
	is_int(w.requests, 1, "one request");
	raw_connect(&raw, w.env, ADDR);
	while (!raw.up)
		(void)fake_step(&w.f);
	for (at = 0; at < rec.sent.len; at += n) { /* frame by frame, each after the answer to the one before */
		if (net_frame_open(rec.sent.p + at, &h) < 0)
			bail_out("frame");
		n = WP_HDR_SIZE + h.body_len + net_frame_pad(h.body_len) + h.bulk_len;
		raw_send(&raw, rec.sent.p + at, n);
		world_run(&w, 10);
	}
	world_run(&w, 100);
	ok(raw.closed, "the replayed connection is closed");
	is_int(w.requests, 1, "the request is not executed again");
	is_int(rpc_node_counters(w.server)->auth_failures, 1, "counted");
	raw_close(&raw);
	world_done(&w);
	buf_done(&rec.sent);
}

/* A peer that connects and says nothing, or half of it. */
static void test_silent(void)
{
	struct raw raw;
	uint8_t half[40] = { 'W', 'e', 'f', 't' };

	world_init(&w, NULL, NULL);
	raw_connect(&raw, w.env, ADDR);
	world_run(&w, 100);
	raw_send(&raw, half, sizeof(half));
	world_run(&w, 4000);
	ok(!raw.closed, "it has time");
	world_run(&w, 2000);
	ok(raw.closed && rpc_node_counters(w.server)->conns == 0, "but not for ever");
	raw_close(&raw);
	world_done(&w);

	world_init(&w, NULL, NULL); /* the other way round */
	w.f.stall = true;
	call_start(&w, &r, WP_OP_GETATTR, 10);
	world_run(&w, 7000);
	ok(rpc_peer_last_error(w.peer) == -ETIMEDOUT && !r.done, "a silent server is not a reason to give up");
	w.f.stall = false;
	ok(world_until(&w, &r.done, 10000) && !r.err, "the call waits for a better one");
	world_done(&w);
}

/* ---- finding the service ------------------------------------------------------------------------------------------------- */

static struct rpc_node *route_to;

static struct rpc_node *route(void *arg, uint16_t service, uint32_t target)
{
	return service == WP_SERVICE_META && target == TARGET ? route_to : NULL;
}

static const char *two_addrs[] = { "sim:other:1", ADDR };

static unsigned two(void *arg, struct rpc_peer *peer, const char **ret, unsigned max)
{
	ret[0] = two_addrs[0];
	ret[1] = two_addrs[1];
	return 2;
}

static void test_routing(void)
{
	struct rpc_identity id = world_id(WP_ROLE_META, "front");
	static const struct rpc_peer_ops ops = { .addrs = two };
	struct rpc_peer_params pp = { .service = WP_SERVICE_META, .target = TARGET, .ops = &ops };
	struct rpc_node *front;
	struct rpc_peer *peer;

	world_init(&w, NULL, NULL);
	if (rpc_node_new(w.env, &id, &front) || rpc_listen(front, "sim:other:1"))
		bail_out("front");
	w.addr = "sim:other:1";
	route_to = w.server;
	rpc_node_set_router(front, route, NULL);
	ok(!call_sync(&w, &r, WP_OP_GETATTR, 10), "a routed connection");
	ok(rpc_node_counters(front)->routed == 1 && rpc_node_counters(front)->conns == 0 && w.ups == 1, "was moved");
	route_to = NULL;
	fake_break_all(&w.f);
	call_start(&w, &r, WP_OP_GETATTR, 10);
	world_run(&w, 5000);
	ok(!r.done && rpc_peer_last_error(w.peer) == -WEFT_ESTALEMAP, "unknown service: stale map, the call waits");
	w.addr = ADDR;
	ok(world_until(&w, &r.done, 3000) && !r.err, "until the address is right");
	if (rpc_peer_new(w.client, &pp, &peer))
		bail_out("peer");
	call_prepare(&r, WP_OP_GETATTR, 10);
	rpc_call(peer, &r.call);
	ok(world_until(&w, &r.done, 100) && !r.err, "the second address is tried at once");
	rpc_peer_free(peer);
	rpc_node_free(front);
	world_done(&w);
}

int main(void)
{
	test_identities();
	test_clusters();
	test_tampering();
	test_replay();
	test_silent();
	test_routing();
	return done_testing();
}
