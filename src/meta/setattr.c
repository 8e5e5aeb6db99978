/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* setattr: who may change what, and what changes along with it. */
#include "meta/meta_priv.h"

enum { STAGE_SIZED = 1, STAGE_SETTLED = 2 }; /* bits */

#define EXPLICIT_TIMES (WP_SETATTR_ATIME | WP_SETATTR_MTIME)
#define NOW_TIMES (WP_SETATTR_ATIME_NOW | WP_SETATTR_MTIME_NOW)
#define RELATIME_S 86400

/* As a write by an unprivileged process does; true if something changed. */
bool kill_suidgid(struct inode *i)
{
	uint32_t mode = i->mode;

	i->mode &= ~(uint32_t)S_ISUID;
	if (i->mode & S_IXGRP)
		i->mode &= ~(uint32_t)S_ISGID;
	i->dirty |= i->mode != mode;
	return i->mode != mode;
}

/* ---- may the caller? ------------------------------------------------------------------------------------------------------------- */

static int check_owner_change(const struct inode *i, const struct wp_setattr_req *m, bool owner)
{
	const struct wp_cred *c = &m->cred;
	int in;

	if (cred_is_root(c))
		return 0;
	if (m->valid & WP_SETATTR_UID && (!owner || m->uid != i->uid))
		return -EPERM;
	if (!(m->valid & WP_SETATTR_GID))
		return 0;
	if (!owner)
		return -EPERM;
	if (m->gid == i->gid)
		return 0;
	in = cred_in_group(c, m->gid);
	return in < 0 ? in : in ? 0 : -EPERM;
}

static int check_times(struct op *op, const struct inode *i, const struct wp_setattr_req *m, bool owner)
{
	uint32_t v = m->valid;
	bool now_a = v & WP_SETATTR_ATIME_NOW, now_m = v & WP_SETATTR_MTIME_NOW;

	if (!(v & (EXPLICIT_TIMES | NOW_TIMES)) || owner)
		return 0;
	/* Both to the present: whoever may write. Anything else: the owner. */
	if ((v & WP_SETATTR_ATIME && !now_a) || (v & WP_SETATTR_MTIME && !now_m) || now_a != now_m)
		return -EPERM;
	return access_check(op, i, &m->cred, MAY_WRITE);
}

static int check_size(struct op *op, const struct inode *i, const struct wp_setattr_req *m)
{
	const struct handle *h;

	if (inode_is_dir(i))
		return -EISDIR;
	if (!inode_is_reg(i))
		return -EINVAL;
	if (m->size > (uint64_t)WEFT_FILE_SIZE_MAX)
		return -EFBIG;
	if (!(m->valid & WP_SETATTR_HANDLE_SIZE))
		return access_check(op, i, &m->cred, MAY_WRITE);
	h = handle_find(op->ses, m->handle);
	return h && h->flags & WP_OPEN_WRITE && h->m->ino == wp_fid_to_ino(&i->fid) ? 0 : -EINVAL;
}

static int check_all(struct op *op, const struct inode *i, const struct wp_setattr_req *m)
{
	bool owner = m->cred.uid == i->uid || cred_is_root(&m->cred);
	uint32_t v = m->valid;
	int err = 0;

	if (v & (WP_SETATTR_UID | WP_SETATTR_GID))
		err = check_owner_change(i, m, owner);
	if (!err && v & (WP_SETATTR_MODE | WP_SETATTR_PROJECT) && !owner)
		err = -EPERM;
	if (!err && v & WP_SETATTR_MODE && S_ISLNK(i->mode))
		err = -EOPNOTSUPP;
	if (!err)
		err = check_times(op, i, m, owner);
	if (!err && v & WP_SETATTR_SIZE)
		err = check_size(op, i, m);
	return err;
}

/* ---- changes ---------------------------------------------------------------------------------------------------------------------- */

static int change_mode(struct op *op, struct inode *i, const struct wp_setattr_req *m)
{
	i->mode = (i->mode & S_IFMT) | (m->mode & 07777);
	if (i->mode & S_ISGID && !cred_is_root(&m->cred)) {
		int in = cred_in_group(&m->cred, i->gid); /* the new group, if that changes, too */

		if (in < 0)
			return in;
		if (!in)
			i->mode &= ~(uint32_t)S_ISGID;
	}
	return ino_acl_chmod(op, i);
}

static int change_owner(struct op *op, struct inode *i, const struct wp_setattr_req *m)
{
	if (m->valid & WP_SETATTR_UID)
		i->uid = m->uid;
	if (m->valid & WP_SETATTR_GID)
		i->gid = m->gid;
	if (inode_is_dir(i))
		return 0;
	if (!(m->valid & WP_SETATTR_MODE))
		(void)kill_suidgid(i);
	if (i->flags & INO_HAS_XATTR)
		xattr_drop(op, &i->fid, wp_str("security.capability"));
	return 0;
}

static void change_times(struct op *op, struct inode *i, const struct wp_setattr_req *m)
{
	struct wp_time now = time_of_ns(op->now_ns);

	if (m->valid & WP_SETATTR_ATIME_NOW)
		i->atime = now;
	else if (m->valid & WP_SETATTR_ATIME)
		i->atime = m->atime;
	if (m->valid & WP_SETATTR_MTIME_NOW)
		i->mtime = now;
	else if (m->valid & WP_SETATTR_MTIME)
		i->mtime = m->mtime;
	if (m->valid & WP_SETATTR_CTIME && time_cmp(&m->ctime, &i->ctime) > 0 && time_cmp(&m->ctime, &now) < 0)
		i->ctime = m->ctime;
}

/* The target must know which version of the data an mtime goes with, while somebody writes. */
static int version_now(struct op *op, struct inode *i, const struct wp_setattr_req *m)
{
	const struct handle *h;

	if (!(m->valid & (WP_SETATTR_MTIME | WP_SETATTR_MTIME_NOW)) || !inode_is_reg(i) || !(i->flags & INO_WRITING))
		return 0;
	if (op->stage & STAGE_SETTLED)
		return 0;
	h = m->handle ? handle_find(op->ses, m->handle) : NULL;
	if (m->has & WP_SETATTR_REQ_HAS_HINT && h && h->flags & WP_OPEN_WRITE && h->m->ino == wp_fid_to_ino(&i->fid) && !h->shared &&
	    h->m->n_writers == 1) {
		i->data_version = m->hint.data_version;
		i->size = MAX(i->size, MIN(m->hint.size, (uint64_t)WEFT_FILE_SIZE_MAX));
		i->blocks = m->hint.blocks;
		return 0;
	}
	op->stage |= STAGE_SETTLED;
	settle_start(op->mt, &i->fid);
	mop_wait_job(op, minode_find(op->mt, &i->fid));
	return OP_WAIT;
}

static int change_size(struct op *op, struct inode *i, const struct wp_setattr_req *m)
{
	struct minode *mi = minode_find(op->mt, &i->fid);
	struct handle *h = m->handle ? handle_find(op->ses, m->handle) : NULL;

	if (!(op->stage & STAGE_SIZED) && !reply_cache_is_half(op) && truncate_needed(i, m->size)) {
		minode_size_changed(mi, h && h->m == mi ? h : NULL);
		op->stage |= STAGE_SIZED;
		return truncate_start(op, i, m->size);
	}
	ino_touch(op, i, TOUCH_MTIME | TOUCH_CTIME);
	return 0;
}

static int change_all(struct op *op, struct inode *i, const struct wp_setattr_req *m)
{
	uint32_t v = m->valid;
	int err = 0;

	if (v & WP_SETATTR_SIZE)
		err = change_size(op, i, m);
	if (!err)
		err = version_now(op, i, m);
	if (!err && v & (WP_SETATTR_UID | WP_SETATTR_GID))
		err = change_owner(op, i, m);
	if (!err && v & WP_SETATTR_MODE)
		err = change_mode(op, i, m);
	if (err)
		return err;
	change_times(op, i, m);
	if (v & WP_SETATTR_PROJECT)
		i->project = m->project;
	if (v & WP_SETATTR_KILL_SUIDGID && !kill_suidgid(i) && v == WP_SETATTR_KILL_SUIDGID)
		return 0; /* nothing to do */
	ino_touch(op, i, TOUCH_CTIME);
	return 0;
}

/* Relatime: only if it was not read since it changed, or not for a day. */
static int lazy_atime(struct op *op, struct inode *i)
{
	struct wp_time now = time_of_ns(op->now_ns);

	op->lazy = true;
	if (time_cmp(&i->atime, &i->mtime) > 0 && time_cmp(&i->atime, &i->ctime) > 0 && now.sec - i->atime.sec < RELATIME_S)
		return 0;
	i->atime = now;
	i->dirty = true;
	return 0;
}

/* Does anything change that others may have cached? */
static bool changes(const struct inode *i, const struct wp_setattr_req *m)
{
	if (m->valid & WP_SETATTR_LAZY_ATIME)
		return false;
	return m->valid != WP_SETATTR_KILL_SUIDGID || i->mode & (S_ISUID | S_ISGID);
}

int meta_setattr(struct op *op)
{
	struct wp_setattr_rep rep = { 0 };
	struct inode *i;
	int err;

	META_REQ(op, setattr, m);
	err = ino_get(op, &m->fid, &i);
	if (!err)
		err = entry_wait(op, i);
	if (err)
		return err;
	if (m->valid & WP_SETATTR_LAZY_ATIME)
		err = lazy_atime(op, i);
	else if (!op->stage)
		err = check_all(op, i, m);
	if (!err && changes(i, m) && lease_want(op, i, m->valid & WP_SETATTR_SIZE ? LEASE_CHANGE_DATA : LEASE_CHANGE_ATTR))
		return OP_WAIT;
	if (!err && !(m->valid & WP_SETATTR_LAZY_ATIME))
		err = change_all(op, i, m);
	if (!err)
		err = entry_fill(op, i, 0, false, &rep.entry);
	if (err)
		return err;
	wp_setattr_rep_enc(mop_enc(op, entry_size(&rep.entry)), &rep);
	err = mop_commit(op);
	/* What leaves before it is durable is not for keeping. */
	if (!err && !op->lazy && lease_entry(op, i, WP_LEASE_ATTR | WP_LEASE_LAYOUT, &rep.entry))
		wp_setattr_rep_enc(mop_enc_granted(op, entry_size(&rep.entry)), &rep);
	return err;
}
