/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Runs a libFuzzer entry without libFuzzer: replays files and directories, then mutates them for
 * some seconds. Blind, but it needs no clang, and with sanitizers it still finds the shallow half.
 * The input that crashed is written to ./crash-input.
 *
 * usage: FUZZER [-t SECONDS] [-s SEED] FILE|DIR...
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define INPUT_MAX	(64u << 10)
#define SEEDS_MAX	65536u
#define MUTATIONS_MAX	4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Present when a sanitizer is linked in. */
__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));

struct seed {
	uint8_t *p;
	size_t len;
};

static struct seed seeds[SEEDS_MAX];
static size_t seeds_n;
static uint64_t rng_state = 1;
static const uint8_t *current;
static size_t current_len;

/* Async-signal-safe: it runs in the handler of a crash. */
static void save_current(void)
{
	int fd = open("crash-input", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	if (fd >= 0 && current && write(fd, current, current_len) < 0)
		(void)!write(STDERR_FILENO, "crash-input not written\n", 24);
	if (fd >= 0)
		(void)close(fd);
}

static void on_crash(int sig)
{
	save_current();
	(void)signal(sig, SIG_DFL);
	(void)raise(sig);
}

static uint64_t rng(void)
{
	uint64_t z = rng_state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static size_t below(size_t n)
{
	return n ? (size_t)(rng() % n) : 0;
}

/* In memory of its exact size, so that a sanitizer sees a read past the end. */
static void run(const uint8_t *p, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (!copy)
		abort();
	memcpy(copy, p, len);
	current = copy;
	current_len = len;
	(void)LLVMFuzzerTestOneInput(copy, len);
	current = NULL;
	free(copy);
}

static int add_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p = malloc(INPUT_MAX);
	size_t len;

	if (!f || !p) {
		perror(path);
		free(p);
		if (f)
			(void)fclose(f);
		return -1;
	}
	len = fread(p, 1, INPUT_MAX, f);
	(void)fclose(f);
	if (seeds_n < SEEDS_MAX) {
		uint8_t *fit = realloc(p, len ? len : 1);

		seeds[seeds_n++] = (struct seed){ fit ? fit : p, len };
	} else {
		free(p);
	}
	return 0;
}

static int add_dir(const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort), rc = 0;
	char full[4096];

	if (n < 0) {
		perror(path);
		return -1;
	}
	for (int i = 0; i < n; i++) {
		(void)snprintf(full, sizeof(full), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.' && add_file(full))
			rc = -1;
		free(names[i]);
	}
	free(names);
	return rc;
}

static int add_path(const char *path)
{
	struct stat st;

	if (stat(path, &st)) {
		perror(path);
		return -1;
	}
	return S_ISDIR(st.st_mode) ? add_dir(path) : add_file(path);
}

static void put_number(uint8_t *p, size_t len)
{
	static const uint64_t numbers[] = {
		0, 1, 0x7f, 0xff, 0x100, 0xffff, 0x10000, 0x10001, 0x7fffffff, 0x80000000,
		0xfffffff8, 0xffffffff, UINT64_MAX - 7, UINT64_MAX, (uint64_t)INT64_MAX,
	};
	size_t size = (size_t)1 << below(4), at;
	uint64_t v = numbers[below(sizeof(numbers) / sizeof(numbers[0]))];

	if (size > len)
		return;
	at = below(len - size + 1);
	for (size_t i = 0; i < size; i++)
		p[at + i] = (uint8_t)(v >> 8 * i);
}

static size_t mutate(uint8_t *p, size_t len)
{
	const struct seed *other = &seeds[below(seeds_n)];
	size_t at = below(len), n = 1 + below(16);

	switch (below(6)) {
	case 0:
		if (len)
			p[at] ^= (uint8_t)(1u << below(8));
		return len;
	case 1:
		put_number(p, len);
		return len;
	case 2:		/* insert */
		if (len + n > INPUT_MAX)
			return len;
		memmove(p + at + n, p + at, len - at);
		for (size_t i = 0; i < n; i++)
			p[at + i] = (uint8_t)rng();
		return len + n;
	case 3:		/* erase */
		if (n > len - at)
			n = len - at;
		memmove(p + at, p + at + n, len - at - n);
		return len - n;
	case 4:		/* the rest of another seed */
		if (at > other->len)
			return len;
		memcpy(p + at, other->p + at, other->len - at);
		return other->len;
	default:	/* a little more or less */
		if (len)
			p[at] = (uint8_t)(p[at] + below(9) - 4);
		return len;
	}
}

static uint64_t fuzz(int seconds)
{
	static uint8_t buf[INPUT_MAX];
	time_t end = time(NULL) + seconds;
	uint64_t runs = 0;

	while (seeds_n && time(NULL) < end) {
		for (int i = 0; i < 1000; i++, runs++) {
			const struct seed *s = &seeds[below(seeds_n)];
			size_t len = s->len;

			memcpy(buf, s->p, len);
			for (size_t m = 1 + below(MUTATIONS_MAX); m; m--)
				len = mutate(buf, len);
			run(buf, len);
		}
	}
	return runs;
}

static void forget_seeds(void)
{
	for (size_t i = 0; i < seeds_n; i++)
		free(seeds[i].p);
}

int main(int argc, char **argv)
{
	int opt, seconds = 0, rc = 0;

	while ((opt = getopt(argc, argv, "t:s:")) != -1) {
		if (opt == 't')
			seconds = atoi(optarg);
		else if (opt == 's')
			rng_state = strtoull(optarg, NULL, 0);
		else
			return 2;
	}
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(save_current);
	(void)signal(SIGABRT, on_crash);
	for (int i = optind; i < argc; i++)
		if (add_path(argv[i]))
			rc = 1;
	for (size_t i = 0; i < seeds_n; i++)
		run(seeds[i].p, seeds[i].len);
	printf("%zu seeds replayed\n", seeds_n);
	if (seconds)
		printf("%llu mutations\n", (unsigned long long)fuzz(seconds));
	forget_seeds();
	return rc;
}
