/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Which time stamps each operation changes, and which it leaves. A row names an operation on the file "f" (or what it says) in the
 * folder "p"; upper case marks what must change, '-' what must not, '?' what may (access times: relatime, noatime).
 */
#include "posix.h"

#include <sys/mman.h>
#include <sys/xattr.h>

static int fd; /* of p/f, open for reading and writing */

static void do_nothing(void) {}
static void do_stat(void) { (void)st_of("p/f"); }
static void do_open(void) { good(close((int)good(open("p/f", O_RDWR)))); }
static void do_fsync(void) { good(fsync(fd)); }
static void do_read(void) { good(pread(fd, &(char){ 0 }, 1, 0)); }
static void do_write(void) { same(pwrite(fd, "z", 1, 0), 1); }
static void do_write0(void) { same(pwrite(fd, "", 0, 0), 0); }
static void do_extend(void) { same(pwrite(fd, "z", 1, 10000), 1); }
static void do_truncate(void) { good(truncate("p/f", 1)); }
static void do_truncate_same(void) { good(truncate("p/f", st_of("p/f").st_size)); }
static void do_ftruncate(void) { good(ftruncate(fd, 2)); }
static void do_grow(void) { good(ftruncate(fd, 100000)); }
static void do_open_trunc(void) { good(close((int)good(open("p/f", O_WRONLY | O_TRUNC)))); }
static void do_chmod(void) { good(chmod("p/f", 0640)); }
static void do_fchmod(void) { good(fchmod(fd, 0604)); }
static void do_chown(void) { good(chown("p/f", ALICE, BOB)); }
static void do_chown_same(void) { good(chown("p/f", st_of("p/f").st_uid, st_of("p/f").st_gid)); }
static void do_link(void) { good(link("p/f", "q/l")); }
static void do_link_here(void) { good(link("p/f", "p/l")); }
static void do_unlink_other(void) { good(unlink("q/l")); }
static void do_rename(void) { good(rename("p/f", "p/f2")); }
static void do_rename_back(void) { good(rename("p/f2", "p/f")); }
static void do_rename_away(void) { good(rename("p/f", "q/f")); }
static void do_rename_home(void) { good(rename("q/f", "p/f")); }
static void do_create(void) { put("p/new", NULL, 0644); }
static void do_unlink(void) { good(unlink("p/new")); }
static void do_mkdir(void) { good(mkdir("p/new", 0755)); }
static void do_rmdir(void) { good(rmdir("p/new")); }
static void do_symlink(void) { good(symlink("x", "p/new")); }
static void do_mkfifo(void) { good(mkfifo("p/new", 0644)); }
static void do_fallocate(void) { (void)fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 4096); }

static void do_replace(void)
{
	put("q/other", "other", 0644);
	good(rename("q/other", "p/l"));
}

static void do_setxattr(void)
{
	if (setxattr("p/f", "user.a", "1", 1, 0) < 0)
		good(fchmod(fd, 0600));
}

static void do_removexattr(void)
{
	if (removexattr("p/f", "user.a") < 0)
		good(fchmod(fd, 0604));
}

static void do_readdir(void)
{
	DIR *d = opendir("p");

	while (readdir(d))
		;
	closedir(d);
}

static void do_failures(void)
{
	bad(ENOENT, unlink("p/none"));
	bad(EEXIST, mkdir("p/f", 0755));
	bad(EEXIST, link("p/f", "p/f"));
	bad(ENOTDIR, rmdir("p/f"));
	bad(EISDIR, rename("p/f", "p/keep"));
	AS (BOB, CAROL) {
		bad(EACCES, open("p/x", O_CREAT | O_RDWR, 0644));
		bad(EPERM, chmod("p/f", 0600));
		bad(EPERM, chown("p/f", CAROL, CAROL));
	}
}

struct row {
	const char *name;
	void (*fn)(void);
	const char *file;   /* atime, mtime, ctime of p/f */
	const char *parent; /* of p */
	const char *other;  /* of q */
};

static const struct row rows[] = {
	{ "nothing", do_nothing, "---", "---", "---" },
	{ "stat", do_stat, "---", "---", "---" },
	{ "open and close", do_open, "---", "---", "---" },
	{ "fsync", do_fsync, "---", "---", "---" },
	{ "read", do_read, "?--", "---", "---" },
	{ "write", do_write, "-MC", "---", "---" },
	{ "fsync after write", do_fsync, "---", "---", "---" },
	{ "write of nothing", do_write0, "---", "---", "---" },
	{ "extending write", do_extend, "-MC", "---", "---" },
	{ "truncate", do_truncate, "-MC", "---", "---" },
	{ "truncate to the same size", do_truncate_same, "-MC", "---", "---" },
	{ "ftruncate", do_ftruncate, "-MC", "---", "---" },
	{ "growing ftruncate", do_grow, "-MC", "---", "---" },
	{ "open with O_TRUNC", do_open_trunc, "-MC", "---", "---" },
	{ "open with O_TRUNC, empty already", do_open_trunc, "-MC", "---", "---" },
	{ "fallocate", do_fallocate, "-??", "---", "---" },
	{ "chmod", do_chmod, "--C", "---", "---" },
	{ "fchmod", do_fchmod, "--C", "---", "---" },
	{ "chown", do_chown, "--C", "---", "---" },
	{ "chown to the same", do_chown_same, "--C", "---", "---" },
	{ "setxattr", do_setxattr, "--C", "---", "---" },
	{ "removexattr", do_removexattr, "--C", "---", "---" },
	{ "link elsewhere", do_link, "--C", "---", "-MC" },
	{ "unlink elsewhere", do_unlink_other, "--C", "---", "-MC" },
	{ "link in the same folder", do_link_here, "--C", "-MC", "---" },
	{ "rename over another link", do_replace, "--C", "-MC", "-MC" },
	{ "rename", do_rename, "--?", "-MC", "---" },
	{ "rename back", do_rename_back, "--?", "-MC", "---" },
	{ "rename to another folder", do_rename_away, "--?", "-MC", "-MC" },
	{ "rename from another folder", do_rename_home, "--?", "-MC", "-MC" },
	{ "create", do_create, "---", "-MC", "---" },
	{ "unlink", do_unlink, "---", "-MC", "---" },
	{ "mkdir", do_mkdir, "---", "-MC", "---" },
	{ "rmdir", do_rmdir, "---", "-MC", "---" },
	{ "symlink", do_symlink, "---", "-MC", "---" },
	{ "unlink of a symbolic link", do_unlink, "---", "-MC", "---" },
	{ "mkfifo", do_mkfifo, "---", "-MC", "---" },
	{ "unlink of a fifo", do_unlink, "---", "-MC", "---" },
	{ "readdir", do_readdir, "---", "?--", "---" },
	{ "failing operations", do_failures, "---", "---", "---" },
};

static bool differs(struct timespec a, struct timespec b) { return a.tv_sec != b.tv_sec || a.tv_nsec != b.tv_nsec; }
static bool later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

static void compare(const char *op, const char *of, const char *want, const struct stat *a, const struct stat *b)
{
	const struct timespec was[3] = { a->st_atim, a->st_mtim, a->st_ctim }, now[3] = { b->st_atim, b->st_mtim, b->st_ctim };
	static const char *const names[3] = { "atime", "mtime", "ctime" };

	for (int i = 0; i < 3; i++) {
		if (want[i] == '?')
			continue;
		if (want[i] == '-' && !must(!differs(was[i], now[i])))
			printf("# %s changed %s of %s\n", op, names[i], of);
		if (want[i] != '-' && !must(later(now[i], was[i])))
			printf("# %s did not move %s of %s on\n", op, names[i], of);
	}
}

static struct stat file_now(void)
{
	struct stat st;

	good(fstat(fd, &st)); /* wherever it is called now */
	return st;
}

static void table(void)
{
	good(mkdir("p", 0755));
	good(mkdir("q", 0755));
	good(mkdir("p/keep", 0755));
	put("p/f", "text", 0644);
	fd = (int)good(open("p/f", O_RDWR));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct stat f, p, q, f2, p2, q2;

		f = file_now();
		p = st_of("p");
		q = st_of("q");
		px_tick();
		rows[i].fn();
		f2 = file_now();
		p2 = st_of("p");
		q2 = st_of("q");
		compare(rows[i].name, "the file", rows[i].file, &f, &f2);
		compare(rows[i].name, "the folder", rows[i].parent, &p, &p2);
		compare(rows[i].name, "the other folder", rows[i].other, &q, &q2);
	}
	good(close(fd));
	section("table");
}

/* New things carry the time of their making. */
static void fresh(void)
{
	struct stat st, ref;

	put("ref", "x", 0644);
	ref = st_of("ref");
	px_tick();
	put("a", NULL, 0644);
	good(mkdir("b", 0755));
	good(symlink("x", "c"));
	good(mkfifo("d", 0644));
	for (const char *const *n = (const char *const[]){ "a", "b", "c", "d", NULL }; *n; n++) {
		st = st_of(*n);
		must(later(st.st_atim, ref.st_mtim));
		must(later(st.st_mtim, ref.st_mtim));
		must(later(st.st_ctim, ref.st_mtim));
	}
	section("new files");
}

/* The time of a write stays what it was when the file is closed, looked at later, opened again. */
static void stays(void)
{
	struct stat open_st, closed_st;
	int f = (int)good(open("w", O_RDWR | O_CREAT, 0644));

	same(write(f, "hello", 5), 5);
	good(fstat(f, &open_st));
	px_tick();
	good(close(f));
	closed_st = st_of("w");
	must(!differs(open_st.st_mtim, closed_st.st_mtim));
	must(!differs(open_st.st_ctim, closed_st.st_ctim));
	px_tick();
	f = (int)good(open("w", O_RDWR));
	good(fstat(f, &open_st));
	must(!differs(open_st.st_mtim, closed_st.st_mtim));
	good(close(f));
	must(!differs(st_of("w").st_mtim, closed_st.st_mtim));
	must(!differs(st_of("w").st_ctim, closed_st.st_ctim));
	section("times of writes stay");
}

static void shared_mapping(void)
{
	struct stat before, after;
	int f = (int)good(open("m", O_RDWR | O_CREAT, 0644));
	char *p;

	good(ftruncate(f, 4096));
	before = st_of("m");
	px_tick();
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, f, 0);
	if (must(p != MAP_FAILED)) {
		p[0] = 'x';
		good(msync(p, 4096, MS_SYNC));
		after = st_of("m");
		must(later(after.st_mtim, before.st_mtim));
		must(later(after.st_ctim, before.st_ctim));
		munmap(p, 4096);
	}
	good(close(f));
	section("shared mapping");
}

int main(int argc, char **argv)
{
	px_start(argc, argv, "stamps");
	table();
	fresh();
	stays();
	shared_mapping();
	return px_end();
}
