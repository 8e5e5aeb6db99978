/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "fake.h"

#include "base/crc.h"

struct rpc_conn fake_client = { .role = WP_ROLE_CLIENT };
struct rpc_conn fake_meta = { .role = WP_ROLE_META };
struct rpc_conn fake_admin = { .role = WP_ROLE_ADMIN };

uint16_t rpc_conn_role(const struct rpc_conn *c) { return c->role; }
void *rpc_conn_data(const struct rpc_conn *c) { return c->data; }
void rpc_conn_set_data(struct rpc_conn *c, void *data) { c->data = data; }
const char *rpc_conn_name(const struct rpc_conn *c) { return "fake"; }
void rpc_conn_close(struct rpc_conn *c) { c->closed = true; }
const struct wp_uuid *rpc_conn_sender(const struct rpc_conn *c) { return &c->sender; }

struct wp_enc rpc_reply_enc(struct rpc_req *req, size_t max)
{
	struct wp_enc e;

	wp_enc_init(&e, arena_alloc(&req->arena, max), (uint32_t)max);
	return e;
}

static uint8_t *copy(const void *p, size_t len)
{
	uint8_t *m = xmalloc(len ? len : 1);

	if (len)
		memcpy(m, p, len);
	return m;
}

void rpc_reply(struct rpc_req *req, const struct rpc_reply *r)
{
	struct fake_call *c = container_of(req, struct fake_call, req);

	weft_assert(!c->replied);
	c->replied = true;
	c->err = r->err;
	c->credits = r->credits;
	c->reply = copy(r->body, r->body_len);
	c->reply_len = r->body_len;
	for (int i = 0; i < r->bulk_n; i++) {
		c->reply_bulk = xrealloc(c->reply_bulk, c->reply_bulk_len + r->bulk[i].iov_len);
		memcpy(c->reply_bulk + c->reply_bulk_len, r->bulk[i].iov_base, r->bulk[i].iov_len);
		c->reply_bulk_len += r->bulk[i].iov_len;
	}
	if (r->sent)
		r->sent(r->arg);
	arena_done(&req->arena);
}

void rpc_reply_err(struct rpc_req *req, int err) { rpc_reply(req, &(struct rpc_reply){ .err = err }); }

void fake_send(struct fake_call *c, struct storage_target *t, struct rpc_conn *conn, uint16_t op, const void *body, size_t len,
	       const void *bulk, size_t bulk_len)
{
	struct rpc_service *svc = storage_target_service(t);

	memset(c, 0, sizeof(*c));
	c->body = copy(body, len);
	if (bulk_len)
		c->bulk = copy(bulk, bulk_len);
	c->req.hdr = (struct wp_hdr){ .opcode = op, .body_len = (uint32_t)len, .bulk_len = (uint32_t)bulk_len };
	c->req.body = c->body;
	c->req.bulk = c->bulk;
	c->req.conn = conn;
	c->req.hdr.xid = conn->xid ? conn->xid : 1;
	c->req.hdr.flags = conn->flags;
	svc->request(svc->ctx, &c->req);
}

void fake_call_done(struct fake_call *c)
{
	free(c->body);
	free(c->bulk);
	free(c->reply);
	free(c->reply_bulk);
	memset(c, 0, sizeof(*c));
}

/* ---- env ---- */

static struct fake_env *self(struct env *e) { return container_of(e, struct fake_env, env); }
static uint64_t fake_mono(struct env *e) { return self(e)->mono_ns; }
static uint64_t fake_wall(struct env *e) { return self(e)->wall_ns; }

static void fake_random(struct env *e, void *p, size_t len)
{
	uint8_t *b = p;

	while (len--) {
		self(e)->seed = self(e)->seed * 6364136223846793005ull + 1442695040888963407ull;
		*b++ = (uint8_t)(self(e)->seed >> 56);
	}
}

static void fake_post(struct env *e, struct env_task *t)
{
	t->next = NULL;
	*self(e)->last = t;
	self(e)->last = &t->next;
}

/* Nobody here waits for a time. */
/* No time passes by itself: armed timers wait for ever. */
static void fake_timer_arm(struct env *e, struct env_timer *t, uint64_t deadline_ns) { t->heap_index = 1; }
static void fake_timer_cancel(struct env *e, struct env_timer *t) { t->heap_index = 0; }

static const struct env_ops fake_env_ops = { .name = "fake", .mono_ns = fake_mono, .wall_ns = fake_wall, .random = fake_random,
					     .post = fake_post, .timer_arm = fake_timer_arm, .timer_cancel = fake_timer_cancel };

void fake_env_init(struct fake_env *e)
{
	*e = (struct fake_env){ .env = { &fake_env_ops }, .mono_ns = 1, .wall_ns = 1000000 * NSEC_PER_SEC, .seed = 1 };
	e->last = &e->first;
}

void fake_env_run(struct fake_env *e)
{
	while (e->first) {
		struct env_task *t = e->first;

		e->first = t->next;
		if (!e->first)
			e->last = &e->first;
		t->fn(t->arg);
	}
}

/* ---- device ---- */

static struct fake_dev *dself(struct osd_dev *d) { return container_of(d, struct fake_dev, dev); }

static void dev_io(struct osd_dev *d, struct osd_io *io)
{
	list_append(&dself(d)->held, &io->node);
	dself(d)->held_n++;
}

static uint64_t dev_verifier(struct osd_dev *d) { return dself(d)->verifier; }

static void dev_sync(struct osd_dev *d, osd_commit_fn *fn, void *arg)
{
	dself(d)->sync_fn = fn;
	dself(d)->sync_arg = arg;
}

static void dev_statfs(struct osd_dev *d, struct osd_space *ret)
{
	(void)d;
	*ret = (struct osd_space){ .total = 100, .free = 50, .index_free = 50, .inodes = 10, .inodes_free = 5 };
}

static int dev_list(struct osd_dev *d, const struct wp_objid *after, struct wp_objid *ret, unsigned max, unsigned *n)
{
	(void)d;
	*n = 0;
	for (uint32_t oid = after->fid.oid + 1; oid <= 10 && *n < max; oid++)
		ret[(*n)++] = fake_obj(oid, 0);
	return 0;
}

static const struct osd_ops fake_dev_ops = { .name = "fake", .io = dev_io, .verifier = dev_verifier, .sync = dev_sync,
					     .statfs = dev_statfs, .list = dev_list };

void fake_dev_init(struct fake_dev *d, struct env *env)
{
	*d = (struct fake_dev){ .dev = { &fake_dev_ops, env }, .verifier = 77 };
	list_init(&d->held);
}

struct osd_io *fake_dev_first(struct fake_dev *d)
{
	return list_empty(&d->held) ? NULL : list_first(&d->held, struct osd_io, node);
}

bool fake_dev_complete(struct fake_dev *d, int err)
{
	struct osd_io *io = list_pop(&d->held, struct osd_io, node);

	if (!io)
		return false;
	d->held_n--;
	io->err = err;
	io->stat = (struct osd_objstat){ .size = 1000, .blocks = 8, .version = 3, .mtime_ns = 5 * NSEC_PER_SEC + 7 };
	if (io->op == OSD_READ) {
		for (uint64_t i = 0; i < io->length; i++)
			((uint8_t *)io->iov[0].iov_base)[i] = (uint8_t)(io->offset + i);
		io->bytes = io->length;
		(void)fake_crcs(io->iov[0].iov_base, io->offset, io->length, io->crcs);
	}
	io->done(io);
	return true;
}

/* ---- requests ---- */

const uint8_t fake_key[CAP_KEY_SIZE] = "a key that only servers have...";

struct wp_cap fake_cap(struct wp_fid fid, uint32_t rights, uint64_t expiry)
{
	static uint8_t macs[16][WP_MAC_SIZE];
	static unsigned next;
	struct wp_cap cap = { .fid = fid, .rights = rights, .layout_gen = 1, .session = 9, .expiry = expiry };

	struct cap_key key;

	cap_key_init(&key, fake_key);
	cap_sign(&key, &cap, macs[next++ % 16]);
	return cap;
}

struct wp_objid fake_obj(uint32_t oid, uint32_t stripe)
{
	return (struct wp_objid){ .fid = { .seq = 1, .oid = oid }, .stripe = stripe };
}

uint32_t fake_crcs(const uint8_t *p, uint64_t offset, uint64_t len, uint32_t *crcs)
{
	uint32_t n = 0;

	while (len) {
		uint64_t part = MIN(len, WP_BLOCK_SIZE - offset % WP_BLOCK_SIZE);

		crcs[n++] = crc32c(0, p, part);
		p += part;
		offset += part;
		len -= part;
	}
	return n;
}

void fake_read(struct fake_call *c, struct storage_target *t, struct rpc_conn *conn, struct wp_cap cap, struct wp_objid obj,
	       uint64_t offset, uint32_t len)
{
	struct wp_obj_read_req m = { .cap = cap, .obj = obj, .offset = offset, .length = len };
	uint8_t body[512];
	struct wp_enc e;

	wp_enc_init(&e, body, sizeof(body));
	wp_obj_read_req_enc(&e, &m);
	weft_assert(!e.err);
	fake_send(c, t, conn, WP_OP_OBJ_READ, body, e.len, NULL, 0);
}

void fake_write(struct fake_call *c, struct storage_target *t, struct rpc_conn *conn, struct wp_cap cap, struct wp_objid obj,
		uint64_t offset, const void *p, uint32_t len)
{
	static uint32_t crcs[WP_CRCS_MAX];
	static uint8_t body[8192];
	struct wp_obj_write_req m = { .cap = cap, .obj = obj, .offset = offset, .crcs = crcs };
	struct wp_enc e;

	m.crcs_n = fake_crcs(p, offset, len, crcs);
	wp_enc_init(&e, body, sizeof(body));
	wp_obj_write_req_enc(&e, &m);
	weft_assert(!e.err);
	fake_send(c, t, conn, WP_OP_OBJ_WRITE, body, e.len, p, len);
}
