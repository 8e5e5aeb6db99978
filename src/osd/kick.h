/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* "Call me soon, from the reactor": a task that is queued at most once and may be freed while it is queued. */
#ifndef WEFT_OSD_KICK_H
#define WEFT_OSD_KICK_H

#include "env/env.h"

struct kick {
	struct env_task task;
	struct env *env;
	env_fn *fn;
	void *arg;
	bool queued, dead;
};

static inline void kick_run(void *arg)
{
	struct kick *k = arg;

	k->queued = false;
	if (k->dead)
		free(k);
	else
		k->fn(k->arg);
}

static inline struct kick *kick_new(struct env *env, env_fn *fn, void *arg)
{
	struct kick *k = NEW(struct kick);

	*k = (struct kick){ .env = env, .fn = fn, .arg = arg };
	return k;
}

static inline void kick(struct kick *k)
{
	if (k->queued)
		return;
	k->queued = true;
	k->task = (struct env_task){ .fn = kick_run, .arg = k };
	env_post(k->env, &k->task);
}

/* fn is not called any more. */
static inline void kick_free(struct kick *k)
{
	k->dead = true;
	if (!k->queued)
		free(k);
}

#endif
