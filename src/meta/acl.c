/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * POSIX ACLs in the form of Linux's system.posix_acl_* attributes: u32 version 2, then entries of u16 tag, u16 permissions,
 * u32 id, little-endian, in the order of their tags.
 */
#include "meta/meta_priv.h"

#define VERSION 2u
#define HEADER 4u
#define ENTRY 8u
#define ENTRIES_MAX 8000u /* what fits into an attribute */
#define ID_NONE UINT32_MAX

enum { TAG_USER_OBJ = 1, TAG_USER = 2, TAG_GROUP_OBJ = 4, TAG_GROUP = 8, TAG_MASK = 16, TAG_OTHER = 32 };

struct ace {
	uint16_t tag, perm;
	uint32_t id;
};

static uint32_t acl_count(struct wp_bytes a) { return a.len < HEADER ? 0 : (a.len - HEADER) / ENTRY; }

static struct ace acl_entry(struct wp_bytes a, uint32_t n)
{
	const uint8_t *p = a.p + HEADER + n * ENTRY;

	return (struct ace){ wp_get_le16(p), wp_get_le16(p + 2), wp_get_le32(p + 4) };
}

static void acl_set_perm(uint8_t *p, uint32_t n, uint32_t perm) { wp_put_le16(p + HEADER + n * ENTRY + 2, (uint16_t)perm); }

int acl_valid(struct wp_bytes a)
{
	uint32_t seen = 0, n = acl_count(a), last_tag = 0, last_id = 0;

	if (a.len < HEADER || (a.len - HEADER) % ENTRY || wp_get_le32(a.p) != VERSION || n > ENTRIES_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++) {
		struct ace e = acl_entry(a, i);
		bool named = e.tag == TAG_USER || e.tag == TAG_GROUP;

		if (e.perm & ~7u || e.tag < last_tag || !e.tag || e.tag & (e.tag - 1) || e.tag > TAG_OTHER)
			return -EINVAL;
		if (named ? e.tag == last_tag && e.id <= last_id : (seen & e.tag) != 0)
			return -EINVAL;
		seen |= e.tag;
		last_tag = e.tag;
		last_id = e.id;
	}
	if ((seen & (TAG_USER_OBJ | TAG_GROUP_OBJ | TAG_OTHER)) != (TAG_USER_OBJ | TAG_GROUP_OBJ | TAG_OTHER))
		return -EINVAL;
	return seen & (TAG_USER | TAG_GROUP) && !(seen & TAG_MASK) ? -EINVAL : 0;
}

static uint32_t acl_mask(struct wp_bytes a)
{
	for (uint32_t i = 0; i < acl_count(a); i++)
		if (acl_entry(a, i).tag == TAG_MASK)
			return acl_entry(a, i).perm;
	return 7;
}

/* POSIX 1003.1e: a named user; else any group entry that grants; else, if a group matched at all, no; else others. */
static int evaluate(struct wp_bytes a, const struct inode *i, const struct wp_cred *c, uint32_t want)
{
	uint32_t mask = acl_mask(a), other = 0;
	bool matched = false, unknown_match = false, unknown_grant = false;

	for (uint32_t n = 0; n < acl_count(a); n++) {
		struct ace e = acl_entry(a, n);
		int in;

		if (e.tag == TAG_USER && e.id == c->uid)
			return (e.perm & mask & want) == want ? 0 : -EACCES;
		if (e.tag == TAG_OTHER)
			other = e.perm;
		if (e.tag != TAG_GROUP && e.tag != TAG_GROUP_OBJ)
			continue;
		in = cred_in_group(c, e.tag == TAG_GROUP ? e.id : i->gid);
		if (in > 0 && (e.perm & mask & want) == want)
			return 0;
		matched |= in > 0;
		unknown_match |= in < 0;
		unknown_grant |= in < 0 && (e.perm & mask & want) == want;
	}
	if (unknown_grant || (unknown_match && !matched && (other & want) == want)) {
		/* Not when others get it anyway and every group would, too: that is left to the complete credential. */
		return -WEFT_ENEEDGROUPS;
	}
	if (matched || unknown_match)
		return -EACCES;
	return (other & want) == want ? 0 : -EACCES;
}

int acl_check(struct op *op, const struct inode *i, const struct wp_cred *c, uint32_t mask)
{
	struct wp_bytes acl;
	int err = xattr_read(op, &i->fid, wp_str(ACL_ACCESS), &acl);

	if (!err)
		err = acl_valid(acl);
	return err ? -EIO : evaluate(acl, i, c, mask);
}

/* The group bits of the mode are the mask if there is one. */
static uint32_t acl_mode(struct wp_bytes a, uint32_t mode)
{
	bool has_mask = false;

	for (uint32_t n = 0; n < acl_count(a); n++)
		has_mask |= acl_entry(a, n).tag == TAG_MASK;
	for (uint32_t n = 0; n < acl_count(a); n++) {
		struct ace e = acl_entry(a, n);

		if (e.tag == TAG_USER_OBJ)
			mode = (mode & ~0700u) | (uint32_t)e.perm << 6;
		else if (e.tag == TAG_OTHER)
			mode = (mode & ~07u) | e.perm;
		else if (e.tag == (has_mask ? TAG_MASK : TAG_GROUP_OBJ))
			mode = (mode & ~070u) | (uint32_t)e.perm << 3;
	}
	return mode;
}

/* Puts permission bits into the owner's, the mask's (or group's) and the others' entries. */
static void acl_apply_mode(uint8_t *p, uint32_t len, uint32_t mode)
{
	struct wp_bytes a = wp_bytes(p, len);
	bool has_mask = false;

	for (uint32_t n = 0; n < acl_count(a); n++)
		has_mask |= acl_entry(a, n).tag == TAG_MASK;
	for (uint32_t n = 0; n < acl_count(a); n++) {
		struct ace e = acl_entry(a, n);

		if (e.tag == TAG_USER_OBJ)
			acl_set_perm(p, n, mode >> 6 & 7);
		else if (e.tag == TAG_OTHER)
			acl_set_perm(p, n, mode & 7);
		else if (e.tag == (has_mask ? TAG_MASK : TAG_GROUP_OBJ))
			acl_set_perm(p, n, mode >> 3 & 7);
	}
}

/* Says no more than the mode bits do. */
static bool acl_is_minimal(struct wp_bytes a) { return acl_count(a) == 3; }

int acl_set_access(struct op *op, struct inode *i, struct wp_bytes acl)
{
	if (acl.len) {
		int err = acl_valid(acl);

		if (err)
			return err;
		i->mode = acl_mode(acl, i->mode);
	}
	i->dirty = true;
	if (acl.len && !acl_is_minimal(acl)) {
		i->flags |= INO_HAS_ACL;
		xattr_write(op, i, wp_str(ACL_ACCESS), acl);
	} else if (i->flags & INO_HAS_ACL) {
		i->flags &= ~(uint32_t)INO_HAS_ACL;
		xattr_drop(op, &i->fid, wp_str(ACL_ACCESS));
	}
	return 0;
}

int acl_chmod(struct op *op, struct inode *i)
{
	struct wp_bytes acl;
	uint8_t *copy;
	int err;

	if (!(i->flags & INO_HAS_ACL))
		return 0;
	err = xattr_read(op, &i->fid, wp_str(ACL_ACCESS), &acl);
	if (err)
		return err == -ENOENT ? -EIO : err;
	copy = arena_dup(op->arena, acl.p, acl.len);
	acl_apply_mode(copy, acl.len, i->mode);
	xattr_write(op, i, wp_str(ACL_ACCESS), wp_bytes(copy, acl.len));
	return 0;
}

int acl_inherit(struct op *op, const struct inode *dir, struct inode *child, uint32_t umask)
{
	struct wp_bytes acl;
	uint32_t mode;
	uint8_t *copy;
	int err;

	if (S_ISLNK(child->mode))
		return 0;
	if (!(dir->flags & INO_HAS_DEFACL)) {
		child->mode &= ~(umask & 0777u);
		return 0;
	}
	err = xattr_read(op, &dir->fid, wp_str(ACL_DEFAULT), &acl);
	if (err)
		return err == -ENOENT ? -EIO : err;
	if (inode_is_dir(child)) {
		child->flags |= INO_HAS_DEFACL;
		xattr_write(op, child, wp_str(ACL_DEFAULT), acl);
	}
	/* What the caller asked for limits what the default gives; the umask does not count. */
	mode = acl_mode(acl, 0) & child->mode & 0777u;
	child->mode = (child->mode & ~0777u) | mode;
	if (acl_is_minimal(acl))
		return 0;
	copy = arena_dup(op->arena, acl.p, acl.len);
	acl_apply_mode(copy, acl.len, mode);
	child->flags |= INO_HAS_ACL;
	xattr_write(op, child, wp_str(ACL_ACCESS), wp_bytes(copy, acl.len));
	return 0;
}
