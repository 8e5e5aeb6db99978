/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* open, create, close. */
#include "meta/create.h"

#define STAGE_TRUNCATED 1

static int open_access(struct op *op, const struct inode *i, const struct wp_cred *c, uint32_t flags)
{
	uint32_t mask = 0;

	mask |= flags & WP_OPEN_READ ? MAY_READ : 0;
	mask |= flags & (WP_OPEN_WRITE | WP_OPEN_TRUNC) ? MAY_WRITE : 0;
	mask |= flags & WP_OPEN_EXEC ? MAY_EXEC : 0;
	if (S_ISLNK(i->mode))
		return -ELOOP;
	if (inode_is_dir(i) && (mask & MAY_WRITE || flags & WP_OPEN_CREATE))
		return -EISDIR;
	if (flags & WP_OPEN_EXEC && !inode_is_reg(i))
		return -EACCES;
	return access_check(op, i, c, mask);
}

static uint32_t open_rights(uint32_t flags)
{
	return WP_RIGHTS_READ | (flags & WP_OPEN_WRITE ? WP_RIGHTS_WRITE : 0);
}

/* O_TRUNC: to size 0 first, then this runs again. */
static int open_truncate(struct op *op, struct inode *i, uint32_t flags)
{
	int err = 0;

	if (!(flags & WP_OPEN_TRUNC) || !inode_is_reg(i))
		return 0;
	if (op->stage != STAGE_TRUNCATED && !reply_cache_is_half(op) && truncate_needed(i, 0)) {
		minode_size_changed(minode_find(op->mt, &i->fid), NULL);
		op->stage = STAGE_TRUNCATED;
		err = truncate_start(op, i, 0);
	}
	if (err)
		return err;
	if (flags & WP_OPEN_KILL_SUIDGID)
		(void)kill_suidgid(i);
	ino_touch(op, i, TOUCH_MTIME | TOUCH_CTIME);
	return 0;
}

/* Fills the entry as it is before this handle counts as a writer: its size is known. */
static int open_entry(struct op *op, struct inode *i, uint32_t flags, struct wp_entry *e, uint32_t *comps)
{
	int err = entry_fill(op, i, inode_is_reg(i) ? open_rights(flags) : 0, false, e);

	if (err)
		return err;
	*comps = handle_prepare(i, flags);
	e->attr.change = i->change + (i->dirty && !i->fresh);
	return 0;
}

static bool open_want(struct op *op, const struct inode *i, uint32_t flags)
{
	if (!(flags & (WP_OPEN_WRITE | WP_OPEN_TRUNC)) || !inode_is_reg(i))
		return lease_want_read(op, i);
	if (lease_want(op, i, LEASE_CHANGE_DATA))
		return true;
	if (flags & WP_OPEN_WRITE)
		lease_take_own(op, i, WP_LEASE_ATTR | WP_LEASE_DATA_READ);
	return false;
}

/* Who opens for writing keeps nothing that it will change; who opens for reading may keep what it reads. */
static bool open_lease(struct op *op, const struct inode *i, uint32_t flags, struct wp_entry *e)
{
	uint32_t bits = WP_LEASE_ATTR | WP_LEASE_LAYOUT;

	if (flags & WP_OPEN_WRITE && inode_is_reg(i))
		bits = 0;
	else if (flags & WP_OPEN_READ && inode_is_reg(i))
		bits |= WP_LEASE_DATA_READ;
	return lease_entry(op, i, bits, e);
}

static int open_inode(struct op *op, struct inode *i, const struct wp_cred *c, uint32_t flags, struct wp_entry *e,
		      uint32_t *comps)
{
	int err = op->stage == STAGE_TRUNCATED ? 0 : open_access(op, i, c, flags);

	if (!err)
		err = entry_wait(op, i);
	if (!err && open_want(op, i, flags))
		err = OP_WAIT;
	if (!err)
		err = open_truncate(op, i, flags);
	if (!err)
		err = open_entry(op, i, flags, e, comps);
	return err;
}

static int check_handle(struct op *op, const struct wp_fid *fid, uint64_t handle)
{
	struct handle *h = handle_find(op->ses, handle);

	return !h || h->m->ino == wp_fid_to_ino(fid) ? 0 : -EINVAL;
}

static void register_handle(struct op *op, const struct inode *i, uint64_t handle, uint32_t flags, uint32_t comps)
{
	if (!handle_find(op->ses, handle))
		(void)handle_add(op, i, handle, flags, comps);
}

int meta_open(struct op *op)
{
	struct wp_open_rep rep = { 0 };
	struct inode *i;
	uint32_t comps;
	int err;

	META_REQ(op, open, m);
	err = ino_get(op, &m->fid, &i);
	if (!err)
		err = check_handle(op, &m->fid, m->handle);
	if (!err)
		err = open_inode(op, i, &m->cred, m->flags, &rep.entry, &comps);
	if (err)
		return err;
	wp_open_rep_enc(mop_enc(op, entry_size(&rep.entry)), &rep);
	err = mop_commit(op);
	if (err)
		return err;
	register_handle(op, i, m->handle, m->flags, comps);
	if (open_lease(op, i, m->flags, &rep.entry))
		wp_open_rep_enc(mop_enc_granted(op, entry_size(&rep.entry)), &rep);
	return 0;
}

/* The same for both ways. */
static void create_granted(struct op *op, const struct inode *dir, const struct inode *i, uint32_t flags,
			   struct wp_create_rep *rep)
{
	if (open_lease(op, i, flags, &rep->entry) | lease_entry(op, dir, 0, &rep->dir))
		wp_create_rep_enc(mop_enc_granted(op, entry_size(&rep->entry) + ENTRY_DIR_SIZE), rep);
}

static int create_existing(struct op *op, const struct wp_create_req *m, const struct inode *dir, const struct wp_fid *fid,
			   struct wp_create_rep *rep)
{
	struct inode *i;
	uint32_t comps;
	int err;

	if (m->flags & WP_OPEN_EXCL)
		return -EEXIST;
	op->frees = true; /* no new file: O_TRUNC and small changes */
	err = ino_get(op, fid, &i);
	if (!err)
		err = check_handle(op, fid, m->handle);
	if (!err)
		err = open_inode(op, i, &m->cred, m->flags | WP_OPEN_CREATE, &rep->entry, &comps);
	if (err)
		return err;
	entry_dir(op, dir, &rep->dir);
	wp_create_rep_enc(mop_enc(op, entry_size(&rep->entry) + ENTRY_DIR_SIZE), rep);
	err = mop_commit(op);
	if (err)
		return err;
	register_handle(op, i, m->handle, m->flags, comps);
	create_granted(op, dir, i, m->flags, rep);
	return 0;
}

int meta_create(struct op *op)
{
	struct wp_create_rep rep = { 0 };
	struct inode *dir, *i;
	struct wp_fid old = { 0 };
	uint32_t comps;
	int err;

	META_REQ(op, create, m);
	err = create_parent(op, &m->parent, m->name, &m->cred, &dir, &old);
	if (err == -EEXIST)
		return old.seq ? create_existing(op, m, dir, &old, &rep) : -EISDIR;
	if (!err && handle_find(op->ses, m->handle))
		err = -EINVAL;
	if (!err)
		err = create_inode(op, dir, &(struct new_inode){ &m->cred, m->name, S_IFREG | (m->mode & 07777), m->umask, m->fid },
				   &i);
	if (!err)
		err = create_layout(op, dir, m->has & WP_CREATE_REQ_HAS_LAYOUT ? &m->layout : NULL, i);
	if (!err)
		err = open_entry(op, i, m->flags, &rep.entry, &comps);
	if (err)
		return err;
	rep.created = 1;
	entry_dir(op, dir, &rep.dir);
	wp_create_rep_enc(mop_enc(op, entry_size(&rep.entry) + ENTRY_DIR_SIZE), &rep);
	err = mop_commit(op);
	if (err)
		return err;
	(void)handle_add(op, i, m->handle, m->flags, comps);
	create_granted(op, dir, i, m->flags, &rep);
	return 0;
}

/* ---- close ----------------------------------------------------------------------------------------------------------------------- */

/* Components that may have objects, after a sole writer that reports this size. */
static uint32_t comps_up_to(struct op *op, const struct inode *i, const struct handle *h, uint64_t size, uint64_t blocks)
{
	struct wp_layout l;
	uint32_t comps = h->m->comps_before;

	/* Space reserved behind the end, or a size that went up and down: then all. */
	if (h->resized || blocks * 512 > round_up_pow2(size, STRIPE_UNIT_MIN) || layout_decode(op->arena, i->extra, &l))
		return COMPS_UNKNOWN;
	for (uint32_t c = 0; c < l.components_n; c++)
		if (l.components[c].start < MAX(size, 1u)) /* an empty file with data once may have an empty object */
			comps |= 1u << c;
	return comps;
}

static void apply_hint(struct op *op, struct inode *i, const struct handle *h, const struct wp_data_hint *hint)
{
	if (hint->data_version != i->data_version) {
		if (time_cmp(&hint->mtime, &i->mtime) > 0)
			i->mtime = hint->mtime;
		if (time_cmp(&hint->mtime, &i->ctime) > 0)
			i->ctime = hint->mtime;
	}
	i->comps = hint->data_version ? comps_up_to(op, i, h, hint->size, hint->blocks) : 0;
	i->size = MAX(i->size, MIN(hint->size, (uint64_t)WEFT_FILE_SIZE_MAX));
	i->blocks = hint->blocks;
	i->data_version = hint->data_version;
	i->flags &= ~(uint32_t)INO_WRITING;
	i->dirty = true;
}

/*
 * Settles the record if what the closing handle says is enough. Otherwise the objects are asked afterwards. The inode if its
 * attributes are exact then.
 */
static struct inode *close_writer(struct op *op, const struct handle *h, const struct wp_close_req *m)
{
	struct minode *mi = h->m;
	struct inode *i;

	mi->unwritten &= !m->wrote;
	if (mi->n_writers > 1 || mi->job || mi->orphan || op->mt->grace || ino_load(op, &m->fid, &i))
		return NULL;
	if (!(i->flags & INO_WRITING))
		return i;
	if (mi->unwritten) {
		i->flags &= ~(uint32_t)INO_WRITING;
		i->comps = mi->comps_before;
		i->dirty = true;
	} else if (m->has & WP_CLOSE_REQ_HAS_HINT && !h->shared) {
		apply_hint(op, i, h, &m->hint);
	}
	return i->flags & INO_WRITING ? NULL : i;
}

int meta_close(struct op *op)
{
	struct wp_close_rep rep = { 0 };
	struct inode *i = NULL;
	struct handle *h;
	int err;

	META_REQ(op, close, m);
	wp_close_rep_enc(mop_enc(op, 64), &rep);
	h = handle_find(op->ses, m->handle);
	if (!h)
		return 0; /* closed before, or lost with an eviction */
	if (h->m->ino != wp_fid_to_ino(&m->fid))
		return -EINVAL;
	if (h->flags & WP_OPEN_WRITE)
		i = close_writer(op, h, m);
	if (i && op->ses->leases && !entry_fill(op, i, 0, false, &rep.entry)) {
		rep.has = WP_CLOSE_REP_HAS_ENTRY;
		wp_close_rep_enc(mop_enc(op, entry_size(&rep.entry) + 64), &rep);
	}
	err = mop_commit(op);
	if (err) {
		h->m->unwritten = false; /* no room for the record: the objects are asked when there is */
		wp_close_rep_enc(mop_enc(op, 64), &(struct wp_close_rep){ 0 });
	} else if (rep.has && lease_entry(op, i, WP_LEASE_ATTR | WP_LEASE_LAYOUT, &rep.entry)) {
		wp_close_rep_enc(mop_enc_granted(op, entry_size(&rep.entry) + 64), &rep);
	}
	handle_drop(op->mt, h);
	ino_released(op->mt, &m->fid);
	return 0;
}
