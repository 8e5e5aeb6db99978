/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What a device does in a second: osd_bench mem|disk [folder]. One thread drives it; CPU is that thread's, and all threads'.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/crc.h"
#include "env/env_linux.h"
#include "osd/osd.h"

#define DEPTH 64

static struct env *env;
static struct osd_dev *dev;
static uint8_t *data; /* 1 MiB */
static uint32_t crcs[DEPTH][257], data_crcs[256];
static struct osd_io ios[DEPTH];
static struct iovec iovs[DEPTH];
static uint8_t *bufs[DEPTH];

static double cpu_s(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

struct span {
	uint64_t ns;
	double cpu, all;
};

static struct span begin(void) { return (struct span){ env_mono_ns(env), cpu_s(RUSAGE_THREAD), cpu_s(RUSAGE_SELF) }; }

static void report(struct span s, const char *what, uint64_t n, uint64_t bytes)
{
	double t = (double)(env_mono_ns(env) - s.ns) / 1e9, cpu = cpu_s(RUSAGE_THREAD) - s.cpu,
	       all = cpu_s(RUSAGE_SELF) - s.all;

	printf("%-44s %9.0f /s  %6.2f us CPU (%6.2f with helpers)", what, (double)n / t, cpu * 1e6 / (double)n,
	       all * 1e6 / (double)n);
	if (bytes)
		printf("  %6.0f MB/s", (double)(n * bytes) / t / 1e6);
	printf("\n");
}

/* ---- index ----------------------------------------------------------------- */

static void key_of(uint8_t *key, uint64_t n)
{
	uint64_t v = __builtin_bswap64(n * 0x9e3779b97f4a7c15ull >> 20);

	memset(key, 'i', 8);
	memcpy(key + 8, &v, 8);
}

static void synced(void *arg, int err) { *(bool *)arg = true; }

static void all_synced(void)
{
	bool settled = false;

	dev->ops->sync(dev, synced, &settled);
	while (!settled)
		env_linux_run_once(env, true);
}

static void bench_index(uint64_t n)
{
	uint8_t key[16], value[100] = { 1 };
	struct osd_slice k, v;
	struct osd_iter it;
	struct span s = begin();
	uint64_t found = 0;

	for (uint64_t i = 1; i <= n; i += 3) {
		struct osd_txn t;

		osd_txn_init(&t);
		for (unsigned j = 0; j < 3; j++) {
			key_of(key, i + j);
			osd_txn_put(&t, osd_slice(key, sizeof(key)), osd_slice(value, sizeof(value)));
		}
		if (osd_txn_submit(dev, &t, i, NULL, NULL) < 0)
			abort();
		if (i % 64 == 1) {
			dev->ops->stable(dev, i);
			env_linux_run_once(env, false);
		}
	}
	dev->ops->stable(dev, n + 3);
	report(s, "index puts, 3 in a transaction, 116 bytes", n, 0);
	all_synced();
	report(s, "the same, until all of it is written", n, 0);
	s = begin();
	for (uint64_t i = 1; i <= n; i++) {
		key_of(key, i * 7919 % n + 1);
		found += osd_get(dev, osd_slice(key, sizeof(key)), &v) == 0;
	}
	report(s, "index gets, random", n, 0);
	s = begin();
	osd_iter_init(&it, dev, osd_slice("", 0));
	for (found = 0; found < n && osd_next(&it, &k, &v) == 0;)
		found++;
	report(s, "index next", found, 0);
}

/* ---- objects ----------------------------------------------------------------- */

struct load {
	uint64_t issued, done, total;
	bool (*next)(struct osd_io *io, uint64_t n);
};

static struct load load;

static void completed(struct osd_io *io)
{
	if (io->err < 0) {
		printf("error %d\n", io->err);
		exit(1);
	}
	load.done++;
	if (load.issued < load.total && load.next(io, load.issued++))
		osd_io(dev, io);
}

static void run(uint64_t total, unsigned depth, bool (*next)(struct osd_io *io, uint64_t n))
{
	load = (struct load){ .total = total, .next = next };
	for (unsigned i = 0; i < depth && load.issued < total; i++) {
		ios[i] = (struct osd_io){ .iov = &iovs[i], .iov_n = 1, .crcs = crcs[i], .done = completed, .arg = bufs[i] };
		if (next(&ios[i], load.issued++))
			osd_io(dev, &ios[i]);
	}
	while (load.done < total)
		env_linux_run_once(env, true);
}

static void fill(struct osd_io *io, enum osd_io_op op, uint32_t obj, uint64_t offset, uint64_t length)
{
	io->op = op;
	io->obj = (struct wp_objid){ .fid = { .seq = 9, .oid = obj } };
	io->offset = offset;
	io->length = length;
	io->iov->iov_base = op == OSD_WRITE ? data : io->arg;
	io->iov->iov_len = length;
	if (op == OSD_WRITE) /* the client computed them */
		memcpy(io->crcs, data_crcs, (length + 4095) / 4096 * 4);
}

static uint32_t small_crc;

static bool next_small_create(struct osd_io *io, uint64_t n)
{
	fill(io, OSD_WRITE, (uint32_t)n + 1000, 0, 3900);
	io->crcs[0] = small_crc;
	return true;
}

static bool next_small_read(struct osd_io *io, uint64_t n)
{
	fill(io, OSD_READ, (uint32_t)n + 1000, 0, 4096);
	return true;
}

static bool next_destroy(struct osd_io *io, uint64_t n)
{
	fill(io, OSD_DESTROY, (uint32_t)n + 1000, 0, 0);
	return true;
}

static bool next_big_destroy(struct osd_io *io, uint64_t n)
{
	fill(io, OSD_DESTROY, 1 + (uint32_t)n, 0, 0);
	return true;
}

static bool next_seq_write(struct osd_io *io, uint64_t n)
{
	fill(io, OSD_WRITE, 1 + (uint32_t)(n % 4), n / 4 << 20, 1 << 20);
	return true;
}

static bool next_seq_read(struct osd_io *io, uint64_t n)
{
	fill(io, OSD_READ, 1 + (uint32_t)(n % 4), n / 4 << 20, 1 << 20);
	return true;
}

static uint64_t random_block(uint64_t n) { return n * 0x9e3779b97f4a7c15ull >> 40; }

static bool next_rand_read(struct osd_io *io, uint64_t n)
{
	fill(io, OSD_READ, 1 + (uint32_t)(n % 4), random_block(n) % 16384 * 4096, 4096);
	return true;
}

static bool next_rand_write(struct osd_io *io, uint64_t n)
{
	fill(io, OSD_WRITE, 1 + (uint32_t)(n % 4), random_block(n) % 16384 * 4096, 4096);
	return true;
}

/* Each slot: a write, then a sync of the same object. */
static bool next_sync_write(struct osd_io *io, uint64_t n)
{
	uint32_t obj = 1 + (uint32_t)(io - ios) % 16;

	if (io->op == OSD_WRITE && io->obj.fid.oid)
		fill(io, OSD_SYNC, obj, 0, 0);
	else
		fill(io, OSD_WRITE, obj, random_block(n) % 4096 * 4096, 4096);
	return true;
}

static void bench_objects(bool is_disk)
{
	struct span s;

	/* Memory that a virtual machine touches for the first time is ten times slower than any of what is measured here. */
	run(1024, 8, next_seq_write);
	run(4, 4, next_big_destroy);
	s = begin();
	run(1024, 8, next_seq_write);
	report(s, "writes of 1 MiB, in order, 4 objects", 1024, 1 << 20);
	s = begin();
	run(1024, 8, next_seq_read);
	report(s, "reads of 1 MiB, in order", 1024, 1 << 20);
	s = begin();
	run(200000, 32, next_rand_read);
	report(s, "reads of 4 KiB, random", 200000, 4096);
	s = begin();
	run(200000, 32, next_rand_write);
	report(s, "writes of 4 KiB, random", 200000, 4096);
	all_synced(); /* lest the next syncs write all of that */
	s = begin();
	run(is_disk ? 10000 : 200000, 16, next_sync_write);
	report(s, "writes of 4 KiB and syncs, random, 16 at once", is_disk ? 5000 : 100000, 4096);
	s = begin();
	run(100000, 64, next_small_create);
	report(s, "new objects of 3.9 KB", 100000, 3900);
	s = begin();
	run(100000, 64, next_small_read);
	report(s, "reads of them", 100000, 3900);
	s = begin();
	run(100000, 64, next_destroy);
	report(s, "destroys", 100000, 0);
}

int main(int argc, char **argv)
{
	char dir[128] = "weft-osd-bench-XXXXXX", cmd[200];
	const struct osd_ops *ops = osd_backend(argc > 1 ? argv[1] : "disk");
	struct osd_params p = { .path = dir };
	struct span s;

	if (argc > 2)
		snprintf(dir, sizeof(dir), "%s/weft-osd-bench-XXXXXX", argv[2]);
	if (!ops || !mkdtemp(dir) || env_linux_new(NULL, &env) < 0)
		return 2;
	p.env = env;
	data = aligned_alloc(4096, 1 << 20);
	for (unsigned i = 0; i < 1 << 20; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 13);
	for (unsigned i = 0; i < 256; i++)
		data_crcs[i] = crc32c(0, data + i * 4096, 4096);
	small_crc = crc32c(0, data, 3900);
	for (unsigned i = 0; i < DEPTH; i++)
		bufs[i] = aligned_alloc(4096, 1 << 20);
	if (ops->format(&p) < 0 || ops->open(&p, &dev) < 0)
		return 2;
	bench_objects(!strcmp(ops->name, "disk"));
	bench_index(1500000);
	s = begin();
	ops->close(dev);
	report(s, "close", 1, 0);
	env_linux_free(env);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd) ? 1 : 0;
}
