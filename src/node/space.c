/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "node/space.h"

#include <stdatomic.h>

#define SPACE_MAGIC 0x53706163u
#define IDS 65537u /* 1..65536 */
#define SAME_SHARE 100u

struct space_table {
	uint32_t magic;
	atomic_uint refs;
	uint32_t slots;
	uint64_t free[]; /* by number; 0: unknown */
};

struct space_table *space_table_new(const struct wp_target_space *rows, size_t n)
{
	struct space_table *s;
	uint32_t slots = 0;

	for (size_t i = 0; i < n; i++)
		if (rows[i].id < IDS)
			slots = MAX(slots, rows[i].id + 1);
	s = xcalloc(1, sizeof(*s) + slots * sizeof(s->free[0]));
	OBJ_INIT(s, SPACE_MAGIC);
	atomic_init(&s->refs, 1);
	s->slots = slots;
	for (size_t i = 0; i < n; i++)
		if (rows[i].id < IDS)
			s->free[rows[i].id] = MAX(rows[i].free, 1); /* full is not unknown */
	return s;
}

struct space_table *space_table_ref(struct space_table *s)
{
	if (s) {
		OBJ_CHECK(s, SPACE_MAGIC);
		atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	}
	return s;
}

void space_table_unref(struct space_table *s)
{
	if (!s)
		return;
	OBJ_CHECK(s, SPACE_MAGIC);
	if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	OBJ_FINI(s);
	free(s);
}

uint64_t space_table_free(const struct space_table *s, uint32_t id) { return s && id < s->slots ? s->free[id] : 0; }

bool space_table_differs(const struct space_table *a, const struct space_table *b)
{
	if (!a || !b)
		return a != b;
	for (uint32_t id = 0; id < MAX(a->slots, b->slots); id++) {
		uint64_t x = space_table_free(a, id), y = space_table_free(b, id), most = MAX(x, y);

		if (!x != !y || most - MIN(x, y) > most / SAME_SHARE)
			return true;
	}
	return false;
}
