/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "meta/locktab.h"

#include "proto/fid.h"

struct lock {
	struct list node;
	struct lock_spec s;
};

struct lock_inode {
	struct htab_node node;
	struct locktab *tab;
	struct wp_fid fid;
	struct list held;  /* of struct lock; POSIX ones of an owner do not overlap */
	struct list waits; /* of struct lock_wait, in order of arrival */
};

#define DEADLOCK_STEPS_MAX 1000u /* longer chains are let wait */

static bool same_owner(const struct lock_owner *a, const struct lock_owner *b)
{
	return a->session == b->session && a->number == b->number;
}

static bool overlaps(const struct lock_spec *a, const struct lock_spec *b) { return a->start <= b->end && b->start <= a->end; }

static bool conflicts(const struct lock_spec *a, const struct lock_spec *b)
{
	return a->kind == b->kind && !same_owner(&a->owner, &b->owner) && overlaps(a, b) &&
	       (a->type == WP_LOCK_TYPE_WRITE || b->type == WP_LOCK_TYPE_WRITE);
}

static uint64_t fid_hash(const struct wp_fid *fid) { return hash_u64(fid->seq << 24 ^ fid->oid); }

static struct lock_inode *find_inode(struct locktab *t, const struct wp_fid *fid)
{
	struct htab_node *n;

	htab_each_match(n, &t->inodes, fid_hash(fid))
		if (wp_fid_eq(&container_of(n, struct lock_inode, node)->fid, fid))
			return container_of(n, struct lock_inode, node);
	return NULL;
}

static struct lock_inode *get_inode(struct locktab *t, const struct wp_fid *fid)
{
	struct lock_inode *i = find_inode(t, fid);

	if (i)
		return i;
	i = NEW(struct lock_inode);
	i->tab = t;
	i->fid = *fid;
	list_init(&i->held);
	list_init(&i->waits);
	htab_add(&t->inodes, &i->node, fid_hash(fid));
	return i;
}

static void put_inode(struct lock_inode *i)
{
	if (!list_empty(&i->held) || !list_empty(&i->waits))
		return;
	htab_del(&i->tab->inodes, &i->node);
	free(i);
}

/* ---- held locks ---------------------------------------------------------------------------------------- */

static void add_lock(struct lock_inode *i, const struct lock_spec *s)
{
	struct lock *l = NEW(struct lock);

	l->s = *s;
	list_append(&i->held, &l->node);
	i->tab->count++;
}

static void drop_lock(struct lock_inode *i, struct lock *l)
{
	list_del(&l->node);
	i->tab->count--;
	free(l);
}

/* Takes the range of s out of the owner's lock l: it may vanish, shrink or fall in two. */
static void carve(struct lock_inode *i, struct lock *l, const struct lock_spec *s)
{
	if (l->s.start < s->start && l->s.end > s->end) {
		struct lock_spec right = l->s;

		right.start = s->end + 1;
		add_lock(i, &right);
		l->s.end = s->start - 1;
	} else if (l->s.start < s->start) {
		l->s.end = s->start - 1;
	} else if (l->s.end > s->end) {
		l->s.start = s->end + 1;
	} else {
		drop_lock(i, l);
	}
}

static bool touches(const struct lock_spec *a, const struct lock_spec *b)
{
	return (a->end != UINT64_MAX && a->end + 1 == b->start) || (b->end != UINT64_MAX && b->end + 1 == a->start) ||
	       overlaps(a, b);
}

/* The owner's own locks in the range give way; neighbours of the same type are joined. */
static void apply(struct lock_inode *i, const struct lock_spec *spec)
{
	struct lock_spec s = *spec;
	struct lock *l, *tmp;

	list_each_safe (l, tmp, &i->held, node)
		if (l->s.kind == s.kind && same_owner(&l->s.owner, &s.owner) && overlaps(&l->s, &s))
			carve(i, l, &s);
	if (s.type == WP_LOCK_TYPE_UNLOCK)
		return;
	list_each_safe (l, tmp, &i->held, node)
		if (l->s.kind == s.kind && l->s.type == s.type && same_owner(&l->s.owner, &s.owner) && touches(&l->s, &s)) {
			s.start = MIN(s.start, l->s.start);
			s.end = MAX(s.end, l->s.end);
			drop_lock(i, l);
		}
	add_lock(i, &s);
}

static struct lock *find_conflict(const struct lock_inode *i, const struct lock_spec *s)
{
	struct lock *l;

	list_each (l, &i->held, node)
		if (conflicts(&l->s, s))
			return l;
	return NULL;
}

/* ---- waiting ------------------------------------------------------------------------------------------- */

/* Does the owner wait, through whatever chain, for goal? */
static bool waits_for(struct locktab *t, const struct lock_owner *owner, const struct lock_owner *goal, unsigned *steps)
{
	struct lock_wait *w;
	struct lock *l;

	if (same_owner(owner, goal))
		return true;
	list_each (w, &t->waits, all) {
		if (w->spec.kind != WP_LOCK_KIND_POSIX || !same_owner(&w->spec.owner, owner))
			continue;
		list_each (l, &w->ino->held, node) {
			if (!conflicts(&l->s, &w->spec))
				continue;
			if (++*steps > DEADLOCK_STEPS_MAX)
				return false;
			if (waits_for(t, &l->s.owner, goal, steps))
				return true;
		}
	}
	return false;
}

static bool would_deadlock(struct locktab *t, const struct lock_inode *i, const struct lock_spec *s)
{
	unsigned steps = 0;
	struct lock *l;

	if (s->kind != WP_LOCK_KIND_POSIX)
		return false;
	list_each (l, &i->held, node)
		if (conflicts(&l->s, s) && waits_for(t, &l->s.owner, &s->owner, &steps))
			return true;
	return false;
}

static void unqueue(struct lock_wait *w)
{
	list_del(&w->node);
	list_del(&w->all);
}

static bool earlier_waiter_conflicts(const struct lock_inode *i, const struct lock_spec *s, const struct lock_wait *until)
{
	struct lock_wait *w;

	list_each (w, &i->waits, node) {
		if (w == until)
			return false;
		if (conflicts(&w->spec, s))
			return true;
	}
	return false;
}

/* The very lock is held already: its owner was not told, and asks again. Behind those that wait for it, it would wait for ever. */
static bool is_held(const struct lock_inode *i, const struct lock_spec *s)
{
	const struct lock *l;

	list_each (l, &i->held, node)
		if (l->s.kind == s->kind && l->s.type == s->type && same_owner(&l->s.owner, &s->owner) && l->s.start <= s->start &&
		    l->s.end >= s->end)
			return true;
	return false;
}

static bool must_queue(const struct lock_inode *i, const struct lock_spec *s, const struct lock_wait *until)
{
	return !is_held(i, s) && earlier_waiter_conflicts(i, s, until);
}

/* Grants what can be granted now. Callbacks run when the table is consistent again; they may call back into it. */
static void wake(struct lock_inode *i)
{
	struct lock_wait *w, *tmp;
	struct list granted;

	list_init(&granted);
	list_each_safe (w, tmp, &i->waits, node) {
		if (find_conflict(i, &w->spec) || must_queue(i, &w->spec, w))
			continue;
		unqueue(w);
		apply(i, &w->spec);
		list_append(&granted, &w->node);
	}
	while ((w = list_pop(&granted, struct lock_wait, node)))
		w->done(w, 0);
}

/* ---- interface ----------------------------------------------------------------------------------------- */

void locktab_init(struct locktab *t)
{
	htab_init(&t->inodes);
	list_init(&t->waits);
	t->count = 0;
}

static bool collect_all(struct htab_node *n, void *arg)
{
	struct lock_inode *i = container_of(n, struct lock_inode, node);
	struct lock *l;
	struct lock_wait *w;

	while ((l = list_pop(&i->held, struct lock, node)))
		free(l);
	while ((w = list_pop(&i->waits, struct lock_wait, node)))
		list_del(&w->all);
	free(i);
	return true;
}

void locktab_done(struct locktab *t)
{
	htab_each(&t->inodes, collect_all, NULL);
	htab_done(&t->inodes);
}

int locktab_set(struct locktab *t, const struct wp_fid *fid, const struct lock_spec *spec, struct lock_wait *w)
{
	struct lock_inode *i;
	int r = 0;

	if (spec->start > spec->end)
		return -EINVAL;
	i = get_inode(t, fid);
	if (spec->type == WP_LOCK_TYPE_UNLOCK) {
		apply(i, spec);
		wake(i);
	} else if (!find_conflict(i, spec) && !(w && must_queue(i, spec, NULL))) {
		apply(i, spec);
		wake(i); /* a downgrade lets readers in */
	} else if (!w) {
		r = -EAGAIN;
	} else if (would_deadlock(t, i, spec)) {
		r = -EDEADLK;
	} else {
		w->spec = *spec;
		w->ino = i;
		list_append(&i->waits, &w->node);
		list_append(&t->waits, &w->all);
		return -EINPROGRESS;
	}
	put_inode(i);
	return r;
}

bool locktab_test(struct locktab *t, const struct wp_fid *fid, const struct lock_spec *spec, struct lock_spec *conflict)
{
	struct lock_inode *i = find_inode(t, fid);
	struct lock *l, *first = NULL;

	if (!i)
		return false;
	list_each (l, &i->held, node)
		if (conflicts(&l->s, spec) && (!first || l->s.start < first->s.start))
			first = l;
	if (first)
		*conflict = first->s;
	return first != NULL;
}

static void end_wait(struct lock_wait *w, int err)
{
	struct lock_inode *i = w->ino;

	unqueue(w);
	w->done(w, err);
	wake(i); /* those behind it may not wait any more */
	put_inode(i);
}

void locktab_cancel(struct lock_wait *w) { end_wait(w, -EINTR); }

struct lock_wait *locktab_find_wait(struct locktab *t, const struct wp_fid *fid, uint8_t kind, const struct lock_owner *owner,
				    uint64_t start, uint64_t end)
{
	struct lock_inode *i = find_inode(t, fid);
	struct lock_wait *w;

	if (!i)
		return NULL;
	list_each (w, &i->waits, node)
		if (w->spec.kind == kind && same_owner(&w->spec.owner, owner) && w->spec.start == start && w->spec.end == end)
			return w;
	return NULL;
}

void locktab_release_owner(struct locktab *t, const struct wp_fid *fid, uint8_t kind, const struct lock_owner *owner)
{
	struct lock_spec all = { .kind = kind, .type = WP_LOCK_TYPE_UNLOCK, .owner = *owner, .end = UINT64_MAX };
	struct lock_inode *i = find_inode(t, fid);
	struct lock_wait *w, *tmp;

	if (!i)
		return;
	list_each_safe (w, tmp, &i->waits, node)
		if (w->spec.kind == kind && same_owner(&w->spec.owner, owner)) {
			unqueue(w);
			w->done(w, -EINTR);
		}
	apply(i, &all);
	wake(i);
	put_inode(i);
}

struct of_session {
	uint64_t session;
	unsigned count;
	struct lock_inode *with; /* an inode where it has something */
};

static bool find_session(struct htab_node *n, void *arg)
{
	struct lock_inode *i = container_of(n, struct lock_inode, node);
	struct of_session *s = arg;
	struct lock_wait *w;
	struct lock *l;

	list_each (l, &i->held, node)
		if (l->s.owner.session == s->session) {
			s->count++;
			s->with = i;
		}
	list_each (w, &i->waits, node)
		if (w->spec.owner.session == s->session)
			s->with = i;
	return true;
}

static void release_session_on(struct lock_inode *i, uint64_t session)
{
	struct lock_wait *w, *wtmp;
	struct lock *l, *ltmp;

	list_each_safe (w, wtmp, &i->waits, node)
		if (w->spec.owner.session == session) {
			unqueue(w);
			w->done(w, -ESTALE);
		}
	list_each_safe (l, ltmp, &i->held, node)
		if (l->s.owner.session == session)
			drop_lock(i, l);
	wake(i);
	put_inode(i);
}

void locktab_release_session(struct locktab *t, uint64_t session)
{
	for (;;) {
		struct of_session s = { .session = session };

		htab_each(&t->inodes, find_session, &s);
		if (!s.with)
			return;
		release_session_on(s.with, session);
	}
}

unsigned locktab_count(struct locktab *t, uint64_t session)
{
	struct of_session s = { .session = session };

	htab_each(&t->inodes, find_session, &s);
	return s.count;
}

bool locktab_has(struct locktab *t, const struct wp_fid *fid) { return find_inode(t, fid) != NULL; }
