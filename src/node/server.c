/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "node/server.h"

#include <unistd.h>

#include "base/log.h"
#include "node/daemon.h"
#include "node/server_priv.h"
#include "rpc/counters.h"

#define CONFLICTS_MAX 3u /* tries, 5 s apart */



static const struct conf_choice backend_choices[] = { { "disk", 0 }, { "mem", 1 }, { NULL, 0 } };

static const struct conf_option options[] = {
	{ .name = "target", .type = CONF_LIST, .offset = CONF_FIELD(server_options, targets), .arg = "DIR", .max = MGMTC_TARGETS_MAX,
	  .flags = CONF_REQUIRED, .help = "folder of a target to serve; an empty one becomes a new target" },
	{ .name = "backend", .type = CONF_ENUM, .offset = CONF_FIELD(server_options, backend), .arg = "ENGINE", .def = "disk",
	  .choices = backend_choices, .help = "where the targets keep their data; mem loses everything when the daemon stops" },
	{ .name = "init", .type = CONF_BOOL, .offset = CONF_FIELD(server_options, init), .flags = CONF_ARG_ONLY,
	  .help = "make a new target in each folder that has none, also if the folder does not exist or is not empty" },
	{ .name = "pool", .type = CONF_STRING, .offset = CONF_FIELD(server_options, pool), .arg = "POOL",
	  .help = "pool that new storage targets join; the default pool if not given" },
	{ .name = "capacity", .type = CONF_SIZE, .offset = CONF_FIELD(server_options, capacity), .arg = "SIZE", .def = "0",
	  .help = "most that a target may hold; 0 is what the disk has, or half of the memory" },
	{ .name = "cache", .type = CONF_SIZE, .offset = CONF_FIELD(server_options, cache), .arg = "SIZE", .def = "0", .max = 1ull << 40,
	  .help = "changes of a target's index kept in memory before they must go to disk; 0 chooses" },
	{ .name = "reactors", .type = CONF_U64, .offset = CONF_FIELD(server_options, reactors), .arg = "N", .def = "0",
	  .max = WEFT_REACTORS_MAX, .help = "threads that serve targets; 0 is one for each target, at most one for each processor" },
	{ 0 },
};

static struct server_options server_options;
static const struct conf_table server_table = { "Targets", NULL, options, &server_options };

/* ---- the other reactors -------------------------------------------------------------------------------------------------------- */

struct map_message {
	struct server_reactor *r;
	struct cluster_map *map; /* one reference */
};

#define each_target(t, s, r_)                                                                                                 \
	for (t = (s)->targets; t < (s)->targets + (s)->targets_n; t++)                                                        \
		if (t->reactor == (unsigned)((r_) - (s)->r))

static void take_map(void *arg)
{
	struct map_message m = *(struct map_message *)arg;
	struct server_reactor *r = m.r;
	struct server_target_state *t;
	struct cluster_map *old = r->map;

	free(arg);
	r->map = m.map;
	rpc_node_set_map_version(r->node, cluster_map_version(m.map));
	peers_set_map(r->peers, m.map);
	each_target (t, r->server, r) {
		t->pub.map = m.map;
		if (t->phase == TARGET_OPEN && r->server->program->ops->map)
			r->server->program->ops->map(&t->pub);
	}
	cluster_map_unref(old);
}

struct table_message {
	struct server_reactor *r;
	struct space_table *table; /* one reference */
};

static void take_table(void *arg)
{
	struct table_message m = *(struct table_message *)arg;
	struct server_target_state *t;
	struct space_table *old = m.r->table;

	free(arg);
	m.r->table = m.table;
	each_target(t, m.r->server, m.r)
	{
		t->pub.space = m.table;
		t->pub.space_version++;
	}
	space_table_unref(old);
}

struct space_message {
	struct server_target_state *t;
	struct wp_target_space space;
};

static void take_space(void *arg)
{
	struct space_message *m = arg;

	m->t->reg.space = m->space;
	free(m);
}

static void tell_space(void *arg)
{
	struct server_reactor *r = arg;
	struct server *s = r->server;
	struct server_target_state *t;

	each_target (t, s, r) {
		struct space_message *m;

		if (t->phase != TARGET_OPEN)
			continue;
		m = NEW(struct space_message);
		m->t = t;
		server_target_space(t, &m->space);
		io_tell(s->r[0].env, take_space, m);
	}
	env_timer_in(r->env, &r->space, r->space_ns);
}

/* reactor 0 has registered: everything that open() needs is in the targets. */
static void open_targets(void *arg)
{
	struct server_reactor *r = arg;
	struct server_target_state *t;

	rpc_node_set_cluster(r->node, &r->server->reg.cluster);
	each_target (t, r->server, r)
		server_target_open(t);
	r->space_ns = r->server->reg.heartbeat_ms * NSEC_PER_MSEC;
	env_timer_in(r->env, &r->space, r->space_ns);
}

static void stop_targets(void *arg)
{
	struct server_reactor *r = arg;
	struct server_target_state *t;

	env_timer_cancel(r->env, &r->space);
	each_target (t, r->server, r)
		server_target_stop(t);
}

static unsigned counter_rows(void *arg, struct wp_counter *rows, unsigned max)
{
	struct server_reactor *r = arg;
	struct server_target_state *t;
	unsigned n = 0;

	each_target (t, r->server, r)
		if (t->phase == TARGET_OPEN && r->server->program->ops->counters)
			n += r->server->program->ops->counters(&t->pub, rows + n, max - n);
	return n;
}

/* ---- stopping, on reactor 0 ----------------------------------------------------------------------------------------------------- */

static void maybe_end(struct server *s)
{
	if (s->stopping && s->mgmtc_stopped && s->closed_n == s->targets_n)
		io_reactors_stop(s->reactors);
}

static void mgmtc_is_stopped(void *arg)
{
	struct server *s = arg;

	s->mgmtc_stopped = true;
	maybe_end(s);
}

static void stop(void *arg)
{
	struct server *s = arg;

	if (s->stopping)
		return;
	s->stopping = true;
	for (unsigned i = 0; i < s->targets_n; i++)
		s->targets[i].in_service = false;
	mgmtc_stop(s->mgmtc, mgmtc_is_stopped, s);
	for (unsigned i = 0; i < io_reactors_count(s->reactors); i++)
		io_tell(s->r[i].env, stop_targets, &s->r[i]);
}

static void fail(struct server *s)
{
	s->exit_status = 1;
	stop(s);
}

void server_target_is_closed(struct server *s, struct server_target_state *t)
{
	s->closed_n++;
	maybe_end(s);
}

/* ---- starting, on reactor 0 ------------------------------------------------------------------------------------------------------ */

static const char *plural(unsigned n) { return n == 1 ? "" : "s"; }

void server_target_is_open(struct server *s, struct server_target_state *t, int err)
{
	if (err < 0)
		return fail(s);
	if (s->stopping)
		return;
	t->in_service = true;
	t->reg.space = t->first_space;
	if (++s->open_n < s->targets_n)
		return;
	mgmtc_serving(s->mgmtc);
}

static void on_online(void *arg)
{
	struct server *s = arg;

	log_notice("node", "serving %u target%s as node %u (%s)", s->targets_n, plural(s->targets_n), s->reg.node, s->reg.alias);
	daemon_ready();
}

static int keep_identity(struct server *s, struct server_target_state *t)
{
	struct identity *id = &t->identity, before = *id;
	char why[IDENTITY_WHY_MAX];
	int r;

	if (id->id != WP_TARGET_NONE && id->id != t->reg.id) {
		log_err("node", "the management daemon gave number %u to the target in %s, which has number %u", t->reg.id, t->pub.dir, id->id);
		return -WEFT_ECONFLICT;
	}
	id->id = t->reg.id;
	id->cluster = s->reg.cluster;
	(void)str_copy(id->alias, sizeof(id->alias), t->reg.alias);
	if (!memcmp(&before, id, sizeof(before)))
		return 0;
	r = identity_write(t->pub.dir, id, why);
	if (r < 0)
		log_err("node", "%s", why);
	return r;
}

static void maybe_open(struct server *s)
{
	if (!s->registered || !mgmtc_map(s->mgmtc) || s->stopping)
		return;
	for (unsigned i = 0; i < io_reactors_count(s->reactors); i++)
		io_tell(s->r[i].env, open_targets, &s->r[i]);
}

static void on_registered(void *arg, const struct mgmtc_registration *reg)
{
	struct server *s = arg;
	bool again = s->registered;

	for (unsigned i = 0; i < s->targets_n; i++) {
		struct server_target_state *t = &s->targets[i];

		s->reg = *reg;
		if (keep_identity(s, t) < 0)
			return fail(s);
		if (again)
			continue; /* its reactor uses the fields already */
		t->pub.id = t->reg.id;
		t->pub.uuid = t->identity.uuid;
		t->pub.cluster = reg->cluster;
		memcpy(t->pub.cap_key, reg->key, sizeof(t->pub.cap_key));
	}
	s->registered = true;
	if (!again)
		maybe_open(s);
}

static void on_map(void *arg, struct cluster_map *map)
{
	struct server *s = arg;
	bool first = !s->r[0].map;

	for (unsigned i = 0; i < io_reactors_count(s->reactors); i++) {
		struct map_message *m = NEW(struct map_message);

		m->r = &s->r[i];
		m->map = cluster_map_ref(map);
		if (i)
			io_tell(s->r[i].env, take_map, m);
		else
			take_map(m);
	}
	if (first)
		maybe_open(s);
}

static void on_space(void *arg, struct space_table *table)
{
	struct server *s = arg;

	for (unsigned i = 0; i < io_reactors_count(s->reactors); i++) {
		struct table_message *m = NEW(struct table_message);

		m->r = &s->r[i];
		m->table = space_table_ref(table);
		if (i)
			io_tell(s->r[i].env, take_table, m);
		else
			take_table(m);
	}
}

/*
 * At the start there is somebody to read the message and nothing to lose; later a wrong setting of the management daemon must not
 * take the servers down. The process that was this node may have died unnoticed: conflicts are tried for some time.
 */
static void on_refused(void *arg, int err, const char *why)
{
	struct server *s = arg;

	log_err("node", "the management daemon refused the registration: %s", why);
	if (s->registered || err == -WEFT_ELOCKED || (err == -WEFT_ECONFLICT && ++s->conflicts < CONFLICTS_MAX))
		return;
	fail(s);
}

static const struct mgmtc_ops mgmtc_ops = { .registered = on_registered, .map = on_map, .refused = on_refused, .online = on_online };
static const struct mgmtc_ops mgmtc_space_ops = {
	.registered = on_registered, .map = on_map, .space = on_space, .refused = on_refused, .online = on_online
};

/* ---- making everything ------------------------------------------------------------------------------------------------------------ */

static struct rpc_node *route(void *arg, uint16_t service, uint32_t target)
{
	struct server *s = arg;

	if (service != s->program->service)
		return NULL;
	for (unsigned i = 0; i < s->targets_n; i++)
		if (s->targets[i].in_service && s->targets[i].pub.id == target)
			return s->targets[i].pub.node;
	return NULL;
}

static unsigned reactors_wanted(const struct server *s)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n = (unsigned)server_options.reactors;

	if (!n)
		n = MIN(s->targets_n, (unsigned)MAX(cpus, 1));
	return MIN(n, MIN(s->targets_n, WEFT_REACTORS_MAX));
}

static int make_nodes(struct server *s, const struct rpc_identity *id)
{
	int r;

	for (unsigned i = 0; i < io_reactors_count(s->reactors); i++) {
		struct server_reactor *x = &s->r[i];

		x->server = s;
		x->env = io_reactors_get(s->reactors, i)->env;
		x->space = (struct env_timer){ .fn = tell_space, .arg = x };
		r = rpc_node_new(x->env, id, &x->node);
		if (r < 0)
			return r;
		x->peers = peers_new(x->node);
		rpc_node_set_counters(x->node, counter_rows, x);
	}
	for (unsigned i = 0; i < s->targets_n; i++) {
		struct server_target_state *t = &s->targets[i];

		t->pub.env = s->r[t->reactor].env;
		t->pub.node = s->r[t->reactor].node;
		t->pub.peers = s->r[t->reactor].peers;
	}
	return 0;
}

static int prepare_targets(struct server *s)
{
	for (unsigned i = 0; i < s->targets_n; i++) {
		struct server_target_state *t = &s->targets[i];
		int r;

		t->reactor = i % io_reactors_count(s->reactors);
		r = server_target_prepare(s, t, server_options.targets.v[i]);
		if (!r)
			r = server_target_open_device(s, t);
		if (r < 0)
			return r;
		t->pub.backend = t->identity.backend;
		t->pub.boot_epoch = t->identity.boot_epoch;
		t->pub.auth_none = daemon_common.auth == WP_AUTH_NONE;
		if (i && !wp_uuid_is_zero(&t->identity.cluster) && !wp_uuid_is_zero(&s->targets[0].identity.cluster) &&
		    !wp_uuid_eq(&t->identity.cluster, &s->targets[0].identity.cluster)) {
			log_err("node", "%s and %s belong to different clusters: serve them by different daemons", t->pub.dir,
				s->targets[0].pub.dir);
			return -WEFT_EFOREIGN;
		}
	}
	return 0;
}

static void describe(struct server_target_state *t)
{
	struct mgmtc_target *g = &t->reg;

	g->service = t->server->program->service;
	g->id = t->identity.id;
	g->format = t->identity.format;
	g->uuid = t->identity.uuid;
	(void)str_copy(g->alias, sizeof(g->alias), t->identity.alias);
	(void)str_copy(g->pool, sizeof(g->pool), server_options.pool ? server_options.pool : "");
	server_target_space(t, &g->space);
}

static int make_mgmtc(struct server *s)
{
	struct mgmtc_params p = {
		.node = s->r[0].node,
		.mgmtd = (const char *const *)daemon_common.mgmtd.v,
		.mgmtd_n = daemon_common.mgmtd.n,
		.uuid = s->node_uuid,
		.role = s->program->role,
		.pid = (uint32_t)getpid(),
		.alias = daemon_options.name,
		.version = WEFT_VERSION,
		.host = cluster_host(),
		.domain = daemon_options.domain,
		.ops = s->program->wants_space ? &mgmtc_space_ops : &mgmtc_ops,
		.arg = s,
	};
	char **addrs = daemon_addresses(s->r[0].node, &p.addrs_n);
	int r;

	p.addrs = (const char *const *)addrs;
	for (unsigned i = 0; i < s->targets_n; i++)
		if (wp_uuid_is_zero(&p.cluster))
			p.cluster = s->targets[i].identity.cluster;
	r = mgmtc_new(&p, &s->mgmtc);
	daemon_free_addresses(addrs);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < s->targets_n; i++) {
		describe(&s->targets[i]);
		mgmtc_add_target(s->mgmtc, &s->targets[i].reg);
	}
	return 0;
}

static int make(struct server *s, struct rpc_identity *id)
{
	int r;

	s->targets_n = server_options.targets.n;
	s->targets = xcalloc(s->targets_n, sizeof(s->targets[0]));
	for (unsigned i = 0; i < s->targets_n; i++)
		s->targets[i].lock_fd = -1;
	r = io_reactors_new(reactors_wanted(s), "weft-io", &s->reactors);
	if (r < 0)
		log_err("node", "cannot start: %s", env_linux_strerror(r));
	else
		r = prepare_targets(s);
	if (!r)
		r = daemon_write_pid_file();
	if (r < 0)
		return r;
	id->uuid = s->node_uuid = s->targets[0].identity.node;
	r = make_nodes(s, id);
	if (r < 0)
		return r;
	rpc_node_set_router(s->r[0].node, route, s);
	r = daemon_listen(s->r[0].node, s->program->listen_default);
	return r ? r : make_mgmtc(s);
}

static void unmake(struct server *s)
{
	unsigned n = s->reactors ? io_reactors_count(s->reactors) : 0;

	mgmtc_free(s->mgmtc);
	for (unsigned i = 0; i < n; i++)
		peers_free(s->r[i].peers);
	for (unsigned i = 0; i < n; i++)
		if (s->r[i].node)
			rpc_node_free(s->r[i].node);
	for (unsigned i = 0; i < s->targets_n; i++)
		server_target_release(&s->targets[i]);
	for (unsigned i = 0; i < n; i++)
		cluster_map_unref(s->r[i].map), space_table_unref(s->r[i].table);
	io_reactors_free(s->reactors);
	free(s->targets);
}

static void check(void *arg, struct conf *c)
{
	daemon_check(c);
	if (!daemon_common.mgmtd.n)
		conf_error(c, "mgmtd", "missing: say where the management daemon is, --mgmtd tcp:HOST:PORT");
}

int server_main(const struct server_program *p, int argc, char **argv)
{
	struct conf_program conf = p->conf;
	struct server s = { .program = p, .opts = &server_options };
	struct rpc_identity id;
	unsigned n = 0;
	int status, r;

	while (conf.tables[n])
		n++;
	weft_assert(n + 3 <= CONF_TABLES_MAX);
	conf.tables[n++] = &server_table;
	conf.tables[n++] = &daemon_table;
	conf.tables[n++] = &daemon_common_table;
	conf.check = check;
	if (!daemon_start(&conf, argc, argv, p->role, &id, &status))
		return status;
	if (make(&s, &id) < 0) {
		s.exit_status = 1;
	} else {
		daemon_watch_signals(s.r[0].env, stop, &s);
		mgmtc_start(s.mgmtc);
		r = io_reactors_run(s.reactors);
		if (r < 0) {
			log_err("node", "cannot start a thread: %s", strerror(-r));
			s.exit_status = 1;
		}
	}
	unmake(&s);
	explicit_bzero(&id, sizeof(id));
	daemon_end();
	return s.exit_status;
}
