/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* weft up, down, destroy: a whole cluster in one folder of this machine. */
#include "cli/cli.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cli/mounts.h"
#include "conf/secret.h"

#define DEFAULT_DIR "./var"
#define UNIX_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)
#define SPACE_MIN MIB(64) /* below this a new cluster could not even write its journals */
#define STOP_TIMEOUT_MS 30000
#define DETACHED_TIMEOUT_MS 3000

static unsigned opt_meta = 2, opt_storage = 4;
static const char *opt_backend = "disk", *opt_mount, *opt_host = "127.0.0.1";
static bool opt_force, opt_yes, opt_no_mount;

const struct cli_option up_options[] = {
	{ 'm', "mount", OPT_TEXT, &opt_mount, "PATH", "where to mount (default: DIR/../mnt; remembered)" },
	{ 0, "no-mount", OPT_FLAG, &opt_no_mount, NULL, "start the daemons only" },
	{ 0, "meta", OPT_NUMBER, &opt_meta, "N", "metadata targets of a new cluster (default: 2)" },
	{ 0, "storage", OPT_NUMBER, &opt_storage, "N", "storage targets of a new cluster (default: 4)" },
	{ 0, "backend", OPT_TEXT, &opt_backend, "disk|mem",
	  "where a new cluster keeps its data (default: disk; mem is gone after down)" },
	{ 0, "host", OPT_TEXT, &opt_host, "ADDRESS", "address to listen on (default: 127.0.0.1)" },
	{ 0 },
};

const struct cli_option down_options[] = {
	{ 'f', "force", OPT_FLAG, &opt_force, NULL, "also with files open; kill what does not stop" },
	{ 0 },
};

const struct cli_option destroy_options[] = {
	{ 0, "yes", OPT_FLAG, &opt_yes, NULL, "really delete everything" },
	{ 0 },
};

static const char *cluster_dir(void) { return cli.dir ? cli.dir : DEFAULT_DIR; }

/* ---- making a new cluster ------------------------------------------------------------------------------ */

/* A port that is free now; remembered, so that clients elsewhere find the daemon again. */
static int free_port(const char *host, unsigned *ret)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int fd, r = 0;

	if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
		return -EINVAL;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		r = -errno;
	close(fd);
	*ret = ntohs(a.sin_port);
	return r;
}

static int add_server(struct cluster *c, const char *role, const char *name)
{
	cleanup_free char *dir = cluster_path(c, "%s", name);
	cleanup_free char *sock = cluster_path(c, "run/%s.sock", name);
	struct daemon *d = cluster_add(c, role, name, dir);
	unsigned port = 0;
	int r = free_port(opt_host, &port);

	if (r < 0)
		return cli_fail("cannot listen on %s: %s. Choose an IPv4 address of this machine with --host", opt_host,
				strerror(-r)),
		       r;
	if (!d)
		return cli_fail("at most %d daemons", CLUSTER_DAEMONS_MAX), -E2BIG;
	d->listen_tcp = xasprintf("tcp:%s:%u", opt_host, port);
	if (strlen(sock) < UNIX_PATH_MAX)
		d->listen_unix = xasprintf("unix:%s", sock);
	return 0;
}

static int make_folder(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0 || (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode)))
		return 0;
	return cli_fail("cannot make the folder %s: %s", path, strerror(errno)), -errno;
}

/* With those above it. */
static int make_path(const char *path)
{
	cleanup_free char *part = xstrdup(path);

	for (char *p = strchr(part + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return cli_fail("cannot make the folder %s: %s", part, strerror(errno)), -errno;
		*p = '/';
	}
	return make_folder(path, 0755);
}

static int write_config(const struct cluster *c)
{
	cleanup_free char *path = cluster_path(c, "weft.conf");
	const struct daemon *m = &c->daemons[0];
	FILE *f = fopen(path, "we");

	if (!f)
		return cli_fail("cannot write %s: %s", path, strerror(errno)), -errno;
	fprintf(f,
		"# Configuration of the local cluster in this folder; `weft config` shows every setting.\n[common]\n"
		"mgmtd = %s%s%s\nauth = hmac\nsecret-file = %s/secret\nserver-secret-file = %s/server-secret\nlog-level = "
		"info\n",
		m->listen_unix ? m->listen_unix : "", m->listen_unix ? ", " : "", m->listen_tcp, c->dir, c->dir);
	if (fclose(f) != 0)
		return cli_fail("cannot write %s: %s", path, strerror(errno)), -errno;
	return 0;
}

static int make_secret(const struct cluster *c, const char *name)
{
	cleanup_free char *path = cluster_path(c, "%s", name);
	int r = conf_secret_create(path);

	if (r < 0 && r != -EEXIST)
		return cli_fail("cannot write %s: %s", path, strerror(-r)), r;
	return 0;
}

static int check_new(const char *dir)
{
	struct statvfs fs;

	if (strcmp(opt_backend, "disk") && strcmp(opt_backend, "mem"))
		return cli_fail("--backend is disk or mem, not '%s'", opt_backend), -EINVAL;
	if (opt_meta < 1 || opt_meta > 64 || opt_storage < 1 || opt_storage > 256)
		return cli_fail("a local cluster has 1 to 64 metadata targets and 1 to 256 storage targets"), -EINVAL;
	if (statvfs(dir, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < SPACE_MIN)
		return cli_fail("the disk of %s is full (%llu MiB free): free some space or choose another folder with --dir",
				dir, (unsigned long long)(fs.f_bavail * fs.f_frsize >> 20)),
		       -ENOSPC;
	return 0;
}

static int create_cluster(const char *dir, struct cluster *c)
{
	static const char *const folders[] = { "run", "log" };
	char name[32];
	int r = make_path(dir);

	if (!r)
		r = check_new(dir);
	if (r < 0)
		return r;
	memset(c, 0, sizeof(*c));
	c->dir = realpath(dir, NULL);
	(void)str_copy(c->backend, sizeof(c->backend), opt_backend);
	for (size_t i = 0; i < ARRAY_SIZE(folders) && !r; i++) {
		cleanup_free char *path = cluster_path(c, "%s", folders[i]);

		r = make_folder(path, 0755);
	}
	if (!r)
		r = add_server(c, "mgmtd", "mgmtd");
	for (unsigned i = 0; i < opt_meta && !r; i++) {
		snprintf(name, sizeof(name), "meta%u", i);
		r = add_server(c, "meta", name);
	}
	for (unsigned i = 1; i <= opt_storage && !r; i++) {
		snprintf(name, sizeof(name), "storage%u", i);
		r = add_server(c, "storage", name);
	}
	for (unsigned i = 0; i < c->daemons_n && !r; i++)
		r = make_folder(c->daemons[i].dir, 0700);
	if (!r)
		r = make_secret(c, "secret");
	if (!r)
		r = make_secret(c, "server-secret");
	if (!r)
		r = write_config(c);
	return r ? r : cluster_save(c);
}

/* ---- up ------------------------------------------------------------------------------------------------ */

/* One `weft up` or `down` at a time in a folder. */
static int lock_cluster(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
		fprintf(stderr, "weft: another weft command works on %s; waiting\n", dir);
		flock(fd, LOCK_EX);
	}
	return fd;
}

static int set_mount(struct cluster *c)
{
	struct daemon *d = cluster_find(c, "mount");
	cleanup_free char *fallback = xasprintf("%s/../mnt", c->dir);
	const char *path = opt_mount ? opt_mount : fallback;
	char *real;

	if (d && !opt_mount)
		return 0;
	if (make_path(path) < 0)
		return -1;
	real = realpath(path, NULL);
	if (!real) /* a dead mount: its own path cannot be resolved, the parent's can */
		real = xstrdup(path);
	if (d && strcmp(d->dir, real) && daemon_pid(c, d)) {
		cli_fail("already mounted on %s: run 'weft umount %s' first", d->dir, d->dir);
		free(real);
		return -1;
	}
	if (!d)
		d = cluster_add(c, "mount", "mount", real);
	if (!d) {
		free(real);
		return -1;
	}
	free(d->dir);
	d->dir = real;
	return cluster_save(c);
}

static int start_all(struct cluster *c, unsigned *started)
{
	for (unsigned i = 0; i < c->daemons_n; i++) {
		struct daemon *d = &c->daemons[i];
		bool is_mount = !strcmp(d->role, "mount");

		if (is_mount && opt_no_mount)
			continue;
		/* Detached (umount -l) while in use: the daemon lives until its last user goes, but there is no mount any more. */
		if (is_mount && daemon_pid(c, d) && !mount_is_on(d->dir))
			(void)!daemon_stop(c, d, DETACHED_TIMEOUT_MS, true);
		if (daemon_pid(c, d))
			continue;
		if (is_mount)
			mount_clear_dead(d->dir);
		if (daemon_start(c, d) < 0)
			return -1;
		++*started;
	}
	return 0;
}

/* For a shell: as it is, or in single quotes. */
static char *quoted(const char *s)
{
	char *out, *p;

	if (!s[strcspn(s, " \t\n'\"\\$&|;<>()*?[]#~`!{}")])
		return xstrdup(s);
	out = p = xmalloc(4 * strlen(s) + 3);
	*p++ = '\'';
	for (; *s; s++) {
		if (*s == '\'')
			p = stpcpy(p, "'\\''");
		else
			*p++ = *s;
	}
	strcpy(p, "'");
	return out;
}

static void say_try(const char *cluster, const char *mount)
{
	cleanup_free char *dir = quoted(cluster), *path = quoted(mount), *program = program_path("weft");
	const char *dirs = getenv("PATH");
	size_t len = strlen(program) - strlen("/weft");

	printf("Mounted on %s.\n\nTry next:\n", mount);
	program[len] = '\0';
	if (*program == '/' && (!dirs || !strstr(dirs, program)))
		printf("  export PATH=\"%s:$PATH\"\n", program);
	printf("  cp -r /usr/include %s/ && ls %s/include\n  weft status --dir %s\n  weft stat --dir %s %s/include\n  weft down --dir "
	       "%s\n", path, path, dir, dir, path, dir);
}

static void say_what_next(const struct cluster *c, const struct cluster *fresh, unsigned started, double seconds)
{
	struct daemon *m = cluster_find((struct cluster *)c, "mount");

	if (!started)
		printf("The cluster in %s is up already.\n", c->dir);
	else
		printf("%s the cluster in %s: %u daemons in %.1f s.\n", fresh ? "Made and started" : "Started", c->dir, started,
		       seconds);
	if (m && !opt_no_mount)
		say_try(c->dir, m->dir);
}

int verb_up(int argc, char **argv)
{
	const char *dir = cluster_dir();
	struct timespec t0, t1;
	unsigned started = 0;
	struct cluster c;
	bool fresh = false;
	int r, lock;

	clock_gettime(CLOCK_MONOTONIC, &t0);
	if (!opt_no_mount && access("/dev/fuse", F_OK) < 0)
		return cli_fail("there is no /dev/fuse, so nothing can be mounted: load the kernel's module (modprobe fuse, as root), start "
				"a container with --device /dev/fuse --cap-add SYS_ADMIN, or start without mounting: --no-mount");
	if (!opt_no_mount && access("/dev/fuse", R_OK | W_OK) < 0)
		return cli_fail("you may not use /dev/fuse (%s), so nothing can be mounted: run as root, let everyone use it (chmod 666 "
				"/dev/fuse, as root), or start without mounting: --no-mount", strerror(errno));
	r = cluster_load(dir, &c);
	if (r == -ENOENT) {
		fresh = true;
		r = create_cluster(dir, &c);
	}
	if (r < 0)
		return 1;
	lock = lock_cluster(c.dir);
	if (!opt_no_mount)
		r = set_mount(&c);
	if (!r)
		r = start_all(&c, &started);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	if (!r)
		say_what_next(&c, fresh ? &c : NULL, started,
			      (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9);
	close(lock);
	cluster_done(&c);
	return r ? 1 : 0;
}

/* ---- down, destroy ------------------------------------------------------------------------------------- */

static int stop_mount(const struct cluster *c, const struct daemon *d)
{
	int r;

	if (!mount_is_on(d->dir) && !daemon_pid(c, d))
		return 0;
	r = mount_detach(d->dir, opt_force);
	if (r == -EBUSY) {
		cli_fail("%s is in use by:", d->dir);
		mount_print_users(d->dir);
		cli_fail("close these, or use --force");
		return r;
	}
	if (r < 0)
		return cli_fail("cannot unmount %s: %s", d->dir, strerror(-r)), r;
	r = daemon_stop(c, d, STOP_TIMEOUT_MS, true);
	return r;
}

static int stop_all(struct cluster *c)
{
	int r = 0;

	for (unsigned i = c->daemons_n; i-- > 0 && !r;) {
		struct daemon *d = &c->daemons[i];

		if (!strcmp(d->role, "mount"))
			r = stop_mount(c, d);
	}
	for (unsigned i = c->daemons_n; i-- > 0 && !r;) {
		struct daemon *d = &c->daemons[i];

		if (!strcmp(d->role, "mount"))
			continue;
		r = daemon_stop(c, d, STOP_TIMEOUT_MS, opt_force);
		if (r < 0)
			cli_fail("%s (pid %d) does not stop: see log/%s.log, or use --force", d->name, (int)daemon_pid(c, d),
				 d->name);
	}
	return r;
}

static int load_existing(struct cluster *c)
{
	int r = cluster_load(cluster_dir(), c);

	if (r == -ENOENT)
		cli_fail("there is no cluster in %s: name its folder with --dir", cluster_dir());
	return r;
}

int verb_down(int argc, char **argv)
{
	struct cluster c;
	int r, lock;

	if (load_existing(&c) < 0)
		return 1;
	lock = lock_cluster(c.dir);
	r = stop_all(&c);
	if (!r)
		printf("The cluster in %s is down; %s. `weft up --dir %s` starts it again.\n", c.dir,
		       strcmp(c.backend, "mem") ? "its data stay" : "it was in memory, its data are gone", c.dir);
	close(lock);
	cluster_done(&c);
	return r ? 1 : 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

int verb_destroy(int argc, char **argv)
{
	static const char *const files[] = { "run", "log", "secret", "server-secret", "weft.conf", "cluster.json" };
	struct cluster c;
	int r, lock;

	if (load_existing(&c) < 0)
		return 1;
	if (!opt_yes)
		return cli_fail("this deletes the cluster in %s with all its data; say --yes if you mean it", c.dir);
	opt_force = true;
	lock = lock_cluster(c.dir);
	r = stop_all(&c);
	for (unsigned i = 0; i < c.daemons_n && !r; i++)
		if (strcmp(c.daemons[i].role, "mount") && nftw(c.daemons[i].dir, remove_entry, 32, FTW_DEPTH | FTW_PHYS) < 0 &&
		    errno != ENOENT)
			r = cli_fail("cannot delete %s: %s", c.daemons[i].dir, strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(files) && !r; i++) {
		cleanup_free char *path = cluster_path(&c, "%s", files[i]);

		if (nftw(path, remove_entry, 32, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT)
			r = cli_fail("cannot delete %s: %s", path, strerror(errno));
	}
	if (!r) {
		(void)rmdir(c.dir); /* other files in it stay */
		printf("Destroyed the cluster in %s.\n", c.dir);
	}
	close(lock);
	cluster_done(&c);
	return r ? 1 : 0;
}
