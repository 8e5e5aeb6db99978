/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What only the disk engine has: failing file operations, torn dirty lists, space, verifiers, generations that end in the middle. */
#include "tap.h"
#include "world.h"

#include <fcntl.h>
#include <unistd.h>

#include "env/env_linux.h"
#include "fail_env.h"
#include "proto/status.h"

static uint8_t data[300000], got[300000];

static int simple(struct world *w, uint32_t k, enum osd_io_op op, uint8_t mode, uint64_t offset, uint64_t length,
		  struct osd_objstat *st)
{
	struct osd_io io = { .op = op, .obj = obj_id(k), .mode = mode, .offset = offset, .length = length };
	int r = world_io(w, &io);

	if (st)
		*st = io.stat;
	return r;
}

/* ---- the k-th file operation fails ----------------------------------------------------------------- */

enum { LEN = 20000 };

/* A fixed course of changes; returns how many failed. */
static unsigned course(struct world *w, uint32_t base)
{
	struct wp_objid a = obj_id(base), b = obj_id(base + 1);
	unsigned failed = 0;

	memset(data, 'a', LEN);
	failed += world_write(w, &a, 0, data, LEN) < 0;
	memset(data, 'b', LEN);
	failed += world_write(w, &a, 5000, data, 9000) < 0;
	failed += world_write(w, &b, 100, data, 50) < 0;
	failed += simple(w, base, OSD_SYNC, 0, 0, 0, NULL) < 0;
	failed += simple(w, base, OSD_ALLOC, WP_ALLOC_MODE_ZERO, 3000, 6000, NULL) < 0;
	failed += simple(w, base, OSD_ALLOC, WP_ALLOC_MODE_PUNCH, 8192, 4096, NULL) < 0;
	failed += simple(w, base, OSD_TRUNCATE, 0, 0, 12345, NULL) < 0;
	failed += simple(w, base + 1, OSD_DESTROY, 0, 0, 0, NULL) < 0;
	failed += world_write(w, &b, 0, data, 10) < 0;
	return failed;
}

/* Everything is readable, and is one of the values that were written. */
static bool readable(struct world *w, uint32_t base)
{
	for (uint32_t k = base; k < base + 2; k++) {
		struct wp_objid id = obj_id(k);
		int64_t n = world_read(w, &id, 0, got, sizeof(got));

		if (n < 0 || n > LEN)
			return false;
		for (int64_t i = 0; i < n; i++)
			if (got[i] && got[i] != 'a' && got[i] != 'b')
				return false;
	}
	return true;
}

static void check_kth_failure(void)
{
	unsigned k, bad = 0, silent = 0;
	bool fired = true;
	struct world w;

	world_open(&w, "disk", 0);
	w.dev->ops->close(w.dev);
	w.dev = NULL;
	w.env_used = fail_env_new(w.env);
	world_reopen(&w);
	for (k = 1; fired && k < 200; k++) {
		unsigned failed;

		fail_env_at(k, k % 2 ? -EIO : -ENOSPC);
		failed = course(&w, 10 * k);
		fired = fail_env_fired();
		fail_env_at(0, 0);
		silent += fired && !failed;
		bad += !readable(&w, 10 * k);
		world_reopen(&w);
		bad += !readable(&w, 10 * k);
		bad += course(&w, 10 * k) != 0; /* and can be changed */
	}
	ok(k > 10, "the course has %u operations that can fail", k - 1);
	is_int(bad, 0, "after any failure all is readable and goes on, also after reopening");
	ok(silent <= 4, "failures are reported (%u were of no consequence)", silent);
	world_close(&w, true);
}

/* ---- recovery ----------------------------------------------------------------- */

/* What a process that dies leaves: a copy of the folder while the device is open. */
static void die(struct world *w)
{
	char cmd[300];

	snprintf(cmd, sizeof(cmd), "rm -rf %s.copy && cp -a %s %s.copy", w->path, w->path, w->path);
	if (system(cmd))
		bail_out("cp");
	w->dev->ops->close(w->dev);
	w->dev = NULL;
	snprintf(cmd, sizeof(cmd), "rm -rf %s && mv %s.copy %s", w->path, w->path, w->path);
	if (system(cmd))
		bail_out("mv");
}

static void tear_log(struct world *w, unsigned which, long by)
{
	char name[128];
	FILE *f;
	long n;

	snprintf(name, sizeof(name), "%s/dirty.%u", w->path, which);
	f = fopen(name, "r+");
	if (!f || fseek(f, 0, SEEK_END) < 0)
		bail_out("the log");
	/* behind the last record there are zeros */
	for (n = ftell(f) / 48 * 48; n >= 48; n -= 48) {
		uint8_t r[48], zero[48] = { 0 };

		if (fseek(f, n - 48, SEEK_SET) < 0 || fread(r, 48, 1, f) != 1)
			bail_out("the log");
		if (memcmp(r, zero, 48))
			break;
	}
	if (n > by && ftruncate(fileno(f), n - by) < 0)
		bail_out("truncate");
	fclose(f);
}

static void check_recovery(void)
{
	struct wp_objid a = obj_id(1), b = obj_id(2), c = obj_id(3);
	struct osd_objstat before, after;
	struct world w;
	uint64_t verifier;
	unsigned n;

	world_open(&w, "disk", 0);
	memset(data, 'x', sizeof(data));
	(void)!world_write(&w, &a, 0, data, 250000);
	(void)!world_write(&w, &b, 0, data, 5000);
	(void)!world_sync(&w);
	is_int(simple(&w, 2, OSD_DESTROY, 0, 0, 0, NULL), 0, "destroyed, and the index does not know yet");
	is_int(simple(&w, 1, OSD_TRUNCATE, 0, 0, 100001, NULL), 0, "truncated");
	(void)!world_write(&w, &c, 3, "new", 3);
	(void)!simple(&w, 1, OSD_STAT, 0, 0, 0, &before);
	verifier = w.ops->verifier(w.dev);
	die(&w);
	world_reopen(&w);
	ok(w.ops->verifier(w.dev) == verifier, "the verifier survives the death of the process");
	is_int(simple(&w, 2, OSD_STAT, 0, 0, 0, NULL), -ENOENT, "what was destroyed is gone");
	is_int(world_read(&w, &a, 0, got, sizeof(got)), 100001, "the truncated one has its size");
	ok(!memcmp(got, data, 100001), "and contents");
	(void)!simple(&w, 1, OSD_STAT, 0, 0, 0, &after);
	ok(after.version > before.version, "and a newer version");
	is_int(world_read(&w, &c, 0, got, 10), 6, "the new one is there");

	/* Destroyed and made again, shorter. */
	(void)!simple(&w, 1, OSD_DESTROY, 0, 0, 0, NULL);
	(void)!world_write(&w, &a, 90000, "again", 5);
	die(&w);
	world_reopen(&w);
	is_int(world_read(&w, &a, 0, got, sizeof(got)), 90005, "an object made again has nothing of the old one");
	ok(got[0] == 0 && got[70000] == 0 && !memcmp(got + 90000, "again", 5), "but zeros");
	is_int(simple(&w, 1, OSD_TRUNCATE, 0, 0, 200000, NULL), 0, "which grows");
	is_int(world_read(&w, &a, 0, got, sizeof(got)), 200000, "and reads");
	(void)!w.ops->list(w.dev, &(struct wp_objid){ 0 }, (struct wp_objid[8]){ 0 }, 8, &n);
	is_int(n, 2, "two objects are listed");
	world_close(&w, true);
}

static unsigned files_of(struct world *w)
{
	char cmd[200];
	unsigned n = 0;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "find %s/objects -type f | wc -l", w->path);
	f = popen(cmd, "r");
	if (!f || fscanf(f, "%u", &n) != 1)
		bail_out("find");
	pclose(f);
	return n;
}

/* Objects of several files. */
static void check_recovery_of_segments(void)
{
	const uint64_t tib = 1ull << 40, far = 1ull << 62;
	struct wp_objid a = obj_id(1), b = obj_id(2);
	struct osd_objstat st;
	struct world w;

	world_open(&w, "disk", 0);
	(void)!world_write(&w, &a, 5, "first", 5);
	(void)!world_write(&w, &a, 3 * tib - 3, "middle", 6);
	(void)!world_write(&w, &a, far + 100, "last", 4);
	(void)!world_write(&w, &b, far, "gone", 4);
	(void)!world_write(&w, &b, 2 * tib, "gone", 4);
	(void)!world_sync(&w);
	(void)!world_write(&w, &a, 7 * tib, "new", 3);
	(void)!simple(&w, 2, OSD_DESTROY, 0, 0, 0, NULL);
	die(&w);
	world_reopen(&w);
	is_int(simple(&w, 1, OSD_STAT, 0, 0, 0, &st), 0, "an object of five files");
	ok(st.size == far + 104, "has its size");
	ok(world_read(&w, &a, 5, got, 5) == 5 && !memcmp(got, "first", 5), "its first bytes");
	ok(world_read(&w, &a, 3 * tib - 3, got, 6) == 6 && !memcmp(got, "middle", 6), "its middle");
	ok(world_read(&w, &a, 7 * tib, got, 3) == 3 && !memcmp(got, "new", 3), "what was not synced");
	ok(world_read(&w, &a, far + 100, got, 10) == 4 && !memcmp(got, "last", 4), "its end");
	is_int(files_of(&w), 5, "of what was destroyed no file is left");
	is_int(simple(&w, 1, OSD_TRUNCATE, 0, 0, 6 * tib, NULL), 0, "cut");
	die(&w);
	world_reopen(&w);
	(void)!simple(&w, 1, OSD_STAT, 0, 0, 0, &st);
	ok(st.size == 6 * tib, "cut (%llx)", (unsigned long long)st.size);
	(void)!simple(&w, 1, OSD_TRUNCATE, 0, 0, far + 200, NULL);
	ok(world_read(&w, &a, far + 100, got, 10) == 10 && !got[0] && !got[3], "what was cut does not come back");
	(void)!simple(&w, 1, OSD_DESTROY, 0, 0, 0, NULL);
	is_int(files_of(&w), 0, "destroyed with all its files");
	world_close(&w, true);
}

static void object_file(struct world *w, uint32_t k, char *name, size_t size)
{
	struct wp_objid id = obj_id(k);
	char cmd[256];
	FILE *f;

	snprintf(cmd, sizeof(cmd), "find %s/objects -name '%x-%x-%x-%x-%x'", w->path, (unsigned)id.fid.seq, id.fid.oid,
		 id.fid.ver, id.component, id.stripe);
	f = popen(cmd, "r");
	if (!f || !fgets(name, (int)size, f))
		bail_out("the object's file");
	pclose(f);
	name[strcspn(name, "\n")] = '\0';
}

/* Old checksums of an object that was destroyed and made again are in the index; and a power loss undoes an unlink. */
static void check_remade(void)
{
	struct wp_objid a = obj_id(1), b = obj_id(2), c = obj_id(3);
	char name[256], cmd[600];
	static uint8_t large[3 << 20];
	struct world w;

	world_open(&w, "disk", 0);
	memset(large, 'o', sizeof(large));
	(void)!world_write(&w, &a, 0, large, sizeof(large));
	(void)!world_write(&w, &b, 0, large, 5000);
	(void)!world_write(&w, &c, 0, large, 250000);
	world_reopen(&w); /* the list is clean, the index has the checksums */
	(void)!simple(&w, 3, OSD_TRUNCATE, 0, 0, 100001, NULL);
	object_file(&w, 2, name, sizeof(name));
	snprintf(cmd, sizeof(cmd), "cp %s %s.saved", name, w.path);
	if (system(cmd))
		bail_out("cp");
	(void)!simple(&w, 1, OSD_DESTROY, 0, 0, 0, NULL);
	(void)!world_write(&w, &a, (5 << 19), "again", 5);
	(void)!simple(&w, 2, OSD_DESTROY, 0, 0, 0, NULL);
	die(&w);
	snprintf(cmd, sizeof(cmd), "mv %s.saved %s", w.path, name);
	if (system(cmd))
		bail_out("mv");
	world_reopen(&w);
	is_int(world_read(&w, &a, 0, large, sizeof(large)), (5 << 19) + 5, "old checksums do not outlive the object");
	is_int(simple(&w, 2, OSD_STAT, 0, 0, 0, NULL), -ENOENT, "an unlink that was undone is done again");
	ok(access(name, F_OK) < 0, "on the disk, too");
	is_int(world_read(&w, &c, 0, large, sizeof(large)), 100001, "a truncation is recovered from the file");
	world_close(&w, true);
}

static void check_torn_log(void)
{
	unsigned bad = 0;

	for (long by = 1; by < 150; by += 13) {
		struct wp_objid id = obj_id(1);
		struct world w;

		world_open(&w, "disk", 0);
		memset(data, 't', 9000);
		for (uint32_t k = 1; k < 5; k++) {
			id = obj_id(k);
			(void)!world_write(&w, &id, 0, data, 9000);
		}
		die(&w);
		tear_log(&w, 0, by);
		tear_log(&w, 1, by);
		world_reopen(&w); /* opens; the first object's record is whole */
		id = obj_id(1);
		bad += by < 48 * 3 && world_read(&w, &id, 0, got, 9000) != 9000;
		for (uint32_t k = 1; k < 5; k++) {
			id = obj_id(k);
			bad += world_write(&w, &id, 0, data, 9000) < 0;
			bad += world_read(&w, &id, 0, got, sizeof(got)) != 9000;
		}
		world_close(&w, true);
	}
	is_int(bad, 0, "a torn tail of the dirty list is ignored");
}

/* A record that does not match its checksum is not believed: here, one that would destroy an object. */
static void check_damaged_log(void)
{
	unsigned bad = 0;
	struct world w;

	world_open(&w, "disk", 0);
	memset(data, 'd', 9000);
	for (unsigned round = 0; round < 2; round++) {
		for (uint32_t k = 1; k < 5; k++) {
			struct wp_objid id = obj_id(k);

			(void)!world_write(&w, &id, 0, data, 9000);
		}
		if (!round)
			world_reopen(&w);
	}
	die(&w);
	for (unsigned which = 0; which < 2; which++) {
		char path[128];
		int fd;

		snprintf(path, sizeof(path), "%s/dirty.%u", w.path, which);
		fd = open(path, O_RDWR);
		if (lseek(fd, 0, SEEK_END) >= 4 * 48 && pwrite(fd, "\1", 1, 3 * 48 + 22) != 1)
			bail_out("pwrite");
		close(fd);
	}
	world_reopen(&w);
	for (uint32_t k = 1; k < 5; k++) {
		struct wp_objid id = obj_id(k);

		bad += world_read(&w, &id, 0, got, sizeof(got)) != 9000;
	}
	is_int(bad, 0, "a damaged record is not believed");
	world_close(&w, true);
}

/* ---- generations ----------------------------------------------------------------- */

static int put_n(struct world *w, uint64_t seq)
{
	struct osd_txn t;

	osd_txn_init(&t);
	osd_txn_put(&t, osd_slice("n", 1), osd_slice(&seq, sizeof(seq)));
	osd_txn_put(&t, osd_slice(&seq, sizeof(seq)), osd_slice("x", 1));
	return osd_txn_submit(w->dev, &t, seq, NULL, NULL);
}

static uint64_t get_n(struct world *w)
{
	struct osd_slice v;
	uint64_t n = 0;

	if (osd_get(w->dev, osd_slice("n", 1), &v) == 0)
		memcpy(&n, v.p, sizeof(n));
	return n;
}

static void check_split(void)
{
	struct world w;
	struct osd_slice v;
	uint64_t seq = 8;

	world_open(&w, "disk", 0);
	for (uint64_t i = 1; i <= 10; i++)
		(void)!put_n(&w, i);
	w.ops->stable(w.dev, 7);
	is_int(world_sync(&w), 0, "a sync with a part of the transactions stable");
	is_int(w.ops->applied(w.dev), 7, "makes exactly those durable");
	is_int(get_n(&w), 10, "the others are still seen");
	for (uint64_t i = 11; i <= 20; i++)
		(void)!put_n(&w, i);
	w.ops->stable(w.dev, 12);
	world_reopen(&w);
	is_int(w.ops->applied(w.dev), 12, "so does closing");
	is_int(get_n(&w), 12, "the index is as of the last stable one");
	seq = 13;
	is_int(osd_get(w.dev, osd_slice(&seq, sizeof(seq)), &v), -ENOENT, "nothing of a later one is there");
	(void)!put_n(&w, 13);
	w.ops->stable(w.dev, 13);
	is_int(world_sync(&w), 0, "and it goes on");
	is_int(w.ops->applied(w.dev), 13, "from there");
	world_close(&w, true);
}

static int count_keys(void *arg, struct osd_slice key, struct osd_slice value)
{
	++*(unsigned *)arg;
	return 0;
}

struct walk {
	unsigned n;
	bool done;
};

static void walked(void *arg, int err) { ((struct walk *)arg)->done = true; }

static void check_checkpoint(void)
{
	struct walk walk = { 0 };
	struct world w;

	world_open(&w, "disk", 0);
	for (uint64_t i = 1; i <= 100; i++)
		(void)!put_n(&w, i);
	w.ops->stable(w.dev, 50);
	(void)!world_sync(&w);
	w.ops->checkpoint(w.dev, count_keys, walked, &walk);
	world_wait(&w, &walk.done);
	is_int(walk.n, 51, "a checkpoint has the durable part only");
	world_close(&w, true);
}

/* ---- space ----------------------------------------------------------------- */

static void check_capacity(void)
{
	struct osd_space s0, s1, s2;
	struct wp_objid id;
	struct world w;
	unsigned n = 0;
	int r = 0;

	world_open(&w, "disk", MIB(3));
	w.ops->statfs(w.dev, &s0);
	ok(s0.total == MIB(3), "the limit is the total");
	memset(data, 'c', 100000);
	for (uint32_t k = 1; !r && k < 100; k++, n++) {
		id = obj_id(k);
		r = world_write(&w, &id, 0, data, 100000);
	}
	ok(r == -ENOSPC && n > 5 && n < 35, "full after %u objects", n);
	w.ops->statfs(w.dev, &s1);
	id = obj_id(1);
	is_int(world_write(&w, &id, 1000, "over", 4), 0, "what is allocated can be overwritten");
	for (uint32_t k = 1; k < n; k++)
		(void)!simple(&w, k, OSD_DESTROY, 0, 0, 0, NULL);
	w.ops->statfs(w.dev, &s2);
	ok(s2.free > s1.free + 100000ull * (n - 2), "destroying makes room");
	r = 0;
	for (uint32_t k = 200; k < 212; k++) {
		id = obj_id(k);
		r |= world_write(&w, &id, 0, data, 100000);
	}
	is_int(r, 0, "which can be used");
	w.ops->statfs(w.dev, &s1);
	die(&w);
	world_reopen(&w);
	w.ops->statfs(w.dev, &s2);
	ok(s2.free + 300000 > s1.free && s1.free + 300000 > s2.free, "the accounting survives the death of the process");
	world_reopen(&w);
	w.ops->statfs(w.dev, &s2);
	ok(s2.free + 300000 > s1.free && s1.free + 300000 > s2.free, "and an orderly end");
	world_close(&w, true);
}

static void check_format(void)
{
	struct osd_params p;
	struct world w;

	world_open(&w, "disk", 0);
	p = (struct osd_params){ .env = w.env, .path = w.path };
	is_int(w.ops->format(&p), -EEXIST, "a device is not formatted twice");
	world_close(&w, true);
}

int main(void)
{
	check_format();
	check_split();
	check_checkpoint();
	check_recovery();
	check_recovery_of_segments();
	check_remade();
	check_torn_log();
	check_damaged_log();
	check_capacity();
	check_kth_failure();
	return done_testing();
}
