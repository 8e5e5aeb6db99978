/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Allocating, punching, zeroing, truncating, destroying. These run alone on their object. */
#include <fcntl.h>
#include <linux/falloc.h>

#include "osd/disk_priv.h"

/* ---- allocate, punch, zero ----------------------------------------------------------------- */

static bool zeroes(const struct osd_io *io)
{
	return io->mode != WP_ALLOC_MODE_ALLOCATE && io->mode != WP_ALLOC_MODE_KEEP_SIZE;
}
static bool extends(const struct osd_io *io) { return io->mode == WP_ALLOC_MODE_ALLOCATE || io->mode == WP_ALLOC_MODE_ZERO; }

static void alloc_end(struct dop *op)
{
	struct osd_io *up = op->up;
	struct dobj *o = op->obj;
	uint64_t end = up->offset + up->length;

	for (unsigned e = 0; e < op->edges; e++) {
		uint64_t block = op->edge_at[e], from = MAX(block, up->offset), to = MIN(block + BLOCK, end);

		memset(op->edge_block[e] + (from - block), 0, to - from);
		op->edge_crc[e] = crc32c(0, op->edge_block[e], BLOCK);
		dcrc_store(o->disk, o->key, &o->attr, block / BLOCK, 1, &op->edge_crc[e]);
	}
	if (zeroes(up))
		dcrc_zero(o->disk, o->key, &o->attr, (up->offset + BLOCK - 1) / BLOCK, end / BLOCK);
	dobj_changed(o, extends(up) ? MAX(o->attr.size, end) : o->attr.size);
	dop_end(op, 0);
}

static void falloc_step(struct dop *op, struct env_file *f);
static void falloc_next(struct dop *op);

static void falloc_done(struct env_io *io)
{
	struct dop *op = io->arg;
	bool zero = op->up->mode == WP_ALLOC_MODE_ZERO || op->up->mode == WP_ALLOC_MODE_ZERO_KEEP;

	/* Where ranges cannot be zeroed in one go: punch, then allocate. */
	if (io->result == -EOPNOTSUPP && zero && op->step == 0) {
		op->step = 1;
		falloc_step(op, io->file);
	} else if (io->result >= 0 && op->step == 1) {
		op->step = 2;
		falloc_step(op, io->file);
	} else if (io->result < 0) {
		dop_repair(op, (int)io->result);
	} else {
		op->step = 0;
		op->at = (op->at / SEGMENT_BYTES + 1) * SEGMENT_BYTES;
		falloc_next(op);
	}
}

static void falloc_step(struct dop *op, struct env_file *f)
{
	static const int modes[] = {
		[WP_ALLOC_MODE_ALLOCATE] = 0,
		[WP_ALLOC_MODE_KEEP_SIZE] = FALLOC_FL_KEEP_SIZE,
		[WP_ALLOC_MODE_PUNCH] = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		[WP_ALLOC_MODE_ZERO] = FALLOC_FL_ZERO_RANGE,
		[WP_ALLOC_MODE_ZERO_KEEP] = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	};
	uint64_t end = MIN(op->up->offset + op->up->length, (op->at / SEGMENT_BYTES + 1) * SEGMENT_BYTES);
	int mode = modes[op->up->mode];

	if (op->step == 1)
		mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	if (op->step == 2)
		mode &= FALLOC_FL_KEEP_SIZE;
	op->io = (struct env_io){ .op = ENV_IO_FALLOCATE,
				  .file = f,
				  .mode = mode,
				  .offset = op->at % SEGMENT_BYTES,
				  .length = end - op->at,
				  .done = falloc_done,
				  .arg = op };
	env_file_io(op->obj->disk->dev.env, &op->io);
}

/* One segment after the other. What would only be set aside in one that has no file stays a hole. */
static void falloc_next(struct dop *op)
{
	uint64_t end = op->up->offset + op->up->length, n;
	struct dobj *o = op->obj;
	struct env_file *f;
	int r;

	while (op->at < end) {
		n = op->at / SEGMENT_BYTES;
		r = dobj_seg(o, n, extends(op->up), &f);
		if (r < 0) {
			dop_repair(op, r);
			return;
		}
		if (f) {
			dobj_seg_dirty(o, n);
			falloc_step(op, f);
			return;
		}
		n = dobj_next_seg(o, n);
		op->at = n == UINT64_MAX ? end : n * SEGMENT_BYTES;
	}
	alloc_end(op);
}

static void alloc_marked(struct dop *op)
{
	int r;

	op->fresh = !op->obj->exists;
	r = dobj_open(op->obj, true);
	op->at = op->up->offset;
	if (r < 0)
		dop_end(op, r);
	else
		falloc_next(op);
}

static void alloc_mark(struct dop *op)
{
	/* Only what has data can get wrong checksums. */
	uint64_t end = MIN(op->up->offset + op->up->length, MAX(round_up_pow2(op->old_size, BLOCK), op->up->offset + 1));

	dop_mark(op, op->up->offset, end, alloc_marked);
}

static int alloc_edges(struct dop *op)
{
	uint64_t begin = op->up->offset, end = begin + op->up->length;

	op->begin = round_down_pow2(begin, BLOCK);
	op->end = round_up_pow2(end, BLOCK);
	op->extends = extends(op->up) && end > op->old_size;
	return zeroes(op->up) ? dop_find_edges(op, begin, end) : 0;
}

void dop_alloc(struct dop *op)
{
	struct osd_io *up = op->up;
	struct dobj *o = op->obj;
	int r = 0;

	if (!o->exists && up->mode == WP_ALLOC_MODE_PUNCH) {
		dop_end(op, 0);
		return;
	}
	if (up->mode != WP_ALLOC_MODE_PUNCH && !disk_has_room(o->disk, op, up->length))
		r = -ENOSPC;
	if (!r && o->exists) {
		r = dobj_open(o, false);
		r = r == -ENOENT ? 0 : r;
		op->old_size = o->attr.size;
	}
	if (!r)
		r = alloc_edges(op);
	if (r < 0)
		dop_end(op, r);
	else
		dop_edges(op, alloc_mark);
}

/* ---- truncate ----------------------------------------------------------------- */

static void truncate_marked(struct dop *op)
{
	struct dobj *o = op->obj;
	uint64_t size = op->up->length;
	int r = dobj_open(o, true);

	if (!r)
		r = dobj_truncate(o, size);
	if (r < 0) {
		dop_end(op, r);
		return;
	}
	if (size < op->old_size)
		dcrc_zero(o->disk, o->key, &o->attr, (size + BLOCK - 1) / BLOCK, UINT64_MAX);
	for (unsigned e = 0; e < op->edges; e++) {
		memset(op->edge_block[e] + size % BLOCK, 0, BLOCK - size % BLOCK);
		op->edge_crc[e] = crc32c(0, op->edge_block[e], BLOCK);
		dcrc_store(o->disk, o->key, &o->attr, op->edge_at[e] / BLOCK, 1, &op->edge_crc[e]);
	}
	dobj_changed(o, size);
	dop_end(op, 0);
}

/* From the lower of the ends: the new last block changes, and what is behind it goes. */
static void truncate_mark(struct dop *op)
{
	uint64_t size = op->up->length;

	dop_mark(op, MIN(size, op->old_size), MAX(op->old_size, 1), truncate_marked);
}

void dop_truncate(struct dop *op)
{
	struct dobj *o = op->obj;
	uint64_t size = op->up->length;
	int r = 0;

	if (!o->exists && !size) {
		dop_end(op, 0);
		return;
	}
	if (o->exists) {
		r = dobj_open(o, false);
		r = r == -ENOENT ? 0 : r;
		op->old_size = o->attr.size;
	}
	if (!r && size < op->old_size && size % BLOCK)
		r = dop_edge(op, round_down_pow2(size, BLOCK));
	if (r < 0)
		dop_end(op, r);
	else
		dop_edges(op, truncate_mark);
}

/* ---- destroy ----------------------------------------------------------------- */

struct unlinking {
	struct dop *op;
	struct env *env;
	char *path;
	bool segmented; /* there may be further files */
	int err;
	struct env_work work;
};

/* On a helper thread: a large file takes its time to go. */
static void unlink_run(void *arg)
{
	struct unlinking *u = arg;
	struct dsegs segs = { 0 };

	u->err = u->segmented ? dsegs_scan(u->path, &segs) : 0;
	for (size_t i = segs.n; i-- > 0 && !u->err;) {
		cleanup_free char *path = dseg_path(u->path, segs.v[i].n);

		u->err = u->env->ops->path_unlink(u->env, path);
	}
	free(segs.v);
	if (!u->err)
		u->err = u->env->ops->path_unlink(u->env, u->path);
}

static void destroy_synced(void *arg, int err) { dop_end(arg, err); }

/*
 * Whoever asked forgets the object when we answer. So the record, which repeats the unlink if a power failure undoes it, has
 * to be durable before.
 */
static void destroy_sync(struct dop *op, const struct dirty_marks *marks)
{
	op->wait = (struct dirty_wait){ .done = destroy_synced, .arg = op };
	if (dirty_sync(op->obj->disk->dirty, marks, &op->wait))
		dop_end(op, 0);
}

static void unlinked(void *arg)
{
	struct unlinking *u = arg;
	struct dop *op = u->op;
	struct dobj *o = op->obj;
	int err = u->err == -ENOENT ? 0 : u->err;

	free(u->path);
	free(u);
	if (err) {
		dop_end(op, err);
		return;
	}
	dattr_remove(o->disk, o->key, &o->attr);
	o->exists = o->name_durable = o->data_dirty = false;
	destroy_sync(op, &o->marks);
}

static void destroy_marked(struct dop *op)
{
	struct dobj *o = op->obj;
	struct env *env = o->disk->dev.env;
	struct unlinking *u = NEW(struct unlinking);

	bool segmented = o->attr.size > SEGMENT_BYTES || o->segs.n;

	if (o->file)
		env->ops->file_close(env, o->file);
	o->file = NULL;
	dsegs_close(env, &o->segs);
	*u = (struct unlinking){ .op = op, .env = env, .path = dobj_path(o->disk, &o->id), .segmented = segmented };
	u->work = (struct env_work){ .run = unlink_run, .done = unlinked, .arg = u };
	env_work(env, &u->work);
}

void dop_destroy(struct dop *op)
{
	if (!op->obj->exists)
		destroy_sync(op, NULL); /* perhaps destroyed a moment ago, and asked for again: its record is among all */
	else
		dop_mark(op, 0, 1, destroy_marked);
}
