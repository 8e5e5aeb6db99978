/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Inodes of the simulated file system: each has what programs see (cur) and what a power cut leaves for certain (dur). */
#ifndef WEFT_ENV_SIM_FS_PRIV_H
#define WEFT_ENV_SIM_FS_PRIV_H

#include "env/sim_priv.h"

#define SIM_PAGE 4096u

/* Contents of a page; shared by cur, dur and syncs under way, and copied before it changes then. */
struct sim_page {
	unsigned refs;
	bool allocated;
	uint64_t generation; /* of the last change */
	uint8_t *data;       /* NULL: zeros */
};

struct sim_slot {
	uint64_t no;
	struct sim_page *cur, *dur; /* NULL: never written */
};

struct sim_inode {
	struct list node;
	unsigned refs;    /* names, durable names, changes of names, handles */
	unsigned visible; /* names that programs see, and handles: while there are any, pages count as used */
	uint64_t ino;
	bool is_dir;
	uint64_t mtime_ns;
	/* file: pages in order of their number */
	struct sim_slot *slots;
	size_t slots_n, slots_cap;
	size_t allocated; /* pages, of cur */
	uint64_t size, size_generation;
	uint64_t dur_size, dur_size_generation;
	uint64_t dirty_lo, dirty_hi;        /* page numbers: everything outside is clean */
	uint64_t shrunk_to, shrink_generation; /* a truncation that is not durable; generation 0: none */
	/* folder */
	struct htab names;
	struct list order;
};

/* What a sync that was submitted will make durable. */
struct sim_snapshot {
	uint64_t generation, size, size_generation;
	size_t n;
	struct sim_snapshot_page {
		uint64_t no;
		struct sim_page *page;
	} pages[];
};

/* ---- sim_pages.c --------------------------------------------------------------------------------------------------------- */

/* Bytes that a write of the range would newly take. */
uint64_t inode_growth(const struct sim_inode *in, uint64_t offset, uint64_t len);
void inode_write(struct sim_host *h, struct sim_inode *in, uint64_t offset, const void *p, size_t len);
void inode_read(const struct sim_inode *in, uint64_t offset, void *p, size_t len);
/* Zeros the range; keep: its pages stay allocated. */
void inode_zero(struct sim_host *h, struct sim_inode *in, uint64_t offset, uint64_t len, bool keep);
void inode_allocate(struct sim_host *h, struct sim_inode *in, uint64_t offset, uint64_t len);
void inode_set_size(struct sim_host *h, struct sim_inode *in, uint64_t size);
int inode_seek(const struct sim_inode *in, uint64_t offset, bool hole, uint64_t *ret);
/* Of what is not durable between the offsets. */
struct sim_snapshot *inode_snapshot(struct sim_host *h, struct sim_inode *in, uint64_t offset, uint64_t end);
/* s becomes durable; it is freed. */
void inode_commit(struct sim_inode *in, struct sim_snapshot *s);
void snapshot_free(struct sim_snapshot *s);
void inode_power_cut(struct sim_host *h, struct sim_inode *in);
void inode_pages_done(struct sim_host *h, struct sim_inode *in);
/* The pages count as used, or not. */
void inode_count(struct sim_host *h, struct sim_inode *in, bool on);

/* ---- sim_names.c --------------------------------------------------------------------------------------------------------- */

int name_open(struct sim_host *h, const char *path, int flags, struct sim_inode **ret);
void inode_ref(struct sim_host *h, struct sim_inode *in, bool visible);
void inode_unref(struct sim_host *h, struct sim_inode *in, bool visible);

#endif
