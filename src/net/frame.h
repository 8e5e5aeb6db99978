/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The bytes around a message: header with checksum, padding. The same on every transport. */
#ifndef WEFT_NET_FRAME_H
#define WEFT_NET_FRAME_H

#include "base/base.h"
#include "weft_proto.h"

/* The body is always padded, so that bulk payloads and the next header begin 8-byte aligned as seen from the frame. */
static inline uint32_t net_frame_pad(uint32_t body_len) { return -body_len & 7u; }

/* Encodes hdr with magic and checksum filled in; body_len bytes at body as the header says. */
void net_frame_seal(uint8_t out[WP_HDR_SIZE], struct wp_hdr *hdr, const void *body);
/* Decodes without looking at the checksum. -EBADMSG: not a frame, or lengths above the protocol's limits. */
int net_frame_open(const uint8_t in[WP_HDR_SIZE], struct wp_hdr *ret) must_check;
/* Does the checksum match header bytes and body? */
bool net_frame_intact(const uint8_t in[WP_HDR_SIZE], const struct wp_hdr *hdr, const void *body) must_check;

#endif
