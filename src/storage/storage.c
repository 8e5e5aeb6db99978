/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "storage/storage.h"

#include "storage/storage_priv.h"

void storage_objstat(const struct osd_objstat *s, struct wp_objstat *ret)
{
	*ret = (struct wp_objstat){ .size = s->size, .blocks = s->blocks, .version = s->version,
				    .mtime = { .sec = (int64_t)(s->mtime_ns / NSEC_PER_SEC),
					       .nsec = (uint32_t)(s->mtime_ns % NSEC_PER_SEC) } };
}

static bool changes(const struct storage_msg *msg)
{
	return msg->io == OSD_WRITE || msg->io == OSD_ALLOC || msg->io == OSD_TRUNCATE || msg->io == OSD_DESTROY;
}

static void target_request(void *ctx, struct rpc_req *req)
{
	struct storage_target *t = ctx;
	const struct storage_msg *msg;
	struct storage_op *op;
	int err;

	OBJ_CHECK(t, STORAGE_TARGET_MAGIC);
	if (t->stopping) {
		storage_fail(t, req, -WEFT_ENOTREADY);
		return;
	}
	msg = storage_msg_find(req->hdr.opcode);
	if (!msg) {
		if (!storage_admin_request(t, req))
			storage_fail(t, req, -EOPNOTSUPP);
		return;
	}
	op = arena_zalloc(&req->arena, sizeof(*op));
	OBJ_INIT(op, STORAGE_OP_MAGIC);
	op->target = t;
	op->req = req;
	op->msg = msg;
	op->cost = WP_BLOCK_SIZE;
	op->start_ns = env_mono_ns(t->env);
	err = msg->decode(op);
	if (!err && changes(msg) && storage_fence_stale(t, req)) {
		t->n.stale_dropped++;
		err = -WEFT_ENOTREADY;
	}
	if (!err)
		err = storage_access(t, op);
	if (err)
		storage_fail(t, req, err);
	else
		storage_admit(op);
}

static void latency_names(char names[][STORAGE_ROW_NAME], const char *what)
{
	for (unsigned i = 0; i + 1 < STORAGE_LATENCY_BUCKETS; i++)
		(void)snprintf(names[i], STORAGE_ROW_NAME, "%s_latency_below_%uus", what, 16u << i);
	(void)snprintf(names[STORAGE_LATENCY_BUCKETS - 1], STORAGE_ROW_NAME, "%s_latency_above", what);
}

int storage_target_open(const struct storage_params *params, struct storage_target **ret)
{
	struct storage_target *t;

	if (params->target == 0 || params->target == WP_TARGET_NONE)
		return -EINVAL;
	t = NEW(struct storage_target);
	OBJ_INIT(t, STORAGE_TARGET_MAGIC);
	t->params = *params;
	if (!t->params.inflight_bytes)
		t->params.inflight_bytes = STORAGE_INFLIGHT_BYTES_DEFAULT;
	if (!t->params.queued_bytes)
		t->params.queued_bytes = STORAGE_QUEUED_BYTES_DEFAULT;
	if (!t->params.cap_grace_s)
		t->params.cap_grace_s = STORAGE_CAP_GRACE_S;
	t->env = params->env;
	t->dev = params->dev;
	t->pool = io_pool_new(t->env);
	t->svc = (struct rpc_service){ .service = WP_SERVICE_STORAGE, .target = params->target, .boot_epoch = params->boot_epoch,
				       .ctx = t, .request = target_request, .conn_up = storage_fence_up,
				       .conn_down = storage_fence_down };
	latency_names(t->read_names, "read");
	latency_names(t->write_names, "write");
	cap_key_init(&t->cap_key, params->cap_key);
	memset(t->params.cap_key, 0, sizeof(t->params.cap_key));
	capcache_init(&t->caps, env_random_u64(t->env));
	storage_fence_init(t);
	list_init(&t->queue);
	*ret = t;
	return 0;
}

struct rpc_service *storage_target_service(struct storage_target *t) { return &t->svc; }

const struct storage_counters *storage_target_counters(const struct storage_target *t) { return &t->n; }

void storage_target_stop(struct storage_target *t, env_fn *fn, void *arg)
{
	weft_assert(!t->stopping);
	t->stopping = true;
	t->stopped = fn;
	t->stopped_arg = arg;
	storage_admit_kick(t);
	storage_stop_check(t);
}

void storage_target_free(struct storage_target *t)
{
	if (!t)
		return;
	OBJ_CHECK(t, STORAGE_TARGET_MAGIC);
	OBJ_FINI(t);
	capcache_done(&t->caps);
	storage_fence_done(t);
	io_pool_free(t->pool);
	free(t);
}
