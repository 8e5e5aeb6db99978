/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A set of calls about the objects of one file, repeated until each has succeeded. */
#ifndef WEFT_META_OBJSET_H
#define WEFT_META_OBJSET_H

#include "env/env.h"
#include "rpc/rpc.h"
#include "weft_proto.h"

struct meta_target;

struct objcall {
	uint16_t op; /* WP_OP_OBJ_STAT, _TRUNCATE, _DESTROY */
	uint32_t target;
	struct wp_objid obj;
	uint64_t size; /* truncate */
	/* results */
	bool done;
	struct wp_objstat stat;
	/* private */
	bool busy;
	struct objset *set;     /* NULL: given up */
	struct objset_rest *rest;
	struct rpc_call call;
};

/* Caller-owned; must stay until fn is called, or the rpc node is gone. */
struct objset {
	struct meta_target *mt;
	struct objcall *calls;
	uint32_t n, cap, open; /* open: not done yet */
	void (*fn)(void *arg); /* all have succeeded; not called from inside objset_start */
	void *arg;
	struct env_timer timer;
	struct env_task task;
	uint32_t failures;
	bool posted;
};

void objset_init(struct objset *s, struct meta_target *mt, void (*fn)(void *arg), void *arg);
void objset_add(struct objset *s, uint16_t op, uint32_t target, struct wp_objid obj, uint64_t size);
void objset_start(struct objset *s);
/* Takes the calls back that have not been answered; fn is not called. Their memory stays until they have ended. */
void objset_done(struct objset *s);

#endif
