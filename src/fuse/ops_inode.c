/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Operations on inodes: attributes, extended attributes, the file system itself. */
#include "fuse/ops.h"

#include <sys/statvfs.h>

#include "fuse/opendirs.h"

static void getattr_done(void *arg, int err, const struct client_res *res)
{
	struct freq *f = arg;
	struct client_res gone;

	if ((err == -ESTALE || err == -ENOENT) && opendirs_find(ino_of(&f->fid), &gone.attr)) {
		gone.attr.nlink = 0;
		done_attr(f, 0, &gone);
		return;
	}
	done_attr(f, err, res);
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct wp_fid fid = fid_of(ino);
	struct client_res res;
	struct freq *f;

	if (!client_cached_getattr(this_client(), &fid, &res)) {
		reply_attr(req, 0, &res);
		return;
	}
	f = freq_new(req);
	f->fid = fid;
	f->op = client_getattr(freq_client(f), &f->fid, getattr_done, f);
}

static const struct {
	int fuse;
	uint32_t wire;
} set_bits[] = {
	{ FUSE_SET_ATTR_MODE, WP_SETATTR_MODE },
	{ FUSE_SET_ATTR_UID, WP_SETATTR_UID },
	{ FUSE_SET_ATTR_GID, WP_SETATTR_GID },
	{ FUSE_SET_ATTR_SIZE, WP_SETATTR_SIZE },
	{ FUSE_SET_ATTR_ATIME, WP_SETATTR_ATIME },
	{ FUSE_SET_ATTR_MTIME, WP_SETATTR_MTIME },
	{ FUSE_SET_ATTR_ATIME_NOW, WP_SETATTR_ATIME_NOW },
	{ FUSE_SET_ATTR_MTIME_NOW, WP_SETATTR_MTIME_NOW },
	{ FUSE_SET_ATTR_CTIME, WP_SETATTR_CTIME },
};

static struct wp_time time_of(struct timespec t) { return (struct wp_time){ .sec = t.tv_sec, .nsec = (uint32_t)t.tv_nsec }; }

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct client_setattr sa = {
		.mode = attr->st_mode & 07777,
		.uid = attr->st_uid,
		.gid = attr->st_gid,
		.size = (uint64_t)attr->st_size,
		.atime = time_of(attr->st_atim),
		.mtime = time_of(attr->st_mtim),
		.ctime = time_of(attr->st_ctim),
	};
	struct freq *f = freq_new(req);

	for (size_t i = 0; i < ARRAY_SIZE(set_bits); i++)
		if (to_set & set_bits[i].fuse)
			sa.valid |= set_bits[i].wire;
	if (chan_setattr_kills_suid())
		sa.valid |= WP_SETATTR_KILL_SUIDGID;
	f->fid = fid_of(ino);
	f->op = client_setattr(freq_client(f), &f->cred, &f->fid, fi ? file_of(fi) : NULL, &sa, done_attr, f);
}

void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	struct freq *f = freq_new(req);

	f->fid = fid_of(ino);
	f->op = client_access(freq_client(f), &f->cred, &f->fid, (uint32_t)mask, done_err, f);
}

static void statfs_done(void *arg, int err, const struct client_res *res)
{
	struct statvfs st = { .f_bsize = 1u << 20, .f_frsize = 4096, .f_namemax = WP_NAME_MAX };
	struct freq *f = arg;

	if (err < 0) {
		freq_end(f, err);
		return;
	}
	st.f_blocks = res->statfs.total / st.f_frsize;
	st.f_bfree = st.f_bavail = res->statfs.free / st.f_frsize;
	st.f_files = res->statfs.inodes;
	st.f_ffree = st.f_favail = res->statfs.inodes_free;
	freq_settle(f);
	fuse_reply_statfs(f->req, &st);
	freq_free(f);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct freq *f = freq_new(req);

	f->op = client_statfs(freq_client(f), statfs_done, f);
}

/* ---- extended attributes ------------------------------------------------------------------------------- */

/* The caller first asks for the size with room 0. */
static void value_done(void *arg, int err, const struct client_res *res)
{
	struct freq *f = arg;

	if (err == 0 && f->size && res->len > f->size)
		err = -ERANGE;
	if (err < 0) {
		freq_end(f, err);
		return;
	}
	freq_settle(f);
	if (f->size)
		fuse_reply_buf(f->req, res->data, res->len);
	else
		fuse_reply_xattr(f->req, res->len);
	freq_free(f);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct client_cred cred = cred_of(req);
	struct wp_fid fid = fid_of(ino);
	struct freq *f;

	if (strncmp(name, "weft.", 5) && client_cached_getxattr(this_client(), &cred, &fid) == -ENODATA) {
		fuse_reply_err(req, ENODATA);
		return;
	}
	f = freq_new(req);
	f->fid = fid;
	f->size = size;
	if (special_getxattr(f, name, size))
		return;
	f->op = client_getxattr(freq_client(f), &f->cred, &f->fid, freq_name(f, name), value_done, f);
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	struct freq *f = freq_new(req);

	f->fid = fid_of(ino);
	freq_keep(f);
	if (special_setxattr(f, name, value, size))
		return;
	f->op = client_setxattr(freq_client(f), &f->cred, &f->fid, freq_name(f, name), value, size, (uint32_t)flags, done_err,
				f);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct freq *f = freq_new(req);

	f->fid = fid_of(ino);
	f->size = size;
	f->op = client_listxattr(freq_client(f), &f->cred, &f->fid, value_done, f);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct freq *f = freq_new(req);

	f->fid = fid_of(ino);
	if (!strncmp(name, "weft.", 5)) {
		freq_end(f, -EPERM);
		return;
	}
	f->op = client_removexattr(freq_client(f), &f->cred, &f->fid, freq_name(f, name), done_err, f);
}
