/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the engines share of object operations. */
#ifndef WEFT_OSD_COMMON_H
#define WEFT_OSD_COMMON_H

#include "osd/osd.h"

/* Arguments of a change that no object could take: -EFBIG, -EINVAL. */
int osd_io_check(const struct osd_io *io) must_check;
/* io->done will be called by the reactor; nothing of io is touched until then but priv. */
void osd_io_post(struct env *env, struct osd_io *io);
/* Says which block did not match its checksum. */
void osd_log_corrupt(const struct wp_objid *id, uint64_t offset);

#endif
