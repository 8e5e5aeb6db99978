/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A server of targets (metadata or storage) as a process: target folders, devices, reactors, listening, registration,
 * heartbeats, the map, orderly start and stop. The program gives a table of functions around its core; its main() is one call.
 *
 * Order: folders locked and identified, devices opened, listening, node and targets registered, first map there: then open() of
 * every target, on its reactor; its service is offered when it says so; when all are open, the first heartbeat turns the targets
 * online, and the daemon is ready. A stop does it backwards.
 */
#ifndef WEFT_NODE_SERVER_H
#define WEFT_NODE_SERVER_H

#include "base/base.h"
#include "conf/conf.h"
#include "env/env.h"
#include "node/clustermap.h"
#include "node/peers.h"
#include "node/space.h"
#include "osd/osd.h"
#include "rpc/rpc.h"

struct server;

/* One target. The fields are set before open(), and do not change; they belong to the target's reactor. */
struct server_target {
	const char *dir;
	struct env *env;
	struct rpc_node *node;   /* of this reactor */
	struct peers *peers;     /* of this reactor: connections to other targets */
	struct osd_dev *dev;
	const char *backend;     /* "disk" or "mem" */
	uint32_t id;
	uint64_t boot_epoch;     /* grows with each start */
	struct wp_uuid uuid, cluster;
	uint8_t cap_key[32];
	bool auth_none;
	struct cluster_map *map; /* newest on this reactor, never NULL; replaced before ops->map */
	struct space_table *space; /* likewise, of all storage targets; NULL until known, and if wants_space is not set */
	uint32_t space_version;	   /* grows when space is replaced */
	void *priv;              /* the program's */
	struct server_target_state *state; /* private */
};

/* All are called on the target's reactor. */
struct server_ops {
	/* Starts the core; server_opened() must be called once it can serve or has failed, from inside or later. */
	void (*open)(struct server_target *t);
	/* After a successful open. */
	struct rpc_service *(*service)(struct server_target *t);
	/* t->map is new. May be NULL. */
	void (*map)(struct server_target *t);
	/* For heartbeats; by default what the device says. May be NULL. */
	void (*space)(struct server_target *t, struct wp_target_space *ret);
	/* Rows of the COUNTERS message. May be NULL. */
	unsigned (*counters)(struct server_target *t, struct wp_counter *rows, unsigned max);
	/* The service is not offered any more. Ends work in flight, then calls fn(arg). */
	void (*stop)(struct server_target *t, env_fn *fn, void *arg);
	/* Frees the core. Also after a failed open, if priv is not NULL. */
	void (*close)(struct server_target *t);
};

struct server_program {
	struct conf_program conf;  /* name, section, synopsis, about; tables: the program's own, the server adds its tables */
	uint16_t role, service;
	const char *listen_default;
	bool wants_space;
	const struct server_ops *ops;
};

/* The last thing that open() does, or later. err < 0: why says what happened and what to do, or is NULL. */
void server_opened(struct server_target *t, int err, const char *why);

/* Runs the daemon; returns the exit status of the process. */
int server_main(const struct server_program *p, int argc, char **argv);

#endif
