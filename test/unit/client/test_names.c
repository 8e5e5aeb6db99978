/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Mounting, names, sessions: exactly-once, restarts, eviction, slots, cancellation. */
#include <sys/stat.h>

#include "base/log.h"
#include "bench.h"

static struct result r;

static int groups_hook(void *arg, const struct client_cred *cred, uint32_t *ret, uint32_t max)
{
	(*(unsigned *)arg)++;
	ret[0] = 4711;
	return 1;
}

static void test_names(void)
{
	struct wp_fid dir, file;


	ok(!RUN(client_mkdir(cl, &root_cred, &WP_FID_ROOT, wp_str("dir"), 0777, 022, CB)), "mkdir");
	dir = r.res.attr.fid;
	ok(S_ISDIR(r.res.attr.mode) && (r.res.attr.mode & 07777) == 0755, "mode and umask");
	ok(RUN(client_mkdir(cl, &root_cred, &WP_FID_ROOT, wp_str("dir"), 0777, 022, CB)) == -EEXIST, "mkdir of what exists");
	ok(!RUN(client_lookup(cl, &root_cred, &WP_FID_ROOT, wp_str("dir"), CB)) && wp_fid_eq(&r.res.attr.fid, &dir), "lookup");
	ok(RUN(client_lookup(cl, &root_cred, &dir, wp_str("none"), CB)) == -ENOENT, "lookup of nothing");
	ok(!RUN(client_lookup(cl, &root_cred, &dir, wp_str("."), CB)) && wp_fid_eq(&r.res.attr.fid, &dir), "lookup of .");
	ok(!RUN(client_lookup_parent(cl, &dir, CB)) && wp_fid_is_root(&r.res.attr.fid), "parent");
	ok(!RUN(client_create(cl, &root_cred, &dir, wp_str("file"), 0644, 0, WP_OPEN_READ | WP_OPEN_WRITE, NULL, CB)), "create");
	ok(r.res.created && r.res.file && r.res.attr.size == 0, "created, open, empty");
	file = r.res.attr.fid;
	ok(!RUN(client_release(cl, r.res.file, CB)), "release");
	ok(!RUN(client_symlink(cl, &root_cred, &dir, wp_str("link"), wp_str("../elsewhere"), CB)), "symlink");
	ok(!RUN(client_readlink(cl, &r.res.attr.fid, CB)) && r.res.len == 12 && !memcmp(r.data, "../elsewhere", 12), "readlink");
	ok(!RUN(client_rename(cl, &root_cred, &dir, wp_str("file"), &dir, wp_str("name"), 0, CB)), "rename");
	ok(wp_fid_eq(&r.res.attr.fid, &file), "rename tells what was moved");
	ok(!RUN(client_readdir(cl, &root_cred, &dir, 0, 65536, WP_READDIR_PLUS, CB)), "readdir");
	ok(r.res.dirents_n == 4 && r.res.eof, "four entries with . and ..: %u", r.res.dirents_n);
	ok(!RUN(client_readdir(cl, &root_cred, &dir, 1, 65536, 0, CB)) && r.res.dirents_n == 3, "readdir behind .");
	ok(!RUN(client_readdir(cl, &root_cred, &dir, 2, 1, 0, CB)) && r.res.dirents_n == 1 && !r.res.eof, "readdir in pieces");
	ok(!RUN(client_unlink(cl, &root_cred, &dir, wp_str("name"), CB)), "unlink");
	ok(RUN(client_lookup(cl, &root_cred, &dir, wp_str("name"), CB)) == -ENOENT, "gone");
	ok(!RUN(client_statfs(cl, CB)) && r.res.statfs.total == 1 << 30, "statfs");
	ok(!RUN(client_sync_all(cl, CB)), "sync");
	ok(RUN(client_mkdir(cl, &root_cred, &dir, wp_str_n(memset(r.data, 'x', 300), 300), 0777, 0, CB)) == -ENAMETOOLONG,
	   "long names are refused here");
}

static void test_groups(unsigned *asked)
{
	struct client_cred cred = { .uid = 1000, .gid = 1000, .pid = 1 };

	fc.need_groups = 4711;
	ok(!RUN(client_lookup(cl, &cred, &WP_FID_ROOT, wp_str("dir"), CB)) && *asked == 1, "groups are sent when they matter");
	fc.need_groups = 4712;
	ok(RUN(client_lookup(cl, &cred, &WP_FID_ROOT, wp_str("dir"), CB)) == -EACCES, "and once only");
	fc.need_groups = 0;
}

static void test_exactly_once(void)
{
	unsigned executed, i;
	struct wp_fid last = { 0 };
	char name[32];
	bool all = true;

	for (i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "once%u", i);
		executed = fc.executed;
		fc.drop_replies = 1;
		all &= !RUN(client_mkdir(cl, &root_cred, &WP_FID_ROOT, wp_str(name), 0777, 0, CB));
		all &= fc.executed == executed + 1 && !wp_fid_eq(&last, &r.res.attr.fid);
		last = r.res.attr.fid;
	}
	ok(all && fc.replayed == 10, "lost replies: executed once, answered from the cache (%u)", fc.replayed);
}

#define MANY 1500

static void test_slots(void)
{
	static struct result many[MANY];
	static char names[MANY][32];
	unsigned i, bad = 0;

	fc.max_busy = 0;
	for (i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof(names[i]), "m%u-%u", fc.slots_wanted, i);
		many[i].done = false;
		client_mkdir(cl, &root_cred, &WP_FID_ROOT, wp_str(names[i]), 0777, 0, result_cb, &many[i]);
	}
	for (i = 0; i < MANY; i++) {
		wait_for(&many[i]);
		bad += many[i].err != 0;
	}
	ok(!bad, "more mutations than slots: all are executed");
}

static void test_restart(void)
{
	struct client_file *f;
	struct iovec iov = { (void *)"hello", 5 };

	ok(!RUN(client_create(cl, &root_cred, &WP_FID_ROOT, wp_str("open"), 0644, 0, WP_OPEN_READ | WP_OPEN_WRITE, NULL, CB)),
	   "a file is open");
	f = r.res.file;
	ok(!RUN(client_setlk(cl, f, &(struct client_lock){ .kind = WP_LOCK_KIND_POSIX, .type = WP_LOCK_TYPE_WRITE, .owner = 5,
							     .start = 10, .end = 19 }, false, CB)), "and locked");
	ok(!RUN(client_setlk(cl, f, &(struct client_lock){ .kind = WP_LOCK_KIND_POSIX, .type = WP_LOCK_TYPE_UNLOCK, .owner = 5,
							     .start = 12, .end = 13 }, false, CB)), "in two parts");
	fc_meta_restart(&fc);
	ok(!RUN(client_getattr(cl, &WP_FID_ROOT, CB)), "the target restarts");
	ok(fc.opens_reclaimed == 1 && fc.locks_reclaimed == 2, "handle and locks are reclaimed: %u, %u", fc.opens_reclaimed,
	   fc.locks_reclaimed);
	ok(!RUN(client_write(cl, f, NULL, &iov, 1, 0, 0, CB)), "the handle works");
	ok(!RUN(client_flush(cl, f, 5, CB)), "flush");
	fc_evict(&fc);
	ok(!RUN(client_lookup(cl, &root_cred, &WP_FID_ROOT, wp_str("dir"), CB)), "eviction: names work in a new session");
	ok(RUN(client_write(cl, f, NULL, &iov, 1, 0, 0, CB)) == -ESTALE, "handles of the old one are stale");
	ok(!RUN(client_release(cl, f, CB)), "and can be closed");
	ok(!RUN(client_mkdir(cl, &root_cred, &WP_FID_ROOT, wp_str("after"), 0777, 0, CB)), "mutations work as well");
}

static void test_cancel(void)
{
	struct client_op *op;
	struct result other = { 0 };

	fc.mute = true;
	r.done = false;
	op = client_lookup(cl, &root_cred, &WP_FID_ROOT, wp_str("dir"), CB);
	client_mkdir(cl, &root_cred, &WP_FID_ROOT, wp_str("late"), 0777, 0, result_cb, &other);
	client_cancel(cl, op);
	wait_for(&r);
	ok(r.err == -EINTR && !other.done, "a cancelled operation without an answer ends");
	client_cancel_all(cl, false);
	wait_for(&other);
	ok(other.err == -EINTR, "all are cancelled");
	client_cancel_all(cl, true);
	ok(RUN(client_lookup(cl, &root_cred, &WP_FID_ROOT, wp_str("dir"), CB)) == -ESHUTDOWN, "and no new ones begun");
	r.done = false;
}

/* A mutation that was not answered in time keeps its slot: it may be executed later. */
static void test_timeout(void)
{
	unsigned executed = fc.executed;

	fc.mute = true;
	ok(RUN(client_mkdir(cl, &root_cred, &WP_FID_ROOT, wp_str("slow"), 0777, 0, CB)) == -ETIMEDOUT, "not answered in time");
	fc.mute = false;
	ok(RUN(client_mkdir(cl, &root_cred, &WP_FID_ROOT, wp_str("next"), 0777, 0, CB)) == -ETIMEDOUT && fc.executed == executed,
	   "the next one does not take its slot");
	ok(!RUN(client_lookup(cl, &root_cred, &WP_FID_ROOT, wp_str("dir"), CB)), "others go on");
}

static void left(void *arg)
{
	*(bool *)arg = true;
}

int main(void)
{
	struct client_params p = { .groups = groups_hook };
	unsigned asked = 0;
	bool gone = false;

	p.groups_arg = &asked;
	log_setup("test", getenv("WEFT_DEBUG") ? LOG_DEBUG : LOG_ERR);
	bench_up();
	memcpy(p.id.secret, "wrong secret", 12);
	p.id.secret_len = 12;
	ok(bench_mount(&p, &r) == -EACCES, "a wrong secret is refused at once");
	bench_unmount();
	p.id.secret_len = 0;
	bench_mount(&p, &r);
	ok(!r.err && S_ISDIR(r.res.attr.mode), "mounted: %d", r.err);
	test_names();
	test_groups(&asked);
	test_exactly_once();
	test_slots();
	test_restart();
	client_leave(cl, 5000, left, &gone);
	while (!gone)
		env_linux_run_once(env, true);
	ok(gone, "left");
	bench_unmount();
	ok(!bench_mount(&p, &r), "mounted again");
	test_cancel();
	client_lookup(cl, &root_cred, &WP_FID_ROOT, wp_str("dir"), CB);
	bench_unmount();
	ok(r.done, "unmounting ends what is left");
	fc.slots_wanted = 1;
	fc.mute = false;
	fc_forget_slots(&fc);
	ok(!bench_mount(&p, &r), "mounted with one slot");
	test_slots();
	bench_unmount();
	p.op_timeout_ms = 200;
	ok(!bench_mount(&p, &r), "mounted with a time for answers");
	test_timeout();
	bench_unmount();
	bench_down();
	return done_testing();
}
