/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* NEW -> OPENING -> OPEN -> STOPPING -> CLOSED, on the target's reactor. A stop while opening waits for the open to end. */
#include "base/log.h"
#include "node/server_priv.h"

/* ---- folder and device: before the threads run --------------------------------------------------------------------------------- */

static const struct osd_ops *backend_of(const struct server_target_state *t) { return osd_backend(t->identity.backend); }

static struct osd_params device_params(struct server *s, struct server_target_state *t)
{
	return (struct osd_params){
		.env = io_reactors_get(s->reactors, t->reactor)->env,
		.path = t->pub.dir,
		.capacity = s->opts->capacity,
		.cache_bytes = s->opts->cache,
	};
}

static const char *backend_name(int backend) { return backend ? "mem" : "disk"; }

/* A fresh folder, or one whose formatting was interrupted: the identity comes last. */
static int format_folder(struct server *s, struct server_target_state *t)
{
	struct osd_params params;
	char why[IDENTITY_WHY_MAX];
	int r = identity_new(s->program->service, backend_name(s->opts->backend), &t->identity);

	if (r < 0) {
		log_err("node", "cannot draw the number of a new target: %s", strerror(-r));
		return r;
	}
	params = device_params(s, t);
	r = backend_of(t)->format(&params);
	if (r < 0 && r != -EEXIST) {
		log_err("node", "cannot make a target in %s: %s", t->pub.dir, strerror(-wp_err_to_errno(r)));
		return r;
	}
	r = identity_write(t->pub.dir, &t->identity, why);
	if (r < 0)
		log_err("node", "%s", why);
	else
		log_notice("node", "made a new target in %s", t->pub.dir);
	return r;
}

int server_target_prepare(struct server *s, struct server_target_state *t, const char *dir)
{
	static const struct wp_uuid any;
	char why[IDENTITY_WHY_MAX];
	int r;

	t->pub.dir = dir;
	t->pub.state = t;
	t->server = s;
	t->lock_fd = -1;
	r = folder_lock(dir, s->opts->init, &t->lock_fd, why);
	if (!r)
		r = identity_read(dir, &t->identity, why);
	if (r == -ENOENT && t->lock_fd >= 0 && (s->opts->init || folder_is_empty(dir)))
		return format_folder(s, t);
	if (!r)
		r = identity_check(dir, &t->identity, s->program->service, backend_name(s->opts->backend), &any, why);
	if (r < 0)
		log_err("node", "%s", why);
	return r;
}

int server_target_open_device(struct server *s, struct server_target_state *t)
{
	struct osd_params params = device_params(s, t);
	char why[IDENTITY_WHY_MAX];
	int r;

	t->identity.boot_epoch++;
	r = identity_write(t->pub.dir, &t->identity, why);
	if (r < 0) {
		log_err("node", "%s", why);
		return r;
	}
	r = backend_of(t)->open(&params, &t->pub.dev);
	if (r < 0)
		log_err("node", "cannot open the target in %s: %s%s", t->pub.dir, strerror(-wp_err_to_errno(r)),
			r == -ENOENT ? ". Its data are missing: is the disk mounted?" : "");
	return r;
}

void server_target_release(struct server_target_state *t)
{
	if (t->pub.dev)
		t->pub.dev->ops->close(t->pub.dev);
	t->pub.dev = NULL;
	folder_unlock(t->lock_fd);
	t->lock_fd = -1;
}

void server_target_space(struct server_target_state *t, struct wp_target_space *ret)
{
	const struct server_ops *ops = t->server->program->ops;
	struct osd_space space;

	t->pub.dev->ops->statfs(t->pub.dev, &space);
	*ret = (struct wp_target_space){
		.total = space.total, .free = space.free, .inodes = space.inodes, .inodes_free = space.inodes_free,
	};
	if (ops->space && t->phase == TARGET_OPEN)
		ops->space(&t->pub, ret);
}

/* ---- the core: on the target's reactor ----------------------------------------------------------------------------------------- */

static void tell_open(void *arg)
{
	struct server_target_state *t = arg;

	server_target_is_open(t->server, t, t->err);
}

static void tell_closed(void *arg)
{
	struct server_target_state *t = arg;

	server_target_is_closed(t->server, t);
}

static void closed(struct server_target_state *t)
{
	if (t->pub.priv)
		t->server->program->ops->close(&t->pub);
	t->pub.priv = NULL;
	t->phase = TARGET_CLOSED;
	io_tell(io_reactors_get(t->server->reactors, 0)->env, tell_closed, t);
}

static void stopped(void *arg) { closed(arg); }

static void stop_core(struct server_target_state *t)
{
	t->phase = TARGET_STOPPING;
	rpc_service_remove(t->pub.node, t->server->program->ops->service(&t->pub));
	t->server->program->ops->stop(&t->pub, stopped, t);
}

void server_target_open(struct server_target_state *t)
{
	if (t->phase != TARGET_NEW)
		return;
	t->phase = TARGET_OPENING;
	t->server->program->ops->open(&t->pub);
}

void server_opened(struct server_target *pub, int err, const char *why)
{
	struct server_target_state *t = pub->state;

	weft_assert(t->phase == TARGET_OPENING);
	if (!err)
		err = rpc_service_add(pub->node, t->server->program->ops->service(pub));
	if (err < 0)
		log_err("node", "cannot serve target %u in %s: %s", pub->id, pub->dir, why ? why : strerror(-wp_err_to_errno(err)));
	t->err = err;
	t->phase = err ? TARGET_STOPPING : TARGET_OPEN;
	server_target_space(t, &t->first_space);
	io_tell(io_reactors_get(t->server->reactors, 0)->env, tell_open, t);
	if (err)
		closed(t);
	else if (t->stop_wanted)
		stop_core(t);
}

void server_target_stop(struct server_target_state *t)
{
	if (t->stop_wanted)
		return;
	t->stop_wanted = true;
	if (t->phase == TARGET_NEW)
		closed(t);
	else if (t->phase == TARGET_OPEN)
		stop_core(t);
}
