/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Frames over one connection, whatever the transport.
 *
 * Receiving: bytes gather in a small buffer; a whole frame is handed up with its body still in that buffer. Bodies larger than
 * the buffer get memory of their own, and bulk payloads go straight to where the owner wants them. An owner that cannot take a
 * frame now says NET_HOLD: nothing more is received until net_conn_unhold.
 *
 * Sending: header, body and padding are gathered with the bulk's iovecs; nothing is copied but short headers and bodies.
 *
 * Threads: belongs to the reactor of its env_conn. Callbacks come from the event loop, never from inside a function below.
 */
#ifndef WEFT_NET_CONN_H
#define WEFT_NET_CONN_H

#include "env/env.h"
#include "io/pool.h"
#include "weft_proto.h"

#define NET_RECV_BUF 16384u  /* held by a connection only while it has unread bytes: many connections are idle */
#define NET_BUFS_KEEP 16u    /* unused receive buffers kept per reactor */
#define NET_TX_INLINE 1472u  /* bodies up to this are copied into the send object */
#define NET_TX_KEEP 256u     /* unused send objects kept per reactor */

enum { NET_HOLD = 1 };

/* name, unit, help */
#define NET_STATS(X)                                                                                                          \
	X(bytes_in, "bytes", "received")                                                                                      \
	X(bytes_out, "bytes", "queued for sending")                                                                           \
	X(frames_in, "count", "whole frames received")                                                                        \
	X(frames_out, "count", "frames sent")                                                                                 \
	X(receives, "count", "pieces that the transport delivered")                                                           \
	X(bad_frames, "count", "malformed frames; each closes its connection")                                                \
	X(holds, "count", "times receiving paused because requests came faster than replies left")

struct net_stats {
#define X(name, unit, help) uint64_t name;
	NET_STATS(X)
#undef X
};

struct net_conn;
struct net_tx;

/* What the connections of one reactor share. */
struct net_ctx {
	struct env *env;
	struct net_stats stats;
	struct io_pool *pool; /* bulk payloads */
	struct list free_tx;
	unsigned free_tx_n;
	uint8_t *bufs[NET_BUFS_KEEP]; /* unused receive buffers */
	unsigned bufs_n;
	struct list late;  /* sends on closed connections, to be failed from the event loop */
	struct env_task late_task;
	bool late_posted;
};

void net_ctx_init(struct net_ctx *ctx, struct env *env);
/* No connection and no send may be left. */
void net_ctx_done(struct net_ctx *ctx);

/* A frame being received. body is valid until the callback that got it returns, bulk memory is the owner's. */
struct net_frame {
	struct wp_hdr hdr;
	const uint8_t *body;
	void *bulk;
};

/* bulk and frame return 0, NET_HOLD, or a negative errno, which closes the connection (ops->closed is called with it). */
struct net_conn_ops {
	/* Outgoing connections: 0 or why not; then closed is not called. */
	void (*connected)(struct net_conn *nc, int err);
	/* Sets f->bulk to room for hdr.bulk_len bytes; left NULL, the frame is received and thrown away. */
	int (*bulk)(struct net_conn *nc, struct net_frame *f);
	int (*frame)(struct net_conn *nc, struct net_frame *f);
	/* By the peer, by a failure or by a bad frame; not after net_conn_close. */
	void (*closed)(struct net_conn *nc, int err);
	/* The last reference is gone. */
	void (*release)(struct net_conn *nc);
};

enum net_rx { NET_RX_HEADER, NET_RX_BIG_BODY, NET_RX_CHECKED, NET_RX_BULK, NET_RX_WHOLE };

struct net_conn {
	uint32_t magic;
	unsigned refs;
	struct net_ctx *ctx;
	struct env_conn *ec; /* NULL: closed */
	const struct net_conn_ops *ops;
	uint32_t max_body, max_bulk; /* of frames received; small until the peer has proved itself */
	uint64_t rx_bytes;
	/* private */
	enum net_rx rx;
	struct net_frame f;
	uint8_t *buf; /* NULL: nothing unread */
	uint8_t *big;
	uint32_t rd, wr; /* unread part of buf */
	uint32_t got;    /* of big body, or bulk */
	bool in_loop, held, unhold_posted;
	struct env_task task;
	uint8_t head[WP_HDR_SIZE]; /* of a frame with a big body */
};

/* One reference, for the owner. */
void net_conn_init(struct net_conn *nc, struct net_ctx *ctx, const struct net_conn_ops *ops);
void net_conn_get(struct net_conn *nc);
void net_conn_put(struct net_conn *nc);
/* Takes over an accepted connection: receiving starts. */
void net_conn_start(struct net_conn *nc, struct env_conn *ec);
int net_conn_connect(struct net_conn *nc, const char *addr) must_check;
/* The env_conn for another reactor. Only inside ops->frame, with nothing sent. NULL if the peer sent more than one frame. */
struct env_conn *net_conn_detach(struct net_conn *nc) must_check;
/* At once; sends not yet done end with -ECANCELED later. Idempotent. */
void net_conn_close(struct net_conn *nc);
/* Takes up receiving, from the event loop, after NET_HOLD. */
void net_conn_unhold(struct net_conn *nc);
static inline bool net_conn_open(const struct net_conn *nc) { return nc->ec != NULL; }
static inline size_t net_conn_queued(struct net_conn *nc) { return nc->ec ? nc->ctx->env->ops->conn_queued(nc->ec) : 0; }
const char *net_conn_peer(struct net_conn *nc);

struct net_msg {
	struct wp_hdr *hdr;       /* lengths, magic and checksum are filled in */
	const void *body;
	uint32_t body_len;
	bool body_stays;          /* body is valid until done: not copied */
	const struct iovec *bulk; /* the array may go, the memory stays until done */
	int bulk_n;
	/* Always called, later: 0 or why it may not have been sent. The connection is referenced until then. May be NULL. */
	void (*done)(struct net_tx *tx, int err);
	void *arg;
};

struct net_tx {
	struct env_send send;
	struct net_conn *nc;
	void (*done)(struct net_tx *tx, int err);
	void *arg;
	void *heap;       /* freed when sent */
	struct list link; /* free list; for the owner while it is on its way */
	uint8_t data[WP_HDR_SIZE + NET_TX_INLINE];
};

/* The object that done will be called with. */
struct net_tx *net_conn_send(struct net_conn *nc, const struct net_msg *m);
/* Sends nothing: done is called from the event loop with -ECANCELED. */
void net_conn_later(struct net_conn *nc, void (*done)(struct net_tx *tx, int err), void *arg);

#endif
