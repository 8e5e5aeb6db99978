/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "net/addr.h"

#include <arpa/inet.h>
#include <sys/un.h>

static int parse_port(const char *s, uint16_t *ret)
{
	unsigned v = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		v = v * 10 + (unsigned)(*s - '0');
		if (v > UINT16_MAX)
			return -EINVAL;
	}
	*ret = (uint16_t)v;
	return 0;
}

static bool host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static bool host_ok(const char *host)
{
	if (!strcmp(host, "*"))
		return true;
	for (; *host; host++)
		if (!host_char(*host))
			return false;
	return true;
}

/* An address with a scope ("fe80::1%eth0") is accepted: the part before '%' must be an address. */
static bool v6_ok(const char *host)
{
	char bare[INET6_ADDRSTRLEN];
	struct in6_addr in6;
	size_t n = strcspn(host, "%");

	if (n >= sizeof(bare))
		return false;
	memcpy(bare, host, n);
	bare[n] = '\0';
	return inet_pton(AF_INET6, bare, &in6) == 1;
}

static int parse_host_port(const char *s, struct net_addr *a)
{
	const char *end, *port;
	size_t n;

	if (*s == '[') {
		s++;
		end = strchr(s, ']');
		if (!end || end[1] != ':')
			return -EINVAL;
		a->v6 = true;
		port = end + 2;
	} else {
		end = strchr(s, ':');
		if (!end)
			return -EINVAL;
		port = end + 1;
	}
	n = (size_t)(end - s);
	if (n >= sizeof(a->host))
		return -ENAMETOOLONG;
	memcpy(a->host, s, n);
	a->host[n] = '\0';
	if (a->v6 ? a->kind != NET_ADDR_TCP || !v6_ok(a->host) : !host_ok(a->host))
		return -EINVAL;
	return parse_port(port, &a->port);
}

int net_addr_parse(const char *text, struct net_addr *ret)
{
	struct net_addr a = { 0 };
	int err;

	if (strlen(text) > WP_ADDR_LEN_MAX)
		return -ENAMETOOLONG;
	if (!strncmp(text, "unix:", 5)) {
		a.kind = NET_ADDR_UNIX;
		if (!text[5])
			return -EINVAL;
		if (strlen(text + 5) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
			return -ENAMETOOLONG;
		(void)str_copy(a.host, sizeof(a.host), text + 5);
	} else if (!strncmp(text, "tcp:", 4) || !strncmp(text, "sim:", 4)) {
		a.kind = text[0] == 't' ? NET_ADDR_TCP : NET_ADDR_SIM;
		err = parse_host_port(text + 4, &a);
		if (err)
			return err;
	} else {
		return -EINVAL;
	}
	*ret = a;
	return 0;
}

int net_addr_format(const struct net_addr *a, char *buf, size_t size)
{
	int n;

	if (a->kind == NET_ADDR_UNIX)
		n = snprintf(buf, size, "unix:%s", a->host);
	else if (a->v6)
		n = snprintf(buf, size, "tcp:[%s]:%u", a->host, a->port);
	else
		n = snprintf(buf, size, "%s:%s:%u", a->kind == NET_ADDR_TCP ? "tcp" : "sim", a->host, a->port);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int net_addr_check(const char *text)
{
	struct net_addr a;
	int err = net_addr_parse(text, &a);

	if (err)
		return err;
	if (a.kind != NET_ADDR_UNIX && (!a.port || !a.host[0] || !strcmp(a.host, "*")))
		return -EINVAL;
	return 0;
}
