/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What goes wrong on the simulated network: partitions, connections that break, peers that die. */
#include "env/sim_net_priv.h"

#define SILENT_BREAK_MAX_NS (20 * NSEC_PER_SEC) /* until somebody learns that his peer's power is off */

/* A one-way partition. */
struct cut {
	struct list node;
	struct sim_host *from, *to;
};

static struct cut *cut_find(struct sim_world *w, const struct sim_host *from, const struct sim_host *to)
{
	struct cut *c;

	list_each(c, &w->cuts, node)
		if (c->from == from && c->to == to)
			return c;
	return NULL;
}

void sim_partition(struct sim_world *w, struct sim_host *a, struct sim_host *b, bool on)
{
	struct cut *c = cut_find(w, a, b);

	if (on && !c) {
		c = NEW(struct cut);
		c->from = a;
		c->to = b;
		list_append(&w->cuts, &c->node);
	} else if (!on && c) {
		list_del(&c->node);
		free(c);
	}
}

void sim_heal(struct sim_world *w)
{
	struct cut *c;

	while ((c = list_pop(&w->cuts, struct cut, node)))
		free(c);
}

bool sim_is_cut(struct sim_world *w, const struct sim_host *from, const struct sim_host *to)
{
	return (from != to && (!from->reachable || !to->reachable)) || cut_find(w, from, to);
}

/* ---- connections that break ---------------------------------------------------------------------------------------------- */

/* Some of the last pieces never get there. */
static void pipe_lose_tail(struct pipe *p)
{
	struct sim_world *w = p->link->w;
	struct piece *s, *tmp;
	bool lost = false;

	list_each_safe(s, tmp, &p->pieces, node) {
		lost |= !sim_draw(w, 3);
		if (lost) {
			list_del(&s->node);
			free(s);
		}
	}
	p->ended = false;
	if (list_empty(&p->pieces))
		sim_event_cancel(w, &p->arrival);
}

void sim_link_break(struct sim_link *l, int err, uint64_t within_ns)
{
	sim_note_event(l->w, SIM_BREAK, l->port, (uint64_t)err);
	for (int i = 0; i < 2; i++) {
		struct pipe *p = &l->pipe[i];
		struct piece *end = NEW(struct piece);

		if (sim_is_cut(l->w, l->host[i], l->host[!i]))
			sim_pipe_clear(p);
		else
			pipe_lose_tail(p);
		end->end = true;
		end->err = err;
		/* not a message that travels: whoever is alone finds out by himself */
		end->sent_ns = UINT64_MAX;
		end->arrival_ns = MAX(l->w->now_ns, p->last_arrival_ns) + sim_draw(l->w, within_ns + 1);
		p->ended = true;
		list_append(&p->pieces, &end->node);
		sim_pipe_schedule(p);
	}
}

static bool joins(const struct sim_link *l, const struct sim_host *a, const struct sim_host *b)
{
	return (l->host[0] == a && l->host[1] == b) || (l->host[0] == b && l->host[1] == a);
}

unsigned sim_break(struct sim_world *w, struct sim_host *a, struct sim_host *b)
{
	struct sim_link *l;
	unsigned n = 0;

	list_each(l, &w->links, node) {
		if (!joins(l, a, b) || !l->end[0] || !l->end[1])
			continue;
		sim_link_break(l, -ECONNRESET, NSEC_PER_SEC);
		n++;
	}
	return n;
}

/* ---- processes that end -------------------------------------------------------------------------------------------------- */

/* Until the other side knows of the end it takes what came for a living one's. */
bool sim_host_echoes(const struct sim_host *h)
{
	const struct sim_link *l;

	list_each(l, &h->w->links, node)
		for (int side = 0; side < 2; side++)
			if (l->host[side] == h && !l->end[side] && l->end[!side])
				return true;
	return false;
}

void sim_net_process_end(struct sim_process *p, bool silent)
{
	struct sim_world *w = p->host->w;
	struct env_listener *ls;
	struct env_conn *c;

	list_each(ls, &p->listeners, node)
		list_del(&ls->host_node);
	sim_event_cancel(w, &p->canceled_event);
	list_each(c, &p->conns, node) {
		if (!c->link)
			continue;
		guard_mark_gone(&c->guard);
		if (silent) {
			sim_link_break(c->link, sim_draw(w, 2) ? -ETIMEDOUT : -ECONNRESET, SILENT_BREAK_MAX_NS);
		} else {
			pipe_lose_tail(&c->link->pipe[c->side]);
			sim_pipe_end(&c->link->pipe[c->side], sim_draw(w, 2) ? -ECONNRESET : 0);
		}
		sim_conn_unlink(c);
	}
}
