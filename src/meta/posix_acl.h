/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * POSIX access control lists: POSIX.1e draft 17, acl(5). Pure functions over the binary form that Linux keeps in the extended
 * attributes system.posix_acl_access and system.posix_acl_default (linux/posix_acl_xattr.h: version 2, little-endian).
 */
#ifndef WEFT_META_POSIX_ACL_H
#define WEFT_META_POSIX_ACL_H

#include "base/base.h"

#define ACL_USER_OBJ 0x01
#define ACL_USER 0x02
#define ACL_GROUP_OBJ 0x04
#define ACL_GROUP 0x08
#define ACL_MASK 0x10
#define ACL_OTHER 0x20
#define ACL_ENTRIES_MAX 8191 /* as many as fit in 64 KiB */

struct acl_entry {
	uint16_t tag, perm;
	uint32_t id;
};

struct acl {
	struct acl_entry *e; /* sorted: owner, users, owning group, groups, mask, other */
	unsigned n;
};

/* -EINVAL: malformed, or not a valid ACL (acl_valid(3)); -EOPNOTSUPP: another version. Allocates acl->e; acl_free. */
int acl_decode(const void *value, size_t len, struct acl *acl) must_check;
void acl_free(struct acl *acl);
/* value has room for acl_size(acl). */
size_t acl_size(const struct acl *acl);
void acl_encode(const struct acl *acl, void *value);

/* Whether caller is in the group: 1, 0, or -WEFT_ENEEDGROUPS. */
typedef int acl_in_group_fn(void *arg, uint32_t gid);

/*
 * The check of acl(5) "ACCESS CHECK ALGORITHM" for uid on a file of owner and group: want is a mask of 4, 2, 1. 0, -EACCES, or what in_group
 * returned below 0 when the outcome depends on it.
 */
int acl_check(const struct acl *acl, uint32_t uid, uint32_t owner, uint32_t group, unsigned want, acl_in_group_fn *in_group,
	      void *arg) must_check;

/* The permission bits that the ACL stands for (the group's are the mask's if there is one); *extended: it says more than them. */
uint32_t acl_mode(const struct acl *acl, bool *extended);
/* chmod: owner, mask (else group) and other entries take the mode's bits. */
void acl_chmod(struct acl *acl, uint32_t mode);
/* A new inode's access ACL from the folder's default ACL: entries are cut to mode; returns the resulting permission bits. */
uint32_t acl_create(struct acl *acl, uint32_t mode);

#endif
