/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Metadata rates of any directory: mdbench DIR PROCESSES FILES BYTES own|shared
 *
 * Each process makes FILES files of BYTES bytes in a folder of its own or in one for all, then looks at (and reads) those of its
 * neighbour, then removes its own. All begin a phase together. Prints "phase<tab>operations per second"; fails at the first wrong answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CREATE, STAT, READ, UNLINK, PHASES };
static const char *const phase_names[PHASES] = { "create", "stat", "read", "unlink" };
#define PROCESSES_MAX 256

struct shared {
	pthread_barrier_t barrier;
	double begin[PROCESSES_MAX][PHASES], end[PROCESSES_MAX][PHASES];
};

static struct {
	const char *dir;
	unsigned processes, files;
	size_t bytes;
	bool own;
	char *buf;
	struct shared *shared;
} b;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void folder_of(unsigned process, char *path)
{
	if (b.own)
		snprintf(path, PATH_MAX, "%s/p%u", b.dir, process);
	else
		snprintf(path, PATH_MAX, "%s", b.dir);
}

static void name_of(unsigned process, unsigned file, char *path)
{
	size_t len;

	folder_of(process, path);
	len = strlen(path);
	snprintf(path + len, PATH_MAX - len, "/f%u.%u", process, file);
}

static void die(const char *what, const char *path)
{
	fprintf(stderr, "mdbench: %s %s: %s\n", what, path, strerror(errno));
	_exit(1);
}

static void create_one(const char *path)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);

	if (fd < 0)
		die("create", path);
	if (b.bytes && write(fd, b.buf, b.bytes) != (ssize_t)b.bytes)
		die("write", path);
	if (close(fd) < 0)
		die("close", path);
}

static void read_one(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		die("open", path);
	if (read(fd, b.buf, b.bytes + 1) != (ssize_t)b.bytes)
		die("read", path);
	close(fd);
}

static void do_one(int phase, const char *path)
{
	struct stat st;

	switch (phase) {
	case CREATE:
		create_one(path);
		break;
	case STAT:
		errno = 0;
		if (stat(path, &st) < 0 || st.st_size != (off_t)b.bytes)
			die("stat", path);
		break;
	case READ:
		read_one(path);
		break;
	case UNLINK:
		if (unlink(path) < 0)
			die("unlink", path);
	}
}

static void work(unsigned process)
{
	char path[PATH_MAX];

	for (int phase = 0; phase < PHASES; phase++) {
		unsigned whose = phase == STAT || phase == READ ? (process + 1) % b.processes : process;

		if (phase == READ && !b.bytes)
			continue;
		pthread_barrier_wait(&b.shared->barrier);
		b.shared->begin[process][phase] = now();
		for (unsigned i = 0; i < b.files; i++) {
			name_of(whose, i, path);
			do_one(phase, path);
		}
		b.shared->end[process][phase] = now();
	}
}

static void report(void)
{
	for (int phase = 0; phase < PHASES; phase++) {
		double begin = b.shared->begin[0][phase], end = b.shared->end[0][phase];

		if (phase == READ && !b.bytes)
			continue;
		for (unsigned p = 1; p < b.processes; p++) {
			begin = b.shared->begin[p][phase] < begin ? b.shared->begin[p][phase] : begin;
			end = b.shared->end[p][phase] > end ? b.shared->end[p][phase] : end;
		}
		printf("%s\t%.0f\n", phase_names[phase], b.processes * b.files / (end - begin));
	}
}

static void share(void)
{
	pthread_barrierattr_t attr;

	b.shared = mmap(NULL, sizeof(*b.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (b.shared == MAP_FAILED)
		die("mmap", "shared memory");
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&b.shared->barrier, &attr, b.processes);
}

int main(int argc, char **argv)
{
	char path[PATH_MAX];
	int status, failed = 0;

	if (argc != 6) {
		fprintf(stderr, "usage: mdbench DIR PROCESSES FILES BYTES own|shared\n");
		return 2;
	}
	b.dir = argv[1];
	b.processes = (unsigned)atoi(argv[2]);
	b.files = (unsigned)atoi(argv[3]);
	b.bytes = (size_t)atol(argv[4]);
	b.own = !strcmp(argv[5], "own");
	if (!b.processes || b.processes > PROCESSES_MAX || !b.files) {
		fprintf(stderr, "mdbench: 1 to %d processes, at least one file\n", PROCESSES_MAX);
		return 2;
	}
	b.buf = calloc(1, b.bytes + 1);
	share();
	setpgid(0, 0);
	for (unsigned p = 0; p < b.processes; p++) {
		folder_of(p, path);
		if (b.own && mkdir(path, 0755) < 0)
			die("mkdir", path);
	}
	for (unsigned p = 0; p < b.processes; p++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork", "");
		if (pid == 0) {
			work(p);
			_exit(0);
		}
	}
	/* Who fails leaves the others at the barrier: end the group. */
	while (wait(&status) > 0) {
		if (status && !failed) {
			failed = 1;
			signal(SIGTERM, SIG_IGN);
			kill(0, SIGTERM);
		}
	}
	if (!failed)
		report();
	for (unsigned p = 0; p < b.processes && b.own; p++) {
		folder_of(p, path);
		(void)rmdir(path);
	}
	return failed;
}
