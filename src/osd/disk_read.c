/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Reading. A block can only be verified whole: what the caller did not ask for of the first and the last one is read into edge
 * buffers; everything else goes straight to the caller's memory.
 */
#include "base/log.h"
#include "osd/common.h"
#include "osd/disk_priv.h"
#include "proto/status.h"

struct span {
	uint64_t first, offset, end, last; /* blocks begin, data asked for, its end, blocks (or the object) end */
};

static struct span span_of(const struct dop *op)
{
	struct span s = { .offset = op->up->offset };

	s.first = round_down_pow2(s.offset, BLOCK);
	s.end = s.offset + MIN(op->up->length, op->old_size - s.offset);
	s.last = MIN(round_up_pow2(s.end, BLOCK), op->old_size);
	return s;
}

/* Edge, the caller's, edge. Again for the verification: the env changes the array. */
static void build_iov(struct dop *op, const struct span *s)
{
	uint64_t left = s->end - s->offset;
	int n = 0;

	if (s->offset > s->first)
		op->iov[n++] = (struct iovec){ op->edge_block[0], s->offset - s->first };
	for (int i = 0; left; i++) {
		op->iov[n] = op->up->iov[i];
		op->iov[n].iov_len = MIN(op->iov[n].iov_len, left);
		left -= op->iov[n].iov_len;
		n++;
	}
	if (s->last > s->end)
		op->iov[n++] = (struct iovec){ op->edge_block[op->edges - 1], s->last - s->end };
	op->iov_n = n;
}

static int verify(struct dop *op, const struct span *s)
{
	struct iovwalk all = { op->iov, op->iov_n, 0 }, user = { op->up->iov, op->up->iov_n, 0 };
	unsigned i = 0;

	for (uint64_t at = s->first; at < s->end; at += BLOCK, i++) {
		uint64_t n = MIN(BLOCK, s->last - at), from = MAX(at, s->offset), to = MIN(at + BLOCK, s->end);
		uint32_t crc = iovwalk_crc(&all, 0, n), stored = op->crcs[i];

		if ((n == BLOCK ? crc : crc32c_zeros(crc, BLOCK - n)) != stored) {
			osd_log_corrupt(&op->obj->id, at);
			return -WEFT_ECORRUPT;
		}
		if (to - from == n) {
			iovwalk_skip(&user, n);
			op->crcs[i] = crc;
		} else {
			op->crcs[i] = iovwalk_crc(&user, 0, to - from);
		}
	}
	return 0;
}

static void read_done(struct env_io *io)
{
	struct dop *op = io->arg;
	struct span s = span_of(op);
	struct osd_rot *rot = &op->obj->disk->rot;
	int err = io->result < 0 ? (int)io->result : 0;

	if (err) {
		log_err("osd", "object %llx-%x-%x-%x-%x: reading: %s", (unsigned long long)op->obj->id.fid.seq,
			op->obj->id.fid.oid, op->obj->id.fid.ver, op->obj->id.component, op->obj->id.stripe, strerror(-err));
		dop_end(op, err);
		return;
	}
	build_iov(op, &s);
	/* What the file does not have reads as zeros; whether it should, its checksums say. */
	if ((uint64_t)io->result < s.last - s.first) {
		struct iovwalk w = { op->iov, op->iov_n, 0 };

		iovwalk_skip(&w, (uint64_t)io->result);
		iovwalk_from(&w, NULL, s.last - s.first - (uint64_t)io->result);
	}
	if (rot->flips && rot->flips(rot->arg))
		*(uint8_t *)op->iov[0].iov_base ^= 1;
	err = verify(op, &s);
	if (!err)
		op->up->bytes = s.end - s.offset;
	dop_end(op, err);
}

static int prepare(struct dop *op, const struct span *s)
{
	uint64_t blocks = blocks_touched(s->first, s->end);
	int room = op->up->iov_n + 2, r = 0;

	op->crcs = op->up->crcs ? op->up->crcs : malloc(blocks * sizeof(*op->crcs));
	op->iov = room <= IOV_INLINE + 2 ? op->iov_inline : malloc(sizeof(*op->iov) * (size_t)room);
	if (!op->crcs || !op->iov)
		return -ENOMEM;
	if (s->offset > s->first)
		r = dop_edge(op, s->first);
	if (!r && s->last > s->end)
		r = dop_edge(op, round_down_pow2(s->end, BLOCK));
	if (r < 0)
		return r;
	build_iov(op, s);
	return dcrc_load(op->obj->disk, op->obj->key, &op->obj->attr, s->first / BLOCK, blocks, op->crcs);
}

void dop_read(struct dop *op)
{
	struct osd_io *up = op->up;
	struct dobj *o = op->obj;
	struct span s;
	int r;

	if (!o->exists || up->offset >= o->attr.size || !up->length) {
		dop_end(op, 0);
		return;
	}
	r = dobj_open(o, false);
	s = span_of(op);
	if (!r)
		r = prepare(op, &s);
	if (r < 0) {
		dop_end(op, r == -ENOENT ? 0 : r);
		return;
	}
	dop_rw(op, ENV_IO_READ, 0, op->iov, op->iov_n, s.first, read_done);
}
