/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Page-aligned buffers for bulk payloads, in powers of two from a page to WP_BULK_MAX, kept for reuse up to a limit: fresh
 * memory costs a page fault per page. Belongs to one thread.
 */
#ifndef WEFT_NET_POOL_H
#define WEFT_NET_POOL_H

#include "base/base.h"

#define NET_POOL_CLASSES 11u          /* 4 KiB .. 4 MiB */
#define NET_POOL_KEEP (32u << 20)     /* bytes kept when unused */

struct net_pool {
	void *free[NET_POOL_CLASSES]; /* chained through their first word */
	size_t kept;                  /* bytes in the chains */
};

/* NULL: out of memory. 0 < size <= WP_BULK_MAX. */
void *net_pool_get(struct net_pool *p, size_t size) must_check;
/* size as given to net_pool_get. NULL is allowed. */
void net_pool_put(struct net_pool *p, void *buf, size_t size);
void net_pool_done(struct net_pool *p);

#endif
