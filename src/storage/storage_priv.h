/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the files of src/storage share. */
#ifndef WEFT_STORAGE_STORAGE_PRIV_H
#define WEFT_STORAGE_STORAGE_PRIV_H

#include "base/htab.h"
#include "cap/cap.h"
#include "io/pool.h"
#include "storage/capcache.h"
#include "storage/storage.h"

#define STORAGE_TARGET_MAGIC 0x53746f72u
#define STORAGE_ROW_NAME 32u
#define STORAGE_OP_MAGIC 0x53746f70u

struct storage_op;

/* One message of the protocol that becomes one osd_io. */
struct storage_msg {
	uint16_t op;
	enum osd_io_op io;
	uint32_t rights;   /* a client's capability must have one of these; 0: servers only */
	size_t count;      /* offset of the counter in struct storage_counters */
	/* Body of op->req -> op->cap, op->io. */
	int (*decode)(struct storage_op *op);
	/* op->io -> body of the reply, of at most reply_max bytes plus 4 for each checksum. */
	void (*encode)(struct storage_op *op, struct wp_enc *e);
};

/* A request on its way through the device; lives in the request's arena. */
struct storage_op {
	uint32_t magic;
	struct storage_target *target;
	struct rpc_req *req;
	const struct storage_msg *msg;
	struct wp_cap cap;
	struct osd_io io;
	struct iovec iov;
	void *buf;               /* reads: where the device delivers, iov.iov_len bytes */
	struct osd_objstat truncated;
	uint64_t cost;           /* bytes for admission */
	uint64_t start_ns;
	struct list node;        /* queue */
};

struct storage_target {
	uint32_t magic;
	struct env *env;
	struct osd_dev *dev;
	struct rpc_service svc;
	struct storage_params params;
	struct cap_key cap_key;
	struct capcache caps;
	struct io_pool *pool;    /* buffers of reads */
	uint64_t bufs_out;       /* of the pool, in the device or on the wire */
	struct list queue;       /* storage_op, first come first served: keeps the order of each object's operations */
	struct htab senders;     /* fence.c */
	uint64_t conn_seq;       /* number of the newest connection */
	struct storage_counters n;
	char read_names[STORAGE_LATENCY_BUCKETS][STORAGE_ROW_NAME], write_names[STORAGE_LATENCY_BUCKETS][STORAGE_ROW_NAME];
	unsigned syncs;          /* target_sync in the device */
	bool stopping;
	env_fn *stopped;
	void *stopped_arg;
	struct env_task stop_task;
};

/* storage.c */
void storage_objstat(const struct osd_objstat *s, struct wp_objstat *ret);

/* msg.c: the table of messages; NULL: not one of them. */
const struct storage_msg *storage_msg_find(uint16_t op);

/* access.c: 0, or the error for the sender. */
int storage_access(struct storage_target *t, const struct storage_op *op);

/* admit.c */
void storage_admit(struct storage_op *op);      /* starts it, queues it, or sends it back */
void storage_admit_kick(struct storage_target *t);
void storage_stop_check(struct storage_target *t);
void storage_fail(struct storage_target *t, struct rpc_req *req, int err); /* counts and replies */
uint16_t storage_credits(const struct storage_target *t);

/* admin.c: the messages that are about the whole target. false: not one of them. */
bool storage_admin_request(struct storage_target *t, struct rpc_req *req);

/* fence.c */
void storage_fence_init(struct storage_target *t);
void storage_fence_done(struct storage_target *t);
void storage_fence_up(void *ctx, struct rpc_conn *conn);   /* hooks of the service */
void storage_fence_down(void *ctx, struct rpc_conn *conn);
/* True: this request was overtaken by its own repetition on a newer connection and must not be executed. */
bool storage_fence_stale(struct storage_target *t, const struct rpc_req *req);

static inline bool storage_is_server(uint16_t role) { return role == WP_ROLE_META || role == WP_ROLE_STORAGE; }

#endif
