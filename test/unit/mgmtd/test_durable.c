/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Nothing is shown or acknowledged before it is durable; nothing is promised any more once the device has failed. */
#include "../../tap.h"
#include "world.h"

/* The device in memory, whose commits are held back while `hold` is set. */
static struct osd_ops held_ops;
static const struct osd_ops *real_ops;
static bool hold;
static osd_commit_fn *held_fn;
static void *held_arg;
static unsigned submits;

static int held_submit(struct osd_dev *dev, struct osd_txn *t, uint64_t seq, osd_commit_fn *fn, void *arg)
{
	submits++;
	if (!hold)
		return real_ops->txn_submit(dev, t, seq, fn, arg);
	weft_assert(!held_fn);
	held_fn = fn;
	held_arg = arg;
	return real_ops->txn_submit(dev, t, seq, NULL, NULL);
}

static void release(int err)
{
	osd_commit_fn *fn = held_fn;

	held_fn = NULL;
	fn(held_arg, err);
}

static void hold_commits(struct world *w)
{
	real_ops = w->dev->ops;
	held_ops = *real_ops;
	held_ops.txn_submit = held_submit;
	w->dev->ops = &held_ops;
	hold = true;
	held_fn = NULL;
	submits = 0;
}

struct creation {
	struct rpc_call call;
	bool done;
	int err;
};

static void creation_done(struct rpc_call *call)
{
	struct creation *c = call->arg;

	c->done = true;
	c->err = call->err;
}

static void create_pool(struct caller *by, struct creation *c, const char *alias)
{
	struct wp_pool_create_req in = { .alias = wp_str(alias) };

	memset(c, 0, sizeof(*c));
	rpc_call_init(&c->call, WP_OP_POOL_CREATE, creation_done, c);
	wp_pool_create_req_enc(rpc_call_enc(&c->call, 128), &in);
	rpc_call(by->peer, &c->call);
}

static bool has_pool(struct caller *c, const char *alias)
{
	struct cluster_map *map = call_map(c, 0, 0);
	bool has = cluster_map_has_pool(map, wp_str(alias));

	cluster_map_unref(map);
	return has;
}

static void test_order(void)
{
	struct creation a, b, c;
	struct caller *admin, *reader;
	struct world w;

	world_init(&w, 1);
	admin = caller_new(&w, WP_ROLE_ADMIN, "a");
	reader = caller_new(&w, WP_ROLE_CLIENT, "c");
	ok(!has_pool(reader, "a"), "no pool yet");
	hold_commits(&w);
	create_pool(admin, &a, "a");
	world_run(&w, 100);
	create_pool(admin, &b, "b");
	create_pool(admin, &c, "c");
	world_run(&w, 100);
	ok(!a.done && !b.done && !c.done, "not durable: not acknowledged");
	is_int(submits, 1, "one batch is in flight");
	ok(!has_pool(reader, "a") && !has_pool(reader, "b"), "and not shown");
	release(0);
	world_run(&w, 100);
	ok(a.done && !a.err, "durable: acknowledged");
	ok(has_pool(reader, "a"), "and shown");
	ok(!b.done && !c.done && !has_pool(reader, "b"), "later changes are not");
	is_int(submits, 2, "they are one batch together");
	hold = false;
	release(0);
	world_run(&w, 100);
	ok(b.done && c.done && !b.err && !c.err && has_pool(reader, "b") && has_pool(reader, "c"), "until they are durable");
	caller_free(admin);
	caller_free(reader);
	world_done(&w);
}

static void test_failure(void)
{
	struct creation a, b;
	struct caller *admin, *reader;
	uint32_t pool;
	struct world w;

	world_init(&w, 2);
	admin = caller_new(&w, WP_ROLE_ADMIN, "a");
	reader = caller_new(&w, WP_ROLE_CLIENT, "c");
	ok(!has_pool(reader, "a"), "no pool yet");
	hold_commits(&w);
	create_pool(admin, &a, "a");
	world_run(&w, 100);
	create_pool(admin, &b, "b");
	world_run(&w, 100);
	release(-EIO);
	world_run(&w, 100);
	ok(a.done && a.err == -EIO && b.done && b.err == -EIO, "the device fails: errors");
	ok(!has_pool(reader, "a") && !has_pool(reader, "b"), "nothing is shown");
	is_int(call_pool_create(admin, "c", &pool), -EIO, "and no change is taken any more");
	is_int(submits, 1, "none reaches the device");
	caller_free(admin);
	caller_free(reader);
	world_done(&w);
}

static void set_true(void *arg) { *(bool *)arg = true; }

static void test_stop_waits(void)
{
	struct creation a;
	struct caller *admin;
	bool stopped = false;
	struct world w;

	world_init(&w, 3);
	admin = caller_new(&w, WP_ROLE_ADMIN, "a");
	world_run(&w, 100);
	hold_commits(&w);
	create_pool(admin, &a, "a");
	world_run(&w, 100);
	ok(held_fn != NULL, "a commit is in flight");
	mgmtd_stop(w.core, set_true, &stopped);
	world_run(&w, 100);
	ok(!stopped, "a stop waits for it");
	hold = false;
	release(0);
	world_run(&w, 100);
	ok(stopped && a.done && !a.err, "and its reply goes out");
	caller_free(admin);
	world_done(&w);
}

int main(void)
{
	test_order();
	test_failure();
	test_stop_waits();
	return done_testing();
}
