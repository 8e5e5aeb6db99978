/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Addresses: "tcp:HOST:PORT", "tcp:[V6]:PORT", "unix:PATH", "unix:@NAME" (abstract). */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "env/linux_priv.h"

#define HOST_MAX 255u
#define SCOPE_TEXT_MAX 20 /* "%" and the name of an interface */

struct tcp_parts {
	char host[HOST_MAX + 1];
	char port[6];
	bool literal; /* an address, not a name */
};

static bool is_literal(const char *host)
{
	unsigned char a[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, host, a) == 1 || strchr(host, ':');
}

static int parse_port(const char *s, struct tcp_parts *ret)
{
	unsigned long v = 0;
	size_t len = strlen(s);

	if (!len || len >= sizeof(ret->port))
		return -EINVAL;
	for (const char *p = s; *p; p++) {
		if (*p < '0' || *p > '9')
			return -EINVAL;
		v = v * 10 + (unsigned long)(*p - '0');
	}
	if (v > UINT16_MAX)
		return -EINVAL;
	memcpy(ret->port, s, len + 1);
	return 0;
}

/* text is behind "tcp:". */
static int parse_tcp(const char *text, struct tcp_parts *ret)
{
	const char *host = text, *end;
	size_t len;

	if (*text == '[') {
		host = text + 1;
		end = strchr(host, ']');
		if (!end || end[1] != ':')
			return -EINVAL;
		len = (size_t)(end - host);
		end++;
	} else {
		end = strrchr(text, ':');
		if (!end)
			return -EINVAL;
		len = (size_t)(end - host);
		if (memchr(host, ':', len))
			return -EINVAL;
	}
	if (!len || len > HOST_MAX)
		return -EINVAL;
	memcpy(ret->host, host, len);
	ret->host[len] = '\0';
	ret->literal = is_literal(ret->host);
	return parse_port(end + 1, ret);
}

static int parse_unix(const char *path, struct sock_addr *ret)
{
	struct sockaddr_un *un = (struct sockaddr_un *)(void *)&ret->ss;
	size_t len = strlen(path);

	if (!len || len >= sizeof(un->sun_path))
		return -EINVAL;
	*ret = (struct sock_addr){ 0 };
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, len);
	ret->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	if (path[0] == '@') {
		un->sun_path[0] = '\0';
		ret->len--;
	}
	return 0;
}

int addr_check(const char *text, bool *name)
{
	struct tcp_parts tcp;
	struct sock_addr unused;
	int r;

	*name = false;
	if (!strncmp(text, "unix:", 5))
		return parse_unix(text + 5, &unused);
	if (strncmp(text, "tcp:", 4))
		return -EINVAL;
	r = parse_tcp(text + 4, &tcp);
	if (!r)
		*name = !tcp.literal;
	return r;
}

int addr_resolve(const char *text, bool passive, struct sock_addr *ret, int max)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *ai;
	struct tcp_parts tcp;
	int r, n = 0;

	if (!strncmp(text, "unix:", 5)) {
		r = parse_unix(text + 5, ret);
		return r < 0 ? r : 1;
	}
	if (strncmp(text, "tcp:", 4) || parse_tcp(text + 4, &tcp) < 0)
		return -EINVAL;
	hints.ai_flags = AI_NUMERICSERV | (tcp.literal ? AI_NUMERICHOST : AI_ADDRCONFIG) | (passive ? AI_PASSIVE : 0);
	r = getaddrinfo(tcp.host, tcp.port, &hints, &list);
	if (r)
		return r == EAI_SYSTEM ? -errno : tcp.literal ? -EINVAL : -EHOSTUNREACH;
	for (ai = list; ai && n < max; ai = ai->ai_next) {
		if (ai->ai_addrlen > sizeof(ret[n].ss))
			continue;
		memcpy(&ret[n].ss, ai->ai_addr, ai->ai_addrlen);
		ret[n++].len = ai->ai_addrlen;
	}
	freeaddrinfo(list);
	return n ? n : -EHOSTUNREACH;
}

void addr_format(const struct sock_addr *a, char *text, size_t size)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&a->ss;
	char host[INET6_ADDRSTRLEN + SCOPE_TEXT_MAX], port[8];

	switch (a->ss.ss_family) {
	case AF_UNIX:
		if (a->len <= offsetof(struct sockaddr_un, sun_path))
			snprintf(text, size, "unix:");
		else if (un->sun_path[0])
			snprintf(text, size, "unix:%.*s", (int)sizeof(un->sun_path), un->sun_path);
		else
			snprintf(text, size, "unix:@%.*s", (int)(a->len - offsetof(struct sockaddr_un, sun_path) - 1),
				 un->sun_path + 1);
		return;
	case AF_INET:
	case AF_INET6:
		if (getnameinfo((const struct sockaddr *)&a->ss, a->len, host, sizeof(host), port, sizeof(port),
				NI_NUMERICHOST | NI_NUMERICSERV))
			break;
		snprintf(text, size, a->ss.ss_family == AF_INET ? "tcp:%s:%s" : "tcp:[%s]:%s", host, port);
		return;
	default:
		break;
	}
	snprintf(text, size, "unknown");
}
