/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "env/env_sim.h"

#include "env/sim_priv.h"

#define STEP_MIN_NS 100u
#define STEP_MAX_NS 500u
#define WORK_MAX_NS NSEC_PER_MSEC
#define WALL_ORIGIN_NS (1700000000ull * NSEC_PER_SEC)
#define MONO_ORIGIN_MAX_NS (100000 * NSEC_PER_SEC)
#define PPM 1000000

/* ---- random numbers ------------------------------------------------------------------------------------------------------ */

uint64_t rng_draw(struct sim_rng *r) { return hash_u64(r->state += 0x9e3779b97f4a7c15ull); }

uint64_t sim_draw(struct sim_world *w, uint64_t n) { return rng_draw(&w->rng) % n; }

uint64_t sim_between(struct sim_world *w, uint64_t lo, uint64_t hi)
{
	return hi > lo ? lo + sim_draw(w, hi - lo + 1) : lo;
}

bool sim_ppm(struct sim_world *w, uint32_t ppm) { return ppm && sim_draw(w, PPM) < ppm; }

/* ---- clocks -------------------------------------------------------------------------------------------------------------- */

static uint64_t local_ns(const struct sim_host *h, uint64_t true_ns)
{
	__int128 d = (__int128)true_ns - h->true_base;

	return (uint64_t)(h->local_base + d + d * h->drift_ppm / PPM);
}

/* The first true time at which the host's clock shows at least local. */
static uint64_t true_ns(const struct sim_host *h, uint64_t local)
{
	uint64_t t;

	if (local <= local_ns(h, h->w->now_ns))
		return h->w->now_ns;
	if (local == UINT64_MAX)
		return UINT64_MAX;
	t = (uint64_t)(h->true_base + ((__int128)local - h->local_base) * PPM / (PPM + h->drift_ppm));
	while (local_ns(h, t) < local)
		t++;
	return t;
}

uint64_t sim_wall_ns(const struct sim_host *h) { return local_ns(h, h->w->now_ns) + (uint64_t)h->wall_minus_mono; }

void sim_host_clock(struct sim_host *h, int drift_ppm, int64_t wall_error_ns)
{
	struct sim_process *p;
	uint64_t local = local_ns(h, h->w->now_ns);

	weft_assert(drift_ppm > -PPM / 10 && drift_ppm < PPM / 10);
	h->local_base = local;
	h->true_base = h->w->now_ns;
	h->drift_ppm = drift_ppm;
	h->wall_minus_mono = (int64_t)(WALL_ORIGIN_NS + h->w->now_ns - local) + wall_error_ns;
	list_each(p, &h->processes, node) {
		struct timers old = p->timers;

		p->timers = (struct timers){ .next_order = old.next_order };
		for (size_t i = 1; i <= old.count; i++) {
			old.slots[i].timer->heap_index = 0;
			env_timer_arm(&p->env, old.slots[i].timer, old.slots[i].timer->deadline_ns);
		}
		free(old.slots);
	}
}

static uint64_t op_mono_ns(struct env *env) { return local_ns(sim_process(env)->host, sim_process(env)->host->w->now_ns); }

static uint64_t op_wall_ns(struct env *env) { return sim_wall_ns(sim_process(env)->host); }

static void op_random(struct env *env, void *buf, size_t len)
{
	uint8_t *next = buf;
	uint64_t v;

	while (len) {
		size_t n = MIN(len, sizeof(v));

		v = rng_draw(&sim_process(env)->rng);
		memcpy(next, &v, n);
		next += n;
		len -= n;
	}
}

/* ---- what happens -------------------------------------------------------------------------------------------------------- */

void sim_note_event(struct sim_world *w, enum sim_kind kind, uint64_t who, uint64_t what)
{
	w->trace = hash_u64(w->trace ^ (w->now_ns + 0x9e3779b97f4a7c15ull * (uint64_t)kind));
	w->trace = hash_u64(w->trace + who * 0xff51afd7ed558ccdull + what);
}

void sim_event_at(struct sim_world *w, struct sim_event *e, uint64_t at_ns) { timers_arm(&w->events, &e->timer, at_ns); }

void sim_event_in(struct sim_world *w, struct sim_event *e, uint64_t delay_ns) { sim_event_at(w, e, w->now_ns + delay_ns); }

void sim_event_cancel(struct sim_world *w, struct sim_event *e) { timers_cancel(&w->events, &e->timer); }

/* When the process has something to do. */
static uint64_t process_next_ns(const struct sim_process *p)
{
	return p->tasks ? 0 : timers_next_ns(&p->timers);
}

static void process_step(struct sim_process *p)
{
	struct sim_world *w = p->host->w;
	bool timer = timers_next_ns(&p->timers) <= w->now_ns;
	struct env_timer *tm;
	struct env_task *t = p->tasks;

	if (t && (!timer || sim_draw(w, 2))) {
		p->tasks = t->next;
		if (!p->tasks)
			p->tasks_end = &p->tasks;
		sim_note_event(w, SIM_TASK, p->id, 0);
		t->fn(t->arg);
		return;
	}
	tm = timers_pop(&p->timers, w->now_ns);
	sim_note_event(w, SIM_TIMER, p->id, 0);
	tm->fn(tm->arg);
}

/* Time passes until somebody has something to do; returns how many have, and of those the one to be first (NULL: the world). */
static unsigned next_actor(struct sim_world *w, struct sim_process **ret)
{
	struct sim_host *h;
	struct sim_process *p;
	uint64_t first = timers_next_ns(&w->events);
	unsigned n = 0;

	list_each(h, &w->hosts, node)
		list_each(p, &h->processes, node)
			first = MIN(first, process_next_ns(p));
	if (first == UINT64_MAX)
		return 0;
	w->now_ns = MAX(w->now_ns, first);
	*ret = NULL;
	if (timers_next_ns(&w->events) <= w->now_ns)
		n = 1;
	list_each(h, &w->hosts, node)
		list_each(p, &h->processes, node)
			if (process_next_ns(p) <= w->now_ns && !sim_draw(w, ++n))
				*ret = p;
	return n;
}

bool sim_step(struct sim_world *w)
{
	struct sim_process *p = NULL;
	struct env_timer *t;

	if (!next_actor(w, &p))
		return false;
	w->steps++;
	if (p) {
		process_step(p);
	} else {
		t = timers_pop(&w->events, w->now_ns);
		t->fn(t->arg);
	}
	w->now_ns += sim_between(w, STEP_MIN_NS, STEP_MAX_NS);
	return true;
}

bool sim_run_until(struct sim_world *w, bool (*pred)(void *arg), void *arg, uint64_t max_ns)
{
	uint64_t end = w->now_ns + max_ns;

	while (!pred(arg)) {
		if (w->now_ns >= end || !sim_step(w))
			return false;
	}
	return true;
}

static void end_of_time(void *arg)
{
	bool *over = arg;

	*over = true;
}

void sim_run_for(struct sim_world *w, uint64_t ns)
{
	bool over = false;
	struct sim_event end = { .timer = { .fn = end_of_time, .arg = &over } };

	sim_event_in(w, &end, ns);
	while (!over)
		(void)sim_step(w);
}

uint64_t sim_now_ns(const struct sim_world *w) { return w->now_ns; }
uint64_t sim_steps(const struct sim_world *w) { return w->steps; }
uint64_t sim_trace(const struct sim_world *w) { return w->trace; }

/* ---- timers, tasks, work ------------------------------------------------------------------------------------------------- */

static void op_timer_arm(struct env *env, struct env_timer *t, uint64_t deadline_ns)
{
	struct sim_process *p = sim_process(env);

	if (!p->alive)
		return;
	/* overdue ones keep the order of their deadlines, as on a real machine */
	timers_arm(&p->timers, t, true_ns(p->host, deadline_ns));
	t->deadline_ns = deadline_ns;
}

static void op_timer_cancel(struct env *env, struct env_timer *t) { timers_cancel(&sim_process(env)->timers, t); }

static void op_post(struct env *env, struct env_task *t)
{
	struct sim_process *p = sim_process(env);

	if (!p->alive)
		return;
	t->next = NULL;
	*p->tasks_end = t;
	p->tasks_end = &t->next;
}

/* A work that waits to be run. */
struct sim_work {
	struct list node;
	struct sim_event event;
	struct sim_process *p;
	struct env_work *work;
};

static void work_fire(void *arg)
{
	struct sim_work *s = arg;
	struct sim_process *p = s->p;
	struct env_work *wk = s->work;

	sim_note_event(p->host->w, SIM_WORK_RUN, p->id, 0);
	list_del(&s->node);
	free(s);
	wk->run(wk->arg);
	wk->task = (struct env_task){ .fn = wk->done, .arg = wk->arg };
	env_post(&p->env, &wk->task);
}

static void op_work(struct env *env, struct env_work *wk)
{
	struct sim_process *p = sim_process(env);
	struct sim_work *s;

	if (!p->alive)
		return;
	s = NEW(struct sim_work);
	s->p = p;
	s->work = wk;
	s->event.timer = (struct env_timer){ .fn = work_fire, .arg = s };
	list_append(&p->works, &s->node);
	sim_event_in(p->host->w, &s->event, sim_draw(p->host->w, WORK_MAX_NS));
}

/* ---- world, hosts, processes --------------------------------------------------------------------------------------------- */

static const struct env_ops sim_ops = {
	.name = "sim",
	.mono_ns = op_mono_ns,
	.wall_ns = op_wall_ns,
	.random = op_random,
	.timer_arm = op_timer_arm,
	.timer_cancel = op_timer_cancel,
	.post = op_post,
	.work = op_work,
	.file_open = sim_file_open,
	.file_close = sim_file_close,
	.file_stat = sim_file_stat,
	.file_truncate = sim_file_truncate,
	.file_seek = sim_file_seek,
	.file_io = sim_file_io,
	.path_unlink = sim_path_unlink,
	.path_rename = sim_path_rename,
	.path_mkdir = sim_path_mkdir,
	.dir_list = sim_dir_list,
	.dir_sync = sim_dir_sync,
	.fs_space = sim_fs_space,
	.listen = sim_listen,
	.listener_addr = sim_listener_addr,
	.listener_close = sim_listener_close,
	.connect = sim_connect,
	.conn_start = sim_conn_start,
	.conn_detach = sim_conn_detach,
	.conn_resume = sim_conn_resume,
	.conn_send = sim_conn_send,
	.conn_queued = sim_conn_queued,
	.conn_peer = sim_conn_peer,
	.conn_close = sim_conn_close,
};

struct sim_world *sim_new(uint64_t seed)
{
	struct sim_world *w = NEW(struct sim_world);

	w->rng.state = hash_u64(seed + 1);
	w->trace = seed;
	list_init(&w->hosts);
	list_init(&w->cuts);
	list_init(&w->links);
	w->net = (struct sim_net_params){
		.latency_min_ns = 20000,
		.latency_max_ns = 200000,
		.slow_ppm = 2000,
		.slow_max_ns = 20 * NSEC_PER_MSEC,
		.bytes_per_sec = 1000000000,
		.piece_max = 64 << 10,
		.window = 256 << 10,
		.timeout_ns = 15 * NSEC_PER_SEC,
	};
	return w;
}

void sim_free(struct sim_world *w)
{
	struct sim_host *h;
	struct sim_process *p, *tmp;

	if (!w)
		return;
	list_each(h, &w->hosts, node)
		list_each_safe(p, tmp, &h->processes, node)
			sim_process_free(&p->env);
	sim_net_done(w);
	while ((h = list_pop(&w->hosts, struct sim_host, node))) {
		sim_fs_done(h);
		free(h);
	}
	timers_done(&w->events);
	free(w);
}

struct sim_host *sim_host_new(struct sim_world *w, const char *name)
{
	struct sim_host *h = NEW(struct sim_host);

	weft_assert(str_copy(h->name, sizeof(h->name), name) && !strchr(name, ':'));
	h->w = w;
	h->id = ++w->hosts_n;
	h->reachable = true;
	h->next_port = 40000;
	h->true_base = w->now_ns;
	h->local_base = NSEC_PER_SEC + sim_draw(w, MONO_ORIGIN_MAX_NS);
	h->wall_minus_mono = (int64_t)(WALL_ORIGIN_NS + w->now_ns - h->local_base);
	list_init(&h->processes);
	list_init(&h->listeners);
	h->disk = (struct sim_disk_params){
		.io_min_ns = 10000,
		.io_max_ns = 200000,
		.sync_min_ns = 50000,
		.sync_max_ns = 2 * NSEC_PER_MSEC,
		.slow_ppm = 2000,
		.slow_max_ns = 50 * NSEC_PER_MSEC,
		.capacity = 1ull << 30,
		.sector = 4096,
	};
	sim_fs_init(h);
	list_append(&w->hosts, &h->node);
	return h;
}

const char *sim_host_name(const struct sim_host *h) { return h->name; }

struct env *sim_process_new(struct sim_host *h)
{
	struct sim_process *p = NEW(struct sim_process);

	p->env.ops = &sim_ops;
	p->host = h;
	p->id = ++h->w->processes_n;
	p->alive = true;
	p->rng.state = rng_draw(&h->w->rng);
	p->tasks_end = &p->tasks;
	list_init(&p->works);
	list_init(&p->ios);
	list_init(&p->conns);
	list_init(&p->listeners);
	list_init(&p->files);
	list_init(&p->canceled);
	list_append(&h->processes, &p->node);
	return &p->env;
}

void sim_process_end(struct sim_process *p, bool silent)
{
	struct sim_work *s;

	if (!p->alive)
		return;
	sim_note_event(p->host->w, SIM_KILL, p->id, silent);
	p->alive = false;
	timers_done(&p->timers);
	p->tasks = NULL;
	p->tasks_end = &p->tasks;
	while ((s = list_pop(&p->works, struct sim_work, node))) {
		sim_event_cancel(p->host->w, &s->event);
		free(s);
	}
	sim_ios_drop(p);
	sim_net_process_end(p, silent);
}

void sim_process_kill(struct env *env) { sim_process_end(sim_process(env), false); }
bool sim_process_alive(const struct env *env) { return sim_process(env)->alive; }
struct sim_host *sim_process_host(const struct env *env) { return sim_process(env)->host; }

void sim_process_free(struct env *env)
{
	struct sim_process *p = sim_process(env);

	sim_process_end(p, false);
	sim_net_process_done(p);
	sim_files_done(p);
	list_del(&p->node);
	free(p);
}

void sim_host_power_cut(struct sim_host *h)
{
	struct sim_process *p;

	sim_note_event(h->w, SIM_CUT, h->id, 0);
	list_each(p, &h->processes, node)
		sim_process_end(p, true);
	sim_fs_power_cut(h);
}

void sim_host_set_reachable(struct sim_host *h, bool on) { h->reachable = on; }
void sim_disk_get(const struct sim_host *h, struct sim_disk_params *ret) { *ret = h->disk; }

void sim_disk_set(struct sim_host *h, const struct sim_disk_params *p)
{
	weft_assert(p->sector >= 512 && p->sector <= 4096 && !(p->sector & (p->sector - 1)));
	h->disk = *p;
}

void sim_disk_fail_at(struct sim_host *h, uint64_t k, int err)
{
	h->fail_at = k;
	h->fail_err = err;
}

void sim_net_get(const struct sim_world *w, struct sim_net_params *ret) { *ret = w->net; }
void sim_net_set(struct sim_world *w, const struct sim_net_params *p) { w->net = *p; }
