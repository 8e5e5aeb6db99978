/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* rename, with NOREPLACE and EXCHANGE. The order of checks is that of Linux's vfs_rename. */
#include "meta/meta_priv.h"

#define DEPTH_MAX 65536u /* a walk to the root that takes longer is a loop: cannot be */

struct side {
	struct inode *dir, *child; /* child: NULL if the new name is free */
	struct wp_str name;
};

/* Is above an ancestor of dir, or dir itself? -EIO for a broken tree. */
static int is_above(struct op *op, const struct wp_fid *above, const struct inode *dir, bool *ret)
{
	struct wp_fid at = dir->fid, up = dir->parent;
	struct inode i;

	*ret = false;
	for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
		int err;

		if (wp_fid_eq(&at, above)) {
			*ret = true;
			return 0;
		}
		if (!up.seq || wp_fid_mdt(&up) != op->mt->params.target)
			return 0;
		at = up;
		err = ino_peek(op, &at, &i);
		if (err)
			return -EIO;
		up = i.parent;
	}
	return -EIO;
}

static int find_side(struct op *op, const struct wp_fid *parent, struct wp_str name, const struct wp_cred *c, struct side *s)
{
	struct wp_fid fid;
	uint32_t type;
	int err;

	s->name = name;
	s->child = NULL;
	err = dir_get(op, parent, c, MAY_EXEC, &s->dir);
	if (!err)
		err = name_check(name);
	if (err)
		return err == -EINVAL && name.len <= 2 ? -EBUSY : err; /* "." and ".." */
	err = dentry_find(op->mt, &s->dir->fid, name, &fid, &type);
	if (!err)
		err = ino_get(op, &fid, &s->child);
	return err;
}

/* Neither may end up below itself. */
static int check_loops(struct op *op, const struct side *from, const struct side *to, bool exchange)
{
	bool above;
	int err;

	if (wp_fid_eq(&from->dir->fid, &to->dir->fid))
		return 0;
	if (inode_is_dir(from->child)) {
		err = is_above(op, &from->child->fid, to->dir, &above);
		if (err || above)
			return err ? err : -EINVAL;
	}
	if (!to->child || !inode_is_dir(to->child))
		return 0;
	err = is_above(op, &to->child->fid, from->dir, &above);
	if (err || above)
		return err ? err : exchange ? -EINVAL : -ENOTEMPTY;
	return 0;
}

static int may_remove(struct op *op, const struct side *s, const struct wp_cred *c)
{
	int err = access_check(op, s->dir, c, MAY_WRITE | MAY_EXEC);

	return err || !s->child ? err : sticky_check(s->dir, s->child, c);
}

static int check_kinds(struct op *op, const struct side *from, const struct side *to)
{
	if (inode_is_dir(from->child) && !inode_is_dir(to->child))
		return -ENOTDIR;
	if (!inode_is_dir(from->child) && inode_is_dir(to->child))
		return -EISDIR;
	return inode_is_dir(to->child) ? dir_is_empty(op->mt, &to->child->fid) : 0;
}

static int check_all(struct op *op, const struct side *from, const struct side *to, const struct wp_rename_req *m)
{
	bool exchange = m->flags & WP_RENAME_EXCHANGE, moves = from->dir != to->dir;
	int err = check_loops(op, from, to, exchange);

	if (!err)
		err = may_remove(op, from, &m->cred);
	if (!err)
		err = may_remove(op, to, &m->cred);
	if (!err && to->child && !exchange)
		err = check_kinds(op, from, to);
	/* ".." changes. */
	if (!err && moves && inode_is_dir(from->child))
		err = access_check(op, from->child, &m->cred, MAY_WRITE);
	if (!err && moves && exchange && inode_is_dir(to->child))
		err = access_check(op, to->child, &m->cred, MAY_WRITE);
	if (!err && moves && inode_is_dir(from->child) && !(to->child && inode_is_dir(to->child)) &&
	    to->dir->nlink >= WEFT_LINK_MAX)
		err = -EMLINK;
	return err;
}

static void move_name(struct op *op, const struct side *from, const struct side *to)
{
	struct inode *i = from->child;

	name_remove(op, i, &from->dir->fid, from->name);
	name_add(op, i, &to->dir->fid, to->name);
	dentry_put(op, &to->dir->fid, to->name, &i->fid, i->mode);
	ino_touch(op, i, TOUCH_CTIME);
	if (inode_is_dir(i)) {
		from->dir->nlink--;
		to->dir->nlink++;
	}
}

static void replace(struct op *op, const struct side *to)
{
	struct inode *i = to->child;

	if (inode_is_dir(i)) {
		to->dir->nlink--;
		ino_destroy(op, i);
	} else {
		linger_pin(op, i);
		ino_drop_name(op, i, &to->dir->fid, to->name);
	}
}

static int find_both(struct op *op, const struct wp_rename_req *m, struct side *from, struct side *to)
{
	int err;

	if (m->flags & ~(WP_RENAME_NOREPLACE | WP_RENAME_EXCHANGE) ||
	    (m->flags & WP_RENAME_NOREPLACE && m->flags & WP_RENAME_EXCHANGE))
		return -EINVAL;
	if (wp_fid_valid(&m->new_parent) && wp_fid_mdt(&m->parent) != wp_fid_mdt(&m->new_parent))
		return -EXDEV;
	err = find_side(op, &m->parent, m->name, &m->cred, from);
	if (err)
		return err;
	err = find_side(op, &m->new_parent, m->new_name, &m->cred, to);
	if (err == -ENOENT && m->new_name.len)
		return m->flags & WP_RENAME_EXCHANGE ? -ENOENT : 0;
	return !err && m->flags & WP_RENAME_NOREPLACE ? -EEXIST : err;
}

static size_t reply_size(const struct wp_rename_rep *rep)
{
	return entry_size(&rep->entry) + entry_size(&rep->other) + 2 * ENTRY_DIR_SIZE;
}

/* Everything as it is afterwards. */
static int fill_reply(struct op *op, const struct side *from, const struct side *to, struct wp_rename_rep *rep)
{
	int err = entry_fill(op, from->child, 0, false, &rep->entry);

	if (!err && to->child) {
		err = entry_fill_removed(op, to->child, &rep->other);
		rep->has |= WP_RENAME_REP_HAS_OTHER;
	}
	if (err)
		return err;
	entry_dir(op, from->dir, &rep->dir);
	entry_dir(op, to->dir, &rep->new_dir);
	wp_rename_rep_enc(mop_enc(op, reply_size(rep)), rep);
	return 0;
}

static void granted_reply(struct op *op, const struct side *from, const struct side *to, struct wp_rename_rep *rep)
{
	bool some = lease_name_entries(op, from->child, &rep->entry, from->dir, &rep->dir);

	some |= lease_name_entries(op, rep->has ? to->child : NULL, &rep->other, to->dir, &rep->new_dir);
	if (some)
		wp_rename_rep_enc(mop_enc_granted(op, reply_size(rep)), rep);
}

/* ".." counts as one of a directory's names. */
static uint32_t moved_bits(const struct inode *i, bool moves)
{
	return inode_is_dir(i) && moves ? LEASE_CHANGE_NAMES : LEASE_CHANGE_ATTR;
}

static bool rename_want(struct op *op, const struct side *from, const struct side *to, bool exchange)
{
	bool moves = from->dir != to->dir, wait = lease_want(op, from->dir, LEASE_CHANGE_NAMES);

	if (moves)
		wait |= lease_want(op, to->dir, LEASE_CHANGE_NAMES);
	wait |= lease_want(op, from->child, moved_bits(from->child, moves));
	if (to->child && !exchange && inode_is_dir(to->child))
		wait |= lease_want(op, to->child, LEASE_ALL);
	else if (to->child)
		wait |= lease_want(op, to->child, moved_bits(to->child, moves));
	return wait;
}

int meta_rename(struct op *op)
{
	struct wp_rename_rep rep = { 0 };
	struct side from, to;
	int err;

	META_REQ(op, rename, m);
	err = find_both(op, m, &from, &to);
	if (err)
		return err;
	rep.moved = from.child->fid;
	if (from.child == to.child) /* two names of one inode, or the same: nothing happens */
		return fill_reply(op, &from, &to, &rep);
	err = check_all(op, &from, &to, m);
	if (err)
		return err;
	if (rename_want(op, &from, &to, m->flags & WP_RENAME_EXCHANGE))
		return OP_WAIT;
	if (m->flags & WP_RENAME_EXCHANGE) {
		struct side a = from, b = to;

		move_name(op, &a, &to);
		move_name(op, &b, &from);
	} else {
		if (to.child) {
			replace(op, &to);
			rep.replaced = to.child->fid;
		}
		dentry_del(op, &from.dir->fid, from.name);
		move_name(op, &from, &to);
	}
	ino_touch(op, from.dir, TOUCH_MTIME | TOUCH_CTIME);
	ino_touch(op, to.dir, TOUCH_MTIME | TOUCH_CTIME);
	err = fill_reply(op, &from, &to, &rep);
	if (!err)
		err = mop_commit(op);
	if (to.child && !(m->flags & WP_RENAME_EXCHANGE)) {
		if (err) {
			linger_unpin(op->mt, &rep.replaced);
		} else {
			ino_unlinked_done(op, to.child);
			linger_start(op->mt, &rep.replaced);
		}
	}
	if (!err)
		granted_reply(op, &from, &to, &rep);
	return err;
}
