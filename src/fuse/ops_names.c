/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Operations on names and directories. */
#include "fuse/ops.h"

#include <sys/sysmacros.h>

#include "fuse/opendirs.h"

static bool is_dots(const char *name, const char *dots) { return !strcmp(name, dots); }

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct client_cred cred = cred_of(req);
	struct wp_fid dir = fid_of(parent);
	struct client_res res = { 0 };
	struct freq *f;
	int err = client_cached_lookup(this_client(), &cred, &dir, wp_str(name), &res);

	if (err != -EAGAIN) {
		reply_entry(req, err, &res);
		return;
	}
	f = freq_new(req);
	f->fid = dir;
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
	struct wp_fid fid = fid_of(ino);
	char buf[WP_SYMLINK_MAX + 1];
	struct freq *f;
	uint32_t len;

	if (!client_cached_readlink(this_client(), &fid, buf, sizeof(buf), &len)) {
		fuse_reply_buf(req, buf, len);
		return;
	}
	f = freq_new(req);
	f->fid = fid;
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
	struct client_cred cred = cred_of(req);
	struct wp_fid dir = fid_of(ino);
	struct client_res res;
	struct freq *f;

	if (!client_cached_opendir(this_client(), &cred, &dir, &res)) {
		opendirs_add(ino, &res.attr);
		fi->fh = 0;
		if (fuse_reply_open(req, fi) == -ENOENT)
			opendirs_drop(ino);
		return;
	}
	f = freq_new(req);
	f->fid = dir;
	f->fi = *fi;
	f->fi.fh = 0;
	f->op = client_opendir(freq_client(f), &f->cred, &f->fid, opendir_done, f);
}

/* Entries go into the reply one by one, until one does not fit. */
struct listing {
	struct freq *f;
	char *buf;
	size_t used;
	double ttl; /* of names, seconds */
};

/* With PLUS, what is cached of the inode goes with its name; the kernel asks for others when it needs them. */
static bool list_add(struct listing *l, const struct wp_dirent *d)
{
	struct fuse_entry_param e = { 0 };
	char name[WP_NAME_MAX + 1];
	size_t len = MIN(d->name.len, (uint32_t)WP_NAME_MAX), room = l->f->size - l->used, n;
	bool dots = len <= 2 && !memcmp(d->name.p, "..", len);
	struct client_res res;

	memcpy(name, d->name.p, len);
	name[len] = '\0';
	if (l->f->plus && !dots && !client_cached_getattr(freq_client(l->f), &d->fid, &res)) {
		e.ino = ino_of(&d->fid);
		stat_of(&res.attr, &e.attr);
		e.attr_timeout = ttl_seconds(res.attr_ttl_ns);
		e.entry_timeout = l->ttl;
	} else {
		e.attr.st_ino = ino_of(&d->fid);
		e.attr.st_mode = d->type;
	}
	if (l->f->plus)
		n = fuse_add_direntry_plus(l->f->req, l->buf + l->used, room, name, &e, (off_t)d->cookie);
	else
		n = fuse_add_direntry(l->f->req, l->buf + l->used, room, name, &e.attr, (off_t)d->cookie);
	if (n > room)
		return false;
	l->used += n;
	return true;
}

static struct listing list_start(struct freq *f)
{
	uint64_t ttl = fuse_ops_config.kernel_names ? client_names_ttl(freq_client(f), &f->fid) : 0;

	return (struct listing){ .f = f, .buf = freq_room(f, f->size), .ttl = ttl_seconds(ttl) };
}

static void list_reply(struct listing *l)
{
	freq_settle(l->f);
	fuse_reply_buf(l->f->req, l->buf, l->used);
	freq_free(l->f);
}

static void readdir_done(void *arg, int err, const struct client_res *res)
{
	struct freq *f = arg;
	struct listing l;

	if (err < 0) {
		freq_end(f, err);
		return;
	}
	l = list_start(f);
	for (uint32_t i = 0; i < res->dirents_n; i++)
		if (!list_add(&l, &res->dirents[i]))
			break;
	list_reply(&l);
}

/* What the cache tells while it is locked: enough entries for one reply. */
#define GATHER_BYTES (64u << 10)

struct gathered {
	struct wp_dirent e[GATHER_BYTES / 32];
	uint32_t n;
	size_t used, max;
	char names[GATHER_BYTES];
};

static bool gather(void *arg, const struct wp_dirent *d)
{
	struct gathered *g = arg;

	if (g->n == ARRAY_SIZE(g->e) || g->used + d->name.len > sizeof(g->names) || g->used + g->n * 24u > g->max)
		return false;
	memcpy(g->names + g->used, d->name.p, d->name.len);
	g->e[g->n] = *d;
	g->e[g->n++].name = wp_str_n(g->names + g->used, d->name.len);
	g->used += d->name.len;
	return true;
}

static bool readdir_cached(struct freq *f, off_t off)
{
	struct gathered *g = f->thread->gathered;
	struct listing l;
	bool eof;

	if (!g)
		f->thread->gathered = g = NEW(struct gathered);
	g->n = 0;
	g->used = 0;
	g->max = f->size;
	if (client_cached_readdir(freq_client(f), &f->fid, (uint64_t)off, gather, g, &eof))
		return false;
	l = list_start(f);
	for (uint32_t i = 0; i < g->n; i++)
		if (!list_add(&l, &g->e[i]))
			break;
	list_reply(&l);
	return true;
}

static void start_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	struct freq *f = freq_new(req);

	freq_keep(f);
	f->fid = fid_of(ino);
	f->size = MIN(size, (size_t)1 << 20);
	f->plus = plus;
	if (readdir_cached(f, off))
		return;
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
