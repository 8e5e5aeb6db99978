/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* At quiescence: what every client sees is exactly what the model knows. */
#include "sim.h"
#include "work_ops.h"

#include "proto/fid.h"

#define CHECK_TIMEOUT_NS (300 * NSEC_PER_SEC)

/* One operation at a time, waited for. */
struct wait {
	bool done;
	int err;
	struct client_res res;   /* copied; pointers in it are not valid any more */
	struct mnode *dir;       /* readdir */
	uint64_t cookie;
	unsigned seen;
	struct sim *s;
	char data[64];
};

static void wait_cb(void *arg, int err, const struct client_res *res)
{
	struct wait *w = arg;

	w->done = true;
	w->err = err;
	w->res = *res;
	if (!err && res->data)
		memcpy(w->data, res->data, MIN(res->len, sizeof(w->data)));
}

static bool wait_for(struct sim *s, struct wait *w, const char *what)
{
	uint64_t end = cluster_now(s->cl) + CHECK_TIMEOUT_NS;

	while (!w->done && !s->failed) {
		if (cluster_now(s->cl) > end)
			sim_fail(s, "%s at the end got no answer", what);
		else
			cluster_run(s->cl, NSEC_PER_MSEC);
	}
	if (!s->failed && w->err)
		sim_fail(s, "%s at the end: %s", what, strerror(-w->err));
	return !s->failed;
}

static void dir_cb(void *arg, int err, const struct client_res *res)
{
	struct wait *w = arg;
	char name[256];

	for (uint32_t i = 0; !err && i < res->dirents_n; i++) {
		const struct wp_dirent *d = &res->dirents[i];
		struct ment *e;

		w->cookie = d->cookie;
		if (wp_str_copy(name, sizeof(name), d->name) || !strcmp(name, ".") || !strcmp(name, ".."))
			continue;
		e = model_find(w->dir, name);
		if (!e || !e->child || !wp_fid_eq(&e->child->fid, &d->fid))
			sim_fail(w->s, "at the end %s is in [%llx:%x], or is another inode", name,
				 (unsigned long long)w->dir->fid.seq, w->dir->fid.oid);
		w->seen++;
	}
	wait_cb(arg, err, res);
}

static void check_dir(struct sim *s, struct client *c, struct mnode *dir)
{
	struct wait w = { .s = s, .dir = dir };

	do {
		w.done = false;
		(void)client_readdir(c, &sim_cred, &dir->fid, w.cookie, 4000, 0, dir_cb, &w);
		if (!wait_for(s, &w, "readdir"))
			return;
	} while (!w.res.eof && w.res.dirents_n);
	if (w.seen != dir->ents_n)
		sim_fail(s, "at the end [%llx:%x] has %u names, must have %u", (unsigned long long)dir->fid.seq, dir->fid.oid, w.seen,
			 dir->ents_n);
}

/* The whole file into *ret (allocated). */
static bool read_all(struct sim *s, struct client *c, struct mnode *n, size_t max, uint8_t **ret, uint64_t *got)
{
	struct wait w = { .s = s }, rd = { .s = s }, cl = { .s = s };
	struct iovec iov;

	(void)client_open(c, &sim_cred, &n->fid, WP_OPEN_READ, wait_cb, &w);
	if (!wait_for(s, &w, "open"))
		return false;
	*ret = xmalloc(max);
	iov = (struct iovec){ .iov_base = *ret, .iov_len = max };
	(void)client_read(c, w.res.file, &iov, 1, 0, wait_cb, &rd);
	if (!wait_for(s, &rd, "read"))
		return false;
	*got = rd.res.n;
	(void)client_release(c, w.res.file, wait_cb, &cl);
	return wait_for(s, &cl, "release");
}

static void check_file(struct sim *s, struct client *c, struct mnode *n)
{
	cleanup_free uint8_t *p = NULL;
	size_t max = SIM_FILE_MAX + SIM_IO_MAX + 8192;
	char why[240];
	uint64_t got;

	if (read_all(s, c, n, max, &p, &got) && !content_check(&n->data, 0, max, p, got, why, sizeof(why)))
		sim_fail(s, "at the end [%llx:%x]: %s", (unsigned long long)n->fid.seq, n->fid.oid, why);
}

static void check_link(struct sim *s, struct client *c, struct mnode *n)
{
	struct wait w = { .s = s };

	(void)client_readlink(c, &n->fid, wait_cb, &w);
	if (wait_for(s, &w, "readlink") && (w.res.len != strlen(n->target) || memcmp(w.data, n->target, w.res.len)))
		sim_fail(s, "at the end the target of a link is another");
}

static void check_node(struct sim *s, struct client *c, struct mnode *n)
{
	struct wait w = { .s = s };

	if (!n->nlink)
		return;
	(void)client_getattr(c, &n->fid, wait_cb, &w);
	if (!wait_for(s, &w, "getattr"))
		return;
	if (n == s->log || n == s->lock)
		return;
	check_attr(s, n, &w.res.attr);
	if (S_ISDIR(n->mode))
		check_dir(s, c, n);
	else if (S_ISREG(n->mode))
		check_file(s, c, n);
	else if (S_ISLNK(n->mode))
		check_link(s, c, n);
}

/* Acknowledged records once, others at most once, and nothing else. */
static void check_log(struct sim *s, struct client *c)
{
	cleanup_free uint8_t *p = NULL;
	size_t max = ((size_t)s->records_n + 1) * LOG_RECORD;
	uint64_t got = 0;

	if (!s->log || !read_all(s, c, s->log, max, &p, &got))
		return;
	for (unsigned i = 0; i < s->records_n; i++) {
		uint8_t want[LOG_RECORD];
		unsigned found = 0;

		log_record_fill(s->records[i].id, want);
		for (uint64_t at = 0; at + LOG_RECORD <= got; at += LOG_RECORD)
			found += !memcmp(p + at, want, LOG_RECORD);
		/* Who lost its lock with its session may have written over it: storage targets do not know of sessions. */
		if (found > 1 || (s->records[i].acked && !found && !s->evictions))
			sim_fail(s, "record %08x (%s, offset %llu) is in the log %u times", s->records[i].id,
				 s->records[i].acked ? "acknowledged" : "in doubt", (unsigned long long)s->records[i].offset, found);
	}
}

static struct mnode *shared_file(struct sim *s, struct client *c, const char *name)
{
	struct ment *e = model_hold_name(&s->model, s->model.root, name);
	struct wait w = { .s = s }, cl = { .s = s };
	struct mnode *n;

	(void)client_create(c, &sim_cred, &s->model.root->fid, wp_str(name), 0644, 0, WP_OPEN_CREATE | WP_OPEN_EXCL | WP_OPEN_WRITE,
			    NULL, wait_cb, &w);
	if (!wait_for(s, &w, "create")) {
		model_release_name(&s->model, e);
		return NULL;
	}
	n = model_new(&s->model, e, S_IFREG | 0644, &w.res.attr.fid);
	model_release_name(&s->model, e);
	(void)client_release(c, w.res.file, wait_cb, &cl);
	(void)wait_for(s, &cl, "release");
	return n;
}

void work_shared_files(struct sim *s)
{
	if (s->failed)
		return;
	s->log = shared_file(s, cluster_client(s->cl, 0), "log");
	if (!s->failed)
		s->lock = shared_file(s, cluster_client(s->cl, 0), "lock");
}

void check_tree(struct sim *s)
{
	struct client *c = cluster_client(s->cl, rng_below(&s->rng, SIM_CLIENTS));
	struct mnode *n;

	weft_assert(c);
	list_each(n, &s->model.nodes, link) {
		check_node(s, c, n);
		if (s->failed)
			return;
	}
	check_log(s, c);
}
