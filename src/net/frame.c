/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "net/frame.h"

#include "base/crc.h"

#define CRC_OFFSET 4u /* of hdr.crc; what it covers begins behind it */
#define CRC_START 8u

static uint32_t frame_crc(const uint8_t *head, const void *body, uint32_t body_len)
{
	uint32_t crc = crc32c(0, head + CRC_START, WP_HDR_SIZE - CRC_START);

	return body_len ? crc32c(crc, body, body_len) : crc;
}

void net_frame_seal(uint8_t out[WP_HDR_SIZE], struct wp_hdr *hdr, const void *body)
{
	struct wp_enc e;

	hdr->magic = WP_MAGIC;
	hdr->crc = 0;
	wp_enc_init(&e, out, WP_HDR_SIZE);
	wp_hdr_enc(&e, hdr);
	weft_assert(!e.err && e.len == WP_HDR_SIZE);
	hdr->crc = frame_crc(out, body, hdr->body_len);
	wp_put_le32(out + CRC_OFFSET, hdr->crc);
}

int net_frame_open(const uint8_t in[WP_HDR_SIZE], struct wp_hdr *ret)
{
	struct wp_dec d;

	wp_dec_init(&d, in, WP_HDR_SIZE, NULL, 0);
	if (wp_hdr_dec(&d, ret) < 0)
		return -EBADMSG;
	return wp_hdr_check(ret);
}

bool net_frame_intact(const uint8_t in[WP_HDR_SIZE], const struct wp_hdr *hdr, const void *body)
{
	return frame_crc(in, body, hdr->body_len) == hdr->crc;
}
