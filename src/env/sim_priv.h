/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the files of env_sim share. */
#ifndef WEFT_ENV_SIM_PRIV_H
#define WEFT_ENV_SIM_PRIV_H

#include "base/htab.h"
#include "env/env_sim.h"
#include "env/timers.h"

/* What happened, for the trace. */
enum sim_kind {
	SIM_TASK = 1,
	SIM_TIMER,
	SIM_WORK_RUN,
	SIM_IO,
	SIM_CONNECT,
	SIM_CONNECTED,
	SIM_TRANSMIT,
	SIM_DELIVER,
	SIM_ACK,
	SIM_RECEIVE,
	SIM_BREAK,
	SIM_CANCELED,
	SIM_CUT,
	SIM_KILL,
};

struct sim_rng {
	uint64_t state;
};

/* Something of the world that happens at a time: embedded in what it is about. */
struct sim_event {
	struct env_timer timer;
	enum sim_kind kind;
};

struct sim_world {
	uint64_t now_ns, steps, trace;
	struct sim_rng rng;
	struct timers events;
	struct list hosts;
	unsigned hosts_n;
	unsigned processes_n;
	struct sim_net_params net;
	struct list cuts; /* one-way partitions */
	struct list links;
};

struct sim_fs {
	struct sim_inode *root;
	struct list inodes;
	struct list ops;      /* changes of names that are not durable yet, oldest first */
	uint64_t used;        /* bytes of pages */
	uint64_t generation;  /* of page contents and sizes */
	uint64_t next_ino;
};

struct sim_host {
	struct sim_world *w;
	struct list node;
	unsigned id;
	char name[32];
	bool reachable;
	/* local = local_base + (now - true_base) * (1 + drift) */
	uint64_t local_base, true_base;
	int drift_ppm;
	int64_t wall_minus_mono;
	struct sim_disk_params disk;
	uint64_t fail_at;
	int fail_err;
	struct sim_fs fs;
	struct list processes;
	struct list listeners;
	unsigned next_port;
};

struct sim_process {
	struct env env;
	struct sim_host *host;
	struct list node;
	unsigned id;
	bool alive;
	struct sim_rng rng;
	struct timers timers; /* deadlines in true time */
	struct env_task *tasks, **tasks_end;
	struct list works, ios, conns, listeners, files;
	struct list canceled; /* sends */
	struct sim_event canceled_event;
};

static inline struct sim_process *sim_process(const struct env *env)
{
	return container_of((struct env *)(uintptr_t)env, struct sim_process, env);
}

/* ---- env_sim.c ----------------------------------------------------------------------------------------------------------- */

uint64_t rng_draw(struct sim_rng *r);
/* Between lo and hi. */
uint64_t sim_between(struct sim_world *w, uint64_t lo, uint64_t hi);
bool sim_ppm(struct sim_world *w, uint32_t ppm);
void sim_note_event(struct sim_world *w, enum sim_kind kind, uint64_t who, uint64_t what);
void sim_event_in(struct sim_world *w, struct sim_event *e, uint64_t delay_ns);
void sim_event_at(struct sim_world *w, struct sim_event *e, uint64_t at_ns);
void sim_event_cancel(struct sim_world *w, struct sim_event *e);
/* silent: the peers are not told. */
void sim_process_end(struct sim_process *p, bool silent);
uint64_t sim_wall_ns(const struct sim_host *h);

/* ---- sim_files.c, sim_names.c, sim_pages.c ------------------------------------------------------------------------------- */

void sim_fs_init(struct sim_host *h);
void sim_fs_done(struct sim_host *h);
void sim_fs_power_cut(struct sim_host *h);
/* The process is dead: operations in flight are decided. */
void sim_ios_drop(struct sim_process *p);
void sim_files_done(struct sim_process *p);

int sim_file_open(struct env *env, const char *path, int flags, unsigned mode, struct env_file **ret);
void sim_file_close(struct env *env, struct env_file *f);
int sim_file_stat(struct env *env, struct env_file *f, struct env_stat *ret);
int sim_file_truncate(struct env *env, struct env_file *f, uint64_t size);
int sim_file_seek(struct env *env, struct env_file *f, uint64_t offset, bool hole, uint64_t *ret);
void sim_file_io(struct env *env, struct env_io *io);
int sim_path_unlink(struct env *env, const char *path);
int sim_path_rename(struct env *env, const char *from, const char *to);
int sim_path_mkdir(struct env *env, const char *path, unsigned mode);
int sim_dir_list(struct env *env, const char *path, int (*fn)(void *arg, const char *name), void *arg);
int sim_dir_sync(struct env *env, const char *path);
int sim_fs_space(struct env *env, const char *path, uint64_t *total, uint64_t *free, uint64_t *inodes, uint64_t *inodes_free);

/* ---- sim_net.c, sim_net_faults.c ------------------------------------------------------------------------------------------------ */

void sim_net_process_end(struct sim_process *p, bool silent);
void sim_net_process_done(struct sim_process *p);
void sim_net_done(struct sim_world *w);
int sim_listen(struct env *env, const char *addr, void (*accepted)(void *arg, struct env_conn *c), void *arg,
	       struct env_listener **ret);
const char *sim_listener_addr(struct env_listener *l);
void sim_listener_close(struct env_listener *l);
int sim_connect(struct env *env, const char *addr, const struct env_conn_handler *h, void *arg, struct env_conn **ret);
void sim_conn_start(struct env *env, struct env_conn *c, const struct env_conn_handler *h, void *arg);
void sim_conn_detach(struct env_conn *c);
void sim_conn_resume(struct env_conn *c);
void sim_conn_send(struct env_conn *c, struct env_send *s);
size_t sim_conn_queued(struct env_conn *c);
const char *sim_conn_peer(struct env_conn *c);
void sim_conn_close(struct env_conn *c);

#endif
