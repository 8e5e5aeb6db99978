/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Clients, connections that break, bits that flip on the way, a storage target and its device, all together: after each answer the
 * object is what its writer knows.
 */
#include "base/crc.h"
#include "cap/cap.h"
#include "fake_env.h"
#include "osd/osd.h"
#include "proto/status.h"
#include "storage/storage.h"
#include "tap.h"
#include "world.h"

#define WORKERS 8u
#define OBJ_MAX 400000u
#define IO_MAX 150000u
#define OPS 8000u

struct worker {
	unsigned id;
	struct rpc_call call;
	struct wp_objid obj;
	struct wp_cap cap;
	uint8_t mac[WP_MAC_SIZE];
	uint8_t *shadow; /* what the object must be */
	uint64_t size;
	uint8_t *buf;
	struct iovec iov;
	uint64_t offset;
	uint32_t len;
	uint16_t op;
	bool busy;
};

static struct fake env;
static struct rpc_node *server, *client;
static struct rpc_peer *peer;
static struct storage_target *target;
static struct worker workers[WORKERS];
static const char *addr;
static uint64_t rng = 1, done_ops, bad_crcs, flips;
static bool flipping;

static uint32_t pick(uint32_t n)
{
	rng = rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(rng >> 33) % n;
}

/* One bit of some large pieces is changed on the way. */
static size_t filter(void *arg, bool from_client, uint8_t *p, size_t n)
{
	if (flipping && n > 3000 && pick(60) == 0) {
		p[pick((uint32_t)n)] ^= (uint8_t)(1u << pick(8));
		flips++;
	}
	return n;
}

static uint32_t crcs_of(const uint8_t *p, uint64_t offset, uint64_t len, uint32_t *crcs)
{
	uint32_t n = 0;

	for (uint64_t part; len; p += part, offset += part, len -= part) {
		part = MIN(len, WP_BLOCK_SIZE - offset % WP_BLOCK_SIZE);
		crcs[n++] = crc32c(0, p, part);
	}
	return n;
}

static void send_op(struct worker *w);

static void write_done(struct worker *w)
{
	struct wp_obj_write_rep rep;

	ok_quiet(!w->call.err, "write: %d", w->call.err);
	ok_quiet(!wp_obj_write_rep_decode(w->call.reply, w->call.reply_len, NULL, 0, &rep), "malformed reply");
	memcpy(w->shadow + w->offset, w->buf, w->len);
	w->size = MAX(w->size, w->offset + w->len);
	ok_quiet(rep.stat.size == w->size, "size %llu, must be %llu", (unsigned long long)rep.stat.size,
		 (unsigned long long)w->size);
}

/* False: the bytes do not match their checksums; to be read again. */
static bool read_done(struct worker *w)
{
	static uint8_t scratch[16384];
	static uint32_t crcs[WP_CRCS_MAX];
	uint64_t must = w->offset < w->size ? MIN(w->len, w->size - w->offset) : 0;
	struct wp_obj_read_rep rep;
	uint32_t n;

	ok_quiet(!w->call.err, "read: %d", w->call.err);
	ok_quiet(!wp_obj_read_rep_decode(w->call.reply, w->call.reply_len, scratch, sizeof(scratch), &rep), "malformed reply");
	n = crcs_of(w->buf, w->offset, w->call.reply_bulk_len, crcs);
	if (n != rep.crcs_n || (n && memcmp(crcs, rep.crcs, n * sizeof(crcs[0]))))
		return false;
	ok_quiet(w->call.reply_bulk_len == must && !memcmp(w->buf, w->shadow + w->offset, must), "worker %u: wrong bytes", w->id);
	return true;
}

static void call_done(struct rpc_call *c)
{
	struct worker *w = c->arg;

	if (c->err == -ECANCELED)
		return;
	if (w->op == WP_OP_OBJ_WRITE && c->err == -WEFT_EBADCRC) {
		bad_crcs++;
		send_op(w);
		return;
	}
	if (w->op == WP_OP_OBJ_READ && !read_done(w)) {
		bad_crcs++;
		send_op(w);
		return;
	}
	if (w->op == WP_OP_OBJ_WRITE)
		write_done(w);
	done_ops++;
	w->busy = false;
}

static void send_op(struct worker *w)
{
	static uint32_t crcs[WP_CRCS_MAX];
	struct rpc_call *c = &w->call;

	rpc_call_init(c, w->op, call_done, w);
	w->iov = (struct iovec){ .iov_base = w->buf, .iov_len = w->len };
	if (w->op == WP_OP_OBJ_WRITE) {
		struct wp_obj_write_req m = { .cap = w->cap, .obj = w->obj, .offset = w->offset, .crcs = crcs };

		m.crcs_n = crcs_of(w->buf, w->offset, w->len, crcs);
		wp_obj_write_req_enc(rpc_call_enc(c, 8192), &m);
		c->bulk = &w->iov;
		c->bulk_n = 1;
	} else {
		struct wp_obj_read_req m = { .cap = w->cap, .obj = w->obj, .offset = w->offset, .length = w->len };

		wp_obj_read_req_enc(rpc_call_enc(c, 512), &m);
		c->reply_bulk = w->buf;
		c->reply_bulk_max = w->len;
	}
	rpc_call(peer, c);
}

static void start_op(struct worker *w)
{
	w->busy = true;
	w->op = pick(2) ? WP_OP_OBJ_WRITE : WP_OP_OBJ_READ;
	w->offset = pick(OBJ_MAX - IO_MAX);
	w->len = 1 + pick(pick(3) ? 6000 : IO_MAX);
	if (w->op == WP_OP_OBJ_WRITE)
		for (uint32_t i = 0; i < w->len; i++)
			w->buf[i] = (uint8_t)(done_ops * 31 + w->id + i * 7 + i / 253);
	send_op(w);
}

static unsigned addrs(void *arg, struct rpc_peer *p, const char **ret, unsigned max)
{
	ret[0] = addr;
	return 1;
}

static const struct rpc_peer_ops peer_ops = { .addrs = addrs };

static void setup(struct osd_dev **dev)
{
	struct osd_params op = { .env = &env.env, .capacity = MIB(64) };
	struct storage_params sp = { .env = &env.env, .target = 1, .inflight_bytes = KIB(32), .queued_bytes = KIB(100) };
	struct rpc_identity sid = world_id(WP_ROLE_STORAGE, "store"), cid = world_id(WP_ROLE_CLIENT, "client");
	struct rpc_peer_params pp = { .service = WP_SERVICE_STORAGE, .target = 1, .conns = 2, .ops = &peer_ops };
	struct cap_key key;

	weft_assert(osd_backend("mem")->open(&op, dev) == 0);
	sp.dev = *dev;
	memset(sp.cap_key, 5, sizeof(sp.cap_key));
	cap_key_init(&key, sp.cap_key);
	weft_assert(storage_target_open(&sp, &target) == 0);
	weft_assert(rpc_node_new(&env.env, &sid, &server) == 0 && rpc_node_new(&env.env, &cid, &client) == 0);
	weft_assert(rpc_service_add(server, storage_target_service(target)) == 0);
	weft_assert(rpc_listen(server, "sim:store:1") == 0);
	addr = rpc_listen_addr(server, 0);
	weft_assert(rpc_peer_new(client, &pp, &peer) == 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		struct worker *w = &workers[i];

		w->id = i;
		w->obj = (struct wp_objid){ .fid = { .seq = 1, .oid = i + 2 } };
		w->cap = (struct wp_cap){ .fid = w->obj.fid, .rights = WP_RIGHTS_READ | WP_RIGHTS_WRITE, .expiry = UINT32_MAX };
		cap_sign(&key, &w->cap, w->mac);
		w->shadow = xcalloc(1, OBJ_MAX);
		w->buf = xcalloc(1, OBJ_MAX);
	}
}

int main(void)
{
	const struct storage_counters *n;
	struct osd_dev *dev;
	unsigned breaks = 0;

	fake_init(&env, 1);
	env.filter = filter;
	env.piece = 30000;
	setup(&dev);
	n = storage_target_counters(target);
	for (uint64_t steps = 0; done_ops < OPS && steps < 3000000 && !tap_failed; steps++) {
		flipping = done_ops > OPS / 3;
		for (unsigned i = 0; i < WORKERS; i++)
			if (!workers[i].busy && pick(8) == 0)
				start_op(&workers[i]);
		if (pick(50) == 0) {
			fake_break_all(&env);
			breaks++;
		}
		(void)fake_step(&env);
	}
	ok(done_ops >= OPS, "%u operations (%llu), %u breaks, %llu flips, %llu bad checksums, %llu overloads, %llu stragglers", OPS,
	   (unsigned long long)done_ops, breaks, (unsigned long long)flips, (unsigned long long)bad_crcs,
	   (unsigned long long)n->overloads, (unsigned long long)n->stale_dropped);
	ok(bad_crcs > 0, "flipped bits were noticed");
	ok(n->overloads > 0 && n->queued_ops + n->inflight_ops <= WORKERS, "back-pressure was felt");
	rpc_peer_free(peer);
	rpc_node_free(client);
	rpc_service_remove(server, storage_target_service(target));
	rpc_node_free(server);
	for (unsigned i = 0; i < 100000 && fake_step(&env); i++) {
	}
	ok(n->inflight_ops == 0 && n->queued_ops == 0, "nothing is left");
	storage_target_free(target);
	dev->ops->close(dev);
	fake_done(&env);
	for (unsigned i = 0; i < WORKERS; i++) {
		free(workers[i].shadow);
		free(workers[i].buf);
	}
	return done_testing();
}
