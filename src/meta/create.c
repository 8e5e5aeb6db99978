/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* New inodes: mknod, mkdir, symlink, and the new-file half of create. */
#include "meta/create.h"

int create_parent(struct op *op, const struct wp_fid *parent, struct wp_str name, const struct wp_cred *c, struct inode **dir,
		  struct wp_fid *existing)
{
	uint32_t type;
	int err = dir_get(op, parent, c, MAY_EXEC, dir);

	if (!err)
		err = name_check(name);
	if (err)
		return err == -EINVAL && name.len <= 2 ? -EEXIST : err; /* "." and ".." are there */
	err = dentry_find(op->mt, &(*dir)->fid, name, existing, &type);
	if (err != -ENOENT)
		return err ? err : -EEXIST;
	err = access_check(op, *dir, c, MAY_WRITE | MAY_EXEC);
	return !err && lease_want(op, *dir, LEASE_CHANGE_NAMES) ? OP_WAIT : err;
}

/* Owner, group and set-id bits as Linux gives them. */
static int init_owner(struct inode *i, const struct inode *dir, const struct wp_cred *c)
{
	i->uid = c->uid;
	i->gid = c->gid;
	if (!(dir->mode & S_ISGID))
		return 0;
	i->gid = dir->gid;
	if (inode_is_dir(i)) {
		i->mode |= S_ISGID;
	} else if ((i->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && !cred_is_root(c)) {
		int in = cred_in_group(c, i->gid);

		if (in < 0)
			return in;
		if (!in)
			i->mode &= ~(uint32_t)S_ISGID;
	}
	return 0;
}

int create_inode(struct op *op, struct inode *dir, const struct new_inode *n, struct inode **ret)
{
	struct wp_fid fid;
	struct inode *i;
	int err;

	if (S_ISDIR(n->mode) && dir->nlink >= WEFT_LINK_MAX)
		return -EMLINK;
	err = fid_choose(op, &n->fid, &fid);
	if (err)
		return err;
	i = ino_new(op, &fid, n->mode);
	i->project = dir->project;
	err = init_owner(i, dir, n->cred);
	if (!err)
		err = ino_acl_inherit(op, dir, i, n->umask);
	if (err)
		return err;
	name_add(op, i, &dir->fid, n->name);
	dentry_put(op, &dir->fid, n->name, &fid, i->mode);
	if (inode_is_dir(i)) {
		i->nlink = 2;
		i->extra = dir->extra; /* the policy */
		dir->nlink++;
	}
	ino_touch(op, dir, TOUCH_MTIME | TOUCH_CTIME);
	*ret = i;
	return 0;
}

int create_layout(struct op *op, const struct inode *dir, const struct wp_layout *wanted, struct inode *i)
{
	struct wp_layout policy, l;
	int err;

	if (wanted)
		err = stripe_check(wanted, true);
	else
		err = layout_decode(op->arena, layout_policy(op->mt, dir), &policy);
	if (!err)
		err = layout_choose(op->mt, op->arena, wanted ? wanted : &policy, &l);
	if (!err)
		i->extra = layout_to_arena(op->arena, &l);
	return err;
}

int meta_mknod(struct op *op)
{
	struct wp_mknod_rep rep = { 0 };
	struct inode *dir, *i;
	struct wp_fid old;
	uint32_t type;
	int err;

	META_REQ(op, mknod, m);
	type = m->mode & S_IFMT ? m->mode & S_IFMT : S_IFREG;
	if (type == S_IFDIR || type == S_IFLNK)
		return -EINVAL;
	if (type != S_IFREG && type != S_IFCHR && type != S_IFBLK && type != S_IFIFO && type != S_IFSOCK)
		return -EINVAL;
	err = create_parent(op, &m->parent, m->name, &m->cred, &dir, &old);
	if (err)
		return err;
	if ((type == S_IFCHR || type == S_IFBLK) && !cred_is_root(&m->cred))
		return -EPERM;
	err = create_inode(op, dir, &(struct new_inode){ &m->cred, m->name, type | (m->mode & 07777), m->umask, m->fid }, &i);
	if (!err && type == S_IFREG)
		err = create_layout(op, dir, NULL, i);
	if (err)
		return err;
	if (type == S_IFCHR || type == S_IFBLK) {
		i->rdev_major = m->rdev_major;
		i->rdev_minor = m->rdev_minor;
	}
	err = entry_fill(op, i, 0, false, &rep.entry);
	if (err)
		return err;
	entry_dir(op, dir, &rep.dir);
	wp_mknod_rep_enc(mop_enc(op, entry_size(&rep.entry) + ENTRY_DIR_SIZE), &rep);
	err = mop_commit(op);
	if (!err && lease_name_entries(op, i, &rep.entry, dir, &rep.dir))
		wp_mknod_rep_enc(mop_enc_granted(op, entry_size(&rep.entry) + ENTRY_DIR_SIZE), &rep);
	return err;
}

int meta_mkdir(struct op *op)
{
	struct wp_mkdir_rep rep = { 0 };
	struct inode *dir, *i;
	struct wp_fid old;
	int err;

	META_REQ(op, mkdir, m);
	err = create_parent(op, &m->parent, m->name, &m->cred, &dir, &old);
	if (!err)
		err = create_inode(op, dir, &(struct new_inode){ &m->cred, m->name, S_IFDIR | (m->mode & 01777), m->umask, m->fid },
				   &i);
	if (!err)
		err = entry_fill(op, i, 0, false, &rep.entry);
	if (err)
		return err;
	entry_dir(op, dir, &rep.dir);
	wp_mkdir_rep_enc(mop_enc(op, entry_size(&rep.entry) + ENTRY_DIR_SIZE), &rep);
	err = mop_commit(op);
	if (!err && lease_name_entries(op, i, &rep.entry, dir, &rep.dir))
		wp_mkdir_rep_enc(mop_enc_granted(op, entry_size(&rep.entry) + ENTRY_DIR_SIZE), &rep);
	return err;
}

int meta_symlink(struct op *op)
{
	struct wp_symlink_rep rep = { 0 };
	struct inode *dir, *i;
	struct wp_fid old;
	int err;

	META_REQ(op, symlink, m);
	if (!m->target.len)
		return -ENOENT;
	if (memchr(m->target.p, 0, m->target.len))
		return -EINVAL;
	err = create_parent(op, &m->parent, m->name, &m->cred, &dir, &old);
	if (!err)
		err = create_inode(op, dir, &(struct new_inode){ &m->cred, m->name, S_IFLNK | 0777, 0, m->fid }, &i);
	if (err)
		return err;
	i->extra = wp_bytes(m->target.p, m->target.len);
	i->size = m->target.len;
	err = entry_fill(op, i, 0, false, &rep.entry);
	if (err)
		return err;
	entry_dir(op, dir, &rep.dir);
	wp_symlink_rep_enc(mop_enc(op, entry_size(&rep.entry) + ENTRY_DIR_SIZE), &rep);
	err = mop_commit(op);
	if (!err && lease_name_entries(op, i, &rep.entry, dir, &rep.dir))
		wp_symlink_rep_enc(mop_enc_granted(op, entry_size(&rep.entry) + ENTRY_DIR_SIZE), &rep);
	return err;
}
