/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the tests of the codec share: buffers, and decoding from memory of the exact size, so that
 * AddressSanitizer sees a read of one byte too many.
 */
#ifndef WEFT_TEST_PROTO_COMMON_H
#define WEFT_TEST_PROTO_COMMON_H

#include "test/tap.h"
#include "weft_proto_test.h"

#define ARENA_SIZE	(1u << 20)
#define WIRE_SIZE	(2u << 20)

struct bench {
	const struct wp_test_type *type;
	struct wp_fill fill;
	void *arena;
	void *in;		/* the struct that was encoded */
	void *out;		/* the struct that was decoded */
	uint8_t *wire;
	uint32_t len;
};

void bench_init(struct bench *b);
void bench_done(struct bench *b);
/* Fills and encodes; false (after a failed check) when the encoder refuses. */
bool bench_make(struct bench *b, const struct wp_test_type *type, enum wp_fill_mode mode,
		uint64_t seed);
/* Decodes a copy of exactly len bytes with scratch_len bytes of scratch. What b->out points to is
 * gone by then, unless same is given: *same says whether it equalled b->in. */
int bench_decode(struct bench *b, const uint8_t *wire, size_t len, size_t scratch_len, bool *same);
/* Length of the encoding before the optional part of the message. */
uint32_t bench_fixed_len(struct bench *b);

#endif
