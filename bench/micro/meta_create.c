/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * One metadata target without a network: so many callers, each creating and closing files in one directory, durably; or looking
 * names up there.
 *
 *	meta_create DIR [CALLERS [SECONDS [BACKEND [create|lookup [leases]]]]]
 */
#include <sys/stat.h>

#include "env/env_linux.h"
#include "meta/meta.h"
#include "osd/osd.h"
#include "proto/fid.h"

struct rpc_conn {
	void *data;
};

struct caller {
	struct rpc_req req;
	struct env_task task;
	uint16_t slot;
	uint64_t xid, handle, files;
	struct wp_fid fid;
	uint8_t body[256];
	bool opened, busy;
};

#define LOOKUP_FILES 1000u /* of each caller */

static struct env *env;
static struct meta_target *mt;
static struct rpc_conn conn;
static struct caller callers[1024];
static unsigned n_callers = 64;
static uint64_t session, done_files, start_ns, seconds_ns, end_ns, busy, preparing;
static int open_err = 1;
static bool lookups, leases;

static void next(void *arg);

uint16_t rpc_conn_role(const struct rpc_conn *c) { return WP_ROLE_CLIENT; }
void *rpc_conn_data(const struct rpc_conn *c) { return c->data; }
void rpc_conn_set_data(struct rpc_conn *c, void *data) { c->data = data; }
void rpc_conn_close(struct rpc_conn *c) {}
void rpc_conn_notice(struct rpc_conn *c, uint16_t op, const void *body, size_t len) { abort(); }
void rpc_call_init(struct rpc_call *c, uint16_t op, rpc_done_fn *done, void *arg) { abort(); }
struct wp_enc *rpc_call_enc(struct rpc_call *c, size_t max) { abort(); }
void rpc_call(struct rpc_peer *peer, struct rpc_call *c) { abort(); }

struct wp_enc rpc_reply_enc(struct rpc_req *req, size_t max)
{
	struct wp_enc e;

	wp_enc_init(&e, arena_alloc(&req->arena, max), (uint32_t)max);
	return e;
}

void rpc_reply(struct rpc_req *req, const struct rpc_reply *r)
{
	struct caller *c = container_of(req, struct caller, req);
	struct wp_session_open_rep so;
	struct wp_create_rep cr;
	uint8_t scratch[2048];

	if (r->err) {
		fprintf(stderr, "%s: %d\n", wp_op_name(req->hdr.opcode), r->err);
		exit(1);
	}
	if (req->hdr.opcode == WP_OP_SESSION_OPEN && !wp_session_open_rep_decode(r->body, r->body_len, NULL, 0, &so))
		session = so.session;
	if (req->hdr.opcode == WP_OP_CREATE && !wp_create_rep_decode(r->body, r->body_len, scratch, sizeof(scratch), &cr))
		c->fid = cr.entry.attr.fid;
	arena_reset(&req->arena);
	env_post(env, &c->task);
}

void rpc_reply_err(struct rpc_req *req, int err) { rpc_reply(req, &(struct rpc_reply){ .err = err }); }

static struct wp_enc body(struct caller *c)
{
	struct wp_enc e;

	wp_enc_init(&e, c->body, sizeof(c->body));
	return e;
}

static void send_it(struct caller *c, uint16_t op, const struct wp_enc *e)
{
	struct rpc_service *svc = meta_target_service(mt);
	struct arena a = c->req.arena;

	c->req = (struct rpc_req){ .hdr = { .opcode = op, .body_len = e->len, .session = session, .slot = c->slot, .xid = ++c->xid },
				   .body = c->body, .conn = &conn, .arena = a };
	svc->request(svc->ctx, &c->req);
}

static void next(void *arg)
{
	struct caller *c = arg;
	struct wp_enc e = body(c);
	char name[40];

	if (c->opened) {
		c->opened = false;
		done_files++;
		if (lookups && c->files == LOOKUP_FILES && !--preparing) {
			done_files = 0;
			start_ns = env_mono_ns(env);
			end_ns = start_ns + seconds_ns;
		}
		wp_close_req_enc(&e, &(struct wp_close_req){ .fid = c->fid, .handle = c->slot });
		send_it(c, WP_OP_CLOSE, &e);
		return;
	}
	if (env_mono_ns(env) >= end_ns) {
		busy--;
		return;
	}
	if (lookups && c->files >= LOOKUP_FILES) {
		snprintf(name, sizeof(name), "file-%u-%llu", c->slot, (unsigned long long)(done_files++ % LOOKUP_FILES));
		wp_lookup_req_enc(&e, &(struct wp_lookup_req){ .cred = { .uid = 1000, .flags = WP_CRED_CAP_DAC },
							       .parent = WP_FID_ROOT,
							       .name = wp_str(name) });
		send_it(c, WP_OP_LOOKUP, &e);
		return;
	}
	snprintf(name, sizeof(name), "file-%u-%llu", c->slot, (unsigned long long)c->files++);
	wp_create_req_enc(&e, &(struct wp_create_req){ .cred = { .uid = 1000, .flags = WP_CRED_CAP_DAC }, .parent = WP_FID_ROOT,
						       .name = wp_str(name), .mode = 0644, .flags = WP_OPEN_WRITE | WP_OPEN_EXCL,
						       .handle = c->slot });
	c->opened = true;
	send_it(c, WP_OP_CREATE, &e);
}

static unsigned candidates(void *arg, struct wp_str pool, const struct meta_candidate **ret)
{
	static const struct meta_candidate c[] = { { 1, 1, 100 }, { 2, 1, 100 }, { 3, 1, 100 }, { 4, 1, 100 } };

	*ret = c;
	return 4;
}

static void opened(void *arg, int err) { open_err = err; }
static void nothing(void *arg) {}

static void open_session(void)
{
	struct caller *c = &callers[0];
	struct wp_enc e = body(c);

	c->task = (struct env_task){ .fn = nothing };
	wp_session_open_req_enc(&e, &(struct wp_session_open_req){ .client_id = 1, .slots = 1024, .leases = leases });
	send_it(c, WP_OP_SESSION_OPEN, &e);
	while (!session)
		env_linux_run_once(env, true);
	env_linux_run_once(env, false);
}

static void run(unsigned seconds)
{
	start_ns = env_mono_ns(env);
	seconds_ns = seconds * NSEC_PER_SEC;
	end_ns = lookups ? UINT64_MAX : start_ns + seconds_ns;
	preparing = n_callers;
	busy = n_callers;
	for (unsigned i = 0; i < n_callers; i++) {
		callers[i].slot = (uint16_t)i;
		callers[i].task = (struct env_task){ .fn = next, .arg = &callers[i] };
		env_post(env, &callers[i].task);
	}
	while (busy)
		env_linux_run_once(env, true);
	printf("%.0f %s per second, %u callers\n", (double)done_files * 1e9 / (double)(env_mono_ns(env) - start_ns),
	       lookups ? "look-ups" : "creates and closes", n_callers);
}

int main(int argc, char **argv)
{
	struct osd_params op = { 0 };
	struct meta_params p = { .opened = opened, .candidates = candidates };
	const struct osd_ops *ops = osd_backend(argc > 4 ? argv[4] : "mem");
	struct wp_counter rows[64];
	char path[512];

	if (argc < 2 || !ops || env_linux_new(NULL, &env))
		return 1;
	lookups = argc > 5 && !strcmp(argv[5], "lookup");
	leases = argc > 6;
	n_callers = argc > 2 ? (unsigned)MIN(atoi(argv[2]), 1024) : 64;
	snprintf(path, sizeof(path), "%s/journal", argv[1]);
	op = (struct osd_params){ .env = env, .path = argv[1], .capacity = argc > 4 ? 0 : GIB(2) };
	p.env = env;
	p.journal_dir = path;
	if (ops->format(&op) || ops->open(&op, &p.dev) || meta_target_open(&p, &mt))
		return 1;
	while (open_err == 1)
		env_linux_run_once(env, true);
	if (open_err)
		return 1;
	open_session();
	run(argc > 3 ? (unsigned)atoi(argv[3]) : 3);
	for (uint32_t i = 0, n = meta_target_rows(mt, rows, 64); i < n; i++)
		if (rows[i].value)
			printf("%-20s %llu\n", rows[i].name.p, (unsigned long long)rows[i].value);
	return 0;
}
