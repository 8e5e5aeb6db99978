/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <fcntl.h>
#include <linux/falloc.h>

#include "world.h"

struct io_wait {
	struct env_io io;
	bool done;
};

static void io_done(struct env_io *io)
{
	struct io_wait *wt = io->arg;

	wt->done = true;
}

static int64_t do_io(struct world *w, struct env_io io)
{
	struct io_wait wt = { .io = io };

	wt.io.done = io_done;
	wt.io.arg = &wt;
	env_file_io(w->a, &wt.io);
	if (wt.done)
		return -EDEADLK; /* called from inside */
	return world_run(w, &wt.done) ? wt.io.result : -ETIMEDOUT;
}

static int64_t transfer(struct world *w, enum env_io_op op, struct env_file *f, void *p, size_t len, uint64_t offset,
			uint32_t flags)
{
	size_t k = len / 3;
	struct iovec iov[3] = { { p, k }, { (char *)p + k, k }, { (char *)p + 2 * k, len - 2 * k } };

	return do_io(w, (struct env_io){ .op = op, .file = f, .iov = iov, .iov_n = 3, .offset = offset, .flags = flags });
}

static void contents(struct world *w, const char *path)
{
	const struct env_ops *ops = w->a->ops;
	size_t len = 300000;
	char *out = malloc(len), *in = malloc(len);
	struct env_file *f = NULL;
	struct env_stat st;
	int r;

	for (size_t i = 0; i < len; i++)
		out[i] = (char)(i * 7 + i / 251);
	r = ops->file_open(w->a, path, O_RDWR | O_CREAT | O_EXCL, 0600, &f);
	is_int(r, 0, "a file is created");
	is_int(transfer(w, ENV_IO_WRITE, f, out, len, 0, 0), (long long)len, "a write is whole");
	is_int(do_io(w, (struct env_io){ .op = ENV_IO_FDATASYNC, .file = f }), 0, "fdatasync");
	is_int(transfer(w, ENV_IO_WRITE, f, out, 1000, 1000000, ENV_IO_DSYNC), 1000, "a durable write behind the end");
	ops->file_close(w->a, f);

	r = ops->file_open(w->a, path, O_RDWR, 0, &f);
	is_int(r, 0, "it opens again");
	memset(in, 1, len);
	is_int(transfer(w, ENV_IO_READ, f, in, len, 0, 0), (long long)len, "a read is whole");
	ok(!memcmp(in, out, len), "%s: the bytes come back", w->name);
	is_int(transfer(w, ENV_IO_READ, f, in, len, 900000, 0), 101000, "a read across the end is short");
	is_int(transfer(w, ENV_IO_READ, f, in, 10, 2000000, 0), 0, "a read behind the end is empty");
	is_int(transfer(w, ENV_IO_READ, f, in, 300, 999900, 0), 300, "a read out of a hole");
	ok(in[0] == 0 && in[99] == 0 && !memcmp(in + 100, out, 200), "%s: a hole reads as zeros", w->name);
	is_int(ops->file_stat(w->a, f, &st), 0, "stat");
	ok(st.size == 1001000 && !st.is_dir && st.mtime_ns > 0, "%s: the size is right", w->name);
	ops->file_close(w->a, f);
	free(out);
	free(in);
}

static void shape(struct world *w, const char *path)
{
	const struct env_ops *ops = w->a->ops;
	struct env_file *f = NULL;
	struct env_stat st;
	char buf[8192];
	uint64_t at = 0;

	memset(buf, 'x', sizeof(buf));
	is_int(ops->file_open(w->a, path, O_RDWR | O_CREAT | O_TRUNC, 0600, &f), 0, "O_TRUNC");
	is_int(ops->file_stat(w->a, f, &st), 0, "stat");
	is_int((long long)st.size, 0, "an emptied file has size 0");
	is_int(transfer(w, ENV_IO_WRITE, f, buf, sizeof(buf), 1 << 20, 0), sizeof(buf), "write at 1 MiB");
	is_int(ops->file_truncate(w->a, f, 2 << 20), 0, "truncate up");
	is_int(ops->file_seek(w->a, f, 0, false, &at), 0, "seek data");
	is_int((long long)at, 1 << 20, "data begins where it was written");
	is_int(ops->file_seek(w->a, f, 1 << 20, true, &at), 0, "seek hole");
	is_int((long long)at, (1 << 20) + 8192, "the hole begins behind it");
	is_int(ops->file_seek(w->a, f, (1 << 20) + 8192, false, &at), -ENXIO, "no data behind it");
	is_int(ops->file_seek(w->a, f, 3 << 20, true, &at), -ENXIO, "no seek behind the end");
	is_int(do_io(w, (struct env_io){ .op = ENV_IO_FALLOCATE, .file = f, .mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					 .offset = 1 << 20, .length = 4096 }), 0, "a hole is punched");
	is_int(transfer(w, ENV_IO_READ, f, buf, 8192, 1 << 20, 0), 8192, "read it");
	ok(buf[0] == 0 && buf[4095] == 0 && buf[4096] == 'x', "%s: the hole reads as zeros, its neighbour is intact", w->name);
	is_int(do_io(w, (struct env_io){ .op = ENV_IO_FALLOCATE, .file = f, .offset = 2 << 20, .length = 1 << 20 }), 0,
	       "room is allocated");
	is_int(ops->file_stat(w->a, f, &st), 0, "stat");
	is_int((long long)st.size, 3 << 20, "allocation grows the file");
	ok(st.blocks * 512 >= 1 << 20, "%s: and takes room", w->name);
	is_int(ops->file_truncate(w->a, f, 10), 0, "truncate down");
	is_int(ops->file_stat(w->a, f, &st), 0, "stat");
	is_int((long long)st.size, 10, "the size follows");
	ops->file_close(w->a, f);
}

void check_files(struct world *w)
{
	struct env_file *f;
	cleanup_free char *path = xasprintf("%s/file", w->dir);
	cleanup_free char *none = xasprintf("%s/none", w->dir);
	uint64_t total, room, inodes, inodes_free;

	contents(w, path);
	shape(w, path);
	is_int(w->a->ops->file_open(w->a, none, O_RDWR, 0, &f), -ENOENT, "a missing file");
	is_int(w->a->ops->file_open(w->a, path, O_RDWR | O_CREAT | O_EXCL, 0600, &f), -EEXIST, "O_EXCL");
	is_int(w->a->ops->fs_space(w->a, w->dir, &total, &room, &inodes, &inodes_free), 0, "space");
	ok(total >= room && room > 0, "%s: there is room", w->name);
	is_int(w->a->ops->path_unlink(w->a, path), 0, "unlink");
	is_int(w->a->ops->file_open(w->a, path, O_RDWR, 0, &f), -ENOENT, "an unlinked file is gone");
}

struct names {
	char text[256];
	int n, stop;
};

static int add_name(void *arg, const char *name)
{
	struct names *l = arg;

	strcat(strcat(l->text, name), ",");
	return ++l->n == l->stop ? 77 : 0;
}

void check_dirs(struct world *w)
{
	const struct env_ops *ops = w->a->ops;
	cleanup_free char *dir = xasprintf("%s/dir", w->dir);
	cleanup_free char *one = xasprintf("%s/dir/one", w->dir);
	cleanup_free char *two = xasprintf("%s/dir/two", w->dir);
	cleanup_free char *nowhere = xasprintf("%s/nodir/two", w->dir);
	struct names l = { 0 };
	struct env_file *f;

	is_int(ops->path_mkdir(w->a, dir, 0700), 0, "mkdir");
	is_int(ops->path_mkdir(w->a, dir, 0700), -EEXIST, "mkdir again");
	is_int(ops->file_open(w->a, one, O_RDWR | O_CREAT, 0600, &f), 0, "a file in it");
	ops->file_close(w->a, f);
	is_int(ops->path_unlink(w->a, dir), -ENOTEMPTY, "a folder with files is not removed");
	is_int(ops->path_rename(w->a, one, two), 0, "rename");
	is_int(ops->path_rename(w->a, one, two), -ENOENT, "the old name is gone");
	is_int(ops->file_open(w->a, one, O_RDWR | O_CREAT, 0600, &f), 0, "another file");
	ops->file_close(w->a, f);
	is_int(ops->dir_sync(w->a, dir), 0, "sync of the folder");
	is_int(ops->dir_list(w->a, dir, add_name, &l), 0, "list");
	ok(l.n == 2 && strstr(l.text, "one,") && strstr(l.text, "two,"), "%s: both names, nothing else (%s)", w->name, l.text);
	l = (struct names){ .stop = 1 };
	is_int(ops->dir_list(w->a, dir, add_name, &l), 77, "a walk that is stopped returns what stopped it");
	is_int(ops->path_rename(w->a, one, two), 0, "rename over a file");
	is_int(ops->file_open(w->a, nowhere, O_RDWR | O_CREAT, 0600, &f), -ENOENT, "no file in a missing folder");
	is_int(ops->dir_list(w->a, nowhere, add_name, &l), -ENOENT, "no list of a missing folder");
	is_int(ops->path_unlink(w->a, two), 0, "unlink");
	is_int(ops->path_unlink(w->a, two), -ENOENT, "unlink again");
	is_int(ops->path_unlink(w->a, dir), 0, "an empty folder is removed");
}
