/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What changes objects. Order of a write, which dirty.h's invariants rest on:
 *
 *	verify the payload -> read and verify the old parts of partial blocks -> dirty list -> data -> checksums, attributes
 */
#include "osd/disk_priv.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>

#include "base/crc.h"
#include "base/log.h"
#include "proto/status.h"

#define EDGES 2

struct change {
	struct dobj *obj;
	struct osd_io *up;
	struct env_io io;
	struct dirty_wait wait;
	uint64_t epoch;
	bool held;
	uint64_t begin, end;       /* bytes that change */
	uint32_t *crcs;            /* new ones of the blocks in [begin, end) */
	uint64_t edge_at[EDGES];   /* block-aligned offsets of partial blocks */
	unsigned edges, edge;
	uint8_t edge_block[EDGES][4096];
	struct iovec edge_iov;
	struct iovec *iov;
	int err;
	uint64_t old_size;
};

static void change_end(struct change *c, int err)
{
	struct dobj *o = c->obj;
	struct osd_io *up = c->up;

	if (c->held)
		dirty_release(o->disk->dirty, c->epoch);
	free(c->crcs);
	free(c->iov);
	free(c);
	dop_finish(o, up, err);
}

static struct change *change_new(struct dobj *o, struct osd_io *io)
{
	struct change *c = xmalloc(sizeof(*c));

	memset(c, 0, offsetof(struct change, edge_block));
	c->iov = NULL;
	c->err = 0;
	c->obj = o;
	c->up = io;
	c->old_size = o->size;
	return c;
}

static uint64_t block_count(uint64_t begin, uint64_t end) { return end > begin ? (end - 1) / BLOCK - begin / BLOCK + 1 : 0; }

/* ---- edges: partial blocks whose other bytes stay ------------------------------------------------------ */

static void read_edge(struct change *c);
static void edges_ready(struct change *c);

/* The old block must match before it is blessed with a new checksum. */
static int verify_edge(struct change *c)
{
	uint32_t crc;
	int r = crc_load(c->obj->disk, c->obj->key, c->edge_at[c->edge] / BLOCK, 1, &crc);

	if (r < 0)
		return r;
	if (crc32c(0, c->edge_block[c->edge], BLOCK) == crc)
		return 0;
	log_err("osd", "object of fid 0x%llx:0x%x: the block at offset %llu does not match its checksum",
		(unsigned long long)c->obj->id.fid.seq, c->obj->id.fid.oid, (unsigned long long)c->edge_at[c->edge]);
	return -WEFT_ECORRUPT;
}

static void edge_read(struct env_io *io)
{
	struct change *c = io->arg;
	int r = io->result < 0 ? (int)io->result : 0;

	if (!r) {
		memset(c->edge_block[c->edge] + io->result, 0, BLOCK - (size_t)io->result);
		r = verify_edge(c);
	}
	if (r < 0) {
		change_end(c, r);
		return;
	}
	c->edge++;
	read_edge(c);
}

static void read_edge(struct change *c)
{
	struct dobj *o = c->obj;

	/* Behind the old end there is nothing but zeros. */
	while (c->edge < c->edges && (!o->exists || c->edge_at[c->edge] >= c->old_size)) {
		memset(c->edge_block[c->edge], 0, BLOCK);
		c->edge++;
	}
	if (c->edge == c->edges) {
		edges_ready(c);
		return;
	}
	c->edge_iov = (struct iovec){ c->edge_block[c->edge], BLOCK };
	c->io = (struct env_io){ .op = ENV_IO_READ,
				 .file = o->file,
				 .iov = &c->edge_iov,
				 .iov_n = 1,
				 .offset = c->edge_at[c->edge],
				 .done = edge_read,
				 .arg = c };
	env_file_io(o->disk->dev.env, &c->io);
}

static void find_edges(struct change *c)
{
	uint64_t first = round_down_pow2(c->begin, BLOCK), last = round_down_pow2(c->end, BLOCK);

	if (c->begin == c->end)
		return;
	if (c->begin % BLOCK || (first == last && c->end % BLOCK))
		c->edge_at[c->edges++] = first;
	if (c->end % BLOCK && last != first)
		c->edge_at[c->edges++] = last;
}

/* ---- the steps of a change ----------------------------------------------------------------------------- */

static void do_data(struct change *c);

static void marked(void *arg, int err)
{
	struct change *c = arg;

	if (err)
		change_end(c, err);
	else
		do_data(c);
}

/* Which chunks: those of the edges are inside of the range. A range beyond all that exists has no checksums to lose. */
static void edges_ready(struct change *c)
{
	struct disk *d = c->obj->disk;
	uint64_t end = c->end;
	int r;

	if (c->up->op == OSD_ALLOC)
		end = MIN(end, MAX(round_up_pow2(c->old_size, BLOCK), c->begin + 1));
	if ((end - 1) / DIRTY_CHUNK_BYTES > UINT32_MAX) {
		change_end(c, -EFBIG);
		return;
	}
	r = dobj_open(c->obj, c->up->op != OSD_DESTROY);
	if (r < 0) {
		change_end(c, r);
		return;
	}
	c->epoch = dirty_hold(d->dirty);
	c->held = true;
	c->wait = (struct dirty_wait){ .done = marked, .arg = c };
	if (dirty_mark(d->dirty, &c->obj->id, (uint32_t)(c->begin / DIRTY_CHUNK_BYTES),
		       (uint32_t)((end - 1) / DIRTY_CHUNK_BYTES), &c->wait))
		do_data(c);
}

static void finish_write(struct change *c)
{
	struct dobj *o = c->obj;

	crc_store(o->disk, o->key, c->begin / BLOCK, block_count(c->begin, c->end), c->crcs);
	o->size = MAX(o->size, c->end);
	dobj_touch(o);
	change_end(c, 0);
}

static void written(struct env_io *io)
{
	struct change *c = io->arg;

	if (io->result >= 0) {
		finish_write(c);
		return;
	}
	/* Parts may have been written: their checksums are made anew from what is there when the target opens; until then they are
	 * errors. A full disk writes nothing of a block that had room before. */
	log_err("osd", "object of fid 0x%llx:0x%x: writing: %s", (unsigned long long)c->obj->id.fid.seq, c->obj->id.fid.oid,
		strerror((int)-io->result));
	change_end(c, (int)io->result);
}

static void do_write(struct change *c)
{
	struct osd_io *up = c->up;

	c->iov = malloc(sizeof(*c->iov) * (size_t)MAX(up->iov_n, 1));
	if (!c->iov) {
		change_end(c, -ENOMEM);
		return;
	}
	memcpy(c->iov, up->iov, sizeof(*c->iov) * (size_t)up->iov_n);
	c->io = (struct env_io){ .op = ENV_IO_WRITE,
				 .flags = up->stable ? ENV_IO_DSYNC : 0,
				 .file = c->obj->file,
				 .iov = c->iov,
				 .iov_n = up->iov_n,
				 .offset = up->offset,
				 .done = written,
				 .arg = c };
	env_file_io(c->obj->disk->dev.env, &c->io);
}

/* ---- write --------------------------------------------------------------------------------------------- */

struct walk {
	const struct iovec *iov;
	size_t pos;
};

/* The checksum of the next len bytes, which are also copied if to is given. */
static uint32_t walk(struct walk *w, uint64_t len, uint8_t *to)
{
	uint32_t crc = 0;

	while (len) {
		size_t n = MIN(len, w->iov->iov_len - w->pos);
		const uint8_t *from = (const uint8_t *)w->iov->iov_base + w->pos;

		crc = crc32c(crc, from, n);
		if (to) {
			memcpy(to, from, n);
			to += n;
		}
		len -= n;
		w->pos += n;
		if (w->pos == w->iov->iov_len) {
			w->iov++;
			w->pos = 0;
		}
	}
	return crc;
}

/* What is delivered matches what was computed in the client's memory; whole blocks' checksums are kept as they are. */
static int verify_payload(struct change *c)
{
	struct osd_io *up = c->up;
	struct walk w = { up->iov, 0 };
	unsigned i = 0;

	for (uint64_t at = c->begin; at < c->end; i++) {
		uint64_t n = MIN(c->end, round_down_pow2(at, BLOCK) + BLOCK) - at;

		if (walk(&w, n, NULL) != up->crcs[i])
			return -WEFT_EBADCRC;
		c->crcs[i] = up->crcs[i];
		at += n;
	}
	return 0;
}

/* With the old blocks at hand: checksums of the partial ones as they will be. */
static void merge_edges(struct change *c)
{
	struct osd_io *up = c->up;

	for (unsigned e = 0; e < c->edges; e++) {
		uint64_t block = c->edge_at[e], from = MAX(block, c->begin), to = MIN(block + BLOCK, c->end),
			 skip = from - c->begin;
		struct walk w = { up->iov, 0 };

		while (skip >= w.iov->iov_len) {
			skip -= w.iov->iov_len;
			w.iov++;
		}
		w.pos = skip;
		(void)walk(&w, to - from, c->edge_block[e] + (from - block));
		c->crcs[block / BLOCK - c->begin / BLOCK] = crc32c(0, c->edge_block[e], BLOCK);
	}
}

void disk_write(struct dobj *o, struct osd_io *io)
{
	struct change *c = change_new(o, io);
	int r;

	c->begin = io->offset;
	c->end = io->offset + io->length;
	if (!io->length || c->end < c->begin || c->end > INT64_MAX) {
		change_end(c, io->length ? -EFBIG : 0);
		return;
	}
	c->crcs = malloc(block_count(c->begin, c->end) * sizeof(*c->crcs));
	r = c->crcs ? verify_payload(c) : -ENOMEM;
	if (!r) {
		r = dobj_open(o, false);
		r = r == -ENOENT ? 0 : r;
	}
	if (r < 0) {
		change_end(c, r);
		return;
	}
	c->old_size = o->size;
	find_edges(c);
	read_edge(c);
}

/* ---- allocate, punch, zero ----------------------------------------------------------------------------- */

static bool zeroes(const struct osd_io *io)
{
	return io->mode == WP_ALLOC_MODE_PUNCH || io->mode == WP_ALLOC_MODE_ZERO || io->mode == WP_ALLOC_MODE_ZERO_KEEP;
}

static void zero_edges(struct change *c)
{
	struct dobj *o = c->obj;

	for (unsigned e = 0; e < c->edges; e++) {
		uint64_t block = c->edge_at[e], from = MAX(block, c->begin), to = MIN(block + BLOCK, c->end);
		uint32_t crc;

		memset(c->edge_block[e] + (from - block), 0, to - from);
		crc = crc32c(0, c->edge_block[e], BLOCK);
		crc_store(o->disk, o->key, block / BLOCK, 1, &crc);
	}
}

/* Whole blocks of the range that had checksums get those of zeros. */
static void zero_whole(struct change *c)
{
	struct dobj *o = c->obj;
	uint64_t first = (c->begin + BLOCK - 1) / BLOCK, end = c->end / BLOCK, had = (c->old_size + BLOCK - 1) / BLOCK;
	uint32_t zeros[CHUNK_BLOCKS];

	for (unsigned i = 0; i < CHUNK_BLOCKS; i++)
		zeros[i] = zero_block_crc();
	if (end >= had) {
		if (first < had)
			crc_cut(o->disk, o->key, first, c->old_size);
		return;
	}
	for (uint64_t b = first; b < end; b += MIN(CHUNK_BLOCKS, end - b))
		crc_store(o->disk, o->key, b, MIN(CHUNK_BLOCKS, end - b), zeros);
}

static void allocated(struct env_io *io)
{
	struct change *c = io->arg;
	struct dobj *o = c->obj;
	struct osd_io *up = c->up;

	if (io->result < 0) {
		change_end(c, (int)io->result);
		return;
	}
	if (zeroes(up)) {
		zero_edges(c);
		zero_whole(c);
	}
	if (up->mode == WP_ALLOC_MODE_ALLOCATE || up->mode == WP_ALLOC_MODE_ZERO)
		o->size = MAX(o->size, c->end);
	dobj_touch(o);
	change_end(c, 0);
}

static int falloc_mode(uint8_t mode)
{
	switch (mode) {
	case WP_ALLOC_MODE_KEEP_SIZE:
		return FALLOC_FL_KEEP_SIZE;
	case WP_ALLOC_MODE_PUNCH:
		return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	case WP_ALLOC_MODE_ZERO:
		return FALLOC_FL_ZERO_RANGE;
	case WP_ALLOC_MODE_ZERO_KEEP:
		return FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
	default:
		return 0;
	}
}

static void do_alloc(struct change *c)
{
	c->io = (struct env_io){ .op = ENV_IO_FALLOCATE,
				 .file = c->obj->file,
				 .mode = falloc_mode(c->up->mode),
				 .offset = c->begin,
				 .length = c->end - c->begin,
				 .done = allocated,
				 .arg = c };
	env_file_io(c->obj->disk->dev.env, &c->io);
}

static void start_alloc(struct change *c)
{
	struct dobj *o = c->obj;
	struct osd_io *io = c->up;

	c->begin = io->offset;
	c->end = io->offset + io->length;
	if (!io->length || c->end < c->begin || c->end > INT64_MAX) {
		change_end(c, io->length ? -EFBIG : -EINVAL);
		return;
	}
	if (io->mode == WP_ALLOC_MODE_PUNCH && !o->exists) {
		change_end(c, 0);
		return;
	}
	if (zeroes(io))
		find_edges(c);
	read_edge(c);
}

/* ---- truncate, destroy --------------------------------------------------------------------------------- */

static void do_truncate(struct change *c)
{
	struct dobj *o = c->obj;
	struct osd_io *up = c->up;
	int r = o->disk->dev.env->ops->file_truncate(o->disk->dev.env, o->file, up->length);

	if (r < 0) {
		change_end(c, r);
		return;
	}
	if (up->length < c->old_size) {
		crc_cut(o->disk, o->key, (up->length + BLOCK - 1) / BLOCK, c->old_size);
		if (c->edges) {
			uint32_t crc;

			memset(c->edge_block[0] + up->length % BLOCK, 0, BLOCK - up->length % BLOCK);
			crc = crc32c(0, c->edge_block[0], BLOCK);
			crc_store(o->disk, o->key, up->length / BLOCK, 1, &crc);
		}
	}
	o->size = up->length;
	dobj_touch(o);
	change_end(c, 0);
}

static void start_truncate(struct change *c)
{
	struct dobj *o = c->obj;
	uint64_t size = c->up->length;

	if (size > INT64_MAX || (!o->exists && !size)) {
		change_end(c, size ? -EFBIG : 0);
		return;
	}
	c->begin = MIN(size, c->old_size);
	c->end = c->begin + 1;
	if (size < c->old_size && size % BLOCK)
		c->edge_at[c->edges++] = round_down_pow2(size, BLOCK);
	read_edge(c);
}

static void do_destroy(struct change *c)
{
	struct dobj *o = c->obj;
	struct env *env = o->disk->dev.env;
	cleanup_free char *path = object_path(o->disk, &o->id);
	uint64_t version = o->version;
	int r;

	if (!o->exists) {
		change_end(c, 0);
		return;
	}
	attr_remove(o->disk, o->key, o->size);
	env->ops->file_close(env, o->file);
	o->file = NULL;
	o->exists = o->fresh = false;
	o->size = o->mtime_ns = 0;
	o->version = version; /* another object of this name begins above it */
	r = env->ops->path_unlink(env, path);
	change_end(c, r == -ENOENT ? 0 : r);
}

static void do_data(struct change *c)
{
	switch (c->up->op) {
	case OSD_WRITE:
		merge_edges(c);
		do_write(c);
		break;
	case OSD_ALLOC:
		do_alloc(c);
		break;
	default:
		do_truncate(c);
	}
}

void disk_change(struct dobj *o, struct osd_io *io)
{
	struct change *c = change_new(o, io);
	int r = dobj_open(o, false);

	if (r < 0 && r != -ENOENT) {
		change_end(c, r);
		return;
	}
	c->old_size = o->size;
	if (io->op == OSD_ALLOC)
		start_alloc(c);
	else if (io->op == OSD_TRUNCATE)
		start_truncate(c);
	else
		do_destroy(c);
}

/* ---- sync ---------------------------------------------------------------------------------------------- */

/* Data and dirty list at the same time, then, once for a new object, its folder. */
struct osync {
	struct dobj *obj;
	struct osd_io *up;
	struct env_io io;
	struct env_work work;
	struct dirty_wait wait;
	char *folder;
	unsigned pending;
	int err, folder_err;
};

static void osync_part(struct osync *s, int err)
{
	struct dobj *o = s->obj;
	struct osd_io *up = s->up;

	if (err && !s->err)
		s->err = err;
	if (--s->pending)
		return;
	err = s->err;
	if (!err)
		o->fresh = false;
	free(s->folder);
	free(s);
	dop_finish(o, up, err);
}

static void data_synced(struct env_io *io) { osync_part(io->arg, io->result < 0 ? (int)io->result : 0); }
static void list_synced(void *arg, int err) { osync_part(arg, err); }

/* On a helper thread: the folder, and those that may have been made with it. */
static void sync_folders(void *arg)
{
	struct osync *s = arg;
	struct env *env = s->obj->disk->dev.env;

	for (unsigned level = 0; level < 3 && !s->folder_err; level++) {
		*strrchr(s->folder, '/') = '\0';
		s->folder_err = env->ops->dir_sync(env, s->folder);
	}
}

static void folders_synced(void *arg)
{
	struct osync *s = arg;

	osync_part(s, s->folder_err);
}

void disk_osync(struct dobj *o, struct osd_io *io)
{
	struct osync *s;
	int r = dobj_open(o, false);

	if (r < 0) {
		dop_finish(o, io, r == -ENOENT ? 0 : r);
		return;
	}
	s = NEW(struct osync);
	s->obj = o;
	s->up = io;
	s->pending = 1;
	s->io = (struct env_io){ .op = ENV_IO_FDATASYNC, .file = o->file, .done = data_synced, .arg = s };
	s->wait = (struct dirty_wait){ .done = list_synced, .arg = s };
	s->pending++;
	env_file_io(o->disk->dev.env, &s->io);
	if (o->fresh) {
		s->pending++;
		s->folder = object_path(o->disk, &o->id);
		s->work = (struct env_work){ .run = sync_folders, .done = folders_synced, .arg = s };
		env_work(o->disk->dev.env, &s->work);
	}
	if (dirty_sync(o->disk->dirty, &s->wait))
		osync_part(s, 0);
}
