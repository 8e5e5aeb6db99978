/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Blocking calls to the management daemon: a reactor of our own, run until the answer is there. */
#include "cli/cli.h"

#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "cli/settings.h"
#include "conf/secret.h"
#include "env/env_linux.h"
#include "node/clustermap.h"
#include "proto/status.h"
#include "rpc/rpc.h"

#define CALL_TIMEOUT_NS (10 * NSEC_PER_SEC)
#define REFUSED_NS (2 * NSEC_PER_SEC)
#define REQUEST_BODY_MAX 4096

struct admin {
	struct env *env;
	struct rpc_node *node;
	struct rpc_peer *peer;
	struct settings settings;
	struct rpc_call call;
	bool done;
	uint8_t *reply;
	uint32_t reply_len;
	struct cluster_map *map;
	struct buf space_rows; /* struct wp_target_space */
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
		return cli_fail("server-secret-file is not set: administration needs the servers' secret. Run this on a server, or name a configuration that has it (--config)"), -EINVAL;
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
	cluster_map_unref(a->map);
	buf_done(&a->space_rows);
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

/* Nobody listens there: no reason to wait for an answer as long as one would for a busy machine's. */
static bool is_hopeless(struct admin *a, uint64_t since)
{
	int err = rpc_peer_last_error(a->peer);

	return !rpc_peer_up(a->peer) && (err == -ECONNREFUSED || err == -ENOENT) && env_mono_ns(a->env) - since > REFUSED_NS;
}

int admin_call(struct admin *a, uint16_t op, const uint8_t **reply, uint32_t *reply_len)
{
	uint64_t since = env_mono_ns(a->env);
	bool hopeless = false;

	a->call.op = op;
	a->call.deadline_ns = since + CALL_TIMEOUT_NS;
	a->done = false;
	rpc_call(a->peer, &a->call);
	while (!a->done) {
		env_linux_run_once(a->env, true);
		if (!a->done && !hopeless && is_hopeless(a, since)) {
			hopeless = true;
			rpc_call_cancel(&a->call);
		}
	}
	*reply = a->reply;
	*reply_len = a->reply_len;
	return hopeless ? -ETIMEDOUT : a->call.err;
}

int admin_map(struct admin *a, const struct wp_map **ret)
{
	struct map_pages pages = { 0 };
	struct wp_map_get_req req;
	const uint8_t *reply;
	uint32_t len;
	int r;

	do {
		map_pages_request(&pages, 0, 0, &req);
		wp_map_get_req_enc(admin_enc(a), &req);
		r = admin_call(a, WP_OP_MAP_GET, &reply, &len);
		if (!r)
			r = map_pages_add(&pages, reply, len);
	} while (!r);
	if (r > 0)
		r = cluster_map_decode(pages.body.p, pages.body.len, &a->map);
	map_pages_reset(&pages);
	if (!r)
		*ret = cluster_map_wire(a->map);
	return r;
}

static int space_page(struct admin *a, struct wp_space_get_req *req)
{
	struct wp_space_get_rep rep;
	cleanup_free void *scratch = NULL;
	const uint8_t *reply;
	uint32_t len;
	int r;

	wp_space_get_req_enc(admin_enc(a), req);
	r = admin_call(a, WP_OP_SPACE_GET, &reply, &len);
	if (r < 0)
		return r;
	scratch = xmalloc(wp_scratch_bound(len));
	r = wp_space_get_rep_decode(reply, len, scratch, wp_scratch_bound(len), &rep);
	if (r < 0)
		return r;
	buf_add(&a->space_rows, rep.targets, rep.targets_n * sizeof(rep.targets[0]));
	if (rep.next != WP_TARGET_NONE && rep.next <= req->from)
		return -EBADMSG;
	req->from = rep.next;
	return 0;
}

int admin_space(struct admin *a, struct space_list *ret)
{
	static const uint16_t services[] = { WP_SERVICE_META, WP_SERVICE_STORAGE };
	int r = 0;

	buf_reset(&a->space_rows);
	for (size_t i = 0; i < ARRAY_SIZE(services) && !r; i++) {
		struct wp_space_get_req req = { .service = services[i] };

		do
			r = space_page(a, &req);
		while (!r && req.from != WP_TARGET_NONE);
	}
	*ret = (struct space_list){ (const void *)a->space_rows.p, a->space_rows.len / sizeof(struct wp_target_space) };
	return r;
}

/* "tcp:a:1, unix:b" */
static void print_addrs(const struct admin *a, char *buf, size_t size)
{
	size_t at = 0;

	snprintf(buf, size, "?");
	for (unsigned i = 0; i < a->settings.common.mgmtd.n && at + 1 < size; i++)
		at += (size_t)snprintf(buf + at, size - at, "%s%s", i ? ", " : "", a->settings.common.mgmtd.v[i]);
}

int admin_fail(struct admin *a, const char *what, int err)
{
	int last = rpc_peer_last_error(a->peer);
	char addr[512];

	print_addrs(a, addr, sizeof(addr));
	if (err == -ETIMEDOUT && !rpc_peer_up(a->peer))
		return cli_fail("%s: no answer from the management daemon at %s (%s): is weft-mgmtd running? For a local "
				"cluster: weft up",
				what, addr, last ? strerror(-wp_err_to_errno(last)) : "timed out");
	if (err == -ETIMEDOUT)
		return cli_fail("%s: the management daemon at %s took the request and gave no answer in %u s: its log says why",
				what, addr, (unsigned)(CALL_TIMEOUT_NS / NSEC_PER_SEC));
	if (err == -WEFT_EAUTH)
		return cli_fail("%s: the management daemon at %s has another secret: use the cluster's own configuration "
				"(--config or --dir)",
				what, addr);
	if (err == -EPROTO)
		return cli_fail("%s: the management daemon at %s speaks another revision of the protocol than weft %s: install "
				"the same "
				"version everywhere",
				what, addr, WEFT_VERSION);
	if (err == -EIO)
		return cli_fail(
			"%s: the management daemon at %s cannot save its state: see its log, and whether its disk is full",
			what, addr);
	if (err == -ENOENT)
		return cli_fail("%s: it is not there any more", what);
	return cli_fail("%s: %s; the log of the management daemon at %s may say more", what,
			wp_status_text(wp_status_from_errno(err)), addr);
}
