/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Calls between application threads and reactors, and completion queues. */
#include "client/lib/lib_priv.h"

#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { RUNNING, DONE, ASLEEP };

static void futex(atomic_uint *p, int op, unsigned v)
{
	/* Spurious returns are fine: the caller looks again. */
	(void)syscall(SYS_futex, p, op, v, NULL, NULL, 0);
}

/* Each thread stays with one reactor: its calls keep their order, and the load spreads. */
static unsigned my_reactor(const struct lib_mount *m)
{
	static atomic_uint threads;
	static _Thread_local unsigned mine;

	if (!mine)
		mine = atomic_fetch_add(&threads, 1) + 1;
	return mine % m->reactors;
}

static void wcall_start(void *arg)
{
	struct wcall *w = arg;

	w->start(w);
}

void wcall_init(struct wcall *w, struct lib_mount *m, const struct client_cred *cred, wcall_fn *start)
{
	memset(w, 0, sizeof(*w));
	w->mount = m;
	w->start = start;
	if (cred)
		w->cred = *cred;
}

static void wcall_post(struct wcall *w, struct io_reactor *r)
{
	w->c = r->priv;
	w->task.fn = wcall_start;
	w->task.arg = w;
	env_post(r->env, &w->task);
}

static struct io_reactor *pick_reactor(const struct wcall *w)
{
	return io_reactors_get(w->mount->set, my_reactor(w->mount));
}

ssize_t wcall_run_on(struct wcall *w, struct io_reactor *r)
{
	unsigned v = RUNNING;

	wcall_post(w, r);
	atomic_compare_exchange_strong(&w->state, &v, ASLEEP);
	while (atomic_load_explicit(&w->state, memory_order_acquire) != DONE)
		futex(&w->state, FUTEX_WAIT_PRIVATE, ASLEEP);
	free(w->walk.heap);
	free(w->walk2.heap);
	return w->result;
}

ssize_t wcall_run(struct wcall *w)
{
	return wcall_run_on(w, pick_reactor(w));
}

static const char *copy_path(struct wcall *w, unsigned i, const char *path)
{
	w->paths[i] = path ? xstrdup(path) : NULL;
	return w->paths[i];
}

int wcall_async(const struct wcall *from, const struct weft_async *a)
{
	struct wcall *w;

	if (!a || (!a->fn && !a->cq))
		return -EINVAL;
	w = xmalloc(sizeof(*w));
	*w = *from;
	w->heap = true;
	w->async = *a;
	w->walk.rest = copy_path(w, 0, from->walk.rest);
	w->walk2.rest = copy_path(w, 1, from->walk2.rest);
	if (from->iov == &from->one)
		w->iov = &w->one;
	wcall_post(w, pick_reactor(w));
	return 0;
}

void wcall_done(struct wcall *w, ssize_t result)
{
	if (!w->heap) {
		w->result = result;
		/* The caller's stack may be gone as soon as it sees DONE; waking an address that nobody sleeps on is harmless. */
		if (atomic_exchange_explicit(&w->state, DONE, memory_order_acq_rel) == ASLEEP)
			futex(&w->state, FUTEX_WAKE_PRIVATE, 1);
		return;
	}
	if (w->async.fn)
		w->async.fn(w->async.arg, result);
	else
		cq_push(w->async.cq, w->async.arg, result);
	free(w->walk.heap);
	free(w->walk2.heap);
	free(w->paths[0]);
	free(w->paths[1]);
	free(w);
}

void wcall_cb(void *arg, int err, const struct client_res *res)
{
	struct wcall *w = arg;

	w->result = err;
	if (w->take)
		w->take(w, err, res);
	wcall_done(w, w->result);
}

/* ---- completion queues ------------------------------------------------------------------------------------------- */

struct weft_cq {
	pthread_mutex_t lock;
	struct weft_event *ring; /* power of two */
	size_t cap, head, tail;
	int fd;
};

int weft_cq_new(struct weft *fs, struct weft_cq **ret)
{
	struct weft_cq *cq = NEW(struct weft_cq);

	(void)fs; /* queues are not bound to a mount */
	cq->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (cq->fd < 0) {
		int err = -errno;

		free(cq);
		return err;
	}
	pthread_mutex_init(&cq->lock, NULL);
	cq->cap = 256;
	cq->ring = xcalloc(cq->cap, sizeof(*cq->ring));
	*ret = cq;
	return 0;
}

void weft_cq_free(struct weft_cq *cq)
{
	if (!cq)
		return;
	close(cq->fd);
	pthread_mutex_destroy(&cq->lock);
	free(cq->ring);
	free(cq);
}

int weft_cq_fd(struct weft_cq *cq) { return cq->fd; }

static void cq_grow(struct weft_cq *cq)
{
	struct weft_event *ring = xcalloc(cq->cap * 2, sizeof(*ring));
	size_t i, n = cq->tail - cq->head;

	for (i = 0; i < n; i++)
		ring[i] = cq->ring[(cq->head + i) & (cq->cap - 1)];
	free(cq->ring);
	cq->ring = ring;
	cq->cap *= 2;
	cq->head = 0;
	cq->tail = n;
}

void cq_push(struct weft_cq *cq, void *arg, ssize_t result)
{
	bool first;

	pthread_mutex_lock(&cq->lock);
	if (cq->tail - cq->head == cq->cap)
		cq_grow(cq);
	first = cq->head == cq->tail;
	cq->ring[cq->tail++ & (cq->cap - 1)] = (struct weft_event){ arg, result };
	if (first)
		(void)eventfd_write(cq->fd, 1);
	pthread_mutex_unlock(&cq->lock);
}

int weft_cq_wait(struct weft_cq *cq, struct weft_event *ret, int max, int timeout_ms)
{
	struct pollfd p = { .fd = cq->fd, .events = POLLIN };
	eventfd_t v;
	int n = 0;

	for (;;) {
		pthread_mutex_lock(&cq->lock);
		while (n < max && cq->head != cq->tail)
			ret[n++] = cq->ring[cq->head++ & (cq->cap - 1)];
		if (cq->head == cq->tail)
			(void)eventfd_read(cq->fd, &v);
		pthread_mutex_unlock(&cq->lock);
		if (n || timeout_ms == 0)
			return n;
		if (poll(&p, 1, timeout_ms) < 0)
			return -errno;
		if (!(p.revents & POLLIN))
			return 0;
	}
}
