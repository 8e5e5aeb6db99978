/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * readdir: names in the order of their hashes; the cookie of an entry is its hash. Names that share a hash are never split
 * over two replies, so no entry is lost or told twice. "." and ".." (cookies 0 and 1) are the client's to add.
 */
#include "meta/meta_priv.h"

#define ENTRIES_MAX 4096u
#define ENTRY_BYTES 48u  /* an entry without its name and attributes, with some room */
#define BYTES_MAX (WP_BODY_MAX / 4)
#define KEY_NAME 17u     /* prefix, directory, hash */

struct page {
	struct wp_dirent *e;
	uint32_t n, cap;
	uint32_t whole;      /* entries up to the last change of hash */
	uint64_t bytes, max;
	bool full;
};

static void page_grow(struct op *op, struct page *p)
{
	struct wp_dirent *e;

	if (p->n < p->cap)
		return;
	p->cap = p->cap ? p->cap * 4 : 64;
	e = arena_alloc(op->arena, p->cap * sizeof(*e));
	if (p->n)
		memcpy(e, p->e, p->n * sizeof(*e));
	p->e = e;
}

/* false: the page is full before this entry. */
static bool page_add(struct op *op, struct page *p, struct osd_slice key, struct osd_slice value, bool plus)
{
	const uint8_t *k = key.p;
	uint32_t name_len = (uint32_t)(key.len - KEY_NAME);
	uint64_t hash = key_get64(k + 9), bytes = ENTRY_BYTES + name_len + (plus ? WP_ATTR_MIN + WP_LEASE_MIN + 16 : 0);

	if (p->n && p->e[p->n - 1].cookie != hash)
		p->whole = p->n;
	if (p->n == ENTRIES_MAX || (p->n && p->bytes + bytes > p->max)) {
		if (p->whole || p->n == ENTRIES_MAX) {
			p->n = p->whole;
			return false;
		}
		/* More names of one hash than fit: somebody made them so. They go out together. */
	}
	page_grow(op, p);
	p->e[p->n++] = (struct wp_dirent){ .cookie = hash, .fid = wp_ino_to_fid(key_get64(value.p)),
					   .type = (uint32_t)((const uint8_t *)value.p)[8] << 12,
					   .name = wp_str_n(arena_dup(op->arena, k + KEY_NAME, name_len), name_len) };
	p->bytes += bytes;
	return true;
}

static bool fill(struct op *op, struct page *p, const struct wp_fid *dir, uint64_t after, bool plus)
{
	struct osd_slice key, value;
	struct osd_iter it;
	struct key k;

	key_u64(&k, KEY_DENTRY, wp_fid_to_ino(dir));
	key_put64(&k, after + 1);
	osd_iter_init(&it, op->mt->dev, key_slice(&k));
	for (;;) {
		if (osd_next(&it, &key, &value) || key.len <= KEY_NAME || memcmp(key.p, k.b, 9) || value.len != 9)
			return true;
		if (!page_add(op, p, key, value, plus))
			return false;
	}
}

/* true: somebody else knows better, wait. */
static bool add_attrs(struct op *op, struct page *p)
{
	bool wait = false;

	for (uint32_t n = 0; n < p->n; n++) {
		struct inode i;

		if (ino_peek(op, &p->e[n].fid, &i))
			continue;
		ino_attr(&i, &p->e[n].attr);
		if (inode_is_reg(&i) && ino_unsettled(op->mt, &i))
			p->e[n].attr.flags |= WP_ATTR_UNSETTLED;
		p->e[n].has |= WP_DIRENT_HAS_ATTR;
		wait |= lease_want_read(op, &i);
		if (!wait && lease_grant(op, &i, WP_LEASE_ATTR | WP_LEASE_LAYOUT, &p->e[n].lease))
			p->e[n].has |= WP_DIRENT_HAS_LEASE;
	}
	return wait;
}

int meta_readdir(struct op *op)
{
	struct wp_readdir_rep rep = { 0 };
	struct page p = { 0 };
	struct inode *dir;
	int err;

	META_REQ(op, readdir, m);
	err = ino_get(op, &m->dir, &dir);
	if (err)
		return err;
	if (!inode_is_dir(dir))
		return -ENOTDIR;
	if (lease_want_read(op, dir))
		return OP_WAIT;
	p.max = MIN(m->max_bytes, BYTES_MAX);
	rep.eof = 1;
	if (m->cookie < WP_READDIR_END)
		rep.eof = fill(op, &p, &dir->fid, MAX(m->cookie, 2), m->flags & WP_READDIR_PLUS);
	if (m->flags & WP_READDIR_PLUS && add_attrs(op, &p))
		return OP_WAIT;
	rep.entries = p.e;
	rep.entries_n = p.n;
	rep.parent = dir->parent.seq ? dir->parent : dir->fid;
	entry_dir(op, dir, &rep.dir);
	(void)lease_entry(op, dir, WP_LEASE_ENTRIES | WP_LEASE_ATTR, &rep.dir);
	wp_readdir_rep_enc(mop_enc(op, p.bytes + p.n * 48u + 256 + ENTRY_DIR_SIZE), &rep);
	return 0;
}
