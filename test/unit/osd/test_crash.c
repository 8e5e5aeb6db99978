/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The disk engine under kill -9: what was acknowledged is there and readable, and what the index made durable as well. */
#include "tap.h"
#include "world.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "env/env_linux.h"

enum { OBJECTS = 24, SIZE = 300000, ROUNDS = 12 };

/* Shared with the child: what was acknowledged. value[] is the byte that fills [0, len) of an object. */
struct oracle {
	volatile uint32_t len[OBJECTS], pending[OBJECTS];
	volatile uint8_t value[OBJECTS], pending_value[OBJECTS];
	volatile uint64_t commits;
};

static struct oracle *oracle;
static uint8_t data[SIZE];

static void committed(void *arg, int err)
{
	if (!err)
		oracle->commits = (uint64_t)(uintptr_t)arg;
}

static noreturn_fn void work(struct world *w, unsigned seed)
{
	srand(seed);
	for (uint64_t i = oracle->commits + 1;; i++) {
		uint32_t k = (uint32_t)rand() % OBJECTS, len = 1 + (uint32_t)rand() % SIZE;
		struct wp_objid obj = obj_id(k);
		struct osd_txn t;
		uint8_t v = (uint8_t)rand();

		memset(data, v, len);
		oracle->pending_value[k] = v;
		oracle->pending[k] = len;
		if (world_write(w, &obj, 0, data, len) < 0)
			_exit(3);
		oracle->value[k] = v;
		oracle->len[k] = len;
		oracle->pending[k] = 0;
		osd_txn_init(&t);
		osd_txn_put(&t, osd_slice("n", 1), osd_slice(&i, sizeof(i)));
		if (osd_txn_submit(w->dev, &t, OSD_SEQ_NONE, committed, (void *)(uintptr_t)i) < 0)
			_exit(4);
	}
}

/* Bytes [0, len) are the acknowledged value, but where a write was in progress each may be old or new. */
static bool object_ok(struct world *w, uint32_t k)
{
	struct wp_objid obj = obj_id(k);
	int64_t n = world_read(w, &obj, 0, data, SIZE);

	if (n < (int64_t)oracle->len[k])
		return false;
	for (int64_t i = 0; i < (int64_t)oracle->len[k]; i++)
		if (data[i] != oracle->value[k] && !((uint32_t)i < oracle->pending[k] && data[i] == oracle->pending_value[k]))
			return false;
	return true;
}

static void round_trip(struct world *w, unsigned seed)
{
	unsigned bad = 0;
	struct osd_slice v;
	uint64_t n = 0;
	pid_t pid;

	env_linux_free(w->env);
	pid = fork();
	if (pid == 0) {
		struct osd_params p = { .env = NULL, .path = w->path };

		if (env_linux_new(NULL, &w->env) < 0)
			_exit(5);
		p.env = w->env;
		if (w->ops->open(&p, &w->dev) < 0)
			_exit(6);
		work(w, seed);
	}
	usleep(100000 + seed * 37000 % 400000);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	w->dev = NULL;
	if (env_linux_new(NULL, &w->env) < 0)
		bail_out("env");
	world_reopen(w);
	for (uint32_t k = 0; k < OBJECTS; k++)
		bad += !object_ok(w, k);
	is_int(bad, 0, "every acknowledged write is readable");
	if (osd_get(w->dev, osd_slice("n", 1), &v) == 0)
		memcpy(&n, v.p, sizeof(n));
	ok(n >= oracle->commits, "committed transactions are there (%llu of %llu)", (unsigned long long)n,
	   (unsigned long long)oracle->commits);
	/* What was in progress may have been written in part: settle it. */
	for (uint32_t k = 0; k < OBJECTS; k++)
		if (oracle->pending[k]) {
			struct wp_objid obj = obj_id(k);

			memset(data, oracle->value[k], SIZE);
			(void)!world_write(w, &obj, 0, data, SIZE);
			oracle->len[k] = SIZE;
			oracle->pending[k] = 0;
		}
	w->dev->ops->close(w->dev);
	w->dev = NULL;
}

int main(void)
{
	struct world w;

	oracle = mmap(NULL, sizeof(*oracle), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	world_open(&w, "disk", 0);
	w.dev->ops->close(w.dev);
	w.dev = NULL;
	for (unsigned i = 1; i <= ROUNDS; i++)
		round_trip(&w, i);
	world_close(&w, true);
	return done_testing();
}
