/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Names of cached directories.
 *
 * While ENTRIES is held only this mount changes the directory, and each reply to a change carries the change number that it made.
 * So of two statements about one name the one with the higher number is true, in whatever order the replies arrive; and what is
 * older than the floor (the number when the lease began, or that of a statement that was dropped) says nothing.
 */
#include "client/cache_priv.h"

#include "layout/dirhash.h"

static void name_free(struct cache *ca, struct cdir *d, struct cname *cn)
{
	htab_del(&d->names, &cn->node);
	list_del(&cn->link);
	free(cn);
	atomic_fetch_sub_explicit(&ca->names, 1, memory_order_relaxed);
}

static void cdir_clear(struct cache *ca, struct cdir *d)
{
	while (!list_empty(&d->all))
		name_free(ca, d, list_first(&d->all, struct cname, link));
	d->known_to = 0;
	d->missing = 0;
	d->ordered = false;
	d->order_n = 0;
}

void cl_cdir_start(struct cache *ca, struct cnode *n, uint64_t change)
{
	if (!n->dir) {
		n->dir = NEW(struct cdir);
		htab_init(&n->dir->names);
		list_init(&n->dir->all);
	}
	cdir_clear(ca, n->dir);
	n->dir->floor = change;
}

void cl_cdir_free(struct cache *ca, struct cnode *n)
{
	if (!n->dir)
		return;
	cdir_clear(ca, n->dir);
	htab_done(&n->dir->names);
	free(n->dir->order);
	free(n->dir);
	n->dir = NULL;
}

static struct cname *name_find(struct cdir *d, uint64_t cookie, struct wp_str name)
{
	struct htab_node *hn;

	htab_each_match (hn, &d->names, cookie) {
		struct cname *cn = container_of(hn, struct cname, node);

		if (cn->len == name.len && !memcmp(cn->name, name.p, name.len))
			return cn;
	}
	return NULL;
}

/* Many names that are known to be missing: they are forgotten, with what was older. */
static void drop_missing(struct cache *ca, struct cdir *d)
{
	struct cname *cn, *tmp;

	list_each_safe (cn, tmp, &d->all, link) {
		if (cn->fid.seq)
			continue;
		d->floor = MAX(d->floor, cn->stamp);
		name_free(ca, d, cn);
	}
	d->missing = 0;
	d->ordered = false;
}

static bool name_set(struct cache *ca, struct cdir *d, uint64_t cookie, uint64_t change, struct wp_str name,
		     const struct wp_fid *child, uint32_t type)
{
	struct cname *cn = name_find(d, cookie, name);

	if (change < d->floor || (cn && change < cn->stamp) || name.len > WP_NAME_MAX)
		return false;
	if (!cn) {
		cn = xmalloc(sizeof(*cn) + name.len);
		*cn = (struct cname){ .len = (uint8_t)name.len };
		memcpy(cn->name, name.p, name.len);
		htab_add(&d->names, &cn->node, cookie);
		list_init(&cn->link);
		list_append(&d->all, &cn->link);
		d->missing++;
		d->ordered = false;
		atomic_fetch_add_explicit(&ca->names, 1, memory_order_relaxed);
	}
	d->missing -= !cn->fid.seq;
	cn->stamp = change;
	cn->fid = child ? *child : (struct wp_fid){ 0 };
	cn->type = type;
	d->missing += !cn->fid.seq;
	if (d->missing > CDIR_GONE_MAX)
		drop_missing(ca, d);
	return true;
}

/* The directory's names, with its shard locked; NULL: not held. */
static struct cdir *dir_open(struct shard *sh, const struct wp_fid *dir)
{
	struct cnode *n = cl_cache_find(sh, dir);

	return n && n->bits & WP_LEASE_ENTRIES && cl_cnode_current(n) ? n->dir : NULL;
}

bool cl_cache_name(struct cache *ca, const struct wp_fid *dir, uint64_t change, struct wp_str name, const struct wp_fid *child,
		   uint32_t type)
{
	struct shard *sh = cl_cache_shard(ca, dir);
	struct cdir *d;
	bool taken;

	pthread_mutex_lock(&sh->lock);
	d = dir_open(sh, dir);
	taken = d && name_set(ca, d, dir_name_hash(dir, name), change, name, child, type);
	pthread_mutex_unlock(&sh->lock);
	return taken;
}

void cl_cache_page(struct cache *ca, const struct wp_fid *dir, uint64_t change, const struct wp_fid *parent, uint64_t after,
		   uint64_t upto, const struct wp_dirent *e, uint32_t n)
{
	struct shard *sh = cl_cache_shard(ca, dir);
	struct cdir *d;

	pthread_mutex_lock(&sh->lock);
	d = dir_open(sh, dir);
	if (d && change >= d->floor) {
		for (uint32_t i = 0; i < n; i++)
			(void)name_set(ca, d, e[i].cookie, change, e[i].name, &e[i].fid, e[i].type);
		/* name_set may have raised the floor: then the page does not prove that there is nothing else. */
		if (change >= d->floor && (after <= 2 || after <= d->known_to)) {
			d->known_to = MAX(d->known_to, upto);
			d->parent = *parent;
		}
	}
	pthread_mutex_unlock(&sh->lock);
}

void cl_cache_forget(struct cache *ca, const struct wp_fid *fid, uint64_t change)
{
	struct shard *sh = cl_cache_shard(ca, fid);
	struct cnode *n;

	pthread_mutex_lock(&sh->lock);
	n = cl_cache_find(sh, fid);
	if (n && !n->dead) {
		n->attr_known = false;
		n->attr.change = MAX(n->attr.change, change);
		if (n->dir) {
			cdir_clear(ca, n->dir);
			n->dir->floor = MAX(n->dir->floor, change);
		}
	}
	pthread_mutex_unlock(&sh->lock);
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

int cl_cdir_lookup(struct cdir *d, const struct wp_fid *dir, struct wp_str name, struct wp_fid *ret)
{
	uint64_t cookie = dir_name_hash(dir, name);
	struct cname *cn = name_find(d, cookie, name);

	if (!cn)
		return cookie <= d->known_to ? -ENOENT : -EAGAIN;
	if (!cn->fid.seq)
		return -ENOENT;
	*ret = cn->fid;
	return 0;
}

static int by_cookie(const void *a, const void *b)
{
	const struct cname *x = *(struct cname *const *)a, *y = *(struct cname *const *)b;

	return x->node.hash < y->node.hash ? -1 : x->node.hash > y->node.hash;
}

static void put_in_order(struct cdir *d)
{
	struct cname *cn;

	if (d->ordered)
		return;
	if (d->order_cap < d->names.count) {
		d->order_cap = (uint32_t)d->names.count + 64;
		d->order = xrealloc(d->order, d->order_cap * sizeof(*d->order));
	}
	d->order_n = 0;
	list_each (cn, &d->all, link)
		d->order[d->order_n++] = cn;
	if (d->order_n)
		qsort(d->order, d->order_n, sizeof(*d->order), by_cookie);
	d->ordered = true;
}

/* The first with a cookie above this one. */
static uint32_t order_after(const struct cdir *d, uint64_t cookie)
{
	uint32_t low = 0, high = d->order_n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (d->order[mid]->node.hash <= cookie)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int cl_cdir_list(struct cdir *d, uint64_t cookie, bool (*fn)(void *arg, const struct wp_dirent *d), void *arg, bool *eof)
{
	uint32_t i;

	if (cookie >= WP_READDIR_END) {
		*eof = true;
		return 0;
	}
	if (cookie >= d->known_to)
		return -EAGAIN;
	put_in_order(d);
	*eof = false;
	for (i = order_after(d, cookie); i < d->order_n; i++) {
		const struct cname *cn = d->order[i];
		/* Names of one hash: who stops between them gets them again, rather than never. */
		bool twin = i + 1 < d->order_n && d->order[i + 1]->node.hash == cn->node.hash;
		struct wp_dirent e = {
			.cookie = cn->node.hash - twin, .fid = cn->fid, .type = cn->type, .name = { cn->name, cn->len }
		};

		if (cn->node.hash > d->known_to)
			break;
		if (cn->fid.seq && !fn(arg, &e))
			return 0;
	}
	*eof = d->known_to == WP_READDIR_END;
	return 0;
}
