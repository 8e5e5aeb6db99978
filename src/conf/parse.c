/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Text to values and back. */
#include <ctype.h>
#include <inttypes.h>

#include "conf/conf_priv.h"

struct suffix {
	const char *text;
	uint64_t factor;
};

/* Largest first: formatting takes the first that divides. */
static const struct suffix size_suffixes[] = {
	{ "T", 1ull << 40 }, { "G", 1ull << 30 }, { "M", 1ull << 20 }, { "K", 1ull << 10 }, { NULL, 0 },
};
static const struct suffix duration_suffixes[] = {
	{ "h", 3600 * NSEC_PER_SEC }, { "m", 60 * NSEC_PER_SEC }, { "s", NSEC_PER_SEC },  { "ms", NSEC_PER_MSEC },
	{ "us", 1000 },		      { "ns", 1 },		  { NULL, 0 },
};

/* Decimal digits, then a suffix or nothing (then the factor is plain). */
static int parse_suffixed(const char *s, const struct suffix *suffixes, uint64_t plain, uint64_t *ret)
{
	uint64_t v, factor = 0;
	char *end;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno)
		return -ERANGE;
	if (!*end)
		factor = plain;
	for (; suffixes && suffixes->text && !factor; suffixes++)
		if (!strcasecmp(end, suffixes->text))
			factor = suffixes->factor;
	if (!factor)
		return -EINVAL;
	return __builtin_mul_overflow(v, factor, ret) ? -ERANGE : 0;
}

int conf_parse_size(const char *s, uint64_t *ret) { return parse_suffixed(s, size_suffixes, 1, ret); }
int conf_parse_duration(const char *s, uint64_t *ret_ns) { return parse_suffixed(s, duration_suffixes, NSEC_PER_SEC, ret_ns); }

static void format_suffixed(const struct suffix *suffixes, uint64_t v, char *buf, size_t size)
{
	for (; suffixes->text && v; suffixes++) {
		if (v % suffixes->factor == 0) {
			snprintf(buf, size, "%" PRIu64 "%s", v / suffixes->factor, suffixes->text);
			return;
		}
	}
	snprintf(buf, size, "%" PRIu64, v);
}

void conf_format_size(uint64_t bytes, char *buf, size_t size) { format_suffixed(size_suffixes, bytes, buf, size); }
void conf_format_duration(uint64_t ns, char *buf, size_t size) { format_suffixed(duration_suffixes, ns, buf, size); }

int conf_parse_bool(const char *s, bool *ret)
{
	static const char *const yes[] = { "yes", "true", "on", "1" }, *const no[] = { "no", "false", "off", "0" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (!strcasecmp(s, yes[i]))
			return *ret = true, 0;
		if (!strcasecmp(s, no[i]))
			return *ret = false, 0;
	}
	return -EINVAL;
}

/* ---- values of options ------------------------------------------------------------------------------------------------------ */

static char *choices_text(const struct conf_choice *c)
{
	struct buf b = { 0 };

	for (; c->name; c++)
		buf_printf(&b, "%s%s", b.len ? (c[1].name ? ", " : " or ") : "", c->name);
	buf_add(&b, "", 1);
	return (char *)b.p;
}

static void format_number(const struct conf_option *o, uint64_t v, char *buf, size_t size)
{
	if (o->type == CONF_SIZE)
		conf_format_size(v, buf, size);
	else if (o->type == CONF_DURATION)
		conf_format_duration(v, buf, size);
	else
		snprintf(buf, size, "%" PRIu64, v);
}

static char *set_number(const struct conf_option *o, void *field, const char *text)
{
	static const char *const shapes[] = { [CONF_U64] = "a number", [CONF_SIZE] = "a size such as 64K, 16M or 1G",
					      [CONF_DURATION] = "a duration such as 100ms, 10s or 5m" };
	char lo[32], hi[32];
	uint64_t v;
	int r;

	if (o->type == CONF_SIZE)
		r = conf_parse_size(text, &v);
	else if (o->type == CONF_DURATION)
		r = conf_parse_duration(text, &v);
	else
		r = parse_suffixed(text, NULL, 1, &v);
	if (r == -EINVAL)
		return xasprintf("'%s' is not %s", text, shapes[o->type]);
	if (r == -ERANGE || ((o->min || o->max) && (v < o->min || v > o->max))) {
		format_number(o, o->min, lo, sizeof(lo));
		format_number(o, o->max ? o->max : UINT64_MAX, hi, sizeof(hi));
		return xasprintf("%s is out of range: %s to %s", text, lo, hi);
	}
	*(uint64_t *)field = v;
	return NULL;
}

static char *set_enum(const struct conf_option *o, void *field, const char *text)
{
	cleanup_free char *all = NULL;

	for (const struct conf_choice *c = o->choices; c->name; c++) {
		if (!strcmp(c->name, text)) {
			*(int *)field = c->value;
			return NULL;
		}
	}
	all = choices_text(o->choices);
	return xasprintf("'%s' is not one of %s", text, all);
}

/* What inih would cut off or join to the next line must not get in by another way: --print-config reads back the same. */
static const char *bad_text(const char *text)
{
	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return "must not contain control characters";
		if (*p == ';' && p > text && p[-1] == ' ')
			return "must not contain a semicolon after a space: that starts a comment in configuration files";
	}
	if (*text == ' ' || *text == ';' || (*text && text[strlen(text) - 1] == ' '))
		return "must not start or end with a space, nor start with a semicolon";
	return NULL;
}

static char *set_string(const struct conf_option *o, void *field, const char *text)
{
	const char *bad = bad_text(text);
	char **s = field;

	if (bad)
		return xasprintf("'%s' %s", text, bad);
	if (o->type == CONF_PATH && !*text)
		return xstrdup("a path is wanted, not nothing");
	free(*s);
	*s = xstrdup(text);
	return NULL;
}

static char *list_add(const struct conf_option *o, struct conf_list *l, const char *text, size_t len)
{
	cleanup_free char *one = xmalloc(len + 1);
	const char *bad;

	memcpy(one, text, len);
	one[len] = '\0';
	bad = bad_text(one);
	if (bad || !len)
		return xasprintf("'%s' %s", one, bad ? bad : "has no name");
	if (o->max && l->n >= o->max)
		return xasprintf("more than %" PRIu64 " values", o->max);
	l->v = xrealloc(l->v, (l->n + 1) * sizeof(l->v[0]));
	l->v[l->n++] = one;
	one = NULL;
	return NULL;
}

static char *set_list(const struct conf_option *o, void *field, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, ","), skip = strspn(text, " \t"), cut = len;
		char *problem;

		while (cut > skip && (text[cut - 1] == ' ' || text[cut - 1] == '\t'))
			cut--;
		if (cut > skip) { /* "a, b," and "a,,b" are "a, b" */
			problem = list_add(o, field, text + skip, cut - skip);
			if (problem)
				return problem;
		}
		text += len;
		text += *text == ',';
	}
	return NULL;
}

char *conf_value_set(const struct conf_option *o, void *field, const char *text)
{
	switch (o->type) {
	case CONF_BOOL:
		if (conf_parse_bool(text, field) < 0)
			return xasprintf("'%s' is neither yes nor no", text);
		return NULL;
	case CONF_U64:
	case CONF_SIZE:
	case CONF_DURATION:
		return set_number(o, field, text);
	case CONF_ENUM:
		return set_enum(o, field, text);
	case CONF_LIST:
		return set_list(o, field, text);
	case CONF_STRING:
	case CONF_PATH:
		break;
	}
	return set_string(o, field, text);
}

void conf_value_clear(const struct conf_option *o, void *field)
{
	struct conf_list *l = field;

	switch (o->type) {
	case CONF_BOOL:
		*(bool *)field = false;
		break;
	case CONF_U64:
	case CONF_SIZE:
	case CONF_DURATION:
		*(uint64_t *)field = 0;
		break;
	case CONF_ENUM:
		*(int *)field = 0;
		break;
	case CONF_LIST:
		for (unsigned i = 0; i < l->n; i++)
			free(l->v[i]);
		free(l->v);
		*l = (struct conf_list){ 0 };
		break;
	case CONF_STRING:
	case CONF_PATH:
		free(*(char **)field);
		*(char **)field = NULL;
		break;
	}
}

static const char *choice_name(const struct conf_option *o, int value)
{
	for (const struct conf_choice *c = o->choices; c->name; c++)
		if (c->value == value)
			return c->name;
	return NULL;
}

void conf_value_print(FILE *f, const struct conf_option *o, const void *field)
{
	const struct conf_list *l = field;
	const char *s = NULL;
	char number[32];

	switch (o->type) {
	case CONF_BOOL:
		s = *(const bool *)field ? "yes" : "no";
		break;
	case CONF_U64:
	case CONF_SIZE:
	case CONF_DURATION:
		format_number(o, *(const uint64_t *)field, number, sizeof(number));
		s = number;
		break;
	case CONF_ENUM:
		s = choice_name(o, *(const int *)field);
		break;
	case CONF_LIST:
		for (unsigned i = 0; i < l->n; i++)
			fprintf(f, "%s = %s\n", o->name, l->v[i]);
		if (!l->n)
			fprintf(f, "# %s =\n", o->name);
		return;
	case CONF_STRING:
	case CONF_PATH:
		s = *(char *const *)field;
		break;
	}
	if (s)
		fprintf(f, "%s = %s\n", o->name, s);
	else
		fprintf(f, "# %s =\n", o->name);
}
