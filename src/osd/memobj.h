/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * One object in memory: a sparse array of 4 KiB blocks with their checksums. Blocks are shared by an object and its clones until one
 * of them changes, so a clone costs a pointer for each block.
 */
#ifndef WEFT_OSD_MEMOBJ_H
#define WEFT_OSD_MEMOBJ_H

#include "base/htab.h"
#include "osd/osd.h"

struct memobj {
	struct htab chunks; /* by number */
	uint64_t size, version, mtime_ns;
	uint64_t blocks; /* allocated, of WP_BLOCK_SIZE */
};

struct memobj *memobj_new(void);
struct memobj *memobj_clone(const struct memobj *o);
void memobj_free(struct memobj *o); /* NULL is fine */
/* Blocks that writing [offset, offset + length) would newly allocate. */
uint64_t memobj_missing(const struct memobj *o, uint64_t offset, uint64_t length);
/* crcs per block touched (see osd.h), verified before anything changes: -WEFT_EBADCRC; NULL: not verified. -WEFT_ECORRUPT for a stored
 * block that is changed in part, -ENOMEM; nothing was changed then. */
int memobj_write(struct memobj *o, uint64_t offset, const struct iovec *iov, int iov_n, const uint32_t *crcs) must_check;
/* Returns the bytes delivered through *ret; -WEFT_ECORRUPT. crcs may be NULL. */
int memobj_read(const struct memobj *o, uint64_t offset, uint64_t length, const struct iovec *iov, int iov_n, uint32_t *crcs,
		uint64_t *ret) must_check;
int memobj_truncate(struct memobj *o, uint64_t size) must_check;
/* Allocates zeroed blocks without changing the size. */
int memobj_allocate(struct memobj *o, uint64_t offset, uint64_t length) must_check;
/* The range reads as zero: whole blocks are freed, or kept allocated if keep. */
int memobj_zero(struct memobj *o, uint64_t offset, uint64_t length, bool keep) must_check;
/* -ENXIO */
int memobj_seek(const struct memobj *o, uint64_t offset, bool hole, uint64_t *ret) must_check;
/* Flips a bit of the block at offset, below its checksum. False: no block there. */
bool memobj_corrupt(struct memobj *o, uint64_t offset);

#endif
