/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* How connections begin: connecting, listening, accepting. */
#include <fcntl.h>
#include <poll.h>
#include <sys/un.h>
#include <unistd.h>

#include "env/linux_priv.h"

#define ACCEPT_BATCH 64
#define ACCEPT_RETRY_NS (100 * NSEC_PER_MSEC)
/* The kernel takes a ring apart some time after its process has ended, and until then its listening sockets stay. */
#define BIND_RETRIES 30
#define BIND_RETRY_US 10000

/* ---- connecting ---------------------------------------------------------------------------------------------------------- */

/* Outlives the connection when that is closed before the kernel or the resolver has answered. */
struct connecting {
	struct env_linux_op op;
	struct env_linux *el;
	struct env_conn *c; /* NULL: abandoned */
	struct env_work work;
	struct env_task failed;
	int err;
	int addrs_n, next;
	struct sock_addr addrs[ADDR_RESOLVED_MAX];
	char text[];
};

void connecting_abandon(struct connecting *g)
{
	g->c = NULL;
	if (g->op.complete)
		env_linux_cancel(&g->el->env, &g->op);
}

static void connecting_failed(void *arg)
{
	struct connecting *g = arg;
	struct env_conn *c = g->c;
	int err = g->err;

	free(g);
	if (!c)
		return;
	c->connecting = NULL;
	conn_fail(c, err);
}

static void connecting_done(struct connecting *g)
{
	struct env_conn *c = g->c;
	struct conn_guard guard;

	c->connecting = NULL;
	free(g);
	guard_hold(&c->guard, &guard);
	c->started = true;
	conn_up(c);
	if (c->h.connected)
		c->h.connected(c->arg, 0);
	(void)guard_release(&c->guard, &guard);
}

static void connecting_try(struct connecting *g);

static void connect_complete(struct env_linux_op *op, int res, unsigned flags)
{
	struct connecting *g = container_of(op, struct connecting, op);

	g->op.complete = NULL;
	if (!g->c || g->el->freeing) {
		free(g);
		return;
	}
	if (!res) {
		connecting_done(g);
		return;
	}
	close(g->c->fd);
	g->c->fd = -1;
	g->err = res;
	connecting_try(g);
}

/* The next address, or the last error. */
static void connecting_try(struct connecting *g)
{
	struct sock_addr *a;
	struct io_uring_sqe *sqe;
	int fd;

	while (g->next < g->addrs_n) {
		a = &g->addrs[g->next++];
		fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0) {
			g->err = -errno;
			continue;
		}
		conn_set_socket_options(fd, a->ss.ss_family);
		g->c->fd = fd;
		g->op.complete = connect_complete;
		sqe = env_linux_sqe(&g->el->env, &g->op);
		io_uring_prep_connect(sqe, fd, (struct sockaddr *)&a->ss, a->len);
		return;
	}
	/* not from inside connect() */
	g->failed = (struct env_task){ .fn = connecting_failed, .arg = g };
	env_post(&g->el->env, &g->failed);
}

static void resolve_run(void *arg)
{
	struct connecting *g = arg;

	g->addrs_n = addr_resolve(g->text, false, g->addrs, (int)ADDR_RESOLVED_MAX);
}

static void resolve_done(void *arg)
{
	struct connecting *g = arg;

	if (!g->c) {
		free(g);
		return;
	}
	if (g->addrs_n < 0) {
		g->err = g->addrs_n;
		g->addrs_n = 0;
	}
	connecting_try(g);
}

int linux_connect(struct env *env, const char *addr, const struct env_conn_handler *h, void *arg, struct env_conn **ret)
{
	struct env_linux *el = env_linux(env);
	struct connecting *g;
	struct env_conn *c;
	bool name;
	int r = addr_check(addr, &name);

	if (r < 0)
		return r;
	c = linux_conn_new(el, -1, xstrdup(addr));
	c->h = *h;
	c->arg = arg;
	g = xcalloc(1, sizeof(*g) + strlen(addr) + 1);
	memcpy(g->text, addr, strlen(addr) + 1);
	g->el = el;
	g->c = c;
	c->connecting = g;
	*ret = c;
	g->work = (struct env_work){ .run = resolve_run, .done = resolve_done, .arg = g };
	if (name) {
		env_work(env, &g->work);
	} else {
		resolve_run(g);
		resolve_done(g);
	}
	return 0;
}

/* ---- listening ----------------------------------------------------------------------------------------------------------- */

struct env_listener {
	struct env_linux *el;
	struct list node;
	int fd;
	int family;
	struct env_linux_poll *poll;
	struct env_timer retry; /* out of descriptors or memory */
	void (*accepted)(void *arg, struct env_conn *c);
	void *arg;
	bool *gone; /* set when it is closed inside accepted */
	char *path; /* unix: removed at the end */
	char addr[ADDR_TEXT_MAX];
};

static void accept_some(void *arg)
{
	struct env_listener *l = arg;
	bool gone = false;
	int fd;

	l->gone = &gone;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0) {
			if (errno != EAGAIN)
				env_timer_in(&l->el->env, &l->retry, ACCEPT_RETRY_NS);
			l->gone = NULL;
			return;
		}
		conn_set_socket_options(fd, l->family);
		l->accepted(l->arg, linux_conn_new(l->el, fd, NULL));
		if (gone)
			return;
	}
	l->gone = NULL;
	/* there may be more, and no event will tell; others first */
	env_timer_arm(&l->el->env, &l->retry, 0);
}

static void listener_event(void *arg, unsigned revents) { accept_some(arg); }

/* A socket file that nobody listens on any more may be replaced. */
static int bind_unix(int fd, const struct sock_addr *a, const char *path)
{
	int probe, r;

	if (!bind(fd, (const struct sockaddr *)&a->ss, a->len))
		return 0;
	if (errno != EADDRINUSE || !path)
		return -errno;
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe < 0)
		return -errno;
	r = connect(probe, (const struct sockaddr *)&a->ss, a->len) < 0 ? -errno : 0;
	close(probe);
	if (r != -ECONNREFUSED)
		return -EADDRINUSE;
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	return bind(fd, (const struct sockaddr *)&a->ss, a->len) < 0 ? -errno : 0;
}

static int listener_open(struct env_listener *l, const struct sock_addr *a)
{
	int r, fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sock_addr bound = { .len = sizeof(bound.ss) };

	if (fd < 0)
		return -errno;
	l->family = a->ss.ss_family;
	if (l->family == AF_UNIX) {
		r = bind_unix(fd, a, l->path);
	} else {
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
		r = bind(fd, (const struct sockaddr *)&a->ss, a->len) < 0 ? -errno : 0;
	}
	if (!r && listen(fd, SOMAXCONN) < 0)
		r = -errno;
	if (!r && getsockname(fd, (struct sockaddr *)&bound.ss, &bound.len) < 0)
		r = -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	l->fd = fd;
	addr_format(&bound, l->addr, sizeof(l->addr));
	return 0;
}

int linux_listen(struct env *env, const char *addr, void (*accepted)(void *arg, struct env_conn *c), void *arg,
		 struct env_listener **ret)
{
	struct env_linux *el = env_linux(env);
	struct env_listener *l;
	struct sock_addr a;
	int r = addr_resolve(addr, true, &a, 1);

	if (r < 0)
		return r;
	l = NEW(struct env_listener);
	l->el = el;
	l->accepted = accepted;
	l->arg = arg;
	l->retry = (struct env_timer){ .fn = accept_some, .arg = l };
	if (a.ss.ss_family == AF_UNIX && addr[5] != '@')
		l->path = xstrdup(addr + 5);
	r = listener_open(l, &a);
	for (int i = 0; i < BIND_RETRIES && r == -EADDRINUSE; i++) {
		ring_enter(el, false, 0); /* it may be one of our own, closed a moment ago */
		usleep(i ? BIND_RETRY_US : 0);
		r = listener_open(l, &a);
	}
	if (r < 0) {
		free(l->path);
		free(l);
		return r;
	}
	l->poll = env_linux_poll_fd(env, l->fd, POLLIN, listener_event, l);
	list_append(&el->listeners, &l->node);
	*ret = l;
	return 0;
}

const char *linux_listener_addr(struct env_listener *l) { return l->addr; }

void linux_listener_close(struct env_listener *l)
{
	if (l->gone)
		*l->gone = true;
	env_timer_cancel(&l->el->env, &l->retry);
	env_linux_poll_stop(l->poll);
	list_del(&l->node);
	(void)shutdown(l->fd, SHUT_RDWR); /* the watch being cancelled keeps it open */
	close(l->fd);
	if (l->path)
		(void)unlink(l->path);
	free(l->path);
	free(l);
}

void listeners_done(struct env_linux *el)
{
	struct env_listener *l, *tmp;

	list_each_safe(l, tmp, &el->listeners, node)
		linux_listener_close(l);
}
