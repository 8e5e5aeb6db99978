/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* cluster.json: which daemons the local cluster in a folder has, and where they listen. Written whole, by rename. */
#include "cli/cli.h"

#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

#define CLUSTER_FILE_VERSION 1

char *cluster_path(const struct cluster *c, const char *fmt, ...)
{
	cleanup_free char *rest = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&rest, fmt, ap) < 0)
		abort();
	va_end(ap);
	return xasprintf("%s/%s", c->dir, rest);
}

struct daemon *cluster_find(struct cluster *c, const char *name)
{
	for (unsigned i = 0; i < c->daemons_n; i++)
		if (!strcmp(c->daemons[i].name, name))
			return &c->daemons[i];
	return NULL;
}

struct daemon *cluster_add(struct cluster *c, const char *role, const char *name, const char *dir)
{
	struct daemon *d;

	if (c->daemons_n == CLUSTER_DAEMONS_MAX)
		return NULL;
	d = &c->daemons[c->daemons_n++];
	memset(d, 0, sizeof(*d));
	(void)str_copy(d->role, sizeof(d->role), role);
	(void)str_copy(d->name, sizeof(d->name), name);
	d->dir = xstrdup(dir);
	return d;
}

void cluster_done(struct cluster *c)
{
	for (unsigned i = 0; i < c->daemons_n; i++) {
		free(c->daemons[i].dir);
		free(c->daemons[i].listen_tcp);
		free(c->daemons[i].listen_unix);
	}
	free(c->dir);
	memset(c, 0, sizeof(*c));
}

static int parse_daemon(struct cluster *c, json_t *row)
{
	const char *role, *name, *dir, *tcp = NULL, *path = NULL;
	struct daemon *d;

	if (json_unpack(row, "{s:s, s:s, s:s, s?:s, s?:s}", "role", &role, "name", &name, "dir", &dir, "tcp", &tcp, "unix",
			&path) < 0)
		return -EINVAL;
	d = cluster_add(c, role, name, dir);
	if (!d)
		return -E2BIG;
	d->listen_tcp = tcp ? xstrdup(tcp) : NULL;
	d->listen_unix = path ? xstrdup(path) : NULL;
	return 0;
}

int cluster_load(const char *dir, struct cluster *c)
{
	cleanup_free char *path = xasprintf("%s/cluster.json", dir);
	json_error_t error;
	json_t *root, *rows, *row;
	const char *backend;
	int version, r = 0;
	size_t i;

	memset(c, 0, sizeof(*c));
	if (access(path, F_OK) < 0) {
		r = -errno;
		if (r != -ENOENT)
			cli_fail("cannot reach %s: %s", path, strerror(-r));
		return r;
	}
	root = json_load_file(path, 0, &error);
	if (!root) {
		cli_fail("%s:%d: %s", path, error.line, error.text);
		return -EINVAL;
	}
	if (json_unpack(root, "{s:i, s:s, s:o}", "version", &version, "backend", &backend, "daemons", &rows) < 0 ||
	    version != CLUSTER_FILE_VERSION) {
		cli_fail("%s is not a cluster file of this version of weft", path);
		r = -EINVAL;
	}
	c->dir = realpath(dir, NULL);
	if (!r) {
		(void)str_copy(c->backend, sizeof(c->backend), backend);
		json_array_foreach (rows, i, row) {
			r = parse_daemon(c, row);
			if (r < 0) {
				cli_fail("%s: daemon %zu is malformed", path, i);
				break;
			}
		}
	}
	json_decref(root);
	if (r < 0)
		cluster_done(c);
	return r;
}

int cluster_save(const struct cluster *c)
{
	cleanup_free char *path = cluster_path(c, "cluster.json");
	cleanup_free char *tmp = cluster_path(c, "cluster.json.new");
	json_t *rows = json_array(), *root;
	int r = 0;

	for (unsigned i = 0; i < c->daemons_n; i++) {
		const struct daemon *d = &c->daemons[i];

		json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s*, s:s*}", "role", d->role, "name", d->name, "dir",
						      d->dir, "tcp", d->listen_tcp, "unix", d->listen_unix));
	}
	root = json_pack("{s:i, s:s, s:o}", "version", CLUSTER_FILE_VERSION, "backend", c->backend, "daemons", rows);
	if (json_dump_file(root, tmp, JSON_INDENT(2)) < 0 || rename(tmp, path) < 0) {
		r = errno ? -errno : -EIO;
		cli_fail("cannot write %s: %s", path, strerror(-r));
	}
	json_decref(root);
	return r;
}
