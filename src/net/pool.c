/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "net/pool.h"

#include "weft_proto.h"

#define PAGE 4096u

static unsigned class_of(size_t size)
{
	unsigned c = 0;

	weft_assert(size > 0 && size <= WP_BULK_MAX);
	while (((size_t)PAGE << c) < size)
		c++;
	weft_assert(c < NET_POOL_CLASSES);
	return c;
}

void *net_pool_get(struct net_pool *p, size_t size)
{
	unsigned c = class_of(size);
	void *buf = p->free[c];

	if (buf) {
		memcpy(&p->free[c], buf, sizeof(void *));
		p->kept -= (size_t)PAGE << c;
		return buf;
	}
	return posix_memalign(&buf, PAGE, (size_t)PAGE << c) ? NULL : buf;
}

void net_pool_put(struct net_pool *p, void *buf, size_t size)
{
	unsigned c;

	if (!buf)
		return;
	c = class_of(size);
	if (p->kept + ((size_t)PAGE << c) > NET_POOL_KEEP) {
		free(buf);
		return;
	}
	memcpy(buf, &p->free[c], sizeof(void *));
	p->free[c] = buf;
	p->kept += (size_t)PAGE << c;
}

void net_pool_done(struct net_pool *p)
{
	for (unsigned c = 0; c < NET_POOL_CLASSES; c++) {
		while (p->free[c]) {
			void *buf = p->free[c];

			memcpy(&p->free[c], buf, sizeof(void *));
			free(buf);
		}
	}
	p->kept = 0;
}
