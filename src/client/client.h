/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The client core: everything a mount does, as asynchronous operations on an env.
 *
 * A `struct client_mount` is the identity shared by all reactors of one mount: sessions with metadata targets, open files, locks
 * held. A `struct client` is one reactor's part of it: connections, cluster map, operations in flight. Names are stateless:
 * operations take fids and names, nothing is cached, an inode number is a fid (proto/fid.h).
 *
 * Threads: a struct client and its operations belong to the reactor of its env. Files and the mount may be used by every client
 * of the mount. Callbacks run on the reactor of the client that started the operation, never from inside the starting call.
 *
 * Memory: names, values, iovecs and buffers given to an operation stay valid until its callback. What the result points to is
 * valid inside the callback only.
 *
 * Errors are negative errno values that an application may see.
 */
#ifndef WEFT_CLIENT_CLIENT_H
#define WEFT_CLIENT_CLIENT_H

#include <sys/uio.h>

#include "base/base.h"
#include "env/env.h"
#include "proto/fid.h"
#include "rpc/rpc.h"
#include "weft_proto.h"

struct client;
struct client_mount;
struct client_op;
struct client_file;

/* ---- credentials ------------------------------------------------------------------------------------------------- */

/* Who asks. Copied by the operation, except groups, which stay valid until the callback. */
struct client_cred {
	uint32_t uid, gid;
	uint32_t pid;           /* for the groups hook, 0: unknown */
	bool cap_dac;           /* may bypass permission checks (root) */
	bool groups_known;      /* groups is complete; otherwise the groups hook is asked when the outcome depends on them */
	uint32_t groups_n;
	const uint32_t *groups;
};

/* Supplementary groups of a caller: fills up to max and returns the number, or a negative errno (then the operation fails with
 * -EACCES). Called on the reactor; must not block for long (reading /proc is fine). */
typedef int client_groups_fn(void *arg, const struct client_cred *cred, uint32_t *ret, uint32_t max);

/*
 * What callers keep of answers that said so (attr_ttl_ns, entry_ttl_ns) must go: bits WP_LEASE_ATTR: attributes of fid; WP_LEASE_ENTRIES:
 * names in it, and missing names; WP_LEASE_DATA_READ: its data. Must have taken effect when it returns: answers that are still on
 * their way to whoever asked included. Called on any thread; must not wait for an operation of the mount.
 */
typedef void client_invalidate_fn(void *arg, const struct wp_fid *fid, uint32_t bits);

/* ---- mount ------------------------------------------------------------------------------------------------------- */

struct client_params {
	const char *const *mgmtd; /* addresses of the management daemon, in order of preference */
	unsigned mgmtd_n;
	struct rpc_identity id;   /* role CLIENT; uuid and client_id zero: drawn at random */
	char host[65];            /* shown by `weft session list` */
	uint32_t pid;
	unsigned reactors;        /* clients that will be made of this mount; 0 is 1 */
	uint32_t op_timeout_ms;   /* an operation without an answer for so long fails with -ETIMEDOUT; 0: never */
	bool noatime;             /* reads do not touch access times */
	bool cache;		  /* names and attributes are cached, under leases */
	client_invalidate_fn *invalidate; /* NULL: nobody keeps anything */
	void *invalidate_arg;
	client_groups_fn *groups; /* NULL: supplementary groups are unknown to us, outcomes that need them are -EACCES */
	void *groups_arg;
};

#define CLIENT_OP_TIMEOUT_MS 300000u /* the usual op_timeout_ms */

/* Copies p. Does no I/O. */
int client_mount_new(const struct client_params *p, struct client_mount **ret) must_check;
/* After all its clients are gone. Open files of it must have been released or are freed here. */
void client_mount_free(struct client_mount *m);

/* One reactor's part. index < reactors, each index once. Makes the rpc_node and starts fetching the map. */
int client_new(struct client_mount *m, struct env *env, unsigned index, struct client **ret) must_check;
/* Ends every operation with -ECANCELED (callbacks run before it returns) and closes connections. */
void client_free(struct client *c);
struct env *client_env(struct client *c);
struct client_mount *client_mount_of(struct client *c);

/* Called when mounted: the map is here, the node is registered, and the root directory could be read (err 0, *root); or why not
 * (within op_timeout; authentication errors at once). Only the first client registers; the others fetch the map. */
typedef void client_ready_fn(void *arg, int err, const struct wp_attr *root);
void client_start(struct client *c, client_ready_fn *fn, void *arg);
/* What a client that is not ready yet waits for, or why it failed, and what to do, as a line of text; empty: nothing is known. */
void client_waits_for(struct client *c, char *buf, size_t size);
/* After client_start has called back, on the first client: how the mount is served (classic, io_uring) and where, for listings. */
void client_describe(struct client *c, const char *transport, const char *path);
/* Leaves in order: closes sessions (servers forget our handles) and unregisters. Operations in flight are cancelled first. Only
 * one client of a mount does this, last; done is called always, within timeout_ms. */
void client_leave(struct client *c, uint32_t timeout_ms, void (*done)(void *arg), void *arg);

/* Every operation in flight ends with -EINTR soon; for forced unmounts. With shut, later ones fail with -ESHUTDOWN. */
void client_cancel_all(struct client *c, bool shut);

/* ---- operations -------------------------------------------------------------------------------------------------- */

struct client_lock {
	uint8_t kind;           /* enum wp_lock_kind: POSIX or FLOCK */
	uint8_t type;           /* enum wp_lock_type */
	uint64_t owner;         /* unique in the mount */
	uint64_t start, end;    /* first and last byte; end UINT64_MAX is the end of the file, whatever it is */
	uint32_t pid;
};

/* Results; which fields are set is said at each operation. */
struct client_res {
	struct wp_attr attr;            /* settled: size and mtime are current */
	struct client_file *file;       /* a reference that the caller now owns */
	bool created;
	bool data_cacheable;		/* open for reading: data may be kept until client_invalidate_fn says otherwise, */
	bool data_kept;			/* and what was kept of it before is still valid */
	bool eof;                       /* readdir: nothing follows */
	uint64_t n;                     /* bytes, or an offset */
	const void *data;               /* link target, value, list */
	size_t len;
	const struct wp_dirent *dirents; /* attr is given with PLUS; if its flags say UNSETTLED, size and mtime are not current */
	uint32_t dirents_n;
	const struct wp_layout *layout; /* NULL: none (a directory without own policy) */
	struct client_lock lock;
	struct wp_statfs_rep statfs;
	uint64_t attr_ttl_ns;  /* attr may be kept for so long, if client_invalidate_fn is heeded; 0: not at all */
	uint64_t entry_ttl_ns; /* the same for what the name stands for; with -ENOENT: that it stands for nothing */
};

/* ---- answers without asking -------------------------------------------------------------------------------------- */

/*
 * From the cache, at once, on any thread: what the operation of this name would give, 0 or its error; -EAGAIN: it has to be started.
 * The started operations look here as well. readdir calls fn for the entries behind cookie, "." and ".." included, until it returns
 * false; fn must not call functions of the client.
 */
int client_cached_lookup(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
			 struct client_res *res) must_check;
int client_cached_getattr(struct client *c, const struct wp_fid *fid, struct client_res *res) must_check;
int client_cached_access(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, uint32_t mask) must_check;
int client_cached_opendir(struct client *c, const struct client_cred *cred, const struct wp_fid *fid,
			  struct client_res *res) must_check;
int client_cached_readlink(struct client *c, const struct wp_fid *fid, char *buf, size_t size, uint32_t *len) must_check;
/* 0 never: only whether there is none (-ENODATA). */
int client_cached_getxattr(struct client *c, const struct client_cred *cred, const struct wp_fid *fid) must_check;
/* How long what names of the directory stand for may be kept, ns; 0: not at all. */
uint64_t client_names_ttl(struct client *c, const struct wp_fid *dir);
int client_cached_readdir(struct client *c, const struct wp_fid *dir, uint64_t cookie,
			  bool (*fn)(void *arg, const struct wp_dirent *d), void *arg, bool *eof) must_check;

/* err is 0 or a negative errno; res is never NULL. The op is gone when the callback is called. */
typedef void client_cb(void *arg, int err, const struct client_res *res);

/*
 * Asks the operation to end: a waiting lock request ends with -EINTR unless granted meanwhile; any other operation is given a
 * short grace to finish by itself, and ends with -EINTR when it does not (its servers are away). A mutation that ended with
 * -EINTR may still be executed. The callback is called in any case.
 */
void client_cancel(struct client *c, struct client_op *op);

#define CLIENT_ARGS client_cb *cb, void *arg

/* ---- names: res.attr of the child unless said otherwise ---------------------------------------------------------- */

/* name may be "." (the parent itself). ".." is client_lookup_parent. */
struct client_op *client_lookup(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
				CLIENT_ARGS);
/* The directory that contains fid (by its back-pointer): res.attr. The root's parent is the root. */
struct client_op *client_lookup_parent(struct client *c, const struct wp_fid *fid, CLIENT_ARGS);
/* One back-pointer: res.attr.fid of the parent, res.data/len the name in it. */
struct client_op *client_get_path(struct client *c, const struct wp_fid *fid, CLIENT_ARGS);
struct client_op *client_mknod(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
			       uint32_t mode, uint32_t umask, uint32_t major, uint32_t minor, CLIENT_ARGS);
struct client_op *client_mkdir(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
			       uint32_t mode, uint32_t umask, CLIENT_ARGS);
struct client_op *client_symlink(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
				 struct wp_str target, CLIENT_ARGS);
struct client_op *client_link(struct client *c, const struct client_cred *cred, const struct wp_fid *fid,
			      const struct wp_fid *parent, struct wp_str name, CLIENT_ARGS);
/* res.attr.fid: what the name stood for. */
struct client_op *client_unlink(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
				CLIENT_ARGS);
struct client_op *client_rmdir(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
			       CLIENT_ARGS);
/* flags: WP_RENAME_*. res.attr.fid: what was moved. */
struct client_op *client_rename(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
				const struct wp_fid *new_parent, struct wp_str new_name, uint32_t flags, CLIENT_ARGS);
/* res.data, res.len: the target, not terminated. */
struct client_op *client_readlink(struct client *c, const struct wp_fid *fid, CLIENT_ARGS);

/* ---- inodes ------------------------------------------------------------------------------------------------------ */

/* res.attr, settled. */
struct client_op *client_getattr(struct client *c, const struct wp_fid *fid, CLIENT_ARGS);

struct client_setattr {
	uint32_t valid;         /* WP_SETATTR_*; HANDLE_SIZE and the handle are added when a file is given and size changes */
	uint32_t mode, uid, gid, project;
	uint64_t size;
	struct wp_time atime, mtime, ctime;
};

/* file may be NULL; otherwise the change is made through it (ftruncate needs no permission on the inode). res.attr. */
struct client_op *client_setattr(struct client *c, const struct client_cred *cred, const struct wp_fid *fid,
				 struct client_file *file, const struct client_setattr *sa, CLIENT_ARGS);
/* mask: R_OK, W_OK, X_OK. 0 or -EACCES. */
struct client_op *client_access(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, uint32_t mask,
				CLIENT_ARGS);
/* res.data, res.len; the caller compares with its room. */
struct client_op *client_getxattr(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, struct wp_str name,
				  CLIENT_ARGS);
/* res.data, res.len: names, each terminated by a NUL. */
struct client_op *client_listxattr(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, CLIENT_ARGS);
/* flags: XATTR_CREATE, XATTR_REPLACE. */
struct client_op *client_setxattr(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, struct wp_str name,
				  const void *value, size_t len, uint32_t flags, CLIENT_ARGS);
struct client_op *client_removexattr(struct client *c, const struct client_cred *cred, const struct wp_fid *fid,
				     struct wp_str name, CLIENT_ARGS);
/* res.layout and res.attr. */
struct client_op *client_get_layout(struct client *c, const struct wp_fid *fid, CLIENT_ARGS);
/* A directory's policy, or the layout of a file without data. */
struct client_op *client_set_layout(struct client *c, const struct client_cred *cred, const struct wp_fid *fid,
				    const struct wp_layout *layout, CLIENT_ARGS);
/* res.statfs. */
struct client_op *client_statfs(struct client *c, CLIENT_ARGS);
/* Everything that completed before is durable: syncfs. -EIO if a storage target lost unsynced writes of this mount. */
struct client_op *client_sync_all(struct client *c, CLIENT_ARGS);

/* ---- directories ------------------------------------------------------------------------------------------------- */

/* Checks that cred may read the directory. res.attr. There is no handle: readdir is stateless. */
struct client_op *client_opendir(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, CLIENT_ARGS);
/* Entries behind cookie (0: the start), "." and ".." first, about max_bytes of them; flags: WP_READDIR_PLUS. res.dirents,
 * res.dirents_n, res.eof. */
struct client_op *client_readdir(struct client *c, const struct client_cred *cred, const struct wp_fid *dir, uint64_t cookie,
				 uint32_t max_bytes, uint32_t flags, CLIENT_ARGS);

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* flags: WP_OPEN_*. res.file, res.attr (open: size may be out of date while others write). */
struct client_op *client_open(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, uint32_t flags,
			      CLIENT_ARGS);
/* Look-up, creation and open in one; layout may be NULL. res.file, res.attr (settled), res.created. */
struct client_op *client_create(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
				uint32_t mode, uint32_t umask, uint32_t flags, const struct wp_layout *layout, CLIENT_ARGS);
/* Closes the handle and drops the caller's reference; cb may be NULL. -EIO: written data was lost (as fsync would report). */
struct client_op *client_release(struct client *c, struct client_file *file, CLIENT_ARGS);
const struct wp_fid *client_file_fid(const struct client_file *file);
uint32_t client_file_flags(const struct client_file *file);
/* Further references, e.g. for operations of other threads. Dropping the last one without client_release leaks the handle at
 * the server until the session ends. */
void client_file_ref(struct client_file *file);
void client_file_unref(struct client_file *file);

/* res.n: bytes read into iov, short only at the end of the file. */
struct client_op *client_read(struct client *c, struct client_file *file, const struct iovec *iov, int iov_n, uint64_t offset,
			      CLIENT_ARGS);

enum {
	CLIENT_WRITE_APPEND = 1, /* at the end, atomically in the cluster; offset is ignored. Implied by WP_OPEN_APPEND */
	CLIENT_WRITE_STABLE = 2, /* durable when done (O_DSYNC; O_SYNC needs client_fsync) */
	CLIENT_WRITE_KILL = 4,   /* clear set-id bits first */
	CLIENT_WRITE_NOAPPEND = 8, /* at offset although the file was opened with WP_OPEN_APPEND (the kernel computed it) */
};

/* res.n: bytes written: all of them, or fewer at the file size limit (-EFBIG if none). On any other error some may be written.
 * res.lock.start: offset of the first byte (append). cred may be NULL unless CLIENT_WRITE_KILL; if it is given and not cap_dac,
 * set-id bits that the file had when opened are cleared as well. */
struct client_op *client_write(struct client *c, struct client_file *file, const struct client_cred *cred, const struct iovec *iov,
			       int iov_n, uint64_t offset, uint32_t flags, CLIENT_ARGS);
/* Data written by this mount and everything executed on the inode is durable. -EIO: a storage target lost writes; reported once. */
struct client_op *client_fsync(struct client *c, struct client_file *file, bool datasync, CLIENT_ARGS);
/* A descriptor was closed: drops the owner's record locks. (Data needs nothing: writes are at the servers when they are done.) */
struct client_op *client_flush(struct client *c, struct client_file *file, uint64_t lock_owner, CLIENT_ARGS);
/* mode: as fallocate(2): 0, KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, COLLAPSE_RANGE, INSERT_RANGE; the last two move data, and other
 * writers must keep away meanwhile. */
struct client_op *client_fallocate(struct client *c, struct client_file *file, int mode, uint64_t offset, uint64_t length,
				   CLIENT_ARGS);
/* SEEK_DATA or SEEK_HOLE. res.n; -ENXIO. */
struct client_op *client_lseek(struct client *c, struct client_file *file, uint64_t offset, int whence, CLIENT_ARGS);
/* res.n: bytes copied. */
struct client_op *client_copy_range(struct client *c, struct client_file *in, uint64_t off_in, struct client_file *out,
				    uint64_t off_out, uint64_t length, CLIENT_ARGS);

/* ---- locks ------------------------------------------------------------------------------------------------------- */

/* res.lock: a conflicting lock, or type UNLOCK. */
struct client_op *client_getlk(struct client *c, struct client_file *file, const struct client_lock *lock, CLIENT_ARGS);
/* With wait, ends when granted, with -EDEADLK, or -EINTR after client_cancel; without, -EAGAIN when held by another. */
struct client_op *client_setlk(struct client *c, struct client_file *file, const struct client_lock *lock, bool wait, CLIENT_ARGS);

/* ---- state for people -------------------------------------------------------------------------------------------- */

struct client_stats {
	uint64_t ops, calls, retries, read_bytes, written_bytes, sessions_lost, bad_crcs;
};
void client_stats(const struct client *c, struct client_stats *ret);

#endif
