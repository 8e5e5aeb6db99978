/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Cursors over wire bytes: struct wp_enc writes, struct wp_dec reads. All access to bytes of the
 * wire goes through them.
 *
 * Invariants: a cursor never leaves its buffer; the first error sticks and turns all later calls
 * into no-ops that return zero, so callers check once, at the end. Errors are negative errnos:
 * -EBADMSG malformed input, -ENOMEM scratch exhausted, -EMSGSIZE output full, -EINVAL a value
 * above the maximum of its field. No allocation, no libc beyond memcpy and memset.
 *
 * Decoded strings and byte ranges point into the input, decoded arrays into the scratch buffer:
 * both must outlive the decoded struct.
 */
#ifndef WEFT_PROTO_CODEC_H
#define WEFT_PROTO_CODEC_H

#include "proto/types.h"

/* Not NUL-terminated. p may be NULL when len is 0. */
struct wp_str {
	const char *p;
	uint32_t len;
};

struct wp_bytes {
	const uint8_t *p;
	uint32_t len;
};

struct wp_uuid {
	uint8_t b[16];
};

struct wp_enc {
	uint8_t *p;	/* the buffer */
	uint32_t len;	/* bytes written */
	uint32_t cap;
	int err;
};

struct wp_dec {
	const uint8_t *p;	/* next byte */
	const uint8_t *end;	/* of the innermost block being decoded */
	uint8_t *scratch;	/* next free byte, aligned to 8 */
	uint8_t *scratch_end;
	int err;
};

struct wp_hdr;

/* For printf: printf("%.*s", WP_STR_ARG(s)). */
#define WP_STR_ARG(s) (int)(s).len, (s).p ? (s).p : ""

/* ---- out of line: codec.c */

void wp_dec_init(struct wp_dec *d, const void *buf, size_t len, void *scratch, size_t scratch_len);
/* 0 when all input was consumed without error. */
WP_MUST_CHECK int wp_dec_finish(struct wp_dec *d);
void *wp_dec_array(struct wp_dec *d, uint32_t max, uint32_t elem_min, size_t elem_size,
		   uint32_t *ret_n);
WP_MUST_CHECK int wp_dec_tail_skip(struct wp_dec *d);
/* Refuses frames of another protocol and lengths above the limits: -EBADMSG. */
WP_MUST_CHECK int wp_hdr_check(const struct wp_hdr *hdr);

/* ---- encoding */

static inline void wp_enc_init(struct wp_enc *e, void *buf, uint32_t cap)
{
	e->p = (uint8_t *)buf;
	e->len = 0;
	e->cap = cap;
	e->err = 0;
}

static inline void wp_enc_fail(struct wp_enc *e, int err)
{
	if (!e->err)
		e->err = err;
}

/* Room for n bytes at the cursor, which moves past them; NULL sets the error. */
static inline uint8_t *wp_enc_room(struct wp_enc *e, uint32_t n)
{
	uint8_t *at;

	if (e->err || n > e->cap - e->len) {
		wp_enc_fail(e, -EMSGSIZE);
		return NULL;
	}
	at = e->p + e->len;
	e->len += n;
	return at;
}

static inline void wp_put_le16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void wp_put_le32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

static inline void wp_put_le64(uint8_t *p, uint64_t v)
{
	wp_put_le32(p, (uint32_t)v);
	wp_put_le32(p + 4, (uint32_t)(v >> 32));
}

static inline void wp_enc_u8(struct wp_enc *e, uint8_t v)
{
	uint8_t *at = wp_enc_room(e, 1);

	if (at)
		*at = v;
}

static inline void wp_enc_u16(struct wp_enc *e, uint16_t v)
{
	uint8_t *at = wp_enc_room(e, 2);

	if (at)
		wp_put_le16(at, v);
}

static inline void wp_enc_u32(struct wp_enc *e, uint32_t v)
{
	uint8_t *at = wp_enc_room(e, 4);

	if (at)
		wp_put_le32(at, v);
}

static inline void wp_enc_u64(struct wp_enc *e, uint64_t v)
{
	uint8_t *at = wp_enc_room(e, 8);

	if (at)
		wp_put_le64(at, v);
}

static inline void wp_enc_raw(struct wp_enc *e, const void *p, uint32_t n)
{
	uint8_t *at = wp_enc_room(e, n);

	if (at && n)
		memcpy(at, p, n);
}

static inline void wp_enc_count(struct wp_enc *e, uint32_t n, uint32_t max)
{
	if (n > max)
		wp_enc_fail(e, -EINVAL);
	wp_enc_u32(e, n);
}

static inline void wp_enc_str(struct wp_enc *e, struct wp_str s, uint32_t max)
{
	wp_enc_count(e, s.len, max);
	wp_enc_raw(e, s.p, s.len);
}

static inline void wp_enc_bytes(struct wp_enc *e, struct wp_bytes b, uint32_t max)
{
	wp_enc_count(e, b.len, max);
	wp_enc_raw(e, b.p, b.len);
}

static inline void wp_enc_uuid(struct wp_enc *e, const struct wp_uuid *u)
{
	wp_enc_raw(e, u->b, sizeof(u->b));
}

/* Starts a block that its length precedes; the result goes to wp_enc_block_end(). */
static inline uint32_t wp_enc_block(struct wp_enc *e)
{
	wp_enc_u32(e, 0);
	return e->len;
}

static inline void wp_enc_block_end(struct wp_enc *e, uint32_t start)
{
	if (!e->err)
		wp_put_le32(e->p + start - 4, e->len - start);
}

/* ---- decoding */

static inline void wp_dec_fail(struct wp_dec *d, int err)
{
	if (!d->err)
		d->err = err;
}

static inline size_t wp_dec_left(const struct wp_dec *d)
{
	return (size_t)(d->end - d->p);
}

static inline bool wp_dec_more(const struct wp_dec *d)
{
	return !d->err && d->p != d->end;
}

/* The next n bytes, which the cursor passes; NULL sets the error. */
static inline const uint8_t *wp_dec_take(struct wp_dec *d, uint32_t n)
{
	const uint8_t *at = d->p;

	if (d->err || n > wp_dec_left(d)) {
		wp_dec_fail(d, -EBADMSG);
		return NULL;
	}
	d->p += n;
	return at;
}

static inline uint16_t wp_get_le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t wp_get_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t wp_get_le64(const uint8_t *p)
{
	return (uint64_t)wp_get_le32(p) | (uint64_t)wp_get_le32(p + 4) << 32;
}

static inline uint8_t wp_dec_u8(struct wp_dec *d)
{
	const uint8_t *at = wp_dec_take(d, 1);

	return at ? *at : 0;
}

static inline uint16_t wp_dec_u16(struct wp_dec *d)
{
	const uint8_t *at = wp_dec_take(d, 2);

	return at ? wp_get_le16(at) : 0;
}

static inline uint32_t wp_dec_u32(struct wp_dec *d)
{
	const uint8_t *at = wp_dec_take(d, 4);

	return at ? wp_get_le32(at) : 0;
}

static inline uint64_t wp_dec_u64(struct wp_dec *d)
{
	const uint8_t *at = wp_dec_take(d, 8);

	return at ? wp_get_le64(at) : 0;
}

static inline struct wp_bytes wp_dec_bytes(struct wp_dec *d, uint32_t max)
{
	struct wp_bytes b = { NULL, 0 };
	uint32_t len = wp_dec_u32(d);

	if (len > max)
		wp_dec_fail(d, -EBADMSG);
	b.p = wp_dec_take(d, len);
	b.len = b.p ? len : 0;
	return b;
}

static inline struct wp_str wp_dec_str(struct wp_dec *d, uint32_t max)
{
	struct wp_bytes b = wp_dec_bytes(d, max);
	struct wp_str s = { (const char *)b.p, b.len };

	return s;
}

static inline void wp_dec_uuid(struct wp_dec *d, struct wp_uuid *u)
{
	const uint8_t *at = wp_dec_take(d, sizeof(u->b));

	if (at)
		memcpy(u->b, at, sizeof(u->b));
}

/*
 * Enters a block that its length precedes: until wp_dec_block_end() the cursor ends with the
 * block. Returns the end of the surrounding one.
 */
static inline const uint8_t *wp_dec_block(struct wp_dec *d)
{
	const uint8_t *outer = d->end;
	uint32_t len = wp_dec_u32(d);

	if (!d->err && len > wp_dec_left(d))
		wp_dec_fail(d, -EBADMSG);
	if (!d->err)
		d->end = d->p + len;
	return outer;
}

/* A block must have been consumed: nothing hides behind a value. */
static inline void wp_dec_block_end(struct wp_dec *d, const uint8_t *outer)
{
	if (d->p != d->end)
		wp_dec_fail(d, -EBADMSG);
	d->end = outer;
}

static inline void wp_dec_skip(struct wp_dec *d)
{
	if (!d->err)
		d->p = d->end;
}

/* A repeated optional field would leave two owners of one meaning: refused. */
static inline void wp_dec_once(struct wp_dec *d, uint32_t *has, uint32_t bit)
{
	if (*has & bit)
		wp_dec_fail(d, -EBADMSG);
	*has |= bit;
}

/* ---- values */

static inline bool wp_str_eq(struct wp_str a, struct wp_str b)
{
	return a.len == b.len && (!a.len || !memcmp(a.p, b.p, a.len));
}

static inline bool wp_bytes_eq(struct wp_bytes a, struct wp_bytes b)
{
	return a.len == b.len && (!a.len || !memcmp(a.p, b.p, a.len));
}

static inline bool wp_uuid_eq(const struct wp_uuid *a, const struct wp_uuid *b)
{
	return !memcmp(a->b, b->b, sizeof(a->b));
}

static inline bool wp_uuid_is_zero(const struct wp_uuid *u)
{
	static const struct wp_uuid zero;

	return wp_uuid_eq(u, &zero);
}

static inline struct wp_str wp_str_n(const char *p, uint32_t len)
{
	struct wp_str s = { p, len };

	return s;
}

/* NULL is the empty string. */
static inline struct wp_str wp_str(const char *p)
{
	return wp_str_n(p, p ? (uint32_t)strlen(p) : 0);
}

static inline struct wp_bytes wp_bytes(const void *p, uint32_t len)
{
	struct wp_bytes b = { (const uint8_t *)p, len };

	return b;
}

/* Copies with a terminating NUL; -ENAMETOOLONG leaves dst empty. cap must not be 0. */
WP_MUST_CHECK static inline int wp_str_copy(char *dst, size_t cap, struct wp_str s)
{
	dst[0] = '\0';
	if (s.len >= cap)
		return -ENAMETOOLONG;
	if (s.len)
		memcpy(dst, s.p, s.len);
	dst[s.len] = '\0';
	return 0;
}

#endif
