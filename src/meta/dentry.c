/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Names in directories, and the way back from an inode to its names.
 *
 * A directory entry's key holds the hash and the name, so two names with one hash are two entries; readdir never ends a page
 * between such (readdir.c), so the hash alone can be the cookie.
 */
#include "layout/dirhash.h"
#include "meta/meta_priv.h"

#define DENTRY_VALUE 9u /* inode number, type */

int name_check(struct wp_str name)
{
	if (!name.len)
		return -ENOENT;
	if (name.len > WP_NAME_MAX)
		return -ENAMETOOLONG;
	if (name.p[0] == '.' && (name.len == 1 || (name.len == 2 && name.p[1] == '.')))
		return -EINVAL;
	return memchr(name.p, '/', name.len) || memchr(name.p, 0, name.len) ? -EINVAL : 0;
}

uint64_t name_hash(const struct wp_fid *dir, struct wp_str name) { return dir_name_hash(dir, name); }

int dentry_find(struct meta_target *mt, const struct wp_fid *dir, struct wp_str name, struct wp_fid *fid, uint32_t *type)
{
	struct osd_slice v;
	struct key k;
	int err;

	key_dentry(&k, dir, name_hash(dir, name), name);
	err = osd_get(mt->dev, key_slice(&k), &v);
	if (err)
		return err;
	if (v.len != DENTRY_VALUE)
		return -WEFT_ECORRUPT;
	*fid = wp_ino_to_fid(key_get64(v.p));
	*type = (uint32_t)((const uint8_t *)v.p)[8] << 12;
	return 0;
}

void dentry_put(struct op *op, const struct wp_fid *dir, struct wp_str name, const struct wp_fid *fid, uint32_t mode)
{
	uint64_t be = __builtin_bswap64(wp_fid_to_ino(fid));
	uint8_t v[DENTRY_VALUE];
	struct key k;

	memcpy(v, &be, sizeof(be));
	v[8] = (uint8_t)((mode & S_IFMT) >> 12);
	key_dentry(&k, dir, name_hash(dir, name), name);
	osd_txn_put(&op->txn, key_slice(&k), osd_slice(v, sizeof(v)));
}

void dentry_del(struct op *op, const struct wp_fid *dir, struct wp_str name)
{
	struct key k;

	key_dentry(&k, dir, name_hash(dir, name), name);
	osd_txn_del(&op->txn, key_slice(&k));
}

int dir_is_empty(struct meta_target *mt, const struct wp_fid *dir)
{
	struct osd_slice key, value;
	struct osd_iter it;
	struct key k;

	key_u64(&k, KEY_DENTRY, wp_fid_to_ino(dir));
	osd_iter_init(&it, mt->dev, key_slice(&k));
	if (osd_next(&it, &key, &value) || key.len < k.len || memcmp(key.p, k.b, k.len))
		return 0;
	return -ENOTEMPTY;
}

/* ---- the way back ------------------------------------------------------------------------------------------------------------- */

static bool is_first(const struct inode *i, const struct wp_fid *parent, struct wp_str name)
{
	return wp_fid_eq(&i->parent, parent) && wp_str_eq(i->name, name);
}

void name_add(struct op *op, struct inode *i, const struct wp_fid *parent, struct wp_str name)
{
	struct key k;

	i->dirty = true;
	if (!i->parent.seq) {
		i->parent = *parent;
		i->name = name;
		return;
	}
	key_back(&k, &i->fid, parent, name);
	osd_txn_put(&op->txn, key_slice(&k), osd_slice("", 0));
	i->flags |= INO_MORE_NAMES;
}

/* The first of the further names becomes the first name. gone: one that this transaction removes. */
static void promote(struct op *op, struct inode *i)
{
	struct osd_slice key, value;
	struct osd_iter it;
	struct key k;

	i->parent = (struct wp_fid){ 0 };
	i->name = wp_str_n(NULL, 0);
	if (!(i->flags & INO_MORE_NAMES))
		return;
	key_u64(&k, KEY_BACK, wp_fid_to_ino(&i->fid));
	osd_iter_init(&it, op->mt->dev, key_slice(&k));
	if (osd_next(&it, &key, &value) || key.len < k.len + 8u || memcmp(key.p, k.b, k.len)) {
		i->flags &= ~(uint32_t)INO_MORE_NAMES;
		return;
	}
	i->parent = wp_ino_to_fid(key_get64((const uint8_t *)key.p + k.len));
	i->name.len = (uint32_t)(key.len - k.len - 8);
	i->name.p = arena_dup(op->arena, (const uint8_t *)key.p + k.len + 8, i->name.len);
	osd_txn_del(&op->txn, key);
}

void name_remove(struct op *op, struct inode *i, const struct wp_fid *parent, struct wp_str name)
{
	struct key k;

	i->dirty = true;
	if (is_first(i, parent, name)) {
		promote(op, i);
		return;
	}
	key_back(&k, &i->fid, parent, name);
	osd_txn_del(&op->txn, key_slice(&k));
}
