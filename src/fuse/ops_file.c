/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Operations on open files, and locks. */
#include "fuse/ops.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>

#define KERNEL_FMODE_EXEC 0x20 /* __FMODE_EXEC reaches us in the open flags of an execve */
#define INIT2_DIRECT_IO_ALLOW_MMAP (1ull << 36)

/* ---- open files ------------------------------------------------------------------------------------------- */

/*
 * Record locks go when their owner closes the file, which FLUSH tells, or with the open file if they belong to that
 * (F_OFD_SETLK): then no FLUSH names their owner, and RELEASE is the end. So an open file remembers the owners that locked
 * through it and were not flushed.
 */
struct ffile {
	struct client_file *file;
	pthread_mutex_t lock; /* owners: requests of one file may come to several threads */
	uint64_t *owners;
	unsigned n;
};

static struct ffile *ffile_of(const struct fuse_file_info *fi) { return (struct ffile *)(uintptr_t)fi->fh; }

struct client_file *file_of(const struct fuse_file_info *fi) { return ffile_of(fi)->file; }

static uint64_t ffile_new(struct client_file *file)
{
	struct ffile *ff = NEW(struct ffile);

	ff->file = file;
	pthread_mutex_init(&ff->lock, NULL);
	return (uintptr_t)ff;
}

static void ffile_free(struct ffile *ff)
{
	pthread_mutex_destroy(&ff->lock);
	free(ff->owners);
	free(ff);
}

static void owner_add(struct ffile *ff, uint64_t owner)
{
	unsigned i = 0;

	pthread_mutex_lock(&ff->lock);
	while (i < ff->n && ff->owners[i] != owner)
		i++;
	if (i == ff->n) {
		ff->owners = xrealloc(ff->owners, (ff->n + 1) * sizeof(*ff->owners));
		ff->owners[ff->n++] = owner;
	}
	pthread_mutex_unlock(&ff->lock);
}

static void owner_drop(struct ffile *ff, uint64_t owner)
{
	pthread_mutex_lock(&ff->lock);
	for (unsigned i = 0; i < ff->n; i++)
		if (ff->owners[i] == owner)
			ff->owners[i--] = ff->owners[--ff->n];
	pthread_mutex_unlock(&ff->lock);
}

/* ---- open, create, release ----------------------------------------------------------------------------- */

static uint32_t open_flags(int flags)
{
	uint32_t wire = 0;

	switch (flags & O_ACCMODE) {
	case O_RDONLY:
		wire = WP_OPEN_READ;
		break;
	case O_WRONLY:
		wire = WP_OPEN_WRITE;
		break;
	default:
		wire = WP_OPEN_READ | WP_OPEN_WRITE;
	}
	if (flags & O_TRUNC)
		wire |= WP_OPEN_TRUNC;
	if (flags & O_EXCL)
		wire |= WP_OPEN_EXCL;
	if (flags & KERNEL_FMODE_EXEC) /* to execute is not to read: it needs x, not r */
		wire = (wire & ~(uint32_t)WP_OPEN_READ) | WP_OPEN_EXEC;
	if (chan_open_kills_suid())
		wire |= WP_OPEN_KILL_SUIDGID;
	return wire;
}

/*
 * Data is in the page cache under the DATA_READ lease only, which files open for reading have. When it is recalled while they are
 * open, their attributes have no validity any more: the kernel asks for them at each read, and drops its pages when the modification
 * time has changed. Everything else is direct I/O; where this kernel cannot map such files shared, they are opened through the
 * page cache, which the kernel then drops at each open.
 */
static void set_io_mode(struct fuse_file_info *fi, const struct client_res *res)
{
	bool direct = (chan_features() & INIT2_DIRECT_IO_ALLOW_MMAP) != 0 && !res->data_cacheable;

	fi->direct_io = direct;
	fi->keep_cache = res->data_kept;
	fi->noflush = 0;
	if (direct)
		chan_next_open_is_parallel();
}

/* The application went away before the reply: nobody will release the handle. */
static void forget_file(struct freq *f)
{
	struct ffile *ff = ffile_of(&f->fi);

	client_release(freq_client(f), ff->file, NULL, NULL);
	ffile_free(ff);
}

static void open_done(void *arg, int err, const struct client_res *res)
{
	struct freq *f = arg;

	if (err < 0) {
		freq_end(f, err);
		return;
	}
	f->fi.fh = ffile_new(res->file);
	freq_settle(f);
	set_io_mode(&f->fi, res);
	if (fuse_reply_open(f->req, &f->fi) == -ENOENT)
		forget_file(f);
	freq_free(f);
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct freq *f = freq_new(req);

	f->fid = fid_of(ino);
	f->fi = *fi;
	f->op = client_open(freq_client(f), &f->cred, &f->fid, open_flags(fi->flags), open_done, f);
}

static void create_done(void *arg, int err, const struct client_res *res)
{
	struct fuse_entry_param e = { 0 };
	struct freq *f = arg;

	if (err < 0) {
		freq_end(f, err);
		return;
	}
	f->fi.fh = ffile_new(res->file);
	e.ino = ino_of(&res->attr.fid);
	stat_of(&res->attr, &e.attr);
	freq_settle(f);
	set_io_mode(&f->fi, res);
	if (fuse_reply_create(f->req, &e, &f->fi) == -ENOENT)
		forget_file(f);
	freq_free(f);
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct freq *f = freq_new(req);

	f->fid = fid_of(parent);
	f->fi = *fi;
	f->op = client_create(freq_client(f), &f->cred, &f->fid, freq_name(f, name), mode, fuse_req_ctx(req)->umask,
			      open_flags(fi->flags) | WP_OPEN_CREATE, NULL, create_done, f);
}

/* The locks of the open file itself, one owner after another, then the file. */
static void release_next(void *arg, int err, const struct client_res *res)
{
	struct freq *f = arg;
	struct ffile *ff = f->ffile;
	struct client_file *file = ff->file;

	if (ff->n) {
		f->op = client_flush(freq_client(f), file, ff->owners[--ff->n], release_next, f);
		return;
	}
	ffile_free(ff);
	f->op = client_release(freq_client(f), file, done_err, f);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct freq *f = freq_new(req);
	struct client_lock lock = { .kind = WP_LOCK_KIND_FLOCK, .type = WP_LOCK_TYPE_UNLOCK, .owner = fi->lock_owner, .end = UINT64_MAX };

	f->ffile = ffile_of(fi);
	if (fi->flock_release)
		f->op = client_setlk(freq_client(f), f->ffile->file, &lock, false, release_next, f);
	else
		release_next(f, 0, NULL);
}

/* ---- data ---------------------------------------------------------------------------------------------- */

static void read_done(void *arg, int err, const struct client_res *res)
{
	struct freq *f = arg;

	if (err < 0) {
		freq_end(f, err);
		return;
	}
	freq_settle(f);
	fuse_reply_buf(f->req, f->iov.iov_base, res->n);
	freq_free(f);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct freq *f = freq_new(req);

	size = MIN(size, (size_t)1 << 20);
	f->iov = (struct iovec){ freq_room(f, size), size };
	f->op = client_read(freq_client(f), file_of(fi), &f->iov, 1, (uint64_t)off, read_done, f);
}

static void write_done(void *arg, int err, const struct client_res *res)
{
	struct freq *f = arg;

	if (err < 0) {
		freq_end(f, err);
		return;
	}
	freq_settle(f);
	fuse_reply_write(f->req, res->n);
	freq_free(f);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct freq *f = freq_new(req);
	uint32_t flags = 0;

	freq_keep(f);
	if (fi->writepage) /* pages of a shared mapping: at their place, whatever the open flags */
		flags |= CLIENT_WRITE_NOAPPEND;
	else if (fi->flags & O_APPEND)
		flags |= CLIENT_WRITE_APPEND;
	if (fi->flags & O_DSYNC)
		flags |= CLIENT_WRITE_STABLE;
	if (chan_write_kills_suid())
		flags |= CLIENT_WRITE_KILL;
	f->iov = (struct iovec){ (void *)(uintptr_t)buf, size };
	f->op = client_write(freq_client(f), file_of(fi), &f->cred, &f->iov, 1, (uint64_t)off, flags, write_done, f);
}

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct freq *f = freq_new(req);

	owner_drop(ffile_of(fi), fi->lock_owner);
	f->op = client_flush(freq_client(f), file_of(fi), fi->lock_owner, done_err, f);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct freq *f = freq_new(req);

	f->op = client_fsync(freq_client(f), file_of(fi), datasync != 0, done_err, f);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi)
{
	struct freq *f = freq_new(req);

	f->op = client_fallocate(freq_client(f), file_of(fi), mode, (uint64_t)offset, (uint64_t)length, done_err, f);
}

static void lseek_done(void *arg, int err, const struct client_res *res)
{
	struct freq *f = arg;

	if (err < 0) {
		freq_end(f, err);
		return;
	}
	freq_settle(f);
	fuse_reply_lseek(f->req, (off_t)res->n);
	freq_free(f);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct freq *f = freq_new(req);

	f->op = client_lseek(freq_client(f), file_of(fi), (uint64_t)off, whence, lseek_done, f);
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			off_t off_out, struct fuse_file_info *fi_out, size_t len, int flags)
{
	struct freq *f = freq_new(req);

	f->op = client_copy_range(freq_client(f), file_of(fi_in), (uint64_t)off_in, file_of(fi_out), (uint64_t)off_out,
				  MIN(len, (size_t)UINT32_MAX & ~(size_t)4095), write_done, f);
}

/* ---- locks --------------------------------------------------------------------------------------------- */

static uint8_t lock_type(int type)
{
	return type == F_RDLCK ? WP_LOCK_TYPE_READ : type == F_WRLCK ? WP_LOCK_TYPE_WRITE : WP_LOCK_TYPE_UNLOCK;
}

static struct client_lock record_lock(const struct fuse_file_info *fi, const struct flock *l)
{
	return (struct client_lock){
		.kind = WP_LOCK_KIND_POSIX,
		.type = lock_type(l->l_type),
		.owner = fi->lock_owner,
		.start = (uint64_t)l->l_start,
		.end = l->l_len ? (uint64_t)l->l_start + (uint64_t)l->l_len - 1 : UINT64_MAX,
		.pid = (uint32_t)l->l_pid,
	};
}

static void getlk_done(void *arg, int err, const struct client_res *res)
{
	const struct client_lock *l = &res->lock;
	struct flock fl = { .l_whence = SEEK_SET };
	struct freq *f = arg;

	if (err < 0) {
		freq_end(f, err);
		return;
	}
	fl.l_type = l->type == WP_LOCK_TYPE_READ ? F_RDLCK : l->type == WP_LOCK_TYPE_WRITE ? F_WRLCK : F_UNLCK;
	fl.l_start = (off_t)l->start;
	fl.l_len = l->end >= INT64_MAX ? 0 : (off_t)(l->end - l->start + 1);
	fl.l_pid = (pid_t)l->pid;
	freq_settle(f);
	fuse_reply_lock(f->req, &fl);
	freq_free(f);
}

void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock)
{
	struct client_lock l = record_lock(fi, lock);
	struct freq *f = freq_new(req);

	f->op = client_getlk(freq_client(f), file_of(fi), &l, getlk_done, f);
}

void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock, int sleep)
{
	struct client_lock l = record_lock(fi, lock);
	struct freq *f = freq_new(req);

	if (l.type != WP_LOCK_TYPE_UNLOCK)
		owner_add(ffile_of(fi), l.owner);
	f->op = client_setlk(freq_client(f), file_of(fi), &l, sleep != 0, done_err, f);
}

void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	struct client_lock l = { .kind = WP_LOCK_KIND_FLOCK, .owner = fi->lock_owner, .end = UINT64_MAX,
				 .pid = (uint32_t)fuse_req_ctx(req)->pid };
	struct freq *f;

	switch (op & ~LOCK_NB) {
	case LOCK_SH:
		l.type = WP_LOCK_TYPE_READ;
		break;
	case LOCK_EX:
		l.type = WP_LOCK_TYPE_WRITE;
		break;
	case LOCK_UN:
		l.type = WP_LOCK_TYPE_UNLOCK;
		break;
	default:
		fuse_reply_err(req, EINVAL);
		return;
	}
	f = freq_new(req);
	f->op = client_setlk(freq_client(f), file_of(fi), &l, !(op & LOCK_NB), done_err, f);
}
