/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Private to src/mgmtd. mgmtd.c: life, dispatch, batches. state.c: entities, loading, saving. register.c: registration.
 * beat.c: heartbeats, who is silent, classes. admin.c: what administrators change. map.c: the map as others see it.
 */
#ifndef WEFT_MGMTD_MGMTD_PRIV_H
#define WEFT_MGMTD_MGMTD_PRIV_H

#include "base/buf.h"
#include "base/htab.h"
#include "base/list.h"
#include "mgmtd/counters.h"
#include "mgmtd/mgmtd.h"
#include "node/clustermap.h"
#include "proto/fid.h"

#define MGMTD_MAGIC 0x6d676d64u
#define META_TARGETS_MAX (WP_FID_MDT_MAX + 1)
#define STORAGE_TARGETS_MAX 65536u
#define POOL_DEFAULT_ID 1u
#define NODES_MAX (WP_NODES_MAX - 1u) /* one row of the map is ours */

struct mnode {
	uint32_t id;
	uint16_t role;
	uint8_t state;
	struct wp_uuid uuid;
	uint32_t pid;
	char alias[WP_ALIAS_MAX + 1], version[65], host[65], domain[WP_ADDR_LEN_MAX + 1];
	char *addrs[WP_ADDRS_MAX];
	char transport[17], *path; /* clients: how and where they are mounted; path may be NULL */
	unsigned addrs_n;
	uint64_t seen_ns;      /* last sign of life */
	struct rpc_conn *conn; /* that it came on, while it lives */
	struct htab_node by_id, by_uuid;
	struct list link;
};

struct mtarget {
	uint32_t id;
	uint16_t service;
	uint8_t state; /* as shown */
	bool draining; /* kept while it is offline */
	uint8_t capacity;
	uint32_t node;
	struct wp_uuid uuid;
	char alias[WP_ALIAS_MAX + 1];
	uint32_t pool; /* storage */
	struct wp_target_space space;
	bool has_space; /* since this start */
	uint64_t seen_ns;
	struct htab_node by_uuid, by_id;
	struct list link;
};

struct mpool {
	uint32_t id;
	char alias[WP_ALIAS_MAX + 1];
	struct list link;
};

/* One change after another goes into `next`; it is submitted when no other is in flight, with the map as it is then. */
struct batch {
	struct osd_txn txn;
	struct list replies; /* rpc_req.node; rpc_req.priv is the reply */
	struct buf map;	     /* encoded struct map */
	uint32_t version;
	bool dirty;
};

struct mgmtd {
	uint32_t magic;
	struct mgmtd_params p;
	const struct mgmtd_self *self; /* NULL: not shown */
	struct env *env;
	struct rpc_service service;
	struct wp_uuid cluster;
	uint8_t key[32];
	uint32_t version; /* of the state in memory */
	uint32_t next_node, next_pool, next_meta, next_storage;
	bool locked;
	struct list nodes, targets, pools;
	struct htab nodes_by_id, nodes_by_uuid, targets_by_id, targets_by_uuid;
	struct batch next, flying;
	bool in_flight, submit_queued, failed;
	struct env_task submit_task;
	/* as others see it: durable */
	struct buf map;
	uint32_t map_version;
	struct buf old_map; /* the one before, for those who are reading it page by page */
	uint32_t old_version;
	bool ready; /* there is a durable map */
	struct list watchers;
	struct env_timer tick;
	bool stopping;
	env_fn *stop_fn;
	void *stop_arg;
	struct env_task stop_task;
	uint64_t counters[MGMTD_C_N];
};

/* ---- batches: mgmtd.c ---- */

/* The map changes: the next version, durable and shown soon. Call after changing entities; they are saved by state_save_*. */
void mg_change(struct mgmtd *m);
/* Replies with the encoded body when everything changed so far is durable. */
void mg_reply_durable(struct mgmtd *m, struct rpc_req *req, const struct wp_enc *e);
/* Replies now. */
void mg_reply_now(struct rpc_req *req, const struct wp_enc *e);

/* ---- connections of nodes: beat.c ---- */

/* A sign of life. */
void mg_node_seen(struct mgmtd *m, struct mnode *n, struct rpc_conn *conn);
void mg_node_conn_down(void *ctx, struct rpc_conn *conn);
/* Another process is this node now: its connection lives and speaks. */
bool mg_node_is_alive_elsewhere(struct mgmtd *m, const struct mnode *n, const struct rpc_conn *conn);

/* ---- entities: state.c ---- */

int mg_state_load(struct mgmtd *m) must_check;
void mg_state_free(struct mgmtd *m);
void mg_state_save_cluster(struct mgmtd *m, struct osd_txn *t);
void mg_state_save_node(struct mgmtd *m, const struct mnode *n);
void mg_state_save_target(struct mgmtd *m, const struct mtarget *t);
void mg_state_save_pool(struct mgmtd *m, const struct mpool *p);
/* Removes from memory and from the device. */
void mg_state_del_node(struct mgmtd *m, struct mnode *n);
void mg_state_del_target(struct mgmtd *m, struct mtarget *t);
void mg_state_del_pool(struct mgmtd *m, struct mpool *p);

struct mnode *mg_node_new(struct mgmtd *m, uint32_t id, const struct wp_uuid *uuid);
struct mtarget *mg_target_new(struct mgmtd *m, uint16_t service, uint32_t id, const struct wp_uuid *uuid);
struct mpool *mg_pool_new(struct mgmtd *m, uint32_t id, const char *alias);
struct mnode *mg_node_by_id(struct mgmtd *m, uint32_t id);
struct mnode *mg_node_by_uuid(struct mgmtd *m, const struct wp_uuid *uuid);
struct mtarget *mg_target_by_id(struct mgmtd *m, uint16_t service, uint32_t id);
struct mtarget *mg_target_by_uuid(struct mgmtd *m, uint16_t service, const struct wp_uuid *uuid);
struct mpool *mg_pool_by_id(struct mgmtd *m, uint32_t id);
struct mpool *mg_pool_by_alias(struct mgmtd *m, struct wp_str alias);
void mg_node_set_addrs(struct mnode *n, const struct wp_addr *addrs, unsigned n_addrs);

/* Letters, digits, '.', '_', '-'; starts with a letter or digit; not only digits, since those are numbers. */
bool mg_alias_is_valid(struct wp_str s);
void mg_alias_set(char dst[WP_ALIAS_MAX + 1], struct wp_str s);
/* Used by another entity of the kind (enum wp_entity). */
bool mg_alias_is_taken(struct mgmtd *m, uint8_t entity, struct wp_str s, const void *except);

/* Fills wire structs that point into the entities; addrs: room for WP_ADDRS_MAX. */
void mg_node_to_wire(const struct mnode *n, struct wp_node_info *ret, struct wp_addr *addrs);
void mg_target_to_wire(struct mgmtd *m, const struct mtarget *t, struct wp_target_info *ret);

/* ---- handlers: each replies, now or later ---- */

void mg_on_register_node(struct mgmtd *m, struct rpc_req *req);
void mg_on_register_target(struct mgmtd *m, struct rpc_req *req);
void mg_on_heartbeat(struct mgmtd *m, struct rpc_req *req);
void mg_on_unregister_node(struct mgmtd *m, struct rpc_req *req);
void mg_on_map_get(struct mgmtd *m, struct rpc_req *req);
void mg_on_space_get(struct mgmtd *m, struct rpc_req *req);
void mg_on_set_alias(struct mgmtd *m, struct rpc_req *req);
void mg_on_set_target_state(struct mgmtd *m, struct rpc_req *req);
void mg_on_pool_create(struct mgmtd *m, struct rpc_req *req);
void mg_on_pool_delete(struct mgmtd *m, struct rpc_req *req);
void mg_on_pool_assign(struct mgmtd *m, struct rpc_req *req);
void mg_on_registration_lock(struct mgmtd *m, struct rpc_req *req);
void mg_on_remove(struct mgmtd *m, struct rpc_req *req);

/* ---- map.c ---- */

void mg_map_encode(struct mgmtd *m, struct buf *b);
/* The published map is newer: answers the watchers; with err: ends their wait. */
void mg_map_wake(struct mgmtd *m, int err);

/* ---- beat.c ---- */

void mg_tick_start(struct mgmtd *m);
/* Classes of all targets anew; saves and counts a change for each that moved. */
void mg_classify_all(struct mgmtd *m);
/* From sign of life and draining; true if the shown state changed (saved, but mg_change() is the caller's). */
bool mg_target_set_alive(struct mgmtd *m, struct mtarget *t, bool alive);

#endif
