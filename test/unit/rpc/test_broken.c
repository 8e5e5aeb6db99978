/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Malformed bytes on proved connections, back-pressure, and sends that fail one after the other. */
#include "net/frame.h"
#include "world.h"

static struct world w;
static struct result res[128];

/* Changes the first frame of the given kind that the client sends after the handshake. */
struct damage {
	bool of_client;
	unsigned kind;
	bool did;
};

enum {
	BAD_MAGIC,
	BAD_CRC,
	BAD_HEADER_BYTE,
	BAD_BODY_BYTE,
	BIG_BODY,
	HUGE_BODY,
	BIG_BULK,
	REPLY_FLAG,
	HELLO_AGAIN,
	AUTH_AGAIN,
	BAD_PADDING,
	ZEROS,
	KINDS
};

static size_t damage(void *arg, bool from_client, uint8_t *p, size_t n)
{
	struct damage *d = arg;
	struct wp_hdr h;

	if (d->did || from_client != d->of_client || net_frame_open(p, &h) < 0 || h.opcode != WP_OP_MKDIR)
		return n;
	d->did = true;
	switch (d->kind) {
	case BAD_MAGIC: p[0] ^= 1; return n;
	case BAD_CRC: p[5] ^= 1; return n;
	case BAD_HEADER_BYTE: p[40] ^= 0x80; return n;
	case BAD_BODY_BYTE: p[WP_HDR_SIZE + 3] ^= 4; return n;
	case BIG_BODY: h.body_len = WP_BODY_MAX + 1; break;
	case HUGE_BODY: h.body_len = 0xfffffff8u; break;
	case BIG_BULK: h.bulk_len = WP_BULK_MAX + 1; break;
	case REPLY_FLAG: h.flags ^= WP_HDR_REPLY; break;
	case HELLO_AGAIN: h.opcode = WP_OP_HELLO; break;
	case AUTH_AGAIN: h.opcode = WP_OP_AUTH; break;
	case BAD_PADDING: p[n - 1] = 1; return n;
	case ZEROS: memset(p, 0, n); return n;
	}
	/* a good checksum, so that the damage itself is what is noticed */
	if (h.body_len > 4096 || h.bulk_len) {
		wp_put_le32(p + 12, h.body_len);
		wp_put_le32(p + 16, h.bulk_len);
	} else {
		net_frame_seal(p, &h, p + WP_HDR_SIZE);
	}
	return n;
}

static void test_damage(bool of_client)
{
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct damage d = { .of_client = of_client, .kind = kind };

		if (!of_client && (kind == HELLO_AGAIN || kind == AUTH_AGAIN))
			continue; /* an answer that nobody waits for: dropped */
		world_init(&w, NULL, NULL);
		ok_quiet(!call_sync(&w, &res[0], WP_OP_GETATTR, 10), "proved");
		w.f.filter = damage;
		w.f.filter_arg = &d;
		ok(!call_sync(&w, &res[1], WP_OP_MKDIR, 11) && body_is_echo(&res[1], 11), "damage %u: the call survives", kind);
		ok(d.did && w.downs == 1 && w.ups == 2 && w.resent == 1, "damage %u: the connection does not", kind);
		world_done(&w);
	}
}

static void test_fail_each_send(void)
{
	uint8_t mem[20000] = { 1 };
	struct iovec iov = { mem, sizeof(mem) };
	unsigned k, sends = 0;

	for (k = 1; k < 200; k++) {
		world_init(&w, NULL, NULL);
		w.f.lazy_sends = k & 1;
		w.f.fail_send = k;
		for (unsigned i = 0; i < 10; i++) {
			call_prepare(&res[i], i % 2 ? WP_OP_OBJ_WRITE : WP_OP_GETATTR, 20 + i);
			if (i % 2) {
				res[i].call.bulk = &iov;
				res[i].call.bulk_n = 1;
				res[i].call.reply_bulk = mem;
				res[i].call.reply_bulk_max = sizeof(mem);
			}
			rpc_call(w.peer, &res[i].call);
		}
		for (unsigned i = 0; i < 10; i++)
			ok_quiet(world_until(&w, &res[i].done, 20000) && !res[i].err && body_is_echo(&res[i], 20 + i),
				 "send %u fails: call %u: %d", k, i, res[i].err);
		sends = w.f.fail_send;
		world_done(&w);
		if (sends)
			break;
	}
	ok(k > 20 && sends, "each of %u sends has failed once", k - 1);
}

static void test_back_pressure(void)
{
	static struct result many[1600];
	uint8_t *mem = calloc(1, WP_BULK_MAX);
	struct iovec iov = { mem, WP_BULK_MAX };

	memset(&w, 0, sizeof(w));
	fake_init(&w.f, 2);
	world_init_env(&w, &w.f.env, NULL, NULL, ADDR, &world_plain_ops, 1, 10000);
	w.hold = true;
	for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
		call_start(&w, &many[i], WP_OP_GETATTR, 10);
	world_run(&w, 1000);
	is_int(w.requests, 1024, "requests in progress are bounded");
	world_release(&w);
	world_run(&w, 100);
	is_int(w.requests, 1600, "the rest is read when they are answered");
	world_release(&w);
	for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
		ok_quiet(world_until(&w, &many[i].done, 1000) && !many[i].err, "call %u", i);

	w.requests = 0;
	for (unsigned i = 0; i < 40; i++) {
		call_prepare(&many[i], WP_OP_OBJ_WRITE, 10);
		many[i].call.bulk = &iov;
		many[i].call.bulk_n = 1;
		many[i].call.reply_bulk = mem;
		many[i].call.reply_bulk_max = WP_BULK_MAX;
		rpc_call(w.peer, &many[i].call);
	}
	world_run(&w, 100);
	is_int(w.requests, 16, "so is their bulk memory");
	w.hold = false;
	world_release(&w);
	for (unsigned i = 0; i < 40; i++)
		ok_quiet(world_until(&w, &many[i].done, 1000) && !many[i].err && many[i].bulk_len == WP_BULK_MAX, "call %u", i);
	ok(rpc_node_net_stats(w.server)->holds > 0, "holds are counted");
	world_done(&w);
	free(mem);
}

/* Several connections share what the node allows. */
static void test_shared_memory(void)
{
	struct rpc_peer_params pp = { .service = WP_SERVICE_META, .target = TARGET, .ops = &world_plain_ops, .arg = &w };
	static uint8_t mem[1 << 20];
	struct iovec iov = { mem, sizeof(mem) };
	struct rpc_peer *peers[4];

	world_init(&w, NULL, NULL);
	rpc_node_set_bulk_max(w.server, 5 << 20);
	w.hold = true;
	for (unsigned i = 0; i < 4; i++) {
		if (rpc_peer_new(w.client, &pp, &peers[i]))
			bail_out("peer");
		for (unsigned k = 0; k < 8; k++) {
			struct result *r = &res[i * 8 + k];

			call_prepare(r, WP_OP_OBJ_WRITE, 10);
			r->call.bulk = &iov;
			r->call.bulk_n = 1;
			r->call.reply_bulk = mem;
			r->call.reply_bulk_max = sizeof(mem);
			rpc_call(peers[i], &r->call);
		}
	}
	world_run(&w, 100);
	is_int(w.requests, 5, "no more bulk memory than allowed");
	ok(!call_sync(&w, &res[64], WP_OP_PING, 0) || res[64].err == -EBADMSG, "others are served");
	w.hold = false;
	world_release(&w);
	for (unsigned i = 0; i < 32; i++)
		ok_quiet(world_until(&w, &res[i].done, 1000) && !res[i].err, "call %u: %d", i, res[i].err);
	is_int(w.requests, 32, "all get their turn");
	w.hold = true;
	for (unsigned i = 0; i < 4; i++) {
		call_prepare(&res[i], WP_OP_OBJ_WRITE, 10);
		res[i].call.bulk = &iov;
		res[i].call.bulk_n = 1;
		rpc_call(peers[i], &res[i].call);
	}
	world_run(&w, 10);
	world_done(&w);
}

static void test_close_by_service(void)
{
	struct rpc_req *req;

	world_init(&w, NULL, NULL);
	w.hold = true;
	call_start(&w, &res[0], WP_OP_GETATTR, 10);
	world_run(&w, 10);
	req = list_first(&w.held, struct rpc_req, node);
	rpc_conn_close(req->conn);
	is_int(w.downs, 0, "conn_down does not come from inside");
	w.hold = false;
	ok(world_until(&w, &res[0].done, 1000) && !res[0].err && w.downs == 1, "the call is sent again");
	w.hold = true;
	call_start(&w, &res[0], WP_OP_GETATTR, 10);
	world_run(&w, 10);
	rpc_conn_close(list_last(&w.held, struct rpc_req, node)->conn);
	rpc_service_remove(w.server, &w.svc);
	is_int(w.downs, 2, "conn_down comes before the service is gone");
	world_done(&w);
}

/* A peer that goes away inside the callbacks of its own calls. */
static struct rpc_peer *victim;
static unsigned victims;

static void kill_peer(struct rpc_call *c)
{
	victims++;
	if (victim) {
		struct rpc_peer *p = victim;

		victim = NULL;
		rpc_peer_free(p);
	}
}

static void test_free_in_callback(void)
{
	struct rpc_peer_params pp = { .service = WP_SERVICE_META, .target = TARGET, .ops = &world_plain_ops, .arg = &w };
	static struct rpc_call calls[5];

	world_init(&w, NULL, NULL);
	if (rpc_peer_new(w.client, &pp, &victim))
		bail_out("peer");
	for (unsigned i = 0; i < 5; i++) {
		rpc_call_init(&calls[i], WP_OP_GETATTR, kill_peer, NULL);
		rpc_call(victim, &calls[i]);
	}
	world_run(&w, 1000);
	is_int(victims, 5, "all calls end");
	ok(calls[0].err == 0 && calls[4].err == -ECANCELED, "the first well, the others cancelled");
	world_done(&w);
}

int main(void)
{
	test_damage(true);
	test_damage(false);
	test_fail_each_send();
	test_back_pressure();
	test_shared_memory();
	test_close_by_service();
	test_free_in_callback();
	return done_testing();
}
