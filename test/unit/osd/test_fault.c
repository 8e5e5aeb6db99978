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

/* A state of an object, and which values each byte has had since. */
struct state {
	uint8_t bytes[SIZE];
	uint8_t may[SIZE][32]; /* a bit for each value */
	uint64_t size;
	bool changed;
};

struct pending_sync {
	struct osd_io io;
	struct state state; /* as it was when the sync was submitted */
	unsigned object;
	uint64_t order;
	bool busy;
};

struct obj_oracle {
	struct state durable;
	uint8_t now[SIZE];
	uint64_t now_size, version, synced_order;
};

enum { SYNCS = 4 };
static struct pending_sync syncs[SYNCS];
static uint64_t sync_order;
static unsigned lost_objects, kept_objects, lost_txns, kept_txns;
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

static void may_be(struct state *st, uint64_t at, uint8_t v)
{
	st->may[at][v / 8] = (uint8_t)(st->may[at][v / 8] | 1u << v % 8);
}

/* st becomes what the object is now. */
static void capture(struct obj_oracle *o, struct state *st)
{
	memcpy(st->bytes, o->now, SIZE);
	st->size = o->now_size;
	memset(st->may, 0, sizeof(st->may));
	for (uint64_t i = 0; i < SIZE; i++)
		may_be(st, i, o->now[i]);
	st->changed = false;
}

static void settle(struct obj_oracle *o)
{
	capture(o, &o->durable);
	o->synced_order = ++sync_order;
}

static void change_state(struct state *st, uint64_t at, uint64_t len, uint8_t v)
{
	for (uint64_t i = at; i < at + len; i++)
		may_be(st, i, v);
	st->changed = true;
}

static void change_bytes(struct obj_oracle *o, uint64_t at, uint64_t len, uint8_t v)
{
	memset(o->now + at, v, len);
	change_state(&o->durable, at, len, v);
	for (unsigned i = 0; i < SYNCS; i++)
		if (syncs[i].busy && &oracle[syncs[i].object] == o)
			change_state(&syncs[i].state, at, len, v);
}

static void async_synced(struct osd_io *io)
{
	struct pending_sync *s = io->arg;
	struct obj_oracle *o = &oracle[s->object];

	s->busy = false;
	if (!io->err && s->order > o->synced_order) {
		o->durable = s->state;
		o->synced_order = s->order;
	}
}

/* A sync that is not waited for: changes and other syncs go on meanwhile. */
static void start_sync(struct world *w, unsigned k)
{
	struct pending_sync *s = &syncs[rnd(SYNCS)];

	if (s->busy)
		return;
	s->object = k;
	s->order = ++sync_order;
	capture(&oracle[k], &s->state);
	s->busy = true;
	s->io = (struct osd_io){ .op = OSD_SYNC, .obj = obj_id(k), .done = async_synced, .arg = s };
	osd_io(w->dev, &s->io);
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
		if (rnd(4)) {
			start_sync(w, k);
			return true;
		}
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
	if (!o->durable.changed && (uint64_t)n != o->durable.size)
		return false;
	memset(got + n, 0, SIZE - (size_t)n); /* behind the end is as good as zeros, and no better */
	for (uint64_t i = 0; i < SIZE; i++)
		if (!(o->durable.may[i][got[i] / 8] & 1u << got[i] % 8))
			return false;
	if (o->durable.changed) {
		bool same = (uint64_t)n == o->now_size && !memcmp(got, o->now, (size_t)n);

		kept_objects += same;
		lost_objects += !same;
	}
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
	lost_txns += n < stable_txns;
	kept_txns += n > durable_txns;
	txns = durable_txns = stable_txns = n;
	return true;
}

static void sync_seen(void *arg, int err) { *(bool *)arg = true; }

/* Several syncs of one object in flight with changes between them, the cut comes when some have ended. */
static void overlap(struct world *w)
{
	unsigned k = (unsigned)rnd(OBJECTS);
	uint64_t end = env_mono_ns(w->env) + rnd(500000);

	if (rnd(4))
		return;
	for (unsigned i = 0; i < SYNCS; i++) {
		struct osd_io io = { .op = OSD_STAT, .obj = obj_id(k) };
		uint8_t v = (uint8_t)(1 + rnd(255));
		struct osd_fault_plan fast = { 0 }, slow = { .delay_us_max = 400 };
		static uint8_t data[64];

		memset(data, v, sizeof(data));
		change_bytes(&oracle[k], i * 4096, sizeof(data), v);
		oracle[k].now_size = MAX(oracle[k].now_size, i * 4096 + sizeof(data));
		osd_fault_set(w->dev, &fast);
		(void)!world_write(w, &io.obj, i * 4096, data, sizeof(data));
		osd_fault_set(w->dev, &slow);
		start_sync(w, k);
		env_linux_run_once(w->env, false); /* its delay is chosen now */
	}
	while (env_mono_ns(w->env) < end)
		env_linux_run_once(w->env, false);
}

static void one_seed(unsigned seed)
{
	struct osd_fault_plan plan = { .delay_us_max = seed % 4 ? 0 : 500 };
	unsigned bad = 0;
	struct world w;

	rng = 0x9e3779b97f4a7c15ull * (seed + 1);
	memset(oracle, 0, sizeof(oracle));
	memset(syncs, 0, sizeof(syncs));
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
		overlap(&w);
		world_power_cut(&w, seed + cut);
		for (unsigned i = 0; i < SYNCS; i++)
			syncs[i].busy = false; /* never complete */
		bad += w.ops->verifier(w.dev) == verifier;
		bad += !index_ok(&w);
		for (unsigned k = 0; k < OBJECTS; k++)
			bad += !object_ok(&w, k);
	}
	world_close(&w, true);
	ok_quiet(!bad, "seed %u: %u rules broken", seed, bad);
}

/* ---- what else is injected ----------------------------------------------------------------- */

/* Destroyed is destroyed; and what changes nothing makes nothing, then either. */
static void check_gone(void)
{
	struct wp_objid a = obj_id(1), b = obj_id(2), c = obj_id(3);
	unsigned back = 0;
	struct world w;

	world_open(&w, "fault-mem", 0);
	for (unsigned cut = 0; cut < 20; cut++) {
		struct osd_io destroy = { .op = OSD_DESTROY, .obj = a }, sync = { .op = OSD_SYNC, .obj = a };
		struct osd_io punch = { .op = OSD_ALLOC, .obj = b, .mode = WP_ALLOC_MODE_PUNCH, .length = 5000 };
		struct osd_io trunc = { .op = OSD_TRUNCATE, .obj = c };
		struct osd_io stat = { .op = OSD_STAT };

		back += world_write(&w, &a, 0, "abc", 3) != 0 || world_io(&w, &sync) != 0;
		back += world_io(&w, &destroy) != 0 || world_io(&w, &punch) != 0 || world_io(&w, &trunc) != 0;
		world_power_cut(&w, cut);
		for (unsigned k = 1; k <= 3; k++) {
			stat.obj = obj_id(k);
			back += world_io(&w, &stat) != -ENOENT;
		}
	}
	is_int(back, 0, "a power cut brings nothing back");
	world_close(&w, true);
}

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
	ok(lost_objects > 100 && kept_objects > 100, "unsynced changes were lost %u times, kept %u times", lost_objects,
	   kept_objects);
	ok(lost_txns > 30 && kept_txns > 30, "stable transactions were lost %u times, kept %u times", lost_txns, kept_txns);
	check_gone();
	check_failures("fault-mem");
	check_failures("fault-disk");
	check_capacity();
	return done_testing();
}
