/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "osd/omap.h"

#define FANOUT 64u
#define MERGE_BELOW 16u /* a leaf with fewer entries joins its neighbour if both fit well into one */
#define MERGE_FIT 48u
#define DEPTH_MAX 16
#define UNIT 16u
#define CHUNK_MIN 4096u
#define CHUNK_MAX (256u << 10)

/*
 * All keys of a node share their first skip bytes; head[i] is the next eight, big-endian, padded with zeros. Leaves use
 * keys[0..n); inner nodes use keys[1..n): everything below slot i is >= keys[i], and < keys[i + 1].
 */
struct omap_node {
	struct omap_node *next; /* leaf: the one to the right */
	uint16_t n, skip;
	bool leaf;
	uint64_t head[FANOUT];
	struct omap_entry *keys[FANOUT];
	struct omap_node *child[]; /* inner: FANOUT */
};

struct omap_chunk {
	struct omap_chunk *next;
	size_t size;
};

struct big {
	struct list node;
	size_t size;
	struct omap_entry e;
};

struct step {
	struct omap_node *node;
	unsigned i;
};

struct path {
	struct step step[DEPTH_MAX];
	unsigned depth; /* of the leaf */
};

/* ---- memory -------------------------------------------------------------------------------------------------------------------------- */

static void new_chunk(struct omap *m, size_t need)
{
	size_t size = m->chunks ? MIN(m->chunks->size * 2, (size_t)CHUNK_MAX) : CHUNK_MIN;
	struct omap_chunk *c;

	size = MAX(size, need + UNIT);
	c = xmalloc(size);
	c->next = m->chunks;
	c->size = size;
	m->chunks = c;
	m->bump = (uint8_t *)c + UNIT;
	m->bump_end = (uint8_t *)c + size;
}

static void *piece_alloc(struct omap *m, size_t units)
{
	void *p = m->spare[units];

	m->bytes += units * UNIT;
	if (p) {
		memcpy(&m->spare[units], p, sizeof(p));
		return p;
	}
	if ((size_t)(m->bump_end - m->bump) < units * UNIT)
		new_chunk(m, units * UNIT);
	p = m->bump;
	m->bump += units * UNIT;
	return p;
}

static void piece_free(struct omap *m, void *p, size_t units)
{
	m->bytes -= units * UNIT;
	memcpy(p, &m->spare[units], sizeof(p));
	m->spare[units] = p;
}

static struct omap_entry *entry_new(struct omap *m, const void *key, size_t key_len, size_t value_room)
{
	size_t size = sizeof(struct omap_entry) + key_len + value_room, units = (size + UNIT - 1) / UNIT;
	struct omap_entry *e;

	if (units > OMAP_CLASSES) {
		struct big *b = xmalloc(offsetof(struct big, e) + size);

		b->size = size;
		list_append(&m->big, &b->node);
		m->bytes += size;
		e = &b->e;
		units = 0;
	} else {
		e = piece_alloc(m, units);
	}
	e->units = (uint16_t)units;
	e->key_len = (uint16_t)key_len;
	e->value_len = OMAP_TOMBSTONE;
	if (key_len)
		memcpy(e->bytes, key, key_len);
	return e;
}

static void entry_free(struct omap *m, struct omap_entry *e)
{
	struct big *b;

	if (e->units) {
		piece_free(m, e, e->units);
		return;
	}
	b = container_of(e, struct big, e);
	m->bytes -= b->size;
	list_del(&b->node);
	free(b);
}

static size_t entry_room(struct omap_entry *e)
{
	size_t size = e->units ? e->units * (size_t)UNIT : container_of(e, struct big, e)->size;

	return size - sizeof(*e) - e->key_len;
}

static size_t node_units(bool leaf)
{
	size_t size = sizeof(struct omap_node) + (leaf ? 0 : FANOUT * sizeof(struct omap_node *));

	return (size + UNIT - 1) / UNIT;
}

_Static_assert(sizeof(struct omap_node) + FANOUT * sizeof(void *) <= OMAP_CLASSES * UNIT, "nodes are pieces");

static struct omap_node *node_new(struct omap *m, bool leaf)
{
	struct omap_node *nd = piece_alloc(m, node_units(leaf));

	nd->next = NULL;
	nd->n = nd->skip = 0;
	nd->leaf = leaf;
	return nd;
}

static void node_free(struct omap *m, struct omap_node *nd) { piece_free(m, nd, node_units(nd->leaf)); }

void omap_init(struct omap *m)
{
	memset(m, 0, sizeof(*m));
	list_init(&m->big);
}

void omap_done(struct omap *m)
{
	struct omap_chunk *c = m->chunks, *next;
	struct big *b;

	while ((b = list_pop(&m->big, struct big, node)))
		free(b);
	for (; c; c = next) {
		next = c->next;
		free(c);
	}
	omap_init(m);
}

/* ---- keys of a node ---------------------------------------------------------------------------------------------------------------- */

static uint64_t head_of(const uint8_t *key, size_t len, size_t skip)
{
	uint64_t v = 0;

	if (len <= skip)
		return 0;
	memcpy(&v, key + skip, MIN(len - skip, sizeof(v)));
	return __builtin_bswap64(v);
}

static size_t common_prefix(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	size_t n = MIN(a_len, b_len), i = 0;

	while (i < n && a[i] == b[i])
		i++;
	return i;
}

static unsigned first_key(const struct omap_node *nd) { return nd->leaf ? 0 : 1; }

static void set_skip(struct omap_node *nd, size_t skip)
{
	nd->skip = (uint16_t)skip;
	for (unsigned i = first_key(nd); i < nd->n; i++)
		nd->head[i] = head_of(nd->keys[i]->bytes, nd->keys[i]->key_len, skip);
}

/* After keys moved between nodes. */
static void refresh(struct omap_node *nd)
{
	unsigned lo = first_key(nd);
	const struct omap_entry *a, *b;

	if (nd->n <= lo) {
		nd->skip = 0;
		return;
	}
	a = nd->keys[lo];
	b = nd->keys[nd->n - 1];
	set_skip(nd, common_prefix(a->bytes, a->key_len, b->bytes, b->key_len));
}

/* The first key >= the given one, or n. */
static unsigned lower_bound(const struct omap_node *nd, const uint8_t *key, size_t len, bool *exact)
{
	unsigned lo = first_key(nd), hi = nd->n;
	uint64_t h;

	*exact = false;
	if (lo >= hi)
		return lo;
	if (nd->skip) {
		int c = omap_compare(key, MIN(len, nd->skip), nd->keys[lo]->bytes, nd->skip);

		if (c)
			return c < 0 ? lo : hi;
	}
	h = head_of(key, len, nd->skip);
	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		int c = nd->head[mid] < h ? -1 : nd->head[mid] > h;

		if (!c)
			c = omap_compare(nd->keys[mid]->bytes, nd->keys[mid]->key_len, key, len);
		if (!c) {
			*exact = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Which child of an inner node the key belongs to. */
static unsigned child_index(const struct omap_node *nd, const uint8_t *key, size_t len)
{
	bool exact;
	unsigned i = lower_bound(nd, key, len, &exact);

	return exact ? i : i - 1;
}

static void insert_key(struct omap_node *nd, unsigned i, struct omap_entry *e, struct omap_node *child)
{
	unsigned lo = first_key(nd), tail = nd->n - i;
	size_t skip = nd->skip;

	memmove(&nd->keys[i + 1], &nd->keys[i], tail * sizeof(nd->keys[0]));
	memmove(&nd->head[i + 1], &nd->head[i], tail * sizeof(nd->head[0]));
	if (child)
		memmove(&nd->child[i + 1], &nd->child[i], tail * sizeof(nd->child[0]));
	nd->keys[i] = e;
	if (child)
		nd->child[i] = child;
	nd->n++;
	if (nd->n - lo == 1) {
		set_skip(nd, 0);
		return;
	}
	if (nd->n - lo == 2) {
		refresh(nd);
		return;
	}
	skip = MIN(skip, common_prefix(e->bytes, e->key_len, nd->keys[i == lo ? lo + 1 : lo]->bytes, skip));
	if (skip < nd->skip)
		set_skip(nd, skip);
	else
		nd->head[i] = head_of(e->bytes, e->key_len, skip);
}

static void remove_key(struct omap_node *nd, unsigned i)
{
	unsigned tail = nd->n - i - 1;

	memmove(&nd->keys[i], &nd->keys[i + 1], tail * sizeof(nd->keys[0]));
	memmove(&nd->head[i], &nd->head[i + 1], tail * sizeof(nd->head[0]));
	if (!nd->leaf)
		memmove(&nd->child[i], &nd->child[i + 1], tail * sizeof(nd->child[0]));
	nd->n--;
}

/* ---- looking up ------------------------------------------------------------------------------------------------------------------------ */

static const struct omap_node *find_leaf(const struct omap *m, const void *key, size_t len)
{
	const struct omap_node *nd = m->root;

	while (nd && !nd->leaf)
		nd = nd->child[child_index(nd, key, len)];
	return nd;
}

const struct omap_entry *omap_find(const struct omap *m, const void *key, size_t key_len)
{
	const struct omap_node *leaf = find_leaf(m, key, key_len);
	bool exact;
	unsigned i;

	if (!leaf)
		return NULL;
	i = lower_bound(leaf, key, key_len, &exact);
	return exact ? leaf->keys[i] : NULL;
}

static const struct omap_entry *entry_at(struct omap_pos *pos)
{
	while (pos->leaf && pos->i >= pos->leaf->n) {
		pos->leaf = pos->leaf->next;
		pos->i = 0;
	}
	return pos->leaf ? pos->leaf->keys[pos->i] : NULL;
}

const struct omap_entry *omap_seek(const struct omap *m, const void *key, size_t key_len, bool after, struct omap_pos *pos)
{
	struct omap_pos p = { .leaf = find_leaf(m, key, key_len) };
	const struct omap_entry *e;
	bool exact;

	if (p.leaf) {
		p.i = lower_bound(p.leaf, key, key_len, &exact);
		p.i += exact && after;
	}
	e = entry_at(&p);
	if (pos)
		*pos = p;
	return e;
}

const struct omap_entry *omap_first(const struct omap *m, struct omap_pos *pos)
{
	const struct omap_node *nd = m->root;

	while (nd && !nd->leaf)
		nd = nd->child[0];
	*pos = (struct omap_pos){ .leaf = nd };
	return entry_at(pos);
}

const struct omap_entry *omap_next(struct omap_pos *pos)
{
	pos->i++;
	return entry_at(pos);
}

/* ---- inserting ---------------------------------------------------------------------------------------------------------------------------- */

static void descend(struct omap *m, const void *key, size_t len, struct path *path, bool *exact)
{
	struct omap_node *nd = m->root;

	path->depth = 0;
	while (!nd->leaf) {
		unsigned i = child_index(nd, key, len);

		path->step[path->depth++] = (struct step){ nd, i };
		weft_assert(path->depth < DEPTH_MAX);
		nd = nd->child[i];
	}
	path->step[path->depth] = (struct step){ nd, lower_bound(nd, key, len, exact) };
}

static void move_tail(struct omap_node *to, struct omap_node *from, unsigned at)
{
	unsigned n = from->n - at;

	memcpy(&to->keys[to->n], &from->keys[at], n * sizeof(to->keys[0]));
	if (!from->leaf)
		memcpy(&to->child[to->n], &from->child[at], n * sizeof(to->child[0]));
	to->n = (uint16_t)(to->n + n);
	from->n = (uint16_t)at;
	refresh(to);
	refresh(from);
}

static void grow_root(struct omap *m, struct omap_entry *separator, struct omap_node *right)
{
	struct omap_node *root = node_new(m, false);

	root->n = 1;
	root->keys[0] = NULL;
	root->child[0] = m->root;
	m->root = root;
	insert_key(root, 1, separator, right);
}

/* The new right half of step[depth]'s node goes into its parent, which may have to be split in turn. */
static void insert_right(struct omap *m, struct path *path, unsigned depth, struct omap_entry *separator, struct omap_node *right)
{
	while (depth > 0) {
		struct omap_node *parent = path->step[--depth].node, *half;
		unsigned at = path->step[depth].i + 1, mid = at == FANOUT ? FANOUT - 1 : FANOUT / 2;
		struct omap_entry *up;

		if (parent->n < FANOUT) {
			insert_key(parent, at, separator, right);
			return;
		}
		half = node_new(m, false);
		up = parent->keys[mid];
		move_tail(half, parent, mid);
		half->keys[0] = NULL;
		if (at > mid)
			insert_key(half, at - mid, separator, right);
		else
			insert_key(parent, at, separator, right);
		separator = up;
		right = half;
	}
	grow_root(m, separator, right);
}

static struct omap_entry *make_separator(struct omap *m, const struct omap_entry *left, const struct omap_entry *right)
{
	size_t n = common_prefix(left->bytes, left->key_len, right->bytes, right->key_len);

	return entry_new(m, right->bytes, n + 1, 0);
}

static void leaf_insert(struct omap *m, struct path *path, struct omap_entry *e)
{
	struct omap_node *leaf = path->step[path->depth].node, *right;
	unsigned i = path->step[path->depth].i, mid = FANOUT / 2;

	if (leaf->n < FANOUT) {
		insert_key(leaf, i, e, NULL);
		return;
	}
	right = node_new(m, true);
	right->next = leaf->next;
	leaf->next = right;
	if (i == FANOUT) { /* keys that come in order leave full leaves */
		insert_key(right, 0, e, NULL);
	} else {
		move_tail(right, leaf, mid);
		if (i > mid)
			insert_key(right, i - mid, e, NULL);
		else
			insert_key(leaf, i, e, NULL);
	}
	insert_right(m, path, path->depth, make_separator(m, leaf->keys[leaf->n - 1], right->keys[0]), right);
}

static void set_value(struct omap_entry *e, const void *value, size_t len)
{
	e->value_len = value ? (uint32_t)len : OMAP_TOMBSTONE;
	if (len)
		memcpy(e->bytes + e->key_len, value, len);
}

void omap_put(struct omap *m, const void *key, size_t key_len, const void *value, size_t len)
{
	struct omap_entry *e;
	struct path path;
	bool exact;

	weft_assert(key_len <= UINT16_MAX && len < OMAP_TOMBSTONE && (value || !len));
	if (!m->root)
		m->root = node_new(m, true);
	descend(m, key, key_len, &path, &exact);
	if (!exact) {
		e = entry_new(m, key, key_len, len);
		set_value(e, value, len);
		leaf_insert(m, &path, e);
		m->count++;
		return;
	}
	e = path.step[path.depth].node->keys[path.step[path.depth].i];
	if (len > entry_room(e) || len + 1024 < entry_room(e)) {
		struct omap_entry *fresh = entry_new(m, key, key_len, len);

		path.step[path.depth].node->keys[path.step[path.depth].i] = fresh;
		set_value(fresh, value, len);
		entry_free(m, e);
		return;
	}
	set_value(e, value, len);
}

/* ---- deleting ------------------------------------------------------------------------------------------------------------------------------ */

static struct omap_node *left_neighbour(const struct path *path)
{
	for (unsigned d = path->depth; d-- > 0;)
		if (path->step[d].i > 0) {
			struct omap_node *nd = path->step[d].node->child[path->step[d].i - 1];

			while (!nd->leaf)
				nd = nd->child[nd->n - 1];
			return nd;
		}
	return NULL;
}

/* Takes slot i out of the inner node of step[depth]; what becomes empty goes, too. */
static void remove_slot(struct omap *m, struct path *path, unsigned depth, unsigned i)
{
	struct omap_node *nd = path->step[depth].node;

	if (i == 0 && nd->n > 1) { /* the next one takes over the left end, which has no key */
		entry_free(m, nd->keys[1]);
		nd->keys[1] = NULL;
	} else if (i > 0) {
		entry_free(m, nd->keys[i]);
	}
	remove_key(nd, i);
	if (!nd->n) {
		node_free(m, nd);
		if (depth)
			remove_slot(m, path, depth - 1, path->step[depth - 1].i);
		else
			m->root = NULL;
	}
}

static void shrink_root(struct omap *m)
{
	while (m->root && !m->root->leaf && m->root->n == 1) {
		struct omap_node *child = m->root->child[0];

		node_free(m, m->root);
		m->root = child;
	}
}

static void leaf_shrunk(struct omap *m, struct path *path)
{
	struct omap_node *leaf = path->step[path->depth].node, *parent, *right;
	unsigned i;

	if (!path->depth) {
		if (!leaf->n) {
			node_free(m, leaf);
			m->root = NULL;
		}
		return;
	}
	parent = path->step[path->depth - 1].node;
	i = path->step[path->depth - 1].i;
	if (!leaf->n) {
		struct omap_node *left = left_neighbour(path);

		if (left)
			left->next = leaf->next;
		node_free(m, leaf);
		remove_slot(m, path, path->depth - 1, i);
	} else if (leaf->n < MERGE_BELOW && i + 1u < parent->n && leaf->n + parent->child[i + 1]->n <= MERGE_FIT) {
		right = parent->child[i + 1];
		leaf->next = right->next;
		move_tail(leaf, right, 0);
		node_free(m, right);
		remove_slot(m, path, path->depth - 1, i + 1);
	}
	shrink_root(m);
}

bool omap_del(struct omap *m, const void *key, size_t key_len)
{
	struct path path;
	struct omap_node *leaf;
	bool exact;

	if (!m->root)
		return false;
	descend(m, key, key_len, &path, &exact);
	if (!exact)
		return false;
	leaf = path.step[path.depth].node;
	entry_free(m, leaf->keys[path.step[path.depth].i]);
	remove_key(leaf, path.step[path.depth].i);
	m->count--;
	leaf_shrunk(m, &path);
	return true;
}

/* ---- soundness ------------------------------------------------------------------------------------------------------------------------------- */

static bool node_is_sound(const struct omap_node *nd, const struct omap_entry *low, const struct omap_entry *high, unsigned depth, unsigned *leaf_depth)
{
	for (unsigned i = first_key(nd); i < nd->n; i++) {
		const struct omap_entry *e = nd->keys[i];

		if (nd->head[i] != head_of(e->bytes, e->key_len, nd->skip))
			return false;
		if (low && omap_compare(e->bytes, e->key_len, low->bytes, low->key_len) < 0)
			return false;
		if (high && omap_compare(e->bytes, e->key_len, high->bytes, high->key_len) >= 0)
			return false;
		if (i > first_key(nd) && omap_compare(nd->keys[i - 1]->bytes, nd->keys[i - 1]->key_len, e->bytes, e->key_len) >= 0)
			return false;
	}
	if (nd->leaf) {
		if (!*leaf_depth)
			*leaf_depth = depth;
		return *leaf_depth == depth;
	}
	for (unsigned i = 0; i < nd->n; i++)
		if (!node_is_sound(nd->child[i], i ? nd->keys[i] : low, i + 1u < nd->n ? nd->keys[i + 1] : high, depth + 1, leaf_depth))
			return false;
	return nd->n > 0;
}

bool omap_is_sound(const struct omap *m)
{
	const struct omap_entry *last = NULL;
	unsigned leaf_depth = 0;
	struct omap_pos pos;
	size_t n = 0;

	if (m->root && !node_is_sound(m->root, NULL, NULL, 1, &leaf_depth))
		return false;
	for (const struct omap_entry *e = omap_first(m, &pos); e; e = omap_next(&pos), n++) {
		if (last && omap_compare(last->bytes, last->key_len, e->bytes, e->key_len) >= 0)
			return false;
		last = e;
	}
	return n == m->count;
}
