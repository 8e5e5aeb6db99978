/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/log.h"

#include <stdarg.h>
#include <time.h>
#include <unistd.h>

static enum log_level current_level = LOG_NOTICE;
static char log_name[64] = "weft";
static bool to_journal;

void log_setup(const char *name, enum log_level level)
{
	(void)str_copy(log_name, sizeof(log_name), name);
	current_level = level;
	to_journal = getenv("JOURNAL_STREAM") != NULL;
}

enum log_level log_level(void) { return current_level; }

static const struct {
	const char *name;
	enum log_level level;
} levels[] = {
	{ "err", LOG_ERR }, { "warn", LOG_WARN }, { "notice", LOG_NOTICE }, { "info", LOG_INFO }, { "debug", LOG_DEBUG },
};

int log_level_parse(const char *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		if (!strcmp(s, levels[i].name))
			return (int)levels[i].level;
	return -EINVAL;
}

static const char *level_name(enum log_level level)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		if (levels[i].level == level)
			return levels[i].name;
	return "?";
}

static size_t prefix(char *line, size_t size, enum log_level level, const char *component)
{
	struct timespec now;
	struct tm tm;
	int n;

	if (to_journal) {
		n = snprintf(line, size, "<%d>%s: %s: ", (int)level, log_name, component);
	} else {
		clock_gettime(CLOCK_REALTIME, &now);
		gmtime_r(&now.tv_sec, &tm);
		n = snprintf(line, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %-6s %s: %s: ", tm.tm_year + 1900, tm.tm_mon + 1,
			     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000, level_name(level), log_name,
			     component);
	}
	return n < 0 ? 0 : (size_t)n;
}

void log_msg(enum log_level level, const char *component, const char *fmt, ...)
{
	char line[2048];
	size_t len;
	va_list ap;
	int n, saved = errno;

	if (level > current_level)
		return;
	len = prefix(line, sizeof(line) - 1, level, component);
	va_start(ap, fmt);
	n = vsnprintf(line + len, sizeof(line) - 1 - len, fmt, ap);
	va_end(ap);
	if (n > 0)
		len = MIN(len + (size_t)n, sizeof(line) - 2);
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0)
		(void)0; /* nowhere left to say it */
	errno = saved;
}
