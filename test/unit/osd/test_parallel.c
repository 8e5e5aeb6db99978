/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Many operations on one object at once: each takes effect in the order of submission, so each result can be foretold. */
#include "tap.h"
#include "world.h"

#include "base/crc.h"
#include "env/env_linux.h"

enum { SIZE = 1 << 18, DEPTH = 24, STEPS = 6000 };

struct slot {
	struct osd_io io;
	struct iovec iov[3];
	uint32_t crcs[80];
	uint8_t buf[SIZE], want[SIZE];
	uint64_t want_bytes, want_size;
	int want_err;
	bool busy;
};

static uint8_t model[SIZE];
static uint64_t model_size;
static bool model_exists;
static struct slot slots[DEPTH];
static unsigned bad, in_flight;
static uint64_t rng = 88172645463325252ull;

static uint64_t rnd(uint64_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng % n;
}

static void done(struct osd_io *io)
{
	struct slot *s = io->arg;

	s->busy = false;
	in_flight--;
	if (io->err != s->want_err)
		bad++;
	else if (io->op == OSD_READ && (io->bytes != s->want_bytes || memcmp(s->buf, s->want, io->bytes)))
		bad++;
	else if (io->op == OSD_STAT && !io->err && io->stat.size != s->want_size)
		bad++;
}

/* The data in up to three pieces. */
static void scatter(struct slot *s, uint64_t len)
{
	uint64_t a = rnd(len + 1), b = a + rnd(len - a + 1);

	s->iov[0] = (struct iovec){ s->buf, a };
	s->iov[1] = (struct iovec){ s->buf + a, b - a };
	s->iov[2] = (struct iovec){ s->buf + b, len - b };
	s->io.iov = s->iov;
	s->io.iov_n = 3;
	s->io.crcs = s->crcs;
}

static void set_write(struct slot *s, uint64_t at, uint64_t len)
{
	unsigned i = 0;

	for (uint64_t k = 0; k < len; k++)
		s->buf[k] = (uint8_t)rnd(256);
	for (uint64_t p = at, n; p < at + len; p += n, i++) {
		n = MIN((p / 4096 + 1) * 4096, at + len) - p;
		s->crcs[i] = crc32c(0, s->buf + (p - at), n);
	}
	memcpy(model + at, s->buf, len);
	model_size = MAX(model_size, at + len);
	model_exists = true;
}

static void set_up(struct slot *s, uint64_t at, uint64_t len)
{
	switch (s->io.op) {
	case OSD_READ:
		s->want_bytes = at < model_size ? MIN(len, model_size - at) : 0;
		memcpy(s->want, model + at, s->want_bytes);
		break;
	case OSD_WRITE:
		set_write(s, at, len);
		break;
	case OSD_TRUNCATE:
		s->io.length = at;
		if (at < model_size)
			memset(model + at, 0, model_size - at);
		model_exists |= at > 0;
		model_size = at;
		break;
	case OSD_ALLOC:
		s->io.mode = rnd(2) ? WP_ALLOC_MODE_PUNCH : WP_ALLOC_MODE_ZERO_KEEP;
		memset(model + at, 0, len);
		model_exists |= s->io.mode == WP_ALLOC_MODE_ZERO_KEEP;
		break;
	case OSD_STAT:
		s->want_err = model_exists ? 0 : -ENOENT;
		s->want_size = model_size;
		break;
	case OSD_DESTROY:
		memset(model, 0, SIZE);
		model_size = 0;
		model_exists = false;
		break;
	default:
		break;
	}
}

static void submit(struct world *w, struct slot *s)
{
	static const enum osd_io_op ops[] = { OSD_READ,	    OSD_READ,  OSD_READ,  OSD_READ, OSD_WRITE, OSD_WRITE,
					      OSD_WRITE,    OSD_WRITE, OSD_WRITE, OSD_STAT, OSD_SYNC,  OSD_ALLOC,
					      OSD_TRUNCATE, OSD_READ,  OSD_WRITE, OSD_READ };
	uint64_t at = rnd(3) ? rnd(SIZE / 2) : rnd(SIZE / 8192) * 4096, len = rnd(3) ? 1 + rnd(9000) : 4096 * (1 + rnd(8));

	s->io = (struct osd_io){ .op = rnd(300) ? ops[rnd(ARRAY_SIZE(ops))] : OSD_DESTROY,
				 .obj = obj_id(1),
				 .offset = at,
				 .length = len,
				 .done = done,
				 .arg = s,
				 .stable = rnd(40) == 0 };
	s->want_err = 0;
	s->busy = true;
	in_flight++;
	scatter(s, len);
	set_up(s, at, len);
	osd_io(w->dev, &s->io);
}

static void check_all(struct world *w)
{
	memset(model, 0, SIZE);
	model_size = bad = in_flight = 0;
	model_exists = false;
	for (unsigned i = 0; i < STEPS; i++) {
		struct slot *s = &slots[rnd(DEPTH)];

		while (s->busy)
			env_linux_run_once(w->env, true);
		submit(w, s);
		if (rnd(6) == 0)
			env_linux_run_once(w->env, false);
	}
	while (in_flight)
		env_linux_run_once(w->env, true);
	ok(!bad, "%s: results are as foretold (%u were not)", w->stack, bad);
}

int main(void)
{
	world_each(check_all);
	return done_testing();
}
