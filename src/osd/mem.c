/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The engine that keeps everything in memory. Everything is as durable as it gets at once; commit callbacks run in order, those of a
 * journal's transactions when they are stable.
 */
#include <unistd.h>

#include "osd/backends.h"
#include "osd/common.h"
#include "osd/iovwalk.h"
#include "osd/kick.h"
#include "osd/memobj.h"
#include "osd/objkey.h"
#include "osd/omap.h"
#include "proto/status.h"

#define MEM_MAGIC 0x6d656d64u
#define INODE_BYTES 256u /* what an object costs besides its blocks */
#define BLOCK_BYTES (BLOCK + 16)

struct mem {
	struct osd_dev dev;
	uint32_t magic;
	struct omap index, objects; /* objects: name -> pointer */
	uint64_t capacity, data_blocks, verifier, applied, stable, last_seq;
	uint64_t version;    /* the newest of any object: every change gets a higher one */
	struct list commits; /* of struct commit, in order */
	struct kick *commit_kick;
	struct osd_rot rot;
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

/* ---- commits ----------------------------------------------------------------- */

static void run_commits(void *arg)
{
	struct mem *m = arg;
	struct list done;
	struct commit *c;
	uint64_t applied = m->applied;

	OBJ_CHECK(m, MEM_MAGIC);
	list_init(&done);
	while (!list_empty(&m->commits)) {
		c = list_first(&m->commits, struct commit, node);
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

/* After all that was submitted with a seq <= this one. */
static void add_commit(struct mem *m, uint64_t seq, osd_commit_fn *fn, void *arg)
{
	struct commit *last = list_empty(&m->commits) ? NULL : list_last(&m->commits, struct commit, node), *c;

	if (!fn && last && !last->fn && last->seq <= seq) { /* nobody to tell: one note for all */
		last->seq = seq;
		return;
	}
	if (!fn && !last && seq <= m->applied)
		return;
	c = NEW(struct commit);
	*c = (struct commit){ .fn = fn, .arg = arg, .seq = seq };
	list_append(&m->commits, &c->node);
	if (list_first(&m->commits, struct commit, node)->seq <= m->stable)
		kick(m->commit_kick);
}

/* Everything stable is durable already: behind those that may go now, before those that wait for a journal. */
static void mem_sync(struct osd_dev *dev, osd_commit_fn *fn, void *arg)
{
	struct mem *m = mem_of(dev);
	struct commit *c = NEW(struct commit), *p;

	*c = (struct commit){ .fn = fn, .arg = arg };
	list_each (p, &m->commits, node)
		if (p->seq > m->stable)
			break;
	list_insert(&c->node, p->node.prev, &p->node);
	kick(m->commit_kick);
}

static void mem_stable(struct osd_dev *dev, uint64_t seq)
{
	struct mem *m = mem_of(dev);

	m->stable = MAX(m->stable, seq);
	if (!list_empty(&m->commits))
		kick(m->commit_kick);
}

static uint64_t mem_applied(struct osd_dev *dev) { return mem_of(dev)->applied; }

static void mem_on_applied(struct osd_dev *dev, env_fn *fn, void *arg)
{
	struct mem *m = mem_of(dev);

	m->applied_fn = fn;
	m->applied_arg = arg;
}

/* ---- device ----------------------------------------------------------------- */

static uint64_t default_capacity(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / 2 : GIB(1);
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
	m->version = env_wall_ns(params->env);
	m->commit_kick = kick_new(params->env, run_commits, m);
	*ret = &m->dev;
	return 0;
}

static struct memobj *obj_of_entry(const struct omap_entry *e)
{
	struct memobj *o;

	memcpy(&o, omap_value(e), sizeof(o));
	return o;
}

static void mem_close(struct osd_dev *dev)
{
	struct mem *m = mem_of(dev);
	struct omap_pos pos;
	struct commit *c;

	run_commits(m);
	kick_free(m->commit_kick);
	for (const struct omap_entry *e = omap_first(&m->objects, &pos); e; e = omap_next(&pos))
		memobj_free(obj_of_entry(e));
	while ((c = list_pop(&m->commits, struct commit, node)))
		free(c);
	omap_done(&m->index);
	omap_done(&m->objects);
	OBJ_FINI(m);
	free(m);
}

static uint64_t used_bytes(const struct mem *m)
{
	return m->data_blocks * BLOCK_BYTES + m->index.bytes + m->objects.count * INODE_BYTES;
}

static void mem_statfs(struct osd_dev *dev, struct osd_space *ret)
{
	struct mem *m = mem_of(dev);
	uint64_t used = used_bytes(m);

	ret->total = m->capacity;
	ret->free = ret->index_free = used < m->capacity ? m->capacity - used : 0;
	ret->inodes_free = ret->free / (INODE_BYTES * 2);
	ret->inodes = ret->inodes_free + m->objects.count + m->index.count / 3;
}

static uint64_t mem_verifier(struct osd_dev *dev) { return mem_of(dev)->verifier; }

/* ---- index ----------------------------------------------------------------- */

static bool has_room(const struct mem *m, const struct osd_txn *t)
{
	struct osd_slice key, value;
	size_t pos = 0;

	if (used_bytes(m) + t->ops.len <= m->capacity)
		return true;
	while (osd_txn_next(t, &pos, &key, &value))
		if (value.p)
			return false;
	return true; /* deletes are how room is made */
}

static void apply(struct mem *m, const struct osd_txn *t)
{
	struct osd_slice key, value;
	size_t pos = 0;

	while (osd_txn_next(t, &pos, &key, &value)) {
		if (value.p)
			omap_put(&m->index, key.p, key.len, value.p, value.len);
		else
			omap_del(&m->index, key.p, key.len);
	}
}

static int mem_txn_submit(struct osd_dev *dev, struct osd_txn *t, uint64_t seq, osd_commit_fn *fn, void *arg)
{
	struct mem *m = mem_of(dev);

	weft_assert(seq == OSD_SEQ_NONE || seq >= m->last_seq);
	if (!has_room(m, t))
		return -ENOSPC;
	apply(m, t);
	osd_txn_done(t);
	m->last_seq = MAX(m->last_seq, seq);
	add_commit(m, seq, fn, arg);
	return 0;
}

static int mem_get(struct osd_dev *dev, struct osd_slice key, struct osd_slice *value)
{
	const struct omap_entry *e = omap_find(&mem_of(dev)->index, key.p, key.len);

	if (!e)
		return -ENOENT;
	*value = osd_slice(omap_value(e), e->value_len);
	return 0;
}

static int mem_next(struct osd_iter *it, struct osd_slice *key, struct osd_slice *value)
{
	const struct omap_entry *e = omap_seek(&mem_of(it->dev)->index, it->key, it->key_len, !it->inclusive, NULL);

	if (!e)
		return -ENOENT;
	memcpy(it->key, e->bytes, e->key_len);
	it->key_len = e->key_len;
	it->inclusive = false;
	*key = osd_slice(e->bytes, e->key_len);
	*value = osd_slice(omap_value(e), e->value_len);
	return 0;
}

/* A copy, made when the call comes and handed out when all of it is stable: the helper thread must not see the index change. */
struct snapshot {
	struct env *env;
	struct osd_txn copy;
	struct env_work work;
	int (*fn)(void *arg, struct osd_slice key, struct osd_slice value);
	osd_commit_fn *done;
	void *arg;
	int err;
};

static void snapshot_walk(void *arg)
{
	struct snapshot *s = arg;
	struct osd_slice key, value;
	size_t pos = 0;

	while (!s->err && osd_txn_next(&s->copy, &pos, &key, &value))
		s->err = s->fn(s->arg, key, value);
}

static void snapshot_done(void *arg)
{
	struct snapshot *s = arg;

	s->done(s->arg, s->err);
	osd_txn_done(&s->copy);
	free(s);
}

static void snapshot_stable(void *arg, int err)
{
	struct snapshot *s = arg;

	s->err = err;
	s->work = (struct env_work){ .run = snapshot_walk, .done = snapshot_done, .arg = s };
	env_work(s->env, &s->work);
}

static void mem_checkpoint(struct osd_dev *dev, int (*fn)(void *arg, struct osd_slice key, struct osd_slice value),
			   osd_commit_fn *done, void *arg)
{
	struct mem *m = mem_of(dev);
	struct snapshot *s = NEW(struct snapshot);
	struct omap_pos pos;

	*s = (struct snapshot){ .env = dev->env, .fn = fn, .done = done, .arg = arg };
	osd_txn_init(&s->copy);
	for (const struct omap_entry *e = omap_first(&m->index, &pos); e; e = omap_next(&pos))
		osd_txn_put(&s->copy, osd_slice(e->bytes, e->key_len), osd_slice(omap_value(e), e->value_len));
	add_commit(m, m->last_seq, snapshot_stable, s);
}

/* ---- objects ----------------------------------------------------------------- */

static struct memobj *obj_find(struct mem *m, const struct wp_objid *id)
{
	uint8_t key[OBJKEY_SIZE];
	const struct omap_entry *e;

	objkey_encode(key, id);
	e = omap_find(&m->objects, key, sizeof(key));
	return e ? obj_of_entry(e) : NULL;
}

static void obj_add(struct mem *m, const struct wp_objid *id, struct memobj *o)
{
	uint8_t key[OBJKEY_SIZE];

	objkey_encode(key, id);
	omap_put(&m->objects, key, sizeof(key), &o, sizeof(o));
	m->data_blocks += o->blocks;
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
	uint64_t used = used_bytes(m) + INODE_BYTES, blocks;

	if (length > m->capacity)
		return -ENOSPC;
	if (used + (length / BLOCK + 2) * BLOCK_BYTES <= m->capacity)
		return 0;
	blocks = o ? memobj_missing(o, offset, length) : blocks_touched(offset, offset + length);
	return blocks && used + blocks * BLOCK_BYTES > m->capacity ? -ENOSPC : 0;
}

static int do_alloc(struct memobj *o, const struct osd_io *io)
{
	bool extends = io->mode == WP_ALLOC_MODE_ALLOCATE || io->mode == WP_ALLOC_MODE_ZERO;
	bool zeroes = io->mode != WP_ALLOC_MODE_ALLOCATE && io->mode != WP_ALLOC_MODE_KEEP_SIZE;
	int r = zeroes ? memobj_zero(o, io->offset, io->length, io->mode != WP_ALLOC_MODE_PUNCH) : 0;

	if (!r && io->mode != WP_ALLOC_MODE_PUNCH)
		r = memobj_allocate(o, io->offset, io->length);
	if (!r && extends)
		o->size = MAX(o->size, io->offset + io->length);
	return r;
}

static int change(const struct osd_io *io, struct memobj *o)
{
	if (io->op == OSD_WRITE)
		return memobj_write(o, io->offset, io->iov, io->iov_n, io->crcs);
	return io->op == OSD_TRUNCATE ? memobj_truncate(o, io->length) : do_alloc(o, io);
}

/* What needs no object, or makes none of nothing. */
static bool is_nothing(const struct osd_io *io, bool exists)
{
	switch (io->op) {
	case OSD_WRITE:
		return !io->length;
	case OSD_TRUNCATE:
		return !exists && !io->length;
	default:
		return !exists && io->mode == WP_ALLOC_MODE_PUNCH;
	}
}

static int execute_change(struct mem *m, struct osd_io *io)
{
	struct memobj *o = obj_find(m, &io->obj), *fresh = NULL;
	uint64_t now, old_blocks;
	int r = osd_io_check(io);

	if (r < 0 || is_nothing(io, o != NULL))
		return r;
	if (io->op != OSD_TRUNCATE && !(io->op == OSD_ALLOC && io->mode == WP_ALLOC_MODE_PUNCH))
		r = check_room(m, o, io->offset, io->length);
	if (r < 0)
		return r;
	if (!o)
		o = fresh = memobj_new();
	old_blocks = o->blocks;
	r = change(io, o);
	if (r < 0 && fresh) {
		memobj_free(fresh);
		return r;
	}
	if (fresh)
		obj_add(m, &io->obj, fresh);
	else
		m->data_blocks += o->blocks - old_blocks;
	if (r < 0)
		return r;
	now = env_wall_ns(m->dev.env);
	o->mtime_ns = MAX(now, o->mtime_ns);
	o->version = ++m->version;
	return 0;
}

static int execute_read(struct mem *m, struct memobj *o, struct osd_io *io)
{
	bool rots = o && m->rot.flips && m->rot.flips(m->rot.arg) && memobj_corrupt(o, io->offset);
	int r;

	if (!o)
		return 0;
	r = memobj_read(o, io->offset, io->length, io->iov, io->iov_n, io->crcs, &io->bytes);
	if (rots)
		(void)memobj_corrupt(o, io->offset); /* what was read was wrong, not what is stored */
	if (r == -WEFT_ECORRUPT)
		osd_log_corrupt(&io->obj, io->offset);
	return r;
}

static int execute(struct mem *m, struct osd_io *io)
{
	struct memobj *o = obj_find(m, &io->obj);

	switch (io->op) {
	case OSD_READ:
		return execute_read(m, o, io);
	case OSD_WRITE:
	case OSD_TRUNCATE:
	case OSD_ALLOC:
		return execute_change(m, io);
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
	return -EINVAL;
}

static void mem_io(struct osd_dev *dev, struct osd_io *io)
{
	struct mem *m = mem_of(dev);
	struct memobj *o;

	io->bytes = 0;
	io->err = execute(m, io);
	o = obj_find(m, &io->obj);
	io->stat = o ? (struct osd_objstat){ o->size, o->blocks * (BLOCK / 512), o->version, o->mtime_ns }
		     : (struct osd_objstat){ 0 };
	osd_io_post(dev->env, io);
}

static int mem_list(struct osd_dev *dev, const struct wp_objid *after, struct wp_objid *ret, unsigned max, unsigned *n)
{
	struct mem *m = mem_of(dev);
	const struct omap_entry *e;
	uint8_t key[OBJKEY_SIZE];
	struct omap_pos pos;

	objkey_encode(key, after);
	e = omap_seek(&m->objects, key, sizeof(key), true, &pos);
	for (*n = 0; e && *n < max; e = omap_next(&pos))
		objkey_decode(&ret[(*n)++], e->bytes);
	return 0;
}

/* ---- for fault ----------------------------------------------------------------- */

void osd_mem_set_rot(struct osd_dev *dev, const struct osd_rot *rot) { mem_of(dev)->rot = *rot; }

struct memobj *osd_mem_image(struct osd_dev *dev, const struct wp_objid *id)
{
	struct memobj *o = obj_find(mem_of(dev), id);

	return o ? memobj_clone(o) : NULL;
}

void osd_mem_restore(struct osd_dev *dev, const struct wp_objid *id, struct memobj *o)
{
	struct mem *m = mem_of(dev);

	obj_destroy(m, id);
	if (!o)
		return;
	o->version = ++m->version;
	obj_add(m, id, o);
}

void osd_mem_apply(struct osd_dev *dev, const struct osd_txn *t) { apply(mem_of(dev), t); }

void osd_mem_restart(struct osd_dev *dev, uint64_t verifier, uint64_t seq)
{
	struct mem *m = mem_of(dev);

	m->verifier = verifier;
	m->applied = m->stable = m->last_seq = seq;
	m->applied_fn = NULL;
	m->rot = (struct osd_rot){ 0 };
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
