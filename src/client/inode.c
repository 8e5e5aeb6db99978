/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Attributes, extended attributes, layouts; and the file system as a whole. */
#include "client/client_priv.h"

struct client_op *client_getattr(struct client *c, const struct wp_fid *fid, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);
	int err = client_cached_getattr(c, fid, &op->res);

	op->ttl_from_ns = op->res.attr_ttl_ns ? env_mono_ns(c->env) : 0;
	op->req.getattr = (struct wp_getattr_req){ .fid = *fid };
	if (err == -EAGAIN)
		cl_op_meta(op, &cl_req_getattr, wp_fid_mdt(fid), cl_op_entry_done);
	else
		cl_op_finish(op, err);
	return op;
}

static void setattr_done(struct client_op *op, int err)
{
	const struct wp_setattr_req *r = &op->req.setattr;

	if (!err && op->file && (r->valid & WP_SETATTR_SIZE))
		cl_inode_heard_size(op->file->inode, r->size);
	cl_op_entry_done(op, err);
}

struct client_op *client_setattr(struct client *c, const struct client_cred *cred, const struct wp_fid *fid,
				 struct client_file *file, const struct client_setattr *sa, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);
	struct wp_setattr_req *r = &op->req.setattr;

	cl_op_cred(op, cred);
	*r = (struct wp_setattr_req){
		.fid = *fid, .valid = sa->valid, .mode = sa->mode, .uid = sa->uid, .gid = sa->gid, .size = sa->size,
		.atime = sa->atime, .mtime = sa->mtime, .ctime = sa->ctime, .project = sa->project,
	};
	if (file) {
		cl_op_set_file(op, file);
		r->handle = file->handle;
		if (cl_file_stale(file)) {
			cl_op_finish(op, -ESTALE);
			return op;
		}
		if (r->valid & WP_SETATTR_SIZE) {
			r->valid |= WP_SETATTR_HANDLE_SIZE;
			cl_file_unknown(file); /* objects change without telling us */
		} else if (cl_file_get_hint(file, &r->hint)) {
			r->has |= WP_SETATTR_REQ_HAS_HINT;
		}
	}
	if ((r->valid & WP_SETATTR_SIZE) && r->size > WEFT_FILE_SIZE_MAX)
		cl_op_finish(op, -EFBIG);
	else
		cl_op_meta(op, &cl_req_setattr, wp_fid_mdt(fid), setattr_done);
	return op;
}

struct client_op *client_access(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, uint32_t mask,
				client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);
	int err;

	cl_op_cred(op, cred);
	op->req.access = (struct wp_access_req){ .fid = *fid, .mask = mask };
	err = mask & ~7u ? -EAGAIN : client_cached_access(c, cred, fid, mask);
	if (err == -EAGAIN)
		cl_op_meta(op, &cl_req_access, wp_fid_mdt(fid), cl_op_done);
	else
		cl_op_finish(op, err);
	return op;
}

/* ---- extended attributes ----------------------------------------------------------------------------------------- */

static bool xattr_name_fits(struct client_op *op, struct wp_str name)
{
	if (name.len && name.len <= WP_XATTR_NAME_MAX)
		return true;
	cl_op_finish(op, -ERANGE);
	return false;
}

static void getxattr_done(struct client_op *op, int err)
{
	struct wp_getxattr_rep rep;

	if (!err)
		err = META_DECODE(op, getxattr, &rep);
	if (!err) {
		op->res.data = rep.value.p;
		op->res.len = rep.value.len;
	}
	cl_op_finish(op, err);
}

struct client_op *client_getxattr(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, struct wp_str name,
				  client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	cl_op_cred(op, cred);
	op->req.getxattr = (struct wp_getxattr_req){ .fid = *fid, .name = name };
	op->body_max = name.len;
	if (!xattr_name_fits(op, name))
		return op;
	if (client_cached_getxattr(c, cred, fid) == -ENODATA)
		cl_op_finish(op, -ENODATA);
	else
		cl_op_meta(op, &cl_req_getxattr, wp_fid_mdt(fid), getxattr_done);
	return op;
}

static void listxattr_done(struct client_op *op, int err)
{
	struct wp_listxattr_rep rep;

	if (!err)
		err = META_DECODE(op, listxattr, &rep);
	if (!err) {
		op->res.data = rep.names.p;
		op->res.len = rep.names.len;
	}
	cl_op_finish(op, err);
}

struct client_op *client_listxattr(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, client_cb *cb,
				   void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	cl_op_cred(op, cred);
	op->req.listxattr = (struct wp_listxattr_req){ .fid = *fid };
	if (client_cached_getxattr(c, cred, fid) == -ENODATA)
		cl_op_finish(op, 0);
	else
		cl_op_meta(op, &cl_req_listxattr, wp_fid_mdt(fid), listxattr_done);
	return op;
}

static void xattr_changed(struct client_op *op, int err)
{
	struct wp_setxattr_rep rep;

	if (!err)
		err = META_DECODE(op, setxattr, &rep);
	if (!err)
		(void)cl_learn(op, &rep.entry);
	cl_op_finish(op, err);
}

struct client_op *client_setxattr(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, struct wp_str name,
				  const void *value, size_t len, uint32_t flags, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	cl_op_cred(op, cred);
	if (len > WP_XATTR_VALUE_MAX) {
		cl_op_finish(op, -E2BIG);
		return op;
	}
	op->req.setxattr = (struct wp_setxattr_req){
		.fid = *fid, .name = name, .value = wp_bytes(value, (uint32_t)len), .flags = flags,
	};
	op->body_max = name.len + (uint32_t)len;
	if (xattr_name_fits(op, name))
		cl_op_meta(op, &cl_req_setxattr, wp_fid_mdt(fid), xattr_changed);
	return op;
}

struct client_op *client_removexattr(struct client *c, const struct client_cred *cred, const struct wp_fid *fid,
				     struct wp_str name, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	cl_op_cred(op, cred);
	op->req.removexattr = (struct wp_removexattr_req){ .fid = *fid, .name = name };
	op->body_max = name.len;
	if (xattr_name_fits(op, name))
		cl_op_meta(op, &cl_req_removexattr, wp_fid_mdt(fid), xattr_changed);
	return op;
}

/* ---- layouts ----------------------------------------------------------------------------------------------------- */

static void get_layout_done(struct client_op *op, int err)
{
	struct wp_getattr_rep rep;

	if (!err)
		err = META_DECODE(op, getattr, &rep);
	if (!err) {
		op->res.attr = rep.entry.attr;
		if (rep.entry.has & WP_ENTRY_HAS_LAYOUT)
			op->res.layout = &rep.entry.layout;
	}
	cl_op_finish(op, err); /* rep must outlive the callback: it is called from inside */
}

struct client_op *client_get_layout(struct client *c, const struct wp_fid *fid, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	op->req.getattr = (struct wp_getattr_req){ .fid = *fid, .flags = 1 };
	cl_op_meta(op, &cl_req_getattr, wp_fid_mdt(fid), get_layout_done);
	return op;
}

uint32_t cl_layout_bound(const struct wp_layout *l)
{
	uint32_t i, n = 64;

	for (i = 0; i < l->components_n; i++)
		n += 64 + l->components[i].pool.len + l->components[i].targets_n * 4;
	return n;
}

struct client_op *client_set_layout(struct client *c, const struct client_cred *cred, const struct wp_fid *fid,
				    const struct wp_layout *layout, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	cl_op_cred(op, cred);
	op->req.set_layout = (struct wp_set_layout_req){ .fid = *fid, .layout = *layout };
	op->body_max = cl_layout_bound(layout);
	cl_op_meta(op, &cl_req_set_layout, wp_fid_mdt(fid), cl_op_entry_done);
	return op;
}

/* ---- the file system --------------------------------------------------------------------------------------------- */

static void statfs_done(struct client_op *op, int err)
{
	if (!err)
		err = META_DECODE(op, statfs, &op->res.statfs);
	cl_op_finish(op, err);
}

struct client_op *client_statfs(struct client *c, client_cb *cb, void *arg)
{
	struct client_op *op = cl_op_new(c, cb, arg);

	op->req.statfs = (struct wp_statfs_req){ 0 };
	cl_op_meta(op, &cl_req_statfs, wp_fid_mdt(&WP_FID_ROOT), statfs_done);
	return op;
}
