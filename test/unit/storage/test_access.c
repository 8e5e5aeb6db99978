/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Nothing reaches the device without the right: forged, expired, foreign and missing capabilities, roles. */
#include "fake.h"
#include "tap.h"

static struct fake_env env;
static struct fake_dev dev;
static struct storage_target *target;

/* The device saw the operation, or the error. */
static void expect(struct fake_call *c, int err, const char *what)
{
	bool reached = fake_dev_complete(&dev, 0);

	(void)fake_dev_complete(&dev, 0); /* truncations sync */
	ok(c->replied && c->err == err && reached == !err, "%s (%d)", what, c->err);
	fake_call_done(c);
}

static void test_rights(void)
{
	struct wp_objid obj = fake_obj(5, 0);
	struct fake_call c;
	uint8_t byte = 1;

	fake_read(&c, target, &fake_client, fake_cap(obj.fid, WP_RIGHTS_READ, 2000000), obj, 0, 1);
	expect(&c, 0, "read with the right to read");
	fake_write(&c, target, &fake_client, fake_cap(obj.fid, WP_RIGHTS_READ, 2000000), obj, 0, &byte, 1);
	expect(&c, -WEFT_EBADCAP, "write with the right to read");
	fake_write(&c, target, &fake_client, fake_cap(obj.fid, WP_RIGHTS_WRITE, 2000000), obj, 0, &byte, 1);
	expect(&c, 0, "write with the right to write");
	fake_read(&c, target, &fake_client, fake_cap(obj.fid, WP_RIGHTS_WRITE, 2000000), obj, 0, 1);
	expect(&c, -WEFT_EBADCAP, "read with the right to write");
	fake_read(&c, target, &fake_client, (struct wp_cap){ 0 }, obj, 0, 1);
	expect(&c, -WEFT_EBADCAP, "no capability");
	fake_read(&c, target, &fake_meta, (struct wp_cap){ 0 }, obj, 0, 1);
	expect(&c, 0, "a server needs none");
	fake_read(&c, target, &fake_admin, (struct wp_cap){ 0 }, obj, 0, 1);
	expect(&c, -WEFT_EBADCAP, "an administrator does");
}

static void test_forgery(void)
{
	struct wp_objid obj = fake_obj(6, 0);
	struct wp_cap good = fake_cap(obj.fid, WP_RIGHTS_READ, 2000000), cap;
	uint8_t mac[WP_MAC_SIZE];
	struct fake_call c;

	fake_read(&c, target, &fake_client, good, obj, 0, 1);
	expect(&c, 0, "the genuine capability");
	memcpy(mac, good.mac.p, sizeof(mac));
	mac[31] ^= 1;
	cap = good;
	cap.mac.p = mac;
	fake_read(&c, target, &fake_client, cap, obj, 0, 1);
	expect(&c, -WEFT_EBADCAP, "its code changed");
	cap = good;
	cap.rights |= WP_RIGHTS_WRITE;
	fake_read(&c, target, &fake_client, cap, obj, 0, 1);
	expect(&c, -WEFT_EBADCAP, "its rights changed");
	cap = good;
	cap.expiry++;
	fake_read(&c, target, &fake_client, cap, obj, 0, 1);
	expect(&c, -WEFT_EBADCAP, "its expiry changed");
	cap = good;
	cap.mac.len = 31;
	fake_read(&c, target, &fake_client, cap, obj, 0, 1);
	expect(&c, -WEFT_EBADCAP, "its code shortened");
	fake_read(&c, target, &fake_client, good, fake_obj(7, 0), 0, 1);
	expect(&c, -WEFT_EBADCAP, "for the object of another file");
	fake_read(&c, target, &fake_client, good, fake_obj(6, 3), 0, 1);
	expect(&c, 0, "for another object of the same file");
	cap = good;
	cap.fid.oid = 7;
	fake_read(&c, target, &fake_client, cap, fake_obj(7, 0), 0, 1);
	expect(&c, -WEFT_EBADCAP, "its file changed");
}

static void test_expiry(void)
{
	struct wp_objid obj = fake_obj(8, 0);
	struct wp_cap cap = fake_cap(obj.fid, WP_RIGHTS_READ, 1000100);
	struct fake_call c;

	env.wall_ns = 1000100 * NSEC_PER_SEC;
	fake_read(&c, target, &fake_client, cap, obj, 0, 1);
	expect(&c, 0, "in its last second");
	env.wall_ns = (1000100ull + STORAGE_CAP_GRACE_S) * NSEC_PER_SEC;
	fake_read(&c, target, &fake_client, cap, obj, 0, 1);
	expect(&c, 0, "in the grace for clocks");
	env.wall_ns += NSEC_PER_SEC;
	fake_read(&c, target, &fake_client, cap, obj, 0, 1);
	expect(&c, -WEFT_ECAPEXPIRED, "after it, though verified before");
	env.wall_ns = 1000000 * NSEC_PER_SEC;
}

static void test_cache(void)
{
	const struct storage_counters *n = storage_target_counters(target);
	uint64_t verified = n->cap_verified, cached = n->cap_cached;
	struct fake_call c;

	for (unsigned i = 0; i < 10; i++) {
		fake_read(&c, target, &fake_client, fake_cap(fake_obj(20, 0).fid, WP_RIGHTS_READ, 2000000), fake_obj(20, i), 0, 1);
		(void)fake_dev_complete(&dev, 0);
		fake_call_done(&c);
	}
	is_int(n->cap_verified - verified, 1, "verified once");
	is_int(n->cap_cached - cached, 9, "remembered then");
	for (uint32_t i = 0; i < 3 * 4096; i++) {
		fake_read(&c, target, &fake_client, fake_cap(fake_obj(100 + i, 0).fid, WP_RIGHTS_READ, 2000000),
			  fake_obj(100 + i, 0), 0, 1);
		(void)fake_dev_complete(&dev, 0);
		ok_quiet(c.replied && !c.err, "file %u", i);
		fake_call_done(&c);
	}
	is_int(n->cap_failures, 10, "refusals were counted");
}

static void send_small(struct fake_call *c, struct rpc_conn *conn, uint16_t op)
{
	struct wp_objid obj = fake_obj(9, 0);
	struct wp_cap cap = fake_cap(obj.fid, ~0u, 2000000);
	uint8_t body[256];
	struct wp_enc e;

	wp_enc_init(&e, body, sizeof(body));
	if (op == WP_OP_OBJ_TRUNCATE)
		wp_obj_truncate_req_enc(&e, &(struct wp_obj_truncate_req){ .cap = cap, .obj = obj, .size = 5 });
	else if (op == WP_OP_OBJ_DESTROY)
		wp_obj_destroy_req_enc(&e, &(struct wp_obj_destroy_req){ .cap = cap, .obj = obj });
	else
		wp_obj_list_req_enc(&e, &(struct wp_obj_list_req){ .max = 4 });
	fake_send(c, target, conn, op, body, e.len, NULL, 0);
}

static void test_roles(void)
{
	struct fake_call c;

	send_small(&c, &fake_client, WP_OP_OBJ_TRUNCATE);
	expect(&c, -WEFT_EDENIED, "truncate is not a client's");
	send_small(&c, &fake_meta, WP_OP_OBJ_TRUNCATE);
	expect(&c, 0, "but a server's");
	send_small(&c, &fake_client, WP_OP_OBJ_DESTROY);
	expect(&c, -WEFT_EDENIED, "destroy is not a client's");
	send_small(&c, &fake_meta, WP_OP_OBJ_DESTROY);
	expect(&c, 0, "but a server's");
	send_small(&c, &fake_client, WP_OP_OBJ_LIST);
	ok(c.replied && c.err == -WEFT_EDENIED, "list is not a client's");
	fake_call_done(&c);
	send_small(&c, &fake_admin, WP_OP_OBJ_LIST);
	ok(c.replied && c.err == 0, "but an administrator's");
	fake_call_done(&c);
}

int main(void)
{
	struct storage_params p = { .target = 1 };

	fake_env_init(&env);
	fake_dev_init(&dev, &env.env);
	p.env = &env.env;
	p.dev = &dev.dev;
	memcpy(p.cap_key, fake_key, sizeof(p.cap_key));
	is_int(storage_target_open(&p, &target), 0, "open");
	test_rights();
	test_forgery();
	test_expiry();
	test_cache();
	test_roles();
	storage_target_free(target);
	p.target = 0;
	is_int(storage_target_open(&p, &target), -EINVAL, "target 0 is none");
	return done_testing();
}
