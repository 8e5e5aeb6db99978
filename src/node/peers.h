/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Peers by target: connections of one reactor to targets elsewhere, whose addresses come from the cluster map. Made on first use,
 * kept until peers_free. Belongs to the reactor of its rpc node.
 */
#ifndef WEFT_NODE_PEERS_H
#define WEFT_NODE_PEERS_H

#include "base/base.h"
#include "node/clustermap.h"
#include "rpc/rpc.h"

struct peers;

struct peers *peers_new(struct rpc_node *node);
/* Unanswered calls end with -ECANCELED before it returns. NULL is fine. */
void peers_free(struct peers *p);
/* Takes a reference. Peers without a connection try again at once: addresses may have changed. */
void peers_set_map(struct peers *p, struct cluster_map *map);
/* NULL: out of memory. A target that the map does not know (yet) is waited for by its calls. service: META or STORAGE. */
struct rpc_peer *peers_get(struct peers *p, uint16_t service, uint32_t target);

#endif
