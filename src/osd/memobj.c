/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "osd/memobj.h"

#include "base/crc.h"
#include "proto/status.h"

#define BLOCK ((uint64_t)WP_BLOCK_SIZE)
#define CHUNK_BLOCKS 16u

struct chunk {
	struct htab_node node;
	uint64_t number;
	uint8_t *block[CHUNK_BLOCKS]; /* NULL: a hole */
	uint32_t crc[CHUNK_BLOCKS];   /* over the whole block; behind the end of the object it is zero */
};

/* A position in an iovec. */
struct cursor {
	const struct iovec *iov;
	int n;
	size_t pos;
};

static void cursor_copy(struct cursor *c, void *to, const void *from, size_t len)
{
	while (len) {
		size_t part = MIN(len, c->iov->iov_len - c->pos);
		uint8_t *at = (uint8_t *)c->iov->iov_base + c->pos;

		weft_assert(c->n > 0);
		if (to) {
			memcpy(to, at, part);
			to = (uint8_t *)to + part;
		} else if (from) {
			memcpy(at, from, part);
			from = (const uint8_t *)from + part;
		} else {
			memset(at, 0, part);
		}
		len -= part;
		c->pos += part;
		if (c->pos == c->iov->iov_len) {
			c->iov++;
			c->n--;
			c->pos = 0;
		}
	}
}

static uint32_t cursor_crc(struct cursor *c, size_t len)
{
	uint32_t crc = 0;

	while (len) {
		size_t part = MIN(len, c->iov->iov_len - c->pos);

		weft_assert(c->n > 0);
		crc = crc32c(crc, (const uint8_t *)c->iov->iov_base + c->pos, part);
		len -= part;
		c->pos += part;
		if (c->pos == c->iov->iov_len) {
			c->iov++;
			c->n--;
			c->pos = 0;
		}
	}
	return crc;
}

/* ---- blocks -------------------------------------------------------------------------------------------- */

static struct chunk *chunk_find(const struct memobj *o, uint64_t number)
{
	struct htab_node *n;

	htab_each_match(n, &o->chunks, hash_u64(number))
		if (container_of(n, struct chunk, node)->number == number)
			return container_of(n, struct chunk, node);
	return NULL;
}

static uint8_t *block_find(const struct memobj *o, uint64_t b, uint32_t **crc)
{
	struct chunk *c = chunk_find(o, b / CHUNK_BLOCKS);

	if (!c)
		return NULL;
	if (crc)
		*crc = &c->crc[b % CHUNK_BLOCKS];
	return c->block[b % CHUNK_BLOCKS];
}

static uint8_t *block_get(struct memobj *o, uint64_t b, uint32_t **crc)
{
	struct chunk *c = chunk_find(o, b / CHUNK_BLOCKS);
	unsigned i = (unsigned)(b % CHUNK_BLOCKS);

	if (!c) {
		c = NEW(struct chunk);
		c->number = b / CHUNK_BLOCKS;
		htab_add(&o->chunks, &c->node, hash_u64(c->number));
	}
	if (!c->block[i]) {
		c->block[i] = xcalloc(1, BLOCK);
		c->crc[i] = crc32c_zeros(0, BLOCK);
		o->blocks++;
	}
	*crc = &c->crc[i];
	return c->block[i];
}

static void block_drop(struct memobj *o, uint64_t b)
{
	struct chunk *c = chunk_find(o, b / CHUNK_BLOCKS);
	unsigned i = (unsigned)(b % CHUNK_BLOCKS);

	if (!c || !c->block[i])
		return;
	free(c->block[i]);
	c->block[i] = NULL;
	o->blocks--;
}

static bool chunk_free(struct htab_node *n, void *arg)
{
	struct chunk *c = container_of(n, struct chunk, node);

	for (unsigned i = 0; i < CHUNK_BLOCKS; i++)
		free(c->block[i]);
	free(c);
	return true;
}

struct memobj *memobj_new(void)
{
	struct memobj *o = NEW(struct memobj);

	htab_init(&o->chunks);
	return o;
}

void memobj_free(struct memobj *o)
{
	htab_each(&o->chunks, chunk_free, NULL);
	htab_done(&o->chunks);
	free(o);
}

uint64_t memobj_missing(const struct memobj *o, uint64_t offset, uint64_t length)
{
	uint64_t n = 0;

	for (uint64_t b = offset / BLOCK; length && b <= (offset + length - 1) / BLOCK; b++)
		n += block_find(o, b, NULL) == NULL;
	return n;
}

/* ---- reading and writing ------------------------------------------------------------------------------- */

static size_t piece(uint64_t at, uint64_t end) { return (size_t)(MIN(end, (at / BLOCK + 1) * BLOCK) - at); }

static uint64_t iov_bytes(const struct iovec *iov, int n)
{
	uint64_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

int memobj_write(struct memobj *o, uint64_t offset, const struct iovec *iov, int iov_n, const uint32_t *crcs)
{
	uint64_t end = offset + iov_bytes(iov, iov_n);
	struct cursor check = { iov, iov_n, 0 }, copy = { iov, iov_n, 0 };
	unsigned i = 0;

	for (uint64_t at = offset; at < end; at += piece(at, end), i++)
		if (cursor_crc(&check, piece(at, end)) != crcs[i])
			return -WEFT_EBADCRC;
	i = 0;
	for (uint64_t at = offset; at < end; i++) {
		size_t n = piece(at, end);
		uint32_t *crc;
		uint8_t *b = block_get(o, at / BLOCK, &crc);

		/* A block that does not match must not be blessed by a write to a part of it. */
		if (n < BLOCK && crc32c(0, b, BLOCK) != *crc)
			return -WEFT_ECORRUPT;
		cursor_copy(&copy, b + at % BLOCK, NULL, n);
		*crc = n == BLOCK ? crcs[i] : crc32c(0, b, BLOCK);
		at += n;
	}
	o->size = MAX(o->size, end);
	return 0;
}

int memobj_read(struct memobj *o, uint64_t offset, uint64_t length, const struct iovec *iov, int iov_n, uint32_t *crcs,
		uint64_t *ret)
{
	struct cursor c = { iov, iov_n, 0 };
	uint64_t end = offset >= o->size ? offset : offset + MIN(length, o->size - offset);
	unsigned i = 0;

	for (uint64_t at = offset; at < end; i++) {
		size_t n = piece(at, end);
		uint32_t *crc = NULL;
		uint8_t *b = block_find(o, at / BLOCK, &crc);

		if (b && crc32c(0, b, BLOCK) != *crc)
			return -WEFT_ECORRUPT;
		cursor_copy(&c, NULL, b ? b + at % BLOCK : NULL, n);
		if (crcs)
			crcs[i] = b ? n == BLOCK ? *crc : crc32c(0, b + at % BLOCK, n) : crc32c_zeros(0, n);
		at += n;
	}
	*ret = end - offset;
	return 0;
}

void memobj_zero(struct memobj *o, uint64_t offset, uint64_t length, bool keep)
{
	uint64_t end = offset + length;

	for (uint64_t at = offset; at < end;) {
		size_t n = piece(at, end);
		uint32_t *crc;
		uint8_t *b = block_find(o, at / BLOCK, &crc);

		if (b && n == BLOCK && !keep) {
			block_drop(o, at / BLOCK);
		} else if (b) {
			memset(b + at % BLOCK, 0, n);
			*crc = crc32c(0, b, BLOCK);
		}
		at += n;
		if (!b && n == BLOCK && !chunk_find(o, at / BLOCK / CHUNK_BLOCKS)) /* skip the rest of a hole quickly */
			at = MIN(end, MAX(at, (at / BLOCK / CHUNK_BLOCKS + 1) * CHUNK_BLOCKS * BLOCK));
	}
}

struct cut {
	struct memobj *o;
	uint64_t from;
};

static bool cut_chunk(struct htab_node *n, void *arg)
{
	struct chunk *c = container_of(n, struct chunk, node);
	struct cut *cut = arg;

	for (unsigned i = 0; i < CHUNK_BLOCKS; i++)
		if (c->number * CHUNK_BLOCKS + i >= cut->from)
			block_drop(cut->o, c->number * CHUNK_BLOCKS + i);
	return true;
}

void memobj_truncate(struct memobj *o, uint64_t size)
{
	struct cut cut = { o, (size + BLOCK - 1) / BLOCK };

	if (size < o->size || o->blocks) {
		htab_each(&o->chunks, cut_chunk, &cut);
		if (size % BLOCK)
			memobj_zero(o, size, BLOCK - size % BLOCK, true);
	}
	o->size = size;
}

void memobj_allocate(struct memobj *o, uint64_t offset, uint64_t length)
{
	uint32_t *crc;

	for (uint64_t b = offset / BLOCK; length && b <= (offset + length - 1) / BLOCK; b++)
		(void)block_get(o, b, &crc);
}

int memobj_seek(const struct memobj *o, uint64_t offset, bool hole, uint64_t *ret)
{
	if (offset >= o->size)
		return -ENXIO;
	for (uint64_t at = offset; at < o->size; at = (at / BLOCK + 1) * BLOCK)
		if ((block_find(o, at / BLOCK, NULL) == NULL) == hole) {
			*ret = at;
			return 0;
		}
	if (!hole)
		return -ENXIO;
	*ret = o->size;
	return 0;
}

bool memobj_corrupt(struct memobj *o, uint64_t offset)
{
	uint8_t *b = block_find(o, offset / BLOCK, NULL);

	if (b)
		b[offset % BLOCK] ^= 1;
	return b != NULL;
}
