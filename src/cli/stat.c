/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Verbs on paths below a mount: stat, layout get and set, sync. They speak to weft-mount through extended attributes that it
 * makes up: weft.info (JSON), weft.layout (text, on directories settable), weft.sync.
 */
#include "cli/cli.h"
#include "conf/conf.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define INFO_MAX 65536
#define STRIPE_UNIT 65536u

static unsigned opt_count = UINT32_MAX;
static const char *opt_size, *opt_pool;

const struct cli_option layout_options[] = {
	{ 'c', "count", OPT_NUMBER, &opt_count, "N", "stripes: targets a file is spread over; 0 is all" },
	{ 'S', "size", OPT_TEXT, &opt_size, "SIZE", "stripe size, as 1M; a multiple of 64K" },
	{ 'p', "pool", OPT_TEXT, &opt_pool, "POOL", "pool of storage targets to use" },
	{ 0 },
};

static int not_weft(const char *path, int err)
{
	if (err == EOPNOTSUPP || err == ENODATA)
		return cli_fail("%s is not on a Weft mount: give a path below one ('findmnt -t fuse.weft' lists them)", path);
	if (err == EPERM || err == EACCES)
		return cli_fail("%s: %s: only its owner and root may do that", path, strerror(err));
	if (err == ENOTCONN)
		return cli_fail("%s: the mount's daemon is gone: unmount it (weft umount) and mount it again", path);
	if (err == ETIMEDOUT || err == EIO)
		return cli_fail("%s: %s: a server does not answer: see 'weft status'", path, strerror(err));
	return cli_fail("%s: %s", path, strerror(err));
}

static json_t *info_of(const char *path)
{
	cleanup_free char *buf = xmalloc(INFO_MAX);
	ssize_t n = lgetxattr(path, "weft.info", buf, INFO_MAX - 1);
	json_error_t error;
	json_t *info;

	if (n < 0) {
		not_weft(path, errno);
		return NULL;
	}
	info = json_loadb(buf, (size_t)n, 0, &error);
	if (!info)
		cli_fail("%s: the mount's answer is malformed: %s", path, error.text);
	else
		json_object_set_new(info, "path", json_string(path));
	return info;
}

static void print_component(json_t *c, size_t i, bool dir)
{
	json_t *objects = json_object_get(c, "objects"), *o;
	long long end = json_integer_value(json_object_get(c, "end")),
		  count = json_integer_value(json_object_get(c, "stripe_count"));
	const char *pool = json_string_value(json_object_get(c, "pool"));
	char a[32], b[32], s[32];
	size_t k;

	printf("  component %zu: [%s, %s) %s, stripes %s%.0lld of %s%s%s\n", i,
	       human_bytes((uint64_t)json_integer_value(json_object_get(c, "start")), a, sizeof(a)),
	       end < 0 || end == INT64_MAX ? "end" : human_bytes((uint64_t)end, b, sizeof(b)),
	       json_string_value(json_object_get(c, "pattern")), count ? "" : "all", count,
	       human_bytes((uint64_t)json_integer_value(json_object_get(c, "stripe_size")), s, sizeof(s)), dir ? ", pool " : "",
	       dir ? (pool && *pool ? pool : "default") : "");
	json_array_foreach(objects, k, o) printf("    stripe %zu: target %s%lld  object %s\n", k,
						 "storage:", (long long)json_integer_value(json_object_get(o, "target")),
						 json_string_value(json_object_get(o, "object")));
}

static void print_info(json_t *info, bool layout_only)
{
	json_t *layout = json_object_get(info, "layout"), *components = json_object_get(layout, "components"), *c;
	const char *type = json_string_value(json_object_get(info, "type"));
	bool dir = type && !strcmp(type, "directory");
	size_t i;

	printf("%s\n", json_string_value(json_object_get(info, "path")));
	if (!layout_only)
		printf("  FID %s, inode %s, %s on metadata target meta:%lld\n", json_string_value(json_object_get(info, "fid")),
		       json_string_value(json_object_get(info, "inode")), type,
		       (long long)json_integer_value(json_object_get(info, "meta_target")));
	if (dir && json_is_object(layout))
		printf("  new files get%s:\n", json_is_true(json_object_get(layout, "inherited")) ? " (inherited)" : "");
	json_array_foreach (components, i, c)
		print_component(c, i, dir);
}

static int print_infos(int argc, char **argv, bool layout_only)
{
	json_t *all = json_array();
	int failed = 0;

	for (int i = 0; i < argc; i++) {
		json_t *info = info_of(argv[i]);

		if (!info) {
			failed = 1;
			continue;
		}
		if (cli.json)
			json_array_append(all, info);
		else
			print_info(info, layout_only);
		json_decref(info);
	}
	if (cli.json)
		json_print(json_incref(all));
	json_decref(all);
	return failed;
}

int verb_stat(int argc, char **argv) { return print_infos(argc, argv, false); }
int verb_layout_get(int argc, char **argv) { return print_infos(argc, argv, true); }

static void layout_text(char *buf, size_t size)
{
	int n = 0;

	buf[0] = '\0';
	if (opt_count != UINT32_MAX)
		n += snprintf(buf + n, size - (size_t)n, "stripe_count=%u ", opt_count);
	if (opt_size)
		n += snprintf(buf + n, size - (size_t)n, "stripe_size=%.32s ", opt_size);
	if (opt_pool)
		snprintf(buf + n, size - (size_t)n, "pool=%.64s ", opt_pool);
}

int verb_layout_set(int argc, char **argv)
{
	char text[256];
	uint64_t size = 0;
	int failed = 0;

	layout_text(text, sizeof(text));
	if (!text[0])
		return cli_fail("say what to set: --count, --size or --pool"), 2;
	if (opt_size && (conf_parse_size(opt_size, &size) < 0 || !size || size % STRIPE_UNIT || size > UINT32_MAX))
		return cli_fail("--size %s: a stripe's size is a multiple of 64K, below 4G, as 1M", opt_size), 2;
	if (opt_count != UINT32_MAX && opt_count > WP_STRIPES_MAX)
		return cli_fail("--count %u: at most %d stripes; 0 is all targets", opt_count, WP_STRIPES_MAX), 2;
	for (int i = 0; i < argc; i++) {
		int fd;

		/* As lfs setstripe: a name that is not there becomes an empty file with the layout. */
		if (access(argv[i], F_OK) < 0 && errno == ENOENT) {
			fd = open(argv[i], O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
			if (fd < 0) {
				failed = cli_fail("%s: %s", argv[i], strerror(errno));
				continue;
			}
			close(fd);
		}
		if (setxattr(argv[i], "weft.layout", text, strlen(text), 0) == 0)
			continue;
		if (errno == EBUSY || errno == EEXIST)
			failed = cli_fail("%s has data: a file's layout can only be set while it is empty", argv[i]);
		else if (errno == EINVAL)
			failed = opt_pool ? cli_fail("%s: there is no pool '%s' with targets in it that can take files: see "
						     "'weft pool list'",
						     argv[i], opt_pool)
					  : cli_fail("%s: layouts are for directories and files only", argv[i]);
		else
			failed = not_weft(argv[i], errno);
	}
	return failed;
}

int verb_sync(int argc, char **argv)
{
	if (setxattr(argv[0], "weft.sync", "1", 1, 0) < 0)
		return not_weft(argv[0], errno);
	return 0;
}
