/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A device of any backend on the Linux environment, driven one call at a time: what the conformance checks run on. */
#ifndef TEST_OSD_WORLD_H
#define TEST_OSD_WORLD_H

#include "osd/osd.h"

struct world {
	struct env *env;
	struct env *env_used; /* that the device gets; NULL: env */
	const struct osd_ops *ops;
	struct osd_dev *dev;
	char path[64];
	uint64_t capacity;
	const char *stack; /* "mem", "disk", or under a fault engine: "fault-mem", "fault-disk" */
	struct osd_dev *below;
	uint64_t seed;
};

/* A formatted, open device in a folder of its own. */
void world_open(struct world *w, const char *stack, uint64_t capacity);
void world_open_seeded(struct world *w, const char *stack, uint64_t capacity, uint64_t seed);
/* Does reopening find what was there? */
bool world_keeps(const struct world *w);
/* fault-mem: the machine goes down and comes up again. */
void world_power_cut(struct world *w, uint64_t seed);
void world_reopen(struct world *w);
void world_close(struct world *w, bool remove);
/* Opens every stack in turn and calls checks with it; what is unsynced then is synced before it is closed. */
void world_each(void (*checks)(struct world *w));
/* Runs the reactor until *flag. */
void world_wait(struct world *w, const bool *flag);
/* One operation, waited for. */
int world_io(struct world *w, struct osd_io *io);
int world_write(struct world *w, const struct wp_objid *obj, uint64_t offset, const void *p, size_t len);
/* Returns bytes or an error; the checksums returned are verified. */
int64_t world_read(struct world *w, const struct wp_objid *obj, uint64_t offset, void *p, size_t len);
int world_sync(struct world *w);

static inline struct wp_objid obj_id(uint32_t n)
{
	return (struct wp_objid){ .fid = { .seq = 5, .oid = n }, .component = 1, .stripe = n % 3 };
}

#endif
