/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Exactly once: each slot of a session keeps the number and the reply of its last mutation; the record is written with the change
 * itself. Failed mutations changed nothing, so their replies are kept in memory only.
 */
#include "meta/meta_priv.h"

#define RECORD_HEADER 8u /* xid */
#define XID_HALF (1ull << 63) /* no reply yet: the truncation is done, the rest of the request is not */

static void slot_load(struct op *op, struct slot *s, uint16_t number)
{
	struct osd_slice v;
	struct key k;

	if (s->loaded)
		return;
	s->loaded = true;
	key_reply(&k, op->ses->id, number);
	if (osd_get(op->mt->dev, key_slice(&k), &v) || v.len < RECORD_HEADER)
		return;
	s->xid = wp_get_le64(v.p);
	if (s->xid & XID_HALF) {
		s->half = s->xid &= ~XID_HALF;
		return;
	}
	s->state = SLOT_DONE;
	s->err = 0;
	s->len = s->cap = (uint32_t)(v.len - RECORD_HEADER);
	s->body = xmalloc(s->len + 1u);
	memcpy(s->body, (const uint8_t *)v.p + RECORD_HEADER, s->len);
}

static void refuse(struct op *op, int err)
{
	struct rpc_req *req = op->req;

	session_put(op->ses);
	rpc_reply_err(req, err);
}

static void answer_again(struct op *op, const struct slot *s)
{
	op->mt->counters.resent_answered++;
	wp_enc_init(&op->enc, arena_dup(op->arena, s->body ? s->body : (const uint8_t *)"", s->len), s->len);
	op->enc.len = s->len;
	mop_finish(op, s->err);
}

bool reply_cache_admit(struct op *op)
{
	const struct wp_hdr *h = &op->req->hdr;
	struct slot *s;

	if (h->slot >= op->ses->n_slots || h->xid & XID_HALF) {
		refuse(op, -EINVAL);
		return false;
	}
	s = &op->ses->slots[h->slot];
	slot_load(op, s, h->slot);
	if (h->xid < s->xid) {
		op->mt->counters.stale_dropped++;
		refuse(op, -ESTALE);
		return false;
	}
	if (h->xid == s->xid && s->state == SLOT_RUNNING) {
		op->mt->counters.resent_joined++;
		op->twin = s->op->twin;
		s->op->twin = op;
		return false;
	}
	if (h->xid == s->xid && s->state == SLOT_DONE) {
		answer_again(op, s);
		return false;
	}
	if (s->state == SLOT_RUNNING)
		s->op->slot = NULL; /* its client has given it up */
	s->xid = h->xid;
	s->state = SLOT_RUNNING;
	s->op = op;
	op->slot = s;
	return true;
}

void reply_cache_record(struct op *op)
{
	uint8_t head[1024], *v = head;
	size_t len = RECORD_HEADER + op->enc.len;
	struct key k;

	if (len > sizeof(head))
		v = arena_alloc(op->arena, len);
	wp_put_le64(v, op->slot->xid);
	if (op->enc.len)
		memcpy(v + RECORD_HEADER, op->enc.p, op->enc.len);
	key_reply(&k, op->ses->id, (uint16_t)(op->slot - op->ses->slots));
	osd_txn_put(&op->txn, key_slice(&k), osd_slice(v, len));
}

void reply_cache_half(struct op *op, uint64_t session, uint16_t slot, uint64_t xid)
{
	struct session *ses = session_find(op->mt, session);
	uint8_t v[RECORD_HEADER];
	struct key k;

	if (!ses || slot >= ses->n_slots || !xid)
		return;
	if (ses->slots[slot].loaded && ses->slots[slot].xid != xid)
		return; /* given up: the slot has a later request, or its reply */
	ses->slots[slot].half = xid;
	wp_put_le64(v, xid | XID_HALF);
	key_reply(&k, session, slot);
	osd_txn_put(&op->txn, key_slice(&k), osd_slice(v, sizeof(v)));
}

bool reply_cache_is_half(const struct op *op) { return op->slot && op->slot->half && op->slot->half == op->slot->xid; }

void reply_cache_store(struct op *op)
{
	struct slot *s = op->slot;

	if (!s)
		return;
	op->slot = NULL;
	s->op = NULL;
	if (op->err == -WEFT_ENOTREADY || op->err == -WEFT_ESTALEMAP) {
		s->state = SLOT_EMPTY; /* the same request comes again and is executed then */
		return;
	}
	s->state = SLOT_DONE;
	s->err = op->err;
	s->index = op->index;
	s->len = op->err ? 0 : op->enc.len;
	if (s->len > s->cap) {
		free(s->body);
		s->cap = (uint32_t)round_up_pow2(s->len, 64);
		s->body = xmalloc(s->cap);
	}
	if (s->len)
		memcpy(s->body, op->enc.p, s->len);
}

void reply_cache_drop(struct session *ses)
{
	for (uint16_t i = 0; i < ses->n_slots; i++)
		free(ses->slots[i].body);
	free(ses->slots);
	ses->slots = NULL;
}

void reply_cache_forget(struct op *op, struct session *ses)
{
	struct osd_slice key, value;
	struct osd_iter it;
	struct key k;

	key_u64(&k, KEY_REPLY, ses->id);
	osd_iter_init(&it, op->mt->dev, key_slice(&k));
	while (!table_next(&it, KEY_REPLY, &key, &value) && !memcmp(key.p, k.b, k.len))
		osd_txn_del(&op->txn, key);
}
