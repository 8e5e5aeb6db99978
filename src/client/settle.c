/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Size, mtime and blocks of files that are open for writing: their objects know. The objects are asked in parallel and the largest
 * file offset that any of them reaches is the size (ARCHITECTURE.md, "Opens, sizes, truncation").
 */
#include "client/client_priv.h"

#define SETTLE_RETRIES 4u

struct settle {
	void (*next)(struct client_op *op, int err);
	uint32_t component, stripe;
	uint64_t size, blocks, versions;
	struct wp_time newest;
};

static bool time_after(const struct wp_time *a, const struct wp_time *b)
{
	return a->sec > b->sec || (a->sec == b->sec && a->nsec > b->nsec);
}

static void settle_pump(struct client_op *op)
{
	const struct wp_layout *l = &op->grant->layout;
	struct settle *s = op->settle;

	while (cl_op_ios_room(op) && s->component < l->components_n) {
		cl_io_go(cl_io_new(op, WP_OP_OBJ_STAT, s->component, s->stripe));
		if (++s->stripe == l->components[s->component].targets_n) {
			s->stripe = 0;
			s->component++;
		}
	}
}

static void settle_io_done(struct client_op *op, struct io *io)
{
	struct settle *s = op->settle;
	const struct wp_component *c = &op->grant->layout.components[io->obj.component];

	cl_inode_heard_obj(op->c->m, op->grant, io);
	s->size = MAX(s->size, stripe_file_end(c, io->obj.stripe, io->stat.size));
	s->blocks += io->stat.blocks;
	s->versions += io->stat.version;
	if (time_after(&io->stat.mtime, &s->newest))
		s->newest = io->stat.mtime;
	cl_io_free(io);
}

static void settle_again(struct client_op *op);

static void settle_done(struct client_op *op)
{
	struct settle *s = op->settle;
	struct wp_attr *a = &op->res.attr;
	void (*next)(struct client_op *op, int err) = s->next;
	int err = op->io_err;

	if ((err == -WEFT_ECAPEXPIRED || err == -WEFT_EBADCAP) && op->tries++ < SETTLE_RETRIES) {
		op->io_err = 0;
		settle_again(op);
		return;
	}
	if (!err) {
		a->size = s->size;
		a->blocks = s->blocks;
		/* The inode's times hold for exactly the data that it knows of. */
		if (s->versions != a->data_version) {
			if (time_after(&s->newest, &a->mtime))
				a->mtime = s->newest;
			if (time_after(&s->newest, &a->ctime))
				a->ctime = s->newest;
		}
		a->flags &= ~(uint32_t)WP_ATTR_UNSETTLED;
	}
	free(s);
	op->settle = NULL;
	next(op, err);
}

void cl_op_settle(struct client_op *op, const struct wp_entry *e, void (*next)(struct client_op *op, int err))
{
	struct settle *s;
	const uint32_t both = WP_ENTRY_HAS_LAYOUT | WP_ENTRY_HAS_CAP;

	op->res.attr = e->attr;
	if (!(e->attr.flags & WP_ATTR_UNSETTLED)) {
		next(op, 0);
		return;
	}
	if ((e->has & both) != both || stripe_check(&e->layout, false)) {
		next(op, -EIO);
		return;
	}
	if (!op->settle)
		op->settle = NEW(struct settle);
	s = op->settle;
	/* Not less than what was told before: the objects may have lost what was not synced. */
	*s = (struct settle){ .next = next, .size = e->attr.size };
	cl_op_set_grant(op, cl_grant_new(&e->layout, &e->cap));
	cl_op_ios(op, settle_pump, settle_io_done, settle_done);
}

/* The capability in the entry has expired under way: the entry is fetched again. */
static void settle_entry(struct client_op *op, int err)
{
	void (*next)(struct client_op *op, int err) = op->settle->next;
	struct wp_getattr_rep rep;

	if (!err)
		err = META_DECODE(op, getattr, &rep);
	if (err) {
		free(op->settle);
		op->settle = NULL;
		next(op, err);
		return;
	}
	if (!(rep.entry.attr.flags & WP_ATTR_UNSETTLED)) {
		free(op->settle);
		op->settle = NULL;
	}
	cl_op_settle(op, &rep.entry, next);
}

static void settle_again(struct client_op *op)
{
	op->req.getattr = (struct wp_getattr_req){ .fid = op->res.attr.fid };
	cl_op_meta(op, &cl_req_getattr, wp_fid_mdt(&op->res.attr.fid), settle_entry);
}
