#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Fills a manual page's @OPTIONS@ and @VERBS@ from the program's own tables: fill.py TEMPLATE OUT VERSION [PROGRAM [ARGS...]]"""

import subprocess
import sys


def main():
    template, out, version, *program = sys.argv[1:]
    with open(template, encoding="utf-8") as f:
        text = f.read()
    text = text.replace("@VERSION@", version)
    if program:
        dump = subprocess.run(program, capture_output=True, text=True, check=True).stdout
        if "@COMMON_OPTIONS@" in text:
            dump = dump.partition(".SS Common options\n")[2].partition(".SS ")[0]
            text = text.replace("@COMMON_OPTIONS@", "@OPTIONS@")
        options, _, verbs = dump.partition("@@VERBS@@\n")
        text = text.replace("@OPTIONS@", options.rstrip()).replace("@VERBS@", verbs.rstrip())
    if "@OPTIONS@" in text or "@VERBS@" in text:
        sys.exit(f"{template}: nothing to fill its options with")
    with open(out, "w", encoding="utf-8") as f:
        f.write(text)


if __name__ == "__main__":
    main()
