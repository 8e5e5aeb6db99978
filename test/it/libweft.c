/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * libweft on a real cluster: a file against a model, then names, locks, layouts and credentials. Daemons may be killed and started
 * again meanwhile, as long as storage targets are not: libweft MGMTD SECRET_FILE SEED OPERATIONS
 */
#include <dirent.h>
#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <weft/weft.h>

#include "../tap.h"

#define SIZE_MAX_ (3u << 20)

static struct weft *fs;
static struct weft_dir *dir;
static struct weft_file *file;
static unsigned char model[SIZE_MAX_], data[SIZE_MAX_], got[SIZE_MAX_];
static size_t size; /* of the model */
static unsigned long long rng;

static unsigned pick(unsigned n)
{
	rng = rng * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(rng >> 33) % n;
}

static void grow(size_t end)
{
	if (end > size)
		size = end;
}

static void pick_range(size_t *off, size_t *len)
{
	*off = pick(4) ? pick(SIZE_MAX_ - 1) : pick(200000);
	*len = 1 + pick(pick(3) ? 9000 : 700000);
	if (*len > SIZE_MAX_ - *off)
		*len = SIZE_MAX_ - *off;
}

/* ---- a file and its model ----------------------------------------------------------------------------------------------------- */

static void do_write(size_t off, size_t len)
{
	ssize_t n;

	for (size_t i = 0; i < len; i++)
		data[i] = (unsigned char)(rng >> (i % 40));
	n = weft_pwrite(file, data, len, (off_t)off);
	ok_quiet(n == (ssize_t)len, "write of %zu: %zd", len, n);
	memcpy(model + off, data, len);
	grow(off + len);
}

static void do_read(size_t off, size_t len)
{
	ssize_t want = 0, n;

	if (off < size)
		want = (ssize_t)(len < size - off ? len : size - off);
	memset(got, 0xee, len);
	n = weft_pread(file, got, len, (off_t)off);
	ok_quiet(n == want && !memcmp(got, model + off, (size_t)want), "read at %zu of %zu: %zd, must be %zd", off, len, n, want);
}

static void do_stat(void)
{
	struct stat a = { 0 }, b = { 0 };
	int err = weft_fstat(file, &a), err2 = weft_stat(fs, dir, "f", &b, 0);

	ok_quiet(!err && !err2 && a.st_size == (off_t)size && b.st_size == (off_t)size, "size %ld and %ld, must be %zu (%d, %d)",
		 (long)a.st_size, (long)b.st_size, size, err, err2);
}

static void do_truncate(void)
{
	size_t s = pick(SIZE_MAX_);
	int err = pick(2) ? weft_ftruncate(file, (off_t)s) : weft_truncate(fs, dir, "f", (off_t)s);

	ok_quiet(!err, "truncate: %d", err);
	if (s < size)
		memset(model + s, 0, size - s);
	size = s;
}

static void do_fallocate(size_t off, size_t len)
{
	int zero = (int)pick(2);
	int err = weft_fallocate(file, zero ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len);

	ok_quiet(!err, "fallocate: %d", err);
	memset(model + off, 0, len);
	if (zero)
		grow(off + len);
}

static void do_reopen(void)
{
	struct stat st = { 0 };
	int err = weft_close(file), err2 = weft_stat(fs, dir, "f", &st, 0);

	ok_quiet(!err && !err2 && st.st_size == (off_t)size, "size after close %ld, must be %zu (%d, %d)", (long)st.st_size, size, err,
		 err2);
	err = weft_open(fs, dir, "f", O_RDWR, 0, &file);
	if (!ok_quiet(!err, "open: %d", err))
		exit(done_testing());
}

static void do_append(size_t len)
{
	struct weft_file *f;
	int err;

	if (size + len > SIZE_MAX_)
		return;
	err = weft_open(fs, dir, "f", O_RDWR | O_APPEND, 0, &f);
	memset(data, 'a' + (int)pick(20), len);
	if (!err)
		ok_quiet(weft_pwrite(f, data, len, 0) == (ssize_t)len && !weft_close(f), "append");
	ok_quiet(!err, "open for appending: %d", err);
	memcpy(model + size, data, len);
	size += len;
}

/* Only zeros may be skipped. */
static void do_seek(size_t off)
{
	off_t d = weft_lseek(file, (off_t)off, SEEK_DATA), h = weft_lseek(file, (off_t)off, SEEK_HOLE);
	size_t end = d < 0 ? size : (size_t)d;
	unsigned char any = 0;

	if (off >= size) {
		ok_quiet(d == -ENXIO && h == -ENXIO, "seek behind the end: %ld, %ld", (long)d, (long)h);
		return;
	}
	ok_quiet(h >= (off_t)off && h <= (off_t)size, "hole at %ld", (long)h);
	ok_quiet(d >= (off_t)off || d == -ENXIO, "data at %ld", (long)d);
	while (off < end)
		any |= model[off++];
	ok_quiet(!any, "seek skipped data before %zu", end);
}

static void test_model(unsigned operations)
{
	size_t off, len;
	int err = weft_open(fs, dir, "f", O_CREAT | O_RDWR, 0644, &file);

	if (!ok(!err, "create: %d", err))
		return;
	while (operations--) {
		unsigned what = pick(24);

		pick_range(&off, &len);
		if (what < 8)
			do_write(off, len);
		else if (what < 16)
			do_read(off, len);
		else if (what < 18)
			do_stat();
		else if (what == 18)
			do_truncate();
		else if (what == 19)
			do_fallocate(off, len);
		else if (what == 20)
			ok_quiet(!(err = weft_fsync(file)), "fsync: %d", err);
		else if (what == 21)
			do_reopen();
		else if (what == 22)
			do_append(1 + len % 5000);
		else
			do_seek(off);
	}
	ok(!weft_close(file), "a file behaves as its model");
}

/* ---- the rest -------------------------------------------------------------------------------------------------------------------- */

static int count_entries(void)
{
	struct weft_dirent e;
	int n = 0, r;

	weft_seekdir(dir, 0);
	while ((r = weft_readdir(dir, &e)) == 1)
		n++;
	return r ? r : n;
}

static void test_names(void)
{
	struct stat st;
	char name[32];
	int i, bad = 0;

	ok(!weft_symlink(fs, "f", dir, "l") && !weft_stat(fs, dir, "l", &st, 0) && S_ISREG(st.st_mode), "symbolic link");
	ok(!weft_link(fs, dir, "f", dir, "h") && !weft_stat(fs, dir, "h", &st, 0) && st.st_nlink == 2, "hard link");
	ok(!weft_rename(fs, dir, "h", dir, "h2", 0) && weft_rename(fs, dir, "h2", dir, "f", RENAME_NOREPLACE) == -EEXIST, "rename");
	ok(count_entries() == 5, "entries: %d", count_entries());
	for (i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "many%d", i);
		bad += weft_mkdir(fs, dir, name, 0755) != 0;
	}
	ok(!bad && count_entries() == 3005, "and many more: %d", count_entries());
	ok(!weft_stat(fs, dir, "many7/../many8/..", &st, 0) && S_ISDIR(st.st_mode), "dot-dot");
	ok(!weft_setxattr(fs, dir, "f", "user.x", "val", 3, 0, 0) && weft_getxattr(fs, dir, "f", "user.x", got, 10, 0) == 3 &&
		   !memcmp(got, "val", 3),
	   "extended attribute");
	ok(weft_listxattr(fs, dir, "f", (char *)got, 100, 0) == 7 && !weft_removexattr(fs, dir, "f", "user.x", 0) &&
		   weft_getxattr(fs, dir, "f", "user.x", got, 10, 0) == -ENODATA,
	   "listed and removed");
}

static void test_locks(void)
{
	struct flock l = { .l_type = F_WRLCK, .l_start = 5, .l_len = 10 };
	struct weft_file *a, *b;
	ssize_t want = size < 10 ? (ssize_t)size : 10;

	ok(!weft_open(fs, dir, "f", O_RDWR, 0, &a) && !weft_open(fs, dir, "f", O_RDWR, 0, &b), "two handles");
	ok(!weft_flock(a, LOCK_EX) && weft_flock(b, LOCK_SH | LOCK_NB) == -EAGAIN && !weft_flock(a, LOCK_UN) &&
		   !weft_flock(b, LOCK_SH | LOCK_NB),
	   "flock");
	ok(!weft_lock(a, F_SETLK, &l, 1), "record lock");
	l.l_type = F_RDLCK;
	ok(weft_lock(b, F_SETLK, &l, 2) == -EAGAIN, "held by another");
	ok(!weft_lock(b, F_GETLK, &l, 2) && l.l_type == F_WRLCK && l.l_start == 5 && l.l_len == 10, "who holds it");
	ok(!weft_lock_release(a, 1), "released");
	l.l_type = F_RDLCK;
	ok(!weft_lock(b, F_SETLK, &l, 2), "and taken");
	ok(!weft_unlink(fs, dir, "f") && !weft_unlink(fs, dir, "h2") && weft_pread(a, got, 10, 0) == want, "an open file without names");
	ok(!weft_close(a) && !weft_close(b), "closed");
}

static void test_layout(const char *path)
{
	struct weft_component policy = { 0, INT64_MAX, 65536, 0, "", 0 }, c[4];
	struct statvfs sv;
	struct weft_file *f;
	int err;

	ok(!weft_set_layout(fs, NULL, path, &policy, 1), "a directory's policy");
	err = weft_open(fs, dir, "striped", O_CREAT | O_RDWR, 0644, &f);
	ok(!err && weft_pwrite(f, data, 200000, 0) == 200000, "a file under it");
	ok(weft_get_layout(fs, dir, "striped", c, 4) == 1 && c[0].stripe_size == 65536 && c[0].stripe_count >= 1, "has its layout");
	ok(!weft_close(f) && !weft_sync(fs) && !weft_statfs(fs, &sv) && sv.f_blocks, "closed, synced");
}

static void test_cred(void)
{
	gid_t groups[] = { 4242 };
	struct weft_cred cred = { 1000, 1000, 1, groups, 022 };
	struct weft *user;

	ok(!weft_context(fs, &cred, &user), "a user's context");
	ok(weft_mkdir(user, dir, "no", 0755) == -EACCES, "may not write here");
	ok(!weft_chmod(fs, dir, ".", 0775, 0) && !weft_chown(fs, dir, ".", (uid_t)-1, 4242, 0), "but the group may");
	ok(!weft_mkdir(user, dir, "yes", 0755), "to which the user belongs");
	weft_context_free(user);
}

int main(int argc, char **argv)
{
	struct weft_options o = WEFT_OPTIONS_INIT;
	char path[64];
	int err;

	if (argc != 5)
		return 2;
	o.mgmtd = argv[1];
	o.secret_file = argv[2];
	o.reactors = 2;
	rng = strtoull(argv[3], NULL, 10);
	err = weft_mount(&o, &fs);
	if (!ok(!err, "mount: %d", err))
		return done_testing();
	snprintf(path, sizeof(path), "/libweft-%d", (int)getpid());
	ok(!weft_mkdir(fs, NULL, path, 0755) && !weft_opendir(fs, NULL, path, &dir), "directory");
	test_model((unsigned)strtoul(argv[4], NULL, 10));
	test_names();
	test_locks();
	test_layout(path);
	test_cred();
	ok(!weft_closedir(dir) && !weft_umount(fs), "unmounted");
	return done_testing();
}
