/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The cluster map as servers and clients hold it: decoded once, immutable, counted, shared between reactors.
 *
 * Everything reachable from a map (strings, arrays, the pointers its functions return) lives as long as a reference is held.
 * Reference counts are atomic; all functions may be called from any thread.
 */
#ifndef WEFT_NODE_CLUSTERMAP_H
#define WEFT_NODE_CLUSTERMAP_H

#include "base/base.h"
#include "base/buf.h"
#include "weft_proto.h"

#define POOL_DEFAULT "default"

struct cluster_map;

/* Decodes an encoded struct map (copied). -WEFT_EBADMSG or -EBADMSG for malformed or contradictory ones, -ENOMEM. */
int cluster_map_decode(const void *body, size_t len, struct cluster_map **ret) must_check;
/* NULL gives NULL. */
struct cluster_map *cluster_map_ref(struct cluster_map *m);
void cluster_map_unref(struct cluster_map *m);

/* version, cluster, and the arrays as they came: for listings. */
const struct wp_map *cluster_map_wire(const struct cluster_map *m);
uint32_t cluster_map_version(const struct cluster_map *m);

/* NULL: unknown. */
const struct wp_node_info *cluster_map_node(const struct cluster_map *m, uint32_t id);
/* service: WP_SERVICE_META or WP_SERVICE_STORAGE. NULL: unknown. */
const struct wp_target_info *cluster_map_target(const struct cluster_map *m, uint16_t service, uint32_t id);
/* The node that serves the target now; NULL: unknown. */
const struct wp_node_info *cluster_map_target_node(const struct cluster_map *m, uint16_t service, uint32_t id);

/*
 * Addresses of the target's node in the order to try them: unix: ones first when the node runs on this host (host: our own
 * host name), the rest as the node gave them; unix: ones of other hosts are left out. Fills up to max NUL-terminated strings and
 * returns their number, 0 if the target is unknown.
 */
unsigned cluster_map_addrs(const struct cluster_map *m, uint16_t service, uint32_t id, const char *host, const char **ret,
			   unsigned max);

/* Numbers of all targets of the service that the map knows, in ascending order, whatever their state. */
unsigned cluster_map_targets(const struct cluster_map *m, uint16_t service, const uint32_t **ids);
/*
 * Storage targets of the pool that may be given new data (ONLINE: neither silent nor draining), of one capacity class, in
 * ascending order. An empty pool name is the default pool. Placement takes NORMAL first, then LOW, then EMERGENCY.
 */
unsigned cluster_map_candidates(const struct cluster_map *m, struct wp_str pool, uint8_t capacity, const uint32_t **ids);
bool cluster_map_has_pool(const struct cluster_map *m, struct wp_str pool);

/* A map on its way, page by page. Zeroed is empty. */
struct map_pages {
	struct buf body;
	uint32_t version, total;
};

/* What to ask for next; known and wait_ms are for the first page. */
void map_pages_request(const struct map_pages *p, uint32_t known, uint32_t wait_ms, struct wp_map_get_req *ret);
/* Takes the body of a map_get reply. 1: p->body is whole; 0: ask on; -EBADMSG: malformed, reset it. */
int map_pages_add(struct map_pages *p, const void *body, size_t len) must_check;
/* Frees what there is; p is empty. */
void map_pages_reset(struct map_pages *p);

/* This machine's host name, by which unix: addresses are known to be reachable: an address that is not after all costs a failed
 * connection attempt. "" if the system does not tell. */
const char *cluster_host(void);

#endif
