/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* An index that outgrows LMDB's map, also while somebody walks it. */
#include "tap.h"

#include <stdlib.h>
#include <unistd.h>

#include "env/env_linux.h"
#include "osd/dindex.h"

enum { ROUNDS = 30, KEYS = 50, LEN = 4000 };

static struct env *env;
static unsigned done, failed;

static void committed(void *arg, int err)
{
	done++;
	failed += err != 0;
}

static void put(struct dindex *x, unsigned round, unsigned i, uint8_t *value)
{
	uint8_t key[8] = { 1 };

	wp_put_le32(key + 1, round * KEYS + i);
	memset(value, (int)(round + i), LEN);
	dindex_put(x, key, sizeof(key), value, LEN);
}

static unsigned missing(struct dindex *x, unsigned rounds)
{
	unsigned bad = 0;

	for (unsigned n = 0; n < rounds * KEYS; n++) {
		uint8_t key[8] = { 1 };
		struct osd_slice v;

		wp_put_le32(key + 1, n);
		if (dindex_get(x, key, sizeof(key), &v) < 0 || v.len != LEN ||
		    *(const uint8_t *)v.p != (uint8_t)(n / KEYS + n % KEYS))
			bad++;
	}
	return bad;
}

static unsigned walked;
static _Atomic bool go_on;

static int slow(void *arg, struct osd_slice key, struct osd_slice value)
{
	walked++;
	for (unsigned i = 0; walked == 1 && !go_on && i < 4000; i++)
		usleep(1000); /* with a snapshot of LMDB open: its map must stay */
	return 0;
}

static void walk_done(void *arg, int err) { *(int *)arg = err ? err : 1; }

static void round_of(struct dindex *x, unsigned r)
{
	static uint8_t value[LEN];

	for (unsigned i = 0; i < KEYS; i++)
		put(x, r, i, value);
	dindex_commit(x, OSD_SEQ_NONE, true, committed, NULL);
}

int main(void)
{
	char dir[] = "/tmp/weft-growth-XXXXXX", cmd[100];
	struct dindex_params p = { .path = dir, .map_bytes = 1 << 20 };
	unsigned bad = 0;
	struct dindex *x;
	int state = 0;

	if (!mkdtemp(dir) || env_linux_new(NULL, &env) < 0)
		bail_out("env");
	p.env = env;
	is_int(dindex_open(&p, &x), 0, "opened with a map of 1 MiB");
	dindex_start(x);
	for (unsigned r = 0; r < ROUNDS / 2; r++) {
		round_of(x, r);
		while (done <= r)
			env_linux_run_once(env, true);
		bad += missing(x, r + 1) != 0;
	}
	ok(dindex_file_bytes(x) > MIB(3), "%llu bytes are more", (unsigned long long)dindex_file_bytes(x));
	is_int(bad, 0, "all readable after each write");

	dindex_checkpoint(x, 1, slow, walk_done, &state);
	for (unsigned r = ROUNDS / 2; r < ROUNDS; r++) {
		round_of(x, r);
		for (unsigned i = 0; i < 20; i++)
			env_linux_run_once(env, false);
		usleep(2000);
	}
	ok(done < ROUNDS, "the map cannot grow while it is walked");
	is_int(missing(x, ROUNDS), 0, "what waits is readable");
	go_on = true;
	while (!state || done < ROUNDS)
		env_linux_run_once(env, true);
	ok(state == 1 && walked == ROUNDS / 2 * KEYS, "the walk saw its snapshot");
	is_int(failed, 0, "no write failed");
	is_int(missing(x, ROUNDS), 0, "all there");
	is_int(dindex_close(x), 0, "closed");
	is_int(dindex_open(&p, &x), 0, "opened again, the map smaller than the file");
	is_int(missing(x, ROUNDS), 0, "all there");
	round_of(x, ROUNDS);
	is_int(dindex_flush_blocking(x), 0, "written when opening");
	is_int(missing(x, ROUNDS + 1), 0, "and read");
	is_int(dindex_close(x), 0, "closed");
	env_linux_run_once(env, false);
	env_linux_free(env);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	(void)!system(cmd);
	return done_testing();
}
