/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The B+tree against a sorted array, with keys of many shapes. */
#include "tap.h"

#include "osd/omap.h"

enum { KEYS = 3000, KEY_MAX = 300 };

struct model {
	uint8_t key[KEY_MAX];
	size_t len;
	uint32_t value; /* 0: absent, 1: tombstone */
	size_t size;
};

static struct model model[KEYS];
static uint64_t rng;

static uint64_t rnd(uint64_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng % n;
}

static int by_key(const void *a, const void *b)
{
	const struct model *x = a, *y = b;

	return omap_compare(x->key, x->len, y->key, y->len);
}

/* Shapes: in order, random, long common prefixes, prefixes of each other with zeros. */
static unsigned make_keys(unsigned shape)
{
	unsigned n = 0;

	memset(model, 0, sizeof(model));
	for (unsigned i = 0; i < KEYS; i++) {
		struct model *m = &model[i];
		size_t prefix = shape == 2 ? 200 + rnd(3) : 0;

		memset(m->key, shape == 3 ? 0 : 'p', prefix);
		m->len = prefix;
		if (shape == 3) {
			m->len = i % (KEY_MAX - 1);
			memset(m->key, 0, m->len);
			m->key[m->len / 2] = (uint8_t)(i / KEY_MAX);
			continue;
		}
		for (unsigned k = 0; k < 8; k++)
			m->key[m->len++] = shape == 0 ? (uint8_t)((uint64_t)i * 7 >> (56 - 8 * k)) : (uint8_t)rnd(256);
		m->len -= shape == 0 ? 0 : rnd(6);
	}
	qsort(model, KEYS, sizeof(model[0]), by_key);
	for (unsigned i = 0; i < KEYS; i++)
		if (!n || by_key(&model[n - 1], &model[i]))
			model[n++] = model[i];
	return n;
}

static bool same_value(const struct omap_entry *e, const struct model *m)
{
	uint8_t want[3000];

	if (!e || e->key_len != m->len || memcmp(e->bytes, m->key, m->len))
		return false;
	if (m->value == 1)
		return omap_is_tombstone(e);
	memset(want, (int)m->value, m->size);
	return e->value_len == m->size && !memcmp(omap_value(e), want, m->size);
}

static bool agrees(const struct omap *map, unsigned n)
{
	struct omap_pos pos;
	const struct omap_entry *e = omap_first(map, &pos);

	for (unsigned i = 0; i < n; i++) {
		if (!model[i].value)
			continue;
		if (!same_value(e, &model[i]))
			return false;
		e = omap_next(&pos);
	}
	return !e && omap_is_sound(map);
}

static const struct model *model_seek(unsigned n, unsigned i, bool after)
{
	for (i += after; i < n; i++)
		if (model[i].value)
			return &model[i];
	return NULL;
}

static bool seeks(const struct omap *map, unsigned n)
{
	for (unsigned k = 0; k < 500; k++) {
		unsigned i = (unsigned)rnd(n);
		bool after = rnd(2);
		const struct model *want = model_seek(n, i, after);
		const struct omap_entry *e = omap_seek(map, model[i].key, model[i].len, after, NULL);

		if (want ? !same_value(e, want) : e != NULL)
			return false;
		e = omap_find(map, model[i].key, model[i].len);
		if (model[i].value ? !same_value(e, &model[i]) : e != NULL)
			return false;
	}
	return true;
}

static void change(struct omap *map, struct model *m, unsigned deletes)
{
	uint8_t value[3000];

	if (rnd(100) < deletes) {
		bool was = omap_del(map, m->key, m->len);

		ok_quiet(was == (m->value != 0), "del says whether it was there");
		m->value = 0;
		return;
	}
	m->value = (uint32_t)(1 + rnd(255));
	m->size = rnd(20) ? rnd(60) : rnd(sizeof(value));
	memset(value, (int)m->value, m->size);
	if (m->value == 1)
		omap_put(map, m->key, m->len, NULL, 0);
	else
		omap_put(map, m->key, m->len, value, m->size);
}

static void run(unsigned shape)
{
	struct omap map;
	unsigned n, bad = 0;

	rng = 0x1234567 + shape;
	n = make_keys(shape);
	omap_init(&map);
	for (unsigned phase = 0; phase < 8; phase++) {
		unsigned deletes = phase % 2 ? 85 : 20;

		for (unsigned i = 0; i < 4000; i++)
			change(&map, &model[phase == 0 ? i % n : rnd(n)], phase ? deletes : 0);
		bad += !agrees(&map, n) || !seeks(&map, n);
	}
	for (unsigned i = 0; i < n; i++) {
		omap_del(&map, model[i].key, model[i].len);
		model[i].value = 0;
	}
	bad += !agrees(&map, n);
	is_int(bad, 0, "agrees with the model");
	is_int((long long)map.bytes, 0, "an empty map uses nothing");
	omap_done(&map);
}

int main(void)
{
	for (unsigned shape = 0; shape < 4; shape++)
		run(shape);
	return done_testing();
}
