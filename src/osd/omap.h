/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * An ordered map of byte strings in memory: a skip list. O(log n) on average. A key may carry a tombstone instead of a value, for
 * overlays that hide what lies below. Not thread-safe.
 */
#ifndef WEFT_OSD_OMAP_H
#define WEFT_OSD_OMAP_H

#include "base/base.h"

#define OMAP_HEIGHT_MAX 16

struct omap_node {
	void *value; /* own allocation, NULL: tombstone */
	uint32_t value_len;
	uint16_t key_len;
	uint8_t height;
	struct omap_node *next[]; /* height pointers, then the key */
};

struct omap {
	struct omap_node *head[OMAP_HEIGHT_MAX];
	unsigned height;
	size_t count;
	size_t bytes; /* of memory, about */
	uint64_t rng;
};

void omap_init(struct omap *m);
void omap_done(struct omap *m); /* frees all nodes; m is empty and usable afterwards */
/* Inserts or replaces; value NULL with len 0 is a tombstone. Copies. */
void omap_put(struct omap *m, const void *key, size_t key_len, const void *value, size_t len);
/* Returns whether it was there. */
bool omap_del(struct omap *m, const void *key, size_t key_len);
struct omap_node *omap_find(const struct omap *m, const void *key, size_t key_len);
/* The first node with key >= (or >, if after) the given one; NULL at the end. */
struct omap_node *omap_seek(const struct omap *m, const void *key, size_t key_len, bool after);

static inline const void *omap_key(const struct omap_node *n) { return &n->next[n->height]; }
static inline struct omap_node *omap_next(const struct omap_node *n) { return n->next[0]; }

/* As memcmp, the shorter first when one is a prefix of the other. */
int omap_compare(const void *a, size_t a_len, const void *b, size_t b_len);

#endif
