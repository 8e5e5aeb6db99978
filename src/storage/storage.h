/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * One storage target: the 0x03xx messages of proto/weft.schema over an osd device.
 *
 * A target belongs to the reactor of its env. It is offered to an rpc node as a service:
 *
 *	storage_target_open(&params, &t);
 *	rpc_service_add(node, storage_target_service(t));
 *	...
 *	rpc_service_remove(node, storage_target_service(t));
 *	storage_target_stop(t, done, arg);     done: nothing is in flight any more
 *	storage_target_free(t);                the device is the caller's to close
 */
#ifndef WEFT_STORAGE_STORAGE_H
#define WEFT_STORAGE_STORAGE_H

#include "base/base.h"
#include "env/env.h"
#include "osd/osd.h"
#include "rpc/rpc.h"
#include "storage/counters.h"

struct storage_target;

#define STORAGE_INFLIGHT_BYTES_DEFAULT MIB(64) /* enough to keep fast disks and a 100 Gbit/s link busy */
#define STORAGE_QUEUED_BYTES_DEFAULT MIB(256)  /* beyond: senders are told to come back, so memory stays bounded */
#define STORAGE_QUEUED_OPS_MAX 16384u
#define STORAGE_CAP_GRACE_S 30u                /* difference of clocks that capabilities tolerate */
#define STORAGE_CREDITS 128u                   /* requests of one sender in flight while there is no queue */
#define STORAGE_CREDITS_BUSY 8u                /* and while there is one */

struct storage_params {
	struct env *env;
	struct osd_dev *dev;     /* stays the caller's; outlives the target */
	uint32_t target;         /* id */
	uint8_t cap_key[32];
	uint64_t boot_epoch;     /* told to clients in hello */
	uint64_t inflight_bytes; /* 0: the default */
	uint64_t queued_bytes;   /* 0: the default */
	uint32_t cap_grace_s;    /* 0: the default */
};

/* Copies params. -EINVAL: target id 0 or none. */
int storage_target_open(const struct storage_params *params, struct storage_target **ret) must_check;
/* For rpc_service_add; valid until storage_target_free. */
struct rpc_service *storage_target_service(struct storage_target *t);
/* New and queued requests get NOTREADY; fn is called once, later, when the device has answered everything. */
void storage_target_stop(struct storage_target *t, env_fn *fn, void *arg);
/* Nothing may be in flight (see storage_target_stop), or nothing of it may ever call back (a crash in test/sim). */
void storage_target_free(struct storage_target *t);

/* For heartbeats. */
void storage_target_space(struct storage_target *t, struct wp_target_space *ret);

struct storage_counters {
#define X(name, unit, text) uint64_t name;
	STORAGE_COUNTERS(X)
#undef X
	uint64_t read_latency[STORAGE_LATENCY_BUCKETS];
	uint64_t write_latency[STORAGE_LATENCY_BUCKETS];
};

/* As they are now; valid as long as the target. */
const struct storage_counters *storage_target_counters(const struct storage_target *t);
/* The same as rows for the `counters` message: fills up to max and returns the number. The strings live as long as the target. */
uint32_t storage_target_rows(const struct storage_target *t, struct wp_counter *ret, uint32_t max);

#endif
