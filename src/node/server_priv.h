/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Private to src/node: server.c (the process), server_target.c (one target's life). */
#ifndef WEFT_NODE_SERVER_PRIV_H
#define WEFT_NODE_SERVER_PRIV_H

#include "base/limits.h"
#include "io/reactor.h"
#include "node/identity.h"
#include "node/mgmtc.h"
#include "node/server.h"

struct server_options {
	struct conf_list targets;
	int backend;
	uint64_t capacity, cache, reactors;
	bool init;
	char *pool;
};

enum target_phase { TARGET_NEW, TARGET_OPENING, TARGET_OPEN, TARGET_STOPPING, TARGET_CLOSED };

struct server_target_state {
	struct server_target pub;
	struct server *server;
	unsigned reactor;
	int lock_fd;
	struct identity identity;
	struct mgmtc_target reg; /* reactor 0's */
	enum target_phase phase; /* the target's reactor's */
	bool stop_wanted;        /* the target's reactor's */
	struct wp_target_space first_space; /* written before reactor 0 is told that the target is open */
	bool in_service;         /* reactor 0's: the router may send connections there */
	int err;
};

/* One reactor's part. */
struct server_reactor {
	struct server *server;
	struct env *env;
	struct rpc_node *node;
	struct peers *peers;
	struct cluster_map *map;
	struct space_table *table;
	struct env_timer space; /* tells reactor 0 the targets' space, as often as heartbeats go out */
	uint64_t space_ns;
};

struct server {
	const struct server_program *program;
	const struct server_options *opts;
	struct io_reactors *reactors;
	struct server_reactor r[WEFT_REACTORS_MAX];
	struct server_target_state *targets;
	unsigned targets_n;
	struct wp_uuid node_uuid;
	struct mgmtc *mgmtc;
	struct mgmtc_registration reg;
	bool registered;
	bool stopping, mgmtc_stopped;
	unsigned open_n, closed_n, conflicts;
	int exit_status;
};

/* Before the threads run. Say what is wrong; negative errno. */
int server_target_prepare(struct server *s, struct server_target_state *t, const char *dir) must_check;
int server_target_open_device(struct server *s, struct server_target_state *t) must_check;
/* Closes what prepare and open_device opened, when the threads never ran or have ended. */
void server_target_release(struct server_target_state *t);

/* On the target's reactor. */
void server_target_open(struct server_target_state *t);
void server_target_stop(struct server_target_state *t);

/* Bytes and inodes, for heartbeats. */
void server_target_space(struct server_target_state *t, struct wp_target_space *ret);

/* From targets to the server, on reactor 0. */
void server_target_is_open(struct server *s, struct server_target_state *t, int err);
void server_target_is_closed(struct server *s, struct server_target_state *t);

#endif
