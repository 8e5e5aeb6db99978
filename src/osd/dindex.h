/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The index of the disk engine: generations of changes in memory over an LMDB.
 *
 *	submit -> active generation -> sealed -> frozen (being written by a helper thread) -> LMDB
 *
 * Invariants:
 *  1. A look-up sees the newest of: active, sealed from new to old, frozen, LMDB's snapshot. A tombstone hides what is below.
 *  2. Generations are written in order, each whole, in one LMDB transaction together with the highest seq they reach.
 *  3. A generation is only written when its highest seq is stable.
 *  4. A frozen generation is not changed; the reactor goes on reading it.
 *  5. Commit callbacks run in the order of submission, after the LMDB transaction that holds the change has committed.
 */
#ifndef WEFT_OSD_DINDEX_H
#define WEFT_OSD_DINDEX_H

#include "osd/osd.h"

struct dindex;

int dindex_open(struct env *env, const char *path, uint64_t cache_bytes, struct dindex **ret) must_check;
/* Writes everything stable, blocking; what is not stable is left out. */
void dindex_close(struct dindex *x);

/* One change, outside of a transaction; belongs to the active generation. value.p NULL deletes. */
void dindex_put(struct dindex *x, const void *key, size_t key_len, const void *value, size_t len);
/* The end of a transaction made of dindex_put calls. urgent: do not wait for age or size. fn may be NULL. */
void dindex_commit(struct dindex *x, uint64_t seq, bool urgent, osd_commit_fn *fn, void *arg);
void dindex_stable(struct dindex *x, uint64_t seq);
uint64_t dindex_applied(const struct dindex *x);
void dindex_on_applied(struct dindex *x, env_fn *fn, void *arg);
/* fn when all that is stable now is in LMDB. */
void dindex_sync(struct dindex *x, osd_commit_fn *fn, void *arg);
/* Writes now what is in memory, blocking: only when opening. */
int dindex_flush_blocking(struct dindex *x) must_check;

int dindex_get(struct dindex *x, const void *key, size_t key_len, struct osd_slice *value) must_check;
/* First key >= (> if after) the given one. -ENOENT at the end. The slices are valid until the next call. */
int dindex_seek(struct dindex *x, const void *key, size_t key_len, bool after, struct osd_slice *ret_key,
		struct osd_slice *value) must_check;

/* Bytes in memory that are still to be written. */
uint64_t dindex_pending(const struct dindex *x);
/* Walks LMDB's snapshot on a helper thread: keys that begin with prefix, without it. */
void dindex_checkpoint(struct dindex *x, uint8_t prefix, int (*fn)(void *arg, struct osd_slice key, struct osd_slice value),
		       osd_commit_fn *done, void *arg);

#endif
