/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "osd/disk_priv.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc.h"
#include "base/log.h"

#define CRC_KEY_SIZE (1 + OBJKEY_SIZE + 4)

uint32_t zero_block_crc(void)
{
	static uint32_t crc;

	if (!crc)
		crc = crc32c_zeros(0, BLOCK);
	return crc;
}

char *object_path(const struct disk *d, const struct wp_objid *id)
{
	uint64_t h = hash_u64(id->fid.seq * 31 + id->fid.oid) ^ hash_u64(((uint64_t)id->component << 32 | id->stripe) + 1);

	return xasprintf("%s/objects/%02x/%02x/%016llx-%08x-%x-%x", d->path, (unsigned)(h & 0xff), (unsigned)(h >> 8 & 0x3f),
			 (unsigned long long)id->fid.seq, id->fid.oid, id->component, id->stripe);
}

static void attr_key(uint8_t *k, const uint8_t *key)
{
	k[0] = KEY_ATTR;
	memcpy(k + 1, key, OBJKEY_SIZE);
}

void attr_load(struct dobj *o)
{
	uint8_t k[1 + OBJKEY_SIZE];
	struct osd_slice v;

	attr_key(k, o->key);
	o->size = o->version = o->mtime_ns = 0;
	if (dindex_get(o->disk->index, k, sizeof(k), &v) == 0 && v.len == ATTR_SIZE) {
		o->size = wp_get_le64(v.p);
		o->version = wp_get_le64((const uint8_t *)v.p + 8);
		o->mtime_ns = wp_get_le64((const uint8_t *)v.p + 16);
	}
}

static void put_attr(struct disk *d, const uint8_t *key, uint64_t size, uint64_t version, uint64_t mtime_ns)
{
	uint8_t k[1 + OBJKEY_SIZE], v[ATTR_SIZE];

	attr_key(k, key);
	wp_put_le64(v, size);
	wp_put_le64(v + 8, version);
	wp_put_le64(v + 16, mtime_ns);
	dindex_put(d->index, k, sizeof(k), v, sizeof(v));
	dindex_commit(d->index, OSD_SEQ_NONE, false, NULL, NULL);
}

void attr_store(struct dobj *o) { put_attr(o->disk, o->key, o->size, o->version, o->mtime_ns); }

/* ---- checksums ----------------------------------------------------------------------------------------- */

static void crc_key(uint8_t *k, const uint8_t *key, uint64_t chunk)
{
	k[0] = KEY_CRC;
	memcpy(k + 1, key, OBJKEY_SIZE);
	put_be(k + 1 + OBJKEY_SIZE, chunk, 4);
}

/* The chunk's checksums, filled up; returns how many are stored. */
static unsigned chunk_load(struct disk *d, const uint8_t *key, uint64_t chunk, uint32_t *crcs)
{
	uint8_t k[CRC_KEY_SIZE];
	struct osd_slice v;
	unsigned n = 0;

	crc_key(k, key, chunk);
	if (dindex_get(d->index, k, sizeof(k), &v) == 0)
		n = MIN((unsigned)(v.len / 4), (unsigned)CHUNK_BLOCKS);
	for (unsigned i = 0; i < n; i++)
		crcs[i] = wp_get_le32((const uint8_t *)v.p + 4 * i);
	for (unsigned i = n; i < CHUNK_BLOCKS; i++)
		crcs[i] = zero_block_crc();
	return n;
}

static void chunk_put(struct disk *d, const uint8_t *key, uint64_t chunk, const uint32_t *crcs, unsigned n)
{
	uint8_t k[CRC_KEY_SIZE], v[CHUNK_BLOCKS * 4];

	crc_key(k, key, chunk);
	while (n && crcs[n - 1] == zero_block_crc())
		n--;
	for (unsigned i = 0; i < n; i++)
		wp_put_le32(v + 4 * i, crcs[i]);
	dindex_put(d->index, k, sizeof(k), n ? v : NULL, 4 * n);
}

int crc_load(struct disk *d, const uint8_t *key, uint64_t first, uint64_t n, uint32_t *crcs)
{
	uint32_t chunk[CHUNK_BLOCKS];

	if ((first + n) / CHUNK_BLOCKS > UINT32_MAX)
		return -EFBIG;
	for (uint64_t b = first; b < first + n;) {
		uint64_t in = b % CHUNK_BLOCKS, part = MIN(CHUNK_BLOCKS - in, first + n - b);

		chunk_load(d, key, b / CHUNK_BLOCKS, chunk);
		memcpy(crcs + (b - first), chunk + in, part * sizeof(*crcs));
		b += part;
	}
	return 0;
}

void crc_store(struct disk *d, const uint8_t *key, uint64_t first, uint64_t n, const uint32_t *crcs)
{
	uint32_t chunk[CHUNK_BLOCKS];

	for (uint64_t b = first; b < first + n;) {
		uint64_t in = b % CHUNK_BLOCKS, part = MIN(CHUNK_BLOCKS - in, first + n - b);
		unsigned have = part == CHUNK_BLOCKS ? 0 : chunk_load(d, key, b / CHUNK_BLOCKS, chunk);

		memcpy(chunk + in, crcs + (b - first), part * sizeof(*crcs));
		chunk_put(d, key, b / CHUNK_BLOCKS, chunk, MAX(have, (unsigned)(in + part)));
		b += part;
	}
}

void crc_cut(struct disk *d, const uint8_t *key, uint64_t first, uint64_t old_size)
{
	uint64_t chunks = (old_size + DIRTY_CHUNK_BYTES - 1) / DIRTY_CHUNK_BYTES;
	uint32_t crcs[CHUNK_BLOCKS];

	if (first % CHUNK_BLOCKS && first / CHUNK_BLOCKS < chunks) {
		chunk_load(d, key, first / CHUNK_BLOCKS, crcs);
		chunk_put(d, key, first / CHUNK_BLOCKS, crcs, (unsigned)(first % CHUNK_BLOCKS));
	}
	/* By iteration: a sparse object may be far larger than it has chunks. */
	for (uint64_t c = (first + CHUNK_BLOCKS - 1) / CHUNK_BLOCKS; c < chunks; c++) {
		uint8_t k[CRC_KEY_SIZE];
		struct osd_slice found, v;

		crc_key(k, key, c);
		if (dindex_seek(d->index, k, sizeof(k), false, &found, &v) < 0 || found.len != sizeof(k) ||
		    memcmp(found.p, k, 1 + OBJKEY_SIZE))
			break;
		memcpy(k, found.p, sizeof(k));
		c = get_be(k + 1 + OBJKEY_SIZE, 4);
		dindex_put(d->index, k, sizeof(k), NULL, 0);
	}
}

void attr_remove(struct disk *d, const uint8_t *key, uint64_t size)
{
	uint8_t k[1 + OBJKEY_SIZE];

	crc_cut(d, key, 0, size);
	attr_key(k, key);
	dindex_put(d->index, k, sizeof(k), NULL, 0);
	dindex_commit(d->index, OSD_SEQ_NONE, false, NULL, NULL);
}

/* ---- after a crash ------------------------------------------------------------------------------------- */

static int rebuild_crcs(struct disk *d, int fd, const uint8_t *key, uint32_t chunk)
{
	cleanup_free uint8_t *buf = xmalloc(DIRTY_CHUNK_BYTES);
	uint32_t crcs[CHUNK_BLOCKS];
	size_t got = 0;

	while (got < DIRTY_CHUNK_BYTES) {
		ssize_t n = pread(fd, buf + got, DIRTY_CHUNK_BYTES - got, (off_t)((uint64_t)chunk * DIRTY_CHUNK_BYTES + got));

		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	memset(buf + got, 0, DIRTY_CHUNK_BYTES - got);
	for (unsigned i = 0; i < CHUNK_BLOCKS; i++)
		crcs[i] = crc32c(0, buf + i * BLOCK, BLOCK);
	chunk_put(d, key, chunk, crcs, CHUNK_BLOCKS);
	return 0;
}

int chunk_rebuild(struct disk *d, const struct wp_objid *id, uint32_t chunk)
{
	cleanup_free char *path = object_path(d, id);
	struct dobj o = { .disk = d, .id = *id };
	struct stat st;
	int fd, r;

	objkey_encode(o.key, id);
	attr_load(&o);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		attr_remove(d, o.key, MAX(o.size, ((uint64_t)chunk + 1) * DIRTY_CHUNK_BYTES));
		return 0;
	}
	if (fd < 0 || fstat(fd, &st) < 0) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	r = rebuild_crcs(d, fd, o.key, chunk);
	close(fd);
	if (r < 0) {
		log_err("osd", "object %s: chunk %u cannot be read: %s", path, chunk, strerror(-r));
		return r;
	}
	o.size = (uint64_t)st.st_size;
	o.mtime_ns = MAX(o.mtime_ns, (uint64_t)st.st_mtim.tv_sec * NSEC_PER_SEC + (uint64_t)st.st_mtim.tv_nsec);
	o.version = MAX(o.version + 1, env_wall_ns(d->dev.env));
	attr_store(&o);
	return 0;
}
