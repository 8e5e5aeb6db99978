/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Appending and committing. README.md has the invariants (J1...). */
#include "journal/journal.h"

#include "base/crc.h"
#include "base/log.h"
#include "journal/journal_priv.h"
#include "proto/codec.h"

static void run_task(void *arg);

int journal_open(const struct journal_params *params, struct journal **ret)
{
	struct journal *j = NEW(struct journal);
	int err = 0;

	OBJ_INIT(j, JOURNAL_MAGIC);
	j->params = *params;
	j->env = params->env;
	if (!j->params.segment_bytes)
		j->params.segment_bytes = JOURNAL_SEGMENT_DEFAULT;
	j->dir = params->dir ? xstrdup(params->dir) : NULL;
	j->last = j->durable = j->applied = params->applied;
	j->next_seq = 1;
	list_init(&j->queue);
	list_init(&j->spare);
	j->task = (struct env_task){ .fn = run_task, .arg = j };
	j->header = block_alloc(BLOCK);
	if (j->params.segment_bytes % BLOCK || j->params.segment_bytes < 4 * BLOCK)
		err = -EINVAL;
	if (!err)
		err = recover_start(j);
	if (err) {
		journal_free(j);
		return err;
	}
	*ret = j;
	return 0;
}

static void batch_free(struct batch *b)
{
	if (!b)
		return;
	free(b->p);
	free(b);
}

void journal_free(struct journal *j)
{
	struct batch *b;

	if (!j)
		return;
	OBJ_CHECK(j, JOURNAL_MAGIC);
	recover_free(j);
	for (uint32_t i = 0; i < j->n; i++)
		j->env->ops->file_close(j->env, j->segments[i].file);
	while ((b = list_pop(&j->queue, struct batch, node)))
		batch_free(b);
	while ((b = list_pop(&j->spare, struct batch, node)))
		batch_free(b);
	batch_free(j->inflight);
	free(j->make.zeros);
	free(j->header);
	free(j->dir);
	OBJ_FINI(j);
	free(j);
}

bool journal_idle(const struct journal *j)
{
	return !j->inflight && !j->task_queued && !j->make.busy && !j->recovery && (j->err || j->durable == j->last);
}

uint64_t journal_last(const struct journal *j) { return j->last; }
uint64_t journal_durable(const struct journal *j) { return j->durable; }

struct journal_stats journal_stats(const struct journal *j)
{
	struct journal_stats s = j->stats;

	s.segments = j->n;
	return s;
}

/* ---- appending -------------------------------------------------------------------------------------------------------------- */

static size_t batch_max(const struct journal *j) { return MIN(JOURNAL_BATCH_MAX, j->params.segment_bytes - BLOCK); }

static struct batch *batch_new(struct journal *j)
{
	struct batch *b = list_pop(&j->spare, struct batch, node);

	if (!b) {
		b = NEW(struct batch);
		list_init(&b->node);
		b->cap = 64 * 1024;
		b->p = block_alloc(b->cap);
	}
	b->len = BATCH_HEADER;
	b->first = j->last + 1;
	b->count = 0;
	list_append(&j->queue, &b->node);
	j->queued += BLOCK;
	return b;
}

static void batch_room(struct batch *b, size_t extra)
{
	uint8_t *p;

	if (b->len + extra <= b->cap)
		return;
	while (b->len + extra > b->cap)
		b->cap *= 2;
	p = block_alloc(b->cap);
	memcpy(p, b->p, b->len);
	free(b->p);
	b->p = p;
}

/* What the queue takes at most when len more bytes are in it fits into what is there: J5. */
static int check_room(const struct journal *j, size_t len)
{
	size_t all = j->queued + len + 2 * BLOCK;

	if (!j->make.err || j->next)
		return j->queued + len > JOURNAL_QUEUE_MAX ? -EAGAIN : 0;
	return j->current && j->offset + all <= j->params.segment_bytes ? 0 : -ENOSPC;
}

static void schedule(struct journal *j)
{
	if (j->task_queued || j->inflight)
		return;
	j->task_queued = true;
	env_post(j->env, &j->task);
}

static void add_entry(struct journal *j, struct batch *b, const void *payload, size_t len)
{
	uint8_t *at;

	batch_room(b, ENTRY_HEADER + len);
	at = b->p + b->len;
	wp_put_le32(at, (uint32_t)len);
	if (len)
		memcpy(at + ENTRY_HEADER, payload, len);
	b->last_len = (uint32_t)(ENTRY_HEADER + len);
	j->queued -= round_up_pow2(b->len, BLOCK);
	b->len += b->last_len;
	j->queued += round_up_pow2(b->len, BLOCK);
	b->count++;
}

int journal_append(struct journal *j, const void *payload, size_t len)
{
	struct batch *b;
	int err = j->err;

	if (!err && len + ENTRY_HEADER + BATCH_HEADER > batch_max(j))
		err = -E2BIG;
	if (err)
		return err;
	if (j->dir) {
		err = check_room(j, len);
		if (err)
			return err;
		b = list_empty(&j->queue) ? NULL : list_last(&j->queue, struct batch, node);
		if (!b || b->len + ENTRY_HEADER + len > batch_max(j))
			b = batch_new(j);
		add_entry(j, b, payload, len);
	}
	j->last++;
	j->stats.entries++;
	j->stats.bytes += len;
	schedule(j);
	return 0;
}

void journal_undo(struct journal *j)
{
	struct batch *b;

	weft_assert(j->last > j->durable);
	j->last--;
	j->stats.entries--;
	if (!j->dir)
		return;
	b = list_last(&j->queue, struct batch, node);
	weft_assert(b->count && b->last_len);
	j->queued -= round_up_pow2(b->len, BLOCK);
	b->len -= b->last_len;
	b->last_len = 0;
	b->count--;
	if (!b->count) {
		list_del(&b->node);
		list_append(&j->spare, &b->node);
	} else {
		j->queued += round_up_pow2(b->len, BLOCK);
	}
}

/* ---- committing ------------------------------------------------------------------------------------------------------------- */

static void fail(struct journal *j, int err)
{
	j->err = err;
	log_err("journal", "%s/%04u: writing failed: %s; nothing more is accepted", j->dir, j->current->number, strerror(-err));
	if (j->params.failed)
		j->params.failed(j->params.arg, err);
}

static void start_write(struct journal *j);

static void written(struct env_io *io)
{
	struct journal *j = io->arg;
	struct batch *b = j->inflight;

	OBJ_CHECK(j, JOURNAL_MAGIC);
	j->inflight = NULL;
	if (io->result < 0) {
		batch_free(b);
		fail(j, (int)io->result);
		return;
	}
	j->durable = j->current->last = b->first + b->count - 1;
	j->stats.batches++;
	if (b->cap > 4 * 64 * 1024)
		batch_free(b); /* the odd large one is not kept */
	else
		list_push(&j->spare, &b->node);
	/* The next write goes to the disk before the answers are worked out. */
	start_write(j);
	j->params.committed(j->params.arg, j->durable);
}

static bool use_next(struct journal *j, uint64_t first)
{
	struct segment *s = j->next;

	if (!s) {
		segment_prepare(j);
		return false; /* journal_prepared goes on */
	}
	j->next = NULL;
	j->current = s;
	s->seq = j->next_seq++;
	s->first = first;
	s->last = first - 1;
	s->epoch = j->epoch;
	s->salt = env_random_u64(j->env);
	s->valid = true;
	j->offset = 0;
	segment_header_encode(j->header, s);
	return true;
}

static void batch_finish(struct journal *j, struct batch *b, size_t size)
{
	uint8_t *p = b->p;

	memset(p + b->len, 0, size - b->len);
	wp_put_le32(p, BATCH_MAGIC);
	wp_put_le64(p + 8, j->epoch);
	wp_put_le64(p + 16, j->current->seq);
	wp_put_le64(p + 24, j->current->salt);
	wp_put_le64(p + 32, b->first);
	wp_put_le32(p + 40, b->count);
	wp_put_le32(p + 44, (uint32_t)(b->len - BATCH_HEADER));
	wp_put_le32(p + 4, crc32c(0, p + 8, b->len - 8));
}

static void start_write(struct journal *j)
{
	struct batch *b;
	size_t size;
	int n = 0;

	if (j->inflight || list_empty(&j->queue) || j->err)
		return;
	b = list_first(&j->queue, struct batch, node);
	size = round_up_pow2(b->len, BLOCK);
	if (!j->current || j->offset + size > j->params.segment_bytes) {
		if (!use_next(j, b->first))
			return;
		j->iov[n++] = (struct iovec){ j->header, BLOCK };
	}
	list_del(&b->node);
	j->queued -= size;
	batch_finish(j, b, size);
	j->iov[n++] = (struct iovec){ b->p, size };
	j->io = (struct env_io){ .op = ENV_IO_WRITE, .flags = ENV_IO_DSYNC, .file = j->current->file, .iov = j->iov, .iov_n = n,
				 .offset = j->offset, .done = written, .arg = j };
	j->offset += size + (n > 1 ? BLOCK : 0);
	j->inflight = b;
	env_file_io(j->env, &j->io);
	/* Two from the start: what is on a disk that is nearly full must be enough to go on with. */
	if (j->n < 2 || j->offset > j->params.segment_bytes / 2)
		segment_prepare(j);
}

static void run_task(void *arg)
{
	struct journal *j = arg;

	OBJ_CHECK(j, JOURNAL_MAGIC);
	j->task_queued = false;
	if (j->dir) {
		start_write(j);
	} else if (j->durable < j->last) {
		j->durable = j->last;
		j->stats.batches++;
		j->params.committed(j->params.arg, j->durable);
	}
}

void journal_prepared(struct journal *j)
{
	if (j->recovery) {
		int err = j->next ? 0 : j->make.err;

		recover_free(j);
		j->params.opened(j->params.arg, err);
	} else if (j->next) {
		schedule(j);
	}
}

void journal_trim(struct journal *j, uint64_t applied)
{
	j->applied = MAX(j->applied, applied);
	if (j->make.err && !j->next)
		segment_prepare(j);
}
