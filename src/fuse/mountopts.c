/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "fuse/mountopts.h"

#include <sys/stat.h>

/* For the kernel: given on to libfuse. */
static const char *const kernel_options[] = { "rw",	  "suid",   "nosuid",	 "dev",	     "nodev", "exec", "noexec",
					      "dirsync", "nonempty", "default_permissions", "sync", "async" };
/* For mount(8), systemd and init scripts: nothing to do. */
static const char *const outer_options[] = { "auto",	 "noauto",     "user",	 "nouser",   "users",	  "owner",
					     "group",	 "_netdev",    "nofail", "defaults", "relatime",  "strictatime",
					     "lazytime", "norelatime", "atime",	 "diratime", "nodiratime" };

static char taken[1024];

static bool is_one_of(const char *option, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(option, names[i]))
			return true;
	return false;
}

bool mountopts_foreign(void *arg, const char *option)
{
	if (is_one_of(option, outer_options, ARRAY_SIZE(outer_options)) || !strncmp(option, "x-", 2) ||
	    !strncmp(option, "comment=", 8))
		return true;
	if (!is_one_of(option, kernel_options, ARRAY_SIZE(kernel_options)))
		return false;
	if (strlen(taken) + strlen(option) + 2 > sizeof(taken))
		return false;
	strcat(taken, ",");
	strcat(taken, option);
	return true;
}

int mountopts_add(struct fuse_args *args, bool allow_other, bool ro)
{
	cleanup_free char *text = NULL;
	bool root = allow_other;

	/* Set-id bits count on mounts of root; device nodes only if asked for: who may open one is not checked (no cached attributes). */
	text = xasprintf("fsname=weft,subtype=weft%s%s%s%s", allow_other ? ",allow_other" : "", root ? ",nodev,suid" : "",
			 ro ? ",ro" : "", taken);
	return fuse_opt_add_arg(args, "-o") || fuse_opt_add_arg(args, text) ? -ENOMEM : 0;
}

/* ---- mount.weft ---------------------------------------------------------------------------------------- */

bool mountopts_is_helper(const char *argv0)
{
	const char *slash = strrchr(argv0, '/'), *name = slash ? slash + 1 : argv0;

	return !strncmp(name, "mount.", 6);
}

static int add_source(char **out, int n, const char *source)
{
	struct stat st;

	if (stat(source, &st) == 0 && S_ISREG(st.st_mode)) {
		out[n++] = xstrdup("--config");
		out[n++] = xstrdup(source);
	} else if (strcmp(source, "weft") && strcmp(source, "none")) {
		bool has_scheme = !strncmp(source, "tcp:", 4) || !strncmp(source, "unix:", 5);

		out[n++] = xstrdup("--mgmtd");
		out[n++] = xasprintf("%s%s", has_scheme ? "" : "tcp:", source);
	}
	return n;
}

char **mountopts_from_helper(int *argc, char **argv)
{
	char **out = xcalloc((size_t)*argc + 8, sizeof(*out));
	const char *source = NULL, *path = NULL;
	int n = 0;

	out[n++] = xstrdup("weft-mount");
	for (int i = 1; i < *argc; i++) {
		if (!strcmp(argv[i], "-o") && i + 1 < *argc) {
			out[n++] = argv[i];
			out[n++] = argv[++i];
		} else if (argv[i][0] == '-') {
			continue; /* -s, -f, -n, -v, -N: mount(8)'s own */
		} else if (!source) {
			source = argv[i];
		} else if (!path) {
			path = argv[i];
		}
	}
	if (!source || !path) {
		fprintf(stderr, "usage: mount.weft SOURCE PATH [-o OPTIONS]; SOURCE is HOST:PORT of the management daemon or a "
				"configuration file\n");
		free(out);
		return NULL;
	}
	n = add_source(out, n, source);
	out[n++] = xstrdup(path);
	*argc = n;
	return out;
}
