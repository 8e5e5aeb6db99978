/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "node/identity.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/status.h"

#define LOCK_FILE ".weft.lock"

__attribute__((format(printf, 3, 4))) static int fail(char *why, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, IDENTITY_WHY_MAX, fmt, ap);
	va_end(ap);
	return err;
}

/* ---- uuids --------------------------------------------------------------------------------------------------------------------- */

void uuid_format(const struct wp_uuid *u, char text[UUID_TEXT])
{
	char *p = text;

	for (unsigned i = 0; i < sizeof(u->b); i++)
		p += sprintf(p, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", u->b[i]);
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int uuid_parse(const char *text, struct wp_uuid *ret)
{
	struct wp_uuid u;

	if (strlen(text) != UUID_TEXT - 1)
		return -EINVAL;
	for (unsigned i = 0; i < sizeof(u.b); i++) {
		int hi, lo;

		if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
			return -EINVAL;
		hi = hex(text[0]);
		lo = hi < 0 ? -1 : hex(text[1]);
		if (lo < 0)
			return -EINVAL;
		u.b[i] = (uint8_t)(hi << 4 | lo);
		text += 2;
	}
	*ret = u;
	return 0;
}

int uuid_random(struct wp_uuid *ret)
{
	if (getrandom(ret->b, sizeof(ret->b), 0) != (ssize_t)sizeof(ret->b))
		return -EIO;
	ret->b[6] = (uint8_t)((ret->b[6] & 0x0f) | 0x40);
	ret->b[8] = (uint8_t)((ret->b[8] & 0x3f) | 0x80);
	return 0;
}

/* ---- folders ------------------------------------------------------------------------------------------------------------------- */

/* The holder wrote its pid into the lock file; 0 if it cannot be told. */
static int lock_holder(int fd)
{
	char text[16] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	return n > 0 ? atoi(text) : 0;
}

static int open_lock(const char *dir, char *why)
{
	cleanup_free char *path = xasprintf("%s/" LOCK_FILE, dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), err = errno;

	if (fd >= 0)
		return fd;
	if (err == EACCES || err == EPERM)
		return fail(why, -err, "no right to write in %s: run as the owner of the folder, or give it to this user with chown", dir);
	if (err == EROFS)
		return fail(why, -err, "%s is on a file system that is mounted read-only", dir);
	return fail(why, -err, "cannot write in %s: %s", dir, strerror(err));
}

int folder_lock(const char *dir, bool create, int *ret_fd, char *why)
{
	char pid[16];
	struct stat st;
	int fd, n;

	if (create && mkdir(dir, 0700) < 0 && errno != EEXIST)
		return fail(why, -errno, "cannot make the folder %s: %s", dir, strerror(errno));
	if (stat(dir, &st) < 0)
		return fail(why, -errno, "cannot use the folder %s: %s%s", dir, strerror(errno),
			    errno == ENOENT ? ". Make it, or mount the disk that holds it; --init makes a new target" : "");
	if (!S_ISDIR(st.st_mode))
		return fail(why, -ENOTDIR, "%s is not a folder", dir);
	fd = open_lock(dir, why);
	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int err = errno, holder = lock_holder(fd);

		close(fd);
		if (err != EWOULDBLOCK)
			return fail(why, -err, "cannot lock %s: %s", dir, strerror(err));
		if (holder > 0)
			return fail(why, -EBUSY, "%s is in use by the process with pid %d: stop that first", dir, holder);
		return fail(why, -EBUSY, "%s is in use by another process: stop that first", dir);
	}
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
		int err = errno;

		close(fd);
		return fail(why, -err, "cannot write in %s: %s", dir, strerror(err));
	}
	*ret_fd = fd;
	return 0;
}

void folder_unlock(int fd)
{
	if (fd >= 0)
		close(fd); /* the lock goes with it; the file stays, since another process may be waiting for it */
}

bool folder_is_empty(const char *dir)
{
	struct dirent *e;
	bool empty = true;
	DIR *d = opendir(dir);

	if (!d)
		return errno == ENOENT;
	while (empty && (e = readdir(d)) != NULL)
		empty = e->d_name[0] == '.' || !strcmp(e->d_name, "lost+found");
	closedir(d);
	return empty;
}

/* ---- the file ------------------------------------------------------------------------------------------------------------------ */

struct reading {
	struct identity id;
	bool bad;
	bool has_format, has_uuid, has_service;
};

static int parse_number(const char *s, uint64_t max, uint64_t *ret)
{
	char *end;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	*ret = strtoull(s, &end, 10);
	return *end || errno || *ret > max ? -EINVAL : 0;
}

static int parse_service(const char *s)
{
	static const struct {
		const char *name;
		int service;
	} names[] = { { "mgmtd", WP_SERVICE_MGMTD }, { "meta", WP_SERVICE_META }, { "storage", WP_SERVICE_STORAGE } };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(s, names[i].name))
			return names[i].service;
	return -EINVAL;
}

static const char *service_text(uint16_t service)
{
	return service == WP_SERVICE_MGMTD ? "mgmtd" : service == WP_SERVICE_META ? "meta" : "storage";
}

/* Unknown names are for newer programs of the same format: kept out of the way, not an error. */
static int handle(void *user, const char *section, const char *name, const char *value)
{
	struct reading *r = user;
	struct identity *id = &r->id;
	uint64_t v = 0;
	int err = 0;

	if (!strcmp(name, "format")) {
		err = parse_number(value, UINT32_MAX, &v);
		id->format = (uint32_t)v;
		r->has_format = true;
	} else if (!strcmp(name, "cluster")) {
		err = *value ? uuid_parse(value, &id->cluster) : 0;
	} else if (!strcmp(name, "uuid")) {
		err = uuid_parse(value, &id->uuid);
		r->has_uuid = true;
	} else if (!strcmp(name, "node")) {
		err = uuid_parse(value, &id->node);
	} else if (!strcmp(name, "service")) {
		err = parse_service(value);
		id->service = (uint16_t)(err < 0 ? 0 : err);
		r->has_service = true;
	} else if (!strcmp(name, "id")) {
		err = *value ? parse_number(value, UINT32_MAX - 1, &v) : 0;
		id->id = *value ? (uint32_t)v : WP_TARGET_NONE;
	} else if (!strcmp(name, "alias")) {
		err = str_copy(id->alias, sizeof(id->alias), value) ? 0 : -EINVAL;
	} else if (!strcmp(name, "backend")) {
		err = str_copy(id->backend, sizeof(id->backend), value) ? 0 : -EINVAL;
	} else if (!strcmp(name, "boot-epoch")) {
		err = parse_number(value, INT64_MAX, &id->boot_epoch);
	}
	r->bad |= err < 0;
	return 1;
}

int identity_read(const char *dir, struct identity *ret, char *why)
{
	cleanup_free char *path = xasprintf("%s/" TARGET_FILE, dir);
	struct reading r = { .id.id = WP_TARGET_NONE };
	FILE *f = fopen(path, "re");
	int line;

	if (!f && errno == ENOENT)
		return fail(why, -ENOENT, "%s is not a target folder: it has no file " TARGET_FILE ". --init makes a new target", dir);
	if (!f)
		return fail(why, -errno, "cannot read %s: %s", path, strerror(errno));
	line = ini_parse_file(f, handle, &r);
	fclose(f);
	if (r.has_format && r.id.format > TARGET_FORMAT) /* before anything else: the rest may mean something new */
		return fail(why, -WEFT_ENEWER, "%s has format %u, and this program knows formats up to %u: install a newer version of weft",
			    dir, r.id.format, TARGET_FORMAT);
	if (line || r.bad || !r.has_format || !r.has_uuid || !r.has_service || !r.id.format)
		return fail(why, -EINVAL, "%s is damaged%s: restore it from a copy", path, line > 0 ? " (not an INI file)" : "");
	*ret = r.id;
	return 0;
}

static int write_durably(const char *dir, const char *path, const char *tmp, const char *text)
{
	int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), r = 0;
	size_t len = strlen(text);

	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != (ssize_t)len || fsync(fd) < 0)
		r = errno ? -errno : -EIO;
	close(fd);
	if (!r && rename(tmp, path) < 0)
		r = -errno;
	if (r < 0) {
		unlink(tmp);
		return r;
	}
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

int identity_write(const char *dir, const struct identity *id, char *why)
{
	cleanup_free char *path = xasprintf("%s/" TARGET_FILE, dir), *tmp = xasprintf("%s.new", path), *text = NULL;
	char uuid[UUID_TEXT], cluster[UUID_TEXT] = "", node[UUID_TEXT + 8] = "", number[16] = "";
	int r;

	uuid_format(&id->uuid, uuid);
	if (!wp_uuid_is_zero(&id->cluster))
		uuid_format(&id->cluster, cluster);
	if (!wp_uuid_is_zero(&id->node)) {
		memcpy(node, "node = ", 7);
		uuid_format(&id->node, node + 7);
		strcat(node, "\n");
	}
	if (id->id != WP_TARGET_NONE)
		snprintf(number, sizeof(number), "%u", id->id);
	text = xasprintf("# Identity of a Weft target. Written by the daemon: do not edit, do not copy to another folder.\n[target]\n"
			 "format = %u\ncluster = %s\nuuid = %s\n%sservice = %s\nid = %s\nalias = %s\nbackend = %s\nboot-epoch = %" PRIu64
			 "\n",
			 id->format, cluster, uuid, node, service_text(id->service), number, id->alias, id->backend, id->boot_epoch);
	r = write_durably(dir, path, tmp, text);
	if (r < 0)
		return fail(why, r, "cannot write %s: %s", path, strerror(-r));
	return 0;
}

int identity_check(const char *dir, const struct identity *id, uint16_t service, const char *backend,
		   const struct wp_uuid *cluster, char *why)
{
	char theirs[UUID_TEXT], ours[UUID_TEXT];

	if (id->service != service)
		return fail(why, -EINVAL, "%s holds a %s target, not a %s target: name another folder", dir, service_text(id->service),
			    service_text(service));
	if (backend && strcmp(id->backend, backend))
		return fail(why, -EINVAL, "%s was made with --backend %s, not %s: give that, or name an empty folder", dir, id->backend,
			    backend);
	if (!wp_uuid_is_zero(cluster) && !wp_uuid_is_zero(&id->cluster) && !wp_uuid_eq(cluster, &id->cluster)) {
		uuid_format(&id->cluster, theirs);
		uuid_format(cluster, ours);
		return fail(why, -WEFT_EFOREIGN,
			    "%s belongs to cluster %s, and this is cluster %s: name the right folder, or the right management daemon with --mgmtd",
			    dir, theirs, ours);
	}
	return 0;
}

int identity_new(uint16_t service, const char *backend, struct identity *ret)
{
	*ret = (struct identity){ .format = TARGET_FORMAT, .service = service, .id = WP_TARGET_NONE };
	(void)str_copy(ret->backend, sizeof(ret->backend), backend);
	return uuid_random(&ret->uuid) < 0 || uuid_random(&ret->node) < 0 ? -EIO : 0;
}
