/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The LMDB under an index: one database, one read snapshot for the reactor, sorted batches from a helper thread. */
#ifndef WEFT_OSD_LMDBFILE_H
#define WEFT_OSD_LMDBFILE_H

#include <lmdb.h>

#include "osd/omap.h"
#include "osd/osd.h"

struct lmdbfile {
	MDB_env *mdb;
	MDB_dbi dbi;
	MDB_txn *snap;	    /* read snapshot of the reactor */
	MDB_cursor *cursor; /* on it */
	bool broken;	    /* no snapshot: reads are errors */
	bool no_reserve;    /* the file system cannot */
	int fd;
	uint64_t bytes, live; /* as of the snapshot: of the file, of them in use; the others are written to first */
	_Atomic uint64_t reserved; /* the file has its blocks up to here */
};

/* What one changed entry may cost: its leaf is written anew, and now and then one is split. */
#define LMDBFILE_ENTRY_COST 6144u
#define LMDBFILE_FIXED_COST KIB(64) /* inner pages, the list of free ones */

/* map_bytes: 0 is the default. */
int lmdbfile_open(struct lmdbfile *l, const char *path, size_t map_bytes) must_check;
void lmdbfile_close(struct lmdbfile *l);
/* The reactor sees what was committed. */
int lmdbfile_renew(struct lmdbfile *l) must_check;
/* A larger map; the reactor's snapshot is given up for so long, and no other transaction may be open. */
int lmdbfile_grow(struct lmdbfile *l) must_check;
int lmdbfile_get(struct lmdbfile *l, const void *key, size_t key_len, struct osd_slice *value) must_check;
int lmdbfile_seek(struct lmdbfile *l, const void *key, size_t key_len, bool after, struct osd_slice *k,
		  struct osd_slice *v) must_check;
static inline uint64_t lmdbfile_bytes(const struct lmdbfile *l) { return l->bytes; }
/* What is set aside on the disk behind what the file uses: nobody else can take it. */
uint64_t lmdbfile_reserve(const struct lmdbfile *l);
/* Sets so much aside. Any thread, not together with a write. -ENOSPC; 0 where a file system cannot. */
int lmdbfile_set_reserve(struct lmdbfile *l, uint64_t bytes) must_check;
/* Applies n maps in order, and key -> value, in one durable transaction. Any thread. -EXFULL: the map is too small, see grow. -ENOSPC:
 * nothing has changed. */
int lmdbfile_write(struct lmdbfile *l, const struct omap *const *maps, unsigned n, struct osd_slice key,
		   struct osd_slice value) must_check;
/* Calls fn with each key that begins with prefix, without it. Any thread. */
int lmdbfile_walk(struct lmdbfile *l, uint8_t prefix, int (*fn)(void *arg, struct osd_slice key, struct osd_slice value),
		  void *arg) must_check;

#endif
