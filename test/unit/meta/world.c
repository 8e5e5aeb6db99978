/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "world.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "layout/stripe.h"
#include "osd/osd.h"

const struct wp_fid root_fid = { .seq = WP_ROOT_SEQ, .oid = WP_ROOT_OID };
static struct world *the_world; /* the fake rpc has no other way to find it */

/* ---- rpc: serving ------------------------------------------------------------------------------------------------------------------ */

uint16_t rpc_conn_role(const struct rpc_conn *c) { return c->role; }
void *rpc_conn_data(const struct rpc_conn *c) { return c->data; }
void rpc_conn_close(struct rpc_conn *c) { c->closed = true; } /* the test says conn_down */

void rpc_conn_notice(struct rpc_conn *c, uint16_t op, const void *body, size_t len)
{
	static uint8_t scratch[300000];
	struct wp_lease_recall_req m;

	if (op != WP_OP_LEASE_RECALL || wp_lease_recall_req_decode(body, len, scratch, sizeof(scratch), &m))
		abort();
	c->notices++;
	for (uint32_t i = 0; i < m.leases_n && c->refs_n < ARRAY_SIZE(c->refs); i++)
		c->refs[c->refs_n++] = m.leases[i];
}

void rpc_conn_set_data(struct rpc_conn *c, void *data) { c->data = data; }

struct wp_enc rpc_reply_enc(struct rpc_req *req, size_t max)
{
	struct wp_enc e;

	wp_enc_init(&e, arena_alloc(&req->arena, max), (uint32_t)max);
	return e;
}

void rpc_reply(struct rpc_req *req, const struct rpc_reply *r)
{
	struct call *c = container_of(req, struct call, req);

	c->replies++;
	c->err = r->err;
	free(c->reply);
	c->reply = xmalloc(r->body_len + 1);
	if (r->body_len)
		memcpy(c->reply, r->body, r->body_len);
	c->reply_len = r->body_len;
	arena_done(&req->arena);
}

void rpc_reply_err(struct rpc_req *req, int err) { rpc_reply(req, &(struct rpc_reply){ .err = err }); }

/* ---- rpc: storage -------------------------------------------------------------------------------------------------------------------- */

struct obj *world_obj(struct world *w, struct wp_fid fid, uint32_t component, uint32_t stripe)
{
	for (uint32_t i = 0; i < w->n_objects; i++) {
		struct obj *o = &w->objects[i];

		if (wp_fid_eq(&o->id.fid, &fid) && o->id.component == component && o->id.stripe == stripe)
			return o;
	}
	return NULL;
}

static struct obj *obj_make(struct world *w, const struct wp_objid *id)
{
	struct obj *o = world_obj(w, id->fid, id->component, id->stripe);

	if (o)
		return o;
	weft_assert(w->n_objects < OBJECTS_MAX);
	o = &w->objects[w->n_objects++];
	*o = (struct obj){ .id = *id };
	return o;
}

static void obj_changed(struct world *w, struct obj *o)
{
	uint64_t now = env_wall_ns(w->env);

	o->stat.version++;
	o->stat.blocks = (o->stat.size + 511) / 512;
	o->stat.mtime = (struct wp_time){ .sec = (int64_t)(now / NSEC_PER_SEC), .nsec = (uint32_t)(now % NSEC_PER_SEC) };
}

void world_write(struct world *w, const struct wp_entry *e, uint64_t offset, uint64_t len)
{
	while (len) {
		struct stripe_piece p;
		struct wp_objid id = { .fid = e->attr.fid };
		struct obj *o;

		if (stripe_map(&e->layout, offset, len, &p))
			abort();
		id.component = (uint16_t)p.component;
		id.stripe = p.stripe;
		o = obj_make(w, &id);
		o->stat.size = MAX(o->stat.size, p.offset + p.length);
		obj_changed(w, o);
		offset += p.length;
		len -= p.length;
	}
}

unsigned world_objects_of(struct world *w, struct wp_fid fid)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < w->n_objects; i++)
		n += wp_fid_eq(&w->objects[i].id.fid, &fid);
	return n;
}

void rpc_call_init(struct rpc_call *c, uint16_t op, rpc_done_fn *done, void *arg)
{
	memset(c, 0, sizeof(*c));
	c->op = op;
	c->done = done;
	c->arg = arg;
	wp_enc_init(&c->enc, c->inline_body, sizeof(c->inline_body));
	list_init(&c->node);
}

struct wp_enc *rpc_call_enc(struct rpc_call *c, size_t max) { return &c->enc; }

struct storage_answer {
	struct list link; /* world.answers: under way */
	struct env_task task;
	struct world *w;
	struct rpc_call *call;
};

static int storage_execute(struct world *w, struct rpc_call *c, struct wp_enc *rep)
{
	struct wp_obj_truncate_req t;
	struct wp_obj_destroy_req d;
	struct wp_obj_stat_req s;
	struct obj *o;

	switch (c->op) {
	case WP_OP_OBJ_TRUNCATE:
		if (wp_obj_truncate_req_decode(c->inline_body, c->enc.len, NULL, 0, &t))
			return -EBADMSG;
		o = obj_make(w, &t.obj);
		o->stat.size = t.size;
		obj_changed(w, o);
		wp_obj_truncate_rep_enc(rep, &(struct wp_obj_truncate_rep){ .stat = o->stat });
		return 0;
	case WP_OP_OBJ_STAT:
		if (wp_obj_stat_req_decode(c->inline_body, c->enc.len, NULL, 0, &s))
			return -EBADMSG;
		o = world_obj(w, s.obj.fid, s.obj.component, s.obj.stripe);
		if (!o)
			return -ENOENT;
		wp_obj_stat_rep_enc(rep, &(struct wp_obj_stat_rep){ .stat = o->stat });
		return 0;
	default:
		if (wp_obj_destroy_req_decode(c->inline_body, c->enc.len, NULL, 0, &d))
			return -EBADMSG;
		o = world_obj(w, d.obj.fid, d.obj.component, d.obj.stripe);
		if (o)
			*o = w->objects[--w->n_objects];
		return 0;
	}
}

static void storage_answer(void *arg)
{
	struct storage_answer *a = arg;
	struct rpc_call *c = a->call;
	struct wp_enc rep;
	uint8_t buf[256];

	if (!c) { /* taken back */
		list_del(&a->link);
		free(a);
		return;
	}
	wp_enc_init(&rep, buf, sizeof(buf));
	c->err = storage_execute(a->w, c, &rep);
	c->reply = buf;
	c->reply_len = rep.len;
	list_del(&a->link);
	free(a);
	c->done(c);
}

static void storage_send(struct world *w, struct rpc_call *c)
{
	struct storage_answer *a = NEW(struct storage_answer);

	a->w = w;
	a->call = c;
	list_append(&w->answers, &a->link);
	a->task = (struct env_task){ .fn = storage_answer, .arg = a };
	env_post(w->env, &a->task);
}

void rpc_call(struct rpc_peer *peer, struct rpc_call *c)
{
	struct world *w = the_world;

	w->obj_calls++;
	if (w->hold_storage)
		list_append(&w->held, &c->node);
	else
		storage_send(w, c);
}

void rpc_call_cancel(struct rpc_call *c)
{
	struct storage_answer *a;

	list_each (a, &the_world->answers, link)
		if (a->call == c)
			a->call = NULL;
	list_del(&c->node);
	c->err = -ECANCELED;
	c->done(c);
}

void world_release_storage(struct world *w)
{
	struct rpc_call *c;

	w->hold_storage = false;
	while ((c = list_pop(&w->held, struct rpc_call, node)))
		storage_send(w, c);
}

static struct rpc_peer *storage_peer(void *arg, uint32_t target)
{
	struct world *w = arg;

	return w->peers[target % 16].down ? NULL : &w->peers[target % 16];
}

static unsigned candidates(void *arg, struct wp_str pool, const struct meta_candidate **ret)
{
	static const struct meta_candidate c[] = { { 1, WP_CAPACITY_NORMAL, 100 }, { 2, WP_CAPACITY_NORMAL, 100 },
						   { 3, WP_CAPACITY_NORMAL, 50 }, { 4, WP_CAPACITY_LOW, 10 } };

	*ret = c;
	return pool.len ? 0 : 4;
}

/* ---- the target ---------------------------------------------------------------------------------------------------------------------- */

static void opened(void *arg, int err) { ((struct world *)arg)->opened = err; }
static void failed(void *arg, int err) { ((struct world *)arg)->failed = err; }

void world_init(struct world *w, uint64_t seed, const char *journal)
{
	memset(w, 0, sizeof(*w));
	the_world = w;
	w->sim = sim_new(seed);
	w->host = sim_host_new(w->sim, "meta");
	w->journal = journal;
	w->client_id = 77;
	w->conn.role = WP_ROLE_CLIENT;
	w->cred = cred_root();
	list_init(&w->held);
	list_init(&w->answers);
}

/* The device forgets everything with its process, so nothing may be taken out of the journal. */
static void never_applied(struct osd_dev *dev, env_fn *fn, void *arg) { }

static int (*mem_submit)(struct osd_dev *dev, struct osd_txn *t, uint64_t seq, osd_commit_fn *fn, void *arg);

static int checked_submit(struct osd_dev *dev, struct osd_txn *t, uint64_t seq, osd_commit_fn *fn, void *arg)
{
	int err = mem_submit(dev, t, seq, fn, arg);

	if (the_world->check)
		check_index(dev);
	return err;
}

static void keep_journal(struct osd_dev *dev)
{
	static struct osd_ops ops;

	ops = *dev->ops;
	ops.on_applied = never_applied;
	mem_submit = ops.txn_submit;
	ops.txn_submit = checked_submit;
	dev->ops = &ops;
}

bool world_open(struct world *w)
{
	struct meta_params p = { .journal_dir = w->journal,
				 .opened = opened,
				 .failed = failed,
				 .storage_peer = storage_peer,
				 .candidates = candidates,
				 .arg = w,
				 .grace_ms = w->grace_ms,
				 .session_timeout_ms = w->timeout_ms,
				 .lease_ms = w->lease_ms,
				 .leases_max = w->leases_max };

	w->env = sim_process_new(w->host);
	p.env = w->env;
	if (osd_backend("mem")->open(&(struct osd_params){ .env = w->env, .capacity = w->capacity ? w->capacity : MIB(512) }, &w->dev))
		abort();
	keep_journal(w->dev);
	p.dev = w->dev;
	w->opened = w->failed = 1;
	if (meta_target_open(&p, &w->mt))
		abort();
	w->check = false; /* not during the replay: the prefixes were checked when they were made */
	while (w->opened == 1 && w->failed == 1 && sim_step(w->sim))
		;
	w->check = w->check_always;
	return w->opened == 0;
}

static void forget(struct world *w)
{
	struct rpc_call *c;
	struct rpc_service *svc = meta_target_service(w->mt);

	svc->conn_down(svc->ctx, &w->conn);
	w->conn.data = NULL;
	while ((c = list_pop(&w->held, struct rpc_call, node)))
		list_init(&c->node);
}

void world_kill(struct world *w)
{
	struct storage_answer *a;

	forget(w);
	sim_process_kill(w->env);
	meta_target_free(w->mt);
	while ((a = list_pop(&w->answers, struct storage_answer, link)))
		free(a);
	/* The device is in memory: it goes with the process. Its destructor wants a clean end, which there is not. */
#ifdef __SANITIZE_ADDRESS__
	__lsan_ignore_object(w->dev);
#endif
	w->dev = NULL;
	sim_process_free(w->env);
	w->mt = NULL;
}

static void stopped(void *arg) { *(bool *)arg = true; }

void world_stop(struct world *w)
{
	bool done = false;

	forget(w);
	meta_target_stop(w->mt, stopped, &done);
	while (!done && sim_step(w->sim))
		;
	meta_target_free(w->mt);
	sim_run_for(w->sim, NSEC_PER_SEC);
	w->dev->ops->close(w->dev);
	sim_process_free(w->env);
	w->mt = NULL;
}

void world_done(struct world *w)
{
	if (w->mt)
		world_kill(w);
	call_done(&w->last);
	sim_free(w->sim);
}

void world_step(struct world *w, unsigned n)
{
	while (n-- && sim_step(w->sim))
		;
}

void world_sleep(struct world *w, uint64_t ms) { sim_run_for(w->sim, ms * NSEC_PER_MSEC); }

/* ---- calls ----------------------------------------------------------------------------------------------------------------------------- */

void call_send(struct world *w, struct call *c, struct rpc_conn *conn, uint64_t session, uint16_t slot, uint64_t xid, uint16_t op,
	       const void *body, size_t len)
{
	struct rpc_service *svc = meta_target_service(w->mt);

	memset(c, 0, sizeof(*c));
	c->body = xmalloc(len + 1);
	memcpy(c->body, body, len);
	c->req.hdr = (struct wp_hdr){ .opcode = op, .body_len = (uint32_t)len, .session = session, .slot = slot, .xid = xid };
	c->req.body = c->body;
	c->req.conn = conn;
	svc->request(svc->ctx, &c->req);
}

void call_done(struct call *c)
{
	free(c->body);
	free(c->reply);
	memset(c, 0, sizeof(*c));
}

bool call_wait(struct world *w, struct call *c)
{
	uint64_t end = sim_now_ns(w->sim) + 100 * NSEC_PER_SEC;

	while (!c->replies && sim_now_ns(w->sim) < end && sim_step(w->sim))
		;
	return c->replies > 0;
}

int world_call(struct world *w, uint16_t op, const void *body, size_t len)
{
	call_done(&w->last);
	call_send(w, &w->last, &w->conn, w->session, 0, ++w->xid, op, body, len);
	return call_wait(w, &w->last) ? w->last.err : -ETIMEDOUT;
}

void world_session(struct world *w)
{
	struct wp_session_attach_req a = { .session = w->session, .client_id = w->client_id };
	struct wp_session_open_req o = { .client_id = w->client_id, .host = wp_str("here"), .pid = 1, .slots = 64 };
	struct wp_session_attach_rep ar;
	struct wp_session_open_rep rep;

	if (w->session && !CALL(w, session_attach, SESSION_ATTACH, &a, &ar)) {
		struct wp_reclaim_req r = { .done = 1 };
		struct wp_reclaim_rep rr;

		w->boot_epoch = ar.boot_epoch;
		if (ar.reclaim && CALL(w, reclaim, RECLAIM, &r, &rr))
			abort();
		return;
	}
	if (CALL(w, session_open, SESSION_OPEN, &o, &rep))
		abort();
	w->session = rep.session;
	w->boot_epoch = rep.boot_epoch;
	w->xid = 0;
}

void world_other_session(struct world *w, struct rpc_conn *conn, uint64_t client_id, uint64_t *session)
{
	struct wp_session_open_req o = { .client_id = client_id, .host = wp_str("there"), .pid = 2, .slots = 8 };
	struct wp_session_open_rep rep;
	struct wp_enc e;
	uint8_t buf[256];
	struct call c;

	*conn = (struct rpc_conn){ .role = WP_ROLE_CLIENT };
	wp_enc_init(&e, buf, sizeof(buf));
	wp_session_open_req_enc(&e, &o);
	call_send(w, &c, conn, 0, 0, 1, WP_OP_SESSION_OPEN, buf, e.len);
	if (!call_wait(w, &c) || c.err || wp_session_open_rep_decode(c.reply, c.reply_len, NULL, 0, &rep))
		abort();
	*session = rep.session;
	call_done(&c);
}

/* ---- operations -------------------------------------------------------------------------------------------------------------------------- */

static int take(int err, struct wp_attr *attr, const struct wp_attr *from)
{
	if (!err && attr)
		*attr = *from;
	return err;
}

int t_lookup(struct world *w, struct wp_fid dir, const char *name, struct wp_attr *attr)
{
	struct wp_lookup_req q = { .cred = w->cred, .parent = dir, .name = wp_str(name) };
	struct wp_lookup_rep p;

	return take(CALL(w, lookup, LOOKUP, &q, &p), attr, &p.entry.attr);
}

int t_getattr(struct world *w, struct wp_fid fid, struct wp_attr *attr)
{
	struct wp_getattr_req q = { .fid = fid };
	struct wp_getattr_rep p;

	return take(CALL(w, getattr, GETATTR, &q, &p), attr, &p.entry.attr);
}

int t_mkdir(struct world *w, struct wp_fid dir, const char *name, uint32_t mode, struct wp_attr *attr)
{
	struct wp_mkdir_req q = { .cred = w->cred, .parent = dir, .name = wp_str(name), .mode = mode };
	struct wp_mkdir_rep p;

	return take(CALL(w, mkdir, MKDIR, &q, &p), attr, &p.entry.attr);
}

int t_mknod(struct world *w, struct wp_fid dir, const char *name, uint32_t mode, struct wp_attr *attr)
{
	struct wp_mknod_req q = { .cred = w->cred, .parent = dir, .name = wp_str(name), .mode = mode, .rdev_major = 1, .rdev_minor = 3 };
	struct wp_mknod_rep p;

	return take(CALL(w, mknod, MKNOD, &q, &p), attr, &p.entry.attr);
}

int t_symlink(struct world *w, struct wp_fid dir, const char *name, const char *target, struct wp_attr *attr)
{
	struct wp_symlink_req q = { .cred = w->cred, .parent = dir, .name = wp_str(name), .target = wp_str(target) };
	struct wp_symlink_rep p;

	return take(CALL(w, symlink, SYMLINK, &q, &p), attr, &p.entry.attr);
}

int t_unlink(struct world *w, struct wp_fid dir, const char *name)
{
	struct wp_unlink_req q = { .cred = w->cred, .parent = dir, .name = wp_str(name) };
	struct wp_unlink_rep p;

	return CALL(w, unlink, UNLINK, &q, &p);
}

int t_rmdir(struct world *w, struct wp_fid dir, const char *name)
{
	struct wp_rmdir_req q = { .cred = w->cred, .parent = dir, .name = wp_str(name) };
	struct wp_rmdir_rep p;

	return CALL(w, rmdir, RMDIR, &q, &p);
}

int t_link(struct world *w, struct wp_fid fid, struct wp_fid dir, const char *name, struct wp_attr *attr)
{
	struct wp_link_req q = { .cred = w->cred, .fid = fid, .parent = dir, .name = wp_str(name) };
	struct wp_link_rep p;

	return take(CALL(w, link, LINK, &q, &p), attr, &p.entry.attr);
}

int t_rename(struct world *w, struct wp_fid dir, const char *name, struct wp_fid new_dir, const char *new_name, uint32_t flags)
{
	struct wp_rename_req q = { .cred = w->cred, .parent = dir, .name = wp_str(name), .new_parent = new_dir,
				   .new_name = wp_str(new_name), .flags = flags };
	struct wp_rename_rep p;

	return CALL(w, rename, RENAME, &q, &p);
}

/* The layout is decoded into the world's scratch: good until the next call. */
int t_create(struct world *w, struct wp_fid dir, const char *name, uint32_t mode, uint32_t flags, uint64_t handle,
	     struct wp_entry *e)
{
	struct wp_create_req q = { .cred = w->cred, .parent = dir, .name = wp_str(name), .mode = mode, .flags = flags,
				   .handle = handle };
	struct wp_create_rep p;
	int err = CALL(w, create, CREATE, &q, &p);

	if (!err && e)
		*e = p.entry;
	return err;
}

int t_open(struct world *w, struct wp_fid fid, uint32_t flags, uint64_t handle, struct wp_entry *e)
{
	struct wp_open_req q = { .cred = w->cred, .fid = fid, .flags = flags, .handle = handle };
	struct wp_open_rep p;
	int err = CALL(w, open, OPEN, &q, &p);

	if (!err && e)
		*e = p.entry;
	return err;
}

int t_close(struct world *w, struct wp_fid fid, uint64_t handle, bool wrote, const struct wp_data_hint *hint)
{
	struct wp_close_req q = { .fid = fid, .handle = handle, .wrote = wrote };
	struct wp_close_rep p;

	if (hint) {
		q.hint = *hint;
		q.has |= WP_CLOSE_REQ_HAS_HINT;
	}
	return CALL(w, close, CLOSE, &q, &p);
}

int t_setattr(struct world *w, struct wp_setattr_req *q, struct wp_attr *attr)
{
	struct wp_setattr_rep p;

	q->cred = w->cred;
	return take(CALL(w, setattr, SETATTR, q, &p), attr, &p.entry.attr);
}

int t_setxattr(struct world *w, struct wp_fid fid, const char *name, const void *value, size_t len, uint32_t flags)
{
	struct wp_setxattr_req q = { .cred = w->cred, .fid = fid, .name = wp_str(name), .value = wp_bytes(value, (uint32_t)len),
				     .flags = flags };
	struct wp_setxattr_rep p;

	return CALL(w, setxattr, SETXATTR, &q, &p);
}

int t_getxattr(struct world *w, struct wp_fid fid, const char *name, void *value, size_t *len)
{
	struct wp_getxattr_req q = { .cred = w->cred, .fid = fid, .name = wp_str(name) };
	struct wp_getxattr_rep p;
	int err = CALL(w, getxattr, GETXATTR, &q, &p);

	if (err)
		return err;
	*len = p.value.len;
	if (p.value.len)
		memcpy(value, p.value.p, p.value.len);
	return 0;
}

int t_readdir(struct world *w, struct wp_fid dir, uint32_t max_bytes, char names[][256], unsigned max)
{
	static uint8_t scratch[1 << 20];
	uint64_t cookie = 0;
	unsigned n = 0;

	for (;;) {
		struct wp_readdir_req q = { .cred = w->cred, .dir = dir, .cookie = cookie, .max_bytes = max_bytes,
					    .flags = WP_READDIR_PLUS };
		struct wp_readdir_rep p;
		struct wp_enc e;
		uint8_t buf[256];
		int err;

		wp_enc_init(&e, buf, sizeof(buf));
		wp_readdir_req_enc(&e, &q);
		err = world_call(w, WP_OP_READDIR, buf, e.len);
		if (!err)
			err = wp_readdir_rep_decode(w->last.reply, w->last.reply_len, scratch, sizeof(scratch), &p);
		if (err)
			return err;
		for (uint32_t i = 0; i < p.entries_n && n < max; i++, n++) {
			if (wp_str_copy(names[n], 256, p.entries[i].name))
				abort();
			cookie = p.entries[i].cookie;
		}
		if (p.eof || !p.entries_n)
			return (int)n;
	}
}
