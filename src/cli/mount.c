/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* weft mount, umount, version. */
#include "cli/cli.h"

#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/mounts.h"
#include "cli/settings.h"

#define ARGS_MAX 16

static const char *opt_options;
static bool opt_force, opt_foreground;

const struct cli_option mount_options[] = {
	{ 'o', "options", OPT_TEXT, &opt_options, "OPTIONS", "mount options, comma-separated, as for weft-mount -o" },
	{ 0, "foreground", OPT_FLAG, &opt_foreground, NULL, "stay in the foreground" },
	{ 0 },
};

const struct cli_option umount_options[] = {
	{ 'f', "force", OPT_FLAG, &opt_force, NULL, "also with files open or servers away: what waits is ended with an error" },
	{ 0 },
};

int verb_mount(int argc, char **argv)
{
	cleanup_free char *program = program_path("weft-mount");
	cleanup_free char *file = settings_file(), *path = realpath(argv[0], NULL);
	char *args[ARGS_MAX];
	int n = 0;

	if (!file && !cli.mgmtd)
		return cli_fail("which cluster? Name its folder with --dir, its configuration with --config or its management "
				"daemon with --mgmtd");
	if (path && mount_is_on(path))
		return cli_fail("%s is a Weft mount already: 'weft umount %s' ends it", path, path);
	args[n++] = program;
	if (file) {
		args[n++] = (char *)"--config";
		args[n++] = file;
	}
	if (cli.mgmtd) {
		args[n++] = (char *)"--mgmtd";
		args[n++] = (char *)cli.mgmtd;
	}
	if (opt_options) {
		args[n++] = (char *)"-o";
		args[n++] = (char *)opt_options;
	}
	if (opt_foreground)
		args[n++] = (char *)"--foreground";
	args[n++] = argv[0];
	args[n] = NULL;
	execvp(program, args);
	return cli_fail("cannot run %s: %s", program, strerror(errno));
}

int verb_umount(int argc, char **argv)
{
	cleanup_free char *path = realpath(argv[0], NULL);
	const char *target = path ? path : argv[0]; /* a dead mount cannot be resolved */
	int r;

	if (!mount_is_on(target))
		return cli_fail("%s is not a Weft mount: 'findmnt -t fuse.weft' lists them", target);
	r = mount_detach(target, opt_force);
	if (r == -EBUSY) {
		cli_fail("%s is in use by:", target);
		mount_print_users(target);
		return cli_fail("close these, or use --force");
	}
	return r < 0 ? cli_fail("cannot unmount %s: %s", target, strerror(-r)) : 0;
}

int verb_version(int argc, char **argv)
{
	if (cli.json)
		json_print(json_pack("{s:s, s:i, s:i}", "version", WEFT_VERSION, "protocol", WP_PROTO_VERSION, "protocol_min",
				     WP_PROTO_MIN));
	else
		printf("weft %s, protocol %d (speaks %d and newer)\n", WEFT_VERSION, WP_PROTO_VERSION, WP_PROTO_MIN);
	return 0;
}
