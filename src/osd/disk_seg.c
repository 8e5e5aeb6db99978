/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "osd/disk_seg.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "osd/disk_priv.h"

#define OPEN_MAX_SEGS 16u /* of one object */

/* ---- which there are ----------------------------------------------------------------- */

char *dseg_path(const char *path, uint64_t n)
{
	return n ? xasprintf("%s.%llx", path, (unsigned long long)n) : xstrdup(path);
}

static int by_number(const void *a, const void *b)
{
	const struct dseg *x = a, *y = b;

	return x->n < y->n ? -1 : x->n > y->n;
}

static int look_at(int dirfd, const char *name, uint64_t n, struct dsegs *ret)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, 0) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!(ret->n & (ret->n - 1)))
		ret->v = xrealloc(ret->v, (ret->n ? 2 * ret->n : 1) * sizeof(*ret->v));
	ret->v[ret->n++] = (struct dseg){ .n = n,
					  .size = (uint64_t)st.st_size,
					  .blocks = (uint64_t)st.st_blocks,
					  .mtime_ns = stat_mtime_ns(&st),
					  .dirty = true };
	return 0;
}

int dsegs_scan(const char *path, struct dsegs *ret)
{
	cleanup_free char *folder = xstrdup(path);
	char *name = strrchr(folder, '/');
	struct dirent *e;
	int r = 0;
	DIR *d;

	*ret = (struct dsegs){ .known = true };
	*name++ = '\0';
	d = opendir(folder);
	if (!d)
		return errno == ENOENT ? 0 : -errno;
	for (errno = 0; !r && (e = readdir(d)); errno = 0) {
		size_t len = strlen(name);
		uint64_t n;
		char *end;

		if (strncmp(e->d_name, name, len) || e->d_name[len] != '.')
			continue;
		n = strtoull(e->d_name + len + 1, &end, 16);
		if (n && !*end)
			r = look_at(dirfd(d), e->d_name, n, ret);
	}
	if (!r && errno)
		r = -errno;
	closedir(d);
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_number);
	return r;
}

void dsegs_close(struct env *env, struct dsegs *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].file)
			env->ops->file_close(env, s->v[i].file);
	free(s->v);
	*s = (struct dsegs){ 0 };
}

int dobj_load_segs(struct dobj *o)
{
	cleanup_free char *path = NULL;

	if (o->segs.known)
		return 0;
	o->segs.known = o->attr.size <= SEGMENT_BYTES;
	if (o->segs.known)
		return 0;
	path = dobj_path(o->disk, &o->id);
	return dsegs_scan(path, &o->segs);
}

/* ---- one of them ----------------------------------------------------------------- */

/* The place of the first segment >= n. */
static size_t place(const struct dsegs *s, uint64_t n)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (s->v[mid].n < n)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

uint64_t dobj_next_seg(const struct dobj *o, uint64_t n)
{
	size_t i = place(&o->segs, n);

	return !n ? 0 : i < o->segs.n ? o->segs.v[i].n : UINT64_MAX;
}

void dobj_seg_dirty(struct dobj *o, uint64_t n)
{
	if (n)
		o->segs.v[place(&o->segs, n)].dirty = true;
}

static void insert(struct dsegs *s, size_t at, uint64_t n)
{
	s->v = xrealloc(s->v, (s->n + 1) * sizeof(*s->v));
	memmove(s->v + at + 1, s->v + at, (s->n - at) * sizeof(*s->v));
	s->v[at] = (struct dseg){ .n = n };
	s->n++;
}

static void remove_at(struct env *env, struct dsegs *s, size_t at)
{
	if (s->v[at].file) {
		env->ops->file_close(env, s->v[at].file);
		s->open--;
	}
	memmove(s->v + at, s->v + at + 1, (s->n - at - 1) * sizeof(*s->v));
	s->n--;
}

/* Operations in progress keep their file. */
static void close_one(struct env *env, struct dsegs *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].file) {
			env->ops->file_close(env, s->v[i].file);
			s->v[i].file = NULL;
			s->open--;
			return;
		}
}

int dobj_seg(struct dobj *o, uint64_t n, bool create, struct env_file **ret)
{
	struct env *env = o->disk->dev.env;
	size_t at = place(&o->segs, n);
	bool there = at < o->segs.n && o->segs.v[at].n == n;
	cleanup_free char *first = NULL, *path = NULL;
	int r;

	*ret = !n ? o->file : there ? o->segs.v[at].file : NULL;
	if (*ret || (!there && !create))
		return 0;
	if (o->segs.open >= OPEN_MAX_SEGS)
		close_one(env, &o->segs);
	first = dobj_path(o->disk, &o->id);
	path = dseg_path(first, n);
	r = env->ops->file_open(env, path, O_RDWR | (there ? 0 : O_CREAT | O_TRUNC), 0600, ret);
	if (r < 0)
		return r == -ENOENT ? -EIO : r; /* what was there is gone */
	if (!there) {
		insert(&o->segs, at, n);
		o->name_durable = false;
	}
	o->segs.v[at].file = *ret;
	o->segs.open++;
	return 0;
}

uint64_t dobj_blocks(struct dobj *o)
{
	struct env *env = o->disk->dev.env;
	uint64_t sum = 0;
	struct env_stat st;

	if (env->ops->file_stat(env, o->file, &st) == 0)
		sum = st.blocks;
	for (size_t i = 0; i < o->segs.n; i++) {
		struct dseg *s = &o->segs.v[i];

		if (s->file && env->ops->file_stat(env, s->file, &st) == 0)
			s->blocks = st.blocks;
		sum += s->blocks;
	}
	return sum;
}

/* First the end as it will be, then what is behind it, from the last one on: a death on the way leaves the old size. */
int dobj_truncate(struct dobj *o, uint64_t size)
{
	uint64_t last = size ? (size - 1) / SEGMENT_BYTES : 0;
	struct env *env = o->disk->dev.env;
	cleanup_free char *first = NULL;
	struct env_file *f;
	int r = dobj_seg(o, last, true, &f);

	if (!r)
		r = env->ops->file_truncate(env, f, size - last * SEGMENT_BYTES);
	if (!r)
		dobj_seg_dirty(o, last);
	if (r < 0 || dobj_next_seg(o, last + 1) == UINT64_MAX)
		return r;
	first = dobj_path(o->disk, &o->id);
	o->name_durable = false; /* their going, too */
	while (o->segs.n && o->segs.v[o->segs.n - 1].n > last) {
		cleanup_free char *path = dseg_path(first, o->segs.v[o->segs.n - 1].n);

		r = env->ops->path_unlink(env, path);
		if (r < 0 && r != -ENOENT)
			return r;
		remove_at(env, &o->segs, o->segs.n - 1);
	}
	return 0;
}

static int seek_data(struct dobj *o, uint64_t *at)
{
	struct env *env = o->disk->dev.env;

	for (;;) {
		uint64_t n = *at / SEGMENT_BYTES, in = 0;
		struct env_file *f;
		int r = dobj_seg(o, n, false, &f);

		if (!r)
			r = f ? env->ops->file_seek(env, f, *at % SEGMENT_BYTES, false, &in) : -ENXIO;
		if (!r)
			*at = n * SEGMENT_BYTES + in;
		if (r != -ENXIO)
			return r;
		n = dobj_next_seg(o, n + 1);
		if (n == UINT64_MAX)
			return -ENXIO;
		*at = n * SEGMENT_BYTES;
	}
}

static int seek_hole(struct dobj *o, uint64_t *at)
{
	struct env *env = o->disk->dev.env;

	for (; *at < o->attr.size; *at = (*at / SEGMENT_BYTES + 1) * SEGMENT_BYTES) {
		uint64_t in = *at % SEGMENT_BYTES;
		struct env_file *f;
		int r = dobj_seg(o, *at / SEGMENT_BYTES, false, &f);

		if (!r && f)
			r = env->ops->file_seek(env, f, in, true, &in);
		if (r == -ENXIO) /* the file ends before the object */
			return 0;
		if (r < 0)
			return r;
		if (in < SEGMENT_BYTES) {
			*at = *at / SEGMENT_BYTES * SEGMENT_BYTES + in;
			return 0;
		}
	}
	return 0;
}

int dobj_seek(struct dobj *o, uint64_t *at, bool hole) { return hole ? seek_hole(o, at) : seek_data(o, at); }

/* ---- reading and writing ----------------------------------------------------------------- */

/* What lies in two segments. */
struct dsplit {
	void (*done)(struct env_io *io);
	enum env_io_op kind;
	uint32_t flags;
	uint64_t first, offset; /* bytes in the first part; where the second begins */
	int n, m;		/* of iov: first, second part */
	struct iovec iov[];	/* first part, again the first part (the env changes the array), second part */
};

static void rw_one(struct dop *op, enum env_io_op kind, uint32_t flags, struct iovec *iov, int n, uint64_t offset,
		   void (*done)(struct env_io *io))
{
	struct dobj *o = op->obj;
	uint64_t seg = offset / SEGMENT_BYTES;
	struct env_file *f;
	int r = dobj_seg(o, seg, kind == ENV_IO_WRITE, &f);

	op->io = (struct env_io){ .op = kind,
				  .flags = flags,
				  .file = f,
				  .iov = iov,
				  .iov_n = n,
				  .offset = offset % SEGMENT_BYTES,
				  .result = r,
				  .done = done,
				  .arg = op };
	if (r < 0 || !f) {
		done(&op->io); /* an error, or a hole */
		return;
	}
	if (kind == ENV_IO_WRITE)
		dobj_seg_dirty(o, seg);
	env_file_io(o->disk->dev.env, &op->io);
}

static void split_end(struct env_io *io)
{
	struct dop *op = io->arg;
	struct dsplit *s = op->split;
	void (*done)(struct env_io * io) = s->done;

	if (io->result >= 0)
		io->result += (int64_t)s->first;
	op->split = NULL;
	free(s);
	done(io);
}

static void split_second(struct env_io *io)
{
	struct dop *op = io->arg;
	struct dsplit *s = op->split;

	if (io->result < 0) {
		split_end(io);
		return;
	}
	if ((uint64_t)io->result < s->first) { /* its file is shorter: zeros */
		struct iovwalk w = { s->iov + s->n, s->n, 0 };

		iovwalk_skip(&w, (uint64_t)io->result);
		iovwalk_from(&w, NULL, s->first - (uint64_t)io->result);
	}
	rw_one(op, s->kind, s->flags, s->iov + 2 * s->n, s->m, s->offset, split_end);
}

void dop_rw(struct dop *op, enum env_io_op kind, uint32_t flags, struct iovec *iov, int iov_n, uint64_t offset,
	    void (*done)(struct env_io *io))
{
	uint64_t room = SEGMENT_BYTES - offset % SEGMENT_BYTES, at = 0;
	struct dsplit *s;
	size_t bytes = 0;

	for (int i = 0; i < iov_n; i++)
		bytes += iov[i].iov_len;
	if (bytes <= room) {
		rw_one(op, kind, flags, iov, iov_n, offset, done);
		return;
	}
	s = xcalloc(1, sizeof(*s) + 3 * ((size_t)iov_n + 1) * sizeof(*iov));
	*s = (struct dsplit){ .done = done, .kind = kind, .flags = flags, .first = room, .offset = offset + room };
	for (int i = 0; i < iov_n && at < room; at += iov[i].iov_len, i++) {
		s->iov[s->n] = iov[i];
		s->iov[s->n++].iov_len = MIN(iov[i].iov_len, room - at);
	}
	memcpy(s->iov + s->n, s->iov, (size_t)s->n * sizeof(*iov));
	at = 0;
	for (int i = 0; i < iov_n; at += iov[i].iov_len, i++) {
		size_t skip = room > at ? MIN(room - at, iov[i].iov_len) : 0;

		if (skip < iov[i].iov_len)
			s->iov[2 * s->n + s->m++] = (struct iovec){ (char *)iov[i].iov_base + skip, iov[i].iov_len - skip };
	}
	op->split = s;
	rw_one(op, kind, flags, s->iov, s->n, offset, split_second);
}
