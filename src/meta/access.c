/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Permission checks by mode bits and ACL, with the credential in the request. Supplementary groups are only asked for when the
 * outcome depends on them.
 */
#include "meta/meta_priv.h"

int cred_in_group(const struct wp_cred *c, uint32_t gid)
{
	if (c->gid == gid)
		return 1;
	if (!(c->flags & WP_CRED_GROUPS))
		return -WEFT_ENEEDGROUPS;
	for (uint32_t i = 0; i < c->groups_n; i++)
		if (c->groups[i] == gid)
			return 1;
	return 0;
}

static int mode_check(const struct inode *i, const struct wp_cred *c, uint32_t mask)
{
	bool as_group, as_other;
	int in;

	if (c->uid == i->uid)
		return (i->mode >> 6 & mask) == mask ? 0 : -EACCES;
	as_group = (i->mode >> 3 & mask) == mask;
	as_other = (i->mode & mask) == mask;
	if (as_group == as_other)
		return as_group ? 0 : -EACCES;
	in = cred_in_group(c, i->gid);
	if (in < 0)
		return in;
	return (in ? as_group : as_other) ? 0 : -EACCES;
}

int access_check(struct op *op, const struct inode *i, const struct wp_cred *c, uint32_t mask)
{
	if (!mask)
		return 0;
	if (cred_is_root(c)) {
		/* Executing a file needs an x bit somewhere, even for root. */
		if ((mask & MAY_EXEC) && !inode_is_dir(i) && !(i->mode & 0111))
			return -EACCES;
		return 0;
	}
	if (i->flags & INO_HAS_ACL && c->uid != i->uid)
		return ino_acl_check(op, i, c, mask);
	return mode_check(i, c, mask);
}

int dir_get(struct op *op, const struct wp_fid *fid, const struct wp_cred *c, uint32_t mask, struct inode **ret)
{
	int err = ino_get(op, fid, ret);

	if (err)
		return err;
	if (!inode_is_dir(*ret))
		return -ENOTDIR;
	return access_check(op, *ret, c, mask);
}

int sticky_check(const struct inode *dir, const struct inode *child, const struct wp_cred *c)
{
	if (!(dir->mode & S_ISVTX) || c->uid == child->uid || c->uid == dir->uid || cred_is_root(c))
		return 0;
	return -EPERM;
}
