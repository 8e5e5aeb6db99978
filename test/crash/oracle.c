/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A workload that knows what must be there.
 *
 *	oracle run DIR LOGS PROCESSES SECONDS SEED	works in DIR, logging each operation to LOGS/<process>
 *	oracle verify DIR LOGS PROCESSES		compares DIR with what the logs say was acknowledged
 *
 * A log line is the operation, written before it is tried, and " ok" after it succeeded. The model of a process is what its log says;
 * only the last line may lack its end, then the operation may have happened or not. Every operation is one that must succeed: an error
 * ends the process, and the run's exit status is 1 (2 when the mount itself went away). The logs are to lie on a local disk.
 *
 * Files hold segments, each a number that gives its bytes and a length, written and made durable before they count.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NAMES 48 /* of files, half in the common folder, half in the process's own */
#define DIRS 12
#define SEGMENTS 12
#define LENGTH_MAX 300000u

enum { PUT, APPEND, REWRITE, RENAME, LINK, UNLINK, MKDIR, RMDIR, OPS };
static const char *const op_names[OPS] = { "put", "append", "rewrite", "rename", "link", "unlink", "mkdir", "rmdir" };

struct op {
	int kind, a, b;
	unsigned id, len;
};

struct segment {
	unsigned id, len;
};

struct file {
	struct segment s[SEGMENTS];
	int n, links;
};

struct model {
	struct file files[NAMES];
	int name[NAMES]; /* index of the file, or -1 */
	bool dir[DIRS];
};

static int process;
static const char *dir;
static char buffer[LENGTH_MAX], back[LENGTH_MAX];
static unsigned long long state;

static unsigned rnd(unsigned below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state >> 33) % below;
}

static void fill(char *p, struct segment s)
{
	unsigned long long x = s.id * 0x9e3779b97f4a7c15ull + 1;

	for (unsigned i = 0; i < s.len; i++) {
		if (i % 8 == 0) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
		}
		p[i] = (char)(x >> i % 8 * 8);
	}
}

static const char *path_of(int n)
{
	static char ring[4][PATH_MAX];
	static unsigned k;
	char *s = ring[k++ % 4];

	if (n < NAMES / 2)
		snprintf(s, PATH_MAX, "%s/common/%d.f%d", dir, process, n);
	else
		snprintf(s, PATH_MAX, "%s/own.%d/f%d", dir, process, n);
	return s;
}

static const char *dir_path(int n)
{
	static char s[PATH_MAX];

	snprintf(s, sizeof(s), "%s/own.%d/d%d", dir, process, n);
	return s;
}

/* ---- model ---------------------------------------------------------------------------------------------------------------- */

static void model_init(struct model *m)
{
	memset(m, 0, sizeof(*m));
	for (int i = 0; i < NAMES; i++)
		m->name[i] = -1;
}

static void drop(struct model *m, int n)
{
	if (m->name[n] >= 0)
		m->files[m->name[n]].links--;
	m->name[n] = -1;
}

static int free_file(const struct model *m)
{
	for (int i = 0; i < NAMES; i++)
		if (!m->files[i].links)
			return i;
	return -1;
}

static void apply(struct model *m, const struct op *o)
{
	struct segment seg = { o->id, o->len };
	struct file *f = o->a < NAMES && m->name[o->a] >= 0 ? &m->files[m->name[o->a]] : NULL;

	switch (o->kind) {
	case PUT:
		m->name[o->a] = free_file(m);
		m->files[m->name[o->a]] = (struct file){ .s = { seg }, .n = 1, .links = 1 };
		break;
	case APPEND:
		f->s[f->n++] = seg;
		break;
	case REWRITE:
		f->s[0] = seg;
		f->n = 1;
		break;
	case RENAME:
		if (m->name[o->a] == m->name[o->b])
			break; /* two names of one file: nothing happens */
		drop(m, o->b);
		m->name[o->b] = m->name[o->a];
		m->name[o->a] = -1;
		break;
	case LINK:
		m->name[o->b] = m->name[o->a];
		f->links++;
		break;
	case UNLINK:
		drop(m, o->a);
		break;
	case MKDIR:
		m->dir[o->a] = true;
		break;
	case RMDIR:
		m->dir[o->a] = false;
		break;
	}
}

/* An operation that must succeed now. */
static struct op choose(const struct model *m, unsigned serial)
{
	for (;;) {
		struct op o = { .kind = (int)rnd(OPS), .a = (int)rnd(NAMES), .b = (int)rnd(NAMES), .id = serial };
		bool there = m->name[o.a] >= 0, target = m->name[o.b] >= 0;

		o.len = rnd(8) ? 1 + rnd(5000) : 1 + rnd(LENGTH_MAX);
		switch (o.kind) {
		case PUT:
			if (!there)
				return o;
			break;
		case APPEND:
			if (there && m->files[m->name[o.a]].n < SEGMENTS)
				return o;
			break;
		case RENAME:
			if (there && o.a != o.b)
				return o;
			break;
		case LINK:
			if (there && !target)
				return o;
			break;
		case REWRITE:
		case UNLINK:
			if (there && !rnd(2))
				return o;
			break;
		default:
			o.a %= DIRS;
			if (m->dir[o.a] == (o.kind == RMDIR))
				return o;
		}
	}
}

/* ---- doing -------------------------------------------------------------------------------------------------------------------- */

static int write_durably(int fd, struct segment s, bool odsync)
{
	fill(buffer, s);
	for (unsigned done = 0; done < s.len;) {
		ssize_t n = write(fd, buffer + done, s.len - done);

		if (n <= 0)
			return -1;
		done += (unsigned)n;
	}
	return odsync ? 0 : fsync(fd);
}

static int do_data(const struct op *o)
{
	static const int flags[] = { O_WRONLY | O_CREAT | O_EXCL, O_WRONLY | O_APPEND, O_WRONLY | O_TRUNC };
	bool odsync = o->id & 1;
	int fd = open(path_of(o->a), flags[o->kind] | (odsync ? O_DSYNC : 0), 0644), r, code;

	if (fd < 0)
		return -1;
	r = write_durably(fd, (struct segment){ o->id, o->len }, odsync);
	code = errno;
	if (close(fd) < 0 && !r)
		return -1;
	errno = code;
	return r;
}

static int perform(const struct op *o)
{
	switch (o->kind) {
	case RENAME:
		return rename(path_of(o->a), path_of(o->b));
	case LINK:
		return link(path_of(o->a), path_of(o->b));
	case UNLINK:
		return unlink(path_of(o->a));
	case MKDIR:
		return mkdir(dir_path(o->a), 0755);
	case RMDIR:
		return rmdir(dir_path(o->a));
	default:
		return do_data(o);
	}
}

static void log_line(int fd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void log_line(int fd, const char *fmt, ...)
{
	char text[128];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (write(fd, text, (size_t)n) != n)
		_exit(3);
}

static int run(const char *logs, unsigned seconds, unsigned seed)
{
	char path[PATH_MAX];
	time_t end = time(NULL) + seconds;
	static struct model m;
	unsigned n = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/%d", logs, process);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
	if (fd < 0)
		return 3;
	model_init(&m);
	state = seed * 1000003ull + (unsigned)process * 7919u + 88172645463325252ull;
	for (; time(NULL) < end; n++) {
		struct op o = choose(&m, n * 64 + (unsigned)process * 2 + rnd(2));

		log_line(fd, "%s %d %d %u %u", op_names[o.kind], o.a, o.b, o.id, o.len);
		if (perform(&o) < 0) {
			int code = errno;

			printf("process %d, operation %u: %s %d %d: %s\n", process, n, op_names[o.kind], o.a, o.b,
			       strerror(code));
			fflush(stdout);
			return code == ENOTCONN || code == ECONNABORTED || code == ECANCELED ? 2 : 1;
		}
		log_line(fd, " ok\n");
		apply(&m, &o);
	}
	printf("process %d: %u operations\n", process, n);
	fflush(stdout);
	close(fd);
	return 0;
}

/* ---- verifying ------------------------------------------------------------------------------------------------------------------ */

static bool parse(const char *line, struct op *o)
{
	char name[16];

	if (sscanf(line, "%15s %d %d %u %u", name, &o->a, &o->b, &o->id, &o->len) != 5)
		return false;
	for (o->kind = 0; o->kind < OPS; o->kind++)
		if (!strcmp(name, op_names[o->kind]))
			return true;
	return false;
}

/* Returns true if the last operation has no answer: it is in *open then. */
static bool replay(FILE *f, struct model *m, struct op *open_op, unsigned *count)
{
	char line[160];

	model_init(m);
	while (fgets(line, sizeof(line), f)) {
		if (!parse(line, open_op)) {
			printf("process %d: malformed log line: %s\n", process, line);
			exit(3);
		}
		if (!strstr(line, " ok\n"))
			return true;
		apply(m, open_op);
		++*count;
	}
	return false;
}

static int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static bool silent;

static int complain(const char *fmt, ...)
{
	va_list ap;

	if (!silent) {
		printf("process %d: ", process);
		va_start(ap, fmt);
		vprintf(fmt, ap);
		va_end(ap);
		putchar('\n');
	}
	return 1;
}

/* Bytes of the file; `open_len` more or fewer bytes of an operation without an answer may be there. */
static int check_bytes(int fd, const char *path, const struct file *f, const struct op *pending)
{
	struct segment tail = { 0 };
	int n = f->n;

	if (pending && pending->kind == REWRITE) {
		n = 0; /* truncated, partly written or whole, or not begun */
		tail = (struct segment){ pending->id, pending->len };
	} else if (pending) {
		tail = (struct segment){ pending->id, pending->len };
		if (pending->kind == PUT)
			n = 0;
	}
	for (int i = 0; i < n; i++) {
		ssize_t got = read(fd, back, f->s[i].len);

		fill(buffer, f->s[i]);
		if (got != (ssize_t)f->s[i].len || memcmp(buffer, back, f->s[i].len))
			return complain("%s: segment %d (%u bytes of %u): %zd bytes read, %s", path, i, f->s[i].len, f->s[i].id,
					got,
					got < 0			      ? strerror(errno)
					: got == (ssize_t)f->s[i].len ? "wrong ones"
								      : "too few");
	}
	if (!tail.len)
		return read(fd, back, 1) ? complain("%s: bytes beyond its end", path) : 0;
	{
		ssize_t got = read(fd, back, tail.len);

		fill(buffer, tail);
		/* What was not acknowledged may lack parts (zeros), but is nobody else's. */
		for (ssize_t i = 0; i < got; i++)
			if (back[i] && back[i] != buffer[i])
				return complain("%s: foreign bytes in an unfinished write", path);
		return got < 0 ? complain("%s: %s", path, strerror(errno)) : 0;
	}
}

static int check_name(const struct model *m, int i, const struct op *pending)
{
	const struct file *f = m->name[i] >= 0 ? &m->files[m->name[i]] : NULL;
	bool mine = pending && pending->kind <= REWRITE &&
		    (pending->a == i || (m->name[pending->a] >= 0 && m->name[pending->a] == m->name[i]));
	int fd = open(path_of(i), O_RDONLY), r = 0;
	struct stat st;

	if (fd < 0 && errno != ENOENT)
		return complain("%s: %s", path_of(i), strerror(errno));
	if (fd < 0)
		return f && !(mine && pending->kind == PUT) ? complain("%s was acknowledged and is gone", path_of(i)) : 0;
	if (!f && !(mine && pending->kind == PUT)) {
		close(fd);
		return complain("%s was removed (or never made) and is there", path_of(i));
	}
	if (fstat(fd, &st) == 0 && f && (int)st.st_nlink != f->links)
		r |= complain("%s has %d links, not %d", path_of(i), (int)st.st_nlink, f->links);
	if (mine && pending->kind == REWRITE) { /* either state */
		bool was = silent;

		silent = true;
		r |= check_bytes(fd, path_of(i), f, NULL);
		silent = was;
		if (r && lseek(fd, 0, SEEK_SET) == 0)
			r = check_bytes(fd, path_of(i), f, pending);
	} else {
		r |= check_bytes(fd, path_of(i), f ? f : &(struct file){ 0 }, mine ? pending : NULL);
	}
	close(fd);
	return r;
}

/* Each name once, and no name that is not ours. */
static int check_listing(const struct model *m, const char *where, int from, int to, bool dirs)
{
	int seen[NAMES] = { 0 }, seen_dir[DIRS] = { 0 }, r = 0, n, p;
	struct dirent *e;
	DIR *d = opendir(where);

	if (!d)
		return complain("%s: %s", where, strerror(errno));
	while (errno = 0, (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		if (dirs && sscanf(e->d_name, "d%d", &n) == 1 && n >= 0 && n < DIRS)
			seen_dir[n]++;
		else if (dirs ? sscanf(e->d_name, "f%d", &n) == 1 : sscanf(e->d_name, "%d.f%d", &p, &n) == 2 && p == process)
			seen[n % NAMES]++;
		else if (dirs)
			r |= complain("%s/%s is nobody's", where, e->d_name);
	}
	if (errno)
		r |= complain("%s: readdir: %s", where, strerror(errno));
	closedir(d);
	for (int i = from; i < to; i++)
		if (seen[i] != (m->name[i] >= 0))
			r |= complain("%s: f%d is listed %d times, not %d", where, i, seen[i], m->name[i] >= 0);
	for (int i = 0; dirs && i < DIRS; i++)
		if (seen_dir[i] != m->dir[i])
			r |= complain("%s: d%d is listed %d times, not %d", where, i, seen_dir[i], m->dir[i]);
	return r;
}

static int check_model(const struct model *m, const struct op *pending)
{
	char where[PATH_MAX];
	int r = 0;

	for (int i = 0; i < NAMES; i++)
		r |= check_name(m, i, pending);
	snprintf(where, sizeof(where), "%s/own.%d", dir, process);
	r |= check_listing(m, where, NAMES / 2, NAMES, true);
	snprintf(where, sizeof(where), "%s/common", dir);
	return r | check_listing(m, where, 0, NAMES / 2, false);
}

static int verify(const char *logs)
{
	static struct model before, after;
	char path[PATH_MAX];
	struct op pending;
	unsigned count = 0;
	bool is_open;
	FILE *f;
	int r;

	snprintf(path, sizeof(path), "%s/%d", logs, process);
	f = fopen(path, "r");
	if (!f)
		return complain("%s: %s", path, strerror(errno));
	is_open = replay(f, &before, &pending, &count);
	fclose(f);
	if (!is_open) {
		r = check_model(&before, NULL);
	} else {
		after = before;
		apply(&after, &pending);
		silent = true;
		r = check_model(&before, pending.kind <= REWRITE ? &pending : NULL) && check_model(&before, NULL);
		r = r && check_model(&after, pending.kind <= REWRITE ? &pending : NULL);
		silent = false;
		if (r) { /* neither: say how */
			complain("operation without an answer: %s %d %d; neither before nor after it:", op_names[pending.kind],
				 pending.a, pending.b);
			r = check_model(&before, pending.kind <= REWRITE ? &pending : NULL) | check_model(&after, NULL);
		}
	}
	printf("process %d: %u acknowledged operations%s: %s\n", process, count, is_open ? ", one open" : "",
	       r ? "WRONG" : "all there");
	return r;
}

int main(int argc, char **argv)
{
	bool running = argc == 7 && !strcmp(argv[1], "run");
	char path[PATH_MAX];
	int procs, status, worst = 0;

	if (!running && (argc != 5 || strcmp(argv[1], "verify"))) {
		fprintf(stderr, "usage: oracle run DIR LOGS PROCESSES SECONDS SEED | oracle verify DIR LOGS PROCESSES\n");
		return 3;
	}
	dir = argv[2];
	procs = atoi(argv[4]);
	snprintf(path, sizeof(path), "%s/common", dir);
	if (running && mkdir(path, 0755) < 0)
		return perror(path), 3;
	for (process = 0; process < procs; process++) {
		if (running) {
			snprintf(path, sizeof(path), "%s/own.%d", dir, process);
			if (mkdir(path, 0755) < 0)
				return perror(path), 3;
			fflush(stdout);
			if (fork() == 0)
				_exit(run(argv[3], (unsigned)atoi(argv[5]), (unsigned)atoi(argv[6])));
		} else if (verify(argv[3])) {
			worst = 1;
		}
	}
	while (running && wait(&status) > 0) {
		int code = WIFEXITED(status) ? WEXITSTATUS(status) : 3;

		worst = code > worst ? code : worst;
	}
	return worst;
}
