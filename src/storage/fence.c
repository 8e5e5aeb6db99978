/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Late repetitions.
 *
 * A client whose connection broke sends its unanswered writes again on a new one. The bytes of the old connection may still be
 * on their way to us, and must not be executed after the repetition was acknowledged: they would overwrite what was written
 * since. So while a sender has several connections, requests marked RESENT are remembered, and an unmarked request that is equal
 * to a remembered one is a straggler: its true sender waits elsewhere.
 *
 * A straggler gets NOTREADY: whoever did ask comes again, and nobody listens on the broken connection.
 */
#include "base/log.h"
#include "storage/storage_priv.h"

#define RESENT_MAX 4096u /* remembered for one sender: many times what it may have in flight */

struct sender {
	struct htab_node node; /* storage_target.senders */
	struct wp_uuid uuid;
	struct list conns;     /* fence_conn */
	struct htab resent;    /* struct resent */
	struct list order;     /* the same, oldest first */
};

struct fence_conn {
	struct list link;      /* sender.conns, oldest first */
	struct sender *sender;
	struct rpc_conn *conn;
	uint64_t number;
};

struct resent {
	struct htab_node node;
	struct list link;
	uint64_t xid;
	uint64_t newest;       /* number of the newest connection then */
	uint64_t carrier;      /* of the one that it came on */
};

void storage_fence_init(struct storage_target *t) { htab_init(&t->senders); }

static void forget(struct sender *s, struct resent *r)
{
	htab_del(&s->resent, &r->node);
	list_del(&r->link);
	free(r);
}

static void sender_free(struct storage_target *t, struct sender *s)
{
	while (!list_empty(&s->order))
		forget(s, list_first(&s->order, struct resent, link));
	htab_done(&s->resent);
	htab_del(&t->senders, &s->node);
	free(s);
}

static bool free_one(struct htab_node *n, void *arg)
{
	struct sender *s = container_of(n, struct sender, node);

	while (!list_empty(&s->conns)) {
		struct fence_conn *fc = list_first(&s->conns, struct fence_conn, link);

		list_del(&fc->link);
		free(fc);
	}
	sender_free(arg, s);
	return true;
}

void storage_fence_done(struct storage_target *t)
{
	htab_each(&t->senders, free_one, t);
	htab_done(&t->senders);
}

static struct sender *sender_get(struct storage_target *t, const struct wp_uuid *uuid)
{
	uint64_t hash = hash_bytes(uuid, sizeof(*uuid), t->caps.seed);
	struct htab_node *n;
	struct sender *s;

	htab_each_match(n, &t->senders, hash) {
		s = container_of(n, struct sender, node);
		if (wp_uuid_eq(&s->uuid, uuid))
			return s;
	}
	s = NEW(struct sender);
	s->uuid = *uuid;
	list_init(&s->conns);
	list_init(&s->order);
	htab_init(&s->resent);
	htab_add(&t->senders, &s->node, hash);
	return s;
}

void storage_fence_up(void *ctx, struct rpc_conn *conn)
{
	struct storage_target *t = ctx;
	struct fence_conn *fc = NEW(struct fence_conn);

	OBJ_CHECK(t, STORAGE_TARGET_MAGIC);
	fc->sender = sender_get(t, rpc_conn_sender(conn));
	fc->conn = conn;
	fc->number = ++t->conn_seq;
	list_append(&fc->sender->conns, &fc->link);
	rpc_conn_set_data(conn, fc);
}

/* Is there a connection left on which a straggler of r could come? */
static bool may_straggle(const struct sender *s, const struct resent *r)
{
	const struct fence_conn *fc;

	list_each(fc, &s->conns, link)
		if (fc->number <= r->newest && fc->number != r->carrier)
			return true;
	return false;
}

void storage_fence_down(void *ctx, struct rpc_conn *conn)
{
	struct storage_target *t = ctx;
	struct fence_conn *fc = rpc_conn_data(conn);
	struct resent *r, *tmp;
	struct sender *s;

	OBJ_CHECK(t, STORAGE_TARGET_MAGIC);
	if (!fc)
		return;
	s = fc->sender;
	rpc_conn_set_data(conn, NULL);
	list_del(&fc->link);
	free(fc);
	if (list_empty(&s->conns)) {
		sender_free(t, s);
		return;
	}
	list_each_safe(r, tmp, &s->order, link)
		if (!may_straggle(s, r))
			forget(s, r);
}

/* Too much to remember: without other connections nothing needs to be. Closing is reported later, by storage_fence_down. */
static void cut_others(struct sender *s, const struct fence_conn *keep)
{
	struct fence_conn *fc;

	log_debug("storage", "%s repeats too much: its other connections are closed", rpc_conn_name(keep->conn));
	list_each(fc, &s->conns, link)
		if (fc != keep)
			rpc_conn_close(fc->conn);
	while (!list_empty(&s->order))
		forget(s, list_first(&s->order, struct resent, link));
}

static void remember(struct storage_target *t, struct fence_conn *fc, uint64_t xid, uint64_t hash)
{
	struct sender *s = fc->sender;
	struct resent *r;

	if (s->resent.count >= RESENT_MAX) {
		cut_others(s, fc);
		return;
	}
	r = NEW(struct resent);
	r->xid = xid;
	r->newest = t->conn_seq;
	r->carrier = fc->number;
	htab_add(&s->resent, &r->node, hash);
	list_append(&s->order, &r->link);
}

bool storage_fence_stale(struct storage_target *t, const struct rpc_req *req)
{
	struct fence_conn *fc = rpc_conn_data(req->conn);
	struct htab_node *n;
	uint64_t hash;

	/* The usual case: one connection, and nobody else's bytes on their way. */
	if (!fc || fc->sender->conns.next == fc->sender->conns.prev)
		return false;
	if (!(req->hdr.flags & WP_HDR_RESENT) && !fc->sender->resent.count)
		return false;
	hash = hash_bytes(req->body, req->hdr.body_len, t->caps.seed ^ req->hdr.xid);
	if (req->hdr.flags & WP_HDR_RESENT) {
		remember(t, fc, req->hdr.xid, hash);
		return false;
	}
	htab_each_match(n, &fc->sender->resent, hash) {
		struct resent *r = container_of(n, struct resent, node);

		if (r->xid == req->hdr.xid) {
			/* Once: should it be someone's true request after all, it comes again. */
			forget(fc->sender, r);
			return true;
		}
	}
	return false;
}
