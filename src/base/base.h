/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What every file may use: attributes, small macros, asserts and magic-checked objects.
 *
 * Asserts state invariants of our own code and stay on in release builds: a daemon with a broken invariant stops and recovers
 * by its normal start-up path. They are never used for input, which gets an error.
 */
#ifndef WEFT_BASE_BASE_H
#define WEFT_BASE_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define must_check __attribute__((warn_unused_result))
#define printf_like(fmt_index, first_arg) __attribute__((format(printf, fmt_index, first_arg)))
#define maybe_unused __attribute__((unused))
#define noreturn_fn __attribute__((noreturn))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)
#define NSEC_PER_SEC 1000000000ull
#define NSEC_PER_MSEC 1000000ull

/* Both need a power of two. */
static inline uint64_t round_down_pow2(uint64_t v, uint64_t align) { return v & ~(align - 1); }
static inline uint64_t round_up_pow2(uint64_t v, uint64_t align) { return (v + align - 1) & ~(align - 1); }

noreturn_fn void weft_assert_failed(const char *file, int line, const char *func, const char *what);

#define weft_assert(cond)                                                                                                     \
	do {                                                                                                                  \
		if (unlikely(!(cond)))                                                                                        \
			weft_assert_failed(__FILE__, __LINE__, __func__, #cond);                                              \
	} while (0)

/*
 * Objects that travel through callbacks begin with `uint32_t magic`; OBJ_CHECK at the entry of each function that gets one
 * through a void pointer catches use after free and mixed-up arguments.
 */
#define OBJ_INIT(o, m) ((o)->magic = (m))
#define OBJ_CHECK(o, m) weft_assert((o) != NULL && (o)->magic == (m))
#define OBJ_FINI(o) ((o)->magic = 0)

/* Allocation for control structures: a process that cannot get a few bytes stops and recovers. Data buffers, and anything whose
 * size a peer chooses, use malloc and report -ENOMEM. */
void *xmalloc(size_t size) __attribute__((malloc, alloc_size(1), returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, alloc_size(1, 2), returns_nonnull));
void *xrealloc(void *p, size_t size) __attribute__((alloc_size(2), returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) printf_like(1, 2) __attribute__((returns_nonnull));

#define NEW(type) ((type *)xcalloc(1, sizeof(type)))

/* char *cleanup_free s = ...; freed when the scope is left. */
static inline void cleanup_free_fn(void *pp) { free(*(void **)pp); }
#define cleanup_free __attribute__((cleanup(cleanup_free_fn)))

/* Copies at most size - 1 bytes and terminates; returns false when src was cut. size > 0. */
bool str_copy(char *dst, size_t size, const char *src);

#endif
