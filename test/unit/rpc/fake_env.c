/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "fake_env.h"

struct env_listener {
	struct list node;
	char addr[160];
	void (*accepted)(void *arg, struct env_conn *c);
	void *arg;
};

struct env_conn {
	struct list node;
	struct fake *f;
	struct env_conn *peer;
	struct env_conn_handler h;
	void *arg;
	struct list sends, lazy;
	struct buf in;
	size_t in_pos, queued;
	bool client, connecting, started, paused, eof, gone;
	int err;
	char addr[160];
};

static struct fake *fake_of(struct env *env) { return container_of(env, struct fake, env); }

static uint64_t mono_ns(struct env *env) { return fake_of(env)->now; }

static void random_bytes(struct env *env, void *p, size_t len)
{
	struct fake *f = fake_of(env);
	uint8_t *b = p;

	while (len--) {
		f->seed = f->seed * 6364136223846793005ull + 1442695040888963407ull;
		*b++ = (uint8_t)(f->seed >> 56);
	}
}

/* ---- timers: a list is enough; heap_index says armed, the list hangs on the side ----------------------------------------- */

struct armed {
	struct list node;
	struct env_timer *t;
};

static void timer_cancel(struct env *env, struct env_timer *t)
{
	struct armed *a, *tmp;

	if (!t->heap_index)
		return;
	t->heap_index = 0;
	list_each_safe(a, tmp, &fake_of(env)->timers, node) {
		if (a->t == t) {
			list_del(&a->node);
			free(a);
		}
	}
}

static void timer_arm(struct env *env, struct env_timer *t, uint64_t deadline_ns)
{
	struct armed *a;

	timer_cancel(env, t);
	a = NEW(struct armed);
	a->t = t;
	t->heap_index = 1;
	t->deadline_ns = deadline_ns;
	list_append(&fake_of(env)->timers, &a->node);
}

static bool run_timer(struct fake *f)
{
	struct armed *a, *best = NULL;
	struct env_timer *t;

	list_each(a, &f->timers, node)
		if (!best || a->t->deadline_ns < best->t->deadline_ns)
			best = a;
	if (!best || (f->until && best->t->deadline_ns > f->until))
		return false;
	t = best->t;
	f->now = MAX(f->now, t->deadline_ns);
	timer_cancel(&f->env, t);
	t->fn(t->arg);
	return true;
}

static void post(struct env *env, struct env_task *t)
{
	struct fake *f = fake_of(env);

	t->next = NULL;
	*f->tasks_end = t;
	f->tasks_end = &t->next;
}

static bool run_tasks(struct fake *f)
{
	struct env_task *t = f->tasks, *next;
	bool any = t != NULL;

	f->tasks = NULL;
	f->tasks_end = &f->tasks;
	for (; t; t = next) {
		next = t->next;
		t->fn(t->arg);
	}
	return any;
}

/* ---- network ------------------------------------------------------------------------------------------------------------- */

static int net_listen(struct env *env, const char *addr, void (*accepted)(void *arg, struct env_conn *c), void *arg,
		      struct env_listener **ret)
{
	struct env_listener *l = NEW(struct env_listener);

	(void)str_copy(l->addr, sizeof(l->addr), addr);
	l->accepted = accepted;
	l->arg = arg;
	list_append(&fake_of(env)->listeners, &l->node);
	*ret = l;
	return 0;
}

static const char *listener_addr(struct env_listener *l) { return l->addr; }

static void listener_close(struct env_listener *l)
{
	list_del(&l->node);
	free(l);
}

static struct env_conn *conn_make(struct fake *f, const char *addr)
{
	struct env_conn *c = NEW(struct env_conn);

	c->f = f;
	(void)str_copy(c->addr, sizeof(c->addr), addr);
	list_init(&c->sends);
	list_init(&c->lazy);
	list_append(&f->conns, &c->node);
	return c;
}

static int net_connect(struct env *env, const char *addr, const struct env_conn_handler *h, void *arg, struct env_conn **ret)
{
	struct env_conn *c;

	if (strncmp(addr, "sim:", 4) != 0)
		return -EINVAL;
	c = conn_make(fake_of(env), addr);
	c->h = *h;
	c->arg = arg;
	c->client = c->connecting = c->started = true;
	*ret = c;
	return 0;
}

static void conn_start(struct env *env, struct env_conn *c, const struct env_conn_handler *h, void *arg)
{
	c->f = fake_of(env);
	c->h = *h;
	c->arg = arg;
	c->started = true;
}

static void conn_detach(struct env_conn *c)
{
	weft_assert(list_empty(&c->sends) && list_empty(&c->lazy));
	c->started = false;
}

static void conn_resume(struct env_conn *c) { c->paused = false; }

static void conn_send(struct env_conn *c, struct env_send *s)
{
	s->bytes = 0;
	for (int i = 0; i < s->iov_n; i++)
		s->bytes += s->iov[i].iov_len;
	c->queued += s->bytes;
	list_append(&c->sends, &s->node);
}

static size_t conn_queued(struct env_conn *c) { return c->queued; }
static const char *conn_peer(struct env_conn *c) { return c->addr; }

/* Sends of closed connections end later, in the step loop. */
static void conn_close(struct env_conn *c)
{
	c->gone = true;
	c->err = -ECANCELED;
	if (c->peer) {
		c->peer->eof = true;
		c->peer->peer = NULL;
		c->peer = NULL;
	}
}

static void end_sends(struct env_conn *c, int err)
{
	struct env_send *s;

	while ((s = list_pop(&c->lazy, struct env_send, node)) || (s = list_pop(&c->sends, struct env_send, node))) {
		c->queued -= s->bytes;
		if (s->done)
			s->done(s, err);
	}
}

static void conn_fail(struct env_conn *c, int err)
{
	struct env_conn *peer = c->peer;

	if (c->gone)
		return;
	if (peer) {
		peer->peer = NULL;
		peer->eof = true;
		peer->err = err;
		c->peer = NULL;
	}
	end_sends(c, err ? err : -ECONNRESET);
	if (c->gone)
		return;
	c->gone = true;
	if (c->h.closed)
		c->h.closed(c->arg, err);
}

static void finish_connect(struct env_conn *c)
{
	struct env_listener *l;
	struct env_conn *other;

	c->connecting = false;
	list_each(l, &c->f->listeners, node) {
		if (strcmp(l->addr, c->addr) != 0)
			continue;
		other = conn_make(c->f, "client");
		other->peer = c;
		c->peer = other;
		c->f->conns_made++;
		l->accepted(l->arg, other);
		c->h.connected(c->arg, 0);
		return;
	}
	c->gone = true;
	c->h.connected(c->arg, -ECONNREFUSED);
}

static bool deliver_one(struct env_conn *c, struct env_send *s)
{
	struct fake *f = c->f;
	struct buf b = { 0 };
	size_t n;

	if (f->fail_send && --f->fail_send == 0) {
		conn_fail(c, -EPIPE);
		return false;
	}
	list_del(&s->node);
	for (int i = 0; i < s->iov_n; i++)
		buf_add(&b, s->iov[i].iov_base, s->iov[i].iov_len);
	n = f->filter ? f->filter(f->filter_arg, c->client, b.p, b.len) : b.len;
	if (c->peer && n)
		buf_add(&c->peer->in, b.p, n);
	buf_done(&b);
	if (f->lazy_sends) {
		list_append(&c->lazy, &s->node);
		return true;
	}
	c->queued -= s->bytes;
	if (s->done)
		s->done(s, 0);
	return !c->gone;
}

static bool run_sends(struct env_conn *c)
{
	bool any = false;
	struct env_send *s;

	while (!c->gone && (s = list_pop(&c->lazy, struct env_send, node))) {
		any = true;
		c->queued -= s->bytes;
		if (s->done)
			s->done(s, 0);
	}
	while (!c->gone && !c->connecting && !list_empty(&c->sends)) {
		any = true;
		if (!deliver_one(c, list_first(&c->sends, struct env_send, node)))
			break;
	}
	return any;
}

static bool run_input(struct env_conn *c)
{
	size_t space, n;
	bool any = false;
	void *p;

	while (!c->gone && c->started && !c->paused && c->in_pos < c->in.len) {
		any = true;
		space = c->h.recv_space(c->arg, &p);
		if (!space) {
			c->paused = true;
			break;
		}
		n = MIN(space, c->in.len - c->in_pos);
		if (c->f->piece)
			n = MIN(n, c->f->piece);
		memcpy(p, c->in.p + c->in_pos, n);
		c->in_pos += n;
		if (c->in_pos == c->in.len)
			c->in_pos = c->in.len = 0;
		c->h.received(c->arg, n);
	}
	if (!c->gone && c->started && !c->connecting && !c->in.len && c->eof) {
		conn_fail(c, c->err);
		any = true;
	}
	return any;
}

static void conn_free(struct env_conn *c)
{
	if (c->peer)
		c->peer->peer = NULL;
	list_del(&c->node);
	buf_done(&c->in);
	free(c);
}

static bool run_conns(struct fake *f)
{
	struct env_conn *c, *tmp;
	bool any = false;

	list_each(c, &f->conns, node) {
		if (c->connecting && !c->gone) {
			finish_connect(c);
			any = true;
		}
		if (f->stall && !c->gone)
			continue;
		any |= run_input(c);
		any |= run_sends(c);
	}
	list_each_safe(c, tmp, &f->conns, node) {
		if (c->gone) {
			end_sends(c, -ECANCELED);
			conn_free(c);
			any = true;
		}
	}
	return any;
}

bool fake_step(struct fake *f)
{
	bool any = run_tasks(f);

	any |= run_conns(f);
	f->now += 1000;
	return any || run_timer(f);
}

void fake_break_all(struct fake *f)
{
	struct env_conn *c;

	list_each(c, &f->conns, node)
		if (!c->connecting)
			conn_fail(c, -ECONNRESET);
}

unsigned fake_conns(const struct fake *f)
{
	struct env_conn *c;
	unsigned n = 0;

	list_each(c, &f->conns, node)
		n += !c->gone;
	return n;
}

static const struct env_ops fake_ops = {
	.name = "fake",
	.mono_ns = mono_ns,
	.wall_ns = mono_ns,
	.random = random_bytes,
	.timer_arm = timer_arm,
	.timer_cancel = timer_cancel,
	.post = post,
	.listen = net_listen,
	.listener_addr = listener_addr,
	.listener_close = listener_close,
	.connect = net_connect,
	.conn_start = conn_start,
	.conn_detach = conn_detach,
	.conn_resume = conn_resume,
	.conn_send = conn_send,
	.conn_queued = conn_queued,
	.conn_peer = conn_peer,
	.conn_close = conn_close,
};

void fake_init(struct fake *f, uint64_t seed)
{
	*f = (struct fake){ .env = { .ops = &fake_ops }, .now = 1000000000, .seed = seed };
	list_init(&f->timers);
	list_init(&f->conns);
	list_init(&f->listeners);
	f->tasks_end = &f->tasks;
}

void fake_done(struct fake *f)
{
	while (f->tasks || !list_empty(&f->conns)) {
		struct env_conn *c;

		list_each(c, &f->conns, node)
			if (!c->gone && !c->started)
				c->gone = true;
		if (!run_tasks(f) && !run_conns(f))
			break;
	}
	weft_assert(list_empty(&f->conns) && list_empty(&f->timers));
}
