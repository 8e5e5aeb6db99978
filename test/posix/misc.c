/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* statx, O_NOATIME, running programs, working directories, file handles, inotify, leases of names. */
#include "posix.h"

#include <signal.h>
#include <sys/inotify.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

static void extended_stat(void)
{
	struct statx x;
	struct stat st;
	int fd;

	put("f", "12345", 0640);
	good(statx(AT_FDCWD, "f", 0, STATX_ALL, &x));
	st = st_of("f");
	must((x.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
	same(x.stx_size, 5);
	same(x.stx_mode, S_IFREG | 0640);
	same(x.stx_ino, st.st_ino);
	same(x.stx_nlink, 1);
	same(x.stx_mtime.tv_nsec, st.st_mtim.tv_nsec);
	same(makedev(x.stx_dev_major, x.stx_dev_minor), st.st_dev);
	good(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC, STATX_SIZE, &x));
	same(x.stx_size, 5);
	good(statx(AT_FDCWD, "f", AT_STATX_DONT_SYNC, STATX_SIZE, &x));
	same(x.stx_size, 5);
	bad(EINVAL, statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_SIZE, &x));
	fd = (int)good(open("f", O_PATH));
	good(statx(fd, "", AT_EMPTY_PATH, STATX_ALL, &x));
	same(x.stx_size, 5);
	good(fstatat(fd, "", &st, AT_EMPTY_PATH));
	same(st.st_size, 5);
	good(close(fd));
	good(unlink("f"));
	section("statx");
}

static void no_atime(void)
{
	int fd;

	put("f", "x", 0666);
	good(chown("f", ALICE, ALICE));
	AS (BOB, BOB)
		bad(EPERM, open("f", O_RDONLY | O_NOATIME));
	AS (ALICE, ALICE) {
		fd = (int)good(open("f", O_RDONLY | O_NOATIME));
		good(close(fd));
	}
	good(unlink("f"));
	section("O_NOATIME");
}

static void running_program(void)
{
	int status, fd;
	pid_t pid;

	if (system("cp /bin/sleep prog 2>/dev/null")) {
		section("no program to copy");
		return;
	}
	pid = fork();
	if (!pid) {
		execl("./prog", "prog", "60", (char *)NULL);
		_exit(127);
	}
	px_sleep_ms(100);
	bad(ETXTBSY, open("prog", O_WRONLY));
	bad(ETXTBSY, open("prog", O_RDWR | O_TRUNC));
	good(rename("prog", "prog2"));
	good(unlink("prog2")); /* goes on without a name */
	good(kill(pid, 0));
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	must(WIFSIGNALED(status));
	/* Open for writing: cannot be executed. */
	if (!system("cp /bin/true prog 2>/dev/null")) {
		fd = (int)good(open("prog", O_RDWR));
		pid = fork();
		if (!pid) {
			execl("./prog", "prog", (char *)NULL);
			_exit(errno == ETXTBSY ? 42 : 43);
		}
		waitpid(pid, &status, 0);
		same(WEXITSTATUS(status), 42);
		good(close(fd));
		good(unlink("prog"));
	}
	put("script", "#!/bin/sh\nexit 7\n", 0755);
	same(WEXITSTATUS(system("./script")), 7);
	good(unlink("script"));
	section("running programs");
}

static void working_directory(void *arg)
{
	char a[PATH_MAX], b[PATH_MAX];

	good(mkdir("w", 0755));
	good(mkdir("w/x", 0755));
	put("file", "x", 0644);
	bad(ENOTDIR, chdir("file"));
	bad(ENOENT, chdir("none"));
	must(getcwd(a, sizeof(a)) != NULL);
	good(chdir("w/x"));
	must(getcwd(b, sizeof(b)) != NULL);
	must(!strncmp(a, b, strlen(a)) && !strcmp(b + strlen(a), "/w/x"));
	good(rename("../../w", "../../moved"));
	must(getcwd(b, sizeof(b)) != NULL && !strcmp(b + strlen(a), "/moved/x"));
	good(chdir("../.."));
	must(getcwd(b, sizeof(b)) != NULL && !strcmp(a, b));
	good(rmdir("moved/x"));
	good(rmdir("moved"));
	good(unlink("file"));
}

static void handles(void)
{
	struct {
		struct file_handle h;
		char room[MAX_HANDLE_SZ];
	} u = { .h.handle_bytes = MAX_HANDLE_SZ };
	int mount_id, fd, dir = (int)good(open(".", O_RDONLY | O_DIRECTORY));
	char text[8] = "";

	put("f", "handle", 0644);
	if (name_to_handle_at(AT_FDCWD, "f", &u.h, &mount_id, 0) < 0) {
		must(errno == EOPNOTSUPP);
		printf("# no file handles\n");
	} else {
		fd = (int)good(open_by_handle_at(dir, &u.h, O_RDONLY));
		same(read(fd, text, sizeof(text)), 6);
		good(close(fd));
		good(rename("f", "g"));
		fd = (int)good(open_by_handle_at(dir, &u.h, O_RDONLY));
		good(close(fd));
		good(unlink("g"));
		bad(ESTALE, open_by_handle_at(dir, &u.h, O_RDONLY));
		put("f", NULL, 0644);
	}
	good(close(dir));
	good(unlink("f"));
	section("file handles");
}

/* What happens through this mount is told to watchers on it. */
static void watching(void)
{
	char events[4096] __attribute__((aligned(8)));
	uint32_t seen = 0;
	int fd = inotify_init1(IN_NONBLOCK);
	ssize_t n;

	good(inotify_add_watch(fd, ".", IN_ALL_EVENTS));
	put("f", "x", 0644);
	good(rename("f", "g"));
	good(unlink("g"));
	while ((n = read(fd, events, sizeof(events))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (const void *)(events + at);

			seen |= e->mask;
			at += (ssize_t)(sizeof(*e) + e->len);
		}
	}
	must(seen & IN_CREATE);
	must(seen & IN_MODIFY);
	must(seen & IN_CLOSE_WRITE);
	must(seen & IN_MOVED_FROM);
	must(seen & IN_MOVED_TO);
	must(seen & IN_DELETE);
	close(fd);
	section("inotify");
}

/* Many descriptors at once. */
static void many_open(void)
{
	static int fds[800];
	char name[16];

	for (int i = 0; i < 800; i++) {
		snprintf(name, sizeof(name), "o%d", i);
		fds[i] = (int)good(open(name, O_RDWR | O_CREAT, 0644));
		same(write(fds[i], name, 4), 4);
	}
	for (int i = 799; i >= 0; i--) {
		char got[4];

		snprintf(name, sizeof(name), "o%d", i);
		same(pread(fds[i], got, 4, 0), 4);
		must(!memcmp(got, name, 4));
		good(close(fds[i]));
		good(unlink(name));
	}
	section("many open files");
}

static void inode_numbers(void)
{
	static ino_t seen[500];
	char name[16];

	for (int i = 0; i < 500; i++) {
		struct stat st;

		snprintf(name, sizeof(name), "i%d", i);
		put(name, NULL, 0644);
		st = st_of(name);
		seen[i] = st.st_ino;
		must(st.st_ino != 0);
		for (int k = 0; k < i; k++)
			if (seen[k] == st.st_ino)
				ok(false, "%s has the inode number of i%d", name, k);
	}
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "i%d", i);
		same(st_of(name).st_ino, seen[i]);
		good(unlink(name));
	}
	section("inode numbers");
}

int main(int argc, char **argv)
{
	px_start(argc, argv, "misc");
	extended_stat();
	no_atime();
	running_program();
	px_child(working_directory, NULL);
	section("working directory");
	handles();
	watching();
	many_open();
	inode_numbers();
	return px_end();
}
