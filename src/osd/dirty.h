/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The dirty list of the disk engine: which parts of which objects may have checksums at rest that do not match their data.
 *
 * Invariants:
 *  1. Before data of a chunk (1 MiB of an object) changes, a record naming the chunk has been written (write(2) done) to the
 *     newest log of the current epoch. So it survives the death of the process, as the data does.
 *  2. A record is fdatasynced before an object's sync is acknowledged, and by a timer within DIRTY_SYNC_NS otherwise; kernels write
 *     data pages back later than that (dirty_expire_centisecs: 30 s) unless memory is short. A power loss in that window can leave data
 *     that its checksum calls corrupt: an error, never wrong data.
 *  3. An epoch's log is removed only after (a) every write logged in it has ended, (b) the checksums are in LMDB, (c) the file
 *     system was synced.
 *  4. When opening, the chunks named by any log get their checksums from their data. A torn tail of a log is ignored: data behind such a
 *     record had not been written.
 */
#ifndef WEFT_OSD_DIRTY_H
#define WEFT_OSD_DIRTY_H

#include "osd/osd.h"

#define DIRTY_CHUNK_BYTES MIB(1)

struct dirty;

/* A wait for records to be written, or to be durable. Caller-owned until done. */
struct dirty_wait {
	struct list node;
	void (*done)(void *arg, int err);
	void *arg;
};

/* Starts a new epoch; earlier logs were dealt with by dirty_recover. */
int dirty_open(struct env *env, const char *path, struct dirty **ret) must_check;
void dirty_close(struct dirty *d, bool remove_logs);
/* Blocking: calls fn for each record of the logs left by an earlier process, in order; a chunk may come more than once. */
int dirty_recover(const char *path, int (*fn)(void *arg, const struct wp_objid *obj, uint32_t chunk), void *arg,
		  unsigned *records) must_check;
/* Removes the logs that dirty_recover read. */
int dirty_forget(const char *path) must_check;

/* Names chunks first..last of obj. True: they are on the list already, go on. False: w->done is called when they are. */
bool dirty_mark(struct dirty *d, const struct wp_objid *obj, uint32_t first, uint32_t last, struct dirty_wait *w);
/* True: all records are durable. False: w->done is called when they are. */
bool dirty_sync(struct dirty *d, struct dirty_wait *w);

/* Each marked write holds the epoch from dirty_hold to dirty_release. */
uint64_t dirty_hold(struct dirty *d);
void dirty_release(struct dirty *d, uint64_t epoch);
/* Begins a new epoch; false if nothing was marked in this one. */
bool dirty_rotate(struct dirty *d, uint64_t *old_epoch);
/* No write of the epoch or an earlier one is in progress. */
bool dirty_is_quiet(const struct dirty *d, uint64_t epoch);
/* The epoch and earlier ones are clean: their logs go. */
void dirty_drop(struct dirty *d, uint64_t epoch);

#endif
