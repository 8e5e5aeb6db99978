/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Directories that processes of this mount have open. The servers do not keep a removed directory for those who have it open; its
 * descriptor must still answer fstat (POSIX rmdir: "the directory shall not be removed ... until all references have been
 * closed", as far as that can be seen). Any thread.
 */
#ifndef WEFT_FUSE_OPENDIRS_H
#define WEFT_FUSE_OPENDIRS_H

#include <fuse_lowlevel.h>

#include "base/base.h"
#include "weft_proto.h"

void opendirs_add(fuse_ino_t ino, const struct wp_attr *attr);
void opendirs_drop(fuse_ino_t ino);
/* What was known of it when it was opened; false: not open here. */
bool opendirs_find(fuse_ino_t ino, struct wp_attr *ret);

#endif
