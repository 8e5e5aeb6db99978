/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "storage/capcache.h"

#include "base/htab.h"
#include "proto/fid.h"

void capcache_init(struct capcache *c, uint64_t seed)
{
	memset(c, 0, sizeof(*c));
	c->entries = xcalloc((size_t)CAPCACHE_SETS * CAPCACHE_WAYS, sizeof(*c->entries));
	c->seed = seed;
}

void capcache_done(struct capcache *c)
{
	free(c->entries);
	c->entries = NULL;
}

/* Of everything but the code: a forgery is compared with the genuine one. */
static unsigned set_of(const struct capcache *c, const struct wp_cap *cap)
{
	uint64_t key[5] = { cap->fid.seq, (uint64_t)cap->fid.oid << 32 | cap->fid.ver, (uint64_t)cap->rights << 32 | cap->layout_gen,
			    cap->session, cap->expiry };

	return (unsigned)(hash_bytes(key, sizeof(key), c->seed) % CAPCACHE_SETS);
}

/* In constant time: how long it takes must not tell how much of a code was guessed. */
static bool mac_equal(const uint8_t *a, const uint8_t *b)
{
	uint8_t diff = 0;

	for (unsigned i = 0; i < WP_MAC_SIZE; i++)
		diff |= (uint8_t)(a[i] ^ b[i]);
	return diff == 0;
}

bool capcache_has(const struct capcache *c, const struct wp_cap *cap)
{
	const struct capcache_entry *e = &c->entries[(size_t)set_of(c, cap) * CAPCACHE_WAYS];

	for (unsigned i = 0; i < CAPCACHE_WAYS; i++, e++)
		if (e->used && wp_fid_eq(&e->fid, &cap->fid) && e->rights == cap->rights && e->layout_gen == cap->layout_gen &&
		    e->session == cap->session && e->expiry == cap->expiry && mac_equal(e->mac, cap->mac.p))
			return true;
	return false;
}

void capcache_add(struct capcache *c, const struct wp_cap *cap)
{
	unsigned set = set_of(c, cap);
	struct capcache_entry *e = &c->entries[(size_t)set * CAPCACHE_WAYS + c->victim[set]];

	c->victim[set] = (uint8_t)((c->victim[set] + 1) % CAPCACHE_WAYS);
	e->fid = cap->fid;
	e->rights = cap->rights;
	e->layout_gen = cap->layout_gen;
	e->session = cap->session;
	e->expiry = cap->expiry;
	memcpy(e->mac, cap->mac.p, WP_MAC_SIZE);
	e->used = true;
}
