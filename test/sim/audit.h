/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Coherence of what clients, and their kernels, keep. */
#ifndef WEFT_TEST_SIM_AUDIT_H
#define WEFT_TEST_SIM_AUDIT_H

#include "sim.h"

/* Random names and inodes, on all clients; everything that kernels keep. */
void audit_step(struct sim *s);
/* An answer has come: before the model changes. */
void audit_answer(struct worker *w);
/* After that: what w holds is known for sure, by everybody. */
void audit_acknowledged(struct worker *w, int err, const struct client_res *res);
/* Attributes were told to somebody: nobody may see older ones from now on. */
void audit_seen(struct sim *s, struct mnode *n, const struct wp_attr *a);
/* client_invalidate_fn. */
void audit_invalidate(struct sim *s, unsigned client, const struct wp_fid *fid, uint32_t bits);
void audit_client_died(struct sim *s, unsigned client);
void audit_done(struct sim *s);

#endif
