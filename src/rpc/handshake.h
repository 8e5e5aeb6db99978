/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The handshake's messages and proofs, without connections: what to send, and what to think of what came.
 *
 *	client                               server
 *	hello request {nonce, ...}   ->
 *	                             <-      hello reply {nonce, ..., proof "server"}
 *	auth request {proof "client"} ->
 *	                             <-      auth reply
 *
 * A proof is HMAC-SHA256, keyed with the secret of the role that the client claims, over the side's label, the length of the
 * hello request, the hello request, and the hello reply without the bytes of its MAC. Both nonces are in there, so an old proof
 * is worth nothing; so are versions, features, roles, cluster, service and identities, so none can be changed on the way.
 *
 * A refusal is a reply with a status and the body of an auth reply, whose message says why.
 */
#ifndef WEFT_RPC_HANDSHAKE_H
#define WEFT_RPC_HANDSHAKE_H

#include "rpc/rpc.h"

#define HS_BODY_MAX 1024u /* bytes of a handshake message: more is refused before the peer has proved anything */
#define HS_NONCE 32u
#define HS_WHY_MAX 200u

struct hs {
	uint8_t req[HS_BODY_MAX], rep[HS_BODY_MAX];
	uint32_t req_len, rep_len;
	uint32_t mac_off; /* of the MAC in rep */
};

/* What the server learned from a hello. name is not terminated and points into the message. */
struct hs_hello {
	uint16_t role, service;
	uint32_t target;
	uint64_t client_id;
	struct wp_uuid sender;
	struct wp_str name;
};

/* Everywhere: 0, or -WEFT_EAUTH, -EPROTO, -WEFT_EFOREIGN, -EBADMSG with an explanation in why[HS_WHY_MAX]. */

/* Client: fills hs->req. */
void hs_client_hello(struct hs *hs, const struct rpc_identity *id, uint16_t service, uint32_t target, struct env *env);
/* Server: what is wanted, before the service is known. */
int hs_server_parse(const void *body, size_t len, struct hs_hello *ret, char *why) must_check;
/* Server: checks and fills hs->req and hs->rep. */
int hs_server_hello(struct hs *hs, const struct rpc_identity *id, uint64_t boot_epoch, const void *body, size_t len,
		    struct env *env, char *why) must_check;
/* Client: checks the server's reply and proof; mac[WP_MAC_SIZE] is what to answer. */
int hs_client_check(struct hs *hs, const struct rpc_identity *id, const void *body, size_t len, uint8_t *mac,
		    uint64_t *ret_epoch, char *why) must_check;
/* Server: checks the client's proof. */
int hs_server_check(const struct hs *hs, const struct rpc_identity *id, const void *body, size_t len, char *why) must_check;

#endif
