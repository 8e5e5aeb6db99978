/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Making written data durable. Metadata is durable when its request is answered; data is when its object's target says so, under the
 * verifier that the writes were acknowledged with. Another verifier means that the target restarted in between and may have
 * forgotten them: EIO, once.
 *
 * fsync is about the file, not about who wrote: objects that others have written, before the file was opened here or as later
 * answers showed, are synced as well. Not known here, and left to its writer's fsync, is what another mount writes while both have the
 * file open and this one does not look.
 */
#include "client/client_priv.h"

/* ---- one file ---------------------------------------------------------------------------------------------------- */

struct sync_obj {
	uint32_t component, stripe;
};

struct sync_list {
	uint32_t n, next;
	struct sync_obj objs[];
};

/* The objects of the file to be synced. */
static struct sync_list *sync_collect(struct client_op *op)
{
	struct client_inode *in = op->file->inode;
	const struct grant *g = op->grant;
	struct sync_list *l = xmalloc(sizeof(*l) + g->objs_n * sizeof(l->objs[0]));
	uint32_t i, s, index = 0;
	bool known;

	l->n = l->next = 0;
	pthread_mutex_lock(&in->lock);
	op->unknown_seq = in->unknown_seq;
	known = in->objs_n == g->objs_n;
	for (i = 0; i < g->layout.components_n; i++) {
		bool all = g->layout.components[i].start < in->unknown_end;

		for (s = 0; s < g->layout.components[i].targets_n; s++, index++) {
			if (all || (known && (in->objs[index].dirty || in->objs[index].foreign)))
				l->objs[l->n++] = (struct sync_obj){ i, s };
		}
	}
	pthread_mutex_unlock(&in->lock);
	return l;
}

static void sync_pump(struct client_op *op)
{
	struct client_inode *in = op->file->inode;
	struct sync_list *l = op->priv;
	struct io *io;

	while (cl_op_ios_room(op) && l->next < l->n) {
		io = cl_io_new(op, WP_OP_OBJ_SYNC, l->objs[l->next].component, l->objs[l->next].stripe);
		l->next++;
		pthread_mutex_lock(&in->lock);
		io->seq = cl_inode_obj(in, op->grant, io->obj_index)->seq;
		pthread_mutex_unlock(&in->lock);
		cl_io_go(io);
	}
}

static void sync_io_done(struct client_op *op, struct io *io)
{
	struct client_inode *in = op->file->inode;
	struct obj_state *o;

	pthread_mutex_lock(&in->lock);
	o = cl_inode_obj(in, op->grant, io->obj_index);
	if (o->dirty && (io->err || o->verifier != io->verifier)) {
		in->lost = -EIO;
		cl_inode_mark_clean(in, o);
	} else if (o->dirty && o->seq == io->seq) {
		cl_inode_mark_clean(in, o);
	}
	if (!io->err && o->seq == io->seq)
		o->foreign = false;
	pthread_mutex_unlock(&in->lock);
	cl_io_free(io);
}

static void sync_done(struct client_op *op)
{
	struct client_inode *in = op->file->inode;
	int err = op->io_err;

	pthread_mutex_lock(&in->lock);
	if (!err) {
		err = in->lost;
		in->lost = 0;
	}
	if (!err && op->unknown_seq == in->unknown_seq)
		in->unknown_end = 0;
	pthread_mutex_unlock(&in->lock);
	cl_op_finish(op, err == -WEFT_ENOSESSION ? -EIO : err);
}

struct client_op *client_fsync(struct client *c, struct client_file *f, bool datasync, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	OBJ_CHECK(f, FILE_MAGIC);
	op->flags |= OP_INTERNAL; /* what was written may be synced until the end */
	cl_op_set_file(op, f);
	op->grant = cl_file_grant(f);
	if (!op->grant) {
		cl_op_finish(op, 0);
		return op;
	}
	op->priv = sync_collect(op);
	cl_op_ios(op, sync_pump, sync_io_done, sync_done);
	return op;
}

/* ---- everything -------------------------------------------------------------------------------------------------- */

struct sync_all {
	uint32_t osts_n, mdts_n, next;
	uint32_t *osts, *mdts;
};

static void all_pump(struct client_op *op)
{
	struct sync_all *s = op->priv;
	struct io *io;

	while (cl_op_ios_room(op) && s->next < s->osts_n) {
		io = cl_io_new_target(op, WP_OP_TARGET_SYNC, s->osts[s->next++]);
		io->ost = cl_ost_get(op->c, io->target);
		io->seq = io->ost ? io->ost->seq : 0;
		cl_io_go(io);
	}
}

static void all_io_done(struct client_op *op, struct io *io)
{
	struct ost *o = io->ost;

	if (o->dirty && (o->lost || o->verifier != io->verifier)) {
		op->lost = true;
		o->dirty = o->lost = false;
	} else if (o->seq == io->seq) {
		o->dirty = false;
	}
	cl_io_free(io);
}

static void all_meta_next(struct client_op *op, int err)
{
	struct sync_all *s = op->priv;

	if (err) {
		cl_op_finish(op, err);
	} else if (s->next == s->mdts_n) {
		cl_op_finish(op, op->lost ? -EIO : 0);
	} else {
		op->req.meta_sync = (struct wp_meta_sync_req){ 0 };
		cl_op_meta(op, &cl_req_meta_sync, s->mdts[s->next++], all_meta_next);
	}
}

static void all_data_done(struct client_op *op)
{
	struct sync_all *s = op->priv;

	s->next = 0;
	all_meta_next(op, op->io_err);
}

struct client_op *client_sync_all(struct client *c, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);
	struct client_mount *m = c->m;
	struct sync_all *s;
	struct session *ses;
	uint32_t n = 0;

	pthread_mutex_lock(&m->lock);
	list_each(ses, &m->sessions, link)
		n++;
	s = xcalloc(1, sizeof(*s) + (n + m->osts_used_n) * sizeof(uint32_t));
	s->osts = (uint32_t *)(s + 1);
	s->mdts = s->osts + m->osts_used_n;
	for (; s->osts_n < m->osts_used_n; s->osts_n++)
		s->osts[s->osts_n] = m->osts_used[s->osts_n];
	list_each(ses, &m->sessions, link)
		s->mdts[s->mdts_n++] = ses->target;
	pthread_mutex_unlock(&m->lock);
	op->priv = s;
	cl_op_ios(op, all_pump, all_io_done, all_data_done);
	return op;
}
