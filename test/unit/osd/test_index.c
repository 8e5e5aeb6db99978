/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The index: transactions, order, iteration, journals above, persistence. */
#include "tap.h"
#include "world.h"

#include "env/env_linux.h"

static struct osd_slice text(const char *s) { return osd_slice(s, strlen(s)); }

static int put(struct world *w, const char *key, const char *value, uint64_t seq, osd_commit_fn *fn, void *arg)
{
	struct osd_txn t;

	osd_txn_init(&t);
	if (value)
		osd_txn_put(&t, text(key), text(value));
	else
		osd_txn_del(&t, text(key));
	return osd_txn_submit(w->dev, &t, seq, fn, arg);
}

static bool has(struct world *w, const char *key, const char *value)
{
	struct osd_slice v;
	int r = osd_get(w->dev, text(key), &v);

	if (!value)
		return r == -ENOENT;
	return r == 0 && v.len == strlen(value) && !memcmp(v.p, value, v.len);
}

static void check_basic(struct world *w)
{
	struct osd_slice k, v;
	struct osd_iter it;
	char all[64] = "";

	ok(put(w, "b", "2", OSD_SEQ_NONE, NULL, NULL) == 0 && has(w, "b", "2"), "visible at once");
	(void)!put(w, "a", "1", OSD_SEQ_NONE, NULL, NULL);
	(void)!put(w, "d", "", OSD_SEQ_NONE, NULL, NULL);
	(void)!put(w, "c", "3", OSD_SEQ_NONE, NULL, NULL);
	ok(has(w, "d", ""), "an empty value is a value");
	(void)!put(w, "b", NULL, OSD_SEQ_NONE, NULL, NULL);
	(void)!put(w, "nothing", NULL, OSD_SEQ_NONE, NULL, NULL);
	ok(has(w, "b", NULL), "deleted");
	osd_iter_init(&it, w->dev, osd_slice("", 0));
	while (osd_next(&it, &k, &v) == 0) {
		strncat(all, k.p, k.len);
		if (*(const char *)k.p == 'a') /* a change in front of the walk */
			(void)!put(w, "cc", "x", OSD_SEQ_NONE, NULL, NULL);
	}
	ok(!strcmp(all, "acccd"), "walks in order and sees what comes in front: %s", all);
	osd_iter_after(&it, w->dev, text("c"));
	ok(osd_next(&it, &k, &v) == 0 && k.len == 2, "after a key");
	ok(world_sync(w) == 0, "sync");
	ok(has(w, "a", "1") && has(w, "b", NULL) && has(w, "cc", "x"), "the same from below");
}

static void count_commit(void *arg, int err)
{
	unsigned *n = arg;

	*n = err ? 1000 : *n * 10 + 1;
}

static void second_commit(void *arg, int err) { *(unsigned *)arg = *(unsigned *)arg * 10 + 2; }

static void check_journal(struct world *w)
{
	unsigned order = 0;

	(void)!put(w, "j1", "x", 10, count_commit, &order);
	(void)!put(w, "j2", "y", 11, second_commit, &order);
	ok(has(w, "j2", "y"), "unstable changes are visible");
	for (int i = 0; i < 20; i++)
		env_linux_run_once(w->env, false);
	ok(order == 0 && w->ops->applied(w->dev) < 10, "but not durable");
	w->ops->stable(w->dev, 11);
	ok(world_sync(w) == 0, "sync of what is stable");
	is_int(order, 12, "commits in order");
	is_int(w->ops->applied(w->dev), 11, "applied");
}

/* Random changes against a model, with reopening where the backend keeps data. */
static void check_random(struct world *w, bool keeps)
{
	enum { KEYS = 300 };
	static char model[KEYS][16];
	unsigned bad = 0;

	srand(1);
	memset(model, 0, sizeof(model));
	for (unsigned i = 0; i < 6000; i++) {
		unsigned k = (unsigned)rand() % KEYS;
		char key[16];

		snprintf(key, sizeof(key), "r%05u", k * 7);
		if (rand() % 3)
			snprintf(model[k], sizeof(model[k]), "%u", i);
		else
			model[k][0] = '\0';
		(void)!put(w, key, model[k][0] ? model[k] : NULL, OSD_SEQ_NONE, NULL, NULL);
		if (i % 500 == 0)
			env_linux_run_once(w->env, false);
		if (i % 2000 == 1999) {
			(void)!world_sync(w);
			if (keeps)
				world_reopen(w);
		}
	}
	for (unsigned k = 0; k < KEYS; k++) {
		char key[16];

		snprintf(key, sizeof(key), "r%05u", k * 7);
		bad += !has(w, key, model[k][0] ? model[k] : NULL);
	}
	is_int(bad, 0, "random changes agree with the model");
}

static void check_unstable_is_cut(struct world *w)
{
	(void)!put(w, "tail", "x", 1000, NULL, NULL);
	(void)!world_sync(w);
	world_reopen(w);
	ok(has(w, "tail", NULL), "what was never stable is gone after reopening");
	ok(has(w, "j1", "x"), "what was is not");
	is_int(w->ops->applied(w->dev), 11, "applied survives");
}

static void check_txn_bytes(void)
{
	struct osd_txn t, u;
	struct osd_slice k, v;
	size_t pos = 0;
	unsigned refused = 0;

	osd_txn_init(&t);
	osd_txn_put(&t, text("key"), text("value"));
	osd_txn_del(&t, text("gone"));
	ok(osd_txn_decode(&u, t.ops.p, t.ops.len) == 0 && u.count == 2, "decodes its own bytes");
	ok(osd_txn_next(&u, &pos, &k, &v) && v.len == 5 && osd_txn_next(&u, &pos, &k, &v) && !v.p &&
		   !osd_txn_next(&u, &pos, &k, &v),
	   "walks the operations");
	osd_txn_done(&u);
	for (size_t n = 1; n < t.ops.len; n++) {
		int r = osd_txn_decode(&u, t.ops.p, n);

		if (r == 0)
			osd_txn_done(&u);
		refused += r == -EBADMSG;
	}
	is_int(refused, t.ops.len - 2, "torn bytes are refused (but for a whole first operation)");
	osd_txn_done(&t);
}

static void check_all(struct world *w)
{
	bool keeps = world_keeps(w);

	check_basic(w);
	check_journal(w);
	if (keeps)
		check_unstable_is_cut(w);
	check_random(w, keeps);
}

int main(void)
{
	check_txn_bytes();
	world_each(check_all);
	return done_testing();
}
