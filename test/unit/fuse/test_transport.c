/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The transports between the kernel's FUSE and libfuse, on a file system in memory: test_fuse_transport classic|uring. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "fuse/caller.h"
#include "fuse/cpus.h"
#include "memfs.h"
#include "tap.h"

#define WORKERS 6
#define BIG (1u << 20)
#define MANY_LOCKS 300 /* more than a queue has entries at first */
#define DIR_FILES 3000
#define CTL "/sys/fs/fuse/connections"

static enum chan_transport transport;
static char base[64], mnt[80];
static pid_t daemon_pid;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static const char *file(const char *name)
{
	static _Thread_local char path[4][160];
	static _Thread_local unsigned turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", mnt, name);
	return p;
}

static void pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu % (unsigned)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1), &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

/* ---- the daemon --------------------------------------------------------------------------------------------------- */

static bool start(unsigned threads)
{
	int fd[2];
	char c;

	if (pipe(fd) < 0)
		return false;
	fflush(stdout);
	daemon_pid = fork();
	if (daemon_pid == 0) {
		close(fd[0]);
		exit(memfs_main(mnt, transport, threads, fd[1]));
	}
	close(fd[1]);
	c = 0;
	if (read(fd[0], &c, 1) != 1)
		c = 0;
	close(fd[0]);
	return ok(c == 'r', "mounted, %u threads", threads);
}

/* Exit status, -1 if it does not end in time. Kills it then. */
static int daemon_ends(double seconds)
{
	double end = now() + seconds;
	int status;

	while (now() < end) {
		if (waitpid(daemon_pid, &status, WNOHANG) == daemon_pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
		usleep(5000);
	}
	kill(daemon_pid, SIGKILL);
	(void)waitpid(daemon_pid, &status, 0);
	(void)umount2(mnt, MNT_DETACH);
	return -1;
}

static void stop_orderly(void)
{
	double t = now();
	int r = 0;

	/* the RELEASE of a file that was just closed may still be on its way */
	while (umount2(mnt, 0) < 0 && (r = errno) == EBUSY && now() < t + 3)
		usleep(10000);
	ok(umount2(mnt, 0) < 0 && r != ETIMEDOUT, "unmounted");
	is_int(daemon_ends(5), 0, "the daemon ended orderly");
	ok(now() - t < 3, "in %.0f ms", (now() - t) * 1e3);
}

/* ---- children ----------------------------------------------------------------------------------------------------- */

static pid_t child(int (*fn)(unsigned i), unsigned i)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(fn(i));
	return pid;
}

/* As daemon_ends, of any child. */
static int child_ends(pid_t pid, double seconds)
{
	double end = now() + seconds;
	int status;

	while (now() < end) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
		usleep(2000);
	}
	return -1;
}

static uint32_t pattern(uint64_t seed, size_t i) { return (uint32_t)((seed * 2654435761u) ^ (i * 40503u)); }

static void fill(uint32_t *buf, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size / 4; i++)
		buf[i] = pattern(seed, i);
}

static bool check(const uint32_t *buf, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size / 4; i++)
		if (buf[i] != pattern(seed, i))
			return false;
	return true;
}

/* ---- load --------------------------------------------------------------------------------------------------------- */

static int one_file(const char *path, uint64_t seed, size_t size, uint32_t *buf)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
	struct stat st;

	if (fd < 0)
		return 1;
	fill(buf, size, seed);
	if (write(fd, buf, size) != (ssize_t)size)
		return 2;
	memset(buf, 0, size);
	if (pread(fd, buf, size, 0) != (ssize_t)size || !check(buf, size, seed))
		return 3;
	if (fstat(fd, &st) < 0 || st.st_size != (off_t)size || stat(path, &st) < 0 || st.st_size != (off_t)size)
		return 4;
	close(fd);
	if (unlink(path) < 0)
		return 5;
	return stat(path, &st) < 0 && errno == ENOENT ? 0 : 6;
}

/* Wanders over the CPUs for a second. */
static int worker(unsigned i)
{
	uint32_t *buf = malloc(BIG);
	double end = now() + 1;
	char name[64];
	int r = 0;

	if (!buf)
		return 9;
	for (unsigned k = 0; !r && now() < end; k++) {
		pin(i + k / 4);
		snprintf(name, sizeof(name), "w%u-%u", i, k);
		r = one_file(file(name), i * 1000003ull + k, k % 16 == 15 ? BIG : 4 + 4 * (k * 37 % 4096), buf);
	}
	return r;
}

static void test_load(void)
{
	pid_t pid[WORKERS];

	for (unsigned i = 0; i < WORKERS; i++)
		pid[i] = child(worker, i);
	for (unsigned i = 0; i < WORKERS; i++)
		is_int(child_ends(pid[i], 30), 0, "files made, written, read, removed");
}

static void test_big(void)
{
	int fd = open(file("big"), O_RDWR | O_CREAT, 0644);
	uint32_t *buf = malloc(BIG);
	bool good = fd >= 0 && buf;

	for (unsigned i = 0; good && i < 32; i++) {
		fill(buf, BIG, i);
		good = pwrite(fd, buf, BIG, (off_t)i * BIG) == BIG;
	}
	ok(good, "writes of 1 MiB");
	for (unsigned i = 32; good && i-- > 0;) {
		memset(buf, 0, BIG);
		good = pread(fd, buf, BIG, (off_t)i * BIG) == BIG && check(buf, BIG, i);
	}
	ok(good, "reads of 1 MiB");
	ok(buf && pread(fd, buf, BIG, 31 * (off_t)BIG + BIG / 2) == BIG / 2, "a short read at the end");
	ok(ftruncate(fd, 5) == 0 && pread(fd, buf, BIG, 0) == 5, "truncated");
	close(fd);
	unlink(file("big"));
	free(buf);
}

static void test_readdir(void)
{
	bool *seen = calloc(DIR_FILES, sizeof(*seen));
	unsigned n = 0, wrong = 0, i;
	struct dirent *e;
	char name[64];
	DIR *d;

	for (i = 0; i < DIR_FILES; i++) {
		snprintf(name, sizeof(name), "entry-%u", i);
		close(open(file(name), O_WRONLY | O_CREAT, 0644));
	}
	d = opendir(mnt);
	while (d && (e = readdir(d))) {
		if (sscanf(e->d_name, "entry-%u", &i) != 1)
			continue;
		if (i >= DIR_FILES || seen[i])
			wrong++;
		else
			seen[i] = true;
		n++;
	}
	if (d)
		closedir(d);
	ok(n == DIR_FILES && !wrong, "%u of %u entries read, %u wrong", n, DIR_FILES, wrong);
	for (i = 0; i < DIR_FILES; i++) {
		snprintf(name, sizeof(name), "entry-%u", i);
		unlink(file(name));
	}
	free(seen);
}

/* ---- waiting locks ------------------------------------------------------------------------------------------------ */

static int lock_file(const char *name)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(file(name), O_RDWR | O_CREAT, 0644);

	if (fd < 0 || fcntl(fd, F_OFD_SETLKW, &l) < 0)
		return -errno;
	return fd;
}

/* The kernel tells FUSE nothing of the locks of an open file description that is closed. */
static void unlock_close(int fd)
{
	struct flock l = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	(void)fcntl(fd, F_OFD_SETLK, &l);
	close(fd);
}

static void on_signal(int sig) { (void)sig; }

/* Exit status: the errno of the wait. */
static int lock_waiter(unsigned i)
{
	struct sigaction sa = { .sa_handler = on_signal };
	int r;

	pin(i);
	sigaction(SIGINT, &sa, NULL);
	r = lock_file("lock");
	if (r < 0)
		return -r;
	unlock_close(r);
	return 0;
}

static void test_interrupt(void)
{
	int fd = lock_file("lock");
	pid_t pid[4];
	bool waits = true;

	ok(fd >= 0, "locked");
	for (unsigned i = 0; i < 4; i++)
		pid[i] = child(lock_waiter, i);
	usleep(150000);
	for (unsigned i = 0; i < 4; i++)
		waits = waits && waitpid(pid[i], NULL, WNOHANG) == 0;
	ok(waits, "others wait");
	kill(pid[0], SIGINT);
	is_int(child_ends(pid[0], 1), EINTR, "SIGINT ends a wait");
	kill(pid[1], SIGKILL);
	is_int(child_ends(pid[1], 1), 256 + SIGKILL, "SIGKILL ends a wait");
	unlock_close(fd);
	is_int(child_ends(pid[2], 1), 0, "the next gets the lock");
	is_int(child_ends(pid[3], 1), 0, "and the last");
}

static void *lock_thread(void *arg)
{
	pin(0);
	(void)lock_file("lock");
	return NULL;
}

/* Waits on one CPU, more than its queue has entries. */
static int lock_crowd(unsigned i)
{
	pthread_attr_t attr;
	pthread_t id;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (unsigned k = 0; k < MANY_LOCKS; k++) {
		if (pthread_create(&id, &attr, lock_thread, NULL))
			return 1;
		usleep(200);
	}
	for (;;)
		pause();
}

static int stat_often(unsigned i)
{
	struct stat st;

	pin(0);
	for (unsigned k = 0; k < 100; k++)
		if (stat(file("lock"), &st) < 0)
			return 1;
	return 0;
}

static void test_crowd(void)
{
	int fd = lock_file("lock");
	pid_t crowd = child(lock_crowd, 0), pid;
	double t;

	usleep(600000);
	t = now();
	pid = child(stat_often, 0);
	is_int(child_ends(pid, 5), 0, "operations go on while hundreds wait on the same CPU");
	ok(now() - t < 2, "in %.0f ms", (now() - t) * 1e3);
	t = now();
	kill(crowd, SIGKILL);
	is_int(child_ends(crowd, 10), 256 + SIGKILL, "all waits end when their process is killed");
	ok(now() - t < 5, "in %.0f ms", (now() - t) * 1e3);
	unlock_close(fd);
	unlink(file("lock"));
}

static void test_caller(void)
{
	sigset_t set, old;

	ok(!caller_has_signal((uint32_t)getpid()), "no signal waits");
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGUSR1);
	ok(!caller_has_signal((uint32_t)getpid()), "a blocked one does not count");
	signal(SIGUSR1, SIG_IGN); /* drops it */
	sigprocmask(SIG_SETMASK, &old, NULL);
	ok(!caller_has_signal(0) && !caller_has_signal(0x7fffffff), "no such process");
}

/* ---- rough ends ---------------------------------------------------------------------------------------------------- */

static int until_error(unsigned i)
{
	uint32_t *buf = malloc(BIG);
	double end = now() + 10;
	char name[64];
	int r = 0;

	for (unsigned k = 0; buf && !r && now() < end; k++) {
		pin(i + k / 4);
		snprintf(name, sizeof(name), "x%u-%u", i, k);
		errno = 0;
		r = one_file(file(name), k, 4096, buf);
	}
	/* ECANCELED: the request was on its way to a ring whose process died */
	if (r && (errno == ENOTCONN || errno == ECONNABORTED || errno == EINTR || errno == ECANCELED))
		return 0;
	return r ? MAX(errno, 1) : 255;
}

static int stat_hang(unsigned i)
{
	struct stat st;

	pin(i);
	return stat(file(MEMFS_HANG), &st) < 0 && (errno == ECONNABORTED || errno == ENOTCONN) ? 0 : 1;
}

static void children_end_well(const pid_t *pid, unsigned n, const char *what)
{
	unsigned good = 0;

	for (unsigned i = 0; i < n; i++) {
		int status = child_ends(pid[i], 5);

		good += status == 0;
		if (status)
			printf("# one ended with status %d\n", status);
	}
	ok(good == n, "%s: %u of %u callers get the error", what, good, n);
}

static void test_killed(void)
{
	pid_t pid[WORKERS];
	int status;
	double t;

	if (!start(0))
		return;
	for (unsigned i = 0; i < WORKERS; i++)
		pid[i] = child(until_error, i);
	usleep(300000);
	t = now();
	kill(daemon_pid, SIGKILL);
	(void)waitpid(daemon_pid, &status, 0);
	ok(now() - t < 2, "killed: gone in %.0f ms", (now() - t) * 1e3);
	children_end_well(pid, WORKERS, "killed");
	ok(umount2(mnt, MNT_DETACH) == 0, "unmounted");
}

static bool abort_connection(unsigned conn)
{
	char path[128];
	bool good;
	int fd;

	snprintf(path, sizeof(path), CTL "/%u/abort", conn);
	fd = open(path, O_WRONLY);
	good = fd >= 0 && write(fd, "1", 1) == 1;
	close(fd);
	return good;
}

static void test_aborted(bool loaded)
{
	pid_t pid[WORKERS];
	struct stat st;

	if (!start(loaded ? 0 : 1))
		return;
	ok(stat(mnt, &st) == 0, "there");
	for (unsigned i = 0; i < WORKERS; i++)
		pid[i] = child(until_error, i);
	usleep(loaded ? 300000 : 0);
	ok(abort_connection(minor(st.st_dev)), "aborted");
	children_end_well(pid, WORKERS, "aborted");
	is_int(daemon_ends(5), 0, "aborted: the daemon ends");
	(void)umount2(mnt, MNT_DETACH);
}

static void test_forced(void)
{
	pid_t pid[WORKERS];
	double t;
	int fd;

	if (!start(0))
		return;
	fd = open(file(MEMFS_HANG), O_WRONLY | O_CREAT, 0644);
	close(fd);
	for (unsigned i = 0; i < WORKERS; i++)
		pid[i] = child(stat_hang, i);
	usleep(200000);
	t = now();
	(void)umount2(mnt, MNT_FORCE);
	children_end_well(pid, WORKERS, "umount -f");
	is_int(daemon_ends(5), 0, "umount -f: the daemon ends");
	ok(now() - t < 3, "in %.0f ms", (now() - t) * 1e3);
	(void)umount2(mnt, MNT_DETACH);
}

/* ---- rates, for the eye -------------------------------------------------------------------------------------------- */

static int rate_worker(unsigned i)
{
	double end = now() + 0.7;
	struct stat st;
	unsigned n = 0;

	pin(i);
	while (now() < end) {
		for (unsigned k = 0; k < 50; k++)
			if (stat(file(MEMFS_FAST), &st) < 0)
				return 0;
		n += 50;
	}
	return (int)MIN(n / 1000, 255u);
}

static void show_rate(void)
{
	pid_t pid[2];
	int n = 0;

	close(open(file(MEMFS_FAST), O_WRONLY | O_CREAT, 0644));
	for (unsigned i = 0; i < 2; i++)
		pid[i] = child(rate_worker, i);
	for (unsigned i = 0; i < 2; i++)
		n += child_ends(pid[i], 10);
	printf("# %.0f thousand look-ups and stats per second\n", n / 0.7);
	unlink(file(MEMFS_FAST));
}

static void test_working(unsigned threads)
{
	if (!start(threads))
		return;
	test_load();
	test_big();
	test_readdir();
	test_interrupt();
	test_crowd();
	show_rate();
	stop_orderly();
}

/* Whatever happens, no mount is left behind: they are in a name space of our own. */
static void private_mounts(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		skip_all("cannot have mounts of its own");
	if (mount("none", CTL, "fusectl", 0, NULL) < 0 && errno != EBUSY)
		skip_all("cannot mount fusectl");
}

int main(int argc, char **argv)
{
	enum chan_transport wish = argc > 1 && !strcmp(argv[1], "uring") ? CHAN_URING : CHAN_CLASSIC;

	if (geteuid() != 0 || access("/dev/fuse", R_OK | W_OK) < 0)
		skip_all("needs root and /dev/fuse");
	if (chan_choose(wish, &transport) < 0)
		skip_all("this kernel does not offer FUSE over io_uring (enable_uring)");
	private_mounts();
	snprintf(base, sizeof(base), "/tmp/weft-fuse.XXXXXX");
	if (!mkdtemp(base))
		bail_out("no temporary folder");
	snprintf(mnt, sizeof(mnt), "%s/m", base);
	(void)mkdir(mnt, 0755);
	test_caller();
	test_working(0);
	test_working(1);
	if (transport == CHAN_URING)
		test_working(MEMFS_BAD_QUEUE);
	test_killed();
	test_aborted(true);
	test_aborted(false);
	test_forced();
	(void)rmdir(mnt);
	(void)rmdir(base);
	return done_testing();
}
