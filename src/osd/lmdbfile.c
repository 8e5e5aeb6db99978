/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "osd/lmdbfile.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "proto/status.h"

#define MAP_SIZE_FIRST (1ull << 40) /* address space only */
#define MAP_SIZE_LAST (1ull << 30)  /* where address space is limited */
#define READERS_MAX 16

static int mdb_errno(int r)
{
	if (r >= 0)
		return -r;
	switch (r) {
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
		return -EXFULL;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
		return -WEFT_ECORRUPT;
	case MDB_VERSION_MISMATCH:
		return -WEFT_ENEWER;
	default:
		return -EIO;
	}
}

static MDB_val val(const void *p, size_t len) { return (MDB_val){ len, (void *)(uintptr_t)p }; }

static int open_env(struct lmdbfile *l, const char *path, size_t map_size)
{
	int r = mdb_env_create(&l->mdb);

	if (!r)
		r = mdb_env_set_mapsize(l->mdb, map_size);
	if (!r)
		r = mdb_env_set_maxreaders(l->mdb, READERS_MAX);
	if (!r)
		r = mdb_env_open(l->mdb, path, MDB_NOTLS | MDB_NORDAHEAD | MDB_NOMEMINIT, 0600);
	if (r && l->mdb) {
		mdb_env_close(l->mdb);
		l->mdb = NULL;
	}
	return r;
}

static void look_at_size(struct lmdbfile *l)
{
	MDB_envinfo info;
	MDB_stat st;

	mdb_env_info(l->mdb, &info);
	if (!l->snap || mdb_stat(l->snap, l->dbi, &st))
		return;
	l->bytes = ((uint64_t)info.me_last_pgno + 1) * st.ms_psize;
	l->live = (st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages) * (uint64_t)st.ms_psize;
}

static int open_snapshot(struct lmdbfile *l)
{
	int r = mdb_txn_begin(l->mdb, NULL, MDB_RDONLY, &l->snap);

	if (!r)
		r = mdb_cursor_open(l->snap, l->dbi, &l->cursor);
	look_at_size(l);
	return r;
}

int lmdbfile_open(struct lmdbfile *l, const char *path, size_t map_bytes)
{
	size_t size = map_bytes ? map_bytes : MAP_SIZE_FIRST;
	MDB_txn *txn;
	int r;

	memset(l, 0, sizeof(*l));
	for (r = open_env(l, path, size); r == ENOMEM && size > MAP_SIZE_LAST; r = open_env(l, path, size))
		size /= 4;
	if (!r)
		r = mdb_txn_begin(l->mdb, NULL, 0, &txn);
	if (r)
		goto fail;
	r = mdb_dbi_open(txn, NULL, 0, &l->dbi);
	if (r)
		mdb_txn_abort(txn);
	else
		r = mdb_txn_commit(txn);
	if (!r)
		r = open_snapshot(l);
	if (!r)
		r = mdb_env_get_fd(l->mdb, &l->fd);
	if (!r)
		return 0;
fail:
	lmdbfile_close(l);
	return mdb_errno(r);
}

static void close_snapshot(struct lmdbfile *l)
{
	if (l->cursor)
		mdb_cursor_close(l->cursor);
	if (l->snap)
		mdb_txn_abort(l->snap);
	l->cursor = NULL;
	l->snap = NULL;
}

void lmdbfile_close(struct lmdbfile *l)
{
	close_snapshot(l);
	if (l->mdb)
		mdb_env_close(l->mdb);
	l->mdb = NULL;
}

int lmdbfile_renew(struct lmdbfile *l)
{
	int r;

	mdb_txn_reset(l->snap);
	r = mdb_txn_renew(l->snap);
	if (!r)
		r = mdb_cursor_renew(l->snap, l->cursor);
	l->broken = r != 0;
	look_at_size(l);
	return mdb_errno(r);
}

int lmdbfile_grow(struct lmdbfile *l)
{
	MDB_envinfo info;
	int r;

	mdb_env_info(l->mdb, &info);
	close_snapshot(l);
	r = mdb_env_set_mapsize(l->mdb, info.me_mapsize * 2);
	if (!r)
		r = open_snapshot(l);
	l->broken = r != 0;
	return mdb_errno(r);
}

int lmdbfile_get(struct lmdbfile *l, const void *key, size_t key_len, struct osd_slice *value)
{
	MDB_val k = val(key, key_len), v;
	int r;

	if (l->broken)
		return -EIO;
	r = mdb_get(l->snap, l->dbi, &k, &v);
	if (r)
		return mdb_errno(r);
	*value = osd_slice(v.mv_data, v.mv_size);
	return 0;
}

int lmdbfile_seek(struct lmdbfile *l, const void *key, size_t key_len, bool after, struct osd_slice *ret_key,
		  struct osd_slice *value)
{
	MDB_val k = val(key, key_len), v;
	int r;

	if (l->broken)
		return -EIO;
	/* LMDB has no empty keys: all are behind that one. */
	r = mdb_cursor_get(l->cursor, &k, &v, key_len ? MDB_SET_RANGE : MDB_FIRST);
	if (!r && after && !omap_compare(k.mv_data, k.mv_size, key, key_len))
		r = mdb_cursor_get(l->cursor, &k, &v, MDB_NEXT);
	if (r)
		return mdb_errno(r);
	*ret_key = osd_slice(k.mv_data, k.mv_size);
	*value = osd_slice(v.mv_data, v.mv_size);
	return 0;
}

uint64_t lmdbfile_reserve(const struct lmdbfile *l)
{
	uint64_t used = lmdbfile_bytes(l);

	return l->reserved > used ? l->reserved - used : 0;
}

/* LMDB writes behind the end of its file when it needs pages; blocks that are there already cannot be taken by others. */
int lmdbfile_set_reserve(struct lmdbfile *l, uint64_t bytes)
{
	uint64_t used = lmdbfile_bytes(l), from = MAX(used, l->reserved);

	if (l->no_reserve || used + bytes <= from)
		return 0;
	if (fallocate(l->fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(used + bytes - from)) < 0) {
		l->no_reserve = errno == EOPNOTSUPP || errno == ENOSYS;
		return l->no_reserve ? 0 : -errno;
	}
	l->reserved = used + bytes;
	return 0;
}

/* A write that a full disk cut short is EIO to LMDB. */
static int full_or_broken(const struct lmdbfile *l)
{
	struct statvfs st;

	return fstatvfs(l->fd, &st) == 0 && (uint64_t)st.f_bavail * st.f_frsize < MIB(1) ? -ENOSPC : -EIO;
}

static int write_map(struct lmdbfile *l, MDB_txn *txn, const struct omap *map)
{
	struct omap_pos pos;

	for (const struct omap_entry *e = omap_first(map, &pos); e; e = omap_next(&pos)) {
		MDB_val k = val(e->bytes, e->key_len), v;
		int r;

		if (omap_is_tombstone(e)) {
			r = mdb_del(txn, l->dbi, &k, NULL);
			r = r == MDB_NOTFOUND ? 0 : r;
		} else {
			v = val(omap_value(e), e->value_len);
			r = mdb_put(txn, l->dbi, &k, &v, 0);
		}
		if (r)
			return r;
	}
	return 0;
}

int lmdbfile_write(struct lmdbfile *l, const struct omap *const *maps, unsigned n, struct osd_slice key, struct osd_slice value)
{
	MDB_val k = val(key.p, key.len), v = val(value.p, value.len);
	MDB_txn *txn;
	int r = mdb_txn_begin(l->mdb, NULL, 0, &txn);

	if (r)
		return mdb_errno(r);
	for (unsigned i = 0; i < n && !r; i++)
		r = write_map(l, txn, maps[i]);
	if (!r)
		r = mdb_put(txn, l->dbi, &k, &v, 0);
	if (r)
		mdb_txn_abort(txn);
	else
		r = mdb_txn_commit(txn);
	return r == EIO ? full_or_broken(l) : mdb_errno(r);
}

int lmdbfile_walk(struct lmdbfile *l, uint8_t prefix, int (*fn)(void *arg, struct osd_slice key, struct osd_slice value),
		  void *arg)
{
	MDB_val k = { 1, &prefix }, v;
	MDB_cursor *cursor;
	MDB_txn *txn;
	int err = 0, r = mdb_txn_begin(l->mdb, NULL, MDB_RDONLY, &txn);

	if (r)
		return mdb_errno(r);
	r = mdb_cursor_open(txn, l->dbi, &cursor);
	if (r) {
		mdb_txn_abort(txn);
		return mdb_errno(r);
	}
	for (r = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE); !r && !err && *(uint8_t *)k.mv_data == prefix;
	     r = err ? 0 : mdb_cursor_get(cursor, &k, &v, MDB_NEXT))
		err = fn(arg, osd_slice((uint8_t *)k.mv_data + 1, k.mv_size - 1), osd_slice(v.mv_data, v.mv_size));
	mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	return err ? err : r == MDB_NOTFOUND ? 0 : mdb_errno(r);
}
