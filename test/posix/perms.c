/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Permission bits by class, supplementary groups, sticky and set-gid directories, access(2). */
#include "posix.h"

#include <grp.h>
#include <sys/wait.h>

/* What `bits` (rwx) allow on a file, tried by opening. */
static void try_file(mode_t bits)
{
	int fd = open("d/f", O_RDONLY);

	must((fd >= 0) == !!(bits & 4));
	if (fd >= 0)
		close(fd);
	fd = open("d/f", O_WRONLY);
	must((fd >= 0) == !!(bits & 2));
	if (fd >= 0)
		close(fd);
	fd = open("d/f", O_RDWR);
	must((fd >= 0) == ((bits & 6) == 6));
	if (fd >= 0)
		close(fd);
	must((faccessat(AT_FDCWD, "d/f", R_OK, AT_EACCESS) == 0) == !!(bits & 4));
	must((faccessat(AT_FDCWD, "d/f", W_OK, AT_EACCESS) == 0) == !!(bits & 2));
	must((faccessat(AT_FDCWD, "d/f", X_OK, AT_EACCESS) == 0) == !!(bits & 1));
	good(faccessat(AT_FDCWD, "d/f", F_OK, AT_EACCESS));
}

static void try_dir(mode_t bits)
{
	DIR *d = opendir("d");
	struct stat st;

	must((d != NULL) == !!(bits & 4));
	if (d)
		closedir(d);
	must((stat("d/f", &st) == 0) == !!(bits & 1));
	if (open("d/new", O_CREAT | O_EXCL | O_WRONLY, 0600) >= 0) {
		must((bits & 3) == 3);
		good(unlink("d/new"));
	} else {
		must((bits & 3) != 3 && errno == EACCES);
	}
	must((chdir("d") == 0) == !!(bits & 1));
}

static void classes(void)
{
	int home = (int)good(open(".", O_RDONLY | O_DIRECTORY));

	good(mkdir("d", 0755));
	put("d/f", "x", 0644);
	good(chown("d/f", ALICE, TEAM));
	for (mode_t bits = 0; bits < 8; bits++) {
		mode_t others = 7 & ~bits;

		good(chmod("d/f", (bits << 6) | (others << 3) | others)); /* only the first class that fits counts */
		AS_GROUPS (ALICE, ALICE, TEAM)
			try_file(bits);
		good(chmod("d/f", (others << 6) | (bits << 3) | others));
		AS (BOB, TEAM)
			try_file(bits);
		AS_GROUPS (BOB, BOB, GUILD, TEAM)
			try_file(bits);
		good(chmod("d/f", (others << 6) | (others << 3) | bits));
		AS_GROUPS (BOB, BOB, GUILD)
			try_file(bits);
	}
	section("files: owner, group, others");
	good(chown("d", ALICE, TEAM));
	for (mode_t bits = 0; bits < 8; bits++) {
		mode_t others = 7 & ~bits;

		good(chmod("d", (bits << 6) | (others << 3) | others));
		AS_GROUPS (ALICE, ALICE, TEAM)
			try_dir(bits);
		good(fchdir(home));
		good(chmod("d", (others << 6) | (bits << 3) | others));
		AS_GROUPS (BOB, BOB, GUILD, TEAM)
			try_dir(bits);
		good(fchdir(home));
		good(chmod("d", (others << 6) | (others << 3) | bits));
		AS (BOB, BOB)
			try_dir(bits);
		good(fchdir(home));
	}
	close(home);
	good(unlink("d/f"));
	good(rmdir("d"));
	section("directories: owner, group, others");
}

static void root_may(void)
{
	put("f", "x", 0000);
	good(close((int)good(open("f", O_RDWR))));
	bad(EACCES, access("f", X_OK)); /* execute needs at least one x */
	good(chmod("f", 0001));
	good(access("f", X_OK));
	good(mkdir("d", 0000));
	good(access("d", R_OK | W_OK | X_OK));
	good(close((int)good(open("d/f", O_CREAT | O_RDWR, 0644))));
	good(unlink("d/f"));
	good(rmdir("d"));
	good(unlink("f"));
	section("root");
}

static void path_search(void)
{
	good(mkdir("a", 0755));
	good(mkdir("a/b", 0755));
	good(mkdir("a/b/c", 0777));
	put("a/b/c/f", "x", 0666);
	AS (ALICE, ALICE)
		must(holds("a/b/c/f", "x"));
	good(chmod("a/b", 0744));
	AS (ALICE, ALICE) {
		struct stat st;

		bad(EACCES, stat("a/b/c/f", &st));
		bad(EACCES, open("a/b/c/f", O_RDONLY));
		bad(EACCES, stat("a/b/c", &st));
		bad(EACCES, stat("a/b/none", &st)); /* also whether it is there */
		bad(EACCES, mkdir("a/b/c/d", 0755));
		bad(EACCES, rename("a/b/c/f", "a/b/c/g"));
		bad(EACCES, chdir("a/b"));
		bad(EACCES, truncate("a/b/c/f", 0));
		bad(EACCES, unlink("a/b/c/f"));
		bad(EACCES, link("a/b/c/f", "a/b/c/g"));
		bad(EACCES, readlink("a/b/x", (char[8]){ 0 }, 8));
		good(stat("a/b", &st));
	}
	px_clear("a");
	section("search along the path");
}

/* In a sticky folder only owners (of the file or the folder) remove and rename. */
static void sticky(void)
{
	good(mkdir("s", 01777));
	good(chmod("s", 01777));
	good(chown("s", CAROL, CAROL));
	AS (ALICE, ALICE) {
		put("s/f", "x", 0666);
		good(mkdir("s/d", 0777));
	}
	AS (BOB, BOB) {
		bad(EPERM, unlink("s/f"));
		bad(EPERM, rmdir("s/d"));
		bad(EPERM, rename("s/f", "s/g"));
		put("s/b", "b", 0644);
		bad(EPERM, rename("s/b", "s/f"));
		good(link("s/b", "s/b2"));
		good(unlink("s/b2"));
	}
	AS (CAROL, CAROL) {
		good(unlink("s/b"));
		good(rename("s/f", "s/f2"));
		good(rename("s/f2", "s/f"));
	}
	AS (ALICE, ALICE) {
		good(rename("s/f", "s/h"));
		good(unlink("s/h"));
		good(rmdir("s/d"));
	}
	good(rmdir("s"));
	section("sticky directory");
}

/* What is made in a set-gid folder gets its group; directories get the bit. */
static void set_gid_folder(void)
{
	int fd;

	good(mkdir("g", 0777));
	good(chown("g", 0, TEAM));
	good(chmod("g", 02777));
	AS_GROUPS (ALICE, ALICE, GUILD) {
		put("g/f", "x", 0644);
		same(st_of("g/f").st_gid, TEAM);
		same(st_of("g/f").st_uid, ALICE);
		good(mkdir("g/d", 0755));
		same(st_of("g/d").st_gid, TEAM);
		same(mode_of("g/d"), 02755);
		good(symlink("x", "g/l"));
		same(st_of("g/l").st_gid, TEAM);
		good(mkfifo("g/p", 0644));
		same(st_of("g/p").st_gid, TEAM);
		good(mkdir("g/d/e", 0700));
		same(st_of("g/d/e").st_gid, TEAM);
		same(mode_of("g/d/e"), 02700);
		/* Not in the group: cannot have a set-gid program made there. */
		fd = (int)good(open("g/prog", O_CREAT | O_EXCL | O_WRONLY, 02775));
		good(close(fd));
		same(mode_of("g/prog") & 02000, 0);
	}
	AS_GROUPS (ALICE, ALICE, TEAM) {
		fd = (int)good(open("g/prog2", O_CREAT | O_EXCL | O_WRONLY, 02775));
		good(close(fd));
		same(mode_of("g/prog2") & 02000, 02000);
	}
	good(rename("g/f", "f")); /* moving changes nothing */
	same(st_of("f").st_gid, TEAM);
	good(unlink("f"));
	px_clear("g");
	section("set-gid directory");
}

static void real_child(void *arg)
{
	gid_t groups[300];

	/* Really somebody else, with many groups: the last one counts. */
	for (unsigned i = 0; i < 300; i++)
		groups[i] = 70000 + i;
	groups[299] = TEAM;
	if (setgroups(300, groups) || setresgid(BOB, BOB, BOB) || setresuid(BOB, BOB, BOB))
		bail_out("cannot become another user");
	must(holds("gf", "text"));
	good(access("gf", R_OK));
	bad(EACCES, access("gf", W_OK));
	bad(EACCES, open("gf", O_WRONLY));
	bad(EACCES, open("gd/none", O_RDONLY | O_CREAT, 0644));
	good(access("gd", R_OK | X_OK));
	bad(EPERM, chown("gf", BOB, (gid_t)-1));
}

static void real_child_without(void *arg)
{
	if (setgroups(0, NULL) || setresgid(BOB, BOB, BOB) || setresuid(BOB, BOB, BOB))
		bail_out("cannot become another user");
	bad(EACCES, open("gf", O_RDONLY));
	bad(EACCES, access("gf", R_OK));
	bad(EACCES, access("gd", X_OK));
}

static void supplementary(void)
{
	put("gf", "text", 0640);
	good(chown("gf", ALICE, TEAM));
	good(mkdir("gd", 0750));
	good(chown("gd", ALICE, TEAM));
	px_child(real_child, NULL);
	px_child(real_child_without, NULL);
	px_child(real_child, NULL);
	/* In one process: groups that come and go count at once. */
	for (int i = 0; i < 5; i++) {
		AS_GROUPS (BOB, BOB, TEAM)
			must(holds("gf", "text"));
		AS_GROUPS (BOB, BOB, GUILD)
			bad(EACCES, open("gf", O_RDONLY));
		AS (BOB, BOB)
			bad(EACCES, open("gf", O_RDONLY));
	}
	good(unlink("gf"));
	good(rmdir("gd"));
	section("supplementary groups, other processes");
}

/* access() goes by the real user, everything else by the effective one. */
static void real_and_effective(void)
{
	put("f", "x", 0600);
	good(chown("f", ALICE, ALICE));
	AS (ALICE, ALICE) { /* the real user is root still */
		good(access("f", R_OK | W_OK));
		good(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS));
	}
	AS (BOB, BOB) {
		good(access("f", R_OK));
		bad(EACCES, faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS));
		bad(EACCES, open("f", O_RDONLY));
	}
	good(unlink("f"));
	section("real and effective user");
}

static void run_it(void *arg)
{
	if (setgroups(0, NULL) || setresgid(BOB, BOB, BOB) || setresuid(BOB, BOB, BOB))
		bail_out("cannot become another user");
	execl("./prog", "prog", "-u", (char *)NULL);
	same(errno, (intptr_t)arg);
}

static void executing(void)
{
	int status;
	pid_t pid;

	if (access("/usr/bin/id", X_OK) || system("cp /usr/bin/id prog")) {
		section("no program to copy");
		return;
	}
	good(chmod("prog", 0754));
	px_child(run_it, (void *)(intptr_t)EACCES);
	good(chmod("prog", 0751)); /* to execute is not to read */
	pid = fork();
	if (!pid) {
		if (!freopen("/dev/null", "w", stdout))
			_exit(99);
		run_it(NULL);
		_exit(98);
	}
	waitpid(pid, &status, 0);
	must(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	/* set-uid to Alice: id -u tells. */
	good(chown("prog", ALICE, ALICE));
	good(chmod("prog", 04755));
	{
		FILE *p = popen("./prog -u", "r");
		unsigned uid = 0;

		must(p && fscanf(p, "%u", &uid) == 1);
		pclose(p);
		same(uid, ALICE);
	}
	good(chmod("prog", 0644));
	must(system("./prog 2>/dev/null") != 0);
	good(unlink("prog"));
	section("execution");
}

int main(int argc, char **argv)
{
	px_start(argc, argv, "perms");
	classes();
	root_may();
	path_search();
	sticky();
	set_gid_folder();
	supplementary();
	real_and_effective();
	executing();
	return px_end();
}
