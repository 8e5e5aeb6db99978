/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The oracle accepts a correct file system through crashes, and finds every mistake that the fake one is told to make. */
#include "fake_cluster.h"
#include "run.h"
#include "tap.h"

static bool finds(enum fake_bug bug)
{
	fake_bug = bug;
	for (uint64_t seed = 1; seed <= 6; seed++)
		if (!sim_run(&(struct sim_options){ .seed = seed, .steps = 1500, .silent = true }))
			return true;
	return false;
}

int main(void)
{
	for (uint64_t seed = 1; seed <= 12; seed++)
		ok(sim_run(&(struct sim_options){ .seed = seed, .steps = 1500 }), "seed %u: a correct file system", (unsigned)seed);
#define X(name, text) ok(finds(FAKE_##name), "found: " text);
	FAKE_BUGS(X)
#undef X
	return done_testing();
}
