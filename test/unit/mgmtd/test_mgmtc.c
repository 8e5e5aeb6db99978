/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A process's client of the management daemon: it registers, stays, comes back, leaves, whatever happens between. */
#include "../../tap.h"
#include "node/mgmtc.h"
#include "world.h"

struct member {
	struct world *w;
	struct env *env;
	struct rpc_node *node;
	struct mgmtc *m;
	struct mgmtc_target target;
	unsigned registered, maps, refused, online;
	int refused_err;
	uint32_t version;
	bool stopped;
};

static void on_registered(void *arg, const struct mgmtc_registration *r)
{
	struct member *x = arg;

	if (!x->registered++ && x->target.service)
		mgmtc_serving(x->m);
}

static void on_map(void *arg, struct cluster_map *map)
{
	struct member *x = arg;

	x->maps++;
	x->version = cluster_map_version(map);
}

static void on_refused(void *arg, int err, const char *why)
{
	struct member *x = arg;

	x->refused++;
	x->refused_err = err;
}

static void on_online(void *arg) { ((struct member *)arg)->online++; }

static const struct mgmtc_ops ops = { .registered = on_registered, .map = on_map, .refused = on_refused, .online = on_online };

static void member_start(struct member *x, struct world *w, uint16_t role, const char *host, uint8_t n)
{
	static const char *const mgmtd[] = { "sim:nowhere:1", MGMTD_ADDR }, *const addrs[] = { "sim:h:1" };
	struct rpc_identity id = { .role = role, .auth = WP_AUTH_NONE, .name = "member" };
	struct mgmtc_params p = { .mgmtd = mgmtd, .mgmtd_n = 2, .uuid = uuid_of(n), .role = role, .pid = n, .host = host, .addrs = addrs,
				  .addrs_n = 1, .ops = &ops, .arg = x };

	memset(x, 0, sizeof(*x));
	x->w = w;
	x->env = sim_process_new(sim_host_new(w->sim, host));
	weft_assert(rpc_node_new(x->env, &id, &x->node) == 0);
	p.node = x->node;
	weft_assert(mgmtc_new(&p, &x->m) == 0);
	if (role != WP_ROLE_CLIENT) {
		x->target = (struct mgmtc_target){ .service = WP_SERVICE_STORAGE, .id = WP_TARGET_NONE, .format = 1, .uuid = uuid_of(n) };
		x->target.space = (struct wp_target_space){ .total = GIB(1000), .free = GIB(900) };
		mgmtc_add_target(x->m, &x->target);
	}
	mgmtc_start(x->m);
}

static void set_true(void *arg) { *(bool *)arg = true; }

static void member_end(struct member *x)
{
	if (!x->stopped)
		mgmtc_stop(x->m, set_true, &x->stopped);
	world_run(x->w, 1500);
	ok(x->stopped, "it stops within the time that taking leave may take");
	mgmtc_free(x->m);
	rpc_node_free(x->node);
}

static void test_life(void)
{
	struct caller *admin;
	struct member s, c;
	struct world w;
	uint32_t pool;

	world_init(&w, 1);
	admin = caller_new(&w, WP_ROLE_ADMIN, "a");
	member_start(&s, &w, WP_ROLE_STORAGE, "s", 1);
	member_start(&c, &w, WP_ROLE_CLIENT, "c", 2);
	world_run(&w, 2000);
	ok(s.registered == 1 && s.online == 1 && s.target.id == 1 && !strcmp(s.target.alias, "storage1"), "a server is registered and online");
	ok(c.registered == 1 && !c.online && c.maps && mgmtc_map(c.m), "a client as well, and has a map");
	is_int(shown_state(admin, WP_SERVICE_STORAGE, 1), WP_TARGET_STATE_ONLINE, "the map shows it");
	world_run(&w, 100000);
	is_int(shown_state(admin, WP_SERVICE_STORAGE, 1), WP_TARGET_STATE_ONLINE, "heartbeats keep it");
	is_int(s.registered, 1, "one registration is enough");
	ok(!call_pool_create(admin, "ssd", &pool), "the map changes");
	world_run(&w, 500);
	ok(s.version == mgmtd_map_version(w.core) && c.version == s.version, "everybody has it soon");
	mgmtc_stop(s.m, set_true, &s.stopped);
	world_run(&w, 500);
	is_int(shown_state(admin, WP_SERVICE_STORAGE, 1), WP_TARGET_STATE_OFFLINE, "taking leave: offline at once");
	member_end(&s);
	member_end(&c);
	caller_free(admin);
	world_done(&w);
}

static void test_restart(void)
{
	struct caller *admin;
	struct member s, c;
	struct world w;

	world_init(&w, 2);
	admin = caller_new(&w, WP_ROLE_ADMIN, "a");
	member_start(&s, &w, WP_ROLE_STORAGE, "s", 1);
	member_start(&c, &w, WP_ROLE_CLIENT, "c", 2);
	world_run(&w, 2000);
	world_restart(&w, true);
	world_run(&w, 20000);
	is_int(shown_state(admin, WP_SERVICE_STORAGE, 1), WP_TARGET_STATE_ONLINE, "the daemon restarts: the server is known and stays online");
	is_int(s.registered, 1, "without registering");
	is_int(c.registered, 2, "the client was forgotten and registers again");
	ok(c.version == mgmtd_map_version(w.core) && s.version == c.version, "the map is watched again");
	sim_host_set_reachable(sim_process_host(s.env), false);
	world_run(&w, 30000);
	is_int(shown_state(admin, WP_SERVICE_STORAGE, 1), WP_TARGET_STATE_OFFLINE, "the network of the server fails");
	sim_host_set_reachable(sim_process_host(s.env), true);
	world_run(&w, 30000);
	is_int(shown_state(admin, WP_SERVICE_STORAGE, 1), WP_TARGET_STATE_ONLINE, "and works again");
	member_end(&s);
	member_end(&c);
	caller_free(admin);
	world_done(&w);
}

static void test_refused(void)
{
	struct caller *admin;
	struct member s;
	struct world w;

	world_init(&w, 3);
	admin = caller_new(&w, WP_ROLE_ADMIN, "a");
	is_int(call_lock(admin, true), 0, "registration is locked");
	member_start(&s, &w, WP_ROLE_STORAGE, "s", 1);
	world_run(&w, 12000);
	ok(s.refused >= 2 && s.refused_err == -WEFT_ELOCKED && !s.registered, "refused, tried again");
	is_int(call_lock(admin, false), 0, "unlocked");
	world_run(&w, 8000);
	ok(s.registered == 1 && s.online == 1, "it joins by itself");
	member_end(&s);
	caller_free(admin);
	world_done(&w);
}

/* Stopped and freed at every stage of its life. */
static void test_any_moment(void)
{
	for (unsigned ms = 0; ms < 30; ms++) {
		struct member a, b;
		struct world w;
		unsigned before;

		world_init(&w, 100 + ms);
		member_start(&a, &w, WP_ROLE_STORAGE, "s", 1);
		member_start(&b, &w, WP_ROLE_STORAGE, "t", 2);
		sim_run_for(w.sim, ms * 200000ull);
		mgmtc_stop(a.m, set_true, &a.stopped);
		mgmtc_free(b.m);
		before = b.registered + b.maps;
		world_run(&w, 1500);
		ok_quiet(a.stopped, "stopped after %u steps", ms);
		ok_quiet(before == b.registered + b.maps, "freed: no callbacks after %u steps", ms);
		mgmtc_free(a.m);
		rpc_node_free(a.node);
		rpc_node_free(b.node);
		world_done(&w);
	}
	ok(true, "stopped and freed at any moment");
}

int main(void)
{
	test_life();
	test_restart();
	test_refused();
	test_any_moment();
	return done_testing();
}
