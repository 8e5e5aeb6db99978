/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The weft command: verbs as rows of one table, options as rows of one table per verb. Help, completion and the manual page come
 * from the tables. Every listing is an array of JSON objects that is printed as an aligned table or, with --json, as it is.
 */
#ifndef WEFT_CLI_CLI_H
#define WEFT_CLI_CLI_H

#include <jansson.h>

#include "base/base.h"
#include "proto/codec.h"
#include "weft_proto.h"

#define CLI_ARGS_MAX 4096
#define CLI_OPTIONS_MAX 16

enum cli_opt_kind { OPT_FLAG, OPT_TEXT, OPT_NUMBER };

/* value points to bool, const char * or unsigned according to kind; the variable holds the default. */
struct cli_option {
	char letter; /* 0: none */
	const char *name;
	enum cli_opt_kind kind;
	void *value;
	const char *arg; /* name of the value in the help */
	const char *help;
};

struct cli_verb {
	const char *noun;    /* "node", or NULL */
	const char *name;    /* "list" */
	const char *args;    /* "PATH", "[PATH...]" for the help */
	int args_min, args_max;
	const char *help;    /* one sentence; NULL: not shown */
	const struct cli_option *options; /* ends with a row without a name; NULL: none */
	int (*run)(int argc, char **argv); /* exit status */
};

/* Options that every verb takes. */
struct cli_globals {
	bool json;
	const char *dir;    /* local cluster's folder */
	const char *config; /* configuration file */
	const char *mgmtd;  /* address, instead of the configuration's */
};
extern struct cli_globals cli;

extern const struct cli_verb cli_verbs[];

/* Prints "weft: ..." to standard error; returns 1, so that `return cli_fail(...)` reads well. */
int cli_fail(const char *fmt, ...) printf_like(1, 2);

/* ---- table.c ------------------------------------------------------------------------------------------- */

enum column_format { COL_TEXT, COL_NUMBER, COL_BYTES, COL_PERCENT };

struct column {
	const char *key;    /* of the row's object */
	const char *title;
	enum column_format format;
};

/* Prints rows (an array of objects), and drops the reference. Ends at a column without a key. */
void table_print(json_t *rows, const struct column *columns);
/* Prints one value as JSON and drops the reference. */
void json_print(json_t *value);
/* "1.5 GiB"; buf of at least 16 bytes. */
const char *human_bytes(uint64_t bytes, char *buf, size_t size);

/* ---- cluster.c: the local cluster's folder ------------------------------------------------------------- */

#define CLUSTER_DAEMONS_MAX 512

struct daemon {
	char role[16]; /* mgmtd, meta, storage, mount */
	char name[64]; /* mgmtd, meta0, storage1, mount */
	char *dir;     /* of the target; mount: the mount point */
	char *listen_tcp, *listen_unix; /* NULL: none */
};

struct cluster {
	char *dir; /* absolute */
	char backend[16];
	struct daemon daemons[CLUSTER_DAEMONS_MAX];
	unsigned daemons_n;
};

/* Reads DIR/cluster.json. -ENOENT: there is no cluster. Errors are printed. */
int cluster_load(const char *dir, struct cluster *c) must_check;
int cluster_save(const struct cluster *c) must_check;
void cluster_done(struct cluster *c);
struct daemon *cluster_find(struct cluster *c, const char *name);
struct daemon *cluster_add(struct cluster *c, const char *role, const char *name, const char *dir);
/* Path of a file in the cluster's folder; the caller frees it. */
char *cluster_path(const struct cluster *c, const char *fmt, ...) printf_like(2, 3);

/* ---- proc.c: daemons as processes ---------------------------------------------------------------------- */

/* The pid in run/NAME.pid if such a process lives and is ours, else 0. */
pid_t daemon_pid(const struct cluster *c, const struct daemon *d);
/* Starts the program and waits until it says it is ready; on failure prints the end of its log. */
int daemon_start(const struct cluster *c, const struct daemon *d) must_check;
/* Asks it to stop (SIGTERM), waits up to timeout_ms, then SIGKILL if force. 0 when gone. */
int daemon_stop(const struct cluster *c, const struct daemon *d, unsigned timeout_ms, bool force) must_check;
/* Path of a program of Weft: beside this one (installed or in the build tree). */
char *program_path(const char *name);

/* ---- admin.c: talking to daemons ----------------------------------------------------------------------- */

struct admin;

/* Connects as administrator (servers' secret) to the management daemon found by --mgmtd, --config or --dir; prints errors. */
int admin_open(struct admin **ret) must_check;
void admin_close(struct admin *a);
/* One call to mgmtd: encode the request's body through admin_enc, then call. Returns 0 or a negative error; the reply's body is at
 * *reply until the next call. */
struct wp_enc *admin_enc(struct admin *a);
int admin_call(struct admin *a, uint16_t op, const uint8_t **reply, uint32_t *reply_len) must_check;
struct space_list {
	const struct wp_target_space *rows; /* metadata targets, then storage targets, each by number */
	size_t n;
};

/* The map, and the space of the targets, as they are now; valid until admin_close. To be called once each. */
int admin_map(struct admin *a, const struct wp_map **ret) must_check;
int admin_space(struct admin *a, struct space_list *ret) must_check;
/* Prints what went wrong with a call and what to do; returns 1. */
int admin_fail(struct admin *a, const char *what, int err);

/* ---- view.c: map and space in one go, and names in it --------------------------------------------------- */

struct view {
	struct admin *admin;
	const struct wp_map *map; /* NULL: not open */
	struct space_list space;
};

/* Errors are printed. */
int view_open(struct view *v) must_check;
void view_close(struct view *v);
/* By name or number; meta:N, storage:N. NULL: not found, which is printed. */
const struct wp_node_info *find_node(const struct view *v, const char *name);
const struct wp_target_info *find_target(const struct view *v, const char *name);
const struct wp_pool_info *find_pool(const struct view *v, const char *name);
/* NULL: there is none. */
const struct wp_node_info *node_by_id(const struct view *v, uint32_t id);
const struct wp_target_space *space_of(const struct view *v, const struct wp_target_info *t);

/* ---- verbs --------------------------------------------------------------------------------------------- */

int verb_up(int argc, char **argv);
int verb_down(int argc, char **argv);
int verb_destroy(int argc, char **argv);
int verb_status(int argc, char **argv);
int verb_mount(int argc, char **argv);
int verb_umount(int argc, char **argv);
int verb_df(int argc, char **argv);
int verb_node_list(int argc, char **argv);
int verb_node_show(int argc, char **argv);
int verb_node_alias(int argc, char **argv);
int verb_node_remove(int argc, char **argv);
int verb_target_list(int argc, char **argv);
int verb_target_show(int argc, char **argv);
int verb_target_alias(int argc, char **argv);
int verb_target_drain(int argc, char **argv);
int verb_target_resume(int argc, char **argv);
int verb_target_remove(int argc, char **argv);
int verb_pool_list(int argc, char **argv);
int verb_pool_create(int argc, char **argv);
int verb_pool_delete(int argc, char **argv);
int verb_pool_assign(int argc, char **argv);
int verb_pool_alias(int argc, char **argv);
int verb_registration(int argc, char **argv);
int verb_stat(int argc, char **argv);
int verb_layout_get(int argc, char **argv);
int verb_layout_set(int argc, char **argv);
int verb_sync(int argc, char **argv);
int verb_config(int argc, char **argv);
int verb_version(int argc, char **argv);
int verb_completion(int argc, char **argv);
int verb_help(int argc, char **argv);
int verb_dump_options(int argc, char **argv);

extern const struct cli_option up_options[], down_options[], destroy_options[], mount_options[], umount_options[],
	remove_options[], layout_options[];

#endif
