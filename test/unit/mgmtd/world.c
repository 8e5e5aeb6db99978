/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "world.h"

#include "../../tap.h"

/* ---- the daemon ------------------------------------------------------------------------------------------------------------- */

static void start_core(struct world *w)
{
	struct rpc_identity id = { .role = WP_ROLE_MGMTD, .auth = WP_AUTH_NONE, .name = "mgmtd" };

	w->env = sim_process_new(w->host);
	w->params.env = w->env;
	if (!w->dev) {
		struct osd_params p = { .env = w->env };

		weft_assert(osd_backend("mem")->open(&p, &w->dev) == 0);
	}
	w->dev->env = w->env;
	w->params.dev = w->dev;
	w->params.boot_epoch++;
	weft_assert(mgmtd_open(&w->params, &w->core) == 0);
	id.cluster = *mgmtd_cluster(w->core);
	weft_assert(rpc_node_new(w->env, &id, &w->node) == 0);
	weft_assert(rpc_service_add(w->node, mgmtd_service(w->core)) == 0);
	weft_assert(rpc_listen(w->node, MGMTD_ADDR) == 0);
}

static void set_true(void *arg) { *(bool *)arg = true; }
static bool is_true(void *arg) { return *(bool *)arg; }

static void stop_core(struct world *w)
{
	bool stopped = false;

	mgmtd_stop(w->core, set_true, &stopped);
	weft_assert(sim_run_until(w->sim, is_true, &stopped, 10 * NSEC_PER_SEC));
	rpc_service_remove(w->node, mgmtd_service(w->core));
	rpc_node_free(w->node);
	mgmtd_free(w->core);
}

/* The device in memory is taken along as if it were a disk: what was submitted is in it. Nothing may be in flight on it. */
void world_restart(struct world *w, bool clean)
{
	if (clean) {
		stop_core(w);
	} else {
		rpc_service_remove(w->node, mgmtd_service(w->core));
		rpc_node_free(w->node);
		mgmtd_free(w->core);
	}
	start_core(w);
}

void world_init(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->sim = sim_new(seed);
	w->host = sim_host_new(w->sim, "mgmtd");
	w->params.meta.space = (struct capacity_limits){ .low = GIB(10), .emergency = GIB(3) };
	w->params.storage.space = (struct capacity_limits){ .low = GIB(100), .emergency = GIB(10) };
	start_core(w);
}

void world_done(struct world *w)
{
	stop_core(w);
	w->dev->ops->close(w->dev);
	sim_free(w->sim);
}

void world_run(struct world *w, uint64_t ms) { sim_run_for(w->sim, ms * NSEC_PER_MSEC); }

/* ---- callers ------------------------------------------------------------------------------------------------------------------ */

static unsigned mgmtd_addr(void *arg, struct rpc_peer *peer, const char **ret, unsigned max)
{
	ret[0] = MGMTD_ADDR;
	return 1;
}

struct caller *caller_new(struct world *w, uint16_t role, const char *name)
{
	static const struct rpc_peer_ops ops = { .addrs = mgmtd_addr };
	struct rpc_peer_params p = { .service = WP_SERVICE_MGMTD, .target = WP_TARGET_NONE, .conns = 1, .credits = 8, .ops = &ops };
	struct rpc_identity id = { .role = role, .auth = WP_AUTH_NONE };
	struct caller *c = NEW(struct caller);

	(void)str_copy(id.name, sizeof(id.name), name);
	c->w = w;
	c->env = sim_process_new(sim_host_new(w->sim, name));
	env_random(c->env, &id.uuid, sizeof(id.uuid));
	weft_assert(rpc_node_new(c->env, &id, &c->node) == 0);
	weft_assert(rpc_peer_new(c->node, &p, &c->peer) == 0);
	return c;
}

void caller_free(struct caller *c)
{
	rpc_peer_free(c->peer);
	rpc_node_free(c->node);
	free(c);
}

struct wait {
	struct caller *c;
	bool done;
	int err;
};

static void call_done(struct rpc_call *call)
{
	struct wait *wait = call->arg;

	wait->err = call->err;
	if (!call->err) {
		weft_assert(call->reply_len <= sizeof(wait->c->reply));
		memcpy(wait->c->reply, call->reply, call->reply_len);
		wait->c->reply_len = call->reply_len;
	}
	wait->done = true;
}

static bool is_done(void *arg) { return ((struct wait *)arg)->done; }

#define CALL(c, op, encode, in)                                                                                               \
	({                                                                                                                    \
		struct wait wait_ = { .c = (c) };                                                                             \
		struct rpc_call call_;                                                                                        \
		rpc_call_init(&call_, op, call_done, &wait_);                                                                 \
		encode(rpc_call_enc(&call_, 16384), in);                                                                      \
		rpc_call((c)->peer, &call_);                                                                                  \
		weft_assert(sim_run_until((c)->w->sim, is_done, &wait_, 200 * NSEC_PER_SEC));                                 \
		wait_.err;                                                                                                    \
	})

int call_node(struct caller *c, const struct wp_register_node_req *in, struct wp_register_node_rep *out)
{
	int r = CALL(c, WP_OP_REGISTER_NODE, wp_register_node_req_enc, in);

	return r ? r : wp_register_node_rep_decode(c->reply, c->reply_len, NULL, 0, out);
}

int call_target(struct caller *c, const struct wp_register_target_req *in, struct wp_register_target_rep *out)
{
	int r = CALL(c, WP_OP_REGISTER_TARGET, wp_register_target_req_enc, in);

	return r ? r : wp_register_target_rep_decode(c->reply, c->reply_len, NULL, 0, out);
}

int call_beat(struct caller *c, uint32_t node, const struct wp_target_space *rows, uint32_t n)
{
	struct wp_heartbeat_req in = { .node = node, .targets = (struct wp_target_space *)(uintptr_t)rows, .targets_n = n };

	return CALL(c, WP_OP_HEARTBEAT, wp_heartbeat_req_enc, &in);
}

int call_leave(struct caller *c, uint32_t node)
{
	return CALL(c, WP_OP_UNREGISTER_NODE, wp_unregister_node_req_enc, (&(struct wp_unregister_node_req){ .node = node }));
}

struct cluster_map *call_map(struct caller *c, uint32_t known, uint32_t wait_ms)
{
	struct map_pages pages = { 0 };
	struct cluster_map *map = NULL;
	struct wp_map_get_req in;
	int r;

	do {
		map_pages_request(&pages, known, wait_ms, &in);
		r = CALL(c, WP_OP_MAP_GET, wp_map_get_req_enc, &in);
		if (!r)
			r = map_pages_add(&pages, c->reply, c->reply_len);
	} while (!r);
	if (r > 0 && cluster_map_decode(pages.body.p, pages.body.len, &map) < 0)
		map = NULL;
	map_pages_reset(&pages);
	return map;
}

int call_alias(struct caller *c, uint8_t entity, uint32_t id, const char *alias)
{
	struct wp_set_alias_req in = { .entity = entity, .id = id, .alias = wp_str(alias) };

	return CALL(c, WP_OP_SET_ALIAS, wp_set_alias_req_enc, &in);
}

int call_state(struct caller *c, uint16_t service, uint32_t target, uint8_t state)
{
	struct wp_set_target_state_req in = { .service = service, .target = target, .state = state };

	return CALL(c, WP_OP_SET_TARGET_STATE, wp_set_target_state_req_enc, &in);
}

int call_pool_create(struct caller *c, const char *alias, uint32_t *id)
{
	struct wp_pool_create_req in = { .alias = wp_str(alias) };
	struct wp_pool_create_rep out;
	int r = CALL(c, WP_OP_POOL_CREATE, wp_pool_create_req_enc, &in);

	if (!r)
		r = wp_pool_create_rep_decode(c->reply, c->reply_len, NULL, 0, &out);
	if (!r)
		*id = out.pool;
	return r;
}

int call_pool_delete(struct caller *c, uint32_t id)
{
	return CALL(c, WP_OP_POOL_DELETE, wp_pool_delete_req_enc, (&(struct wp_pool_delete_req){ .pool = id }));
}

int call_pool_assign(struct caller *c, uint32_t target, const char *pool)
{
	struct wp_pool_assign_req in = { .target = target, .pool = wp_str(pool) };

	return CALL(c, WP_OP_POOL_ASSIGN, wp_pool_assign_req_enc, &in);
}

int call_lock(struct caller *c, bool locked)
{
	return CALL(c, WP_OP_REGISTRATION_LOCK, wp_registration_lock_req_enc, (&(struct wp_registration_lock_req){ .locked = locked }));
}

int call_remove(struct caller *c, uint8_t entity, uint32_t id, bool force)
{
	struct wp_remove_req in = { .entity = entity, .id = id, .force = force };

	return CALL(c, WP_OP_REMOVE, wp_remove_req_enc, &in);
}

/* ---- servers ------------------------------------------------------------------------------------------------------------------ */

struct wp_uuid uuid_of(uint8_t n)
{
	struct wp_uuid u;

	memset(u.b, n, sizeof(u.b));
	return u;
}

int server_join(struct server *s, struct caller *c, uint8_t n)
{
	struct wp_register_node_req node = { .uuid = uuid_of(n), .role = s->role, .pid = n, .host = wp_str("host") };
	struct wp_register_target_req target = { .uuid = uuid_of(n), .service = s->service, .wanted = WP_TARGET_NONE, .format = 1 };
	struct wp_register_target_rep target_rep;
	struct wp_register_node_rep node_rep;
	int r;

	s->c = c;
	s->node_uuid = s->target_uuid = uuid_of(n);
	if (!s->space.total)
		s->space = (struct wp_target_space){ .total = GIB(10000), .free = GIB(9000), .inodes = 1000, .inodes_free = 900 };
	target.space = s->space;
	r = call_node(c, &node, &node_rep);
	if (r < 0)
		return r;
	s->node = target.node = node_rep.node;
	r = call_target(c, &target, &target_rep);
	if (r < 0)
		return r;
	s->target = s->space.id = target_rep.target;
	s->space.service = s->service;
	return server_beat(s);
}

int server_beat(struct server *s) { return call_beat(s->c, s->node, &s->space, 1); }

uint8_t shown_state(struct caller *c, uint16_t service, uint32_t id)
{
	struct cluster_map *map = call_map(c, 0, 0);
	const struct wp_target_info *t = map ? cluster_map_target(map, service, id) : NULL;
	uint8_t state = t ? t->state : 0;

	cluster_map_unref(map);
	return state;
}
