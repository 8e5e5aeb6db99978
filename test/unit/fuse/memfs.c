/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "memfs.h"

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "env/env_linux.h"
#include "fuse/cpus.h"

#define THREADS_MAX 64u
#define NODES_MAX (1u << 20)
#define BUCKETS 8192u
#define NAME_SIZE 64u
#define LATER_NS (50 * 1000)

struct reactor {
	struct env *env;
	struct chan *chan;
	pthread_t id;
	unsigned rank, turn;
	struct env_task serve, stop;
};

struct node {
	fuse_ino_t ino;
	char name[NAME_SIZE];
	struct node *next_in_bucket;
	bool linked;
	unsigned opens;
	char *data;
	size_t size, room;
	uint64_t lock_owner; /* 0: not locked */
	struct list waiters;
};

/* One request, from the operation to its reply. */
struct call {
	fuse_req_t req;
	struct reactor *reactor;
	struct chan_buf *keep;
	void (*fn)(struct call *c);
	struct env_task task;
	struct env_timer timer;
	struct node *node;
	const char *name, *data;
	char *room;
	size_t size;
	off_t off;
	uint64_t owner;
	int err;
	bool waiting;	    /* under the lock: among the waiters */
	struct list waiter; /* of a node */
	struct list all;    /* fs.calls: what an end leaves is not lost */
};

static struct {
	pthread_mutex_t lock;
	struct node *nodes[NODES_MAX], *buckets[BUCKETS];
	unsigned nodes_n;
	struct reactor reactors[THREADS_MAX];
	unsigned n;
	enum chan_transport transport;
	struct fuse_session *session;
	struct list calls;
	bool ended, bad_queue;
} fs = { .lock = PTHREAD_MUTEX_INITIALIZER, .calls = LIST_INIT(fs.calls) };

static _Thread_local struct reactor *here;

/* ---- nodes, under the lock --------------------------------------------------------------------------------------- */

static unsigned bucket_of(const char *name)
{
	uint32_t h = 2166136261u;

	while (*name)
		h = (h ^ (uint8_t)*name++) * 16777619u;
	return h % BUCKETS;
}

static struct node *find(const char *name)
{
	struct node *n = fs.buckets[bucket_of(name)];

	while (n && strcmp(n->name, name))
		n = n->next_in_bucket;
	return n;
}

/* Also without the lock: a number is only known once its node is there. */
static struct node *node_of(fuse_ino_t ino)
{
	return ino >= 2 && ino - 2 < NODES_MAX ? __atomic_load_n(&fs.nodes[ino - 2], __ATOMIC_ACQUIRE) : NULL;
}

static struct node *make(const char *name)
{
	struct node *n = NEW(struct node);
	unsigned b = bucket_of(name);

	weft_assert(fs.nodes_n < NODES_MAX);
	(void)str_copy(n->name, sizeof(n->name), name);
	list_init(&n->waiters);
	n->next_in_bucket = fs.buckets[b];
	n->linked = true;
	n->ino = fs.nodes_n + 2;
	fs.buckets[b] = n;
	__atomic_store_n(&fs.nodes[fs.nodes_n++], n, __ATOMIC_RELEASE);
	return n;
}

static void drop_data(struct node *n)
{
	if (n->linked || n->opens)
		return;
	free(n->data);
	n->data = NULL;
	n->size = n->room = 0;
}

static void resize(struct node *n, size_t size)
{
	if (size > n->room) {
		size_t room = MAX(size, n->room * 2);

		n->data = xrealloc(n->data, room);
		memset(n->data + n->room, 0, room - n->room);
		n->room = room;
	}
	if (size < n->size)
		memset(n->data + size, 0, n->size - size);
	n->size = size;
}

static void attr_of(const struct node *n, struct stat *st)
{
	*st = (struct stat){ .st_ino = n ? n->ino : 1,
			     .st_mode = n ? S_IFREG | 0644 : S_IFDIR | 0755,
			     .st_nlink = n && !n->linked ? 0 : 1,
			     .st_size = n ? (off_t)n->size : 0 };
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static struct call *call_new(fuse_req_t req, void (*fn)(struct call *c))
{
	struct call *c = NEW(struct call);

	c->req = req;
	c->fn = fn;
	c->reactor = here;
	c->keep = chan_buf_keep();
	list_init(&c->waiter);
	pthread_mutex_lock(&fs.lock);
	list_append(&fs.calls, &c->all);
	pthread_mutex_unlock(&fs.lock);
	return c;
}

static void call_free(struct call *c)
{
	pthread_mutex_lock(&fs.lock);
	list_del(&c->all);
	pthread_mutex_unlock(&fs.lock);
	chan_buf_put(c->keep);
	free(c);
}

static void call_run(void *arg)
{
	struct call *c = arg;

	c->fn(c);
}

/* Now, in a later task, or after a while. */
static void call_start(struct call *c)
{
	bool at_once = (c->name && !strcmp(c->name, MEMFS_FAST)) || (c->node && !strcmp(c->node->name, MEMFS_FAST));

	switch (at_once ? 0 : here->turn++ % 3) {
	case 0:
		c->fn(c);
		break;
	case 1:
		c->task = (struct env_task){ .fn = call_run, .arg = c };
		env_post(here->env, &c->task);
		break;
	default:
		c->timer = (struct env_timer){ .fn = call_run, .arg = c };
		env_timer_in(here->env, &c->timer, LATER_NS);
	}
}

static void end_err(struct call *c, int err)
{
	fuse_reply_err(c->req, -err);
	call_free(c);
}

/* ---- names and attributes ---------------------------------------------------------------------------------------- */

static void reply_entry(struct call *c, const struct node *n, bool open)
{
	struct fuse_entry_param e = { .ino = n->ino };
	struct fuse_file_info fi = { .fh = n->ino, .direct_io = 1 };

	attr_of(n, &e.attr);
	if (open)
		fuse_reply_create(c->req, &e, &fi);
	else
		fuse_reply_entry(c->req, &e);
}

static void do_lookup(struct call *c)
{
	struct node *n;

	pthread_mutex_lock(&fs.lock);
	n = find(c->name);
	if (n)
		reply_entry(c, n, false);
	else
		fuse_reply_err(c->req, ENOENT);
	pthread_mutex_unlock(&fs.lock);
	call_free(c);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct call *c = call_new(req, do_lookup);

	c->name = name; /* in the request's memory, which is kept */
	call_start(c);
}

static void do_getattr(struct call *c)
{
	struct stat st;

	pthread_mutex_lock(&fs.lock);
	attr_of(c->node, &st);
	pthread_mutex_unlock(&fs.lock);
	fuse_reply_attr(c->req, &st, 0);
	call_free(c);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct call *c = call_new(req, do_getattr);

	c->node = node_of(ino);
	if (!c->node || strcmp(c->node->name, MEMFS_HANG))
		call_start(c);
}

static void do_truncate(struct call *c)
{
	pthread_mutex_lock(&fs.lock);
	resize(c->node, c->size);
	pthread_mutex_unlock(&fs.lock);
	do_getattr(c);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct call *c = call_new(req, to_set & FUSE_SET_ATTR_SIZE ? do_truncate : do_getattr);

	c->node = node_of(ino);
	c->size = (size_t)attr->st_size;
	call_start(c);
}

static void do_create(struct call *c)
{
	struct node *n;

	pthread_mutex_lock(&fs.lock);
	n = find(c->name);
	if (!n)
		n = make(c->name);
	n->opens++;
	reply_entry(c, n, true);
	pthread_mutex_unlock(&fs.lock);
	call_free(c);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct call *c = call_new(req, do_create);

	c->name = name;
	call_start(c);
}

static void do_unlink(struct call *c)
{
	struct node **p, *n = NULL;

	pthread_mutex_lock(&fs.lock);
	p = &fs.buckets[bucket_of(c->name)];
	while (*p && strcmp((*p)->name, c->name))
		p = &(*p)->next_in_bucket;
	n = *p;
	if (n) {
		*p = n->next_in_bucket;
		n->linked = false;
		drop_data(n);
	}
	pthread_mutex_unlock(&fs.lock);
	end_err(c, n ? 0 : -ENOENT);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct call *c = call_new(req, do_unlink);

	c->name = name;
	call_start(c);
}

static void do_readdir(struct call *c)
{
	size_t used = 0, n;
	struct stat st;

	pthread_mutex_lock(&fs.lock);
	for (size_t i = (size_t)c->off; i < fs.nodes_n; i++) {
		if (!fs.nodes[i]->linked)
			continue;
		attr_of(fs.nodes[i], &st);
		n = fuse_add_direntry(c->req, c->room + used, c->size - used, fs.nodes[i]->name, &st, (off_t)i + 1);
		if (n > c->size - used)
			break;
		used += n;
	}
	pthread_mutex_unlock(&fs.lock);
	fuse_reply_buf(c->req, c->room, used);
	call_free(c);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct call *c = call_new(req, do_readdir);

	c->size = size;
	c->off = off;
	c->room = chan_buf_room(c->keep, size);
	call_start(c);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	pthread_mutex_lock(&fs.lock);
	node_of(ino)->opens++;
	pthread_mutex_unlock(&fs.lock);
	fi->direct_io = 1;
	fuse_reply_open(req, fi);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = node_of(ino);

	pthread_mutex_lock(&fs.lock);
	n->opens--;
	drop_data(n);
	pthread_mutex_unlock(&fs.lock);
	fuse_reply_err(req, 0);
}

static void do_read(struct call *c)
{
	size_t n = 0;

	pthread_mutex_lock(&fs.lock);
	if ((size_t)c->off < c->node->size) {
		n = MIN(c->size, c->node->size - (size_t)c->off);
		memcpy(c->room, c->node->data + c->off, n);
	}
	pthread_mutex_unlock(&fs.lock);
	fuse_reply_buf(c->req, c->room, n);
	call_free(c);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct call *c = call_new(req, do_read);

	c->node = node_of(ino);
	c->size = size;
	c->off = off;
	c->room = chan_buf_room(c->keep, size);
	call_start(c);
}

static void do_write(struct call *c)
{
	struct node *n = c->node;

	pthread_mutex_lock(&fs.lock);
	if (n->size < (size_t)c->off + c->size)
		resize(n, (size_t)c->off + c->size);
	memcpy(n->data + c->off, c->data, c->size);
	pthread_mutex_unlock(&fs.lock);
	fuse_reply_write(c->req, c->size);
	call_free(c);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct call *c = call_new(req, do_write);

	c->node = node_of(ino);
	c->data = buf;
	c->size = size;
	c->off = off;
	call_start(c);
}

/* ---- locks: whole files, exclusive ------------------------------------------------------------------------------- */

/* On the waiter's reactor: it has the lock, or was interrupted. */
static void lock_settled(void *arg)
{
	struct call *c = arg;

	fuse_req_interrupt_func(c->req, NULL, NULL);
	end_err(c, c->err);
}

/* Under the lock: takes a waiter from the list; the first to do so decides how its wait ends. */
static void settle(struct call *c, int err)
{
	if (!c->waiting)
		return;
	c->waiting = false;
	list_del(&c->waiter);
	c->err = err;
	c->task = (struct env_task){ .fn = lock_settled, .arg = c };
	env_post(c->reactor->env, &c->task);
}

static void interrupted(fuse_req_t req, void *arg)
{
	pthread_mutex_lock(&fs.lock);
	settle(arg, -EINTR);
	pthread_mutex_unlock(&fs.lock);
}

static void unlock(struct node *n, uint64_t owner)
{
	struct call *next;

	if (n->lock_owner != owner)
		return;
	n->lock_owner = 0;
	if (list_empty(&n->waiters))
		return;
	next = list_first(&n->waiters, struct call, waiter);
	n->lock_owner = next->owner;
	settle(next, 0);
}

static void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock, int sleep)
{
	struct call *c = call_new(req, NULL);
	struct node *n = node_of(ino);
	bool free_now;

	c->owner = fi->lock_owner ? fi->lock_owner : 1;
	pthread_mutex_lock(&fs.lock);
	if (lock->l_type == F_UNLCK)
		unlock(n, c->owner);
	free_now = lock->l_type == F_UNLCK || !n->lock_owner || n->lock_owner == c->owner;
	if (free_now && lock->l_type != F_UNLCK)
		n->lock_owner = c->owner;
	if (!free_now && sleep) {
		c->waiting = true;
		list_append(&n->waiters, &c->waiter);
	}
	pthread_mutex_unlock(&fs.lock);
	if (free_now || !sleep)
		end_err(c, free_now ? 0 : -EAGAIN);
	else
		fuse_req_interrupt_func(req, interrupted, c);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	pthread_mutex_lock(&fs.lock);
	unlock(node_of(ino), fi->lock_owner);
	pthread_mutex_unlock(&fs.lock);
	fuse_reply_err(req, 0);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	conn->want |= conn->capable & (FUSE_CAP_POSIX_LOCKS | FUSE_CAP_ASYNC_READ);
	conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	conn->max_write = 1u << 20;
	conn->max_background = 64;
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n) { fuse_reply_none(req); }

static const struct fuse_lowlevel_ops ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.create = op_create,
	.unlink = op_unlink,
	.readdir = op_readdir,
	.open = op_open,
	.release = op_release,
	.read = op_read,
	.write = op_write,
	.setlk = op_setlk,
	.flush = op_flush,
};

/* ---- the daemon --------------------------------------------------------------------------------------------------- */

static void stop(void *arg) { env_linux_stop(((struct reactor *)arg)->env); }

static void ended(void *arg)
{
	if (__atomic_exchange_n(&fs.ended, true, __ATOMIC_ACQ_REL))
		return;
	for (unsigned i = 0; i < fs.n; i++) {
		fs.reactors[i].stop = (struct env_task){ .fn = stop, .arg = &fs.reactors[i] };
		env_post(fs.reactors[i].env, &fs.reactors[i].stop);
	}
}

static void serve(struct reactor *r)
{
	struct chan_params p = { .env = r->env, .session = fs.session, .ended = ended, .device = true, .clone = r->rank > 0 };
	unsigned *queues = NULL;
	int err;

	here = r;
	if (fs.transport == CHAN_URING) {
		p.device = r->rank == 0;
		p.clone = false;
		p.queues_n = cpus_queues(r->rank, fs.n, &queues);
		p.queues = queues;
		if (fs.bad_queue)
			queues[0] = UINT16_MAX;
		cpus_pin(r->rank, fs.n);
	}
	err = chan_new(&p, &r->chan);
	weft_assert(err == 0);
	free(queues);
	env_linux_run(r->env);
	chan_drain(r->chan);
}

static void *reactor_main(void *arg)
{
	serve(arg);
	return NULL;
}

static int mount_on(const char *path)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);

	if (fuse_opt_add_arg(&args, "memfs") || fuse_opt_add_arg(&args, "-ofsname=weft-test,subtype=weft-test"))
		return -ENOMEM;
	fs.session = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	fuse_opt_free_args(&args);
	if (!fs.session || fuse_session_mount(fs.session, path) != 0)
		return -EIO;
	return chan_setup_session(fs.session, &fs.transport);
}

int memfs_main(const char *path, enum chan_transport transport, unsigned threads, int ready_fd)
{
	struct env_linux_params params = { .sqe128 = transport == CHAN_URING, .entries = 1024 };
	int r;

	fs.transport = transport;
	fs.bad_queue = threads == MEMFS_BAD_QUEUE;
	fs.n = fs.bad_queue ? 1 : threads ? MIN(threads, THREADS_MAX) : cpus_allowed();
	for (unsigned i = 0; i < fs.n; i++) {
		fs.reactors[i].rank = i;
		r = env_linux_new(&params, &fs.reactors[i].env);
		if (r < 0)
			return 2;
	}
	r = mount_on(path);
	if (r < 0 || fs.transport != transport)
		return 3;
	for (unsigned i = 1; i < fs.n; i++)
		if (pthread_create(&fs.reactors[i].id, NULL, reactor_main, &fs.reactors[i]))
			return 4;
	if (write(ready_fd, "r", 1) != 1)
		return 5;
	serve(&fs.reactors[0]);
	for (unsigned i = 1; i < fs.n; i++)
		pthread_join(fs.reactors[i].id, NULL);
	for (unsigned i = 0; i < fs.n; i++)
		chan_free(fs.reactors[i].chan);
	fuse_session_unmount(fs.session);
	fuse_session_destroy(fs.session);
	for (unsigned i = 0; i < fs.n; i++)
		env_linux_free(fs.reactors[i].env);
	return 0;
}
