/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "node/peers.h"

#include "base/htab.h"

#define PEERS_MAGIC 0x50656572u
#define PEER_CREDITS 32u /* until the first reply says otherwise */

struct peer_entry {
	struct htab_node link;
	struct peers *peers;
	uint16_t service;
	uint32_t target;
	struct rpc_peer *peer;
};

struct peers {
	uint32_t magic;
	struct rpc_node *node;
	struct cluster_map *map;
	struct htab tab;
};

static unsigned entry_addrs(void *arg, struct rpc_peer *peer, const char **ret, unsigned max)
{
	struct peer_entry *e = arg;

	return e->peers->map ? cluster_map_addrs(e->peers->map, e->service, e->target, cluster_host(), ret, max) : 0;
}

static const struct rpc_peer_ops entry_ops = { .addrs = entry_addrs };

struct peers *peers_new(struct rpc_node *node)
{
	struct peers *p = NEW(struct peers);

	OBJ_INIT(p, PEERS_MAGIC);
	p->node = node;
	htab_init(&p->tab);
	return p;
}

static bool free_entry(struct htab_node *n, void *arg)
{
	struct peer_entry *e = container_of(n, struct peer_entry, link);

	htab_del(arg, n);
	rpc_peer_free(e->peer);
	free(e);
	return true;
}

void peers_free(struct peers *p)
{
	if (!p)
		return;
	OBJ_CHECK(p, PEERS_MAGIC);
	htab_each(&p->tab, free_entry, &p->tab);
	htab_done(&p->tab);
	cluster_map_unref(p->map);
	OBJ_FINI(p);
	free(p);
}

static bool kick(struct htab_node *n, void *arg)
{
	struct peer_entry *e = container_of(n, struct peer_entry, link);

	if (!rpc_peer_up(e->peer))
		rpc_peer_kick(e->peer);
	return true;
}

void peers_set_map(struct peers *p, struct cluster_map *map)
{
	struct cluster_map *old = p->map;

	OBJ_CHECK(p, PEERS_MAGIC);
	p->map = cluster_map_ref(map);
	cluster_map_unref(old);
	htab_each(&p->tab, kick, NULL);
}

struct rpc_peer *peers_get(struct peers *p, uint16_t service, uint32_t target)
{
	uint64_t hash = hash_u64((uint64_t)service << 32 | target);
	struct rpc_peer_params params = { .service = service, .target = target, .conns = 1, .credits = PEER_CREDITS, .ops = &entry_ops };
	struct peer_entry *e;
	struct htab_node *n;

	OBJ_CHECK(p, PEERS_MAGIC);
	htab_each_match(n, &p->tab, hash)
	{
		e = container_of(n, struct peer_entry, link);
		if (e->service == service && e->target == target)
			return e->peer;
	}
	e = NEW(struct peer_entry);
	e->peers = p;
	e->service = service;
	e->target = target;
	params.arg = e;
	if (rpc_peer_new(p->node, &params, &e->peer) < 0) {
		free(e);
		return NULL;
	}
	htab_add(&p->tab, &e->link, hash);
	return e->peer;
}
