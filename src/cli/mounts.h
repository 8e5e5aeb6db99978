/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Mount points of this machine. */
#ifndef WEFT_CLI_MOUNTS_H
#define WEFT_CLI_MOUNTS_H

#include "base/base.h"

/* A Weft mount is on exactly this path. */
bool mount_is_on(const char *path);
/* Detaches a mount whose daemon died ("transport endpoint is not connected"). */
void mount_clear_dead(const char *path);
/* Unmounts: -EBUSY when files are open, unless force, which detaches at once and ends what waits. */
int mount_detach(const char *path, bool force) must_check;
/* Prints the processes that use it, a line each, to standard error. */
void mount_print_users(const char *path);

#endif
