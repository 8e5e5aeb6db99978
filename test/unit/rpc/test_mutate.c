/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A valid stream with random damage, fed to a server: whatever it is, nothing crashes, and a change anywhere but in a bulk
 * payload closes the connection.
 */
#include "net/frame.h"
#include "raw.h"
#include "world.h"

static struct world w;
static struct buf stream, bulk_map; /* bulk_map: 1 for bytes of bulk payloads */
static uint64_t seed;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((seed >> 33) % below);
}

static void add_frame(uint16_t op, uint32_t body_len, uint32_t bulk_len)
{
	static uint8_t body[40000], bulk[40000];
	static const uint8_t zeros[8];
	struct wp_hdr h = { .opcode = op, .xid = stream.len, .target = TARGET, .body_len = body_len, .bulk_len = bulk_len };
	uint8_t head[WP_HDR_SIZE], one = 1, zero = 0;
	uint32_t pad = net_frame_pad(body_len);

	for (uint32_t i = 0; i < body_len; i++)
		body[i] = (uint8_t)rnd(256);
	net_frame_seal(head, &h, body);
	buf_add(&stream, head, sizeof(head));
	buf_add(&stream, body, body_len);
	buf_add(&stream, zeros, pad);
	buf_add(&stream, bulk, bulk_len);
	for (uint32_t i = 0; i < sizeof(head) + body_len + pad; i++)
		buf_add(&bulk_map, &zero, 1);
	for (uint32_t i = 0; i < bulk_len; i++)
		buf_add(&bulk_map, &one, 1);
}

/* Returns whether the connection has to close. */
static bool mutate(struct buf *b)
{
	uint32_t at = rnd((uint32_t)b->len), n;

	switch (rnd(5)) {
	case 0: /* one bit */
		b->p[at] ^= (uint8_t)(1u << rnd(8));
		return !bulk_map.p[at];
	case 1: /* cut off: the server waits for the rest */
		b->len = at;
		return false;
	case 2: /* leave something out */
		n = 1 + rnd(MIN(200u, (uint32_t)b->len - at));
		memmove(b->p + at, b->p + at + n, b->len - at - n);
		b->len -= n;
		return false;
	case 3: /* twice */
		n = 1 + rnd(MIN(200u, (uint32_t)b->len - at));
		buf_reserve(b, n);
		memmove(b->p + at + n, b->p + at, b->len - at);
		b->len += n;
		return false;
	default: /* random bytes */
		n = 1 + rnd(MIN(64u, (uint32_t)b->len - at));
		while (n--)
			b->p[at + n] = (uint8_t)rnd(256);
		return false;
	}
}

static void one(uint64_t i)
{
	struct rpc_identity s = world_id(WP_ROLE_META, "srv"), c = world_id(WP_ROLE_CLIENT, "c");
	struct buf b = { 0 };
	struct raw raw;
	bool must_close;
	unsigned before;

	seed = i;
	s.auth = c.auth = WP_AUTH_NONE;
	world_init(&w, &s, &c);
	w.f.piece = rnd(3) ? 0 : 1 + rnd(5000);
	raw_connect(&raw, w.env, ADDR);
	raw_hello(&raw, WP_SERVICE_META, TARGET);
	world_run(&w, 1);
	raw_auth(&raw);
	world_run(&w, 1);
	if (w.ups != 1)
		bail_out("handshake");
	before = w.requests;
	buf_add(&b, stream.p, stream.len);
	must_close = mutate(&b);
	raw_send(&raw, b.p, b.len);
	world_run(&w, 10);
	ok_quiet(!must_close || raw.closed, "mutation %llu closes", (unsigned long long)i);
	ok_quiet(w.requests - before <= 12, "mutation %llu: no more requests than were sent", (unsigned long long)i);
	raw_close(&raw);
	world_run(&w, 10);
	ok_quiet(!call_sync(&w, &(struct result){ .done = false }, WP_OP_GETATTR, 5), "mutation %llu: the server lives",
		 (unsigned long long)i);
	world_done(&w);
	buf_done(&b);
}

int main(int argc, char **argv)
{
	uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 0) : 4000;

	seed = 99;
	add_frame(WP_OP_GETATTR, 20, 0);
	add_frame(WP_OP_OBJ_WRITE, 120, 5000);
	add_frame(WP_OP_MKDIR, 7, 0);
	add_frame(WP_OP_OBJ_WRITE, 33, 100);
	add_frame(WP_OP_SETXATTR, 20000, 0);
	add_frame(WP_OP_OBJ_WRITE, 1025, 30000);
	add_frame(WP_OP_PING, 0, 0);
	for (uint64_t i = 0; i < rounds; i++)
		one(i);
	ok(true, "%llu mutations", (unsigned long long)rounds);
	buf_done(&stream);
	buf_done(&bulk_map);
	return done_testing();
}
