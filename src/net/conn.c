/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "net/conn.h"

#include "base/log.h"
#include "net/frame.h"

#define CONN_MAGIC 0x6e657463u

_Static_assert(WP_BULK_MAX <= IO_BUF_MAX, "the largest bulk fits a buffer of the pool");

static void late_run(void *arg);
static void unhold_run(void *arg);
static void sent(struct env_send *s, int err);

void net_ctx_init(struct net_ctx *ctx, struct env *env)
{
	*ctx = (struct net_ctx){ .env = env, .pool = io_pool_new(env) };
	list_init(&ctx->free_tx);
	list_init(&ctx->late);
	ctx->late_task = (struct env_task){ .fn = late_run, .arg = ctx };
}

void net_ctx_done(struct net_ctx *ctx)
{
	struct net_tx *tx;

	weft_assert(list_empty(&ctx->late));
	while ((tx = list_pop(&ctx->free_tx, struct net_tx, link)))
		free(tx);
	while (ctx->bufs_n)
		free(ctx->bufs[--ctx->bufs_n]);
	weft_assert(!io_pool_used(ctx->pool));
	io_pool_free(ctx->pool);
}

/* ---- life ---------------------------------------------------------------------------------------------------------------- */

void net_conn_init(struct net_conn *nc, struct net_ctx *ctx, const struct net_conn_ops *ops)
{
	*nc = (struct net_conn){ .ctx = ctx, .ops = ops, .refs = 1 };
	OBJ_INIT(nc, CONN_MAGIC);
	nc->max_body = WP_BODY_MAX;
	nc->max_bulk = WP_BULK_MAX;
	nc->task = (struct env_task){ .fn = unhold_run, .arg = nc };
}

void net_conn_get(struct net_conn *nc) { nc->refs++; }

void net_conn_put(struct net_conn *nc)
{
	OBJ_CHECK(nc, CONN_MAGIC);
	weft_assert(nc->refs > 0);
	if (--nc->refs)
		return;
	weft_assert(!nc->ec);
	free(nc->buf);
	free(nc->big);
	OBJ_FINI(nc);
	nc->ops->release(nc);
}

void net_conn_close(struct net_conn *nc)
{
	struct env_conn *ec = nc->ec;

	if (!ec)
		return;
	nc->ec = NULL;
	nc->ctx->env->ops->conn_close(ec);
}

static void fail(struct net_conn *nc, int err)
{
	net_conn_close(nc);
	nc->ops->closed(nc, err);
}

const char *net_conn_peer(struct net_conn *nc)
{
	const char *name = nc->ec ? nc->ctx->env->ops->conn_peer(nc->ec) : NULL;

	return name ? name : "?";
}

/* ---- receiving ----------------------------------------------------------------------------------------------------------- */

static int bad(struct net_conn *nc, const char *what)
{
	nc->ctx->stats.bad_frames++;
	log_debug("net", "%s: %s", net_conn_peer(nc), what);
	return -EBADMSG;
}

static bool all_zero(const uint8_t *p, uint32_t n)
{
	while (n)
		if (p[--n])
			return false;
	return true;
}

/* Header and body are complete. */
static int check(struct net_conn *nc, const uint8_t *head, const uint8_t *body)
{
	const struct wp_hdr *h = &nc->f.hdr;

	if (!net_frame_intact(head, h, body))
		return bad(nc, "frame's checksum is wrong");
	if (!all_zero(body + h->body_len, net_frame_pad(h->body_len)))
		return bad(nc, "padding is not zero");
	nc->f.body = body;
	nc->f.bulk = NULL;
	nc->rx = NET_RX_CHECKED;
	return 1;
}

static uint32_t big_size(const struct net_conn *nc) { return nc->f.hdr.body_len + net_frame_pad(nc->f.hdr.body_len); }

static int start_big_body(struct net_conn *nc)
{
	uint32_t have = nc->wr - nc->rd - WP_HDR_SIZE;

	nc->big = malloc(big_size(nc));
	if (!nc->big)
		return -ENOMEM;
	memcpy(nc->head, nc->buf + nc->rd, WP_HDR_SIZE);
	nc->got = MIN(have, big_size(nc));
	memcpy(nc->big, nc->buf + nc->rd + WP_HDR_SIZE, nc->got);
	nc->rd += WP_HDR_SIZE + nc->got;
	nc->rx = NET_RX_BIG_BODY;
	return 1;
}

static int step_header(struct net_conn *nc)
{
	uint32_t have = nc->wr - nc->rd, total;
	const uint8_t *p = nc->buf + nc->rd;
	struct wp_hdr *h = &nc->f.hdr;

	if (have < WP_HDR_SIZE)
		return 0;
	if (net_frame_open(p, h) < 0)
		return bad(nc, "not a frame");
	if (h->body_len > nc->max_body || h->bulk_len > nc->max_bulk)
		return bad(nc, "frame is too large here");
	total = WP_HDR_SIZE + big_size(nc);
	if (total > NET_RECV_BUF)
		return start_big_body(nc);
	if (have < total)
		return 0;
	nc->rd += total;
	return check(nc, p, p + WP_HDR_SIZE);
}

static int step_checked(struct net_conn *nc)
{
	int r;

	if (!nc->f.hdr.bulk_len) {
		nc->rx = NET_RX_WHOLE;
		return 1;
	}
	r = nc->ops->bulk(nc, &nc->f);
	if (r < 0)
		return r;
	if (r == NET_HOLD) {
		nc->held = true;
		return 0;
	}
	nc->got = 0;
	nc->rx = NET_RX_BULK;
	return 1;
}

static void next_frame(struct net_conn *nc)
{
	free(nc->big);
	nc->big = NULL;
	nc->f.body = NULL;
	nc->f.bulk = NULL;
	nc->rx = NET_RX_HEADER;
	nc->ctx->stats.frames_in++;
}

static int step_bulk(struct net_conn *nc)
{
	uint32_t n = MIN(nc->wr - nc->rd, nc->f.hdr.bulk_len - nc->got);

	if (n && nc->f.bulk)
		memcpy((uint8_t *)nc->f.bulk + nc->got, nc->buf + nc->rd, n);
	nc->rd += n;
	nc->got += n;
	if (nc->got < nc->f.hdr.bulk_len)
		return 0;
	if (nc->f.bulk)
		nc->rx = NET_RX_WHOLE;
	else
		next_frame(nc);
	return 1;
}

static int step_whole(struct net_conn *nc)
{
	int r = nc->ops->frame(nc, &nc->f);

	if (r < 0)
		return r;
	if (r == NET_HOLD) {
		nc->held = true;
		return 0;
	}
	next_frame(nc);
	return 1;
}

/* 1: go on; 0: more bytes are needed, or the owner wants a pause. */
static int step(struct net_conn *nc)
{
	switch (nc->rx) {
	case NET_RX_HEADER:
		return step_header(nc);
	case NET_RX_BIG_BODY:
		return nc->got < big_size(nc) ? 0 : check(nc, nc->head, nc->big);
	case NET_RX_CHECKED:
		return step_checked(nc);
	case NET_RX_BULK:
		return step_bulk(nc);
	case NET_RX_WHOLE:
		return step_whole(nc);
	}
	return -EBADMSG;
}

/* The same buffer serves one connection after the other, and stays in the processor's cache. */
static void buf_get(struct net_conn *nc)
{
	struct net_ctx *ctx = nc->ctx;

	nc->buf = ctx->bufs_n ? ctx->bufs[--ctx->bufs_n] : xmalloc(NET_RECV_BUF);
	nc->rd = nc->wr = 0;
}

static void buf_put(struct net_conn *nc)
{
	struct net_ctx *ctx = nc->ctx;

	if (ctx->bufs_n < NET_BUFS_KEEP)
		ctx->bufs[ctx->bufs_n++] = nc->buf;
	else
		free(nc->buf);
	nc->buf = NULL;
}

static void run(struct net_conn *nc)
{
	int r;

	net_conn_get(nc);
	nc->in_loop = true;
	do {
		r = step(nc);
	} while (r > 0 && nc->ec);
	nc->in_loop = false;
	if (r < 0 && nc->ec)
		fail(nc, r);
	if (nc->held)
		nc->ctx->stats.holds++;
	else if (nc->buf && nc->rd == nc->wr && nc->rx == NET_RX_HEADER)
		buf_put(nc);
	net_conn_put(nc);
}

/* While a frame's body lies in the buffer and its bulk is on the way, the buffer is left as it is. */
static size_t recv_space(void *arg, void **p)
{
	struct net_conn *nc = arg;

	OBJ_CHECK(nc, CONN_MAGIC);
	if (nc->held)
		return 0;
	if (nc->rx == NET_RX_BIG_BODY) {
		*p = nc->big + nc->got;
		return big_size(nc) - nc->got;
	}
	if (nc->rx == NET_RX_BULK && nc->f.bulk) {
		*p = (uint8_t *)nc->f.bulk + nc->got;
		return nc->f.hdr.bulk_len - nc->got;
	}
	if (!nc->buf) {
		buf_get(nc);
	} else if (nc->rd == nc->wr) {
		nc->rd = nc->wr = 0;
	} else if (nc->rd && NET_RECV_BUF - nc->wr < NET_RECV_BUF / 2) {
		memmove(nc->buf, nc->buf + nc->rd, nc->wr - nc->rd);
		nc->wr -= nc->rd;
		nc->rd = 0;
	}
	weft_assert(nc->wr < NET_RECV_BUF);
	*p = nc->buf + nc->wr;
	return NET_RECV_BUF - nc->wr;
}

static void received(void *arg, size_t n)
{
	struct net_conn *nc = arg;

	OBJ_CHECK(nc, CONN_MAGIC);
	nc->rx_bytes += n;
	nc->ctx->stats.bytes_in += n;
	nc->ctx->stats.receives++;
	if (nc->rx == NET_RX_BIG_BODY || (nc->rx == NET_RX_BULK && nc->f.bulk))
		nc->got += (uint32_t)n;
	else
		nc->wr += (uint32_t)n;
	run(nc);
}

static void closed(void *arg, int err)
{
	struct net_conn *nc = arg;

	OBJ_CHECK(nc, CONN_MAGIC);
	nc->ec = NULL;
	net_conn_get(nc);
	nc->ops->closed(nc, err);
	net_conn_put(nc);
}

static void connected(void *arg, int err)
{
	struct net_conn *nc = arg;

	OBJ_CHECK(nc, CONN_MAGIC);
	if (err)
		nc->ec = NULL;
	net_conn_get(nc);
	nc->ops->connected(nc, err);
	net_conn_put(nc);
}

static const struct env_conn_handler handler = {
	.connected = connected, .recv_space = recv_space, .received = received, .closed = closed,
};

void net_conn_start(struct net_conn *nc, struct env_conn *ec)
{
	nc->ec = ec;
	nc->ctx->env->ops->conn_start(nc->ctx->env, ec, &handler, nc);
}

int net_conn_connect(struct net_conn *nc, const char *addr)
{
	return nc->ctx->env->ops->connect(nc->ctx->env, addr, &handler, nc, &nc->ec);
}

struct env_conn *net_conn_detach(struct net_conn *nc)
{
	struct env_conn *ec = nc->ec;

	weft_assert(nc->in_loop && ec);
	if (nc->rd != nc->wr)
		return NULL;
	nc->ec = NULL;
	nc->ctx->env->ops->conn_detach(ec);
	return ec;
}

/* From the event loop: taking up held frames inside the owner's call would call it back in the middle of something. */
static void unhold_run(void *arg)
{
	struct net_conn *nc = arg;

	nc->unhold_posted = false;
	if (nc->ec && nc->held) {
		nc->held = false;
		run(nc);
		if (nc->ec && !nc->held)
			nc->ctx->env->ops->conn_resume(nc->ec);
	}
	net_conn_put(nc);
}

void net_conn_unhold(struct net_conn *nc)
{
	if (!nc->held || !nc->ec || nc->unhold_posted)
		return;
	nc->unhold_posted = true;
	net_conn_get(nc);
	env_post(nc->ctx->env, &nc->task);
}

/* ---- sending ------------------------------------------------------------------------------------------------------------- */

static struct net_tx *tx_get(struct net_conn *nc)
{
	struct net_ctx *ctx = nc->ctx;
	struct net_tx *tx = list_pop(&ctx->free_tx, struct net_tx, link);

	if (tx)
		ctx->free_tx_n--;
	else
		tx = xmalloc(sizeof(*tx));
	tx->send = (struct env_send){ .done = sent, .arg = tx };
	tx->nc = nc;
	tx->done = NULL;
	tx->arg = NULL;
	tx->heap = NULL;
	list_init(&tx->link);
	net_conn_get(nc);
	return tx;
}

static void tx_end(struct net_tx *tx, int err)
{
	struct net_conn *nc = tx->nc;
	struct net_ctx *ctx = nc->ctx;

	if (tx->done)
		tx->done(tx, err);
	free(tx->heap);
	if (ctx->free_tx_n < NET_TX_KEEP) {
		list_push(&ctx->free_tx, &tx->link);
		ctx->free_tx_n++;
	} else {
		free(tx);
	}
	net_conn_put(nc); /* last: ctx may go with it */
}

static void sent(struct env_send *s, int err)
{
	struct net_tx *tx = s->arg;

	OBJ_CHECK(tx->nc, CONN_MAGIC);
	tx_end(tx, err);
}

static void late_run(void *arg)
{
	struct net_ctx *ctx = arg;
	struct list list;
	struct env_send *s;

	ctx->late_posted = false;
	list_init(&list);
	list_splice(&list, &ctx->late);
	while ((s = list_pop(&list, struct env_send, node)))
		sent(s, -ECANCELED);
}

static void tx_fail_later(struct net_tx *tx)
{
	struct net_ctx *ctx = tx->nc->ctx;

	list_append(&ctx->late, &tx->send.node);
	if (!ctx->late_posted) {
		ctx->late_posted = true;
		env_post(ctx->env, &ctx->late_task);
	}
}

static void tx_submit(struct net_tx *tx)
{
	if (tx->nc->ec)
		tx->nc->ctx->env->ops->conn_send(tx->nc->ec, &tx->send);
	else
		tx_fail_later(tx);
}

void net_conn_later(struct net_conn *nc, void (*done)(struct net_tx *tx, int err), void *arg)
{
	struct net_tx *tx = tx_get(nc);

	tx->done = done;
	tx->arg = arg;
	tx_fail_later(tx);
}

static void add_iov(struct net_tx *tx, const void *p, size_t len)
{
	if (len)
		tx->send.iov[tx->send.iov_n++] = (struct iovec){ (void *)(uintptr_t)p, len };
}

static void add_body(struct net_tx *tx, const struct net_msg *m)
{
	static const uint8_t zeros[8];
	uint32_t pad = net_frame_pad(m->body_len);

	if (m->body_len <= NET_TX_INLINE) {
		if (m->body_len)
			memcpy(tx->data + WP_HDR_SIZE, m->body, m->body_len);
		memset(tx->data + WP_HDR_SIZE + m->body_len, 0, pad);
		add_iov(tx, tx->data, WP_HDR_SIZE + m->body_len + pad);
		return;
	}
	if (!m->body_stays) {
		tx->heap = xmalloc(m->body_len);
		memcpy(tx->heap, m->body, m->body_len);
	}
	add_iov(tx, tx->data, WP_HDR_SIZE);
	add_iov(tx, m->body_stays ? m->body : tx->heap, m->body_len);
	add_iov(tx, zeros, pad);
}

struct net_tx *net_conn_send(struct net_conn *nc, const struct net_msg *m)
{
	struct net_ctx *ctx = nc->ctx;
	struct net_tx *tx = tx_get(nc);
	size_t bulk = 0;

	for (int i = 0; i < m->bulk_n; i++)
		bulk += m->bulk[i].iov_len;
	weft_assert(m->body_len <= WP_BODY_MAX && bulk <= WP_BULK_MAX);
	m->hdr->body_len = m->body_len;
	m->hdr->bulk_len = (uint32_t)bulk;
	net_frame_seal(tx->data, m->hdr, m->body);
	add_body(tx, m);
	for (int i = 0; i < m->bulk_n; i++) {
		if (tx->send.iov_n == (int)ARRAY_SIZE(tx->send.iov)) {
			tx_submit(tx);
			tx = tx_get(nc);
		}
		add_iov(tx, m->bulk[i].iov_base, m->bulk[i].iov_len);
	}
	tx->done = m->done;
	tx->arg = m->arg;
	ctx->stats.frames_out++;
	ctx->stats.bytes_out += WP_HDR_SIZE + m->body_len + net_frame_pad(m->body_len) + bulk;
	tx_submit(tx);
	return tx;
}
