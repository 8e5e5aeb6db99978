/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/arena.h"

#define ARENA_CHUNK 8192u

struct arena_chunk {
	struct arena_chunk *next;
	size_t size;
	char data[] __attribute__((aligned(16)));
};

static void add_chunk(struct arena *a, size_t size)
{
	struct arena_chunk *c;

	size = MAX(size, ARENA_CHUNK);
	c = xmalloc(sizeof(*c) + size);
	c->size = size;
	c->next = a->chunks;
	a->chunks = c;
	a->next = c->data;
	a->end = c->data + size;
}

void *arena_alloc(struct arena *a, size_t size)
{
	void *p;

	size = round_up_pow2(size ? size : 1, 16);
	if (size > (size_t)(a->end - a->next))
		add_chunk(a, size);
	p = a->next;
	a->next += size;
	return p;
}

void *arena_zalloc(struct arena *a, size_t size) { return memset(arena_alloc(a, size), 0, size); }

void *arena_dup(struct arena *a, const void *p, size_t len)
{
	void *copy = arena_alloc(a, len);

	if (len)
		memcpy(copy, p, len);
	return copy;
}

void arena_reset(struct arena *a)
{
	struct arena_chunk *keep = a->chunks, *c;

	if (!keep)
		return;
	for (c = keep->next; c;) {
		struct arena_chunk *next = c->next;

		free(c);
		c = next;
	}
	keep->next = NULL;
	a->next = keep->data;
	a->end = keep->data + keep->size;
}

void arena_done(struct arena *a)
{
	arena_reset(a);
	free(a->chunks);
	*a = (struct arena){ 0 };
}
