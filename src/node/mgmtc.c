/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * IDLE -> NODE (register_node) -> TARGETS (register_target, one after another) -> UP (heartbeats) -> STOPPING -> STOPPED.
 * A heartbeat that the management daemon answers with "no such node" leads back to NODE. The map watch is independent of the
 * state: it runs from start to stop.
 */
#include "node/mgmtc.h"

#include "base/buf.h"
#include "base/log.h"

#define MGMTC_MAGIC 0x4d676d63u
#define RETRY_NS NSEC_PER_SEC
#define REFUSED_RETRY_NS (5 * NSEC_PER_SEC)
#define FIRST_COMPLAINT_NS (3 * NSEC_PER_SEC) /* a whole cluster that starts at once should not complain */
#define COMPLAINT_NS (10 * NSEC_PER_SEC)
#define WATCH_MS 60000u
#define SPACE_NS (5 * NSEC_PER_SEC) /* how often placement looks at the free space */
#define SPACE_TIMEOUT_NS (10 * NSEC_PER_SEC)
#define LEAVE_NS NSEC_PER_SEC

enum state { IDLE, NODE, TARGETS, UP, STOPPING, STOPPED };

struct mgmtc {
	uint32_t magic;
	struct mgmtc_params p;
	struct env *env;
	struct rpc_peer *peer;
	char **mgmtd, **addrs; /* copies */
	char *alias, *version, *host, *domain;
	enum state state;
	struct list targets;
	struct list *next; /* target to register next */
	struct mgmtc_registration reg;
	struct cluster_map *map;
	struct map_pages pages; /* the next map, as far as it is here */
	struct space_table *space;
	struct buf space_rows; /* struct wp_target_space: the next table */
	struct rpc_call reg_call, beat_call, map_call, space_call;
	bool reg_busy, beat_busy, map_busy, space_busy;
	bool serving, told_online, beat_serving;
	struct env_timer retry, beat, watch_retry, complain, space_timer;
	env_fn *stop_fn;
	void *stop_arg;
	struct env_task stop_task;
};

static void register_next(void *arg);
static void watch(void *arg);
static void send_beat(void *arg);
static void ask_space(void *arg);

/* ---- messages ------------------------------------------------------------------------------------------------------------------ */

static void complain(void *arg)
{
	struct mgmtc *m = arg;
	struct buf b = { 0 };
	int err = rpc_peer_last_error(m->peer);

	OBJ_CHECK(m, MGMTC_MAGIC);
	if (m->state >= STOPPING || rpc_peer_up(m->peer))
		return;
	for (unsigned i = 0; i < m->p.mgmtd_n; i++)
		buf_printf(&b, "%s%s", i ? ", " : "", m->mgmtd[i]);
	buf_add(&b, "", 1);
	log_warn("node", "cannot reach the management daemon at %s (%s): still trying. Is weft-mgmtd running there, and is this the address it listens on?",
		 (char *)b.p, err ? strerror(-wp_err_to_errno(err)) : "no answer");
	buf_done(&b);
	env_timer_in(m->env, &m->complain, COMPLAINT_NS);
}

static const char *advice(int err)
{
	switch (err) {
	case -WEFT_EAUTH:
		return "the secrets differ: copy secret and server-secret from the management daemon's machine, and give the same auth option";
	case -WEFT_EFOREIGN:
		return "a target here belongs to another cluster: check --target and --mgmtd";
	case -WEFT_ENEWER:
		return "a target here has a newer format than the management daemon knows: install a newer version of weft there";
	case -WEFT_ELOCKED:
		return "registration of new nodes and targets is locked: run 'weft registration unlock' on the management daemon's machine";
	case -WEFT_ECONFLICT:
		return "a number or name of this node or its targets is in use by another one: choose another --name, or remove the other with 'weft node remove'; never serve a copy of a target folder";
	case -EPROTO:
		return "the management daemon speaks another protocol revision: install the same version of weft everywhere";
	case -WEFT_EDENIED:
		return "the management daemon does not accept this role";
	default:
		return strerror(-wp_err_to_errno(err));
	}
}

static bool is_refusal(int err)
{
	return err == -WEFT_EAUTH || err == -WEFT_EFOREIGN || err == -WEFT_ENEWER || err == -WEFT_ELOCKED || err == -WEFT_ECONFLICT ||
	       err == -EPROTO || err == -WEFT_EDENIED || err == -EINVAL || err == -EEXIST;
}

/* ---- registration ------------------------------------------------------------------------------------------------------------- */

static void finish_stop(struct mgmtc *m)
{
	if (m->state != STOPPING || m->reg_busy || m->beat_busy || m->map_busy || m->space_busy)
		return;
	m->state = STOPPED;
	if (!m->stop_fn)
		return; /* being freed */
	m->stop_task = (struct env_task){ .fn = m->stop_fn, .arg = m->stop_arg };
	env_post(m->env, &m->stop_task);
}

static void registration_failed(struct mgmtc *m, int err)
{
	bool refused = is_refusal(err);

	if (refused) {
		if (m->p.ops->refused)
			m->p.ops->refused(m->p.arg, err, advice(err));
	} else if (err != -ETIMEDOUT && err != -ECANCELED) {
		log_warn("node", "registration failed: %s; trying again", strerror(-wp_err_to_errno(err)));
	}
	if (m->state < STOPPING)
		env_timer_in(m->env, &m->retry, refused ? REFUSED_RETRY_NS : RETRY_NS);
	finish_stop(m);
}

static void all_registered(struct mgmtc *m)
{
	m->state = UP;
	m->p.ops->registered(m->p.arg, &m->reg);
	if (m->state == UP)
		send_beat(m);
}

static void target_done(struct rpc_call *call)
{
	struct mgmtc *m = call->arg;
	struct mgmtc_target *t = list_entry(m->next, struct mgmtc_target, link);
	struct wp_register_target_rep rep;
	int err = call->err;

	OBJ_CHECK(m, MGMTC_MAGIC);
	m->reg_busy = false;
	if (m->state != TARGETS)
		return finish_stop(m);
	if (!err)
		err = wp_register_target_rep_decode(call->reply, call->reply_len, NULL, 0, &rep);
	if (!err)
		err = wp_str_copy(t->alias, sizeof(t->alias), rep.alias);
	if (err < 0)
		return registration_failed(m, err);
	t->id = rep.target;
	t->space.id = t->id;
	m->next = m->next->next;
	register_next(m);
}

static void register_target(struct mgmtc *m, struct mgmtc_target *t)
{
	struct wp_register_target_req req = {
		.node = m->reg.node, .uuid = t->uuid, .service = t->service, .wanted = t->id, .format = t->format,
		.cluster = m->p.cluster, .alias = wp_str(t->alias), .pool = wp_str(t->pool), .space = t->space,
	};

	req.space.id = t->id;
	req.space.service = t->service;
	m->reg_busy = true;
	rpc_call_init(&m->reg_call, WP_OP_REGISTER_TARGET, target_done, m);
	wp_register_target_req_enc(rpc_call_enc(&m->reg_call, 512), &req);
	rpc_call(m->peer, &m->reg_call);
}

static int take_node_reply(struct mgmtc *m, const struct wp_register_node_rep *rep)
{
	struct mgmtc_registration *g = &m->reg;

	if (!wp_uuid_is_zero(&m->p.cluster) && !wp_uuid_eq(&m->p.cluster, &rep->cluster))
		return -WEFT_EFOREIGN;
	if (wp_str_copy(g->alias, sizeof(g->alias), rep->alias) < 0 || !rep->heartbeat_ms || !rep->offline_ms)
		return -EBADMSG;
	g->node = rep->node;
	g->cluster = rep->cluster;
	g->heartbeat_ms = rep->heartbeat_ms;
	g->offline_ms = rep->offline_ms;
	g->has_key = rep->capability_key.len == sizeof(g->key);
	if (g->has_key)
		memcpy(g->key, rep->capability_key.p, sizeof(g->key));
	m->p.cluster = rep->cluster;
	rpc_node_set_cluster(m->p.node, &rep->cluster);
	return 0;
}

static void node_done(struct rpc_call *call)
{
	struct mgmtc *m = call->arg;
	struct wp_register_node_rep rep;
	int err = call->err;

	OBJ_CHECK(m, MGMTC_MAGIC);
	m->reg_busy = false;
	if (m->state != NODE)
		return finish_stop(m);
	if (!err)
		err = wp_register_node_rep_decode(call->reply, call->reply_len, NULL, 0, &rep);
	if (!err)
		err = take_node_reply(m, &rep);
	if (err < 0)
		return registration_failed(m, err);
	m->state = TARGETS;
	m->next = m->targets.next;
	register_next(m);
}

static void register_node(struct mgmtc *m)
{
	struct wp_addr addrs[WP_ADDRS_MAX];
	struct wp_register_node_req req = {
		.uuid = m->p.uuid, .role = m->p.role, .pid = m->p.pid, .alias = wp_str(m->alias), .version = wp_str(m->version),
		.host = wp_str(m->host), .domain = wp_str(m->domain), .addrs = addrs, .addrs_n = m->p.addrs_n,
	};

	for (unsigned i = 0; i < m->p.addrs_n; i++)
		addrs[i].text = wp_str(m->addrs[i]);
	m->reg_busy = true;
	rpc_call_init(&m->reg_call, WP_OP_REGISTER_NODE, node_done, m);
	wp_register_node_req_enc(rpc_call_enc(&m->reg_call, 1024 + WP_ADDRS_MAX * (WP_ADDR_LEN_MAX + 4)), &req);
	rpc_call(m->peer, &m->reg_call);
}

static void register_next(void *arg)
{
	struct mgmtc *m = arg;

	OBJ_CHECK(m, MGMTC_MAGIC);
	if (m->reg_busy || m->state >= UP)
		return;
	if (m->state != TARGETS) {
		m->state = NODE;
		register_node(m);
	} else if (m->next != &m->targets) {
		register_target(m, list_entry(m->next, struct mgmtc_target, link));
	} else {
		all_registered(m);
	}
}

/* ---- heartbeats --------------------------------------------------------------------------------------------------------------- */

static void beat_done(struct rpc_call *call)
{
	struct mgmtc *m = call->arg;

	OBJ_CHECK(m, MGMTC_MAGIC);
	m->beat_busy = false;
	if (m->state == STOPPING)
		return finish_stop(m);
	if (m->state != UP)
		return;
	if (call->err == -ENOENT) {
		log_notice("node", "the management daemon does not know this node any more: registering again");
		env_timer_cancel(m->env, &m->beat);
		m->state = NODE;
		return register_next(m);
	}
	if (m->serving && !m->beat_serving)
		return send_beat(m); /* began to serve meanwhile: say so at once */
	if (!call->err && m->beat_serving && !m->told_online) {
		m->told_online = true;
		if (m->p.ops->online)
			m->p.ops->online(m->p.arg);
	}
}

static void send_beat(void *arg)
{
	struct mgmtc *m = arg;
	struct wp_target_space rows[MGMTC_TARGETS_MAX];
	struct wp_heartbeat_req req = { .node = m->reg.node, .targets = rows };
	struct mgmtc_target *t;

	OBJ_CHECK(m, MGMTC_MAGIC);
	if (m->state != UP)
		return;
	env_timer_in(m->env, &m->beat, m->reg.heartbeat_ms * NSEC_PER_MSEC);
	if (m->beat_busy)
		return;
	if (m->serving) {
		list_each (t, &m->targets, link) {
			rows[req.targets_n] = t->space;
			rows[req.targets_n].id = t->id;
			rows[req.targets_n++].service = t->service;
		}
	}
	m->beat_busy = true;
	m->beat_serving = m->serving;
	rpc_call_init(&m->beat_call, WP_OP_HEARTBEAT, beat_done, m);
	m->beat_call.deadline_ns = env_mono_ns(m->env) + m->reg.offline_ms * NSEC_PER_MSEC;
	wp_heartbeat_req_enc(rpc_call_enc(&m->beat_call, 64 + req.targets_n * WP_TARGET_SPACE_MIN), &req);
	rpc_call(m->peer, &m->beat_call);
}

/* ---- the map ------------------------------------------------------------------------------------------------------------------ */

static void take_map(struct mgmtc *m, struct rpc_call *call)
{
	struct cluster_map *map = NULL;
	int r = map_pages_add(&m->pages, call->reply, call->reply_len);

	if (!r)
		return watch(m); /* the next page */
	if (r > 0)
		r = cluster_map_decode(m->pages.body.p, m->pages.body.len, &map);
	map_pages_reset(&m->pages);
	if (r < 0) {
		log_err("node", r == -ENOMEM ? "no memory for the cluster map" : "the management daemon sent a malformed cluster map");
		return env_timer_in(m->env, &m->watch_retry, r == -ENOMEM ? RETRY_NS : REFUSED_RETRY_NS);
	}
	/* A management daemon that lost its state starts again with low versions: any other map is taken, not only newer ones. */
	if (!m->map || cluster_map_version(map) != cluster_map_version(m->map)) {
		cluster_map_unref(m->map);
		m->map = map;
		rpc_node_set_map_version(m->p.node, cluster_map_version(map));
		m->p.ops->map(m->p.arg, map);
	} else {
		cluster_map_unref(map);
	}
	if (m->state < STOPPING)
		watch(m);
}

static void map_done(struct rpc_call *call)
{
	struct mgmtc *m = call->arg;

	OBJ_CHECK(m, MGMTC_MAGIC);
	m->map_busy = false;
	if (m->state >= STOPPING)
		return finish_stop(m);
	if (!call->err)
		return take_map(m, call);
	map_pages_reset(&m->pages);
	env_timer_in(m->env, &m->watch_retry, is_refusal(call->err) ? REFUSED_RETRY_NS : RETRY_NS);
}

static void watch(void *arg)
{
	struct mgmtc *m = arg;
	struct wp_map_get_req req;

	OBJ_CHECK(m, MGMTC_MAGIC);
	if (m->map_busy || m->state >= STOPPING)
		return;
	map_pages_request(&m->pages, m->map ? cluster_map_version(m->map) : 0, m->map ? WATCH_MS : 0, &req);
	m->map_busy = true;
	rpc_call_init(&m->map_call, WP_OP_MAP_GET, map_done, m);
	m->map_call.deadline_ns = env_mono_ns(m->env) + (req.wait_ms + 10000) * NSEC_PER_MSEC;
	wp_map_get_req_enc(rpc_call_enc(&m->map_call, 32), &req);
	rpc_call(m->peer, &m->map_call);
}

/* ---- space -------------------------------------------------------------------------------------------------------------------- */

static void space_whole(struct mgmtc *m)
{
	struct space_table *s =
		space_table_new((const void *)m->space_rows.p, m->space_rows.len / sizeof(struct wp_target_space));

	if (!space_table_differs(m->space, s)) {
		space_table_unref(s);
		return;
	}
	space_table_unref(m->space);
	m->space = s;
	m->p.ops->space(m->p.arg, s);
}

static void send_space(struct mgmtc *m, uint32_t from);

static void space_done(struct rpc_call *call)
{
	struct mgmtc *m = call->arg;
	size_t scratch_len = call->err ? 0 : wp_scratch_bound(call->reply_len);
	cleanup_free void *scratch = xmalloc(scratch_len + 1);
	struct wp_space_get_rep rep;
	int err = call->err;

	OBJ_CHECK(m, MGMTC_MAGIC);
	m->space_busy = false;
	if (m->state >= STOPPING)
		return finish_stop(m);
	if (!err)
		err = wp_space_get_rep_decode(call->reply, call->reply_len, scratch, scratch_len, &rep);
	if (!err) {
		buf_add(&m->space_rows, rep.targets, rep.targets_n * sizeof(rep.targets[0]));
		/* Only forwards, whatever the other side says. */
		if (rep.next != WP_TARGET_NONE && rep.targets_n && rep.next > rep.targets[rep.targets_n - 1].id)
			return send_space(m, rep.next);
		space_whole(m);
	}
	env_timer_in(m->env, &m->space_timer, SPACE_NS);
}

static void send_space(struct mgmtc *m, uint32_t from)
{
	struct wp_space_get_req req = { .service = WP_SERVICE_STORAGE, .from = from };

	m->space_busy = true;
	rpc_call_init(&m->space_call, WP_OP_SPACE_GET, space_done, m);
	m->space_call.deadline_ns = env_mono_ns(m->env) + SPACE_TIMEOUT_NS;
	wp_space_get_req_enc(rpc_call_enc(&m->space_call, 32), &req);
	rpc_call(m->peer, &m->space_call);
}

static void ask_space(void *arg)
{
	struct mgmtc *m = arg;

	OBJ_CHECK(m, MGMTC_MAGIC);
	if (m->space_busy || m->state >= STOPPING)
		return;
	buf_reset(&m->space_rows);
	send_space(m, 0);
}

/* ---- life --------------------------------------------------------------------------------------------------------------------- */

static unsigned peer_addrs(void *arg, struct rpc_peer *peer, const char **ret, unsigned max)
{
	struct mgmtc *m = arg;
	unsigned n = MIN(max, m->p.mgmtd_n);

	for (unsigned i = 0; i < n; i++)
		ret[i] = m->mgmtd[i];
	return n;
}

static void peer_state(void *arg, struct rpc_peer *peer, bool up)
{
	struct mgmtc *m = arg;

	OBJ_CHECK(m, MGMTC_MAGIC);
	if (up)
		env_timer_cancel(m->env, &m->complain);
	else if (m->state < STOPPING && !env_timer_armed(&m->complain))
		env_timer_in(m->env, &m->complain, FIRST_COMPLAINT_NS);
}

static const struct rpc_peer_ops peer_ops = { .addrs = peer_addrs, .state = peer_state };

static char **copy_list(const char *const *v, unsigned n)
{
	char **ret = xcalloc(n + 1, sizeof(ret[0]));

	for (unsigned i = 0; i < n; i++)
		ret[i] = xstrdup(v[i]);
	return ret;
}

static void free_list(char **v)
{
	for (char **p = v; p && *p; p++)
		free(*p);
	free(v);
}

static char *copy_text(const char *s) { return s ? xstrdup(s) : NULL; }

int mgmtc_new(const struct mgmtc_params *p, struct mgmtc **ret)
{
	struct rpc_peer_params peer = { .service = WP_SERVICE_MGMTD, .target = WP_TARGET_NONE, .conns = 1, .credits = 8,
					.ops = &peer_ops };
	struct mgmtc *m = NEW(struct mgmtc);
	int r;

	OBJ_INIT(m, MGMTC_MAGIC);
	m->p = *p;
	m->p.addrs_n = MIN(p->addrs_n, WP_ADDRS_MAX);
	m->env = rpc_node_env(p->node);
	m->mgmtd = copy_list(p->mgmtd, p->mgmtd_n);
	m->addrs = copy_list(p->addrs, m->p.addrs_n);
	m->alias = copy_text(p->alias);
	m->version = copy_text(p->version);
	m->host = copy_text(p->host);
	m->domain = copy_text(p->domain);
	list_init(&m->targets);
	m->retry = (struct env_timer){ .fn = register_next, .arg = m };
	m->beat = (struct env_timer){ .fn = send_beat, .arg = m };
	m->watch_retry = (struct env_timer){ .fn = watch, .arg = m };
	m->complain = (struct env_timer){ .fn = complain, .arg = m };
	m->space_timer = (struct env_timer){ .fn = ask_space, .arg = m };
	peer.arg = m;
	r = rpc_peer_new(p->node, &peer, &m->peer);
	if (r < 0) {
		mgmtc_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

void mgmtc_add_target(struct mgmtc *m, struct mgmtc_target *t)
{
	weft_assert(m->state == IDLE);
	list_append(&m->targets, &t->link);
}

void mgmtc_start(struct mgmtc *m)
{
	weft_assert(m->state == IDLE);
	m->state = NODE;
	env_timer_in(m->env, &m->complain, FIRST_COMPLAINT_NS);
	register_node(m);
	watch(m);
	if (m->p.ops->space)
		ask_space(m);
}

void mgmtc_serving(struct mgmtc *m)
{
	m->serving = true;
	send_beat(m);
}

static void left(struct rpc_call *call)
{
	struct mgmtc *m = call->arg;

	OBJ_CHECK(m, MGMTC_MAGIC);
	m->reg_busy = false;
	finish_stop(m);
}

static void leave(struct mgmtc *m)
{
	struct wp_unregister_node_req req = { .node = m->reg.node };

	m->reg_busy = true;
	rpc_call_init(&m->reg_call, WP_OP_UNREGISTER_NODE, left, m);
	m->reg_call.deadline_ns = env_mono_ns(m->env) + LEAVE_NS;
	wp_unregister_node_req_enc(rpc_call_enc(&m->reg_call, 32), &req);
	rpc_call(m->peer, &m->reg_call);
}

static void cancel_timers(struct mgmtc *m)
{
	env_timer_cancel(m->env, &m->retry);
	env_timer_cancel(m->env, &m->beat);
	env_timer_cancel(m->env, &m->watch_retry);
	env_timer_cancel(m->env, &m->complain);
	env_timer_cancel(m->env, &m->space_timer);
}

void mgmtc_stop(struct mgmtc *m, env_fn *fn, void *arg)
{
	enum state was = m->state;

	weft_assert(was < STOPPING);
	m->state = STOPPING;
	m->stop_fn = fn;
	m->stop_arg = arg;
	cancel_timers(m);
	if (m->map_busy)
		rpc_call_cancel(&m->map_call);
	if (m->space_busy)
		rpc_call_cancel(&m->space_call);
	if (m->beat_busy)
		rpc_call_cancel(&m->beat_call);
	if (m->reg_busy)
		rpc_call_cancel(&m->reg_call);
	else if (was == UP || was == TARGETS)
		leave(m);
	finish_stop(m);
}

void mgmtc_free(struct mgmtc *m)
{
	if (!m)
		return;
	OBJ_CHECK(m, MGMTC_MAGIC);
	if (m->state != STOPPED)
		m->state = STOPPING; /* calls that end now start nothing new */
	m->stop_fn = NULL;
	cancel_timers(m);
	if (m->peer)
		rpc_peer_free(m->peer);
	cluster_map_unref(m->map);
	map_pages_reset(&m->pages);
	space_table_unref(m->space);
	buf_done(&m->space_rows);
	free_list(m->mgmtd);
	free_list(m->addrs);
	free(m->alias);
	free(m->version);
	free(m->host);
	free(m->domain);
	explicit_bzero(&m->reg, sizeof(m->reg));
	OBJ_FINI(m);
	free(m);
}

struct cluster_map *mgmtc_map(struct mgmtc *m) { return m->map; }
struct rpc_peer *mgmtc_peer(struct mgmtc *m) { return m->peer; }
