/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Shared by cluster.c (life and faults) and cluster_check.c (what the indexes and devices hold at the end). */
#ifndef WEFT_TEST_SIM_CLUSTER_PRIV_H
#define WEFT_TEST_SIM_CLUSTER_PRIV_H

#include "env/env_sim.h"
#include "gate.h"
#include "meta/meta.h"
#include "mgmtd/mgmtd.h"
#include "node/mgmtc.h"
#include "node/peers.h"
#include "sim.h"
#include "storage/storage.h"

#define MDTS_MAX 2u
#define OSTS_MAX 4u
#define SESSION_MS 40000u

/* The process of one target. */
struct server {
	struct cluster *cl;
	unsigned i;
	uint16_t role;
	char name[16], addr[32], alias[16];
	struct sim_host *host;
	struct osd_dev *platter, *gate;
	struct env *env; /* NULL: down */
	struct rpc_node *node;
	struct mgmtc *mgmtc;
	struct mgmtc_target info; /* its number stays */
	struct peers *peers;
	struct mgmtc_registration reg;
	bool registered, opened, added;
	struct meta_target *meta;
	struct storage_target *storage;
	struct meta_candidate candidates[OSTS_MAX];
	uint64_t epoch, up_ns;
};

struct mgmt {
	struct sim_host *host;
	struct osd_dev *platter, *gate;
	struct env *env; /* NULL: down */
	struct rpc_node *node;
	struct mgmtd *core;
	struct wp_uuid cluster;
	uint64_t epoch, up_ns;
};

struct mount {
	struct cluster *cl;
	unsigned i, life;
	struct sim_host *host;
	struct env *env; /* NULL: down */
	struct client_mount *mount;
	struct client *client;
	bool ready;
	uint64_t id;	      /* the client's number; 0: not known */
	bool known[MDTS_MAX]; /* has been seen to have a session there */
	uint64_t kill_ns;     /* evicted by a target: it goes on for a moment; 0: not */
	uint64_t up_ns;
};

struct parting {
	struct sim_host *a, *b;
	uint64_t heal_ns; /* 0: none */
};

struct cluster {
	struct sim *s;
	struct rng rng, clocks;
	struct sim_world *sim;
	struct env *disks; /* of the devices; never killed */
	struct mgmt mgmt;
	struct server mdts[MDTS_MAX], osts[OSTS_MAX];
	unsigned mdts_n, osts_n;
	struct mount mounts[SIM_CLIENTS];
	struct parting partings[1]; /* one at a time: two of one pair would be healed together */
	bool healing, drifts;
	uint32_t lease_ms, leases_max; /* 0: default */
	unsigned wildness; /* per mille of steps in which faults are drawn at all */
};

/* cluster_check.c: has the target a session of this client that it serves? */
bool cluster_serves(struct server *s, uint64_t client_id);
/* The target loses its patience with those who have not answered a recall yet. */
void cluster_evict(struct server *s);

#endif
