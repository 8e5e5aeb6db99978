/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* weft-mgmtd: the management daemon. */
#include <unistd.h>

#include "base/log.h"
#include "io/reactor.h"
#include "mgmtd/mgmtd.h"
#include "node/clustermap.h"
#include "node/daemon.h"
#include "node/identity.h"
#include "rpc/counters.h"

#define LISTEN_DEFAULT "tcp:*:7480"

static struct options {
	char *dir;
	int backend;
	bool init;
	uint64_t heartbeat, offline, client_heartbeat, client_offline;
	struct capacity_rules meta, storage;
} options;

static const struct conf_choice backend_choices[] = { { "disk", 0 }, { "mem", 1 }, { NULL, 0 } };

#define DURATION(name_, field, def_, lo, hi, help_)                                                                           \
	{ .name = name_, .type = CONF_DURATION, .offset = CONF_FIELD(options, field), .arg = "TIME", .def = def_,             \
	  .min = (lo) * NSEC_PER_MSEC, .max = (hi) * NSEC_PER_MSEC, .help = help_ }
#define LIMIT(name_, type_, field, def_, help_)                                                                               \
	{ .name = name_, .type = type_, .offset = CONF_FIELD(options, field), .arg = type_ == CONF_SIZE ? "SIZE" : "N",       \
	  .def = def_, .help = help_ }
#define LIMITS(kind, field, low_space, emergency_space, low_inodes, emergency_inodes)                                         \
	LIMIT(kind "-space-low", CONF_SIZE, field.space.low, low_space,                                                       \
	      "free bytes below which a target is LOW (at most 5% of its size)"),                                             \
		LIMIT(kind "-space-emergency", CONF_SIZE, field.space.emergency, emergency_space,                             \
		      "free bytes below which a target is EMERGENCY (at most 1% of its size)"),                               \
		LIMIT(kind "-inodes-low", CONF_U64, field.inodes.low, low_inodes,                                             \
		      "free inodes below which a target is LOW (at most 5% of all)"),                                         \
		LIMIT(kind "-inodes-emergency", CONF_U64, field.inodes.emergency, emergency_inodes,                           \
		      "free inodes below which a target is EMERGENCY (at most 1% of all)"),                                   \
		LIMIT(kind "-space-spread", CONF_SIZE, field.space.normal_spread, "0",                                        \
		      "difference of free bytes between NORMAL targets from which the raised low limit holds"),               \
		LIMIT(kind "-space-low-raised", CONF_SIZE, field.space.low_raised, "0",                                       \
		      "low limit while the spread is wide; 0: never raised"),                                                 \
		LIMIT(kind "-space-low-spread", CONF_SIZE, field.space.low_spread, "0",                                       \
		      "difference of free bytes between LOW targets from which the raised emergency limit holds"),            \
		LIMIT(kind "-space-emergency-raised", CONF_SIZE, field.space.emergency_raised, "0",                           \
		      "emergency limit while the spread of LOW targets is wide; 0: never raised"),                            \
		LIMIT(kind "-inodes-spread", CONF_U64, field.inodes.normal_spread, "0",                                       \
		      "the same for inodes: spread of NORMAL targets"),                                                       \
		LIMIT(kind "-inodes-low-raised", CONF_U64, field.inodes.low_raised, "0", "low limit while it is wide"),       \
		LIMIT(kind "-inodes-low-spread", CONF_U64, field.inodes.low_spread, "0", "spread of LOW targets"),            \
		LIMIT(kind "-inodes-emergency-raised", CONF_U64, field.inodes.emergency_raised, "0",                          \
		      "emergency limit while it is wide")

static const struct conf_option option_rows[] = {
	{ .name = "dir", .type = CONF_PATH, .offset = CONF_FIELD(options, dir), .arg = "DIR", .flags = CONF_REQUIRED,
	  .help = "folder with the cluster's state; an empty one becomes a new cluster" },
	{ .name = "backend", .type = CONF_ENUM, .offset = CONF_FIELD(options, backend), .arg = "ENGINE", .def = "disk",
	  .choices = backend_choices, .help = "where the state is kept; mem forgets it, and servers register again" },
	{ .name = "init", .type = CONF_BOOL, .offset = CONF_FIELD(options, init), .flags = CONF_ARG_ONLY,
	  .help = "make a new cluster, also if the folder does not exist or is not empty" },
	DURATION("heartbeat", heartbeat, "1s", 10, 60000, "how often servers give a sign of life"),
	DURATION("offline-timeout", offline, "10s", 50, 3600000, "silence after which servers and targets are offline"),
	DURATION("client-heartbeat", client_heartbeat, "5s", 10, 600000, "how often clients give a sign of life"),
	DURATION("client-timeout", client_offline, "30s", 50, 86400000, "silence after which clients vanish from the map"),
	LIMITS("meta", meta, "10G", "3G", "10000000", "1000000"),
	LIMITS("storage", storage, "512G", "10G", "10000000", "1000000"),
	{ 0 },
};
static const struct conf_table option_table = { "Management", NULL, option_rows, &options };

struct daemon {
	struct io_reactors *reactors;
	struct env *env;
	int lock_fd;
	struct identity identity;
	struct osd_dev *dev;
	struct rpc_node *node;
	struct mgmtd *core;
	struct mgmtd_self self;
	char **addrs; /* of self */
	bool stopping;
	struct env_timer wait_ready;
};

/* ---- folder ---------------------------------------------------------------------------------------------------------------------- */

static const char *backend_name(void) { return options.backend ? "mem" : "disk"; }

static int format_folder(struct daemon *d, const struct osd_params *params, char *why)
{
	int r = identity_new(WP_SERVICE_MGMTD, backend_name(), &d->identity);

	if (!r)
		r = uuid_random(&d->identity.cluster);
	if (!r)
		r = osd_backend(backend_name())->format(params);
	if (r < 0 && r != -EEXIST) {
		snprintf(why, IDENTITY_WHY_MAX, "cannot make the state of a new cluster in %s: %s", options.dir, strerror(-wp_err_to_errno(r)));
		return r;
	}
	log_notice("mgmtd", "new cluster in %s", options.dir);
	return identity_write(options.dir, &d->identity, why);
}

static int open_folder(struct daemon *d, char *why)
{
	static const struct wp_uuid any;
	struct osd_params params = { .env = d->env, .path = options.dir };
	int r = folder_lock(options.dir, options.init, &d->lock_fd, why);

	if (!r)
		r = identity_read(options.dir, &d->identity, why);
	if (r == -ENOENT && d->lock_fd >= 0 && (options.init || folder_is_empty(options.dir)))
		r = format_folder(d, &params, why);
	else if (!r)
		r = identity_check(options.dir, &d->identity, WP_SERVICE_MGMTD, backend_name(), &any, why);
	if (r < 0)
		return r;
	d->identity.boot_epoch++;
	r = identity_write(options.dir, &d->identity, why);
	if (r < 0)
		return r;
	r = osd_backend(backend_name())->open(&params, &d->dev);
	if (r < 0)
		snprintf(why, IDENTITY_WHY_MAX, "cannot open the state in %s: %s", options.dir, strerror(-wp_err_to_errno(r)));
	return r;
}

/* ---- core ------------------------------------------------------------------------------------------------------------------------ */

static int open_core(struct daemon *d, char *why)
{
	struct mgmtd_params p = {
		.env = d->env, .dev = d->dev, .cluster = d->identity.cluster, .boot_epoch = d->identity.boot_epoch,
		.heartbeat_ms = (uint32_t)(options.heartbeat / NSEC_PER_MSEC), .offline_ms = (uint32_t)(options.offline / NSEC_PER_MSEC),
		.client_heartbeat_ms = (uint32_t)(options.client_heartbeat / NSEC_PER_MSEC),
		.client_offline_ms = (uint32_t)(options.client_offline / NSEC_PER_MSEC), .meta = options.meta, .storage = options.storage,
	};
	int r = mgmtd_open(&p, &d->core);

	if (r < 0)
		snprintf(why, IDENTITY_WHY_MAX, "the state in %s is unusable: %s", options.dir,
			 r == -WEFT_EFOREIGN ? "it belongs to another cluster than " TARGET_FILE " says" :
			 r == -WEFT_ENEWER   ? "a newer version of weft wrote it: install that" :
					       strerror(-wp_err_to_errno(r)));
	return r;
}

static unsigned counter_rows(void *arg, struct wp_counter *rows, unsigned max)
{
	return mgmtd_counter_rows(((struct daemon *)arg)->core, rows, max);
}

/* A new cluster's state has to be durable first: a few milliseconds. */
static void wait_ready(void *arg)
{
	struct daemon *d = arg;

	if (d->stopping)
		return;
	if (!mgmtd_map_version(d->core))
		return env_timer_in(d->env, &d->wait_ready, 5 * NSEC_PER_MSEC);
	log_notice("mgmtd", "serving, map version %u", mgmtd_map_version(d->core));
	daemon_ready();
}

static void stopped(void *arg)
{
	struct daemon *d = arg;

	io_reactors_stop(d->reactors);
}

static void stop(void *arg)
{
	struct daemon *d = arg;

	d->stopping = true;
	env_timer_cancel(d->env, &d->wait_ready);
	mgmtd_stop(d->core, stopped, d);
}

static void show_self(struct daemon *d, const struct rpc_identity *id)
{
	d->addrs = daemon_addresses(d->node, &d->self.addrs_n);
	d->self.addrs_n = MIN(d->self.addrs_n, WP_ADDRS_MAX);
	d->self.addrs = (const char *const *)d->addrs;
	d->self.name = daemon_options.name ? daemon_options.name : "mgmtd";
	d->self.host = cluster_host();
	d->self.version = WEFT_VERSION;
	d->self.pid = (uint32_t)getpid();
	d->self.uuid = id->uuid;
	mgmtd_show_self(d->core, &d->self);
}

static int make(struct daemon *d, struct rpc_identity *id)
{
	char why[IDENTITY_WHY_MAX] = "";
	int r = io_reactors_new(1, "weft-io", &d->reactors);

	if (r < 0) {
		log_err("mgmtd", "cannot start: %s", env_linux_strerror(r));
		return r;
	}
	d->env = io_reactors_get(d->reactors, 0)->env;
	r = open_folder(d, why);
	if (!r)
		r = open_core(d, why);
	if (r < 0) {
		log_err("mgmtd", "%s", why);
		return r;
	}
	r = daemon_write_pid_file();
	if (r < 0)
		return r;
	id->uuid = d->identity.node;
	id->cluster = *mgmtd_cluster(d->core);
	r = rpc_node_new(d->env, id, &d->node);
	if (r < 0)
		return r;
	rpc_node_set_counters(d->node, counter_rows, d);
	r = rpc_service_add(d->node, mgmtd_service(d->core));
	if (!r)
		r = daemon_listen(d->node, LISTEN_DEFAULT);
	if (!r)
		show_self(d, id);
	return r;
}

static void unmake(struct daemon *d)
{
	if (d->node)
		rpc_node_free(d->node);
	if (d->core)
		mgmtd_free(d->core);
	daemon_free_addresses(d->addrs);
	if (d->dev)
		d->dev->ops->close(d->dev);
	folder_unlock(d->lock_fd);
	io_reactors_free(d->reactors);
}

static void check(void *arg, struct conf *c)
{
	daemon_check(c);
	if (options.offline < 2 * options.heartbeat)
		conf_error(c, "offline-timeout", "must be at least twice the heartbeat");
	if (options.client_offline < 2 * options.client_heartbeat)
		conf_error(c, "client-timeout", "must be at least twice the client-heartbeat");
}

static const struct conf_program program = {
	.name = "weft-mgmtd",
	.section = "mgmtd",
	.synopsis = "--dir DIR [options]",
	.about = "Keeps the cluster map: which servers, targets and mounts there are, and how they are.",
	.tables = { &option_table, &daemon_table, &daemon_common_table },
	.check = check,
};

int main(int argc, char **argv)
{
	struct daemon d = { .lock_fd = -1 };
	struct rpc_identity id;
	int status;

	if (!daemon_start(&program, argc, argv, WP_ROLE_MGMTD, &id, &status))
		return status;
	status = make(&d, &id) < 0;
	explicit_bzero(&id, sizeof(id));
	if (!status) {
		d.wait_ready = (struct env_timer){ .fn = wait_ready, .arg = &d };
		env_timer_in(d.env, &d.wait_ready, 1);
		daemon_watch_signals(d.env, stop, &d);
		status = io_reactors_run(d.reactors) < 0;
	}
	unmake(&d);
	daemon_end();
	return status;
}
