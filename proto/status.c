/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Status codes of the wire <-> errno. See status.h.
 */
#include "proto/status.h"

#define PLAIN_TO_ERR(status, err) \
	case status: \
		return -err;
#define PRIVATE_TO_ERR(status, err, mine) \
	case status: \
		return -(int)mine;
#define PRIVATE_TO_ERRNO(status, err, mine) \
	case status: \
		return -err;
#define PRIVATE_COLLAPSE(status, err, mine) \
	case mine: \
		return -err;
#define PLAIN_FROM_ERR(status, err) \
	case err: \
		return status;
#define PRIVATE_FROM_ERR(status, err, mine) \
	case mine: \
		return status;

int wp_status_to_err(uint32_t status)
{
	switch (status) {
	case WP_OK:
		return 0;
	WP_STATUS_PLAIN(PLAIN_TO_ERR)
	WP_STATUS_PRIVATE(PRIVATE_TO_ERR)
	default:
		return -EIO;
	}
}

int wp_status_to_errno(uint32_t status)
{
	switch (status) {
	case WP_OK:
		return 0;
	WP_STATUS_PLAIN(PLAIN_TO_ERR)
	WP_STATUS_PRIVATE(PRIVATE_TO_ERRNO)
	default:
		return -EIO;
	}
}

int wp_err_to_errno(int err)
{
	switch (-(unsigned int)err) {
	WP_STATUS_PRIVATE(PRIVATE_COLLAPSE)
	default:
		return err;
	}
}

uint32_t wp_status_from_errno(int err)
{
	switch (-(unsigned int)err) {
	case 0:
		return WP_OK;
	WP_STATUS_PLAIN(PLAIN_FROM_ERR)
	WP_STATUS_PRIVATE(PRIVATE_FROM_ERR)
	case ENOSYS:
		return WP_E_OPNOTSUPP;
	case ECANCELED:
		return WP_E_INTR;
	default:
		return WP_E_IO;
	}
}
