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
	MDB_txn *snap;      /* read snapshot of the reactor */
	MDB_cursor *cursor; /* on it */
	bool broken;        /* no snapshot: reads are errors */
};

int lmdbfile_open(struct lmdbfile *l, const char *path) must_check;
void lmdbfile_close(struct lmdbfile *l);
/* The reactor sees what was committed. */
int lmdbfile_renew(struct lmdbfile *l) must_check;
/* A larger map; the reactor's snapshot is given up for so long, and no other transaction may be open. */
int lmdbfile_grow(struct lmdbfile *l) must_check;
int lmdbfile_get(struct lmdbfile *l, const void *key, size_t key_len, struct osd_slice *value) must_check;
int lmdbfile_seek(struct lmdbfile *l, const void *key, size_t key_len, bool after, struct osd_slice *k, struct osd_slice *v) must_check;
uint64_t lmdbfile_bytes(const struct lmdbfile *l);
/* Applies n maps in order, and key -> value, in one durable transaction. Any thread. -EXFULL: the map is too small, see grow. */
int lmdbfile_write(struct lmdbfile *l, const struct omap *const *maps, unsigned n, struct osd_slice key, struct osd_slice value) must_check;
/* Calls fn with each key that begins with prefix, without it. Any thread. */
int lmdbfile_walk(struct lmdbfile *l, uint8_t prefix, int (*fn)(void *arg, struct osd_slice key, struct osd_slice value), void *arg) must_check;

#endif
