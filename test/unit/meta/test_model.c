/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Random operations against a model in memory, and restarts in between: the namespace that comes back from the journal is the
 * one that was acknowledged. Also every prefix of the journal: each entry leaves a consistent tree.
 */
#include "base/log.h"
#include "tap.h"
#include "world.h"

#define NODES 400
#define NAMES 12
#define DEPTH 6

struct node {
	bool used, dir;
	int links;        /* names */
	struct wp_fid fid;
	int entry[NAMES]; /* directories: node of each name, -1: none */
	int parent;       /* directories */
};

static struct world w;
static struct node nodes[NODES];
static uint64_t rng_state;

static uint32_t draw(uint32_t n)
{
	rng_state = rng_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(rng_state >> 33) % n;
}

static const char *name_of(unsigned k)
{
	static char names[2][NAMES][16];
	static unsigned turn;

	turn ^= 1;
	snprintf(names[turn][k], sizeof(names[0][0]), "name-%u", k);
	return names[turn][k];
}

static int node_new(bool dir)
{
	for (int i = 0; i < NODES; i++)
		if (!nodes[i].used) {
			nodes[i] = (struct node){ .used = true, .dir = dir, .links = 1, .parent = -1 };
			for (int k = 0; k < NAMES; k++)
				nodes[i].entry[k] = -1;
			return i;
		}
	return -1;
}

static int random_dir(void)
{
	int i;

	do
		i = (int)draw(NODES);
	while (!nodes[i].used || !nodes[i].dir);
	return i;
}

static bool empty(int d)
{
	for (int k = 0; k < NAMES; k++)
		if (nodes[d].entry[k] >= 0)
			return false;
	return true;
}

static bool above(int a, int d)
{
	for (; d >= 0; d = nodes[d].parent)
		if (d == a)
			return true;
	return false;
}

static void drop(int n)
{
	if (nodes[n].dir || --nodes[n].links == 0)
		nodes[n].used = false;
}

/* ---- one operation: the model's answer, the target's answer ---- */

static void do_make(int d, unsigned k, unsigned how)
{
	struct wp_attr a = { 0 };
	int n, want = nodes[d].entry[k] >= 0 ? -EEXIST : 0, got;

	n = want ? -1 : node_new(how == 0);
	if (!want && n < 0)
		return;
	if (how == 0)
		got = t_mkdir(&w, nodes[d].fid, name_of(k), 0755, &a);
	else if (how == 1)
		got = t_symlink(&w, nodes[d].fid, name_of(k), "somewhere", &a);
	else
		got = t_mknod(&w, nodes[d].fid, name_of(k), S_IFREG | 0644, &a);
	ok_quiet(got == want, "make: %d, want %d", got, want);
	if (want)
		return;
	nodes[n].fid = a.fid;
	nodes[n].parent = nodes[n].dir ? d : -1;
	nodes[d].entry[k] = n;
}

static void do_remove(int d, unsigned k, bool dir)
{
	int n = nodes[d].entry[k], want = 0, got;

	if (n < 0)
		want = -ENOENT;
	else if (dir)
		want = !nodes[n].dir ? -ENOTDIR : empty(n) ? 0 : -ENOTEMPTY;
	else
		want = nodes[n].dir ? -EISDIR : 0;
	got = dir ? t_rmdir(&w, nodes[d].fid, name_of(k)) : t_unlink(&w, nodes[d].fid, name_of(k));
	ok_quiet(got == want, "remove: %d, want %d", got, want);
	if (want)
		return;
	nodes[d].entry[k] = -1;
	drop(n);
}

static void do_link(int d, unsigned k, int d2, unsigned k2)
{
	int n = nodes[d].entry[k], want, got;

	if (n < 0)
		return;
	want = nodes[d2].entry[k2] >= 0 ? -EEXIST : nodes[n].dir ? -EPERM : 0;
	got = t_link(&w, nodes[n].fid, nodes[d2].fid, name_of(k2), NULL);
	ok_quiet(got == want, "link: %d, want %d", got, want);
	if (want)
		return;
	nodes[n].links++;
	nodes[d2].entry[k2] = n;
}

static int rename_want(int d, unsigned k, int d2, unsigned k2, uint32_t flags)
{
	int n = nodes[d].entry[k], m = nodes[d2].entry[k2];

	if (n < 0)
		return -ENOENT;
	if (m >= 0 && flags & WP_RENAME_NOREPLACE)
		return -EEXIST;
	if (m < 0 && flags & WP_RENAME_EXCHANGE)
		return -ENOENT;
	if (n == m)
		return 0;
	if (nodes[n].dir && above(n, d2))
		return -EINVAL;
	if (m >= 0 && nodes[m].dir && above(m, d))
		return flags & WP_RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	if (m < 0 || flags & WP_RENAME_EXCHANGE)
		return 0;
	if (nodes[n].dir != nodes[m].dir)
		return nodes[n].dir ? -ENOTDIR : -EISDIR;
	return nodes[m].dir && !empty(m) ? -ENOTEMPTY : 0;
}

static void do_rename(int d, unsigned k, int d2, unsigned k2, uint32_t flags)
{
	int n = nodes[d].entry[k], m = nodes[d2].entry[k2], want = rename_want(d, k, d2, k2, flags);
	int got = t_rename(&w, nodes[d].fid, name_of(k), nodes[d2].fid, name_of(k2), flags);

	ok_quiet(got == want, "rename: %d, want %d", got, want);
	if (want || n == m)
		return;
	nodes[d2].entry[k2] = n;
	nodes[d].entry[k] = flags & WP_RENAME_EXCHANGE ? m : -1;
	if (nodes[n].dir)
		nodes[n].parent = d2;
	if (m >= 0 && flags & WP_RENAME_EXCHANGE)
		nodes[m].parent = nodes[m].dir ? d : -1;
	else if (m >= 0)
		drop(m);
}

static void step(void)
{
	static const uint32_t flags[] = { 0, 0, 0, WP_RENAME_NOREPLACE, WP_RENAME_EXCHANGE };
	int d = random_dir(), d2 = random_dir();
	unsigned k = draw(NAMES), k2 = draw(NAMES);

	switch (draw(10)) {
	case 0:
	case 1:
	case 2:
		do_make(d, k, draw(4));
		break;
	case 3:
		do_remove(d, k, true);
		break;
	case 4:
	case 5:
		do_remove(d, k, false);
		break;
	case 6:
		do_link(d, k, d2, k2);
		break;
	default:
		do_rename(d, k, d2, k2, flags[draw(ARRAY_SIZE(flags))]);
		break;
	}
}

/* ---- the whole tree ---- */

static unsigned check_dir(int d)
{
	static char names[NAMES + 8][256];
	unsigned have = 0, subdirs = 0;
	struct wp_attr a = { 0 };
	int n = t_readdir(&w, nodes[d].fid, 400, names, NAMES + 8);

	for (unsigned k = 0; k < NAMES; k++) {
		int m = nodes[d].entry[k], err = t_lookup(&w, nodes[d].fid, name_of(k), &a);

		ok_quiet(err == (m < 0 ? -ENOENT : 0), "lookup: %d", err);
		if (m < 0)
			continue;
		have++;
		subdirs += nodes[m].dir;
		ok_quiet(wp_fid_eq(&a.fid, &nodes[m].fid), "the right inode");
		ok_quiet(nodes[m].dir == S_ISDIR(a.mode), "the right kind");
		ok_quiet(nodes[m].dir || a.nlink == (uint32_t)nodes[m].links, "nlink %u, want %d", a.nlink, nodes[m].links);
	}
	ok_quiet(n == (int)have, "readdir: %d names, want %u", n, have);
	ok_quiet(!t_getattr(&w, nodes[d].fid, &a) && a.nlink == 2 + subdirs, "nlink of a directory: %u, want %u", a.nlink, 2 + subdirs);
	return have;
}

static void check_path(int n)
{
	struct wp_get_path_req q = { .fid = nodes[n].fid };
	struct wp_get_path_rep p = { 0 };
	int err = CALL(&w, get_path, GET_PATH, &q, &p);
	bool found = false;

	for (int d = 0; d < NODES && !err; d++)
		for (unsigned k = 0; nodes[d].used && nodes[d].dir && k < NAMES; k++)
			found |= nodes[d].entry[k] == n && wp_fid_eq(&p.parent, &nodes[d].fid) && wp_str_eq(p.name, wp_str(name_of(k)));
	ok_quiet(found, "the way back is one of the names (%d)", err);
}

static void check_tree(void)
{
	struct wp_usage_get_req q = { .kind = 1 };
	struct wp_usage_get_rep p = { 0 };
	unsigned inodes = 0;

	for (int d = 0; d < NODES; d++) {
		inodes += nodes[d].used;
		if (nodes[d].used && nodes[d].dir)
			check_dir(d);
		if (nodes[d].used && d)
			check_path(d);
	}
	ok_quiet(!CALL(&w, usage_get, USAGE_GET, &q, &p) && p.rows_n == 1 && p.rows[0].inodes == inodes, "usage: %llu inodes, want %u",
		 p.rows_n ? (unsigned long long)p.rows[0].inodes : 0, inodes);
}

static void run(uint64_t seed, unsigned steps)
{
	rng_state = seed;
	memset(nodes, 0, sizeof(nodes));
	world_init(&w, seed, "journal");
	if (!world_open(&w))
		bail_out("open");
	world_session(&w);
	nodes[node_new(true)].fid = root_fid;
	for (unsigned i = 0; i < steps; i++) {
		step();
		if (i % (steps / 4) == steps / 4 - 1) {
			check_tree();
			world_kill(&w);
			if (!world_open(&w))
				bail_out("restart");
			world_session(&w);
			check_tree();
		}
	}
	world_stop(&w);
	world_done(&w);
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;

	log_setup("test", (enum log_level)0);
	for (uint64_t s = seed; s < seed + 4; s++) {
		run(s, 2000);
		ok(true, "seed %llu", (unsigned long long)s);
	}
	return done_testing();
}
