/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The engine on a local file system: the device. README.md says what is durable when. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "osd/disk_priv.h"
#include "proto/status.h"

#define FORMAT_VERSION 1u
#define SPACE_NS NSEC_PER_SEC
#define SPACE_TIGHT_NS (5 * NSEC_PER_MSEC)
#define VERSION_BITS 40 /* changes that one run of the target can count */

static void look_at_space(struct disk *d);

static struct disk *disk_of(struct osd_dev *dev)
{
	struct disk *d = container_of(dev, struct disk, dev);

	OBJ_CHECK(d, DISK_MAGIC);
	return d;
}

/* ---- format ----------------------------------------------------------------- */

static int make_dir(const char *path, const char *name)
{
	cleanup_free char *full = xasprintf("%s/%s", path, name);

	return mkdir(full, 0700) < 0 ? -errno : 0;
}

static int format_index(const struct osd_params *params)
{
	cleanup_free char *path = xasprintf("%s/index", params->path);
	struct dindex_params ip = { .env = params->env, .path = path };
	struct disk d = { .dev.env = params->env };
	int r = dindex_open(&ip, &d.index);

	if (r < 0)
		return r;
	disk_put_u64(&d, "format", FORMAT_VERSION);
	disk_put_u64(&d, "id", env_random_u64(params->env));
	disk_put_u64(&d, "shut", 1);
	r = dindex_flush_blocking(d.index);
	dindex_abandon(d.index);
	return r;
}

static int disk_format(const struct osd_params *params)
{
	int r = make_dir(params->path, "index");

	if (!r)
		r = make_dir(params->path, "objects");
	if (!r)
		r = dirty_format(params->env, params->path);
	if (!r)
		r = format_index(params);
	return r ? r : params->env->ops->dir_sync(params->env, params->path);
}

/* ---- open, close ----------------------------------------------------------------- */

/* The kernel's memory outlives our process, not the machine: its boot id says whether unsynced writes may be gone. */
static uint64_t boot_hash(struct env *env)
{
	char id[64];
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	size_t n = f ? fread(id, 1, sizeof(id), f) : 0;

	if (f)
		fclose(f);
	return n ? hash_bytes(id, n, 0) : env_random_u64(env);
}

static void begin_run(struct disk *d)
{
	uint64_t boot = boot_hash(d->dev.env), runs = disk_get_u64(d, "runs") + 1;
	bool same_boot = disk_get_u64(d, "boot") == boot, shut = disk_get_u64(d, "shut") == 1;

	d->lost = disk_get_u64(d, "lost") + (!same_boot && !shut);
	d->verifier = hash_u64(disk_get_u64(d, "id") ^ hash_u64(d->lost)) | 1;
	d->used_blocks = disk_get_u64(d, "used");
	d->version = runs << VERSION_BITS; /* above all that earlier runs gave, written or not */
	disk_put_u64(d, "lost", d->lost);
	disk_put_u64(d, "boot", boot);
	disk_put_u64(d, "runs", runs);
	disk_put_u64(d, "shut", 0);
}

/* What the index is about to say of objects, the dirty list must say durably. */
static void barrier_done(void *arg, int err)
{
	struct disk *d = arg;

	d->go(d->go_arg, err);
}

static void barrier(void *arg, dindex_go_fn *go, void *go_arg)
{
	struct disk *d = arg;

	d->go = go;
	d->go_arg = go_arg;
	d->barrier_wait = (struct dirty_wait){ .done = barrier_done, .arg = d };
	if (dirty_sync(d->dirty, NULL, &d->barrier_wait))
		go(go_arg, 0);
}

static int open_parts(struct disk *d, const struct osd_params *params)
{
	cleanup_free char *index = xasprintf("%s/index", d->path);
	struct dindex_params ip = {
		.env = params->env, .path = index, .cache_bytes = params->cache_bytes, .barrier = barrier, .barrier_arg = d
	};
	uint64_t format, epoch;
	int r;

	d->dirfd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->dirfd < 0)
		return -errno;
	r = dindex_open(&ip, &d->index);
	if (r < 0)
		return r;
	format = disk_get_u64(d, "format");
	if (format != FORMAT_VERSION)
		return format > FORMAT_VERSION ? -WEFT_ENEWER : -EINVAL;
	begin_run(d);
	r = disk_recover(d, &epoch);
	if (!r)
		r = dindex_flush_blocking(d->index);
	return r ? r : dirty_open(params->env, d->path, epoch, &d->dirty);
}

static void disk_free(struct disk *d)
{
	if (d->dirty)
		dirty_close(d->dirty);
	if (d->dirfd >= 0)
		close(d->dirfd);
	htab_done(&d->objs);
	free(d->path);
	OBJ_FINI(d);
	free(d);
}

static int disk_open(const struct osd_params *params, struct osd_dev **ret)
{
	struct disk *d = NEW(struct disk);
	int r;

	OBJ_INIT(d, DISK_MAGIC);
	d->dev = (struct osd_dev){ .ops = &osd_disk_ops, .env = params->env };
	d->path = xstrdup(params->path);
	d->capacity = params->capacity;
	d->dirfd = -1;
	htab_init(&d->objs);
	list_init(&d->lru);
	r = open_parts(d, params);
	if (r < 0) {
		if (d->index)
			dindex_abandon(d->index);
		disk_free(d);
		return r;
	}
	look_at_space(d);
	dindex_start(d->index);
	disk_clean_init(d);
	*ret = &d->dev;
	return 0;
}

static void disk_close(struct osd_dev *dev)
{
	struct disk *d = disk_of(dev);

	weft_assert(!d->busy); /* the owner ended its operations */
	d->closing = true;
	disk_objs_close(d);
	(void)disk_clean_close(d); /* if it cannot be synced, the next start rebuilds */
	(void)dindex_close(d->index);
	disk_free(d);
}

/* ---- space ----------------------------------------------------------------- */

static uint64_t used_bytes(const struct disk *d) { return d->used_blocks * 512 + dindex_file_bytes(d->index); }

static uint64_t clamp(uint64_t v, uint64_t low, uint64_t high) { return MIN(MAX(v, low), high); }

/*
 * Who may take what of the file system, which other targets may be on, too (README.md, "A full disk"):
 *
 *	objects grow while more than DATA is free; index_free says what is free above INDEX; BALLAST is set aside in the index's file
 */
#define DATA_MIN MIB(16)
#define DATA_MAX MIB(256)
#define INDEX_MIN MIB(4)
#define INDEX_MAX MIB(64)
#define BALLAST_MIN MIB(2)
#define BALLAST_MAX MIB(16)
#define INODES_MAX 256u /* for journals and logs */

static uint64_t ballast(const struct disk *d) { return clamp(d->space.total / 128, BALLAST_MIN, BALLAST_MAX); }

static uint64_t data_reserve(const struct disk *d)
{
	return MIN(clamp(d->space.total / 5, DATA_MIN, DATA_MAX), d->space.total / 2) + 2 * dindex_pending(d->index);
}

static uint64_t index_reserve(const struct disk *d)
{
	return clamp(d->space.total / 32, INDEX_MIN, INDEX_MAX) + 2 * dindex_pending(d->index);
}

static uint64_t above(uint64_t free_bytes, uint64_t reserve) { return free_bytes > reserve ? free_bytes - reserve : 0; }

/* What the file system says. Asked now and then, and more often the fuller it is: others write there, too. */
static void look_at_space(struct disk *d)
{
	struct env *env = d->dev.env;
	uint64_t now = env_mono_ns(env), inodes;
	struct osd_space *s = &d->space;

	if (d->space_ns && now - d->space_ns <= (d->tight ? SPACE_TIGHT_NS : SPACE_NS) &&
	    d->space_taken <= above(s->free, data_reserve(d)) / 16)
		return;
	d->space_ns = now;
	d->space_taken = 0;
	if (env->ops->fs_space(env, d->path, &s->total, &s->free, &s->inodes, &s->inodes_free) < 0)
		return;
	s->free -= MIN(s->free, d->promised);
	inodes = MIN(s->inodes / 64, INODES_MAX);
	s->inodes_free -= MIN(s->inodes_free, inodes);
	d->tight = s->free < 2 * data_reserve(d);
	dindex_set_room(d->index, s->free, ballast(d), d->tight);
}

void disk_space(struct disk *d, struct osd_space *ret)
{
	uint64_t left, free_bytes;

	look_at_space(d);
	*ret = d->space;
	free_bytes = above(ret->free, d->space_taken);
	ret->free = above(free_bytes, data_reserve(d));
	ret->index_free = above(free_bytes, index_reserve(d));
	if (!d->capacity)
		return;
	left = above(d->capacity, used_bytes(d));
	ret->total = MIN(ret->total, d->capacity);
	ret->free = MIN(ret->free, left);
	ret->index_free = MIN(ret->index_free, left);
}

bool disk_has_room(struct disk *d, struct dop *op, uint64_t bytes)
{
	struct osd_space s;

	disk_space(d, &s);
	if (bytes > s.free || !s.free || (s.inodes && !s.inodes_free))
		return false;
	d->space_taken += bytes;
	d->promised += bytes;
	op->room += bytes;
	return true;
}

static bool index_has_room(struct disk *d, const struct osd_txn *t)
{
	look_at_space(d);
	return (!d->capacity || used_bytes(d) < d->capacity) && dindex_has_room(d->index, t->count, t->ops.len);
}

static void disk_statfs(struct osd_dev *dev, struct osd_space *ret) { disk_space(disk_of(dev), ret); }

static uint64_t disk_verifier(struct osd_dev *dev) { return disk_of(dev)->verifier; }

/* ---- the callers' index ----------------------------------------------------------------- */

static bool only_deletes(const struct osd_txn *t)
{
	struct osd_slice key, value;
	size_t pos = 0;

	while (osd_txn_next(t, &pos, &key, &value))
		if (value.p)
			return false;
	return true; /* deletes are how room is made */
}

static int disk_txn_submit(struct osd_dev *dev, struct osd_txn *t, uint64_t seq, osd_commit_fn *fn, void *arg)
{
	struct disk *d = disk_of(dev);
	uint8_t k[OSD_KEY_MAX + 1] = { KEY_USER };
	struct osd_slice key, value;
	size_t pos = 0;

	if (dindex_failed(d->index))
		return dindex_failed(d->index);
	if (!index_has_room(d, t) && !only_deletes(t))
		return -ENOSPC;
	dindex_begin(d->index, seq);
	while (osd_txn_next(t, &pos, &key, &value)) {
		memcpy(k + 1, key.p, key.len);
		dindex_put(d->index, k, key.len + 1, value.p, value.len);
	}
	osd_txn_done(t);
	dindex_commit(d->index, seq, seq == OSD_SEQ_NONE, fn, arg);
	return 0;
}

static void disk_stable(struct osd_dev *dev, uint64_t seq) { dindex_stable(disk_of(dev)->index, seq); }
static uint64_t disk_applied(struct osd_dev *dev) { return dindex_applied(disk_of(dev)->index); }
static void disk_on_applied(struct osd_dev *dev, env_fn *fn, void *arg) { dindex_on_applied(disk_of(dev)->index, fn, arg); }

static int disk_get(struct osd_dev *dev, struct osd_slice key, struct osd_slice *value)
{
	uint8_t k[OSD_KEY_MAX + 1] = { KEY_USER };

	weft_assert(key.len <= OSD_KEY_MAX);
	memcpy(k + 1, key.p, key.len);
	return dindex_get(disk_of(dev)->index, k, key.len + 1, value);
}

static int disk_next(struct osd_iter *it, struct osd_slice *key, struct osd_slice *value)
{
	uint8_t k[OSD_KEY_MAX + 1] = { KEY_USER };
	struct osd_slice found;
	int r;

	memcpy(k + 1, it->key, it->key_len);
	r = dindex_seek(disk_of(it->dev)->index, k, it->key_len + 1, !it->inclusive, &found, value);
	if (r < 0)
		return r;
	if (*(const uint8_t *)found.p != KEY_USER)
		return -ENOENT;
	*key = osd_slice((const uint8_t *)found.p + 1, found.len - 1);
	memcpy(it->key, key->p, key->len);
	it->key_len = key->len;
	it->inclusive = false;
	return 0;
}

static void disk_checkpoint(struct osd_dev *dev, int (*fn)(void *arg, struct osd_slice key, struct osd_slice value),
			    osd_commit_fn *done, void *arg)
{
	dindex_checkpoint(disk_of(dev)->index, KEY_USER, fn, done, arg);
}

static int disk_list(struct osd_dev *dev, const struct wp_objid *after, struct wp_objid *ret, unsigned max, unsigned *n)
{
	struct disk *d = disk_of(dev);
	uint8_t k[1 + OBJKEY_SIZE] = { KEY_ATTR };
	struct osd_slice key, value;
	int r;

	objkey_encode(k + 1, after);
	for (*n = 0; *n < max; ++*n) {
		r = dindex_seek(d->index, k, sizeof(k), true, &key, &value);
		if (r < 0 && r != -ENOENT)
			return r;
		if (r < 0 || key.len != sizeof(k) || *(const uint8_t *)key.p != KEY_ATTR)
			break;
		memcpy(k, key.p, sizeof(k));
		objkey_decode(&ret[*n], k + 1);
	}
	return 0;
}

void osd_disk_set_rot(struct osd_dev *dev, const struct osd_rot *rot) { disk_of(dev)->rot = *rot; }

const struct osd_ops osd_disk_ops = {
	.name = "disk",
	.format = disk_format,
	.open = disk_open,
	.close = disk_close,
	.statfs = disk_statfs,
	.verifier = disk_verifier,
	.sync = disk_sync,
	.txn_submit = disk_txn_submit,
	.stable = disk_stable,
	.applied = disk_applied,
	.on_applied = disk_on_applied,
	.get = disk_get,
	.next = disk_next,
	.checkpoint = disk_checkpoint,
	.io = disk_io,
	.list = disk_list,
};
