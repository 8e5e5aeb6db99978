/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Every struct and message, damaged: cut at every byte, and with forged numbers at every offset,
 * which covers each length and count. A decoder answers cleanly and reads nothing outside (run
 * under AddressSanitizer to see it); a message cut before its optional part is an older one.
 */
#include "test/unit/proto/common.h"

#define ROUNDS	2
#define LARGE	1200	/* longer encodings are damaged in their first and last bytes only */

static const uint32_t forged[] = {
	0, 1, 0x7fffffff, 0x80000000, 0xfffffff8, 0xfffffffc, 0xffffffff, WP_NAME_MAX + 1,
	WP_GROUPS_MAX, WP_GROUPS_MAX + 1, WP_TARGETS_MAX, 1u << 30, 1u << 29, 1u << 28,
};

static uint32_t next_offset(uint32_t at, uint32_t len)
{
	return len > LARGE && at == LARGE / 2 ? len - LARGE / 2 : at + 1;
}

static bool truncated(struct bench *b)
{
	uint32_t older = b->type->is_body ? bench_fixed_len(b) : UINT32_MAX;

	for (uint32_t n = 0; n < b->len; n = next_offset(n, b->len)) {
		int rc = bench_decode(b, b->wire, n, wp_scratch_bound(b->len), NULL);
		int want = n == older ? 0 : -EBADMSG;

		if (!ok_quiet(rc == want, "%s: %u of %u bytes give %d, not %d", b->type->name, n,
			      b->len, rc, want))
			return false;
	}
	return true;
}

static bool forged_numbers(struct bench *b)
{
	uint8_t saved[4];

	for (uint32_t at = 0; at + 4 <= b->len; at = next_offset(at, b->len - 3)) {
		memcpy(saved, b->wire + at, 4);
		for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
			int rc;

			wp_put_le32(b->wire + at, forged[i]);
			rc = bench_decode(b, b->wire, b->len, wp_scratch_bound(b->len), NULL);
			if (!ok_quiet(rc == 0 || rc == -EBADMSG, "%s: %#x at %u gives %d",
				      b->type->name, forged[i], at, rc))
				return false;
		}
		memcpy(b->wire + at, saved, 4);
	}
	return true;
}

static bool trailing(struct bench *b)
{
	b->wire[b->len] = 0;
	return ok_quiet(bench_decode(b, b->wire, b->len + 1, wp_scratch_bound(b->len), NULL) ==
			-EBADMSG, "%s: a byte too many is refused", b->type->name);
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
				       truncated(&b) && forged_numbers(&b) && trailing(&b);
		ok(good, "%s", wp_test_types[t].name);
	}
	bench_done(&b);
	return done_testing();
}
