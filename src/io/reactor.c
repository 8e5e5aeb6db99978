/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "io/reactor.h"

#include <pthread.h>

struct slot {
	struct io_reactor r;
	pthread_t thread;
	bool started;
};

struct io_reactors {
	char name[11];
	unsigned n;
	struct slot slots[];
};

int io_reactors_new(unsigned n, const char *name, struct io_reactors **ret)
{
	struct io_reactors *set = xcalloc(1, sizeof(*set) + n * sizeof(set->slots[0]));
	int r;

	weft_assert(n > 0);
	(void)str_copy(set->name, sizeof(set->name), name);
	for (; set->n < n; set->n++) {
		r = env_linux_new(NULL, &set->slots[set->n].r.env);
		if (r < 0) {
			io_reactors_free(set);
			return r;
		}
	}
	*ret = set;
	return 0;
}

unsigned io_reactors_count(const struct io_reactors *set) { return set->n; }

struct io_reactor *io_reactors_get(struct io_reactors *set, unsigned i)
{
	weft_assert(i < set->n);
	return &set->slots[i].r;
}

static void *thread_main(void *arg)
{
	env_linux_run(arg);
	return NULL;
}

static int start_from(struct io_reactors *set, unsigned first)
{
	for (unsigned i = first; i < set->n; i++) {
		struct slot *s = &set->slots[i];
		char name[16];
		int err = pthread_create(&s->thread, NULL, thread_main, s->r.env);

		if (err) {
			io_reactors_stop(set);
			io_reactors_join(set);
			return -err;
		}
		s->started = true;
		snprintf(name, sizeof(name), "%s-%u", set->name, i % 1000);
		(void)pthread_setname_np(s->thread, name);
	}
	return 0;
}

int io_reactors_start(struct io_reactors *set) { return start_from(set, 0); }

int io_reactors_run(struct io_reactors *set)
{
	int r = start_from(set, 1);

	if (r < 0)
		return r;
	env_linux_run(set->slots[0].r.env);
	io_reactors_join(set);
	return 0;
}

void io_reactors_stop(struct io_reactors *set)
{
	/* the first one last: it may be the caller's, or wait for the others */
	for (unsigned i = set->n; i-- > 0;)
		env_linux_stop(set->slots[i].r.env);
}

void io_reactors_join(struct io_reactors *set)
{
	for (unsigned i = 0; i < set->n; i++) {
		if (!set->slots[i].started)
			continue;
		pthread_join(set->slots[i].thread, NULL);
		set->slots[i].started = false;
	}
}

void io_reactors_free(struct io_reactors *set)
{
	if (!set)
		return;
	for (unsigned i = 0; i < set->n; i++) {
		weft_assert(!set->slots[i].started);
		env_linux_free(set->slots[i].r.env);
	}
	free(set);
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

void io_tell(struct env *env, env_fn *fn, void *arg)
{
	struct message *m = NEW(struct message);

	m->task = (struct env_task){ .fn = deliver, .arg = m };
	m->fn = fn;
	m->arg = arg;
	env_post(env, &m->task);
}
