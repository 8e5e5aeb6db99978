/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* An object's name as bytes that sort: fid, component, stripe, big-endian. */
#ifndef WEFT_OSD_OBJKEY_H
#define WEFT_OSD_OBJKEY_H

#include "base/base.h"
#include "weft_proto.h"

#define OBJKEY_SIZE 22

static inline void put_be(uint8_t *p, uint64_t v, unsigned n)
{
	for (unsigned i = n; i-- > 0; v >>= 8)
		p[i] = (uint8_t)v;
}

static inline uint64_t get_be(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static inline void objkey_encode(uint8_t *key, const struct wp_objid *id)
{
	put_be(key, id->fid.seq, 8);
	put_be(key + 8, id->fid.oid, 4);
	put_be(key + 12, id->fid.ver, 4);
	put_be(key + 16, id->component, 2);
	put_be(key + 18, id->stripe, 4);
}

static inline void objkey_decode(struct wp_objid *id, const uint8_t *key)
{
	memset(id, 0, sizeof(*id));
	id->fid.seq = get_be(key, 8);
	id->fid.oid = (uint32_t)get_be(key + 8, 4);
	id->fid.ver = (uint32_t)get_be(key + 12, 4);
	id->component = (uint16_t)get_be(key + 16, 2);
	id->stripe = (uint32_t)get_be(key + 18, 4);
}

static inline bool objid_eq(const struct wp_objid *a, const struct wp_objid *b)
{
	return a->fid.seq == b->fid.seq && a->fid.oid == b->fid.oid && a->fid.ver == b->fid.ver && a->component == b->component &&
	       a->stripe == b->stripe;
}

#endif
