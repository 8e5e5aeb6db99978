/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* libweft: names, attributes, directories. */
#include "client/lib/lib_priv.h"

#include <dirent.h>
#include <linux/fs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static void call_at(struct wcall *w, struct weft *fs, wcall_fn *start)
{
	wcall_init(w, fs->mount, &fs->cred, start);
	w->umask = fs->umask;
}

/* Most calls: resolve, then go on. */
static void go_walk(struct wcall *w)
{
	walk_run(w, &w->walk);
}

static void path_call(struct wcall *w, struct weft *fs, struct weft_dir *at, const char *path, bool parent, bool follow, wcall_fn *next)
{
	call_at(w, fs, go_walk);
	walk_init(&w->walk, at, path, parent, follow, next);
}

void lib_stat(const struct wp_attr *a, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_dev = makedev(0, 0x77);
	st->st_ino = wp_fid_to_ino(&a->fid);
	st->st_mode = a->mode;
	st->st_nlink = a->nlink;
	st->st_uid = a->uid;
	st->st_gid = a->gid;
	st->st_rdev = makedev(a->rdev_major, a->rdev_minor);
	st->st_size = (off_t)a->size;
	st->st_blksize = 1 << 20;
	st->st_blocks = (blkcnt_t)a->blocks;
	st->st_atim = (struct timespec){ a->atime.sec, a->atime.nsec };
	st->st_mtim = (struct timespec){ a->mtime.sec, a->mtime.nsec };
	st->st_ctim = (struct timespec){ a->ctime.sec, a->ctime.nsec };
}

/* ---- stat -------------------------------------------------------------------------------------------------------- */

static void stat_walked(struct wcall *w)
{
	lib_stat(&w->walk.attr, w->out);
	wcall_done(w, 0);
}

static void stat_call(struct wcall *w, struct weft *fs, struct weft_dir *at, const char *path, struct stat *st, int flags)
{
	path_call(w, fs, at, path, false, !(flags & AT_SYMLINK_NOFOLLOW), stat_walked);
	w->out = st;
}

int weft_stat(struct weft *fs, struct weft_dir *at, const char *path, struct stat *st, int flags)
{
	struct wcall w;

	stat_call(&w, fs, at, path, st, flags);
	return (int)wcall_run(&w);
}

int weft_stat_async(struct weft *fs, struct weft_dir *at, const char *path, struct stat *st, int flags, const struct weft_async *a)
{
	struct wcall w;

	stat_call(&w, fs, at, path, st, flags);
	return wcall_async(&w, a);
}

static void access_walked(struct wcall *w)
{
	if (!w->mode)
		wcall_done(w, 0);
	else
		client_access(w->c, &w->cred, &w->walk.dir, w->mode, wcall_cb, w);
}

int weft_access(struct weft *fs, struct weft_dir *at, const char *path, int mask)
{
	struct wcall w;

	path_call(&w, fs, at, path, false, true, access_walked);
	w.mode = (uint32_t)mask & (R_OK | W_OK | X_OK);
	return (int)wcall_run(&w);
}

/* ---- making and removing ----------------------------------------------------------------------------------------- */

static void mkdir_walked(struct wcall *w)
{
	client_mkdir(w->c, &w->cred, &w->walk.dir, w->walk.name, w->mode, w->umask, wcall_cb, w);
}

int weft_mkdir(struct weft *fs, struct weft_dir *at, const char *path, mode_t mode)
{
	struct wcall w;

	path_call(&w, fs, at, path, true, false, mkdir_walked);
	w.mode = mode & 07777;
	return (int)wcall_run(&w);
}

int weft_mkdir_async(struct weft *fs, struct weft_dir *at, const char *path, mode_t mode, const struct weft_async *a)
{
	struct wcall w;

	path_call(&w, fs, at, path, true, false, mkdir_walked);
	w.mode = mode & 07777;
	return wcall_async(&w, a);
}

static void mknod_walked(struct wcall *w)
{
	client_mknod(w->c, &w->cred, &w->walk.dir, w->walk.name, w->mode, w->umask, (uint32_t)w->offset, (uint32_t)w->offset2,
		     wcall_cb, w);
}

int weft_mknod(struct weft *fs, struct weft_dir *at, const char *path, mode_t mode, dev_t dev)
{
	struct wcall w;

	path_call(&w, fs, at, path, true, false, mknod_walked);
	w.mode = mode;
	w.offset = major(dev);
	w.offset2 = minor(dev);
	return (int)wcall_run(&w);
}

static void unlink_walked(struct wcall *w)
{
	client_unlink(w->c, &w->cred, &w->walk.dir, w->walk.name, wcall_cb, w);
}

int weft_unlink(struct weft *fs, struct weft_dir *at, const char *path)
{
	struct wcall w;

	path_call(&w, fs, at, path, true, false, unlink_walked);
	return (int)wcall_run(&w);
}

int weft_unlink_async(struct weft *fs, struct weft_dir *at, const char *path, const struct weft_async *a)
{
	struct wcall w;

	path_call(&w, fs, at, path, true, false, unlink_walked);
	return wcall_async(&w, a);
}

static void rmdir_walked(struct wcall *w)
{
	client_rmdir(w->c, &w->cred, &w->walk.dir, w->walk.name, wcall_cb, w);
}

int weft_rmdir(struct weft *fs, struct weft_dir *at, const char *path)
{
	struct wcall w;

	path_call(&w, fs, at, path, true, false, rmdir_walked);
	return (int)wcall_run(&w);
}

static void symlink_walked(struct wcall *w)
{
	client_symlink(w->c, &w->cred, &w->walk.dir, w->walk.name, w->name, wcall_cb, w);
}

int weft_symlink(struct weft *fs, const char *target, struct weft_dir *at, const char *path)
{
	struct wcall w;

	path_call(&w, fs, at, path, true, false, symlink_walked);
	w.name = wp_str(target);
	return (int)wcall_run(&w);
}

static void take_readlink(struct wcall *w, int err, const struct client_res *res)
{
	if (err)
		return;
	w->result = (ssize_t)MIN(res->len, w->out_len);
	memcpy(w->out, res->data, (size_t)w->result);
}

static void readlink_walked(struct wcall *w)
{
	w->take = take_readlink;
	if (S_ISLNK(w->walk.attr.mode))
		client_readlink(w->c, &w->walk.dir, wcall_cb, w);
	else
		wcall_done(w, -EINVAL);
}

ssize_t weft_readlink(struct weft *fs, struct weft_dir *at, const char *path, char *buf, size_t size)
{
	struct wcall w;

	path_call(&w, fs, at, path, false, false, readlink_walked);
	w.out = buf;
	w.out_len = size;
	return wcall_run(&w);
}

/* ---- two names --------------------------------------------------------------------------------------------------- */

static void first_walked(struct wcall *w)
{
	walk_run(w, &w->walk2);
}

static void rename_walked(struct wcall *w)
{
	client_rename(w->c, &w->cred, &w->walk.dir, w->walk.name, &w->walk2.dir, w->walk2.name, w->flags, wcall_cb, w);
}

int weft_rename(struct weft *fs, struct weft_dir *at, const char *path, struct weft_dir *new_at, const char *new_path, unsigned flags)
{
	struct wcall w;

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	path_call(&w, fs, at, path, true, false, first_walked);
	walk_init(&w.walk2, new_at, new_path, true, false, rename_walked);
	w.flags = (flags & RENAME_NOREPLACE ? WP_RENAME_NOREPLACE : 0u) | (flags & RENAME_EXCHANGE ? WP_RENAME_EXCHANGE : 0u);
	return (int)wcall_run(&w);
}

static void link_walked(struct wcall *w)
{
	client_link(w->c, &w->cred, &w->walk.dir, &w->walk2.dir, w->walk2.name, wcall_cb, w);
}

int weft_link(struct weft *fs, struct weft_dir *at, const char *path, struct weft_dir *new_at, const char *new_path)
{
	struct wcall w;

	path_call(&w, fs, at, path, false, false, first_walked);
	walk_init(&w.walk2, new_at, new_path, true, false, link_walked);
	return (int)wcall_run(&w);
}

/* ---- attributes -------------------------------------------------------------------------------------------------- */

static void setattr_walked(struct wcall *w)
{
	client_setattr(w->c, &w->cred, &w->walk.dir, NULL, &w->sa, wcall_cb, w);
}

static int setattr_path(struct weft *fs, struct weft_dir *at, const char *path, const struct client_setattr *sa, int flags)
{
	struct wcall w;

	path_call(&w, fs, at, path, false, !(flags & AT_SYMLINK_NOFOLLOW), setattr_walked);
	w.sa = *sa;
	return (int)wcall_run(&w);
}

int weft_truncate(struct weft *fs, struct weft_dir *at, const char *path, off_t size)
{
	struct client_setattr sa = { .valid = WP_SETATTR_SIZE, .size = (uint64_t)size };

	return size < 0 ? -EINVAL : setattr_path(fs, at, path, &sa, 0);
}

int weft_chmod(struct weft *fs, struct weft_dir *at, const char *path, mode_t mode, int flags)
{
	struct client_setattr sa = { .valid = WP_SETATTR_MODE, .mode = mode & 07777 };

	return setattr_path(fs, at, path, &sa, flags);
}

int weft_chown(struct weft *fs, struct weft_dir *at, const char *path, uid_t uid, gid_t gid, int flags)
{
	struct client_setattr sa = { .uid = uid, .gid = gid };

	if (uid != (uid_t)-1)
		sa.valid |= WP_SETATTR_UID;
	if (gid != (gid_t)-1)
		sa.valid |= WP_SETATTR_GID;
	return setattr_path(fs, at, path, &sa, flags);
}

static uint32_t set_time(const struct timespec *t, struct wp_time *ret, uint32_t given, uint32_t now)
{
	if (t->tv_nsec == UTIME_OMIT)
		return 0;
	if (t->tv_nsec == UTIME_NOW)
		return given | now;
	*ret = (struct wp_time){ .sec = t->tv_sec, .nsec = (uint32_t)t->tv_nsec };
	return given;
}

int weft_utimens(struct weft *fs, struct weft_dir *at, const char *path, const struct timespec times[2], int flags)
{
	static const struct timespec now[2] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_NOW } };
	struct client_setattr sa = { 0 };

	if (!times)
		times = now;
	sa.valid = set_time(&times[0], &sa.atime, WP_SETATTR_ATIME, WP_SETATTR_ATIME_NOW) |
		   set_time(&times[1], &sa.mtime, WP_SETATTR_MTIME, WP_SETATTR_MTIME_NOW);
	return setattr_path(fs, at, path, &sa, flags);
}

/* ---- directories ------------------------------------------------------------------------------------------------- */

static void take_opendir(struct wcall *w, int err, const struct client_res *res)
{
	if (!err && !S_ISDIR(res->attr.mode))
		w->result = -ENOTDIR;
}

static void opendir_walked(struct wcall *w)
{
	w->take = take_opendir;
	client_opendir(w->c, &w->cred, &w->walk.dir, wcall_cb, w);
}

int weft_opendir(struct weft *fs, struct weft_dir *at, const char *path, struct weft_dir **ret)
{
	struct weft_dir *d;
	struct wcall w;
	ssize_t err;

	path_call(&w, fs, at, path, false, true, opendir_walked);
	err = wcall_run(&w);
	if (err)
		return (int)err;
	d = NEW(struct weft_dir);
	d->mount = fs->mount;
	d->fid = w.walk.dir;
	d->cred = fs->cred;
	/* The handle may outlive the context. */
	d->groups = xcalloc(fs->cred.groups_n + 1, sizeof(*d->groups));
	memcpy(d->groups, fs->cred.groups, fs->cred.groups_n * sizeof(*d->groups));
	d->cred.groups = d->groups;
	*ret = d;
	return 0;
}

static void take_entries(struct wcall *w, int err, const struct client_res *res)
{
	struct weft_dir *d = w->out;
	uint32_t i;

	if (err)
		return;
	d->buf = xrealloc(d->buf, (res->dirents_n + 1) * sizeof(*d->buf));
	for (i = 0; i < res->dirents_n; i++) {
		const struct wp_dirent *e = &res->dirents[i];
		struct weft_dirent *to = &d->buf[i];

		to->ino = wp_fid_to_ino(&e->fid);
		to->cookie = e->cookie;
		to->type = (unsigned char)IFTODT(e->type);
		if (wp_str_copy(to->name, sizeof(to->name), e->name))
			w->result = -EIO;
	}
	d->n = res->dirents_n;
	d->next = 0;
	d->eof = res->eof;
}

static void go_readdir(struct wcall *w)
{
	struct weft_dir *d = w->out;

	w->take = take_entries;
	client_readdir(w->c, &w->cred, &d->fid, d->cookie, 65536, 0, wcall_cb, w);
}

int weft_readdir(struct weft_dir *d, struct weft_dirent *ret)
{
	struct wcall w;
	ssize_t err;

	while (d->next == d->n) {
		if (d->eof)
			return 0;
		wcall_init(&w, d->mount, &d->cred, go_readdir);
		w.out = d;
		err = wcall_run(&w);
		if (err)
			return (int)err;
		if (!d->n && !d->eof)
			return -EIO;
	}
	*ret = d->buf[d->next++];
	d->cookie = ret->cookie;
	return 1;
}

void weft_seekdir(struct weft_dir *d, uint64_t cookie)
{
	d->cookie = cookie;
	d->n = d->next = 0;
	d->eof = false;
}

int weft_closedir(struct weft_dir *d)
{
	free(d->groups);
	free(d->buf);
	free(d);
	return 0;
}

/* ---- extended attributes ----------------------------------------------------------------------------------------- */

static void take_value(struct wcall *w, int err, const struct client_res *res)
{
	if (err)
		return;
	w->result = (ssize_t)res->len;
	if (!w->out_len)
		return;
	if (res->len > w->out_len)
		w->result = -ERANGE;
	else
		memcpy(w->out, res->data, res->len);
}

static void getxattr_walked(struct wcall *w)
{
	w->take = take_value;
	client_getxattr(w->c, &w->cred, &w->walk.dir, w->name, wcall_cb, w);
}

ssize_t weft_getxattr(struct weft *fs, struct weft_dir *at, const char *path, const char *name, void *buf, size_t size, int flags)
{
	struct wcall w;

	path_call(&w, fs, at, path, false, !(flags & AT_SYMLINK_NOFOLLOW), getxattr_walked);
	w.name = wp_str(name);
	w.out = buf;
	w.out_len = size;
	return wcall_run(&w);
}

static void listxattr_walked(struct wcall *w)
{
	w->take = take_value;
	client_listxattr(w->c, &w->cred, &w->walk.dir, wcall_cb, w);
}

ssize_t weft_listxattr(struct weft *fs, struct weft_dir *at, const char *path, char *buf, size_t size, int flags)
{
	struct wcall w;

	path_call(&w, fs, at, path, false, !(flags & AT_SYMLINK_NOFOLLOW), listxattr_walked);
	w.out = buf;
	w.out_len = size;
	return wcall_run(&w);
}

static void setxattr_walked(struct wcall *w)
{
	client_setxattr(w->c, &w->cred, &w->walk.dir, w->name, w->value, w->len, w->flags, wcall_cb, w);
}

int weft_setxattr(struct weft *fs, struct weft_dir *at, const char *path, const char *name, const void *buf, size_t size, int how,
		  int flags)
{
	struct wcall w;

	path_call(&w, fs, at, path, false, !(flags & AT_SYMLINK_NOFOLLOW), setxattr_walked);
	w.name = wp_str(name);
	w.value = buf;
	w.len = size;
	w.flags = (uint32_t)how;
	return (int)wcall_run(&w);
}

static void removexattr_walked(struct wcall *w)
{
	client_removexattr(w->c, &w->cred, &w->walk.dir, w->name, wcall_cb, w);
}

int weft_removexattr(struct weft *fs, struct weft_dir *at, const char *path, const char *name, int flags)
{
	struct wcall w;

	path_call(&w, fs, at, path, false, !(flags & AT_SYMLINK_NOFOLLOW), removexattr_walked);
	w.name = wp_str(name);
	return (int)wcall_run(&w);
}

/* ---- the file system --------------------------------------------------------------------------------------------- */

static void take_statfs(struct wcall *w, int err, const struct client_res *res)
{
	struct statvfs *st = w->out;

	if (err)
		return;
	memset(st, 0, sizeof(*st));
	st->f_bsize = st->f_frsize = 4096;
	st->f_blocks = res->statfs.total / 4096;
	st->f_bfree = st->f_bavail = res->statfs.free / 4096;
	st->f_files = res->statfs.inodes;
	st->f_ffree = st->f_favail = res->statfs.inodes_free;
	st->f_namemax = WP_NAME_MAX;
}

static void go_statfs(struct wcall *w)
{
	w->take = take_statfs;
	client_statfs(w->c, wcall_cb, w);
}

int weft_statfs(struct weft *fs, struct statvfs *st)
{
	struct wcall w;

	call_at(&w, fs, go_statfs);
	w.out = st;
	return (int)wcall_run(&w);
}

static void go_sync(struct wcall *w)
{
	client_sync_all(w->c, wcall_cb, w);
}

int weft_sync(struct weft *fs)
{
	struct wcall w;

	call_at(&w, fs, go_sync);
	return (int)wcall_run(&w);
}

/* ---- layouts ----------------------------------------------------------------------------------------------------- */

static void take_layout(struct wcall *w, int err, const struct client_res *res)
{
	struct weft_component *to = w->out;
	uint32_t i;

	if (err || !res->layout)
		return;
	for (i = 0; i < res->layout->components_n && i < w->out_len; i++) {
		const struct wp_component *c = &res->layout->components[i];

		memset(&to[i], 0, sizeof(to[i]));
		to[i].start = c->start;
		to[i].end = c->end;
		to[i].stripe_size = c->stripe_size;
		to[i].stripe_count = c->targets_n ? c->targets_n : c->stripe_count;
		to[i].target = c->targets_n ? c->targets[0] : 0;
		if (wp_str_copy(to[i].pool, sizeof(to[i].pool), c->pool))
			w->result = -EIO;
	}
	if (!w->result)
		w->result = (ssize_t)res->layout->components_n;
}

static void get_layout_walked(struct wcall *w)
{
	w->take = take_layout;
	client_get_layout(w->c, &w->walk.dir, wcall_cb, w);
}

int weft_get_layout(struct weft *fs, struct weft_dir *at, const char *path, struct weft_component *ret, unsigned max)
{
	struct wcall w;

	path_call(&w, fs, at, path, false, true, get_layout_walked);
	w.out = ret;
	w.out_len = max;
	return (int)wcall_run(&w);
}

static void set_layout_walked(struct wcall *w)
{
	client_set_layout(w->c, &w->cred, &w->walk.dir, &w->layout, wcall_cb, w);
}

int weft_set_layout(struct weft *fs, struct weft_dir *at, const char *path, const struct weft_component *c, unsigned n)
{
	struct wp_component comps[WP_COMPONENTS_MAX];
	struct wcall w;
	unsigned i;

	if (n > WP_COMPONENTS_MAX)
		return -EINVAL;
	for (i = 0; i < n; i++)
		comps[i] = (struct wp_component){
			.start = c[i].start, .end = c[i].end, .pattern = WP_PATTERN_RAID0, .stripe_size = c[i].stripe_size,
			.stripe_count = c[i].stripe_count, .pool = wp_str(c[i].pool),
		};
	path_call(&w, fs, at, path, false, true, set_layout_walked);
	w.layout = (struct wp_layout){ .components = comps, .components_n = n };
	return (int)wcall_run(&w);
}
