/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Allocation and holes: fallocate's modes that objects know, and lseek's SEEK_DATA and SEEK_HOLE. */
#include "client/client_priv.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

/* ---- fallocate --------------------------------------------------------------------------------------------------- */

struct walk {
	uint32_t component, stripe;
};

/* The next object of the layout; false: no more. */
static bool walk_next(struct walk *w, const struct wp_layout *l, uint32_t *component, uint32_t *stripe)
{
	if (w->component == l->components_n)
		return false;
	*component = w->component;
	*stripe = w->stripe;
	if (++w->stripe == l->components[w->component].targets_n) {
		w->stripe = 0;
		w->component++;
	}
	return true;
}

static void alloc_pump(struct client_op *op)
{
	const struct wp_layout *l = &op->grant->layout;
	uint64_t from, to, end = op->offset + op->length;
	uint32_t ci, stripe;
	struct io *io;

	while (cl_op_ios_room(op) && walk_next(op->priv, l, &ci, &stripe)) {
		const struct wp_component *c = &l->components[ci];

		/* The object's bytes of the range lie together: between what it has of [0, offset) and of [0, end). */
		from = stripe_object_size(c, stripe, op->offset);
		to = stripe_object_size(c, stripe, end);
		if (from >= to)
			continue;
		io = cl_io_new(op, WP_OP_OBJ_ALLOC, ci, stripe);
		io->offset = from;
		io->length = to - from;
		io->mode = (uint8_t)op->mode;
		cl_io_go(io);
	}
}

static void alloc_io_done(struct client_op *op, struct io *io)
{
	cl_file_wrote(op->file, op->grant, io);
	cl_io_free(io);
}

static void alloc_done(struct client_op *op)
{
	if (op->io_err)
		cl_file_unknown(op->file);
	cl_op_finish(op, op->io_err == -WEFT_ENOSESSION ? -ESTALE : op->io_err);
}

static int alloc_mode(int mode)
{
	switch (mode) {
	case 0:
		return WP_ALLOC_MODE_ALLOCATE;
	case FALLOC_FL_KEEP_SIZE:
		return WP_ALLOC_MODE_KEEP_SIZE;
	case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
		return WP_ALLOC_MODE_PUNCH;
	case FALLOC_FL_ZERO_RANGE:
		return WP_ALLOC_MODE_ZERO;
	case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
		return WP_ALLOC_MODE_ZERO_KEEP;
	default:
		return -EOPNOTSUPP;
	}
}

struct client_op *client_fallocate(struct client *c, struct client_file *f, int mode, uint64_t offset, uint64_t length,
				   client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	OBJ_CHECK(f, FILE_MAGIC);
	cl_op_set_file(op, f);
	op->grant = cl_file_grant(f);
	op->offset = offset;
	op->length = length;
	op->mode = alloc_mode(mode);
	if (!length) {
		cl_op_finish(op, -EINVAL);
	} else if (offset > WEFT_FILE_SIZE_MAX || length > WEFT_FILE_SIZE_MAX - offset) {
		cl_op_finish(op, -EFBIG);
	} else if (!(f->flags & WP_OPEN_WRITE)) {
		cl_op_finish(op, -EBADF);
	} else if (cl_file_stale(f)) {
		cl_op_finish(op, -ESTALE);
	} else if (mode == FALLOC_FL_COLLAPSE_RANGE || mode == FALLOC_FL_INSERT_RANGE) {
		cl_move_range(op, mode == FALLOC_FL_INSERT_RANGE);
	} else if (op->mode < 0 || !op->grant) {
		cl_op_finish(op, op->mode < 0 ? op->mode : -EIO);
	} else {
		op->priv = NEW(struct walk);
		pthread_mutex_lock(&f->inode->lock);
		f->wrote = true;
		pthread_mutex_unlock(&f->inode->lock);
		cl_op_ios(op, alloc_pump, alloc_io_done, alloc_done);
	}
	return op;
}

/* ---- lseek ------------------------------------------------------------------------------------------------------- */

static void seek_pump(struct client_op *op)
{
	const struct wp_layout *l = &op->grant->layout;
	uint32_t ci, stripe;
	struct io *io;

	while (cl_op_ios_room(op) && walk_next(op->priv, l, &ci, &stripe)) {
		const struct wp_component *c = &l->components[ci];
		uint64_t from;

		if (op->offset >= c->end || c->start >= op->size_after)
			continue;
		from = stripe_object_size(c, stripe, op->offset);
		if (stripe_file_offset(c, stripe, from) >= MIN(op->size_after, c->end))
			continue;
		io = cl_io_new(op, WP_OP_OBJ_SEEK, ci, stripe);
		io->offset = from;
		io->hole = op->mode == SEEK_HOLE;
		cl_io_go(io);
	}
}

/* The first byte of the kind in one object; the smallest of all is the answer. */
static void seek_io_done(struct client_op *op, struct io *io)
{
	const struct wp_component *c = &op->grant->layout.components[io->obj.component];
	uint64_t at = io->result_offset;
	bool none = false;

	if (io->err == -ENXIO) {
		/* Behind the object's end: all hole. */
		none = op->mode == SEEK_DATA;
		at = io->offset;
	}
	at = stripe_file_offset(c, io->obj.stripe, at);
	/* A hole behind the component's last byte is another component's affair. */
	if (!none && at < c->end)
		op->pos = MIN(op->pos, MAX(at, op->offset));
	cl_io_free(io);
}

static void seek_done(struct client_op *op)
{
	int err = op->io_err;

	if (!err && op->mode == SEEK_HOLE)
		op->pos = MIN(op->pos, op->size_after);
	if (!err && op->pos >= op->size_after && op->mode == SEEK_DATA)
		err = -ENXIO;
	op->res.n = op->pos;
	cl_op_finish(op, err == -WEFT_ENOSESSION ? -ESTALE : err);
}

static void seek_size_known(void *arg, int err, const struct client_res *res)
{
	struct client_op *op = arg;

	op->child = NULL;
	op->flags |= OP_ASYNC;
	if (err) {
		cl_op_finish(op, err);
		return;
	}
	op->size_after = res->attr.size;
	if (op->offset >= op->size_after) {
		cl_op_finish(op, -ENXIO);
		return;
	}
	op->pos = UINT64_MAX;
	cl_op_ios(op, seek_pump, seek_io_done, seek_done);
}

struct client_op *client_lseek(struct client *c, struct client_file *f, uint64_t offset, int whence, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	OBJ_CHECK(f, FILE_MAGIC);
	cl_op_set_file(op, f);
	op->grant = cl_file_grant(f);
	op->offset = offset;
	op->mode = whence;
	if (whence != SEEK_DATA && whence != SEEK_HOLE) {
		cl_op_finish(op, -EINVAL);
	} else if (cl_file_stale(f)) {
		cl_op_finish(op, -ESTALE);
	} else if (!op->grant) {
		cl_op_finish(op, -EIO);
	} else {
		op->priv = NEW(struct walk);
		op->child = client_getattr(c, &f->inode->fid, seek_size_known, op);
	}
	return op;
}
