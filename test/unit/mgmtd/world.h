/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A management daemon and its callers in the simulated world, with blocking calls. */
#ifndef WEFT_TEST_MGMTD_WORLD_H
#define WEFT_TEST_MGMTD_WORLD_H

#include "env/env_sim.h"
#include "mgmtd/mgmtd.h"
#include "node/clustermap.h"

#define MGMTD_ADDR "sim:mgmtd:7480"

struct world {
	struct sim_world *sim;
	struct sim_host *host;
	struct env *env;
	struct osd_dev *dev;
	struct rpc_node *node;
	struct mgmtd *core;
	struct mgmtd_params params;
};

/* Somebody who calls. */
struct caller {
	struct world *w;
	struct env *env;
	struct rpc_node *node;
	struct rpc_peer *peer;
	uint8_t reply[1 << 19];
	uint32_t reply_len;
	uint64_t scratch[1 << 16];
};

void world_init(struct world *w, uint64_t seed);
/* The core stops in order, or as if killed, and is opened again on the same device. */
void world_restart(struct world *w, bool clean);
void world_done(struct world *w);
void world_run(struct world *w, uint64_t ms);

struct caller *caller_new(struct world *w, uint16_t role, const char *name);
void caller_free(struct caller *c);

/* Each returns the call's error; the reply stays valid until the caller's next call. */
int call_node(struct caller *c, const struct wp_register_node_req *in, struct wp_register_node_rep *out);
int call_target(struct caller *c, const struct wp_register_target_req *in, struct wp_register_target_rep *out);
int call_beat(struct caller *c, uint32_t node, const struct wp_target_space *rows, uint32_t n);
int call_leave(struct caller *c, uint32_t node);
/* NULL: failed. The caller's reference. */
struct cluster_map *call_map(struct caller *c, uint32_t known, uint32_t wait_ms);
int call_alias(struct caller *c, uint8_t entity, uint32_t id, const char *alias);
int call_state(struct caller *c, uint16_t service, uint32_t target, uint8_t state);
int call_pool_create(struct caller *c, const char *alias, uint32_t *id);
int call_pool_delete(struct caller *c, uint32_t id);
int call_pool_assign(struct caller *c, uint32_t target, const char *pool);
int call_lock(struct caller *c, bool locked);
int call_remove(struct caller *c, uint8_t entity, uint32_t id, bool force);

/* A registered server with one target. */
struct server {
	struct caller *c;
	struct wp_uuid node_uuid, target_uuid;
	uint16_t role, service;
	uint32_t node, target;
	struct wp_target_space space;
};

struct wp_uuid uuid_of(uint8_t n);
/* n makes the uuids. Returns the error of the registration that failed, or 0. */
int server_join(struct server *s, struct caller *c, uint8_t n);
int server_beat(struct server *s);
/* State of the target in the map; 0: not there. */
uint8_t shown_state(struct caller *c, uint16_t service, uint32_t id);

#endif
