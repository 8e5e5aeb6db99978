/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Operations that meet each other on purpose: appends to one log, one lock; and listing directories. */
#include "sim.h"
#include "work_ops.h"

#include "proto/fid.h"

/* ---- readdir: several calls are one operation ---- */

#define SEEN_MAX 64u

static void readdir_more(struct worker *w);

static void readdir_entry(struct worker *w, const struct wp_dirent *d)
{
	char name[256];
	struct ment *e;

	if (wp_str_copy(name, sizeof(name), d->name) || !strcmp(name, ".") || !strcmp(name, ".."))
		return;
	e = model_find(w->n, name);
	if (!e || !e->child) {
		sim_fail(w->s, "readdir shows %s, which is not there", name);
		return;
	}
	if (!wp_fid_eq(&d->fid, &e->child->fid) || !same_type(d->type, e->child->mode))
		sim_fail(w->s, "readdir shows another inode for %s", name);
	for (uint64_t i = 0; i < w->len; i++)
		if (!memcmp(w->buf + i * 16, e->name, 16))
			sim_fail(w->s, "readdir shows %s twice", name);
	if (w->len < SEEN_MAX)
		memcpy(w->buf + w->len * 16, e->name, 16);
	w->len++;
}

static void readdir_cb(void *arg, int err, const struct client_res *res)
{
	struct worker *w = arg;

	if (w->s->failed || !w->op || w->in_doubt)
		return;
	for (uint32_t i = 0; !err && i < res->dirents_n && !w->s->failed; i++) {
		readdir_entry(w, &res->dirents[i]);
		w->offset = res->dirents[i].cookie;
	}
	if (!err && !res->eof && res->dirents_n && !w->s->failed)
		readdir_more(w);
	else
		work_finish(w, err, res);
}

static void readdir_more(struct worker *w)
{
	w->handle = client_readdir(worker_client(w), &sim_cred, &w->n->fid, w->offset, 200 + rng_below(&w->s->rng, 2000),
				   rng_chance(&w->s->rng, 300) ? WP_READDIR_PLUS : 0, readdir_cb, w);
}

static bool readdir_start(struct worker *w)
{
	struct mnode *dir = pick_dir(w->s);

	if (!model_hold(dir))
		return false;
	w->n = dir;
	w->offset = w->len = 0;
	readdir_more(w);
	return true;
}

static void readdir_end(struct worker *w, int err, const struct client_res *res)
{
	(void)res;
	expect_err(w, err);
	if (!err && w->len != w->n->ents_n)
		sim_fail(w->s, "readdir shows %llu names, must be %u", (unsigned long long)w->len, w->n->ents_n);
}

const struct wop wop_readdir = { "readdir", 5, readdir_start, readdir_end, NULL, NULL };

/* ---- append: every acknowledged record is in the log exactly once ---- */

static struct wfile *my_file(struct worker *w, struct mnode *n)
{
	for (unsigned i = 0; i < SIM_FILES; i++)
		if (w->files[i].f && w->files[i].n == n)
			return &w->files[i];
	return NULL;
}

/* Opens n in a free slot; the operation is over with that. */
static bool open_first(struct worker *w, struct mnode *n, uint32_t flags)
{
	if (!n)
		return false;
	w->file = NULL;
	for (unsigned i = 0; i < SIM_FILES; i++)
		if (!w->files[i].f)
			w->file = &w->files[i];
	if (!w->file)
		return false;
	w->flags = flags;
	w->data_id = 0;
	w->handle = client_open(worker_client(w), &sim_cred, &n->fid, flags, work_cb, w);
	return true;
}

static void open_first_end(struct worker *w, int err, const struct client_res *res, struct mnode *n)
{
	expect_err(w, err);
	if (err)
		return;
	*w->file = (struct wfile){ .f = res->file, .n = n, .flags = w->flags };
	model_opened(n);
}

void log_record_fill(uint32_t id, uint8_t p[LOG_RECORD])
{
	char text[LOG_RECORD + 1];

	snprintf(text, sizeof(text), "record %08x writer %3u ....\n", id, content_writer(id));
	memcpy(p, text, LOG_RECORD);
}

static bool append_start(struct worker *w)
{
	struct sim *s = w->s;
	struct wfile *f = s->log ? my_file(w, s->log) : NULL;

	if (!f)
		return open_first(w, s->log, WP_OPEN_READ | WP_OPEN_WRITE | WP_OPEN_APPEND);
	w->data_id = content_id(s->writer[w->client], ++s->counter);
	log_record_fill(w->data_id, w->buf);
	s->records = xrealloc(s->records, (s->records_n + 1) * sizeof(*s->records));
	s->records[s->records_n++] = (struct log_record){ .id = w->data_id };
	w->iov = (struct iovec){ .iov_base = w->buf, .iov_len = LOG_RECORD };
	w->handle = client_write(worker_client(w), f->f, &sim_cred, &w->iov, 1, 0, CLIENT_WRITE_STABLE, work_cb, w);
	return true;
}

static void append_end(struct worker *w, int err, const struct client_res *res)
{
	struct sim *s = w->s;

	if (!w->data_id) {
		open_first_end(w, err, res, s->log);
		return;
	}
	expect_err(w, err);
	for (unsigned i = 0; !err && i < s->records_n; i++) {
		struct log_record *r = &s->records[i];

		if (r->id == w->data_id) {
			r->offset = res->lock.start;
			r->acked = true;
		} else if (r->acked && r->offset < res->lock.start + LOG_RECORD && res->lock.start < r->offset + LOG_RECORD) {
			sim_fail(s, "records %08x and %08x were both appended at %llu", r->id, w->data_id,
				 (unsigned long long)r->offset);
		}
	}
}

const struct wop wop_append = { "append", 10, append_start, append_end, NULL, NULL };

/* ---- lock: held by one at a time ---- */

static bool lock_start(struct worker *w)
{
	struct wfile *f = w->s->lock ? my_file(w, w->s->lock) : NULL;
	struct client_lock l = { .kind = WP_LOCK_KIND_FLOCK, .type = WP_LOCK_TYPE_WRITE, .owner = w->id + 1, .end = UINT64_MAX };

	if (w->s->lock_holder == w)
		return false;
	if (!f)
		return open_first(w, w->s->lock, WP_OPEN_READ | WP_OPEN_WRITE);
	w->data_id = 1;
	w->handle = client_setlk(worker_client(w), f->f, &l, true, work_cb, w);
	return true;
}

static void lock_end(struct worker *w, int err, const struct client_res *res)
{
	struct sim *s = w->s;

	if (!w->data_id) {
		open_first_end(w, err, res, s->lock);
		return;
	}
	expect_err(w, err);
	if (err)
		return;
	/* With its session a client loses its locks, before it knows. */
	if (s->lock_holder && cluster_evicted(s->cl, s->lock_holder->client))
		s->lock_holder = NULL;
	if (s->lock_holder)
		sim_fail(s, "workers %u and %u hold the lock", s->lock_holder->id, w->id);
	s->lock_holder = w;
}

const struct wop wop_lock = { "lock", 5, lock_start, lock_end, NULL, NULL };

bool unlock_start(struct worker *w)
{
	struct wfile *f = w->s->lock ? my_file(w, w->s->lock) : NULL;
	struct client_lock l = { .kind = WP_LOCK_KIND_FLOCK, .type = WP_LOCK_TYPE_UNLOCK, .owner = w->id + 1, .end = UINT64_MAX };

	if (w->s->lock_holder != w || !f)
		return false;
	w->s->lock_holder = NULL; /* another may be granted it before we hear */
	w->handle = client_setlk(worker_client(w), f->f, &l, false, work_cb, w);
	return true;
}

static void unlock_end(struct worker *w, int err, const struct client_res *res)
{
	(void)res;
	expect_err(w, err);
}

const struct wop wop_unlock = { "unlock", 40, unlock_start, unlock_end, NULL, NULL };

const struct wop *const work_ops[] = { &wop_mkdir, &wop_mknod, &wop_symlink, &wop_link, &wop_unlink, &wop_rmdir, &wop_rename,
				       &wop_lookup, &wop_getattr, &wop_chmod, &wop_readlink, &wop_setxattr, &wop_getxattr,
				       &wop_readdir, &wop_create, &wop_open, &wop_release, &wop_write, &wop_read, &wop_fsync,
				       &wop_truncate, &wop_punch, &wop_append, &wop_lock, &wop_unlock, NULL };
