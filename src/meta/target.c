/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Opening and closing a target.
 *
 *	journal_open -> replay into the device -> load counters, sessions, usage, queue -> first transaction -> durable -> RUNNING
 */
#include "base/log.h"
#include "meta/meta_priv.h"

#define STOP_POLL_MS 2u

uint64_t target_now(struct meta_target *mt)
{
	mt->now_ns = MAX(mt->now_ns, env_wall_ns(mt->env));
	return mt->now_ns;
}

void target_failed(struct meta_target *mt, int err)
{
	if (mt->state == META_FAILED)
		return;
	mt->state = META_FAILED;
	executor_fail_all(mt, -WEFT_ENOTREADY);
	if (mt->params.failed)
		mt->params.failed(mt->params.arg, err);
}

/* ---- counters of the target ----------------------------------------------------------------------------------------------------- */

void counter_put(struct op *op, const char *name, uint64_t v)
{
	uint8_t b[8];
	struct key k;

	wp_put_le64(b, v);
	key_counter(&k, name);
	osd_txn_put(&op->txn, key_slice(&k), osd_slice(b, sizeof(b)));
}

static uint64_t counter_get(struct meta_target *mt, const char *name, uint64_t none)
{
	struct osd_slice v;
	struct key k;

	key_counter(&k, name);
	return osd_get(mt->dev, key_slice(&k), &v) || v.len != 8 ? none : wp_get_le64(v.p);
}

/* ---- opening -------------------------------------------------------------------------------------------------------------------- */

static void make_root(struct op *op)
{
	struct wp_fid fid = WP_FID_ROOT;
	struct inode *i = ino_new(op, &fid, S_IFDIR | 0755);

	i->nlink = 2;
	i->uid = op->mt->params.root_uid;
	i->gid = op->mt->params.root_gid;
}

static void load_queue(struct meta_target *mt)
{
	struct osd_slice key, value;
	struct osd_iter it;
	struct key k;

	mt->next_q = 1;
	key_start(&k, KEY_QUEUE);
	osd_iter_init(&it, mt->dev, key_slice(&k));
	while (!table_next(&it, KEY_QUEUE, &key, &value)) {
		uint64_t q = key_get64((const uint8_t *)key.p + 1);
		uint8_t kind = value.len ? *(const uint8_t *)value.p : 0;

		mt->next_q = q + 1;
		if (kind == QUEUE_DESTROY)
			delete_load(mt, q, value);
		else if (kind == QUEUE_TRUNCATE)
			truncate_resume(mt, q, value);
	}
}

/* The first transaction of this start: boot epoch, our own sequence, at the first time the root. */
static int start_up(struct meta_target *mt)
{
	struct op *op = mop_internal(mt);
	uint64_t epoch = counter_get(mt, "boot_epoch", 0);
	int err;

	mt->boot_epoch = epoch + 1;
	mt->next_session = counter_get(mt, "next_session", 1);
	/* Counter 1 of target 0 is the root's. */
	mt->next_counter = counter_get(mt, "next_seq", WP_ROOT_SEQ + 1);
	if (!epoch && mt->params.target == 0)
		make_root(op);
	mt->own_seq = wp_fid_seq(mt->params.target, (uint32_t)mt->next_counter++);
	mt->own_oid = 0;
	counter_put(op, "boot_epoch", mt->boot_epoch);
	counter_put(op, "next_seq", op->saves_counter = mt->next_counter);
	err = mt->next_counter > WP_FID_COUNTER_MAX ? -ENOSPC : mop_commit_step(op);
	mop_internal_done(op);
	mt->svc.boot_epoch = mt->boot_epoch;
	mt->open_index = journal_last(mt->journal);
	return err;
}

static void on_applied(void *arg)
{
	struct meta_target *mt = arg;

	OBJ_CHECK(mt, META_MAGIC);
	journal_trim(mt->journal, mt->dev->ops->applied(mt->dev));
}

static int replay(void *arg, uint64_t index, const void *payload, size_t len)
{
	struct meta_target *mt = arg;
	struct osd_txn t;
	int err = osd_txn_decode(&t, payload, len);

	if (err)
		return -WEFT_ECORRUPT;
	err = osd_txn_submit(mt->dev, &t, index, NULL, NULL);
	osd_txn_done(&t);
	return err;
}

static void opened(void *arg, int err)
{
	struct meta_target *mt = arg;

	OBJ_CHECK(mt, META_MAGIC);
	if (!err) {
		mt->dev->ops->on_applied(mt->dev, on_applied, mt);
		mt->dev->ops->stable(mt->dev, journal_last(mt->journal));
		err = usage_load(mt);
	}
	if (!err)
		err = session_load_all(mt);
	if (!err) {
		load_queue(mt);
		err = start_up(mt);
	}
	if (!err)
		return;
	mt->state = META_FAILED;
	mt->params.opened(mt->params.arg, err);
}

static void committed(void *arg, uint64_t index)
{
	struct meta_target *mt = arg;

	OBJ_CHECK(mt, META_MAGIC);
	mt->dev->ops->stable(mt->dev, index);
	if (mt->state == META_OPENING && index >= mt->open_index) {
		mt->state = META_RUNNING;
		sessions_start(mt);
		jobs_committed(mt, index);
		delete_committed(mt);
		mt->params.opened(mt->params.arg, 0);
		return;
	}
	executor_committed(mt, index);
	jobs_committed(mt, index);
	delete_committed(mt);
}

static void failed(void *arg, int err) { target_failed(arg, err); }

int meta_target_open(const struct meta_params *params, struct meta_target **ret)
{
	struct meta_target *mt;
	struct journal_params jp = { .env = params->env, .dir = params->journal_dir, .segment_bytes = params->journal_segment,
				     .replay = replay, .opened = opened, .committed = committed, .failed = failed };
	int err;

	if (params->target > WP_FID_MDT_MAX || !params->opened)
		return -EINVAL;
	mt = NEW(struct meta_target);
	OBJ_INIT(mt, META_MAGIC);
	mt->params = *params;
	if (!mt->params.session_timeout_ms)
		mt->params.session_timeout_ms = META_SESSION_TIMEOUT_MS_DEFAULT;
	if (!mt->params.grace_ms)
		mt->params.grace_ms = META_GRACE_MS_DEFAULT;
	if (!mt->params.lease_ms)
		mt->params.lease_ms = META_LEASE_MS_DEFAULT;
	mt->params.lease_ms = MIN(mt->params.lease_ms, META_LEASE_MS_MAX);
	if (!mt->params.leases_max)
		mt->params.leases_max = META_LEASES_MAX_DEFAULT;
	mt->env = params->env;
	mt->dev = params->dev;
	mt->svc = (struct rpc_service){ .service = WP_SERVICE_META, .target = params->target, .ctx = mt,
					.request = executor_request, .conn_down = session_conn_down };
	cap_key_init(&mt->key, params->cap_key);
	memset(mt->params.cap_key, 0, sizeof(mt->params.cap_key));
	list_init(&mt->pending);
	list_init(&mt->all_sessions);
	linger_init(mt);
	list_init(&mt->jobs);
	locktab_init(&mt->locks);
	lease_init(mt);
	list_init(&mt->deletions);
	htab_init(&mt->sessions);
	htab_init(&mt->minodes);
	htab_init(&mt->usage);
	layout_init(mt);
	jp.applied = mt->dev->ops->applied(mt->dev);
	jp.arg = mt;
	err = journal_open(&jp, &mt->journal);
	if (err) {
		meta_target_free(mt);
		return err;
	}
	*ret = mt;
	return 0;
}

struct rpc_service *meta_target_service(struct meta_target *mt) { return &mt->svc; }

/* ---- closing --------------------------------------------------------------------------------------------------------------------- */

static void stop_poll(void *arg)
{
	struct meta_target *mt = arg;

	if (journal_idle(mt->journal) && !mt->posted)
		mt->stop_fn(mt->stop_arg);
	else
		env_timer_in(mt->env, &mt->stop_timer, STOP_POLL_MS * NSEC_PER_MSEC);
}

void meta_target_stop(struct meta_target *mt, env_fn *fn, void *arg)
{
	OBJ_CHECK(mt, META_MAGIC);
	if (mt->state != META_FAILED)
		mt->state = META_STOPPING;
	env_timer_cancel(mt->env, &mt->timer);
	mt->stop_fn = fn;
	mt->stop_arg = arg;
	mt->stop_timer.fn = stop_poll;
	mt->stop_timer.arg = mt;
	env_timer_in(mt->env, &mt->stop_timer, 0);
}

static void cancel_all(struct list *ops)
{
	struct op *op;

	while ((op = list_pop(ops, struct op, link)))
		mop_finish(op, -ECANCELED);
}

static bool free_minode(struct htab_node *n, void *arg)
{
	struct minode *m = container_of(n, struct minode, node);
	struct meta_target *mt = arg;

	cancel_all(&m->queue);
	htab_del(&mt->minodes, n);
	free(m);
	return true;
}

void meta_target_free(struct meta_target *mt)
{
	if (!mt)
		return;
	OBJ_CHECK(mt, META_MAGIC);
	mt->state = META_FAILED;
	env_timer_cancel(mt->env, &mt->timer);
	env_timer_cancel(mt->env, &mt->stop_timer);
	sessions_detach(mt);
	lease_cancel(mt);
	jobs_free(mt);
	linger_done(mt);
	while (mt->minodes.count)
		htab_each(&mt->minodes, free_minode, mt);
	htab_done(&mt->minodes);
	locks_cancel_all(mt);
	executor_fail_all(mt, -ECANCELED);
	lease_free(mt);
	sessions_free(mt);
	delete_free(mt);
	usage_free(mt);
	layout_done(mt);
	mt->dev->ops->on_applied(mt->dev, NULL, NULL);
	journal_free(mt->journal);
	OBJ_FINI(mt);
	free(mt);
}

/* ---- figures ----------------------------------------------------------------------------------------------------------------------- */

void meta_target_space(struct meta_target *mt, struct wp_target_space *ret)
{
	struct osd_space s;

	mt->dev->ops->statfs(mt->dev, &s);
	*ret = (struct wp_target_space){ .id = mt->params.target, .service = WP_SERVICE_META, .total = s.total, .free = s.free,
					 .inodes = s.inodes, .inodes_free = s.inodes_free };
}

static void add_row(struct wp_counter *rows, uint32_t max, uint32_t *n, const char *name, uint64_t v, const char *unit)
{
	if (*n < max)
		rows[(*n)++] = (struct wp_counter){ .name = wp_str(name), .value = v, .unit = wp_str(unit) };
}

uint32_t meta_target_rows(const struct meta_target *mt, struct wp_counter *ret, uint32_t max)
{
	struct journal_stats s = journal_stats(mt->journal);
	uint32_t n = 0;

#define X(name, unit, text) add_row(ret, max, &n, #name, mt->counters.name, unit);
	META_COUNTERS(X)
#undef X
	add_row(ret, max, &n, "locks", mt->locks.count, "now");
	add_row(ret, max, &n, "journal_batches", s.batches, "ops");
	add_row(ret, max, &n, "journal_entries", s.entries, "ops");
	add_row(ret, max, &n, "journal_bytes", s.bytes, "bytes");
	add_row(ret, max, &n, "journal_segments", s.segments, "now");
	return n;
}
