/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The management daemon over the simulated network: registration rules, states, classes, watching, persistence. */
#include "../../tap.h"
#include "world.h"

#define META_SERVER { .role = WP_ROLE_META, .service = WP_SERVICE_META }
#define STORAGE_SERVER { .role = WP_ROLE_STORAGE, .service = WP_SERVICE_STORAGE }

static uint32_t version(struct caller *c)
{
	struct cluster_map *map = call_map(c, 0, 0);
	uint32_t v = map ? cluster_map_version(map) : 0;

	cluster_map_unref(map);
	return v;
}

static void test_join(void)
{
	struct server a = META_SERVER, b = META_SERVER, s = STORAGE_SERVER;
	struct cluster_map *map;
	struct caller *meta, *storage;
	struct world w;
	uint32_t before;

	world_init(&w, 1);
	meta = caller_new(&w, WP_ROLE_META, "m");
	storage = caller_new(&w, WP_ROLE_STORAGE, "s");
	before = version(meta);
	is_int(server_join(&a, meta, 1), 0, "a metadata server joins");
	ok(version(meta) > before, "the map is newer");
	is_int(server_join(&b, meta, 2), 0, "another one");
	is_int(server_join(&s, storage, 3), 0, "a storage server joins");
	ok(a.target == 0 && b.target == 1 && s.target == 1, "metadata targets count from 0, storage targets from 1");
	ok(a.node == 1 && b.node == 2 && s.node == 3, "nodes count from 1");
	map = call_map(meta, 0, 0);
	ok(wp_str_eq(cluster_map_target(map, WP_SERVICE_META, 1)->alias, wp_str("meta1")), "targets get names");
	ok(wp_str_eq(cluster_map_target(map, WP_SERVICE_STORAGE, 1)->pool, wp_str("default")), "storage targets join the default pool");
	is_int(cluster_map_target(map, WP_SERVICE_META, 1)->node, b.node, "a target knows its node");
	before = cluster_map_version(map);
	cluster_map_unref(map);
	is_int(server_join(&b, meta, 2), 0, "joining again");
	ok(b.target == 1 && b.node == 2, "the same numbers");
	is_int(version(meta), before, "nothing changed, no new map");
	caller_free(meta);
	caller_free(storage);
	world_done(&w);
}

static void test_node_refusals(void)
{
	struct wp_register_node_req in = { .uuid = uuid_of(1), .role = WP_ROLE_META, .pid = 1, .alias = wp_str("one") };
	struct caller *meta, *other, *storage, *client;
	struct wp_register_node_rep out;
	struct world w;

	world_init(&w, 2);
	meta = caller_new(&w, WP_ROLE_META, "m");
	other = caller_new(&w, WP_ROLE_META, "o");
	storage = caller_new(&w, WP_ROLE_STORAGE, "s");
	client = caller_new(&w, WP_ROLE_CLIENT, "c");
	is_int(call_node(meta, &in, &out), 0, "a node with a name");
	ok(out.capability_key.len == 32 && !wp_uuid_is_zero(&out.cluster), "a server gets the key and the cluster");
	is_int(call_node(storage, &in, &out), -WEFT_EDENIED, "registering for another role");
	in.role = WP_ROLE_STORAGE;
	is_int(call_node(storage, &in, &out), -WEFT_ECONFLICT, "a uuid of another role's node");
	in.uuid = uuid_of(2);
	is_int(call_node(storage, &in, &out), -WEFT_ECONFLICT, "a name that is taken");
	in.alias = wp_str("../x");
	is_int(call_node(storage, &in, &out), -EINVAL, "a malformed name");
	in.alias = wp_str("42");
	is_int(call_node(storage, &in, &out), -EINVAL, "a name that is a number");
	in.alias = wp_str("");
	in.uuid = uuid_of(0);
	is_int(call_node(storage, &in, &out), -EINVAL, "no uuid");
	in = (struct wp_register_node_req){ .uuid = uuid_of(1), .role = WP_ROLE_META, .pid = 99 };
	is_int(call_node(other, &in, &out), -WEFT_ECONFLICT, "a second process with the uuid of a living one");
	caller_free(meta);
	world_run(&w, 1000);
	is_int(call_node(other, &in, &out), 0, "when the first is gone it may");
	in.role = WP_ROLE_CLIENT;
	in.uuid = uuid_of(7);
	is_int(call_node(client, &in, &out), 0, "a client registers");
	is_int(out.capability_key.len, 0, "clients do not get the key");
	caller_free(other);
	caller_free(storage);
	caller_free(client);
	world_done(&w);
}

static void test_target_refusals(void)
{
	struct wp_register_target_req in = { .uuid = uuid_of(9), .service = WP_SERVICE_STORAGE, .wanted = WP_TARGET_NONE, .format = 1 };
	struct server a = STORAGE_SERVER, b = STORAGE_SERVER;
	struct wp_register_target_rep out;
	struct caller *s, *s2, *meta;
	struct world w;

	world_init(&w, 3);
	s = caller_new(&w, WP_ROLE_STORAGE, "s");
	s2 = caller_new(&w, WP_ROLE_STORAGE, "s2");
	meta = caller_new(&w, WP_ROLE_META, "m");
	ok(!server_join(&a, s, 1) && !server_join(&b, s2, 2), "two servers");
	in.node = a.node;
	in.cluster = uuid_of(5);
	is_int(call_target(s, &in, &out), -WEFT_EFOREIGN, "a target of another cluster");
	in.cluster = *mgmtd_cluster(w.core);
	in.format = 2;
	is_int(call_target(s, &in, &out), -WEFT_ENEWER, "a newer format");
	in.format = 1;
	in.wanted = b.target;
	is_int(call_target(s, &in, &out), -WEFT_ECONFLICT, "a number that another target has");
	in.wanted = 70000;
	is_int(call_target(s, &in, &out), -EINVAL, "a number out of range");
	in.wanted = WP_TARGET_NONE;
	in.alias = wp_str("storage2");
	is_int(call_target(s, &in, &out), -WEFT_ECONFLICT, "a name that another target has");
	in.alias = wp_str("");
	in.pool = wp_str("nowhere");
	is_int(call_target(s, &in, &out), -EINVAL, "an unknown pool");
	in.pool = wp_str("");
	in.node = 77;
	is_int(call_target(s, &in, &out), -ENOENT, "an unknown node");
	in.node = a.node;
	is_int(call_target(meta, &in, &out), -WEFT_EDENIED, "another role");
	in.uuid = b.target_uuid;
	is_int(call_target(s, &in, &out), -WEFT_ECONFLICT, "a target that another node is serving");
	is_int(call_leave(s2, b.node), 0, "the other node leaves");
	is_int(call_target(s, &in, &out), 0, "then its target may move");
	is_int(out.target, b.target, "with its number");
	in.uuid = uuid_of(9);
	in.wanted = 40;
	is_int(call_target(s, &in, &out), 0, "a number from an identity file, when the state was lost");
	is_int(out.target, 40, "is kept");
	in.uuid = uuid_of(10);
	in.wanted = WP_TARGET_NONE;
	is_int(call_target(s, &in, &out), 0, "a new target after that");
	is_int(out.target, 41, "gets a number beyond");
	caller_free(s);
	caller_free(s2);
	caller_free(meta);
	world_done(&w);
}

static void test_states(void)
{
	struct server a = STORAGE_SERVER;
	struct caller *s, *admin;
	struct world w;

	world_init(&w, 4);
	s = caller_new(&w, WP_ROLE_STORAGE, "s");
	admin = caller_new(&w, WP_ROLE_ADMIN, "a");
	ok(!server_join(&a, s, 1), "a server");
	is_int(shown_state(s, WP_SERVICE_STORAGE, 1), WP_TARGET_STATE_ONLINE, "a heartbeat: online");
	world_run(&w, 9000);
	is_int(shown_state(s, WP_SERVICE_STORAGE, 1), WP_TARGET_STATE_ONLINE, "silent for 9 s: still online");
	world_run(&w, 4000);
	is_int(shown_state(s, WP_SERVICE_STORAGE, 1), WP_TARGET_STATE_OFFLINE, "silent for 13 s: offline");
	is_int(server_beat(&a), 0, "a heartbeat");
	is_int(shown_state(s, WP_SERVICE_STORAGE, 1), WP_TARGET_STATE_ONLINE, "is online again");
	is_int(call_state(s, WP_SERVICE_STORAGE, 1, WP_TARGET_STATE_DRAINING), -WEFT_EDENIED, "a server may not drain");
	is_int(call_state(admin, WP_SERVICE_STORAGE, 1, WP_TARGET_STATE_DRAINING), 0, "an administrator may");
	is_int(shown_state(s, WP_SERVICE_STORAGE, 1), WP_TARGET_STATE_DRAINING, "draining");
	is_int(call_leave(s, a.node), 0, "the server leaves");
	is_int(shown_state(s, WP_SERVICE_STORAGE, 1), WP_TARGET_STATE_OFFLINE, "offline at once");
	is_int(server_beat(&a), 0, "it comes back");
	is_int(shown_state(s, WP_SERVICE_STORAGE, 1), WP_TARGET_STATE_DRAINING, "and is draining still");
	is_int(call_state(admin, WP_SERVICE_STORAGE, 1, WP_TARGET_STATE_ONLINE), 0, "draining ends");
	is_int(shown_state(s, WP_SERVICE_STORAGE, 1), WP_TARGET_STATE_ONLINE, "online");
	is_int(call_state(admin, WP_SERVICE_STORAGE, 1, WP_TARGET_STATE_OFFLINE), -EINVAL, "offline cannot be set");
	is_int(call_state(admin, WP_SERVICE_STORAGE, 9, WP_TARGET_STATE_ONLINE), -ENOENT, "an unknown target");
	caller_free(s);
	caller_free(admin);
	world_done(&w);
}

static unsigned nodes_in_map(struct caller *c)
{
	struct cluster_map *map = call_map(c, 0, 0);
	unsigned n = cluster_map_wire(map)->nodes_n;

	cluster_map_unref(map);
	return n;
}

static void test_clients(void)
{
	struct wp_register_node_req in = { .uuid = uuid_of(7), .role = WP_ROLE_CLIENT, .pid = 3 };
	struct wp_register_node_rep out;
	struct caller *c, *admin;
	struct world w;

	world_init(&w, 5);
	c = caller_new(&w, WP_ROLE_CLIENT, "c");
	admin = caller_new(&w, WP_ROLE_ADMIN, "a");
	is_int(call_node(c, &in, &out), 0, "a mount");
	is_int(nodes_in_map(admin), 1, "is in the map");
	world_run(&w, 20000);
	is_int(call_beat(c, out.node, NULL, 0), 0, "gives signs of life");
	world_run(&w, 20000);
	is_int(nodes_in_map(admin), 1, "and stays");
	world_run(&w, 20000);
	is_int(nodes_in_map(admin), 0, "is silent and vanishes");
	is_int(call_beat(c, out.node, NULL, 0), -ENOENT, "its next heartbeat tells it");
	is_int(call_node(c, &in, &out), 0, "so it registers again");
	is_int(call_leave(c, out.node), 0, "and leaves");
	is_int(nodes_in_map(admin), 0, "vanishes at once");
	is_int(call_lock(c, true), -WEFT_EDENIED, "a client changes nothing");
	caller_free(c);
	caller_free(admin);
	world_done(&w);
}

static void test_admin(void)
{
	struct server a = STORAGE_SERVER, b = STORAGE_SERVER, late = STORAGE_SERVER;
	struct cluster_map *map;
	struct caller *s, *admin;
	const uint32_t *ids;
	uint32_t pool = 0;
	struct world w;

	world_init(&w, 6);
	s = caller_new(&w, WP_ROLE_STORAGE, "s");
	admin = caller_new(&w, WP_ROLE_ADMIN, "a");
	ok(!server_join(&a, s, 1) && !server_join(&b, s, 2), "two servers");
	is_int(call_alias(admin, WP_ENTITY_TARGET_STORAGE, 1, "fast"), 0, "a target's name");
	is_int(call_alias(admin, WP_ENTITY_TARGET_STORAGE, 2, "fast"), -WEFT_ECONFLICT, "is unique");
	is_int(call_alias(admin, WP_ENTITY_TARGET_STORAGE, 1, "fast"), 0, "the same again is fine");
	is_int(call_alias(admin, WP_ENTITY_NODE, a.node, "fast"), 0, "another kind of entity may have it");
	is_int(call_alias(admin, WP_ENTITY_NODE, a.node, "a b"), -EINVAL, "no spaces");
	is_int(call_alias(admin, WP_ENTITY_NODE, 99, "x"), -ENOENT, "an unknown node");
	is_int(call_pool_create(admin, "ssd", &pool), 0, "a pool");
	is_int(call_pool_create(admin, "ssd", &pool), -EEXIST, "once");
	is_int(call_pool_assign(admin, 2, "ssd"), 0, "a target moves there");
	is_int(call_pool_assign(admin, 2, "hdd"), -ENOENT, "not into a pool that is not there");
	map = call_map(admin, 0, 0);
	ok(cluster_map_candidates(map, wp_str("ssd"), WP_CAPACITY_NORMAL, &ids) == 1 && ids[0] == 2, "it is the pool's candidate");
	ok(cluster_map_candidates(map, wp_str(""), WP_CAPACITY_NORMAL, &ids) == 1 && ids[0] == 1, "the other is the default pool's");
	cluster_map_unref(map);
	is_int(call_pool_delete(admin, pool), -EBUSY, "a used pool stays");
	is_int(call_pool_delete(admin, 1), -EINVAL, "the default pool stays");
	is_int(call_pool_assign(admin, 2, "default"), 0, "the target moves back");
	is_int(call_pool_delete(admin, pool), 0, "the pool goes");
	is_int(call_lock(admin, true), 0, "registration is locked");
	is_int(server_join(&late, s, 3), -WEFT_ELOCKED, "nobody new");
	is_int(server_join(&a, s, 1), 0, "the known ones may");
	is_int(call_lock(admin, false), 0, "unlocked");
	is_int(server_join(&late, s, 3), 0, "and new ones");
	is_int(call_remove(admin, WP_ENTITY_TARGET_STORAGE, 1, false), -EBUSY, "an online target stays");
	is_int(call_remove(admin, WP_ENTITY_NODE, a.node, true), -EBUSY, "a node with targets stays");
	is_int(call_leave(s, a.node), 0, "it leaves");
	is_int(call_remove(admin, WP_ENTITY_TARGET_STORAGE, 1, false), 0, "its target goes");
	is_int(call_remove(admin, WP_ENTITY_NODE, a.node, false), 0, "the node goes");
	is_int(call_remove(admin, WP_ENTITY_NODE, a.node, false), -ENOENT, "once");
	is_int(server_join(&a, s, 1), 0, "it joins again");
	is_int(a.target, 4, "as a new one: numbers are not given twice");
	caller_free(s);
	caller_free(admin);
	world_done(&w);
}

static void test_watch(void)
{
	struct caller *watcher, *admin;
	struct cluster_map *map;
	uint64_t start;
	uint32_t v, pool;
	struct world w;

	world_init(&w, 7);
	watcher = caller_new(&w, WP_ROLE_CLIENT, "c");
	admin = caller_new(&w, WP_ROLE_ADMIN, "a");
	v = version(watcher);
	start = sim_now_ns(w.sim);
	map = call_map(watcher, v, 5000);
	ok(map && cluster_map_version(map) == v, "nothing happens: the map as it is");
	cluster_map_unref(map);
	ok(sim_now_ns(w.sim) - start >= 5 * NSEC_PER_SEC, "after the time asked for");
	start = sim_now_ns(w.sim);
	map = call_map(watcher, v + 5, 60000);
	ok(map && cluster_map_version(map) == v && sim_now_ns(w.sim) - start < NSEC_PER_SEC, "a version of the future is answered at once");
	cluster_map_unref(map);
	is_int(call_pool_create(admin, "p1", &pool), 0, "a change");
	start = sim_now_ns(w.sim);
	map = call_map(watcher, v, 60000);
	ok(map && cluster_map_version(map) > v && sim_now_ns(w.sim) - start < NSEC_PER_SEC, "a newer map is answered at once");
	cluster_map_unref(map);
	caller_free(watcher);
	caller_free(admin);
	world_done(&w);
}

static void test_restart(bool clean)
{
	struct server a = META_SERVER, b = STORAGE_SERVER;
	struct wp_uuid cluster;
	struct caller *meta, *s, *admin;
	struct cluster_map *map;
	uint32_t v, pool;
	struct world w;

	world_init(&w, 8);
	meta = caller_new(&w, WP_ROLE_META, "m");
	s = caller_new(&w, WP_ROLE_STORAGE, "s");
	admin = caller_new(&w, WP_ROLE_ADMIN, "a");
	ok(!server_join(&a, meta, 1) && !server_join(&b, s, 2), "two servers");
	ok(!call_pool_create(admin, "ssd", &pool) && !call_pool_assign(admin, 1, "ssd"), "a pool");
	ok(!call_alias(admin, WP_ENTITY_TARGET_STORAGE, 1, "fast") && !call_lock(admin, true), "a name, a lock");
	is_int(call_state(admin, WP_SERVICE_STORAGE, 1, WP_TARGET_STATE_DRAINING), 0, "draining");
	v = version(admin);
	cluster = *mgmtd_cluster(w.core);
	world_restart(&w, clean);
	ok(wp_uuid_eq(&cluster, mgmtd_cluster(w.core)), "%s restart: the same cluster", clean ? "clean" : "hard");
	map = call_map(admin, 0, 0);
	ok(cluster_map_version(map) >= v, "the version does not go back");
	ok(cluster_map_wire(map)->registration_locked && cluster_map_has_pool(map, wp_str("ssd")), "lock and pool");
	ok(wp_str_eq(cluster_map_target(map, WP_SERVICE_STORAGE, 1)->alias, wp_str("fast")), "name");
	ok(wp_str_eq(cluster_map_target(map, WP_SERVICE_STORAGE, 1)->pool, wp_str("ssd")), "assignment");
	is_int(cluster_map_target(map, WP_SERVICE_STORAGE, 1)->state, WP_TARGET_STATE_DRAINING, "state");
	is_int(cluster_map_wire(map)->nodes_n, 2, "nodes");
	cluster_map_unref(map);
	is_int(server_beat(&a), 0, "heartbeats go on");
	is_int(server_beat(&b), 0, "from all");
	world_run(&w, 13000);
	is_int(shown_state(admin, WP_SERVICE_META, 0), WP_TARGET_STATE_OFFLINE, "silence is noticed");
	is_int(call_pool_create(admin, "hdd", &pool), 0, "another pool");
	is_int(pool, 3, "with a new number");
	caller_free(meta);
	caller_free(s);
	caller_free(admin);
	world_done(&w);
}

static uint8_t shown_class(struct caller *c, uint32_t id)
{
	struct cluster_map *map = call_map(c, 0, 0);
	uint8_t class = cluster_map_target(map, WP_SERVICE_STORAGE, id)->capacity;

	cluster_map_unref(map);
	return class;
}

static void test_classes(void)
{
	struct server a = STORAGE_SERVER;
	struct caller *s;
	struct world w;

	world_init(&w, 9);
	s = caller_new(&w, WP_ROLE_STORAGE, "s");
	ok(!server_join(&a, s, 1), "a server with much space");
	is_int(shown_class(s, 1), WP_CAPACITY_NORMAL, "normal");
	a.space.free = GIB(50);
	ok(!server_beat(&a), "it fills up");
	world_run(&w, 3000);
	is_int(shown_class(s, 1), WP_CAPACITY_LOW, "low");
	a.space.free = GIB(5);
	ok(!server_beat(&a), "and up");
	world_run(&w, 3000);
	is_int(shown_class(s, 1), WP_CAPACITY_EMERGENCY, "emergency");
	a.space.free = GIB(500);
	ok(!server_beat(&a), "is emptied");
	world_run(&w, 3000);
	is_int(shown_class(s, 1), WP_CAPACITY_NORMAL, "normal again");
	caller_free(s);
	world_done(&w);
}

int main(void)
{
	test_join();
	test_node_refusals();
	test_target_refusals();
	test_states();
	test_clients();
	test_admin();
	test_watch();
	test_restart(true);
	test_restart(false);
	test_classes();
	return done_testing();
}
