/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Leases of this mount: for how long they are good, what replies say of them, giving them back.
 *
 * lease_until_ns moves with each answered request, to lease_ms after its sending. If it was reached before, everything cached is
 * dropped, since the target may have given it to others: lease_gen grows. A target that was restarted knows of no leases: everything
 * of its earlier life is dropped, here and in the kernel, before the first connection attaches to the new one.
 */
#include <sys/stat.h>

#include "client/client_priv.h"

#define RECALLS_MAX 4096u

void cl_session_init_leases(struct session *s) { pthread_mutex_init(&s->recalls_lock, NULL); }
void cl_session_done_leases(struct session *s) { pthread_mutex_destroy(&s->recalls_lock); }

/* ---- time -------------------------------------------------------------------------------------------------------- */

/* Statements on this connection are of the session as it is now. */
static bool mdt_counts(const struct mdt *t)
{
	return t->boot_epoch == atomic_load(&t->s->lease_epoch) && t->session_gen == atomic_load(&t->s->gen);
}

bool cl_lease_renew(struct client *c, struct mdt *t, uint64_t sent_ns)
{
	struct session *s = t->s;
	uint64_t now = env_mono_ns(c->env), until = sent_ns + s->lease_ms * NSEC_PER_MSEC, old;

	if (!c->m->cache || until <= now || !t->session || !mdt_counts(t))
		return false;
	old = atomic_load(&s->lease_until_ns);
	if (old < now)
		atomic_fetch_add(&s->lease_gen, 1);
	while (old < until && !atomic_compare_exchange_weak(&s->lease_until_ns, &old, until))
		;
	return true;
}

void cl_lease_stop(struct session *s)
{
	atomic_store(&s->lease_epoch, 0);
	atomic_store(&s->lease_until_ns, 0);
	atomic_fetch_add(&s->lease_gen, 1);
}

/* ---- what replies say -------------------------------------------------------------------------------------------- */

static uint64_t ttl(struct client_op *op)
{
	uint64_t until = atomic_load(&op->mdt->s->lease_until_ns), now = env_mono_ns(op->c->env);

	if (op->ttl_from_ns) /* counted from the first */
		now = op->ttl_from_ns;
	op->ttl_from_ns = now;
	return until > now ? until - now : 0;
}

static void tell_lost(struct client_mount *m, const struct wp_fid *fid, uint32_t lost)
{
	if (lost && m->invalidate)
		m->invalidate(m->invalidate_arg, fid, lost);
}

static void forget(struct client_mount *m, const struct wp_fid *fid, uint64_t change)
{
	cl_cache_forget(m->cache, fid, change);
	tell_lost(m, fid, WP_LEASE_ATTR | WP_LEASE_ENTRIES);
}

uint32_t cl_learn(struct client_op *op, const struct wp_entry *e)
{
	uint32_t lost = 0, bits;

	if (!op->c->m->cache || !e->attr.fid.seq)
		return 0;
	if (!op->leases_count) { /* too late to say what is held; what was known may have been changed by this operation */
		forget(op->c->m, &e->attr.fid, e->attr.change);
		return 0;
	}
	bits = cl_cache_entry(op->c->m->cache, op->mdt->s, e, &lost);
	/*
	 * Not the data: dropping pages waits for reads that this thread may have to answer. Who still has the file open for reading asks
	 * for its attributes from now on, and a later opening does not keep what was there (data_kept).
	 */
	tell_lost(op->c->m, &e->attr.fid, lost & ~(uint32_t)WP_LEASE_DATA_READ);
	return bits;
}

void cl_learn_name(struct client_op *op, const struct wp_entry *dir, struct wp_str name, const struct wp_attr *child)
{
	if (!(cl_learn(op, dir) & WP_LEASE_ENTRIES))
		return;
	/* The caller was told already: its name is not ours to read any more. */
	if (op->flags & OP_ANSWERED) {
		forget(op->c->m, &dir->attr.fid, dir->attr.change);
		return;
	}
	if (cl_cache_name(op->c->m->cache, &dir->attr.fid, dir->attr.change, name, child ? &child->fid : NULL,
			  child ? child->mode & S_IFMT : 0))
		op->res.entry_ttl_ns = ttl(op);
}

void cl_learn_doubt(struct client_op *op, const struct wp_fid *dir)
{
	if (op->c->m->cache)
		forget(op->c->m, dir, 0);
}

void cl_learn_dead(struct client_op *op, const struct wp_attr *a)
{
	if (op->c->m->cache)
		cl_cache_dead(op->c->m->cache, op->mdt->s, a);
}

void cl_op_learn_settle(struct client_op *op, const struct wp_entry *e, void (*next)(struct client_op *op, int err))
{
	op->res.attr_ttl_ns = cl_learn(op, e) & WP_LEASE_ATTR ? ttl(op) : 0;
	cl_op_settle(op, e, next);
}

/* ---- recalls ----------------------------------------------------------------------------------------------------- */

struct recall {
	struct list link; /* mdt.recalls, while work is under way */
	struct env_work work;
	struct rpc_call call;
	struct client_mount *m;
	struct mdt *t; /* NULL: gone */
	uint64_t session;
	uint32_t n;
	uint32_t *held;
	struct wp_lease_ref refs[];
};

static void recall_answered(struct rpc_call *call)
{
	struct recall *r = call->arg;

	free(r->held);
	free(r);
}

/* The answer names the recall's own number: what was granted since is not given back. */
static void recall_answer(void *arg)
{
	struct recall *r = arg;
	struct wp_lease_release_req req = { .leases = r->refs, .leases_n = r->n };

	list_del(&r->link);
	if (!r->t || r->t->session != r->session) {
		free(r->held);
		free(r);
		return;
	}
	rpc_call_init(&r->call, WP_OP_LEASE_RELEASE, recall_answered, r);
	wp_lease_release_req_enc(rpc_call_enc(&r->call, 64 + r->n * 48u), &req);
	r->call.session = r->session;
	rpc_call(r->t->peer, &r->call);
}

static void recall_invalidate(void *arg)
{
	struct recall *r = arg;

	for (uint32_t i = 0; i < r->n; i++)
		tell_lost(r->m, &r->refs[i].fid, r->held[i]);
}

void cl_mdt_notice(void *arg, struct rpc_peer *peer, struct rpc_conn *conn, uint16_t op, const uint8_t *body, uint32_t len)
{
	struct mdt *t = arg;
	struct client *c = t->c;
	struct wp_lease_recall_req req;
	struct recall *r;
	bool told = false;

	if (op != WP_OP_LEASE_RECALL || !c->m->cache || c->freeing || !t->session)
		return;
	if (wp_lease_recall_req_decode(body, len, c->scratch, CLIENT_SCRATCH, &req) || !req.leases_n ||
	    req.leases_n > RECALLS_MAX) {
		log_warn("client", "metadata target %u sent a malformed recall, ignoring", t->target);
		return;
	}
	r = xmalloc(sizeof(*r) + req.leases_n * sizeof(r->refs[0]));
	*r = (struct recall){ .m = c->m, .t = t, .session = t->session, .n = req.leases_n };
	list_init(&r->link);
	r->held = xcalloc(r->n, sizeof(*r->held));
	memcpy(r->refs, req.leases, r->n * sizeof(r->refs[0]));
	/* One of an earlier life of the target takes what was dropped already. */
	for (uint32_t i = 0; i < r->n && mdt_counts(t); i++) {
		r->held[i] = cl_cache_recall(c->m->cache, t->s, &r->refs[i].fid, r->refs[i].lease.bits, r->refs[i].lease.seq);
		told |= r->held[i] != 0;
	}
	if (!c->m->invalidate || !told) {
		recall_answer(r);
		return;
	}
	/* It may have to wait for the kernel, and the kernel for answers of this reactor. */
	r->work = (struct env_work){ .run = recall_invalidate, .done = recall_answer, .arg = r };
	list_append(&t->recalls, &r->link);
	env_work(c->env, &r->work);
}

void cl_mdt_forget_recalls(struct mdt *t)
{
	struct recall *r;

	while ((r = list_pop(&t->recalls, struct recall, link)))
		r->t = NULL;
}

/* ---- giving back what was evicted -------------------------------------------------------------------------------- */

static void given_back(struct rpc_call *call)
{
	struct mdt *t = call->arg;

	t->give_back_busy = false;
	if (!call->err && !t->c->freeing)
		cl_leases_give_back(t);
}

void cl_leases_give_back(struct mdt *t)
{
	struct wp_lease_ref refs[64];
	struct wp_lease_release_req req = { .leases = refs };

	if (!t->c->m->cache || t->give_back_busy || !t->session)
		return;
	req.leases_n = cl_cache_evicted(t->c->m->cache, env_mono_ns(t->c->env), t->s, refs, ARRAY_SIZE(refs));
	if (!req.leases_n)
		return;
	rpc_call_init(&t->give_back, WP_OP_LEASE_RELEASE, given_back, t);
	wp_lease_release_req_enc(rpc_call_enc(&t->give_back, 64 + req.leases_n * 48u), &req);
	t->give_back.session = t->session;
	t->give_back_busy = true;
	rpc_call(t->peer, &t->give_back);
}

/* ---- a target that was restarted, or that evicted us ------------------------------------------------------------- */

struct voiding {
	struct env_work work;
	struct mdt *t;
	uint64_t epoch;
};

static void void_one(void *arg, const struct wp_fid *fid, uint32_t bits)
{
	tell_lost(arg, fid, bits & (WP_LEASE_ATTR | WP_LEASE_DATA_READ));
}

static void void_run(void *arg)
{
	struct voiding *v = arg;
	struct client_mount *m = v->t->m;

	cl_cache_void(m->cache, v->t->s, void_one, m);
	/* Names of all directories at once. */
	tell_lost(m, &WP_FID_ROOT, WP_LEASE_ENTRIES);
}

static void void_done(void *arg)
{
	struct voiding *v = arg;
	struct mdt *t = v->t;
	bool last;

	pthread_mutex_lock(&t->m->lock);
	t->s->voiding = false;
	atomic_store(&t->s->lease_epoch, v->epoch);
	t->voiding = NULL;
	cl_session_wake(t->s);
	last = t->dead && !t->wake_posted;
	pthread_mutex_unlock(&t->m->lock);
	free(v);
	if (last)
		free(t);
}

bool cl_lease_ready(struct mdt *t, uint64_t boot_epoch)
{
	struct client_mount *m = t->m;
	struct session *s = t->s;
	bool ready, start = false;

	if (!m->cache)
		return true;
	pthread_mutex_lock(&m->lock);
	if (!s->voiding && !atomic_load(&s->lease_gen) && !atomic_load(&s->lease_until_ns)) /* nothing was cached yet */
		atomic_store(&s->lease_epoch, boot_epoch);
	ready = boot_epoch == atomic_load(&s->lease_epoch) && !s->voiding;
	if (!ready)
		list_append(&s->waiting, &t->wait);
	if (!ready && !s->voiding) {
		start = s->voiding = true;
		atomic_store(&s->lease_epoch, 0);
		atomic_store(&s->lease_until_ns, 0);
		t->voiding = NEW(struct voiding);
		*t->voiding = (struct voiding){ .work = { .run = void_run, .done = void_done, .arg = t->voiding },
						.t = t,
						.epoch = boot_epoch };
	}
	pthread_mutex_unlock(&m->lock);
	if (start)
		env_work(t->c->env, &t->voiding->work);
	return ready;
}
