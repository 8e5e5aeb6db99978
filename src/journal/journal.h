/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * An append-only journal with group commit: numbered entries, replayed after a restart, discarded once applied elsewhere.
 *
 * README.md has the format and the invariants. A journal belongs to the reactor of its env.
 */
#ifndef WEFT_JOURNAL_JOURNAL_H
#define WEFT_JOURNAL_JOURNAL_H

#include "base/base.h"
#include "env/env.h"

struct journal;

#define JOURNAL_SEGMENT_DEFAULT MIB(16)
#define JOURNAL_BATCH_MAX MIB(1) /* bytes written at once: bounds the latency of a commit */
#define JOURNAL_SEGMENTS_MAX 256u
#define JOURNAL_QUEUE_MAX MIB(64) /* bytes that may wait for the disk; beyond it appends fail with -EAGAIN */

struct journal_params {
	struct env *env;
	const char *dir;         /* made if missing; NULL: nothing is kept (memory only), every entry is durable at once */
	uint64_t segment_bytes;  /* multiple of 4096; 0: the default */
	uint64_t applied;        /* entries up to this index are not replayed: 0 replays from the first, index 1 */

	/* One entry, in order of indices, before opened. An error ends the opening with it. */
	int (*replay)(void *arg, uint64_t index, const void *payload, size_t len);
	/* The journal is open (0), or not: -WEFT_ECORRUPT for damage before the end (the log names the segment). Not called from
	 * inside journal_open. After an error the journal is still to be freed. */
	void (*opened)(void *arg, int err);
	/* Everything up to index is durable. Never called from inside journal_append. */
	void (*committed)(void *arg, uint64_t index);
	/* A write failed: nothing becomes durable any more, all later appends fail with err. */
	void (*failed)(void *arg, int err);
	void *arg;
};

/* Copies params and dir. opened() is called later. Fails at once only for bad parameters or an unreadable folder. */
int journal_open(const struct journal_params *params, struct journal **ret) must_check;

/* Nothing may be in flight (journal_idle), or nothing of it may ever call back. NULL is fine. */
void journal_free(struct journal *j);
/* No write is under way or queued. */
bool journal_idle(const struct journal *j);

/*
 * Appends an entry, whose index is journal_last() + 1; payload is copied. -E2BIG: larger than a batch; -ENOSPC: the disk is full
 * and nothing can be discarded; -EAGAIN: too much waits already; or the error of a failed write. Nothing is changed then.
 */
int journal_append(struct journal *j, const void *payload, size_t len) must_check;
/* Takes back the entry appended last. Only before control returns to the reactor. */
void journal_undo(struct journal *j);

uint64_t journal_last(const struct journal *j);    /* index of the newest entry, durable or not */
uint64_t journal_durable(const struct journal *j); /* everything up to this index is durable */

/* Entries up to index are not needed any more. */
void journal_trim(struct journal *j, uint64_t applied);

struct journal_stats {
	uint64_t batches, entries, bytes; /* written */
	uint64_t segments;                /* that exist */
};
struct journal_stats journal_stats(const struct journal *j);

#endif
