/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the parts of the simulator share. A run is a function of its seed. */
#ifndef WEFT_TEST_SIM_SIM_H
#define WEFT_TEST_SIM_SIM_H

#include "base/base.h"
#include "base/htab.h"
#include "client/client.h"
#include "model.h"

#define SIM_CLIENTS 3u
#define SIM_WORKERS 4u   /* per client */
#define SIM_FILES 3u     /* open per worker */
#define SIM_IO_MAX 300000u
#define SIM_FILE_MAX 700000u

/* Those in meson.build stay the runs that they were: what makes runs wilder in new ways is for larger ones. */
#define SIM_SMALL_SEED 1000000u

struct sim;
struct cluster;

/* ---- random choice: of the workload and the faults; the simulated world has its own ---- */

struct rng {
	uint64_t state;
};

static inline uint64_t rng_next(struct rng *r) { return hash_u64(r->state += 0x9e3779b97f4a7c15ull); }
static inline uint32_t rng_below(struct rng *r, uint32_t n) { return (uint32_t)(rng_next(r) % n); }
static inline bool rng_chance(struct rng *r, uint32_t per_mille) { return rng_below(r, 1000) < per_mille; }

/* ---- workers ---- */

struct wfile {
	struct client_file *f;
	struct mnode *n;
	uint32_t flags;
	uint32_t before;        /* sim.counter when it was opened */
};

struct wop;

struct worker {
	struct sim *s;
	unsigned id, client;
	const struct wop *op;   /* NULL: idle */
	struct client_op *handle;
	uint64_t started_ns;
	unsigned cuts;          /* sim.cuts when it started */
	/* of the operation */
	struct ment *a, *b;
	struct mnode *n, *moved; /* moved: by a rename */
	bool shared;            /* n is held together with others */
	bool extends;           /* a write that moves the end */
	bool end_moves;         /* a read while others move the end */
	unsigned moves;         /* mnode.moves when it started */
	uint64_t size_lo;       /* of the content when it started */
	struct wfile *file;
	int expect;
	uint32_t flags;
	uint64_t offset, len;
	uint32_t data_id;
	char text[32];
	uint8_t *buf;
	struct iovec iov;
	struct wfile files[SIM_FILES];
	/* the client died in the middle: what happened is found out by a look-up after its restart */
	bool in_doubt;
	uint64_t quiet_ns;      /* since when nothing of the dead client is under way; 0: it is */
};

/* One kind of operation. */
struct wop {
	const char *name;
	unsigned weight;
	/* Chooses, holds, computes w->expect, starts. false: not possible now, nothing is held. */
	bool (*start)(struct worker *w);
	/* Compares with what was expected and changes the model. Holds are released by the caller. */
	void (*end)(struct worker *w, int err, const struct client_res *res);
	/* The client died: NULL: nothing changed. */
	void (*doubt)(struct worker *w);
	/* Called with what a look-up of w->a found after a doubt; NULL: no look-up is needed. */
	void (*resolve)(struct worker *w, const struct wp_attr *found);
	bool names; /* the answer tells what w->a stands for */
};

extern const struct wop *const work_ops[];

#define LOG_RECORD 32u
struct log_record {
	uint32_t id;
	uint64_t offset;
	bool acked, synced;
};

struct kernel;

/* Of all metadata targets and their lives. */
#define SIM_COUNTED_NAMES                                                                                                      \
	{                                                                                                                      \
		"lease_grants", "lease_recalls", "lease_waits", "lease_voided", "lease_contended", "sessions_evicted",         \
			"forsaken"                                                                                             \
	}
enum { SIM_COUNTED = 7 };

struct sim {
	uint64_t seed;
	struct rng rng, audit_rng;
	bool verbose, silent, failed, faults_off;
	bool draining;          /* nothing new is started but what lets others finish */
	bool disk_errors;       /* devices fail now and then */
	uint8_t writer[SIM_CLIENTS]; /* number of each client's incarnation in ids of data */
	uint8_t writers;
	unsigned cuts;          /* power cuts of storage targets so far: unsynced data may be gone */
	unsigned evictions;     /* clients that may have lost their session */
	struct cluster *cl;
	struct model model;
	struct worker workers[SIM_CLIENTS * SIM_WORKERS];
	struct mnode *log, *lock;
	struct log_record *records;
	unsigned records_n;
	struct worker *lock_holder;
	uint32_t counter;       /* of data ids and names */
	uint64_t started, done, errors;
	/* coherence */
	bool kernel_keeps, clocks_differ;
	uint32_t looks;	  /* per mille of operations that only look, in addition */
	uint32_t follows; /* per mille of names chosen that are those of the last change, by whomsoever */
	struct wp_fid last_dir;
	char last_name[16];
	struct kernel *kernels[SIM_CLIENTS];
	uint64_t counted[SIM_COUNTED];
	uint64_t audits, audit_hits, kept; /* questions, answers of caches; what kernels would have answered */
	uint64_t steps;
};

/* Prints why, with seed and time, and ends the run. */
void sim_fail(struct sim *s, const char *fmt, ...) printf_like(2, 3);
/* More about the failure. */
void sim_say(struct sim *s, const char *fmt, ...) printf_like(2, 3);
void sim_note(struct sim *s, const char *fmt, ...) printf_like(2, 3);

/* ---- work.c ---- */

void work_init(struct sim *s);
void work_done(struct sim *s);
/* Makes the log and the lock file; everything is up. */
void work_shared_files(struct sim *s);
/* Gives every idle worker of a live client something to do, with some probability. */
void work_step(struct sim *s);
/* The client is gone: its operations are in doubt, its files are closed. */
void work_client_died(struct sim *s, unsigned client);
bool work_idle(const struct sim *s);
/* Closes every file of every worker; for the end. */
void work_close_all(struct sim *s);
void work_finish(struct worker *w, int err, const struct client_res *res);
client_cb work_cb;

/* Helpers of the operations. */
struct client *worker_client(struct worker *w);
struct mnode *pick_dir(struct sim *s);
struct ment *pick_name(struct worker *w);
/* What was answered may have been lost before the answer came. */
static inline bool cut_meanwhile(const struct worker *w) { return w->cuts != w->s->cuts; }
bool same_type(uint32_t a, uint32_t b);
void expect_err(struct worker *w, int err);
extern const struct client_cred sim_cred;

/* ---- check.c ---- */

/* At quiescence: everything that the model knows is there, and nothing else, for every client. */
void check_tree(struct sim *s);

/* ---- cluster.c ---- */

/* mdts and osts: number of targets. */
struct cluster *cluster_new(struct sim *s, unsigned mdts, unsigned osts);
void cluster_free(struct cluster *cl);
/* Lets simulated time pass. */
void cluster_run(struct cluster *cl, uint64_t ns);
uint64_t cluster_now(struct cluster *cl);
/* May requests of a dead incarnation of the client still arrive somewhere? */
bool cluster_echoes(struct cluster *cl, unsigned i);
/* Has it lost a session? Its operations may have failed with that; it does not live for long. */
bool cluster_evicted(struct cluster *cl, unsigned i);
/* NULL: down, or not ready. */
struct client *cluster_client(struct cluster *cl, unsigned i);
/* Maybe something breaks, maybe something is repaired. */
void cluster_faults(struct cluster *cl);
/* Everything is repaired and started. */
void cluster_heal(struct cluster *cl);
/* Everybody is up. */
bool cluster_ready(struct cluster *cl);
/* Index and objects, at quiescence: links, orphans, queues, unknown objects. */
void cluster_check(struct cluster *cl);

#endif
