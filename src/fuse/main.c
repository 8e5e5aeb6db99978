/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * weft-mount, also as mount.weft: mounts the file system through FUSE. One reactor per thread, each with its own channel to the
 * kernel and its own connections; the first one runs in the main thread.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "client/client.h"
#include "conf/conf.h"
#include "conf/secret.h"
#include "env/env_linux.h"
#include "fuse/chan.h"
#include "fuse/cpus.h"
#include "fuse/groups.h"
#include "fuse/mountopts.h"
#include "fuse/ops.h"

#define THREADS_MAX 64
#define WHY_MAX 512
#define PATIENCE_NS (3 * NSEC_PER_SEC)
#define LEAVE_TIMEOUT_MS 3000u
#define READ_AHEAD_KIB 4096u
#define EXIT_FAILED 1
#define EXIT_HELPER_FAILED 32 /* what mount(8) wants to hear */
#define RING_ENTRIES 1024u    /* with the FUSE queues in it */

struct options {
	struct conf_common common;
	uint64_t threads, op_timeout_ns, ready_fd;
	int transport; /* enum chan_transport, wished for */
	bool foreground, noatime, readdirplus, allow_other, ro, cache;
	char *subdir, *pid_file, *log_file;
};

static struct options opt;

static const struct conf_choice transports[] = {
	{ "auto", CHAN_AUTO }, { "uring", CHAN_URING }, { "classic", CHAN_CLASSIC }, { 0 }
};

static const struct conf_option mount_options[] = {
	{ "threads", CONF_U64, CONF_FIELD(options, threads), "N", "0", "reactor threads; 0 chooses by the number of processors",
	  0, THREADS_MAX },
	{ "fuse-transport", CONF_ENUM, CONF_FIELD(options, transport), "WAY", "auto",
	  "how requests come from the kernel: uring (faster; Linux 6.14 and newer; switches the fuse module's parameter "
	  "enable_uring on if it may), classic (/dev/fuse), or auto: uring if the kernel offers it",
	  .choices = transports },
	{ "op-timeout", CONF_DURATION, CONF_FIELD(options, op_timeout_ns), "TIME", "300s",
	  "an operation that no server answers for so long fails with ETIMEDOUT; 0 waits for ever", 0,
	  86400ull * NSEC_PER_SEC },
	{ "noatime", CONF_BOOL, CONF_FIELD(options, noatime), NULL, "no",
	  "reads do not change access times (otherwise as relatime)" },
	{ "cache", CONF_BOOL, CONF_FIELD(options, cache), NULL, "yes",
	  "cache names and attributes, coherently, under leases; no is for finding faults" },
	{ "readdirplus", CONF_BOOL, CONF_FIELD(options, readdirplus), NULL, "no", "fetch attributes with directory entries" },
	{ "allow-other", CONF_BOOL, CONF_FIELD(options, allow_other), NULL, "no",
	  "other users may use the mount (always so when root mounts; otherwise needs user_allow_other in /etc/fuse.conf)" },
	{ "subdir", CONF_PATH, CONF_FIELD(options, subdir), "DIR", NULL,
	  "mount this directory of the file system instead of its root", .flags = CONF_ARG_ONLY },
	{ "ro", CONF_BOOL, CONF_FIELD(options, ro), NULL, "no", "mount read-only", .flags = CONF_ARG_ONLY },
	{ "foreground", CONF_BOOL, CONF_FIELD(options, foreground), NULL, "no", "stay in the foreground",
	  .flags = CONF_ARG_ONLY, .letter = 'f' },
	{ "pid-file", CONF_PATH, CONF_FIELD(options, pid_file), "FILE", NULL, "write the process id to FILE",
	  .flags = CONF_ARG_ONLY },
	{ "log-file", CONF_PATH, CONF_FIELD(options, log_file), "FILE", NULL,
	  "append messages to FILE instead of standard error" },
	{ "ready-fd", CONF_U64, CONF_FIELD(options, ready_fd), "N", "0", "write \"ready\" to this descriptor when mounted", 0,
	  1023, .flags = CONF_ARG_ONLY },
	{ 0 },
};

static const struct conf_table common_table = { "Common options", "common", conf_common_options, &opt.common };
static const struct conf_table mount_table = { "Mount options", NULL, mount_options, &opt };

struct thread {
	struct fthread f;
	struct chan *chan;
	pthread_t id;
	unsigned index; /* as known to the client */
	unsigned rank;	/* among the threads that serve */
	bool running;	/* its pthread is to be joined */
	bool started;	/* it serves: must be told to stop */
	bool ready, go;
	int err;
	struct env_task arrived, serve, stop;
	struct env_timer patience;
};

static struct mount {
	struct client_mount *client;
	struct fuse_session *session;
	struct thread threads[THREADS_MAX];
	unsigned n, arrived, serving;
	enum chan_transport transport;
	const char *path;
	int signal_fd, report_fd, exit_failed;
	bool ended, unmounting;
} mnt = { .report_fd = -1, .exit_failed = EXIT_FAILED };

/* ---- telling whoever started us ------------------------------------------------------------------------ */

/* Goes into the background: the parent stays until the mount is there, and passes the outcome on. */
static int go_background(void)
{
	int fd[2], status = mnt.exit_failed;
	pid_t pid, parent = getpid();

	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid > 0) {
		char c;

		close(fd[1]);
		if (read(fd[0], &c, 1) == 1)
			status = c;
		_exit(status);
	}
	close(fd[0]);
	setsid();
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* who does not wait any more does not want the mount */
	if (getppid() != parent)
		_exit(mnt.exit_failed);
	mnt.report_fd = fd[1];
	return 0;
}

static void write_pid_file(void)
{
	FILE *f = opt.pid_file ? fopen(opt.pid_file, "we") : NULL;

	if (opt.pid_file && !f)
		log_warn("fuse", "cannot write %s: %s, ignoring", opt.pid_file, strerror(errno));
	if (f) {
		fprintf(f, "%d\n", (int)getpid());
		fclose(f);
	}
}

/* The daemon stands in no folder that somebody may want to unmount. */
static void leave_folder(void)
{
	cleanup_free char *cwd = getcwd(NULL, 0), *was = NULL;

	for (unsigned i = 0; i < opt.common.mgmtd.n; i++)
		if (!strncmp(opt.common.mgmtd.v[i], "unix:", 5) && opt.common.mgmtd.v[i][5] != '/')
			return; /* found from here only */
	if (!cwd)
		return;
	if (opt.pid_file && *opt.pid_file != '/') { /* needed until the end */
		was = opt.pid_file;
		opt.pid_file = xasprintf("%s/%s", cwd, was);
	}
	(void)!chdir("/");
}

/* Where messages of a mount in the background go, if no file was named: the journal, or nowhere. */
static int open_journal(void)
{
	static const char header[] = "weft-mount\n\n5\n1\n0\n0\n0\n"; /* name, no unit, notice unless a line says <N> */
	struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/stdout" };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 &&
	    send(fd, header, sizeof(header) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(header) - 1)
		return fd;
	if (fd >= 0)
		close(fd);
	return open("/dev/null", O_WRONLY | O_CLOEXEC);
}

static void go_quiet(void)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), err_fd = opt.log_file ? -1 : open_journal();

	if (null_fd >= 0) {
		dup2(null_fd, STDIN_FILENO);
		dup2(null_fd, STDOUT_FILENO);
		close(null_fd);
	}
	if (err_fd >= 0) {
		dup2(err_fd, STDERR_FILENO);
		close(err_fd);
	}
	leave_folder();
}

static void report_ready(void)
{
	char ok = 0;

	write_pid_file();
	if (mnt.report_fd >= 0) {
		(void)prctl(PR_SET_PDEATHSIG, 0);
		go_quiet();
	}
	log_notice("fuse", "mounted on %s: %s, %u thread%s", mnt.path, mnt.transport == CHAN_URING ? "io_uring" : "/dev/fuse",
		   mnt.serving, mnt.serving == 1 ? "" : "s");
	if (opt.ready_fd && write((int)opt.ready_fd, "ready\n", 6) != 6)
		log_warn("fuse", "cannot report readiness: %s, ignoring", strerror(errno));
	if (opt.ready_fd)
		close((int)opt.ready_fd);
	if (mnt.report_fd >= 0) {
		if (write(mnt.report_fd, &ok, 1) != 1)
			log_warn("fuse", "nobody waits for the mount any more, ignoring");
		close(mnt.report_fd);
	}
}

/* ---- threads ------------------------------------------------------------------------------------------- */

static void stop_thread(void *arg)
{
	struct thread *t = arg;

	/* Whatever still waits for servers has nobody to answer to any more. */
	client_cancel_all(t->f.client, false);
	env_linux_stop(t->f.env);
}

static void stop_threads(unsigned first)
{
	for (unsigned i = first; i < mnt.n; i++) {
		struct thread *t = &mnt.threads[i];

		if (!t->started)
			continue;
		t->stop = (struct env_task){ .fn = stop_thread, .arg = t };
		env_post(t->f.env, &t->stop);
	}
}

/* The kernel side is gone: every thread stops, whichever saw it first. */
static void mount_ended(void *arg)
{
	if (!__atomic_exchange_n(&mnt.ended, true, __ATOMIC_ACQ_REL))
		stop_threads(0);
}

static void client_is_ready(void *arg, int err, const struct wp_attr *root)
{
	struct thread *t = arg;

	t->ready = true;
	t->err = err;
}

/* Nobody should have to guess what a mount that takes long waits for. */
static void say_wait(void *arg)
{
	struct thread *t = arg;
	char why[WHY_MAX];

	client_waits_for(t->f.client, why, sizeof(why));
	if (*why)
		log_warn("fuse", "%s; still trying", why);
	env_timer_in(t->f.env, &t->patience, PATIENCE_NS);
}

/* Somebody has no patience. */
static void start_signalled(void *arg, unsigned revents)
{
	struct thread *t = arg;

	t->ready = true;
	t->err = -EINTR;
}

static int thread_init(struct thread *t)
{
	struct env_linux_params p = { .sqe128 = true, .entries = RING_ENTRIES };
	struct env_linux_poll *signals = NULL;
	int r = env_linux_new(mnt.transport == CHAN_URING ? &p : NULL, &t->f.env);

	if (r < 0) {
		log_err("fuse", "%s", env_linux_strerror(r));
		return r;
	}
	r = client_new(mnt.client, t->f.env, t->index, &t->f.client);
	if (r < 0)
		return r;
	fuse_ops_set_thread(&t->f);
	t->patience = (struct env_timer){ .fn = say_wait, .arg = t };
	if (t == &mnt.threads[0]) {
		env_timer_in(t->f.env, &t->patience, PATIENCE_NS);
		signals = env_linux_poll_fd(t->f.env, mnt.signal_fd, 1 /* POLLIN */, start_signalled, t);
	}
	client_start(t->f.client, client_is_ready, t);
	while (!t->ready)
		env_linux_run_once(t->f.env, true);
	env_timer_cancel(t->f.env, &t->patience);
	if (signals)
		env_linux_poll_stop(signals);
	return t->err;
}

/* Opens the thread's channel to the kernel: on the thread itself, in its loop. */
static void thread_serve(void *arg)
{
	struct thread *t = arg;
	struct chan_params p = { .env = t->f.env, .session = mnt.session, .ended = mount_ended };
	unsigned *queues = NULL;
	int r;

	if (mnt.transport == CHAN_URING) {
		p.device = t == &mnt.threads[0];
		p.queues_n = cpus_queues(t->rank, mnt.serving, &queues);
		p.queues = queues;
		cpus_pin(t->rank, mnt.serving);
	} else {
		p.device = true;
		p.clone = t != &mnt.threads[0];
	}
	r = chan_new(&p, &t->chan);
	free(queues);
	if (r < 0)
		log_warn("fuse", "thread %u does not serve: cannot open a channel to the kernel: %s, ignoring", t->index,
			 strerror(-r));
	t->err = r;
}

/* The client first: it still replies to requests that end now. */
static void thread_done(struct thread *t)
{
	client_free(t->f.client);
	t->f.client = NULL;
	chan_free(t->chan);
	t->chan = NULL;
	free(t->f.gathered);
	t->f.gathered = NULL;
}

static void arrived(void *arg) { mnt.arrived++; }

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	t->err = thread_init(t);
	t->arrived = (struct env_task){ .fn = arrived };
	env_post(mnt.threads[0].f.env, &t->arrived);
	if (t->err < 0)
		return NULL;
	env_linux_run(t->f.env);
	chan_drain(t->chan);
	fuse_ops_end_thread();
	return NULL;
}

static unsigned thread_count(void)
{
	unsigned n = cpus_allowed();

	/* The kernel's queues go by CPU: one thread for each. */
	if (mnt.transport == CHAN_URING)
		n = opt.threads ? MIN((unsigned)opt.threads, n) : n;
	else if (opt.threads)
		n = (unsigned)opt.threads;
	else /* one reader of /dev/fuse is faster than two that wake each other, until there are cores to spare */
		n = n >= 8 ? 4 : n >= 4 ? 2 : 1;
	return MIN(n, (unsigned)THREADS_MAX);
}

/* Waits until all threads have their connections. One that cannot serve only costs speed. */
static void start_extra_threads(void)
{
	unsigned n = 0;

	for (unsigned i = 1; i < mnt.n; i++) {
		struct thread *t = &mnt.threads[i];

		t->index = i;
		t->running = pthread_create(&t->id, NULL, thread_main, t) == 0;
		n += t->running ? 1 : 0;
	}
	while (mnt.arrived < n)
		env_linux_run_once(mnt.threads[0].f.env, true);
	for (unsigned i = 0; i < mnt.n; i++) {
		struct thread *t = &mnt.threads[i];

		t->started = i == 0 || (t->running && !t->err);
		if (t->started)
			t->rank = mnt.serving++;
		else
			log_warn("fuse", "thread %u does not serve: %s, ignoring", i, strerror(-t->err));
	}
}

/* The first one serves in the main thread. */
static void start_serving(void)
{
	for (unsigned i = 1; i < mnt.n; i++) {
		struct thread *t = &mnt.threads[i];

		t->serve = (struct env_task){ .fn = thread_serve, .arg = t };
		if (t->started)
			env_post(t->f.env, &t->serve);
	}
	thread_serve(&mnt.threads[0]);
}

/* ---- the directory to show -------------------------------------------------------------------------------- */

struct walk {
	bool done;
	int err;
	struct wp_attr attr;
};

static void walked(void *arg, int err, const struct client_res *res)
{
	struct walk *w = arg;

	w->done = true;
	w->err = err;
	if (!err)
		w->attr = res->attr;
}

/* With the rights of who mounts. Symbolic links are not followed: they mean paths of this machine. */
static int find_root(struct thread *t, const char *path)
{
	struct client_cred cred = { .uid = geteuid(), .gid = getegid(), .pid = (uint32_t)getpid(), .cap_dac = geteuid() == 0 };
	struct wp_fid fid = WP_FID_ROOT;

	for (const char *p = path; *(p += strspn(p, "/"));) {
		struct walk w = { 0 };
		struct wp_str name = { p, (uint32_t)strcspn(p, "/") };

		p += name.len;
		client_lookup(t->f.client, &cred, &fid, name, walked, &w);
		while (!w.done)
			env_linux_run_once(t->f.env, true);
		if (!w.err && !S_ISDIR(w.attr.mode))
			w.err = -ENOTDIR;
		if (w.err < 0) {
			log_err("fuse", "cannot mount the directory %s of the file system: %.*s: %s", path, (int)(p - path),
				path, strerror(-w.err));
			return w.err;
		}
		fid = w.attr.fid;
	}
	fuse_ops_config.root = fid;
	return 0;
}

/* ---- mounting ------------------------------------------------------------------------------------------ */

static int read_secrets(struct client_params *p)
{
	char why[256];
	int r;

	p->id.auth = (uint8_t)opt.common.auth;
	if (opt.common.auth == WP_AUTH_NONE)
		return 0;
	if (!opt.common.secret_file) {
		log_err("fuse", "secret-file is not set: name the cluster's secret, or say auth = none if it has none");
		return -EINVAL;
	}
	r = conf_secret_read(opt.common.secret_file, p->id.secret, &p->id.secret_len, why, sizeof(why));
	if (r < 0)
		log_err("fuse", "%s", why);
	return r;
}

static int make_client(void)
{
	struct client_params p = {
		.mgmtd = (const char *const *)opt.common.mgmtd.v,
		.mgmtd_n = opt.common.mgmtd.n,
		.id = { .role = WP_ROLE_CLIENT },
		.pid = (uint32_t)getpid(),
		.reactors = mnt.n,
		.op_timeout_ms = (uint32_t)(opt.op_timeout_ns / NSEC_PER_MSEC),
		.noatime = opt.noatime,
		.cache = opt.cache,
		.invalidate = fuse_invalidate,
		.groups = fuse_groups_of,
	};
	int r = read_secrets(&p);

	if (r < 0)
		return r;
	if (!p.mgmtd_n) {
		log_err("fuse", "mgmtd is not set: name the management daemon's address, as tcp:HOST:PORT");
		return -EINVAL;
	}
	if (gethostname(p.host, sizeof(p.host)) < 0)
		p.host[0] = '\0';
	p.host[sizeof(p.host) - 1] = '\0';
	(void)str_copy(p.id.name, sizeof(p.id.name), p.host);
	return client_mount_new(&p, &mnt.client);
}

static const char no_uring[] = "this kernel does not offer FUSE over io_uring: it needs Linux 6.14, and Y in "
			       "/sys/module/fuse/parameters/enable_uring";

static int mount_session(void)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int r = 0;

	if (fuse_opt_add_arg(&args, "weft-mount") || mountopts_add(&args, opt.allow_other || geteuid() == 0, opt.ro))
		return -ENOMEM;
	fuse_ops_config.readdirplus = opt.readdirplus;
	mnt.session = fuse_session_new(&args, &weft_fuse_ops, sizeof(weft_fuse_ops), NULL);
	fuse_opt_free_args(&args);
	if (!mnt.session)
		return -EINVAL;
	if (fuse_session_mount(mnt.session, mnt.path) != 0) {
		log_err("fuse",
			"cannot mount on %s: is it an empty folder that you own, is /dev/fuse usable, is fusermount3 "
			"installed?",
			mnt.path);
		return -EIO;
	}
	r = chan_setup_session(mnt.session, &mnt.transport);
	if (!r && opt.transport == CHAN_URING && mnt.transport != CHAN_URING)
		r = -EOPNOTSUPP;
	if (r < 0) {
		log_err("fuse", "cannot mount on %s: %s", mnt.path, r == -EOPNOTSUPP ? no_uring : strerror(-r));
		fuse_session_unmount(mnt.session);
	}
	return r;
}

/*
 * On a helper thread: the kernel waits until the reactors have given up their requests. Who still uses the mount loses it, as
 * any other end of this program would have it.
 */
static void unmount_run(void *arg)
{
	if (umount2(mnt.path, 0) == 0 || (errno == EBUSY && umount2(mnt.path, MNT_FORCE | MNT_DETACH) == 0))
		return;
	fuse_session_unmount(mnt.session);
}

static void signalled(void *arg, unsigned revents)
{
	static struct env_work work = { .run = unmount_run, .done = mount_ended };
	struct signalfd_siginfo info;

	while (read(mnt.signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (mnt.unmounting)
			continue;
		log_notice("fuse", "got signal %u: unmounting %s", info.ssi_signo, mnt.path);
		mnt.unmounting = true;
		env_work(mnt.threads[0].f.env, &work);
	}
}

static int block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	mnt.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return mnt.signal_fd < 0 ? -errno : 0;
}

/*
 * Read-ahead of the page cache. The kernel caps what INIT may ask at its own default of 128 KiB, which leaves the targets idle most of
 * the time; only root can raise it, and only once mounted. On a helper thread: the file system itself has to answer.
 */
static void raise_read_ahead(void *arg)
{
	char path[64];
	struct stat st;
	FILE *f;

	if (stat(mnt.path, &st) < 0)
		return;
	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", major(st.st_dev), minor(st.st_dev));
	f = fopen(path, "we");
	if (!f)
		return;
	fprintf(f, "%u\n", READ_AHEAD_KIB);
	fclose(f);
}

static void nothing(void *arg) {}

static void left(void *arg) { *(bool *)arg = true; }

static void leave(void)
{
	struct thread *t = &mnt.threads[0];
	bool done = false;

	client_leave(t->f.client, LEAVE_TIMEOUT_MS, left, &done);
	while (!done)
		env_linux_run_once(t->f.env, true);
}

static void say_failure(int err)
{
	char why[WHY_MAX] = "";

	if (err == -EINTR) {
		log_notice("fuse", "interrupted");
		return;
	}
	if (mnt.threads[0].f.client)
		client_waits_for(mnt.threads[0].f.client, why, sizeof(why));
	if (*why)
		log_err("fuse", "cannot mount: %s", why);
	else
		log_err("fuse", "cannot mount: %s; see 'weft status'", wp_status_text(wp_status_from_errno(err)));
}

static int check_device(void)
{
	static const char container[] = "a container must be started with --device /dev/fuse --cap-add SYS_ADMIN";

	if (access("/dev/fuse", F_OK) < 0) {
		log_err("fuse", "cannot mount: there is no /dev/fuse: load the kernel's module (modprobe fuse); %s", container);
		return -ENODEV;
	}
	if (access("/dev/fuse", R_OK | W_OK) < 0) {
		log_err("fuse",
			"cannot mount: you may not use /dev/fuse: %s. Run as root, or let everyone use it: chmod 666 "
			"/dev/fuse; %s",
			strerror(errno), container);
		return -EACCES;
	}
	return 0;
}

static int prepare(void)
{
	int r = check_device();

	if (r < 0)
		return r;
	r = chan_choose((enum chan_transport)opt.transport, &mnt.transport);
	if (r < 0) {
		log_err("fuse", "%s", no_uring);
		return r;
	}
	mnt.n = thread_count();
	r = block_signals();
	if (!r)
		r = make_client(); /* says what is wrong */
	if (r < 0)
		return r;
	r = thread_init(&mnt.threads[0]);
	if (r < 0) {
		say_failure(r);
		return r;
	}
	return opt.subdir ? find_root(&mnt.threads[0], opt.subdir) : 0;
}

static int serve(void)
{
	struct thread *first = &mnt.threads[0];
	static struct env_work ahead = { .run = raise_read_ahead, .done = nothing };
	struct env_linux_poll *signals;

	start_serving();
	if (first->err < 0) {
		fuse_session_unmount(mnt.session);
		return first->err;
	}
	signals = env_linux_poll_fd(first->f.env, mnt.signal_fd, 1 /* POLLIN */, signalled, NULL);
	env_work(first->f.env, &ahead);
	client_describe(first->f.client, mnt.transport == CHAN_URING ? "io_uring" : "classic", mnt.path);
	report_ready();
	env_linux_run(first->f.env);
	env_linux_poll_stop(signals);
	chan_drain(first->chan);
	return 0;
}

static void finish(void)
{
	struct thread *first = &mnt.threads[0];

	if (!__atomic_exchange_n(&mnt.ended, true, __ATOMIC_ACQ_REL))
		stop_threads(1);
	for (unsigned i = 1; i < mnt.n; i++)
		if (mnt.threads[i].running)
			pthread_join(mnt.threads[i].id, NULL);
	for (unsigned i = mnt.n; i-- > 1;) {
		thread_done(&mnt.threads[i]);
		env_linux_free(mnt.threads[i].f.env);
	}
	leave();
	thread_done(first);
	fuse_session_unmount(mnt.session);
	fuse_session_destroy(mnt.session);
	env_linux_free(first->f.env);
	client_mount_free(mnt.client);
	if (opt.pid_file)
		(void)unlink(opt.pid_file);
}

static int run(void)
{
	int r = prepare();

	if (r < 0)
		return r;
	start_extra_threads();
	r = mount_session();
	if (!r)
		r = serve();
	if (mnt.session)
		finish();
	if (!r)
		log_notice("fuse", "unmounted %s", mnt.path);
	return r;
}

static const struct conf_program program = {
	.name = "weft-mount",
	.section = "mount",
	.synopsis = "[OPTION]... PATH",
	.about = "Mounts a Weft file system through FUSE. Also found by mount(8): mount -t weft SOURCE PATH, where SOURCE is "
		 "the management "
		 "daemon (HOST:PORT, with /DIRECTORY to mount only that) or a configuration file.",
	.tables = { &common_table, &mount_table },
	.args = "PATH",
	.args_min = 1,
	.args_max = 1,
	.foreign = mountopts_foreign,
	.refusal = mountopts_refusal,
};

static bool log_to_file(void)
{
	int fd = open(opt.log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	if (fd >= 0 && dup2(fd, STDERR_FILENO) >= 0) {
		close(fd);
		return true;
	}
	fprintf(stderr, "weft-mount: cannot write %s: %s\n", opt.log_file, strerror(errno));
	return false;
}

int main(int argc, char **argv)
{
	struct conf *conf;
	bool fake = false;
	int status, r;
	unsigned n;

	if (mountopts_is_helper(argv[0])) {
		mnt.exit_failed = EXIT_HELPER_FAILED;
		argv = mountopts_from_helper(&argc, argv, &fake);
	}
	if (!argv)
		return 1;
	if (!conf_start(&program, argc, argv, &conf, &status))
		return status;
	mnt.path = realpath(conf_args(conf, &n)[0], NULL);
	if (!mnt.path) {
		fprintf(stderr, "weft-mount: %s: %s\n", conf_args(conf, &n)[0], strerror(errno));
		return mnt.exit_failed;
	}
	if (fake)
		return 0;
	env_linux_raise_limits();
	log_setup("weft-mount", (enum log_level)opt.common.log_level);
	if (opt.log_file && !log_to_file())
		return mnt.exit_failed;
	if (!opt.foreground && go_background() < 0)
		return mnt.exit_failed;
	r = run();
	free((char *)mnt.path);
	conf_free(conf);
	return r < 0 ? mnt.exit_failed : 0;
}
