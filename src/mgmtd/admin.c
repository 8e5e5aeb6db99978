/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What administrators change. A request that comes a second time because its answer was lost (RESENT) and finds its work done is
 * answered with success.
 */
#include "mgmtd/mgmtd_priv.h"

static bool is_resent(const struct rpc_req *req) { return (req->hdr.flags & WP_HDR_RESENT) != 0; }

/* Most replies are a map version alone; their encodings are the same. */
static void reply_version(struct mgmtd *m, struct rpc_req *req)
{
	struct wp_enc e = rpc_reply_enc(req, 32);

	wp_set_alias_rep_enc(&e, &(struct wp_set_alias_rep){ .map_version = m->version });
	mg_reply_durable(m, req, &e);
}

/* ---- names ---------------------------------------------------------------------------------------------------------------------- */

static uint16_t service_of(uint8_t entity) { return entity == WP_ENTITY_TARGET_META ? WP_SERVICE_META : WP_SERVICE_STORAGE; }

/* Where the entity keeps its alias; NULL: there is none. */
static char *alias_of(struct mgmtd *m, uint8_t entity, uint32_t id, void **ret)
{
	struct mtarget *t;
	struct mnode *n;
	struct mpool *p;

	switch (entity) {
	case WP_ENTITY_NODE:
		*ret = n = mg_node_by_id(m, id);
		return n ? n->alias : NULL;
	case WP_ENTITY_TARGET_META:
	case WP_ENTITY_TARGET_STORAGE:
		*ret = t = mg_target_by_id(m, service_of(entity), id);
		return t ? t->alias : NULL;
	case WP_ENTITY_POOL:
		*ret = p = mg_pool_by_id(m, id);
		return p ? p->alias : NULL;
	default:
		return NULL;
	}
}

static void save_entity(struct mgmtd *m, uint8_t entity, const void *what)
{
	struct mtarget *t;

	if (entity == WP_ENTITY_NODE) {
		mg_state_save_node(m, what);
	} else if (entity == WP_ENTITY_POOL) {
		mg_state_save_pool(m, what);
		list_each (t, &m->targets, link) /* their records name the pool as well */
			if (t->pool == ((const struct mpool *)what)->id)
				mg_state_save_target(m, t);
	} else {
		mg_state_save_target(m, what);
	}
}

void mg_on_set_alias(struct mgmtd *m, struct rpc_req *req)
{
	struct wp_set_alias_req in;
	void *what = NULL;
	char *alias;
	int r = wp_set_alias_req_decode(req->body, req->hdr.body_len, NULL, 0, &in);

	if (r < 0)
		return rpc_reply_err(req, r);
	alias = alias_of(m, in.entity, in.id, &what);
	if (!alias)
		return rpc_reply_err(req, -ENOENT);
	if (!mg_alias_is_valid(in.alias) || (in.entity == WP_ENTITY_POOL && in.id == POOL_DEFAULT_ID))
		return rpc_reply_err(req, -EINVAL);
	if (mg_alias_is_taken(m, in.entity, in.alias, what))
		return rpc_reply_err(req, -WEFT_ECONFLICT);
	if (!wp_str_eq(wp_str(alias), in.alias)) {
		mg_alias_set(alias, in.alias);
		save_entity(m, in.entity, what);
		mg_change(m);
	}
	reply_version(m, req);
}

/* ---- targets -------------------------------------------------------------------------------------------------------------------- */

void mg_on_set_target_state(struct mgmtd *m, struct rpc_req *req)
{
	struct wp_set_target_state_req in;
	struct mtarget *t;
	bool draining;
	int r = wp_set_target_state_req_decode(req->body, req->hdr.body_len, NULL, 0, &in);

	if (r < 0)
		return rpc_reply_err(req, r);
	if (in.state != WP_TARGET_STATE_ONLINE && in.state != WP_TARGET_STATE_DRAINING)
		return rpc_reply_err(req, -EINVAL);
	t = mg_target_by_id(m, in.service, in.target);
	if (!t)
		return rpc_reply_err(req, -ENOENT);
	draining = in.state == WP_TARGET_STATE_DRAINING;
	if (draining != t->draining) {
		t->draining = draining;
		mg_state_save_target(m, t);
		(void)mg_target_set_alive(m, t, t->state != WP_TARGET_STATE_OFFLINE);
		mg_change(m);
	}
	reply_version(m, req);
}

/* ---- pools ---------------------------------------------------------------------------------------------------------------------- */

void mg_on_pool_create(struct mgmtd *m, struct rpc_req *req)
{
	char alias[WP_ALIAS_MAX + 1];
	struct wp_pool_create_req in;
	struct mpool *p;
	struct wp_enc e;
	unsigned n = 0;
	int r = wp_pool_create_req_decode(req->body, req->hdr.body_len, NULL, 0, &in);

	if (!r && !mg_alias_is_valid(in.alias))
		r = -EINVAL;
	if (!r)
		r = wp_str_copy(alias, sizeof(alias), in.alias);
	if (r < 0)
		return rpc_reply_err(req, r);
	list_each (p, &m->pools, link)
		n++;
	p = mg_pool_by_alias(m, in.alias);
	if (p && !is_resent(req))
		return rpc_reply_err(req, -EEXIST);
	if (!p && n >= WP_POOLS_MAX)
		return rpc_reply_err(req, -ENOSPC);
	if (!p) {
		p = mg_pool_new(m, m->next_pool++, alias);
		mg_state_save_pool(m, p);
		mg_change(m);
	}
	e = rpc_reply_enc(req, 32);
	wp_pool_create_rep_enc(&e, &(struct wp_pool_create_rep){ .pool = p->id, .map_version = m->version });
	mg_reply_durable(m, req, &e);
}

static bool pool_is_used(struct mgmtd *m, uint32_t id)
{
	struct mtarget *t;

	list_each (t, &m->targets, link)
		if (t->pool == id)
			return true;
	return false;
}

void mg_on_pool_delete(struct mgmtd *m, struct rpc_req *req)
{
	struct wp_pool_delete_req in;
	struct mpool *p;
	int r = wp_pool_delete_req_decode(req->body, req->hdr.body_len, NULL, 0, &in);

	if (r < 0)
		return rpc_reply_err(req, r);
	p = mg_pool_by_id(m, in.pool);
	if (!p && !is_resent(req))
		return rpc_reply_err(req, -ENOENT);
	if (p && p->id == POOL_DEFAULT_ID)
		return rpc_reply_err(req, -EINVAL);
	if (p && pool_is_used(m, p->id))
		return rpc_reply_err(req, -EBUSY);
	if (p) {
		mg_state_del_pool(m, p);
		mg_change(m);
	}
	reply_version(m, req);
}

void mg_on_pool_assign(struct mgmtd *m, struct rpc_req *req)
{
	struct wp_pool_assign_req in;
	struct mtarget *t;
	struct mpool *p;
	int r = wp_pool_assign_req_decode(req->body, req->hdr.body_len, NULL, 0, &in);

	if (r < 0)
		return rpc_reply_err(req, r);
	t = mg_target_by_id(m, WP_SERVICE_STORAGE, in.target);
	p = mg_pool_by_alias(m, in.pool);
	if (!t || !p)
		return rpc_reply_err(req, -ENOENT);
	if (t->pool != p->id) {
		t->pool = p->id;
		mg_state_save_target(m, t);
		mg_change(m);
		mg_classify_all(m);
	}
	reply_version(m, req);
}

/* ---- membership ------------------------------------------------------------------------------------------------------------------ */

void mg_on_registration_lock(struct mgmtd *m, struct rpc_req *req)
{
	struct wp_registration_lock_req in;
	int r = wp_registration_lock_req_decode(req->body, req->hdr.body_len, NULL, 0, &in);

	if (r < 0)
		return rpc_reply_err(req, r);
	if (m->locked != (in.locked != 0)) {
		m->locked = in.locked != 0;
		mg_change(m);
	}
	reply_version(m, req);
}

/* 0: removed. Without force only what is offline goes; never a node that still has targets. */
static int remove_node(struct mgmtd *m, uint32_t id, bool force)
{
	struct mnode *n = mg_node_by_id(m, id);
	struct mtarget *t;

	if (!n)
		return -ENOENT;
	list_each (t, &m->targets, link)
		if (t->node == id)
			return -EBUSY;
	if (n->state != WP_TARGET_STATE_OFFLINE && !force)
		return -EBUSY;
	mg_state_del_node(m, n);
	return 0;
}

/* Metadata target 0 has the root directory: without it there is no file system. */
static int remove_target(struct mgmtd *m, uint16_t service, uint32_t id, bool force)
{
	struct mtarget *t = mg_target_by_id(m, service, id);

	if (!t)
		return -ENOENT;
	if (service == WP_SERVICE_META && !id)
		return -EINVAL;
	if (t->state != WP_TARGET_STATE_OFFLINE && !force)
		return -EBUSY;
	mg_state_del_target(m, t);
	return 0;
}

void mg_on_remove(struct mgmtd *m, struct rpc_req *req)
{
	struct wp_remove_req in;
	int r = wp_remove_req_decode(req->body, req->hdr.body_len, NULL, 0, &in);

	if (r < 0)
		return rpc_reply_err(req, r);
	if (in.entity == WP_ENTITY_NODE)
		r = remove_node(m, in.id, in.force);
	else if (in.entity == WP_ENTITY_TARGET_META || in.entity == WP_ENTITY_TARGET_STORAGE)
		r = remove_target(m, service_of(in.entity), in.id, in.force);
	else
		r = -EINVAL;
	if (r == -ENOENT && is_resent(req))
		return reply_version(m, req);
	if (r < 0)
		return rpc_reply_err(req, r);
	mg_change(m);
	reply_version(m, req);
}
