/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Two processes in some environment, for checks that must hold in all of them. */
#ifndef WEFT_TEST_ENV_WORLD_H
#define WEFT_TEST_ENV_WORLD_H

#include "env/env.h"
#include "tap.h"

struct world {
	const char *name;
	struct env *a, *b;       /* a serves, b calls; may be the same */
	const char *dir;         /* where files may be made */
	const char *listen_addrs[3];
	const char *refused_addr; /* nobody listens there */
	void (*step)(struct world *w);
	void *priv;
};

/* Steps until *done is true; false after too long. */
static inline bool world_run(struct world *w, const bool *done)
{
	uint64_t end = env_mono_ns(w->a) + 10 * NSEC_PER_SEC;

	while (!*done && env_mono_ns(w->a) < end)
		w->step(w);
	return *done;
}

static inline void world_settle(struct world *w, int steps)
{
	while (steps--)
		w->step(w);
}

void check_timers(struct world *w);
void check_posts(struct world *w);
void check_work(struct world *w);
void check_files(struct world *w);
void check_dirs(struct world *w);
void check_streams(struct world *w);
void check_stream_ends(struct world *w);

#endif
