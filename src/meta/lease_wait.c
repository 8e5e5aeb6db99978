/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Ops that wait for leases to be given back, inodes that are wanted by many, and what time does to leases.
 *
 *	lease_want -> parked -> (the last answer) -> ready -> mop_run
 *
 * Between the answer and the run nothing of the inode is granted, so the op finds what it waited for.
 */
#include "base/log.h"
#include "meta/meta_priv.h"

#define CONTEND_CONFLICTS 4u
#define CONTEND_WINDOW_NS NSEC_PER_SEC
#define BACKOFF_MIN_NS (250 * NSEC_PER_MSEC)
#define BACKOFF_MAX_NS (8 * NSEC_PER_SEC)
#define SWEEP 4u /* forgotten per new one: so the table does not grow for ever */

/* One op waiting for one inode. In the op's arena. */
struct lease_wait {
	struct list link; /* lease_hot.waits */
	struct list mine; /* op.lease_waits */
	struct op *op;
	struct lease_hot *hot;
	bool done;
};

/* ---- hot inodes ------------------------------------------------------------------------------------------------------------------ */

struct lease_hot *lease_hot_find(struct meta_target *mt, uint64_t ino)
{
	struct htab_node *n;

	htab_each_match (n, &mt->leases.hot, hash_u64(ino)) {
		struct lease_hot *h = container_of(n, struct lease_hot, node);

		if (h->ino == ino)
			return h;
	}
	return NULL;
}

static void hot_free(struct meta_target *mt, struct lease_hot *h)
{
	htab_del(&mt->leases.hot, &h->node);
	list_del(&h->link);
	free(h);
}

static void sweep(struct meta_target *mt)
{
	uint64_t now = env_mono_ns(mt->env);

	for (unsigned n = 0; n < SWEEP && !list_empty(&mt->leases.hot_list); n++) {
		struct lease_hot *h = list_first(&mt->leases.hot_list, struct lease_hot, link);

		if (h->pending || !list_empty(&h->waits) || now < MAX(h->window_ns, h->until_ns) + 2 * BACKOFF_MAX_NS)
			return;
		hot_free(mt, h);
	}
}

struct lease_hot *lease_hot_get(struct meta_target *mt, uint64_t ino)
{
	struct lease_hot *h = lease_hot_find(mt, ino);

	if (h)
		return h;
	sweep(mt);
	h = NEW(struct lease_hot);
	h->ino = ino;
	list_init(&h->waits);
	htab_add(&mt->leases.hot, &h->node, hash_u64(ino));
	list_append(&mt->leases.hot_list, &h->link);
	return h;
}

/* Four conflicts within a second: no grants for a while, the longer the more often that happens. */
void lease_hot_conflict(struct meta_target *mt, struct lease_hot *h)
{
	uint64_t now = env_mono_ns(mt->env);

	list_del(&h->link);
	list_append(&mt->leases.hot_list, &h->link);
	if (!h->conflicts || now - h->window_ns > CONTEND_WINDOW_NS) {
		h->window_ns = now;
		h->conflicts = 0;
	}
	if (++h->conflicts < CONTEND_CONFLICTS)
		return;
	h->conflicts = 0;
	/* A time of quiet as long as the last one halves it. */
	for (uint64_t end = h->until_ns; h->backoff_ns > BACKOFF_MIN_NS && now > end + h->backoff_ns; h->backoff_ns /= 2)
		end += h->backoff_ns;
	h->backoff_ns = MAX(h->backoff_ns, BACKOFF_MIN_NS);
	h->until_ns = now + h->backoff_ns;
	h->backoff_ns = MIN(h->backoff_ns * 2, BACKOFF_MAX_NS);
	mt->counters.lease_contended++;
}

bool lease_hot_cool(struct meta_target *mt, uint64_t ino)
{
	const struct lease_hot *h = lease_hot_find(mt, ino);

	return !h || (!h->pending && list_empty(&h->waits) && env_mono_ns(mt->env) >= h->until_ns);
}

/* ---- waiting ---------------------------------------------------------------------------------------------------------------------- */

/* From the event loop: whoever answered last may be in the middle of something. */
static void run_ready(void *arg)
{
	struct meta_target *mt = arg;
	struct op *op;

	OBJ_CHECK(mt, META_MAGIC);
	while ((op = list_pop(&mt->leases.ready, struct op, link)))
		mop_run(op);
}

static void make_ready(struct op *op)
{
	struct lease_tab *t = &op->mt->leases;

	list_del(&op->link);
	list_append(&t->ready, &op->link);
	if (!env_timer_armed(&t->run_timer))
		env_timer_in(op->mt->env, &t->run_timer, 0);
}

void lease_hot_answered(struct meta_target *mt, uint64_t ino)
{
	struct lease_hot *h = lease_hot_find(mt, ino);
	struct lease_wait *w;

	weft_assert(h && h->pending);
	if (--h->pending)
		return;
	list_each (w, &h->waits, link)
		if (!w->done) {
			w->done = true;
			if (!--w->op->lease_pending)
				make_ready(w->op);
		}
}

void lease_park(struct op *op, struct lease_hot *h)
{
	struct lease_wait *w;

	list_each (w, &op->lease_waits, mine)
		if (w->hot == h)
			return;
	w = arena_zalloc(op->arena, sizeof(*w));
	w->op = op;
	w->hot = h;
	list_append(&h->waits, &w->link);
	list_append(&op->lease_waits, &w->mine);
	if (op->lease_pending++)
		return;
	op->mt->counters.lease_waits++;
	list_del(&op->link);
	list_append(&op->mt->leases.parked, &op->link);
}

void lease_unwait(struct op *op)
{
	struct lease_wait *w;

	if (list_empty(&op->lease_waits))
		return;
	while ((w = list_pop(&op->lease_waits, struct lease_wait, mine)))
		list_del(&w->link);
	op->lease_pending = 0;
	list_del(&op->link);
}

void lease_park_restart(struct op *op)
{
	if (!list_empty(&op->link))
		return;
	op->mt->counters.lease_waits++;
	list_append(&op->mt->leases.restart_ops, &op->link);
}

/* ---- time -------------------------------------------------------------------------------------------------------------------------- */

static void restart_check(struct meta_target *mt)
{
	struct lease_tab *t = &mt->leases;

	if (!t->restarted || (t->away && env_mono_ns(mt->env) < t->restart_end_ns))
		return;
	t->restarted = false;
	while (!list_empty(&t->restart_ops))
		make_ready(list_first(&t->restart_ops, struct op, link));
}

void lease_session_back(struct meta_target *mt, struct session *s)
{
	if (!s->lease_away)
		return;
	s->lease_away = false;
	mt->leases.away--;
	restart_check(mt);
}

/* When something of s has to be done; UINT64_MAX: it was. */
static uint64_t check_session(struct meta_target *mt, struct session *s, uint64_t now)
{
	uint64_t limit = mt->leases.limit_ns, next = s->seen_ns + limit;
	uint32_t age, patient;

	if (now >= next) {
		if (s->doomed)
			session_end(mt, s);
		else
			lease_session_void(mt, s);
		return UINT64_MAX;
	}
	if (s->doomed || list_empty(&s->recalls))
		return next;
	age = (uint32_t)(now / 1000) - list_first(&s->recalls, struct lease, link)->when_us;
	patient = (uint32_t)(now / 1000) - s->patience_us;
	age = MIN(age, patient);
	if (age >= limit / 1000) {
		session_doom(mt, s, "does not answer recalls of leases");
		return next;
	}
	return MIN(next, now + limit - age * 1000ull);
}

static void tick(void *arg)
{
	struct meta_target *mt = arg;
	uint64_t now = env_mono_ns(mt->env), next = UINT64_MAX;
	struct session *s, *tmp;

	OBJ_CHECK(mt, META_MAGIC);
	if (mt->state != META_RUNNING)
		return;
	mt->leases.timer_at = UINT64_MAX;
	restart_check(mt);
	if (mt->leases.restarted)
		next = mt->leases.restart_end_ns;
	list_each_safe (s, tmp, &mt->leases.recalling, recalling) {
		uint64_t at = check_session(mt, s, now);

		next = MIN(next, at);
	}
	if (next != UINT64_MAX)
		lease_timer_by(mt, next);
}

void lease_timer_by(struct meta_target *mt, uint64_t deadline_ns)
{
	struct lease_tab *t = &mt->leases;

	if (t->timer_at <= deadline_ns)
		return;
	t->timer_at = deadline_ns;
	env_timer_arm(mt->env, &t->timer, deadline_ns + NSEC_PER_MSEC);
}

/* ---- life --------------------------------------------------------------------------------------------------------------------------- */

void lease_init(struct meta_target *mt)
{
	struct lease_tab *t = &mt->leases;

	htab_init(&t->own);
	htab_init(&t->inodes);
	htab_init(&t->hot);
	list_init(&t->hot_list);
	list_init(&t->parked);
	list_init(&t->ready);
	list_init(&t->restart_ops);
	list_init(&t->recalling);
	list_init(&t->unsent);
	t->limit_ns = mt->params.lease_ms * NSEC_PER_MSEC / 4 * 5;
	t->max = mt->params.leases_max;
	t->timer_at = UINT64_MAX;
	t->timer = (struct env_timer){ .fn = tick, .arg = mt };
	t->run_timer = (struct env_timer){ .fn = run_ready, .arg = mt };
}

/* Clients of before may use what the target had granted then: until they are back, or until it has run out. */
void lease_start(struct meta_target *mt)
{
	struct lease_tab *t = &mt->leases;
	struct session *s;

	list_each (s, &mt->all_sessions, link) {
		s->lease_seq = mt->boot_epoch << 40;
		s->lease_away = s->leases;
		t->away += s->leases;
	}
	if (!t->away)
		return;
	t->restarted = true;
	t->restart_end_ns = env_mono_ns(mt->env) + t->limit_ns;
	lease_timer_by(mt, t->restart_end_ns);
}

static void cancel_all(struct list *ops)
{
	struct op *op;

	while ((op = list_pop(ops, struct op, link)))
		mop_finish(op, -ECANCELED);
}

void lease_cancel(struct meta_target *mt)
{
	struct lease_tab *t = &mt->leases;

	cancel_all(&t->parked);
	cancel_all(&t->restart_ops);
	cancel_all(&t->ready);
	env_timer_cancel(mt->env, &t->timer);
	env_timer_cancel(mt->env, &t->run_timer);
}

void lease_free(struct meta_target *mt)
{
	struct lease_tab *t = &mt->leases;
	struct session *s;

	list_each (s, &mt->all_sessions, link)
		(void)lease_session_drop(mt, s);
	while (!list_empty(&t->hot_list))
		hot_free(mt, list_first(&t->hot_list, struct lease_hot, link));
	htab_done(&t->own);
	htab_done(&t->inodes);
	htab_done(&t->hot);
}
