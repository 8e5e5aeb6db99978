/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "world.h"

struct order {
	int got[64];
	int n;
	int want;
	bool all;
};

struct numbered {
	struct order *o;
	int id;
	struct env_timer timer;
	struct env_task task;
	struct env_work work;
	struct env *env;
	bool ran;
};

static void note(void *arg)
{
	struct numbered *t = arg;
	struct order *o = t->o;

	o->got[o->n++] = t->id;
	o->all = o->n == o->want;
}

static bool in_order(const struct order *o)
{
	for (int i = 1; i < o->n; i++)
		if (o->got[i] <= o->got[i - 1])
			return false;
	return true;
}

static void timer_order(struct world *w)
{
	static const int ms[] = { 9, 3, 7, 1, 5, 0, 2, 8, 4, 6 };
	struct numbered t[10] = { 0 };
	struct order o = { .want = 10 };
	uint64_t start = env_mono_ns(w->a);

	for (int i = 0; i < 10; i++) {
		t[i] = (struct numbered){ .o = &o, .id = ms[i] };
		t[i].timer = (struct env_timer){ .fn = note, .arg = &t[i] };
		env_timer_arm(w->a, &t[i].timer, start + (uint64_t)ms[i] * NSEC_PER_MSEC);
	}
	ok(world_run(w, &o.all) && in_order(&o), "%s: timers fire in the order of their deadlines", w->name);
	ok(env_mono_ns(w->a) - start >= 9 * NSEC_PER_MSEC, "%s: and not before them", w->name);

	o = (struct order){ .want = 10 };
	for (int i = 0; i < 10; i++) {
		t[i].id = i;
		env_timer_arm(w->a, &t[i].timer, start);
	}
	ok(world_run(w, &o.all) && in_order(&o), "%s: equal deadlines fire in the order of arming", w->name);
}

static void timer_cancel(struct world *w)
{
	struct numbered t[3] = { 0 };
	struct order o = { .want = 2 };

	for (int i = 0; i < 3; i++) {
		t[i] = (struct numbered){ .o = &o, .id = i };
		t[i].timer = (struct env_timer){ .fn = note, .arg = &t[i] };
		env_timer_in(w->a, &t[i].timer, (uint64_t)(i + 1) * NSEC_PER_MSEC);
	}
	env_timer_cancel(w->a, &t[0].timer);
	ok(!env_timer_armed(&t[0].timer) && env_timer_armed(&t[1].timer), "%s: a cancelled timer is not armed", w->name);
	env_timer_cancel(w->a, &t[0].timer);
	env_timer_in(w->a, &t[1].timer, 6 * NSEC_PER_MSEC); /* behind number 2 */
	ok(world_run(w, &o.all), "%s: the others fire", w->name);
	ok(o.got[0] == 2 && o.got[1] == 1, "%s: an armed timer can be moved", w->name);
	ok(!env_timer_armed(&t[1].timer), "%s: a timer that fired is not armed", w->name);
}

void check_timers(struct world *w)
{
	uint64_t a, b;

	timer_order(w);
	timer_cancel(w);
	a = env_random_u64(w->a);
	b = env_random_u64(w->a);
	ok(a != b, "%s: random numbers differ", w->name);
	ok(env_wall_ns(w->a) > 1500000000ull * NSEC_PER_SEC, "%s: the wall clock shows a plausible time", w->name);
}

static void post_again(void *arg)
{
	struct numbered *t = arg;
	struct order *o = t->o;

	o->n++;
	o->all = o->n == o->want;
	if (!o->all)
		env_post(t->env, &t->task);
}

void check_posts(struct world *w)
{
	struct numbered t[5] = { 0 };
	struct order o = { .want = 5 };

	for (int i = 0; i < 5; i++) {
		t[i] = (struct numbered){ .o = &o, .id = i };
		t[i].task = (struct env_task){ .fn = note, .arg = &t[i] };
		env_post(w->a, &t[i].task);
	}
	ok(o.n == 0, "%s: a task does not run inside env_post", w->name);
	ok(world_run(w, &o.all) && in_order(&o), "%s: tasks run in the order of posting", w->name);

	o = (struct order){ .want = 100 };
	t[0].env = w->a;
	t[0].task.fn = post_again;
	env_post(w->a, &t[0].task);
	ok(world_run(w, &o.all), "%s: a task can post itself again", w->name);
}

static void work_run(void *arg)
{
	struct numbered *t = arg;

	t->ran = true;
}

static void work_done(void *arg)
{
	struct numbered *t = arg;
	struct order *o = t->o;

	if (t->ran)
		o->n++;
	o->all = o->n == o->want;
}

void check_work(struct world *w)
{
	struct numbered t[32] = { 0 };
	struct order o = { .want = 32 };

	for (int i = 0; i < 32; i++) {
		t[i] = (struct numbered){ .o = &o, .id = i };
		t[i].work = (struct env_work){ .run = work_run, .done = work_done, .arg = &t[i] };
		env_work(w->a, &t[i].work);
	}
	ok(o.n == 0, "%s: done is not called inside env_work", w->name);
	ok(world_run(w, &o.all), "%s: all works run, then are done", w->name);
}
