/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The namespace: look-up, creation, removal, renaming. */
#include "client/client_priv.h"

/* Replies that are one entry and nothing else have the same bytes, whatever the message. */
void cl_op_entry_done(struct client_op *op, int err)
{
	struct wp_lookup_rep rep;

	if (!err)
		err = META_DECODE(op, lookup, &rep);
	if (err)
		cl_op_finish(op, err);
	else
		cl_op_settle(op, &rep.entry, cl_op_done);
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

struct client_op *client_lookup(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
				client_cb *cb, void *arg)
{
	struct client_op *op;

	if (is_dot(name))
		return client_getattr(c, parent, cb, arg);
	op = cl_op_new(c, cb, arg);
	cl_op_cred(op, cred);
	op->req.lookup = (struct wp_lookup_req){ .parent = *parent, .name = name };
	op->body_max = name.len;
	if (name_fits(op, name))
		cl_op_meta(op, &cl_req_lookup, wp_fid_mdt(parent), cl_op_entry_done);
	return op;
}

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
		cl_op_meta(op, &cl_req_mknod, wp_fid_mdt(parent), cl_op_entry_done);
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
		cl_op_meta(op, &cl_req_mkdir, wp_fid_mdt(parent), cl_op_entry_done);
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
		cl_op_meta(op, &cl_req_symlink, wp_fid_mdt(parent), cl_op_entry_done);
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
		cl_op_meta(op, &cl_req_link, wp_fid_mdt(parent), cl_op_entry_done);
	return op;
}

static void removed(struct client_op *op, int err)
{
	struct wp_unlink_rep rep;

	if (!err)
		err = META_DECODE(op, unlink, &rep);
	if (!err)
		op->res.attr.fid = rep.fid;
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
	if (!err)
		op->res.attr.fid = rep.fid;
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

static void renamed(struct client_op *op, int err)
{
	struct wp_rename_rep rep;

	if (!err)
		err = META_DECODE(op, rename, &rep);
	if (!err)
		op->res.attr.fid = rep.moved;
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
	}
	cl_op_finish(op, err);
}

struct client_op *client_readlink(struct client *c, const struct wp_fid *fid, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	op->req.readlink = (struct wp_readlink_req){ .fid = *fid };
	cl_op_meta(op, &cl_req_readlink, wp_fid_mdt(fid), link_read);
	return op;
}

/* ---- directories ------------------------------------------------------------------------------------------------- */

struct client_op *client_opendir(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	cl_op_cred(op, cred);
	op->req.opendir = (struct wp_opendir_req){ .fid = *fid };
	cl_op_meta(op, &cl_req_opendir, wp_fid_mdt(fid), cl_op_entry_done);
	return op;
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
	op->req.readdir = (struct wp_readdir_req){
		.dir = *dir, .cookie = MAX(cookie, 2), .max_bytes = MIN(max_bytes, WP_BODY_MAX / 2), .flags = flags,
	};
	cl_op_meta(op, &cl_req_readdir, wp_fid_mdt(dir), readdir_done);
	return op;
}
