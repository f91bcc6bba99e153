"""Faults to seed in a Python source: each changes one node of its syntax tree.

Left out by construction, because no test of the arithmetic could or should tell: docstrings,
annotations, decorators, imports, assertions, text of messages, ``strict`` of ``zip``, and
constants whose name says that they only size a block of work.
"""

import ast
import copy
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from .kinds import Change, Neighbors, Spot, changes

MODULE = "<module>"

_BLOCK_SIZE = re.compile(r"_[A-Z_]*BLOCK_[A-Z_]+")


@dataclass(frozen=True, slots=True)
class Fault:
    """One change to one source, known by where it stands and what it reads like.

    Attributes
    ----------
    path
        Source, relative to the root, with forward slashes.
    function
        Qualified name of the outermost function, of a class outside of functions, or ``<module>``.
    kind
        What kind of change it is, in words.
    is_local
        Whether it is inside a function.
    before, text
        The statement as it is, and changed (or "removed: ..."). A number follows where a function
        has several that read the same.
    """

    path: str
    function: str
    kind: str
    line: int
    is_local: bool
    before: str
    text: str
    tree: ast.Module
    change: Change

    @property
    def key(self) -> str:
        """What identifies the fault for as long as its statement stays."""
        return f"{self.path}::{self.function}::{self.text}"

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}: {self.function}"
        return f"{place}: {self.kind}: {self.before}  ->  {self.text}"

    def seeded(self) -> ast.Module:
        """The source's tree with the fault in it, for good: call it in a process of its own."""
        self.change.swap()
        return ast.fix_missing_locations(self.tree)


def find_faults(root: Path, path: str, neighbors: Neighbors) -> list[Fault]:
    """All faults of the source ``path`` under ``root``, in source order."""
    tree = ast.parse((root / path).read_text())
    known = _known(tree)
    seen: Counter[tuple[str, str]] = Counter()
    faults: list[Fault] = []
    for spot in _spots(Spot(tree, tree, "", None, MODULE, tree, tree)):
        before = _header(spot.statement)
        for change in changes(spot, neighbors, known):
            change.swap()
            after = _header(spot.statement)
            change.swap()
            text = f"removed: {before}" if change.kind == "removed statement" else after
            if text == before:
                continue
            seen[spot.function, text] += 1
            number = seen[spot.function, text]
            text += f"  #{number}" if number > 1 else ""
            faults.append(
                Fault(
                    path=path, function=spot.function, kind=change.kind,
                    line=getattr(spot.node, "lineno", getattr(spot.statement, "lineno", 0)),
                    is_local=isinstance(spot.scope, ast.FunctionDef),
                    before=before, text=text, tree=tree, change=change,
                )
            )  # fmt: skip
    return faults


def _known(tree: ast.Module) -> set[str]:
    """Names that the module itself binds or imports."""
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    names = {alias.asname or alias.name for node in imports for alias in node.names}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def _header(statement: ast.AST) -> str:
    """A statement on one line, without the statements inside it."""
    shallow = copy.copy(statement)
    for field in ("orelse", "finalbody", "cases", "handlers", "decorator_list"):
        if isinstance(getattr(shallow, field, None), list):
            setattr(shallow, field, [])
    if isinstance(getattr(shallow, "body", None), list):
        shallow.body = [ast.Pass()]  # pyright: ignore[reportAttributeAccessIssue]
    text = " ".join(ast.unparse(shallow).split())
    return text.removesuffix(" pass")


def _spots(spot: Spot) -> Iterator[Spot]:
    """``spot`` and all below it, without what is excluded."""
    if _is_excluded(spot):
        return
    node = spot.node
    if isinstance(node, ast.stmt | ast.match_case):
        spot = replace(spot, statement=node)
    is_definition = isinstance(node, ast.FunctionDef | ast.ClassDef)
    if is_definition and not isinstance(spot.scope, ast.FunctionDef):
        name = node.name if spot.function == MODULE else f"{spot.function}.{node.name}"
        spot = replace(spot, function=name, scope=node)
    yield spot
    for field, value in ast.iter_fields(node):
        if isinstance(spot.owner, ast.Raise) and field != "func":
            continue  # the message
        entries = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, entry in entries:
            if isinstance(entry, ast.AST):
                yield from _spots(replace(spot, node=entry, owner=node, field=field, index=index))


def _is_excluded(spot: Spot) -> bool:
    if spot.field in {"annotation", "returns", "decorator_list", "bases"}:
        return True
    match spot.node:
        case ast.Import() | ast.ImportFrom() | ast.Assert() | ast.Pass() | ast.JoinedStr():
            return True
        case ast.Expr(value=ast.Constant()):
            return True  # a docstring
        case ast.Assign(targets=[ast.Name(id=name)]) if _BLOCK_SIZE.fullmatch(name):
            return True
        case ast.Assign(value=ast.BinOp(op=ast.BitOr())) if isinstance(spot.scope, ast.Module):
            return True  # a name for a union of types
        case ast.ClassDef(bases=[ast.Name(id="Protocol")]) | ast.keyword(arg="strict"):
            return True
        case ast.IfExp(body=body, orelse=orelse):
            return _is_text(body) and _is_text(orelse)
    return False


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
