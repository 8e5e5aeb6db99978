/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The cluster as the management daemon shows it, and what people call its parts. */
#include <stdlib.h>

#include "cli/cli.h"

int view_open(struct view *v)
{
	int r;

	*v = (struct view){ 0 };
	r = admin_open(&v->admin);
	if (r < 0)
		return r;
	r = admin_map(v->admin, &v->map);
	if (!r)
		r = admin_space(v->admin, &v->space);
	if (r < 0) {
		admin_fail(v->admin, "cannot read the cluster map", r);
		view_close(v);
	}
	return r;
}

void view_close(struct view *v)
{
	admin_close(v->admin);
	*v = (struct view){ 0 };
}

static bool by_number(uint32_t id, const char *name)
{
	char *end;
	unsigned long n = strtoul(name, &end, 10);

	return *name && !*end && n == id;
}

/* Nodes come in no order; listings look up one for each target, which mostly is that of the target before. */
const struct wp_node_info *node_by_id(const struct view *v, uint32_t id)
{
	static uint32_t last;

	if (last < v->map->nodes_n && v->map->nodes[last].id == id)
		return &v->map->nodes[last];
	for (uint32_t i = 0; i < v->map->nodes_n; i++)
		if (v->map->nodes[i].id == id)
			return &v->map->nodes[last = i];
	return NULL;
}

static int cmp_space(const void *a, const void *b)
{
	const struct wp_target_space *x = a, *y = b;

	if (x->service != y->service)
		return x->service < y->service ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

const struct wp_target_space *space_of(const struct view *v, const struct wp_target_info *t)
{
	struct wp_target_space key = { .id = t->id, .service = t->service };

	return v->space.n ? bsearch(&key, v->space.rows, v->space.n, sizeof(key), cmp_space) : NULL;
}

static bool str_is(struct wp_str s, const char *t) { return s.len == strlen(t) && !memcmp(s.p ? s.p : "", t, s.len); }

/* By alias or number. */
const struct wp_node_info *find_node(const struct view *v, const char *name)
{
	for (uint32_t i = 0; i < v->map->nodes_n; i++) {
		const struct wp_node_info *n = &v->map->nodes[i];

		if (str_is(n->alias, name) || by_number(n->id, name))
			return n;
	}
	cli_fail("no node '%s': see 'weft node list'", name);
	return NULL;
}

/* By alias, meta:N, storage:N. */
const struct wp_target_info *find_target(const struct view *v, const char *name)
{
	for (uint32_t i = 0; i < v->map->targets_n; i++) {
		const struct wp_target_info *t = &v->map->targets[i];
		char id[32];

		snprintf(id, sizeof(id), "%s:%u", t->service == WP_SERVICE_META ? "meta" : "storage", t->id);
		if (str_is(t->alias, name) || !strcmp(id, name))
			return t;
	}
	cli_fail("no target '%s': see 'weft target list' (a name, meta:N or storage:N)", name);
	return NULL;
}

const struct wp_pool_info *find_pool(const struct view *v, const char *name)
{
	for (uint32_t i = 0; i < v->map->pools_n; i++)
		if (str_is(v->map->pools[i].alias, name))
			return &v->map->pools[i];
	cli_fail("no pool '%s': see 'weft pool list'", name);
	return NULL;
}

