/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "osd/dirty.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc.h"
#include "base/log.h"
#include "osd/kick.h"
#include "osd/objkey.h"

/* object name 22, kind 1, pad 1, first 4, last 4, upper parts of first 2, of last 2, epoch 8, crc 4 */
#define RECORD_SIZE 48u
#define DIRTY_SYNC_NS (NSEC_PER_SEC / 2)
#define MARKED_CHUNKS_MAX (1u << 20) /* of one object, remembered */

struct dlog {
	struct env_file *file;
	uint64_t end;	       /* with what is being written */
	uint64_t size;	       /* of the file */
	uint64_t last, synced; /* positions of the last record in it, and of the last durable one */
};

/* Positions count records: appended >= written >= synced. */
struct dirty {
	struct env *env;
	char *path;
	struct dlog log[2]; /* epoch's is log[epoch & 1] */
	uint64_t epoch;
	uint64_t gen;	/* marks of another one do not count */
	bool old_dirty; /* the epoch before is not clean */
	bool rotate;	/* wanted */
	unsigned holds[2];
	uint64_t appended, written, synced;
	struct buf pending, writing;
	struct list waits;	/* to be written, by pos */
	struct list sync_waits; /* to be durable */
	bool write_busy, sync_busy, closed, full;
	struct dlog *write_log, *sync_log; /* in flight */
	uint64_t sync_last;		   /* that sync_log will have durable */
	struct env_io write_io, sync_io;
	struct iovec iov;
	struct env_timer timer;
	struct kick *kick;
};

static void start_write(struct dirty *d);
static void start_sync(struct dirty *d);

static struct dlog *present(struct dirty *d) { return &d->log[d->epoch & 1]; }
static struct dlog *previous(struct dirty *d) { return &d->log[~d->epoch & 1]; }

static void dirty_free(struct dirty *d)
{
	buf_done(&d->pending);
	buf_done(&d->writing);
	free(d->path);
	free(d);
}

/* After a close: the last operation in flight frees. */
static bool is_over(struct dirty *d)
{
	bool closed = d->closed;

	if (closed && !d->write_busy && !d->sync_busy)
		dirty_free(d);
	return closed;
}

/* ---- waits ----------------------------------------------------------------- */

static void finish(struct list *waits, uint64_t upto, int err)
{
	struct dirty_wait *w, *tmp;
	struct list todo;

	list_init(&todo);
	list_each_safe (w, tmp, waits, node)
		if (w->pos <= upto) {
			list_del(&w->node);
			list_append(&todo, &w->node);
		}
	while ((w = list_pop(&todo, struct dirty_wait, node)))
		w->done(w->arg, err);
}

static void kicked(void *arg)
{
	struct dirty *d = arg;

	start_write(d);
	start_sync(d);
}

/* ---- writing ----------------------------------------------------------------- */

static void stamp_records(struct dirty *d, struct buf *b)
{
	for (size_t at = 0; at < b->len; at += RECORD_SIZE) {
		put_be(b->p + at + 36, d->epoch, 8);
		put_be(b->p + at + 44, crc32c(0, b->p + at, 44), 4);
	}
}

static void begin_epoch(struct dirty *d)
{
	struct dlog *log;

	d->rotate = false;
	d->epoch++;
	d->gen++;
	d->old_dirty = true;
	log = present(d);
	log->end = 0;
	log->last = log->synced = d->written;
	d->full = false;
	/* What stays behind the new records is of a clean epoch. */
	if (log->size > DIRTY_LOG_MIN && d->env->ops->file_truncate(d->env, log->file, DIRTY_LOG_MIN) == 0)
		log->size = DIRTY_LOG_MIN;
}

static void write_done(struct env_io *io)
{
	struct dirty *d = io->arg;
	uint64_t n = d->writing.len / RECORD_SIZE;

	d->write_busy = false;
	if (is_over(d))
		return;
	buf_reset(&d->writing);
	d->written += n;
	if (io->result < 0) {
		log_err("osd", "the dirty list in %s cannot be written: %s", d->path, strerror((int)-io->result));
		d->write_log->end -= n * RECORD_SIZE; /* what follows overwrites it */
		d->gen++;
		d->full = true;
		finish(&d->waits, d->written, (int)io->result);
	} else {
		d->write_log->last = d->written;
		d->write_log->size = MAX(d->write_log->size, d->write_log->end);
		finish(&d->waits, d->written, 0);
	}
	if (!env_timer_armed(&d->timer))
		env_timer_in(d->env, &d->timer, DIRTY_SYNC_NS);
	start_write(d);
	start_sync(d);
}

static void start_write(struct dirty *d)
{
	struct buf b = d->writing;

	if (d->write_busy)
		return;
	if (d->rotate)
		begin_epoch(d);
	if (!d->pending.len)
		return;
	d->writing = d->pending;
	d->pending = b;
	/* A record may be in a later epoch than its write holds: it stays on the list for longer. */
	stamp_records(d, &d->writing);
	d->iov = (struct iovec){ d->writing.p, d->writing.len };
	d->write_log = present(d);
	d->write_io = (struct env_io){ .op = ENV_IO_WRITE,
				       .file = d->write_log->file,
				       .iov = &d->iov,
				       .iov_n = 1,
				       .offset = d->write_log->end,
				       .done = write_done,
				       .arg = d };
	d->write_log->end += d->writing.len;
	d->write_busy = true;
	env_file_io(d->env, &d->write_io);
}

static bool is_synced(const struct dlog *log) { return log->synced >= log->last; }

static uint64_t durable(struct dirty *d)
{
	if (!is_synced(previous(d)))
		return previous(d)->synced;
	return is_synced(present(d)) ? d->written : present(d)->synced;
}

static void sync_done(struct env_io *io)
{
	struct dirty *d = io->arg;

	d->sync_busy = false;
	if (is_over(d))
		return;
	if (io->result < 0) {
		log_err("osd", "the dirty list in %s cannot be synced: %s", d->path, strerror((int)-io->result));
		finish(&d->sync_waits, d->written, (int)io->result);
	} else {
		d->sync_log->synced = MAX(d->sync_log->synced, d->sync_last);
	}
	start_sync(d);
}

/* The older log first: records are durable in order. */
static void start_sync(struct dirty *d)
{
	struct dlog *log = is_synced(previous(d)) ? present(d) : previous(d);

	if (d->sync_busy)
		return;
	d->synced = MAX(d->synced, durable(d));
	finish(&d->sync_waits, d->synced, 0);
	if (list_empty(&d->sync_waits) || is_synced(log) || d->sync_busy)
		return; /* what is still waited for is being written */
	d->sync_log = log;
	d->sync_last = log->last;
	d->sync_io = (struct env_io){ .op = ENV_IO_FDATASYNC, .file = log->file, .done = sync_done, .arg = d };
	d->sync_busy = true;
	env_file_io(d->env, &d->sync_io);
}

/* A sync that nobody waits for. */
static void timed_sync_done(void *arg, int err) { free(arg); }

static void sync_tick(void *arg)
{
	struct dirty *d = arg;
	struct dirty_wait *w;

	if (is_synced(previous(d)) && is_synced(present(d)))
		return;
	w = NEW(struct dirty_wait);
	*w = (struct dirty_wait){ .done = timed_sync_done, .arg = w, .pos = d->written };
	list_append(&d->sync_waits, &w->node);
	start_sync(d);
}

bool dirty_sync(struct dirty *d, const struct dirty_marks *m, struct dirty_wait *w)
{
	w->pos = m ? m->pos : d->appended;
	if (w->pos <= d->synced)
		return true;
	list_append(&d->sync_waits, &w->node);
	kick(d->kick);
	return false;
}

/* ---- marking ----------------------------------------------------------------- */

static void add_record(struct dirty *d, const struct dirty_record *rec)
{
	uint8_t r[RECORD_SIZE] = { 0 };

	objkey_encode(r, &rec->obj);
	r[22] = rec->destroyed;
	put_be(r + 24, rec->first, 4);
	put_be(r + 28, rec->last, 4);
	put_be(r + 32, rec->first >> 32, 2);
	put_be(r + 34, rec->last >> 32, 2);
	buf_add(&d->pending, r, sizeof(r));
	d->appended++;
}

static bool bit_is_set(const struct dirty_marks *m, uint32_t chunk)
{
	return chunk / 8 < m->bytes && m->bits[chunk / 8] & 1u << chunk % 8;
}

static void set_bits(struct dirty_marks *m, uint32_t first, uint32_t last)
{
	uint32_t need = last / 8 + 1;

	if (need > m->bytes) {
		need = (uint32_t)round_up_pow2(need, 8);
		m->bits = xrealloc(m->bits, need);
		memset(m->bits + m->bytes, 0, need - m->bytes);
		m->bytes = need;
	}
	for (uint32_t c = first; c <= last; c++)
		m->bits[c / 8] = (uint8_t)(m->bits[c / 8] | 1u << c % 8);
}

static bool is_marked(const struct dirty_marks *m, const struct dirty_record *r)
{
	if (r->destroyed || r->last >= MARKED_CHUNKS_MAX)
		return false;
	for (uint64_t c = r->first; c <= r->last; c++)
		if (!bit_is_set(m, (uint32_t)c))
			return false;
	return true;
}

bool dirty_mark(struct dirty *d, struct dirty_marks *m, const struct dirty_record *r, struct dirty_wait *w)
{
	if (m->gen != d->gen) {
		m->gen = d->gen;
		if (m->bytes)
			memset(m->bits, 0, m->bytes);
	}
	if (!is_marked(m, r)) {
		add_record(d, r);
		m->pos = d->appended;
		if (r->destroyed && m->bytes)
			memset(m->bits, 0, m->bytes); /* another object of this name has to say so */
		else if (!r->destroyed && r->last < MARKED_CHUNKS_MAX)
			set_bits(m, (uint32_t)r->first, (uint32_t)r->last);
	}
	if (m->pos <= d->written)
		return true;
	w->pos = m->pos;
	list_append(&d->waits, &w->node);
	kick(d->kick); /* the records of this round go out together */
	return false;
}

/* ---- epochs ----------------------------------------------------------------- */

uint64_t dirty_hold(struct dirty *d)
{
	d->holds[d->epoch & 1]++;
	return d->epoch;
}

void dirty_release(struct dirty *d, uint64_t epoch)
{
	weft_assert(d->holds[epoch & 1] > 0);
	d->holds[epoch & 1]--;
}

uint64_t dirty_epoch(const struct dirty *d) { return d->epoch; }

bool dirty_is_full(const struct dirty *d) { return d->full; }

uint64_t dirty_log_bytes(const struct dirty *d) { return d->log[d->epoch & 1].end; }

bool dirty_rotate(struct dirty *d)
{
	if (d->old_dirty || d->rotate)
		return d->rotate;
	if (!present(d)->end && !d->pending.len)
		return false;
	d->rotate = true;
	kick(d->kick);
	return true;
}

uint64_t dirty_quiet_epoch(const struct dirty *d) { return d->old_dirty && !d->holds[~d->epoch & 1] ? d->epoch - 1 : 0; }

void dirty_cleaned(struct dirty *d)
{
	d->old_dirty = false;
	previous(d)->synced = previous(d)->last; /* durable or not, it does not count */
}

/* ---- open, close, recover ----------------------------------------------------------------- */

static int open_log(struct env *env, const char *path, unsigned which, int flags, struct env_file **ret)
{
	cleanup_free char *name = xasprintf("%s/dirty.%u", path, which);

	return env->ops->file_open(env, name, O_RDWR | flags, 0600, ret);
}

static int fill(int fd, uint64_t *size)
{
	static const uint8_t zeros[65536];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	for (*size = (uint64_t)st.st_size; *size < DIRTY_LOG_MIN;) {
		ssize_t n = pwrite(fd, zeros, MIN(sizeof(zeros), DIRTY_LOG_MIN - *size), (off_t)*size);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		*size += (uint64_t)n;
	}
	return 0;
}

/* The log has its room on the disk: written, not only allocated, so that syncing a record is a write and no more. */
static int fill_log(const char *path, unsigned which, uint64_t *size)
{
	cleanup_free char *name = xasprintf("%s/dirty.%u", path, which);
	int fd = open(name, O_RDWR | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = fill(fd, size);
	close(fd);
	return r;
}

int dirty_format(struct env *env, const char *path)
{
	for (unsigned i = 0; i < 2; i++) {
		struct env_file *f;
		uint64_t size;
		int r = open_log(env, path, i, O_CREAT | O_TRUNC, &f);

		if (r < 0)
			return r;
		env->ops->file_close(env, f);
		r = fill_log(path, i, &size);
		if (r < 0)
			return r;
	}
	return 0;
}

int dirty_open(struct env *env, const char *path, uint64_t epoch, struct dirty **ret)
{
	struct dirty *d = NEW(struct dirty);

	d->env = env;
	d->path = xstrdup(path);
	d->epoch = epoch;
	d->gen = 1;
	list_init(&d->waits);
	list_init(&d->sync_waits);
	for (unsigned i = 0; i < 2; i++) {
		int r = fill_log(path, i, &d->log[i].size);

		if (r == -ENOSPC) /* as long as it is: deletes may have to wait */
			r = 0;
		if (!r)
			r = open_log(env, path, i, 0, &d->log[i].file);
		if (r < 0) {
			for (unsigned k = 0; k < 2; k++)
				if (d->log[k].file)
					env->ops->file_close(env, d->log[k].file);
			dirty_free(d);
			return r;
		}
	}
	d->timer = (struct env_timer){ .fn = sync_tick, .arg = d };
	d->kick = kick_new(env, kicked, d);
	*ret = d;
	return 0;
}

void dirty_close(struct dirty *d)
{
	struct dirty_wait *w;

	env_timer_cancel(d->env, &d->timer);
	kick_free(d->kick);
	while ((w = list_pop(&d->sync_waits, struct dirty_wait, node)))
		if (w->done == timed_sync_done)
			free(w);
	for (unsigned i = 0; i < 2; i++)
		d->env->ops->file_close(d->env, d->log[i].file);
	d->closed = true;
	(void)is_over(d);
}

struct reading {
	uint64_t clean;
	uint64_t newest;
	int (*fn)(void *arg, const struct dirty_record *r);
	void *arg;
};

/* The epoch of the log's first record, or 0: empty or torn. */
static uint64_t record_epoch(const uint8_t *r)
{
	return (uint32_t)get_be(r + 44, 4) == crc32c(0, r, 44) ? get_be(r + 36, 8) : 0;
}

/* Records of one epoch, then the end, or older ones, or garbage. */
static int read_log(FILE *f, struct reading *rd)
{
	uint64_t epoch = 0, e;
	uint8_t r[RECORD_SIZE];
	int err = 0;

	while (!err && fread(r, sizeof(r), 1, f) == 1) {
		struct dirty_record rec = { .destroyed = r[22],
					    .first = get_be(r + 24, 4) | get_be(r + 32, 2) << 32,
					    .last = get_be(r + 28, 4) | get_be(r + 34, 2) << 32 };

		e = record_epoch(r);
		if (!e || (epoch && e != epoch))
			break;
		epoch = e;
		rd->newest = MAX(rd->newest, e);
		if (e <= rd->clean)
			continue;
		objkey_decode(&rec.obj, r);
		err = rd->fn(rd->arg, &rec);
	}
	return err ? err : ferror(f) ? -EIO : 0;
}

static uint64_t first_epoch(FILE *f)
{
	uint8_t r[RECORD_SIZE];
	uint64_t e = fread(r, sizeof(r), 1, f) == 1 ? record_epoch(r) : 0;

	rewind(f);
	return e;
}

int dirty_recover(struct env *env, const char *path, uint64_t clean, int (*fn)(void *arg, const struct dirty_record *r),
		  void *arg, uint64_t *newest)
{
	struct reading rd = { .clean = clean, .newest = clean, .fn = fn, .arg = arg };
	FILE *f[2] = { NULL, NULL };
	unsigned older;
	int r = 0;

	for (unsigned i = 0; i < 2 && !r; i++) {
		cleanup_free char *name = xasprintf("%s/dirty.%u", path, i);

		f[i] = fopen(name, "re");
		r = f[i] ? 0 : -errno;
	}
	if (!r) {
		older = first_epoch(f[1]) < first_epoch(f[0]);
		r = read_log(f[older], &rd);
		if (!r)
			r = read_log(f[!older], &rd);
	}
	for (unsigned i = 0; i < 2; i++)
		if (f[i])
			fclose(f[i]);
	*newest = rd.newest;
	return r;
}
