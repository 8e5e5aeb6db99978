/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Files that have no name any more but are open. */
#include "posix.h"

#include <sys/mman.h>

static void alive(void)
{
	static char data[300000], back[300000];
	struct stat st;
	int fd, copy;

	px_fill(data, sizeof(data), 5);
	fd = (int)good(open("f", O_RDWR | O_CREAT | O_EXCL, 0640));
	same(write(fd, data, 100000), 100000);
	good(unlink("f"));
	bad(ENOENT, open("f", O_RDONLY));
	good(fstat(fd, &st));
	same(st.st_nlink, 0);
	same(st.st_size, 100000);
	same(pread(fd, back, sizeof(back), 0), 100000);
	must(!memcmp(data, back, 100000));
	same(pwrite(fd, data + 100000, 200000, 100000), 200000);
	good(fsync(fd));
	same(pread(fd, back, sizeof(back), 0), 300000);
	must(!memcmp(data, back, 300000));
	good(ftruncate(fd, 1234));
	good(fstat(fd, &st));
	same(st.st_size, 1234);
	good(fchmod(fd, 0600));
	good(fchown(fd, ALICE, BOB));
	good(futimens(fd, (struct timespec[2]){ { 1, 1 }, { 2, 2 } }));
	good(fstat(fd, &st));
	same(st.st_mode & 07777, 0600);
	same(st.st_uid, ALICE);
	same(st.st_mtim.tv_sec, 2);
	/* The name again: another file. */
	put("f", "new", 0644);
	same(pread(fd, back, 4, 0), 4);
	must(!memcmp(data, back, 4));
	must(holds("f", "new"));
	copy = (int)good(dup(fd));
	good(close(fd));
	same(pread(copy, back, sizeof(back), 0), 1234);
	good(close(copy));
	good(unlink("f"));
	section("reading, writing, attributes");
}

static void others(void *arg)
{
	int fd = *(int *)arg;
	char c[4];

	px_sleep_ms(100);
	same(pread(fd, c, 4, 0), 4);
	must(!memcmp(c, "data", 4));
	same(pwrite(fd, "DATA", 4, 0), 4);
}

static void inherited(void)
{
	char c[4];
	pid_t pid;
	int fd = (int)good(open("f", O_RDWR | O_CREAT, 0644)), second;

	same(write(fd, "data", 4), 4);
	second = (int)good(open("f", O_RDONLY));
	good(unlink("f"));
	pid = px_spawn(others, &fd);
	good(close(fd)); /* the child holds it */
	px_wait(pid);
	same(pread(second, c, 4, 0), 4);
	must(!memcmp(c, "DATA", 4));
	good(close(second));
	section("held by a child, by a second open");
}

static void mapped(void)
{
	int fd = (int)good(open("f", O_RDWR | O_CREAT, 0644));
	char *p;

	good(ftruncate(fd, 8192));
	p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(p != MAP_FAILED);
	good(close(fd));
	good(unlink("f"));
	p[0] = 'x';
	p[8191] = 'y';
	good(msync(p, 8192, MS_SYNC));
	same(p[0], 'x');
	munmap(p, 8192);
	section("held by a mapping only");
}

static void replaced(void)
{
	char c[4];
	int fd;

	put("old", "old!", 0644);
	put("new", "new!", 0644);
	fd = (int)good(open("old", O_RDWR));
	good(rename("new", "old"));
	same(pread(fd, c, 4, 0), 4);
	must(!memcmp(c, "old!", 4));
	good(close(fd));
	must(holds("old", "new!"));
	/* One of two links goes: the file stays, with the writes through the descriptor. */
	fd = (int)good(open("old", O_RDWR));
	good(link("old", "other"));
	good(unlink("old"));
	same(pwrite(fd, "both", 4, 0), 4);
	good(close(fd));
	must(holds("other", "both"));
	good(unlink("other"));
	section("replaced by rename, one of two links");
}

static void revived(void)
{
	char path[64];
	int fd;

	put("f", "text", 0644);
	fd = (int)good(open("f", O_RDWR));
	good(unlink("f"));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	bad(ENOENT, linkat(AT_FDCWD, path, AT_FDCWD, "g", AT_SYMLINK_FOLLOW)); /* no way back (not made with O_TMPFILE) */
	good(close(fd));
	section("no way back");
}

static void many(void)
{
	char name[32], c;
	int fd[300];

	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		fd[i] = (int)good(open(name, O_RDWR | O_CREAT, 0644));
		c = (char)i;
		same(write(fd[i], &c, 1), 1);
		good(unlink(name));
	}
	for (int i = 0; i < 300; i++) {
		same(pread(fd[i], &c, 1, 0), 1);
		same(c, (char)i);
		good(close(fd[i]));
	}
	section("many at once");
}

int main(int argc, char **argv)
{
	px_start(argc, argv, "unlinked");
	alive();
	inherited();
	mapped();
	replaced();
	revived();
	many();
	return px_end();
}
