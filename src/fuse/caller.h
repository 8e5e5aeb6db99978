/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What FUSE requests do not say about the calling process, from /proc. */
#ifndef WEFT_FUSE_CALLER_H
#define WEFT_FUSE_CALLER_H

#include "base/base.h"

/* Whether a signal that is not blocked waits to be delivered to thread pid. False if it is gone, or cannot be seen from here. */
bool caller_has_signal(uint32_t pid);

#endif
