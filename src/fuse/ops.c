/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "fuse/ops.h"

#include <stdatomic.h>
#include <sys/sysmacros.h>

#include "base/log.h"

#define FREE_REQS_MAX 256u
#define FUSE_MINOR_EPOCH 44u

struct fuse_ops_config fuse_ops_config = { .root = { .seq = WP_ROOT_SEQ, .oid = WP_ROOT_OID } };

static _Thread_local struct fthread *this_thread;
static _Thread_local struct list free_reqs;
static _Thread_local unsigned free_n;

void fuse_ops_set_thread(struct fthread *t)
{
	this_thread = t;
	list_init(&free_reqs);
}

void fuse_ops_end_thread(void)
{
	struct freq *f;

	while ((f = list_pop(&free_reqs, struct freq, node)))
		free(f);
	free_n = 0;
}

/* ---- request contexts ---------------------------------------------------------------------------------- */

static void cancel_task(void *arg)
{
	struct freq *f = arg;

	OBJ_CHECK(f, FREQ_MAGIC);
	f->cancelling = false;
	if (f->finished)
		freq_free(f);
	else if (f->op)
		client_cancel(f->thread->client, f->op);
}

/* On whichever thread read the INTERRUPT; libfuse holds the request's lock. */
static void interrupted(fuse_req_t req, void *arg)
{
	struct freq *f = arg;

	if (f->cancelling)
		return;
	f->cancelling = true;
	env_post(f->thread->env, &f->cancel);
}

struct client *this_client(void) { return this_thread->client; }

struct client_cred cred_of(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct client_cred){ .uid = ctx->uid, .gid = ctx->gid, .pid = (uint32_t)ctx->pid, .cap_dac = ctx->uid == 0 };
}

struct freq *freq_new(fuse_req_t req)
{
	struct freq *f = list_pop(&free_reqs, struct freq, node);

	if (f)
		free_n--;
	else
		f = xmalloc(sizeof(*f));
	memset(f, 0, offsetof(struct freq, layout));
	f->names_len = 0;
	OBJ_INIT(f, FREQ_MAGIC);
	list_init(&f->node);
	f->req = req;
	f->thread = this_thread;
	f->cancel = (struct env_task){ .fn = cancel_task, .arg = f };
	f->cred = cred_of(req);
	fuse_req_interrupt_func(req, interrupted, f);
	return f;
}

void freq_settle(struct freq *f)
{
	OBJ_CHECK(f, FREQ_MAGIC);
	f->op = NULL;
	fuse_req_interrupt_func(f->req, NULL, NULL);
}

void freq_free(struct freq *f)
{
	if (f->keep)
		chan_buf_put(f->keep);
	f->keep = NULL;
	if (f->cancelling) { /* the posted task frees it */
		f->finished = true;
		return;
	}
	if (free_n < FREE_REQS_MAX) {
		OBJ_FINI(f);
		list_push(&free_reqs, &f->node);
		free_n++;
		return;
	}
	OBJ_FINI(f);
	free(f);
}

void freq_end(struct freq *f, int err)
{
	freq_settle(f);
	fuse_reply_err(f->req, -err);
	freq_free(f);
}

struct wp_str freq_name(struct freq *f, const char *name)
{
	size_t len = strlen(name);
	char *copy = f->names + f->names_len;

	/* A longer name than the protocol carries: cut where the server still sees that it is too long. */
	len = MIN(len, (size_t)WP_NAME_MAX + 1);
	weft_assert(f->names_len + len <= sizeof(f->names));
	memcpy(copy, name, len);
	f->names_len += len;
	return (struct wp_str){ copy, (uint32_t)len };
}

void freq_keep(struct freq *f)
{
	if (!f->keep)
		f->keep = chan_buf_keep();
}

void *freq_room(struct freq *f, size_t size)
{
	freq_keep(f);
	return chan_buf_room(f->keep, size);
}

/* ---- numbers and attributes ---------------------------------------------------------------------------- */

struct wp_fid fid_of(fuse_ino_t ino) { return ino == FUSE_ROOT_ID ? fuse_ops_config.root : wp_ino_to_fid(ino); }

fuse_ino_t ino_of(const struct wp_fid *fid)
{
	return wp_fid_eq(fid, &fuse_ops_config.root) ? FUSE_ROOT_ID : wp_fid_to_ino(fid);
}

static struct timespec ts_of(struct wp_time t) { return (struct timespec){ .tv_sec = t.sec, .tv_nsec = t.nsec }; }

void stat_of(const struct wp_attr *a, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = ino_of(&a->fid);
	st->st_mode = a->mode;
	st->st_nlink = a->nlink;
	st->st_uid = a->uid;
	st->st_gid = a->gid;
	st->st_rdev = makedev(a->rdev_major, a->rdev_minor);
	st->st_size = (off_t)a->size;
	st->st_blocks = (blkcnt_t)a->blocks;
	st->st_blksize = 1 << 20;
	st->st_atim = ts_of(a->atime);
	st->st_mtim = ts_of(a->mtime);
	st->st_ctim = ts_of(a->ctime);
}

/* ---- shared completions -------------------------------------------------------------------------------- */

void done_err(void *arg, int err, const struct client_res *res) { freq_end(arg, err); }

double ttl_seconds(uint64_t ns) { return (double)ns / (double)NSEC_PER_SEC; }

void reply_entry(fuse_req_t req, int err, const struct client_res *res)
{
	struct fuse_entry_param e = { 0 };

	if (fuse_ops_config.kernel_names)
		e.entry_timeout = ttl_seconds(res->entry_ttl_ns);
	if (err < 0 && (err != -ENOENT || e.entry_timeout == 0)) {
		fuse_reply_err(req, -err);
		return;
	}
	if (!err) {
		e.ino = ino_of(&res->attr.fid);
		e.attr_timeout = ttl_seconds(res->attr_ttl_ns);
		stat_of(&res->attr, &e.attr);
	}
	fuse_reply_entry(req, &e);
}

void reply_attr(fuse_req_t req, int err, const struct client_res *res)
{
	struct stat st;

	if (err < 0) {
		fuse_reply_err(req, -err);
		return;
	}
	stat_of(&res->attr, &st);
	fuse_reply_attr(req, &st, ttl_seconds(res->attr_ttl_ns));
}

void done_entry(void *arg, int err, const struct client_res *res)
{
	struct freq *f = arg;

	freq_settle(f);
	reply_entry(f->req, err, res);
	freq_free(f);
}

void done_attr(void *arg, int err, const struct client_res *res)
{
	struct freq *f = arg;

	freq_settle(f);
	reply_attr(f->req, err, res);
	freq_free(f);
}

void fuse_invalidate(void *arg, const struct wp_fid *fid, uint32_t bits)
{
	if (bits & WP_LEASE_ENTRIES && fuse_ops_config.kernel_names)
		chan_inval_names();
	if (bits & WP_LEASE_ATTR)
		chan_inval_attr(ino_of(fid));
	if (bits & WP_LEASE_DATA_READ)
		chan_inval_data(ino_of(fid));
}

/* ---- the table ----------------------------------------------------------------------------------------- */

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	static const unsigned wanted[] = { FUSE_CAP_POSIX_LOCKS,    FUSE_CAP_FLOCK_LOCKS,    FUSE_CAP_ATOMIC_O_TRUNC,
					   FUSE_CAP_EXPORT_SUPPORT, FUSE_CAP_DONT_MASK,	     FUSE_CAP_ASYNC_READ,
					   FUSE_CAP_ASYNC_DIO,	    FUSE_CAP_PARALLEL_DIROPS };
	static const unsigned refused[] = { FUSE_CAP_WRITEBACK_CACHE, FUSE_CAP_SPLICE_READ, FUSE_CAP_SPLICE_WRITE,
					    FUSE_CAP_SPLICE_MOVE,     FUSE_CAP_READDIRPLUS, FUSE_CAP_READDIRPLUS_AUTO };

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		conn->want |= conn->capable & wanted[i];
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		conn->want &= ~refused[i];
	/*
	 * Names may be kept if they can be dropped without the directory's lock, which an operation of ours may hold while it waits for
	 * the target that recalls them: by epoch, Linux 6.16. Then the kernel walks paths by itself, so it must check permissions.
	 */
	if (conn->proto_minor >= FUSE_MINOR_EPOCH && conn->capable & FUSE_CAP_POSIX_ACL) {
		fuse_ops_config.kernel_names = true;
		conn->want |= FUSE_CAP_POSIX_ACL;
	}
	if (fuse_ops_config.readdirplus || fuse_ops_config.kernel_names)
		conn->want |= conn->capable & FUSE_CAP_READDIRPLUS;
	if (!fuse_ops_config.readdirplus)
		conn->want |= conn->capable & FUSE_CAP_READDIRPLUS_AUTO;
	conn->max_write = 1u << 20;
	conn->max_readahead = 1u << 20;
	conn->max_background = 64;
	conn->congestion_threshold = 48;
	conn->time_gran = 1;
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n) { fuse_reply_none(req); }
static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets) { fuse_reply_none(req); }

const struct fuse_lowlevel_ops weft_fuse_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.create = op_create,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.statfs = op_statfs,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.access = op_access,
	.getlk = op_getlk,
	.setlk = op_setlk,
	.flock = op_flock,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
	.copy_file_range = op_copy_file_range,
};
