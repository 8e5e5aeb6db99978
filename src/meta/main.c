/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* weft-meta: serves metadata targets. Everything around the targets is src/node. */
#include <unistd.h>

#include "base/log.h"
#include "meta/meta.h"
#include "node/server.h"

#define CANDIDATES_MAX 65536u /* of one pool */

struct instance {
	struct server_target *t;
	struct meta_target *core;
	char *journal_dir;
	struct meta_candidate candidates[CANDIDATES_MAX];
};

static void opened(void *arg, int err)
{
	struct instance *i = arg;

	server_opened(i->t, err, err == -WEFT_ECORRUPT ? "the journal is damaged: see the message above" : NULL);
}

/* What is in memory may be ahead of the disk: only a start from the disk is safe. Clients wait and ask again. */
static void failed(void *arg, int err)
{
	struct instance *i = arg;

	log_err("meta", "target %u: its journal cannot be written (%s): the daemon ends; free or replace the disk, then start it again",
		i->t->id, strerror(-err));
	_exit(EXIT_FAILURE);
}

static struct rpc_peer *storage_peer(void *arg, uint32_t target)
{
	struct instance *i = arg;

	return peers_get(i->t->peers, WP_SERVICE_STORAGE, target);
}

static unsigned candidates(void *arg, struct wp_str pool, const struct meta_candidate **ret)
{
	static const uint8_t classes[] = { WP_CAPACITY_NORMAL, WP_CAPACITY_LOW, WP_CAPACITY_EMERGENCY };
	struct instance *i = arg;
	const uint32_t *ids;
	unsigned n = 0;

	for (size_t c = 0; c < ARRAY_SIZE(classes); c++) {
		unsigned have = cluster_map_candidates(i->t->map, pool, classes[c], &ids);

		for (unsigned k = 0; k < have && n < CANDIDATES_MAX; k++)
			i->candidates[n++] = (struct meta_candidate){ .id = ids[k],
								      .capacity = classes[c],
								      .free = space_table_free(i->t->space, ids[k]) };
	}
	*ret = i->candidates;
	return n;
}

static uint32_t placement_version(void *arg)
{
	struct instance *i = arg;

	return cluster_map_version(i->t->map) + i->t->space_version; /* both only grow */
}

static void target_open(struct server_target *t)
{
	struct instance *i = NEW(struct instance);
	struct meta_params p = {
		.env = t->env,
		.dev = t->dev,
		.target = t->id,
		.root_uid = geteuid(), /* who runs a cluster of his own shall be able to use it */
		.root_gid = getegid(),
		.opened = opened,
		.failed = failed,
		.storage_peer = storage_peer,
		.candidates = candidates,
		.placement_version = placement_version,
		.arg = i,
	};
	int err;

	i->t = t;
	t->priv = i;
	memcpy(p.cap_key, t->cap_key, sizeof(p.cap_key));
	if (strcmp(t->backend, "mem"))
		p.journal_dir = i->journal_dir = xasprintf("%s/journal", t->dir);
	err = meta_target_open(&p, &i->core);
	if (err < 0)
		server_opened(t, err, NULL);
}

static struct rpc_service *target_service(struct server_target *t)
{
	struct instance *i = t->priv;

	return meta_target_service(i->core);
}

static void target_space(struct server_target *t, struct wp_target_space *ret)
{
	struct instance *i = t->priv;

	meta_target_space(i->core, ret);
}

static unsigned target_counters(struct server_target *t, struct wp_counter *rows, unsigned max)
{
	struct instance *i = t->priv;

	return meta_target_rows(i->core, rows, max);
}

static void target_stop(struct server_target *t, env_fn *fn, void *arg)
{
	struct instance *i = t->priv;

	meta_target_stop(i->core, fn, arg);
}

static void target_close(struct server_target *t)
{
	struct instance *i = t->priv;

	if (i->core)
		meta_target_free(i->core);
	free(i->journal_dir);
	free(i);
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
	.conf = {
		.name = "weft-meta",
		.section = "meta",
		.synopsis = "[OPTION]... --target DIR",
		.about = "Serves metadata targets of a Weft cluster: names, attributes, layouts, locks.",
	},
	.role = WP_ROLE_META,
	.service = WP_SERVICE_META,
	.listen_default = "tcp:*:0",
	.wants_space = true,
	.ops = &ops,
};

int main(int argc, char **argv) { return server_main(&program, argc, argv); }
