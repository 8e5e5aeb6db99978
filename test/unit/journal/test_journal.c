/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "journal/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "env/env_linux.h"
#include "proto/status.h"
#include "tap.h"

#define SEG 65536u

static struct env *env;
static const struct env_ops *real_ops;
static struct env_ops fault_ops;
static int fail_after = -1; /* writes until one fails */
static int fail_err;
static char dir[64];

struct seen {
	uint64_t n, first, last, committed;
	int opened, failed; /* 1: not yet */
	bool bad;
};

static uint64_t payload_len(uint64_t index) { return index * 37 % 900; }

static void payload(uint64_t index, uint8_t *p)
{
	for (uint64_t i = 0; i < payload_len(index); i++)
		p[i] = (uint8_t)(index * 7 + i);
}

static int replay(void *arg, uint64_t index, const void *p, size_t len)
{
	struct seen *s = arg;
	uint8_t want[1024];

	payload(index, want);
	s->bad |= len != payload_len(index) || memcmp(p, want, len) || (s->n && index != s->last + 1);
	s->first = s->n ? s->first : index;
	s->last = index;
	s->n++;
	return 0;
}

static void opened(void *arg, int err) { ((struct seen *)arg)->opened = err; }
static void committed(void *arg, uint64_t index)
{
	struct seen *s = arg;

	s->bad |= index <= s->committed;
	s->committed = index;
}
static void failed(void *arg, int err) { ((struct seen *)arg)->failed = err; }

static void fail_later(void *arg)
{
	struct env_io *io = arg;

	io->result = fail_err;
	io->done(io);
}

static void faulty_io(struct env *e, struct env_io *io)
{
	static struct env_task task = { .fn = fail_later };

	if (io->op == ENV_IO_WRITE && fail_after >= 0 && fail_after-- == 0) {
		task.arg = io;
		env_post(e, &task);
	} else {
		real_ops->file_io(e, io);
	}
}

static struct journal *try_open(struct seen *s, uint64_t applied)
{
	struct journal *j;
	struct journal_params p = { .env = env, .dir = dir, .segment_bytes = SEG, .applied = applied, .replay = replay,
				    .opened = opened, .committed = committed, .failed = failed, .arg = s };

	memset(s, 0, sizeof(*s));
	s->opened = 1;
	s->failed = 1;
	if (journal_open(&p, &j))
		return NULL;
	while (s->opened == 1)
		env_linux_run_once(env, true);
	return j;
}

static bool append(struct journal *j)
{
	uint8_t p[1024];
	uint64_t index = journal_last(j) + 1;

	payload(index, p);
	return journal_append(j, p, payload_len(index)) == 0;
}

static void settle(struct journal *j)
{
	while (!journal_idle(j))
		env_linux_run_once(env, true);
}

static void clean(void)
{
	char *cmd = xasprintf("rm -rf %s", dir);

	if (system(cmd))
		bail_out("rm");
	free(cmd);
}

static void test_basic(void)
{
	struct seen s;
	struct journal *j = try_open(&s, 0);
	struct journal_stats st;

	ok(j && s.opened == 0 && s.n == 0, "a new journal is empty");
	for (int i = 0; i < 1000; i++) {
		ok_quiet(append(j), "append %d", i);
		if (i % 7 == 0)
			env_linux_run_once(env, false);
	}
	settle(j);
	st = journal_stats(j);
	ok(s.committed == 1000 && journal_durable(j) == 1000 && !s.bad, "1000 entries are committed in order");
	ok(st.batches < 1000 && st.segments > 4, "in %llu batches, %llu segments", (unsigned long long)st.batches,
	   (unsigned long long)st.segments);
	journal_free(j);
	j = try_open(&s, 0);
	ok(s.opened == 0 && s.n == 1000 && s.first == 1 && !s.bad, "all are replayed");
	ok_quiet(append(j), "append");
	settle(j);
	journal_free(j);
	j = try_open(&s, 900);
	ok(s.opened == 0 && s.n == 101 && s.first == 901 && !s.bad, "only those above applied");
	journal_trim(j, 1001);
	for (int i = 0; i < 3000; i++) {
		ok_quiet(append(j), "append");
		if (i % 10 == 0) {
			settle(j);
			journal_trim(j, journal_durable(j) - 5);
		}
	}
	settle(j);
	ok(journal_stats(j).segments == st.segments || journal_stats(j).segments == st.segments + 1, "trimmed segments are used again");
	journal_free(j);
	j = try_open(&s, 3990);
	ok(s.opened == 0 && s.n == 11 && !s.bad, "replay after reuse (%llu)", (unsigned long long)s.n);
	journal_free(j);
	j = try_open(&s, 10);
	ok(s.opened == -WEFT_ECORRUPT, "entries that are gone but needed are an error");
	journal_free(j);
	clean();
}

static void test_undo(void)
{
	struct seen s;
	struct journal *j = try_open(&s, 0);

	ok_quiet(append(j), "1");
	journal_undo(j);
	ok(journal_last(j) == 0, "taken back");
	ok_quiet(append(j) && append(j), "two more");
	journal_undo(j);
	ok_quiet(append(j) && append(j), "two more");
	settle(j);
	journal_free(j);
	j = try_open(&s, 0);
	ok(s.opened == 0 && s.n == 3 && !s.bad, "undone entries leave nothing");
	journal_free(j);
	clean();
}

/* ---- damage ---- */

static uint8_t image[SEG];

static void file_rw(const char *name, bool write_it, uint8_t *p)
{
	char *path = xasprintf("%s/%s", dir, name);
	int fd = open(path, write_it ? O_WRONLY : O_RDONLY);

	if (fd < 0 || (write_it ? pwrite(fd, p, SEG, 0) : pread(fd, p, SEG, 0)) != SEG)
		bail_out(path);
	close(fd);
	free(path);
}

/* k batches of one entry in 0000; the last batch's start and end. */
static void make_batches(int k)
{
	struct seen s;
	struct journal *j = try_open(&s, 0);

	for (int i = 0; i < k; i++) {
		ok_quiet(append(j), "append");
		settle(j);
	}
	journal_free(j);
	file_rw("0000", false, image);
}

/* Restores the folder to the saved segment alone. */
static void restore(const uint8_t *p)
{
	char *path;

	for (unsigned n = 1; n < 4; n++) {
		path = xasprintf("%s/%04u", dir, n);
		unlink(path);
		free(path);
	}
	file_rw("0000", true, (uint8_t *)p);
}

static void test_torn(void)
{
	static uint8_t cut[SEG];
	struct seen s;
	struct journal *j;

	make_batches(5);
	/* Header and 5 batches of a block: cut the last one at every byte (and then from its end: any subset of the tail). */
	for (unsigned at = 0; at < 4096; at += at < 300 ? 1 : 61) {
		memcpy(cut, image, SEG);
		memset(cut + 5 * 4096 + at, 0, 4096 - at);
		if (!memcmp(cut, image, SEG))
			break;
		restore(cut);
		j = try_open(&s, 0);
		ok_quiet(s.opened == 0 && s.n == 4 && !s.bad, "torn at byte %u: %d, %llu entries", at, s.opened, (unsigned long long)s.n);
		/* Going on after a torn tail, and opening once more. */
		if (at % 50 == 0) {
			ok_quiet(append(j) && append(j), "append");
			settle(j);
			journal_free(j);
			j = try_open(&s, 0);
			ok_quiet(s.opened == 0 && s.n == 6 && !s.bad, "goes on after a torn tail (%d, %llu)", s.opened,
				 (unsigned long long)s.n);
		}
		journal_free(j);
	}
	ok(true, "torn tails end the journal");
	/* The first write of a segment torn: nothing was ever acknowledged. */
	for (unsigned at = 0; at < 8192; at += at < 100 ? 7 : 511) {
		memset(cut, 0, SEG);
		memcpy(cut, image, at);
		restore(cut);
		j = try_open(&s, 0);
		ok_quiet(s.opened == 0 && s.n == (at > 4096 + 90), "first write torn at %u: %d %llu", at, s.opened,
			 (unsigned long long)s.n);
		journal_free(j);
	}
	ok(true, "torn first writes leave nothing");
	clean();
}

static void test_damage(void)
{
	static uint8_t bad[SEG];
	struct seen s;
	struct journal *j;

	make_batches(5);
	log_setup("test", (enum log_level)0);
	for (unsigned at = 0; at < 5 * 4096; at++) {
		unsigned block = at / 4096, in = at % 4096;

		if (in >= 48 + (block ? 4 + payload_len(block) : 0) || (in > 100 && in % 13))
			continue;
		memcpy(bad, image, SEG);
		bad[at] ^= 0x10;
		restore(bad);
		j = try_open(&s, 0);
		ok_quiet(s.opened == -WEFT_ECORRUPT, "damage at byte %u is noticed: %d", at, s.opened);
		journal_free(j);
	}
	ok(true, "damage before the end is an error");
	log_setup("test", LOG_WARN);
	clean();
}

/* ---- failing disks ---- */

static void test_fail(int err)
{
	log_setup("test", (enum log_level)0);
	for (int k = 0; k < 60; k++) {
		struct seen s;
		struct journal *j;
		uint64_t acked, tried = 0;

		fail_after = k;
		fail_err = err;
		j = try_open(&s, 0);
		if (s.opened) {
			ok_quiet(s.opened == err, "opening fails with the disk's error");
			journal_free(j);
			fail_after = -1;
			clean();
			continue;
		}
		while (tried < 200 && append(j)) {
			tried++;
			if (tried % 3 == 0)
				settle(j);
		}
		while (!journal_idle(j) && s.failed == 1 && journal_durable(j) < journal_last(j))
			env_linux_run_once(env, true);
		settle(j);
		acked = s.committed;
		ok_quiet(s.failed == 1 ? acked == tried : s.failed == err, "k %d: all committed, or told", k);
		journal_free(j);
		fail_after = -1;
		j = try_open(&s, 0);
		ok_quiet(s.opened == 0 && s.n >= acked && !s.bad, "k %d: everything acknowledged is there: %llu of %llu", k,
			 (unsigned long long)s.n, (unsigned long long)acked);
		journal_free(j);
		clean();
	}
	fail_after = -1;
	log_setup("test", LOG_WARN);
	ok(true, "k-th write fails with %s", strerror(-err));
}

static void test_memory(void)
{
	struct seen s = { .opened = 1 };
	struct journal *j;
	struct journal_params p = { .env = env, .applied = 0, .replay = replay, .opened = opened, .committed = committed, .arg = &s };

	ok(journal_open(&p, &j) == 0, "memory only");
	while (s.opened == 1)
		env_linux_run_once(env, true);
	ok_quiet(append(j) && append(j), "append");
	ok(s.committed == 0, "not from inside");
	settle(j);
	ok(s.committed == 2, "committed");
	journal_free(j);
}

int main(void)
{
	char base[] = "/tmp/weft-journal-XXXXXX";

	if (!mkdtemp(base))
		bail_out("mkdtemp");
	snprintf(dir, sizeof(dir), "%s/journal", base);
	if (env_linux_new(NULL, &env))
		skip_all("no io_uring");
	log_setup("test", LOG_WARN);
	real_ops = env->ops;
	fault_ops = *env->ops;
	fault_ops.file_io = faulty_io;
	env->ops = &fault_ops;
	test_memory();
	test_basic();
	test_undo();
	test_torn();
	test_damage();
	test_fail(-EIO);
	test_fail(-ENOSPC);
	env_linux_free(env);
	rmdir(base);
	return done_testing();
}
