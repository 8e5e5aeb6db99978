/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Inside the disk engine: the device, objects in use, operations.
 *
 * Keys of the index: 0x00 own, 0x01 the callers', 0x02 object name -> attributes and the checksums of the first ATTR_CRCS blocks, 0x03
 * object name, chunk (DIRTY_CHUNK_BYTES) -> checksums of the others. A chunk has 4 bytes, or, from CHUNK_LONG on, that and 8.
 * Checksums are u32, as many as there are up to the last that is not a zero block's; the missing ones are a zero block's. The checksum
 * of the last block covers its bytes extended with zeros.
 */
#ifndef WEFT_OSD_DISK_PRIV_H
#define WEFT_OSD_DISK_PRIV_H

#include "base/htab.h"
#include "osd/backends.h"
#include "osd/disk_seg.h"
#include "osd/dindex.h"
#include "osd/dirty.h"
#include "osd/iovwalk.h"
#include "osd/objkey.h"
#include "osd/waitwork.h"

#define DISK_MAGIC 0x6469736bu
#define DOBJ_MAGIC 0x646f626au
#define KEY_OWN 0x00
#define KEY_USER 0x01
#define KEY_ATTR 0x02
#define KEY_CRC 0x03
#define CHUNK_BLOCKS ((unsigned)(DIRTY_CHUNK_BYTES / WP_BLOCK_SIZE))
#define CHUNKS_MAX (1ull << 43) /* objects end at 2^63 - 1 */
#define ATTR_CRCS 16u
#define OBJECTS_CACHED 1024u /* with an open file each */
#define FOLDERS 64u	     /* in objects/, and in each of them */
#define IOV_INLINE 8

/* Attributes of an object, as the index has them. */
struct dattr {
	uint64_t size, version, mtime_ns;
	uint64_t blocks; /* 512-byte units, for the accounting */
	uint32_t crcs[ATTR_CRCS];
	unsigned crcs_n;
};

struct dobj;
struct dop;

struct disk {
	struct osd_dev dev;
	uint32_t magic;
	char *path;
	int dirfd; /* of path, for syncfs */
	struct dindex *index;
	struct dirty *dirty;
	struct dirty_wait barrier_wait;
	dindex_go_fn *go; /* waits for the dirty list */
	void *go_arg;
	uint64_t verifier, lost; /* lost: how often data was */
	uint64_t version;	 /* newest of any object */
	uint64_t used_blocks;	 /* of all objects, 512-byte units */
	uint64_t capacity;
	struct htab objs; /* in use or cached */
	struct list lru;  /* of idle ones, newest first */
	unsigned objs_n;
	unsigned busy; /* operations in progress */
	struct dop *spare_ops;
	bool folder_synced[FOLDERS * FOLDERS];
	struct osd_rot rot;
	/* the space of the file system, asked at most once in a while */
	struct osd_space space;
	uint64_t space_ns, space_taken; /* when; what was said yes to since */
	bool tight;			/* the file system is nearly full */
	uint64_t promised;		/* to operations in progress, perhaps not yet taken from the file system */
	/* cleaning the dirty list (disk_clean.c) */
	struct env_timer clean_timer;
	struct waitwork *clean_work;
	uint64_t clean_epoch;
	uint64_t clean_started_ns;
	int clean_err;
	bool closing;
};

struct dobj {
	uint32_t magic;
	bool exists, in_run;
	bool name_durable; /* its file's name is known to be on the medium */
	bool data_dirty;   /* there may be something to sync */
	struct htab_node node;
	struct list lru_node;
	struct disk *disk;
	struct wp_objid id;
	uint8_t key[OBJKEY_SIZE];
	struct env_file *file; /* of the first segment; NULL: not opened */
	struct dsegs segs;
	struct dattr attr;
	struct dirty_marks marks;
	struct list waiting; /* of dop, in order */
	struct list running;
};

/* One operation in progress. */
struct dop {
	struct list node;
	struct dop *next_spare;
	struct osd_io *up;
	struct dobj *obj;
	uint64_t begin, end; /* block-aligned range that it reads or changes */
	bool exclusive, writes, extends;
	bool fresh; /* it makes the object */
	void (*next)(struct dop *op), (*after)(struct dop *op);
	uint8_t *repair;
	uint64_t version;
	uint64_t epoch; /* held; 0: none */
	uint64_t room;	/* promised to it */
	struct dirty_wait wait;
	struct env_io io;
	struct dsplit *split; /* io is a part */
	uint64_t at;	      /* of operations that go from one segment to the next */
	struct iovec iov_inline[IOV_INLINE + 2], *iov, user_iov[2];
	int iov_n;
	uint64_t old_size;
	/* edges: partial blocks whose other bytes stay (writes), or that are read whole (reads) */
	unsigned edges, edge;
	uint64_t edge_at[2];
	uint32_t edge_crc[2];
	uint8_t *edge_block[2];
	uint32_t *crcs; /* reads: of the blocks at rest */
	int err;
	unsigned step;
};

/* ---- disk_attr.c: what the index holds of objects ----------------------------------------------------------------- */

/* Device counters. */
void disk_put_u64(struct disk *d, const char *name, uint64_t v);
uint64_t disk_get_u64(struct disk *d, const char *name);
/* -ENOENT */
int dattr_load(struct disk *d, const uint8_t *key, struct dattr *a) must_check;
void dattr_store(struct disk *d, const uint8_t *key, const struct dattr *a);
/* Attributes and checksums go, the space is accounted. */
void dattr_remove(struct disk *d, const uint8_t *key, struct dattr *a);
/* Checksums of n blocks from first on. Changing them changes a, too: attr_store follows. */
int dcrc_load(struct disk *d, const uint8_t *key, const struct dattr *a, uint64_t first, uint64_t n, uint32_t *crcs) must_check;
void dcrc_store(struct disk *d, const uint8_t *key, struct dattr *a, uint64_t first, uint64_t n, const uint32_t *crcs);
/* Blocks first..end-1 read as zeros. */
void dcrc_zero(struct disk *d, const uint8_t *key, struct dattr *a, uint64_t first, uint64_t end);
uint64_t disk_version_next(struct disk *d);
void dattr_account(struct disk *d, struct dattr *a, uint64_t blocks);
unsigned dobj_folder(const struct wp_objid *id);
char *dobj_path(const struct disk *d, const struct wp_objid *id);

/* ---- disk_recover.c ----------------------------------------------------------------- */

/* Blocking: the dirty list's objects get their checksums anew; the index is flushed. *epoch: the first one that may be used. */
int disk_recover(struct disk *d, uint64_t *epoch) must_check;

/* ---- disk_clean.c ----------------------------------------------------------------- */

void disk_clean_init(struct disk *d);
/* Blocking: everything is synced, the list is empty. */
int disk_clean_close(struct disk *d);
/* Unsynced data may be gone: the verifier changes. */
void disk_lost(struct disk *d);
void disk_sync(struct osd_dev *dev, osd_commit_fn *fn, void *arg);

/* ---- disk.c ----------------------------------------------------------------- */

/* Is there room for so many bytes more in objects? What it says yes to counts as used from then on. */
bool disk_has_room(struct disk *d, struct dop *op, uint64_t bytes);
void disk_space(struct disk *d, struct osd_space *ret);

/* ---- disk_obj.c: objects in use, queues ----------------------------------------------------------------- */

void disk_io(struct osd_dev *dev, struct osd_io *io);
void disk_objs_close(struct disk *d);
/* The object's file is open afterwards. create: it is made. -ENOENT. */
int dobj_open(struct dobj *o, bool create) must_check;
/* The operation ends. */
void dop_end(struct dop *op, int err);
/* The bytes of the file changed: size, time, version, blocks; stores the attributes. */
void dobj_changed(struct dobj *o, uint64_t size);
/* A buffer for edge i of the operation. */
int dop_edge(struct dop *op, uint64_t at) must_check;
/* Edges of [begin, end): the blocks that it touches in part. */
int dop_find_edges(struct dop *op, uint64_t begin, uint64_t end) must_check;

/* ---- disk_read.c, disk_write.c, disk_alloc.c, disk_osync.c: one operation -------------------------------------------------------------- */

void dop_read(struct dop *op);
void dop_write(struct dop *op);
void dop_truncate(struct dop *op);
void dop_alloc(struct dop *op);
void dop_destroy(struct dop *op);
void dop_sync(struct dop *op);
/* Steps of changes: old contents of the edges, verified (next is called, or the operation ends); the dirty list. */
void dop_edges(struct dop *op, void (*next)(struct dop *op));
void dop_mark(struct dop *op, uint64_t begin, uint64_t end, void (*next)(struct dop *op));
/* The object's name is durable: next, or the operation ends with an error. */
void dop_name(struct dop *op, void (*next)(struct dop *op));
/* After a change that failed half-way: checksums of op's range from the data; then the operation ends with err. */
void dop_repair(struct dop *op, int err);

#endif
