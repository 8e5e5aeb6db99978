/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A network and a clock in memory, stepped by the test: time passes only when nothing else is to be done. Bytes can be seen and
 * changed on their way, sends fail on demand, pieces can be cut small.
 */
#ifndef WEFT_TEST_FAKE_ENV_H
#define WEFT_TEST_FAKE_ENV_H

#include "base/buf.h"
#include "env/env.h"

struct fake {
	struct env env;
	uint64_t now;
	uint64_t seed;
	struct list timers, conns, listeners;
	struct env_task *tasks, **tasks_end;
	size_t piece;        /* bytes per receive at most, 0: no limit */
	unsigned fail_send;  /* the n-th send from now breaks its connection; 0: none */
	bool stall;          /* nothing is delivered */
	uint64_t until;      /* no timer after this is run; 0: no limit */
	bool lazy_sends;     /* sends end one step later than their bytes arrive */
	unsigned conns_made;
	/* Sees each send; may change the bytes, and returns how many of them to deliver. */
	size_t (*filter)(void *arg, bool from_client, uint8_t *p, size_t n);
	void *filter_arg;
};

void fake_init(struct fake *f, uint64_t seed);
void fake_done(struct fake *f);
/* One round; false: nothing was to be done and no timer is armed. */
bool fake_step(struct fake *f);
/* Breaks every connection, both ends see -ECONNRESET. */
void fake_break_all(struct fake *f);
unsigned fake_conns(const struct fake *f);

#endif
