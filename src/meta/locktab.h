/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The locks of one metadata target: fcntl record locks, flock locks and append locks, by inode. Pure data structure: no I/O, no
 * clock; what is granted or refused is told through callbacks.
 *
 * Rules: fcntl(2), POSIX.1-2017 fcntl "advisory record locking"; flock(2).
 *  1. Locks of different kinds do not see each other.
 *  2. A POSIX lock of an owner replaces the owner's own locks in its range: split, shrunk and merged as needed.
 *  3. A flock or append lock is on the whole file; a new one of the same owner replaces it (conversion is not atomic: flock(2)).
 *  4. Waiters are served in order of arrival, so far as they do not conflict with locks held or with earlier waiters.
 *  5. Waiting that would close a cycle of owners (record locks only) is refused with -EDEADLK.
 *
 * An owner is (session, number); the session's end releases all of its locks.
 */
#ifndef WEFT_META_LOCKTAB_H
#define WEFT_META_LOCKTAB_H

#include "base/base.h"
#include "base/htab.h"
#include "base/list.h"
#include "weft_proto.h"

struct lock_owner {
	uint64_t session;
	uint64_t number;
};

struct lock_spec {
	uint8_t kind;       /* enum wp_lock_kind */
	uint8_t type;       /* enum wp_lock_type */
	struct lock_owner owner;
	uint64_t start, end; /* inclusive; flock and append: 0, UINT64_MAX */
	uint32_t pid;
};

/* A request that waits; caller-owned until done. err: 0 granted, -EINTR cancelled, -ESTALE the session went. */
struct lock_wait {
	struct list node, all;  /* private */
	struct lock_spec spec;  /* private */
	struct lock_inode *ino; /* private */
	void (*done)(struct lock_wait *w, int err);
	void *arg;
};

struct locktab {
	struct htab inodes;
	struct list waits; /* all of them */
	uint64_t count; /* locks held */
};

void locktab_init(struct locktab *t);
void locktab_done(struct locktab *t); /* waiters are dropped without a call */

/*
 * Sets or releases (type UNLOCK). 0: done. -EAGAIN: conflict, and w is NULL. -EINPROGRESS: w waits. -EDEADLK. -EINVAL: start > end.
 * Others' waiters that this lets through are called before it returns.
 */
int locktab_set(struct locktab *t, const struct wp_fid *fid, const struct lock_spec *spec, struct lock_wait *w) must_check;
/* The first lock that conflicts; false: it would be granted. */
bool locktab_test(struct locktab *t, const struct wp_fid *fid, const struct lock_spec *spec, struct lock_spec *conflict);
/* Cancels a wait: done(-EINTR). */
void locktab_cancel(struct lock_wait *w);
/* The wait of this kind, owner and range on the inode; NULL: none. */
struct lock_wait *locktab_find_wait(struct locktab *t, const struct wp_fid *fid, uint8_t kind, const struct lock_owner *owner,
				    uint64_t start, uint64_t end);
/* Drops all locks of the owner and kind on the inode, and cancels its waits. */
void locktab_release_owner(struct locktab *t, const struct wp_fid *fid, uint8_t kind, const struct lock_owner *owner);
/* Drops everything of a session; its waits end with -ESTALE. */
void locktab_release_session(struct locktab *t, uint64_t session);
/* Locks held by the session, for listings. */
unsigned locktab_count(struct locktab *t, uint64_t session);
bool locktab_has(struct locktab *t, const struct wp_fid *fid);

#endif
