/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Signs of life, and what their absence and the reported space mean. */
#include "base/log.h"
#include "mgmtd/mgmtd_priv.h"

#define BEAT_SCRATCH (256u * sizeof(struct wp_target_space) + 64)

/* ---- states -------------------------------------------------------------------------------------------------------------------- */

bool mg_target_set_alive(struct mgmtd *m, struct mtarget *t, bool alive)
{
	uint8_t state = !alive ? WP_TARGET_STATE_OFFLINE : t->draining ? WP_TARGET_STATE_DRAINING : WP_TARGET_STATE_ONLINE;

	if (t->state == state)
		return false;
	log_notice("mgmtd", "target %s is %s", t->alias, wp_target_state_name(state));
	t->state = state;
	mg_state_save_target(m, t);
	return true;
}

static bool node_set_alive(struct mgmtd *m, struct mnode *n, bool alive)
{
	uint8_t state = alive ? WP_TARGET_STATE_ONLINE : WP_TARGET_STATE_OFFLINE;

	if (n->state == state)
		return false;
	n->state = state;
	mg_state_save_node(m, n);
	return true;
}

/* ---- connections ----------------------------------------------------------------------------------------------------------------- */

/* A connection remembers the number of its node, since nodes may go before their connections. */
void mg_node_seen(struct mgmtd *m, struct mnode *n, struct rpc_conn *conn)
{
	n->seen_ns = env_mono_ns(m->env);
	n->conn = conn;
	rpc_conn_set_data(conn, (void *)(uintptr_t)n->id);
}

void mg_node_conn_down(void *ctx, struct rpc_conn *conn)
{
	struct mgmtd *m = ctx;
	struct mnode *n = mg_node_by_id(m, (uint32_t)(uintptr_t)rpc_conn_data(conn));

	if (n && n->conn == conn)
		n->conn = NULL;
}

bool mg_node_is_alive_elsewhere(struct mgmtd *m, const struct mnode *n, const struct rpc_conn *conn)
{
	uint64_t silent_ns = env_mono_ns(m->env) - n->seen_ns;

	return n->conn && n->conn != conn && silent_ns < 3 * m->p.heartbeat_ms * NSEC_PER_MSEC;
}

/* ---- classes ------------------------------------------------------------------------------------------------------------------- */

static bool classify_group(struct mgmtd *m, uint16_t service, uint32_t pool, struct mtarget **group, struct capacity_item *items)
{
	bool changed = false;
	struct mtarget *t;
	unsigned n = 0;

	list_each (t, &m->targets, link) {
		if (t->service != service || t->pool != pool || !t->has_space)
			continue;
		group[n] = t;
		items[n++] = (struct capacity_item){ .space = &t->space, .was = t->capacity };
	}
	capacity_classify(service == WP_SERVICE_META ? &m->p.meta : &m->p.storage, items, n);
	for (unsigned i = 0; i < n; i++) {
		if (group[i]->capacity == items[i].now)
			continue;
		log_notice("mgmtd", "capacity of target %s is %s", group[i]->alias, wp_capacity_name(items[i].now));
		group[i]->capacity = items[i].now;
		mg_state_save_target(m, group[i]);
		changed = true;
	}
	return changed;
}

void mg_classify_all(struct mgmtd *m)
{
	size_t n = m->counters[MGMTD_C_TARGETS] + 1;
	cleanup_free struct mtarget **group = xcalloc(n, sizeof(*group));
	cleanup_free struct capacity_item *items = xcalloc(n, sizeof(*items));
	bool changed = classify_group(m, WP_SERVICE_META, 0, group, items);
	struct mpool *p;

	list_each (p, &m->pools, link)
		changed |= classify_group(m, WP_SERVICE_STORAGE, p->id, group, items);
	if (changed)
		mg_change(m);
}

/* ---- heartbeats ----------------------------------------------------------------------------------------------------------------- */

static bool take_row(struct mgmtd *m, const struct mnode *n, const struct wp_target_space *row)
{
	struct mtarget *t = mg_target_by_id(m, row->service, row->id);

	if (!t || t->node != n->id)
		return false; /* moved to another node meanwhile, or removed */
	t->space = *row;
	t->has_space = true;
	t->seen_ns = n->seen_ns;
	return mg_target_set_alive(m, t, true);
}

void mg_on_heartbeat(struct mgmtd *m, struct rpc_req *req)
{
	struct wp_heartbeat_rep out = { 0 };
	struct wp_heartbeat_req in;
	bool changed;
	struct mnode *n;
	struct wp_enc e;
	void *scratch = req->hdr.body_len > 64 ? arena_alloc(&req->arena, BEAT_SCRATCH) : NULL;
	int r = wp_heartbeat_req_decode(req->body, req->hdr.body_len, scratch, scratch ? BEAT_SCRATCH : 0, &in);

	if (r == -ENOMEM && !scratch) {
		scratch = arena_alloc(&req->arena, BEAT_SCRATCH);
		r = wp_heartbeat_req_decode(req->body, req->hdr.body_len, scratch, BEAT_SCRATCH, &in);
	}
	if (r < 0)
		return rpc_reply_err(req, r);
	n = mg_node_by_id(m, in.node);
	if (!n || n->role != rpc_conn_role(req->conn))
		return rpc_reply_err(req, -ENOENT);
	m->counters[MGMTD_C_HEARTBEATS]++;
	mg_node_seen(m, n, req->conn);
	changed = node_set_alive(m, n, true);
	for (uint32_t i = 0; i < in.targets_n; i++)
		changed |= take_row(m, n, &in.targets[i]);
	if (changed) {
		mg_change(m);
		mg_classify_all(m);
	}
	out.map_version = m->version;
	e = rpc_reply_enc(req, 32);
	wp_heartbeat_rep_enc(&e, &out);
	mg_reply_durable(m, req, &e);
}

/* ---- silence -------------------------------------------------------------------------------------------------------------------- */

static bool targets_off(struct mgmtd *m, uint32_t node)
{
	bool changed = false;
	struct mtarget *t;

	list_each (t, &m->targets, link)
		if (t->node == node)
			changed |= mg_target_set_alive(m, t, false);
	return changed;
}

void mg_on_unregister_node(struct mgmtd *m, struct rpc_req *req)
{
	struct wp_unregister_node_req in;
	uint16_t role = rpc_conn_role(req->conn);
	bool changed = true;
	struct mnode *n;
	struct wp_enc e;
	int r = wp_unregister_node_req_decode(req->body, req->hdr.body_len, NULL, 0, &in);

	if (r < 0)
		return rpc_reply_err(req, r);
	n = mg_node_by_id(m, in.node);
	if (n && n->role != role && role != WP_ROLE_ADMIN)
		return rpc_reply_err(req, -WEFT_EDENIED);
	if (!n) {
		changed = false; /* gone already: what was wanted */
	} else if (n->role == WP_ROLE_CLIENT) {
		mg_state_del_node(m, n);
	} else {
		changed = targets_off(m, n->id);
		changed |= node_set_alive(m, n, false);
	}
	if (changed)
		mg_change(m);
	e = rpc_reply_enc(req, 32);
	wp_unregister_node_rep_enc(&e, &(struct wp_unregister_node_rep){ .map_version = m->version });
	mg_reply_durable(m, req, &e);
}

static bool is_silent(uint64_t seen_ns, uint64_t now, uint32_t limit_ms) { return now - seen_ns > limit_ms * NSEC_PER_MSEC; }

static bool check_nodes(struct mgmtd *m, uint64_t now)
{
	struct mnode *n, *tmp;
	bool changed = false;

	list_each_safe (n, tmp, &m->nodes, link) {
		bool client = n->role == WP_ROLE_CLIENT;

		if (!is_silent(n->seen_ns, now, client ? m->p.client_offline_ms : m->p.offline_ms))
			continue;
		if (client) {
			log_info("mgmtd", "client %s is gone", n->alias);
			mg_state_del_node(m, n);
			changed = true;
		} else {
			changed |= node_set_alive(m, n, false);
		}
	}
	return changed;
}

static uint64_t tick_ns(const struct mgmtd *m)
{
	uint64_t ms = MIN(m->p.offline_ms, m->p.client_offline_ms) / 4;

	return MIN(MAX(ms, 50u), 2500u) * NSEC_PER_MSEC;
}

static void tick(void *arg)
{
	struct mgmtd *m = arg;
	uint64_t now = env_mono_ns(m->env);
	struct mtarget *t;
	bool changed;

	OBJ_CHECK(m, MGMTD_MAGIC);
	env_timer_in(m->env, &m->tick, tick_ns(m));
	if (!m->ready || m->failed)
		return;
	changed = check_nodes(m, now);
	list_each (t, &m->targets, link)
		if (t->state != WP_TARGET_STATE_OFFLINE && is_silent(t->seen_ns, now, m->p.offline_ms))
			changed |= mg_target_set_alive(m, t, false);
	if (changed)
		mg_change(m);
	mg_classify_all(m);
}

void mg_tick_start(struct mgmtd *m)
{
	m->tick = (struct env_timer){ .fn = tick, .arg = m };
	env_timer_in(m->env, &m->tick, tick_ns(m));
}
