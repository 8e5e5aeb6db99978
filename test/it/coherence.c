/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Two mounts of one file system: what is done on one is seen on the other at once. Usage: coherence DIR-ON-A DIR-ON-B; with the same
 * directory twice it passes on any file system. Every check is made in both directions.
 */
#include "test/posix/posix.h"

#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sys/xattr.h>

static const char *here, *there; /* the folder through one mount, and through the other */
static int round_no;

/* Path of a name through a mount; a few at a time. */
static const char *at(const char *mount, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static const char *at(const char *mount, const char *fmt, ...)
{
	static char ring[16][PATH_MAX];
	static unsigned n;
	char *s = ring[n++ % 16];
	int len = snprintf(s, PATH_MAX, "%s/%d.", mount, round_no);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s + len, PATH_MAX - (size_t)len, fmt, ap);
	va_end(ap);
	return s;
}

#define H(...) at(here, __VA_ARGS__)
#define R(...) at(there, __VA_ARGS__)

static bool absent(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 && errno == ENOENT;
}

static bool lists(const char *dir, const char *name)
{
	struct dirent *e;
	bool found = false;
	DIR *d = opendir(dir);

	while (d && (e = readdir(d)))
		found |= !strcmp(e->d_name, name);
	if (d)
		closedir(d);
	return found;
}

static void names(void)
{
	struct stat a, b;

	must(absent(R("f"))); /* so that a negative entry could be cached */
	put(H("f"), "one", 0640);
	must(holds(R("f"), "one"));
	a = st_of(H("f"));
	b = st_of(R("f"));
	same(a.st_ino, b.st_ino);
	same(a.st_mode, b.st_mode);
	same(a.st_size, b.st_size);
	same(a.st_mtim.tv_nsec, b.st_mtim.tv_nsec);
	good(rename(H("f"), H("g")));
	must(absent(R("f")));
	must(holds(R("g"), "one"));
	good(link(H("g"), H("h")));
	same(st_of(R("g")).st_nlink, 2);
	good(unlink(H("g")));
	must(absent(R("g")));
	bad(ENOENT, open(R("g"), O_RDONLY));
	same(st_of(R("h")).st_nlink, 1);
	must(absent(R("d")));
	good(mkdir(H("d"), 0755));
	put(R("d/x"), "from the other side", 0644);
	must(holds(H("d/x"), "from the other side"));
	must(lists(H("d"), "x"));
	bad(ENOTEMPTY, rmdir(H("d")));
	good(unlink(H("d/x")));
	must(!lists(R("d"), "x"));
	bad(ENOENT, unlink(R("d/x")));
	good(rmdir(R("d")));
	must(absent(H("d")));
	bad(ENOENT, open(H("d/x"), O_CREAT | O_RDWR, 0644));
	good(symlink("h", H("l")));
	{
		char buf[8];

		same(readlink(R("l"), buf, 8), 1);
	}
	good(unlink(R("l")));
	must(absent(H("l")));
	bad(EEXIST, open(R("h"), O_CREAT | O_EXCL | O_RDWR, 0644));
	/* A replaced file is the new one on the other side, open files stay the old one. */
	put(H("new"), "new", 0644);
	{
		int fd = (int)good(open(R("h"), O_RDONLY));
		char buf[8] = "";

		good(rename(H("new"), H("h")));
		must(holds(R("h"), "new"));
		same(pread(fd, buf, 8, 0), 3);
		must(!memcmp(buf, "one", 3));
		good(close(fd));
	}
	good(unlink(R("h")));
	section("names");
}

static void attributes(void)
{
	char buf[16];

	put(H("f"), "12345", 0644);
	same(st_of(R("f")).st_size, 5);
	good(chmod(H("f"), 0600));
	same(mode_of(R("f")), 0600);
	good(chown(R("f"), ALICE, BOB));
	same(st_of(H("f")).st_uid, ALICE);
	good(utimensat(AT_FDCWD, H("f"), (struct timespec[2]){ { 5, 6 }, { 7, 8 } }, 0));
	same(st_of(R("f")).st_mtim.tv_nsec, 8);
	good(truncate(R("f"), 2));
	same(st_of(H("f")).st_size, 2);
	good(truncate(H("f"), 1000));
	same(st_of(R("f")).st_size, 1000);
	if (setxattr(H("f"), "user.a", "value", 5, 0) == 0) {
		same(getxattr(R("f"), "user.a", buf, 16), 5);
		good(removexattr(R("f"), "user.a"));
		bad(ENODATA, getxattr(H("f"), "user.a", buf, 16));
	}
	/* Rights taken away on one side are gone on the other. */
	good(chmod(H("f"), 0644));
	AS (CAROL, CAROL)
		good(access(R("f"), R_OK));
	good(chmod(H("f"), 0600));
	AS (CAROL, CAROL)
		bad(EACCES, open(R("f"), O_RDONLY));
	good(unlink(H("f")));
	section("attributes");
}

#define BLOCK 65536

static void data(void)
{
	static char a[BLOCK], b[BLOCK];
	int fa, fb;

	fa = (int)good(open(H("f"), O_RDWR | O_CREAT | O_EXCL, 0644));
	fb = (int)good(open(R("f"), O_RDWR));
	for (unsigned i = 0; i < 60; i++) {
		off_t where = (off_t)(i * 7919 % 50) * (BLOCK / 2);
		size_t len = 1 + i * 1009 % BLOCK;

		px_fill(a, len, i);
		same(pwrite(i & 1 ? fa : fb, a, len, where), len);
		same(pread(i & 1 ? fb : fa, b, len, where), len);
		if (!must(!memcmp(a, b, len)))
			break;
	}
	{
		struct stat x, y;

		good(fstat(fa, &x));
		good(fstat(fb, &y));
		same(x.st_size, y.st_size);
	}
	/* The size grows on one side, the other reads on. */
	good(ftruncate(fa, 0));
	same(pread(fb, b, 1, 0), 0);
	for (int i = 0; i < 50; i++) {
		struct stat st;

		same(write(fa, "line of text\n", 13), 13);
		good(fstat(fb, &st));
		if (!i)
			good(lseek(fb, 0, SEEK_SET));
		same(st.st_size, lseek(fa, 0, SEEK_CUR));
		same(read(fb, b, BLOCK), 13);
	}
	good(ftruncate(fb, 100));
	same(st_of(H("f")).st_size, 100);
	good(ftruncate(fb, 5000));
	same(pread(fa, a, BLOCK, 0), 5000);
	for (int i = 100; i < 5000; i++)
		if (!must(!a[i]))
			break;
	good(close((int)good(open(R("f"), O_WRONLY | O_TRUNC))));
	same(pread(fa, a, BLOCK, 0), 0);
	good(close(fa));
	good(close(fb));
	good(unlink(R("f")));
	section("data and sizes");
}

static void unlinked(void)
{
	char buf[8];
	struct stat st;
	int fa = (int)good(open(H("f"), O_RDWR | O_CREAT, 0644)), fb;

	same(write(fa, "kept", 4), 4);
	fb = (int)good(open(R("f"), O_RDWR));
	good(unlink(R("f")));
	must(absent(H("f")));
	good(fstat(fa, &st));
	same(st.st_nlink, 0);
	same(pread(fa, buf, 8, 0), 4);
	same(pwrite(fa, "more", 4, 4), 4);
	same(pread(fb, buf, 8, 0), 8);
	must(!memcmp(buf, "keptmore", 8));
	good(close(fb));
	px_sleep_ms(200); /* time enough for an object that is wrongly thrown away */
	same(pread(fa, buf, 8, 0), 8);
	must(!memcmp(buf, "keptmore", 8));
	good(close(fa));
	/* Replaced by rename from the other side. */
	put(H("a"), "old", 0644);
	fa = (int)good(open(H("a"), O_RDWR));
	put(R("b"), "new", 0644);
	good(rename(R("b"), R("a")));
	px_sleep_ms(100);
	same(pread(fa, buf, 8, 0), 3);
	must(!memcmp(buf, "old", 3));
	good(close(fa));
	must(holds(H("a"), "new"));
	good(unlink(H("a")));
	section("open, unlinked from the other side");
}

static void mappings(void)
{
	int fa = (int)good(open(H("f"), O_RDWR | O_CREAT, 0644)), fb;
	char *p, c;

	good(ftruncate(fa, 8192));
	fb = (int)good(open(R("f"), O_RDWR));
	p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fa, 0);
	if (must(p != MAP_FAILED)) {
		p[10] = 'm';
		good(msync(p, 8192, MS_SYNC));
		same(pread(fb, &c, 1, 10), 1);
		same(c, 'm');
		p[5000] = 'n';
		munmap(p, 8192);
		good(fsync(fa));
		same(pread(fb, &c, 1, 5000), 1);
		same(c, 'n');
	}
	good(close(fa));
	good(close(fb));
	good(unlink(R("f")));
	section("mappings after msync");
}

static int set_lock(int fd, int cmd, short type)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10 };

	return fcntl(fd, cmd, &l);
}

struct locker {
	int to[2], from[2];
};

static void other_locker(void *arg)
{
	struct locker *k = arg;
	int fd = (int)good(open(R("lock"), O_RDWR));
	char c;

	close(k->to[1]);
	while (read(k->to[0], &c, 1) == 1) {
		struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 15, .l_len = 1 };
		int r = -1;

		switch (c) {
		case 'r':
			r = set_lock(fd, F_SETLK, F_RDLCK);
			break;
		case 'w':
			r = set_lock(fd, F_SETLK, F_WRLCK);
			break;
		case 'W':
			r = set_lock(fd, F_SETLKW, F_WRLCK);
			break;
		case 'u':
			r = set_lock(fd, F_SETLK, F_UNLCK);
			break;
		case 'g':
			r = fcntl(fd, F_GETLK, &l) < 0 ? -1 : l.l_type == F_UNLCK ? 0 : (int)l.l_start;
			break;
		case 'f':
			r = flock(fd, LOCK_EX | LOCK_NB);
			break;
		case 'F':
			r = flock(fd, LOCK_EX);
			break;
		case 'n':
			r = flock(fd, LOCK_UN);
			break;
		}
		if (r < 0)
			r = -errno;
		if (write(k->from[1], &r, sizeof(r)) != sizeof(r))
			break;
	}
	close(fd);
}

static void order(struct locker *k, char c)
{
	if (write(k->to[1], &c, 1) != 1)
		bail_out("the other locker is gone");
}

static int answer(struct locker *k)
{
	int r = -1;

	if (read(k->from[0], &r, sizeof(r)) != sizeof(r))
		bail_out("the other locker is gone");
	return r;
}

static int ask(struct locker *k, char c)
{
	order(k, c);
	return answer(k);
}

static bool quiet(struct locker *k, unsigned ms)
{
	struct timeval t = { 0, (int)ms * 1000 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(k->from[0], &set);
	return select(k->from[0] + 1, &set, NULL, NULL, &t) == 0;
}

static void locks(void)
{
	struct locker k;
	pid_t pid;
	int fd;

	put(H("lock"), "0123456789012345678901234567890", 0644);
	fd = (int)good(open(H("lock"), O_RDWR));
	if (pipe(k.to) || pipe(k.from))
		bail_out("pipe");
	pid = px_spawn(other_locker, &k);
	close(k.to[0]);
	good(set_lock(fd, F_SETLK, F_WRLCK));
	same(ask(&k, 'r'), -EAGAIN);
	same(ask(&k, 'w'), -EAGAIN);
	same(ask(&k, 'g'), 10);
	good(set_lock(fd, F_SETLK, F_RDLCK));
	same(ask(&k, 'r'), 0);
	same(ask(&k, 'w'), -EAGAIN);
	good(set_lock(fd, F_SETLK, F_UNLCK));
	same(ask(&k, 'w'), 0);
	bad(EAGAIN, set_lock(fd, F_SETLK, F_RDLCK));
	same(ask(&k, 'u'), 0);
	good(set_lock(fd, F_SETLK, F_WRLCK));
	order(&k, 'W');
	must(quiet(&k, 200));
	good(set_lock(fd, F_SETLK, F_UNLCK));
	same(answer(&k), 0);
	same(ask(&k, 'u'), 0);
	section("record locks");
	good(flock(fd, LOCK_EX));
	same(ask(&k, 'f'), -EWOULDBLOCK);
	order(&k, 'F');
	must(quiet(&k, 200));
	good(flock(fd, LOCK_UN));
	same(answer(&k), 0);
	bad(EWOULDBLOCK, flock(fd, LOCK_SH | LOCK_NB));
	same(ask(&k, 'n'), 0);
	same(ask(&k, 'w'), 0);
	same(ask(&k, 'f'), 0);
	close(k.to[1]); /* the other ends: its locks go */
	px_wait(pid);
	good(set_lock(fd, F_SETLKW, F_WRLCK));
	good(flock(fd, LOCK_EX | LOCK_NB));
	close(k.from[0]);
	close(k.from[1]);
	good(close(fd));
	good(unlink(H("lock")));
	section("flock");
}

#define APPENDS 150

static void appender(void *arg)
{
	const char *path = (uintptr_t)arg & 1 ? H("log") : R("log");
	int fd = (int)good(open(path, O_WRONLY | O_APPEND));
	uint32_t rec[25] = { (uint32_t)(uintptr_t)arg };

	for (uint32_t i = 0; i < APPENDS; i++) {
		for (int k = 1; k < 25; k++)
			rec[k] = i;
		same(write(fd, rec, sizeof(rec)), sizeof(rec));
	}
	good(close(fd));
}

static void appending(void)
{
	uint32_t rec[25], next[4] = { 0 };
	pid_t pid[4];
	int fd;

	put(H("log"), NULL, 0644);
	for (uintptr_t i = 0; i < 4; i++)
		pid[i] = px_spawn(appender, (void *)i);
	for (int i = 0; i < 4; i++)
		px_wait(pid[i]);
	same(st_of(R("log")).st_size, 4 * APPENDS * (int)sizeof(rec));
	fd = (int)good(open(R("log"), O_RDONLY));
	for (int i = 0; i < 4 * APPENDS; i++) {
		if (!same(read(fd, rec, sizeof(rec)), sizeof(rec)) || !must(rec[0] < 4))
			break;
		same(rec[1], next[rec[0]]++);
		must(rec[24] == rec[1]);
	}
	good(close(fd));
	good(unlink(H("log")));
	section("O_APPEND on both loses nothing");
}

/* A counter under a lock, from both sides. */
static void counter(void *arg)
{
	int fd = (int)good(open((uintptr_t)arg & 1 ? H("n") : R("n"), O_RDWR));

	for (int i = 0; i < 60; i++) {
		uint32_t v = 0;

		if ((uintptr_t)arg & 2)
			good(flock(fd, LOCK_EX));
		else
			good(set_lock(fd, F_SETLKW, F_WRLCK));
		same(pread(fd, &v, 4, 0), 4);
		v++;
		same(pwrite(fd, &v, 4, 0), 4);
		if ((uintptr_t)arg & 2)
			good(flock(fd, LOCK_UN));
		else
			good(set_lock(fd, F_SETLK, F_UNLCK));
	}
	close(fd);
}

static void counting(uintptr_t kind)
{
	uint32_t v = 0;
	pid_t a, b;
	int fd = (int)good(open(H("n"), O_RDWR | O_CREAT | O_TRUNC, 0644));

	same(write(fd, &v, 4), 4);
	a = px_spawn(counter, (void *)(kind | 0));
	b = px_spawn(counter, (void *)(kind | 1));
	px_wait(a);
	px_wait(b);
	same(pread(fd, &v, 4, 0), 4);
	same(v, 120);
	close(fd);
	good(unlink(R("n")));
	section(kind ? "counting under flock" : "counting under record locks");
}

/* O_EXCL and mkdir have one winner, whichever side it is on. */
static void racer(void *arg)
{
	const char *mount = (uintptr_t)arg & 1 ? here : there;
	int *wins = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 200, 0);

	for (int i = 0; i < 100; i++) {
		int fd = open(at(mount, "race%d", i), O_CREAT | O_EXCL | O_RDWR, 0644);

		if (fd >= 0) {
			__atomic_add_fetch(&wins[i], 1, __ATOMIC_SEQ_CST);
			close(fd);
		} else {
			must(errno == EEXIST);
		}
		if (mkdir(at(mount, "rdir%d", i), 0755) == 0)
			__atomic_add_fetch(&wins[100 + i], 1, __ATOMIC_SEQ_CST);
		else
			must(errno == EEXIST);
	}
}

static void races(void)
{
	int mem = memfd_create("wins", 0), *wins;
	pid_t a, b;

	good(ftruncate(mem, 4096));
	good(dup2(mem, 200));
	wins = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	a = px_spawn(racer, (void *)0);
	b = px_spawn(racer, (void *)1);
	px_wait(a);
	px_wait(b);
	for (int i = 0; i < 100; i++) {
		same(wins[i], 1);
		same(wins[100 + i], 1);
		good(unlink(R("race%d", i)));
		good(rmdir(H("rdir%d", i)));
	}
	munmap(wins, 4096);
	close(mem);
	close(200);
	section("O_EXCL and mkdir have one winner");
}

/* Step by step: create here, look there, thousands of times. */
static void ping_pong(void)
{
	for (int i = 0; i < 300; i++) {
		char text[32];

		snprintf(text, sizeof(text), "%d", i);
		put(i & 1 ? H("p%d", i) : R("p%d", i), text, 0644);
		if (!must(holds(i & 1 ? R("p%d", i) : H("p%d", i), text)))
			break;
		if (i & 2)
			good(unlink(i & 1 ? R("p%d", i) : H("p%d", i)));
		else
			good(unlink(i & 1 ? H("p%d", i) : R("p%d", i)));
		must(absent(i & 1 ? H("p%d", i) : R("p%d", i)));
	}
	section("ping-pong");
}

int main(int argc, char **argv)
{
	static const char *dirs[2];

	if (argc != 3) {
		fprintf(stderr, "usage: coherence DIR-ON-A DIR-ON-B\n");
		return 2;
	}
	umask(022);
	alarm(200);
	dirs[0] = argv[1];
	dirs[1] = argv[2];
	for (round_no = 0; round_no < 2; round_no++) {
		here = dirs[round_no];
		there = dirs[1 - round_no];
		names();
		attributes();
		data();
		unlinked();
		mappings();
		locks();
		appending();
		counting(0);
		counting(2);
		races();
		ping_pong();
	}
	return px_done();
}
