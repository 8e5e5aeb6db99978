/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* One object in memory: a sparse array of 4 KiB blocks with their checksums. */
#ifndef WEFT_OSD_MEMOBJ_H
#define WEFT_OSD_MEMOBJ_H

#include "base/htab.h"
#include "osd/osd.h"

struct memobj {
	struct htab chunks; /* of MEMOBJ_CHUNK_BLOCKS blocks, by number */
	uint64_t size, version, mtime_ns;
	uint64_t blocks; /* allocated, of WP_BLOCK_SIZE */
};

struct memobj *memobj_new(void);
void memobj_free(struct memobj *o);
/* Blocks that writing [offset, offset + length) would newly allocate. */
uint64_t memobj_missing(const struct memobj *o, uint64_t offset, uint64_t length);
/* crcs per block touched (see osd.h), verified before anything changes: -WEFT_EBADCRC. */
int memobj_write(struct memobj *o, uint64_t offset, const struct iovec *iov, int iov_n, const uint32_t *crcs) must_check;
/* Returns the bytes delivered through *ret; -WEFT_ECORRUPT. */
int memobj_read(struct memobj *o, uint64_t offset, uint64_t length, const struct iovec *iov, int iov_n, uint32_t *crcs,
		uint64_t *ret) must_check;
void memobj_truncate(struct memobj *o, uint64_t size);
/* Allocates zeroed blocks without changing the size. */
void memobj_allocate(struct memobj *o, uint64_t offset, uint64_t length);
/* The range reads as zero: whole blocks are freed, or kept allocated if keep. */
void memobj_zero(struct memobj *o, uint64_t offset, uint64_t length, bool keep);
/* -ENXIO */
int memobj_seek(const struct memobj *o, uint64_t offset, bool hole, uint64_t *ret) must_check;
/* Flips a bit of the block at offset, for tests of the check. False: no block there. */
bool memobj_corrupt(struct memobj *o, uint64_t offset);

#endif
