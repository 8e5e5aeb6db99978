/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The threads of a process, each with an env_linux of its own. State belongs to one reactor; others reach it with messages:
 * env_post to its env, or io_tell.
 *
 * Life: io_reactors_new makes the envs; what lives on them is made while nothing runs, by one thread. Then io_reactors_start, or
 * io_reactors_run for programs whose first reactor is the main thread. When all threads have ended, one thread takes down what
 * lives on the envs, and the set is freed. So a post never meets an env that is gone.
 */
#ifndef WEFT_IO_REACTOR_H
#define WEFT_IO_REACTOR_H

#include "env/env_linux.h"

struct io_reactors;

struct io_reactor {
	struct env *env;
	void *priv; /* the user's */
};

/* n > 0. name: of the threads, at most 10 characters. Errors: see env_linux_new. */
int io_reactors_new(unsigned n, const char *name, struct io_reactors **ret) must_check;
unsigned io_reactors_count(const struct io_reactors *set);
struct io_reactor *io_reactors_get(struct io_reactors *set, unsigned i);
/* A thread for each. Negative errno: a thread could not be made, and none runs. */
int io_reactors_start(struct io_reactors *set) must_check;
/* Runs reactor 0 on this thread until io_reactors_stop, the others on threads of their own, which have ended when it returns.
 * Negative errno: a thread could not be made, and none runs. */
int io_reactors_run(struct io_reactors *set) must_check;
/* Asks all to end. Any thread; not after io_reactors_join or the end of io_reactors_run. */
void io_reactors_stop(struct io_reactors *set);
/* Waits for the threads to end. */
void io_reactors_join(struct io_reactors *set);
/* Everything on the envs must be gone, and no thread run. Messages that were not delivered are dropped. NULL is fine. */
void io_reactors_free(struct io_reactors *set);

/* Calls fn(arg) on the env's thread, in order of the calls of one sender. Any thread. */
void io_tell(struct env *env, env_fn *fn, void *arg);

#endif
