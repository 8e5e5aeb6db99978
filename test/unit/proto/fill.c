/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Random field contents. See fill.h.
 */
#include "test/unit/proto/fill.h"

#define LONG_ONE_IN	32	/* strings of any length, instead of short ones */
#define SHORT_LEN	24
#define MANY_ELEMS	12

void wp_fill_init(struct wp_fill *f, uint64_t seed, enum wp_fill_mode mode, void *arena,
		  size_t cap)
{
	f->state = seed;
	f->mode = mode;
	f->arena = arena;
	f->cap = cap;
	f->used = 0;
}

/* splitmix64 */
uint64_t wp_fill_next(struct wp_fill *f)
{
	uint64_t z = f->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint32_t below(struct wp_fill *f, uint32_t n)
{
	return (uint32_t)(wp_fill_next(f) % n);
}

uint64_t wp_fill_int(struct wp_fill *f)
{
	static const uint64_t edges[] = {
		0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
		INT64_MAX, (uint64_t)INT64_MIN, UINT64_MAX,
	};

	switch (f->mode) {
	case WP_FILL_EDGE:
		return edges[below(f, sizeof(edges) / sizeof(edges[0]))];
	case WP_FILL_RANDOM:
		return wp_fill_next(f);
	case WP_FILL_EMPTY:
	case WP_FILL_MODES:
		break;
	}
	return 0;
}

bool wp_fill_flip(struct wp_fill *f)
{
	return f->mode == WP_FILL_EDGE || (f->mode == WP_FILL_RANDOM && below(f, 2));
}

static void *take(struct wp_fill *f, size_t n)
{
	size_t at = (f->used + 7) & ~(size_t)7;

	if (at > f->cap || n > f->cap - at)
		return NULL;
	f->used = at + n;
	return f->arena + at;
}

void wp_fill_uuid(struct wp_fill *f, struct wp_uuid *u)
{
	for (size_t i = 0; i < sizeof(u->b); i++)
		u->b[i] = (uint8_t)wp_fill_int(f);
}

struct wp_bytes wp_fill_bytes(struct wp_fill *f, uint32_t max)
{
	struct wp_bytes b = { NULL, 0 };
	uint32_t len = max;
	uint8_t *at;

	if (f->mode == WP_FILL_EMPTY)
		return b;
	if (f->mode == WP_FILL_RANDOM)
		len = below(f, 1 + (max > SHORT_LEN && below(f, LONG_ONE_IN) ? SHORT_LEN : max));
	at = take(f, len);
	if (!at)
		return b;
	for (uint32_t i = 0; i < len; i++)
		at[i] = (uint8_t)wp_fill_next(f);
	b.p = at;
	b.len = len;
	return b;
}

struct wp_str wp_fill_str(struct wp_fill *f, uint32_t max)
{
	struct wp_bytes b = wp_fill_bytes(f, max);
	struct wp_str s = { (const char *)b.p, b.len };

	return s;
}

void *wp_fill_array(struct wp_fill *f, uint32_t max, size_t size, uint32_t *ret_n)
{
	uint32_t n = 0;
	void *at;

	if (f->mode == WP_FILL_RANDOM)
		n = below(f, below(f, 4) ? 3 : MANY_ELEMS);
	else if (f->mode == WP_FILL_EDGE)
		n = 2;
	if (n > max)
		n = max;
	at = n ? take(f, n * size) : NULL;
	*ret_n = at ? n : 0;
	return at;
}
