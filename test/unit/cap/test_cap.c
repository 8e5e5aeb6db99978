/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "cap/cap.h"

#include <openssl/hmac.h>

#include "proto/status.h"
#include "tap.h"

static struct wp_cap sample(void)
{
	return (struct wp_cap){ .fid = { 7, 8, 0 }, .rights = WP_RIGHTS_READ, .layout_gen = 3, .session = 11, .expiry = 1000 };
}

/* The same by OpenSSL's HMAC over the documented text. */
static void test_against_library(const uint8_t *secret, const struct cap_key *key)
{
	struct wp_cap c = sample();
	uint8_t mac[WP_MAC_SIZE], want[WP_MAC_SIZE], text[48] = "weftcap1";
	unsigned int len = sizeof(want);

	wp_put_le64(text + 8, 7);
	wp_put_le32(text + 16, 8);
	wp_put_le32(text + 20, 0);
	wp_put_le32(text + 24, WP_RIGHTS_READ);
	wp_put_le32(text + 28, 3);
	wp_put_le64(text + 32, 11);
	wp_put_le64(text + 40, 1000);
	HMAC(EVP_sha256(), secret, CAP_KEY_SIZE, text, sizeof(text), want, &len);
	cap_sign(key, &c, mac);
	ok(!memcmp(mac, want, sizeof(mac)), "the MAC is HMAC-SHA256");
	ok(cap_verify(key, &c) == 0, "verifies");
}

static void test_changes(const struct cap_key *key)
{
	struct wp_cap c = sample(), d;
	uint8_t mac[WP_MAC_SIZE], bad[WP_MAC_SIZE];

	cap_sign(key, &c, mac);
#define REFUSED(change) (d = c, (change), cap_verify(key, &d) == -WEFT_EBADCAP)
	ok(REFUSED(d.fid.seq++) && REFUSED(d.fid.oid++) && REFUSED(d.fid.ver++), "another fid is refused");
	ok(REFUSED(d.rights |= WP_RIGHTS_WRITE), "more rights are refused");
	ok(REFUSED(d.layout_gen++) && REFUSED(d.session++) && REFUSED(d.expiry++), "other fields are refused");
	ok(REFUSED(d.mac.len = 0) && REFUSED(d.mac.len = 31), "a short MAC is refused");
	for (unsigned i = 0; i < WP_MAC_SIZE * 8; i++) {
		memcpy(bad, mac, sizeof(bad));
		bad[i / 8] ^= (uint8_t)(1u << i % 8);
		d = c;
		d.mac = wp_bytes(bad, sizeof(bad));
		ok_quiet(cap_verify(key, &d) == -WEFT_EBADCAP, "bit %u of the MAC counts", i);
	}
}

static void test_allows(void)
{
	struct wp_cap c = sample();
	struct wp_fid other = { 7, 9, 0 };

	ok(cap_allows(&c, &c.fid, WP_RIGHTS_READ, 1000) == 0, "allowed until it expires");
	ok(cap_allows(&c, &c.fid, WP_RIGHTS_READ, 1001) == -WEFT_ECAPEXPIRED, "expired");
	ok(cap_allows(&c, &c.fid, WP_RIGHTS_WRITE, 1) == -WEFT_EBADCAP, "without the right");
	ok(cap_allows(&c, &other, WP_RIGHTS_READ, 1) == -WEFT_EBADCAP, "for another file");
}

int main(void)
{
	uint8_t secret[CAP_KEY_SIZE];
	struct cap_key key, other;
	struct wp_cap c = sample();
	uint8_t mac[WP_MAC_SIZE];

	for (unsigned i = 0; i < sizeof(secret); i++)
		secret[i] = (uint8_t)(i * 7 + 1);
	cap_key_init(&key, secret);
	secret[31] ^= 1;
	cap_key_init(&other, secret);
	secret[31] ^= 1;
	test_against_library(secret, &key);
	test_changes(&key);
	test_allows();
	cap_sign(&other, &c, mac);
	ok(cap_verify(&key, &c) == -WEFT_EBADCAP, "another key's MAC is refused");
	return done_testing();
}
