/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "model.h"

#include "proto/fid.h"

static struct mnode *node_new(struct model *m, uint32_t mode, const struct wp_fid *fid)
{
	struct mnode *n = NEW(struct mnode);

	n->mode = mode;
	n->fid = *fid;
	list_init(&n->ents);
	content_init(&n->data);
	list_append(&m->nodes, &n->link);
	m->nodes_n++;
	if (S_ISDIR(mode)) {
		n->nlink = 2;
		m->dirs_n++;
	}
	return n;
}

static void node_free(struct model *m, struct mnode *n)
{
	struct ment *e;

	while ((e = list_pop(&n->ents, struct ment, link)))
		free(e);
	if (S_ISDIR(n->mode))
		m->dirs_n--;
	m->nodes_n--;
	list_del(&n->link);
	content_done(&n->data);
	free(n);
}

/* A root directory counts as linked. */
static void node_check(struct model *m, struct mnode *n)
{
	if (n->nlink == 0 && !n->opens && !n->busy && !n->shared)
		node_free(m, n);
}

void model_init(struct model *m)
{
	*m = (struct model){ 0 };
	list_init(&m->nodes);
	m->root = node_new(m, S_IFDIR | 0755, &WP_FID_ROOT);
	m->root->parent = m->root;
}

void model_done(struct model *m)
{
	while (!list_empty(&m->nodes))
		node_free(m, list_first(&m->nodes, struct mnode, link));
}

struct ment *model_find(struct mnode *dir, const char *name)
{
	struct ment *e;

	list_each(e, &dir->ents, link)
		if (!strcmp(e->name, name))
			return e;
	return NULL;
}

struct mnode *model_nth(struct model *m, unsigned i)
{
	struct mnode *n;

	list_each(n, &m->nodes, link)
		if (i-- == 0)
			return n;
	return m->root;
}

struct ment *model_hold_name(struct model *m, struct mnode *dir, const char *name)
{
	struct ment *e = model_find(dir, name);

	(void)m;
	if (dir->busy || (e && e->busy))
		return NULL;
	if (!e) {
		e = NEW(struct ment);
		e->dir = dir;
		weft_assert(str_copy(e->name, sizeof(e->name), name));
		list_append(&dir->ents, &e->link);
	}
	e->busy = true;
	dir->shared++;
	return e;
}

void model_release_name(struct model *m, struct ment *e)
{
	struct mnode *dir = e->dir;

	dir->shared--;
	e->busy = false;
	if (!e->child) {
		list_del(&e->link);
		free(e);
	}
	node_check(m, dir);
}

bool model_hold(struct mnode *n)
{
	if (n->busy || n->shared)
		return false;
	n->busy = true;
	return true;
}

void model_release(struct model *m, struct mnode *n)
{
	n->busy = false;
	node_check(m, n);
}

bool model_share(struct mnode *n)
{
	if (n->busy)
		return false;
	n->shared++;
	return true;
}

void model_unshare(struct model *m, struct mnode *n)
{
	n->shared--;
	node_check(m, n);
}

int model_expect_new(const struct ment *e)
{
	if (e->dir->nlink == 0)
		return -ENOENT;
	return e->child ? -EEXIST : 0;
}

int model_expect_unlink(const struct ment *e)
{
	if (!e->child)
		return -ENOENT;
	return S_ISDIR(e->child->mode) ? -EISDIR : 0;
}

int model_expect_rmdir(const struct ment *e)
{
	if (!e->child)
		return -ENOENT;
	if (!S_ISDIR(e->child->mode))
		return -ENOTDIR;
	return e->child->ents_n ? -ENOTEMPTY : 0;
}

/* Is n the directory, or above it? */
static bool is_above(const struct mnode *n, const struct mnode *dir)
{
	for (;; dir = dir->parent) {
		if (dir == n)
			return true;
		if (dir->parent == dir || !dir->parent)
			return false;
	}
}

int model_expect_rename(const struct ment *from, const struct ment *to, uint32_t flags)
{
	const struct mnode *a = from->child, *b = to->child;

	if (!a || to->dir->nlink == 0 || (flags & WP_RENAME_EXCHANGE && !b))
		return -ENOENT;
	if (flags & WP_RENAME_NOREPLACE && b)
		return -EEXIST;
	if (S_ISDIR(a->mode) && is_above(a, to->dir))
		return -EINVAL;
	if (b && flags & WP_RENAME_EXCHANGE)
		return S_ISDIR(b->mode) && is_above(b, from->dir) ? -EINVAL : 0;
	if (!b || a == b)
		return 0;
	if (S_ISDIR(b->mode) && is_above(b, from->dir))
		return -ENOTEMPTY;
	if (S_ISDIR(a->mode) && !S_ISDIR(b->mode))
		return -ENOTDIR;
	if (!S_ISDIR(a->mode) && S_ISDIR(b->mode))
		return -EISDIR;
	return S_ISDIR(b->mode) && b->ents_n ? -ENOTEMPTY : 0;
}

static void attach(struct ment *e, struct mnode *n)
{
	e->child = n;
	e->dir->ents_n++;
	if (S_ISDIR(n->mode)) {
		n->parent = e->dir;
		e->dir->nlink++;
	} else {
		n->nlink++;
	}
}

static struct mnode *detach(struct ment *e)
{
	struct mnode *n = e->child;

	e->child = NULL;
	e->dir->ents_n--;
	if (S_ISDIR(n->mode))
		e->dir->nlink--;
	else
		n->nlink--;
	return n;
}

struct mnode *model_new(struct model *m, struct ment *e, uint32_t mode, const struct wp_fid *fid)
{
	struct mnode *n = node_new(m, mode, fid);

	attach(e, n);
	return n;
}

void model_link(struct ment *e, struct mnode *n) { attach(e, n); }

static void dead(struct model *m, struct mnode *n)
{
	if (S_ISDIR(n->mode)) {
		n->nlink = 0;
		n->parent = NULL;
	}
	node_check(m, n);
}

void model_unlink(struct model *m, struct ment *e) { dead(m, detach(e)); }

void model_rename(struct model *m, struct ment *from, struct ment *to, uint32_t flags)
{
	struct mnode *a = from->child, *b = to->child;

	if (a == b)
		return;
	(void)detach(from);
	if (b)
		(void)detach(to);
	attach(to, a);
	if (!b)
		return;
	if (flags & WP_RENAME_EXCHANGE)
		attach(from, b);
	else
		dead(m, b);
}

void model_opened(struct mnode *n) { n->opens++; }

void model_closed(struct model *m, struct mnode *n)
{
	n->opens--;
	node_check(m, n);
}
