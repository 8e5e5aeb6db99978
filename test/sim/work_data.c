/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Operations on open files and their data. */
#include <fcntl.h>

#include "sim.h"
#include "work_ops.h"

#include "proto/fid.h"

#define STRIPE 65536u

/* Small stripes, so that small files have many objects: one target first, then all of them. */
static const struct wp_layout *small_stripes(void)
{
	static struct wp_component comps[2];
	static struct wp_layout layout = { .components = comps, .components_n = 2 };

	comps[0] = (struct wp_component){ .start = 0, .end = 2 * STRIPE, .pattern = WP_PATTERN_RAID0, .stripe_size = STRIPE,
					  .stripe_count = 1 };
	comps[1] = (struct wp_component){ .start = 2 * STRIPE, .end = INT64_MAX, .pattern = WP_PATTERN_RAID0,
					  .stripe_size = STRIPE, .stripe_count = 3 };
	return &layout;
}

static struct wfile *free_slot(struct worker *w)
{
	for (unsigned i = 0; i < SIM_FILES; i++)
		if (!w->files[i].f)
			return &w->files[i];
	return NULL;
}

/* One of the worker's open files whose inode can be held. */
static bool pick_open(struct worker *w, uint32_t flags)
{
	struct wfile *f = &w->files[rng_below(&w->s->rng, SIM_FILES)];

	if (!f->f || (f->flags & flags) != flags || f->n == w->s->log || f->n == w->s->lock || !model_hold(f->n))
		return false;
	w->file = f;
	w->n = f->n;
	return true;
}

/* Is another worker doing something with these bytes that must not happen at the same time? */
static bool in_the_way(const struct worker *w, uint64_t offset, uint64_t len, bool writes)
{
	const struct sim *s = w->s;

	for (unsigned i = 0; i < ARRAY_SIZE(s->workers); i++) {
		const struct worker *o = &s->workers[i];

		if (o == w || !o->op || o->n != w->n || !o->shared || (!writes && o->op == &wop_read))
			continue;
		if (offset < o->offset + o->len && o->offset < offset + len)
			return true;
	}
	return false;
}

static void pick_range(struct worker *w);

/* An open file and a range of it, together with other readers and writers of other ranges. */
static bool share_range(struct worker *w, uint32_t flags, bool writes)
{
	struct wfile *f = &w->files[rng_below(&w->s->rng, SIM_FILES)];

	if (!f->f || (f->flags & flags) != flags || f->n == w->s->log || f->n == w->s->lock || !model_share(f->n))
		return false;
	w->file = f;
	w->n = f->n;
	pick_range(w);
	if (in_the_way(w, w->offset, w->len, writes)) {
		model_unshare(&w->s->model, w->n);
		w->n = NULL;
		return false;
	}
	w->shared = true;
	w->size_lo = w->n->data.size_lo;
	w->extends = writes && w->offset + w->len > w->size_lo;
	w->end_moves = w->n->extending > 0;
	w->moves = w->n->moves;
	if (w->extends) {
		w->n->extending++;
		w->n->moves++;
	}
	return true;
}

/* An error that only lost data explains. */
static bool lost_data(struct worker *w, int err) { return err == -EIO && w->s->cuts; }

/* ---- open and close ---- */

static bool create_start(struct worker *w)
{
	static const uint32_t extra[] = { 0, 0, WP_OPEN_EXCL, WP_OPEN_TRUNC };
	struct mnode *n;

	w->file = free_slot(w);
	if (!w->file)
		return false;
	w->a = pick_name(w);
	if (!w->a)
		return false;
	n = w->a->child;
	w->flags = WP_OPEN_READ | WP_OPEN_WRITE | WP_OPEN_CREATE | extra[rng_below(&w->s->rng, ARRAY_SIZE(extra))];
	if (n && ((!S_ISREG(n->mode) && !(w->flags & WP_OPEN_EXCL)) || n == w->s->log || n == w->s->lock || !model_hold(n))) {
		model_release_name(&w->s->model, w->a);
		w->a = NULL;
		return false;
	}
	w->n = n;
	w->expect = n && w->flags & WP_OPEN_EXCL ? -EEXIST : 0;
	w->handle = client_create(worker_client(w), &sim_cred, &w->a->dir->fid, wp_str(w->a->name), 0644, 0, w->flags,
				  rng_chance(&w->s->rng, 800) ? small_stripes() : NULL, work_cb, w);
	return true;
}

static void opened(struct worker *w, const struct client_res *res, struct mnode *n)
{
	*w->file = (struct wfile){ .f = res->file, .n = n, .flags = w->flags, .before = w->s->counter };
	model_opened(n);
	if (w->flags & WP_OPEN_TRUNC)
		content_truncate(&n->data, 0);
}

static void create_end(struct worker *w, int err, const struct client_res *res)
{
	struct mnode *n = w->n;

	expect_err(w, err);
	if (err)
		return;
	if (res->created != (n == NULL)) {
		sim_fail(w->s, "create of %s: created is %d", w->a->name, res->created);
		return;
	}
	if (!n) {
		uint32_t flags = w->flags;

		w->flags = S_IFREG | 0644;
		n = new_done(w, &res->attr);
		w->flags = flags;
	} else if (!wp_fid_eq(&n->fid, &res->attr.fid)) {
		sim_fail(w->s, "create of %s opened another inode", w->a->name);
		return;
	}
	opened(w, res, n);
}

static void trunc_doubt(struct worker *w)
{
	if (w->n && w->flags & WP_OPEN_TRUNC)
		content_maybe_truncate(&w->n->data, 0);
}

static void create_resolve(struct worker *w, const struct wp_attr *found)
{
	if (w->n) {
		if (!found)
			sim_fail(w->s, "%s vanished in a create", w->a->name);
		return;
	}
	w->flags = S_IFREG | 0644;
	new_resolve(w, found);
}

const struct wop wop_create = { "create", 16, create_start, create_end, trunc_doubt, create_resolve, true };

static bool open_start(struct worker *w)
{
	struct model *m = &w->s->model;
	struct mnode *n = model_nth(m, rng_below(&w->s->rng, m->nodes_n));

	w->file = free_slot(w);
	if (!w->file || !S_ISREG(n->mode) || n == w->s->log || n == w->s->lock || !n->nlink || !model_hold(n))
		return false;
	w->n = n;
	w->flags = WP_OPEN_READ | (rng_chance(&w->s->rng, 600) ? WP_OPEN_WRITE : 0);
	if (w->flags & WP_OPEN_WRITE && rng_chance(&w->s->rng, 100))
		w->flags |= WP_OPEN_TRUNC;
	w->handle = client_open(worker_client(w), &sim_cred, &n->fid, w->flags, work_cb, w);
	return true;
}

static void open_end(struct worker *w, int err, const struct client_res *res)
{
	expect_err(w, err);
	if (!err)
		opened(w, res, w->n);
}

const struct wop wop_open = { "open", 14, open_start, open_end, trunc_doubt, NULL };

static bool release_start(struct worker *w)
{
	if (!pick_open(w, 0))
		return false;
	w->handle = client_release(worker_client(w), w->file->f, work_cb, w);
	w->file->f = NULL;
	return true;
}

static void release_end(struct worker *w, int err, const struct client_res *res)
{
	if (lost_data(w, err))
		content_sync_failed(&w->n->data, w->s->writer[w->client]);
	else
		expect_err(w, err);
	model_closed(&w->s->model, w->n);
}

static void release_doubt(struct worker *w) { model_closed(&w->s->model, w->n); }

const struct wop wop_release = { "release", 14, release_start, release_end, release_doubt, NULL };

/* ---- data ---- */

static void pick_range(struct worker *w)
{
	struct rng *r = &w->s->rng;
	uint64_t size = w->n->data.size_hi;

	switch (rng_below(r, 4)) {
	case 0: w->offset = size; break;
	case 1: w->offset = rng_below(r, SIM_FILE_MAX); break;
	default: w->offset = rng_below(r, (uint32_t)size + 1); break;
	}
	w->len = 1 + rng_below(r, rng_chance(r, 300) ? SIM_IO_MAX : 9000);
	if (rng_chance(r, 400))
		w->offset &= ~4095ull;
	if (rng_chance(r, 300))
		w->len = round_up_pow2(w->len, 4096) & ~4095ull;
	w->len = MIN(w->len, SIM_IO_MAX);
	if (w->offset > SIM_FILE_MAX)
		w->offset = SIM_FILE_MAX;
}

static bool write_start(struct worker *w)
{
	if (!share_range(w, WP_OPEN_WRITE, true))
		return false;
	w->data_id = content_id(w->s->writer[w->client], ++w->s->counter);
	content_fill(w->data_id, w->offset, w->buf, w->len);
	w->iov = (struct iovec){ .iov_base = w->buf, .iov_len = w->len };
	w->handle = client_write(worker_client(w), w->file->f, &sim_cred, &w->iov, 1, w->offset,
				 rng_chance(&w->s->rng, 100) ? CLIENT_WRITE_STABLE : 0, work_cb, w);
	return true;
}

static void write_end(struct worker *w, int err, const struct client_res *res)
{
	if (err && (err == -EIO || err == -ENOSPC) && w->s->disk_errors) {
		content_maybe_write(&w->n->data, w->offset, w->len, w->data_id);
		return;
	}
	expect_err(w, err);
	if (!err && res->n != w->len)
		sim_fail(w->s, "write of %llu bytes wrote %llu", (unsigned long long)w->len, (unsigned long long)res->n);
	if (!err)
		content_write(&w->n->data, w->offset, w->len, w->data_id);
	if (!err && cut_meanwhile(w))
		content_lost_write(&w->n->data, w->offset, w->len);
}

static void write_doubt(struct worker *w) { content_maybe_write(&w->n->data, w->offset, w->len, w->data_id); }

const struct wop wop_write = { "write", 40, write_start, write_end, write_doubt, NULL };

static bool read_start(struct worker *w)
{
	if (!share_range(w, WP_OPEN_READ, false))
		return false;
	memset(w->buf, 0xee, w->len);
	w->iov = (struct iovec){ .iov_base = w->buf, .iov_len = w->len };
	w->handle = client_read(worker_client(w), w->file->f, &w->iov, 1, w->offset, work_cb, w);
	return true;
}

/* While others move the end, only what was there before them can be compared. */
static bool check_stable_part(struct worker *w, uint64_t got, char *why, size_t why_size)
{
	uint64_t must = w->offset < w->size_lo ? MIN(w->len, w->size_lo - w->offset) : 0;

	if (got < must) {
		snprintf(why, why_size, "the file was at least %llu long", (unsigned long long)w->size_lo);
		return false;
	}
	return content_check(&w->n->data, w->offset, must, w->buf, must, why, why_size);
}

static bool check_read(struct worker *w, uint64_t got, char *why, size_t why_size)
{
	if (cut_meanwhile(w))
		return true;
	if (w->end_moves || w->moves != w->n->moves)
		return check_stable_part(w, got, why, why_size);
	return content_check(&w->n->data, w->offset, w->len, w->buf, got, why, why_size);
}

static void read_end(struct worker *w, int err, const struct client_res *res)
{
	char why[240];

	if (err == -EIO && w->s->disk_errors)
		return;
	expect_err(w, err);
	if (!err && !check_read(w, res->n, why, sizeof(why)))
		sim_fail(w->s, "read of [%llx:%x] at %llu+%llu got %llu: %s", (unsigned long long)w->n->fid.seq, w->n->fid.oid,
			 (unsigned long long)w->offset, (unsigned long long)w->len, (unsigned long long)res->n, why);
}

const struct wop wop_read = { "read", 40, read_start, read_end, NULL, NULL };

static bool fsync_start(struct worker *w)
{
	if (!pick_open(w, 0))
		return false;
	w->handle = client_fsync(worker_client(w), w->file->f, rng_chance(&w->s->rng, 500), work_cb, w);
	return true;
}

static void fsync_end(struct worker *w, int err, const struct client_res *res)
{
	if (lost_data(w, err) || (err == -EIO && w->s->disk_errors)) {
		content_sync_failed(&w->n->data, w->s->writer[w->client]);
		return;
	}
	expect_err(w, err);
	if (!err)
		content_synced(&w->n->data, w->s->writer[w->client], w->file->before);
}

const struct wop wop_fsync = { "fsync", 10, fsync_start, fsync_end, NULL, NULL };

/* ---- size and holes ---- */

static bool truncate_start(struct worker *w)
{
	struct client_setattr sa = { .valid = WP_SETATTR_SIZE };

	if (!pick_open(w, WP_OPEN_WRITE))
		return false;
	w->len = rng_below(&w->s->rng, rng_chance(&w->s->rng, 500) ? SIM_FILE_MAX : (uint32_t)w->n->data.size_hi + 1);
	sa.size = w->len;
	w->handle = client_setattr(worker_client(w), &sim_cred, &w->n->fid,
				   rng_chance(&w->s->rng, 500) ? w->file->f : NULL, &sa, work_cb, w);
	return true;
}

static void truncate_end(struct worker *w, int err, const struct client_res *res)
{
	expect_err(w, err);
	if (err)
		return;
	content_truncate(&w->n->data, w->len);
	if (res->attr.size != w->len)
		sim_fail(w->s, "truncated to %llu, size is %llu", (unsigned long long)w->len, (unsigned long long)res->attr.size);
}

static void truncate_doubt(struct worker *w) { content_maybe_truncate(&w->n->data, w->len); }

const struct wop wop_truncate = { "truncate", 6, truncate_start, truncate_end, truncate_doubt, NULL };

static bool punch_start(struct worker *w)
{
	if (!pick_open(w, WP_OPEN_WRITE))
		return false;
	pick_range(w);
	w->handle = client_fallocate(worker_client(w), w->file->f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, w->offset, w->len,
				     work_cb, w);
	return true;
}

static void punch_end(struct worker *w, int err, const struct client_res *res)
{
	expect_err(w, err);
	if (!err)
		content_punch(&w->n->data, w->offset, w->len, w->s->writer[w->client]);
	if (!err && cut_meanwhile(w))
		content_lost_write(&w->n->data, w->offset, w->len);
}

static void punch_doubt(struct worker *w)
{
	uint64_t end = MIN(w->offset + w->len, w->n->data.size_hi);

	if (w->offset < end)
		content_maybe_write(&w->n->data, w->offset, end - w->offset, 0);
}

const struct wop wop_punch = { "punch", 4, punch_start, punch_end, punch_doubt, NULL };
