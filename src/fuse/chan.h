/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The transport between the kernel's FUSE and libfuse's low-level API: one channel per reactor, on a clone of /dev/fuse, so that a
 * request is read, handled and answered by one thread. Features that this libfuse does not know are asked for by editing the INIT
 * reply, and flags that it hides are read from the raw request.
 *
 * Threads: a channel belongs to its reactor; a request must be replied to on the thread that read it.
 */
#ifndef WEFT_FUSE_CHAN_H
#define WEFT_FUSE_CHAN_H

#include <fuse_lowlevel.h>

#include "base/base.h"
#include "env/env.h"

struct chan;
struct chan_buf;

struct chan_params {
	struct env *env; /* env_linux */
	struct fuse_session *session;
	bool clone; /* false: the session's own descriptor, for the first channel */
	/* The kernel side is gone: unmounted or aborted. */
	void (*ended)(void *arg);
	void *arg;
};

/* To be called once, after fuse_session_mount and before the first chan_new. */
int chan_setup_session(struct fuse_session *session) must_check;
int chan_new(const struct chan_params *p, struct chan **ret) must_check;
void chan_free(struct chan *c);

/* ---- inside a libfuse operation: about the request being handled -------------------------------------------------------------- */

/* Keeps the memory of the request (a WRITE's payload) after the operation returns, until chan_buf_put on the same thread. */
struct chan_buf *chan_buf_keep(void);
void chan_buf_put(struct chan_buf *b);
/* size <= 1 MiB bytes in it for the reply, page-aligned, behind a request of at most 4 KiB. */
void *chan_buf_room(struct chan_buf *b, size_t size);
/* WRITE: set-user-id and set-group-id must go. */
bool chan_write_kills_suid(void);
/* OPEN, CREATE: the same for the truncation. */
bool chan_open_kills_suid(void);
/* SETATTR: the same for a change of size. */
bool chan_setattr_kills_suid(void);

/* The OPEN or CREATE reply that follows at once on this thread carries FOPEN_PARALLEL_DIRECT_WRITES. */
void chan_next_open_is_parallel(void);

/* Kernel features agreed on, for `weft status`: FUSE_* bits as in linux/fuse.h, flags2 in the upper half. */
uint64_t chan_features(void);

#endif
