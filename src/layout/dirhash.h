/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The order of names in a directory, the same for the target that keeps them and for the client that caches them. */
#ifndef WEFT_LAYOUT_DIRHASH_H
#define WEFT_LAYOUT_DIRHASH_H

#include "base/base.h"
#include "proto/fid.h"
#include "weft_proto.h"

/* 63 bits: the readdir cookie of the name. Never 0 to 2, which are cookies of "." and "..", nor WP_READDIR_END. */
uint64_t dir_name_hash(const struct wp_fid *dir, struct wp_str name);

#endif
