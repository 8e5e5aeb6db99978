/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Power cuts in a simulated world: what was committed is replayed, in order and unchanged, whatever the disk tore. */
#include "base/log.h"
#include "env/env_sim.h"
#include "journal/journal.h"
#include "tap.h"

struct run {
	struct sim_world *sim;
	struct sim_host *host;
	struct env *env;
	struct journal *j;
	uint64_t committed, replayed, trimmed;
	int opened;
	bool bad;
};

/* What an entry holds follows from its index alone: appends of lost entries are made again alike. */
static size_t payload(uint64_t index, uint8_t *p)
{
	size_t len = index * 7919 % 3000;

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(index * 31 + i);
	return len;
}

static int replay(void *arg, uint64_t index, const void *p, size_t len)
{
	struct run *r = arg;
	uint8_t want[3000];

	r->bad |= index != r->replayed + 1 || payload(index, want) != len || memcmp(want, p, len);
	r->replayed = index;
	return 0;
}

static void opened(void *arg, int err) { ((struct run *)arg)->opened = err; }

static void committed(void *arg, uint64_t index)
{
	struct run *r = arg;

	r->bad |= index <= r->committed;
	r->committed = index;
}

static void failed(void *arg, int err) { ((struct run *)arg)->bad = true; }

static bool start(struct run *r)
{
	struct journal_params p = { .dir = "journal", .segment_bytes = 65536, .applied = r->trimmed, .replay = replay,
				    .opened = opened, .committed = committed, .failed = failed, .arg = r };

	r->env = sim_process_new(r->host);
	p.env = r->env;
	r->opened = 1;
	r->replayed = r->trimmed;
	if (journal_open(&p, &r->j))
		return false;
	while (r->opened == 1 && sim_step(r->sim))
		;
	return r->opened == 0;
}

static void run(uint64_t seed)
{
	struct run r = { .sim = sim_new(seed) };
	uint8_t p[3000];

	r.host = sim_host_new(r.sim, "host");
	for (int life = 0; life < 12; life++) {
		uint64_t n = 1 + sim_draw(r.sim, 120);

		if (!ok_quiet(start(&r), "seed %llu life %d: opens: %d", (unsigned long long)seed, life, r.opened))
			break;
		ok_quiet(!r.bad && r.replayed >= r.committed, "seed %llu life %d: %llu were committed, %llu replayed",
			 (unsigned long long)seed, life, (unsigned long long)r.committed, (unsigned long long)r.replayed);
		r.committed = journal_durable(r.j);
		while (n--) {
			size_t len = payload(journal_last(r.j) + 1, p);

			if (journal_append(r.j, p, len))
				break;
			for (uint64_t k = sim_draw(r.sim, 3); k; k--)
				sim_step(r.sim);
			if (sim_draw(r.sim, 20) == 0 && r.committed > 30) {
				r.trimmed = MAX(r.trimmed, r.committed - 30);
				journal_trim(r.j, r.trimmed);
			}
		}
		sim_host_power_cut(r.host);
		journal_free(r.j);
		sim_process_free(r.env);
	}
	sim_free(r.sim);
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1, n = argc > 2 ? strtoull(argv[2], NULL, 0) : 60;

	log_setup("test", LOG_ERR);
	for (uint64_t s = seed; s < seed + n; s++)
		run(s);
	ok(true, "%llu seeds of power cuts", (unsigned long long)n);
	return done_testing();
}
