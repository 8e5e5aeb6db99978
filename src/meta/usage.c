/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Bytes and inodes by owner, group and project: kept in memory, and written in the transaction that changes them, as absolute
 * values. So the rows always agree with the inodes.
 */
#include "base/log.h"
#include "meta/meta_priv.h"

enum { KIND_UID, KIND_GID, KIND_PROJECT };

#define ROWS_MAX 1024u

static uint64_t row_hash(uint8_t kind, uint32_t id) { return hash_u64((uint64_t)kind << 32 | id); }

static struct usage_row *row_find(struct meta_target *mt, uint8_t kind, uint32_t id)
{
	struct htab_node *n;

	htab_each_match (n, &mt->usage, row_hash(kind, id)) {
		struct usage_row *r = container_of(n, struct usage_row, node);

		if (r->kind == kind && r->id == id)
			return r;
	}
	return NULL;
}

static struct usage_row *row_get(struct meta_target *mt, uint8_t kind, uint32_t id)
{
	struct usage_row *r = row_find(mt, kind, id);

	if (r)
		return r;
	r = NEW(struct usage_row);
	r->kind = kind;
	r->id = id;
	htab_add(&mt->usage, &r->node, row_hash(kind, id));
	return r;
}

static void delta(struct op *op, uint8_t kind, uint32_t id, int64_t bytes, int64_t inodes)
{
	struct usage_delta *d = op->usage, *end = d + op->n_usage;

	while (d < end && (d->kind != kind || d->id != id))
		d++;
	if (d == end) {
		weft_assert(op->n_usage < ARRAY_SIZE(op->usage));
		*d = (struct usage_delta){ .kind = kind, .id = id };
		op->n_usage++;
	}
	d->bytes += bytes;
	d->inodes += inodes;
}

static void count(struct op *op, uint32_t uid, uint32_t gid, uint32_t project, int64_t bytes, int64_t inodes)
{
	delta(op, KIND_UID, uid, bytes, inodes);
	delta(op, KIND_GID, gid, bytes, inodes);
	if (project)
		delta(op, KIND_PROJECT, project, bytes, inodes);
}

void usage_of_inode(struct op *op, const struct inode *i)
{
	int64_t old = (int64_t)(i->old_blocks * 512), new = (int64_t)(i->blocks * 512);
	bool same_owner = i->uid == i->old_uid && i->gid == i->old_gid && i->project == i->old_project;

	if (i->fresh && i->deleted)
		return;
	if (i->fresh) {
		count(op, i->uid, i->gid, i->project, new, 1);
	} else if (i->deleted) {
		count(op, i->old_uid, i->old_gid, i->old_project, -old, -1);
	} else if (!same_owner || old != new) {
		count(op, i->old_uid, i->old_gid, i->old_project, -old, -1);
		count(op, i->uid, i->gid, i->project, new, 1);
	}
}

static uint64_t plus(uint64_t v, int64_t d) { return d < 0 && v < (uint64_t)-d ? 0 : v + (uint64_t)d; }

void usage_flush(struct op *op)
{
	for (uint32_t n = 0; n < op->n_usage; n++) {
		const struct usage_delta *d = &op->usage[n];
		const struct usage_row *r = row_find(op->mt, d->kind, d->id);
		uint8_t v[16];
		struct key k;

		if (!d->bytes && !d->inodes)
			continue;
		wp_put_le64(v, plus(r ? r->bytes : 0, d->bytes));
		wp_put_le64(v + 8, plus(r ? r->inodes : 0, d->inodes));
		key_usage(&k, d->kind, d->id);
		osd_txn_put(&op->txn, key_slice(&k), osd_slice(v, sizeof(v)));
	}
}

void usage_apply(struct op *op)
{
	for (uint32_t n = 0; n < op->n_usage; n++) {
		const struct usage_delta *d = &op->usage[n];
		struct usage_row *r = row_get(op->mt, d->kind, d->id);

		r->bytes = plus(r->bytes, d->bytes);
		r->inodes = plus(r->inodes, d->inodes);
	}
	op->n_usage = 0;
}

int usage_load(struct meta_target *mt)
{
	struct osd_slice key, value;
	struct osd_iter it;
	struct key k;

	key_start(&k, KEY_USAGE);
	osd_iter_init(&it, mt->dev, key_slice(&k));
	while (!table_next(&it, KEY_USAGE, &key, &value)) {
		const uint8_t *p = key.p;
		struct usage_row *r;

		if (key.len != 6 || value.len != 16)
			return -WEFT_ECORRUPT;
		r = row_get(mt, p[1], key_get32(p + 2));
		r->bytes = wp_get_le64(value.p);
		r->inodes = wp_get_le64((const uint8_t *)value.p + 8);
	}
	return 0;
}

static bool free_row(struct htab_node *n, void *arg)
{
	htab_del(arg, n);
	free(container_of(n, struct usage_row, node));
	return true;
}

void usage_free(struct meta_target *mt)
{
	htab_each(&mt->usage, free_row, &mt->usage);
	htab_done(&mt->usage);
}

int meta_usage_get(struct op *op)
{
	struct wp_usage_get_rep rep = { 0 };
	struct osd_slice key, value;
	struct osd_iter it;
	struct key k;

	META_REQ(op, usage_get, m);
	rep.rows = arena_alloc(op->arena, ROWS_MAX * sizeof(*rep.rows));
	key_usage(&k, m->kind, m->first);
	osd_iter_init(&it, op->mt->dev, key_slice(&k));
	while (!table_next(&it, KEY_USAGE, &key, &value) && ((const uint8_t *)key.p)[1] == m->kind) {
		if (rep.rows_n == ROWS_MAX) {
			rep.more = 1;
			break;
		}
		rep.rows[rep.rows_n++] = (struct wp_usage){ .kind = m->kind, .id = key_get32((const uint8_t *)key.p + 2),
							    .bytes = wp_get_le64(value.p),
							    .inodes = wp_get_le64((const uint8_t *)value.p + 8) };
	}
	wp_usage_get_rep_enc(mop_enc(op, 64 + rep.rows_n * 32u), &rep);
	return 0;
}
