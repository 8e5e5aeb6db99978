/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the checks of POSIX and Linux behaviour share. Each program takes a directory, works in a fresh folder below it (its working
 * directory), speaks when a check fails and once per section, and exits with 0, 1 or 77.
 */
#ifndef WEFT_TEST_POSIX_H
#define WEFT_TEST_POSIX_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "test/tap.h"

/* Users and groups that need not exist. */
#define ALICE 65531u
#define BOB 65532u
#define CAROL 65533u
#define TEAM 65520u  /* a group */
#define GUILD 65521u /* another */

#define NAME255                                                                                                                \
	"0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefgh"                           \
	"ijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz"                           \
	"0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz012"
#define NAME256 NAME255 "3"

/* The call must not return -1. Gives its value. */
#define good(call) px_good((long long)(call), #call, __FILE__, __LINE__)
/* The call must return -1 with that errno. */
#define bad(code, call) px_bad((errno = 0, (long long)(call)), (code), #code, #call, __FILE__, __LINE__)
/* A condition, quiet when it holds. */
#define must(cond) px_must(!!(cond), #cond, __FILE__, __LINE__)
#define same(got, want) px_same((long long)(got), (long long)(want), #got, #want, __FILE__, __LINE__)

long long px_good(long long value, const char *text, const char *file, int line);
void px_bad(long long value, int code, const char *name, const char *text, const char *file, int line);
bool px_must(bool cond, const char *text, const char *file, int line);
bool px_same(long long got, long long want, const char *a, const char *b, const char *file, int line);

/* tap.h counts per source file; here the count is one, in posix.c. */
#undef ok
#define ok(cond, ...) px_check(!!(cond), __FILE__, __LINE__, __VA_ARGS__)
bool px_check(bool passed, const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Sums up: the exit status. px_end() includes it. */
int px_done(void);

/* Enters a fresh folder below argv[1]; exits when there is none. */
void px_start(int argc, char **argv, const char *name);
/* Removes the folder again and sums up: the exit status. */
int px_end(void);
/* Ends a section: one line saying whether every check since the last one passed. */
void section(const char *name);

/* Removes a folder with everything below it; not there is fine. */
void px_clear(const char *path);
/* A regular file with that content (NULL: empty), replacing what is there. */
void put(const char *path, const char *text, mode_t mode);
/* True if the file holds exactly that. */
bool holds(const char *path, const char *text);
/* lstat, failing the test when it fails. */
struct stat st_of(const char *path);
mode_t mode_of(const char *path); /* permission bits with set-id and sticky */

/* Effective user, group and supplementary groups of this process become these until px_root(). */
void px_user(uid_t uid, gid_t gid, size_t n, const gid_t *groups);
void px_root(void);
#define AS(uid, gid) for (int as_ = (px_user((uid), (gid), 0, NULL), 1); as_; as_ = (px_root(), 0))
#define AS_GROUPS(uid, gid, ...)                                                                                               \
	for (int as_ = (px_user((uid), (gid), sizeof((gid_t[]){ __VA_ARGS__ }) / sizeof(gid_t), (gid_t[]){ __VA_ARGS__ }), 1); \
	     as_; as_ = (px_root(), 0))

/* Runs fn in a child process and waits for it; its failed checks count here. */
void px_child(void (*fn)(void *), void *arg);
/* The same without waiting: give the result to px_wait. */
pid_t px_spawn(void (*fn)(void *), void *arg);
void px_wait(pid_t pid);

void px_sleep_ms(unsigned ms);
/* Pseudo-random bytes that depend on the seed only. */
void px_fill(void *buf, size_t len, unsigned seed);
/* Later than any time stamp that the file system gave so far. */
void px_tick(void);
/* True when errno says that a file system need not have this. */
bool px_unsupported(void);

#endif
