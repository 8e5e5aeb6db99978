#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Generates weft_proto.h, weft_proto.c and PROTOCOL.md from weft.schema.

usage: gen.py SCHEMA OUTDIR [--test]

--test emits weft_proto_test.h and weft_proto_test.c instead: random contents and comparison of
every struct, for tests and fuzzing.
"""

import argparse
import pathlib
import sys

sys.dont_write_bytecode = True  # the source tree may be read-only

import schema as schema_mod  # noqa: E402


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("schema")
    ap.add_argument("outdir")
    ap.add_argument("--test", action="store_true", help="emit the helpers of the tests instead")
    args = ap.parse_args()

    try:
        tree = schema_mod.parse(pathlib.Path(args.schema).read_text(encoding="utf-8"))
    except schema_mod.SchemaError as e:
        sys.exit(f"{args.schema}:{e}")

    if args.test:
        import emit_test
        files = {"weft_proto_test.h": emit_test.header(tree),
                 "weft_proto_test.c": emit_test.source(tree)}
    else:
        import emit_c
        import emit_md
        files = {"weft_proto.h": emit_c.header(tree), "weft_proto.c": emit_c.source(tree),
                 "PROTOCOL.md": emit_md.document(tree)}
    outdir = pathlib.Path(args.outdir)
    outdir.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (outdir / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
