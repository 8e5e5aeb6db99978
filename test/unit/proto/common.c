/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the tests of the codec share. See common.h.
 */
#include "test/unit/proto/common.h"

#define STRUCT_SIZE 4096u

static void *need(void *p)
{
	if (!p)
		bail_out("out of memory");
	return p;
}

void bench_init(struct bench *b)
{
	b->arena = need(malloc(ARENA_SIZE));
	b->wire = need(malloc(WIRE_SIZE));
	b->in = need(calloc(1, STRUCT_SIZE));
	b->out = need(calloc(1, STRUCT_SIZE));
}

void bench_done(struct bench *b)
{
	free(b->arena);
	free(b->wire);
	free(b->in);
	free(b->out);
}

bool bench_make(struct bench *b, const struct wp_test_type *type, enum wp_fill_mode mode,
		uint64_t seed)
{
	struct wp_enc e;

	if (type->size > STRUCT_SIZE)
		bail_out("STRUCT_SIZE is too small");
	b->type = type;
	wp_fill_init(&b->fill, seed, mode, b->arena, ARENA_SIZE);
	type->fill(&b->fill, b->in);
	wp_enc_init(&e, b->wire, WIRE_SIZE);
	type->enc(&e, b->in);
	b->len = e.len;
	return ok_quiet(!e.err, "%s: encodes (%d)", type->name, e.err);
}

int bench_decode(struct bench *b, const uint8_t *wire, size_t len, size_t scratch_len, bool *same)
{
	uint8_t *copy = need(malloc(len ? len : 1));
	void *scratch = need(malloc(scratch_len ? scratch_len : 1));
	int rc;

	if (len)
		memcpy(copy, wire, len);
	rc = b->type->decode(copy, len, scratch, scratch_len, b->out);
	if (same)
		*same = !rc && b->type->equal(b->in, b->out);
	free(scratch);
	free(copy);
	return rc;
}

uint32_t bench_fixed_len(struct bench *b)
{
	uint32_t *has = (void *)((uint8_t *)b->in + b->type->has_at), saved = *has;
	struct wp_enc e;
	uint8_t *buf = need(malloc(WIRE_SIZE));

	*has = 0;
	wp_enc_init(&e, buf, WIRE_SIZE);
	b->type->enc(&e, b->in);
	*has = saved;
	free(buf);
	return e.len - 4;
}
