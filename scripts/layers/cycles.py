"""Import cycles between the files of one layer.

A file depends on another when it names an item that the other defines (`pub use` is followed to the definition), when
it uses a macro of the other's, or when it calls an inherent method whose `impl` stands in the other.

No types are inferred: a call counts for every method of that name and number of arguments that a type within the file's
reach has. A method beside its type adds nothing, as the file reaches that file anyway; one that stands apart from its
type needs a name of its own where this finds a cycle that is none.
"""

from collections import defaultdict
from dataclasses import dataclass

@dataclass(frozen=True)
class Tie:
    """Why a file depends on another: the name, and where it stands."""

    name: str
    position: int


class Crate:
    """The files of one crate by module path, with what each defines and imports."""

    def __init__(self, outlines):
        """`outlines` maps a file's name to its Outline."""
        self.outlines = outlines
        self.modules = {}  # module path -> file
        self.items = defaultdict(dict)  # module path -> name -> file
        self.uses = defaultdict(lambda: defaultdict(list))  # module path -> name -> [path]
        for file, found in outlines.items():
            for module in found.modules:
                self.modules[module] = file
            for module, name in found.items:
                self.items[module][name] = file
            for use in found.uses:
                self.uses[use.module][use.name].append(use.path)
        self.methods = self._methods()

    def _methods(self):
        """Method name -> [(type, file, arguments)]; the type is None for what is not inherent."""
        found = defaultdict(list)
        for file, outline in self.outlines.items():
            for method in outline.methods:
                own = self.type_of(method.impl) if method.impl.is_inherent else None
                found[method.name].append((own, file, method.arguments))
        return found

    def type_of(self, block):
        """The type of an impl block: where it is defined, and its name; None for a foreign one."""
        if block is None or not block.type:
            return None
        item = self.resolve(block.module, block.type)
        return item and item[:2]

    def resolve(self, module, path, seen=frozenset()):
        """The item that a path names from `module`: (file, name, the segments after it). None for a module or what is foreign."""
        scope, rest = self._start(module, path)
        while rest is not None:
            name, more = rest[0], rest[1:]
            if name in self.items[scope] and not (more and scope + (name,) in self.modules):
                return self.items[scope][name], name, more
            if (imported := self._imported(scope, name, more, seen)) is not None:
                return imported
            if scope + (name,) not in self.modules or not more:
                return None
            scope, rest = scope + (name,), more
        return None

    def _start(self, module, path):
        if path[0] == "crate":
            return (), path[1:] or None
        if path[0] == "self":
            return module, path[1:] or None
        climbs = 0
        while climbs < len(path) and path[climbs] == "super":
            climbs += 1
        if climbs > len(module):
            return module, None
        return module[: len(module) - climbs], path[climbs:] or None

    def _imported(self, scope, name, more, seen):
        if (scope, name) in seen:
            return None
        seen = seen | {(scope, name)}
        for path in self.uses[scope].get(name, ()):
            if (found := self.resolve(scope, path + more, seen)) is not None:
                return found
        for path in self.uses[scope].get("*", ()):
            if (found := self.resolve(scope, path[:-1] + (name,) + more, seen)) is not None:
                return found
        return None

    def ties(self, files):
        """file -> other file -> [Tie], among `files`."""
        named = {file: list(self._named(file)) for file in files}
        calls = {file: [] for file in files}
        while (found := self._calls(files, self._known_types(files, named, calls))) != calls:
            calls = found
        ties = defaultdict(lambda: defaultdict(list))
        for file in files:
            for other, name, position in [*named[file], *calls[file], *self._macros(file, files)]:
                if other != file and other in files:
                    ties[file][other].append(Tie(name, position))
        return ties

    def _calls(self, files, known):
        return {file: [tie for call in self.outlines[file].calls for tie in self._call(call, files, known[file])] for file in files}

    def _known_types(self, files, named, calls):
        """file -> the files whose types it can hold a value of: those that it names or calls, and that these do, and so on."""
        direct = {file: {other for other, _, _ in [*named[file], *calls[file]]} for file in files}
        known = {}
        for file in files:
            reached, work = {file}, [file]
            while work:
                new = direct.get(work.pop(), set()) - reached
                reached |= new
                work += new
            known[file] = reached
        return known

    def _macros(self, file, files):
        """The macros that the file has by their place in the text: those of mod.rs, mostly."""
        outline = self.outlines[file]
        own = outline.defined_macros
        for name, position in outline.macros:
            if name not in own:
                for other in sorted(files):
                    if name in self.outlines[other].defined_macros:
                        yield other, f"{name}!", position

    def _named(self, file):
        outline = self.outlines[file]
        for use in outline.uses:
            yield from self._glob(use) if use.path[-1] == "*" else self._path(use.module, use.path, use.position)
        for path in outline.paths:
            if path.segments[0] == "Self":
                yield from self._associated(self.type_of(path.impl), path.segments[1], path.position)
            else:
                yield from self._path(path.module, path.segments, path.position)

    def _path(self, module, path, position):
        item = self.resolve(module, path)
        if item is None:
            return
        file, name, more = item
        yield file, name, position
        if more:
            yield from self._associated((file, name), more[0], position)

    def _glob(self, use):
        """A glob names the module's file, or, of an enum's variants, the file of the enum."""
        if (item := self.resolve(use.module, use.path[:-1])) is not None:
            yield item[0], item[1] + "::*", use.position
            return
        scope, rest = self._start(use.module, use.path[:-1])
        module = scope + tuple(rest or ())
        if module in self.modules:
            yield self.modules[module], "*", use.position

    def _associated(self, own, name, position):
        """An associated function or constant whose impl stands apart from its type."""
        if own is None:
            return
        for file in sorted({file for type_, file, _ in self.methods.get(name, ()) if type_ == own}):
            yield file, f"{own[1]}::{name}", position

    def _call(self, call, files, known):
        """Every method that it may call, going by name, number of arguments and the types that the file can hold."""
        fits = lambda arguments: call.arguments is None or arguments == call.arguments
        own = self.type_of(call.impl) if call.on_self else None
        definitions = [(type_, home) for type_, home, arguments in self.methods.get(call.name, ()) if type_ and fits(arguments)]
        of_self = [(type_, home) for type_, home in definitions if own and type_ == own]
        for type_, home in of_self or definitions:
            if home in files and (type_ == own or type_[0] in known):
                yield home, f"{type_[1]}::{call.name}()", call.position


def cycles(ties, files):
    """The groups of files that reach each other (Tarjan's components), each sorted."""
    index, low, on_stack, stack, groups = {}, {}, set(), [], []

    def visit(root):
        work = [(root, iter(sorted(ties.get(root, ()))))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            file, others = work[-1]
            for other in others:
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    on_stack.add(other)
                    work.append((other, iter(sorted(ties.get(other, ())))))
                    break
                if other in on_stack:
                    low[file] = min(low[file], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[file])
                if low[file] == index[file]:
                    groups.append(take_group(file))

    def take_group(root):
        group = []
        while True:
            file = stack.pop()
            on_stack.discard(file)
            group.append(file)
            if file == root:
                return sorted(group)

    for file in sorted(files):
        if file not in index:
            visit(file)
    return [group for group in groups if len(group) > 1]
