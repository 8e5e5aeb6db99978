/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Words for people who wait: what a mount that does not come up is waiting for. */
#include "client/client_priv.h"

static const char *reason(int err) { return err ? strerror(-wp_err_to_errno(err)) : "no answer"; }

static void mgmtd_text(struct client *c, char *buf, size_t size)
{
	int err = rpc_peer_last_error(c->mgmtd);
	struct buf b = { 0 };
	unsigned i;

	for (i = 0; i < c->m->mgmtd_n; i++)
		buf_printf(&b, "%s%s", i ? ", " : "", c->m->mgmtd[i]);
	buf_add(&b, "", 1);
	if (err == -WEFT_EAUTH)
		snprintf(buf, size, "the management daemon at %s has another secret: use this cluster's secret-file, and the same auth "
				    "option as there", (char *)b.p);
	else if (err == -EPROTO)
		snprintf(buf, size, "the management daemon at %s speaks another revision of the protocol: install the same version of "
				    "weft everywhere", (char *)b.p);
	else
		snprintf(buf, size, "cannot reach the management daemon at %s (%s): is weft-mgmtd running there, and is this the address it "
			    "listens on?", (char *)b.p, reason(err));
	buf_done(&b);
}

static void target_text(struct client *c, uint16_t service, uint32_t id, int err, char *buf, size_t size)
{
	const char *program = service == WP_SERVICE_META ? "weft-meta" : "weft-storage", *addrs[WP_ADDRS_MAX];
	const struct wp_target_info *t = cluster_map_target(c->map, service, id);
	const struct wp_node_info *n = cluster_map_target_node(c->map, service, id);
	unsigned n_addrs = cluster_map_addrs(c->map, service, id, cluster_host(), addrs, ARRAY_SIZE(addrs));

	if (!t || !n)
		snprintf(buf, size, "no server has brought target %s:%u%s to the cluster yet: start its %s",
			 service == WP_SERVICE_META ? "meta" : "storage", id, service == WP_SERVICE_META && !id ? ", which has the root directory," : "",
			 program);
	else
		snprintf(buf, size, "cannot reach target %.*s of node %.*s on host %.*s at %s (%s): %s", WP_STR_ARG(t->alias),
			 WP_STR_ARG(n->alias), WP_STR_ARG(n->host), n_addrs ? addrs[n_addrs - 1] : "no address", reason(err),
			 t->state != WP_TARGET_STATE_OFFLINE && err != -ECONNREFUSED ? "is the network between here and there in order?" :
			 service == WP_SERVICE_META ? "start weft-meta there" : "start weft-storage there");
}

void client_waits_for(struct client *c, char *buf, size_t size)
{
	const struct mdt *root;

	OBJ_CHECK(c, CLIENT_MAGIC);
	buf[0] = '\0';
	if (!rpc_peer_up(c->mgmtd) || !c->map)
		return mgmtd_text(c, buf, size);
	root = c->mdts_n ? c->mdts[0] : NULL;
	if (!root || !root->session)
		target_text(c, WP_SERVICE_META, 0, root ? rpc_peer_last_error(root->peer) : 0, buf, size);
}
