/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Requests and replies between processes.
 *
 * An rpc_node is this process (or this reactor's part of it) on the wire: who it is, which secrets it knows. It may offer
 * *services* (rpc_service: a management daemon, one metadata target, one storage target) and talk to *peers* (rpc_peer: such a
 * service elsewhere). A connection is to one service; both ends prove the secret at its start.
 *
 * Calls survive connections: a peer reconnects with back-off, runs its owner's attach hook, and sends everything unanswered
 * again, in xid order, marked RESENT. Exactly-once is the server's reply cache, keyed by (session, slot, xid).
 *
 * Threads: everything belongs to the reactor of the node's env. Callbacks never run from inside rpc_call.
 */
#ifndef WEFT_RPC_RPC_H
#define WEFT_RPC_RPC_H

#include "base/arena.h"
#include "base/base.h"
#include "base/htab.h"
#include "base/list.h"
#include "env/env.h"
#include "proto/codec.h"
#include "proto/status.h"
#include "weft_proto.h"

struct rpc_node;
struct rpc_peer;
struct rpc_conn;

#define RPC_SECRET_MAX 64u

struct rpc_identity {
	uint16_t role;              /* enum wp_role */
	struct wp_uuid uuid;        /* of this process or node */
	struct wp_uuid cluster;     /* zero: not known yet */
	uint64_t client_id;         /* clients */
	char name[WP_ALIAS_MAX + 1];
	uint8_t auth;               /* enum wp_auth: NONE only if said explicitly */
	/* Clients prove `secret`; servers and administrators prove `server_secret`, which clients do not have. A client's
	 * server side is checked with the secret of the role that the client claims. */
	uint8_t secret[RPC_SECRET_MAX];
	size_t secret_len;
	uint8_t server_secret[RPC_SECRET_MAX];
	size_t server_secret_len;
};

/* Copies id. */
int rpc_node_new(struct env *env, const struct rpc_identity *id, struct rpc_node **ret) must_check;
/* Closes every connection; unanswered calls end with -ECANCELED before it returns. Its peers are freed, its services must stay
 * until it returns. Neither may be used after. */
void rpc_node_free(struct rpc_node *node);
struct env *rpc_node_env(struct rpc_node *node);
/* The cluster id, once learned (servers set it after registration). */
void rpc_node_set_cluster(struct rpc_node *node, const struct wp_uuid *cluster);
/* Sent in every header. */
void rpc_node_set_map_version(struct rpc_node *node, uint32_t version);
/* Called when a header carries a newer map version than ours; once for each version. */
void rpc_node_on_newer_map(struct rpc_node *node, void (*fn)(void *arg, uint32_t version), void *arg);

/* ---- serving ------------------------------------------------------------------------------------------- */

/* One request. Lives until rpc_reply (exactly one, also after the connection died: then it is dropped). */
struct rpc_req {
	uint32_t magic;
	struct wp_hdr hdr;
	const uint8_t *body; /* hdr.body_len bytes */
	uint8_t *bulk;       /* hdr.bulk_len bytes, page-aligned when larger than a page; NULL if none */
	struct rpc_conn *conn;
	struct arena arena;  /* freed with the request: for decoded arrays, reply bodies */
	struct list node;    /* for the service's own queues */
	void *priv;          /* for the service */
};

struct rpc_service {
	uint16_t service;    /* enum wp_service */
	uint32_t target;
	uint64_t boot_epoch; /* told to clients in hello */
	void *ctx;
	void (*request)(void *ctx, struct rpc_req *req);
	/* After the handshake / after the last byte. May be NULL. Requests of a dead connection stay valid until replied to. */
	void (*conn_up)(void *ctx, struct rpc_conn *conn);
	void (*conn_down)(void *ctx, struct rpc_conn *conn);
	struct list link;    /* private */
};

/* Caller-owned until removed. -EEXIST. */
int rpc_service_add(struct rpc_node *node, struct rpc_service *svc) must_check;
void rpc_service_remove(struct rpc_node *node, struct rpc_service *svc);

/* Listens; connections whose hello names a service of another reactor's node are moved there by the hook. */
int rpc_listen(struct rpc_node *node, const char *addr) must_check;
/* The i-th bound address as text, NULL behind the last. */
const char *rpc_listen_addr(struct rpc_node *node, unsigned i);
/* Finds the node (on whichever reactor) that has the service; NULL: none (the peer gets STALEMAP). Without the hook only this
 * node's services are found. Called on the listening reactor; the table behind it must be immutable or locked. */
void rpc_node_set_router(struct rpc_node *node, struct rpc_node *(*find)(void *arg, uint16_t service, uint32_t target),
			 void *arg);

/* Memory that bulk payloads of requests in progress may take together, bytes; behind it connections wait. Default 512 MiB. */
void rpc_node_set_bulk_max(struct rpc_node *node, size_t bytes);

struct rpc_reply {
	int err;              /* 0, negative errno or internal code */
	const void *body;     /* copied */
	size_t body_len;
	struct iovec bulk[4]; /* not copied: valid until sent */
	int bulk_n;
	uint16_t credits;
	void (*sent)(void *arg); /* the bulk memory may go; also called if it could not be sent. May be NULL */
	void *arg;
};

void rpc_reply(struct rpc_req *req, const struct rpc_reply *r);
/* No body: success or error. */
void rpc_reply_err(struct rpc_req *req, int err);

/* The encoder writes into the request's arena: room for max bytes of body. */
struct wp_enc rpc_reply_enc(struct rpc_req *req, size_t max);

/* What the handshake told of the other side. */
uint16_t rpc_conn_role(const struct rpc_conn *c);
const struct wp_uuid *rpc_conn_sender(const struct rpc_conn *c);
uint64_t rpc_conn_client_id(const struct rpc_conn *c);
const char *rpc_conn_name(const struct rpc_conn *c); /* name and address, for messages */
void *rpc_conn_data(const struct rpc_conn *c);       /* the service's pointer, e.g. the session */
void rpc_conn_set_data(struct rpc_conn *c, void *data);
/* conn_down is called later, from the event loop. */
void rpc_conn_close(struct rpc_conn *c);
/* A message to the client without an answer (rpc_peer_ops.notice), from conn_up until conn_down. body is copied. Notices and
 * replies of one connection arrive in the order in which they were given; one may be lost with its connection, none otherwise. */
void rpc_conn_notice(struct rpc_conn *c, uint16_t op, const void *body, size_t len);

/* ---- calling ------------------------------------------------------------------------------------------- */

struct rpc_call;
typedef void rpc_done_fn(struct rpc_call *call);

#define RPC_INLINE_BODY 512u

/* Caller-owned until done. Prepare with rpc_call_init, encode the body through rpc_call_enc, start with rpc_call. */
struct rpc_call {
	uint32_t magic;
	/* request */
	uint16_t op;
	uint16_t flags;               /* WP_HDR_MUTATES is set from the op table */
	uint64_t session;
	uint16_t slot;
	uint64_t xid;                 /* set by the slot's owner for mutations, otherwise by rpc_call */
	uint64_t deadline_ns;         /* monotonic, 0: never; then -ETIMEDOUT */
	const struct iovec *bulk;     /* request payload, stays until done */
	int bulk_n;
	void *reply_bulk;             /* where the reply's payload is received to, directly */
	size_t reply_bulk_max;        /* a larger payload is -EBADMSG */
	rpc_done_fn *done;
	void *arg;
	/* result */
	int err;
	const uint8_t *reply;         /* body; valid inside done only */
	uint32_t reply_len;
	uint32_t reply_bulk_len;
	struct wp_hdr reply_hdr;
	/* private */
	struct wp_enc enc;
	uint8_t inline_body[RPC_INLINE_BODY];
	uint8_t *heap_body;
	struct rpc_peer *peer;
	struct rpc_conn *conn;
	struct list node;        /* where state says */
	struct htab_node lookup; /* while an answer is awaited */
	struct list txs;         /* sends that still refer to bulk */
	struct env_timer timer;
	uint32_t retries;
	int abort_err;           /* ends with this when its memory is free */
	uint8_t state;
	bool bound;              /* to its connection, by rpc_call_on */
	bool resent;
};

void rpc_call_init(struct rpc_call *c, uint16_t op, rpc_done_fn *done, void *arg);
/* An encoder for the body with room for at least max bytes. Above RPC_INLINE_BODY it allocates memory that is freed when the
 * call ends: start the call then. An encoder's error ends the call when it is started. */
struct wp_enc *rpc_call_enc(struct rpc_call *c, size_t max);
void rpc_call(struct rpc_peer *peer, struct rpc_call *c);
/* The call ends with -ECANCELED (done is called later); the server may still execute it. No-op when it is done. */
void rpc_call_cancel(struct rpc_call *c);

struct rpc_peer_ops {
	/* A connection is up and proved: bring it into the session (rpc_call_on this conn), then rpc_peer_ready, exactly once,
	 * also when the connection was lost meanwhile: conn stays valid until then. NULL: ready at once. */
	void (*attach)(void *arg, struct rpc_peer *peer, struct rpc_conn *conn);
	/* The current addresses in order of preference: fills up to max and returns the number, 0 if unknown now. The peer asks
	 * before each connection attempt, maybe from inside rpc_call. Must not free the peer. The text is copied. */
	unsigned (*addrs)(void *arg, struct rpc_peer *peer, const char **ret, unsigned max);
	/* No connection is left / again one. For `status`. May be NULL. */
	void (*state)(void *arg, struct rpc_peer *peer, bool up);
	/* The server sent a notice on this connection, which is proved, but perhaps not ready yet. The body, valid until this
	 * returns, is whatever the server says: decode with care. May free the peer. NULL: notices are ignored. */
	void (*notice)(void *arg, struct rpc_peer *peer, struct rpc_conn *conn, uint16_t op, const uint8_t *body, uint32_t len);
};

struct rpc_peer_params {
	uint16_t service;
	uint32_t target;
	unsigned conns;        /* connections to hold when busy; 1 by default */
	unsigned credits;      /* calls in flight before the first reply says otherwise; others queue */
	const struct rpc_peer_ops *ops;
	void *arg;
};

int rpc_peer_new(struct rpc_node *node, const struct rpc_peer_params *p, struct rpc_peer **ret) must_check;
/* Unanswered calls end with -ECANCELED before it returns. Request bulk memory of a call that was just being sent may be read
 * until its connection is really closed, in the next round of the event loop: it must stay mapped, its contents no
 * longer matter. */
void rpc_peer_free(struct rpc_peer *peer);
/* From attach: the connection may carry ordinary calls now; err < 0 closes it and backs off; -WEFT_ENOSESSION also fails every
 * call that carries a session. */
void rpc_peer_ready(struct rpc_peer *peer, struct rpc_conn *conn, int err);
/* A call on one connection that is not ready yet, from attach. Never resent: fails when the connection does. */
void rpc_call_on(struct rpc_conn *conn, struct rpc_call *c);
/* Addresses may have changed: try again now instead of after the back-off. */
void rpc_peer_kick(struct rpc_peer *peer);
uint64_t rpc_peer_boot_epoch(const struct rpc_peer *peer); /* of the last hello */
bool rpc_peer_up(const struct rpc_peer *peer);
/* Why the last connection attempt failed (0: it did not), for messages. */
int rpc_peer_last_error(const struct rpc_peer *peer);

/* Retried inside, with back-off, until the deadline: lost connections, WP_E_NOTREADY, WP_E_STALEMAP. Everything else is the
 * caller's. A handshake that fails for good (AUTH, PROTO, FOREIGN) ends every queued call with that error. */

#endif
