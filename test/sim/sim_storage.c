/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Storage targets alone in a simulated world: processes are killed, hosts lose power, connections break, and every answer is
 * compared with what the objects may contain. sim_storage --seed N --steps M [--verbose]; WEFT_SIM_SECONDS as in sim.
 */
#include <getopt.h>
#include <stdarg.h>
#include <time.h>

#include "base/crc.h"
#include "base/htab.h"
#include "base/log.h"
#include "content.h"
#include "env/env_sim.h"
#include "gate.h"
#include "proto/status.h"
#include "storage/storage.h"

#define STORES 2u
#define CLIENTS 2u
#define WORKERS 12u
#define OBJECTS 10u
#define IO_MAX 200000u
#define OBJ_MAX 500000u
#define DRAIN_NS (300 * NSEC_PER_SEC)
#define PER_MILLE(r, n) (below(r, 1000) < (n))

struct world;

struct store {
	struct world *w;
	unsigned i;
	struct sim_host *host;
	struct osd_dev *platter, *gate;
	struct env *env; /* NULL: down */
	struct rpc_node *node;
	struct storage_target *target;
	uint64_t epoch, up_ns, heal_ns;
	unsigned cuts;
	char addr[32];
};

struct object {
	struct store *store;
	struct wp_objid id;
	struct content content;
	bool busy;
	uint64_t verifier[CLIENTS]; /* of the oldest unsynced write of each client; 0: none */
};

struct client {
	struct sim_host *host;
	struct env *env;
	struct rpc_node *node;
	struct rpc_peer *peer[STORES];
};

struct worker {
	struct world *w;
	unsigned id, client;
	struct rpc_call call;
	struct object *o; /* NULL: idle */
	uint16_t op;
	unsigned cuts;
	uint64_t offset, started_ns;
	uint32_t len, id_written;
	struct iovec iov;
	uint8_t *buf;
};

struct world {
	struct sim_world *sim;
	struct env *disks;
	struct store stores[STORES];
	struct client clients[CLIENTS];
	struct object objects[OBJECTS];
	struct worker workers[WORKERS];
	uint64_t seed, rng, done, kills, cuts, breaks, stragglers;
	uint32_t counter;
	bool verbose, failed, quiet;
};

static uint32_t below(struct world *w, uint32_t n) { return (uint32_t)(hash_u64(w->rng += 0x9e3779b97f4a7c15ull) % n); }

static printf_like(2, 3) void fail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (w->failed)
		return;
	w->failed = true;
	printf("# FAILED seed %llu at %.6f s: ", (unsigned long long)w->seed, (double)sim_now_ns(w->sim) / 1e9);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

#define note(w, ...)                                                                                                           \
	do {                                                                                                                   \
		if ((w)->verbose) {                                                                                            \
			printf("# %12.6f ", (double)sim_now_ns((w)->sim) / 1e9);                                               \
			printf(__VA_ARGS__);                                                                                   \
			putchar('\n');                                                                                         \
		}                                                                                                              \
	} while (0)

static struct rpc_identity identity(uint16_t role, unsigned i)
{
	struct rpc_identity id = { .role = role, .auth = WP_AUTH_HMAC, .client_id = i + 1, .secret_len = 32, .server_secret_len = 32 };

	(void)snprintf(id.name, sizeof(id.name), "%s%u", role == WP_ROLE_STORAGE ? "store" : "meta", i);
	memset(id.secret, 1, sizeof(id.secret));
	memset(id.server_secret, 2, sizeof(id.server_secret));
	memset(id.uuid.b, (int)(role * 16 + i + 1), sizeof(id.uuid.b));
	return id;
}

/* ---- stores ---- */

static void store_start(struct store *s)
{
	struct rpc_identity id = identity(WP_ROLE_STORAGE, s->i);
	struct storage_params p = { .target = s->i + 1, .boot_epoch = ++s->epoch, .inflight_bytes = KIB(256), .queued_bytes = KIB(512) };

	s->env = sim_process_new(s->host);
	s->gate = gate_new(s->platter, s->env);
	p.env = s->env;
	p.dev = s->gate;
	weft_assert(storage_target_open(&p, &s->target) == 0);
	weft_assert(rpc_node_new(s->env, &id, &s->node) == 0);
	weft_assert(rpc_service_add(s->node, storage_target_service(s->target)) == 0);
	weft_assert(rpc_listen(s->node, s->addr) == 0);
}

/* Its memory; the process is dead. */
static void store_bury(struct store *s)
{
	s->w->stragglers += storage_target_counters(s->target)->stale_dropped;
	rpc_node_free(s->node);
	storage_target_free(s->target);
	sim_process_free(s->env);
	s->env = NULL;
	s->up_ns = sim_now_ns(s->w->sim) + (50 + below(s->w, 3000)) * NSEC_PER_MSEC;
}

static void store_kill(struct store *s)
{
	note(s->w, "store %u is killed", s->i);
	s->w->kills++;
	sim_process_kill(s->env);
	gate_shut(s->gate);
	store_bury(s);
}

#ifdef WEFT_HAVE_FAULT
static struct osd_dev *fault_on(struct world *w, struct osd_dev *mem, uint64_t seed)
{
	struct osd_params p = { .env = w->disks, .below = mem, .seed = seed };
	struct osd_fault_plan plan = { .delay_us_max = 2000 };
	struct osd_dev *dev;

	weft_assert(osd_backend("fault")->open(&p, &dev) == 0);
	osd_fault_set(dev, &plan);
	return dev;
}

static struct osd_dev *after_power_cut(struct world *w, struct osd_dev *dev)
{
	return fault_on(w, osd_fault_power_cut(dev), below(w, UINT32_MAX));
}
#else
static struct osd_dev *fault_on(struct world *w, struct osd_dev *mem, uint64_t seed) { return mem; }
static struct osd_dev *after_power_cut(struct world *w, struct osd_dev *dev) { return dev; }
#endif

static void store_power_cut(struct store *s)
{
	struct world *w = s->w;

	note(w, "store %u loses its power", s->i);
	w->cuts++;
	s->cuts++;
	sim_host_power_cut(s->host);
	gate_abandon(s->gate);
	s->platter = after_power_cut(w, s->platter);
	store_bury(s);
	for (unsigned i = 0; i < OBJECTS; i++)
		if (w->objects[i].store == s)
			content_power_cut(&w->objects[i].content);
}

static void stores_step(struct world *w, bool faults)
{
	for (unsigned i = 0; i < STORES; i++) {
		struct store *s = &w->stores[i];
		uint64_t now = sim_now_ns(w->sim);

		if (!s->env) {
			if (now >= s->up_ns || !faults)
				store_start(s);
		} else if (faults && PER_MILLE(w, 2)) {
			store_kill(s);
		} else if (faults && PER_MILLE(w, 2)) {
			store_power_cut(s);
		}
		if (s->heal_ns && (now >= s->heal_ns || !faults)) {
			s->heal_ns = 0;
			for (unsigned c = 0; c < CLIENTS; c++) {
				sim_partition(w->sim, w->clients[c].host, s->host, false);
				sim_partition(w->sim, s->host, w->clients[c].host, false);
			}
		}
		if (faults && !s->heal_ns && PER_MILLE(w, 2)) {
			struct sim_host *c = w->clients[below(w, CLIENTS)].host;
			unsigned which = below(w, 3);

			if (which != 0)
				sim_partition(w->sim, c, s->host, true);
			if (which != 1)
				sim_partition(w->sim, s->host, c, true);
			s->heal_ns = now + below(w, 20000) * NSEC_PER_MSEC;
			note(w, "store %u and a client are parted (%u)", i, which);
		}
		if (faults && PER_MILLE(w, 20))
			w->breaks += sim_break(w->sim, s->host, w->clients[below(w, CLIENTS)].host);
	}
}

/* ---- operations ---- */

static uint32_t crcs_of(const uint8_t *p, uint64_t offset, uint64_t len, uint32_t *crcs)
{
	uint32_t n = 0;

	for (uint64_t part; len; p += part, offset += part, len -= part) {
		part = MIN(len, WP_BLOCK_SIZE - offset % WP_BLOCK_SIZE);
		crcs[n++] = crc32c(0, p, part);
	}
	return n;
}

#define DECODE(name, m) weft_assert(wp_##name##_rep_decode(w->call.reply, w->call.reply_len, scratch, sizeof(scratch), m) == 0)

static bool cut_meanwhile(const struct worker *w) { return w->cuts != w->o->store->cuts; }

static void check_size(struct worker *w, uint64_t size)
{
	char why[200];

	if (!cut_meanwhile(w) && !content_check_size(&w->o->content, size, why, sizeof(why)))
		fail(w->w, "object %u: %s", w->o->id.fid.oid, why);
}

/* A change that is not durable yet was acknowledged under this verifier. */
static void dirty(struct worker *w, uint64_t verifier)
{
	if (!w->o->verifier[w->client])
		w->o->verifier[w->client] = verifier;
	if (cut_meanwhile(w))
		content_lost_write(&w->o->content, w->offset, w->len);
}

static void synced(struct worker *w, uint64_t verifier)
{
	uint64_t *before = &w->o->verifier[w->client];

	if (*before && *before != verifier)
		content_sync_failed(&w->o->content, w->client + 1);
	else
		content_synced(&w->o->content, w->client + 1, UINT32_MAX);
	*before = 0;
}

static uint8_t scratch[16384];

static void read_done(struct worker *w)
{
	static uint32_t crcs[WP_CRCS_MAX];
	struct wp_obj_read_rep m;
	char why[240];
	uint32_t n;

	DECODE(obj_read, &m);
	n = crcs_of(w->buf, w->offset, w->call.reply_bulk_len, crcs);
	if (n != m.crcs_n || (n && memcmp(crcs, m.crcs, n * sizeof(crcs[0]))))
		fail(w->w, "a read of object %u has wrong checksums", w->o->id.fid.oid);
	else if (!cut_meanwhile(w) &&
		 !content_check(&w->o->content, w->offset, w->len, w->buf, w->call.reply_bulk_len, why, sizeof(why)))
		fail(w->w, "read of object %u at %llu+%u: %s", w->o->id.fid.oid, (unsigned long long)w->offset, w->len, why);
}

static void op_done(struct worker *w)
{
	struct content *c = &w->o->content;
	struct wp_obj_truncate_rep tr;
	struct wp_obj_write_rep wr;
	struct wp_obj_alloc_rep al;
	struct wp_obj_stat_rep st;
	struct wp_obj_sync_rep sy;

	switch (w->op) {
	case WP_OP_OBJ_READ:
		read_done(w);
		break;
	case WP_OP_OBJ_WRITE:
		DECODE(obj_write, &wr);
		content_write(c, w->offset, w->len, w->id_written);
		dirty(w, wr.verifier);
		break;
	case WP_OP_OBJ_ALLOC:
		DECODE(obj_alloc, &al);
		content_punch(c, w->offset, w->len, w->client + 1);
		dirty(w, al.verifier);
		break;
	case WP_OP_OBJ_TRUNCATE:
		DECODE(obj_truncate, &tr);
		content_truncate(c, w->len);
		check_size(w, tr.stat.size);
		break;
	case WP_OP_OBJ_STAT:
		DECODE(obj_stat, &st);
		check_size(w, st.stat.size);
		break;
	default:
		DECODE(obj_sync, &sy);
		synced(w, sy.verifier);
		break;
	}
}

static void call_done(struct rpc_call *call)
{
	struct worker *w = call->arg;

	if (w->w->failed || w->w->quiet)
		return;
	note(w->w, "worker %u: %s of object %u at %llu+%u: %d", w->id, wp_op_name(w->op), w->o->id.fid.oid,
	     (unsigned long long)w->offset, w->len, call->err);
	if (call->err)
		fail(w->w, "%s: %d", wp_op_name(w->op), call->err);
	else
		op_done(w);
	w->w->done++;
	w->o->busy = false;
	w->o = NULL;
}

static void encode(struct worker *w, struct rpc_call *c)
{
	static uint32_t crcs[WP_CRCS_MAX];
	struct wp_enc *e = rpc_call_enc(c, 8192);
	struct wp_objid id = w->o->id;

	switch (w->op) {
	case WP_OP_OBJ_READ:
		wp_obj_read_req_enc(e, &(struct wp_obj_read_req){ .obj = id, .offset = w->offset, .length = w->len });
		c->reply_bulk = w->buf;
		c->reply_bulk_max = w->len;
		break;
	case WP_OP_OBJ_WRITE:
		w->id_written = content_id(w->client + 1, ++w->w->counter);
		content_fill(w->id_written, w->offset, w->buf, w->len);
		wp_obj_write_req_enc(e, &(struct wp_obj_write_req){ .obj = id, .offset = w->offset, .crcs = crcs,
								    .crcs_n = crcs_of(w->buf, w->offset, w->len, crcs) });
		w->iov = (struct iovec){ .iov_base = w->buf, .iov_len = w->len };
		c->bulk = &w->iov;
		c->bulk_n = 1;
		break;
	case WP_OP_OBJ_ALLOC:
		wp_obj_alloc_req_enc(e, &(struct wp_obj_alloc_req){ .obj = id, .mode = WP_ALLOC_MODE_PUNCH, .offset = w->offset,
								    .length = w->len });
		break;
	case WP_OP_OBJ_TRUNCATE:
		wp_obj_truncate_req_enc(e, &(struct wp_obj_truncate_req){ .obj = id, .size = w->len });
		break;
	case WP_OP_OBJ_STAT:
		wp_obj_stat_req_enc(e, &(struct wp_obj_stat_req){ .obj = id });
		break;
	default:
		wp_obj_sync_req_enc(e, &(struct wp_obj_sync_req){ .obj = id });
		break;
	}
}

static void start(struct worker *w, struct object *o, uint16_t op)
{
	w->o = o;
	o->busy = true;
	w->op = op;
	w->cuts = o->store->cuts;
	w->started_ns = sim_now_ns(w->w->sim);
	rpc_call_init(&w->call, op, call_done, w);
	encode(w, &w->call);
	rpc_call(w->w->clients[w->client].peer[o->store->i], &w->call);
}

static void start_any(struct worker *w)
{
	static const uint16_t ops[] = { WP_OP_OBJ_READ, WP_OP_OBJ_READ, WP_OP_OBJ_READ, WP_OP_OBJ_WRITE, WP_OP_OBJ_WRITE, WP_OP_OBJ_WRITE,
					WP_OP_OBJ_SYNC, WP_OP_OBJ_STAT, WP_OP_OBJ_TRUNCATE, WP_OP_OBJ_ALLOC };
	struct object *o = &w->w->objects[below(w->w, OBJECTS)];
	uint16_t op = ops[below(w->w, ARRAY_SIZE(ops))];

	if (o->busy)
		return;
	w->offset = below(w->w, OBJ_MAX);
	w->len = 1 + below(w->w, below(w->w, 3) ? 9000 : IO_MAX);
	if (op == WP_OP_OBJ_TRUNCATE)
		w->len = below(w->w, OBJ_MAX);
	start(w, o, op);
}

/* ---- the world ---- */

static unsigned addrs(void *arg, struct rpc_peer *peer, const char **ret, unsigned max)
{
	ret[0] = ((struct store *)arg)->addr;
	return 1;
}

static const struct rpc_peer_ops peer_ops = { .addrs = addrs };

static void net_params(struct world *w)
{
	struct sim_net_params p;

	sim_net_get(w->sim, &p);
	p.break_ppm = below(w, 2) ? below(w, 2000) : 0;
	p.slow_ppm = below(w, 2) ? below(w, 20000) : 0;
	p.slow_max_ns = (1 + below(w, 4000)) * NSEC_PER_MSEC; /* long enough for stragglers of broken connections */
	sim_net_set(w->sim, &p);
}

static void build(struct world *w)
{
	w->sim = sim_new(w->seed);
	net_params(w);
	w->disks = sim_process_new(sim_host_new(w->sim, "disks"));
	for (unsigned i = 0; i < STORES; i++) {
		struct store *s = &w->stores[i];
		struct osd_params p = { .env = w->disks, .capacity = MIB(256) };
		struct osd_dev *mem;

		s->w = w;
		s->i = i;
		(void)snprintf(s->addr, sizeof(s->addr), "sim:store%u:1", i);
		s->host = sim_host_new(w->sim, i ? "store1" : "store0");
		weft_assert(osd_backend("mem")->open(&p, &mem) == 0);
		s->platter = fault_on(w, mem, w->seed + i);
		store_start(s);
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *c = &w->clients[i];
		struct rpc_identity id = identity(WP_ROLE_META, i);

		c->host = sim_host_new(w->sim, i ? "client1" : "client0");
		c->env = sim_process_new(c->host);
		weft_assert(rpc_node_new(c->env, &id, &c->node) == 0);
		for (unsigned s = 0; s < STORES; s++) {
			struct rpc_peer_params p = { .service = WP_SERVICE_STORAGE, .target = s + 1, .conns = 1 + below(w, 2),
						     .ops = &peer_ops, .arg = &w->stores[s] };

			weft_assert(rpc_peer_new(c->node, &p, &c->peer[s]) == 0);
		}
	}
	for (unsigned i = 0; i < OBJECTS; i++)
		w->objects[i] = (struct object){ .store = &w->stores[i % STORES], .id = { .fid = { .seq = 1, .oid = i + 2 } } };
	for (unsigned i = 0; i < WORKERS; i++)
		w->workers[i] = (struct worker){ .w = w, .id = i, .client = i % CLIENTS, .buf = xmalloc(OBJ_MAX + 2 * IO_MAX) };
}

static void tear_down(struct world *w)
{
	w->quiet = true;
	for (unsigned i = 0; i < CLIENTS; i++) {
		sim_process_kill(w->clients[i].env);
		rpc_node_free(w->clients[i].node);
		sim_process_free(w->clients[i].env);
	}
	for (unsigned i = 0; i < STORES; i++) {
		struct store *s = &w->stores[i];

		if (s->env)
			store_kill(s);
		/* The platters go with the world. */
	}
	sim_process_kill(w->disks);
	sim_process_free(w->disks);
	sim_free(w->sim);
	for (unsigned i = 0; i < OBJECTS; i++)
		content_done(&w->objects[i].content);
	for (unsigned i = 0; i < WORKERS; i++)
		free(w->workers[i].buf);
	free(w);
}

static bool idle(const struct world *w)
{
	for (unsigned i = 0; i < WORKERS; i++)
		if (w->workers[i].o)
			return false;
	return true;
}

static void drain(struct world *w)
{
	uint64_t end = sim_now_ns(w->sim) + DRAIN_NS;

	while (!w->failed && !idle(w)) {
		stores_step(w, false);
		sim_run_for(w->sim, NSEC_PER_MSEC);
		for (unsigned i = 0; sim_now_ns(w->sim) > end && i < WORKERS; i++)
			if (w->workers[i].o)
				fail(w, "worker %u: %s of object %u has no answer since %.6f s", i, wp_op_name(w->workers[i].op),
				     w->workers[i].o->id.fid.oid, (double)w->workers[i].started_ns / 1e9);
	}
}

static void check_all(struct world *w)
{
	for (unsigned i = 0; i < OBJECTS && !w->failed; i++) {
		struct worker *k = &w->workers[below(w, WORKERS)];

		k->offset = 0;
		k->len = OBJ_MAX + IO_MAX;
		start(k, &w->objects[i], WP_OP_OBJ_READ);
		drain(w);
	}
	for (unsigned i = 0; i < STORES && !w->failed; i++) {
		const struct storage_counters *n = storage_target_counters(w->stores[i].target);

		if (n->inflight_ops || n->queued_ops || n->inflight_bytes || n->queued_bytes)
			fail(w, "store %u counts operations that nobody waits for", i);
	}
}

static bool run(uint64_t seed, uint64_t steps, bool verbose, bool faults)
{
	struct world *w = NEW(struct world);
	bool failed;

	w->seed = w->rng = seed;
	w->verbose = verbose;
	printf("# seed %llu, %llu steps\n", (unsigned long long)seed, (unsigned long long)steps);
	fflush(stdout);
	build(w);
	for (uint64_t i = 0; i < steps && !w->failed; i++) {
		sim_run_for(w->sim, 1 + below(w, 10000000));
		stores_step(w, faults);
		for (unsigned k = 0; k < WORKERS; k++)
			if (!w->workers[k].o && below(w, 2))
				start_any(&w->workers[k]);
	}
	drain(w);
	check_all(w);
	printf("# seed %llu: %s; %llu operations, %llu kills, %llu power cuts, %llu breaks, %.1f s, trace %016llx\n",
	       (unsigned long long)seed, w->failed ? "FAILED" : "passed", (unsigned long long)w->done, (unsigned long long)w->kills,
	       (unsigned long long)w->cuts, (unsigned long long)w->breaks, (double)sim_now_ns(w->sim) / 1e9,
	       (unsigned long long)sim_trace(w->sim));
	for (unsigned i = 0; i < STORES; i++)
		if (w->stores[i].env)
			w->stragglers += storage_target_counters(w->stores[i].target)->stale_dropped;
	printf("# %llu stragglers\n", (unsigned long long)w->stragglers);
	failed = w->failed;
	tear_down(w);
	return !failed;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "seed", required_argument, NULL, 's' }, { "steps", required_argument, NULL, 'n' },
						 { "verbose", no_argument, NULL, 'v' }, { "no-faults", no_argument, NULL, 'q' }, { 0 } };
	const char *seconds = getenv("WEFT_SIM_SECONDS");
	bool verbose = false, have_seed = false, faults = true;
	uint64_t seed = 1, steps = 2000;
	time_t end;
	int c;

	log_setup("sim", getenv("WEFT_SIM_DEBUG") ? LOG_DEBUG : LOG_ERR);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's': seed = strtoull(optarg, NULL, 0); have_seed = true; break;
		case 'n': steps = strtoull(optarg, NULL, 0); break;
		case 'v': verbose = true; break;
		case 'q': faults = false; break;
		default: fprintf(stderr, "usage: sim_storage [--seed N] [--steps M] [--verbose] [--no-faults]\n"); return 2;
		}
	}
	if (have_seed || !seconds)
		return run(seed, steps, verbose, faults) ? 0 : 1;
	end = time(NULL) + (time_t)strtoull(seconds, NULL, 0);
	for (seed = (uint64_t)time(NULL) * 1000003u; time(NULL) < end; seed++)
		if (!run(seed, steps, verbose, faults))
			return 1;
	return 0;
}
