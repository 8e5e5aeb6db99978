/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The configuration that the command works with: of the local cluster in --dir, of --config, or of this machine. */
#ifndef WEFT_CLI_SETTINGS_H
#define WEFT_CLI_SETTINGS_H

#include "conf/conf.h"

struct settings {
	struct conf_common common;
	struct conf *conf;
	char *file;
	struct conf_table table;     /* which conf points into */
	struct conf_program program;
};

/* Errors are printed. *s must stay where it is until settings_done. */
int settings_load(struct settings *s) must_check;
void settings_done(struct settings *s);
/* The file that settings_load would read, allocated; NULL: there is none. */
char *settings_file(void);

#endif
