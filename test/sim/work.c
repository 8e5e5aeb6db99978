/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Workers: each does one operation after another on its client, and compares every answer with the model. */
#include "audit.h"
#include "sim.h"
#include "work_ops.h"

#include "proto/fid.h"

#define QUIET_NS (200 * NSEC_PER_MSEC) /* what has arrived is executed by then */
#define START_PER_MILLE 500u /* chance of an idle worker to start something in a step */

const struct client_cred sim_cred = { .cap_dac = true, .groups_known = true };

struct client *worker_client(struct worker *w) { return cluster_client(w->s->cl, w->client); }

static void worker_init(struct sim *s, unsigned i)
{
	struct worker *w = &s->workers[i];

	*w = (struct worker){ .s = s, .id = i, .client = i % SIM_CLIENTS, .buf = xmalloc(SIM_IO_MAX + 4096) };
}

void work_init(struct sim *s)
{
	for (unsigned i = 0; i < ARRAY_SIZE(s->workers); i++)
		worker_init(s, i);
	for (unsigned i = 0; i < SIM_CLIENTS; i++)
		s->writer[i] = ++s->writers;
}

void work_done(struct sim *s)
{
	for (unsigned i = 0; i < ARRAY_SIZE(s->workers); i++)
		free(s->workers[i].buf);
	free(s->records);
}

/* ---- choosing ---- */

struct mnode *pick_dir(struct sim *s)
{
	/* Half of the time the root, so that directories are neither empty nor endless. */
	for (unsigned i = 0; i < 8; i++) {
		struct mnode *n = model_nth(&s->model, rng_below(&s->rng, s->model.nodes_n));

		if (S_ISDIR(n->mode) && n->nlink)
			return n;
	}
	return s->model.root;
}

struct ment *pick_name(struct worker *w)
{
	struct sim *s = w->s;
	struct mnode *n;
	char name[16];

	if (s->follows && rng_chance(&s->rng, s->follows))
		list_each (n, &s->model.nodes, link)
			if (wp_fid_eq(&n->fid, &s->last_dir) && n->nlink && S_ISDIR(n->mode))
				return model_hold_name(&s->model, n, s->last_name);
	snprintf(name, sizeof(name), "n%u", rng_below(&w->s->rng, 12));
	return model_hold_name(&w->s->model, pick_dir(w->s), name);
}

bool same_type(uint32_t a, uint32_t b) { return (a & S_IFMT) == (b & S_IFMT); }

void expect_err(struct worker *w, int err)
{
	if (err != w->expect)
		sim_fail(w->s, "%s by worker %u: %s, must be %s (name %s in [%llx:%x])", w->op->name, w->id,
			 err ? strerror(-err) : "success", w->expect ? strerror(-w->expect) : "success", w->a ? w->a->name : "-",
			 w->a ? (unsigned long long)w->a->dir->fid.seq : 0, w->a ? w->a->dir->fid.oid : 0);
}

/* ---- life of an operation ---- */

static void release(struct worker *w)
{
	struct model *m = &w->s->model;

	if (w->n && w->extends) {
		w->n->extending--;
		w->n->moves++;
	}
	if (w->moved)
		w->moved->renames--;
	w->moved = NULL;
	if (w->n && w->shared)
		model_unshare(m, w->n);
	else if (w->n)
		model_release(m, w->n);
	w->shared = w->extends = w->end_moves = false;
	if (w->b)
		model_release_name(m, w->b);
	if (w->a)
		model_release_name(m, w->a);
	w->a = w->b = NULL;
	w->n = NULL;
	w->file = NULL;
	w->op = NULL;
	w->handle = NULL;
	w->in_doubt = false;
}

/* Nobody will say what became of its operation. */
static void put_in_doubt(struct worker *w)
{
	struct sim *s = w->s;

	sim_note(s, "w%u %s %s [%x] %llu+%llu flags %x since %.6f is in doubt", w->id, w->op->name, w->a ? w->a->name : "",
		 w->n ? w->n->fid.oid : 0, (unsigned long long)w->offset, (unsigned long long)w->len, w->flags,
		 (double)w->started_ns / 1e9);
	if (w->op->doubt)
		w->op->doubt(w);
	w->file = NULL;
	w->quiet_ns = 0;
	w->in_doubt = true;
}

/* Storage targets do not know of sessions: what a client does through a handle that it has lost may succeed, and be overtaken. */
static bool by_handle(const struct wop *op)
{
	return op == &wop_write || op == &wop_punch || op == &wop_fsync || op == &wop_truncate || op == &wop_append || op == &wop_lock;
}

void work_finish(struct worker *w, int err, const struct client_res *res)
{
	struct sim *s = w->s;

	if (((err && err != w->expect) || by_handle(w->op)) && cluster_evicted(s->cl, w->client)) {
		put_in_doubt(w);
		w->handle = NULL;
		return;
	}
	sim_note(s, "w%u %s %s [%x] %llu+%llu flags %x since %.6f -> %s", w->id, w->op->name, w->a ? w->a->name : "", w->n ? w->n->fid.oid : 0,
		 (unsigned long long)w->offset, (unsigned long long)w->len, w->flags, (double)w->started_ns / 1e9,
		 err ? strerror(-err) : "ok");
	s->done++;
	s->errors += err != 0;
	audit_answer(w);
	w->op->end(w, err, res);
	audit_acknowledged(w, err, res);
	if (!err && w->a && w->op != &wop_lookup) {
		s->last_dir = (w->b ? w->b : w->a)->dir->fid;
		(void)str_copy(s->last_name, sizeof(s->last_name), (w->b ? w->b : w->a)->name);
	}
	release(w);
}

void work_cb(void *arg, int err, const struct client_res *res)
{
	struct worker *w = arg;

	if (w->s->failed || !w->op || w->in_doubt)
		return;
	work_finish(w, err, res);
}

static const struct wop *choose(struct sim *s)
{
	static const struct wop *const looking[] = { &wop_lookup,  &wop_lookup,	  &wop_getattr,
						     &wop_readdir, &wop_readlink, &wop_getxattr };
	unsigned sum = 0, pick;

	if (s->looks && rng_chance(&s->rng, s->looks))
		return looking[rng_below(&s->rng, ARRAY_SIZE(looking))];
	if (s->seed >= SIM_SMALL_SEED && rng_chance(&s->rng, 30))
		return &wop_utimes;
	for (const struct wop *const *o = work_ops; *o; o++)
		sum += (*o)->weight;
	pick = rng_below(&s->rng, sum);
	for (const struct wop *const *o = work_ops;; o++) {
		if (pick < (*o)->weight)
			return *o;
		pick -= (*o)->weight;
	}
}

static void start(struct worker *w)
{
	struct sim *s = w->s;

	for (unsigned tries = 0; tries < 4; tries++) {
		w->op = s->draining ? &wop_unlock : choose(s);
		w->expect = 0;
		w->started_ns = cluster_now(s->cl);
		w->cuts = s->cuts;
		if (w->op->start(w)) {
			s->started++;
			return;
		}
		weft_assert(!w->a && !w->b && !w->n);
		w->op = NULL;
		w->file = NULL;
	}
}

/* ---- death of a client ---- */

static void probed(void *arg, int err, const struct client_res *res)
{
	struct worker *w = arg;

	if (w->s->failed || !w->op || !w->in_doubt || !w->handle)
		return;
	w->handle = NULL;
	if (err && err != -ENOENT) {
		sim_fail(w->s, "look-up of %s after a crash: %s", w->a->name, strerror(-err));
		return;
	}
	sim_note(w->s, "w%u %s %s in doubt: the name is %s", w->id, w->op->name, w->a->name, err ? "not there" : "there");
	w->op->resolve(w, err ? NULL : &res->attr);
	release(w);
}

static void look_up(struct worker *w)
{
	w->handle = client_lookup(worker_client(w), &sim_cred, &w->a->dir->fid, wp_str(w->a->name), probed, w);
}

/* What waited for the size of the inode has been executed. */
static void sized(void *arg, int err, const struct client_res *res)
{
	struct worker *w = arg;

	(void)res;
	if (w->s->failed || !w->op || !w->in_doubt || !w->handle)
		return;
	w->handle = NULL;
	if (err && err != -ESTALE)
		sim_fail(w->s, "getattr after a crash: %s", strerror(-err));
	else if (w->op->resolve && w->a)
		look_up(w);
	else
		release(w);
}

/*
 * A worker in doubt, whose client lives again. What the dead client asked for may happen until its last bytes have arrived and
 * were executed; truncations, and what waits for a size, take as long as storage targets are away: whoever asks for the size
 * comes after them.
 */
static void settle(struct worker *w)
{
	uint64_t now = cluster_now(w->s->cl);

	if (w->handle)
		return;
	if (cluster_echoes(w->s->cl, w->client) || !w->quiet_ns)
		w->quiet_ns = now;
	if (now - w->quiet_ns < QUIET_NS)
		return;
	if (w->n && S_ISREG(w->n->mode))
		w->handle = client_getattr(worker_client(w), &w->n->fid, sized, w);
	else if (w->op->resolve && w->a)
		look_up(w);
	else
		release(w);
}

void work_client_died(struct sim *s, unsigned client)
{
	audit_client_died(s, client);
	s->writer[client] = ++s->writers ? s->writers : ++s->writers;
	for (unsigned i = 0; i < ARRAY_SIZE(s->workers); i++) {
		struct worker *w = &s->workers[i];

		if (w->client != client)
			continue;
		if (s->lock_holder == w)
			s->lock_holder = NULL;
		w->handle = NULL;
		for (unsigned f = 0; f < SIM_FILES; f++) {
			if (w->files[f].f)
				model_closed(&s->model, w->files[f].n);
			w->files[f].f = NULL;
		}
		if (!w->op || w->in_doubt)
			continue;
		put_in_doubt(w);
	}
}

void work_step(struct sim *s)
{
	for (unsigned i = 0; i < ARRAY_SIZE(s->workers) && !s->failed; i++) {
		struct worker *w = &s->workers[i];

		if (!worker_client(w))
			continue;
		if (w->in_doubt)
			settle(w);
		else if (!w->op && rng_chance(&s->rng, START_PER_MILLE))
			start(w);
	}
}

bool work_idle(const struct sim *s)
{
	for (unsigned i = 0; i < ARRAY_SIZE(s->workers); i++)
		if (s->workers[i].op)
			return false;
	return true;
}

static void closed(void *arg, int err, const struct client_res *res)
{
	struct sim *s = arg;

	(void)res;
	if (err && !(err == -EIO && s->cuts))
		sim_fail(s, "close at the end: %s", strerror(-err));
}

void work_close_all(struct sim *s)
{
	for (unsigned i = 0; i < ARRAY_SIZE(s->workers); i++) {
		struct worker *w = &s->workers[i];

		for (unsigned f = 0; f < SIM_FILES; f++) {
			if (!w->files[f].f)
				continue;
			(void)client_release(worker_client(w), w->files[f].f, closed, s);
			model_closed(&s->model, w->files[f].n);
			w->files[f].f = NULL;
		}
		/* Workers in doubt and their clients are up again by now. */
		if (w->in_doubt)
			settle(w);
	}
}
