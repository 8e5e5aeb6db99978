/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "node/reactors.h"

#include <pthread.h>

#include "base/limits.h"
#include "base/log.h"
#include "env/env_linux.h"

struct reactor {
	struct env *env;
	pthread_t thread;
	bool started;
};

struct reactors {
	unsigned n;
	struct reactor r[WEFT_REACTORS_MAX];
};

int reactors_new(unsigned n, struct reactors **ret)
{
	struct reactors *all = NEW(struct reactors);
	int r;

	weft_assert(n >= 1 && n <= WEFT_REACTORS_MAX);
	for (; all->n < n; all->n++) {
		r = env_linux_new(NULL, &all->r[all->n].env);
		if (r < 0) {
			log_err("node", "cannot start: %s", env_linux_strerror(r));
			reactors_free(all);
			return r;
		}
	}
	*ret = all;
	return 0;
}

struct env *reactors_env(struct reactors *r, unsigned i)
{
	weft_assert(i < r->n);
	return r->r[i].env;
}

unsigned reactors_n(const struct reactors *r) { return r->n; }

static void *thread_main(void *arg)
{
	env_linux_run(arg);
	return NULL;
}

static void join(struct reactors *r)
{
	for (unsigned i = 1; i < r->n; i++) {
		if (!r->r[i].started)
			continue;
		pthread_join(r->r[i].thread, NULL);
		r->r[i].started = false;
	}
}

int reactors_run(struct reactors *r)
{
	for (unsigned i = 1; i < r->n; i++) {
		int err = pthread_create(&r->r[i].thread, NULL, thread_main, r->r[i].env);

		if (err) {
			log_err("node", "cannot start a thread: %s", strerror(err));
			reactors_stop(r);
			join(r);
			return -err;
		}
		r->r[i].started = true;
	}
	env_linux_run(r->r[0].env);
	join(r);
	return 0;
}

void reactors_stop(struct reactors *r)
{
	for (unsigned i = r->n; i-- > 0;)
		env_linux_stop(r->r[i].env);
}

void reactors_free(struct reactors *r)
{
	if (!r)
		return;
	for (unsigned i = 0; i < r->n; i++)
		env_linux_free(r->r[i].env);
	free(r);
}

struct message {
	struct env_task task;
	env_fn *fn;
	void *arg;
};

static void deliver(void *arg)
{
	struct message m = *(struct message *)arg;

	free(arg);
	m.fn(m.arg);
}

void reactors_tell(struct env *env, env_fn *fn, void *arg)
{
	struct message *m = NEW(struct message);

	m->task = (struct env_task){ .fn = deliver, .arg = m };
	m->fn = fn;
	m->arg = arg;
	env_post(env, &m->task);
}
