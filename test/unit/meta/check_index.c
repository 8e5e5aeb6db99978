/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A consistency check of the whole index, as it is after any journal entry: README.md's invariants 11 and 13, names and links. */
#include "meta/meta_priv.h"
#include "tap.h"
#include "world.h"

#define INODES_MAX 4096

struct seen {
	uint64_t ino;
	struct inode i;
	uint32_t names, subdirs, backs;
	bool orphan, first_name;
};

static struct seen seen[INODES_MAX];
static unsigned n_seen;

static struct seen *find(uint64_t ino)
{
	unsigned lo = 0, hi = n_seen; /* in the order of keys */

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (seen[mid].ino < ino)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n_seen && seen[lo].ino == ino ? &seen[lo] : NULL;
}

static void each(struct osd_dev *dev, char prefix, void (*fn)(struct osd_slice key, struct osd_slice value, void *arg), void *arg)
{
	struct osd_slice key, value;
	struct osd_iter it;
	struct key k;

	key_start(&k, prefix);
	osd_iter_init(&it, dev, key_slice(&k));
	while (!table_next(&it, prefix, &key, &value))
		fn(key, value, arg);
}

static void one_inode(struct osd_slice key, struct osd_slice value, void *arg)
{
	struct seen *s = &seen[n_seen++];

	weft_assert(n_seen < INODES_MAX);
	*s = (struct seen){ .ino = key_get64((const uint8_t *)key.p + 1) };
	ok_quiet(ino_decode(arg, value, &s->i) == 0, "the record of %llx", (unsigned long long)s->ino);
}

static void one_dentry(struct osd_slice key, struct osd_slice value, void *arg)
{
	uint64_t dir = key_get64((const uint8_t *)key.p + 1), ino = key_get64(value.p);
	struct seen *d = find(dir), *s = find(ino);
	struct wp_fid fid = wp_ino_to_fid(dir);
	struct wp_str name = wp_str_n((const char *)key.p + 17, (uint32_t)(key.len - 17));

	if (!ok_quiet(d && s && S_ISDIR(d->i.mode), "a name in %llx leads to %llx", (unsigned long long)dir, (unsigned long long)ino))
		return;
	s->names++;
	d->subdirs += S_ISDIR(s->i.mode);
	s->first_name |= wp_fid_eq(&s->i.parent, &fid) && wp_str_eq(s->i.name, name);
	ok_quiet(((const uint8_t *)value.p)[8] == (s->i.mode & S_IFMT) >> 12, "its type");
}

static void one_back(struct osd_slice key, struct osd_slice value, void *arg)
{
	struct seen *s = find(key_get64((const uint8_t *)key.p + 1));

	if (ok_quiet(s != NULL, "a way back of an inode"))
		s->backs++;
}

static void one_orphan(struct osd_slice key, struct osd_slice value, void *arg)
{
	struct seen *s = find(key_get64((const uint8_t *)key.p + 1));

	if (ok_quiet(s != NULL, "an orphan is an inode"))
		s->orphan = true;
}

static void one_xattr(struct osd_slice key, struct osd_slice value, void *arg)
{
	struct seen *s = find(key_get64((const uint8_t *)key.p + 1));

	ok_quiet(s && s->i.flags & INO_HAS_XATTR, "an attribute of an inode that knows of it");
}

static void one_usage(struct osd_slice key, struct osd_slice value, void *arg)
{
	const uint8_t *p = key.p;
	uint32_t id = key_get32(p + 2);
	uint64_t inodes = 0, bytes = 0;

	for (unsigned n = 0; n < n_seen; n++) {
		const struct inode *i = &seen[n].i;
		uint32_t own = p[1] == 0 ? i->uid : p[1] == 1 ? i->gid : i->project;

		inodes += own == id;
		bytes += own == id ? i->blocks * 512 : 0;
	}
	ok_quiet(wp_get_le64(value.p) == bytes && wp_get_le64((const uint8_t *)value.p + 8) == inodes,
		 "usage of kind %u id %u: %llu inodes %llu bytes, should be %llu %llu", p[1], id,
		 (unsigned long long)wp_get_le64((const uint8_t *)value.p + 8), (unsigned long long)wp_get_le64(value.p),
		 (unsigned long long)inodes, (unsigned long long)bytes);
}

void check_index(struct osd_dev *dev)
{
	struct arena a = { 0 };

	n_seen = 0;
	each(dev, KEY_INODE, one_inode, &a);
	each(dev, KEY_DENTRY, one_dentry, NULL);
	each(dev, KEY_BACK, one_back, NULL);
	each(dev, KEY_ORPHAN, one_orphan, NULL);
	each(dev, KEY_XATTR, one_xattr, NULL);
	each(dev, KEY_USAGE, one_usage, NULL);
	for (unsigned n = 0; n < n_seen; n++) {
		const struct seen *s = &seen[n];
		struct wp_fid fid = wp_ino_to_fid(s->ino);
		bool dir = S_ISDIR(s->i.mode), root = wp_fid_is_root(&fid);

		ok_quiet(s->i.nlink == (dir ? 2 + s->subdirs : s->names), "%llx: nlink %u, %u names, %u directories in it",
			 (unsigned long long)s->ino, s->i.nlink, s->names, s->subdirs);
		ok_quiet(root || s->orphan == !s->names, "%llx: without names exactly if it is an orphan", (unsigned long long)s->ino);
		ok_quiet(!dir || root || s->names == 1, "%llx: a directory has one name", (unsigned long long)s->ino);
		ok_quiet(!s->names || (s->first_name && s->backs == s->names - 1), "%llx: the ways back are its %u names",
			 (unsigned long long)s->ino, s->names);
	}
	arena_done(&a);
}
