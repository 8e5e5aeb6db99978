/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * File identifiers, and their inode numbers.
 *
 * seq is the metadata target (12 bits) over a counter (28 bits); with the object id (24 bits) that
 * is exactly an inode number: mdt:12 | counter:28 | oid:24. Valid fids and inode numbers are
 * therefore one to one, and no table translates them. Zero is no file.
 */
#ifndef WEFT_PROTO_FID_H
#define WEFT_PROTO_FID_H

#include "weft_proto.h"

#define WP_FID_MDT_BITS		12
#define WP_FID_COUNTER_BITS	28
#define WP_FID_OID_BITS		24
#define WP_FID_MDT_MAX		((1u << WP_FID_MDT_BITS) - 1)
#define WP_FID_COUNTER_MAX	((1u << WP_FID_COUNTER_BITS) - 1)
#define WP_FID_OID_MAX		((1u << WP_FID_OID_BITS) - 1)
#define WP_FID_ROOT		((struct wp_fid){ .seq = WP_ROOT_SEQ, .oid = WP_ROOT_OID })

static inline uint32_t wp_fid_mdt(const struct wp_fid *fid)
{
	return (uint32_t)(fid->seq >> WP_FID_COUNTER_BITS) & WP_FID_MDT_MAX;
}

static inline uint32_t wp_fid_counter(const struct wp_fid *fid)
{
	return (uint32_t)fid->seq & WP_FID_COUNTER_MAX;
}

static inline uint64_t wp_fid_seq(uint32_t mdt, uint32_t counter)
{
	return (uint64_t)mdt << WP_FID_COUNTER_BITS | counter;
}

static inline bool wp_fid_eq(const struct wp_fid *a, const struct wp_fid *b)
{
	return a->seq == b->seq && a->oid == b->oid && a->ver == b->ver;
}

static inline bool wp_fid_is_zero(const struct wp_fid *fid)
{
	return !fid->seq && !fid->oid && !fid->ver;
}

static inline bool wp_fid_is_root(const struct wp_fid *fid)
{
	return fid->seq == WP_ROOT_SEQ && fid->oid == WP_ROOT_OID && !fid->ver;
}

/* Names a live inode: parts in range, counter and object id not zero. */
static inline bool wp_fid_valid(const struct wp_fid *fid)
{
	return !(fid->seq >> (WP_FID_MDT_BITS + WP_FID_COUNTER_BITS)) && wp_fid_counter(fid) &&
	       fid->oid && fid->oid <= WP_FID_OID_MAX && !fid->ver;
}

/* Of a valid fid; never 0. */
static inline uint64_t wp_fid_to_ino(const struct wp_fid *fid)
{
	return fid->seq << WP_FID_OID_BITS | fid->oid;
}

static inline struct wp_fid wp_ino_to_fid(uint64_t ino)
{
	struct wp_fid fid = { .seq = ino >> WP_FID_OID_BITS };

	fid.oid = (uint32_t)ino & WP_FID_OID_MAX;
	return fid;
}

#endif
