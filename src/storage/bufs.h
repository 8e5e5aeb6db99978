/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Page-aligned buffers for replies, kept for reuse in classes of size: no allocation in the steady state. Not thread-safe. */
#ifndef WEFT_STORAGE_BUFS_H
#define WEFT_STORAGE_BUFS_H

#include "base/base.h"

#define STORAGE_BUF_CLASSES 6u                /* 4 KiB, 16 KiB, ... 4 MiB */
#define STORAGE_BUFS_KEEP MIB(64)             /* memory kept for reuse */

struct storage_bufs;

struct storage_buf {
	struct storage_bufs *owner;
	struct storage_buf *next;
	uint8_t *p;
	uint32_t size;
	unsigned class;
};

struct storage_bufs {
	struct storage_buf *idle[STORAGE_BUF_CLASSES];
	uint64_t kept;   /* bytes idle */
	uint64_t out;    /* buffers that users have */
};

void storage_bufs_init(struct storage_bufs *b);
/* Frees what is idle. */
void storage_bufs_done(struct storage_bufs *b);
/* Room for size bytes, at most 4 MiB; NULL: out of memory. */
struct storage_buf *storage_buf_get(struct storage_bufs *b, uint32_t size);
void storage_buf_put(struct storage_buf *buf);

#endif
