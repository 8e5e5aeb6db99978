/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Power cuts: after each, what was acknowledged as durable is there, what was not is there whole, in part or not at all as the
 * contract allows, and nothing is unreadable. And what else the fault engine injects.
 */
#include "tap.h"
#include "world.h"

#include "env/env_linux.h"
#include "proto/status.h"

enum { OBJECTS = 6, SIZE = 40000, SEEDS = 400, KEYS = 40 };

/* For each byte: which values it may have. The durable one, and those of unsynced changes since. */
struct obj_oracle {
	uint8_t durable[SIZE], now[SIZE];
	uint8_t may[SIZE][32]; /* a bit for each value */
	uint64_t durable_size, now_size;
	bool changed;
	uint64_t version;
};

static struct obj_oracle oracle[OBJECTS];
/* The index holds counters: transaction n writes n under its keys. log[n]: which. */
static uint8_t log_key[20000];
static uint64_t txns, durable_txns, stable_txns;
static uint64_t rng;

static uint64_t rnd(uint64_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng % n;
}

static void may_be(struct obj_oracle *o, uint64_t at, uint8_t v) { o->may[at][v / 8] = (uint8_t)(o->may[at][v / 8] | 1u << v % 8); }

static void settle(struct obj_oracle *o)
{
	memcpy(o->durable, o->now, SIZE);
	o->durable_size = o->now_size;
	memset(o->may, 0, sizeof(o->may));
	for (uint64_t i = 0; i < SIZE; i++)
		may_be(o, i, o->now[i]);
	o->changed = false;
}

static void change_bytes(struct obj_oracle *o, uint64_t at, uint64_t len, uint8_t v)
{
	memset(o->now + at, v, len);
	for (uint64_t i = at; i < at + len; i++)
		may_be(o, i, v);
	o->changed = true;
}

static bool step_object(struct world *w, unsigned k)
{
	struct obj_oracle *o = &oracle[k];
	struct wp_objid id = obj_id(k);
	struct osd_io io = { .obj = id, .offset = rnd(SIZE / 2), .length = 1 + rnd(SIZE / 2 - 1) };
	static uint8_t data[SIZE];
	uint8_t v = (uint8_t)(1 + rnd(255));

	switch (rnd(8)) {
	default:
		memset(data, v, io.length);
		change_bytes(o, io.offset, io.length, v);
		o->now_size = MAX(o->now_size, io.offset + io.length);
		return world_write(w, &id, io.offset, data, io.length) == 0;
	case 4:
		io.op = OSD_TRUNCATE;
		if (io.length < SIZE)
			change_bytes(o, io.length, SIZE - io.length, 0);
		o->now_size = io.length;
		return world_io(w, &io) == 0;
	case 5:
		io.op = OSD_ALLOC;
		io.mode = WP_ALLOC_MODE_PUNCH;
		change_bytes(o, io.offset, io.length, 0);
		return world_io(w, &io) == 0;
	case 6:
		io.op = OSD_SYNC;
		if (world_io(w, &io) < 0)
			return false;
		settle(o);
		return true;
	case 7:
		io.op = OSD_DESTROY;
		change_bytes(o, 0, SIZE, 0);
		o->now_size = 0;
		return world_io(w, &io) == 0;
	}
}

static void committed(void *arg, int err)
{
	uint64_t n = (uint64_t)(uintptr_t)arg;

	ok_quiet(!err && n == durable_txns + 1, "commits come in order");
	ok_quiet(n <= stable_txns, "and not before they are stable");
	durable_txns = n;
}

static bool step_txn(struct world *w)
{
	uint64_t n = txns + 1;
	struct osd_txn t;
	uint8_t key;

	if (n >= sizeof(log_key))
		return true;
	log_key[n] = key = (uint8_t)rnd(KEYS);
	osd_txn_init(&t);
	osd_txn_put(&t, osd_slice(&key, 1), osd_slice(&n, sizeof(n)));
	osd_txn_put(&t, osd_slice("last", 4), osd_slice(&n, sizeof(n)));
	key = (uint8_t)rnd(KEYS);
	osd_txn_del(&t, osd_slice(&key, 1)); /* maybe the one just put */
	osd_txn_put(&t, osd_slice(&key, 1), osd_slice(&n, sizeof(n)));
	txns = n;
	return osd_txn_submit(w->dev, &t, n, committed, (void *)(uintptr_t)n) == 0;
}

static bool object_ok(struct world *w, unsigned k)
{
	struct obj_oracle *o = &oracle[k];
	struct wp_objid id = obj_id(k);
	struct osd_io io = { .op = OSD_STAT, .obj = id };
	static uint8_t got[SIZE];
	int64_t n = world_read(w, &id, 0, got, SIZE);
	int r = world_io(w, &io);

	if (n < 0 || (r < 0 && r != -ENOENT) || (!r && io.stat.size != (uint64_t)n))
		return false;
	if (!o->changed && (uint64_t)n != o->durable_size)
		return false;
	for (int64_t i = 0; i < n; i++)
		if (o->changed ? !(o->may[i][got[i] / 8] & 1u << got[i] % 8) && got[i] : got[i] != o->durable[i])
			return false;
	if (!r && io.stat.version < o->version)
		return false;
	if (!r)
		o->version = io.stat.version;
	/* What is there now is what is durable. */
	memset(o->now, 0, SIZE);
	memcpy(o->now, got, (size_t)n);
	o->now_size = (uint64_t)n;
	settle(o);
	return true;
}

/* The index is as after transactions 1..n, for an n that was allowed. */
static bool index_ok(struct world *w)
{
	struct osd_slice v;
	uint64_t n = 0;

	if (osd_get(w->dev, osd_slice("last", 4), &v) == 0)
		memcpy(&n, v.p, sizeof(n));
	if (n < durable_txns || n > stable_txns || w->ops->applied(w->dev) != n)
		return false;
	for (uint8_t key = 0; key < KEYS; key++) {
		uint64_t value = 0;

		if (osd_get(w->dev, osd_slice(&key, 1), &v) == 0)
			memcpy(&value, v.p, sizeof(value));
		if (value > n)
			return false;
	}
	txns = durable_txns = stable_txns = n;
	return true;
}

static void sync_seen(void *arg, int err) { *(bool *)arg = true; }

static void one_seed(unsigned seed)
{
	struct osd_fault_plan plan = { .delay_us_max = seed % 3 ? 0 : 300 };
	unsigned bad = 0;
	struct world w;

	rng = 0x9e3779b97f4a7c15ull * (seed + 1);
	memset(oracle, 0, sizeof(oracle));
	txns = durable_txns = stable_txns = 0;
	world_open_seeded(&w, "fault-mem", 0, seed);
	for (unsigned k = 0; k < OBJECTS; k++)
		settle(&oracle[k]);
	for (unsigned cut = 0; cut < 4; cut++) {
		uint64_t verifier = w.ops->verifier(w.dev);
		unsigned steps = (unsigned)rnd(60);
		bool synced;

		osd_fault_set(w.dev, &plan);
		while (steps--) {
			bad += !(rnd(2) ? step_object(&w, (unsigned)rnd(OBJECTS)) : step_txn(&w));
			if (rnd(4) == 0) {
				stable_txns += rnd(txns - stable_txns + 1);
				w.ops->stable(w.dev, stable_txns);
			}
			if (rnd(6) == 0)
				env_linux_run_once(w.env, false);
			if (rnd(40) == 0) {
				synced = false;
				w.ops->sync(w.dev, sync_seen, &synced);
				world_wait(&w, &synced);
				for (unsigned k = 0; k < OBJECTS; k++)
					settle(&oracle[k]);
				bad += durable_txns != stable_txns;
			}
		}
		world_power_cut(&w, seed + cut);
		bad += w.ops->verifier(w.dev) == verifier;
		bad += !index_ok(&w);
		for (unsigned k = 0; k < OBJECTS; k++)
			bad += !object_ok(&w, k);
	}
	world_close(&w, true);
	ok_quiet(!bad, "seed %u: %u rules broken", seed, bad);
}

/* ---- what else is injected ------------------------------------------------------------------------------------------------------------ */

static void check_failures(const char *stack)
{
	struct wp_objid id = obj_id(1);
	struct osd_fault_plan plan;
	unsigned bad = 0;
	struct world w;

	world_open(&w, stack, 0);
	for (unsigned k = 1; k <= 4; k++) {
		plan = (struct osd_fault_plan){ .fail_at = k, .fail_err = -EIO };
		osd_fault_set(w.dev, &plan);
		for (unsigned i = 1; i <= 4; i++)
			bad += world_write(&w, &id, i * 100, "abc", 3) != (i == k ? -EIO : 0);
	}
	is_int(bad, 0, "the k-th call fails, and only that");
	plan = (struct osd_fault_plan){ .corrupt_ppm = 1000000 };
	osd_fault_set(w.dev, &plan);
	is_int(world_read(&w, &id, 0, (char[100]){ 0 }, 100), -WEFT_ECORRUPT, "a flipped bit is an error");
	plan = (struct osd_fault_plan){ 0 };
	osd_fault_set(w.dev, &plan);
	is_int(world_read(&w, &id, 100, (char[3]){ 0 }, 3), 3, "what is stored is fine");
	world_close(&w, true);
}

static void check_capacity(void)
{
	struct osd_fault_plan plan = { .capacity = 100000 };
	struct wp_objid id = obj_id(1);
	static char data[50000];
	struct osd_space s;
	struct world w;

	world_open(&w, "fault-mem", 0);
	osd_fault_set(w.dev, &plan);
	is_int(world_write(&w, &id, 0, data, sizeof(data)), 0, "within the limit");
	is_int(world_write(&w, &id, sizeof(data), data, sizeof(data)), -ENOSPC, "beyond it");
	w.ops->statfs(w.dev, &s);
	ok(s.total == 100000 && s.free < 50000, "statfs knows");
	world_close(&w, true);
}

int main(void)
{
	unsigned before = tap_failed;

	for (unsigned seed = 0; seed < SEEDS; seed++)
		one_seed(seed);
	ok(tap_failed == before, "%u seeds of power cuts", (unsigned)SEEDS);
	check_failures("fault-mem");
	check_failures("fault-disk");
	check_capacity();
	return done_testing();
}
