/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "cli/cli.h"

#define TABLE_COLUMNS_MAX 16
#define CELL_MAX 256

const char *human_bytes(uint64_t bytes, char *buf, size_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)bytes;
	unsigned u = 0;

	while (v >= 1024 && u + 1 < ARRAY_SIZE(units)) {
		v /= 1024;
		u++;
	}
	snprintf(buf, size, u && v < 100 ? "%.1f %s" : "%.0f %s", v, units[u]);
	return buf;
}

static void cell(json_t *value, enum column_format format, char *buf, size_t size)
{
	if (!value || json_is_null(value))
		snprintf(buf, size, "-");
	else if (json_is_string(value))
		snprintf(buf, size, "%s", json_string_value(value));
	else if (json_is_boolean(value))
		snprintf(buf, size, "%s", json_is_true(value) ? "yes" : "no");
	else if (json_is_integer(value) && format == COL_BYTES)
		human_bytes((uint64_t)json_integer_value(value), buf, size);
	else if (json_is_integer(value))
		snprintf(buf, size, "%lld%s", (long long)json_integer_value(value), format == COL_PERCENT ? "%" : "");
	else if (json_is_real(value))
		snprintf(buf, size, "%.1f%s", json_real_value(value), format == COL_PERCENT ? "%" : "");
	else
		snprintf(buf, size, "...");
}

static void print_cell(const char *text, int width, bool right, bool last)
{
	if (right)
		printf("%*s%s", width, text, last ? "" : "  ");
	else
		printf("%-*s%s", last ? 0 : width, text, last ? "" : "  ");
}

void table_print(json_t *rows, const struct column *columns)
{
	int width[TABLE_COLUMNS_MAX] = { 0 };
	char text[CELL_MAX];
	size_t i, n = 0;
	json_t *row;

	if (cli.json) {
		json_print(rows);
		return;
	}
	while (columns[n].key && n < TABLE_COLUMNS_MAX) {
		width[n] = (int)strlen(columns[n].title);
		n++;
	}
	json_array_foreach (rows, i, row)
		for (size_t c = 0; c < n; c++) {
			cell(json_object_get(row, columns[c].key), columns[c].format, text, sizeof(text));
			width[c] = MAX(width[c], (int)strlen(text));
		}
	for (size_t c = 0; c < n; c++)
		print_cell(columns[c].title, width[c], columns[c].format != COL_TEXT, c + 1 == n);
	putchar('\n');
	json_array_foreach (rows, i, row) {
		for (size_t c = 0; c < n; c++) {
			cell(json_object_get(row, columns[c].key), columns[c].format, text, sizeof(text));
			print_cell(text, width[c], columns[c].format != COL_TEXT, c + 1 == n);
		}
		putchar('\n');
	}
	json_decref(rows);
}

void json_print(json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);
	putchar('\n');
	json_decref(value);
}
