/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* weft-storage: storage targets as a daemon. */
#include "node/server.h"
#include "storage/storage.h"

static struct options {
	uint64_t inflight, queued;
} options;

static const struct conf_option option_rows[] = {
	{ .name = "inflight", .type = CONF_SIZE, .offset = CONF_FIELD(options, inflight), .arg = "SIZE", .def = "64M",
	  .min = MIB(1), .max = GIB(64), .help = "payload that a target works on at a time" },
	{ .name = "queued", .type = CONF_SIZE, .offset = CONF_FIELD(options, queued), .arg = "SIZE", .def = "256M",
	  .min = MIB(1), .max = GIB(64), .help = "payload that waits at a target before senders are told to come back" },
	{ 0 },
};
static const struct conf_table option_table = { "Storage", NULL, option_rows, &options };

static void target_open(struct server_target *t)
{
	struct storage_params p = {
		.env = t->env, .dev = t->dev, .target = t->id, .no_caps = t->auth_none, .boot_epoch = t->boot_epoch,
		.inflight_bytes = options.inflight, .queued_bytes = options.queued,
	};
	struct storage_target *core = NULL;
	int r;

	memcpy(p.cap_key, t->cap_key, sizeof(p.cap_key));
	r = storage_target_open(&p, &core);
	explicit_bzero(p.cap_key, sizeof(p.cap_key));
	t->priv = core;
	server_opened(t, r, NULL);
}

static struct rpc_service *target_service(struct server_target *t) { return storage_target_service(t->priv); }
static void target_space(struct server_target *t, struct wp_target_space *ret) { storage_target_space(t->priv, ret); }
static void target_stop(struct server_target *t, env_fn *fn, void *arg) { storage_target_stop(t->priv, fn, arg); }
static void target_close(struct server_target *t) { storage_target_free(t->priv); }

static unsigned target_counters(struct server_target *t, struct wp_counter *rows, unsigned max)
{
	return storage_target_rows(t->priv, rows, max);
}

static const struct server_ops ops = {
	.open = target_open,
	.service = target_service,
	.space = target_space,
	.counters = target_counters,
	.stop = target_stop,
	.close = target_close,
};

static const struct server_program program = {
	.conf = { .name = "weft-storage", .section = "storage", .synopsis = "--target DIR... --mgmtd ADDRESS [options]",
		  .about = "Serves the storage targets in the given folders: the data of files.", .tables = { &option_table } },
	.role = WP_ROLE_STORAGE,
	.service = WP_SERVICE_STORAGE,
	.listen_default = "tcp:*:7482",
	.ops = &ops,
};

int main(int argc, char **argv) { return server_main(&program, argc, argv); }
