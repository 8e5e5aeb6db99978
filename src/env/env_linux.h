/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The environment of real programs: one reactor per env, on one io_uring.
 *
 * The env belongs to the thread that first runs it. Others may create it, start operations before that, and call env_post and
 * env_linux_stop at any time. Needs Linux 5.13; 6.1 and newer make it cheaper.
 */
#ifndef WEFT_ENV_ENV_LINUX_H
#define WEFT_ENV_ENV_LINUX_H

#include "env/env.h"

struct io_uring;
struct io_uring_sqe;

struct env_linux_params {
	unsigned entries;      /* submission queue, 0: 256 */
	unsigned work_threads; /* at most so many threads run env_work, 0: 4. They start when needed and end when idle */
	unsigned spin_us;      /* poll for so long before sleeping: latency for CPU time, where cores are idle. 0: none */
	bool sqe128;           /* 128-byte submission entries, for IORING_OP_URING_CMD on /dev/fuse */
};

/* p may be NULL: defaults. Errors: -EPERM or -ENOSYS when the system refuses io_uring (env_linux_strerror says what to do). */
int env_linux_new(const struct env_linux_params *p, struct env **ret) must_check;
/* What an error of env_linux_new means, as a sentence for the administrator. */
/* Lets the process have as many open files as its hard limit allows: connections are files. */
void env_linux_raise_limits(void);
const char *env_linux_strerror(int err);

/* Runs until env_linux_stop. May be called again. */
void env_linux_run(struct env *env);
/* One round: sends what is queued, waits for something to happen if wait is set and nothing is due, handles it. Returns whether
 * anything was handled. */
bool env_linux_run_once(struct env *env, bool wait);
/* Makes env_linux_run return after the present round; when it is not running, the next call returns at once. Any
 * thread; the env must not be freed before it has returned. */
void env_linux_stop(struct env *env);
/*
 * On the thread that ran the env, or when that thread has ended. Connections and listeners left are closed, operations in
 * flight are cancelled and waited for; no callbacks are called for them. Files must have been closed before.
 */
void env_linux_free(struct env *env);

/* ---- for code that drives file descriptors or the ring itself (the FUSE queue) ------------------------------------------- */

struct env_linux_poll;

/*
 * Watches fd for events (poll(2) bits) and calls fn with those seen. Edge-triggered: fn is called when something arrives, so it
 * must read until EAGAIN. fd must stay open until the watch is stopped. fn may stop it.
 */
struct env_linux_poll *env_linux_poll_fd(struct env *env, int fd, unsigned events, void (*fn)(void *arg, unsigned revents),
					 void *arg);
/* fn is not called any more. NULL is fine. */
void env_linux_poll_stop(struct env_linux_poll *p);

/* One operation in the ring; its address is the user_data. Must stay until the last completion: the one without
 * IORING_CQE_F_MORE in flags. */
struct env_linux_op {
	void (*complete)(struct env_linux_op *op, int res, unsigned flags);
};

/* A free submission entry, for any io_uring_prep_ function; it goes to the kernel with this round's others. op may be NULL (the
 * result is then dropped). Set the entry up before calling anything else of the env. */
struct io_uring_sqe *env_linux_sqe(struct env *env, struct env_linux_op *op);
/* Asks the kernel to cancel; complete is called as usual, with -ECANCELED if that succeeded. */
void env_linux_cancel(struct env *env, struct env_linux_op *op);
struct io_uring *env_linux_ring(struct env *env);
/* env_linux_free will not wait for n of the operations in flight: they end after their program. Their memory must stay. */
void env_linux_abandon(struct env *env, size_t n);

/* One asynchronous read(2) of a descriptor that is no regular file, such as /dev/fuse. Caller-owned, with buf, until done. */
struct env_linux_read {
	struct env_linux_op op; /* private */
	void (*done)(struct env_linux_read *r, ssize_t n); /* bytes, 0 at the end, or -errno */
	void *arg;
};

void env_linux_read_fd(struct env *env, int fd, void *buf, size_t len, struct env_linux_read *r);

#endif
