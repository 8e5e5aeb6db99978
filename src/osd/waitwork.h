/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Work on a helper thread whose owner may have to wait for it without its reactor: when it closes. Own memory, so that the reactor's
 * end of it may come after the owner is gone.
 */
#ifndef WEFT_OSD_WAITWORK_H
#define WEFT_OSD_WAITWORK_H

#include <pthread.h>

#include "env/env.h"

struct waitwork {
	struct env_work work;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool ran;  /* under lock */
	bool dead; /* the owner does not want to hear of it */
	env_fn *run, *done;
	void *arg;
};

static inline void waitwork_free(struct waitwork *w)
{
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->cond);
	free(w);
}

static inline void waitwork_run(void *arg)
{
	struct waitwork *w = arg;

	w->run(w->arg);
	pthread_mutex_lock(&w->lock);
	w->ran = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static inline void waitwork_done(void *arg)
{
	struct waitwork *w = arg;
	env_fn *done = w->dead ? NULL : w->done;
	void *done_arg = w->arg;

	waitwork_free(w);
	if (done)
		done(done_arg);
}

/* The result is gone when done is called. */
static inline struct waitwork *waitwork_start(struct env *env, env_fn *run, env_fn *done, void *arg)
{
	struct waitwork *w = NEW(struct waitwork);

	w->run = run;
	w->done = done;
	w->arg = arg;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->cond, NULL);
	w->work = (struct env_work){ .run = waitwork_run, .done = waitwork_done, .arg = w };
	env_work(env, &w->work);
	return w;
}

/* Blocks until run has returned; done will not be called. NULL is fine. */
static inline void waitwork_wait(struct waitwork *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	while (!w->ran)
		pthread_cond_wait(&w->cond, &w->lock);
	w->dead = true;
	pthread_mutex_unlock(&w->lock);
}

#endif
