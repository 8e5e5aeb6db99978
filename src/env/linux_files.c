/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "env/linux_priv.h"

#define IO_IOV_MAX 1024
#define DIRECT_ALIGN 512u

struct env_file {
	struct env_linux *el;
	int fd;
	bool direct;
	bool closed;
	unsigned inflight;
};

/* In env_io.priv: what the operation still has to do. */
struct io_state {
	struct env_linux_op op;
	struct iovec *iov;
	uintptr_t iov_n;
	uintptr_t bytes; /* done */
};

_Static_assert(sizeof(struct io_state) <= sizeof(((struct env_io *)NULL)->priv), "io_state must fit");

static int errno_or(int r) { return r < 0 ? -errno : 0; }

int linux_file_open(struct env *env, const char *path, int flags, unsigned mode, struct env_file **ret)
{
	struct env_file *f;
	int fd = open(path, flags | O_CLOEXEC, mode);

	if (fd < 0)
		return -errno;
	f = NEW(struct env_file);
	f->el = env_linux(env);
	f->fd = fd;
	f->direct = flags & O_DIRECT;
	*ret = f;
	return 0;
}

static void file_put(struct env_file *f)
{
	if (!f->closed || f->inflight)
		return;
	close(f->fd);
	free(f);
}

void linux_file_close(struct env *env, struct env_file *f)
{
	f->closed = true;
	file_put(f);
}

int linux_file_stat(struct env *env, struct env_file *f, struct env_stat *ret)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return -errno;
	*ret = (struct env_stat){
		.size = (uint64_t)st.st_size,
		.blocks = (uint64_t)st.st_blocks,
		.mtime_ns = (uint64_t)st.st_mtim.tv_sec * NSEC_PER_SEC + (uint64_t)st.st_mtim.tv_nsec,
		.is_dir = S_ISDIR(st.st_mode),
	};
	return 0;
}

int linux_file_truncate(struct env *env, struct env_file *f, uint64_t size)
{
	if (size > INT64_MAX)
		return -EFBIG;
	return errno_or(ftruncate(f->fd, (off_t)size));
}

int linux_file_seek(struct env *env, struct env_file *f, uint64_t offset, bool hole, uint64_t *ret)
{
	off_t r;

	if (offset > INT64_MAX)
		return -ENXIO;
	r = lseek(f->fd, (off_t)offset, hole ? SEEK_HOLE : SEEK_DATA);
	if (r < 0)
		return -errno;
	*ret = (uint64_t)r;
	return 0;
}

/* ---- asynchronous operations --------------------------------------------------------------------------------------------- */

static void io_submit(struct env_io *io)
{
	struct io_state *st = (struct io_state *)io->priv;
	struct io_uring_sqe *sqe = env_linux_sqe(&io->file->el->env, &st->op);
	unsigned n = (unsigned)MIN(st->iov_n, IO_IOV_MAX);
	int fd = io->file->fd;

	switch (io->op) {
	case ENV_IO_READ:
		io_uring_prep_readv(sqe, fd, st->iov, n, io->offset + st->bytes);
		break;
	case ENV_IO_WRITE:
		io_uring_prep_writev2(sqe, fd, st->iov, n, io->offset + st->bytes, io->flags & ENV_IO_DSYNC ? RWF_DSYNC : 0);
		break;
	case ENV_IO_FDATASYNC:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	case ENV_IO_FALLOCATE:
		io_uring_prep_fallocate(sqe, fd, io->mode, (off_t)io->offset, (off_t)io->length);
		break;
	}
}

static void io_finish(struct env_io *io, int64_t result)
{
	struct env_file *f = io->file;

	io->result = result;
	if (!f->el->freeing && io->done)
		io->done(io); /* which may close the file */
	f->inflight--;
	file_put(f);
}

/* Returns whether anything is left. */
static bool io_advance(struct io_state *st, size_t n)
{
	st->bytes += n;
	while (st->iov_n && n >= st->iov->iov_len) {
		n -= st->iov->iov_len;
		st->iov++;
		st->iov_n--;
	}
	if (!st->iov_n)
		return false;
	st->iov->iov_base = (char *)st->iov->iov_base + n;
	st->iov->iov_len -= n;
	return true;
}

static void io_complete(struct env_linux_op *op, int res, unsigned flags)
{
	struct io_state *st = container_of(op, struct io_state, op);
	struct env_io *io = container_of((void *)st, struct env_io, priv);

	if (res == -EINTR || res == -EAGAIN) {
		io_submit(io);
		return;
	}
	if (res < 0) {
		io_finish(io, res);
		return;
	}
	if (io->op != ENV_IO_READ && io->op != ENV_IO_WRITE) {
		io_finish(io, 0);
		return;
	}
	if (!io_advance(st, (size_t)res)) {
		io_finish(io, (int64_t)st->bytes);
		return;
	}
	/* Transfers may be cut short anywhere; only nothing at all is the end, or, direct, part of a sector. */
	if (io->op == ENV_IO_READ && (!res || (io->file->direct && st->bytes % DIRECT_ALIGN)))
		io_finish(io, (int64_t)st->bytes);
	else if (!res)
		io_finish(io, -EIO);
	else
		io_submit(io);
}

void linux_file_io(struct env *env, struct env_io *io)
{
	struct io_state *st = (struct io_state *)io->priv;

	weft_assert(!io->file->closed && io->file->el == env_linux(env));
	*st = (struct io_state){ .op = { .complete = io_complete }, .iov = io->iov, .iov_n = (uintptr_t)io->iov_n };
	io->file->inflight++;
	io_submit(io);
}

/* ---- names --------------------------------------------------------------------------------------------------------------- */

int linux_path_unlink(struct env *env, const char *path)
{
	int r = errno_or(unlink(path));

	return r == -EISDIR ? errno_or(rmdir(path)) : r;
}

int linux_path_rename(struct env *env, const char *from, const char *to) { return errno_or(rename(from, to)); }

int linux_path_mkdir(struct env *env, const char *path, unsigned mode) { return errno_or(mkdir(path, mode)); }

int linux_dir_list(struct env *env, const char *path, int (*fn)(void *arg, const char *name), void *arg)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int r = 0;

	if (!d)
		return -errno;
	for (;;) {
		errno = 0;
		e = readdir(d);
		if (!e) {
			r = -errno;
			break;
		}
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		r = fn(arg, e->d_name);
		if (r)
			break;
	}
	closedir(d);
	return r;
}

int linux_dir_sync(struct env *env, const char *path)
{
	int r, fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	r = errno_or(fsync(fd));
	close(fd);
	return r;
}

int linux_fs_space(struct env *env, const char *path, uint64_t *total, uint64_t *free_bytes, uint64_t *inodes,
		   uint64_t *inodes_free)
{
	struct statvfs st;

	if (statvfs(path, &st) < 0)
		return -errno;
	*total = st.f_blocks * st.f_frsize;
	*free_bytes = st.f_bavail * st.f_frsize;
	*inodes = st.f_files;
	*inodes_free = st.f_favail;
	return 0;
}
