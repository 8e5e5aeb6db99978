/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Extended attributes: records, namespaces and their rules. */
#include "meta/meta_priv.h"

enum { XATTR_CREATE_ONLY = 1, XATTR_REPLACE_ONLY = 2 };

enum space { SPACE_USER, SPACE_TRUSTED, SPACE_SECURITY, SPACE_ACL_ACCESS, SPACE_ACL_DEFAULT };

int xattr_read(struct op *op, const struct wp_fid *fid, struct wp_str name, struct wp_bytes *ret)
{
	struct osd_slice v;
	struct key k;
	int err;

	key_xattr(&k, fid, name);
	err = osd_get(op->mt->dev, key_slice(&k), &v);
	if (err)
		return err;
	*ret = wp_bytes(arena_dup(op->arena, v.p, v.len), (uint32_t)v.len);
	return 0;
}

void xattr_write(struct op *op, struct inode *i, struct wp_str name, struct wp_bytes value)
{
	struct key k;

	key_xattr(&k, &i->fid, name);
	osd_txn_put(&op->txn, key_slice(&k), osd_slice(value.len ? value.p : (const uint8_t *)"", value.len));
	i->flags |= INO_HAS_XATTR;
	i->dirty = true;
}

void xattr_drop(struct op *op, const struct wp_fid *fid, struct wp_str name)
{
	struct key k;

	key_xattr(&k, fid, name);
	osd_txn_del(&op->txn, key_slice(&k));
}

/* Positions it before the attributes of fid. */
static void each_start(struct meta_target *mt, const struct wp_fid *fid, struct key *k, struct osd_iter *it)
{
	key_u64(k, KEY_XATTR, wp_fid_to_ino(fid));
	osd_iter_init(it, mt->dev, key_slice(k));
}

static bool each_next(struct osd_iter *it, const struct key *k, struct wp_str *name)
{
	struct osd_slice key, value;

	if (osd_next(it, &key, &value) || key.len <= k->len || memcmp(key.p, k->b, k->len))
		return false;
	*name = wp_str_n((const char *)key.p + k->len, (uint32_t)(key.len - k->len));
	return true;
}

void xattr_drop_all(struct op *op, const struct inode *i)
{
	struct osd_iter it;
	struct wp_str name;
	struct key k;

	if (!(i->flags & INO_HAS_XATTR))
		return;
	each_start(op->mt, &i->fid, &k, &it);
	while (each_next(&it, &k, &name))
		xattr_drop(op, &i->fid, name);
}

/* ---- rules ------------------------------------------------------------------------------------------------------------------- */

static bool has_prefix(struct wp_str s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s.len > n && !memcmp(s.p, prefix, n);
}

static int space_of(struct wp_str name, enum space *ret)
{
	if (!name.len || name.len > WP_XATTR_NAME_MAX || memchr(name.p, 0, name.len))
		return -EINVAL;
	if (name.p[name.len - 1] == '.' && memchr(name.p, '.', name.len) == name.p + name.len - 1)
		return -EINVAL; /* a name space and no name in it */
	if (has_prefix(name, "user."))
		*ret = SPACE_USER;
	else if (has_prefix(name, "trusted."))
		*ret = SPACE_TRUSTED;
	else if (has_prefix(name, "security."))
		*ret = SPACE_SECURITY;
	else if (wp_str_eq(name, wp_str(ACL_ACCESS)))
		*ret = SPACE_ACL_ACCESS;
	else if (wp_str_eq(name, wp_str(ACL_DEFAULT)))
		*ret = SPACE_ACL_DEFAULT;
	else
		return -EOPNOTSUPP;
	return 0;
}

static int user_space_check(struct op *op, const struct inode *i, const struct wp_cred *c, bool write)
{
	if (!inode_is_reg(i) && !inode_is_dir(i))
		return write ? -EPERM : -ENODATA;
	if (write && inode_is_dir(i) && i->mode & S_ISVTX && c->uid != i->uid && !cred_is_root(c))
		return -EPERM;
	return access_check(op, i, c, write ? MAY_WRITE : MAY_READ);
}

static int space_check(struct op *op, const struct inode *i, const struct wp_cred *c, enum space space, bool write)
{
	switch (space) {
	case SPACE_USER:
		return user_space_check(op, i, c, write);
	case SPACE_TRUSTED:
		return cred_is_root(c) ? 0 : write ? -EPERM : -ENODATA;
	case SPACE_SECURITY:
		return !write || cred_is_root(c) ? 0 : -EPERM;
	case SPACE_ACL_DEFAULT:
	case SPACE_ACL_ACCESS:
		if (S_ISLNK(i->mode))
			return -EOPNOTSUPP;
		if (!write)
			return 0;
		return c->uid == i->uid || cred_is_root(c) ? 0 : -EPERM;
	}
	return -EOPNOTSUPP;
}

/* ---- handlers ------------------------------------------------------------------------------------------------------------------ */

int meta_getxattr(struct op *op)
{
	struct wp_getxattr_rep rep = { 0 };
	enum space space;
	struct inode *i;
	int err;

	META_REQ(op, getxattr, m);
	err = space_of(m->name, &space);
	if (!err)
		err = ino_get(op, &m->fid, &i);
	if (!err)
		err = space_check(op, i, &m->cred, space, false);
	if (!err)
		err = i->flags & INO_HAS_XATTR ? xattr_read(op, &i->fid, m->name, &rep.value) : -ENOENT;
	if (err)
		return err == -ENOENT ? -ENODATA : err;
	wp_getxattr_rep_enc(mop_enc(op, rep.value.len + 64), &rep);
	return 0;
}

int meta_listxattr(struct op *op)
{
	struct wp_listxattr_rep rep = { 0 };
	struct osd_iter it;
	struct wp_str name;
	struct inode *i;
	struct key k;
	uint8_t *p;
	int err;

	META_REQ(op, listxattr, m);
	err = ino_get(op, &m->fid, &i);
	if (err)
		return err;
	p = arena_alloc(op->arena, i->flags & INO_HAS_XATTR ? WP_XATTR_LIST_MAX : 1);
	each_start(op->mt, &i->fid, &k, &it);
	while (i->flags & INO_HAS_XATTR && each_next(&it, &k, &name)) {
		if (has_prefix(name, "trusted.") && !cred_is_root(&m->cred))
			continue;
		if (rep.names.len + name.len + 1 > WP_XATTR_LIST_MAX)
			return -E2BIG;
		memcpy(p + rep.names.len, name.p, name.len);
		p[rep.names.len + name.len] = 0;
		rep.names.len += name.len + 1;
	}
	rep.names.p = p;
	wp_listxattr_rep_enc(mop_enc(op, rep.names.len + 64), &rep);
	return 0;
}

static int set_access_acl(struct op *op, struct inode *i, const struct wp_cred *c, struct wp_bytes acl)
{
	int in, err = ino_acl_set_access(op, i, acl.len > 4 ? acl : wp_bytes(NULL, 0));

	if (err || cred_is_root(c) || !(i->mode & S_ISGID))
		return err;
	in = cred_in_group(c, i->gid);
	if (!in)
		i->mode &= ~(uint32_t)S_ISGID;
	return in < 0 ? in : 0;
}

/* XATTR_CREATE and XATTR_REPLACE. */
static int check_presence(struct op *op, const struct inode *i, struct wp_str name, uint32_t flags)
{
	struct wp_bytes old;
	int err;

	if (flags & ~(uint32_t)(XATTR_CREATE_ONLY | XATTR_REPLACE_ONLY))
		return -EINVAL;
	if (!flags)
		return 0;
	err = i->flags & INO_HAS_XATTR ? xattr_read(op, &i->fid, name, &old) : -ENOENT;
	if (err && err != -ENOENT)
		return err;
	if (!err && flags & XATTR_CREATE_ONLY)
		return -EEXIST;
	return err && flags & XATTR_REPLACE_ONLY ? -ENODATA : 0;
}

int meta_setxattr(struct op *op)
{
	struct wp_setxattr_rep rep = { 0 };
	enum space space;
	struct inode *i;
	int err;

	META_REQ(op, setxattr, m);
	err = space_of(m->name, &space);
	if (!err)
		err = ino_get(op, &m->fid, &i);
	if (!err)
		err = space_check(op, i, &m->cred, space, true);
	if (!err)
		err = check_presence(op, i, m->name, m->flags);
	if (err)
		return err;
	if (lease_want(op, i, LEASE_CHANGE_ATTR))
		return OP_WAIT;
	if (space == SPACE_ACL_ACCESS)
		err = set_access_acl(op, i, &m->cred, m->value);
	else if (space == SPACE_ACL_DEFAULT)
		err = ino_acl_set_default(op, i, m->value.len > 4 ? m->value : wp_bytes(NULL, 0));
	else
		xattr_write(op, i, m->name, m->value);
	if (err)
		return err;
	ino_touch(op, i, TOUCH_CTIME);
	err = entry_fill(op, i, 0, false, &rep.entry);
	if (err)
		return err;
	wp_setxattr_rep_enc(mop_enc(op, entry_size(&rep.entry)), &rep);
	err = mop_commit(op);
	if (!err && lease_entry(op, i, WP_LEASE_ATTR | WP_LEASE_LAYOUT, &rep.entry))
		wp_setxattr_rep_enc(mop_enc_granted(op, entry_size(&rep.entry)), &rep);
	return err;
}

int meta_removexattr(struct op *op)
{
	struct wp_removexattr_rep rep = { 0 };
	struct wp_bytes old;
	enum space space;
	struct inode *i;
	int err;

	META_REQ(op, removexattr, m);
	err = space_of(m->name, &space);
	if (!err)
		err = ino_get(op, &m->fid, &i);
	if (!err)
		err = space_check(op, i, &m->cred, space, true);
	if (!err)
		err = i->flags & INO_HAS_XATTR ? xattr_read(op, &i->fid, m->name, &old) : -ENOENT;
	if (err)
		return err == -ENOENT ? -ENODATA : err;
	if (lease_want(op, i, LEASE_CHANGE_ATTR))
		return OP_WAIT;
	if (space == SPACE_ACL_ACCESS)
		err = ino_acl_set_access(op, i, wp_bytes(NULL, 0));
	else if (space == SPACE_ACL_DEFAULT)
		err = ino_acl_set_default(op, i, wp_bytes(NULL, 0));
	else
		xattr_drop(op, &i->fid, m->name);
	if (err)
		return err;
	ino_touch(op, i, TOUCH_CTIME);
	err = entry_fill(op, i, 0, false, &rep.entry);
	if (err)
		return err;
	wp_removexattr_rep_enc(mop_enc(op, entry_size(&rep.entry)), &rep);
	err = mop_commit(op);
	if (!err && lease_entry(op, i, WP_LEASE_ATTR | WP_LEASE_LAYOUT, &rep.entry))
		wp_removexattr_rep_enc(mop_enc_granted(op, entry_size(&rep.entry)), &rep);
	return err;
}
