"""The kinds of faults: what can be changed at one node of a syntax tree."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.MatMult: ast.Mult,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}
_BUILTINS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_ATTRIBUTES = _BUILTINS | {
    "minimum": "maximum",
    "maximum": "minimum",
    "argmin": "argmax",
    "floor": "ceil",
    "ceil": "floor",
    "trunc": "floor",
    "zeros": "ones",
    "float32": "float64",
    "float64": "float32",
    "int64": "int32",
    "uint64": "uint32",
}
_ERRORS = {"SpecError": "DataError", "DataError": "SpecError", "WidthError": "SpecError"}
_STRINGS = {"ignore": "raise", "left": "right", "right": "left"}
_ORDER_IS_FREE = {"min", "max", "isinstance"}

_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]+")


@dataclass(slots=True)
class Change:
    """A new value for one field of a node, or for one entry of a field that is a list."""

    kind: str
    owner: ast.AST
    field: str
    index: int | None
    new: object

    def swap(self) -> None:
        """Make the change; a second time, undo it."""
        held = getattr(self.owner, self.field)
        if self.index is None:
            setattr(self.owner, self.field, self.new)
            self.new = held
        else:
            held[self.index], self.new = self.new, held[self.index]


@dataclass(frozen=True, slots=True)
class Spot:
    """A node, and where it is.

    Attributes
    ----------
    owner, field, index
        The node is this field of its owner, or an entry of it.
    function
        Name of the scope, qualified.
    scope
        The outermost function around the node; else the class, or the module.
    statement
        What a report quotes.
    """

    node: ast.AST
    owner: ast.AST
    field: str
    index: int | None
    function: str
    scope: ast.AST
    statement: ast.AST

    def here(self, kind: str, new: object) -> Change:
        """``new`` in place of the node."""
        return Change(kind, self.owner, self.field, self.index, new)

    def inside(self, kind: str, field: str, new: object, index: int | None = None) -> Change:
        """``new`` in a field of the node."""
        return Change(kind, self.node, field, index, new)


@dataclass(frozen=True, slots=True)
class Neighbors:
    """Which member of an enumeration, and which constant of a block of them, follows which."""

    members: dict[str, dict[str, str]]
    constants: list[dict[str, str]]

    @classmethod
    def among(cls, sources: list[Path]) -> "Neighbors":
        """Those that any of ``sources`` defines."""
        members: dict[str, dict[str, str]] = {}
        constants: list[dict[str, str]] = []
        for source in sources:
            tree = ast.parse(source.read_text())
            constants += map(_cycle, _blocks(tree.body))
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef) and any(_ends(b, "Enum") for b in node.bases):
                    members[node.name] = _cycle(list(chain.from_iterable(_blocks(node.body))))
        return cls(members, constants)

    def of_member(self, owner: ast.expr, name: str) -> str | None:
        """What follows ``owner.name``, of an enumeration or a module."""
        if isinstance(owner, ast.Name) and owner.id in self.members:
            return self.members[owner.id].get(name)
        return next((cycle[name] for cycle in self.constants if name in cycle), None)

    def of_constant(self, name: str, known: set[str]) -> str | None:
        """What follows the constant ``name``, if the module at hand knows that, too."""
        found = (cycle[name] for cycle in self.constants if name in cycle)
        return next((new for new in found if new in known), None)


def _ends(node: ast.expr, text: str) -> bool:
    return isinstance(node, ast.Name) and node.id.endswith(text)


def _blocks(body: list[ast.stmt]) -> Iterator[list[str]]:
    """Names of constants that ``body`` assigns, those on successive lines together."""
    block: list[str] = []
    last = 0
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant() | ast.UnaryOp()):
                if block and node.lineno != last + 1:
                    yield block
                    block = []
                if _CONSTANT.fullmatch(name):
                    block.append(name)
                    last = node.lineno
    yield block


def _cycle(names: list[str]) -> dict[str, str]:
    return dict(zip(names, names[1:] + names[:1], strict=True)) if len(names) > 1 else {}


def changes(spot: Spot, neighbors: Neighbors, known: set[str]) -> Iterator[Change]:
    """Every change at ``spot``, in a module that itself binds or imports the ``known`` names."""
    for found in (_statement, _condition, _expression, _constant, _call):
        yield from found(spot)
    yield from _name(spot, neighbors, known)


def _statement(spot: Spot) -> Iterator[Change]:
    """Leave out a statement whose absence is not a NameError at once."""
    match spot.node:
        case ast.Expr() | ast.AugAssign() | ast.Raise():
            removable = True
        case ast.Assign(targets=[ast.Subscript()]):
            removable = True
        case ast.Assign(targets=[ast.Attribute()]):
            removable = not spot.function.endswith("__init__")
        case ast.Assign(targets=[ast.Name(id=name)], lineno=line):
            removable = name in _bound_before(spot.scope, line)
        case ast.Return():
            removable = spot.owner is not spot.scope
        case _:
            removable = False
    if removable:
        yield spot.here("removed statement", ast.Pass())


def _bound_before(scope: ast.AST, line: int) -> set[str]:
    arguments = {node.arg for node in ast.walk(scope) if isinstance(node, ast.arg)}
    return arguments | {
        node.id
        for node in ast.walk(scope)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.lineno < line
    }


def _condition(spot: Spot) -> Iterator[Change]:
    """Negate a condition (but a comparison, which _expression turns around), or drop a part."""
    node = spot.node
    is_test = spot.field in {"test", "ifs", "guard"}
    if is_test and isinstance(node, ast.expr) and not isinstance(node, ast.Compare | ast.UnaryOp):
        yield spot.here("negated condition", ast.UnaryOp(ast.Not(), node))
    if isinstance(node, ast.UnaryOp):
        yield spot.here("sign or not left out", node.operand)
    if isinstance(node, ast.BoolOp):
        opposite = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield spot.inside("and, or", "op", opposite)
        for at in range(len(node.values)):
            rest = node.values[:at] + node.values[at + 1 :]
            new = rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
            yield spot.here("part of a condition left out", new)


def _expression(spot: Spot) -> Iterator[Change]:
    match spot.node:
        case ast.Compare(ops=ops):
            for index, op in enumerate(ops):
                for new in _COMPARISONS[type(op)]:
                    yield spot.inside("comparison", "ops", new(), index)
        case ast.BinOp(op=op) | ast.AugAssign(op=op):
            yield spot.inside("operator", "op", _OPERATORS[type(op)]())
        case ast.Slice() as cut:
            for field in ("lower", "upper", "step"):
                if getattr(cut, field) is not None:
                    yield spot.inside("slice", field, None)
        case ast.Tuple(elts=elements, ctx=ast.Load()) if not isinstance(spot.owner, ast.Subscript):
            for new in _swapped(elements):
                yield spot.inside("swapped order", "elts", new)


def _swapped(nodes: list[ast.expr]) -> Iterator[list[ast.expr]]:
    """``nodes`` with two neighbors swapped, wherever that makes a difference."""
    for at, (a, b) in enumerate(pairwise(nodes)):
        if not _is_odd(a) and not _is_odd(b) and ast.dump(a) != ast.dump(b):
            yield [*nodes[:at], b, a, *nodes[at + 2 :]]


def _is_odd(node: ast.expr) -> bool:
    """Whether any swap with a neighbor is a TypeError at once: a type of NumPy's, or a text."""
    match node:
        case ast.Starred() | ast.JoinedStr() | ast.Constant(value=str()):
            return True
        case ast.Attribute(value=ast.Name(id="np")):
            return True
    return False


def _constant(spot: Spot) -> Iterator[Change]:
    if not isinstance(spot.node, ast.Constant):
        return
    match spot.node.value:
        case bool() as held:
            values: list[bool | int | float | str] = [not held]
        case int() as held:
            values = [held + 1, held - 1]
        case float() as held:
            values = [held + 1, held * 2 if held else -1.0, held / 2]
        case str() as held if isinstance(spot.owner, ast.Compare):
            values = [held[:at] + held[at + 1 :] for at in range(len(held))]
        case str() as held if isinstance(spot.owner, ast.keyword) and held in _STRINGS:
            values = [_STRINGS[held]]
        case _:
            values = []
    for value in values:
        yield spot.here("constant", ast.Constant(value))


def _call(spot: Spot) -> Iterator[Change]:
    match spot.node:
        case ast.Call(func=ast.Name(id="range"), args=args) if len(args) < 3:
            start, stop = ([ast.Constant(0), *args])[-2:]
            later = [ast.BinOp(start, ast.Add(), ast.Constant(1)), stop]
            yield spot.inside("loop starts late", "args", later)
            yield spot.inside("loop ends early", "args", [start, _minus_one(stop)])
        case ast.Call(func=func, args=args) if not _is_called(func, _ORDER_IS_FREE):
            for new in _swapped(args):
                yield spot.inside("swapped arguments", "args", new)


def _minus_one(node: ast.expr) -> ast.expr:
    return ast.BinOp(node, ast.Sub(), ast.Constant(1))


def _is_called(func: ast.expr, names: set[str]) -> bool:
    return isinstance(func, ast.Name) and func.id in names


def _name(spot: Spot, neighbors: Neighbors, known: set[str]) -> Iterator[Change]:
    """Another function, type, constant or member of the same kind."""
    match spot.node:
        case ast.Name(id=name, ctx=ast.Load()) if name in _ERRORS:
            new, field = _ERRORS[name], "id"
            new = new if new in known else None
        case ast.Name(id=name, ctx=ast.Load()):
            new, field = _BUILTINS.get(name) or neighbors.of_constant(name, known), "id"
        case ast.Attribute(value=owner, attr=name, ctx=ast.Load()):
            new, field = _ATTRIBUTES.get(name) or neighbors.of_member(owner, name), "attr"
        case _:
            return
    if new is not None:
        yield spot.inside("other name", field, new)
