/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Addresses of endpoints as text: "tcp:HOST:PORT", "tcp:[V6]:PORT", "unix:PATH", and in simulations "sim:HOST:PORT".
 *
 * HOST is a name, an IPv4 address or, for listening, "*" or empty; nothing is resolved here.
 */
#ifndef WEFT_NET_ADDR_H
#define WEFT_NET_ADDR_H

#include "base/base.h"
#include "weft_proto.h"

enum net_addr_kind { NET_ADDR_TCP, NET_ADDR_UNIX, NET_ADDR_SIM };

struct net_addr {
	enum net_addr_kind kind;
	bool v6;                        /* host is an IPv6 address, without brackets */
	uint16_t port;                  /* 0: chosen by the system when listening */
	char host[WP_ADDR_LEN_MAX + 1]; /* host, or the path of a Unix socket */
};

/* -EINVAL: malformed; -ENAMETOOLONG. */
int net_addr_parse(const char *text, struct net_addr *ret) must_check;
/* -ENAMETOOLONG. */
int net_addr_format(const struct net_addr *a, char *buf, size_t size) must_check;
/* Can somebody connect to it? -EINVAL also for port 0 and for an empty host. */
int net_addr_check(const char *text) must_check;

#endif
