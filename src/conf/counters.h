/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Counters as tables: a row says name, unit, meaning and kind once; the COUNTERS message, metrics and the documentation come from
 * it.
 *
 *	#define META_COUNTERS(X)                                                      in the header
 *		X(META_C_REQUESTS, "requests", "", TOTAL, "requests received")
 *		X(META_C_HANDLES, "handles", "", GAUGE, "handles open now")
 *	enum meta_counter { META_COUNTERS(COUNTERS_ID) META_C_N };
 *	extern const struct counter_info meta_counter_info[];
 *
 *	const struct counter_info meta_counter_info[] = { META_COUNTERS(COUNTERS_ROW) COUNTERS_END };     in one .c
 *
 *	uint64_t counters[META_C_N];
 *	counters[META_C_REQUESTS]++;
 *
 * Values are plain numbers that belong to one thread; whoever reports them runs on that thread, or reads copies.
 */
#ifndef WEFT_CONF_COUNTERS_H
#define WEFT_CONF_COUNTERS_H

#include "base/base.h"
#include "base/buf.h"

enum counter_kind {
	COUNTER_TOTAL, /* only grows */
	COUNTER_GAUGE, /* the state now */
};

struct counter_info {
	const char *name; /* lower_case; NULL ends a table */
	const char *unit; /* "bytes", "ns"; "" for plain numbers */
	const char *help; /* one sentence, without a full stop */
	enum counter_kind kind;
};

#define COUNTERS_ID(id, name, unit, kind, help) id,
#define COUNTERS_ROW(id, name, unit, kind, help) { name, unit, help, COUNTER_##kind },
#define COUNTERS_END { NULL, NULL, NULL, COUNTER_TOTAL }

struct wp_counter;

/* Rows for the COUNTERS message (see rpc_node_set_counters): fills up to max and returns their number. Names point into info. */
unsigned counters_rows(const struct counter_info *info, const uint64_t *values, struct wp_counter *rows, unsigned max);
/* Rows for manuals: "name | unit | kind | help" as Markdown. */
void counters_document(struct buf *b, const struct counter_info *info);

#endif
