/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A mounted client over a fake cluster, and operations that are waited for. */
#ifndef WEFT_TEST_CLIENT_BENCH_H
#define WEFT_TEST_CLIENT_BENCH_H

#include <unistd.h>

#include "client/client.h"
#include "env/env_linux.h"
#include "fake_cluster.h"
#include "tap.h"

struct result {
	bool done;
	int err;
	struct client_res res;
	char data[4096];
};

static struct fc fc;
static struct env *env;
static struct client_mount *mount;
static struct client *cl;
static char addr[128];
static const struct client_cred root_cred = { .cap_dac = true, .groups_known = true };

maybe_unused static void result_cb(void *arg, int err, const struct client_res *res)
{
	struct result *r = arg;

	r->done = true;
	r->err = err;
	r->res = *res;
	if (res->len && res->len <= sizeof(r->data))
		memcpy(r->data, res->data, res->len);
}

maybe_unused static void wait_for(struct result *r)
{
	while (!r->done)
		env_linux_run_once(env, true);
}

/* RUN(client_getattr(cl, &fid, CB)): the result is in the variable r. */
#define CB result_cb, &r
#define RUN(call)                                                                                                             \
	({                                                                                                                    \
		r.done = false;                                                                                               \
		call;                                                                                                         \
		wait_for(&r);                                                                                                 \
		r.err;                                                                                                        \
	})

static void bench_ready(void *arg, int err, const struct wp_attr *root)
{
	struct result *r = arg;

	r->done = true;
	r->err = err;
	if (root)
		r->res.attr = *root;
}

maybe_unused static int bench_mount(struct client_params *p, struct result *r)
{
	static const char *addrs[1];
	int err;

	addrs[0] = addr;
	p->mgmtd = addrs;
	p->mgmtd_n = 1;
	p->id.role = WP_ROLE_CLIENT;
	p->id.auth = WP_AUTH_HMAC;
	if (!p->id.secret_len) {
		memcpy(p->id.secret, "client secret", 13);
		p->id.secret_len = 13;
	}
	if (!p->op_timeout_ms)
		p->op_timeout_ms = 20000;
	str_copy(p->host, sizeof(p->host), "testhost");
	err = client_mount_new(p, &mount);
	weft_assert(!err);
	err = client_new(mount, env, 0, &cl);
	weft_assert(!err);
	r->done = false;
	client_start(cl, bench_ready, r);
	wait_for(r);
	return r->err;
}

maybe_unused static void bench_up(void)
{
	int err = env_linux_new(NULL, &env);

	if (err) {
		printf("1..0 # SKIP no io_uring: %s\n", env_linux_strerror(err));
		exit(77);
	}
	snprintf(addr, sizeof(addr), "unix:/tmp/weft-test-client-%d.sock", (int)getpid());
	fc_start(&fc, env, addr);
}

maybe_unused static void bench_unmount(void)
{
	client_free(cl);
	client_mount_free(mount);
}

maybe_unused static void bench_down(void)
{
	fc_stop(&fc);
	while (env_linux_run_once(env, false))
		;
	env_linux_free(env);
}

#endif
