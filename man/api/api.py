#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Manual pages of libweft from weft.h: api.py HEADER OUTDIR VERSION PAGES...

Each section of the header (a comment that begins with ----) becomes the page of its first function; the comment at the head of the
file becomes weft(3). Links to the other functions of a section are left to apropos: all names are in NAME.
"""
import pathlib
import re
import sys


def quote(text):
    return "\n".join(("\\&" + l if l[:1] in (".", "'") else l) for l in text.replace("\\", "\\e").replace("-", "\\-").split("\n"))


def comment_text(raw):
    lines = [re.sub(r"^\s*\*? ?", "", l) for l in raw.strip().removeprefix("/*").removesuffix("*/").split("\n")]
    return "\n".join(lines).strip()


def prose(text):
    """Paragraphs; lines that begin with a tab are code."""
    out = []
    for para in re.split(r"\n\s*\n", text.strip("\n")):
        code = [l for l in para.split("\n") if l.startswith("\t")]
        if code and len(code) == len(para.split("\n")):
            out.append(".PP\n.nf\n" + quote("\n".join(l[1:] for l in code)) + "\n.fi")
        else:
            out.append(".PP\n" + quote(para))
    return "\n".join(out)


def items(section):
    """(comment, declaration) in order."""
    pattern = re.compile(r"^struct \w+ \{.*?^\};|^(?:WEFT_API|typedef) [^;]*;|^#define WEFT_OPTIONS[^\n]*|^/\*(?:[^*]|\*(?!/))*\*/",
                         re.M | re.S)
    last = ""
    for m in pattern.finditer(section):
        if m.group().startswith("/*"):
            last = comment_text(m.group())
        else:
            yield last, re.sub(r"^WEFT_API ", "", m.group())
            last = ""


def page(name, title, names, synopsis, body, version):
    return f""".\\" SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
.TH {name.upper()} 3 "" "Weft {version}" "Weft"
.SH NAME
{", ".join(names)} \\- {quote(title)}
.SH SYNOPSIS
.nf
#include <weft/weft.h>
.PP
{quote(synopsis)}
.PP
Link with \\-lweft.
.fi
.SH DESCRIPTION
{body}
.SH SEE ALSO
.BR weft (1),
.BR weft (3)
"""


def main():
    header, outdir, version, *pages = sys.argv[1:]
    text = pathlib.Path(header).read_text()
    out = pathlib.Path(outdir)
    made = set()
    head = comment_text(re.findall(r"/\*(?:[^*]|\*(?!/))*\*/", text)[1])
    title, _, rest = head.partition("\n")
    (out / "weft.3").write_text(page("weft", title.removeprefix("libweft: ").rstrip("."), ["weft"], "", prose(rest), version))
    made.add("weft.3")
    parts = re.split(r"/\* ---- (.*?) -+ \*/", text)
    for title, section in zip(parts[1::2], parts[2::2]):
        decls = list(items(section))
        names = [re.search(r"\b(weft_\w+)\(", d).group(1) for _, d in decls if "(" in d and not d.startswith(("typedef", "struct", "#"))]
        body = "\n".join((f".SS {quote(n)}\n" if n else "") + prose(c) for c, d in decls
                         for n in [(re.search(r"\b(weft_\w+)\(", d) or [None, ""])[1]] if c)
        (out / f"{names[0]}.3").write_text(page(names[0], title, names, "\n".join(d for _, d in decls), body, version))
        made.add(f"{names[0]}.3")
    if made != set(pages):
        sys.exit(f"pages and sections differ: {sorted(made ^ set(pages))}")


main()
