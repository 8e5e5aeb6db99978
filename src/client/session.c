/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Sessions with metadata targets. One session per mount and target; each reactor's connection attaches to it and uses its own
 * part of the slots. States and who moves them:
 *
 *	NONE -> OPENING       the first reactor whose connection comes up sends session_open
 *	OPENING -> OPEN       answered; -> NONE when the connection fails first
 *	OPEN -> OPEN          further connections: session_attach
 *	OPEN -> RECLAIMING    a restarted target asks for our handles and locks; one reactor tells it
 *	RECLAIMING -> OPEN    all told; -> OPEN also when that connection fails (the target asks the next one again)
 *	any -> NONE           the target does not know the session: generation + 1, our handles and locks are gone
 */
#include "client/client_priv.h"

#define RECLAIM_BATCH 512u

struct attach_reclaim {
	struct wp_open_ref *opens;
	struct wp_lock_ref *locks;
	uint32_t opens_n, locks_n, opens_sent, locks_sent;
};

static void attach_start(struct mdt *t);
static void mdt_ping(void *arg);

/* ---- waiting for another reactor's attempt ----------------------------------------------------------------------- */

static void mdt_woken(void *arg)
{
	struct mdt *t = arg;
	bool dead, last;

	pthread_mutex_lock(&t->m->lock);
	t->wake_posted = false;
	dead = t->dead;
	last = dead && !t->voiding;
	pthread_mutex_unlock(&t->m->lock);
	if (last)
		free(t);
	else if (!dead && t->conn)
		attach_start(t);
}

/* With the mount locked. */
void cl_session_wake(struct session *s)
{
	struct mdt *t;

	while ((t = list_pop(&s->waiting, struct mdt, wait))) {
		if (!t->wake_posted)
			env_post(t->c->env, &t->wake);
		t->wake_posted = true;
	}
}

void cl_mdt_init_session(struct mdt *t)
{
	struct client_mount *m = t->c->m;
	struct session *s;

	t->m = m;
	pthread_mutex_lock(&m->lock);
	list_each(s, &m->sessions, link) {
		if (s->target == t->target)
			break;
	}
	if (&s->link == &m->sessions) {
		s = NEW(struct session);
		s->target = t->target;
		list_init(&s->waiting);
		cl_session_init_leases(s);
		list_append(&m->sessions, &s->link);
	}
	t->s = s;
	pthread_mutex_unlock(&m->lock);
	t->wake.fn = mdt_woken;
	t->wake.arg = t;
	t->ping_timer.fn = mdt_ping;
	t->ping_timer.arg = t;
}

void cl_mdt_detach_wait(struct mdt *t)
{
	pthread_mutex_lock(&t->c->m->lock);
	list_del(&t->wait);
	pthread_mutex_unlock(&t->c->m->lock);
}

bool cl_file_stale(struct client_file *f)
{
	return f->session_gen != atomic_load_explicit(&f->session->gen, memory_order_relaxed);
}

/* ---- pings ------------------------------------------------------------------------------------------------------- */

static uint32_t ping_interval(const struct session *s)
{
	uint32_t ms = s->timeout_ms ? s->timeout_ms / 4 : 2500;

	return s->lease_ms ? MIN(ms, s->lease_ms / 3) : ms;
}

static void mdt_ping_arm(struct mdt *t) { env_timer_in(t->c->env, &t->ping_timer, ping_interval(t->s) * NSEC_PER_MSEC); }

static void mdt_ping_done(struct rpc_call *call)
{
	struct mdt *t = call->arg;

	t->ping_busy = false;
	if (t->c->freeing)
		return;
	if (!call->err)
		(void)cl_lease_renew(t->c, t, t->ping_sent_ns);
	cl_leases_give_back(t);
	mdt_ping_arm(t);
}

/* Keeps the session alive; one reactor's ping does for all. */
static void mdt_ping(void *arg)
{
	struct mdt *t = arg;
	struct client_mount *m = t->c->m;
	struct wp_session_ping_req req = { .session = t->session };
	uint64_t now = env_mono_ns(t->c->env);
	bool recent;

	if (t->ping_busy)
		return;
	pthread_mutex_lock(&m->lock);
	recent = t->s->pinged_ns && now - t->s->pinged_ns < ping_interval(t->s) * 2 / 3 * NSEC_PER_MSEC;
	if (!recent)
		t->s->pinged_ns = now;
	pthread_mutex_unlock(&m->lock);
	if (recent || !t->session) {
		mdt_ping_arm(t);
		return;
	}
	rpc_call_init(&t->ping, WP_OP_SESSION_PING, mdt_ping_done, t);
	wp_session_ping_req_enc(rpc_call_enc(&t->ping, 64), &req);
	t->ping.session = t->session;
	t->ping_busy = true;
	t->ping_sent_ns = now;
	rpc_call(t->peer, &t->ping);
}

/* Once there is a session; the call that made the peer connect uses the same memory, and starts it when it is done. */
void cl_mdt_ping_start(struct mdt *t)
{
	if (!env_timer_armed(&t->ping_timer) && !t->ping_busy)
		mdt_ping_arm(t);
}

/* ---- attaching --------------------------------------------------------------------------------------------------- */

/* This connection is part of the session now. */
static void attach_ready(struct mdt *t, uint64_t boot_epoch)
{
	struct client_mount *m = t->c->m;
	struct session *s = t->s;
	struct rpc_conn *conn = t->conn;
	uint32_t first, last, i;

	pthread_mutex_lock(&m->lock);
	if (t->session != s->id || t->session_gen != s->gen) {
		t->session = s->id;
		t->session_gen = s->gen;
		first = (uint32_t)((uint64_t)s->slots * t->c->index / m->reactors);
		last = (uint32_t)((uint64_t)s->slots * (t->c->index + 1) / m->reactors);
		t->slot_base = first;
		t->slots_n = last - first;
		t->free_slots = xrealloc(t->free_slots, (t->slots_n + 1) * sizeof(*t->free_slots));
		t->free_n = 0;
		for (i = last; i > first; i--)
			t->free_slots[t->free_n++] = (uint16_t)(i - 1);
	}
	t->boot_epoch = boot_epoch;
	pthread_mutex_unlock(&m->lock);
	t->conn = NULL;
	rpc_peer_ready(t->peer, conn, 0);
	cl_mdt_ping_start(t);
	cl_mdt_submit_queue(t);
}

/* With -WEFT_ENOSESSION the calls that were sent in the session fail; the next connection opens a new one. */
static void attach_failed(struct mdt *t, int err)
{
	struct rpc_conn *conn = t->conn;

	t->conn = NULL;
	rpc_peer_ready(t->peer, conn, err);
}

static void attach_set_state(struct mdt *t, enum session_state state)
{
	pthread_mutex_lock(&t->c->m->lock);
	t->s->state = state;
	cl_session_wake(t->s);
	pthread_mutex_unlock(&t->c->m->lock);
}

/*
 * Is this connection of the life of the target for which the cache was made ready? A target that is still opening says nothing of
 * that in its hello, and may take the session all the same a moment later. Nothing would count that it states: connect again.
 */
static bool attach_current(struct mdt *t, uint64_t boot_epoch)
{
	return !t->m->cache || boot_epoch == atomic_load(&t->s->lease_epoch);
}

static void session_opened(struct rpc_call *call)
{
	struct mdt *t = call->arg;
	struct session *s = t->s;
	struct wp_session_open_rep rep;
	int err = call->err;

	if (!err)
		err = wp_session_open_rep_decode(call->reply, call->reply_len, NULL, 0, &rep);
	/* Fewer slots than reactors would leave one of them unable to change anything. */
	if (!err && (!rep.session || rep.slots < t->c->m->reactors || rep.slots > WEFT_SLOTS_MAX))
		err = -EPROTO;
	pthread_mutex_lock(&t->c->m->lock);
	if (!err) {
		s->id = rep.session;
		s->slots = rep.slots;
		s->timeout_ms = rep.timeout_ms;
		s->lease_ms = rep.lease_ms;
		s->boot_epoch = rep.boot_epoch;
		s->pinged_ns = env_mono_ns(t->c->env);
	}
	s->state = err ? SESSION_NONE : SESSION_OPEN;
	cl_session_wake(s);
	pthread_mutex_unlock(&t->c->m->lock);
	if (err)
		attach_failed(t, err == -WEFT_ENOSESSION ? -EPROTO : err);
	else if (!attach_current(t, rep.boot_epoch))
		attach_failed(t, -ECONNRESET);
	else
		attach_ready(t, rep.boot_epoch);
}

static void attach_open(struct mdt *t)
{
	struct client_mount *m = t->c->m;
	struct wp_session_open_req req = {
		.client_id = m->id.client_id,
		.host = wp_str(m->host),
		.pid = m->pid,
		.leases = m->cache != NULL,
		.lane = (uint16_t)t->c->index,
		.slots = (uint16_t)MIN(WEFT_SLOTS_MAX, MAX(WEFT_SLOTS_DEFAULT, 128 * m->reactors)),
	};

	rpc_call_init(&t->attach, WP_OP_SESSION_OPEN, session_opened, t);
	wp_session_open_req_enc(rpc_call_enc(&t->attach, 256), &req);
	rpc_call_on(t->conn, &t->attach);
}

/* ---- reclaim ----------------------------------------------------------------------------------------------------- */

static void reclaim_free(struct mdt *t)
{
	if (!t->reclaim)
		return;
	free(t->reclaim->opens);
	free(t->reclaim->locks);
	free(t->reclaim);
	t->reclaim = NULL;
}

struct lock_collector {
	struct attach_reclaim *r;
	uint32_t target, cap;
};

static bool reclaim_inode_locks(struct htab_node *n, void *arg)
{
	struct client_inode *in = container_of(n, struct client_inode, node);
	struct lock_collector *col = arg;
	struct attach_reclaim *r = col->r;
	struct held_lock *h;

	if (wp_fid_mdt(&in->fid) != col->target)
		return true;
	pthread_mutex_lock(&in->lock);
	list_each(h, &in->locks, link) {
		if (r->locks_n == col->cap) {
			col->cap = col->cap ? col->cap * 2 : 16;
			r->locks = xrealloc(r->locks, col->cap * sizeof(*r->locks));
		}
		r->locks[r->locks_n++] = (struct wp_lock_ref){
			.fid = in->fid, .kind = h->l.kind, .type = h->l.type, .owner = h->l.owner, .start = h->l.start,
			.end = h->l.end, .pid = h->l.pid,
		};
	}
	pthread_mutex_unlock(&in->lock);
	return true;
}

/* Every handle and lock that the mount has at the target. */
static struct attach_reclaim *reclaim_collect(struct mdt *t)
{
	struct client_mount *m = t->c->m;
	struct attach_reclaim *r = NEW(struct attach_reclaim);
	struct lock_collector col = { .r = r, .target = t->target };
	struct client_file *f;
	uint32_t cap = 0;

	pthread_mutex_lock(&m->lock);
	list_each(f, &m->files, link) {
		if (f->session != t->s || f->session_gen != t->s->gen)
			continue;
		if (r->opens_n == cap) {
			cap = cap ? cap * 2 : 64;
			r->opens = xrealloc(r->opens, cap * sizeof(*r->opens));
		}
		r->opens[r->opens_n++] = (struct wp_open_ref){ .fid = f->inode->fid, .handle = f->handle, .flags = f->flags };
	}
	htab_each(&m->inodes, reclaim_inode_locks, &col);
	pthread_mutex_unlock(&m->lock);
	return r;
}

static void reclaim_next(struct mdt *t);

static void reclaim_answered(struct rpc_call *call)
{
	struct mdt *t = call->arg;
	struct attach_reclaim *r = t->reclaim;
	struct wp_reclaim_rep rep;
	int err = call->err;

	if (!err)
		err = wp_reclaim_rep_decode(call->reply, call->reply_len, NULL, 0, &rep);
	if (!err && rep.refused)
		log_warn("client", "metadata target %u refused %u handles or locks after its restart", t->target, rep.refused);
	if (!err && (r->opens_sent < r->opens_n || r->locks_sent < r->locks_n)) {
		reclaim_next(t);
		return;
	}
	reclaim_free(t);
	attach_set_state(t, SESSION_OPEN);
	if (err)
		attach_failed(t, err);
	else
		attach_ready(t, rpc_peer_boot_epoch(t->peer));
}

static void reclaim_next(struct mdt *t)
{
	struct attach_reclaim *r = t->reclaim;
	struct wp_reclaim_req req = {
		.opens = r->opens ? r->opens + r->opens_sent : NULL,
		.opens_n = MIN(r->opens_n - r->opens_sent, RECLAIM_BATCH),
		.locks = r->locks ? r->locks + r->locks_sent : NULL,
		.locks_n = MIN(r->locks_n - r->locks_sent, RECLAIM_BATCH),
	};

	r->opens_sent += req.opens_n;
	r->locks_sent += req.locks_n;
	req.done = r->opens_sent == r->opens_n && r->locks_sent == r->locks_n;
	rpc_call_init(&t->attach, WP_OP_RECLAIM, reclaim_answered, t);
	wp_reclaim_req_enc(rpc_call_enc(&t->attach, 64 + req.opens_n * 64 + req.locks_n * 96), &req);
	t->attach.session = t->s->id;
	rpc_call_on(t->conn, &t->attach);
}

/* ---- attach ------------------------------------------------------------------------------------------------------ */

static void session_lost(struct mdt *t, uint64_t id)
{
	struct client_mount *m = t->c->m;
	struct session *s = t->s;

	pthread_mutex_lock(&m->lock);
	if (s->id == id && s->state == SESSION_OPEN) {
		log_notice("client", "metadata target %u has evicted us: open files and locks there are lost", t->target);
		s->id = 0;
		atomic_fetch_add(&s->gen, 1);
		s->state = SESSION_NONE;
		t->c->stats.sessions_lost++;
		cl_lease_stop(s);
	}
	pthread_mutex_unlock(&m->lock);
	t->session = 0;
}

static void session_attached(struct rpc_call *call)
{
	struct mdt *t = call->arg;
	struct session *s = t->s;
	struct wp_session_attach_rep rep;
	int err = call->err;
	bool wait = false;

	if (!err)
		err = wp_session_attach_rep_decode(call->reply, call->reply_len, NULL, 0, &rep);
	if (err) {
		if (err == -WEFT_ENOSESSION)
			session_lost(t, call->session);
		attach_failed(t, err);
		return;
	}
	if (!attach_current(t, rep.boot_epoch)) {
		attach_failed(t, -ECONNRESET);
		return;
	}
	if (!rep.reclaim) {
		attach_ready(t, rep.boot_epoch);
		return;
	}
	pthread_mutex_lock(&t->c->m->lock);
	if (s->state == SESSION_RECLAIMING) {
		list_append(&s->waiting, &t->wait);
		wait = true;
	} else {
		s->state = SESSION_RECLAIMING;
	}
	pthread_mutex_unlock(&t->c->m->lock);
	if (wait)
		return; /* and attach again when it is done */
	t->reclaim = reclaim_collect(t);
	reclaim_next(t);
}

static void attach_start(struct mdt *t)
{
	struct client_mount *m = t->c->m;
	struct session *s = t->s;
	struct wp_session_attach_req req = { .client_id = m->id.client_id, .lane = (uint16_t)t->c->index };
	enum session_state state;

	if (!cl_lease_ready(t, rpc_peer_boot_epoch(t->peer)))
		return;
	pthread_mutex_lock(&m->lock);
	state = s->state;
	if (state == SESSION_NONE)
		s->state = SESSION_OPENING;
	else if (state == SESSION_OPENING || state == SESSION_RECLAIMING)
		list_append(&s->waiting, &t->wait);
	req.session = s->id;
	pthread_mutex_unlock(&m->lock);
	if (state == SESSION_NONE) {
		attach_open(t);
	} else if (state == SESSION_OPEN) {
		rpc_call_init(&t->attach, WP_OP_SESSION_ATTACH, session_attached, t);
		wp_session_attach_req_enc(rpc_call_enc(&t->attach, 64), &req);
		t->attach.session = req.session;
		rpc_call_on(t->conn, &t->attach);
	}
}

void cl_mdt_attach(void *arg, struct rpc_peer *peer, struct rpc_conn *conn)
{
	struct mdt *t = arg;

	weft_assert(t->peer == peer || !t->peer);
	/* A connection that died while it waited for another reactor is simply replaced. */
	cl_mdt_detach_wait(t);
	if (t->conn)
		attach_failed(t, -ECONNRESET);
	reclaim_free(t);
	t->conn = conn;
	attach_start(t);
}

void cl_mdt_free(struct mdt *t)
{
	bool posted;

	env_timer_cancel(t->c->env, &t->ping_timer);
	reclaim_free(t);
	cl_mdt_forget_recalls(t);
	free(t->free_slots);
	t->free_slots = NULL;
	pthread_mutex_lock(&t->m->lock);
	list_del(&t->wait);
	posted = t->wake_posted || t->voiding;
	t->dead = true;
	pthread_mutex_unlock(&t->m->lock);
	if (!posted) /* otherwise the task is the last to see it */
		free(t);
}
