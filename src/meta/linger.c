/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A file whose last name a rename gave to another lives on for a moment, as an orphan: who looked that name up just before opens
 * what it stood for then, as if the open had come first. Otherwise a name that is replaced over and over could not be opened
 * reliably (POSIX rename: "a link named new shall remain visible to other threads throughout").
 */
#include "meta/meta_priv.h"

#define LINGER_NS (NSEC_PER_SEC / 2) /* longer than any client takes from its look-up to its open */

struct linger {
	struct list link; /* meta_target.lingering, in order */
	struct wp_fid fid;
	uint64_t until_ns;
};

void linger_pin(struct op *op, const struct inode *i)
{
	if (inode_is_reg(i) && i->nlink <= 1)
		minode_get(op->mt, &i->fid)->lingers++;
}

void linger_unpin(struct meta_target *mt, const struct wp_fid *fid)
{
	struct minode *m = minode_find(mt, fid);

	if (!m || !m->lingers)
		return;
	m->lingers--;
	ino_released(mt, fid);
}

static void expire(void *arg)
{
	struct meta_target *mt = arg;
	uint64_t now = env_mono_ns(mt->env);

	while (!list_empty(&mt->lingering)) {
		struct linger *l = list_first(&mt->lingering, struct linger, link);
		struct wp_fid fid = l->fid;

		if (l->until_ns > now) {
			env_timer_arm(mt->env, &mt->linger_timer, l->until_ns);
			return;
		}
		list_del(&l->link);
		free(l);
		linger_unpin(mt, &fid);
	}
}

void linger_start(struct meta_target *mt, const struct wp_fid *fid)
{
	struct minode *m = minode_find(mt, fid);
	struct linger *l;

	if (!m || !m->lingers)
		return;
	l = NEW(struct linger);
	l->fid = *fid;
	l->until_ns = env_mono_ns(mt->env) + LINGER_NS;
	list_append(&mt->lingering, &l->link);
	if (!env_timer_armed(&mt->linger_timer))
		env_timer_arm(mt->env, &mt->linger_timer, l->until_ns);
}

void linger_init(struct meta_target *mt)
{
	list_init(&mt->lingering);
	mt->linger_timer = (struct env_timer){ .fn = expire, .arg = mt };
}

/* The orphans stay on record: the next start removes them. */
void linger_done(struct meta_target *mt)
{
	struct linger *l;

	env_timer_cancel(mt->env, &mt->linger_timer);
	while ((l = list_pop(&mt->lingering, struct linger, link)))
		free(l);
}
