/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Reactor threads: each has an env_linux of its own. State belongs to one reactor; others reach it with env_post to its env, or
 * with io_reactor_call from threads that are none.
 */
#ifndef WEFT_IO_REACTOR_H
#define WEFT_IO_REACTOR_H

#include "env/env_linux.h"
#include "io/pool.h"

struct io_reactors;

struct io_reactor {
	struct env *env;
	struct io_pool *pool;
	unsigned index;
	void *priv; /* the user's */
};

struct io_reactors_params {
	unsigned n;
	const char *name;            /* of the threads, at most 10 characters; NULL: "weft-io" */
	bool pin;                    /* thread i to the i-th CPU that the process may use, round robin */
	size_t pool_max;             /* bytes per reactor, see io_pool_new */
	struct env_linux_params env;
	/* On the reactor's thread, before and after it runs. An error of init ends them all. Either may be NULL. While done runs,
	 * posts to other reactors of the set are accepted and dropped. */
	int (*init)(void *arg, struct io_reactor *r);
	void (*done)(void *arg, struct io_reactor *r);
	void *arg;
};

/* Returns when every init has returned; on error (-errno of the first that failed) nothing runs any more. */
int io_reactors_start(const struct io_reactors_params *p, struct io_reactors **ret) must_check;
/* Stops all, calls done on each, waits for the threads, frees. Not from a reactor's thread. NULL is fine. */
void io_reactors_stop(struct io_reactors *set);
unsigned io_reactors_count(const struct io_reactors *set);
struct io_reactor *io_reactors_get(struct io_reactors *set, unsigned i);
/* Runs fn on the reactor and waits until it has returned. Not from a reactor's thread. */
void io_reactor_call(struct io_reactor *r, env_fn *fn, void *arg);

#endif
