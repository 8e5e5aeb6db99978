/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A write that was sent again on a new connection is not executed when its first copy arrives late on the old one. */
#include "fake.h"
#include "tap.h"

static struct fake_env env;
static struct fake_dev dev;
static struct storage_target *target;
static struct rpc_service *svc;

/* Delivers a write; was it executed? */
static bool executed(struct rpc_conn *conn, uint64_t xid, uint16_t flags, uint64_t offset)
{
	struct fake_call c;
	uint8_t byte = 1;
	bool done;

	conn->xid = xid;
	conn->flags = flags;
	fake_write(&c, target, conn, (struct wp_cap){ 0 }, fake_obj(1, 0), offset, &byte, 1);
	done = fake_dev_complete(&dev, 0);
	ok_quiet(c.replied && c.err == (done ? 0 : -WEFT_ENOTREADY), "answer");
	fake_call_done(&c);
	return done;
}

int main(void)
{
	struct storage_params p = { .env = &env.env, .dev = &dev.dev, .target = 1 };
	struct rpc_conn a = { .role = WP_ROLE_META, .sender.b = { 1 } }, b = a, c = a, other = { .role = WP_ROLE_META };

	fake_env_init(&env);
	fake_dev_init(&dev, &env.env);
	weft_assert(storage_target_open(&p, &target) == 0);
	svc = storage_target_service(target);
	svc->conn_up(svc->ctx, &a);
	svc->conn_up(svc->ctx, &other);
	ok(executed(&a, 1, 0, 0), "a write");
	svc->conn_up(svc->ctx, &b);
	ok(executed(&b, 2, WP_HDR_RESENT, 0), "its next one, sent again");
	ok(!executed(&a, 2, 0, 0), "the late first copy");
	ok(executed(&a, 2, 0, 512), "another write with the same number");
	ok(executed(&a, 3, 0, 0), "the same write with another number");
	ok(executed(&other, 2, 0, 0), "another sender's");
	ok(executed(&b, 2, WP_HDR_RESENT, 0), "a third copy, marked");
	svc->conn_down(svc->ctx, &a);
	svc->conn_up(svc->ctx, &c);
	ok(executed(&c, 2, 0, 0), "no first copy can come any more: forgotten");
	for (uint64_t i = 0; i < 5000; i++)
		ok_quiet(executed(&c, 100 + i, WP_HDR_RESENT, 0), "repetition");
	ok(b.closed && !c.closed, "too many repetitions cut the other connections");
	svc->conn_down(svc->ctx, &b);
	svc->conn_down(svc->ctx, &c);
	ok(storage_target_counters(target)->stale_dropped == 1, "counted");
	storage_target_free(target);
	return done_testing();
}
