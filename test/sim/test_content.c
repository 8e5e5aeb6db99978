/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The oracle's model of file contents accepts what is allowed and refuses what is not. */
#include "content.h"
#include "tap.h"

static uint8_t buf[65536];
static char why[256];

static bool sees(struct content *c, uint64_t offset, uint64_t want, uint32_t id, uint64_t got)
{
	content_fill(id, offset, buf, got);
	return content_check(c, offset, want, buf, got, why, sizeof(why));
}

static void test_plain(void)
{
	struct content c;

	content_init(&c);
	ok(sees(&c, 0, 10, 0, 0), "empty");
	content_write(&c, 100, 50, 7);
	ok(sees(&c, 0, 100, 0, 100), "a hole is zeros");
	ok(sees(&c, 100, 100, 7, 50), "what was written, short at the end");
	ok(!sees(&c, 100, 50, 8, 50), "not what was not");
	ok(!sees(&c, 100, 100, 7, 40), "not too short");
	ok(!sees(&c, 100, 100, 7, 60), "not too long");
	content_write(&c, 120, 10, 8);
	ok(sees(&c, 110, 10, 7, 10) && sees(&c, 120, 10, 8, 10) && sees(&c, 130, 20, 7, 20), "a write in the middle");
	ok(!sees(&c, 120, 10, 7, 10), "the old version is gone");
	content_truncate(&c, 125);
	content_truncate(&c, 140);
	ok(sees(&c, 120, 5, 8, 5) && sees(&c, 125, 100, 0, 15), "cut and grown: zeros");
	content_punch(&c, 100, 1000, 1);
	ok(sees(&c, 100, 40, 0, 40) && content_check_size(&c, 140, why, sizeof(why)), "punched");
	ok(!content_check_size(&c, 141, why, sizeof(why)), "wrong size");
	content_done(&c);
}

static void test_crash(void)
{
	struct content c;
	uint32_t a = content_id(1, 1), b = content_id(2, 2);

	content_init(&c);
	content_write(&c, 0, 100, a);
	content_synced(&c, 1, UINT32_MAX);
	content_write(&c, 0, 200, b);
	content_power_cut(&c);
	content_fill(a, 0, buf, 50);
	content_fill(b, 50, buf + 50, 100);
	ok(content_check(&c, 0, 1000, buf, 150, why, sizeof(why)), "after a power cut: old and new, and a part of the end (%s)", why);
	ok(!sees(&c, 0, 50, b, 50), "but what was seen stays");
	ok(!sees(&c, 0, 50, 0, 50), "and what was synced is never lost");
	content_write(&c, 0, 100, b);
	content_power_cut(&c);
	content_synced(&c, 1, UINT32_MAX);
	ok(sees(&c, 0, 50, a, 50), "another's sync says nothing of what b lost");
	content_write(&c, 0, 100, b);
	content_power_cut(&c);
	content_synced(&c, 2, UINT32_MAX);
	ok(!sees(&c, 0, 50, a, 50), "b's own sync does");
	content_synced(&c, 2, UINT32_MAX);
	content_write(&c, 300, 100, b);
	content_power_cut(&c);
	ok(sees(&c, 250, 10, 0, 0), "nothing may be left of a lost end");
	ok(!content_check_size(&c, 260, why, sizeof(why)) && content_check_size(&c, 150, why, sizeof(why)), "then it is before that");
	content_maybe_write(&c, 100, 100, a);
	ok(sees(&c, 0, 100, b, 100), "a write in doubt leaves others alone");
	content_fill(a, 100, buf, 10);
	content_fill(b, 110, buf + 10, 10);
	ok(content_check(&c, 100, 20, buf, 20, why, sizeof(why)), "may be torn (%s)", why);
	ok(!sees(&c, 105, 10, b, 10), "once");
	ok(content_check_size(&c, 150, why, sizeof(why)), "may not have reached the end (%s)", why);
	content_done(&c);
}

/* Who synced what, and what a second power cut may undo. */
static void test_sync(void)
{
	struct content c;
	uint32_t a = content_id(1, 1), b = content_id(2, 2), b2 = content_id(2, 3);

	content_init(&c);
	content_write(&c, 0, 100, a);
	content_write(&c, 100, 100, b);
	content_power_cut(&c);
	ok(sees(&c, 0, 100, a, 100) && sees(&c, 100, 100, b, 100), "a power cut, perhaps of others");
	content_power_cut(&c);
	ok(sees(&c, 0, 10, 0, 10), "what was seen after it may still be lost in the next");
	content_write(&c, 0, 100, a);
	content_write(&c, 100, 100, b);
	content_synced(&c, 1, 2);
	content_write(&c, 200, 100, b2);
	content_synced(&c, 1, 2);
	content_power_cut(&c);
	ok(!sees(&c, 0, 10, 0, 10) && !sees(&c, 100, 10, 0, 10), "fsync is also for what others wrote before the opening");
	ok(sees(&c, 200, 10, 0, 10), "not for what they write after that");
	ok(content_check_size(&c, 210, why, sizeof(why)) && !content_check_size(&c, 190, why, sizeof(why)), "nor for the end");
	content_done(&c);
}

int main(void)
{
	test_plain();
	test_crash();
	test_sync();
	return done_testing();
}
