/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "fuse/mountopts.h"

#include <sys/stat.h>
#include <unistd.h>

/* For the kernel: given on to libfuse. */
static const char *const kernel_options[] = {
	"rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "nonempty", "default_permissions", "async"
};
/* For mount(8), systemd and init scripts, or what is so anyway: nothing to do. */
static const char *const outer_options[] = { "auto",	    "noauto",	     "user",	 "nouser",     "users",
					     "nousers",	    "owner",	     "noowner",	 "group",      "nogroup",
					     "_netdev",	    "nofail",	     "defaults", "relatime",   "atime",
					     "strictatime", "nostrictatime", "lazytime", "nolazytime", "norelatime",
					     "diratime",    "nodiratime",    "dirsync",	 "silent",     "loud",
					     "nomand",	    "noiversion" };
/* Each with a value. */
static const char *const outer_values[] = { "x-", "X-", "comment=", "user=", "uhelper=", "helper=" };

/* What people try, and what to do instead. */
static const struct refusal {
	const char *option, *advice;
} refusals[] = {
	{ "remount",
	  "a mounted Weft is changed by unmounting and mounting it again; only the kernel's own options (ro, rw, noexec, "
	  "nosuid, nodev) can be changed in place: mount -i -o remount,ro PATH" },
	{ "sync", "not possible for a whole mount; programs that need it open files with O_SYNC" },
	{ "mand", "Linux has no mandatory locks any more" },
	{ "nosymfollow", "FUSE mounts do not know it" },
	{ "iversion", "FUSE mounts do not know it" },
	{ "bind", "mount Weft first, then bind it with mount --bind" },
};

#define DEFAULT_PORT "7480" /* weft-mgmtd's */

static char taken[1024];
static const char *source_name = "weft";

static bool is_one_of(const char *option, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(option, names[i]))
			return true;
	return false;
}

bool mountopts_foreign(void *arg, const char *option)
{
	if (is_one_of(option, outer_options, ARRAY_SIZE(outer_options)))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(outer_values); i++)
		if (!strncmp(option, outer_values[i], strlen(outer_values[i])))
			return true;
	if (!is_one_of(option, kernel_options, ARRAY_SIZE(kernel_options)))
		return false;
	if (strlen(taken) + strlen(option) + 2 > sizeof(taken))
		return false;
	strcat(taken, ",");
	strcat(taken, option);
	return true;
}

const char *mountopts_refusal(const char *option)
{
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
		if (!strcmp(option, refusals[i].option))
			return refusals[i].advice;
	return NULL;
}

/* libfuse separates options by commas, and takes a backslash before one that is none. */
static char *escaped(const char *text)
{
	char *out = xmalloc(2 * strlen(text) + 1), *p = out;

	for (; *text; text++) {
		if (*text == ',' || *text == '\\')
			*p++ = '\\';
		*p++ = *text;
	}
	*p = '\0';
	return out;
}

int mountopts_add(struct fuse_args *args, bool allow_other, bool ro)
{
	cleanup_free char *text = NULL, *name = escaped(source_name);
	bool root = geteuid() == 0;

	/* Set-id bits count on mounts of root; device nodes only if asked for: who may open one is not checked (no cached attributes). */
	text = xasprintf("fsname=%s,subtype=weft%s%s%s%s", name, allow_other ? ",allow_other" : "", root ? ",nodev,suid" : "",
			 ro ? ",ro" : "", taken);
	return fuse_opt_add_arg(args, "-o") || fuse_opt_add_arg(args, text) ? -ENOMEM : 0;
}

/* ---- mount.weft ---------------------------------------------------------------------------------------- */

bool mountopts_is_helper(const char *argv0)
{
	const char *slash = strrchr(argv0, '/'), *name = slash ? slash + 1 : argv0;

	return !strncmp(name, "mount.", 6);
}

/* Where the path of a subdirectory begins in HOST:PORT/PATH: behind the port; NULL: there is none. */
static const char *subdir_of(const char *source)
{
	const char *host_end = *source == '[' ? strchr(source, ']') : source;

	return host_end ? strchr(host_end, '/') : NULL;
}

static int add_address(char **out, int n, const char *source)
{
	const char *host = strncmp(source, "tcp:", 4) ? source : source + 4, *sub, *host_end;
	bool has_port;
	size_t len;

	out[n++] = xstrdup("--mgmtd");
	if (!strncmp(source, "unix:", 5)) {
		out[n++] = xstrdup(source);
		return n;
	}
	sub = subdir_of(host);
	len = sub ? (size_t)(sub - host) : strlen(host);
	host_end = *host == '[' ? memchr(host, ']', len) : NULL;
	has_port = memchr(host_end ? host_end : host, ':', len - (size_t)(host_end ? host_end - host : 0)) != NULL;
	out[n++] = xasprintf("tcp:%.*s%s", (int)len, host, has_port ? "" : ":" DEFAULT_PORT);
	if (sub && sub[1]) {
		out[n++] = xstrdup("--subdir");
		out[n++] = xstrdup(sub);
	}
	return n;
}

static int add_source(char **out, int n, const char *source)
{
	struct stat st;

	source_name = source; /* as fstab says it: `mount -a` recognizes by it what is mounted already */
	if (stat(source, &st) == 0 && S_ISREG(st.st_mode)) {
		out[n++] = xstrdup("--config");
		out[n++] = xstrdup(source);
	} else if (strcmp(source, "weft") && strcmp(source, "none")) {
		if (*source == '/') {
			fprintf(stderr, "mount.weft: there is no configuration file %s\n", source);
			return -ENOENT;
		}
		n = add_address(out, n, source);
	}
	return n;
}

static bool takes_value(const char *arg) { return !strcmp(arg, "-N") || !strcmp(arg, "-t"); }

char **mountopts_from_helper(int *argc, char **argv, bool *fake)
{
	char **out = xcalloc((size_t)*argc + 8, sizeof(*out));
	const char *source = NULL, *path = NULL;
	int n = 0;

	out[n++] = xstrdup("weft-mount");
	for (int i = 1; i < *argc; i++) {
		if (!strcmp(argv[i], "-o") && i + 1 < *argc) {
			out[n++] = argv[i];
			out[n++] = argv[++i];
		} else if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "--version")) {
			out[n++] = argv[i];
		} else if (takes_value(argv[i]) && i + 1 < *argc) {
			i++; /* -N NAMESPACE: mount(8) is in it already; -t TYPE */
		} else if (argv[i][0] == '-' && argv[i][1]) {
			*fake |= !strcmp(argv[i], "-f");
			continue; /* -s, -n, -v: mount(8)'s own */
		} else if (!source) {
			source = argv[i];
		} else if (!path) {
			path = argv[i];
		}
	}
	if (n > 1 && !source) {
		*argc = n;
		return out;
	}
	if (!source || !path) {
		fprintf(stderr,
			"usage: mount.weft SOURCE PATH [-o OPTIONS]; SOURCE is HOST:PORT of the management daemon, with "
			"/DIRECTORY to mount only that, or a configuration file\n");
		return NULL;
	}
	n = add_source(out, n, source);
	if (n < 0)
		return NULL;
	out[n++] = xstrdup(path);
	*argc = n;
	return out;
}
