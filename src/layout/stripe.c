/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "layout/stripe.h"

static int component_check(const struct wp_component *c, bool policy)
{
	if (c->pattern != WP_PATTERN_RAID0)
		return c->pattern <= WP_PATTERN_EC ? -EOPNOTSUPP : -EINVAL;
	if (c->end <= c->start || c->end > STRIPE_END_NONE)
		return -EINVAL;
	if (c->end != STRIPE_END_NONE && c->end % STRIPE_UNIT_MIN)
		return -EINVAL;
	if (!c->stripe_size || c->stripe_size % STRIPE_UNIT_MIN || c->stripe_size > STRIPE_SIZE_MAX)
		return -EINVAL;
	if (policy)
		return c->stripe_count > WP_STRIPES_MAX || c->targets_n ? -EINVAL : 0;
	return !c->targets_n || c->targets_n > WP_STRIPES_MAX ? -EINVAL : 0;
}

int stripe_check(const struct wp_layout *l, bool policy)
{
	uint64_t at = 0;

	if (!l->components_n || l->components_n > WP_COMPONENTS_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < l->components_n; i++) {
		int err = component_check(&l->components[i], policy);

		if (err)
			return err;
		if (l->components[i].start != at)
			return -EINVAL;
		at = l->components[i].end;
	}
	return at == STRIPE_END_NONE ? 0 : -EINVAL;
}

uint32_t stripe_component(const struct wp_layout *l, uint64_t offset)
{
	uint32_t i = 0;

	while (i < l->components_n && offset >= l->components[i].end)
		i++;
	return i;
}

int stripe_map(const struct wp_layout *l, uint64_t offset, uint64_t length, struct stripe_piece *ret)
{
	uint32_t i = stripe_component(l, offset);
	const struct wp_component *c;
	uint64_t rel, unit, within;

	if (i == l->components_n)
		return -EFBIG;
	c = &l->components[i];
	rel = offset - c->start;
	unit = rel / c->stripe_size;
	within = rel % c->stripe_size;
	ret->component = i;
	ret->stripe = (uint32_t)(unit % c->targets_n);
	ret->target = c->targets[ret->stripe];
	ret->offset = unit / c->targets_n * c->stripe_size + within;
	ret->length = MIN(length, c->end - offset);
	/* With one stripe the object is the component: no cuts. */
	if (c->targets_n > 1)
		ret->length = MIN(ret->length, c->stripe_size - within);
	return 0;
}

uint64_t stripe_file_offset(const struct wp_component *c, uint32_t stripe, uint64_t object_offset)
{
	uint64_t row = object_offset / c->stripe_size, within = object_offset % c->stripe_size, rel;

	if (__builtin_mul_overflow(row, c->targets_n, &rel) || __builtin_add_overflow(rel, stripe, &rel) ||
	    __builtin_mul_overflow(rel, c->stripe_size, &rel) || __builtin_add_overflow(rel, within, &rel) ||
	    rel >= c->end - c->start)
		return c->end;
	return c->start + rel;
}

uint64_t stripe_file_end(const struct wp_component *c, uint32_t stripe, uint64_t object_size)
{
	uint64_t last;

	if (!object_size)
		return 0;
	last = stripe_file_offset(c, stripe, object_size - 1);
	return last == c->end ? last : last + 1;
}

uint64_t stripe_object_size(const struct wp_component *c, uint32_t stripe, uint64_t file_size)
{
	uint64_t rel, row_size = (uint64_t)c->stripe_size * c->targets_n, before = (uint64_t)stripe * c->stripe_size, rest;

	if (file_size <= c->start)
		return 0;
	rel = MIN(file_size, c->end) - c->start;
	rest = rel % row_size;
	rest = rest > before ? MIN(rest - before, c->stripe_size) : 0;
	return rel / row_size * c->stripe_size + rest;
}

struct stripe_cut stripe_cut(const struct wp_layout *l, uint64_t old_size, uint64_t new_size)
{
	struct stripe_cut cut = { .l = l, .size = new_size, .last_component = l->components_n };
	struct stripe_piece last;

	if (new_size && !stripe_map(l, new_size - 1, 1, &last)) {
		cut.last_component = last.component;
		cut.last_stripe = last.stripe;
	}
	cut.only_last = old_size != STRIPE_END_NONE && new_size >= old_size;
	if (cut.only_last && new_size == old_size)
		cut.component = l->components_n;
	return cut;
}

static bool cut_concerns(const struct stripe_cut *cut)
{
	if (cut->component == cut->last_component && cut->stripe == cut->last_stripe)
		return true;
	return !cut->only_last && cut->l->components[cut->component].end > cut->size;
}

bool stripe_cut_next(struct stripe_cut *cut, struct stripe_piece *piece)
{
	while (cut->component < cut->l->components_n) {
		const struct wp_component *c = &cut->l->components[cut->component];
		bool concerned;

		if (cut->stripe >= c->targets_n) {
			cut->component++;
			cut->stripe = 0;
			continue;
		}
		concerned = cut_concerns(cut);
		if (concerned)
			*piece = (struct stripe_piece){ cut->component, cut->stripe, c->targets[cut->stripe],
							stripe_object_size(c, cut->stripe, cut->size), 0 };
		cut->stripe++;
		if (concerned)
			return true;
	}
	return false;
}
