/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Inode records: codec, loading and writing back, numbering. */
#include "base/log.h"
#include "meta/meta_priv.h"
#include "meta/varint.h"

#define FORMAT 1u

/* Which fields follow in the record. */
enum {
	HAS_RDEV = 1,
	HAS_DATA = 2,        /* size, blocks, data_version, comps */
	HAS_PROJECT = 4,
	HAS_PARENT = 8,
	HAS_EXTRA = 16,
	MTIME_IS_CTIME = 32,
	ATIME_IS_CTIME = 64,
	BTIME_IS_CTIME = 128,
};

struct wp_time time_of_ns(uint64_t ns)
{
	return (struct wp_time){ .sec = (int64_t)(ns / NSEC_PER_SEC), .nsec = (uint32_t)(ns % NSEC_PER_SEC) };
}

int time_cmp(const struct wp_time *a, const struct wp_time *b)
{
	if (a->sec != b->sec)
		return a->sec < b->sec ? -1 : 1;
	return a->nsec < b->nsec ? -1 : a->nsec > b->nsec;
}

static unsigned fields_of(const struct inode *i)
{
	unsigned f = 0;

	f |= i->rdev_major || i->rdev_minor ? HAS_RDEV : 0;
	f |= i->size || i->blocks || i->data_version || i->comps ? HAS_DATA : 0;
	f |= i->project ? HAS_PROJECT : 0;
	f |= i->parent.seq ? HAS_PARENT : 0;
	f |= i->extra.len ? HAS_EXTRA : 0;
	f |= !time_cmp(&i->mtime, &i->ctime) ? MTIME_IS_CTIME : 0;
	f |= !time_cmp(&i->atime, &i->ctime) ? ATIME_IS_CTIME : 0;
	f |= !time_cmp(&i->btime, &i->ctime) ? BTIME_IS_CTIME : 0;
	return f;
}

void ino_encode(const struct inode *i, struct buf *b)
{
	unsigned f = fields_of(i);
	uint8_t head[2] = { FORMAT, (uint8_t)f };

	buf_add(b, head, sizeof(head));
	put_varint(b, i->flags);
	put_varint(b, i->mode);
	put_varint(b, i->nlink);
	put_varint(b, i->uid);
	put_varint(b, i->gid);
	put_varint(b, i->change);
	put_time(b, &i->ctime);
	if (!(f & MTIME_IS_CTIME))
		put_time(b, &i->mtime);
	if (!(f & ATIME_IS_CTIME))
		put_time(b, &i->atime);
	if (!(f & BTIME_IS_CTIME))
		put_time(b, &i->btime);
	if (f & HAS_DATA) {
		put_varint(b, i->size);
		put_varint(b, i->blocks);
		put_varint(b, i->data_version);
		put_varint(b, i->comps);
	}
	if (f & HAS_RDEV) {
		put_varint(b, i->rdev_major);
		put_varint(b, i->rdev_minor);
	}
	if (f & HAS_PROJECT)
		put_varint(b, i->project);
	if (f & HAS_PARENT) {
		put_varint(b, wp_fid_to_ino(&i->parent));
		put_varint(b, i->name.len);
		buf_add(b, i->name.p, i->name.len);
	}
	if (f & HAS_EXTRA)
		buf_add(b, i->extra.p, i->extra.len);
}

static void get_body(struct cursor *c, unsigned f, struct inode *i)
{
	i->flags = get_varint32(c);
	i->mode = get_varint32(c);
	i->nlink = get_varint32(c);
	i->uid = get_varint32(c);
	i->gid = get_varint32(c);
	i->change = get_varint(c);
	i->ctime = get_time(c);
	i->mtime = f & MTIME_IS_CTIME ? i->ctime : get_time(c);
	i->atime = f & ATIME_IS_CTIME ? i->ctime : get_time(c);
	i->btime = f & BTIME_IS_CTIME ? i->ctime : get_time(c);
	if (f & HAS_DATA) {
		i->size = get_varint(c);
		i->blocks = get_varint(c);
		i->data_version = get_varint(c);
		i->comps = get_varint32(c);
	}
	if (f & HAS_RDEV) {
		i->rdev_major = get_varint32(c);
		i->rdev_minor = get_varint32(c);
	}
	if (f & HAS_PROJECT)
		i->project = get_varint32(c);
}

int ino_decode(struct arena *a, struct osd_slice v, struct inode *i)
{
	const uint8_t *p = arena_dup(a, v.p, v.len);
	struct cursor c = { p + 2, p + v.len, false };
	unsigned f;

	if (v.len < 2 || p[0] != FORMAT)
		return -WEFT_ECORRUPT;
	f = p[1];
	memset(i, 0, sizeof(*i));
	get_body(&c, f, i);
	if (f & HAS_PARENT) {
		i->parent = wp_ino_to_fid(get_varint(&c));
		i->name.len = get_varint32(&c);
		i->name.p = (const char *)get_bytes(&c, i->name.len);
	}
	if (f & HAS_EXTRA)
		i->extra = wp_bytes(c.p, (uint32_t)(c.end - c.p));
	else if (c.p != c.end)
		c.bad = true;
	i->old_blocks = i->blocks;
	i->old_uid = i->uid;
	i->old_gid = i->gid;
	i->old_project = i->project;
	return c.bad ? -WEFT_ECORRUPT : 0;
}

int ino_load(struct op *op, const struct wp_fid *fid, struct inode **ret)
{
	struct osd_slice v;
	struct inode *i;
	struct key k;
	int err;

	for (uint32_t n = 0; n < op->n_inodes; n++)
		if (wp_fid_eq(&op->inodes[n].fid, fid)) {
			*ret = &op->inodes[n];
			return op->inodes[n].deleted ? -ENOENT : 0;
		}
	if (!wp_fid_valid(fid))
		return -EINVAL;
	if (wp_fid_mdt(fid) != op->mt->params.target)
		return -WEFT_ESTALEMAP;
	key_inode(&k, fid);
	err = osd_get(op->mt->dev, key_slice(&k), &v);
	if (err)
		return err;
	weft_assert(op->n_inodes < OP_INODES);
	i = &op->inodes[op->n_inodes];
	err = ino_decode(op->arena, v, i);
	if (err) {
		log_err("meta", "inode %llx: its record is damaged", (unsigned long long)wp_fid_to_ino(fid));
		return err;
	}
	i->fid = *fid;
	op->n_inodes++;
	*ret = i;
	return 0;
}

int ino_peek(struct op *op, const struct wp_fid *fid, struct inode *ret)
{
	struct osd_slice v;
	struct key k;
	int err;

	key_inode(&k, fid);
	err = osd_get(op->mt->dev, key_slice(&k), &v);
	if (!err)
		err = ino_decode(op->arena, v, ret);
	ret->fid = *fid;
	return err;
}

int ino_get(struct op *op, const struct wp_fid *fid, struct inode **ret)
{
	int err = ino_load(op, fid, ret);

	return err == -ENOENT || err == -EINVAL ? -ESTALE : err;
}

struct inode *ino_new(struct op *op, const struct wp_fid *fid, uint32_t mode)
{
	struct inode *i = &op->inodes[op->n_inodes++];
	struct wp_time now = time_of_ns(op->now_ns);

	weft_assert(op->n_inodes <= OP_INODES);
	*i = (struct inode){ .fid = *fid, .mode = mode, .nlink = 1, .change = 1, .fresh = true, .dirty = true,
			     .atime = now, .mtime = now, .ctime = now, .btime = now };
	return i;
}

void ino_touch(struct op *op, struct inode *i, uint32_t what)
{
	struct wp_time now = time_of_ns(op->now_ns);

	if (what & TOUCH_ATIME)
		i->atime = now;
	if (what & TOUCH_MTIME)
		i->mtime = now;
	if (what & TOUCH_CTIME && time_cmp(&now, &i->ctime) > 0)
		i->ctime = now;
	i->dirty = true;
}

void ino_flush(struct op *op)
{
	for (uint32_t n = 0; n < op->n_inodes; n++) {
		struct inode *i = &op->inodes[n];
		uint8_t mem[1024];
		struct buf b = { mem, 0, sizeof(mem) };
		struct key k;

		if (!i->dirty && !i->deleted)
			continue;
		key_inode(&k, &i->fid);
		usage_of_inode(op, i);
		if (i->deleted) {
			if (!i->fresh)
				osd_txn_del(&op->txn, key_slice(&k));
			continue;
		}
		if (i->extra.len + i->name.len + 200u > sizeof(mem))
			b = (struct buf){ 0 };
		i->change += i->fresh ? 0 : 1;
		ino_encode(i, &b);
		osd_txn_put(&op->txn, key_slice(&k), osd_slice(b.p, b.len));
		if (b.p != mem)
			buf_done(&b);
	}
}

int ino_exists(struct meta_target *mt, const struct wp_fid *fid)
{
	struct osd_slice v;
	struct key k;

	key_inode(&k, fid);
	return osd_get(mt->dev, key_slice(&k), &v);
}

void ino_attr(const struct inode *i, struct wp_attr *a)
{
	*a = (struct wp_attr){ .fid = i->fid, .mode = i->mode, .nlink = i->nlink, .uid = i->uid, .gid = i->gid,
			       .rdev_major = i->rdev_major, .rdev_minor = i->rdev_minor, .size = i->size, .blocks = i->blocks,
			       .atime = i->atime, .mtime = i->mtime, .ctime = i->ctime, .btime = i->btime, .change = i->change,
			       .data_version = i->data_version, .project = i->project };
	if (inode_is_dir(i))
		a->size = 4096; /* programs expect something */
	a->flags |= i->comps ? WP_ATTR_HAS_DATA : 0;
	a->flags |= i->flags & INO_HAS_ACL ? WP_ATTR_HAS_ACL : 0;
	a->flags |= i->flags & (INO_HAS_XATTR | INO_HAS_ACL | INO_HAS_DEFACL) ? WP_ATTR_HAS_XATTR : 0;
	a->flags |= i->nlink ? 0 : WP_ATTR_ORPHAN;
}

/* ---- numbering --------------------------------------------------------------------------------------------------------------- */

int fid_alloc(struct op *op, struct wp_fid *ret)
{
	struct meta_target *mt = op->mt;

	if (mt->own_oid >= WP_FID_OID_MAX) {
		if (mt->next_counter > WP_FID_COUNTER_MAX)
			return -ENOSPC;
		mt->own_seq = wp_fid_seq(mt->params.target, (uint32_t)mt->next_counter++);
		mt->own_oid = 0;
	}
	/* The first operation that commits with a fid of a new sequence says that it is taken: the one that began it may have failed. */
	if (mt->next_counter != mt->saved_counter)
		counter_put(op, "next_seq", op->saves_counter = mt->next_counter);
	*ret = (struct wp_fid){ .seq = mt->own_seq, .oid = ++mt->own_oid };
	return 0;
}

int fid_choose(struct op *op, const struct wp_fid *wanted, struct wp_fid *ret)
{
	struct osd_slice v;
	struct key k;

	if (!wanted->seq)
		return fid_alloc(op, ret);
	if (!wp_fid_valid(wanted) || wp_fid_mdt(wanted) != op->mt->params.target)
		return -EINVAL;
	key_u64(&k, KEY_GRANT, wanted->seq);
	if (osd_get(op->mt->dev, key_slice(&k), &v) || v.len != 8 || key_get64(v.p) != op->ses->id)
		return -EINVAL;
	if (!ino_exists(op->mt, wanted))
		return -EINVAL;
	*ret = *wanted;
	return 0;
}
