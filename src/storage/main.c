/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* weft-storage: serves storage targets. Everything around the targets is src/node. */
#include "node/server.h"
#include "storage/storage.h"

static void target_open(struct server_target *t)
{
	struct storage_params p = { .env = t->env, .dev = t->dev, .target = t->id, .boot_epoch = t->boot_epoch };
	struct storage_target *core;
	int err;

	memcpy(p.cap_key, t->cap_key, sizeof(p.cap_key));
	err = storage_target_open(&p, &core);
	if (!err)
		t->priv = core;
	server_opened(t, err, NULL);
}

static struct rpc_service *target_service(struct server_target *t) { return storage_target_service(t->priv); }

static void target_space(struct server_target *t, struct wp_target_space *ret) { storage_target_space(t->priv, ret); }

static unsigned target_counters(struct server_target *t, struct wp_counter *rows, unsigned max)
{
	return storage_target_rows(t->priv, rows, max);
}

static void target_stop(struct server_target *t, env_fn *fn, void *arg) { storage_target_stop(t->priv, fn, arg); }

static void target_close(struct server_target *t) { storage_target_free(t->priv); }

static const struct server_ops ops = {
	.open = target_open,
	.service = target_service,
	.space = target_space,
	.counters = target_counters,
	.stop = target_stop,
	.close = target_close,
};

static const struct server_program program = {
	.conf = {
		.name = "weft-storage",
		.section = "storage",
		.synopsis = "[OPTION]... --target DIR",
		.about = "Serves storage targets of a Weft cluster: the contents of files.",
	},
	.role = WP_ROLE_STORAGE,
	.service = WP_SERVICE_STORAGE,
	.listen_default = "tcp:*:0",
	.ops = &ops,
};

int main(int argc, char **argv) { return server_main(&program, argc, argv); }
