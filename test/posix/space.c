/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Sparse files, SEEK_DATA and SEEK_HOLE, fallocate, copy_file_range, statvfs. */
#include "posix.h"

#include <sys/sendfile.h>
#include <sys/statvfs.h>

#define MB (1 << 20)

static char data[4 * MB], back[4 * MB];

static bool zero(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

/* Up to the last byte that a file can have. POSIX_FILES_END_EARLIER: they may end earlier here, with EFBIG. */
static void largest(void)
{
	const off_t last = INT64_MAX - 1;
	int fd = (int)good(open("f", O_RDWR | O_CREAT | O_TRUNC, 0644));
	struct stat st;
	off_t at;

	if (pwrite(fd, "z", 1, last) < 0 && errno == EFBIG && getenv("POSIX_FILES_END_EARLIER"))
		goto out;
	good(fstat(fd, &st));
	same(st.st_size, INT64_MAX);
	must(st.st_blocks < 16 * MB / 512);
	same(pread(fd, back, 10, last - 9), 10);
	must(zero(back, 9) && back[9] == 'z');
	bad(EINVAL, pwrite(fd, "z", 1, INT64_MAX)); /* its end would not be a number */
	bad(EINVAL, pwrite(fd, "zz", 2, last));
	at = lseek(fd, 0, SEEK_DATA);
	must(at >= last / 65536 * 65536 && at <= last);
	same(lseek(fd, 0, SEEK_HOLE), 0);
	same(lseek(fd, last, SEEK_HOLE), INT64_MAX);
	good(fsync(fd));
	same(pwrite(fd, "mid", 3, 1ll << 61), 3);
	at = lseek(fd, 0, SEEK_DATA);
	must(at >= (1ll << 61) - 65536 && at <= 1ll << 61);
	good(ftruncate(fd, (1ll << 61) + 2));
	good(fstat(fd, &st));
	same(st.st_size, (1ll << 61) + 2);
	same(pread(fd, back, 10, 1ll << 61), 2);
	must(!memcmp(back, "mi", 2));
	good(ftruncate(fd, INT64_MAX));
	same(pread(fd, back, 10, 1ll << 61), 10);
	must(!memcmp(back, "mi", 2) && zero(back + 2, 8));
	same(pread(fd, back, 1, last), 1);
	must(!back[0]); /* cut, and not there again */
	good(ftruncate(fd, 1));
	good(fstat(fd, &st));
	same(st.st_size, 1);
out:
	good(close(fd));
	good(unlink("f"));
	section("the largest file");
}

static void sparse(void)
{
	static const off_t places[] = { 0, 4095, 65536, MB - 1, MB, 3 * MB + 7, 100ll * MB, 5000ll * MB + 3, 1ll << 40 };
	const size_t n = sizeof(places) / sizeof(places[0]);
	struct stat st;
	int fd = (int)good(open("f", O_RDWR | O_CREAT | O_TRUNC, 0644));

	for (size_t i = n; i-- > 0;)
		same(pwrite(fd, data + i, 3, places[i]), 3);
	good(fstat(fd, &st));
	same(st.st_size, places[n - 1] + 3);
	must(st.st_blocks < 16 * MB / 512); /* nothing like a terabyte */
	for (size_t i = 0; i < n; i++) {
		same(pread(fd, back, 3, places[i]), 3);
		must(!memcmp(back, data + i, 3));
	}
	same(pread(fd, back, 2 * MB, 50ll * MB), 2 * MB);
	must(zero(back, 2 * MB));
	same(pread(fd, back, 10, places[n - 1] + 3), 0);
	same(pread(fd, back, 10, places[n - 1] + 100), 0);
	same(pread(fd, back, 10, places[n - 1]), 3);
	good(fsync(fd));
	good(close(fd));
	same(st_of("f").st_size, places[n - 1] + 3);
	good(unlink("f"));
	section("sparse files");
}

static void seek_holes(void)
{
	const off_t size = 20 * MB;
	off_t at;
	int fd = (int)good(open("f", O_RDWR | O_CREAT | O_TRUNC, 0644));

	bad(ENXIO, lseek(fd, 0, SEEK_DATA));
	bad(ENXIO, lseek(fd, 0, SEEK_HOLE));
	same(pwrite(fd, data, MB, 0), MB);
	same(pwrite(fd, data, MB, 10 * MB), MB);
	good(ftruncate(fd, size));
	/* Holes need not be known; what must hold: data is data, the end is a hole. */
	same(lseek(fd, 0, SEEK_DATA), 0);
	same(lseek(fd, 10 * MB + 5, SEEK_DATA), 10 * MB + 5);
	at = lseek(fd, 5, SEEK_HOLE);
	must(at >= MB && at <= size);
	at = lseek(fd, 2 * MB, SEEK_DATA);
	must(at >= 2 * MB && at <= 10 * MB);
	at = lseek(fd, 10 * MB, SEEK_HOLE);
	must(at >= 11 * MB && at <= size);
	at = lseek(fd, 15 * MB, SEEK_HOLE);
	must(at >= 15 * MB && at <= size);
	must(lseek(fd, size - 1, SEEK_HOLE) >= size - 1);
	bad(ENXIO, lseek(fd, size, SEEK_HOLE));
	bad(ENXIO, lseek(fd, size, SEEK_DATA));
	bad(ENXIO, lseek(fd, size + 10, SEEK_DATA));
	must(lseek(fd, -1, SEEK_DATA) < 0 && (errno == ENXIO || errno == EINVAL));
	good(close(fd));
	good(unlink("f"));
	section("SEEK_DATA and SEEK_HOLE");

	fd = (int)good(open("f", O_RDWR | O_CREAT, 0644));
	same(write(fd, "0123456789", 10), 10);
	same(lseek(fd, 3, SEEK_SET), 3);
	same(lseek(fd, 4, SEEK_CUR), 7);
	same(lseek(fd, -2, SEEK_END), 8);
	same(lseek(fd, 100, SEEK_END), 110);
	same(read(fd, back, 1), 0);
	bad(EINVAL, lseek(fd, -1, SEEK_SET));
	bad(EINVAL, lseek(fd, -200, SEEK_END));
	bad(EINVAL, lseek(fd, 0, 99));
	same(lseek(fd, 0, SEEK_CUR), 110);
	good(close(fd));
	good(unlink("f"));
	section("lseek");
}

static void allocating(void)
{
	struct stat st;
	int fd = (int)good(open("f", O_RDWR | O_CREAT | O_TRUNC, 0644));

	if (fallocate(fd, 0, 0, 3 * MB) < 0 && errno == EOPNOTSUPP) {
		printf("# no fallocate\n");
		/* What programs then do. */
		good(posix_fallocate(fd, 0, 3 * MB) == 0 ? 0 : -1);
	}
	good(fstat(fd, &st));
	same(st.st_size, 3 * MB);
	same(pread(fd, back, 3 * MB, 0), 3 * MB);
	must(zero(back, 3 * MB));
	same(pwrite(fd, data, MB, MB), MB);
	same(posix_fallocate(fd, 0, 2 * MB), 0); /* data untouched, size not smaller */
	good(fstat(fd, &st));
	same(st.st_size, 3 * MB);
	same(pread(fd, back, MB, MB), MB);
	must(!memcmp(back, data, MB));
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 3 * MB, MB) == 0) {
		good(fstat(fd, &st));
		same(st.st_size, 3 * MB);
	} else {
		must(errno == EOPNOTSUPP);
	}
	bad(EINVAL, fallocate(fd, 0, 0, 0));
	bad(EINVAL, fallocate(fd, 0, -1, 10));
	bad(EINVAL, fallocate(fd, 0, 10, -1));
	bad(EBADF, fallocate(1000, 0, 0, 10));
	good(close(fd));
	fd = (int)good(open("f", O_RDONLY));
	bad(EBADF, fallocate(fd, 0, 0, 10));
	good(close(fd));
	good(unlink("f"));
	section("fallocate");
}

static void punching(void)
{
	struct stat st;
	int fd = (int)good(open("f", O_RDWR | O_CREAT | O_TRUNC, 0644));

	same(pwrite(fd, data, 4 * MB, 0), 4 * MB);
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, MB - 100, MB + 200) == 0) {
		good(fstat(fd, &st));
		same(st.st_size, 4 * MB);
		same(pread(fd, back, 4 * MB, 0), 4 * MB);
		must(!memcmp(back, data, MB - 100));
		must(zero(back + MB - 100, MB + 200));
		must(!memcmp(back + 2 * MB + 100, data + 2 * MB + 100, 2 * MB - 100));
		good(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 3 * MB, 10 * MB)); /* over the end */
		good(fstat(fd, &st));
		same(st.st_size, 4 * MB);
		same(pread(fd, back, MB, 3 * MB), MB);
		must(zero(back, MB));
		same(pread(fd, back, 100, 3 * MB - 100), 100);
		must(!memcmp(back, data + 3 * MB - 100, 100));
		section("punching holes");
	} else {
		must(errno == EOPNOTSUPP);
		printf("# no FALLOC_FL_PUNCH_HOLE\n");
	}
	bad(EOPNOTSUPP, fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, MB));
	same(pwrite(fd, data, 4 * MB, 0), 4 * MB);
	if (fallocate(fd, FALLOC_FL_ZERO_RANGE, 3 * MB + 5, 2 * MB) == 0) {
		good(fstat(fd, &st));
		same(st.st_size, 5 * MB + 5);
		same(pread(fd, back, 2 * MB, 3 * MB + 5), 2 * MB);
		must(zero(back, 2 * MB));
		same(pread(fd, back, 100, 3 * MB - 95), 100);
		must(!memcmp(back, data + 3 * MB - 95, 100));
		section("zeroing a range");
	} else {
		must(errno == EOPNOTSUPP);
		printf("# no FALLOC_FL_ZERO_RANGE\n");
	}
	if (fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, MB) == 0) {
		same(pread(fd, back, MB, 0), MB);
		must(!memcmp(back, data + MB, MB));
	} else {
		must(errno == EOPNOTSUPP || errno == EINVAL);
	}
	good(close(fd));
	good(unlink("f"));
}

static void copying(void)
{
	loff_t in = 100, out = 5000;
	size_t left = 2 * MB;
	ssize_t n;
	int a = (int)good(open("a", O_RDWR | O_CREAT | O_TRUNC, 0644)),
	    b = (int)good(open("b", O_RDWR | O_CREAT | O_TRUNC, 0644));

	same(pwrite(a, data, 4 * MB, 0), 4 * MB);
	while (left && (n = good(copy_file_range(a, &in, b, &out, left, 0))) > 0)
		left -= (size_t)n;
	same(left, 0);
	same(in, 100 + 2 * MB);
	same(out, 5000 + 2 * MB);
	same(st_of("b").st_size, 5000 + 2 * MB);
	same(pread(b, back, 4 * MB, 0), 5000 + 2 * MB);
	must(zero(back, 5000));
	must(!memcmp(back + 5000, data + 100, 2 * MB));
	/* Beyond the end: nothing. */
	in = 4 * MB;
	same(copy_file_range(a, &in, b, &out, 10, 0), 0);
	/* In one file, apart; overlapping is refused. */
	in = 0;
	out = 3 * MB;
	left = MB;
	while (left && (n = good(copy_file_range(a, &in, a, &out, left, 0))) > 0)
		left -= (size_t)n;
	same(pread(a, back, MB, 3 * MB), MB);
	must(!memcmp(back, data, MB));
	in = 0;
	out = 100;
	bad(EINVAL, copy_file_range(a, &in, a, &out, 1000, 0));
	bad(EINVAL, copy_file_range(a, &in, b, &out, 1, 1));
	/* With the descriptors' own positions. */
	good(lseek(a, 10, SEEK_SET));
	good(ftruncate(b, 0));
	good(lseek(b, 0, SEEK_SET));
	same(copy_file_range(a, NULL, b, NULL, 1000, 0), 1000);
	same(lseek(a, 0, SEEK_CUR), 1010);
	same(lseek(b, 0, SEEK_CUR), 1000);
	same(pread(b, back, 2000, 0), 1000);
	must(!memcmp(back, data + 10, 1000));
	good(close(b));
	b = (int)good(open("b", O_RDONLY));
	in = 0;
	bad(EBADF, copy_file_range(a, &in, b, NULL, 10, 0));
	good(close(b));
	/* sendfile is much the same. */
	b = (int)good(open("b", O_RDWR | O_TRUNC));
	in = 7;
	left = MB;
	while (left && (n = good(sendfile(b, a, &in, left))) > 0)
		left -= (size_t)n;
	same(pread(b, back, MB, 0), MB);
	must(!memcmp(back, data + 7, MB));
	good(close(a));
	good(close(b));
	good(unlink("a"));
	good(unlink("b"));
	section("copy_file_range and sendfile");
}

static void space(void)
{
	struct statvfs v, w;
	int fd;

	good(statvfs(".", &v));
	must(v.f_blocks > 0);
	must(v.f_bfree <= v.f_blocks);
	must(v.f_bavail <= v.f_bfree);
	must(v.f_frsize >= 512 && v.f_bsize >= 512);
	same(v.f_namemax, 255);
	must(v.f_ffree <= v.f_files);
	fd = (int)good(open("f", O_RDWR | O_CREAT, 0644));
	good(fstatvfs(fd, &w));
	same(w.f_frsize, v.f_frsize);
	must(w.f_blocks > 0);
	same(fpathconf(fd, _PC_NAME_MAX), 255);
	must(fpathconf(fd, _PC_LINK_MAX) != 0);
	good(close(fd));
	good(unlink("f"));
	bad(ENOENT, statvfs("none", &v));
	section("statvfs");
}

/* st_blocks follows what is stored. */
static void blocks(void)
{
	struct stat st;
	int fd = (int)good(open("f", O_RDWR | O_CREAT | O_TRUNC, 0644));

	good(fstat(fd, &st));
	must(st.st_blocks <= 16);
	must(st.st_blksize >= 512);
	same(pwrite(fd, data, 2 * MB, 0), 2 * MB);
	good(fsync(fd));
	good(fstat(fd, &st));
	must(st.st_blocks >= 2 * MB / 512 && st.st_blocks <= 3 * MB / 512);
	good(close(fd));
	st = st_of("f");
	must(st.st_blocks >= 2 * MB / 512 && st.st_blocks <= 3 * MB / 512);
	good(truncate("f", 0));
	st = st_of("f");
	must(st.st_blocks <= 64);
	good(unlink("f"));
	section("st_blocks");
}

int main(int argc, char **argv)
{
	px_start(argc, argv, "space");
	px_fill(data, sizeof(data), 9);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] |= 1;
	sparse();
	largest();
	seek_holes();
	allocating();
	punching();
	copying();
	space();
	blocks();
	return px_end();
}
