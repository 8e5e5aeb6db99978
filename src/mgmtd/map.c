/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The map and the space as others see them. The encoded map is made once for each version that is published. */
#include "mgmtd/mgmtd_priv.h"

#define MAP_FIXED 256u
#define NODE_FIXED 128u
#define TARGET_FIXED 64u
#define ADDR_FIXED 8u

struct watcher {
	struct mgmtd *m;
	struct rpc_req *req;
	struct env_timer timer;
	struct list link;
};

/* ---- encoding ----------------------------------------------------------------------------------------------------------------- */

static size_t node_bytes(const struct mnode *n)
{
	size_t bytes = NODE_FIXED + strlen(n->alias) + strlen(n->version) + strlen(n->host) + strlen(n->domain);

	for (unsigned i = 0; i < n->addrs_n; i++)
		bytes += ADDR_FIXED + strlen(n->addrs[i]);
	return bytes;
}

static size_t map_bytes(struct mgmtd *m, unsigned *addrs)
{
	size_t bytes = MAP_FIXED;
	struct mtarget *t;
	struct mnode *n;
	struct mpool *p;

	*addrs = 0;
	list_each (n, &m->nodes, link) {
		bytes += node_bytes(n);
		*addrs += n->addrs_n;
	}
	list_each (t, &m->targets, link) {
		const struct mpool *pool = t->pool ? mg_pool_by_id(m, t->pool) : NULL;

		bytes += TARGET_FIXED + strlen(t->alias) + (pool ? strlen(pool->alias) : 0);
	}
	list_each (p, &m->pools, link)
		bytes += 16 + strlen(p->alias);
	return bytes;
}

bool mg_map_has_room(struct mgmtd *m, size_t extra)
{
	unsigned addrs;

	return map_bytes(m, &addrs) + NODE_FIXED + extra <= WP_BODY_MAX;
}

void mg_map_encode(struct mgmtd *m, struct buf *b)
{
	struct wp_map_get_rep rep = { .map.version = m->version, .map.cluster = m->cluster, .map.registration_locked = m->locked };
	unsigned addrs_n, at = 0, pools_n = 0;
	size_t bytes = map_bytes(m, &addrs_n);
	cleanup_free struct wp_node_info *nodes = xcalloc(m->counters[MGMTD_C_NODES] + 1, sizeof(*nodes));
	cleanup_free struct wp_target_info *targets = xcalloc(m->counters[MGMTD_C_TARGETS] + 1, sizeof(*targets));
	cleanup_free struct wp_pool_info *pools = xcalloc(WP_POOLS_MAX, sizeof(*pools));
	cleanup_free struct wp_addr *addrs = xcalloc(addrs_n + 1, sizeof(*addrs));
	struct mtarget *t;
	struct mnode *n;
	struct mpool *p;
	struct wp_enc e;

	list_each (n, &m->nodes, link) {
		mg_node_to_wire(n, &nodes[rep.map.nodes_n++], addrs + at);
		at += n->addrs_n;
	}
	list_each (t, &m->targets, link)
		mg_target_to_wire(m, t, &targets[rep.map.targets_n++]);
	list_each (p, &m->pools, link)
		pools[pools_n++] = (struct wp_pool_info){ .id = p->id, .alias = wp_str(p->alias) };
	rep.map.nodes = nodes;
	rep.map.targets = targets;
	rep.map.pools = pools;
	rep.map.pools_n = pools_n;
	buf_reset(b);
	buf_reserve(b, bytes);
	wp_enc_init(&e, b->p, (uint32_t)bytes);
	wp_map_get_rep_enc(&e, &rep);
	weft_assert(!e.err);
	b->len = e.len;
}

/* ---- watching ------------------------------------------------------------------------------------------------------------------- */

static void send_map(struct mgmtd *m, struct rpc_req *req)
{
	m->counters[MGMTD_C_MAPS_SENT]++;
	rpc_reply(req, &(struct rpc_reply){ .body = m->map.p, .body_len = m->map.len });
}

static void watcher_end(struct watcher *w, int err)
{
	struct mgmtd *m = w->m;
	struct rpc_req *req = w->req;

	env_timer_cancel(m->env, &w->timer);
	list_del(&w->link);
	m->counters[MGMTD_C_WATCHERS]--;
	if (err)
		rpc_reply_err(req, err);
	else
		send_map(m, req);
}

static void watcher_timeout(void *arg) { watcher_end(arg, 0); }

void mg_map_wake(struct mgmtd *m, int err)
{
	struct list all = LIST_INIT(all);

	list_splice(&all, &m->watchers);
	while (!list_empty(&all))
		watcher_end(list_first(&all, struct watcher, link), err);
}

void mg_on_map_get(struct mgmtd *m, struct rpc_req *req)
{
	struct wp_map_get_req in;
	struct watcher *w;
	int r = wp_map_get_req_decode(req->body, req->hdr.body_len, NULL, 0, &in);

	if (r < 0)
		return rpc_reply_err(req, r);
	if (in.known != m->map_version || !in.wait_ms)
		return send_map(m, req);
	w = arena_zalloc(&req->arena, sizeof(*w));
	w->m = m;
	w->req = req;
	w->timer = (struct env_timer){ .fn = watcher_timeout, .arg = w };
	env_timer_in(m->env, &w->timer, in.wait_ms * NSEC_PER_MSEC);
	list_append(&m->watchers, &w->link);
	m->counters[MGMTD_C_WATCHERS]++;
}

/* ---- space ---------------------------------------------------------------------------------------------------------------------- */

void mg_on_space_get(struct mgmtd *m, struct rpc_req *req)
{
	size_t n = m->counters[MGMTD_C_TARGETS];
	struct wp_space_get_rep rep = { 0 };
	struct wp_space_get_req in;
	struct mtarget *t;
	struct wp_enc e;
	int r = wp_space_get_req_decode(req->body, req->hdr.body_len, NULL, 0, &in);

	if (r < 0)
		return rpc_reply_err(req, r);
	rep.targets = arena_alloc(&req->arena, (n + 1) * sizeof(rep.targets[0]));
	list_each (t, &m->targets, link)
		if (t->has_space)
			rep.targets[rep.targets_n++] = t->space;
	e = rpc_reply_enc(req, 64 + n * WP_TARGET_SPACE_MIN);
	wp_space_get_rep_enc(&e, &rep);
	mg_reply_now(req, &e);
}
