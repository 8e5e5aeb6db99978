/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The largest cluster: its map and its space pass in pages, and what reads them sees one version whole. */
#include "../../tap.h"
#include "base/log.h"
#include "mgmtd/mgmtd_priv.h"
#include "node/mgmtc.h"
#include "world.h"

#define METAS 4096u
#define STORAGES 65536u
#define PER_NODE 8u

static struct world w;

static struct wp_uuid uuid_number(uint32_t n)
{
	struct wp_uuid u = { .b = { 0xaa } };

	memcpy(u.b + 8, &n, sizeof(n));
	return u;
}

static void add_node(uint32_t id, uint16_t role)
{
	struct wp_uuid uuid = uuid_number(id);
	struct mnode *n = mg_node_new(w.core, id, &uuid);
	struct wp_addr addrs[2];
	char text[2][64];

	snprintf(text[0], sizeof(text[0]), "unix:/run/weft/server-%u.sock", id);
	snprintf(text[1], sizeof(text[1]), "tcp:host-%u.cluster.example.org:7482", id);
	addrs[0].text = wp_str(text[0]);
	addrs[1].text = wp_str(text[1]);
	n->role = role;
	n->state = WP_TARGET_STATE_ONLINE;
	n->seen_ns = env_mono_ns(w.env);
	snprintf(n->alias, sizeof(n->alias), "server-%u", id);
	snprintf(n->host, sizeof(n->host), "host-%u.cluster.example.org", id);
	mg_node_set_addrs(n, addrs, 2);
}

static void add_target(uint16_t service, uint32_t id, uint32_t node)
{
	struct wp_uuid uuid = uuid_number(id | (uint32_t)service << 28);
	struct mtarget *t = mg_target_new(w.core, service, id, &uuid);

	t->node = node;
	t->state = WP_TARGET_STATE_ONLINE;
	t->seen_ns = env_mono_ns(w.env);
	t->has_space = true;
	t->space = (struct wp_target_space){ .id = id, .service = service, .total = GIB(1000), .free = GIB(500) + id };
	snprintf(t->alias, sizeof(t->alias), "%s-%u", service == WP_SERVICE_META ? "meta" : "storage", id);
}

static void fill(void)
{
	uint32_t node = 1;

	for (uint32_t id = 0; id < METAS; id++) {
		add_node(node, WP_ROLE_META);
		add_target(WP_SERVICE_META, id, node++);
	}
	for (uint32_t id = 1; id <= STORAGES; id++) {
		if (id % PER_NODE == 1)
			add_node(node++, WP_ROLE_STORAGE);
		add_target(WP_SERVICE_STORAGE, id, node - 1);
	}
	w.core->next_node = node;
	w.core->next_meta = METAS;
	w.core->next_storage = STORAGES + 1;
	mg_change(w.core);
	world_run(&w, 1000);
}

/* ---- a process of the cluster: map and space arrive by themselves --------------------------------------------------------------- */

struct member {
	struct mgmtc *m;
	struct cluster_map *map;
	struct space_table *space;
	unsigned maps, spaces;
	bool stopped;
};

static void on_registered(void *arg, const struct mgmtc_registration *r) { }

static void on_map(void *arg, struct cluster_map *map)
{
	struct member *x = arg;

	cluster_map_unref(x->map);
	x->map = cluster_map_ref(map);
	x->maps++;
}

static void on_space(void *arg, struct space_table *s)
{
	struct member *x = arg;

	space_table_unref(x->space);
	x->space = space_table_ref(s);
	x->spaces++;
}

static void stopped(void *arg) { ((struct member *)arg)->stopped = true; }

static void test_member(void)
{
	static const struct mgmtc_ops ops = { .registered = on_registered, .map = on_map, .space = on_space };
	static const char *const mgmtd[] = { MGMTD_ADDR };
	struct rpc_identity id = { .role = WP_ROLE_META, .auth = WP_AUTH_NONE, .name = "member" };
	struct member x = { 0 };
	struct mgmtc_params p = { .mgmtd = mgmtd, .mgmtd_n = 1, .uuid = uuid_of(9), .role = WP_ROLE_META, .ops = &ops, .arg = &x };

	weft_assert(rpc_node_new(sim_process_new(sim_host_new(w.sim, "member")), &id, &p.node) == 0);
	weft_assert(mgmtc_new(&p, &x.m) == 0);
	mgmtc_start(x.m);
	world_run(&w, 3000);
	ok(x.map && cluster_map_wire(x.map)->targets_n == METAS + STORAGES, "a process gets the whole map (%u times)", x.maps);
	ok(x.space && space_table_free(x.space, 1) == GIB(500) + 1 && space_table_free(x.space, STORAGES) == GIB(500) + STORAGES &&
		   !space_table_free(x.space, STORAGES + 1),
	   "and the space of all storage targets");
	mg_target_by_id(w.core, WP_SERVICE_STORAGE, 77)->space.free = GIB(499);
	world_run(&w, 6000);
	ok(x.spaces == 1, "a hundredth is not worth telling");
	mg_target_by_id(w.core, WP_SERVICE_STORAGE, 77)->space.free = 0;
	world_run(&w, 6000);
	ok(x.spaces == 2 && space_table_free(x.space, 77) == 1, "a target that ran full is, and is not unknown");
	mgmtc_stop(x.m, stopped, &x);
	world_run(&w, 1500);
	ok(x.stopped, "it stops");
	mgmtc_free(x.m);
	rpc_node_free(p.node);
	cluster_map_unref(x.map);
	space_table_unref(x.space);
}

/* ---- pages by hand ----------------------------------------------------------------------------------------------------------------- */

struct wait {
	uint8_t *body;
	uint32_t len;
	int err;
	bool done;
};

static void call_done(struct rpc_call *c)
{
	struct wait *x = c->arg;

	x->err = c->err;
	x->len = c->err ? 0 : c->reply_len;
	x->body = xmalloc(x->len + 1);
	if (x->len)
		memcpy(x->body, c->reply, x->len);
	x->done = true;
}

static bool is_done(void *arg) { return ((struct wait *)arg)->done; }

/* One page; what map_pages_add says of it. */
static int page(struct caller *c, struct map_pages *p, uint32_t *len)
{
	struct wp_map_get_req in;
	struct rpc_call call;
	struct wait x = { 0 };
	int r;

	map_pages_request(p, 0, 0, &in);
	rpc_call_init(&call, WP_OP_MAP_GET, call_done, &x);
	wp_map_get_req_enc(rpc_call_enc(&call, 64), &in);
	rpc_call(c->peer, &call);
	weft_assert(sim_run_until(w.sim, is_done, &x, 60 * NSEC_PER_SEC));
	*len = MAX(*len, x.len);
	r = x.err ? x.err : map_pages_add(p, x.body, x.len);
	free(x.body);
	return r;
}

static void test_pages(struct caller *c)
{
	struct map_pages p = { 0 };
	struct cluster_map *map = NULL;
	uint32_t len = 0, first;
	unsigned pages = 1;
	int r;

	for (r = page(c, &p, &len); !r; r = page(c, &p, &len))
		pages++;
	ok(r == 1 && cluster_map_decode(p.body.p, p.body.len, &map) == 0, "the map of %u targets is whole after %u pages", METAS + STORAGES,
	   pages);
	ok(map && cluster_map_wire(map)->targets_n == METAS + STORAGES && cluster_map_wire(map)->nodes_n == METAS + STORAGES / PER_NODE &&
		   cluster_map_target(map, WP_SERVICE_STORAGE, STORAGES) && cluster_map_target(map, WP_SERVICE_META, METAS - 1),
	   "nothing is missing (%zu bytes)", p.body.len);
	ok(len <= WP_MAP_PAGE_MAX + 64 && p.body.len > WP_BODY_MAX, "no message was larger than a page: %u bytes", len);
	cluster_map_unref(map);
	map_pages_reset(&p);

	r = page(c, &p, &len);
	first = p.version;
	mg_change(w.core);
	world_run(&w, 200);
	for (pages = 1; !r; r = page(c, &p, &len))
		pages++;
	ok(r == 1 && p.version == first, "a change meanwhile: the version that was begun is still kept");
	map_pages_reset(&p);

	r = page(c, &p, &len);
	for (int i = 0; i < 3; i++) {
		mg_change(w.core);
		world_run(&w, 200);
	}
	ok(!r && page(c, &p, &len) == 0 && p.version > first + 2 && p.body.len == WP_MAP_PAGE_MAX, "several: it begins anew");
	while (!r)
		r = page(c, &p, &len);
	map = NULL;
	ok(r == 1 && cluster_map_decode(p.body.p, p.body.len, &map) == 0 && cluster_map_version(map) == p.version, "and is whole");
	cluster_map_unref(map);
	map_pages_reset(&p);
}

static void test_hostile(void)
{
	struct map_pages p = { 0 };
	uint8_t body[256], data[64] = { 0 };
	struct wp_map_get_rep reps[] = {
		{ .version = 1, .total = 100, .offset = 64, .page = wp_bytes(data, 64) },
		{ .version = 1, .total = 10, .offset = 0, .page = wp_bytes(data, 64) },
		{ .version = 1, .total = 100, .offset = 0, .page = wp_bytes(data, 0) },
		{ .version = 1, .total = UINT32_MAX, .offset = 0, .page = wp_bytes(data, 64) },
	};
	unsigned refused = 0;

	for (size_t i = 0; i < ARRAY_SIZE(reps); i++) {
		struct wp_enc e;

		wp_enc_init(&e, body, sizeof(body));
		wp_map_get_rep_enc(&e, &reps[i]);
		refused += map_pages_add(&p, body, e.len) == -EBADMSG;
		map_pages_reset(&p);
	}
	ok(refused == ARRAY_SIZE(reps), "pages out of order, too long, empty or of a monstrous map are refused");
}

int main(void)
{
	struct caller *c;

	log_setup("test", LOG_ERR); /* 70,000 targets that fall silent are many lines */
	world_init(&w, 5);
	world_run(&w, 100);
	fill();
	c = caller_new(&w, WP_ROLE_ADMIN, "admin");
	test_pages(c);
	test_member();
	test_hostile();
	caller_free(c);
	world_done(&w);
	return done_testing();
}
