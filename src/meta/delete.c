/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The end of inodes: orphans while they are open, then the record goes and the objects are queued for destruction in the same
 * transaction. A worker destroys them for as long as it takes.
 */
#include "base/log.h"
#include "meta/meta_priv.h"
#include "meta/objset.h"

#define RECORD_HEADER 13u  /* kind, inode, components; then the layout */
#define PARALLEL 64u       /* inodes whose objects are being destroyed at once */

struct deletion {
	struct list link;
	struct meta_target *mt;
	uint64_t q, index;
	bool running;
	uint8_t *record;
	uint32_t len;
	struct objset set;
};

static void destroyed(void *arg);

static struct deletion *deletion_new(struct meta_target *mt, uint64_t q, const void *record, size_t len)
{
	struct deletion *d = NEW(struct deletion);

	d->mt = mt;
	d->q = q;
	d->record = xmalloc(len);
	memcpy(d->record, record, len);
	d->len = (uint32_t)len;
	objset_init(&d->set, mt, destroyed, d);
	return d;
}

static void deletion_free(struct deletion *d)
{
	list_del(&d->link);
	objset_done(&d->set);
	free(d->record);
	free(d);
}

/* ---- what the removal of names does ---------------------------------------------------------------------------------------------- */

/* It waits in op until the transaction is committed: delete_take. */
static void queue_objects(struct op *op, const struct inode *i)
{
	struct meta_target *mt = op->mt;
	uint32_t len = RECORD_HEADER + i->extra.len;
	uint8_t *v = arena_alloc(op->arena, len);
	struct key k;

	v[0] = QUEUE_DESTROY;
	wp_put_le64(v + 1, wp_fid_to_ino(&i->fid));
	wp_put_le32(v + 9, i->comps);
	memcpy(v + RECORD_HEADER, i->extra.p, i->extra.len);
	key_u64(&k, KEY_QUEUE, mt->next_q);
	osd_txn_put(&op->txn, key_slice(&k), osd_slice(v, len));
	list_append(&op->deletions, &deletion_new(mt, mt->next_q++, v, len)->link);
}

void ino_destroy(struct op *op, struct inode *i)
{
	struct key k;

	xattr_drop_all(op, i);
	if (!i->nlink) {
		key_u64(&k, KEY_ORPHAN, wp_fid_to_ino(&i->fid));
		osd_txn_del(&op->txn, key_slice(&k));
	}
	if (inode_is_reg(i) && i->comps)
		queue_objects(op, i);
	i->deleted = true;
}

void ino_unlinked(struct op *op, struct inode *i)
{
	struct minode *m = minode_find(op->mt, &i->fid);
	struct key k;

	/* In grace, handles may exist that have not been told again yet. */
	if (!op->mt->grace && !(m && (m->n_handles || m->job || m->lingers))) {
		i->nlink = 1; /* never was an orphan */
		ino_destroy(op, i);
		return;
	}
	i->nlink = 0;
	i->dirty = true;
	key_u64(&k, KEY_ORPHAN, wp_fid_to_ino(&i->fid));
	osd_txn_put(&op->txn, key_slice(&k), osd_slice("", 0));
}

void ino_unlinked_done(struct op *op, const struct inode *i)
{
	struct minode *m = i->deleted ? NULL : minode_find(op->mt, &i->fid);

	if (m && !i->nlink)
		m->orphan = true;
}

/* ---- the worker ---------------------------------------------------------------------------------------------------------------------- */

static void run_queue(struct meta_target *mt);

static void destroyed(void *arg)
{
	struct deletion *d = arg;
	struct meta_target *mt = d->mt;
	struct op *op = mop_internal(mt);
	struct key k;

	key_u64(&k, KEY_QUEUE, d->q);
	osd_txn_del(&op->txn, key_slice(&k));
	if (mop_commit_step(op))
		log_debug("meta", "a deletion is done again after the next start");
	mop_internal_done(op);
	mt->counters.destroys += d->set.n;
	mt->counters.deletions--;
	mt->deleting--;
	deletion_free(d);
	run_queue(mt);
}

static void start(struct deletion *d)
{
	struct meta_target *mt = d->mt;
	uint32_t comps = wp_get_le32(d->record + 9);
	struct wp_layout l = { 0 };
	struct arena a = { 0 };

	d->running = true;
	mt->deleting++;
	if (layout_decode(&a, wp_bytes(d->record + RECORD_HEADER, d->len - RECORD_HEADER), &l))
		log_err("meta", "a record of the deletion queue is damaged; its objects stay");
	for (uint32_t c = 0; c < l.components_n; c++)
		for (uint32_t s = 0; comps >> c & 1 && s < l.components[c].targets_n; s++)
			objset_add(&d->set, WP_OP_OBJ_DESTROY, l.components[c].targets[s],
				   (struct wp_objid){ .fid = wp_ino_to_fid(wp_get_le64(d->record + 1)), .component = (uint16_t)c,
						      .stripe = s }, 0);
	arena_done(&a);
	objset_start(&d->set);
}

static void run_queue(struct meta_target *mt)
{
	struct deletion *d, *tmp;

	if (mt->state != META_RUNNING || list_empty(&mt->deletions))
		return;
	list_each_safe (d, tmp, &mt->deletions, link) {
		if (mt->deleting >= PARALLEL || (!d->running && d->index > journal_durable(mt->journal)))
			break;
		if (!d->running)
			start(d);
	}
}

void delete_take(struct op *op)
{
	struct meta_target *mt = op->mt;
	struct deletion *d;

	if (list_empty(&op->deletions))
		return;
	list_each (d, &op->deletions, link) {
		d->index = journal_last(mt->journal);
		mt->counters.deletions++;
	}
	list_splice(&mt->deletions, &op->deletions);
	run_queue(mt);
}

void delete_drop(struct op *op)
{
	while (!list_empty(&op->deletions))
		deletion_free(list_first(&op->deletions, struct deletion, link));
}

void delete_load(struct meta_target *mt, uint64_t q, struct osd_slice v)
{
	if (v.len < RECORD_HEADER)
		return;
	list_append(&mt->deletions, &deletion_new(mt, q, v.p, v.len)->link);
	mt->counters.deletions++;
}

void delete_committed(struct meta_target *mt) { run_queue(mt); }

void delete_free(struct meta_target *mt)
{
	while (!list_empty(&mt->deletions))
		deletion_free(list_first(&mt->deletions, struct deletion, link));
}

/* ---- orphans ------------------------------------------------------------------------------------------------------------------------- */

/* After grace: orphans that nobody holds any more. */
void orphans_sweep(struct meta_target *mt)
{
	struct osd_slice key, value;
	struct osd_iter it;
	struct key k;

	key_start(&k, KEY_ORPHAN);
	osd_iter_init(&it, mt->dev, key_slice(&k));
	while (!table_next(&it, KEY_ORPHAN, &key, &value)) {
		struct wp_fid fid = wp_ino_to_fid(key_get64((const uint8_t *)key.p + 1));
		struct minode *m = minode_get(mt, &fid);

		m->orphan = true;
		ino_released(mt, &fid);
	}
}
