/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Calls between two threads: latency with one outstanding, throughput with many, and bandwidth of bulk payloads.
 *
 * usage: rpc_pingpong [ADDRESS [SECONDS]]		default: a Unix socket, 2 seconds per row
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "env/env_linux.h"
#include "rpc/counters.h"
#include "rpc/rpc.h"

#define DEPTH_MAX 64u

static const char *listen_addr;
static char bound[200];
static atomic_bool up;
static struct env *server_env;

static struct rpc_identity identity(uint16_t role)
{
	struct rpc_identity id = {
		.role = role, .auth = WP_AUTH_HMAC, .name = "bench", .secret_len = 32, .server_secret_len = 32
	};

	return id;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- server -------------------------------------------------------------------------------------------------------------- */

static uint8_t *zeros;

static void request(void *ctx, struct rpc_req *req)
{
	struct rpc_reply r = { .body = req->body, .body_len = req->hdr.body_len };

	if (req->hdr.opcode == WP_OP_OBJ_READ) {
		r.bulk[0] = (struct iovec){ zeros, wp_get_le32(req->body) };
		r.bulk_n = 1;
	}
	rpc_reply(req, &r);
}

static void *serve(void *arg)
{
	struct rpc_identity id = identity(WP_ROLE_META);
	static struct rpc_service svc = { .service = WP_SERVICE_META, .target = 0, .request = request };
	struct rpc_node *node;

	if (env_linux_new(NULL, &server_env) || rpc_node_new(server_env, &id, &node) || rpc_service_add(node, &svc) ||
	    rpc_listen(node, listen_addr)) {
		fprintf(stderr, "rpc_pingpong: cannot serve %s\n", listen_addr);
		exit(1);
	}
	(void)str_copy(bound, sizeof(bound), rpc_listen_addr(node, 0));
	atomic_store(&up, true);
	env_linux_run(server_env);
	return node;
}

/* ---- client -------------------------------------------------------------------------------------------------------------- */

struct row {
	const char *name;
	uint16_t op;
	unsigned depth;
	uint32_t bulk;
};

static const struct row rows[] = {
	{ "latency, 1 outstanding", WP_OP_GETATTR, 1, 0 },
	{ "16 outstanding", WP_OP_GETATTR, 16, 0 },
	{ "64 outstanding", WP_OP_GETATTR, 64, 0 },
	{ "write 4 KiB, 1 outstanding", WP_OP_OBJ_WRITE, 1, 4096 },
	{ "write 4 KiB, 64 outstanding", WP_OP_OBJ_WRITE, 64, 4096 },
	{ "write 1 MiB, 8 outstanding", WP_OP_OBJ_WRITE, 8, 1u << 20 },
	{ "read 4 KiB, 64 outstanding", WP_OP_OBJ_READ, 64, 4096 },
	{ "read 1 MiB, 8 outstanding", WP_OP_OBJ_READ, 8, 1u << 20 },
};

struct job {
	struct rpc_call call;
	struct iovec iov;
	uint8_t *mem;
};

static struct job jobs[DEPTH_MAX];
static const struct row *row;
static struct rpc_peer *peer;
static uint64_t calls;
static unsigned running;
static bool stop;

static unsigned addrs(void *arg, struct rpc_peer *p, const char **ret, unsigned max)
{
	ret[0] = bound;
	return 1;
}

static void launch(struct job *j);

static void done(struct rpc_call *c)
{
	if (c->err) {
		fprintf(stderr, "rpc_pingpong: call failed: %d\n", c->err);
		exit(1);
	}
	calls++;
	running--;
	if (!stop)
		launch(c->arg);
}

static void launch(struct job *j)
{
	struct wp_enc *e;

	rpc_call_init(&j->call, row->op, done, j);
	e = rpc_call_enc(&j->call, 128);
	wp_enc_u32(e, row->bulk);
	memset(wp_enc_room(e, 96), 0, 96);
	if (row->bulk && row->op == WP_OP_OBJ_WRITE) {
		j->iov = (struct iovec){ j->mem, row->bulk };
		j->call.bulk = &j->iov;
		j->call.bulk_n = 1;
	} else if (row->bulk) {
		j->call.reply_bulk = j->mem;
		j->call.reply_bulk_max = row->bulk;
	}
	running++;
	rpc_call(peer, &j->call);
}

static double cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void measure(struct env *env, const struct row *r, double seconds)
{
	double start, cpu_start, t;

	row = r;
	calls = 0;
	stop = false;
	start = now();
	cpu_start = cpu();
	for (unsigned i = 0; i < r->depth; i++)
		launch(&jobs[i]);
	while ((t = now() - start) < seconds)
		for (int i = 0; i < 20; i++)
			(void)env_linux_run_once(env, true);
	printf("%-30s %9.0f calls/s %8.2f us/call %8.1f MB/s %6.2f us CPU/call\n", r->name, (double)calls / t,
	       t * 1e6 / (double)calls * r->depth, (double)calls * r->bulk / t / 1e6,
	       (cpu() - cpu_start) * 1e6 / (double)calls);
	fflush(stdout);
	stop = true;
	while (running)
		(void)env_linux_run_once(env, true);
}

int main(int argc, char **argv)
{
	struct rpc_identity id = identity(WP_ROLE_CLIENT);
	static const struct rpc_peer_ops ops = { .addrs = addrs };
	struct rpc_peer_params pp = { .service = WP_SERVICE_META, .ops = &ops, .credits = DEPTH_MAX };
	double seconds = argc > 2 ? atof(argv[2]) : 2;
	char path[100];
	void *server_node;
	struct rpc_node *node;
	struct env *env;
	pthread_t thread;

	(void)snprintf(path, sizeof(path), "unix:/tmp/weft-pingpong.%d", (int)getpid());
	listen_addr = argc > 1 ? argv[1] : path;
	zeros = xcalloc(1, WP_BULK_MAX);
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		jobs[i].mem = xcalloc(1, 1u << 20);
	if (pthread_create(&thread, NULL, serve, NULL))
		return 1;
	while (!atomic_load(&up))
		usleep(1000);
	if (env_linux_new(NULL, &env) || rpc_node_new(env, &id, &node) || rpc_peer_new(node, &pp, &peer))
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		measure(env, &rows[i], seconds);
	rpc_node_free(node);
	env_linux_free(env);
	env_linux_stop(server_env);
	pthread_join(thread, &server_node);
	rpc_node_free(server_node);
	env_linux_free(server_env);
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		free(jobs[i].mem);
	free(zeros);
	return 0;
}
