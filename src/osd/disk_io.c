/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Objects in use: their queues, and reads. Operations of one object take effect in order: reads run together, what changes it
 * runs alone.
 */
#include "osd/disk_priv.h"

#include <fcntl.h>

#include "base/crc.h"
#include "base/log.h"
#include "proto/status.h"

/* ---- objects in use ------------------------------------------------------------------------------------ */

static void dobj_free(struct dobj *o)
{
	struct disk *d = o->disk;

	if (o->file)
		d->dev.env->ops->file_close(d->dev.env, o->file);
	htab_del(&d->objs, &o->node);
	list_del(&o->lru_node);
	d->objs_n--;
	OBJ_FINI(o);
	free(o);
}

static void shrink(struct disk *d, const struct dobj *keep)
{
	while (d->objs_n > OPEN_FILES_MAX && !list_empty(&d->lru)) {
		struct dobj *o = list_last(&d->lru, struct dobj, lru_node);

		if (o == keep)
			break;
		dobj_free(o);
	}
}

static bool is_idle(const struct dobj *o) { return !o->reading && !o->writing && list_empty(&o->waiting); }

struct dobj *dobj_get(struct disk *d, const struct wp_objid *id)
{
	uint8_t key[OBJKEY_SIZE];
	struct htab_node *n;
	struct dobj *o;
	uint64_t hash;

	objkey_encode(key, id);
	hash = hash_bytes(key, sizeof(key), 0);
	htab_each_match(n, &d->objs, hash) {
		o = container_of(n, struct dobj, node);
		if (!memcmp(o->key, key, sizeof(key))) {
			list_del(&o->lru_node); /* in use */
			return o;
		}
	}
	o = NEW(struct dobj);
	OBJ_INIT(o, DOBJ_MAGIC);
	o->disk = d;
	o->id = *id;
	memcpy(o->key, key, sizeof(key));
	list_init(&o->waiting);
	list_init(&o->lru_node);
	htab_add(&d->objs, &o->node, hash);
	d->objs_n++;
	shrink(d, o);
	return o;
}

static bool collect(struct htab_node *n, void *arg)
{
	struct dobj *o = container_of(n, struct dobj, node);

	weft_assert(is_idle(o));
	list_del(&o->lru_node);
	list_append(arg, &o->lru_node);
	return true;
}

void dobj_close_all(struct disk *d)
{
	struct list all;
	struct dobj *o;

	list_init(&all);
	htab_each(&d->objs, collect, &all);
	while ((o = list_pop(&all, struct dobj, lru_node)))
		dobj_free(o);
}

static int make_folders(struct disk *d, char *path)
{
	char *last = strrchr(path, '/'), *middle;
	struct env *env = d->dev.env;
	int r;

	*last = '\0';
	r = env->ops->path_mkdir(env, path, 0700);
	if (r == -ENOENT) {
		middle = strrchr(path, '/');
		*middle = '\0';
		r = env->ops->path_mkdir(env, path, 0700);
		*middle = '/';
		if (!r || r == -EEXIST)
			r = env->ops->path_mkdir(env, path, 0700);
	}
	*last = '/';
	return r == -EEXIST ? 0 : r;
}

int dobj_open(struct dobj *o, bool create)
{
	struct disk *d = o->disk;
	struct env *env = d->dev.env;
	cleanup_free char *path = NULL;
	struct env_stat st;
	int r;

	if (o->loaded && (o->exists || !create))
		return o->exists ? 0 : -ENOENT;
	path = object_path(d, &o->id);
	if (!o->loaded) {
		attr_load(o);
		r = env->ops->file_open(env, path, O_RDWR, 0, &o->file);
		if (r < 0 && r != -ENOENT)
			return r;
		o->loaded = true;
		o->exists = !r;
		if (o->exists && !o->version && !env->ops->file_stat(env, o->file, &st))
			o->size = st.size; /* attributes lost although it was never dirty: reads will say so */
		if (!o->exists && (o->version || o->size)) { /* destroyed, and the index did not come to know */
			uint64_t version = o->version;

			attr_remove(d, o->key, o->size);
			o->size = o->mtime_ns = 0;
			o->version = version;
		}
	}
	if (o->exists || !create)
		return o->exists ? 0 : -ENOENT;
	r = env->ops->file_open(env, path, O_RDWR | O_CREAT, 0600, &o->file);
	if (r == -ENOENT) {
		r = make_folders(d, path);
		if (!r)
			r = env->ops->file_open(env, path, O_RDWR | O_CREAT, 0600, &o->file);
	}
	if (r < 0)
		return r;
	o->exists = o->fresh = true;
	return 0;
}

void dobj_touch(struct dobj *o)
{
	uint64_t now = env_wall_ns(o->disk->dev.env);

	o->mtime_ns = MAX(now, o->mtime_ns);
	o->version = MAX(now, o->version + 1);
	attr_store(o);
}

/* ---- queues -------------------------------------------------------------------------------------------- */

static bool only_reads(const struct osd_io *io)
{
	return io->op == OSD_READ || io->op == OSD_STAT || io->op == OSD_SEEK || io->op == OSD_SYNC;
}

static void fill_stat(struct dobj *o, struct osd_io *io)
{
	struct env_stat st = { 0 };

	io->stat = (struct osd_objstat){ 0 };
	if (!o->exists)
		return;
	(void)o->disk->dev.env->ops->file_stat(o->disk->dev.env, o->file, &st);
	io->stat = (struct osd_objstat){ .size = o->size, .blocks = st.blocks, .version = o->version, .mtime_ns = o->mtime_ns };
}

static void complete(void *arg)
{
	struct osd_io *io = arg;

	io->done(io);
}

static void post_done(struct disk *d, struct osd_io *io)
{
	struct env_task *task = (struct env_task *)io->priv;

	_Static_assert(sizeof(struct env_task) <= sizeof(io->priv), "the completion task lives in the operation");
	*task = (struct env_task){ .fn = complete, .arg = io };
	env_post(d->dev.env, task);
}

void dop_finish(struct dobj *o, struct osd_io *io, int err)
{
	struct disk *d = o->disk;

	OBJ_CHECK(o, DOBJ_MAGIC);
	io->err = err;
	fill_stat(o, io);
	if (only_reads(io))
		o->reading--;
	else
		o->writing = false;
	d->busy--;
	post_done(d, io);
	dobj_run(o);
}

static void run_small(struct dobj *o, struct osd_io *io)
{
	struct env *env = o->disk->dev.env;
	uint64_t at = 0;
	int r = dobj_open(o, false);

	if (io->op == OSD_SEEK) {
		if (r == -ENOENT || (!r && io->offset >= o->size))
			r = -ENXIO;
		if (!r)
			r = env->ops->file_seek(env, o->file, io->offset, io->hole, &at);
		if (!r)
			io->offset = MIN(at, o->size);
	}
	dop_finish(o, io, r);
}

static void start(struct dobj *o, struct osd_io *io)
{
	switch (io->op) {
	case OSD_READ:
		disk_read(o, io);
		break;
	case OSD_WRITE:
		disk_write(o, io);
		break;
	case OSD_SYNC:
		disk_osync(o, io);
		break;
	case OSD_STAT:
	case OSD_SEEK:
		run_small(o, io);
		break;
	case OSD_TRUNCATE:
	case OSD_ALLOC:
	case OSD_DESTROY:
		disk_change(o, io);
		break;
	}
}

void dobj_run(struct dobj *o)
{
	while (!list_empty(&o->waiting) && !o->writing) {
		struct osd_io *io = list_first(&o->waiting, struct osd_io, node);

		if (!only_reads(io) && o->reading)
			break;
		list_del(&io->node);
		if (only_reads(io))
			o->reading++;
		else
			o->writing = true;
		start(o, io);
		/* It may have ended, and freed o's turn, inside. */
	}
	if (is_idle(o) && list_empty(&o->lru_node)) {
		list_push(&o->disk->lru, &o->lru_node);
		shrink(o->disk, o);
	}
}

/* ---- read ---------------------------------------------------------------------------------------------- */

/*
 * Block-aligned reads (their end may be the object's) go straight to the caller's memory; others through a buffer of whole blocks,
 * because a block can only be verified whole.
 */
struct read_op {
	struct env_io io;
	struct dobj *obj;
	struct osd_io *up;
	struct iovec iov[1];
	struct iovec *copied;  /* of the caller's, cut to the length */
	uint8_t *bounce;
	uint64_t first, last;  /* bytes: block-aligned start, end of the data */
	uint64_t end;          /* of what is delivered */
	uint32_t *crcs;        /* stored ones, from first's block on */
};

static void read_free(struct read_op *r)
{
	free(r->bounce);
	free(r->copied);
	free(r->crcs);
	free(r);
}

static int corrupt(const struct dobj *o, uint64_t offset)
{
	cleanup_free char *path = object_path(o->disk, &o->id);

	log_err("osd", "object %s: the block at offset %llu does not match its checksum", path,
		(unsigned long long)round_down_pow2(offset, BLOCK));
	return -WEFT_ECORRUPT;
}

/* Walks an iovec by pieces. */
struct walk {
	const struct iovec *iov;
	size_t pos;
};

static uint32_t walk_crc(struct walk *w, uint64_t len)
{
	uint32_t crc = 0;

	while (len) {
		size_t n = MIN(len, w->iov->iov_len - w->pos);

		crc = crc32c(crc, (const uint8_t *)w->iov->iov_base + w->pos, n);
		len -= n;
		w->pos += n;
		if (w->pos == w->iov->iov_len) {
			w->iov++;
			w->pos = 0;
		}
	}
	return crc;
}

static void walk_copy(struct walk *w, const uint8_t *from, uint64_t len)
{
	while (len) {
		size_t n = MIN(len, w->iov->iov_len - w->pos);

		memcpy((uint8_t *)w->iov->iov_base + w->pos, from, n);
		from += n;
		len -= n;
		w->pos += n;
		if (w->pos == w->iov->iov_len) {
			w->iov++;
			w->pos = 0;
		}
	}
}

static int verify_direct(struct read_op *r)
{
	struct osd_io *up = r->up;
	struct walk w = { up->iov, 0 };
	unsigned i = 0;

	for (uint64_t at = r->first; at < r->end; at += BLOCK, i++) {
		uint64_t n = MIN(BLOCK, r->end - at);
		uint32_t crc = walk_crc(&w, n);

		if ((n == BLOCK ? crc : crc32c_zeros(crc, BLOCK - n)) != r->crcs[i])
			return corrupt(r->obj, at);
		if (up->crcs)
			up->crcs[i] = crc;
	}
	return 0;
}

static int verify_bounce(struct read_op *r)
{
	struct osd_io *up = r->up;
	struct walk w = { up->iov, 0 };
	unsigned i = 0;

	for (uint64_t at = r->first; at < r->end; at += BLOCK, i++) {
		uint64_t from = MAX(at, up->offset), to = MIN(at + BLOCK, r->end);
		const uint8_t *block = r->bounce + (at - r->first);

		if (crc32c(0, block, BLOCK) != r->crcs[i])
			return corrupt(r->obj, at);
		walk_copy(&w, block + (from - at), to - from);
		if (up->crcs)
			up->crcs[i] = to - from == BLOCK ? r->crcs[i] : crc32c(0, block + (from - at), to - from);
	}
	return 0;
}

static void read_done(struct env_io *io)
{
	struct read_op *r = io->arg;
	struct dobj *o = r->obj;
	struct osd_io *up = r->up;
	int err = io->result < 0 ? (int)io->result : 0;

	if (err)
		log_err("osd", "object of fid 0x%llx:0x%x: reading: %s", (unsigned long long)o->id.fid.seq, o->id.fid.oid,
			strerror(-err));
	/* A file shorter than the attributes say reads as zeros behind its end: their checksums decide. */
	if (!err && (uint64_t)io->result < r->last - r->first && !r->bounce)
		err = corrupt(o, r->first + (uint64_t)io->result);
	if (!err)
		err = r->bounce ? verify_bounce(r) : verify_direct(r);
	up->bytes = err ? 0 : r->end - up->offset;
	read_free(r);
	dop_finish(o, up, err);
}

static int cut_iov(struct read_op *r, uint64_t len)
{
	unsigned n = 0;

	r->copied = malloc(sizeof(*r->copied) * (size_t)MAX(r->up->iov_n, 1));
	if (!r->copied)
		return -ENOMEM;
	for (int i = 0; i < r->up->iov_n && len; i++) {
		r->copied[n] = r->up->iov[i];
		r->copied[n].iov_len = MIN(r->copied[n].iov_len, len);
		len -= r->copied[n].iov_len;
		n++;
	}
	r->io.iov = r->copied;
	r->io.iov_n = (int)n;
	return 0;
}

static int read_prepare(struct read_op *r)
{
	struct osd_io *up = r->up;
	struct dobj *o = r->obj;
	uint64_t blocks;
	bool direct;
	int err;

	r->end = MIN(up->offset + up->length, o->size);
	r->first = round_down_pow2(up->offset, BLOCK);
	direct = up->offset == r->first && (r->end % BLOCK == 0 || r->end == o->size);
	blocks = (r->end - r->first + BLOCK - 1) / BLOCK;
	r->last = direct ? r->end : MIN(r->first + blocks * BLOCK, o->size);
	r->crcs = malloc(blocks * sizeof(*r->crcs));
	if (!r->crcs)
		return -ENOMEM;
	err = crc_load(o->disk, o->key, r->first / BLOCK, blocks, r->crcs);
	if (err)
		return err;
	if (direct)
		return cut_iov(r, r->end - r->first);
	r->bounce = calloc(blocks, BLOCK);
	if (!r->bounce)
		return -ENOMEM;
	r->iov[0] = (struct iovec){ r->bounce, r->last - r->first };
	r->io.iov = r->iov;
	r->io.iov_n = 1;
	return 0;
}

void disk_read(struct dobj *o, struct osd_io *io)
{
	int err = dobj_open(o, false);
	struct read_op *r;

	io->bytes = 0;
	if (err || io->offset >= o->size || !io->length) {
		dop_finish(o, io, err == -ENOENT ? 0 : err);
		return;
	}
	r = NEW(struct read_op);
	r->obj = o;
	r->up = io;
	err = read_prepare(r);
	if (err) {
		read_free(r);
		dop_finish(o, io, err);
		return;
	}
	r->io.op = ENV_IO_READ;
	r->io.file = o->file;
	r->io.offset = r->first;
	r->io.done = read_done;
	r->io.arg = r;
	env_file_io(o->disk->dev.env, &r->io);
}
