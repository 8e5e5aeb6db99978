/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the files of env_linux share. */
#ifndef WEFT_ENV_LINUX_PRIV_H
#define WEFT_ENV_LINUX_PRIV_H

#include <liburing.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "env/conn_guard.h"
#include "env/env_linux.h"
#include "env/timers.h"

struct work_pool;

struct env_linux {
	struct env env;
	struct io_uring ring;
	struct env_linux_params params;
	unsigned ring_flags;    /* IORING_SETUP_ that the kernel took */
	unsigned enter_flags;   /* added to each io_uring_enter */
	bool enabled;           /* the ring is bound to its thread */
	pid_t owner;            /* that thread */
	bool freeing;           /* completions are collected, callbacks not called */
	size_t inflight;        /* operations with a completion to come */
	size_t abandoned;       /* those of them that are not waited for at the end */
	struct timers timers;
	struct env_task *tasks; /* posted by this thread */
	struct env_task **tasks_end;
	struct list dirty;      /* connections with something to send */
	struct list ready;      /* connections with more to receive */
	struct list canceled;   /* sends of closed connections */
	struct list conns;      /* all of them */
	struct list listeners;
	struct list polls;
	struct work_pool *pool;
	uint64_t last_event_ns; /* with spin_us */

	/* written by other threads */
	_Atomic(struct env_task *) posted; /* a stack */
	atomic_bool asleep;
	atomic_bool stop;
	int wake_fd;
	struct env_linux_poll *wake_poll;
};

static inline struct env_linux *env_linux(struct env *env) { return container_of(env, struct env_linux, env); }

/* ---- linux_ring.c -------------------------------------------------------------------------------------------------------- */

int ring_init(struct env_linux *el) must_check;
/* Submits what is queued and, with wait, sleeps until a completion or deadline_ns (UINT64_MAX: no limit). */
void ring_enter(struct env_linux *el, bool wait, uint64_t deadline_ns);
/* Handles the completions that are there; returns how many. */
unsigned ring_reap(struct env_linux *el);
/* Cancels everything, waits for it, gives the ring back. */
void ring_done(struct env_linux *el);
/* As env_linux_poll_fd; once: a single event, and the watch is gone when fn is called. */
struct env_linux_poll *ring_poll(struct env_linux *el, int fd, unsigned events, bool once,
				 void (*fn)(void *arg, unsigned revents), void *arg);

/* ---- linux_work.c -------------------------------------------------------------------------------------------------------- */

void work_start(struct env *env, struct env_work *w);
/* Work that runs is waited for; done is not called. */
void work_pool_free(struct work_pool *p);

/* ---- linux_files.c ------------------------------------------------------------------------------------------------------- */

int linux_file_open(struct env *env, const char *path, int flags, unsigned mode, struct env_file **ret);
void linux_file_close(struct env *env, struct env_file *f);
int linux_file_stat(struct env *env, struct env_file *f, struct env_stat *ret);
int linux_file_truncate(struct env *env, struct env_file *f, uint64_t size);
int linux_file_seek(struct env *env, struct env_file *f, uint64_t offset, bool hole, uint64_t *ret);
void linux_file_io(struct env *env, struct env_io *io);
int linux_path_unlink(struct env *env, const char *path);
int linux_path_rename(struct env *env, const char *from, const char *to);
int linux_path_mkdir(struct env *env, const char *path, unsigned mode);
int linux_dir_list(struct env *env, const char *path, int (*fn)(void *arg, const char *name), void *arg);
int linux_dir_sync(struct env *env, const char *path);
int linux_fs_space(struct env *env, const char *path, uint64_t *total, uint64_t *free, uint64_t *inodes, uint64_t *inodes_free);

/* ---- linux_addr.c -------------------------------------------------------------------------------------------------------- */

#define ADDR_TEXT_MAX 160u /* "unix:" and 108 bytes of path, or "tcp:[v6%scope]:port" */
#define ADDR_RESOLVED_MAX 4u

struct sock_addr {
	struct sockaddr_storage ss;
	socklen_t len;
};

/* Whether text is an address at all; host, if not NULL, tells whether it needs name resolution. -EINVAL. */
int addr_check(const char *text, bool *name) must_check;
/* Fills up to max addresses, in order of preference; returns how many. Blocks if addr_check said that there is a name.
 * -EINVAL, -EHOSTUNREACH (no such host, or no answer). */
int addr_resolve(const char *text, bool passive, struct sock_addr *ret, int max) must_check;
void addr_format(const struct sock_addr *a, char *text, size_t size);

/* ---- linux_streams.c, linux_connect.c ------------------------------------------------------------------------------------ */

struct connecting;

struct env_conn {
	struct env_linux *el;      /* NULL while detached */
	int fd;
	bool up;                   /* connected */
	bool readable;             /* bytes, or the end, are there to be received */
	bool hup;                  /* the end of the stream, or an error, is among them */
	bool paused;
	struct env_conn_handler h;
	bool started;
	void *arg;
	struct list sends;
	size_t queued;             /* bytes of sends not yet taken */
	size_t head_sent;          /* bytes taken of the first one */
	struct env_linux_poll *in, *out;
	struct connecting *connecting;
	struct conn_guard *guard;  /* calls on the stack that use this connection */
	struct list node, dirty_node, ready_node;
	char *peer;
};

/* A connection on the socket fd; takes over peer. */
struct env_conn *linux_conn_new(struct env_linux *el, int fd, char *peer);
/* Connected: receiving and sending begin. */
void conn_up(struct env_conn *c);
/* Connected or not, it is over: tells the sends and the handler. */
void conn_fail(struct env_conn *c, int err);
void conn_set_socket_options(int fd, int family);
void conn_flush(struct env_conn *c);
void conn_input(struct env_conn *c);
/* The connection was closed while it was being set up. */
void connecting_abandon(struct connecting *g);

void linux_conn_start(struct env *env, struct env_conn *c, const struct env_conn_handler *h, void *arg);
void linux_conn_detach(struct env_conn *c);
void linux_conn_resume(struct env_conn *c);
void linux_conn_send(struct env_conn *c, struct env_send *s);
size_t linux_conn_queued(struct env_conn *c);
const char *linux_conn_peer(struct env_conn *c);
void linux_conn_close(struct env_conn *c);
int linux_connect(struct env *env, const char *addr, const struct env_conn_handler *h, void *arg, struct env_conn **ret);
int linux_listen(struct env *env, const char *addr, void (*accepted)(void *arg, struct env_conn *c), void *arg,
		 struct env_listener **ret);
const char *linux_listener_addr(struct env_listener *l);
void linux_listener_close(struct env_listener *l);
/* Closes the listeners of el. */
void listeners_done(struct env_linux *el);

#endif
