/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "env/linux_priv.h"

#include <poll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define RING_ENTRIES 256u
#define RING_ENTRIES_MAX 4096u
#define IO_WORKERS 64u
#define FREE_WAIT_NS (10 * NSEC_PER_SEC)

/* Newer than the liburing we build with. */
#define ENTER_NO_IOWAIT (1u << 7)
#define FEAT_NO_IOWAIT (1u << 17)
#define ASYNC_CANCEL_ALL_ANY (IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY)

struct env_linux_poll {
	struct env_linux_op op;
	struct list node; /* el->polls */
	struct env_linux *el;
	void (*fn)(void *arg, unsigned revents); /* NULL: stopped */
	void *arg;
	int fd;
	unsigned events;
	bool once;
	bool failed; /* fd cannot be polled */
};

/* ---- set-up -------------------------------------------------------------------------------------------------------------- */

/* The best first: what an older kernel does not know is left out in the next. */
static const unsigned setup_flags[] = {
	/* 6.1: completions are handled when we wait, not by interrupting us */
	IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_R_DISABLED |
		IORING_SETUP_SUBMIT_ALL,
	/* 5.19 */
	IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
	/* 5.13 */
	0,
};

int ring_init(struct env_linux *el)
{
	unsigned entries = el->params.entries ? MIN(el->params.entries, RING_ENTRIES_MAX) : RING_ENTRIES;
	struct io_uring_params p;
	int r = -EINVAL;

	for (size_t i = 0; i < ARRAY_SIZE(setup_flags) && r == -EINVAL; i++) {
		p = (struct io_uring_params){ .flags = setup_flags[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
					      .cq_entries = entries * 4 };
		if (el->params.sqe128)
			p.flags |= IORING_SETUP_SQE128;
		r = io_uring_queue_init_params(entries, &el->ring, &p);
		el->ring_flags = p.flags;
	}
	if (r < 0)
		return r;
	if (!(p.features & IORING_FEAT_EXT_ARG)) {
		io_uring_queue_exit(&el->ring);
		return -ENOSYS;
	}
	el->enter_flags = IORING_ENTER_EXT_ARG;
	if (p.features & FEAT_NO_IOWAIT)
		el->enter_flags |= ENTER_NO_IOWAIT; /* an idle reactor is no process that waits for a disk */
	/* entry i is always submitted from place i */
	for (unsigned i = 0; i < el->ring.sq.ring_entries; i++)
		el->ring.sq.array[i] = i;
	return 0;
}

/* Binds the ring to the calling thread. */
static void ring_enable(struct env_linux *el)
{
	unsigned workers[2] = { IO_WORKERS, 0 }; /* 0: as it is */
	int r;

	el->enabled = true;
	el->owner = gettid();
	if (el->ring_flags & IORING_SETUP_R_DISABLED) {
		/* liburing 2.3 declares a function for this, but does not export it */
		r = (int)syscall(__NR_io_uring_register, el->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
		weft_assert(r == 0);
	}
	/* Syncs wait for the disk, and many may share one commit: four to a processor, the kernel's choice, are few. */
	(void)syscall(__NR_io_uring_register, el->ring.ring_fd, IORING_REGISTER_IOWQ_MAX_WORKERS, workers, 2);
}

/* ---- submission ---------------------------------------------------------------------------------------------------------- */

static int enter(struct env_linux *el, unsigned min_complete, bool get_events, struct __kernel_timespec *ts)
{
	struct io_uring_getevents_arg arg = { .sigmask_sz = _NSIG / 8, .ts = (uintptr_t)ts };
	struct io_uring_sq *sq = &el->ring.sq;
	unsigned n, flags;
	long r;

	if (unlikely(!el->enabled))
		ring_enable(el);
	flags = el->enter_flags | (get_events || min_complete ? IORING_ENTER_GETEVENTS : 0);
	n = sq->sqe_tail - io_uring_smp_load_acquire(sq->khead);
	io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
	if (!n && !(flags & IORING_ENTER_GETEVENTS))
		return 0;
	if (!(flags & IORING_ENTER_GETEVENTS)) {
		flags &= ~IORING_ENTER_EXT_ARG;
		r = syscall(__NR_io_uring_enter, el->ring.ring_fd, n, 0, flags, NULL, _NSIG / 8);
	} else {
		r = syscall(__NR_io_uring_enter, el->ring.ring_fd, n, min_complete, flags, &arg, sizeof(arg));
	}
	return r < 0 ? -errno : (int)r;
}

static void enter_checked(struct env_linux *el, unsigned min_complete, bool get_events, struct __kernel_timespec *ts)
{
	int r = enter(el, min_complete, get_events, ts);

	/* out of time, a signal, or completions that must be taken first */
	if (likely(r >= 0) || r == -ETIME || r == -EINTR || r == -EBUSY || r == -EAGAIN)
		return;
	log_err("env", "io_uring_enter: %s", strerror(-r));
	weft_assert(!"io_uring_enter failed");
}

static unsigned cq_ready(struct env_linux *el) { return io_uring_cq_ready(&el->ring); }

static bool kernel_work(struct env_linux *el)
{
	if (!(el->ring_flags & IORING_SETUP_TASKRUN_FLAG))
		return true;
	return IO_URING_READ_ONCE(*el->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static bool must_submit(struct env_linux *el)
{
	return el->ring.sq.sqe_tail != IO_URING_READ_ONCE(*el->ring.sq.khead);
}

static void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Looks for completions without sleeping for as long as something happened recently. */
static void spin(struct env_linux *el, uint64_t now, uint64_t deadline_ns)
{
	uint64_t end = MIN(el->last_event_ns + el->params.spin_us * 1000ull, deadline_ns);

	while (now < end && !cq_ready(el) && !kernel_work(el) && !atomic_load_explicit(&el->posted, memory_order_relaxed)) {
		for (unsigned i = 0; i < 64; i++)
			cpu_relax();
		now = env_mono_ns(&el->env);
	}
}

void ring_enter(struct env_linux *el, bool wait, uint64_t deadline_ns)
{
	struct __kernel_timespec ts;
	uint64_t now;

	if (cq_ready(el))
		wait = false;
	if (!wait) {
		if (!el->enabled || must_submit(el) || kernel_work(el))
			enter_checked(el, 0, true, NULL);
		return;
	}
	now = deadline_ns == UINT64_MAX && !el->params.spin_us ? 0 : env_mono_ns(&el->env);
	if (el->params.spin_us && (el->ring_flags & IORING_SETUP_TASKRUN_FLAG)) {
		enter_checked(el, 0, true, NULL);
		spin(el, now, deadline_ns);
	}
	/* Pairs with env_post: either the poster sees that we sleep, or we see what it posted. */
	atomic_store(&el->asleep, true);
	if (atomic_load(&el->posted) || atomic_load(&el->stop) || cq_ready(el)) {
		enter_checked(el, 0, true, NULL);
	} else if (deadline_ns == UINT64_MAX) {
		enter_checked(el, 1, true, NULL);
	} else if (deadline_ns > now) {
		ts.tv_sec = (int64_t)((deadline_ns - now) / NSEC_PER_SEC);
		ts.tv_nsec = (long long)((deadline_ns - now) % NSEC_PER_SEC);
		enter_checked(el, 1, true, &ts);
	} else {
		enter_checked(el, 0, true, NULL);
	}
	atomic_store_explicit(&el->asleep, false, memory_order_relaxed);
}

struct io_uring *env_linux_ring(struct env *env) { return &env_linux(env)->ring; }
void env_linux_abandon(struct env *env, size_t n) { env_linux(env)->abandoned += n; }

struct io_uring_sqe *env_linux_sqe(struct env *env, struct env_linux_op *op)
{
	struct env_linux *el = env_linux(env);
	struct io_uring_sqe *sqe = io_uring_get_sqe(&el->ring);

	while (unlikely(!sqe)) {
		enter_checked(el, 0, false, NULL);
		sqe = io_uring_get_sqe(&el->ring);
	}
	/* io_uring_prep_ functions leave user_data alone */
	sqe->user_data = (uintptr_t)op;
	if (op)
		el->inflight++;
	return sqe;
}

void env_linux_cancel(struct env *env, struct env_linux_op *op)
{
	struct io_uring_sqe *sqe = env_linux_sqe(env, NULL);

	io_uring_prep_cancel(sqe, op, 0);
}

/* ---- completion ---------------------------------------------------------------------------------------------------------- */

unsigned ring_reap(struct env_linux *el)
{
	unsigned n = cq_ready(el), head = *el->ring.cq.khead, mask = el->ring.cq.ring_mask;

	for (unsigned i = 0; i < n; i++) {
		struct io_uring_cqe *cqe = &el->ring.cq.cqes[(head + i) & mask];
		struct env_linux_op *op = (struct env_linux_op *)(uintptr_t)cqe->user_data;

		if (!op)
			continue;
		if (!(cqe->flags & IORING_CQE_F_MORE))
			el->inflight--;
		op->complete(op, cqe->res, cqe->flags);
	}
	if (n)
		io_uring_cq_advance(&el->ring, n);
	return n;
}

void ring_done(struct env_linux *el)
{
	struct __kernel_timespec ts = { .tv_nsec = 100 * (long long)NSEC_PER_MSEC };
	uint64_t end = env_mono_ns(&el->env) + FREE_WAIT_NS;
	/* only its own thread may enter the ring; when that has ended the kernel has cancelled all it could */
	bool own = !el->enabled || el->owner == gettid();
	struct env_linux_poll *p;
	struct io_uring_sqe *sqe;

	if (own && el->inflight) {
		sqe = env_linux_sqe(&el->env, NULL);
		io_uring_prep_cancel64(sqe, 0, (int)ASYNC_CANCEL_ALL_ANY);
	}
	while (own && el->inflight > el->abandoned && env_mono_ns(&el->env) < end) {
		(void)enter(el, 1, true, &ts);
		ring_reap(el);
	}
	if (el->inflight)
		log_debug("env", "%zu operations in flight at the end", el->inflight);
	io_uring_queue_exit(&el->ring);
	while ((p = list_pop(&el->polls, struct env_linux_poll, node)))
		free(p);
}

/* ---- watching descriptors ------------------------------------------------------------------------------------------------ */

static void poll_submit(struct env_linux_poll *p)
{
	struct io_uring_sqe *sqe = env_linux_sqe(&p->el->env, &p->op);

	if (p->once)
		io_uring_prep_poll_add(sqe, p->fd, p->events);
	else
		io_uring_prep_poll_multishot(sqe, p->fd, p->events);
}

static void poll_free(struct env_linux_poll *p)
{
	list_del(&p->node);
	free(p);
}

static void poll_complete(struct env_linux_op *op, int res, unsigned flags)
{
	struct env_linux_poll *p = container_of(op, struct env_linux_poll, op);
	bool more = flags & IORING_CQE_F_MORE;
	void (*fn)(void *arg, unsigned revents) = p->fn;
	void *arg = p->arg;

	if (!fn || p->el->freeing) {
		if (!more)
			poll_free(p);
		return;
	}
	if (res < 0) {
		/* ended for the kernel's own reasons, such as a full completion queue: anything may have been missed */
		p->failed = res != -ECANCELED;
		res = (int)p->events;
	}
	if (p->once || (!more && p->failed)) {
		p->fn = NULL;
		if (p->once)
			poll_free(p);
	} else if (!more) {
		poll_submit(p);
	}
	fn(arg, (unsigned)res);
}

struct env_linux_poll *ring_poll(struct env_linux *el, int fd, unsigned events, bool once,
				 void (*fn)(void *arg, unsigned revents), void *arg)
{
	struct env_linux_poll *p = NEW(struct env_linux_poll);

	*p = (struct env_linux_poll){ .op = { .complete = poll_complete }, .el = el, .fn = fn, .arg = arg, .fd = fd,
				      .events = events, .once = once };
	list_append(&el->polls, &p->node);
	poll_submit(p);
	return p;
}

struct env_linux_poll *env_linux_poll_fd(struct env *env, int fd, unsigned events, void (*fn)(void *arg, unsigned revents),
					 void *arg)
{
	return ring_poll(env_linux(env), fd, events, false, fn, arg);
}

void env_linux_poll_stop(struct env_linux_poll *p)
{
	if (!p)
		return;
	p->fn = NULL;
	if (p->failed)
		poll_free(p); /* no completion will come any more */
	else
		env_linux_cancel(&p->el->env, &p->op);
}

/* ---- plain reads --------------------------------------------------------------------------------------------------------- */

static void read_complete(struct env_linux_op *op, int res, unsigned flags)
{
	struct env_linux_read *r = container_of(op, struct env_linux_read, op);

	r->done(r, res);
}

void env_linux_read_fd(struct env *env, int fd, void *buf, size_t len, struct env_linux_read *r)
{
	struct io_uring_sqe *sqe;

	r->op.complete = read_complete;
	sqe = env_linux_sqe(env, &r->op);
	io_uring_prep_read(sqe, fd, buf, (unsigned)MIN(len, (size_t)INT32_MAX), (uint64_t)-1);
}
