/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the files of the cache share. */
#ifndef WEFT_CLIENT_CACHE_PRIV_H
#define WEFT_CLIENT_CACHE_PRIV_H

#include "client/cache.h"
#include "client/client_priv.h"

#define CACHE_SHARDS 64u
#define CACHE_INODES_MAX (512u << 10) /* about 250 MiB with their names */
#define CACHE_EVICT_LOOKS 8u
#define CACHE_GIVE_BACK 1024u
#define CDIR_GONE_MAX 4096u /* names known to be missing that a directory keeps */

/* A name that was looked up, listed, made or removed: what it stands for, or that it stands for nothing. */
struct cname {
	struct htab_node node; /* cdir.names, by cookie */
	struct list link;      /* cdir.all */
	uint64_t stamp;	       /* the directory's change number when this was so */
	struct wp_fid fid;     /* seq 0: nothing */
	uint32_t type;
	uint8_t len;
	char name[];
};

/* Names of a directory, while ENTRIES is held. */
struct cdir {
	struct htab names;
	struct list all;
	uint64_t floor;	   /* what was learned at an older change number is not valid */
	uint64_t known_to; /* every name with a cookie up to this one is here; 0: none */
	struct wp_fid parent;
	uint32_t missing;     /* names that stand for nothing */
	struct cname **order; /* by cookie, up to known_to, as of the last readdir; later ones are in unordered */
	uint32_t order_n, order_cap;
	bool ordered;
};

struct cnode {
	struct htab_node node;
	struct list lru;
	struct wp_fid fid;
	struct session *s;
	uint32_t gen;	      /* of the session's leases when granted */
	uint32_t bits, fresh; /* held; just granted */
	uint64_t seq;	      /* of the newest statement */
	bool used, attr_known;
	bool dead; /* a removed directory: attr is what it was, for ever */
	struct wp_attr attr;
	char *link;
	uint32_t link_len;
	struct cdir *dir;
};

struct shard {
	pthread_mutex_t lock;
	struct htab nodes;
	struct list lru; /* oldest first */
};

struct give_back {
	struct session *s;
	uint64_t after_ns; /* so long somebody may keep what the cache had told under it */
	struct wp_lease_ref ref;
};

struct cache {
	struct client_mount *m;
	struct shard shards[CACHE_SHARDS];
	pthread_mutex_t give_back_lock;
	struct give_back give_back[CACHE_GIVE_BACK];
	uint32_t give_back_n;
	atomic_uint_fast64_t hits, misses, recalls, recalled, evicted, inodes, names;
};

struct shard *cl_cache_shard(struct cache *ca, const struct wp_fid *fid);
/* With the shard locked. */
struct cnode *cl_cache_find(struct shard *sh, const struct wp_fid *fid);
static inline bool cl_cnode_current(const struct cnode *n)
{
	return n->gen == atomic_load_explicit(&n->s->lease_gen, memory_order_acquire);
}
/* How long its leases are good for, ns; 0: they are not. */
static inline uint64_t cl_cnode_ttl(const struct cnode *n, uint64_t now)
{
	uint64_t until = atomic_load_explicit(&n->s->lease_until_ns, memory_order_acquire);

	return cl_cnode_current(n) && until > now ? until - now : 0;
}

/* cache_dir.c */
void cl_cdir_start(struct cache *ca, struct cnode *n, uint64_t change);
void cl_cdir_free(struct cache *ca, struct cnode *n);
int cl_cdir_lookup(struct cdir *d, const struct wp_fid *dir, struct wp_str name, struct wp_fid *ret) must_check;
int cl_cdir_list(struct cdir *d, uint64_t cookie, bool (*fn)(void *arg, const struct wp_dirent *d), void *arg,
		 bool *eof) must_check;

#endif
