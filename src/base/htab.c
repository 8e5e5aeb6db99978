/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/htab.h"

#include <xxhash.h>

#define HTAB_BUCKETS_MIN 16u

void htab_init(struct htab *t)
{
	t->buckets = xcalloc(HTAB_BUCKETS_MIN, sizeof(*t->buckets));
	t->mask = HTAB_BUCKETS_MIN - 1;
	t->count = 0;
}

void htab_done(struct htab *t)
{
	free(t->buckets);
	t->buckets = NULL;
	t->count = 0;
}

static void htab_grow(struct htab *t)
{
	size_t size = (t->mask + 1) * 2;
	struct htab_node **b = xcalloc(size, sizeof(*b));

	for (size_t i = 0; i <= t->mask; i++) {
		struct htab_node *n = t->buckets[i], *next;

		for (; n; n = next) {
			next = n->next;
			n->next = b[n->hash & (size - 1)];
			b[n->hash & (size - 1)] = n;
		}
	}
	free(t->buckets);
	t->buckets = b;
	t->mask = size - 1;
}

void htab_add(struct htab *t, struct htab_node *n, uint64_t hash)
{
	if (t->count > t->mask)
		htab_grow(t);
	n->hash = hash;
	n->next = t->buckets[hash & t->mask];
	t->buckets[hash & t->mask] = n;
	t->count++;
}

void htab_del(struct htab *t, struct htab_node *n)
{
	struct htab_node **p = &t->buckets[n->hash & t->mask];

	while (*p != n) {
		weft_assert(*p != NULL);
		p = &(*p)->next;
	}
	*p = n->next;
	n->next = NULL;
	t->count--;
}

void htab_each(struct htab *t, bool (*fn)(struct htab_node *n, void *arg), void *arg)
{
	for (size_t i = 0; i <= t->mask; i++) {
		struct htab_node *n = t->buckets[i], *next;

		for (; n; n = next) {
			next = n->next;
			if (!fn(n, arg))
				return;
		}
	}
}

uint64_t hash_bytes(const void *p, size_t len, uint64_t seed) { return XXH3_64bits_withSeed(p, len, seed); }
