/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The messages about the whole target: space, list of objects, sync, counters. */
#include "storage/storage_priv.h"

#define LIST_MAX 4096u /* objects of one obj_list reply */

void storage_target_space(struct storage_target *t, struct wp_target_space *ret)
{
	struct osd_space s = { 0 };

	t->dev->ops->statfs(t->dev, &s);
	*ret = (struct wp_target_space){ .id = t->params.target, .service = WP_SERVICE_STORAGE, .total = s.total, .free = s.free,
					 .inodes = s.inodes, .inodes_free = s.inodes_free };
}

static void reply_enc(struct storage_target *t, struct rpc_req *req, const struct wp_enc *e)
{
	struct rpc_reply r = { .body = e->p, .body_len = e->len, .credits = storage_credits(t) };

	weft_assert(!e->err);
	rpc_reply(req, &r);
}

static void handle_statfs(struct storage_target *t, struct rpc_req *req)
{
	struct wp_target_statfs_req m;
	struct wp_target_statfs_rep rep = { 0 };
	int err = wp_target_statfs_req_decode(req->body, req->hdr.body_len, NULL, 0, &m);
	struct wp_enc e;

	if (err) {
		storage_fail(t, req, err);
		return;
	}
	storage_target_space(t, &rep.space);
	e = rpc_reply_enc(req, 64);
	wp_target_statfs_rep_enc(&e, &rep);
	reply_enc(t, req, &e);
}

static void handle_list(struct storage_target *t, struct rpc_req *req)
{
	struct wp_obj_list_req m;
	struct wp_obj_list_rep rep = { 0 };
	int err = wp_obj_list_req_decode(req->body, req->hdr.body_len, NULL, 0, &m);
	uint16_t role = rpc_conn_role(req->conn);
	unsigned n = 0;
	struct wp_enc e;

	if (!err && !storage_is_server(role) && role != WP_ROLE_ADMIN)
		err = -WEFT_EDENIED;
	if (!err && m.max == 0)
		err = -EINVAL;
	if (!err) {
		unsigned max = MIN(m.max, LIST_MAX);

		rep.objs = arena_alloc(&req->arena, max * sizeof(*rep.objs));
		err = t->dev->ops->list(t->dev, &m.after, rep.objs, max, &n);
		rep.eof = n < max;
	}
	if (err) {
		storage_fail(t, req, err);
		return;
	}
	rep.objs_n = n;
	e = rpc_reply_enc(req, 64 + (size_t)n * WP_OBJID_MIN);
	wp_obj_list_rep_enc(&e, &rep);
	reply_enc(t, req, &e);
}

static void sync_done(void *arg, int err)
{
	struct rpc_req *req = arg;
	struct storage_target *t = req->priv;
	struct wp_target_sync_rep rep = { .verifier = t->dev->ops->verifier(t->dev) };

	OBJ_CHECK(t, STORAGE_TARGET_MAGIC);
	t->syncs--;
	if (err) {
		storage_fail(t, req, err);
	} else {
		struct wp_enc e = rpc_reply_enc(req, 64);

		wp_target_sync_rep_enc(&e, &rep);
		reply_enc(t, req, &e);
	}
	storage_stop_check(t);
}

static void handle_sync(struct storage_target *t, struct rpc_req *req)
{
	struct wp_target_sync_req m;
	int err = wp_target_sync_req_decode(req->body, req->hdr.body_len, NULL, 0, &m);

	if (err) {
		storage_fail(t, req, err);
		return;
	}
	/* What still waits for admission was not acknowledged. */
	req->priv = t;
	t->syncs++;
	t->dev->ops->sync(t->dev, sync_done, req);
}

struct rows {
	struct arena *arena;
	struct wp_counter *rows;
	unsigned n;
};

static void add_row(struct rows *r, const char *name, uint64_t value, const char *unit)
{
	r->rows[r->n++] = (struct wp_counter){ .name = wp_str(name), .value = value, .unit = wp_str(unit) };
}

static void add_latency(struct rows *r, const char *what, const uint64_t *buckets)
{
	for (unsigned i = 0; i < STORAGE_LATENCY_BUCKETS; i++) {
		char name[48];
		int len;

		if (i + 1 < STORAGE_LATENCY_BUCKETS)
			len = snprintf(name, sizeof(name), "%s_latency_below_%uus", what, 16u << i);
		else
			len = snprintf(name, sizeof(name), "%s_latency_above", what);
		add_row(r, arena_dup(r->arena, name, (size_t)len + 1), buckets[i], "ops");
	}
}

unsigned storage_target_counter_rows(const struct storage_target *t, struct arena *a, struct wp_counter **ret)
{
	struct rows r = { .arena = a };

	r.rows = arena_alloc(a, sizeof(struct storage_counters) / sizeof(uint64_t) * sizeof(*r.rows));
#define X(name, unit, text) add_row(&r, #name, t->n.name, unit);
	STORAGE_COUNTERS(X)
#undef X
	add_latency(&r, "read", t->n.read_latency);
	add_latency(&r, "write", t->n.write_latency);
	*ret = r.rows;
	return r.n;
}

static void handle_counters(struct storage_target *t, struct rpc_req *req)
{
	struct wp_counters_req m;
	struct wp_counters_rep rep = { 0 };
	int err = wp_counters_req_decode(req->body, req->hdr.body_len, NULL, 0, &m);
	struct wp_enc e;

	if (err) {
		storage_fail(t, req, err);
		return;
	}
	rep.counters_n = storage_target_counter_rows(t, &req->arena, &rep.counters);
	e = rpc_reply_enc(req, 64 + (size_t)rep.counters_n * (WP_COUNTER_MIN + 64 + 16));
	wp_counters_rep_enc(&e, &rep);
	reply_enc(t, req, &e);
}

bool storage_admin_request(struct storage_target *t, struct rpc_req *req)
{
	switch (req->hdr.opcode) {
	case WP_OP_TARGET_STATFS: handle_statfs(t, req); return true;
	case WP_OP_OBJ_LIST: handle_list(t, req); return true;
	case WP_OP_TARGET_SYNC: handle_sync(t, req); return true;
	case WP_OP_COUNTERS: handle_counters(t, req); return true;
	default: return false;
	}
}
