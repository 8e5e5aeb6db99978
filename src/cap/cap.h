/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Capabilities: what a metadata target allows a session to do with the objects of one file, proved to storage targets by an
 * HMAC-SHA256 with a key that only servers know.
 *
 * The MAC covers every field of struct wp_cap but itself. Stateless; thread-safe as long as a key is not changed meanwhile.
 */
#ifndef WEFT_CAP_CAP_H
#define WEFT_CAP_CAP_H

#include "base/base.h"
#include "weft_proto.h"

#define CAP_KEY_SIZE 32u

/* The key as two hash states, ready to use: signing costs two compressions. */
struct cap_key {
	uint64_t inner[16], outer[16]; /* SHA256_CTX, private */
};

void cap_key_init(struct cap_key *key, const uint8_t secret[CAP_KEY_SIZE]);

/* Computes the MAC of cap's other fields into mac and points cap->mac at it: mac must live as long as cap is used. */
void cap_sign(const struct cap_key *key, struct wp_cap *cap, uint8_t mac[WP_MAC_SIZE]);

/* 0 or -WEFT_EBADCAP: was made with this key and not changed since. In constant time. */
int cap_verify(const struct cap_key *key, const struct wp_cap *cap) must_check;

/* What needs no key: is for this file and has the rights (WP_RIGHTS_*): -WEFT_EBADCAP; not expired: -WEFT_ECAPEXPIRED.
 * now_sec: wall clock. */
int cap_allows(const struct wp_cap *cap, const struct wp_fid *fid, uint32_t rights, uint64_t now_sec) must_check;

#endif
