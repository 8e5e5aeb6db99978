/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Objects of the fault engine. Over mem, an object with unsynced changes has a twin here: its durable image and the list of
 * changes since. A sync takes an image when it is submitted, which becomes the durable one when the sync completes.
 */
#include "osd/fault_priv.h"

#include "osd/backends.h"
#include "osd/memobj.h"
#include "osd/objkey.h"

#define SECTOR 512u

struct change {
	struct list node;
	uint64_t pos;
	enum osd_io_op op;
	uint8_t mode;
	uint64_t offset, length;
	uint8_t data[];
};

struct fobj {
	struct htab_node node;
	struct wp_objid id;
	struct memobj *durable; /* NULL: does not exist */
	uint64_t durable_pos;
	struct list changes;
};

struct image {
	struct list node;
	struct wp_objid id;
	struct memobj *o;
	uint64_t pos;
};

struct fault_images {
	struct list all;
};

struct fop {
	struct list node;
	struct fault *fault; /* NULL: the power was cut */
	struct osd_io io, *up;
	struct env_timer timer;
	struct fault_images *images;
};

/* ---- unsynced objects ----------------------------------------------------------------- */

static uint64_t id_hash(const struct wp_objid *id)
{
	uint8_t key[OBJKEY_SIZE];

	objkey_encode(key, id);
	return hash_bytes(key, sizeof(key), 0);
}

static struct fobj *fobj_find(struct fault *f, const struct wp_objid *id)
{
	struct htab_node *n;

	htab_each_match (n, &f->objs, id_hash(id))
		if (objid_eq(&container_of(n, struct fobj, node)->id, id))
			return container_of(n, struct fobj, node);
	return NULL;
}

static struct fobj *fobj_get(struct fault *f, const struct wp_objid *id)
{
	struct fobj *o = fobj_find(f, id);

	if (o)
		return o;
	o = NEW(struct fobj);
	o->id = *id;
	o->durable = osd_mem_image(f->below, id);
	o->durable_pos = f->pos;
	list_init(&o->changes);
	htab_add(&f->objs, &o->node, id_hash(id));
	return o;
}

static void forget_changes(struct fobj *o, uint64_t upto)
{
	struct change *c, *tmp;

	list_each_safe (c, tmp, &o->changes, node)
		if (c->pos <= upto) {
			list_del(&c->node);
			free(c);
		}
}

static void fobj_free(struct fault *f, struct fobj *o)
{
	forget_changes(o, UINT64_MAX);
	memobj_free(o->durable);
	htab_del(&f->objs, &o->node);
	free(o);
}

static void settle(struct fault *f, struct image *im)
{
	struct fobj *o = fobj_find(f, &im->id);

	if (!o || im->pos <= o->durable_pos)
		return; /* a later sync was faster */
	memobj_free(o->durable);
	o->durable = im->o;
	im->o = NULL;
	o->durable_pos = im->pos;
	forget_changes(o, im->pos);
	if (list_empty(&o->changes))
		fobj_free(f, o);
}

static void add_image(struct fault *f, struct fault_images *images, const struct wp_objid *id)
{
	struct image *im = NEW(struct image);

	*im = (struct image){ .id = *id, .o = osd_mem_image(f->below, id), .pos = f->pos };
	list_append(&images->all, &im->node);
}

static struct fault_images *images_new(void)
{
	struct fault_images *images = NEW(struct fault_images);

	list_init(&images->all);
	return images;
}

void fault_images_free(struct fault_images *images)
{
	struct image *im;

	if (!images)
		return;
	while ((im = list_pop(&images->all, struct image, node))) {
		memobj_free(im->o);
		free(im);
	}
	free(images);
}

struct collect {
	struct fault *fault;
	struct fault_images *images;
};

static bool collect(struct htab_node *n, void *arg)
{
	struct collect *c = arg;

	add_image(c->fault, c->images, &container_of(n, struct fobj, node)->id);
	return true;
}

struct fault_images *fault_obj_images(struct fault *f)
{
	struct collect c = { f, images_new() };

	htab_each(&f->objs, collect, &c);
	return c.images;
}

void fault_obj_settle(struct fault *f, struct fault_images *images)
{
	struct image *im;

	list_each (im, &images->all, node)
		settle(f, im);
}

static bool drop(struct htab_node *n, void *arg)
{
	fobj_free(arg, container_of(n, struct fobj, node));
	return true;
}

void fault_obj_settle_all(struct fault *f) { htab_each(&f->objs, drop, f); }

/* ---- the power cut ----------------------------------------------------------------- */

/* What happens to a change that was not synced. Writes reach the medium in any order and in part; the file system keeps the order of
 * the rest. */
static uint64_t surviving_bytes(struct fault *f, const struct change *c)
{
	switch (fault_random(f, 10)) {
	case 0:
		return 0;
	case 1:
		return MIN(c->length, fault_random(f, c->length / SECTOR + 1) * SECTOR);
	default:
		return c->length;
	}
}

static int redo(struct fault *f, struct memobj **o, const struct change *c)
{
	bool keep = c->mode != WP_ALLOC_MODE_PUNCH,
	     extends = c->mode == WP_ALLOC_MODE_ALLOCATE || c->mode == WP_ALLOC_MODE_ZERO;
	bool zeroes = c->mode != WP_ALLOC_MODE_ALLOCATE && c->mode != WP_ALLOC_MODE_KEEP_SIZE;
	struct iovec iov = { (void *)(uintptr_t)c->data, surviving_bytes(f, c) };
	int r = 0;

	if (c->op == OSD_DESTROY) {
		memobj_free(*o);
		*o = NULL;
		return 0;
	}
	/* Of nothing, these make nothing. */
	if (!*o && ((c->op == OSD_ALLOC && c->mode == WP_ALLOC_MODE_PUNCH) || (c->op == OSD_TRUNCATE && !c->length)))
		return 0;
	if (!*o)
		*o = memobj_new();
	if (c->op == OSD_WRITE)
		return iov.iov_len ? memobj_write(*o, c->offset, &iov, 1, NULL) : 0;
	if (c->op == OSD_TRUNCATE)
		return memobj_truncate(*o, c->length);
	if (zeroes)
		r = memobj_zero(*o, c->offset, c->length, keep);
	if (!r && keep)
		r = memobj_allocate(*o, c->offset, c->length);
	if (extends)
		(*o)->size = MAX((*o)->size, c->offset + c->length);
	return r;
}

static bool cut_one(struct htab_node *n, void *arg)
{
	struct fobj *o = container_of(n, struct fobj, node);
	struct fault *f = arg;
	uint64_t upto, mtime = o->durable ? o->durable->mtime_ns : 0;
	struct change *c;

	/* Everything, nothing, or a part of the changes. */
	upto = fault_random(f, 4) == 0 ? f->pos : o->durable_pos + fault_random(f, f->pos - o->durable_pos + 1);
	list_each (c, &o->changes, node)
		if (c->pos <= upto && redo(f, &o->durable, c) < 0)
			break;
	if (o->durable)
		o->durable->mtime_ns = MAX(mtime, env_wall_ns(f->dev.env));
	osd_mem_restore(f->below, &o->id, o->durable);
	o->durable = NULL;
	fobj_free(f, o);
	return true;
}

void fault_obj_cut_all(struct fault *f) { htab_each(&f->objs, cut_one, f); }

/* ---- operations ----------------------------------------------------------------- */

static bool is_change(const struct osd_io *io)
{
	return io->op == OSD_WRITE || io->op == OSD_TRUNCATE || io->op == OSD_ALLOC || io->op == OSD_DESTROY;
}

static struct change *change_new(struct fault *f, const struct osd_io *io)
{
	size_t len = io->op == OSD_WRITE ? io->length : 0;
	struct change *c = xmalloc(sizeof(*c) + len);
	uint8_t *to = c->data;

	*c = (struct change){ .pos = ++f->pos, .op = io->op, .mode = io->mode, .offset = io->offset, .length = io->length };
	for (int i = 0; len && i < io->iov_n; to += io->iov[i].iov_len, i++)
		memcpy(to, io->iov[i].iov_base, io->iov[i].iov_len);
	return c;
}

static void finish(void *arg)
{
	struct fop *op = arg;
	struct osd_io *up = op->up;

	list_del(&op->node);
	if (op->images && !op->io.err)
		fault_obj_settle(op->fault, op->images);
	fault_images_free(op->images);
	up->err = op->io.err;
	up->bytes = op->io.bytes;
	up->offset = op->io.offset;
	up->stat = op->io.stat;
	free(op);
	up->done(up);
}

static void below_done(struct osd_io *io)
{
	struct fop *op = io->arg;
	uint64_t delay;

	if (!op->fault) {
		fault_images_free(op->images);
		free(op);
		return;
	}
	delay = fault_delay_ns(op->fault);
	op->timer = (struct env_timer){ .fn = finish, .arg = op };
	if (delay)
		env_timer_in(op->fault->dev.env, &op->timer, delay);
	else
		finish(op);
}

void fault_ops_forget(struct fault *f)
{
	struct fop *op;

	while ((op = list_pop(&f->ops, struct fop, node))) {
		op->fault = NULL;
		if (env_timer_armed(&op->timer)) {
			env_timer_cancel(f->dev.env, &op->timer);
			below_done(&op->io);
		}
	}
}

void fault_obj_start(struct fault *f, struct osd_io *io)
{
	struct fop *op = NEW(struct fop);
	struct change *c = NULL;
	struct fobj *o = NULL;

	*op = (struct fop){ .fault = f, .up = io, .io = *io };
	op->io.done = below_done;
	op->io.arg = op;
	list_append(&f->ops, &op->node);
	if (f->is_volatile && is_change(io)) {
		o = fobj_get(f, &io->obj);
		c = change_new(f, io);
	}
	osd_io(f->below, &op->io);
	if (!f->is_volatile)
		return;
	/* mem has done it by now and only says so later. */
	if (c && !op->io.err) {
		list_append(&o->changes, &c->node);
	} else if (c) {
		free(c);
		if (list_empty(&o->changes))
			fobj_free(f, o);
	}
	if (io->op == OSD_SYNC || io->op == OSD_DESTROY || (io->op == OSD_WRITE && io->stable)) {
		op->images = images_new();
		add_image(f, op->images, &io->obj);
	}
}
