/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The command line: --name value, --name=value, --flag, --no-flag, -x value, -o name=value[,name=value...], arguments. */
#include "conf/conf_priv.h"

static const struct conf_option *by_letter(const struct conf *c, char letter, struct conf_entry **ret)
{
	for (unsigned i = 0; i < c->entries_n; i++) {
		if (c->entries[i].option->letter == letter) {
			*ret = &c->entries[i];
			return c->entries[i].option;
		}
	}
	return NULL;
}

/* The option of text[0..len), or of a boolean with "no-" before its name. */
static struct conf_entry *by_name(const struct conf *c, const char *text, size_t len, bool *negated)
{
	cleanup_free char *name = xmalloc(len + 1);
	struct conf_entry *e;

	memcpy(name, text, len);
	name[len] = '\0';
	*negated = false;
	e = conf_find(c, name);
	if (!e && !strncmp(name, "no-", 3)) {
		e = conf_find(c, name + 3);
		if (e && e->option->type != CONF_BOOL)
			e = NULL;
		*negated = e != NULL;
	}
	return e;
}

/* One part of -o: returns false when no table knows it. last is the list option before it, which takes parts without a name. */
static bool mount_option(struct conf *c, const char *part, struct conf_entry **last)
{
	size_t len = strcspn(part, "=");
	struct conf_entry *e;
	bool negated;

	e = by_name(c, part, len, &negated);
	if (!e && !part[len] && *last) {
		conf_give(c, *last, CONF_COMMAND_LINE, 0, part);
		return true;
	}
	*last = NULL;
	if (!e)
		return false;
	if (part[len] && negated)
		conf_problem(c, 0, "-o %s: no value is possible with no-", part);
	else if (part[len])
		conf_give(c, e, CONF_COMMAND_LINE, 0, part + len + 1);
	else if (e->option->type == CONF_BOOL)
		conf_give(c, e, CONF_COMMAND_LINE, 0, negated ? "no" : "yes");
	else
		conf_problem(c, 0, "-o %s: a value is missing: -o %s=%s", part, part, e->option->arg);
	if (e->option->type == CONF_LIST)
		*last = e;
	return true;
}

static void unknown_mount_option(struct conf *c, const char *part)
{
	const char *why = c->program->refusal ? c->program->refusal(part) : NULL;

	if (why)
		conf_problem(c, 0, "-o %s: %s", part, why);
	else
		conf_problem(c, 0, "-o %s: there is no such option: see %s --help", part, c->program->name);
}

static void mount_options(struct conf *c, const char *text)
{
	cleanup_free char *copy = xstrdup(text);
	struct conf_entry *last = NULL;
	char *save = NULL;

	for (char *part = strtok_r(copy, ",", &save); part; part = strtok_r(NULL, ",", &save))
		if (!mount_option(c, part, &last) && !(c->program->foreign && c->program->foreign(c->program->arg, part)))
			unknown_mount_option(c, part);
}

/* Returns how many words were used. */
static int long_option(struct conf *c, int left, char **argv)
{
	const char *text = argv[0] + 2;
	size_t len = strcspn(text, "=");
	struct conf_entry *e;
	bool negated;

	e = by_name(c, text, len, &negated);
	if (!e) {
		conf_problem(c, 0, "there is no option --%.*s: see %s --help", (int)len, text, c->program->name);
		return 1;
	}
	if (text[len] == '=' && negated)
		conf_problem(c, 0, "--%s: no value is possible with no-", text);
	else if (text[len] == '=')
		conf_give(c, e, CONF_COMMAND_LINE, 0, text + len + 1);
	else if (e->option->type == CONF_BOOL)
		conf_give(c, e, CONF_COMMAND_LINE, 0, negated ? "no" : "yes");
	else if (left < 2)
		conf_problem(c, 0, "--%s: a value is missing: %s", text, e->option->arg);
	else
		return conf_give(c, e, CONF_COMMAND_LINE, 0, argv[1]), 2;
	return 1;
}

/* -x value, -xvalue, and flags one by one. */
static int short_option(struct conf *c, int left, char **argv)
{
	const char *text = argv[0] + 1;
	struct conf_entry *e;
	bool is_mount = *text == 'o';

	if (!is_mount && !by_letter(c, *text, &e)) {
		conf_problem(c, 0, "there is no option -%c: see %s --help", *text, c->program->name);
		return 1;
	}
	if (!is_mount && e->option->type == CONF_BOOL && !text[1]) {
		conf_give(c, e, CONF_COMMAND_LINE, 0, "yes");
		return 1;
	}
	if (!text[1] && left < 2) {
		conf_problem(c, 0, "-%c: a value is missing", *text);
		return 1;
	}
	if (is_mount)
		mount_options(c, text[1] ? text + 1 : argv[1]);
	else
		conf_give(c, e, CONF_COMMAND_LINE, 0, text[1] ? text + 1 : argv[1]);
	return text[1] ? 1 : 2;
}

static void argument(struct conf *c, char *text)
{
	if (!c->program->args)
		conf_problem(c, 0, "'%s': %s takes no arguments", text, c->program->name);
	else if (c->args_n == c->program->args_max)
		conf_problem(c, 0, "'%s': too many arguments", text);
	else
		c->args[c->args_n++] = text;
}

void conf_args_read(struct conf *c, int argc, char **argv)
{
	bool only_args = false;

	c->args = xcalloc((size_t)argc + 1, sizeof(c->args[0]));
	for (int i = 1; i < argc;) {
		const char *a = argv[i];

		if (!only_args && !strcmp(a, "--")) {
			only_args = true;
			i++;
		} else if (!only_args && a[0] == '-' && a[1] == '-') {
			i += long_option(c, argc - i, argv + i);
		} else if (!only_args && a[0] == '-' && a[1]) {
			i += short_option(c, argc - i, argv + i);
		} else {
			argument(c, argv[i++]);
		}
	}
	if (c->args_n < c->program->args_min)
		conf_problem(c, 0, "missing: %s", c->program->args);
}
