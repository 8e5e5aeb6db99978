/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Blocking calls to the management daemon: a reactor of our own, run until the answer is there. */
#include "cli/cli.h"

#include <unistd.h>

#include "base/log.h"
#include "cli/settings.h"
#include "conf/secret.h"
#include "env/env_linux.h"
#include "rpc/rpc.h"

#define CALL_TIMEOUT_NS (10 * NSEC_PER_SEC)
#define REQUEST_BODY_MAX 4096

struct admin {
	struct env *env;
	struct rpc_node *node;
	struct rpc_peer *peer;
	struct settings settings;
	struct rpc_call call;
	bool done;
	uint8_t *reply, *map_body, *map_scratch, *space_body, *space_scratch;
	uint32_t reply_len;
	struct wp_map_get_rep map;
	struct wp_space_get_rep space;
};

static unsigned mgmtd_addrs(void *arg, struct rpc_peer *peer, const char **ret, unsigned max)
{
	struct admin *a = arg;
	unsigned n = MIN(max, a->settings.common.mgmtd.n);

	for (unsigned i = 0; i < n; i++)
		ret[i] = a->settings.common.mgmtd.v[i];
	return n;
}

static int make_identity(struct admin *a, struct rpc_identity *id)
{
	const struct conf_common *c = &a->settings.common;
	char why[256];
	int r;

	*id = (struct rpc_identity){ .role = WP_ROLE_ADMIN, .auth = (uint8_t)c->auth };
	env_random(a->env, id->uuid.b, sizeof(id->uuid.b));
	(void)str_copy(id->name, sizeof(id->name), "weft");
	if (c->auth == WP_AUTH_NONE)
		return 0;
	if (!c->server_secret_file)
		return cli_fail("server-secret-file is not set: administration needs the servers' secret"), -EINVAL;
	r = conf_secret_read(c->server_secret_file, id->server_secret, &id->server_secret_len, why, sizeof(why));
	return r < 0 ? cli_fail("%s", why), r : 0;
}

static int connect_peer(struct admin *a)
{
	static const struct rpc_peer_ops ops = { .addrs = mgmtd_addrs };
	struct rpc_peer_params params = {
		.service = WP_SERVICE_MGMTD, .target = WP_TARGET_NONE, .conns = 1, .credits = 8, .ops = &ops, .arg = a
	};
	struct rpc_identity id;
	int r = make_identity(a, &id);

	if (!r)
		r = rpc_node_new(a->env, &id, &a->node);
	if (!r)
		r = rpc_peer_new(a->node, &params, &a->peer);
	return r;
}

int admin_open(struct admin **ret)
{
	struct admin *a = NEW(struct admin);
	int r = settings_load(&a->settings);

	log_setup("weft", LOG_ERR);
	if (!r && !a->settings.common.mgmtd.n)
		r = (cli_fail("no management daemon is configured: name it with --mgmtd, or the cluster's folder with --dir"),
		     -EINVAL);
	if (!r) {
		r = env_linux_new(NULL, &a->env);
		if (r < 0)
			cli_fail("%s", env_linux_strerror(r));
	}
	if (!r)
		r = connect_peer(a);
	if (r < 0) {
		admin_close(a);
		return r;
	}
	rpc_call_init(&a->call, 0, NULL, NULL);
	*ret = a;
	return 0;
}

void admin_close(struct admin *a)
{
	if (!a)
		return;
	if (a->peer)
		rpc_peer_free(a->peer);
	if (a->node)
		rpc_node_free(a->node);
	if (a->env)
		env_linux_free(a->env);
	settings_done(&a->settings);
	free(a->reply);
	free(a->map_body);
	free(a->map_scratch);
	free(a->space_body);
	free(a->space_scratch);
	free(a);
}

static void call_done(struct rpc_call *c)
{
	struct admin *a = c->arg;

	a->done = true;
	free(a->reply);
	a->reply = NULL;
	a->reply_len = 0;
	if (c->err == 0 && c->reply_len) {
		a->reply = xmalloc(c->reply_len);
		memcpy(a->reply, c->reply, c->reply_len);
		a->reply_len = c->reply_len;
	}
}

/* The opcode is only known to admin_call, which sets it. */
struct wp_enc *admin_enc(struct admin *a)
{
	rpc_call_init(&a->call, WP_OP_PING, call_done, a);
	return rpc_call_enc(&a->call, REQUEST_BODY_MAX);
}

int admin_call(struct admin *a, uint16_t op, const uint8_t **reply, uint32_t *reply_len)
{
	a->call.op = op;
	a->call.deadline_ns = env_mono_ns(a->env) + CALL_TIMEOUT_NS;
	a->done = false;
	rpc_call(a->peer, &a->call);
	while (!a->done)
		env_linux_run_once(a->env, true);
	*reply = a->reply;
	*reply_len = a->reply_len;
	return a->call.err;
}

/* Keeps a reply beyond the next call: takes it over, and makes room for its arrays. */
static void keep_reply(struct admin *a, uint8_t **body, uint8_t **scratch, size_t *scratch_len)
{
	free(*body);
	free(*scratch);
	*body = a->reply;
	a->reply = NULL;
	*scratch_len = wp_scratch_bound(a->reply_len);
	*scratch = xmalloc(*scratch_len);
}

int admin_map(struct admin *a, const struct wp_map **ret)
{
	struct wp_map_get_req req = { 0 };
	const uint8_t *reply;
	size_t scratch_len;
	uint32_t len;
	int r;

	wp_map_get_req_enc(admin_enc(a), &req);
	r = admin_call(a, WP_OP_MAP_GET, &reply, &len);
	if (r < 0)
		return r;
	keep_reply(a, &a->map_body, &a->map_scratch, &scratch_len);
	r = wp_map_get_rep_decode(a->map_body, len, a->map_scratch, scratch_len, &a->map);
	*ret = &a->map.map;
	return r;
}

int admin_space(struct admin *a, const struct wp_space_get_rep **ret)
{
	struct wp_space_get_req req = { 0 };
	const uint8_t *reply;
	size_t scratch_len;
	uint32_t len;
	int r;

	wp_space_get_req_enc(admin_enc(a), &req);
	r = admin_call(a, WP_OP_SPACE_GET, &reply, &len);
	if (r < 0)
		return r;
	keep_reply(a, &a->space_body, &a->space_scratch, &scratch_len);
	r = wp_space_get_rep_decode(a->space_body, len, a->space_scratch, scratch_len, &a->space);
	*ret = &a->space;
	return r;
}

int admin_fail(struct admin *a, const char *what, int err)
{
	const char *addr = a->settings.common.mgmtd.n ? a->settings.common.mgmtd.v[0] : "?";
	int last = rpc_peer_last_error(a->peer);

	if (err == -ETIMEDOUT && !rpc_peer_up(a->peer))
		return cli_fail("%s: no answer from the management daemon at %s (%s): is weft-mgmtd running? For a local "
				"cluster: weft up",
				what, addr, last ? wp_status_text(wp_status_from_errno(last)) : "timed out");
	if (err == -WEFT_EAUTH)
		return cli_fail("%s: the management daemon at %s has another secret: use the cluster's own configuration "
				"(--config or --dir)",
				what, addr);
	return cli_fail("%s: %s", what, wp_status_text(wp_status_from_errno(err)));
}
