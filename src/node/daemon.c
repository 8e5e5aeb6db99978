/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "node/daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/secret.h"
#include "env/env_linux.h"
#include "weft_proto.h"

struct daemon_options daemon_options;
struct conf_common daemon_common;

static const struct conf_option options[] = {
	{ .name = "listen", .type = CONF_LIST, .offset = CONF_FIELD(daemon_options, listen), .arg = "ADDRESS", .max = DAEMON_LISTEN_MAX,
	  .help = "where to listen: tcp:HOST:PORT, tcp:[V6]:PORT or unix:PATH; HOST * is every address, PORT 0 any free one" },
	{ .name = "advertise", .type = CONF_LIST, .offset = CONF_FIELD(daemon_options, advertise), .arg = "ADDRESS",
	  .max = DAEMON_LISTEN_MAX, .help = "addresses at which others reach this daemon, if not those it listens on" },
	{ .name = "name", .type = CONF_STRING, .offset = CONF_FIELD(daemon_options, name), .arg = "NAME",
	  .help = "name of this daemon in the cluster and in its log; assigned if not given" },
	{ .name = "domain", .type = CONF_STRING, .offset = CONF_FIELD(daemon_options, domain), .arg = "LABELS",
	  .help = "failure domain of this daemon, such as rack1/host3" },
	{ .name = "background", .type = CONF_BOOL, .offset = CONF_FIELD(daemon_options, background), .flags = CONF_ARG_ONLY,
	  .help = "run in the background: return when the daemon is ready" },
	{ .name = "log-file", .type = CONF_PATH, .offset = CONF_FIELD(daemon_options, log_file), .arg = "FILE",
	  .help = "append messages to this file instead of standard error; SIGHUP opens it again" },
	{ .name = "pid-file", .type = CONF_PATH, .offset = CONF_FIELD(daemon_options, pid_file), .arg = "FILE",
	  .help = "write the process's number into this file while it runs" },
	{ .name = "ready-fd", .type = CONF_U64, .offset = CONF_FIELD(daemon_options, ready_fd), .arg = "FD", .flags = CONF_ARG_ONLY,
	  .help = "write the line 'ready' to this inherited file descriptor, and close it, when the daemon serves", .max = 65535 },
	{ 0 },
};

const struct conf_table daemon_table = { "Process", NULL, options, &daemon_options };
const struct conf_table daemon_common_table = { "Common options", "common", conf_common_options, &daemon_common };

static struct {
	struct conf *conf;
	const char *program;
	int parent_fd; /* --background: the waiting parent's pipe */
	int ready_fd;
	bool told_ready;
	int signal_fd;
	time_t stop_at;
	env_fn *stop;
	void *stop_arg;
	char *pid_file; /* NULL: not written */
	char *log_file;
} self = { .parent_fd = -1, .ready_fd = -1, .signal_fd = -1 };

/* ---- options ------------------------------------------------------------------------------------------------------------------ */

static void check_addresses(struct conf *c, const char *option, const struct conf_list *l, bool connect)
{
	for (unsigned i = 0; i < l->n; i++) {
		const char *a = l->v[i];
		bool is_unix = !strncmp(a, "unix:", 5) && a[5];
		const char *port = strncmp(a, "tcp:", 4) ? NULL : strrchr(a + 4, ':');
		char *end = NULL;
		unsigned long number = port ? strtoul(port + 1, &end, 10) : 0;

		if (strlen(a) > WP_ADDR_LEN_MAX)
			conf_error(c, option, "'%s' is longer than %d bytes", a, WP_ADDR_LEN_MAX);
		else if (!is_unix && (!port || port == a + 4 || !port[1] || *end || number > 65535))
			conf_error(c, option, "'%s' is not an address: tcp:HOST:PORT, tcp:[V6]:PORT or unix:PATH", a);
		else if (!is_unix && connect && !number)
			conf_error(c, option, "'%s' needs a port", a);
	}
}

void daemon_check(struct conf *c)
{
	const struct daemon_options *o = &daemon_options;

	check_addresses(c, "listen", &o->listen, false);
	check_addresses(c, "advertise", &o->advertise, true);
	check_addresses(c, "mgmtd", &daemon_common.mgmtd, true);
	if (o->background && !o->log_file)
		conf_error(c, "background", "needs --log-file: nobody would see the messages");
	if (o->name && strlen(o->name) > WP_ALIAS_MAX)
		conf_error(c, "name", "at most %d bytes", WP_ALIAS_MAX);
	if (o->domain && strlen(o->domain) > WP_ADDR_LEN_MAX)
		conf_error(c, "domain", "at most %d bytes", WP_ADDR_LEN_MAX);
	if (daemon_common.auth == WP_AUTH_HMAC && !daemon_common.secret_file)
		conf_error(c, "secret-file", "missing: servers need the secret of the clients (or say --auth none to trust everyone)");
	if (daemon_common.auth == WP_AUTH_HMAC && !daemon_common.server_secret_file)
		conf_error(c, "server-secret-file", "missing: servers need their own secret (or say --auth none to trust everyone)");
}

static bool read_secret(const char *path, uint8_t *secret, size_t *len)
{
	char why[512];

	if (!path || conf_secret_read(path, secret, len, why, sizeof(why)) == 0)
		return true;
	fprintf(stderr, "%s: %s\n", self.program, why);
	return false;
}

/* ---- log, background, pid file --------------------------------------------------------------------------------------------------- */

static bool open_log(void)
{
	int fd;

	if (!self.log_file)
		return true;
	fd = open(self.log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
	if (fd < 0) {
		log_err("node", "cannot write the log file %s: %s", self.log_file, strerror(errno));
		return false;
	}
	fflush(stdout);
	dup2(fd, STDERR_FILENO);
	dup2(fd, STDOUT_FILENO);
	close(fd);
	return true;
}

/* In the parent: waits until the child is ready or gone, and leaves. */
static noreturn_fn void parent_wait(int fd, pid_t child)
{
	char word[8];
	ssize_t n;
	int status;

	do
		n = read(fd, word, sizeof(word));
	while (n < 0 && errno == EINTR);
	if (n > 0)
		_exit(0);
	fprintf(stderr, "%s: did not start: see %s\n", self.program, self.log_file);
	_exit(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1);
}

static bool go_background(void)
{
	int fds[2], null_fd;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		fprintf(stderr, "%s: cannot go to the background: %s\n", self.program, strerror(errno));
		return false;
	}
	if (pid > 0) {
		close(fds[1]);
		parent_wait(fds[0], pid);
	}
	close(fds[0]);
	self.parent_fd = fds[1];
	setsid();
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd >= 0) {
		dup2(null_fd, STDIN_FILENO);
		close(null_fd);
	}
	return true;
}

int daemon_write_pid_file(void)
{
	cleanup_free char *tmp = NULL;
	int err;
	FILE *f;

	if (!daemon_options.pid_file)
		return 0;
	tmp = xasprintf("%s.new", daemon_options.pid_file);
	f = fopen(tmp, "we");
	if (f) {
		fprintf(f, "%d\n", (int)getpid());
		if (fclose(f) == 0 && rename(tmp, daemon_options.pid_file) == 0) {
			self.pid_file = daemon_options.pid_file;
			return 0;
		}
	}
	err = errno;
	log_err("node", "cannot write the pid file %s: %s", daemon_options.pid_file, strerror(err));
	return -err;
}

static bool block_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL); /* before threads are made: they inherit it */
	self.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (self.signal_fd < 0)
		log_err("node", "cannot watch for signals: %s", strerror(errno));
	return self.signal_fd >= 0;
}

bool daemon_start(const struct conf_program *p, int argc, char **argv, uint16_t role, struct rpc_identity *id, int *exit_status)
{
	self.program = p->name;
	env_linux_raise_limits();
	if (!conf_start(p, argc, argv, &self.conf, exit_status))
		return false;
	*exit_status = 1;
	memset(id, 0, sizeof(*id));
	id->role = role;
	id->auth = (uint8_t)daemon_common.auth;
	(void)str_copy(id->name, sizeof(id->name), daemon_options.name ? daemon_options.name : p->name);
	if (id->auth == WP_AUTH_HMAC &&
	    (!read_secret(daemon_common.secret_file, id->secret, &id->secret_len) ||
	     !read_secret(daemon_common.server_secret_file, id->server_secret, &id->server_secret_len)))
		return false;
	self.log_file = daemon_options.log_file;
	if (daemon_options.ready_fd) {
		self.ready_fd = (int)daemon_options.ready_fd;
		if (fcntl(self.ready_fd, F_SETFD, FD_CLOEXEC) < 0) {
			fprintf(stderr, "%s: --ready-fd: %d is not an open file descriptor\n", p->name, self.ready_fd);
			return false;
		}
	}
	if (daemon_options.background && !go_background())
		return false;
	log_setup(id->name, (enum log_level)daemon_common.log_level);
	if (!open_log() || !block_signals())
		return false;
	*exit_status = 0;
	return true;
}

/* ---- signals and readiness ----------------------------------------------------------------------------------------------------------- */

static void on_signal(void *arg, unsigned revents)
{
	struct signalfd_siginfo info;

	while (read(self.signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP) {
			if (open_log())
				log_notice("node", "log reopened");
			continue;
		}
		if (self.stop_at && time(NULL) - self.stop_at < 2)
			continue; /* some senders signal a process and its group */
		if (self.stop_at) {
			log_warn("node", "asked to stop a second time: leaving at once");
			_exit(1);
		}
		log_notice("node", "stopping");
		self.stop_at = time(NULL);
		self.stop(self.stop_arg);
	}
}

void daemon_watch_signals(struct env *env, env_fn *stop, void *arg)
{
	self.stop = stop;
	self.stop_arg = arg;
	(void)env_linux_poll_fd(env, self.signal_fd, POLLIN, on_signal, NULL); /* watched as long as the env lives */
}

/* The service manager's protocol: a datagram to the socket that it named. */
static void notify_manager(const char *state)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len;
	int fd;

	if (!name || (*name != '/' && *name != '@') || (len = strlen(name)) >= sizeof(sun.sun_path))
		return;
	memcpy(sun.sun_path, name, len);
	if (*name == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&sun,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	close(fd);
}

static void tell(int *fd)
{
	if (*fd < 0)
		return;
	if (write(*fd, "ready\n", 6) < 0)
		log_debug("node", "whoever waited for readiness is gone");
	close(*fd);
	*fd = -1;
}

void daemon_ready(void)
{
	if (self.told_ready)
		return;
	self.told_ready = true;
	tell(&self.ready_fd);
	tell(&self.parent_fd);
	notify_manager("READY=1\n");
}

void daemon_end(void)
{
	if (self.pid_file)
		unlink(self.pid_file);
	if (self.signal_fd >= 0)
		close(self.signal_fd);
	self.signal_fd = -1;
	conf_free(self.conf);
	self.conf = NULL;
	self.pid_file = self.log_file = NULL;
}
