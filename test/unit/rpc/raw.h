/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The end of a connection that says whatever the test wants. */
#ifndef WEFT_TEST_RAW_H
#define WEFT_TEST_RAW_H

#include "base/buf.h"
#include "env/env.h"
#include "weft_proto.h"

struct raw {
	struct env *env;
	struct env_conn *c;
	struct env_listener *l;
	struct buf in;
	uint8_t space[4096];
	bool up, closed;
	unsigned sends;
};

/* Connects; up is set when it is. */
void raw_connect(struct raw *r, struct env *env, const char *addr);
/* Listens for one connection; up is set when it came. */
void raw_listen(struct raw *r, struct env *env, const char *addr);
/* Copies. Nothing happens when the connection is closed. */
void raw_send(struct raw *r, const void *p, size_t n);
/* Seals and sends; lengths in h. */
void raw_frame(struct raw *r, struct wp_hdr *h, const void *body, const void *bulk);
/* The sides of a handshake without authentication: what a client sends at once, what a server answers at once. */
void raw_hello(struct raw *r, uint16_t service, uint32_t target);
void raw_auth(struct raw *r);
void raw_hello_reply(struct raw *r);
void raw_auth_reply(struct raw *r);
void raw_close(struct raw *r);

#endif
