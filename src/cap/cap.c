/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "cap/cap.h"

/* The low-level interface of libcrypto: no allocation and no look-up of the algorithm for each of thousands of MACs a second. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "proto/fid.h"
#include "proto/status.h"

_Static_assert(sizeof(SHA256_CTX) <= sizeof(((struct cap_key *)0)->inner), "room for the hash state");
_Static_assert(SHA256_DIGEST_LENGTH == WP_MAC_SIZE, "MAC is a whole digest");

#define BLOCK 64u
static const char label[8] = "weftcap1";

static void absorb_key(uint64_t state[16], const uint8_t secret[CAP_KEY_SIZE], uint8_t pad)
{
	SHA256_CTX ctx;
	uint8_t block[BLOCK];

	for (unsigned i = 0; i < BLOCK; i++)
		block[i] = (uint8_t)((i < CAP_KEY_SIZE ? secret[i] : 0) ^ pad);
	SHA256_Init(&ctx);
	SHA256_Update(&ctx, block, sizeof(block));
	memcpy(state, &ctx, sizeof(ctx));
	OPENSSL_cleanse(block, sizeof(block));
}

void cap_key_init(struct cap_key *key, const uint8_t secret[CAP_KEY_SIZE])
{
	memset(key, 0, sizeof(*key));
	absorb_key(key->inner, secret, 0x36);
	absorb_key(key->outer, secret, 0x5c);
}

static void compute(const struct cap_key *key, const struct wp_cap *cap, uint8_t mac[WP_MAC_SIZE])
{
	SHA256_CTX ctx;
	uint8_t text[48];

	memcpy(text, label, sizeof(label));
	wp_put_le64(text + 8, cap->fid.seq);
	wp_put_le32(text + 16, cap->fid.oid);
	wp_put_le32(text + 20, cap->fid.ver);
	wp_put_le32(text + 24, cap->rights);
	wp_put_le32(text + 28, cap->layout_gen);
	wp_put_le64(text + 32, cap->session);
	wp_put_le64(text + 40, cap->expiry);
	memcpy(&ctx, key->inner, sizeof(ctx));
	SHA256_Update(&ctx, text, sizeof(text));
	SHA256_Final(mac, &ctx);
	memcpy(&ctx, key->outer, sizeof(ctx));
	SHA256_Update(&ctx, mac, WP_MAC_SIZE);
	SHA256_Final(mac, &ctx);
}

void cap_sign(const struct cap_key *key, struct wp_cap *cap, uint8_t mac[WP_MAC_SIZE])
{
	compute(key, cap, mac);
	cap->mac = wp_bytes(mac, WP_MAC_SIZE);
}

int cap_verify(const struct cap_key *key, const struct wp_cap *cap)
{
	uint8_t mac[WP_MAC_SIZE];

	if (cap->mac.len != WP_MAC_SIZE)
		return -WEFT_EBADCAP;
	compute(key, cap, mac);
	return CRYPTO_memcmp(mac, cap->mac.p, WP_MAC_SIZE) ? -WEFT_EBADCAP : 0;
}

int cap_allows(const struct wp_cap *cap, const struct wp_fid *fid, uint32_t rights, uint64_t now_sec)
{
	if (!wp_fid_eq(&cap->fid, fid) || (cap->rights & rights) != rights)
		return -WEFT_EBADCAP;
	return now_sec > cap->expiry ? -WEFT_ECAPEXPIRED : 0;
}
