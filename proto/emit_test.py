# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Emits weft_proto_test.h and weft_proto_test.c: random contents and comparison of every struct,
and a table of all types, so that a test covers a new message without knowing it."""

from emit_c import BANNER, c_type
from schema import has_macro, op_macro

HEADER = """#ifndef WEFT_PROTO_TEST_H
#define WEFT_PROTO_TEST_H

#include "weft_proto.h"
#include "test/unit/proto/fill.h"

struct wp_test_type {
	const char *name;
	uint16_t op;		/* messages only */
	bool is_body;		/* request or reply of a message: the optional part may be missing */
	bool is_reply;
	size_t size;		/* of the struct */
	size_t has_at;		/* offset of the member has; SIZE_MAX without one */
	uint32_t min;		/* WP_<X>_MIN */
	void (*fill)(struct wp_fill *f, void *m);
	bool (*equal)(const void *a, const void *b);
	void (*enc)(struct wp_enc *e, const void *m);
	int (*decode)(const void *buf, size_t len, void *scratch, size_t scratch_len, void *m);
};

extern const struct wp_test_type wp_test_types[];
extern const uint32_t wp_test_types_n;
"""


def fill_value(f, expr):
    if f.kind == "int":
        return f"{expr} = ({c_type(f)})wp_fill_int(f);"
    if f.kind in ("str", "bytes"):
        return f"{expr} = wp_fill_{f.kind}(f, {f.max[0]});"
    return f"wp_{f.type}_fill(f, &{expr});" if f.kind == "struct" else f"wp_fill_uuid(f, &{expr});"


def fill_field(f, tabs):
    if not f.array:
        return [tabs + fill_value(f, f"m->{f.name}")]
    return [f"{tabs}m->{f.name} = wp_fill_array(f, {f.array[0]}, sizeof(*m->{f.name}), "
            f"&m->{f.name}_n);",
            f"{tabs}for (uint32_t i = 0; i < m->{f.name}_n; i++)",
            f"{tabs}\t" + fill_value(f, f"m->{f.name}[i]")]


def fill_function(s):
    out = [f"void wp_{s.name}_fill(struct wp_fill *f, struct wp_{s.name} *m)", "{",
           "\tmemset(m, 0, sizeof(*m));"]
    for f in s.fixed:
        out += fill_field(f, "\t")
    for f in s.optional:
        out += ["\tif (wp_fill_flip(f)) {", f"\t\tm->has |= {has_macro(s, f)};"]
        out += fill_field(f, "\t\t") + ["\t}"]
    return out + (["\t(void)f;"] if not s.fields else []) + ["}", ""]


def differs(f, a, b):
    if f.kind == "int":
        return f"{a} != {b}"
    if f.kind in ("str", "bytes"):
        return f"!wp_{f.kind}_eq({a}, {b})"
    call = f"wp_{f.type}_equal" if f.kind == "struct" else "wp_uuid_eq"
    return f"!{call}(&{a}, &{b})"


def equal_field(f, tabs):
    n = f.name
    if not f.array:
        return [f"{tabs}if ({differs(f, f'a->{n}', f'b->{n}')})", f"{tabs}\treturn false;"]
    return [f"{tabs}if (a->{n}_n != b->{n}_n)", f"{tabs}\treturn false;",
            f"{tabs}for (uint32_t i = 0; i < a->{n}_n; i++)",
            f"{tabs}\tif ({differs(f, f'a->{n}[i]', f'b->{n}[i]')})", f"{tabs}\t\treturn false;"]


def equal_function(s):
    t = f"const struct wp_{s.name} *"
    out = [f"bool wp_{s.name}_equal({t}a, {t}b)", "{"]
    if s.has_tail:
        out += ["\tif (a->has != b->has)", "\t\treturn false;"]
    for f in s.fixed:
        out += equal_field(f, "\t")
    for f in s.optional:
        out += [f"\tif (a->has & {has_macro(s, f)}) {{"] + equal_field(f, "\t\t") + ["\t}"]
    return out + ["\treturn true;", "}", ""]


def wrappers(s):
    t = f"struct wp_{s.name} *"
    return [f"static void t_{s.name}_fill(struct wp_fill *f, void *m)", "{",
            f"\twp_{s.name}_fill(f, ({t})m);", "}", "",
            f"static bool t_{s.name}_equal(const void *a, const void *b)", "{",
            f"\treturn wp_{s.name}_equal(a, b);", "}", "",
            f"static void t_{s.name}_enc(struct wp_enc *e, const void *m)", "{",
            f"\twp_{s.name}_enc(e, m);", "}", "",
            f"static int t_{s.name}_decode(const void *buf, size_t len, void *scratch,",
            "\t\tsize_t scratch_len, void *m)", "{",
            f"\treturn wp_{s.name}_decode(buf, len, scratch, scratch_len, m);", "}", ""]


def table(schema):
    op = {}
    for m in schema.messages:
        op[m.req.name], op[m.rep.name] = (op_macro(m), "false"), (op_macro(m), "true")
    out = ["const struct wp_test_type wp_test_types[] = {"]
    for s in schema.ordered:
        number, reply = op.get(s.name, ("0", "false"))
        has_at = f"offsetof(struct wp_{s.name}, has)" if s.has_tail else "SIZE_MAX"
        out += ["\t{", f"\t\t\"{s.name}\", {number}, {'true' if s.is_body else 'false'}, {reply},",
                f"\t\tsizeof(struct wp_{s.name}), {has_at},",
                f"\t\tWP_{s.name.upper()}_MIN, t_{s.name}_fill, t_{s.name}_equal,",
                f"\t\tt_{s.name}_enc, t_{s.name}_decode,", "\t},"]
    return out + ["};", "const uint32_t wp_test_types_n = "
                  "sizeof(wp_test_types) / sizeof(wp_test_types[0]);"]


def header(schema):
    out = [BANNER.format(what="Random contents and comparison of every struct, for tests."), HEADER]
    for s in schema.ordered:
        t = f"struct wp_{s.name} *"
        out += [f"void wp_{s.name}_fill(struct wp_fill *f, {t}m);",
                f"bool wp_{s.name}_equal(const {t}a, const {t}b);"]
    return "\n".join(out + ["", "#endif"]) + "\n"


def source(schema):
    out = [BANNER.format(what="Random contents and comparison of every struct, for tests."),
           '#include "weft_proto_test.h"', ""]
    for s in schema.ordered:
        out += fill_function(s) + equal_function(s) + wrappers(s)
    return "\n".join(out + table(schema)) + "\n"
