/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Reading and writing: sizes and places, vectors, O_APPEND, O_DIRECT, huge offsets, RLIMIT_FSIZE. */
#include "posix.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define MB (1 << 20)
#define MODEL (5 * MB)

static char data[MODEL], back[MODEL + 16], model[MODEL];

/* Random writes, reads and truncations against a copy in memory. */
static void random_io(int flags, unsigned seed, size_t unit)
{
	size_t size = 0;
	int fd = (int)good(open("r", O_RDWR | O_CREAT | O_TRUNC | flags, 0644));
	char *buf = aligned_alloc(4096, MB);

	memset(model, 0, sizeof(model));
	for (unsigned i = 0; i < 400; i++) {
		struct {
			uint32_t what, at, len, from;
		} r;
		size_t at, len;

		px_fill(&r, sizeof(r), seed * 1000 + i);
		at = r.at % (4 * MB) / unit * unit;
		len = (r.len % (r.what & 64 ? MB : 9000) / unit + 1) * unit;
		if (len > MB)
			len = MB;
		if (r.what % 8 < 4) {
			memcpy(buf, data + r.from % (MODEL - MB), len);
			if (!same(pwrite(fd, buf, len, (off_t)at), len))
				break;
			memcpy(model + at, buf, len);
			if (at + len > size)
				size = at + len;
		} else if (r.what % 8 < 7) {
			size_t want = at >= size ? 0 : size - at < len ? size - at : len;

			memset(buf, 0x77, len);
			if (!same(pread(fd, buf, len, (off_t)at), want))
				break;
			if (!must(!memcmp(buf, model + at, want))) {
				printf("# step %u: read of %zu at %zu, size %zu\n", i, len, at, size);
				break;
			}
		} else if (r.what & 128) {
			good(ftruncate(fd, (off_t)at));
			if (at < size)
				memset(model + at, 0, size - at);
			size = at;
		}
	}
	good(close(fd));
	fd = (int)good(open("r", O_RDONLY));
	same(read(fd, back, MODEL), size);
	must(!memcmp(back, model, size));
	good(close(fd));
	good(unlink("r"));
	free(buf);
}

static void sizes(void)
{
	static const size_t lens[] = { 0,     1,      2,      4095, 4096,   4097,	 8191, 65535,
				       65537, 131072, MB - 1, MB,   MB + 1, 3 * MB + 17, MODEL };

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		int fd = (int)good(open("f", O_RDWR | O_CREAT | O_TRUNC, 0644));

		same(write(fd, data, lens[i]), lens[i]);
		same(st_of("f").st_size, lens[i]);
		same(pread(fd, back, MODEL + 16, 0), lens[i]);
		must(!memcmp(back, data, lens[i]));
		good(close(fd));
		fd = (int)good(open("f", O_RDONLY));
		same(read(fd, back, MODEL + 16), lens[i]);
		must(!memcmp(back, data, lens[i]));
		same(read(fd, back, 1), 0);
		good(close(fd));
	}
	good(unlink("f"));
	section("sizes");
}

/* Calls that the compiler would not let through. */
static ssize_t raw_preadv(int fd, const struct iovec *v, long n) { return syscall(SYS_preadv, fd, v, n, 0, 0); }
static ssize_t raw_write(int fd, uintptr_t p, size_t n) { return syscall(SYS_write, fd, p, n); }
static ssize_t raw_pread(int fd, uintptr_t p, size_t n) { return syscall(SYS_pread64, fd, p, n, 0); }

static void vectors(void)
{
	struct iovec v[5];
	int fd = (int)good(open("f", O_RDWR | O_CREAT | O_TRUNC, 0644));
	size_t total = 0;

	for (int i = 0; i < 5; i++) {
		v[i] = (struct iovec){ data + total, (size_t)(i * 100001 + 3) };
		total += v[i].iov_len;
	}
	same(writev(fd, v, 5), total);
	same(pwritev(fd, v, 5, 77), total);
	same(st_of("f").st_size, total + 77);
	for (int i = 0; i < 5; i++)
		v[i].iov_base = back + ((char *)v[i].iov_base - data);
	same(preadv(fd, v, 5, 77), total);
	must(!memcmp(back, data, total));
	same(pread(fd, back, 77, 0), 77);
	must(!memcmp(back, data, 77));
	bad(EINVAL, raw_preadv(fd, v, 2000));
	bad(EINVAL, raw_preadv(fd, v, -1));
	bad(EINVAL, pread(fd, back, 1, -1));
	bad(EINVAL, pwrite(fd, data, 1, -1));
	same(preadv2(fd, v, 1, 0, 0), 3);
	same(pwritev2(fd, v, 1, 0, RWF_SYNC), 3);
	bad(EFAULT, raw_write(fd, 1, 10));
	bad(EFAULT, raw_pread(fd, 1, 10));
	good(close(fd));
	fd = (int)good(open("f", O_RDWR | O_APPEND));
	same(pwrite(fd, "end", 3, 0), 3); /* Linux: appends all the same */
	same(st_of("f").st_size, total + 77 + 3);
	same(pwritev2(fd, (struct iovec[]){ { (char[]){ 'x' }, 1 } }, 1, -1, RWF_APPEND), 1);
	same(st_of("f").st_size, total + 77 + 4);
	good(close(fd));
	good(unlink("f"));
	section("vectors");
}

#define APPENDERS 4
#define APPENDS 150

struct record {
	uint32_t who, n;
	char fill[92];
};

static void append(void *arg)
{
	int fd = (int)good(open("log", O_WRONLY | O_APPEND));
	struct record r = { .who = (uint32_t)(uintptr_t)arg };

	memset(r.fill, (int)('a' + r.who), sizeof(r.fill));
	for (r.n = 0; r.n < APPENDS; r.n++)
		same(write(fd, &r, sizeof(r)), sizeof(r));
	good(close(fd));
}

static void appending(void)
{
	struct record r;
	uint32_t next[APPENDERS] = { 0 };
	pid_t pid[APPENDERS];
	int fd;

	put("log", NULL, 0644);
	for (uintptr_t i = 0; i < APPENDERS; i++)
		pid[i] = px_spawn(append, (void *)i);
	for (int i = 0; i < APPENDERS; i++)
		px_wait(pid[i]);
	same(st_of("log").st_size, APPENDERS * APPENDS * (long long)sizeof(r));
	fd = (int)good(open("log", O_RDONLY));
	for (int i = 0; i < APPENDERS * APPENDS; i++) {
		if (!same(read(fd, &r, sizeof(r)), sizeof(r)) || !must(r.who < APPENDERS))
			break;
		same(r.n, next[r.who]++); /* each one's in order, none lost, none torn */
		must(r.fill[0] == (char)('a' + r.who) && r.fill[91] == r.fill[0]);
	}
	good(close(fd));
	/* The flag set later; reading elsewhere does not move where it writes. */
	fd = (int)good(open("log", O_RDWR));
	good(fcntl(fd, F_SETFL, O_APPEND));
	same(pread(fd, &r, 1, 0), 1);
	same(write(fd, "tail", 4), 4);
	same(lseek(fd, 0, SEEK_CUR), APPENDERS * APPENDS * (long long)sizeof(r) + 4);
	good(close(fd));
	good(unlink("log"));
	section("O_APPEND by several processes");
}

static void direct(void)
{
	char *buf = aligned_alloc(4096, 2 * MB);
	int fd = open("d", O_RDWR | O_CREAT | O_DIRECT, 0644);

	if (fd < 0 && errno == EINVAL) {
		printf("# no O_DIRECT\n");
		(void)unlink("d");
		free(buf);
		return;
	}
	memcpy(buf, data, 2 * MB);
	same(pwrite(fd, buf, 2 * MB, 0), 2 * MB);
	same(pwrite(fd, buf + 4096, 4096, 12288), 4096);
	memset(buf, 0, 2 * MB);
	same(pread(fd, buf, 2 * MB, 0), 2 * MB);
	must(!memcmp(buf, data, 12288));
	must(!memcmp(buf + 12288, data + 4096, 4096));
	must(!memcmp(buf + 16384, data + 16384, 2 * MB - 16384));
	{ /* beside a buffered descriptor */
		int other = (int)good(open("d", O_RDWR));

		same(pwrite(other, "buffered", 8, 100), 8);
		good(fsync(other));
		same(pread(fd, buf, 4096, 0), 4096);
		must(!memcmp(buf + 100, "buffered", 8));
		memset(buf, 'D', 4096);
		same(pwrite(fd, buf, 4096, 0), 4096);
		same(pread(other, back, 10, 100), 10);
		must(!memcmp(back, "DDDDDDDDDD", 10));
		good(close(other));
	}
	good(close(fd));
	free(buf);
	good(unlink("d"));
	random_io(O_DIRECT, 7, 4096);
	section("O_DIRECT");
}

/* The largest offset: a file system may end earlier, but then with EFBIG and never with a wrong place. */
static void huge(void)
{
	static const off_t places[] = { (1ll << 31) - 1, 1ll << 31,	     (1ll << 32) - 1, 1ll << 32,
					1ll << 40,	 (1ll << 44) - 8192, 1ll << 50,	      1ll << 62 };
	int fd = (int)good(open("f", O_RDWR | O_CREAT | O_TRUNC, 0644));
	char c;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (pwrite(fd, "ab", 2, places[i]) < 0) {
			if (!must(errno == EFBIG))
				printf("# at %lld: %s\n", (long long)places[i], strerror(errno));
			continue;
		}
		same(st_of("f").st_size, places[i] + 2);
		same(pread(fd, &c, 1, places[i] + 1), 1);
		same(c, 'b');
	}
	bad(EINVAL, pwrite(fd, "x", 1, INT64_MAX)); /* the end would not be a number */
	same(pread(fd, &c, 1, INT64_MAX - 1), 0);
	must(pwrite(fd, "x", 1, INT64_MAX - 1) == 1 || errno == EFBIG);
	bad(EINVAL, pwrite(fd, "xyz", 3, -5));
	must(ftruncate(fd, INT64_MAX) == 0 || errno == EFBIG);
	good(ftruncate(fd, 0));
	same(st_of("f").st_size, 0);
	good(close(fd));
	good(unlink("f"));
	section("huge offsets");
}

static volatile sig_atomic_t got_signal;

static void on_signal(int sig) { got_signal = sig; }

static void limited(void *arg)
{
	struct rlimit l = { 100000, 100000 };
	int fd = (int)good(open("f", O_RDWR | O_CREAT | O_TRUNC, 0644));

	signal(SIGXFSZ, on_signal);
	good(setrlimit(RLIMIT_FSIZE, &l));
	same(write(fd, data, 90000), 90000);
	same(write(fd, data, 20000), 10000); /* up to the limit */
	same(got_signal, 0);
	bad(EFBIG, write(fd, data, 1));
	same(got_signal, SIGXFSZ);
	got_signal = 0;
	bad(EFBIG, ftruncate(fd, 100001));
	same(got_signal, SIGXFSZ);
	good(ftruncate(fd, 100000));
	got_signal = 0;
	bad(EFBIG, pwrite(fd, "x", 1, 200000));
	same(got_signal, SIGXFSZ);
	same(st_of("f").st_size, 100000);
	good(close(fd));
	good(unlink("f"));
}

static void synchronous(void)
{
	static const int flags[] = { O_SYNC, O_DSYNC, O_SYNC | O_APPEND };
	int fd, dir;

	for (size_t i = 0; i < 3; i++) {
		fd = (int)good(open("f", O_RDWR | O_CREAT | O_TRUNC | flags[i], 0644));
		for (int k = 0; k < 5; k++)
			same(write(fd, data, 5000), 5000);
		good(fdatasync(fd));
		good(fsync(fd));
		good(syncfs(fd));
		same(st_of("f").st_size, 25000);
		good(close(fd));
	}
	dir = (int)good(open(".", O_RDONLY | O_DIRECTORY));
	good(fsync(dir));
	good(fdatasync(dir));
	good(close(dir));
	fd = (int)good(open("f", O_RDONLY)); /* also without the right to write */
	good(fsync(fd));
	good(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	good(close(fd));
	good(unlink("f"));
	section("O_SYNC, fsync");
}

/* Two descriptors, two processes: what was written is read at once. */
static void echo(void *arg)
{
	int *fds = arg;
	int fd = (int)good(open("shared", O_RDWR));
	char c;

	for (int i = 0; i < 200; i++) {
		uint32_t v = 0;

		if (read(fds[0], &c, 1) != 1)
			break;
		same(pread(fd, &v, 4, 4096 * (i % 7)), 4);
		same(v, i);
		v = (uint32_t)(i * 3);
		same(pwrite(fd, &v, 4, 100000), 4);
		if (write(fds[3], "y", 1) != 1)
			break;
	}
	close(fd);
}

static void coherent(void)
{
	int fds[4], fd = (int)good(open("shared", O_RDWR | O_CREAT, 0644));
	char c;
	pid_t pid;

	if (pipe(fds) || pipe(fds + 2))
		bail_out("pipe");
	pid = px_spawn(echo, fds);
	for (int i = 0; i < 200; i++) {
		uint32_t v = (uint32_t)i;

		same(pwrite(fd, &v, 4, 4096 * (i % 7)), 4);
		if (write(fds[1], "x", 1) != 1 || read(fds[2], &c, 1) != 1)
			break;
		same(pread(fd, &v, 4, 100000), 4);
		same(v, i * 3);
	}
	px_wait(pid);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	good(close(fd));
	good(unlink("shared"));
	section("two processes, one file");
}

int main(int argc, char **argv)
{
	px_start(argc, argv, "rw");
	px_fill(data, sizeof(data), 11);
	sizes();
	for (unsigned seed = 0; seed < 4; seed++)
		random_io(0, seed, 1);
	section("random, compared with a model");
	random_io(0, 50, 512);
	vectors();
	appending();
	direct();
	huge();
	px_child(limited, NULL);
	section("RLIMIT_FSIZE");
	synchronous();
	coherent();
	return px_end();
}
