/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the files of the client core share.
 *
 * Locks: client_mount.lock guards the tables of the mount and everything marked [mount]; client_inode.lock guards what is marked
 * [inode]. Both are leaves: nothing is called with one held that takes another, except mount -> inode. Everything else belongs
 * to the reactor of its client.
 */
#ifndef WEFT_CLIENT_CLIENT_PRIV_H
#define WEFT_CLIENT_CLIENT_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/htab.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/list.h"
#include "client/cache.h"
#include "client/client.h"
#include "layout/stripe.h"
#include "node/clustermap.h"

#define CLIENT_MAGIC 0x636c6974u
#define OP_MAGIC 0x636c6f70u
#define FILE_MAGIC 0x636c6669u
#define MOUNT_MAGIC 0x636c6d6eu

#define CLIENT_SCRATCH (4u << 20)      /* decoded arrays of the largest reply: 4,096 dirents, or stripes of 32 components */
#define CLIENT_IO_WINDOW 16u           /* object calls of one operation in flight: keeps a huge write from taking all credits */
#define CLIENT_IO_MAX (1u << 20)       /* bytes of one object call: crc, send and disk overlap between calls */
#define CLIENT_BULK_IOV 3              /* iovecs of one call's payload; more are gathered into a buffer */
#define CLIENT_CRC_RETRIES 4u          /* times a damaged payload is sent again */
#define CLIENT_CAP_RETRIES 4u          /* times a capability is renewed for one call */
#define CLIENT_CANCEL_GRACE_MS 1000u   /* what a cancelled operation gets to finish by itself */
#define CLIENT_RETRY_MS 20u            /* before asking again after a status that says "soon" */
#define CLIENT_POOL_KEEP 1024u         /* unused operations kept */
#define CLIENT_DIRTY_INODES 16384u     /* closed files whose unsynced objects are remembered; about 4 MiB */
#define CLIENT_CAP_MARGIN_S 5u         /* a capability this close to its end is renewed before use */
#define CLIENT_META_CREDITS 256u
#define CLIENT_STORAGE_CREDITS 64u
#define SESSION_RECALLS 1024u		  /* recalls of inodes that are not cached, remembered per session */
#define CLIENT_READDIR_AHEAD (256u << 10) /* bytes asked of a directory whose names are cached */

/* ---- mount ------------------------------------------------------------------------------------------------------- */

enum session_state {
	SESSION_NONE,      /* to be opened */
	SESSION_OPENING,   /* one reactor is at it, others wait */
	SESSION_OPEN,
	SESSION_RECLAIMING /* one reactor tells a restarted target what we hold, others wait */
};

/* The newest statement that took something of an inode that is not cached. */
struct recall_note {
	struct wp_fid fid;
	uint64_t seq;
};

/* Of the mount with one metadata target. Never freed before the mount. */
struct session {
	struct list link;        /* [mount] */
	uint32_t target;
	enum session_state state; /* [mount] */
	uint64_t id;              /* [mount] */
	atomic_uint gen;          /* [mount] to write; grows when the session is lost: handles of older ones are stale */
	uint64_t boot_epoch;      /* [mount] last one reclaimed at */
	uint32_t slots;           /* [mount] */
	uint32_t timeout_ms;      /* [mount] */
	uint64_t pinged_ns;       /* [mount] */
	struct list waiting;      /* [mount] struct mdt.wait: reactors that wait for OPEN */
	/* leases: lease.c, cache.c */
	bool voiding;	   /* [mount] one reactor drops what was cached in an earlier life of the target, others wait */
	uint32_t lease_ms; /* [mount] */
	atomic_uint_fast64_t lease_epoch;    /* [mount] to write; statements count that come from this life of the target */
	atomic_uint_fast64_t lease_until_ns; /* nothing cached is used behind this time */
	atomic_uint lease_gen;		     /* grows when all leases are void at once */
	pthread_mutex_t recalls_lock;
	struct recall_note recalls[SESSION_RECALLS]; /* [recalls_lock] */
	uint64_t recalls_floor;			     /* [recalls_lock] of those that were overwritten */
};

struct client_mount {
	uint32_t magic;
	pthread_mutex_t lock;
	struct rpc_identity id;
	char **mgmtd;
	unsigned mgmtd_n;
	char host[65];
	uint32_t pid;
	unsigned reactors;
	uint32_t op_timeout_ms;
	bool noatime;
	client_groups_fn *groups;
	void *groups_arg;
	struct list sessions;     /* [mount] */
	struct htab inodes;       /* [mount] */
	struct list files;        /* [mount] open handles, for reclaim */
	struct list dirty;        /* [mount] client_inode.lru: closed, with unsynced objects, oldest first */
	uint32_t dirty_n;         /* [mount] */
	bool forgot;              /* [mount] a dirty inode was dropped: fsync cannot rely on the table for files it does not have */
	atomic_uint_fast64_t next_handle, next_owner;
	char transport[17], *path; /* client_mount_describe; path may be NULL */
	uint32_t node;            /* our node id, 0: not registered */
	atomic_uint clients;
	struct cache *cache; /* NULL: nothing is cached */
	client_invalidate_fn *invalidate;
	void *invalidate_arg;
	uint32_t *osts_used;      /* [mount] storage targets that some reactor wrote to */
	uint32_t osts_used_n;     /* [mount] */
};

/* ---- inodes and files -------------------------------------------------------------------------------------------- */

/* Layout and capability: immutable, shared by the operations that use it. */
struct grant {
	atomic_uint refs;
	struct wp_layout layout;
	struct wp_cap cap;
	uint8_t mac[WP_MAC_SIZE];
	uint32_t objs_n; /* objects of all components */
};

/* What write replies told of an object. */
struct obj_state {
	uint64_t version, size, blocks, verifier;
	struct wp_time mtime;
	bool dirty;   /* written since the last successful sync: verifier is that of the oldest such write */
	bool foreign; /* others have written it since we last heard of it: not dirty, but synced by us all the same */
	uint32_t seq; /* of the last write, to see whether one came in during a sync */
};

/* A file that is open, or was written and not synced. */
struct client_inode {
	struct htab_node node;    /* [mount] */
	struct list lru;          /* [mount] linked while closed and dirty */
	uint32_t refs;            /* [mount] handles; 0 and not dirty: freed */
	struct wp_fid fid;
	struct client_mount *m;
	pthread_mutex_t lock;
	uint64_t known_size;      /* [inode] size when last heard of, or end of what we wrote since */
	struct obj_state *objs;   /* [inode] by object index of the layout; NULL before the first write */
	uint32_t objs_n;          /* [inode] */
	uint32_t dirty_n;         /* [inode] */
	bool complete;            /* [inode] objs describes all objects of the file, as far as this mount can know */
	uint64_t unknown_end;     /* [inode] what lies before may not be synced, by others or forgotten here: fsync does it */
	uint32_t unknown_seq;     /* [inode] grows with each finding of that kind */
	bool meta_dirty;          /* [inode] size may have to be told: fsync of the inode waits for the metadata target */
	uint32_t size_changes;    /* [inode] truncations by this mount: complete does not survive them */
	int lost;                 /* [inode] -EIO until an fsync reported it */
	struct list locks;        /* [inode] struct held_lock */
	struct wp_time atime, mtime, ctime; /* [inode] when opened: the relatime rule */
	bool atime_done;          /* [inode] */
};

struct held_lock {
	struct list link;
	struct client_lock l;
};

struct client_file {
	uint32_t magic;
	atomic_uint refs;
	struct client_mount *m;
	struct client_inode *inode;
	struct list link;         /* [mount] */
	struct session *session;
	uint32_t session_gen;     /* [mount] of the session the handle lives in */
	uint64_t handle;
	uint32_t flags;           /* WP_OPEN_* */
	struct grant *grant;      /* [inode] */
	bool suid;                /* had set-id bits when opened */
	bool wrote;               /* [inode] */
	bool write_failed;        /* [inode] outcome of a write is unknown: no hint */
	bool registered;          /* [mount] linked in files */
};

/* ---- reactor ----------------------------------------------------------------------------------------------------- */

struct client_op;

/* This reactor's connection to a metadata target. */
struct mdt {
	struct client *c;
	uint32_t target;
	struct rpc_peer *peer;
	struct session *s;
	struct list wait;          /* [mount] in session.waiting */
	struct client_mount *m;
	struct env_task wake;      /* posted when the session can be looked at again */
	bool wake_posted, dead;    /* [mount] */
	struct rpc_conn *conn;     /* being attached */
	struct rpc_call attach;
	struct rpc_call ping;
	bool ping_busy;
	struct env_timer ping_timer;
	struct attach_reclaim *reclaim;
	uint64_t session;          /* attached to; 0: not yet */
	uint32_t session_gen;
	uint64_t boot_epoch;       /* at the last attach */
	uint32_t slot_base, slots_n, free_n;
	uint16_t *free_slots;      /* stack */
	uint64_t xid;              /* of the last mutation; grows over all slots, hence in each */
	uint64_t ping_sent_ns;
	struct voiding *voiding; /* lease.c */
	struct rpc_call give_back;
	bool give_back_busy;
	struct list recalls;	   /* lease.c: being passed on to the kernel */
	struct list queue;         /* client_op.queue: waiting for the session or a slot */
};

/* This reactor's connection to a storage target. */
struct ost {
	struct client *c;
	uint32_t target;
	struct rpc_peer *peer;
	bool listed;        /* in the mount's osts_used */
	bool dirty, lost;   /* unsynced writes of this reactor; some of them were lost */
	uint32_t seq;       /* of the last write */
	uint64_t verifier;  /* of the oldest unsynced write */
};

struct client {
	uint32_t magic;
	struct client_mount *m;
	struct env *env;
	unsigned index;
	struct rpc_node *node;
	struct rpc_peer *mgmtd;
	struct cluster_map *map;  /* NULL until fetched */
	struct map_pages map_pages; /* the next one, as far as it is here */
	struct rpc_call map_call, beat_call;
	struct env_timer map_timer, beat_timer;
	uint32_t beat_ms;
	bool map_busy, beat_busy;
	struct mdt **mdts;        /* by target id */
	uint32_t mdts_n;
	struct ost **osts;        /* by target id */
	uint32_t osts_n;
	struct list ops;          /* in flight */
	struct list finished;     /* callbacks to be called from the task */
	struct env_task finish_task;
	bool finish_posted;
	struct list free_ops, free_ios;
	uint32_t free_ops_n, free_ios_n;
	uint8_t *scratch;         /* for decoders, CLIENT_SCRATCH */
	uint32_t *crcs;           /* for encoders, WP_CRCS_MAX */
	bool shut, freeing;
	struct client_stats stats;
	/* start and leave: start.c */
	client_ready_fn *ready;
	void *ready_arg;
	struct env_timer start_timer;
	struct rpc_call start_call;
	bool start_busy, registered, map_tried;
	int start_err;
	void (*left)(void *arg);
	void *left_arg;
	uint32_t leaving;         /* calls that client_leave waits for */
	struct env_timer leave_timer;
};

union client_req {
	struct wp_lookup_req lookup;
	struct wp_getattr_req getattr;
	struct wp_setattr_req setattr;
	struct wp_readlink_req readlink;
	struct wp_mknod_req mknod;
	struct wp_mkdir_req mkdir;
	struct wp_symlink_req symlink;
	struct wp_unlink_req unlink;
	struct wp_rmdir_req rmdir;
	struct wp_rename_req rename;
	struct wp_link_req link;
	struct wp_open_req open;
	struct wp_create_req create;
	struct wp_close_req close;
	struct wp_readdir_req readdir;
	struct wp_opendir_req opendir;
	struct wp_access_req access;
	struct wp_statfs_req statfs;
	struct wp_getxattr_req getxattr;
	struct wp_listxattr_req listxattr;
	struct wp_setxattr_req setxattr;
	struct wp_removexattr_req removexattr;
	struct wp_lock_req lock;
	struct wp_lock_test_req lock_test;
	struct wp_lock_cancel_req lock_cancel;
	struct wp_lock_release_owner_req lock_release_owner;
	struct wp_set_layout_req set_layout;
	struct wp_get_path_req get_path;
	struct wp_meta_sync_req meta_sync;
	struct wp_refresh_cap_req refresh_cap;
	struct wp_reclaim_req reclaim;
};

typedef void req_enc_fn(struct wp_enc *e, const union client_req *r);

/* The fixed part of a metadata request. */
struct req_type {
	uint16_t op;
	bool has_cred;       /* struct wp_cred is the first member of the request */
	bool mutates;
	req_enc_fn *enc;
};

enum { /* client_op.flags */
	OP_CANCELLED = 1,  /* client_cancel was called */
	OP_ANSWERED = 2,   /* the callback was called early; the op only waits for its call to end */
	OP_CALLING = 4,    /* call is with rpc */
	OP_QUEUED = 8,     /* in mdt.queue */
	OP_FINISHED = 16,  /* in client.finished */
	OP_INTERNAL = 32,  /* no user's: part of another operation or housekeeping; may run when shut */
	OP_GROUPS = 64,    /* groups were asked for already */
	OP_WAITS = 128,    /* waits for others by its nature (a lock): no deadline */
	OP_ASYNC = 256,    /* the starting call has returned: the callback may be called directly */
	OP_PAUSED = 512,   /* timer is armed */
};

struct io;
struct settle;

/*
 * One operation. Its life: cl_op_new; cl_op_meta (a metadata request, then meta_done) and io_start (object calls, then ios_done) in
 * any number; cl_op_finish. Exactly one of these is outstanding at a time, so every operation is a chain of continuations.
 */
struct client_op {
	uint32_t magic;
	uint32_t flags;
	struct client *c;
	struct list link;   /* client.ops, finished or free_ops */
	struct list queue;  /* mdt.queue */
	client_cb *cb;
	void *arg;
	int err;
	uint64_t deadline_ns;
	int abort_err;          /* not 0: ends with this as soon as what is out has come back */
	struct env_timer grace; /* after client_cancel */
	struct env_timer timer; /* a pause before trying again */
	void (*timer_next)(struct client_op *op);
	void (*cancelled)(struct client_op *op); /* client_cancel of operations that know better than to wait */
	/* metadata request */
	const struct req_type *req_type;
	union client_req req;
	uint32_t body_max;      /* bound of the encoded request without groups */
	void (*meta_done)(struct client_op *op, int err);
	struct mdt *mdt;
	uint32_t target;
	uint32_t session_gen;   /* of the session at the first sending */
	uint64_t boot_epoch;    /* of the target at the first sending */
	uint64_t sent_ns;       /* first sending */
	uint64_t ttl_from_ns;   /* res.attr_ttl_ns and res.entry_ttl_ns are counted from then, until it completes */
	bool leases_count;      /* the reply came in time for what it says of leases */
	uint16_t slot;
	bool has_slot;
	struct client_cred cred;
	uint32_t *groups;       /* heap, from the hook */
	struct rpc_call call;
	/* object calls */
	struct list ios;        /* io.link: in flight */
	struct list ios_stalled; /* wait for a new capability */
	struct list ios_kept;   /* done, and still of interest to the operation */
	uint32_t ios_pending;   /* in flight or stalled */
	int io_err;             /* the first error */
	void (*io_done)(struct client_op *op, struct io *io); /* each success: frees or keeps the io */
	void (*ios_pump)(struct client_op *op);  /* start more, up to the window; none when nothing is left */
	void (*ios_done)(struct client_op *op);  /* none is pending */
	struct client_op *refresh; /* fetches a new capability for ios_stalled */
	struct grant *grant;
	struct client_file *file;
	/* running state of the operation's own kind */
	struct iovec *iov_heap;
	const struct iovec *iov;
	int iov_n;
	uint64_t offset, length, pos; /* of data; pos: started so far */
	uint64_t size_before, size_after;
	bool size_known, ios_over; /* reads */
	struct list ios_redo;
	bool locked;            /* appends: the lock is held */
	bool lost;              /* syncs */
	uint32_t unknown_seq;   /* of the inode, when the sync began */
	uint64_t owner;         /* appends: of the lock */
	uint32_t io_flags;
	uint32_t tries;
	int mode;
	struct client_op *child;
	struct settle *settle;  /* settle.c */
	void *priv;             /* freed with the op */
	bool open_settle;
	struct wp_open_ref reopen;
	struct client_res res;
};

/* One call to an object, pooled. */
struct io {
	struct list link;
	struct client_op *op;
	struct ost *ost;
	struct rpc_call call;
	uint16_t what;           /* WP_OP_OBJ_* */
	struct wp_objid obj;
	uint32_t obj_index;
	uint32_t target;
	uint64_t offset;         /* in the object */
	uint64_t length;
	uint64_t file_offset;
	uint8_t mode;
	bool hole;
	uint32_t crc_tries, cap_tries;
	struct iovec bulk[CLIENT_BULK_IOV];
	int bulk_n;
	uint8_t *bounce;         /* heap: payload that is not contiguous enough */
	uint8_t *dst;            /* reads: where the payload goes */
	/* results */
	int err;
	uint32_t got;            /* reads: bytes */
	uint64_t result_offset;
	struct wp_objstat stat;
	uint64_t verifier;
	uint32_t seq;            /* syncs: obj_state.seq when started */
};

/* ---- op.c -------------------------------------------------------------------------------------------------------- */

struct client_op *cl_op_new(struct client *c, client_cb *cb, void *arg);
void cl_op_cred(struct client_op *op, const struct client_cred *cred);
/* The callback is called from the event loop. */
void cl_op_finish(struct client_op *op, int err);
/* cl_op_finish as a continuation of the right type. */
void cl_op_done(struct client_op *op, int err);
void cl_op_set_file(struct client_op *op, struct client_file *f);
void cl_op_set_grant(struct client_op *op, struct grant *g);
/* Calls next after delay; not while a call is out. */
void cl_op_pause(struct client_op *op, uint32_t delay_ms, void (*next)(struct client_op *op));
/* May the operation start something new? If not, it has been finished. */
bool cl_op_going(struct client_op *op) must_check;
/* Ends the operation as soon as possible with err. */
void cl_op_abort(struct client_op *op, int err);
void cl_op_finish_task(void *arg);
void cl_op_run_finished(struct client *c);
void cl_op_pool_done(struct client *c);

/* ---- meta.c ------------------------------------------------------------------------------------------------------ */

/* Sends op->req to the metadata target; next is called with 0, or the error; op->call has the reply. */
void cl_op_meta(struct client_op *op, const struct req_type *type, uint32_t target, void (*next)(struct client_op *op, int err));
/* Decodes into the client's scratch memory, valid until the next decoding. */
#define META_DECODE(op, name, ret)                                                                                            \
	wp_##name##_rep_decode((op)->call.reply, (op)->call.reply_len, (op)->c->scratch, CLIENT_SCRATCH, ret)
void cl_mdt_submit_queue(struct mdt *t);
void cl_op_slot_put(struct client_op *op);
#define REQ_TYPES(X)                                                                                                          \
	X(lookup, LOOKUP, true, false)                                                                                        \
	X(getattr, GETATTR, false, false)                                                                                     \
	X(setattr, SETATTR, true, true)                                                                                       \
	X(readlink, READLINK, false, false)                                                                                   \
	X(mknod, MKNOD, true, true)                                                                                           \
	X(mkdir, MKDIR, true, true)                                                                                           \
	X(symlink, SYMLINK, true, true)                                                                                       \
	X(unlink, UNLINK, true, true)                                                                                         \
	X(rmdir, RMDIR, true, true)                                                                                           \
	X(rename, RENAME, true, true)                                                                                         \
	X(link, LINK, true, true)                                                                                             \
	X(open, OPEN, true, true)                                                                                             \
	X(create, CREATE, true, true)                                                                                         \
	X(close, CLOSE, false, true)                                                                                          \
	X(readdir, READDIR, true, false)                                                                                      \
	X(opendir, OPENDIR, true, false)                                                                                      \
	X(access, ACCESS, true, false)                                                                                        \
	X(statfs, STATFS, false, false)                                                                                       \
	X(getxattr, GETXATTR, true, false)                                                                                    \
	X(listxattr, LISTXATTR, true, false)                                                                                  \
	X(setxattr, SETXATTR, true, true)                                                                                     \
	X(removexattr, REMOVEXATTR, true, true)                                                                               \
	X(lock, LOCK, false, false)                                                                                           \
	X(lock_test, LOCK_TEST, false, false)                                                                                 \
	X(lock_cancel, LOCK_CANCEL, false, false)                                                                             \
	X(lock_release_owner, LOCK_RELEASE_OWNER, false, false)                                                               \
	X(set_layout, SET_LAYOUT, true, true)                                                                                 \
	X(get_path, GET_PATH, false, false)                                                                                   \
	X(meta_sync, META_SYNC, false, false)                                                                                 \
	X(refresh_cap, REFRESH_CAP, false, false)                                                                             \
	X(reclaim, RECLAIM, false, false)

#define X(name, NAME, cred, mutates) extern const struct req_type cl_req_##name;
REQ_TYPES(X)
#undef X

/* ---- map.c */
void cl_map_init(struct client *c);
/* The map is new, or could not be fetched. */
void cl_start_map_ready(struct client *c, int err);
void cl_map_stop(struct client *c);
void cl_map_watch(struct client *c);

/* ---- session.c, peers.c ------------------------------------------------------------------------------------------ */

struct mdt *cl_mdt_get(struct client *c, uint32_t target);
struct ost *cl_ost_get(struct client *c, uint32_t target);
void cl_mdt_free(struct mdt *t);
void cl_mdt_ping_start(struct mdt *t);
void cl_mdts_free(struct client *c);
void cl_osts_free(struct client *c);
void cl_mdt_attach(void *arg, struct rpc_peer *peer, struct rpc_conn *conn);
void cl_mdt_detach_wait(struct mdt *t);
void cl_mdt_init_session(struct mdt *t);
/* Is the file's handle still known to the server, as far as we know? */
bool cl_file_stale(struct client_file *f);

/* ---- file.c ------------------------------------------------------------------------------------------------------ */

struct grant *cl_grant_new(const struct wp_layout *l, const struct wp_cap *cap);
void cl_grant_ref(struct grant *g);
void cl_grant_unref(struct grant *g);
/* The file's grant with a reference; NULL: it has none. */
struct grant *cl_file_grant(struct client_file *f);
struct client_inode *cl_inode_get(struct client_mount *m, const struct wp_fid *fid);
void cl_inode_put(struct client_inode *in);
void cl_inodes_free(struct client_mount *m);
void cl_inode_heard_size(struct client_inode *in, uint64_t size);
/* An answer to a stat or a read of an object: shows what others wrote, and what a target lost. The first needs no file. */
void cl_inode_heard_obj(struct client_mount *m, const struct grant *g, const struct io *io);
void cl_file_heard_obj(struct client_file *f, const struct grant *g, const struct io *io);
struct obj_state *cl_inode_obj(struct client_inode *in, const struct grant *g, uint32_t index);
void cl_inode_mark_clean(struct client_inode *in, struct obj_state *o);
/* A write, allocation or the like of the file succeeded on one object. */
void cl_file_wrote(struct client_file *f, const struct grant *g, const struct io *io);
/* Nothing is known of the file's objects any more: no hints. */
void cl_file_unknown(struct client_file *f);
/* lock.c: what a restarted target will be told that we hold; type UNLOCK: not any more. */
void cl_lock_held(struct client_inode *in, const struct client_lock *l);
/* read.c: a read now would change the access time. */
bool cl_atime_due(struct client_file *f, uint64_t wall_ns);
/* What a sole writer knows; false: not enough for a hint. */
bool cl_file_get_hint(struct client_file *f, struct wp_data_hint *h);

/* ---- io.c -------------------------------------------------------------------------------------------------------- */

/* Starts a round of object calls: pump is called now and after each call, done (also with op->io_err) when none is left. */
void cl_op_ios(struct client_op *op, void (*pump)(struct client_op *op), void (*io_done)(struct client_op *op, struct io *io),
	    void (*done)(struct client_op *op));
bool cl_op_ios_room(const struct client_op *op);
/* A call to one object of op->grant; starts with cl_io_go. */
struct io *cl_io_new(struct client_op *op, uint16_t what, uint32_t component, uint32_t stripe);
/* A call to a target as a whole. */
struct io *cl_io_new_target(struct client_op *op, uint16_t what, uint32_t target);
void cl_io_go(struct io *io);
void cl_io_free(struct io *io);
void cl_ios_free_kept(struct client_op *op);
void cl_ios_abort(struct client_op *op);
uint32_t cl_grant_obj_index(const struct grant *g, uint32_t component, uint32_t stripe);
void cl_io_pool_done(struct client *c);

/* ---- names.c, inode.c */

/* Continuation for replies that are an entry: decodes, settles, finishes. */
void cl_op_entry_done(struct client_op *op, int err);
/* Bound of an encoded layout. */
uint32_t cl_layout_bound(const struct wp_layout *l);

/* ---- copy.c */

/* COLLAPSE_RANGE and INSERT_RANGE of op->file, op->offset, op->length. */
void cl_move_range(struct client_op *op, bool insert);

/* ---- lease.c ----------------------------------------------------------------------------------------------------- */

void cl_session_init_leases(struct session *s);
void cl_session_done_leases(struct session *s);
/* A request that was sent at sent_ns was answered. False: too late, what the answer grants is void. */
bool cl_lease_renew(struct client *c, struct mdt *t, uint64_t sent_ns);
/* Everything cached under the session may not be used from now on. */
void cl_lease_stop(struct session *s);
/* What a reply says of an inode; returns the lease bits held. Entries without fid are skipped. */
uint32_t cl_learn(struct client_op *op, const struct wp_entry *e);
/* The same, and that name in this directory stands for child (NULL: nothing) after it. Sets res.entry_ttl_ns. */
void cl_learn_name(struct client_op *op, const struct wp_entry *dir, struct wp_str name, const struct wp_attr *child);
/* learn, and settle into res.attr with its time to live; then next. */
void cl_op_learn_settle(struct client_op *op, const struct wp_entry *e, void (*next)(struct client_op *op, int err));
/* A directory was removed; whoever is in it still sees it. */
void cl_learn_dead(struct client_op *op, const struct wp_attr *a);
/* The outcome of a change is unknown, or its names are gone: nothing of the inode is sure. */
void cl_learn_doubt(struct client_op *op, const struct wp_fid *dir);
void cl_mdt_notice(void *arg, struct rpc_peer *peer, struct rpc_conn *conn, uint16_t op, const uint8_t *body, uint32_t len);
/* May this connection attach? False: the target was restarted, and what was cached must go first; t is woken when it has. */
bool cl_lease_ready(struct mdt *t, uint64_t boot_epoch);
void cl_leases_give_back(struct mdt *t);
void cl_mdt_forget_recalls(struct mdt *t);
/* session.c; with the mount locked */
void cl_session_wake(struct session *s);

/* ---- settle.c ---------------------------------------------------------------------------------------------------- */

/* Brings size, mtime and blocks of *e (decoded, scratch memory) into op->res.attr up to date; then next. */
void cl_op_settle(struct client_op *op, const struct wp_entry *e, void (*next)(struct client_op *op, int err));

#endif
