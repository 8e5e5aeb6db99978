/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What sessions may cache: ARCHITECTURE.md, "Leases"; README.md has the invariants.
 *
 * A handler calls lease_want for everything that it is about to change, when it knows that it will (all checks are done), and
 * returns OP_WAIT if any says so: it is run again when the others have answered. After its commit it fills the leases of its
 * reply with lease_grant.
 */
#ifndef WEFT_META_LEASE_H
#define WEFT_META_LEASE_H

#include "base/htab.h"
#include "base/list.h"
#include "env/env.h"
#include "weft_proto.h"

struct meta_target;
struct session;
struct inode;
struct op;

/* What others lose when somebody changes: attributes; names in a directory; data or size; what he only reads; everything. */
#define LEASE_CHANGE_ATTR WP_LEASE_ATTR
#define LEASE_CHANGE_NAMES (WP_LEASE_ENTRIES | WP_LEASE_ATTR | WP_LEASE_ENTRIES_WRITE)
#define LEASE_CHANGE_DATA (WP_LEASE_ATTR | WP_LEASE_DATA_READ | WP_LEASE_DATA_WRITE)
#define LEASE_WRITERS (WP_LEASE_DATA_WRITE | WP_LEASE_ENTRIES_WRITE)
#define LEASE_ALL                                                                                                              \
	(WP_LEASE_ATTR | WP_LEASE_ENTRIES | WP_LEASE_LAYOUT | WP_LEASE_DATA_READ | WP_LEASE_DATA_WRITE | WP_LEASE_ENTRIES_WRITE)

/* What one session holds of one inode. There may be a million. */
struct lease {
	struct htab_node own;	/* lease_tab.own, by inode and session */
	struct htab_node first; /* lease_tab.inodes, by inode: one of its leases, the LEASE_FIRST one */
	struct list ring;	/* the others of the inode; without a head */
	struct list link;	/* session: lru, unsent or recalls */
	struct session *ses;
	uint64_t ino;
	uint64_t seq;		/* of the newest statement: grant or recall */
	uint32_t when_us;	/* the recall was sent; wraps */
	uint8_t bits, recalled; /* held, including those recalled and not yet released */
	uint8_t flags;
};

_Static_assert(sizeof(struct lease) <= 96, "a million leases must fit in the memory of a target");

/* An inode whose leases somebody wants back, or wanted a short time ago. */
struct lease_hot {
	struct htab_node node;
	struct list link;  /* lease_tab.hot_list, by last conflict */
	struct list waits; /* struct lease_wait: while there is one, nothing of the inode is granted */
	uint64_t ino;
	uint32_t pending;			  /* leases recalled because of a conflict, not answered */
	uint32_t conflicts;			  /* since window_ns */
	uint64_t window_ns, until_ns, backoff_ns; /* contention: no grants until */
};

struct lease_tab {
	struct htab own, inodes, hot;
	struct list hot_list;
	uint64_t limit_ns; /* silent for longer: leases are void */
	uint32_t max;
	uint32_t writers;   /* leases with a bit of LEASE_WRITERS */
	uint32_t trimming;  /* recalled to make room, not answered */
	struct list parked; /* ops that wait for answers */
	struct list ready;  /* to be run again */
	struct env_timer run_timer;
	struct list recalling; /* sessions with recalls not answered */
	struct list unsent;    /* sessions with recalls not sent */
	struct env_timer timer;
	uint64_t timer_at;
	/* after a restart */
	bool restarted; /* leases of before may be in use */
	uint32_t away;	/* sessions that had asked for leases and are not back */
	uint64_t restart_end_ns;
	struct list restart_ops;
};

/* ---- for handlers ------------------------------------------------------------------------------------------------------------ */

/*
 * Takes bits of i back from other sessions. true: op is parked and will be run again; all lease_wants of a handler are to be
 * made before it returns OP_WAIT, so that they wait for all together.
 */
bool lease_want(struct op *op, const struct inode *i, uint32_t bits) must_check;
/* The same before attributes or names are read. */
bool lease_want_read(struct op *op, const struct inode *i) must_check;
/* Takes bits back from the caller itself, which does not wait for that. When the others have answered. */
void lease_take_own(struct op *op, const struct inode *i, uint32_t bits);
/* Grants what can be granted of bits (0: nothing new) and states what is held. false: there is nothing to state. After the commit. */
bool lease_grant(struct op *op, const struct inode *i, uint32_t bits, struct wp_lease *ret);
/* Into an entry. */
bool lease_entry(struct op *op, const struct inode *i, uint32_t bits, struct wp_entry *e);
/* For a reply about a name: attributes and layout of i, what is held of dir. */
bool lease_name_entries(struct op *op, const struct inode *i, struct wp_entry *e, const struct inode *dir, struct wp_entry *de);

/* ---- for the executor ---------------------------------------------------------------------------------------------------------- */

void lease_unwait(struct op *op);			 /* it runs, or ends */
void lease_flush(struct meta_target *mt);		 /* sends the recalls that were decided */
void lease_forget(struct meta_target *mt, uint64_t ino); /* the inode is gone */
bool lease_reply_valid(const struct op *op);		 /* what the reply grants is still so */

/* ---- for sessions ----------------------------------------------------------------------------------------------------------- */

void lease_session_init(struct meta_target *mt, struct session *s);
/* Drops all: they are void, or the session ends. Returns how many there were. */
unsigned lease_session_drop(struct meta_target *mt, struct session *s);
void lease_session_void(struct meta_target *mt, struct session *s);
/* A request of it came. Who was silent for too long has forgotten its leases. Sets seen_ns. */
void lease_session_heard(struct meta_target *mt, struct session *s);
void lease_session_attached(struct meta_target *mt, struct session *s);
void lease_session_back(struct meta_target *mt, struct session *s); /* its leases of before the restart are not used any more */
void lease_conn_down(struct meta_target *mt, struct session *s);

void lease_init(struct meta_target *mt);
void lease_start(struct meta_target *mt);  /* sessions are loaded */
void lease_cancel(struct meta_target *mt); /* ops that wait end */
void lease_free(struct meta_target *mt);

/* ---- lease_wait.c, for lease.c ---------------------------------------------------------------------------------------------------- */

struct lease_hot *lease_hot_find(struct meta_target *mt, uint64_t ino);
struct lease_hot *lease_hot_get(struct meta_target *mt, uint64_t ino);
void lease_hot_conflict(struct meta_target *mt, struct lease_hot *h);
void lease_hot_answered(struct meta_target *mt, uint64_t ino); /* one of pending */
/* May anything of it be granted? */
bool lease_hot_cool(struct meta_target *mt, uint64_t ino);
void lease_park(struct op *op, struct lease_hot *h);
void lease_park_restart(struct op *op);
void lease_timer_by(struct meta_target *mt, uint64_t deadline_ns);

#endif
