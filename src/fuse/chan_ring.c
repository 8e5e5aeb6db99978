/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * FUSE over io_uring. The kernel has one queue per possible CPU, and puts a request into the queue of the CPU that its caller
 * runs on. An entry of a queue is a piece of our memory that the kernel fills with a request when it completes the entry's
 * command, and reads the reply from when the next command, COMMIT_AND_FETCH, is submitted: with the round's other submissions,
 * so that an operation costs no system call of its own.
 *
 * An entry is with the kernel (a command is in flight), or with us (it carries a request that was not replied to yet).
 * libfuse knows a request by a number that we make, which leads back to the entry; a number is good for one reply.
 *
 * While all entries of a queue are with us, its CPU's next request waits in the kernel, where waiting locks could make it wait
 * for ever: so there are many entries, and more are made before they run out. Their memory is only touched when used, and the
 * kernel takes the entry that was returned last.
 */
#include <liburing.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"
#include "env/env_linux.h"
#include "fuse/caller.h"
#include "fuse/chan_priv.h"

#define RINGS_MAX 1024u
#define SLAB_ENTRIES 128u
#define QUEUE_ENTRIES_MAX 2048u
#define DRAIN_NS (1 * NSEC_PER_SEC)
#define TICK_NS (1 * NSEC_PER_SEC)
#define INTERRUPT_TRIES 2u
#define ENABLE_PATH "/sys/module/fuse/parameters/enable_uring"

/* Newer than the headers here. */
#define CMD_REGISTER 1u
#define CMD_COMMIT_AND_FETCH 2u
#define OP_HEADER_MAX 128u

struct uring_ent_in_out {
	uint64_t flags, commit_id;
	uint32_t payload_size, pad;
	uint64_t reserved;
};

struct uring_headers {
	char in_out[128]; /* fuse_in_header; fuse_out_header */
	char op_in[OP_HEADER_MAX];
	struct uring_ent_in_out ent;
};

struct uring_cmd {
	uint64_t flags, commit_id;
	uint16_t queue;
	uint8_t pad[6];
	uint8_t unused[56];
};

/* ---- numbers of requests: bit 62 | ring | generation of the entry | entry | 0 (bit 0 marks interrupts) ------------- */

#define UNIQUE_OURS (1ull << 62)
#define UNIQUE_RESENT (1ull << 63)
#define RING_SHIFT 52
#define GENERATION_SHIFT 21
#define GENERATION_MASK 0x7fffffffull
#define INDEX_MASK 0xfffffull

struct entry {
	struct env_linux_op op;
	struct chan_ring *ring;
	struct queue *queue;
	struct uring_headers *headers;
	char *payload;
	struct chan_buf buf;
	struct iovec iov[2];
	uint64_t kernel_unique, unique;
	uint32_t index, generation;
	uint32_t pid;
	uint32_t tick;	  /* when the request came */
	bool busy;	  /* with us */
	bool interrupted; /* libfuse was told */
	struct list node; /* ring->busy, oldest first */
};

struct queue {
	uint16_t id;
	unsigned entries, busy;
};

struct slab {
	struct slab *next;
	void *mem;
	size_t size;
	struct entry entries[SLAB_ENTRIES];
};

struct interrupt {
	uint64_t unique; /* the kernel's */
	unsigned tries;
};

struct chan_ring {
	struct chan *chan;
	unsigned id;
	bool fixed_file;
	bool live; /* requests came */
	struct queue *queues;
	struct slab *slabs;
	struct entry **entries;
	uint32_t entries_n;
	struct list busy;
	size_t in_kernel;
	uint32_t tick;
	struct env_timer timer; /* looks at requests that take long */
	/* under the lock of rings */
	struct interrupt *interrupts;
	unsigned interrupts_n, interrupts_room;
	bool interrupts_posted;
	struct env_task interrupts_task;
};

static struct {
	pthread_mutex_t lock;
	struct chan_ring *v[RINGS_MAX];
	unsigned n;	   /* used so far */
	bool broken;	   /* the kernel went back to /dev/fuse */
} rings = { .lock = PTHREAD_MUTEX_INITIALIZER };

bool chan_ring_is_ours(uint64_t unique) { return (unique & UNIQUE_OURS) && !(unique & UNIQUE_RESENT); }

static bool enabled(void)
{
	FILE *f = fopen(ENABLE_PATH, "re");
	char c;

	if (!f)
		return false;
	if (fread(&c, 1, 1, f) != 1)
		c = 'N';
	fclose(f);
	return c == 'Y' || c == '1';
}

/* The switch only allows it to those who ask: other file systems go on as they were. Without the right it stays as it is. */
static void enable(void)
{
	int fd = open(ENABLE_PATH, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "Y", 1) == 1)
		log_info("fuse", "switched on %s", ENABLE_PATH);
	close(fd);
}

bool chan_ring_offered(void)
{
	if (!enabled())
		enable();
	return enabled();
}

/* ---- commands ----------------------------------------------------------------------------------------------------- */

static struct io_uring_sqe *command(struct entry *e, unsigned op, uint64_t commit_id)
{
	struct chan_ring *r = e->ring;
	struct io_uring_sqe *sqe = env_linux_sqe(r->chan->p.env, &e->op);
	struct uring_cmd *cmd = (void *)sqe->cmd;
	int fd = r->fixed_file ? 0 : fuse_session_fd(r->chan->p.session);

	_Static_assert(sizeof(struct uring_cmd) == 80, "the command area of a 128-byte entry");
	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, fd, NULL, 0, 0);
	sqe->cmd_op = op;
	if (r->fixed_file)
		sqe->flags |= IOSQE_FIXED_FILE;
	*cmd = (struct uring_cmd){ .commit_id = commit_id, .queue = e->queue->id };
	r->in_kernel++;
	return sqe;
}

static void register_entry(struct entry *e)
{
	struct io_uring_sqe *sqe = command(e, CMD_REGISTER, 0);

	sqe->addr = (uintptr_t)e->iov;
	sqe->len = ARRAY_SIZE(e->iov);
}

static void commit(struct entry *e, int error, size_t payload_size)
{
	struct fuse_out_header *out = (void *)e->headers->in_out;

	*out = (struct fuse_out_header){ .len = (uint32_t)(sizeof(*out) + payload_size), .error = error, .unique = e->kernel_unique };
	e->headers->ent.payload_size = (uint32_t)payload_size;
	e->busy = false;
	e->queue->busy--;
	list_del(&e->node);
	(void)command(e, CMD_COMMIT_AND_FETCH, e->headers->ent.commit_id);
}

/* ---- replies ------------------------------------------------------------------------------------------------------ */

static struct entry *entry_of(struct chan_ring *r, uint64_t unique)
{
	uint64_t index = (unique >> 1) & INDEX_MASK;
	struct entry *e = r && index < r->entries_n ? r->entries[index] : NULL;

	return e && e->busy && e->unique == unique ? e : NULL;
}

ssize_t chan_ring_reply(struct chan_ring *r, const struct iovec *iov, int n)
{
	const struct fuse_out_header *h = iov[0].iov_base;
	struct entry *e = entry_of(r, h->unique);
	int error = h->error;
	size_t used = 0;

	if (!e) { /* its reactor is gone */
		errno = ENOENT;
		return -1;
	}
	for (int i = 1; i < n && !error; i++) {
		char *to = e->payload + used;

		if (iov[i].iov_len > CHAN_PAYLOAD_MAX - used) {
			error = -EIO;
			used = 0;
			break;
		}
		if (iov[i].iov_len && iov[i].iov_base != to)
			memmove(to, iov[i].iov_base, iov[i].iov_len);
		used += iov[i].iov_len;
	}
	commit(e, error, used);
	return h->len;
}

/* ---- requests ----------------------------------------------------------------------------------------------------- */

static int add_entries(struct chan_ring *r, struct queue *q);

/* The parts of a request as one: the headers go in front of the payload. */
static void *assemble(struct entry *e, size_t *len)
{
	const struct fuse_in_header *in = (const void *)e->headers->in_out;
	size_t payload = e->headers->ent.payload_size, op = in->len - sizeof(*in) - payload;
	struct fuse_in_header *h;

	if (in->len < sizeof(*in) + payload || payload > CHAN_PAYLOAD_MAX || op > OP_HEADER_MAX)
		return NULL;
	h = (void *)(e->payload - op - sizeof(*h));
	*h = *in;
	h->unique = e->unique;
	memcpy(h + 1, e->headers->op_in, op);
	*len = in->len;
	return h;
}

static void receive(struct entry *e)
{
	const struct fuse_in_header *in = (const void *)e->headers->in_out;
	struct chan_ring *r = e->ring;
	struct queue *q = e->queue;
	uint64_t unique;
	uint32_t opcode;
	size_t len;
	void *request;

	r->live = true;
	e->generation++;
	e->kernel_unique = in->unique;
	unique = UNIQUE_OURS | (uint64_t)r->id << RING_SHIFT | (e->generation & GENERATION_MASK) << GENERATION_SHIFT |
		 (uint64_t)e->index << 1;
	e->unique = unique;
	e->pid = in->pid;
	e->tick = r->tick;
	e->interrupted = false;
	e->busy = true;
	q->busy++;
	list_append(&r->busy, &e->node);
	request = assemble(e, &len);
	if (!request) {
		log_err("fuse", "a malformed request from the kernel");
		commit(e, -EIO, 0);
		return;
	}
	opcode = in->opcode;
	(void)chan_handle(r->chan, &e->buf, request, len);
	if (!e->busy || e->unique != unique)
		return;
	if (opcode == FUSE_NOTIFY_REPLY) { /* gets no reply */
		commit(e, 0, 0);
		return;
	}
	if (!env_timer_armed(&r->timer))
		env_timer_in(r->chan->p.env, &r->timer, TICK_NS);
	if (unlikely(q->busy > q->entries - q->entries / 4) && q->entries < QUEUE_ENTRIES_MAX)
		(void)add_entries(r, q);
}

/* The kernel answers a bad REGISTER by going back to /dev/fuse. */
static void broken(int err)
{
	pthread_mutex_lock(&rings.lock);
	if (!rings.broken)
		log_warn("fuse", "the kernel refuses a queue: %s; continuing with /dev/fuse, which is slower", strerror(-err));
	rings.broken = true;
	pthread_mutex_unlock(&rings.lock);
}

/* Without our queues every request would wait for them: makes the kernel go back by a bad REGISTER. */
static void give_up(struct chan_ring *r, int err)
{
	struct io_uring_sqe *sqe = env_linux_sqe(r->chan->p.env, NULL);

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, fuse_session_fd(r->chan->p.session), NULL, 0, 0);
	sqe->cmd_op = CMD_REGISTER;
	memset(sqe->cmd, 0, sizeof(struct uring_cmd));
	broken(err);
}

static void complete(struct env_linux_op *op, int res, unsigned flags)
{
	struct entry *e = container_of(op, struct entry, op);
	struct chan_ring *r = e->ring;

	OBJ_CHECK(r->chan, CHAN_MAGIC);
	r->in_kernel--;
	if (res >= 0) {
		receive(e);
	} else if (res == -ENOTCONN || res == -ECONNABORTED || res == -ECANCELED || r->chan->ended) {
		chan_end(r->chan);
	} else if (!e->generation && r->live) {
		log_warn("fuse", "no further entries of a queue: %s, ignoring", strerror(-res));
	} else if (!e->generation) {
		broken(res);
	} else {
		/* the kernel does not know what we replied to: it has forgotten the entry */
		log_err("fuse", "a reply was refused: %s", strerror(-res));
		register_entry(e);
	}
}

/* ---- interrupts --------------------------------------------------------------------------------------------------- */

/* libfuse does as if the kernel's INTERRUPT had named the request by our number. */
static void interrupt(struct entry *e)
{
	struct {
		struct fuse_in_header h;
		struct fuse_interrupt_in in;
	} msg = {
		.h = { .len = sizeof(msg), .opcode = FUSE_INTERRUPT, .unique = e->kernel_unique | 1 },
		.in = { .unique = e->unique },
	};

	if (e->interrupted)
		return;
	e->interrupted = true;
	(void)chan_handle(e->ring->chan, NULL, &msg, sizeof(msg));
}

static struct entry *find_busy(struct chan_ring *r, uint64_t kernel_unique)
{
	struct entry *e;

	list_each(e, &r->busy, node)
		if (e->kernel_unique == kernel_unique)
			return e;
	return NULL;
}

/* Under the lock of rings. */
static void queue_interrupt(struct chan_ring *r, uint64_t unique, unsigned tries)
{
	if (r->interrupts_n == r->interrupts_room) {
		r->interrupts_room = r->interrupts_room * 2 + 16;
		r->interrupts = xrealloc(r->interrupts, r->interrupts_room * sizeof(*r->interrupts));
	}
	r->interrupts[r->interrupts_n++] = (struct interrupt){ unique, tries };
	if (!r->interrupts_posted)
		env_post(r->chan->p.env, &r->interrupts_task);
	r->interrupts_posted = true;
}

/* A request that is not here may have been completed but not handled yet: once more in the next round. */
static void take_interrupts(void *arg)
{
	struct chan_ring *r = arg;
	cleanup_free struct interrupt *v = NULL;
	unsigned n;

	pthread_mutex_lock(&rings.lock);
	v = r->interrupts;
	n = r->interrupts_n;
	r->interrupts = NULL;
	r->interrupts_n = r->interrupts_room = 0;
	r->interrupts_posted = false;
	pthread_mutex_unlock(&rings.lock);
	for (unsigned i = 0; i < n; i++) {
		struct entry *e = find_busy(r, v[i].unique);

		if (e) {
			interrupt(e);
		} else if (v[i].tries + 1 < INTERRUPT_TRIES) {
			pthread_mutex_lock(&rings.lock);
			queue_interrupt(r, v[i].unique, v[i].tries + 1);
			pthread_mutex_unlock(&rings.lock);
		}
	}
}

bool chan_ring_interrupt(uint64_t unique)
{
	bool any = false;

	pthread_mutex_lock(&rings.lock);
	for (unsigned i = 0; i < rings.n && !rings.broken; i++) {
		if (!rings.v[i])
			continue;
		queue_interrupt(rings.v[i], unique, 0);
		any = true;
	}
	pthread_mutex_unlock(&rings.lock);
	return any;
}

/*
 * The kernel sends no INTERRUPT when the signal was there before the request reached us. So callers that have waited for a while
 * are looked at.
 */
static void tick(void *arg)
{
	struct chan_ring *r = arg;
	struct entry *e, *tmp;

	r->tick++;
	list_each_safe(e, tmp, &r->busy, node) {
		if (e->tick + 1 >= r->tick)
			break;
		if (!e->interrupted && caller_has_signal(e->pid))
			interrupt(e);
	}
	if (!list_empty(&r->busy))
		env_timer_in(r->chan->p.env, &r->timer, TICK_NS);
}

/* ---- set-up ------------------------------------------------------------------------------------------------------- */

static void init_entry(struct chan_ring *r, struct queue *q, struct entry *e, char *mem)
{
	e->op.complete = complete;
	e->ring = r;
	e->queue = q;
	e->headers = (void *)mem;
	e->payload = mem + CHAN_HEADERS_MAX;
	e->buf = (struct chan_buf){ .mem = mem, .room = e->payload };
	e->iov[0] = (struct iovec){ e->headers, sizeof(*e->headers) };
	e->iov[1] = (struct iovec){ e->payload, CHAN_PAYLOAD_MAX };
	list_init(&e->node);
	e->index = r->entries_n;
	r->entries[r->entries_n++] = e;
}

static int add_entries(struct chan_ring *r, struct queue *q)
{
	size_t each = CHAN_HEADERS_MAX + CHAN_PAYLOAD_MAX, size = each * SLAB_ENTRIES;
	struct slab *s;
	void *mem;

	if (r->entries_n + SLAB_ENTRIES > INDEX_MASK)
		return -ENOSPC;
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED)
		return -ENOMEM;
	(void)madvise(mem, size, MADV_NOHUGEPAGE); /* a header must not bring in two megabytes */
	s = NEW(struct slab);
	*s = (struct slab){ .next = r->slabs, .mem = mem, .size = size };
	r->slabs = s;
	r->entries = xrealloc(r->entries, (r->entries_n + SLAB_ENTRIES) * sizeof(*r->entries));
	for (unsigned i = 0; i < SLAB_ENTRIES; i++)
		init_entry(r, q, &s->entries[i], (char *)mem + i * each);
	q->entries += SLAB_ENTRIES;
	for (unsigned i = 0; i < SLAB_ENTRIES; i++)
		register_entry(&s->entries[i]);
	return 0;
}

static int add_ring(struct chan_ring *r)
{
	int err = 0;

	pthread_mutex_lock(&rings.lock);
	if (rings.n == RINGS_MAX)
		err = -ENOSPC;
	else
		rings.v[rings.n++] = r;
	r->id = rings.n - 1;
	pthread_mutex_unlock(&rings.lock);
	return err;
}

int chan_ring_new(struct chan *c, struct chan_ring **ret)
{
	struct chan_ring *r = NEW(struct chan_ring);
	int err, fd = fuse_session_fd(c->p.session);

	r->chan = c;
	list_init(&r->busy);
	r->timer = (struct env_timer){ .fn = tick, .arg = r };
	r->interrupts_task = (struct env_task){ .fn = take_interrupts, .arg = r };
	r->queues = xcalloc(c->p.queues_n, sizeof(*r->queues));
	/* spares the counting of users of a file that all reactors use */
	r->fixed_file = io_uring_register_files(env_linux_ring(c->p.env), &fd, 1) == 0;
	*ret = r;
	err = add_ring(r);
	for (unsigned i = 0; i < c->p.queues_n; i++) {
		r->queues[i].id = (uint16_t)c->p.queues[i];
		if (!err)
			err = add_entries(r, &r->queues[i]);
	}
	if (err < 0)
		give_up(r, err);
	return 0;
}

static void wake(void *arg) { *(bool *)arg = true; }

void chan_ring_drain(struct chan_ring *r)
{
	struct env *env = r->chan->p.env;
	bool over = false;
	struct env_timer limit = { .fn = wake, .arg = &over };

	env_timer_in(env, &limit, DRAIN_NS);
	while (r->in_kernel && !over)
		env_linux_run_once(env, true);
	env_timer_cancel(env, &limit);
}

void chan_ring_free(struct chan_ring *r)
{
	struct slab *s;

	if (!r)
		return;
	pthread_mutex_lock(&rings.lock);
	if (rings.v[r->id] == r)
		rings.v[r->id] = NULL;
	pthread_mutex_unlock(&rings.lock);
	env_timer_cancel(r->chan->p.env, &r->timer);
	free(r->interrupts);
	if (r->in_kernel) { /* the mount lives on without us, in a program that will end soon: leave it the memory */
		env_linux_abandon(r->chan->p.env, r->in_kernel);
		return;
	}
	while ((s = r->slabs)) {
		r->slabs = s->next;
		munmap(s->mem, s->size);
		free(s);
	}
	free(r->entries);
	free(r->queues);
	free(r);
}
