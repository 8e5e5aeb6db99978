/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Writing, and the steps that all changes share. The order, which the dirty list's invariants rest on:
 *
 *	verify the payload -> read and verify the old contents of partial blocks -> dirty list -> (stable: the list is durable) -> data
 *	-> checksums, attributes -> (stable: the name is durable)
 */
#include "base/log.h"
#include "osd/common.h"
#include "osd/disk_priv.h"
#include "proto/status.h"

/* ---- edges: partial blocks whose other bytes stay ----------------------------------------------------------------- */

static void next_edge(struct dop *op);

static void run_next(struct dop *op)
{
	void (*next)(struct dop * op) = op->next;

	op->next = NULL;
	next(op);
}

/* The old block must match before it is blessed with a new checksum. */
static void edge_read(struct env_io *io)
{
	struct dop *op = io->arg;
	uint8_t *block = op->edge_block[op->edge];

	if (io->result < 0) {
		dop_end(op, (int)io->result);
		return;
	}
	memset(block + io->result, 0, BLOCK - (size_t)io->result);
	if (crc32c(0, block, BLOCK) != op->edge_crc[op->edge]) {
		osd_log_corrupt(&op->obj->id, op->edge_at[op->edge]);
		dop_end(op, -WEFT_ECORRUPT);
		return;
	}
	op->edge++;
	next_edge(op);
}

static void next_edge(struct dop *op)
{
	struct dobj *o = op->obj;

	for (; op->edge < op->edges; op->edge++) {
		unsigned e = op->edge;
		int r = dcrc_load(o->disk, o->key, &o->attr, op->edge_at[e] / BLOCK, 1, &op->edge_crc[e]);

		if (r < 0) {
			dop_end(op, r);
			return;
		}
		/* Zeros need not be read. Should they have rotted, the block's new checksum does not match what is there. */
		if (o->exists && op->edge_crc[e] != zero_block_crc())
			break;
		memset(op->edge_block[e], 0, BLOCK);
	}
	if (op->edge == op->edges) {
		run_next(op);
		return;
	}
	op->user_iov[0] = (struct iovec){ op->edge_block[op->edge], BLOCK };
	dop_rw(op, ENV_IO_READ, 0, op->user_iov, 1, op->edge_at[op->edge], edge_read);
}

void dop_edges(struct dop *op, void (*next)(struct dop *op))
{
	op->next = next;
	next_edge(op);
}

/* ---- dirty list ----------------------------------------------------------------- */

static void marked(void *arg, int err)
{
	struct dop *op = arg;

	if (err < 0)
		dop_end(op, err);
	else
		run_next(op);
}

/* What a file system's journal commits with anybody's sync: the record must be there first. */
static void durable_mark(struct dop *op)
{
	op->next = op->after;
	op->wait = (struct dirty_wait){ .done = marked, .arg = op };
	if (dirty_sync(op->obj->disk->dirty, &op->obj->marks, &op->wait))
		run_next(op);
}

void dop_mark(struct dop *op, uint64_t begin, uint64_t end, void (*next)(struct dop *op))
{
	struct disk *d = op->obj->disk;
	uint64_t last = (MAX(end, begin + 1) - 1) / DIRTY_CHUNK_BYTES;
	struct dirty_record r = { .obj = op->obj->id, .first = begin / DIRTY_CHUNK_BYTES, .last = last };

	if (last >= CHUNKS_MAX) {
		dop_end(op, -EFBIG);
		return;
	}
	r.destroyed = op->up->op == OSD_DESTROY;
	op->after = next;
	op->next = op->exclusive ? durable_mark : next;
	op->epoch = dirty_hold(d->dirty);
	op->wait = (struct dirty_wait){ .done = marked, .arg = op };
	if (dirty_mark(d->dirty, &op->obj->marks, &r, &op->wait))
		run_next(op);
}

/* ---- a change that failed half-way ----------------------------------------------------------------- */

#define REPAIR_BYTES MIB(1)

static void repair_piece(struct dop *op);

static void repair_read(struct env_io *io)
{
	struct dop *op = io->arg;
	struct dobj *o = op->obj;
	uint64_t len = MIN(op->end - op->begin, REPAIR_BYTES);

	if (io->result >= 0) {
		memset(op->repair + io->result, 0, len - (uint64_t)io->result);
		for (uint64_t at = 0; at < len; at += BLOCK) {
			uint32_t crc = crc32c(0, op->repair + at, BLOCK);

			dcrc_store(o->disk, o->key, &o->attr, (op->begin + at) / BLOCK, 1, &crc);
		}
	}
	op->begin += len;
	repair_piece(op);
}

static void repair_piece(struct dop *op)
{
	uint64_t len = MIN(op->end - op->begin, REPAIR_BYTES);

	if (op->begin >= op->end || !op->repair) {
		free(op->repair);
		dobj_changed(op->obj, op->old_size);
		dop_end(op, op->err);
		return;
	}
	op->user_iov[0] = (struct iovec){ op->repair, len };
	dop_rw(op, ENV_IO_READ, 0, op->user_iov, 1, op->begin, repair_read);
}

static void unmake(struct dobj *o)
{
	cleanup_free char *path = dobj_path(o->disk, &o->id);
	struct env *env = o->disk->dev.env;

	(void)!dobj_truncate(o, 0);
	dsegs_close(env, &o->segs);
	env->ops->file_close(env, o->file);
	o->file = NULL;
	o->exists = false;
	(void)env->ops->path_unlink(env, path);
}

/*
 * Of the blocks that were to be written some are new, some old, some torn. None was acknowledged, so any of that is right, but it must
 * be readable.
 */
void dop_repair(struct dop *op, int err)
{
	struct dobj *o = op->obj;

	log_err("osd", "object %llx-%x-%x-%x-%x: writing: %s", (unsigned long long)o->id.fid.seq, o->id.fid.oid,
		o->id.fid.ver, o->id.component, o->id.stripe, strerror(-err));
	op->err = err;
	if (op->fresh) {
		unmake(o);
		dop_end(op, err);
		return;
	}
	if (op->extends)
		(void)!dobj_truncate(o, op->old_size);
	op->end = MIN(op->end, round_up_pow2(op->old_size, BLOCK));
	op->repair = malloc(REPAIR_BYTES);
	repair_piece(op);
}

/* ---- write ----------------------------------------------------------------- */

static void write_end(struct dop *op) { dop_end(op, 0); }

static void store_crcs(struct dop *op)
{
	struct osd_io *up = op->up;
	struct dobj *o = op->obj;
	uint64_t first = up->offset / BLOCK, n = blocks_touched(up->offset, up->offset + up->length), skip = 0;

	/* Whole blocks keep the checksums that they came with. */
	if (op->edges && op->edge_at[0] == first * BLOCK)
		skip = 1;
	if (op->edges && op->edge_at[op->edges - 1] == (first + n - 1) * BLOCK && n > skip)
		n--;
	if (n > skip)
		dcrc_store(o->disk, o->key, &o->attr, first + skip, n - skip, up->crcs + skip);
	for (unsigned e = 0; e < op->edges; e++)
		dcrc_store(o->disk, o->key, &o->attr, op->edge_at[e] / BLOCK, 1, &op->edge_crc[e]);
}

static void data_written(struct env_io *io)
{
	struct dop *op = io->arg;
	struct osd_io *up = op->up;
	struct dobj *o = op->obj;

	if (io->result < 0) {
		dop_repair(op, (int)io->result);
		return;
	}
	store_crcs(op);
	dobj_changed(o, MAX(o->attr.size, up->offset + up->length));
	if (up->stable)
		dop_name(op, write_end);
	else
		dop_end(op, 0);
}

static void write_data(struct dop *op)
{
	struct osd_io *up = op->up;
	int n = up->iov_n;

	op->iov = n <= IOV_INLINE ? op->iov_inline : malloc(sizeof(*op->iov) * (size_t)n);
	if (!op->iov) {
		dop_end(op, -ENOMEM);
		return;
	}
	memcpy(op->iov, up->iov, sizeof(*op->iov) * (size_t)n);
	dop_rw(op, ENV_IO_WRITE, up->stable ? ENV_IO_DSYNC : 0, op->iov, n, up->offset, data_written);
}

/* The list knows: from here on the file may change. */
static void write_marked(struct dop *op)
{
	struct dobj *o = op->obj;
	int r;

	op->fresh = !o->exists;
	r = dobj_open(o, true);
	if (r < 0) {
		dop_end(op, r);
		return;
	}
	op->next = write_data;
	op->wait = (struct dirty_wait){ .done = marked, .arg = op };
	if (!op->up->stable || dirty_sync(o->disk->dirty, &o->marks, &op->wait))
		run_next(op);
}

/* With the old contents at hand: checksums of the partial blocks as they will be. */
static void merge_edges(struct dop *op)
{
	struct osd_io *up = op->up;
	uint64_t end = up->offset + up->length;

	for (unsigned e = 0; e < op->edges; e++) {
		uint64_t block = op->edge_at[e], from = MAX(block, up->offset), to = MIN(block + BLOCK, end);
		struct iovwalk w = { up->iov, up->iov_n, 0 };

		iovwalk_skip(&w, from - up->offset);
		iovwalk_to(&w, op->edge_block[e] + (from - block), to - from);
		op->edge_crc[e] = crc32c(0, op->edge_block[e], BLOCK);
	}
	dop_mark(op, up->offset, end, write_marked);
}

/* What came matches what was computed in the client's memory. */
static int verify_payload(const struct osd_io *up)
{
	uint64_t end = up->offset + up->length, n;
	struct iovwalk w = { up->iov, up->iov_n, 0 };

	for (uint64_t at = up->offset, i = 0; at < end; at += n, i++) {
		n = in_block(at, end);
		if (iovwalk_crc(&w, 0, n) != up->crcs[i])
			return -WEFT_EBADCRC;
	}
	return 0;
}

int dop_find_edges(struct dop *op, uint64_t begin, uint64_t end)
{
	uint64_t first = round_down_pow2(begin, BLOCK), last = round_down_pow2(end - 1, BLOCK);
	int r = 0;

	if (begin != first || (first == last && end % BLOCK))
		r = dop_edge(op, first);
	if (!r && first != last && end % BLOCK)
		r = dop_edge(op, last);
	return r;
}

/* A write into what is allocated already needs no room. */
static bool has_room(struct dop *op)
{
	const struct dattr *a = &op->obj->attr;

	return (!op->extends && a->blocks * 512 >= a->size) || disk_has_room(op->obj->disk, op, op->up->length);
}

void dop_write(struct dop *op)
{
	struct osd_io *up = op->up;
	int r;

	if (!up->length) {
		dop_end(op, 0);
		return;
	}
	r = verify_payload(up);
	if (!r && !has_room(op))
		r = -ENOSPC;
	if (!r && op->obj->exists) {
		r = dobj_open(op->obj, false);
		if (r == -ENOENT)
			r = 0;
		op->old_size = op->obj->attr.size;
	}
	if (!r)
		r = dop_find_edges(op, up->offset, up->offset + up->length);
	if (r < 0)
		dop_end(op, r);
	else
		dop_edges(op, merge_edges);
}
