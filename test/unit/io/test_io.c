/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <sched.h>
#include <stdatomic.h>

#include "env/env_sim.h"
#include "io/reactor.h"
#include "tap.h"

/* ---- pool ---------------------------------------------------------------------------------------------------------------- */

static void pool(void)
{
	struct sim_world *w = sim_new(1);
	struct env *env = sim_process_new(sim_host_new(w, "alpha"));
	struct io_pool *p = io_pool_new(env, 10 << 20);
	static const size_t sizes[] = { 1, 4096, 4097, 8192, 100000, 1 << 20, (1 << 20) + 1, 4 << 20 };
	void *bufs[8], *again;
	bool aligned = true;

	for (int i = 0; i < 8; i++) {
		bufs[i] = io_buf_get(p, sizes[i]);
		aligned &= bufs[i] && !((uintptr_t)bufs[i] % 4096);
		if (bufs[i])
			memset(bufs[i], i, sizes[i]);
	}
	ok(aligned, "buffers are aligned");
	ok(!io_buf_get(p, 4 << 20), "not more than the limit");
	for (int i = 0; i < 8; i++)
		io_buf_put(p, bufs[i], sizes[i]);
	ok(io_pool_used(p) == 0 && io_pool_kept(p) > 7 << 20, "what is put back is kept");
	again = io_buf_get(p, 3 << 20);
	ok(again == bufs[7], "and used again");
	sim_run_for(w, 10 * NSEC_PER_SEC);
	is_int(io_pool_kept(p), 0, "what is not needed goes back to the system");
	is_int(io_pool_used(p), 4 << 20, "what is in use stays");
	io_buf_put(p, again, 3 << 20);
	sim_run_for(w, 10 * NSEC_PER_SEC);
	is_int(io_pool_kept(p), 0, "also later");
	ok(!sim_step(w), "an idle pool does not wake anybody");
	io_pool_free(p);
	sim_free(w);
}

/* ---- reactors ------------------------------------------------------------------------------------------------------------ */

struct shared {
	atomic_int inits, dones, hops;
	int fail_at;
	struct io_reactors *set;
	struct env_task task;
	atomic_bool arrived;
};

static int init(void *arg, struct io_reactor *r)
{
	struct shared *s = arg;

	s->inits++;
	r->priv = s;
	return (int)r->index + 1 == s->fail_at ? -EXDEV : 0;
}

static void done(void *arg, struct io_reactor *r)
{
	struct shared *s = arg;

	s->dones++;
}

static void hop(void *arg)
{
	struct shared *s = arg;
	int n = ++s->hops;

	if (n == 10000)
		s->arrived = true;
	else
		env_post(io_reactors_get(s->set, (unsigned)n % 3)->env, &s->task);
}

static void start_hopping(void *arg)
{
	struct shared *s = arg;

	s->task = (struct env_task){ .fn = hop, .arg = s };
	hop(s);
}

static void look(void *arg)
{
	struct shared *s = arg;

	s->hops = -1;
}

static void reactors(void)
{
	struct shared s = { 0 };
	struct io_reactors_params p = { .n = 3, .name = "test", .pin = true, .init = init, .done = done, .arg = &s };
	int r = io_reactors_start(&p, &s.set);

	if (r < 0)
		skip_all(env_linux_strerror(r));
	ok(s.inits == 3 && s.dones == 0 && io_reactors_count(s.set) == 3, "three reactors start");
	io_reactor_call(io_reactors_get(s.set, 0), start_hopping, &s);
	while (!s.arrived)
		sched_yield();
	is_int(s.hops, 10000, "a message goes round");
	io_reactor_call(io_reactors_get(s.set, 2), look, &s);
	is_int(s.hops, -1, "a call returns when it is done");
	io_reactors_stop(s.set);
	is_int(s.dones, 3, "three reactors stop");

	s.inits = s.dones = 0;
	s.fail_at = 2;
	is_int(io_reactors_start(&p, &s.set), -EXDEV, "an error of one init is told");
	ok(s.inits == 3 && s.dones == 2, "those that had started are done");
}

int main(void)
{
	pool();
	reactors();
	return done_testing();
}
