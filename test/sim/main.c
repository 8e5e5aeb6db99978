/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The whole cluster in one process, from a seed: sim --seed N --steps M [--verbose].
 *
 * Without --seed and with WEFT_SIM_SECONDS set, runs one random seed after another for so long.
 */
#include <getopt.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "run.h"

static uint64_t number(const char *s) { return strtoull(s, NULL, 0); }

int main(int argc, char **argv)
{
	static const struct option options[] = { { "seed", required_argument, NULL, 's' }, { "steps", required_argument, NULL, 'n' },
						 { "verbose", no_argument, NULL, 'v' }, { "debug", no_argument, NULL, 'd' },
						 { "no-faults", no_argument, NULL, 'q' }, { 0 } };
	const char *seconds = getenv("WEFT_SIM_SECONDS");
	struct sim_options o = { .steps = 2000 };
	bool have_seed = false;
	time_t end;
	int c;

	log_setup("sim", LOG_ERR);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's': o.seed = number(optarg); have_seed = true; break;
		case 'n': o.steps = number(optarg); break;
		case 'v': o.verbose = true; break;
		case 'd': log_setup("sim", LOG_DEBUG); break;
		case 'q': o.no_faults = true; break;
		default: fprintf(stderr, "usage: sim [--seed N] [--steps M] [--verbose] [--debug] [--no-faults]\n"); return 2;
		}
	}
	if (have_seed || !seconds)
		return sim_run(&o) ? 0 : 1;
	end = time(NULL) + (time_t)number(seconds);
	for (o.seed = (uint64_t)time(NULL) * 1000003u; time(NULL) < end; o.seed++)
		if (!sim_run(&o))
			return 1;
	return 0;
}
