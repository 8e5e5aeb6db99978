/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* rename, renameat2. */
#include "posix.h"

#include <sys/mman.h>
#include <sys/socket.h>

static bool gone(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 && errno == ENOENT;
}

static void files(void)
{
	ino_t ino;

	put("a", "A", 0604);
	ino = st_of("a").st_ino;
	good(rename("a", "b"));
	must(gone("a"));
	must(holds("b", "A"));
	same(st_of("b").st_ino, ino);
	same(mode_of("b"), 0604);
	put("c", "C", 0644);
	good(rename("b", "c")); /* replaces */
	must(gone("b"));
	must(holds("c", "A"));
	same(st_of("c").st_ino, ino);
	good(rename("c", "c"));
	must(holds("c", "A"));
	/* Two names of one inode: nothing happens. */
	good(link("c", "d"));
	good(rename("c", "d"));
	must(holds("c", "A"));
	must(holds("d", "A"));
	same(st_of("c").st_nlink, 2);
	/* Onto a name with another link: that keeps living. */
	put("e", "E", 0644);
	good(link("e", "e2"));
	good(rename("d", "e"));
	must(holds("e2", "E"));
	same(st_of("e2").st_nlink, 1);
	same(st_of("c").st_nlink, 2);
	good(mkdir("dir", 0755));
	good(rename("c", "dir/c"));
	must(gone("c"));
	must(holds("dir/c", "A"));
	good(rename("dir/c", NAME255));
	must(holds(NAME255, "A"));
	bad(ENAMETOOLONG, rename(NAME255, NAME256));
	good(unlink(NAME255));
	good(unlink("e"));
	good(unlink("e2"));
	good(rmdir("dir"));
	section("files");
}

static void special_files(void)
{
	struct stat st;
	char buf[16];

	good(symlink("none", "l"));
	good(rename("l", "l2"));
	same(readlink("l2", buf, sizeof(buf)), 4);
	good(mkfifo("p", 0644));
	good(rename("p", "l2")); /* replaces the link itself */
	st = st_of("l2");
	must(S_ISFIFO(st.st_mode));
	put("f", "F", 0644);
	good(symlink("f", "lf"));
	good(rename("l2", "lf")); /* replaces the link, not what it points to */
	must(holds("f", "F"));
	good(unlink("lf"));
	good(unlink("f"));
	section("special files");
}

static void directories(void)
{
	ino_t ino;

	good(mkdir("a", 0755));
	put("a/f", "F", 0644);
	ino = st_of("a").st_ino;
	good(rename("a", "b"));
	same(st_of("b").st_ino, ino);
	must(holds("b/f", "F"));
	good(mkdir("c", 0700));
	good(rename("b", "c")); /* over an empty one */
	must(holds("c/f", "F"));
	must(gone("b"));
	same(mode_of("c"), 0755);
	good(mkdir("d", 0755));
	bad(ENOTEMPTY, rename("d", "c"));
	put("f", "x", 0644);
	bad(ENOTDIR, rename("d", "f"));
	bad(EISDIR, rename("f", "d"));
	good(symlink("none", "l"));
	bad(ENOTDIR, rename("d", "l"));
	bad(EISDIR, rename("l", "d"));
	good(rename("c/", "e")); /* slash is fine for directories */
	good(rename("e", "c/"));
	bad(ENOTDIR, rename("f/", "g"));
	bad(ENOTDIR, rename("f", "g/"));
	good(rename("c", "d/c"));
	same(st_of("d/c/..").st_ino, st_of("d").st_ino);
	must(holds("d/c/f", "F"));
	/* Into itself. */
	bad(EINVAL, rename("d", "d/x"));
	bad(EINVAL, rename("d", "d/c/x"));
	bad(EINVAL, rename("d", "d/c"));
	good(mkdir("d/c/e", 0755));
	bad(EINVAL, rename("d", "d/c/e/y"));
	bad(ENOTEMPTY, rename("d/c/e", "d"));
	bad(ENOTEMPTY, rename("d/c", "d"));
	bad(EBUSY, rename("d/.", "z"));
	bad(EBUSY, rename("d/c/..", "z"));
	bad(EBUSY, rename("d/c", "d/."));
	good(rename("d/c/e", "e2"));
	good(rename("d", "e2/d"));
	must(holds("e2/d/c/f", "F"));
	good(unlink("e2/d/c/f"));
	good(rmdir("e2/d/c"));
	good(rmdir("e2/d"));
	good(rmdir("e2"));
	good(unlink("f"));
	good(unlink("l"));
	section("directories");
}

static void errors(void)
{
	put("f", "x", 0644);
	good(mkdir("d", 0755));
	good(symlink("loop", "loop"));
	bad(ENOENT, rename("none", "x"));
	bad(ENOENT, rename("none", "f"));
	bad(ENOENT, rename("f", "none/x"));
	bad(ENOENT, rename("", "x"));
	bad(ENOENT, rename("f", ""));
	bad(ENOTDIR, rename("f/x", "y"));
	bad(ENOTDIR, rename("f", "f/y"));
	bad(ELOOP, rename("loop/x", "y"));
	bad(ELOOP, rename("f", "loop/y"));
	bad(ENAMETOOLONG, rename(NAME256, "x"));
	bad(ENAMETOOLONG, rename("f", NAME256));
	bad(EXDEV, rename("f", "/proc/x"));
	bad(EFAULT, rename((char *)1, "x"));
	must(holds("f", "x"));
	good(unlink("loop"));
	good(rmdir("d"));
	good(unlink("f"));
	section("errors");
}

static void flags(void)
{
	ino_t a, b;

	put("a", "A", 0644);
	put("b", "B", 0644);
	bad(EEXIST, renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
	must(holds("b", "B"));
	good(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
	must(gone("a"));
	good(mkdir("d", 0755));
	bad(EEXIST, renameat2(AT_FDCWD, "c", AT_FDCWD, "d", RENAME_NOREPLACE));
	good(symlink("none", "l"));
	bad(EEXIST, renameat2(AT_FDCWD, "c", AT_FDCWD, "l", RENAME_NOREPLACE));
	bad(ENOENT, renameat2(AT_FDCWD, "none", AT_FDCWD, "x", RENAME_NOREPLACE));
	section("RENAME_NOREPLACE");

	a = st_of("c").st_ino;
	b = st_of("b").st_ino;
	good(renameat2(AT_FDCWD, "c", AT_FDCWD, "b", RENAME_EXCHANGE));
	same(st_of("b").st_ino, a);
	same(st_of("c").st_ino, b);
	must(holds("b", "A"));
	bad(ENOENT, renameat2(AT_FDCWD, "c", AT_FDCWD, "none", RENAME_EXCHANGE));
	bad(ENOENT, renameat2(AT_FDCWD, "none", AT_FDCWD, "c", RENAME_EXCHANGE));
	/* A directory with a file, in different folders. */
	good(mkdir("d/sub", 0755));
	put("d/sub/x", "X", 0644);
	good(renameat2(AT_FDCWD, "b", AT_FDCWD, "d/sub", RENAME_EXCHANGE));
	must(holds("b/x", "X"));
	must(holds("d/sub", "A"));
	same(st_of("b/..").st_ino, st_of(".").st_ino);
	must(st_of("d").st_nlink == 2 || st_of("d").st_nlink == 1);
	bad(EINVAL, renameat2(AT_FDCWD, "b", AT_FDCWD, "b/x", RENAME_EXCHANGE));
	/* With an ancestor: refused. */
	good(mkdir("b/deep", 0755));
	bad(EINVAL, renameat2(AT_FDCWD, "b", AT_FDCWD, "b/deep", RENAME_EXCHANGE));
	bad(EINVAL, renameat2(AT_FDCWD, "b/deep", AT_FDCWD, "b", RENAME_EXCHANGE));
	good(renameat2(AT_FDCWD, "b", AT_FDCWD, "d", RENAME_EXCHANGE)); /* two non-empty directories */
	must(holds("d/x", "X"));
	must(holds("b/sub", "A"));
	good(renameat2(AT_FDCWD, "l", AT_FDCWD, "c", RENAME_EXCHANGE));
	must(S_ISLNK(st_of("c").st_mode));
	bad(EINVAL, renameat2(AT_FDCWD, "c", AT_FDCWD, "b", RENAME_EXCHANGE | RENAME_NOREPLACE));
	bad(EINVAL, renameat2(AT_FDCWD, "c", AT_FDCWD, "b", 1u << 20));
	for (const char *const *p = (const char *const[]){ "d/x", "b/sub", "c", "l", NULL }; *p; p++)
		good(unlink(*p));
	good(rmdir("d/deep"));
	good(rmdir("d"));
	good(rmdir("b"));
	section("RENAME_EXCHANGE");
}

static void rights(void)
{
	good(mkdir("from", 0755));
	good(mkdir("to", 0755));
	put("from/f", "F", 0644);
	good(chown("from", ALICE, ALICE));
	AS (ALICE, ALICE)
		bad(EACCES, rename("from/f", "to/f"));
	good(chown("to", ALICE, ALICE));
	AS (ALICE, ALICE)
		good(rename("from/f", "to/f"));
	good(chown("from", 0, 0));
	AS (ALICE, ALICE)
		bad(EACCES, rename("to/f", "from/f"));
	/* A directory that changes its parent has its .. written: the right to write in it is asked for. */
	good(chown("from", ALICE, ALICE));
	good(mkdir("from/d", 0755));
	AS (ALICE, ALICE) {
		good(rename("from/d", "from/e"));
		bad(EACCES, rename("from/e", "to/e"));
	}
	good(chown("from/e", ALICE, ALICE));
	AS (ALICE, ALICE)
		good(rename("from/e", "to/e"));
	good(rmdir("to/e"));
	/* Sticky: only the owner of the file or of the folder. */
	good(chown("to", 0, 0));
	good(chmod("to", 01777));
	good(chown("to/f", ALICE, ALICE));
	AS (BOB, BOB) {
		bad(EPERM, rename("to/f", "to/g"));
		put("to/mine", "m", 0644);
		bad(EPERM, rename("to/mine", "to/f")); /* the target is another's */
		good(rename("to/mine", "to/mine2"));
	}
	AS (ALICE, ALICE) {
		bad(EPERM, rename("to/f", "to/mine2"));
		bad(EPERM, renameat2(AT_FDCWD, "to/f", AT_FDCWD, "to/mine2", RENAME_EXCHANGE));
		good(rename("to/f", "to/g"));
	}
	good(chown("to", ALICE, 0));
	AS (ALICE, ALICE)
		good(rename("to/g", "to/mine2"));
	good(unlink("to/mine2"));
	good(rmdir("to"));
	good(rmdir("from"));
	section("rights");
}

static void open_files(void)
{
	struct stat st;
	char c;
	int fd, dir;

	put("a", "A", 0644);
	put("b", "B", 0644);
	fd = (int)good(open("b", O_RDWR));
	good(rename("a", "b")); /* b is replaced while open */
	good(fstat(fd, &st));
	same(st.st_nlink, 0);
	same(pread(fd, &c, 1, 0), 1);
	same(c, 'B');
	same(pwrite(fd, "bb", 2, 0), 2);
	good(close(fd));
	must(holds("b", "A"));
	fd = (int)good(open("b", O_RDWR));
	good(rename("b", "c"));
	same(pwrite(fd, "moved", 5, 0), 5);
	must(holds("c", "moved"));
	good(close(fd));
	good(mkdir("d", 0755));
	good(mkdir("e", 0755));
	dir = (int)good(open("e", O_RDONLY | O_DIRECTORY));
	good(rename("d", "e"));
	bad(ENOENT, openat(dir, "x", O_CREAT | O_RDWR, 0644)); /* the replaced directory */
	good(close(dir));
	good(rmdir("e"));
	good(unlink("c"));
	section("open files");
}

/* A name that is replaced by rename is always there, and always one of the whole contents. */
static void replacer(void *arg)
{
	const char *text = arg;
	char tmp[32];

	snprintf(tmp, sizeof(tmp), "tmp.%d", (int)getpid());
	for (int i = 0; i < 300; i++) {
		put(tmp, text, 0644);
		good(rename(tmp, "live"));
	}
}

static void reader(void *arg)
{
	volatile int *stop = arg;
	unsigned n = 0;

	while (!*stop || n < 10) {
		char buf[16];
		int fd = open("live", O_RDONLY);
		ssize_t got;

		n++;
		if (!must(fd >= 0))
			return;
		got = read(fd, buf, sizeof(buf));
		close(fd);
		if (!must(got == 8 && (!memcmp(buf, "aaaaaaaa", 8) || !memcmp(buf, "bbbbbbbb", 8))))
			return;
	}
}

static void atomic_replace(void)
{
	int *stop = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char a[] = "aaaaaaaa", b[] = "bbbbbbbb";
	pid_t r, w1, w2;

	put("live", a, 0644);
	r = px_spawn(reader, stop);
	w1 = px_spawn(replacer, a);
	w2 = px_spawn(replacer, b);
	px_wait(w1);
	px_wait(w2);
	*stop = 1;
	px_wait(r);
	good(unlink("live"));
	section("a name replaced by rename is never missing");
}

/* Directories moved around by two processes never make a loop, never get lost. */
static void mover(void *arg)
{
	static const char *const places[] = { "p/x", "p/y/x", "q/x", "q/z/x", "p/y", "q/z", "p/y/y", "q/y" };

	for (unsigned i = 0; i < 600; i++) {
		unsigned r;

		px_fill(&r, sizeof(r), i * 2 + (unsigned)(uintptr_t)arg);
		if (rename(places[r % 8], places[r / 8 % 8]) < 0)
			must(errno == ENOENT || errno == EINVAL || errno == ENOTEMPTY || errno == EEXIST);
	}
}

static unsigned count_dirs(const char *path)
{
	struct dirent *e;
	unsigned n = 1;
	char *sub;
	DIR *d = opendir(path);

	if (!d)
		return 0;
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		if (asprintf(&sub, "%s/%s", path, e->d_name) > 0) {
			n += count_dirs(sub);
			free(sub);
		}
	}
	closedir(d);
	return n;
}

static void moves(void)
{
	unsigned before, after;
	pid_t a, b;

	good(mkdir("p", 0755));
	good(mkdir("q", 0755));
	good(mkdir("p/y", 0755));
	good(mkdir("q/z", 0755));
	good(mkdir("q/x", 0755));
	put("p/y/f", "keep", 0644);
	put("q/z/g", "keep", 0644);
	put("q/x/h", "keep", 0644);
	before = count_dirs("p") + count_dirs("q");
	a = px_spawn(mover, (void *)0);
	b = px_spawn(mover, (void *)1);
	px_wait(a);
	px_wait(b);
	after = count_dirs("p") + count_dirs("q");
	same(after, before);
	px_clear("p");
	px_clear("q");
	section("directories moved by two processes");
}

int main(int argc, char **argv)
{
	px_start(argc, argv, "rename");
	files();
	special_files();
	directories();
	errors();
	flags();
	rights();
	open_files();
	atomic_replace();
	moves();
	return px_end();
}
