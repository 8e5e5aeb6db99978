/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* libweft from many threads, over a fake cluster in a thread of its own. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/log.h"
#include "env/env_linux.h"
#include "fake_cluster.h"
#include "proto/fid.h"
#include "tap.h"
#include "weft/weft.h"

#define THREADS 16
#define FILES 60

static struct fc fc;
static struct env *env;
static char addr[128];
static struct weft *fs;
static atomic_uint bad;

static void *server(void *arg)
{
	env_linux_run(env);
	fc_stop(&fc);
	return NULL;
}

static void *worker(void *arg)
{
	unsigned id = (unsigned)(uintptr_t)arg, i;
	char path[64], buf[300], back[300];
	struct weft_file *f;
	struct stat st;

	memset(buf, (int)id + 1, sizeof(buf));
	for (i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "/threads/%u-%u", id, i);
		if (weft_open(fs, NULL, path, O_CREAT | O_EXCL | O_RDWR, 0644, &f)) {
			bad++;
			continue;
		}
		bad += weft_pwrite(f, buf, sizeof(buf), 10) != sizeof(buf);
		bad += weft_pread(f, back, sizeof(back), 10) != sizeof(back) || memcmp(buf, back, sizeof(buf));
		bad += weft_fstat(f, &st) || st.st_size != 310;
		bad += weft_close(f) != 0;
		bad += weft_stat(fs, NULL, path, &st, 0) || st.st_size != 310 || !S_ISREG(st.st_mode);
	}
	return NULL;
}

static void test_threads(void)
{
	pthread_t t[THREADS];
	unsigned i, n = 0;
	struct weft_dirent e;
	struct weft_dir *d;

	ok(!weft_mkdir(fs, NULL, "/threads", 0755), "mkdir");
	for (i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, worker, (void *)(uintptr_t)i);
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	ok(!bad, "%u threads create, write, read, stat: %u failures", THREADS, bad);
	ok(!weft_opendir(fs, NULL, "threads/", &d), "opendir");
	while (weft_readdir(d, &e) == 1)
		n += e.type == DT_REG;
	ok(n == THREADS * FILES, "all are in the directory: %u", n);
	weft_seekdir(d, 0);
	ok(weft_readdir(d, &e) == 1 && !strcmp(e.name, "."), "seekdir");
	ok(!weft_closedir(d), "closedir");
}

static void test_paths(void)
{
	struct weft_file *f;
	struct weft_dir *d;
	struct stat st;
	char buf[64];

	ok(!weft_mkdir(fs, NULL, "a", 0755) && !weft_mkdir(fs, NULL, "a/b/", 0755), "mkdir");
	ok(weft_mkdir(fs, NULL, "/", 0755) == -EEXIST && weft_mkdir(fs, NULL, "", 0755) == -ENOENT, "odd paths");
	ok(!weft_symlink(fs, "b", NULL, "a/l") && !weft_symlink(fs, "/a/l/f", NULL, "abs"), "symlinks");
	ok(!weft_open(fs, NULL, "abs", O_CREAT | O_WRONLY, 0600, &f) && !weft_close(f), "create through links");
	ok(!weft_stat(fs, NULL, "a/b/f", &st, 0) && S_ISREG(st.st_mode) && (st.st_mode & 0777) == 0600, "is where they point");
	ok(!weft_stat(fs, NULL, "abs", &st, AT_SYMLINK_NOFOLLOW) && S_ISLNK(st.st_mode), "lstat");
	ok(weft_readlink(fs, NULL, "a/l", buf, sizeof(buf)) == 1 && buf[0] == 'b', "readlink");
	ok(!weft_opendir(fs, NULL, "a/l/", &d) && !weft_stat(fs, d, "f", &st, 0) && !weft_stat(fs, d, "../b/./f", &st, 0),
	   "from a directory, with ..");
	ok(!weft_stat(fs, d, "/../..", &st, 0) && st.st_ino == wp_fid_to_ino(&WP_FID_ROOT), "above the root is the root");
	ok(weft_stat(fs, d, "f/", &st, 0) == -ENOTDIR && weft_stat(fs, d, "f/x", &st, 0) == -ENOTDIR, "a file is no directory");
	ok(weft_open(fs, d, "f", O_CREAT | O_EXCL | O_RDWR, 0600, &f) == -EEXIST, "exclusive creation");
	ok(weft_open(fs, NULL, "abs", O_RDONLY | O_NOFOLLOW, 0, &f) == -ELOOP, "O_NOFOLLOW");
	ok(weft_open(fs, NULL, "a", O_RDONLY, 0, &f) == -EISDIR, "directories are opened with opendir");
	weft_closedir(d);
	ok(!weft_symlink(fs, "loop", NULL, "loop") && weft_stat(fs, NULL, "loop", &st, 0) == -ELOOP, "loops end");
	ok(!weft_rename(fs, NULL, "a/b/f", NULL, "a/g", 0) && !weft_stat(fs, NULL, "a/g", &st, 0), "rename");
	ok(!weft_unlink(fs, NULL, "a/g") && weft_stat(fs, NULL, "a/g", &st, 0) == -ENOENT, "unlink");
}

static void on_done(void *arg, ssize_t result)
{
	atomic_store((atomic_int *)arg, (int)result + 1);
}

static void test_async(void)
{
	struct weft_file *f[32];
	struct weft_event ev[32];
	struct weft_async a = { 0 }, cb = { .fn = on_done };
	struct iovec iov = { (void *)(uintptr_t)"async", 5 };
	atomic_int got = 0;
	struct weft_cq *cq;
	struct statvfs sv;
	char path[32];
	int i, n, sum = 0;

	ok(!weft_cq_new(fs, &cq), "queue");
	a.cq = cq;
	for (i = 0; i < 32; i++) {
		snprintf(path, sizeof(path), "async%d", i);
		a.arg = &f[i];
		bad += weft_open_async(fs, NULL, path, O_CREAT | O_EXCL | O_RDWR, 0644, &f[i], &a) != 0;
	}
	for (n = 0; n < 32; n += i) {
		i = weft_cq_wait(cq, ev, 32, 5000);
		if (i <= 0)
			break;
		for (int k = 0; k < i; k++)
			sum += ev[k].result == 0;
	}
	ok(sum == 32 && !bad, "32 files are opened asynchronously: %d", sum);
	cb.arg = &got;
	ok(!weft_pwritev_async(f[0], &iov, 1, 0, &cb), "write with a callback");
	while (!atomic_load(&got))
		usleep(1000);
	ok(got == 6, "five bytes");
	ok(weft_cq_wait(cq, ev, 32, 0) == 0, "nothing else happened");
	for (i = 0; i < 32; i++)
		bad += weft_close(f[i]) != 0;
	ok(!bad, "closed");
	weft_cq_free(cq);
	ok(!weft_statfs(fs, &sv) && sv.f_blocks && !weft_sync(fs), "statfs, sync");
}

int main(void)
{
	struct weft_options o = WEFT_OPTIONS_INIT;
	pthread_t t;
	int err;

	log_setup("test", LOG_ERR);
	err = env_linux_new(NULL, &env);
	if (err) {
		printf("1..0 # SKIP no io_uring: %s\n", env_linux_strerror(err));
		return 77;
	}
	snprintf(addr, sizeof(addr), "unix:/tmp/weft-test-lib-%d.sock", (int)getpid());
	fc_start(&fc, env, addr);
	pthread_create(&t, NULL, server, NULL);
	o.mgmtd = addr;
	o.secret = "wrong";
	o.secret_len = 5;
	ok(weft_mount(&o, &fs) == -EACCES, "a wrong secret");
	o.secret = "client secret";
	o.secret_len = 13;
	o.reactors = 2;
	ok(!weft_mount(&o, &fs), "mounted");
	test_threads();
	test_paths();
	test_async();
	ok(!weft_umount(fs), "unmounted");
	env_linux_stop(env);
	pthread_join(t, NULL);
	env_linux_free(env);
	return done_testing();
}
