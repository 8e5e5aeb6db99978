/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "rpc/rpc.h"

#include <openssl/crypto.h>

#include "base/log.h"
#include "rpc/rpc_priv.h"

#define NODE_MAGIC 0x72706e6fu

static void done_run(void *arg)
{
	struct rpc_node *node = arg;

	node->done_posted = false;
	rcall_run_done(node);
	rnode_put(node);
}

int rpc_node_new(struct env *env, const struct rpc_identity *id, struct rpc_node **ret)
{
	struct rpc_node *node;

	if (id->secret_len > RPC_SECRET_MAX || id->server_secret_len > RPC_SECRET_MAX ||
	    !memchr(id->name, '\0', sizeof(id->name)))
		return -EINVAL;
	if (id->auth != WP_AUTH_NONE && id->auth != WP_AUTH_HMAC)
		return -EINVAL;
	if (id->auth == WP_AUTH_HMAC && !id->secret_len && !id->server_secret_len)
		return -EINVAL;
	node = NEW(struct rpc_node);
	OBJ_INIT(node, NODE_MAGIC);
	node->refs = 1;
	node->env = env;
	node->id = *id;
	net_ctx_init(&node->net, env);
	list_init(&node->services);
	list_init(&node->peers);
	list_init(&node->conns);
	list_init(&node->downs);
	list_init(&node->done);
	list_init(&node->starved);
	node->bulk_max = RPC_NODE_BULK_MAX;
	list_init(&node->free_reqs);
	node->done_task = (struct env_task){ .fn = done_run, .arg = node };
	*ret = node;
	return 0;
}

void rnode_get(struct rpc_node *node)
{
	OBJ_CHECK(node, NODE_MAGIC);
	node->refs++;
}

void rnode_put(struct rpc_node *node)
{
	OBJ_CHECK(node, NODE_MAGIC);
	if (--node->refs)
		return;
	weft_assert(list_empty(&node->done));
	rreq_free_pool(node);
	net_ctx_done(&node->net);
	OPENSSL_cleanse(&node->id, sizeof(node->id));
	OBJ_FINI(node);
	free(node);
}

void rpc_node_free(struct rpc_node *node)
{
	struct rpc_conn *conn;

	if (!node)
		return;
	OBJ_CHECK(node, NODE_MAGIC);
	node->dying = true;
	for (unsigned i = 0; i < node->listeners_n; i++)
		node->env->ops->listener_close(node->listeners[i]);
	node->listeners_n = 0;
	while (!list_empty(&node->peers))
		rpc_peer_free(list_first(&node->peers, struct rpc_peer, link));
	while (!list_empty(&node->conns))
		rserver_close(list_first(&node->conns, struct rpc_conn, link));
	list_each(conn, &node->downs, link)
		rserver_tell_down(conn);
	rcall_run_done(node);
	while (!list_empty(&node->services))
		list_del(node->services.next);
	rnode_put(node);
}

void rnode_post_done(struct rpc_node *node)
{
	if (node->done_posted)
		return;
	node->done_posted = true;
	rnode_get(node);
	env_post(node->env, &node->done_task);
}

struct env *rpc_node_env(struct rpc_node *node) { return node->env; }

void rpc_node_set_cluster(struct rpc_node *node, const struct wp_uuid *cluster) { node->id.cluster = *cluster; }

void rpc_node_set_bulk_max(struct rpc_node *node, size_t bytes) { node->bulk_max = bytes; }

void rpc_node_set_map_version(struct rpc_node *node, uint32_t version) { node->map_version = version; }

void rpc_node_on_newer_map(struct rpc_node *node, void (*fn)(void *arg, uint32_t version), void *arg)
{
	node->newer_map = fn;
	node->newer_map_arg = arg;
}

/* Told once per version: every header that follows would say it again. */
void rnode_saw_map(struct rpc_node *node, const struct wp_hdr *h)
{
	if (likely(h->map_version <= node->map_version || h->map_version <= node->told_version))
		return;
	node->told_version = h->map_version;
	if (node->newer_map)
		node->newer_map(node->newer_map_arg, h->map_version);
}

/* ---- services and listening ---------------------------------------------------------------------------------------------- */

struct rpc_service *rnode_service(struct rpc_node *node, uint16_t service, uint32_t target)
{
	struct rpc_service *s;

	list_each(s, &node->services, link)
		if (s->service == service && s->target == target)
			return s;
	return NULL;
}

int rpc_service_add(struct rpc_node *node, struct rpc_service *svc)
{
	OBJ_CHECK(node, NODE_MAGIC);
	if (rnode_service(node, svc->service, svc->target))
		return -EEXIST;
	list_append(&node->services, &svc->link);
	return 0;
}

void rpc_service_remove(struct rpc_node *node, struct rpc_service *svc)
{
	struct rpc_conn *conn;
	bool found;

	OBJ_CHECK(node, NODE_MAGIC);
	list_del(&svc->link);
	do { /* from the start each time: conn_down may close others */
		found = false;
		list_each(conn, &node->conns, link) {
			found = conn->svc == svc;
			if (found) {
				rserver_close(conn);
				break;
			}
		}
	} while (found);
	list_each(conn, &node->downs, link)
		if (conn->svc == svc)
			rserver_tell_down(conn);
}

int rpc_listen(struct rpc_node *node, const char *addr)
{
	int err;

	OBJ_CHECK(node, NODE_MAGIC);
	if (node->listeners_n == RPC_LISTEN_MAX)
		return -ENOSPC;
	err = node->env->ops->listen(node->env, addr, rserver_accepted, node, &node->listeners[node->listeners_n]);
	if (err)
		return err;
	node->listeners_n++;
	return 0;
}

const char *rpc_listen_addr(struct rpc_node *node, unsigned i)
{
	return i < node->listeners_n ? node->env->ops->listener_addr(node->listeners[i]) : NULL;
}

void rpc_node_set_router(struct rpc_node *node, struct rpc_node *(*find)(void *arg, uint16_t service, uint32_t target),
			 void *arg)
{
	node->find = find;
	node->find_arg = arg;
}

/* ---- counters and messages ----------------------------------------------------------------------------------------------- */

const struct rpc_counters *rpc_node_counters(const struct rpc_node *node) { return &node->counters; }

const struct net_stats *rpc_node_net_stats(const struct rpc_node *node) { return &node->net.stats; }

void rpc_node_set_counters(struct rpc_node *node, unsigned (*fill)(void *arg, struct wp_counter *rows, unsigned max), void *arg)
{
	node->rows = fill;
	node->rows_arg = arg;
}

unsigned rpc_counters_rows(const struct rpc_node *node, struct wp_counter *rows, unsigned max)
{
	const struct rpc_counters *c = &node->counters;
	const struct net_stats *s = &node->net.stats;
	unsigned n = 0;

#define X(name_, unit_, help)                                                                                                 \
	if (n < max)                                                                                                          \
		rows[n++] = (struct wp_counter){ .name = wp_str("rpc_" #name_), .value = c->name_, .unit = wp_str(unit_) };
	RPC_COUNTERS(X)
#undef X
#define X(name_, unit_, help)                                                                                                 \
	if (n < max)                                                                                                          \
		rows[n++] = (struct wp_counter){ .name = wp_str("net_" #name_), .value = s->name_, .unit = wp_str(unit_) };
	NET_STATS(X)
#undef X
	return n;
}

/* A leaky bucket: a misconfigured machine tries again every second, thousands of them must not fill the disk. */
bool rnode_may_log(struct rpc_node *node)
{
	uint64_t now = env_mono_ns(node->env);

	node->log_full_ns = MAX(node->log_full_ns, now);
	if (node->log_full_ns - now > (RPC_LOG_BURST - 1) * NSEC_PER_SEC) {
		node->log_dropped++;
		return false;
	}
	node->log_full_ns += NSEC_PER_SEC;
	if (node->log_dropped)
		log_warn("rpc", "%u more refusals were not logged", node->log_dropped);
	node->log_dropped = 0;
	return true;
}

void rnode_count_refusal(struct rpc_node *node, int err)
{
	if (err == -WEFT_EAUTH)
		node->counters.auth_failures++;
	else
		node->counters.handshake_failures++;
}
