/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* link, unlink, symlink, readlink. */
#include "posix.h"

static void hard(void)
{
	struct stat a, b;

	put("a", "text", 0640);
	good(link("a", "b"));
	a = st_of("a");
	b = st_of("b");
	same(a.st_ino, b.st_ino);
	same(a.st_nlink, 2);
	same(b.st_nlink, 2);
	must(holds("b", "text"));
	put("b", "other", 0640);
	must(holds("a", "other"));
	good(chmod("b", 0604));
	same(mode_of("a"), 0604);
	good(chown("b", ALICE, BOB));
	same(st_of("a").st_uid, ALICE);
	good(mkdir("d", 0755));
	good(link("a", "d/c"));
	same(st_of("b").st_nlink, 3);
	good(unlink("a"));
	same(st_of("b").st_nlink, 2);
	must(holds("b", "other"));
	must(holds("d/c", "other"));
	good(unlink("b"));
	same(st_of("d/c").st_nlink, 1);
	good(unlink("d/c"));
	bad(ENOENT, open("d/c", O_RDONLY));
	good(rmdir("d"));
	section("hard links");
}

static void many(void)
{
	char name[32];

	put("a", "many", 0644);
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		good(link(i ? "l0" : "a", name));
		same(st_of("a").st_nlink, i + 2);
	}
	good(unlink("a"));
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		same(st_of(name).st_nlink, 300 - i);
		must(holds(name, "many"));
		good(unlink(name));
	}
	section("many links");
}

static void link_errors(void)
{
	put("f", "x", 0644);
	put("g", "y", 0644);
	good(mkdir("d", 0755));
	good(symlink("f", "l"));
	good(symlink("none", "dangling"));
	bad(EEXIST, link("f", "g"));
	bad(EEXIST, link("f", "d"));
	bad(EEXIST, link("f", "l"));
	bad(EEXIST, link("f", "f"));
	bad(EEXIST, link("f", "dangling"));
	bad(ENOENT, link("none", "x"));
	bad(ENOENT, link("f", "none/x"));
	bad(ENOENT, link("", "x"));
	bad(ENOENT, link("f", ""));
	bad(ENOTDIR, link("f/x", "x"));
	bad(ENOTDIR, link("f", "g/x"));
	bad(EPERM, link("d", "x"));
	bad(ENAMETOOLONG, link("f", NAME256));
	bad(ENAMETOOLONG, link(NAME256, "x"));
	good(link("l", "l2")); /* Linux: of the symbolic link itself */
	must(S_ISLNK(st_of("l2").st_mode));
	same(st_of("l").st_nlink, 2);
	good(linkat(AT_FDCWD, "l", AT_FDCWD, "f2", AT_SYMLINK_FOLLOW));
	same(st_of("f").st_nlink, 2);
	bad(ENOENT, linkat(AT_FDCWD, "dangling", AT_FDCWD, "x", AT_SYMLINK_FOLLOW));
	good(link("dangling", "dangling2"));
	good(mkfifo("fifo", 0644));
	good(link("fifo", "fifo2"));
	must(S_ISFIFO(st_of("fifo2").st_mode));
	good(chown("f", ALICE, ALICE)); /* of files of others, fs.protected_hardlinks may have its own opinion */
	AS (ALICE, ALICE)
		bad(EACCES, link("f", "x"));
	for (const char *const *p =
		     (const char *const[]){ "f", "f2", "g", "l", "l2", "dangling", "dangling2", "fifo", "fifo2", NULL };
	     *p; p++)
		good(unlink(*p));
	good(rmdir("d"));
	section("link: errors and special files");
}

static void unlinking(void)
{
	put("f", "x", 0644);
	good(mkdir("d", 0755));
	bad(ENOENT, unlink("none"));
	bad(ENOENT, unlink(""));
	bad(ENOENT, unlink("none/f"));
	bad(ENOTDIR, unlink("f/x"));
	bad(ENOTDIR, unlink("f/"));
	bad(EISDIR, unlink("d"));
	bad(ENAMETOOLONG, unlink(NAME256));
	good(symlink("f", "l"));
	good(unlink("l"));
	must(holds("f", "x"));
	good(symlink("d", "l"));
	bad(ENOTDIR, unlink("l/"));
	good(unlink("l"));
	put("d/f", "x", 0644);
	AS (ALICE, ALICE) {
		bad(EACCES, unlink("d/f"));
		bad(EACCES, unlink("f"));
	}
	good(chown("d", ALICE, ALICE));
	AS (ALICE, ALICE)
		good(unlink("d/f")); /* the folder's right counts */
	put("d/f", "x", 0000);
	good(chmod("d", 0600));
	AS (ALICE, ALICE)
		bad(EACCES, unlink("d/f"));
	good(unlink("d/f"));
	good(rmdir("d"));
	good(unlink("f"));
	bad(ENOENT, unlink("f"));
	section("unlink");
}

static void soft(void)
{
	static char target[PATH_MAX + 1], buf[PATH_MAX + 1];
	const int lengths[] = { 1, 2, 59, 60, 61, 100, 255, 256, 1000, 4000, 4094, 4095 };

	memset(target, 'x', sizeof(target));
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		int n = lengths[i];

		target[n] = '\0';
		if (symlink(target, "l") < 0 && errno == ENAMETOOLONG && n > 4090) {
			printf("# no symbolic links of %d bytes\n", n);
		} else {
			same(st_of("l").st_size, n);
			must(S_ISLNK(st_of("l").st_mode));
			same(mode_of("l"), 0777);
			same(readlink("l", buf, sizeof(buf)), n);
			must(!memcmp(buf, target, (size_t)n));
			good(unlink("l"));
		}
		target[n] = 'x';
	}
	target[4096] = '\0';
	bad(ENAMETOOLONG, symlink(target, "l"));
	bad(ENOENT, symlink("", "l"));
	bad(ENOENT, symlink("x", ""));
	bad(ENAMETOOLONG, symlink("x", NAME256));
	good(symlink("x", NAME255));
	good(unlink(NAME255));
	put("f", "inside", 0644);
	bad(EEXIST, symlink("x", "f"));
	bad(EEXIST, symlink("x", "."));
	bad(ENOTDIR, symlink("x", "f/l"));
	bad(ENOENT, symlink("x", "none/l"));
	good(symlink("f", "l"));
	bad(EEXIST, symlink("y", "l"));
	must(holds("l", "inside"));
	memset(buf, 0, 8);
	same(readlink("l", buf, 8), 1);
	bad(EINVAL, readlink("l", buf, 0));
	bad(EINVAL, readlink("f", buf, 8));
	bad(EINVAL, readlink(".", buf, 8));
	bad(ENOENT, readlink("none", buf, 8));
	good(unlink("l"));
	good(symlink("/abs/../olute//path", "l"));
	same(readlink("l", buf, 4), 4); /* cut without a word */
	must(!memcmp(buf, "/abs", 4));
	same(readlink("l", buf, sizeof(buf)), 19);
	AS (ALICE, ALICE) {
		bad(EACCES, symlink("x", "y"));
		same(readlink("l", buf, sizeof(buf)), 19);
	}
	good(unlink("l"));
	good(unlink("f"));
	section("symlink and readlink");
}

static void chains(void)
{
	char name[32], target[32];

	put("c0", "end", 0644);
	for (int i = 1; i <= 45; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		snprintf(target, sizeof(target), "c%d", i - 1);
		good(symlink(target, name));
	}
	must(holds("c40", "end"));
	bad(ELOOP, open("c41", O_RDONLY));
	for (int i = 0; i <= 45; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		good(unlink(name));
	}
	good(mkdir("d", 0755));
	good(symlink("../d", "d/up"));
	put("d/f", "way", 0644);
	must(holds("d/up/up/up/up/f", "way"));
	good(unlink("d/f"));
	good(unlink("d/up"));
	good(rmdir("d"));
	section("chains of symbolic links");
}

static void owner_of_link(void)
{
	good(symlink("none", "l"));
	good(lchown("l", ALICE, BOB));
	same(st_of("l").st_uid, ALICE);
	same(st_of("l").st_gid, BOB);
	bad(ENOENT, chown("l", 1, 1));
	good(unlink("l"));
	good(mkdir("d", 0777));
	good(chmod("d", 0777));
	AS (ALICE, CAROL) {
		good(symlink("none", "d/l"));
		same(st_of("d/l").st_uid, ALICE);
		same(st_of("d/l").st_gid, CAROL);
	}
	good(unlink("d/l"));
	good(rmdir("d"));
	section("owners of symbolic links");
}

static void name_fight(void *arg)
{
	char mine[32];

	snprintf(mine, sizeof(mine), "own.%d", (int)getpid());
	put(mine, "x", 0644);
	for (int i = 0; i < 300; i++) {
		if (link(mine, "target") < 0)
			must(errno == EEXIST);
		else
			same(unlink("target"), 0); /* only the winner removes: it must be there */
	}
	same(st_of(mine).st_nlink, 1);
	good(unlink(mine));
}

int main(int argc, char **argv)
{
	pid_t a, b;

	px_start(argc, argv, "links");
	hard();
	many();
	link_errors();
	unlinking();
	soft();
	chains();
	owner_of_link();
	a = px_spawn(name_fight, NULL);
	b = px_spawn(name_fight, NULL);
	px_wait(a);
	px_wait(b);
	section("two processes lock by link");
	return px_end();
}
