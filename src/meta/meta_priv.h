/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the files of a metadata target share. README.md has the invariants.
 *
 * Everything belongs to one reactor thread; nothing here is locked.
 */
#ifndef WEFT_META_META_PRIV_H
#define WEFT_META_META_PRIV_H

#include <sys/stat.h>

#include "base/arena.h"
#include "base/htab.h"
#include "base/limits.h"
#include "base/list.h"
#include "cap/cap.h"
#include "journal/journal.h"
#include "layout/stripe.h"
#include "meta/counters.h"
#include "meta/lease.h"
#include "meta/locktab.h"
#include "meta/meta.h"
#include "proto/fid.h"
#include "proto/status.h"

#define META_MAGIC 0x6d657461u
#define OP_MAGIC 0x6d6f7000u
#define SESSION_MAGIC 0x73657373u

/* A handler's result beside 0 and errors: the op waits and will be run again, or was parked and will be finished by someone. */
#define OP_WAIT 1

#define COMPS_UNKNOWN UINT32_MAX /* components that may have objects: all */
#define OP_INODES 6u /* most inodes that one operation changes: rename with both parents, both children */

enum meta_state { META_OPENING, META_RUNNING, META_STOPPING, META_FAILED };

/* ---- inodes ------------------------------------------------------------------------------------------------------------------ */

enum {
	INO_HAS_ACL = 1,     /* access ACL beyond the mode bits */
	INO_HAS_DEFACL = 2,  /* directories: default ACL */
	INO_HAS_XATTR = 4,   /* records under 'x' exist */
	INO_WRITING = 8,     /* opened for writing and not settled since: size, mtime and blocks come from the objects */
	INO_MORE_NAMES = 16, /* records under 'b' exist */
	INO_CLOSED = 32,     /* directory was removed while in use: no new entries */
};

/* One inode record, decoded. Slices point into the op's arena. */
struct inode {
	struct wp_fid fid;
	uint32_t mode, nlink, uid, gid, rdev_major, rdev_minor, project, flags;
	uint64_t size, blocks, change, data_version;
	struct wp_time atime, mtime, ctime, btime;
	uint32_t comps;           /* components that may have objects */
	struct wp_fid parent;     /* first name: for directories the only one */
	struct wp_str name;
	struct wp_bytes extra;    /* encoded layout (files), policy (directories) or target (symbolic links) */
	bool dirty, deleted, fresh; /* in an op: to be written; to be removed; not in the index yet */
	uint64_t old_blocks; /* usage as recorded */
	uint32_t old_uid, old_gid, old_project;
};

static inline bool inode_is_dir(const struct inode *i) { return S_ISDIR(i->mode); }
static inline bool inode_is_reg(const struct inode *i) { return S_ISREG(i->mode); }

/* ---- in memory: inodes in use -------------------------------------------------------------------------------------------------- */

struct session;

struct handle {
	struct htab_node node;   /* session.handles, by number */
	struct list link;        /* minode.handles */
	struct session *ses;
	struct minode *m;
	uint64_t id;
	uint32_t flags;          /* WP_OPEN_* */
	bool shared;             /* since it was opened others wrote, resized or asked for the size: its hint is not enough */
	bool resized;            /* it changed the size itself: objects behind the size may exist */
};

/* An inode that has handles or waiting requests. */
struct minode {
	struct htab_node node;
	uint64_t ino;
	struct list handles;
	uint32_t n_handles, n_writers, lingers;
	uint32_t comps_before;   /* what could have objects before the first writer came */
	bool unwritten;          /* the record is still what it was before the first writer: nobody wrote. Not known: false */
	bool orphan;
	struct job *job;         /* settling or truncation under way */
	struct list queue;       /* ops that wait for the job to end */
};

/* ---- sessions ------------------------------------------------------------------------------------------------------------------ */

enum slot_state { SLOT_EMPTY, SLOT_RUNNING, SLOT_DONE };

struct slot {
	uint64_t xid;
	enum slot_state state;
	bool loaded;             /* the durable record was looked up */
	int err;
	uint64_t index;          /* of the journal entry that must be durable before the reply */
	uint64_t half;           /* this xid's truncation is done, before a restart: the rest of it is not. 0: none */
	struct op *op;           /* RUNNING: to which resends are joined */
	uint8_t *body;
	uint32_t len, cap;
};

struct session {
	uint32_t magic;
	struct htab_node node;
	struct list link;        /* meta_target.all_sessions, by id */
	uint64_t id, client_id;
	char host[65];
	uint32_t pid;
	uint16_t n_slots;
	struct slot *slots;
	uint64_t seen_ns;
	struct list conns;       /* struct conn_ref.link: connections attached */
	struct htab handles;
	bool reclaiming;         /* known from before the restart, has not told all it holds */
	bool dead;               /* ended; freed when no op refers to it */
	bool doomed;		 /* served no more; ends when what it holds in its memory has run out */
	uint32_t ops;            /* in the executor */
	/* leases */
	bool leases;	 /* answers recalls, may have some */
	bool lease_away; /* from before the restart, not back */
	uint32_t n_leases, lease_epoch;
	uint32_t patience, patience_us; /* times for answers begin not before; so often since the last answer */
	uint64_t lease_seq;
	struct list lru;		    /* struct lease: not recalled, the least recently used first */
	struct list unsent, recalls;	    /* recalled: not told yet; told */
	struct list unsent_link, recalling; /* lease_tab */
};

/* ---- operations ------------------------------------------------------------------------------------------------------------------ */

struct op;
typedef int op_fn(struct op *op);

struct op_desc {
	uint16_t opcode;
	uint8_t flags; /* OPF_* */
	op_fn *fn;
};

enum {
	OPF_MUTATES = 1,   /* through the reply cache */
	OPF_ANY = 2,       /* no session needed */
	OPF_ADMIN = 4,     /* not for clients */
	OPF_FREES = 8,     /* makes room in the end, or takes none: may use the reserve of a full device */
};

struct usage_delta {
	uint8_t kind;
	uint32_t id;
	int64_t bytes, inodes;
};

/* One request. In its arena. */
struct op {
	uint32_t magic;
	struct list link;        /* waiting for durability, for a job, or for a lock */
	struct meta_target *mt;
	struct rpc_req *req;
	const struct op_desc *desc;
	struct session *ses;
	struct slot *slot;
	struct op *twin;         /* resent copies of the same request: answered together */
	struct arena *arena;
	uint64_t now_ns;
	uint32_t stage;          /* of operations that run several times */
	uint64_t index;          /* reply when durable up to here */
	uint64_t saves_counter;	 /* 0, or next_counter as the transaction puts it */
	bool begun;		 /* something of it is done for good: the rest has to follow */
	bool lazy;               /* answer without waiting */
	bool frees;              /* it turned out to be as OPF_FREES */
	bool granted;		 /* the reply grants leases, */
	uint32_t lease_epoch;	 /* in this epoch of the session's */
	uint32_t lease_pending;	 /* inodes whose leases others have not given back yet */
	struct list lease_waits;
	int err;
	struct wp_enc enc;       /* reply */
	struct wp_enc enc_granted; /* the same with the leases that were granted when it was committed; p NULL: none */
	void *msg;               /* decoded request, kept over runs */
	void *priv;
	/* the transaction being built */
	struct osd_txn txn;
	struct inode inodes[OP_INODES];
	uint32_t n_inodes;
	struct list deletions;   /* struct deletion: queued when the transaction is committed */
	struct usage_delta usage[OP_INODES * 4];
	uint32_t n_usage;
};

struct usage_row {
	struct htab_node node;
	uint8_t kind;
	uint32_t id;
	uint64_t bytes, inodes;
};

struct wheel;

struct meta_target {
	uint32_t magic;
	struct meta_params params;
	struct env *env;
	struct osd_dev *dev;
	struct journal *journal;
	struct rpc_service svc;
	enum meta_state state;
	struct cap_key key;
	uint64_t boot_epoch;
	uint64_t now_ns;           /* wall clock, never falls */

	bool full;                 /* only the reserve is left */
	uint32_t space_age;        /* commits since the space was looked at */
	uint64_t space_ns;
	struct list pending;       /* ops that wait for durability, in order of index */
	struct htab sessions;
	struct list all_sessions;
	uint64_t next_session;
	struct htab minodes;
	struct list jobs;
	struct list lingering;     /* struct linger */
	struct env_timer linger_timer;
	struct locktab locks;
	struct lease_tab leases;

	uint64_t next_counter;     /* sequences: next to be given out */
	uint64_t saved_counter;	   /* as the index has it */
	uint64_t own_seq;
	uint32_t own_oid;

	unsigned posted;           /* sets of calls that are done and will say so */
	struct list deletions;     /* struct deletion, in order */
	uint32_t deleting;
	uint64_t next_q;

	struct htab usage;
	struct wheel *wheels;
	struct wp_bytes default_policy;

	bool grace;
	uint64_t grace_end_ns;
	struct env_timer timer;    /* sessions and grace */
	struct env_timer stop_timer;
	env_fn *stop_fn;
	void *stop_arg;
	uint64_t open_index;       /* ready when durable up to here */
	struct meta_counters counters;
};

/* ---- keys.c: the index, one prefix byte per table ---------------------------------------------------------------------------------- */

#define KEY_INODE 'i'
#define KEY_DENTRY 'd'
#define KEY_XATTR 'x'
#define KEY_BACK 'b'
#define KEY_ORPHAN 'o'
#define KEY_SESSION 's'
#define KEY_REPLY 'r'
#define KEY_QUEUE 'q'
#define KEY_USAGE 'u'
#define KEY_COUNTER 'c'
#define KEY_GRANT 'g'

struct key {
	uint16_t len;
	uint8_t b[OSD_KEY_MAX];
};

void key_put64(struct key *k, uint64_t v); /* big-endian */
void key_put32(struct key *k, uint32_t v);
void key_put(struct key *k, const void *p, size_t len);
static inline void key_start(struct key *k, char prefix) { k->b[0] = (uint8_t)prefix; k->len = 1; }
static inline struct osd_slice key_slice(const struct key *k) { return osd_slice(k->b, k->len); }
void key_inode(struct key *k, const struct wp_fid *fid);
void key_dentry(struct key *k, const struct wp_fid *dir, uint64_t hash, struct wp_str name);
void key_xattr(struct key *k, const struct wp_fid *fid, struct wp_str name);
void key_back(struct key *k, const struct wp_fid *fid, const struct wp_fid *parent, struct wp_str name);
void key_u64(struct key *k, char prefix, uint64_t v);
void key_reply(struct key *k, uint64_t session, uint16_t slot);
void key_usage(struct key *k, uint8_t kind, uint32_t id);
void key_counter(struct key *k, const char *name);
uint64_t key_get64(const uint8_t *p);
uint32_t key_get32(const uint8_t *p);
/* The next record of a table; -ENOENT at its end. */
int table_next(struct osd_iter *it, char prefix, struct osd_slice *key, struct osd_slice *value) must_check;

/* ---- executor.c ---------------------------------------------------------------------------------------------------------------------- */

void executor_request(void *ctx, struct rpc_req *req);
/* Runs the handler (again). */
void mop_run(struct op *op);
/* The result of a handler, or of a parked op. */
void mop_finish(struct op *op, int err);
/*
 * Submits what the op built (dirty inodes, usage, txn) with its reply-cache record and journals it. Memory may only be changed
 * after success. On an error nothing was changed.
 */
int mop_commit(struct op *op) must_check;
/* The same without reply: an intermediate step of a longer operation, or a job's. */
int mop_commit_step(struct op *op) must_check;
/* For work without a request: an op in its own memory. */
struct op *mop_internal(struct meta_target *mt);
void mop_internal_done(struct op *op);
void executor_committed(struct meta_target *mt, uint64_t index);
void executor_fail_all(struct meta_target *mt, int err);
void mop_reset(struct op *op);
/* The encoder of the reply body, with room for max bytes. */
struct wp_enc *mop_enc(struct op *op, size_t max);
/* For mutations, after the commit: the reply as it is sent now. What mop_enc has is kept, and sent when the request comes again:
 * leases are granted once. */
struct wp_enc *mop_enc_granted(struct op *op, size_t max);

/* ---- reply_cache.c --------------------------------------------------------------------------------------------------------------------- */

/* false: the request was answered or joined to the one that runs. */
bool reply_cache_admit(struct op *op);
void reply_cache_record(struct op *op);      /* adds the record to op->txn */
void reply_cache_store(struct op *op);       /* in memory, when op is finished */
/* The truncation of a request is done: should the target end before the reply is recorded, a resend must not repeat it. */
void reply_cache_half(struct op *op, uint64_t session, uint16_t slot, uint64_t xid);
bool reply_cache_is_half(const struct op *op);
void reply_cache_drop(struct session *ses);  /* frees the slots' memory */
void reply_cache_forget(struct op *op, struct session *ses); /* deletes the records */

/* ---- inode.c --------------------------------------------------------------------------------------------------------------------------- */

/* Loads once per op; later calls give the same. -ENOENT; -WEFT_ESTALEMAP for another target's. */
int ino_load(struct op *op, const struct wp_fid *fid, struct inode **ret) must_check;
/* As ino_load, but a missing inode is -ESTALE: for requests that name an inode, not a name. */
int ino_get(struct op *op, const struct wp_fid *fid, struct inode **ret) must_check;
/* Reads the record as it is in the index, without making it part of the op. */
int ino_peek(struct op *op, const struct wp_fid *fid, struct inode *ret) must_check;
/* A new one, dirty. */
struct inode *ino_new(struct op *op, const struct wp_fid *fid, uint32_t mode);
void ino_touch(struct op *op, struct inode *i, uint32_t what); /* TOUCH_*: sets times to now; marks dirty */
static inline void inode_dirty(struct inode *i) { i->dirty = true; }
void ino_encode(const struct inode *i, struct buf *b);
int ino_decode(struct arena *a, struct osd_slice v, struct inode *ret) must_check;
/* Adds the records of dirty inodes to op->txn. */
void ino_flush(struct op *op);
int ino_exists(struct meta_target *mt, const struct wp_fid *fid) must_check;
void ino_attr(const struct inode *i, struct wp_attr *ret);
/* A fid of our own for a new inode; may add to the transaction. */
int fid_alloc(struct op *op, struct wp_fid *ret) must_check;
/* The client's choice: in a sequence granted to its session and unused. Zero: ours. */
int fid_choose(struct op *op, const struct wp_fid *wanted, struct wp_fid *ret) must_check;

enum { TOUCH_ATIME = 1, TOUCH_MTIME = 2, TOUCH_CTIME = 4 };

struct wp_time time_of_ns(uint64_t ns);
int time_cmp(const struct wp_time *a, const struct wp_time *b);

/* ---- dentry.c -------------------------------------------------------------------------------------------------------------------------- */

/* 0; -ENOENT; -EINVAL, -ENAMETOOLONG for what cannot be a name. */
int name_check(struct wp_str name) must_check;
uint64_t name_hash(const struct wp_fid *dir, struct wp_str name);
int dentry_find(struct meta_target *mt, const struct wp_fid *dir, struct wp_str name, struct wp_fid *fid, uint32_t *type) must_check;
void dentry_put(struct op *op, const struct wp_fid *dir, struct wp_str name, const struct wp_fid *fid, uint32_t mode);
void dentry_del(struct op *op, const struct wp_fid *dir, struct wp_str name);
int dir_is_empty(struct meta_target *mt, const struct wp_fid *dir) must_check; /* 0 or -ENOTEMPTY */
/* The names of an inode: the first in the record, others under 'b'. */
void name_add(struct op *op, struct inode *i, const struct wp_fid *parent, struct wp_str name);
void name_remove(struct op *op, struct inode *i, const struct wp_fid *parent, struct wp_str name);

/* ---- setattr.c ---- */

bool kill_suidgid(struct inode *i);

/* ---- access.c, acl.c ---------------------------------------------------------------------------------------------------------------------- */

#define MAY_READ 4u
#define MAY_WRITE 2u
#define MAY_EXEC 1u

static inline bool cred_is_root(const struct wp_cred *c) { return c->flags & WP_CRED_CAP_DAC; }
/* 1 or 0; -WEFT_ENEEDGROUPS if only the supplementary groups can tell and they are not given. */
int cred_in_group(const struct wp_cred *c, uint32_t gid);
/* 0, -EACCES, -WEFT_ENEEDGROUPS. */
int access_check(struct op *op, const struct inode *i, const struct wp_cred *c, uint32_t mask) must_check;
/* Loads a directory and checks: -ENOTDIR. */
int dir_get(struct op *op, const struct wp_fid *fid, const struct wp_cred *c, uint32_t mask, struct inode **ret) must_check;
/* May the caller remove or rename child in dir, which it may write: the sticky bit. */
int sticky_check(const struct inode *dir, const struct inode *child, const struct wp_cred *c) must_check;

#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

int ino_acl_check(struct op *op, const struct inode *i, const struct wp_cred *c, uint32_t mask) must_check;
/* Sets the access ACL (empty: removes it) and the mode bits that follow. -EINVAL, -EOPNOTSUPP. */
int ino_acl_set_access(struct op *op, struct inode *i, struct wp_bytes acl) must_check;
int ino_acl_set_default(struct op *op, struct inode *i, struct wp_bytes acl) must_check;
int ino_acl_chmod(struct op *op, struct inode *i) must_check; /* the mode changed: the ACL follows */
/* The new inode's permission bits and ACLs from the directory's default ACL, or the umask. */
int ino_acl_inherit(struct op *op, const struct inode *dir, struct inode *child, uint32_t umask) must_check;

/* ---- xattr.c ---------------------------------------------------------------------------------------------------------------------------------- */

int xattr_read(struct op *op, const struct wp_fid *fid, struct wp_str name, struct wp_bytes *ret) must_check;
void xattr_write(struct op *op, struct inode *i, struct wp_str name, struct wp_bytes value);
void xattr_drop(struct op *op, const struct wp_fid *fid, struct wp_str name);
void xattr_drop_all(struct op *op, const struct inode *i);

/* ---- layout.c --------------------------------------------------------------------------------------------------------------------------------- */

void layout_encode(const struct wp_layout *l, struct buf *b);
/* The arrays are in the arena. */
int layout_decode(struct arena *a, struct wp_bytes in, struct wp_layout *ret) must_check;
struct wp_bytes layout_to_arena(struct arena *a, const struct wp_layout *l);
/* Chooses targets for every component of the policy. -ENOSPC: no target. */
int layout_choose(struct meta_target *mt, struct arena *a, const struct wp_layout *policy, struct wp_layout *ret) must_check;
struct wp_bytes layout_policy(struct meta_target *mt, const struct inode *dir);
void layout_init(struct meta_target *mt);
void layout_done(struct meta_target *mt);

/* ---- entry.c ------------------------------------------------------------------------------------------------------------------------------------ */

/* rights: WP_RIGHTS_* of a capability to include, with the layout; 0: none unless the file is being written. want_layout: the
 * layout in any case. */
int entry_fill(struct op *op, const struct inode *i, uint32_t rights, bool want_layout, struct wp_entry *ret) must_check;
size_t entry_size(const struct wp_entry *e);
/* The directory of a reply about names: attributes only, at most ENTRY_DIR_SIZE bytes encoded. */
void entry_dir(struct op *op, const struct inode *dir, struct wp_entry *ret);
#define ENTRY_DIR_SIZE 256u
/* An inode of which a name was removed: if that was the last, nobody can ask its objects for anything. */
int entry_fill_removed(struct op *op, const struct inode *i, struct wp_entry *ret) must_check;
/* OP_WAIT: the inode is busy with a job and its attributes are wanted: the op runs again when it is over. */
int entry_wait(struct op *op, const struct inode *i) must_check;
void make_cap(struct op *op, const struct inode *i, uint32_t rights, uint32_t layout_gen, struct wp_cap *cap, uint8_t *mac);

/* ---- minode.c, handles ------------------------------------------------------------------------------------------------------------------------------- */

struct minode *minode_find(struct meta_target *mt, const struct wp_fid *fid);
struct minode *minode_get(struct meta_target *mt, const struct wp_fid *fid); /* makes it */
void minode_put(struct meta_target *mt, struct minode *m);                  /* frees it if nothing refers to it */
struct handle *handle_find(struct session *ses, uint64_t id);
/* Prepares i's record for one more handle. Returns what handle_add wants to know: the components that may have had objects. */
uint32_t handle_prepare(struct inode *i, uint32_t flags);
/* After the commit. */
struct handle *handle_add(struct op *op, const struct inode *i, uint64_t id, uint32_t flags, uint32_t comps_before);
/* Unlinks and frees. What remains to be done for the inode is the caller's: handle_closed. */
void handle_drop(struct meta_target *mt, struct handle *h);
/* After the last handle or the last writer went: deletes an orphan, settles. */
void ino_released(struct meta_target *mt, const struct wp_fid *fid);
/* Other writers do not know the size any more. m and by may be NULL. */
void minode_size_changed(struct minode *m, struct handle *by);
/* by learns the size from the objects: should they lose data, a writer's own account must not contradict. m may be NULL. */
void minode_size_asked(struct minode *m, const struct session *by);

/* ---- linger.c ------------------------------------------------------------------------------------------------------- */

/* Before the last name of i goes by a rename; then, when that is committed, start, or unpin if it failed. */
void linger_pin(struct op *op, const struct inode *i);
void linger_start(struct meta_target *mt, const struct wp_fid *fid);
void linger_unpin(struct meta_target *mt, const struct wp_fid *fid);
void linger_init(struct meta_target *mt);
void linger_done(struct meta_target *mt);

/* ---- size.c ------------------------------------------------------------------------------------------------------------------------------------------ */

/* Makes size, mtime, blocks and data_version of the record exact as of now; ops in the queue run afterwards. */
void settle_start(struct meta_target *mt, const struct wp_fid *fid);
/* Brings the objects to size; the intent is committed with op. */
int truncate_start(struct op *op, struct inode *i, uint64_t size) must_check;
bool truncate_needed(const struct inode *i, uint64_t size);
void truncate_resume(struct meta_target *mt, uint64_t q, struct osd_slice v);
void jobs_committed(struct meta_target *mt, uint64_t index);
void jobs_free(struct meta_target *mt);
void mop_wait_job(struct op *op, struct minode *m);
/* Must the size be asked for: being written, or left so by a lost writer. */
bool ino_unsettled(struct meta_target *mt, const struct inode *i);
bool ino_needs_settling(struct meta_target *mt, const struct inode *i);

/* ---- delete.c ----------------------------------------------------------------------------------------------------------------------------------------- */

#define QUEUE_DESTROY 1
#define QUEUE_TRUNCATE 2

/* Adds what the removal of the last name of i needs to the transaction: orphan record, or removal of everything. */
void ino_unlinked(struct op *op, struct inode *i);
/* Removes one name and counts it. */
void ino_drop_name(struct op *op, struct inode *i, const struct wp_fid *parent, struct wp_str name);
/* After the commit. */
void ino_unlinked_done(struct op *op, const struct inode *i);
/* Removes the inode: record, xattrs, deletion queue. */
void ino_destroy(struct op *op, struct inode *i);
/* By the executor: op is committed; op is given up. */
void delete_take(struct op *op);
void delete_drop(struct op *op);
void delete_load(struct meta_target *mt, uint64_t q, struct osd_slice v);
void delete_committed(struct meta_target *mt);
void delete_free(struct meta_target *mt);
void orphans_sweep(struct meta_target *mt);

/* ---- usage.c ------------------------------------------------------------------------------------------------------------------------------------------- */

void usage_of_inode(struct op *op, const struct inode *i);
void usage_flush(struct op *op);   /* puts the rows */
void usage_apply(struct op *op);   /* after the commit */
int usage_load(struct meta_target *mt) must_check;
void usage_free(struct meta_target *mt);

/* ---- locks.c ---------------------------------------------------------------------------------------------------------------------------------------------- */

int lock_reclaim(struct op *op, const struct wp_lock_ref *r) must_check;
void locks_cancel_all(struct meta_target *mt);

/* ---- session.c ------------------------------------------------------------------------------------------------------------------------------------------------ */

/* What a connection's data points to. */
struct conn_ref {
	struct rpc_conn *conn;
	struct list link;
	struct session *ses; /* NULL: none, it ended, or another connection took over */
	uint16_t lane;
};

struct session *session_find(struct meta_target *mt, uint64_t id);
void session_put(struct session *ses); /* an op is done with it */
void session_end(struct meta_target *mt, struct session *s); /* nothing of it remains but for ops that still run */
/* Evicts a client that may go on using its leases until they run out: it is not served from now on, and ended then. */
void session_doom(struct meta_target *mt, struct session *s, const char *why);
/* The session of the request, if its connection is attached to it. */
struct session *session_of(struct meta_target *mt, const struct rpc_req *req);
int session_load_all(struct meta_target *mt) must_check;
void sessions_start(struct meta_target *mt); /* timers, grace */
void session_conn_down(void *ctx, struct rpc_conn *conn);
void sessions_detach(struct meta_target *mt); /* handles go, connections forget */
void sessions_free(struct meta_target *mt);

/* ---- target.c ------------------------------------------------------------------------------------------------------------------------------------------------- */

void target_failed(struct meta_target *mt, int err);
uint64_t target_now(struct meta_target *mt);
void counter_put(struct op *op, const char *name, uint64_t v);

/* ---- handlers, by subject ------------------------------------------------------------------------------------------------------------------------------------- */

op_fn meta_ping, meta_counters_get;
op_fn meta_session_open, meta_session_attach, meta_session_close, meta_session_ping, meta_reclaim, meta_session_list, meta_seq_alloc;
op_fn meta_lookup, meta_getattr, meta_readlink, meta_access, meta_statfs, meta_get_path, meta_opendir, meta_refresh_cap, meta_sync_op;
op_fn meta_setattr, meta_mknod, meta_mkdir, meta_symlink, meta_create, meta_open, meta_close, meta_unlink, meta_rmdir, meta_rename;
op_fn meta_link, meta_readdir, meta_getxattr, meta_listxattr, meta_setxattr, meta_removexattr, meta_set_layout, meta_usage_get;
op_fn meta_lease_release, meta_lock, meta_lock_test, meta_lock_cancel, meta_lock_release_owner;

/* In a handler: declares *m, the decoded request, or returns the error. Decoded once, kept over runs. */
#define META_REQ(op, type, m)                                                                                                 \
	struct wp_##type##_req *m = (op)->msg;                                                                                \
	do {                                                                                                                  \
		if (!m) {                                                                                                     \
			size_t scratch_ = wp_scratch_bound((op)->req->hdr.body_len);                                          \
			int err_;                                                                                             \
                                                                                                                              \
			m = arena_alloc((op)->arena, sizeof(*m));                                                             \
			err_ = wp_##type##_req_decode((op)->req->body, (op)->req->hdr.body_len,                               \
						      arena_alloc((op)->arena, scratch_), scratch_, m);                       \
			if (err_)                                                                                             \
				return err_;                                                                                  \
			(op)->msg = m;                                                                                        \
		}                                                                                                             \
	} while (0)

#endif
