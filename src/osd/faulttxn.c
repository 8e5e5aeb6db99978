/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Transactions of the fault engine over mem: visible below at once, durable when stable and a random delay has passed. */
#include "osd/fault_priv.h"

#include "osd/backends.h"

struct ftxn {
	struct list node;
	struct osd_txn other;        /* the values these keys have in the other state: before the transaction, or after it */
	uint64_t seq, due_ns;        /* due 0: not stable yet */
	struct fault_images *images; /* of a sync of the device */
	osd_commit_fn *fn;
	void *arg;
};

static void ftxn_free(struct ftxn *t)
{
	osd_txn_done(&t->other);
	fault_images_free(t->images);
	free(t);
}

static void progress(void *arg)
{
	struct fault *f = arg;
	uint64_t now = env_mono_ns(f->dev.env), applied = f->applied;

	OBJ_CHECK(f, FAULT_MAGIC);
	while (!list_empty(&f->txns)) {
		struct ftxn *t = list_first(&f->txns, struct ftxn, node);

		if (t->seq > f->stable)
			break;
		if (!t->due_ns)
			t->due_ns = now + fault_delay_ns(f);
		if (t->due_ns > now) {
			env_timer_arm(f->dev.env, &f->timer, t->due_ns);
			break;
		}
		list_del(&t->node);
		f->applied = MAX(f->applied, t->seq);
		if (t->images)
			fault_obj_settle(f, t->images);
		if (t->fn)
			t->fn(t->arg, 0);
		ftxn_free(t);
	}
	if (f->applied > applied && f->applied_fn)
		f->applied_fn(f->applied_arg);
}

void fault_txn_init(struct fault *f)
{
	f->timer = (struct env_timer){ .fn = progress, .arg = f };
	f->kick = kick_new(f->dev.env, progress, f);
	f->last_seq = f->applied;
}

void fault_txn_done(struct fault *f)
{
	weft_assert(list_empty(&f->txns));
	env_timer_cancel(f->dev.env, &f->timer);
	kick_free(f->kick);
}

/* t's values and those below change places. */
static void swap(struct fault *f, struct ftxn *t)
{
	struct osd_slice key, value, old;
	struct osd_txn now;
	size_t pos = 0;

	osd_txn_init(&now);
	while (osd_txn_next(&t->other, &pos, &key, &value)) {
		if (osd_get(f->below, key, &old) == 0)
			osd_txn_put(&now, key, old);
		else
			osd_txn_del(&now, key);
	}
	osd_mem_apply(f->below, &t->other);
	osd_txn_done(&t->other);
	t->other = now;
}

void fault_txn_swap_all(struct fault *f, bool back)
{
	for (struct list *p = back ? f->txns.prev : f->txns.next; p != &f->txns; p = back ? p->prev : p->next)
		swap(f, list_entry(p, struct ftxn, node));
}

int fault_txn_add(struct fault *f, struct osd_txn *t, uint64_t seq, osd_commit_fn *fn, void *arg)
{
	struct ftxn *ft = NEW(struct ftxn);
	struct osd_slice key, value, old;
	size_t pos = 0;
	int r;

	weft_assert(seq == OSD_SEQ_NONE || seq >= f->last_seq);
	*ft = (struct ftxn){ .seq = seq, .fn = fn, .arg = arg };
	while (osd_txn_next(t, &pos, &key, &value)) {
		if (osd_get(f->below, key, &old) == 0)
			osd_txn_put(&ft->other, key, old);
		else
			osd_txn_del(&ft->other, key);
	}
	r = osd_txn_submit(f->below, t, OSD_SEQ_NONE, NULL, NULL);
	if (r < 0) {
		ftxn_free(ft);
		return r;
	}
	f->last_seq = MAX(f->last_seq, seq);
	list_append(&f->txns, &ft->node);
	kick(f->kick);
	return 0;
}

void fault_txn_stable(struct fault *f, uint64_t seq)
{
	f->stable = MAX(f->stable, seq);
	kick(f->kick);
}

void fault_txn_sync(struct fault *f, osd_commit_fn *fn, void *arg)
{
	struct ftxn *ft = NEW(struct ftxn), *p;

	*ft = (struct ftxn){ .fn = fn, .arg = arg, .images = fault_obj_images(f) };
	list_each (p, &f->txns, node) /* behind all that is stable */
		if (p->seq > f->stable)
			break;
	list_insert(&ft->node, p->node.prev, &p->node);
	kick(f->kick);
}

/* Takes back all from p on, the newest first. */
static void take_back(struct fault *f, struct list *first)
{
	while (!list_empty(&f->txns)) {
		struct ftxn *t = list_last(&f->txns, struct ftxn, node);
		bool last = &t->node == first;

		swap(f, t);
		list_del(&t->node);
		ftxn_free(t);
		if (last)
			break;
	}
}

static struct list *first_unstable(struct fault *f, unsigned *stable)
{
	struct ftxn *t;

	*stable = 0;
	list_each (t, &f->txns, node) {
		if (t->seq > f->stable)
			return &t->node;
		++*stable;
	}
	return NULL;
}

void fault_txn_settle(struct fault *f)
{
	unsigned stable;
	struct list *cut = first_unstable(f, &stable);
	struct ftxn *t;

	if (cut)
		take_back(f, cut);
	list_each (t, &f->txns, node)
		t->due_ns = 1;
	progress(f);
}

void fault_txn_cut(struct fault *f)
{
	unsigned stable, kept;
	struct ftxn *t;

	(void)first_unstable(f, &stable);
	kept = (unsigned)fault_random(f, stable + 1);
	while (kept-- > 0) {
		t = list_pop(&f->txns, struct ftxn, node);
		f->applied = MAX(f->applied, t->seq);
		ftxn_free(t);
	}
	if (!list_empty(&f->txns))
		take_back(f, f->txns.next);
}
