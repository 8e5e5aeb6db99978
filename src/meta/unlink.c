/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* unlink, rmdir, link. */
#include "meta/create.h"

#define RMDIR_REP_SIZE (ENTRY_DIR_SIZE + 256)

/* The directory, the child, and the permission to remove it. */
static int find_victim(struct op *op, const struct wp_fid *parent, struct wp_str name, const struct wp_cred *c,
		       struct inode **dir, struct inode **child)
{
	struct wp_fid fid;
	uint32_t type;
	int err = dir_get(op, parent, c, MAY_EXEC, dir);

	if (!err)
		err = name_check(name);
	if (!err)
		err = dentry_find(op->mt, &(*dir)->fid, name, &fid, &type);
	if (!err)
		err = ino_get(op, &fid, child);
	if (!err)
		err = access_check(op, *dir, c, MAY_WRITE | MAY_EXEC);
	return err ? err : sticky_check(*dir, *child, c);
}

int meta_unlink(struct op *op)
{
	struct wp_unlink_rep rep = { 0 };
	struct inode *dir, *i;
	int err;

	META_REQ(op, unlink, m);
	err = find_victim(op, &m->parent, m->name, &m->cred, &dir, &i);
	if (err)
		return err;
	if (inode_is_dir(i))
		return -EISDIR;
	if (lease_want(op, dir, LEASE_CHANGE_NAMES) | lease_want(op, i, LEASE_CHANGE_ATTR))
		return OP_WAIT;
	dentry_del(op, &dir->fid, m->name);
	ino_touch(op, dir, TOUCH_MTIME | TOUCH_CTIME);
	ino_drop_name(op, i, &dir->fid, m->name);
	rep.fid = i->fid;
	err = entry_fill_removed(op, i, &rep.entry);
	if (err)
		return err;
	entry_dir(op, dir, &rep.dir);
	wp_unlink_rep_enc(mop_enc(op, entry_size(&rep.entry) + ENTRY_DIR_SIZE), &rep);
	err = mop_commit(op);
	if (err)
		return err;
	ino_unlinked_done(op, i);
	if (lease_name_entries(op, i, &rep.entry, dir, &rep.dir))
		wp_unlink_rep_enc(mop_enc_granted(op, entry_size(&rep.entry) + ENTRY_DIR_SIZE), &rep);
	return 0;
}

void ino_drop_name(struct op *op, struct inode *i, const struct wp_fid *parent, struct wp_str name)
{
	name_remove(op, i, parent, name);
	ino_touch(op, i, TOUCH_CTIME);
	if (i->nlink > 1)
		i->nlink--;
	else
		ino_unlinked(op, i);
}

int meta_rmdir(struct op *op)
{
	struct wp_rmdir_rep rep = { 0 };
	struct inode *dir, *i;
	int err;

	META_REQ(op, rmdir, m);
	if (m->name.len == 2 && !memcmp(m->name.p, "..", 2))
		return -ENOTEMPTY;
	err = find_victim(op, &m->parent, m->name, &m->cred, &dir, &i);
	if (err)
		return err;
	if (!inode_is_dir(i))
		return -ENOTDIR;
	err = dir_is_empty(op->mt, &i->fid);
	if (err)
		return err;
	if (lease_want(op, dir, LEASE_CHANGE_NAMES) | lease_want(op, i, LEASE_ALL))
		return OP_WAIT;
	dentry_del(op, &dir->fid, m->name);
	ino_touch(op, dir, TOUCH_MTIME | TOUCH_CTIME);
	dir->nlink--;
	ino_destroy(op, i);
	rep.fid = i->fid;
	ino_attr(i, &rep.attr);
	rep.attr.nlink = 0;
	entry_dir(op, dir, &rep.dir);
	wp_rmdir_rep_enc(mop_enc(op, RMDIR_REP_SIZE), &rep);
	err = mop_commit(op);
	if (!err && lease_name_entries(op, NULL, NULL, dir, &rep.dir))
		wp_rmdir_rep_enc(mop_enc_granted(op, RMDIR_REP_SIZE), &rep);
	return err;
}

int meta_link(struct op *op)
{
	struct wp_link_rep rep = { 0 };
	struct inode *dir, *i;
	struct wp_fid old;
	int err;

	META_REQ(op, link, m);
	if (wp_fid_valid(&m->fid) && wp_fid_mdt(&m->fid) != wp_fid_mdt(&m->parent))
		return -EXDEV;
	err = ino_get(op, &m->fid, &i);
	if (!err)
		err = entry_wait(op, i);
	if (err)
		return err;
	err = create_parent(op, &m->parent, m->name, &m->cred, &dir, &old);
	if (err < 0)
		return err;
	if (inode_is_dir(i))
		return -EPERM;
	if (!i->nlink)
		return -ENOENT;
	if (i->nlink >= WEFT_LINK_MAX)
		return -EMLINK;
	if (lease_want(op, i, LEASE_CHANGE_ATTR) | (err == OP_WAIT))
		return OP_WAIT;
	i->nlink++;
	name_add(op, i, &dir->fid, m->name);
	ino_touch(op, i, TOUCH_CTIME);
	dentry_put(op, &dir->fid, m->name, &i->fid, i->mode);
	ino_touch(op, dir, TOUCH_MTIME | TOUCH_CTIME);
	err = entry_fill(op, i, 0, false, &rep.entry);
	if (err)
		return err;
	entry_dir(op, dir, &rep.dir);
	wp_link_rep_enc(mop_enc(op, entry_size(&rep.entry) + ENTRY_DIR_SIZE), &rep);
	err = mop_commit(op);
	if (!err && lease_name_entries(op, i, &rep.entry, dir, &rep.dir))
		wp_link_rep_enc(mop_enc_granted(op, entry_size(&rep.entry) + ENTRY_DIR_SIZE), &rep);
	return err;
}
