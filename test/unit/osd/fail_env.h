/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* An environment over another whose k-th file operation fails. */
#ifndef TEST_OSD_FAIL_ENV_H
#define TEST_OSD_FAIL_ENV_H

#include "env/env.h"

/* inner stays the caller's. One at a time. */
struct env *fail_env_new(struct env *inner);
/* The k-th of the operations that change files (write, sync, allocate, create, truncate, mkdir, unlink, folder sync) from now on
 * fails with err; 0: none does. */
void fail_env_at(unsigned k, int err);
/* Whether it has. */
bool fail_env_fired(void);

#endif
