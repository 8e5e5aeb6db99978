/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "mgmtd/capacity.h"


/* Limits that hold for a target of this size; raised ones are meant as they are. */
static uint64_t scaled(uint64_t limit, uint64_t total, unsigned percent)
{
	uint64_t share = total / 100 * percent;

	return MIN(limit, share);
}

/* A target on the edge must not change class, and the map, with every file. */
static uint64_t with_slack(uint64_t limit) { return limit + limit / 64; }

static uint8_t class_of(uint64_t free, uint64_t low, uint64_t emergency, uint8_t was)
{
	if (free < emergency || (was == WP_CAPACITY_EMERGENCY && free < with_slack(emergency)))
		return WP_CAPACITY_EMERGENCY;
	if (free < low || (was >= WP_CAPACITY_LOW && free < with_slack(low)))
		return WP_CAPACITY_LOW;
	return WP_CAPACITY_NORMAL;
}

static uint8_t class_by(const struct capacity_limits *l, uint64_t free, uint64_t total, bool low_wide, bool emergency_wide, uint8_t was)
{
	uint64_t low = scaled(l->low, total, CAPACITY_LOW_PERCENT);
	uint64_t emergency = scaled(l->emergency, total, CAPACITY_EMERGENCY_PERCENT);

	if (!total)
		return WP_CAPACITY_NORMAL; /* the engine does not count these */
	if (low_wide)
		low = MAX(low, l->low_raised);
	if (emergency_wide)
		emergency = MAX(emergency, l->emergency_raised);
	return class_of(free, low, emergency, was);
}

struct spread {
	uint64_t min, max;
};

static void spread_add(struct spread *s, uint64_t v)
{
	s->min = MIN(s->min, v);
	s->max = MAX(s->max, v);
}

static bool is_wide(const struct spread *s, uint64_t threshold, uint64_t raised)
{
	return raised && s->max > s->min && s->max - s->min > threshold;
}

struct wide {
	bool space_low, space_emergency, inodes_low, inodes_emergency;
};

static void classify(const struct capacity_rules *r, struct capacity_item *items, unsigned n, const struct wide *w)
{
	for (unsigned i = 0; i < n; i++) {
		const struct wp_target_space *s = items[i].space;
		uint8_t a = class_by(&r->space, s->free, s->total, w->space_low, w->space_emergency, items[i].was);
		uint8_t b = class_by(&r->inodes, s->inodes_free, s->inodes, w->inodes_low, w->inodes_emergency, items[i].was);

		items[i].now = MAX(a, b);
	}
}

static void measure(const struct capacity_item *items, unsigned n, uint8_t class, struct spread *space, struct spread *inodes)
{
	*space = *inodes = (struct spread){ .min = UINT64_MAX };
	for (unsigned i = 0; i < n; i++) {
		if (items[i].now != class)
			continue;
		spread_add(space, items[i].space->free);
		spread_add(inodes, items[i].space->inodes_free);
	}
}

void capacity_classify(const struct capacity_rules *r, struct capacity_item *items, unsigned n)
{
	struct spread space, inodes;
	struct wide w = { 0 };

	classify(r, items, n, &w);
	measure(items, n, WP_CAPACITY_NORMAL, &space, &inodes);
	w.space_low = is_wide(&space, r->space.normal_spread, r->space.low_raised);
	w.inodes_low = is_wide(&inodes, r->inodes.normal_spread, r->inodes.low_raised);
	if (w.space_low || w.inodes_low)
		classify(r, items, n, &w);
	measure(items, n, WP_CAPACITY_LOW, &space, &inodes);
	w.space_emergency = is_wide(&space, r->space.low_spread, r->space.emergency_raised);
	w.inodes_emergency = is_wide(&inodes, r->inodes.low_spread, r->inodes.emergency_raised);
	if (w.space_emergency || w.inodes_emergency)
		classify(r, items, n, &w);
}
