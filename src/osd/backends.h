/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The engines, for osd_backend: a new one is a file, a line here and a line in osd.c. And what `fault` knows of those below it. */
#ifndef WEFT_OSD_BACKENDS_H
#define WEFT_OSD_BACKENDS_H

#include "osd/osd.h"

struct memobj;

extern const struct osd_ops osd_mem_ops, osd_disk_ops, osd_fault_ops;

/* Does this read see a flipped bit? Asked once for each read. */
struct osd_rot {
	bool (*flips)(void *arg);
	void *arg;
};

void osd_mem_set_rot(struct osd_dev *dev, const struct osd_rot *rot);
void osd_disk_set_rot(struct osd_dev *dev, const struct osd_rot *rot);

/* The present state of an object of a mem device, to be freed; NULL: it does not exist. */
struct memobj *osd_mem_image(struct osd_dev *dev, const struct wp_objid *id);
/* The object becomes what it is given (which the device then owns), with a new version; NULL: it does not exist. */
void osd_mem_restore(struct osd_dev *dev, const struct wp_objid *id, struct memobj *o);
/* Changes the index without a check for room: old values come back. */
void osd_mem_apply(struct osd_dev *dev, const struct osd_txn *t);
/* As after a start with nothing in memory: another verifier; transactions were durable up to seq. */
void osd_mem_restart(struct osd_dev *dev, uint64_t verifier, uint64_t seq);

#endif
