/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What a file may contain, given what was acknowledged: the oracle of P1, P2 and P5 for data.
 *
 * Each write has an id, whose bytes are a function of id and offset; those with counter 0 are zeros. For every byte the
 * model keeps the ids it may show: normally the newest acknowledged one; after a power cut of a storage target also all
 * older ones back to the last fsync; after the writer died in the middle also the one it was writing. A read must show an
 * allowed id, and what was seen once stays.
 */
#ifndef WEFT_TEST_SIM_CONTENT_H
#define WEFT_TEST_SIM_CONTENT_H

#include "base/base.h"

#define CONTENT_IDS 14u /* versions of a byte remembered between two syncs */

/* Ids carry their writer. */
static inline uint32_t content_id(unsigned writer, uint32_t counter) { return writer << 24 | (counter & 0xffffffu); }
static inline unsigned content_writer(uint32_t id) { return id >> 24; }
static inline uint32_t content_counter(uint32_t id) { return id & 0xffffffu; }

struct content_extent {
	uint64_t start, end;
	uint32_t ids[CONTENT_IDS]; /* newest first */
	uint8_t n;
	uint8_t live;    /* the first so many may be seen now */
	bool maybe;      /* some of the live ones were never acknowledged */
	bool overflow;   /* older ids were forgotten: after a power cut anything goes */
};

struct content {
	struct content_extent *ext; /* covers [0, size_hi) without gaps */
	size_t n, cap;
	uint64_t size_lo, size_hi;  /* equal unless something crashed */
	uint64_t size_durable;
};

void content_init(struct content *c);
void content_done(struct content *c);
/* The bytes of a write. */
void content_fill(uint32_t id, uint64_t offset, void *p, size_t len);
/* An acknowledged write (id 0: of zeros; punching never extends). */
void content_write(struct content *c, uint64_t offset, uint64_t len, uint32_t id);
void content_punch(struct content *c, uint64_t offset, uint64_t len, unsigned writer);
/* A power cut came between the execution and the acknowledgement of the last write of this range. */
void content_lost_write(struct content *c, uint64_t offset, uint64_t len);
/* A write that may or may not have happened, byte by byte. */
void content_maybe_write(struct content *c, uint64_t offset, uint64_t len, uint32_t id);
/* Acknowledged, and durable as every operation on metadata. */
void content_truncate(struct content *c, uint64_t size);
/* Not acknowledged: may have happened. */
void content_maybe_truncate(struct content *c, uint64_t size);
/* fsync of this writer returned success. Others' writes up to the one with this counter were there before it opened the file;
 * UINT32_MAX: all were. */
void content_synced(struct content *c, unsigned writer, uint32_t before);
/* It said that data was lost: later ones say nothing of that data any more. */
void content_sync_failed(struct content *c, unsigned writer);
/* A storage target lost its power. */
void content_power_cut(struct content *c);
/* A read of want bytes got these. false and a message: they are impossible. */
bool content_check(struct content *c, uint64_t offset, uint64_t want, const uint8_t *p, uint64_t got, char *why, size_t why_size);
/* The same for the size in attributes. */
bool content_check_size(struct content *c, uint64_t size, char *why, size_t why_size);

#endif
