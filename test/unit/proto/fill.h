/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Random field contents for the generated wp_<x>_fill(): a seeded generator and a bump arena that
 * owns what the filled struct points to. The same seed gives the same contents.
 */
#ifndef WEFT_TEST_PROTO_FILL_H
#define WEFT_TEST_PROTO_FILL_H

#include "proto/codec.h"

enum wp_fill_mode {
	WP_FILL_EMPTY,	/* zeroes, empty strings and arrays, no optional fields */
	WP_FILL_RANDOM,
	WP_FILL_EDGE,	/* extreme numbers, strings of their full length, all optional fields */
	WP_FILL_MODES,
};

struct wp_fill {
	uint64_t state;
	enum wp_fill_mode mode;
	uint8_t *arena;
	size_t cap, used;
};

void wp_fill_init(struct wp_fill *f, uint64_t seed, enum wp_fill_mode mode, void *arena,
		  size_t cap);
uint64_t wp_fill_next(struct wp_fill *f);	/* any 64 bits, in every mode */
uint64_t wp_fill_int(struct wp_fill *f);
bool wp_fill_flip(struct wp_fill *f);
void wp_fill_uuid(struct wp_fill *f, struct wp_uuid *u);
struct wp_str wp_fill_str(struct wp_fill *f, uint32_t max);
struct wp_bytes wp_fill_bytes(struct wp_fill *f, uint32_t max);
void *wp_fill_array(struct wp_fill *f, uint32_t max, size_t size, uint32_t *ret_n);

#endif
