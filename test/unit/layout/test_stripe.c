/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "layout/stripe.h"

#include "tap.h"

#define K64 65536ull
#define OBJS 64

static uint32_t ids[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

static struct wp_component comp(uint64_t start, uint64_t end, uint32_t size, uint32_t n)
{
	return (struct wp_component){ .start = start, .end = end, .pattern = WP_PATTERN_RAID0, .stripe_size = size,
				      .stripe_count = n, .targets = ids, .targets_n = n };
}

struct shape {
	struct wp_component c[3];
	struct wp_layout l;
};

static void make_shape(struct shape *s, unsigned k)
{
	s->c[0] = comp(0, k % 2 ? STRIPE_END_NONE : (1 + k % 5) * K64, (uint32_t)K64, 1 + k % 3);
	s->c[1] = comp(s->c[0].end, k % 4 ? STRIPE_END_NONE : s->c[0].end + 7 * K64, (uint32_t)(K64 * (1 + k % 2)), 1 + k % 5);
	s->c[2] = comp(s->c[1].end, STRIPE_END_NONE, (uint32_t)(K64 * 2), 1 + k % 8);
	s->l = (struct wp_layout){ .components = s->c, .components_n = k % 2 ? 1 : k % 4 ? 2 : 3 };
}

static uint64_t sizes_max(const struct wp_layout *l, uint64_t sizes[3][OBJS])
{
	uint64_t max = 0;

	for (uint32_t c = 0; c < l->components_n; c++)
		for (uint32_t s = 0; s < l->components[c].targets_n; s++)
			max = MAX(max, stripe_file_end(&l->components[c], s, sizes[c][s]));
	return max;
}

/* Walks a file and fills objects as a file system would: each piece must continue its object without gap or overlap. */
static void test_walk(unsigned k)
{
	struct shape s;
	uint64_t at = 0, limit = 40 * K64, fill[3][OBJS] = { 0 };

	make_shape(&s, k);
	ok_quiet(stripe_check(&s.l, false) == 0, "shape %u is valid", k);
	while (at < limit) {
		struct stripe_piece p;
		uint64_t want = 1 + (at * 2654435761u >> 7) % (3 * K64);

		ok_quiet(stripe_map(&s.l, at, want, &p) == 0 && p.length > 0 && p.length <= want, "a piece at %llu", (unsigned long long)at);
		ok_quiet(p.target == ids[p.stripe], "its target");
		ok_quiet(fill[p.component][p.stripe] == p.offset, "shape %u: dense object at %llu", k, (unsigned long long)at);
		ok_quiet(stripe_file_offset(&s.c[p.component], p.stripe, p.offset) == at, "and back");
		fill[p.component][p.stripe] += p.length;
		at += p.length;
		for (uint32_t c = 0; c < s.l.components_n; c++)
			for (uint32_t i = 0; i < s.c[c].targets_n; i++)
				ok_quiet(stripe_object_size(&s.c[c], i, at) == fill[c][i], "shape %u size %llu object %u.%u", k,
					 (unsigned long long)at, c, i);
		ok_quiet(sizes_max(&s.l, fill) == at, "shape %u: the size is the maximum", k);
	}
}

static void test_cut(unsigned k, unsigned round)
{
	struct shape s;
	uint64_t sizes[3][OBJS] = { 0 }, old, new_size = (round * 7919ull * 4099) % (30 * K64);
	struct stripe_cut cut;
	struct stripe_piece p;
	unsigned calls = 0, r = round;

	if (round % 5 == 0)
		new_size = round_down_pow2(new_size, K64);
	make_shape(&s, k);
	for (uint32_t c = 0; c < s.l.components_n; c++)
		for (uint32_t i = 0; i < s.c[c].targets_n; i++) {
			r = r * 1103515245 + 12345;
			/* Sparse: any size within the component, many missing. */
			sizes[c][i] = r >> 16 & 1 ? MIN((r >> 8) % (6 * K64), stripe_object_size(&s.c[c], i, s.c[c].end)) : 0;
		}
	old = sizes_max(&s.l, sizes);
	cut = stripe_cut(&s.l, round % 2 ? old : STRIPE_END_NONE, new_size);
	while (stripe_cut_next(&cut, &p)) {
		sizes[p.component][p.stripe] = p.offset;
		calls++;
	}
	ok_quiet(sizes_max(&s.l, sizes) == new_size, "shape %u round %u: %llu -> %llu gave %llu", k, round, (unsigned long long)old,
		 (unsigned long long)new_size, (unsigned long long)sizes_max(&s.l, sizes));
	if (round % 2 && new_size >= old)
		ok_quiet(calls == (new_size != old), "growing touches one object");
}

static void test_hostile(void)
{
	struct wp_component c = comp(K64, STRIPE_END_NONE, (uint32_t)K64, 3);
	struct wp_component d = comp(0, K64, (uint32_t)K64, 2);
	struct wp_layout l = { .components = &c, .components_n = 1 };
	struct stripe_piece p;

	ok(stripe_file_end(&c, 2, UINT64_MAX) == STRIPE_END_NONE, "an impossible size ends at the component's end");
	ok(stripe_file_end(&c, 2, INT64_MAX) == STRIPE_END_NONE, "so does the largest");
	ok(stripe_file_end(&d, 1, 1) == K64, "an object beyond a short component ends at its end");
	ok(stripe_file_end(&c, 0, 0) == 0, "an empty object says nothing");
	c.start = 0;
	ok(stripe_map(&l, STRIPE_END_NONE, 1, &p) == -EFBIG, "no byte at 2^63-1");
	ok(stripe_map(&l, STRIPE_END_NONE - 1, 10, &p) == 0 && p.length == 1, "the last byte possible");
	ok(stripe_file_end(&c, p.stripe, p.offset + 1) == STRIPE_END_NONE, "gives the largest size");
	ok(stripe_object_size(&c, p.stripe, STRIPE_END_NONE) == p.offset + 1, "and the object's size");
}

static void test_check(void)
{
	struct wp_component c[2] = { comp(0, K64, (uint32_t)K64, 1), comp(K64, STRIPE_END_NONE, (uint32_t)K64, 1) };
	struct wp_layout l = { .components = c, .components_n = 2 };

#define BAD(what, change) do { struct wp_component keep = c[1]; change; 	ok(stripe_check(&l, false) == -EINVAL, "refused: " what); c[1] = keep; } while (0)
	ok(stripe_check(&l, false) == 0, "valid");
	BAD("a gap", c[1].start += K64);
	BAD("no last component", c[1].end = 9 * K64);
	BAD("an end beyond all files", c[1].end = STRIPE_END_NONE + 1);
	BAD("no stripe size", c[1].stripe_size = 0);
	BAD("an odd stripe size", c[1].stripe_size = 65537);
	BAD("no targets", c[1].targets_n = 0);
	BAD("unknown pattern", c[1].pattern = 9);
	c[1].pattern = WP_PATTERN_EC;
	ok(stripe_check(&l, false) == -EOPNOTSUPP, "not supported: erasure coding");
	c[1].pattern = WP_PATTERN_RAID0;
	l.components_n = 0;
	ok(stripe_check(&l, false) == -EINVAL, "refused: nothing");
	l.components_n = 2;
	c[0].targets_n = c[1].targets_n = 0;
	c[0].stripe_count = 0;
	ok(stripe_check(&l, true) == 0, "a policy has no targets");
}

int main(void)
{
	for (unsigned k = 0; k < 40; k++)
		test_walk(k);
	ok(true, "pieces are dense, sizes agree");
	for (unsigned k = 0; k < 40; k++)
		for (unsigned round = 0; round < 200; round++)
			test_cut(k, round);
	ok(true, "cuts give the wanted size");
	test_hostile();
	test_check();
	return done_testing();
}
