/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "fail_env.h"

#include <fcntl.h>
#include <stdatomic.h>

static struct env *inner;
static atomic_uint countdown;
static atomic_bool fired;
static int fail_err;

void fail_env_at(unsigned k, int err)
{
	fail_err = err;
	fired = false;
	countdown = k;
}

bool fail_env_fired(void) { return fired; }

static bool fails(void)
{
	if (!countdown || atomic_fetch_sub(&countdown, 1) != 1)
		return false;
	fired = true;
	return true;
}

struct failed {
	struct env_task task;
	struct env_io *io;
};

static void failed_done(void *arg)
{
	struct failed *f = arg;
	struct env_io *io = f->io;

	free(f);
	io->result = fail_err;
	io->done(io);
}

static uint64_t mono(struct env *e) { return env_mono_ns(inner); }
static uint64_t wall(struct env *e) { return env_wall_ns(inner); }
static void rnd(struct env *e, void *p, size_t len) { env_random(inner, p, len); }
static void arm(struct env *e, struct env_timer *t, uint64_t at) { env_timer_arm(inner, t, at); }
static void cancel(struct env *e, struct env_timer *t) { env_timer_cancel(inner, t); }
static void post(struct env *e, struct env_task *t) { env_post(inner, t); }
static void work(struct env *e, struct env_work *w) { env_work(inner, w); }

static int file_open(struct env *e, const char *path, int flags, unsigned mode, struct env_file **ret)
{
	return flags & O_CREAT && fails() ? fail_err : inner->ops->file_open(inner, path, flags, mode, ret);
}

static void file_close(struct env *e, struct env_file *f) { inner->ops->file_close(inner, f); }
static int file_stat(struct env *e, struct env_file *f, struct env_stat *ret) { return inner->ops->file_stat(inner, f, ret); }

static int file_truncate(struct env *e, struct env_file *f, uint64_t size)
{
	return fails() ? fail_err : inner->ops->file_truncate(inner, f, size);
}

static int file_seek(struct env *e, struct env_file *f, uint64_t at, bool hole, uint64_t *ret)
{
	return inner->ops->file_seek(inner, f, at, hole, ret);
}

/* A write that fails has written the first half of its first piece. */
static void half_done(struct env_io *half)
{
	struct failed *f = half->arg;

	free(half);
	f->task = (struct env_task){ .fn = failed_done, .arg = f };
	env_post(inner, &f->task);
}

static void file_io(struct env *e, struct env_io *io)
{
	struct failed *f;
	struct env_io *half;

	if (io->op == ENV_IO_READ || !fails()) {
		env_file_io(inner, io);
		return;
	}
	f = NEW(struct failed);
	f->io = io;
	half = NEW(struct env_io);
	if (io->op != ENV_IO_WRITE) {
		half->arg = f;
		half_done(half);
		return;
	}
	io->iov[0].iov_len = io->iov[0].iov_len / 2 + 1;
	*half = (struct env_io){ .op = ENV_IO_WRITE,
				 .file = io->file,
				 .iov = io->iov,
				 .iov_n = 1,
				 .offset = io->offset,
				 .done = half_done,
				 .arg = f };
	env_file_io(inner, half);
}

static int path_unlink(struct env *e, const char *path) { return fails() ? fail_err : inner->ops->path_unlink(inner, path); }
static int path_rename(struct env *e, const char *a, const char *b) { return inner->ops->path_rename(inner, a, b); }
static int path_mkdir(struct env *e, const char *p, unsigned m)
{
	return fails() ? fail_err : inner->ops->path_mkdir(inner, p, m);
}
static int dir_list(struct env *e, const char *p, int (*fn)(void *arg, const char *name), void *arg)
{
	return inner->ops->dir_list(inner, p, fn, arg);
}
static int dir_sync(struct env *e, const char *path) { return fails() ? fail_err : inner->ops->dir_sync(inner, path); }
static int fs_space(struct env *e, const char *p, uint64_t *t, uint64_t *f, uint64_t *i, uint64_t *n)
{
	return inner->ops->fs_space(inner, p, t, f, i, n);
}

struct env *fail_env_new(struct env *env)
{
	static const struct env_ops ops = {
		.name = "fail",
		.mono_ns = mono,
		.wall_ns = wall,
		.random = rnd,
		.timer_arm = arm,
		.timer_cancel = cancel,
		.post = post,
		.work = work,
		.file_open = file_open,
		.file_close = file_close,
		.file_stat = file_stat,
		.file_truncate = file_truncate,
		.file_seek = file_seek,
		.file_io = file_io,
		.path_unlink = path_unlink,
		.path_rename = path_rename,
		.path_mkdir = path_mkdir,
		.dir_list = dir_list,
		.dir_sync = dir_sync,
		.fs_space = fs_space,
	};
	static struct env e = { .ops = &ops };

	inner = env;
	return &e;
}
