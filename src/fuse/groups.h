/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Supplementary groups of a calling process, which FUSE requests do not carry. */
#ifndef WEFT_FUSE_GROUPS_H
#define WEFT_FUSE_GROUPS_H

#include "client/client.h"

/* client_groups_fn: from /proc/PID/status. -ESRCH: the process is gone. */
int fuse_groups_of(void *arg, const struct client_cred *cred, uint32_t *ret, uint32_t max) must_check;

#endif
