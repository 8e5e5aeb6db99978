/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Objects: random operations against a model, checksums, space, order. */
#include "tap.h"
#include "world.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/crc.h"
#include "env/env_linux.h"
#include "proto/status.h"

enum { MODEL_MAX = 3 << 20 };

static uint8_t model[MODEL_MAX], scratch[MODEL_MAX];
static uint64_t model_size;
static uint64_t base; /* where the model begins in the object */

static uint64_t rnd(uint64_t n) { return ((uint64_t)rand() << 20 ^ (uint64_t)rand()) % n; }

static bool same(struct world *w, const struct wp_objid *obj, uint64_t offset, size_t len)
{
	int64_t n = world_read(w, obj, base + offset, scratch, len), want = 0;

	if (offset < model_size)
		want = (int64_t)MIN(len, model_size - offset);
	return n == want && !memcmp(scratch, model + offset, (size_t)n);
}

static int simple(struct world *w, const struct wp_objid *obj, enum osd_io_op op, uint8_t mode, uint64_t offset,
		  uint64_t length)
{
	struct osd_io io = { .op = op, .obj = *obj, .mode = mode, .offset = offset, .length = length };

	return world_io(w, &io);
}

static void resize(uint64_t size)
{
	if (size < model_size)
		memset(model + size, 0, model_size - size);
	model_size = size;
}

static bool random_step(struct world *w, const struct wp_objid *obj)
{
	uint64_t offset = rnd(4) ? rnd(MODEL_MAX / 2) : rnd(MODEL_MAX / 8192) * 4096,
		 len = rnd(3) ? 1 + rnd(20000) : 4096 * (1 + rnd(8));
	uint8_t *data = scratch;

	switch (rnd(9)) {
	default:
		for (size_t i = 0; i < len; i++)
			data[i] = (uint8_t)rand();
		memcpy(model + offset, data, len);
		model_size = MAX(model_size, offset + len);
		return world_write(w, obj, base + offset, model + offset, len) == 0;
	case 5:
		resize(offset);
		return simple(w, obj, OSD_TRUNCATE, 0, 0, base + offset) == 0;
	case 6:
		memset(model + offset, 0, len);
		return simple(w, obj, OSD_ALLOC, WP_ALLOC_MODE_PUNCH, base + offset, len) == 0;
	case 7:
		memset(model + offset, 0, len);
		model_size = MAX(model_size, offset + len);
		return simple(w, obj, OSD_ALLOC, WP_ALLOC_MODE_ZERO, base + offset, len) == 0;
	case 8:
		model_size = MAX(model_size, offset + len);
		return simple(w, obj, OSD_ALLOC, WP_ALLOC_MODE_ALLOCATE, base + offset, len) == 0;
	}
}

static void check_random(struct world *w, uint32_t k, uint64_t from, bool keeps)
{
	unsigned bad_ops = 0, bad_reads = 0;
	struct wp_objid obj = obj_id(k);

	srand(7);
	base = from;
	(void)!simple(w, &obj, OSD_TRUNCATE, 0, 0, base);
	memset(model, 0, sizeof(model));
	model_size = 0;
	for (unsigned i = 0; i < 1500; i++) {
		bad_ops += !random_step(w, &obj);
		bad_reads += !same(w, &obj, rnd(MODEL_MAX / 2), 1 + rnd(30000));
		if (keeps && i % 500 == 499)
			world_reopen(w);
	}
	is_int(bad_ops, 0, "random changes succeed");
	is_int(bad_reads, 0, "random reads agree with the model");
	ok(same(w, &obj, 0, MODEL_MAX), "and the whole");
	is_int(simple(w, &obj, OSD_SYNC, 0, 0, 0), 0, "synced");
	base = 0;
}

static void check_basics(struct world *w)
{
	struct wp_objid obj = obj_id(2), ids[4];
	struct osd_io io = { .op = OSD_STAT, .obj = obj };
	char buf[100];
	unsigned n;
	uint64_t version;

	is_int(world_io(w, &io), -ENOENT, "stat of a missing object");
	is_int(world_read(w, &obj, 0, buf, sizeof(buf)), 0, "reading it gives nothing");
	is_int(simple(w, &obj, OSD_DESTROY, 0, 0, 0), 0, "destroying it is fine");
	is_int(simple(w, &obj, OSD_SYNC, 0, 0, 0), 0, "so is a sync");
	is_int(world_write(w, &obj, 5, "hello", 5), 0, "the first write makes it");
	is_int(world_io(w, &io), 0, "now it is there");
	is_int(io.stat.size, 10, "size");
	version = io.stat.version;
	is_int(world_write(w, &obj, 0, "x", 1), 0, "another write");
	(void)!world_io(w, &io);
	ok(io.stat.version > version, "the version grew");
	version = io.stat.version;
	is_int(simple(w, &obj, OSD_SYNC, 0, 0, 0), 0, "sync");
	io = (struct osd_io){ .op = OSD_SEEK, .obj = obj, .offset = 3 };
	ok(world_io(w, &io) == 0 && io.offset == 3, "data at 3");
	io = (struct osd_io){ .op = OSD_SEEK, .obj = obj, .offset = 3, .hole = true };
	ok(world_io(w, &io) == 0 && io.offset == 10, "the hole is the end");
	io = (struct osd_io){ .op = OSD_SEEK, .obj = obj, .offset = 10 };
	is_int(world_io(w, &io), -ENXIO, "nothing behind the end");
	ok(w->ops->list(w->dev, &(struct wp_objid){ 0 }, ids, 4, &n) == 0 && n >= 1, "listed");
	is_int(simple(w, &obj, OSD_DESTROY, 0, 0, 0), 0, "destroy");
	is_int(world_read(w, &obj, 0, buf, sizeof(buf)), 0, "gone");
	(void)!world_write(w, &obj, 0, "y", 1);
	io = (struct osd_io){ .op = OSD_STAT, .obj = obj };
	(void)!world_io(w, &io);
	ok(io.stat.version > version, "a new object of the name has a newer version");
	ok(world_read(w, &obj, 0, buf, sizeof(buf)) == 1, "and only its own bytes");
}

#define TIB(n) ((uint64_t)(n) << 40)

static uint64_t size_of(struct world *w, const struct wp_objid *obj, uint64_t *blocks)
{
	struct osd_io io = { .op = OSD_STAT, .obj = *obj };

	if (world_io(w, &io) < 0)
		return 0;
	*blocks = io.stat.blocks;
	return io.stat.size;
}

static int64_t seek(struct world *w, const struct wp_objid *obj, uint64_t offset, bool hole)
{
	struct osd_io io = { .op = OSD_SEEK, .obj = *obj, .offset = offset, .hole = hole };
	int r = world_io(w, &io);

	return r < 0 ? r : (int64_t)io.offset;
}

static bool zeros(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

/* Up to the last byte that a file can have. */
static void check_largest(struct world *w, bool keeps)
{
	const uint64_t last = INT64_MAX - 1;
	struct wp_objid obj = obj_id(20);
	uint64_t blocks = 0;

	is_int(world_write(w, &obj, last, "z", 1), 0, "the last byte");
	ok(size_of(w, &obj, &blocks) == INT64_MAX && blocks <= 64, "size 2^63 - 1, %llu blocks", (unsigned long long)blocks);
	is_int(world_write(w, &obj, last, "zz", 2), -EFBIG, "not one more");
	is_int(world_write(w, &obj, last + 1, "z", 1), -EFBIG, "nor behind it");
	is_int(simple(w, &obj, OSD_TRUNCATE, 0, 0, (uint64_t)INT64_MAX + 1), -EFBIG, "nor by truncation");
	ok(seek(w, &obj, 0, false) == (int64_t)(last & ~4095ull), "the first data");
	ok(seek(w, &obj, 0, true) == 0 && seek(w, &obj, last, true) == INT64_MAX, "holes");
	is_int(world_write(w, &obj, TIB(5) - 2, "over", 4), 0, "another byte on the way");
	is_int(simple(w, &obj, OSD_SYNC, 0, 0, 0), 0, "synced");
	if (keeps)
		world_reopen(w);
	is_int(world_read(w, &obj, last - 99, scratch, 200), 100, "read at the end");
	ok(scratch[99] == 'z' && zeros(scratch, 99), "as written");
	ok(world_read(w, &obj, TIB(5) - 10, scratch, 20) == 20 && !memcmp(scratch + 8, "over", 4), "and on the way");
	ok(world_read(w, &obj, TIB(7) - 10, scratch, 20) == 20 && zeros(scratch, 20), "and where nothing is");
	ok(seek(w, &obj, TIB(5), false) == (int64_t)TIB(5) && seek(w, &obj, TIB(5) + 8192, false) == (int64_t)(last & ~4095ull), "data");
	ok(seek(w, &obj, TIB(5) - 1, true) <= (int64_t)TIB(5) + 4096, "and a hole behind it");
	is_int(simple(w, &obj, OSD_TRUNCATE, 0, 0, TIB(5) + 1), 0, "cut");
	ok(size_of(w, &obj, &blocks) == TIB(5) + 1, "size");
	is_int(simple(w, &obj, OSD_TRUNCATE, 0, 0, TIB(9)), 0, "grown");
	if (keeps)
		world_reopen(w);
	ok(size_of(w, &obj, &blocks) == TIB(9), "size");
	ok(world_read(w, &obj, TIB(5) - 2, scratch, 4) == 4 && !memcmp(scratch, "ove\0", 4), "what was cut is zero");
	is_int(simple(w, &obj, OSD_TRUNCATE, 0, 0, INT64_MAX), 0, "grown to the last");
	ok(world_read(w, &obj, last, scratch, 4) == 1 && !scratch[0], "it is zero");
	is_int(simple(w, &obj, OSD_ALLOC, WP_ALLOC_MODE_PUNCH, 4096, INT64_MAX - 4096), 0, "all of it is punched");
	is_int(seek(w, &obj, 0, false), -ENXIO, "no data");
	is_int(simple(w, &obj, OSD_TRUNCATE, 0, 0, TIB(3)), 0, "cut where nothing is");
	ok(size_of(w, &obj, &blocks) == TIB(3) && blocks <= 64, "size");
	is_int(simple(w, &obj, OSD_SYNC, 0, 0, 0), 0, "synced");
	is_int(simple(w, &obj, OSD_DESTROY, 0, 0, 0), 0, "destroyed");
	is_int(world_write(w, &obj, TIB(1), "n", 1), 0, "made again");
	ok(world_read(w, &obj, TIB(3) - 1, scratch, 4) == 0 && size_of(w, &obj, &blocks) == TIB(1) + 1, "has nothing of the old one");
	is_int(simple(w, &obj, OSD_DESTROY, 0, 0, 0), 0, "destroyed");
}

static void check_checksums(struct world *w)
{
	struct wp_objid obj = obj_id(3);
	uint32_t wrong = 0x12345678;
	struct iovec iov = { scratch, 100 };
	struct osd_io io = { .op = OSD_WRITE, .obj = obj, .length = 100, .iov = &iov, .iov_n = 1, .crcs = &wrong };

	is_int(world_io(w, &io), -WEFT_EBADCRC, "a payload that does not match is refused");
	io = (struct osd_io){ .op = OSD_STAT, .obj = obj };
	is_int(world_io(w, &io), -ENOENT, "and nothing was made");
}

/* Flips a byte of the object's file behind the engine's back. */
static void check_bit_rot(struct world *w)
{
	struct wp_objid obj = obj_id(4);
	char cmd[256], name[256] = "";
	FILE *f;
	int fd;

	memset(scratch, 'a', 20000);
	(void)!world_write(w, &obj, 0, scratch, 20000);
	world_reopen(w);
	snprintf(cmd, sizeof(cmd), "find %s/objects -name '%x-%x-*'", w->path, 5, 4);
	f = popen(cmd, "r");
	if (!f || !fgets(name, sizeof(name), f))
		ok(false, "the object's file is found");
	if (f)
		pclose(f);
	name[strcspn(name, "\n")] = '\0';
	fd = open(name, O_RDWR);
	ok(fd >= 0 && pwrite(fd, "b", 1, 9000) == 1, "a byte rots");
	close(fd);
	is_int(world_read(w, &obj, 8192, scratch, 4096), -WEFT_ECORRUPT, "reading its block is an error");
	is_int(world_read(w, &obj, 9500, scratch, 10), -WEFT_ECORRUPT, "reading a part of it as well");
	is_int(world_write(w, &obj, 9001, "x", 1), -WEFT_ECORRUPT, "a write to a part does not bless it");
	is_int(world_read(w, &obj, 0, scratch, 8192), 8192, "other blocks are fine");
	memset(scratch, 'c', 4096);
	is_int(world_write(w, &obj, 8192, scratch, 4096), 0, "a whole write mends it");
	is_int(world_read(w, &obj, 0, scratch, 20000), 20000, "all is readable");
}

static void check_full(void)
{
	struct wp_objid obj = obj_id(5);
	struct osd_space before, after;
	struct world w;
	int r = 0;

	world_open(&w, "mem", MIB(1));
	memset(scratch, 1, 65536);
	for (unsigned i = 0; !r && i < 100; i++)
		r = world_write(&w, &obj, i * 65536, scratch, 65536);
	is_int(r, -ENOSPC, "a full device says so");
	w.ops->statfs(w.dev, &before);
	ok(before.free < 65536 * 2, "it is full");
	is_int(simple(&w, &obj, OSD_DESTROY, 0, 0, 0), 0, "destroying makes room");
	w.ops->statfs(w.dev, &after);
	ok(after.free > before.free + 500000, "accounted");
	is_int(world_write(&w, &obj, 0, scratch, 65536), 0, "which can be used");
	world_close(&w, true);
}

static void check_all(struct world *w)
{
	bool keeps = world_keeps(w);

	check_basics(w);
	check_checksums(w);
	if (keeps)
		check_bit_rot(w);
	check_random(w, 1, 0, keeps);
	check_random(w, 21, TIB(1) - (MODEL_MAX / 4), keeps); /* where the files of `disk` meet */
	check_random(w, 22, INT64_MAX - MODEL_MAX, keeps);
	check_largest(w, keeps);
}

int main(void)
{
	world_each(check_all);
	check_full();
	return done_testing();
}
