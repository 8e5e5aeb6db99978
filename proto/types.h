/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Fixed-size types, memcpy() and errno numbers: the only things that the codec takes from its
 * surroundings, in the kernel and outside.
 */
#ifndef WEFT_PROTO_TYPES_H
#define WEFT_PROTO_TYPES_H

#if defined(__KERNEL__) || defined(WEFT_KERNEL)
#include <linux/errno.h>
#include <linux/string.h>
#include <linux/types.h>
#else
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#endif

#define WP_MUST_CHECK __attribute__((warn_unused_result))

#endif
