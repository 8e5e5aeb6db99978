/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A server's relation to the management daemon while the k-th allocation fails, the k-th message breaks its connections or the
 * k-th request is answered with an error, for every k: it gets there by itself, is never refused, and takes leave in time.
 */
#include "../mgmtd/world.h"
#include "base/log.h"
#include "fail.h"
#include "fail_net.h"
#include "node/mgmtc.h"
#include "tap.h"

#define JOIN_NS (30 * NSEC_PER_SEC)
#define NEWS_NS (90 * NSEC_PER_SEC) /* a lost answer to the map watch costs its whole time */

static enum fail_kind kind;
static unsigned k;
static bool armed; /* errors are for the member's requests, not for the test's own */

static struct member {
	struct world w;
	struct env *inner;
	struct fail_net net;
	struct rpc_node *node;
	struct mgmtc *m;
	struct mgmtc_target target;
	unsigned refused;
	uint32_t version;
	bool online, stopped;
} x;

void __real_rpc_reply(struct rpc_req *req, const struct rpc_reply *rep);
void __wrap_rpc_reply(struct rpc_req *req, const struct rpc_reply *rep);

void __wrap_rpc_reply(struct rpc_req *req, const struct rpc_reply *rep)
{
	struct rpc_reply bad = { .err = -EIO, .credits = rep->credits, .sent = rep->sent, .arg = rep->arg };

	__real_rpc_reply(req, armed && fail_hit(FAIL_REPLY) ? &bad : rep);
}

static void on_registered(void *arg, const struct mgmtc_registration *reg) { mgmtc_serving(x.m); }
static void on_map(void *arg, struct cluster_map *map) { x.version = cluster_map_version(map); }
static void on_refused(void *arg, int err, const char *why) { x.refused++; }
static void on_online(void *arg) { x.online = true; }
static void set_true(void *arg) { *(bool *)arg = true; }

static const struct mgmtc_ops ops = { .registered = on_registered, .map = on_map, .refused = on_refused, .online = on_online };

static void member_start(void)
{
	static const char *const mgmtd[] = { MGMTD_ADDR }, *const addrs[] = { "sim:h:1" };
	struct rpc_identity id = { .role = WP_ROLE_STORAGE, .auth = WP_AUTH_NONE, .name = "member" };
	struct mgmtc_params p = { .mgmtd = mgmtd, .mgmtd_n = 1, .uuid = uuid_of(1), .role = WP_ROLE_STORAGE, .pid = 1, .host = "h",
				  .addrs = addrs, .addrs_n = 1, .ops = &ops };

	x.inner = sim_process_new(sim_host_new(x.w.sim, "h"));
	fail_net_init(&x.net, x.w.sim, x.inner, x.w.host);
	weft_assert(rpc_node_new(&x.net.env, &id, &x.node) == 0);
	p.node = x.node;
	weft_assert(mgmtc_new(&p, &x.m) == 0);
	x.target = (struct mgmtc_target){ .service = WP_SERVICE_STORAGE, .id = WP_TARGET_NONE, .format = 1, .uuid = uuid_of(1) };
	x.target.space = (struct wp_target_space){ .total = GIB(1000), .free = GIB(900) };
	mgmtc_add_target(x.m, &x.target);
	mgmtc_start(x.m);
}

static bool is_true(void *arg) { return *(bool *)arg; }
static bool has_news(void *arg) { return x.version == mgmtd_map_version(x.w.core); }

static bool one(void)
{
	struct caller *admin;
	uint32_t pool;

	memset(&x, 0, sizeof(x));
	world_init(&x.w, 1000 * k + kind);
	admin = caller_new(&x.w, WP_ROLE_ADMIN, "a");
	armed = true;
	fail_at(kind, k);
	member_start();
	ok_quiet(sim_run_until(x.w.sim, is_true, &x.online, JOIN_NS), "online, kind %d, call %u", kind, k);
	ok_quiet(!x.refused, "not refused, kind %d, call %u", kind, k);
	armed = false;
	weft_assert(call_pool_create(admin, "ssd", &pool) == 0 || fail_fired());
	armed = true;
	ok_quiet(sim_run_until(x.w.sim, has_news, NULL, NEWS_NS), "has the newest map, kind %d, call %u", kind, k);
	mgmtc_stop(x.m, set_true, &x.stopped);
	ok_quiet(sim_run_until(x.w.sim, is_true, &x.stopped, 2 * NSEC_PER_SEC), "takes leave, kind %d, call %u", kind, k);
	armed = false;
	fail_at(kind, 0);
	mgmtc_free(x.m);
	rpc_node_free(x.node);
	sim_run_for(x.w.sim, NSEC_PER_SEC);
	caller_free(admin);
	world_done(&x.w);
	return fail_fired();
}

int main(void)
{
	static const char *const names[] = { "allocation", "message", "request" };

	log_setup("test", (enum log_level)0);
	for (kind = FAIL_ALLOC; kind <= FAIL_REPLY; kind++) {
		for (k = 1; one(); k++)
			;
		ok(k > 3, "no %s of the first %u fails for good", names[kind], k - 1);
	}
	return done_testing();
}
