/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The dirty list of the disk engine: which parts of which objects may have checksums at rest that do not match their data. Two logs
 * take turns; a record says "chunks first..last of this object are about to change", or "this object is about to be destroyed".
 *
 * Invariants:
 *  1. Before data of a chunk (1 MiB of an object) changes, a record naming the chunk has been written (write(2) done). So it survives
 *     the death of the process, as the data does.
 *  2. A record is durable (fdatasync) before an object's sync or a stable write touches the medium, before a truncation, allocation or
 *     destruction, and before the checksums of what it
 *     names can reach LMDB. Otherwise within DIRTY_SYNC_NS: kernels write pages back later than that (dirty_expire_centisecs: 30 s)
 *     unless memory is short. A power loss in that window can leave data that its checksum calls corrupt: an error, never wrong data.
 *  3. The records of an epoch are given up only after (a) every write that was marked in it has ended, (b) its checksums are in LMDB,
 *     (c) the file system was synced. LMDB then says which epochs are clean; their records are ignored.
 *  4. Each log has DIRTY_LOG_MIN bytes on the disk from the start, so that there can be records, and so deletes, on a full one. They are
 *     never given back: what is behind the present epoch's records is of clean epochs.
 *  5. When opening, what the records of other epochs name gets its checksums from its data; the last word on an object being
 *     "destroyed", it is destroyed again. A torn tail is ignored: nothing that such a record names had changed.
 */
#ifndef WEFT_OSD_DIRTY_H
#define WEFT_OSD_DIRTY_H

#include "osd/osd.h"

#define DIRTY_CHUNK_BYTES MIB(1)
#define DIRTY_LOG_MIN MIB(1)

struct dirty;

/* A wait for records to be written, or to be durable. Caller-owned until done, which is never called from inside. */
struct dirty_wait {
	struct list node;
	uint64_t pos;
	void (*done)(void *arg, int err);
	void *arg;
};

/* What an object remembers of its marks, zero-initialised; forgetting it costs a record, no more. */
struct dirty_marks {
	uint64_t gen;  /* the bits are of */
	uint64_t pos;  /* of the last record */
	uint8_t *bits; /* a chunk each */
	uint32_t bytes;
};

static inline void dirty_marks_done(struct dirty_marks *m) { free(m->bits); }

struct dirty_record {
	struct wp_objid obj;
	uint64_t first, last; /* of 48 bits */
	bool destroyed;
};

/* Makes the logs, empty. */
int dirty_format(struct env *env, const char *path) must_check;
/* Blocking: calls fn for each record of epochs after clean, in order. *newest: the highest epoch seen, at least clean. */
int dirty_recover(struct env *env, const char *path, uint64_t clean, int (*fn)(void *arg, const struct dirty_record *r),
		  void *arg, uint64_t *newest) must_check;
/* Starts an epoch, above all others; what dirty_recover read was dealt with.  */
int dirty_open(struct env *env, const char *path, uint64_t epoch, struct dirty **ret) must_check;
/* Waits are dropped, not called. */
void dirty_close(struct dirty *d);

/* True: these chunks are on the list already. False: w->done is called when they are, or with an error. Chunks beyond last are not
 * concerned. */
bool dirty_mark(struct dirty *d, struct dirty_marks *m, const struct dirty_record *r, struct dirty_wait *w);
/* True: the records of m are durable. False: w->done is called when they are. m NULL: all records. */
bool dirty_sync(struct dirty *d, const struct dirty_marks *m, struct dirty_wait *w);

/* Each marked write holds the epoch that dirty_hold gave from before its mark until its checksums are in the index. */
uint64_t dirty_hold(struct dirty *d);
void dirty_release(struct dirty *d, uint64_t epoch);
/* A new epoch shall begin, as soon as a write to the log ends; false: nothing is marked in this one, or the one before is not clean yet. */
bool dirty_rotate(struct dirty *d);
/* The epoch before the present one if it is not clean yet and no write marked in it is in progress; else 0. */
uint64_t dirty_quiet_epoch(const struct dirty *d);
/* It is clean. */
void dirty_cleaned(struct dirty *d);
uint64_t dirty_epoch(const struct dirty *d);
/* The present log could not grow: rotate. */
bool dirty_is_full(const struct dirty *d);
/* Bytes in the present log: when to rotate. */
uint64_t dirty_log_bytes(const struct dirty *d);

#endif
