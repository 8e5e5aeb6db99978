/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The k-th call fails. A program that is linked with fail_dep has its allocations counted: malloc, calloc, realloc and
 * posix_memalign, but not those of xmalloc and its relatives, which must not fail. Others ask fail_hit() where a call could fail.
 */
#ifndef TEST_UNIT_FAIL_H
#define TEST_UNIT_FAIL_H

#include <stdbool.h>

enum fail_kind { FAIL_ALLOC, FAIL_NET, FAIL_REPLY, FAIL_SYSTEM, FAIL_KINDS };

/* The k-th call of this kind from now on fails; 0: none does any more. */
void fail_at(enum fail_kind kind, unsigned k);
/* Whether the one of the last fail_at with k > 0 has. */
bool fail_fired(void);
/* Counts a call of this kind; true: it is the one. */
bool fail_hit(enum fail_kind kind);

#endif
