/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "cli/mounts.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

bool mount_is_on(const char *path)
{
	FILE *f = setmntent("/proc/self/mounts", "re");
	struct mntent *m;
	bool found = false;

	if (!f)
		return false;
	while (!found && (m = getmntent(f)))
		found = !strcmp(m->mnt_dir, path) && !strcmp(m->mnt_type, "fuse.weft");
	endmntent(f);
	return found;
}

/* For users who are not root. */
static int run_fusermount(const char *path, bool lazy)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

		if (null_fd >= 0)
			dup2(null_fd, STDERR_FILENO);
		execlp("fusermount3", "fusermount3", "-u", lazy ? "-z" : "-q", path, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

int mount_detach(const char *path, bool force)
{
	if (!mount_is_on(path))
		return 0;
	if (umount2(path, 0) == 0)
		return 0;
	if (errno == EPERM)
		return run_fusermount(path, force);
	if (errno != EBUSY)
		return -errno;
	if (!force)
		return -EBUSY;
	return umount2(path, MNT_FORCE) == 0 || umount2(path, MNT_DETACH) == 0 || errno == EINVAL ? 0 : -errno;
}

void mount_clear_dead(const char *path)
{
	struct stat st;
	bool dead = mount_is_on(path) && stat(path, &st) < 0;

	/* one whose daemon served it through io_uring dies a moment after the daemon: operations of that moment are aborted */
	if (dead && (errno == ENOTCONN || errno == ECONNABORTED || errno == ECANCELED))
		(void)(umount2(path, MNT_DETACH) == 0 || run_fusermount(path, true) == 0);
}

static bool points_into(const char *link, const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlink(link, target, sizeof(target) - 1);
	size_t len = strlen(path);

	if (n <= 0)
		return false;
	target[n] = '\0';
	return !strncmp(target, path, len) && (target[len] == '/' || target[len] == '\0');
}

static bool uses(const char *pid, const char *path)
{
	cleanup_free char *cwd = xasprintf("/proc/%s/cwd", pid);
	cleanup_free char *exe = xasprintf("/proc/%s/exe", pid);
	cleanup_free char *fds = xasprintf("/proc/%s/fd", pid);
	struct dirent *e;
	bool found = points_into(cwd, path) || points_into(exe, path);
	DIR *d = found ? NULL : opendir(fds);

	while (d && !found && (e = readdir(d))) {
		cleanup_free char *link = xasprintf("%s/%s", fds, e->d_name);

		found = points_into(link, path);
	}
	if (d)
		closedir(d);
	return found;
}

void mount_print_users(const char *path)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;

	while (proc && (e = readdir(proc))) {
		char comm[32] = "?";
		cleanup_free char *name = NULL;
		FILE *f;

		if (e->d_name[0] < '1' || e->d_name[0] > '9' || !uses(e->d_name, path))
			continue;
		name = xasprintf("/proc/%s/comm", e->d_name);
		f = fopen(name, "re");
		if (f && fgets(comm, sizeof(comm), f))
			comm[strcspn(comm, "\n")] = '\0';
		if (f)
			fclose(f);
		fprintf(stderr, "  %s (pid %s)\n", comm, e->d_name);
	}
	if (proc)
		closedir(proc);
}
