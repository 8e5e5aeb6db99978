/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Status codes of the wire <-> errno.
 *
 * Inside a program an error is a negative errno. Status codes that no errno tells apart travel as
 * -WEFT_E<NAME>, numbers beyond every errno: they survive the way from one peer to the other, and
 * must pass wp_err_to_errno() before an application or the kernel sees them.
 * The table is the enum `status` of weft.schema.
 */
#ifndef WEFT_PROTO_STATUS_H
#define WEFT_PROTO_STATUS_H

#include "weft_proto.h"

/* Negative errno or -WEFT_E<NAME>; 0 for WP_OK; -EIO for a status of a newer peer. */
WP_MUST_CHECK int wp_status_to_err(uint32_t status);
/* As above, collapsed: always a plain errno. */
WP_MUST_CHECK int wp_status_to_errno(uint32_t status);
/* Collapses -WEFT_E<NAME>; anything else is returned as it is. */
WP_MUST_CHECK int wp_err_to_errno(int err);
/* From a negative errno or -WEFT_E<NAME>; WP_E_IO for an errno without a status. */
WP_MUST_CHECK uint32_t wp_status_from_errno(int err);

#endif
