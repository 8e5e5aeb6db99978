/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* open and creat: flags, errors, modes, what O_TRUNC and O_CREAT do to what is there. */
#include "posix.h"

static void create(void)
{
	int fd;

	umask(0);
	for (mode_t m = 0; m <= 07777; m += 0421) {
		fd = (int)good(open("f", O_RDWR | O_CREAT | O_EXCL, m));
		same(mode_of("f"), m);
		must(S_ISREG(st_of("f").st_mode));
		same(st_of("f").st_nlink, 1);
		good(close(fd));
		good(unlink("f"));
	}
	umask(027);
	good(close((int)good(creat("f", 0666))));
	same(mode_of("f"), 0640);
	umask(022);
	good(close((int)good(open("f", O_RDONLY | O_CREAT, 0777)))); /* there already: mode untouched */
	same(mode_of("f"), 0640);
	bad(EEXIST, open("f", O_RDONLY | O_CREAT | O_EXCL, 0777));
	good(unlink("f"));

	/* The mode holds for later opens, not for the descriptor that creates. */
	AS (ALICE, ALICE) {
		bad(EACCES, open("f", O_WRONLY | O_CREAT, 0644)); /* the folder is root's */
	}
	good(mkdir("d", 0777));
	good(chmod("d", 0777));
	AS (ALICE, ALICE) {
		fd = (int)good(open("d/f", O_RDWR | O_CREAT | O_EXCL, 0000));
		same(write(fd, "abc", 3), 3);
		same(st_of("d/f").st_uid, ALICE);
		same(st_of("d/f").st_gid, ALICE);
		bad(EACCES, open("d/f", O_RDONLY));
		good(close(fd));
	}
	good(unlink("d/f"));
	good(rmdir("d"));
	section("create");
}

static void exclusive(void)
{
	good(mkdir("d", 0755));
	good(symlink("nowhere", "dangling"));
	good(symlink("d", "to-dir"));
	bad(EEXIST, open("d", O_RDWR | O_CREAT | O_EXCL, 0644));
	bad(EEXIST, open("dangling", O_RDWR | O_CREAT | O_EXCL, 0644));
	bad(EEXIST, open("to-dir", O_RDWR | O_CREAT | O_EXCL, 0644));
	bad(ENOENT, lstat("nowhere", &(struct stat){ 0 }));
	good(close((int)good(open("dangling", O_RDWR | O_CREAT, 0644)))); /* through the link */
	must(S_ISREG(st_of("nowhere").st_mode));
	good(mkfifo("fifo", 0644));
	bad(EEXIST, open("fifo", O_RDWR | O_CREAT | O_EXCL, 0644));
	good(unlink("fifo"));
	good(unlink("nowhere"));
	good(unlink("dangling"));
	good(unlink("to-dir"));
	good(rmdir("d"));
	section("O_EXCL");
}

static void truncating(void)
{
	struct stat before, after;
	int fd;

	put("f", "0123456789", 0644);
	before = st_of("f");
	px_tick();
	fd = (int)good(open("f", O_WRONLY | O_TRUNC));
	after = st_of("f");
	same(after.st_size, 0);
	same(after.st_ino, before.st_ino);
	must(after.st_mtim.tv_sec != before.st_mtim.tv_sec || after.st_mtim.tv_nsec != before.st_mtim.tv_nsec);
	good(close(fd));
	put("f", "0123456789", 0444);
	AS (ALICE, ALICE) {
		bad(EACCES, open("f", O_WRONLY | O_TRUNC));
		bad(EACCES, open("f", O_RDONLY | O_TRUNC)); /* truncating needs to write */
		bad(EACCES, open("f", O_RDWR));
		good(close((int)good(open("f", O_RDONLY))));
	}
	same(st_of("f").st_size, 10);
	bad(EISDIR, open(".", O_WRONLY | O_TRUNC));
	good(close((int)good(open("f", O_WRONLY | O_CREAT | O_TRUNC, 0600))));
	same(st_of("f").st_size, 0);
	same(mode_of("f"), 0444);
	good(unlink("f"));
	section("O_TRUNC");
}

static void kinds(void)
{
	good(mkdir("d", 0755));
	put("f", "x", 0644);
	good(symlink("f", "lf"));
	good(symlink("d", "ld"));
	good(symlink("loop2", "loop1"));
	good(symlink("loop1", "loop2"));
	good(symlink("self", "self"));

	bad(EISDIR, open("d", O_WRONLY));
	bad(EISDIR, open("d", O_RDWR));
	bad(EISDIR, open("d", O_RDONLY | O_CREAT, 0644));
	good(close((int)good(open("d", O_RDONLY))));
	good(close((int)good(open("d", O_RDONLY | O_DIRECTORY))));
	bad(ENOTDIR, open("f", O_RDONLY | O_DIRECTORY));
	bad(ENOTDIR, open("lf", O_RDONLY | O_DIRECTORY));
	good(close((int)good(open("ld", O_RDONLY | O_DIRECTORY))));
	bad(ENOTDIR, open("ld", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));

	bad(ELOOP, open("lf", O_RDONLY | O_NOFOLLOW));
	bad(ELOOP, open("lf", O_WRONLY | O_CREAT | O_NOFOLLOW, 0644));
	good(close((int)good(open("f", O_RDONLY | O_NOFOLLOW))));
	bad(ELOOP, open("loop1", O_RDONLY));
	bad(ELOOP, open("self", O_RDONLY));
	bad(ELOOP, open("loop1/x", O_RDONLY));
	good(close((int)good(open("lf", O_PATH | O_NOFOLLOW))));

	bad(ENOTDIR, open("f/x", O_RDONLY));
	bad(ENOTDIR, open("f/x", O_RDWR | O_CREAT, 0644));
	bad(ENOTDIR, open("f/", O_RDONLY));
	bad(ENOTDIR, open("lf/", O_RDONLY));
	bad(ENOENT, open("none", O_RDONLY));
	bad(ENOENT, open("none/x", O_RDWR | O_CREAT, 0644));
	bad(EISDIR, open("none/", O_RDWR | O_CREAT, 0644));
	bad(ENOENT, open("", O_RDONLY));
	bad(EFAULT, open((const char *)1, O_RDONLY));
	for (const char *const *p = (const char *const[]){ "f", "lf", "ld", "loop1", "loop2", "self", NULL }; *p; p++)
		good(unlink(*p));
	good(rmdir("d"));
	section("kinds, links, loops");
}

static void names(void)
{
	static char longer[PATH_MAX + 2];
	int fd = (int)good(open(NAME255, O_RDWR | O_CREAT | O_EXCL, 0644));

	good(close(fd));
	good(close((int)good(open(NAME255, O_RDONLY))));
	good(unlink(NAME255));
	bad(ENOENT, open(NAME255, O_RDONLY));
	bad(ENAMETOOLONG, open(NAME256, O_RDONLY));
	bad(ENAMETOOLONG, open(NAME256, O_RDWR | O_CREAT, 0644));
	bad(ENAMETOOLONG, open(NAME256 "/x", O_RDONLY));
	memset(longer, '/', PATH_MAX);
	longer[0] = '.';
	longer[PATH_MAX - 1] = 'x';
	bad(ENAMETOOLONG, open(longer, O_RDONLY));
	/* Every byte but '/' and NUL is a name. */
	for (int c = 1; c < 256; c++) {
		char name[] = { 'n', (char)c, 'm', 0 };

		if (c == '/')
			continue;
		fd = (int)good(open(name, O_RDWR | O_CREAT | O_EXCL, 0644));
		good(close(fd));
		good(access(name, F_OK));
		good(unlink(name));
	}
	section("names");
}

static void descriptors(void)
{
	char c;
	int fd;

	put("f", "abc", 0644);
	fd = (int)good(open("f", O_RDONLY));
	bad(EBADF, write(fd, "x", 1));
	bad(EINVAL, ftruncate(fd, 0));
	good(close(fd));
	fd = (int)good(open("f", O_WRONLY));
	bad(EBADF, read(fd, &c, 1));
	good(close(fd));
	fd = (int)good(open("f", O_PATH));
	bad(EBADF, read(fd, &c, 1));
	bad(EBADF, fchmod(fd, 0600));
	good(close(fd));
	fd = (int)good(open(".", O_RDONLY));
	bad(EISDIR, read(fd, &c, 1));
	bad(EBADF, write(fd, "x", 1));
	good(close(fd));
	fd = (int)good(open("f", O_RDWR | O_CREAT | O_APPEND | O_SYNC | O_NONBLOCK | O_CLOEXEC, 0644));
	must((fcntl(fd, F_GETFL) & (O_APPEND | O_SYNC | O_NONBLOCK | O_ACCMODE)) == (O_APPEND | O_SYNC | O_NONBLOCK | O_RDWR));
	must(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	good(close(fd));
	/* Rights are looked at when opening only. */
	fd = (int)good(open("f", O_RDWR));
	good(chmod("f", 0));
	same(pread(fd, &c, 1, 0), 1);
	same(pwrite(fd, "z", 1, 0), 1);
	good(close(fd));
	good(unlink("f"));
	/* Two opens, two positions; dup, one. */
	put("f", "abc", 0644);
	fd = (int)good(open("f", O_RDONLY));
	same(read(fd, &c, 1), 1);
	same(c, 'a');
	{
		int again = (int)good(open("f", O_RDONLY)), copy = (int)good(dup(fd));

		same(read(again, &c, 1), 1);
		same(c, 'a');
		same(read(copy, &c, 1), 1);
		same(c, 'b');
		good(close(again));
		good(close(copy));
	}
	good(close(fd));
	good(unlink("f"));
	section("descriptors");
}

static void tmpfile_flag(void)
{
	char path[64];
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);

	if (fd < 0 && px_unsupported()) {
		printf("# O_TMPFILE is not there\n");
		return;
	}
	must(fd >= 0);
	same(write(fd, "tmp", 3), 3);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	good(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	must(holds("named", "tmp"));
	good(close(fd));
	good(unlink("named"));
	section("O_TMPFILE");
}

struct racer {
	int round;
	int *winners;
};

static void race(void *arg)
{
	struct racer *r = arg;
	char path[32];

	for (int i = 0; i < 200; i++) {
		int fd;

		snprintf(path, sizeof(path), "race.%d", i);
		fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
		if (fd < 0)
			must(errno == EEXIST);
		else
			__atomic_add_fetch(&r->winners[i], 1, __ATOMIC_SEQ_CST);
		if (fd >= 0)
			good(close(fd));
	}
}

#include <sys/mman.h>

/* Of several processes that create a name with O_EXCL, one wins. */
static void races(void)
{
	struct racer r = { 0 };
	char path[32];
	pid_t pid[4];

	r.winners = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 4; i++)
		pid[i] = px_spawn(race, &r);
	for (int i = 0; i < 4; i++)
		px_wait(pid[i]);
	for (int i = 0; i < 200; i++) {
		same(r.winners[i], 1);
		snprintf(path, sizeof(path), "race.%d", i);
		good(unlink(path));
	}
	section("O_EXCL by four processes");
}

/* openat, and names relative to a directory that is moved. */
static void relative(void)
{
	int dir, fd;

	good(mkdir("a", 0755));
	good(mkdir("b", 0755));
	dir = (int)good(open("a", O_RDONLY | O_DIRECTORY));
	fd = (int)good(openat(dir, "f", O_RDWR | O_CREAT | O_EXCL, 0644));
	good(rename("a", "b/moved"));
	good(faccessat(dir, "f", R_OK, 0));
	good(close((int)good(openat(dir, "g", O_RDWR | O_CREAT | O_EXCL, 0644))));
	must(S_ISREG(st_of("b/moved/g").st_mode));
	bad(ENOTDIR, openat(fd, "x", O_RDONLY));
	good(unlinkat(dir, "f", 0));
	good(unlinkat(dir, "g", 0));
	good(close(fd));
	good(rmdir("b/moved"));
	bad(ENOENT, openat(dir, "x", O_RDWR | O_CREAT, 0644)); /* the directory is gone */
	bad(ENOENT, mkdirat(dir, "x", 0755));
	bad(ENOENT, symlinkat("t", dir, "x"));
	good(close(dir));
	good(rmdir("b"));
	section("relative to a directory");
}

int main(int argc, char **argv)
{
	px_start(argc, argv, "open");
	create();
	exclusive();
	truncating();
	kinds();
	names();
	descriptors();
	tmpfile_flag();
	races();
	relative();
	return px_end();
}
