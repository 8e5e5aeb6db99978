/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "fail_net.h"

#include "fail.h"

/* Connections know no environment: one at a time. */
static struct fail_net *current;

static struct env *in(struct env *e) { return container_of(e, struct fail_net, env)->inner; }

static uint64_t mono(struct env *e) { return env_mono_ns(in(e)); }
static uint64_t wall(struct env *e) { return env_wall_ns(in(e)); }
static void rnd(struct env *e, void *p, size_t len) { env_random(in(e), p, len); }
static void arm(struct env *e, struct env_timer *t, uint64_t at) { env_timer_arm(in(e), t, at); }
static void cancel(struct env *e, struct env_timer *t) { env_timer_cancel(in(e), t); }
static void post(struct env *e, struct env_task *t) { env_post(in(e), t); }
static void work(struct env *e, struct env_work *w) { env_work(in(e), w); }

static int connect_to(struct env *e, const char *addr, const struct env_conn_handler *h, void *arg, struct env_conn **ret)
{
	return in(e)->ops->connect(in(e), fail_hit(FAIL_NET) ? "sim:nobody:1" : addr, h, arg, ret);
}

static void conn_start(struct env *e, struct env_conn *c, const struct env_conn_handler *h, void *arg)
{
	in(e)->ops->conn_start(in(e), c, h, arg);
}

static void conn_send(struct env_conn *c, struct env_send *s)
{
	current->inner->ops->conn_send(c, s);
	if (fail_hit(FAIL_NET))
		(void)sim_break(current->w, current->self, current->peer);
}

void fail_net_init(struct fail_net *f, struct sim_world *w, struct env *inner, struct sim_host *peer)
{
	*f = (struct fail_net){ .inner = inner, .w = w, .self = sim_process_host(inner), .peer = peer };
	f->ops = (struct env_ops){
		.name = "fail",
		.mono_ns = mono,
		.wall_ns = wall,
		.random = rnd,
		.timer_arm = arm,
		.timer_cancel = cancel,
		.post = post,
		.work = work,
		.connect = connect_to,
		.conn_start = conn_start,
		.conn_send = conn_send,
		.conn_detach = inner->ops->conn_detach,
		.conn_resume = inner->ops->conn_resume,
		.conn_queued = inner->ops->conn_queued,
		.conn_peer = inner->ops->conn_peer,
		.conn_close = inner->ops->conn_close,
	};
	f->env.ops = &f->ops;
	current = f;
}
