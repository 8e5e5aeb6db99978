/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* One run: start, workload with faults, repair, final checks. */
#include "run.h"

#include <stdarg.h>

#include "audit.h"

#define STEP_NS_MAX (20 * NSEC_PER_MSEC)
#define HITS_FROM 100u		      /* operations: then caches must have been of use as often, else nothing was audited */
#define DRAIN_NS (600 * NSEC_PER_SEC) /* what is not answered in this time, with everything up, never will be */

void sim_note(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	if (!s->verbose)
		return;
	printf("# %12.6f ", (double)(s->cl ? cluster_now(s->cl) : 0) / 1e9);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void sim_fail(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	if (s->failed)
		return;
	s->failed = true;
	if (s->silent)
		return;
	printf("# FAILED seed %llu step %llu at %.6f s: ", (unsigned long long)s->seed, (unsigned long long)s->steps,
	       (double)(s->cl ? cluster_now(s->cl) : 0) / 1e9);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

void sim_say(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	if (s->silent)
		return;
	printf("#   ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static void run_until(struct sim *s, bool (*cond)(struct sim *s), const char *what)
{
	uint64_t end = cluster_now(s->cl) + DRAIN_NS;

	while (!s->failed && !cond(s)) {
		cluster_run(s->cl, 5 * NSEC_PER_MSEC);
		work_step(s);
		audit_step(s);
		if (cluster_now(s->cl) > end) {
			for (unsigned i = 0; i < ARRAY_SIZE(s->workers); i++)
				if (s->workers[i].op)
					printf("# worker %u: %s since %.6f s%s\n", i, s->workers[i].op->name,
					       (double)s->workers[i].started_ns / 1e9, s->workers[i].in_doubt ? ", in doubt" : "");
			sim_fail(s, "%s: does not come to an end", what);
		}
	}
}

static bool ready(struct sim *s) { return cluster_ready(s->cl); }
static bool idle(struct sim *s) { return work_idle(s) && !s->lock_holder; }

static void run(struct sim *s, uint64_t steps)
{
	s->draining = true;
	run_until(s, ready, "start");
	work_shared_files(s);
	s->draining = false;
	for (s->steps = 0; s->steps < steps && !s->failed; s->steps++) {
		cluster_run(s->cl, 1 + rng_next(&s->rng) % STEP_NS_MAX);
		if (!s->failed && !s->faults_off)
			cluster_faults(s->cl);
		if (!s->failed)
			work_step(s);
		if (!s->failed)
			audit_step(s);
	}
	s->draining = true;
	if (!s->failed)
		cluster_heal(s->cl);
	run_until(s, ready, "repair");
	run_until(s, idle, "operations");
	if (s->failed)
		return;
	work_close_all(s);
	cluster_run(s->cl, 5 * NSEC_PER_SEC);
	if (!s->failed)
		check_tree(s);
	if (!s->failed)
		cluster_check(s->cl);
	if (s->done >= HITS_FROM && s->audit_hits < s->done)
		sim_fail(s, "caches answer next to nothing: %llu of %llu", (unsigned long long)s->audit_hits,
			 (unsigned long long)s->audits);
}

bool sim_run(const struct sim_options *o)
{
	static const char *const counted[SIM_COUNTED] = SIM_COUNTED_NAMES;
	struct sim *s = NEW(struct sim);
	bool failed;

	s->seed = s->rng.state = o->seed;
	s->audit_rng.state = o->seed ^ 0x6175646974ull;
	s->verbose = o->verbose;
	s->silent = o->silent;
	s->faults_off = o->no_faults;
	if (!o->silent)
		printf("# seed %llu, %llu steps\n", (unsigned long long)o->seed, (unsigned long long)o->steps);
	fflush(stdout);
	if (o->seed >= SIM_SMALL_SEED) {
		s->looks = 400 * rng_below(&s->audit_rng, 3);
		s->follows = 300 * rng_below(&s->audit_rng, 3);
	}
	model_init(&s->model);
	work_init(s);
	s->cl = cluster_new(s, 1 + rng_below(&s->rng, 2), 3 + rng_below(&s->rng, 2));
	run(s, o->steps);
	if (!o->silent)
		printf("# seed %llu: %s; %llu operations (%llu errors), %.1f s of simulated time, %u inodes, %u log records, "
		       "caches answered %llu of %llu, kernels %llu\n",
		       (unsigned long long)o->seed, s->failed ? "FAILED" : "passed", (unsigned long long)s->done,
		       (unsigned long long)s->errors, (double)cluster_now(s->cl) / 1e9, s->model.nodes_n, s->records_n,
		       (unsigned long long)s->audit_hits, (unsigned long long)s->audits, (unsigned long long)s->kept);
	failed = s->failed;
	s->failed = true; /* callbacks of the end do nothing */
	cluster_free(s->cl);
	for (unsigned i = 0; i < SIM_COUNTED && !o->silent; i++)
		printf("%s %s %llu", i ? "," : "#", counted[i], (unsigned long long)s->counted[i]);
	if (!o->silent)
		putchar('\n');
	work_done(s);
	audit_done(s);
	model_done(&s->model);
	free(s);
	return !failed;
}

