/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Hostile bytes: cut, random and mutated request bodies get an error or a proper answer, never a crash. */
#include "fake.h"
#include "tap.h"

static struct fake_env env;
static struct fake_dev dev;
static struct storage_target *target;
static uint64_t answered, refused;

#define TAIL 4u /* length of the optional fields: bodies may end before it */

static void send(struct rpc_conn *conn, uint16_t op, const uint8_t *body, size_t len, const uint8_t *bulk, size_t bulk_len)
{
	struct fake_call c;

	fake_send(&c, target, conn, op, body, len, bulk, bulk_len);
	if (dev.sync_fn) {
		osd_commit_fn *fn = dev.sync_fn;

		dev.sync_fn = NULL;
		fn(dev.sync_arg, 0);
	}
	while (fake_dev_complete(&dev, 0)) {
	}
	ok_quiet(c.replied, "op %04x got no answer", op);
	answered += !c.err;
	refused += c.err != 0;
	fake_call_done(&c);
}

static size_t valid(uint16_t op, uint8_t *body, size_t size)
{
	struct wp_objid obj = fake_obj(3, 1);
	struct wp_cap cap = fake_cap(obj.fid, 3, 2000000);
	uint32_t crcs[2] = { 1, 2 };
	struct wp_enc e;

	wp_enc_init(&e, body, (uint32_t)size);
	switch (op) {
	case WP_OP_OBJ_READ: wp_obj_read_req_enc(&e, &(struct wp_obj_read_req){ cap, obj, 4095, 4096, 0 }); break;
	case WP_OP_OBJ_WRITE: wp_obj_write_req_enc(&e, &(struct wp_obj_write_req){ cap, obj, 4095, 0, crcs, 2 }); break;
	case WP_OP_OBJ_TRUNCATE: wp_obj_truncate_req_enc(&e, &(struct wp_obj_truncate_req){ cap, obj, 9 }); break;
	case WP_OP_OBJ_ALLOC: wp_obj_alloc_req_enc(&e, &(struct wp_obj_alloc_req){ cap, obj, 3, 9, 9 }); break;
	case WP_OP_OBJ_SEEK: wp_obj_seek_req_enc(&e, &(struct wp_obj_seek_req){ cap, obj, 9, 1 }); break;
	case WP_OP_OBJ_SYNC: wp_obj_sync_req_enc(&e, &(struct wp_obj_sync_req){ cap, obj }); break;
	case WP_OP_OBJ_STAT: wp_obj_stat_req_enc(&e, &(struct wp_obj_stat_req){ cap, obj }); break;
	case WP_OP_OBJ_DESTROY: wp_obj_destroy_req_enc(&e, &(struct wp_obj_destroy_req){ cap, obj }); break;
	case WP_OP_OBJ_LIST: wp_obj_list_req_enc(&e, &(struct wp_obj_list_req){ obj, 100 }); break;
	default: wp_target_statfs_req_enc(&e, &(struct wp_target_statfs_req){ 0 }); break;
	}
	weft_assert(!e.err);
	return e.len;
}

static uint32_t pick(void) { return (uint32_t)env_random_u64(&env.env); }

static void mutate(uint8_t *body, size_t len)
{
	static const uint32_t nasty[] = { 0, 1, 0x7fffffff, 0x80000000, 0xffffffff, WP_BULK_MAX, WP_BULK_MAX + 1, WP_CRCS_MAX + 1 };

	for (unsigned n = 1 + pick() % 3; n && len; n--) {
		size_t at = pick() % len;

		if (pick() % 2 && at + 4 <= len)
			wp_put_le32(body + at, nasty[pick() % ARRAY_SIZE(nasty)]);
		else
			body[at] ^= (uint8_t)(1u << pick() % 8);
	}
}

int main(void)
{
	struct storage_params p = { .env = &env.env, .dev = &dev.dev, .target = 1 };
	struct rpc_conn *conns[] = { &fake_client, &fake_meta };
	static uint8_t body[4096], bulk[8192];

	fake_env_init(&env);
	fake_dev_init(&dev, &env.env);
	memcpy(p.cap_key, fake_key, sizeof(p.cap_key));
	weft_assert(storage_target_open(&p, &target) == 0);
	for (uint16_t op = WP_OP_OBJ_READ; op <= WP_OP_TARGET_SYNC + 2; op++) {
		size_t len = valid(op, body, sizeof(body));

		send(&fake_meta, op, body, len, bulk, 4096);
		for (size_t cut = 0; cut + TAIL < len; cut++)
			send(conns[cut % 2], op, body, cut, bulk, 4096);
	}
	ok(answered == 11, "whole requests are answered (%llu), cut ones refused (%llu)", (unsigned long long)answered,
	   (unsigned long long)refused);
	for (unsigned i = 0; i < 100000; i++) {
		uint16_t op = (uint16_t)(WP_OP_OBJ_READ + pick() % 13);
		size_t len = valid(op, body, sizeof(body));

		if (i % 8 == 0)
			env_random(&env.env, body, len = pick() % 200);
		else
			mutate(body, len);
		send(conns[pick() % 2], op, body, len, bulk, pick() % 4 ? 4096 : pick() % sizeof(bulk));
	}
	ok(storage_target_counters(target)->malformed > 1000, "malformed ones were counted");
	ok(storage_target_counters(target)->inflight_ops == 0, "nothing is left in flight");
	storage_target_free(target);
	return done_testing();
}
