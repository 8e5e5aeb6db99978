/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A server and a client node in one fake environment, with a service that echoes, holds or refuses. */
#ifndef WEFT_TEST_WORLD_H
#define WEFT_TEST_WORLD_H

#include "fake_env.h"
#include "rpc/counters.h"
#include "rpc/rpc.h"
#include "tap.h"

#define ADDR "sim:server:1"
#define TARGET 7u

struct world {
	struct fake f;
	struct env *env;
	struct rpc_node *server, *client;
	struct rpc_service svc;
	struct rpc_peer *peer;
	const char *addr;
	/* the service */
	bool hold;                /* requests wait in held */
	struct list held;
	int answer;               /* error to answer with; 0: echo */
	unsigned answers;         /* so many times, then echo; 0: always */
	uint16_t credits;
	unsigned requests, resent, ups, downs, sents;
	uint64_t xids[4096];
	uint16_t last_flags;
	uint16_t last_role;
	uint64_t last_client_id;
	char last_name[200];
	struct rpc_conn *conn; /* the last one that came up; NULL: it is gone */
	/* the peer */
	unsigned state_up, state_down, attaches;
	unsigned notices;
	uint16_t notice_op;
	uint32_t notice_len;
	uint8_t notice_body[65536];
	void (*on_notice)(struct world *w);
	int attach_err;
};

struct result {
	struct rpc_call call;
	bool done;
	int err;
	uint8_t body[4096];
	uint32_t len, bulk_len;
};

struct rpc_identity world_id(uint16_t role, const char *name);
/* ids may be NULL: defaults, HMAC with equal secrets. */
void world_init(struct world *w, const struct rpc_identity *server, const struct rpc_identity *client);
void world_init_env(struct world *w, struct env *env, const struct rpc_identity *server, const struct rpc_identity *client,
		    const char *listen, const struct rpc_peer_ops *ops, unsigned conns, unsigned credits);
void world_done(struct world *w);
/* Steps until *flag, or for ms of virtual time. */
bool world_until(struct world *w, const bool *flag, uint64_t ms);
void world_run(struct world *w, uint64_t ms);
/* Answers everything held, oldest first. */
void world_release(struct world *w);
void echo_reply(struct world *w, struct rpc_req *req);

/* A call with len bytes of pattern as body. */
void call_prepare(struct result *r, uint16_t op, size_t len);
void call_start(struct world *w, struct result *r, uint16_t op, size_t len);
bool body_is_echo(const struct result *r, size_t len);
int call_sync(struct world *w, struct result *r, uint16_t op, size_t len);

extern const struct rpc_peer_ops world_plain_ops, world_attach_ops, world_deaf_ops;

#endif
