/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A simulated process whose k-th connection or message fails: FAIL_NET of fail.h. */
#ifndef TEST_UNIT_FAIL_NET_H
#define TEST_UNIT_FAIL_NET_H

#include "env/env_sim.h"

struct fail_net {
	struct env env; /* what the process uses */
	struct env_ops ops;
	struct env *inner;
	struct sim_world *w;
	struct sim_host *self, *peer;
};

/* inner stays the caller's. A connection fails as if there were no such host; with a message that fails, all connections between
 * inner's host and peer break, and an arbitrary tail of what is under way is lost. */
void fail_net_init(struct fail_net *f, struct sim_world *w, struct env *inner, struct sim_host *peer);

#endif
