/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Answers from the cache. */
#include <sys/stat.h>

#include "client/cache_priv.h"

#define MAY_EXEC 1u
#define MAY_READ 4u
#define DEAD_TTL_NS NSEC_PER_SEC

static int hit(struct cache *ca, int err)
{
	atomic_fetch_add_explicit(err == -EAGAIN ? &ca->misses : &ca->hits, 1, memory_order_relaxed);
	return err;
}

/* The node, if its attributes are valid now; *ttl: for how long. With the shard locked. */
static struct cnode *known(struct shard *sh, const struct wp_fid *fid, uint64_t now, uint64_t *ttl)
{
	struct cnode *n = cl_cache_find(sh, fid);

	if (n && n->dead) {
		*ttl = DEAD_TTL_NS;
		return n;
	}
	if (!n || !n->attr_known || !(n->bits & WP_LEASE_ATTR))
		return NULL;
	*ttl = cl_cnode_ttl(n, now);
	if (!*ttl)
		return NULL;
	n->used = true;
	return n;
}

static int in_group(const struct client_cred *c, uint32_t gid)
{
	if (c->gid == gid)
		return 1;
	if (!c->groups_known)
		return -EAGAIN;
	for (uint32_t i = 0; i < c->groups_n; i++)
		if (c->groups[i] == gid)
			return 1;
	return 0;
}

/* As the metadata target's access_check (src/meta/access.c); what needs an ACL or unknown groups is left to it. */
static int may(const struct wp_attr *a, const struct client_cred *c, uint32_t mask)
{
	bool as_group, as_other;
	int in;

	if (!mask)
		return 0;
	if (c->cap_dac)
		return mask & MAY_EXEC && !S_ISDIR(a->mode) && !(a->mode & 0111) ? -EACCES : 0;
	if (c->uid == a->uid)
		return (a->mode >> 6 & mask) == mask ? 0 : -EACCES;
	if (a->flags & WP_ATTR_HAS_ACL)
		return -EAGAIN;
	as_group = (a->mode >> 3 & mask) == mask;
	as_other = (a->mode & mask) == mask;
	if (as_group == as_other)
		return as_group ? 0 : -EACCES;
	in = in_group(c, a->gid);
	return in < 0 ? in : (in ? as_group : as_other) ? 0 : -EACCES;
}

int cl_cache_getattr(struct cache *ca, uint64_t now, const struct wp_fid *fid, struct wp_attr *ret, uint64_t *attr_ttl)
{
	struct shard *sh = cl_cache_shard(ca, fid);
	struct cnode *n;

	pthread_mutex_lock(&sh->lock);
	n = known(sh, fid, now, attr_ttl);
	if (n)
		*ret = n->attr;
	pthread_mutex_unlock(&sh->lock);
	return hit(ca, n ? 0 : -EAGAIN);
}

/* The directory with its names, if the caller may search it. With the shard locked. */
static int search(struct shard *sh, const struct wp_fid *dir, const struct client_cred *cred, uint32_t mask, uint64_t now,
		  struct cnode **ret, uint64_t *ttl)
{
	struct cnode *n = known(sh, dir, now, ttl);

	if (!n)
		return -EAGAIN;
	*ret = n;
	if (!S_ISDIR(n->attr.mode))
		return -ENOTDIR;
	return may(&n->attr, cred, mask);
}

static int lookup(struct cache *ca, uint64_t now, const struct client_cred *cred, const struct wp_fid *dir, struct wp_str name,
		  struct wp_attr *ret, uint64_t *entry_ttl, uint64_t *attr_ttl)
{
	struct shard *sh = cl_cache_shard(ca, dir);
	struct wp_fid fid;
	struct cnode *n;
	int err;

	pthread_mutex_lock(&sh->lock);
	err = search(sh, dir, cred, MAY_EXEC, now, &n, entry_ttl);
	if (!err && n->dead)
		err = -ENOENT;
	else if (!err)
		err = n->bits & WP_LEASE_ENTRIES && n->dir ? cl_cdir_lookup(n->dir, dir, name, &fid) : -EAGAIN;
	pthread_mutex_unlock(&sh->lock);
	if (err)
		return err;
	sh = cl_cache_shard(ca, &fid);
	pthread_mutex_lock(&sh->lock);
	n = known(sh, &fid, now, attr_ttl);
	/* Without names any more: it was removed since. */
	if (n && (n->attr.nlink || !S_ISREG(n->attr.mode)))
		*ret = n->attr;
	else
		err = -EAGAIN;
	pthread_mutex_unlock(&sh->lock);
	return err;
}

int cl_cache_lookup(struct cache *ca, uint64_t now, const struct client_cred *cred, const struct wp_fid *dir,
		    struct wp_str name, struct wp_attr *ret, uint64_t *entry_ttl, uint64_t *attr_ttl)
{
	int err = lookup(ca, now, cred, dir, name, ret, entry_ttl, attr_ttl);

	/* The directory may be known: that says nothing of the answer that the target will give. */
	if (err)
		*attr_ttl = 0;
	if (err && err != -ENOENT)
		*entry_ttl = 0;
	return hit(ca, err);
}

int cl_cache_access(struct cache *ca, uint64_t now, const struct client_cred *cred, const struct wp_fid *fid, uint32_t mask,
		    struct wp_attr *ret)
{
	struct shard *sh = cl_cache_shard(ca, fid);
	struct cnode *n;
	uint64_t ttl;
	int err = -EAGAIN;

	pthread_mutex_lock(&sh->lock);
	n = known(sh, fid, now, &ttl);
	if (n) {
		err = may(&n->attr, cred, mask);
		*ret = n->attr;
	}
	pthread_mutex_unlock(&sh->lock);
	return hit(ca, err);
}

int cl_cache_readlink(struct cache *ca, uint64_t now, const struct wp_fid *fid, char *buf, size_t size, uint32_t *len)
{
	struct shard *sh = cl_cache_shard(ca, fid);
	struct cnode *n;
	uint64_t ttl;
	int err = -EAGAIN;

	pthread_mutex_lock(&sh->lock);
	n = known(sh, fid, now, &ttl);
	if (n && n->link && n->link_len <= size) {
		memcpy(buf, n->link, n->link_len);
		*len = n->link_len;
		err = 0;
	}
	pthread_mutex_unlock(&sh->lock);
	return hit(ca, err);
}

int cl_cache_readdir(struct cache *ca, uint64_t now, const struct wp_fid *dir, uint64_t cookie, struct wp_fid *parent,
		     bool (*fn)(void *arg, const struct wp_dirent *d), void *arg, bool *eof)
{
	struct shard *sh = cl_cache_shard(ca, dir);
	struct cnode *n;
	uint64_t ttl;
	int err = -EAGAIN;

	pthread_mutex_lock(&sh->lock);
	n = known(sh, dir, now, &ttl);
	if (n && n->bits & WP_LEASE_ENTRIES && n->dir && n->dir->known_to) {
		*parent = n->dir->parent;
		err = cl_cdir_list(n->dir, cookie, fn, arg, eof);
	}
	pthread_mutex_unlock(&sh->lock);
	return hit(ca, err);
}

uint64_t cl_cache_names_ttl(struct cache *ca, uint64_t now, const struct wp_fid *dir)
{
	struct shard *sh = cl_cache_shard(ca, dir);
	struct cnode *n;
	uint64_t ttl = 0;

	pthread_mutex_lock(&sh->lock);
	n = cl_cache_find(sh, dir);
	if (n && n->bits & WP_LEASE_ENTRIES)
		ttl = cl_cnode_ttl(n, now);
	pthread_mutex_unlock(&sh->lock);
	return ttl;
}

/* ---- for callers ------------------------------------------------------------------------------------------------- */

static bool is_dots(struct wp_str name) { return name.len <= 2 && !memcmp(name.p, "..", name.len); }

int client_cached_lookup(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
			 struct client_res *res)
{
	if (!c->m->cache || is_dots(name) || name.len > WP_NAME_MAX)
		return -EAGAIN;
	return cl_cache_lookup(c->m->cache, env_mono_ns(c->env), cred, parent, name, &res->attr, &res->entry_ttl_ns,
			       &res->attr_ttl_ns);
}

int client_cached_getattr(struct client *c, const struct wp_fid *fid, struct client_res *res)
{
	if (!c->m->cache)
		return -EAGAIN;
	return cl_cache_getattr(c->m->cache, env_mono_ns(c->env), fid, &res->attr, &res->attr_ttl_ns);
}

int client_cached_access(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, uint32_t mask)
{
	struct wp_attr a;

	return c->m->cache ? cl_cache_access(c->m->cache, env_mono_ns(c->env), cred, fid, mask, &a) : -EAGAIN;
}

int client_cached_opendir(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, struct client_res *res)
{
	int err;

	if (!c->m->cache)
		return -EAGAIN;
	err = cl_cache_access(c->m->cache, env_mono_ns(c->env), cred, fid, MAY_READ, &res->attr);
	/* A directory that was removed cannot be opened; the target knows. */
	return !err && (!S_ISDIR(res->attr.mode) || !res->attr.nlink) ? -EAGAIN : err;
}

int client_cached_readlink(struct client *c, const struct wp_fid *fid, char *buf, size_t size, uint32_t *len)
{
	return c->m->cache ? cl_cache_readlink(c->m->cache, env_mono_ns(c->env), fid, buf, size, len) : -EAGAIN;
}

int client_cached_getxattr(struct client *c, const struct client_cred *cred, const struct wp_fid *fid)
{
	struct wp_attr a;

	if (!c->m->cache || cl_cache_access(c->m->cache, env_mono_ns(c->env), cred, fid, MAY_READ, &a))
		return -EAGAIN;
	return a.flags & WP_ATTR_HAS_XATTR ? -EAGAIN : -ENODATA;
}

uint64_t client_names_ttl(struct client *c, const struct wp_fid *dir)
{
	return c->m->cache ? cl_cache_names_ttl(c->m->cache, env_mono_ns(c->env), dir) : 0;
}

struct dots {
	bool (*fn)(void *arg, const struct wp_dirent *d);
	void *arg;
	const struct wp_fid *dir, *parent;
	uint64_t cookie;
	bool full;
};

/* "." and ".." before the first name. */
static void tell_dots(struct dots *d)
{
	struct wp_dirent dot = { .cookie = 1, .fid = *d->dir, .type = S_IFDIR, .name = wp_str(".") };
	struct wp_dirent dotdot = { .cookie = 2, .fid = *d->parent, .type = S_IFDIR, .name = wp_str("..") };

	if (d->cookie < 1)
		d->full = !d->fn(d->arg, &dot);
	if (d->cookie < 2 && !d->full)
		d->full = !d->fn(d->arg, &dotdot);
	d->cookie = 2;
}

static bool tell(void *arg, const struct wp_dirent *e)
{
	struct dots *d = arg;

	if (d->cookie < 2)
		tell_dots(d);
	return !d->full && d->fn(d->arg, e);
}

int client_cached_readdir(struct client *c, const struct wp_fid *dir, uint64_t cookie,
			  bool (*fn)(void *arg, const struct wp_dirent *d), void *arg, bool *eof)
{
	struct wp_fid parent = { 0 };
	struct dots d = { .fn = fn, .arg = arg, .dir = dir, .parent = &parent, .cookie = cookie };
	int err;

	if (!c->m->cache)
		return -EAGAIN;
	err = cl_cache_readdir(c->m->cache, env_mono_ns(c->env), dir, MAX(cookie, 2), &parent, tell, &d, eof);
	if (err)
		return err;
	if (d.cookie < 2)
		tell_dots(&d);
	*eof &= !d.full;
	return 0;
}
