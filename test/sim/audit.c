/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Coherence: whatever any client would answer without asking is the truth, at every instant.
 *
 * After each step, and whenever a change is acknowledged, all clients are asked for what they have cached, without a message: of a name
 * or inode that no operation holds the model knows the truth. That is so for clients that are cut off, too. What a client's answers
 * let its kernel keep is held to the same.
 */
#include "audit.h"

#include "proto/fid.h"
#include "work_ops.h"

#define NAMES_PER_STEP 6u
#define NODES_PER_STEP 3u
#define KEPT 64u

/* What a kernel keeps: the newest ones. */
struct kept_name {
	struct wp_fid dir, child; /* seq 0: unused; there is none */
	char name[16];
	uint64_t until_ns;
};

struct kept_attr {
	struct wp_attr attr;
	uint64_t until_ns;
};

struct kernel {
	struct kept_name names[KEPT];
	struct kept_attr attrs[KEPT];
	unsigned names_at, attrs_at;
	uint64_t names_dropped_ns,
		attrs_dropped_ns; /* answers to requests of before are not kept: the kernel's epoch, attr_version */
};

static const struct client_cred nobody = { .uid = 1, .gid = 1, .groups_known = true };

static struct kernel *kernel_of(struct sim *s, unsigned client)
{
	if (!s->kernels[client])
		s->kernels[client] = NEW(struct kernel);
	return s->kernels[client];
}

void audit_client_died(struct sim *s, unsigned client)
{
	free(s->kernels[client]);
	s->kernels[client] = NULL;
}

void audit_done(struct sim *s)
{
	for (unsigned i = 0; i < SIM_CLIENTS; i++)
		audit_client_died(s, i);
}

/* ---- truth --------------------------------------------------------------------------------------------------------------------- */

static struct mnode *by_fid(struct sim *s, const struct wp_fid *fid)
{
	struct mnode *n;

	list_each (n, &s->model.nodes, link)
		if (wp_fid_eq(&n->fid, fid))
			return n;
	return NULL;
}

static int time_order(const struct wp_time *a, const struct wp_time *b)
{
	return a->sec != b->sec ? a->sec < b->sec ? -1 : 1 : a->nsec < b->nsec ? -1 : a->nsec > b->nsec;
}

void audit_seen(struct sim *s, struct mnode *n, const struct wp_attr *a)
{
	(void)s;
	/* A change that is under way may be seen by others before the client that makes it. */
	if (!n->renames && time_order(&a->ctime, &n->ctime) > 0)
		n->ctime = a->ctime;
}

/* A file's time of change may be that of data: by the clock of a storage target, whose power cut takes it away. */
static void check_times(struct sim *s, const char *who, unsigned client, struct mnode *n, const struct wp_attr *a)
{
	if (n->renames)
		return;
	if ((!S_ISREG(n->mode) || !(s->cuts || s->clocks_differ)) && time_order(&a->ctime, &n->ctime) < 0)
		sim_fail(s, "%s %u has an older ctime of [%llx:%x] than was told: %lld.%09u, %lld.%09u", who, client,
			 (unsigned long long)n->fid.seq, n->fid.oid, (long long)a->ctime.sec, a->ctime.nsec,
			 (long long)n->ctime.sec, n->ctime.nsec);
	if (n->mtime_set.sec && time_order(&a->mtime, &n->mtime_set))
		sim_fail(s, "%s %u has mtime %lld.%09u of [%llx:%x], it was set to %lld.%09u", who, client,
			 (long long)a->mtime.sec, a->mtime.nsec, (unsigned long long)n->fid.seq, n->fid.oid,
			 (long long)n->mtime_set.sec, n->mtime_set.nsec);
}

static void check_kept(struct sim *s, const char *who, unsigned client, struct mnode *n, const struct wp_attr *a)
{
	check_attr(s, n, a);
	if (s->failed)
		sim_say(s, "that was %s %u", who, client);
	else
		check_times(s, who, client, n, a);
}

static bool quiet(const struct mnode *n) { return !n->busy && !n->shared; }

static void wrong_name(struct sim *s, const char *who, unsigned client, const struct ment *e, const struct wp_fid *got)
{
	const struct wp_fid none = { 0 };
	const struct wp_fid *want = e->child ? &e->child->fid : &none;

	sim_fail(s, "%s %u takes %s in [%llx:%x] for [%llx:%x], it is [%llx:%x]", who, client, e->name,
		 (unsigned long long)e->dir->fid.seq, e->dir->fid.oid, (unsigned long long)got->seq, got->oid,
		 (unsigned long long)want->seq, want->oid);
}

static bool stands_for(const struct ment *e, const struct wp_fid *fid)
{
	return e->child ? wp_fid_eq(&e->child->fid, fid) : !fid->seq;
}

/* ---- what clients have cached -------------------------------------------------------------------------------------------------- */

static bool answered(struct sim *s, int err)
{
	s->audits++;
	s->audit_hits += err != -EAGAIN;
	return err != -EAGAIN;
}

static void cached_name(struct sim *s, unsigned i, struct client *c, const struct ment *e)
{
	struct client_res res = { 0 };
	int err = client_cached_lookup(c, &sim_cred, &e->dir->fid, wp_str(e->name), &res);

	if (!answered(s, err))
		return;
	if (err == -ENOENT)
		res.attr.fid = (struct wp_fid){ 0 };
	if (err && err != -ENOENT)
		sim_fail(s, "the cache of client %u says %s of %s", i, strerror(-err), e->name);
	else if (!stands_for(e, &res.attr.fid))
		wrong_name(s, "the cache of client", i, e, &res.attr.fid);
	else if (!err && quiet(e->child))
		check_kept(s, "the cache of client", i, e->child, &res.attr);
}

static void cached_access(struct sim *s, unsigned i, struct client *c, const struct mnode *n)
{
	int err = client_cached_access(c, &nobody, &n->fid, 4);

	if (answered(s, err) && !n->mode_unsure && err != (n->mode & 4 ? 0 : -EACCES))
		sim_fail(s, "the cache of client %u lets others read mode %o: %d", i, n->mode, err);
}

static void cached_node(struct sim *s, unsigned i, struct client *c, struct mnode *n)
{
	struct client_res res = { 0 };
	char target[WP_SYMLINK_MAX + 1];
	uint32_t len = 0;

	if (answered(s, client_cached_getattr(c, &n->fid, &res)))
		check_kept(s, "the cache of client", i, n, &res.attr);
	if (s->failed)
		return;
	cached_access(s, i, c, n);
	if (S_ISLNK(n->mode) && answered(s, client_cached_readlink(c, &n->fid, target, sizeof(target), &len)) &&
	    (len != strlen(n->target) || memcmp(target, n->target, len)))
		sim_fail(s, "the cache of client %u has another target of a link", i);
	if ((S_ISREG(n->mode) || S_ISDIR(n->mode)) && !n->xattr_unsure && n->xattr[0] &&
	    answered(s, client_cached_getxattr(c, &sim_cred, &n->fid)))
		sim_fail(s, "the cache of client %u does not know of an extended attribute", i);
}

struct listing {
	struct wp_dirent d[64];
	char names[64][16];
	unsigned n;
	struct wp_fid parent;
};

static bool list_one(void *arg, const struct wp_dirent *d)
{
	struct listing *l = arg;

	if (wp_str_eq(d->name, wp_str("..")))
		l->parent = d->fid;
	if (wp_str_eq(d->name, wp_str(".")) || wp_str_eq(d->name, wp_str("..")))
		return true;
	if (l->n == ARRAY_SIZE(l->d) || wp_str_copy(l->names[l->n], sizeof(l->names[0]), d->name))
		return false;
	l->d[l->n++] = *d;
	return true;
}

static unsigned times_listed(const struct listing *l, const char *name, const struct wp_dirent **ret)
{
	unsigned n = 0;

	for (unsigned i = 0; i < l->n; i++)
		if (!strcmp(l->names[i], name)) {
			*ret = &l->d[i];
			n++;
		}
	return n;
}

static void cached_listing(struct sim *s, unsigned i, struct client *c, struct mnode *dir, const struct ment *a,
			   const struct ment *b)
{
	const struct wp_dirent *d = NULL;
	struct listing l = { .n = 0 };
	const struct ment *e;
	bool eof = false;

	if (!answered(s, client_cached_readdir(c, &dir->fid, 0, list_one, &l, &eof)) || !eof)
		return;
	if (!s->model.dir_rename && dir->parent && !wp_fid_eq(&l.parent, &dir->parent->fid))
		sim_fail(s, "the cache of client %u has another parent of [%llx:%x]", i, (unsigned long long)dir->fid.seq,
			 dir->fid.oid);
	list_each (e, &dir->ents, link) {
		if (e->busy && e != a && e != b)
			continue;
		if (times_listed(&l, e->name, &d) != (e->child != NULL))
			sim_fail(s, "the cache of client %u lists %s in [%llx:%x] %u times", i, e->name,
				 (unsigned long long)dir->fid.seq, dir->fid.oid, times_listed(&l, e->name, &d));
		else if (e->child && !wp_fid_eq(&d->fid, &e->child->fid))
			wrong_name(s, "the listing of client", i, e, &d->fid);
	}
	for (unsigned k = 0; k < l.n && !s->failed; k++)
		if (!model_find(dir, l.names[k]))
			sim_fail(s, "the cache of client %u lists %s in [%llx:%x], which is not there", i, l.names[k],
				 (unsigned long long)dir->fid.seq, dir->fid.oid);
}

/* ---- what kernels keep ---------------------------------------------------------------------------------------------------------- */

static bool valid(struct sim *s, uint64_t until_ns) { return until_ns > cluster_now(s->cl); }

/* e NULL: all names that nobody holds. */
static void kept_names(struct sim *s, unsigned i, const struct ment *only)
{
	const struct kernel *k = s->kernels[i];

	for (unsigned x = 0; k && x < KEPT && !s->failed; x++) {
		const struct kept_name *kn = &k->names[x];
		struct mnode *dir = kn->dir.seq && valid(s, kn->until_ns) ? by_fid(s, &kn->dir) : NULL;
		struct ment nothing = { .dir = dir }, *e;

		if (!dir || !dir->nlink)
			continue;
		e = model_find(dir, kn->name);
		if (only ? e != only : dir->busy || (e && e->busy))
			continue;
		(void)str_copy(nothing.name, sizeof(nothing.name), kn->name);
		s->kept++;
		if (!stands_for(e ? e : &nothing, &kn->child))
			wrong_name(s, "the kernel of client", i, e ? e : &nothing, &kn->child);
	}
}

static void kept_attrs(struct sim *s, unsigned i, const struct mnode *only)
{
	const struct kernel *k = s->kernels[i];

	for (unsigned x = 0; k && x < KEPT && !s->failed; x++) {
		const struct kept_attr *ka = &k->attrs[x];
		struct mnode *n = ka->attr.fid.seq && valid(s, ka->until_ns) ? by_fid(s, &ka->attr.fid) : NULL;

		if (!n || (only ? n != only : !quiet(n)))
			continue;
		s->kept++;
		check_kept(s, "the kernel of client", i, n, &ka->attr);
	}
}

static void drop_name(struct kernel *k, const struct ment *e)
{
	for (unsigned x = 0; k && e && x < KEPT; x++)
		if (wp_fid_eq(&k->names[x].dir, &e->dir->fid) && !strcmp(k->names[x].name, e->name))
			k->names[x].dir.seq = 0;
}

static void drop_attr(struct kernel *k, const struct wp_fid *fid)
{
	for (unsigned x = 0; k && x < KEPT; x++)
		if (wp_fid_eq(&k->attrs[x].attr.fid, fid))
			k->attrs[x].attr.fid.seq = 0;
}

/* src/fuse drops all names at once. */
void audit_invalidate(struct sim *s, unsigned client, const struct wp_fid *fid, uint32_t bits)
{
	struct kernel *k = kernel_of(s, client);

	sim_note(s, "client %u drops what its kernel keeps of [%llx:%x]: %x", client, (unsigned long long)fid->seq, fid->oid,
		 bits);
	if (bits & WP_LEASE_ENTRIES)
		k->names_dropped_ns = cluster_now(s->cl);
	if (bits & WP_LEASE_ATTR)
		k->attrs_dropped_ns = cluster_now(s->cl);
	for (unsigned x = 0; k && bits & WP_LEASE_ENTRIES && x < KEPT; x++)
		k->names[x].dir.seq = 0;
	if (bits & WP_LEASE_ATTR)
		drop_attr(k, fid);
}

static bool only_looks(const struct wop *op) { return op == &wop_lookup || op == &wop_getattr; }

static void touched(struct worker *w, struct mnode *n)
{
	if (!n)
		return;
	n->changed_ns = cluster_now(w->s->cl);
	drop_attr(w->s->kernels[w->client], &n->fid);
}

/* A kernel drops what its own changes touch. */
void audit_answer(struct worker *w)
{
	struct kernel *k = w->s->kernels[w->client];

	if (only_looks(w->op))
		return;
	drop_name(k, w->a);
	drop_name(k, w->b);
	touched(w, w->n);
	touched(w, w->a ? w->a->dir : NULL);
	touched(w, w->a ? w->a->child : NULL);
	touched(w, w->b ? w->b->dir : NULL);
	touched(w, w->b ? w->b->child : NULL);
}

static void keep(struct worker *w, int err, const struct client_res *res)
{
	uint64_t now = cluster_now(w->s->cl);
	struct kernel *k = kernel_of(w->s, w->client);
	struct mnode *n = err ? NULL : by_fid(w->s, &res->attr.fid);

	if (!w->s->kernel_keeps)
		return;
	if (w->a && w->op->names && w->started_ns > k->names_dropped_ns && res->entry_ttl_ns && (!err || err == -ENOENT)) {
		struct kept_name *kn = &k->names[k->names_at++ % KEPT];

		drop_name(k, w->a);
		*kn = (struct kept_name){ .dir = w->a->dir->fid, .until_ns = now + res->entry_ttl_ns };
		if (!err)
			kn->child = res->attr.fid;
		(void)str_copy(kn->name, sizeof(kn->name), w->a->name);
		sim_note(w->s, "client %u keeps %s in [%llx:%x] for [%x] for %.3f s", w->client, w->a->name,
			 (unsigned long long)w->a->dir->fid.seq, w->a->dir->fid.oid, kn->child.oid,
			 (double)res->entry_ttl_ns / 1e9);
	}
	/* Not if it was changed here since the request began: the kernel knows. */
	if (!n || !res->attr_ttl_ns || w->started_ns <= k->attrs_dropped_ns)
		return;
	if ((only_looks(w->op) && n->changed_ns >= w->started_ns) || (w->n != n && !quiet(n)))
		return;
	drop_attr(k, &n->fid);
	k->attrs[k->attrs_at++ % KEPT] = (struct kept_attr){ .attr = res->attr, .until_ns = now + res->attr_ttl_ns };
}

/* ---- when ------------------------------------------------------------------------------------------------------------------------- */

static void audit_name(struct sim *s, const struct ment *e)
{
	struct client *c;

	for (unsigned i = 0; i < SIM_CLIENTS && e->dir->nlink && !s->failed; i++)
		if ((c = cluster_client(s->cl, i))) {
			cached_name(s, i, c, e);
			kept_names(s, i, e);
		}
}

static void audit_node(struct sim *s, struct mnode *n)
{
	struct client *c;

	for (unsigned i = 0; i < SIM_CLIENTS && !s->failed; i++)
		if ((c = cluster_client(s->cl, i))) {
			cached_node(s, i, c, n);
			kept_attrs(s, i, n);
		}
}

static void audit_dir(struct sim *s, struct mnode *dir, const struct ment *a, const struct ment *b)
{
	struct client *c;

	for (unsigned i = 0; i < SIM_CLIENTS && dir->nlink && !s->failed; i++)
		if ((c = cluster_client(s->cl, i)))
			cached_listing(s, i, c, dir, a, b);
}

void audit_acknowledged(struct worker *w, int err, const struct client_res *res)
{
	struct sim *s = w->s;
	struct ment *both[] = { w->a, w->b };

	if (s->failed)
		return;
	keep(w, err, res);
	for (unsigned i = 0; i < ARRAY_SIZE(both); i++) {
		struct ment *e = both[i];

		if (!e)
			continue;
		audit_name(s, e);
		audit_dir(s, e->dir, w->a, w->b);
		if (e->child && e->child != w->n && quiet(e->child))
			audit_node(s, e->child);
	}
	if (w->n && !w->shared)
		audit_node(s, w->n);
}

static void audit_some_name(struct sim *s, struct mnode *dir)
{
	struct ment *e, nothing = { .dir = dir };

	snprintf(nothing.name, sizeof(nothing.name), "n%u", rng_below(&s->audit_rng, 12));
	e = model_find(dir, nothing.name);
	if (!e)
		e = &nothing;
	if (!e->busy)
		audit_name(s, e);
}

void audit_step(struct sim *s)
{
	for (unsigned i = 0; i < NAMES_PER_STEP && !s->failed; i++) {
		struct mnode *n = model_nth(&s->model, rng_below(&s->audit_rng, s->model.nodes_n));

		n = S_ISDIR(n->mode) ? n : s->model.root;
		if (n->nlink && !n->busy)
			audit_some_name(s, n);
		if (n->nlink && !n->busy && i == 0)
			audit_dir(s, n, NULL, NULL);
	}
	for (unsigned i = 0; i < NODES_PER_STEP && !s->failed; i++) {
		struct mnode *n = model_nth(&s->model, rng_below(&s->audit_rng, s->model.nodes_n));

		if (quiet(n) && n != s->log && n != s->lock)
			audit_node(s, n);
	}
	for (unsigned i = 0; i < SIM_CLIENTS; i++) {
		if (!cluster_client(s->cl, i))
			continue;
		kept_names(s, i, NULL);
		kept_attrs(s, i, NULL);
	}
}
