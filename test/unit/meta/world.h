/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A metadata target in a simulated world: an rpc that hands requests over and keeps the replies, storage targets that are a table
 * of object sizes, a device in memory and a journal on a simulated disk.
 */
#ifndef WEFT_TEST_META_WORLD_H
#define WEFT_TEST_META_WORLD_H

#include <sys/stat.h>

#include "env/env_sim.h"
#include "meta/meta.h"
#include "proto/fid.h"
#include "proto/status.h"

#define OBJECTS_MAX 4096u

struct rpc_conn {
	uint16_t role;
	void *data;
	bool closed;	  /* by the target */
	unsigned notices; /* recalls received, and all leases named in them */
	struct wp_lease_ref refs[64];
	unsigned refs_n;
};

struct rpc_peer {
	uint32_t target;
	bool down;
};

struct obj {
	struct wp_objid id;
	struct wp_objstat stat;
};

/* A request of the test and its reply. */
struct call {
	struct rpc_req req;
	uint8_t *body;
	int replies;
	int err;
	uint8_t *reply;
	size_t reply_len;
};

struct world {
	struct sim_world *sim;
	struct sim_host *host;
	struct env *env;
	struct osd_dev *dev;
	struct meta_target *mt;
	const char *journal;
	uint32_t grace_ms, timeout_ms, lease_ms, leases_max;
	uint64_t capacity;
	bool check_always;     /* check_index after every transaction */
	bool check;
	int opened, failed; /* 1: not yet */
	struct rpc_conn conn;
	uint64_t client_id, session, xid, boot_epoch;
	struct wp_cred cred;
	/* storage */
	struct rpc_peer peers[16];
	struct obj objects[OBJECTS_MAX];
	uint32_t n_objects;
	uint64_t obj_calls;
	bool hold_storage;  /* calls wait */
	struct list held;   /* of rpc_call.node */
	struct list answers;
	/* of the last call */
	struct call last;
	uint8_t scratch[65536];
};

void world_init(struct world *w, uint64_t seed, const char *journal);
void world_done(struct world *w);
/* Opens the target; false: it failed (w->opened). */
bool world_open(struct world *w);
/* The process dies and starts again: everything that was not journalled is gone. Nothing is told to the client. */
void world_kill(struct world *w);
/* Stops in order. */
void world_stop(struct world *w);
/* Attaches, or opens a session when there is none. */
void world_session(struct world *w);
void world_other_session(struct world *w, struct rpc_conn *conn, uint64_t client_id, uint64_t *session);

/* Sends and does not wait. body is copied. */
void call_send(struct world *w, struct call *c, struct rpc_conn *conn, uint64_t session, uint16_t slot, uint64_t xid, uint16_t op,
	       const void *body, size_t len);
void call_done(struct call *c);
bool call_wait(struct world *w, struct call *c);
/* Sends in slot 0 and waits; the reply is in w->last. */
int world_call(struct world *w, uint16_t op, const void *body, size_t len);
void world_step(struct world *w, unsigned n);
void world_sleep(struct world *w, uint64_t ms);
void world_release_storage(struct world *w);

struct obj *world_obj(struct world *w, struct wp_fid fid, uint32_t component, uint32_t stripe);
/* As if a client had written up to size. */
void world_write(struct world *w, const struct wp_entry *e, uint64_t offset, uint64_t len);
unsigned world_objects_of(struct world *w, struct wp_fid fid);

/* CALL(w, mkdir, MKDIR, &req, &rep): 0 and *rep, or the error. */
#define CALL(w, type, OP, reqp, repp)                                                                                          \
	({                                                                                                                     \
		static uint8_t call_buf_[300000];                                                                              \
		struct wp_enc call_enc_;                                                                                       \
		int call_err_;                                                                                                 \
                                                                                                                               \
		wp_enc_init(&call_enc_, call_buf_, sizeof(call_buf_));                                                         \
		wp_##type##_req_enc(&call_enc_, (reqp));                                                                       \
		call_err_ = call_enc_.err ? call_enc_.err : world_call((w), WP_OP_##OP, call_buf_, call_enc_.len);             \
		if (!call_err_)                                                                                                \
			call_err_ = wp_##type##_rep_decode((w)->last.reply, (w)->last.reply_len, (w)->scratch,                 \
							   sizeof((w)->scratch), (repp));                                      \
		call_err_;                                                                                                     \
	})

/* Every inconsistency of the index is a failed check. */
void check_index(struct osd_dev *dev);

/* ---- the usual operations with w->cred; attr may be NULL ---- */

extern const struct wp_fid root_fid;
int t_lookup(struct world *w, struct wp_fid dir, const char *name, struct wp_attr *attr);
int t_getattr(struct world *w, struct wp_fid fid, struct wp_attr *attr);
int t_mkdir(struct world *w, struct wp_fid dir, const char *name, uint32_t mode, struct wp_attr *attr);
int t_mknod(struct world *w, struct wp_fid dir, const char *name, uint32_t mode, struct wp_attr *attr);
int t_symlink(struct world *w, struct wp_fid dir, const char *name, const char *target, struct wp_attr *attr);
int t_unlink(struct world *w, struct wp_fid dir, const char *name);
int t_rmdir(struct world *w, struct wp_fid dir, const char *name);
int t_link(struct world *w, struct wp_fid fid, struct wp_fid dir, const char *name, struct wp_attr *attr);
int t_rename(struct world *w, struct wp_fid dir, const char *name, struct wp_fid new_dir, const char *new_name, uint32_t flags);
int t_create(struct world *w, struct wp_fid dir, const char *name, uint32_t mode, uint32_t flags, uint64_t handle,
	     struct wp_entry *e);
int t_open(struct world *w, struct wp_fid fid, uint32_t flags, uint64_t handle, struct wp_entry *e);
int t_close(struct world *w, struct wp_fid fid, uint64_t handle, bool wrote, const struct wp_data_hint *hint);
int t_setattr(struct world *w, struct wp_setattr_req *req, struct wp_attr *attr);
int t_setxattr(struct world *w, struct wp_fid fid, const char *name, const void *value, size_t len, uint32_t flags);
int t_getxattr(struct world *w, struct wp_fid fid, const char *name, void *value, size_t *len);
/* All names, in cookie order, with reads of max_bytes. */
int t_readdir(struct world *w, struct wp_fid dir, uint32_t max_bytes, char names[][256], unsigned max);

static inline struct wp_cred cred_root(void) { return (struct wp_cred){ .flags = WP_CRED_CAP_DAC | WP_CRED_GROUPS }; }
static inline struct wp_cred cred_user(uint32_t uid, uint32_t gid)
{
	return (struct wp_cred){ .uid = uid, .gid = gid, .flags = WP_CRED_GROUPS };
}

#endif
