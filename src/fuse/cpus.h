/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Which thread serves which CPU. The kernel's FUSE queues go by CPU number. */
#ifndef WEFT_FUSE_CPUS_H
#define WEFT_FUSE_CPUS_H

#include "base/base.h"

/* How many CPUs this process may run on; to be called before any thread is pinned. */
unsigned cpus_allowed(void);
/* How many CPUs there may ever be: the kernel's number of FUSE queues. */
unsigned cpus_possible(void);
/* The queues of thread t of n, allocated; returns how many. Each of 0 .. cpus_possible() - 1 belongs to exactly one of the n. */
unsigned cpus_queues(unsigned t, unsigned n, unsigned **ret);
/* Lets the calling thread, t of n, run only on the CPUs of its queues, if there are any. */
void cpus_pin(unsigned t, unsigned n);

#endif
