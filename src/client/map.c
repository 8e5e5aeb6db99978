/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The cluster map of this reactor: fetched from the management daemon, then followed by long poll. */
#include "client/client_priv.h"

#define MAP_WAIT_MS 30000u
#define MAP_RETRY_MS 500u

static void map_fetch(void *arg);

static unsigned mgmtd_addrs(void *arg, struct rpc_peer *peer, const char **ret, unsigned max)
{
	struct client *c = arg;
	unsigned i, n = MIN(c->m->mgmtd_n, max);

	for (i = 0; i < n; i++)
		ret[i] = c->m->mgmtd[i];
	return n;
}

static const struct rpc_peer_ops mgmtd_ops = { .addrs = mgmtd_addrs };

static void map_take(struct client *c, struct cluster_map *map)
{
	bool first = !c->map;
	uint32_t i;

	if (c->map && cluster_map_version(map) <= cluster_map_version(c->map)) {
		cluster_map_unref(map);
		return;
	}
	cluster_map_unref(c->map);
	c->map = map;
	rpc_node_set_map_version(c->node, cluster_map_version(map));
	if (first)
		rpc_node_set_cluster(c->node, &cluster_map_wire(map)->cluster);
	/* Targets may have moved. */
	for (i = 0; i < c->mdts_n; i++)
		if (c->mdts[i] && !rpc_peer_up(c->mdts[i]->peer))
			rpc_peer_kick(c->mdts[i]->peer);
	for (i = 0; i < c->osts_n; i++)
		if (c->osts[i] && !rpc_peer_up(c->osts[i]->peer))
			rpc_peer_kick(c->osts[i]->peer);
}

static void map_fetched(struct rpc_call *call)
{
	struct client *c = call->arg;
	struct cluster_map *map = NULL;
	int err = call->err;

	c->map_busy = false;
	if (c->freeing)
		return;
	if (!err)
		err = map_pages_add(&c->map_pages, call->reply, call->reply_len);
	if (!err) {
		map_fetch(c); /* the next page */
		return;
	}
	if (err > 0)
		err = cluster_map_decode(c->map_pages.body.p, c->map_pages.body.len, &map);
	map_pages_reset(&c->map_pages);
	if (!err)
		map_take(c, map);
	cl_start_map_ready(c, err);
	if (err && err != -ETIMEDOUT)
		env_timer_in(c->env, &c->map_timer, MAP_RETRY_MS * NSEC_PER_MSEC);
	else
		map_fetch(c);
}

static void map_fetch(void *arg)
{
	struct client *c = arg;
	struct wp_map_get_req req;

	if (c->map_busy || c->freeing)
		return;
	map_pages_request(&c->map_pages, c->map ? cluster_map_version(c->map) : 0, c->map ? MAP_WAIT_MS : 0, &req);
	c->map_busy = true;
	rpc_call_init(&c->map_call, WP_OP_MAP_GET, map_fetched, c);
	wp_map_get_req_enc(rpc_call_enc(&c->map_call, 64), &req);
	c->map_call.deadline_ns = env_mono_ns(c->env) + 2ull * MAP_WAIT_MS * NSEC_PER_MSEC;
	rpc_call(c->mgmtd, &c->map_call);
}

void cl_map_init(struct client *c)
{
	struct rpc_peer_params p = { .service = WP_SERVICE_MGMTD, .target = WP_TARGET_NONE, .credits = 8, .ops = &mgmtd_ops, .arg = c };
	int err = rpc_peer_new(c->node, &p, &c->mgmtd);

	weft_assert(!err);
	c->map_timer.fn = map_fetch;
	c->map_timer.arg = c;
}

void cl_map_watch(struct client *c)
{
	map_fetch(c);
}

void cl_map_stop(struct client *c)
{
	env_timer_cancel(c->env, &c->map_timer);
	map_pages_reset(&c->map_pages);
	cluster_map_unref(c->map);
	c->map = NULL;
}
