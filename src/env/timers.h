/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A binary heap of armed timers, shared by both environments. Timers with the same deadline leave it in the order in which they
 * were armed, so that a simulated run depends on nothing but its seed.
 */
#ifndef WEFT_ENV_TIMERS_H
#define WEFT_ENV_TIMERS_H

#include "env/env.h"

struct timer_slot {
	uint64_t deadline_ns;
	uint64_t order;
	struct env_timer *timer;
};

struct timers {
	struct timer_slot *slots; /* slots[1..count]; slots[0] is unused, so that heap_index 0 means "not armed" */
	size_t count, cap;
	uint64_t next_order;
};

void timers_done(struct timers *h);
/* Puts t in, or moves it when it is armed already. */
void timers_arm(struct timers *h, struct env_timer *t, uint64_t deadline_ns);
void timers_cancel(struct timers *h, struct env_timer *t);
/* Removes and returns the earliest timer if its deadline is not after now_ns; NULL otherwise. */
struct env_timer *timers_pop(struct timers *h, uint64_t now_ns);

/* UINT64_MAX when no timer is armed. */
static inline uint64_t timers_next_ns(const struct timers *h) { return h->count ? h->slots[1].deadline_ns : UINT64_MAX; }

#endif
