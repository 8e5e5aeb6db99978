/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * How libweft's calls reach the client core. A wcall is one call: posted to a reactor, it resolves its paths there, starts the
 * operation of the core, and reports. Blocking calls keep it on the caller's stack and wait on a futex; asynchronous ones allocate it.
 */
#ifndef WEFT_CLIENT_LIB_LIB_PRIV_H
#define WEFT_CLIENT_LIB_LIB_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "client/client.h"
#include "io/reactor.h"
#include "weft/weft.h"

#define LIB_LINKS_MAX 40u /* symbolic links in one resolution, as Linux */

/* What contexts of a mount share. */
struct lib_mount {
	struct client_mount *m;
	struct io_reactors *set;
	unsigned reactors;
	char **mgmtd;
	unsigned mgmtd_n;
};

struct weft {
	struct lib_mount *mount;
	bool owner; /* the context that weft_mount made */
	struct client_cred cred;
	uint32_t *groups;
	mode_t umask;
};

struct weft_file {
	struct lib_mount *mount;
	struct client_file *file;
	struct client_cred cred;
	uint32_t write_flags;
	bool flocked;
};

struct weft_dir {
	struct lib_mount *mount;
	struct wp_fid fid;
	struct client_cred cred;
	uint32_t *groups;
	uint64_t cookie;
	struct weft_dirent *buf; /* entries read ahead */
	unsigned n, next;
	bool eof;
};

struct wcall;
typedef void wcall_fn(struct wcall *w);
/* Turns the core's result into the call's: w->result, and what the caller's memory gets. Runs on the reactor. */
typedef void wcall_take_fn(struct wcall *w, int err, const struct client_res *res);

/* Resolution of one path. */
struct lib_walk {
	struct wp_fid dir;      /* where we are */
	struct wp_attr attr;    /* of the result, when it was looked up */
	char *heap;             /* a path that symbolic links made; the name points into it */
	const char *rest;
	struct wp_str name;     /* parent: the last component; else the one looked up */
	bool parent;            /* stop before the last component */
	bool follow;            /* the last component, if it is a symbolic link */
	bool must_dir;          /* the path ended with a slash */
	unsigned links;
	wcall_fn *next;
};

struct wcall {
	struct env_task task;
	struct client *c;
	struct lib_mount *mount;
	wcall_fn *start;
	wcall_take_fn *take;
	ssize_t result;
	atomic_uint state;      /* futex of blocking calls: 0 running, 1 done, 2 running with somebody asleep */
	bool heap;              /* asynchronous: freed when reported */
	struct weft_async async;
	char *paths[2];         /* asynchronous: copies */
	/* arguments */
	struct client_cred cred;
	struct lib_walk walk, walk2;
	struct wp_str name;
	uint32_t mode, umask, flags;
	uint64_t offset, offset2, len;
	const struct iovec *iov;
	int iov_n;
	struct iovec one;
	struct client_file *file, *file2;
	struct client_setattr sa;
	struct client_lock lock;
	const void *value;
	void *out;              /* where results go */
	size_t out_len;
	bool wait;
	struct wp_layout layout;
	int open_flags;
};

/* Prepares a call as the context. */
void wcall_init(struct wcall *w, struct lib_mount *m, const struct client_cred *cred, wcall_fn *start);
/* Runs it and waits: the result. */
ssize_t wcall_run(struct wcall *w);
ssize_t wcall_run_on(struct wcall *w, struct io_reactor *r);
/* Runs it; a copy of w lives until it is reported. */
int wcall_async(const struct wcall *w, const struct weft_async *a);
/* On the reactor: the call is over. */
void wcall_done(struct wcall *w, ssize_t result);
/* client_cb whose arg is the wcall: w->take, or just the error; then wcall_done. */
void wcall_cb(void *arg, int err, const struct client_res *res);

/* Says where the walk begins. parent: the last component is left to the caller. */
void walk_init(struct lib_walk *k, struct weft_dir *at, const char *path, bool parent, bool follow, wcall_fn *next);
/* Resolves, then calls k->next; errors end the call. */
void walk_run(struct wcall *w, struct lib_walk *k);

/* Goes on through a symbolic link found in k->dir; k->next has been set. */
void walk_through(struct wcall *w, struct lib_walk *k, const struct wp_fid *link);

void lib_stat(const struct wp_attr *a, struct stat *st);
void cq_push(struct weft_cq *cq, void *arg, ssize_t result);

#endif
