/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Stripe arithmetic: where the bytes of a file live, shared by clients and metadata targets.
 *
 * A component covers [start, end) of the file; offsets in it are relative to its start. With n stripes of stripe_size bytes,
 * stripe = (rel / stripe_size) % n, object offset = rel / (stripe_size * n) * stripe_size + rel % stripe_size.
 *
 * Pure functions; the layout must have passed stripe_check. File offsets and sizes are below or equal to INT64_MAX.
 */
#ifndef WEFT_LAYOUT_STRIPE_H
#define WEFT_LAYOUT_STRIPE_H

#include "base/base.h"
#include "weft_proto.h"

#define STRIPE_UNIT_MIN 65536u /* stripe sizes and component ends are multiples of it */
#define STRIPE_SIZE_MAX (1u << 30)
#define STRIPE_END_NONE ((uint64_t)INT64_MAX)

/* A run of bytes that lie one after another in one object. */
struct stripe_piece {
	uint32_t component, stripe;
	uint32_t target;  /* storage target */
	uint64_t offset;  /* in the object */
	uint64_t length;
};

/*
 * 0; -EINVAL: components not in order, gaps, sizes out of range, stripes without targets (policy: targets are not looked at,
 * stripe_count may be 0); -EOPNOTSUPP: a pattern that is not built yet.
 */
int stripe_check(const struct wp_layout *l, bool policy) must_check;

/* The piece at offset, at most length (> 0) bytes long. -EFBIG: behind the last component. */
int stripe_map(const struct wp_layout *l, uint64_t offset, uint64_t length, struct stripe_piece *ret) must_check;

/* How far the file reaches at least if the object has this size: offset of its last byte + 1; 0 for an empty object. Sizes that
 * cannot be end at the component's end. */
uint64_t stripe_file_end(const struct wp_component *c, uint32_t stripe, uint64_t object_size);

/* The size of the object if the file's bytes [0, file_size) are all written. */
uint64_t stripe_object_size(const struct wp_component *c, uint32_t stripe, uint64_t file_size);

/* The file offset of a byte of an object. */
uint64_t stripe_file_offset(const struct wp_component *c, uint32_t stripe, uint64_t object_offset);

/* The component that covers offset, or components_n. */
uint32_t stripe_component(const struct wp_layout *l, uint64_t offset);

/*
 * The objects that must be given a size for the file to have exactly new_size bytes. Growing from an exactly known old size
 * concerns the object of the last byte only; otherwise (shrinking, or old_size not known: STRIPE_END_NONE) every object that
 * may reach beyond the new end, and that of the last byte.
 *
 *	struct stripe_cut cut = stripe_cut(l, old_size, new_size);
 *	while (stripe_cut_next(&cut, &piece)) obj_truncate(piece.component, piece.stripe, piece.target, piece.offset);
 */
struct stripe_cut {
	const struct wp_layout *l;
	uint64_t size;
	uint32_t component, stripe;
	uint32_t last_component, last_stripe; /* of the last byte; last_component == components_n: none */
	bool only_last;
};

struct stripe_cut stripe_cut(const struct wp_layout *l, uint64_t old_size, uint64_t new_size);
/* piece->offset is the object's new size, length is 0. */
bool stripe_cut_next(struct stripe_cut *cut, struct stripe_piece *piece);

#endif
