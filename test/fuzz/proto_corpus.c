/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Writes the seed corpus of proto_fuzz: valid messages of every kind.
 *
 * usage: proto_corpus DIR STAMP
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "weft_proto_test.h"

#define PER_MODE	2
#define LONGEST		4096	/* longer seeds only slow the fuzzer down */
#define WIRE_SIZE	(2u << 20)

static uint8_t arena[1u << 20], wire[WIRE_SIZE];

static bool write_file(const char *path, const void *p, size_t len)
{
	FILE *f = fopen(path, "wb");
	bool good = f && fwrite(p, 1, len, f) == len;

	if (f && fclose(f))
		good = false;
	if (!good)
		perror(path);
	return good;
}

static bool write_seed(const char *dir, const struct wp_test_type *t, int mode, unsigned int n)
{
	void *m = calloc(1, t->size);
	struct wp_fill fill;
	struct wp_enc e;
	char path[4096];
	bool good;

	wp_fill_init(&fill, n, (enum wp_fill_mode)mode, arena, sizeof(arena));
	wp_enc_init(&e, wire, sizeof(wire));
	wp_enc_u16(&e, (uint16_t)(t->op | (t->is_reply ? 0x8000 : 0)));
	t->fill(&fill, m);
	t->enc(&e, m);
	free(m);
	if (e.len > LONGEST)
		return true;
	(void)snprintf(path, sizeof(path), "%s/%s-%d-%u", dir, t->name, mode, n);
	good = !e.err && write_file(path, wire, e.len);
	return good;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: proto_corpus DIR STAMP\n");
		return 2;
	}
	if (mkdir(argv[1], 0777) && errno != EEXIST) {
		perror(argv[1]);
		return 1;
	}
	for (uint32_t i = 0; i < wp_test_types_n; i++) {
		const struct wp_test_type *t = &wp_test_types[i];

		if (!t->is_body && strcmp(t->name, "hdr"))
			continue;
		for (int mode = 0; mode < WP_FILL_MODES; mode++)
			for (unsigned int n = 0; n < PER_MODE; n++)
				if (!write_seed(argv[1], t, mode, n))
					return 1;
	}
	return write_file(argv[2], "", 0) ? 0 : 1;
}
