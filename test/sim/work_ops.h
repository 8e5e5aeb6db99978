/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The kinds of operations, and what they share. */
#ifndef WEFT_TEST_SIM_WORK_OPS_H
#define WEFT_TEST_SIM_WORK_OPS_H

#include "sim.h"

extern const struct wop wop_mkdir, wop_mknod, wop_symlink, wop_link, wop_unlink, wop_rmdir, wop_rename, wop_lookup, wop_getattr,
	wop_chmod, wop_utimes, wop_readlink, wop_setxattr, wop_getxattr;
extern const struct wop wop_readdir;
extern const struct wop wop_create, wop_open, wop_release, wop_write, wop_read, wop_fsync, wop_truncate, wop_punch;
extern const struct wop wop_append, wop_lock, wop_unlock;

bool unlock_start(struct worker *w);
void log_record_fill(uint32_t id, uint8_t p[LOG_RECORD]);
struct mnode *new_done(struct worker *w, const struct wp_attr *attr);
void new_resolve(struct worker *w, const struct wp_attr *found);
void check_attr(struct sim *s, struct mnode *n, const struct wp_attr *attr);

#endif
