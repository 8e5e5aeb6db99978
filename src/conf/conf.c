/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "conf/conf.h"

#include <limits.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/conf_priv.h"
#include "weft_proto.h"

#ifndef WEFT_VERSION
#error "WEFT_VERSION comes from meson.build"
#endif

/* ---- options of every program ------------------------------------------------------------------------------------------------ */

static const struct conf_choice auth_choices[] = { { "hmac", WP_AUTH_HMAC }, { "none", WP_AUTH_NONE }, { NULL, 0 } };
static const struct conf_choice level_choices[] = {
	{ "err", LOG_ERR }, { "warn", LOG_WARN }, { "notice", LOG_NOTICE }, { "info", LOG_INFO }, { "debug", LOG_DEBUG }, { NULL, 0 },
};

const struct conf_option conf_common_options[] = {
	{ .name = "mgmtd", .type = CONF_LIST, .offset = CONF_FIELD(conf_common, mgmtd), .arg = "ADDRESS", .max = WP_ADDRS_MAX,
	  .help = "addresses of the management daemon, in the order to try them: tcp:HOST:PORT, tcp:[V6]:PORT or unix:PATH" },
	{ .name = "auth", .type = CONF_ENUM, .offset = CONF_FIELD(conf_common, auth), .arg = "WAY", .def = "hmac",
	  .choices = auth_choices,
	  .help = "how both ends of a connection prove who they are; none trusts everyone who can connect" },
	{ .name = "secret-file", .type = CONF_PATH, .offset = CONF_FIELD(conf_common, secret_file), .arg = "FILE",
	  .help = "file with the secret that clients and servers share" },
	{ .name = "server-secret-file", .type = CONF_PATH, .offset = CONF_FIELD(conf_common, server_secret_file), .arg = "FILE",
	  .help = "file with the secret that only servers and administrators know" },
	{ .name = "log-level", .type = CONF_ENUM, .offset = CONF_FIELD(conf_common, log_level), .arg = "LEVEL", .def = "notice",
	  .choices = level_choices, .help = "least important messages to log" },
	{ 0 },
};

/* Options that conf itself answers. */
static struct start_values {
	bool help, version, check, print;
	char *config;
	char *dump;
} start_values;

static const struct conf_option start_options[] = {
	{ .name = "config", .type = CONF_PATH, .offset = CONF_FIELD(start_values, config), .arg = "FILE", .flags = CONF_ARG_ONLY,
	  .letter = 'c', .help = "configuration file; " CONF_DEFAULT_FILE " is read if it exists and no other is named" },
	{ .name = "check-config", .type = CONF_BOOL, .offset = CONF_FIELD(start_values, check), .flags = CONF_ARG_ONLY,
	  .help = "say what is wrong with the configuration and stop; exit status 1 if anything is" },
	{ .name = "print-config", .type = CONF_BOOL, .offset = CONF_FIELD(start_values, print), .flags = CONF_ARG_ONLY,
	  .help = "print the settings in effect as a configuration file and stop" },
	{ .name = "help", .type = CONF_BOOL, .offset = CONF_FIELD(start_values, help), .flags = CONF_ARG_ONLY, .letter = 'h',
	  .help = "print this text and stop" },
	{ .name = "version", .type = CONF_BOOL, .offset = CONF_FIELD(start_values, version), .flags = CONF_ARG_ONLY, .letter = 'V',
	  .help = "print the version and stop" },
	{ .name = "dump-options", .type = CONF_STRING, .offset = CONF_FIELD(start_values, dump), .arg = "FORMAT",
	  .flags = CONF_ARG_ONLY | CONF_HIDDEN, .help = "print the options as roff or markdown rows, for manuals" },
	{ 0 },
};

const struct conf_table conf_start_table = { "General options", NULL, start_options, &start_values };

/* ---- problems ---------------------------------------------------------------------------------------------------------------- */

static void problem_v(struct conf *c, int line, const char *option, const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	if (line > 0)
		fprintf(stderr, "%s:%d: %s%s%s\n", c->file, line, option ? option : "", option ? ": " : "", text);
	else
		fprintf(stderr, "%s: %s%s%s%s\n", c->program->name, option ? "--" : "", option ? option : "", option ? ": " : "", text);
	c->problems++;
}

void conf_problem(struct conf *c, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	problem_v(c, line, NULL, fmt, ap);
	va_end(ap);
}

void conf_error(struct conf *c, const char *option, const char *fmt, ...)
{
	struct conf_entry *e = option ? conf_find(c, option) : NULL;
	va_list ap;

	va_start(ap, fmt);
	problem_v(c, e ? e->line : 0, option, fmt, ap);
	va_end(ap);
}

/* ---- values ------------------------------------------------------------------------------------------------------------------ */

struct conf_entry *conf_find(const struct conf *c, const char *name)
{
	for (unsigned i = 0; i < c->entries_n; i++)
		if (!strcmp(c->entries[i].option->name, name))
			return &c->entries[i];
	return NULL;
}

void conf_give(struct conf *c, struct conf_entry *e, enum conf_source source, int line, const char *text)
{
	const struct conf_option *o = e->option;
	struct conf_entry before = *e;
	char *problem;
	uint64_t dummy[2] = { 0 }; /* room for any field: what a stronger source has set is only checked */
	bool weaker = source < e->source;
	void *field = weaker ? dummy : conf_field(e);

	if (!weaker && o->type == CONF_LIST && e->source != source)
		conf_value_clear(o, field);
	problem = conf_value_set(o, field, text);
	if (weaker) {
		conf_value_clear(o, dummy);
	} else {
		e->source = source;
		e->line = line;
	}
	if (problem) {
		e->line = line;
		conf_error(c, o->name, "%s", problem);
		free(problem);
		if (weaker)
			*e = before;
	}
}

static void add_table(struct conf *c, const struct conf_table *t)
{
	for (const struct conf_option *o = t->options; o->name; o++) {
		weft_assert(!conf_find(c, o->name));
		c->entries = xrealloc(c->entries, (c->entries_n + 1) * sizeof(c->entries[0]));
		c->entries[c->entries_n++] = (struct conf_entry){ .table = t, .option = o };
	}
}

static void set_defaults(struct conf *c)
{
	for (unsigned i = 0; i < c->entries_n; i++) {
		struct conf_entry *e = &c->entries[i];

		memset(conf_field(e), 0, e->option->type == CONF_BOOL ? sizeof(bool) : e->option->type == CONF_ENUM ? sizeof(int) : 8);
		if (e->option->type == CONF_LIST)
			*(struct conf_list *)conf_field(e) = (struct conf_list){ 0 };
		if (e->option->def)
			conf_give(c, e, CONF_DEFAULT, 0, e->option->def);
	}
	weft_assert(!c->problems); /* a default that its own row refuses */
}

static void check_required(struct conf *c)
{
	for (unsigned i = 0; i < c->entries_n; i++) {
		const struct conf_option *o = c->entries[i].option;

		if (!(o->flags & CONF_REQUIRED) || c->entries[i].source > CONF_DEFAULT)
			continue;
		if (o->flags & CONF_ARG_ONLY)
			conf_problem(c, 0, "missing: --%s %s (%s)", o->name, o->arg, o->help);
		else
			conf_problem(c, 0, "missing: --%s %s (%s); or set it in the configuration file%s%s", o->name, o->arg, o->help,
				     c->file ? " " : "", c->file ? c->file : "");
	}
}

/* ---- starting ---------------------------------------------------------------------------------------------------------------- */

/* config=FILE among the parts of -o; NULL: not there. */
static char *config_in_options(const char *text)
{
	static const char key[] = "config=";
	const size_t len = sizeof(key) - 1;

	for (; *text; text += strcspn(text, ","), text += *text ? 1 : 0)
		if (!strncmp(text, key, len))
			return xasprintf("%.*s", (int)strcspn(text + len, ","), text + len);
	return NULL;
}

/* The file is needed before the other arguments: found by a first look at the command line. */
static char *config_name(int argc, char **argv)
{
	char *name = NULL, *found;

	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if ((!strcmp(argv[i], "--config") || !strcmp(argv[i], "-c")) && i + 1 < argc)
			found = xstrdup(argv[++i]);
		else if (!strncmp(argv[i], "--config=", 9))
			found = xstrdup(argv[i] + 9);
		else if (!strcmp(argv[i], "-o") && i + 1 < argc)
			found = config_in_options(argv[++i]);
		else
			found = NULL;
		if (found) {
			free(name);
			name = found;
		}
	}
	if (!name && !access(CONF_DEFAULT_FILE, F_OK))
		name = xstrdup(CONF_DEFAULT_FILE);
	return name;
}

/* Daemons change their folder; messages and --print-config should name the file for good. */
static void make_absolute(struct conf *c)
{
	char *full = c->file ? realpath(c->file, NULL) : NULL;

	if (full) {
		free(c->file);
		c->file = full;
	}
}

static bool wants(int argc, char **argv, const char *name, char letter)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], name) || (argv[i][0] == '-' && argv[i][1] == letter && !argv[i][2]))
			return true;
	return false;
}

static void read_sources(struct conf *c, int argc, char **argv)
{
	set_defaults(c);
	c->file = config_name(argc, argv);
	if (c->file && conf_file_read(c) < 0) {
		free(c->file);
		c->file = NULL;
	}
	conf_args_read(c, argc, argv);
	make_absolute(c);
	if (!c->problems)
		check_required(c);
	if (!c->problems && c->program->check)
		c->program->check(c->program->arg, c);
}

/* The actions of conf itself; -1: none was asked for. */
static int act(struct conf *c)
{
	if (start_values.dump) {
		conf_dump_options(c->program, !strcmp(start_values.dump, "roff"));
		return 0;
	}
	if (c->problems)
		return start_values.check ? 1 : 2;
	if (start_values.check) {
		printf("%s: the configuration%s%s is right\n", c->program->name, c->file ? " in " : "", c->file ? c->file : "");
		return 0;
	}
	if (start_values.print) {
		conf_print(c);
		return 0;
	}
	return -1;
}

bool conf_start(const struct conf_program *p, int argc, char **argv, struct conf **ret, int *exit_status)
{
	struct conf *c;

	*exit_status = 0;
	if (wants(argc, argv, "--help", 'h')) { /* also when the rest is wrong */
		conf_help(p);
		return false;
	}
	if (wants(argc, argv, "--version", 'V')) {
		printf("%s %s\n", p->name, WEFT_VERSION);
		return false;
	}
	c = NEW(struct conf);
	c->program = p;
	for (size_t i = 0; i < ARRAY_SIZE(p->tables) && p->tables[i]; i++)
		add_table(c, p->tables[i]);
	add_table(c, &conf_start_table);
	read_sources(c, argc, argv);
	*exit_status = act(c);
	if (*exit_status >= 0) {
		conf_free(c);
		return false;
	}
	*exit_status = 0;
	*ret = c;
	return true;
}

void conf_free(struct conf *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < c->entries_n; i++)
		conf_value_clear(c->entries[i].option, conf_field(&c->entries[i]));
	free(c->entries);
	free(c->args);
	free(c->file);
	free(c);
}

bool conf_given(const struct conf *c, const char *option)
{
	const struct conf_entry *e = conf_find(c, option);

	weft_assert(e);
	return e->source > CONF_DEFAULT;
}

char **conf_args(const struct conf *c, unsigned *n)
{
	*n = c->args_n;
	return c->args;
}

const char *conf_file(const struct conf *c) { return c->file; }
