/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Options of mount(8) and fstab that belong to the kernel, to systemd or to nobody; and the calling convention of mount.weft. */
#ifndef WEFT_FUSE_MOUNTOPTS_H
#define WEFT_FUSE_MOUNTOPTS_H

#include <fuse_lowlevel.h>

#include "base/base.h"

/* For conf: takes an element of -o that no table knows; false if nobody knows it. */
bool mountopts_foreign(void *arg, const char *option);
/* For conf: why a known option of mount(8) is refused and what to do instead; NULL: nothing is known of it. */
const char *mountopts_refusal(const char *option);
/* Adds what was taken, and what a Weft mount always has, to libfuse's arguments. */
int mountopts_add(struct fuse_args *args, bool allow_other, bool ro) must_check;

bool mountopts_is_helper(const char *argv0);
/* mount.weft SOURCE PATH [-sfnv] [-N NAMESPACE] [-t TYPE] [-o OPTIONS] as weft-mount's own arguments, allocated, to be kept until
 * the end; NULL after an error, which is printed. *fake is set by -f: check, but do not mount. */
char **mountopts_from_helper(int *argc, char **argv, bool *fake);

#endif
