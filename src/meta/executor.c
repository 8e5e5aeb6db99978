/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Requests one after another: dispatch, transaction, journal, reply when durable.
 *
 *	executor_request -> (reply cache) -> mop_run -> handler -> mop_commit -> mop_finish -> pending -> executor_committed -> reply
 *	                                       ^          | OP_WAIT: parked until a job or a lock is done
 *	                                       +----------+
 */
#include "base/log.h"
#include "meta/meta_priv.h"

static const struct op_desc descs[] = {
	{ WP_OP_PING, OPF_ANY, meta_ping },
	{ WP_OP_COUNTERS, OPF_ANY, meta_counters_get },
	{ WP_OP_SESSION_OPEN, OPF_ANY, meta_session_open },
	{ WP_OP_SESSION_ATTACH, OPF_ANY, meta_session_attach },
	{ WP_OP_RECLAIM, 0, meta_reclaim },
	{ WP_OP_SESSION_CLOSE, OPF_ANY | OPF_FREES, meta_session_close },
	{ WP_OP_SESSION_PING, OPF_ANY, meta_session_ping },
	{ WP_OP_SEQ_ALLOC, OPF_MUTATES, meta_seq_alloc },
	{ WP_OP_LEASE_RELEASE, 0, meta_lease_release },
	{ WP_OP_LOOKUP, 0, meta_lookup },
	{ WP_OP_GETATTR, 0, meta_getattr },
	{ WP_OP_SETATTR, OPF_MUTATES | OPF_FREES, meta_setattr },
	{ WP_OP_READLINK, 0, meta_readlink },
	{ WP_OP_MKNOD, OPF_MUTATES, meta_mknod },
	{ WP_OP_MKDIR, OPF_MUTATES, meta_mkdir },
	{ WP_OP_SYMLINK, OPF_MUTATES, meta_symlink },
	{ WP_OP_UNLINK, OPF_MUTATES | OPF_FREES, meta_unlink },
	{ WP_OP_RMDIR, OPF_MUTATES | OPF_FREES, meta_rmdir },
	{ WP_OP_RENAME, OPF_MUTATES, meta_rename },
	{ WP_OP_LINK, OPF_MUTATES, meta_link },
	{ WP_OP_OPEN, OPF_MUTATES | OPF_FREES, meta_open },
	{ WP_OP_CREATE, OPF_MUTATES, meta_create },
	{ WP_OP_CLOSE, OPF_MUTATES | OPF_FREES, meta_close },
	{ WP_OP_READDIR, 0, meta_readdir },
	{ WP_OP_OPENDIR, 0, meta_opendir },
	{ WP_OP_ACCESS, 0, meta_access },
	{ WP_OP_STATFS, OPF_ANY, meta_statfs },
	{ WP_OP_GETXATTR, 0, meta_getxattr },
	{ WP_OP_LISTXATTR, 0, meta_listxattr },
	{ WP_OP_SETXATTR, OPF_MUTATES, meta_setxattr },
	{ WP_OP_REMOVEXATTR, OPF_MUTATES | OPF_FREES, meta_removexattr },
	{ WP_OP_LOCK, 0, meta_lock },
	{ WP_OP_LOCK_TEST, 0, meta_lock_test },
	{ WP_OP_LOCK_CANCEL, 0, meta_lock_cancel },
	{ WP_OP_LOCK_RELEASE_OWNER, 0, meta_lock_release_owner },
	{ WP_OP_SET_LAYOUT, OPF_MUTATES, meta_set_layout },
	{ WP_OP_GET_PATH, OPF_ANY, meta_get_path },
	{ WP_OP_META_SYNC, OPF_ANY, meta_sync_op },
	{ WP_OP_REFRESH_CAP, 0, meta_refresh_cap },
	{ WP_OP_USAGE_GET, OPF_ANY, meta_usage_get },
	{ WP_OP_SESSION_LIST, OPF_ANY | OPF_ADMIN, meta_session_list },
};

static const struct op_desc *desc_find(uint16_t opcode)
{
	static const struct op_desc *by_code[0x300];

	if (!by_code[WP_OP_PING])
		for (size_t i = 0; i < ARRAY_SIZE(descs); i++)
			by_code[descs[i].opcode] = &descs[i];
	return opcode < ARRAY_SIZE(by_code) ? by_code[opcode] : NULL;
}

/* ---- life of an op ------------------------------------------------------------------------------------------------------------- */

static int admit(struct op *op, const struct rpc_req *req)
{
	struct meta_target *mt = op->mt;
	uint16_t role = rpc_conn_role(req->conn);

	if (mt->state != META_RUNNING)
		return -WEFT_ENOTREADY;
	op->desc = desc_find(req->hdr.opcode);
	if (!op->desc)
		return -EOPNOTSUPP;
	if (op->desc->flags & OPF_ADMIN && role == WP_ROLE_CLIENT)
		return -WEFT_EDENIED;
	op->ses = session_of(mt, req);
	return op->ses || op->desc->flags & OPF_ANY ? 0 : -WEFT_ENOSESSION;
}

void executor_request(void *ctx, struct rpc_req *req)
{
	struct meta_target *mt = ctx;
	struct op *op;
	int err;

	OBJ_CHECK(mt, META_MAGIC);
	mt->counters.requests++;
	op = arena_zalloc(&req->arena, sizeof(*op));
	OBJ_INIT(op, OP_MAGIC);
	list_init(&op->link);
	list_init(&op->deletions);
	list_init(&op->lease_waits);
	op->mt = mt;
	op->req = req;
	op->arena = &req->arena;
	err = admit(op, req);
	if (err) {
		mt->counters.replies++;
		mt->counters.errors++;
		rpc_reply_err(req, err);
		return;
	}
	if (op->ses)
		op->ses->ops++;
	if (op->desc->flags & OPF_MUTATES && !reply_cache_admit(op))
		return;
	mop_run(op);
}

struct wp_enc *mop_enc(struct op *op, size_t max)
{
	if (op->req)
		op->enc = rpc_reply_enc(op->req, max);
	return &op->enc;
}

struct wp_enc *mop_enc_granted(struct op *op, size_t max)
{
	op->enc_granted = rpc_reply_enc(op->req, max);
	return &op->enc_granted;
}

void mop_reset(struct op *op)
{
	lease_unwait(op);
	op->granted = false;
	op->enc_granted.p = NULL;
	osd_txn_done(&op->txn);
	osd_txn_init(&op->txn);
	delete_drop(op);
	op->n_inodes = 0;
	op->n_usage = 0;
	op->saves_counter = 0;
	op->enc = (struct wp_enc){ 0 };
	op->now_ns = target_now(op->mt);
}

/*
 * An op that waited, and whose client nobody can answer any more: not executed. It may be dead, and who looks after its death must
 * not see its changes come up later. If it lives it asks again, and finds the slot free.
 */
static bool forsaken(const struct op *op)
{
	if (op->begun || !op->ses)
		return false;
	if (op->desc->flags & OPF_MUTATES && !op->slot) /* it went on to something else */
		return true;
	for (; op; op = op->twin) {
		const struct conn_ref *ref = rpc_conn_data(op->req->conn);

		if (ref && ref->ses == op->ses)
			return false;
	}
	return true;
}

static int run_result(struct op *op)
{
	if (op->mt->state != META_RUNNING)
		return -WEFT_ENOTREADY;
	if (op->ses && (op->ses->dead || (op->ses->doomed && !op->begun)))
		return -WEFT_ENOSESSION;
	if (forsaken(op)) {
		op->mt->counters.forsaken++;
		return -WEFT_ENOTREADY;
	}
	return op->desc->fn(op);
}

void mop_run(struct op *op)
{
	struct meta_target *mt = op->mt;
	int r;

	OBJ_CHECK(op, OP_MAGIC);
	mop_reset(op);
	r = run_result(op);
	if (!list_empty(&mt->leases.unsent))
		lease_flush(mt);
	if (r != OP_WAIT)
		mop_finish(op, r);
}

static void reply_one(struct op *op, const struct op *from)
{
	struct rpc_reply r = { .err = from->err };
	struct rpc_req *req = op->req;

	if (!from->err) {
		const struct wp_enc *e = from->enc_granted.p && lease_reply_valid(from) ? &from->enc_granted : &from->enc;

		r.body = e->p;
		r.body_len = e->len;
	}
	op->mt->counters.replies++;
	op->mt->counters.errors += from->err != 0;
	if (op->ses) {
		session_put(op->ses);
		op->ses = NULL;
	}
	OBJ_FINI(op);
	rpc_reply(req, &r);
}

/* Frees op. */
static void send_reply(struct op *op)
{
	struct op *twin = op->twin;

	/* A read whose leases were voided while it waited for the journal comes again. */
	if (!op->err && op->granted && !op->enc_granted.p && !lease_reply_valid(op))
		op->err = -WEFT_ENOTREADY;
	while (twin) {
		struct op *next = twin->twin;

		reply_one(twin, op);
		twin = next;
	}
	reply_one(op, op);
}

void mop_finish(struct op *op, int err)
{
	struct meta_target *mt = op->mt;

	OBJ_CHECK(op, OP_MAGIC);
	weft_assert(err <= 0 && op->req);
	if (!err && op->enc.err) {
		log_err("meta", "%s: the reply does not fit: %d", wp_op_name(op->desc->opcode), op->enc.err);
		err = -EIO;
	}
	if (!err && op->enc_granted.err)
		op->enc_granted.p = NULL;
	lease_unwait(op);
	list_del(&op->link);
	osd_txn_done(&op->txn);
	delete_drop(op);
	op->err = err;
	op->index = journal_last(mt->journal);
	mt->counters.needgroups += err == -WEFT_ENEEDGROUPS;
	mt->counters.nospace += err == -ENOSPC;
	reply_cache_store(op);
	if (op->lazy || journal_durable(mt->journal) >= op->index) {
		send_reply(op);
		return;
	}
	mt->counters.pending++;
	list_append(&mt->pending, &op->link);
}

/* ---- committing ------------------------------------------------------------------------------------------------------------------ */

#define RESERVE_MAX MIB(64)
#define SPACE_COMMITS 64u          /* so many commits, */
#define SPACE_NS (50 * NSEC_PER_MSEC) /* or so long, the look at the free space is good for */

/* The last part of the device is for removals, which write before they free. */
static bool refuse_growth(struct op *op)
{
	struct meta_target *mt = op->mt;
	uint64_t now = env_mono_ns(mt->env);
	struct osd_space s;

	if (!op->req || op->frees || op->desc->flags & OPF_FREES)
		return false;
	if (mt->space_age++ % SPACE_COMMITS == 0 || now - mt->space_ns > SPACE_NS) {
		mt->space_age = 1;
		mt->space_ns = now;
		mt->dev->ops->statfs(mt->dev, &s);
		mt->full = s.index_free < MIN(s.total / 8, RESERVE_MAX);
	}
	return mt->full;
}

static int submit(struct op *op)
{
	struct meta_target *mt = op->mt;
	int err;

	if (!op->txn.count)
		return 0;
	if (refuse_growth(op))
		return -ENOSPC;
	err = journal_append(mt->journal, op->txn.ops.p, op->txn.ops.len);
	if (err)
		return err == -EAGAIN ? -WEFT_ENOTREADY : err;
	err = osd_txn_submit(mt->dev, &op->txn, journal_last(mt->journal), NULL, NULL);
	if (err) {
		journal_undo(mt->journal);
		return err;
	}
	mt->saved_counter = MAX(mt->saved_counter, op->saves_counter);
	usage_apply(op);
	delete_take(op);
	mt->counters.mutations++;
	return 0;
}

static int commit(struct op *op, bool with_reply)
{
	int err;

	ino_flush(op);
	usage_flush(op);
	if (with_reply && op->slot) {
		if (op->enc.err)
			return -EIO;
		if (op->txn.count)
			reply_cache_record(op);
	}
	err = submit(op);
	if (err)
		return err;
	for (uint32_t n = 0; n < op->n_inodes; n++) {
		struct inode *i = &op->inodes[n];

		i->dirty = i->fresh = false;
		if (i->deleted)
			lease_forget(op->mt, wp_fid_to_ino(&i->fid));
		i->old_blocks = i->blocks;
		i->old_uid = i->uid;
		i->old_gid = i->gid;
		i->old_project = i->project;
	}
	osd_txn_init(&op->txn);
	return 0;
}

int mop_commit(struct op *op) { return commit(op, true); }
int mop_commit_step(struct op *op) { return commit(op, false); }

struct op *mop_internal(struct meta_target *mt)
{
	struct arena *a = NEW(struct arena);
	struct op *op = arena_zalloc(a, sizeof(*op));

	OBJ_INIT(op, OP_MAGIC);
	list_init(&op->link);
	list_init(&op->deletions);
	list_init(&op->lease_waits);
	op->mt = mt;
	op->arena = a;
	op->now_ns = target_now(mt);
	return op;
}

void mop_internal_done(struct op *op)
{
	struct arena *a = op->arena;

	osd_txn_done(&op->txn);
	delete_drop(op);
	arena_done(a);
	free(a);
}

void executor_committed(struct meta_target *mt, uint64_t index)
{
	while (!list_empty(&mt->pending)) {
		struct op *op = list_first(&mt->pending, struct op, link);

		if (op->index > index)
			break;
		list_del(&op->link);
		mt->counters.pending--;
		send_reply(op);
	}
}

/* What was executed may not be durable: nobody may be told. The clients ask again, and the reply cache knows. */
void executor_fail_all(struct meta_target *mt, int err)
{
	struct op *op;

	while ((op = list_pop(&mt->pending, struct op, link))) {
		op->err = err;
		mt->counters.pending--;
		send_reply(op);
	}
}
