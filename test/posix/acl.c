/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* POSIX access control lists, in the binary form of system.posix_acl_access and system.posix_acl_default. */
#include "posix.h"

#include <endian.h>
#include <sys/xattr.h>

#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"
#define NO_ID 0xffffffffu

enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32 };

struct entry {
	uint16_t tag, perm;
	uint32_t id;
};

struct acl {
	uint32_t version;
	struct entry e[16];
};

static size_t build(struct acl *a, const struct entry *e, size_t n)
{
	a->version = htole32(2);
	for (size_t i = 0; i < n; i++)
		a->e[i] = (struct entry){ htole16(e[i].tag), htole16(e[i].perm), htole32(e[i].id) };
	return 4 + n * sizeof(*e);
}

static int set_acl(const char *path, const char *kind, const struct entry *e, size_t n)
{
	struct acl a;
	size_t len = build(&a, e, n);

	return setxattr(path, kind, &a, len, 0);
}

#define SET(path, kind, ...)                                                                                                   \
	set_acl(path, kind, (const struct entry[]){ __VA_ARGS__ },                                                             \
		sizeof((const struct entry[]){ __VA_ARGS__ }) / sizeof(struct entry))

/* Number of entries, 0 when there is no list. */
static int get_acl(const char *path, const char *kind, struct acl *a)
{
	ssize_t n = getxattr(path, kind, a, sizeof(*a));

	if (n < 0) {
		must(errno == ENODATA);
		return 0;
	}
	same(le32toh(a->version), 2);
	return (int)((size_t)n - 4) / (int)sizeof(struct entry);
}

static bool has(const struct acl *a, int n, uint16_t tag, uint32_t id, uint16_t perm)
{
	for (int i = 0; i < n; i++)
		if (le16toh(a->e[i].tag) == tag && (id == NO_ID || le32toh(a->e[i].id) == id))
			return le16toh(a->e[i].perm) == perm;
	return false;
}

static bool may(const char *path, int flags)
{
	int fd = open(path, flags);

	if (fd >= 0)
		close(fd);
	else
		must(errno == EACCES);
	return fd >= 0;
}

static void access_list(void)
{
	struct acl a;
	int n;

	put("f", "x", 0640);
	good(chown("f", ALICE, TEAM));
	same(get_acl("f", ACCESS, &a), 0);
	good(SET("f", ACCESS, { USER_OBJ, 6, NO_ID }, { USER, 4, BOB }, { USER, 6, CAROL }, { GROUP_OBJ, 4, NO_ID },
		 { GROUP, 2, GUILD }, { MASK, 6, NO_ID }, { OTHER, 0, NO_ID }));
	n = get_acl("f", ACCESS, &a);
	same(n, 7);
	must(has(&a, n, USER, BOB, 4));
	must(has(&a, n, USER, CAROL, 6));
	must(has(&a, n, GROUP, GUILD, 2));
	must(has(&a, n, MASK, NO_ID, 6));
	same(mode_of("f"), 0660); /* the group bits show the mask */
	AS (BOB, BOB) {
		must(may("f", O_RDONLY));
		must(!may("f", O_WRONLY));
	}
	AS (CAROL, CAROL)
		must(may("f", O_RDWR));
	AS (65000, GUILD) {
		must(!may("f", O_RDONLY));
		must(may("f", O_WRONLY));
	}
	AS_GROUPS (65000, 65000, GUILD, TEAM) {
		must(may("f", O_RDONLY)); /* one entry each */
		must(may("f", O_WRONLY));
		must(!may("f", O_RDWR)); /* none gives both */
	}
	AS_GROUPS (BOB, BOB, GUILD)
		must(!may("f", O_WRONLY)); /* a user's entry ends the search */
	AS (65000, 65000)
		must(!may("f", O_RDONLY));
	section("who gets what");

	good(chmod("f", 0600)); /* sets the mask */
	n = get_acl("f", ACCESS, &a);
	must(has(&a, n, MASK, NO_ID, 0));
	must(has(&a, n, GROUP_OBJ, NO_ID, 4));
	must(has(&a, n, USER, CAROL, 6));
	AS (CAROL, CAROL)
		must(!may("f", O_RDONLY));
	good(chmod("f", 0644));
	n = get_acl("f", ACCESS, &a);
	must(has(&a, n, MASK, NO_ID, 4));
	must(has(&a, n, OTHER, NO_ID, 4));
	AS (CAROL, CAROL) {
		must(may("f", O_RDONLY));
		must(!may("f", O_WRONLY));
	}
	/* A list that says no more than mode bits is gone. */
	good(SET("f", ACCESS, { USER_OBJ, 7, NO_ID }, { GROUP_OBJ, 5, NO_ID }, { OTHER, 1, NO_ID }));
	same(mode_of("f"), 0751);
	same(get_acl("f", ACCESS, &a), 0);
	good(SET("f", ACCESS, { USER_OBJ, 6, NO_ID }, { USER, 4, BOB }, { GROUP_OBJ, 0, NO_ID }, { MASK, 4, NO_ID },
		 { OTHER, 0, NO_ID }));
	good(removexattr("f", ACCESS));
	same(get_acl("f", ACCESS, &a), 0);
	AS (BOB, BOB)
		must(!may("f", O_WRONLY));
	good(unlink("f"));
	section("chmod and lists");
}

static void errors(void)
{
	struct acl a = { .version = htole32(2) };
	size_t len;

	put("f", "x", 0644);
	good(chown("f", ALICE, ALICE));
	bad(EINVAL, SET("f", ACCESS, { USER_OBJ, 6, NO_ID }, { USER, 4, BOB }, { GROUP_OBJ, 4, NO_ID },
			{ OTHER, 0, NO_ID }));								     /* no mask */
	bad(EINVAL, SET("f", ACCESS, { USER_OBJ, 6, NO_ID }, { GROUP_OBJ, 4, NO_ID }));			     /* no others */
	bad(EINVAL, SET("f", ACCESS, { GROUP_OBJ, 4, NO_ID }, { USER_OBJ, 6, NO_ID }, { OTHER, 0, NO_ID })); /* order */
	bad(EINVAL, SET("f", ACCESS, { USER_OBJ, 8, NO_ID }, { GROUP_OBJ, 4, NO_ID }, { OTHER, 0, NO_ID }));
	bad(EINVAL, SET("f", ACCESS, { USER_OBJ, 6, NO_ID }, { 64, 4, BOB }, { GROUP_OBJ, 4, NO_ID }, { MASK, 4, NO_ID },
			{ OTHER, 0, NO_ID }));
	bad(EINVAL, setxattr("f", ACCESS, &a, 7, 0));
	len = build(&a, (const struct entry[]){ { USER_OBJ, 6, NO_ID }, { GROUP_OBJ, 4, NO_ID }, { OTHER, 0, NO_ID } }, 3);
	a.version = htole32(1);
	bad(EOPNOTSUPP, setxattr("f", ACCESS, &a, len, 0));
	AS (BOB, BOB)
		bad(EPERM, SET("f", ACCESS, { USER_OBJ, 7, NO_ID }, { GROUP_OBJ, 7, NO_ID }, { OTHER, 7, NO_ID }));
	AS (ALICE, ALICE)
		good(SET("f", ACCESS, { USER_OBJ, 6, NO_ID }, { GROUP_OBJ, 4, NO_ID }, { OTHER, 4, NO_ID }));
	bad(EACCES,
	    SET("f", DEFAULT, { USER_OBJ, 6, NO_ID }, { GROUP_OBJ, 4, NO_ID }, { OTHER, 4, NO_ID })); /* only directories */
	bad(ENODATA, getxattr("f", ACCESS, &a, sizeof(a)));
	good(unlink("f"));
	section("errors");
}

/* New files take the folder's default list instead of the umask; folders pass it on. */
static void inheritance(void)
{
	struct acl a;
	int n, fd;

	good(mkdir("d", 0777));
	good(chmod("d", 0777));
	good(SET("d", DEFAULT, { USER_OBJ, 7, NO_ID }, { USER, 6, BOB }, { GROUP_OBJ, 5, NO_ID }, { MASK, 7, NO_ID },
		 { OTHER, 4, NO_ID }));
	same(mode_of("d"), 0777); /* not touched by the default list */
	umask(077);		  /* must not count below */
	fd = (int)good(open("d/f", O_CREAT | O_EXCL | O_RDWR, 0666));
	good(close(fd));
	n = get_acl("d/f", ACCESS, &a);
	same(n, 5);
	must(has(&a, n, USER_OBJ, NO_ID, 6));
	must(has(&a, n, USER, BOB, 6));
	must(has(&a, n, GROUP_OBJ, NO_ID, 5));
	must(has(&a, n, MASK, NO_ID, 6)); /* cut by the mode that was asked for */
	must(has(&a, n, OTHER, NO_ID, 4));
	same(mode_of("d/f"), 0664);
	same(get_acl("d/f", DEFAULT, &a), 0);
	AS (BOB, BOB)
		must(may("d/f", O_RDWR));
	good(mkdir("d/sub", 0755));
	n = get_acl("d/sub", DEFAULT, &a);
	same(n, 5);
	n = get_acl("d/sub", ACCESS, &a);
	must(has(&a, n, MASK, NO_ID, 5));
	must(has(&a, n, OTHER, NO_ID, 4));
	same(mode_of("d/sub"), 0754);
	fd = (int)good(open("d/sub/g", O_CREAT | O_EXCL | O_RDWR, 0600));
	good(close(fd));
	n = get_acl("d/sub/g", ACCESS, &a);
	must(has(&a, n, MASK, NO_ID, 0));
	same(mode_of("d/sub/g"), 0600);
	AS (BOB, BOB)
		must(!may("d/sub/g", O_RDONLY));
	good(mkfifo("d/p", 0666));
	same(get_acl("d/p", ACCESS, &a), 5);
	same(mode_of("d/p"), 0664);
	good(symlink("x", "d/l"));
	same(mode_of("d/l"), 0777);
	/* A default list without more than the three classes. */
	good(SET("d/sub", DEFAULT, { USER_OBJ, 7, NO_ID }, { GROUP_OBJ, 7, NO_ID }, { OTHER, 5, NO_ID }));
	fd = (int)good(open("d/sub/h", O_CREAT | O_EXCL | O_RDWR, 0777));
	good(close(fd));
	same(mode_of("d/sub/h"), 0775);
	same(get_acl("d/sub/h", ACCESS, &a), 0);
	/* Gone: the umask counts again. */
	good(removexattr("d/sub", DEFAULT));
	fd = (int)good(open("d/sub/i", O_CREAT | O_EXCL | O_RDWR, 0777));
	good(close(fd));
	same(mode_of("d/sub/i"), 0700);
	umask(022);
	px_clear("d");
	section("default lists and umask");
}

static void moves_with_the_file(void)
{
	struct acl a;
	char names[256];
	ssize_t n;
	bool found = false;

	put("f", "x", 0600);
	good(SET("f", ACCESS, { USER_OBJ, 6, NO_ID }, { USER, 4, BOB }, { GROUP_OBJ, 0, NO_ID }, { MASK, 4, NO_ID },
		 { OTHER, 0, NO_ID }));
	n = good(listxattr("f", names, sizeof(names)));
	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(names + i) + 1)
		found |= !strcmp(names + i, ACCESS);
	must(found);
	good(rename("f", "g"));
	same(get_acl("g", ACCESS, &a), 5);
	good(link("g", "h"));
	same(get_acl("h", ACCESS, &a), 5);
	AS (BOB, BOB)
		must(may("h", O_RDONLY));
	good(chown("g", BOB, BOB));
	same(get_acl("g", ACCESS, &a), 5);
	good(unlink("g"));
	good(unlink("h"));
	section("listed, kept by rename, link, chown");
}

int main(int argc, char **argv)
{
	px_start(argc, argv, "acl");
	put("probe", "x", 0644);
	if (SET("probe", ACCESS, { USER_OBJ, 6, NO_ID }, { GROUP_OBJ, 4, NO_ID }, { OTHER, 4, NO_ID }) < 0 &&
	    errno == EOPNOTSUPP) {
		px_end();
		skip_all("no access control lists here");
	}
	good(unlink("probe"));
	access_list();
	errors();
	inheritance();
	moves_with_the_file();
	return px_end();
}
