/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The index of the disk engine: generations of changes in memory over an LMDB.
 *
 *	submit -> active generation -> sealed -> frozen (being written by a helper thread) -> LMDB
 *
 * Invariants:
 *  1. A look-up sees the newest of: active, sealed from new to old, frozen, LMDB's snapshot. A tombstone hides what is below.
 *  2. Generations are written in order, each whole, in one LMDB transaction together with the highest seq they reach.
 *  3. A generation is only written when its highest seq is stable. One that reaches beyond is split at the stable seq if somebody
 *     waits for what is stable in it.
 *  4. A frozen generation is not changed; the reactor goes on reading it.
 *  5. Commit callbacks run in the order of submission, after the LMDB transaction that holds the change has committed.
 *  6. Between freezing and writing the owner's barrier is passed: what must be durable before the index is, is.
 *  7. So much is set aside on the disk for LMDB as dindex_set_room was told, whenever there was room for it. When the disk is nearly
 *     full, generations are sealed before LMDB may need more than a part of what is left, and written at once.
 *  8. After a write that failed for good nothing more is written, and every callback gets the error. What is in memory stays readable.
 */
#ifndef WEFT_OSD_DINDEX_H
#define WEFT_OSD_DINDEX_H

#include "osd/osd.h"

#define DINDEX_KEY_MAX (OSD_KEY_MAX + 8)

struct dindex;

/* go(go_arg, err) is to be called when the barrier is passed; from inside is fine. */
typedef void dindex_go_fn(void *go_arg, int err);

struct dindex_params {
	struct env *env;
	const char *path;					    /* folder of the LMDB */
	uint64_t cache_bytes;					    /* in memory that force a write; 0: default */
	uint64_t map_bytes;					    /* of address space for LMDB at first; 0: default */
	void (*barrier)(void *arg, dindex_go_fn *go, void *go_arg); /* NULL: none */
	void *barrier_arg;
};

int dindex_open(const struct dindex_params *p, struct dindex **ret) must_check;
/* From here on it is written in the background; before, only dindex_flush_blocking writes. */
void dindex_start(struct dindex *x);
/* Writes everything stable, blocking, waiting for a write in progress; what is not stable is left out. Callbacks are called, with an
 * error for what was left out. The caller has passed the barrier. */
int dindex_close(struct dindex *x);
/* Gives up what is not written, for tests of crashes and failed opens. */
void dindex_abandon(struct dindex *x);

/* Before the first dindex_put of a transaction. */
void dindex_begin(struct dindex *x, uint64_t seq);
/* One change, outside of a transaction; belongs to the active generation. value.p NULL deletes. */
void dindex_put(struct dindex *x, const void *key, size_t key_len, const void *value, size_t len);
/* The end of a transaction made of dindex_put calls; seq as in dindex_begin. urgent: do not wait for age or size. fn may be NULL. */
void dindex_commit(struct dindex *x, uint64_t seq, bool urgent, osd_commit_fn *fn, void *arg);
void dindex_stable(struct dindex *x, uint64_t seq);
uint64_t dindex_applied(const struct dindex *x);
void dindex_on_applied(struct dindex *x, env_fn *fn, void *arg);
/* fn when all that is stable now is in LMDB. */
void dindex_sync(struct dindex *x, osd_commit_fn *fn, void *arg);
/* Writes now what is in memory, blocking and without the barrier: only when opening. */
int dindex_flush_blocking(struct dindex *x) must_check;
/* The error that made the device fail, or 0. */
int dindex_failed(const struct dindex *x);

int dindex_get(struct dindex *x, const void *key, size_t key_len, struct osd_slice *value) must_check;
/* First key >= (> if after) the given one. -ENOENT at the end. The slices are valid until the next call. */
int dindex_seek(struct dindex *x, const void *key, size_t key_len, bool after, struct osd_slice *ret_key,
		struct osd_slice *value) must_check;

/* Bytes in memory that are still to be written; bytes LMDB takes. */
uint64_t dindex_pending(const struct dindex *x);
uint64_t dindex_file_bytes(const struct dindex *x);
/* Could n entries of so many bytes more be written, with what is in memory, whatever happens to the disk? The last part of what is
 * set aside is for deletes. */
bool dindex_has_room(const struct dindex *x, uint64_t n, uint64_t bytes);
/* What the file system has free besides; how much to set aside; tight: the disk is nearly full. */
void dindex_set_room(struct dindex *x, uint64_t free_bytes, uint64_t reserve, bool tight);
/* Walks LMDB's snapshot on a helper thread: keys that begin with prefix, without it. */
void dindex_checkpoint(struct dindex *x, uint8_t prefix, int (*fn)(void *arg, struct osd_slice key, struct osd_slice value),
		       osd_commit_fn *done, void *arg);

#endif
