/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "storage/bufs.h"

#define BUF_ALIGN 4096u
#define BUF_SMALLEST 4096u
#define BUF_STEP 4u

void storage_bufs_init(struct storage_bufs *b) { memset(b, 0, sizeof(*b)); }

static void buf_free(struct storage_buf *buf)
{
	free(buf->p);
	free(buf);
}

void storage_bufs_done(struct storage_bufs *b)
{
	for (unsigned i = 0; i < STORAGE_BUF_CLASSES; i++) {
		struct storage_buf *next;

		for (struct storage_buf *buf = b->idle[i]; buf; buf = next) {
			next = buf->next;
			buf_free(buf);
		}
		b->idle[i] = NULL;
	}
	b->kept = 0;
}

static struct storage_buf *buf_new(struct storage_bufs *b, unsigned class, uint32_t size)
{
	struct storage_buf *buf = malloc(sizeof(*buf));
	void *p;

	if (!buf)
		return NULL;
	if (posix_memalign(&p, BUF_ALIGN, size)) {
		free(buf);
		return NULL;
	}
	*buf = (struct storage_buf){ .owner = b, .p = p, .size = size, .class = class };
	return buf;
}

struct storage_buf *storage_buf_get(struct storage_bufs *b, uint32_t size)
{
	uint32_t have = BUF_SMALLEST;
	unsigned class = 0;
	struct storage_buf *buf;

	while (have < size && class + 1 < STORAGE_BUF_CLASSES) {
		have *= BUF_STEP;
		class++;
	}
	weft_assert(size <= have);
	buf = b->idle[class];
	if (buf) {
		b->idle[class] = buf->next;
		b->kept -= buf->size;
	} else {
		buf = buf_new(b, class, have);
	}
	if (buf)
		b->out++;
	return buf;
}

void storage_buf_put(struct storage_buf *buf)
{
	struct storage_bufs *b = buf->owner;

	b->out--;
	if (b->kept + buf->size > STORAGE_BUFS_KEEP) {
		buf_free(buf);
		return;
	}
	buf->next = b->idle[buf->class];
	b->idle[buf->class] = buf;
	b->kept += buf->size;
}
