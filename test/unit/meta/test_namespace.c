/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Names: every operation's errors, links, times. */
#include "tap.h"
#include "world.h"

static struct world w;

static struct wp_attr attr_of(struct wp_fid fid)
{
	struct wp_attr a = { 0 };

	ok_quiet(t_getattr(&w, fid, &a) == 0, "getattr");
	return a;
}

static int tcmp(struct wp_time a, struct wp_time b)
{
	return a.sec != b.sec ? (a.sec < b.sec ? -1 : 1) : a.nsec < b.nsec ? -1 : a.nsec > b.nsec;
}

static void test_root(void)
{
	struct wp_attr a = attr_of(root_fid);

	ok(S_ISDIR(a.mode) && (a.mode & 07777) == 0755 && !a.uid && !a.gid && a.nlink == 2, "the root");
	is_int(t_getattr(&w, (struct wp_fid){ 99, 1, 0 }, NULL), -ESTALE, "no such inode");
	is_int(t_getattr(&w, (struct wp_fid){ 5ull << 28 | 1, 1, 0 }, NULL), -WEFT_ESTALEMAP, "another target's inode");
	is_int(t_getattr(&w, (struct wp_fid){ 0, 0, 0 }, NULL), -ESTALE, "no fid");
}

static void test_mkdir(void)
{
	char name[260];
	struct wp_attr a, r0 = attr_of(root_fid), r1;

	world_sleep(&w, 10);
	is_int(t_mkdir(&w, root_fid, "d", 0750, &a), 0, "mkdir");
	ok(S_ISDIR(a.mode) && (a.mode & 07777) == 0750 && a.nlink == 2, "its attributes");
	r1 = attr_of(root_fid);
	ok(r1.nlink == 3 && tcmp(r1.mtime, r0.mtime) > 0 && tcmp(r1.ctime, r0.ctime) > 0 && !tcmp(r1.atime, r0.atime), "the parent's");
	is_int(t_mkdir(&w, root_fid, "d", 0755, NULL), -EEXIST, "again");
	is_int(t_mkdir(&w, root_fid, ".", 0755, NULL), -EEXIST, ".");
	is_int(t_mkdir(&w, root_fid, "..", 0755, NULL), -EEXIST, "..");
	is_int(t_mkdir(&w, root_fid, "", 0755, NULL), -ENOENT, "no name");
	is_int(t_mkdir(&w, root_fid, "a/b", 0755, NULL), -EINVAL, "a slash");
	memset(name, 'n', sizeof(name));
	name[255] = 0;
	is_int(t_mkdir(&w, root_fid, name, 0755, NULL), 0, "255 bytes");
	is_int(t_rmdir(&w, root_fid, name), 0, "and away");
	is_int(t_mknod(&w, a.fid, "f", S_IFREG | 0644, NULL), 0, "a file");
	is_int(t_rmdir(&w, root_fid, "d"), -ENOTEMPTY, "not empty");
	is_int(t_rmdir(&w, a.fid, "f"), -ENOTDIR, "rmdir of a file");
	is_int(t_unlink(&w, root_fid, "d"), -EISDIR, "unlink of a directory");
	is_int(t_rmdir(&w, root_fid, "."), -EINVAL, "rmdir .");
	is_int(t_rmdir(&w, root_fid, ".."), -ENOTEMPTY, "rmdir ..");
	is_int(t_rmdir(&w, root_fid, "none"), -ENOENT, "rmdir of nothing");
	is_int(t_unlink(&w, a.fid, "f"), 0, "unlink");
	is_int(t_rmdir(&w, root_fid, "d"), 0, "rmdir");
	ok(attr_of(root_fid).nlink == 2, "nlink falls");
	is_int(t_mkdir(&w, a.fid, "x", 0755, NULL), -ESTALE, "in a removed directory");
	is_int(t_lookup(&w, root_fid, "d", NULL), -ENOENT, "it is gone");
}

static void test_files(void)
{
	struct wp_readlink_req q;
	struct wp_readlink_rep p;
	struct wp_attr a, b;
	struct wp_entry e;

	is_int(t_create(&w, root_fid, "f", 0640, WP_OPEN_WRITE | WP_OPEN_EXCL, 1, &e), 0, "create");
	ok(S_ISREG(e.attr.mode) && e.attr.nlink == 1 && (e.has & 3) == 3 && e.layout.components_n == 2, "with layout and capability");
	ok(e.layout.components[0].targets_n == 1 && e.layout.components[1].targets_n == 3, "targets of the best class only");
	ok(!(e.attr.flags & WP_ATTR_UNSETTLED), "its size is known");
	a = e.attr;
	is_int(t_create(&w, root_fid, "f", 0640, WP_OPEN_WRITE | WP_OPEN_EXCL, 2, NULL), -EEXIST, "exclusive");
	is_int(t_create(&w, root_fid, "f", 0640, WP_OPEN_READ, 2, &e), 0, "not exclusive");
	ok(wp_fid_eq(&e.attr.fid, &a.fid) && e.attr.flags & WP_ATTR_UNSETTLED, "opens it, and somebody writes");
	is_int(t_close(&w, a.fid, 1, false, NULL), 0, "close");
	is_int(t_close(&w, a.fid, 2, false, NULL), 0, "close");
	is_int(t_lookup(&w, a.fid, "x", NULL), -ENOTDIR, "lookup in a file");
	is_int(t_mkdir(&w, a.fid, "x", 0700, NULL), -ENOTDIR, "mkdir in a file");
	is_int(t_open(&w, a.fid, WP_OPEN_READ, 9, &e), 0, "open");
	ok(!(e.attr.flags & (WP_ATTR_UNSETTLED | WP_ATTR_HAS_DATA)), "nobody wrote: settled, without objects");
	is_int(t_close(&w, a.fid, 9, false, NULL), 0, "close");
	is_int(t_open(&w, root_fid, WP_OPEN_WRITE, 9, NULL), -EISDIR, "writing a directory");
	is_int(t_create(&w, root_fid, "..", 0644, WP_OPEN_WRITE, 9, NULL), -EISDIR, "creating ..");
	world_sleep(&w, 5);
	is_int(t_link(&w, a.fid, root_fid, "g", &b), 0, "link");
	ok(b.nlink == 2 && tcmp(b.ctime, a.ctime) > 0 && !tcmp(b.mtime, a.mtime), "changes nlink and ctime");
	is_int(t_link(&w, a.fid, root_fid, "g", NULL), -EEXIST, "link onto a name");
	is_int(t_link(&w, root_fid, root_fid, "h", NULL), -EPERM, "link of a directory");
	is_int(t_link(&w, (struct wp_fid){ 7ull << 28 | 1, 1, 0 }, root_fid, "h", NULL), -EXDEV, "link to another target's");
	is_int(t_unlink(&w, root_fid, "f"), 0, "unlink the first name");
	ok(attr_of(a.fid).nlink == 1, "the other is left");
	is_int(t_unlink(&w, root_fid, "g"), 0, "unlink the last");
	is_int(t_getattr(&w, a.fid, NULL), -ESTALE, "gone");
	is_int(t_symlink(&w, root_fid, "s", "../some/where", &a), 0, "symlink");
	ok(S_ISLNK(a.mode) && a.size == 13 && (a.mode & 0777) == 0777, "its attributes");
	q = (struct wp_readlink_req){ .fid = a.fid };
	ok(!CALL(&w, readlink, READLINK, &q, &p) && wp_str_eq(p.target, wp_str("../some/where")), "readlink");
	q.fid = root_fid;
	is_int(CALL(&w, readlink, READLINK, &q, &p), -EINVAL, "readlink of a directory");
	is_int(t_symlink(&w, root_fid, "s2", "", NULL), -ENOENT, "empty symlink");
	is_int(t_link(&w, a.fid, root_fid, "s3", &b), 0, "link to a symlink");
	is_int(t_open(&w, a.fid, WP_OPEN_READ, 9, NULL), -ELOOP, "open of a symlink");
	is_int(t_unlink(&w, root_fid, "s") | t_unlink(&w, root_fid, "s3"), 0, "away");
	is_int(t_mknod(&w, root_fid, "null", S_IFCHR | 0666, &a), 0, "device");
	ok(S_ISCHR(a.mode) && a.rdev_major == 1 && a.rdev_minor == 3, "its numbers");
	is_int(t_mknod(&w, root_fid, "fifo", S_IFIFO | 0666, &a), 0, "fifo");
	w.cred = cred_user(1000, 1000);
	is_int(t_mknod(&w, root_fid, "null2", S_IFCHR | 0666, &a), -EACCES, "no permission comes first");
	w.cred = cred_root();
	is_int(t_unlink(&w, root_fid, "null") | t_unlink(&w, root_fid, "fifo"), 0, "away");
}

static void test_rename(void)
{
	struct wp_attr a, b, c, f, g, x;
	struct wp_rename_rep rep;

	is_int(t_mkdir(&w, root_fid, "a", 0755, &a) | t_mkdir(&w, root_fid, "b", 0755, &b) | t_mkdir(&w, a.fid, "c", 0755, &c) |
		       t_mknod(&w, a.fid, "f", S_IFREG | 0644, &f) | t_mknod(&w, b.fid, "g", S_IFREG | 0644, &g), 0, "a tree");
	is_int(t_rename(&w, a.fid, "none", b.fid, "x", 0), -ENOENT, "of nothing");
	is_int(t_rename(&w, root_fid, "a", c.fid, "x", 0), -EINVAL, "into itself, deep");
	is_int(t_rename(&w, root_fid, "a", a.fid, "x", 0), -EINVAL, "into itself");
	is_int(t_rename(&w, a.fid, "c", root_fid, "a", 0), -ENOTEMPTY, "onto an ancestor");
	is_int(t_rename(&w, a.fid, "f", root_fid, "b", 0), -EISDIR, "a file onto a directory");
	is_int(t_rename(&w, a.fid, "c", b.fid, "g", 0), -ENOTDIR, "a directory onto a file");
	is_int(t_rename(&w, root_fid, "b", root_fid, "a", 0), -ENOTEMPTY, "onto a full directory");
	is_int(t_rename(&w, a.fid, "f", b.fid, "g", WP_RENAME_NOREPLACE), -EEXIST, "noreplace");
	is_int(t_rename(&w, a.fid, "f", b.fid, "h", WP_RENAME_EXCHANGE), -ENOENT, "exchange with nothing");
	is_int(t_rename(&w, a.fid, "f", b.fid, "g", WP_RENAME_EXCHANGE | WP_RENAME_NOREPLACE), -EINVAL, "both flags");
	is_int(t_rename(&w, a.fid, "f", (struct wp_fid){ 7ull << 28 | 1, 1, 0 }, "g", 0), -EXDEV, "to another target");
	world_sleep(&w, 5);
	is_int(t_rename(&w, a.fid, "c", b.fid, "c2", 0), 0, "a directory to another parent");
	ok(attr_of(a.fid).nlink == 2 && attr_of(b.fid).nlink == 3, "links of the parents");
	x = attr_of(c.fid);
	ok(tcmp(x.ctime, c.ctime) > 0 && !tcmp(x.mtime, c.mtime), "ctime of the moved");
	is_int(t_rename(&w, a.fid, "f", b.fid, "c2", WP_RENAME_EXCHANGE), 0, "exchange a file and a directory");
	ok(attr_of(a.fid).nlink == 3 && attr_of(b.fid).nlink == 2, "links follow");
	ok(!t_lookup(&w, b.fid, "c2", &x) && wp_fid_eq(&x.fid, &f.fid) && !t_lookup(&w, a.fid, "f", &x) && wp_fid_eq(&x.fid, &c.fid),
	   "both are exchanged");
	is_int(t_rename(&w, b.fid, "c2", b.fid, "g", 0), 0, "onto a file");
	ok(attr_of(g.fid).nlink == 0, "which lives on for a moment without a name");
	world_sleep(&w, 1000);
	is_int(t_getattr(&w, g.fid, NULL), -ESTALE, "and is gone");
	is_int(t_link(&w, f.fid, a.fid, "f2", NULL), 0, "link");
	is_int(t_rename(&w, b.fid, "g", a.fid, "f2", 0), 0, "onto another name of the same");
	ok(!wp_rename_rep_decode(w.last.reply, w.last.reply_len, w.scratch, sizeof(w.scratch), &rep) &&
		   rep.has & WP_RENAME_REP_HAS_OTHER && wp_fid_eq(&rep.other.attr.fid, &rep.moved),
	   "the reply tells that");
	ok(!t_lookup(&w, b.fid, "g", &x) && x.nlink == 2, "does nothing");
	is_int(t_rename(&w, b.fid, "g", b.fid, "g", 0), 0, "onto itself");
	is_int(t_rename(&w, b.fid, "g", b.fid, ".", 0), -EBUSY, "onto .");
	is_int(t_mkdir(&w, root_fid, "e", 0755, &x), 0, "an empty directory");
	is_int(t_rename(&w, a.fid, "f", root_fid, "e", 0), 0, "a directory onto it");
	is_int(t_getattr(&w, x.fid, NULL), -ESTALE, "which is gone");
	ok(attr_of(root_fid).nlink == 5 && attr_of(a.fid).nlink == 2, "links");
	is_int(t_unlink(&w, a.fid, "f2") | t_unlink(&w, b.fid, "g") | t_rmdir(&w, root_fid, "a") | t_rmdir(&w, root_fid, "b") |
		       t_rmdir(&w, root_fid, "e"), 0, "all away");
	ok(attr_of(root_fid).nlink == 2, "the root is as it was");
}

static void test_readdir(void)
{
	static char names[3000][256];
	struct wp_attr d;
	char name[32];
	bool seen[2000] = { 0 };
	int n;

	is_int(t_mkdir(&w, root_fid, "many", 0755, &d), 0, "mkdir");
	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "file-%d", i);
		ok_quiet(t_mknod(&w, d.fid, name, S_IFREG | 0600, NULL) == 0, "mknod");
	}
	for (uint32_t size = 300; size < 2000000; size *= 9) {
		bool twice = false;

		memset(seen, 0, sizeof(seen));
		n = t_readdir(&w, d.fid, size, names, 3000);
		for (int i = 0; i < n; i++) {
			int k = atoi(names[i] + 5);

			twice |= seen[k];
			seen[k] = true;
		}
		ok(n == 2000 && !twice, "2000 names, each once, in pages of %u bytes (%d)", size, n);
	}
	is_int(t_readdir(&w, (struct wp_fid){ 99, 1, 0 }, 4096, names, 10), -ESTALE, "of nothing");
	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "file-%d", i);
		ok_quiet(t_unlink(&w, d.fid, name) == 0, "unlink");
	}
	is_int(t_readdir(&w, d.fid, 4096, names, 10), 0, "empty");
	is_int(t_rmdir(&w, root_fid, "many"), 0, "away");
}

static void test_usage(void)
{
	struct wp_usage_get_req q = { .kind = 0, .first = 0 };
	struct wp_usage_get_rep p = { 0 };
	struct wp_attr a;

	w.cred = cred_root();
	ok(!CALL(&w, usage_get, USAGE_GET, &q, &p) && p.rows_n == 1 && p.rows[0].inodes == 1, "only the root is left: %u rows, %llu",
	   p.rows_n, p.rows_n ? (unsigned long long)p.rows[0].inodes : 0);
	ok(!t_mknod(&w, root_fid, "u", S_IFREG | 0644, &a), "mknod");
	ok(!t_setattr(&w, &(struct wp_setattr_req){ .fid = a.fid, .valid = WP_SETATTR_UID, .uid = 5 }, NULL), "chown");
	ok(!CALL(&w, usage_get, USAGE_GET, &q, &p) && p.rows_n == 2 && p.rows[0].inodes == 1 && p.rows[1].id == 5 &&
		   p.rows[1].inodes == 1, "usage follows the owner");
	ok(!t_unlink(&w, root_fid, "u") && !CALL(&w, usage_get, USAGE_GET, &q, &p) && p.rows[1].inodes == 0, "and the removal");
}

int main(void)
{
	world_init(&w, 1, "journal");
	if (!world_open(&w))
		bail_out("open");
	world_session(&w);
	test_root();
	test_mkdir();
	test_files();
	test_rename();
	test_readdir();
	test_usage();
	world_stop(&w);
	world_done(&w);
	return done_testing();
}
