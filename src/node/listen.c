/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Where a daemon listens, and what it tells others about that. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

#include "base/log.h"
#include "node/daemon.h"

static const char *listen_advice(int err)
{
	switch (err) {
	case -EADDRINUSE:
		return "the address is in use, another process listens there: stop it, or choose another address with --listen";
	case -EACCES:
	case -EPERM:
		return "no right to: ports below 1024 need root, a Unix socket needs the right to write in its folder";
	case -EADDRNOTAVAIL:
		return "this machine does not have that address: choose one of its own, or * for all, with --listen";
	case -ENOENT:
		return "the folder of the Unix socket does not exist: make it";
	case -EINVAL:
		return "malformed, or a Unix socket path of more than 107 bytes: choose a shorter one with --listen";
	default:
		return strerror(-err);
	}
}

static int listen_one(struct rpc_node *node, const char *addr)
{
	int r = rpc_listen(node, addr);

	if (r < 0)
		log_err("node", "cannot listen on %s: %s", addr, listen_advice(r));
	return r;
}

/* "tcp:*:PORT" and "tcp::PORT" are every address; IPv6 sockets take IPv4 connections as well, where the machine has IPv6. */
static int listen_any(struct rpc_node *node, const char *port)
{
	cleanup_free char *v6 = xasprintf("tcp:[::]:%s", port);
	cleanup_free char *v4 = xasprintf("tcp:0.0.0.0:%s", port);

	return rpc_listen(node, v6) == 0 ? 0 : listen_one(node, v4);
}

static int listen_addr(struct rpc_node *node, const char *addr)
{
	if (!strncmp(addr, "tcp:*:", 6))
		return listen_any(node, addr + 6);
	return listen_one(node, addr);
}

int daemon_listen(struct rpc_node *node, const char *fallback)
{
	const struct conf_list *l = &daemon_options.listen;
	int r;

	if (!l->n)
		return listen_addr(node, fallback);
	for (unsigned i = 0; i < l->n; i++) {
		r = listen_addr(node, l->v[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- advertising -------------------------------------------------------------------------------------------------------------- */

struct addr_list {
	char **v;
	unsigned n;
};

static void add(struct addr_list *l, char *text)
{
	if (l->n == DAEMON_LISTEN_MAX) {
		free(text);
		return;
	}
	l->v[l->n++] = text;
}

/* One address of an interface that others could reach; link-local ones need a scope, which means nothing elsewhere. */
static void add_interface(struct addr_list *l, const struct ifaddrs *i, int family, const char *port)
{
	char text[INET6_ADDRSTRLEN];

	if (!i->ifa_addr || i->ifa_addr->sa_family != family || !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK))
		return;
	if (family == AF_INET) {
		const struct sockaddr_in *a = (const void *)i->ifa_addr;

		if (inet_ntop(AF_INET, &a->sin_addr, text, sizeof(text)))
			add(l, xasprintf("tcp:%s:%s", text, port));
	} else {
		const struct sockaddr_in6 *a = (const void *)i->ifa_addr;

		if (!IN6_IS_ADDR_LINKLOCAL(&a->sin6_addr) && inet_ntop(AF_INET6, &a->sin6_addr, text, sizeof(text)))
			add(l, xasprintf("tcp:[%s]:%s", text, port));
	}
}

static void add_interfaces(struct addr_list *l, bool v4_only, const char *port)
{
	unsigned before = l->n;
	struct ifaddrs *all = NULL;

	if (getifaddrs(&all) == 0) {
		for (const struct ifaddrs *i = all; i; i = i->ifa_next)
			add_interface(l, i, AF_INET, port);
		for (const struct ifaddrs *i = all; i && !v4_only; i = i->ifa_next)
			add_interface(l, i, AF_INET6, port);
		freeifaddrs(all);
	}
	if (l->n == before) /* a machine without a network: others on it can connect */
		add(l, xasprintf("tcp:127.0.0.1:%s", port));
}

static void add_bound(struct addr_list *l, const char *addr)
{
	char folder[PATH_MAX];

	if (!strncmp(addr, "tcp:0.0.0.0:", 12))
		add_interfaces(l, true, addr + 12);
	else if (!strncmp(addr, "tcp:[::]:", 9))
		add_interfaces(l, false, addr + 9);
	else if (!strncmp(addr, "unix:", 5) && addr[5] != '/' && addr[5] != '@' && getcwd(folder, sizeof(folder)))
		add(l, xasprintf("unix:%s/%s", folder, addr + 5)); /* others have another working folder */
	else
		add(l, xstrdup(addr));
}

char **daemon_addresses(struct rpc_node *node, unsigned *n)
{
	struct addr_list l = { .v = xcalloc(DAEMON_LISTEN_MAX + 1, sizeof(char *)) };
	const struct conf_list *given = &daemon_options.advertise;
	const char *addr;

	for (unsigned i = 0; i < given->n; i++)
		add(&l, xstrdup(given->v[i]));
	for (unsigned i = 0; !given->n && (addr = rpc_listen_addr(node, i)) != NULL; i++)
		add_bound(&l, addr);
	*n = l.n;
	return l.v;
}

void daemon_free_addresses(char **addrs)
{
	for (char **p = addrs; p && *p; p++)
		free(*p);
	free(addrs);
}
