# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Parser of weft.schema: text in, checked and ordered declarations out.

Everything the emitters rely on is checked here, so that they contain no error handling: names are
unique, types and constants exist, structs do not contain themselves, numbers fit.
"""

import re
from dataclasses import dataclass, field as dc_field

INT_BITS = {"u8": 8, "u16": 16, "u32": 32, "u64": 64, "i8": 8, "i16": 16, "i32": 32, "i64": 64}
# Names that the hand-written half of the codec uses after "wp_".
RESERVED = {"str", "bytes", "uuid", "enc", "dec", "op"} | set(INT_BITS)
C_KEYWORDS = set("""auto break case char const continue default do double else enum extern float for
goto if inline int long register restrict return short signed sizeof static struct switch typedef
union unsigned void volatile while asm typeof linux unix has bool true false""".split())
BODY_OVERHEAD = 4  # the u32 length of an optional part

TOKEN = re.compile(r"""
    (?P<space>[ \t]+) | (?P<nl>\n) | (?P<comment>\#[^\n]*) | (?P<string>"(?:\\.|[^"\\\n])*")
  | (?P<num>0x[0-9a-fA-F]+|[0-9]+) | (?P<name>[A-Za-z_][A-Za-z0-9_]*) | (?P<punct>[{}\[\]();:=<>])
""", re.X)


class SchemaError(Exception):
    def __init__(self, line, text):
        super().__init__(f"{line}: {text}")
        self.line, self.text = line, text


@dataclass
class Token:
    kind: str
    text: str
    line: int


@dataclass
class Const:
    name: str
    text: str
    value: int
    doc: str
    line: int
    section: str = ""


@dataclass
class Value:
    name: str
    value: int
    doc: str
    line: int
    errno: str = None       # status codes only


@dataclass
class Enum:
    name: str
    bits: int
    is_flags: bool
    values: list
    line: int
    doc: str = ""
    section: str = ""


@dataclass
class Field:
    name: str
    kind: str               # int, str, bytes, uuid, struct
    type: str               # u32, ... or the name of the struct
    line: int
    max: tuple = None       # (C text, value): most bytes of str and bytes
    array: tuple = None     # (C text, value): most elements
    tag: int = None         # optional fields
    doc: str = ""


@dataclass
class Struct:
    name: str
    line: int
    fields: list = dc_field(default_factory=list)
    is_body: bool = False   # request or reply of a message
    doc: str = ""
    section: str = ""
    min_size: int = 0       # bytes of the smallest encoding that a decoder accepts

    @property
    def fixed(self):
        return [f for f in self.fields if f.tag is None]

    @property
    def optional(self):
        return [f for f in self.fields if f.tag is not None]

    @property
    def has_tail(self):
        return self.is_body or bool(self.optional)


@dataclass
class Message:
    name: str
    op: int
    op_text: str
    mutates: bool
    line: int
    req: Struct = None
    rep: Struct = None
    doc: str = ""
    section: str = ""


class Schema:
    def __init__(self):
        self.consts, self.enums, self.structs, self.messages = [], [], [], []
        self.ordered = []       # every struct and body, each after those that it contains
        self.by_name = {}

    def const(self, name):
        return next((c for c in self.consts if c.name == name), None)


class Comments:
    """Finds the words that describe a declaration: the comment block right above it, or the one
    that ends its line."""

    def __init__(self, text):
        self.above, self.trailing, self.section_at = {}, {}, {}
        block, section = [], ""
        for number, line in enumerate(text.split("\n"), 1):
            bare = line.strip()
            rule = re.match(r"#\s*-{3,}\s*(.*?)\s*-{3,}\s*$", bare)
            if rule:
                section, block = rule.group(1), []
            elif bare.startswith("#"):
                block.append(bare[1:].strip())
            else:
                if bare and block:
                    self.above[number] = " ".join(block)
                block = []
                at = self._comment_start(line)
                if bare and at is not None:
                    self.trailing[number] = line[at + 1:].strip()
            self.section_at[number] = section

    @staticmethod
    def _comment_start(line):
        for m in TOKEN.finditer(line):
            if m.lastgroup == "comment":
                return m.start()
        return None


class Parser:
    def __init__(self, text):
        self.comments = Comments(text)
        self.tokens = list(self._lex(text))
        self.pos = 0
        self.schema = Schema()
        self.items_on_line = {}     # line -> declarations that its trailing comment may describe

    @staticmethod
    def _lex(text):
        pos, line = 0, 1
        while pos < len(text):
            m = TOKEN.match(text, pos)
            if not m:
                raise SchemaError(line, f"unexpected character {text[pos]!r}")
            kind = m.lastgroup
            if kind == "nl":
                line += 1
            elif kind not in ("space", "comment"):
                yield Token(kind, m.group(), line)
            pos = m.end()
        yield Token("end", "end of file", line)

    # ---- tokens

    def peek(self):
        return self.tokens[self.pos]

    def next(self):
        tok = self.tokens[self.pos]
        self.pos += 1
        return tok

    def accept(self, text):
        if self.peek().text == text and self.peek().kind != "string":
            return self.next()
        return None

    def expect(self, text):
        tok = self.next()
        if tok.text != text or tok.kind == "string":
            raise SchemaError(tok.line, f"expected '{text}', found '{tok.text}'")
        return tok

    def kind(self, kind, what):
        tok = self.next()
        if tok.kind != kind:
            raise SchemaError(tok.line, f"expected {what}, found '{tok.text}'")
        return tok

    def name(self, what):
        tok = self.kind("name", what)
        if tok.text in C_KEYWORDS:
            raise SchemaError(tok.line, f"'{tok.text}' cannot be the name of {what}")
        return tok

    def number(self, what, limit=2 ** 64 - 1):
        tok = self.kind("num", what)
        value = int(tok.text, 0)
        if value > limit:
            raise SchemaError(tok.line, f"{what} {tok.text} is above {limit}")
        return tok.text, value

    def string(self, what):
        tok = self.kind("string", what)
        doc = re.sub(r"\\(.)", r"\1", tok.text[1:-1])
        if not doc:
            raise SchemaError(tok.line, f"{what} is empty")
        return doc

    def limit(self, what):
        """A count: a number or the name of a constant declared above."""
        tok = self.next()
        if tok.kind == "num":
            result = (tok.text, int(tok.text, 0))
        else:
            const = self.schema.const(tok.text) if tok.kind == "name" else None
            if not const:
                raise SchemaError(tok.line, f"{what}: '{tok.text}' is no number or constant")
            result = ("WP_" + const.name, const.value)
        if not 0 < result[1] < 2 ** 31:
            raise SchemaError(tok.line, f"{what} {result[1]} is out of range")
        return result

    # ---- declarations

    def parse(self):
        rules = {"const": self.parse_const, "enum": self.parse_enum, "flags": self.parse_enum,
                 "struct": self.parse_struct, "message": self.parse_message}
        while self.peek().kind != "end":
            tok = self.next()
            if tok.text not in rules:
                raise SchemaError(tok.line, f"expected a declaration, found '{tok.text}'")
            rules[tok.text](tok)
        self.attach_trailing()
        Checker(self.schema).check()
        return self.schema

    def parse_const(self, start):
        name = self.name("a constant")
        self.expect("=")
        text, value = self.number("constant")
        doc = self.string("the description")
        self.schema.consts.append(Const(name.text, text, value, doc, start.line,
                                        self.comments.section_at[start.line]))

    def parse_enum(self, start):
        is_flags = start.text == "flags"
        name = self.name("an enum")
        self.expect(":")
        width = self.next()
        if width.text not in ("u8", "u16", "u32", "u64"):
            raise SchemaError(width.line, f"'{width.text}' is no unsigned type")
        bits = INT_BITS[width.text]
        if bits == 64 and not is_flags:
            raise SchemaError(width.line, "an enum has at most 32 bits")
        enum = Enum(name.text, bits, is_flags, [], start.line,
                    section=self.comments.section_at[start.line])
        self.expect("{")
        while not self.accept("}"):
            value_name = self.kind("name", "a value")
            self.expect("=")
            _, value = self.number("value", bits - 1 if is_flags else 2 ** bits - 1)
            errno = self.errno_of(enum, value_name)
            doc = self.string("the description")
            self.expect(";")
            enum.values.append(Value(value_name.text, value, doc, value_name.line, errno))
        self.describe(enum, start.line)
        self.schema.enums.append(enum)

    def errno_of(self, enum, name):
        """The errno of a status code: written behind the number, else the one of its own name."""
        given = self.next() if self.peek().kind == "name" else None
        if enum.name != "status" or enum.is_flags:
            if given:
                raise SchemaError(given.line, "only status codes have an errno")
            return None
        if given and not re.fullmatch(r"E[A-Z0-9]+", given.text):
            raise SchemaError(given.line, f"'{given.text}' is no errno")
        if given:
            return given.text
        if name.text == "OK":
            return None
        return name.text if re.match(r"E[0-9]", name.text) else "E" + name.text

    def parse_struct(self, start):
        name = self.name("a struct")
        struct = Struct(name.text, start.line, section=self.comments.section_at[start.line])
        self.parse_fields(struct)
        self.describe(struct, start.line)
        self.schema.structs.append(struct)

    def parse_message(self, start):
        name = self.name("a message")
        self.expect("=")
        op_text, op = self.number("opcode", 0xffff)
        mutates = bool(self.accept("mutates"))
        msg = Message(name.text, op, op_text, mutates, start.line,
                      section=self.comments.section_at[start.line])
        self.expect("{")
        for part, suffix in (("request", "_req"), ("reply", "_rep")):
            tok = self.expect(part)
            body = Struct(name.text + suffix, tok.line, is_body=True)
            self.parse_fields(body)
            if tok.line != start.line:
                self.describe(body, tok.line)
            setattr(msg, part[:3], body)
        self.expect("}")
        self.describe(msg, start.line)
        self.schema.messages.append(msg)

    def parse_fields(self, struct):
        self.expect("{")
        while not self.accept("}"):
            struct.fields.append(self.parse_field())

    def parse_field(self):
        first, tag = self.peek(), None
        if self.accept("optional"):
            self.expect("(")
            _, tag = self.number("tag", 0xffff)
            self.expect(")")
        tok = self.kind("name", "a type")
        limit, kind = None, "struct"
        if tok.text in ("str", "bytes"):
            self.expect("<")
            limit, kind = self.limit("length"), tok.text
            self.expect(">")
        elif tok.text in INT_BITS:
            kind = "int"
        elif tok.text == "uuid":
            kind = "uuid"
        name = self.name("a field")
        array = None
        if self.accept("["):
            array = self.limit("count")
            self.expect("]")
        self.expect(";")
        result = Field(name.text, kind, tok.text, first.line, limit, array, tag)
        self.describe(result, first.line)
        return result

    # ---- descriptions

    def describe(self, item, line):
        self.items_on_line.setdefault(line, []).append(item)

    def attach_trailing(self):
        """A comment above a line describes the outermost thing that starts there. One at its end
        describes the only field of the line, else the innermost thing that holds the fields."""
        for line, items in self.items_on_line.items():
            outer = next((i for i in reversed(items) if not isinstance(i, Field)), items[0])
            above, trailing = self.comments.above.get(line), self.comments.trailing.get(line)
            if above:
                outer.doc = above
            if not trailing:
                continue
            fields = [i for i in items if isinstance(i, Field)]
            holders = [i for i in items if not isinstance(i, Field)]
            target = fields[0] if len(fields) == 1 else (holders or fields)[0]
            target.doc = f"{target.doc} {trailing}".strip()


class Checker:
    def __init__(self, schema):
        self.schema = schema

    def check(self):
        s = self.schema
        self.unique(s.consts, "constant")
        self.unique(s.enums, "enum")
        for enum in s.enums:
            self.unique(enum.values, "value")
            self.distinct(enum.values, lambda v: v.value, "value")
        self.unique(s.messages, "message")
        self.distinct(s.messages, lambda m: m.op, "opcode")
        everything = s.structs + [b for m in s.messages for b in (m.req, m.rep)]
        self.unique(everything, "struct")
        s.by_name = {x.name: x for x in everything}
        for struct in everything:
            self.check_struct(struct)
        self.done, self.open = set(), []
        for struct in everything:
            self.order(struct)
        self.check_macros()
        self.check_header()

    def unique(self, items, what):
        self.distinct(items, lambda i: i.name, what)

    @staticmethod
    def distinct(items, key, what):
        seen = {}
        for item in items:
            if key(item) in seen:
                raise SchemaError(item.line, f"{what} '{item.name}' repeats line {seen[key(item)]}")
            seen[key(item)] = item.line

    def check_struct(self, struct):
        if struct.name in RESERVED:
            raise SchemaError(struct.line, f"'{struct.name}' is taken by the codec")
        if not struct.fields and not struct.is_body:
            raise SchemaError(struct.line, f"struct {struct.name} is empty")
        self.unique(struct.fields, "field")
        self.distinct(struct.optional, lambda f: f.tag, "tag of")
        names = {f.name for f in struct.fields}
        seen_optional = False
        for f in struct.fields:
            if f.kind == "struct" and (f.type not in self.schema.by_name
                                       or self.schema.by_name[f.type].is_body):
                raise SchemaError(f.line, f"unknown type '{f.type}'")
            if f.array and f.name + "_n" in names:
                raise SchemaError(f.line, f"'{f.name}_n' is taken by the count of '{f.name}'")
            if f.tag == 0:
                raise SchemaError(f.line, "tag 0 is not used")
            if f.tag is None and seen_optional:
                raise SchemaError(f.line, f"'{f.name}' follows an optional field")
            seen_optional = seen_optional or f.tag is not None
        if len(struct.optional) > 32:
            raise SchemaError(struct.line, f"{struct.name} has more than 32 optional fields")

    def order(self, struct):
        if struct.name in self.done:
            return
        if struct.name in self.open:
            path = " -> ".join(self.open[self.open.index(struct.name):] + [struct.name])
            raise SchemaError(struct.line, f"struct contains itself: {path}")
        self.open.append(struct.name)
        for f in struct.fields:
            if f.kind == "struct":
                self.order(self.schema.by_name[f.type])
        self.open.pop()
        self.done.add(struct.name)
        struct.min_size = sum(self.field_min(f) for f in struct.fixed)
        if struct.optional and not struct.is_body:
            struct.min_size += BODY_OVERHEAD
        self.schema.ordered.append(struct)

    def field_min(self, f):
        if f.array or f.kind in ("str", "bytes"):
            return 4
        return self.elem_min(f)

    def elem_min(self, f):
        """Fewest encoded bytes of one element."""
        if f.kind == "int":
            return INT_BITS[f.type] // 8
        if f.kind == "uuid":
            return 16
        if f.kind == "struct":
            return self.schema.by_name[f.type].min_size
        return 4

    def check_macros(self):
        seen = {}
        for name, line in sorted(macros(self.schema), key=lambda m: m[1]):
            if name in seen:
                raise SchemaError(line, f"{name} is declared at line {seen[name]} too")
            seen[name] = line

    def check_header(self):
        size, hdr = self.schema.const("HDR_SIZE"), self.schema.by_name.get("hdr")
        if not size or not hdr:
            raise SchemaError(1, "HDR_SIZE or struct hdr is missing")
        if any(f.kind != "int" or f.array or f.tag is not None for f in hdr.fields):
            raise SchemaError(hdr.line, "struct hdr must be plain integers")
        if hdr.min_size != size.value:
            raise SchemaError(hdr.line, f"struct hdr is {hdr.min_size} bytes, not {size.value}")


def value_macro(enum, value):
    if enum.name == "status" and not enum.is_flags:
        if value.name == "OK":
            return "WP_OK"
        return "WP_E_" + (value.name[1:] if re.match(r"E[0-9]", value.name) else value.name)
    return f"WP_{enum.name}_{value.name}".upper()


def has_macro(struct, f):
    return f"WP_{struct.name}_HAS_{f.name}".upper()


def op_macro(msg):
    return f"WP_OP_{msg.name}".upper()


def macros(schema):
    """Every macro and enumerator of the generated header, to prove that none repeats."""
    for c in schema.consts:
        yield "WP_" + c.name, c.line
    for e in schema.enums:
        for v in e.values:
            yield value_macro(e, v), v.line
    for m in schema.messages:
        yield op_macro(m), m.line
    for s in schema.ordered:
        yield f"WP_{s.name.upper()}_MIN", s.line
        for f in s.optional:
            yield has_macro(s, f), f.line


def elem_min(schema, f):
    return Checker(schema).elem_min(f)


def parse(text):
    return Parser(text).parse()
