/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Open files and their operations: each takes effect, and completes, at a time that is drawn when it is submitted. */
#include <fcntl.h>
#include <linux/falloc.h>

#include "env/sim_fs_priv.h"

struct env_file {
	struct sim_process *p;
	struct sim_inode *in;
	struct list node;
	int flags;
	bool closed;
	unsigned inflight;
};

struct io_run {
	struct list node;
	struct sim_event event;
	struct sim_process *p;
	struct env_io *io;
	struct sim_snapshot *snapshot; /* ENV_IO_FDATASYNC */
	int err;                       /* injected */
};

int sim_file_open(struct env *env, const char *path, int flags, unsigned mode, struct env_file **ret)
{
	struct sim_process *p = sim_process(env);
	struct sim_inode *in;
	struct env_file *f;
	int r = p->alive ? name_open(p->host, path, flags, &in) : -EIO;

	if (r < 0)
		return r;
	f = NEW(struct env_file);
	f->p = p;
	f->in = in;
	f->flags = flags;
	inode_ref(p->host, in, true);
	list_append(&p->files, &f->node);
	*ret = f;
	return 0;
}

static void file_put(struct env_file *f)
{
	if (!f->closed || f->inflight)
		return;
	list_del(&f->node);
	inode_unref(f->p->host, f->in, true);
	free(f);
}

void sim_file_close(struct env *env, struct env_file *f)
{
	f->closed = true;
	file_put(f);
}

void sim_files_done(struct sim_process *p)
{
	struct env_file *f;

	while ((f = list_pop(&p->files, struct env_file, node))) {
		f->closed = true;
		f->inflight = 0;
		file_put(f);
	}
}

int sim_file_stat(struct env *env, struct env_file *f, struct env_stat *ret)
{
	*ret = (struct env_stat){
		.size = f->in->size,
		.blocks = (uint64_t)f->in->allocated * SIM_PAGE / 512,
		.mtime_ns = f->in->mtime_ns,
		.is_dir = f->in->is_dir,
	};
	return 0;
}

static bool writable(const struct env_file *f) { return (f->flags & O_ACCMODE) != O_RDONLY && !f->in->is_dir; }

int sim_file_truncate(struct env *env, struct env_file *f, uint64_t size)
{
	if (!f->p->alive)
		return -EIO;
	if (!writable(f))
		return -EINVAL;
	if (size > INT64_MAX)
		return -EFBIG;
	inode_set_size(f->p->host, f->in, size);
	return 0;
}

int sim_file_seek(struct env *env, struct env_file *f, uint64_t offset, bool hole, uint64_t *ret)
{
	return inode_seek(f->in, offset, hole, ret);
}

/* ---- operations ---------------------------------------------------------------------------------------------------------- */

static size_t iov_len(const struct env_io *io)
{
	size_t n = 0;

	for (int i = 0; i < io->iov_n; i++)
		n += io->iov[i].iov_len;
	return n;
}

static int64_t do_read(struct sim_inode *in, struct env_io *io)
{
	uint64_t at = io->offset;

	for (int i = 0; i < io->iov_n && at < in->size; i++) {
		size_t n = MIN(io->iov[i].iov_len, in->size - at);

		inode_read(in, at, io->iov[i].iov_base, n);
		at += n;
	}
	return (int64_t)(at - io->offset);
}

/* limit: how many bytes take effect. */
static int64_t do_write(struct sim_host *h, struct sim_inode *in, struct env_io *io, uint64_t limit)
{
	uint64_t at = io->offset, end = io->offset + MIN(limit, iov_len(io));

	if (h->fs.used + inode_growth(in, at, end - at) > h->disk.capacity)
		return -ENOSPC;
	for (int i = 0; i < io->iov_n && at < end; i++) {
		size_t n = MIN(io->iov[i].iov_len, end - at);

		inode_write(h, in, at, io->iov[i].iov_base, n);
		at += n;
	}
	return (int64_t)(at - io->offset);
}

static int64_t do_allocate(struct sim_host *h, struct sim_inode *in, const struct env_io *io)
{
	bool keep = io->mode & FALLOC_FL_KEEP_SIZE;
	uint64_t end = io->offset + io->length;

	switch (io->mode & ~FALLOC_FL_KEEP_SIZE) {
	case FALLOC_FL_PUNCH_HOLE:
		if (!keep)
			return -EOPNOTSUPP;
		inode_zero(h, in, io->offset, io->length, false);
		return 0;
	case FALLOC_FL_ZERO_RANGE:
	case 0:
		if (h->fs.used + inode_growth(in, io->offset, io->length) > h->disk.capacity)
			return -ENOSPC;
		if (io->mode & FALLOC_FL_ZERO_RANGE)
			inode_zero(h, in, io->offset, io->length, true);
		inode_allocate(h, in, io->offset, io->length);
		if (!keep && end > in->size)
			inode_set_size(h, in, end);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static int64_t check(const struct env_io *io)
{
	uint64_t len = io->op == ENV_IO_FALLOCATE ? io->length : iov_len(io);

	if (io->file->in->is_dir)
		return io->op == ENV_IO_FDATASYNC ? 0 : -EISDIR;
	if (io->op != ENV_IO_READ && io->op != ENV_IO_FDATASYNC && !writable(io->file))
		return -EBADF;
	if (io->op != ENV_IO_FDATASYNC && (io->offset > INT64_MAX || len > INT64_MAX - io->offset))
		return -EFBIG;
	return io->op == ENV_IO_FALLOCATE && !len ? -EINVAL : 0;
}

static int64_t perform(struct io_run *run)
{
	struct env_io *io = run->io;
	struct sim_host *h = run->p->host;
	struct sim_inode *in = io->file->in;
	int64_t r = check(io);

	if (r < 0)
		return r;
	if (run->err) {
		if (io->op == ENV_IO_WRITE) /* some of it may have got there */
			(void)do_write(h, in, io, sim_draw(h->w, iov_len(io) + 1));
		return run->err;
	}
	switch (io->op) {
	case ENV_IO_READ:
		return do_read(in, io);
	case ENV_IO_WRITE:
		r = do_write(h, in, io, UINT64_MAX);
		if (r > 0 && (io->flags & ENV_IO_DSYNC))
			inode_commit(in, inode_snapshot(h, in, io->offset, io->offset + (uint64_t)r - 1));
		return r;
	case ENV_IO_FDATASYNC:
		if (run->snapshot)
			inode_commit(in, run->snapshot);
		run->snapshot = NULL;
		return 0;
	case ENV_IO_FALLOCATE:
		return do_allocate(h, in, io);
	}
	return -EINVAL;
}

static void run_free(struct io_run *run)
{
	snapshot_free(run->snapshot);
	list_del(&run->node);
	free(run);
}

static void io_fire(void *arg)
{
	struct io_run *run = arg;
	struct env_io *io = run->io;
	struct env_file *f = io->file;

	io->result = perform(run);
	sim_note_event(run->p->host->w, SIM_IO, run->p->id, (uint64_t)io->result + (uint64_t)io->op);
	run_free(run);
	f->inflight--;
	if (io->done)
		io->done(io);
	file_put(f);
}

static uint64_t io_delay(struct sim_host *h, const struct env_io *io)
{
	uint64_t ns = sim_between(h->w, h->disk.io_min_ns, h->disk.io_max_ns);

	if (io->op == ENV_IO_FDATASYNC || (io->flags & ENV_IO_DSYNC))
		ns += sim_between(h->w, h->disk.sync_min_ns, h->disk.sync_max_ns);
	if (sim_ppm(h->w, h->disk.slow_ppm))
		ns += sim_draw(h->w, h->disk.slow_max_ns + 1);
	return ns;
}

void sim_file_io(struct env *env, struct env_io *io)
{
	struct sim_process *p = sim_process(env);
	struct sim_host *h = p->host;
	struct io_run *run;

	if (!p->alive)
		return;
	weft_assert(!io->file->closed && io->file->p == p);
	run = NEW(struct io_run);
	run->p = p;
	run->io = io;
	run->event.timer = (struct env_timer){ .fn = io_fire, .arg = run };
	if (h->fail_at && !--h->fail_at)
		run->err = h->fail_err;
	else if (sim_ppm(h->w, h->disk.error_ppm))
		run->err = -EIO;
	if (io->op == ENV_IO_FDATASYNC && !io->file->in->is_dir)
		run->snapshot = inode_snapshot(h, io->file->in, 0, UINT64_MAX);
	io->file->inflight++;
	list_append(&p->ios, &run->node);
	sim_event_in(h->w, &run->event, io_delay(h, io));
}

void sim_ios_drop(struct sim_process *p)
{
	struct sim_world *w = p->host->w;
	struct io_run *run;

	while (!list_empty(&p->ios)) {
		run = list_first(&p->ios, struct io_run, node);
		sim_event_cancel(w, &run->event);
		if (run->io->op != ENV_IO_READ && sim_draw(w, 2)) {
			run->io->flags &= ~(uint32_t)ENV_IO_DSYNC; /* it had not said that it was durable */
			(void)perform(run);
		}
		run->io->file->inflight--;
		run_free(run);
	}
}
