/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What a node counts, and how a program adds rows of its own to the reply to `counters`. */
#ifndef WEFT_RPC_COUNTERS_H
#define WEFT_RPC_COUNTERS_H

#include "net/conn.h"
#include "rpc/rpc.h"

/* name, unit, help */
#define RPC_COUNTERS(X)                                                                                                        \
	X(calls, "count", "calls started")                                                                                     \
	X(calls_failed, "count", "calls that ended without a reply")                                                           \
	X(resends, "count", "calls sent again because their connection was lost")                                              \
	X(retries, "count", "calls sent again because the server was not ready or not the right one")                          \
	X(timeouts, "count", "calls that reached their deadline")                                                              \
	X(cancels, "count", "calls cancelled")                                                                                 \
	X(late_replies, "count", "replies that nobody waited for any more")                                                    \
	X(connects, "count", "outgoing connections attempted")                                                                 \
	X(connects_failed, "count", "outgoing connections that failed before they were usable")                                \
	X(disconnects, "count", "usable outgoing connections lost")                                                            \
	X(pings, "count", "pings sent on silent connections")                                                                  \
	X(notices_in, "count", "notices received")                                                                             \
	X(notices_out, "count", "notices sent")                                                                                \
	X(requests, "count", "requests received")                                                                              \
	X(replies, "count", "replies sent")                                                                                    \
	X(replies_dropped, "count", "replies whose connection was gone")                                                       \
	X(accepts, "count", "connections accepted")                                                                            \
	X(routed, "count", "accepted connections handed to another reactor")                                                   \
	X(conns, "count", "incoming connections now")                                                                          \
	X(auth_failures, "count", "handshakes refused: secret")                                                                \
	X(handshake_failures, "count", "handshakes refused or not finished: other reasons")

struct rpc_counters {
#define X(name, unit, help) uint64_t name;
	RPC_COUNTERS(X)
#undef X
};

const struct rpc_counters *rpc_node_counters(const struct rpc_node *node);
const struct net_stats *rpc_node_net_stats(const struct rpc_node *node);

/* Both tables as rows for people, at most max; the number written. Names point to constants. */
unsigned rpc_counters_rows(const struct rpc_node *node, struct wp_counter *rows, unsigned max);
/* fill adds the program's rows behind the node's when a peer asks; the strings must stay until it returns to the event loop. */
void rpc_node_set_counters(struct rpc_node *node, unsigned (*fill)(void *arg, struct wp_counter *rows, unsigned max),
			   void *arg);

#endif
