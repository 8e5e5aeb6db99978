/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What serving and calling connections have in common. */
#include "rpc/rpc_priv.h"

#include <openssl/crypto.h>

#define CONN_MAGIC 0x7270636fu

struct rpc_conn *rconn_new(struct rpc_node *node, const struct net_conn_ops *ops)
{
	struct rpc_conn *conn = NEW(struct rpc_conn);

	OBJ_INIT(conn, CONN_MAGIC);
	conn->node = node;
	rnode_get(node);
	net_conn_init(&conn->nc, &node->net, ops);
	conn->nc.max_body = HS_BODY_MAX;
	conn->nc.max_bulk = 0;
	conn->hs = NEW(struct hs);
	list_init(&conn->link);
	list_init(&conn->calls);
	list_init(&conn->starved);
	return conn;
}

void rconn_release(struct net_conn *nc)
{
	struct rpc_conn *conn = rconn_of(nc);
	struct rpc_node *node = conn->node;

	OBJ_CHECK(conn, CONN_MAGIC);
	weft_assert(!env_timer_armed(&conn->timer) && list_empty(&conn->link) && !conn->rx_req);
	free(conn->hs);
	free(conn->name);
	OBJ_FINI(conn);
	free(conn);
	rnode_put(node);
}

void rconn_trust(struct rpc_conn *conn)
{
	conn->nc.max_body = WP_BODY_MAX;
	conn->nc.max_bulk = WP_BULK_MAX;
	free(conn->hs);
	conn->hs = NULL;
}

void rconn_send_hs(struct rpc_conn *conn, uint16_t op, uint16_t flags, uint32_t status, const void *body, size_t len,
		  void (*done)(struct net_tx *tx, int err))
{
	struct wp_hdr h = { .opcode = op, .flags = flags, .status = status };
	struct net_msg m = { .hdr = &h, .body = body, .body_len = (uint32_t)len, .done = done, .arg = conn };

	(void)net_conn_send(&conn->nc, &m);
}

void rconn_send_refusal(struct rpc_conn *conn, int err, const char *why, void (*done)(struct net_tx *tx, int err))
{
	struct wp_auth_rep m = { .message = wp_str(why) };
	uint8_t body[HS_WHY_MAX + 64];
	struct wp_enc e;

	conn->state = CONN_REFUSED;
	wp_enc_init(&e, body, sizeof(body));
	wp_auth_rep_enc(&e, &m);
	weft_assert(!e.err);
	rconn_send_hs(conn, WP_OP_AUTH, WP_HDR_REPLY, wp_status_from_errno(err), body, e.len, done);
}

void rconn_refusal_text(const struct net_frame *f, char why[HS_WHY_MAX])
{
	struct wp_auth_rep m;
	uint32_t n;

	if (wp_auth_rep_decode(f->body, f->hdr.body_len, NULL, 0, &m) < 0)
		m.message = wp_str("");
	n = MIN(m.message.len, HS_WHY_MAX - 1);
	for (uint32_t i = 0; i < n; i++)
		why[i] = m.message.p[i] >= ' ' && m.message.p[i] < 127 ? m.message.p[i] : '?';
	why[n] = '\0';
	if (!n)
		(void)snprintf(why, HS_WHY_MAX, "%s", wp_status_text(f->hdr.status));
}

void rconn_set_name(struct rpc_conn *conn, uint16_t role, struct wp_str name)
{
	char clean[WP_ALIAS_MAX + 1];
	uint32_t n = MIN(name.len, (uint32_t)WP_ALIAS_MAX);

	for (uint32_t i = 0; i < n; i++)
		clean[i] = name.p[i] > ' ' && name.p[i] < 127 ? name.p[i] : '?';
	clean[n] = '\0';
	free(conn->name);
	conn->name = xasprintf("%s %s (%s)", wp_role_name(role), clean, net_conn_peer(&conn->nc));
}

uint16_t rpc_conn_role(const struct rpc_conn *c) { return c->role; }
const struct wp_uuid *rpc_conn_sender(const struct rpc_conn *c) { return &c->sender; }
uint64_t rpc_conn_client_id(const struct rpc_conn *c) { return c->client_id; }
const char *rpc_conn_name(const struct rpc_conn *c) { return c->name ? c->name : "?"; }
void *rpc_conn_data(const struct rpc_conn *c) { return c->data; }
void rpc_conn_set_data(struct rpc_conn *c, void *data) { c->data = data; }
