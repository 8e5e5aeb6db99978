/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* truncate and ftruncate. */
#include "posix.h"

#include <sys/mman.h>

#define SIZE (3u << 20)

static char pattern[SIZE + 1], buf[SIZE + 1];

/* The file is the pattern up to end, then zeros up to size. */
static void check(int fd, size_t end, size_t size, const char *what)
{
	struct stat st;
	ssize_t n;

	good(fstat(fd, &st));
	same(st.st_size, size);
	memset(buf, 0x55, sizeof(buf));
	n = pread(fd, buf, SIZE, 0);
	same(n, size);
	if (!must(!memcmp(buf, pattern, end)))
		printf("# %s: kept bytes differ\n", what);
	for (size_t i = end; i < size; i++) {
		if (buf[i]) {
			ok(false, "%s: byte %zu is %d, not 0", what, i, buf[i]);
			break;
		}
	}
}

static void shrink_and_grow(void)
{
	static const size_t sizes[] = { 0,     1,	511,	 4095,	  4096,	   4097,    65535,
					65536, 1048575, 1048576, 1048577, 2097152, 2500000, SIZE };
	const size_t n = sizeof(sizes) / sizeof(sizes[0]);
	char text[64];

	for (size_t i = 0; i < n; i++) {
		int fd = (int)good(open("f", O_RDWR | O_CREAT | O_TRUNC, 0644));

		same(write(fd, pattern, SIZE), SIZE);
		good(ftruncate(fd, (off_t)sizes[i]));
		snprintf(text, sizeof(text), "shrunk to %zu", sizes[i]);
		check(fd, sizes[i], sizes[i], text);
		good(truncate("f", SIZE)); /* what was cut off is zero */
		snprintf(text, sizeof(text), "shrunk to %zu and grown", sizes[i]);
		check(fd, sizes[i], SIZE, text);
		good(close(fd));
		fd = (int)good(open("f", O_RDWR));
		check(fd, sizes[i], SIZE, text);
		good(close(fd));
	}
	good(unlink("f"));
	section("shrink and grow");
}

static void step_down(void)
{
	int fd = (int)good(open("f", O_RDWR | O_CREAT | O_TRUNC, 0644));

	same(write(fd, pattern, SIZE), SIZE);
	for (size_t size = SIZE; size > 300000; size -= 262145) {
		good(ftruncate(fd, (off_t)size));
		check(fd, size, size, "stepping down");
	}
	good(ftruncate(fd, 10));
	same(pwrite(fd, pattern + 2000000, 100, 2000000), 100); /* a hole between */
	memset(buf, 0x55, sizeof(buf));
	same(pread(fd, buf, SIZE, 0), 2000100);
	must(!memcmp(buf, pattern, 10));
	must(!memcmp(buf + 2000000, pattern + 2000000, 100));
	for (size_t i = 10; i < 2000000; i++) {
		if (buf[i]) {
			ok(false, "byte %zu of the hole is %d", i, buf[i]);
			break;
		}
	}
	good(close(fd));
	good(unlink("f"));
	section("steps, hole after");
}

static void errors(void)
{
	int fd;

	put("f", "0123456789", 0644);
	good(mkdir("d", 0755));
	bad(EINVAL, truncate("f", -1));
	bad(EISDIR, truncate("d", 0));
	bad(ENOENT, truncate("none", 0));
	bad(ENOTDIR, truncate("f/x", 0));
	bad(ENAMETOOLONG, truncate(NAME256, 0));
	good(symlink("loop", "loop"));
	bad(ELOOP, truncate("loop", 0));
	good(unlink("loop"));
	good(symlink("f", "l"));
	good(truncate("l", 5));
	must(holds("f", "01234"));
	good(unlink("l"));
	fd = (int)good(open("f", O_RDONLY));
	bad(EINVAL, ftruncate(fd, 0));
	good(close(fd));
	fd = (int)good(open("f", O_RDWR));
	bad(EINVAL, ftruncate(fd, -1));
	good(close(fd));
	bad(EBADF, ftruncate(fd, 0));
	fd = (int)good(open("d", O_RDONLY));
	bad(EINVAL, ftruncate(fd, 0));
	good(close(fd));
	good(chmod("f", 0444));
	AS (ALICE, ALICE)
		bad(EACCES, truncate("f", 0));
	good(chmod("f", 0222));
	AS (ALICE, ALICE) {
		good(truncate("f", 2));
		fd = (int)good(open("f", O_WRONLY));
		good(ftruncate(fd, 1));
		good(close(fd));
	}
	good(chmod("f", 0666));
	fd = (int)good(open("f", O_RDWR));
	good(chmod("f", 0));
	AS (ALICE, ALICE)
		good(ftruncate(fd, 4)); /* the descriptor carries the right */
	same(st_of("f").st_size, 4);
	good(close(fd));
	good(rmdir("d"));
	good(unlink("f"));
	section("errors and rights");
}

static void positions(void)
{
	char c[16];
	int fd = (int)good(open("f", O_RDWR | O_CREAT, 0644));

	same(write(fd, "0123456789", 10), 10);
	good(ftruncate(fd, 4));
	same(lseek(fd, 0, SEEK_CUR), 10); /* the position stays */
	same(read(fd, c, 1), 0);
	same(write(fd, "x", 1), 1);
	same(st_of("f").st_size, 11);
	same(pread(fd, c, 16, 0), 11);
	must(!memcmp(c, "0123\0\0\0\0\0\0x", 11));
	same(lseek(fd, 0, SEEK_END), 11);
	good(close(fd));
	good(unlink("f"));
	section("positions");
}

/* While others read: never bytes that were not there. */
static void reader(void *arg)
{
	volatile int *stop = arg;
	char *b = malloc(65536);
	int fd = (int)good(open("f", O_RDONLY));

	while (!*stop) {
		ssize_t n = pread(fd, b, 65536, 0);

		must(n >= 0);
		for (ssize_t i = 0; i < n; i++) {
			if (b[i] && b[i] != 'a') {
				ok(false, "foreign byte");
				break;
			}
		}
	}
	free(b);
	close(fd);
}

static void concurrent(void)
{
	int *stop = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd = (int)good(open("f", O_RDWR | O_CREAT, 0644));
	char *b = malloc(65536);
	pid_t pid;

	memset(b, 'a', 65536);
	pid = px_spawn(reader, stop);
	for (int i = 0; i < 150; i++) {
		same(pwrite(fd, b, 65536, 0), 65536);
		good(ftruncate(fd, i * 37 % 65536));
	}
	*stop = 1;
	px_wait(pid);
	free(b);
	good(close(fd));
	good(unlink("f"));
	section("beside a reader");
}

int main(int argc, char **argv)
{
	px_start(argc, argv, "truncate");
	px_fill(pattern, sizeof(pattern), 1);
	for (size_t i = 0; i < sizeof(pattern); i++)
		if (!pattern[i])
			pattern[i] = 1;
	shrink_and_grow();
	step_down();
	errors();
	positions();
	concurrent();
	return px_end();
}
