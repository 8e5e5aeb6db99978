/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Bytes in the device are bounded, waiting requests start in the order of their arrival, and stopping answers everybody. */
#include "fake.h"
#include "tap.h"

static struct fake_env env;
static struct fake_dev dev;
static struct storage_target *target;

#define CALLS 40u
static struct fake_call calls[CALLS];

static void open_target(uint64_t inflight, uint64_t queued)
{
	struct storage_params p = { .env = &env.env, .dev = &dev.dev, .target = 1, .inflight_bytes = inflight,
				    .queued_bytes = queued };

	memcpy(p.cap_key, fake_key, sizeof(p.cap_key));
	weft_assert(storage_target_open(&p, &target) == 0);
}

static void stop_fn(void *arg) { *(bool *)arg = true; }

static void free_calls(void)
{
	for (unsigned i = 0; i < CALLS; i++)
		fake_call_done(&calls[i]);
}

static void test_order(void)
{
	const struct storage_counters *n;
	unsigned failed = 0;

	open_target(KIB(64), KIB(256));
	n = storage_target_counters(target);
	for (unsigned i = 0; i < CALLS; i++) {
		fake_read(&calls[i], target, &fake_meta, (struct wp_cap){ 0 }, fake_obj(1, 0), (uint64_t)i * KIB(16), KIB(16));
		failed += calls[i].replied;
	}
	is_int(dev.held_n, 4, "64 KiB in the device");
	is_int(n->inflight_bytes, KIB(64), "and counted");
	is_int(n->queued_ops, 16, "256 KiB wait");
	is_int(failed, CALLS - 20, "the others are sent back");
	ok(calls[30].err == -WEFT_ENOTREADY, "to come again");
	for (unsigned i = 0; i < 20; i++) {
		ok_quiet(fake_dev_first(&dev)->offset == i * KIB(16), "%u-th in its place", i);
		ok_quiet(dev.held_n <= 4, "never more than the limit");
		(void)fake_dev_complete(&dev, 0);
		ok_quiet(calls[i].replied && !calls[i].err && calls[i].reply_bulk_len == KIB(16), "answer %u", i);
		if (i == 0)
			is_int(calls[i].credits, STORAGE_CREDITS_BUSY, "a queue lowers the credits");
	}
	is_int(calls[19].credits, STORAGE_CREDITS, "without one they are back");
	is_int(n->inflight_bytes + n->queued_bytes + n->inflight_ops + n->queued_ops, 0, "nothing is left");
	is_int(n->reads, 20, "20 reads");
	free_calls();
	/* A small one behind a large one that does not fit must wait as well. */
	fake_read(&calls[0], target, &fake_meta, (struct wp_cap){ 0 }, fake_obj(1, 0), 0, KIB(48));
	fake_read(&calls[1], target, &fake_meta, (struct wp_cap){ 0 }, fake_obj(1, 0), 0, KIB(32));
	fake_read(&calls[2], target, &fake_meta, (struct wp_cap){ 0 }, fake_obj(1, 0), 0, 1);
	is_int(dev.held_n, 1, "nobody overtakes");
	while (fake_dev_complete(&dev, 0)) {
	}
	free_calls();
	fake_read(&calls[0], target, &fake_meta, (struct wp_cap){ 0 }, fake_obj(1, 0), 0, MIB(1));
	is_int(dev.held_n, 1, "one larger than the limit runs alone");
	(void)fake_dev_complete(&dev, 0);
	free_calls();
	storage_target_free(target);
}

static void test_stop(void)
{
	bool stopped = false;

	open_target(KIB(32), 0);
	for (unsigned i = 0; i < 4; i++)
		fake_read(&calls[i], target, &fake_meta, (struct wp_cap){ 0 }, fake_obj(1, 0), 0, KIB(16));
	storage_target_stop(target, stop_fn, &stopped);
	ok(calls[2].err == -WEFT_ENOTREADY && calls[3].err == -WEFT_ENOTREADY, "who waits is sent away");
	fake_read(&calls[4], target, &fake_meta, (struct wp_cap){ 0 }, fake_obj(1, 0), 0, KIB(16));
	ok(calls[4].err == -WEFT_ENOTREADY, "who comes too");
	fake_env_run(&env);
	ok(!stopped, "the device is busy");
	(void)fake_dev_complete(&dev, 0);
	(void)fake_dev_complete(&dev, -EIO);
	ok(!stopped, "not from inside a completion");
	fake_env_run(&env);
	ok(stopped && calls[0].replied && calls[1].err == -EIO, "stopped when it is idle");
	free_calls();
	storage_target_free(target);
	stopped = false;
	open_target(0, 0);
	storage_target_stop(target, stop_fn, &stopped);
	fake_env_run(&env);
	ok(stopped, "an idle target stops");
	storage_target_free(target);
}

int main(void)
{
	fake_env_init(&env);
	fake_dev_init(&dev, &env.env);
	test_order();
	test_stop();
	return done_testing();
}
