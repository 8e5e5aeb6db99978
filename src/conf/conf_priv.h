/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Private to src/conf. */
#ifndef WEFT_CONF_CONF_PRIV_H
#define WEFT_CONF_CONF_PRIV_H

#include <stdarg.h>
#include <strings.h>

#include "base/buf.h"
#include "conf/conf.h"

enum conf_source { CONF_NONE, CONF_DEFAULT, CONF_COMMON, CONF_SECTION, CONF_COMMAND_LINE };

/* One option of one table. */
struct conf_entry {
	const struct conf_table *table;
	const struct conf_option *option;
	enum conf_source source;
	int line; /* of the file; 0: command line */
};

struct conf {
	const struct conf_program *program;
	struct conf_entry *entries;
	unsigned entries_n;
	char *file; /* configuration file; NULL: none */
	char **args;
	unsigned args_n;
	unsigned problems;
};

/* NULL, or a malloc'd text that says what is wrong with the value. field is unchanged then (lists: may have grown). */
char *conf_value_set(const struct conf_option *o, void *field, const char *text) must_check;
/* Frees and zeroes. */
void conf_value_clear(const struct conf_option *o, void *field);
/* "name = value" lines of an INI file; a comment when there is no value. */
void conf_value_print(FILE *f, const struct conf_option *o, const void *field);

struct conf_entry *conf_find(const struct conf *c, const char *name);
static inline void *conf_field(const struct conf_entry *e) { return (char *)e->table->values + e->option->offset; }

/* line > 0: in the file; 0: on the command line. */
void conf_problem(struct conf *c, int line, const char *fmt, ...) printf_like(3, 4);
/* Takes a value from a source; a weaker source than the present one is only checked. */
void conf_give(struct conf *c, struct conf_entry *e, enum conf_source source, int line, const char *text);

/* Reads c->file. -errno if it cannot be read at all (said already). */
int conf_file_read(struct conf *c) must_check;
void conf_args_read(struct conf *c, int argc, char **argv);

/* --config, --help and so on: known to every program. */
extern const struct conf_table conf_start_table;

void conf_help(const struct conf_program *p);
void conf_dump_options(const struct conf_program *p, bool roff);
void conf_print(const struct conf *c);

#endif
