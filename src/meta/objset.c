/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "meta/objset.h"

#include "base/log.h"
#include "meta/meta_priv.h"

#define RETRY_MIN_MS 100u
#define RETRY_MAX_MS 2000u

static void all_done(void *arg)
{
	struct objset *s = arg;

	s->posted = false;
	s->mt->posted--;
	s->fn(s->arg);
}

static void send_all(void *arg);

void objset_init(struct objset *s, struct meta_target *mt, void (*fn)(void *arg), void *arg)
{
	*s = (struct objset){ .mt = mt, .fn = fn, .arg = arg };
	s->timer.fn = send_all;
	s->timer.arg = s;
	s->task = (struct env_task){ .fn = all_done, .arg = s };
}

void objset_add(struct objset *s, uint16_t op, uint32_t target, struct wp_objid obj, uint64_t size)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 4;
		s->calls = xrealloc(s->calls, s->cap * sizeof(*s->calls));
	}
	memset(&s->calls[s->n], 0, sizeof(s->calls[s->n]));
	s->calls[s->n].op = op;
	s->calls[s->n].target = target;
	s->calls[s->n].obj = obj;
	s->calls[s->n].size = size;
	s->n++;
	s->open++;
}

static void finish(struct objset *s)
{
	if (s->posted)
		return;
	s->posted = true;
	s->mt->posted++;
	env_post(s->mt->env, &s->task);
}

static void retry_later(struct objset *s)
{
	uint64_t ms = MIN(RETRY_MIN_MS << MIN(s->failures, 10u), RETRY_MAX_MS);

	if (s->mt->state != META_RUNNING || env_timer_armed(&s->timer))
		return;
	s->failures++;
	env_timer_in(s->mt->env, &s->timer, ms * NSEC_PER_MSEC);
}

static int decode(struct objcall *c, const struct rpc_call *call)
{
	struct wp_obj_truncate_rep trunc;
	struct wp_obj_stat_rep stat;
	int err;

	switch (c->op) {
	case WP_OP_OBJ_TRUNCATE:
		err = wp_obj_truncate_rep_decode(call->reply, call->reply_len, NULL, 0, &trunc);
		c->stat = trunc.stat;
		return err;
	case WP_OP_OBJ_STAT:
		err = wp_obj_stat_rep_decode(call->reply, call->reply_len, NULL, 0, &stat);
		c->stat = stat.stat;
		return err;
	default:
		return 0;
	}
}

/* Calls of a set that is gone. */
struct objset_rest {
	unsigned busy;
	struct objcall *calls;
};

static void rest_put(struct objset_rest *r)
{
	if (--r->busy)
		return;
	free(r->calls);
	free(r);
}

static void answered(struct rpc_call *call)
{
	struct objcall *c = call->arg;
	struct objset *s = c->set;
	int err = call->err;

	if (!s) {
		rest_put(c->rest);
		return;
	}
	c->busy = false;
	if (!err) {
		err = decode(c, call);
	} else if (err == -ENOENT && c->op != WP_OP_OBJ_TRUNCATE) {
		memset(&c->stat, 0, sizeof(c->stat)); /* an object that never came into being */
		err = 0;
	}
	if (err) {
		log_debug("meta", "storage target %u: %s: %d, trying again", c->target, wp_op_name(c->op), err);
		retry_later(s);
		return;
	}
	c->done = true;
	if (!--s->open)
		finish(s);
}

static void encode(struct objcall *c)
{
	struct wp_cap none = { .fid = c->obj.fid };
	struct wp_enc *e = rpc_call_enc(&c->call, 256);

	if (c->op == WP_OP_OBJ_TRUNCATE)
		wp_obj_truncate_req_enc(e, &(struct wp_obj_truncate_req){ .cap = none, .obj = c->obj, .size = c->size });
	else if (c->op == WP_OP_OBJ_STAT)
		wp_obj_stat_req_enc(e, &(struct wp_obj_stat_req){ .cap = none, .obj = c->obj });
	else
		wp_obj_destroy_req_enc(e, &(struct wp_obj_destroy_req){ .cap = none, .obj = c->obj });
}

static void send_all(void *arg)
{
	struct objset *s = arg;
	struct meta_target *mt = s->mt;

	for (uint32_t i = 0; i < s->n; i++) {
		struct objcall *c = &s->calls[i];
		struct rpc_peer *peer;

		if (c->done || c->busy)
			continue;
		peer = mt->params.storage_peer ? mt->params.storage_peer(mt->params.arg, c->target) : NULL;
		if (!peer) {
			retry_later(s);
			continue;
		}
		c->set = s;
		c->busy = true;
		rpc_call_init(&c->call, c->op, answered, c);
		encode(c);
		rpc_call(peer, &c->call);
	}
}

void objset_start(struct objset *s)
{
	if (s->open)
		send_all(s);
	else
		finish(s);
}

void objset_done(struct objset *s)
{
	struct objset_rest *r = NEW(struct objset_rest);
	uint32_t n = s->n;

	env_timer_cancel(s->mt->env, &s->timer);
	*r = (struct objset_rest){ .busy = 1, .calls = s->calls };
	s->calls = NULL;
	s->n = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct objcall *c = &r->calls[i];

		c->set = NULL;
		c->rest = r;
		if (!c->busy)
			continue;
		r->busy++;
		rpc_call_cancel(&c->call);
	}
	rest_put(r);
}
