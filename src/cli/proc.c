/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The local cluster's daemons as processes: started with a pipe on which they say "ready", found again by their pid files. */
#include "cli/cli.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define START_TIMEOUT_MS 120000 /* a target that recovers after a crash may take its time */
#define READY_FD 3
#define ARGS_MAX 24

char *program_path(const char *name)
{
	char self[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	static const char *const folders[] = { "", "../mgmtd/", "../meta/", "../storage/", "../fuse/", "../sbin/" };

	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		slash[1] = '\0';
		for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
			char *path = xasprintf("%s%s%s", self, folders[i], name);

			if (!access(path, X_OK))
				return path;
			free(path);
		}
	}
	return xstrdup(name); /* $PATH */
}

static const char *program_of(const struct daemon *d)
{
	if (!strcmp(d->role, "mgmtd"))
		return "weft-mgmtd";
	if (!strcmp(d->role, "meta"))
		return "weft-meta";
	if (!strcmp(d->role, "storage"))
		return "weft-storage";
	return "weft-mount";
}

/* A pid may have been given to another process since: the program's name must fit. A zombie that nobody collects is not running. */
static bool is_program(pid_t pid, const char *program)
{
	cleanup_free char *path = xasprintf("/proc/%d/stat", (int)pid);
	char comm[16] = "", state = 'X';
	FILE *f = fopen(path, "re");
	int n;

	if (!f)
		return false;
	n = fscanf(f, "%*d (%15[^)]) %c", comm, &state);
	fclose(f);
	return n == 2 && state != 'Z' && state != 'X' && !strncmp(comm, program, 15);
}

pid_t daemon_pid(const struct cluster *c, const struct daemon *d)
{
	cleanup_free char *path = cluster_path(c, "run/%s.pid", d->name);
	FILE *f = fopen(path, "re");
	int pid = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%d", &pid) != 1)
		pid = 0;
	fclose(f);
	return pid > 0 && !kill(pid, 0) && is_program(pid, program_of(d)) ? pid : 0;
}

static unsigned daemon_args(const struct cluster *c, const struct daemon *d, char **args)
{
	unsigned n = 0;

	args[n++] = program_path(program_of(d));
	args[n++] = xstrdup("--config");
	args[n++] = cluster_path(c, "weft.conf");
	args[n++] = xstrdup("--pid-file");
	args[n++] = cluster_path(c, "run/%s.pid", d->name);
	args[n++] = xstrdup("--ready-fd");
	args[n++] = xasprintf("%d", READY_FD);
	if (!strcmp(d->role, "mount")) {
		args[n++] = xstrdup("--foreground");
		args[n++] = xstrdup(d->dir);
	} else {
		args[n++] = xstrdup(!strcmp(d->role, "mgmtd") ? "--dir" : "--target");
		args[n++] = xstrdup(d->dir);
		args[n++] = xstrdup("--backend");
		args[n++] = xstrdup(c->backend);
		args[n++] = xstrdup("--name");
		args[n++] = xstrdup(d->name);
	}
	if (d->listen_unix) {
		args[n++] = xstrdup("--listen");
		args[n++] = xstrdup(d->listen_unix);
	}
	if (d->listen_tcp) {
		args[n++] = xstrdup("--listen");
		args[n++] = xstrdup(d->listen_tcp);
	}
	args[n] = NULL;
	weft_assert(n < ARGS_MAX);
	return n;
}

static noreturn_fn void exec_daemon(char **args, int log_fd, int ready_fd)
{
	int null_fd = open("/dev/null", O_RDONLY);

	setsid();
	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(log_fd, STDOUT_FILENO) < 0 ||
	    dup2(log_fd, STDERR_FILENO) < 0)
		_exit(126);
	if (ready_fd == READY_FD)
		fcntl(ready_fd, F_SETFD, 0);
	else if (dup2(ready_fd, READY_FD) < 0)
		_exit(126);
	for (int fd = READY_FD + 1; fd < 256; fd++)
		close(fd);
	execvp(args[0], args);
	dprintf(STDERR_FILENO, "cannot run %s: %s\n", args[0], strerror(errno));
	_exit(127);
}

/* Prints what the daemon logged last, so that the reason is on the screen. */
static void print_log_tail(const char *path, off_t from)
{
	FILE *f = fopen(path, "re");
	char line[1024];

	if (!f)
		return;
	if (fseeko(f, from, SEEK_SET) == 0)
		while (fgets(line, sizeof(line), f))
			fprintf(stderr, "  %s", line);
	fclose(f);
}

static int wait_ready(int fd, const struct daemon *d)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char word[16] = "";
	ssize_t n;
	int r = poll(&p, 1, START_TIMEOUT_MS);

	if (r == 0) {
		cli_fail("%s did not become ready within %d s", d->name, START_TIMEOUT_MS / 1000);
		return -ETIMEDOUT;
	}
	n = read(fd, word, sizeof(word) - 1);
	return n >= 5 && !strncmp(word, "ready", 5) ? 0 : -ECHILD;
}

int daemon_start(const struct cluster *c, const struct daemon *d)
{
	cleanup_free char *log_path = cluster_path(c, "log/%s.log", d->name);
	char *args[ARGS_MAX];
	int log_fd, pipe_fd[2], r;
	unsigned n;
	off_t log_end;
	pid_t pid;

	log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (log_fd < 0 || pipe2(pipe_fd, O_CLOEXEC) < 0) {
		r = -errno;
		cli_fail("cannot write %s: %s", log_path, strerror(-r));
		if (log_fd >= 0)
			close(log_fd);
		return r;
	}
	log_end = lseek(log_fd, 0, SEEK_END);
	n = daemon_args(c, d, args);
	pid = fork();
	if (pid == 0)
		exec_daemon(args, log_fd, pipe_fd[1]);
	close(pipe_fd[1]);
	close(log_fd);
	r = pid < 0 ? -errno : wait_ready(pipe_fd[0], d);
	close(pipe_fd[0]);
	for (unsigned i = 0; i < n; i++)
		free(args[i]);
	if (r < 0) {
		cli_fail("%s did not start; its log %s says:", d->name, log_path);
		print_log_tail(log_path, log_end);
		if (pid > 0)
			kill(pid, SIGTERM);
	}
	return r;
}

static bool wait_gone(const struct cluster *c, const struct daemon *d, unsigned timeout_ms)
{
	struct timespec pause = { .tv_nsec = 10 * 1000000 };

	for (unsigned ms = 0; ms < timeout_ms; ms += 10) {
		if (!daemon_pid(c, d))
			return true;
		nanosleep(&pause, NULL);
	}
	return !daemon_pid(c, d);
}

int daemon_stop(const struct cluster *c, const struct daemon *d, unsigned timeout_ms, bool force)
{
	pid_t pid = daemon_pid(c, d);

	if (!pid)
		return 0;
	if (kill(pid, SIGTERM) < 0 && errno != ESRCH)
		return -errno;
	if (wait_gone(c, d, timeout_ms))
		return 0;
	if (!force)
		return -ETIMEDOUT;
	kill(pid, SIGKILL);
	return wait_gone(c, d, 5000) ? 0 : -ETIMEDOUT;
}
