/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* weft node, target and pool alias, drain, remove...: changes of the map. What is refused is explained from the map. */
#include "cli/cli.h"

#define DEFAULT_POOL "default"
#define LINE 400

static bool force;
const struct cli_option remove_options[] = { { 'f', "force", OPT_FLAG, &force, NULL, "even if it is online or in use" },
					     { 0 } };

/* Sends what admin_enc encoded, and closes the view. say explains errors that mean something special here: it prints and returns
 * true, or returns false. */
typedef bool say_fn(const struct view *v, int err, const void *arg);

static int change(struct view *v, uint16_t op, const char *what, say_fn *say, const void *arg)
{
	const uint8_t *reply;
	uint32_t len;
	int r = admin_call(v->admin, op, &reply, &len);

	if (r < 0 && !(say && say(v, r, arg)))
		admin_fail(v->admin, what, r);
	view_close(v);
	return r < 0 ? 1 : 0;
}

/* "storage2 storage3 ..." of the targets that fit; at most a line of them. */
static unsigned names_of(const struct view *v, bool (*fits)(const struct wp_target_info *t, const void *arg), const void *arg,
			 char *buf, size_t size)
{
	unsigned n = 0;
	size_t at = 0;

	buf[0] = '\0';
	for (uint32_t i = 0; i < v->map->targets_n; i++) {
		const struct wp_target_info *t = &v->map->targets[i];

		if (!fits(t, arg))
			continue;
		n++;
		if (at + t->alias.len + 8 < size)
			at += (size_t)snprintf(buf + at, size - at, "%s%.*s", at ? " " : "", WP_STR_ARG(t->alias));
		else if (size - at > 4)
			at += (size_t)snprintf(buf + at, size - at, " ...");
	}
	return n;
}

static struct wp_str arg_str(const char *s) { return (struct wp_str){ s, (uint32_t)strlen(s) }; }

static bool say_name(const struct view *v, int err, const void *arg)
{
	const char *name = arg;

	if (err == -WEFT_ECONFLICT || err == -EEXIST)
		cli_fail("'%s' is in use as a name already: choose another one", name);
	else if (err == -EINVAL)
		cli_fail("'%s' cannot be a name: letters, digits, '.', '_' and '-', at most %d of them, beginning with a letter or "
			 "digit and not digits alone", name, WP_ALIAS_MAX);
	else
		return false;
	return true;
}

static int set_alias(struct view *v, uint8_t entity, uint32_t id, const char *name)
{
	struct wp_set_alias_req req = { .entity = entity, .id = id, .alias = arg_str(name) };

	if (req.alias.len > WP_ALIAS_MAX) {
		(void)say_name(v, -EINVAL, name);
		view_close(v);
		return 1;
	}
	wp_set_alias_req_enc(admin_enc(v->admin), &req);
	return change(v, WP_OP_SET_ALIAS, "cannot change the name", say_name, name);
}

int verb_node_alias(int argc, char **argv)
{
	const struct wp_node_info *n;
	struct view v;

	if (view_open(&v) < 0)
		return 1;
	n = find_node(&v, argv[0]);
	if (n)
		return set_alias(&v, WP_ENTITY_NODE, n->id, argv[1]);
	view_close(&v);
	return 1;
}

static uint8_t target_entity(const struct wp_target_info *t)
{
	return t->service == WP_SERVICE_META ? WP_ENTITY_TARGET_META : WP_ENTITY_TARGET_STORAGE;
}

int verb_target_alias(int argc, char **argv)
{
	const struct wp_target_info *t;
	struct view v;

	if (view_open(&v) < 0)
		return 1;
	t = find_target(&v, argv[0]);
	if (t)
		return set_alias(&v, target_entity(t), t->id, argv[1]);
	view_close(&v);
	return 1;
}

int verb_pool_alias(int argc, char **argv)
{
	const struct wp_pool_info *p;
	struct view v;

	if (view_open(&v) < 0)
		return 1;
	p = find_pool(&v, argv[0]);
	if (p && !strcmp(argv[0], DEFAULT_POOL)) {
		cli_fail("the pool '%s' keeps its name: what names no pool uses it", argv[0]);
		p = NULL;
	}
	if (p)
		return set_alias(&v, WP_ENTITY_POOL, p->id, argv[1]);
	view_close(&v);
	return 1;
}

static int set_state(const char *name, uint8_t state)
{
	struct wp_set_target_state_req req = { .state = state };
	const struct wp_target_info *t;
	struct view v;

	if (view_open(&v) < 0)
		return 1;
	t = find_target(&v, name);
	if (!t) {
		view_close(&v);
		return 1;
	}
	req.service = t->service;
	req.target = t->id;
	wp_set_target_state_req_enc(admin_enc(v.admin), &req);
	return change(&v, WP_OP_SET_TARGET_STATE, "cannot change the state", NULL, NULL);
}

int verb_target_drain(int argc, char **argv) { return set_state(argv[0], WP_TARGET_STATE_DRAINING); }
int verb_target_resume(int argc, char **argv) { return set_state(argv[0], WP_TARGET_STATE_ONLINE); }

static bool is_on_node(const struct wp_target_info *t, const void *arg) { return t->node == *(const uint32_t *)arg; }

static bool say_node_used(const struct view *v, int err, const void *arg)
{
	const struct wp_node_info *n = arg;
	char names[LINE];

	if (err == -ENOENT && n->role == WP_ROLE_MGMTD)
		return cli_fail("this is the management daemon itself: it cannot be removed");
	if (err != -EBUSY)
		return false;
	if (names_of(v, is_on_node, &n->id, names, sizeof(names)))
		cli_fail("node %.*s still has targets: %s. Remove these first (weft target remove ...), or start another server with "
			 "their folders", WP_STR_ARG(n->alias), names);
	else if (n->role == WP_ROLE_CLIENT)
		cli_fail("node %.*s is a mount in use on host %.*s (pid %u): unmount it there, or use --force", WP_STR_ARG(n->alias),
			 WP_STR_ARG(n->host), n->pid);
	else
		cli_fail("node %.*s is online on host %.*s (pid %u): stop that daemon first, or use --force", WP_STR_ARG(n->alias),
			 WP_STR_ARG(n->host), n->pid);
	return true;
}

int verb_node_remove(int argc, char **argv)
{
	struct wp_remove_req req = { .entity = WP_ENTITY_NODE, .force = force };
	const struct wp_node_info *n;
	struct view v;

	if (view_open(&v) < 0)
		return 1;
	n = find_node(&v, argv[0]);
	if (!n) {
		view_close(&v);
		return 1;
	}
	req.id = n->id;
	wp_remove_req_enc(admin_enc(v.admin), &req);
	return change(&v, WP_OP_REMOVE, "cannot remove the node", say_node_used, n);
}

static bool say_target_used(const struct view *v, int err, const void *arg)
{
	const struct wp_target_info *t = arg;
	const struct wp_node_info *n = node_by_id(v, t->node);

	if (err == -EINVAL)
		return cli_fail("metadata target 0 holds the root directory: it cannot be removed");
	if (err != -EBUSY)
		return false;
	return cli_fail("target %.*s is in use: node %.*s (pid %u on host %.*s) serves it. 'weft target drain %.*s' gives it nothing new; "
			"what lies on it is lost to the file system when it goes. To remove it nevertheless, stop that daemon first, or "
			"use --force", WP_STR_ARG(t->alias), WP_STR_ARG(n ? n->alias : wp_str("?")), n ? n->pid : 0,
			WP_STR_ARG(n ? n->host : wp_str("?")), WP_STR_ARG(t->alias));
}

int verb_target_remove(int argc, char **argv)
{
	struct wp_remove_req req = { .force = force };
	const struct wp_target_info *t;
	struct view v;

	if (view_open(&v) < 0)
		return 1;
	t = find_target(&v, argv[0]);
	if (!t) {
		view_close(&v);
		return 1;
	}
	req.entity = target_entity(t);
	req.id = t->id;
	wp_remove_req_enc(admin_enc(v.admin), &req);
	return change(&v, WP_OP_REMOVE, "cannot remove the target", say_target_used, t);
}

int verb_pool_create(int argc, char **argv)
{
	struct wp_pool_create_req req = { .alias = arg_str(argv[0]) };
	struct view v;

	if (view_open(&v) < 0)
		return 1;
	if (req.alias.len > WP_ALIAS_MAX) {
		(void)say_name(&v, -EINVAL, argv[0]);
		view_close(&v);
		return 1;
	}
	wp_pool_create_req_enc(admin_enc(v.admin), &req);
	return change(&v, WP_OP_POOL_CREATE, "cannot create the pool", say_name, argv[0]);
}

static bool is_in_pool(const struct wp_target_info *t, const void *arg)
{
	const struct wp_pool_info *p = arg;

	return t->service == WP_SERVICE_STORAGE && wp_str_eq(t->pool, p->alias);
}

static bool say_pool_used(const struct view *v, int err, const void *arg)
{
	const struct wp_pool_info *p = arg;
	char names[LINE];

	if (err == -EINVAL)
		return cli_fail("the pool '%.*s' always exists: what names no pool uses it", WP_STR_ARG(p->alias));
	if (err != -EBUSY)
		return false;
	names_of(v, is_in_pool, p, names, sizeof(names));
	return cli_fail("the pool '%.*s' still has the targets %s: move them into another one first, as in 'weft pool assign %s %s'",
			WP_STR_ARG(p->alias), names, DEFAULT_POOL, names);
}

int verb_pool_delete(int argc, char **argv)
{
	struct wp_pool_delete_req req;
	const struct wp_pool_info *p;
	struct view v;

	if (view_open(&v) < 0)
		return 1;
	p = find_pool(&v, argv[0]);
	if (!p) {
		view_close(&v);
		return 1;
	}
	req = (struct wp_pool_delete_req){ .pool = p->id };
	wp_pool_delete_req_enc(admin_enc(v.admin), &req);
	return change(&v, WP_OP_POOL_DELETE, "cannot delete the pool", say_pool_used, p);
}

static int assign_one(const char *pool, const char *target)
{
	struct wp_pool_assign_req req = { .pool = arg_str(pool) };
	const struct wp_target_info *t;
	struct view v;

	if (view_open(&v) < 0)
		return 1;
	t = find_pool(&v, pool) ? find_target(&v, target) : NULL;
	if (t && t->service != WP_SERVICE_STORAGE) {
		cli_fail("'%s' is a metadata target; pools hold storage targets", target);
		t = NULL;
	}
	if (!t) {
		view_close(&v);
		return 1;
	}
	req.target = t->id;
	wp_pool_assign_req_enc(admin_enc(v.admin), &req);
	return change(&v, WP_OP_POOL_ASSIGN, "cannot assign the target", NULL, NULL);
}

int verb_pool_assign(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (assign_one(argv[0], argv[i]))
			return 1;
	return 0;
}

int verb_registration(int argc, char **argv)
{
	struct wp_registration_lock_req req = { .locked = !strcmp(argv[0], "lock") };
	struct view v;

	if (!req.locked && strcmp(argv[0], "unlock"))
		return cli_fail("usage: weft registration lock|unlock"), 2;
	if (view_open(&v) < 0)
		return 1;
	wp_registration_lock_req_enc(admin_enc(v.admin), &req);
	return change(&v, WP_OP_REGISTRATION_LOCK, "cannot change it", NULL, NULL);
}

