/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the mount caches under leases: attributes and names. Shared by all its reactors and threads.
 *
 * Locks: a shard's lock guards its nodes, with the names of its directories; a leaf, except that session.recalls_lock is taken
 * inside. Nothing points at a node outside its shard's lock.
 */
#ifndef WEFT_CLIENT_CACHE_H
#define WEFT_CLIENT_CACHE_H

#include "base/htab.h"
#include "base/list.h"
#include "client/client.h"

struct session;
struct cache;

struct cache *cl_cache_new(struct client_mount *m);
void cl_cache_free(struct cache *ca);

/* ---- what replies tell ------------------------------------------------------------------------------------------- */

/*
 * A statement of the target about an inode: the lease, then the attributes. Returns the bits that are held afterwards, ATTR only if
 * these attributes are the newest; *lost gets those that were held before and are not any more: what the kernel knows by them must go.
 */
uint32_t cl_cache_entry(struct cache *ca, struct session *s, const struct wp_entry *e, uint32_t *lost);
#define CL_FRESH_DATA (1u << 31) /* with DATA_READ, in the result: it was not held before */
/* The same for an entry of a directory listing. */
uint32_t cl_cache_attr(struct cache *ca, struct session *s, const struct wp_attr *a, const struct wp_lease *l, uint32_t *lost);
/* In the directory, as of its change number, name stood for fid; child NULL: for nothing. false: that is not known to be so now. */
bool cl_cache_name(struct cache *ca, const struct wp_fid *dir, uint64_t change, struct wp_str name, const struct wp_fid *child,
		   uint32_t type);
/* One page of a listing that started behind cookie `after`, and is all there is up to `upto` (READDIR_END at the end). */
void cl_cache_page(struct cache *ca, const struct wp_fid *dir, uint64_t change, const struct wp_fid *parent, uint64_t after,
		   uint64_t upto, const struct wp_dirent *d, uint32_t n);
/* A directory that was removed: its target knows it no more, but it may still be somebody's current directory here. */
void cl_cache_dead(struct cache *ca, struct session *s, const struct wp_attr *a);
/* What is known of the inode is in doubt, and what is older than this change number is not valid; it stays leased. */
void cl_cache_forget(struct cache *ca, const struct wp_fid *fid, uint64_t change);
/* A read of this mount happened now. */
void cl_cache_touch_atime(struct cache *ca, const struct wp_fid *fid, uint64_t wall_ns);
void cl_cache_set_link(struct cache *ca, const struct wp_fid *fid, const char *target, uint32_t len);

/* The target takes bits back, as of seq. Returns what was held of them, and what is not known any more to be held or not: what
 * callers keep under these must go. */
uint32_t cl_cache_recall(struct cache *ca, struct session *s, const struct wp_fid *fid, uint32_t bits, uint64_t seq);
/* Everything under leases of this session is void. fn is called for each inode that was held, without locks. */
void cl_cache_void(struct cache *ca, struct session *s, void (*fn)(void *arg, const struct wp_fid *fid, uint32_t bits),
		   void *arg);

/* Leases that are no longer wanted, and that nobody keeps anything under, to be released: at most max; returns how many. */
uint32_t cl_cache_evicted(struct cache *ca, uint64_t now, struct session *s, struct wp_lease_ref *ret, uint32_t max);

/* ---- answers: 0 or an error that the target would give; -EAGAIN: ask it ------------------------------------------- */

/* *entry_ttl, *attr_ttl: how long the kernel may keep the answer, ns. */
int cl_cache_lookup(struct cache *ca, uint64_t now, const struct client_cred *cred, const struct wp_fid *dir,
		    struct wp_str name, struct wp_attr *ret, uint64_t *entry_ttl, uint64_t *attr_ttl);
int cl_cache_getattr(struct cache *ca, uint64_t now, const struct wp_fid *fid, struct wp_attr *ret, uint64_t *attr_ttl);
/* Permission by cached attributes; -EAGAIN also if groups or an ACL would have to be looked at. */
int cl_cache_access(struct cache *ca, uint64_t now, const struct client_cred *cred, const struct wp_fid *fid, uint32_t mask,
		    struct wp_attr *ret);
/* Copies into buf; *len: the length. */
int cl_cache_readlink(struct cache *ca, uint64_t now, const struct wp_fid *fid, char *buf, size_t size, uint32_t *len);
/* How long names of the directory may be kept, ns; 0: not at all. */
uint64_t cl_cache_names_ttl(struct cache *ca, uint64_t now, const struct wp_fid *dir);
/* Calls fn for entries behind cookie, in order, until it returns false; *eof: all were told. fn must not call the cache. Names
 * above "..": cookies 0 and 1 are the caller's to handle. */
int cl_cache_readdir(struct cache *ca, uint64_t now, const struct wp_fid *dir, uint64_t cookie, struct wp_fid *parent,
		     bool (*fn)(void *arg, const struct wp_dirent *d), void *arg, bool *eof);

struct cache_stats {
	uint64_t hits, misses, recalls, recalled, evicted, inodes, names;
};
void cl_cache_stats(struct cache *ca, struct cache_stats *ret);

#endif
