"""Types of arguments: files, names of members, ranges, and lists of any of them."""

from pathlib import Path
from typing import Any

import click

from lsqsim.formats import MAX_BITS, Overflow, Rounding, SpecEnum

MAX_LIST = 64
"""Entries in one list; a grid has their product."""

FILE = click.Path(path_type=Path, readable=False)
CODE_BITS = click.IntRange(1, MAX_BITS)
REGISTER_BITS = click.IntRange(2, MAX_BITS)


class Member(click.Choice):
    """The name of an enumeration's member, as the member."""

    def __init__(self, members: type[SpecEnum]) -> None:
        super().__init__([member.value for member in members])
        self._members = members

    def convert(self, value: Any, param: Any, ctx: Any) -> SpecEnum:
        return self._members(super().convert(value, param, ctx))


class Items(click.ParamType):
    """Entries between commas, each of one type; as a tuple, each entry once."""

    name = "list"

    def __init__(self, item: click.ParamType) -> None:
        self.item = item

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[Any, ...]:
        found: list[Any] = []
        for word in str(value).split(","):
            found += self._entries(word.strip(), param, ctx)
        entries = tuple(dict.fromkeys(found))
        if len(entries) > MAX_LIST:
            self.fail(f"a list has at most {MAX_LIST} entries, got {len(entries)}", param, ctx)
        return entries

    def _entries(self, word: str, param: Any, ctx: Any) -> list[Any]:
        return [self.item.convert(word, param, ctx)]


class Numbers(Items):
    """Integers between commas, ``LOW:HIGH`` for all from one to the other; ascending."""

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        return tuple(sorted(super().convert(value, param, ctx)))

    def _entries(self, word: str, param: Any, ctx: Any) -> list[int]:
        try:
            ends = [int(end) for end in word.split(":")]
        except ValueError:
            ends = []
        if len(ends) not in (1, 2):
            self.fail(f"{word!r} is neither a number nor LOW:HIGH: give 12:24 or 12,14", param, ctx)
        for end in ends:
            self.item.convert(end, param, ctx)
        if ends[0] > ends[-1]:
            self.fail(f"{word!r} has its low end above its high end: swap them", param, ctx)
        return list(range(ends[0], ends[-1] + 1))


class Tiles(Items):
    """Numbers of products between commas; ``none`` for no tile, as None."""

    def _entries(self, word: str, param: Any, ctx: Any) -> list[int | None]:
        if word == "none":
            return [None]
        if not word.isdecimal():
            self.fail(f"{word!r} is neither a number of products nor none", param, ctx)
        return [self.item.convert(word, param, ctx)]


OVERFLOW = Member(Overflow)
ROUNDING = Member(Rounding)
OVERFLOWS = Items(OVERFLOW)
WIDTHS = Numbers(REGISTER_BITS)
TILES = Tiles(click.IntRange(1))
