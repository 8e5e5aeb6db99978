/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What a bad device does arrives as the right error, and wrong bytes never. */
#include "fake.h"
#include "proto/status.h"
#include "tap.h"

static struct fake_env env;
static struct osd_dev *dev;
static struct storage_target *target;
static struct fake_call call;

static const struct wp_cap none;

static int finish(void)
{
	fake_env_run(&env);
	ok_quiet(call.replied, "no answer");
	return call.err;
}

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

static void test_faults(void)
{
	struct osd_fault_plan plan = { .fail_at = 1, .fail_err = -EIO };

	is_int(write_at(fake_obj(50, 0), 0, "data", 4), 0, "write");
	osd_fault_set(dev, &plan);
	is_int(read_at(fake_obj(50, 0), 0, 4), -EIO, "a failing disk");
	plan = (struct osd_fault_plan){ .corrupt_ppm = 1000000 };
	osd_fault_set(dev, &plan);
	is_int(read_at(fake_obj(50, 0), 0, 4), -WEFT_ECORRUPT, "a flipped bit");
	ok(call.reply_bulk_len == 0, "is never delivered");
	plan = (struct osd_fault_plan){ 0 };
	osd_fault_set(dev, &plan);
	is_int(read_at(fake_obj(50, 0), 0, 4), 0, "well again");
	is_int(storage_target_counters(target)->corrupt_blocks, 1, "counted");
	is_int(storage_target_counters(target)->io_errors, 1, "counted");
}

int main(void)
{
	struct osd_params op = { .env = &env.env, .capacity = MIB(16) };
	struct storage_params p = { .env = &env.env, .target = 1 };
	struct osd_dev *mem;

	fake_env_init(&env);
	weft_assert(osd_backend("mem")->open(&op, &mem) == 0);
	op.below = mem;
	weft_assert(osd_backend("fault")->open(&op, &dev) == 0);
	p.dev = dev;
	weft_assert(storage_target_open(&p, &target) == 0);
	test_faults();
	fake_call_done(&call);
	storage_target_free(target);
	dev->ops->close(dev);
	return done_testing();
}
