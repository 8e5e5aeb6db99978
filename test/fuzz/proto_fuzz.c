/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Fuzz target of the decoders. Input: u16 opcode, its top bit set for the reply (0 is the frame
 * header), then the body. A body that decodes must encode to one that decodes to the same.
 */
#include <stdlib.h>

#include "weft_proto_test.h"

#define REPLY 0x8000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct wp_test_type *find_type(uint16_t selector)
{
	for (uint32_t i = 0; i < wp_test_types_n; i++) {
		const struct wp_test_type *t = &wp_test_types[i];

		if (!selector && !strcmp(t->name, "hdr"))
			return t;
		if (t->is_body && t->op == (selector & ~REPLY) && t->is_reply == !!(selector & REPLY))
			return t;
	}
	return NULL;
}

struct decoded {
	void *m;
	void *scratch;
};

static int decode(const struct wp_test_type *t, const uint8_t *body, size_t len, struct decoded *d)
{
	size_t scratch_len = wp_scratch_bound(len);
	int rc;

	d->m = malloc(t->size);
	d->scratch = malloc(scratch_len);
	if (!d->m || !d->scratch)
		abort();
	rc = t->decode(body, len, d->scratch, scratch_len, d->m);
	/* The scratch bound was kept, so that nothing but the input can be wrong. */
	if (rc && rc != -EBADMSG)
		abort();
	return rc;
}

static void forget(struct decoded *d)
{
	free(d->m);
	free(d->scratch);
}

static void encode_again(const struct wp_test_type *t, const struct decoded *first, size_t len)
{
	uint32_t cap = (uint32_t)len + 4;	/* the optional part may have been missing */
	uint8_t *wire = malloc(cap), *wire2 = malloc(cap);
	struct decoded second;
	struct wp_enc e, e2;

	if (!wire || !wire2)
		abort();
	wp_enc_init(&e, wire, cap);
	t->enc(&e, first->m);
	if (e.err || decode(t, wire, e.len, &second) || !t->equal(first->m, second.m))
		abort();
	wp_enc_init(&e2, wire2, cap);
	t->enc(&e2, second.m);
	if (e2.err || e2.len != e.len || memcmp(wire, wire2, e.len))
		abort();
	forget(&second);
	free(wire2);
	free(wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct wp_test_type *t;
	struct decoded d;

	if (size < 2 || size > WP_BODY_MAX)
		return 0;
	t = find_type(wp_get_le16(data));
	if (!t)
		return 0;
	if (!decode(t, data + 2, size - 2, &d))
		encode_again(t, &d, size - 2);
	forget(&d);
	return 0;
}
