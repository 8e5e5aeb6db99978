/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Record locks (of processes and of open file descriptions) and flock. */
#include "posix.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>

static int lock_cmd(int fd, int cmd, short type, off_t start, off_t len)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	return fcntl(fd, cmd, &l);
}

/* What F_GETLK says: 'U' none, else 'R' or 'W'; the holder's range in *l. */
static char probe(int fd, int cmd, short type, off_t start, off_t len, struct flock *l)
{
	*l = (struct flock){ .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
	if (good(fcntl(fd, cmd, l)) < 0)
		return '?';
	return l->l_type == F_UNLCK ? 'U' : l->l_type == F_RDLCK ? 'R' : 'W';
}

/* A helper process that does what it is told, so that two owners can be played step by step. */
struct order {
	char what; /* l: F_SETLK, w: F_SETLKW, f: flock, o: F_OFD_SETLK, g: F_GETLK, c: close and open again, q: quit */
	short type;
	off_t start, len;
	int flock_op;
};

struct answer {
	int r, err;
	struct flock l;
};

static int to_helper[2], from_helper[2];
static pid_t helper_pid;

static void obey(int *fd, const struct order *o, struct answer *a)
{
	errno = 0;
	switch (o->what) {
	case 'l':
		a->r = lock_cmd(*fd, F_SETLK, o->type, o->start, o->len);
		break;
	case 'w':
		a->r = lock_cmd(*fd, F_SETLKW, o->type, o->start, o->len);
		break;
	case 'o':
		a->r = lock_cmd(*fd, F_OFD_SETLK, o->type, o->start, o->len);
		break;
	case 'f':
		a->r = flock(*fd, o->flock_op);
		break;
	case 'g':
		a->l = (struct flock){ .l_type = o->type, .l_whence = SEEK_SET, .l_start = o->start, .l_len = o->len };
		a->r = fcntl(*fd, F_GETLK, &a->l);
		break;
	case 'c':
		close(*fd);
		*fd = open("f", O_RDWR);
		a->r = *fd < 0 ? -1 : 0;
		break;
	}
	a->err = errno;
}

static void helper(void *arg)
{
	int fd = open("f", O_RDWR);
	struct order o;

	while (read(to_helper[0], &o, sizeof(o)) == sizeof(o) && o.what != 'q') {
		struct answer a = { 0 };

		obey(&fd, &o, &a);
		if (write(from_helper[1], &a, sizeof(a)) != sizeof(a))
			break;
	}
	close(fd);
}

static void send_order(struct order o)
{
	if (write(to_helper[1], &o, sizeof(o)) != sizeof(o))
		bail_out("helper is gone");
}

static struct answer get_answer(void)
{
	struct answer a = { .r = -1 };

	if (read(from_helper[0], &a, sizeof(a)) != sizeof(a))
		bail_out("helper is gone");
	errno = a.err;
	return a;
}

static int tell(char what, short type, off_t start, off_t len)
{
	send_order((struct order){ .what = what, .type = type, .start = start, .len = len });
	return get_answer().r;
}

static int tell_flock(int op)
{
	send_order((struct order){ .what = 'f', .flock_op = op });
	return get_answer().r;
}

static bool answered(unsigned ms)
{
	fd_set set;
	struct timeval t = { ms / 1000, (int)(ms % 1000) * 1000 };

	FD_ZERO(&set);
	FD_SET(from_helper[0], &set);
	return select(from_helper[0] + 1, &set, NULL, NULL, &t) == 1;
}

static void start_helper(void)
{
	if (pipe(to_helper) || pipe(from_helper))
		bail_out("pipe");
	helper_pid = px_spawn(helper, NULL);
}

static void stop_helper(void)
{
	send_order((struct order){ .what = 'q' });
	px_wait(helper_pid);
	for (int i = 0; i < 2; i++) {
		close(to_helper[i]);
		close(from_helper[i]);
	}
}

static void record_locks(int fd)
{
	struct flock l;

	good(lock_cmd(fd, F_SETLK, F_WRLCK, 10, 10));
	bad(EAGAIN, tell('l', F_WRLCK, 10, 10));
	bad(EAGAIN, tell('l', F_RDLCK, 15, 1));
	bad(EAGAIN, tell('l', F_WRLCK, 0, 0));
	bad(EAGAIN, tell('l', F_WRLCK, 0, 11));
	good(tell('l', F_WRLCK, 0, 10));
	good(tell('l', F_WRLCK, 20, 0));
	send_order((struct order){ .what = 'g', .type = F_WRLCK, .start = 12, .len = 1 });
	l = get_answer().l;
	same(l.l_type, F_WRLCK);
	same(l.l_start, 10);
	same(l.l_len, 10);
	same(l.l_pid, getpid());
	same(probe(fd, F_GETLK, F_RDLCK, 0, 5, &l), 'W');
	same(l.l_pid, helper_pid);
	same(l.l_start, 0);
	same(l.l_len, 10);
	same(probe(fd, F_GETLK, F_RDLCK, 1000, 0, &l), 'W');
	same(l.l_start, 20);
	same(l.l_len, 0);				    /* to the end, whatever it is */
	same(probe(fd, F_GETLK, F_WRLCK, 10, 10, &l), 'U'); /* one's own are no obstacle */
	good(tell('l', F_UNLCK, 0, 0));
	section("exclusive record locks");

	/* Splitting, merging, changing the type. */
	good(lock_cmd(fd, F_SETLK, F_UNLCK, 0, 0));
	good(lock_cmd(fd, F_SETLK, F_WRLCK, 0, 100));
	good(lock_cmd(fd, F_SETLK, F_UNLCK, 40, 20));
	good(tell('l', F_WRLCK, 40, 20));
	bad(EAGAIN, tell('l', F_WRLCK, 39, 1));
	bad(EAGAIN, tell('l', F_WRLCK, 60, 1));
	good(tell('l', F_UNLCK, 40, 20));
	good(lock_cmd(fd, F_SETLK, F_RDLCK, 30, 40));
	good(tell('l', F_RDLCK, 30, 40));
	bad(EAGAIN, tell('l', F_RDLCK, 29, 1));
	bad(EAGAIN, tell('l', F_WRLCK, 50, 1));
	bad(EAGAIN, lock_cmd(fd, F_SETLK, F_WRLCK, 30, 1)); /* shared with the other */
	good(tell('l', F_UNLCK, 0, 0));
	good(lock_cmd(fd, F_SETLK, F_WRLCK, 30, 40));
	send_order((struct order){ .what = 'g', .type = F_RDLCK, .start = 0, .len = 0 });
	l = get_answer().l;
	same(l.l_start, 0);
	same(l.l_len, 100); /* one again */
	good(lock_cmd(fd, F_SETLK, F_UNLCK, 0, 0));
	section("split, merge, upgrade");
}

static void odd_ranges(int fd)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -5, .l_len = 3 };
	int ro;

	/* The file has 100 bytes. */
	good(fcntl(fd, F_SETLK, &l));
	same(probe(fd, F_GETLK, F_WRLCK, 0, 0, &l), 'U');
	send_order((struct order){ .what = 'g', .type = F_WRLCK, .start = 0, .len = 0 });
	l = get_answer().l;
	same(l.l_start, 95);
	same(l.l_len, 3);
	good(lock_cmd(fd, F_SETLK, F_UNLCK, 0, 0));
	good(lock_cmd(fd, F_SETLK, F_WRLCK, 50, -10)); /* the ten before */
	bad(EAGAIN, tell('l', F_WRLCK, 40, 1));
	good(tell('l', F_WRLCK, 50, 1));
	good(tell('l', F_UNLCK, 0, 0));
	good(lock_cmd(fd, F_SETLK, F_UNLCK, 0, 0));
	bad(EINVAL, lock_cmd(fd, F_SETLK, F_WRLCK, 5, -10));
	bad(EINVAL, lock_cmd(fd, F_SETLK, F_WRLCK, -1, 1));
	bad(EINVAL, lock_cmd(fd, F_SETLK, 77, 0, 1));
	good(lock_cmd(fd, F_SETLK, F_WRLCK, INT64_MAX - 1, 1));
	bad(EAGAIN, tell('l', F_WRLCK, INT64_MAX - 1, 1));
	good(lock_cmd(fd, F_SETLK, F_WRLCK, INT64_MAX, 1));
	bad(EAGAIN, tell('l', F_WRLCK, 1000, 0));
	good(lock_cmd(fd, F_SETLK, F_UNLCK, 0, 0));
	ro = (int)good(open("f", O_RDONLY));
	bad(EBADF, lock_cmd(ro, F_SETLK, F_WRLCK, 0, 1));
	good(lock_cmd(ro, F_SETLK, F_RDLCK, 0, 1));
	good(close(ro));
	section("odd ranges");
}

static void waiting(int fd)
{
	good(lock_cmd(fd, F_SETLK, F_WRLCK, 0, 10));
	send_order((struct order){ .what = 'w', .type = F_WRLCK, .start = 5, .len = 10 });
	must(!answered(200));
	good(lock_cmd(fd, F_SETLK, F_UNLCK, 0, 0));
	must(answered(5000));
	good(get_answer().r);
	bad(EAGAIN, lock_cmd(fd, F_SETLK, F_WRLCK, 5, 1));
	good(tell('l', F_UNLCK, 0, 0));
	/* Deadlock: each waits for the other. */
	good(lock_cmd(fd, F_SETLK, F_WRLCK, 0, 1));
	good(tell('l', F_WRLCK, 1, 1));
	send_order((struct order){ .what = 'w', .type = F_WRLCK, .start = 0, .len = 1 });
	must(!answered(100));
	bad(EDEADLK, lock_cmd(fd, F_SETLKW, F_WRLCK, 1, 1));
	good(lock_cmd(fd, F_SETLK, F_UNLCK, 0, 1));
	must(answered(5000));
	good(get_answer().r);
	good(tell('l', F_UNLCK, 0, 0));
	section("waiting, deadlock");
}

static volatile sig_atomic_t alarmed;
static void on_alarm(int sig) { alarmed = 1; }

static void interrupted(int fd)
{
	struct sigaction sa = { .sa_handler = on_alarm }, old; /* without SA_RESTART */
	unsigned left = alarm(0);

	sigaction(SIGALRM, &sa, &old);
	good(tell('l', F_WRLCK, 0, 10));
	alarm(1);
	bad(EINTR, lock_cmd(fd, F_SETLKW, F_WRLCK, 0, 1));
	must(alarmed);
	good(tell('l', F_UNLCK, 0, 0));
	good(lock_cmd(fd, F_SETLK, F_WRLCK, 0, 1)); /* the cancelled wait left nothing behind */
	good(lock_cmd(fd, F_SETLK, F_UNLCK, 0, 1));
	good(tell('l', F_WRLCK, 0, 10));
	good(tell('l', F_UNLCK, 0, 0));
	good(tell_flock(LOCK_EX));
	alarmed = 0;
	alarm(1);
	bad(EINTR, flock(fd, LOCK_EX));
	good(tell_flock(LOCK_UN));
	good(flock(fd, LOCK_EX | LOCK_NB));
	good(flock(fd, LOCK_UN));
	sigaction(SIGALRM, &old, NULL);
	alarm(left);
	section("interrupted waits");
}

/* Record locks go with any close of the file by the process, and with its end. */
static void closing(int fd)
{
	int second;

	good(lock_cmd(fd, F_SETLK, F_WRLCK, 0, 10));
	second = (int)good(open("f", O_RDONLY));
	good(close(second));
	good(tell('l', F_WRLCK, 0, 10));
	good(tell('c', 0, 0, 0));
	good(lock_cmd(fd, F_SETLK, F_WRLCK, 0, 10));
	good(lock_cmd(fd, F_SETLK, F_UNLCK, 0, 10));
	good(tell('l', F_WRLCK, 0, 10));
	stop_helper();
	good(lock_cmd(fd, F_SETLK, F_WRLCK, 0, 10));
	good(lock_cmd(fd, F_SETLK, F_UNLCK, 0, 10));
	start_helper();
	section("closing and exiting let go");
}

static void forked(void *arg)
{
	struct flock l;
	int fd = *(int *)arg;

	/* A child does not inherit its parent's record locks. */
	same(probe(fd, F_GETLK, F_WRLCK, 0, 10, &l), 'W');
	same(l.l_pid, getppid());
	bad(EAGAIN, lock_cmd(fd, F_SETLK, F_WRLCK, 0, 10));
}

static void description_locks(int fd)
{
	struct flock l;
	int second, copy;

	good(lock_cmd(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
	second = (int)good(open("f", O_RDWR));
	bad(EAGAIN, lock_cmd(second, F_OFD_SETLK, F_WRLCK, 0, 10)); /* in one process as well */
	same(probe(second, F_OFD_GETLK, F_RDLCK, 0, 1, &l), 'W');
	same(l.l_pid, -1);
	bad(EAGAIN, lock_cmd(second, F_SETLK, F_WRLCK, 0, 10)); /* against the other kind too */
	bad(EAGAIN, tell('o', F_WRLCK, 5, 1));
	copy = (int)good(dup(fd));
	good(close(copy)); /* does not let go */
	bad(EAGAIN, lock_cmd(second, F_OFD_SETLK, F_WRLCK, 0, 10));
	good(lock_cmd(fd, F_OFD_SETLK, F_UNLCK, 5, 5));
	good(lock_cmd(second, F_OFD_SETLK, F_WRLCK, 5, 5));
	good(close(second));
	good(lock_cmd(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
	good(lock_cmd(fd, F_OFD_SETLK, F_UNLCK, 0, 0));
	section("locks of open file descriptions");
}

static void whole_file(int fd)
{
	int second = (int)good(open("f", O_RDONLY)), copy;

	good(flock(fd, LOCK_EX));
	bad(EWOULDBLOCK, flock(second, LOCK_EX | LOCK_NB));
	bad(EWOULDBLOCK, flock(second, LOCK_SH | LOCK_NB));
	bad(EWOULDBLOCK, tell_flock(LOCK_SH | LOCK_NB));
	copy = (int)good(dup(fd));
	good(flock(copy, LOCK_SH)); /* the same lock */
	good(flock(second, LOCK_SH | LOCK_NB));
	good(tell_flock(LOCK_SH | LOCK_NB));
	bad(EWOULDBLOCK, flock(fd, LOCK_EX | LOCK_NB)); /* a failed conversion gives up the old lock, or not */
	good(tell_flock(LOCK_UN));
	good(flock(second, LOCK_UN));
	good(flock(fd, LOCK_EX | LOCK_NB));
	good(close(copy)); /* the description lives on */
	bad(EWOULDBLOCK, tell_flock(LOCK_EX | LOCK_NB));
	good(lock_cmd(fd, F_SETLK, F_WRLCK, 0, 0)); /* record locks are another matter */
	bad(EAGAIN, tell('l', F_RDLCK, 0, 0));
	good(lock_cmd(fd, F_SETLK, F_UNLCK, 0, 0));
	send_order((struct order){ .what = 'f', .flock_op = LOCK_EX });
	must(!answered(200));
	good(flock(fd, LOCK_UN));
	must(answered(5000));
	good(get_answer().r);
	bad(EWOULDBLOCK, flock(second, LOCK_EX | LOCK_NB));
	good(tell('c', 0, 0, 0)); /* the last close lets go */
	good(flock(second, LOCK_EX | LOCK_NB));
	good(close(second));
	bad(EINVAL, flock(fd, 0));
	bad(EBADF, flock(1000, LOCK_EX));
	section("flock");
}

static void held_by_child(void *arg)
{
	px_sleep_ms(300);
	_exit(0);
}

static void flock_and_fork(void)
{
	int fd = (int)good(open("f", O_RDWR)), second = (int)good(open("f", O_RDWR));
	pid_t pid;

	good(flock(fd, LOCK_EX));
	pid = px_spawn(held_by_child, NULL);
	good(close(fd)); /* the child has it still */
	bad(EWOULDBLOCK, flock(second, LOCK_EX | LOCK_NB));
	good(flock(second, LOCK_EX)); /* until its end */
	px_wait(pid);
	good(close(second));
	section("flock and fork");
}

/* Many processes add to a number under a lock. */
static void counting(void *arg)
{
	int fd = (int)good(open("counter", O_RDWR));

	for (int i = 0; i < 100; i++) {
		uint32_t v = 0;

		if ((intptr_t)arg)
			good(flock(fd, LOCK_EX));
		else
			good(lock_cmd(fd, F_SETLKW, F_WRLCK, 0, 4));
		same(pread(fd, &v, 4, 0), 4);
		v++;
		same(pwrite(fd, &v, 4, 0), 4);
		if ((intptr_t)arg)
			good(flock(fd, LOCK_UN));
		else
			good(lock_cmd(fd, F_SETLKW, F_UNLCK, 0, 4));
	}
	close(fd);
}

static void counters(intptr_t kind)
{
	pid_t pid[4];
	uint32_t v = 0;
	int fd = (int)good(open("counter", O_RDWR | O_CREAT | O_TRUNC, 0644));

	same(write(fd, &v, 4), 4);
	for (int i = 0; i < 4; i++)
		pid[i] = px_spawn(counting, (void *)kind);
	for (int i = 0; i < 4; i++)
		px_wait(pid[i]);
	same(pread(fd, &v, 4, 0), 4);
	same(v, 400);
	good(close(fd));
	good(unlink("counter"));
	section(kind ? "counting under flock" : "counting under record locks");
}

int main(int argc, char **argv)
{
	char text[101];
	int fd;

	px_start(argc, argv, "locks");
	memset(text, 'x', 100);
	text[100] = 0;
	put("f", text, 0644);
	fd = (int)good(open("f", O_RDWR));
	start_helper();
	record_locks(fd);
	odd_ranges(fd);
	waiting(fd);
	interrupted(fd);
	closing(fd);
	good(lock_cmd(fd, F_SETLK, F_WRLCK, 0, 10));
	px_child(forked, &fd);
	good(lock_cmd(fd, F_SETLK, F_UNLCK, 0, 10));
	section("fork");
	description_locks(fd);
	whole_file(fd);
	stop_helper();
	flock_and_fork();
	counters(0);
	counters(1);
	good(close(fd));
	return px_end();
}
