/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * FUSE operations over the client core. An inode number is a fid, so nothing is remembered of names: lookup hands out numbers and
 * forget has nothing to do. The kernel keeps what it was told as long as the client core may cache it, and is told to drop it when
 * a lease is recalled.
 *
 * A request is a struct freq from the operation to its reply. It belongs to the reactor that read it.
 */
#ifndef WEFT_FUSE_OPS_H
#define WEFT_FUSE_OPS_H

#include <fuse_lowlevel.h>
#include <sys/stat.h>

#include "base/base.h"
#include "client/client.h"
#include "fuse/chan.h"

/* One reactor of the mount; set for each thread before its channel runs. */
struct fthread {
	struct client *client;
	struct env *env;
	struct gathered *gathered; /* ops_names.c; freed with the thread */
};
void fuse_ops_set_thread(struct fthread *t);
/* At the end of a thread: frees what it kept for later requests. */
void fuse_ops_end_thread(void);

extern const struct fuse_lowlevel_ops weft_fuse_ops;

/* Set before the mount. */
struct fuse_ops_config {
	bool readdirplus;
	bool kernel_names;  /* the kernel can drop names, so it may keep them */
	struct wp_fid root; /* what the mount shows as inode 1 */
};
extern struct fuse_ops_config fuse_ops_config;

/* ---- inside src/fuse ----------------------------------------------------------------------------------- */

#define FREQ_MAGIC 0x66726571u
#define FREQ_NAMES (2 * (WP_NAME_MAX + 1))

struct ffile; /* an open file: ops_file.c */

struct freq {
	uint32_t magic;
	fuse_req_t req;
	struct fthread *thread;
	struct client_op *op;
	struct client_cred cred;
	struct wp_fid fid, fid2;
	struct chan_buf *keep; /* the request's memory, if it is needed until the reply */
	struct iovec iov;
	size_t size;
	off_t off;
	uint64_t lock_owner;
	struct fuse_file_info fi;
	struct ffile *ffile;
	bool plus;
	bool cancelling, finished;
	struct env_task cancel;
	struct wp_layout layout;
	struct wp_component components[WP_COMPONENTS_MAX];
	char names[FREQ_NAMES];
	size_t names_len;
	struct list node;
};

/* A request context with the caller's credential; the interrupt hook is set. */
struct freq *freq_new(fuse_req_t req);
/* To be called first in every completion: no interrupt reaches the request any more. */
void freq_settle(struct freq *f);
void freq_free(struct freq *f);
/* freq_settle, reply with an error (or success: 0), freq_free. */
void freq_end(struct freq *f, int err);
/* Copies a name of the request, which is overwritten by the next request otherwise. */
struct wp_str freq_name(struct freq *f, const char *name);
/* Keeps the memory of the whole request. */
void freq_keep(struct freq *f);
/* Room for a reply of size bytes in the kept request's memory, behind the request itself; size <= 1 MiB. */
void *freq_room(struct freq *f, size_t size);
static inline struct client *freq_client(struct freq *f) { return f->thread->client; }

struct wp_fid fid_of(fuse_ino_t ino);
fuse_ino_t ino_of(const struct wp_fid *fid);
void stat_of(const struct wp_attr *a, struct stat *st);
struct client_file *file_of(const struct fuse_file_info *fi);

/* The caller's credential. */
struct client_cred cred_of(fuse_req_t req);
/* client_invalidate_fn: passes on to the kernel. */
void fuse_invalidate(void *arg, const struct wp_fid *fid, uint32_t bits);
/* Replies with an entry, a missing one (-ENOENT that may be kept), or an error; with attributes, or an error. */
void reply_entry(fuse_req_t req, int err, const struct client_res *res);
void reply_attr(fuse_req_t req, int err, const struct client_res *res);
struct client *this_client(void);
double ttl_seconds(uint64_t ns);

/* Completions that several operations share. */
void done_err(void *arg, int err, const struct client_res *res);
void done_entry(void *arg, int err, const struct client_res *res);
void done_attr(void *arg, int err, const struct client_res *res);

/* ops_names.c */
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname, unsigned flags);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/* ops_file.c */
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi);
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			off_t off_out, struct fuse_file_info *fi_out, size_t len, int flags);
void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock);
void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock, int sleep);
void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op);

/* ops_inode.c */
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);
void op_access(fuse_req_t req, fuse_ino_t ino, int mask);
void op_statfs(fuse_req_t req, fuse_ino_t ino);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

/* special.c: extended attributes that the mount makes up. False: not one of them. */
bool special_getxattr(struct freq *f, const char *name, size_t size);
bool special_setxattr(struct freq *f, const char *name, const char *value, size_t size);

#endif
