/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Durable files created per second through libweft: create_rate MGMTD_ADDR SECRET_FILE DIR THREADS SECONDS
 *
 * Each thread creates, and closes, files of its own names in DIR, which is made if it is missing. A create is durable when it is answered.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <weft/weft.h>

#define THREADS_MAX 1024

static struct weft *fs;
static struct weft_dir *dir;
static atomic_bool stop;
static atomic_int failed;

struct worker {
	pthread_t thread;
	unsigned id;
	unsigned long done;
	double worst_ms;
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct weft_file *f;
	char name[64];
	double t;
	int err;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		snprintf(name, sizeof(name), "%d.%u.%lu", (int)getpid(), w->id, w->done);
		t = now_ms();
		err = weft_open(fs, dir, name, O_CREAT | O_EXCL | O_WRONLY, 0644, &f);
		t = now_ms() - t;
		if (!err)
			err = weft_close(f);
		if (err) {
			atomic_store(&failed, err);
			break;
		}
		w->done++;
		if (t > w->worst_ms)
			w->worst_ms = t;
	}
	return NULL;
}

static int run(unsigned threads, unsigned seconds)
{
	static struct worker workers[THREADS_MAX];
	unsigned long total = 0;
	double start = now_ms(), worst = 0;
	unsigned i;

	for (i = 0; i < threads; i++) {
		workers[i].id = i;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			return -EAGAIN;
	}
	sleep(seconds);
	atomic_store(&stop, true);
	for (i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		total += workers[i].done;
		if (workers[i].worst_ms > worst)
			worst = workers[i].worst_ms;
	}
	start = (now_ms() - start) / 1e3;
	printf("%lu files in %.2f s by %u threads: %.0f creates/s (each with a close), slowest create %.1f ms\n", total, start, threads,
	       (double)total / start, worst);
	return atomic_load(&failed);
}

int main(int argc, char **argv)
{
	struct weft_options o = WEFT_OPTIONS_INIT;
	unsigned threads, seconds;
	int err;

	if (argc != 6) {
		fprintf(stderr, "usage: create_rate MGMTD_ADDR SECRET_FILE DIR THREADS SECONDS\n");
		return 2;
	}
	threads = (unsigned)strtoul(argv[4], NULL, 10);
	seconds = (unsigned)strtoul(argv[5], NULL, 10);
	if (!threads || threads > THREADS_MAX || !seconds)
		return 2;
	o.mgmtd = argv[1];
	o.secret_file = argv[2];
	err = weft_mount(&o, &fs);
	if (err) {
		fprintf(stderr, "create_rate: mount: %s\n", strerror(-err));
		return 1;
	}
	err = weft_mkdir(fs, NULL, argv[3], 0755);
	if (err == -EEXIST)
		err = 0;
	if (!err)
		err = weft_opendir(fs, NULL, argv[3], &dir);
	if (!err) {
		err = run(threads, seconds);
		weft_closedir(dir);
	}
	weft_umount(fs);
	if (err)
		fprintf(stderr, "create_rate: %s\n", strerror(-err));
	return err ? 1 : 0;
}
