/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * An engine that wraps another and injects what goes wrong: failing calls, delays, rotten blocks, a full device, power cuts.
 *
 * Over mem, it decides what is durable. The present state is in the device below; kept here is what is needed to go back: the old
 * values of each transaction that is not durable yet (faulttxn.c), and for each object with unsynced changes its image as of the
 * last sync and those changes (faultobj.c). Over disk, it passes calls through: only failures, delays and rot are injected, and a
 * power cut keeps everything.
 */
#include "osd/fault_priv.h"

#include "osd/backends.h"
#include "osd/common.h"

static struct fault *fault_of(struct osd_dev *dev)
{
	struct fault *f = container_of(dev, struct fault, dev);

	OBJ_CHECK(f, FAULT_MAGIC);
	return f;
}

uint64_t fault_random(struct fault *f, uint64_t n)
{
	f->rng ^= f->rng << 13;
	f->rng ^= f->rng >> 7;
	f->rng ^= f->rng << 17;
	return n ? f->rng * 0x2545f4914f6cdd1dull % n : 0;
}

uint64_t fault_delay_ns(struct fault *f) { return fault_random(f, (uint64_t)f->plan.delay_us_max + 1) * 1000; }

/* This call is the one to fail: its error, or 0. */
static int fails(struct fault *f) { return f->plan.fail_at && --f->plan.fail_at == 0 ? f->plan.fail_err : 0; }

static bool flips(void *arg)
{
	struct fault *f = arg;

	return f->plan.corrupt_ppm && fault_random(f, 1000000) < f->plan.corrupt_ppm;
}

static bool is_full(struct fault *f, uint64_t more)
{
	struct osd_space s;

	if (!f->plan.capacity)
		return false;
	f->below->ops->statfs(f->below, &s);
	return s.total - s.free + more > f->plan.capacity;
}

void osd_fault_set(struct osd_dev *dev, const struct osd_fault_plan *plan) { fault_of(dev)->plan = *plan; }

/* ---- open and close ----------------------------------------------------------------- */

static int fault_format(const struct osd_params *params) { return 0; }

static int fault_open(const struct osd_params *params, struct osd_dev **ret)
{
	struct osd_rot rot;
	struct fault *f;

	if (!params->below)
		return -EINVAL;
	f = NEW(struct fault);
	OBJ_INIT(f, FAULT_MAGIC);
	f->dev = (struct osd_dev){ .ops = &osd_fault_ops, .env = params->env };
	f->below = params->below;
	f->is_volatile = f->below->ops == &osd_mem_ops;
	f->rng = hash_u64(params->seed + 1) | 1;
	f->applied = f->stable = f->below->ops->applied(f->below);
	list_init(&f->txns);
	list_init(&f->ops);
	htab_init(&f->objs);
	fault_txn_init(f);
	rot = (struct osd_rot){ flips, f };
	if (f->is_volatile)
		osd_mem_set_rot(f->below, &rot);
	else
		osd_disk_set_rot(f->below, &rot);
	*ret = &f->dev;
	return 0;
}

static void fault_free(struct fault *f)
{
	fault_txn_done(f);
	htab_done(&f->objs);
	OBJ_FINI(f);
	free(f);
}

static void fault_close(struct osd_dev *dev)
{
	struct fault *f = fault_of(dev);
	struct osd_dev *below = f->below;

	weft_assert(list_empty(&f->ops)); /* the owner ended its operations */
	fault_txn_settle(f);
	fault_obj_settle_all(f);
	fault_free(f);
	below->ops->close(below);
}

struct osd_dev *osd_fault_power_cut(struct osd_dev *dev)
{
	struct fault *f = fault_of(dev);
	struct osd_dev *below = f->below;
	struct osd_rot none = { 0 };

	fault_ops_forget(f);
	if (f->is_volatile) {
		fault_txn_cut(f);
		fault_obj_cut_all(f);
		/* From the one before: another wrapper may have been given the same seed. */
		osd_mem_restart(below, below->ops->verifier(below) + 2 * (1 + fault_random(f, UINT32_MAX)), f->applied);
	} else {
		osd_disk_set_rot(below, &none);
	}
	fault_free(f);
	return below;
}

/* ---- passed on ----------------------------------------------------------------- */

static void fault_statfs(struct osd_dev *dev, struct osd_space *ret)
{
	struct fault *f = fault_of(dev);
	uint64_t used;

	f->below->ops->statfs(f->below, ret);
	if (!f->plan.capacity)
		return;
	used = ret->total - ret->free;
	ret->total = MIN(ret->total, f->plan.capacity);
	ret->free = ret->index_free = used < ret->total ? ret->total - used : 0;
}

static uint64_t fault_verifier(struct osd_dev *dev)
{
	struct osd_dev *below = fault_of(dev)->below;

	return below->ops->verifier(below);
}

static int fault_get(struct osd_dev *dev, struct osd_slice key, struct osd_slice *value)
{
	return osd_get(fault_of(dev)->below, key, value);
}

static int fault_next(struct osd_iter *it, struct osd_slice *key, struct osd_slice *value)
{
	struct fault *f = fault_of(it->dev);
	int r;

	it->dev = f->below;
	r = osd_next(it, key, value);
	it->dev = &f->dev;
	return r;
}

static int fault_list(struct osd_dev *dev, const struct wp_objid *after, struct wp_objid *ret, unsigned max, unsigned *n)
{
	struct osd_dev *below = fault_of(dev)->below;

	return below->ops->list(below, after, ret, max, n);
}

/* ---- transactions ----------------------------------------------------------------- */

static int fault_txn_submit_op(struct osd_dev *dev, struct osd_txn *t, uint64_t seq, osd_commit_fn *fn, void *arg)
{
	struct fault *f = fault_of(dev);
	struct osd_slice key, value;
	bool grows = false;
	size_t pos = 0;
	int r = fails(f);

	if (r < 0)
		return r;
	while (!grows && osd_txn_next(t, &pos, &key, &value))
		grows = value.p != NULL;
	if (grows && is_full(f, t->ops.len))
		return -ENOSPC;
	if (!f->is_volatile)
		return osd_txn_submit(f->below, t, seq, fn, arg);
	return fault_txn_add(f, t, seq, fn, arg);
}

static void fault_stable(struct osd_dev *dev, uint64_t seq)
{
	struct fault *f = fault_of(dev);

	if (f->is_volatile)
		fault_txn_stable(f, seq);
	else
		f->below->ops->stable(f->below, seq);
}

static uint64_t fault_applied(struct osd_dev *dev)
{
	struct fault *f = fault_of(dev);

	return f->is_volatile ? f->applied : f->below->ops->applied(f->below);
}

static void fault_on_applied(struct osd_dev *dev, env_fn *fn, void *arg)
{
	struct fault *f = fault_of(dev);

	f->applied_fn = fn;
	f->applied_arg = arg;
	if (!f->is_volatile)
		f->below->ops->on_applied(f->below, fn, arg);
}

struct failed_sync {
	struct env_task task;
	osd_commit_fn *fn;
	void *arg;
	int err;
};

static void sync_failed(void *arg)
{
	struct failed_sync *s = arg;

	s->fn(s->arg, s->err);
	free(s);
}

static void fault_sync(struct osd_dev *dev, osd_commit_fn *fn, void *arg)
{
	struct fault *f = fault_of(dev);
	int err = fails(f);

	if (err < 0) {
		struct failed_sync *s = NEW(struct failed_sync);

		*s = (struct failed_sync){ .task = { .fn = sync_failed, .arg = s }, .fn = fn, .arg = arg, .err = err };
		env_post(dev->env, &s->task);
		return;
	}
	if (f->is_volatile)
		fault_txn_sync(f, fn, arg);
	else
		f->below->ops->sync(f->below, fn, arg);
}

/* mem copies its index inside the call: what is not durable is taken out of it for so long. */
static void fault_checkpoint(struct osd_dev *dev, int (*fn)(void *arg, struct osd_slice key, struct osd_slice value),
			     osd_commit_fn *done, void *arg)
{
	struct fault *f = fault_of(dev);

	fault_txn_swap_all(f, true);
	f->below->ops->checkpoint(f->below, fn, done, arg);
	fault_txn_swap_all(f, false);
}

/* ---- object operations ----------------------------------------------------------------- */

static void fault_io(struct osd_dev *dev, struct osd_io *io)
{
	struct fault *f = fault_of(dev);
	bool grows = io->op == OSD_WRITE || (io->op == OSD_ALLOC && io->mode != WP_ALLOC_MODE_PUNCH);

	io->bytes = 0;
	io->err = fails(f);
	if (!io->err && grows && is_full(f, io->length))
		io->err = -ENOSPC;
	if (io->err < 0) {
		io->stat = (struct osd_objstat){ 0 };
		osd_io_post(dev->env, io);
		return;
	}
	fault_obj_start(f, io);
}

const struct osd_ops osd_fault_ops = {
	.name = "fault",
	.format = fault_format,
	.open = fault_open,
	.close = fault_close,
	.statfs = fault_statfs,
	.verifier = fault_verifier,
	.sync = fault_sync,
	.txn_submit = fault_txn_submit_op,
	.stable = fault_stable,
	.applied = fault_applied,
	.on_applied = fault_on_applied,
	.get = fault_get,
	.next = fault_next,
	.checkpoint = fault_checkpoint,
	.io = fault_io,
	.list = fault_list,
};
