/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* One run of the simulator. */
#ifndef WEFT_TEST_SIM_RUN_H
#define WEFT_TEST_SIM_RUN_H

#include <stdbool.h>
#include <stdint.h>

struct sim_options {
	uint64_t seed, steps;
	bool verbose;    /* every operation and fault */
	bool silent;     /* not even failures */
	bool no_faults;
};

/* False: a promise was broken; said on standard output. */
bool sim_run(const struct sim_options *o);

#endif
