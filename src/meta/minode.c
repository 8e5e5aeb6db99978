/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Inodes in use: handles, and what must happen when the last of them goes. */
#include "base/log.h"
#include "meta/meta_priv.h"

struct minode *minode_find(struct meta_target *mt, const struct wp_fid *fid)
{
	uint64_t ino = wp_fid_to_ino(fid);
	struct htab_node *n;

	htab_each_match (n, &mt->minodes, hash_u64(ino)) {
		struct minode *m = container_of(n, struct minode, node);

		if (m->ino == ino)
			return m;
	}
	return NULL;
}

struct minode *minode_get(struct meta_target *mt, const struct wp_fid *fid)
{
	struct minode *m = minode_find(mt, fid);

	if (m)
		return m;
	m = NEW(struct minode);
	m->ino = wp_fid_to_ino(fid);
	list_init(&m->handles);
	list_init(&m->queue);
	htab_add(&mt->minodes, &m->node, hash_u64(m->ino));
	return m;
}

void minode_put(struct meta_target *mt, struct minode *m)
{
	if (m->n_handles || m->job || m->lingers || !list_empty(&m->queue))
		return;
	htab_del(&mt->minodes, &m->node);
	free(m);
}

struct handle *handle_find(struct session *ses, uint64_t id)
{
	struct htab_node *n;

	htab_each_match (n, &ses->handles, hash_u64(id)) {
		struct handle *h = container_of(n, struct handle, node);

		if (h->id == id)
			return h;
	}
	return NULL;
}

uint32_t handle_prepare(struct inode *i, uint32_t flags)
{
	uint32_t before = i->comps;

	if (!(flags & WP_OPEN_WRITE) || !inode_is_reg(i))
		return 0;
	if (i->flags & INO_WRITING)
		return COMPS_UNKNOWN;
	i->flags |= INO_WRITING;
	i->comps = COMPS_UNKNOWN;
	i->dirty = true;
	return before;
}

struct handle *handle_add(struct op *op, const struct inode *i, uint64_t id, uint32_t flags, uint32_t comps_before)
{
	struct minode *m = minode_get(op->mt, &i->fid);
	struct handle *h = NEW(struct handle), *other;

	h->ses = op->ses;
	h->m = m;
	h->id = id;
	h->flags = flags;
	m->orphan = !i->nlink;
	if (flags & WP_OPEN_WRITE) {
		h->shared = m->n_writers > 0 || comps_before == COMPS_UNKNOWN;
		list_each (other, &m->handles, link)
			other->shared = true;
		if (!m->n_writers++) {
			m->comps_before = comps_before;
			m->unwritten = comps_before != COMPS_UNKNOWN;
		}
	}
	list_append(&m->handles, &h->link);
	m->n_handles++;
	htab_add(&op->ses->handles, &h->node, hash_u64(id));
	op->mt->counters.open_files++;
	return h;
}

void handle_drop(struct meta_target *mt, struct handle *h)
{
	struct minode *m = h->m;

	if (h->flags & WP_OPEN_WRITE)
		m->n_writers--;
	m->n_handles--;
	list_del(&h->link);
	htab_del(&h->ses->handles, &h->node);
	mt->counters.open_files--;
	free(h);
}

void minode_size_changed(struct minode *m, struct handle *by)
{
	struct handle *h;

	if (!m)
		return;
	list_each (h, &m->handles, link)
		if (h != by)
			h->shared = true;
	if (by)
		by->resized = true;
}

void minode_size_asked(struct minode *m, const struct session *by)
{
	struct handle *h;

	if (!m)
		return;
	list_each (h, &m->handles, link)
		if (h->ses != by)
			h->shared = true;
}

/* The last writer went without having written: the record is as it was before the first came. */
static void unwritten(struct op *op, struct inode *i, const struct minode *m)
{
	i->flags &= ~(uint32_t)INO_WRITING;
	i->comps = m->comps_before;
	i->dirty = true;
	if (mop_commit_step(op))
		log_debug("meta", "inode %llx stays marked as written", (unsigned long long)m->ino);
}

void ino_released(struct meta_target *mt, const struct wp_fid *fid)
{
	struct minode *m = minode_find(mt, fid);
	struct inode *i;
	struct op *op;

	if (!m || m->job || mt->state != META_RUNNING) /* the job's end comes here again */
		return;
	op = mop_internal(mt);
	if (ino_load(op, fid, &i)) {
		/* destroyed meanwhile */
	} else if (m->orphan && !m->n_handles && !m->lingers && !mt->grace) {
		ino_destroy(op, i);
		if (mop_commit_step(op))
			log_debug("meta", "an orphan is removed at the next start only");
	} else if (i->flags & INO_WRITING && !m->n_writers && !m->orphan && !mt->grace) {
		if (m->unwritten)
			unwritten(op, i, m);
		else
			settle_start(mt, fid); /* also after writers of before a restart, whom only the record remembers */
	}
	mop_internal_done(op);
	minode_put(mt, m);
}
