/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Reading directories. */
#include "posix.h"

#include <sys/syscall.h>

#define MANY 10000

static unsigned char seen[MANY + 1000];

/* Counts entry "n<number>"; others return -1. */
static int number_of(const char *name)
{
	char *end;
	long n;

	if (name[0] != 'n')
		return -1;
	n = strtol(name + 1, &end, 10);
	return *end || n < 0 || n >= (long)sizeof(seen) ? -1 : (int)n;
}

static void make(int dir, int from, int to)
{
	char name[16];

	for (int i = from; i < to; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		good(mknodat(dir, name, S_IFREG | 0644, 0));
	}
}

static void walk_all(DIR *d, int expect)
{
	struct dirent *e;
	int n = 0, dots = 0;

	memset(seen, 0, sizeof(seen));
	errno = 0;
	while ((e = readdir(d))) {
		int k = number_of(e->d_name);

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			dots++;
		else if (k < 0)
			ok(false, "strange entry %s", e->d_name);
		else if (seen[k]++)
			ok(false, "%s twice", e->d_name);
		else
			n++;
	}
	same(errno, 0);
	same(n, expect);
	same(dots, 2);
}

static void large(void)
{
	int dir;
	DIR *d;

	good(mkdir("big", 0755));
	dir = (int)good(open("big", O_RDONLY | O_DIRECTORY));
	make(dir, 0, MANY);
	d = opendir("big");
	walk_all(d, MANY);
	rewinddir(d);
	walk_all(d, MANY);
	unlinkat(dir, "n17", 0);
	rewinddir(d); /* sees the change */
	walk_all(d, MANY - 1);
	closedir(d);
	make(dir, 17, 18);
	close(dir);
	section("10,000 entries");
}

static void seeking(void)
{
	static long where[MANY + 2];
	static char names[MANY + 2][8];
	struct dirent *e;
	DIR *d = opendir("big");
	int n = 0;

	where[0] = telldir(d);
	while (n < MANY + 2 && (e = readdir(d))) {
		snprintf(names[n], sizeof(names[0]), "%.7s", e->d_name);
		n++;
		if (n < MANY + 2)
			where[n] = telldir(d);
	}
	same(n, MANY + 2);
	for (int i = 0; i < 300; i++) {
		unsigned r;

		px_fill(&r, sizeof(r), (unsigned)i);
		r %= (unsigned)n;
		seekdir(d, where[r]);
		for (unsigned k = r; k < r + 3 && k < (unsigned)n; k++) {
			e = readdir(d);
			if (!must(e && !strcmp(e->d_name, names[k])))
				break;
		}
	}
	closedir(d);
	/* A place stays good in another descriptor of the same directory. */
	d = opendir("big");
	seekdir(d, where[5000]);
	e = readdir(d);
	must(e && !strcmp(e->d_name, names[5000]));
	closedir(d);
	section("telldir and seekdir");
}

/* What stays all the time is seen exactly once, whatever is made and removed beside it. */
static void changing(void)
{
	int dir = (int)good(open("big", O_RDONLY | O_DIRECTORY)), n = 0, added = MANY;
	struct dirent *e;
	char name[16];
	DIR *d = opendir("big");

	memset(seen, 0, sizeof(seen));
	while ((e = readdir(d))) {
		int k = number_of(e->d_name);

		if (k >= 0)
			seen[k]++;
		if (++n % 20 == 0 && added < MANY + 400) {
			make(dir, added, added + 1);
			added++;
			/* Odd numbers go, read or not. */
			snprintf(name, sizeof(name), "n%d", (added - MANY) * 2 + 1);
			good(unlinkat(dir, name, 0));
		}
	}
	for (int i = 0; i < MANY; i += 2)
		if (seen[i] != 1)
			ok(false, "n%d was seen %d times", i, seen[i]);
	for (int i = 0; i < MANY + 400; i++)
		if (seen[i] > 1)
			ok(false, "n%d was seen %d times", i, seen[i]);
	closedir(d);
	close(dir);
	section("entries come and go during the walk");
}

/* rm -r: removing each entry that was read leaves nothing. */
static void emptying(void)
{
	struct dirent *e;
	DIR *d = opendir("big");
	int n = 0;

	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		good(unlinkat(dirfd(d), e->d_name, 0));
		n++;
	}
	same(n, MANY);
	closedir(d);
	good(rmdir("big"));
	section("removing while reading");
}

static void kinds(void)
{
	struct dirent *e;
	struct stat st;
	DIR *d;
	int n = 0;

	good(mkdir("k", 0755));
	put("k/file", "x", 0644);
	good(mkdir("k/dir", 0755));
	good(symlink("x", "k/link"));
	good(mkfifo("k/fifo", 0644));
	good(mknod("k/sock", S_IFSOCK | 0644, 0));
	good(mknod("k/chr", S_IFCHR | 0644, 259));
	good(mknod("k/blk", S_IFBLK | 0644, 1793));
	d = opendir("k");
	while ((e = readdir(d))) {
		good(fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW));
		must(e->d_type == IFTODT(st.st_mode) || e->d_type == DT_UNKNOWN);
		if (strcmp(e->d_name, ".."))
			same(e->d_ino, st.st_ino);
		n++;
	}
	same(n, 9);
	closedir(d);
	px_clear("k");
	section("types and inode numbers");
}

static void small_buffers(void)
{
	char buf[64];
	int fd, total = 0;
	long n;

	good(mkdir("s", 0755));
	for (int i = 0; i < 10; i++) {
		snprintf(buf, sizeof(buf), "s/e%d", i);
		put(buf, NULL, 0644);
	}
	fd = (int)good(open("s", O_RDONLY | O_DIRECTORY));
	while ((n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
		for (long off = 0; off < n;) {
			unsigned short len;

			memcpy(&len, buf + off + 16, sizeof(len));
			off += len;
			total++;
		}
	}
	same(n, 0);
	same(total, 12);
	good(lseek(fd, 0, SEEK_SET));
	bad(EINVAL, syscall(SYS_getdents64, fd, buf, 8));
	good(lseek(fd, 0, SEEK_SET));
	n = syscall(SYS_getdents64, fd, buf, sizeof(buf));
	must(n > 0);
	close(fd);
	fd = (int)good(open("s/e0", O_RDONLY));
	bad(ENOTDIR, syscall(SYS_getdents64, fd, buf, sizeof(buf)));
	close(fd);
	px_clear("s");
	section("small buffers");
}

static void removed(void)
{
	DIR *d;

	good(mkdir("r", 0755));
	d = opendir("r");
	good(rmdir("r"));
	while (readdir(d))
		; /* nothing, or dot and dot-dot; no failure that crashes */
	closedir(d);
	bad(ENOENT, open("r", O_RDONLY));
	good(mkdir("r", 0311));
	AS (ALICE, ALICE)
		must(!opendir("r") && errno == EACCES);
	good(rmdir("r"));
	section("removed and unreadable directories");
}

static void long_names(void)
{
	char name[256];
	struct dirent *e;
	int n = 0;
	DIR *d;

	good(mkdir("l", 0755));
	for (int i = 0; i < 200; i++) {
		memset(name, 'a' + i % 26, 255);
		name[255] = 0;
		snprintf(name, 5, "%04d", i);
		name[4] = '-';
		{
			int dir = (int)good(open("l", O_RDONLY));

			good(mknodat(dir, name, S_IFREG | 0644, 0));
			close(dir);
		}
	}
	d = opendir("l");
	while ((e = readdir(d)))
		n += strlen(e->d_name) == 255;
	same(n, 200);
	closedir(d);
	px_clear("l");
	section("long names");
}

int main(int argc, char **argv)
{
	px_start(argc, argv, "readdir");
	large();
	seeking();
	changing();
	emptying();
	kinds();
	small_buffers();
	removed();
	long_names();
	return px_end();
}
