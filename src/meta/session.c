/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Sessions: durable records, connections attached to them, eviction of silent clients, and the grace period after a restart in
 * which clients tell again what they hold.
 */
#include "base/log.h"
#include "meta/meta_priv.h"

#define RECORD_HEADER 14u /* client id, pid, slots; then the host */
#define RECORD_LEASES 0x8000u /* in slots: the client asked for leases */
#define LIST_MAX 1024u

struct session *session_find(struct meta_target *mt, uint64_t id)
{
	struct htab_node *n;

	htab_each_match (n, &mt->sessions, hash_u64(id)) {
		struct session *s = container_of(n, struct session, node);

		if (s->id == id)
			return s;
	}
	return NULL;
}

static struct session *session_add(struct meta_target *mt, uint64_t id, uint64_t client_id, uint32_t pid, uint16_t slots,
				   struct wp_str host)
{
	struct session *s = NEW(struct session);

	OBJ_INIT(s, SESSION_MAGIC);
	s->id = id;
	s->client_id = client_id;
	s->pid = pid;
	s->n_slots = slots;
	s->slots = xcalloc(slots, sizeof(*s->slots));
	s->seen_ns = env_mono_ns(mt->env);
	memcpy(s->host, host.p ? host.p : "", MIN(host.len, sizeof(s->host) - 1));
	list_init(&s->conns);
	lease_session_init(mt, s);
	htab_init(&s->handles);
	htab_add(&mt->sessions, &s->node, hash_u64(id));
	list_append(&mt->all_sessions, &s->link);
	mt->counters.sessions++;
	return s;
}

static void session_free(struct session *s)
{
	weft_assert(!s->handles.count);
	reply_cache_drop(s);
	htab_done(&s->handles);
	OBJ_FINI(s);
	free(s);
}

void session_put(struct session *s)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	weft_assert(s->ops > 0);
	if (!--s->ops && s->dead)
		session_free(s);
}

struct session *session_of(struct meta_target *mt, const struct rpc_req *req)
{
	struct conn_ref *ref = rpc_conn_data(req->conn);

	if (!ref || !ref->ses || ref->ses->id != req->hdr.session || ref->ses->doomed)
		return NULL;
	lease_session_heard(mt, ref->ses);
	return ref->ses;
}

/*
 * The client has given up its older connection of this lane, and sends again what was not answered. What the old one may still hold,
 * unread here, must not come after that: locks are not in the reply cache.
 */
static void take_over(struct session *s, const struct conn_ref *by)
{
	struct conn_ref *ref, *tmp;

	list_each_safe (ref, tmp, &s->conns, link) {
		if (ref == by || ref->lane != by->lane)
			continue;
		list_del(&ref->link);
		ref->ses = NULL;
		rpc_conn_close(ref->conn);
	}
}

static void attach_conn(struct session *s, struct rpc_conn *conn, uint16_t lane)
{
	struct conn_ref *ref = rpc_conn_data(conn);

	if (!ref) {
		ref = NEW(struct conn_ref);
		list_init(&ref->link);
		ref->conn = conn;
		rpc_conn_set_data(conn, ref);
	}
	list_del(&ref->link);
	ref->ses = s;
	ref->lane = lane;
	list_append(&s->conns, &ref->link);
	take_over(s, ref);
}

void session_conn_down(void *ctx, struct rpc_conn *conn)
{
	struct conn_ref *ref = rpc_conn_data(conn);

	if (!ref)
		return;
	rpc_conn_set_data(conn, NULL);
	list_del(&ref->link);
	if (ref->ses)
		lease_conn_down(ctx, ref->ses);
	free(ref);
}

/* ---- ending -------------------------------------------------------------------------------------------------------------------- */

static bool drop_handle(struct htab_node *n, void *arg)
{
	struct handle *h = container_of(n, struct handle, node);
	struct meta_target *mt = arg;
	struct wp_fid fid = wp_ino_to_fid(h->m->ino);

	if (h->flags & WP_OPEN_WRITE)
		h->m->unwritten = false; /* who knows what it wrote */
	handle_drop(mt, h);
	ino_released(mt, &fid);
	return true;
}

void session_end(struct meta_target *mt, struct session *s)
{
	struct op *op = mop_internal(mt);
	struct conn_ref *ref;
	struct key k;

	key_u64(&k, KEY_SESSION, s->id);
	osd_txn_del(&op->txn, key_slice(&k));
	reply_cache_forget(op, s);
	if (mop_commit_step(op))
		log_warn("meta", "session %llu: its record could not be removed", (unsigned long long)s->id);
	mop_internal_done(op);
	while ((ref = list_pop(&s->conns, struct conn_ref, link)))
		ref->ses = NULL;
	s->dead = true;
	s->ops++; /* until the end of this function */
	htab_del(&mt->sessions, &s->node);
	list_del(&s->link);
	mt->counters.sessions--;
	(void)lease_session_drop(mt, s);
	locktab_release_session(&mt->locks, s->id);
	while (s->handles.count)
		htab_each(&s->handles, drop_handle, mt);
	session_put(s);
}

static void say_evicted(struct meta_target *mt, struct session *s, const char *why)
{
	struct conn_ref *ref;

	log_notice("meta", "client %016llx on %s (pid %u) evicted: %s", (unsigned long long)s->client_id, s->host, s->pid, why);
	mt->counters.sessions_evicted++;
	/* A client that is alive after all learns of it by having to connect again. */
	list_each (ref, &s->conns, link)
		rpc_conn_close(ref->conn);
}

static void session_evict(struct meta_target *mt, struct session *s, const char *why)
{
	if (!s->doomed)
		say_evicted(mt, s, why);
	session_end(mt, s);
}

void session_doom(struct meta_target *mt, struct session *s, const char *why)
{
	say_evicted(mt, s, why);
	s->doomed = true;
}

/* ---- grace and timeouts ---------------------------------------------------------------------------------------------------------- */

static void grace_check(struct meta_target *mt)
{
	struct session *s, *tmp;
	bool over = env_mono_ns(mt->env) >= mt->grace_end_ns, waiting = false;

	if (!mt->grace)
		return;
	list_each (s, &mt->all_sessions, link)
		waiting |= s->reclaiming;
	if (waiting && !over)
		return;
	list_each_safe (s, tmp, &mt->all_sessions, link)
		if (s->reclaiming)
			session_evict(mt, s, "did not come back after the restart");
	mt->grace = false;
	orphans_sweep(mt);
}

static void tick(void *arg)
{
	struct meta_target *mt = arg;
	uint64_t now = env_mono_ns(mt->env), limit = mt->params.session_timeout_ms * NSEC_PER_MSEC;
	struct session *s, *tmp;

	OBJ_CHECK(mt, META_MAGIC);
	if (mt->state != META_RUNNING)
		return;
	grace_check(mt);
	list_each_safe (s, tmp, &mt->all_sessions, link)
		if (!s->reclaiming && now - s->seen_ns > (s->n_leases ? MAX(limit, mt->leases.limit_ns) : limit))
			session_evict(mt, s, "silent for too long");
	env_timer_in(mt->env, &mt->timer, MIN(limit / 4, mt->grace ? NSEC_PER_SEC : limit));
}

void sessions_start(struct meta_target *mt)
{
	struct session *s;

	lease_start(mt);
	mt->grace = !list_empty(&mt->all_sessions);
	mt->grace_end_ns = env_mono_ns(mt->env) + mt->params.grace_ms * NSEC_PER_MSEC;
	list_each (s, &mt->all_sessions, link)
		s->reclaiming = true;
	if (!mt->grace)
		orphans_sweep(mt);
	mt->timer.fn = tick;
	mt->timer.arg = mt;
	tick(mt);
}

int session_load_all(struct meta_target *mt)
{
	struct osd_slice key, value;
	struct osd_iter it;
	struct key k;

	key_start(&k, KEY_SESSION);
	osd_iter_init(&it, mt->dev, key_slice(&k));
	while (!table_next(&it, KEY_SESSION, &key, &value)) {
		const uint8_t *v = value.p;

		if (key.len != 9 || value.len < RECORD_HEADER || value.len > RECORD_HEADER + 64)
			return -WEFT_ECORRUPT;
		session_add(mt, key_get64((const uint8_t *)key.p + 1), wp_get_le64(v), wp_get_le32(v + 8),
			    (uint16_t)(wp_get_le16(v + 12) & ~RECORD_LEASES),
			    wp_str_n((const char *)v + RECORD_HEADER, (uint32_t)(value.len - RECORD_HEADER)))
			->leases = wp_get_le16(v + 12) & RECORD_LEASES;
	}
	return 0;
}

void sessions_detach(struct meta_target *mt)
{
	struct session *s;

	list_each (s, &mt->all_sessions, link) {
		struct conn_ref *ref;

		while ((ref = list_pop(&s->conns, struct conn_ref, link)))
			ref->ses = NULL;
		while (s->handles.count) {
			struct htab_node *n = NULL;

			for (size_t b = 0; !n; b++)
				n = s->handles.buckets[b];
			handle_drop(mt, container_of(n, struct handle, node));
		}
	}
}

void sessions_free(struct meta_target *mt)
{
	struct session *s;

	while ((s = list_pop(&mt->all_sessions, struct session, link)))
		session_free(s);
	htab_done(&mt->sessions);
}

/* ---- handlers -------------------------------------------------------------------------------------------------------------------- */

static struct session *find_client(struct meta_target *mt, uint64_t client_id)
{
	struct session *s;

	list_each (s, &mt->all_sessions, link)
		if (s->client_id == client_id)
			return s;
	return NULL;
}

int meta_session_open(struct op *op)
{
	struct meta_target *mt = op->mt;
	struct wp_session_open_rep rep;
	uint8_t v[RECORD_HEADER + 64];
	struct session *s;
	uint16_t slots;
	struct key k;
	int err;

	META_REQ(op, session_open, m);
	s = find_client(mt, m->client_id);
	if (s && s == op->ses)
		return -EBUSY;
	if (s) {
		struct conn_ref *ref = rpc_conn_data(op->req->conn);

		if (ref) { /* this connection goes on */
			list_del(&ref->link);
			ref->ses = NULL;
		}
		lease_session_back(mt, s);
		session_evict(mt, s, "opened a new session");
	}
	slots = (uint16_t)(m->slots ? MIN(m->slots, WEFT_SLOTS_MAX) : WEFT_SLOTS_DEFAULT);
	wp_put_le64(v, m->client_id);
	wp_put_le32(v + 8, m->pid);
	wp_put_le16(v + 12, (uint16_t)(slots | (m->leases ? RECORD_LEASES : 0)));
	memcpy(v + RECORD_HEADER, m->host.p ? m->host.p : "", m->host.len);
	key_u64(&k, KEY_SESSION, mt->next_session);
	osd_txn_put(&op->txn, key_slice(&k), osd_slice(v, RECORD_HEADER + m->host.len));
	counter_put(op, "next_session", mt->next_session + 1);
	err = mop_commit_step(op);
	if (err)
		return err;
	s = session_add(mt, mt->next_session++, m->client_id, m->pid, slots, m->host);
	s->leases = m->leases;
	attach_conn(s, op->req->conn, m->lane);
	mt->counters.sessions_opened++;
	rep = (struct wp_session_open_rep){ .session = s->id,
					    .boot_epoch = mt->boot_epoch,
					    .slots = slots,
					    .timeout_ms = mt->params.session_timeout_ms,
					    .lease_ms = mt->params.lease_ms };
	wp_session_open_rep_enc(mop_enc(op, 128), &rep);
	return 0;
}

int meta_session_attach(struct op *op)
{
	struct meta_target *mt = op->mt;
	struct wp_session_attach_rep rep;
	struct session *s;

	META_REQ(op, session_attach, m);
	s = session_find(mt, m->session);
	if (!s || s->client_id != m->client_id || s->doomed)
		return -WEFT_ENOSESSION;
	lease_session_heard(mt, s);
	attach_conn(s, op->req->conn, m->lane);
	lease_session_back(mt, s);
	lease_session_attached(mt, s);
	rep = (struct wp_session_attach_rep){ .boot_epoch = mt->boot_epoch,
					      .reclaim = s->reclaiming,
					      .timeout_ms = mt->params.session_timeout_ms,
					      .lease_ms = mt->params.lease_ms };
	wp_session_attach_rep_enc(mop_enc(op, 128), &rep);
	return 0;
}

static int reclaim_open(struct op *op, const struct wp_open_ref *r)
{
	struct inode *i;
	int err;

	if (handle_find(op->ses, r->handle))
		return 0;
	op->n_inodes = 0;
	err = ino_get(op, &r->fid, &i);
	if (err)
		return err;
	if (r->flags & WP_OPEN_WRITE) {
		(void)handle_prepare(i, r->flags);
		err = mop_commit_step(op);
		if (err)
			return err;
	}
	handle_add(op, i, r->handle, r->flags, COMPS_UNKNOWN)->shared = true; /* what happened before the restart is not known */
	return 0;
}

int meta_reclaim(struct op *op)
{
	struct wp_reclaim_rep rep = { 0 };

	META_REQ(op, reclaim, m);
	for (uint32_t n = 0; n < m->opens_n; n++)
		rep.refused += reclaim_open(op, &m->opens[n]) != 0;
	for (uint32_t n = 0; n < m->locks_n; n++)
		rep.refused += lock_reclaim(op, &m->locks[n]) != 0;
	if (m->done) {
		op->ses->reclaiming = false;
		grace_check(op->mt);
	}
	wp_reclaim_rep_enc(mop_enc(op, 64), &rep);
	return 0;
}

int meta_session_close(struct op *op)
{
	META_REQ(op, session_close, m);
	if (!op->ses || op->ses->id != m->session)
		return -WEFT_ENOSESSION;
	session_end(op->mt, op->ses);
	wp_session_close_rep_enc(mop_enc(op, 64), &(struct wp_session_close_rep){ 0 });
	return 0;
}

int meta_session_ping(struct op *op)
{
	struct wp_session_ping_rep rep = { .boot_epoch = op->mt->boot_epoch };
	struct session *s;

	META_REQ(op, session_ping, m);
	s = session_find(op->mt, m->session);
	if (!s || op->ses != s)
		return -WEFT_ENOSESSION;
	wp_session_ping_rep_enc(mop_enc(op, 64), &rep);
	return 0;
}

int meta_session_list(struct op *op)
{
	struct wp_session_list_rep rep = { 0 };
	struct session *s;
	uint64_t now = env_mono_ns(op->mt->env);

	META_REQ(op, session_list, m);
	rep.sessions = arena_alloc(op->arena, LIST_MAX * sizeof(*rep.sessions));
	list_each (s, &op->mt->all_sessions, link) {
		if (s->id < m->first)
			continue;
		if (rep.sessions_n == LIST_MAX) {
			rep.more = 1;
			break;
		}
		rep.sessions[rep.sessions_n++] = (struct wp_session_info){
			.session = s->id, .client_id = s->client_id, .host = wp_str(s->host), .pid = s->pid,
			.opens = (uint32_t)s->handles.count, .locks = locktab_count(&op->mt->locks, s->id),
			.idle_ms = (now - s->seen_ns) / NSEC_PER_MSEC };
	}
	wp_session_list_rep_enc(mop_enc(op, 64 + rep.sessions_n * 160u), &rep);
	return 0;
}

int meta_seq_alloc(struct op *op)
{
	struct meta_target *mt = op->mt;
	struct wp_seq_alloc_rep rep;
	uint8_t v[8];
	int err;

	META_REQ(op, seq_alloc, m);
	if (!m->count || m->count > 1024)
		return -EINVAL;
	if (mt->next_counter + m->count > WP_FID_COUNTER_MAX)
		return -ENOSPC;
	rep = (struct wp_seq_alloc_rep){ .first = wp_fid_seq(mt->params.target, (uint32_t)mt->next_counter), .count = m->count };
	wp_put_le64(v, __builtin_bswap64(op->ses->id));
	for (uint32_t n = 0; n < m->count; n++) {
		struct key k;

		key_u64(&k, KEY_GRANT, rep.first + n);
		osd_txn_put(&op->txn, key_slice(&k), osd_slice(v, sizeof(v)));
	}
	counter_put(op, "next_seq", op->saves_counter = mt->next_counter + m->count);
	wp_seq_alloc_rep_enc(mop_enc(op, 64), &rep);
	err = mop_commit(op);
	if (!err)
		mt->next_counter += m->count;
	return err;
}
