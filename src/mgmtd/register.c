/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Who may join, under which number and name. */
#include "base/log.h"
#include "mgmtd/mgmtd_priv.h"
#include "node/identity.h"

#define SCRATCH_MAX 4096u

static void refuse(struct mgmtd *m, struct rpc_req *req, int err, const char *what)
{
	m->counters[MGMTD_C_REFUSED]++;
	log_notice("mgmtd", "refused to register %s of %s: %s", what, rpc_conn_name(req->conn), wp_status_name(wp_status_from_errno(err)));
	rpc_reply_err(req, err);
}

/* The prefix and the number; digits are added while that is taken by others than self, whose alias it is. */
static void assign_alias(struct mgmtd *m, uint8_t entity, const char *prefix, uint32_t id, const void *self,
			 char alias[WP_ALIAS_MAX + 1])
{
	snprintf(alias, WP_ALIAS_MAX + 1, "%s%u", prefix, id);
	for (unsigned i = 2; mg_alias_is_taken(m, entity, wp_str(alias), self); i++)
		snprintf(alias, WP_ALIAS_MAX + 1, "%s%u-%u", prefix, id, i);
}

/* ---- nodes -------------------------------------------------------------------------------------------------------------------- */

static const char *role_prefix(uint16_t role)
{
	return role == WP_ROLE_META ? "meta-node" : role == WP_ROLE_STORAGE ? "storage-node" : "client";
}

static int check_new_node(struct mgmtd *m, const struct wp_register_node_req *in)
{
	bool client = in->role == WP_ROLE_CLIENT;

	if (m->locked && !client)
		return -WEFT_ELOCKED;
	if (in->alias.len && !mg_alias_is_valid(in->alias))
		return -EINVAL;
	if (in->alias.len && !client && mg_alias_is_taken(m, WP_ENTITY_NODE, in->alias, NULL))
		return -WEFT_ECONFLICT;
	if (m->counters[MGMTD_C_NODES] >= NODES_MAX)
		return -ENOSPC;
	return 0;
}

/* The same node again: a restarted process, unless the other one is still there, which has a copy of the folder. */
static int check_known_node(struct mgmtd *m, const struct mnode *n, const struct rpc_req *req, const struct wp_register_node_req *in)
{
	bool same_process = n->pid == in->pid && wp_str_eq(wp_str(n->host), in->host);

	if (n->role != in->role)
		return -WEFT_ECONFLICT;
	return !same_process && mg_node_is_alive_elsewhere(m, n, req->conn) ? -WEFT_ECONFLICT : 0;
}

static struct mnode *add_node(struct mgmtd *m, const struct wp_register_node_req *in)
{
	struct mnode *n = mg_node_new(m, m->next_node++, &in->uuid);

	n->role = in->role;
	if (in->alias.len && !mg_alias_is_taken(m, WP_ENTITY_NODE, in->alias, n))
		mg_alias_set(n->alias, in->alias);
	else
		assign_alias(m, WP_ENTITY_NODE, role_prefix(n->role), n->id, n, n->alias);
	return n;
}

static bool set_text(char *dst, size_t cap, struct wp_str s)
{
	bool changed = !wp_str_eq(wp_str(dst), s);

	if (changed && wp_str_copy(dst, cap, s) < 0)
		return false;
	return changed;
}

static bool same_addrs(const struct mnode *n, const struct wp_register_node_req *in)
{
	if (n->addrs_n != in->addrs_n)
		return false;
	for (unsigned i = 0; i < n->addrs_n; i++)
		if (!wp_str_eq(wp_str(n->addrs[i]), in->addrs[i].text))
			return false;
	return true;
}

static bool set_path(struct mnode *n, struct wp_str s)
{
	if (wp_str_eq(wp_str(n->path ? n->path : ""), s))
		return false;
	free(n->path);
	n->path = xmalloc(s.len + 1);
	return wp_str_copy(n->path, s.len + 1, s) == 0;
}

/* Whether the map is different afterwards. */
static bool update_node(struct mnode *n, const struct wp_register_node_req *in)
{
	bool changed = n->pid != in->pid || n->state != WP_TARGET_STATE_ONLINE;

	n->pid = in->pid;
	n->state = WP_TARGET_STATE_ONLINE;
	changed |= set_text(n->version, sizeof(n->version), in->version);
	changed |= set_text(n->host, sizeof(n->host), in->host);
	changed |= set_text(n->domain, sizeof(n->domain), in->domain);
	if (n->role == WP_ROLE_CLIENT) {
		changed |= set_text(n->transport, sizeof(n->transport), in->transport);
		changed |= set_path(n, in->path);
	}
	if (!same_addrs(n, in)) {
		mg_node_set_addrs(n, in->addrs, in->addrs_n);
		changed = true;
	}
	return changed;
}

static void reply_node(struct mgmtd *m, struct rpc_req *req, const struct mnode *n)
{
	bool client = n->role == WP_ROLE_CLIENT;
	struct wp_register_node_rep out = {
		.node = n->id, .cluster = m->cluster, .alias = wp_str(n->alias),
		.heartbeat_ms = client ? m->p.client_heartbeat_ms : m->p.heartbeat_ms,
		.offline_ms = client ? m->p.client_offline_ms : m->p.offline_ms,
		.capability_key = wp_bytes(m->key, client ? 0 : sizeof(m->key)),
		.map_version = m->version,
	};
	struct wp_enc e = rpc_reply_enc(req, 512);

	wp_register_node_rep_enc(&e, &out);
	m->counters[MGMTD_C_REGISTRATIONS]++;
	mg_reply_durable(m, req, &e);
}

void mg_on_register_node(struct mgmtd *m, struct rpc_req *req)
{
	uint64_t scratch[SCRATCH_MAX / 8];
	struct wp_register_node_req in;
	struct mnode *n;
	int r = wp_register_node_req_decode(req->body, req->hdr.body_len, scratch, sizeof(scratch), &in);

	if (r < 0)
		return rpc_reply_err(req, r);
	if (in.role != rpc_conn_role(req->conn) ||
	    (in.role != WP_ROLE_CLIENT && in.role != WP_ROLE_META && in.role != WP_ROLE_STORAGE))
		return refuse(m, req, -WEFT_EDENIED, "a node");
	n = wp_uuid_is_zero(&in.uuid) ? NULL : mg_node_by_uuid(m, &in.uuid);
	if (wp_uuid_is_zero(&in.uuid))
		r = -EINVAL;
	else
		r = n ? check_known_node(m, n, req, &in) : check_new_node(m, &in);
	if (r < 0)
		return refuse(m, req, r, "a node");
	if (!n) {
		n = add_node(m, &in);
		log_info("mgmtd", "new node %u (%s) from %s", n->id, n->alias, rpc_conn_name(req->conn));
	}
	mg_node_seen(m, n, req->conn);
	if (update_node(n, &in)) {
		mg_state_save_node(m, n);
		mg_change(m);
	}
	reply_node(m, req, n);
}

/* ---- targets ------------------------------------------------------------------------------------------------------------------- */

static uint32_t *next_number(struct mgmtd *m, uint16_t service)
{
	return service == WP_SERVICE_META ? &m->next_meta : &m->next_storage;
}

static bool number_is_valid(uint16_t service, uint32_t id)
{
	return service == WP_SERVICE_META ? id < META_TARGETS_MAX : id >= 1 && id <= STORAGE_TARGETS_MAX;
}

static uint8_t entity_of(uint16_t service) { return service == WP_SERVICE_META ? WP_ENTITY_TARGET_META : WP_ENTITY_TARGET_STORAGE; }

/* A folder that was in use before comes with its number: accepted when the state was lost and the number is free. Numbers are
 * never given twice: objects and inodes of a removed target must not be taken for those of a new one. */
static int check_new_target(struct mgmtd *m, const struct wp_register_target_req *in, uint32_t *id)
{
	*id = in->wanted;
	if (m->locked)
		return -WEFT_ELOCKED;
	if (in->wanted == WP_TARGET_NONE)
		*id = *next_number(m, in->service);
	else if (wp_uuid_is_zero(&in->cluster))
		return -EINVAL;
	if (!number_is_valid(in->service, *id))
		return in->wanted == WP_TARGET_NONE ? -ENOSPC : -EINVAL;
	if (mg_target_by_id(m, in->service, *id))
		return -WEFT_ECONFLICT;
	if (in->alias.len && (!mg_alias_is_valid(in->alias)))
		return -EINVAL;
	if (in->alias.len && mg_alias_is_taken(m, entity_of(in->service), in->alias, NULL))
		return -WEFT_ECONFLICT;
	if (in->pool.len && (in->service != WP_SERVICE_STORAGE || !mg_pool_by_alias(m, in->pool)))
		return -EINVAL;
	return 0;
}

/* A known folder. Two processes that serve copies of it at the same time would corrupt files. */
static int check_known_target(struct mgmtd *m, const struct mtarget *t, const struct wp_register_target_req *in)
{
	if (in->wanted != WP_TARGET_NONE && in->wanted != t->id)
		return -WEFT_ECONFLICT;
	if (t->node != in->node && t->state != WP_TARGET_STATE_OFFLINE)
		return -WEFT_ECONFLICT;
	return 0;
}

static struct mtarget *add_target(struct mgmtd *m, const struct wp_register_target_req *in, uint32_t id)
{
	struct mtarget *t = mg_target_new(m, in->service, id, &in->uuid);
	uint32_t *next = next_number(m, in->service);

	*next = MAX(*next, id + 1);
	if (in->alias.len)
		mg_alias_set(t->alias, in->alias);
	else
		assign_alias(m, entity_of(in->service), in->service == WP_SERVICE_META ? "meta" : "storage", id, t, t->alias);
	if (in->pool.len)
		t->pool = mg_pool_by_alias(m, in->pool)->id;
	log_info("mgmtd", "new target %s (number %u) of node %u", t->alias, id, in->node);
	return t;
}

static void reply_target(struct mgmtd *m, struct rpc_req *req, const struct mtarget *t)
{
	struct wp_register_target_rep out = { .target = t->id, .alias = wp_str(t->alias), .map_version = m->version };
	struct wp_enc e = rpc_reply_enc(req, 256);

	wp_register_target_rep_enc(&e, &out);
	m->counters[MGMTD_C_REGISTRATIONS]++;
	mg_reply_durable(m, req, &e);
}

static int check_target(struct mgmtd *m, struct rpc_req *req, const struct wp_register_target_req *in)
{
	uint16_t role = rpc_conn_role(req->conn);
	const struct mnode *n = mg_node_by_id(m, in->node);

	if ((role != WP_ROLE_META || in->service != WP_SERVICE_META) && (role != WP_ROLE_STORAGE || in->service != WP_SERVICE_STORAGE))
		return -WEFT_EDENIED;
	if (!n)
		return -ENOENT;
	if (n->role != role)
		return -WEFT_EDENIED;
	if (!wp_uuid_is_zero(&in->cluster) && !wp_uuid_eq(&in->cluster, &m->cluster))
		return -WEFT_EFOREIGN;
	if (in->format > TARGET_FORMAT)
		return -WEFT_ENEWER;
	return wp_uuid_is_zero(&in->uuid) ? -EINVAL : 0;
}

void mg_on_register_target(struct mgmtd *m, struct rpc_req *req)
{
	struct wp_register_target_req in;
	struct mtarget *t = NULL;
	uint32_t id = 0;
	bool changed;
	int r = wp_register_target_req_decode(req->body, req->hdr.body_len, NULL, 0, &in);

	if (r < 0)
		return rpc_reply_err(req, r);
	r = check_target(m, req, &in);
	if (!r)
		t = mg_target_by_uuid(m, in.service, &in.uuid);
	if (!r)
		r = t ? check_known_target(m, t, &in) : check_new_target(m, &in, &id);
	if (r < 0)
		return refuse(m, req, r, "a target");
	changed = !t;
	if (!t)
		t = add_target(m, &in, id);
	changed |= t->node != in.node;
	t->node = in.node;
	t->space = in.space;
	t->space.id = t->id;
	t->space.service = t->service;
	t->has_space = true;
	if (changed) {
		mg_state_save_target(m, t);
		mg_change(m);
		mg_classify_all(m);
	}
	reply_target(m, req, t);
}
