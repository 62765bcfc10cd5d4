"""Which module uses which, what the pure layers may not name, and where unsafe and tokio may stand."""

import re

from layers.rust import OUTSIDE, module_path

# A file may use its own module and the layers below it. Two modules of one layer do not use each
# other. src/lib.rs and src/main.rs belong to no layer: src/lib.rs declares the modules and gives
# them no other names.
LAYERS = {
    "edge": 1,
    "packet": 1,
    "vpc": 2,
    "config": 3,
    "flow": 3,
    "pipeline": 4,
    "explain": 5,
    "linux": 6,
    "daemon": 7,
    "apprunner": 8,
    "console": 8,
    "docker": 8,
    "cli": 9,
}
PURE = {"packet", "vpc", "flow", "pipeline"}

# Paths that the pure layers may not name, with what to do instead.
IMPURE_PATHS = {
    "std::fs": "files belong to config, and to layer 5 and above",
    "std::env": "the environment is read by cli; pass the value",
    "std::thread": "threads belong to linux",
    "std::process": "processes belong to layer 6 and above",
    "std::time::Instant": "time is an argument",
    "std::time::SystemTime": "time is an argument",
    "std::net::TcpStream": "sockets belong to layer 6 and above",
    "std::net::TcpListener": "sockets belong to layer 6 and above",
    "std::net::UdpSocket": "sockets belong to layer 6 and above",
    "std::net::ToSocketAddrs": "names are looked up in layer 6 and above",
    "std::os": "the operating system belongs to linux",
    "std::io::stdin": "the console belongs to cli",
    "std::io::stdout": "printing belongs to cli; take a Write",
    "std::io::stderr": "printing belongs to cli; take a Write",
    "std::hash::RandomState": "randomness is an argument: use the seeded hasher",
    "std::collections::hash_map::RandomState": "randomness is an argument: use the seeded hasher",
    "rand": "randomness is an argument: pass a seed",
    "getrandom": "randomness is an argument: pass a seed",
    "nix": "system calls belong to linux",
    "libc": "system calls belong to linux",
}
# An import of the module would let the names above through as `time::Instant` or `net::UdpSocket`.
IMPURE_MODULES = {"std", "std::time", "std::net", "std::io"}
# Parts of a file that would take effect in another place than they are read: their paths would
# belong to another file or another module.
UNREADABLE = (
    (re.compile(r"#!?\[[^\]]*\bpath\s*="), "#[path] puts a file into another module: let its place say its module"),
    (re.compile(r"\binclude\s*!"), "include! puts code where no layer is checked: make it a module"),
    (re.compile(r"\bextern\s+crate\b"), "extern crate gives a crate a name that hides which layers are used"),
)
# Items that src/lib.rs may not contain, because every layer would have them.
IN_LIB = (
    (re.compile(r"\buse\b"), "a name that src/lib.rs imports belongs to no layer: name it where it is defined"),
    (re.compile(r"\bmacro_(?:rules\s*!|use\b)"), "a macro of src/lib.rs belongs to no layer: define it in the lowest one that uses it"),
)
OWN_NAME = "egret"
PRINTING = re.compile(r"\b(e?print(?:ln)?|dbg)\s*!")
TOKIO_FROM = 7
TOKIO_FILES_BELOW = ("src/linux/listen", "src/linux/link", "src/linux/netns", "src/linux/probe")
UNSAFE_FILE = "src/linux/sys.rs"


def findings(name, source):
    """Every broken rule of one file, as (position, message)."""
    if name != UNSAFE_FILE:
        for match in re.finditer(r"\bunsafe\b", source.code):
            yield match.start(), f"unsafe is for {UNSAFE_FILE} only"
    for pattern, message in (*UNREADABLE, *(IN_LIB if name == "src/lib.rs" else ())):
        for match in pattern.finditer(source.code):
            yield match.start(), message
    if name in OUTSIDE:
        return
    home = module_path(name)
    layer = LAYERS.get(home[0])
    if layer is None:
        yield 0, f"module `{home[0]}` has no layer: give it one in scripts/layers/rules.py"
        return
    for position, path in source.paths():
        target = crate_module(path, home, source, position)
        if target is not None:
            yield from looks_down(position, target, home[0], layer)
        if path[0] == "tokio" and layer < TOKIO_FROM and not name.startswith(TOKIO_FILES_BELOW):
            yield position, f"tokio in layer {layer}: async lives in layer {TOKIO_FROM} and above, and in linux/{{listen,link,netns,probe}}"
        if home[0] in PURE:
            yield from stays_pure(position, path, home[0])
    if home[0] in PURE:
        for match in PRINTING.finditer(source.code):
            yield match.start(), f"{match[1]}! in {home[0]}, which is pure: take a Write, or return the data"


def looks_down(position, target, module, layer):
    if target == "*":
        yield position, "use crate::* hides which layers are used: name them"
    elif target == "":
        yield position, "another name for the crate's root hides which layers are used: begin at crate::"
    elif target not in LAYERS:
        yield position, f"crate::{target} is the module of no layer: name the item where it is defined"
    elif target != module and LAYERS[target] >= layer:
        why = "they share a layer" if LAYERS[target] == layer else "layers only look down"
        yield position, f"{module} (layer {layer}) uses crate::{target} (layer {LAYERS[target]}): {why}"


def stays_pure(position, path, module):
    whole = "::".join(["std" if path[0] in ("core", "alloc") else path[0], *path[1:]])
    for banned, instead in IMPURE_PATHS.items():
        if whole == banned or whole.startswith(banned + "::"):
            yield position, f"{whole} in {module}, which is pure: {instead}"
            return
    stem, _, last = whole.rpartition("::")
    if whole in IMPURE_MODULES or (last in ("self", "*") and stem in IMPURE_MODULES):
        yield position, f"{whole} in {module}, which is pure: import the items by name, so that what is impure shows"


def crate_module(path, home, source, position):
    """The top module that a path names from the crate root, by `crate::` or by enough `super::`; "" where it names the root itself."""
    if path[0] in ("crate", OWN_NAME):
        return first_name(path[1:])
    if path[0] == "self":
        path = path[1:]
    climbs = 0
    while climbs < len(path) and path[climbs] == "super":
        climbs += 1
    depth = len(home) + source.inline_depth(position)
    return first_name(path[climbs:]) if climbs == depth else None


def first_name(path):
    return path[0] if path and path[0] != "self" else ""
