/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "cap/cap.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

/* Says what the code is for, so that no other use of the key can be taken for it. */
static const char label[16] = "weft capability";

static void compute(const uint8_t key[CAP_KEY_SIZE], const struct wp_cap *cap, uint8_t mac[WP_MAC_SIZE])
{
	uint8_t text[128];
	struct wp_enc e;
	unsigned len = WP_MAC_SIZE;

	wp_enc_init(&e, text, sizeof(text));
	wp_enc_raw(&e, label, sizeof(label));
	wp_fid_enc(&e, &cap->fid);
	wp_enc_u32(&e, cap->rights);
	wp_enc_u32(&e, cap->layout_gen);
	wp_enc_u64(&e, cap->session);
	wp_enc_u64(&e, cap->expiry);
	weft_assert(!e.err);
	weft_assert(HMAC(EVP_sha256(), key, CAP_KEY_SIZE, text, e.len, mac, &len) && len == WP_MAC_SIZE);
}

void cap_make(const uint8_t key[CAP_KEY_SIZE], struct wp_cap *cap, uint8_t mac[WP_MAC_SIZE])
{
	compute(key, cap, mac);
	cap->mac = wp_bytes(mac, WP_MAC_SIZE);
}

int cap_verify(const uint8_t key[CAP_KEY_SIZE], const struct wp_cap *cap)
{
	uint8_t mac[WP_MAC_SIZE];

	if (cap->mac.len != WP_MAC_SIZE)
		return -WEFT_EBADCAP;
	compute(key, cap, mac);
	return CRYPTO_memcmp(mac, cap->mac.p, WP_MAC_SIZE) ? -WEFT_EBADCAP : 0;
}
