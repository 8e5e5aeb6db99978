/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Links when clang brings libFuzzer and the sanitizers along.
 */
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	(void)data;
	(void)size;
	return 0;
}
