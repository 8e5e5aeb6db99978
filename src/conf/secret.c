/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "conf/secret.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_BYTES 32u

__attribute__((format(printf, 4, 5))) static int fail(char *why, size_t why_size, int err, const char *fmt, ...)
{
	va_list ap;

	if (why && why_size) {
		va_start(ap, fmt);
		vsnprintf(why, why_size, fmt, ap);
		va_end(ap);
	}
	return err;
}

static int read_all(int fd, uint8_t *p, size_t size, size_t *ret)
{
	size_t len = 0;
	ssize_t n;

	while (len < size) {
		n = read(fd, p + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		len += (size_t)n;
	}
	*ret = len;
	return 0;
}

static int read_open(int fd, const char *path, uint8_t *secret, size_t *ret_len, char *why, size_t why_size)
{
	uint8_t buf[CONF_SECRET_MAX + 3]; /* "\r\n", and one more to notice that there is more */
	struct stat st;
	size_t len = 0;
	int r;

	if (fstat(fd, &st) < 0)
		return fail(why, why_size, -errno, "cannot examine %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(why, why_size, -EINVAL, "%s is not a regular file", path);
	if (st.st_mode & 077)
		return fail(why, why_size, -EACCES, "the secret %s can be read by others (mode %04o): run 'chmod 600 %s'", path,
			    (unsigned)(st.st_mode & 07777), path);
	r = read_all(fd, buf, sizeof(buf), &len);
	if (r < 0)
		return fail(why, why_size, r, "cannot read %s: %s", path, strerror(-r));
	if (len && buf[len - 1] == '\n')
		len--;
	if (len && buf[len - 1] == '\r')
		len--;
	if (len < CONF_SECRET_MIN || len > CONF_SECRET_MAX)
		return fail(why, why_size, -EINVAL, "the secret in %s is too %s: it must have %u to %u bytes", path,
			    len < CONF_SECRET_MIN ? "short" : "long", CONF_SECRET_MIN, CONF_SECRET_MAX);
	memcpy(secret, buf, len);
	explicit_bzero(buf, sizeof(buf));
	*ret_len = len;
	return 0;
}

int conf_secret_read(const char *path, uint8_t *secret, size_t *len, char *why, size_t why_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), r;

	if (fd < 0 && errno == ENOENT)
		return fail(why, why_size, -ENOENT,
			    "the secret file %s does not exist: copy it from another machine of the cluster", path);
	if (fd < 0 && errno == EACCES)
		return fail(why, why_size, -EACCES, "no right to read the secret %s: run as its owner or as root", path);
	if (fd < 0)
		return fail(why, why_size, -errno, "cannot open the secret %s: %s", path, strerror(errno));
	r = read_open(fd, path, secret, len, why, why_size);
	close(fd);
	return r;
}

int conf_secret_create(const char *path)
{
	uint8_t raw[SECRET_BYTES];
	char text[2 * SECRET_BYTES + 2];
	int fd, r = 0;

	if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw))
		return -EIO;
	for (size_t i = 0; i < sizeof(raw); i++)
		snprintf(text + 2 * i, 3, "%02x", raw[i]);
	text[2 * SECRET_BYTES] = '\n';
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0600) < 0 || write(fd, text, 2 * SECRET_BYTES + 1) != 2 * SECRET_BYTES + 1 || fsync(fd) < 0)
		r = errno ? -errno : -EIO;
	close(fd);
	if (r < 0)
		unlink(path);
	explicit_bzero(raw, sizeof(raw));
	explicit_bzero(text, sizeof(text));
	return r;
}
