/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The cache by itself: which statements count, what is known of names, what happens at its bounds. */
#include <stdlib.h>
#include <sys/stat.h>

#include "client/cache_priv.h"
#include "layout/dirhash.h"
#include "tap.h"

#define ATTR WP_LEASE_ATTR
#define ENTRIES WP_LEASE_ENTRIES
#define NOW 1000u
#define UNTIL 5000u

static struct session ses;
static struct cache *ca;
static const struct client_cred root = { .cap_dac = true }, user = { .uid = 7, .gid = 7 };
static const struct wp_fid dir = { 1, 10, 0 };

static struct wp_attr attr_of(uint32_t oid, uint32_t mode, uint64_t change)
{
	return (struct wp_attr){ .fid = { 1, oid, 0 }, .mode = mode, .nlink = 1, .change = change, .size = change };
}

static uint32_t say(const struct wp_attr *a, uint32_t bits, uint64_t seq, uint32_t *lost)
{
	struct wp_lease l = { bits, seq };

	return cl_cache_attr(ca, &ses, a, &l, lost);
}

static uint32_t say_dir(uint32_t bits, uint64_t seq, uint64_t change)
{
	struct wp_attr a = attr_of(dir.oid, S_IFDIR | 0755, change);

	return say(&a, bits, seq, NULL);
}

static int look(const char *name, const struct client_cred *cred)
{
	struct wp_attr a;
	uint64_t e, t;

	return cl_cache_lookup(ca, NOW, cred, &dir, wp_str(name), &a, &e, &t);
}

static void setup(void)
{
	cl_cache_free(ca);
	memset(&ses, 0, sizeof(ses));
	cl_session_init_leases(&ses);
	atomic_store(&ses.lease_until_ns, UNTIL);
	ca = cl_cache_new(NULL);
}

static void learn(const char *name, uint32_t oid, uint64_t change)
{
	struct wp_fid fid = { 1, oid, 0 };

	cl_cache_name(ca, &dir, change, wp_str(name), oid ? &fid : NULL, S_IFREG);
}

static void test_statements(void)
{
	struct wp_attr a = attr_of(20, S_IFREG | 0644, 5), got;
	struct wp_fid fid = a.fid;
	uint32_t lost = 0;
	uint64_t ttl;

	setup();
	ok(cl_cache_getattr(ca, NOW, &fid, &got, &ttl) == -EAGAIN, "nothing is known at first");
	ok(say(&a, ATTR, 10, &lost) == ATTR && !lost, "a grant");
	ok(!cl_cache_getattr(ca, NOW, &fid, &got, &ttl) && got.change == 5 && ttl == UNTIL - NOW,
	   "an answer, and for how long");
	ok(cl_cache_getattr(ca, UNTIL, &fid, &got, &ttl) == -EAGAIN, "none when the time is over");
	a = attr_of(20, S_IFREG | 0644, 4);
	ok(say(&a, ATTR, 9, &lost) == 0, "an older reply arrives late: nobody may keep it");
	ok(!cl_cache_getattr(ca, NOW, &fid, &got, &ttl) && got.change == 5, "and changes nothing");
	ok(cl_cache_recall(ca, &ses, &fid, ATTR, 12) == ATTR, "a recall");
	ok(cl_cache_getattr(ca, NOW, &fid, &got, &ttl) == -EAGAIN, "takes the answer away");
	ok(say(&a, ATTR, 11, &lost) == 0, "a grant of before the recall that arrives after it is void");
	ok(say(&a, ATTR, 13, &lost) == ATTR, "a newer one counts");
	ok(cl_cache_recall(ca, &ses, &fid, ATTR, 12) == 0, "a recall told twice does not touch it");
	a = attr_of(20, S_IFREG | 0644, 5);
	ok(say(&a, ATTR, 13, &lost) == ATTR && !cl_cache_getattr(ca, NOW, &fid, &got, &ttl), "told again");
	a.flags = WP_ATTR_UNSETTLED;
	ok(say(&a, ATTR, 13, &lost) == 0 && cl_cache_getattr(ca, NOW, &fid, &got, &ttl) == -EAGAIN,
	   "not any more: it is being written");
	ok(say(&a, 0, 14, &lost) == 0 && lost == ATTR, "a reply takes it back");
	ok(say(&a, ATTR, 15, &lost) == 0 && cl_cache_getattr(ca, NOW, &fid, &got, &ttl) == -EAGAIN,
	   "attributes that are not settled are not kept");
}

/* More recalls of unknown inodes than are remembered one by one. */
static void test_forgotten_recalls(void)
{
	struct wp_attr a = attr_of(21, S_IFREG | 0644, 1);
	bool void_all = true;

	setup();
	for (uint32_t i = 0; i < 8 * SESSION_RECALLS; i++)
		(void)cl_cache_recall(ca, &ses, &(struct wp_fid){ 1, 100 + i, 0 }, ATTR, 100 + i);
	for (uint32_t i = 0; i < 8 * SESSION_RECALLS; i++) {
		struct wp_attr b = attr_of(100 + i, S_IFREG, 1);

		void_all &= say(&b, ATTR, 100 + i - 1, NULL) == 0;
	}
	ok(void_all, "what was recalled stays recalled, remembered or not");
	ok(say(&a, ATTR, 100 + 9 * SESSION_RECALLS, NULL) == ATTR, "new grants count");
}

static void test_names(void)
{
	struct wp_attr a = attr_of(20, S_IFREG | 0644, 1);

	setup();
	learn("early", 20, 3);
	ok(look("early", &root) == -EAGAIN, "names without a lease are not kept");
	ok(say_dir(ATTR | ENTRIES, 1, 10) == (ATTR | ENTRIES), "the directory is leased");
	(void)say(&a, ATTR, 2, NULL);
	ok(look("x", &root) == -EAGAIN, "a name nobody asked about");
	learn("x", 20, 10);
	ok(!look("x", &root), "a known name");
	learn("none", 0, 10);
	ok(look("none", &root) == -ENOENT, "a name known to be missing");
	ok(!cl_cache_name(ca, &dir, 9, wp_str("old"), &a.fid, S_IFREG) &&
		   cl_cache_name(ca, &dir, 10, wp_str("new"), &a.fid, S_IFREG),
	   "what is old is not for keeping");
	ok(look("old", &root) == -EAGAIN, "from before the lease: not valid");
	learn("x", 0, 12);
	learn("x", 20, 11);
	ok(look("x", &root) == -ENOENT, "of two statements the one with the higher change number is true");
	(void)cl_cache_recall(ca, &ses, &dir, ENTRIES, 5);
	ok(look("none", &root) == -EAGAIN, "recalled");
	(void)say_dir(ATTR | ENTRIES, 6, 20);
	learn("x", 20, 15);
	ok(look("x", &root) == -EAGAIN, "late news of the earlier lease are not valid in the next");
	(void)cl_cache_recall(ca, &ses, &a.fid, ATTR, 7);
	learn("x", 20, 20);
	ok(look("x", &root) == -EAGAIN, "a name whose inode is not known");
}

static void test_access(void)
{
	struct wp_attr d = attr_of(dir.oid, S_IFDIR | 0750, 1), a = attr_of(20, S_IFREG | 0644, 1);
	struct client_cred member = {
		.uid = 9, .gid = 8, .groups_known = true, .groups_n = 1, .groups = (const uint32_t[]){ 5 }
	};

	setup();
	d.gid = 5;
	(void)say(&d, ATTR | ENTRIES, 1, NULL);
	(void)say(&a, ATTR, 2, NULL);
	learn("x", 20, 1);
	ok(!look("x", &root), "root may search");
	ok(look("x", &user) == -EAGAIN, "the outcome depends on groups that are not known");
	ok(!look("x", &member), "a member may");
	d.mode = S_IFDIR | 0700;
	d.change = 2;
	(void)say(&d, ATTR | ENTRIES, 3, NULL);
	ok(look("x", &user) == -EACCES && look("x", &member) == -EACCES, "others may not");
	d.flags = WP_ATTR_HAS_ACL;
	d.change = 3;
	(void)say(&d, ATTR | ENTRIES, 4, NULL);
	ok(look("x", &user) == -EAGAIN, "with an ACL the target is asked");
}

struct list_seen {
	uint64_t cookies[8192];
	uint32_t n, max;
};

static bool see(void *arg, const struct wp_dirent *d)
{
	struct list_seen *l = arg;

	if (l->n == l->max)
		return false;
	l->cookies[l->n++] = d->cookie;
	return true;
}

static int by_cookie(const void *x, const void *y)
{
	const struct wp_dirent *a = x, *b = y;

	return a->cookie < b->cookie ? -1 : a->cookie > b->cookie;
}

static struct wp_dirent page[1000];
static char names[1000][16];

static void make_page(void)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(page); i++) {
		snprintf(names[i], sizeof(names[i]), "n%u", i);
		page[i] = (struct wp_dirent){ .fid = { 1, 1000 + i, 0 }, .type = S_IFREG, .name = wp_str(names[i]) };
		page[i].cookie = dir_name_hash(&dir, page[i].name);
	}
	qsort(page, ARRAY_SIZE(page), sizeof(page[0]), by_cookie);
}

static void test_listing(void)
{
	static struct list_seen l = { .max = 300 };
	struct wp_fid parent;
	bool eof, sorted = true;

	setup();
	make_page();
	(void)say_dir(ATTR | ENTRIES, 1, 10);
	ok(cl_cache_readdir(ca, NOW, &dir, 2, &parent, see, &l, &eof) == -EAGAIN, "not listed yet");
	cl_cache_page(ca, &dir, 10, &WP_FID_ROOT, 2, page[499].cookie, page, 500);
	ok(!cl_cache_readdir(ca, NOW, &dir, 2, &parent, see, &l, &eof) && l.n == 300 && !eof, "a part, as much as fits");
	ok(!cl_cache_readdir(ca, NOW, &dir, l.cookies[299], &parent, see, &(struct list_seen){ .max = 500 }, &eof) && !eof,
	   "what is known goes on, and is not all");
	ok(cl_cache_readdir(ca, NOW, &dir, page[499].cookie, &parent, see, &l, &eof) == -EAGAIN, "the rest is not known");
	cl_cache_page(ca, &dir, 10, &WP_FID_ROOT, page[499].cookie, WP_READDIR_END, page + 500, 500);
	learn(names[7], 0, 11);
	learn("new", 20, 12);
	l = (struct list_seen){ .max = ARRAY_SIZE(l.cookies) };
	ok(!cl_cache_readdir(ca, NOW, &dir, 2, &parent, see, &l, &eof) && l.n == 1000 && eof, "all: one gone, one new: %u",
	   l.n);
	for (uint32_t i = 1; i < l.n; i++)
		sorted &= l.cookies[i] > l.cookies[i - 1];
	ok(sorted && wp_fid_is_root(&parent), "in the order of cookies");
	ok(look("nowhere", &root) == -ENOENT, "with a whole listing every other name is known to be missing");
	cl_cache_forget(ca, &dir, 13);
	(void)say_dir(ATTR | ENTRIES, 2, 13);
	ok(look("nowhere", &root) == -EAGAIN && look(names[3], &root) == -EAGAIN, "forgotten");
}

/* A page that is older than a removal must not bring the name back. */
static void test_listing_late(void)
{
	static struct list_seen l = { .max = ARRAY_SIZE(l.cookies) };
	struct wp_fid parent;
	bool eof;

	setup();
	(void)say_dir(ATTR | ENTRIES, 1, 10);
	learn(names[3], 0, 11);
	cl_cache_page(ca, &dir, 10, &WP_FID_ROOT, 2, WP_READDIR_END, page, 1000);
	ok(!cl_cache_readdir(ca, NOW, &dir, 2, &parent, see, &l, &eof) && l.n == 999, "removed while it was listed: %u", l.n);
	for (uint32_t i = 0; i <= CDIR_GONE_MAX; i++) {
		char name[16];

		snprintf(name, sizeof(name), "gone%u", i);
		learn(name, 0, 20 + i);
	}
	learn(names[3], 1003, 12);
	ok(look(names[3], &root) == -ENOENT, "also after many missing names were dropped");
}

static unsigned voided;

static void count_voided(void *arg, const struct wp_fid *fid, uint32_t bits)
{
	(void)arg;
	voided += fid->oid >= 2000000 || bits;
}

static void keep_nothing(void *arg, const struct wp_fid *fid, uint32_t bits) {}

static void test_bounds(void)
{
	static struct client_mount mount = { .invalidate = keep_nothing };
	struct wp_lease_ref refs[64];
	struct cache_stats s;
	uint32_t n, total = 0;

	setup();
	for (uint32_t i = 0; i < CACHE_INODES_MAX + 5000; i++) {
		struct wp_attr a = attr_of(1 + i, S_IFREG | 0644, 1);

		(void)say(&a, ATTR, 1 + i, NULL);
	}
	cl_cache_stats(ca, &s);
	ok(s.inodes <= CACHE_INODES_MAX + CACHE_SHARDS && s.evicted >= 4000, "the number is bounded: %llu",
	   (unsigned long long)s.inodes);
	ok(cl_cache_recall(ca, &ses, &(struct wp_fid){ 1, 900000, 0 }, ATTR, 900000) == ATTR,
	   "what is called back of an unknown inode may still be kept by somebody");
	while ((n = cl_cache_evicted(ca, NOW, &ses, refs, ARRAY_SIZE(refs)))) {
		total += n;
		for (uint32_t i = 0; i < n; i++) {
			struct wp_attr a = attr_of(refs[i].fid.oid, S_IFREG, 1);

			if (say(&a, ATTR, refs[i].lease.seq, NULL))
				total = UINT32_MAX / 2;
		}
	}
	ok(total && total <= CACHE_GIVE_BACK, "leases of evicted inodes are given back, and old grants of them are void: %u",
	   total);
	/* The same with a kernel that keeps things. */
	ca->m = &mount;
	for (uint32_t i = 0; i < CACHE_INODES_MAX; i++) {
		struct wp_attr a = attr_of(2000000 + i, S_IFREG | 0644, 1);

		(void)say(&a, ATTR, 2000000 + i, NULL);
	}
	ok(!cl_cache_evicted(ca, UNTIL - 1, &ses, refs, ARRAY_SIZE(refs)) && cl_cache_evicted(ca, UNTIL, &ses, refs, 1) == 1,
	   "not before nobody keeps anything under them");
	cl_cache_void(ca, &ses, count_voided, &total);
	ok(voided == CACHE_INODES_MAX + CACHE_GIVE_BACK - 1, "void are those, too: %u", voided);
	ok(!cl_cache_evicted(ca, UINT64_MAX, &ses, refs, 1), "none is left");
	cl_cache_stats(ca, &s);
	ok(s.inodes == 0 && s.names == 0, "nothing is left when the session ends");
}

static void test_removed_directory(void)
{
	struct wp_attr a = attr_of(dir.oid, S_IFDIR | 0755, 10), got;
	uint64_t ttl;

	setup();
	(void)say_dir(ATTR | ENTRIES, 1, 10);
	cl_cache_dead(ca, &ses, &a);
	ok(!cl_cache_getattr(ca, UNTIL + 1, &dir, &got, &ttl) && got.nlink == 0, "whoever is in it still sees it");
	ok(look("x", &root) == -ENOENT, "without names");
	ok(say_dir(ATTR | ENTRIES, 9, 20) == 0, "it does not come back");
}

/* Who has to ask may keep the answer only if the reply says so. */
static void test_no_answer(void)
{
	uint64_t e = 1, t = 1;
	struct wp_attr a;

	setup();
	(void)say_dir(ATTR | ENTRIES, 1, 1);
	ok(cl_cache_lookup(ca, NOW, &root, &dir, wp_str("x"), &a, &e, &t) == -EAGAIN && !e && !t,
	   "no answer, and no time for it");
	learn("x", 30, 2);
	e = t = 1;
	ok(cl_cache_lookup(ca, NOW, &root, &dir, wp_str("x"), &a, &e, &t) == -EAGAIN && !e && !t,
	   "a name whose inode is not known");
	learn("y", 0, 2);
	ok(cl_cache_lookup(ca, NOW, &root, &dir, wp_str("y"), &a, &e, &t) == -ENOENT && e == UNTIL - NOW && !t,
	   "a missing name");
}

int main(void)
{
	test_statements();
	test_forgotten_recalls();
	test_names();
	test_access();
	test_listing();
	test_listing_late();
	test_bounds();
	test_removed_directory();
	test_no_answer();
	cl_cache_free(ca);
	return done_testing();
}
