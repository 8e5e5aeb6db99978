/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Connections, what travels on them, and listening. sim_net_priv.h says how. */
#include "env/sim_net_priv.h"

#define RECV_CHUNK_MAX (256u << 10)
#define CLOSE_RETRY_NS (100 * NSEC_PER_MSEC) /* how often something that waits for a cut to end tries again, at most */
#define CONNECT_TIMEOUT_NS (5 * NSEC_PER_SEC)
#define TRANSMIT_DELAY_NS 3000u
#define RECEIVE_DELAY_NS 3000u

/* ---- the wires ----------------------------------------------------------------------------------------------------------- */

static uint64_t latency(struct sim_world *w)
{
	if (sim_ppm(w, w->net.slow_ppm))
		return sim_between(w, w->net.latency_min_ns, MAX(w->net.slow_max_ns, w->net.latency_min_ns));
	return sim_between(w, w->net.latency_min_ns, w->net.latency_max_ns);
}

static uint64_t retry_delay(struct sim_world *w) { return NSEC_PER_MSEC + sim_draw(w, CLOSE_RETRY_NS); }

void sim_pipe_clear(struct pipe *p)
{
	struct piece *s;

	while ((s = list_pop(&p->pieces, struct piece, node)))
		free(s);
	sim_event_cancel(p->link->w, &p->arrival);
}

static void link_put(struct sim_link *l)
{
	if (l->end[0] || l->end[1])
		return;
	for (int i = 0; i < 2; i++) {
		sim_pipe_clear(&l->pipe[i]);
		sim_event_cancel(l->w, &l->pipe[i].ack);
	}
	sim_event_cancel(l->w, &l->setup);
	list_del(&l->node);
	free(l);
}

void sim_pipe_schedule(struct pipe *p)
{
	if (!list_empty(&p->pieces))
		sim_event_at(p->link->w, &p->arrival, list_first(&p->pieces, struct piece, node)->arrival_ns);
}

static void pipe_send(struct pipe *p, struct piece *s)
{
	struct sim_world *w = p->link->w;
	uint64_t at = w->now_ns + latency(w);

	if (w->net.bytes_per_sec)
		at = MAX(at, p->last_arrival_ns) + s->len * NSEC_PER_SEC / w->net.bytes_per_sec;
	s->sent_ns = w->now_ns;
	s->arrival_ns = p->last_arrival_ns = MAX(at, p->last_arrival_ns);
	p->ended |= s->end;
	if (list_empty(&p->pieces))
		sim_event_at(w, &p->arrival, s->arrival_ns);
	list_append(&p->pieces, &s->node);
}

void sim_pipe_end(struct pipe *p, int err)
{
	struct piece *s;

	if (p->ended)
		return;
	s = NEW(struct piece);
	s->end = true;
	s->err = err;
	pipe_send(p, s);
}

/* ---- ends ---------------------------------------------------------------------------------------------------------------- */

static struct sim_world *conn_world(struct env_conn *c) { return c->link->w; }
static struct pipe *out_pipe(struct env_conn *c) { return &c->link->pipe[c->side]; }

static void soon(struct env_conn *c, struct sim_event *e, uint64_t max_ns)
{
	if (c->link && c->p && !e->timer.heap_index)
		sim_event_in(conn_world(c), e, sim_draw(conn_world(c), max_ns));
}

void sim_conn_unlink(struct env_conn *c)
{
	struct sim_link *l = c->link;

	if (!l)
		return;
	sim_event_cancel(l->w, &c->transmit);
	sim_event_cancel(l->w, &c->receive);
	l->end[c->side] = NULL;
	c->link = NULL;
	link_put(l);
}

static void conn_free(struct env_conn *c)
{
	guard_mark_gone(&c->guard);
	sim_conn_unlink(c);
	list_del(&c->node);
	free(c->in);
	free(c);
}

static void conn_fail(struct env_conn *c, int err)
{
	struct env_conn_handler h = c->h;
	void *arg = c->arg;
	bool was_up = c->up;
	struct conn_guard g;
	struct env_send *s;

	guard_hold(&c->guard, &g);
	while ((s = list_pop(&c->sends, struct env_send, node))) {
		c->queued -= s->bytes;
		if (s->done)
			s->done(s, err ? err : -ECONNRESET);
		if (g.gone)
			return;
	}
	sim_pipe_end(out_pipe(c), err ? err : -ECONNRESET);
	conn_free(c);
	if (was_up && h.closed)
		h.closed(arg, err);
	else if (!was_up && h.connected)
		h.connected(arg, err);
}

/* ---- sending ------------------------------------------------------------------------------------------------------------- */

/* Copies the next n bytes of the queued sends. */
static void copy_out(struct env_conn *c, uint8_t *p, size_t n)
{
	size_t skip = c->head_sent;
	struct env_send *s;

	list_each(s, &c->sends, node) {
		for (int i = 0; i < s->iov_n && n; i++) {
			size_t cut = MIN(skip, s->iov[i].iov_len);
			size_t k = MIN(s->iov[i].iov_len - cut, n);

			memcpy(p, (char *)s->iov[i].iov_base + cut, k);
			skip -= cut;
			p += k;
			n -= k;
		}
		if (!n)
			return;
	}
}

/* n bytes are under way. Returns false when the connection is gone. */
static bool sent(struct env_conn *c, struct conn_guard *g, size_t n)
{
	c->queued -= n;
	c->head_sent += n;
	while (!list_empty(&c->sends)) {
		struct env_send *s = list_first(&c->sends, struct env_send, node);

		if (c->head_sent < s->bytes)
			break;
		c->head_sent -= s->bytes;
		list_del(&s->node);
		if (s->done)
			s->done(s, 0);
		if (g->gone)
			return false;
	}
	return true;
}

/* Returns false when there is nothing more to do now. */
static bool transmit_piece(struct env_conn *c, struct conn_guard *g)
{
	struct pipe *out = out_pipe(c);
	struct sim_world *w = conn_world(c);
	struct piece *s;
	size_t n, max;

	if (list_empty(&c->sends) || (c->queued && out->unacked >= w->net.window))
		return false;
	n = MIN(c->queued, w->net.window - out->unacked);
	max = 1 + sim_draw(w, w->net.piece_max);
	n = MIN(n, max);
	if (n && !out->ended) { /* after a break that we do not know of yet: into the void */
		s = xcalloc(1, sizeof(*s) + n);
		s->len = n;
		copy_out(c, s->data, n);
		out->unacked += n;
		pipe_send(out, s);
	}
	return sent(c, g, n);
}

static void transmit_fire(void *arg)
{
	struct env_conn *c = arg;
	struct conn_guard g;

	sim_note_event(conn_world(c), SIM_TRANSMIT, c->p->id, c->queued);
	if (!c->up)
		return;
	guard_hold(&c->guard, &g);
	while (transmit_piece(c, &g))
		;
	(void)guard_release(&c->guard, &g);
}

void sim_conn_send(struct env_conn *c, struct env_send *s)
{
	s->bytes = 0;
	for (int i = 0; i < s->iov_n; i++)
		s->bytes += s->iov[i].iov_len;
	c->queued += s->bytes;
	list_append(&c->sends, &s->node);
	if (c->up)
		soon(c, &c->transmit, TRANSMIT_DELAY_NS);
}

size_t sim_conn_queued(struct env_conn *c) { return c->queued; }
const char *sim_conn_peer(struct env_conn *c) { return c->peer; }

/* ---- receiving ----------------------------------------------------------------------------------------------------------- */

static void acknowledge(struct env_conn *c, size_t n)
{
	struct pipe *p = &c->link->pipe[!c->side];

	if (!p->to_ack)
		p->ack_since_ns = p->link->w->now_ns;
	p->to_ack += n;
	if (!p->ack.timer.heap_index)
		sim_event_in(p->link->w, &p->ack, latency(p->link->w));
}

static void receive_some(struct env_conn *c, struct conn_guard *g)
{
	struct sim_world *w = conn_world(c);
	void *to = NULL;
	size_t n, space = c->h.recv_space(c->arg, &to);

	if (g->gone)
		return;
	if (!space) {
		c->paused = true;
		return;
	}
	n = MIN(c->in_len, MIN(space, (size_t)RECV_CHUNK_MAX));
	if (!sim_draw(w, 4))
		n = 1 + sim_draw(w, n); /* a short one */
	memcpy(to, c->in + c->in_start, n);
	c->in_start += n;
	c->in_len -= n;
	acknowledge(c, n);
	c->h.received(c->arg, n);
}

static void receive_fire(void *arg)
{
	struct env_conn *c = arg;
	struct conn_guard g;

	sim_note_event(conn_world(c), SIM_RECEIVE, c->p->id, c->in_len);
	if (c->paused || !c->started)
		return;
	if (!c->in_len) {
		if (c->end)
			conn_fail(c, c->end_err);
		return;
	}
	guard_hold(&c->guard, &g);
	receive_some(c, &g);
	if (guard_release(&c->guard, &g) && !c->paused && (c->in_len || c->end))
		soon(c, &c->receive, RECEIVE_DELAY_NS);
}

void sim_conn_resume(struct env_conn *c)
{
	c->paused = false;
	if (c->started && (c->in_len || c->end))
		soon(c, &c->receive, RECEIVE_DELAY_NS);
}

static void put_in(struct env_conn *c, const struct piece *s)
{
	if (c->in_start && c->in_start + c->in_len + s->len > c->in_cap) {
		memmove(c->in, c->in + c->in_start, c->in_len);
		c->in_start = 0;
	}
	if (c->in_len + s->len > c->in_cap) {
		c->in_cap = MAX(2 * c->in_cap, c->in_len + s->len);
		c->in = xrealloc(c->in, c->in_cap);
	}
	memcpy(c->in + c->in_start + c->in_len, s->data, s->len);
	c->in_len += s->len;
}

/* ---- what arrives -------------------------------------------------------------------------------------------------------- */

static void arrival_fire(void *arg)
{
	struct pipe *p = arg;
	struct sim_link *l = p->link;
	struct sim_world *w = l->w;
	int from = p == &l->pipe[1];
	struct env_conn *to = l->end[!from];
	struct piece *s = list_first(&p->pieces, struct piece, node);

	if (s->sent_ns != UINT64_MAX && sim_is_cut(w, l->host[from], l->host[!from])) {
		if (w->now_ns - s->sent_ns > w->net.timeout_ns) {
			sim_link_break(l, -ETIMEDOUT, NSEC_PER_SEC);
			return;
		}
		sim_event_in(w, &p->arrival, retry_delay(w));
		return;
	}
	sim_note_event(w, SIM_DELIVER, l->port * 2 + (unsigned)from, s->len);
	list_del(&s->node);
	if (to && s->end) {
		to->end = true;
		to->end_err = s->err;
	} else if (to && !to->end) {
		put_in(to, s);
	}
	free(s);
	sim_pipe_schedule(p);
	if (!to)
		return;
	if (!to->end && sim_ppm(w, w->net.break_ppm))
		sim_link_break(l, -ECONNRESET, NSEC_PER_SEC);
	/* a program that sends learns of a reset although it does not receive */
	if (to->end && to->end_err && to->started && !list_empty(&to->sends) && sim_draw(w, 2))
		conn_fail(to, to->end_err);
	else if (to->started && !to->paused)
		soon(to, &to->receive, RECEIVE_DELAY_NS);
}

static void ack_fire(void *arg)
{
	struct pipe *p = arg;
	struct sim_link *l = p->link;
	int from = p == &l->pipe[1];

	if (sim_is_cut(l->w, l->host[!from], l->host[from])) {
		if (l->w->now_ns - p->ack_since_ns > l->w->net.timeout_ns)
			sim_link_break(l, -ETIMEDOUT, NSEC_PER_SEC);
		else
			sim_event_in(l->w, &p->ack, retry_delay(l->w));
		return;
	}
	sim_note_event(l->w, SIM_ACK, l->port * 2 + (unsigned)from, p->to_ack);
	p->unacked -= p->to_ack;
	p->to_ack = 0;
	if (l->end[from] && l->end[from]->up)
		soon(l->end[from], &l->end[from]->transmit, TRANSMIT_DELAY_NS);
}

/* ---- set-up -------------------------------------------------------------------------------------------------------------- */

static struct env_conn *conn_new(struct sim_process *p, struct sim_link *l, int side)
{
	struct env_conn *c = NEW(struct env_conn);

	c->p = p;
	c->link = l;
	c->side = side;
	list_init(&c->sends);
	c->transmit.timer = (struct env_timer){ .fn = transmit_fire, .arg = c };
	c->receive.timer = (struct env_timer){ .fn = receive_fire, .arg = c };
	list_append(&p->conns, &c->node);
	l->end[side] = c;
	return c;
}

static struct env_listener *listener_find(struct sim_host *h, unsigned port)
{
	struct env_listener *l;

	list_each(l, &h->listeners, host_node)
		if (l->port == port)
			return l;
	return NULL;
}

/* At the server: the request to connect arrives. */
static void setup_accept(struct sim_link *l)
{
	struct env_listener *ls = listener_find(l->host[1], l->port);
	struct env_conn *c;

	l->accepted = true;
	l->setup_err = ls ? 0 : -ECONNREFUSED;
	sim_event_in(l->w, &l->setup, latency(l->w));
	if (!ls)
		return;
	c = conn_new(ls->p, l, 1);
	snprintf(c->peer, sizeof(c->peer), "sim:%s", l->host[0]->name);
	sim_note_event(l->w, SIM_CONNECT, ls->p->id, l->port);
	ls->accepted(ls->arg, c);
}

static void conn_connected(struct env_conn *c)
{
	sim_note_event(conn_world(c), SIM_CONNECTED, c->p->id, 0);
	c->up = true;
	if (!list_empty(&c->sends))
		soon(c, &c->transmit, TRANSMIT_DELAY_NS);
	if (c->in_len || c->end)
		soon(c, &c->receive, RECEIVE_DELAY_NS);
	c->started = true;
	if (c->h.connected)
		c->h.connected(c->arg, 0);
}

static void setup_fire(void *arg)
{
	struct sim_link *l = arg;
	int from = l->accepted;

	if (!l->end[0])
		return; /* closed meanwhile */
	if (sim_is_cut(l->w, l->host[from], l->host[!from])) {
		if (l->w->now_ns - l->since_ns > CONNECT_TIMEOUT_NS)
			conn_fail(l->end[0], -ETIMEDOUT);
		else
			sim_event_in(l->w, &l->setup, retry_delay(l->w));
		return;
	}
	if (!l->accepted)
		setup_accept(l);
	else if (l->setup_err)
		conn_fail(l->end[0], l->setup_err);
	else
		conn_connected(l->end[0]);
}

static int parse(struct sim_world *w, const char *addr, struct sim_host **host, unsigned *port)
{
	const char *colon = strrchr(addr, ':');
	size_t len;
	char *end;
	struct sim_host *h;

	if (strncmp(addr, "sim:", 4) || !colon || colon < addr + 5)
		return -EINVAL;
	*port = (unsigned)strtoul(colon + 1, &end, 10);
	if (!colon[1] || *end || *port > UINT16_MAX)
		return -EINVAL;
	len = (size_t)(colon - addr) - 4;
	*host = NULL;
	list_each(h, &w->hosts, node)
		if (strlen(h->name) == len && !memcmp(h->name, addr + 4, len))
			*host = h;
	return 0;
}

static void pipe_init(struct sim_link *l, struct pipe *p)
{
	p->link = l;
	list_init(&p->pieces);
	p->arrival.timer = (struct env_timer){ .fn = arrival_fire, .arg = p };
	p->ack.timer = (struct env_timer){ .fn = ack_fire, .arg = p };
}

int sim_connect(struct env *env, const char *addr, const struct env_conn_handler *h, void *arg, struct env_conn **ret)
{
	struct sim_process *p = sim_process(env);
	struct sim_host *to;
	struct sim_link *l;
	struct env_conn *c;
	unsigned port;
	int r = parse(p->host->w, addr, &to, &port);

	if (r < 0)
		return r;
	if (!p->alive)
		return -ENETDOWN;
	l = NEW(struct sim_link);
	l->w = p->host->w;
	l->host[0] = p->host;
	l->host[1] = to ? to : p->host;
	l->port = port;
	l->since_ns = l->w->now_ns;
	pipe_init(l, &l->pipe[0]);
	pipe_init(l, &l->pipe[1]);
	l->setup.timer = (struct env_timer){ .fn = setup_fire, .arg = l };
	list_append(&l->w->links, &l->node);
	c = conn_new(p, l, 0);
	(void)str_copy(c->peer, sizeof(c->peer), addr);
	c->h = *h;
	c->arg = arg;
	if (!to) {
		l->accepted = true;
		l->setup_err = -EHOSTUNREACH;
	}
	sim_event_in(l->w, &l->setup, latency(l->w));
	*ret = c;
	return 0;
}

void sim_conn_start(struct env *env, struct env_conn *c, const struct env_conn_handler *h, void *arg)
{
	struct sim_process *p = sim_process(env);

	weft_assert(!c->started && (!c->p || c->p == p));
	if (!c->p) {
		c->p = p;
		list_append(&p->conns, &c->node);
	}
	c->h = *h;
	c->arg = arg;
	c->started = c->up = true;
	if (!p->alive) {
		sim_conn_unlink(c);
		return;
	}
	if (c->in_len || c->end)
		soon(c, &c->receive, RECEIVE_DELAY_NS);
}

void sim_conn_detach(struct env_conn *c)
{
	weft_assert(c->p && c->up && list_empty(&c->sends));
	guard_mark_gone(&c->guard);
	if (c->link) {
		sim_event_cancel(conn_world(c), &c->transmit);
		sim_event_cancel(conn_world(c), &c->receive);
	}
	list_del(&c->node);
	list_init(&c->node);
	c->p = NULL;
	c->started = c->paused = false;
}

static void canceled_fire(void *arg)
{
	struct sim_process *p = arg;
	struct list now;
	struct env_send *s;

	sim_note_event(p->host->w, SIM_CANCELED, p->id, 0);
	list_init(&now);
	list_splice(&now, &p->canceled);
	while ((s = list_pop(&now, struct env_send, node)))
		if (s->done)
			s->done(s, -ECANCELED);
}

void sim_conn_close(struct env_conn *c)
{
	struct sim_process *p = c->p;

	if (p && p->alive && !list_empty(&c->sends)) {
		list_splice(&p->canceled, &c->sends);
		p->canceled_event.timer.fn = canceled_fire;
		p->canceled_event.timer.arg = p;
		if (!p->canceled_event.timer.heap_index)
			sim_event_in(p->host->w, &p->canceled_event, 0);
	}
	if (c->link)
		sim_pipe_end(out_pipe(c), c->in_len ? -ECONNRESET : 0);
	conn_free(c);
}

/* ---- listening ----------------------------------------------------------------------------------------------------------- */

int sim_listen(struct env *env, const char *addr, void (*accepted)(void *arg, struct env_conn *c), void *arg,
	       struct env_listener **ret)
{
	struct sim_process *p = sim_process(env);
	struct env_listener *l;
	struct sim_host *h;
	unsigned port;
	int r = parse(p->host->w, addr, &h, &port);

	if (r < 0)
		return r;
	if (!p->alive)
		return -ENETDOWN;
	if (h != p->host)
		return -EADDRNOTAVAIL;
	while (!port) {
		port = h->next_port++;
		if (listener_find(h, port))
			port = 0;
	}
	if (listener_find(h, port))
		return -EADDRINUSE;
	l = NEW(struct env_listener);
	l->p = p;
	l->port = port;
	l->accepted = accepted;
	l->arg = arg;
	snprintf(l->addr, sizeof(l->addr), "sim:%s:%u", h->name, port);
	list_append(&p->listeners, &l->node);
	list_append(&h->listeners, &l->host_node);
	*ret = l;
	return 0;
}

const char *sim_listener_addr(struct env_listener *l) { return l->addr; }

void sim_listener_close(struct env_listener *l)
{
	list_del(&l->node);
	list_del(&l->host_node);
	free(l);
}

/* ---- processes and the world --------------------------------------------------------------------------------------------- */

void sim_net_process_done(struct sim_process *p)
{
	struct env_listener *l, *ltmp;
	struct env_conn *c, *tmp;

	list_each_safe(c, tmp, &p->conns, node)
		conn_free(c);
	list_each_safe(l, ltmp, &p->listeners, node)
		sim_listener_close(l);
}

void sim_net_done(struct sim_world *w)
{
	struct sim_link *l, *tmp;

	sim_heal(w);
	/* of detached connections */
	list_each_safe(l, tmp, &w->links, node)
		for (int i = 0; i < 2; i++)
			if (l->end[i]) {
				struct env_conn *c = l->end[i];
				bool last = !l->end[!i];

				list_init(&c->node);
				conn_free(c);
				if (last)
					break;
			}
}
