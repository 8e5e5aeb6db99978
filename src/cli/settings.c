/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "cli/settings.h"

#include <unistd.h>

#include "cli/cli.h"

#define DEFAULT_DIR "./var"

char *settings_file(void)
{
	char *path;

	if (cli.config)
		return xstrdup(cli.config);
	path = xasprintf("%s/weft.conf", cli.dir ? cli.dir : DEFAULT_DIR);
	if (!access(path, F_OK) || cli.dir)
		return path;
	free(path);
	return access(CONF_DEFAULT_FILE, F_OK) ? NULL : xstrdup(CONF_DEFAULT_FILE);
}

int settings_load(struct settings *s)
{
	char *argv[6] = { (char *)"weft" };
	int argc = 1, status;

	memset(s, 0, sizeof(*s));
	s->table = (struct conf_table){ "Common options", "common", conf_common_options, &s->common };
	s->program = (struct conf_program){ .name = "weft", .section = "weft", .about = "", .tables = { &s->table } };
	s->file = settings_file();
	if (s->file) {
		argv[argc++] = (char *)"--config";
		argv[argc++] = s->file;
	}
	if (cli.mgmtd) {
		argv[argc++] = (char *)"--mgmtd";
		argv[argc++] = (char *)cli.mgmtd;
	}
	return conf_start(&s->program, argc, argv, &s->conf, &status) ? 0 : -EINVAL;
}

void settings_done(struct settings *s)
{
	if (s->conf)
		conf_free(s->conf);
	free(s->file);
	memset(s, 0, sizeof(*s));
}

int verb_config(int argc, char **argv)
{
	struct conf_common common = { 0 };
	struct conf_table table = { "Common options", "common", conf_common_options, &common };
	struct conf_program program = { .name = "weft", .section = "weft", .about = "", .tables = { &table } };
	cleanup_free char *file = settings_file();
	char *args[5] = { (char *)"weft", (char *)"--print-config" };
	struct conf *conf;
	int n = 2, status;

	if (file) {
		args[n++] = (char *)"--config";
		args[n++] = file;
	}
	if (conf_start(&program, n, args, &conf, &status))
		conf_free(conf);
	return status;
}
