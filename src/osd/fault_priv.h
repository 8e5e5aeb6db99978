/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Inside the fault engine. */
#ifndef WEFT_OSD_FAULT_PRIV_H
#define WEFT_OSD_FAULT_PRIV_H

#include "base/htab.h"
#include "osd/kick.h"
#include "osd/osd.h"

#define FAULT_MAGIC 0x6661756cu

struct fault {
	struct osd_dev dev;
	uint32_t magic;
	struct osd_dev *below;
	bool is_volatile;          /* mem is below: power cuts lose what was not synced */
	struct osd_fault_plan plan;
	uint64_t rng;
	/* transactions */
	struct list txns;          /* visible, not durable; in order */
	uint64_t stable, applied, last_seq;
	struct env_timer timer;
	struct kick *kick;
	env_fn *applied_fn;
	void *applied_arg;
	/* objects */
	struct htab objs;          /* those with unsynced changes */
	struct list ops;           /* in flight */
	uint64_t pos;              /* counts changes */
};

uint64_t fault_random(struct fault *f, uint64_t n); /* < n */
uint64_t fault_delay_ns(struct fault *f);

/* ---- faulttxn.c ------------------------------------------------------------------------------------------------------------------ */

void fault_txn_init(struct fault *f);
void fault_txn_done(struct fault *f);
int fault_txn_add(struct fault *f, struct osd_txn *t, uint64_t seq, osd_commit_fn *fn, void *arg) must_check;
void fault_txn_stable(struct fault *f, uint64_t seq);
void fault_txn_sync(struct fault *f, osd_commit_fn *fn, void *arg);
/* All that is not durable goes out of the index below (back), or into it again. */
void fault_txn_swap_all(struct fault *f, bool back);
/* Everything stable is durable, the rest is taken back. */
void fault_txn_settle(struct fault *f);
/* A random part of what is stable survives, nothing of the rest; no callbacks. */
void fault_txn_cut(struct fault *f);

/* ---- faultobj.c -------------------------------------------------------------------------------------------------------------------- */

struct fault_images;

void fault_obj_start(struct fault *f, struct osd_io *io);
/* The present state of all objects with unsynced changes, and: it is durable now. */
struct fault_images *fault_obj_images(struct fault *f);
void fault_obj_settle(struct fault *f, struct fault_images *images);
void fault_images_free(struct fault_images *images);
void fault_obj_settle_all(struct fault *f);
void fault_obj_cut_all(struct fault *f);
/* Operations in flight never complete. */
void fault_ops_forget(struct fault *f);

#endif
