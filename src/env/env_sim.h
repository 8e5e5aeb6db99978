/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A simulated world: hosts with disks, processes on them, a network between them, all in one thread and in virtual time. What
 * happens is a function of the seed and of the calls made; no clock, random source or memory address of the real world enters.
 *
 * A process is a `struct env`. Its code runs in callbacks from sim_step; the driver (a test) acts between the steps. Addresses
 * are "sim:HOST:PORT".
 *
 * Time: each step costs some hundred nanoseconds. When several processes have something to do, who is first is drawn. Each host
 * has monotonic and wall clocks of its own, with an own origin, and drift if asked.
 *
 * Disk: what was written is visible at once and lost by a power cut unless ENV_IO_FDATASYNC (of an operation submitted after
 * the write was done) or ENV_IO_DSYNC made it durable; names are durable after dir_sync of the folder. A power cut keeps some
 * of the rest: of data any choice of sectors, of names any prefix in the order of the calls. Operations in flight complete in
 * any order.
 *
 * Network: bytes of a connection stay in order, cut into pieces at random; different connections are independent. While a
 * direction is cut off bytes wait, and the connection breaks after some time. A connection that breaks loses an arbitrary
 * tail, in both directions; the two ends learn of it at different times.
 */
#ifndef WEFT_ENV_ENV_SIM_H
#define WEFT_ENV_ENV_SIM_H

#include "env/env.h"

struct sim_world;
struct sim_host;

/* Every simulated environment must have been freed or killed by its user before: what they hold goes too. */
struct sim_world *sim_new(uint64_t seed);
void sim_free(struct sim_world *w);

/* Runs the next event; false: nothing is left that could ever happen by itself. */
bool sim_step(struct sim_world *w);
/* Steps until pred says true (asked before each step); false: after max_ns of virtual time, or when nothing can happen. */
bool sim_run_until(struct sim_world *w, bool (*pred)(void *arg), void *arg, uint64_t max_ns);
/* Steps through ns of virtual time; the clock has advanced by that afterwards even if nothing happened. */
void sim_run_for(struct sim_world *w, uint64_t ns);

uint64_t sim_now_ns(const struct sim_world *w); /* since the beginning; true time, which no host knows */
uint64_t sim_steps(const struct sim_world *w);
/* A hash of everything that happened so far: two runs that differ in anything differ here. */
uint64_t sim_trace(const struct sim_world *w);
/* Draws from the seed: below n (> 0). For drivers without a generator of their own. */
uint64_t sim_draw(struct sim_world *w, uint64_t n);

/* ---- network ------------------------------------------------------------------------------------------------------------- */

struct sim_net_params {
	uint64_t latency_min_ns, latency_max_ns; /* one way */
	uint32_t slow_ppm;                       /* so many pieces take up to slow_max_ns instead */
	uint64_t slow_max_ns;
	uint64_t bytes_per_sec;                  /* of each connection */
	uint32_t break_ppm;                      /* with each piece delivered, the connection breaks with this probability */
	size_t piece_max;                        /* bytes */
	size_t window;                           /* bytes sent and not yet received */
	uint64_t timeout_ns;                     /* a connection that gets nothing through for so long breaks */
};

void sim_net_get(const struct sim_world *w, struct sim_net_params *ret);
void sim_net_set(struct sim_world *w, const struct sim_net_params *p);
/* From a to b nothing arrives while on is set. The other direction is not concerned. */
void sim_partition(struct sim_world *w, struct sim_host *a, struct sim_host *b, bool on);
void sim_heal(struct sim_world *w); /* no partitions any more */
/* Breaks every connection between the two (a == b: inside a). Returns how many. */
unsigned sim_break(struct sim_world *w, struct sim_host *a, struct sim_host *b);
/* Has anybody a connection open whose other end, on this host, is closed or died with its process? What that end has sent may still
 * have effects. */
bool sim_host_echoes(const struct sim_host *h);

/* ---- hosts --------------------------------------------------------------------------------------------------------------- */

struct sim_disk_params {
	uint64_t io_min_ns, io_max_ns;     /* reads, writes, allocation */
	uint64_t sync_min_ns, sync_max_ns; /* added for whatever has to be durable */
	uint32_t slow_ppm;                 /* so many operations take up to slow_max_ns */
	uint64_t slow_max_ns;
	uint32_t error_ppm;                /* so many operations fail with -EIO */
	uint64_t capacity;                 /* bytes */
	uint32_t sector;                   /* bytes that are written whole or not at all: 512 to 4096, a power of two */
};

/* The name is copied; at most 31 characters, no colon. Hosts live as long as the world. */
struct sim_host *sim_host_new(struct sim_world *w, const char *name);
const char *sim_host_name(const struct sim_host *h);
/* Drift of both clocks against true time, within +-100000 parts per million, from now on, and the error of the wall clock. */
void sim_host_clock(struct sim_host *h, int drift_ppm, int64_t wall_error_ns);
/* An unreachable host: nothing enters or leaves, its processes run on. */
void sim_host_set_reachable(struct sim_host *h, bool on);
void sim_disk_get(const struct sim_host *h, struct sim_disk_params *ret);
void sim_disk_set(struct sim_host *h, const struct sim_disk_params *p);
/* The k-th file operation from now (1: the next) fails with err (negative); 0: none. */
void sim_disk_fail_at(struct sim_host *h, uint64_t k, int err);
/* Kills every process, without a word to their peers, and damages what was not synced. The host is up again at once. */
void sim_host_power_cut(struct sim_host *h);

/* ---- processes ----------------------------------------------------------------------------------------------------------- */

/* A new process of the host, or one reactor of a process: connections may be detached from one env and started on another. */
struct env *sim_process_new(struct sim_host *h);
/*
 * Ends a process as SIGKILL does: its callbacks are never called again, its peers see its connections end, its files stay. File
 * operations in flight may or may not take effect. The env accepts every operation afterwards, without effect, so that the code
 * that ran in it can free its memory.
 */
void sim_process_kill(struct env *env);
bool sim_process_alive(const struct env *env);
struct sim_host *sim_process_host(const struct env *env);
/* Kills it if alive, and frees it with all connections, listeners and files that were not closed. */
void sim_process_free(struct env *env);

#endif
