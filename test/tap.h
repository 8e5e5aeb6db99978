/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Test Anything Protocol, the little that a C test needs: ok() per check, `return done_testing();`
 * at the end of main(). Exit codes: 0 all passed, 1 a check failed, 77 skipped.
 *
 * A check in a long loop should only speak when it fails: ok_quiet().
 */
#ifndef WEFT_TEST_TAP_H
#define WEFT_TEST_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* weak: one of each for all files of a program */
__attribute__((weak)) unsigned int tap_count;
__attribute__((weak)) unsigned int tap_failed;

__attribute__((format(printf, 4, 5), unused)) static bool
tap_check(bool passed, const char *file, int line, const char *fmt, ...)
{
	va_list args;

	tap_count++;
	printf("%sok %u - ", passed ? "" : "not ", tap_count);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	if (!passed) {
		tap_failed++;
		printf("# failed at %s:%d\n", file, line);
	}
	fflush(stdout);
	return passed;
}

#define ok(cond, ...) tap_check(!!(cond), __FILE__, __LINE__, __VA_ARGS__)
#define is_int(got, want, what) \
	tap_check_int((long long)(got), (long long)(want), __FILE__, __LINE__, (what))
#define ok_quiet(cond, ...) ((cond) ? true : ok(false, __VA_ARGS__))

__attribute__((unused)) static bool
tap_check_int(long long got, long long want, const char *file, int line, const char *what)
{
	bool passed = tap_check(got == want, file, line, "%s", what);

	if (!passed)
		printf("# got %lld, want %lld\n", got, want);
	return passed;
}

__attribute__((noreturn, unused)) static void skip_all(const char *reason)
{
	printf("1..0 # SKIP %s\n", reason);
	exit(77);
}

__attribute__((noreturn, unused)) static void bail_out(const char *reason)
{
	printf("Bail out! %s\n", reason);
	exit(1);
}

__attribute__((unused)) static int done_testing(void)
{
	printf("1..%u\n", tap_count);
	return tap_failed ? 1 : 0;
}

#endif
