/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "layout/dirhash.h"

#include "base/htab.h"

uint64_t dir_name_hash(const struct wp_fid *dir, struct wp_str name)
{
	uint64_t h = hash_bytes(name.p, name.len, wp_fid_to_ino(dir)) >> 1;

	return h <= 2 ? h + 3 : h == WP_READDIR_END ? h - 1 : h;
}
