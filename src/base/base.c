/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/base.h"

#include <stdarg.h>

#include "base/log.h"

void weft_assert_failed(const char *file, int line, const char *func, const char *what)
{
	log_msg(LOG_ERR, "base", "assertion failed at %s:%d in %s: %s", file, line, func, what);
	abort();
}

static noreturn_fn void out_of_memory(size_t size)
{
	log_msg(LOG_ERR, "base", "out of memory (%zu bytes)", size);
	abort();
}

void *xmalloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		out_of_memory(size);
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		out_of_memory(n * size);
	return p;
}

void *xrealloc(void *old, size_t size)
{
	void *p = realloc(old, size ? size : 1);

	if (!p)
		out_of_memory(size);
	return p;
}

char *xstrdup(const char *s)
{
	size_t len = strlen(s) + 1;

	return memcpy(xmalloc(len), s, len);
}

char *xasprintf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (r < 0)
		out_of_memory(0);
	return s;
}

bool str_copy(char *dst, size_t size, const char *src)
{
	size_t len = strlen(src);
	bool fits = len < size;

	weft_assert(size > 0);
	if (!fits)
		len = size - 1;
	memcpy(dst, src, len);
	dst[len] = '\0';
	return fits;
}
