/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The threads of a process, each with an env. Reactor 0 is the main thread; the others are started by reactors_run.
 *
 * Between reactors there are only messages: reactors_tell.
 */
#ifndef WEFT_NODE_REACTORS_H
#define WEFT_NODE_REACTORS_H

#include "base/base.h"
#include "env/env.h"

struct reactors;

/* n >= 1. Says what is wrong; negative errno. */
int reactors_new(unsigned n, struct reactors **ret) must_check;
struct env *reactors_env(struct reactors *r, unsigned i);
unsigned reactors_n(const struct reactors *r);
/* Runs reactor 0 on this thread, until reactors_stop; the others on threads of their own, which have ended when it returns. */
int reactors_run(struct reactors *r) must_check;
/* Any thread. */
void reactors_stop(struct reactors *r);
/* Everything on the envs must be gone. */
void reactors_free(struct reactors *r);

/* Calls fn(arg) on the env's thread, in order of the calls of one sender. Any thread. */
void reactors_tell(struct env *env, env_fn *fn, void *arg);

#endif
