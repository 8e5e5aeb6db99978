/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "content.h"

#include "base/htab.h"

void content_init(struct content *c) { memset(c, 0, sizeof(*c)); }

void content_done(struct content *c)
{
	free(c->ext);
	content_init(c);
}

static uint8_t content_byte(uint32_t id, uint64_t offset)
{
	uint64_t word = hash_u64((uint64_t)id << 32 ^ offset >> 3);

	if (!content_counter(id))
		return 0;
	return (uint8_t)(word >> (8u * (offset & 7)));
}

void content_fill(uint32_t id, uint64_t offset, void *p, size_t len)
{
	uint8_t *b = p;

	for (size_t i = 0; i < len; i++)
		b[i] = content_byte(id, offset + i);
}

static void insert(struct content *c, size_t at, struct content_extent e)
{
	if (c->n == c->cap) {
		c->cap = c->cap ? 2 * c->cap : 16;
		c->ext = xrealloc(c->ext, c->cap * sizeof(*c->ext));
	}
	memmove(c->ext + at + 1, c->ext + at, (c->n - at) * sizeof(*c->ext));
	c->ext[at] = e;
	c->n++;
}

/* Index of the extent that starts at offset, after cutting one in two if needed; c->n at the end. */
static size_t split(struct content *c, uint64_t offset)
{
	for (size_t i = 0; i < c->n; i++) {
		struct content_extent right = c->ext[i];

		if (right.start == offset)
			return i;
		if (right.end <= offset)
			continue;
		right.start = offset;
		c->ext[i].end = offset;
		insert(c, i + 1, right);
		return i + 1;
	}
	return c->n;
}

static bool same(const struct content_extent *a, const struct content_extent *b)
{
	return a->n == b->n && a->live == b->live && a->maybe == b->maybe && a->overflow == b->overflow &&
	       !memcmp(a->ids, b->ids, a->n * sizeof(a->ids[0]));
}

static void merge(struct content *c)
{
	size_t out = 0;

	for (size_t i = 0; i < c->n; i++) {
		if (c->ext[i].start == c->ext[i].end)
			continue;
		if (out && same(&c->ext[out - 1], &c->ext[i]))
			c->ext[out - 1].end = c->ext[i].end;
		else
			c->ext[out++] = c->ext[i];
	}
	c->n = out;
}

static void cover(struct content *c, uint64_t size)
{
	if (size <= c->size_hi)
		return;
	insert(c, c->n, (struct content_extent){ .start = c->size_hi, .end = size, .n = 1, .live = 1 });
	c->size_hi = size;
}

static void cut_down(struct content *c, uint64_t size)
{
	c->n = split(c, size);
	c->size_hi = MIN(c->size_hi, size);
}

static void push(struct content_extent *e, uint32_t id)
{
	if (e->n == CONTENT_IDS) {
		e->n--;
		e->overflow = true;
	}
	memmove(e->ids + 1, e->ids, e->n * sizeof(e->ids[0]));
	e->ids[0] = id;
	e->n++;
}

static void write_range(struct content *c, uint64_t offset, uint64_t end, uint32_t id, bool maybe)
{
	size_t from = split(c, offset), to = split(c, end);

	for (size_t i = from; i < to; i++) {
		struct content_extent *e = &c->ext[i];

		push(e, id);
		if (maybe) {
			e->live = (uint8_t)MIN(e->live + 1u, e->n);
			e->maybe = true;
		} else {
			e->live = 1;
			e->maybe = false;
		}
	}
	merge(c);
}

void content_write(struct content *c, uint64_t offset, uint64_t len, uint32_t id)
{
	cover(c, offset + len);
	write_range(c, offset, offset + len, id, false);
	c->size_lo = MAX(c->size_lo, offset + len);
}

void content_punch(struct content *c, uint64_t offset, uint64_t len, unsigned writer)
{
	uint64_t end = MIN(offset + len, c->size_hi);

	if (offset < end)
		write_range(c, offset, end, content_id(writer, 0), false);
}

void content_lost_write(struct content *c, uint64_t offset, uint64_t len)
{
	size_t from = split(c, MIN(offset, c->size_hi)), to = split(c, MIN(offset + len, c->size_hi));

	for (size_t i = from; i < to; i++)
		c->ext[i].live = c->ext[i].n;
	c->size_lo = MIN(c->size_lo, c->size_durable);
	merge(c);
}

void content_maybe_write(struct content *c, uint64_t offset, uint64_t len, uint32_t id)
{
	cover(c, offset + len);
	write_range(c, offset, offset + len, id, true);
}

void content_truncate(struct content *c, uint64_t size)
{
	if (size < c->size_hi)
		cut_down(c, size);
	/* Where the end is not sure, the part between is: it shows zeros or what was there. */
	if (size > c->size_lo && c->size_lo < c->size_hi)
		write_range(c, c->size_lo, c->size_hi, 0, true);
	cover(c, size);
	c->size_lo = c->size_durable = size;
}

void content_maybe_truncate(struct content *c, uint64_t size)
{
	if (size < c->size_hi) {
		/* Cut, and perhaps filled with zeros again by a later writer. */
		write_range(c, size, c->size_hi, 0, true);
		c->size_lo = MIN(c->size_lo, size);
	} else {
		cover(c, size);
	}
	c->size_durable = MIN(c->size_durable, c->size_lo);
}

/* Does this fsync say that the newest version is on the medium? */
static bool says(const struct content_extent *e, unsigned writer, uint32_t before)
{
	if (content_writer(e->ids[0]) == writer)
		return e->live == 1 || !e->maybe;
	/* Of what others lost before, it knows nothing. */
	return e->live == 1 && (before == UINT32_MAX || (content_counter(e->ids[0]) && content_counter(e->ids[0]) <= before));
}

void content_synced(struct content *c, unsigned writer, uint32_t before)
{
	for (size_t i = 0; i < c->n; i++) {
		struct content_extent *e = &c->ext[i];

		if (!says(e, writer, before))
			continue;
		e->live = e->n = 1;
		e->overflow = false;
		if (e->end <= c->size_lo)
			c->size_durable = MAX(c->size_durable, e->end);
	}
	merge(c);
}

void content_sync_failed(struct content *c, unsigned writer)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->ext[i].live > 1 && content_writer(c->ext[i].ids[0]) == writer)
			c->ext[i].maybe = true;
}

void content_power_cut(struct content *c)
{
	for (size_t i = 0; i < c->n; i++)
		c->ext[i].live = c->ext[i].n;
	c->size_lo = MIN(c->size_lo, c->size_durable);
	merge(c);
}

/* How many bytes from p on are those of id. */
static uint64_t match(uint32_t id, uint64_t offset, const uint8_t *p, uint64_t len)
{
	uint64_t n = 0;

	while (n < len && p[n] == content_byte(id, offset + n))
		n++;
	return n;
}

/*
 * What was seen stays. An older version that came back after a power cut is what the medium holds: durable. The newest one may
 * have been on a target that did not lose its power: the next cut may undo it.
 */
static void settle(struct content_extent *e, unsigned seen)
{
	uint32_t id = e->ids[seen];

	if (e->live == 1)
		return;
	memmove(e->ids + 1, e->ids, seen * sizeof(e->ids[0]));
	e->ids[0] = id;
	e->live = 1;
	if (!e->maybe && seen) {
		e->n = 1;
		e->overflow = false;
	}
	e->maybe = false;
}

/* One extent, or a part of it, against the bytes read; false: impossible. */
static bool check_run(struct content *c, size_t at, const uint8_t *p, uint64_t len, char *why, size_t why_size)
{
	while (len) {
		struct content_extent *e = &c->ext[at];
		uint64_t best = 0, n;
		unsigned seen = 0;

		if (e->overflow && e->live > 1)
			return true;
		for (unsigned i = 0; i < e->live; i++) {
			n = match(e->ids[i], e->start, p, len);
			if (n > best) {
				best = n;
				seen = i;
			}
		}
		if (!best) {
			snprintf(why, why_size, "byte %llu is %02x, allowed are %u versions, the newest %08x (writer %u) with %02x",
				 (unsigned long long)e->start, p[0], e->live, e->ids[0], content_writer(e->ids[0]),
				 content_byte(e->ids[0], e->start));
			return false;
		}
		if (best < len)
			(void)split(c, e->start + best);
		settle(&c->ext[at], seen);
		at++;
		p += best;
		len -= best;
	}
	return true;
}

static bool check_end(struct content *c, uint64_t end, char *why, size_t why_size)
{
	if (end < c->size_lo || end > c->size_hi) {
		snprintf(why, why_size, "size seen is %llu, must be in %llu..%llu", (unsigned long long)end,
			 (unsigned long long)c->size_lo, (unsigned long long)c->size_hi);
		return false;
	}
	cut_down(c, end);
	c->size_lo = c->size_hi;
	c->size_durable = MIN(c->size_durable, c->size_lo);
	return true;
}

/* A read of nothing tells that the end is at or before its offset. */
static bool check_nothing(struct content *c, uint64_t offset, char *why, size_t why_size)
{
	if (offset < c->size_lo) {
		snprintf(why, why_size, "nothing was read, the file is at least %llu long", (unsigned long long)c->size_lo);
		return false;
	}
	cut_down(c, offset);
	return true;
}

bool content_check(struct content *c, uint64_t offset, uint64_t want, const uint8_t *p, uint64_t got, char *why, size_t why_size)
{
	uint64_t end = offset + got;
	size_t to;

	if (!got)
		return !want || check_nothing(c, offset, why, why_size);
	if (got < want && !check_end(c, end, why, why_size))
		return false;
	if (end > c->size_hi) {
		snprintf(why, why_size, "read up to %llu, the file ends at %llu", (unsigned long long)end,
			 (unsigned long long)c->size_hi);
		return false;
	}
	c->size_lo = MAX(c->size_lo, end);
	(void)split(c, offset);
	to = split(c, end);
	/* Backwards: cutting one extent leaves the indices of those before it alone. */
	while (to-- > 0 && c->ext[to].start >= offset)
		if (!check_run(c, to, p + (c->ext[to].start - offset), c->ext[to].end - c->ext[to].start, why, why_size))
			return false;
	merge(c);
	return true;
}

bool content_check_size(struct content *c, uint64_t size, char *why, size_t why_size)
{
	return check_end(c, size, why, why_size);
}
