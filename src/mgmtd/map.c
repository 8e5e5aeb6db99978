/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The map and the space as others see them. The encoded map is made once for each version that is published. */
#include "mgmtd/mgmtd_priv.h"

#define MAP_FIXED 256u
#define NODE_FIXED 128u
#define TARGET_FIXED 64u
#define ADDR_FIXED 8u
#define MOUNT_FIXED 16u
#define POOL_FIXED 16u

struct watcher {
	struct mgmtd *m;
	struct rpc_req *req;
	struct env_timer timer;
	struct list link;
};

/* ---- encoding ----------------------------------------------------------------------------------------------------------------- */

/* Upper bounds of what the texts need; the arrays' lengths. */
struct sizes {
	size_t bytes;
	unsigned addrs, mounts;
};

static size_t node_bytes(const struct wp_node_info *n)
{
	size_t bytes = NODE_FIXED + n->alias.len + n->version.len + n->host.len + n->domain.len;

	for (unsigned i = 0; i < n->addrs_n; i++)
		bytes += ADDR_FIXED + n->addrs[i].text.len;
	return bytes;
}

static struct sizes map_sizes(struct mgmtd *m)
{
	struct sizes s = { .bytes = MAP_FIXED, .addrs = m->self ? m->self->addrs_n : 0 };
	struct mpool *p;
	struct mnode *n;

	list_each (n, &m->nodes, link) {
		s.addrs += n->addrs_n;
		s.mounts += n->path ? 1 : 0;
	}
	list_each (p, &m->pools, link)
		s.bytes += POOL_FIXED + strlen(p->alias);
	return s;
}

/* The daemon itself: number 0, which no other node has. */
static void self_to_wire(struct mgmtd *m, struct wp_node_info *ret, struct wp_addr *addrs)
{
	const struct mgmtd_self *s = m->self;

	*ret = (struct wp_node_info){ .role = WP_ROLE_MGMTD,
				      .state = WP_TARGET_STATE_ONLINE,
				      .uuid = s->uuid,
				      .alias = wp_str(s->name),
				      .pid = s->pid,
				      .version = wp_str(s->version),
				      .host = wp_str(s->host),
				      .addrs = addrs,
				      .addrs_n = s->addrs_n };
	for (unsigned i = 0; i < s->addrs_n; i++)
		addrs[i].text = wp_str(s->addrs[i]);
}

static void map_fill(struct mgmtd *m, struct wp_map *map, struct sizes *s, struct wp_node_info *nodes, struct wp_addr *addrs,
		     struct wp_target_info *targets, struct wp_mount_info *mounts)
{
	struct mtarget *t;
	struct mnode *n;

	if (m->self) {
		self_to_wire(m, &nodes[map->nodes_n++], addrs);
		addrs += m->self->addrs_n;
	}
	list_each (n, &m->nodes, link) {
		mg_node_to_wire(n, &nodes[map->nodes_n++], addrs);
		addrs += n->addrs_n;
		if (!n->path)
			continue;
		mounts[map->mounts_n++] =
			(struct wp_mount_info){ .node = n->id, .transport = wp_str(n->transport), .path = wp_str(n->path) };
		s->bytes += MOUNT_FIXED + strlen(n->transport) + strlen(n->path);
	}
	list_each (t, &m->targets, link) {
		mg_target_to_wire(m, t, &targets[map->targets_n]);
		s->bytes += TARGET_FIXED + targets[map->targets_n].alias.len + targets[map->targets_n].pool.len;
		map->targets_n++;
	}
	for (unsigned i = 0; i < map->nodes_n; i++)
		s->bytes += node_bytes(&nodes[i]);
}

void mg_map_encode(struct mgmtd *m, struct buf *b)
{
	struct wp_map map = { .version = m->version, .cluster = m->cluster, .registration_locked = m->locked };
	struct sizes s = map_sizes(m);
	cleanup_free struct wp_node_info *nodes = xcalloc(m->counters[MGMTD_C_NODES] + 1, sizeof(*nodes));
	cleanup_free struct wp_target_info *targets = xcalloc(m->counters[MGMTD_C_TARGETS] + 1, sizeof(*targets));
	cleanup_free struct wp_pool_info *pools = xcalloc(WP_POOLS_MAX, sizeof(*pools));
	cleanup_free struct wp_addr *addrs = xcalloc(s.addrs + 1, sizeof(*addrs));
	cleanup_free struct wp_mount_info *mounts = xcalloc(s.mounts + 1, sizeof(*mounts));
	struct mpool *p;
	struct wp_enc e;

	map_fill(m, &map, &s, nodes, addrs, targets, mounts);
	list_each (p, &m->pools, link)
		pools[map.pools_n++] = (struct wp_pool_info){ .id = p->id, .alias = wp_str(p->alias) };
	map.nodes = nodes;
	map.targets = targets;
	map.pools = pools;
	map.mounts = mounts;
	buf_reset(b);
	buf_reserve(b, s.bytes);
	wp_enc_init(&e, b->p, (uint32_t)s.bytes);
	wp_map_enc(&e, &map);
	weft_assert(!e.err && e.len <= WP_MAP_MAX);
	b->len = e.len;
}

/* ---- watching ------------------------------------------------------------------------------------------------------------------- */

static void send_page(struct mgmtd *m, struct rpc_req *req, const struct buf *map, uint32_t version, uint32_t offset)
{
	uint32_t n = MIN((uint32_t)map->len - offset, WP_MAP_PAGE_MAX);
	struct wp_map_get_rep rep = {
		.version = version, .total = (uint32_t)map->len, .offset = offset, .page = wp_bytes(map->p + offset, n)
	};
	struct wp_enc e = rpc_reply_enc(req, n + 64);

	wp_map_get_rep_enc(&e, &rep);
	mg_reply_now(req, &e);
}

static void send_map(struct mgmtd *m, struct rpc_req *req)
{
	m->counters[MGMTD_C_MAPS_SENT]++;
	send_page(m, req, &m->map, m->map_version, 0);
}

/* A further page of a map that somebody has begun to read. */
static void send_further(struct mgmtd *m, struct rpc_req *req, uint32_t version, uint32_t offset)
{
	const struct buf *map = version == m->map_version ? &m->map : version == m->old_version ? &m->old_map : NULL;

	if (!map || offset >= map->len)
		return send_map(m, req);
	send_page(m, req, map, version, offset);
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
	if (in.offset)
		return send_further(m, req, in.version, in.offset);
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
	struct wp_space_get_rep rep = { .next = WP_TARGET_NONE };
	const struct mtarget *t;
	struct wp_space_get_req in;
	struct wp_enc e;
	uint32_t end, id;
	int r = wp_space_get_req_decode(req->body, req->hdr.body_len, NULL, 0, &in);

	if (!r && in.service != WP_SERVICE_META && in.service != WP_SERVICE_STORAGE)
		r = -EINVAL;
	if (r < 0)
		return rpc_reply_err(req, r);
	end = in.service == WP_SERVICE_META ? m->next_meta : m->next_storage; /* numbers above were never given */
	rep.targets = arena_alloc(&req->arena, MIN(end, WP_SPACE_PAGE_MAX) * sizeof(rep.targets[0]) + 1);
	for (id = in.from; id < end && rep.targets_n < WP_SPACE_PAGE_MAX; id++) {
		t = mg_target_by_id(m, in.service, id);
		if (t && t->has_space)
			rep.targets[rep.targets_n++] = t->space;
	}
	if (id < end)
		rep.next = id;
	e = rpc_reply_enc(req, 64 + rep.targets_n * WP_TARGET_SPACE_MIN);
	wp_space_get_rep_enc(&e, &rep);
	mg_reply_now(req, &e);
}
