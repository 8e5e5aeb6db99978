/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The table of leases: grants, recalls, releases. */
#include "base/log.h"
#include "meta/meta_priv.h"

enum { LEASE_FIRST = 1, LEASE_COUNTED = 2, LEASE_TRIM = 4 }; /* COUNTED: in lease_hot.pending; TRIM: in lease_tab.trimming */

#define TRIM_BATCH 64u
#define SEND_BATCH 256u /* of one notice */
#define PATIENCE 4u	/* a client that loses its connections, or falls silent, again and again does not win time for ever */

static uint32_t now_us(struct meta_target *mt) { return (uint32_t)(env_mono_ns(mt->env) / 1000); }

static uint64_t own_hash(uint64_t ino, const struct session *s) { return hash_u64(ino ^ s->id * 0x9e3779b97f4a7c15ull); }

static struct lease *own_find(struct meta_target *mt, uint64_t ino, const struct session *s)
{
	struct htab_node *n;

	htab_each_match (n, &mt->leases.own, own_hash(ino, s)) {
		struct lease *l = container_of(n, struct lease, own);

		if (l->ino == ino && l->ses == s)
			return l;
	}
	return NULL;
}

static struct lease *first_find(struct meta_target *mt, uint64_t ino)
{
	struct htab_node *n;

	htab_each_match (n, &mt->leases.inodes, hash_u64(ino)) {
		struct lease *l = container_of(n, struct lease, first);

		if (l->ino == ino)
			return l;
	}
	return NULL;
}

static struct lease *ring_next(struct lease *l) { return list_entry(l->ring.next, struct lease, ring); }

static void set_bits(struct meta_target *mt, struct lease *l, uint32_t bits)
{
	mt->leases.writers += (bits & LEASE_WRITERS) != 0;
	mt->leases.writers -= (l->bits & LEASE_WRITERS) != 0;
	l->bits = (uint8_t)bits;
}

/* The recall of l is answered, or does not matter any more. */
static void recall_over(struct meta_target *mt, struct lease *l)
{
	uint8_t flags = l->flags;

	l->recalled = 0;
	l->flags = flags & LEASE_FIRST;
	if (flags & LEASE_TRIM)
		mt->leases.trimming--;
	if (flags & LEASE_COUNTED)
		lease_hot_answered(mt, l->ino);
}

static void session_settled(struct session *s)
{
	if (list_empty(&s->unsent))
		list_del(&s->unsent_link);
	if (list_empty(&s->unsent) && list_empty(&s->recalls))
		list_del(&s->recalling);
}

static void drop(struct meta_target *mt, struct lease *l)
{
	struct lease_tab *t = &mt->leases;
	struct session *s = l->ses;

	recall_over(mt, l);
	set_bits(mt, l, 0);
	htab_del(&t->own, &l->own);
	if (l->flags & LEASE_FIRST) {
		htab_del(&t->inodes, &l->first);
		if (!list_empty(&l->ring)) {
			struct lease *next = ring_next(l);

			next->flags |= LEASE_FIRST;
			htab_add(&t->inodes, &next->first, hash_u64(l->ino));
		}
	}
	list_del(&l->ring);
	list_del(&l->link);
	session_settled(s);
	s->n_leases--;
	mt->counters.leases--;
	free(l);
}

static struct lease *add(struct meta_target *mt, uint64_t ino, struct session *s)
{
	struct lease_tab *t = &mt->leases;
	struct lease *l = NEW(struct lease), *first = first_find(mt, ino);

	l->ses = s;
	l->ino = ino;
	list_init(&l->ring);
	htab_add(&t->own, &l->own, own_hash(ino, s));
	if (first) {
		list_append(&first->ring, &l->ring);
	} else {
		l->flags = LEASE_FIRST;
		htab_add(&t->inodes, &l->first, hash_u64(ino));
	}
	list_append(&s->lru, &l->link);
	s->n_leases++;
	mt->counters.leases++;
	return l;
}

void lease_forget(struct meta_target *mt, uint64_t ino)
{
	struct lease *l;

	while (mt->counters.leases && (l = first_find(mt, ino)))
		drop(mt, l);
}

/* ---- recalls ----------------------------------------------------------------------------------------------------------------------- */

/* false: all of it was recalled before. */
static bool recall(struct meta_target *mt, struct lease *l, uint32_t bits, uint8_t flag)
{
	struct lease_tab *t = &mt->leases;
	struct session *s = l->ses;

	if (!(l->flags & flag)) {
		l->flags |= flag;
		if (flag == LEASE_TRIM)
			t->trimming++;
		else
			lease_hot_get(mt, l->ino)->pending++;
	}
	bits &= l->bits;
	if (!(bits & ~(uint32_t)l->recalled))
		return false;
	mt->counters.lease_recalls++;
	l->recalled = (uint8_t)(l->recalled | bits);
	l->seq = ++s->lease_seq;
	l->when_us = now_us(mt);
	list_del(&l->link);
	list_append(&s->unsent, &l->link);
	if (list_empty(&s->unsent_link))
		list_append(&t->unsent, &s->unsent_link);
	if (list_empty(&s->recalling)) {
		list_append(&t->recalling, &s->recalling);
		s->patience = 0;
		s->patience_us = l->when_us;
		lease_timer_by(mt, s->seen_ns + t->limit_ns);
	}
	return true;
}

static void send_batch(struct meta_target *mt, struct session *s, struct rpc_conn *conn)
{
	struct wp_lease_ref refs[SEND_BATCH];
	struct wp_lease_recall_req m = { .leases = refs };
	uint8_t body[SEND_BATCH * (WP_LEASE_REF_MIN + 4) + 64];
	struct lease *l;
	struct wp_enc e;

	while (m.leases_n < SEND_BATCH && (l = list_pop(&s->unsent, struct lease, link))) {
		refs[m.leases_n++] = (struct wp_lease_ref){ .fid = wp_ino_to_fid(l->ino), .lease = { l->recalled, l->seq } };
		list_append(&s->recalls, &l->link);
	}
	wp_enc_init(&e, body, sizeof(body));
	wp_lease_recall_req_enc(&e, &m);
	weft_assert(!e.err);
	rpc_conn_notice(conn, WP_OP_LEASE_RECALL, body, e.len);
	lease_timer_by(mt, env_mono_ns(mt->env) + mt->leases.limit_ns);
}

/* Those without a connection get theirs when they attach one. */
void lease_flush(struct meta_target *mt)
{
	struct session *s, *tmp;

	list_each_safe (s, tmp, &mt->leases.unsent, unsent_link) {
		if (list_empty(&s->conns) || s->doomed)
			continue;
		while (!list_empty(&s->unsent))
			send_batch(mt, s, list_last(&s->conns, struct conn_ref, link)->conn);
		list_del(&s->unsent_link);
	}
}

/* Time for the answer: the client could not give it before. */
static void be_patient(struct meta_target *mt, struct session *s)
{
	if (s->patience++ < PATIENCE)
		s->patience_us = now_us(mt);
}

/* A notice may have been lost with a connection, also with one of which this side does not know yet that it is dead. */
static void send_again(struct meta_target *mt, struct session *s)
{
	if (s->doomed || (list_empty(&s->recalls) && list_empty(&s->unsent)))
		return;
	list_splice(&s->recalls, &s->unsent); /* the oldest stay first */
	list_splice(&s->unsent, &s->recalls);
	if (list_empty(&s->unsent_link))
		list_append(&mt->leases.unsent, &s->unsent_link);
	if (list_empty(&s->conns))
		return;
	be_patient(mt, s);
	lease_flush(mt);
}

void lease_conn_down(struct meta_target *mt, struct session *s) { send_again(mt, s); }
void lease_session_attached(struct meta_target *mt, struct session *s) { send_again(mt, s); }

void lease_session_heard(struct meta_target *mt, struct session *s)
{
	uint64_t now = env_mono_ns(mt->env), silent = now - s->seen_ns;

	s->seen_ns = now;
	if (silent > mt->leases.limit_ns && s->n_leases)
		lease_session_void(mt, s);
	else if (silent > mt->leases.limit_ns / 2 && !list_empty(&s->recalls))
		be_patient(mt, s);
}

/* Room for others: the least recently used of who has most. */
static void trim(struct meta_target *mt)
{
	struct session *s, *most = NULL;

	if (mt->leases.trimming)
		return;
	list_each (s, &mt->all_sessions, link)
		if (!list_empty(&s->lru) && (!most || s->n_leases > most->n_leases))
			most = s;
	for (unsigned n = 0; most && n < MIN(TRIM_BATCH, 1 + mt->leases.max / 16) && !list_empty(&most->lru); n++) {
		struct lease *l = list_first(&most->lru, struct lease, link);

		(void)recall(mt, l, l->bits, LEASE_TRIM);
	}
}

/* ---- wanting --------------------------------------------------------------------------------------------------------------------------- */

static bool conflicts(const struct lease *l, const struct op *op, uint32_t bits) { return l->ses != op->ses && l->bits & bits; }

/* Leases of silent sessions are void. */
static void void_silent(struct meta_target *mt, const struct op *op, uint64_t ino, uint32_t bits)
{
	uint64_t now = env_mono_ns(mt->env);
	struct lease *first, *l;

again:
	first = l = first_find(mt, ino);
	if (!l)
		return;
	do {
		if (conflicts(l, op, bits) && now - l->ses->seen_ns > mt->leases.limit_ns) {
			lease_session_void(mt, l->ses);
			goto again;
		}
		l = ring_next(l);
	} while (l != first);
}

static bool take_back(struct op *op, uint64_t ino, uint32_t bits)
{
	struct meta_target *mt = op->mt;
	struct lease *first = first_find(mt, ino), *l = first;
	bool found = false, recalled = false;
	struct lease_hot *h;

	if (!l)
		return false;
	do {
		found |= conflicts(l, op, bits);
		l = ring_next(l);
	} while (l != first && !found);
	if (!found)
		return false;
	void_silent(mt, op, ino, bits);
	found = false;
	first = l = first_find(mt, ino);
	while (l) {
		if (conflicts(l, op, bits)) {
			found = true;
			recalled |= recall(mt, l, bits, LEASE_COUNTED);
		}
		l = ring_next(l);
		if (l == first)
			break;
	}
	if (!found)
		return false;
	h = lease_hot_get(mt, ino);
	if (recalled)
		lease_hot_conflict(mt, h);
	lease_park(op, h);
	return true;
}

bool lease_want(struct op *op, const struct inode *i, uint32_t bits)
{
	if (unlikely(op->mt->leases.restarted)) {
		lease_park_restart(op);
		return true;
	}
	return op->mt->counters.leases && !i->fresh && take_back(op, wp_fid_to_ino(&i->fid), bits);
}

/* By a recall, which comes again until it is answered: a reply may be lost, and its copy in the reply cache says nothing of leases. */
void lease_take_own(struct op *op, const struct inode *i, uint32_t bits)
{
	struct lease *l = op->ses && op->ses->n_leases ? own_find(op->mt, wp_fid_to_ino(&i->fid), op->ses) : NULL;

	if (l && l->bits & bits)
		(void)recall(op->mt, l, bits, LEASE_COUNTED);
}

bool lease_want_read(struct op *op, const struct inode *i)
{
	return op->mt->leases.writers && take_back(op, wp_fid_to_ino(&i->fid), LEASE_WRITERS);
}

/* ---- granting --------------------------------------------------------------------------------------------------------------------------- */

/* Nobody keeps what objects, or a job, may change. */
static bool settled(struct meta_target *mt, const struct inode *i)
{
	const struct minode *m;

	if (!inode_is_reg(i))
		return true;
	if (i->flags & INO_WRITING)
		return false;
	m = mt->minodes.count ? minode_find(mt, &i->fid) : NULL;
	return !m || !m->job;
}

static bool grantable(struct meta_target *mt, const struct inode *i, uint64_t ino)
{
	return !mt->leases.restarted && i->nlink && !i->deleted && settled(mt, i) &&
	       (!mt->leases.hot.count || lease_hot_cool(mt, ino));
}

bool lease_grant(struct op *op, const struct inode *i, uint32_t bits, struct wp_lease *ret)
{
	struct meta_target *mt = op->mt;
	struct session *s = op->ses;
	uint64_t ino = wp_fid_to_ino(&i->fid);
	struct lease *l;

	if (!s || !s->leases || s->doomed || s->dead)
		return false;
	l = own_find(mt, ino, s);
	if (bits & ~(uint32_t)(l ? l->bits : 0) && !grantable(mt, i, ino))
		bits = 0;
	if (!l && bits && mt->counters.leases >= mt->leases.max - mt->leases.max / 16)
		trim(mt);
	if (l ? l->recalled : !bits || mt->counters.leases >= mt->leases.max)
		return false;
	if (!l)
		l = add(mt, ino, s);
	mt->counters.lease_grants += (bits & ~(uint32_t)l->bits) != 0;
	bits |= l->bits;
	if (inode_is_reg(i) && i->flags & INO_WRITING)
		bits &= ~(uint32_t)(WP_LEASE_ATTR | WP_LEASE_DATA_READ);
	set_bits(mt, l, bits);
	l->seq = ++s->lease_seq;
	*ret = (struct wp_lease){ .bits = bits, .seq = l->seq };
	op->granted = true;
	op->lease_epoch = s->lease_epoch;
	list_del(&l->link);
	list_append(&s->lru, &l->link);
	if (!bits)
		drop(mt, l);
	return true;
}

bool lease_entry(struct op *op, const struct inode *i, uint32_t bits, struct wp_entry *e)
{
	if (!lease_grant(op, i, bits, &e->lease))
		return false;
	e->has |= WP_ENTRY_HAS_LEASE;
	return true;
}

bool lease_name_entries(struct op *op, const struct inode *i, struct wp_entry *e, const struct inode *dir, struct wp_entry *de)
{
	bool some = i && lease_entry(op, i, WP_LEASE_ATTR | WP_LEASE_LAYOUT, e);

	return lease_entry(op, dir, 0, de) | some;
}

bool lease_reply_valid(const struct op *op)
{
	return !op->granted || !op->ses || (!op->ses->dead && !op->ses->doomed && op->ses->lease_epoch == op->lease_epoch);
}

/* ---- releasing ----------------------------------------------------------------------------------------------------------------------------- */

static void answered(struct meta_target *mt, struct lease *l)
{
	uint32_t us = now_us(mt) - l->when_us;

	mt->counters.lease_recall_us += us;
	mt->counters.lease_recall_us_max = MAX(mt->counters.lease_recall_us_max, (unsigned long long)us);
	l->ses->patience = 0;
	recall_over(mt, l);
	list_del(&l->link);
	list_append(&l->ses->lru, &l->link);
	session_settled(l->ses);
}

static void release(struct op *op, const struct wp_lease_ref *r)
{
	struct meta_target *mt = op->mt;
	struct lease *l;

	if (!wp_fid_valid(&r->fid))
		return;
	l = own_find(mt, wp_fid_to_ino(&r->fid), op->ses);
	if (!l || r->lease.seq < l->seq) /* it does not know the newest statement yet */
		return;
	set_bits(mt, l, l->bits & ~r->lease.bits);
	if (l->recalled && !(l->recalled & l->bits))
		answered(mt, l);
	if (!l->bits)
		drop(mt, l);
}

int meta_lease_release(struct op *op)
{
	META_REQ(op, lease_release, m);
	for (uint32_t n = 0; n < m->leases_n; n++)
		release(op, &m->leases[n]);
	op->lazy = true; /* nothing of it is on disk */
	wp_lease_release_rep_enc(mop_enc(op, 64), &(struct wp_lease_release_rep){ 0 });
	return 0;
}

/* ---- sessions ------------------------------------------------------------------------------------------------------------------------------- */

void lease_session_init(struct meta_target *mt, struct session *s)
{
	list_init(&s->lru);
	list_init(&s->unsent);
	list_init(&s->recalls);
	list_init(&s->unsent_link);
	list_init(&s->recalling);
	s->lease_seq = mt->boot_epoch << 40; /* grows over restarts, too */
}

unsigned lease_session_drop(struct meta_target *mt, struct session *s)
{
	struct list *lists[] = { &s->lru, &s->unsent, &s->recalls };
	unsigned n = s->n_leases;

	s->lease_epoch++;
	for (size_t k = 0; k < ARRAY_SIZE(lists); k++)
		while (!list_empty(lists[k]))
			drop(mt, list_first(lists[k], struct lease, link));
	weft_assert(!s->n_leases);
	list_del(&s->unsent_link);
	list_del(&s->recalling);
	return n;
}

void lease_session_void(struct meta_target *mt, struct session *s)
{
	unsigned n = lease_session_drop(mt, s);

	mt->counters.lease_voided += n;
	log_debug("meta", "client %016llx was silent: %u leases are void", (unsigned long long)s->client_id, n);
}
