/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Operations on names and directories. */
#include "fuse/ops.h"

#include <sys/sysmacros.h>

#include "fuse/opendirs.h"

static bool is_dots(const char *name, const char *dots) { return !strcmp(name, dots); }

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct freq *f = freq_new(req);

	f->fid = fid_of(parent);
	/* "." and "..": asked by the NFS server's reconnecting of handles. */
	if (is_dots(name, ".."))
		f->op = client_lookup_parent(freq_client(f), &f->fid, done_entry, f);
	else if (is_dots(name, "."))
		f->op = client_getattr(freq_client(f), &f->fid, done_entry, f);
	else
		f->op = client_lookup(freq_client(f), &f->cred, &f->fid, freq_name(f, name), done_entry, f);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct freq *f = freq_new(req);

	f->fid = fid_of(parent);
	f->op = client_mknod(freq_client(f), &f->cred, &f->fid, freq_name(f, name), mode, fuse_req_ctx(req)->umask, major(rdev),
			     minor(rdev), done_entry, f);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct freq *f = freq_new(req);

	f->fid = fid_of(parent);
	f->op = client_mkdir(freq_client(f), &f->cred, &f->fid, freq_name(f, name), mode, fuse_req_ctx(req)->umask, done_entry,
			     f);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct freq *f = freq_new(req);

	f->fid = fid_of(parent);
	f->op = client_unlink(freq_client(f), &f->cred, &f->fid, freq_name(f, name), done_err, f);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct freq *f = freq_new(req);

	f->fid = fid_of(parent);
	f->op = client_rmdir(freq_client(f), &f->cred, &f->fid, freq_name(f, name), done_err, f);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct freq *f = freq_new(req);

	freq_keep(f);
	f->fid = fid_of(parent);
	f->op = client_symlink(freq_client(f), &f->cred, &f->fid, freq_name(f, name),
			       (struct wp_str){ target, (uint32_t)strlen(target) }, done_entry, f);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname, unsigned flags)
{
	struct freq *f;
	uint32_t wire = 0;

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	if (flags & RENAME_NOREPLACE)
		wire |= WP_RENAME_NOREPLACE;
	if (flags & RENAME_EXCHANGE)
		wire |= WP_RENAME_EXCHANGE;
	f = freq_new(req);
	f->fid = fid_of(parent);
	f->fid2 = fid_of(newparent);
	f->op = client_rename(freq_client(f), &f->cred, &f->fid, freq_name(f, name), &f->fid2, freq_name(f, newname), wire,
			      done_err, f);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	struct freq *f = freq_new(req);

	f->fid = fid_of(ino);
	f->fid2 = fid_of(newparent);
	f->op = client_link(freq_client(f), &f->cred, &f->fid, &f->fid2, freq_name(f, newname), done_entry, f);
}

static void readlink_done(void *arg, int err, const struct client_res *res)
{
	struct freq *f = arg;

	if (err < 0) {
		freq_end(f, err);
		return;
	}
	freq_settle(f);
	fuse_reply_buf(f->req, res->data, res->len);
	freq_free(f);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct freq *f = freq_new(req);

	f->fid = fid_of(ino);
	f->op = client_readlink(freq_client(f), &f->fid, readlink_done, f);
}

/* ---- directories --------------------------------------------------------------------------------------- */

static void opendir_done(void *arg, int err, const struct client_res *res)
{
	struct freq *f = arg;

	if (err < 0) {
		freq_end(f, err);
		return;
	}
	opendirs_add(ino_of(&f->fid), &res->attr);
	freq_settle(f);
	if (fuse_reply_open(f->req, &f->fi) == -ENOENT) /* interrupted: nobody will release it */
		opendirs_drop(ino_of(&f->fid));
	freq_free(f);
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct freq *f = freq_new(req);

	f->fid = fid_of(ino);
	f->fi = *fi;
	f->fi.fh = 0;
	f->op = client_opendir(freq_client(f), &f->cred, &f->fid, opendir_done, f);
}

static size_t add_entry(struct freq *f, char *buf, size_t room, const struct wp_dirent *d)
{
	struct fuse_entry_param e = { 0 };
	char name[WP_NAME_MAX + 1];
	size_t len = MIN(d->name.len, (uint32_t)WP_NAME_MAX);
	bool dots = len <= 2 && !memcmp(d->name.p, "..", len);

	memcpy(name, d->name.p, len);
	name[len] = '\0';
	if (f->plus && (d->has & WP_DIRENT_HAS_ATTR) && !dots && !(d->attr.flags & WP_ATTR_UNSETTLED)) {
		e.ino = ino_of(&d->fid);
		stat_of(&d->attr, &e.attr);
	}
	e.attr.st_ino = ino_of(&d->fid);
	e.attr.st_mode = d->type;
	if (e.ino)
		e.attr.st_mode = d->attr.mode;
	if (f->plus)
		return fuse_add_direntry_plus(f->req, buf, room, name, &e, (off_t)d->cookie);
	return fuse_add_direntry(f->req, buf, room, name, &e.attr, (off_t)d->cookie);
}

static void readdir_done(void *arg, int err, const struct client_res *res)
{
	struct freq *f = arg;
	size_t used = 0;
	char *buf;

	if (err < 0) {
		freq_end(f, err);
		return;
	}
	buf = freq_room(f, f->size);
	for (uint32_t i = 0; i < res->dirents_n; i++) {
		size_t n = add_entry(f, buf + used, f->size - used, &res->dirents[i]);

		if (n > f->size - used)
			break;
		used += n;
	}
	freq_settle(f);
	fuse_reply_buf(f->req, buf, used);
	freq_free(f);
}

static void start_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	struct freq *f = freq_new(req);

	freq_keep(f);
	f->fid = fid_of(ino);
	f->size = MIN(size, (size_t)1 << 20);
	f->plus = plus;
	f->op = client_readdir(freq_client(f), &f->cred, &f->fid, (uint64_t)off, (uint32_t)f->size, plus ? WP_READDIR_PLUS : 0,
			       readdir_done, f);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	start_readdir(req, ino, size, off, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	start_readdir(req, ino, size, off, true);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	opendirs_drop(ino);
	fuse_reply_err(req, 0);
}

/* Every namespace operation is durable before it is acknowledged. */
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi) { fuse_reply_err(req, 0); }
