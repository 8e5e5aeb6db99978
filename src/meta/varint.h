/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Numbers of 7 bits per byte, low ones first, for records: most are small. */
#ifndef WEFT_META_VARINT_H
#define WEFT_META_VARINT_H

#include "base/buf.h"
#include "weft_proto.h"

struct cursor {
	const uint8_t *p, *end;
	bool bad;
};

static inline void put_varint(struct buf *b, uint64_t v)
{
	uint8_t t[10];
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		t[n++] = (uint8_t)(v | 0x80);
	t[n++] = (uint8_t)v;
	buf_add(b, t, n);
}

static inline uint64_t get_varint(struct cursor *c)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && c->p < c->end; shift += 7) {
		uint8_t byte = *c->p++;

		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return v;
	}
	c->bad = true;
	return 0;
}

static inline uint32_t get_varint32(struct cursor *c)
{
	uint64_t v = get_varint(c);

	c->bad |= v > UINT32_MAX;
	return (uint32_t)v;
}

static inline const uint8_t *get_bytes(struct cursor *c, size_t n)
{
	const uint8_t *p = c->p;

	if (c->bad || n > (size_t)(c->end - c->p)) {
		c->bad = true;
		return NULL;
	}
	c->p += n;
	return p;
}

/* Seconds zigzag: before and after 1970; any 64-bit value. */
static inline void put_time(struct buf *b, const struct wp_time *t)
{
	put_varint(b, ((uint64_t)t->sec << 1) ^ (uint64_t)(t->sec >> 63));
	put_varint(b, t->nsec);
}

static inline struct wp_time get_time(struct cursor *c)
{
	uint64_t z = get_varint(c);
	struct wp_time t;

	t.sec = (int64_t)(z >> 1) ^ -(int64_t)(z & 1);
	t.nsec = get_varint32(c);
	return t;
}

#endif
