/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Capabilities whose code was verified, so that a HMAC is computed once per capability and not once per request. Bounded:
 * four-way sets, the oldest of a set goes. Only verified capabilities are in it, and all of a capability's fields and its code
 * must be equal for a hit.
 */
#ifndef WEFT_STORAGE_CAPCACHE_H
#define WEFT_STORAGE_CAPCACHE_H

#include "base/base.h"
#include "weft_proto.h"

#define CAPCACHE_SETS 1024u
#define CAPCACHE_WAYS 4u

struct capcache_entry {
	struct wp_fid fid;
	uint32_t rights, layout_gen;
	uint64_t session, expiry;
	uint8_t mac[WP_MAC_SIZE];
	bool used;
};

struct capcache {
	struct capcache_entry *entries;
	uint8_t victim[CAPCACHE_SETS]; /* next way to replace */
	uint64_t seed;
};

void capcache_init(struct capcache *c, uint64_t seed);
void capcache_done(struct capcache *c);
/* cap->mac must be of WP_MAC_SIZE bytes in both. */
bool capcache_has(const struct capcache *c, const struct wp_cap *cap);
void capcache_add(struct capcache *c, const struct wp_cap *cap);

#endif
