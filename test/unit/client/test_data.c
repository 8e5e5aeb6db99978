/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Data against a model: striping, holes, ends of files, truncation, appending, fsync and lost writes, expired capabilities. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>

#include "base/log.h"
#include "bench.h"

#define FILE_MAX (3u << 20)

static struct result r;
static uint8_t model[FILE_MAX], got[FILE_MAX], data[FILE_MAX];
static uint64_t model_size;
static uint64_t rng = 12345;

static uint32_t pick(uint32_t n)
{
	rng = rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(rng >> 33) % n;
}

static struct client_file *open_new(const char *name, uint32_t flags)
{
	int err = RUN(client_create(cl, &root_cred, &WP_FID_ROOT, wp_str(name), 0644, 0, WP_OPEN_READ | WP_OPEN_WRITE | flags, NULL, CB));

	weft_assert(!err);
	return r.res.file;
}

/* Cuts a buffer at random places. */
static int pieces(uint8_t *p, size_t len, struct iovec *iov, int max)
{
	int n = 0;

	while (len && n < max - 1 && pick(3)) {
		size_t part = 1 + pick((uint32_t)len);

		iov[n++] = (struct iovec){ p, part };
		p += part;
		len -= part;
	}
	if (len)
		iov[n++] = (struct iovec){ p, len };
	return n;
}

static void do_write(struct client_file *f)
{
	uint64_t off = pick(4) ? pick(FILE_MAX - 1) : pick(200000), len = 1 + pick(pick(3) ? 9000 : 700000), i;
	struct iovec iov[8];
	int n, err;

	len = MIN(len, FILE_MAX - off);
	for (i = 0; i < len; i++)
		data[i] = (uint8_t)(rng >> 20) ^ (uint8_t)(i * 7);
	n = pieces(data, len, iov, 8);
	err = RUN(client_write(cl, f, NULL, iov, n, off, 0, CB));
	ok_quiet(!err && r.res.n == len, "write %d", err);
	memcpy(model + off, data, len);
	model_size = MAX(model_size, off + len);
}

static void do_read(struct client_file *f)
{
	uint64_t off = pick(FILE_MAX), len = 1 + pick(pick(2) ? 9000 : FILE_MAX), want;
	struct iovec iov[8];
	int n, err;

	len = MIN(len, sizeof(got));
	want = off < model_size ? MIN(len, model_size - off) : 0;
	memset(got, 0xee, len);
	n = pieces(got, len, iov, 8);
	err = RUN(client_read(cl, f, iov, n, off, CB));
	ok_quiet(!err && r.res.n == want && !memcmp(got, model + off, want), "read at %llu+%llu: %d, %llu of %llu",
		 (unsigned long long)off, (unsigned long long)len, err, (unsigned long long)r.res.n, (unsigned long long)want);
}

static void do_truncate(struct client_file *f)
{
	struct client_setattr sa = { .valid = WP_SETATTR_SIZE, .size = pick(FILE_MAX) };

	ok_quiet(!RUN(client_setattr(cl, &root_cred, client_file_fid(f), f, &sa, CB)) && r.res.attr.size == sa.size, "truncate");
	if (sa.size < model_size)
		memset(model + sa.size, 0, model_size - sa.size);
	model_size = sa.size;
}

static void do_punch(struct client_file *f)
{
	uint64_t off = pick(FILE_MAX - 1), len = 1 + pick(900000);
	bool zero = pick(2);
	int mode = zero ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	len = MIN(len, FILE_MAX - off);
	ok_quiet(!RUN(client_fallocate(cl, f, mode, off, len, CB)), "fallocate %d", r.err);
	memset(model + off, 0, len);
	if (zero)
		model_size = MAX(model_size, off + len);
}

static void do_stat(struct client_file *f)
{
	ok_quiet(!RUN(client_getattr(cl, client_file_fid(f), CB)) && r.res.attr.size == model_size, "size %llu, must be %llu",
		 (unsigned long long)r.res.attr.size, (unsigned long long)model_size);
}

static void test_model(void)
{
	struct client_file *f = open_new("model", 0);
	unsigned i;

	for (i = 0; i < 1500; i++) {
		unsigned what = pick(20);

		if (what < 8)
			do_write(f);
		else if (what < 16)
			do_read(f);
		else if (what == 16)
			do_stat(f);
		else if (what == 17 && !pick(3))
			do_truncate(f);
		else if (what == 18)
			do_punch(f);
		else if (what == 19)
			ok_quiet(!RUN(client_fsync(cl, f, false, CB)), "fsync %d", r.err);
	}
	ok(!RUN(client_release(cl, f, CB)), "a file behaves as its model");
}

static void test_hint(void)
{
	struct client_file *f = open_new("hint", 0);
	struct iovec iov = { data, 1500000 };

	ok(!RUN(client_write(cl, f, NULL, &iov, 1, 0, 0, CB)), "write");
	fc.hints = 0;
	ok(!RUN(client_release(cl, f, CB)) && fc.hints == 1 && fc.last_hint.size == 1500000, "close tells the size of a new file");
	ok(fc.last_hint.data_version && fc.last_hint.blocks && fc.last_hint.mtime.sec, "and versions, blocks and mtime");
	f = open_new("hint", 0);
	ok(!RUN(client_write(cl, f, NULL, &iov, 1, 100, 0, CB)), "write through another handle");
	fc.hints = 0;
	ok(!RUN(client_release(cl, f, CB)) && fc.last_close_wrote, "close");
	ok(fc.hints <= 1 && (!fc.hints || fc.last_hint.size == 1500100), "a hint, if given, is right");
}

static void test_append(void)
{
	static struct result many[40];
	struct client_file *f = open_new("append", WP_OPEN_APPEND);
	struct iovec iov[40];
	unsigned i, bad = 0;
	bool seen[40] = { false };

	for (i = 0; i < 40; i++) {
		memset(data + i * 100, (int)i + 1, 100);
		iov[i] = (struct iovec){ data + i * 100, 100 };
		many[i].done = false;
		client_write(cl, f, NULL, &iov[i], 1, 0, 0, result_cb, &many[i]);
	}
	for (i = 0; i < 40; i++) {
		wait_for(&many[i]);
		bad += many[i].err || many[i].res.n != 100;
	}
	ok(!bad, "40 appends at once");
	iov[0] = (struct iovec){ got, 5000 };
	ok(!RUN(client_read(cl, f, iov, 1, 0, CB)) && r.res.n == 4000, "all of them are in the file: %llu", (unsigned long long)r.res.n);
	for (i = 0; i < 40; i++) {
		bad += memcmp(got + i * 100, got + i * 100 + 1, 99) != 0 || got[i * 100] < 1 || got[i * 100] > 40 ||
		       seen[got[i * 100] - 1];
		seen[(got[i * 100] - 1) % 40] = true;
	}
	ok(!bad, "each whole, each once");
	ok(!RUN(client_release(cl, f, CB)), "release");
}

static void test_fsync(void)
{
	struct client_file *f = open_new("sync", 0), *g;
	struct iovec iov = { data, 2000000 };

	ok(!RUN(client_write(cl, f, NULL, &iov, 1, 0, 0, CB)) && !RUN(client_fsync(cl, f, false, CB)), "write, fsync");
	ok(!RUN(client_write(cl, f, NULL, &iov, 1, 0, 0, CB)), "write");
	fc_storage_restart(&fc, 2);
	ok(RUN(client_fsync(cl, f, false, CB)) == -EIO, "a target that forgot writes: EIO");
	ok(!RUN(client_fsync(cl, f, false, CB)), "reported once");
	ok(!RUN(client_write(cl, f, NULL, &iov, 1, 0, 0, CB)) && !RUN(client_fsync(cl, f, false, CB)), "and good again");
	ok(RUN(client_sync_all(cl, CB)) == -EIO && !RUN(client_sync_all(cl, CB)), "syncfs hears of it as well");
	ok(!RUN(client_write(cl, f, NULL, &iov, 1, 0, 0, CB)) && !RUN(client_release(cl, f, CB)), "write, close");
	g = open_new("sync", 0);
	fc_storage_restart(&fc, 1);
	ok(RUN(client_fsync(cl, g, false, CB)) == -EIO, "an fsync covers what earlier handles wrote");
	ok(!RUN(client_release(cl, g, CB)), "release");
}

/* Data that the mount does not remember, as if another one had written it. */
static void test_fsync_foreign(void)
{
	struct client_file *f = open_new("foreign", 0), *g;
	struct iovec iov = { data, 2000000 };
	struct client_stats before, after;

	ok(!RUN(client_write(cl, f, NULL, &iov, 1, 0, 0, CB)) && !RUN(client_fsync(cl, f, false, CB)), "write, fsync");
	ok(!RUN(client_release(cl, f, CB)), "close: nothing is remembered of it");
	g = open_new("foreign", 0);
	client_stats(cl, &before);
	ok(!RUN(client_fsync(cl, g, false, CB)), "open, fsync");
	client_stats(cl, &after);
	is_int(after.calls - before.calls, 1 + FC_OSTS, "all objects are synced: others may have written them");
	ok(!RUN(client_fsync(cl, g, false, CB)), "fsync again");
	client_stats(cl, &before);
	is_int(before.calls - after.calls, 0, "with nothing to do");
	ok(!RUN(client_release(cl, g, CB)), "release");
}

static void test_caps(void)
{
	struct client_file *f;
	struct iovec iov = { data, 1500000 };
	unsigned given;

	fc.cap_life_s = 0;
	f = open_new("caps", 0);
	given = fc.caps_given;
	usleep(2100000);
	fc.cap_life_s = 3600;
	ok(!RUN(client_write(cl, f, NULL, &iov, 1, 0, 0, CB)), "an expired capability is renewed: %d", r.err);
	ok(fc.caps_given == given + 1, "once");
	ok(!RUN(client_release(cl, f, CB)), "release");
}

static void test_seek(void)
{
	struct client_file *f = open_new("seek", 0);
	struct iovec iov = { data, 4096 };
	struct client_setattr sa = { .valid = WP_SETATTR_SIZE, .size = 4 << 20 };

	ok(RUN(client_lseek(cl, f, 0, SEEK_DATA, CB)) == -ENXIO, "an empty file has no data");
	RUN(client_write(cl, f, NULL, &iov, 1, 2 << 20, 0, CB));
	ok(!RUN(client_setattr(cl, &root_cred, client_file_fid(f), f, &sa, CB)), "4 KiB in 4 MiB");
	ok(!RUN(client_lseek(cl, f, 0, SEEK_DATA, CB)) && r.res.n == 2 << 20, "data: %llu", (unsigned long long)r.res.n);
	ok(!RUN(client_lseek(cl, f, 100, SEEK_HOLE, CB)) && r.res.n == 100, "hole where we are: %llu", (unsigned long long)r.res.n);
	ok(!RUN(client_lseek(cl, f, 2 << 20, SEEK_HOLE, CB)) && r.res.n == (2 << 20) + 4096, "hole: %llu", (unsigned long long)r.res.n);
	ok(RUN(client_lseek(cl, f, 3 << 20, SEEK_DATA, CB)) == -ENXIO, "no data behind");
	ok(RUN(client_lseek(cl, f, 4 << 20, SEEK_HOLE, CB)) == -ENXIO, "nothing at the end");
	ok(!RUN(client_release(cl, f, CB)), "release");
}

static void test_move(void)
{
	struct client_file *f = open_new("move", 0), *g = open_new("copy", 0);
	struct iovec iov = { data, 2 << 20 };
	uint32_t i;

	for (i = 0; i < iov.iov_len; i++)
		data[i] = (uint8_t)pick(256);
	RUN(client_write(cl, f, NULL, &iov, 1, 0, 0, CB));
	ok(!RUN(client_copy_range(cl, f, 1000, g, 5, 3 << 20, CB)) && r.res.n == (2 << 20) - 1000, "copied: %llu",
	   (unsigned long long)r.res.n);
	iov.iov_base = got;
	iov.iov_len = FILE_MAX;
	RUN(client_read(cl, g, &iov, 1, 5, CB));
	ok(r.res.n == (2 << 20) - 1000 && !memcmp(got, data + 1000, r.res.n), "the copy is the same");
	ok(!RUN(client_fallocate(cl, f, FALLOC_FL_COLLAPSE_RANGE, 4096, 8192, CB)), "collapse: %d", r.err);
	RUN(client_read(cl, f, &iov, 1, 0, CB));
	ok(r.res.n == (2 << 20) - 8192 && !memcmp(got, data, 4096) && !memcmp(got + 4096, data + 12288, (2 << 20) - 12288), "collapsed");
	ok(!RUN(client_fallocate(cl, f, FALLOC_FL_INSERT_RANGE, 4096, 1 << 20, CB)), "insert");
	RUN(client_read(cl, f, &iov, 1, 0, CB));
	ok(r.res.n == (3 << 20) - 8192 && !memcmp(got + 4096 + (1 << 20), data + 12288, (2 << 20) - 12288) && !got[4096] && !got[1 << 20],
	   "inserted");
	ok(!RUN(client_release(cl, f, CB)) && !RUN(client_release(cl, g, CB)), "release");
}

int main(void)
{
	struct client_params p = { 0 };

	log_setup("test", getenv("WEFT_DEBUG") ? LOG_DEBUG : LOG_ERR);
	bench_up();
	bench_mount(&p, &r);
	ok(!r.err, "mounted: %d", r.err);
	test_hint();
	test_model();
	test_append();
	test_caps();
	test_seek();
	test_move();
	test_fsync();
	test_fsync_foreign();
	bench_unmount();
	bench_down();
	return done_testing();
}
