/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The table of cached inodes, and the leases they are held under (ARCHITECTURE.md, "Leases").
 *
 * A statement of the target (a grant in a reply, a recall) is valid for an inode if it is newer than the newest one known. For
 * inodes that are in the table the node has that number; for others the session remembers the last recalls, and a floor for those
 * that it has forgotten.
 */
#include "client/cache_priv.h"

struct shard *cl_cache_shard(struct cache *ca, const struct wp_fid *fid)
{
	return &ca->shards[hash_u64(fid->seq << 24 ^ fid->oid) % CACHE_SHARDS];
}

static uint64_t node_hash(const struct wp_fid *fid) { return hash_u64((fid->seq << 24 ^ fid->oid) + 1); }

struct cnode *cl_cache_find(struct shard *sh, const struct wp_fid *fid)
{
	struct htab_node *n;

	htab_each_match (n, &sh->nodes, node_hash(fid))
		if (wp_fid_eq(&container_of(n, struct cnode, node)->fid, fid))
			return container_of(n, struct cnode, node);
	return NULL;
}

/* ---- life of a node ---------------------------------------------------------------------------------------------- */

static void node_free(struct cache *ca, struct shard *sh, struct cnode *n)
{
	cl_cdir_free(ca, n);
	htab_del(&sh->nodes, &n->node);
	list_del(&n->lru);
	free(n->link);
	free(n);
	atomic_fetch_sub_explicit(&ca->inodes, 1, memory_order_relaxed);
}

/* Memory of what was recalled, or given up, of inodes that are not in the table. */
static void recalls_note(struct session *s, const struct wp_fid *fid, uint64_t seq)
{
	struct recall_note *r = &s->recalls[node_hash(fid) % SESSION_RECALLS];

	pthread_mutex_lock(&s->recalls_lock);
	if (r->seq && !wp_fid_eq(&r->fid, fid))
		s->recalls_floor = MAX(s->recalls_floor, r->seq);
	if (!wp_fid_eq(&r->fid, fid) || seq > r->seq) {
		r->fid = *fid;
		r->seq = seq;
	}
	pthread_mutex_unlock(&s->recalls_lock);
}

static uint64_t recalls_last(struct session *s, const struct wp_fid *fid)
{
	struct recall_note *r = &s->recalls[node_hash(fid) % SESSION_RECALLS];
	uint64_t seq;

	pthread_mutex_lock(&s->recalls_lock);
	seq = wp_fid_eq(&r->fid, fid) ? MAX(r->seq, s->recalls_floor) : s->recalls_floor;
	pthread_mutex_unlock(&s->recalls_lock);
	return seq;
}

/* What callers keep is not called back from them when a node goes; so the lease is not given back before their time is over. */
static void release_later(struct cache *ca, const struct cnode *n)
{
	uint64_t after = ca->m && ca->m->invalidate ? atomic_load(&n->s->lease_until_ns) : 0;

	pthread_mutex_lock(&ca->give_back_lock);
	if (ca->give_back_n < CACHE_GIVE_BACK) /* otherwise the target finds out when it recalls */
		ca->give_back[ca->give_back_n++] = (struct give_back){
			.s = n->s, .after_ns = after, .ref = { .fid = n->fid, .lease = { .bits = n->bits, .seq = n->seq } }
		};
	pthread_mutex_unlock(&ca->give_back_lock);
}

/* The clock's hand: the first node that was not used since it came by. Its lease is given back. */
static void shard_evict(struct cache *ca, struct shard *sh, const struct cnode *keep)
{
	for (unsigned i = 0; i < CACHE_EVICT_LOOKS && !list_empty(&sh->lru); i++) {
		struct cnode *n = list_first(&sh->lru, struct cnode, lru);

		list_del(&n->lru);
		if (n == keep || (n->used && i < CACHE_EVICT_LOOKS - 1)) {
			n->used = false;
			list_append(&sh->lru, &n->lru);
			continue;
		}
		if (n->bits && cl_cnode_current(n)) {
			recalls_note(n->s, &n->fid, n->seq);
			release_later(ca, n);
		}
		atomic_fetch_add_explicit(&ca->evicted, 1, memory_order_relaxed);
		node_free(ca, sh, n);
		return;
	}
}

static struct cnode *node_new(struct cache *ca, struct shard *sh, struct session *s, const struct wp_fid *fid)
{
	struct cnode *n = NEW(struct cnode);

	n->fid = *fid;
	n->s = s;
	htab_add(&sh->nodes, &n->node, node_hash(fid));
	list_init(&n->lru);
	list_append(&sh->lru, &n->lru);
	atomic_fetch_add_explicit(&ca->inodes, 1, memory_order_relaxed);
	if (sh->nodes.count > CACHE_INODES_MAX / CACHE_SHARDS)
		shard_evict(ca, sh, n);
	return n;
}

/* What is known under bits that are not held any more. */
static void node_drop(struct cache *ca, struct cnode *n, uint32_t bits)
{
	if (bits & WP_LEASE_ATTR) {
		n->attr_known = false;
		if (n->dir) /* it may have been moved: ".." */
			n->dir->known_to = 0;
		free(n->link);
		n->link = NULL;
	}
	if (bits & WP_LEASE_ENTRIES)
		cl_cdir_free(ca, n);
}

/* Leases of an earlier life of the session are void. */
static void node_refresh(struct cache *ca, struct cnode *n)
{
	if (cl_cnode_current(n))
		return;
	node_drop(ca, n, n->bits);
	n->bits = 0;
	n->seq = 0;
	n->gen = atomic_load_explicit(&n->s->lease_gen, memory_order_acquire);
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

/* With the shard locked; NULL: nothing is held, and nothing need be remembered. */
static struct cnode *state(struct cache *ca, struct shard *sh, struct session *s, const struct wp_fid *fid,
			   const struct wp_lease *l, uint32_t *lost)
{
	struct cnode *n = cl_cache_find(sh, fid);
	uint64_t known = 0;

	if (n && n->dead)
		return NULL;
	if (n)
		node_refresh(ca, n);
	known = MAX(n ? n->seq : 0, recalls_last(s, fid));
	if (!l || l->seq <= known)
		return n && n->bits ? n : NULL;
	if (!n && !l->bits)
		return NULL;
	if (!n) {
		n = node_new(ca, sh, s, fid);
		n->gen = atomic_load_explicit(&s->lease_gen, memory_order_acquire);
	}
	*lost |= n->bits & ~l->bits;
	node_drop(ca, n, n->bits & ~l->bits);
	n->fresh = l->bits & ~n->bits;
	n->bits = l->bits;
	n->seq = l->seq;
	n->used = true;
	return n->bits ? n : NULL;
}

uint32_t cl_cache_attr(struct cache *ca, struct session *s, const struct wp_attr *a, const struct wp_lease *l, uint32_t *lost)
{
	struct shard *sh = cl_cache_shard(ca, &a->fid);
	uint32_t bits = 0, gone = 0;
	struct cnode *n;

	pthread_mutex_lock(&sh->lock);
	n = state(ca, sh, s, &a->fid, l, &gone);
	if (n) {
		bits = n->bits;
		if (n->fresh & WP_LEASE_ENTRIES)
			cl_cdir_start(ca, n, a->change);
		if (n->fresh & WP_LEASE_DATA_READ)
			bits |= CL_FRESH_DATA;
		n->fresh = 0;
		if (a->flags & WP_ATTR_UNSETTLED || a->change < n->attr.change)
			bits &= ~(uint32_t)WP_LEASE_ATTR;
		if (a->flags & WP_ATTR_UNSETTLED && a->change >= n->attr.change)
			n->attr_known = false; /* it is being written */
		if (bits & WP_LEASE_ATTR) {
			n->attr = *a;
			n->attr_known = true;
		}
	}
	pthread_mutex_unlock(&sh->lock);
	if (lost)
		*lost |= gone;
	return bits;
}

uint32_t cl_cache_entry(struct cache *ca, struct session *s, const struct wp_entry *e, uint32_t *lost)
{
	return cl_cache_attr(ca, s, &e->attr, e->has & WP_ENTRY_HAS_LEASE ? &e->lease : NULL, lost);
}

uint32_t cl_cache_recall(struct cache *ca, struct session *s, const struct wp_fid *fid, uint32_t bits, uint64_t seq)
{
	struct shard *sh = cl_cache_shard(ca, fid);
	struct cnode *n;
	uint32_t held = 0;

	pthread_mutex_lock(&sh->lock);
	recalls_note(s, fid, seq);
	n = cl_cache_find(sh, fid);
	if (n && !n->dead)
		node_refresh(ca, n);
	if (!n)
		held = bits; /* it may have been evicted */
	if (n && !n->dead && n->seq < seq) {
		held = n->bits & bits;
		node_drop(ca, n, held);
		n->bits &= ~bits;
		n->seq = seq;
		if (!n->bits)
			node_free(ca, sh, n);
	}
	pthread_mutex_unlock(&sh->lock);
	atomic_fetch_add_explicit(&ca->recalls, 1, memory_order_relaxed);
	if (held)
		atomic_fetch_add_explicit(&ca->recalled, 1, memory_order_relaxed);
	return held;
}

struct voided {
	struct wp_fid fid;
	uint32_t bits;
};

struct voiding {
	struct cache *ca;
	struct shard *sh;
	struct session *s;
	struct voided *v;
	uint32_t n, cap;
};

static bool void_node(struct htab_node *hn, void *arg)
{
	struct cnode *n = container_of(hn, struct cnode, node);
	struct voiding *v = arg;

	if (n->s != v->s)
		return true;
	if (v->n == v->cap) {
		v->cap = v->cap ? v->cap * 2 : 256;
		v->v = xrealloc(v->v, v->cap * sizeof(*v->v));
	}
	v->v[v->n++] = (struct voided){ n->fid, n->bits };
	node_free(v->ca, v->sh, n);
	return true;
}

/* Evicted a short time ago: they are void like the rest. */
static void void_evicted(struct cache *ca, struct session *s, void (*fn)(void *arg, const struct wp_fid *fid, uint32_t bits),
			 void *arg)
{
	struct wp_lease_ref refs[64];
	uint32_t n;

	while ((n = cl_cache_evicted(ca, UINT64_MAX, s, refs, ARRAY_SIZE(refs))))
		for (uint32_t i = 0; fn && i < n; i++)
			fn(arg, &refs[i].fid, refs[i].lease.bits);
}

void cl_cache_void(struct cache *ca, struct session *s, void (*fn)(void *arg, const struct wp_fid *fid, uint32_t bits),
		   void *arg)
{
	atomic_fetch_add_explicit(&s->lease_gen, 1, memory_order_acq_rel);
	for (unsigned i = 0; i < CACHE_SHARDS; i++) {
		struct voiding v = { .ca = ca, .sh = &ca->shards[i], .s = s };

		pthread_mutex_lock(&v.sh->lock);
		htab_each(&v.sh->nodes, void_node, &v);
		pthread_mutex_unlock(&v.sh->lock);
		for (uint32_t k = 0; fn && k < v.n; k++)
			fn(arg, &v.v[k].fid, v.v[k].bits);
		free(v.v);
	}
	void_evicted(ca, s, fn, arg);
	/* Numbers may start anew with a new session or a new life of the target. */
	pthread_mutex_lock(&s->recalls_lock);
	memset(s->recalls, 0, sizeof(s->recalls));
	s->recalls_floor = 0;
	pthread_mutex_unlock(&s->recalls_lock);
}

/* ---- giving back ------------------------------------------------------------------------------------------------- */

uint32_t cl_cache_evicted(struct cache *ca, uint64_t now, struct session *s, struct wp_lease_ref *ret, uint32_t max)
{
	uint32_t n = 0, i, kept = 0;

	pthread_mutex_lock(&ca->give_back_lock);
	for (i = 0; i < ca->give_back_n; i++) {
		if (ca->give_back[i].s == s && ca->give_back[i].after_ns <= now && n < max)
			ret[n++] = ca->give_back[i].ref;
		else
			ca->give_back[kept++] = ca->give_back[i];
	}
	ca->give_back_n = kept;
	pthread_mutex_unlock(&ca->give_back_lock);
	return n;
}

void cl_cache_dead(struct cache *ca, struct session *s, const struct wp_attr *a)
{
	struct shard *sh = cl_cache_shard(ca, &a->fid);
	struct cnode *n;

	pthread_mutex_lock(&sh->lock);
	n = cl_cache_find(sh, &a->fid);
	if (!n)
		n = node_new(ca, sh, s, &a->fid);
	node_drop(ca, n, UINT32_MAX);
	n->bits = 0;
	n->attr = *a;
	n->attr.nlink = 0;
	n->dead = true;
	pthread_mutex_unlock(&sh->lock);
}

/* ---- small things ------------------------------------------------------------------------------------------------ */

void cl_cache_touch_atime(struct cache *ca, const struct wp_fid *fid, uint64_t wall_ns)
{
	struct shard *sh = cl_cache_shard(ca, fid);
	struct cnode *n;

	pthread_mutex_lock(&sh->lock);
	n = cl_cache_find(sh, fid);
	if (n && n->attr_known)
		n->attr.atime = (struct wp_time){ .sec = (int64_t)(wall_ns / NSEC_PER_SEC),
						  .nsec = (uint32_t)(wall_ns % NSEC_PER_SEC) };
	pthread_mutex_unlock(&sh->lock);
}

void cl_cache_set_link(struct cache *ca, const struct wp_fid *fid, const char *target, uint32_t len)
{
	struct shard *sh = cl_cache_shard(ca, fid);
	struct cnode *n;

	pthread_mutex_lock(&sh->lock);
	n = cl_cache_find(sh, fid);
	/* A target never changes: it is valid whenever the inode is known. */
	if (n && n->attr_known && !n->link) {
		n->link = xmalloc(len + 1);
		memcpy(n->link, target, len);
		n->link_len = len;
	}
	pthread_mutex_unlock(&sh->lock);
}

void cl_cache_stats(struct cache *ca, struct cache_stats *ret)
{
#define GET(f) ret->f = atomic_load_explicit(&ca->f, memory_order_relaxed)
	GET(hits);
	GET(misses);
	GET(recalls);
	GET(recalled);
	GET(evicted);
	GET(inodes);
	GET(names);
#undef GET
}

struct cache *cl_cache_new(struct client_mount *m)
{
	struct cache *ca = NEW(struct cache);

	ca->m = m;
	pthread_mutex_init(&ca->give_back_lock, NULL);
	for (unsigned i = 0; i < CACHE_SHARDS; i++) {
		pthread_mutex_init(&ca->shards[i].lock, NULL);
		htab_init(&ca->shards[i].nodes);
		list_init(&ca->shards[i].lru);
	}
	return ca;
}

void cl_cache_free(struct cache *ca)
{
	if (!ca)
		return;
	for (unsigned i = 0; i < CACHE_SHARDS; i++) {
		struct shard *sh = &ca->shards[i];

		while (!list_empty(&sh->lru))
			node_free(ca, sh, list_first(&sh->lru, struct cnode, lru));
		htab_done(&sh->nodes);
		pthread_mutex_destroy(&sh->lock);
	}
	pthread_mutex_destroy(&ca->give_back_lock);
	free(ca);
}
