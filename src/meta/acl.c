/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* ACLs of inodes: kept as extended attributes, in step with the mode bits. The rules themselves are posix_acl.c. */
#include "meta/meta_priv.h"
#include "meta/posix_acl.h"

static int load(struct op *op, const struct inode *i, const char *name, struct acl *acl)
{
	struct wp_bytes v;
	int err = xattr_read(op, &i->fid, wp_str(name), &v);

	if (!err)
		err = acl_decode(v.p, v.len, acl);
	return err ? -EIO : 0; /* the flags of the inode say it is there, and it was checked when it was set */
}

static void store(struct op *op, struct inode *i, const char *name, const struct acl *acl)
{
	size_t len = acl_size(acl);
	uint8_t *v = arena_alloc(op->arena, len);

	acl_encode(acl, v);
	xattr_write(op, i, wp_str(name), wp_bytes(v, (uint32_t)len));
}

static int in_group(void *arg, uint32_t gid) { return cred_in_group(arg, gid); }

int ino_acl_check(struct op *op, const struct inode *i, const struct wp_cred *c, uint32_t want)
{
	struct acl acl;
	int err = load(op, i, ACL_ACCESS, &acl);

	if (err)
		return err;
	err = acl_check(&acl, c->uid, i->uid, i->gid, want, in_group, (void *)(uintptr_t)c);
	acl_free(&acl);
	return err;
}

int ino_acl_set_access(struct op *op, struct inode *i, struct wp_bytes value)
{
	bool extended = false;
	struct acl acl;

	if (value.len) {
		int err = acl_decode(value.p, value.len, &acl);

		if (err)
			return err;
		i->mode = (i->mode & ~0777u) | acl_mode(&acl, &extended);
		if (extended)
			store(op, i, ACL_ACCESS, &acl);
		acl_free(&acl);
	}
	i->dirty = true;
	if (extended) {
		i->flags |= INO_HAS_ACL;
	} else if (i->flags & INO_HAS_ACL) {
		i->flags &= ~(uint32_t)INO_HAS_ACL;
		xattr_drop(op, &i->fid, wp_str(ACL_ACCESS));
	}
	return 0;
}

int ino_acl_set_default(struct op *op, struct inode *i, struct wp_bytes value)
{
	struct acl acl;

	if (!inode_is_dir(i))
		return value.len ? -EACCES : 0;
	if (value.len) {
		int err = acl_decode(value.p, value.len, &acl);

		if (err)
			return err;
		store(op, i, ACL_DEFAULT, &acl);
		acl_free(&acl);
		i->flags |= INO_HAS_DEFACL;
	} else if (i->flags & INO_HAS_DEFACL) {
		i->flags &= ~(uint32_t)INO_HAS_DEFACL;
		xattr_drop(op, &i->fid, wp_str(ACL_DEFAULT));
	}
	i->dirty = true;
	return 0;
}

int ino_acl_chmod(struct op *op, struct inode *i)
{
	struct acl acl;
	int err;

	if (!(i->flags & INO_HAS_ACL))
		return 0;
	err = load(op, i, ACL_ACCESS, &acl);
	if (err)
		return err;
	acl_chmod(&acl, i->mode);
	store(op, i, ACL_ACCESS, &acl);
	acl_free(&acl);
	return 0;
}

int ino_acl_inherit(struct op *op, const struct inode *dir, struct inode *child, uint32_t umask)
{
	struct acl acl;
	bool extended;
	uint32_t mode;
	int err;

	if (S_ISLNK(child->mode))
		return 0;
	if (!(dir->flags & INO_HAS_DEFACL)) {
		child->mode &= ~(umask & 0777u);
		return 0;
	}
	err = load(op, dir, ACL_DEFAULT, &acl);
	if (err)
		return err;
	if (inode_is_dir(child)) {
		child->flags |= INO_HAS_DEFACL;
		store(op, child, ACL_DEFAULT, &acl);
	}
	/* What the caller asked for limits what the default gives; the umask does not count. */
	mode = acl_create(&acl, child->mode);
	child->mode = (child->mode & ~0777u) | mode;
	(void)acl_mode(&acl, &extended);
	if (extended) {
		child->flags |= INO_HAS_ACL;
		store(op, child, ACL_ACCESS, &acl);
	}
	acl_free(&acl);
	return 0;
}
