/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Stands between a process that may be killed at any instant and its device, which lives on: nothing of the process's memory is
 * touched by the device after the kill, and no callback reaches it. What was submitted before takes effect.
 */
#ifndef WEFT_TEST_SIM_GATE_H
#define WEFT_TEST_SIM_GATE_H

#include "osd/osd.h"

/* below stays the caller's. */
struct osd_dev *gate_new(struct osd_dev *below, struct env *env);
/* The process is dead, its memory is about to go: nothing passes any more. gate_shut or gate_abandon must follow. */
void gate_stop(struct osd_dev *gate);
/* The process is dead. The gate itself is freed when the device has answered everything. */
void gate_shut(struct osd_dev *gate);

/* The same when the device lost its power and will never answer; below is not looked at any more. */
void gate_abandon(struct osd_dev *gate);

#endif
