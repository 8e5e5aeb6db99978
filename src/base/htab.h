/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Intrusive chained hash table that grows; the caller computes hashes (xxh64 of the key, see hash_bytes) and compares keys.
 * Not thread-safe.
 *
 *	struct htab_node *n;
 *	htab_each_match(n, &tab, hash) if (key_eq(container_of(n, struct item, node), key)) ...
 */
#ifndef WEFT_BASE_HTAB_H
#define WEFT_BASE_HTAB_H

#include "base/base.h"

struct htab_node {
	struct htab_node *next;
	uint64_t hash;
};

struct htab {
	struct htab_node **buckets;
	size_t mask;  /* number of buckets - 1 */
	size_t count;
};

void htab_init(struct htab *t);
void htab_done(struct htab *t); /* the nodes belong to the caller */
void htab_add(struct htab *t, struct htab_node *n, uint64_t hash);
/* n must be in t. */
void htab_del(struct htab *t, struct htab_node *n);

static inline struct htab_node *htab_match_from(struct htab_node *n, uint64_t hash)
{
	while (n && n->hash != hash)
		n = n->next;
	return n;
}

#define htab_each_match(n, t, h)                                                                                              \
	for (n = htab_match_from((t)->buckets[(h) & (t)->mask], (h)); n; n = htab_match_from(n->next, (h)))

/* Visits every node; the visited one may be deleted. fn returns false to stop. */
void htab_each(struct htab *t, bool (*fn)(struct htab_node *n, void *arg), void *arg);

uint64_t hash_bytes(const void *p, size_t len, uint64_t seed);
static inline uint64_t hash_u64(uint64_t v)
{
	v ^= v >> 32;
	v *= 0x9e3779b97f4a7c15ull;
	v ^= v >> 29;
	v *= 0xbf58476d1ce4e5b9ull;
	return v ^ (v >> 32);
}

#endif
