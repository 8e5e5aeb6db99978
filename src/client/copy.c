/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Operations that move data through this client: copy_file_range, and fallocate's COLLAPSE_RANGE and INSERT_RANGE. They are
 * chains of ordinary reads and writes, one chunk after the other; a failure in between leaves what was moved so far.
 */
#include "client/client_priv.h"

#include <fcntl.h>
#include <linux/falloc.h>

#define MOVE_CHUNK (4u << 20)
#define RANGE_ALIGN WP_BLOCK_SIZE /* collapse and insert work in blocks, as on local file systems */

struct move {
	struct client_op *op;
	struct client_file *in, *out; /* references */
	uint64_t from, to, left, moved;
	bool backward;                /* the end first: source and target overlap */
	uint64_t chunk;               /* in progress: its length */
	struct iovec iov;
	uint8_t *buf;
	void (*done)(struct move *mv, int err);
	/* collapse and insert */
	bool insert;
	uint64_t size;
	struct client_setattr sa;
};

static void move_next(struct move *mv);

static void move_free(struct move *mv)
{
	client_file_unref(mv->in);
	client_file_unref(mv->out);
	free(mv->buf);
	free(mv);
}

static void move_end(struct move *mv, int err)
{
	struct client_op *op = mv->op;

	op->res.n = mv->moved;
	move_free(mv);
	cl_op_finish(op, err);
}

static struct move *move_new(struct client_op *op, struct client_file *in, struct client_file *out)
{
	struct move *mv = NEW(struct move);

	mv->op = op;
	mv->in = in;
	mv->out = out;
	client_file_ref(in);
	client_file_ref(out);
	return mv;
}

/* The child's end; false: the operation was aborted meanwhile. */
static bool move_child_over(struct move *mv, int err)
{
	struct client_op *op = mv->op;

	op->child = NULL;
	op->flags |= OP_ASYNC;
	if (!err)
		err = op->abort_err;
	if (err)
		mv->done(mv, err);
	return !err;
}

static void move_written(void *arg, int err, const struct client_res *res)
{
	struct move *mv = arg;

	if (!move_child_over(mv, err))
		return;
	mv->moved += res->n;
	mv->left -= res->n;
	if (!mv->backward) {
		mv->from += res->n;
		mv->to += res->n;
	}
	if (res->n < mv->iov.iov_len)
		mv->done(mv, -EFBIG);
	else if (mv->iov.iov_len < mv->chunk)
		mv->done(mv, 0); /* the source ended */
	else
		move_next(mv);
}

static void move_read(void *arg, int err, const struct client_res *res)
{
	struct move *mv = arg;
	uint64_t to = mv->to + (mv->backward ? mv->left - mv->chunk : 0);

	if (!move_child_over(mv, err))
		return;
	if (!res->n) {
		mv->done(mv, 0);
		return;
	}
	mv->iov.iov_len = res->n;
	mv->op->child = client_write(mv->op->c, mv->out, NULL, &mv->iov, 1, to, CLIENT_WRITE_NOAPPEND, move_written, mv);
}

static void move_next(struct move *mv)
{
	uint64_t from;

	if (!mv->left) {
		mv->done(mv, 0);
		return;
	}
	if (!mv->buf)
		mv->buf = malloc(MOVE_CHUNK);
	if (!mv->buf) {
		mv->done(mv, -ENOMEM);
		return;
	}
	mv->chunk = MIN(mv->left, MOVE_CHUNK);
	from = mv->from + (mv->backward ? mv->left - mv->chunk : 0);
	mv->iov = (struct iovec){ mv->buf, mv->chunk };
	mv->op->child = client_read(mv->op->c, mv->in, &mv->iov, 1, from, move_read, mv);
}

/* ---- copy_file_range --------------------------------------------------------------------------------------------- */

static void copy_done(struct move *mv, int err)
{
	move_end(mv, mv->moved ? 0 : err);
}

struct client_op *client_copy_range(struct client *c, struct client_file *in, uint64_t off_in, struct client_file *out,
				    uint64_t off_out, uint64_t length, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);
	struct move *mv;

	if (length > WEFT_FILE_SIZE_MAX || off_in > WEFT_FILE_SIZE_MAX - length || off_out > WEFT_FILE_SIZE_MAX - length) {
		cl_op_finish(op, -EOVERFLOW);
		return op;
	}
	if (wp_fid_eq(&in->inode->fid, &out->inode->fid) && off_in < off_out + length && off_out < off_in + length) {
		cl_op_finish(op, -EINVAL);
		return op;
	}
	mv = move_new(op, in, out);
	mv->from = off_in;
	mv->to = off_out;
	mv->left = length;
	mv->done = copy_done;
	move_next(mv);
	return op;
}

/* ---- collapse and insert ----------------------------------------------------------------------------------------- */

static void range_over(void *arg, int err, const struct client_res *res)
{
	struct move *mv = arg;

	mv->done = move_end;
	if (move_child_over(mv, err))
		move_end(mv, 0);
}

/* All data is in its new place. */
static void range_moved(struct move *mv, int err)
{
	static const struct client_cred nobody = { .groups_known = true };
	struct client_op *op = mv->op;

	if (err) {
		move_end(mv, err);
	} else if (mv->insert) {
		op->child = client_fallocate(op->c, mv->out, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, op->offset, op->length,
					     range_over, mv);
	} else {
		mv->sa = (struct client_setattr){ .valid = WP_SETATTR_SIZE, .size = mv->size - op->length };
		op->child = client_setattr(op->c, &nobody, &mv->out->inode->fid, mv->out, &mv->sa, range_over, mv);
	}
}

static void range_sized(void *arg, int err, const struct client_res *res)
{
	struct move *mv = arg;
	struct client_op *op = mv->op;

	mv->done = range_moved;
	if (!move_child_over(mv, err))
		return;
	mv->size = res->attr.size;
	if (mv->insert ? op->offset >= mv->size : op->offset + op->length >= mv->size) {
		move_end(mv, -EINVAL);
		return;
	}
	if (mv->insert && mv->size > WEFT_FILE_SIZE_MAX - op->length) {
		move_end(mv, -EFBIG);
		return;
	}
	mv->backward = mv->insert;
	mv->from = op->offset + (mv->insert ? 0 : op->length);
	mv->to = op->offset + (mv->insert ? op->length : 0);
	mv->left = mv->size - mv->from;
	move_next(mv);
}

void cl_move_range(struct client_op *op, bool insert)
{
	struct move *mv;

	if (op->offset % RANGE_ALIGN || op->length % RANGE_ALIGN) {
		cl_op_finish(op, -EINVAL);
		return;
	}
	if (!(op->file->flags & WP_OPEN_READ)) {
		cl_op_finish(op, -EBADF);
		return;
	}
	mv = move_new(op, op->file, op->file);
	mv->insert = insert;
	mv->done = range_moved;
	op->child = client_getattr(op->c, &op->file->inode->fid, range_sized, mv);
}
