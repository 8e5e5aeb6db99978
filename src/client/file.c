/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the mount knows of open files.
 *
 * An inode is in the table while a handle is open, and afterwards while it has objects that were written and not synced: an
 * fsync through any later handle must cover them. The table forgets the oldest of those when there are too many; from then on
 * inodes that enter it sync all their objects the first time.
 *
 * objs describes all objects of the file (complete) when the file was created by us, or when the sum of the versions that we know
 * is what the metadata target remembers, and no size change came in between. Only then is a data_hint sent with close.
 */
#include "client/client_priv.h"

/* ---- grants ------------------------------------------------------------------------------------------------------ */

struct grant *cl_grant_new(const struct wp_layout *l, const struct wp_cap *cap)
{
	size_t size = sizeof(struct grant) + l->components_n * sizeof(struct wp_component);
	uint32_t i, targets = 0;
	struct grant *g;
	uint32_t *t;

	for (i = 0; i < l->components_n; i++)
		targets += l->components[i].targets_n;
	g = xmalloc(size + targets * sizeof(uint32_t));
	memset(g, 0, sizeof(*g));
	atomic_init(&g->refs, 1);
	g->layout = *l;
	g->layout.components = (struct wp_component *)(g + 1);
	t = (uint32_t *)((char *)g + size);
	for (i = 0; i < l->components_n; i++) {
		struct wp_component *c = &g->layout.components[i];

		*c = l->components[i];
		c->pool = wp_str(NULL); /* of no interest for data */
		if (c->targets_n)
			memcpy(t, c->targets, c->targets_n * sizeof(*t));
		c->targets = t;
		t += c->targets_n;
	}
	g->objs_n = targets;
	g->cap = *cap;
	memcpy(g->mac, cap->mac.p, MIN(cap->mac.len, sizeof(g->mac)));
	g->cap.mac = wp_bytes(g->mac, MIN(cap->mac.len, (uint32_t)sizeof(g->mac)));
	return g;
}

void cl_grant_ref(struct grant *g)
{
	atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
}

void cl_grant_unref(struct grant *g)
{
	if (atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) == 1)
		free(g);
}

struct grant *cl_file_grant(struct client_file *f)
{
	struct grant *g;

	pthread_mutex_lock(&f->inode->lock);
	g = f->grant;
	if (g)
		cl_grant_ref(g);
	pthread_mutex_unlock(&f->inode->lock);
	return g;
}

/* ---- inodes ------------------------------------------------------------------------------------------------------ */

static uint64_t fid_hash(const struct wp_fid *fid)
{
	return hash_u64(fid->seq << 24 ^ fid->oid);
}

static void inode_free(struct client_mount *m, struct client_inode *in)
{
	struct held_lock *h;

	htab_del(&m->inodes, &in->node);
	list_del(&in->lru);
	while ((h = list_pop(&in->locks, struct held_lock, link)))
		free(h);
	pthread_mutex_destroy(&in->lock);
	free(in->objs);
	free(in);
}

struct client_inode *cl_inode_get(struct client_mount *m, const struct wp_fid *fid)
{
	uint64_t hash = fid_hash(fid);
	struct client_inode *in;
	struct htab_node *n;

	pthread_mutex_lock(&m->lock);
	htab_each_match(n, &m->inodes, hash) {
		in = container_of(n, struct client_inode, node);
		if (wp_fid_eq(&in->fid, fid)) {
			if (in->refs++ == 0) {
				list_del(&in->lru);
				m->dirty_n--;
			}
			pthread_mutex_unlock(&m->lock);
			return in;
		}
	}
	in = NEW(struct client_inode);
	in->fid = *fid;
	in->m = m;
	in->refs = 1;
	in->unknown_end = m->forgot ? UINT64_MAX : 0;
	pthread_mutex_init(&in->lock, NULL);
	list_init(&in->lru);
	list_init(&in->locks);
	htab_add(&m->inodes, &in->node, hash);
	pthread_mutex_unlock(&m->lock);
	return in;
}

void cl_inode_put(struct client_inode *in)
{
	struct client_mount *m = in->m;

	pthread_mutex_lock(&m->lock);
	if (--in->refs == 0) {
		if (in->dirty_n || in->lost) {
			list_append(&m->dirty, &in->lru);
			m->dirty_n++;
		} else {
			inode_free(m, in);
		}
		if (m->dirty_n > CLIENT_DIRTY_INODES) {
			m->forgot = true;
			m->dirty_n--;
			inode_free(m, list_first(&m->dirty, struct client_inode, lru));
		}
	}
	pthread_mutex_unlock(&m->lock);
}

/* The last reactor has gone: nothing is open any more. */
void cl_inodes_free(struct client_mount *m)
{
	struct client_file *f;

	while (!list_empty(&m->files)) {
		f = list_first(&m->files, struct client_file, link);
		list_del(&f->link);
		f->registered = false;
		client_file_unref(f);
	}
	while (!list_empty(&m->dirty))
		inode_free(m, list_first(&m->dirty, struct client_inode, lru));
}

void cl_inode_heard_size(struct client_inode *in, uint64_t size)
{
	pthread_mutex_lock(&in->lock);
	in->known_size = size;
	pthread_mutex_unlock(&in->lock);
}

/* With the inode locked: data before end may wait for somebody's sync. */
static void inode_unsynced(struct client_inode *in, uint64_t end)
{
	in->unknown_end = MAX(in->unknown_end, end);
	in->unknown_seq++;
}

/* With the inode locked. */
static void heard_obj(struct client_inode *in, const struct grant *g, const struct io *io)
{
	struct obj_state *o;

	if (in->objs_n != g->objs_n) { /* a mere reader keeps no books of objects */
		if (io->stat.version)
			inode_unsynced(in, UINT64_MAX);
		return;
	}
	o = &in->objs[io->obj_index];
	if (io->what == WP_OP_OBJ_STAT && ((o->version && !io->stat.version) || (o->dirty && o->verifier != io->verifier)))
		in->complete = false; /* lost: what we know of the object's size is not true any more */
	if (io->stat.version > o->version) {
		if (io->stat.size < o->size)
			in->complete = false; /* lost, or cut by others: it may be empty and exist all the same */
		o->version = io->stat.version;
		o->size = io->stat.size;
		o->blocks = io->stat.blocks;
		o->mtime = io->stat.mtime;
		o->foreign = true;
		o->seq++;
	}
}

void cl_file_heard_obj(struct client_file *f, const struct grant *g, const struct io *io)
{
	pthread_mutex_lock(&f->inode->lock);
	heard_obj(f->inode, g, io);
	pthread_mutex_unlock(&f->inode->lock);
}

/* The lock of the mount is held, so that the inode stays. */
void cl_inode_heard_obj(struct client_mount *m, const struct grant *g, const struct io *io)
{
	struct client_inode *in;
	struct htab_node *n;

	pthread_mutex_lock(&m->lock);
	htab_each_match(n, &m->inodes, fid_hash(&io->obj.fid)) {
		in = container_of(n, struct client_inode, node);
		if (!wp_fid_eq(&in->fid, &io->obj.fid))
			continue;
		pthread_mutex_lock(&in->lock);
		heard_obj(in, g, io);
		pthread_mutex_unlock(&in->lock);
	}
	pthread_mutex_unlock(&m->lock);
}

/* With the inode locked. */
struct obj_state *cl_inode_obj(struct client_inode *in, const struct grant *g, uint32_t index)
{
	if (in->objs_n != g->objs_n) {
		/* First use, or another layout: files with data keep theirs. */
		free(in->objs);
		in->objs = xcalloc(g->objs_n, sizeof(*in->objs));
		in->objs_n = g->objs_n;
		in->dirty_n = 0;
	}
	return &in->objs[index];
}

/* With the inode locked. */
void cl_inode_mark_clean(struct client_inode *in, struct obj_state *o)
{
	if (!o->dirty)
		return;
	o->dirty = false;
	in->dirty_n--;
}

/* ---- what writes tell -------------------------------------------------------------------------------------------- */

static void ost_wrote(struct ost *o, const struct io *io, bool stable)
{
	struct client_mount *m = o->c->m;

	if (!o->listed) {
		o->listed = true;
		pthread_mutex_lock(&m->lock);
		m->osts_used = xrealloc(m->osts_used, (m->osts_used_n + 1) * sizeof(*m->osts_used));
		m->osts_used[m->osts_used_n++] = o->target;
		pthread_mutex_unlock(&m->lock);
	}
	if (stable)
		return;
	o->seq++;
	if (!o->dirty)
		o->verifier = io->verifier;
	else if (o->verifier != io->verifier)
		o->lost = true;
	o->dirty = true;
}

void cl_file_wrote(struct client_file *f, const struct grant *g, const struct io *io)
{
	struct client_inode *in = f->inode;
	const struct wp_component *c = &g->layout.components[io->obj.component];
	bool stable = io->what == WP_OP_OBJ_WRITE && (io->op->io_flags & CLIENT_WRITE_STABLE);
	struct obj_state *o;
	uint64_t end;

	ost_wrote(io->ost, io, stable);
	pthread_mutex_lock(&in->lock);
	o = cl_inode_obj(in, g, io->obj_index);
	f->wrote = true;
	/* Replies come in any order: the object's newest state counts. */
	if (io->stat.version >= o->version) {
		o->version = io->stat.version;
		o->size = io->stat.size;
		o->blocks = io->stat.blocks;
		o->mtime = io->stat.mtime;
	}
	end = stripe_file_end(c, io->obj.stripe, io->stat.size);
	if (end > in->known_size)
		in->known_size = end;
	o->seq++;
	if (o->dirty && o->verifier != io->verifier) {
		in->lost = -EIO; /* the target restarted and forgot earlier writes */
	} else if (!stable && !o->dirty) {
		o->dirty = true;
		o->verifier = io->verifier;
		in->dirty_n++;
	}
	pthread_mutex_unlock(&in->lock);
}

void cl_file_unknown(struct client_file *f)
{
	pthread_mutex_lock(&f->inode->lock);
	f->inode->complete = false;
	pthread_mutex_unlock(&f->inode->lock);
}

/* With the inode locked: what a sole writer knows of the data. False: not enough. */
static bool file_hint(const struct client_file *f, struct wp_data_hint *h)
{
	const struct client_inode *in = f->inode;
	const struct grant *g = f->grant;
	uint32_t i, s, n = 0;

	memset(h, 0, sizeof(*h));
	if (!in->complete || !g || in->objs_n != g->objs_n)
		return false;
	for (i = 0; i < g->layout.components_n; i++) {
		for (s = 0; s < g->layout.components[i].targets_n; s++, n++) {
			const struct obj_state *o = &in->objs[n];

			h->size = MAX(h->size, stripe_file_end(&g->layout.components[i], s, o->size));
			h->data_version += o->version;
			h->blocks += o->blocks;
			if (o->mtime.sec > h->mtime.sec || (o->mtime.sec == h->mtime.sec && o->mtime.nsec > h->mtime.nsec))
				h->mtime = o->mtime;
		}
	}
	return true;
}

bool cl_file_get_hint(struct client_file *f, struct wp_data_hint *h)
{
	bool ok;

	pthread_mutex_lock(&f->inode->lock);
	ok = f->wrote && file_hint(f, h);
	pthread_mutex_unlock(&f->inode->lock);
	return ok;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* With the inode locked: do our object states describe the whole file that was just opened? */
static bool inode_knows_all(const struct client_inode *in, const struct wp_attr *a, bool created)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < in->objs_n; i++)
		sum += in->objs[i].version;
	return created || sum == a->data_version;
}

static void inode_opened(struct client_inode *in, const struct wp_attr *a, bool created)
{
	bool unsettled = a->flags & WP_ATTR_UNSETTLED;

	pthread_mutex_lock(&in->lock);
	if (in->refs == 1)
		in->complete = inode_knows_all(in, a, created);
	/* What others wrote before we came is ours to sync: fsync is about the file. */
	if (!created && (unsettled || !inode_knows_all(in, a, created)))
		inode_unsynced(in, unsettled ? UINT64_MAX : a->size);
	if (!(a->flags & WP_ATTR_UNSETTLED) || created)
		in->known_size = a->size;
	in->atime = a->atime;
	in->mtime = a->mtime;
	in->ctime = a->ctime;
	in->atime_done = false;
	pthread_mutex_unlock(&in->lock);
}

static struct client_file *file_new(struct client_op *op, const struct wp_entry *e, uint64_t handle, uint32_t flags, bool created)
{
	struct client_mount *m = op->c->m;
	struct client_file *f = NEW(struct client_file);
	const uint32_t both = WP_ENTRY_HAS_LAYOUT | WP_ENTRY_HAS_CAP;

	OBJ_INIT(f, FILE_MAGIC);
	atomic_init(&f->refs, 1);
	f->m = m;
	f->handle = handle;
	f->flags = flags;
	f->session = op->mdt->s;
	f->session_gen = op->session_gen;
	f->inode = cl_inode_get(m, &e->attr.fid);
	f->suid = (e->attr.mode & 06000) != 0;
	inode_opened(f->inode, &e->attr, created);
	if ((e->has & both) == both && !stripe_check(&e->layout, false))
		f->grant = cl_grant_new(&e->layout, &e->cap);
	pthread_mutex_lock(&m->lock);
	list_append(&m->files, &f->link);
	f->registered = true;
	pthread_mutex_unlock(&m->lock);
	return f;
}

void client_file_ref(struct client_file *f)
{
	OBJ_CHECK(f, FILE_MAGIC);
	atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
}

static void file_unregister(struct client_file *f)
{
	pthread_mutex_lock(&f->m->lock);
	if (f->registered)
		list_del(&f->link);
	f->registered = false;
	pthread_mutex_unlock(&f->m->lock);
}

void client_file_unref(struct client_file *f)
{
	OBJ_CHECK(f, FILE_MAGIC);
	if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
		return;
	file_unregister(f);
	if (f->grant)
		cl_grant_unref(f->grant);
	cl_inode_put(f->inode);
	OBJ_FINI(f);
	free(f);
}

const struct wp_fid *client_file_fid(const struct client_file *f) { return &f->inode->fid; }
uint32_t client_file_flags(const struct client_file *f) { return f->flags; }

/* ---- open and create --------------------------------------------------------------------------------------------- */

static void opened_settled(struct client_op *op, int err)
{
	struct client_file *f = op->res.file;

	if (!err && f)
		cl_inode_heard_size(f->inode, op->res.attr.size);
	cl_op_finish(op, err);
}

/* Only new files, and those opened by create, need exact attributes; opening leaves sizes to getattr. */
static void opened_entry(struct client_op *op)
{
	struct wp_entry e = { .attr = op->res.attr };
	struct grant *g;

	if (!(e.attr.flags & WP_ATTR_UNSETTLED) || !op->open_settle) {
		cl_op_finish(op, 0);
		return;
	}
	g = cl_file_grant(op->res.file);
	if (!g) {
		opened_settled(op, -EIO);
		return;
	}
	e.layout = g->layout;
	e.cap = g->cap;
	e.has = WP_ENTRY_HAS_LAYOUT | WP_ENTRY_HAS_CAP;
	cl_op_settle(op, &e, opened_settled);
	cl_grant_unref(g);
}

static void reopened(struct client_op *op, int err)
{
	struct wp_reclaim_rep rep;

	if (!err)
		err = META_DECODE(op, reclaim, &rep);
	if (!err && rep.refused)
		err = -ESTALE;
	if (err)
		opened_settled(op, err);
	else
		opened_entry(op);
}

/* The answer may come from the reply cache of a target that restarted since it opened the file: the handle, which it keeps in memory
 * only, is then told to it as the others were. */
static void open_check_epoch(struct client_op *op)
{
	struct client_file *f = op->res.file;

	if (op->boot_epoch == op->mdt->boot_epoch || op->session_gen != op->mdt->session_gen) {
		opened_entry(op);
		return;
	}
	op->reopen = (struct wp_open_ref){ .fid = f->inode->fid, .handle = f->handle, .flags = f->flags };
	op->req.reclaim = (struct wp_reclaim_req){ .opens = &op->reopen, .opens_n = 1, .done = 1 };
	op->body_max = 128;
	cl_op_meta(op, &cl_req_reclaim, op->target, reopened);
}

/* Attributes of what is being written are not known; those of the reply are from before. */
static void learn_writes(struct client_op *op, const struct wp_fid *fid, uint32_t flags)
{
	if (op->c->m->cache && flags & WP_OPEN_WRITE)
		cl_cache_forget(op->c->m->cache, fid, 0);
}

static void open_done(struct client_op *op, int err)
{
	const struct wp_open_req req = op->req.open;
	struct wp_open_rep rep;
	uint32_t bits;

	if (!err)
		err = META_DECODE(op, open, &rep);
	if (err) {
		cl_op_finish(op, err);
		return;
	}
	op->res.attr = rep.entry.attr;
	bits = cl_learn(op, &rep.entry);
	learn_writes(op, &rep.entry.attr.fid, req.flags);
	op->res.file = file_new(op, &rep.entry, req.handle, req.flags, false);
	op->res.data_cacheable = bits & WP_LEASE_DATA_READ && !(req.flags & WP_OPEN_WRITE);
	/* Who reads what was kept does not tell: the first read, which touches the access time, has to come here. */
	op->res.data_kept =
		op->res.data_cacheable && !(bits & CL_FRESH_DATA) && !cl_atime_due(op->res.file, env_wall_ns(op->c->env));
	if (req.flags & WP_OPEN_TRUNC)
		cl_file_unknown(op->res.file);
	open_check_epoch(op);
}

struct client_op *client_open(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, uint32_t flags,
			      client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	cl_op_cred(op, cred);
	op->req.open = (struct wp_open_req){ .fid = *fid, .flags = flags, .handle = atomic_fetch_add(&c->m->next_handle, 1) };
	cl_op_meta(op, &cl_req_open, wp_fid_mdt(fid), open_done);
	return op;
}

static void create_done(struct client_op *op, int err)
{
	const struct wp_create_req req = op->req.create;
	struct wp_create_rep rep;

	if (!err)
		err = META_DECODE(op, create, &rep);
	if (err) {
		cl_op_finish(op, err);
		return;
	}
	cl_learn_name(op, &rep.dir, req.name, &rep.entry.attr);
	op->res.attr_ttl_ns = 0;
	(void)cl_learn(op, &rep.entry);
	learn_writes(op, &rep.entry.attr.fid, req.flags);
	op->res.attr = rep.entry.attr;
	op->res.created = rep.created;
	op->open_settle = !rep.created;
	op->res.file = file_new(op, &rep.entry, req.handle, req.flags & ~(uint32_t)(WP_OPEN_CREATE | WP_OPEN_EXCL), rep.created);
	if (!rep.created && (req.flags & WP_OPEN_TRUNC))
		cl_file_unknown(op->res.file);
	if (rep.created)
		op->res.attr.flags &= ~(uint32_t)WP_ATTR_UNSETTLED;
	open_check_epoch(op);
}

struct client_op *client_create(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
				uint32_t mode, uint32_t umask, uint32_t flags, const struct wp_layout *layout, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);
	struct wp_create_req *r = &op->req.create;

	cl_op_cred(op, cred);
	*r = (struct wp_create_req){
		.parent = *parent, .name = name, .mode = mode, .umask = umask, .flags = flags | WP_OPEN_CREATE,
		.handle = atomic_fetch_add(&c->m->next_handle, 1),
	};
	if (layout) {
		r->layout = *layout;
		r->has |= WP_CREATE_REQ_HAS_LAYOUT;
		op->body_max = cl_layout_bound(layout);
	}
	op->body_max += name.len;
	cl_op_meta(op, &cl_req_create, wp_fid_mdt(parent), create_done);
	return op;
}

/* ---- close ------------------------------------------------------------------------------------------------------- */

static void release_done(struct client_op *op, int err)
{
	struct client_inode *in = op->file->inode;
	struct wp_close_rep rep;
	int lost;

	if (!err && op->leases_count && !META_DECODE(op, close, &rep) && rep.has & WP_CLOSE_REP_HAS_ENTRY)
		(void)cl_learn(op, &rep.entry);

	/* Who only read has lost nothing. */
	pthread_mutex_lock(&in->lock);
	lost = op->file->wrote ? in->lost : 0;
	pthread_mutex_unlock(&in->lock);
	/* A handle that a lost session took with it is closed as well. */
	if (err == -WEFT_ENOSESSION || err == -ESTALE)
		err = 0;
	cl_op_finish(op, lost ? lost : err);
}

struct client_op *client_release(struct client *c, struct client_file *f, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);
	struct wp_close_req *r = &op->req.close;

	OBJ_CHECK(f, FILE_MAGIC);
	op->flags |= OP_INTERNAL; /* closing is allowed when the mount ends */
	op->file = f;		  /* takes over the caller's reference */
	file_unregister(f);
	if (cl_file_stale(f)) {
		release_done(op, 0);
		return op;
	}
	*r = (struct wp_close_req){ .fid = f->inode->fid, .handle = f->handle, .wrote = f->wrote };
	if (cl_file_get_hint(f, &r->hint))
		r->has |= WP_CLOSE_REQ_HAS_HINT;
	cl_op_meta(op, &cl_req_close, wp_fid_mdt(&f->inode->fid), release_done);
	return op;
}
