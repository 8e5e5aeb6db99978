/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "world.h"

#define CHUNK 100000

/* One end of a connection: sends `total` bytes of a pattern if asked, checks what it gets against the pattern. */
struct end {
	struct env *env;
	struct env_conn *c;
	bool connected, accepted, closed, stopped;
	int err, closed_err;
	uint8_t *in;
	size_t in_size, received, expected;
	bool all_received, corrupt;
	bool echo;
	int pauses; /* receive pauses to make */
	struct env_timer resume;
	/* sending */
	struct env_send send[4];
	uint8_t *out[4];
	size_t sent, total;
	int in_flight;
	bool all_sent, inside;
	int canceled;
};

static uint8_t pattern(size_t i) { return (uint8_t)(i * 131 + (i >> 8)); }

static void pump(struct end *e);

static void send_done(struct env_send *s, int err)
{
	struct end *e = s->arg;

	if (e->inside)
		e->corrupt = true; /* called from inside conn_send */
	e->in_flight--;
	if (err) {
		e->canceled += err == -ECANCELED;
		e->err = err;
		return;
	}
	s->arg = NULL;
	if (!e->echo)
		pump(e);
	e->all_sent = !e->in_flight && e->sent == e->total;
}

static void send_some(struct end *e, int i, size_t len)
{
	struct env_send *s = &e->send[i];

	*s = (struct env_send){ .done = send_done, .arg = e, .iov_n = 3 };
	s->iov[0] = (struct iovec){ e->out[i], MIN(len, 7) };
	s->iov[1] = (struct iovec){ e->out[i], 0 };
	s->iov[2] = (struct iovec){ e->out[i] + s->iov[0].iov_len, len - s->iov[0].iov_len };
	e->in_flight++;
	e->inside = true;
	e->env->ops->conn_send(e->c, s);
	e->inside = false;
}

static void pump(struct end *e)
{
	for (int i = 0; i < 4 && e->sent < e->total; i++) {
		size_t len = MIN(e->total - e->sent, (size_t)CHUNK);

		if (e->send[i].arg)
			continue;
		for (size_t k = 0; k < len; k++)
			e->out[i][k] = pattern(e->sent + k);
		e->sent += len;
		send_some(e, i, len);
	}
}

static void end_connected(void *arg, int err)
{
	struct end *e = arg;

	e->connected = true;
	e->err = err;
	if (err)
		e->c = NULL;
	else if (e->total)
		pump(e);
}

static void end_resume(void *arg)
{
	struct end *e = arg;

	if (e->c)
		e->env->ops->conn_resume(e->c);
}

static size_t end_space(void *arg, void **p)
{
	struct end *e = arg;

	if (e->pauses > 0 && e->received > (size_t)(10 - e->pauses) * 30000) {
		e->pauses--;
		env_timer_in(e->env, &e->resume, NSEC_PER_MSEC);
		return 0;
	}
	if (e->echo && e->in_flight) {
		e->stopped = true;
		return 0;
	}
	*p = e->in;
	return e->in_size;
}

static void echo_done(struct env_send *s, int err)
{
	struct end *e = s->arg;

	send_done(s, err);
	if (!err && e->stopped) {
		e->stopped = false;
		e->env->ops->conn_resume(e->c);
	}
}

static void end_received(void *arg, size_t n)
{
	struct end *e = arg;

	for (size_t i = 0; i < n; i++)
		if (e->in[i] != pattern(e->received + i))
			e->corrupt = true;
	e->received += n;
	e->all_received = e->received == e->expected;
	if (e->echo) {
		memcpy(e->out[0], e->in, n);
		send_some(e, 0, n);
		e->send[0].done = echo_done;
	}
}

static void end_closed(void *arg, int err)
{
	struct end *e = arg;

	e->closed = true;
	e->closed_err = err;
	e->c = NULL;
}

static const struct env_conn_handler handler = {
	.connected = end_connected, .recv_space = end_space, .received = end_received, .closed = end_closed,
};

static void end_init(struct end *e, struct env *env)
{
	*e = (struct end){ .env = env, .in_size = CHUNK };
	e->in = malloc(CHUNK);
	for (int i = 0; i < 4; i++)
		e->out[i] = malloc(CHUNK);
	e->resume = (struct env_timer){ .fn = end_resume, .arg = e };
}

static void end_fini(struct end *e)
{
	if (e->c)
		e->env->ops->conn_close(e->c);
	env_timer_cancel(e->env, &e->resume);
	free(e->in);
	for (int i = 0; i < 4; i++)
		free(e->out[i]);
}

static void accepted(void *arg, struct env_conn *c)
{
	struct end *e = arg;

	if (e->c) {
		e->env->ops->conn_close(c);
		return;
	}
	e->c = c;
	e->accepted = true;
	e->env->ops->conn_start(e->env, c, &handler, e);
}

/* A connected pair. */
static struct env_listener *pair(struct world *w, const char *addr, struct end *srv, struct end *cli)
{
	struct env_listener *l = NULL;
	int r;

	end_init(srv, w->a);
	end_init(cli, w->b);
	r = w->a->ops->listen(w->a, addr, accepted, srv, &l);
	if (!ok(!r, "%s: listens on %s", w->name, addr))
		bail_out(strerror(-r));
	r = w->b->ops->connect(w->b, w->a->ops->listener_addr(l), &handler, cli, &cli->c);
	ok(!r && !cli->connected, "%s: connecting to %s begins", w->name, w->a->ops->listener_addr(l));
	return l;
}

static void transfer(struct world *w, const char *addr)
{
	struct end srv, cli;
	struct env_listener *l = pair(w, addr, &srv, &cli);

	srv.echo = true;
	srv.pauses = 5;
	cli.total = cli.expected = 3000001;
	ok(world_run(w, &cli.connected) && !cli.err, "%s: connects", w->name);
	ok(world_run(w, &cli.all_received), "%s: everything comes back (%zu)", w->name, cli.received);
	ok(world_run(w, &cli.all_sent), "%s: every send is done", w->name);
	ok(!cli.corrupt && !srv.corrupt, "%s: intact and in order", w->name);
	is_int(srv.pauses, 0, "with pauses");
	is_int((long long)w->b->ops->conn_queued(cli.c), 0, "nothing is queued at the end");
	ok(strlen(w->a->ops->conn_peer(srv.c)) > 3, "%s: the peer is %s", w->name, w->a->ops->conn_peer(srv.c));
	w->b->ops->conn_close(cli.c);
	cli.c = NULL;
	ok(world_run(w, &srv.closed), "%s: the other end learns of the close", w->name);
	is_int(srv.closed_err, 0, "as an orderly end");
	ok(!cli.closed, "%s: who closes is not told", w->name);
	w->a->ops->listener_close(l);
	end_fini(&srv);
	end_fini(&cli);
}

void check_streams(struct world *w)
{
	for (int i = 0; i < 3 && w->listen_addrs[i]; i++)
		transfer(w, w->listen_addrs[i]);
}

static void refused(struct world *w)
{
	struct end e;
	struct env_conn *c;

	end_init(&e, w->b);
	is_int(w->b->ops->connect(w->b, w->refused_addr, &handler, &e, &e.c), 0, "connecting to nobody begins");
	ok(!e.connected, "%s: connected is not called from inside", w->name);
	ok(world_run(w, &e.connected), "%s: it ends", w->name);
	ok(e.err == -ECONNREFUSED || e.err == -ENOENT, "%s: refused (%d)", w->name, e.err);
	ok(!e.closed, "%s: closed is not called for a connection that never was", w->name);
	end_fini(&e);
	is_int(w->b->ops->connect(w->b, "nonsense", &handler, &e, &c), -EINVAL, "a malformed address");
}

/* The receiver does not read: the sender's queue stands, then it closes. */
static void close_with_queue(struct world *w)
{
	struct end srv, cli;
	struct env_listener *l = pair(w, w->listen_addrs[0], &srv, &cli);

	srv.pauses = 1000000;
	ok(world_run(w, &cli.connected), "%s: connects", w->name);
	ok(world_run(w, &srv.accepted), "%s: is accepted", w->name);
	for (int i = 0; i < 4; i++)
		send_some(&cli, i, CHUNK);
	is_int((long long)w->b->ops->conn_queued(cli.c), 4 * CHUNK, "queued");
	w->b->ops->conn_close(cli.c);
	cli.c = NULL;
	is_int(cli.in_flight, 4, "close does not end the sends from inside");
	world_settle(w, 4);
	while (cli.in_flight)
		w->step(w);
	is_int(cli.canceled, 4, "they end as cancelled");
	ok(!cli.closed, "%s: closed is not called", w->name);
	w->a->ops->listener_close(l);
	end_fini(&srv);
	end_fini(&cli);
}

static void closed_by_peer(struct world *w)
{
	struct end srv, cli;
	struct env_listener *l = pair(w, w->listen_addrs[0], &srv, &cli);

	cli.total = 100000000; /* never done */
	ok(world_run(w, &srv.accepted), "%s: is accepted", w->name);
	srv.expected = 1;
	while (srv.received < 500000)
		w->step(w);
	w->a->ops->conn_close(srv.c);
	srv.c = NULL;
	ok(world_run(w, &cli.closed), "%s: the sender learns of the close", w->name);
	is_int(cli.in_flight, 0, "every send was done before");
	ok(cli.err < 0, "%s: with an error", w->name);
	w->a->ops->listener_close(l);
	end_fini(&srv);
	end_fini(&cli);
}

static void close_while_connecting(struct world *w)
{
	struct end srv, cli;
	struct env_listener *l = pair(w, w->listen_addrs[0], &srv, &cli);

	w->b->ops->conn_close(cli.c);
	cli.c = NULL;
	for (int i = 0; i < 5; i++) {
		struct env_timer t = { .fn = end_resume, .arg = &cli };

		env_timer_in(w->b, &t, 5 * NSEC_PER_MSEC);
		while (env_timer_armed(&t))
			w->step(w);
	}
	ok(!cli.connected && !cli.closed, "%s: a connection closed while connecting is silent", w->name);
	w->a->ops->listener_close(l);
	end_fini(&srv);
	end_fini(&cli);
}

void check_stream_ends(struct world *w)
{
	refused(w);
	close_with_queue(w);
	closed_by_peer(w);
	close_while_connecting(w);
}
