/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Secret files: 16 to 64 bytes, readable by their owner only. */
#ifndef WEFT_CONF_SECRET_H
#define WEFT_CONF_SECRET_H

#include "base/base.h"

#define CONF_SECRET_MIN 16u
#define CONF_SECRET_MAX 64u

/* Reads the file into secret (CONF_SECRET_MAX bytes) without a trailing newline. On failure says why, and what to do, in why
 * (may be NULL). -EACCES: others may read the file, or we may not; -EINVAL: too short or too long. */
int conf_secret_read(const char *path, uint8_t *secret, size_t *len, char *why, size_t why_size) must_check;
/* Writes a new random secret (64 hexadecimal digits and a newline), mode 0600, durable. -EEXIST if the file exists. */
int conf_secret_create(const char *path) must_check;

#endif
