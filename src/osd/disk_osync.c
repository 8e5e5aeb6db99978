/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Making an object durable: first the dirty list's records of it (else a power loss between the two would leave new data under old
 * checksums), then its data, then, once, its name.
 */
#include "base/log.h"
#include "osd/disk_priv.h"

/* ---- names ----------------------------------------------------------------- */

struct naming {
	struct dop *op;
	struct env *env;
	char *folders[3];
	unsigned n;
	int err;
	struct env_work work;
};

/* On a helper thread. */
static void sync_folders(void *arg)
{
	struct naming *s = arg;

	for (unsigned i = 0; i < s->n && !s->err; i++)
		s->err = s->env->ops->dir_sync(s->env, s->folders[i]);
}

static void folders_synced(void *arg)
{
	struct naming *s = arg;
	struct dop *op = s->op;
	void (*next)(struct dop * op) = op->next;
	int err = s->err;

	for (unsigned i = 0; i < s->n; i++)
		free(s->folders[i]);
	free(s);
	if (err < 0) {
		dop_end(op, err);
		return;
	}
	op->obj->name_durable = true;
	op->obj->disk->folder_synced[dobj_folder(&op->obj->id)] = true;
	next(op);
}

void dop_name(struct dop *op, void (*next)(struct dop *op))
{
	struct disk *d = op->obj->disk;
	unsigned f = dobj_folder(&op->obj->id);
	struct naming *s;

	if (op->obj->name_durable) {
		next(op);
		return;
	}
	op->next = next;
	s = NEW(struct naming);
	s->op = op;
	s->env = d->dev.env;
	s->folders[s->n++] = xasprintf("%s/objects/%02x/%02x", d->path, f / FOLDERS, f % FOLDERS);
	if (!d->folder_synced[f]) {
		s->folders[s->n++] = xasprintf("%s/objects/%02x", d->path, f / FOLDERS);
		s->folders[s->n++] = xasprintf("%s/objects", d->path);
	}
	s->work = (struct env_work){ .run = sync_folders, .done = folders_synced, .arg = s };
	env_work(d->dev.env, &s->work);
}

/* ---- sync ----------------------------------------------------------------- */

static void sync_end(struct dop *op) { dop_end(op, 0); }

static void data_synced(struct env_io *io);

static void sync_file(struct dop *op, struct env_file *f)
{
	op->io = (struct env_io){ .op = ENV_IO_FDATASYNC, .file = f, .done = data_synced, .arg = op };
	env_file_io(op->obj->disk->dev.env, &op->io);
}

/* The first file behind op->at that there may be something of. */
static struct dseg *next_dirty(struct dop *op)
{
	struct dsegs *s = &op->obj->segs;

	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].n > op->at && s->v[i].dirty)
			return &s->v[i];
	return NULL;
}

/* False: all are synced. */
static bool sync_next(struct dop *op)
{
	struct dseg *s = next_dirty(op);
	struct env_file *f;
	int r;

	if (!s)
		return false;
	op->at = s->n;
	r = dobj_seg(op->obj, s->n, false, &f);
	if (r < 0)
		dop_end(op, r);
	else
		sync_file(op, f);
	return true;
}

static void data_synced(struct env_io *io)
{
	struct dop *op = io->arg;
	struct dobj *o = op->obj;

	if (io->result < 0) {
		log_err("osd", "object %llx-%x-%x-%x-%x: syncing: %s", (unsigned long long)o->id.fid.seq, o->id.fid.oid,
			o->id.fid.ver, o->id.component, o->id.stripe, strerror((int)-io->result));
		disk_lost(o->disk); /* the kernel reports it once and forgets the pages */
		dop_end(op, (int)io->result);
		return;
	}
	if (sync_next(op))
		return;
	if (o->attr.version == op->version) {
		o->data_dirty = false;
		for (size_t i = 0; i < o->segs.n; i++)
			o->segs.v[i].dirty = false;
	}
	dop_name(op, sync_end);
}

static void sync_data(void *arg, int err)
{
	struct dop *op = arg;
	struct dobj *o = op->obj;

	if (!err)
		err = dobj_open(o, false);
	if (err < 0) {
		dop_end(op, err == -ENOENT ? 0 : err);
		return;
	}
	op->version = o->attr.version;
	sync_file(op, o->file);
}

void dop_sync(struct dop *op)
{
	struct dobj *o = op->obj;

	if (!o->exists || (!o->data_dirty && o->name_durable)) {
		dop_end(op, 0);
		return;
	}
	op->wait = (struct dirty_wait){ .done = sync_data, .arg = op };
	if (dirty_sync(o->disk->dirty, &o->marks, &op->wait))
		sync_data(op, 0);
}
