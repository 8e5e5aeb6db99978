/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The engine that keeps everything in memory. Everything is as durable as it gets at once; commit callbacks run in order. */
#include <unistd.h>

#include "osd/backends.h"
#include "osd/memobj.h"
#include "osd/objkey.h"
#include "osd/omap.h"
#include "proto/status.h"

#define MEM_MAGIC 0x6d656d64u
#define INODE_BYTES 256 /* what an object costs besides its blocks */

struct mem {
	struct osd_dev dev;
	uint32_t magic;
	struct omap index, objects; /* objects: name -> pointer */
	uint64_t capacity, data_blocks, verifier, applied, stable;
	struct list commits; /* of struct commit, in order */
	struct env_task commit_task;
	bool commit_queued;
	env_fn *applied_fn;
	void *applied_arg;
};

struct commit {
	struct list node;
	osd_commit_fn *fn;
	void *arg;
	uint64_t seq;
};

static struct mem *mem_of(struct osd_dev *dev)
{
	struct mem *m = container_of(dev, struct mem, dev);

	OBJ_CHECK(m, MEM_MAGIC);
	return m;
}

/* ---- device -------------------------------------------------------------------------------------------- */

static uint64_t default_capacity(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / 2 : GIB(1);
}

static void run_commits(void *arg)
{
	struct mem *m = arg;
	struct list done;
	struct commit *c, *tmp;
	uint64_t applied = m->applied;

	OBJ_CHECK(m, MEM_MAGIC);
	m->commit_queued = false;
	list_init(&done);
	list_each_safe (c, tmp, &m->commits, node) {
		if (c->seq > m->stable)
			break;
		list_del(&c->node);
		list_append(&done, &c->node);
		m->applied = MAX(m->applied, c->seq);
	}
	while ((c = list_pop(&done, struct commit, node))) {
		if (c->fn)
			c->fn(c->arg, 0);
		free(c);
	}
	if (m->applied > applied && m->applied_fn)
		m->applied_fn(m->applied_arg);
}

static void queue_commits(struct mem *m)
{
	if (m->commit_queued)
		return;
	m->commit_queued = true;
	env_post(m->dev.env, &m->commit_task);
}

static int mem_format(const struct osd_params *params) { return 0; }

static int mem_open(const struct osd_params *params, struct osd_dev **ret)
{
	struct mem *m = NEW(struct mem);

	OBJ_INIT(m, MEM_MAGIC);
	m->dev = (struct osd_dev){ .ops = &osd_mem_ops, .env = params->env };
	omap_init(&m->index);
	omap_init(&m->objects);
	list_init(&m->commits);
	m->capacity = params->capacity ? params->capacity : default_capacity();
	m->verifier = env_random_u64(params->env) | 1;
	m->commit_task = (struct env_task){ .fn = run_commits, .arg = m };
	*ret = &m->dev;
	return 0;
}

static struct memobj *obj_of_node(const struct omap_node *n)
{
	struct memobj *o;

	memcpy(&o, n->value, sizeof(o));
	return o;
}

static void mem_close(struct osd_dev *dev)
{
	struct mem *m = mem_of(dev);
	struct commit *c;

	for (struct omap_node *n = m->objects.head[0]; n; n = omap_next(n))
		memobj_free(obj_of_node(n));
	while ((c = list_pop(&m->commits, struct commit, node)))
		free(c);
	omap_done(&m->index);
	omap_done(&m->objects);
	weft_assert(!m->commit_queued); /* callers close after their commits */
	OBJ_FINI(m);
	free(m);
}

static uint64_t used_bytes(const struct mem *m)
{
	return m->data_blocks * WP_BLOCK_SIZE + m->index.bytes + m->objects.count * INODE_BYTES;
}

static void mem_statfs(struct osd_dev *dev, struct osd_space *ret)
{
	struct mem *m = mem_of(dev);
	uint64_t used = used_bytes(m);

	ret->total = m->capacity;
	ret->free = used < m->capacity ? m->capacity - used : 0;
	ret->inodes_free = ret->free / (INODE_BYTES * 2);
	ret->inodes = ret->inodes_free + m->objects.count + m->index.count / 3;
}

static uint64_t mem_verifier(struct osd_dev *dev) { return mem_of(dev)->verifier; }

static void mem_sync(struct osd_dev *dev, osd_commit_fn *fn, void *arg)
{
	struct mem *m = mem_of(dev);
	struct commit *c = NEW(struct commit);

	*c = (struct commit){ .fn = fn, .arg = arg };
	/* Behind those that may go now, before those that wait for a journal. */
	struct commit *p;

	list_each (p, &m->commits, node)
		if (p->seq > m->stable)
			break;
	list_insert(&c->node, p->node.prev, &p->node);
	queue_commits(m);
}

/* ---- index --------------------------------------------------------------------------------------------- */

static int mem_txn_submit(struct osd_dev *dev, struct osd_txn *t, uint64_t seq, osd_commit_fn *fn, void *arg)
{
	struct mem *m = mem_of(dev);
	struct osd_slice key, value;
	struct commit *c;
	size_t pos = 0;

	if (used_bytes(m) + t->ops.len > m->capacity) {
		bool grows = false;

		while (osd_txn_next(t, &pos, &key, &value))
			grows |= value.p != NULL;
		if (grows)
			return -ENOSPC;
		pos = 0;
	}
	while (osd_txn_next(t, &pos, &key, &value)) {
		if (value.p)
			omap_put(&m->index, key.p, key.len, value.p, value.len);
		else
			omap_del(&m->index, key.p, key.len);
	}
	osd_txn_done(t);
	c = NEW(struct commit);
	*c = (struct commit){ .fn = fn, .arg = arg, .seq = seq };
	list_append(&m->commits, &c->node);
	queue_commits(m);
	return 0;
}

static void mem_stable(struct osd_dev *dev, uint64_t seq)
{
	struct mem *m = mem_of(dev);

	m->stable = MAX(m->stable, seq);
	if (!list_empty(&m->commits))
		queue_commits(m);
}

static uint64_t mem_applied(struct osd_dev *dev) { return mem_of(dev)->applied; }

static void mem_on_applied(struct osd_dev *dev, env_fn *fn, void *arg)
{
	struct mem *m = mem_of(dev);

	m->applied_fn = fn;
	m->applied_arg = arg;
}

static int mem_get(struct osd_dev *dev, struct osd_slice key, struct osd_slice *value)
{
	struct omap_node *n = omap_find(&mem_of(dev)->index, key.p, key.len);

	if (!n)
		return -ENOENT;
	*value = osd_slice(n->value, n->value_len);
	return 0;
}

static int mem_next(struct osd_iter *it, struct osd_slice *key, struct osd_slice *value)
{
	struct omap_node *n = omap_seek(&mem_of(it->dev)->index, it->key, it->key_len, !it->inclusive);

	if (!n)
		return -ENOENT;
	memcpy(it->key, omap_key(n), n->key_len);
	it->key_len = n->key_len;
	it->inclusive = false;
	*key = osd_slice(omap_key(n), n->key_len);
	*value = osd_slice(n->value, n->value_len);
	return 0;
}

static void mem_checkpoint(struct osd_dev *dev, int (*fn)(void *arg, struct osd_slice key, struct osd_slice value),
			   osd_commit_fn *done, void *arg)
{
	struct mem *m = mem_of(dev);

	for (struct omap_node *n = m->index.head[0]; n; n = omap_next(n))
		if (fn(arg, osd_slice(omap_key(n), n->key_len), osd_slice(n->value, n->value_len)))
			break;
	mem_sync(dev, done, arg);
}

/* ---- objects ------------------------------------------------------------------------------------------- */

static struct memobj *obj_find(struct mem *m, const struct wp_objid *id)
{
	uint8_t key[OBJKEY_SIZE];
	struct omap_node *n;

	objkey_encode(key, id);
	n = omap_find(&m->objects, key, sizeof(key));
	return n ? obj_of_node(n) : NULL;
}

static struct memobj *obj_get(struct mem *m, const struct wp_objid *id)
{
	struct memobj *o = obj_find(m, id);
	uint8_t key[OBJKEY_SIZE];

	if (o)
		return o;
	o = memobj_new();
	objkey_encode(key, id);
	omap_put(&m->objects, key, sizeof(key), &o, sizeof(o));
	return o;
}

static void obj_destroy(struct mem *m, const struct wp_objid *id)
{
	struct memobj *o = obj_find(m, id);
	uint8_t key[OBJKEY_SIZE];

	if (!o)
		return;
	m->data_blocks -= o->blocks;
	memobj_free(o);
	objkey_encode(key, id);
	omap_del(&m->objects, key, sizeof(key));
}

static int check_room(struct mem *m, const struct memobj *o, uint64_t offset, uint64_t length)
{
	uint64_t blocks;

	if (length > m->capacity)
		return -ENOSPC;
	blocks = o ? memobj_missing(o, offset, length) : length / WP_BLOCK_SIZE + 2;
	return used_bytes(m) + blocks * WP_BLOCK_SIZE + INODE_BYTES > m->capacity ? -ENOSPC : 0;
}

static int do_write(struct mem *m, struct osd_io *io)
{
	struct memobj *o = obj_find(m, &io->obj);
	int r = check_room(m, o, io->offset, io->length);

	if (r < 0)
		return r;
	if (!o) {
		/* Verified before the object comes into being. */
		struct memobj *fresh = memobj_new();
		uint8_t key[OBJKEY_SIZE];

		r = memobj_write(fresh, io->offset, io->iov, io->iov_n, io->crcs);
		if (r < 0) {
			memobj_free(fresh);
			return r;
		}
		objkey_encode(key, &io->obj);
		omap_put(&m->objects, key, sizeof(key), &fresh, sizeof(fresh));
		m->data_blocks += fresh->blocks;
		return 0;
	}
	m->data_blocks -= o->blocks;
	r = memobj_write(o, io->offset, io->iov, io->iov_n, io->crcs);
	m->data_blocks += o->blocks;
	return r;
}

static int do_alloc(struct mem *m, struct osd_io *io)
{
	bool extends = io->mode == WP_ALLOC_MODE_ALLOCATE || io->mode == WP_ALLOC_MODE_ZERO;
	bool allocates = extends || io->mode == WP_ALLOC_MODE_KEEP_SIZE || io->mode == WP_ALLOC_MODE_ZERO_KEEP;
	struct memobj *o = obj_find(m, &io->obj);
	int r = allocates ? check_room(m, o, io->offset, io->length) : 0;

	if (r < 0 || (!o && !allocates))
		return r;
	o = obj_get(m, &io->obj);
	m->data_blocks -= o->blocks;
	if (io->mode == WP_ALLOC_MODE_PUNCH)
		memobj_zero(o, io->offset, io->length, false);
	else if (io->mode == WP_ALLOC_MODE_ZERO || io->mode == WP_ALLOC_MODE_ZERO_KEEP)
		memobj_zero(o, io->offset, io->length, true);
	if (allocates)
		memobj_allocate(o, io->offset, io->length);
	if (extends)
		o->size = MAX(o->size, io->offset + io->length);
	m->data_blocks += o->blocks;
	return 0;
}

static void do_truncate(struct mem *m, struct osd_io *io)
{
	struct memobj *o = obj_get(m, &io->obj);

	m->data_blocks -= o->blocks;
	memobj_truncate(o, io->length);
	m->data_blocks += o->blocks;
}

static void touch(struct mem *m, const struct wp_objid *id)
{
	struct memobj *o = obj_find(m, id);
	uint64_t now = env_wall_ns(m->dev.env);

	if (!o)
		return;
	o->mtime_ns = MAX(now, o->mtime_ns);
	o->version = MAX(now, o->version + 1); /* grows also across incarnations of an object */
}

static int execute(struct mem *m, struct osd_io *io)
{
	struct memobj *o = obj_find(m, &io->obj);
	int r = 0;

	switch (io->op) {
	case OSD_READ:
		return o ? memobj_read(o, io->offset, io->length, io->iov, io->iov_n, io->crcs, &io->bytes) : 0;
	case OSD_WRITE:
		r = do_write(m, io);
		break;
	case OSD_TRUNCATE:
		if (!o && !io->length)
			return 0;
		do_truncate(m, io);
		break;
	case OSD_ALLOC:
		r = do_alloc(m, io);
		break;
	case OSD_SEEK:
		return o ? memobj_seek(o, io->offset, io->hole, &io->offset) : -ENXIO;
	case OSD_STAT:
		return o ? 0 : -ENOENT;
	case OSD_SYNC:
		return 0;
	case OSD_DESTROY:
		obj_destroy(m, &io->obj);
		return 0;
	}
	if (!r)
		touch(m, &io->obj);
	return r;
}

static void io_done(void *arg)
{
	struct osd_io *io = arg;

	io->done(io);
}

static void mem_io(struct osd_dev *dev, struct osd_io *io)
{
	struct mem *m = mem_of(dev);
	struct env_task *task = (struct env_task *)io->priv;
	struct memobj *o;

	_Static_assert(sizeof(struct env_task) <= sizeof(io->priv), "the completion task lives in the operation");
	io->bytes = 0;
	io->err = execute(m, io);
	o = obj_find(m, &io->obj);
	io->stat = o ? (struct osd_objstat){ o->size, o->blocks * (WP_BLOCK_SIZE / 512), o->version, o->mtime_ns }
		     : (struct osd_objstat){ 0 };
	*task = (struct env_task){ .fn = io_done, .arg = io };
	env_post(dev->env, task);
}

static int mem_list(struct osd_dev *dev, const struct wp_objid *after, struct wp_objid *ret, unsigned max, unsigned *n)
{
	struct mem *m = mem_of(dev);
	uint8_t key[OBJKEY_SIZE];
	struct omap_node *node;

	objkey_encode(key, after);
	node = omap_seek(&m->objects, key, sizeof(key), true);
	for (*n = 0; node && *n < max; node = omap_next(node))
		objkey_decode(&ret[(*n)++], omap_key(node));
	return 0;
}

const struct osd_ops osd_mem_ops = {
	.name = "mem",
	.format = mem_format,
	.open = mem_open,
	.close = mem_close,
	.statfs = mem_statfs,
	.verifier = mem_verifier,
	.sync = mem_sync,
	.txn_submit = mem_txn_submit,
	.stable = mem_stable,
	.applied = mem_applied,
	.on_applied = mem_on_applied,
	.get = mem_get,
	.next = mem_next,
	.checkpoint = mem_checkpoint,
	.io = mem_io,
	.list = mem_list,
};
