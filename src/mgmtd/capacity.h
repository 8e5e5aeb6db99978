/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Capacity classes of targets, from their free bytes and inodes. Pure functions.
 *
 * Fixed rule: below the low limit a target is LOW, below the emergency limit EMERGENCY. A limit is at most a share of the target's
 * size, so that one setting fits large and small targets. Dynamic rule: when the fullest and the emptiest NORMAL target of a group
 * are further apart than the spread threshold, the raised low limit holds for the group, so that new data go to the emptier ones;
 * the same with LOW targets and the emergency limit.
 */
#ifndef WEFT_MGMTD_CAPACITY_H
#define WEFT_MGMTD_CAPACITY_H

#include "base/base.h"
#include "weft_proto.h"

/* For bytes, or for inodes. */
struct capacity_limits {
	uint64_t low, emergency;
	uint64_t low_raised, emergency_raised;    /* while the spread is wide; 0: no dynamic rule */
	uint64_t normal_spread, low_spread;       /* wider than this is wide */
};

struct capacity_rules {
	struct capacity_limits space, inodes;
};

/* A target as the rules see it. */
struct capacity_item {
	const struct wp_target_space *space;
	uint8_t was; /* enum wp_capacity; 0: none. Leaving a worse class takes a little more than its limit */
	uint8_t now; /* result */
};

#define CAPACITY_LOW_PERCENT 5u
#define CAPACITY_EMERGENCY_PERCENT 1u

/* Classes of the targets of one group (a service and a pool). */
void capacity_classify(const struct capacity_rules *rules, struct capacity_item *items, unsigned n);

#endif
