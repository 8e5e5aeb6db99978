/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Writing: clear set-id bits if told, take the append lock if appending, then write all stripes in parallel from the caller's
 * memory.
 */
#include "client/client_priv.h"

#define OWNER_APPEND (1ull << 63) /* apart from the owners that front ends choose */

static void write_start(struct client_op *op);

/* ---- append ------------------------------------------------------------------------------------------------------ */

/* As any other lock it is told to a target that restarts while we write: others must not append at the same place. */
static void append_held(struct client_op *op, uint8_t type)
{
	struct client_lock l = { .kind = WP_LOCK_KIND_APPEND, .type = type, .owner = op->owner, .end = UINT64_MAX,
				 .pid = op->c->m->pid };

	cl_lock_held(op->file->inode, &l);
}

static void append_unlock(struct client_op *op, bool cancel)
{
	struct client_op *u;
	const struct wp_fid fid = op->file->inode->fid;

	append_held(op, WP_LOCK_TYPE_UNLOCK);
	if (cancel) {
		u = cl_op_new(op->c, NULL, NULL);
		u->flags |= OP_INTERNAL;
		u->req.lock_cancel = (struct wp_lock_cancel_req){
			.fid = fid, .kind = WP_LOCK_KIND_APPEND, .owner = op->owner, .end = UINT64_MAX,
		};
		cl_op_meta(u, &cl_req_lock_cancel, wp_fid_mdt(&fid), cl_op_done);
	}
	u = cl_op_new(op->c, NULL, NULL);
	u->flags |= OP_INTERNAL;
	u->req.lock = (struct wp_lock_req){
		.fid = fid, .kind = WP_LOCK_KIND_APPEND, .type = WP_LOCK_TYPE_UNLOCK, .owner = op->owner, .end = UINT64_MAX,
		.handle = op->file->handle,
	};
	cl_op_meta(u, &cl_req_lock, wp_fid_mdt(&fid), cl_op_done);
}

static void append_locked(struct client_op *op, int err)
{
	struct wp_lock_rep rep;

	if (!err)
		err = META_DECODE(op, lock, &rep);
	if (err) {
		/* It may be granted yet, to nobody: given back in advance. */
		if (!op->c->freeing)
			append_unlock(op, true);
		cl_op_finish(op, err == -WEFT_ENOSESSION ? -ESTALE : err);
		return;
	}
	op->locked = true;
	append_held(op, WP_LOCK_TYPE_WRITE);
	op->offset = rep.size;
	write_start(op);
}

static void append_lock(struct client_op *op)
{
	struct client_file *f = op->file;

	op->owner = atomic_fetch_add(&f->m->next_owner, 1) | OWNER_APPEND;
	op->req.lock = (struct wp_lock_req){
		.fid = f->inode->fid, .kind = WP_LOCK_KIND_APPEND, .type = WP_LOCK_TYPE_WRITE, .wait = 1, .owner = op->owner,
		.end = UINT64_MAX, .pid = op->c->m->pid, .handle = f->handle,
	};
	cl_op_meta(op, &cl_req_lock, wp_fid_mdt(&f->inode->fid), append_locked);
}

/* ---- the round --------------------------------------------------------------------------------------------------- */

/* The payload at op->pos as at most CLIENT_BULK_IOV pieces, else gathered. */
static int write_slice(struct client_op *op, struct io *io)
{
	uint64_t left = io->length, skip = op->pos, n;
	uint8_t *to;
	int i = 0;

	while (skip >= op->iov[i].iov_len)
		skip -= op->iov[i++].iov_len;
	for (int first = i; left && io->bulk_n < CLIENT_BULK_IOV; i++) {
		uint64_t at = i == first ? skip : 0;

		n = MIN(left, op->iov[i].iov_len - at);
		if (n)
			io->bulk[io->bulk_n++] = (struct iovec){ (uint8_t *)op->iov[i].iov_base + at, n };
		left -= n;
	}
	if (!left)
		return 0;
	io->bounce = to = malloc(io->length);
	if (!to)
		return -ENOMEM;
	for (i = 0; i < io->bulk_n; i++) {
		memcpy(to, io->bulk[i].iov_base, io->bulk[i].iov_len);
		to += io->bulk[i].iov_len;
	}
	/* Continues after what the slices covered. */
	skip = op->pos + (io->length - left);
	for (i = 0; skip >= op->iov[i].iov_len; i++)
		skip -= op->iov[i].iov_len;
	for (; left; i++) {
		n = MIN(left, op->iov[i].iov_len - skip);
		memcpy(to, (uint8_t *)op->iov[i].iov_base + skip, n);
		to += n;
		left -= n;
		skip = 0;
	}
	io->bulk[0] = (struct iovec){ io->bounce, io->length };
	io->bulk_n = 1;
	return 0;
}

static void write_pump(struct client_op *op)
{
	struct stripe_piece piece;
	struct io *io;
	int err;

	while (cl_op_ios_room(op) && op->pos < op->length) {
		err = stripe_map(&op->grant->layout, op->offset + op->pos, MIN(op->length - op->pos, CLIENT_IO_MAX), &piece);
		if (err) {
			op->io_err = err;
			return;
		}
		piece.length = MIN(piece.length, CLIENT_IO_MAX - piece.offset % CLIENT_IO_MAX);
		io = cl_io_new(op, WP_OP_OBJ_WRITE, piece.component, piece.stripe);
		io->offset = piece.offset;
		io->length = piece.length;
		io->file_offset = op->offset + op->pos;
		err = write_slice(op, io);
		if (err) {
			op->io_err = err;
			cl_io_free(io);
			return;
		}
		op->pos += piece.length;
		cl_io_go(io);
	}
}

static void write_io_done(struct client_op *op, struct io *io)
{
	cl_file_wrote(op->file, op->grant, io);
	op->c->stats.written_bytes += io->length;
	cl_io_free(io);
}

static void write_end(struct client_op *op, int err)
{
	if (op->locked && !op->c->freeing)
		append_unlock(op, false);
	op->res.n = err ? 0 : op->length;
	op->res.lock.start = op->offset;
	cl_op_finish(op, err == -WEFT_ENOSESSION ? -ESTALE : err);
}

static void write_done(struct client_op *op)
{
	if (op->io_err)
		cl_file_unknown(op->file); /* some of it may have arrived */
	write_end(op, op->io_err);
}

static void write_start(struct client_op *op)
{
	struct client_file *f = op->file;

	if (op->abort_err) {
		write_end(op, op->abort_err);
		return;
	}
	if (op->offset >= WEFT_FILE_SIZE_MAX) {
		write_end(op, -EFBIG);
		return;
	}
	op->length = MIN(op->length, WEFT_FILE_SIZE_MAX - op->offset);
	pthread_mutex_lock(&f->inode->lock);
	f->wrote = true; /* also when it fails: the server must ask the objects */
	pthread_mutex_unlock(&f->inode->lock);
	cl_op_ios(op, write_pump, write_io_done, write_done);
}

/* ---- start ------------------------------------------------------------------------------------------------------- */

static void write_or_append(struct client_op *op)
{
	if (op->io_flags & CLIENT_WRITE_APPEND)
		append_lock(op);
	else
		write_start(op);
}

static void write_killed(struct client_op *op, int err)
{
	if (err) {
		cl_op_finish(op, err == -WEFT_ENOSESSION ? -ESTALE : err);
		return;
	}
	op->file->suid = false;
	write_or_append(op);
}

static void write_kill(struct client_op *op)
{
	op->req.setattr = (struct wp_setattr_req){
		.fid = op->file->inode->fid, .valid = WP_SETATTR_KILL_SUIDGID, .handle = op->file->handle,
	};
	cl_op_meta(op, &cl_req_setattr, wp_fid_mdt(&op->file->inode->fid), write_killed);
}

struct client_op *client_write(struct client *c, struct client_file *f, const struct client_cred *cred, const struct iovec *iov,
			       int iov_n, uint64_t offset, uint32_t flags, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);
	int i;

	OBJ_CHECK(f, FILE_MAGIC);
	cl_op_set_file(op, f);
	op->grant = cl_file_grant(f);
	op->iov = iov;
	op->iov_n = iov_n;
	op->offset = offset;
	op->io_flags = flags;
	if ((f->flags & WP_OPEN_APPEND) && !(flags & CLIENT_WRITE_NOAPPEND))
		op->io_flags |= CLIENT_WRITE_APPEND;
	if (cred)
		cl_op_cred(op, cred);
	for (i = 0; i < iov_n; i++)
		op->length += iov[i].iov_len;
	if (cl_file_stale(f))
		cl_op_finish(op, -ESTALE);
	else if (!(f->flags & WP_OPEN_WRITE))
		cl_op_finish(op, -EBADF);
	else if (!op->grant)
		cl_op_finish(op, -EIO);
	else if (!op->length)
		cl_op_finish(op, 0);
	else if (cred && ((flags & CLIENT_WRITE_KILL) || (f->suid && !cred->cap_dac)))
		write_kill(op);
	else
		write_or_append(op);
	return op;
}
