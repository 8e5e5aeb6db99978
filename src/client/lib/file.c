/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* libweft: open files. */
#include "client/lib/lib_priv.h"

#include <limits.h>
#include <sys/file.h>
#include <unistd.h>

#define FLOCK_OWNER (1ull << 62) /* apart from the owners of record locks */

/* ---- open -------------------------------------------------------------------------------------------------------- */

static uint32_t open_bits(int flags)
{
	int mode = flags & O_ACCMODE;
	uint32_t f = mode == O_RDONLY ? WP_OPEN_READ : mode == O_WRONLY ? WP_OPEN_WRITE : WP_OPEN_READ | WP_OPEN_WRITE;

	if (flags & O_TRUNC)
		f |= WP_OPEN_TRUNC;
	if (flags & O_EXCL)
		f |= WP_OPEN_EXCL;
	if (flags & O_APPEND)
		f |= WP_OPEN_APPEND;
	return f;
}

static void take_open(struct wcall *w, int err, const struct client_res *res)
{
	struct weft_file *f;

	if (err)
		return;
	f = NEW(struct weft_file);
	f->mount = w->mount;
	f->file = res->file;
	f->cred = (struct client_cred){ .uid = w->cred.uid, .gid = w->cred.gid, .cap_dac = w->cred.cap_dac };
	f->write_flags = w->open_flags & O_DSYNC ? CLIENT_WRITE_STABLE : 0;
	*(struct weft_file **)w->out = f;
}

static void open_found(struct wcall *w)
{
	w->take = take_open;
	if (S_ISLNK(w->walk.attr.mode))
		wcall_done(w, -ELOOP);
	else if (S_ISDIR(w->walk.attr.mode))
		wcall_done(w, -EISDIR);
	else if (!S_ISREG(w->walk.attr.mode))
		wcall_done(w, -EOPNOTSUPP);
	else
		client_open(w->c, &w->cred, &w->walk.dir, w->flags & ~(uint32_t)WP_OPEN_EXCL, wcall_cb, w);
}

static void create_walked(struct wcall *w);

/* The name is there already: a symbolic link is followed, by a walk through it; anything else is opened. */
static void create_exists(void *arg, int err, const struct client_res *res)
{
	struct wcall *w = arg;

	if (err == -ENOENT) {
		w->take = take_open;
		client_create(w->c, &w->cred, &w->walk.dir, w->walk.name, w->mode, w->umask, w->flags, NULL, wcall_cb, w);
	} else if (err) {
		wcall_done(w, err);
	} else if (S_ISLNK(res->attr.mode) && !(w->open_flags & O_NOFOLLOW)) {
		w->walk.next = create_walked;
		walk_through(w, &w->walk, &res->attr.fid);
	} else {
		w->walk.dir = res->attr.fid;
		w->walk.attr = res->attr;
		open_found(w);
	}
}

static void create_walked(struct wcall *w)
{
	if (w->walk.must_dir) {
		wcall_done(w, -EISDIR);
	} else if (w->open_flags & O_EXCL) {
		w->take = take_open;
		client_create(w->c, &w->cred, &w->walk.dir, w->walk.name, w->mode, w->umask, w->flags, NULL, wcall_cb, w);
	} else {
		client_lookup(w->c, &w->cred, &w->walk.dir, w->walk.name, create_exists, w);
	}
}

static void go_open(struct wcall *w)
{
	walk_run(w, &w->walk);
}

static int open_call(struct wcall *w, struct weft *fs, struct weft_dir *at, const char *path, int flags, mode_t mode,
		     struct weft_file **ret)
{
	bool create = flags & O_CREAT;

	if ((flags & O_ACCMODE) == O_ACCMODE || (flags & O_DIRECTORY) || (flags & O_TMPFILE) == O_TMPFILE)
		return -EINVAL;
	wcall_init(w, fs->mount, &fs->cred, go_open);
	walk_init(&w->walk, at, path, create, !(flags & O_NOFOLLOW), create ? create_walked : open_found);
	w->umask = fs->umask;
	w->mode = mode & 07777;
	w->open_flags = flags;
	w->flags = open_bits(flags);
	w->out = ret;
	return 0;
}

int weft_open(struct weft *fs, struct weft_dir *at, const char *path, int flags, mode_t mode, struct weft_file **ret)
{
	struct wcall w;
	int err = open_call(&w, fs, at, path, flags, mode, ret);

	return err ? err : (int)wcall_run(&w);
}

int weft_open_async(struct weft *fs, struct weft_dir *at, const char *path, int flags, mode_t mode, struct weft_file **ret,
		    const struct weft_async *a)
{
	struct wcall w;
	int err = open_call(&w, fs, at, path, flags, mode, ret);

	return err ? err : wcall_async(&w, a);
}

static void file_call(struct wcall *w, struct weft_file *f, wcall_fn *start)
{
	wcall_init(w, f->mount, &f->cred, start);
	w->file = f->file;
	w->flags = f->write_flags;
}

/* ---- close ------------------------------------------------------------------------------------------------------- */

static void go_close(struct wcall *w)
{
	client_release(w->c, w->file, wcall_cb, w);
}

static void flock_released(void *arg, int err, const struct client_res *res)
{
	go_close(arg);
}

static void go_close_flock(struct wcall *w)
{
	client_setlk(w->c, w->file, &w->lock, false, flock_released, w);
}

static void close_call(struct wcall *w, struct weft_file *f)
{
	file_call(w, f, f->flocked ? go_close_flock : go_close);
	w->lock = (struct client_lock){ .kind = WP_LOCK_KIND_FLOCK, .type = WP_LOCK_TYPE_UNLOCK, .owner = (uintptr_t)f | FLOCK_OWNER,
					.end = UINT64_MAX };
	free(f);
}

int weft_close(struct weft_file *f)
{
	struct wcall w;

	close_call(&w, f);
	return (int)wcall_run(&w);
}

int weft_close_async(struct weft_file *f, const struct weft_async *a)
{
	struct wcall w;

	if (!a || (!a->fn && !a->cq))
		return -EINVAL;
	close_call(&w, f);
	return wcall_async(&w, a);
}

/* ---- data -------------------------------------------------------------------------------------------------------- */

static void take_n(struct wcall *w, int err, const struct client_res *res)
{
	if (!err)
		w->result = (ssize_t)res->n;
}

static void go_read(struct wcall *w)
{
	client_read(w->c, w->file, w->iov, w->iov_n, w->offset, wcall_cb, w);
}

static void go_write(struct wcall *w)
{
	client_write(w->c, w->file, &w->cred, w->iov, w->iov_n, w->offset, w->flags, wcall_cb, w);
}

static int io_call(struct wcall *w, struct weft_file *f, const struct iovec *iov, int iov_n, off_t offset, wcall_fn *start)
{
	uint64_t sum = 0;
	int i;

	if (offset < 0 || iov_n < 0)
		return -EINVAL;
	for (i = 0; i < iov_n; i++) {
		if (iov[i].iov_len > (uint64_t)SSIZE_MAX - sum)
			return -EINVAL;
		sum += iov[i].iov_len;
	}
	file_call(w, f, start);
	w->take = take_n;
	w->iov = iov;
	w->iov_n = iov_n;
	w->offset = (uint64_t)offset;
	return 0;
}

ssize_t weft_preadv(struct weft_file *f, const struct iovec *iov, int iov_n, off_t offset)
{
	struct wcall w;
	int err = io_call(&w, f, iov, iov_n, offset, go_read);

	return err ? err : wcall_run(&w);
}

ssize_t weft_pread(struct weft_file *f, void *buf, size_t len, off_t offset)
{
	struct iovec iov = { buf, len };

	return weft_preadv(f, &iov, 1, offset);
}

ssize_t weft_pwritev(struct weft_file *f, const struct iovec *iov, int iov_n, off_t offset)
{
	struct wcall w;
	int err = io_call(&w, f, iov, iov_n, offset, go_write);

	return err ? err : wcall_run(&w);
}

ssize_t weft_pwrite(struct weft_file *f, const void *buf, size_t len, off_t offset)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };

	return weft_pwritev(f, &iov, 1, offset);
}

int weft_preadv_async(struct weft_file *f, const struct iovec *iov, int iov_n, off_t offset, const struct weft_async *a)
{
	struct wcall w;
	int err = io_call(&w, f, iov, iov_n, offset, go_read);

	return err ? err : wcall_async(&w, a);
}

int weft_pwritev_async(struct weft_file *f, const struct iovec *iov, int iov_n, off_t offset, const struct weft_async *a)
{
	struct wcall w;
	int err = io_call(&w, f, iov, iov_n, offset, go_write);

	return err ? err : wcall_async(&w, a);
}

static void go_fsync(struct wcall *w)
{
	client_fsync(w->c, w->file, false, wcall_cb, w);
}

int weft_fsync(struct weft_file *f)
{
	struct wcall w;

	file_call(&w, f, go_fsync);
	return (int)wcall_run(&w);
}

int weft_fsync_async(struct weft_file *f, const struct weft_async *a)
{
	struct wcall w;

	file_call(&w, f, go_fsync);
	return wcall_async(&w, a);
}

static void go_truncate(struct wcall *w)
{
	client_setattr(w->c, &w->cred, client_file_fid(w->file), w->file, &w->sa, wcall_cb, w);
}

int weft_ftruncate(struct weft_file *f, off_t size)
{
	struct wcall w;

	if (size < 0 || !(client_file_flags(f->file) & WP_OPEN_WRITE))
		return -EINVAL;
	file_call(&w, f, go_truncate);
	w.sa = (struct client_setattr){ .valid = WP_SETATTR_SIZE, .size = (uint64_t)size };
	return (int)wcall_run(&w);
}

static void take_stat(struct wcall *w, int err, const struct client_res *res)
{
	if (!err)
		lib_stat(&res->attr, w->out);
}

static void go_fstat(struct wcall *w)
{
	w->take = take_stat;
	client_getattr(w->c, client_file_fid(w->file), wcall_cb, w);
}

int weft_fstat(struct weft_file *f, struct stat *st)
{
	struct wcall w;

	file_call(&w, f, go_fstat);
	w.out = st;
	return (int)wcall_run(&w);
}

static void go_fallocate(struct wcall *w)
{
	client_fallocate(w->c, w->file, (int)w->mode, w->offset, w->len, wcall_cb, w);
}

int weft_fallocate(struct weft_file *f, int mode, off_t offset, off_t len)
{
	struct wcall w;

	if (offset < 0 || len <= 0)
		return -EINVAL;
	file_call(&w, f, go_fallocate);
	w.mode = (uint32_t)mode;
	w.offset = (uint64_t)offset;
	w.len = (uint64_t)len;
	return (int)wcall_run(&w);
}

static void go_lseek(struct wcall *w)
{
	w->take = take_n;
	client_lseek(w->c, w->file, w->offset, (int)w->mode, wcall_cb, w);
}

off_t weft_lseek(struct weft_file *f, off_t offset, int whence)
{
	struct wcall w;

	if (offset < 0)
		return -ENXIO;
	file_call(&w, f, go_lseek);
	w.offset = (uint64_t)offset;
	w.mode = (uint32_t)whence;
	return wcall_run(&w);
}

static void go_copy(struct wcall *w)
{
	w->take = take_n;
	client_copy_range(w->c, w->file, w->offset, w->file2, w->offset2, w->len, wcall_cb, w);
}

ssize_t weft_copy_range(struct weft_file *in, off_t in_offset, struct weft_file *out, off_t out_offset, size_t len)
{
	struct wcall w;

	if (in_offset < 0 || out_offset < 0)
		return -EINVAL;
	file_call(&w, in, go_copy);
	w.file2 = out->file;
	w.offset = (uint64_t)in_offset;
	w.offset2 = (uint64_t)out_offset;
	w.len = len;
	return wcall_run(&w);
}

/* ---- locks ------------------------------------------------------------------------------------------------------- */

static void take_lock(struct wcall *w, int err, const struct client_res *res)
{
	struct flock *l = w->out;

	if (err)
		return;
	l->l_type = F_UNLCK;
	if (res->lock.type == WP_LOCK_TYPE_UNLOCK)
		return;
	l->l_type = res->lock.type == WP_LOCK_TYPE_READ ? F_RDLCK : F_WRLCK;
	l->l_whence = SEEK_SET;
	l->l_start = (off_t)res->lock.start;
	l->l_len = res->lock.end >= INT64_MAX ? 0 : (off_t)(res->lock.end - res->lock.start + 1);
	l->l_pid = (pid_t)res->lock.pid;
}

static void go_lock(struct wcall *w)
{
	if (w->mode == F_GETLK)
		client_getlk(w->c, w->file, &w->lock, wcall_cb, w);
	else
		client_setlk(w->c, w->file, &w->lock, w->wait, wcall_cb, w);
}

int weft_lock(struct weft_file *f, int cmd, struct flock *l, uint64_t owner)
{
	struct wcall w;

	if ((cmd != F_GETLK && cmd != F_SETLK && cmd != F_SETLKW) || l->l_whence != SEEK_SET || l->l_start < 0 || l->l_len < 0 ||
	    l->l_len > INT64_MAX - l->l_start)
		return -EINVAL;
	file_call(&w, f, go_lock);
	w.mode = (uint32_t)cmd;
	w.wait = cmd == F_SETLKW;
	w.lock = (struct client_lock){
		.kind = WP_LOCK_KIND_POSIX,
		.type = l->l_type == F_RDLCK ? WP_LOCK_TYPE_READ : l->l_type == F_WRLCK ? WP_LOCK_TYPE_WRITE : WP_LOCK_TYPE_UNLOCK,
		.owner = owner & ~FLOCK_OWNER,
		.start = (uint64_t)l->l_start,
		.end = l->l_len ? (uint64_t)(l->l_start + l->l_len - 1) : UINT64_MAX,
		.pid = (uint32_t)getpid(),
	};
	if (cmd == F_GETLK) {
		w.take = take_lock;
		w.out = l;
	}
	return (int)wcall_run(&w);
}

static void go_lock_release(struct wcall *w)
{
	client_flush(w->c, w->file, w->lock.owner, wcall_cb, w);
}

int weft_lock_release(struct weft_file *f, uint64_t owner)
{
	struct wcall w;

	file_call(&w, f, go_lock_release);
	w.lock.owner = owner & ~FLOCK_OWNER;
	return (int)wcall_run(&w);
}

int weft_flock(struct weft_file *f, int op)
{
	struct wcall w;
	int what = op & ~LOCK_NB;
	ssize_t err;

	if (what != LOCK_SH && what != LOCK_EX && what != LOCK_UN)
		return -EINVAL;
	file_call(&w, f, go_lock);
	w.wait = !(op & LOCK_NB);
	w.lock = (struct client_lock){
		.kind = WP_LOCK_KIND_FLOCK,
		.type = what == LOCK_SH ? WP_LOCK_TYPE_READ : what == LOCK_EX ? WP_LOCK_TYPE_WRITE : WP_LOCK_TYPE_UNLOCK,
		.owner = (uintptr_t)f | FLOCK_OWNER,
		.end = UINT64_MAX,
		.pid = (uint32_t)getpid(),
	};
	err = wcall_run(&w);
	if (!err)
		f->flocked = what != LOCK_UN;
	return (int)err;
}
