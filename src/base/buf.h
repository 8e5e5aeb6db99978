/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A growable byte buffer. Not thread-safe. */
#ifndef WEFT_BASE_BUF_H
#define WEFT_BASE_BUF_H

#include "base/base.h"

struct buf {
	uint8_t *p;
	size_t len, cap;
};

/* Makes room for extra more bytes; aborts when memory is out, so only for sizes we choose ourselves. */
void buf_reserve(struct buf *b, size_t extra);
void buf_add(struct buf *b, const void *p, size_t len);
void buf_printf(struct buf *b, const char *fmt, ...) printf_like(2, 3);
/* Frees the memory; b may be used again. */
void buf_done(struct buf *b);
static inline void buf_reset(struct buf *b) { b->len = 0; }

#endif
