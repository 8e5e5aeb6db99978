/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Permissions, owners, set-id bits, ACLs, attributes. */
#include "tap.h"
#include "world.h"

static struct world w;

static struct wp_attr attr_of(struct wp_fid fid)
{
	struct wp_attr a = { 0 };

	ok_quiet(t_getattr(&w, fid, &a) == 0, "getattr");
	return a;
}

static int chmod_(struct wp_fid fid, uint32_t mode, struct wp_attr *a)
{
	return t_setattr(&w, &(struct wp_setattr_req){ .fid = fid, .valid = WP_SETATTR_MODE, .mode = mode }, a);
}

static int chown_(struct wp_fid fid, int64_t uid, int64_t gid, struct wp_attr *a)
{
	struct wp_setattr_req q = { .fid = fid, .uid = (uint32_t)uid, .gid = (uint32_t)gid };

	q.valid = (uid >= 0 ? WP_SETATTR_UID : 0) | (gid >= 0 ? WP_SETATTR_GID : 0);
	return t_setattr(&w, &q, a);
}

static int access_(struct wp_fid fid, uint32_t mask)
{
	struct wp_access_req q = { .cred = w.cred, .fid = fid, .mask = mask };
	struct wp_access_rep p;

	return CALL(&w, access, ACCESS, &q, &p);
}

static void as(uint32_t uid, uint32_t gid) { w.cred = cred_user(uid, gid); }
static void as_root(void) { w.cred = cred_root(); }

static void test_mode_bits(void)
{
	uint32_t groups[] = { 30, 40 };
	struct wp_attr d, f;

	as_root();
	is_int(t_mkdir(&w, root_fid, "p", 0777, &d), 0, "a directory for all");
	as(10, 20);
	is_int(t_mknod(&w, d.fid, "f", S_IFREG | 0640, &f), 0, "a file");
	ok(f.uid == 10 && f.gid == 20, "has its owner");
	is_int(access_(f.fid, 6), 0, "the owner reads and writes");
	is_int(access_(f.fid, 1), -EACCES, "and does not execute");
	as(11, 20);
	is_int(access_(f.fid, 4), 0, "the group reads");
	is_int(access_(f.fid, 2), -EACCES, "and does not write");
	as(11, 21);
	is_int(access_(f.fid, 4), -EACCES, "others do not");
	w.cred.flags = 0;
	is_int(access_(f.fid, 4), -WEFT_ENEEDGROUPS, "unless they are in the group: not known");
	is_int(access_(f.fid, 2), -EACCES, "which does not matter for writing");
	w.cred = (struct wp_cred){ .uid = 11, .gid = 21, .flags = WP_CRED_GROUPS, .groups = groups, .groups_n = 2 };
	is_int(access_(f.fid, 4), -EACCES, "other groups");
	groups[1] = 20;
	is_int(access_(f.fid, 4), 0, "a supplementary group");
	as_root();
	is_int(access_(f.fid, 6), 0, "root may");
	is_int(access_(f.fid, 1), -EACCES, "but not execute without any x");
	as(10, 20);
	is_int(chmod_(f.fid, 0070, NULL), 0, "chmod");
	is_int(access_(f.fid, 4), -EACCES, "the owner's bits count for the owner, not the group's");
	is_int(t_open(&w, f.fid, WP_OPEN_READ, 1, NULL), -EACCES, "nor does open");
	as(11, 21);
	is_int(t_unlink(&w, root_fid, "p"), -EACCES, "no write permission on the root");
	is_int(t_mkdir(&w, root_fid, "q", 0755, NULL), -EACCES, "mkdir");
	is_int(t_mkdir(&w, root_fid, "p", 0755, NULL), -EEXIST, "an existing name is told first");
	is_int(t_rename(&w, d.fid, "f", root_fid, "f", 0), -EACCES, "rename into it");
	as_root();
	is_int(chmod_(d.fid, 0700, NULL), 0, "chmod");
	as(10, 20);
	is_int(t_lookup(&w, d.fid, "f", NULL), -EACCES, "lookup needs x");
	as_root();
	is_int(t_unlink(&w, d.fid, "f") | t_rmdir(&w, root_fid, "p"), 0, "away");
}

static void test_sticky(void)
{
	struct wp_attr d, x;

	as_root();
	is_int(t_mkdir(&w, root_fid, "t", 01777, &d), 0, "a sticky directory");
	ok(d.mode & S_ISVTX, "is sticky");
	as(10, 20);
	is_int(t_mknod(&w, d.fid, "f", S_IFREG | 0666, NULL) | t_mkdir(&w, d.fid, "s", 0777, &x), 0, "things in it");
	as(11, 20);
	is_int(t_unlink(&w, d.fid, "f"), -EPERM, "another's cannot be removed");
	is_int(t_rmdir(&w, d.fid, "s"), -EPERM, "nor directories");
	is_int(t_rename(&w, d.fid, "f", d.fid, "g", 0), -EPERM, "nor renamed");
	is_int(t_mknod(&w, d.fid, "m", S_IFREG | 0666, NULL), 0, "my own");
	is_int(t_rename(&w, d.fid, "m", d.fid, "f", 0), -EPERM, "nor replaced");
	as(10, 20);
	is_int(t_unlink(&w, d.fid, "f") | t_rmdir(&w, d.fid, "s"), 0, "the owner may");
	as_root();
	is_int(t_unlink(&w, d.fid, "m") | t_rmdir(&w, root_fid, "t"), 0, "root may");
}

static void test_owner_changes(void)
{
	struct wp_attr f, a, d;

	as_root();
	is_int(t_mkdir(&w, root_fid, "o", 0777, &d), 0, "mkdir");
	as(10, 20);
	is_int(t_mknod(&w, d.fid, "f", S_IFREG | 06755, &f), 0, "a set-id file");
	ok((f.mode & 07777) == 06755, "keeps its bits");
	is_int(chown_(f.fid, 11, -1, NULL), -EPERM, "giving away");
	is_int(chown_(f.fid, -1, 30, NULL), -EPERM, "to a foreign group");
	w.cred.groups = (uint32_t[]){ 30 };
	w.cred.groups_n = 1;
	world_sleep(&w, 5);
	is_int(chown_(f.fid, 10, 30, &a), 0, "to an own group");
	ok(a.gid == 30 && (a.mode & 07777) == 0755, "clears the set-id bits");
	ok(a.ctime.nsec != f.ctime.nsec && a.mtime.nsec == f.mtime.nsec, "changes ctime only");
	as(11, 20);
	is_int(chmod_(f.fid, 0777, NULL), -EPERM, "chmod by others");
	is_int(chown_(f.fid, -1, 20, NULL), -EPERM, "chown by others");
	as(10, 20);
	is_int(chmod_(f.fid, 02755, &a), 0, "setgid by one who is not of the group");
	ok((a.mode & 07777) == 0755, "is cleared");
	as_root();
	is_int(chmod_(f.fid, 06755, &a), 0, "root");
	is_int(chown_(f.fid, 12, -1, &a), 0, "chown by root");
	ok((a.mode & 07777) == 0755, "clears them, too");
	is_int(chmod_(f.fid, 02644, NULL) | chown_(f.fid, 12, -1, &a), 0, "setgid without x");
	ok((a.mode & 07777) == 02644, "is not an executable: stays");
	is_int(chmod_(f.fid, 06755, NULL), 0, "again");
	is_int(t_setattr(&w, &(struct wp_setattr_req){ .fid = f.fid, .valid = WP_SETATTR_KILL_SUIDGID }, &a), 0, "a write");
	ok((a.mode & 07777) == 0755, "kills them");
	is_int(t_unlink(&w, d.fid, "f"), 0, "away");
	is_int(chown_(d.fid, -1, 50, NULL) | chmod_(d.fid, 02777, NULL), 0, "a setgid directory");
	as(10, 20);
	is_int(t_mknod(&w, d.fid, "f", S_IFREG | 02755, &f) | t_mkdir(&w, d.fid, "s", 0755, &a), 0, "things in it");
	ok(f.gid == 50 && !(f.mode & S_ISGID), "the group is inherited, the file's setgid bit is lost to strangers");
	ok(a.gid == 50 && a.mode & S_ISGID, "directories inherit the bit");
	as_root();
	is_int(t_unlink(&w, d.fid, "f") | t_rmdir(&w, d.fid, "s") | t_rmdir(&w, root_fid, "o"), 0, "away");
}

static int utimes_(struct wp_fid fid, uint32_t valid, int64_t sec)
{
	return t_setattr(&w, &(struct wp_setattr_req){ .fid = fid, .valid = valid, .atime = { sec, 1 }, .mtime = { sec, 2 } }, NULL);
}

static void test_times(void)
{
	uint32_t both = WP_SETATTR_ATIME | WP_SETATTR_MTIME, now = WP_SETATTR_ATIME_NOW | WP_SETATTR_MTIME_NOW;
	struct wp_setattr_req lazy = { .valid = WP_SETATTR_LAZY_ATIME };
	struct wp_attr d, f, a;

	as_root();
	is_int(t_mkdir(&w, root_fid, "z", 0777, &d), 0, "mkdir");
	as(10, 20);
	is_int(t_mknod(&w, d.fid, "f", S_IFREG | 0646, &f), 0, "a file");
	is_int(utimes_(f.fid, both, -5000000000), 0, "times before 1970");
	a = attr_of(f.fid);
	ok(a.atime.sec == -5000000000 && a.mtime.sec == -5000000000 && a.mtime.nsec == 2 && a.ctime.sec > 0, "are kept");
	is_int(utimes_(f.fid, both, 1ll << 40), 0, "times far away");
	ok(attr_of(f.fid).mtime.sec == 1ll << 40, "are kept");
	as(11, 21);
	is_int(utimes_(f.fid, both, 1), -EPERM, "others cannot set times");
	is_int(utimes_(f.fid, now, 0), 0, "but touch what they may write");
	is_int(utimes_(f.fid, WP_SETATTR_MTIME_NOW, 0), -EPERM, "both, or none");
	as(12, 20);
	is_int(utimes_(f.fid, now, 0), -EACCES, "and nothing else");
	world_sleep(&w, 5);
	lazy.fid = f.fid;
	a = attr_of(f.fid);
	is_int(t_setattr(&w, &lazy, &f), 0, "a read");
	ok(f.atime.nsec != a.atime.nsec && f.ctime.nsec == a.ctime.nsec, "relatime: the first after a change is recorded");
	world_sleep(&w, 5);
	is_int(t_setattr(&w, &lazy, &a), 0, "another");
	ok(f.atime.nsec == a.atime.nsec, "is not");
	as_root();
	is_int(t_unlink(&w, d.fid, "f") | t_rmdir(&w, root_fid, "z"), 0, "away");
}

static void test_xattr(void)
{
	struct wp_listxattr_req lq = { .cred = cred_root() };
	struct wp_removexattr_req rq = { .cred = cred_root(), .name = wp_str("user.a") };
	struct wp_removexattr_rep rp;
	struct wp_listxattr_rep lp;
	static uint8_t big[65536];
	struct wp_attr d, f, s;
	char v[64];
	size_t n;

	as_root();
	is_int(t_mkdir(&w, root_fid, "x", 01777, &d), 0, "mkdir");
	as(10, 20);
	is_int(t_mknod(&w, d.fid, "f", S_IFREG | 0644, &f) | t_symlink(&w, d.fid, "s", "f", &s), 0, "files");
	is_int(t_getxattr(&w, f.fid, "user.a", v, &n), -ENODATA, "none yet");
	is_int(t_setxattr(&w, f.fid, "user.a", "1", 1, 2), -ENODATA, "replace nothing");
	is_int(t_setxattr(&w, f.fid, "user.a", "1", 1, 1), 0, "create");
	is_int(t_setxattr(&w, f.fid, "user.a", "2", 1, 1), -EEXIST, "create again");
	is_int(t_setxattr(&w, f.fid, "user.a", "22", 2, 2), 0, "replace");
	ok(!t_getxattr(&w, f.fid, "user.a", v, &n) && n == 2 && !memcmp(v, "22", 2), "read");
	is_int(t_setxattr(&w, f.fid, "user.empty", "", 0, 0), 0, "an empty one");
	ok(!t_getxattr(&w, f.fid, "user.empty", v, &n) && n == 0, "read");
	is_int(t_setxattr(&w, f.fid, "user.big", big, sizeof(big), 0), 0, "64 KiB");
	is_int(t_setxattr(&w, s.fid, "user.a", "1", 1, 0), -EPERM, "on a symbolic link");
	is_int(t_setxattr(&w, f.fid, "trusted.a", "1", 1, 0), -EPERM, "trusted.");
	is_int(t_setxattr(&w, f.fid, "security.a", "1", 1, 0), -EPERM, "security.");
	is_int(t_setxattr(&w, f.fid, "other.a", "1", 1, 0), -EOPNOTSUPP, "unknown namespace");
	is_int(t_setxattr(&w, f.fid, "user.", "1", 1, 0), -EOPNOTSUPP, "no name");
	is_int(t_setxattr(&w, d.fid, "user.a", "1", 1, 0), -EPERM, "on another's sticky directory");
	as(11, 20);
	is_int(t_setxattr(&w, f.fid, "user.a", "1", 1, 0), -EACCES, "without write permission");
	as_root();
	is_int(t_setxattr(&w, f.fid, "trusted.a", "t", 1, 0), 0, "trusted. by root");
	lq.fid = rq.fid = f.fid;
	ok(!CALL(&w, listxattr, LISTXATTR, &lq, &lp) && lp.names.len == 7 + 11 + 9 + 10, "list: %u", lp.names.len);
	lq.cred = cred_user(10, 20);
	ok(!CALL(&w, listxattr, LISTXATTR, &lq, &lp) && lp.names.len == 7 + 11 + 9, "without trusted. for others");
	is_int(CALL(&w, removexattr, REMOVEXATTR, &rq, &rp), 0, "remove");
	is_int(CALL(&w, removexattr, REMOVEXATTR, &rq, &rp), -ENODATA, "again");
	is_int(t_unlink(&w, d.fid, "f") | t_unlink(&w, d.fid, "s") | t_rmdir(&w, root_fid, "x"), 0, "away");
}

static size_t acl_make(uint8_t *p, unsigned n, const uint32_t e[][3])
{
	wp_put_le32(p, 2);
	for (unsigned i = 0; i < n; i++) {
		wp_put_le16(p + 4 + i * 8, (uint16_t)e[i][0]);
		wp_put_le16(p + 6 + i * 8, (uint16_t)e[i][1]);
		wp_put_le32(p + 8 + i * 8, e[i][2]);
	}
	return 4 + n * 8;
}

#define NOBODY UINT32_MAX

static void test_acl(void)
{
	static const uint32_t named[][3] = { { 1, 6, NOBODY }, { 2, 7, 15 }, { 4, 4, NOBODY }, { 16, 6, NOBODY }, { 32, 0, NOBODY } };
	static const uint32_t plain[][3] = { { 1, 7, NOBODY }, { 4, 5, NOBODY }, { 32, 1, NOBODY } };
	struct wp_attr d, f, s;
	uint8_t acl[64], got[64];
	size_t n;

	as_root();
	is_int(t_mkdir(&w, root_fid, "l", 0777, &d), 0, "mkdir");
	as(10, 20);
	is_int(t_mknod(&w, d.fid, "f", S_IFREG | 0600, &f), 0, "a file");
	n = acl_make(acl, 5, named);
	as(11, 20);
	is_int(t_setxattr(&w, f.fid, "system.posix_acl_access", acl, n, 0), -EPERM, "by others");
	as(10, 20);
	is_int(t_setxattr(&w, f.fid, "system.posix_acl_access", acl, n - 1, 0), -EINVAL, "malformed");
	is_int(t_setxattr(&w, f.fid, "system.posix_acl_access", acl, n, 0), 0, "set");
	f = attr_of(f.fid);
	ok((f.mode & 0777) == 0660 && f.flags & WP_ATTR_HAS_ACL, "the group bits are the mask");
	as(15, 99);
	is_int(access_(f.fid, 6), 0, "the named user within the mask");
	is_int(access_(f.fid, 1), -EACCES, "not beyond");
	as(16, 20);
	is_int(access_(f.fid, 4), 0, "the group");
	is_int(access_(f.fid, 2), -EACCES, "not beyond");
	as(10, 20);
	is_int(chmod_(f.fid, 0640, NULL), 0, "chmod changes the mask");
	as(15, 99);
	is_int(access_(f.fid, 2), -EACCES, "which binds the named user");
	as(10, 20);
	is_int(t_setxattr(&w, f.fid, "system.posix_acl_access", acl, acl_make(acl, 3, plain), 0), 0, "a minimal one");
	f = attr_of(f.fid);
	ok((f.mode & 0777) == 0751 && !(f.flags & WP_ATTR_HAS_ACL), "is the mode");
	is_int(t_getxattr(&w, f.fid, "system.posix_acl_access", got, &n), -ENODATA, "and nothing else");
	is_int(t_setxattr(&w, f.fid, "system.posix_acl_default", acl, n, 0), -EACCES, "a default ACL on a file");
	as_root();
	n = acl_make(acl, 5, named);
	is_int(t_setxattr(&w, d.fid, "system.posix_acl_default", acl, n, 0), 0, "a default ACL");
	as(10, 20);
	is_int(t_mknod(&w, d.fid, "g", S_IFREG | 0666, &f) | t_mkdir(&w, d.fid, "s", 0755, &s), 0, "things in it");
	ok((f.mode & 0777) == 0660 && f.flags & WP_ATTR_HAS_ACL, "a file gets it, cut by the mode");
	ok((s.mode & 0777) == 0640, "a directory, too: %o", s.mode);
	ok(!t_getxattr(&w, s.fid, "system.posix_acl_default", got, &n) && n == 44, "and hands it on");
	as(15, 99);
	is_int(access_(f.fid, 6), 0, "the named user may");
	as_root();
	is_int(t_unlink(&w, d.fid, "f") | t_unlink(&w, d.fid, "g") | t_rmdir(&w, d.fid, "s") | t_rmdir(&w, root_fid, "l"), 0, "away");
}

static void test_umask(void)
{
	struct wp_mkdir_req q = { .cred = cred_root(), .parent = root_fid, .name = wp_str("um"), .mode = 0777, .umask = 027 };
	struct wp_mkdir_rep p = { 0 };

	ok(!CALL(&w, mkdir, MKDIR, &q, &p) && (p.entry.attr.mode & 0777) == 0750, "the umask");
	is_int(t_rmdir(&w, root_fid, "um"), 0, "away");
}

static void test_layout(void)
{
	struct wp_component c = { .end = INT64_MAX, .pattern = WP_PATTERN_RAID0, .stripe_size = 65536, .stripe_count = 2 };
	struct wp_set_layout_req q = { .cred = cred_root(), .layout = { .components = &c, .components_n = 1 } };
	struct wp_set_layout_rep p;
	struct wp_entry e;
	struct wp_attr d, s;

	as_root();
	is_int(t_mkdir(&w, root_fid, "ly", 0755, &d), 0, "mkdir");
	q.fid = d.fid;
	is_int(CALL(&w, set_layout, SET_LAYOUT, &q, &p), 0, "a policy");
	is_int(t_mkdir(&w, d.fid, "sub", 0755, &s), 0, "a subdirectory");
	is_int(t_create(&w, s.fid, "f", 0644, WP_OPEN_WRITE, 1, &e), 0, "a file in it");
	ok(e.layout.components_n == 1 && e.layout.components[0].targets_n == 2, "follows the policy");
	is_int(t_close(&w, e.attr.fid, 1, false, NULL), 0, "close");
	q.fid = e.attr.fid;
	c.stripe_count = 3;
	is_int(CALL(&w, set_layout, SET_LAYOUT, &q, &p), 0, "of an empty file");
	ok(p.entry.layout.components[0].targets_n == 3 && p.entry.layout.generation == 2, "anew");
	c.stripe_size = 1000;
	is_int(CALL(&w, set_layout, SET_LAYOUT, &q, &p), -EINVAL, "an impossible one");
	is_int(t_unlink(&w, s.fid, "f") | t_rmdir(&w, d.fid, "sub") | t_rmdir(&w, root_fid, "ly"), 0, "away");
}

int main(void)
{
	world_init(&w, 4, "journal");
	if (!world_open(&w))
		bail_out("open");
	world_session(&w);
	test_mode_bits();
	test_sticky();
	test_owner_changes();
	test_times();
	test_xattr();
	test_acl();
	test_umask();
	test_layout();
	world_stop(&w);
	world_done(&w);
	return done_testing();
}
