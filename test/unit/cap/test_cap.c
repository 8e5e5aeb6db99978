/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A capability is good exactly as it was made: every changed bit of every field, and another key, are refused. */
#include "cap/cap.h"

#include "proto/status.h"
#include "tap.h"

int main(void)
{
	uint8_t key[CAP_KEY_SIZE] = { 1, 2, 3 }, other[CAP_KEY_SIZE] = { 1, 2, 4 }, mac[WP_MAC_SIZE];
	struct wp_cap cap = { .fid = { .seq = 1, .oid = 2 }, .rights = WP_RIGHTS_READ, .layout_gen = 3, .session = 4, .expiry = 5 };
	struct wp_cap bad;

	cap_make(key, &cap, mac);
	ok(cap.mac.len == WP_MAC_SIZE, "the code is in the capability");
	is_int(cap_verify(key, &cap), 0, "as made");
	is_int(cap_verify(other, &cap), -WEFT_EBADCAP, "another key");
#define CHANGED(field)                                                                                                         \
	bad = cap;                                                                                                             \
	bad.field ^= 1;                                                                                                        \
	is_int(cap_verify(key, &bad), -WEFT_EBADCAP, #field " changed")
	CHANGED(fid.seq);
	CHANGED(fid.oid);
	CHANGED(fid.ver);
	CHANGED(rights);
	CHANGED(layout_gen);
	CHANGED(session);
	CHANGED(expiry);
	bad = cap;
	bad.mac.len--;
	is_int(cap_verify(key, &bad), -WEFT_EBADCAP, "short code");
	bad.mac = wp_bytes(NULL, 0);
	is_int(cap_verify(key, &bad), -WEFT_EBADCAP, "no code");
	for (unsigned i = 0; i < WP_MAC_SIZE * 8; i++) {
		mac[i / 8] ^= (uint8_t)(1u << i % 8);
		ok_quiet(cap_verify(key, &cap) == -WEFT_EBADCAP, "bit %u of the code changed", i);
		mac[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	is_int(cap_verify(key, &cap), 0, "as made, again");
	return done_testing();
}
