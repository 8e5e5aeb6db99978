/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Opening: find the segments, put them in order, replay.
 *
 *	headers -> order -> (segment -> replay)* -> segment_prepare -> opened
 */
#include <fcntl.h>

#include "base/crc.h"
#include "base/log.h"
#include "journal/journal_priv.h"
#include "proto/codec.h"
#include "proto/status.h"

#define PIECE MIB(1)

struct recovery {
	struct env_task task;
	struct env_io io;
	struct iovec iov;
	uint8_t *p;        /* a whole segment */
	uint64_t have;     /* bytes read */
	uint64_t want;
	void (*then)(struct journal *j);
	uint32_t i;        /* segment at work */
	uint32_t *order;   /* valid segments by seq */
	uint32_t order_n, at; /* at: the one to replay next */
	uint64_t expected; /* index of the next entry */
	uint64_t max_seq;
};

void recover_free(struct journal *j)
{
	struct recovery *r = j->recovery;

	if (!r)
		return;
	j->recovery = NULL;
	free(r->p);
	free(r->order);
	free(r);
}

static void end(struct journal *j, int err)
{
	recover_free(j);
	j->err = err;
	j->params.opened(j->params.arg, err);
}

/* ---- reading ---------------------------------------------------------------------------------------------------------------- */

static void read_more(struct journal *j);

static void read_done(struct env_io *io)
{
	struct journal *j = io->arg;
	struct recovery *r = j->recovery;

	OBJ_CHECK(j, JOURNAL_MAGIC);
	if (io->result < 0) {
		log_err("journal", "%s/%04u: cannot read: %s", j->dir, j->segments[r->i].number, strerror((int)-io->result));
		end(j, (int)io->result);
		return;
	}
	r->have += (uint64_t)io->result;
	if (!io->result || r->have >= r->want) {
		memset(r->p + r->have, 0, r->want - r->have);
		r->then(j);
	} else {
		read_more(j);
	}
}

static void read_more(struct journal *j)
{
	struct recovery *r = j->recovery;

	r->iov = (struct iovec){ r->p + r->have, MIN(PIECE, r->want - r->have) };
	r->io = (struct env_io){ .op = ENV_IO_READ, .file = j->segments[r->i].file, .iov = &r->iov, .iov_n = 1, .offset = r->have,
				 .done = read_done, .arg = j };
	env_file_io(j->env, &r->io);
}

static void read_segment(struct journal *j, uint32_t i, uint64_t bytes, void (*then)(struct journal *j))
{
	struct recovery *r = j->recovery;

	r->i = i;
	r->have = 0;
	r->want = bytes;
	r->then = then;
	read_more(j);
}

/* ---- batches ---------------------------------------------------------------------------------------------------------------- */

/* A whole batch at offset; its length in the file, or 0. any_salt: the segment's header is lost. */
static uint64_t batch_at(const struct journal *j, uint64_t offset, uint64_t seq, uint64_t salt, bool any_salt)
{
	const uint8_t *p = j->recovery->p + offset;
	uint64_t room = j->params.segment_bytes - offset, len;

	if (room < BLOCK || wp_get_le32(p) != BATCH_MAGIC || wp_get_le64(p + 16) != seq || (!any_salt && wp_get_le64(p + 24) != salt))
		return 0;
	len = (uint64_t)BATCH_HEADER + wp_get_le32(p + 44);
	if (len > room || wp_get_le32(p + 4) != crc32c(0, p + 8, len - 8))
		return 0;
	return round_up_pow2(len, BLOCK);
}

static int replay_batch(struct journal *j, const uint8_t *p)
{
	struct recovery *r = j->recovery;
	const uint8_t *at = p + BATCH_HEADER, *batch_end = at + wp_get_le32(p + 44);
	uint32_t count = wp_get_le32(p + 40);

	for (; count; count--) {
		uint32_t len = batch_end - at >= ENTRY_HEADER ? wp_get_le32(at) : UINT32_MAX;
		int err;

		if (len > (size_t)(batch_end - at) - ENTRY_HEADER)
			return -WEFT_ECORRUPT;
		err = r->expected > j->params.applied ? j->params.replay(j->params.arg, r->expected, at + ENTRY_HEADER, len) : 0;
		if (err)
			return err;
		at += ENTRY_HEADER + len;
		r->expected++;
	}
	return at == batch_end ? 0 : -WEFT_ECORRUPT;
}

static int damaged(struct journal *j, const struct segment *s, uint64_t offset, const char *what)
{
	log_err("journal", "%s/%04u: damaged at byte %llu: %s; entries after it exist, so this is not the end of the journal", j->dir,
		s->number, (unsigned long long)offset, what);
	return -WEFT_ECORRUPT;
}

/* The valid batches from the start; then nothing valid may follow (J3). */
static int replay_segment(struct journal *j, struct segment *s)
{
	struct recovery *r = j->recovery;
	uint64_t at = BLOCK, len;

	while ((len = batch_at(j, at, s->seq, s->salt, false)) && wp_get_le64(r->p + at + 32) == r->expected) {
		int err = replay_batch(j, r->p + at);

		if (err)
			return err == -WEFT_ECORRUPT ? damaged(j, s, at, "the batch contradicts itself") : err;
		j->epoch = MAX(j->epoch, wp_get_le64(r->p + at + 8));
		at += len;
	}
	for (uint64_t later = at; later < j->params.segment_bytes; later += BLOCK)
		if (batch_at(j, later, s->seq, s->salt, false))
			return damaged(j, s, at, "no valid batch");
	s->last = r->expected - 1;
	return 0;
}

/* ---- the walk --------------------------------------------------------------------------------------------------------------- */

static void finish(struct journal *j)
{
	struct recovery *r = j->recovery;

	j->last = j->durable = MAX(r->expected - 1, j->params.applied);
	j->epoch++;
	j->next_seq = r->max_seq + 1;
	segment_prepare(j); /* journal_prepared ends the recovery */
}

static void replay_next(struct journal *j);

static void replay_read(struct journal *j)
{
	struct recovery *r = j->recovery;
	int err = replay_segment(j, &j->segments[r->order[r->at]]);

	if (err) {
		end(j, err);
		return;
	}
	r->at++;
	replay_next(j);
}

static void replay_next(struct journal *j)
{
	struct recovery *r = j->recovery;
	struct segment *s;

	if (r->at == r->order_n) {
		finish(j);
		return;
	}
	s = &j->segments[r->order[r->at]];
	if (s->first != r->expected) {
		log_err("journal", "%s/%04u: begins with entry %llu, but %llu is missing before it", j->dir, s->number,
			(unsigned long long)s->first, (unsigned long long)r->expected);
		end(j, -WEFT_ECORRUPT);
		return;
	}
	read_segment(j, r->order[r->at], j->params.segment_bytes, replay_read);
}

/* Which of the segments in order hold entries above applied: from the last that begins at or before the first of them. */
static int skip_applied(struct journal *j)
{
	struct recovery *r = j->recovery;

	if (!r->order_n)
		return 0;
	for (uint32_t i = 1; i < r->order_n && j->segments[r->order[i]].first <= j->params.applied + 1; i++) {
		j->segments[r->order[i - 1]].last = j->segments[r->order[i]].first - 1;
		r->at = i;
	}
	r->expected = j->segments[r->order[r->at]].first;
	if (r->expected <= j->params.applied + 1)
		return 0;
	log_err("journal", "%s: begins with entry %llu, but only entries up to %llu are applied", j->dir,
		(unsigned long long)r->expected, (unsigned long long)j->params.applied);
	return -WEFT_ECORRUPT;
}

static int compare_seq(const void *a, const void *b, void *arg)
{
	const struct journal *j = arg;
	uint64_t x = j->segments[*(const uint32_t *)a].seq, y = j->segments[*(const uint32_t *)b].seq;

	return x < y ? -1 : x > y;
}

static void check_invalid(struct journal *j, uint32_t i);

/* A segment without a header was never used, or its first write was torn: then it has no second batch. */
static void invalid_read(struct journal *j)
{
	struct recovery *r = j->recovery;

	for (uint64_t at = 2 * BLOCK; at < j->params.segment_bytes; at += BLOCK)
		if (batch_at(j, at, r->max_seq + 1, 0, true)) {
			end(j, damaged(j, &j->segments[r->i], 0, "no segment header"));
			return;
		}
	check_invalid(j, r->i + 1);
}

static void check_invalid(struct journal *j, uint32_t i)
{
	int err;

	while (i < j->n && j->segments[i].valid)
		i++;
	if (i < j->n) {
		read_segment(j, i, j->params.segment_bytes, invalid_read);
		return;
	}
	err = skip_applied(j);
	if (err)
		end(j, err);
	else
		replay_next(j);
}

static void sort_segments(struct journal *j)
{
	struct recovery *r = j->recovery;

	r->order = xcalloc(j->n + 1, sizeof(*r->order));
	for (uint32_t i = 0; i < j->n; i++)
		if (j->segments[i].valid) {
			r->order[r->order_n++] = i;
			r->max_seq = MAX(r->max_seq, j->segments[i].seq);
			j->epoch = MAX(j->epoch, j->segments[i].epoch);
		}
	qsort_r(r->order, r->order_n, sizeof(*r->order), compare_seq, j);
	check_invalid(j, 0);
}

static void header_read(struct journal *j)
{
	struct recovery *r = j->recovery;
	struct segment *s = &j->segments[r->i];

	s->valid = segment_header_decode(r->p, s);
	s->last = s->first - 1;
	if (r->i + 1 < j->n)
		read_segment(j, r->i + 1, BLOCK, header_read);
	else
		sort_segments(j);
}

static int found_file(void *arg, const char *name)
{
	struct journal *j = arg;
	struct segment *s;
	char *rest;
	unsigned long number = strtoul(name, &rest, 10);

	if (strlen(name) < 4 || *rest || name[0] < '0' || name[0] > '9' || number > UINT32_MAX)
		return 0;
	return segment_open(j, (uint32_t)number, false, &s);
}

static void run(void *arg)
{
	struct journal *j = arg;

	OBJ_CHECK(j, JOURNAL_MAGIC);
	if (!j->dir)
		end(j, 0);
	else if (j->n)
		read_segment(j, 0, BLOCK, header_read);
	else
		sort_segments(j);
}

/* The folder itself must outlive a power cut, too. */
static int make_dir(struct journal *j)
{
	char *parent = xstrdup(j->dir), *slash = strrchr(parent, '/');
	int err = j->env->ops->path_mkdir(j->env, j->dir, 0700);

	if (slash)
		*slash = 0;
	if (!err || err == -EEXIST)
		err = j->env->ops->dir_sync(j->env, !slash ? "." : slash == parent ? "/" : parent);
	free(parent);
	return err;
}

int recover_start(struct journal *j)
{
	struct recovery *r = NEW(struct recovery);
	int err;

	j->recovery = r;
	r->expected = j->params.applied + 1;
	r->task = (struct env_task){ .fn = run, .arg = j };
	if (j->dir) {
		err = make_dir(j);
		if (err)
			return err;
		err = j->env->ops->dir_list(j->env, j->dir, found_file, j);
		if (err)
			return err;
		r->p = block_alloc(j->params.segment_bytes);
	}
	env_post(j->env, &r->task);
	return 0;
}
