/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A client's whole life, again and again: the k-th allocation fails, the k-th message breaks its connections, the k-th request is
 * answered with an error, for every k. No operation may hang, end with an error that does not say what happened, or lose data
 * that it acknowledged; what it took is freed (run under LeakSanitizer). Once nothing fails any more the mount works as ever.
 */
#include <fcntl.h>
#include <linux/falloc.h>

#include "base/log.h"
#include "client/client.h"
#include "fail.h"
#include "fail_net.h"
#include "fake_cluster.h"
#include "tap.h"

#define ADDR "sim:server:1"
#define SIZE ((1u << 20) + 300000) /* reaches into the second component: several objects */
#define PIECES 16
#define OP_TIMEOUT_MS 20000
#define HANG_NS (60 * NSEC_PER_SEC)

static struct sim_world *w;
static struct sim_host *server, *host;
static struct env *server_env, *client_env_;
static struct fail_net net;
static struct fc fc;
static struct client_mount *mount;
static struct client *cl;
static const struct client_cred root = { .cap_dac = true, .groups_known = true };
static uint8_t data[SIZE], back[SIZE];

static enum fail_kind kind;
static unsigned k;
static unsigned failures; /* operations that ended with an error in this life */

/* ---- requests that fail, although what they ask for may have been done ------------------------------------------------------ */

void __real_rpc_reply(struct rpc_req *req, const struct rpc_reply *rep);
void __wrap_rpc_reply(struct rpc_req *req, const struct rpc_reply *rep);

void __wrap_rpc_reply(struct rpc_req *req, const struct rpc_reply *rep)
{
	struct rpc_reply bad = { .err = -EIO, .credits = rep->credits, .sent = rep->sent, .arg = rep->arg };

	__real_rpc_reply(req, fail_hit(FAIL_REPLY) ? &bad : rep);
}

/* ---- operations that are waited for -------------------------------------------------------------------------------------- */

static struct {
	bool done;
	int err;
	struct client_res res;
} r;

static bool is_done(void *arg) { return r.done; }

static void on_done(void *arg, int err, const struct client_res *res)
{
	r.done = true;
	r.err = err;
	r.res = *res;
}

static void on_ready(void *arg, int err, const struct wp_attr *attr)
{
	r.done = true;
	r.err = err;
}

static void on_left(void *arg) { r.done = true; }

static int wait_for(const char *what)
{
	bool ended = sim_run_until(w, is_done, NULL, HANG_NS);
	/* a connection that breaks is nobody's business */
	bool clear = !r.err || (kind == FAIL_ALLOC && (r.err == -ENOMEM || r.err == -EIO)) || (kind == FAIL_REPLY && r.err == -EIO);

	if (!ended) {
		printf("# %s hangs, kind %d, call %u\n", what, kind, k);
		bail_out("an operation hangs");
	}
	ok_quiet(clear, "%s: error %d, kind %d, call %u", what, r.err, kind, k);
	ok_quiet(!r.err || fail_fired(), "%s: error %d although nothing failed, kind %d, call %u", what, r.err, kind, k);
	failures += r.err != 0;
	return r.err;
}

#define CB on_done, NULL
#define RUN(what, call)                                                                                                       \
	({                                                                                                                    \
		r.done = false;                                                                                               \
		call;                                                                                                         \
		wait_for(what);                                                                                               \
	})

/* ---- a life ---------------------------------------------------------------------------------------------------------------- */

static void world_up(void)
{
	struct sim_net_params p;

	w = sim_new(1000 * k + kind);
	sim_net_get(w, &p);
	p.break_ppm = 0;
	p.slow_ppm = 0;
	sim_net_set(w, &p);
	server = sim_host_new(w, "server");
	host = sim_host_new(w, "client");
	server_env = sim_process_new(server);
	client_env_ = sim_process_new(host);
	fail_net_init(&net, w, client_env_, server);
	fc_start(&fc, server_env, ADDR);
}

static void world_down(void)
{
	fc_stop(&fc);
	sim_run_for(w, NSEC_PER_SEC);
	sim_process_free(client_env_);
	sim_process_free(server_env);
	sim_free(w);
}

static int mount_up(void)
{
	static const char *const addrs[] = { ADDR };
	struct client_params p = { .mgmtd = addrs, .mgmtd_n = 1, .op_timeout_ms = OP_TIMEOUT_MS, .host = "testhost" };
	int err;

	p.id.role = WP_ROLE_CLIENT;
	p.id.auth = WP_AUTH_HMAC;
	memcpy(p.id.secret, "client secret", 13);
	p.id.secret_len = 13;
	err = client_mount_new(&p, &mount);
	weft_assert(!err);
	err = client_new(mount, &net.env, 0, &cl);
	weft_assert(!err);
	return RUN("mount", client_start(cl, on_ready, NULL));
}

static void mount_down(void)
{
	r.done = false;
	r.err = 0;
	client_leave(cl, 3000, on_left, NULL);
	(void)wait_for("unmount");
	client_free(cl);
	/* what was posted finds its end */
	sim_run_for(w, NSEC_PER_SEC);
	client_mount_free(mount);
}

/* More pieces than a call takes without gathering. */
static int cut(uint8_t *p, size_t len, struct iovec *iov)
{
	for (int i = 0; i < PIECES; i++) {
		size_t from = len * (size_t)i / PIECES, to = len * (size_t)(i + 1) / PIECES;

		iov[i] = (struct iovec){ p + from, to - from };
	}
	return PIECES;
}

static int write_all(struct client_file *f, uint32_t flags)
{
	struct iovec iov[PIECES];

	return RUN("write", client_write(cl, f, NULL, iov, cut(data, SIZE, iov), 0, flags, CB));
}

static void check_read(struct client_file *f, bool whole)
{
	struct iovec iov[PIECES];
	int err = RUN("read", client_read(cl, f, iov, cut(back, SIZE, iov), 0, CB));

	if (!err && whole)
		ok_quiet(r.res.n == SIZE && !memcmp(back, data, SIZE), "what was written is read, kind %d, call %u", kind, k);
}

static void use_file(struct client_file *f)
{
	struct iovec iov = { data, 4096 };
	bool whole = !write_all(f, 0);

	(void)RUN("fsync", client_fsync(cl, f, false, CB));
	check_read(f, whole);
	if (!RUN("append", client_write(cl, f, NULL, &iov, 1, 0, CLIENT_WRITE_APPEND, CB)) && whole)
		ok_quiet(r.res.lock.start == SIZE, "appended at the end, kind %d, call %u", kind, k);
	(void)RUN("getattr", client_getattr(cl, client_file_fid(f), CB));
	if (whole) /* otherwise the file may be too short for it */
		(void)RUN("collapse", client_fallocate(cl, f, FALLOC_FL_COLLAPSE_RANGE, 0, 65536, CB));
	(void)RUN("close", client_release(cl, f, CB));
}

static bool make_and_use(const struct wp_fid *dir, const char *name)
{
	if (RUN("create", client_create(cl, &root, dir, wp_str(name), 0644, 0, WP_OPEN_READ | WP_OPEN_WRITE, NULL, CB)))
		return false;
	use_file(r.res.file);
	return true;
}

static void live(void)
{
	struct wp_fid dir = WP_FID_ROOT;
	bool made;

	if (!RUN("mkdir", client_mkdir(cl, &root, &WP_FID_ROOT, wp_str("d"), 0755, 0, CB)))
		dir = r.res.attr.fid;
	made = make_and_use(&dir, "f");
	if (made && !RUN("look-up", client_lookup(cl, &root, &dir, wp_str("f"), CB))) {
		struct wp_fid fid = r.res.attr.fid;

		if (!RUN("open", client_open(cl, &root, &fid, WP_OPEN_READ, CB))) {
			struct client_file *f = r.res.file;

			check_read(f, false);
			(void)RUN("close", client_release(cl, f, CB));
		}
	}
	(void)RUN("opendir", client_opendir(cl, &root, &dir, CB));
	(void)RUN("readdir", client_readdir(cl, &root, &dir, 0, 65536, WP_READDIR_PLUS, CB));
	if (made && !RUN("rename", client_rename(cl, &root, &dir, wp_str("f"), &WP_FID_ROOT, wp_str("g"), 0, CB)))
		(void)RUN("unlink", client_unlink(cl, &root, &WP_FID_ROOT, wp_str("g"), CB));
	(void)RUN("statfs", client_statfs(cl, CB));
	(void)RUN("sync", client_sync_all(cl, CB));
}

/* After whatever happened. */
static void live_well(void)
{
	unsigned before = failures;

	ok_quiet(make_and_use(&WP_FID_ROOT, "after") && failures == before, "works again, kind %d, call %u", kind, k);
}

static bool one(void)
{
	bool fired;

	failures = 0;
	world_up();
	fail_at(kind, k);
	if (!mount_up()) {
		live();
		if (fail_fired())
			live_well();
	}
	mount_down();
	fired = fail_fired();
	fail_at(kind, 0);
	world_down();
	return fired;
}

int main(void)
{
	static const char *const names[] = { "allocation", "message", "request" };

	log_setup("test", LOG_ERR);
	for (size_t i = 0; i < SIZE; i++)
		data[i] = (uint8_t)(i * 31 + i / 4096);
	for (kind = FAIL_ALLOC; kind <= FAIL_REPLY; kind++) {
		for (k = 1; one(); k++)
			;
		ok(k > 3, "no %s of the first %u fails unheard", names[kind], k - 1);
	}
	return done_testing();
}
