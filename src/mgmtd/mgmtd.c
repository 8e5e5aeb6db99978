/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "mgmtd/mgmtd.h"

#include "base/log.h"
#include "mgmtd/mgmtd_priv.h"

const struct counter_info mgmtd_counter_info[] = { MGMTD_COUNTERS(COUNTERS_ROW) COUNTERS_END };

/* ---- batches ------------------------------------------------------------------------------------------------------------------ */

struct waiting_reply {
	const void *body;
	size_t len;
};

static void submit_next(void *arg);

static void batch_init(struct batch *b)
{
	*b = (struct batch){ 0 };
	osd_txn_init(&b->txn);
	list_init(&b->replies);
}

static void batch_done(struct batch *b)
{
	osd_txn_done(&b->txn);
	buf_done(&b->map);
}

static void send_replies(struct list *replies, int err)
{
	struct rpc_req *req;

	while ((req = list_pop(replies, struct rpc_req, node)) != NULL) {
		const struct waiting_reply *w = req->priv;

		rpc_reply(req, &(struct rpc_reply){ .err = err, .body = err ? NULL : w->body, .body_len = err ? 0 : w->len });
	}
}

static void maybe_stopped(struct mgmtd *m)
{
	if (!m->stop_fn || m->in_flight || m->submit_queued)
		return;
	m->stop_task = (struct env_task){ .fn = m->stop_fn, .arg = m->stop_arg };
	m->stop_fn = NULL;
	env_post(m->env, &m->stop_task);
}

static void publish(struct mgmtd *m)
{
	struct buf oldest = m->old_map;

	m->old_map = m->map;
	m->old_version = m->map_version;
	m->map = m->flying.map;
	m->flying.map = oldest;
	m->map_version = m->flying.version;
	m->ready = true;
	m->counters[MGMTD_C_MAP_BYTES] = m->map.len;
	mg_map_wake(m, 0);
}

static void committed(void *arg, int err)
{
	struct mgmtd *m = arg;

	OBJ_CHECK(m, MGMTD_MAGIC);
	m->in_flight = false;
	m->counters[MGMTD_C_COMMITS]++;
	if (err < 0) {
		/* Memory is ahead of the disk for good: nothing more may be promised. */
		log_err("mgmtd", "cannot save the cluster's state: %s. Free space or replace the disk, then start weft-mgmtd again",
			strerror(-wp_err_to_errno(err)));
		m->failed = true;
		send_replies(&m->flying.replies, -EIO);
		send_replies(&m->next.replies, -EIO);
	} else {
		publish(m);
		send_replies(&m->flying.replies, 0);
		if (m->next.dirty && !m->submit_queued)
			submit_next(m);
	}
	maybe_stopped(m);
}

/* Runs from the reactor's loop, so that everything that one message or tick changes is one batch. */
static void submit_next(void *arg)
{
	struct mgmtd *m = arg;
	int r;

	OBJ_CHECK(m, MGMTD_MAGIC);
	m->submit_queued = false;
	if (m->in_flight || m->failed)
		return maybe_stopped(m);
	mg_state_save_cluster(m, &m->next.txn);
	mg_map_encode(m, &m->next.map);
	m->next.version = m->version;
	batch_done(&m->flying);
	m->flying = m->next;
	list_init(&m->flying.replies);
	list_splice(&m->flying.replies, &m->next.replies);
	batch_init(&m->next);
	m->in_flight = true;
	r = osd_txn_submit(m->p.dev, &m->flying.txn, OSD_SEQ_NONE, committed, m);
	if (r < 0)
		committed(m, r);
}

void mg_change(struct mgmtd *m)
{
	m->version++;
	m->counters[MGMTD_C_CHANGES]++;
	m->next.dirty = true;
	if (m->in_flight || m->submit_queued || m->failed)
		return;
	m->submit_queued = true;
	m->submit_task = (struct env_task){ .fn = submit_next, .arg = m };
	env_post(m->env, &m->submit_task);
}

void mg_reply_now(struct rpc_req *req, const struct wp_enc *e)
{
	rpc_reply(req, &(struct rpc_reply){ .err = e->err, .body = e->p, .body_len = e->err ? 0 : e->len });
}

void mg_reply_durable(struct mgmtd *m, struct rpc_req *req, const struct wp_enc *e)
{
	struct waiting_reply *w;

	if (m->failed)
		return rpc_reply_err(req, -EIO);
	if (e->err || (!m->next.dirty && !m->in_flight))
		return mg_reply_now(req, e);
	w = arena_alloc(&req->arena, sizeof(*w));
	*w = (struct waiting_reply){ e->p, e->len };
	req->priv = w;
	list_append(m->next.dirty ? &m->next.replies : &m->flying.replies, &req->node);
}

/* ---- requests ------------------------------------------------------------------------------------------------------------------- */

static const struct {
	uint16_t op;
	bool admin;
	void (*fn)(struct mgmtd *m, struct rpc_req *req);
} handlers[] = {
	{ WP_OP_REGISTER_NODE, false, mg_on_register_node },
	{ WP_OP_REGISTER_TARGET, false, mg_on_register_target },
	{ WP_OP_HEARTBEAT, false, mg_on_heartbeat },
	{ WP_OP_UNREGISTER_NODE, false, mg_on_unregister_node },
	{ WP_OP_MAP_GET, false, mg_on_map_get },
	{ WP_OP_SPACE_GET, false, mg_on_space_get },
	{ WP_OP_SET_ALIAS, true, mg_on_set_alias },
	{ WP_OP_SET_TARGET_STATE, true, mg_on_set_target_state },
	{ WP_OP_POOL_CREATE, true, mg_on_pool_create },
	{ WP_OP_POOL_DELETE, true, mg_on_pool_delete },
	{ WP_OP_POOL_ASSIGN, true, mg_on_pool_assign },
	{ WP_OP_REGISTRATION_LOCK, true, mg_on_registration_lock },
	{ WP_OP_REMOVE, true, mg_on_remove },
};

static void on_request(void *ctx, struct rpc_req *req)
{
	struct mgmtd *m = ctx;

	OBJ_CHECK(m, MGMTD_MAGIC);
	if (!m->ready || m->stopping)
		return rpc_reply_err(req, -WEFT_ENOTREADY);
	for (size_t i = 0; i < ARRAY_SIZE(handlers); i++) {
		if (handlers[i].op != req->hdr.opcode)
			continue;
		if (handlers[i].admin && rpc_conn_role(req->conn) != WP_ROLE_ADMIN)
			return rpc_reply_err(req, -WEFT_EDENIED);
		return handlers[i].fn(m, req);
	}
	rpc_reply_err(req, -EOPNOTSUPP);
}

/* ---- life ----------------------------------------------------------------------------------------------------------------------- */

static void set_default(uint32_t *v, uint32_t def)
{
	if (!*v)
		*v = def;
}

/* A device without state: a new cluster. */
static void make_state(struct mgmtd *m)
{
	m->cluster = m->p.cluster;
	if (wp_uuid_is_zero(&m->cluster)) {
		env_random(m->env, &m->cluster, sizeof(m->cluster));
		m->cluster.b[6] = (uint8_t)((m->cluster.b[6] & 0x0f) | 0x40);
		m->cluster.b[8] = (uint8_t)((m->cluster.b[8] & 0x3f) | 0x80);
	}
	env_random(m->env, m->key, sizeof(m->key));
	m->next_node = m->next_storage = 1;
	m->next_pool = POOL_DEFAULT_ID + 1;
	mg_state_save_pool(m, mg_pool_new(m, POOL_DEFAULT_ID, POOL_DEFAULT));
	mg_change(m);
}

static int load(struct mgmtd *m)
{
	int r = mg_state_load(m);

	if (r == -ENOENT) {
		make_state(m);
		return 0;
	}
	if (r < 0)
		return r;
	if (!wp_uuid_is_zero(&m->p.cluster) && !wp_uuid_eq(&m->p.cluster, &m->cluster))
		return -WEFT_EFOREIGN;
	mg_map_encode(m, &m->map);
	m->map_version = m->version;
	m->counters[MGMTD_C_MAP_BYTES] = m->map.len;
	m->ready = true;
	return 0;
}

int mgmtd_open(const struct mgmtd_params *params, struct mgmtd **ret)
{
	struct mgmtd *m = NEW(struct mgmtd);
	int r;

	OBJ_INIT(m, MGMTD_MAGIC);
	m->p = *params;
	m->env = params->env;
	set_default(&m->p.heartbeat_ms, MGMTD_HEARTBEAT_MS);
	set_default(&m->p.offline_ms, MGMTD_OFFLINE_MS);
	set_default(&m->p.client_heartbeat_ms, MGMTD_CLIENT_HEARTBEAT_MS);
	set_default(&m->p.client_offline_ms, MGMTD_CLIENT_OFFLINE_MS);
	m->service = (struct rpc_service){ .service = WP_SERVICE_MGMTD, .target = WP_TARGET_NONE, .boot_epoch = params->boot_epoch,
					   .ctx = m, .request = on_request, .conn_down = mg_node_conn_down };
	list_init(&m->nodes);
	list_init(&m->targets);
	list_init(&m->pools);
	list_init(&m->watchers);
	htab_init(&m->nodes_by_id);
	htab_init(&m->nodes_by_uuid);
	htab_init(&m->targets_by_id);
	htab_init(&m->targets_by_uuid);
	batch_init(&m->next);
	batch_init(&m->flying);
	r = load(m);
	if (r < 0) {
		mgmtd_free(m);
		return r;
	}
	mg_tick_start(m);
	*ret = m;
	return 0;
}

void mgmtd_show_self(struct mgmtd *m, const struct mgmtd_self *self)
{
	m->self = self;
	mg_change(m);
}

struct rpc_service *mgmtd_service(struct mgmtd *m) { return &m->service; }
const struct wp_uuid *mgmtd_cluster(const struct mgmtd *m) { return &m->cluster; }
uint32_t mgmtd_map_version(const struct mgmtd *m) { return m->map_version; }

void mgmtd_stop(struct mgmtd *m, env_fn *fn, void *arg)
{
	OBJ_CHECK(m, MGMTD_MAGIC);
	m->stopping = true;
	m->stop_fn = fn;
	m->stop_arg = arg;
	env_timer_cancel(m->env, &m->tick);
	mg_map_wake(m, -WEFT_ENOTREADY);
	maybe_stopped(m);
}

void mgmtd_free(struct mgmtd *m)
{
	OBJ_CHECK(m, MGMTD_MAGIC);
	env_timer_cancel(m->env, &m->tick);
	mg_state_free(m);
	batch_done(&m->next);
	batch_done(&m->flying);
	buf_done(&m->map);
	buf_done(&m->old_map);
	explicit_bzero(m->key, sizeof(m->key));
	OBJ_FINI(m);
	free(m);
}

unsigned mgmtd_counter_rows(struct mgmtd *m, struct wp_counter *rows, unsigned max)
{
	return counters_rows(mgmtd_counter_info, m->counters, rows, max);
}
