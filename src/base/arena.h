/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A bump allocator whose memory is given back all at once: one per request. Not thread-safe. */
#ifndef WEFT_BASE_ARENA_H
#define WEFT_BASE_ARENA_H

#include "base/base.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks;
	char *next, *end;
};

/* 16-byte aligned, not zeroed; aborts when memory is out. The memory lives until arena_reset or arena_done. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_zalloc(struct arena *a, size_t size);
void *arena_dup(struct arena *a, const void *p, size_t len);
/* Keeps one chunk for reuse. */
void arena_reset(struct arena *a);
void arena_done(struct arena *a);

#endif
