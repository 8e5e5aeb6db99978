/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A process's relation to the management daemon: registers the node and its targets, sends heartbeats, watches the map.
 *
 * Used by servers and by clients (role CLIENT, no targets). Everything is retried until mgmtc_stop: a management daemon that is
 * away delays changes of the map, nothing else. Belongs to one reactor.
 */
#ifndef WEFT_NODE_MGMTC_H
#define WEFT_NODE_MGMTC_H

#include "base/base.h"
#include "env/env.h"
#include "node/clustermap.h"
#include "node/space.h"
#include "rpc/rpc.h"

struct mgmtc;

#define MGMTC_TARGETS_MAX 256u /* of one process: what a heartbeat holds */

/* A target of this process. Caller-owned until mgmtc_free. */
struct mgmtc_target {
	uint16_t service;
	uint32_t id;                /* from the identity file, or WP_TARGET_NONE; then the number given */
	uint32_t format;
	struct wp_uuid uuid;
	char alias[WP_ALIAS_MAX + 1]; /* wanted, may be empty; then the name in the map */
	char pool[WP_ALIAS_MAX + 1];  /* storage, on first registration; empty: default */
	struct wp_target_space space; /* kept current by the owner, on this reactor; sent with heartbeats */
	struct list link;             /* private */
};

struct mgmtc_registration {
	uint32_t node;
	struct wp_uuid cluster;
	char alias[WP_ALIAS_MAX + 1];
	uint32_t heartbeat_ms, offline_ms;
	bool has_key; /* servers */
	uint8_t key[32];
};

struct mgmtc_ops {
	/* The node and all targets are registered: at the start, and again after the management daemon had forgotten us. */
	void (*registered)(void *arg, const struct mgmtc_registration *r);
	/* A newer map. Borrowed: take a reference to keep it. */
	void (*map)(void *arg, struct cluster_map *map);
	/* Registration was refused; why says what to do. It is tried again unless the owner stops. May be NULL. */
	void (*refused)(void *arg, int err, const char *why);
	/* Free bytes of every storage target, when they are known and when they have changed. Borrowed, as the map. NULL: not asked for. */
	void (*space)(void *arg, struct space_table *space);
	/* The first heartbeat after mgmtc_serving was answered: the map shows the targets online. May be NULL. */
	void (*online)(void *arg);
};

struct mgmtc_params {
	struct rpc_node *node;
	const char *const *mgmtd; /* addresses, copied */
	unsigned mgmtd_n;
	struct wp_uuid uuid;      /* of the node */
	struct wp_uuid cluster;   /* that the targets belong to; zero: not known */
	uint16_t role;
	uint32_t pid;
	const char *alias;        /* wanted; NULL: assigned */
	const char *version, *host, *domain; /* may be NULL */
	const char *const *addrs; /* where this process listens */
	unsigned addrs_n;
	const struct mgmtc_ops *ops;
	void *arg;
};

/* Copies params. */
int mgmtc_new(const struct mgmtc_params *p, struct mgmtc **ret) must_check;
/* Before mgmtc_start; at most MGMTC_TARGETS_MAX. */
void mgmtc_add_target(struct mgmtc *m, struct mgmtc_target *t);
/* Begins to register and to watch. */
void mgmtc_start(struct mgmtc *m);
/* Targets are being served: heartbeats name them from now on, the first at once. */
void mgmtc_serving(struct mgmtc *m);
/* Takes leave (clients vanish, targets are offline at once), waits for the answer for up to a second; then calls fn. */
void mgmtc_stop(struct mgmtc *m, env_fn *fn, void *arg);
/* Not from a callback of m. NULL is fine. */
void mgmtc_free(struct mgmtc *m);

/* The newest map, borrowed; NULL before the first. */
struct cluster_map *mgmtc_map(struct mgmtc *m);
/* For other calls to the management daemon. */
struct rpc_peer *mgmtc_peer(struct mgmtc *m);

#endif
