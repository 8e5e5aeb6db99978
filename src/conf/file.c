/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The configuration file, through inih. inih tells its handler no line numbers (as Debian builds it) and cuts lines at 200 bytes:
 * the reader function counts lines and keeps the whole line, from which the handler takes the value of a long one.
 */
#include <ini.h>

#include "conf/conf_priv.h"

#define LINE_LEN_MAX 65536u

static const char *const sections[] = { "common", "mgmtd", "meta", "storage", "mount" };

struct reader {
	struct conf *conf;
	FILE *f;
	char *line;
	size_t line_cap;
	int number;
	bool cut;          /* inih got only the beginning of the line */
	char section[32];  /* the one spoken of last, to complain once */
};

static char *read_line(char *s, int num, void *stream)
{
	struct reader *r = stream;
	ssize_t n = getline(&r->line, &r->line_cap, r->f);
	size_t keep;

	if (n < 0)
		return NULL;
	r->number++;
	while (n > 0 && (r->line[n - 1] == '\n' || r->line[n - 1] == '\r'))
		r->line[--n] = '\0';
	if (memchr(r->line, '\0', (size_t)n) || n > (ssize_t)LINE_LEN_MAX) {
		conf_problem(r->conf, r->number, "not a line of text");
		r->line[n = 0] = '\0';
	}
	r->cut = n > num - 1;
	keep = r->cut ? (size_t)num - 1 : (size_t)n;
	memcpy(s, r->line, keep);
	s[keep] = '\0';
	return s;
}

/* The value of a line that inih saw only the beginning of: behind the first '=' or ':', without blanks and comment. */
static const char *whole_value(struct reader *r)
{
	bool continued = *r->line == ' ' || *r->line == '\t'; /* the line is all value */
	char *v = continued ? r->line : r->line + strcspn(r->line, "=:"), *end;

	if (*v && !continued)
		v++;
	v += strspn(v, " \t");
	end = strstr(v, " ;");
	if (!end)
		end = v + strlen(v);
	while (end > v && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*end = '\0';
	return v;
}

/* 1: options of this section concern this program, 0: they do not, -1: no such section. */
static int section_kind(struct reader *r, const char *section)
{
	const char *own = r->conf->program->section;

	if (!strcmp(section, "common") || (own && !strcmp(section, own)))
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		if (!strcmp(section, sections[i]))
			return 0;
	if (strcmp(r->section, section)) {
		(void)str_copy(r->section, sizeof(r->section), section);
		if (*section)
			conf_problem(r->conf, r->number, "there is no section [%s]: sections are common, mgmtd, meta, storage, mount",
				     section);
		else
			conf_problem(r->conf, r->number, "options must follow a section line such as [common]");
	}
	return -1;
}

static int handle(void *user, const char *section, const char *name, const char *value)
{
	struct reader *r = user;
	enum conf_source source = strcmp(section, "common") ? CONF_SECTION : CONF_COMMON;
	struct conf_entry *e;

	if (section_kind(r, section) <= 0)
		return 1;
	e = conf_find(r->conf, name);
	if (e && (e->option->flags & CONF_ARG_ONLY)) {
		conf_problem(r->conf, r->number, "%s can only be given on the command line", name);
		return 1;
	}
	if (e && source == CONF_COMMON && (!e->table->section || strcmp(e->table->section, "common"))) {
		conf_problem(r->conf, r->number, "%s belongs into section [%s]", name, r->conf->program->section);
		return 1;
	}
	if (!e) {
		conf_problem(r->conf, r->number, "there is no option '%s' in section [%s]: see %s --help", name, section,
			     r->conf->program->name);
		return 1;
	}
	if (e->option->type != CONF_LIST && e->source == source && e->line) {
		conf_problem(r->conf, r->number, "%s was set already in line %d", name, e->line);
		return 1;
	}
	conf_give(r->conf, e, source, r->number, r->cut ? whole_value(r) : value);
	return 1;
}

int conf_file_read(struct conf *c)
{
	struct reader r = { .conf = c, .section = "?" };
	int line;

	r.f = fopen(c->file, "re");
	if (!r.f) {
		int err = errno;

		fprintf(stderr, "%s: cannot read the configuration file %s: %s\n", c->program->name, c->file, strerror(err));
		c->problems++;
		return -err;
	}
	line = ini_parse_stream(read_line, &r, handle, &r);
	if (line > 0)
		conf_problem(c, line, "neither a [section] nor 'name = value'");
	if (ferror(r.f))
		conf_problem(c, r.number, "read error");
	free(r.line);
	fclose(r.f);
	return 0;
}
