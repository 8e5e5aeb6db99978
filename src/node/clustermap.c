/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "node/clustermap.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "proto/fid.h"
#include "proto/status.h"

#define CLUSTER_MAP_MAGIC 0x436d6170u
#define META_IDS (WP_FID_MDT_MAX + 1)
#define STORAGE_IDS 65537u /* 1..65536 */
#define CAPACITIES 3u

/* Targets of one service: by_id[id] is NULL or the target. */
struct service_index {
	const struct wp_target_info **by_id;
	uint32_t slots;
	uint32_t *ids;
	uint32_t n;
};

/* Assignable storage targets of one pool: ids of class c are [start[c], start[c + 1]). */
struct pool_index {
	struct wp_str name;
	uint32_t *ids;
	uint32_t start[CAPACITIES + 1];
};

struct cluster_map {
	uint32_t magic;
	atomic_uint refs;
	struct wp_map wire;
	void *body, *scratch;
	const struct wp_node_info **nodes; /* sorted by id */
	struct service_index meta, storage;
	struct pool_index *pools; /* of wire.pools_n */
	char *addr_text;
};

/* ---- building ----------------------------------------------------------------------------------------------------------------- */

static int cmp_node(const void *a, const void *b)
{
	uint32_t x = (*(const struct wp_node_info *const *)a)->id, y = (*(const struct wp_node_info *const *)b)->id;

	return x < y ? -1 : x > y;
}

static int index_nodes(struct cluster_map *m)
{
	const struct wp_map *w = &m->wire;

	m->nodes = calloc(w->nodes_n + 1, sizeof(m->nodes[0]));
	if (!m->nodes)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->nodes_n; i++)
		m->nodes[i] = &w->nodes[i];
	qsort(m->nodes, w->nodes_n, sizeof(m->nodes[0]), cmp_node);
	for (uint32_t i = 1; i < w->nodes_n; i++)
		if (m->nodes[i]->id == m->nodes[i - 1]->id)
			return -EBADMSG;
	return 0;
}

static struct service_index *service_index(struct cluster_map *m, uint16_t service)
{
	if (service == WP_SERVICE_META)
		return &m->meta;
	return service == WP_SERVICE_STORAGE ? &m->storage : NULL;
}

static int index_targets(struct cluster_map *m)
{
	const struct wp_map *w = &m->wire;

	for (uint32_t i = 0; i < w->targets_n; i++) {
		const struct wp_target_info *t = &w->targets[i];
		struct service_index *x = service_index(m, t->service);

		if (!x || t->id >= (x == &m->meta ? META_IDS : STORAGE_IDS))
			return -EBADMSG;
		x->slots = MAX(x->slots, t->id + 1);
	}
	m->meta.by_id = calloc(m->meta.slots + 1, sizeof(m->meta.by_id[0]));
	m->storage.by_id = calloc(m->storage.slots + 1, sizeof(m->storage.by_id[0]));
	m->meta.ids = calloc(m->meta.slots + 1, sizeof(uint32_t));
	m->storage.ids = calloc(m->storage.slots + 1, sizeof(uint32_t));
	if (!m->meta.by_id || !m->storage.by_id || !m->meta.ids || !m->storage.ids)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->targets_n; i++) {
		struct service_index *x = service_index(m, w->targets[i].service);

		if (x->by_id[w->targets[i].id])
			return -EBADMSG;
		x->by_id[w->targets[i].id] = &w->targets[i];
	}
	for (uint32_t id = 0; id < MAX(m->meta.slots, m->storage.slots); id++) {
		if (id < m->meta.slots && m->meta.by_id[id])
			m->meta.ids[m->meta.n++] = id;
		if (id < m->storage.slots && m->storage.by_id[id])
			m->storage.ids[m->storage.n++] = id;
	}
	return 0;
}

static struct pool_index *find_pool(const struct cluster_map *m, struct wp_str name)
{
	if (!name.len)
		name = wp_str(POOL_DEFAULT);
	for (uint32_t i = 0; i < m->wire.pools_n; i++)
		if (wp_str_eq(m->pools[i].name, name))
			return &m->pools[i];
	return NULL;
}

/* The class as an index, or -1 when the target may not be given anything. */
static int assignable_class(const struct wp_target_info *t)
{
	if (t->state != WP_TARGET_STATE_ONLINE || t->capacity < WP_CAPACITY_NORMAL || t->capacity > WP_CAPACITY_EMERGENCY)
		return -1;
	return t->capacity - WP_CAPACITY_NORMAL;
}

/* Counting sort into (pool, class): start[c + 1] first counts class c, then becomes where it ends. */
static int index_pools(struct cluster_map *m)
{
	const struct service_index *x = &m->storage;
	struct pool_index *p;
	int class;

	m->pools = calloc(m->wire.pools_n + 1, sizeof(m->pools[0]));
	if (!m->pools)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->wire.pools_n; i++)
		m->pools[i].name = m->wire.pools[i].alias;
	for (uint32_t i = 0; i < x->n; i++) {
		p = find_pool(m, x->by_id[x->ids[i]]->pool);
		class = assignable_class(x->by_id[x->ids[i]]);
		if (p && class >= 0)
			p->start[class + 1]++;
	}
	for (uint32_t i = 0; i < m->wire.pools_n; i++) {
		p = &m->pools[i];
		p->start[2] += p->start[1];
		p->start[3] += p->start[2];
		p->ids = calloc(p->start[3] + 1, sizeof(uint32_t));
		if (!p->ids)
			return -ENOMEM;
		p->start[3] = p->start[2]; /* filling moves each start to its end */
		p->start[2] = p->start[1];
		p->start[1] = 0;
	}
	for (uint32_t i = 0; i < x->n; i++) {
		p = find_pool(m, x->by_id[x->ids[i]]->pool);
		class = assignable_class(x->by_id[x->ids[i]]);
		if (p && class >= 0)
			p->ids[p->start[class + 1]++] = x->ids[i];
	}
	return 0;
}

/* Addresses go to system calls: each gets a terminating NUL, in a copy that the wire form then points at. */
static int terminate_addrs(struct cluster_map *m)
{
	const struct wp_map *w = &m->wire;
	size_t bytes = 0;
	char *text;

	for (uint32_t i = 0; i < w->nodes_n; i++)
		for (uint32_t k = 0; k < w->nodes[i].addrs_n; k++)
			bytes += w->nodes[i].addrs[k].text.len + 1;
	text = m->addr_text = malloc(bytes + 1);
	if (!text)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->nodes_n; i++) {
		for (uint32_t k = 0; k < w->nodes[i].addrs_n; k++) {
			struct wp_str *s = &w->nodes[i].addrs[k].text;

			if (s->len && memchr(s->p, '\0', s->len))
				return -EBADMSG;
			if (s->len)
				memcpy(text, s->p, s->len);
			text[s->len] = '\0';
			s->p = text;
			text += s->len + 1;
		}
	}
	return 0;
}

static void map_free(struct cluster_map *m)
{
	for (uint32_t i = 0; m->pools && i < m->wire.pools_n; i++)
		free(m->pools[i].ids);
	free(m->pools);
	free(m->nodes);
	free(m->meta.by_id);
	free(m->meta.ids);
	free(m->storage.by_id);
	free(m->storage.ids);
	free(m->addr_text);
	free(m->body);
	free(m->scratch);
	OBJ_FINI(m);
	free(m);
}

static int map_fill(struct cluster_map *m, const void *body, size_t len)
{
	struct wp_dec d;
	int r;

	m->body = malloc(len + 1);
	m->scratch = malloc(wp_scratch_bound(len));
	if (!m->body || !m->scratch)
		return -ENOMEM;
	memcpy(m->body, body, len);
	wp_dec_init(&d, m->body, (uint32_t)len, m->scratch, wp_scratch_bound(len));
	r = wp_map_dec(&d, &m->wire);
	if (!r)
		r = wp_dec_finish(&d);
	if (r < 0)
		return r;
	r = index_nodes(m);
	if (!r)
		r = index_targets(m);
	if (!r)
		r = index_pools(m);
	return r ? r : terminate_addrs(m);
}

int cluster_map_decode(const void *body, size_t len, struct cluster_map **ret)
{
	struct cluster_map *m;
	int r;

	if (len > WP_MAP_MAX)
		return -EBADMSG;
	m = NEW(struct cluster_map);
	OBJ_INIT(m, CLUSTER_MAP_MAGIC);
	atomic_init(&m->refs, 1);
	r = map_fill(m, body, len);
	if (r < 0) {
		map_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

struct cluster_map *cluster_map_ref(struct cluster_map *m)
{
	if (m) {
		OBJ_CHECK(m, CLUSTER_MAP_MAGIC);
		atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
	}
	return m;
}

void cluster_map_unref(struct cluster_map *m)
{
	if (!m)
		return;
	OBJ_CHECK(m, CLUSTER_MAP_MAGIC);
	if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) == 1)
		map_free(m);
}

/* ---- asking ------------------------------------------------------------------------------------------------------------------- */

const struct wp_map *cluster_map_wire(const struct cluster_map *m) { return &m->wire; }
uint32_t cluster_map_version(const struct cluster_map *m) { return m->wire.version; }

const struct wp_node_info *cluster_map_node(const struct cluster_map *m, uint32_t id)
{
	size_t lo = 0, hi = m->wire.nodes_n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (m->nodes[mid]->id == id)
			return m->nodes[mid];
		if (m->nodes[mid]->id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static const struct service_index *const_index(const struct cluster_map *m, uint16_t service)
{
	if (service == WP_SERVICE_META)
		return &m->meta;
	return service == WP_SERVICE_STORAGE ? &m->storage : NULL;
}

const struct wp_target_info *cluster_map_target(const struct cluster_map *m, uint16_t service, uint32_t id)
{
	const struct service_index *x = const_index(m, service);

	return x && id < x->slots ? x->by_id[id] : NULL;
}

const struct wp_node_info *cluster_map_target_node(const struct cluster_map *m, uint16_t service, uint32_t id)
{
	const struct wp_target_info *t = cluster_map_target(m, service, id);

	return t ? cluster_map_node(m, t->node) : NULL;
}

static bool is_unix(const char *addr) { return !strncmp(addr, "unix:", 5); }

unsigned cluster_map_addrs(const struct cluster_map *m, uint16_t service, uint32_t id, const char *host, const char **ret,
			   unsigned max)
{
	const struct wp_node_info *n = cluster_map_target_node(m, service, id);
	unsigned count = 0;
	bool local;

	if (!n)
		return 0;
	local = host && *host && wp_str_eq(n->host, wp_str(host));
	for (int pass = local ? 0 : 1; pass < 2; pass++)
		for (uint32_t i = 0; i < n->addrs_n && count < max; i++)
			if (is_unix(n->addrs[i].text.p) == (pass == 0))
				ret[count++] = n->addrs[i].text.p;
	return count;
}

unsigned cluster_map_targets(const struct cluster_map *m, uint16_t service, const uint32_t **ids)
{
	const struct service_index *x = const_index(m, service);

	*ids = x ? x->ids : NULL;
	return x ? x->n : 0;
}

unsigned cluster_map_candidates(const struct cluster_map *m, struct wp_str pool, uint8_t capacity, const uint32_t **ids)
{
	const struct pool_index *p = find_pool(m, pool);
	unsigned c = (unsigned)capacity - WP_CAPACITY_NORMAL;

	*ids = NULL;
	if (!p || c >= CAPACITIES)
		return 0;
	*ids = p->ids + p->start[c];
	return p->start[c + 1] - p->start[c];
}

bool cluster_map_has_pool(const struct cluster_map *m, struct wp_str pool) { return find_pool(m, pool) != NULL; }

/* ---- pages -------------------------------------------------------------------------------------------------------------------- */

void map_pages_request(const struct map_pages *p, uint32_t known, uint32_t wait_ms, struct wp_map_get_req *ret)
{
	*ret = (struct wp_map_get_req){
		.known = known, .wait_ms = p->body.len ? 0 : wait_ms, .version = p->version, .offset = (uint32_t)p->body.len
	};
}

int map_pages_add(struct map_pages *p, const void *body, size_t len)
{
	struct wp_map_get_rep rep;
	int r = wp_map_get_rep_decode(body, len, NULL, 0, &rep);

	if (r < 0)
		return r;
	if (!rep.offset) { /* a beginning: the first, or the version that we read is not kept any more */
		buf_reset(&p->body);
		p->version = rep.version;
		p->total = rep.total;
	}
	if (!rep.page.len || rep.offset != p->body.len || rep.version != p->version || rep.total != p->total ||
	    p->total > WP_MAP_MAX || rep.page.len > p->total - rep.offset)
		return -EBADMSG;
	buf_add(&p->body, rep.page.p, rep.page.len);
	return p->body.len == p->total;
}

void map_pages_reset(struct map_pages *p)
{
	buf_done(&p->body);
	p->version = p->total = 0;
}

/* ---- this host ---------------------------------------------------------------------------------------------------------------- */

static char host_name[65];

static void host_init(void)
{
	if (gethostname(host_name, sizeof(host_name) - 1) < 0)
		host_name[0] = '\0';
	host_name[64] = '\0';
}

const char *cluster_host(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, host_init);
	return host_name;
}
