/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A file system in one process behind the interfaces of cluster and client: right by its simplicity, unless told to make a
 * mistake. With it the simulator's oracle is tested: it must accept the right one and find every mistake.
 */
#include "fake_cluster.h"

#include <fcntl.h>

#include "proto/fid.h"
#include "sim.h"

enum fake_bug fake_bug;
unsigned fake_bug_at = 30; /* the k-th chance is taken */

struct fnode;

struct fent {
	struct list link;
	char name[16];
	struct fnode *n;
};

struct fnode {
	struct list link;
	struct wp_fid fid;
	struct fnode *parent;
	uint32_t mode, nlink, opens;
	struct list ents;
	char target[32], xattr[32];
	uint64_t size;
	uint8_t *data;
	uint8_t *durable;
	uint64_t durable_size;
	unsigned dirty[SIM_CLIENTS]; /* 1 + number of power cuts at the client's oldest unsynced write; 0: none */
};

struct client_file {
	struct list link;
	struct fnode *n;
	uint32_t flags;
};

struct client {
	struct cluster *cl;
	bool up;
	uint64_t up_ns;
};

/* An answer on its way. */
struct client_op {
	struct list link;
	uint64_t at;
	struct client *c;
	client_cb *cb;
	void *arg;
	int err;
	struct client_res res;
	char text[64];
	struct wp_dirent *ents;
};

struct waiter {
	struct list link;
	struct client_op *op;
	uint64_t owner;
};

struct cluster {
	struct sim *s;
	struct rng rng;
	uint64_t now;
	uint32_t next_oid;
	struct client clients[SIM_CLIENTS];
	struct list nodes, ops, waiters, files;
	uint64_t lock_owner;
	struct client *lock_client;
	unsigned chances;
};

#define DATA_MAX (SIM_FILE_MAX + SIM_IO_MAX + 65536u)

static bool bug(struct cluster *cl, enum fake_bug b)
{
	if (fake_bug != b)
		return false;
	return ++cl->chances == fake_bug_at;
}

/* ---- nodes ---- */

static struct fnode *fnode_new(struct cluster *cl, uint32_t mode)
{
	struct fnode *n = NEW(struct fnode);

	n->mode = mode;
	n->fid = (struct wp_fid){ .seq = 1, .oid = ++cl->next_oid };
	n->nlink = S_ISDIR(mode) ? 2 : 0;
	list_init(&n->ents);
	if (S_ISREG(mode)) {
		n->data = xcalloc(1, DATA_MAX);
		n->durable = xcalloc(1, DATA_MAX);
	}
	list_append(&cl->nodes, &n->link);
	return n;
}

static void fnode_free(struct fnode *n)
{
	struct fent *e;

	while ((e = list_pop(&n->ents, struct fent, link)))
		free(e);
	list_del(&n->link);
	free(n->data);
	free(n->durable);
	free(n);
}

static struct fnode *by_fid(struct cluster *cl, const struct wp_fid *fid)
{
	struct fnode *n;

	list_each(n, &cl->nodes, link)
		if (wp_fid_eq(&n->fid, fid))
			return n;
	return NULL;
}

static struct fent *find(struct fnode *dir, struct wp_str name)
{
	struct fent *e;

	list_each(e, &dir->ents, link)
		if (strlen(e->name) == name.len && !memcmp(e->name, name.p, name.len))
			return e;
	return NULL;
}

static void add(struct fnode *dir, struct wp_str name, struct fnode *n)
{
	struct fent *e = NEW(struct fent);

	memcpy(e->name, name.p, name.len);
	e->n = n;
	list_append(&dir->ents, &e->link);
	if (S_ISDIR(n->mode)) {
		n->parent = dir;
		dir->nlink++;
	} else {
		n->nlink++;
	}
}

static struct fnode *del(struct fnode *dir, struct fent *e)
{
	struct fnode *n = e->n;

	list_del(&e->link);
	free(e);
	if (S_ISDIR(n->mode))
		dir->nlink--;
	else
		n->nlink--;
	return n;
}

static void gone(struct fnode *n)
{
	if (S_ISDIR(n->mode) || (!n->nlink && !n->opens))
		fnode_free(n);
}

static void attr_of(const struct fnode *n, struct wp_attr *a)
{
	*a = (struct wp_attr){ .fid = n->fid, .mode = n->mode, .nlink = n->nlink, .size = n->size };
	if (S_ISLNK(n->mode))
		a->size = strlen(n->target);
}

/* ---- answers ---- */

static struct client_op *answer(struct client *c, client_cb *cb, void *arg, int err, const struct fnode *n)
{
	struct client_op *op = NEW(struct client_op), *at;

	op->c = c;
	op->cb = cb;
	op->arg = arg;
	op->err = err;
	op->at = c->cl->now + rng_below(&c->cl->rng, 20000000);
	if (!err && n)
		attr_of(n, &op->res.attr);
	list_each(at, &c->cl->ops, link)
		if (at->at > op->at)
			break;
	list_insert(&op->link, at->link.prev, &at->link);
	return op;
}

static void op_free(struct client_op *op)
{
	free(op->ents);
	free(op);
}

/* ---- names ---- */

struct client_op *client_lookup(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
				CLIENT_ARGS)
{
	struct fent *e = find(by_fid(c->cl, parent), name);

	if (e && bug(c->cl, FAKE_LOOKUP_MISSES))
		e = NULL;
	return answer(c, cb, arg, e ? 0 : -ENOENT, e ? e->n : NULL);
}

static struct client_op *make(struct client *c, const struct wp_fid *parent, struct wp_str name, uint32_t mode, const char *target,
			      CLIENT_ARGS)
{
	struct fnode *dir = by_fid(c->cl, parent), *n;

	if (find(dir, name))
		return answer(c, cb, arg, -EEXIST, NULL);
	n = fnode_new(c->cl, mode);
	if (target)
		(void)str_copy(n->target, sizeof(n->target), target);
	if (!bug(c->cl, FAKE_CREATE_LOST))
		add(dir, name, n);
	return answer(c, cb, arg, 0, n);
}

struct client_op *client_mknod(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
			       uint32_t mode, uint32_t umask, uint32_t major, uint32_t minor, CLIENT_ARGS)
{
	return make(c, parent, name, mode, NULL, cb, arg);
}

struct client_op *client_mkdir(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
			       uint32_t mode, uint32_t umask, CLIENT_ARGS)
{
	return make(c, parent, name, S_IFDIR | mode, NULL, cb, arg);
}

struct client_op *client_symlink(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
				 struct wp_str target, CLIENT_ARGS)
{
	return make(c, parent, name, S_IFLNK | 0777, target.p, cb, arg);
}

struct client_op *client_link(struct client *c, const struct client_cred *cred, const struct wp_fid *fid,
			      const struct wp_fid *parent, struct wp_str name, CLIENT_ARGS)
{
	struct fnode *dir = by_fid(c->cl, parent), *n = by_fid(c->cl, fid);

	if (find(dir, name))
		return answer(c, cb, arg, -EEXIST, NULL);
	add(dir, name, n);
	if (bug(c->cl, FAKE_NLINK))
		n->nlink++;
	return answer(c, cb, arg, 0, n);
}

static struct client_op *take_away(struct client *c, const struct wp_fid *parent, struct wp_str name, bool want_dir, CLIENT_ARGS)
{
	struct fnode *dir = by_fid(c->cl, parent), *n;
	struct fent *e = find(dir, name);
	struct client_op *op;

	if (!e)
		return answer(c, cb, arg, -ENOENT, NULL);
	if (S_ISDIR(e->n->mode) != want_dir)
		return answer(c, cb, arg, want_dir ? -ENOTDIR : -EISDIR, NULL);
	if (want_dir && !list_empty(&e->n->ents))
		return answer(c, cb, arg, -ENOTEMPTY, NULL);
	if (bug(c->cl, FAKE_UNLINK_TWICE)) {
		gone(del(dir, e));
		return answer(c, cb, arg, -ENOENT, NULL);
	}
	op = answer(c, cb, arg, 0, e->n);
	n = del(dir, e);
	gone(n);
	return op;
}

struct client_op *client_unlink(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
				CLIENT_ARGS)
{
	return take_away(c, parent, name, false, cb, arg);
}

struct client_op *client_rmdir(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
			       CLIENT_ARGS)
{
	return take_away(c, parent, name, true, cb, arg);
}

static bool above(const struct fnode *n, const struct fnode *dir)
{
	for (; dir; dir = dir->parent)
		if (dir == n)
			return true;
	return false;
}

static int may_rename(struct fnode *from, struct fent *a, struct fnode *to, struct fent *b, uint32_t flags)
{
	if (!a || (!b && flags & WP_RENAME_EXCHANGE))
		return -ENOENT;
	if (b && flags & WP_RENAME_NOREPLACE)
		return -EEXIST;
	if (S_ISDIR(a->n->mode) && above(a->n, to))
		return -EINVAL;
	if (!b || b->n == a->n)
		return 0;
	if (S_ISDIR(b->n->mode) && above(b->n, from))
		return flags & WP_RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	if (flags & WP_RENAME_EXCHANGE)
		return 0;
	if (S_ISDIR(a->n->mode) != S_ISDIR(b->n->mode))
		return S_ISDIR(a->n->mode) ? -ENOTDIR : -EISDIR;
	return list_empty(&b->n->ents) ? 0 : -ENOTEMPTY;
}

struct client_op *client_rename(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
				const struct wp_fid *new_parent, struct wp_str new_name, uint32_t flags, CLIENT_ARGS)
{
	struct fnode *from = by_fid(c->cl, parent), *to = by_fid(c->cl, new_parent), *n, *old = NULL;
	struct fent *a = find(from, name), *b = find(to, new_name);
	int err = may_rename(from, a, to, b, flags);
	struct client_op *op;

	if (err || (b && b->n == a->n))
		return answer(c, cb, arg, err, err ? NULL : a->n);
	op = answer(c, cb, arg, 0, a->n);
	n = a->n;
	if (!bug(c->cl, FAKE_RENAME_HALF))
		(void)del(from, a);
	if (b)
		old = del(to, b);
	add(to, new_name, n);
	if (old && flags & WP_RENAME_EXCHANGE)
		add(from, name, old);
	else if (old)
		gone(old);
	return op;
}

struct client_op *client_readlink(struct client *c, const struct wp_fid *fid, CLIENT_ARGS)
{
	struct fnode *n = by_fid(c->cl, fid);
	struct client_op *op = answer(c, cb, arg, S_ISLNK(n->mode) ? 0 : -EINVAL, n);

	(void)str_copy(op->text, sizeof(op->text), n->target);
	op->res.data = op->text;
	op->res.len = strlen(op->text);
	return op;
}

/* ---- inodes ---- */

struct client_op *client_getattr(struct client *c, const struct wp_fid *fid, CLIENT_ARGS)
{
	struct fnode *n = by_fid(c->cl, fid);

	return answer(c, cb, arg, n ? 0 : -ESTALE, n);
}

static void resize(struct fnode *n, uint64_t size)
{
	if (size < n->size)
		memset(n->data + size, 0, n->size - size);
	n->size = size;
	memcpy(n->durable, n->data, DATA_MAX);
	n->durable_size = size;
}

struct client_op *client_setattr(struct client *c, const struct client_cred *cred, const struct wp_fid *fid,
				 struct client_file *file, const struct client_setattr *sa, CLIENT_ARGS)
{
	struct fnode *n = by_fid(c->cl, fid);

	if (sa->valid & WP_SETATTR_MODE)
		n->mode = (n->mode & S_IFMT) | sa->mode;
	if (sa->valid & WP_SETATTR_SIZE)
		resize(n, sa->size);
	return answer(c, cb, arg, 0, n);
}

struct client_op *client_setxattr(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, struct wp_str name,
				  const void *value, size_t len, uint32_t flags, CLIENT_ARGS)
{
	struct fnode *n = by_fid(c->cl, fid);

	memset(n->xattr, 0, sizeof(n->xattr));
	memcpy(n->xattr, value, len);
	return answer(c, cb, arg, 0, n);
}

struct client_op *client_getxattr(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, struct wp_str name,
				  CLIENT_ARGS)
{
	struct fnode *n = by_fid(c->cl, fid);
	struct client_op *op = answer(c, cb, arg, n->xattr[0] ? 0 : -ENODATA, n);

	(void)str_copy(op->text, sizeof(op->text), n->xattr);
	op->res.data = op->text;
	op->res.len = strlen(op->text);
	return op;
}

struct client_op *client_readdir(struct client *c, const struct client_cred *cred, const struct wp_fid *dir, uint64_t cookie,
				 uint32_t max_bytes, uint32_t flags, CLIENT_ARGS)
{
	struct fnode *n = by_fid(c->cl, dir);
	struct client_op *op = answer(c, cb, arg, 0, n);
	unsigned max = max_bytes / 100 + 1;
	struct fent *e;
	uint64_t i = 0;

	op->ents = xcalloc(max, sizeof(*op->ents));
	op->res.eof = true;
	op->res.dirents = op->ents;
	list_each(e, &n->ents, link) {
		if (i++ < cookie)
			continue;
		if (op->res.dirents_n == max) {
			op->res.eof = false;
			break;
		}
		op->ents[op->res.dirents_n++] = (struct wp_dirent){ .cookie = i, .fid = e->n->fid, .type = e->n->mode,
								    .name = wp_str(e->name) };
	}
	if (op->res.dirents_n && bug(c->cl, FAKE_READDIR_MISSES))
		op->res.dirents_n--;
	return op;
}

/* ---- caches: they know everything, and always the newest ---- */

int client_cached_lookup(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
			 struct client_res *res)
{
	struct fnode *dir = by_fid(c->cl, parent);
	struct fent *e = dir ? find(dir, name) : NULL;

	if (!dir)
		return -EAGAIN;
	if (!e && bug(c->cl, FAKE_STALE_NAME)) {
		attr_of(dir, &res->attr);
		return 0;
	}
	if (!e || bug(c->cl, FAKE_STALE_MISSING))
		return -ENOENT;
	attr_of(e->n, &res->attr);
	return 0;
}

int client_cached_getattr(struct client *c, const struct wp_fid *fid, struct client_res *res)
{
	struct fnode *n = by_fid(c->cl, fid);

	if (!n)
		return -EAGAIN;
	attr_of(n, &res->attr);
	res->attr.mode ^= bug(c->cl, FAKE_STALE_ATTR);
	return 0;
}

int client_cached_access(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, uint32_t mask)
{
	return -EAGAIN;
}

int client_cached_readlink(struct client *c, const struct wp_fid *fid, char *buf, size_t size, uint32_t *len)
{
	struct fnode *n = by_fid(c->cl, fid);

	if (!n)
		return -EAGAIN;
	*len = (uint32_t)strlen(n->target);
	memcpy(buf, n->target, MIN(*len, size));
	return 0;
}

int client_cached_getxattr(struct client *c, const struct client_cred *cred, const struct wp_fid *fid) { return -EAGAIN; }

int client_cached_readdir(struct client *c, const struct wp_fid *dir, uint64_t cookie,
			  bool (*fn)(void *arg, const struct wp_dirent *d), void *arg, bool *eof)
{
	struct fnode *n = by_fid(c->cl, dir);
	struct fent *e;

	if (!n || !n->parent)
		return -EAGAIN;
	*eof = fn(arg, &(struct wp_dirent){ .fid = n->parent->fid, .type = S_IFDIR, .name = wp_str("..") });
	list_each (e, &n->ents, link)
		if (*eof && !bug(c->cl, FAKE_STALE_LISTING))
			*eof = fn(arg, &(struct wp_dirent){ .fid = e->n->fid, .type = e->n->mode, .name = wp_str(e->name) });
	return 0;
}

/* ---- files ---- */

static struct client_op *open_node(struct client *c, struct fnode *n, uint32_t flags, bool created, CLIENT_ARGS)
{
	struct client_op *op;
	struct client_file *f = NEW(struct client_file);

	f->n = n;
	f->flags = flags;
	list_append(&c->cl->files, &f->link);
	n->opens++;
	if (flags & WP_OPEN_TRUNC)
		resize(n, 0);
	op = answer(c, cb, arg, 0, n);
	op->res.file = f;
	op->res.created = created;
	return op;
}

struct client_op *client_open(struct client *c, const struct client_cred *cred, const struct wp_fid *fid, uint32_t flags,
			      CLIENT_ARGS)
{
	struct fnode *n = by_fid(c->cl, fid);

	return n ? open_node(c, n, flags, false, cb, arg) : answer(c, cb, arg, -ESTALE, NULL);
}

struct client_op *client_create(struct client *c, const struct client_cred *cred, const struct wp_fid *parent, struct wp_str name,
				uint32_t mode, uint32_t umask, uint32_t flags, const struct wp_layout *layout, CLIENT_ARGS)
{
	struct fnode *dir = by_fid(c->cl, parent), *n;
	struct fent *e = find(dir, name);

	if (e && flags & WP_OPEN_EXCL)
		return answer(c, cb, arg, -EEXIST, NULL);
	if (e)
		return open_node(c, e->n, flags, false, cb, arg);
	n = fnode_new(c->cl, S_IFREG | mode);
	add(dir, name, n);
	return open_node(c, n, flags, true, cb, arg);
}

static void file_free(struct client_file *f)
{
	f->n->opens--;
	gone(f->n);
	list_del(&f->link);
	free(f);
}

struct client_op *client_release(struct client *c, struct client_file *f, CLIENT_ARGS)
{
	struct client_op *op = answer(c, cb, arg, 0, f->n);

	file_free(f);
	return op;
}

struct client_op *client_read(struct client *c, struct client_file *f, const struct iovec *iov, int iov_n, uint64_t offset,
			      CLIENT_ARGS)
{
	struct client_op *op = answer(c, cb, arg, 0, f->n);
	uint64_t n = offset < f->n->size ? MIN(iov->iov_len, f->n->size - offset) : 0;

	memcpy(iov->iov_base, f->n->data + offset, n);
	if (n && bug(c->cl, FAKE_READ_FLIPS))
		*(uint8_t *)iov->iov_base ^= 0x10;
	if (n > 1 && bug(c->cl, FAKE_READ_SHORT))
		n--;
	op->res.n = n;
	return op;
}

static void sync_node(struct fnode *n)
{
	memcpy(n->durable, n->data, DATA_MAX);
	n->durable_size = n->size;
}

struct client_op *client_write(struct client *c, struct client_file *f, const struct client_cred *cred, const struct iovec *iov,
			       int iov_n, uint64_t offset, uint32_t flags, CLIENT_ARGS)
{
	struct client_op *op;
	struct fnode *n = f->n;

	if (f->flags & WP_OPEN_APPEND)
		offset = n->size;
	if (f->flags & WP_OPEN_APPEND && n->size && bug(c->cl, FAKE_APPEND_OVER))
		offset -= iov->iov_len;
	if (!bug(c->cl, FAKE_WRITE_LOST)) {
		memcpy(n->data + offset, iov->iov_base, iov->iov_len);
		n->size = MAX(n->size, offset + iov->iov_len);
	}
	if (f->flags & WP_OPEN_APPEND && bug(c->cl, FAKE_APPEND_TWICE)) {
		memcpy(n->data + n->size, iov->iov_base, iov->iov_len);
		n->size += iov->iov_len;
	}
	if (flags & CLIENT_WRITE_STABLE)
		sync_node(n);
	else if (!n->dirty[c - c->cl->clients])
		n->dirty[c - c->cl->clients] = 1 + c->cl->s->cuts;
	op = answer(c, cb, arg, 0, n);
	op->res.n = iov->iov_len;
	op->res.lock.start = offset;
	return op;
}

struct client_op *client_fsync(struct client *c, struct client_file *f, bool datasync, CLIENT_ARGS)
{
	unsigned *dirty = &f->n->dirty[c - c->cl->clients];
	int err = *dirty && *dirty != c->cl->s->cuts + 1 ? -EIO : 0;

	*dirty = 0;
	if (fake_bug != FAKE_FSYNC_LIES)
		sync_node(f->n);
	return answer(c, cb, arg, err, f->n);
}

struct client_op *client_fallocate(struct client *c, struct client_file *f, int mode, uint64_t offset, uint64_t length,
				   CLIENT_ARGS)
{
	uint64_t end = MIN(offset + length, f->n->size);

	if (offset < end)
		memset(f->n->data + offset, 0, end - offset);
	if (!f->n->dirty[c - c->cl->clients])
		f->n->dirty[c - c->cl->clients] = 1 + c->cl->s->cuts;
	return answer(c, cb, arg, 0, f->n);
}

/* ---- the lock ---- */

static void grant_next(struct cluster *cl)
{
	struct waiter *w = list_pop(&cl->waiters, struct waiter, link);
	struct client_op *op;

	cl->lock_owner = 0;
	if (!w)
		return;
	op = w->op;
	cl->lock_owner = w->owner;
	cl->lock_client = op->c;
	(void)answer(op->c, op->cb, op->arg, 0, NULL);
	free(op);
	free(w);
}

struct client_op *client_setlk(struct client *c, struct client_file *file, const struct client_lock *lock, bool wait, CLIENT_ARGS)
{
	struct waiter *w;

	if (lock->type == WP_LOCK_TYPE_UNLOCK) {
		if (c->cl->lock_owner == lock->owner)
			grant_next(c->cl);
		return answer(c, cb, arg, 0, NULL);
	}
	if (!c->cl->lock_owner || bug(c->cl, FAKE_LOCK_BOTH)) {
		c->cl->lock_owner = lock->owner;
		c->cl->lock_client = c;
		return answer(c, cb, arg, 0, NULL);
	}
	w = NEW(struct waiter);
	w->op = NEW(struct client_op);
	*w->op = (struct client_op){ .c = c, .cb = cb, .arg = arg };
	w->owner = lock->owner;
	list_append(&c->cl->waiters, &w->link);
	return w->op;
}

/* ---- cluster ---- */

struct cluster *cluster_new(struct sim *s, unsigned mdts, unsigned osts)
{
	struct cluster *cl = NEW(struct cluster);

	cl->s = s;
	cl->rng.state = s->seed + 1;
	list_init(&cl->nodes);
	list_init(&cl->ops);
	list_init(&cl->waiters);
	list_init(&cl->files);
	for (unsigned i = 0; i < SIM_CLIENTS; i++)
		cl->clients[i] = (struct client){ .cl = cl, .up = true };
	(void)fnode_new(cl, S_IFDIR | 0755);
	return cl;
}

void cluster_free(struct cluster *cl)
{
	struct client_op *op;
	struct waiter *w;

	while ((w = list_pop(&cl->waiters, struct waiter, link))) {
		free(w->op);
		free(w);
	}
	while (!list_empty(&cl->files))
		file_free(list_first(&cl->files, struct client_file, link));
	while (!list_empty(&cl->nodes))
		fnode_free(list_first(&cl->nodes, struct fnode, link));
	while ((op = list_pop(&cl->ops, struct client_op, link)))
		op_free(op);
	free(cl);
}

uint64_t cluster_now(struct cluster *cl) { return cl->now; }
bool cluster_ready(struct cluster *cl) { return cl->clients[0].up && cl->clients[1].up && cl->clients[2].up; }
bool cluster_evicted(struct cluster *cl, unsigned i) { return false; }
bool cluster_echoes(struct cluster *cl, unsigned i) { return false; }
struct client *cluster_client(struct cluster *cl, unsigned i) { return cl->clients[i].up ? &cl->clients[i] : NULL; }

void cluster_run(struct cluster *cl, uint64_t ns)
{
	uint64_t end = cl->now + ns;

	while (!list_empty(&cl->ops)) {
		struct client_op *op = list_first(&cl->ops, struct client_op, link);

		if (op->at > end)
			break;
		cl->now = op->at;
		list_del(&op->link);
		op->cb(op->arg, op->err, &op->res);
		op_free(op);
	}
	cl->now = end;
	for (unsigned i = 0; i < SIM_CLIENTS; i++)
		if (!cl->clients[i].up && cl->now >= cl->clients[i].up_ns)
			cl->clients[i].up = true;
}

/* Operations in flight were executed, but nobody hears; handles and locks are gone. */
static void kill_client(struct cluster *cl, unsigned i)
{
	struct client *c = &cl->clients[i];
	struct client_op *op, *tmp;
	struct waiter *w, *wtmp;

	for (unsigned k = 0; k < ARRAY_SIZE(cl->s->workers); k++)
		for (unsigned f = 0; cl->s->workers[k].client == i && f < SIM_FILES; f++) {
			struct client_file *file = cl->s->workers[k].files[f].f;

			if (file)
				file_free(file);
		}
	list_each_safe(op, tmp, &cl->ops, link) {
		if (op->c != c)
			continue;
		if (op->res.file)
			file_free(op->res.file);
		list_del(&op->link);
		op_free(op);
	}
	list_each_safe(w, wtmp, &cl->waiters, link) {
		if (w->op->c == c) {
			list_del(&w->link);
			free(w->op);
			free(w);
		}
	}
	work_client_died(cl->s, i);
	if (cl->lock_owner && cl->lock_client == c)
		grant_next(cl);
	c->up = false;
	c->up_ns = cl->now + NSEC_PER_SEC;
}

static void power_cut(struct cluster *cl)
{
	struct model *m = &cl->s->model;
	struct mnode *mn;
	struct fnode *n;

	list_each(n, &cl->nodes, link) {
		if (!n->data)
			continue;
		for (uint64_t at = 0; at < DATA_MAX; at += 4096) {
			uint64_t len = MIN(4096, DATA_MAX - at);

			if (rng_chance(&cl->rng, 500))
				memcpy(n->data + at, n->durable + at, len);
		}
		memcpy(n->durable, n->data, DATA_MAX);
	}
	list_each(mn, &m->nodes, link)
		content_power_cut(&mn->data);
	cl->s->cuts++;
}

void cluster_faults(struct cluster *cl)
{
	if (rng_chance(&cl->rng, 4))
		kill_client(cl, rng_below(&cl->rng, SIM_CLIENTS));
	if (rng_chance(&cl->rng, 10))
		power_cut(cl);
}

void cluster_heal(struct cluster *cl)
{
	for (unsigned i = 0; i < SIM_CLIENTS; i++)
		cl->clients[i].up = true;
}

void cluster_check(struct cluster *cl)
{
	struct fnode *n;

	list_each(n, &cl->nodes, link)
		if (n->opens || !n->nlink)
			sim_fail(cl->s, "the fake leaks inodes");
}
