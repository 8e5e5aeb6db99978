/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Messages from the server to the client that nobody answers. */
#include "raw.h"
#include "world.h"

static struct world w;
static struct result res[8];
static uint8_t big[65536];

static void test_plain(void)
{
	world_init(&w, NULL, NULL);
	ok(!call_sync(&w, &res[0], WP_OP_GETATTR, 10), "connected");
	rpc_conn_notice(w.conn, WP_OP_LEASE_RECALL, "hello", 5);
	is_int(w.notices, 0, "not from inside");
	world_run(&w, 10);
	ok(w.notices == 1 && w.notice_op == WP_OP_LEASE_RECALL && w.notice_len == 5 && !memcmp(w.notice_body, "hello", 5),
	   "arrives");
	rpc_conn_notice(w.conn, WP_OP_LEASE_RECALL, NULL, 0);
	world_run(&w, 10);
	ok(w.notices == 2 && !w.notice_len, "empty");
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7);
	rpc_conn_notice(w.conn, WP_OP_LEASE_RECALL, big, sizeof(big));
	memset(big, 0, sizeof(big));
	world_run(&w, 10);
	ok(w.notices == 3 && w.notice_len == sizeof(big) && w.notice_body[65535] == (uint8_t)(65535 * 7), "large, and copied");
	is_int(w.requests, 1, "nothing is answered");
	ok(!call_sync(&w, &res[0], WP_OP_GETATTR, 10) && w.ups == 1, "the connection goes on");
	is_int(rpc_node_counters(w.server)->notices_out, 3, "counted");
	is_int(rpc_node_counters(w.client)->notices_in, 3, "on both sides");
	world_done(&w);
}

/* What a notice finds done when it comes. */
static unsigned done_before[4], n_before;

static void look(struct world *wo)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 6; i++)
		n += res[i].done;
	if (n_before < ARRAY_SIZE(done_before))
		done_before[n_before++] = n;
}

static void test_order(void)
{
	world_init(&w, NULL, NULL);
	w.hold = true;
	n_before = 0;
	w.on_notice = look;
	for (unsigned i = 0; i < 6; i++)
		call_start(&w, &res[i], WP_OP_GETATTR, 10);
	world_run(&w, 10);
	for (unsigned i = 0; i < 3; i++) {
		rpc_conn_notice(w.conn, WP_OP_LEASE_RECALL, "x", 1);
		for (unsigned k = 0; k < 2; k++)
			echo_reply(&w, list_pop(&w.held, struct rpc_req, node));
	}
	world_run(&w, 10);
	ok(n_before == 3 && done_before[0] == 0 && done_before[1] == 2 && done_before[2] == 4,
	   "notices and replies keep their order");
	world_done(&w);
}

static void test_ending(void)
{
	struct rpc_conn *conn;

	world_init(&w, NULL, NULL);
	ok(!call_sync(&w, &res[0], WP_OP_GETATTR, 10), "connected");
	conn = w.conn;
	rpc_conn_close(conn);
	rpc_conn_notice(conn, WP_OP_LEASE_RECALL, "late", 4); /* before conn_down */
	world_run(&w, 10);
	is_int(w.notices, 0, "dropped when the connection is ending");
	world_done(&w);
	memset(&w, 0, sizeof(w));
	fake_init(&w.f, 3);
	world_init_env(&w, &w.f.env, NULL, NULL, ADDR, &world_deaf_ops, 1, 0);
	ok(!call_sync(&w, &res[0], WP_OP_GETATTR, 10), "connected");
	rpc_conn_notice(w.conn, WP_OP_LEASE_RECALL, "x", 1);
	world_run(&w, 10);
	ok(w.notices == 0 && !call_sync(&w, &res[0], WP_OP_GETATTR, 10) && w.ups == 1, "without a hook: ignored");
	world_done(&w);
}

static void free_peer(struct world *wo)
{
	rpc_peer_free(wo->peer);
	wo->peer = NULL;
	wo->on_notice = NULL;
}

static void test_free_inside(void)
{
	world_init(&w, NULL, NULL);
	w.hold = true;
	call_start(&w, &res[0], WP_OP_GETATTR, 10);
	world_run(&w, 10);
	w.on_notice = free_peer;
	rpc_conn_notice(w.conn, WP_OP_LEASE_RECALL, "x", 1);
	rpc_conn_notice(w.conn, WP_OP_LEASE_RECALL, "y", 1);
	world_run(&w, 10);
	ok(res[0].done && res[0].err == -ECANCELED && w.notices == 1, "the hook may free the peer");
	world_done(&w);
}

/* A server that says what no server says. */
static void hostile(const char *what, const struct wp_hdr *said, bool before_proof, bool closes)
{
	struct rpc_identity s = world_id(WP_ROLE_META, "srv"), c = world_id(WP_ROLE_CLIENT, "c");
	static uint8_t body[64], bulk[64];
	struct wp_hdr h = *said;
	struct raw raw;

	s.auth = c.auth = WP_AUTH_NONE;
	world_init(&w, &s, &c);
	w.addr = "sim:raw:1";
	raw_listen(&raw, w.env, w.addr);
	call_start(&w, &res[0], WP_OP_GETATTR, 10);
	world_run(&w, 1);
	if (before_proof)
		raw_frame(&raw, &h, body, bulk);
	raw_hello_reply(&raw);
	world_run(&w, 1);
	raw_auth_reply(&raw);
	world_run(&w, 1);
	if (!before_proof)
		raw_frame(&raw, &h, body, bulk);
	world_run(&w, 1);
	ok(raw.closed == closes && w.notices == !closes, "%s: %s", what, closes ? "closed" : "taken");
	raw_close(&raw);
	w.addr = ADDR;
	ok_quiet(world_until(&w, &res[0].done, 60000) && !res[0].err, "%s: an honest server answers", what);
	world_done(&w);
}

static void test_hostile(void)
{
	struct wp_hdr good = { .opcode = WP_OP_LEASE_RECALL, .flags = WP_HDR_ONEWAY, .target = TARGET, .body_len = 20 },
		      h = good;

	hostile("a notice", &good, false, false);
	hostile("before the proof", &good, true, true);
	h.flags = 0;
	hostile("a request", &h, false, true);
	h = good;
	h.bulk_len = 40;
	hostile("with bulk", &h, false, true);
	h = good;
	h.target = TARGET + 1;
	hostile("of another target", &h, false, true);
	h = good;
	h.opcode = 0x7ff;
	hostile("unknown", &h, false, true);
	h.opcode = WP_OP_HELLO;
	hostile("hello", &h, false, true);
	h.opcode = WP_OP_AUTH;
	hostile("auth", &h, false, true);
}

int main(void)
{
	test_plain();
	test_order();
	test_ending();
	test_free_inside();
	test_hostile();
	return done_testing();
}
