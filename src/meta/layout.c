/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Layouts: compact records, policies, and the choice of storage targets. */
#include "meta/meta_priv.h"
#include "meta/varint.h"

#define SMALL_BYTES MIB(1)       /* files up to here live on one target */
#define WIDE_STRIPES 8u
#define WHEEL_SHARES 16u         /* most turns of one target in a round: how exact the weighting is */
#define EVEN_PERCENT 17u	 /* free spaces that differ by less than this are equal: plain round robin spreads load best */

/* ---- records ------------------------------------------------------------------------------------------------------------------- */

void layout_encode(const struct wp_layout *l, struct buf *b)
{
	put_varint(b, l->generation);
	put_varint(b, l->flags);
	put_varint(b, l->components_n);
	for (uint32_t i = 0; i < l->components_n; i++) {
		const struct wp_component *c = &l->components[i];

		/* The start is the end of the one before; no end is 0. */
		put_varint(b, c->end == STRIPE_END_NONE ? 0 : c->end / STRIPE_UNIT_MIN);
		put_varint(b, c->pattern);
		put_varint(b, c->stripe_size / STRIPE_UNIT_MIN);
		put_varint(b, c->stripe_count);
		put_varint(b, c->pool.len);
		buf_add(b, c->pool.p, c->pool.len);
		put_varint(b, c->targets_n);
		for (uint32_t t = 0; t < c->targets_n; t++)
			put_varint(b, c->targets[t]);
	}
}

static void component_decode(struct cursor *in, struct arena *a, uint64_t start, struct wp_component *c)
{
	*c = (struct wp_component){ .start = start };
	c->end = get_varint(in) * STRIPE_UNIT_MIN;
	if (!c->end)
		c->end = STRIPE_END_NONE;
	c->pattern = (uint8_t)get_varint32(in);
	c->stripe_size = get_varint32(in) * STRIPE_UNIT_MIN;
	c->stripe_count = get_varint32(in);
	c->pool.len = get_varint32(in);
	c->pool.p = (const char *)get_bytes(in, c->pool.len);
	c->targets_n = get_varint32(in);
	if (c->targets_n > (size_t)(in->end - in->p) || in->bad) {
		in->bad = true;
		c->targets_n = 0;
		return;
	}
	c->targets = arena_alloc(a, c->targets_n * sizeof(*c->targets) + 1);
	for (uint32_t t = 0; t < c->targets_n; t++)
		c->targets[t] = get_varint32(in);
}

int layout_decode(struct arena *a, struct wp_bytes in, struct wp_layout *l)
{
	struct cursor c = { in.p, in.p + in.len, false };
	uint64_t start = 0;

	*l = (struct wp_layout){ .generation = get_varint32(&c), .flags = 0 };
	l->flags = get_varint32(&c);
	l->components_n = get_varint32(&c);
	if (c.bad || l->components_n > WP_COMPONENTS_MAX)
		return -WEFT_ECORRUPT;
	l->components = arena_alloc(a, l->components_n * sizeof(*l->components) + 1);
	for (uint32_t i = 0; i < l->components_n; i++) {
		component_decode(&c, a, start, &l->components[i]);
		start = l->components[i].end;
	}
	return c.bad || c.p != c.end ? -WEFT_ECORRUPT : 0;
}

struct wp_bytes layout_to_arena(struct arena *a, const struct wp_layout *l)
{
	struct wp_bytes r;
	struct buf b = { 0 };

	layout_encode(l, &b);
	r = wp_bytes(arena_dup(a, b.p, b.len), (uint32_t)b.len);
	buf_done(&b);
	return r;
}

/* ---- choosing targets ------------------------------------------------------------------------------------------------------------ */

/* A round of targets of one pool, each as often as its free space deserves if that is unequal; a position that only grows makes
 * it round robin. */
struct wheel {
	struct wheel *next;
	char pool[WP_ALIAS_MAX + 1];
	uint32_t version;
	bool valid;
	uint32_t *turns;
	uint32_t n, targets;
	uint64_t at;
};

static void wheel_fill(struct meta_target *mt, struct wheel *w, struct wp_str pool)
{
	const struct meta_candidate *c = NULL;
	unsigned n = mt->params.candidates ? mt->params.candidates(mt->params.arg, pool, &c) : 0;
	uint8_t best = UINT8_MAX;
	uint64_t most = 1, least = UINT64_MAX;
	bool even;

	for (unsigned i = 0; i < n; i++)
		best = MIN(best, c[i].capacity);
	for (unsigned i = 0; i < n; i++) {
		if (c[i].capacity != best || !c[i].free)
			continue;
		most = MAX(most, c[i].free);
		least = MIN(least, c[i].free);
	}
	even = least >= most || (most - least) / (most / 100 + 1) < EVEN_PERCENT;
	w->turns = xrealloc(w->turns, (n + 1) * WHEEL_SHARES * sizeof(*w->turns));
	w->n = w->targets = 0;
	/* Turn by turn, so that those with few shares are spread over the round. */
	for (unsigned turn = 0; turn < WHEEL_SHARES; turn++)
		for (unsigned i = 0; i < n; i++) {
			uint64_t share = WHEEL_SHARES; /* also of those whose free space is unknown */

			if (c[i].free && !even)
				share = (uint64_t)((__uint128_t)c[i].free * WHEEL_SHARES / most);
			share = MAX(share, 1);
			if (c[i].capacity != best || (turn * share) / WHEEL_SHARES == ((turn + 1) * share) / WHEEL_SHARES)
				continue;
			w->turns[w->n++] = c[i].id;
		}
	for (unsigned i = 0; i < n; i++)
		w->targets += c[i].capacity == best;
	w->valid = true;
}

static struct wheel *wheel_get(struct meta_target *mt, struct wp_str pool)
{
	uint32_t version = mt->params.placement_version ? mt->params.placement_version(mt->params.arg) : 0;
	struct wheel *w = mt->wheels;

	while (w && (strlen(w->pool) != pool.len || (pool.len && memcmp(w->pool, pool.p, pool.len))))
		w = w->next;
	if (!w) {
		w = NEW(struct wheel);
		if (pool.len)
			memcpy(w->pool, pool.p, MIN(pool.len, WP_ALIAS_MAX));
		w->at = env_random_u64(mt->env) % 65536; /* not all metadata targets in step */
		w->next = mt->wheels;
		mt->wheels = w;
	}
	if (!w->valid || w->version != version || !w->n)
		wheel_fill(mt, w, pool);
	w->version = version;
	return w;
}

static bool contains(const uint32_t *ids, uint32_t n, uint32_t id)
{
	for (uint32_t i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

static int component_choose(struct meta_target *mt, struct arena *a, struct wp_component *c)
{
	struct wheel *w = wheel_get(mt, c->pool);
	uint32_t want = c->stripe_count ? c->stripe_count : w->targets;
	uint64_t limit;

	want = MIN(MIN(want, w->targets), WP_STRIPES_MAX);
	if (!want)
		return -ENOSPC;
	c->targets = arena_alloc(a, want * sizeof(*c->targets));
	c->targets_n = 0;
	for (limit = w->n; c->targets_n < want && limit; limit--) {
		uint32_t id = w->turns[w->at++ % w->n];

		if (!contains(c->targets, c->targets_n, id))
			c->targets[c->targets_n++] = id;
	}
	c->stripe_count = c->targets_n;
	return 0;
}

int layout_choose(struct meta_target *mt, struct arena *a, const struct wp_layout *policy, struct wp_layout *ret)
{
	*ret = *policy;
	ret->generation = 1;
	ret->components = arena_dup(a, policy->components, policy->components_n * sizeof(*policy->components));
	for (uint32_t i = 0; i < ret->components_n; i++) {
		int err = component_choose(mt, a, &ret->components[i]);

		if (err)
			return err;
	}
	return 0;
}

struct wp_bytes layout_policy(struct meta_target *mt, const struct inode *dir)
{
	return dir->extra.len ? dir->extra : mt->default_policy;
}

void layout_init(struct meta_target *mt)
{
	struct wp_component c[2] = {
		{ .start = 0, .end = SMALL_BYTES, .pattern = WP_PATTERN_RAID0, .stripe_size = (uint32_t)MIB(1), .stripe_count = 1 },
		{ .start = SMALL_BYTES, .end = STRIPE_END_NONE, .pattern = WP_PATTERN_RAID0, .stripe_size = (uint32_t)MIB(1),
		  .stripe_count = WIDE_STRIPES },
	};
	struct wp_layout l = { .generation = 1, .components = c, .components_n = 2 };
	struct buf b = { 0 };

	layout_encode(&l, &b);
	mt->default_policy = wp_bytes(b.p, (uint32_t)b.len); /* the buffer's memory is kept */
}

void layout_done(struct meta_target *mt)
{
	struct wheel *w;

	while ((w = mt->wheels)) {
		mt->wheels = w->next;
		free(w->turns);
		free(w);
	}
	free((void *)(uintptr_t)mt->default_policy.p);
}

/* ---- set_layout ---------------------------------------------------------------------------------------------------------------------- */

static int set_policy(struct op *op, struct inode *i, struct wp_layout *l)
{
	/* An empty one returns to the default. */
	int err = l->components_n ? stripe_check(l, true) : 0;

	if (err)
		return err;
	i->extra = l->components_n ? layout_to_arena(op->arena, l) : wp_bytes(NULL, 0);
	return 0;
}

static int set_file_layout(struct op *op, struct inode *i, const struct wp_layout *policy)
{
	struct wp_layout old, l;
	int err;

	if (i->comps || i->size)
		return -EBUSY;
	err = stripe_check(policy, true);
	if (!err)
		err = layout_choose(op->mt, op->arena, policy, &l);
	if (!err)
		err = layout_decode(op->arena, i->extra, &old);
	if (err)
		return err;
	l.generation = old.generation + 1;
	i->extra = layout_to_arena(op->arena, &l);
	return 0;
}

/* A pool that does not exist, or has no target, would make every later create fail. */
static bool pools_exist(struct meta_target *mt, const struct wp_layout *l)
{
	const struct meta_candidate *c;

	for (uint32_t n = 0; n < l->components_n; n++)
		if (l->components[n].pool.len && !mt->params.candidates(mt->params.arg, l->components[n].pool, &c))
			return false;
	return true;
}

int meta_set_layout(struct op *op)
{
	struct wp_set_layout_rep rep = { 0 };
	struct inode *i;
	int err;

	META_REQ(op, set_layout, m);
	err = ino_get(op, &m->fid, &i);
	if (!err)
		err = entry_wait(op, i);
	if (err)
		return err;
	if (m->cred.uid != i->uid && !cred_is_root(&m->cred))
		return -EPERM;
	if (!pools_exist(op->mt, &m->layout))
		return -EINVAL;
	if (lease_want(op, i, WP_LEASE_LAYOUT | WP_LEASE_ATTR))
		return OP_WAIT;
	if (inode_is_dir(i))
		err = set_policy(op, i, &m->layout);
	else if (inode_is_reg(i))
		err = set_file_layout(op, i, &m->layout);
	else
		err = -EINVAL;
	if (err)
		return err;
	ino_touch(op, i, TOUCH_CTIME);
	i->dirty = true;
	err = entry_fill(op, i, 0, true, &rep.entry);
	if (err)
		return err;
	wp_set_layout_rep_enc(mop_enc(op, entry_size(&rep.entry) + 64), &rep);
	err = mop_commit(op);
	if (!err && lease_entry(op, i, WP_LEASE_ATTR | WP_LEASE_LAYOUT, &rep.entry))
		wp_set_layout_rep_enc(mop_enc_granted(op, entry_size(&rep.entry) + 64), &rep);
	return err;
}
