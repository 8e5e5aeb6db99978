/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The namespace: look-up, creation, removal, renaming. */
#include <sys/stat.h>

#include "client/client_priv.h"

/* Replies that are one entry and nothing else have the same bytes, whatever the message. */
void cl_op_entry_done(struct client_op *op, int err)
{
	struct wp_getattr_rep rep;

	if (!err)
		err = META_DECODE(op, getattr, &rep);
	if (err)
		cl_op_finish(op, err);
	else
		cl_op_learn_settle(op, &rep.entry, cl_op_done);
}

/* What a change left in doubt. Errors of the target say that nothing was changed; others, that nobody knows. */
static void doubt(struct client_op *op, int err, const struct wp_fid *dir)
{
	if (err == -ETIMEDOUT || err == -EINTR || err == -ECANCELED || err == -WEFT_ENOSESSION)
		cl_learn_doubt(op, dir);
}

static bool is_dot(struct wp_str name)
{
	return name.len == 1 && name.p[0] == '.';
}

/* Lengths are bounded by the decoders of the other side; a longer name is refused here with the errno that it deserves. */
static bool name_fits(struct client_op *op, struct wp_str name)
{
	if (name.len && name.len <= WP_NAME_MAX)
		return true;
	cl_op_finish(op, name.len ? -ENAMETOOLONG : -ENOENT);
	return false;
}

static void looked_up(struct client_op *op, int err)
{
	struct wp_lookup_rep rep;

	if (!err)
		err = META_DECODE(op, lookup, &rep);
	if (err) {
		cl_op_finish(op, err);
		return;
	}
	cl_learn_name(op, &rep.dir, op->req.lookup.name, rep.found ? &rep.entry.attr : NULL);
	if (rep.found)
		cl_op_learn_settle(op, &rep.entry, cl_op_done);
	else
		cl_op_finish(op, -ENOENT);
}

struct client_op *client_lookup(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
				client_cb *cb, void *arg)
{
	struct client_op *op;
	int err;

	if (is_dot(name))
		return client_getattr(c, parent, cb, arg);
	op = cl_op_new(c, cb, arg);
	cl_op_cred(op, cred);
	op->req.lookup = (struct wp_lookup_req){ .parent = *parent, .name = name, .negative = 1 };
	op->body_max = name.len;
	if (!name_fits(op, name))
		return op;
	err = client_cached_lookup(c, cred, parent, name, &op->res);
	op->ttl_from_ns = op->res.entry_ttl_ns ? env_mono_ns(c->env) : 0;
	if (err == -EAGAIN)
		cl_op_meta(op, &cl_req_lookup, wp_fid_mdt(parent), looked_up);
	else
		cl_op_finish(op, err);
	return op;
}

/* A new name: an inode was made, or linked. */
static void name_made(struct client_op *op, int err, const struct wp_fid *dir, struct wp_str name)
{
	struct wp_mknod_rep rep;

	if (!err)
		err = META_DECODE(op, mknod, &rep);
	if (err) {
		doubt(op, err, dir);
		cl_op_finish(op, err);
		return;
	}
	cl_learn_name(op, &rep.dir, name, &rep.entry.attr);
	cl_op_learn_settle(op, &rep.entry, cl_op_done);
}

static void mknod_done(struct client_op *op, int err) { name_made(op, err, &op->req.mknod.parent, op->req.mknod.name); }
static void mkdir_done(struct client_op *op, int err) { name_made(op, err, &op->req.mkdir.parent, op->req.mkdir.name); }
static void symlink_done(struct client_op *op, int err) { name_made(op, err, &op->req.symlink.parent, op->req.symlink.name); }
static void link_done(struct client_op *op, int err) { name_made(op, err, &op->req.link.parent, op->req.link.name); }

static void parent_found(struct client_op *op, int err)
{
	struct wp_get_path_rep rep;

	if (!err)
		err = META_DECODE(op, get_path, &rep);
	if (err) {
		cl_op_finish(op, err);
		return;
	}
	op->req.getattr = (struct wp_getattr_req){ .fid = rep.parent };
	cl_op_meta(op, &cl_req_getattr, wp_fid_mdt(&rep.parent), cl_op_entry_done);
}

struct client_op *client_lookup_parent(struct client *c, const struct wp_fid *fid, client_cb *cb, void *arg)
{
	struct client_op *op;

	if (wp_fid_is_root(fid))
		return client_getattr(c, fid, cb, arg);
	op = cl_op_new(c, cb, arg);
	op->req.get_path = (struct wp_get_path_req){ .fid = *fid };
	cl_op_meta(op, &cl_req_get_path, wp_fid_mdt(fid), parent_found);
	return op;
}

static void path_done(struct client_op *op, int err)
{
	struct wp_get_path_rep rep;

	if (!err)
		err = META_DECODE(op, get_path, &rep);
	if (!err) {
		op->res.attr.fid = rep.parent;
		op->res.data = rep.name.p;
		op->res.len = rep.name.len;
	}
	cl_op_finish(op, err);
}

struct client_op *client_get_path(struct client *c, const struct wp_fid *fid, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	op->req.get_path = (struct wp_get_path_req){ .fid = *fid };
	cl_op_meta(op, &cl_req_get_path, wp_fid_mdt(fid), path_done);
	return op;
}

struct client_op *client_mknod(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
			       uint32_t mode, uint32_t umask, uint32_t major, uint32_t minor, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	cl_op_cred(op, cred);
	op->req.mknod = (struct wp_mknod_req){
		.parent = *parent, .name = name, .mode = mode, .umask = umask, .rdev_major = major, .rdev_minor = minor,
	};
	op->body_max = name.len;
	if (name_fits(op, name))
		cl_op_meta(op, &cl_req_mknod, wp_fid_mdt(parent), mknod_done);
	return op;
}

struct client_op *client_mkdir(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
			       uint32_t mode, uint32_t umask, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	cl_op_cred(op, cred);
	op->req.mkdir = (struct wp_mkdir_req){ .parent = *parent, .name = name, .mode = mode, .umask = umask };
	op->body_max = name.len;
	if (name_fits(op, name))
		cl_op_meta(op, &cl_req_mkdir, wp_fid_mdt(parent), mkdir_done);
	return op;
}

struct client_op *client_symlink(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
				 struct wp_str target, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	cl_op_cred(op, cred);
	op->req.symlink = (struct wp_symlink_req){ .parent = *parent, .name = name, .target = target };
	op->body_max = name.len + target.len;
	if (target.len > WP_SYMLINK_MAX)
		cl_op_finish(op, -ENAMETOOLONG);
	else if (name_fits(op, name))
		cl_op_meta(op, &cl_req_symlink, wp_fid_mdt(parent), symlink_done);
	return op;
}

struct client_op *client_link(struct client *c, const struct client_cred *cred, const struct wp_fid *fid,
			      const struct wp_fid *parent, struct wp_str name, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	cl_op_cred(op, cred);
	op->req.link = (struct wp_link_req){ .fid = *fid, .parent = *parent, .name = name };
	op->body_max = name.len;
	if (name_fits(op, name))
		cl_op_meta(op, &cl_req_link, wp_fid_mdt(parent), link_done);
	return op;
}

static void removed(struct client_op *op, int err)
{
	struct wp_unlink_rep rep;

	if (!err)
		err = META_DECODE(op, unlink, &rep);
	if (!err) {
		op->res.attr.fid = rep.fid;
		cl_learn_name(op, &rep.dir, op->req.unlink.name, NULL);
		(void)cl_learn(op, &rep.entry);
	}
	doubt(op, err, &op->req.unlink.parent);
	cl_op_finish(op, err);
}

struct client_op *client_unlink(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
				client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	cl_op_cred(op, cred);
	op->req.unlink = (struct wp_unlink_req){ .parent = *parent, .name = name };
	op->body_max = name.len;
	if (name_fits(op, name))
		cl_op_meta(op, &cl_req_unlink, wp_fid_mdt(parent), removed);
	return op;
}

static void dir_removed(struct client_op *op, int err)
{
	struct wp_rmdir_rep rep;

	if (!err)
		err = META_DECODE(op, rmdir, &rep);
	if (!err) {
		op->res.attr.fid = rep.fid;
		cl_learn_name(op, &rep.dir, op->req.rmdir.name, NULL);
		cl_learn_dead(op, &rep.attr);
	}
	doubt(op, err, &op->req.rmdir.parent);
	cl_op_finish(op, err);
}

struct client_op *client_rmdir(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
			       client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	cl_op_cred(op, cred);
	op->req.rmdir = (struct wp_rmdir_req){ .parent = *parent, .name = name };
	op->body_max = name.len;
	if (is_dot(name))
		cl_op_finish(op, -EINVAL);
	else if (name_fits(op, name))
		cl_op_meta(op, &cl_req_rmdir, wp_fid_mdt(parent), dir_removed);
	return op;
}

static void learn_rename(struct client_op *op, const struct wp_rename_rep *rep)
{
	const struct wp_rename_req *req = &op->req.rename;
	bool exchanged = req->flags & WP_RENAME_EXCHANGE, other = rep->has & WP_RENAME_REP_HAS_OTHER;

	/* Two names of one inode: both are still there. */
	exchanged |= other && wp_fid_eq(&rep->other.attr.fid, &rep->moved);
	cl_learn_name(op, &rep->dir, req->name, exchanged && other ? &rep->other.attr : NULL);
	cl_learn_name(op, &rep->new_dir, req->new_name, &rep->entry.attr);
	(void)cl_learn(op, &rep->entry);
	if (other)
		(void)cl_learn(op, &rep->other);
	if (other && !rep->other.attr.nlink && S_ISDIR(rep->other.attr.mode))
		cl_learn_dead(op, &rep->other.attr);
	/* What ".." of a moved directory is has changed. */
	if (!wp_fid_eq(&req->parent, &req->new_parent)) {
		cl_learn_doubt(op, &rep->moved);
		if (exchanged && other)
			cl_learn_doubt(op, &rep->other.attr.fid);
	}
}

static void renamed(struct client_op *op, int err)
{
	struct wp_rename_rep rep;

	if (!err)
		err = META_DECODE(op, rename, &rep);
	if (!err) {
		op->res.attr.fid = rep.moved;
		learn_rename(op, &rep);
	}
	doubt(op, err, &op->req.rename.parent);
	doubt(op, err, &op->req.rename.new_parent);
	cl_op_finish(op, err);
}

struct client_op *client_rename(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
				const struct wp_fid *new_parent, struct wp_str new_name, uint32_t flags, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	cl_op_cred(op, cred);
	op->req.rename = (struct wp_rename_req){
		.parent = *parent, .name = name, .new_parent = *new_parent, .new_name = new_name, .flags = flags,
	};
	op->body_max = name.len + new_name.len;
	if (name_fits(op, name) && name_fits(op, new_name))
		cl_op_meta(op, &cl_req_rename, wp_fid_mdt(parent), renamed);
	return op;
}

static void link_read(struct client_op *op, int err)
{
	struct wp_readlink_rep rep;

	if (!err)
		err = META_DECODE(op, readlink, &rep);
	if (!err) {
		op->res.data = rep.target.p;
		op->res.len = rep.target.len;
		if (op->leases_count)
			cl_cache_set_link(op->c->m->cache, &op->req.readlink.fid, rep.target.p, rep.target.len);
	}
	cl_op_finish(op, err);
}

struct client_op *client_readlink(struct client *c, const struct wp_fid *fid, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);
	char target[WP_SYMLINK_MAX + 1];
	uint32_t len;

	op->req.readlink = (struct wp_readlink_req){ .fid = *fid };
	if (client_cached_readlink(c, fid, target, sizeof(target), &len)) {
		cl_op_meta(op, &cl_req_readlink, wp_fid_mdt(fid), link_read);
		return op;
	}
	op->priv = xmalloc(len + 1);
	memcpy(op->priv, target, len);
	op->res.data = op->priv;
	op->res.len = len;
	cl_op_finish(op, 0);
	return op;
}

/* ---- directories ------------------------------------------------------------------------------------------------- */

struct client_op *client_opendir(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	int err = client_cached_opendir(c, cred, fid, &op->res);

	cl_op_cred(op, cred);
	op->req.opendir = (struct wp_opendir_req){ .fid = *fid };
	if (err == -EAGAIN)
		cl_op_meta(op, &cl_req_opendir, wp_fid_mdt(fid), cl_op_entry_done);
	else
		cl_op_finish(op, err);
	return op;
}

static void learn_page(struct client_op *op, const struct wp_readdir_rep *rep)
{
	const struct wp_readdir_req *req = &op->req.readdir;
	struct cache *ca = op->c->m->cache;
	uint32_t i;

	if (!(cl_learn(op, &rep->dir) & WP_LEASE_ENTRIES) || (!rep->entries_n && !rep->eof))
		return;
	cl_cache_page(ca, &req->dir, rep->dir.attr.change, &rep->parent, req->cookie,
		      rep->eof ? WP_READDIR_END : rep->entries[rep->entries_n - 1].cookie, rep->entries, rep->entries_n);
	for (i = 0; i < rep->entries_n; i++) {
		const struct wp_dirent *e = &rep->entries[i];

		if (e->has & WP_DIRENT_HAS_ATTR && wp_fid_mdt(&e->fid) == op->target)
			(void)cl_cache_attr(ca, op->mdt->s, &e->attr, e->has & WP_DIRENT_HAS_LEASE ? &e->lease : NULL, NULL);
	}
}

/* Cookies: 0 is before ".", 1 before "..", 2 before the first name. The server sends names only. */
static void readdir_done(struct client_op *op, int err)
{
	const struct wp_readdir_req *req = &op->req.readdir;
	struct wp_readdir_rep rep;
	struct wp_dirent *all;
	uint32_t n = 0;

	if (!err)
		err = META_DECODE(op, readdir, &rep);
	if (err) {
		cl_op_finish(op, err);
		return;
	}
	learn_page(op, &rep);
	op->res.eof = rep.eof;
	op->res.dirents = rep.entries;
	op->res.dirents_n = rep.entries_n;
	if (op->pos < 2) {
		all = xcalloc(rep.entries_n + 2, sizeof(*all));
		if (op->pos < 1)
			all[n++] = (struct wp_dirent){ .cookie = 1, .fid = req->dir, .type = 0040000, .name = wp_str(".") };
		all[n++] = (struct wp_dirent){ .cookie = 2, .fid = rep.parent, .type = 0040000, .name = wp_str("..") };
		if (rep.entries_n)
			memcpy(all + n, rep.entries, rep.entries_n * sizeof(*all));
		op->priv = all;
		op->res.dirents = all;
		op->res.dirents_n = rep.entries_n + n;
	}
	cl_op_finish(op, 0);
}

struct client_op *client_readdir(struct client *c, const struct client_cred *cred, const struct wp_fid *dir, uint64_t cookie,
				 uint32_t max_bytes, uint32_t flags, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	cl_op_cred(op, cred);
	op->pos = cookie;
	if (client_names_ttl(c, dir)) { /* once for all */
		max_bytes = MAX(max_bytes, CLIENT_READDIR_AHEAD);
		flags |= WP_READDIR_PLUS;
	}
	op->req.readdir = (struct wp_readdir_req){
		.dir = *dir, .cookie = MAX(cookie, 2), .max_bytes = MIN(max_bytes, WP_BODY_MAX / 2), .flags = flags,
	};
	cl_op_meta(op, &cl_req_readdir, wp_fid_mdt(dir), readdir_done);
	return op;
}
