/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "world.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/crc.h"
#include "env/env_linux.h"

static void check(int r, const char *what)
{
	if (r < 0) {
		printf("Bail out! %s: %d\n", what, r);
		exit(1);
	}
}

static const struct osd_ops *base_ops(const struct world *w)
{
	return osd_backend(!strncmp(w->stack, "fault-", 6) ? w->stack + 6 : w->stack);
}

static struct osd_params params(struct world *w)
{
	return (struct osd_params){ .env = w->env_used ? w->env_used : w->env,
				    .path = w->path,
				    .capacity = w->capacity,
				    .below = w->below,
				    .seed = w->seed };
}

static void open_stack(struct world *w)
{
	const struct osd_ops *base = base_ops(w);
	struct osd_params p;

	if (base == w->ops) {
		p = params(w);
		check(w->ops->open(&p, &w->dev), "open");
		return;
	}
	p = params(w);
	if (!w->below)
		check(base->open(&p, &w->below), "open below");
	p = params(w);
	check(w->ops->open(&p, &w->dev), "open");
}

void world_open_seeded(struct world *w, const char *stack, uint64_t capacity, uint64_t seed)
{
	struct osd_params p;

	memset(w, 0, sizeof(*w));
	check(env_linux_new(NULL, &w->env), "env");
	strcpy(w->path, "/tmp/weft-osd-XXXXXX");
	check(mkdtemp(w->path) ? 0 : -1, "mkdtemp");
	w->capacity = capacity;
	w->stack = stack;
	w->seed = seed;
	w->ops = strncmp(stack, "fault-", 6) ? base_ops(w) : osd_backend("fault");
	p = params(w);
	check(base_ops(w)->format(&p), "format");
	open_stack(w);
}

void world_open(struct world *w, const char *stack, uint64_t capacity) { world_open_seeded(w, stack, capacity, 1); }

bool world_keeps(const struct world *w) { return strstr(w->stack, "disk") != NULL; }

void world_reopen(struct world *w)
{
	if (w->dev)
		w->dev->ops->close(w->dev);
	w->below = NULL;
	open_stack(w);
}

void world_power_cut(struct world *w, uint64_t seed)
{
	w->below = osd_fault_power_cut(w->dev);
	w->seed = seed;
	open_stack(w);
}

void world_close(struct world *w, bool remove)
{
	char cmd[128];

	if (w->dev)
		w->dev->ops->close(w->dev);
	env_linux_run_once(w->env, false); /* what the device had posted to itself is freed there */
	env_linux_free(w->env);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", w->path);
	if (remove && system(cmd))
		printf("# %s stays\n", w->path);
}

void world_each(void (*checks)(struct world *w))
{
	static const char *const stacks[] = { "mem", "disk", "fault-mem", "fault-disk" };

	for (size_t i = 0; i < ARRAY_SIZE(stacks); i++) {
		struct world w;

		printf("# %s\n", stacks[i]);
		world_open(&w, stacks[i], 0);
		checks(&w);
		(void)!world_sync(&w);
		world_close(&w, true);
	}
}

void world_wait(struct world *w, const bool *flag)
{
	while (!*flag)
		env_linux_run_once(w->env, true);
}

static void io_done(struct osd_io *io) { *(bool *)io->arg = true; }

int world_io(struct world *w, struct osd_io *io)
{
	bool done = false;

	io->done = io_done;
	io->arg = &done;
	osd_io(w->dev, io);
	if (done)
		printf("Bail out! completed from inside\n");
	world_wait(w, &done);
	return io->err;
}

/* Checksums per block touched. */
static uint32_t *crcs_of(uint64_t offset, const uint8_t *p, size_t len)
{
	uint32_t *crcs = xcalloc(len / WP_BLOCK_SIZE + 2, sizeof(*crcs));
	unsigned i = 0;

	for (uint64_t at = offset; at < offset + len; i++) {
		uint64_t n = MIN((at / WP_BLOCK_SIZE + 1) * WP_BLOCK_SIZE, offset + len) - at;

		crcs[i] = crc32c(0, p + (at - offset), n);
		at += n;
	}
	return crcs;
}

int world_write(struct world *w, const struct wp_objid *obj, uint64_t offset, const void *p, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)p, len };
	struct osd_io io = { .op = OSD_WRITE, .obj = *obj, .offset = offset, .length = len, .iov = &iov, .iov_n = 1 };
	int r;

	io.crcs = crcs_of(offset, p, len);
	r = world_io(w, &io);
	free(io.crcs);
	return r;
}

int64_t world_read(struct world *w, const struct wp_objid *obj, uint64_t offset, void *p, size_t len)
{
	struct iovec iov = { p, len };
	struct osd_io io = { .op = OSD_READ, .obj = *obj, .offset = offset, .length = len, .iov = &iov, .iov_n = 1 };
	cleanup_free uint32_t *crcs = xcalloc(len / WP_BLOCK_SIZE + 2, sizeof(*crcs)), *want = NULL;
	int r;

	io.crcs = crcs;
	r = world_io(w, &io);
	if (r < 0)
		return r;
	want = crcs_of(offset, p, io.bytes);
	for (uint64_t i = 0; io.bytes && i <= (offset + io.bytes - 1) / WP_BLOCK_SIZE - offset / WP_BLOCK_SIZE; i++)
		if (crcs[i] != want[i])
			return -EILSEQ;
	return (int64_t)io.bytes;
}

static void synced(void *arg, int err) { *(int *)arg = err ? err : 1; }

int world_sync(struct world *w)
{
	int state = 0;

	w->ops->sync(w->dev, synced, &state);
	while (!state)
		env_linux_run_once(w->env, true);
	return state == 1 ? 0 : state;
}
