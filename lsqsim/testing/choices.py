"""How a keyword restricts a strategy: a value, a strategy of values, a range, or None for any."""

from typing import TypeVar

from hypothesis import strategies as st

from lsqsim.errors import SpecError

T = TypeVar("T")

Choice = T | st.SearchStrategy[T] | None
"""One value, a strategy of values, or None for every legal one."""

Range = int | tuple[int, int]
"""One integer, or the least and the greatest."""


def chosen(choice: Choice[T], legal: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """What ``choice`` allows; ``legal`` when it is None."""
    if choice is None:
        return legal
    return choice if isinstance(choice, st.SearchStrategy) else st.just(choice)


def ends_of(name: str, limits: Range, least: int, most: int) -> tuple[int, int]:
    """``limits`` as (low, high); SpecError unless least <= low <= high <= most."""
    low, high = (limits, limits) if isinstance(limits, int) else limits
    if not least <= low <= high <= most:
        raise SpecError(
            f"{name} must be a number or a (least, greatest) within {least}..{most}, got {limits}"
        )
    return low, high


def integers_in(name: str, limits: Range, least: int, most: int) -> st.SearchStrategy[int]:
    """Integers of a range; its ends are common."""
    low, high = ends_of(name, limits, least, most)
    return st.integers(low, high) | st.sampled_from([low, high])
