/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * One metadata target: the 0x02xx messages of proto/weft.schema over an index (osd) and a journal.
 *
 * A target belongs to the reactor of its env. It is offered to an rpc node as a service:
 *
 *	meta_target_open(&params, &mt);          params.opened: the journal is replayed
 *	rpc_service_add(node, meta_target_service(mt));
 *	...
 *	rpc_service_remove(node, meta_target_service(mt));
 *	meta_target_stop(mt, done, arg);         done: everything executed is durable, nothing is in flight
 *	meta_target_free(mt);                    the device is the caller's to close
 */
#ifndef WEFT_META_META_H
#define WEFT_META_META_H

#include "base/base.h"
#include "env/env.h"
#include "osd/osd.h"
#include "rpc/rpc.h"

struct meta_target;

#define META_SESSION_TIMEOUT_MS_DEFAULT 60000u
#define META_GRACE_MS_DEFAULT 30000u
#define META_CAP_LIFETIME_S 3600u
#define META_LEASE_MS_DEFAULT 4000u
#define META_LEASE_MS_MAX 600000u
#define META_LEASES_MAX_DEFAULT (1u << 20)

/* A storage target that may be given new objects. */
struct meta_candidate {
	uint32_t id;
	uint8_t capacity; /* enum wp_capacity: NORMAL before LOW before EMERGENCY */
	uint64_t free;	  /* bytes: the weight, when the spread is wide; 0: unknown */
};

struct meta_params {
	struct env *env;
	struct osd_dev *dev;          /* stays the caller's; outlives the target */
	const char *journal_dir;      /* NULL: no journal (the mem backend) */
	uint64_t journal_segment;     /* bytes, 0: the journal's default */
	uint32_t target;              /* id, from 0; target 0 makes the root directory when it is opened the first time */
	uint32_t root_uid, root_gid;  /* owner of the root directory when target 0 makes it */
	uint8_t cap_key[32];
	uint32_t session_timeout_ms;  /* 0: the default */
	uint32_t grace_ms;            /* 0: the default */
	uint32_t lease_ms;	      /* what clients hold is good so long after they were heard; 0: the default */
	uint32_t leases_max;	      /* about 100 bytes each; 0: the default */

	/* Ready (0) or not; called later. After an error only meta_target_free is allowed. -WEFT_ECORRUPT: the log says what. */
	void (*opened)(void *arg, int err);
	/* The target cannot go on (its disk failed): requests get NOTREADY. The daemon should stop. May be NULL. */
	void (*failed)(void *arg, int err);
	/* Where to reach a storage target; NULL: not known now (it is tried again). */
	struct rpc_peer *(*storage_peer)(void *arg, uint32_t target);
	/* Storage targets of the pool that may be given new objects; valid until control returns to the reactor. */
	unsigned (*candidates)(void *arg, struct wp_str pool, const struct meta_candidate **ret);
	/* Changes whenever candidates would. */
	uint32_t (*placement_version)(void *arg);
	void *arg;
};

/* Copies params. Starts to open; params.opened reports. -EINVAL. */
int meta_target_open(const struct meta_params *params, struct meta_target **ret) must_check;
/* For rpc_service_add; valid until meta_target_free. Requests before opened() get NOTREADY. */
struct rpc_service *meta_target_service(struct meta_target *mt);
/* New requests get NOTREADY; fn is called once, later, when the journal is idle and no call is in flight. */
void meta_target_stop(struct meta_target *mt, env_fn *fn, void *arg);
/* After meta_target_stop, or when nothing may ever call back (a crash in test/sim). Requests not yet answered get -ECANCELED. */
void meta_target_free(struct meta_target *mt);

/* For heartbeats. */
void meta_target_space(struct meta_target *mt, struct wp_target_space *ret);
/* Rows for the `counters` message: fills up to max and returns the number. The strings are static. */
uint32_t meta_target_rows(const struct meta_target *mt, struct wp_counter *ret, uint32_t max);

#endif
