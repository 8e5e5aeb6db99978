/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Contents of simulated files.
 *
 * Invariants:
 * 1. A page that more than one slot or snapshot refers to does not change.
 * 2. dur of a page never goes back to an older generation, in whatever order syncs complete.
 * 3. While a truncation is not durable, nothing that came after it is written back before it: after a power cut the file is
 *    either as it was, or shorter with any part of the later changes.
 */
#include "env/sim_fs_priv.h"

static struct sim_page *page_new(struct sim_host *h, bool allocated)
{
	struct sim_page *p = NEW(struct sim_page);

	p->refs = 1;
	p->allocated = allocated;
	p->generation = ++h->fs.generation;
	return p;
}

static struct sim_page *page_get(struct sim_page *p)
{
	if (p)
		p->refs++;
	return p;
}

static void page_put(struct sim_page *p)
{
	if (!p || --p->refs)
		return;
	free(p->data);
	free(p);
}

static uint64_t page_generation(const struct sim_page *p) { return p ? p->generation : 0; }

/* Index of the first slot whose number is not below no. */
static size_t slot_index(const struct sim_inode *in, uint64_t no)
{
	size_t lo = 0, hi = in->slots_n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (in->slots[mid].no < no)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static const struct sim_slot *slot_find(const struct sim_inode *in, uint64_t no)
{
	size_t i = slot_index(in, no);

	return i < in->slots_n && in->slots[i].no == no ? &in->slots[i] : NULL;
}

static struct sim_slot *slot_make(struct sim_inode *in, uint64_t no)
{
	size_t i = slot_index(in, no);

	if (i < in->slots_n && in->slots[i].no == no)
		return &in->slots[i];
	if (in->slots_n == in->slots_cap) {
		in->slots_cap = in->slots_cap ? in->slots_cap * 2 : 8;
		in->slots = xrealloc(in->slots, in->slots_cap * sizeof(*in->slots));
	}
	memmove(&in->slots[i + 1], &in->slots[i], (in->slots_n - i) * sizeof(*in->slots));
	in->slots_n++;
	in->slots[i] = (struct sim_slot){ .no = no };
	return &in->slots[i];
}

static void account(struct sim_host *h, struct sim_inode *in, bool was, bool is)
{
	if (was == is)
		return;
	in->allocated += is ? 1 : (size_t)-1;
	if (in->visible)
		h->fs.used += is ? SIM_PAGE : -(uint64_t)SIM_PAGE;
}

/* Takes over the reference to p. */
static void slot_set_cur(struct sim_host *h, struct sim_inode *in, struct sim_slot *s, struct sim_page *p)
{
	account(h, in, s->cur && s->cur->allocated, p && p->allocated);
	page_put(s->cur);
	s->cur = p;
	in->dirty_lo = MIN(in->dirty_lo, s->no);
	in->dirty_hi = MAX(in->dirty_hi, s->no);
}

static void slot_set_dur(struct sim_slot *s, struct sim_page *p)
{
	page_put(s->dur);
	s->dur = p;
}

void inode_count(struct sim_host *h, struct sim_inode *in, bool on)
{
	uint64_t bytes = (uint64_t)in->allocated * SIM_PAGE;

	h->fs.used += on ? bytes : -bytes;
}

uint64_t inode_growth(const struct sim_inode *in, uint64_t offset, uint64_t len)
{
	uint64_t first = offset / SIM_PAGE, last = (offset + len - 1) / SIM_PAGE, bytes;

	if (!len)
		return 0;
	bytes = (last - first + 1) * SIM_PAGE;
	for (size_t i = slot_index(in, first); i < in->slots_n && in->slots[i].no <= last; i++)
		if (in->slots[i].cur && in->slots[i].cur->allocated)
			bytes -= SIM_PAGE;
	return bytes;
}

/* The page of the slot, ours alone and with memory. */
static uint8_t *slot_writable(struct sim_host *h, struct sim_inode *in, struct sim_slot *s)
{
	struct sim_page *p = s->cur, *copy;

	/* what is dirty may reach the disk at any time, so any version of it may be found after a power cut */
	if (p && p != s->dur && !in->shrink_generation && !sim_draw(h->w, 4))
		slot_set_dur(s, page_get(p));
	if (p && p->refs == 1 && p->allocated && p->data) {
		p->generation = ++h->fs.generation;
		in->dirty_lo = MIN(in->dirty_lo, s->no);
		in->dirty_hi = MAX(in->dirty_hi, s->no);
		return p->data;
	}
	copy = page_new(h, true);
	copy->data = xcalloc(1, SIM_PAGE);
	if (p && p->data)
		memcpy(copy->data, p->data, SIM_PAGE);
	slot_set_cur(h, in, s, copy);
	return copy->data;
}

static void set_size(struct sim_host *h, struct sim_inode *in, uint64_t size)
{
	in->size = size;
	in->size_generation = ++h->fs.generation;
}

void inode_write(struct sim_host *h, struct sim_inode *in, uint64_t offset, const void *p, size_t len)
{
	const uint8_t *from = p;

	while (len) {
		uint64_t at = offset % SIM_PAGE;
		size_t n = MIN(len, SIM_PAGE - at);

		memcpy(slot_writable(h, in, slot_make(in, offset / SIM_PAGE)) + at, from, n);
		from += n;
		offset += n;
		len -= n;
	}
	if (offset > in->size)
		set_size(h, in, offset);
	in->mtime_ns = sim_wall_ns(h);
}

void inode_read(const struct sim_inode *in, uint64_t offset, void *p, size_t len)
{
	uint8_t *to = p;

	while (len) {
		const struct sim_slot *s = slot_find(in, offset / SIM_PAGE);
		uint64_t at = offset % SIM_PAGE;
		size_t n = MIN(len, SIM_PAGE - at);

		if (s && s->cur && s->cur->data)
			memcpy(to, s->cur->data + at, n);
		else
			memset(to, 0, n);
		to += n;
		offset += n;
		len -= n;
	}
}

static void zero_part(struct sim_host *h, struct sim_inode *in, uint64_t offset, uint64_t end)
{
	const struct sim_slot *found = slot_find(in, offset / SIM_PAGE);

	if (offset < end && found && found->cur && found->cur->data)
		memset(slot_writable(h, in, slot_make(in, offset / SIM_PAGE)) + offset % SIM_PAGE, 0, end - offset);
}

void inode_zero(struct sim_host *h, struct sim_inode *in, uint64_t offset, uint64_t len, bool keep)
{
	uint64_t end = offset + len < offset ? UINT64_MAX - SIM_PAGE : offset + len;
	uint64_t first = (offset + SIM_PAGE - 1) / SIM_PAGE, last = end / SIM_PAGE; /* whole pages: first <= no < last */

	if (first > last) { /* inside of one page */
		zero_part(h, in, offset, end);
		return;
	}
	zero_part(h, in, offset, first * SIM_PAGE);
	for (size_t i = slot_index(in, first); i < in->slots_n && in->slots[i].no < last; i++)
		if (in->slots[i].cur)
			slot_set_cur(h, in, &in->slots[i], page_new(h, keep && in->slots[i].cur->allocated));
	zero_part(h, in, last * SIM_PAGE, end);
	in->mtime_ns = sim_wall_ns(h);
}

void inode_allocate(struct sim_host *h, struct sim_inode *in, uint64_t offset, uint64_t len)
{
	struct sim_slot *s;
	struct sim_page *p;

	for (uint64_t no = offset / SIM_PAGE; len && no <= (offset + len - 1) / SIM_PAGE; no++) {
		s = slot_make(in, no);
		if (s->cur && s->cur->allocated)
			continue;
		p = page_new(h, true);
		slot_set_cur(h, in, s, p);
	}
}

/* The truncation reaches the disk. */
static void shrink_commit(struct sim_inode *in)
{
	uint64_t first = in->shrunk_to / SIM_PAGE, tail = in->shrunk_to % SIM_PAGE;
	struct sim_page *p;

	in->dur_size = MIN(in->dur_size, in->shrunk_to);
	for (size_t i = slot_index(in, first); i < in->slots_n; i++) {
		struct sim_slot *s = &in->slots[i];

		if (page_generation(s->dur) > in->shrink_generation)
			continue;
		p = NEW(struct sim_page);
		p->refs = 1;
		p->generation = in->shrink_generation;
		if (tail && s->no == first && s->dur && s->dur->data) {
			p->allocated = true;
			p->data = xcalloc(1, SIM_PAGE);
			memcpy(p->data, s->dur->data, tail);
		}
		slot_set_dur(s, p);
	}
	in->shrink_generation = 0;
}

void inode_set_size(struct sim_host *h, struct sim_inode *in, uint64_t size)
{
	if (size == in->size)
		return;
	if (size < in->size) {
		if (in->shrink_generation)
			shrink_commit(in); /* an earlier one has reached the disk by now */
		in->shrunk_to = size;
		in->shrink_generation = ++h->fs.generation;
		inode_zero(h, in, size, UINT64_MAX - size, false);
	}
	set_size(h, in, size);
	in->mtime_ns = sim_wall_ns(h);
}

int inode_seek(const struct sim_inode *in, uint64_t offset, bool hole, uint64_t *ret)
{
	uint64_t no = offset / SIM_PAGE;

	if (offset >= in->size)
		return -ENXIO;
	for (size_t i = slot_index(in, no);; i++) {
		while (i < in->slots_n && !(in->slots[i].cur && in->slots[i].cur->allocated))
			i++;
		if (hole && (i >= in->slots_n || in->slots[i].no > no)) {
			*ret = MIN(MAX(offset, no * SIM_PAGE), in->size);
			return 0;
		}
		if (!hole) {
			if (i >= in->slots_n || in->slots[i].no * SIM_PAGE >= in->size)
				return -ENXIO;
			*ret = MAX(offset, in->slots[i].no * SIM_PAGE);
			return 0;
		}
		no++;
	}
}

/* ---- durability ---------------------------------------------------------------------------------------------------------- */

static bool slot_dirty(const struct sim_slot *s) { return s->cur != s->dur; }

struct sim_snapshot *inode_snapshot(struct sim_host *h, struct sim_inode *in, uint64_t offset, uint64_t end)
{
	uint64_t first = MAX(offset / SIM_PAGE, in->dirty_lo), last = MIN(end / SIM_PAGE, in->dirty_hi);
	size_t from = slot_index(in, first), n = 0;
	struct sim_snapshot *s;

	for (size_t i = from; i < in->slots_n && in->slots[i].no <= last; i++)
		n += slot_dirty(&in->slots[i]);
	s = xcalloc(1, sizeof(*s) + n * sizeof(s->pages[0]));
	s->generation = h->fs.generation;
	s->size = in->size;
	s->size_generation = in->size_generation;
	for (size_t i = from; i < in->slots_n && in->slots[i].no <= last; i++)
		if (slot_dirty(&in->slots[i]))
			s->pages[s->n++] = (struct sim_snapshot_page){ in->slots[i].no, page_get(in->slots[i].cur) };
	if (!offset && end == UINT64_MAX) {
		in->dirty_lo = n ? s->pages[0].no : UINT64_MAX;
		in->dirty_hi = n ? s->pages[n - 1].no : 0;
	}
	return s;
}

void snapshot_free(struct sim_snapshot *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		page_put(s->pages[i].page);
	free(s);
}

void inode_commit(struct sim_inode *in, struct sim_snapshot *s)
{
	if (in->shrink_generation && in->shrink_generation <= s->generation)
		shrink_commit(in);
	for (size_t i = 0; i < s->n; i++) {
		struct sim_slot *slot = slot_make(in, s->pages[i].no);

		if (page_generation(s->pages[i].page) > page_generation(slot->dur))
			slot_set_dur(slot, page_get(s->pages[i].page));
	}
	if (s->size_generation > in->dur_size_generation) {
		in->dur_size = s->size;
		in->dur_size_generation = s->size_generation;
	}
	snapshot_free(s);
}

/* A page of which some sectors are the new ones. */
static void slot_tear(struct sim_host *h, struct sim_inode *in, struct sim_slot *s)
{
	struct sim_page *p;
	bool any = false;

	if (h->disk.sector >= SIM_PAGE || !s->cur || !s->cur->data) {
		if (sim_draw(h->w, 2))
			slot_set_cur(h, in, s, page_get(s->dur));
		return;
	}
	p = page_new(h, true);
	p->data = xcalloc(1, SIM_PAGE);
	if (s->dur && s->dur->data)
		memcpy(p->data, s->dur->data, SIM_PAGE);
	for (uint32_t at = 0; at < SIM_PAGE; at += h->disk.sector)
		if (sim_draw(h->w, 2)) {
			memcpy(p->data + at, s->cur->data + at, h->disk.sector);
			any = true;
		}
	if (!any) {
		page_put(p);
		p = page_get(s->dur);
	}
	slot_set_cur(h, in, s, p);
}

/* What the size is after the power cut; growth may be found in part. */
static uint64_t draw_size(struct sim_host *h, const struct sim_inode *in)
{
	uint64_t lo = in->dur_size, hi = in->size, some;

	switch (sim_draw(h->w, 3)) {
	case 0:
		return lo;
	case 1:
		return hi;
	default:
		some = hi > lo ? round_up_pow2(lo + sim_draw(h->w, hi - lo + 1), h->disk.sector) : hi;
		return MIN(hi, some);
	}
}

void inode_power_cut(struct sim_host *h, struct sim_inode *in)
{
	enum { NOTHING, EVERYTHING, TORN } fate;
	uint64_t size, draw = sim_draw(h->w, 4);

	if (in->is_dir)
		return;
	fate = draw == 0 ? NOTHING : draw == 1 ? EVERYTHING : TORN;
	if (in->shrink_generation) {
		if (sim_draw(h->w, 2))
			fate = NOTHING; /* not even the truncation */
		else
			shrink_commit(in);
	}
	size = fate == NOTHING ? in->dur_size : fate == EVERYTHING ? in->size : draw_size(h, in);
	for (size_t i = 0; i < in->slots_n; i++) {
		struct sim_slot *s = &in->slots[i];

		if (!slot_dirty(s))
			continue;
		if (fate == NOTHING)
			slot_set_cur(h, in, s, page_get(s->dur));
		else if (fate == TORN)
			slot_tear(h, in, s);
	}
	in->size = MAX(in->size, size);
	inode_zero(h, in, size, UINT64_MAX - size, false);
	set_size(h, in, size);
	for (size_t i = 0; i < in->slots_n; i++)
		slot_set_dur(&in->slots[i], page_get(in->slots[i].cur));
	in->dur_size = size;
	in->dur_size_generation = in->size_generation;
	in->shrink_generation = 0;
	in->dirty_lo = UINT64_MAX;
	in->dirty_hi = 0;
}

void inode_pages_done(struct sim_host *h, struct sim_inode *in)
{
	for (size_t i = 0; i < in->slots_n; i++) {
		page_put(in->slots[i].cur);
		page_put(in->slots[i].dur);
	}
	free(in->slots);
}
