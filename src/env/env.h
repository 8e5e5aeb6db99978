/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The outside world as an ops struct: clock, random numbers, timers, tasks, disk and network.
 *
 * Every core (management, metadata, storage, client) is an event-driven state machine that reaches the world only through a
 * `struct env`. There is one env per reactor thread. env_linux.c implements it over io_uring; env_sim.c implements it in memory,
 * seeded and single-stepped, with crashes, partitions, lost messages and slow disks.
 *
 * Threads: an env, and everything made with it, belongs to its reactor thread. Only env_post() may be called from other threads.
 * Callbacks run on the reactor thread, never from inside the call that started the operation (so a caller may go on using its
 * state after starting one). No callback may block.
 *
 * Errors are negative errno values.
 */
#ifndef WEFT_ENV_ENV_H
#define WEFT_ENV_ENV_H

#include <sys/uio.h>

#include "base/base.h"
#include "base/list.h"

struct env;

typedef void env_fn(void *arg);

/* ---- timers and tasks ---------------------------------------------------------------------------------- */

/* Caller-owned; zero-initialised, then fn and arg set. Must be cancelled before its memory goes away. */
struct env_timer {
	env_fn *fn;
	void *arg;
	uint64_t deadline_ns; /* monotonic */
	size_t heap_index;    /* 0: not armed; otherwise private to the env */
};

/* Caller-owned, may be queued once at a time. */
struct env_task {
	env_fn *fn;
	void *arg;
	struct env_task *next; /* private */
};

/* Blocking work (an LMDB commit, a directory scan): run is called on a helper thread, must not touch reactor state that changes
 * meanwhile; done is called on the reactor afterwards. Caller-owned until done. */
struct env_work {
	env_fn *run;
	env_fn *done;
	void *arg;
	struct env *env;       /* private */
	struct env_task task;  /* private */
	struct env_work *next; /* private */
};

/* ---- disk ---------------------------------------------------------------------------------------------- */

struct env_file;

enum env_io_op {
	ENV_IO_READ,      /* iov, offset */
	ENV_IO_WRITE,     /* iov, offset */
	ENV_IO_FDATASYNC,
	ENV_IO_FALLOCATE, /* mode (fallocate(2)), offset, length */
};

enum { ENV_IO_DSYNC = 1 }; /* flags of ENV_IO_WRITE: durable when done, as RWF_DSYNC */

/* One asynchronous file operation. Caller-owned, with the iovec array and buffers, until done. result: bytes or 0, or -errno; a
 * short read means end of file; a write is whole or an error. Operations in flight on one file are not ordered. */
struct env_io {
	enum env_io_op op;
	uint32_t flags;
	struct env_file *file;
	struct iovec *iov; /* may be changed by the env */
	int iov_n;
	int mode;
	uint64_t offset, length;
	int64_t result;
	void (*done)(struct env_io *io);
	void *arg;
	void *priv[6]; /* private to the env */
};

struct env_stat {
	uint64_t size;    /* bytes */
	uint64_t blocks;  /* 512-byte units */
	uint64_t mtime_ns;
	bool is_dir;
};

/* ---- network ------------------------------------------------------------------------------------------- */

/* A connected byte stream and a listening endpoint. Addresses are text: "tcp:HOST:PORT", "tcp:[V6]:PORT", "unix:PATH";
 * port 0 lets the system choose. Simulated: "sim:HOST:PORT". */
struct env_conn;
struct env_listener;

/* Caller-owned until done is called, with its buffers (done is also called, with an error, when the connection closes). */
struct env_send {
	struct iovec iov[6];
	int iov_n;
	void (*done)(struct env_send *s, int err);
	void *arg;
	struct list node; /* private */
	size_t bytes;     /* private */
};

struct env_conn_handler {
	/* Outgoing connections only: err is 0 or why it failed; after an error the conn is gone. */
	void (*connected)(void *arg, int err);
	/* Where the next bytes go: sets *p and returns how many fit (> 0). Called before each receive; 0 pauses receiving until
	 * env_conn_resume. */
	size_t (*recv_space)(void *arg, void **p);
	/* n > 0 bytes were received into the space given last. */
	void (*received)(void *arg, size_t n);
	/* The connection is gone (err 0: the peer closed in order). Sends not yet done are done with an error first. The conn must
	 * not be used any more. Not called after env_conn_close. */
	void (*closed)(void *arg, int err);
};

/* ---- the ops ------------------------------------------------------------------------------------------- */

struct env_ops {
	const char *name;

	uint64_t (*mono_ns)(struct env *env);
	uint64_t (*wall_ns)(struct env *env);
	void (*random)(struct env *env, void *p, size_t len); /* cryptographic in env_linux, seeded in env_sim */

	void (*timer_arm)(struct env *env, struct env_timer *t, uint64_t deadline_ns); /* re-arms if armed */
	void (*timer_cancel)(struct env *env, struct env_timer *t);                    /* no-op when not armed */
	void (*post)(struct env *env, struct env_task *t);                             /* any thread */
	void (*work)(struct env *env, struct env_work *w);

	/* Directory operations and open are synchronous: short, and used when starting, or on objects' first touch. Paths are
	 * absolute, or relative to the process (sim: to the host's root). flags as open(2) (O_CREAT, O_EXCL, O_RDWR, O_DIRECT,
	 * O_TRUNC). In the simulated environment created names are durable only after dir_sync of the folder. */
	int (*file_open)(struct env *env, const char *path, int flags, unsigned mode, struct env_file **ret);
	void (*file_close)(struct env *env, struct env_file *f);
	int (*file_stat)(struct env *env, struct env_file *f, struct env_stat *ret);
	int (*file_truncate)(struct env *env, struct env_file *f, uint64_t size);
	int (*file_seek)(struct env *env, struct env_file *f, uint64_t offset, bool hole, uint64_t *ret); /* -ENXIO */
	void (*file_io)(struct env *env, struct env_io *io);
	int (*path_unlink)(struct env *env, const char *path);
	int (*path_rename)(struct env *env, const char *from, const char *to);
	int (*path_mkdir)(struct env *env, const char *path, unsigned mode);
	int (*dir_list)(struct env *env, const char *path, int (*fn)(void *arg, const char *name),
			void *arg); /* fn: nonzero stops */
	int (*dir_sync)(struct env *env, const char *path);
	int (*fs_space)(struct env *env, const char *path, uint64_t *total, uint64_t *free, uint64_t *inodes,
			uint64_t *inodes_free);

	int (*listen)(struct env *env, const char *addr, void (*accepted)(void *arg, struct env_conn *c), void *arg,
		      struct env_listener **ret);
	/* The address really bound, as text. */
	const char *(*listener_addr)(struct env_listener *l);
	void (*listener_close)(struct env_listener *l);
	/* Starts connecting; h->connected reports. Fails at once only for a malformed address. */
	int (*connect)(struct env *env, const char *addr, const struct env_conn_handler *h, void *arg, struct env_conn **ret);
	/* Accepted connections have no handler until this is called; receiving starts then. env may be another reactor's: the
	 * caller runs on that reactor's thread, and the connection was detached before. */
	void (*conn_start)(struct env *env, struct env_conn *c, const struct env_conn_handler *h, void *arg);
	/* Stops receiving and takes the connection off its reactor, so that conn_start can be called on another one's thread. Only
	 * allowed inside received() and with no send in flight. */
	void (*conn_detach)(struct env_conn *c);
	void (*conn_resume)(struct env_conn *c);
	void (*conn_send)(struct env_conn *c, struct env_send *s); /* sends go out in the order of the calls */
	size_t (*conn_queued)(struct env_conn *c);                 /* bytes not yet taken by the system */
	const char *(*conn_peer)(struct env_conn *c);              /* for messages */
	void (*conn_close)(struct env_conn *c);                    /* sends not yet done are done with -ECANCELED, later */
};

struct env {
	const struct env_ops *ops;
};

/* ---- convenience --------------------------------------------------------------------------------------- */

static inline uint64_t env_mono_ns(struct env *e) { return e->ops->mono_ns(e); }
static inline uint64_t env_wall_ns(struct env *e) { return e->ops->wall_ns(e); }
static inline void env_random(struct env *e, void *p, size_t len) { e->ops->random(e, p, len); }
static inline uint64_t env_random_u64(struct env *e)
{
	uint64_t v;

	env_random(e, &v, sizeof(v));
	return v;
}
static inline void env_timer_arm(struct env *e, struct env_timer *t, uint64_t deadline_ns)
{
	e->ops->timer_arm(e, t, deadline_ns);
}
static inline void env_timer_in(struct env *e, struct env_timer *t, uint64_t delay_ns)
{
	e->ops->timer_arm(e, t, env_mono_ns(e) + delay_ns);
}
static inline void env_timer_cancel(struct env *e, struct env_timer *t) { e->ops->timer_cancel(e, t); }
static inline bool env_timer_armed(const struct env_timer *t) { return t->heap_index != 0; }
static inline void env_post(struct env *e, struct env_task *t) { e->ops->post(e, t); }
static inline void env_work(struct env *e, struct env_work *w) { e->ops->work(e, w); }
static inline void env_file_io(struct env *e, struct env_io *io) { e->ops->file_io(e, io); }

#endif
