/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "osd/disk_priv.h"

#define ATTR_SIZE 32u
#define ATTR_KEY_SIZE (1 + OBJKEY_SIZE)
#define CRC_KEY_SIZE (1 + OBJKEY_SIZE + 4)
#define CRC_KEY_MAX (CRC_KEY_SIZE + 8)
#define CHUNK_LONG UINT32_MAX /* chunks from here on have this in the short place, and their number behind it */

/* ---- names ----------------------------------------------------------------- */

unsigned dobj_folder(const struct wp_objid *id)
{
	uint8_t key[OBJKEY_SIZE];

	objkey_encode(key, id);
	return (unsigned)(hash_bytes(key, sizeof(key), 0) % (FOLDERS * FOLDERS));
}

char *dobj_path(const struct disk *d, const struct wp_objid *id)
{
	unsigned f = dobj_folder(id);

	return xasprintf("%s/objects/%02x/%02x/%llx-%x-%x-%x-%x", d->path, f / FOLDERS, f % FOLDERS,
			 (unsigned long long)id->fid.seq, id->fid.oid, id->fid.ver, id->component, id->stripe);
}

/* ---- attributes ----------------------------------------------------------------- */

static void own_key(uint8_t *k, const char *name, size_t len)
{
	k[0] = KEY_OWN;
	memcpy(k + 1, name, len);
}

void disk_put_u64(struct disk *d, const char *name, uint64_t v)
{
	uint8_t k[16], b[8];

	own_key(k, name, strlen(name));
	wp_put_le64(b, v);
	dindex_put(d->index, k, 1 + strlen(name), b, sizeof(b));
	dindex_commit(d->index, OSD_SEQ_NONE, false, NULL, NULL);
}

uint64_t disk_get_u64(struct disk *d, const char *name)
{
	struct osd_slice v;
	uint8_t k[16];

	own_key(k, name, strlen(name));
	return dindex_get(d->index, k, 1 + strlen(name), &v) == 0 && v.len == 8 ? wp_get_le64(v.p) : 0;
}

static void attr_key(uint8_t *k, const uint8_t *key)
{
	k[0] = KEY_ATTR;
	memcpy(k + 1, key, OBJKEY_SIZE);
}

int dattr_load(struct disk *d, const uint8_t *key, struct dattr *a)
{
	uint8_t k[ATTR_KEY_SIZE];
	struct osd_slice v;
	const uint8_t *p;
	int r;

	*a = (struct dattr){ 0 };
	attr_key(k, key);
	r = dindex_get(d->index, k, sizeof(k), &v);
	if (r < 0)
		return r;
	if (v.len < ATTR_SIZE || (v.len - ATTR_SIZE) / 4 > ATTR_CRCS)
		return -EIO;
	p = v.p;
	a->size = wp_get_le64(p);
	a->version = wp_get_le64(p + 8);
	a->mtime_ns = wp_get_le64(p + 16);
	a->blocks = wp_get_le64(p + 24);
	a->crcs_n = (unsigned)((v.len - ATTR_SIZE) / 4);
	for (unsigned i = 0; i < a->crcs_n; i++)
		a->crcs[i] = wp_get_le32(p + ATTR_SIZE + 4 * i);
	return 0;
}

void dattr_store(struct disk *d, const uint8_t *key, const struct dattr *a)
{
	uint8_t k[ATTR_KEY_SIZE], v[ATTR_SIZE + 4 * ATTR_CRCS];

	attr_key(k, key);
	wp_put_le64(v, a->size);
	wp_put_le64(v + 8, a->version);
	wp_put_le64(v + 16, a->mtime_ns);
	wp_put_le64(v + 24, a->blocks);
	for (unsigned i = 0; i < a->crcs_n; i++)
		wp_put_le32(v + ATTR_SIZE + 4 * i, a->crcs[i]);
	dindex_put(d->index, k, sizeof(k), v, ATTR_SIZE + 4 * a->crcs_n);
	disk_put_u64(d, "used", d->used_blocks); /* in the same generation: the sum is right after a crash, too */
}

void dattr_account(struct disk *d, struct dattr *a, uint64_t blocks)
{
	d->used_blocks += blocks - MIN(a->blocks, d->used_blocks + blocks);
	a->blocks = blocks;
}

void dattr_remove(struct disk *d, const uint8_t *key, struct dattr *a)
{
	uint8_t k[ATTR_KEY_SIZE];

	dcrc_zero(d, key, a, 0, UINT64_MAX);
	attr_key(k, key);
	dindex_put(d->index, k, sizeof(k), NULL, 0);
	dattr_account(d, a, 0);
	disk_put_u64(d, "used", d->used_blocks);
	*a = (struct dattr){ 0 };
}

uint64_t disk_version_next(struct disk *d) { return ++d->version; }

/* ---- checksums in the attributes ----------------------------------------------------------------- */

static unsigned trimmed(const uint32_t *crcs, unsigned n)
{
	while (n && crcs[n - 1] == zero_block_crc())
		n--;
	return n;
}

static void inline_store(struct dattr *a, unsigned first, unsigned n, const uint32_t *crcs)
{
	for (unsigned i = a->crcs_n; i < first; i++)
		a->crcs[i] = zero_block_crc();
	for (unsigned i = 0; i < n; i++)
		a->crcs[first + i] = crcs ? crcs[i] : zero_block_crc();
	a->crcs_n = trimmed(a->crcs, MAX(a->crcs_n, first + n));
}

/* ---- checksums in chunks ----------------------------------------------------------------- */

/* Sorts by chunk. Returns its length. */
static size_t crc_key(uint8_t *k, const uint8_t *key, uint64_t chunk)
{
	k[0] = KEY_CRC;
	memcpy(k + 1, key, OBJKEY_SIZE);
	put_be(k + 1 + OBJKEY_SIZE, MIN(chunk, CHUNK_LONG), 4);
	if (chunk < CHUNK_LONG)
		return CRC_KEY_SIZE;
	put_be(k + CRC_KEY_SIZE, chunk, 8);
	return CRC_KEY_MAX;
}

/* The chunk's checksums, filled up. */
static int chunk_load(struct disk *d, const uint8_t *key, uint64_t chunk, uint32_t *crcs)
{
	uint8_t k[CRC_KEY_MAX];
	struct osd_slice v = { 0 };
	unsigned n;
	int r;

	r = dindex_get(d->index, k, crc_key(k, key, chunk), &v);
	if (r < 0 && r != -ENOENT)
		return r;
	n = r ? 0 : MIN((unsigned)(v.len / 4), CHUNK_BLOCKS);
	for (unsigned i = 0; i < n; i++)
		crcs[i] = wp_get_le32((const uint8_t *)v.p + 4 * i);
	for (unsigned i = n; i < CHUNK_BLOCKS; i++)
		crcs[i] = zero_block_crc();
	return 0;
}

static void chunk_put(struct disk *d, const uint8_t *key, uint64_t chunk, const uint32_t *crcs)
{
	uint8_t k[CRC_KEY_MAX], v[CHUNK_BLOCKS * 4];
	size_t k_len = crc_key(k, key, chunk);
	unsigned n = trimmed(crcs, CHUNK_BLOCKS);

	for (unsigned i = 0; i < n; i++)
		wp_put_le32(v + 4 * i, crcs[i]);
	dindex_put(d->index, k, k_len, n ? v : NULL, 4 * n);
}

/* crcs NULL: zero blocks'. A chunk that cannot be loaded loses the checksums it had: an error for readers, and said by the index. */
static void chunk_change(struct disk *d, const uint8_t *key, uint64_t chunk, unsigned first, unsigned n, const uint32_t *crcs)
{
	uint32_t all[CHUNK_BLOCKS];

	if (n < CHUNK_BLOCKS && chunk_load(d, key, chunk, all) < 0)
		memset(all, 0, sizeof(all));
	for (unsigned i = 0; i < n; i++)
		all[first + i] = crcs ? crcs[i] : zero_block_crc();
	chunk_put(d, key, chunk, all);
}

int dcrc_load(struct disk *d, const uint8_t *key, const struct dattr *a, uint64_t first, uint64_t n, uint32_t *crcs)
{
	uint32_t all[CHUNK_BLOCKS];

	for (uint64_t b = first, part; b < first + n; b += part, crcs += part) {
		unsigned in = (unsigned)(b % CHUNK_BLOCKS);
		int r;

		if (b < ATTR_CRCS) {
			part = 1;
			*crcs = b < a->crcs_n ? a->crcs[b] : zero_block_crc();
			continue;
		}
		part = MIN(CHUNK_BLOCKS - in, first + n - b);
		r = chunk_load(d, key, b / CHUNK_BLOCKS, all);
		if (r < 0)
			return r;
		memcpy(crcs, all + in, part * sizeof(*crcs));
	}
	return 0;
}

void dcrc_store(struct disk *d, const uint8_t *key, struct dattr *a, uint64_t first, uint64_t n, const uint32_t *crcs)
{
	for (uint64_t b = first, part; b < first + n; b += part, crcs += part) {
		unsigned in = (unsigned)(b % CHUNK_BLOCKS);

		if (b < ATTR_CRCS) {
			part = MIN(ATTR_CRCS - b, first + n - b);
			inline_store(a, (unsigned)b, (unsigned)part, crcs);
		} else {
			part = MIN(CHUNK_BLOCKS - in, first + n - b);
			chunk_change(d, key, b / CHUNK_BLOCKS, in, (unsigned)part, crcs);
		}
	}
}

/* The first chunk >= *chunk that has checksums. */
static bool next_chunk(struct disk *d, const uint8_t *key, uint64_t *chunk)
{
	uint8_t k[CRC_KEY_MAX];
	struct osd_slice found, v;
	size_t k_len;

	if (*chunk > CHUNKS_MAX)
		return false;
	k_len = crc_key(k, key, *chunk);
	if (dindex_seek(d->index, k, k_len, false, &found, &v) < 0 || found.len < CRC_KEY_SIZE ||
	    memcmp(found.p, k, 1 + OBJKEY_SIZE))
		return false;
	if (found.len == CRC_KEY_MAX)
		*chunk = get_be((const uint8_t *)found.p + CRC_KEY_SIZE, 8);
	else
		*chunk = get_be((const uint8_t *)found.p + 1 + OBJKEY_SIZE, 4);
	return true;
}

void dcrc_zero(struct disk *d, const uint8_t *key, struct dattr *a, uint64_t first, uint64_t end)
{
	if (first >= end)
		return;
	if (first < a->crcs_n)
		inline_store(a, (unsigned)first, (unsigned)MIN(a->crcs_n - first, end - first), NULL);
	/* Those that exist: a sparse object may be far larger than it has chunks. */
	for (uint64_t c = first / CHUNK_BLOCKS; next_chunk(d, key, &c); c++) {
		uint64_t low = c * CHUNK_BLOCKS, from = MAX(first, low), to = MIN(end, low + CHUNK_BLOCKS);

		if (from >= to)
			break;
		chunk_change(d, key, c, (unsigned)(from - low), (unsigned)(to - from), NULL);
	}
}
