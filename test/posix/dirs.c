/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* mkdir and rmdir. */
#include "posix.h"

#include <sys/statvfs.h>

static void making(void)
{
	umask(0);
	for (mode_t m = 0; m <= 01777; m += 0111) {
		good(mkdir("d", m));
		same(mode_of("d"), m);
		must(S_ISDIR(st_of("d").st_mode));
		good(rmdir("d"));
	}
	umask(077);
	good(mkdir("d", 0777));
	same(mode_of("d"), 0700);
	umask(022);
	bad(EEXIST, mkdir("d", 0755));
	put("f", "x", 0644);
	bad(EEXIST, mkdir("f", 0755));
	good(symlink("none", "l"));
	bad(EEXIST, mkdir("l", 0755));
	bad(EEXIST, mkdir(".", 0755));
	bad(EEXIST, mkdir("..", 0755));
	bad(EEXIST, mkdir("d/.", 0755));
	bad(ENOENT, mkdir("none/d", 0755));
	bad(ENOENT, mkdir("", 0755));
	bad(ENOTDIR, mkdir("f/d", 0755));
	bad(ENAMETOOLONG, mkdir(NAME256, 0755));
	good(mkdir(NAME255, 0755));
	good(rmdir(NAME255));
	good(mkdir("slash///", 0755));
	good(rmdir("slash/"));
	good(symlink("l2", "l1"));
	good(symlink("l1", "l2"));
	bad(ELOOP, mkdir("l1/d", 0755));
	good(unlink("l1"));
	good(unlink("l2"));
	good(unlink("l"));
	good(unlink("f"));
	good(rmdir("d"));
	section("mkdir");
}

static void links_of_directories(void)
{
	ino_t inode;
	char name[16];

	good(mkdir("p", 0755));
	/* 2 + subdirectories, or always 1 where the file system does not count. */
	must(st_of("p").st_nlink == 2 || st_of("p").st_nlink == 1);
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "p/%d", i);
		good(mkdir(name, 0755));
		must(st_of("p").st_nlink == (nlink_t)(3 + i) || st_of("p").st_nlink == 1);
	}
	inode = st_of("p").st_ino;
	same(st_of("p/3/..").st_ino, inode);
	same(st_of("p/3/.").st_ino, st_of("p/3").st_ino);
	put("p/f", "x", 0644);
	must(st_of("p").st_nlink == 22 || st_of("p").st_nlink == 1);
	good(rename("p/0", "moved"));
	must(st_of("p").st_nlink == 21 || st_of("p").st_nlink == 1);
	same(st_of("moved/..").st_ino, st_of(".").st_ino);
	good(rmdir("moved"));
	for (int i = 1; i < 20; i++) {
		snprintf(name, sizeof(name), "p/%d", i);
		good(rmdir(name));
		must(st_of("p").st_nlink == (nlink_t)(21 - i) || st_of("p").st_nlink == 1);
	}
	good(unlink("p/f"));
	good(rmdir("p"));
	section("link counts, dot and dot-dot");
}

static void removing(void)
{
	int fd;

	good(mkdir("d", 0755));
	good(mkdir("d/e", 0755));
	bad(ENOTEMPTY, rmdir("d"));
	bad(EINVAL, rmdir("d/."));
	bad(ENOTEMPTY, rmdir("d/e/.."));
	put("f", "x", 0644);
	bad(ENOTDIR, rmdir("f"));
	bad(ENOTDIR, rmdir("f/x"));
	good(symlink("d", "l"));
	bad(ENOTDIR, rmdir("l"));
	bad(ENOTDIR, rmdir("l/"));
	bad(ENOENT, rmdir("none"));
	bad(ENAMETOOLONG, rmdir(NAME256));
	bad(EISDIR, unlink("d"));
	bad(EISDIR, unlinkat(AT_FDCWD, "d", 0));
	bad(ENOTDIR, unlinkat(AT_FDCWD, "f", AT_REMOVEDIR));
	good(rmdir("d/e"));
	put("d/f", "x", 0644);
	bad(ENOTEMPTY, rmdir("d"));
	good(unlink("d/f"));
	good(symlink("x", "d/l"));
	bad(ENOTEMPTY, rmdir("d"));
	good(unlink("d/l"));
	good(unlink("l"));
	good(unlink("f"));

	/* An open directory that is removed: empty, with no links, and nothing can be made in it. */
	fd = (int)good(open("d", O_RDONLY | O_DIRECTORY));
	good(rmdir("d"));
	bad(ENOENT, open("d", O_RDONLY));
	{
		struct stat st;

		good(fstat(fd, &st));
		must(st.st_nlink == 0 || st.st_nlink == 1);
		bad(ENOENT, openat(fd, "x", O_CREAT | O_RDWR, 0644));
		bad(ENOENT, mkdirat(fd, "x", 0755));
	}
	good(close(fd));
	section("rmdir");
}

static void rights(void)
{
	good(mkdir("d", 0755));
	good(mkdir("d/e", 0755));
	AS (ALICE, ALICE) {
		bad(EACCES, mkdir("d/x", 0755));
		bad(EACCES, rmdir("d/e"));
	}
	good(chown("d", ALICE, ALICE));
	AS (ALICE, ALICE) {
		good(mkdir("d/x", 0755));
		same(st_of("d/x").st_uid, ALICE);
		good(rmdir("d/x"));
		good(rmdir("d/e")); /* not its owner, but the folder's */
		good(chmod("d", 0555));
		bad(EACCES, mkdir("d/x", 0755));
		good(chmod("d", 0666));
		bad(EACCES, mkdir("d/x", 0755)); /* no search */
	}
	good(rmdir("d"));
	section("rights");
}

static void twice(void *arg)
{
	int *made = arg, n = 0;
	char name[32];

	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		if (mkdir(name, 0755) == 0)
			n++;
		else
			must(errno == EEXIST);
	}
	__atomic_add_fetch(made, n, __ATOMIC_SEQ_CST);
	n = 0;
	px_sleep_ms(50);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		if (rmdir(name) == 0)
			n++;
		else
			must(errno == ENOENT);
	}
	__atomic_sub_fetch(made, n, __ATOMIC_SEQ_CST);
}

#include <sys/mman.h>

static void races(void)
{
	int *made = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char name[32];
	pid_t a, b;
	int left = 0;

	a = px_spawn(twice, made);
	b = px_spawn(twice, made);
	px_wait(a);
	px_wait(b);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		left += rmdir(name) == 0;
	}
	same(left, *made);
	section("two processes make and remove the same names");
}

/* A removed current directory. */
static void gone(void *arg)
{
	char buf[PATH_MAX];

	good(mkdir("here", 0755));
	good(chdir("here"));
	good(rmdir("../here"));
	bad(ENOENT, open("x", O_CREAT | O_RDWR, 0644));
	must(getcwd(buf, sizeof(buf)) == NULL && errno == ENOENT);
}

int main(int argc, char **argv)
{
	px_start(argc, argv, "dirs");
	making();
	links_of_directories();
	removing();
	rights();
	races();
	px_child(gone, NULL);
	section("removed current directory");
	return px_end();
}
