/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "io/reactor.h"

#include <pthread.h>
#include <sched.h>

/* A reactor's life; no one goes on before all others are there, so that a post never meets an env that is gone. */
enum phase { STARTING, RUNNING, STOPPED, DONE };

struct slot {
	struct io_reactor r;
	struct io_reactors *set;
	pthread_t thread;
};

struct io_reactors {
	struct io_reactors_params params;
	char name[11];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned arrived[DONE + 1]; /* under lock: threads that reached the phase */
	unsigned threads;           /* under lock: how many there are to wait for */
	bool counted;               /* under lock: threads is final */
	bool released;              /* under lock: who stops them touches no env any more */
	int err;                    /* under lock: the first error */
	struct slot slots[];
};

/* Returns when all threads have arrived. */
static void arrive(struct io_reactors *set, enum phase phase)
{
	pthread_mutex_lock(&set->lock);
	set->arrived[phase]++;
	pthread_cond_broadcast(&set->changed);
	while (!set->counted || set->arrived[phase] < set->threads)
		pthread_cond_wait(&set->changed, &set->lock);
	pthread_mutex_unlock(&set->lock);
}

static void await_release(struct io_reactors *set)
{
	pthread_mutex_lock(&set->lock);
	while (!set->released)
		pthread_cond_wait(&set->changed, &set->lock);
	pthread_mutex_unlock(&set->lock);
}

static void set_error(struct io_reactors *set, int err)
{
	pthread_mutex_lock(&set->lock);
	if (!set->err)
		set->err = err;
	pthread_mutex_unlock(&set->lock);
}

static void pin(unsigned index)
{
	cpu_set_t may, one;
	unsigned k;
	int n;

	if (sched_getaffinity(0, sizeof(may), &may) < 0)
		return;
	n = CPU_COUNT(&may);
	k = n > 0 ? index % (unsigned)n : 0;
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &may) || k--)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		(void)sched_setaffinity(0, sizeof(one), &one); /* only for speed */
		return;
	}
}

static void *reactor_main(void *arg)
{
	struct slot *s = arg;
	struct io_reactors *set = s->set;
	const struct io_reactors_params *p = &set->params;
	int r;

	if (p->pin)
		pin(s->r.index);
	r = env_linux_new(&p->env, &s->r.env);
	if (!r) {
		s->r.pool = io_pool_new(s->r.env, p->pool_max);
		r = p->init ? p->init(p->arg, &s->r) : 0;
	}
	if (r < 0)
		set_error(set, r);
	arrive(set, STARTING);
	/* nobody changes err any more */
	if (!set->err) {
		arrive(set, RUNNING);
		env_linux_run(s->r.env);
	}
	arrive(set, STOPPED);
	if (!r && p->done)
		p->done(p->arg, &s->r);
	arrive(set, DONE);
	await_release(set);
	io_pool_free(s->r.pool);
	env_linux_free(s->r.env);
	return NULL;
}

static void set_free(struct io_reactors *set)
{
	pthread_mutex_lock(&set->lock);
	set->released = true;
	pthread_cond_broadcast(&set->changed);
	pthread_mutex_unlock(&set->lock);
	for (unsigned i = 0; i < set->threads; i++)
		pthread_join(set->slots[i].thread, NULL);
	pthread_mutex_destroy(&set->lock);
	pthread_cond_destroy(&set->changed);
	free(set);
}

static void start_threads(struct io_reactors *set)
{
	unsigned n;
	int r = 0;

	for (n = 0; n < set->params.n && !r; n++) {
		char name[16];

		set->slots[n].set = set;
		set->slots[n].r.index = n;
		r = -pthread_create(&set->slots[n].thread, NULL, reactor_main, &set->slots[n]);
		if (r)
			break;
		snprintf(name, sizeof(name), "%s-%u", set->name, n % 1000);
		(void)pthread_setname_np(set->slots[n].thread, name);
	}
	pthread_mutex_lock(&set->lock);
	set->threads = n;
	set->counted = true;
	if (r && !set->err)
		set->err = r;
	pthread_cond_broadcast(&set->changed);
	while (set->arrived[STARTING] < n)
		pthread_cond_wait(&set->changed, &set->lock);
	pthread_mutex_unlock(&set->lock);
}

int io_reactors_start(const struct io_reactors_params *p, struct io_reactors **ret)
{
	struct io_reactors *set;
	int err;

	weft_assert(p->n > 0);
	set = xcalloc(1, sizeof(*set) + p->n * sizeof(set->slots[0]));
	set->params = *p;
	(void)str_copy(set->name, sizeof(set->name), p->name ? p->name : "weft-io");
	pthread_mutex_init(&set->lock, NULL);
	pthread_cond_init(&set->changed, NULL);
	start_threads(set);
	err = set->err;
	if (err) {
		set_free(set);
		return err;
	}
	*ret = set;
	return 0;
}

void io_reactors_stop(struct io_reactors *set)
{
	if (!set)
		return;
	for (unsigned i = 0; i < set->threads; i++)
		env_linux_stop(set->slots[i].r.env);
	set_free(set);
}

unsigned io_reactors_count(const struct io_reactors *set) { return set->threads; }

struct io_reactor *io_reactors_get(struct io_reactors *set, unsigned i)
{
	weft_assert(i < set->threads);
	return &set->slots[i].r;
}

struct call {
	env_fn *fn;
	void *arg;
	struct env_task task;
	pthread_mutex_t lock;
	pthread_cond_t returned;
	bool done;
};

static void call_run(void *arg)
{
	struct call *c = arg;

	c->fn(c->arg);
	pthread_mutex_lock(&c->lock);
	c->done = true;
	pthread_cond_signal(&c->returned);
	pthread_mutex_unlock(&c->lock);
}

void io_reactor_call(struct io_reactor *r, env_fn *fn, void *arg)
{
	struct call c = { .fn = fn, .arg = arg, .lock = PTHREAD_MUTEX_INITIALIZER, .returned = PTHREAD_COND_INITIALIZER };

	c.task = (struct env_task){ .fn = call_run, .arg = &c };
	env_post(r->env, &c.task);
	pthread_mutex_lock(&c.lock);
	while (!c.done)
		pthread_cond_wait(&c.returned, &c.lock);
	pthread_mutex_unlock(&c.lock);
}
