/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "fuse/chan.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "env/env_linux.h"

#define CHAN_MAGIC 0x6368616eu
#define REQUEST_HEADERS_MAX 4096u
#define REQUEST_MAX ((1u << 20) + REQUEST_HEADERS_MAX) /* max_write and the headers */
#define READS_PER_ROUND 32u		 /* then others have a turn */
#define FREE_BUFS_MAX 16u

/* Known to newer kernels than the headers here. */
#define INIT_PARALLEL_DIROPS (1u << 18)
#define INIT_HANDLE_KILLPRIV_V2 (1u << 28)
#define INIT_EXT (1u << 30)
#define INIT2_DIRECT_IO_ALLOW_MMAP (1u << 4)
#define OPEN_PARALLEL_DIRECT_WRITES (1u << 6)
#define IN_WRITE_KILL_SUIDGID (1u << 2)
#define IN_OPEN_KILL_SUIDGID (1u << 0)
#define IN_SETATTR_KILL_SUIDGID (1u << 11)

struct chan_buf {
	struct list node;
	struct chan *chan;
	char *mem; /* mapped, touched only as far as it is used */
};

struct chan {
	uint32_t magic;
	struct chan_params p;
	int fd;
	bool own_fd, ended, kept;
	struct chan_buf *buf; /* of the request being handled */
	struct list free_bufs;
	unsigned free_n;
	struct env_linux_poll *poll;
	struct env_task again;
	bool again_queued;
};

static _Thread_local struct chan *current; /* the channel of this thread */
static _Thread_local bool next_open_parallel;
static struct {
	uint64_t unique; /* of the INIT request */
	uint64_t offered;
	uint64_t agreed;
} init;

/* ---- request buffers ----------------------------------------------------------------------------------------------------------- */

static struct chan_buf *buf_get(struct chan *c)
{
	struct chan_buf *b = list_pop(&c->free_bufs, struct chan_buf, node);
	void *mem;

	if (b) {
		c->free_n--;
		return b;
	}
	mem = mmap(NULL, REQUEST_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED)
		return NULL;
	b = NEW(struct chan_buf);
	b->chan = c;
	b->mem = mem;
	return b;
}

static void buf_release(struct chan *c, struct chan_buf *b)
{
	if (c->free_n < FREE_BUFS_MAX) {
		list_push(&c->free_bufs, &b->node);
		c->free_n++;
		return;
	}
	munmap(b->mem, REQUEST_MAX);
	free(b);
}

struct chan_buf *chan_buf_keep(void)
{
	current->kept = true;
	return current->buf;
}

void chan_buf_put(struct chan_buf *b) { buf_release(b->chan, b); }

void *chan_buf_room(struct chan_buf *b, size_t size)
{
	weft_assert(size <= REQUEST_MAX - REQUEST_HEADERS_MAX);
	return b->mem + REQUEST_HEADERS_MAX;
}

/* ---- what libfuse hides ------------------------------------------------------------------------------------------------------------ */

static const void *request_arg(uint32_t opcode)
{
	const struct fuse_in_header *h = (const void *)current->buf->mem;

	return h->opcode == opcode ? h + 1 : NULL;
}

bool chan_write_kills_suid(void)
{
	const struct fuse_write_in *in = request_arg(FUSE_WRITE);

	return in && (in->write_flags & IN_WRITE_KILL_SUIDGID);
}

bool chan_open_kills_suid(void)
{
	const struct fuse_open_in *open = request_arg(FUSE_OPEN);
	const struct fuse_create_in *create = request_arg(FUSE_CREATE);

	return (open && (open->open_flags & IN_OPEN_KILL_SUIDGID)) || (create && (create->open_flags & IN_OPEN_KILL_SUIDGID));
}

bool chan_setattr_kills_suid(void)
{
	const struct fuse_setattr_in *in = request_arg(FUSE_SETATTR);

	return in && (in->valid & IN_SETATTR_KILL_SUIDGID);
}

void chan_next_open_is_parallel(void) { next_open_parallel = true; }
uint64_t chan_features(void) { return init.agreed; }

static void note_init(const struct fuse_in_header *h)
{
	const struct fuse_init_in *in = (const void *)(h + 1);

	init.unique = h->unique;
	init.offered = in->flags;
	if (in->flags & INIT_EXT)
		init.offered |= (uint64_t)in->flags2 << 32;
}

static void patch_init(struct fuse_init_out *out)
{
	out->flags |= (uint32_t)init.offered & (INIT_PARALLEL_DIROPS | INIT_HANDLE_KILLPRIV_V2);
	if (init.offered & INIT_EXT) {
		out->flags |= INIT_EXT;
		out->flags2 |= (uint32_t)(init.offered >> 32) & INIT2_DIRECT_IO_ALLOW_MMAP;
	}
	init.agreed = out->flags | (uint64_t)out->flags2 << 32;
	init.unique = 0;
}

/* The open flags are the last 16 bytes of an OPEN or CREATE reply. */
static void patch_open(struct iovec *iov, int n)
{
	struct fuse_open_out *out;

	if (n < 2 || iov[n - 1].iov_len < sizeof(*out))
		return;
	out = (void *)((char *)iov[n - 1].iov_base + iov[n - 1].iov_len - sizeof(*out));
	out->open_flags |= OPEN_PARALLEL_DIRECT_WRITES;
}

static ssize_t chan_writev(int fd, struct iovec *iov, int n, void *userdata)
{
	const struct fuse_out_header *h = iov[0].iov_base;

	if (init.unique && h->unique == init.unique && n == 2 && iov[1].iov_len >= 24 && h->error == 0)
		patch_init(iov[1].iov_base);
	if (next_open_parallel && h->error == 0)
		patch_open(iov, n);
	next_open_parallel = false;
	return writev(current ? current->fd : fd, iov, n);
}

static ssize_t chan_read(int fd, void *buf, size_t len, void *userdata) { return read(fd, buf, len); }

int chan_setup_session(struct fuse_session *session)
{
	static const struct fuse_custom_io io = { .writev = chan_writev, .read = chan_read };
	int fd = fuse_session_fd(session), flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return fuse_session_custom_io(session, &io, fd);
}

/* ---- the loop -------------------------------------------------------------------------------------------------------------------------- */

static void handle(struct chan *c, size_t len)
{
	struct fuse_buf fbuf = { .size = len, .mem = c->buf->mem };
	const struct fuse_in_header *h = (const void *)c->buf->mem;

	if (h->opcode == FUSE_INIT)
		note_init(h);
	c->kept = false;
	fuse_session_process_buf(c->p.session, &fbuf);
	if (c->kept)
		c->buf = NULL;
}

static void chan_end(struct chan *c)
{
	if (c->ended)
		return;
	c->ended = true;
	env_linux_poll_stop(c->poll);
	c->poll = NULL;
	c->p.ended(c->p.arg);
}

/* False when there is nothing more to read now. */
static bool read_one(struct chan *c)
{
	ssize_t n;

	if (!c->buf)
		c->buf = buf_get(c);
	if (!c->buf) {
		log_err("fuse", "out of memory for request buffers");
		return false;
	}
	n = read(c->fd, c->buf->mem, REQUEST_MAX);
	if (n > 0) {
		handle(c, (size_t)n);
		return !fuse_session_exited(c->p.session);
	}
	if (n < 0 && (errno == EINTR || errno == ENOENT)) /* ENOENT: interrupted before it was read */
		return true;
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n == 0 || errno != ENODEV)
		log_err("fuse", "reading requests: %s", n == 0 ? "end of file" : strerror(errno));
	chan_end(c);
	return false;
}

static void read_all(void *arg)
{
	struct chan *c = arg;

	OBJ_CHECK(c, CHAN_MAGIC);
	c->again_queued = false;
	current = c;
	for (unsigned i = 0; i < READS_PER_ROUND; i++)
		if (c->ended || !read_one(c))
			return;
	c->again_queued = true;
	env_post(c->p.env, &c->again);
}

static void readable(void *arg, unsigned revents)
{
	struct chan *c = arg;

	if (!c->again_queued)
		read_all(c);
	if (!c->ended && (revents & (POLLERR | POLLHUP)))
		chan_end(c);
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

int chan_new(const struct chan_params *p, struct chan **ret)
{
	struct chan *c = NEW(struct chan);
	int r;

	OBJ_INIT(c, CHAN_MAGIC);
	c->p = *p;
	list_init(&c->free_bufs);
	c->again = (struct env_task){ .fn = read_all, .arg = c };
	c->own_fd = p->clone;
	c->fd = fuse_session_fd(p->session);
	if (p->clone) {
		r = clone_device(p->session, &c->fd);
		if (r < 0) {
			free(c);
			return r;
		}
	}
	current = c;
	c->poll = env_linux_poll_fd(p->env, c->fd, POLLIN, readable, c);
	c->again_queued = true; /* what arrived before the watch */
	env_post(p->env, &c->again);
	*ret = c;
	return 0;
}

void chan_free(struct chan *c)
{
	struct chan_buf *b;

	if (!c)
		return;
	OBJ_CHECK(c, CHAN_MAGIC);
	env_linux_poll_stop(c->poll);
	while ((b = list_pop(&c->free_bufs, struct chan_buf, node))) {
		munmap(b->mem, REQUEST_MAX);
		free(b);
	}
	if (c->buf) {
		munmap(c->buf->mem, REQUEST_MAX);
		free(c->buf);
	}
	if (c->own_fd)
		close(c->fd);
	if (current == c)
		current = NULL;
	OBJ_FINI(c);
	free(c);
}
