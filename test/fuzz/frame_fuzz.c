/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Fuzz target of frames, handshakes and dispatch, in a fake environment. Input: one byte of how, then bytes for the victim.
 *
 *	bit 0	the victim is a calling peer instead of a server
 *	bit 1	after the handshake
 *	bit 2	the bytes describe frames (struct item), which get good checksums; otherwise they are sent as they are
 *	bit 3	pieces of 7 bytes
 *	bit 4	sends end late
 *	bit 5	the server holds its requests
 */
#include "base/log.h"
#include "raw.h"
#include "world.h"

#define ITEM 12u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* opcode:16 flags:16 xid:8 session:8 slot:8 status:8 body_len:16 bulk_len:16, then the body */
static void send_items(struct raw *raw, const uint8_t *p, size_t n)
{
	static const uint8_t bulk[65536];

	while (n >= ITEM) {
		struct wp_hdr h = {
			.opcode = wp_get_le16(p),
			.flags = wp_get_le16(p + 2),
			.xid = p[4] & 0x80 ? 1ull << 63 | (p[4] & 0x7f) : p[4],
			.session = p[5],
			.slot = p[6],
			.status = p[7],
			.target = TARGET,
			.credits = p[7],
			.map_version = p[4],
			.body_len = MIN(wp_get_le16(p + 8), (uint32_t)(n - ITEM)),
			.bulk_len = wp_get_le16(p + 10),
		};

		raw_frame(raw, &h, p + ITEM, bulk);
		p += ITEM + h.body_len;
		n -= ITEM + h.body_len;
	}
}

static void attack(struct world *w, struct raw *raw, uint8_t how, const uint8_t *p, size_t n)
{
	if (how & 4)
		send_items(raw, p, n);
	else
		raw_send(raw, p, n);
	world_run(w, 20);
}

static void against_server(struct world *w, uint8_t how, const uint8_t *p, size_t n)
{
	struct raw raw;

	raw_connect(&raw, w->env, ADDR);
	world_run(w, 1);
	if (how & 2) {
		raw_hello(&raw, WP_SERVICE_META, TARGET);
		world_run(w, 1);
		raw_auth(&raw);
		world_run(w, 1);
		weft_assert(w->ups == 1);
	}
	if (w->conn)
		rpc_conn_notice(w->conn, WP_OP_LEASE_RECALL, p, MIN(n, (size_t)100));
	attack(w, &raw, how, p, n);
	if (w->conn)
		rpc_conn_notice(w->conn, WP_OP_LEASE_RECALL, p, n);
	raw_close(&raw);
	world_run(w, 20);
}

static void against_client(struct world *w, uint8_t how, const uint8_t *p, size_t n)
{
	static struct result res[6];
	static uint8_t mem[65536];
	struct iovec iov = { mem, 3000 };
	struct raw raw;

	w->addr = "sim:raw:1";
	raw_listen(&raw, w->env, w->addr);
	for (unsigned i = 0; i < 6; i++) {
		call_prepare(&res[i], i % 2 ? WP_OP_OBJ_WRITE : WP_OP_GETATTR, 10);
		res[i].call.xid = i < 3 ? i + 1 : 0;
		res[i].call.bulk = &iov;
		res[i].call.bulk_n = i % 3 == 1;
		res[i].call.reply_bulk = mem;
		res[i].call.reply_bulk_max = i < 5 ? sizeof(mem) : 0;
		if (i == 4)
			res[i].call.deadline_ns = w->f.now + 5 * NSEC_PER_MSEC;
		rpc_call(w->peer, &res[i].call);
	}
	world_run(w, 1);
	if (how & 2) {
		raw_hello_reply(&raw);
		world_run(w, 1);
		raw_auth_reply(&raw);
		world_run(w, 1);
	}
	attack(w, &raw, how, p, n);
	rpc_call_cancel(&res[0].call);
	world_run(w, 5);
	raw_close(&raw);
	w->addr = ADDR; /* everything must end well at an honest server */
	for (unsigned i = 0; i < 6; i++)
		weft_assert(world_until(w, &res[i].done, 120000));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	struct rpc_identity s = world_id(WP_ROLE_META, "srv"), c = world_id(WP_ROLE_CLIENT, "c");

	log_setup("fuzz", LOG_ERR);
	if (!size)
		return 0;
	s.auth = c.auth = WP_AUTH_NONE;
	world_init(&w, &s, &c);
	w.f.piece = data[0] & 8 ? 7 : 0;
	w.f.lazy_sends = data[0] & 16;
	w.hold = (data[0] & 33) == 32;
	if (data[0] & 1)
		against_client(&w, data[0], data + 1, size - 1);
	else
		against_server(&w, data[0], data + 1, size - 1);
	world_done(&w);
	return 0;
}
