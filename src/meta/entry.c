/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What replies say of an inode: attributes, layout, capability. */
#include "meta/meta_priv.h"

void make_cap(struct op *op, const struct inode *i, uint32_t rights, uint32_t layout_gen, struct wp_cap *cap, uint8_t *mac)
{
	*cap = (struct wp_cap){ .fid = i->fid, .rights = rights, .layout_gen = layout_gen, .session = op->ses ? op->ses->id : 0,
				.expiry = op->now_ns / NSEC_PER_SEC + META_CAP_LIFETIME_S };
	cap_sign(&op->mt->key, cap, mac);
}

int entry_wait(struct op *op, const struct inode *i)
{
	struct minode *m;

	if (!inode_is_reg(i))
		return 0;
	m = minode_find(op->mt, &i->fid);
	if (m && m->job) {
		mop_wait_job(op, m);
		return OP_WAIT;
	}
	if (ino_needs_settling(op->mt, i)) {
		settle_start(op->mt, &i->fid);
		mop_wait_job(op, minode_find(op->mt, &i->fid));
		return OP_WAIT;
	}
	return 0;
}

int entry_fill(struct op *op, const struct inode *i, uint32_t rights, bool want_layout, struct wp_entry *e)
{
	bool unsettled = inode_is_reg(i) && ino_unsettled(op->mt, i);
	int err;

	memset(e, 0, sizeof(*e));
	ino_attr(i, &e->attr);
	/* ino_flush counts the change that is being made. */
	e->attr.change += i->dirty && !i->fresh ? 1 : 0;
	if (unsettled) {
		e->attr.flags |= WP_ATTR_UNSETTLED;
		minode_size_asked(minode_find(op->mt, &i->fid), op->ses);
	}
	if (inode_is_dir(i) && want_layout) {
		err = layout_decode(op->arena, layout_policy(op->mt, i), &e->layout);
		if (!err)
			e->has |= WP_ENTRY_HAS_LAYOUT;
		return err;
	}
	if (!inode_is_reg(i) || !(unsettled || rights || want_layout))
		return 0;
	err = layout_decode(op->arena, i->extra, &e->layout);
	if (err)
		return err;
	e->has |= WP_ENTRY_HAS_LAYOUT;
	if (unsettled || rights) {
		make_cap(op, i, rights | WP_RIGHTS_READ, e->layout.generation, &e->cap, arena_alloc(op->arena, WP_MAC_SIZE));
		e->has |= WP_ENTRY_HAS_CAP;
	}
	return 0;
}

void entry_dir(struct op *op, const struct inode *dir, struct wp_entry *e)
{
	e->has = 0;
	ino_attr(dir, &e->attr);
	e->attr.change += dir->dirty && !dir->fresh ? 1 : 0;
}

int entry_fill_removed(struct op *op, const struct inode *i, struct wp_entry *e)
{
	if (!i->deleted)
		return entry_fill(op, i, 0, false, e);
	entry_dir(op, i, e);
	e->attr.nlink = 0;
	e->attr.flags |= WP_ATTR_ORPHAN;
	return 0;
}

/* At least what its encoding takes. */
size_t entry_size(const struct wp_entry *e)
{
	size_t n = 512;

	for (uint32_t i = 0; e->has & WP_ENTRY_HAS_LAYOUT && i < e->layout.components_n; i++)
		n += 128 + e->layout.components[i].pool.len + e->layout.components[i].targets_n * 4u;
	return n;
}
