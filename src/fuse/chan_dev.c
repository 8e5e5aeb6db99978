/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The classic transport: read(2) and writev(2) on /dev/fuse. */
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "env/env_linux.h"
#include "fuse/chan_priv.h"

#define REQUEST_MAX (CHAN_HEADERS_MAX + CHAN_PAYLOAD_MAX)
#define READS_PER_ROUND 32u /* then others have a turn */
#define FREE_BUFS_MAX 16u

struct chan_dev {
	struct chan *chan;
	int fd;
	bool own_fd;
	struct chan_buf *buf; /* for the next request */
	struct list free_bufs;
	unsigned free_n;
	struct env_linux_poll *poll;
	struct env_task again;
	bool again_queued;
};

/* ---- buffers ------------------------------------------------------------------------------------------------------ */

static struct chan_buf *buf_get(struct chan_dev *d)
{
	struct chan_buf *b = list_pop(&d->free_bufs, struct chan_buf, node);
	void *mem;

	if (b) {
		d->free_n--;
		return b;
	}
	/* mapped, touched only as far as it is used */
	mem = mmap(NULL, REQUEST_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED)
		return NULL;
	b = NEW(struct chan_buf);
	b->dev = d;
	b->mem = mem;
	b->room = b->mem + CHAN_HEADERS_MAX;
	return b;
}

static void buf_free(struct chan_buf *b)
{
	if (b)
		munmap(b->mem, REQUEST_MAX);
	free(b);
}

void chan_dev_put(struct chan_buf *b)
{
	struct chan_dev *d = b->dev;

	if (d->free_n < FREE_BUFS_MAX) {
		list_push(&d->free_bufs, &b->node);
		d->free_n++;
	} else {
		buf_free(b);
	}
}

/* ---- the loop ----------------------------------------------------------------------------------------------------- */

static void handle(struct chan_dev *d, size_t len)
{
	const struct fuse_in_header *h = (const void *)d->buf->mem;
	const struct fuse_interrupt_in *in = (const void *)(h + 1);

	/* one for a request that came through a ring, on whichever thread */
	if (h->opcode == FUSE_INTERRUPT && len >= sizeof(*h) + sizeof(*in) && chan_ring_interrupt(in->unique))
		return;
	if (chan_handle(d->chan, d->buf, d->buf->mem, len))
		d->buf = NULL;
}

/* False when there is nothing more to read now. */
static bool read_one(struct chan_dev *d)
{
	ssize_t n;

	if (!d->buf)
		d->buf = buf_get(d);
	if (!d->buf) {
		log_err("fuse", "out of memory for request buffers");
		return false;
	}
	n = read(d->fd, d->buf->mem, REQUEST_MAX);
	if (n > 0) {
		handle(d, (size_t)n);
		return !fuse_session_exited(d->chan->p.session);
	}
	if (n < 0 && (errno == EINTR || errno == ENOENT)) /* ENOENT: interrupted before it was read */
		return true;
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n == 0 || errno != ENODEV)
		log_err("fuse", "reading requests: %s", n == 0 ? "end of file" : strerror(errno));
	chan_end(d->chan);
	return false;
}

static void read_all(void *arg)
{
	struct chan_dev *d = arg;

	OBJ_CHECK(d->chan, CHAN_MAGIC);
	d->again_queued = false;
	for (unsigned i = 0; i < READS_PER_ROUND; i++)
		if (d->chan->ended || !read_one(d))
			return;
	d->again_queued = true;
	env_post(d->chan->p.env, &d->again);
}

static void readable(void *arg, unsigned revents)
{
	struct chan_dev *d = arg;

	if (!d->again_queued)
		read_all(d);
	if (revents & (POLLERR | POLLHUP))
		chan_end(d->chan);
}

static int clone_device(struct fuse_session *session, int *ret)
{
	uint32_t master = (uint32_t)fuse_session_fd(session);
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (ioctl(fd, FUSE_DEV_IOC_CLONE, &master) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	*ret = fd;
	return 0;
}

int chan_dev_new(struct chan *c, struct chan_dev **ret)
{
	struct chan_dev *d = NEW(struct chan_dev);
	int r;

	d->chan = c;
	list_init(&d->free_bufs);
	d->again = (struct env_task){ .fn = read_all, .arg = d };
	d->own_fd = c->p.clone;
	d->fd = fuse_session_fd(c->p.session);
	if (c->p.clone) {
		r = clone_device(c->p.session, &d->fd);
		if (r < 0) {
			free(d);
			return r;
		}
	}
	d->poll = env_linux_poll_fd(c->p.env, d->fd, POLLIN, readable, d);
	d->again_queued = true; /* what arrived before the watch */
	env_post(c->p.env, &d->again);
	*ret = d;
	return 0;
}

int chan_dev_fd(const struct chan_dev *d) { return d->fd; }

void chan_dev_stop(struct chan_dev *d)
{
	env_linux_poll_stop(d->poll);
	d->poll = NULL;
}

void chan_dev_free(struct chan_dev *d)
{
	struct chan_buf *b;

	if (!d)
		return;
	chan_dev_stop(d);
	while ((b = list_pop(&d->free_bufs, struct chan_buf, node)))
		buf_free(b);
	buf_free(d->buf);
	if (d->own_fd)
		close(d->fd);
	free(d);
}
