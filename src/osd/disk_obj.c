/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Objects in use: their files and queues. Operations of one object start in order; one waits, and all behind it, while it conflicts
 * with one that is running: they touch the same blocks and one of them changes them, or the object's end is moving.
 */
#include "osd/disk_priv.h"

#include <fcntl.h>

#include "base/log.h"
#include "osd/common.h"

/* ---- objects in use ----------------------------------------------------------------- */

static void dobj_free(struct dobj *o)
{
	struct disk *d = o->disk;

	if (o->file)
		d->dev.env->ops->file_close(d->dev.env, o->file);
	dsegs_close(d->dev.env, &o->segs);
	htab_del(&d->objs, &o->node);
	list_del(&o->lru_node);
	dirty_marks_done(&o->marks);
	d->objs_n--;
	OBJ_FINI(o);
	free(o);
}

static void shrink(struct disk *d, unsigned keep)
{
	while (d->objs_n > keep && !list_empty(&d->lru))
		dobj_free(list_last(&d->lru, struct dobj, lru_node));
}

static struct dobj *dobj_find(struct disk *d, const uint8_t *key, uint64_t hash)
{
	struct htab_node *n;

	htab_each_match (n, &d->objs, hash)
		if (!memcmp(container_of(n, struct dobj, node)->key, key, OBJKEY_SIZE))
			return container_of(n, struct dobj, node);
	return NULL;
}

static struct dobj *dobj_get(struct disk *d, const struct wp_objid *id, int *err)
{
	uint8_t key[OBJKEY_SIZE];
	struct dobj *o;
	uint64_t hash;
	int r;

	*err = 0;
	objkey_encode(key, id);
	hash = hash_bytes(key, sizeof(key), 0);
	o = dobj_find(d, key, hash);
	if (o) {
		list_del(&o->lru_node); /* in use */
		return o;
	}
	shrink(d, OBJECTS_CACHED - 1);
	o = NEW(struct dobj);
	OBJ_INIT(o, DOBJ_MAGIC);
	o->disk = d;
	o->id = *id;
	memcpy(o->key, key, sizeof(key));
	list_init(&o->waiting);
	list_init(&o->running);
	list_init(&o->lru_node);
	htab_add(&d->objs, &o->node, hash);
	d->objs_n++;
	r = dattr_load(d, key, &o->attr);
	o->exists = o->data_dirty = !r;
	if (r < 0 && r != -ENOENT) {
		*err = r;
		dobj_free(o);
		return NULL;
	}
	return o;
}

static bool collect(struct htab_node *n, void *arg)
{
	struct dobj *o = container_of(n, struct dobj, node);

	weft_assert(list_empty(&o->waiting) && list_empty(&o->running));
	list_del(&o->lru_node);
	list_append(arg, &o->lru_node);
	return true;
}

void disk_objs_close(struct disk *d)
{
	struct list all;
	struct dop *op;

	list_init(&all);
	htab_each(&d->objs, collect, &all);
	while (!list_empty(&all))
		dobj_free(list_first(&all, struct dobj, lru_node));
	while ((op = d->spare_ops)) {
		d->spare_ops = op->next_spare;
		free(op);
	}
}

/* ---- files ----------------------------------------------------------------- */

static int make_folders(struct disk *d, unsigned folder)
{
	cleanup_free char *outer = xasprintf("%s/objects/%02x", d->path, folder / FOLDERS);
	cleanup_free char *inner = xasprintf("%s/%02x", outer, folder % FOLDERS);
	struct env *env = d->dev.env;
	int r = env->ops->path_mkdir(env, outer, 0700);

	if (r < 0 && r != -EEXIST)
		return r;
	r = env->ops->path_mkdir(env, inner, 0700);
	return r == -EEXIST ? 0 : r;
}

static int open_file(struct dobj *o, int flags)
{
	struct disk *d = o->disk;
	cleanup_free char *path = dobj_path(d, &o->id);
	struct env *env = d->dev.env;
	int r = env->ops->file_open(env, path, O_RDWR | flags, 0600, &o->file);

	if (r == -EMFILE || r == -ENFILE) {
		shrink(d, 0);
		r = env->ops->file_open(env, path, O_RDWR | flags, 0600, &o->file);
	}
	if (r == -ENOENT && flags & O_CREAT) {
		r = make_folders(d, dobj_folder(&o->id));
		if (!r)
			r = env->ops->file_open(env, path, O_RDWR | flags, 0600, &o->file);
	}
	return r;
}

int dobj_open(struct dobj *o, bool create)
{
	int r;

	if (o->file)
		return 0;
	if (o->exists) {
		r = open_file(o, 0);
		if (!r) {
			r = dobj_load_segs(o);
			if (r < 0) {
				o->disk->dev.env->ops->file_close(o->disk->dev.env, o->file);
				o->file = NULL;
			}
		}
		if (r != -ENOENT)
			return r;
		log_err("osd", "the file of object %llx-%x-%x-%x-%x is gone", (unsigned long long)o->id.fid.seq,
			o->id.fid.oid, o->id.fid.ver, o->id.component, o->id.stripe);
		dattr_remove(o->disk, o->key, &o->attr);
		disk_lost(o->disk);
		o->exists = false;
	}
	if (!create)
		return -ENOENT;
	/* A file without attributes is what a power loss left of an object that was destroyed, or never acknowledged. */
	r = open_file(o, O_CREAT | O_TRUNC);
	if (r < 0)
		return r;
	o->segs.known = true;
	o->exists = true;
	o->name_durable = false;
	return 0;
}

void dobj_changed(struct dobj *o, uint64_t size)
{
	struct env *env = o->disk->dev.env;
	uint64_t now = env_wall_ns(env);

	dattr_account(o->disk, &o->attr, dobj_blocks(o));
	o->attr.size = size;
	o->attr.mtime_ns = MAX(now, o->attr.mtime_ns);
	o->attr.version = disk_version_next(o->disk);
	o->data_dirty = true;
	dattr_store(o->disk, o->key, &o->attr);
}

/* ---- operations ----------------------------------------------------------------- */

static struct dop *dop_new(struct disk *d)
{
	struct dop *op = d->spare_ops;

	if (!op)
		return NEW(struct dop);
	d->spare_ops = op->next_spare;
	memset(op, 0, sizeof(*op));
	return op;
}

int dop_edge(struct dop *op, uint64_t at)
{
	unsigned i = op->edges;

	op->edge_block[i] = malloc(BLOCK);
	if (!op->edge_block[i])
		return -ENOMEM;
	op->edge_at[i] = at;
	op->edges++;
	return 0;
}

static void dop_free(struct disk *d, struct dop *op)
{
	for (unsigned i = 0; i < op->edges; i++)
		free(op->edge_block[i]);
	if (op->iov && op->iov != op->iov_inline)
		free(op->iov);
	if (op->crcs && op->crcs != op->up->crcs)
		free(op->crcs);
	op->next_spare = d->spare_ops;
	d->spare_ops = op;
}

/* What an operation reads or changes, in whole blocks. */
static void set_range(struct dop *op)
{
	const struct osd_io *io = op->up;
	uint64_t length = MIN(io->length, INT64_MAX - MIN(io->offset, INT64_MAX));

	op->writes = io->op == OSD_WRITE;
	op->exclusive = io->op == OSD_TRUNCATE || io->op == OSD_ALLOC || io->op == OSD_DESTROY;
	op->end = UINT64_MAX;
	if (io->op != OSD_READ && io->op != OSD_WRITE)
		return;
	op->begin = round_down_pow2(io->offset, BLOCK);
	op->end = round_up_pow2(MIN(io->offset, INT64_MAX) + length, BLOCK);
}

static bool conflicts(const struct dop *op, const struct dop *running)
{
	if (op->exclusive || running->exclusive)
		return true;
	/* A sync concerns what came before it. */
	if (running->up->op == OSD_SYNC || (!op->writes && !running->writes))
		return false;
	if (op->begin < running->end && running->begin < op->end)
		return true;
	return running->extends && op->end > op->obj->attr.size;
}

static bool may_start(const struct dop *op)
{
	const struct dop *r;

	list_each (r, &op->obj->running, node)
		if (conflicts(op, r))
			return false;
	return true;
}

static void dop_seek(struct dop *op)
{
	struct osd_io *io = op->up;
	struct dobj *o = op->obj;
	uint64_t at = io->offset;
	int r;

	if (!o->exists || io->offset >= o->attr.size) {
		dop_end(op, -ENXIO);
		return;
	}
	r = dobj_open(o, false);
	if (!r)
		r = dobj_seek(o, &at, io->hole);
	if (!r && !io->hole && at >= o->attr.size)
		r = -ENXIO;
	if (!r)
		io->offset = MIN(at, o->attr.size);
	dop_end(op, r == -ENOENT ? -ENXIO : r);
}

static void start(struct dop *op)
{
	op->old_size = op->obj->attr.size;
	op->extends = op->writes && op->up->offset + op->up->length > op->old_size;
	switch (op->up->op) {
	case OSD_READ:
		dop_read(op);
		return;
	case OSD_WRITE:
		dop_write(op);
		return;
	case OSD_SYNC:
		dop_sync(op);
		return;
	case OSD_STAT:
		dop_end(op, op->obj->exists ? 0 : -ENOENT);
		return;
	case OSD_SEEK:
		dop_seek(op);
		return;
	case OSD_TRUNCATE:
		dop_truncate(op);
		return;
	case OSD_ALLOC:
		dop_alloc(op);
		return;
	case OSD_DESTROY:
		dop_destroy(op);
		return;
	}
	dop_end(op, -EINVAL);
}

static void dobj_run(struct dobj *o)
{
	struct disk *d = o->disk;

	if (o->in_run)
		return; /* the loop below goes on */
	o->in_run = true;
	while (!list_empty(&o->waiting)) {
		struct dop *op = list_first(&o->waiting, struct dop, node);

		if (!may_start(op))
			break;
		list_del(&op->node);
		list_append(&o->running, &op->node);
		start(op);
	}
	o->in_run = false;
	if (list_empty(&o->waiting) && list_empty(&o->running) && list_empty(&o->lru_node)) {
		list_push(&d->lru, &o->lru_node);
		shrink(d, OBJECTS_CACHED);
	}
}

void dop_end(struct dop *op, int err)
{
	struct dobj *o = op->obj;
	struct disk *d = o->disk;
	struct osd_io *io = op->up;
	const struct dattr *a = &o->attr;

	OBJ_CHECK(o, DOBJ_MAGIC);
	if (op->epoch)
		dirty_release(d->dirty, op->epoch);
	d->promised -= op->room;
	io->err = err;
	io->stat = o->exists ? (struct osd_objstat){ a->size, a->blocks, a->version, a->mtime_ns } : (struct osd_objstat){ 0 };
	list_del(&op->node);
	dop_free(d, op);
	d->busy--;
	osd_io_post(d->dev.env, io);
	dobj_run(o);
}

void disk_io(struct osd_dev *dev, struct osd_io *io)
{
	struct disk *d = container_of(dev, struct disk, dev);
	struct dobj *o;
	struct dop *op;
	int err = osd_io_check(io);

	OBJ_CHECK(d, DISK_MAGIC);
	io->bytes = 0;
	io->stat = (struct osd_objstat){ 0 };
	if (!err)
		err = dindex_failed(d->index) && io->op != OSD_READ && io->op != OSD_STAT ? dindex_failed(d->index) : 0;
	o = err ? NULL : dobj_get(d, &io->obj, &err);
	if (!o) {
		io->err = err;
		osd_io_post(dev->env, io);
		return;
	}
	op = dop_new(d);
	op->up = io;
	op->obj = o;
	set_range(op);
	d->busy++;
	list_append(&o->waiting, &op->node);
	dobj_run(o);
}
