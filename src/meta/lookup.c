/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Reads: lookup, getattr, readlink, opendir, access, statfs, the way back, capabilities, counters. */
#include "meta/meta_priv.h"

#define COUNTERS_MAX 128u

int meta_ping(struct op *op)
{
	struct wp_ping_rep rep;

	META_REQ(op, ping, m);
	rep = (struct wp_ping_rep){ .token = m->token, .now = time_of_ns(op->now_ns) };
	op->lazy = true;
	wp_ping_rep_enc(mop_enc(op, 64), &rep);
	return 0;
}

int meta_counters_get(struct op *op)
{
	struct wp_counters_rep rep;

	META_REQ(op, counters, m);
	(void)m;
	rep = (struct wp_counters_rep){ .counters = arena_alloc(op->arena, COUNTERS_MAX * sizeof(*rep.counters)) };
	rep.counters_n = meta_target_rows(op->mt, rep.counters, COUNTERS_MAX);
	wp_counters_rep_enc(mop_enc(op, 64 + rep.counters_n * 128u), &rep);
	return 0;
}

int meta_lookup(struct op *op)
{
	struct wp_lookup_rep rep = { .found = 1 };
	struct inode *dir, *i = NULL;
	struct wp_fid fid;
	uint32_t type;
	int err;

	META_REQ(op, lookup, m);
	err = dir_get(op, &m->parent, &m->cred, MAY_EXEC, &dir);
	if (!err)
		err = name_check(m->name);
	if (!err && lease_want_read(op, dir))
		err = OP_WAIT;
	if (err)
		return err;
	err = dentry_find(op->mt, &dir->fid, m->name, &fid, &type);
	if (err == -ENOENT && m->negative) {
		rep.found = 0;
		err = 0;
	} else if (!err) {
		err = ino_get(op, &fid, &i);
		if (!err)
			err = entry_wait(op, i);
		if (!err && lease_want_read(op, i))
			err = OP_WAIT;
		if (!err)
			err = entry_fill(op, i, 0, false, &rep.entry);
	}
	if (err)
		return err;
	entry_dir(op, dir, &rep.dir);
	if (rep.found)
		(void)lease_entry(op, i, WP_LEASE_ATTR | WP_LEASE_LAYOUT, &rep.entry);
	(void)lease_entry(op, dir, WP_LEASE_ENTRIES | WP_LEASE_ATTR, &rep.dir);
	wp_lookup_rep_enc(mop_enc(op, entry_size(&rep.entry) + ENTRY_DIR_SIZE), &rep);
	return 0;
}

int meta_getattr(struct op *op)
{
	struct wp_getattr_rep rep = { 0 };
	struct inode *i;
	int err;

	META_REQ(op, getattr, m);
	err = ino_get(op, &m->fid, &i);
	if (!err)
		err = entry_wait(op, i);
	if (!err && lease_want_read(op, i))
		err = OP_WAIT;
	if (!err)
		err = entry_fill(op, i, 0, m->flags & 1, &rep.entry);
	if (err)
		return err;
	(void)lease_entry(op, i, WP_LEASE_ATTR | WP_LEASE_LAYOUT, &rep.entry);
	wp_getattr_rep_enc(mop_enc(op, entry_size(&rep.entry)), &rep);
	return 0;
}

int meta_readlink(struct op *op)
{
	struct wp_readlink_rep rep;
	struct inode *i;
	int err;

	META_REQ(op, readlink, m);
	err = ino_get(op, &m->fid, &i);
	if (err)
		return err;
	if (!S_ISLNK(i->mode))
		return -EINVAL;
	rep = (struct wp_readlink_rep){ .target = wp_str_n((const char *)i->extra.p, i->extra.len) };
	wp_readlink_rep_enc(mop_enc(op, i->extra.len + 64), &rep);
	return 0;
}

int meta_opendir(struct op *op)
{
	struct wp_opendir_rep rep = { 0 };
	struct inode *i;
	int err;

	META_REQ(op, opendir, m);
	err = dir_get(op, &m->fid, &m->cred, MAY_READ, &i);
	if (!err && lease_want_read(op, i))
		err = OP_WAIT;
	if (!err)
		err = entry_fill(op, i, 0, false, &rep.entry);
	if (err)
		return err;
	(void)lease_entry(op, i, WP_LEASE_ENTRIES | WP_LEASE_ATTR, &rep.entry);
	wp_opendir_rep_enc(mop_enc(op, entry_size(&rep.entry)), &rep);
	return 0;
}

int meta_access(struct op *op)
{
	struct inode *i;
	int err;

	META_REQ(op, access, m);
	if (m->mask & ~7u)
		return -EINVAL;
	err = ino_get(op, &m->fid, &i);
	if (!err)
		err = access_check(op, i, &m->cred, m->mask);
	if (err)
		return err;
	wp_access_rep_enc(mop_enc(op, 64), &(struct wp_access_rep){ 0 });
	return 0;
}

int meta_statfs(struct op *op)
{
	struct wp_statfs_rep rep;
	struct osd_space s;

	META_REQ(op, statfs, m);
	(void)m;
	op->mt->dev->ops->statfs(op->mt->dev, &s);
	rep = (struct wp_statfs_rep){ .total = s.total, .free = s.free, .inodes = s.inodes, .inodes_free = s.inodes_free };
	wp_statfs_rep_enc(mop_enc(op, 128), &rep);
	return 0;
}

int meta_get_path(struct op *op)
{
	struct wp_get_path_rep rep = { 0 };
	struct inode *i;
	int err;

	META_REQ(op, get_path, m);
	err = ino_get(op, &m->fid, &i);
	if (err)
		return err;
	if (!i->parent.seq && !wp_fid_is_root(&i->fid))
		return -ENOENT;
	rep.parent = i->parent.seq ? i->parent : i->fid;
	rep.name = i->name;
	wp_get_path_rep_enc(mop_enc(op, 512), &rep);
	return 0;
}

int meta_sync_op(struct op *op)
{
	struct wp_meta_sync_rep rep = { .journal_index = journal_last(op->mt->journal) };

	wp_meta_sync_rep_enc(mop_enc(op, 64), &rep);
	return 0;
}

int meta_refresh_cap(struct op *op)
{
	struct wp_refresh_cap_rep rep = { 0 };
	uint32_t rights = WP_RIGHTS_READ;
	struct handle *h;
	struct inode *i;
	int err;

	META_REQ(op, refresh_cap, m);
	err = ino_get(op, &m->fid, &i);
	if (err)
		return err;
	if (!inode_is_reg(i))
		return -EINVAL;
	h = m->handle ? handle_find(op->ses, m->handle) : NULL;
	if (m->handle && (!h || h->m->ino != wp_fid_to_ino(&m->fid)))
		return -ESTALE;
	if (h && h->flags & WP_OPEN_WRITE)
		rights |= WP_RIGHTS_WRITE;
	err = layout_decode(op->arena, i->extra, &rep.layout);
	if (err)
		return err;
	make_cap(op, i, rights, rep.layout.generation, &rep.cap, arena_alloc(op->arena, WP_MAC_SIZE));
	wp_refresh_cap_rep_enc(mop_enc(op, entry_size(&(struct wp_entry){ .layout = rep.layout, .has = WP_ENTRY_HAS_LAYOUT })), &rep);
	return 0;
}
