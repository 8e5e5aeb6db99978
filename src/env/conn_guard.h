/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Callbacks may close the connection that they are called for. Whoever calls one holds a guard, on his stack; the connection's
 * chain of guards begins at *top. guard_mark_gone, before the connection's memory goes, tells all of them.
 */
#ifndef WEFT_ENV_CONN_GUARD_H
#define WEFT_ENV_CONN_GUARD_H

#include "base/base.h"

struct conn_guard {
	struct conn_guard *up;
	bool gone;
};

static inline void guard_hold(struct conn_guard **top, struct conn_guard *g)
{
	*g = (struct conn_guard){ .up = *top };
	*top = g;
}

/* Returns false when the connection is gone, and top with it. */
static inline bool guard_release(struct conn_guard **top, struct conn_guard *g)
{
	if (g->gone)
		return false;
	*top = g->up;
	return true;
}

static inline void guard_mark_gone(struct conn_guard **top)
{
	for (struct conn_guard *g = *top; g; g = g->up)
		g->gone = true;
	*top = NULL;
}

#endif
