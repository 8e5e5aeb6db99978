/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#ifndef WEFT_JOURNAL_PRIV_H
#define WEFT_JOURNAL_PRIV_H

#include "base/list.h"
#include "journal/journal.h"

#define BLOCK 4096u
#define SEGMENT_MAGIC 0x316c6e6a74666577ull /* "weftjnl1" */
#define SEGMENT_HEADER 48u
#define BATCH_MAGIC 0x68637462u
#define BATCH_HEADER 48u
#define ENTRY_HEADER 4u

/*
 * Segment header, the first block of a segment: u64 magic, u32 version, u32 crc of the rest, u64 seq, u64 first index, u64 salt,
 * u64 epoch. Batch: u32 magic, u32 crc of the rest, u64 epoch, u64 seq, u64 salt, u64 first index, u32 entries, u32 bytes of
 * entries; entries of u32 length and payload; zeros up to the next block.
 */
struct segment {
	uint32_t number; /* name of the file */
	struct env_file *file;
	bool valid;      /* seq and the rest say what is in it; otherwise it is free */
	uint64_t seq, first, last, salt, epoch; /* last: first - 1 when it is empty */
};

struct batch {
	struct list node;
	uint8_t *p; /* block-aligned: room for the header, then entries */
	size_t len, cap;
	uint64_t first;
	uint32_t count;
	uint32_t last_len; /* of the newest entry with its header */
};

struct recovery;

struct journal {
	uint32_t magic;
	struct journal_params params;
	struct env *env;
	char *dir;
	uint64_t epoch, next_seq;
	uint64_t last, durable, applied;
	int err; /* of a failed write: sticks */

	struct segment segments[JOURNAL_SEGMENTS_MAX];
	uint32_t n;
	struct segment *current; /* NULL before the first write */
	struct segment *next;    /* ready to be used when current is full */
	uint64_t offset;         /* in current */

	struct list queue; /* of struct batch; the last one takes appends */
	struct list spare;
	size_t queued;     /* bytes in queue, as they will be written */
	struct batch *inflight;
	struct env_io io;
	struct iovec iov[2];
	uint8_t *header;   /* a block */
	struct env_task task; /* starts a write when the reactor has run what is ready; memory only: completes */
	bool task_queued;

	struct { /* a segment being made */
		bool busy;
		int err; /* of the last attempt */
		struct segment *segment;
		uint8_t *zeros;
		uint64_t offset;
		struct env_io io;
		struct iovec iov;
	} make;
	struct recovery *recovery;
	struct journal_stats stats;
};

#define JOURNAL_MAGIC 0x6a726e6cu

/* segment.c */
void segment_header_encode(uint8_t block[BLOCK], const struct segment *s);
/* false: no valid header. */
bool segment_header_decode(const uint8_t *block, struct segment *ret);
int segment_open(struct journal *j, uint32_t number, bool create, struct segment **ret) must_check;
/* Makes j->next: takes a free segment or starts to make one. journal_prepared is called when there is one, or an error. */
void segment_prepare(struct journal *j);
void *block_alloc(size_t size);

/* journal.c */
void journal_prepared(struct journal *j);

/* recover.c */
int recover_start(struct journal *j) must_check;
void recover_free(struct journal *j);

#endif
