/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/crc.h"

#include <isa-l/crc.h>
#include <limits.h>

uint32_t crc32c(uint32_t crc, const void *p, size_t len)
{
	const uint8_t *b = p;

	crc = ~crc;
	while (len > 0) {
		size_t n = MIN(len, (size_t)(1u << 30));

		crc = crc32_iscsi((unsigned char *)(uintptr_t)b, (int)n, crc);
		b += n;
		len -= n;
	}
	return ~crc;
}

uint32_t crc32c_zeros(uint32_t crc, uint64_t len)
{
	static const uint8_t zeros[4096];

	while (len > 0) {
		size_t n = MIN(len, sizeof(zeros));

		crc = crc32c(crc, zeros, n);
		len -= n;
	}
	return crc;
}
