/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/arena.h"
#include "base/buf.h"
#include "base/crc.h"
#include "base/htab.h"
#include "base/list.h"
#include "base/log.h"
#include "tap.h"

struct item {
	struct list link;
	struct htab_node node;
	unsigned value;
};

static void test_list(void)
{
	struct list head, other;
	struct item items[4], *p, *tmp;
	unsigned sum = 0;

	list_init(&head);
	list_init(&other);
	ok(list_pop(&head, struct item, link) == NULL, "pop of an empty list");
	for (unsigned i = 0; i < 4; i++) {
		items[i].value = i;
		list_append(i < 2 ? &head : &other, &items[i].link);
	}
	list_splice(&head, &other);
	ok(list_empty(&other), "splice empties the source");
	list_each_safe (p, tmp, &head, link) {
		sum = sum * 10 + p->value;
		if (p->value == 1)
			list_del(&p->link);
	}
	is_int(sum, 123, "order kept");
	list_del(&items[1].link);
	ok(list_first(&head, struct item, link) == &items[0], "a second removal is harmless");
	ok(list_pop(&head, struct item, link) == &items[0], "pop takes the first");
	ok(list_last(&head, struct item, link) == &items[3], "last");
}

static bool count(struct htab_node *n, void *arg)
{
	unsigned *left = arg;

	return --*left > 0;
}

static void test_htab(void)
{
	enum { N = 1000 };
	struct item *items = xcalloc(N, sizeof(*items));
	struct htab t;
	struct htab_node *n;
	unsigned found = 0, left = 10;

	htab_init(&t);
	for (unsigned i = 0; i < N; i++) {
		items[i].value = i;
		htab_add(&t, &items[i].node, hash_u64(i % 500)); /* two of each hash */
	}
	is_int(t.count, N, "count");
	htab_each_match(n, &t, hash_u64(7)) found++;
	is_int(found, 2, "both nodes of one hash are found");
	htab_each(&t, count, &left);
	is_int(left, 0, "each stops when told");
	for (unsigned i = 0; i < N; i += 2)
		htab_del(&t, &items[i].node);
	found = 0;
	htab_each_match(n, &t, hash_u64(8)) found++;
	is_int(found, 0, "deleted nodes are gone");
	htab_done(&t);
	free(items);
}

static void test_arena(void)
{
	struct arena a = { 0 };
	char *p = arena_alloc(&a, 3), *q = arena_alloc(&a, 100000);

	ok(((uintptr_t)p & 15) == 0 && ((uintptr_t)q & 15) == 0, "aligned");
	memset(q, 1, 100000);
	ok(!memcmp(arena_dup(&a, "abc", 4), "abc", 4), "dup");
	arena_reset(&a);
	p = arena_zalloc(&a, 64);
	ok(p[0] == 0 && p[63] == 0, "zeroed after a reset");
	arena_done(&a);
	arena_done(&a);
}

static void test_crc(void)
{
	static const char zeros[5000];
	uint32_t crc = crc32c(0, "123456789", 9);

	ok(crc == 0xe3069283, "the check value of RFC 3720");
	ok(crc32c(crc32c(0, "1234", 4), "56789", 5) == crc, "continues");
	ok(crc32c_zeros(crc, sizeof(zeros)) == crc32c(crc, zeros, sizeof(zeros)), "zeros appended");
}

static void test_buf(void)
{
	struct buf b = { 0 };
	char small[4];

	for (unsigned i = 0; i < 100; i++)
		buf_printf(&b, "%03u,", i);
	buf_add(&b, NULL, 0);
	is_int(b.len, 400, "length");
	ok(!memcmp(b.p + 396, "099,", 4), "contents");
	buf_done(&b);
	ok(!str_copy(small, sizeof(small), "abcdef") && !strcmp(small, "abc"), "a cut copy says so");
	is_int(log_level_parse("debug"), LOG_DEBUG, "level by name");
	is_int(log_level_parse("loud"), -EINVAL, "unknown level");
}

int main(void)
{
	test_list();
	test_htab();
	test_arena();
	test_crc();
	test_buf();
	return done_testing();
}
