/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "posix.h"

#include <ftw.h>
#include <grp.h>
#include <sys/wait.h>
#include <time.h>

static char *folder;
static unsigned failed_before, checks, checks_before;

bool px_check(bool passed, const char *file, int line, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return tap_check(passed, file, line, "%s", text);
}

long long px_good(long long value, const char *text, const char *file, int line)
{
	int code = errno;

	checks++;
	if (value == -1)
		tap_check(false, file, line, "%s: %s", text, strerror(code));
	return value;
}

void px_bad(long long value, int code, const char *name, const char *text, const char *file, int line)
{
	int got = errno;

	checks++;
	if (value != -1)
		tap_check(false, file, line, "%s: want %s, it succeeded with %lld", text, name, value);
	else if (got != code)
		tap_check(false, file, line, "%s: want %s, got %s", text, name, strerrorname_np(got));
}

bool px_must(bool cond, const char *text, const char *file, int line)
{
	checks++;
	return cond || tap_check(false, file, line, "%s", text);
}

bool px_same(long long got, long long want, const char *a, const char *b, const char *file, int line)
{
	checks++;
	if (got == want)
		return true;
	return tap_check(false, file, line, "%s is %lld (0%llo), want %s = %lld (0%llo)", a, got, got, b, want, want);
}

void px_start(int argc, char **argv, const char *name)
{
	char path[PATH_MAX];

	if (argc != 2) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		exit(2);
	}
	if (geteuid())
		skip_all("only root can be other users");
	umask(022);
	snprintf(path, sizeof(path), "%s/%s.%d", argv[1], name, (int)getpid());
	px_clear(path);
	if (mkdir(path, 0755) < 0 || chdir(path) < 0)
		bail_out("cannot make the folder to work in");
	folder = strdup(path);
	alarm(120);
}

int px_done(void)
{
	section("the rest");
	printf("# %u checks, %u failed\n", checks, tap_failed);
	return done_testing();
}

int px_end(void)
{
	if (chdir("/") == 0)
		px_clear(folder);
	free(folder);
	return px_done();
}

void section(const char *name)
{
	unsigned n = checks - checks_before;

	if (tap_failed == failed_before && n)
		ok(true, "%s (%u checks)", name, n);
	else if (n)
		printf("# section failed: %s\n", name);
	failed_before = tap_failed;
	checks_before = checks;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

void px_clear(const char *path) { (void)nftw(path, remove_one, 64, FTW_DEPTH | FTW_PHYS); }

void put(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || fchmod(fd, mode) < 0 || (text && write(fd, text, strlen(text)) != (ssize_t)strlen(text)))
		ok(false, "cannot write %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

bool holds(const char *path, const char *text)
{
	size_t len = strlen(text);
	char *buf = malloc(len + 2);
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, len + 1);
	bool is = n == (ssize_t)len && !memcmp(buf, text, len);

	if (fd >= 0)
		close(fd);
	free(buf);
	return is;
}

struct stat st_of(const char *path)
{
	struct stat st = { 0 };

	if (lstat(path, &st) < 0)
		ok(false, "lstat %s: %s", path, strerror(errno));
	return st;
}

mode_t mode_of(const char *path) { return st_of(path).st_mode & 07777; }

void px_user(uid_t uid, gid_t gid, size_t n, const gid_t *groups)
{
	if (setgroups(n, groups) < 0 || setresgid((gid_t)-1, gid, (gid_t)-1) < 0 || setresuid((uid_t)-1, uid, (uid_t)-1) < 0)
		bail_out("cannot become another user");
}

void px_root(void)
{
	if (setresuid((uid_t)-1, 0, (uid_t)-1) < 0 || setresgid((gid_t)-1, 0, (gid_t)-1) < 0 || setgroups(0, NULL) < 0)
		bail_out("cannot become root again");
}

pid_t px_spawn(void (*fn)(void *), void *arg)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		bail_out("cannot fork");
	if (pid == 0) {
		tap_failed = 0;
		alarm(110);
		fn(arg);
		fflush(stdout);
		_exit(tap_failed ? 1 : 0);
	}
	return pid;
}

void px_wait(pid_t pid)
{
	int status;

	checks++;
	if (waitpid(pid, &status, 0) != pid)
		ok(false, "waitpid: %s", strerror(errno));
	else if (WIFSIGNALED(status))
		ok(false, "child killed by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status))
		ok(false, "checks in a child failed");
}

void px_child(void (*fn)(void *), void *arg) { px_wait(px_spawn(fn, arg)); }

void px_sleep_ms(unsigned ms)
{
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

void px_tick(void) { px_sleep_ms(25); }

void px_fill(void *buf, size_t len, unsigned seed)
{
	uint64_t x = seed * 2654435761u + 88172645463325252ull;
	uint8_t *p = buf;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (uint8_t)(x >> 32);
	}
}

bool px_unsupported(void) { return errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL; }
