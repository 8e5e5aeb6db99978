/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What both transports share: the session, and what libfuse neither asks for nor shows. */
#include "fuse/chan.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"
#include "fuse/chan_priv.h"

#define INIT_TIMEOUT_MS 30000

/* Known to newer kernels than the headers here. */
#define INIT_PARALLEL_DIROPS (1u << 18)
#define INIT_MAX_PAGES (1u << 22)
#define INIT_HANDLE_KILLPRIV_V2 (1u << 28)
#define INIT_EXT (1u << 30)
#define INIT2_DIRECT_IO_ALLOW_MMAP (1u << 4)
#define INIT2_OVER_IO_URING (1u << 9)
#define OPEN_PARALLEL_DIRECT_WRITES (1u << 6)
#define IN_WRITE_KILL_SUIDGID (1u << 2)
#define IN_OPEN_KILL_SUIDGID (1u << 0)
#define IN_SETATTR_KILL_SUIDGID (1u << 11)

static _Thread_local struct chan *current; /* the channel of this thread */
static _Thread_local bool next_open_parallel;
static struct {
	uint64_t unique; /* of the INIT request, while it is being answered */
	uint64_t offered;
	uint64_t agreed;
	bool want_uring;
	int fd; /* notifications are written there */
} init = { .fd = -1 };

/* ---- request memory ----------------------------------------------------------------------------------------------- */

struct chan_buf *chan_buf_keep(void)
{
	current->kept = true;
	return current->buf;
}

void chan_buf_put(struct chan_buf *b)
{
	/* an entry of the ring went back to the kernel with the reply */
	if (b->dev)
		chan_dev_put(b);
}

void *chan_buf_room(struct chan_buf *b, size_t size)
{
	weft_assert(size <= CHAN_PAYLOAD_MAX);
	return b->room;
}

/* ---- what libfuse hides ------------------------------------------------------------------------------------------- */

static const void *request_arg(uint32_t opcode)
{
	const struct fuse_in_header *h = current->request;

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

static bool payload_fits(const struct fuse_init_out *out)
{
	return out->max_write <= CHAN_PAYLOAD_MAX &&
	       (!(out->flags & INIT_MAX_PAGES) || out->max_pages * 4096u <= CHAN_PAYLOAD_MAX);
}

static void patch_init(struct fuse_init_out *out)
{
	uint32_t wanted2 = INIT2_DIRECT_IO_ALLOW_MMAP | (init.want_uring && payload_fits(out) ? INIT2_OVER_IO_URING : 0);

	out->flags |= (uint32_t)init.offered & (INIT_PARALLEL_DIROPS | INIT_HANDLE_KILLPRIV_V2);
	if (init.offered & INIT_EXT) {
		out->flags |= INIT_EXT;
		out->flags2 |= (uint32_t)(init.offered >> 32) & wanted2;
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

/* ---- notifications ------------------------------------------------------------------------------------------------ */

#define NOTIFY_INC_EPOCH 8 /* Linux 6.16 */

static void notify(int code, void *body, size_t len)
{
	struct fuse_out_header h = { .len = (uint32_t)(sizeof(h) + len), .error = code };
	struct iovec iov[2] = { { &h, sizeof(h) }, { body, len } };

	/* ENOENT: the kernel does not know the inode. ENOTCONN: unmounted. Neither has anything to drop. */
	if (init.fd >= 0 && writev(init.fd, iov, body ? 2 : 1) < 0 && errno != ENOENT && errno != ENOTCONN && errno != ENODEV)
		log_warn("fuse", "the kernel refuses notification %d: %s, ignoring", code, strerror(errno));
}

static void inval_inode(fuse_ino_t ino, int64_t off)
{
	struct fuse_notify_inval_inode_out out = { .ino = ino, .off = off };

	notify(FUSE_NOTIFY_INVAL_INODE, &out, sizeof(out));
}

void chan_inval_names(void) { notify(NOTIFY_INC_EPOCH, NULL, 0); }
void chan_inval_attr(fuse_ino_t ino) { inval_inode(ino, -1); }
void chan_inval_data(fuse_ino_t ino) { inval_inode(ino, 0); }

/* ---- libfuse's way to the kernel ---------------------------------------------------------------------------------- */

static ssize_t chan_writev(int fd, struct iovec *iov, int n, void *userdata)
{
	const struct fuse_out_header *h = iov[0].iov_base;

	if (init.unique && h->unique == init.unique && n == 2 && iov[1].iov_len >= 24 && h->error == 0)
		patch_init(iov[1].iov_base);
	if (next_open_parallel && h->error == 0)
		patch_open(iov, n);
	next_open_parallel = false;
	if (chan_ring_is_ours(h->unique))
		return chan_ring_reply(current ? current->ring : NULL, iov, n);
	return writev(current && current->dev ? chan_dev_fd(current->dev) : fd, iov, n);
}

static ssize_t chan_read(int fd, void *buf, size_t len, void *userdata) { return read(fd, buf, len); }

int chan_choose(enum chan_transport wish, enum chan_transport *ret)
{
	bool offered = wish != CHAN_CLASSIC && chan_ring_offered();

	if (wish == CHAN_URING && !offered)
		return -EOPNOTSUPP;
	*ret = offered ? CHAN_URING : CHAN_CLASSIC;
	return 0;
}

/* The kernel's first request, and the only one until it is answered. */
static int answer_init(struct fuse_session *session, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t size = CHAN_HEADERS_MAX + CHAN_PAYLOAD_MAX; /* the kernel insists on room for any request */
	cleanup_free char *mem = malloc(size);
	struct fuse_buf buf = { .mem = mem };
	ssize_t n;

	if (!mem)
		return -ENOMEM;
	if (poll(&p, 1, INIT_TIMEOUT_MS) <= 0)
		return -ETIMEDOUT;
	n = read(fd, mem, size);
	if (n < 0)
		return -errno;
	buf.size = (size_t)n;
	if (buf.size < sizeof(struct fuse_in_header) || ((struct fuse_in_header *)buf.mem)->opcode != FUSE_INIT)
		return -EPROTO;
	note_init(buf.mem);
	fuse_session_process_buf(session, &buf);
	return init.agreed && !fuse_session_exited(session) ? 0 : -EPROTO;
}

int chan_setup_session(struct fuse_session *session, enum chan_transport *transport)
{
	static const struct fuse_custom_io io = { .writev = chan_writev, .read = chan_read };
	int fd = fuse_session_fd(session), flags = fcntl(fd, F_GETFL), r;

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	r = fuse_session_custom_io(session, &io, fd);
	if (r < 0)
		return r;
	init.want_uring = *transport == CHAN_URING;
	r = answer_init(session, fd);
	init.fd = r ? -1 : fd;
	*transport = init.agreed & (uint64_t)INIT2_OVER_IO_URING << 32 ? CHAN_URING : CHAN_CLASSIC;
	return r;
}

/* ---- channels ----------------------------------------------------------------------------------------------------- */

bool chan_handle(struct chan *c, struct chan_buf *b, void *request, size_t len)
{
	struct fuse_buf fbuf = { .size = len, .mem = request };

	current = c;
	c->request = request;
	c->buf = b;
	c->kept = false;
	fuse_session_process_buf(c->p.session, &fbuf);
	return c->kept;
}

void chan_end(struct chan *c)
{
	if (c->ended)
		return;
	c->ended = true;
	if (c->dev)
		chan_dev_stop(c->dev);
	c->p.ended(c->p.arg);
}

int chan_new(const struct chan_params *p, struct chan **ret)
{
	struct chan *c = NEW(struct chan);
	int r = 0;

	OBJ_INIT(c, CHAN_MAGIC);
	c->p = *p;
	current = c;
	if (p->queues_n)
		r = chan_ring_new(c, &c->ring);
	if (!r && p->device)
		r = chan_dev_new(c, &c->dev);
	if (r < 0) {
		chan_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void chan_drain(struct chan *c)
{
	if (c && c->ring)
		chan_ring_drain(c->ring);
}

void chan_free(struct chan *c)
{
	if (!c)
		return;
	OBJ_CHECK(c, CHAN_MAGIC);
	chan_dev_free(c->dev);
	chan_ring_free(c->ring);
	if (current == c)
		current = NULL;
	OBJ_FINI(c);
	free(c);
}
