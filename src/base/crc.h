/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* CRC32C (Castagnoli, RFC 3720 appendix B.4), by ISA-L's vector code. crc32c(0, "123456789", 9) == 0xe3069283. */
#ifndef WEFT_BASE_CRC_H
#define WEFT_BASE_CRC_H

#include "base/base.h"

/* Continues crc (0 at the start) over len bytes. Thread-safe. */
uint32_t crc32c(uint32_t crc, const void *p, size_t len);
/* The checksum of len zero bytes appended to data whose checksum is crc. */
uint32_t crc32c_zeros(uint32_t crc, uint64_t len);

#endif
