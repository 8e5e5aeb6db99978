/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "gate.h"

#define GATE_MAGIC 0x67617465u

struct gate {
	struct osd_dev dev;
	uint32_t magic;
	struct osd_dev *below;
	bool shut;
	unsigned out;      /* calls that the device has not answered, and the process */
	struct list ios;   /* gate_io */
	struct list waits; /* gate_commit */
	env_fn *applied_fn;
	void *applied_arg;
};

/* A call that the device works on, with memory of its own. */
struct gate_io {
	struct list link;
	struct gate *g;
	struct osd_io io, *user;
	struct iovec iov;
	void *crcs;
};

struct gate_commit {
	struct list link;
	struct gate *g;
	osd_commit_fn *fn;
	void *arg;
};

static struct gate *gate_of(struct osd_dev *d)
{
	struct gate *g = container_of(d, struct gate, dev);

	OBJ_CHECK(g, GATE_MAGIC);
	return g;
}

static void put(struct gate *g)
{
	if (--g->out || !g->shut)
		return;
	OBJ_FINI(g);
	free(g);
}

static void committed(void *arg, int err)
{
	struct gate_commit c = *(struct gate_commit *)arg;

	list_del(&((struct gate_commit *)arg)->link);
	free(arg);
	if (!c.g->shut && c.fn)
		c.fn(c.arg, err);
	put(c.g);
}

static struct gate_commit *commit_new(struct gate *g, osd_commit_fn *fn, void *arg)
{
	struct gate_commit *c = NEW(struct gate_commit);

	*c = (struct gate_commit){ .g = g, .fn = fn, .arg = arg };
	list_append(&g->waits, &c->link);
	g->out++;
	return c;
}

static void gate_close(struct osd_dev *d) { gate_shut(d); }
static void gate_statfs(struct osd_dev *d, struct osd_space *ret) { gate_of(d)->below->ops->statfs(gate_of(d)->below, ret); }
static uint64_t gate_verifier(struct osd_dev *d) { return gate_of(d)->below->ops->verifier(gate_of(d)->below); }

static void gate_sync(struct osd_dev *d, osd_commit_fn *fn, void *arg)
{
	struct gate *g = gate_of(d);

	if (!g->shut)
		g->below->ops->sync(g->below, committed, commit_new(g, fn, arg));
}

static int gate_txn_submit(struct osd_dev *d, struct osd_txn *t, uint64_t seq, osd_commit_fn *fn, void *arg)
{
	struct gate *g = gate_of(d);
	struct gate_commit *c;
	int r;

	if (g->shut)
		return -EIO;
	c = commit_new(g, fn, arg);
	r = osd_txn_submit(g->below, t, seq, committed, c);
	if (r < 0) {
		list_del(&c->link);
		free(c);
		g->out--;
	}
	return r;
}

static void gate_stable(struct osd_dev *d, uint64_t seq)
{
	if (!gate_of(d)->shut)
		gate_of(d)->below->ops->stable(gate_of(d)->below, seq);
}

static uint64_t gate_applied(struct osd_dev *d) { return gate_of(d)->below->ops->applied(gate_of(d)->below); }

static void applied_grew(void *arg)
{
	struct gate *g = arg;

	if (!g->shut && g->applied_fn)
		g->applied_fn(g->applied_arg);
}

static void gate_on_applied(struct osd_dev *d, env_fn *fn, void *arg)
{
	struct gate *g = gate_of(d);

	g->applied_fn = fn;
	g->applied_arg = arg;
	g->below->ops->on_applied(g->below, applied_grew, g);
}

static int gate_get(struct osd_dev *d, struct osd_slice key, struct osd_slice *value) { return osd_get(gate_of(d)->below, key, value); }

static int gate_next(struct osd_iter *it, struct osd_slice *key, struct osd_slice *value)
{
	struct osd_dev *own = it->dev;
	int r;

	it->dev = gate_of(own)->below;
	r = osd_next(it, key, value);
	it->dev = own;
	return r;
}

static void gate_checkpoint(struct osd_dev *d, int (*fn)(void *arg, struct osd_slice key, struct osd_slice value),
			    osd_commit_fn *done, void *arg)
{
	struct gate *g = gate_of(d);

	if (!g->shut)
		g->below->ops->checkpoint(g->below, fn, done, arg);
}

static int gate_list(struct osd_dev *d, const struct wp_objid *after, struct wp_objid *ret, unsigned max, unsigned *n)
{
	return gate_of(d)->below->ops->list(gate_of(d)->below, after, ret, max, n);
}

/* ---- objects ---- */

static void scatter(const struct osd_io *user, const uint8_t *from, uint64_t bytes)
{
	for (int i = 0; i < user->iov_n && bytes; i++) {
		uint64_t n = MIN(bytes, user->iov[i].iov_len);

		memcpy(user->iov[i].iov_base, from, n);
		from += n;
		bytes -= n;
	}
}

static void gather(const struct osd_io *user, uint8_t *to)
{
	for (int i = 0; i < user->iov_n; i++) {
		memcpy(to, user->iov[i].iov_base, user->iov[i].iov_len);
		to += user->iov[i].iov_len;
	}
}

static size_t crcs_bytes(const struct osd_io *io) { return (io->length / WP_BLOCK_SIZE + 2) * sizeof(uint32_t); }

static void io_free(struct gate_io *x)
{
	list_del(&x->link);
	free(x->iov.iov_base);
	free(x->crcs);
	free(x);
}

static void io_done(struct osd_io *io)
{
	struct gate_io *x = io->arg;
	struct gate *g = x->g;
	struct osd_io *user = x->user;

	if (!g->shut) {
		user->err = io->err;
		user->bytes = io->bytes;
		user->stat = io->stat;
		user->offset = io->offset;
		if (io->op == OSD_READ && !io->err) {
			scatter(user, x->iov.iov_base, io->bytes);
			if (io->bytes)
				memcpy(user->crcs, x->crcs, ((io->offset + io->bytes - 1) / WP_BLOCK_SIZE -
							     io->offset / WP_BLOCK_SIZE + 1) * sizeof(uint32_t));
		}
		user->done(user);
	}
	io_free(x);
	put(g);
}

static void gate_io(struct osd_dev *d, struct osd_io *user)
{
	struct gate *g = gate_of(d);
	struct gate_io *x;

	if (g->shut)
		return;
	x = NEW(struct gate_io);
	x->g = g;
	x->user = user;
	x->io = *user;
	x->io.done = io_done;
	x->io.arg = x;
	if (user->op == OSD_READ || user->op == OSD_WRITE) {
		x->iov = (struct iovec){ .iov_base = xmalloc(user->length + 1), .iov_len = user->length };
		x->crcs = xmalloc(crcs_bytes(user));
		x->io.iov = &x->iov;
		x->io.iov_n = 1;
		x->io.crcs = x->crcs;
	}
	if (user->op == OSD_WRITE) {
		gather(user, x->iov.iov_base);
		memcpy(x->crcs, user->crcs, ((user->offset + user->length - 1) / WP_BLOCK_SIZE - user->offset / WP_BLOCK_SIZE + 1) *
						    sizeof(uint32_t));
	}
	list_append(&g->ios, &x->link);
	g->out++;
	osd_io(g->below, &x->io);
}

static const struct osd_ops gate_ops = {
	.name = "gate",
	.close = gate_close,
	.statfs = gate_statfs,
	.verifier = gate_verifier,
	.sync = gate_sync,
	.txn_submit = gate_txn_submit,
	.stable = gate_stable,
	.applied = gate_applied,
	.on_applied = gate_on_applied,
	.get = gate_get,
	.next = gate_next,
	.checkpoint = gate_checkpoint,
	.io = gate_io,
	.list = gate_list,
};

struct osd_dev *gate_new(struct osd_dev *below, struct env *env)
{
	struct gate *g = NEW(struct gate);

	OBJ_INIT(g, GATE_MAGIC);
	g->dev = (struct osd_dev){ .ops = &gate_ops, .env = env };
	g->below = below;
	g->out = 1;
	list_init(&g->ios);
	list_init(&g->waits);
	return &g->dev;
}

void gate_stop(struct osd_dev *dev) { gate_of(dev)->shut = true; }

void gate_shut(struct osd_dev *dev)
{
	struct gate *g = gate_of(dev);

	g->shut = true;
	if (g->applied_fn)
		g->below->ops->on_applied(g->below, NULL, NULL);
	put(g);
}

void gate_abandon(struct osd_dev *dev)
{
	struct gate *g = gate_of(dev);
	struct gate_commit *c;

	while (!list_empty(&g->ios))
		io_free(list_first(&g->ios, struct gate_io, link));
	while ((c = list_pop(&g->waits, struct gate_commit, link)))
		free(c);
	OBJ_FINI(g);
	free(g);
}
