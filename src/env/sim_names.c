/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Names of simulated files. A change of names is visible at once and logged; syncing a folder makes the changes durable that
 * concern it, with everything earlier that they rest on; a power cut keeps a prefix of the rest. A rename is one change.
 */
#include <fcntl.h>

#include "base/buf.h"
#include "env/sim_fs_priv.h"

#define NAME_BYTES_MAX 255u
#define INODES_TOTAL (1u << 20)

struct dent {
	struct htab_node node;
	struct list order;
	struct sim_inode *cur, *dur; /* NULL: no such name */
	char name[NAME_BYTES_MAX + 1];
};

/* One change: one or two names and what they stand for afterwards. */
struct name_op {
	struct list node;
	bool marked;
	int n;
	struct {
		struct sim_inode *dir, *to;
		char name[NAME_BYTES_MAX + 1];
	} set[2];
};

static struct sim_inode *inode_new(struct sim_host *h, bool is_dir)
{
	struct sim_inode *in = NEW(struct sim_inode);

	in->ino = ++h->fs.next_ino;
	in->is_dir = is_dir;
	in->mtime_ns = sim_wall_ns(h);
	in->dirty_lo = UINT64_MAX;
	list_init(&in->order);
	if (is_dir)
		htab_init(&in->names);
	list_append(&h->fs.inodes, &in->node);
	return in;
}

void inode_ref(struct sim_host *h, struct sim_inode *in, bool visible)
{
	in->refs++;
	if (visible && !in->visible++)
		inode_count(h, in, true);
}

static void dent_free(struct sim_inode *dir, struct dent *d)
{
	htab_del(&dir->names, &d->node);
	list_del(&d->order);
	free(d);
}

void inode_unref(struct sim_host *h, struct sim_inode *in, bool visible)
{
	struct dent *d;

	if (!in)
		return;
	if (visible && !--in->visible)
		inode_count(h, in, false);
	if (--in->refs)
		return;
	while (in->is_dir && !list_empty(&in->order)) {
		struct sim_inode *cur, *dur;

		d = list_first(&in->order, struct dent, order);
		cur = d->cur;
		dur = d->dur;
		dent_free(in, d);
		inode_unref(h, cur, true);
		inode_unref(h, dur, false);
	}
	if (in->is_dir)
		htab_done(&in->names);
	inode_pages_done(h, in);
	list_del(&in->node);
	free(in);
}

static struct dent *dent_find(struct sim_inode *dir, const char *name)
{
	uint64_t hash = hash_bytes(name, strlen(name), 0);
	struct htab_node *n;

	if (!dir->names.count)
		return NULL;
	htab_each_match(n, &dir->names, hash)
		if (!strcmp(container_of(n, struct dent, node)->name, name))
			return container_of(n, struct dent, node);
	return NULL;
}

static struct dent *dent_make(struct sim_inode *dir, const char *name)
{
	struct dent *d = dent_find(dir, name);

	if (d)
		return d;
	d = NEW(struct dent);
	(void)str_copy(d->name, sizeof(d->name), name);
	htab_add(&dir->names, &d->node, hash_bytes(name, strlen(name), 0));
	list_append(&dir->order, &d->order);
	return d;
}

static struct sim_inode *lookup(struct sim_inode *dir, const char *name)
{
	struct dent *d = dent_find(dir, name);

	return d ? d->cur : NULL;
}

static void set_cur(struct sim_host *h, struct sim_inode *dir, const char *name, struct sim_inode *to)
{
	struct dent *d = dent_make(dir, name);
	struct sim_inode *old = d->cur;

	if (to)
		inode_ref(h, to, true);
	d->cur = to;
	if (!d->cur && !d->dur)
		dent_free(dir, d);
	inode_unref(h, old, true);
}

static void set_dur(struct sim_host *h, struct sim_inode *dir, const char *name, struct sim_inode *to)
{
	struct dent *d = dent_make(dir, name);
	struct sim_inode *old = d->dur;

	if (to)
		inode_ref(h, to, false);
	d->dur = to;
	if (!d->cur && !d->dur)
		dent_free(dir, d);
	inode_unref(h, old, false);
}

/* ---- changes ------------------------------------------------------------------------------------------------------------- */

static void op_add(struct sim_host *h, struct name_op *op, struct sim_inode *dir, const char *name, struct sim_inode *to)
{
	int i = op->n++;

	op->set[i].dir = dir;
	op->set[i].to = to;
	(void)str_copy(op->set[i].name, sizeof(op->set[i].name), name);
	inode_ref(h, dir, false);
	if (to)
		inode_ref(h, to, false);
	dir->mtime_ns = sim_wall_ns(h);
}

static void op_apply(struct sim_host *h, struct name_op *op)
{
	list_append(&h->fs.ops, &op->node);
	for (int i = 0; i < op->n; i++)
		set_cur(h, op->set[i].dir, op->set[i].name, op->set[i].to);
}

static void op_free(struct sim_host *h, struct name_op *op)
{
	list_del(&op->node);
	for (int i = 0; i < op->n; i++) {
		inode_unref(h, op->set[i].to, false);
		inode_unref(h, op->set[i].dir, false);
	}
	free(op);
}

static void op_commit(struct sim_host *h, struct name_op *op)
{
	for (int i = 0; i < op->n; i++)
		set_dur(h, op->set[i].dir, op->set[i].name, op->set[i].to);
	op_free(h, op);
}

static void change(struct sim_host *h, struct sim_inode *dir, const char *name, struct sim_inode *to)
{
	struct name_op *op = NEW(struct name_op);

	op_add(h, op, dir, name, to);
	op_apply(h, op);
}

static bool op_concerns(const struct name_op *op, const struct sim_inode *dir)
{
	return op->set[0].dir == dir || (op->n > 1 && op->set[1].dir == dir);
}

static bool in_set(struct sim_inode *const *set, size_t n, const struct name_op *op)
{
	for (size_t i = 0; i < n; i++)
		if (op_concerns(op, set[i]))
			return true;
	return false;
}

/* The changes of dir, and those before them in the folders that renames connect it with. */
static void commit_dir(struct sim_host *h, struct sim_inode *dir)
{
	struct sim_inode **set = xmalloc(sizeof(*set));
	struct name_op *op, *tmp;
	size_t n = 1;

	set[0] = dir;
	for (struct list *l = h->fs.ops.prev; l != &h->fs.ops; l = l->prev) {
		op = list_entry(l, struct name_op, node);
		op->marked = in_set(set, n, op);
		if (!op->marked || op->n < 2 || op->set[0].dir == op->set[1].dir)
			continue;
		set = xrealloc(set, (n + 2) * sizeof(*set));
		set[n++] = op->set[0].dir;
		set[n++] = op->set[1].dir;
	}
	free(set);
	list_each_safe(op, tmp, &h->fs.ops, node)
		if (op->marked)
			op_commit(h, op);
}

/* ---- paths --------------------------------------------------------------------------------------------------------------- */

/* The folder that path is in, and its last part ("" for the root). */
static int walk(struct sim_host *h, const char *path, struct sim_inode **dir, char last[NAME_BYTES_MAX + 1])
{
	struct sim_inode *at = h->fs.root;
	size_t len;

	last[0] = '\0';
	while (*path) {
		len = strcspn(path, "/");
		if (len && !(len == 1 && path[0] == '.')) {
			if (len > NAME_BYTES_MAX)
				return -ENAMETOOLONG;
			if (last[0]) {
				at = lookup(at, last);
				if (!at)
					return -ENOENT;
				if (!at->is_dir)
					return -ENOTDIR;
			}
			memcpy(last, path, len);
			last[len] = '\0';
		}
		path += len;
		path += strspn(path, "/");
	}
	*dir = at;
	return 0;
}

static int find(struct sim_host *h, const char *path, struct sim_inode **ret)
{
	char last[NAME_BYTES_MAX + 1];
	struct sim_inode *dir, *in;
	int r = walk(h, path, &dir, last);

	if (r < 0)
		return r;
	in = last[0] ? lookup(dir, last) : dir;
	if (!in)
		return -ENOENT;
	*ret = in;
	return 0;
}

static int find_dir(struct sim_host *h, const char *path, struct sim_inode **ret)
{
	int r = find(h, path, ret);

	return !r && !(*ret)->is_dir ? -ENOTDIR : r;
}

static bool dir_empty(struct sim_inode *dir)
{
	struct dent *d;

	list_each(d, &dir->order, order)
		if (d->cur)
			return false;
	return true;
}

int name_open(struct sim_host *h, const char *path, int flags, struct sim_inode **ret)
{
	char last[NAME_BYTES_MAX + 1];
	struct sim_inode *dir, *in;
	int r = walk(h, path, &dir, last);

	if (r < 0)
		return r;
	in = last[0] ? lookup(dir, last) : dir;
	if (in && (flags & O_CREAT) && (flags & O_EXCL))
		return -EEXIST;
	if (in && in->is_dir && (flags & O_ACCMODE) != O_RDONLY)
		return -EISDIR;
	if (in && !in->is_dir && (flags & O_DIRECTORY))
		return -ENOTDIR;
	if (!in && !(flags & O_CREAT))
		return -ENOENT;
	if (!in && h->fs.used + SIM_PAGE > h->disk.capacity)
		return -ENOSPC;
	if (!in) {
		in = inode_new(h, false);
		change(h, dir, last, in);
	} else if ((flags & O_TRUNC) && !in->is_dir) {
		inode_set_size(h, in, 0);
	}
	*ret = in;
	return 0;
}

/* ---- operations ---------------------------------------------------------------------------------------------------------- */

int sim_path_unlink(struct env *env, const char *path)
{
	struct sim_host *h = sim_process(env)->host;
	char last[NAME_BYTES_MAX + 1];
	struct sim_inode *dir, *in;
	int r = sim_process_alive(env) ? walk(h, path, &dir, last) : -EIO;

	if (r < 0)
		return r;
	if (!last[0])
		return -EBUSY;
	in = lookup(dir, last);
	if (!in)
		return -ENOENT;
	if (in->is_dir && !dir_empty(in))
		return -ENOTEMPTY;
	change(h, dir, last, NULL);
	return 0;
}

int sim_path_rename(struct env *env, const char *from, const char *to)
{
	struct sim_host *h = sim_process(env)->host;
	char from_last[NAME_BYTES_MAX + 1], to_last[NAME_BYTES_MAX + 1];
	struct sim_inode *from_dir, *to_dir, *in, *over;
	struct name_op *op;
	int r = sim_process_alive(env) ? walk(h, from, &from_dir, from_last) : -EIO;

	if (!r)
		r = walk(h, to, &to_dir, to_last);
	if (r < 0)
		return r;
	in = from_last[0] ? lookup(from_dir, from_last) : NULL;
	if (!in || !to_last[0])
		return in ? -EBUSY : -ENOENT;
	over = lookup(to_dir, to_last);
	if (over == in)
		return 0;
	if (over && over->is_dir != in->is_dir)
		return over->is_dir ? -EISDIR : -ENOTDIR;
	if (over && over->is_dir && !dir_empty(over))
		return -ENOTEMPTY;
	op = NEW(struct name_op);
	op_add(h, op, to_dir, to_last, in);
	op_add(h, op, from_dir, from_last, NULL);
	op_apply(h, op);
	return 0;
}

int sim_path_mkdir(struct env *env, const char *path, unsigned mode)
{
	struct sim_host *h = sim_process(env)->host;
	char last[NAME_BYTES_MAX + 1];
	struct sim_inode *dir;
	int r = sim_process_alive(env) ? walk(h, path, &dir, last) : -EIO;

	if (r < 0)
		return r;
	if (!last[0] || lookup(dir, last))
		return -EEXIST;
	change(h, dir, last, inode_new(h, true));
	return 0;
}

int sim_dir_list(struct env *env, const char *path, int (*fn)(void *arg, const char *name), void *arg)
{
	struct sim_host *h = sim_process(env)->host;
	struct sim_inode *dir;
	struct buf names = { 0 };
	struct dent *d;
	int r = sim_process_alive(env) ? find_dir(h, path, &dir) : -EIO;

	if (r < 0)
		return r;
	/* a copy: fn may change the folder */
	list_each(d, &dir->order, order)
		if (d->cur)
			buf_add(&names, d->name, strlen(d->name) + 1);
	for (size_t at = 0; at < names.len && !r; at += strlen((const char *)names.p + at) + 1)
		r = fn(arg, (const char *)names.p + at);
	buf_done(&names);
	return r;
}

int sim_dir_sync(struct env *env, const char *path)
{
	struct sim_host *h = sim_process(env)->host;
	struct sim_inode *dir;
	int r = sim_process_alive(env) ? find_dir(h, path, &dir) : -EIO;

	if (!r && sim_ppm(h->w, h->disk.error_ppm))
		r = -EIO;
	if (!r)
		commit_dir(h, dir);
	return r;
}

int sim_fs_space(struct env *env, const char *path, uint64_t *total, uint64_t *free_bytes, uint64_t *inodes,
		 uint64_t *inodes_free)
{
	struct sim_host *h = sim_process(env)->host;
	struct sim_inode *in;
	int r = sim_process_alive(env) ? find(h, path, &in) : -EIO;

	if (r < 0)
		return r;
	*total = h->disk.capacity;
	*free_bytes = h->disk.capacity > h->fs.used ? h->disk.capacity - h->fs.used : 0;
	*inodes = INODES_TOTAL;
	*inodes_free = INODES_TOTAL / 2;
	return 0;
}

/* ---- the file system as a whole ------------------------------------------------------------------------------------------ */

void sim_fs_init(struct sim_host *h)
{
	list_init(&h->fs.inodes);
	list_init(&h->fs.ops);
	h->fs.root = inode_new(h, true);
	inode_ref(h, h->fs.root, true);
}

void sim_fs_done(struct sim_host *h)
{
	struct name_op *op, *tmp;

	list_each_safe(op, tmp, &h->fs.ops, node)
		op_free(h, op);
	inode_unref(h, h->fs.root, true);
	weft_assert(list_empty(&h->fs.inodes));
}

/* What programs see becomes what is durable. */
static void dir_power_cut(struct sim_host *h, struct sim_inode *dir)
{
	struct dent *d, *tmp;

	list_each_safe(d, tmp, &dir->order, order)
		if (d->cur != d->dur)
			set_cur(h, dir, d->name, d->dur);
}

void sim_fs_power_cut(struct sim_host *h)
{
	struct name_op *op, *tmp;
	struct sim_inode *in;
	struct list all;
	uint64_t n = 0, keep;

	list_each(op, &h->fs.ops, node)
		n++;
	keep = n && sim_draw(h->w, 2) ? sim_draw(h->w, n + 1) : 0;
	list_each_safe(op, tmp, &h->fs.ops, node) {
		if (keep) {
			keep--;
			op_commit(h, op);
		} else {
			op_free(h, op);
		}
	}
	/* inodes go away while we walk: hold them all */
	list_each(in, &h->fs.inodes, node)
		in->refs++;
	list_each(in, &h->fs.inodes, node) {
		inode_power_cut(h, in);
		if (in->is_dir)
			dir_power_cut(h, in);
	}
	list_init(&all);
	list_splice(&all, &h->fs.inodes);
	while ((in = list_pop(&all, struct sim_inode, node))) {
		list_append(&h->fs.inodes, &in->node);
		inode_unref(h, in, false);
	}
}
