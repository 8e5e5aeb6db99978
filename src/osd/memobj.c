/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "osd/memobj.h"

#include "osd/iovwalk.h"
#include "proto/status.h"

#define CHUNK_BLOCKS 16u
#define CHUNK_BYTES (CHUNK_BLOCKS * BLOCK)

struct block {
	uint32_t refs;
	uint32_t crc; /* over the whole block; behind the end of the object it is zero */
	uint8_t data[WP_BLOCK_SIZE];
};

struct chunk {
	struct htab_node node;
	uint64_t number;
	struct block *block[CHUNK_BLOCKS]; /* NULL: a hole */
};

/* ---- blocks -------------------------------------------------------------------------------------------------------------------------- */

static struct chunk *chunk_find(const struct memobj *o, uint64_t number)
{
	struct htab_node *n;

	htab_each_match(n, &o->chunks, hash_u64(number))
		if (container_of(n, struct chunk, node)->number == number)
			return container_of(n, struct chunk, node);
	return NULL;
}

static struct chunk *chunk_get(struct memobj *o, uint64_t number)
{
	struct chunk *c = chunk_find(o, number);

	if (c)
		return c;
	c = NEW(struct chunk);
	c->number = number;
	htab_add(&o->chunks, &c->node, hash_u64(number));
	return c;
}

static struct block *block_find(const struct memobj *o, uint64_t b)
{
	struct chunk *c = chunk_find(o, b / CHUNK_BLOCKS);

	return c ? c->block[b % CHUNK_BLOCKS] : NULL;
}

static void block_put(struct block *b)
{
	if (--b->refs == 0)
		free(b);
}

/* A block of o's own, which may be changed: made, or copied from the one it shares. NULL: no memory. */
static struct block *block_own(struct memobj *o, uint64_t number)
{
	struct chunk *c = chunk_get(o, number / CHUNK_BLOCKS);
	struct block **slot = &c->block[number % CHUNK_BLOCKS], *old = *slot, *b;

	if (old && old->refs == 1)
		return old;
	b = malloc(sizeof(*b));
	if (!b)
		return NULL;
	b->refs = 1;
	if (old) {
		b->crc = old->crc;
		memcpy(b->data, old->data, BLOCK);
	} else {
		b->crc = zero_block_crc();
		memset(b->data, 0, BLOCK);
	}
	if (old)
		block_put(old);
	else
		o->blocks++;
	*slot = b;
	return b;
}

static void block_drop(struct memobj *o, struct chunk *c, unsigned i)
{
	if (!c->block[i])
		return;
	block_put(c->block[i]);
	c->block[i] = NULL;
	o->blocks--;
}

static bool is_intact(const struct block *b) { return crc32c(0, b->data, BLOCK) == b->crc; }

/* ---- objects --------------------------------------------------------------------------------------------------------------------------- */

struct memobj *memobj_new(void)
{
	struct memobj *o = NEW(struct memobj);

	htab_init(&o->chunks);
	return o;
}

static bool chunk_clone(struct htab_node *n, void *arg)
{
	struct chunk *from = container_of(n, struct chunk, node), *to = NEW(struct chunk);
	struct memobj *o = arg;

	to->number = from->number;
	for (unsigned i = 0; i < CHUNK_BLOCKS; i++) {
		to->block[i] = from->block[i];
		if (to->block[i])
			to->block[i]->refs++;
	}
	htab_add(&o->chunks, &to->node, n->hash);
	return true;
}

struct memobj *memobj_clone(const struct memobj *o)
{
	struct memobj *c = memobj_new();

	htab_each((struct htab *)(uintptr_t)&o->chunks, chunk_clone, c);
	c->size = o->size;
	c->version = o->version;
	c->mtime_ns = o->mtime_ns;
	c->blocks = o->blocks;
	return c;
}

static bool chunk_free(struct htab_node *n, void *arg)
{
	struct chunk *c = container_of(n, struct chunk, node);

	for (unsigned i = 0; i < CHUNK_BLOCKS; i++)
		if (c->block[i])
			block_put(c->block[i]);
	free(c);
	return true;
}

void memobj_free(struct memobj *o)
{
	if (!o)
		return;
	htab_each(&o->chunks, chunk_free, NULL);
	htab_done(&o->chunks);
	free(o);
}

uint64_t memobj_missing(const struct memobj *o, uint64_t offset, uint64_t length)
{
	uint64_t n = 0, end = length ? (offset + length - 1) / BLOCK + 1 : 0;

	for (uint64_t b = offset / BLOCK; b < end; b++)
		n += block_find(o, b) == NULL;
	return n;
}

/* ---- reading and writing ----------------------------------------------------------------------------------------------------------------- */

static uint64_t iov_bytes(const struct iovec *iov, int n)
{
	uint64_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

/* Everything that can fail, before anything changes. */
static int write_prepare(struct memobj *o, uint64_t offset, uint64_t end, struct iovwalk check, const uint32_t *crcs)
{
	uint64_t n;

	for (uint64_t at = offset, i = 0; crcs && at < end; at += n, i++) {
		n = in_block(at, end);
		if (iovwalk_crc(&check, 0, n) != crcs[i])
			return -WEFT_EBADCRC;
	}
	/* A block that does not match must not be blessed by a write to a part of it. */
	for (uint64_t at = offset; at < end; at += n) {
		const struct block *b;

		n = in_block(at, end);
		b = n < BLOCK ? block_find(o, at / BLOCK) : NULL;
		if (b && !is_intact(b))
			return -WEFT_ECORRUPT;
	}
	for (uint64_t b = offset / BLOCK; offset < end && b <= (end - 1) / BLOCK; b++)
		if (!block_own(o, b))
			return -ENOMEM;
	return 0;
}

int memobj_write(struct memobj *o, uint64_t offset, const struct iovec *iov, int iov_n, const uint32_t *crcs)
{
	uint64_t end = offset + iov_bytes(iov, iov_n), n;
	struct iovwalk w = { iov, iov_n, 0 };
	int r = write_prepare(o, offset, end, w, crcs);

	if (r < 0)
		return r;
	for (uint64_t at = offset, i = 0; at < end; at += n, i++) {
		struct block *b = block_own(o, at / BLOCK);

		n = in_block(at, end);
		iovwalk_to(&w, b->data + at % BLOCK, n);
		b->crc = n == BLOCK && crcs ? crcs[i] : crc32c(0, b->data, BLOCK);
	}
	o->size = MAX(o->size, end);
	return 0;
}

int memobj_read(const struct memobj *o, uint64_t offset, uint64_t length, const struct iovec *iov, int iov_n, uint32_t *crcs,
		uint64_t *ret)
{
	struct iovwalk w = { iov, iov_n, 0 };
	uint64_t end = offset >= o->size ? offset : offset + MIN(length, o->size - offset), n;

	for (uint64_t at = offset, i = 0; at < end; at += n, i++) {
		const struct block *b = block_find(o, at / BLOCK);

		n = in_block(at, end);
		if (b && !is_intact(b))
			return -WEFT_ECORRUPT;
		iovwalk_from(&w, b ? b->data + at % BLOCK : NULL, n);
		if (crcs)
			crcs[i] = !b ? crc32c_zeros(0, n) : n == BLOCK ? b->crc : crc32c(0, b->data + at % BLOCK, n);
	}
	*ret = end - offset;
	return 0;
}

/* ---- ranges ------------------------------------------------------------------------------------------------------------------------------- */

struct zeroing {
	struct memobj *o;
	uint64_t begin, end;
	bool keep;
	int err;
};

static int zero_part(struct memobj *o, uint64_t at, uint64_t n)
{
	struct block *b = block_find(o, at / BLOCK);

	if (!b)
		return 0;
	if (!is_intact(b))
		return -WEFT_ECORRUPT;
	b = block_own(o, at / BLOCK);
	if (!b)
		return -ENOMEM;
	memset(b->data + at % BLOCK, 0, n);
	b->crc = crc32c(0, b->data, BLOCK);
	return 0;
}

static bool zero_chunk(struct htab_node *node, void *arg)
{
	struct chunk *c = container_of(node, struct chunk, node);
	struct zeroing *z = arg;
	uint64_t begin = MAX(z->begin, c->number * CHUNK_BYTES), end = MIN(z->end, (c->number + 1) * CHUNK_BYTES), n;

	for (uint64_t at = begin; at < end && !z->err; at += n) {
		unsigned i = (unsigned)(at / BLOCK % CHUNK_BLOCKS);

		n = in_block(at, end);
		if (!c->block[i])
			continue;
		if (n < BLOCK) {
			z->err = zero_part(z->o, at, n);
			continue;
		}
		block_drop(z->o, c, i);
		if (z->keep && !block_own(z->o, at / BLOCK))
			z->err = -ENOMEM;
	}
	return !z->err;
}

int memobj_zero(struct memobj *o, uint64_t offset, uint64_t length, bool keep)
{
	struct zeroing z = { .o = o, .begin = offset, .end = offset + length, .keep = keep };
	uint64_t first = offset / CHUNK_BYTES, last = length ? (offset + length - 1) / CHUNK_BYTES : 0;

	if (!length)
		return 0;
	if (last - first >= o->chunks.count) { /* a wide range: those that exist, not those that could */
		htab_each(&o->chunks, zero_chunk, &z);
		return z.err;
	}
	for (uint64_t i = first; i <= last && !z.err; i++) {
		struct chunk *c = chunk_find(o, i);

		if (c)
			(void)zero_chunk(&c->node, &z);
	}
	return z.err;
}

int memobj_truncate(struct memobj *o, uint64_t size)
{
	int r = 0; /* when it grows: blocks allocated behind the end are zero already */

	if (size < o->size && size % BLOCK)
		r = zero_part(o, size, BLOCK - size % BLOCK);
	if (size < o->size && !r)
		r = memobj_zero(o, round_up_pow2(size, BLOCK), INT64_MAX, false);
	if (!r)
		o->size = size;
	return r;
}

int memobj_allocate(struct memobj *o, uint64_t offset, uint64_t length)
{
	for (uint64_t b = offset / BLOCK; length && b <= (offset + length - 1) / BLOCK; b++)
		if (!block_own(o, b))
			return -ENOMEM;
	return 0;
}

struct search {
	uint64_t from, found;
};

static bool lowest_chunk(struct htab_node *n, void *arg)
{
	struct chunk *c = container_of(n, struct chunk, node);
	struct search *s = arg;

	for (unsigned i = 0; i < CHUNK_BLOCKS; i++)
		if (c->block[i] && c->number >= s->from)
			s->found = MIN(s->found, c->number);
	return true;
}

/* Where data begins, at or behind at; size if there is none. */
static uint64_t next_data(const struct memobj *o, uint64_t at)
{
	while (at < o->size) {
		struct chunk *c = chunk_find(o, at / CHUNK_BYTES);
		struct search s = { at / CHUNK_BYTES + 1, UINT64_MAX };

		if (c) {
			for (uint64_t end = (c->number + 1) * CHUNK_BYTES; at < end; at = round_down_pow2(at, BLOCK) + BLOCK)
				if (c->block[at / BLOCK % CHUNK_BLOCKS])
					return at;
			continue;
		}
		htab_each((struct htab *)(uintptr_t)&o->chunks, lowest_chunk, &s);
		if (s.found == UINT64_MAX)
			return o->size;
		at = s.found * CHUNK_BYTES;
	}
	return o->size;
}

int memobj_seek(const struct memobj *o, uint64_t offset, bool hole, uint64_t *ret)
{
	uint64_t at = offset;

	if (offset >= o->size)
		return -ENXIO;
	if (hole) {
		while (at < o->size && block_find(o, at / BLOCK))
			at = round_down_pow2(at, BLOCK) + BLOCK;
		*ret = MIN(at, o->size);
		return 0;
	}
	at = next_data(o, offset);
	if (at >= o->size)
		return -ENXIO;
	*ret = at;
	return 0;
}

bool memobj_corrupt(struct memobj *o, uint64_t offset)
{
	struct block *b = block_find(o, offset / BLOCK);

	if (b)
		b->data[offset % BLOCK] ^= 1;
	return b != NULL;
}
