/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Every struct and message: what was encoded is what is decoded, encoding it again gives the same
 * bytes, too small a buffer or scratch is an error and never an overrun.
 */
#include "test/unit/proto/common.h"

#define ROUNDS		24
#define SMALL		512	/* encodings up to here are tried with every smaller buffer */

static bool same_bytes(struct bench *b)
{
	size_t scratch_len = wp_scratch_bound(b->len);
	void *scratch = malloc(scratch_len);
	uint8_t *again = malloc(b->len + 1);
	struct wp_enc e;
	bool same = false;

	if (!scratch || !again)
		bail_out("out of memory");
	wp_enc_init(&e, again, b->len);
	if (!b->type->decode(b->wire, b->len, scratch, scratch_len, b->out)) {
		b->type->enc(&e, b->out);
		same = !e.err && e.len == b->len && !memcmp(again, b->wire, b->len);
	}
	free(again);
	free(scratch);
	return same;
}

static bool small_buffers(struct bench *b)
{
	for (uint32_t cap = 0; cap < b->len; cap++) {
		uint8_t *buf = malloc(cap ? cap : 1);
		struct wp_enc e;

		wp_enc_init(&e, buf, cap);
		b->type->enc(&e, b->in);
		free(buf);
		if (!ok_quiet(e.err == -EMSGSIZE && e.len <= cap, "%s: buffer of %u bytes gives %d",
			      b->type->name, cap, e.err))
			return false;
	}
	return true;
}

/* Scratch of every size up to the bound: -ENOMEM until it is enough, then success. */
static bool small_scratch(struct bench *b)
{
	size_t enough = wp_scratch_bound(b->len);
	bool fits = false, same;

	for (size_t n = 0; n <= enough; n += 8) {
		int rc = bench_decode(b, b->wire, b->len, n, &same);

		if (!ok_quiet(rc == 0 ? same : rc == -ENOMEM && !fits, "%s: scratch of %zu gives %d",
			      b->type->name, n, rc))
			return false;
		fits = !rc;
	}
	return ok_quiet(fits, "%s: the scratch bound is enough", b->type->name);
}

static bool one(struct bench *b, enum wp_fill_mode mode, uint64_t seed)
{
	const char *name = b->type->name;
	bool same;
	int rc;

	rc = bench_decode(b, b->wire, b->len, wp_scratch_bound(b->len), &same);
	if (!ok_quiet(!rc && same, "%s: mode %d seed %llu: decodes to the same (%d)", name, (int)mode,
		      (unsigned long long)seed, rc))
		return false;
	if (!ok_quiet(same_bytes(b), "%s: encodes to the same bytes", name))
		return false;
	if (!ok_quiet(b->len >= b->type->min, "%s: %u is at least the minimum", name, b->len))
		return false;
	return b->len > SMALL || (small_buffers(b) && small_scratch(b));
}

int main(void)
{
	struct bench b;

	bench_init(&b);
	for (uint32_t t = 0; t < wp_test_types_n; t++) {
		bool good = true;

		for (uint64_t i = 0; good && i < ROUNDS; i++)
			for (int mode = 0; good && mode < WP_FILL_MODES; mode++)
				good = bench_make(&b, &wp_test_types[t], (enum wp_fill_mode)mode, i) &&
				       one(&b, (enum wp_fill_mode)mode, i);
		ok(good, "%s", wp_test_types[t].name);
	}
	bench_done(&b);
	return done_testing();
}
