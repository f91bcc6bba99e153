"""What a run says: progress, survivors, and the table of counts."""

import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from .faults import Fault
from .runs import Outcome


class Progress:
    """A line on standard error: rewritten on a terminal, else one now and then."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = self.survived = 0
        self.started = time.monotonic()
        self.is_terminal = sys.stderr.isatty()

    def step(self, *, survived: bool) -> None:
        """One more fault is finished."""
        self.done += 1
        self.survived += survived
        left = (time.monotonic() - self.started) / self.done * (self.total - self.done)
        text = (
            f"{self.done}/{self.total} faults, {self.survived} survived, {left / 60:.0f} min left"
        )
        if self.is_terminal:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif self.done % 50 == 0:
            print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line."""
        if self.is_terminal:
            print(file=sys.stderr)


def reasons_in(file: Path) -> dict[str, str]:
    """Reasons of equivalent faults, by the faults' keys."""
    if not file.exists():
        return {}
    groups = tomllib.loads(file.read_text())["equivalent"]
    return {
        f"{group['file']}::{group['function']}::{text}": group["reason"]
        for group in groups
        for text in group["faults"]
    }


@dataclass(frozen=True, slots=True)
class Row:
    """Counts of one source, or of all."""

    name: str
    faults: int
    killed: int
    equivalent: int

    @property
    def rate(self) -> float:
        """Percent killed of those that are not equivalent."""
        rest = self.faults - self.equivalent
        return 100 * self.killed / rest if rest else 100.0

    def __str__(self) -> str:
        survived = self.faults - self.killed - self.equivalent
        raw = 100 * self.killed / self.faults if self.faults else 100.0
        return (
            f"| {self.name} | {self.faults} | {self.killed} | {self.equivalent} | {survived} "
            f"| {raw:.1f} % | {self.rate:.1f} % |"
        )


class Report:
    """Outcomes of all faults, and what to say about them."""

    def __init__(
        self,
        faults: list[Fault],
        finished: dict[str, Outcome],
        reasons: dict[str, str],
        *,
        is_all: bool,
    ) -> None:
        self.faults = faults
        self.finished = finished
        self.reasons = reasons
        self.total = self._row("all", faults)
        self.mistakes = [*self._mistakes(is_all=is_all)]

    @property
    def rate(self) -> float:
        """Percent killed of those that are not equivalent."""
        return self.total.rate

    @property
    def survivors(self) -> list[Fault]:
        """Faults that nothing caught and that are not listed as equivalent."""
        return [
            fault
            for fault in self.faults
            if not self.finished[fault.key].killed and fault.key not in self.reasons
        ]

    def print(self) -> None:
        """Survivors, mistakes in the list of equivalent faults, and the table."""
        for fault in self.survivors:
            print(f"\n{fault.path}:{fault.line}: {fault.function}: {fault.kind}")
            print(f"  - {fault.before}\n  + {fault.text}")
            if why := self.finished[fault.key].why:
                print(f"    ({why})")
        for mistake in self.mistakes:
            print(f"\n{mistake}")
        print("\n| source | faults | killed | equivalent | survived | raw | of the rest |")
        print("|---|---|---|---|---|---|---|")
        for path in dict.fromkeys(fault.path for fault in self.faults):
            print(self._row(f"`{path}`", [f for f in self.faults if f.path == path]))
        print(self.total)

    def as_json(self) -> list[dict[str, object]]:
        """Every fault with its outcome."""
        return [
            {
                "file": fault.path,
                "function": fault.function,
                "line": fault.line,
                "kind": fault.kind,
                "before": fault.before,
                "after": fault.text,
                "reason": self.reasons.get(fault.key),
                **asdict(self.finished[fault.key]),
            }
            for fault in self.faults
        ]

    def _row(self, name: str, faults: list[Fault]) -> Row:
        killed = [fault for fault in faults if self.finished[fault.key].killed]
        survived = [fault for fault in faults if not self.finished[fault.key].killed]
        equivalent = [fault for fault in survived if fault.key in self.reasons]
        return Row(name, len(faults), len(killed), len(equivalent))

    def _mistakes(self, *, is_all: bool) -> Iterator[str]:
        keys = {fault.key for fault in self.faults}
        for fault in self.faults:
            outcome = self.finished[fault.key]
            if outcome.killed and fault.key in self.reasons:
                yield f"listed as equivalent, but {outcome.by} catches it: {fault.key}"
        paths = {fault.path for fault in self.faults}
        for key in self.reasons if is_all else ():
            if key not in keys and key.split("::")[0] in paths:
                yield f"listed as equivalent, but there is no such fault: {key}"
