#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Rules of the house that a machine can check: layers, licences, sizes, words, formatting. Exit status 1 and a line per finding."""

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# A folder may include those before it (and itself). Folders on one line may not include each other.
LAYERS = [
    ["proto"],
    ["base"],
    ["conf", "env"],
    ["io"],
    ["net", "cap", "layout"],
    ["rpc"],
    ["osd", "journal"],
    ["node"],
    ["mgmtd", "meta", "storage", "client"],
    ["fuse", "cli"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

SPDX = "SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only"
FILE_LINES_MAX = 1200
FUNCTION_LINES_MAX = 80
LINE_MAX = 140
WORDS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!\([a-z][a-z0-9-]+\))")
CODE = (".c", ".h")
SCRIPTS = (".py", ".sh", "meson.build", "Makefile")

findings = []


def report(path, line, text):
    findings.append(f"{path}:{line}: {text}")


def tracked():
    out = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True)
    if out.returncode == 0 and out.stdout:
        return [f for f in out.stdout.splitlines() if os.path.isfile(os.path.join(ROOT, f))]
    names = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [d for d in folders if not d.startswith(("build", ".git", "var", "mnt"))]
        names += [os.path.relpath(os.path.join(folder, f), ROOT) for f in files]
    return names


def folder_of(path):
    parts = path.split("/")
    if parts[0] == "proto":
        return "proto"
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


def check_includes(path, lines):
    own = folder_of(path)
    if own is None:
        return
    if own not in RANK:
        report(path, 1, f"folder {own} is not in the layers of test/tidy/tidy.py")
        return
    for number, line in enumerate(lines, 1):
        m = re.match(r'\s*#\s*include\s+"([a-z_]+)/', line)
        if not m or m.group(1) not in RANK or m.group(1) == own:
            continue
        if RANK[m.group(1)] >= RANK[own]:
            report(path, number, f"{own} may not include {m.group(1)}: includes point downward")


def check_sizes(path, lines):
    if len(lines) > FILE_LINES_MAX:
        report(path, 1, f"{len(lines)} lines, at most {FILE_LINES_MAX}: split it")
    start = 0
    for number, line in enumerate(lines, 1):
        columns = len(re.sub(r"-{10,} \*/$", "*/", line).expandtabs(8))  # a section's rule may be long
        if columns > LINE_MAX and "http" not in line and '"' not in line:
            report(path, number, f"line of {columns} columns, at most {LINE_MAX}")
        if line == "{":
            start = number
        elif line == "}" and start:
            if number - start > FUNCTION_LINES_MAX:
                report(path, start, f"function of {number - start} lines, at most {FUNCTION_LINES_MAX}")
            start = 0


def check_text(path, lines):
    for number, line in enumerate(lines, 1):
        if WORDS.search(line) and not path.startswith("test/tidy/"):
            report(path, number, "a TODO needs an owner: TODO(name)")
        if line != line.rstrip():
            report(path, number, "white space at the end")


def check_format(files):
    """Formatting of changed lines, where clang-format is there: git clang-format's diff against the last commit."""
    tool = "clang-format"
    try:
        subprocess.run([tool, "--version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return
    diff = subprocess.run(["git", "-C", ROOT, "diff", "-U0", "HEAD", "--", *files], capture_output=True, text=True).stdout
    path, ranges = None, {}
    for line in diff.splitlines():
        if line.startswith("+++ b/"):
            path = line[6:]
        m = re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line)
        if m and path and path.endswith(CODE):
            count = int(m.group(2) or 1)
            if count:
                ranges.setdefault(path, []).append((int(m.group(1)), int(m.group(1)) + count - 1))
    for path, spans in ranges.items():
        args = [f"--lines={a}:{b}" for a, b in spans]
        out = subprocess.run([tool, "--style=file", *args, path], capture_output=True, text=True, cwd=ROOT).stdout
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            if out and out != f.read():
                report(path, spans[0][0], f"format the changed lines: clang-format -i {' '.join(args)} {path}")


def check_folders(files):
    for folder in sorted({os.path.dirname(f) for f in files if f.startswith("src/") and f.count("/") == 2}):
        if not os.path.exists(os.path.join(ROOT, folder, "README.md")):
            report(folder, 1, "folder without a README.md of its invariants")


def main():
    files = tracked()
    for path in files:
        is_code = path.endswith(CODE)
        if not is_code and not path.endswith(SCRIPTS):
            continue
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            lines = f.read().split("\n")
        if not any(SPDX in line for line in lines[:3]):
            report(path, 1, f"no SPDX line: {SPDX}")
        check_text(path, lines)
        if is_code:
            check_includes(path, lines)
            check_sizes(path, lines)
    check_folders(files)
    if "--format" in sys.argv:
        check_format(files)
    for finding in findings:
        print(finding)
    print(f"tidy: {len(files)} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
