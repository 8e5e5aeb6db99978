/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "osd/dirty.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/crc.h"
#include "base/htab.h"
#include "base/log.h"
#include "osd/objkey.h"

#define RECORD_SIZE 32u /* object name 22, pad 2, chunk 4, crc 4 */
#define EPOCHS_MAX 64u
#define DIRTY_SYNC_NS (NSEC_PER_SEC)

struct mark {
	struct htab_node node;
	uint8_t key[OBJKEY_SIZE + 4];
};

struct dirty {
	struct env *env;
	char *path;
	uint64_t epoch, oldest;         /* logs oldest..epoch exist */
	unsigned holds[EPOCHS_MAX];     /* writes in progress, by epoch modulo EPOCHS_MAX */
	struct htab marks;              /* of this epoch */
	struct env_file *file;
	uint64_t end;                   /* of the log, with what is being written */
	struct buf pending, writing;    /* records to write, records being written */
	struct list pending_waits, writing_waits;
	struct list sync_waits, syncing_waits;
	bool write_busy, sync_busy, unsynced;
	struct env_io write_io, sync_io;
	struct iovec iov;
	struct env_timer timer;
	int failed;
};

static char *log_name(const char *path, uint64_t epoch) { return xasprintf("%s/dirty.%llu", path, (unsigned long long)epoch); }

static void finish(struct list *waits, int err)
{
	struct list todo;
	struct dirty_wait *w;

	list_init(&todo);
	list_splice(&todo, waits);
	while ((w = list_pop(&todo, struct dirty_wait, node)))
		w->done(w->arg, err);
}

static bool free_mark(struct htab_node *n, void *arg)
{
	free(container_of(n, struct mark, node));
	return true;
}

static void clear_marks(struct dirty *d)
{
	htab_each(&d->marks, free_mark, NULL);
	htab_done(&d->marks);
	htab_init(&d->marks);
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static void start_write(struct dirty *d);
static void start_sync(struct dirty *d);

static void write_done(struct env_io *io)
{
	struct dirty *d = io->arg;
	int err = io->result < 0 ? (int)io->result : 0;

	d->write_busy = false;
	if (err) {
		log_err("osd", "the dirty list %s cannot be written: %s", d->path, strerror(-err));
		d->end -= d->writing.len; /* what follows overwrites it */
		clear_marks(d);           /* nothing counts as listed that may not be: later writes list it again */
	} else {
		d->unsynced = true;
	}
	buf_reset(&d->writing);
	finish(&d->writing_waits, err);
	if (d->pending.len)
		start_write(d);
	else if (!list_empty(&d->sync_waits))
		start_sync(d);
	if (d->unsynced && !env_timer_armed(&d->timer))
		env_timer_in(d->env, &d->timer, DIRTY_SYNC_NS);
}

static void start_write(struct dirty *d)
{
	struct buf b = d->writing;

	if (d->write_busy)
		return;
	d->writing = d->pending;
	d->pending = b;
	list_splice(&d->writing_waits, &d->pending_waits);
	d->iov = (struct iovec){ d->writing.p, d->writing.len };
	d->write_io = (struct env_io){
		.op = ENV_IO_WRITE, .file = d->file, .iov = &d->iov, .iov_n = 1, .offset = d->end, .done = write_done, .arg = d
	};
	d->end += d->writing.len;
	d->write_busy = true;
	env_file_io(d->env, &d->write_io);
}

static void sync_done(struct env_io *io)
{
	struct dirty *d = io->arg;

	d->sync_busy = false;
	finish(&d->syncing_waits, io->result < 0 ? (int)io->result : 0);
	if (!list_empty(&d->sync_waits) && !d->write_busy)
		start_sync(d);
}

/* After the records written so far; waits for those being written. */
static void start_sync(struct dirty *d)
{
	if (d->sync_busy || d->write_busy || d->pending.len)
		return;
	list_splice(&d->syncing_waits, &d->sync_waits);
	d->unsynced = false;
	d->sync_io = (struct env_io){ .op = ENV_IO_FDATASYNC, .file = d->file, .done = sync_done, .arg = d };
	d->sync_busy = true;
	env_file_io(d->env, &d->sync_io);
}

static void sync_tick(void *arg)
{
	struct dirty *d = arg;

	if (d->unsynced)
		start_sync(d);
	if (d->unsynced)
		env_timer_in(d->env, &d->timer, DIRTY_SYNC_NS);
}

bool dirty_sync(struct dirty *d, struct dirty_wait *w)
{
	if (!d->unsynced && !d->write_busy && !d->pending.len && !d->sync_busy)
		return true;
	list_append(&d->sync_waits, &w->node);
	start_sync(d);
	return false;
}

/* ---- marking ------------------------------------------------------------------------------------------- */

static bool is_marked(struct dirty *d, const uint8_t *key, uint64_t hash)
{
	struct htab_node *n;

	htab_each_match(n, &d->marks, hash)
		if (!memcmp(container_of(n, struct mark, node)->key, key, OBJKEY_SIZE + 4))
			return true;
	return false;
}

static void add_record(struct dirty *d, const uint8_t *key)
{
	uint8_t r[RECORD_SIZE] = { 0 };

	memcpy(r, key, OBJKEY_SIZE);
	memcpy(r + 24, key + OBJKEY_SIZE, 4);
	put_be(r + 28, crc32c(0, r, 28), 4);
	buf_add(&d->pending, r, sizeof(r));
}

bool dirty_mark(struct dirty *d, const struct wp_objid *obj, uint32_t first, uint32_t last, struct dirty_wait *w)
{
	uint8_t key[OBJKEY_SIZE + 4];
	bool fresh = false;

	objkey_encode(key, obj);
	for (uint32_t c = first; c <= last && c >= first; c++) {
		uint64_t hash;
		struct mark *m;

		put_be(key + OBJKEY_SIZE, c, 4);
		hash = hash_bytes(key, sizeof(key), 0);
		if (is_marked(d, key, hash))
			continue;
		m = NEW(struct mark);
		memcpy(m->key, key, sizeof(key));
		htab_add(&d->marks, &m->node, hash);
		add_record(d, key);
		fresh = true;
	}
	/* A mark that another write is still putting on the list does not count yet. */
	if (!fresh && !d->write_busy && !d->pending.len)
		return true;
	if (!fresh && !d->pending.len) {
		list_append(&d->writing_waits, &w->node);
		return false;
	}
	list_append(&d->pending_waits, &w->node);
	start_write(d);
	return false;
}

uint64_t dirty_hold(struct dirty *d)
{
	d->holds[d->epoch % EPOCHS_MAX]++;
	return d->epoch;
}

void dirty_release(struct dirty *d, uint64_t epoch)
{
	weft_assert(d->holds[epoch % EPOCHS_MAX] > 0);
	d->holds[epoch % EPOCHS_MAX]--;
}

bool dirty_is_quiet(const struct dirty *d, uint64_t epoch)
{
	for (uint64_t e = d->oldest; e <= epoch; e++)
		if (d->holds[e % EPOCHS_MAX])
			return false;
	return true;
}

static int open_log(struct dirty *d)
{
	cleanup_free char *name = log_name(d->path, d->epoch);
	int r = d->env->ops->file_open(d->env, name, O_RDWR | O_CREAT | O_TRUNC, 0600, &d->file);

	if (!r)
		r = d->env->ops->dir_sync(d->env, d->path);
	d->end = 0;
	return r;
}

/* Only between writes: a record must be in the log of the epoch that its write holds. */
bool dirty_rotate(struct dirty *d, uint64_t *old_epoch)
{
	struct env_file *old = d->file;

	if (!d->marks.count || d->write_busy || d->sync_busy || d->pending.len || !list_empty(&d->sync_waits) ||
	    d->epoch - d->oldest + 2 >= EPOCHS_MAX)
		return false;
	d->epoch++;
	if (open_log(d) < 0) {
		d->epoch--;
		d->file = old;
		return false;
	}
	d->env->ops->file_close(d->env, old);
	clear_marks(d);
	*old_epoch = d->epoch - 1;
	return true;
}

void dirty_drop(struct dirty *d, uint64_t epoch)
{
	for (; d->oldest <= epoch; d->oldest++) {
		cleanup_free char *name = log_name(d->path, d->oldest);

		(void)d->env->ops->path_unlink(d->env, name); /* one that stays costs a rebuild, no more */
	}
}

/* ---- open, close, recover ------------------------------------------------------------------------------ */

int dirty_open(struct env *env, const char *path, struct dirty **ret)
{
	struct dirty *d = NEW(struct dirty);
	int r;

	d->env = env;
	d->path = xstrdup(path);
	d->epoch = d->oldest = 1;
	htab_init(&d->marks);
	list_init(&d->pending_waits);
	list_init(&d->writing_waits);
	list_init(&d->sync_waits);
	list_init(&d->syncing_waits);
	d->timer = (struct env_timer){ .fn = sync_tick, .arg = d };
	r = open_log(d);
	if (r < 0) {
		htab_done(&d->marks);
		free(d->path);
		free(d);
		return r;
	}
	*ret = d;
	return 0;
}

void dirty_close(struct dirty *d, bool remove_logs)
{
	env_timer_cancel(d->env, &d->timer);
	weft_assert(!d->write_busy && !d->sync_busy);
	d->env->ops->file_close(d->env, d->file);
	if (remove_logs)
		dirty_drop(d, d->epoch);
	htab_each(&d->marks, free_mark, NULL);
	htab_done(&d->marks);
	buf_done(&d->pending);
	buf_done(&d->writing);
	free(d->path);
	free(d);
}

static bool is_log(const char *name) { return !strncmp(name, "dirty.", 6) && name[6] >= '0' && name[6] <= '9'; }

static int read_log(const char *name, int (*fn)(void *arg, const struct wp_objid *obj, uint32_t chunk), void *arg,
		    unsigned *records)
{
	uint8_t r[RECORD_SIZE];
	FILE *f = fopen(name, "re");
	struct wp_objid obj;
	int err = 0;

	if (!f)
		return -errno;
	while (!err && fread(r, sizeof(r), 1, f) == 1) {
		if ((uint32_t)get_be(r + 28, 4) != crc32c(0, r, 28))
			break; /* torn: nothing behind it counts */
		objkey_decode(&obj, r);
		err = fn(arg, &obj, (uint32_t)get_be(r + 24, 4));
		++*records;
	}
	fclose(f);
	return err;
}

int dirty_recover(const char *path, int (*fn)(void *arg, const struct wp_objid *obj, uint32_t chunk), void *arg,
		  unsigned *records)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	int r = 0;

	*records = 0;
	if (!dir)
		return -errno;
	while (!r && (e = readdir(dir))) {
		cleanup_free char *name = xasprintf("%s/%s", path, e->d_name);

		if (is_log(e->d_name))
			r = read_log(name, fn, arg, records);
	}
	closedir(dir);
	return r;
}

int dirty_forget(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	int r = 0;

	if (!dir)
		return -errno;
	while ((e = readdir(dir))) {
		cleanup_free char *name = xasprintf("%s/%s", path, e->d_name);

		if (is_log(e->d_name) && unlink(name) < 0)
			r = -errno;
	}
	closedir(dir);
	return r;
}
