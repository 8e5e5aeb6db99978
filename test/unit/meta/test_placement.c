/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Which storage targets new files get: in turn when their free space is about equal, by free space when it is not. */
#include "../../tap.h"
#include "env/env_sim.h"
#include "meta/meta_priv.h"

#define TARGETS 4u
#define FILES 6400u

static struct meta_candidate table[TARGETS];
static uint32_t version;
static unsigned fills;

static unsigned candidates(void *arg, struct wp_str pool, const struct meta_candidate **ret)
{
	fills++;
	*ret = table;
	return TARGETS;
}

static uint32_t placement_version(void *arg) { return version; }

static void set(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	uint64_t free_bytes[TARGETS] = { a, b, c, d };

	for (uint32_t i = 0; i < TARGETS; i++)
		table[i] = (struct meta_candidate){ .id = i + 1, .capacity = WP_CAPACITY_NORMAL, .free = free_bytes[i] };
	version++;
}

/* Files of n stripes; counts[i] is how many stripes target i + 1 got. Returns how often a file had fewer or the same target twice. */
static unsigned choose(struct meta_target *mt, uint32_t stripes, unsigned counts[TARGETS])
{
	struct wp_component comp = { .end = STRIPE_END_NONE, .pattern = WP_PATTERN_RAID0, .stripe_size = MIB(1), .stripe_count = stripes };
	struct wp_layout policy = { .components = &comp, .components_n = 1 }, l;
	struct arena arena = { 0 };
	unsigned bad = 0;

	memset(counts, 0, TARGETS * sizeof(*counts));
	for (unsigned f = 0; f < FILES; f++) {
		uint32_t seen = 0;

		if (layout_choose(mt, &arena, &policy, &l) < 0 || l.components[0].targets_n != stripes) {
			bad++;
			continue;
		}
		for (uint32_t i = 0; i < stripes; i++) {
			uint32_t id = l.components[0].targets[i];

			bad += seen >> id & 1;
			seen |= 1u << id;
			counts[id - 1]++;
		}
		arena_reset(&arena);
	}
	arena_done(&arena);
	return bad;
}

static bool near(unsigned got, unsigned want) { return got + want / 20 + 4 >= want && got <= want + want / 20 + 4; }

int main(void)
{
	static struct meta_target mt;
	struct sim_world *sim = sim_new(1);
	unsigned n[TARGETS], before, bad;

	mt.env = sim_process_new(sim_host_new(sim, "meta"));
	mt.params.candidates = candidates;
	mt.params.placement_version = placement_version;

	set(GIB(1000), GIB(990), GIB(900), GIB(850));
	bad = choose(&mt, 1, n);
	ok(!bad && n[0] == n[1] && n[1] == n[2] && n[2] == n[3], "about equal: in turn (%u %u %u %u)", n[0], n[1], n[2], n[3]);
	before = fills;
	bad = choose(&mt, 2, n);
	ok(!bad && n[0] == n[3] && fills == before, "stripes too, and the round is kept");

	set(GIB(1000), GIB(500), GIB(250), GIB(250));
	bad = choose(&mt, 1, n);
	ok(!bad && near(n[0], FILES / 2) && near(n[1], FILES / 4) && near(n[2], FILES / 8) && near(n[3], FILES / 8),
	   "unequal: by free space (%u %u %u %u)", n[0], n[1], n[2], n[3]);
	bad = choose(&mt, 4, n);
	ok(!bad && n[0] == FILES && n[3] == FILES, "as many stripes as targets: each once");

	set(GIB(1000), 1, GIB(1000), GIB(1000));
	bad = choose(&mt, 1, n);
	ok(!bad && n[1] && n[1] < FILES / 30 && near(n[0], n[2]), "a full one of the same class still gets a little (%u)", n[1]);

	set(0, 0, 0, 0);
	bad = choose(&mt, 1, n);
	ok(!bad && n[0] == n[1] && n[1] == n[2] && n[2] == n[3], "unknown: in turn");
	set(GIB(100), GIB(100), 0, GIB(10));
	bad = choose(&mt, 1, n);
	ok(!bad && near(n[2], n[0]) && n[3] < n[0] / 5, "one that is unknown counts like the best (%u %u %u %u)", n[0], n[1],
	   n[2], n[3]);

	set(GIB(1000), GIB(1000), GIB(10), GIB(10));
	table[0].capacity = table[1].capacity = WP_CAPACITY_LOW;
	bad = choose(&mt, 1, n);
	ok(!bad && !n[0] && !n[1] && n[2] == n[3], "the class goes before the space");
	layout_done(&mt);
	sim_free(sim);
	return done_testing();
}
