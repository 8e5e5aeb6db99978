/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The files of an object: segments of SEGMENT_BYTES, so that no file system's limit to a file's size is one to an object's. The first
 * has the object's name and exists as long as the object does; segment n has ".n" (hexadecimal) behind it and exists from the first
 * change in it on. One that is missing is a hole. The last byte of the object is the last one of its last file.
 */
#ifndef WEFT_OSD_DISK_SEG_H
#define WEFT_OSD_DISK_SEG_H

#include <sys/stat.h>

#include "base/base.h"
#include "env/env.h"

#define SEGMENT_BYTES (1ull << 40) /* ext4 with blocks of 1 KiB: files up to 4 TiB */

struct dobj;
struct dop;

/* One behind the first. */
struct dseg {
	uint64_t n;
	uint64_t size, blocks, mtime_ns; /* as of the last look */
	struct env_file *file; /* NULL: not open */
	bool dirty;	       /* there may be something to sync */
};

struct dsegs {
	struct dseg *v; /* by number */
	size_t n;
	unsigned open;
	bool known; /* the folder was looked at */
};

/* Which files there are behind the first, whose path is given; size and blocks are filled in. Any thread; blocking. */
int dsegs_scan(const char *path, struct dsegs *ret) must_check;
void dsegs_close(struct env *env, struct dsegs *s);
char *dseg_path(const char *path, uint64_t n);

static inline uint64_t stat_mtime_ns(const struct stat *st)
{
	return (uint64_t)st->st_mtim.tv_sec * NSEC_PER_SEC + (uint64_t)st->st_mtim.tv_nsec;
}

/* What follows is of an object whose first file is open. */

/* Looks once for further files, if there can be any. */
int dobj_load_segs(struct dobj *o) must_check;
/* The file of segment n is open in *ret; NULL: there is none, and create was false. */
int dobj_seg(struct dobj *o, uint64_t n, bool create, struct env_file **ret) must_check;
/* It changes. */
void dobj_seg_dirty(struct dobj *o, uint64_t n);
/* The first segment >= n that has a file, or UINT64_MAX. */
uint64_t dobj_next_seg(const struct dobj *o, uint64_t n);
/* Allocated, in units of 512 bytes. */
uint64_t dobj_blocks(struct dobj *o);
/* The files end where an object of this size does. */
int dobj_truncate(struct dobj *o, uint64_t size) must_check;
/* The next data or hole at or behind *at. -ENXIO: no data. */
int dobj_seek(struct dobj *o, uint64_t *at, bool hole) must_check;
/* Reads or writes as one operation of the environment, op->io, would: in two, where segments meet. done may be called from inside. */
void dop_rw(struct dop *op, enum env_io_op kind, uint32_t flags, struct iovec *iov, int iov_n, uint64_t offset,
	    void (*done)(struct env_io *io));

#endif
