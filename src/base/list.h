/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Intrusive doubly linked lists with a head; an unlinked node points at itself, so removal is idempotent. Not thread-safe. */
#ifndef WEFT_BASE_LIST_H
#define WEFT_BASE_LIST_H

#include "base/base.h"

struct list {
	struct list *next, *prev;
};

#define LIST_INIT(name) { &(name), &(name) }

static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_empty(const struct list *l) { return l->next == l; }

static inline void list_insert(struct list *n, struct list *prev, struct list *next)
{
	n->prev = prev;
	n->next = next;
	prev->next = n;
	next->prev = n;
}

static inline void list_push(struct list *head, struct list *n) { list_insert(n, head, head->next); }
static inline void list_append(struct list *head, struct list *n) { list_insert(n, head->prev, head); }

static inline void list_del(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

/* Moves all nodes of from to the end of to; from is empty afterwards. */
static inline void list_splice(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_first(head, type, member) list_entry((head)->next, type, member)
#define list_last(head, type, member) list_entry((head)->prev, type, member)

/* NULL when empty. */
#define list_pop(head, type, member)                                                                                          \
	({                                                                                                                    \
		struct list *list_n_ = (head)->next;                                                                          \
		bool list_some_ = list_n_ != (head);                                                                          \
		if (list_some_)                                                                                               \
			list_del(list_n_);                                                                                    \
		list_some_ ? list_entry(list_n_, type, member) : (type *)NULL;                                                \
	})

#define list_each(pos, head, member)                                                                                          \
	for (pos = list_entry((head)->next, __typeof__(*pos), member); &pos->member != (head);                                \
	     pos = list_entry(pos->member.next, __typeof__(*pos), member))

/* pos may be unlinked and freed in the body. */
#define list_each_safe(pos, tmp, head, member)                                                                                \
	for (pos = list_entry((head)->next, __typeof__(*pos), member),                                                        \
	    tmp = list_entry(pos->member.next, __typeof__(*pos), member);                                                     \
	     &pos->member != (head); pos = tmp, tmp = list_entry(tmp->member.next, __typeof__(*pos), member))

#endif
