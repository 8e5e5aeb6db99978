/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The engine on a local file system: the device. See README.md for what is durable when. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "osd/backends.h"
#include "osd/disk_priv.h"
#include "proto/status.h"

#define FORMAT_VERSION 1
#define CLEAN_NS (30 * NSEC_PER_SEC)
#define CLEAN_RETRY_NS (NSEC_PER_SEC / 10)
#define SPACE_NS (NSEC_PER_SEC / 2)
#define SPACE_RESERVE MIB(64) /* the index must be able to write what was accepted */

static const uint8_t key_format[] = { KEY_OWN, 'f' }, key_lost[] = { KEY_OWN, 'l' }, key_boot[] = { KEY_OWN, 'b' };

static struct disk *disk_of(struct osd_dev *dev)
{
	struct disk *d = container_of(dev, struct disk, dev);

	OBJ_CHECK(d, DISK_MAGIC);
	return d;
}

/* ---- format, open -------------------------------------------------------------------------------------- */

static int make_dir(const char *path, const char *name)
{
	cleanup_free char *full = xasprintf("%s/%s", path, name);

	return mkdir(full, 0700) < 0 ? -errno : 0;
}

static void put_u64(struct disk *d, const uint8_t *key, uint64_t v)
{
	uint8_t b[8];

	wp_put_le64(b, v);
	dindex_put(d->index, key, 2, b, sizeof(b));
	dindex_commit(d->index, OSD_SEQ_NONE, false, NULL, NULL);
}

static uint64_t get_u64(struct disk *d, const uint8_t *key)
{
	struct osd_slice v;

	return dindex_get(d->index, key, 2, &v) == 0 && v.len == 8 ? wp_get_le64(v.p) : 0;
}

static int disk_format(const struct osd_params *params)
{
	cleanup_free char *index = xasprintf("%s/index", params->path);
	struct disk d = { .dev.env = params->env };
	int r = make_dir(params->path, "index");

	if (!r)
		r = make_dir(params->path, "objects");
	if (r < 0)
		return r;
	r = dindex_open(params->env, index, 0, &d.index);
	if (r < 0)
		return r;
	put_u64(&d, key_format, FORMAT_VERSION);
	r = dindex_flush_blocking(d.index);
	dindex_close(d.index);
	if (!r)
		r = params->env->ops->dir_sync(params->env, params->path);
	return r;
}

struct recovery {
	struct disk *disk;
	uint64_t started_ns, said_ns;
	unsigned done;
	struct htab seen;
};

struct seen {
	struct htab_node node;
	uint8_t key[OBJKEY_SIZE + 4];
};

static bool free_seen(struct htab_node *n, void *arg)
{
	free(container_of(n, struct seen, node));
	return true;
}

static bool seen_before(struct recovery *rec, const struct wp_objid *obj, uint32_t chunk)
{
	uint8_t key[OBJKEY_SIZE + 4];
	struct htab_node *n;
	struct seen *s;
	uint64_t hash;

	objkey_encode(key, obj);
	put_be(key + OBJKEY_SIZE, chunk, 4);
	hash = hash_bytes(key, sizeof(key), 0);
	htab_each_match(n, &rec->seen, hash)
		if (!memcmp(container_of(n, struct seen, node)->key, key, sizeof(key)))
			return true;
	s = NEW(struct seen);
	memcpy(s->key, key, sizeof(key));
	htab_add(&rec->seen, &s->node, hash);
	return false;
}

static int recover_chunk(void *arg, const struct wp_objid *obj, uint32_t chunk)
{
	struct recovery *rec = arg;
	struct env *env = rec->disk->dev.env;
	uint64_t now = env_mono_ns(env);

	if (seen_before(rec, obj, chunk))
		return 0;
	rec->done++;
	if (now - rec->said_ns > 2 * NSEC_PER_SEC) {
		rec->said_ns = now;
		log_notice("osd", "%s: making checksums anew after a crash: %u MiB in %.1f s", rec->disk->path, rec->done,
			   (double)(now - rec->started_ns) / 1e9);
	}
	return chunk_rebuild(rec->disk, obj, chunk);
}

static int recover(struct disk *d)
{
	struct recovery rec = { .disk = d, .started_ns = env_mono_ns(d->dev.env) };
	unsigned records;
	int r;

	rec.said_ns = rec.started_ns;
	htab_init(&rec.seen);
	r = dirty_recover(d->path, recover_chunk, &rec, &records);
	htab_each(&rec.seen, free_seen, NULL);
	htab_done(&rec.seen);
	if (r < 0 || !records)
		return r;
	log_notice("osd", "%s: checksums of %u chunks made anew after a crash", d->path, rec.done);
	/* The data must be as durable as the checksums made from it before the list is forgotten. */
	if (syncfs(d->dirfd) < 0)
		return -errno;
	r = dindex_flush_blocking(d->index);
	return r ? r : dirty_forget(d->path);
}

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

static void make_verifier(struct disk *d)
{
	uint64_t boot = boot_hash(d->dev.env), lost = get_u64(d, key_lost);

	if (get_u64(d, key_boot) != boot) {
		lost++;
		put_u64(d, key_lost, lost);
		put_u64(d, key_boot, boot);
	}
	d->verifier = hash_u64(boot ^ hash_u64(lost)) | 1;
}

static void clean_tick(void *arg);

static void disk_free(struct disk *d)
{
	if (d->index)
		dindex_close(d->index);
	if (d->dirfd >= 0)
		close(d->dirfd);
	htab_done(&d->objs);
	free(d->path);
	OBJ_FINI(d);
	free(d);
}

static int open_parts(struct disk *d, const struct osd_params *params)
{
	cleanup_free char *index = xasprintf("%s/index", d->path);
	uint64_t format;
	int r;

	d->dirfd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->dirfd < 0)
		return -errno;
	r = dindex_open(params->env, index, params->cache_bytes, &d->index);
	if (r < 0)
		return r;
	format = get_u64(d, key_format);
	if (format != FORMAT_VERSION)
		return format > FORMAT_VERSION ? -WEFT_ENEWER : -EINVAL;
	r = recover(d);
	if (r < 0)
		return r;
	make_verifier(d);
	r = dindex_flush_blocking(d->index);
	return r ? r : dirty_open(params->env, d->path, &d->dirty);
}

static int disk_open(const struct osd_params *params, struct osd_dev **ret)
{
	struct disk *d = NEW(struct disk);
	int r;

	OBJ_INIT(d, DISK_MAGIC);
	d->dev = (struct osd_dev){ .ops = &osd_disk_ops, .env = params->env };
	d->path = xstrdup(params->path);
	d->dirfd = -1;
	htab_init(&d->objs);
	list_init(&d->lru);
	d->clean_timer = (struct env_timer){ .fn = clean_tick, .arg = d };
	r = open_parts(d, params);
	if (r < 0) {
		disk_free(d);
		return r;
	}
	env_timer_in(params->env, &d->clean_timer, CLEAN_NS);
	*ret = &d->dev;
	return 0;
}

static void disk_close(struct osd_dev *dev)
{
	struct disk *d = disk_of(dev);
	bool clean;

	weft_assert(!d->busy && !d->cleaning); /* the owner ended its operations */
	env_timer_cancel(dev->env, &d->clean_timer);
	dobj_close_all(d);
	clean = syncfs(d->dirfd) == 0 && dindex_flush_blocking(d->index) == 0;
	dirty_close(d->dirty, clean);
	disk_free(d);
}

/* ---- cleaning the dirty list --------------------------------------------------------------------------- */

static void clean_end(struct disk *d, bool ok)
{
	if (ok)
		dirty_drop(d->dirty, d->clean_epoch);
	d->cleaning = false;
	env_timer_in(d->dev.env, &d->clean_timer, ok ? CLEAN_NS : CLEAN_RETRY_NS * 10);
}

static void clean_sync(void *arg)
{
	struct disk *d = arg;

	d->clean_err = syncfs(d->dirfd) < 0 ? -errno : 0;
}

static void clean_synced(void *arg)
{
	struct disk *d = arg;

	clean_end(d, d->clean_err == 0);
}

static void clean_indexed(void *arg, int err)
{
	struct disk *d = arg;

	if (err) {
		clean_end(d, false);
		return;
	}
	d->clean_work = (struct env_work){ .run = clean_sync, .done = clean_synced, .arg = d };
	env_work(d->dev.env, &d->clean_work);
}

static void clean_tick(void *arg)
{
	struct disk *d = arg;

	if (!d->clean_epoch || dirty_is_quiet(d->dirty, d->clean_epoch)) {
		uint64_t old = 0;

		/* A new epoch now, and the one before it, which is quiet by now or soon, is cleaned. */
		if (!dirty_rotate(d->dirty, &old)) {
			env_timer_in(d->dev.env, &d->clean_timer, CLEAN_RETRY_NS * 10);
			return;
		}
		d->clean_epoch = old;
	}
	if (!dirty_is_quiet(d->dirty, d->clean_epoch)) {
		env_timer_in(d->dev.env, &d->clean_timer, CLEAN_RETRY_NS);
		return;
	}
	d->cleaning = true;
	dindex_sync(d->index, clean_indexed, d);
}

/* ---- device -------------------------------------------------------------------------------------------- */

static const struct osd_space *space(struct disk *d)
{
	uint64_t now = env_mono_ns(d->dev.env);

	if (!d->space_ns || now - d->space_ns > SPACE_NS) {
		struct osd_space *s = &d->space;

		d->space_ns = now;
		(void)d->dev.env->ops->fs_space(d->dev.env, d->path, &s->total, &s->free, &s->inodes, &s->inodes_free);
	}
	return &d->space;
}

static void disk_statfs(struct osd_dev *dev, struct osd_space *ret)
{
	*ret = *space(disk_of(dev));
	ret->free -= MIN(ret->free, SPACE_RESERVE);
}

static uint64_t disk_verifier(struct osd_dev *dev) { return disk_of(dev)->verifier; }

struct dev_sync {
	struct disk *disk;
	struct env_work work;
	osd_commit_fn *fn;
	void *arg;
	int err;
};

static void dev_sync_run(void *arg)
{
	struct dev_sync *s = arg;

	s->err = syncfs(s->disk->dirfd) < 0 ? -errno : 0;
}

static void dev_sync_end(void *arg, int err)
{
	struct dev_sync *s = arg;

	s->disk->busy--;
	s->fn(s->arg, s->err ? s->err : err);
	free(s);
}

static void dev_synced(void *arg)
{
	struct dev_sync *s = arg;

	dindex_sync(s->disk->index, dev_sync_end, s);
}

static void disk_sync(struct osd_dev *dev, osd_commit_fn *fn, void *arg)
{
	struct dev_sync *s = NEW(struct dev_sync);

	*s = (struct dev_sync){ .disk = disk_of(dev), .fn = fn, .arg = arg };
	s->work = (struct env_work){ .run = dev_sync_run, .done = dev_synced, .arg = s };
	s->disk->busy++;
	env_work(dev->env, &s->work);
}

/* ---- the callers' index -------------------------------------------------------------------------------- */

static bool has_room(struct disk *d, const struct osd_txn *t)
{
	uint64_t need = SPACE_RESERVE + 2 * (dindex_pending(d->index) + t->ops.len);
	struct osd_slice key, value;
	size_t pos = 0;

	if (space(d)->free > need)
		return true;
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

	if (!has_room(d, t))
		return -ENOSPC;
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

/* ---- objects ------------------------------------------------------------------------------------------- */

static void disk_io(struct osd_dev *dev, struct osd_io *io)
{
	struct disk *d = disk_of(dev);
	struct dobj *o = dobj_get(d, &io->obj);

	d->busy++;
	list_append(&o->waiting, &io->node);
	dobj_run(o);
}

static int disk_list(struct osd_dev *dev, const struct wp_objid *after, struct wp_objid *ret, unsigned max, unsigned *n)
{
	struct disk *d = disk_of(dev);
	uint8_t k[1 + OBJKEY_SIZE] = { KEY_ATTR };
	struct osd_slice key, value;

	objkey_encode(k + 1, after);
	for (*n = 0; *n < max; ++*n) {
		if (dindex_seek(d->index, k, sizeof(k), true, &key, &value) < 0 || key.len != sizeof(k) ||
		    *(const uint8_t *)key.p != KEY_ATTR)
			break;
		memcpy(k, key.p, sizeof(k));
		objkey_decode(&ret[*n], k + 1);
	}
	return 0;
}

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
