"""Pickles of plain data and NumPy arrays, read without running anything.

Unpickling calls whatever a file names. This interpreter knows the opcodes that plain
data needs and no other, admits the few names that a pickled array needs, and calls
none of them: a call stays a :class:`Call`, for the reader to interpret. It does not
recurse, and its memory is bounded by the length of the file and ``MAX_OPERATIONS``.
"""

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lsqsim.errors import DataError

MAX_OPERATIONS = 1_000_000
"""A batch of CIFAR-10 takes up to 100 thousand; each can make one object."""

_PROTOCOLS = range(2, 6)

_ENCODE = "_codecs.encode"

_ADMITTED = {
    "_codecs encode": _ENCODE,
    "numpy dtype": "numpy.dtype",
    "numpy ndarray": "numpy.ndarray",
    "numpy.core.multiarray _reconstruct": "numpy._reconstruct",
    "numpy._core.multiarray _reconstruct": "numpy._reconstruct",
    "numpy.core.numeric _frombuffer": "numpy._frombuffer",
    "numpy._core.numeric _frombuffer": "numpy._frombuffer",
}
"""Names as files have them, of NumPy 1 and 2, and the one name for both."""


@dataclass(frozen=True, slots=True, eq=False)
class Name:
    """An admitted name; nothing is imported."""

    name: str


@dataclass(slots=True, eq=False)
class Call:
    """A call that the pickle asks for, and the state to be set on its result."""

    function: str
    arguments: tuple[Any, ...]
    state: Any = None


def read_pickle(content: bytes) -> Any:
    """The object that a pickle describes, of plain data, :class:`Name` and :class:`Call`.

    A str may have been bytes: Python 2 makes no difference.

    Raises
    ------
    DataError
        Damage, an opcode that plain data doesn't need, a name that isn't admitted, or
        more than a million operations.
    """
    file, machine = io.BytesIO(content), _Machine(max_encoded=len(content))
    for _ in range(MAX_OPERATIONS):
        code = file.read(1)
        if code not in _OPCODES:
            raise _unknown_operation(code, file.tell() - len(code))
        opcode = _OPCODES[code]
        if opcode.name == "STOP":
            return machine.pop()
        try:
            _OPERATIONS[opcode.name](machine, _argument(opcode, file))
        except DataError:
            raise
        except ValueError as error:
            raise DataError(f"is a damaged pickle: {error}") from None
    raise DataError(f"is a pickle of more than {MAX_OPERATIONS} operations")


def _unknown_operation(code: bytes, at: int) -> DataError:
    if not code:
        return DataError("is a damaged pickle: it ends before its stop mark")
    return DataError(
        f"is no pickle of plain data: the byte 0x{code.hex()} at {at} is no operation on plain data"
    )


def _argument(opcode: pickletools.OpcodeInfo, file: io.BytesIO) -> Any:
    if opcode.name == "GLOBAL":
        # pickletools undoes escapes in names, and warns of some; pickles have no such escapes
        return f"{_line(file)} {_line(file)}"
    return opcode.arg.reader(file) if opcode.arg else None


def _line(file: io.BytesIO) -> str:
    line = file.readline()
    if not line.endswith(b"\n"):
        raise DataError("is a damaged pickle: it ends within a name")
    return line[:-1].decode()


class _Machine:
    """Stack and memo of the pickle machine; below each mark lies an earlier stack."""

    def __init__(self, *, max_encoded: int) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.room = max_encoded

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack:
            raise DataError("is a damaged pickle: it takes a value from an empty stack")
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise DataError(f"is a damaged pickle: it lacks a {kind.__name__.lower()} to change")
        return self.stack[-1]

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        if not self.below:
            raise DataError("is a damaged pickle: it lacks a mark")
        items, self.stack = self.stack, self.below.pop()
        return items

    def push_tuple(self, length: int) -> None:
        items = [self.pop() for _ in range(length)]
        self.push(tuple(reversed(items)))

    def set_items(self, items: list[Any]) -> None:
        target = self.top(dict)
        if len(items) % 2:
            raise DataError("is a damaged pickle: it has a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # other keys would be compared by what they hold, to any depth
            if not isinstance(key, str | bytes):
                raise DataError(f"must have text as keys, got {type(key).__name__}")
            target[key] = value

    def remember(self, index: int) -> None:
        self.memo[index] = self.pop()
        self.push(self.memo[index])

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise DataError(f"is a damaged pickle: it recalls {index}, which it never stored")
        self.push(self.memo[index])

    def push_name(self, module_and_name: str) -> None:
        if module_and_name not in _ADMITTED:
            named = module_and_name.replace(" ", ".")
            raise DataError(
                f"asks for {named!a:.80}, which is refused: only plain data and NumPy arrays "
                f"are read, and nothing is run"
            )
        self.push(Name(_ADMITTED[module_and_name]))

    def push_stacked_name(self) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise DataError("is a damaged pickle: a name must be text")
        self.push_name(f"{module} {name}")

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise DataError("is a damaged pickle: it calls what is no function")
        if function.name == _ENCODE:
            self.push(self._encoded(arguments))
        else:
            self.push(Call(function.name, arguments))

    def build(self) -> None:
        state = self.pop()
        self.top(Call).state = state

    def _encoded(self, arguments: tuple[Any, ...]) -> bytes:
        """Python 3 writes bytes in protocol 2 as Latin-1 text to be encoded."""
        match arguments:
            case (str() as text, "latin1" | "latin-1"):
                # One text can be recalled and encoded any number of times.
                self.room -= len(text)
                if self.room < 0:
                    raise DataError("is no plain pickle: it encodes more text than it holds")
                return text.encode("latin-1")
        raise DataError("is a damaged pickle: it encodes what is no Latin-1 text")


def _require_protocol(_: _Machine, protocol: int) -> None:
    if protocol not in _PROTOCOLS:
        raise DataError(f"is a pickle of protocol {protocol}; legal are 2..5")


def _push(machine: _Machine, value: Any) -> None:
    machine.push(value)


_OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _require_protocol,
    "FRAME": lambda _machine, _length: None,
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1"), _push),
    **dict.fromkeys(("SHORT_BINSTRING", "BINSTRING"), _push),
    **dict.fromkeys(("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"), _push),
    **dict.fromkeys(("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"), _push),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),  # noqa: FBT003 - the value itself
    "NEWFALSE": lambda machine, _: machine.push(False),  # noqa: FBT003 - (same)
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.push_tuple(1),
    "TUPLE2": lambda machine, _: machine.push_tuple(2),
    "TUPLE3": lambda machine, _: machine.push_tuple(3),
    "MARK": lambda machine, _: machine.mark(),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "APPEND": lambda machine, _: _append(machine, [machine.pop()]),
    "APPENDS": lambda machine, _: _append(machine, machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "BINPUT": lambda machine, index: machine.remember(index),
    "LONG_BINPUT": lambda machine, index: machine.remember(index),
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    "BINGET": lambda machine, index: machine.recall(index),
    "LONG_BINGET": lambda machine, index: machine.recall(index),
    "GLOBAL": lambda machine, module_and_name: machine.push_name(module_and_name),
    "STACK_GLOBAL": lambda machine, _: machine.push_stacked_name(),
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
}


def _append(machine: _Machine, items: list[Any]) -> None:
    machine.top(list).extend(items)


_OPCODES = {
    opcode.code.encode("latin-1"): opcode
    for opcode in pickletools.opcodes
    if opcode.name in _OPERATIONS or opcode.name == "STOP"
}
"""The operations by their byte. Arguments of others aren't even parsed."""
