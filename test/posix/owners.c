/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* chmod and chown: who may, and when set-id bits go. */
#include "posix.h"

static void modes(void)
{
	int fd;

	put("f", "x", 0644);
	good(mkdir("d", 0755));
	for (mode_t m = 0; m <= 07777; m++) {
		if (m % 61 && m & 0777)
			continue;
		good(chmod("f", m));
		same(mode_of("f"), m);
		good(chmod("d", m));
		same(mode_of("d"), m);
	}
	fd = (int)good(open("f", O_RDONLY));
	good(fchmod(fd, 0123));
	same(mode_of("f"), 0123);
	good(close(fd));
	good(fchmodat(AT_FDCWD, "f", 0321, 0));
	same(mode_of("f"), 0321);
	good(chmod("f", 0644 | S_IFDIR)); /* type bits are ignored */
	must(S_ISREG(st_of("f").st_mode));
	bad(ENOENT, chmod("none", 0644));
	bad(ENOTDIR, chmod("f/x", 0644));
	bad(ENAMETOOLONG, chmod(NAME256, 0644));
	good(symlink("f", "l"));
	good(chmod("l", 0600)); /* what it points to */
	same(mode_of("f"), 0600);
	same(mode_of("l"), 0777);
	good(unlink("l"));
	good(symlink("none", "l"));
	bad(ENOENT, chmod("l", 0600));
	good(unlink("l"));
	good(rmdir("d"));
	section("chmod");

	good(chown("f", ALICE, TEAM));
	AS (BOB, TEAM)
		bad(EPERM, chmod("f", 0666));
	AS_GROUPS (ALICE, ALICE, TEAM) {
		good(chmod("f", 0666));
		good(chmod("f", 02755)); /* member of the group: set-gid stays */
		same(mode_of("f"), 02755);
		good(chmod("f", 04755));
		same(mode_of("f"), 04755);
		good(chmod("f", 01755)); /* sticky on files is only a bit on Linux */
		must((mode_of("f") & 06777) == 0755);
	}
	AS (ALICE, ALICE) {
		good(chmod("f", 02755)); /* not a member: dropped without a word */
		same(mode_of("f"), 0755);
		good(chmod("f", 06755));
		same(mode_of("f"), 04755);
	}
	good(chmod("f", 06755));
	same(mode_of("f"), 06755);
	good(unlink("f"));
	section("chmod: who may");
}

static void owners(void)
{
	put("f", "x", 0644);
	good(chown("f", ALICE, BOB));
	same(st_of("f").st_uid, ALICE);
	same(st_of("f").st_gid, BOB);
	good(chown("f", (uid_t)-1, TEAM));
	same(st_of("f").st_uid, ALICE);
	same(st_of("f").st_gid, TEAM);
	good(chown("f", CAROL, (gid_t)-1));
	same(st_of("f").st_uid, CAROL);
	same(st_of("f").st_gid, TEAM);
	good(chown("f", (uid_t)-1, (gid_t)-1));
	good(chown("f", 0xfffffffeu, 0xfffffffeu)); /* 32 bits */
	same(st_of("f").st_uid, 0xfffffffeu);
	same(st_of("f").st_gid, 0xfffffffeu);
	bad(ENOENT, chown("none", 1, 1));
	bad(ENOTDIR, chown("f/x", 1, 1));
	good(symlink("f", "l"));
	good(chown("l", ALICE, ALICE));
	same(st_of("f").st_uid, ALICE);
	same(st_of("l").st_uid, 0);
	good(lchown("l", BOB, BOB));
	same(st_of("f").st_uid, ALICE);
	same(st_of("l").st_uid, BOB);
	good(unlink("l"));
	section("chown");

	AS (ALICE, ALICE) {
		bad(EPERM, chown("f", BOB, (gid_t)-1));
		bad(EPERM, chown("f", (uid_t)-1, TEAM));
		good(chown("f", ALICE, ALICE)); /* no change */
		good(chown("f", (uid_t)-1, ALICE));
	}
	AS_GROUPS (ALICE, ALICE, TEAM, GUILD) {
		good(chown("f", (uid_t)-1, GUILD));
		same(st_of("f").st_gid, GUILD);
		good(chown("f", ALICE, TEAM));
		same(st_of("f").st_gid, TEAM);
		bad(EPERM, chown("f", BOB, TEAM));
		bad(EPERM, chown("f", (uid_t)-1, CAROL));
	}
	AS_GROUPS (BOB, BOB, TEAM, GUILD) {
		bad(EPERM, chown("f", (uid_t)-1, GUILD)); /* not the owner */
		bad(EPERM, chown("f", BOB, (gid_t)-1));
	}
	good(unlink("f"));
	section("chown: who may");
}

static void set_id_by_chown(void)
{
	const struct {
		mode_t before, after;
	} rows[] = { { 06755, 0755 }, { 04755, 0755 }, { 02755, 0755 }, { 06711, 0711 }, { 02644, 02644 }, { 04644, 0644 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		put("f", "x", 0644);
		good(chown("f", ALICE, TEAM));
		good(chmod("f", rows[i].before));
		AS_GROUPS (ALICE, ALICE, TEAM, GUILD)
			good(chown("f", (uid_t)-1, GUILD));
		same(mode_of("f"), rows[i].after);
		/* Also when root does it, and when nothing changes (Linux). */
		good(chmod("f", rows[i].before));
		good(chown("f", BOB, TEAM));
		same(mode_of("f"), rows[i].after);
		good(unlink("f"));
	}
	good(mkdir("d", 0755));
	good(chmod("d", 06755));
	good(chown("d", ALICE, TEAM)); /* directories keep theirs */
	same(mode_of("d"), 06755);
	good(rmdir("d"));
	section("set-id bits and chown");
}

static void write_one(void)
{
	int fd = (int)good(open("f", O_WRONLY));

	same(write(fd, "y", 1), 1);
	good(close(fd));
}

static void truncate_one(void) { good(truncate("f", 1)); }

static void ftruncate_one(void)
{
	int fd = (int)good(open("f", O_WRONLY));

	good(ftruncate(fd, 0));
	good(close(fd));
}

static void open_trunc(void) { good(close((int)good(open("f", O_WRONLY | O_TRUNC)))); }

static void append_one(void)
{
	int fd = (int)good(open("f", O_WRONLY | O_APPEND));

	same(write(fd, "yyy", 3), 3);
	good(close(fd));
}

/* A write by somebody without CAP_FSETID takes set-uid, and set-gid of files that the group may execute. */
static void set_id_by_data(void)
{
	static void (*const ways[])(void) = { write_one, truncate_one, ftruncate_one, open_trunc, append_one };
	static const char *const names[] = { "write", "truncate", "ftruncate", "O_TRUNC", "append" };

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		put("f", "xxx", 0644);
		good(chown("f", ALICE, TEAM));
		good(chmod("f", 06777));
		AS (BOB, BOB)
			ways[i]();
		if (!same(mode_of("f"), 0777))
			printf("# by %s, group may execute\n", names[i]);
		good(chmod("f", 06766));
		AS (BOB, BOB)
			ways[i]();
		/* Without group execute the set-gid bit is no privilege: Linux keeps it, or not (since 5.19: not in the group). */
		if (!must(!(mode_of("f") & 04000)))
			printf("# by %s, no group execute\n", names[i]);
		good(chmod("f", 04755));
		AS (ALICE, ALICE)
			ways[i](); /* the owner as well */
		if (!same(mode_of("f"), 0755))
			printf("# by %s as the owner\n", names[i]);
		good(chmod("f", 06777));
		ways[i](); /* root keeps them */
		if (!same(mode_of("f"), 06777))
			printf("# by %s as root\n", names[i]);
		good(unlink("f"));
	}
	section("set-id bits and data");
}

static void own_create(void)
{
	int fd;

	good(mkdir("d", 0777));
	good(chmod("d", 0777));
	AS_GROUPS (ALICE, TEAM, GUILD) {
		fd = (int)good(open("d/f", O_CREAT | O_EXCL | O_RDWR, 06755));
		same(mode_of("d/f"), 06755);
		same(st_of("d/f").st_uid, ALICE);
		same(st_of("d/f").st_gid, TEAM);
		good(close(fd));
	}
	good(unlink("d/f"));
	good(rmdir("d"));
	section("set-id at creation");
}

int main(int argc, char **argv)
{
	px_start(argc, argv, "owners");
	modes();
	owners();
	set_id_by_chown();
	set_id_by_data();
	own_create();
	return px_end();
}
