/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "../../tap.h"
#include "node/clustermap.h"

#define OPTIONAL_PART 4u /* an encoding that ends before it is whole */

static struct wp_addr addrs[] = {
	{ { .p = "tcp:10.0.0.1:7482" } }, { { .p = "unix:/run/a.sock" } }, { { .p = "tcp:10.0.0.2:7482" } },
};

static struct wp_node_info nodes[3];
static struct wp_target_info targets[8];
static struct wp_pool_info pools[2];
static struct wp_map map;

static void target(unsigned i, uint16_t service, uint32_t id, uint8_t state, uint8_t capacity, const char *pool)
{
	targets[i] = (struct wp_target_info){ .id = id, .service = service, .state = state, .capacity = capacity, .node = i % 2 ? 9 : 4,
					      .pool = wp_str(pool) };
}

static void fill(void)
{
	nodes[0] = (struct wp_node_info){ .id = 9, .host = wp_str("here"), .addrs = addrs, .addrs_n = 3 };
	nodes[1] = (struct wp_node_info){ .id = 4, .host = wp_str("there"), .addrs = addrs, .addrs_n = 2 };
	nodes[2] = (struct wp_node_info){ .id = 6, .role = WP_ROLE_CLIENT };
	target(0, WP_SERVICE_META, 1, WP_TARGET_STATE_ONLINE, WP_CAPACITY_NORMAL, "");
	target(1, WP_SERVICE_META, 0, WP_TARGET_STATE_OFFLINE, WP_CAPACITY_NORMAL, "");
	target(2, WP_SERVICE_STORAGE, 5, WP_TARGET_STATE_ONLINE, WP_CAPACITY_LOW, "default");
	target(3, WP_SERVICE_STORAGE, 1, WP_TARGET_STATE_ONLINE, WP_CAPACITY_NORMAL, "default");
	target(4, WP_SERVICE_STORAGE, 2, WP_TARGET_STATE_DRAINING, WP_CAPACITY_NORMAL, "default");
	target(5, WP_SERVICE_STORAGE, 65536, WP_TARGET_STATE_ONLINE, WP_CAPACITY_EMERGENCY, "default");
	target(6, WP_SERVICE_STORAGE, 7, WP_TARGET_STATE_ONLINE, WP_CAPACITY_NORMAL, "ssd");
	target(7, WP_SERVICE_STORAGE, 3, WP_TARGET_STATE_ONLINE, WP_CAPACITY_NORMAL, "default");
	pools[0] = (struct wp_pool_info){ .id = 1, .alias = wp_str("default") };
	pools[1] = (struct wp_pool_info){ .id = 2, .alias = wp_str("ssd") };
	map = (struct wp_map){
		.version = 42, .nodes = nodes, .nodes_n = 3, .targets = targets, .targets_n = 8, .pools = pools, .pools_n = 2
	};
}

static int decode(struct cluster_map **ret)
{
	static uint8_t buf[8192];
	struct wp_enc e;

	wp_enc_init(&e, buf, sizeof(buf));
	wp_map_enc(&e, &map);
	return e.err ? e.err : cluster_map_decode(buf, e.len, ret);
}

static void test_lookups(void)
{
	const char *ret[8];
	const uint32_t *ids;
	struct cluster_map *m;

	fill();
	is_int(decode(&m), 0, "a map");
	is_int(cluster_map_version(m), 42, "has a version");
	ok(cluster_map_node(m, 6)->role == WP_ROLE_CLIENT && !cluster_map_node(m, 5) && !cluster_map_node(m, 10), "nodes by number");
	ok(cluster_map_target(m, WP_SERVICE_META, 0)->state == WP_TARGET_STATE_OFFLINE, "targets by service");
	ok(cluster_map_target(m, WP_SERVICE_STORAGE, 65536) && !cluster_map_target(m, WP_SERVICE_STORAGE, 4) &&
		   !cluster_map_target(m, WP_SERVICE_META, 2) && !cluster_map_target(m, WP_SERVICE_STORAGE, UINT32_MAX) &&
		   !cluster_map_target(m, WP_SERVICE_MGMTD, 0),
	   "and number");
	is_int(cluster_map_target_node(m, WP_SERVICE_META, 0)->id, 9, "the node of a target");
	ok(cluster_map_targets(m, WP_SERVICE_STORAGE, &ids) == 6 && ids[0] == 1 && ids[5] == 65536, "all of them, in order");
	ok(cluster_map_candidates(m, wp_str(""), WP_CAPACITY_NORMAL, &ids) == 2 && ids[0] == 1 && ids[1] == 3,
	   "normal candidates of the default pool: neither draining nor of another pool");
	ok(cluster_map_candidates(m, wp_str("default"), WP_CAPACITY_LOW, &ids) == 1 && ids[0] == 5, "low ones");
	ok(cluster_map_candidates(m, wp_str("default"), WP_CAPACITY_EMERGENCY, &ids) == 1 && ids[0] == 65536, "emergency ones");
	ok(cluster_map_candidates(m, wp_str("ssd"), WP_CAPACITY_NORMAL, &ids) == 1 && ids[0] == 7, "another pool's");
	ok(!cluster_map_candidates(m, wp_str("nope"), WP_CAPACITY_NORMAL, &ids) && !cluster_map_candidates(m, wp_str("ssd"), 0, &ids) &&
		   !cluster_map_candidates(m, wp_str("ssd"), 4, &ids),
	   "of nothing: none");
	is_int(cluster_map_addrs(m, WP_SERVICE_META, 0, "here", ret, 8), 3, "addresses of a node on this host");
	ok(!strcmp(ret[0], "unix:/run/a.sock") && !strcmp(ret[1], "tcp:10.0.0.1:7482") && !strcmp(ret[2], "tcp:10.0.0.2:7482"),
	   "Unix sockets first");
	is_int(cluster_map_addrs(m, WP_SERVICE_META, 1, "here", ret, 8), 1, "of a node elsewhere: no Unix sockets");
	is_int(cluster_map_addrs(m, WP_SERVICE_META, 0, "here", ret, 1), 1, "as many as fit");
	is_int(cluster_map_addrs(m, WP_SERVICE_META, 9, "here", ret, 8), 0, "of an unknown target");
	ok(cluster_map_ref(m) == m, "another reference");
	cluster_map_unref(m);
	is_int(cluster_map_version(m), 42, "keeps it");
	cluster_map_unref(m);
	cluster_map_unref(NULL);
	ok(!cluster_map_ref(NULL), "no map");
}

static void refused(const char *what)
{
	struct cluster_map *m = NULL;
	int r = decode(&m);

	ok(r == -EBADMSG && !m, "refused: %s", what);
	fill();
}

static void test_hostile(void)
{
	static uint8_t buf[8192];
	struct cluster_map *m;
	struct wp_enc e;
	int bad = 0;

	fill();
	nodes[1].id = 9;
	refused("two nodes of one number");
	targets[3].id = 5;
	refused("two targets of one number");
	targets[0].id = 4096;
	refused("a metadata target beyond the limit");
	targets[3].id = 65537;
	refused("a storage target beyond the limit");
	targets[3].service = WP_SERVICE_MGMTD;
	refused("a target of no kind");
	addrs[0].text = wp_str_n("tcp:a\0b", 7);
	refused("an address with a NUL");
	addrs[0].text = wp_str("tcp:10.0.0.1:7482");
	wp_enc_init(&e, buf, sizeof(buf));
	wp_map_enc(&e, &map);
	for (uint32_t len = 0; len < e.len; len++)
		bad += len != e.len - OPTIONAL_PART && cluster_map_decode(buf, len, &m) == 0;
	is_int(bad, 0, "every shorter input is refused");
	map = (struct wp_map){ .version = 1 };
	ok(decode(&m) == 0 && !cluster_map_has_pool(m, wp_str("")), "an empty map is fine");
	cluster_map_unref(m);
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++)
		addrs[i].text.len = (uint32_t)strlen(addrs[i].text.p);
	test_lookups();
	test_hostile();
	return done_testing();
}
