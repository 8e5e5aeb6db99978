/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* After a crash: what the dirty list names gets its checksums and attributes from its data. Blocking, before the device is used. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "osd/disk_priv.h"

#define SPEAK_NS (2 * NSEC_PER_SEC)

struct range {
	uint64_t first, last; /* chunks */
};

struct victim {
	struct htab_node node;
	struct list all;
	uint8_t key[OBJKEY_SIZE];
	struct wp_objid id;
	bool destroyed; /* the last word */
	bool remade;	/* destroyed and made again: nothing that is known of it holds */
	struct range *ranges;
	unsigned n, cap;
	struct dsegs segs;
};

struct recovery {
	struct disk *disk;
	struct htab victims;
	struct list all;
	unsigned done;
	uint64_t started_ns, spoke_ns, bytes;
	uint8_t *buf;
};

/* ---- reading the list ----------------------------------------------------------------- */

static struct victim *victim_get(struct recovery *rec, const struct wp_objid *id)
{
	uint8_t key[OBJKEY_SIZE];
	struct htab_node *n;
	struct victim *v;
	uint64_t hash;

	objkey_encode(key, id);
	hash = hash_bytes(key, sizeof(key), 0);
	htab_each_match (n, &rec->victims, hash)
		if (!memcmp(container_of(n, struct victim, node)->key, key, sizeof(key)))
			return container_of(n, struct victim, node);
	v = NEW(struct victim);
	memcpy(v->key, key, sizeof(key));
	v->id = *id;
	htab_add(&rec->victims, &v->node, hash);
	list_append(&rec->all, &v->all);
	return v;
}

static int add_record(void *arg, const struct dirty_record *r)
{
	struct recovery *rec = arg;
	struct victim *v = victim_get(rec, &r->obj);
	struct range *last = v->n ? &v->ranges[v->n - 1] : NULL;

	if (r->destroyed) {
		v->destroyed = true;
		v->n = 0;
		return 0;
	}
	v->remade |= v->destroyed;
	v->destroyed = false;
	if (last && r->first <= last->last + 1 && r->last + 1ull >= last->first) {
		last->first = MIN(last->first, r->first);
		last->last = MAX(last->last, r->last);
		return 0;
	}
	if (v->n == v->cap) {
		v->cap = v->cap ? v->cap * 2 : 2;
		v->ranges = xrealloc(v->ranges, v->cap * sizeof(*v->ranges));
	}
	v->ranges[v->n++] = (struct range){ r->first, r->last };
	return 0;
}

/* ---- making checksums anew ----------------------------------------------------------------- */

static void speak(struct recovery *rec)
{
	uint64_t now = env_mono_ns(rec->disk->dev.env);

	if (now - rec->spoke_ns < SPEAK_NS)
		return;
	rec->spoke_ns = now;
	log_notice("osd", "%s: making checksums anew after a crash: %u of %zu objects, %llu MiB in %.0f s", rec->disk->path,
		   rec->done, rec->victims.count, (unsigned long long)(rec->bytes >> 20),
		   (double)(now - rec->started_ns) / 1e9);
}

static ssize_t read_chunk(int fd, uint8_t *buf, uint64_t at)
{
	size_t got = 0;

	while (got < DIRTY_CHUNK_BYTES) {
		ssize_t n = pread(fd, buf + got, DIRTY_CHUNK_BYTES - got, (off_t)(at + got));

		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/* Of a segment, which begins at base. */
struct file {
	int fd;
	uint64_t base;
};

static int rebuild_chunk(struct recovery *rec, struct victim *v, struct file f, struct dattr *a, uint64_t chunk)
{
	uint32_t crcs[CHUNK_BLOCKS];
	ssize_t n = read_chunk(f.fd, rec->buf, chunk * DIRTY_CHUNK_BYTES - f.base);

	if (n < 0)
		return (int)n;
	memset(rec->buf + n, 0, DIRTY_CHUNK_BYTES - (size_t)n);
	for (unsigned i = 0; i < CHUNK_BLOCKS; i++)
		crcs[i] = crc32c(0, rec->buf + i * BLOCK, BLOCK);
	dcrc_store(rec->disk, v->key, a, chunk * CHUNK_BLOCKS, CHUNK_BLOCKS, crcs);
	rec->bytes += (uint64_t)n;
	speak(rec);
	return 0;
}

/* One file of the object: [from, end) of the object lies in it. Holes are passed over. */
static int rebuild_file(struct recovery *rec, struct victim *v, struct file f, struct dattr *a, uint64_t from, uint64_t end)
{
	for (uint64_t at = from; at < end; at += DIRTY_CHUNK_BYTES) {
		off_t data = lseek(f.fd, (off_t)(at - f.base), SEEK_DATA);
		int err;

		if (data < 0 && errno == ENXIO)
			return 0;
		if (data > 0)
			at = MAX(at, f.base + round_down_pow2((uint64_t)data, DIRTY_CHUNK_BYTES));
		if (at >= end)
			return 0;
		err = rebuild_chunk(rec, v, f, a, at / DIRTY_CHUNK_BYTES);
		if (err < 0)
			return err;
	}
	return 0;
}

/* The ranges' parts that lie in one file. */
static int rebuild_ranges(struct recovery *rec, struct victim *v, struct file f, struct dattr *a)
{
	static const struct range all = { 0, CHUNKS_MAX - 1 };
	unsigned n = v->remade ? 1 : v->n;
	int r = 0;

	for (unsigned i = 0; i < n && !r; i++) {
		struct range g = v->remade ? all : v->ranges[i];
		uint64_t from = MAX(g.first * DIRTY_CHUNK_BYTES, f.base);
		uint64_t end = MIN((g.last + 1) * DIRTY_CHUNK_BYTES, f.base + SEGMENT_BYTES);

		r = rebuild_file(rec, v, f, a, from, MIN(end, round_up_pow2(a->size, DIRTY_CHUNK_BYTES)));
	}
	return r;
}

static int rebuild_seg(struct recovery *rec, struct victim *v, const char *first, uint64_t n, struct dattr *a)
{
	cleanup_free char *path = dseg_path(first, n);
	struct file f = { .fd = open(path, O_RDONLY | O_CLOEXEC), .base = n * SEGMENT_BYTES };
	int r;

	if (f.fd < 0)
		return -errno;
	r = rebuild_ranges(rec, v, f, a);
	close(f.fd);
	return r;
}

/* The object as its files are. */
static int look_at_files(struct victim *v, const char *first, struct dattr *a, uint64_t *blocks)
{
	struct stat st;

	if (stat(first, &st) < 0)
		return -errno;
	a->size = (uint64_t)st.st_size;
	*blocks = (uint64_t)st.st_blocks;
	a->mtime_ns = MAX(a->mtime_ns, stat_mtime_ns(&st));
	for (size_t i = 0; i < v->segs.n; i++) {
		const struct dseg *s = &v->segs.v[i];

		a->size = s->size ? s->n * SEGMENT_BYTES + s->size : a->size;
		*blocks += s->blocks;
		a->mtime_ns = MAX(a->mtime_ns, s->mtime_ns);
	}
	return 0;
}

static int rebuild(struct recovery *rec, struct victim *v, const char *first, struct dattr *a)
{
	struct disk *d = rec->disk;
	uint64_t blocks = 0;
	int r = look_at_files(v, first, a, &blocks);

	if (r < 0)
		return r;
	/* What is behind the end is gone, whatever is known of it. */
	dcrc_zero(d, v->key, a, (a->size + BLOCK - 1) / BLOCK, UINT64_MAX);
	if (v->remade)
		dcrc_zero(d, v->key, a, 0, UINT64_MAX);
	for (unsigned i = 0; i < v->n && !v->remade; i++)
		dcrc_zero(d, v->key, a, v->ranges[i].first * CHUNK_BLOCKS, (v->ranges[i].last + 1) * CHUNK_BLOCKS);
	r = rebuild_seg(rec, v, first, 0, a);
	for (size_t i = 0; i < v->segs.n && !r; i++)
		r = rebuild_seg(rec, v, first, v->segs.v[i].n, a);
	if (r < 0)
		return r;
	a->version = disk_version_next(d);
	dattr_account(d, a, blocks);
	dattr_store(d, v->key, a);
	return 0;
}

/* The object is not: neither are files of it. */
static int unlink_all(struct victim *v, const char *first)
{
	for (size_t i = v->segs.n; i-- > 0;) {
		cleanup_free char *path = dseg_path(first, v->segs.v[i].n);

		if (unlink(path) < 0 && errno != ENOENT)
			return -errno;
	}
	return unlink(first) < 0 && errno != ENOENT ? -errno : 0;
}

static int recover_one(struct recovery *rec, struct victim *v)
{
	struct disk *d = rec->disk;
	cleanup_free char *path = dobj_path(d, &v->id);
	struct dattr a;
	int r = dattr_load(d, v->key, &a);
	bool known = !r;

	if (r < 0 && r != -ENOENT)
		return r;
	r = dsegs_scan(path, &v->segs);
	if (r < 0)
		return r;
	if (!v->destroyed && access(path, F_OK) < 0) {
		if (errno != ENOENT)
			return -errno;
		v->destroyed = true;
	}
	if (v->destroyed) {
		if (known)
			dattr_remove(d, v->key, &a);
		return unlink_all(v, path);
	}
	r = rebuild(rec, v, path, &a);
	if (r < 0)
		log_err("osd", "%s: cannot be read: %s", path, strerror(-r));
	/* An object that cannot be read keeps its old checksums; the others must not suffer for it. */
	return r == -EIO ? 0 : r;
}

static int recover_all(struct recovery *rec)
{
	struct disk *d = rec->disk;
	struct victim *v;
	int r;

	list_each (v, &rec->all, all) {
		r = recover_one(rec, v);
		if (!r && dindex_pending(d->index) > MIB(64))
			r = dindex_flush_blocking(d->index);
		if (r < 0)
			return r;
		rec->done++;
	}
	if (!rec->done)
		return 0;
	log_notice("osd", "%s: checksums of %u objects (%llu MiB) made anew after a crash", d->path, rec->done,
		   (unsigned long long)(rec->bytes >> 20));
	/* The data must be as durable as what is known of it before the list is forgotten. */
	return syncfs(d->dirfd) < 0 ? -errno : 0;
}

int disk_recover(struct disk *d, uint64_t *epoch)
{
	struct recovery rec = { .disk = d, .started_ns = env_mono_ns(d->dev.env) };
	struct victim *v;
	uint64_t newest;
	int r;

	rec.spoke_ns = rec.started_ns;
	htab_init(&rec.victims);
	list_init(&rec.all);
	rec.buf = xmalloc(DIRTY_CHUNK_BYTES);
	r = dirty_recover(d->dev.env, d->path, disk_get_u64(d, "clean"), add_record, &rec, &newest);
	if (!r)
		r = recover_all(&rec);
	if (!r) {
		disk_put_u64(d, "clean", newest);
		*epoch = newest + 1;
	}
	while ((v = list_pop(&rec.all, struct victim, all))) {
		free(v->ranges);
		free(v->segs.v);
		free(v);
	}
	htab_done(&rec.victims);
	free(rec.buf);
	return r;
}
