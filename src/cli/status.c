/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* weft status, df, node, target and pool list and show: what the management daemon knows. */
#include "cli/cli.h"

#include "cli/mounts.h"

#define DEFAULT_DIR "./var"

/* ---- rows from the map --------------------------------------------------------------------------------- */

static json_t *text(struct wp_str s) { return json_stringn(s.p ? s.p : "", s.len); }

static json_t *lower(const char *name)
{
	char buf[32];
	size_t i;

	for (i = 0; name[i] && i + 1 < sizeof(buf); i++)
		buf[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
	buf[i] = '\0';
	return json_string(buf);
}

static json_t *uuid_text(const struct wp_uuid *u)
{
	char s[37];
	const uint8_t *b = u->b;

	snprintf(s, sizeof(s), "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3],
		 b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
	return json_string(s);
}

static const struct wp_mount_info *mount_of(const struct wp_map *map, uint32_t node)
{
	for (uint32_t i = 0; i < map->mounts_n; i++)
		if (map->mounts[i].node == node)
			return &map->mounts[i];
	return NULL;
}

static json_t *node_row(const struct wp_map *map, const struct wp_node_info *n)
{
	const struct wp_mount_info *m = n->role == WP_ROLE_CLIENT ? mount_of(map, n->id) : NULL;
	json_t *addrs = json_array(), *row = json_object();

	for (uint32_t i = 0; i < n->addrs_n; i++)
		json_array_append_new(addrs, text(n->addrs[i].text));
	json_object_set_new(row, "id", json_integer(n->id));
	json_object_set_new(row, "name", text(n->alias));
	json_object_set_new(row, "role", lower(n->role == WP_ROLE_CLIENT ? "mount" : wp_role_name(n->role)));
	json_object_set_new(row, "state", lower(wp_target_state_name(n->state)));
	json_object_set_new(row, "pid", json_integer(n->pid));
	json_object_set_new(row, "host", text(n->host));
	json_object_set_new(row, "version", text(n->version));
	json_object_set_new(row, "uuid", uuid_text(&n->uuid));
	json_object_set_new(row, "address", n->addrs_n ? text(n->addrs[0].text) : m ? text(m->path) : json_string("-"));
	json_object_set_new(row, "addresses", addrs);
	if (m) {
		json_object_set_new(row, "mount", text(m->path));
		json_object_set_new(row, "transport", text(m->transport));
	}
	return row;
}

static json_t *target_row(const struct view *v, const struct wp_target_info *t)
{
	const struct wp_node_info *n = node_by_id(v, t->node);
	const struct wp_target_space *s = space_of(v, t);
	json_t *row = json_object();

	json_object_set_new(row, "kind", lower(wp_service_name(t->service)));
	json_object_set_new(row, "id", json_integer(t->id));
	json_object_set_new(row, "name", text(t->alias));
	json_object_set_new(row, "state", lower(wp_target_state_name(t->state)));
	json_object_set_new(row, "node", n ? text(n->alias) : json_null());
	json_object_set_new(row, "pool", t->service == WP_SERVICE_STORAGE ? text(t->pool) : json_null());
	json_object_set_new(row, "capacity", lower(wp_capacity_name(t->capacity)));
	json_object_set_new(row, "total", s ? json_integer((json_int_t)s->total) : json_null());
	json_object_set_new(row, "free", s ? json_integer((json_int_t)s->free) : json_null());
	json_object_set_new(row, "used_percent",
			    s && s->total ? json_real(100.0 * (double)(s->total - s->free) / (double)s->total) : json_null());
	json_object_set_new(row, "inodes", s ? json_integer((json_int_t)s->inodes) : json_null());
	json_object_set_new(row, "inodes_free", s ? json_integer((json_int_t)s->inodes_free) : json_null());
	json_object_set_new(row, "uuid", uuid_text(&t->uuid));
	return row;
}

static json_t *target_rows(const struct view *v)
{
	json_t *rows = json_array();

	for (uint32_t i = 0; i < v->map->targets_n; i++)
		json_array_append_new(rows, target_row(v, &v->map->targets[i]));
	return rows;
}

static const struct column node_columns[] = {
	{ "id", "ID", COL_NUMBER },	   { "name", "NAME", COL_TEXT },       { "role", "ROLE", COL_TEXT },
	{ "state", "STATE", COL_TEXT },	   { "pid", "PID", COL_NUMBER },       { "host", "HOST", COL_TEXT },
	{ "transport", "FUSE", COL_TEXT }, { "address", "ADDRESS", COL_TEXT }, { 0 },
};

static const struct column target_columns[] = {
	{ "kind", "KIND", COL_TEXT },         { "id", "ID", COL_NUMBER },     { "name", "NAME", COL_TEXT },
	{ "state", "STATE", COL_TEXT },       { "pool", "POOL", COL_TEXT },   { "capacity", "CAPACITY", COL_TEXT },
	{ "total", "SIZE", COL_BYTES },       { "free", "FREE", COL_BYTES },  { "used_percent", "USED", COL_PERCENT },
	{ "node", "NODE", COL_TEXT },         { 0 },
};

static const struct column df_columns[] = {
	{ "name", "TARGET", COL_TEXT },      { "kind", "KIND", COL_TEXT },        { "total", "SIZE", COL_BYTES },
	{ "free", "FREE", COL_BYTES },       { "used_percent", "USED", COL_PERCENT }, { "inodes", "INODES", COL_NUMBER },
	{ "inodes_free", "IFREE", COL_NUMBER }, { "capacity", "CAPACITY", COL_TEXT }, { 0 },
};

/* ---- listings ------------------------------------------------------------------------------------------ */

int verb_node_list(int argc, char **argv)
{
	json_t *rows = json_array();
	struct view v;

	if (view_open(&v) < 0)
		return json_decref(rows), 1;
	for (uint32_t i = 0; i < v.map->nodes_n; i++)
		json_array_append_new(rows, node_row(v.map, &v.map->nodes[i]));
	table_print(rows, node_columns);
	view_close(&v);
	return 0;
}

static int list_targets(const struct column *columns)
{
	struct view v;

	if (view_open(&v) < 0)
		return 1;
	table_print(target_rows(&v), columns);
	view_close(&v);
	return 0;
}

int verb_target_list(int argc, char **argv) { return list_targets(target_columns); }
int verb_df(int argc, char **argv) { return list_targets(df_columns); }

int verb_pool_list(int argc, char **argv)
{
	static const struct column columns[] = { { "name", "POOL", COL_TEXT },
						 { "targets", "TARGETS", COL_NUMBER },
						 { "total", "SIZE", COL_BYTES },
						 { "free", "FREE", COL_BYTES },
						 { 0 } };
	json_t *rows = json_array();
	struct view v;

	if (view_open(&v) < 0)
		return json_decref(rows), 1;
	for (uint32_t p = 0; p < v.map->pools_n; p++) {
		const struct wp_pool_info *pool = &v.map->pools[p];
		uint64_t total = 0, free_bytes = 0, n = 0;

		for (uint32_t i = 0; i < v.map->targets_n; i++) {
			const struct wp_target_info *t = &v.map->targets[i];
			const struct wp_target_space *s = space_of(&v, t);

			if (t->service != WP_SERVICE_STORAGE || t->pool.len != pool->alias.len ||
			    memcmp(t->pool.p, pool->alias.p, t->pool.len))
				continue;
			n++;
			total += s ? s->total : 0;
			free_bytes += s ? s->free : 0;
		}
		json_array_append_new(rows, json_pack("{s:I, s:o, s:I, s:I, s:I}", "id", (json_int_t)pool->id, "name",
						      text(pool->alias), "targets", (json_int_t)n, "total", (json_int_t)total,
						      "free", (json_int_t)free_bytes));
	}
	table_print(rows, columns);
	view_close(&v);
	return 0;
}

static void print_object(json_t *o)
{
	const char *key;
	json_t *value;
	char buf[32];

	if (cli.json) {
		json_print(o);
		return;
	}
	json_object_foreach (o, key, value) {
		bool bytes = !strcmp(key, "total") || !strcmp(key, "free");

		printf("%-14s ", key);
		if (json_is_string(value))
			printf("%s\n", json_string_value(value));
		else if (bytes && json_is_integer(value))
			printf("%s\n", human_bytes((uint64_t)json_integer_value(value), buf, sizeof(buf)));
		else {
			json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_REAL_PRECISION(3));
			putchar('\n');
		}
	}
	json_decref(o);
}

int verb_node_show(int argc, char **argv)
{
	const struct wp_node_info *n;
	struct view v;

	if (view_open(&v) < 0)
		return 1;
	n = find_node(&v, argv[0]);
	if (n)
		print_object(node_row(v.map, n));
	view_close(&v);
	return n ? 0 : 1;
}

int verb_target_show(int argc, char **argv)
{
	const struct wp_target_info *t;
	struct view v;

	if (view_open(&v) < 0)
		return 1;
	t = find_target(&v, argv[0]);
	if (t)
		print_object(target_row(&v, t));
	view_close(&v);
	return t ? 0 : 1;
}

/* ---- status -------------------------------------------------------------------------------------------- */

/* A daemon of the local folder: what its process says, then what the map says of it. */
static json_t *local_row(const struct cluster *c, const struct daemon *d, const struct wp_map *map)
{
	pid_t pid = daemon_pid(c, d);
	bool is_mount = !strcmp(d->role, "mount");
	const char *state = pid ? "online" : "down";
	const struct wp_mount_info *m = NULL;
	json_t *row;

	for (uint32_t i = 0; map && pid && i < map->nodes_n; i++) {
		if (map->nodes[i].pid != (uint32_t)pid)
			continue;
		if (map->nodes[i].state == WP_TARGET_STATE_OFFLINE)
			state = "offline";
		if (is_mount)
			m = mount_of(map, map->nodes[i].id);
	}
	if (is_mount && pid && !mount_is_on(d->dir))
		state = "unmounted";
	row = json_pack("{s:s, s:s, s:I, s:s, s:s, s:s}", "role", d->role, "name", d->name, "pid", (json_int_t)pid, "address",
			is_mount	 ? d->dir
			: d->listen_tcp	 ? d->listen_tcp
			: d->listen_unix ? d->listen_unix
					 : "",
			"state", state, "folder", d->dir);
	if (m)
		json_object_set_new(row, "transport", text(m->transport));
	return row;
}

/* Shown already: the same process, or a server of that name that is down. */
static bool is_local(const struct cluster *c, const struct wp_node_info *n)
{
	for (unsigned i = 0; i < c->daemons_n; i++)
		if ((n->pid && (uint32_t)daemon_pid(c, &c->daemons[i]) == n->pid) ||
		    (n->role != WP_ROLE_CLIENT && wp_str_eq(n->alias, wp_str(c->daemons[i].name))))
			return true;
	return false;
}

static json_t *daemon_rows(const struct cluster *c, const struct wp_map *map)
{
	json_t *rows = json_array();

	for (unsigned i = 0; i < c->daemons_n; i++)
		json_array_append_new(rows, local_row(c, &c->daemons[i], map));
	for (uint32_t i = 0; map && i < map->nodes_n; i++)
		if (!is_local(c, &map->nodes[i]))
			json_array_append_new(rows, node_row(map, &map->nodes[i]));
	return rows;
}

/* Daemons of the local folder are started by `weft up`, which is said once; others where they are. */
static json_t *advice(json_t *row, const char *what, const char *name, const char *state)
{
	const char *host = json_string_value(json_object_get(row, "host")),
		   *role = json_string_value(json_object_get(row, "role"));

	if (host && role && !strcmp(state, "offline"))
		return json_sprintf("%s %s is %s: start weft-%s on host %s", what, name, state, role, host);
	return json_sprintf("%s %s is %s", what, name, state);
}

static void add_problems(json_t *problems, json_t *rows, const char *what)
{
	json_t *row;
	size_t i;

	json_array_foreach (rows, i, row) {
		const char *state = json_string_value(json_object_get(row, "state"));
		const char *name = json_string_value(json_object_get(row, "name"));
		const char *capacity = json_string_value(json_object_get(row, "capacity"));

		if (state && strcmp(state, "online") && strcmp(state, "draining"))
			json_array_append_new(problems, advice(row, what, name, state));
		else if (capacity && !strcmp(capacity, "emergency"))
			json_array_append_new(problems, json_sprintf("%s %s is nearly full: remove files, or add targets and "
								     "'weft target drain %s'",
								     what, name, name));
	}
}

static void print_status(json_t *daemons, json_t *targets, json_t *problems)
{
	static const struct column columns[] = { { "role", "DAEMON", COL_TEXT },
						 { "name", "NAME", COL_TEXT },
						 { "pid", "PID", COL_NUMBER },
						 { "state", "STATE", COL_TEXT },
						 { "transport", "FUSE", COL_TEXT },
						 { "address", "ADDRESS", COL_TEXT },
						 { 0 } };
	json_t *p;
	size_t i;

	table_print(json_incref(daemons), columns);
	if (json_array_size(targets)) {
		putchar('\n');
		table_print(json_incref(targets), target_columns);
	}
	putchar('\n');
	if (!json_array_size(problems))
		printf("Healthy.\n");
	json_array_foreach (problems, i, p)
		printf("Problem: %s\n", json_string_value(p));
}

int verb_status(int argc, char **argv)
{
	const char *dir = cli.dir ? cli.dir : DEFAULT_DIR;
	json_t *daemons, *targets, *problems = json_array();
	struct cluster c = { 0 };
	struct view v = { 0 };
	bool local, asked;
	int r;

	local = !cli.mgmtd && !cli.config && cluster_load(dir, &c) == 0;
	asked = !local || !cluster_find(&c, "mgmtd") || daemon_pid(&c, cluster_find(&c, "mgmtd"));
	r = asked ? view_open(&v) : -ENOTCONN;
	if (r < 0 && !local) {
		json_decref(problems);
		return 1;
	}
	daemons = daemon_rows(&c, v.map);
	targets = v.map ? target_rows(&v) : json_array();
	add_problems(problems, daemons, "daemon");
	add_problems(problems, targets, "target");
	if (cli.json)
		json_print(json_pack("{s:o, s:O, s:O, s:O}", "healthy", json_boolean(!json_array_size(problems)), "daemons",
				     daemons, "targets", targets, "problems", problems));
	else
		print_status(daemons, targets, problems);
	if (local && json_array_size(problems) && !cli.json)
		printf("`weft up --dir %s` starts what is down.\n", c.dir);
	r = json_array_size(problems) ? 1 : 0;
	json_decref(daemons);
	json_decref(targets);
	json_decref(problems);
	if (v.map)
		view_close(&v);
	cluster_done(&c);
	return r;
}
