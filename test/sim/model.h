/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the namespace must look like, given what was acknowledged: the oracle of P1 to P4 for names and inodes.
 *
 * Operations of the workload hold the names and inodes they touch, so that the model changes one operation at a time and each
 * outcome is known beforehand, although the operations come from many clients and run at the same time.
 */
#ifndef WEFT_TEST_SIM_MODEL_H
#define WEFT_TEST_SIM_MODEL_H

#include <sys/stat.h>

#include "base/base.h"
#include "base/list.h"
#include "content.h"
#include "weft_proto.h"

struct mnode;

/* A name in a directory; exists with child NULL only while an operation holds it. */
struct ment {
	struct list link;
	struct mnode *dir, *child;
	char name[16];
	bool busy;
};

struct mnode {
	struct list link;      /* model.nodes */
	struct wp_fid fid;
	uint32_t mode;
	bool mode_unsure;
	unsigned nlink;        /* names; directories count theirs as POSIX does */
	struct mnode *parent;  /* directories */
	struct list ents;      /* directories */
	unsigned ents_n;
	struct content data;   /* regular files */
	char target[32];       /* symbolic links */
	struct wp_time ctime;  /* newest that was told: nothing older may be seen */
	struct wp_time mtime_set; /* by the last change of times; sec 0: not set, or changed since */
	uint64_t changed_ns;	  /* the last answer to a change of it */
	char xattr[32];        /* value of user.sim, empty: none */
	bool xattr_unsure;
	bool busy;             /* one operation has it for itself */
	unsigned shared;       /* operations on names inside, or on data */
	unsigned extending;    /* writes in flight that may move the end */
	unsigned renames;      /* in flight, of names of it: they do not hold it, but change its ctime */
	unsigned moves;        /* of the end, begun or done so far */
	unsigned opens;
};

struct model {
	struct mnode *root;
	struct list nodes;
	unsigned nodes_n, dirs_n;
	bool dir_rename;       /* one at a time: each may make the next one a loop */
};

void model_init(struct model *m);
void model_done(struct model *m);

/* ---- holding ---- */

/* The name, held; NULL: it, or its directory, is in other hands. Given back by model_release. */
struct ment *model_hold_name(struct model *m, struct mnode *dir, const char *name);
void model_release_name(struct model *m, struct ment *e);
/* The inode, alone. false: in other hands. */
bool model_hold(struct mnode *n);
void model_release(struct model *m, struct mnode *n);
/* Together with others that do the same. */
bool model_share(struct mnode *n);
void model_unshare(struct model *m, struct mnode *n);

/* ---- what must happen: 0 or a negative errno ---- */

int model_expect_new(const struct ment *e);
int model_expect_unlink(const struct ment *e);
int model_expect_rmdir(const struct ment *e);
int model_expect_rename(const struct ment *from, const struct ment *to, uint32_t flags);

/* ---- what happened ---- */

struct mnode *model_new(struct model *m, struct ment *e, uint32_t mode, const struct wp_fid *fid);
void model_link(struct ment *e, struct mnode *n);
/* Frees the inode when it has neither names nor opens and nobody holds it. */
void model_unlink(struct model *m, struct ment *e);
void model_rename(struct model *m, struct ment *from, struct ment *to, uint32_t flags);
void model_opened(struct mnode *n);
void model_closed(struct model *m, struct mnode *n);

struct ment *model_find(struct mnode *dir, const char *name);
/* The i-th inode, for random choice. */
struct mnode *model_nth(struct model *m, unsigned i);

#endif
