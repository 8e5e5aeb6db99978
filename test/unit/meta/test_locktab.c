/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "meta/locktab.h"
#include "tap.h"

static const struct wp_fid file = { .seq = 1, .oid = 9 }, other_file = { .seq = 1, .oid = 10 };

struct waiter {
	struct lock_wait w;
	int err; /* 1: not called */
};

static void called(struct lock_wait *w, int err) { container_of(w, struct waiter, w)->err = err; }

static struct lock_spec spec(uint64_t owner, uint8_t type, uint64_t start, uint64_t end)
{
	return (struct lock_spec){ .kind = WP_LOCK_KIND_POSIX,
				   .type = type,
				   .owner = { 1, owner },
				   .start = start,
				   .end = end,
				   .pid = (uint32_t)owner };
}

static int set(struct locktab *t, uint64_t owner, uint8_t type, uint64_t start, uint64_t end, struct waiter *w)
{
	struct lock_spec s = spec(owner, type, start, end);

	if (w)
		*w = (struct waiter){ .w = { .done = called }, .err = 1 };
	return locktab_set(t, &file, &s, w ? &w->w : NULL);
}

enum { R = WP_LOCK_TYPE_READ, W = WP_LOCK_TYPE_WRITE, U = WP_LOCK_TYPE_UNLOCK };

static void test_ranges(struct locktab *t)
{
	struct lock_spec probe = spec(2, W, 0, UINT64_MAX), c;

	is_int(set(t, 1, W, 0, 99, NULL), 0, "a write lock");
	is_int(set(t, 2, R, 99, 99, NULL), -EAGAIN, "conflicts in its last byte");
	is_int(set(t, 2, R, 100, 100, NULL), 0, "not behind it");
	is_int(set(t, 2, U, 100, 100, NULL), 0, "released");
	is_int(set(t, 1, U, 40, 59, NULL), 0, "unlocking the middle");
	is_int(set(t, 2, W, 40, 59, NULL), 0, "lets others in there");
	is_int(set(t, 2, W, 39, 39, NULL), -EAGAIN, "but not beside it");
	is_int(set(t, 2, U, 0, UINT64_MAX, NULL), 0, "others' locks stay");
	is_int(set(t, 1, R, 0, 9, NULL), 0, "a part becomes a read lock");
	is_int(set(t, 2, R, 0, 9, NULL), 0, "which is shared");
	ok(locktab_test(t, &file, &probe, &c) && c.owner.number == 1 && c.start == 0, "test names the conflict");
	is_int(set(t, 1, W, 0, 5, NULL), -EAGAIN, "no upgrade against another reader");
	is_int(set(t, 1, W, 10, 5, NULL), -EINVAL, "a range that ends before it begins");
	is_int(set(t, 1, U, 0, UINT64_MAX, NULL), 0, "all away");
	is_int(set(t, 2, U, 0, UINT64_MAX, NULL), 0, "all away");
	ok(!locktab_has(t, &file) && t->count == 0, "nothing is left");
}

static void test_merge(struct locktab *t)
{
	struct lock_spec probe = spec(2, R, 15, 15), c;

	(void)!set(t, 1, W, 0, 9, NULL);
	(void)!set(t, 1, W, 20, 29, NULL);
	(void)!set(t, 1, W, 10, 19, NULL);
	is_int(t->count, 1, "neighbours are joined");
	ok(locktab_test(t, &file, &probe, &c) && c.start == 0 && c.end == 29, "into one range");
	(void)!set(t, 1, U, 0, UINT64_MAX, NULL);
}

static void test_waiting(struct locktab *t)
{
	struct waiter a, b, c;

	(void)!set(t, 1, W, 0, 9, NULL);
	is_int(set(t, 2, R, 0, 9, &a), -EINPROGRESS, "a reader waits");
	is_int(set(t, 3, W, 0, 9, &b), -EINPROGRESS, "a writer behind it");
	is_int(set(t, 4, R, 0, 9, &c), -EINPROGRESS, "another reader behind that");
	(void)!set(t, 1, U, 0, 9, NULL);
	ok(a.err == 0 && b.err == 1 && c.err == 1, "the first is granted, the second reader does not overtake the writer");
	(void)!set(t, 2, U, 0, 9, NULL);
	ok(b.err == 0 && c.err == 1, "then the writer");
	locktab_cancel(&c.w);
	is_int(c.err, -EINTR, "a wait is cancelled");
	is_int(set(t, 5, W, 0, 0, &a), -EINPROGRESS, "a wait");
	ok(locktab_find_wait(t, &file, WP_LOCK_KIND_POSIX, &(struct lock_owner){ 1, 5 }, 0, 0) == &a.w, "is found");
	locktab_release_owner(t, &file, WP_LOCK_KIND_POSIX, &(struct lock_owner){ 1, 3 });
	is_int(a.err, 0, "the owner's close lets it through");
	locktab_release_session(t, 1);
	ok(!locktab_has(t, &file), "the session's end releases all");
}

static void test_deadlock(struct locktab *t)
{
	struct lock_spec s = spec(3, W, 0, 0);
	struct waiter a, b, c;

	(void)!set(t, 1, W, 0, 0, NULL);
	(void)!set(t, 2, W, 1, 1, NULL);
	(void)!locktab_set(t, &other_file, &s, NULL);
	is_int(set(t, 1, W, 1, 1, &a), -EINPROGRESS, "1 waits for 2");
	is_int(set(t, 2, W, 0, 0, &b), -EDEADLK, "2 for 1 would close the circle");
	b = (struct waiter){ .w = { .done = called }, .err = 1 };
	s = spec(2, W, 0, 0);
	is_int(locktab_set(t, &other_file, &s, &b.w), -EINPROGRESS, "2 waits for 3 on another file");
	is_int(set(t, 3, W, 0, 0, &c), -EDEADLK, "3 for 1 would close the longer one");
	is_int(set(t, 4, W, 0, 0, &c), -EINPROGRESS, "4 may wait");
	locktab_release_session(t, 1);
	ok(a.err != 1 && b.err != 1 && c.err != 1, "nobody waits any more");
}

static void test_kinds(struct locktab *t)
{
	struct lock_spec f1 = { .kind = WP_LOCK_KIND_FLOCK, .type = W, .owner = { 1, 1 }, .end = UINT64_MAX }, f2 = f1;

	f2.owner.number = 2;
	is_int(set(t, 2, W, 0, 99, NULL), 0, "a record lock");
	is_int(locktab_set(t, &file, &f1, NULL), 0, "does not hinder flock");
	is_int(locktab_set(t, &file, &f2, NULL), -EAGAIN, "another flock does");
	f1.type = R;
	is_int(locktab_set(t, &file, &f1, NULL), 0, "converted to shared");
	f2.type = R;
	is_int(locktab_set(t, &file, &f2, NULL), 0, "now both share");
	is_int(locktab_count(t, 1), 3, "counted");
	locktab_release_session(t, 1);
	is_int(t->count, 0, "released");
}

int main(void)
{
	struct locktab t;

	locktab_init(&t);
	test_ranges(&t);
	test_merge(&t);
	test_waiting(&t);
	test_deadlock(&t);
	test_kinds(&t);
	locktab_done(&t);
	return done_testing();
}
