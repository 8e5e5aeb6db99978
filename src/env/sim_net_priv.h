/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The simulated network, shared by sim_net.c (what travels) and sim_net_faults.c (what does not).
 *
 * A link joins two ends; each direction is a pipe with the pieces under way, in order. A piece is taken from the sender's
 * queue, travels, and is put into the receiver's buffer; when the receiver has taken the bytes an acknowledgement travels back
 * and opens the sender's window. An end is NULL in its link once its program has closed it or is dead; the link goes when both
 * are.
 *
 * Invariants:
 * 1. Each pipe has one event: the arrival of its first piece. A piece that meets a cut direction waits, and with it all behind.
 * 2. The last piece of a pipe may be the end of the stream; nothing follows it.
 * 3. As in env_linux, callbacks may close the connection: whoever calls one holds a guard.
 */
#ifndef WEFT_ENV_SIM_NET_PRIV_H
#define WEFT_ENV_SIM_NET_PRIV_H

#include "env/conn_guard.h"
#include "env/sim_priv.h"

struct piece {
	struct list node;
	uint64_t sent_ns, arrival_ns;
	bool end; /* of the stream, with err */
	int err;
	size_t len;
	uint8_t data[];
};

struct sim_link;

struct pipe {
	struct sim_link *link;
	struct list pieces;
	struct sim_event arrival;
	struct sim_event ack;
	size_t unacked; /* sent and not yet received by the program */
	size_t to_ack;  /* received by the program, not yet known to the sender */
	uint64_t ack_since_ns;
	uint64_t last_arrival_ns;
	bool ended;
};

struct sim_link {
	struct sim_world *w;
	struct list node;
	struct sim_host *host[2];
	struct env_conn *end[2];  /* NULL: gone */
	struct pipe pipe[2];      /* [i] carries from end i to end !i */
	/* set-up */
	struct sim_event setup;
	bool accepted;
	int setup_err;
	uint64_t since_ns;
	unsigned port;
};

struct env_conn {
	struct sim_process *p; /* NULL: detached */
	struct list node;
	struct sim_link *link; /* NULL: the process is dead */
	int side;
	struct env_conn_handler h;
	void *arg;
	bool started, up, paused;
	struct list sends;
	size_t queued, head_sent;
	struct sim_event transmit, receive;
	uint8_t *in; /* arrived, not yet received by the program */
	size_t in_start, in_len, in_cap;
	bool end;    /* behind the bytes in `in`, with end_err */
	int end_err;
	struct conn_guard *guard;
	char peer[48];
};

struct env_listener {
	struct sim_process *p;
	struct list node, host_node;
	unsigned port;
	void (*accepted)(void *arg, struct env_conn *c);
	void *arg;
	char addr[48];
};

/* ---- sim_net.c ----------------------------------------------------------------------------------------------------------- */

/* Nothing is under way any more. */
void sim_pipe_clear(struct pipe *p);
/* The event of the first piece, if there is one. */
void sim_pipe_schedule(struct pipe *p);
/* The end of the stream, behind all that is under way; once. */
void sim_pipe_end(struct pipe *p, int err);
/* Off its link: nothing happens to it any more. */
void sim_conn_unlink(struct env_conn *c);

/* ---- sim_net_faults.c ---------------------------------------------------------------------------------------------------- */

bool sim_is_cut(struct sim_world *w, const struct sim_host *from, const struct sim_host *to);
/* Both ends lose the connection, each when it learns of it. */
void sim_link_break(struct sim_link *l, int err, uint64_t within_ns);

#endif
