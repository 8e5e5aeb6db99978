/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the indexes of the metadata targets hold when all is quiet: every name leads to an inode, nothing waits for its end. */
#include "cluster_priv.h"

#include "meta/meta_priv.h"

#define QUIET_NS (3 * SESSION_MS * NSEC_PER_MSEC) /* sessions of dead clients end, their orphans go */

static struct server *server_of(struct cluster *cl, const struct wp_fid *fid)
{
	for (unsigned i = 0; i < cl->mdts_n; i++)
		if (cl->mdts[i].info.id == wp_fid_mdt(fid))
			return &cl->mdts[i];
	return NULL;
}

static void check_names(struct cluster *cl, struct server *s)
{
	struct osd_slice key, value, inode;
	struct osd_iter it;
	struct key k;

	key_start(&k, KEY_DENTRY);
	osd_iter_init(&it, s->platter, key_slice(&k));
	while (!cl->s->failed && !table_next(&it, KEY_DENTRY, &key, &value)) {
		struct wp_fid fid = wp_ino_to_fid(key_get64(value.p));
		struct server *at = server_of(cl, &fid);

		key_inode(&k, &fid);
		if (!at || osd_get(at->platter, key_slice(&k), &inode))
			sim_fail(cl->s, "%s: a name leads to [%llx:%x], which does not exist", s->name, (unsigned long long)fid.seq, fid.oid);
	}
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

void cluster_check(struct cluster *cl)
{
	for (uint64_t ns = 0; ns < QUIET_NS && !cl->s->failed; ns += NSEC_PER_SEC)
		cluster_run(cl, NSEC_PER_SEC);
	for (unsigned i = 0; i < cl->mdts_n && !cl->s->failed; i++) {
		check_names(cl, &cl->mdts[i]);
		check_empty(cl, &cl->mdts[i], KEY_ORPHAN, "orphans");
		check_empty(cl, &cl->mdts[i], KEY_QUEUE, "deletions");
	}
}
