/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Keys of the index: a prefix byte per table, then big-endian numbers, so that the order of keys is the order of numbers. */
#include "meta/meta_priv.h"

void key_put(struct key *k, const void *p, size_t len)
{
	weft_assert(k->len + len <= sizeof(k->b));
	if (len)
		memcpy(k->b + k->len, p, len);
	k->len = (uint16_t)(k->len + len);
}

void key_put32(struct key *k, uint32_t v)
{
	uint32_t be = __builtin_bswap32(v);

	key_put(k, &be, sizeof(be));
}

void key_put64(struct key *k, uint64_t v)
{
	uint64_t be = __builtin_bswap64(v);

	key_put(k, &be, sizeof(be));
}

uint64_t key_get64(const uint8_t *p)
{
	uint64_t be;

	memcpy(&be, p, sizeof(be));
	return __builtin_bswap64(be);
}

uint32_t key_get32(const uint8_t *p)
{
	uint32_t be;

	memcpy(&be, p, sizeof(be));
	return __builtin_bswap32(be);
}

void key_u64(struct key *k, char prefix, uint64_t v)
{
	key_start(k, prefix);
	key_put64(k, v);
}

void key_inode(struct key *k, const struct wp_fid *fid) { key_u64(k, KEY_INODE, wp_fid_to_ino(fid)); }

void key_dentry(struct key *k, const struct wp_fid *dir, uint64_t hash, struct wp_str name)
{
	key_u64(k, KEY_DENTRY, wp_fid_to_ino(dir));
	key_put64(k, hash);
	key_put(k, name.p, name.len);
}

void key_xattr(struct key *k, const struct wp_fid *fid, struct wp_str name)
{
	key_u64(k, KEY_XATTR, wp_fid_to_ino(fid));
	key_put(k, name.p, name.len);
}

void key_back(struct key *k, const struct wp_fid *fid, const struct wp_fid *parent, struct wp_str name)
{
	key_u64(k, KEY_BACK, wp_fid_to_ino(fid));
	key_put64(k, wp_fid_to_ino(parent));
	key_put(k, name.p, name.len);
}

void key_reply(struct key *k, uint64_t session, uint16_t slot)
{
	uint16_t be = __builtin_bswap16(slot);

	key_u64(k, KEY_REPLY, session);
	key_put(k, &be, sizeof(be));
}

void key_usage(struct key *k, uint8_t kind, uint32_t id)
{
	key_start(k, KEY_USAGE);
	key_put(k, &kind, 1);
	key_put32(k, id);
}

void key_counter(struct key *k, const char *name)
{
	key_start(k, KEY_COUNTER);
	key_put(k, name, strlen(name));
}

int table_next(struct osd_iter *it, char prefix, struct osd_slice *key, struct osd_slice *value)
{
	int err = osd_next(it, key, value);

	if (!err && *(const uint8_t *)key->p != (uint8_t)prefix)
		err = -ENOENT;
	return err;
}
