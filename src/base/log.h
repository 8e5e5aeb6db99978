/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Logging to standard error: "<N>" priority prefix when the journal reads it, time and level otherwise. Libraries log at
 * LOG_DEBUG only; programs log the rest, once. Thread-safe; a line is one write(2).
 */
#ifndef WEFT_BASE_LOG_H
#define WEFT_BASE_LOG_H

#include "base/base.h"

enum log_level { LOG_ERR = 3, LOG_WARN = 4, LOG_NOTICE = 5, LOG_INFO = 6, LOG_DEBUG = 7 };

/* Messages above the level are dropped. name (a daemon and its number) precedes each message; it is copied. */
void log_setup(const char *name, enum log_level level);
enum log_level log_level(void);
/* "err", "warn", "notice", "info" or "debug" -> level; -EINVAL. */
int log_level_parse(const char *s) must_check;
/* component: the folder that speaks, "meta", "rpc". */
void log_msg(enum log_level level, const char *component, const char *fmt, ...) printf_like(3, 4);

#define log_err(comp, ...) log_msg(LOG_ERR, comp, __VA_ARGS__)
#define log_warn(comp, ...) log_msg(LOG_WARN, comp, __VA_ARGS__)
#define log_notice(comp, ...) log_msg(LOG_NOTICE, comp, __VA_ARGS__)
#define log_info(comp, ...) log_msg(LOG_INFO, comp, __VA_ARGS__)
#define log_debug(comp, ...)                                                                                                  \
	do {                                                                                                                  \
		if (unlikely(log_level() >= LOG_DEBUG))                                                                       \
			log_msg(LOG_DEBUG, comp, __VA_ARGS__);                                                                \
	} while (0)

#endif
