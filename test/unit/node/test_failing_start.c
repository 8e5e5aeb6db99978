/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A server of targets starts, serves and stops while the k-th allocation or the k-th system call fails, for every k. Either it
 * gets over it, or it ends with status 1 and says why; and the next start on the same folder succeeds. Each start is a process
 * of its own; another one is the management daemon.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "env/env_linux.h"
#include "fail.h"
#include "mgmtd/mgmtd.h"
#include "node/server.h"
#include "tap.h"

#define START_MS 20000

static char top[] = "/tmp/weft-test-start.XXXXXX", mgmtd_addr[64];
static bool *fired; /* shared with the children */

/* ---- system calls that fail ------------------------------------------------------------------------------------------------ */

#define FAILING(type, name, args, call, err, bad)                                                                             \
	type __real_##name args;                                                                                              \
	type __wrap_##name args;                                                                                              \
	type __wrap_##name args                                                                                               \
	{                                                                                                                     \
		if (!fail_hit(FAIL_SYSTEM))                                                                                   \
			return __real_##name call;                                                                            \
		errno = err;                                                                                                  \
		return bad;                                                                                                   \
	}

FAILING(FILE *, fopen64, (const char *path, const char *mode), (path, mode), EMFILE, NULL)
FAILING(DIR *, opendir, (const char *path), (path), EMFILE, NULL)
FAILING(int, flock, (int fd, int op), (fd, op), ENOLCK, -1)
FAILING(int, fsync, (int fd), (fd), EIO, -1)
FAILING(int, ftruncate64, (int fd, off_t size), (fd, size), EIO, -1)
FAILING(ssize_t, pwrite64, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at), ENOSPC, -1)
FAILING(int, rename, (const char *from, const char *to), (from, to), EIO, -1)
FAILING(int, mkdir, (const char *path, mode_t mode), (path, mode), ENOSPC, -1)
FAILING(ssize_t, getrandom, (void *p, size_t n, unsigned flags), (p, n, flags), EINTR, -1)
FAILING(int, socket, (int domain, int type, int proto), (domain, type, proto), EMFILE, -1)
FAILING(int, bind, (int fd, const struct sockaddr *a, socklen_t len), (fd, a, len), EADDRINUSE, -1)
FAILING(int, listen, (int fd, int n), (fd, n), EADDRINUSE, -1)
FAILING(int, connect, (int fd, const struct sockaddr *a, socklen_t len), (fd, a, len), ECONNREFUSED, -1)
FAILING(int, eventfd, (unsigned n, int flags), (n, flags), EMFILE, -1)
FAILING(int, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags), EMFILE, -1)
FAILING(int, pthread_create, (pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg), (t, a, fn, arg), EAGAIN, EAGAIN)

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

int __wrap_open64(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = va_arg(ap, mode_t);
	va_end(ap);
	if (!fail_hit(FAIL_SYSTEM))
		return __real_open64(path, flags, mode);
	errno = EMFILE;
	return -1;
}

ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
	/* counters of event file descriptors take 8 bytes, and never fail */
	if (n == sizeof(uint64_t) || !fail_hit(FAIL_SYSTEM))
		return __real_write(fd, p, n);
	errno = ENOSPC;
	return -1;
}

/* ---- the management daemon --------------------------------------------------------------------------------------------------- */

static pid_t mgmtd_start(void)
{
	struct mgmtd_params p = { .boot_epoch = 1 };
	struct rpc_identity id = { .role = WP_ROLE_MGMTD, .auth = WP_AUTH_NONE, .name = "mgmtd" };
	struct osd_params op = { 0 };
	struct rpc_node *node;
	struct mgmtd *core;
	pid_t pid = fork();

	if (pid)
		return pid;
	log_setup("mgmtd", (enum log_level)0);
	weft_assert(env_linux_new(NULL, &p.env) == 0);
	op.env = p.env;
	weft_assert(osd_backend("mem")->open(&op, &p.dev) == 0);
	weft_assert(mgmtd_open(&p, &core) == 0);
	id.cluster = *mgmtd_cluster(core);
	weft_assert(rpc_node_new(p.env, &id, &node) == 0);
	weft_assert(rpc_service_add(node, mgmtd_service(core)) == 0);
	weft_assert(rpc_listen(node, mgmtd_addr) == 0);
	env_linux_run(p.env);
	_exit(0);
}

/* ---- a server whose core does nothing ---------------------------------------------------------------------------------------- */

static void no_request(void *ctx, struct rpc_req *req) { rpc_reply_err(req, -EOPNOTSUPP); }

static void target_open(struct server_target *t)
{
	struct rpc_service *svc = NEW(struct rpc_service);

	*svc = (struct rpc_service){ .service = WP_SERVICE_STORAGE, .target = t->id, .boot_epoch = t->boot_epoch, .request = no_request };
	t->priv = svc;
	server_opened(t, 0, NULL);
}

static struct rpc_service *target_service(struct server_target *t) { return t->priv; }
static void target_stop(struct server_target *t, env_fn *fn, void *arg) { fn(arg); }
static void target_close(struct server_target *t) { free(t->priv); }

static const struct server_ops ops = { .open = target_open, .service = target_service, .stop = target_stop, .close = target_close };

static const struct server_program program = {
	.conf = { .name = "test", .section = "storage", .synopsis = "", .about = "" },
	.role = WP_ROLE_STORAGE,
	.service = WP_SERVICE_STORAGE,
	.listen_default = "tcp:127.0.0.1:0",
	.ops = &ops,
};

static noreturn_fn void serve(enum fail_kind kind, unsigned k, const char *dir, int ready_fd, int err_fd)
{
	cleanup_free char *a = xasprintf("%s/a", dir), *b = xasprintf("%s/b", dir), *pid_file = xasprintf("%s/pid", dir);
	char fd[16];
	char *argv[] = { (char *)"test", (char *)"--target", a, (char *)"--target", b, (char *)"--backend", (char *)"mem", (char *)"--init",
			 (char *)"--auth", (char *)"none", (char *)"--mgmtd", mgmtd_addr, (char *)"--reactors", (char *)"2",
			 (char *)"--pid-file", pid_file, (char *)"--ready-fd", fd, NULL };
	int status;

	snprintf(fd, sizeof(fd), "%d", ready_fd);
	dup2(err_fd, STDERR_FILENO);
	fail_at(kind, k);
	status = server_main(&program, ARRAY_SIZE(argv) - 1, argv);
	*fired = fail_fired();
	fail_at(kind, 0);
	free(a);
	free(b);
	free(pid_file);
	exit(status);
}

/* ---- starts ------------------------------------------------------------------------------------------------------------------ */

enum outcome { SERVED, REFUSED, HANGS, DIED };

/* Ends within the time, if it was asked to end. */
static enum outcome reap(pid_t pid, bool was_ready)
{
	int status = 0;

	for (int ms = 0; waitpid(pid, &status, WNOHANG) == 0; ms++) {
		if (ms == START_MS) {
			kill(pid, SIGKILL);
			(void)waitpid(pid, &status, 0);
			return HANGS;
		}
		usleep(1000);
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
		return DIED;
	return WEXITSTATUS(status) == 0 && was_ready ? SERVED : REFUSED;
}

static enum outcome start(enum fail_kind kind, unsigned k, const char *dir, const char *log)
{
	int pipe_fds[2], err_fd = open(log, O_RDWR | O_CREAT | O_TRUNC, 0600);
	enum outcome outcome;
	struct pollfd p;
	char word[8];
	bool ready;
	pid_t pid;

	weft_assert(pipe(pipe_fds) == 0 && err_fd >= 0);
	*fired = false;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		close(pipe_fds[0]);
		serve(kind, k, dir, pipe_fds[1], err_fd);
	}
	close(pipe_fds[1]);
	close(err_fd);
	p = (struct pollfd){ .fd = pipe_fds[0], .events = POLLIN };
	ready = poll(&p, 1, START_MS) == 1 && read(pipe_fds[0], word, sizeof(word)) > 0;
	if (p.revents)
		kill(pid, SIGTERM); /* no matter if it has ended */
	outcome = reap(pid, ready);
	close(pipe_fds[0]);
	return p.revents ? outcome : HANGS;
}

static void show(const char *log)
{
	char line[500];
	FILE *f = fopen(log, "r");

	while (f && fgets(line, sizeof(line), f))
		printf("# %s", line);
	if (f)
		fclose(f);
}

static bool says_why(const char *log)
{
	struct stat st;

	return stat(log, &st) == 0 && st.st_size > 0;
}

/* In a fresh folder, or in one that has been served before. */
static bool one(enum fail_kind kind, unsigned k, bool fresh)
{
	cleanup_free char *dir = xasprintf("%s/%u-%u-%d", top, kind, k, fresh), *log = xasprintf("%s/log", top);
	enum outcome outcome;
	bool hit;

	weft_assert(mkdir(dir, 0700) == 0);
	if (!fresh && !ok_quiet(start(kind, 0, dir, log) == SERVED, "first start"))
		show(log);
	outcome = start(kind, k, dir, log);
	hit = *fired || outcome >= HANGS;
	if (!ok_quiet(outcome == SERVED || (outcome == REFUSED && says_why(log)), "kind %d, call %u, %s folder: %s", kind, k,
		      fresh ? "fresh" : "used", outcome == HANGS ? "hangs" : outcome == DIED ? "dies" : "does not say why"))
		show(log);
	if (outcome != SERVED && !ok_quiet(start(kind, 0, dir, log) == SERVED, "kind %d, call %u, %s folder: the next start", kind, k,
					   fresh ? "fresh" : "used"))
		show(log);
	return hit;
}

static void remove_all(void)
{
	cleanup_free char *cmd = xasprintf("rm -rf %s", top);

	if (system(cmd) != 0)
		printf("# %s stays\n", top);
}

int main(void)
{
	struct env *env;
	pid_t mgmtd;
	unsigned k;
	int r = env_linux_new(NULL, &env);

	if (r < 0)
		skip_all(env_linux_strerror(r));
	env_linux_free(env);
	fired = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	weft_assert(fired != MAP_FAILED && mkdtemp(top));
	snprintf(mgmtd_addr, sizeof(mgmtd_addr), "unix:%s/mgmtd", top);
	mgmtd = mgmtd_start();
	for (k = 1; one(FAIL_ALLOC, k, true); k++)
		;
	ok(k > 3, "%u allocations", k - 1);
	for (int fresh = 1; fresh >= 0; fresh--) {
		for (k = 1; one(FAIL_SYSTEM, k, fresh); k++)
			;
		ok(k > 20, "%u system calls", k - 1);
	}
	kill(mgmtd, SIGKILL);
	(void)waitpid(mgmtd, NULL, 0);
	remove_all();
	return done_testing();
}
