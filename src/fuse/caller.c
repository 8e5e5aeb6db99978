/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "fuse/caller.h"

bool caller_has_signal(uint32_t pid)
{
	uint64_t pending = 0, blocked = 0;
	cleanup_free char *line = NULL;
	size_t size = 0;
	char path[64];
	FILE *f;

	if (!pid)
		return false;
	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (getline(&line, &size, f) > 0) {
		if (!strncmp(line, "SigPnd:", 7) || !strncmp(line, "ShdPnd:", 7))
			pending |= strtoull(line + 7, NULL, 16);
		else if (!strncmp(line, "SigBlk:", 7))
			blocked = strtoull(line + 7, NULL, 16);
	}
	fclose(f);
	return (pending & ~blocked) != 0;
}
