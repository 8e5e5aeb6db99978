/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Path resolution, on the reactor: one look-up after the other. */
#include "client/lib/lib_priv.h"

static void walk_step(struct wcall *w, struct lib_walk *k);

void walk_init(struct lib_walk *k, struct weft_dir *at, const char *path, bool parent, bool follow, wcall_fn *next)
{
	memset(k, 0, sizeof(*k));
	k->dir = at && path && path[0] != '/' ? at->fid : WP_FID_ROOT;
	k->rest = path ? path : "";
	k->parent = parent;
	k->follow = follow;
	k->next = next;
}

/* Which walk of the call is under way: the second starts when the first is done. */
static struct lib_walk *walk_of(struct wcall *w)
{
	return w->walk.next ? &w->walk : &w->walk2;
}

static void walk_end(struct wcall *w, struct lib_walk *k)
{
	wcall_fn *next = k->next;

	k->next = NULL;
	next(w);
}

static void walk_got_link(void *arg, int err, const struct client_res *res)
{
	struct wcall *w = arg;
	struct lib_walk *k = walk_of(w);
	char *path;

	if (err) {
		wcall_done(w, err);
		return;
	}
	path = xasprintf("%.*s/%s", (int)res->len, (const char *)res->data, k->rest);
	/* The slash in between must not turn the end of the path into "a directory is wanted". */
	if (!*k->rest && !k->must_dir)
		path[res->len] = '\0';
	free(k->heap);
	k->heap = path;
	k->rest = path;
	k->must_dir = false;
	if (path[0] == '/')
		k->dir = WP_FID_ROOT;
	walk_step(w, k);
}

static void walk_found(void *arg, int err, const struct client_res *res)
{
	struct wcall *w = arg;
	struct lib_walk *k = walk_of(w);
	bool last = !*k->rest;

	if (err) {
		wcall_done(w, err);
		return;
	}
	k->attr = res->attr;
	if (S_ISLNK(res->attr.mode) && (!last || k->follow || k->must_dir)) {
		walk_through(w, k, &res->attr.fid);
		return;
	}
	if (!S_ISDIR(res->attr.mode) && (!last || k->must_dir)) {
		wcall_done(w, -ENOTDIR);
		return;
	}
	k->dir = res->attr.fid;
	if (last)
		walk_end(w, k);
	else
		walk_step(w, k);
}

/* Takes the next component off k->rest. */
static void walk_component(struct lib_walk *k)
{
	const char *p = k->rest, *end;

	while (*p == '/')
		p++;
	end = strchrnul(p, '/');
	k->name = wp_str_n(p, (uint32_t)(end - p));
	k->must_dir = *end == '/';
	while (*end == '/')
		end++;
	k->rest = end;
}

static void walk_step(struct wcall *w, struct lib_walk *k)
{
	walk_component(k);
	if (!k->name.len) {
		/* Nothing but slashes: the directory itself. */
		if (k->parent)
			wcall_done(w, -EEXIST);
		else
			client_getattr(w->c, &k->dir, walk_found, w);
		return;
	}
	if (k->name.len > WP_NAME_MAX)
		wcall_done(w, -ENAMETOOLONG);
	else if (k->parent && !*k->rest)
		walk_end(w, k);
	else if (k->name.len == 2 && !memcmp(k->name.p, "..", 2))
		client_lookup_parent(w->c, &k->dir, walk_found, w);
	else
		client_lookup(w->c, &w->cred, &k->dir, k->name, walk_found, w);
}

void walk_run(struct wcall *w, struct lib_walk *k)
{
	if (!*k->rest)
		wcall_done(w, -ENOENT);
	else if (strlen(k->rest) >= 4096)
		wcall_done(w, -ENAMETOOLONG);
	else
		walk_step(w, k);
}

void walk_through(struct wcall *w, struct lib_walk *k, const struct wp_fid *link)
{
	if (++k->links > LIB_LINKS_MAX)
		wcall_done(w, -ELOOP);
	else
		client_readlink(w->c, link, walk_got_link, w);
}
