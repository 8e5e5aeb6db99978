/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The helper threads of env_work: started when work finds none idle, ended when they have been idle for a while. */
#include <pthread.h>
#include <time.h>

#include "env/linux_priv.h"

#define WORK_THREADS 4u
#define WORK_THREADS_MAX 64u
#define WORK_IDLE_SEC 5
#define WORK_STACK (512u << 10)

struct work_pool {
	pthread_mutex_t lock;
	pthread_cond_t more, ended;
	/* under lock */
	struct env_work *first, **last;
	unsigned queued, idle, threads, max;
	bool stopping;
};

static struct work_pool *pool_new(unsigned max)
{
	struct work_pool *p = NEW(struct work_pool);
	pthread_condattr_t attr;

	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->more, &attr);
	pthread_cond_init(&p->ended, &attr);
	pthread_condattr_destroy(&attr);
	p->last = &p->first;
	p->max = max ? MIN(max, WORK_THREADS_MAX) : WORK_THREADS;
	return p;
}

/* Under lock. NULL: there was nothing to do for a while. */
static struct env_work *next_work(struct work_pool *p)
{
	struct env_work *w;
	struct timespec end;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += WORK_IDLE_SEC;
	p->idle++;
	while (!p->first && !p->stopping && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&p->more, &p->lock, &end);
	p->idle--;
	w = p->stopping ? NULL : p->first;
	if (w) {
		p->first = w->next;
		if (!p->first)
			p->last = &p->first;
		p->queued--;
	}
	return w;
}

static void *work_thread(void *arg)
{
	struct work_pool *p = arg;
	struct env_work *w;

	pthread_mutex_lock(&p->lock);
	while ((w = next_work(p))) {
		pthread_mutex_unlock(&p->lock);
		w->run(w->arg);
		env_post(w->env, &w->task);
		pthread_mutex_lock(&p->lock);
	}
	p->threads--;
	pthread_cond_signal(&p->ended);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Under lock. */
static int thread_start(struct work_pool *p)
{
	pthread_attr_t attr;
	pthread_t id;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WORK_STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&id, &attr, work_thread, p);
	pthread_attr_destroy(&attr);
	if (!r) {
		pthread_setname_np(id, "weft-work");
		p->threads++;
	}
	return -r;
}

void work_start(struct env *env, struct env_work *w)
{
	struct env_linux *el = env_linux(env);
	struct work_pool *p;
	bool inline_run = false;

	if (!el->pool)
		el->pool = pool_new(el->params.work_threads);
	p = el->pool;
	w->env = env;
	w->task = (struct env_task){ .fn = w->done, .arg = w->arg };
	w->next = NULL;
	pthread_mutex_lock(&p->lock);
	if (p->queued >= p->idle && p->threads < p->max && thread_start(p) < 0 && !p->threads) {
		inline_run = true; /* no thread to be had at all: slow is better than never */
	} else {
		*p->last = w;
		p->last = &w->next;
		p->queued++;
		pthread_cond_signal(&p->more);
	}
	pthread_mutex_unlock(&p->lock);
	if (inline_run) {
		w->run(w->arg);
		env_post(env, &w->task);
	}
}

void work_pool_free(struct work_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->more);
	while (p->threads)
		pthread_cond_wait(&p->ended, &p->lock);
	pthread_mutex_unlock(&p->lock);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->more);
	pthread_cond_destroy(&p->ended);
	free(p);
}
