/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "env/env_linux.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "env/linux_priv.h"

/* The reactor that the thread is in, to tell own posts from others'. */
static _Thread_local struct env_linux *current;

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static uint64_t linux_mono_ns(struct env *env) { return clock_ns(CLOCK_MONOTONIC); }
static uint64_t linux_wall_ns(struct env *env) { return clock_ns(CLOCK_REALTIME); }

static void linux_random(struct env *env, void *p, size_t len)
{
	char *next = p;

	while (len) {
		ssize_t n = getrandom(next, len, 0);

		weft_assert(n > 0 || errno == EINTR);
		if (n < 0)
			continue;
		next += n;
		len -= (size_t)n;
	}
}

static void linux_timer_arm(struct env *env, struct env_timer *t, uint64_t deadline_ns)
{
	timers_arm(&env_linux(env)->timers, t, deadline_ns);
}

static void linux_timer_cancel(struct env *env, struct env_timer *t) { timers_cancel(&env_linux(env)->timers, t); }

static void wake(struct env_linux *el)
{
	/* only the first one to find it asleep pays for the system call */
	if (atomic_load(&el->asleep) && atomic_exchange(&el->asleep, false)) {
		ssize_t n = write(el->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));

		weft_assert(n == sizeof(uint64_t));
	}
}

static void linux_post(struct env *env, struct env_task *t)
{
	struct env_linux *el = env_linux(env);
	struct env_task *top;

	if (el == current) {
		t->next = NULL;
		*el->tasks_end = t;
		el->tasks_end = &t->next;
		return;
	}
	top = atomic_load_explicit(&el->posted, memory_order_relaxed);
	do {
		t->next = top;
	} while (!atomic_compare_exchange_weak(&el->posted, &top, t));
	wake(el);
}

static const struct env_ops linux_ops = {
	.name = "linux",
	.mono_ns = linux_mono_ns,
	.wall_ns = linux_wall_ns,
	.random = linux_random,
	.timer_arm = linux_timer_arm,
	.timer_cancel = linux_timer_cancel,
	.post = linux_post,
	.work = work_start,
	.file_open = linux_file_open,
	.file_close = linux_file_close,
	.file_stat = linux_file_stat,
	.file_truncate = linux_file_truncate,
	.file_seek = linux_file_seek,
	.file_io = linux_file_io,
	.path_unlink = linux_path_unlink,
	.path_rename = linux_path_rename,
	.path_mkdir = linux_path_mkdir,
	.dir_list = linux_dir_list,
	.dir_sync = linux_dir_sync,
	.fs_space = linux_fs_space,
	.listen = linux_listen,
	.listener_addr = linux_listener_addr,
	.listener_close = linux_listener_close,
	.connect = linux_connect,
	.conn_start = linux_conn_start,
	.conn_detach = linux_conn_detach,
	.conn_resume = linux_conn_resume,
	.conn_send = linux_conn_send,
	.conn_queued = linux_conn_queued,
	.conn_peer = linux_conn_peer,
	.conn_close = linux_conn_close,
};

/* The event counter is never read: each write is an edge, and it takes 2^64 of them to fill it. */
static void woken(void *arg, unsigned revents) { (void)arg; }

int env_linux_new(const struct env_linux_params *p, struct env **ret)
{
	struct env_linux *el = NEW(struct env_linux);
	int r;

	el->env.ops = &linux_ops;
	if (p)
		el->params = *p;
	el->tasks_end = &el->tasks;
	list_init(&el->dirty);
	list_init(&el->ready);
	list_init(&el->canceled);
	list_init(&el->conns);
	list_init(&el->listeners);
	list_init(&el->polls);
	el->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (el->wake_fd < 0) {
		r = -errno;
		free(el);
		return r;
	}
	r = ring_init(el);
	if (r < 0) {
		close(el->wake_fd);
		free(el);
		return r;
	}
	el->wake_poll = ring_poll(el, el->wake_fd, POLLIN, false, woken, NULL);
	*ret = &el->env;
	return 0;
}

void env_linux_raise_limits(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

const char *env_linux_strerror(int err)
{
	switch (-err) {
	case EPERM:
	case EACCES:
		return "io_uring is forbidden here: set kernel.io_uring_disabled to 0, or, in a container, allow the io_uring_* system "
		       "calls in its seccomp profile";
	case ENOSYS:
	case EINVAL:
		return "this kernel has no usable io_uring: Linux 5.13 or newer is needed; a container's seccomp profile may also hide "
		       "it";
	case ENOMEM:
		return "no memory for io_uring: raise the limit of locked memory (ulimit -l)";
	default:
		return strerror(-err);
	}
}

/* Runs the tasks that are there now, not those which they post. */
static bool run_tasks(struct env_linux *el)
{
	struct env_task *t, *stack, *list = NULL;
	struct env_task **end = el->tasks_end;

	stack = atomic_load_explicit(&el->posted, memory_order_relaxed) ? atomic_exchange(&el->posted, NULL) : NULL;
	while ((t = stack)) { /* the newest is on top */
		stack = t->next;
		t->next = list;
		list = t;
	}
	*end = list;
	list = el->tasks;
	el->tasks = NULL;
	el->tasks_end = &el->tasks;
	if (!list)
		return false;
	while ((t = list)) {
		list = t->next;
		t->fn(t->arg);
	}
	return true;
}

static bool run_timers(struct env_linux *el)
{
	size_t n = el->timers.count; /* a timer that is armed anew for the past does not keep us here */
	bool any = false;
	struct env_timer *t;
	uint64_t now;

	if (!n)
		return false;
	now = linux_mono_ns(&el->env);
	while (n-- && (t = timers_pop(&el->timers, now))) {
		t->fn(t->arg);
		any = true;
	}
	return any;
}

static bool run_ready(struct env_linux *el)
{
	struct list now;
	struct env_conn *c;
	bool any = false;

	list_init(&now);
	list_splice(&now, &el->ready);
	while ((c = list_pop(&now, struct env_conn, ready_node))) {
		conn_input(c);
		any = true;
	}
	return any;
}

static bool run_sends(struct env_linux *el)
{
	struct list now;
	struct env_conn *c;
	struct env_send *s;
	bool any = false;

	list_init(&now);
	list_splice(&now, &el->canceled);
	while ((s = list_pop(&now, struct env_send, node))) {
		if (s->done)
			s->done(s, -ECANCELED);
		any = true;
	}
	list_splice(&now, &el->dirty);
	while ((c = list_pop(&now, struct env_conn, dirty_node))) {
		conn_flush(c);
		any = true;
	}
	return any;
}

static bool idle(struct env_linux *el)
{
	return !el->tasks && list_empty(&el->ready) && list_empty(&el->dirty) && list_empty(&el->canceled) &&
	       !atomic_load_explicit(&el->stop, memory_order_relaxed);
}

bool env_linux_run_once(struct env *env, bool wait)
{
	struct env_linux *el = env_linux(env), *outer = current;
	bool any;

	current = el;
	any = run_sends(el); /* queued since the last round */
	ring_enter(el, wait && !any && idle(el), timers_next_ns(&el->timers));
	any |= ring_reap(el) > 0;
	any |= run_tasks(el);
	any |= run_timers(el);
	any |= run_ready(el);
	any |= run_sends(el);
	if (any && el->params.spin_us)
		el->last_event_ns = linux_mono_ns(env);
	current = outer;
	return any;
}

void env_linux_run(struct env *env)
{
	struct env_linux *el = env_linux(env);

	while (!atomic_load_explicit(&el->stop, memory_order_relaxed))
		(void)env_linux_run_once(env, true);
	atomic_store(&el->stop, false);
}

void env_linux_stop(struct env *env)
{
	struct env_linux *el = env_linux(env);

	atomic_store(&el->stop, true);
	wake(el);
}

void env_linux_free(struct env *env)
{
	struct env_linux *el;
	struct env_conn *c, *tmp;

	if (!env)
		return;
	el = env_linux(env);
	el->freeing = true;
	work_pool_free(el->pool);
	listeners_done(el);
	list_each_safe(c, tmp, &el->conns, node)
		linux_conn_close(c);
	env_linux_poll_stop(el->wake_poll);
	ring_done(el);
	close(el->wake_fd);
	timers_done(&el->timers);
	free(el);
}
