/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What every daemon process does around its core: options, secrets, log, background, pid file, readiness, signals, listening.
 *
 * One daemon per process. Main thread only.
 */
#ifndef WEFT_NODE_DAEMON_H
#define WEFT_NODE_DAEMON_H

#include "base/base.h"
#include "conf/conf.h"
#include "env/env.h"
#include "rpc/rpc.h"

#define DAEMON_LISTEN_MAX 16u

struct daemon_options {
	char *name;   /* NULL: assigned by the management daemon */
	char *domain; /* may be NULL */
	struct conf_list listen, advertise;
	bool background;
	char *log_file, *pid_file;
	uint64_t ready_fd; /* 0: none */
};

/* Values after daemon_start, and their tables for struct conf_program. */
extern struct daemon_options daemon_options;
extern struct conf_common daemon_common;
extern const struct conf_table daemon_table, daemon_common_table;

/* Checks options that span tables: for conf_program's check. Every program with these tables calls it. */
void daemon_check(struct conf *c);

/* Options are parsed; reads the secrets, goes to the background if asked, sets up log and signals. id gets role, name, auth and
 * secrets. Returns false to leave with *exit_status; everything was said. */
bool daemon_start(const struct conf_program *p, int argc, char **argv, uint16_t role, struct rpc_identity *id, int *exit_status)
	must_check;
/* When nothing else can serve the same folders any more: says what is wrong; negative errno. */
int daemon_write_pid_file(void) must_check;
/* Calls stop once, on the env's thread, when the process is asked to end; reopens the log file on SIGHUP. A second request ends
 * the process at once. */
void daemon_watch_signals(struct env *env, env_fn *stop, void *arg);
/* Tells whoever waits (--ready-fd, --background's parent, the service manager) that the daemon serves. Only the first counts. */
void daemon_ready(void);
/* Listens on every --listen address, or on fallback if there is none. Says what is wrong; negative errno. */
int daemon_listen(struct rpc_node *node, const char *fallback) must_check;
/* The addresses for the map: --advertise, or where node listens, wildcards replaced by this machine's addresses. NULL-terminated
 * array; free it with its strings. */
char **daemon_addresses(struct rpc_node *node, unsigned *n);
void daemon_free_addresses(char **addrs);
/* Removes the pid file, frees the options. */
void daemon_end(void);

#endif
