/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Mounts and their reactors: making, starting, leaving. */
#include "client/client_priv.h"

#include <unistd.h>

#define START_RETRY_MS 500u

/* ---- mount ------------------------------------------------------------------------------------------------------- */

int client_mount_new(const struct client_params *p, struct client_mount **ret)
{
	struct client_mount *m;
	unsigned i;

	if (!p->mgmtd_n || p->mgmtd_n > WP_ADDRS_MAX || p->reactors > WEFT_REACTORS_MAX || p->id.role != WP_ROLE_CLIENT)
		return -EINVAL;
	m = NEW(struct client_mount);
	OBJ_INIT(m, MOUNT_MAGIC);
	pthread_mutex_init(&m->lock, NULL);
	m->id = p->id;
	m->mgmtd = xcalloc(p->mgmtd_n, sizeof(*m->mgmtd));
	m->mgmtd_n = p->mgmtd_n;
	for (i = 0; i < p->mgmtd_n; i++)
		m->mgmtd[i] = xstrdup(p->mgmtd[i]);
	memcpy(m->host, p->host, sizeof(m->host));
	m->host[sizeof(m->host) - 1] = '\0';
	m->pid = p->pid;
	m->reactors = p->reactors ? p->reactors : 1;
	m->op_timeout_ms = p->op_timeout_ms;
	m->noatime = p->noatime;
	if (p->cache)
		m->cache = cl_cache_new(m);
	m->invalidate = p->invalidate;
	m->invalidate_arg = p->invalidate_arg;
	m->groups = p->groups;
	m->groups_arg = p->groups_arg;
	list_init(&m->sessions);
	list_init(&m->files);
	list_init(&m->dirty);
	htab_init(&m->inodes);
	atomic_store(&m->next_handle, 1);
	atomic_store(&m->next_owner, 1);
	*ret = m;
	return 0;
}

void client_mount_free(struct client_mount *m)
{
	struct session *s;
	unsigned i;

	if (!m)
		return;
	OBJ_CHECK(m, MOUNT_MAGIC);
	weft_assert(atomic_load(&m->clients) == 0);
	cl_inodes_free(m);
	cl_cache_free(m->cache);
	while ((s = list_pop(&m->sessions, struct session, link))) {
		cl_session_done_leases(s);
		free(s);
	}
	for (i = 0; i < m->mgmtd_n; i++)
		free(m->mgmtd[i]);
	free(m->mgmtd);
	free(m->path);
	free(m->osts_used);
	htab_done(&m->inodes);
	pthread_mutex_destroy(&m->lock);
	OBJ_FINI(m);
	free(m);
}

/* ---- client ------------------------------------------------------------------------------------------------------ */

static void start_retry(void *arg);
static void beat_send(void *arg);
static void leave_late(void *arg);

/* One identity for all reactors: drawn by the first. */
static void mount_draw_id(struct client_mount *m, struct env *env)
{
	pthread_mutex_lock(&m->lock);
	if (wp_uuid_is_zero(&m->id.uuid))
		env_random(env, m->id.uuid.b, sizeof(m->id.uuid.b));
	while (!m->id.client_id)
		m->id.client_id = env_random_u64(env);
	pthread_mutex_unlock(&m->lock);
}

int client_new(struct client_mount *m, struct env *env, unsigned index, struct client **ret)
{
	struct client *c;
	int err;

	OBJ_CHECK(m, MOUNT_MAGIC);
	if (index >= m->reactors)
		return -EINVAL;
	mount_draw_id(m, env);
	c = NEW(struct client);
	OBJ_INIT(c, CLIENT_MAGIC);
	c->m = m;
	c->env = env;
	c->index = index;
	err = rpc_node_new(env, &m->id, &c->node);
	if (err) {
		free(c);
		return err;
	}
	list_init(&c->ops);
	list_init(&c->finished);
	list_init(&c->free_ops);
	list_init(&c->free_ios);
	c->finish_task.fn = cl_op_finish_task;
	c->finish_task.arg = c;
	c->start_timer = (struct env_timer){ .fn = start_retry, .arg = c };
	c->beat_timer = (struct env_timer){ .fn = beat_send, .arg = c };
	c->leave_timer = (struct env_timer){ .fn = leave_late, .arg = c };
	c->scratch = xmalloc(CLIENT_SCRATCH);
	c->crcs = xmalloc(WP_CRCS_MAX * sizeof(*c->crcs));
	atomic_fetch_add(&m->clients, 1);
	cl_map_init(c);
	*ret = c;
	return 0;
}

void client_free(struct client *c)
{
	struct client_op *op, *tmp;

	if (!c)
		return;
	OBJ_CHECK(c, CLIENT_MAGIC);
	c->freeing = true;
	/* Calls first: their memory must not be in use when callers hear of the end. */
	rpc_node_free(c->node);
	list_each_safe(op, tmp, &c->ops, link) {
		op->flags |= OP_ASYNC;
		list_del(&op->queue);
		op->flags &= ~(uint32_t)(OP_QUEUED | OP_PAUSED);
		cl_ios_abort(op);
		if (op->child)
			op->child->cb = NULL;
	}
	while (!list_empty(&c->ops)) {
		op = list_first(&c->ops, struct client_op, link);
		op->abort_err = -ECANCELED;
		cl_op_finish(op, -ECANCELED);
	}
	cl_op_run_finished(c);
	env_timer_cancel(c->env, &c->start_timer);
	env_timer_cancel(c->env, &c->beat_timer);
	env_timer_cancel(c->env, &c->leave_timer);
	cl_map_stop(c);
	cl_mdts_free(c);
	cl_osts_free(c);
	cl_op_pool_done(c);
	cl_io_pool_done(c);
	free(c->scratch);
	free(c->crcs);
	atomic_fetch_sub(&c->m->clients, 1);
	if (!c->finish_posted) {
		OBJ_FINI(c);
		free(c);
	}
}

struct env *client_env(struct client *c) { return c->env; }
struct client_mount *client_mount_of(struct client *c) { return c->m; }
void client_stats(const struct client *c, struct client_stats *ret) { *ret = c->stats; }

/* ---- starting: the node, then the map, then the root ------------------------------------------------------------- */

static void start_report(struct client *c, int err, const struct wp_attr *root)
{
	client_ready_fn *fn = c->ready;

	c->ready = NULL;
	env_timer_cancel(c->env, &c->start_timer);
	if (fn)
		fn(c->ready_arg, wp_err_to_errno(err), root);
}

static void start_root_done(void *arg, int err, const struct client_res *res)
{
	struct client *c = arg;

	if (!c->freeing)
		start_report(c, err, err ? NULL : &res->attr);
}

static void start_root(struct client *c)
{
	client_getattr(c, &WP_FID_ROOT, start_root_done, c);
}

void cl_start_map_ready(struct client *c, int err)
{
	if (!c->ready || c->map_tried)
		return;
	if (err == -WEFT_EAUTH || err == -EPROTO || err == -WEFT_EFOREIGN) {
		start_report(c, err, NULL);
	} else if (!err) {
		c->map_tried = true;
		start_root(c);
	}
}

static void start_timeout(struct client *c)
{
	int err = rpc_peer_last_error(c->mgmtd);

	start_report(c, err ? err : -ETIMEDOUT, NULL);
}

static void start_registered(struct rpc_call *call)
{
	struct client *c = call->arg;
	struct wp_register_node_rep rep;
	int err = call->err;

	c->start_busy = false;
	if (c->freeing)
		return;
	if (!err)
		err = wp_register_node_rep_decode(call->reply, call->reply_len, c->scratch, CLIENT_SCRATCH, &rep);
	if (err == -ETIMEDOUT) {
		start_timeout(c);
		return;
	}
	if (err) {
		start_report(c, err, NULL);
		return;
	}
	c->registered = true;
	c->m->node = rep.node;
	c->beat_ms = rep.heartbeat_ms;
	if (c->beat_ms)
		env_timer_in(c->env, &c->beat_timer, c->beat_ms * NSEC_PER_MSEC);
	cl_map_watch(c);
}

/* The time for starting is over, as seen by a reactor that waits for the map. */
static void start_retry(void *arg)
{
	struct client *c = arg;

	if (c->ready && !c->map_tried)
		start_timeout(c);
}

static void start_register(struct client *c)
{
	struct wp_register_node_req req = {
		.uuid = c->m->id.uuid,
		.role = WP_ROLE_CLIENT,
		.pid = c->m->pid,
		.version = wp_str(WEFT_VERSION),
		.host = wp_str(c->m->host),
		.transport = wp_str(c->m->transport),
		.path = wp_str(c->m->path ? c->m->path : ""),
	};

	rpc_call_init(&c->start_call, WP_OP_REGISTER_NODE, start_registered, c);
	wp_register_node_req_enc(rpc_call_enc(&c->start_call, 512 + req.path.len), &req);
	if (c->m->op_timeout_ms)
		c->start_call.deadline_ns = env_mono_ns(c->env) + c->m->op_timeout_ms * NSEC_PER_MSEC;
	c->start_busy = true;
	rpc_call(c->mgmtd, &c->start_call);
}

void client_start(struct client *c, client_ready_fn *fn, void *arg)
{
	OBJ_CHECK(c, CLIENT_MAGIC);
	weft_assert(!c->ready && !c->map_tried);
	c->ready = fn;
	c->ready_arg = arg;
	if (c->m->op_timeout_ms)
		env_timer_in(c->env, &c->start_timer, (c->m->op_timeout_ms + START_RETRY_MS) * NSEC_PER_MSEC);
	if (c->index == 0)
		start_register(c);
	else
		cl_map_watch(c);
}

/* Told like a new registration; a lost one is made up for by the next. */
void client_describe(struct client *c, const char *transport, const char *path)
{
	OBJ_CHECK(c, CLIENT_MAGIC);
	weft_assert(c->index == 0);
	(void)str_copy(c->m->transport, sizeof(c->m->transport), transport);
	free(c->m->path);
	c->m->path = xasprintf("%.1023s", path);
	if (!c->start_busy)
		start_register(c);
}

/* ---- heartbeats: mgmtd forgets nodes that are silent ------------------------------------------------------------- */

static void beat_done(struct rpc_call *call)
{
	struct client *c = call->arg;

	c->beat_busy = false;
	if (c->freeing)
		return;
	/* A management daemon that lost us (a restart without state) is told who we are again. */
	if (call->err == -ENOENT && !c->start_busy)
		start_register(c);
	else
		env_timer_in(c->env, &c->beat_timer, c->beat_ms * NSEC_PER_MSEC);
}

static void beat_send(void *arg)
{
	struct client *c = arg;
	struct wp_heartbeat_req req = { .node = c->m->node };

	if (c->beat_busy)
		return;
	rpc_call_init(&c->beat_call, WP_OP_HEARTBEAT, beat_done, c);
	wp_heartbeat_req_enc(rpc_call_enc(&c->beat_call, 64), &req);
	c->beat_call.deadline_ns = env_mono_ns(c->env) + 10ull * c->beat_ms * NSEC_PER_MSEC;
	c->beat_busy = true;
	rpc_call(c->mgmtd, &c->beat_call);
}

/* ---- leaving ----------------------------------------------------------------------------------------------------- */

struct leave_call {
	struct rpc_call call;
	struct client *c;
};

static void leave_over(struct client *c)
{
	void (*fn)(void *arg) = c->left;

	c->left = NULL;
	env_timer_cancel(c->env, &c->leave_timer);
	if (fn)
		fn(c->left_arg);
}

static void leave_late(void *arg)
{
	leave_over(arg);
}

static void leave_done(struct rpc_call *call)
{
	struct leave_call *l = call->arg;
	struct client *c = l->c;

	free(l);
	if (--c->leaving == 0 && !c->freeing)
		leave_over(c);
}

static struct leave_call *leave_new(struct client *c, uint16_t op, uint64_t deadline_ns)
{
	struct leave_call *l = NEW(struct leave_call);

	l->c = c;
	rpc_call_init(&l->call, op, leave_done, l);
	l->call.deadline_ns = deadline_ns;
	c->leaving++;
	return l;
}

static void leave_session(struct client *c, struct session *s, uint64_t deadline_ns)
{
	struct wp_session_close_req req = { .session = s->id };
	struct mdt *t = cl_mdt_get(c, s->target);
	struct leave_call *l;

	if (!t->session)
		return;
	env_timer_cancel(c->env, &t->ping_timer);
	l = leave_new(c, WP_OP_SESSION_CLOSE, deadline_ns);
	wp_session_close_req_enc(rpc_call_enc(&l->call, 64), &req);
	l->call.session = t->session;
	rpc_call(t->peer, &l->call);
}

void client_leave(struct client *c, uint32_t timeout_ms, void (*done)(void *arg), void *arg)
{
	uint64_t deadline = env_mono_ns(c->env) + timeout_ms * NSEC_PER_MSEC;
	struct wp_unregister_node_req req = { .node = c->m->node };
	struct leave_call *l;
	struct session *s;

	OBJ_CHECK(c, CLIENT_MAGIC);
	client_cancel_all(c, true);
	c->left = done;
	c->left_arg = arg;
	env_timer_in(c->env, &c->leave_timer, timeout_ms * NSEC_PER_MSEC);
	/* Sessions are only added to the list, and by reactors that have stopped by now. */
	list_each(s, &c->m->sessions, link)
		leave_session(c, s, deadline);
	env_timer_cancel(c->env, &c->beat_timer);
	if (c->m->node) {
		l = leave_new(c, WP_OP_UNREGISTER_NODE, deadline);
		wp_unregister_node_req_enc(rpc_call_enc(&l->call, 64), &req);
		rpc_call(c->mgmtd, &l->call);
	}
	if (!c->leaving)
		env_timer_in(c->env, &c->leave_timer, 0);
}
