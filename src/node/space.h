/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Free space of all storage targets, as a process knows it: immutable, counted, shared between reactors like the map. Only for
 * choosing targets: it is seconds old.
 */
#ifndef WEFT_NODE_SPACE_H
#define WEFT_NODE_SPACE_H

#include "base/base.h"
#include "base/buf.h"
#include "weft_proto.h"

struct space_table;

/* Rows of struct wp_target_space, in any order; later ones of a number win, numbers out of range are ignored. */
struct space_table *space_table_new(const struct wp_target_space *rows, size_t n);
/* NULL gives NULL. Any thread. */
struct space_table *space_table_ref(struct space_table *s);
void space_table_unref(struct space_table *s);
/* Free bytes, 0: unknown. s may be NULL. */
uint64_t space_table_free(const struct space_table *s, uint32_t storage_target);
/* Whether the two would lead to other choices: a target more or less, or a free space that differs by more than a hundredth. */
bool space_table_differs(const struct space_table *a, const struct space_table *b);

#endif
