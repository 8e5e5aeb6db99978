/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "osd/omap.h"

#define NODE_OVERHEAD 32 /* of the allocator, per node and value */

int omap_compare(const void *a, size_t a_len, const void *b, size_t b_len)
{
	int r = memcmp(a, b, MIN(a_len, b_len));

	return r ? r : a_len < b_len ? -1 : a_len > b_len;
}

void omap_init(struct omap *m)
{
	memset(m, 0, sizeof(*m));
	m->height = 1;
	m->rng = 0x9e3779b97f4a7c15ull;
}

static size_t node_bytes(const struct omap_node *n)
{
	return sizeof(*n) + n->height * sizeof(n->next[0]) + n->key_len + n->value_len + NODE_OVERHEAD;
}

static void node_free(struct omap_node *n)
{
	free(n->value);
	free(n);
}

void omap_done(struct omap *m)
{
	struct omap_node *n = m->head[0], *next;

	for (; n; n = next) {
		next = n->next[0];
		node_free(n);
	}
	omap_init(m);
}

/* Heights fall off by four: fewer pointers than by two, about as many comparisons. */
static unsigned random_height(struct omap *m)
{
	unsigned h = 1;

	m->rng ^= m->rng << 13;
	m->rng ^= m->rng >> 7;
	m->rng ^= m->rng << 17;
	for (uint64_t r = m->rng; h < OMAP_HEIGHT_MAX && (r & 3) == 0; r >>= 2)
		h++;
	return h;
}

/* Fills update with the links to follow at each level to the first node >= key (> key if after). */
static struct omap_node *descend(struct omap *m, const void *key, size_t len, bool after, struct omap_node ***update)
{
	struct omap_node **links = m->head;

	for (unsigned level = m->height; level-- > 0;) {
		struct omap_node *n;

		while ((n = links[level])) {
			int c = omap_compare(omap_key(n), n->key_len, key, len);

			if (c > 0 || (c == 0 && !after))
				break;
			links = n->next;
		}
		if (update)
			update[level] = &links[level];
	}
	return links[0];
}

struct omap_node *omap_seek(const struct omap *m, const void *key, size_t key_len, bool after)
{
	return descend((struct omap *)(uintptr_t)m, key, key_len, after, NULL);
}

struct omap_node *omap_find(const struct omap *m, const void *key, size_t key_len)
{
	struct omap_node *n = omap_seek(m, key, key_len, false);

	return n && n->key_len == key_len && !memcmp(omap_key(n), key, key_len) ? n : NULL;
}

static void set_value(struct omap *m, struct omap_node *n, const void *value, size_t len)
{
	m->bytes -= node_bytes(n);
	if (!value) {
		free(n->value);
		n->value = NULL;
	} else {
		if (!n->value || n->value_len != len)
			n->value = xrealloc(n->value, len);
		memcpy(n->value, value, len);
	}
	n->value_len = (uint32_t)len;
	m->bytes += node_bytes(n);
}

void omap_put(struct omap *m, const void *key, size_t key_len, const void *value, size_t len)
{
	struct omap_node **update[OMAP_HEIGHT_MAX];
	struct omap_node *n = descend(m, key, key_len, false, update);
	unsigned h;

	weft_assert(key_len <= UINT16_MAX && len <= UINT32_MAX && (value || !len));
	if (n && n->key_len == key_len && !memcmp(omap_key(n), key, key_len)) {
		set_value(m, n, value, len);
		return;
	}
	h = random_height(m);
	n = xcalloc(1, sizeof(*n) + h * sizeof(n->next[0]) + key_len);
	n->height = (uint8_t)h;
	n->key_len = (uint16_t)key_len;
	memcpy(&n->next[h], key, key_len);
	while (m->height < h) {
		update[m->height] = &m->head[m->height];
		m->height++;
	}
	for (unsigned i = 0; i < h; i++) {
		n->next[i] = *update[i];
		*update[i] = n;
	}
	m->count++;
	m->bytes += node_bytes(n);
	set_value(m, n, value, len);
}

bool omap_del(struct omap *m, const void *key, size_t key_len)
{
	struct omap_node **update[OMAP_HEIGHT_MAX];
	struct omap_node *n = descend(m, key, key_len, false, update);

	if (!n || n->key_len != key_len || memcmp(omap_key(n), key, key_len))
		return false;
	for (unsigned i = 0; i < n->height; i++)
		*update[i] = n->next[i];
	m->count--;
	m->bytes -= node_bytes(n);
	node_free(n);
	return true;
}
