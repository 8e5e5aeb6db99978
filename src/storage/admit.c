/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * From request to device and back.
 *
 * Admission bounds the bytes in the device. What does not fit waits, strictly first come first served, so that operations on
 * one object reach the device in the order of their arrival. What does not fit the queue is sent back with NOTREADY, which
 * senders retry. The credits in replies keep honest senders from coming near either limit.
 */
#include "base/log.h"
#include "storage/storage_priv.h"

#define REPLY_FIXED_MAX 128u

uint16_t storage_credits(const struct storage_target *t)
{
	return t->n.queued_ops ? STORAGE_CREDITS_BUSY : STORAGE_CREDITS;
}

static void count_error(struct storage_target *t, int err)
{
	switch (err) {
	case -WEFT_EBADCRC: t->n.crc_errors++; break;
	case -WEFT_ECORRUPT: t->n.corrupt_blocks++; break;
	case -WEFT_EBADCAP: t->n.cap_failures++; break;
	case -WEFT_ECAPEXPIRED: t->n.cap_expired++; break;
	case -WEFT_EDENIED: t->n.denied++; break;
	case -WEFT_ENOTREADY: t->n.overloads++; break;
	case -ENOSPC: t->n.nospace++; break;
	case -EBADMSG: t->n.malformed++; break;
	case -EIO: t->n.io_errors++; break;
	default: break; /* answers like ENXIO or EINVAL are the sender's affair */
	}
}

void storage_fail(struct storage_target *t, struct rpc_req *req, int err)
{
	struct rpc_reply r = { .err = err, .credits = storage_credits(t) };

	count_error(t, err);
	rpc_reply(req, &r);
}

static void count_latency(struct storage_target *t, const struct storage_op *op)
{
	uint64_t us16 = (env_mono_ns(t->env) - op->start_ns) / 16000u;
	unsigned bucket = us16 ? 64u - (unsigned)__builtin_clzll(us16) : 0;

	if (bucket >= STORAGE_LATENCY_BUCKETS)
		bucket = STORAGE_LATENCY_BUCKETS - 1;
	if (op->msg->io == OSD_READ)
		t->n.read_latency[bucket]++;
	else if (op->msg->io == OSD_WRITE)
		t->n.write_latency[bucket]++;
}

/* Objects come into being by the first write: not being there yet is an answer, not an error. */
static int settle_missing(struct osd_io *io)
{
	if (io->err != -ENOENT || (io->op != OSD_STAT && io->op != OSD_SYNC && io->op != OSD_READ))
		return io->err;
	memset(&io->stat, 0, sizeof(io->stat));
	io->bytes = 0;
	return 0;
}

static void buf_put(struct storage_target *t, struct storage_op *op)
{
	io_buf_put(t->pool, op->buf, op->iov.iov_len);
	op->buf = NULL;
	t->bufs_out--;
}

/* The request, and op in its arena, are freed after this. */
static void bulk_sent(void *arg)
{
	struct storage_op *op = arg;
	struct storage_target *t = op->target;

	buf_put(t, op);
	storage_stop_check(t);
}

/* op is gone afterwards. */
static void reply_done(struct storage_target *t, struct storage_op *op)
{
	struct rpc_req *req = op->req;
	struct rpc_reply r = { .credits = storage_credits(t) };
	struct wp_enc e = rpc_reply_enc(req, REPLY_FIXED_MAX + (op->io.op == OSD_READ ? 4u * WP_CRCS_MAX : 0));

	op->msg->encode(op, &e);
	weft_assert(!e.err);
	r.body = e.p;
	r.body_len = e.len;
	if (op->io.op == OSD_READ) {
		if (op->io.bytes) {
			r.bulk[0] = (struct iovec){ .iov_base = op->buf, .iov_len = op->io.bytes };
			r.bulk_n = 1;
		}
		r.sent = bulk_sent;
		r.arg = op;
		t->n.read_bytes += op->io.bytes;
	} else if (op->io.op == OSD_WRITE) {
		t->n.write_bytes += op->io.length;
	}
	++*(uint64_t *)((char *)&t->n + op->msg->count);
	rpc_reply(req, &r);
}

/*
 * A truncation is part of an operation on metadata, which is durable when it is acknowledged (and must be, lest bytes that were
 * cut off show up again): the object is synced before the reply. True: it is not over yet.
 */
static bool sync_truncation(struct storage_target *t, struct storage_op *op)
{
	struct osd_io *io = &op->io;

	if (op->msg->io != OSD_TRUNCATE)
		return false;
	if (io->op == OSD_TRUNCATE && !io->err) {
		op->truncated = io->stat;
		io->op = OSD_SYNC;
		osd_io(t->dev, io);
		return true;
	}
	if (io->op == OSD_SYNC && io->err == -ENOENT) /* cut to nothing, and never was */
		io->err = 0;
	io->stat = op->truncated;
	return false;
}

static void io_done(struct osd_io *io)
{
	struct storage_op *op = io->arg;
	struct storage_target *t = op->target;
	int err;

	OBJ_CHECK(op, STORAGE_OP_MAGIC);
	if (sync_truncation(t, op))
		return;
	OBJ_FINI(op);
	t->n.inflight_ops--;
	t->n.inflight_bytes -= op->cost;
	err = settle_missing(io);
	count_latency(t, op);
	if (err) {
		log_debug("storage", "target %u: %s on [%llx:%x].%u.%u at %llu+%llu: %s", t->params.target,
			  wp_op_name(op->req->hdr.opcode), (unsigned long long)io->obj.fid.seq, io->obj.fid.oid,
			  io->obj.component, io->obj.stripe, (unsigned long long)io->offset, (unsigned long long)io->length,
			  wp_status_name(wp_status_from_errno(err)));
		if (op->buf)
			buf_put(t, op);
		storage_fail(t, op->req, err);
	} else {
		reply_done(t, op);
	}
	storage_admit_kick(t);
	storage_stop_check(t);
}

static void start(struct storage_target *t, struct storage_op *op)
{
	if (op->msg->io == OSD_READ) {
		op->buf = io_buf_get(t->pool, op->io.length);
		if (!op->buf) {
			storage_fail(t, op->req, -ENOMEM);
			return;
		}
		op->iov = (struct iovec){ .iov_base = op->buf, .iov_len = op->io.length };
		op->io.iov = &op->iov;
		op->io.iov_n = 1;
		t->bufs_out++;
	}
	t->n.inflight_ops++;
	t->n.inflight_bytes += op->cost;
	osd_io(t->dev, &op->io);
}

/* A request larger than the whole limit may run alone. */
static bool fits(const struct storage_target *t, const struct storage_op *op)
{
	return t->n.inflight_ops == 0 || t->n.inflight_bytes + op->cost <= t->params.inflight_bytes;
}

void storage_admit(struct storage_op *op)
{
	struct storage_target *t = op->target;

	op->io.op = op->msg->io;
	op->io.done = io_done;
	op->io.arg = op;
	if (list_empty(&t->queue) && fits(t, op)) {
		start(t, op);
		return;
	}
	if (t->n.queued_ops >= STORAGE_QUEUED_OPS_MAX || t->n.queued_bytes + op->cost > t->params.queued_bytes) {
		storage_fail(t, op->req, -WEFT_ENOTREADY);
		return;
	}
	t->n.queued_ops++;
	t->n.queued_bytes += op->cost;
	list_append(&t->queue, &op->node);
}

void storage_admit_kick(struct storage_target *t)
{
	while (!list_empty(&t->queue)) {
		struct storage_op *op = list_first(&t->queue, struct storage_op, node);

		if (!t->stopping && !fits(t, op))
			return;
		list_del(&op->node);
		t->n.queued_ops--;
		t->n.queued_bytes -= op->cost;
		if (t->stopping)
			storage_fail(t, op->req, -WEFT_ENOTREADY);
		else
			start(t, op);
	}
}

static void stopped(void *arg)
{
	struct storage_target *t = arg;
	env_fn *fn = t->stopped;

	OBJ_CHECK(t, STORAGE_TARGET_MAGIC);
	fn(t->stopped_arg);
}

void storage_stop_check(struct storage_target *t)
{
	if (!t->stopping || !t->stopped || t->stop_task.fn || t->n.inflight_ops || t->syncs || t->bufs_out)
		return;
	t->stop_task = (struct env_task){ .fn = stopped, .arg = t };
	env_post(t->env, &t->stop_task);
}
