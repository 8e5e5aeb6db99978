/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "io/pool.h"

#define CLASSES 11u /* IO_BUF_MIN << 10 is IO_BUF_MAX */
#define TRIM_NS (2 * NSEC_PER_SEC)

_Static_assert(IO_BUF_MIN << (CLASSES - 1) == IO_BUF_MAX, "classes");

struct io_class {
	void *first;   /* chained through their first word */
	unsigned free;
	unsigned spare; /* the smallest value of free since the last trim: so many were never needed */
};

struct io_pool {
	struct env *env;
	size_t used, kept;
	struct io_class classes[CLASSES];
	struct env_timer trim;
};

static size_t class_size(unsigned c) { return (size_t)IO_BUF_MIN << c; }

static unsigned class_of(size_t size)
{
	weft_assert(size > 0 && size <= IO_BUF_MAX);
	if (size <= IO_BUF_MIN)
		return 0;
	return (unsigned)(64 - __builtin_clzll((size - 1) / IO_BUF_MIN));
}

static void *class_pop(struct io_pool *p, unsigned c)
{
	struct io_class *k = &p->classes[c];
	void *buf = k->first;

	if (!buf)
		return NULL;
	memcpy(&k->first, buf, sizeof(void *));
	k->free--;
	k->spare = MIN(k->spare, k->free);
	p->kept -= class_size(c);
	return buf;
}

static void trim(void *arg)
{
	struct io_pool *p = arg;

	for (unsigned c = 0; c < CLASSES; c++) {
		for (unsigned n = p->classes[c].spare; n; n--)
			free(class_pop(p, c));
		p->classes[c].spare = p->classes[c].free;
	}
	if (p->kept)
		env_timer_in(p->env, &p->trim, TRIM_NS);
}

struct io_pool *io_pool_new(struct env *env)
{
	struct io_pool *p = NEW(struct io_pool);

	p->env = env;
	p->trim = (struct env_timer){ .fn = trim, .arg = p };
	return p;
}

void io_pool_free(struct io_pool *p)
{
	if (!p)
		return;
	for (unsigned c = 0; c < CLASSES; c++)
		while (p->classes[c].first)
			free(class_pop(p, c));
	env_timer_cancel(p->env, &p->trim);
	free(p);
}

void *io_buf_get(struct io_pool *p, size_t size)
{
	unsigned c = class_of(size);
	void *buf = class_pop(p, c);

	if (!buf && posix_memalign(&buf, IO_BUF_MIN, class_size(c)))
		return NULL;
	p->used += class_size(c);
	return buf;
}

void io_buf_put(struct io_pool *p, void *buf, size_t size)
{
	struct io_class *k;
	unsigned c;

	if (!buf)
		return;
	c = class_of(size);
	k = &p->classes[c];
	weft_assert(p->used >= class_size(c));
	p->used -= class_size(c);
	if (p->kept + class_size(c) > IO_POOL_KEEP) {
		free(buf);
		return;
	}
	memcpy(buf, &k->first, sizeof(void *));
	k->first = buf;
	k->free++;
	p->kept += class_size(c);
	if (!env_timer_armed(&p->trim))
		env_timer_in(p->env, &p->trim, TRIM_NS);
}

size_t io_pool_used(const struct io_pool *p) { return p->used; }
size_t io_pool_kept(const struct io_pool *p) { return p->kept; }
