/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What is printed from the tables: --help, --print-config, rows of the manual. */
#include <inttypes.h>

#include "conf/conf_priv.h"

#define HELP_COLUMN 30
#define HELP_WIDTH 100

/* Prints words from column on, breaking lines; the cursor is in column at. */
static void print_wrapped(const char *text, size_t at, size_t column)
{
	while (*text) {
		size_t len = strcspn(text, " ");

		if (at > column && at + 1 + len > HELP_WIDTH) {
			printf("\n%*s", (int)column, "");
			at = column;
		} else if (at > column) {
			putchar(' ');
			at++;
		}
		fwrite(text, 1, len, stdout);
		at += len;
		text += len;
		text += strspn(text, " ");
	}
	putchar('\n');
}

/* What may be given, and what is taken if nothing is. */
static char *describe(const struct conf_option *o, bool with_help)
{
	struct buf b = { 0 };
	char lo[32], hi[32];

	if (with_help)
		buf_printf(&b, "%s", o->help);
	if (o->choices) {
		buf_printf(&b, ": ");
		for (const struct conf_choice *ch = o->choices; ch->name; ch++)
			buf_printf(&b, "%s%s", ch == o->choices ? "" : ch[1].name ? ", " : " or ", ch->name);
	}
	if ((o->min || o->max) && o->type != CONF_LIST) {
		if (o->type == CONF_SIZE) {
			conf_format_size(o->min, lo, sizeof(lo));
			conf_format_size(o->max, hi, sizeof(hi));
		} else if (o->type == CONF_DURATION) {
			conf_format_duration(o->min, lo, sizeof(lo));
			conf_format_duration(o->max, hi, sizeof(hi));
		} else {
			snprintf(lo, sizeof(lo), "%" PRIu64, o->min);
			snprintf(hi, sizeof(hi), "%" PRIu64, o->max);
		}
		buf_printf(&b, ", %s to %s", lo, hi);
	}
	if (o->type == CONF_LIST)
		buf_printf(&b, " (may be repeated)");
	if (o->flags & CONF_REQUIRED)
		buf_printf(&b, " (required)");
	else if (o->def && *o->def)
		buf_printf(&b, " (default %s)", o->def);
	buf_add(&b, "", 1);
	return (char *)b.p;
}

static void help_option(const struct conf_option *o)
{
	cleanup_free char *text = describe(o, true);
	char left[96];
	int n;

	n = snprintf(left, sizeof(left), "  %c%c%c --%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ', o->letter ? ',' : ' ',
		     o->name, o->arg ? " " : "", o->arg ? o->arg : "");
	if (n >= HELP_COLUMN)
		printf("%s\n%*s", left, HELP_COLUMN, "");
	else
		printf("%-*s", HELP_COLUMN, left);
	print_wrapped(text, HELP_COLUMN, HELP_COLUMN);
}

static void help_table(const struct conf_table *t)
{
	printf("\n%s:\n", t->title);
	for (const struct conf_option *o = t->options; o->name; o++)
		if (!(o->flags & CONF_HIDDEN))
			help_option(o);
}

void conf_help(const struct conf_program *p)
{
	printf("usage: %s %s\n\n", p->name, p->synopsis);
	print_wrapped(p->about, 0, 0);
	for (size_t i = 0; i < ARRAY_SIZE(p->tables) && p->tables[i]; i++)
		help_table(p->tables[i]);
	help_table(&conf_start_table);
	printf("\nOptions can also be given as -o NAME=VALUE. Those that are not only of the command line may stand in the\n"
	       "configuration file, without the dashes: common options in section [common]%s%s%s.\n",
	       p->section ? ", the others in [" : "", p->section ? p->section : "", p->section ? "]" : "");
}

/* ---- manual ------------------------------------------------------------------------------------------------------------------- */

/* roff takes a leading dot or quote for a request, and a bare dash for a hyphen. */
static void roff_text(const char *s)
{
	for (; *s; s++) {
		if (*s == '-')
			printf("\\-");
		else if (*s == '\\')
			printf("\\e");
		else
			putchar(*s);
	}
}

static void dump_option(const struct conf_option *o, bool roff)
{
	cleanup_free char *text = describe(o, true);

	if (!roff) {
		printf("| `--%s%s%s` | %s | %s |\n", o->name, o->arg ? " " : "", o->arg ? o->arg : "",
		       o->flags & CONF_ARG_ONLY ? "command line" : "file", text);
		return;
	}
	printf(".TP\n");
	if (o->letter)
		printf("\\fB\\-%c\\fR, ", o->letter);
	printf("\\fB\\-\\-");
	roff_text(o->name);
	printf("\\fR");
	if (o->arg)
		printf(" \\fI%s\\fR", o->arg);
	printf("\n\\&");
	roff_text(text);
	printf(".\n");
}

static void dump_table(const struct conf_table *t, bool roff)
{
	if (roff)
		printf(".SS %s\n", t->title);
	else
		printf("\n### %s\n\n| option | where | meaning |\n|---|---|---|\n", t->title);
	for (const struct conf_option *o = t->options; o->name; o++)
		if (!(o->flags & CONF_HIDDEN))
			dump_option(o, roff);
}

void conf_dump_options(const struct conf_program *p, bool roff)
{
	for (size_t i = 0; i < ARRAY_SIZE(p->tables) && p->tables[i]; i++)
		dump_table(p->tables[i], roff);
	dump_table(&conf_start_table, roff);
}

/* ---- settings ------------------------------------------------------------------------------------------------------------------ */

static void print_section(const struct conf *c, const char *section, bool common)
{
	bool first = true;

	for (unsigned i = 0; i < c->entries_n; i++) {
		const struct conf_entry *e = &c->entries[i];

		if ((e->option->flags & CONF_ARG_ONLY) || (e->table->section && !strcmp(e->table->section, "common")) != common)
			continue;
		if (first)
			printf("[%s]\n", section);
		first = false;
		conf_value_print(stdout, e->option, conf_field(e));
	}
}

void conf_print(const struct conf *c)
{
	printf("# Settings in effect for %s.\n", c->program->name);
	print_section(c, "common", true);
	if (c->program->section)
		print_section(c, c->program->section, false);
}
