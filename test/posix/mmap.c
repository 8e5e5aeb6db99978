/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Mappings: private, shared, their end of file, beside read and write. */
#include "posix.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#define PAGE 4096
#define SIZE (300 * PAGE)

static char data[SIZE], back[SIZE];
static sigjmp_buf escape;

static void on_bus(int sig) { siglongjmp(escape, 1); }

static int filled(const char *name)
{
	int fd = (int)good(open(name, O_RDWR | O_CREAT | O_TRUNC, 0644));

	same(write(fd, data, SIZE), SIZE);
	return fd;
}

static void private_maps(void)
{
	int fd = filled("f");
	char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	if (!must(p != MAP_FAILED)) {
		close(fd);
		return;
	}
	must(!memcmp(p, data, SIZE));
	memset(p, 'P', SIZE);
	same(pread(fd, back, SIZE, 0), SIZE);
	must(!memcmp(back, data, SIZE)); /* the file does not see it */
	munmap(p, SIZE);
	p = mmap(NULL, 10 * PAGE, PROT_READ, MAP_PRIVATE, fd, 100 * PAGE);
	must(p != MAP_FAILED && !memcmp(p, data + 100 * PAGE, 10 * PAGE));
	munmap(p, 10 * PAGE);
	good(close(fd));
	good(unlink("f"));
	section("private");
}

static void shared_maps(void)
{
	int fd = filled("f");
	char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *q;

	if (!must(p != MAP_FAILED)) {
		close(fd);
		return;
	}
	must(!memcmp(p, data, SIZE));
	for (int i = 0; i < 300; i += 3)
		p[i * PAGE + i] = (char)i;
	good(msync(p, SIZE, MS_SYNC));
	same(pread(fd, back, SIZE, 0), SIZE);
	for (int i = 0; i < 300; i += 3)
		data[i * PAGE + i] = (char)i;
	must(!memcmp(back, data, SIZE));
	/* A second mapping sees the first one's bytes. */
	q = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	must(q != MAP_FAILED && !memcmp(q, data, SIZE));
	p[77] = 'Z';
	same(q[77], 'Z');
	data[77] = 'Z';
	munmap(q, SIZE);
	munmap(p, SIZE);
	good(close(fd));
	fd = (int)good(open("f", O_RDONLY));
	same(read(fd, back, SIZE), SIZE);
	must(!memcmp(back, data, SIZE));
	bad(EACCES, (intptr_t)mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	good(close(fd));
	fd = (int)good(open("f", O_WRONLY));
	bad(EACCES, (intptr_t)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0));
	good(close(fd));
	good(unlink("f"));
	section("shared");
}

/* What write() put there is in the mapping; what the mapping got is read by read() after msync. */
static void beside_write(void)
{
	int fd = filled("f");
	char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (!must(p != MAP_FAILED)) {
		close(fd);
		return;
	}
	for (int i = 0; i < 50; i++) {
		char c = (char)(i + 1), got = 0;
		off_t at = i * 5 * PAGE + i;

		same(p[at], data[at]); /* the page is in */
		same(pwrite(fd, &c, 1, at), 1);
		same(p[at], c);
		p[at + 1] = c;
		good(msync(p + i * 5 * PAGE, PAGE, MS_SYNC));
		same(pread(fd, &got, 1, at + 1), 1);
		same(got, c);
	}
	munmap(p, SIZE);
	good(close(fd));
	good(unlink("f"));
	section("beside read and write");
}

static void child_reads(void *arg)
{
	volatile char *p = arg;

	for (int i = 0; i < 200 && p[5] != 'X'; i++)
		px_sleep_ms(10);
	same(p[5], 'X');
	p[6] = 'Y';
}

static void between_processes(void)
{
	int fd = filled("f");
	volatile char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	pid_t pid;

	if (!must(p != MAP_FAILED)) {
		close(fd);
		return;
	}
	pid = px_spawn(child_reads, (void *)p);
	px_sleep_ms(20);
	p[5] = 'X';
	px_wait(pid);
	same(p[6], 'Y');
	munmap((void *)p, SIZE);
	good(close(fd));
	good(unlink("f"));
	section("between processes");
}

static void end_of_file(void)
{
	int fd = (int)good(open("f", O_RDWR | O_CREAT | O_TRUNC, 0644));
	volatile char *p;
	volatile bool caught = false;

	same(write(fd, data, 100), 100);
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (!must(p != MAP_FAILED)) {
		close(fd);
		return;
	}
	same(p[99], data[99]);
	for (int i = 100; i < PAGE; i++)
		if (p[i])
			caught = true;
	must(!caught); /* the rest of the page is zero */
	p[200] = 'x';  /* and what is written there is not in the file */
	good(msync((void *)p, PAGE, MS_SYNC));
	same(st_of("f").st_size, 100);
	signal(SIGBUS, on_bus);
	if (!sigsetjmp(escape, 1)) {
		(void)p[PAGE];
		ok(false, "reading beyond the last page did not fail");
	} else {
		caught = true;
	}
	must(caught);
	good(ftruncate(fd, 2 * PAGE));
	same(p[PAGE], 0); /* now it is there */
	p[PAGE] = 'n';
	good(msync((void *)p, 2 * PAGE, MS_SYNC));
	same(pread(fd, back, 2 * PAGE, 0), 2 * PAGE);
	same(back[PAGE], 'n');
	good(ftruncate(fd, 10));
	caught = false;
	if (!sigsetjmp(escape, 1))
		(void)p[PAGE];
	else
		caught = true;
	must(caught);
	signal(SIGBUS, SIG_DFL);
	munmap((void *)p, 2 * PAGE);
	good(close(fd));
	good(unlink("f"));
	section("end of file");
}

static void sparse_map(void)
{
	const off_t size = 200ll << 20;
	int fd = (int)good(open("f", O_RDWR | O_CREAT | O_TRUNC, 0644));
	char *p;

	good(ftruncate(fd, size));
	p = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (!must(p != MAP_FAILED)) {
		close(fd);
		return;
	}
	for (off_t at = 0; at < size; at += 7 << 20) {
		same(p[at], 0);
		p[at + 3] = (char)(1 + at % 101);
	}
	munmap(p, (size_t)size);
	good(fsync(fd));
	for (off_t at = 0; at < size; at += 7 << 20) {
		same(pread(fd, back, 4, at), 4);
		same(back[3], (char)(1 + at % 101));
	}
	good(close(fd));
	good(unlink("f"));
	section("sparse file, written through a mapping only");
}

int main(int argc, char **argv)
{
	px_start(argc, argv, "mmap");
	px_fill(data, sizeof(data), 21);
	private_maps();
	shared_maps();
	beside_write();
	between_processes();
	end_of_file();
	sparse_map();
	return px_end();
}
