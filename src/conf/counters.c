/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "conf/counters.h"

#include "proto/codec.h"
#include "weft_proto.h"

#define COUNTERS_MAX 1024u /* of the COUNTERS reply */
#define COUNTER_NAME_MAX 64u

static void encode_one(struct wp_enc *e, const char *prefix, const struct counter_info *info, uint64_t value)
{
	char name[COUNTER_NAME_MAX + 1];

	snprintf(name, sizeof(name), "%s%s", prefix, info->name);
	wp_counter_enc(e, &(struct wp_counter){ .name = wp_str(name), .value = value, .unit = wp_str(info->unit) });
}

void counters_encode(struct wp_enc *e, const struct counter_set *sets, unsigned n)
{
	uint32_t count = 0, left;

	for (unsigned i = 0; i < n; i++)
		for (const struct counter_info *c = sets[i].info; c->name; c++)
			count++;
	left = count = MIN(count, COUNTERS_MAX);
	wp_enc_count(e, count, COUNTERS_MAX); /* as an encoded struct wp_counters_rep, without making the array first */
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; sets[i].info[k].name && left; k++, left--)
			encode_one(e, sets[i].prefix, &sets[i].info[k], sets[i].values[k]);
}

void counters_document(struct buf *b, const struct counter_info *info)
{
	buf_printf(b, "| counter | unit | kind | meaning |\n|---|---|---|---|\n");
	for (; info->name; info++)
		buf_printf(b, "| %s | %s | %s | %s |\n", info->name, info->unit, info->kind == COUNTER_TOTAL ? "total" : "gauge",
			   info->help);
}
