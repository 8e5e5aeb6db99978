/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Capabilities: a metadata server's word to a storage target that a client may touch the objects of one file. The code is a
 * HMAC-SHA256 of all fields with the cluster's capability key, which only servers have. Thread-safe.
 */
#ifndef WEFT_CAP_CAP_H
#define WEFT_CAP_CAP_H

#include "base/base.h"
#include "weft_proto.h"

#define CAP_KEY_SIZE 32u

/* Writes the code of cap's other fields to mac, and makes cap->mac point at it: mac must live as long as cap is used. */
void cap_make(const uint8_t key[CAP_KEY_SIZE], struct wp_cap *cap, uint8_t mac[WP_MAC_SIZE]);
/* 0, or -WEFT_EBADCAP: not made with this key. Expiry and rights are the caller's to check. */
int cap_verify(const uint8_t key[CAP_KEY_SIZE], const struct wp_cap *cap) must_check;

#endif
