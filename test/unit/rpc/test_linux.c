/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The same over real sockets: two reactors, a thread each, TCP and Unix sockets, and a connection routed between reactors. */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <unistd.h>

#include "env/env_linux.h"
#include "world.h"

struct side {
	struct env *env;
	struct rpc_node *node;
	struct rpc_service svc;
	struct env_task task;
	pthread_t thread;
	sem_t stopped;
	atomic_uint requests;
};

static struct side front, back;
static const char *addr;

static void request(void *ctx, struct rpc_req *req)
{
	struct side *s = ctx;
	struct rpc_reply r = { .body = req->body, .body_len = req->hdr.body_len };

	atomic_fetch_add(&s->requests, 1);
	if (req->hdr.bulk_len) {
		r.bulk[0] = (struct iovec){ req->bulk, req->hdr.bulk_len };
		r.bulk_n = 1;
	}
	rpc_reply(req, &r);
}

static struct rpc_node *route(void *arg, uint16_t service, uint32_t target) { return target == TARGET ? back.node : NULL; }

static void *serve(void *arg)
{
	struct side *s = arg;

	env_linux_run(s->env);
	sem_wait(&s->stopped);
	rpc_node_free(s->node);
	env_linux_free(s->env);
	return NULL;
}

static void side_start(struct side *s, uint32_t target)
{
	struct rpc_identity id = world_id(WP_ROLE_META, "srv");

	if (env_linux_new(NULL, &s->env) || rpc_node_new(s->env, &id, &s->node))
		bail_out("side");
	sem_init(&s->stopped, 0, 0);
	s->svc = (struct rpc_service){ .service = WP_SERVICE_META, .target = target, .ctx = s, .request = request };
	if (rpc_service_add(s->node, &s->svc))
		bail_out("service");
}

static void side_stop(struct side *s)
{
	env_linux_stop(s->env);
	sem_post(&s->stopped); /* only now may the thread free what env_linux_stop was working on */
	pthread_join(s->thread, NULL);
}

static unsigned addrs(void *arg, struct rpc_peer *peer, const char **ret, unsigned max)
{
	ret[0] = addr;
	return 1;
}

static bool wait_for(struct env *env, struct result *r)
{
	uint64_t end = env_mono_ns(env) + 20 * NSEC_PER_SEC;
	struct env_timer tick = { .fn = (env_fn *)free };

	env_timer_in(env, &tick, 20 * NSEC_PER_SEC);
	while (!r->done && env_mono_ns(env) < end)
		(void)env_linux_run_once(env, true);
	env_timer_cancel(env, &tick);
	return r->done;
}

static void quick_calls(struct env *env, struct rpc_peer *peer)
{
	static struct result res[300];
	bool good = true;

	for (unsigned i = 0; i < ARRAY_SIZE(res); i++) {
		call_prepare(&res[i], WP_OP_GETATTR, i);
		rpc_call(peer, &res[i].call);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(res); i++)
		good &= wait_for(env, &res[i]) && !res[i].err && body_is_echo(&res[i], i);
	ok(good, "300 calls at once");
}

static void bulk_calls(struct env *env, struct rpc_peer *peer)
{
	static struct result res[8];
	static uint8_t out[8][3000001], in[8][3000001];
	struct iovec iov[8];
	bool good = true;

	for (unsigned i = 0; i < 8; i++) {
		for (size_t k = 0; k < sizeof(out[i]); k++)
			out[i][k] = (uint8_t)(k * 31 + (k >> 9) + i);
		memset(in[i], 0, sizeof(in[i]));
		call_prepare(&res[i], WP_OP_OBJ_WRITE, i * 3000);
		iov[i] = (struct iovec){ out[i], sizeof(out[i]) - i };
		res[i].call.bulk = &iov[i];
		res[i].call.bulk_n = 1;
		res[i].call.reply_bulk = in[i];
		res[i].call.reply_bulk_max = sizeof(in[i]);
		rpc_call(peer, &res[i].call);
	}
	for (unsigned i = 0; i < 8; i++)
		good &= wait_for(env, &res[i]) && !res[i].err && res[i].bulk_len == sizeof(out[i]) - i &&
			!memcmp(in[i], out[i], res[i].bulk_len);
	ok(good, "3 MB there and back, 8 at once");
}

static void run(const char *listen, uint32_t target, const char *what)
{
	static const struct rpc_peer_ops ops = { .addrs = addrs };
	struct rpc_peer_params pp = { .service = WP_SERVICE_META, .target = target, .ops = &ops, .credits = 1000, .conns = 2 };
	struct rpc_identity id = world_id(WP_ROLE_CLIENT, "c");
	struct rpc_peer *peer;
	struct rpc_node *node;
	struct env *env;

	printf("# %s\n", what);
	side_start(&front, 1);
	side_start(&back, TARGET);
	rpc_node_set_router(front.node, route, NULL);
	if (rpc_listen(front.node, listen))
		bail_out("listen");
	addr = rpc_listen_addr(front.node, 0);
	if (pthread_create(&front.thread, NULL, serve, &front) || pthread_create(&back.thread, NULL, serve, &back))
		bail_out("threads");
	if (env_linux_new(NULL, &env) || rpc_node_new(env, &id, &node) || rpc_peer_new(node, &pp, &peer))
		bail_out("client");
	quick_calls(env, peer);
	bulk_calls(env, peer);
	rpc_node_free(node);
	env_linux_free(env);
	side_stop(&front);
	side_stop(&back);
	ok((target == 1 ? atomic_load(&front.requests) : atomic_load(&back.requests)) == 308, "by the right reactor");
	atomic_store(&front.requests, 0);
	atomic_store(&back.requests, 0);
}

int main(void)
{
	char path[100];

	(void)snprintf(path, sizeof(path), "unix:/tmp/weft-test-rpc.%d", (int)getpid());
	run(path, 1, "Unix socket");
	run("tcp:127.0.0.1:0", 1, "TCP");
	run("tcp:[::1]:0", TARGET, "TCP on IPv6, routed to the other reactor");
	(void)unlink(path + 5);
	return done_testing();
}
