/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Calls to objects: rounds of parallel calls of one operation, checksums both ways, capabilities that expire.
 *
 * A round (cl_op_ios) has up to CLIENT_IO_WINDOW calls out. Damaged payloads are sent or read again, expired capabilities renewed
 * through the file's handle; any other error ends the round once everything that is out has come back.
 */
#include "base/crc.h"
#include "client/client_priv.h"

static void io_send(struct io *io);

/* ---- pool -------------------------------------------------------------------------------------------------------- */

uint32_t cl_grant_obj_index(const struct grant *g, uint32_t component, uint32_t stripe)
{
	uint32_t i, n = stripe;

	for (i = 0; i < component; i++)
		n += g->layout.components[i].targets_n;
	return n;
}

struct io *cl_io_new_target(struct client_op *op, uint16_t what, uint32_t target)
{
	struct client *c = op->c;
	struct io *io = list_pop(&c->free_ios, struct io, link);

	if (io)
		c->free_ios_n--;
	else
		io = xmalloc(sizeof(*io));
	memset(io, 0, offsetof(struct io, call));
	memset((char *)io + offsetof(struct io, what), 0, sizeof(*io) - offsetof(struct io, what));
	list_init(&io->link);
	io->op = op;
	io->what = what;
	io->target = target;
	return io;
}

struct io *cl_io_new(struct client_op *op, uint16_t what, uint32_t component, uint32_t stripe)
{
	struct io *io = cl_io_new_target(op, what, op->grant->layout.components[component].targets[stripe]);

	io->obj = (struct wp_objid){ .fid = op->grant->cap.fid, .component = (uint16_t)component, .stripe = stripe };
	io->obj_index = cl_grant_obj_index(op->grant, component, stripe);
	return io;
}

void cl_io_free(struct io *io)
{
	struct client *c = io->op->c;

	list_del(&io->link);
	free(io->bounce);
	if (c->free_ios_n < CLIENT_POOL_KEEP) {
		list_push(&c->free_ios, &io->link);
		c->free_ios_n++;
	} else {
		free(io);
	}
}

void cl_io_pool_done(struct client *c)
{
	struct io *io;

	while ((io = list_pop(&c->free_ios, struct io, link)))
		free(io);
	c->free_ios_n = 0;
}

void cl_ios_free_kept(struct client_op *op)
{
	list_splice(&op->ios_kept, &op->ios_redo);
	while (!list_empty(&op->ios_kept))
		cl_io_free(list_first(&op->ios_kept, struct io, link));
}

/* ---- rounds ------------------------------------------------------------------------------------------------------ */

bool cl_op_ios_room(const struct client_op *op)
{
	return !op->io_err && !op->abort_err && !op->refresh && op->ios_pending < CLIENT_IO_WINDOW;
}

static void round_step(struct client_op *op)
{
	if (cl_op_ios_room(op))
		op->ios_pump(op);
	if (op->ios_pending)
		return;
	if (!op->io_err && op->abort_err)
		op->io_err = op->abort_err;
	op->ios_done(op);
}

void cl_op_ios(struct client_op *op, void (*pump)(struct client_op *op), void (*io_done)(struct client_op *op, struct io *io),
	    void (*done)(struct client_op *op))
{
	if (!cl_op_going(op))
		return;
	op->ios_pump = pump;
	op->io_done = io_done;
	op->ios_done = done;
	op->io_err = 0;
	round_step(op);
}

static void io_ended(struct io *io, int err)
{
	struct client_op *op = io->op;

	list_del(&io->link);
	op->ios_pending--;
	if (err) {
		if (!op->io_err)
			op->io_err = op->abort_err ? op->abort_err : err;
		cl_io_free(io);
	} else {
		op->io_done(op, io);
	}
	round_step(op);
}

void cl_ios_abort(struct client_op *op)
{
	struct io *io, *tmp;

	if (op->c->freeing) {
		/* Calls have ended with the node; only what waited for a capability is left. */
		list_each_safe(io, tmp, &op->ios_stalled, link) {
			op->ios_pending--;
			cl_io_free(io);
		}
		if (op->refresh)
			op->refresh->cb = NULL;
		op->refresh = NULL;
		return;
	}
	if (op->refresh)
		cl_op_abort(op->refresh, op->abort_err);
	list_each_safe(io, tmp, &op->ios, link)
		rpc_call_cancel(&io->call);
}

/* ---- capabilities ------------------------------------------------------------------------------------------------ */

static void refresh_over(void *arg, int err, const struct client_res *res)
{
	struct client_op *op = arg;
	struct list stalled = LIST_INIT(stalled);
	struct io *io;

	op->refresh = NULL;
	op->flags |= OP_ASYNC;
	list_splice(&stalled, &op->ios_stalled);
	if (op->c->freeing)
		err = -ECANCELED;
	/* The last one that ends may finish the operation: not touched after that. */
	while ((io = list_pop(&stalled, struct io, link))) {
		if (err) {
			io_ended(io, err);
		} else {
			list_append(&op->ios, &io->link);
			io_send(io);
		}
	}
}

static void refresh_done(struct client_op *rop, int err)
{
	struct client_op *op = rop->arg;
	struct client_file *f = rop->file;
	struct wp_refresh_cap_rep rep;
	struct grant *g;

	if (!err)
		err = META_DECODE(rop, refresh_cap, &rep);
	if (!err && stripe_check(&rep.layout, false))
		err = -EIO;
	if (!err) {
		g = cl_grant_new(&rep.layout, &rep.cap);
		pthread_mutex_lock(&f->inode->lock);
		if (f->grant)
			cl_grant_unref(f->grant);
		cl_grant_ref(g);
		f->grant = g;
		pthread_mutex_unlock(&f->inode->lock);
		cl_op_set_grant(op, g);
	}
	cl_op_finish(rop, err == -WEFT_ENOSESSION ? -ESTALE : err);
}

/* Renews the capability of the operation's file, unless another operation has done so already. */
static void io_stall(struct io *io)
{
	struct client_op *op = io->op, *rop;
	struct grant *g = cl_file_grant(op->file);

	list_del(&io->link);
	list_append(&op->ios_stalled, &io->link);
	if (op->refresh) {
		cl_grant_unref(g);
		return;
	}
	if (g != op->grant) {
		cl_op_set_grant(op, g);
		list_del(&io->link);
		list_append(&op->ios, &io->link);
		io_send(io);
		return;
	}
	cl_grant_unref(g);
	rop = cl_op_new(op->c, refresh_over, op);
	rop->flags |= OP_INTERNAL;
	rop->deadline_ns = op->deadline_ns;
	cl_op_set_file(rop, op->file);
	rop->req.refresh_cap = (struct wp_refresh_cap_req){ .fid = op->file->inode->fid, .handle = op->file->handle };
	op->refresh = rop;
	cl_op_meta(rop, &cl_req_refresh_cap, wp_fid_mdt(&op->file->inode->fid), refresh_done);
}

/* ---- replies ----------------------------------------------------------------------------------------------------- */

/* Do the checksums of the blocks match what arrived? */
static bool io_payload_intact(const struct io *io, const uint32_t *crcs, uint32_t crcs_n)
{
	uint64_t at = io->offset, end = io->offset + io->got;
	uint32_t i = 0;

	while (at < end) {
		uint64_t next = MIN(round_down_pow2(at, WP_BLOCK_SIZE) + WP_BLOCK_SIZE, end);

		if (i >= crcs_n || crc32c(0, io->dst + (at - io->offset), next - at) != crcs[i])
			return false;
		at = next;
		i++;
	}
	return i == crcs_n;
}

static int io_decode_read(struct io *io)
{
	struct client *c = io->op->c;
	struct wp_obj_read_rep rep;
	int err;

	err = wp_obj_read_rep_decode(io->call.reply, io->call.reply_len, c->scratch, CLIENT_SCRATCH, &rep);
	if (err)
		return err;
	io->got = io->call.reply_bulk_len;
	io->stat = rep.stat;
	return io_payload_intact(io, rep.crcs, rep.crcs_n) ? 0 : -WEFT_EBADCRC;
}

static int io_decode(struct io *io)
{
	const uint8_t *p = io->call.reply;
	uint32_t len = io->call.reply_len;
	union {
		struct wp_obj_write_rep write;
		struct wp_obj_alloc_rep alloc;
		struct wp_obj_seek_rep seek;
		struct wp_obj_sync_rep sync;
		struct wp_obj_stat_rep stat;
		struct wp_target_sync_rep target_sync;
	} rep;
	int err;

	switch (io->what) {
	case WP_OP_OBJ_READ:
		return io_decode_read(io);
	case WP_OP_OBJ_WRITE:
		err = wp_obj_write_rep_decode(p, len, NULL, 0, &rep.write);
		io->stat = rep.write.stat;
		io->verifier = rep.write.verifier;
		return err;
	case WP_OP_OBJ_ALLOC:
		err = wp_obj_alloc_rep_decode(p, len, NULL, 0, &rep.alloc);
		io->stat = rep.alloc.stat;
		io->verifier = rep.alloc.verifier;
		return err;
	case WP_OP_OBJ_SEEK:
		err = wp_obj_seek_rep_decode(p, len, NULL, 0, &rep.seek);
		io->result_offset = rep.seek.offset;
		return err;
	case WP_OP_OBJ_SYNC:
		err = wp_obj_sync_rep_decode(p, len, NULL, 0, &rep.sync);
		io->verifier = rep.sync.verifier;
		return err;
	case WP_OP_OBJ_STAT:
		err = wp_obj_stat_rep_decode(p, len, NULL, 0, &rep.stat);
		io->stat = rep.stat.stat;
		io->verifier = rep.stat.verifier;
		return err;
	default:
		err = wp_target_sync_rep_decode(p, len, NULL, 0, &rep.target_sync);
		io->verifier = rep.target_sync.verifier;
		return err;
	}
}

/* What of the errors is a result. */
static int io_result(struct io *io, int err)
{
	io->err = err;
	if (err == -ENXIO && io->what == WP_OP_OBJ_SEEK)
		return 0;
	/* No object: nothing was ever written to it. */
	if (err == -ENOENT && (io->what == WP_OP_OBJ_STAT || io->what == WP_OP_OBJ_READ)) {
		io->err = 0;
		return 0;
	}
	if (err == -ENOENT && io->what == WP_OP_OBJ_SYNC)
		return 0;
	if (err == -ENOENT && io->what == WP_OP_OBJ_SEEK) {
		io->err = -ENXIO;
		return 0;
	}
	return err;
}

static void io_called(struct rpc_call *call)
{
	struct io *io = call->arg;
	struct client_op *op = io->op;
	int err = call->err;

	op->flags |= OP_ASYNC;
	if (!err)
		err = io_decode(io);
	if (op->abort_err || op->c->freeing) {
		io_ended(io, io_result(io, err));
	} else if (err == -WEFT_EBADCRC) {
		op->c->stats.bad_crcs++;
		if (++io->crc_tries < CLIENT_CRC_RETRIES)
			io_send(io);
		else
			io_ended(io, -EIO);
	} else if ((err == -WEFT_ECAPEXPIRED || err == -WEFT_EBADCAP) && op->file && ++io->cap_tries < CLIENT_CAP_RETRIES) {
		io_stall(io);
	} else {
		io_ended(io, io_result(io, err));
	}
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* One checksum per block of the object that the payload touches; returns their number. */
static uint32_t io_checksum(const struct io *io, uint32_t *crcs)
{
	uint64_t at = io->offset, end = io->offset + io->length;
	const uint8_t *p = NULL;
	size_t left = 0;
	uint32_t n = 0;
	int v = 0;

	while (at < end) {
		uint64_t next = MIN(round_down_pow2(at, WP_BLOCK_SIZE) + WP_BLOCK_SIZE, end);
		uint32_t crc = 0;

		while (at < next) {
			size_t step;

			while (!left) {
				p = io->bulk[v].iov_base;
				left = io->bulk[v++].iov_len;
			}
			step = (size_t)MIN(next - at, left);
			crc = crc32c(crc, p, step);
			p += step;
			left -= step;
			at += step;
		}
		crcs[n++] = crc;
	}
	return n;
}

static void io_encode_write(struct io *io, const struct wp_cap *cap)
{
	struct client_op *op = io->op;
	struct wp_obj_write_req req = { .cap = *cap, .obj = io->obj, .offset = io->offset, .crcs = op->c->crcs };

	req.crcs_n = io_checksum(io, op->c->crcs);
	if (op->io_flags & CLIENT_WRITE_STABLE)
		req.flags |= WP_IO_STABLE;
	wp_obj_write_req_enc(rpc_call_enc(&io->call, 256 + req.crcs_n * 4), &req);
	io->call.flags |= WP_HDR_BULK_CRC;
	io->call.bulk = io->bulk;
	io->call.bulk_n = io->bulk_n;
}

static void io_encode_read(struct io *io, const struct wp_cap *cap)
{
	struct wp_obj_read_req req = { .cap = *cap, .obj = io->obj, .offset = io->offset, .length = (uint32_t)io->length };

	wp_obj_read_req_enc(rpc_call_enc(&io->call, 256), &req);
	io->call.reply_bulk = io->dst;
	io->call.reply_bulk_max = io->length;
}

static void io_encode(struct io *io)
{
	static const struct wp_cap none;
	const struct wp_cap *cap = io->op->grant ? &io->op->grant->cap : &none;
	struct wp_obj_alloc_req alloc = {
		.cap = *cap, .obj = io->obj, .mode = io->mode, .offset = io->offset, .length = io->length,
	};
	struct wp_obj_seek_req seek = { .cap = *cap, .obj = io->obj, .offset = io->offset, .hole = io->hole };
	struct wp_obj_sync_req sync = { .cap = *cap, .obj = io->obj };
	struct wp_obj_stat_req stat = { .cap = *cap, .obj = io->obj };
	struct wp_target_sync_req target_sync = { 0 };

	switch (io->what) {
	case WP_OP_OBJ_READ:
		io_encode_read(io, cap);
		break;
	case WP_OP_OBJ_WRITE:
		io_encode_write(io, cap);
		break;
	case WP_OP_OBJ_ALLOC:
		wp_obj_alloc_req_enc(rpc_call_enc(&io->call, 256), &alloc);
		break;
	case WP_OP_OBJ_SEEK:
		wp_obj_seek_req_enc(rpc_call_enc(&io->call, 256), &seek);
		break;
	case WP_OP_OBJ_SYNC:
		wp_obj_sync_req_enc(rpc_call_enc(&io->call, 256), &sync);
		break;
	case WP_OP_OBJ_STAT:
		wp_obj_stat_req_enc(rpc_call_enc(&io->call, 256), &stat);
		break;
	default:
		wp_target_sync_req_enc(rpc_call_enc(&io->call, 64), &target_sync);
		break;
	}
}

static void io_send(struct io *io)
{
	struct client_op *op = io->op;

	rpc_call_init(&io->call, io->what, io_called, io);
	io_encode(io);
	io->call.deadline_ns = op->deadline_ns;
	op->c->stats.calls++;
	rpc_call(io->ost->peer, &io->call);
}

void cl_io_go(struct io *io)
{
	struct client_op *op = io->op;

	io->ost = cl_ost_get(op->c, io->target);
	if (!io->ost) {
		if (!op->io_err)
			op->io_err = -EIO;
		cl_io_free(io);
		return;
	}
	list_append(&op->ios, &io->link);
	op->ios_pending++;
	io_send(io);
}
