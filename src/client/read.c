/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Reading. Objects are read in parallel, straight into the caller's memory.
 *
 * An object that ends before what was asked for is followed by a hole or by the end of the file, and only the file's present size
 * tells which. Zeros may be made up for [end of object, x) only if the file is known to have reached x *before* the object was
 * read: otherwise a write that raced with us could have put bytes there which are neither old nor new. So: the size is asked for, in
 * parallel when the read crosses what we last heard; what lies below both the size before and the size after is a hole; if that is not
 * enough, the short objects are read once more.
 */
#include "client/client_priv.h"

#define RELATIME_NS (24ull * 3600 * NSEC_PER_SEC)

/* ---- iovecs ------------------------------------------------------------------------------------------------------ */

/* The caller's memory at pos of the transfer; *len: contiguous bytes from there. */
static uint8_t *iov_at(const struct client_op *op, uint64_t pos, uint64_t *len)
{
	int i = 0;

	while (pos >= op->iov[i].iov_len)
		pos -= op->iov[i++].iov_len;
	*len = op->iov[i].iov_len - pos;
	return (uint8_t *)op->iov[i].iov_base + pos;
}

/* src NULL: zeros. */
static void iov_put(const struct client_op *op, uint64_t pos, const uint8_t *src, uint64_t len)
{
	uint64_t room, n;
	uint8_t *p;

	while (len) {
		p = iov_at(op, pos, &room);
		n = MIN(room, len);
		if (src)
			memcpy(p, src, n);
		else
			memset(p, 0, n);
		src = src ? src + n : NULL;
		pos += n;
		len -= n;
	}
}

/* ---- access time ------------------------------------------------------------------------------------------------- */

static bool time_le(const struct wp_time *a, const struct wp_time *b)
{
	return a->sec < b->sec || (a->sec == b->sec && a->nsec <= b->nsec);
}

/* The relatime rule, by what the opened inode said; the server applies it again to what it knows. With the inode locked. */
static bool atime_is_old(const struct client_inode *in, uint64_t wall_ns)
{
	return !in->atime_done && (time_le(&in->atime, &in->mtime) || time_le(&in->atime, &in->ctime) ||
				   (uint64_t)in->atime.sec * NSEC_PER_SEC + RELATIME_NS < wall_ns);
}

bool cl_atime_due(struct client_file *f, uint64_t wall_ns)
{
	bool due;

	if (f->m->noatime)
		return false;
	pthread_mutex_lock(&f->inode->lock);
	due = atime_is_old(f->inode, wall_ns);
	pthread_mutex_unlock(&f->inode->lock);
	return due;
}

/* Once per opening. */
static bool atime_due(struct client_op *op)
{
	struct client_inode *in = op->file->inode;
	bool due;

	if (op->c->m->noatime)
		return false;
	pthread_mutex_lock(&in->lock);
	due = atime_is_old(in, env_wall_ns(op->c->env));
	in->atime_done = true;
	pthread_mutex_unlock(&in->lock);
	return due;
}

static void touch_atime(struct client_op *op)
{
	static const struct client_setattr sa = { .valid = WP_SETATTR_LAZY_ATIME | WP_SETATTR_ATIME_NOW };
	static const struct client_cred nobody = { .groups_known = true };

	if (!atime_due(op))
		return;
	if (op->c->m->cache)
		cl_cache_touch_atime(op->c->m->cache, &op->file->inode->fid, env_wall_ns(op->c->env));
	client_setattr(op->c, &nobody, &op->file->inode->fid, NULL, &sa, NULL, NULL);
}

/* ---- the round --------------------------------------------------------------------------------------------------- */

static void read_decide(struct client_op *op);

static void read_pump(struct client_op *op)
{
	struct stripe_piece piece;
	uint64_t room;
	struct io *io;

	while (cl_op_ios_room(op) && op->pos < op->length) {
		int err = stripe_map(&op->grant->layout, op->offset + op->pos, MIN(op->length - op->pos, CLIENT_IO_MAX), &piece);

		if (err) {
			op->io_err = err;
			return;
		}
		piece.length = MIN(piece.length, CLIENT_IO_MAX - piece.offset % CLIENT_IO_MAX);
		io = cl_io_new(op, WP_OP_OBJ_READ, piece.component, piece.stripe);
		io->offset = piece.offset;
		io->length = piece.length;
		io->file_offset = op->offset + op->pos;
		io->dst = iov_at(op, op->pos, &room);
		if (room < piece.length) {
			/* A payload is received into one piece of memory. */
			io->bounce = malloc(piece.length);
			io->dst = io->bounce;
			if (!io->bounce) {
				op->io_err = -ENOMEM;
				cl_io_free(io);
				return;
			}
		}
		op->pos += piece.length;
		cl_io_go(io);
	}
}

static void read_io_done(struct client_op *op, struct io *io)
{
	op->c->stats.read_bytes += io->got;
	cl_file_heard_obj(op->file, op->grant, io);
	if (io->bounce)
		iov_put(op, io->file_offset - op->offset, io->dst, io->got);
	if (io->got < io->length)
		list_append(&op->ios_kept, &io->link);
	else
		cl_io_free(io);
}

static void read_round_done(struct client_op *op)
{
	op->ios_over = true;
	if (!op->child)
		read_decide(op);
}

static void read_size_known(void *arg, int err, const struct client_res *res)
{
	struct client_op *op = arg;

	op->child = NULL;
	op->flags |= OP_ASYNC;
	if (err && !op->io_err)
		op->io_err = err;
	if (!err) {
		op->size_known = true;
		op->size_after = res->attr.size;
	}
	if (op->ios_over)
		read_decide(op);
}

static void read_ask_size(struct client_op *op)
{
	op->child = client_getattr(op->c, &op->file->inode->fid, read_size_known, op);
}

/* ---- the second try ---------------------------------------------------------------------------------------------- */

static void reread_pump(struct client_op *op)
{
	struct io *io;

	while (cl_op_ios_room(op) && (io = list_pop(&op->ios_redo, struct io, link))) {
		io->offset += io->got;
		io->file_offset += io->got;
		io->length -= io->got;
		io->dst += io->got;
		io->got = 0;
		cl_io_go(io);
	}
}

static void read_again(struct client_op *op)
{
	op->size_before = op->size_after;
	op->tries++;
	op->ios_over = false;
	list_splice(&op->ios_redo, &op->ios_kept);
	cl_op_ios(op, reread_pump, read_io_done, read_round_done);
}

/* Fills the holes below end. */
static void read_fill(struct client_op *op, uint64_t end)
{
	struct io *io;

	list_each(io, &op->ios_kept, link) {
		uint64_t from = io->file_offset + io->got, to = MIN(io->file_offset + io->length, end);

		if (from < to)
			iov_put(op, from - op->offset, NULL, to - from);
	}
}

static void read_decide(struct client_op *op)
{
	uint64_t end = op->offset + op->length, gap = end;
	struct io *io;

	if (op->io_err) {
		cl_op_finish(op, op->io_err == -WEFT_ENOSESSION ? -ESTALE : op->io_err);
		return;
	}
	list_each(io, &op->ios_kept, link)
		gap = MIN(gap, io->file_offset + io->got);
	if (gap == end) {
		op->res.n = op->length;
		cl_op_finish(op, 0);
		return;
	}
	if (!op->size_known) {
		read_ask_size(op);
		return;
	}
	cl_inode_heard_size(op->file->inode, op->size_after);
	if (op->size_after > gap) {
		end = MIN(end, op->size_after);
		if (end > op->size_before && !op->tries) {
			read_again(op);
			return;
		}
		read_fill(op, end);
		gap = end;
	}
	op->res.n = gap - op->offset;
	cl_op_finish(op, 0);
}

struct client_op *client_read(struct client *c, struct client_file *f, const struct iovec *iov, int iov_n, uint64_t offset,
			      client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);
	int i;

	OBJ_CHECK(f, FILE_MAGIC);
	cl_op_set_file(op, f);
	op->grant = cl_file_grant(f);
	op->iov = iov;
	op->iov_n = iov_n;
	op->offset = offset;
	for (i = 0; i < iov_n; i++)
		op->length += iov[i].iov_len;
	if (cl_file_stale(f)) {
		cl_op_finish(op, -ESTALE);
	} else if (!(f->flags & (WP_OPEN_READ | WP_OPEN_EXEC))) {
		cl_op_finish(op, -EBADF);
	} else if (!op->grant) {
		cl_op_finish(op, -EIO);
	} else if (offset >= WEFT_FILE_SIZE_MAX || !op->length) {
		cl_op_finish(op, 0);
	} else {
		op->length = MIN(op->length, WEFT_FILE_SIZE_MAX - offset);
		pthread_mutex_lock(&f->inode->lock);
		op->size_before = f->inode->known_size;
		pthread_mutex_unlock(&f->inode->lock);
		cl_op_ios(op, read_pump, read_io_done, read_round_done);
		if (op->flags & OP_FINISHED)
			return op;
		if (offset + op->length > op->size_before)
			read_ask_size(op);
		touch_atime(op);
	}
	return op;
}
