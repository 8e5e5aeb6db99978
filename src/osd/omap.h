/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * An ordered map of byte strings in memory: a B+tree whose nodes keep eight distinguishing bytes of each key next to each other, so
 * that a search touches few cache lines. A key may carry a tombstone instead of a value, for overlays that hide what lies below.
 *
 * Memory comes from chunks of the map's own and goes back all at once with omap_done. Not thread-safe; a map that is no longer
 * changed may be read by several threads.
 */
#ifndef WEFT_OSD_OMAP_H
#define WEFT_OSD_OMAP_H

#include "base/base.h"
#include "base/list.h"

#define OMAP_TOMBSTONE UINT32_MAX
#define OMAP_CLASSES 128u /* of 16 bytes; larger pieces are malloc's */

struct omap_node;
struct omap_chunk;

struct omap_entry {
	uint32_t value_len; /* or OMAP_TOMBSTONE */
	uint16_t key_len;
	uint16_t units;     /* memory in 16 bytes; 0: malloc's */
	uint8_t bytes[];    /* key, value */
};

struct omap {
	struct omap_node *root;
	size_t count;
	size_t bytes;         /* of memory in use, about */
	struct omap_chunk *chunks;
	uint8_t *bump, *bump_end;
	void *spare[OMAP_CLASSES + 1]; /* freed pieces by size */
	struct list big;
};

/* A place in the map, for walking. Invalid after a change. */
struct omap_pos {
	const struct omap_node *leaf;
	unsigned i;
};

void omap_init(struct omap *m);
void omap_done(struct omap *m); /* m is empty and usable afterwards */
/* Inserts or replaces; value NULL with len 0 is a tombstone. Copies. key_len <= UINT16_MAX. */
void omap_put(struct omap *m, const void *key, size_t key_len, const void *value, size_t len);
/* Returns whether it was there. */
bool omap_del(struct omap *m, const void *key, size_t key_len);
const struct omap_entry *omap_find(const struct omap *m, const void *key, size_t key_len);
/* The first entry with key >= (or >, if after) the given one; NULL at the end. pos may be NULL. */
const struct omap_entry *omap_seek(const struct omap *m, const void *key, size_t key_len, bool after, struct omap_pos *pos);
const struct omap_entry *omap_first(const struct omap *m, struct omap_pos *pos);
const struct omap_entry *omap_next(struct omap_pos *pos);
/* Checks the tree's own rules, for tests. */
bool omap_is_sound(const struct omap *m);

static inline bool omap_is_tombstone(const struct omap_entry *e) { return e->value_len == OMAP_TOMBSTONE; }
static inline const void *omap_value(const struct omap_entry *e) { return e->bytes + e->key_len; }

/* As memcmp, the shorter first when one is a prefix of the other. */
static inline int omap_compare(const void *a, size_t a_len, const void *b, size_t b_len)
{
	int r = memcmp(a, b, MIN(a_len, b_len));

	return r ? r : a_len < b_len ? -1 : a_len > b_len;
}

#endif
