/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Inside the disk engine: the device, and an object that is in use.
 *
 * Keys of the index: 0x00 own, 0x01 the callers', 0x02 object name -> attributes, 0x03 object name, chunk -> checksums.
 * Checksums of a chunk (DIRTY_CHUNK_BYTES) are an array of u32, as long as the last block that ever had one; what is missing is the
 * checksum of a block of zeros. The checksum of the last block covers its bytes extended with zeros.
 */
#ifndef WEFT_OSD_DISK_PRIV_H
#define WEFT_OSD_DISK_PRIV_H

#include "base/htab.h"
#include "osd/dindex.h"
#include "osd/dirty.h"
#include "osd/objkey.h"
#include "osd/osd.h"

#define DISK_MAGIC 0x6469736bu
#define DOBJ_MAGIC 0x646f626au
#define KEY_OWN 0x00
#define KEY_USER 0x01
#define KEY_ATTR 0x02
#define KEY_CRC 0x03
#define BLOCK ((uint64_t)WP_BLOCK_SIZE)
#define CHUNK_BLOCKS (DIRTY_CHUNK_BYTES / WP_BLOCK_SIZE)
#define ATTR_SIZE 24
#define OPEN_FILES_MAX 1024u

struct dobj;

struct disk {
	struct osd_dev dev;
	uint32_t magic;
	char *path;
	int dirfd;             /* of path, for syncfs */
	struct dindex *index;
	struct dirty *dirty;
	uint64_t verifier;
	struct htab objs;      /* in use or cached */
	struct list lru;       /* of idle ones, newest first */
	unsigned objs_n;
	unsigned busy;         /* operations in progress */
	/* the space of the file system, asked at most once in a while */
	struct osd_space space;
	uint64_t space_ns;
	/* cleaning the dirty list: rotate, wait for writes, index, sync of the file system, drop */
	struct env_timer clean_timer;
	struct env_work clean_work;
	uint64_t clean_epoch;
	bool cleaning;
	int clean_err;
};

struct dobj {
	uint32_t magic;
	struct htab_node node;
	struct list lru_node;
	struct disk *disk;
	struct wp_objid id;
	uint8_t key[OBJKEY_SIZE];
	struct env_file *file; /* NULL: does not exist, or not opened yet */
	bool loaded, exists, fresh; /* fresh: its name may not be durable */
	uint64_t size, version, mtime_ns;
	struct list waiting;   /* of osd_io, in order */
	unsigned reading;      /* in progress */
	bool writing;          /* one operation that changes it is in progress */
};

/* ---- disk_attr.c: what the index holds of objects ------------------------------------------------------ */

uint32_t zero_block_crc(void);
void attr_load(struct dobj *o);
void attr_store(struct dobj *o);
/* Removes attributes and checksums; size: up to where checksums may exist. */
void attr_remove(struct disk *d, const uint8_t *key, uint64_t size);
/* Checksums of n blocks from first on. */
int crc_load(struct disk *d, const uint8_t *key, uint64_t first, uint64_t n, uint32_t *crcs) must_check;
void crc_store(struct disk *d, const uint8_t *key, uint64_t first, uint64_t n, const uint32_t *crcs);
/* Blocks from first on have none (read as zeros); old_size: where they may end. */
void crc_cut(struct disk *d, const uint8_t *key, uint64_t first, uint64_t old_size);
/* Blocking: checksums of one chunk and the attributes from the object's file. */
int chunk_rebuild(struct disk *d, const struct wp_objid *id, uint32_t chunk) must_check;
char *object_path(const struct disk *d, const struct wp_objid *id);

/* ---- disk_io.c: one operation -------------------------------------------------------------------------- */

struct dobj *dobj_get(struct disk *d, const struct wp_objid *id);
void dobj_close_all(struct disk *d);
/* Starts what may start now. */
void dobj_run(struct dobj *o);
/* An operation ends: completion is posted. */
void dop_finish(struct dobj *o, struct osd_io *io, int err);

void disk_read(struct dobj *o, struct osd_io *io);
void disk_write(struct dobj *o, struct osd_io *io);
void disk_change(struct dobj *o, struct osd_io *io); /* truncate, allocate, destroy */
void disk_osync(struct dobj *o, struct osd_io *io);
/* Opens (creating if asked); loads attributes. -ENOENT. */
int dobj_open(struct dobj *o, bool create) must_check;
void dobj_touch(struct dobj *o);

#endif
