/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "env/env_sim.h"
#include "io/pool.h"
#include "io/reactor.h"
#include "tap.h"

/* ---- pool ---------------------------------------------------------------------------------------------------------------- */

static void pool(void)
{
	struct sim_world *w = sim_new(1);
	struct env *env = sim_process_new(sim_host_new(w, "alpha"));
	struct io_pool *p = io_pool_new(env);
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
	for (int round = 0; round < 3; round++) {
		void *big[20];

		for (unsigned k = 0; k < ARRAY_SIZE(big); k++)
			big[k] = io_buf_get(p, IO_BUF_MAX - k);
		for (unsigned k = 0; k < ARRAY_SIZE(big); k++)
			io_buf_put(p, big[k], IO_BUF_MAX - k);
	}
	is_int(io_pool_kept(p), IO_POOL_KEEP, "keeps no more than its limit");
	io_buf_put(p, NULL, 0);
	sim_run_for(w, 10 * NSEC_PER_SEC);
	ok(!sim_step(w), "an idle pool does not wake anybody");
	io_pool_free(p);
	sim_free(w);
}

/* ---- reactors ------------------------------------------------------------------------------------------------------------ */

#define REACTORS 3u
#define HOPS 10000u

struct ring {
	struct io_reactors *set;
	struct env_task task;
	unsigned hops, tells, wrong; /* whoever has the message */
};

static void told(void *arg)
{
	struct ring *g = arg;

	g->tells++;
}

static void hop(void *arg)
{
	struct ring *g = arg;
	unsigned n = ++g->hops;

	if (n == HOPS)
		io_reactors_stop(g->set);
	else
		env_post(io_reactors_get(g->set, n % REACTORS)->env, &g->task);
}

static void hop_first(void *arg)
{
	struct ring *g = arg;

	g->wrong += g->tells != 2; /* in the order of the calls */
	hop(g);
}

static void ring_make(struct ring *g)
{
	int r = io_reactors_new(REACTORS, "test", &g->set);

	if (r < 0)
		skip_all(env_linux_strerror(r));
	g->hops = g->tells = 0;
	g->task = (struct env_task){ .fn = hop, .arg = g };
	/* the message starts when they do */
	io_tell(io_reactors_get(g->set, 0)->env, told, g);
	io_tell(io_reactors_get(g->set, 0)->env, told, g);
	io_tell(io_reactors_get(g->set, 0)->env, hop_first, g);
}

static void reactors(void)
{
	struct ring g = { 0 };

	ring_make(&g);
	is_int(io_reactors_count(g.set), REACTORS, "three reactors");
	is_int(g.tells, 0, "nothing runs yet");
	is_int(io_reactors_start(g.set), 0, "they start");
	io_reactors_join(g.set);
	is_int(g.hops, HOPS, "a message goes round");
	is_int(g.wrong, 0, "messages keep their order");
	io_reactors_free(g.set);

	ring_make(&g);
	is_int(io_reactors_run(g.set), 0, "the first one on the caller's thread");
	is_int(g.hops, HOPS, "a message goes round, and all have ended");
	io_reactors_free(g.set);

	is_int(io_reactors_new(REACTORS, "test", &g.set), 0, "made");
	io_reactors_free(g.set);
	ok(true, "and freed without having run");
}

int main(void)
{
	pool();
	reactors();
	return done_testing();
}
