/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* utimensat: values, UTIME_NOW and UTIME_OMIT, who may. */
#include "posix.h"

#include <sys/time.h>
#include <time.h>
#include <utime.h>

#define T(a, an, m, mn) ((struct timespec[2]){ { (a), (an) }, { (m), (mn) } })

static bool is(struct timespec t, time_t sec, long nsec) { return t.tv_sec == sec && t.tv_nsec == nsec; }

static bool about_now(struct timespec t)
{
	time_t now = time(NULL);

	return t.tv_sec >= now - 2 && t.tv_sec <= now + 2;
}

static void values(const char *path)
{
	const time_t secs[] = { 0, 1, 1000000000, 2147483647, 2147483648, 4294967296, 10000000000, -1, -2000000000 };
	const long nsecs[] = { 0, 1, 999999999, 123456789, 100 };
	struct stat st;

	for (size_t i = 0; i < sizeof(secs) / sizeof(secs[0]); i++) {
		for (size_t k = 0; k < sizeof(nsecs) / sizeof(nsecs[0]); k++) {
			good(utimensat(AT_FDCWD, path, T(secs[i], nsecs[k], secs[i] + 1, nsecs[4 - k]), AT_SYMLINK_NOFOLLOW));
			st = st_of(path);
			if (!must(is(st.st_atim, secs[i], nsecs[k])) || !must(is(st.st_mtim, secs[i] + 1, nsecs[4 - k])))
				printf("# %s: wanted %lld.%09ld, got atime %lld.%09ld mtime %lld.%09ld\n", path,
				       (long long)secs[i], nsecs[k], (long long)st.st_atim.tv_sec, st.st_atim.tv_nsec,
				       (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
			must(about_now(st.st_ctim));
		}
	}
}

static void now_and_omit(void)
{
	struct stat st, before;

	put("f", "x", 0644);
	good(utimensat(AT_FDCWD, "f", T(1000, 1, 2000, 2), 0));
	good(utimensat(AT_FDCWD, "f", T(0, UTIME_OMIT, 3000, 3), 0));
	st = st_of("f");
	must(is(st.st_atim, 1000, 1) && is(st.st_mtim, 3000, 3));
	good(utimensat(AT_FDCWD, "f", T(4000, 4, 0, UTIME_OMIT), 0));
	st = st_of("f");
	must(is(st.st_atim, 4000, 4) && is(st.st_mtim, 3000, 3));
	before = st;
	px_tick();
	good(utimensat(AT_FDCWD, "f", T(0, UTIME_OMIT, 0, UTIME_OMIT), 0)); /* nothing, not even ctime */
	st = st_of("f");
	must(is(st.st_atim, 4000, 4) && is(st.st_mtim, 3000, 3));
	must(is(st.st_ctim, before.st_ctim.tv_sec, before.st_ctim.tv_nsec));
	good(utimensat(AT_FDCWD, "f", T(0, UTIME_NOW, 0, UTIME_OMIT), 0));
	st = st_of("f");
	must(about_now(st.st_atim) && is(st.st_mtim, 3000, 3));
	good(utimensat(AT_FDCWD, "f", T(5000, 5, 0, UTIME_NOW), 0));
	st = st_of("f");
	must(is(st.st_atim, 5000, 5) && about_now(st.st_mtim));
	good(utimensat(AT_FDCWD, "f", NULL, 0));
	st = st_of("f");
	must(about_now(st.st_atim) && about_now(st.st_mtim));
	good(utimensat(AT_FDCWD, "f", T(1, 1, 1, 1), 0));
	good(utimensat(AT_FDCWD, "f", T(0, UTIME_NOW, 0, UTIME_NOW), 0));
	st = st_of("f");
	must(about_now(st.st_atim) && about_now(st.st_mtim));
	must(st.st_ctim.tv_sec > before.st_ctim.tv_sec ||
	     (st.st_ctim.tv_sec == before.st_ctim.tv_sec && st.st_ctim.tv_nsec > before.st_ctim.tv_nsec));
	bad(EINVAL, utimensat(AT_FDCWD, "f", T(1, 1000000000, 1, 1), 0));
	bad(EINVAL, utimensat(AT_FDCWD, "f", T(1, 1, 1, -1), 0));
	bad(ENOENT, utimensat(AT_FDCWD, "none", T(1, 1, 1, 1), 0));
	bad(ENOTDIR, utimensat(AT_FDCWD, "f/x", NULL, 0));
	good(unlink("f"));
	section("UTIME_NOW, UTIME_OMIT");
}

static void other_calls(void)
{
	struct timeval tv[2] = { { 10, 500000 }, { 20, 600000 } };
	struct utimbuf ub = { 30, 40 };
	struct stat st;
	int fd;

	put("f", "x", 0644);
	good(utimes("f", tv));
	st = st_of("f");
	must(is(st.st_atim, 10, 500000000) && is(st.st_mtim, 20, 600000000));
	good(utime("f", &ub));
	st = st_of("f");
	must(is(st.st_atim, 30, 0) && is(st.st_mtim, 40, 0));
	fd = (int)good(open("f", O_RDONLY));
	good(futimens(fd, T(50, 5, 60, 6)));
	st = st_of("f");
	must(is(st.st_atim, 50, 5) && is(st.st_mtim, 60, 6));
	good(close(fd));
	/* While open for writing, and after the last close: what was set stays. */
	fd = (int)good(open("f", O_WRONLY));
	same(write(fd, "data", 4), 4);
	good(futimens(fd, T(70, 7, 80, 8)));
	st = st_of("f");
	must(is(st.st_atim, 70, 7) && is(st.st_mtim, 80, 8));
	good(close(fd));
	st = st_of("f");
	must(is(st.st_atim, 70, 7) && is(st.st_mtim, 80, 8));
	same(st.st_size, 4);
	fd = (int)good(open("f", O_WRONLY));
	good(utimensat(AT_FDCWD, "f", T(1, 1, 2, 2), 0));
	same(write(fd, "DATA", 4), 4); /* newer than what was set */
	good(close(fd));
	must(about_now(st_of("f").st_mtim));
	/* The usual untar: create, write, set, close; and set after close by name. */
	fd = (int)good(open("g", O_WRONLY | O_CREAT | O_EXCL, 0600));
	same(write(fd, "tar", 3), 3);
	good(futimens(fd, T(0, UTIME_OMIT, 90, 9)));
	good(fchmod(fd, 0444));
	good(close(fd));
	must(is(st_of("g").st_mtim, 90, 9));
	same(st_of("g").st_size, 3);
	good(unlink("g"));
	good(unlink("f"));
	section("utimes, utime, futimens, open for writing");
}

static void who(void)
{
	struct timespec both_now[2] = { { 0, UTIME_NOW }, { 0, UTIME_NOW } };

	put("f", "x", 0644);
	good(chown("f", ALICE, ALICE));
	AS (ALICE, ALICE) {
		good(utimensat(AT_FDCWD, "f", T(1, 1, 2, 2), 0));
		good(utimensat(AT_FDCWD, "f", NULL, 0));
	}
	AS (BOB, BOB) {
		bad(EPERM, utimensat(AT_FDCWD, "f", T(1, 1, 2, 2), 0));
		bad(EACCES, utimensat(AT_FDCWD, "f", NULL, 0));
		bad(EACCES, utimensat(AT_FDCWD, "f", both_now, 0));
		bad(EPERM, utimensat(AT_FDCWD, "f", T(0, UTIME_NOW, 0, UTIME_OMIT), 0));
		good(utimensat(AT_FDCWD, "f", T(0, UTIME_OMIT, 0, UTIME_OMIT), 0));
	}
	good(chmod("f", 0666));
	AS (BOB, BOB) {
		bad(EPERM, utimensat(AT_FDCWD, "f", T(1, 1, 2, 2), 0)); /* only owners say what time it was */
		bad(EPERM, utimensat(AT_FDCWD, "f", T(0, UTIME_NOW, 2, 2), 0));
		good(utimensat(AT_FDCWD, "f", NULL, 0)); /* who may write may say "now" */
		good(utimensat(AT_FDCWD, "f", both_now, 0));
	}
	good(chmod("f", 0444));
	AS (ALICE, ALICE) {
		good(utimensat(AT_FDCWD, "f", NULL, 0)); /* the owner needs no right to write */
		good(utimensat(AT_FDCWD, "f", T(1, 1, 2, 2), 0));
	}
	good(unlink("f"));
	section("who may");
}

int main(int argc, char **argv)
{
	px_start(argc, argv, "times");
	put("f", "x", 0644);
	good(mkdir("d", 0755));
	good(symlink("f", "l"));
	good(mkfifo("p", 0644));
	values("f");
	values("d");
	values("l");
	values("p");
	section("values of files, directories, links, fifos");
	good(unlink("f"));
	good(rmdir("d"));
	good(unlink("l"));
	good(unlink("p"));
	now_and_omit();
	other_calls();
	who();
	return px_end();
}
