"""A page's `use` cut out of the package: one file of plain PyTorch, made of the definitions that it reaches."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

OURS = "milestones"
PLAIN = {"torch", "numpy", "PIL", "safetensors"}  # what a script may need beside Python itself
Place = tuple[str, str]  # a module and a name in it
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Uncut(Exception):
    """A page cannot be cut out, and why."""


class Named(NamedTuple):
    """What a module's import binds a name to."""

    module: str
    attribute: str  # "": the module itself


class Source:
    """One module's text: its definitions by name, and what its imports bind."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.name = module, module.__name__
        self.text = Path(str(module.__file__)).read_text(encoding="utf-8")
        self.tree, self.lines = ast.parse(self.text), self.text.splitlines()
        self.defined: dict[str, list[ast.stmt]] = {}
        self.bound: dict[str, Named] = {}
        self.before: list[str] = []  # modules of ours that its top imports
        package = self.name if str(module.__file__).endswith("__init__.py") else self.name.rpartition(".")[0]
        top = set(map(id, self.tree.body))
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and (id(node) in top or ours(node)):
                base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                full = ".".join([*base, *([node.module] if node.module else [])])
                self.bound |= {one.asname or one.name: Named(full, one.name) for one in node.names}
                self.before += [full] if id(node) in top and ours(node) else []
            elif isinstance(node, ast.Import) and id(node) in top:
                for one in node.names:
                    self.bound[one.asname or one.name.split(".")[0]] = Named(one.name, "")
        for node in self.tree.body:
            for name in binds(node):
                self.defined.setdefault(name, []).append(node)


def ours(node: ast.AST) -> bool:
    """Whether a statement imports from this package."""
    return isinstance(node, ast.ImportFrom) and (node.level > 0 or str(node.module).split(".")[0] == OURS)


def binds(node: ast.stmt) -> Iterator[str]:
    """The names that a statement at the top of a module defines."""
    if isinstance(node, Function | ast.ClassDef):
        yield node.name
    elif not isinstance(node, ast.Import | ast.ImportFrom | ast.Expr):
        yield from (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


class Reach(ast.NodeVisitor):
    """The global names and the attributes that a piece of code needs when it runs; annotations are not needed."""

    def __init__(self) -> None:
        self.names: list[ast.Name] = []
        self.attributes: set[str] = set()
        self.local: list[set[str]] = []

    def visit_Name(self, node: ast.Name) -> None:
        if not any(node.id in names for names in self.local):
            self.names.append(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.attributes.add(node.attr)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and node.value.isidentifier():
            self.attributes.add(node.value)  # for getattr

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        for part in (node.target, node.value):
            if part is not None:
                self.visit(part)

    def inside(self, node: Any, parts: list[Any]) -> None:
        bound = {a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)}
        bound |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        bound |= {n.name for n in ast.walk(node) if isinstance(n, Function | ast.ClassDef) and n is not node}
        bound |= {n.name for n in ast.walk(node) if isinstance(n, ast.ExceptHandler) and n.name}
        given = {n for g in ast.walk(node) if isinstance(g, ast.Global) for n in g.names}
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        self.local.append(bound - given)
        for part in parts:
            self.visit(part)
        self.local.pop()

    def visit_FunctionDef(self, node: Any) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        self.inside(node, node.body)

    def visit_AsyncFunctionDef(self, node: Any) -> None:
        self.visit_FunctionDef(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.inside(node, [node.body])

    def comprehension(self, node: Any) -> None:
        self.local.append({n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)})
        self.generic_visit(node)
        self.local.pop()

    def visit_ListComp(self, node: Any) -> None:
        self.comprehension(node)

    def visit_SetComp(self, node: Any) -> None:
        self.comprehension(node)

    def visit_DictComp(self, node: Any) -> None:
        self.comprehension(node)

    def visit_GeneratorExp(self, node: Any) -> None:
        self.comprehension(node)


class Cut:
    """All that some roots need, gathered from the modules they stand in."""

    def __init__(self, pages: dict[str, ModuleType]) -> None:
        self.pages, self.sources = pages, dict[str, Source]()
        self.kept: dict[Place, list[ast.stmt]] = {}
        self.classes: dict[int, tuple[Source, ast.ClassDef, set[int]]] = {}
        self.outer: dict[tuple[str, str], Named] = {}  # module and name -> what is imported from elsewhere
        self.attributes: set[str] = set()
        self.by: dict[Place, Place] = {}  # who needed it first

    def source(self, name: str) -> Source:
        if name not in self.sources:
            self.sources[name] = Source(self.pages.get(name) or importlib.import_module(name))
        return self.sources[name]

    def way(self, place: Place) -> str:
        """How a name is reached from `use`, for a refusal."""
        names = [place[1]]
        while place in self.by and len(names) < 6:
            place = self.by[place]
            names.append(place[1])
        return " -> ".join(reversed(names))

    def need(self, source: Source, name: str, by: Place) -> None:
        """Take in a name as a module means it."""
        if name in source.bound and name not in source.defined:
            named = source.bound[name]
            if named.module.split(".")[0] != OURS:
                if named.module.split(".")[0] not in PLAIN | sys.stdlib_module_names:
                    raise Uncut(f"it needs {named.module.split('.')[0]} ({self.way(by)})")
                self.outer[source.name, name] = named
                return
            whole = self.source(named.module).module
            if not named.attribute or isinstance(getattr(whole, named.attribute, None), ModuleType):
                raise Uncut(f"it uses the module {name} as a whole ({self.way(by)})")
            self.need(self.source(named.module), named.attribute, by)
            return
        place = source.name, name
        if name not in source.defined:
            if name == "__file__" or name == "__package__":
                raise Uncut(f"it reads a file of the package ({self.way(by)})")
            return  # Python's own
        if place in self.kept:
            return
        self.by[place] = by
        self.kept[place] = source.defined[name]
        for node in source.defined[name]:
            for other in binds(node):
                self.kept.setdefault((source.name, other), source.defined[other])
            if isinstance(node, ast.ClassDef):
                self.classes[id(node)] = source, node, set()
                for part in [*node.bases, *(k.value for k in node.keywords), *node.decorator_list]:
                    self.read(source, part, place)
                for part in node.body:
                    if not isinstance(part, Function):
                        self.read(source, part, place)
            else:
                self.read(source, node, place)

    def read(self, source: Source, node: ast.AST, place: Place) -> None:
        reach = Reach()
        reach.visit(node)
        self.attributes |= reach.attributes
        for name in reach.names:
            if isinstance(name.ctx, ast.Load):
                self.need(source, name.id, place)

    def settle(self) -> None:
        """Take in the methods that may be called by any name seen, until nothing is new."""
        again = True
        while again:
            again = False
            for source, node, methods in list(self.classes.values()):
                kind = getattr(source.module, node.name)
                others = [base for base in kind.__mro__[1:] if base.__module__.split(".")[0] != OURS]
                for part in node.body:
                    if not isinstance(part, Function) or id(part) in methods:
                        continue
                    special = part.name.startswith("__") or part.name in self.attributes
                    if special or any(hasattr(base, part.name) for base in others):
                        methods.add(id(part))
                        self.read(source, part, (source.name, node.name))
                        again = True

    def order(self) -> list[Source]:
        """The modules, each after those that its top imports."""
        done: list[str] = []

        def visit(name: str) -> None:
            if name not in done and name not in visiting:
                visiting.add(name)
                for other in self.source(name).before:
                    visit(other)
                done.append(name)

        visiting: set[str] = set()
        for name in list(self.sources):
            visit(name)
        return [self.sources[name] for name in done]

    def text(self) -> str:
        """The definitions in the order in which they ran in their modules, under the imports that they need."""
        plan, taken = dict[tuple[str, str], str](), dict[str, Any]()
        for (module, name), named in self.outer.items():
            plan[module, name] = self.free(name, ("outer", *named), taken, module)
        for module, name in self.kept:
            plan[module, name] = self.free(name, (module, name), taken, module)
        pieces = []
        for source in self.order():
            nodes = [n for n in source.tree.body if any(n in self.kept.get((source.name, b), []) for b in binds(n))]
            if nodes:
                pieces.append(f"# {source.name}\n\n\n" + "\n\n\n".join(self.piece(source, n, plan) for n in nodes))
        lines = {line(named, plan[place]) for place, named in self.outer.items()}
        return "\n".join(sorted(lines)) + "\n\n\n" + "\n\n\n".join(pieces)

    def free(self, name: str, what: Any, taken: dict[str, Any], module: str) -> str:
        """The name in the script: the module's own, unless another thing has it."""
        if taken.setdefault(name, what) == what:
            return name
        return self.free(f"{name}_{module.rpartition('.')[2]}", what, taken, module)

    def called(self, source: Source, name: str, plan: dict[tuple[str, str], str]) -> str:
        """What a global name of a module is called in the script."""
        named = source.bound.get(name)
        if name in source.defined or named is None or named.module.split(".")[0] != OURS:
            return plan.get((source.name, name), name)
        return self.called(self.source(named.module), named.attribute, plan)

    def piece(self, source: Source, node: ast.stmt, plan: dict[tuple[str, str], str]) -> str:
        """A definition's own text: without imports of ours and methods that nothing calls, with the script's names."""
        edits: list[tuple[int, int, int, int, str]] = []
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        reach = Reach()
        if isinstance(node, ast.ClassDef):
            kept = self.classes[id(node)][2]
            for part in node.body:
                if isinstance(part, Function) and id(part) not in kept:
                    begin = min([part.lineno, *(d.lineno for d in part.decorator_list)])
                    edits.append((begin, 0, part.end_lineno or 0, part.end_col_offset or 0, ""))
                else:
                    reach.visit(part)
            for part in [*node.bases, *(k.value for k in node.keywords), *node.decorator_list]:
                reach.visit(part)
            if all(isinstance(part, Function) and id(part) not in kept for part in node.body):
                raise Uncut(f"nothing would be left of the class {node.name}")
        else:
            reach.visit(node)
        gone = {row for begin, _, end, _, _ in edits for row in range(begin, end + 1)}
        for name in reach.names:
            new = self.called(source, name.id, plan)
            if new != name.id and name.lineno not in gone:
                edits.append((name.lineno, name.col_offset, name.lineno, name.end_col_offset or 0, new))
        if isinstance(node, Function | ast.ClassDef) and plan.get((source.name, node.name), node.name) != node.name:
            column = self.column(source, node)
            edits.append((node.lineno, column, node.lineno, column + len(node.name), plan[source.name, node.name]))
        for inner in ast.walk(node):
            if ours(inner) and inner.lineno not in gone:  # type: ignore[attr-defined]
                edits.append((inner.lineno, inner.col_offset, inner.end_lineno, inner.end_col_offset, "pass"))  # type: ignore[attr-defined]
        rows = [row.encode() for row in source.lines]
        for begin, left, end, right, new in sorted(set(edits), reverse=True):
            joined = rows[begin - 1][:left] + new.encode() + rows[end - 1][right:]
            rows[begin - 1 : end] = [joined, *[b"\0"] * (end - begin)]
        found = [row.decode() for row in rows[first - 1 : node.end_lineno] if row != b"\0"]
        return tidy([row for row in found if row.strip() != "pass" or "pass" in source.text.split()])

    @staticmethod
    def column(source: Source, node: Any) -> int:
        row = source.lines[node.lineno - 1]
        return row.index(node.name, row.index("class " if isinstance(node, ast.ClassDef) else "def ") + 4)


def line(named: Named, name: str) -> str:
    """The import of a name from elsewhere."""
    if not named.attribute:
        return f"import {named.module}" + (f" as {name}" if name != named.module.split(".")[0] else "")
    return f"from {named.module} import {named.attribute}" + (f" as {name}" if name != named.attribute else "")


def tidy(rows: list[str]) -> str:
    """Without more than one empty line in a row."""
    kept = [row for k, row in enumerate(rows) if row.strip() or (k and rows[k - 1].strip())]
    return "\n".join(kept).rstrip()


READERS = {  # of a word on the command line, by the kind that a page takes; a file's kind is told by its end
    "Image": ("Image.open(word)", (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm")),
    "Audio": ("Audio.open(word)", (".wav",)),
    "Text": ("Text(a_text(word))", ()),
}


def script(trained: Any, docstring: str) -> str:
    """The script's whole text. Uncut: the page plays by itself, searches, or needs more than plain PyTorch."""
    system = trained.system
    if not system.takes:
        raise Uncut("it plays by itself in a world: there is no file to give it")
    kinds = [kind for kind in system.takes if kind.__name__ in READERS]
    if not kinds:
        names = ", ".join(kind.__name__.lower() for kind in system.takes)
        raise Uncut(f"it takes {names}: a script reads pictures, WAV sounds and texts alone")
    if "game" in trained.facts:
        raise Uncut("it searches a game by compiled rules: 'milestones play RUN --gtp' gives it to other programs")
    if isinstance(trained.facts.get("columns"), list):
        raise Uncut("it was trained on the rows of a table: a script reads pictures, WAV sounds and texts alone")
    if not all(isinstance(one, FunctionType | type) for one in (system.use, system.build)):
        raise Uncut("its page has no plain functions build and use")
    page = importlib.import_module(trained.entry.module) if not trained.entry.module.endswith(".py") else None
    pages = {page.__name__: page} if page else {}
    if page is None:
        raise Uncut("it is of a page of your own: copy that file instead")
    cut = Cut(pages)
    roots = [(one.__module__, one.__name__) for one in (system.use, system.build, *kinds)]
    roots.append((f"{OURS}.core.errors", "UserError"))
    members = int(trained.config.get("members", 1))
    if members > 1:
        roots.append((f"{OURS}.parts.ensemble", "Ensemble"))
    cut.attributes |= {"plain", "open"}
    for module, name in roots:
        cut.need(cut.source(module), name, (module, name))
    cut.settle()
    body = cut.text()
    knobs = ", ".join(f"{name}={value!r}" for name, value in trained.knobs.model_dump().items())
    built = f"{system.build.__name__}(KNOBS, facts)"
    model = f"Ensemble([{built} for _ in range({members})])" if members > 1 else built
    rest = ["    raise UserError('a file of a kind that it takes', word, 'Name another')"]
    reading = []
    for kind in kinds:
        how, ends = READERS[kind.__name__]
        if ends:
            reading.append(f"    if Path(word).suffix.lower() in {ends!r}:\n        return {how}")
        else:
            rest = [f"    return {how}"]
    return MAIN.format(doc=docstring, body=body, knobs=knobs, model=model, reading="\n".join([*reading, *rest]),
                       use=system.use.__name__)  # fmt: skip


MAIN = '''"""{doc}"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import load_file

{body}


# What the run was trained with

KNOBS = SimpleNamespace({knobs})


def a_text(word):
    """The word itself; a file's content would be read as other lines."""
    if Path(word).exists():
        raise UserError("a text on the command line", f"the path {{word}}", "Pass the text itself, in quotes")
    return word


def read_word(word):
    """A word of the command line as what the net takes."""
{reading}


def main(words):
    """Answer for each word: one JSON object on standard output."""
    here = Path(__file__).resolve().parent
    facts = json.loads((here / "facts.json").read_text(encoding="utf-8"))
    facts.pop("format", None)
    model = {model}
    model.load_state_dict(load_file(here / "model.safetensors"))
    model.eval()
    try:
        with torch.inference_mode():
            found = {use}(model, facts, [read_word(word) for word in words]) if words else []
    except UserError as problem:
        print(problem, file=sys.stderr)
        return 2
    answers = [{{"input": word, **{{name: item.plain() for name, item in one.items()}}}}
               for word, one in zip(words, found, strict=True)]
    print(json.dumps({{"answers": answers}}, ensure_ascii=False, allow_nan=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
'''
