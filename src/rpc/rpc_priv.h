/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the files of this folder know of each other. See README.md for who owns what. */
#ifndef WEFT_RPC_RPC_PRIV_H
#define WEFT_RPC_RPC_PRIV_H

#include "base/limits.h"
#include "net/conn.h"
#include "rpc/counters.h"
#include "rpc/handshake.h"
#include "rpc/rpc.h"

#define RPC_CREDITS_DEFAULT 64u
#define RPC_CONNS_MAX 16u               /* connections of one peer */
#define RPC_CONN_BUSY 4u                /* calls per connection before another one is opened */
#define RPC_CONN_REQS_MAX 1024u         /* requests in progress on one connection: more are not read */
#define RPC_CONN_BULK_MAX (64u << 20)   /* bytes of bulk memory they may hold */
#define RPC_NODE_BULK_MAX (512u << 20)  /* the same for all connections of a node together, unless configured */
#define RPC_REQS_KEEP 128u              /* unused request objects kept per node */
#define RPC_REQ_INLINE 512u             /* request bodies up to this need no arena */
#define RPC_ARENA_KEEP (64u << 10)      /* larger arenas are not kept */
#define RPC_LISTEN_MAX 16u              /* addresses of one node */
#define RPC_GRACE_MS 1000u              /* an ended call's memory in use longer than this costs the connection */
#define RPC_SILENCE_MS 5000u            /* without a byte while an answer is awaited: ping */
#define RPC_SILENCES_MAX 6u             /* as often in a row: the connection is dead */
#define RPC_LOG_BURST 10u               /* refusals logged at once; then one per second */

enum conn_state {
	CONN_CONNECTING,
	CONN_HELLO,   /* client: sent; server: awaited */
	CONN_AUTH,    /* client: sent; server: awaited */
	CONN_ATTACH,  /* client: proved, the owner's attach hook is at work */
	CONN_UP,
	CONN_REFUSED, /* a refusal is on its way out, then the connection is closed */
	CONN_DEAD,
};

struct req {
	struct rpc_req pub;
	uint32_t bulk_size; /* of a buffer from the pool; 0: none */
	void (*sent)(void *arg);
	void *sent_arg;
	uint8_t body[RPC_REQ_INLINE];
};

struct rpc_conn {
	uint32_t magic;
	struct net_conn nc;
	struct rpc_node *node;
	struct list link; /* in node->conns or node->downs (serving), peer->conns or peer->limbo (calling) */
	enum conn_state state;
	struct hs *hs; /* during the handshake */
	struct env_timer timer; /* handshake; then silence */
	char *name;
	/* serving */
	struct rpc_service *svc;
	void *data;
	uint16_t role;
	struct wp_uuid sender;
	uint64_t client_id;
	unsigned reqs;
	size_t bulk_bytes;
	struct req *rx_req; /* its bulk is being received */
	struct list starved; /* in node->starved */
	bool told_up;
	struct env_task down_task;
	/* calling */
	struct rpc_peer *peer;
	struct list calls; /* awaiting an answer */
	unsigned inflight;
	struct rpc_call *rx_call; /* its bulk is being received */
	uint64_t up_ns, replies, seen_bytes;
	unsigned silences;
	bool attach_pending; /* rpc_peer_ready has not been called */
	int refusal;         /* why this side refused */
};

struct rpc_node {
	uint32_t magic;
	unsigned refs; /* the owner's, connections', the posted task's */
	bool dying;
	struct env *env;
	struct net_ctx net;
	struct rpc_identity id;
	struct rpc_counters counters;
	uint32_t map_version, told_version;
	void (*newer_map)(void *arg, uint32_t version);
	void *newer_map_arg;
	struct list services, peers, conns;
	struct list downs; /* closed by the service, conn_down is still to be called */
	struct env_listener *listeners[RPC_LISTEN_MAX];
	unsigned listeners_n;
	struct rpc_node *(*find)(void *arg, uint16_t service, uint32_t target);
	void *find_arg;
	unsigned (*rows)(void *arg, struct wp_counter *rows, unsigned max);
	void *rows_arg;
	size_t bulk_bytes, bulk_max; /* of requests in progress */
	struct list starved;         /* connections that wait for it to shrink */
	uint64_t next_xid;
	struct list done; /* calls that ended, to be reported from the event loop */
	struct env_task done_task;
	bool done_posted;
	struct list free_reqs;
	unsigned free_reqs_n;
	uint64_t log_full_ns; /* refusals: the bucket leaks one second of this per second */
	unsigned log_dropped;
};

struct rpc_peer {
	uint32_t magic;
	struct rpc_node *node;
	struct list link;
	struct rpc_peer_params p;
	struct list conns;
	struct list limbo;    /* dead, but attach has not reported */
	unsigned ready, starting;
	struct list queue;    /* calls not sent; those to be sent again first, in xid order */
	struct list waiting;  /* calls to be sent again later */
	struct list aborting; /* calls that ended, but a send refers to their memory */
	struct htab lookup;
	unsigned inflight, credits;
	struct env_timer timer; /* back-off */
	unsigned fails, addr_i;
	int last_error, permanent;
	uint64_t boot_epoch;
	bool dying, ever_up, told_up;
};

/* node.c */
void rnode_get(struct rpc_node *node);
void rnode_put(struct rpc_node *node);
void rnode_post_done(struct rpc_node *node);
struct rpc_service *rnode_service(struct rpc_node *node, uint16_t service, uint32_t target);
void rnode_saw_map(struct rpc_node *node, const struct wp_hdr *h);
/* May a refusal be logged now? */
bool rnode_may_log(struct rpc_node *node);
void rnode_count_refusal(struct rpc_node *node, int err);

/* conn.c: both sides */
struct rpc_conn *rconn_new(struct rpc_node *node, const struct net_conn_ops *ops);
static inline struct rpc_conn *rconn_of(struct net_conn *nc) { return container_of(nc, struct rpc_conn, nc); }
void rconn_release(struct net_conn *nc);
/* One handshake message. */
void rconn_send_hs(struct rpc_conn *conn, uint16_t op, uint16_t flags, uint32_t status, const void *body, size_t len,
		  void (*done)(struct net_tx *tx, int err));
/* Tells the other side why, then closes. The connection leaves its lists with `dead`, called when that is done or failed. */
void rconn_send_refusal(struct rpc_conn *conn, int err, const char *why, void (*done)(struct net_tx *tx, int err));
/* The text of a refusal received, printable. */
void rconn_refusal_text(const struct net_frame *f, char why[HS_WHY_MAX]);
/* Names the connection in messages: who and where. */
void rconn_set_name(struct rpc_conn *conn, uint16_t role, struct wp_str name);
/* Limits of a connection whose peer has proved itself. */
void rconn_trust(struct rpc_conn *conn);

/* server.c */
void rserver_accepted(void *node, struct env_conn *ec);
void rserver_close(struct rpc_conn *conn); /* conn_down is called before it returns */
void rserver_tell_down(struct rpc_conn *conn); /* conn_down, once */
void rreq_free_pool(struct rpc_node *node);

/* peer.c */
void rpeer_pump(struct rpc_peer *p);
void rpeer_conn_lost(struct rpc_conn *conn, int err);

/* call.c */
enum call_state { CALL_IDLE, CALL_QUEUED, CALL_SENT, CALL_WAITING, CALL_ABORTING, CALL_DONE };
void rcall_send(struct rpc_call *c, struct rpc_conn *conn);
void rcall_abort(struct rpc_call *c, int err);
/* Ends it now, whatever refers to its memory: for peers that go away. */
void rcall_end_now(struct rpc_call *c, int err);
/* The connection of a call in conn->calls is gone. */
void rcall_conn_lost(struct rpc_call *c);
void rcall_run_done(struct rpc_node *node);
/* net_conn_ops of proved outgoing connections. */
int rcall_bulk(struct rpc_conn *conn, struct net_frame *f);
int rcall_reply(struct rpc_conn *conn, struct net_frame *f);
uint64_t rpc_backoff_ns(struct env *env, unsigned fails);

#endif
