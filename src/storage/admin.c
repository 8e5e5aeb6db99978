/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The messages about the whole target: space, list of objects, sync; and its counters. */
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
	struct wp_counter *rows;
	uint32_t n, max;
};

static void add_row(struct rows *r, const char *name, uint64_t value, const char *unit)
{
	if (r->n < r->max)
		r->rows[r->n++] = (struct wp_counter){ .name = wp_str(name), .value = value, .unit = wp_str(unit) };
}

uint32_t storage_target_rows(const struct storage_target *t, struct wp_counter *ret, uint32_t max)
{
	struct rows r = { .rows = ret, .max = max };

#define X(name, unit, text) add_row(&r, #name, t->n.name, unit);
	STORAGE_COUNTERS(X)
#undef X
	for (unsigned i = 0; i < STORAGE_LATENCY_BUCKETS; i++)
		add_row(&r, t->read_names[i], t->n.read_latency[i], "ops");
	for (unsigned i = 0; i < STORAGE_LATENCY_BUCKETS; i++)
		add_row(&r, t->write_names[i], t->n.write_latency[i], "ops");
	return r.n;
}

bool storage_admin_request(struct storage_target *t, struct rpc_req *req)
{
	switch (req->hdr.opcode) {
	case WP_OP_TARGET_STATFS: handle_statfs(t, req); return true;
	case WP_OP_OBJ_LIST: handle_list(t, req); return true;
	case WP_OP_TARGET_SYNC: handle_sync(t, req); return true;
	default: return false;
	}
}
