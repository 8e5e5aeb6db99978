/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "fail.h"

#include <stdarg.h>
#include <stdatomic.h>

#include "base/base.h"

static enum fail_kind failing;
static atomic_uint countdown;
static atomic_bool fired;
static _Thread_local unsigned must; /* inside of an allocation that must not fail */

void fail_at(enum fail_kind kind, unsigned k)
{
	failing = kind;
	if (k)
		fired = false;
	countdown = k;
}

bool fail_fired(void) { return fired; }

bool fail_hit(enum fail_kind kind)
{
	if (kind != failing || !countdown || atomic_fetch_sub(&countdown, 1) != 1)
		return false;
	fired = true;
	return true;
}

/* ---- what the linker puts in front of the functions ------------------------------------------------------------------------ */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
int __real_posix_memalign(void **p, size_t align, size_t size);
void *__real_xmalloc(size_t size);
void *__real_xcalloc(size_t n, size_t size);
void *__real_xrealloc(void *p, size_t size);
char *__real_xstrdup(const char *s);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
int __wrap_posix_memalign(void **p, size_t align, size_t size);
void *__wrap_xmalloc(size_t size);
void *__wrap_xcalloc(size_t n, size_t size);
void *__wrap_xrealloc(void *p, size_t size);
char *__wrap_xstrdup(const char *s);
char *__wrap_xasprintf(const char *fmt, ...) printf_like(1, 2);

static bool no_memory(void)
{
	if (must || !fail_hit(FAIL_ALLOC))
		return false;
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t size) { return no_memory() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t n, size_t size) { return no_memory() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t size) { return no_memory() ? NULL : __real_realloc(p, size); }

int __wrap_posix_memalign(void **p, size_t align, size_t size)
{
	return no_memory() ? ENOMEM : __real_posix_memalign(p, align, size);
}

void *__wrap_xmalloc(size_t size)
{
	void *p;

	must++;
	p = __real_xmalloc(size);
	must--;
	return p;
}

void *__wrap_xcalloc(size_t n, size_t size)
{
	void *p;

	must++;
	p = __real_xcalloc(n, size);
	must--;
	return p;
}

void *__wrap_xrealloc(void *old, size_t size)
{
	void *p;

	must++;
	p = __real_xrealloc(old, size);
	must--;
	return p;
}

char *__wrap_xstrdup(const char *s)
{
	char *p;

	must++;
	p = __real_xstrdup(s);
	must--;
	return p;
}

char *__wrap_xasprintf(const char *fmt, ...)
{
	char *p = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&p, fmt, ap) < 0)
		abort();
	va_end(ap);
	return p;
}
