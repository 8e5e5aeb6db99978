/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The transport between the kernel's FUSE and libfuse's low-level API: one channel per reactor, so that a request is received,
 * handled and answered by one thread. Two kinds:
 *
 *	classic	each channel reads and writes a clone of /dev/fuse (chan_dev.c)
 *	uring	requests come and go through the reactor's own io_uring, in queues by the CPU that the caller runs on (chan_ring.c);
 *		one channel also reads /dev/fuse, where FORGET and INTERRUPT still arrive. Linux 6.14
 *
 * Features that this libfuse does not know are asked for by editing the INIT reply, and flags that it hides are read from the
 * raw request.
 *
 * Threads: a channel belongs to its reactor; a request must be replied to on the thread that received it.
 */
#ifndef WEFT_FUSE_CHAN_H
#define WEFT_FUSE_CHAN_H

#include <fuse_lowlevel.h>

#include "base/base.h"
#include "env/env.h"

struct chan;
struct chan_buf;

enum chan_transport { CHAN_AUTO, CHAN_CLASSIC, CHAN_URING };

struct chan_params {
	struct env *env; /* env_linux; for uring made with sqe128 */
	struct fuse_session *session;
	bool device; /* reads /dev/fuse: with uring one channel, else all */
	bool clone;  /* through a clone of the session's descriptor; false for the first channel */
	const unsigned *queues; /* uring: the kernel's queues (CPU numbers) that this channel serves */
	unsigned queues_n;
	/* The kernel side is gone: unmounted or aborted. */
	void (*ended)(void *arg);
	void *arg;
};

/* Which transport to prepare for: never CHAN_AUTO. -EOPNOTSUPP: uring was asked for, and this kernel does not offer it. */
int chan_choose(enum chan_transport wish, enum chan_transport *ret) must_check;
/*
 * To be called once, after fuse_session_mount and before the first chan_new: answers the kernel's INIT. transport is what was
 * prepared for, and becomes what the kernel agreed to. After CHAN_URING every operation on the mount waits until channels for
 * all queues, 0 to cpus_possible() - 1, have been made.
 */
int chan_setup_session(struct fuse_session *session, enum chan_transport *transport) must_check;
/* On the thread of the channel's reactor, as chan_drain. */
int chan_new(const struct chan_params *p, struct chan **ret) must_check;
/* Runs the reactor until the kernel has given back what it had of this channel, which it does once the mount has ended; at most
 * for a second. Then chan_free may be called on any thread. NULL is fine, for chan_free as well. */
void chan_drain(struct chan *c);
void chan_free(struct chan *c);

/* ---- inside a libfuse operation: about the request being handled ------------------------------------------------ */

/* Keeps the memory of the request (a WRITE's payload) after the operation returns, until chan_buf_put on the same thread, which
 * must come after the reply. */
struct chan_buf *chan_buf_keep(void);
void chan_buf_put(struct chan_buf *b);
/* size <= 1 MiB bytes in it for the reply, page-aligned. Only for operations that carry neither names nor data: READ, READDIR. A
 * reply of bytes from its start is not copied on its way to the kernel. */
void *chan_buf_room(struct chan_buf *b, size_t size);
/* WRITE: set-user-id and set-group-id must go. */
bool chan_write_kills_suid(void);
/* OPEN, CREATE: the same for the truncation. */
bool chan_open_kills_suid(void);
/* SETATTR: the same for a change of size. */
bool chan_setattr_kills_suid(void);

/* The OPEN or CREATE reply that follows at once on this thread carries FOPEN_PARALLEL_DIRECT_WRITES. */
void chan_next_open_is_parallel(void);

/*
 * What the kernel may drop of what it was told; in effect when they return. Any thread, also while nothing is mounted. Names: of all
 * directories; takes no lock. Attributes: does not wait either. Data: waits for requests that read or write these pages.
 */
void chan_inval_names(void);
void chan_inval_attr(fuse_ino_t ino);
void chan_inval_data(fuse_ino_t ino);

/* Kernel features agreed on, for `weft status`: FUSE_* bits as in linux/fuse.h, flags2 in the upper half. */
uint64_t chan_features(void);

#endif
