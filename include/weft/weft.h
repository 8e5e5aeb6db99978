/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * libweft: a Weft file system in a program, without mounting it.
 *
 *	struct weft_options o = WEFT_OPTIONS_INIT;
 *	o.mgmtd = "tcp:server:7300"; o.secret_file = "/etc/weft/secret";
 *	err = weft_mount(&o, &fs);
 *	err = weft_open(fs, NULL, "/data/file", O_CREAT | O_RDWR, 0644, &file);
 *
 * Results are 0 or a positive count, or a negative errno. Functions block unless their name ends in _async; all may be called from
 * any number of threads at once. Paths are resolved from the directory `at`, or from the root when at is NULL or the path begins
 * with a slash; symbolic links inside the file system are followed, 40 at most. The library starts threads of its own: a process
 * that forks must not use it in the child.
 *
 * The ABI is stable within a major version: structs begin with their size where they may grow.
 */
#ifndef WEFT_WEFT_H
#define WEFT_WEFT_H

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEFT_API __attribute__((visibility("default")))

struct weft;      /* a mount, as seen with one set of credentials */
struct weft_file; /* an open file */
struct weft_dir;  /* an open directory: for reading it and for resolving paths */
struct weft_cq;   /* a completion queue */

/* ---- mounting ------------------------------------------------------------------------------------------------------------- */

struct weft_options {
	size_t size;            /* of this struct */
	const char *mgmtd;      /* addresses of the management daemon, separated by commas: tcp:HOST:PORT, unix:PATH */
	const char *secret_file; /* with the clients' secret, readable by its owner only; NULL: secret says */
	const void *secret;     /* the clients' secret; NULL too: no authentication, which the servers must be configured for as well */
	size_t secret_len;      /* 16 to 64 bytes */
	unsigned reactors;      /* threads that talk to servers; 0: one */
	unsigned timeout_ms;    /* operations fail with -ETIMEDOUT after this; 0: the default, 300 s; UINT_MAX: never */
	int noatime;            /* reads leave access times alone */
};

#define WEFT_OPTIONS_INIT { sizeof(struct weft_options), NULL, NULL, NULL, 0, 0, 0, 0 }

/* -EACCES: the secrets differ; -ETIMEDOUT, -ECONNREFUSED ...: no management daemon answers. */
WEFT_API int weft_mount(const struct weft_options *o, struct weft **ret);
/* Files and directories must have been closed and other contexts freed; no call may be in progress. */
WEFT_API int weft_umount(struct weft *fs);

struct weft_cred {
	uid_t uid;
	gid_t gid;
	size_t groups_n;
	const gid_t *groups;    /* supplementary */
	mode_t umask;
};

/* Another view of a mount: calls through it act for cred. A mount begins with the ids of the process, its groups and umask 022. */
WEFT_API int weft_context(struct weft *fs, const struct weft_cred *cred, struct weft **ret);
WEFT_API void weft_context_free(struct weft *ctx);

/* ---- files ----------------------------------------------------------------------------------------------------------------- */

/* flags: O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_NOFOLLOW, O_DSYNC, O_SYNC as in open(2). */
WEFT_API int weft_open(struct weft *fs, struct weft_dir *at, const char *path, int flags, mode_t mode, struct weft_file **ret);
/* The file is closed in any case. -EIO: written data was lost. */
WEFT_API int weft_close(struct weft_file *f);
/* Bytes, fewer than asked for only at the end of the file. */
WEFT_API ssize_t weft_pread(struct weft_file *f, void *buf, size_t len, off_t offset);
WEFT_API ssize_t weft_preadv(struct weft_file *f, const struct iovec *iov, int iov_n, off_t offset);
/* With O_APPEND offset is ignored. */
WEFT_API ssize_t weft_pwrite(struct weft_file *f, const void *buf, size_t len, off_t offset);
WEFT_API ssize_t weft_pwritev(struct weft_file *f, const struct iovec *iov, int iov_n, off_t offset);
WEFT_API int weft_ftruncate(struct weft_file *f, off_t size);
WEFT_API int weft_fsync(struct weft_file *f);
WEFT_API int weft_fstat(struct weft_file *f, struct stat *st);
/* mode as in fallocate(2). */
WEFT_API int weft_fallocate(struct weft_file *f, int mode, off_t offset, off_t len);
/* whence: SEEK_DATA or SEEK_HOLE. The offset; -ENXIO. */
WEFT_API off_t weft_lseek(struct weft_file *f, off_t offset, int whence);
/* Bytes copied. */
WEFT_API ssize_t weft_copy_range(struct weft_file *in, off_t in_offset, struct weft_file *out, off_t out_offset, size_t len);

/* Record locks. l_whence must be SEEK_SET; cmd: F_GETLK, F_SETLK or F_SETLKW. owner: any number that names the owner in the
 * process, for example a thread's. The locks of an owner on a file are dropped by weft_lock_release, not by weft_close. */
WEFT_API int weft_lock(struct weft_file *f, int cmd, struct flock *l, uint64_t owner);
WEFT_API int weft_lock_release(struct weft_file *f, uint64_t owner);
/* op: LOCK_SH, LOCK_EX, LOCK_UN, and LOCK_NB, as in flock(2). */
WEFT_API int weft_flock(struct weft_file *f, int op);

/* ---- names ----------------------------------------------------------------------------------------------------------------- */

/* flags: AT_SYMLINK_NOFOLLOW. */
WEFT_API int weft_stat(struct weft *fs, struct weft_dir *at, const char *path, struct stat *st, int flags);
/* mask: R_OK, W_OK, X_OK, F_OK. */
WEFT_API int weft_access(struct weft *fs, struct weft_dir *at, const char *path, int mask);
WEFT_API int weft_mkdir(struct weft *fs, struct weft_dir *at, const char *path, mode_t mode);
WEFT_API int weft_rmdir(struct weft *fs, struct weft_dir *at, const char *path);
WEFT_API int weft_unlink(struct weft *fs, struct weft_dir *at, const char *path);
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE. */
WEFT_API int weft_rename(struct weft *fs, struct weft_dir *at, const char *path, struct weft_dir *new_at, const char *new_path,
			 unsigned flags);
/* The link itself if path is a symbolic link. */
WEFT_API int weft_link(struct weft *fs, struct weft_dir *at, const char *path, struct weft_dir *new_at, const char *new_path);
WEFT_API int weft_symlink(struct weft *fs, const char *target, struct weft_dir *at, const char *path);
/* Bytes of the target, cut to size, not terminated. */
WEFT_API ssize_t weft_readlink(struct weft *fs, struct weft_dir *at, const char *path, char *buf, size_t size);
WEFT_API int weft_mknod(struct weft *fs, struct weft_dir *at, const char *path, mode_t mode, dev_t dev);
WEFT_API int weft_truncate(struct weft *fs, struct weft_dir *at, const char *path, off_t size);
WEFT_API int weft_chmod(struct weft *fs, struct weft_dir *at, const char *path, mode_t mode, int flags);
/* (uid_t)-1 or (gid_t)-1: unchanged. */
WEFT_API int weft_chown(struct weft *fs, struct weft_dir *at, const char *path, uid_t uid, gid_t gid, int flags);
/* times: atime, mtime, with UTIME_NOW and UTIME_OMIT as in utimensat(2); NULL: both now. */
WEFT_API int weft_utimens(struct weft *fs, struct weft_dir *at, const char *path, const struct timespec times[2], int flags);

/* ---- directories ----------------------------------------------------------------------------------------------------------- */

struct weft_dirent {
	uint64_t ino;
	uint64_t cookie;        /* for weft_seekdir: the entry after this one */
	unsigned char type;     /* DT_* */
	char name[256];
};

WEFT_API int weft_opendir(struct weft *fs, struct weft_dir *at, const char *path, struct weft_dir **ret);
/* 1: an entry, "." and ".." among them; 0: the end. One thread at a time for each directory handle. */
WEFT_API int weft_readdir(struct weft_dir *d, struct weft_dirent *ret);
/* cookie 0: the start. */
WEFT_API void weft_seekdir(struct weft_dir *d, uint64_t cookie);
WEFT_API int weft_closedir(struct weft_dir *d);

/* ---- extended attributes; flags: AT_SYMLINK_NOFOLLOW -------------------------------------------------------------------------- */

/* Bytes of the value; -ERANGE if size is smaller, unless size is 0: then only the length is told. */
WEFT_API ssize_t weft_getxattr(struct weft *fs, struct weft_dir *at, const char *path, const char *name, void *buf, size_t size,
			       int flags);
WEFT_API ssize_t weft_listxattr(struct weft *fs, struct weft_dir *at, const char *path, char *buf, size_t size, int flags);
/* how: XATTR_CREATE, XATTR_REPLACE or 0. */
WEFT_API int weft_setxattr(struct weft *fs, struct weft_dir *at, const char *path, const char *name, const void *buf, size_t size,
			   int how, int flags);
WEFT_API int weft_removexattr(struct weft *fs, struct weft_dir *at, const char *path, const char *name, int flags);

/* ---- the file system -------------------------------------------------------------------------------------------------------- */

WEFT_API int weft_statfs(struct weft *fs, struct statvfs *st);
/* Everything that completed before is durable. */
WEFT_API int weft_sync(struct weft *fs);

/* ---- layouts ---------------------------------------------------------------------------------------------------------------- */

struct weft_component {
	uint64_t start, end;    /* bytes covered; end INT64_MAX: no end */
	uint32_t stripe_size;   /* bytes, a multiple of 64 KiB */
	uint32_t stripe_count;  /* targets; 0 in a policy: all */
	char pool[65];          /* "": the default pool */
	uint32_t target;        /* of the first stripe; files only */
};

/* Components of a file, or of a directory's own policy: their number (fills up to max), 0 if it has none. */
WEFT_API int weft_get_layout(struct weft *fs, struct weft_dir *at, const char *path, struct weft_component *ret, unsigned max);
/* A directory's policy for what is made in it from now on. */
WEFT_API int weft_set_layout(struct weft *fs, struct weft_dir *at, const char *path, const struct weft_component *c, unsigned n);

/* ---- asynchronous ------------------------------------------------------------------------------------------------------------ */

/* Called on a thread of the library, which it must not block; it may start further operations. */
typedef void weft_done_fn(void *arg, ssize_t result);

/* How an operation reports: through fn if it is set, else in cq. Copied when it starts. Paths are copied; buffers, iovecs and
 * where results go stay valid until then. */
struct weft_async {
	weft_done_fn *fn;
	void *arg;
	struct weft_cq *cq;
};

struct weft_event {
	void *arg;
	ssize_t result;
};

WEFT_API int weft_cq_new(struct weft *fs, struct weft_cq **ret);
WEFT_API void weft_cq_free(struct weft_cq *cq);
/* Readable while events are waiting; for poll(2). */
WEFT_API int weft_cq_fd(struct weft_cq *cq);
/* Takes up to max events; waits for the first one at most timeout_ms (0: not at all, -1: for ever). Their number. */
WEFT_API int weft_cq_wait(struct weft_cq *cq, struct weft_event *ret, int max, int timeout_ms);

/* 0: started; a negative errno: not started, nothing will be reported. */
WEFT_API int weft_open_async(struct weft *fs, struct weft_dir *at, const char *path, int flags, mode_t mode, struct weft_file **ret,
			     const struct weft_async *a);
WEFT_API int weft_close_async(struct weft_file *f, const struct weft_async *a);
WEFT_API int weft_preadv_async(struct weft_file *f, const struct iovec *iov, int iov_n, off_t offset, const struct weft_async *a);
WEFT_API int weft_pwritev_async(struct weft_file *f, const struct iovec *iov, int iov_n, off_t offset, const struct weft_async *a);
WEFT_API int weft_fsync_async(struct weft_file *f, const struct weft_async *a);
WEFT_API int weft_stat_async(struct weft *fs, struct weft_dir *at, const char *path, struct stat *st, int flags,
			     const struct weft_async *a);
WEFT_API int weft_mkdir_async(struct weft *fs, struct weft_dir *at, const char *path, mode_t mode, const struct weft_async *a);
WEFT_API int weft_unlink_async(struct weft *fs, struct weft_dir *at, const char *path, const struct weft_async *a);

#ifdef __cplusplus
}
#endif

#endif
