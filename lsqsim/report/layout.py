"""Tables of 80 columns and the words in them, for every report."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table
from rich.text import Text


def k_index(k: int) -> str:
    """Where a product enters, in words."""
    return "before the first product" if k < 0 else f"K index {k}"


def channels(n: int) -> str:
    """So many channels."""
    return "1 channel" if n == 1 else f"{n} channels"


def number(value: float, digits: int = 6) -> str:
    """An integer in full, a float by its first digits."""
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def percent(part: int, whole: int) -> str:
    """A share; a dash of nothing."""
    return f"{100 * part / whole:.3g} %" if whole else "-"


def pairs(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    """Names, and what is said of each."""
    drawn = Table(title=title, title_justify="left", box=box.SIMPLE, show_header=False)
    drawn.add_column(no_wrap=True)
    drawn.add_column(overflow="fold")
    for row in rows:
        drawn.add_row(*map(Text, row))
    return drawn


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Iterable[str]],
    right: Iterable[int] = (),
) -> Table:
    """Rows under the names of columns; those at the indices ``right`` end on the right."""
    right = set(right)
    drawn = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for index, name in enumerate(columns):
        drawn.add_column(name, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*map(Text, row))
    return drawn


def ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers, neighbors drawn together.

    >>> ranges([2, 3, 4, 7, 9, 10])
    '2..4, 7, 9..10'
    """
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}..{r[-1]}" for r in runs)
