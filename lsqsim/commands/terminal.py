"""What commands print, and how they say how far they are."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


def json_text(report: dict[str, Any]) -> str:
    """A report as JSON, indented."""
    return json.dumps(report, indent=2, allow_nan=False) + "\n"


def print_json(report: dict[str, Any]) -> None:
    """Print a report as JSON."""
    sys.stdout.write(json_text(report))


def make_console() -> Console:
    """Where tables are printed."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files may hold what a terminal's encoding has no character for.
        sys.stdout.reconfigure(errors="backslashreplace")
    return Console(highlight=False, emoji=False, markup=False)


class Tell:
    """Says what is being done, and how far it is."""

    def __init__(self, update: Callable[..., None]) -> None:
        self._update = update

    def __call__(self, what: str) -> None:
        self._update(description=what, total=None)

    def rows(self, done: int, total: int) -> None:
        """Take the progress of :meth:`CompiledLayer.run`."""
        self._update(completed=done, total=total)

    def steps(self, what: str, done: int, total: int) -> None:
        """Take the progress of what has several steps, each with a name."""
        self._update(description=what, completed=done, total=total)


@contextmanager
def progress() -> Iterator[Tell]:
    """A line on a terminal's standard error, gone at the end; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield Tell(lambda **_: None)
        return
    line = Progress(
        SpinnerColumn("line"),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with line:
        yield Tell(partial(line.update, line.add_task("loading", total=None)))
