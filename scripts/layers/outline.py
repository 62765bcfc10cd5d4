"""What a Rust file defines, imports, names and calls, each with its position; no types are inferred."""

import re
from dataclasses import dataclass, field

from layers.rust import matching

IDENTIFIER = re.compile(r"(?:r#)?[A-Za-z_]\w*\Z")
TOKEN = re.compile(r"(?:r#)?[A-Za-z_]\w*|::|->|=>|\S")
ITEM_WORDS = {"struct", "enum", "union", "fn", "const", "static", "type", "trait", "macro_rules"}
# Tokens that may precede an `impl` that begins an item, or a `use` declaration.
STATEMENT_STARTS = {None, "}", ";", "{", "]", ")", "unsafe", "pub"}


@dataclass
class Impl:
    """An `impl` block; `trait` of `impl Trait for Type`. A trait's own block has `type` None."""

    module: tuple
    type: tuple
    is_inherent: bool


@dataclass
class Use:
    """One leaf of a use tree: `name` becomes visible in `module`. A glob's name is `*`."""

    module: tuple
    name: str
    path: tuple
    position: int


@dataclass
class Path:
    """A path with at least two segments, outside use declarations."""

    module: tuple
    segments: tuple
    position: int
    impl: Impl


@dataclass
class Call:
    """`receiver.name(...)`; `on_self` where the receiver is `self` itself, `arguments` None where they cannot be counted."""

    name: str
    on_self: bool
    arguments: int
    position: int
    impl: Impl


@dataclass
class Method:
    impl: Impl
    name: str
    arguments: int  # without `self`
    position: int


@dataclass
class Outline:
    home: tuple
    items: list = field(default_factory=list)  # (module, name)
    modules: set = field(default_factory=set)
    uses: list = field(default_factory=list)
    paths: list = field(default_factory=list)
    calls: list = field(default_factory=list)
    methods: list = field(default_factory=list)
    macros: list = field(default_factory=list)  # (name, position) of each `name!`
    defined_macros: set = field(default_factory=set)


def outline(code, home):
    """Reads blanked code of the file that is the module `home`."""
    return Reader(code, tuple(home)).read()


class Reader:
    def __init__(self, code, home):
        self.tokens = [(match.group(), match.start()) for match in TOKEN.finditer(code)]
        self.found = Outline(home, modules={home})
        self.stack = []  # a module's name, an Impl, or None for any other block
        self.pending = None

    def read(self):
        index = 0
        while index < len(self.tokens):
            index = self.step(index)
        return self.found

    def text(self, index):
        return self.tokens[index][0] if 0 <= index < len(self.tokens) else None

    def module(self):
        return self.found.home + tuple(entry for entry in self.stack if isinstance(entry, str))

    def impl(self):
        return next((entry for entry in reversed(self.stack) if isinstance(entry, Impl)), None)

    def step(self, index):
        text = self.text(index)
        if text == "{":
            self.stack.append(self.pending)
            self.pending = None
        elif text == "}":
            if self.stack:
                self.stack.pop()
        elif text == "use" and self.text(index - 1) in STATEMENT_STARTS:
            return self.use(index + 1)
        elif text == "mod" and IDENTIFIER.match(self.text(index + 1) or ""):
            return self.inline_module(index)
        elif text == "impl" and self.text(index - 1) in STATEMENT_STARTS:
            return self.impl_header(index + 1)
        elif text in ITEM_WORDS and self.item(index):
            return index + 2
        elif text == "." and self.is_call(index):
            on_self = self.text(index - 1) == "self" and self.text(index - 2) != "."
            arguments = self.call_arguments(index + 2)
            self.found.calls.append(Call(self.text(index + 1), on_self, arguments, self.tokens[index + 1][1], self.impl()))
            return index + 2
        elif IDENTIFIER.match(text) and self.text(index + 1) == "!" and self.text(index + 2) in ("(", "[", "{"):
            self.found.macros.append((text, self.tokens[index][1]))
        elif IDENTIFIER.match(text) and self.text(index + 1) == "::" and self.text(index - 1) not in ("::", "."):
            return self.path(index)
        return index + 1

    def is_call(self, index):
        return IDENTIFIER.match(self.text(index + 1) or "") and self.text(index + 2) in ("(", "::")

    def call_arguments(self, index):
        """How many there are; None after a turbofish, and where a closure or a `<` may hide a comma that parts none."""
        if self.text(index) != "(":
            return None
        found = self.split(index, brackets="([{")
        return None if any({"|", "<"} & set(argument) for argument in found) else len(found)

    def parameters(self, index):
        """How many the function has whose name stands at `index`, without `self`."""
        depth, at = 0, index + 1
        while self.text(at) is not None and (depth or self.text(at) != "("):
            depth += {"<": 1, ">": -1}.get(self.text(at), 0)
            at += 1
        found = self.split(at, brackets="([{<")
        return len(found) - any("self" in parameter and ":" not in parameter[: parameter.index("self")] for parameter in found[:1])

    def split(self, index, brackets):
        """The tokens between the bracket at `index` and its match, split at commas; of inner brackets only the outside."""
        closing = [{"(": ")", "[": "]", "{": "}", "<": ">"}[bracket] for bracket in brackets]
        found, depth = [[]], 0
        for text, _ in self.tokens[index:]:
            depth -= text in closing
            if depth == 1 and text == ",":
                found.append([])
            elif depth == 1:
                found[-1].append(text)
            depth += text in brackets
            if depth == 0:
                break
        return [part for part in found if part]

    def inline_module(self, index):
        if self.text(index + 2) == "{":
            self.pending = self.text(index + 1)
            self.found.modules.add(self.module() + (self.pending,))
        return index + 2

    def item(self, index):
        """Notes a definition; False where the word begins none, as in `*const u8` or `const fn`."""
        word, name = self.text(index), self.text(index + 1)
        if word == "macro_rules" and name == "!":
            self.found.items.append((self.module(), self.text(index + 2)))
            self.found.defined_macros.add(self.text(index + 2))
            return True
        if not IDENTIFIER.match(name or "") or name in ITEM_WORDS or name in ("unsafe", "async", "extern", "mut"):
            return False
        if word == "union" and self.text(index + 2) not in ("{", "<"):
            return False
        if all(isinstance(entry, str) for entry in self.stack):
            self.found.items.append((self.module(), name.removeprefix("r#")))
        if word == "fn" and self.stack and isinstance(self.stack[-1], Impl):
            self.found.methods.append(Method(self.stack[-1], name, self.parameters(index + 1), self.tokens[index + 1][1]))
        if word == "trait":
            self.pending = Impl(self.module(), None, False)
        return True

    def impl_header(self, index):
        """Reads `impl<..> Trait for Type` up to its brace; the paths in it are read again as paths."""
        start, depth, split, end = index, 0, None, index
        while self.text(end) not in ("{", None):
            depth += {"<": 1, ">": -1}.get(self.text(end), 0)
            if depth == 0 and self.text(end) == "for":
                split = end + 1
            if depth == 0 and self.text(end) == "where":
                break
            end += 1
        at = split or self.after_generics(start)
        self.pending = Impl(self.module(), self.leading_path(at), split is None)
        return index

    def after_generics(self, index):
        if self.text(index) != "<":
            return index
        depth = 0
        while index < len(self.tokens):
            depth += {"<": 1, ">": -1}.get(self.text(index), 0)
            index += 1
            if depth == 0:
                break
        return index

    def leading_path(self, index):
        while self.text(index) in ("&", "'", "mut", "dyn", "(") or self.text(index - 1) == "'":
            index += 1
        return self.segments(index)[0]

    def segments(self, index):
        """The path at `index`, and the index after it. A turbofish ends it."""
        found = []
        while IDENTIFIER.match(self.text(index) or ""):
            found.append(self.text(index).removeprefix("r#"))
            index += 1
            if self.text(index) != "::" or not IDENTIFIER.match(self.text(index + 1) or ""):
                break
            index += 1
        return tuple(found), index

    def path(self, index):
        segments, end = self.segments(index)
        if len(segments) > 1:
            self.found.paths.append(Path(self.module(), segments, self.tokens[index][1], self.impl()))
        return end

    def use(self, index):
        if self.text(index) == "<":
            return index  # `impl Trait + use<'a>`
        if self.text(index) == "::":
            index += 1
        return self.use_tree(index, ())

    def use_tree(self, index, prefix):
        """Reads one leaf or group; the index after it."""
        segments, position = list(prefix), self.tokens[index][1]
        while True:
            text = self.text(index)
            if text == "{":
                end = matching(self.tokens, index)
                index += 1
                while index < end:
                    index = index + 1 if self.text(index) in (",", "}") else self.use_tree(index, tuple(segments))
                return index
            if text is None or not (text == "*" or IDENTIFIER.match(text)):
                return index + 1
            segments.append(text.removeprefix("r#"))
            index += 1
            if self.text(index) == "::":
                index += 1
                continue
            if segments[-1] == "self" and len(segments) > 1:
                segments.pop()
            name = segments[-1]
            if self.text(index) == "as":
                name, index = self.text(index + 1), index + 2
            self.found.uses.append(Use(self.module(), name, tuple(segments), position))
            return index
