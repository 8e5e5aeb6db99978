/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Addresses and frame headers; connections are tested in test/unit/rpc. */
#include "net/addr.h"
#include "net/frame.h"
#include "tap.h"

static void good_addr(const char *text, enum net_addr_kind kind, const char *host, unsigned port, bool v6)
{
	char back[WP_ADDR_LEN_MAX + 1];
	struct net_addr a;

	ok(!net_addr_parse(text, &a) && a.kind == kind && !strcmp(a.host, host) && a.port == port && a.v6 == v6 &&
	   !net_addr_format(&a, back, sizeof(back)) && !strcmp(back, text), "%s", text);
	ok(net_addr_format(&a, back, strlen(text)) == -ENAMETOOLONG, "  does not fit into less");
}

static void test_addresses(void)
{
	static const char *const bad[] = {
		"", "tcp", "tcp:", "tcp:host", "tcp:host:", "tcp:host:x", "tcp:host:-1", "tcp:host:65536",
		"tcp:host:99999999999", "tcp:h st:1",
		"tcp:[::1]", "tcp:[::1:1", "tcp:[::1]1", "tcp:[host]:1", "tcp:::1:5", "sim:[::1]:1", "unix:", "udp:a:1",
		"tcp:a:1 ", " tcp:a:1",
		"tcp:a/b:1",
	};
	static const char *const not_for_connecting[] = { "tcp::5", "tcp:*:5", "tcp:host:0", "tcp:[::]:0" };
	char longer[400];
	struct net_addr a;

	good_addr("tcp:host.example:8700", NET_ADDR_TCP, "host.example", 8700, false);
	good_addr("tcp:10.0.0.1:0", NET_ADDR_TCP, "10.0.0.1", 0, false);
	good_addr("tcp:*:65535", NET_ADDR_TCP, "*", 65535, false);
	good_addr("tcp::1", NET_ADDR_TCP, "", 1, false);
	good_addr("tcp:[::1]:8700", NET_ADDR_TCP, "::1", 8700, true);
	good_addr("tcp:[fe80::1%eth0]:1", NET_ADDR_TCP, "fe80::1%eth0", 1, true);
	good_addr("unix:/run/weft/sock", NET_ADDR_UNIX, "/run/weft/sock", 0, false);
	good_addr("unix:relative:name", NET_ADDR_UNIX, "relative:name", 0, false);
	good_addr("sim:s1:7", NET_ADDR_SIM, "s1", 7, false);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ok(net_addr_parse(bad[i], &a) == -EINVAL && net_addr_check(bad[i]) == -EINVAL, "refused: \"%s\"", bad[i]);
	for (size_t i = 0; i < ARRAY_SIZE(not_for_connecting); i++)
		ok(net_addr_parse(not_for_connecting[i], &a) == 0 && net_addr_check(not_for_connecting[i]) == -EINVAL,
		   "only for listening: %s", not_for_connecting[i]);
	ok(!net_addr_check("tcp:h:1") && !net_addr_check("unix:/x"), "for connecting");
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	memcpy(longer, "unix:", 5);
	ok(net_addr_parse(longer, &a) == -ENAMETOOLONG, "too long");
	longer[5 + 108] = '\0';
	ok(net_addr_parse(longer, &a) == -ENAMETOOLONG, "too long for a socket");
	longer[5 + 107] = '\0';
	ok(!net_addr_parse(longer, &a), "the longest");
}

static void test_frames(void)
{
	struct wp_hdr h = { .opcode = 5, .xid = 77, .body_len = 9, .bulk_len = 3 }, back;
	uint8_t head[WP_HDR_SIZE];
	unsigned missed = 0;

	net_frame_seal(head, &h, "some body");
	ok(!net_frame_open(head, &back) && back.xid == 77 && back.body_len == 9 && back.bulk_len == 3, "header");
	ok(net_frame_intact(head, &back, "some body") && !net_frame_intact(head, &back, "some bodY"), "checksum over the body");
	for (unsigned bit = 0; bit < 8 * WP_HDR_SIZE; bit++) {
		head[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (!net_frame_open(head, &back) && back.body_len == 9)
			missed += net_frame_intact(head, &back, "some body");
		head[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	is_int(missed, 0, "every bit of the header counts");
	ok(net_frame_pad(0) == 0 && net_frame_pad(1) == 7 && net_frame_pad(8) == 0 && net_frame_pad(1048575) == 1, "padding");
	h.body_len = 0;
	net_frame_seal(head, &h, NULL);
	ok(!net_frame_open(head, &back) && net_frame_intact(head, &back, NULL), "no body");
}

int main(void)
{
	test_addresses();
	test_frames();
	return done_testing();
}
