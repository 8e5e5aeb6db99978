/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Options of mount(8) and fstab that belong to the kernel, to systemd or to nobody; and the calling convention of mount.weft. */
#ifndef WEFT_FUSE_MOUNTOPTS_H
#define WEFT_FUSE_MOUNTOPTS_H

#include <fuse_lowlevel.h>

#include "base/base.h"

/* For conf: takes an element of -o that no table knows; false if nobody knows it. */
bool mountopts_foreign(void *arg, const char *option);
/* Adds what was taken, and what a Weft mount always has, to libfuse's arguments. */
int mountopts_add(struct fuse_args *args, bool allow_other, bool ro) must_check;

bool mountopts_is_helper(const char *argv0);
/* mount.weft SOURCE PATH [-sfnvN] [-o OPTIONS] as weft-mount's own arguments, allocated; NULL after an error, which is printed. */
char **mountopts_from_helper(int *argc, char **argv);

#endif
