/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A world for a storage target: an rpc that records replies, an env with a settable clock, and a device that holds operations
 * until the test completes them.
 */
#ifndef WEFT_TEST_STORAGE_FAKE_H
#define WEFT_TEST_STORAGE_FAKE_H

#include "cap/cap.h"
#include "storage/storage.h"

/* ---- rpc ---- */

struct rpc_conn {
	uint16_t role;
	void *data;
	struct wp_uuid sender;
	bool closed;
	uint64_t xid;   /* of the next request */
	uint16_t flags;
};

/* One request of the test and what came back. */
struct fake_call {
	struct rpc_req req;
	uint8_t *body, *bulk;
	bool replied;
	int err;
	uint8_t *reply;
	size_t reply_len;
	uint8_t *reply_bulk;
	size_t reply_bulk_len;
	uint16_t credits;
};

extern struct rpc_conn fake_client, fake_meta, fake_admin;

/* Delivers a request to the target's service. body and bulk are copied into memory of exactly their size. */
void fake_send(struct fake_call *c, struct storage_target *t, struct rpc_conn *conn, uint16_t op, const void *body, size_t len,
	       const void *bulk, size_t bulk_len);
void fake_call_done(struct fake_call *c);

/* ---- env ---- */

struct fake_env {
	struct env env;
	uint64_t mono_ns, wall_ns, seed;
	struct env_task *first, **last;
};

void fake_env_init(struct fake_env *e);
/* Runs posted tasks until there are none. */
void fake_env_run(struct fake_env *e);

/* ---- device ---- */

struct fake_dev {
	struct osd_dev dev;
	struct list held;     /* osd_io.node */
	unsigned held_n;
	osd_commit_fn *sync_fn;
	void *sync_arg;
	uint64_t verifier;
};

void fake_dev_init(struct fake_dev *d, struct env *env);
/* Completes the operation that was submitted first: reads deliver a pattern. false: there is none. */
bool fake_dev_complete(struct fake_dev *d, int err);
/* The one that will be completed next. */
struct osd_io *fake_dev_first(struct fake_dev *d);

/* ---- requests ---- */

extern const uint8_t fake_key[CAP_KEY_SIZE];

/* A good capability for fid; the code lives in static memory until the next call but 15. */
struct wp_cap fake_cap(struct wp_fid fid, uint32_t rights, uint64_t expiry);
struct wp_objid fake_obj(uint32_t oid, uint32_t stripe);
/* Checksums of len bytes at offset; returns how many. */
uint32_t fake_crcs(const uint8_t *p, uint64_t offset, uint64_t len, uint32_t *crcs);
/* Encode, send, without waiting for anything. */
void fake_read(struct fake_call *c, struct storage_target *t, struct rpc_conn *conn, struct wp_cap cap, struct wp_objid obj,
	       uint64_t offset, uint32_t len);
void fake_write(struct fake_call *c, struct storage_target *t, struct rpc_conn *conn, struct wp_cap cap, struct wp_objid obj,
		uint64_t offset, const void *p, uint32_t len);

#endif
