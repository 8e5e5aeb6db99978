/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Page-aligned buffers for bulk payloads, in powers of two, kept for reuse because fresh memory costs a page fault per page.
 * What was not needed for some seconds is given back, so that an idle reactor holds none. Belongs to its env's thread.
 */
#ifndef WEFT_IO_POOL_H
#define WEFT_IO_POOL_H

#include "env/env.h"

#define IO_BUF_MIN 4096u
#define IO_BUF_MAX (4u << 20)
#define IO_POOL_KEEP (32u << 20) /* bytes kept for reuse at most */

struct io_pool;

struct io_pool *io_pool_new(struct env *env);
/* Buffers that are out are lost: they cannot be put back any more. NULL is fine. */
void io_pool_free(struct io_pool *p);
/* NULL: no memory. 0 < size <= IO_BUF_MAX. */
void *io_buf_get(struct io_pool *p, size_t size) must_check;
/* size as given to io_buf_get. buf may be NULL. */
void io_buf_put(struct io_pool *p, void *buf, size_t size);
/* Bytes in use, and bytes kept for reuse. */
size_t io_pool_used(const struct io_pool *p);
size_t io_pool_kept(const struct io_pool *p);

#endif
