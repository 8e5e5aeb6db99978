/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "conf/counters.h"

#include "weft_proto.h"

unsigned counters_rows(const struct counter_info *info, const uint64_t *values, struct wp_counter *rows, unsigned max)
{
	unsigned n = 0;

	for (; info[n].name && n < max; n++)
		rows[n] = (struct wp_counter){ .name = wp_str(info[n].name), .value = values[n], .unit = wp_str(info[n].unit) };
	return n;
}

void counters_document(struct buf *b, const struct counter_info *info)
{
	buf_printf(b, "| counter | unit | kind | meaning |\n|---|---|---|---|\n");
	for (; info->name; info++)
		buf_printf(b, "| %s | %s | %s | %s |\n", info->name, info->unit, info->kind == COUNTER_TOTAL ? "total" : "gauge",
			   info->help);
}
