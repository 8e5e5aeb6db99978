/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the transports share. */
#ifndef WEFT_FUSE_CHAN_PRIV_H
#define WEFT_FUSE_CHAN_PRIV_H

#include <linux/fuse.h>

#include "base/list.h"
#include "fuse/chan.h"

#define CHAN_MAGIC 0x6368616eu
#define CHAN_PAYLOAD_MAX (1u << 20) /* max_write, and the largest reply */
#define CHAN_HEADERS_MAX 4096u	    /* in front of it: the headers */

struct chan_dev;
struct chan_ring;

/* Memory of one request: of a ring entry, or (dev set) a buffer of chan_dev.c. */
struct chan_buf {
	struct chan_dev *dev;
	char *mem;
	char *room; /* for the reply */
	struct list node;
};

struct chan {
	uint32_t magic;
	struct chan_params p;
	struct chan_dev *dev;	/* NULL: another channel reads the device */
	struct chan_ring *ring; /* NULL: classic */
	bool ended;
	/* the request being handled */
	const struct fuse_in_header *request;
	struct chan_buf *buf;
	bool kept;
};

/* ---- chan.c ------------------------------------------------------------------------------------------------------- */

/* Lets libfuse handle a request of len bytes that lies in b. Returns whether b is kept. */
bool chan_handle(struct chan *c, struct chan_buf *b, void *request, size_t len);
/* The kernel side is gone. */
void chan_end(struct chan *c);

/* ---- chan_dev.c --------------------------------------------------------------------------------------------------- */

int chan_dev_new(struct chan *c, struct chan_dev **ret) must_check;
void chan_dev_free(struct chan_dev *d);
int chan_dev_fd(const struct chan_dev *d);
void chan_dev_stop(struct chan_dev *d);
void chan_dev_put(struct chan_buf *b);

/* ---- chan_ring.c -------------------------------------------------------------------------------------------------- */

/* Whether the kernel can be asked for queues at all. */
bool chan_ring_offered(void);
int chan_ring_new(struct chan *c, struct chan_ring **ret) must_check;
void chan_ring_drain(struct chan_ring *r);
void chan_ring_free(struct chan_ring *r);
/* Requests of the ring are known to libfuse under numbers of our own. */
bool chan_ring_is_ours(uint64_t unique);
/* As writev(2) of a reply with such a number. */
ssize_t chan_ring_reply(struct chan_ring *r, const struct iovec *iov, int n);
/* The kernel wants to interrupt a request, by the kernel's number. False: there are no rings. Any thread. */
bool chan_ring_interrupt(uint64_t unique);

#endif
