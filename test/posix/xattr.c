/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Extended attributes: namespaces, flags, sizes, lists, rights. */
#include "posix.h"

#include <sys/xattr.h>

static char big[65536 + 1], back[65536 + 1];
static size_t largest; /* value that the file system takes */

static bool listed(const char *path, const char *name)
{
	static char names[65536];
	ssize_t n = llistxattr(path, names, sizeof(names));

	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(names + i) + 1)
		if (!strcmp(names + i, name))
			return true;
	return false;
}

static void basics(const char *path)
{
	bad(ENODATA, getxattr(path, "user.a", back, sizeof(back)));
	bad(ENODATA, removexattr(path, "user.a"));
	good(setxattr(path, "user.a", "value", 5, 0));
	same(getxattr(path, "user.a", back, sizeof(back)), 5);
	must(!memcmp(back, "value", 5));
	same(getxattr(path, "user.a", NULL, 0), 5);
	bad(ERANGE, getxattr(path, "user.a", back, 4));
	must(listed(path, "user.a"));
	bad(EEXIST, setxattr(path, "user.a", "x", 1, XATTR_CREATE));
	good(setxattr(path, "user.a", "longer value", 12, XATTR_REPLACE));
	same(getxattr(path, "user.a", back, sizeof(back)), 12);
	bad(ENODATA, setxattr(path, "user.b", "x", 1, XATTR_REPLACE));
	good(setxattr(path, "user.b", "x", 1, XATTR_CREATE));
	bad(EINVAL, setxattr(path, "user.b", "x", 1, 8));
	good(setxattr(path, "user.empty", "", 0, 0));
	same(getxattr(path, "user.empty", back, sizeof(back)), 0);
	must(listed(path, "user.empty"));
	good(setxattr(path, "user.bin", "a\0b\0", 4, 0));
	same(getxattr(path, "user.bin", back, sizeof(back)), 4);
	must(!memcmp(back, "a\0b\0", 4));
	same(llistxattr(path, NULL, 0), llistxattr(path, back, sizeof(back)));
	bad(ERANGE, llistxattr(path, back, 3));
	good(removexattr(path, "user.a"));
	must(!listed(path, "user.a"));
	must(listed(path, "user.b"));
	bad(ENODATA, getxattr(path, "user.a", back, sizeof(back)));
	good(removexattr(path, "user.b"));
	good(removexattr(path, "user.bin"));
	good(removexattr(path, "user.empty"));
}

static void sizes(void)
{
	static const size_t all[] = { 1, 100, 1000, 2000, 3500, 4096, 16384, 65535, 65536 };

	px_fill(big, sizeof(big), 3);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (setxattr("f", "user.big", big, all[i], 0) < 0) {
			must(all[i] > 3000 && (errno == ENOSPC || errno == E2BIG));
			break;
		}
		largest = all[i];
		memset(back, 0, sizeof(back));
		same(getxattr("f", "user.big", back, sizeof(back)), all[i]);
		must(!memcmp(big, back, all[i]));
	}
	printf("# values up to %zu bytes\n", largest);
	bad(E2BIG, setxattr("f", "user.big", big, 65537, 0));
	same(getxattr("f", "user.big", back, sizeof(back)), largest); /* a failure changes nothing */
	must(!memcmp(big, back, largest));
	good(removexattr("f", "user.big"));
	section("sizes of values");
}

static void names(void)
{
	char name[300] = "user.";

	memset(name + 5, 'n', 250);
	good(setxattr("f", name, "1", 1, 0));
	must(listed("f", name));
	good(removexattr("f", name));
	name[255] = 'n';
	bad(ERANGE, setxattr("f", name, "1", 1, 0));
	bad(ERANGE, getxattr("f", name, back, 1));
	must(setxattr("f", "user.", "1", 1, 0) < 0 && (errno == EINVAL || errno == ERANGE));
	must(setxattr("f", "", "1", 1, 0) < 0 && (errno == ERANGE || errno == EINVAL));
	bad(EOPNOTSUPP, setxattr("f", "nonsense.x", "1", 1, 0));
	bad(EOPNOTSUPP, setxattr("f", "noprefix", "1", 1, 0));
	bad(EOPNOTSUPP, getxattr("f", "nonsense.x", back, 1));
	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "user.number.%d", i);
		good(setxattr("f", name, name, strlen(name), 0));
	}
	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "user.number.%d", i);
		same(getxattr("f", name, back, sizeof(back)), strlen(name));
		must(!memcmp(back, name, strlen(name)));
		must(listed("f", name));
		good(removexattr("f", name));
	}
	section("names");
}

static void namespaces(void)
{
	good(setxattr("f", "trusted.t", "1", 1, 0));
	must(listed("f", "trusted.t"));
	good(setxattr("f", "security.weft-test", "1", 1, 0));
	same(getxattr("f", "security.weft-test", back, 8), 1);
	AS (ALICE, ALICE) {
		must(!listed("f", "trusted.t"));
		bad(ENODATA, getxattr("f", "trusted.t", back, 8));
		bad(EPERM, setxattr("f", "trusted.t", "2", 1, 0));
		bad(EPERM, removexattr("f", "trusted.t"));
		same(getxattr("f", "security.weft-test", back, 8), 1); /* whoever sees the file */
		bad(EPERM, setxattr("f", "security.weft-test", "2", 1, 0));
	}
	good(removexattr("f", "trusted.t"));
	good(removexattr("f", "security.weft-test"));
	/* user attributes only on files and directories. */
	good(symlink("f", "l"));
	bad(EPERM, lsetxattr("l", "user.a", "1", 1, 0));
	good(lsetxattr("l", "trusted.a", "1", 1, 0));
	same(lgetxattr("l", "trusted.a", back, 8), 1);
	bad(ENODATA, getxattr("l", "trusted.a", back, 8)); /* follows */
	good(setxattr("l", "user.through", "1", 1, 0));
	must(listed("f", "user.through"));
	good(removexattr("l", "user.through"));
	good(unlink("l"));
	good(mkfifo("p", 0644));
	bad(EPERM, setxattr("p", "user.a", "1", 1, 0));
	good(setxattr("p", "trusted.a", "1", 1, 0));
	good(unlink("p"));
	section("namespaces");
}

static void rights(void)
{
	good(chown("f", ALICE, ALICE));
	good(setxattr("f", "user.a", "1", 1, 0));
	AS (BOB, BOB) {
		same(getxattr("f", "user.a", back, 8), 1);
		bad(EACCES, setxattr("f", "user.a", "2", 1, 0));
		bad(EACCES, removexattr("f", "user.a"));
	}
	good(chmod("f", 0600));
	AS (BOB, BOB) {
		bad(EACCES, getxattr("f", "user.a", back, 8));
	}
	good(chmod("f", 0666));
	AS (BOB, BOB)
		good(setxattr("f", "user.a", "2", 1, 0));
	good(chmod("f", 0444));
	AS (ALICE, ALICE) {
		bad(EACCES, setxattr("f", "user.a", "3", 1, 0));
		same(getxattr("f", "user.a", back, 8), 1);
	}
	good(chmod("f", 0644));
	/* In sticky folders of others, only the owner sets the folder's attributes. */
	good(mkdir("s", 01777));
	good(chmod("s", 01777));
	AS (ALICE, ALICE)
		bad(EPERM, setxattr("s", "user.a", "1", 1, 0));
	good(rmdir("s"));
	bad(ENOENT, setxattr("none", "user.a", "1", 1, 0));
	bad(ENOTDIR, setxattr("f/x", "user.a", "1", 1, 0));
	section("rights");
}

static void kept(void)
{
	int fd;

	good(setxattr("f", "user.keep", "kept", 4, 0));
	good(rename("f", "g"));
	same(getxattr("g", "user.keep", back, 8), 4);
	good(link("g", "f"));
	same(getxattr("f", "user.keep", back, 8), 4);
	good(unlink("g"));
	fd = (int)good(open("f", O_RDWR | O_TRUNC));
	same(fgetxattr(fd, "user.keep", back, 8), 4);
	good(fsetxattr(fd, "user.fd", "1", 1, 0));
	good(unlink("f"));
	same(fgetxattr(fd, "user.keep", back, 8), 4); /* also without a name */
	good(fsetxattr(fd, "user.late", "1", 1, 0));
	same(fgetxattr(fd, "user.late", back, 8), 1);
	good(fremovexattr(fd, "user.fd"));
	good(close(fd));
	put("f", "x", 0644);
	bad(ENODATA, getxattr("f", "user.keep", back, 8)); /* a new file */
	section("kept with the file");
}

int main(int argc, char **argv)
{
	px_start(argc, argv, "xattr");
	put("f", "x", 0644);
	if (setxattr("f", "user.probe", "1", 1, 0) < 0 && errno == EOPNOTSUPP) {
		px_end();
		skip_all("no user attributes here");
	}
	good(removexattr("f", "user.probe"));
	good(mkdir("d", 0755));
	basics("f");
	basics("d");
	section("basics, files and directories");
	sizes();
	names();
	namespaces();
	rights();
	kept();
	return px_end();
}
