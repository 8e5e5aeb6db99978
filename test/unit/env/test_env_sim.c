/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <fcntl.h>

#include "env/env_sim.h"
#include "world.h"

static void sim_world_step(struct world *w)
{
	if (!sim_step(w->priv))
		sim_run_for(w->priv, NSEC_PER_MSEC);
}

static void all_checks(uint64_t seed)
{
	struct sim_world *s = sim_new(seed);
	struct sim_host *alpha = sim_host_new(s, "alpha"), *beta = sim_host_new(s, "beta");
	struct world w = {
		.name = "sim", .a = sim_process_new(alpha), .b = sim_process_new(beta), .step = sim_world_step,
		.listen_addrs = { "sim:alpha:0", "sim:alpha:77" }, .refused_addr = "sim:alpha:5", .dir = "/data", .priv = s,
	};

	sim_host_clock(beta, 500, -3 * (int64_t)NSEC_PER_SEC);
	is_int(w.a->ops->path_mkdir(w.a, "/data", 0700), 0, "mkdir");
	check_timers(&w);
	check_posts(&w);
	check_work(&w);
	check_files(&w);
	check_dirs(&w);
	check_streams(&w);
	check_stream_ends(&w);
	sim_free(s);
}

/* ---- a small program that does a bit of everything ----------------------------------------------------------------------- */

#define BLOCK 5000

struct program {
	struct env *env;
	struct env_file *f;
	struct env_io io;
	struct iovec iov;
	struct env_timer timer;
	struct env_conn *c;
	struct env_send send;
	unsigned ticks, writes, synced, got, closed;
	int closed_err;
	bool busy, syncing, sending;
	uint8_t buf[BLOCK], in[1000];
};

static void next_io(struct program *p);

static void io_done(struct env_io *io)
{
	struct program *p = io->arg;

	if (p->syncing)
		p->synced = p->writes;
	else
		p->writes++;
	p->syncing = !p->syncing;
	next_io(p);
}

/* Block i is filled with i + 1. */
static void next_io(struct program *p)
{
	p->iov = (struct iovec){ p->buf, BLOCK };
	p->io = (struct env_io){ .file = p->f, .done = io_done, .arg = p };
	if (p->syncing) {
		p->io.op = ENV_IO_FDATASYNC;
	} else {
		memset(p->buf, (int)(p->writes + 1), BLOCK);
		p->io.op = ENV_IO_WRITE;
		p->io.iov = &p->iov;
		p->io.iov_n = 1;
		p->io.offset = (uint64_t)p->writes * BLOCK;
	}
	env_file_io(p->env, &p->io);
}

static size_t space(void *arg, void **ptr)
{
	struct program *p = arg;

	*ptr = p->in;
	return sizeof(p->in);
}

static void received(void *arg, size_t n)
{
	struct program *p = arg;

	p->got += (unsigned)n;
}

static void closed(void *arg, int err)
{
	struct program *p = arg;

	p->closed++;
	p->sending = false;
	p->closed_err = err;
	p->c = NULL;
}

static void connected(void *arg, int err)
{
	struct program *p = arg;

	if (err)
		closed(arg, err);
	else
		p->sending = true;
}

static const struct env_conn_handler handler = { connected, space, received, closed };

static void accepted(void *arg, struct env_conn *c)
{
	struct program *p = arg;

	p->c = c;
	p->env->ops->conn_start(p->env, c, &handler, p);
}

static void tick(void *arg)
{
	struct program *p = arg;

	p->ticks++;
	if (p->c && p->sending && !p->env->ops->conn_queued(p->c)) {
		p->send = (struct env_send){ .iov = { { p->buf, 100 + env_random_u64(p->env) % 900 } }, .iov_n = 1 };
		p->env->ops->conn_send(p->c, &p->send);
	}
	env_timer_in(p->env, &p->timer, NSEC_PER_MSEC + env_random_u64(p->env) % NSEC_PER_MSEC);
}

static void program_start(struct program *p, struct env *env)
{
	*p = (struct program){ .env = env };
	p->timer = (struct env_timer){ .fn = tick, .arg = p };
	if (env->ops->file_open(env, "log", O_RDWR | O_CREAT, 0600, &p->f) < 0)
		bail_out("log");
	next_io(p);
	tick(p);
}

struct pair {
	struct sim_world *s;
	struct sim_host *alpha, *beta;
	struct program a, b;
	struct env_listener *l;
};

static void pair_start(struct pair *t, uint64_t seed)
{
	*t = (struct pair){ .s = sim_new(seed) };
	t->alpha = sim_host_new(t->s, "alpha");
	t->beta = sim_host_new(t->s, "beta");
	program_start(&t->a, sim_process_new(t->alpha));
	program_start(&t->b, sim_process_new(t->beta));
	if (t->a.env->ops->listen(t->a.env, "sim:alpha:1", accepted, &t->a, &t->l) < 0 ||
	    t->b.env->ops->connect(t->b.env, "sim:alpha:1", &handler, &t->b, &t->b.c) < 0)
		bail_out("network");
}

static uint64_t traced(uint64_t seed)
{
	struct pair t;
	struct sim_net_params net;
	uint64_t trace;

	pair_start(&t, seed);
	sim_net_get(t.s, &net);
	net.break_ppm = 10000;
	sim_net_set(t.s, &net);
	sim_run_for(t.s, 500 * NSEC_PER_MSEC);
	sim_host_power_cut(t.beta);
	sim_run_for(t.s, 500 * NSEC_PER_MSEC);
	trace = sim_trace(t.s);
	sim_free(t.s);
	return trace;
}

static void determinism(void)
{
	ok(traced(1) == traced(1), "the same seed gives the same run");
	ok(traced(1) != traced(2), "another seed gives another");
}

/* ---- partitions ---------------------------------------------------------------------------------------------------------- */

static void partition(void)
{
	struct pair t;
	unsigned got;

	pair_start(&t, 5);
	sim_run_for(t.s, 100 * NSEC_PER_MSEC);
	ok(t.a.got > 0, "bytes flow");
	sim_partition(t.s, t.beta, t.alpha, true);
	sim_run_for(t.s, 50 * NSEC_PER_MSEC);
	got = t.a.got;
	sim_run_for(t.s, NSEC_PER_SEC);
	is_int(t.a.got, got, "nothing passes a partition");
	sim_partition(t.s, t.beta, t.alpha, false);
	sim_run_for(t.s, NSEC_PER_SEC);
	ok(t.a.got > got && !t.a.closed && !t.b.closed, "a short one does not break the connection");

	sim_partition(t.s, t.alpha, t.beta, true);
	got = t.a.got;
	sim_run_for(t.s, 5 * NSEC_PER_SEC);
	ok(t.a.got > got, "a one-way partition lets the other direction pass");
	sim_run_for(t.s, 40 * NSEC_PER_SEC);
	ok(t.a.closed == 1 && t.b.closed == 1, "a long one breaks it for both");
	is_int(t.b.closed_err, -ETIMEDOUT, "as timed out");
	is_int(t.b.env->ops->connect(t.b.env, "sim:alpha:1", &handler, &t.b, &t.b.c), 0, "connect");
	sim_run_for(t.s, 10 * NSEC_PER_SEC);
	is_int(t.b.closed, 2, "no connection comes about");
	sim_heal(t.s);
	is_int(t.b.env->ops->connect(t.b.env, "sim:alpha:1", &handler, &t.b, &t.b.c), 0, "connect");
	got = t.a.got;
	sim_run_for(t.s, NSEC_PER_SEC);
	ok(t.a.got > got, "healed, it does");
	sim_process_kill(t.a.env);
	sim_run_for(t.s, NSEC_PER_SEC);
	is_int(t.b.closed, 3, "the death of a process ends its connections");
	got = t.a.ticks;
	sim_run_for(t.s, NSEC_PER_SEC);
	is_int(t.a.ticks, got, "and its timers");
	is_int(t.b.env->ops->connect(t.b.env, "sim:alpha:1", &handler, &t.b, &t.b.c), 0, "connect");
	sim_run_for(t.s, NSEC_PER_SEC);
	is_int(t.b.closed_err, -ECONNREFUSED, "nobody listens any more");
	sim_free(t.s);
}

/* ---- power cuts ---------------------------------------------------------------------------------------------------------- */

struct reader {
	struct env_io io;
	bool done;
};

static void reader_done(struct env_io *io)
{
	struct reader *r = io->arg;

	r->done = true;
}

static int64_t do_io(struct sim_world *s, struct env *env, struct env_io io)
{
	struct reader r = { .io = io };

	r.io.done = reader_done;
	r.io.arg = &r;
	env_file_io(env, &r.io);
	while (!r.done)
		if (!sim_step(s))
			bail_out("an operation does not end");
	return r.io.result;
}

static int64_t rw(struct sim_world *s, struct env *env, enum env_io_op op, struct env_file *f, void *p, size_t len, uint64_t at,
		  uint32_t flags)
{
	struct iovec iov = { p, len };

	return do_io(s, env, (struct env_io){ .op = op, .file = f, .iov = &iov, .iov_n = 1, .offset = at, .flags = flags });
}

struct tally {
	unsigned lost_all, kept_all, between, missing;
};

/* Everything synced is there; of the rest each 4 KiB sector is old or new. */
static void one_cut(uint64_t seed, struct tally *n)
{
	struct pair t;
	struct env *env;
	struct env_file *f;
	struct env_stat st = { 0 };
	uint8_t buf[BLOCK];
	unsigned whole = 0;
	int r;

	pair_start(&t, seed);
	is_int(t.a.env->ops->dir_sync(t.a.env, "/"), 0, "dir_sync");
	sim_run_for(t.s, 20 * NSEC_PER_MSEC + seed * 7777);
	sim_host_power_cut(t.alpha);
	sim_host_power_cut(t.beta);
	env = sim_process_new(t.alpha);
	r = env->ops->file_open(env, "log", O_RDWR, 0, &f);
	if (!ok_quiet(!r, "a synced name survives (seed %llu)", (unsigned long long)seed))
		bail_out("lost");
	for (;; whole++) {
		int64_t got = rw(t.s, env, ENV_IO_READ, f, buf, BLOCK, (uint64_t)whole * BLOCK, 0);
		bool good = got == BLOCK;

		for (int i = 0; i < BLOCK && good; i++)
			good = buf[i] == (uint8_t)(whole + 1);
		if (!good)
			break;
	}
	(void)env->ops->file_stat(env, f, &st);
	ok_quiet(whole >= t.a.synced, "what was synced is whole: %u of %u (seed %llu)", whole, t.a.synced,
		 (unsigned long long)seed);
	ok_quiet(st.size <= (uint64_t)(t.a.writes + 1) * BLOCK, "nothing appears from nowhere");
	n->kept_all += whole > t.a.synced;
	n->lost_all += st.size == (uint64_t)t.a.synced * BLOCK;
	n->between += st.size > (uint64_t)whole * BLOCK;
	/* the other host never synced its folder */
	env = sim_process_new(t.beta);
	r = env->ops->file_open(env, "log", O_RDWR, 0, &f);
	n->missing += r == -ENOENT;
	sim_free(t.s);
}

static void power_cuts(void)
{
	struct tally n = { 0 };

	for (uint64_t seed = 0; seed < 200; seed++)
		one_cut(seed, &n);
	ok(n.kept_all && n.lost_all && n.between, "unsynced data is kept (%u), lost (%u) or torn (%u)", n.kept_all, n.lost_all,
	   n.between);
	ok(n.missing > 50 && n.missing < 200, "unsynced names are often lost (%u)", n.missing);
}

static void durable_writes(void)
{
	struct sim_world *s = sim_new(9);
	struct sim_host *h = sim_host_new(s, "alpha");
	struct env *env = sim_process_new(h);
	struct env_file *f;
	struct env_stat st;
	char buf[10000];
	bool bad = false;

	memset(buf, 'a', sizeof(buf));
	is_int(env->ops->file_open(env, "f", O_RDWR | O_CREAT, 0600, &f), 0, "open");
	is_int(env->ops->dir_sync(env, "."), 0, "dir_sync");
	is_int(rw(s, env, ENV_IO_WRITE, f, buf, sizeof(buf), 0, ENV_IO_DSYNC), sizeof(buf), "durable write");
	for (int i = 0; i < 30; i++) {
		memset(buf, 'b' + i % 20, sizeof(buf));
		is_int(rw(s, env, ENV_IO_WRITE, f, buf, 4000, 2000, ENV_IO_DSYNC), 4000, "durable write");
		is_int(rw(s, env, ENV_IO_WRITE, f, buf, 100, 9000, 0), 100, "another write");
		sim_host_power_cut(h);
		env = sim_process_new(h);
		is_int(env->ops->file_open(env, "f", O_RDWR, 0, &f), 0, "open");
		is_int(env->ops->file_stat(env, f, &st), 0, "stat");
		is_int((long long)st.size, sizeof(buf), "the size stays");
		is_int(rw(s, env, ENV_IO_READ, f, buf, sizeof(buf), 0, 0), sizeof(buf), "read");
		for (int k = 2000; k < 6000; k++)
			bad |= buf[k] != 'b' + i % 20;
	}
	ok(!bad, "a durable write survives every power cut");
	sim_free(s);
}

/* A new file is written and synced under a temporary name, then renamed: after a power cut it is the old or the new one. */
static void renames(void)
{
	unsigned old = 0, fresh = 0;

	for (uint64_t seed = 0; seed < 60; seed++) {
		struct sim_world *s = sim_new(seed);
		struct sim_host *h = sim_host_new(s, "alpha");
		struct env *env = sim_process_new(h);
		struct env_file *f;
		char buf[2] = "1", c = '?';

		(void)env->ops->path_mkdir(env, "d", 0700);
		(void)env->ops->file_open(env, "d/f", O_RDWR | O_CREAT, 0600, &f);
		(void)rw(s, env, ENV_IO_WRITE, f, buf, 1, 0, ENV_IO_DSYNC);
		(void)env->ops->dir_sync(env, "d");
		(void)env->ops->dir_sync(env, "/");
		(void)env->ops->file_open(env, "d/t", O_RDWR | O_CREAT, 0600, &f);
		buf[0] = '2';
		(void)rw(s, env, ENV_IO_WRITE, f, buf, 1, 0, ENV_IO_DSYNC);
		(void)env->ops->path_rename(env, "d/t", "d/f");
		if (seed % 3 == 0)
			(void)env->ops->dir_sync(env, "d");
		sim_host_power_cut(h);
		env = sim_process_new(h);
		ok_quiet(!env->ops->file_open(env, "d/f", O_RDWR, 0, &f), "the name is there");
		(void)rw(s, env, ENV_IO_READ, f, &c, 1, 0, 0);
		ok_quiet(seed % 3 || c == '2', "a synced rename stays");
		old += c == '1';
		fresh += c == '2';
		sim_free(s);
	}
	ok(old + fresh == 60 && old && fresh > 20, "a rename happens (%u) or does not (%u), nothing else", fresh, old);
}

static void disk_faults(void)
{
	struct sim_world *s = sim_new(3);
	struct sim_host *h = sim_host_new(s, "alpha");
	struct env *env = sim_process_new(h);
	struct sim_disk_params d;
	struct env_file *f;
	char buf[8192] = { 0 };

	sim_disk_get(h, &d);
	d.capacity = 64 << 10;
	sim_disk_set(h, &d);
	is_int(env->ops->file_open(env, "f", O_RDWR | O_CREAT, 0600, &f), 0, "open");
	for (int i = 0; i < 8; i++)
		is_int(rw(s, env, ENV_IO_WRITE, f, buf, 8192, (uint64_t)i * 8192, 0), 8192, "there is room");
	is_int(rw(s, env, ENV_IO_WRITE, f, buf, 8192, 65536, 0), -ENOSPC, "the disk is full");
	is_int(rw(s, env, ENV_IO_WRITE, f, buf, 8192, 0, 0), 8192, "writing over needs no room");
	is_int(env->ops->file_truncate(env, f, 0), 0, "truncate");
	is_int(rw(s, env, ENV_IO_WRITE, f, buf, 8192, 65536, 0), 8192, "there is room again");
	sim_disk_fail_at(h, 2, -EIO);
	is_int(rw(s, env, ENV_IO_READ, f, buf, 8192, 65536, 0), 8192, "the first works");
	is_int(rw(s, env, ENV_IO_READ, f, buf, 8192, 65536, 0), -EIO, "the second fails");
	is_int(rw(s, env, ENV_IO_READ, f, buf, 8192, 65536, 0), 8192, "the third works");
	sim_process_kill(env);
	is_int(env->ops->file_open(env, "f", O_RDWR, 0, &f), -EIO, "the dead open nothing");
	sim_free(s);
}


static void broken_connections(void)
{
	struct pair t;

	pair_start(&t, 12);
	sim_run_for(t.s, 100 * NSEC_PER_MSEC);
	is_int((long long)sim_break(t.s, t.alpha, t.beta), 1, "one connection is broken");
	sim_run_for(t.s, 5 * NSEC_PER_SEC);
	ok(t.a.closed == 1 && t.b.closed == 1, "both ends learn of it");
	sim_host_set_reachable(t.alpha, false);
	is_int(t.b.env->ops->connect(t.b.env, "sim:alpha:1", &handler, &t.b, &t.b.c), 0, "connect");
	sim_run_for(t.s, 20 * NSEC_PER_SEC);
	is_int(t.b.closed_err, -ETIMEDOUT, "an unreachable host");
	is_int(t.b.env->ops->connect(t.b.env, "sim:gamma:1", &handler, &t.b, &t.b.c), 0, "connect");
	sim_run_for(t.s, NSEC_PER_SEC);
	is_int(t.b.closed_err, -EHOSTUNREACH, "no such host");
	sim_free(t.s);
}

int main(void)
{
	for (uint64_t seed = 0; seed < 8; seed++)
		all_checks(seed);
	determinism();
	partition();
	power_cuts();
	durable_writes();
	renames();
	disk_faults();
	broken_connections();
	return done_testing();
}
