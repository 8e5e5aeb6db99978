/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Segment files: named 0000, 0001, ...; used again and again, oldest first; filled with zeros once, so that later writes only overwrite. */
#include <fcntl.h>

#include "base/crc.h"
#include "base/log.h"
#include "journal/journal_priv.h"
#include "proto/codec.h"

#define VERSION 1u
#define ZEROS MIB(1)

void *block_alloc(size_t size)
{
	void *p = aligned_alloc(BLOCK, size);

	weft_assert(p);
	return p;
}

void segment_header_encode(uint8_t block[BLOCK], const struct segment *s)
{
	memset(block, 0, BLOCK);
	wp_put_le64(block, SEGMENT_MAGIC);
	wp_put_le32(block + 8, VERSION);
	wp_put_le64(block + 16, s->seq);
	wp_put_le64(block + 24, s->first);
	wp_put_le64(block + 32, s->salt);
	wp_put_le64(block + 40, s->epoch);
	wp_put_le32(block + 12, crc32c(0, block + 16, SEGMENT_HEADER - 16));
}

bool segment_header_decode(const uint8_t *block, struct segment *ret)
{
	if (wp_get_le64(block) != SEGMENT_MAGIC || wp_get_le32(block + 8) != VERSION ||
	    wp_get_le32(block + 12) != crc32c(0, block + 16, SEGMENT_HEADER - 16))
		return false;
	ret->seq = wp_get_le64(block + 16);
	ret->first = wp_get_le64(block + 24);
	ret->salt = wp_get_le64(block + 32);
	ret->epoch = wp_get_le64(block + 40);
	return ret->seq && ret->first;
}

int segment_open(struct journal *j, uint32_t number, bool create, struct segment **ret)
{
	char *path = xasprintf("%s/%04u", j->dir, number);
	int flags = O_RDWR | (create ? O_CREAT | O_TRUNC : 0), err;
	struct env_file *f;

	err = j->n < JOURNAL_SEGMENTS_MAX ? 0 : -ENOSPC;
	if (!err)
		err = j->env->ops->file_open(j->env, path, flags | O_DIRECT, 0600, &f);
	if (err == -EINVAL) /* a file system without direct I/O */
		err = j->env->ops->file_open(j->env, path, flags, 0600, &f);
	free(path);
	if (err)
		return err;
	*ret = &j->segments[j->n++];
	**ret = (struct segment){ .number = number, .file = f };
	return 0;
}

/* The oldest segment that nobody needs; NULL. */
static struct segment *find_free(struct journal *j)
{
	struct segment *best = NULL;

	for (uint32_t i = 0; i < j->n; i++) {
		struct segment *s = &j->segments[i];

		if (s == j->current || s == j->next || (s->valid && s->last > j->applied))
			continue;
		if (!s->valid)
			return s;
		if (!best || s->seq < best->seq)
			best = s;
	}
	return best;
}

static void made(struct journal *j, int err)
{
	j->make.busy = false;
	j->make.err = err;
	if (!err) {
		j->next = j->make.segment;
	} else {
		/* Half made: it stays as a free segment without valid content only if it can be written; otherwise it goes. */
		char *path = xasprintf("%s/%04u", j->dir, j->make.segment->number);

		j->env->ops->file_close(j->env, j->make.segment->file);
		(void)j->env->ops->path_unlink(j->env, path); /* it is made anew in any case */
		free(path);
		j->n--;
		log_debug("journal", "%s: cannot make a segment: %s", j->dir, strerror(-err));
	}
	free(j->make.zeros);
	j->make.zeros = NULL;
	journal_prepared(j);
}

static void make_step(struct env_io *io);

static void make_write(struct journal *j)
{
	struct env_io *io = &j->make.io;

	*io = (struct env_io){ .op = ENV_IO_FDATASYNC, .file = j->make.segment->file, .done = make_step, .arg = j };
	if (j->make.offset < j->params.segment_bytes) {
		io->op = ENV_IO_WRITE;
		io->offset = j->make.offset;
		j->make.iov = (struct iovec){ j->make.zeros, MIN(ZEROS, j->params.segment_bytes - io->offset) };
		io->iov = &j->make.iov;
		io->iov_n = 1;
	}
	env_file_io(j->env, io);
}

static void make_step(struct env_io *io)
{
	struct journal *j = io->arg;

	OBJ_CHECK(j, JOURNAL_MAGIC);
	if (io->result < 0) {
		made(j, (int)io->result);
	} else if (io->op == ENV_IO_FDATASYNC) {
		made(j, j->env->ops->dir_sync(j->env, j->dir));
	} else {
		j->make.offset += (uint64_t)io->result;
		make_write(j);
	}
}

static uint32_t unused_number(const struct journal *j)
{
	uint32_t number = 0;

	for (uint32_t i = 0; i < j->n; i++)
		number = MAX(number, j->segments[i].number + 1);
	return number;
}

void segment_prepare(struct journal *j)
{
	int err;

	if (j->next || j->make.busy)
		return;
	j->next = find_free(j);
	if (j->next) {
		j->make.err = 0;
		journal_prepared(j);
		return;
	}
	err = segment_open(j, unused_number(j), true, &j->make.segment);
	if (err) {
		j->make.err = err;
		journal_prepared(j);
		return;
	}
	j->make.busy = true;
	j->make.offset = 0;
	j->make.zeros = block_alloc(ZEROS);
	memset(j->make.zeros, 0, ZEROS);
	make_write(j);
}
