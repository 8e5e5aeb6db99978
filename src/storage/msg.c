/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The messages about objects: body of a request -> osd_io, osd_io -> body of the reply. */
#include <assert.h>

#include "base/limits.h"
#include "proto/fid.h"
#include "storage/storage_priv.h"

/* Names an object that a layout can have. */
static int check_obj(const struct wp_objid *o)
{
	if (!wp_fid_valid(&o->fid) || o->component >= WP_COMPONENTS_MAX || o->pad || o->stripe >= WP_STRIPES_MAX)
		return -EINVAL;
	return 0;
}

static int check_range(uint64_t offset, uint64_t length)
{
	if (length == 0)
		return -EINVAL;
	return offset > WEFT_FILE_SIZE_MAX || length > WEFT_FILE_SIZE_MAX - offset ? -EFBIG : 0;
}

static uint32_t blocks_touched(uint64_t offset, uint64_t length)
{
	return (uint32_t)((offset + length - 1) / WP_BLOCK_SIZE - offset / WP_BLOCK_SIZE + 1);
}

/* The cap and object begin every request; body, scratch and err of the message follow from its name. */
#define DECODE(type, op, m)                                                                                                    \
	wp_##type##_req_decode((op)->req->body, (op)->req->hdr.body_len,                                                       \
			       arena_alloc(&(op)->req->arena, (op)->req->hdr.body_len + 8u), (op)->req->hdr.body_len + 8u, (m))

static int take_head(struct storage_op *op, const struct wp_cap *cap, const struct wp_objid *obj)
{
	op->cap = *cap;
	op->io.obj = *obj;
	return check_obj(obj);
}

static int decode_read(struct storage_op *op)
{
	struct wp_obj_read_req m;
	int err = DECODE(obj_read, op, &m);

	if (!err)
		err = take_head(op, &m.cap, &m.obj);
	if (!err)
		err = m.length > WP_BULK_MAX ? -EINVAL : check_range(m.offset, m.length);
	if (err)
		return err;
	op->io.offset = m.offset;
	op->io.length = m.length;
	op->cost = round_up_pow2(m.length, WP_BLOCK_SIZE);
	op->io.crcs = arena_alloc(&op->req->arena, blocks_touched(m.offset, m.length) * sizeof(*op->io.crcs));
	return 0;
}

static void encode_read(struct storage_op *op, struct wp_enc *e)
{
	const struct osd_io *io = &op->io;
	struct wp_obj_read_rep m = { .crcs = io->crcs, .crcs_n = io->bytes ? blocks_touched(io->offset, io->bytes) : 0 };

	storage_objstat(&io->stat, &m.stat);
	wp_obj_read_rep_enc(e, &m);
}

static int decode_write(struct storage_op *op)
{
	struct rpc_req *req = op->req;
	struct wp_obj_write_req m;
	int err = DECODE(obj_write, op, &m);

	if (!err)
		err = take_head(op, &m.cap, &m.obj);
	if (!err)
		err = check_range(m.offset, req->hdr.bulk_len);
	if (!err && m.crcs_n != blocks_touched(m.offset, req->hdr.bulk_len))
		err = -EBADMSG;
	if (err)
		return err;
	op->iov = (struct iovec){ .iov_base = req->bulk, .iov_len = req->hdr.bulk_len };
	op->io.iov = &op->iov;
	op->io.iov_n = 1;
	op->io.offset = m.offset;
	op->io.length = req->hdr.bulk_len;
	op->io.crcs = m.crcs;
	op->io.stable = (m.flags & WP_IO_STABLE) != 0;
	op->cost = round_up_pow2(op->io.length, WP_BLOCK_SIZE);
	return 0;
}

static void encode_write(struct storage_op *op, struct wp_enc *e)
{
	struct wp_obj_write_rep m = { .verifier = op->target->dev->ops->verifier(op->target->dev) };

	storage_objstat(&op->io.stat, &m.stat);
	wp_obj_write_rep_enc(e, &m);
}

static int decode_truncate(struct storage_op *op)
{
	struct wp_obj_truncate_req m;
	int err = DECODE(obj_truncate, op, &m);

	if (!err)
		err = take_head(op, &m.cap, &m.obj);
	if (!err && m.size > WEFT_FILE_SIZE_MAX)
		err = -EFBIG;
	op->io.length = m.size;
	return err;
}

static void encode_truncate(struct storage_op *op, struct wp_enc *e)
{
	struct wp_obj_truncate_rep m = { 0 };

	storage_objstat(&op->io.stat, &m.stat);
	wp_obj_truncate_rep_enc(e, &m);
}

static int decode_alloc(struct storage_op *op)
{
	struct wp_obj_alloc_req m;
	int err = DECODE(obj_alloc, op, &m);

	if (!err)
		err = take_head(op, &m.cap, &m.obj);
	if (!err && (m.mode < WP_ALLOC_MODE_ALLOCATE || m.mode > WP_ALLOC_MODE_ZERO_KEEP))
		err = -EOPNOTSUPP;
	if (!err)
		err = check_range(m.offset, m.length);
	op->io.mode = m.mode;
	op->io.offset = m.offset;
	op->io.length = m.length;
	return err;
}

static void encode_alloc(struct storage_op *op, struct wp_enc *e)
{
	struct wp_obj_alloc_rep m = { .verifier = op->target->dev->ops->verifier(op->target->dev) };

	storage_objstat(&op->io.stat, &m.stat);
	wp_obj_alloc_rep_enc(e, &m);
}

static int decode_seek(struct storage_op *op)
{
	struct wp_obj_seek_req m;
	int err = DECODE(obj_seek, op, &m);

	if (!err)
		err = take_head(op, &m.cap, &m.obj);
	if (!err && m.offset > WEFT_FILE_SIZE_MAX)
		err = -ENXIO;
	op->io.offset = m.offset;
	op->io.hole = m.hole != 0;
	return err;
}

static void encode_seek(struct storage_op *op, struct wp_enc *e)
{
	struct wp_obj_seek_rep m = { .offset = op->io.offset };

	storage_objstat(&op->io.stat, &m.stat);
	wp_obj_seek_rep_enc(e, &m);
}

static int decode_sync(struct storage_op *op)
{
	struct wp_obj_sync_req m;
	int err = DECODE(obj_sync, op, &m);

	return err ? err : take_head(op, &m.cap, &m.obj);
}

static void encode_sync(struct storage_op *op, struct wp_enc *e)
{
	struct wp_obj_sync_rep m = { .verifier = op->target->dev->ops->verifier(op->target->dev) };

	storage_objstat(&op->io.stat, &m.stat);
	wp_obj_sync_rep_enc(e, &m);
}

static int decode_stat(struct storage_op *op)
{
	struct wp_obj_stat_req m;
	int err = DECODE(obj_stat, op, &m);

	return err ? err : take_head(op, &m.cap, &m.obj);
}

static void encode_stat(struct storage_op *op, struct wp_enc *e)
{
	struct wp_obj_stat_rep m = { .verifier = op->target->dev->ops->verifier(op->target->dev) };

	storage_objstat(&op->io.stat, &m.stat);
	wp_obj_stat_rep_enc(e, &m);
}

static int decode_destroy(struct storage_op *op)
{
	struct wp_obj_destroy_req m;
	int err = DECODE(obj_destroy, op, &m);

	return err ? err : take_head(op, &m.cap, &m.obj);
}

static void encode_destroy(struct storage_op *op, struct wp_enc *e)
{
	struct wp_obj_destroy_rep m = { 0 };

	(void)op;
	wp_obj_destroy_rep_enc(e, &m);
}

#define EITHER (WP_RIGHTS_READ | WP_RIGHTS_WRITE) /* a writer needs the size, and fsync works on any descriptor */
#define COUNT(name) offsetof(struct storage_counters, name)

static const struct storage_msg messages[] = {
	{ WP_OP_OBJ_READ, OSD_READ, WP_RIGHTS_READ, COUNT(reads), decode_read, encode_read },
	{ WP_OP_OBJ_WRITE, OSD_WRITE, WP_RIGHTS_WRITE, COUNT(writes), decode_write, encode_write },
	{ WP_OP_OBJ_TRUNCATE, OSD_TRUNCATE, 0, COUNT(truncates), decode_truncate, encode_truncate },
	{ WP_OP_OBJ_ALLOC, OSD_ALLOC, WP_RIGHTS_WRITE, COUNT(allocs), decode_alloc, encode_alloc },
	{ WP_OP_OBJ_SEEK, OSD_SEEK, WP_RIGHTS_READ, COUNT(seeks), decode_seek, encode_seek },
	{ WP_OP_OBJ_SYNC, OSD_SYNC, EITHER, COUNT(syncs), decode_sync, encode_sync },
	{ WP_OP_OBJ_STAT, OSD_STAT, EITHER, COUNT(stats), decode_stat, encode_stat },
	{ WP_OP_OBJ_DESTROY, OSD_DESTROY, 0, COUNT(destroys), decode_destroy, encode_destroy },
};

static_assert(WP_OP_OBJ_DESTROY - WP_OP_OBJ_READ + 1 == ARRAY_SIZE(messages), "the table is indexed by the number");

const struct storage_msg *storage_msg_find(uint16_t op)
{
	if (op < WP_OP_OBJ_READ || op > WP_OP_OBJ_DESTROY)
		return NULL;
	weft_assert(messages[op - WP_OP_OBJ_READ].op == op);
	return &messages[op - WP_OP_OBJ_READ];
}
