/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Mounting from a program: reactors, their clients, contexts. */
#include "client/lib/lib_priv.h"

#include <assert.h>
#include <limits.h>
#include <unistd.h>

#include "base/limits.h"
#include "conf/secret.h"

#define LEAVE_MS 3000u

static void mount_free(struct lib_mount *m)
{
	unsigned i;

	for (i = 0; i < m->mgmtd_n; i++)
		free(m->mgmtd[i]);
	free(m->mgmtd);
	client_mount_free(m->m);
	free(m);
}

static int split_addrs(struct lib_mount *m, const char *list)
{
	m->mgmtd = xcalloc(WP_ADDRS_MAX, sizeof(*m->mgmtd));
	while (list && *list) {
		const char *end = strchrnul(list, ',');

		if (m->mgmtd_n == WP_ADDRS_MAX)
			return -E2BIG;
		m->mgmtd[m->mgmtd_n++] = xasprintf("%.*s", (int)(end - list), list);
		list = *end ? end + 1 : end;
	}
	return m->mgmtd_n ? 0 : -EINVAL;
}

static int take_secret(struct rpc_identity *id, const struct weft_options *o)
{
	static_assert(CONF_SECRET_MAX <= RPC_SECRET_MAX, "a secret file's contents must fit");

	if (o->secret_file)
		return conf_secret_read(o->secret_file, id->secret, &id->secret_len, NULL, 0);
	if (o->secret_len > RPC_SECRET_MAX || (o->secret && !o->secret_len))
		return -EINVAL;
	if (o->secret)
		memcpy(id->secret, o->secret, o->secret_len);
	id->secret_len = o->secret ? o->secret_len : 0;
	return 0;
}

static int make_mount(struct lib_mount *m, const struct weft_options *o)
{
	int err;
	struct client_params p = {
		.mgmtd = (const char *const *)m->mgmtd, .mgmtd_n = m->mgmtd_n, .pid = (uint32_t)getpid(), .reactors = m->reactors,
		.noatime = o->noatime != 0,
	};

	p.id.role = WP_ROLE_CLIENT;
	p.id.auth = o->secret || o->secret_file ? WP_AUTH_HMAC : WP_AUTH_NONE;
	err = take_secret(&p.id, o);
	if (err)
		return err;
	str_copy(p.id.name, sizeof(p.id.name), "libweft");
	p.op_timeout_ms = o->timeout_ms == UINT_MAX ? 0 : o->timeout_ms ? o->timeout_ms : CLIENT_OP_TIMEOUT_MS;
	if (gethostname(p.host, sizeof(p.host) - 1))
		p.host[0] = '\0';
	return client_mount_new(&p, &m->m);
}

static int start_reactors(struct lib_mount *m)
{
	int err = io_reactors_new(m->reactors, "libweft", &m->set);

	for (unsigned i = 0; i < m->reactors && !err; i++) {
		struct io_reactor *r = io_reactors_get(m->set, i);
		struct client *c;

		err = client_new(m->m, r->env, i, &c);
		if (!err)
			r->priv = c;
	}
	return err ? err : io_reactors_start(m->set);
}

static void stop_reactors(struct lib_mount *m)
{
	if (!m->set)
		return;
	io_reactors_stop(m->set);
	io_reactors_join(m->set);
	for (unsigned i = 0; i < m->reactors; i++)
		client_free(io_reactors_get(m->set, i)->priv);
	io_reactors_free(m->set);
}

static void started(void *arg, int err, const struct wp_attr *root)
{
	wcall_done(arg, err);
}

static void go_start(struct wcall *w)
{
	client_start(w->c, started, w);
}

/* On one given reactor, unlike other calls. */
static ssize_t run_on(struct lib_mount *m, unsigned i, wcall_fn *fn)
{
	struct wcall w;

	wcall_init(&w, m, NULL, fn);
	return wcall_run_on(&w, io_reactors_get(m->set, i));
}

static struct weft *context_new(struct lib_mount *m, uid_t uid, gid_t gid, const gid_t *groups, size_t n, mode_t umask)
{
	struct weft *fs = NEW(struct weft);

	fs->mount = m;
	fs->umask = umask;
	fs->groups = xcalloc(n + 1, sizeof(*fs->groups));
	for (size_t i = 0; i < n; i++)
		fs->groups[i] = groups[i];
	fs->cred = (struct client_cred){ .uid = uid, .gid = gid, .cap_dac = uid == 0, .groups_known = true, .groups = fs->groups,
					 .groups_n = (uint32_t)n };
	return fs;
}

static struct weft *own_context(struct lib_mount *m)
{
	gid_t *groups = NULL;
	struct weft *fs;
	int n = getgroups(0, NULL);

	if (n > 0) {
		groups = xcalloc((size_t)n, sizeof(*groups));
		n = getgroups(n, groups);
	}
	fs = context_new(m, geteuid(), getegid(), groups, n > 0 ? (size_t)n : 0, 022);
	fs->owner = true;
	free(groups);
	return fs;
}

int weft_mount(const struct weft_options *o, struct weft **ret)
{
	struct lib_mount *m;
	ssize_t err;
	unsigned i;

	if (!o || o->size < sizeof(*o) || o->reactors > WEFT_REACTORS_MAX)
		return -EINVAL;
	m = NEW(struct lib_mount);
	m->reactors = o->reactors ? o->reactors : 1;
	err = split_addrs(m, o->mgmtd);
	if (!err)
		err = make_mount(m, o);
	if (!err)
		err = start_reactors(m);
	for (i = 0; i < m->reactors && !err; i++)
		err = run_on(m, i, go_start);
	if (err) {
		stop_reactors(m);
		mount_free(m);
		return (int)err;
	}
	*ret = own_context(m);
	return 0;
}

static void left(void *arg)
{
	wcall_done(arg, 0);
}

static void go_leave(struct wcall *w)
{
	client_leave(w->c, LEAVE_MS, left, w);
}

int weft_umount(struct weft *fs)
{
	struct lib_mount *m = fs->mount;

	if (!fs->owner)
		return -EINVAL;
	(void)run_on(m, 0, go_leave);
	stop_reactors(m);
	mount_free(m);
	free(fs->groups);
	free(fs);
	return 0;
}

int weft_context(struct weft *fs, const struct weft_cred *cred, struct weft **ret)
{
	if (cred->groups_n > WP_GROUPS_MAX)
		return -EINVAL;
	*ret = context_new(fs->mount, cred->uid, cred->gid, cred->groups, cred->groups_n, cred->umask);
	return 0;
}

void weft_context_free(struct weft *ctx)
{
	if (!ctx || ctx->owner)
		return;
	free(ctx->groups);
	free(ctx);
}
