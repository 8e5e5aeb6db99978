/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* mknod, mkfifo, device nodes, sockets. */
#include "posix.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static void nodes(void)
{
	const struct {
		mode_t type;
		dev_t dev;
	} all[] = { { S_IFREG, 0 },
		    { S_IFIFO, 0 },
		    { S_IFSOCK, 0 },
		    { S_IFCHR, makedev(1, 3) },
		    { S_IFBLK, makedev(259, 70000) },
		    { S_IFCHR, makedev(4095, 1048575) },
		    { S_IFCHR, makedev(0, 0) } };
	struct stat st;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		umask(0);
		good(mknod("n", all[i].type | 0751, all[i].dev));
		umask(022);
		st = st_of("n");
		same(st.st_mode, all[i].type | 0751);
		if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
			same(st.st_rdev, all[i].dev);
		same(st.st_nlink, 1);
		same(st.st_size, 0);
		bad(EEXIST, mknod("n", all[i].type | 0644, all[i].dev));
		good(chmod("n", 0600));
		same(mode_of("n"), 0600);
		good(chown("n", ALICE, BOB));
		same(st_of("n").st_uid, ALICE);
		good(rename("n", "n2"));
		same(st_of("n2").st_mode & S_IFMT, all[i].type);
		good(unlink("n2"));
	}
	good(mknod("n", 0644, 0)); /* no type: regular */
	must(S_ISREG(st_of("n").st_mode));
	good(unlink("n"));
	umask(077);
	good(mknod("n", S_IFIFO | 0666, 0));
	same(mode_of("n"), 0600);
	umask(022);
	good(unlink("n"));
	bad(EPERM, mknod("n", S_IFDIR | 0755, 0));
	bad(EINVAL, mknod("n", S_IFLNK | 0755, 0));
	bad(ENOENT, mknod("none/n", S_IFIFO | 0644, 0));
	bad(ENAMETOOLONG, mknod(NAME256, S_IFIFO | 0644, 0));
	bad(EEXIST, mknod(".", S_IFIFO | 0644, 0));
	good(mkdir("d", 0777));
	good(chmod("d", 0777));
	AS (ALICE, ALICE) {
		bad(EPERM, mknod("d/n", S_IFCHR | 0644, makedev(1, 3)));
		bad(EPERM, mknod("d/n", S_IFBLK | 0644, makedev(7, 0)));
		good(mknod("d/n", S_IFIFO | 0644, 0));
		good(unlink("d/n"));
		good(mknod("d/n", S_IFSOCK | 0644, 0));
		good(unlink("d/n"));
		good(mknod("d/n", S_IFREG | 0644, 0));
		good(unlink("d/n"));
		bad(EACCES, mknod("n", S_IFIFO | 0644, 0));
	}
	good(rmdir("d"));
	section("mknod");
}

static void devices(void)
{
	char c = 'x';
	int fd;

	good(mknod("null", S_IFCHR | 0666, makedev(1, 3)));
	fd = open("null", O_RDWR);
	if (fd < 0 && (errno == EACCES || errno == EPERM)) {
		printf("# devices cannot be opened here\n");
	} else {
		must(fd >= 0);
		same(write(fd, &c, 1), 1);
		same(read(fd, &c, 1), 0);
		good(close(fd));
	}
	good(unlink("null"));
	good(mknod("absent", S_IFCHR | 0666, makedev(4000, 77)));
	fd = open("absent", O_RDWR);
	must(fd < 0 && (errno == ENXIO || errno == EACCES || errno == ENODEV || errno == EPERM));
	good(unlink("absent"));
	section("devices");
}

static void writer(void *arg)
{
	int fd = (int)good(open("fifo", O_WRONLY));

	for (int i = 0; i < 100; i++)
		same(write(fd, &i, sizeof(i)), sizeof(i));
	good(close(fd));
}

static void fifos(void)
{
	struct stat st;
	int fd, value;
	pid_t pid;

	good(mkfifo("fifo", 0640));
	same(mode_of("fifo"), 0640);
	bad(EEXIST, mkfifo("fifo", 0644));
	bad(ENXIO, open("fifo", O_WRONLY | O_NONBLOCK));
	fd = (int)good(open("fifo", O_RDONLY | O_NONBLOCK));
	same(read(fd, &value, 4), 0);
	good(close(fd));
	pid = px_spawn(writer, NULL);
	fd = (int)good(open("fifo", O_RDONLY)); /* both wait for each other */
	for (int i = 0; i < 100; i++) {
		same(read(fd, &value, sizeof(value)), sizeof(value));
		same(value, i);
	}
	same(read(fd, &value, sizeof(value)), 0);
	good(fstat(fd, &st));
	must(S_ISFIFO(st.st_mode));
	same(st.st_size, 0);
	bad(ESPIPE, lseek(fd, 0, SEEK_SET));
	good(close(fd));
	px_wait(pid);
	/* FUSE without cached attributes: the kernel opens special files itself and asks nobody. */
	if (!getenv("POSIX_SPECIAL_FILES_UNCHECKED"))
		AS (ALICE, ALICE)
			bad(EACCES, open("fifo", O_RDONLY | O_NONBLOCK));
	bad(EINVAL, truncate("fifo", 0));
	good(unlink("fifo"));
	section("fifos");
}

static void server(void *arg)
{
	int s = *(int *)arg, c = (int)good(accept(s, NULL, NULL));
	char buf[8];

	same(read(c, buf, 5), 5);
	same(write(c, buf, 5), 5);
	close(c);
}

static void sockets(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "sock" };
	int s = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
	char buf[8];
	pid_t pid;

	good(bind(s, (struct sockaddr *)&a, sizeof(a)));
	must(S_ISSOCK(st_of("sock").st_mode));
	good(listen(s, 1));
	pid = px_spawn(server, &s);
	good(connect(c, (struct sockaddr *)&a, sizeof(a)));
	same(write(c, "hello", 5), 5);
	same(read(c, buf, 5), 5);
	px_wait(pid);
	bad(ENXIO, open("sock", O_RDWR));
	close(c);
	close(s);
	s = socket(AF_UNIX, SOCK_STREAM, 0);
	bad(EADDRINUSE, bind(s, (struct sockaddr *)&a, sizeof(a)));
	bad(ECONNREFUSED, connect(s, (struct sockaddr *)&a, sizeof(a)));
	good(unlink("sock"));
	good(bind(s, (struct sockaddr *)&a, sizeof(a)));
	good(rename("sock", "sock2"));
	must(S_ISSOCK(st_of("sock2").st_mode));
	close(s);
	good(unlink("sock2"));
	section("sockets");
}

int main(int argc, char **argv)
{
	px_start(argc, argv, "special");
	nodes();
	devices();
	fifos();
	sockets();
	return px_end();
}
