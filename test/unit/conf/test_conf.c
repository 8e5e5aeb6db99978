/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Options from all sources, every kind of mistake, and the printed configuration that reads back the same. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../tap.h"
#include "base/log.h"
#include "conf/conf.h"
#include "conf/counters.h"
#include "conf/secret.h"
#include "weft_proto.h"

static struct values {
	char *text, *path, *word;
	bool flag;
	uint64_t number, size, time;
	int kind;
	struct conf_list list;
} values;
static struct conf_common common;

static const struct conf_choice kinds[] = { { "red", 1 }, { "green", 2 }, { NULL, 0 } };
static const struct conf_option rows[] = {
	{ .name = "text", .type = CONF_STRING, .offset = CONF_FIELD(values, text), .arg = "TEXT", .help = "a text" },
	{ .name = "path", .type = CONF_PATH, .offset = CONF_FIELD(values, path), .arg = "FILE", .def = "/x", .help = "a path" },
	{ .name = "word", .type = CONF_STRING, .offset = CONF_FIELD(values, word), .arg = "WORD", .help = "this start only",
	  .flags = CONF_ARG_ONLY },
	{ .name = "flag", .type = CONF_BOOL, .offset = CONF_FIELD(values, flag), .help = "a switch", .letter = 'f' },
	{ .name = "number", .type = CONF_U64, .offset = CONF_FIELD(values, number), .arg = "N", .def = "7", .min = 1, .max = 100,
	  .help = "a number", .letter = 'n' },
	{ .name = "size", .type = CONF_SIZE, .offset = CONF_FIELD(values, size), .arg = "SIZE", .def = "64K", .min = 4096,
	  .max = GIB(1), .help = "a size" },
	{ .name = "time", .type = CONF_DURATION, .offset = CONF_FIELD(values, time), .arg = "TIME", .def = "10s",
	  .min = NSEC_PER_MSEC, .max = 3600 * NSEC_PER_SEC, .help = "a time" },
	{ .name = "kind", .type = CONF_ENUM, .offset = CONF_FIELD(values, kind), .arg = "KIND", .def = "red", .choices = kinds,
	  .help = "a kind" },
	{ .name = "list", .type = CONF_LIST, .offset = CONF_FIELD(values, list), .arg = "ITEM", .max = 4, .help = "a list" },
	{ 0 },
};
static const struct conf_table table = { "Test", NULL, rows, &values };
static const struct conf_table common_table = { "Common options", "common", conf_common_options, &common };

static bool foreign(void *arg, const char *option) { return !strcmp(option, "allow_other"); }

static void check(void *arg, struct conf *c)
{
	if (values.number == 13)
		conf_error(c, "number", "brings bad luck");
}

static const struct conf_program program = {
	.name = "prog", .section = "meta", .synopsis = "[options] DIR...", .about = "A program.", .tables = { &table, &common_table },
	.args = "DIR...", .args_max = 2, .foreign = foreign, .check = check,
};

/* ---- running with captured output ------------------------------------------------------------------------------------------------ */

static char folder[] = "/tmp/weft-conf-XXXXXX";
static char conf_path[64], out_path[64], err_path[64];
static char out[65536], err[65536];

static void slurp(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");

	buf[f ? fread(buf, 1, size - 1, f) : 0] = '\0';
	if (f)
		fclose(f);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	fputs(text, f);
	fclose(f);
}

/* file: contents of the configuration file, NULL: none. Arguments follow, NULL ends. Returns -1 for "go on", else the status. */
static int run(struct conf **c, const char *file, char **args)
{
	char *argv[32] = { (char[]){ "prog" } }, option[] = "--config";
	int argc = 1, status, saved_out = dup(1), saved_err = dup(2);
	bool go;

	if (file) {
		write_file(conf_path, file);
		argv[argc++] = option;
		argv[argc++] = conf_path;
	}
	while (*args)
		argv[argc++] = *args++;
	fflush(stdout);
	fflush(stderr);
	dup2(open(out_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), 1);
	dup2(open(err_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), 2);
	*c = NULL;
	go = conf_start(&program, argc, argv, c, &status);
	fflush(stdout);
	fflush(stderr);
	dup2(saved_out, 1);
	dup2(saved_err, 2);
	close(saved_out);
	close(saved_err);
	slurp(out_path, out, sizeof(out));
	slurp(err_path, err, sizeof(err));
	return go ? -1 : status;
}

#define RUN(c, file, ...) run(&(c), file, (char *[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })
#define A(s) (char[]){ s }

/* ---- sources ------------------------------------------------------------------------------------------------------------------- */

static void test_sources(void)
{
	struct conf *c;

	is_int(RUN(c, NULL), -1, "defaults alone");
	ok(!values.text && !strcmp(values.path, "/x") && !values.flag && values.number == 7 && values.size == KIB(64) &&
		   values.time == 10 * NSEC_PER_SEC && values.kind == 1 && !values.list.n,
	   "have the values of the rows");
	ok(common.auth == WP_AUTH_HMAC && common.log_level == LOG_NOTICE, "also the common ones");
	ok(!conf_given(c, "number"), "nothing was given");
	conf_free(c);
	is_int(RUN(c, "[common]\nlog-level = debug\nmgmtd = tcp:a:1, tcp:b:2\n[meta]\n; comment\nnumber = 8 ; why\nflag=yes\nlist=a\nlist=b\n"
		      "[storage]\nwhatever = 3\n"),
	       -1, "a file");
	ok(common.log_level == LOG_DEBUG && common.mgmtd.n == 2 && !strcmp(common.mgmtd.v[1], "tcp:b:2"), "section common");
	ok(values.number == 8 && values.flag && values.list.n == 2, "the program's section; another program's is not its business");
	ok(conf_given(c, "number") && !strcmp(conf_file(c), conf_path), "given by the file");
	conf_free(c);
	is_int(RUN(c, "[meta]\nlog-level = err\nnumber = 8\nlist = a,b\nsize = 1M\n[common]\nlog-level = debug\n", A("--number"), A("9"),
		   A("--list=x,y,"), A("--list"), A("z"), A("--no-flag"), A("-o"), A("time=5m,flag,kind=green,allow_other"), A("dir")),
	       -1, "all sources");
	ok(values.number == 9 && values.list.n == 3 && !strcmp(values.list.v[2], "z") && values.size == MIB(1), "the later ones win");
	ok(common.log_level == LOG_ERR, "the program's section is stronger than the common one, whatever the order");
	ok(values.flag && values.kind == 2 && values.time == 300 * NSEC_PER_SEC, "-o");
	conf_free(c);
	ok(!values.path && !values.list.v, "freed values are zero");
	is_int(RUN(c, NULL, A("-f"), A("-n5"), A("--"), A("--size"), A("d")), -1, "letters, and arguments that look like options");
	unsigned n;

	ok(values.flag && values.number == 5 && !strcmp(conf_args(c, &n)[0], "--size") && n == 2, "are taken");
	conf_free(c);
}

static void test_o_lists(void)
{
	struct conf *c;

	is_int(RUN(c, NULL, A("-o"), A("list=a,b,c,number=3")), -1, "a list inside -o");
	ok(values.list.n == 3 && values.number == 3, "takes the parts that are no options");
	conf_free(c);
}

/* ---- mistakes ------------------------------------------------------------------------------------------------------------------ */

static void mistake(const char *file, const char *arg, const char *want)
{
	struct conf *c;
	cleanup_free char *copy = arg ? xstrdup(arg) : NULL;
	char *args[] = { copy, NULL };
	int status = run(&c, file, args);

	ok(status == 2 && strstr(err, want), "refused: %s", want);
	if (status != 2 || !strstr(err, want))
		printf("# status %d, said: %s\n", status, err);
	if (status == -1)
		conf_free(c);
}

static void test_mistakes(void)
{
	char longest[70000];

	mistake("[meta]\n\nnubmer = 3\n", NULL, ":3: there is no option 'nubmer' in section [meta]");
	mistake("[meta]\nnumber = 101\n", NULL, ":2: number: 101 is out of range: 1 to 100");
	mistake("[meta]\nnumber = 0\n", NULL, "out of range");
	mistake("[meta]\nnumber = -3\n", NULL, ":2: number: '-3' is not a number");
	mistake("[meta]\nnumber = 99999999999999999999\n", NULL, "out of range");
	mistake("[meta]\nsize = 3X\n", NULL, "'3X' is not a size such as 64K");
	mistake("[meta]\nsize = 17179869184T\n", NULL, "out of range: 4K to 1G");
	mistake("[meta]\ntime = 5d\n", NULL, "'5d' is not a duration");
	mistake("[meta]\ntime = 2h\n", NULL, "out of range: 1ms to 1h");
	mistake("[meta]\nkind = blue\n", NULL, "'blue' is not one of red or green");
	mistake("[meta]\nflag = perhaps\n", NULL, "'perhaps' is neither yes nor no");
	mistake("[meta]\npath =\n", NULL, "a path is wanted");
	mistake("[meta]\nlist = a,b,c,d,e\n", NULL, "more than 4 values");
	mistake("[meta]\nnumber = 3\nnumber = 4\n", NULL, ":3: number was set already in line 2");
	mistake("[meta]\nword = x\n", NULL, ":2: word can only be given on the command line");
	mistake("[common]\nnumber = 3\n", NULL, ":2: number belongs into section [meta]");
	mistake("[mata]\nnumber = 3\n", NULL, ":2: there is no section [mata]");
	mistake("number = 3\n", NULL, ":1: options must follow a section line");
	mistake("[meta]\nnumber\n", NULL, ":2: neither a [section] nor 'name = value'");
	mistake("[meta]\nnumber = 13\n", NULL, ":2: number: brings bad luck");
	mistake("[meta]\nnumber = 101\n", "--number=5", "out of range"); /* overridden, and wrong still */
	mistake(NULL, "--number=x", "prog: --number: 'x' is not a number");
	mistake(NULL, "--number", "--number: a value is missing: N");
	mistake(NULL, "--nope", "there is no option --nope: see prog --help");
	mistake(NULL, "-z", "there is no option -z");
	mistake(NULL, "-n", "-n: a value is missing");
	mistake(NULL, "--no-flag=yes", "no value is possible");
	mistake(NULL, "--no-number", "there is no option --no-number");
	mistake(NULL, "-onumber", "-o number: a value is missing");
	mistake(NULL, "-onope", "-o nope: there is no such option");
	mistake(NULL, "--text=a ;b", "semicolon");
	mistake(NULL, "--text=a\nb", "control characters");
	mistake(NULL, "--text= a", "start or end with a space");
	mistake(NULL, "--config=/nonexistent/weft.conf", "cannot read the configuration file /nonexistent/weft.conf: No such file");
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "[meta]\ntext = ", 14);
	longest[sizeof(longest) - 1] = '\0';
	mistake(longest, NULL, ":2: not a line of text");
}

static void test_all_reported(void)
{
	struct conf *c;

	is_int(RUN(c, "[meta]\nnumber = 0\nkind = blue\n", A("--size=1"), A("a"), A("b"), A("c"), A("--check-config")), 1,
	       "--check-config with mistakes: exit status 1");
	ok(strstr(err, ":2: number") && strstr(err, ":3: kind") && strstr(err, "--size") && strstr(err, "'c': too many arguments"),
	   "all of them are reported");
	is_int(RUN(c, "[meta]\nnumber = 3\n", A("--check-config")), 0, "--check-config without: exit status 0");
	ok(strstr(out, "is right"), "says so");
}

/* ---- printing ------------------------------------------------------------------------------------------------------------------ */

static void test_round_trip(void)
{
	static char first[65536];
	char path[300];
	struct conf *c;

	memset(path, 'p', sizeof(path) - 1);
	memcpy(path, "--path=/", 8);
	path[sizeof(path) - 1] = '\0';
	is_int(RUN(c, "[common]\nmgmtd = unix:/a\n", A("--print-config")), 0, "--print-config of defaults");
	memcpy(first, out, sizeof(first));
	is_int(RUN(c, first, A("--print-config")), 0, "is a configuration file");
	ok(!strcmp(first, out), "and reads back the same");
	is_int(RUN(c, "[meta]\nsize = 1536K\ntime = 1500ms\n", path, A("--text=a=b:c ] [x] # y"), A("--list=a;b,c d"), A("--flag"),
		   A("--auth=none"), A("--print-config")),
	       0, "--print-config of everything");
	ok(strstr(out, "size = 1536K") && strstr(out, "time = 1500ms") && strstr(out, "text = a=b:c ] [x] # y"), "prints what was given");
	memcpy(first, out, sizeof(first));
	is_int(RUN(c, first, A("--print-config")), 0, "is a configuration file, with a line that inih alone would cut");
	ok(!strcmp(first, out), "and reads back the same");
	if (strcmp(first, out))
		printf("# %s\n# %s\n", first, out);
}

static void test_help(void)
{
	struct conf *c;

	is_int(RUN(c, NULL, A("--nope"), A("--help")), 0, "--help, whatever else is wrong");
	ok(strstr(out, "usage: prog [options] DIR...") && strstr(out, "-n, --number N") && strstr(out, "(default 7)") && strstr(out, "red or green"),
	   "shows the table");
	ok(!strstr(out, "dump-options"), "but not what is hidden");
	is_int(RUN(c, NULL, A("--version")), 0, "--version");
	ok(!strcmp(out, "prog " WEFT_VERSION "\n"), "is one line");
	is_int(RUN(c, NULL, A("--dump-options=roff")), 0, "rows for manuals");
	ok(strstr(out, "\\fB\\-\\-check\\-config\\fR"), "as roff");
	is_int(RUN(c, NULL, A("--dump-options=markdown")), 0, "and");
	ok(strstr(out, "| `--number N` | file | a number, 1 to 100 (default 7) |"), "as Markdown");
}

static void test_values(void)
{
	static const uint64_t sizes[] = { 0, 1, 1023, 1024, 1536, MIB(3), GIB(5), 1ull << 40, UINT64_MAX };
	char text[64];
	uint64_t v;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		conf_format_size(sizes[i], text, sizeof(text));
		ok(conf_parse_size(text, &v) == 0 && v == sizes[i], "size %s", text);
		conf_format_duration(sizes[i], text, sizeof(text));
		ok(conf_parse_duration(text, &v) == 0 && (v == sizes[i] || !sizes[i]), "duration %s", text);
	}
	is_int(conf_parse_size("16777216T", &v), -ERANGE, "2^64 bytes do not fit");
	is_int(conf_parse_size("", &v), -EINVAL, "no digits");
	is_int(conf_parse_size("4 K", &v), -EINVAL, "a space inside");
}

/* ---- secrets -------------------------------------------------------------------------------------------------------------------- */

static void test_secrets(void)
{
	uint8_t secret[CONF_SECRET_MAX], other[CONF_SECRET_MAX];
	char path[80], why[256] = "";
	struct stat st;
	size_t len = 0;

	snprintf(path, sizeof(path), "%s/secret", folder);
	is_int(conf_secret_create(path), 0, "a new secret");
	is_int(conf_secret_create(path), -EEXIST, "is not replaced");
	ok(stat(path, &st) == 0 && (st.st_mode & 07777) == 0600, "belongs to its owner only");
	is_int(conf_secret_read(path, secret, &len, why, sizeof(why)), 0, "is read");
	is_int(len, 64, "64 digits, no newline");
	chmod(path, 0640);
	is_int(conf_secret_read(path, other, &len, why, sizeof(why)), -EACCES, "readable by the group: refused");
	ok(strstr(why, "chmod 600"), "with advice");
	unlink(path);
	is_int(conf_secret_read(path, other, &len, why, sizeof(why)), -ENOENT, "missing");
	is_int(conf_secret_create(path), 0, "another one");
	ok(!conf_secret_read(path, other, &len, NULL, 0) && memcmp(secret, other, 64), "differs");
	write_file(path, "0123456789abcde\n");
	is_int(conf_secret_read(path, other, &len, why, sizeof(why)), -EINVAL, "15 bytes are too short");
	write_file(path, "0123456789abcdef\n");
	ok(!conf_secret_read(path, other, &len, why, sizeof(why)) && len == 16, "16 are not");
	write_file(path, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0");
	is_int(conf_secret_read(path, other, &len, why, sizeof(why)), -EINVAL, "65 are too long");
	is_int(conf_secret_read(folder, other, &len, why, sizeof(why)), -EINVAL, "a folder is no secret");
	unlink(path);
}

static void test_counters(void)
{
	static const struct counter_info info[] = { { "reads", "", "reads", COUNTER_TOTAL }, { "used", "bytes", "used", COUNTER_GAUGE },
						    COUNTERS_END };
	const uint64_t numbers[] = { 3, 4 };
	struct wp_counter counters[2];
	struct buf b = { 0 };

	is_int(counters_rows(info, numbers, counters, 2), 2, "two counters");
	ok(counters[1].value == 4 && wp_str_eq(counters[1].unit, wp_str("bytes")), "with values and units");
	is_int(counters_rows(info, numbers, counters, 1), 1, "as many as fit");
	counters_document(&b, info);
	buf_add(&b, "", 1);
	ok(strstr((char *)b.p, "| used | bytes | gauge | used |"), "documented");
	buf_done(&b);
}

int main(void)
{
	if (!mkdtemp(folder))
		bail_out("no temporary folder");
	snprintf(conf_path, sizeof(conf_path), "%s/weft.conf", folder);
	snprintf(out_path, sizeof(out_path), "%s/out", folder);
	snprintf(err_path, sizeof(err_path), "%s/err", folder);
	test_sources();
	test_o_lists();
	test_mistakes();
	test_all_reported();
	test_round_trip();
	test_help();
	test_values();
	test_secrets();
	test_counters();
	unlink(conf_path);
	unlink(out_path);
	unlink(err_path);
	rmdir(folder);
	return done_testing();
}
