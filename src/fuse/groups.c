/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "fuse/groups.h"

static int parse_groups(char *line, uint32_t *ret, uint32_t max)
{
	char *save = NULL;
	uint32_t n = 0;

	for (char *word = strtok_r(line, " \t\n", &save); word && n < max; word = strtok_r(NULL, " \t\n", &save))
		ret[n++] = (uint32_t)strtoul(word, NULL, 10);
	return (int)n;
}

int fuse_groups_of(void *arg, const struct client_cred *cred, uint32_t *ret, uint32_t max)
{
	cleanup_free char *line = NULL;
	size_t size = 0;
	char path[64];
	int n = -ESRCH;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/status", cred->pid);
	f = fopen(path, "re");
	if (!f)
		return -ESRCH;
	while (n < 0 && getline(&line, &size, f) > 0)
		if (!strncmp(line, "Groups:", 7))
			n = parse_groups(line + 7, ret, max);
	fclose(f);
	return n;
}
