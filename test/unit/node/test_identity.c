/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../tap.h"
#include "node/identity.h"
#include "proto/status.h"

static char folder[] = "/tmp/weft-identity-XXXXXX";
static char why[IDENTITY_WHY_MAX];

static char *in_folder(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void write_text(const char *text)
{
	FILE *f = fopen(in_folder(TARGET_FILE), "we");

	fputs(text, f);
	fclose(f);
}

static void test_uuid(void)
{
	struct wp_uuid a, b;
	char text[UUID_TEXT];

	ok(!uuid_random(&a), "a random uuid");
	uuid_format(&a, text);
	ok(strlen(text) == 36 && text[14] == '4' && !uuid_parse(text, &b) && wp_uuid_eq(&a, &b), "reads back: %s", text);
	is_int(uuid_parse("0123", &b), -EINVAL, "too short");
	is_int(uuid_parse("01234567-89ab-cdef-0123-456789abcdeg", &b), -EINVAL, "not hexadecimal");
	is_int(uuid_parse("01234567089ab-cdef-0123-456789abcdef", &b), -EINVAL, "a dash is missing");
}

static void test_lock(void)
{
	int fd, status = -1;
	pid_t pid;

	is_int(folder_lock(folder, false, &fd, why), 0, "a folder is locked");
	pid = fork();
	if (pid == 0) {
		int other, r = folder_lock(folder, false, &other, why);
		char want[64];

		snprintf(want, sizeof(want), "in use by the process with pid %d", (int)getppid());
		_exit(r == -EBUSY && strstr(why, want) ? 0 : 1);
	}
	ok(waitpid(pid, &status, 0) == pid && !status, "another process is told by whom");
	folder_unlock(fd);
	is_int(folder_lock(folder, false, &fd, why), 0, "unlocked, it can be locked again");
	folder_unlock(fd);
	is_int(folder_lock(in_folder("new"), false, &fd, why), -ENOENT, "a folder that is not there");
	ok(strstr(why, "--init"), "with advice: %s", why);
	is_int(folder_lock(in_folder("new"), true, &fd, why), 0, "is made if asked for");
	ok(folder_is_empty(in_folder("new")), "the lock does not count: it is empty");
	folder_unlock(fd);
	unlink(in_folder("new/.weft.lock"));
	rmdir(in_folder("new"));
	write_text("");
	ok(!folder_is_empty(folder), "a folder with a file is not");
	is_int(folder_lock(in_folder(TARGET_FILE), false, &fd, why), -ENOTDIR, "a file is no folder");
	unlink(in_folder(TARGET_FILE));
}

static void test_file(void)
{
	struct wp_uuid any = { 0 }, cluster, other;
	struct identity a, b;

	is_int(identity_read(folder, &b, why), -ENOENT, "no identity yet");
	ok(!identity_new(WP_SERVICE_STORAGE, "disk", &a) && !identity_write(folder, &a, why), "a new one");
	ok(!identity_read(folder, &b, why) && wp_uuid_eq(&a.uuid, &b.uuid) && b.id == WP_TARGET_NONE && wp_uuid_is_zero(&b.cluster),
	   "reads back without number and cluster");
	ok(!uuid_random(&cluster) && !uuid_random(&other), "two clusters");
	a.cluster = cluster;
	a.id = 0;
	a.boot_epoch = 12345678901ull;
	(void)str_copy(a.alias, sizeof(a.alias), "storage7");
	ok(!identity_write(folder, &a, why) && !identity_read(folder, &b, why), "registered");
	ok(!b.id && wp_uuid_eq(&b.cluster, &cluster) && wp_uuid_eq(&b.node, &a.node) && !strcmp(b.alias, "storage7") &&
		   b.boot_epoch == 12345678901ull && !strcmp(b.backend, "disk"),
	   "everything reads back");
	is_int(identity_check(folder, &b, WP_SERVICE_STORAGE, "disk", &cluster, why), 0, "the right folder");
	is_int(identity_check(folder, &b, WP_SERVICE_STORAGE, "disk", &any, why), 0, "cluster not known yet");
	is_int(identity_check(folder, &b, WP_SERVICE_STORAGE, "disk", &other, why), -WEFT_EFOREIGN, "another cluster");
	ok(strstr(why, "belongs to cluster"), "says so");
	is_int(identity_check(folder, &b, WP_SERVICE_META, "disk", &cluster, why), -EINVAL, "another service");
	is_int(identity_check(folder, &b, WP_SERVICE_STORAGE, "mem", &cluster, why), -EINVAL, "another engine");
}

static void damaged(const char *text, int want, const char *what)
{
	struct identity id;

	write_text(text);
	is_int(identity_read(folder, &id, why), want, what);
}

#define GOOD "[target]\nformat = 1\nuuid = 01234567-89ab-cdef-0123-456789abcdef\nservice = meta\n"

static void test_damage(void)
{
	damaged(GOOD, 0, "the least that is needed");
	damaged(GOOD "invented-later = 3\n", 0, "unknown rows are for newer programs");
	damaged("[target]\nformat = 2\nuuid = new-style\n", -WEFT_ENEWER, "a newer format, whatever else it says");
	ok(strstr(why, "install a newer version"), "with advice");
	damaged("", -EINVAL, "nothing");
	damaged("garbage\n", -EINVAL, "garbage");
	damaged("[target]\nformat = 0\nuuid = 01234567-89ab-cdef-0123-456789abcdef\nservice = meta\n", -EINVAL, "format 0");
	damaged(GOOD "id = x\n", -EINVAL, "a number that is none");
	damaged(GOOD "id = 4294967295\n", -EINVAL, "a number that means none");
	damaged(GOOD "cluster = x\n", -EINVAL, "a malformed cluster");
	damaged("[target]\nformat = 1\nservice = meta\n", -EINVAL, "no uuid");
	damaged("[target]\nformat = 1\nuuid = 01234567-89ab-cdef-0123-456789abcdef\nservice = x\n", -EINVAL, "no such service");
}

int main(void)
{
	if (!mkdtemp(folder))
		bail_out("no temporary folder");
	test_uuid();
	test_lock();
	test_file();
	test_damage();
	unlink(in_folder(TARGET_FILE));
	unlink(in_folder(".weft.lock"));
	rmdir(folder);
	return done_testing();
}
