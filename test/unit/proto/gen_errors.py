#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Each mistake in a schema is an error with the number of its line.

usage: gen_errors.py GEN_PY SCHEMA
"""

import pathlib
import subprocess
import sys
import tempfile

GEN, SCHEMA = sys.argv[1:3]
# (added to the schema, what the message must contain)
CASES = [
    ("struct a { nothing x; }", "unknown type 'nothing'"),
    ("struct a { u32 x; u8 x; }", "field 'x' repeats"),
    ("struct a { b y; } struct b { a x; }", "contains itself: a -> b -> a"),
    ("struct a { }", "is empty"),
    ("struct a { u32 x[0]; }", "out of range"),
    ("struct a { str<NO_SUCH> x; }", "no number or constant"),
    ("struct a { optional(1) u8 x; u8 y; }", "follows an optional field"),
    ("struct a { optional(1) u8 x; optional(1) u8 y; }", "tag of 'y' repeats"),
    ("struct a { optional(0) u8 x; }", "tag 0"),
    ("struct a { optional(65536) u8 x; }", "above 65535"),
    ("struct a { u8 int; }", "cannot be the name"),
    ("struct a { u8 x[4]; u8 x_n; }", "'x_n' is taken"),
    ("struct a { u8 x }", "expected ';'"),
    ("struct str { u8 x; }", "taken by the codec"),
    ("struct fid { u8 x; }", "struct 'fid' repeats"),
    ("struct a { lookup_req x; }", "unknown type 'lookup_req'"),
    ("enum a : u8 { X = 256 \"x\"; }", "above 255"),
    ("enum a : u8 { X = 1 \"x\"; Y = 1 \"y\"; }", "value 'Y' repeats"),
    ("enum a : u8 { X = 1; }", "expected the description"),
    ("enum a : u8 { X = 1 EIO \"x\"; }", "only status codes"),
    ("enum a : u64 { X = 1 \"x\"; }", "at most 32 bits"),
    ("flags a : u8 { X = 8 \"x\"; }", "above 7"),
    ("message a = 0x0001 { request { } reply { } }", "opcode 'a' repeats"),
    ("message a = 0x10000 { request { } reply { } }", "above 65535"),
    ("message a = 0x7fff { request { } }", "expected 'reply'"),
    ("const NAME_MAX = 1 \"x\"", "constant 'NAME_MAX' repeats"),
    ("const OP_LOOKUP = 1 \"x\"", "WP_OP_LOOKUP is declared"),
    ("const X = 0x1ffffffffffffffff \"x\"", "is above"),
    ("bogus", "expected a declaration"),
    ("$", "unexpected character '$'"),
    ("struct a { u8 x;", "end of file"),
]


def generate(text):
    with tempfile.TemporaryDirectory() as tmp:
        path = pathlib.Path(tmp) / "x.schema"
        path.write_text(text, encoding="utf-8")
        done = subprocess.run([sys.executable, GEN, path, tmp], stderr=subprocess.PIPE, text=True,
                              check=False)
    return done.returncode, done.stderr.strip()


def main():
    base = pathlib.Path(SCHEMA).read_text(encoding="utf-8")
    line = base.count("\n") + 1
    cases = [(base + text + "\n", want) for text, want in CASES]
    cases.append((base.replace("\tu64 reserved;\n", ""), "56 bytes, not 64"))
    failed = 0
    for number, (text, want) in enumerate(cases, 1):
        code, message = generate(text)
        numbered = number == len(cases) or f".schema:{line}" in message or "end of file" in want
        good = code == 1 and want in message and numbered and "Traceback" not in message
        failed += not good
        print(f"{'' if good else 'not '}ok {number} - {want}")
        if not good:
            print(f"# exit {code}: {message}")
    print(f"1..{len(cases)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
