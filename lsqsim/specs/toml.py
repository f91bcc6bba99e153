"""Specifications to and from TOML, driven by the types of their fields.

A format is a string (``"int8"``), an enumeration its value, a specification a
table, a choice between several specifications a table with ``kind``, and a
field that is None is left out. Unknown keys are refused by name.
"""

import tomllib
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Self, TypeVar, Union, get_args, get_origin, get_type_hints

from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat

T = TypeVar("T")


class Spec:
    """Base of all specifications: frozen, keyword-only, written and read as TOML."""

    __slots__ = ()

    def __post_init__(self) -> None:
        _check_types(self)
        self.validate()

    def validate(self) -> None:
        """Refuse illegal combinations of fields; their types are checked already."""

    def to_toml(self) -> str:
        """This specification as TOML text; :meth:`from_toml` reads it back, equal."""
        import tomli_w  # noqa: PLC0415 - only writing needs it

        return tomli_w.dumps(to_table(self))

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Read TOML text; SpecError names the key, the value and what is legal."""
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise SpecError(f"malformed TOML: {error}") from None
        return from_table(cls, table)

    def __str__(self) -> str:
        return self.to_toml()


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _check_types(spec: Any) -> None:
    for field in fields(spec):
        value = getattr(spec, field.name)
        hint = _hints(type(spec))[field.name]
        if not _is_of_type(hint, value):
            name = f"{type(spec).__name__}.{field.name}"
            raise SpecError(f"{name} must be {_describe_in_code(hint)}, got {value!r}")


def _is_of_type(hint: Any, value: Any) -> bool:
    for choice in _choices(hint):
        if get_origin(choice) is tuple:
            if isinstance(value, tuple) and _items_are_of_type(get_args(choice), value):
                return True
        elif choice in (int, float):
            if type(value) is int or (choice is float and isinstance(value, float)):
                return True
        elif isinstance(value, choice):
            return True
    return False


def _items_are_of_type(hints: tuple[Any, ...], items: tuple[Any, ...]) -> bool:
    if hints[-1] is Ellipsis:
        hints = hints[:1] * len(items)
    return len(hints) == len(items) and all(map(_is_of_type, hints, items))


def to_table(spec: Any) -> dict[str, Any]:
    """The fields of ``spec`` as plain TOML values, without those that are None."""
    hints = _hints(type(spec))
    values = {field.name: getattr(spec, field.name) for field in fields(spec)}
    return {
        name: _to_value(hints[name], value) for name, value in values.items() if value is not None
    }


def _to_value(hint: Any, value: Any) -> Any:
    if isinstance(value, IntFormat):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        tuples = [choice for choice in _choices(hint) if get_origin(choice) is tuple]
        return [_to_value(get_args(tuples[0])[0], item) for item in value]
    if is_dataclass(value):
        kind = {"kind": kind_name(type(value))} if len(_spec_choices(hint)) > 1 else {}
        return kind | to_table(value)
    return value


def from_table(cls: type[T], table: dict[str, Any], path: str = "") -> T:
    """Build ``cls`` from a table; ``path`` is the dotted key, for messages."""
    if not isinstance(table, dict):
        raise SpecError(f"{path or 'the file'} must be a table, got {table!r}")
    hints = _hints(cls)
    legal = [field.name for field in fields(cls)]  # pyright: ignore[reportArgumentType]
    for key in table:
        if key not in legal:
            raise SpecError(f"unknown key {_join(path, key)}; legal keys are {', '.join(legal)}")
    for field in fields(cls):  # pyright: ignore[reportArgumentType]
        required = field.default is MISSING and field.default_factory is MISSING
        if required and field.name not in table:
            raise SpecError(f"missing key {_join(path, field.name)}")
    values = {key: _from_value(hints[key], value, _join(path, key)) for key, value in table.items()}
    try:
        return cls(**values)
    except SpecError as error:
        raise SpecError(f"{path}: {error}" if path else str(error)) from None


def _from_value(hint: Any, value: Any, path: str) -> Any:
    specs = _spec_choices(hint)
    if isinstance(value, dict) and specs:
        return _spec_from_table(specs, value, path)
    for choice in _choices(hint):
        if get_origin(choice) is tuple and isinstance(value, list):
            return _tuple_from_value(choice, value, path)
        if choice is IntFormat and isinstance(value, str):
            return _format_from_text(value, path)
        if isinstance(choice, type) and issubclass(choice, Enum):
            for member in choice:
                if member.value == value:
                    return member
        if choice in (int, str) and type(value) is choice:
            return value
        if choice is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    raise SpecError(f"{path} must be {_describe(_choices(hint))}, got {value!r}")


def _format_from_text(text: str, path: str) -> IntFormat:
    try:
        return IntFormat.parse(text)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None


def _tuple_from_value(hint: Any, value: list[Any], path: str) -> tuple[Any, ...]:
    items = get_args(hint)
    if items[-1] is Ellipsis:
        items = (items[0],) * len(value)
    if len(items) != len(value):
        raise SpecError(f"{path} must have {len(items)} items, got {len(value)}")
    return tuple(
        _from_value(item, entry, f"{path}[{i}]")
        for i, (item, entry) in enumerate(zip(items, value, strict=True))
    )


def _spec_from_table(specs: list[type], value: dict[str, Any], path: str) -> Any:
    if len(specs) == 1:
        return from_table(specs[0], value, path)
    kinds = {kind_name(spec): spec for spec in specs}
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise SpecError(f"{path}.kind must be one of {', '.join(kinds)}, got {kind!r}")
    return from_table(kinds[kind], {k: v for k, v in value.items() if k != "kind"}, path)


def kind_name(spec: type) -> str:
    """``FixedPoint`` as it stands in TOML: ``fixed_point``; without ``Spec`` or ``Node``."""
    name = spec.__name__.removesuffix("Spec").removesuffix("Node")
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


def _choices(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _spec_choices(hint: Any) -> list[type]:
    choices = _choices(hint)
    return [choice for choice in choices if is_dataclass(choice) and choice is not IntFormat]  # pyright: ignore[reportReturnType]


def _describe(choices: tuple[Any, ...]) -> str:
    """What a TOML key may hold, for messages."""
    words: list[str] = []
    for choice in choices:
        if choice is NoneType:
            continue
        if isinstance(choice, type) and issubclass(choice, Enum):
            words += [repr(member.value) for member in choice]
        elif choice is IntFormat:
            words.append("a format such as 'int8'")
        elif get_origin(choice) is tuple:
            words.append("a list")
        elif is_dataclass(choice):
            words.append("a table")
        else:
            words.append(_NAMES[choice])
    return " or ".join(dict.fromkeys(words))


_NAMES: dict[Any, str] = {
    NoneType: "None",
    int: "an integer",
    float: "a real number",
    str: "a string",
}


def _describe_in_code(hint: Any) -> str:
    """What an argument may be, for messages."""
    words: list[str] = []
    for choice in _choices(hint):
        if get_origin(choice) is tuple:
            items = [item for item in get_args(choice) if item is not Ellipsis]
            words.append(f"a tuple of {' and '.join(map(_describe_in_code, items))}")
        else:
            words.append(_NAMES.get(choice) or choice.__name__)
    return " or ".join(words)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
