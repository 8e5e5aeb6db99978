/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What indexes and devices hold when all is quiet: names lead to inodes, inodes have as many links as names, usage is the sum of
 * the records, nothing waits for its end, and every object belongs to an inode.
 */
#include "cluster_priv.h"

#include "meta/meta_priv.h"

#define QUIET_NS (3 * SESSION_MS * NSEC_PER_MSEC) /* sessions of dead clients end, their orphans go */

bool cluster_serves(struct server *s, uint64_t client_id)
{
	struct session *ses;

	list_each (ses, &s->meta->all_sessions, link)
		if (ses->client_id == client_id && !ses->doomed)
			return true;
	return false;
}

void cluster_evict(struct server *s)
{
	struct session *ses, *tmp;

	list_each_safe (ses, tmp, &s->meta->leases.recalling, recalling)
		if (!ses->doomed && !list_empty(&ses->recalls))
			session_doom(s->meta, ses, "chosen by lot");
}

/* ---- inodes, as the indexes have them ---- */

struct seen {
	struct htab_node node;
	struct server *at;
	struct wp_fid fid;
	struct inode i;
	uint32_t names, subdirs;
};

struct seen_all {
	struct htab tab;
	struct arena arena;
};

static struct seen *find(struct seen_all *all, const struct wp_fid *fid)
{
	struct htab_node *n;

	htab_each_match (n, &all->tab, hash_u64(wp_fid_to_ino(fid)))
		if (wp_fid_eq(&container_of(n, struct seen, node)->fid, fid))
			return container_of(n, struct seen, node);
	return NULL;
}

static void load_inodes(struct server *s, struct seen_all *all)
{
	struct osd_slice key, value;
	struct osd_iter it;
	struct key k;

	key_start(&k, KEY_INODE);
	osd_iter_init(&it, s->platter, key_slice(&k));
	while (!table_next(&it, KEY_INODE, &key, &value)) {
		struct seen *n = arena_zalloc(&all->arena, sizeof(*n));

		n->at = s;
		n->fid = wp_ino_to_fid(key_get64((const uint8_t *)key.p + 1));
		/* The value moves when the index changes: nothing changes now, but the record keeps slices. */
		if (ino_decode(&all->arena, osd_slice(arena_dup(&all->arena, value.p, value.len), value.len), &n->i))
			sim_fail(s->cl->s, "%s: an inode record is damaged", s->name);
		htab_add(&all->tab, &n->node, hash_u64(wp_fid_to_ino(&n->fid)));
	}
}

static void check_names(struct cluster *cl, struct server *s, struct seen_all *all)
{
	struct osd_slice key, value;
	struct osd_iter it;
	struct key k;

	key_start(&k, KEY_DENTRY);
	osd_iter_init(&it, s->platter, key_slice(&k));
	while (!cl->s->failed && !table_next(&it, KEY_DENTRY, &key, &value)) {
		struct wp_fid dir = wp_ino_to_fid(key_get64((const uint8_t *)key.p + 1)),
			      fid = wp_ino_to_fid(key_get64(value.p));
		struct seen *n = find(all, &fid), *d = find(all, &dir);

		if (!n || !d || !inode_is_dir(&d->i)) {
			sim_fail(cl->s, "%s: a name in [%llx:%x] leads to [%llx:%x], and one of them does not exist", s->name,
				 (unsigned long long)dir.seq, dir.oid, (unsigned long long)fid.seq, fid.oid);
			return;
		}
		n->names++;
		d->subdirs += inode_is_dir(&n->i);
	}
}

static bool check_links(struct htab_node *node, void *arg)
{
	const struct seen *n = container_of(node, struct seen, node);
	uint32_t want = inode_is_dir(&n->i) ? 2 + n->subdirs : n->names;
	struct sim *s = arg;

	if (n->i.nlink != want)
		sim_fail(s, "%s: nlink of [%llx:%x] is %u, must be %u", n->at->name, (unsigned long long)n->fid.seq, n->fid.oid,
			 n->i.nlink, want);
	if (!n->names && !wp_fid_is_root(&n->fid))
		sim_fail(s, "%s: [%llx:%x] has no name", n->at->name, (unsigned long long)n->fid.seq, n->fid.oid);
	if (n->i.flags & INO_WRITING && n->names)
		sim_note(s, "%s: [%llx:%x] is not settled yet", n->at->name, (unsigned long long)n->fid.seq, n->fid.oid);
	return true;
}

/* ---- usage: the rows are the sums over the records ---- */

struct sum {
	const struct server *s;
	uint8_t kind;
	uint32_t id;
	uint64_t bytes, inodes;
};

static bool add_usage(struct htab_node *node, void *arg)
{
	const struct seen *n = container_of(node, struct seen, node);
	const uint32_t own[] = { n->i.uid, n->i.gid, n->i.project };
	struct sum *u = arg;

	if (n->at == u->s && u->kind < ARRAY_SIZE(own) && own[u->kind] == u->id) {
		u->bytes += n->i.blocks * 512;
		u->inodes++;
	}
	return true;
}

static void check_usage(struct cluster *cl, struct server *s, struct seen_all *all)
{
	struct osd_slice key, value;
	uint64_t inodes[3] = { 0 }, all_inodes = 0;
	struct osd_iter it;
	struct key k;

	key_start(&k, KEY_USAGE);
	osd_iter_init(&it, s->platter, key_slice(&k));
	while (!cl->s->failed && !table_next(&it, KEY_USAGE, &key, &value)) {
		const uint8_t *p = key.p, *v = value.p;
		struct sum u = { .s = s, .kind = p[1], .id = key_get32(p + 2) };

		htab_each(&all->tab, add_usage, &u);
		if (wp_get_le64(v) != u.bytes || wp_get_le64(v + 8) != u.inodes)
			sim_fail(cl->s, "%s: usage of kind %u id %u is %llu bytes %llu inodes, must be %llu and %llu", s->name,
				 u.kind, u.id,
				 (unsigned long long)wp_get_le64(v), (unsigned long long)wp_get_le64(v + 8),
				 (unsigned long long)u.bytes, (unsigned long long)u.inodes);
		if (u.kind < ARRAY_SIZE(inodes))
			inodes[u.kind] += u.inodes;
	}
	/* Nobody is left out: every inode has an owner and a group. */
	key_start(&k, KEY_INODE);
	osd_iter_init(&it, s->platter, key_slice(&k));
	while (!table_next(&it, KEY_INODE, &key, &value))
		all_inodes++;
	if (!cl->s->failed && (inodes[0] != all_inodes || inodes[1] != all_inodes))
		sim_fail(cl->s, "%s: %llu inodes are counted for their owners, %llu for their groups, there are %llu", s->name,
			 (unsigned long long)inodes[0], (unsigned long long)inodes[1], (unsigned long long)all_inodes);
}

/* ---- objects ---- */

static bool knows(const struct seen *n, const struct server *s, const struct wp_objid *id)
{
	struct arena a = { 0 };
	struct wp_layout l;
	bool known = false;

	if (n && inode_is_reg(&n->i) && n->i.comps >> id->component & 1 && !layout_decode(&a, n->i.extra, &l))
		known = id->component < l.components_n && id->stripe < l.components[id->component].targets_n &&
			l.components[id->component].targets[id->stripe] == s->info.id;
	arena_done(&a);
	return known;
}

/* Every object belongs to a component of an inode that may have objects, and lies where the layout says. */
static void check_objects(struct cluster *cl, struct server *s, struct seen_all *all)
{
	struct wp_objid ids[32], after = { 0 };
	unsigned n;

	do {
		if (s->platter->ops->list(s->platter, &after, ids, ARRAY_SIZE(ids), &n))
			sim_fail(cl->s, "%s: its objects cannot be listed", s->name);
		for (unsigned i = 0; i < n && !cl->s->failed; i++)
			/* A client that goes on writing without its session may bring back what was destroyed: storage targets do not know
			 * of sessions. */
			if (!knows(find(all, &ids[i].fid), s, &ids[i]) && !cl->s->evictions)
				sim_fail(cl->s, "%s: no inode knows the object [%llx:%x].%u.%u", s->name,
					 (unsigned long long)ids[i].fid.seq, ids[i].fid.oid, ids[i].component, ids[i].stripe);
		if (n)
			after = ids[n - 1];
		after.stripe++; /* the list begins with the one it is given */
	} while (n == ARRAY_SIZE(ids) && !cl->s->failed);
}

static void check_empty(struct cluster *cl, struct server *s, char table, const char *what)
{
	struct osd_slice key, value;
	struct osd_iter it;
	struct key k;

	key_start(&k, table);
	osd_iter_init(&it, s->platter, key_slice(&k));
	if (!table_next(&it, table, &key, &value))
		sim_fail(cl->s, "%s: %s are left", s->name, what);
}

static void check_all(struct cluster *cl, struct seen_all *all)
{
	for (unsigned i = 0; i < cl->mdts_n; i++)
		load_inodes(&cl->mdts[i], all);
	for (unsigned i = 0; i < cl->mdts_n && !cl->s->failed; i++) {
		check_names(cl, &cl->mdts[i], all);
		check_empty(cl, &cl->mdts[i], KEY_ORPHAN, "orphans");
		check_empty(cl, &cl->mdts[i], KEY_QUEUE, "deletions or truncations");
	}
	htab_each(&all->tab, check_links, cl->s);
	for (unsigned i = 0; i < cl->mdts_n && !cl->s->failed; i++)
		check_usage(cl, &cl->mdts[i], all);
	for (unsigned i = 0; i < cl->osts_n && !cl->s->failed; i++)
		check_objects(cl, &cl->osts[i], all);
}

void cluster_check(struct cluster *cl)
{
	struct seen_all all = { 0 };

	for (uint64_t ns = 0; ns < QUIET_NS && !cl->s->failed; ns += NSEC_PER_SEC)
		cluster_run(cl, NSEC_PER_SEC);
	if (cl->s->failed)
		return;
	htab_init(&all.tab);
	check_all(cl, &all);
	htab_done(&all.tab);
	arena_done(&all.arena);
}
