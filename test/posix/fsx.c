/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * One file, two descriptors, every way to change and read it, in random order, against a copy in memory. A failure prints the last
 * steps; `posix_fsx DIR` takes the first seed from $SEED.
 */
#include "posix.h"

#include <sys/mman.h>

#define FILE_MAX (1500 * 1024)
#define STEPS 700
#define SHOWN 12

static char model[FILE_MAX], buf[FILE_MAX], scratch[FILE_MAX];
static off_t size;
static int fd[2];
static bool failed, can_punch, can_zero, can_allocate;

struct step {
	const char *what;
	off_t at, len, to, size;
};

static struct step steps[STEPS];
static unsigned now_step;

static void note(const char *what, off_t at, off_t len, off_t to)
{
	steps[now_step] = (struct step){ what, at, len, to, size };
}

static void complain(const char *text)
{
	unsigned from = now_step < SHOWN ? 0 : now_step - SHOWN;

	if (failed)
		return;
	failed = true;
	ok(false, "%s (%s)", text, errno ? strerror(errno) : "wrong bytes");
	for (unsigned i = from; i <= now_step; i++)
		printf("# step %u: %s at %lld, %lld bytes, to %lld; size before %lld\n", i, steps[i].what,
		       (long long)steps[i].at, (long long)steps[i].len, (long long)steps[i].to, (long long)steps[i].size);
}

static void grow_to(off_t end)
{
	if (end > size) {
		memset(model + size, 0, (size_t)(end - size));
		size = end;
	}
}

static void compare(const char *what, const char *got, off_t at, off_t len)
{
	for (off_t i = 0; i < len && !failed; i++) {
		if (got[i] != model[at + i]) {
			char text[128];

			errno = 0;
			snprintf(text, sizeof(text), "%s: byte %lld is %02x, not %02x", what, (long long)(at + i), got[i] & 255,
				 model[at + i] & 255);
			complain(text);
		}
	}
}

static void do_read(int f, off_t at, off_t len)
{
	off_t want = at >= size ? 0 : at + len > size ? size - at : len;
	ssize_t n = pread(f, buf, (size_t)len, at);

	note("read", at, len, 0);
	if (n != want)
		complain("read: wrong length");
	else
		compare("read", buf, at, want);
}

static void do_write(int f, off_t at, off_t len, unsigned seed)
{
	px_fill(scratch, (size_t)len, seed);
	note("write", at, len, 0);
	if (pwrite(f, scratch, (size_t)len, at) != len) {
		complain("write");
		return;
	}
	grow_to(at + len);
	memcpy(model + at, scratch, (size_t)len);
}

static void do_truncate(int f, off_t to)
{
	note("truncate", 0, 0, to);
	if (ftruncate(f, to) < 0) {
		complain("ftruncate");
		return;
	}
	grow_to(to);
	size = to;
}

static void do_map(int f, off_t at, off_t len, bool write_it, unsigned seed)
{
	off_t page = at & ~4095ll, span;
	char *p;

	if (at >= size)
		return;
	if (at + len > size)
		len = size - at;
	span = at + len - page;
	note(write_it ? "write mapped" : "read mapped", at, len, 0);
	p = mmap(NULL, (size_t)span, write_it ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, f, page);
	if (p == MAP_FAILED) {
		complain("mmap");
		return;
	}
	if (write_it) {
		px_fill(p + (at - page), (size_t)len, seed);
		px_fill(model + at, (size_t)len, seed);
		if (msync(p, (size_t)span, MS_SYNC) < 0)
			complain("msync");
	} else {
		compare("read mapped", p + (at - page), at, len);
	}
	munmap(p, (size_t)span);
}

static void do_punch(int f, off_t at, off_t len)
{
	note("punch", at, len, 0);
	if (fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, len) < 0)
		complain("punch");
	else if (at < size)
		memset(model + at, 0, (size_t)(at + len > size ? size - at : len));
}

static void do_zero(int f, off_t at, off_t len)
{
	note("zero range", at, len, 0);
	if (fallocate(f, FALLOC_FL_ZERO_RANGE, at, len) < 0) {
		complain("zero range");
		return;
	}
	grow_to(at + len);
	memset(model + at, 0, (size_t)len);
}

static void do_allocate(int f, off_t at, off_t len)
{
	note("allocate", at, len, 0);
	if (fallocate(f, 0, at, len) < 0)
		complain("allocate");
	else
		grow_to(at + len);
}

static void do_copy(off_t at, off_t len, off_t to)
{
	loff_t in = at, out = to;

	if (at >= size || (to < at + len && at < to + len))
		return;
	if (at + len > size)
		len = size - at;
	note("copy", at, len, to);
	for (off_t left = len; left > 0;) {
		ssize_t n = copy_file_range(fd[0], &in, fd[1], &out, (size_t)left, 0);

		if (n <= 0) {
			complain("copy");
			return;
		}
		left -= n;
	}
	memcpy(scratch, model + at, (size_t)len);
	grow_to(to + len);
	memcpy(model + to, scratch, (size_t)len);
}

static void do_reopen(int which)
{
	note("reopen", which, 0, 0);
	if (close(fd[which]) < 0)
		complain("close");
	fd[which] = open("fsx", O_RDWR);
	if (fd[which] < 0)
		complain("open");
}

static void check_size(void)
{
	struct stat st;

	if (fstat(fd[0], &st) < 0 || st.st_size != size) {
		char text[64];

		errno = 0;
		snprintf(text, sizeof(text), "size is %lld, not %lld", (long long)st.st_size, (long long)size);
		complain(text);
	}
}

static void one_step(unsigned seed)
{
	struct {
		uint32_t what, at, len, to;
	} r;
	off_t at, len, to;
	int f;

	note("nothing", 0, 0, 0);
	px_fill(&r, sizeof(r), seed);
	len = 1 + r.len % (r.what & 0x100 ? 200000 : r.what & 0x200 ? 4096 : 20000);
	at = r.at % (FILE_MAX - len);
	to = r.to % (FILE_MAX - len);
	if (r.what & 0x400) {
		at &= ~4095ll;
		to &= ~4095ll;
	}
	f = fd[r.what >> 12 & 1];
	switch (r.what % 13) {
	case 0:
	case 1:
	case 2:
		do_write(f, at, len, seed);
		break;
	case 3:
	case 4:
		do_read(f, at, len);
		break;
	case 5:
		do_truncate(f, to);
		break;
	case 6:
		do_map(f, at, len, false, seed);
		break;
	case 7:
		do_map(f, at, len, true, seed);
		break;
	case 8:
		if (can_punch)
			do_punch(f, at, len);
		break;
	case 9:
		if (can_zero)
			do_zero(f, at, len);
		break;
	case 10:
		do_copy(at, len, to);
		break;
	case 11:
		do_reopen(r.what >> 12 & 1);
		break;
	case 12:
		if (can_allocate)
			do_allocate(f, at, len);
		else if (fsync(f) < 0)
			complain("fsync");
		break;
	}
}

static void probe(void)
{
	can_allocate = !fallocate(fd[0], 0, 0, 4096);
	can_punch = !fallocate(fd[0], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
	can_zero = !fallocate(fd[0], FALLOC_FL_ZERO_RANGE, 0, 4096);
	good(ftruncate(fd[0], 0));
}

static void run(unsigned seed)
{
	failed = false;
	size = 0;
	for (int i = 0; i < 2; i++)
		fd[i] = (int)good(open("fsx", O_RDWR | O_CREAT | O_TRUNC, 0644));
	probe();
	for (now_step = 0; now_step < STEPS && !failed; now_step++) {
		one_step(seed * 100000 + now_step);
		check_size();
	}
	now_step = STEPS - 1;
	do_read(fd[0], 0, FILE_MAX);
	if (failed)
		printf("# seed %u\n", seed);
	must(!failed);
	for (int i = 0; i < 2; i++)
		good(close(fd[i]));
	good(unlink("fsx"));
}

int main(int argc, char **argv)
{
	unsigned seed = getenv("SEED") ? (unsigned)atoi(getenv("SEED")) : 1;

	px_start(argc, argv, "fsx");
	for (unsigned i = 0; i < 6; i++)
		run(seed + i);
	section("random operations on one file");
	return px_end();
}
