/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The management daemon's core: the 0x01xx messages of proto/weft.schema over an osd index.
 *
 * It keeps the cluster map: nodes, targets, pools, their states. Every change gets a new map version and is shown to nobody before
 * it is durable. Belongs to the reactor of its env.
 */
#ifndef WEFT_MGMTD_MGMTD_H
#define WEFT_MGMTD_MGMTD_H

#include "base/base.h"
#include "env/env.h"
#include "mgmtd/capacity.h"
#include "osd/osd.h"
#include "rpc/rpc.h"

struct mgmtd;

struct mgmtd_params {
	struct env *env;
	struct osd_dev *dev;           /* the caller's; outlives the core */
	struct wp_uuid cluster;        /* for a device without state: the cluster to be; zero: a new one */
	uint64_t boot_epoch;
	uint32_t heartbeat_ms, offline_ms;               /* servers; 0: defaults */
	uint32_t client_heartbeat_ms, client_offline_ms; /* clients; 0: defaults */
	struct capacity_rules meta, storage;
};

/* The daemon itself, for listings. */
struct mgmtd_self {
	const char *name, *host, *version;
	uint32_t pid;
	struct wp_uuid uuid;
	const char *const *addrs;
	unsigned addrs_n;
};

#define MGMTD_HEARTBEAT_MS 1000u
#define MGMTD_OFFLINE_MS 10000u
#define MGMTD_CLIENT_HEARTBEAT_MS 5000u
#define MGMTD_CLIENT_OFFLINE_MS 30000u

/* Loads the state, or begins to make it: requests get NOTREADY until it is durable. -WEFT_ECORRUPT: unreadable state;
 * -WEFT_EFOREIGN: params->cluster is another one. */
int mgmtd_open(const struct mgmtd_params *params, struct mgmtd **ret) must_check;
/* Shows the daemon in the map, as node 0. *self and what it points to stay valid until mgmtd_free. */
void mgmtd_show_self(struct mgmtd *m, const struct mgmtd_self *self);
struct rpc_service *mgmtd_service(struct mgmtd *m);
const struct wp_uuid *mgmtd_cluster(const struct mgmtd *m);
/* The version shown to others. */
uint32_t mgmtd_map_version(const struct mgmtd *m);
/* Answers whoever waits, and new requests, with NOTREADY; fn is called when nothing is in flight any more. */
void mgmtd_stop(struct mgmtd *m, env_fn *fn, void *arg);
/* Nothing may be in flight (see mgmtd_stop), or nothing may ever call back (a crash in test/sim). */
void mgmtd_free(struct mgmtd *m);
/* Rows of the COUNTERS message. */
unsigned mgmtd_counter_rows(struct mgmtd *m, struct wp_counter *rows, unsigned max);

#endif
