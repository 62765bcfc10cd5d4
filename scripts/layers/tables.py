"""The layers as people read them: the table in src/lib.rs, `Layer N:` in each module's docs, README.md and docs/."""

import re

from layers.rules import LAYERS

ROW = re.compile(r"^(?://! )?\|\s*(\d+)\s*\|\s*((?:\[?`\w+`\]?(?:, | and )?)+)\s*\|", re.MULTILINE)
SENTENCE = re.compile(r"((?:`\w+`(?:,?\s+and\s+|,\s+)?)+)\s*\((\d+)\)")
DECLARED = re.compile(r"^//! Layer (\d+)\b", re.MULTILINE)
# A document that gives fewer modules a number is not a list of the layers.
A_LIST = 4


def mismatches(root):
    """Every place that disagrees with LAYERS, as (file, line, message)."""
    modules = {path.name.removesuffix(".rs") for path in (root / "src").iterdir() if path.name.removesuffix(".rs") in LAYERS}
    yield from in_lib(root, modules)
    for module in sorted(modules):
        yield from in_module(root, module)
    for path in sorted([*root.glob("README.md"), *(root / "docs").rglob("*.md")]):
        yield from in_document(path.relative_to(root).as_posix(), path.read_text(), modules)


def in_module(root, module):
    file = root / "src" / module / "mod.rs"
    if not file.is_file():
        return
    match = DECLARED.search(text := file.read_text())
    if match and int(match[1]) != LAYERS[module]:
        yield f"src/{module}/mod.rs", line(text, match), disagrees(module, match[1])
    if not match and (root / "src" / "lib.rs").is_file():
        yield f"src/{module}/mod.rs", 1, f"the module's docs do not begin with `Layer {LAYERS[module]}:`"


def in_lib(root, modules):
    file = root / "src" / "lib.rs"
    if not file.is_file():
        return
    text = file.read_text()
    rows = list(ROW.finditer(text))
    if not rows:
        yield "src/lib.rs", 1, "no table of layers"
        return
    yield from compare("src/lib.rs", text, [(row, row[2], row[1]) for row in rows], modules)
    numbers = [int(row[1]) for row in rows]
    if numbers != sorted(numbers, reverse=True):
        yield "src/lib.rs", line(text, rows[0]), "the table of layers is not in their order, the uppermost first"


def in_document(name, text, modules):
    found = [(match, match[1], match[2]) for match in SENTENCE.finditer(text)]
    found += [(match, match[2], match[1]) for match in ROW.finditer(text)]
    found = [entry for entry in found if set(names(entry[1])) <= set(LAYERS)]
    if len({module for _, words, _ in found for module in names(words)}) >= A_LIST:
        yield from compare(name, text, found, modules)


def compare(name, text, found, modules):
    listed = set()
    for match, words, number in found:
        for module in names(words):
            listed.add(module)
            if LAYERS.get(module) != int(number):
                yield name, line(text, match), disagrees(module, number)
            elif module not in modules:
                yield name, line(text, match), f"there is no module `{module}` in src"
    for module in sorted(modules - listed):
        yield name, line(text, found[0][0]), f"the layers lack `{module}` (layer {LAYERS[module]})"


def names(words):
    return re.findall(r"`(\w+)`", words)


def disagrees(module, number):
    known = f"scripts/layers/rules.py says {LAYERS[module]}" if module in LAYERS else "scripts/layers/rules.py does not know it"
    return f"`{module}` is in layer {number} here; {known}"


def line(text, match):
    return text.count("\n", 0, match.start()) + 1
