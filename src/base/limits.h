/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Every limit of the system that is not part of the wire protocol, with its reason. */
#ifndef WEFT_BASE_LIMITS_H
#define WEFT_BASE_LIMITS_H

#define WEFT_FILE_SIZE_MAX INT64_MAX /* off_t */
#define WEFT_LINK_MAX 0x7fffffffu    /* nlink_t shown to programs is often 32 bits, signed */
#define WEFT_SLOTS_MAX 1024u         /* reply-cache slots of a session: bounds the server's memory for a client */
#define WEFT_SLOTS_DEFAULT 256u
#define WEFT_CONN_SENDQ_MAX (8u << 20) /* bytes queued on a connection before its requests are no longer read: back-pressure */
#define WEFT_REACTORS_MAX 64u
#define WEFT_HANDSHAKE_TIMEOUT_MS 5000u /* a peer that does not finish its handshake is dropped */
#define WEFT_RPC_RETRY_MIN_MS 10u
#define WEFT_RPC_RETRY_MAX_MS 1000u

#endif
