/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Every message over a device in memory: what is written is read, sizes and holes are right, errors arrive as they are. */
#include "fake.h"
#include "proto/status.h"
#include "tap.h"

#define CAPACITY MIB(16)

static struct fake_env env;
static struct osd_dev *dev;
static struct storage_target *target;
static struct fake_call call;
static uint8_t scratch[65536];

static const struct wp_cap none;

/* Runs the device until the request is answered. */
static int finish(void)
{
	fake_env_run(&env);
	ok_quiet(call.replied, "no answer");
	return call.err;
}

#define SEND(type, TYPE, ...)                                                                                                  \
	({                                                                                                                     \
		struct wp_##type##_req send_m = { __VA_ARGS__ };                                                               \
		uint8_t send_body[512];                                                                                        \
		struct wp_enc send_e;                                                                                          \
		fake_call_done(&call);                                                                                         \
		wp_enc_init(&send_e, send_body, sizeof(send_body));                                                            \
		wp_##type##_req_enc(&send_e, &send_m);                                                                         \
		weft_assert(!send_e.err);                                                                                      \
		fake_send(&call, target, &fake_meta, WP_OP_##TYPE, send_body, send_e.len, NULL, 0);                            \
		finish();                                                                                                      \
	})

#define REPLY(type, m) weft_assert(wp_##type##_rep_decode(call.reply, call.reply_len, scratch, sizeof(scratch), m) == 0)

static int write_at(struct wp_objid obj, uint64_t offset, const void *p, uint32_t len)
{
	fake_call_done(&call);
	fake_write(&call, target, &fake_meta, none, obj, offset, p, len);
	return finish();
}

static int read_at(struct wp_objid obj, uint64_t offset, uint32_t len)
{
	fake_call_done(&call);
	fake_read(&call, target, &fake_meta, none, obj, offset, len);
	return finish();
}

static void pattern(uint8_t *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(seed + i * 7 + i / 251);
}

static void test_read_write(void)
{
	static const struct { uint64_t offset; uint32_t len; } cases[] = {
		{ 0, 1 }, { 0, 4096 }, { 4095, 2 }, { 100, 10000 }, { 8192, WP_BULK_MAX }, { 1, WP_BULK_MAX },
	};
	struct wp_obj_write_rep wr;
	struct wp_obj_read_rep rd;
	uint8_t *p = malloc(WP_BULK_MAX);
	uint32_t crcs[WP_CRCS_MAX];

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct wp_objid obj = fake_obj(10 + i % 2, i);
		uint32_t n;

		pattern(p, cases[i].len, i);
		is_int(write_at(obj, cases[i].offset, p, cases[i].len), 0, "write");
		REPLY(obj_write, &wr);
		is_int(wr.stat.size, cases[i].offset + cases[i].len, "its size");
		ok(wr.verifier == dev->ops->verifier(dev) && wr.stat.version > 0, "verifier and version");
		is_int(read_at(obj, cases[i].offset, cases[i].len), 0, "read");
		REPLY(obj_read, &rd);
		ok(call.reply_bulk_len == cases[i].len && !memcmp(call.reply_bulk, p, cases[i].len), "the same bytes");
		n = fake_crcs(p, cases[i].offset, cases[i].len, crcs);
		ok(rd.crcs_n == n && !memcmp(rd.crcs, crcs, n * sizeof(crcs[0])), "with their checksums");
	}
	free(p);
	is_int(read_at(fake_obj(99, 0), 5, 100), 0, "read of an object that is not there");
	REPLY(obj_read, &rd);
	ok(call.reply_bulk_len == 0 && rd.crcs_n == 0 && rd.stat.version == 0, "gives nothing");
	is_int(read_at(fake_obj(10, 0), 0, 100), 0, "read across the end");
	is_int((long long)call.reply_bulk_len, 1, "is short");
}

static void test_wrong_crc(void)
{
	struct wp_objid obj = fake_obj(20, 0);
	uint32_t crcs[1] = { 0xdeadbeef };
	struct wp_obj_write_req m = { .obj = obj, .crcs = crcs, .crcs_n = 1 };
	uint8_t body[512];
	struct wp_enc e;

	wp_enc_init(&e, body, sizeof(body));
	wp_obj_write_req_enc(&e, &m);
	fake_call_done(&call);
	fake_send(&call, target, &fake_meta, WP_OP_OBJ_WRITE, body, e.len, "hello", 5);
	is_int(finish(), -WEFT_EBADCRC, "a payload that does not match");
	is_int(read_at(obj, 0, 5), 0, "read");
	is_int((long long)call.reply_bulk_len, 0, "nothing was written");
	is_int(storage_target_counters(target)->crc_errors, 1, "counted");
	m.crcs_n = 0;
	wp_enc_init(&e, body, sizeof(body));
	wp_obj_write_req_enc(&e, &m);
	fake_call_done(&call);
	fake_send(&call, target, &fake_meta, WP_OP_OBJ_WRITE, body, e.len, "hello", 5);
	is_int(finish(), -EBADMSG, "no checksums at all");
}

static void test_sizes(void)
{
	struct wp_objid obj = fake_obj(30, 1);
	struct wp_obj_truncate_rep tr;
	struct wp_obj_stat_rep st;
	struct wp_obj_seek_rep sk;
	struct wp_obj_sync_rep sy;
	struct wp_obj_alloc_rep al;
	uint8_t p[20000];

	pattern(p, sizeof(p), 3);
	is_int(SEND(obj_stat, OBJ_STAT, .obj = obj), 0, "stat of nothing");
	REPLY(obj_stat, &st);
	ok(st.stat.version == 0 && st.stat.size == 0, "is zero");
	is_int(SEND(obj_sync, OBJ_SYNC, .obj = obj), 0, "sync of nothing");
	is_int(write_at(obj, 65536, p, sizeof(p)), 0, "write behind a hole");
	is_int(SEND(obj_seek, OBJ_SEEK, .obj = obj, .offset = 0), 0, "seek data");
	REPLY(obj_seek, &sk);
	is_int(sk.offset, 65536, "behind the hole");
	is_int(SEND(obj_seek, OBJ_SEEK, .obj = obj, .offset = 65536, .hole = 1), 0, "seek hole");
	is_int(SEND(obj_seek, OBJ_SEEK, .obj = obj, .offset = 1000000), -ENXIO, "seek behind the end");
	is_int(SEND(obj_truncate, OBJ_TRUNCATE, .obj = obj, .size = 70000), 0, "truncate");
	REPLY(obj_truncate, &tr);
	is_int(tr.stat.size, 70000, "to a size");
	is_int(SEND(obj_alloc, OBJ_ALLOC, .obj = obj, .mode = WP_ALLOC_MODE_ALLOCATE, .offset = 0, .length = 100000), 0, "allocate");
	REPLY(obj_alloc, &al);
	is_int(al.stat.size, 100000, "extends");
	is_int(SEND(obj_alloc, OBJ_ALLOC, .obj = obj, .mode = WP_ALLOC_MODE_PUNCH, .offset = 65536, .length = 4096), 0, "punch");
	is_int(read_at(obj, 65536, 5000), 0, "read");
	ok(call.reply_bulk[0] == 0 && call.reply_bulk[4095] == 0 && call.reply_bulk[4096] == (uint8_t)p[4096], "punched");
	is_int(SEND(obj_alloc, OBJ_ALLOC, .obj = obj, .mode = 9, .offset = 0, .length = 1), -EOPNOTSUPP, "unknown mode");
	is_int(SEND(obj_alloc, OBJ_ALLOC, .obj = obj, .mode = 1, .offset = INT64_MAX, .length = 1), -EFBIG, "too far");
	is_int(SEND(obj_sync, OBJ_SYNC, .obj = obj), 0, "sync");
	REPLY(obj_sync, &sy);
	ok(sy.verifier == dev->ops->verifier(dev) && sy.stat.size == 100000, "verifier and attributes");
}

static void test_target(void)
{
	struct wp_target_statfs_rep sf;
	struct wp_target_sync_rep ts;
	struct wp_obj_list_rep ls;
	struct wp_objid last = { 0 };
	unsigned total = 0;

	is_int(SEND(target_statfs, TARGET_STATFS, 0), 0, "statfs");
	REPLY(target_statfs, &sf);
	ok(sf.space.total == CAPACITY && sf.space.free < CAPACITY && sf.space.id == 1 && sf.space.service == WP_SERVICE_STORAGE,
	   "of this target");
	is_int(SEND(target_sync, TARGET_SYNC, 0), 0, "sync");
	REPLY(target_sync, &ts);
	do {
		weft_assert(SEND(obj_list, OBJ_LIST, .after = last, .max = 3) == 0);
		REPLY(obj_list, &ls);
		total += ls.objs_n;
		if (ls.objs_n)
			last = ls.objs[ls.objs_n - 1];
	} while (!ls.eof);
	ok(total >= 7, "list in parts (%u)", total);
	is_int(SEND(obj_destroy, OBJ_DESTROY, .obj = fake_obj(30, 1)), 0, "destroy");
	is_int(SEND(obj_destroy, OBJ_DESTROY, .obj = fake_obj(30, 1)), 0, "destroy again");
	is_int(read_at(fake_obj(30, 1), 0, 10), 0, "read");
	is_int((long long)call.reply_bulk_len, 0, "is gone");
	fake_call_done(&call);
	fake_send(&call, target, &fake_meta, WP_OP_LOOKUP, NULL, 0, NULL, 0);
	is_int(finish(), -EOPNOTSUPP, "a message of another service");
}

static void test_full(void)
{
	uint8_t *p = calloc(1, MIB(1));
	int err = 0;

	memset(p, 1, MIB(1));
	for (unsigned i = 0; i < 32 && !err; i++)
		err = write_at(fake_obj(40, 0), MIB(i), p, (uint32_t)MIB(1));
	is_int(err, -ENOSPC, "the device is full");
	is_int(SEND(obj_destroy, OBJ_DESTROY, .obj = fake_obj(40, 0)), 0, "destroy");
	is_int(write_at(fake_obj(41, 0), 0, p, (uint32_t)MIB(1)), 0, "room again");
	free(p);
}

int main(void)
{
	struct osd_params op = { .env = &env.env, .capacity = CAPACITY };
	struct storage_params p = { .env = &env.env, .target = 1 };

	fake_env_init(&env);
	weft_assert(osd_backend("mem")->open(&op, &dev) == 0);
	p.dev = dev;
	weft_assert(storage_target_open(&p, &target) == 0);
	test_read_write();
	test_wrong_crc();
	test_sizes();
	test_target();
	test_full();
	fake_call_done(&call);
	storage_target_free(target);
	dev->ops->close(dev);
	return done_testing();
}
