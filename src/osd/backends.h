/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The engines, for osd_backend. A new one is a file, a line here and a line in osd.c. */
#ifndef WEFT_OSD_BACKENDS_H
#define WEFT_OSD_BACKENDS_H

#include "osd/osd.h"

extern const struct osd_ops osd_mem_ops, osd_disk_ops;

#endif
