/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "env/timers.h"

static bool before(const struct timer_slot *a, const struct timer_slot *b)
{
	return a->deadline_ns < b->deadline_ns || (a->deadline_ns == b->deadline_ns && a->order < b->order);
}

static void place(struct timers *h, size_t i, struct timer_slot s)
{
	h->slots[i] = s;
	s.timer->heap_index = i;
}

static void sift_up(struct timers *h, size_t i, struct timer_slot s)
{
	while (i > 1 && before(&s, &h->slots[i / 2])) {
		place(h, i, h->slots[i / 2]);
		i /= 2;
	}
	place(h, i, s);
}

static void sift_down(struct timers *h, size_t i, struct timer_slot s)
{
	size_t child;

	while ((child = 2 * i) <= h->count) {
		if (child < h->count && before(&h->slots[child + 1], &h->slots[child]))
			child++;
		if (!before(&h->slots[child], &s))
			break;
		place(h, i, h->slots[child]);
		i = child;
	}
	place(h, i, s);
}

void timers_done(struct timers *h)
{
	for (size_t i = 1; i <= h->count; i++)
		h->slots[i].timer->heap_index = 0;
	free(h->slots);
	*h = (struct timers){ 0 };
}

void timers_cancel(struct timers *h, struct env_timer *t)
{
	size_t i = t->heap_index;
	struct timer_slot last;

	if (!i)
		return;
	weft_assert(i <= h->count && h->slots[i].timer == t);
	t->heap_index = 0;
	last = h->slots[h->count--];
	if (last.timer == t)
		return;
	if (i > 1 && before(&last, &h->slots[i / 2]))
		sift_up(h, i, last);
	else
		sift_down(h, i, last);
}

void timers_arm(struct timers *h, struct env_timer *t, uint64_t deadline_ns)
{
	struct timer_slot s = { .deadline_ns = deadline_ns, .order = h->next_order++, .timer = t };

	timers_cancel(h, t);
	t->deadline_ns = deadline_ns;
	if (h->count + 2 > h->cap) {
		h->cap = h->cap ? h->cap * 2 : 16;
		h->slots = xrealloc(h->slots, h->cap * sizeof(*h->slots));
	}
	sift_up(h, ++h->count, s);
}

struct env_timer *timers_pop(struct timers *h, uint64_t now_ns)
{
	struct env_timer *t;

	if (timers_next_ns(h) > now_ns || !h->count)
		return NULL;
	t = h->slots[1].timer;
	timers_cancel(h, t);
	return t;
}
