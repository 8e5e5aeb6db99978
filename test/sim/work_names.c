/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Operations on names and inodes. */
#include "audit.h"
#include "sim.h"
#include "work_ops.h"

#include "proto/fid.h"

/* ---- something new ---- */

static void new_end(struct worker *w, int err, const struct client_res *res)
{
	expect_err(w, err);
	if (err)
		return;
	if (!same_type(res->attr.mode, w->flags))
		sim_fail(w->s, "%s made mode %o", w->op->name, res->attr.mode);
	else
		new_done(w, &res->attr);
}

/* Adds the new inode to the model. */
struct mnode *new_done(struct worker *w, const struct wp_attr *attr)
{
	struct mnode *n = model_new(&w->s->model, w->a, w->flags, &attr->fid);

	audit_seen(w->s, n, attr);
	if (S_ISLNK(w->flags))
		(void)str_copy(n->target, sizeof(n->target), w->text);
	if (!wp_fid_valid(&attr->fid))
		sim_fail(w->s, "%s gave fid [%llx:%x]", w->op->name, (unsigned long long)attr->fid.seq, attr->fid.oid);
	return n;
}

void new_resolve(struct worker *w, const struct wp_attr *found)
{
	if (w->expect) {
		/* It could not have been made: the name must be as it was. */
		if ((found != NULL) != (w->a->child != NULL))
			sim_fail(w->s, "%s failed for sure, but the name changed", w->op->name);
		return;
	}
	if (found)
		(void)new_done(w, found);
}

static bool mkdir_start(struct worker *w)
{
	if (w->s->model.dirs_n > 12)
		return false;
	w->a = pick_name(w);
	if (!w->a)
		return false;
	w->flags = S_IFDIR | 0755;
	w->expect = model_expect_new(w->a);
	w->handle = client_mkdir(worker_client(w), &sim_cred, &w->a->dir->fid, wp_str(w->a->name), 0755, 0, work_cb, w);
	return true;
}

const struct wop wop_mkdir = { "mkdir", 6, mkdir_start, new_end, NULL, new_resolve, true };

static bool mknod_start(struct worker *w)
{
	w->a = pick_name(w);
	if (!w->a)
		return false;
	w->flags = S_IFIFO | 0644;
	w->expect = model_expect_new(w->a);
	w->handle = client_mknod(worker_client(w), &sim_cred, &w->a->dir->fid, wp_str(w->a->name), w->flags, 0, 0, 0, work_cb, w);
	return true;
}

const struct wop wop_mknod = { "mknod", 2, mknod_start, new_end, NULL, new_resolve, true };

static bool symlink_start(struct worker *w)
{
	w->a = pick_name(w);
	if (!w->a)
		return false;
	w->flags = S_IFLNK | 0777;
	w->expect = model_expect_new(w->a);
	snprintf(w->text, sizeof(w->text), "to-%u", ++w->s->counter);
	w->handle = client_symlink(worker_client(w), &sim_cred, &w->a->dir->fid, wp_str(w->a->name), wp_str(w->text), work_cb, w);
	return true;
}

const struct wop wop_symlink = { "symlink", 3, symlink_start, new_end, NULL, new_resolve, true };

static bool pick_file_to_hold(struct worker *w, bool want_dir)
{
	struct model *m = &w->s->model;

	for (unsigned i = 0; i < 6; i++) {
		struct mnode *n = model_nth(m, rng_below(&w->s->rng, m->nodes_n));

		if (n == w->s->log || n == w->s->lock || (!want_dir && S_ISDIR(n->mode)) || !n->nlink || !model_hold(n))
			continue;
		w->n = n;
		return true;
	}
	return false;
}

static bool link_start(struct worker *w)
{
	if (!pick_file_to_hold(w, false))
		return false;
	w->a = pick_name(w);
	if (!w->a) {
		model_release(&w->s->model, w->n);
		w->n = NULL;
		return false;
	}
	w->expect = model_expect_new(w->a);
	w->handle = client_link(worker_client(w), &sim_cred, &w->n->fid, &w->a->dir->fid, wp_str(w->a->name), work_cb, w);
	return true;
}

static bool other_mdt(const struct wp_fid *a, const struct wp_fid *b) { return wp_fid_mdt(a) != wp_fid_mdt(b); }

static void link_end(struct worker *w, int err, const struct client_res *res)
{
	if (err == -EXDEV && other_mdt(&w->n->fid, &w->a->dir->fid))
		return;
	expect_err(w, err);
	if (err)
		return;
	model_link(w->a, w->n);
	audit_seen(w->s, w->n, &res->attr);
	if (res->attr.nlink != w->n->nlink)
		sim_fail(w->s, "link: nlink %u, must be %u", res->attr.nlink, w->n->nlink);
}

static void link_resolve(struct worker *w, const struct wp_attr *found)
{
	if (!w->expect && found)
		model_link(w->a, w->n);
}

const struct wop wop_link = { "link", 4, link_start, link_end, NULL, link_resolve, true };

/* ---- gone ---- */

/* The name's inode has to be held as well: its link count changes. */
static bool hold_child(struct worker *w)
{
	struct mnode *n = w->a->child;

	if (!n)
		return true;
	if (n == w->s->log || n == w->s->lock || !model_hold(n)) {
		model_release_name(&w->s->model, w->a);
		w->a = NULL;
		return false;
	}
	w->n = n;
	return true;
}

static bool unlink_start(struct worker *w)
{
	w->a = pick_name(w);
	if (!w->a || !hold_child(w))
		return false;
	w->expect = model_expect_unlink(w->a);
	w->handle = client_unlink(worker_client(w), &sim_cred, &w->a->dir->fid, wp_str(w->a->name), work_cb, w);
	return true;
}

static void gone_end(struct worker *w, int err, const struct client_res *res)
{
	expect_err(w, err);
	if (err)
		return;
	if (!wp_fid_eq(&res->attr.fid, &w->a->child->fid))
		sim_fail(w->s, "%s removed another inode", w->op->name);
	else
		model_unlink(&w->s->model, w->a);
}

static void gone_resolve(struct worker *w, const struct wp_attr *found)
{
	if (!w->expect && !found)
		model_unlink(&w->s->model, w->a);
}

const struct wop wop_unlink = { "unlink", 8, unlink_start, gone_end, NULL, gone_resolve };

static bool rmdir_start(struct worker *w)
{
	w->a = pick_name(w);
	if (!w->a || !hold_child(w))
		return false;
	w->expect = model_expect_rmdir(w->a);
	w->handle = client_rmdir(worker_client(w), &sim_cred, &w->a->dir->fid, wp_str(w->a->name), work_cb, w);
	return true;
}

const struct wop wop_rmdir = { "rmdir", 3, rmdir_start, gone_end, NULL, gone_resolve };

/* ---- rename: w->n is the inode that is replaced or swapped ---- */

static bool rename_give_up(struct worker *w)
{
	struct model *m = &w->s->model;

	if (w->n)
		model_release(m, w->n);
	if (w->b)
		model_release_name(m, w->b);
	if (w->a)
		model_release_name(m, w->a);
	w->n = NULL;
	w->a = w->b = NULL;
	return false;
}

static bool involves_dir(const struct worker *w)
{
	return (w->a->child && S_ISDIR(w->a->child->mode)) || (w->b->child && S_ISDIR(w->b->child->mode));
}

static bool rename_start(struct worker *w)
{
	static const uint32_t flags[] = { 0, 0, 0, WP_RENAME_NOREPLACE, WP_RENAME_EXCHANGE };
	struct model *m = &w->s->model;

	w->flags = flags[rng_below(&w->s->rng, ARRAY_SIZE(flags))];
	w->a = pick_name(w);
	if (!w->a)
		return false;
	w->b = pick_name(w);
	if (!w->b || w->a == w->b)
		return rename_give_up(w);
	if (w->b->child && w->b->child != w->a->child) {
		if (!model_hold(w->b->child))
			return rename_give_up(w);
		w->n = w->b->child;
	}
	if (involves_dir(w)) {
		if (m->dir_rename)
			return rename_give_up(w);
		m->dir_rename = true;
		w->text[0] = 'd';
	} else {
		w->text[0] = 0;
	}
	w->expect = model_expect_rename(w->a, w->b, w->flags);
	w->moved = w->a->child;
	if (w->moved)
		w->moved->renames++;
	w->handle = client_rename(worker_client(w), &sim_cred, &w->a->dir->fid, wp_str(w->a->name), &w->b->dir->fid,
				  wp_str(w->b->name), w->flags, work_cb, w);
	return true;
}

static void rename_over(struct worker *w)
{
	if (w->text[0] == 'd')
		w->s->model.dir_rename = false;
}

static void rename_end(struct worker *w, int err, const struct client_res *res)
{
	rename_over(w);
	/* Which of several errors comes first is not a promise. */
	if (w->expect && err)
		return;
	if (err == -EXDEV && w->a->child && (other_mdt(&w->a->dir->fid, &w->b->dir->fid) ||
					     other_mdt(&w->a->child->fid, &w->b->dir->fid)))
		return;
	expect_err(w, err);
	if (err)
		return;
	if (!wp_fid_eq(&res->attr.fid, &w->a->child->fid))
		sim_fail(w->s, "rename moved another inode");
	else
		model_rename(&w->s->model, w->a, w->b, w->flags);
}

static void rename_resolve(struct worker *w, const struct wp_attr *found)
{
	rename_over(w);
	if (w->expect || w->a->child == w->b->child)
		return;
	if (!found || !wp_fid_eq(&found->fid, &w->a->child->fid))
		model_rename(&w->s->model, w->a, w->b, w->flags);
}

const struct wop wop_rename = { "rename", 8, rename_start, rename_end, NULL, rename_resolve };

/* ---- looking ---- */

static bool lookup_start(struct worker *w)
{
	w->a = pick_name(w);
	if (!w->a)
		return false;
	w->expect = w->a->child ? 0 : -ENOENT;
	w->handle = client_lookup(worker_client(w), &sim_cred, &w->a->dir->fid, wp_str(w->a->name), work_cb, w);
	return true;
}

static void lookup_end(struct worker *w, int err, const struct client_res *res)
{
	expect_err(w, err);
	if (err)
		return;
	if (!wp_fid_eq(&res->attr.fid, &w->a->child->fid) || !same_type(res->attr.mode, w->a->child->mode))
		sim_fail(w->s, "look-up of %s found another inode", w->a->name);
}

const struct wop wop_lookup = { "lookup", 8, lookup_start, lookup_end, NULL, NULL, true };

static bool getattr_start(struct worker *w)
{
	if (!pick_file_to_hold(w, true))
		return false;
	w->handle = client_getattr(worker_client(w), &w->n->fid, work_cb, w);
	return true;
}

void check_attr(struct sim *s, struct mnode *n, const struct wp_attr *attr)
{
	char why[200];

	if (!same_type(attr->mode, n->mode) || (!n->mode_unsure && attr->mode != n->mode))
		sim_fail(s, "mode is %o, must be %o", attr->mode, n->mode);
	if (attr->nlink != n->nlink)
		sim_fail(s, "nlink of [%llx:%x] is %u, must be %u", (unsigned long long)n->fid.seq, n->fid.oid, attr->nlink,
			 n->nlink);
	if (S_ISLNK(n->mode) && attr->size != strlen(n->target))
		sim_fail(s, "size of a link is %llu", (unsigned long long)attr->size);
	if (S_ISREG(n->mode) && !content_check_size(&n->data, attr->size, why, sizeof(why)))
		sim_fail(s, "[%llx:%x] %s", (unsigned long long)n->fid.seq, n->fid.oid, why);
	n->mode = attr->mode;
	n->mode_unsure = false;
	audit_seen(s, n, attr);
}

static void getattr_end(struct worker *w, int err, const struct client_res *res)
{
	expect_err(w, err);
	if (!err && !cut_meanwhile(w))
		check_attr(w->s, w->n, &res->attr);
}

const struct wop wop_getattr = { "getattr", 8, getattr_start, getattr_end, NULL, NULL };

static bool chmod_start(struct worker *w)
{
	struct client_setattr sa = { .valid = WP_SETATTR_MODE };

	if (!pick_file_to_hold(w, true) || S_ISLNK(w->n->mode)) {
		if (w->n)
			model_release(&w->s->model, w->n);
		w->n = NULL;
		return false;
	}
	sa.mode = w->flags = 0400 + rng_below(&w->s->rng, 0400);
	w->handle = client_setattr(worker_client(w), &sim_cred, &w->n->fid, NULL, &sa, work_cb, w);
	return true;
}

static void chmod_end(struct worker *w, int err, const struct client_res *res)
{
	expect_err(w, err);
	if (err)
		return;
	w->n->mode = (w->n->mode & S_IFMT) | w->flags;
	w->n->mode_unsure = false;
	if (!cut_meanwhile(w))
		check_attr(w->s, w->n, &res->attr);
}

static void chmod_doubt(struct worker *w) { w->n->mode_unsure = true; }

const struct wop wop_chmod = { "chmod", 4, chmod_start, chmod_end, chmod_doubt, NULL };

/* Of what has no data: its mtime is nobody else's. */
static bool utimes_start(struct worker *w)
{
	struct client_setattr sa = { .valid = WP_SETATTR_MTIME };

	if (!pick_file_to_hold(w, false) || S_ISREG(w->n->mode)) {
		if (w->n)
			model_release(&w->s->model, w->n);
		w->n = NULL;
		return false;
	}
	sa.mtime = (struct wp_time){ .sec = w->flags = 1000000 + ++w->s->counter, .nsec = 5 };
	w->handle = client_setattr(worker_client(w), &sim_cred, &w->n->fid, NULL, &sa, work_cb, w);
	return true;
}

static void utimes_end(struct worker *w, int err, const struct client_res *res)
{
	expect_err(w, err);
	if (err)
		return;
	w->n->mtime_set = (struct wp_time){ .sec = w->flags, .nsec = 5 };
	check_attr(w->s, w->n, &res->attr);
}

static void utimes_doubt(struct worker *w) { w->n->mtime_set.sec = 0; }

const struct wop wop_utimes = { "utimes", 0, utimes_start, utimes_end, utimes_doubt, NULL };

static bool readlink_start(struct worker *w)
{
	if (!pick_file_to_hold(w, false))
		return false;
	w->expect = S_ISLNK(w->n->mode) ? 0 : -EINVAL;
	w->handle = client_readlink(worker_client(w), &w->n->fid, work_cb, w);
	return true;
}

static void readlink_end(struct worker *w, int err, const struct client_res *res)
{
	expect_err(w, err);
	if (!err && (res->len != strlen(w->n->target) || memcmp(res->data, w->n->target, res->len)))
		sim_fail(w->s, "target of a link changed");
}

const struct wop wop_readlink = { "readlink", 2, readlink_start, readlink_end, NULL, NULL };

/* ---- extended attributes ---- */

static bool setxattr_start(struct worker *w)
{
	if (!pick_file_to_hold(w, true) || (!S_ISREG(w->n->mode) && !S_ISDIR(w->n->mode))) {
		if (w->n)
			model_release(&w->s->model, w->n);
		w->n = NULL;
		return false;
	}
	snprintf(w->text, sizeof(w->text), "value-%u", ++w->s->counter);
	w->handle = client_setxattr(worker_client(w), &sim_cred, &w->n->fid, wp_str("user.sim"), w->text, strlen(w->text), 0, work_cb,
				    w);
	return true;
}

static void setxattr_end(struct worker *w, int err, const struct client_res *res)
{
	(void)res;
	expect_err(w, err);
	if (err)
		return;
	(void)str_copy(w->n->xattr, sizeof(w->n->xattr), w->text);
	w->n->xattr_unsure = false;
}

static void setxattr_doubt(struct worker *w) { w->n->xattr_unsure = true; }

const struct wop wop_setxattr = { "setxattr", 3, setxattr_start, setxattr_end, setxattr_doubt, NULL };

static bool getxattr_start(struct worker *w)
{
	if (!pick_file_to_hold(w, true) || (!S_ISREG(w->n->mode) && !S_ISDIR(w->n->mode)) || w->n->xattr_unsure) {
		if (w->n)
			model_release(&w->s->model, w->n);
		w->n = NULL;
		return false;
	}
	w->expect = w->n->xattr[0] ? 0 : -ENODATA;
	w->handle = client_getxattr(worker_client(w), &sim_cred, &w->n->fid, wp_str("user.sim"), work_cb, w);
	return true;
}

static void getxattr_end(struct worker *w, int err, const struct client_res *res)
{
	expect_err(w, err);
	if (!err && (res->len != strlen(w->n->xattr) || memcmp(res->data, w->n->xattr, res->len)))
		sim_fail(w->s, "extended attribute is %.*s, must be %s", (int)res->len, (const char *)res->data, w->n->xattr);
}

const struct wop wop_getxattr = { "getxattr", 3, getxattr_start, getxattr_end, NULL, NULL };
