/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A whole cluster in one reactor for tests of the client: a management daemon and a metadata target that are simple and in memory,
 * and real storage targets over memory. It counts, fails and delays on demand.
 */
#ifndef WEFT_TEST_FAKE_CLUSTER_H
#define WEFT_TEST_FAKE_CLUSTER_H

#include "env/env.h"
#include "osd/osd.h"
#include "rpc/rpc.h"
#include "storage/storage.h"

#define FC_INODES 4096
#define FC_OSTS 4
#define FC_SLOTS_MAX 512

struct fc_lock {
	uint64_t owner;
	struct rpc_req *req; /* waits; NULL: holds */
	struct list link;
};

struct fc_inode {
	bool used;
	struct wp_attr attr;
	uint32_t parent;
	char name[256];
	char target[1024];
	unsigned writers, handles;
	uint32_t targets[1 + FC_OSTS];
	struct wp_component comps[2];
	struct list append; /* struct fc_lock, the first one holds */
};

struct fc_slot {
	uint64_t xid;
	uint32_t status;
	uint8_t *body;
	size_t len;
};

struct fc {
	struct env *env;
	struct rpc_node *node;
	struct rpc_service mgmtd, meta;
	char addr[128];
	uint8_t key[32];
	struct storage_target *st[FC_OSTS];
	struct osd_dev *dev[FC_OSTS];
	struct fc_inode inodes[FC_INODES]; /* 1 is the root */
	uint32_t next;
	uint64_t session, client_id, boot_epoch;
	bool reclaim;
	unsigned slots_wanted;
	struct fc_slot slots[FC_SLOTS_MAX];
	struct list maps;   /* map_get requests that wait */
	unsigned cap_life_s;
	/* what to do */
	unsigned drop_replies;    /* so many mutations lose their reply: the connection is cut after execution */
	unsigned need_groups;     /* gid that a request must carry in its groups; 0: none */
	bool mute;                /* nothing is answered any more */
	/* what happened */
	unsigned executed, replayed, opens_reclaimed, locks_reclaimed, hints, caps_given, creates, max_busy, busy;
	struct wp_data_hint last_hint;
	bool last_close_wrote;
};

void fc_start(struct fc *fc, struct env *env, const char *addr);
void fc_stop(struct fc *fc);
/* The reply cache is emptied. */
void fc_forget_slots(struct fc *fc);
/* The metadata target restarts: handles and locks are forgotten, sessions and the reply cache are not. */
void fc_meta_restart(struct fc *fc);
/* The session is forgotten as well. */
void fc_evict(struct fc *fc);
/* A storage target restarts and loses all unsynced data, hence has another verifier. */
void fc_storage_restart(struct fc *fc, unsigned i);

#endif
