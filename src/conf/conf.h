/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Options and parameters of programs as tables.
 *
 * A row says everything about an option once: parsing, checking, --help, --print-config and the manual page come from it.
 * Sources, later ones win: the row's default, section [common] of the configuration file, the program's own section, the command
 * line. A list given by a later source replaces the one of an earlier source.
 *
 * Used when a program starts, on one thread.
 */
#ifndef WEFT_CONF_CONF_H
#define WEFT_CONF_CONF_H

#include "base/base.h"

struct conf;

enum conf_type {
	CONF_STRING,   /* char * */
	CONF_PATH,     /* char *, not empty */
	CONF_BOOL,     /* bool: yes/no, true/false, on/off, 1/0; on the command line --name alone is yes, --no-name is no */
	CONF_U64,      /* uint64_t */
	CONF_SIZE,     /* uint64_t bytes; suffix K, M, G or T (powers of 1024) */
	CONF_DURATION, /* uint64_t nanoseconds; suffix ms, s, m or h, none is s */
	CONF_ENUM,     /* int, from choices */
	CONF_LIST,     /* struct conf_list; elements separated by commas, or the option repeated */
};

struct conf_list {
	char **v;
	unsigned n;
};

struct conf_choice {
	const char *name; /* NULL ends the array */
	int value;
};

enum {
	CONF_REQUIRED = 1, /* must be given by some source */
	CONF_ARG_ONLY = 2, /* command line only: belongs to this start, not to the configuration */
	CONF_HIDDEN = 4,   /* not in --help */
};

struct conf_option {
	const char *name; /* NULL ends a table */
	enum conf_type type;
	size_t offset;	   /* of the field in the table's values: CONF_FIELD */
	const char *arg;   /* placeholder for the value in --help; NULL for booleans */
	const char *def;   /* default as text; NULL: none (NULL, 0, false, empty list) */
	const char *help;  /* one sentence, without a full stop */
	uint64_t min, max; /* U64, SIZE, DURATION (nanoseconds); both 0: any. LIST: max elements */
	const struct conf_choice *choices;
	unsigned flags;
	char letter; /* one-letter form on the command line; 0: none */
};

#define CONF_FIELD(type, field) offsetof(struct type, field)

/* section: which part of the file sets these options besides the program's own: "common", or NULL for none. */
struct conf_table {
	const char *title; /* heading in --help */
	const char *section;
	const struct conf_option *options;
	void *values; /* where the offsets point into */
};

#define CONF_TABLES_MAX 8u

struct conf_program {
	const char *name;     /* "weft-meta" */
	const char *section;  /* its section of the configuration file, "meta" */
	const char *synopsis; /* behind the name in the usage line */
	const char *about;    /* what it does, a sentence or more */
	const struct conf_table *tables[CONF_TABLES_MAX];
	const char *args; /* placeholder for the arguments; NULL: takes none */
	unsigned args_min, args_max;
	/* Parts of -o that no table knows (mount options for others); returns false if nobody does. May be NULL. */
	bool (*foreign)(void *arg, const char *option);
	/* Why a part of -o that nobody takes is refused, if there is more to say than that it does not exist. May be NULL. */
	const char *(*refusal)(const char *option);
	/* After all values are set: rules that span options. Reports through conf_error. May be NULL. */
	void (*check)(void *arg, struct conf *c);
	void *arg;
};

/* Reads all sources into the tables' values. Handles --help, --version, --check-config, --print-config and --dump-options
 * itself. Returns true to go on; false to leave with *exit_status. Problems went to standard error, each with file:line or the
 * option's name. The values' strings live until conf_free. */
bool conf_start(const struct conf_program *p, int argc, char **argv, struct conf **ret, int *exit_status) must_check;
/* Resets the values to zero and frees them. NULL is fine. */
void conf_free(struct conf *c);

/* From check(): a problem with what was given; cites the place where option (may be NULL) was set. */
void conf_error(struct conf *c, const char *option, const char *fmt, ...) printf_like(3, 4);
/* Given by any source but the default. */
bool conf_given(const struct conf *c, const char *option);
/* The arguments that are not options. */
char **conf_args(const struct conf *c, unsigned *n);
/* The file that was read, absolute; NULL if none. */
const char *conf_file(const struct conf *c);

/* ---- parts, also for other users ------------------------------------------------------------------------------------------- */

#define CONF_DEFAULT_FILE "/etc/weft/weft.conf"

/* Text to value; -EINVAL malformed, -ERANGE outside of the 64 bits. */
int conf_parse_size(const char *s, uint64_t *ret) must_check;
int conf_parse_duration(const char *s, uint64_t *ret_ns) must_check;
int conf_parse_bool(const char *s, bool *ret) must_check;
/* The shortest exact text that reads back the same. */
void conf_format_size(uint64_t bytes, char *buf, size_t size);
void conf_format_duration(uint64_t ns, char *buf, size_t size);

/* ---- options that every program has ------------------------------------------------------------------------------------------ */

struct conf_common {
	struct conf_list mgmtd;	  /* addresses of the management daemon */
	int auth;		  /* enum wp_auth */
	char *secret_file;	  /* NULL: none */
	char *server_secret_file; /* NULL: none */
	int log_level;		  /* enum log_level */
};

/* For a table { "Common options", "common", conf_common_options, &values }. */
extern const struct conf_option conf_common_options[];

#endif
