/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Sizes: settling asks the objects, truncation sets them. Both are jobs of an inode, one at a time; requests that need the size
 * wait in the inode's queue and run again.
 *
 * A truncation is a durable intent (table q) first, then the objects get their sizes, then the record; so after a crash it is
 * finished before anybody sees the file.
 */
#include "base/log.h"
#include "meta/meta_priv.h"
#include "meta/objset.h"

#define INTENT_OLD 17u /* kind, inode, size; */
#define INTENT_LEN 35u /* session, slot, xid of the request */

struct job {
	struct list link; /* meta_target.jobs */
	struct meta_target *mt;
	struct minode *m;
	struct wp_fid fid;
	bool truncate;
	uint64_t size, q;
	uint64_t session, xid; /* of the request; 0: not known */
	uint16_t slot;
	uint64_t index;   /* the intent must be durable before the objects change */
	bool started;
	struct objset set;
};

bool ino_unsettled(struct meta_target *mt, const struct inode *i) { return i->flags & INO_WRITING; }

bool ino_needs_settling(struct meta_target *mt, const struct inode *i)
{
	const struct minode *m;

	if (!(i->flags & INO_WRITING) || mt->grace)
		return false;
	m = minode_find(mt, &i->fid);
	return !m || !m->n_writers;
}

void mop_wait_job(struct op *op, struct minode *m)
{
	op->mt->counters.waits++;
	list_append(&m->queue, &op->link);
}

/* ---- the end --------------------------------------------------------------------------------------------------------------------- */

/* Runs, or fails, everything that waited. */
static void job_end(struct job *j, int err)
{
	struct meta_target *mt = j->mt;
	struct minode *m = j->m;
	struct wp_fid fid = j->fid;
	struct list queue;
	struct op *op;

	list_init(&queue);
	list_splice(&queue, &m->queue);
	m->job = NULL;
	list_del(&j->link);
	objset_done(&j->set);
	free(j);
	if (!err)
		ino_released(mt, &fid); /* may free m, may start the next job */
	while ((op = list_pop(&queue, struct op, link))) {
		if (err)
			mop_finish(op, err);
		else
			mop_run(op);
	}
	m = minode_find(mt, &fid);
	if (m)
		minode_put(mt, m);
}

struct totals {
	uint64_t size, blocks, version;
	struct wp_time mtime;
	uint32_t comps;
};

static void add_up(const struct job *j, const struct wp_layout *l, struct totals *t)
{
	memset(t, 0, sizeof(*t));
	t->mtime.sec = INT64_MIN;
	for (uint32_t n = 0; n < j->set.n; n++) {
		const struct objcall *c = &j->set.calls[n];

		if (!c->stat.version)
			continue;
		t->size = MAX(t->size, stripe_file_end(&l->components[c->obj.component], c->obj.stripe, c->stat.size));
		t->blocks += c->stat.blocks;
		t->version += c->stat.version;
		t->comps |= 1u << c->obj.component;
		if (time_cmp(&c->stat.mtime, &t->mtime) > 0)
			t->mtime = c->stat.mtime;
	}
}

static void apply(struct op *op, const struct job *j, struct inode *i, const struct totals *t)
{
	if (j->truncate) {
		ino_touch(op, i, TOUCH_MTIME | TOUCH_CTIME);
		i->size = j->m->n_writers ? MAX(t->size, j->size) : j->size;
	} else {
		if (t->version != i->data_version) {
			if (time_cmp(&t->mtime, &i->mtime) > 0)
				i->mtime = t->mtime;
			if (time_cmp(&t->mtime, &i->ctime) > 0)
				i->ctime = t->mtime;
		}
		/* What was told is not taken back, though objects may have lost it: only truncation makes files shorter. */
		i->size = MAX(t->size, i->size);
	}
	i->blocks = t->blocks;
	i->data_version = t->version;
	if (!(i->flags & INO_WRITING) || (!j->m->n_writers && !j->mt->grace)) {
		i->flags &= ~(uint32_t)INO_WRITING;
		i->comps = t->comps;
	}
	if (j->m->comps_before != COMPS_UNKNOWN)
		j->m->comps_before |= t->comps; /* also if no writer will have written */
	i->dirty = true;
}

/* All objects have answered. */
static void job_answered(void *arg)
{
	struct job *j = arg;
	struct op *op = mop_internal(j->mt);
	struct wp_layout l;
	struct totals t;
	struct inode *i;
	struct key k;
	int err;

	if (j->truncate) {
		key_u64(&k, KEY_QUEUE, j->q);
		osd_txn_del(&op->txn, key_slice(&k));
		reply_cache_half(op, j->session, j->slot, j->xid);
		j->mt->counters.truncates++;
	} else {
		j->mt->counters.settles++;
	}
	err = ino_load(op, &j->fid, &i);
	if (!err)
		err = layout_decode(op->arena, i->extra, &l);
	if (!err) {
		add_up(j, &l, &t);
		apply(op, j, i, &t);
	}
	err = mop_commit_step(op);
	mop_internal_done(op);
	job_end(j, err);
}

/* ---- the start ------------------------------------------------------------------------------------------------------------------------ */

static struct job *job_new(struct meta_target *mt, const struct wp_fid *fid)
{
	struct job *j = NEW(struct job);

	j->mt = mt;
	j->m = minode_get(mt, fid);
	j->fid = *fid;
	weft_assert(!j->m->job);
	j->m->job = j;
	objset_init(&j->set, mt, job_answered, j);
	list_append(&mt->jobs, &j->link);
	return j;
}

static bool may_exist(const struct inode *i, uint32_t component) { return i->comps >> component & 1; }

/* Every object that may exist is asked, or set. */
static void add_calls(struct job *j, const struct inode *i, const struct wp_layout *l)
{
	struct stripe_cut cut = stripe_cut(l, i->flags & INO_WRITING ? STRIPE_END_NONE : i->size, j->size);
	struct stripe_piece p;
	bool more = j->truncate && stripe_cut_next(&cut, &p);

	for (uint32_t c = 0; c < l->components_n; c++)
		for (uint32_t s = 0; s < l->components[c].targets_n; s++) {
			struct wp_objid obj = { .fid = i->fid, .component = (uint16_t)c, .stripe = s };
			bool set = more && p.component == c && p.stripe == s;

			/* Objects that are cut off and cannot exist need not be told. */
			if (set && (p.offset || may_exist(i, c)))
				objset_add(&j->set, WP_OP_OBJ_TRUNCATE, l->components[c].targets[s], obj, p.offset);
			else if (!set && may_exist(i, c))
				objset_add(&j->set, WP_OP_OBJ_STAT, l->components[c].targets[s], obj, 0);
			if (set)
				more = stripe_cut_next(&cut, &p);
		}
}

static int job_prepare(struct job *j)
{
	struct op *op = mop_internal(j->mt);
	struct wp_layout l;
	struct inode *i;
	int err = ino_load(op, &j->fid, &i);

	if (!err)
		err = layout_decode(op->arena, i->extra, &l);
	if (!err)
		add_calls(j, i, &l);
	mop_internal_done(op);
	return err;
}

static void job_start(struct job *j)
{
	j->started = true;
	if (job_prepare(j))
		log_debug("meta", "inode %llx is gone before its size was set", (unsigned long long)j->m->ino);
	objset_start(&j->set);
}

void settle_start(struct meta_target *mt, const struct wp_fid *fid)
{
	struct minode *m = minode_get(mt, fid);

	if (!m->job)
		job_start(job_new(mt, fid));
}

bool truncate_needed(const struct inode *i, uint64_t size)
{
	if (i->flags & INO_WRITING)
		return true;
	return i->size != size || (i->comps && size < i->size);
}

int truncate_start(struct op *op, struct inode *i, uint64_t size)
{
	struct meta_target *mt = op->mt;
	uint8_t v[INTENT_LEN];
	uint16_t slot = op->slot ? (uint16_t)(op->slot - op->ses->slots) : 0;
	uint64_t session = op->slot ? op->ses->id : 0, xid = op->slot ? op->slot->xid : 0;
	struct job *j;
	struct key k;
	int err;

	if (i->size == size && !i->comps)
		return 0;
	v[0] = QUEUE_TRUNCATE;
	wp_put_le64(v + 1, wp_fid_to_ino(&i->fid));
	wp_put_le64(v + 9, size);
	wp_put_le64(v + 17, session);
	wp_put_le16(v + 25, slot);
	wp_put_le64(v + 27, xid);
	key_u64(&k, KEY_QUEUE, mt->next_q);
	osd_txn_put(&op->txn, key_slice(&k), osd_slice(v, sizeof(v)));
	err = mop_commit_step(op);
	if (err)
		return err;
	op->begun = true;
	j = job_new(mt, &i->fid);
	j->truncate = true;
	j->size = size;
	j->session = session;
	j->slot = slot;
	j->xid = xid;
	j->q = mt->next_q++;
	j->index = journal_last(mt->journal);
	mop_wait_job(op, j->m);
	return OP_WAIT;
}

void truncate_resume(struct meta_target *mt, uint64_t q, struct osd_slice v)
{
	const uint8_t *p = v.p;
	struct wp_fid fid;
	struct job *j;

	if (v.len != INTENT_LEN && v.len != INTENT_OLD)
		return;
	fid = wp_ino_to_fid(wp_get_le64(p + 1));
	if (ino_exists(mt, &fid) || minode_get(mt, &fid)->job)
		return; /* removed meanwhile; two at a time do not exist */
	j = job_new(mt, &fid);
	j->truncate = true;
	j->size = wp_get_le64(p + 9);
	j->q = q;
	if (v.len == INTENT_OLD)
		return;
	j->session = wp_get_le64(p + 17);
	j->slot = wp_get_le16(p + 25);
	j->xid = wp_get_le64(p + 27);
}

void jobs_committed(struct meta_target *mt, uint64_t index)
{
	struct job *j, *tmp;

	list_each_safe (j, tmp, &mt->jobs, link)
		if (!j->started && j->index <= index)
			job_start(j);
}

void jobs_free(struct meta_target *mt)
{
	struct job *j;

	while ((j = list_pop(&mt->jobs, struct job, link))) {
		j->m->job = NULL;
		objset_done(&j->set);
		free(j);
	}
}
