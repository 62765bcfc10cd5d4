"""Reads a Rust file: comments, literals (but for a mark) and test items blanked out, paths and use trees spelled out."""

import re
from bisect import bisect_right

OUTSIDE = {"src/lib.rs", "src/main.rs"}


def module_path(name):
    """`src/flow/table.rs` is ["flow", "table"], `src/flow/mod.rs` is ["flow"]."""
    parts = name.removesuffix(".rs").split("/")[1:]
    return parts[:-1] if len(parts) > 1 and parts[-1] == "mod" else parts


class Source:
    """A Rust file with comments, literals and test items blanked out, every other character where it was."""

    TOKEN = re.compile(r"(?:r#)?[A-Za-z_]\w*|::|[{}(),;*<>]|\S")
    IDENTIFIER = re.compile(r"(?:r#)?[A-Za-z_]\w*\Z")

    def __init__(self, text):
        self.lines = [0] + [match.end() for match in re.finditer(r"\n(?!\Z)", text)]
        code = blank_comments_and_literals(text)
        self.is_test = bool(re.search(r"#!\[\s*cfg\s*\(\s*test\s*\)\s*\]", code))
        self.test_modules = []
        self.test_spans = []
        self.code = self._blank_tests(code)
        self.modules = [
            (match.end(), matching_brace(self.code, match.end() - 1))
            for match in re.finditer(r"\bmod\s+\w+\s*\{", self.code)
        ]

    def _blank_tests(self, code):
        attribute = re.compile(r"#\[\s*cfg\s*\(\s*(?:test\b|all\s*\(\s*test\b)")
        while match := attribute.search(code):
            start = match.start()
            end, module = item_end(code, start)
            if module:
                self.test_modules.append(module)
            self.test_spans.append((start, end))
            code = code[:start] + blank(code[start:end]) + code[end:]
        return code

    def test_module_files(self, name):
        """Where the modules declared as `#[cfg(test)] mod name;` live: a file, or a directory without its slash."""
        top = name.split("/")[0]
        directory = "/".join([top, *module_path(name)]) if name not in OUTSIDE else "src"
        for module in self.test_modules:
            yield f"{directory}/{module}.rs"
            yield f"{directory}/{module}"

    def line(self, position):
        return bisect_right(self.lines, position)

    def length(self):
        in_tests = {line for start, end in self.test_spans for line in range(self.line(start), self.line(end - 1) + 1)}
        return len(self.lines) - len(in_tests)

    def inline_depth(self, position):
        return sum(start <= position < end for start, end in self.modules)

    def paths(self):
        """Every path, use trees spelled out, as (position, [segment, ...])."""
        tokens = [(match.group(), match.start()) for match in self.TOKEN.finditer(self.code)]
        index = 0
        while index < len(tokens):
            text, position = tokens[index]
            leads = index + 1 < len(tokens) and tokens[index + 1][0] == "::"
            if text == "use" and tokens[index + 1 : index + 2] and tokens[index + 1][0] == "{":
                index, found = self._group(tokens, index + 2, [])
                yield from found
            elif self.IDENTIFIER.match(text) and (leads or (index and tokens[index - 1][0] == "use")):
                index, found = self._tree(tokens, index, [])
                yield from found
            else:
                index += 1

    def _tree(self, tokens, index, prefix):
        """Reads one path or use tree from `index`; gives the index after it and what it names."""
        segments = list(prefix)
        position = tokens[index][1] if index < len(tokens) else 0
        while index < len(tokens):
            text, here = tokens[index]
            if self.IDENTIFIER.match(text) or text == "*":
                segments.append(text.removeprefix("r#"))
                index += 1
                if index < len(tokens) and tokens[index][0] == "::" and text != "*":
                    index += 1
                    continue
                return index, [(position, segments)]
            if text == "{":
                return self._group(tokens, index + 1, segments)
            break # a turbofish or a qualified path: the path ends here
        return index + (not segments), [(position, segments)] if segments else []

    def _group(self, tokens, index, prefix):
        found = []
        while index < len(tokens) and tokens[index][0] != "}":
            if self.IDENTIFIER.match(tokens[index][0]) or tokens[index][0] == "*":
                if tokens[index][0] == "as":
                    index += 2
                    continue
                index, more = self._tree(tokens, index, prefix)
                found += more
            else:
                index += 1
        return index + 1, found


def blank_comments_and_literals(text):
    pattern = re.compile(
        r"""//[^\n]*
        | /\*
        | \b(?:br|cr|r)(?P<hashes>\#*)"(?:.*?)"(?P=hashes)
        | \b[bc]?"(?:\\.|[^"\\])*"
        | "(?:\\.|[^"\\])*"
        | b?'(?:\\(?:x..|u\{[^}]*\}|.)|[^\\'\n])'
        """,
        re.VERBOSE | re.DOTALL,
    )
    pieces, index = [], 0
    while match := pattern.search(text, index):
        end = block_comment_end(text, match.start()) if match.group() == "/*" else match.end()
        # A quotation mark represents a literal, because it is an argument.
        mark = "" if match.group().startswith("/") else '"'
        pieces += [text[index : match.start()], mark + blank(text[match.start() + len(mark) : end])]
        index = end
    return "".join(pieces) + text[index:]


def block_comment_end(text, start):
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(text, start):
        depth += 1 if match.group() == "/*" else -1
        if depth == 0:
            return match.end()
    return len(text)


def blank(text):
    return re.sub(r"[^\n]", " ", text)


def item_end(code, start):
    """Where the item after the attribute at `start` ends, and its name when it is `mod name;`."""
    item = re.compile(r"(?:#\[[^\]]*\]\s*)*(?:pub|fn|mod|use|struct|enum|impl|const|static|type|trait|unsafe|async|extern|let)\b")
    is_item = item.match(code, start)
    depth = 0
    for index in range(start, len(code)):
        character = code[index]
        if character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif depth == 0 and character == ";":
            module = re.search(r"\bmod\s+(\w+)\s*\Z", code[start:index])
            return index + 1, module[1] if module else None
        elif depth == 0 and character == "{":
            return matching_brace(code, index), None
        elif depth == 0 and not is_item and character in ",}":
            return index, None # a field, a variant or a last expression
    return len(code), None


def matching_brace(code, start):
    depth = 0
    for index in range(start, len(code)):
        depth += {"{": 1, "}": -1}.get(code[index], 0)
        if depth == 0:
            return index + 1
    return len(code)


def matching(tokens, index):
    """The index of the brace that closes the one at `index`, or the end of the tokens."""
    depth = 0
    while index < len(tokens):
        depth += {"{": 1, "}": -1}.get(tokens[index][0], 0)
        if depth == 0:
            return index
        index += 1
    return index
