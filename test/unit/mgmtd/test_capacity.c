/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "../../tap.h"
#include "mgmtd/capacity.h"

#define N 3u

static struct wp_target_space spaces[N];
static struct capacity_item items[N];

/* Classes of targets of 1000 GiB with so many GiB free, as digits. */
static unsigned classes(const struct capacity_rules *r, uint64_t a, uint64_t b, uint64_t c, uint8_t was)
{
	const uint64_t free_gib[N] = { a, b, c };

	for (unsigned i = 0; i < N; i++) {
		spaces[i] = (struct wp_target_space){ .total = GIB(1000), .free = GIB(free_gib[i]), .inodes = 1000, .inodes_free = 900 };
		items[i] = (struct capacity_item){ .space = &spaces[i], .was = was };
	}
	capacity_classify(r, items, N);
	return items[0].now * 100u + items[1].now * 10u + items[2].now;
}

int main(void)
{
	struct capacity_rules r = { .space = { .low = GIB(40), .emergency = GIB(8) } };

	is_int(classes(&r, 900, 39, 7, 0), 123, "below the limits");
	is_int(classes(&r, 40, 8, 0, 0), 123, "on the limits");
	is_int(classes(&r, 40, 40, 42, WP_CAPACITY_LOW), 221, "leaving a class takes a little more than its limit");
	r.space.low = GIB(500);
	is_int(classes(&r, 60, 49, 5, 0), 123, "a limit is at most a share of the size");
	r.space = (struct capacity_limits){ .low = GIB(40), .emergency = GIB(8), .low_raised = GIB(300), .normal_spread = GIB(200) };
	is_int(classes(&r, 250, 280, 290, 0), 111, "narrow spread: the low limit is not raised");
	is_int(classes(&r, 250, 280, 900, 0), 221, "wide spread: raised, the full ones are avoided");
	r.space.low_spread = GIB(20);
	r.space.emergency_raised = GIB(20);
	is_int(classes(&r, 15, 39, 900, 0), 321, "wide spread of the low ones: the emergency limit is raised");
	is_int(classes(&r, 30, 39, 900, 0), 221, "narrow: it is not");
	r = (struct capacity_rules){ .inodes = { .low = 950, .emergency = 5 } };
	is_int(classes(&r, 900, 900, 900, 0), 111, "an inode limit is at most a share as well");
	spaces[0].inodes_free = 3;
	capacity_classify(&r, items, N);
	is_int(items[0].now, WP_CAPACITY_EMERGENCY, "few inodes");
	spaces[0].inodes = spaces[0].inodes_free = 0;
	capacity_classify(&r, items, N);
	is_int(items[0].now, WP_CAPACITY_EMERGENCY - 2, "an engine that does not count inodes");
	capacity_classify(&r, items, 0);
	ok(true, "no targets");
	return done_testing();
}
