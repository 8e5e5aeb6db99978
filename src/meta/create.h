/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#ifndef WEFT_META_CREATE_H
#define WEFT_META_CREATE_H

#include "meta/meta_priv.h"

struct new_inode {
	const struct wp_cred *cred;
	struct wp_str name;
	uint32_t mode, umask;
	struct wp_fid fid; /* zero: ours */
};

/* A directory in which the caller may make the name; nobody else has it leased. OP_WAIT: somebody has. -EEXIST: it is there (existing is set, unless it is "." or ".."). */
int create_parent(struct op *op, const struct wp_fid *parent, struct wp_str name, const struct wp_cred *c, struct inode **dir,
		  struct wp_fid *existing) must_check;
/* The inode with its name, and the changes of the directory. */
int create_inode(struct op *op, struct inode *dir, const struct new_inode *n, struct inode **ret) must_check;
/* wanted: the caller's policy, NULL: the directory's. */
int create_layout(struct op *op, const struct inode *dir, const struct wp_layout *wanted, struct inode *i) must_check;

#endif
