/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "env/env_linux.h"
#include "world.h"

static void nothing(void *arg) { (void)arg; }

/* Waits a little at most: some checks are that nothing happens. */
static void linux_step(struct world *w)
{
	struct env_timer tick = { .fn = nothing };

	env_timer_in(w->a, &tick, 2 * NSEC_PER_MSEC);
	(void)env_linux_run_once(w->a, true);
	env_timer_cancel(w->a, &tick);
}

static void all_checks(struct env *env)
{
	char dir[] = "/tmp/weft-env-XXXXXX";
	struct world w = {
		.name = "linux", .a = env, .b = env, .step = linux_step,
		.listen_addrs = { "tcp:127.0.0.1:0", "unix:@weft-test-env", "tcp:[::1]:0" },
		.refused_addr = "unix:@weft-test-nobody",
	};

	w.dir = mkdtemp(dir);
	check_timers(&w);
	check_posts(&w);
	check_work(&w);
	check_files(&w);
	check_dirs(&w);
	check_streams(&w);
	check_stream_ends(&w);
	rmdir(dir);
}

/* ---- posts from other threads -------------------------------------------------------------------------------------------- */

#define POSTS 20000

struct poster {
	struct env *env;
	struct env_task *tasks;
	unsigned ran;
	pthread_t thread;
	bool all;
};

static void posted(void *arg)
{
	struct poster *p = arg;

	p->all = ++p->ran == POSTS;
}

static void *post_all(void *arg)
{
	struct poster *p = arg;

	for (int i = 0; i < POSTS; i++) {
		p->tasks[i] = (struct env_task){ .fn = posted, .arg = p };
		env_post(p->env, &p->tasks[i]);
		if (i % 1000 == 0)
			usleep(200); /* let it fall asleep */
	}
	return NULL;
}

static void foreign_posts(struct env *env)
{
	struct poster p[2];

	for (int i = 0; i < 2; i++) {
		p[i] = (struct poster){ .env = env, .tasks = calloc(POSTS, sizeof(struct env_task)) };
		pthread_create(&p[i].thread, NULL, post_all, &p[i]);
	}
	while (!p[0].all || !p[1].all)
		(void)env_linux_run_once(env, true);
	for (int i = 0; i < 2; i++) {
		pthread_join(p[i].thread, NULL);
		free(p[i].tasks);
	}
	ok(p[0].ran == POSTS && p[1].ran == POSTS, "linux: every post of other threads runs, asleep or not");
}

static void *stop_soon(void *arg)
{
	usleep(20000);
	env_linux_stop(arg);
	return NULL;
}

static void stops(struct env *env)
{
	pthread_t t;

	pthread_create(&t, NULL, stop_soon, env);
	env_linux_run(env);
	pthread_join(t, NULL);
	env_linux_stop(env);
	env_linux_run(env);
	ok(true, "linux: another thread stops it");
}

/* ---- a connection that moves to another reactor -------------------------------------------------------------------------- */

struct mover {
	struct env *env, *other;
	struct env_conn *c, *client;
	struct env_task task;
	char in[16], client_in[16];
	bool moved, answered;
	struct env_send send, question;
	pthread_t thread;
};

static size_t mover_space(void *arg, void **p)
{
	struct mover *m = arg;

	*p = m->in;
	return 5;
}

static void moved_received(void *arg, size_t n)
{
	struct mover *m = arg;

	m->send = (struct env_send){ .iov = { { m->in, n } }, .iov_n = 1 };
	m->other->ops->conn_send(m->c, &m->send);
}

static void moved_closed(void *arg, int err)
{
	struct mover *m = arg;

	env_linux_stop(m->other);
}

static const struct env_conn_handler moved_handler = { .recv_space = mover_space, .received = moved_received,
						       .closed = moved_closed };

static void take_over(void *arg)
{
	struct mover *m = arg;

	m->moved = true;
	m->other->ops->conn_start(m->other, m->c, &moved_handler, m);
}

static void first_received(void *arg, size_t n)
{
	struct mover *m = arg;

	m->env->ops->conn_detach(m->c);
	m->task = (struct env_task){ .fn = take_over, .arg = m };
	env_post(m->other, &m->task);
}

static const struct env_conn_handler first_handler = { .recv_space = mover_space, .received = first_received };

static void mover_accepted(void *arg, struct env_conn *c)
{
	struct mover *m = arg;

	m->c = c;
	m->env->ops->conn_start(m->env, c, &first_handler, m);
}

static size_t client_space(void *arg, void **p)
{
	struct mover *m = arg;

	*p = m->client_in;
	return sizeof(m->client_in);
}

static void client_received(void *arg, size_t n)
{
	struct mover *m = arg;

	m->answered = n == 5 && !memcmp(m->client_in, "67890", 5);
}

static void client_connected(void *arg, int err)
{
	struct mover *m = arg;
	static char text[] = "1234567890";

	m->question = (struct env_send){ .iov = { { text, 10 } }, .iov_n = 1 };
	m->env->ops->conn_send(m->client, &m->question);
}

static const struct env_conn_handler client_handler = { .connected = client_connected, .recv_space = client_space,
							.received = client_received };

static void *run_other(void *arg)
{
	env_linux_run(arg);
	return NULL;
}

static void moves(struct env *env)
{
	struct mover m = { .env = env };
	struct env_listener *l = NULL;

	if (env_linux_new(NULL, &m.other) < 0 || env->ops->listen(env, "unix:@weft-test-move", mover_accepted, &m, &l) < 0)
		bail_out("no second reactor");
	pthread_create(&m.thread, NULL, run_other, m.other);
	is_int(env->ops->connect(env, "unix:@weft-test-move", &client_handler, &m, &m.client), 0, "linux: connect");
	while (!m.answered)
		(void)env_linux_run_once(env, true);
	ok(m.moved, "linux: a connection moves to another reactor, what it had not received moves along");
	env->ops->conn_close(m.client);
	env->ops->listener_close(l);
	pthread_join(m.thread, NULL);
	env_linux_free(m.other);
}

/* ---- the hooks ----------------------------------------------------------------------------------------------------------- */

struct hook {
	struct env_linux_read read;
	struct env_linux_poll *poll;
	char buf[8];
	ssize_t got;
	bool done;
	int events;
};

static void read_done(struct env_linux_read *r, ssize_t n)
{
	struct hook *h = r->arg;

	h->got = n;
	h->done = true;
}

static void readable(void *arg, unsigned revents)
{
	struct hook *h = arg;

	h->events++;
	h->done = true;
	if (h->events == 2)
		env_linux_poll_stop(h->poll);
}

static void hooks(struct env *env)
{
	struct hook h = { .read = { .done = read_done, .arg = &h } };
	int fds[2];

	if (pipe(fds) < 0)
		bail_out("pipe");
	env_linux_read_fd(env, fds[0], h.buf, sizeof(h.buf), &h.read);
	(void)env_linux_run_once(env, false);
	ok(!h.done, "linux: a read of an empty pipe waits");
	ok(write(fds[1], "abc", 3) == 3, "write");
	while (!h.done)
		(void)env_linux_run_once(env, true);
	ok(h.got == 3 && !memcmp(h.buf, "abc", 3), "linux: then gets what comes");

	h.poll = env_linux_poll_fd(env, fds[0], POLLIN, readable, &h);
	for (int i = 1; i <= 2; i++) {
		h.done = false;
		ok(write(fds[1], "x", 1) == 1, "write");
		while (!h.done)
			(void)env_linux_run_once(env, true);
		is_int(h.events, i, "linux: a watch tells of each arrival");
	}
	ok(write(fds[1], "x", 1) == 1, "write");
	(void)env_linux_run_once(env, false);
	(void)env_linux_run_once(env, false);
	is_int(h.events, 2, "linux: a stopped watch is silent");
	close(fds[0]);
	close(fds[1]);
}

static void named_address(struct env *env)
{
	struct mover m = { .env = env };
	struct env_listener *l = NULL;
	char addr[64];

	if (env->ops->listen(env, "tcp:127.0.0.1:0", mover_accepted, &m, &l) < 0)
		bail_out("listen");
	snprintf(addr, sizeof(addr), "tcp:localhost:%s", strrchr(env->ops->listener_addr(l), ':') + 1);
	is_int(env->ops->connect(env, addr, &client_handler, &m, &m.client), 0, "linux: connect to a name");
	while (!m.c)
		(void)env_linux_run_once(env, true);
	ok(true, "linux: names are resolved, addresses tried in turn");
	env->ops->conn_close(m.client);
	env->ops->listener_close(l);
	env->ops->conn_close(m.c);
}

static void listen_again(struct env *env)
{
	static const char *const addrs[] = { "unix:@weft-test-again", "unix:/tmp/weft-test-again", "tcp:127.0.0.1:0" };
	struct mover m = { .env = env };
	struct env_listener *l = NULL, *other;
	char addr[64];

	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++) {
		(void)str_copy(addr, sizeof(addr), addrs[i]);
		for (int k = 0; k < 3; k++) {
			is_int(env->ops->listen(env, addr, mover_accepted, &m, &l), 0, "linux: free again at once");
			(void)str_copy(addr, sizeof(addr), env->ops->listener_addr(l));
			(void)env_linux_run_once(env, false);
			if (!k)
				is_int(env->ops->listen(env, addr, mover_accepted, &m, &other), -EADDRINUSE, "linux: in use");
			env->ops->listener_close(l);
		}
	}
}

int main(void)
{
	struct env *env;
	int r = env_linux_new(NULL, &env);

	if (r < 0)
		skip_all(env_linux_strerror(r));
	all_checks(env);
	foreign_posts(env);
	stops(env);
	moves(env);
	hooks(env);
	named_address(env);
	listen_again(env);
	env_linux_free(env);
	return done_testing();
}
