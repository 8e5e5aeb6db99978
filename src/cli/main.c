/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "cli/cli.h"

#include <stdarg.h>

struct cli_globals cli;

static const struct cli_option global_options[] = {
	{ 'j', "json", OPT_FLAG, &cli.json, NULL, "print JSON instead of a table" },
	{ 'd', "dir", OPT_TEXT, &cli.dir, "DIR", "folder of a local cluster (default: $WEFT_DIR, else ./var)" },
	{ 0, "config", OPT_TEXT, &cli.config, "FILE", "configuration file (default: DIR/weft.conf, else /etc/weft/weft.conf)" },
	{ 0, "mgmtd", OPT_TEXT, &cli.mgmtd, "ADDRESS", "management daemon to ask, instead of the configured one" },
	{ 0 },
};

const struct cli_verb cli_verbs[] = {
	{ NULL, "up", "", 0, 0, "create or start the cluster in DIR and mount it", up_options, verb_up },
	{ NULL, "down", "", 0, 0, "unmount and stop the cluster in DIR; its data stay", down_options, verb_down },
	{ NULL, "destroy", "", 0, 0, "stop the cluster in DIR and delete all its data", destroy_options, verb_destroy },
	{ NULL, "status", "", 0, 0, "daemons, targets, space and health on one screen", NULL, verb_status },
	{ NULL, "mount", "PATH", 1, 1, "mount the file system", mount_options, verb_mount },
	{ NULL, "umount", "PATH", 1, 1, "unmount it", umount_options, verb_umount },
	{ NULL, "df", "", 0, 0, "space and inodes of each target", NULL, verb_df },
	{ "node", "list", "", 0, 0, "servers and clients", NULL, verb_node_list },
	{ "node", "show", "NODE", 1, 1, "everything known of one node", NULL, verb_node_show },
	{ "node", "alias", "NODE NAME", 2, 2, "give a node another name", NULL, verb_node_alias },
	{ "node", "remove", "NODE", 1, 1, "forget a node that has no targets", remove_options, verb_node_remove },
	{ "target", "list", "", 0, 0, "metadata and storage targets", NULL, verb_target_list },
	{ "target", "show", "TARGET", 1, 1, "everything known of one target", NULL, verb_target_show },
	{ "target", "alias", "TARGET NAME", 2, 2, "give a target another name", NULL, verb_target_alias },
	{ "target", "drain", "TARGET", 1, 1, "give a target nothing new", NULL, verb_target_drain },
	{ "target", "resume", "TARGET", 1, 1, "end draining", NULL, verb_target_resume },
	{ "target", "remove", "TARGET", 1, 1, "forget an offline target", remove_options, verb_target_remove },
	{ "pool", "list", "", 0, 0, "storage pools", NULL, verb_pool_list },
	{ "pool", "create", "NAME", 1, 1, "make an empty pool", NULL, verb_pool_create },
	{ "pool", "delete", "POOL", 1, 1, "delete an empty pool", NULL, verb_pool_delete },
	{ "pool", "assign", "POOL TARGET...", 2, CLI_ARGS_MAX, "move storage targets into a pool", NULL, verb_pool_assign },
	{ "pool", "alias", "POOL NAME", 2, 2, "give a pool another name", NULL, verb_pool_alias },
	{ NULL, "registration", "lock|unlock", 1, 1, "refuse or accept new nodes and targets", NULL, verb_registration },
	{ NULL, "stat", "PATH...", 1, CLI_ARGS_MAX, "FID, layout, objects and where they lie", NULL, verb_stat },
	{ "layout", "get", "PATH...", 1, CLI_ARGS_MAX, "layout of a file, or what a directory gives to new files", NULL,
	  verb_layout_get },
	{ "layout", "set", "PATH...", 1, CLI_ARGS_MAX, "set a directory's policy, or make a file with a layout", layout_options,
	  verb_layout_set },
	{ NULL, "getstripe", "PATH...", 1, CLI_ARGS_MAX, "same as layout get", NULL, verb_layout_get },
	{ NULL, "setstripe", "PATH...", 1, CLI_ARGS_MAX, "same as layout set", layout_options, verb_layout_set },
	{ NULL, "sync", "PATH", 1, 1, "make everything written through this mount durable", NULL, verb_sync },
	{ NULL, "config", "", 0, 0, "the effective configuration", NULL, verb_config },
	{ NULL, "version", "", 0, 0, "versions of program and protocol", NULL, verb_version },
	{ NULL, "completion", "bash", 1, 1, "a completion script for the shell", NULL, verb_completion },
	{ NULL, "help", "[VERB...]", 0, 2, "this text, or one verb's options", NULL, verb_help },
	{ NULL, "dump-options", "", 0, 0, NULL, NULL, verb_dump_options }, /* for the manual page */
	{ 0 },
};

int cli_fail(const char *fmt, ...)
{
	va_list ap;

	fputs("weft: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

/* ---- help and completion ------------------------------------------------------------------------------- */

static void print_options(const struct cli_option *o)
{
	for (; o && o->name; o++) {
		char left[64];

		snprintf(left, sizeof(left), "%s%c%s--%s%s%s", o->letter ? "-" : "  ", o->letter ? o->letter : ' ',
			 o->letter ? ", " : "  ", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
		printf("  %-26s %s\n", left, o->help);
	}
}

static void print_verb(const struct cli_verb *v)
{
	char left[64];

	snprintf(left, sizeof(left), "%s%s%s %s", v->noun ? v->noun : "", v->noun ? " " : "", v->name, v->args);
	printf("  %-26s %s\n", left, v->help);
}

static int help_one(const struct cli_verb *v)
{
	printf("usage: weft %s%s%s %s%s\n\n%s.\n", v->noun ? v->noun : "", v->noun ? " " : "", v->name,
	       v->options ? "[options] " : "", v->args, v->help);
	if (v->options) {
		printf("\nOptions:\n");
		print_options(v->options);
	}
	printf("\nGeneral options:\n");
	print_options(global_options);
	return 0;
}

static const struct cli_verb *find_verb(int argc, char **argv, int *used)
{
	for (const struct cli_verb *v = cli_verbs; v->name; v++) {
		if (!v->noun && argc >= 1 && !strcmp(v->name, argv[0])) {
			*used = 1;
			return v;
		}
		if (v->noun && argc >= 2 && !strcmp(v->noun, argv[0]) && !strcmp(v->name, argv[1])) {
			*used = 2;
			return v;
		}
	}
	return NULL;
}

static void roff_options(const struct cli_option *o)
{
	for (; o && o->name; o++) {
		printf(".TP\n");
		if (o->letter)
			printf("\\fB-%c\\fR, ", o->letter);
		printf("\\fB--%s\\fR%s%s%s\n%s\n", o->name, o->arg ? " \\fI" : "", o->arg ? o->arg : "", o->arg ? "\\fR" : "",
		       o->help);
	}
}

/* For the manual page: general options, a mark, verbs with their options. */
int verb_dump_options(int argc, char **argv)
{
	roff_options(global_options);
	printf("@@VERBS@@\n");
	for (const struct cli_verb *v = cli_verbs; v->name; v++) {
		if (!v->help)
			continue;
		printf(".TP\n\\fB%s%s%s\\fR %s\n%s.\n", v->noun ? v->noun : "", v->noun ? " " : "", v->name, v->args, v->help);
		if (v->options) {
			printf(".RS\n");
			roff_options(v->options);
			printf(".RE\n");
		}
	}
	return 0;
}

int verb_help(int argc, char **argv)
{
	int used;
	const struct cli_verb *v = find_verb(argc, argv, &used);

	if (v)
		return help_one(v);
	printf("usage: weft VERB [options] [arguments]\n\nWeft is a parallel distributed file system. `weft up` makes a local "
	       "cluster and mounts it.\n\n");
	for (v = cli_verbs; v->name; v++)
		if (v->help)
			print_verb(v);
	printf("\nGeneral options:\n");
	print_options(global_options);
	printf("\n`weft help VERB` tells more.\n");
	return 0;
}

static void completion_words(const char *noun)
{
	for (const struct cli_verb *v = cli_verbs; v->name; v++) {
		if (noun) {
			if (v->noun && !strcmp(v->noun, noun))
				printf("%s ", v->name);
		} else if (!v->noun && v->help) {
			printf("%s ", v->name);
		} else if (v->noun && (v == cli_verbs || !(v - 1)->noun || strcmp((v - 1)->noun, v->noun))) {
			printf("%s ", v->noun);
		}
	}
}

int verb_completion(int argc, char **argv)
{
	const char *last = NULL;

	if (argc != 1 || strcmp(argv[0], "bash"))
		return cli_fail("only bash is known: weft completion bash");
	printf("_weft() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} words=\"\"\n\tcase $COMP_CWORD,${COMP_WORDS[1]} in\n\t1,*) "
	       "words=\"");
	completion_words(NULL);
	printf("\" ;;\n");
	for (const struct cli_verb *v = cli_verbs; v->name; v++) {
		if (!v->noun || (last && !strcmp(last, v->noun)))
			continue;
		last = v->noun;
		printf("\t2,%s) words=\"", last);
		completion_words(last);
		printf("\" ;;\n");
	}
	for (const struct cli_verb *v = cli_verbs; v->name; v++) {
		if (v->noun || !v->options)
			continue;
		printf("\t*,%s) [[ $cur == -* ]] && words=\"", v->name);
		for (const struct cli_option *o = v->options; o->name; o++)
			printf("--%s ", o->name);
		printf("\" ;;\n");
	}
	printf("\tesac\n\tif [ -n \"$words\" ]; then COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")); "
	       "else COMPREPLY=($(compgen -f -- \"$cur\")); fi\n}\ncomplete -o filenames -F _weft weft\n");
	return 0;
}

/* ---- parsing ------------------------------------------------------------------------------------------- */

static const struct cli_option *match(const struct cli_option *o, const char *word, size_t len, char letter)
{
	for (; o && o->name; o++)
		if (letter ? o->letter == letter : strlen(o->name) == len && !strncmp(o->name, word, len))
			return o;
	return NULL;
}

static int set_option(const struct cli_option *o, const char *text)
{
	char *end;
	unsigned long n;

	switch (o->kind) {
	case OPT_FLAG:
		*(bool *)o->value = true;
		return 0;
	case OPT_TEXT:
		*(const char **)o->value = text;
		return 0;
	case OPT_NUMBER:
		errno = 0;
		n = strtoul(text, &end, 10);
		if (errno || *end || end == text || n > UINT32_MAX)
			return cli_fail("--%s wants a number, not '%s'", o->name, text);
		*(unsigned *)o->value = (unsigned)n;
		return 0;
	}
	return 1;
}

/* Takes the option at argv[*i]; moves *i to its last word. */
static int parse_option(const struct cli_verb *v, int argc, char **argv, int *i)
{
	const char *word = argv[*i], *value = NULL;
	const struct cli_option *o;
	char letter = 0;
	size_t len;

	if (word[1] == '-') {
		word += 2;
		len = strcspn(word, "=");
		if (word[len] == '=')
			value = word + len + 1;
	} else {
		letter = word[1];
		len = 1;
		if (word[2])
			value = word + 2;
	}
	o = match(v->options, word, len, letter);
	if (!o)
		o = match(global_options, word, len, letter);
	if (!o)
		return cli_fail("unknown option '%s': see 'weft help %s%s%s'", argv[*i], v->noun ? v->noun : "",
				v->noun ? " " : "", v->name);
	if (o->kind == OPT_FLAG)
		return value ? cli_fail("--%s takes no value", o->name) : set_option(o, NULL);
	if (!value) {
		if (*i + 1 >= argc)
			return cli_fail("--%s wants a value: %s", o->name, o->arg);
		value = argv[++*i];
	}
	return set_option(o, value);
}

static int run_verb(const struct cli_verb *v, int argc, char **argv)
{
	char *args[CLI_ARGS_MAX];
	int n = 0;

	for (int i = 0; i < argc; i++) {
		if (argv[i][0] == '-' && argv[i][1]) {
			if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
				return help_one(v);
			if (parse_option(v, argc, argv, &i))
				return 2;
		} else if (n < CLI_ARGS_MAX) {
			args[n++] = argv[i];
		} else {
			return cli_fail("too many arguments, at most %d", CLI_ARGS_MAX), 2;
		}
	}
	if (n < v->args_min || n > v->args_max) {
		cli_fail("usage: weft %s%s%s %s", v->noun ? v->noun : "", v->noun ? " " : "", v->name, v->args);
		return 2;
	}
	if (!cli.dir)
		cli.dir = getenv("WEFT_DIR");
	return v->run(n, args);
}

/* A noun without its verb, or nothing that we know. */
static int say_unknown(int argc, char **argv)
{
	bool noun = false;

	for (const struct cli_verb *v = cli_verbs; v->name; v++) {
		if (!v->noun || strcmp(v->noun, argv[0]))
			continue;
		if (!noun)
			fprintf(stderr, "weft: what about the %s? Say one of:\n", argv[0]);
		noun = true;
		fprintf(stderr, "  weft %s %s %s\n", v->noun, v->name, v->args);
	}
	if (!noun)
		cli_fail("unknown verb '%s': see 'weft help'", argv[0]);
	return 2;
}

int main(int argc, char **argv)
{
	const struct cli_verb *v;
	int used;

	if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return verb_help(0, NULL);
	if (!strcmp(argv[1], "--version"))
		return verb_version(0, NULL);
	v = find_verb(argc - 1, argv + 1, &used);
	if (!v) {
		return say_unknown(argc - 1, argv + 1);
	}
	return run_verb(v, argc - 1 - used, argv + 1 + used);
}
