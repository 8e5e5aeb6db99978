/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Calls and services when nothing is wrong, and when connections break, servers are slow or callers lose interest. */
#include "world.h"

static struct world w;
static struct result res[256];

static void fill(uint8_t *p, size_t n, uint8_t seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 13 + (i >> 8) + seed);
}

static void echo_with_bulk(size_t body, size_t bulk, size_t piece)
{
	uint8_t *out = malloc(bulk + 1), *in = calloc(1, bulk + 1);
	struct iovec iov[9];
	size_t at = 0;

	world_init(&w, NULL, NULL);
	w.f.piece = piece;
	fill(out, bulk, 3);
	for (int i = 0; i < 9; i++) { /* more pieces than one send takes */
		iov[i].iov_base = out + at;
		iov[i].iov_len = i < 8 ? bulk / 9 : bulk - at;
		at += iov[i].iov_len;
	}
	call_prepare(&res[0], WP_OP_LOOKUP, body);
	res[0].call.bulk = iov;
	res[0].call.bulk_n = bulk ? 9 : 0;
	res[0].call.reply_bulk = in;
	res[0].call.reply_bulk_max = bulk;
	rpc_call(w.peer, &res[0].call);
	(void)world_until(&w, &res[0].done, 10000);
	ok(res[0].done && !res[0].err && body_is_echo(&res[0], body) && res[0].bulk_len == bulk && !memcmp(out, in, bulk),
	   "echo of %zu + %zu bytes in pieces of %zu", body, bulk, piece);
	world_done(&w);
	free(out);
	free(in);
}

static void test_echo(void)
{
	static const size_t bodies[] = { 0, 1, 8, 100, 511, 512, 513, 1472, 1473, 5000, 16320, 16321, 70000, 1048576 };
	static const size_t bulks[] = { 1, 4095, 4096, 4097, 16384, 100001, 4194304 };

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++)
		echo_with_bulk(bodies[i], 0, i % 2 ? 61 : 0);
	for (size_t i = 0; i < ARRAY_SIZE(bulks); i++)
		echo_with_bulk(bodies[i], bulks[i], i % 2 ? 1000 : 0);
	echo_with_bulk(70000, 4194304, 0);
	echo_with_bulk(70000, 300000, 777);
}

static void test_basics(void)
{
	world_init(&w, NULL, NULL);
	ok(!call_sync(&w, &res[0], WP_OP_GETATTR, 40) && body_is_echo(&res[0], 40), "a call");
	ok(!(w.last_flags & WP_HDR_MUTATES), "lookups do not mutate");
	ok(!call_sync(&w, &res[0], WP_OP_MKDIR, 40) && (w.last_flags & WP_HDR_MUTATES), "mkdir does");
	is_int(w.ups, 1, "one connection");
	is_int(w.state_up, 1, "told");
	ok(rpc_peer_up(w.peer) && rpc_peer_boot_epoch(w.peer) == 42 && rpc_peer_last_error(w.peer) == 0, "up, epoch");
	ok(w.last_role == WP_ROLE_CLIENT && w.last_client_id == 77, "role and client id");
	ok(strstr(w.last_name, "mount1") != NULL, "name: %s", w.last_name);
	for (unsigned i = 0; i < 200; i++)
		call_start(&w, &res[i], WP_OP_GETATTR, i);
	for (unsigned i = 0; i < 200; i++)
		ok_quiet(world_until(&w, &res[i].done, 1000) && !res[i].err && body_is_echo(&res[i], i), "pipelined call %u",
			 i);
	is_int(w.requests, 202, "all arrived once");
	is_int(w.sents, 202, "all replies were sent");
	w.answer = -ENOENT;
	is_int(call_sync(&w, &res[0], WP_OP_GETATTR, 1), -ENOENT, "an error");
	w.answer = -WEFT_ENEEDGROUPS;
	is_int(call_sync(&w, &res[0], WP_OP_GETATTR, 1), -WEFT_ENEEDGROUPS, "an internal error");
	rpc_service_remove(w.server, &w.svc);
	is_int(w.downs, 1, "removing the service takes its connections down");
	world_done(&w);
	is_int(w.downs, 1, "once");
}

static void test_generic(void)
{
	struct wp_counters_rep *rep = calloc(1, sizeof(*rep));
	void *scratch = malloc(200000);
	struct wp_ping_rep pong;
	struct wp_ping_req ping = { .token = 99 };

	world_init(&w, NULL, NULL);
	call_prepare(&res[0], WP_OP_PING, 0);
	wp_ping_req_enc(rpc_call_enc(&res[0].call, 64), &ping);
	rpc_call(w.peer, &res[0].call);
	ok(world_until(&w, &res[0].done, 1000) && !res[0].err &&
	   !wp_ping_rep_decode(res[0].body, res[0].len, NULL, 0, &pong) && pong.token == 99, "ping");
	ok(!call_sync(&w, &res[0], WP_OP_COUNTERS, 8) &&
		   !wp_counters_rep_decode(res[0].body, res[0].len, scratch, 200000, rep) && rep->counters_n > 20,
	   "counters: %u rows", rep->counters_n);
	is_int(call_sync(&w, &res[0], 0x7777, 8), -EOPNOTSUPP, "unknown operation");
	is_int(w.requests, 0, "the service saw none of them");
	world_done(&w);
	free(scratch);
	free(rep);
}

static void test_break(void)
{
	world_init(&w, NULL, NULL);
	w.hold = true;
	for (unsigned i = 0; i < 20; i++) {
		call_prepare(&res[i], i % 2 ? WP_OP_MKDIR : WP_OP_GETATTR, 30);
		if (i % 2) {
			res[i].call.session = 5;
			res[i].call.slot = (uint16_t)i;
			res[i].call.xid = 9; /* the same in every slot */
		}
		rpc_call(w.peer, &res[i].call);
	}
	world_run(&w, 50);
	is_int(w.requests, 20, "sent");
	is_int(w.resent, 0, "not marked");
	fake_break_all(&w.f);
	for (unsigned i = 20; i < 30; i++)
		call_start(&w, &res[i], WP_OP_GETATTR, 30);
	world_run(&w, 500);
	is_int(w.requests, 50, "sent again");
	is_int(w.resent, 20, "exactly those are marked");
	ok(w.downs == 1 && w.ups == 2 && w.state_down == 1 && w.state_up == 2, "down and up again");
	for (unsigned i = 21; i < 40; i++)
		ok_quiet(w.xids[i] >= w.xids[i - 1], "in xid order: %u", i);
	ok(w.xids[40] > w.xids[39], "new ones behind");
	world_release(&w); /* also the dead connection's */
	for (unsigned i = 0; i < 30; i++)
		ok_quiet(world_until(&w, &res[i].done, 1000) && !res[i].err && body_is_echo(&res[i], 30), "answered %u", i);
	is_int(rpc_node_counters(w.server)->replies_dropped, 20, "replies to the dead connection were dropped");
	is_int(w.sents, 50, "but their memory was given back");
	world_done(&w);
}

static void test_deadline_and_cancel(void)
{
	uint64_t start;

	world_init(&w, NULL, NULL);
	w.hold = true;
	call_prepare(&res[0], WP_OP_GETATTR, 10);
	start = w.f.now;
	res[0].call.deadline_ns = start + 300 * NSEC_PER_MSEC;
	rpc_call(w.peer, &res[0].call);
	(void)world_until(&w, &res[0].done, 10000);
	is_int(res[0].err, -ETIMEDOUT, "deadline of a sent call");
	ok(w.f.now - start < 310 * NSEC_PER_MSEC, "in time");
	call_start(&w, &res[1], WP_OP_GETATTR, 10);
	world_run(&w, 10);
	rpc_call_cancel(&res[1].call);
	ok(!res[1].done, "not from inside");
	world_run(&w, 1);
	ok(res[1].done && res[1].err == -ECANCELED, "cancelled");
	rpc_call_cancel(&res[1].call);
	world_release(&w);
	world_run(&w, 10);
	is_int(rpc_node_counters(w.client)->late_replies, 2, "late replies are dropped");
	w.hold = false;
	ok(!call_sync(&w, &res[2], WP_OP_GETATTR, 10), "the connection lives on");
	is_int(w.ups, 1, "the same");

	w.addr = "sim:nowhere:1";
	fake_break_all(&w.f);
	call_prepare(&res[3], WP_OP_GETATTR, 10);
	res[3].call.deadline_ns = w.f.now + 5 * NSEC_PER_SEC;
	rpc_call(w.peer, &res[3].call);
	(void)world_until(&w, &res[3].done, 60000);
	is_int(res[3].err, -ETIMEDOUT, "deadline of a call that could not be sent");
	is_int(rpc_peer_last_error(w.peer), -ECONNREFUSED, "why");
	call_start(&w, &res[4], WP_OP_GETATTR, 10);
	rpc_call_cancel(&res[4].call);
	world_run(&w, 1);
	ok(res[4].done && res[4].err == -ECANCELED, "cancelled in the queue");
	w.addr = ADDR;
	rpc_peer_kick(w.peer);
	ok(!call_sync(&w, &res[5], WP_OP_GETATTR, 10), "kick");
	call_start(&w, &res[6], WP_OP_GETATTR, 10);
	world_done(&w);
	ok(res[6].done && res[6].err == -ECANCELED, "freeing the node cancels");
}

/* The reply's bulk is on the way into the call's memory, or the request's bulk on its way out, when it is cancelled. */
static void test_memory_in_use(void)
{
	size_t n = 1000000;
	uint8_t *mem = calloc(1, n);
	struct iovec iov = { mem, n };

	world_init(&w, NULL, NULL);
	w.f.piece = 1000;
	w.hold = true;
	call_prepare(&res[0], WP_OP_OBJ_WRITE, 10);
	res[0].call.bulk = &iov;
	res[0].call.bulk_n = 1;
	res[0].call.reply_bulk = mem;
	res[0].call.reply_bulk_max = n;
	rpc_call(w.peer, &res[0].call);
	while (!w.requests)
		(void)fake_step(&w.f);
	world_release(&w);
	w.f.piece = 10;
	for (int i = 0; i < 1; i++)
		(void)fake_step(&w.f);
	rpc_call_cancel(&res[0].call);
	(void)world_until(&w, &res[0].done, 10000);
	is_int(res[0].err, -ECANCELED, "cancelled while its reply arrives");
	w.hold = false;
	w.f.piece = 0;
	ok(!call_sync(&w, &res[1], WP_OP_GETATTR, 10), "the connection lives on");

	w.f.stall = true;
	call_prepare(&res[2], WP_OP_OBJ_WRITE, 10);
	res[2].call.bulk = &iov;
	res[2].call.bulk_n = 1;
	res[2].call.deadline_ns = w.f.now + NSEC_PER_SEC;
	rpc_call(w.peer, &res[2].call);
	(void)world_until(&w, &res[2].done, 10000);
	is_int(res[2].err, -ETIMEDOUT, "a stuck send ends with its connection");
	w.f.stall = false;
	ok(!call_sync(&w, &res[1], WP_OP_GETATTR, 10), "and a new one is made");
	w.f.lazy_sends = true; /* replies overtake the news that the request has left */
	for (unsigned i = 0; i < 10; i++) {
		call_prepare(&res[i], WP_OP_OBJ_WRITE, 10);
		res[i].call.bulk = &iov;
		res[i].call.bulk_n = 1;
		res[i].call.reply_bulk = mem;
		res[i].call.reply_bulk_max = i == 5 ? 10 : n;
		rpc_call(w.peer, &res[i].call);
	}
	for (unsigned i = 0; i < 10; i++)
		ok_quiet(world_until(&w, &res[i].done, 1000) && res[i].err == (i == 5 ? -EBADMSG : 0), "overtaking %u: %d", i,
			 res[i].err);
	world_done(&w);
	free(mem);
}

static void test_credits(void)
{
	memset(&w, 0, sizeof(w));
	fake_init(&w.f, 2);
	world_init_env(&w, &w.f.env, NULL, NULL, ADDR, &world_plain_ops, 1, 3);
	w.hold = true;
	for (unsigned i = 0; i < 20; i++)
		call_start(&w, &res[i], WP_OP_GETATTR, 10);
	world_run(&w, 100);
	is_int(w.requests, 3, "no more than the credits");
	w.credits = 5;
	world_release(&w);
	world_run(&w, 100);
	is_int(w.requests, 8, "the reply gave more");
	w.hold = false;
	world_release(&w);
	for (unsigned i = 0; i < 20; i++)
		ok_quiet(world_until(&w, &res[i].done, 1000) && !res[i].err, "call %u", i);
	world_done(&w);

	memset(&w, 0, sizeof(w));
	fake_init(&w.f, 2);
	world_init_env(&w, &w.f.env, NULL, NULL, ADDR, &world_plain_ops, 3, 100);
	w.hold = true;
	for (unsigned i = 0; i < 60; i++)
		call_start(&w, &res[i], WP_OP_GETATTR, 10);
	world_run(&w, 200);
	call_start(&w, &res[60], WP_OP_GETATTR, 10);
	world_run(&w, 200);
	call_start(&w, &res[61], WP_OP_GETATTR, 10);
	world_run(&w, 200);
	is_int(w.ups, 3, "a busy peer opens all its connections");
	fake_break_all(&w.f);
	world_run(&w, 2000);
	is_int(w.resent, 62, "all calls go over the new ones");
	w.hold = false;
	world_release(&w);
	for (unsigned i = 0; i < 62; i++)
		ok_quiet(world_until(&w, &res[i].done, 1000) && !res[i].err, "call %u", i);
	world_done(&w);
}

static void test_retries(void)
{
	world_init(&w, NULL, NULL);
	w.answer = -WEFT_ENOTREADY;
	w.answers = 5;
	ok(!call_sync(&w, &res[0], WP_OP_MKDIR, 10), "not ready: tried again inside");
	is_int(w.requests, 6, "as often as needed");
	is_int(w.resent, 0, "not marked: it was refused");
	w.answer = -WEFT_ENOTREADY;
	call_prepare(&res[1], WP_OP_MKDIR, 10);
	res[1].call.deadline_ns = w.f.now + 3 * NSEC_PER_SEC;
	rpc_call(w.peer, &res[1].call);
	(void)world_until(&w, &res[1].done, 10000);
	is_int(res[1].err, -ETIMEDOUT, "until the deadline");
	w.answer = -WEFT_ESTALEMAP;
	w.answers = 1;
	ok(!call_sync(&w, &res[2], WP_OP_MKDIR, 10), "stale map: tried again on a new connection");
	is_int(w.ups, 2, "yes");
	w.answer = -WEFT_ENOTREADY;
	call_start(&w, &res[3], WP_OP_MKDIR, 10);
	world_run(&w, 100);
	rpc_call_cancel(&res[3].call);
	world_run(&w, 1);
	is_int(res[3].err, -ECANCELED, "cancelled while waiting");
	world_done(&w);
}

static void test_attach(void)
{
	memset(&w, 0, sizeof(w));
	fake_init(&w.f, 3);
	world_init_env(&w, &w.f.env, NULL, NULL, ADDR, &world_attach_ops, 1, 0);
	ok(!call_sync(&w, &res[0], WP_OP_GETATTR, 10), "a call after attaching");
	is_int(w.requests, 2, "attach came first");
	fake_break_all(&w.f);
	world_run(&w, 100);
	is_int(w.attaches, 2, "attached again without a call");
	w.attach_err = -WEFT_ENOSESSION;
	call_prepare(&res[1], WP_OP_GETATTR, 10);
	res[1].call.session = 5;
	w.hold = true;
	rpc_call(w.peer, &res[1].call);
	world_run(&w, 10);
	w.hold = false;
	world_release(&w);
	(void)world_until(&w, &res[1].done, 1000);
	call_prepare(&res[1], WP_OP_GETATTR, 10);
	res[1].call.session = 5;
	fake_break_all(&w.f);
	rpc_call(w.peer, &res[1].call);
	(void)world_until(&w, &res[1].done, 1000);
	is_int(res[1].err, -WEFT_ENOSESSION, "session lost: its calls fail");
	w.attach_err = -EIO;
	call_start(&w, &res[2], WP_OP_GETATTR, 10);
	world_run(&w, 5000);
	ok(!res[2].done, "attach fails: calls wait");
	w.attach_err = 0;
	ok(world_until(&w, &res[2].done, 3000) && !res[2].err, "until it works");
	w.hold = true; /* break while attach waits for its reply */
	fake_break_all(&w.f);
	world_run(&w, 100);
	fake_break_all(&w.f);
	world_run(&w, 100);
	w.hold = false;
	world_release(&w);
	ok(!call_sync(&w, &res[3], WP_OP_GETATTR, 10), "attach that lost its connection");
	w.hold = true;
	fake_break_all(&w.f);
	world_run(&w, 100);
	world_done(&w);
	ok(true, "freed in the middle of attaching");
}

static unsigned newer, newest;

static void newer_map(void *arg, uint32_t version)
{
	newer++;
	newest = version;
}

static void test_maps(void)
{
	world_init(&w, NULL, NULL);
	rpc_node_set_map_version(w.server, 9);
	rpc_node_on_newer_map(w.client, newer_map, NULL);
	rpc_node_on_newer_map(w.server, newer_map, NULL);
	for (unsigned i = 0; i < 3; i++)
		ok(!call_sync(&w, &res[0], WP_OP_GETATTR, 10), "a call");
	is_int(res[0].call.reply_hdr.map_version, 9, "map version in headers");
	ok(newer == 1 && newest == 9, "a newer map is told once");
	rpc_node_set_map_version(w.client, 10);
	ok(!call_sync(&w, &res[0], WP_OP_GETATTR, 10) && newer == 2 && newest == 10, "to servers as well");
	world_done(&w);
}

static void test_oneway(void)
{
	world_init(&w, NULL, NULL);
	call_prepare(&res[0], WP_OP_GETATTR, 10);
	res[0].call.flags |= WP_HDR_ONEWAY;
	rpc_call(w.peer, &res[0].call);
	ok(world_until(&w, &res[0].done, 100) && !res[0].err, "a call without a reply ends when it is sent");
	world_run(&w, 10);
	ok(w.requests == 1 && w.sents == 1 && rpc_node_counters(w.client)->late_replies == 0, "and gets none");
	world_done(&w);
}

/* Everything is freed after each step of a busy scenario; the sanitizer sees what is left or used afterwards. */
static void test_free_anywhere(void)
{
	static uint8_t mem[50000];
	struct iovec iov = { mem, sizeof(mem) };
	unsigned ended = 0;

	for (unsigned k = 0; k < 120; k++) {
		memset(&w, 0, sizeof(w));
		fake_init(&w.f, k);
		world_init_env(&w, &w.f.env, NULL, NULL, ADDR, k & 1 ? &world_attach_ops : &world_plain_ops, 2, 0);
		w.f.piece = 3000;
		w.f.lazy_sends = k & 2;
		w.hold = k & 4;
		for (unsigned i = 0; i < 10; i++) {
			call_prepare(&res[i], i % 2 ? WP_OP_OBJ_WRITE : WP_OP_GETATTR, 20);
			res[i].call.bulk = &iov;
			res[i].call.bulk_n = i % 2;
			res[i].call.reply_bulk = mem;
			res[i].call.reply_bulk_max = sizeof(mem);
			rpc_call(w.peer, &res[i].call);
		}
		for (unsigned i = 0; i < k; i++)
			(void)fake_step(&w.f);
		if (k % 3 == 0)
			rpc_call_cancel(&res[1].call);
		if (k % 5 == 0)
			fake_break_all(&w.f);
		w.addr = ADDR; /* the listener's own text goes with it */
		if (k & 8) { /* the server goes first */
			rpc_node_free(w.server);
			world_release(&w);
			world_run(&w, 10);
			rpc_node_free(w.client);
			fake_done(&w.f);
		} else {
			world_done(&w);
		}
		for (unsigned i = 0; i < 10; i++)
			ended += res[i].done;
	}
	is_int(ended, 1200, "every call ended once");
}

static void test_silence(void)
{
	world_init(&w, NULL, NULL);
	w.hold = true;
	call_start(&w, &res[0], WP_OP_GETATTR, 10);
	world_run(&w, 60000);
	ok(w.ups == 1 && rpc_node_counters(w.client)->pings > 3, "a waiting call keeps its connection by pings");
	w.f.stall = true;
	world_run(&w, 60000);
	ok(rpc_node_counters(w.client)->disconnects == 1, "a silent server loses it");
	w.f.stall = false;
	w.hold = false;
	ok(world_until(&w, &res[0].done, 10000) && !res[0].err, "and the call is sent again");
	world_release(&w);
	world_done(&w);
}

int main(void)
{
	test_basics();
	test_echo();
	test_generic();
	test_break();
	test_deadline_and_cancel();
	test_memory_in_use();
	test_credits();
	test_retries();
	test_attach();
	test_maps();
	test_oneway();
	test_free_anywhere();
	test_silence();
	return done_testing();
}
