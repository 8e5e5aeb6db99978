/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Long paths, deep trees, odd names. */
#include "posix.h"

static void deep(void)
{
	int home = (int)good(open(".", O_RDONLY | O_DIRECTORY));
	char name[128], cwd[PATH_MAX];
	const int levels = 60; /* 60 times 101 bytes is more than PATH_MAX */

	memset(name, 'd', 100);
	name[100] = 0;
	for (int i = 0; i < levels; i++) {
		good(mkdir(name, 0755));
		good(chdir(name));
	}
	put("f", "deep", 0644);
	must(holds("f", "deep"));
	errno = 0;
	must(!getcwd(cwd, sizeof(cwd)) && (errno == ERANGE || errno == ENAMETOOLONG));
	good(unlink("f"));
	for (int i = 0; i < levels; i++) {
		good(chdir(".."));
		good(rmdir(name));
	}
	same(st_of(".").st_ino, ({
		     struct stat st;
		     good(fstat(home, &st));
		     st.st_ino;
	     }));
	close(home);
	section("deeper than PATH_MAX");
}

static void at_the_limit(void)
{
	static char path[PATH_MAX + 8];
	size_t len = 0;

	/* Components of 250 bytes up to PATH_MAX - 1 in all. */
	while (len + 252 < PATH_MAX - 1) {
		if (len)
			path[len++] = '/';
		memset(path + len, 'p', 250);
		len += 250;
		path[len] = 0;
		good(mkdir(path, 0755));
	}
	path[len++] = '/';
	memset(path + len, 'f', PATH_MAX - 1 - len);
	path[PATH_MAX - 1] = 0;
	put(path, "limit", 0644);
	must(holds(path, "limit"));
	good(unlink(path));
	path[PATH_MAX - 1] = 'f';
	path[PATH_MAX] = 0;
	bad(ENAMETOOLONG, open(path, O_RDONLY));
	path[250] = 0;
	px_clear(path);
	section("paths of PATH_MAX - 1");
}

static void odd_forms(void)
{
	good(mkdir("d", 0755));
	put("d/f", "x", 0644);
	must(holds(".//d///f", "x"));
	must(holds("d/./f", "x"));
	must(holds("d/../d/f", "x"));
	must(holds("./././d/.././d/f", "x"));
	bad(ENOTDIR, access("d/f/.", F_OK));
	bad(ENOTDIR, access("d/f/..", F_OK));
	good(access("d/.", F_OK));
	good(access("d//", F_OK));
	bad(ENOENT, access("d/none/..", F_OK));
	px_clear("d");
	section("dots and slashes");
}

static void odd_names(void)
{
	static const char *const names[] = { "...",	  " ",	  "  x",      "x ",	  "-",	       "-rf",
					     "*",	  "?",	  "\\",	      "\"",	  "'",	       "\n",
					     "\t",	  "\x01", "\xff\xfe", "\xc3\xa4", "a\xcc\x88", ".hidden",
					     "..x",	  "CON",  "con",      "A",	  "a",	       "~",
					     "$HOME",	  "%s%n", ":",	      "a:b",	  ".weft",     ".fuse_hidden1",
					     "lost+found" };
	const size_t n = sizeof(names) / sizeof(names[0]);
	struct dirent *e;
	size_t found = 0;
	DIR *d;

	good(mkdir("d", 0755));
	good(chdir("d"));
	for (size_t i = 0; i < n; i++)
		put(names[i], names[i], 0644);
	for (size_t i = 0; i < n; i++)
		must(holds(names[i], names[i]));
	d = opendir(".");
	while ((e = readdir(d)))
		for (size_t i = 0; i < n; i++)
			found += !strcmp(e->d_name, names[i]);
	closedir(d);
	same(found, n);
	for (size_t i = 0; i < n; i++)
		good(unlink(names[i]));
	good(chdir(".."));
	good(rmdir("d"));
	section("odd names");
}

/* Every length of a name. */
static void lengths(void)
{
	char name[257];

	for (int len = 1; len <= 255; len++) {
		memset(name, 'l', (size_t)len);
		name[len] = 0;
		put(name, "x", 0644);
		good(access(name, F_OK));
		good(rename(name, "short"));
		good(rename("short", name));
		good(unlink(name));
	}
	section("names of every length");
}

int main(int argc, char **argv)
{
	px_start(argc, argv, "paths");
	deep();
	at_the_limit();
	odd_forms();
	odd_names();
	lengths();
	return px_end();
}
