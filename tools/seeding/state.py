"""What earlier runs have found, kept in files."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from .baseline import Baseline
from .faults import Fault
from .runs import Outcome


class State:
    """What is finished, in a file of JSON lines that only grows.

    A killed fault stays known until its source, or the test file that killed it, changes; a
    survivor until anything at all changes.
    """

    def __init__(self, file: Path, root: Path, *, fresh: bool) -> None:
        self.root = root
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            file.unlink(missing_ok=True)
        self.everything = _digest(sorted(root.rglob("*.py")))
        self.baseline_file = file.with_name("baseline.json")
        self.lines: dict[str, dict[str, object]] = {}
        if file.exists():
            for line in file.read_text().splitlines():
                with contextlib.suppress(ValueError):  # cut short when the run was stopped
                    entry = json.loads(line)
                    self.lines[entry["key"]] = entry

    def known(self, fault: Fault) -> Outcome | None:
        """Outcome of an earlier run that still holds."""
        entry = self.lines.get(fault.key)
        if entry is None:
            return None
        outcome = Outcome(**entry["outcome"])  # pyright: ignore[reportCallIssue]
        return outcome if entry["holds_for"] == self._holds_for(fault, outcome) else None

    def add(self, fault: Fault, outcome: Outcome) -> None:
        """Keep an outcome."""
        entry = {
            "key": fault.key,
            "outcome": asdict(outcome),
            "holds_for": self._holds_for(fault, outcome),
        }
        with self.file.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def _holds_for(self, fault: Fault, outcome: Outcome) -> str:
        test = self.root / outcome.by.split("::")[0]
        if outcome.killed and test.is_file():
            return _digest([self.root / fault.path, test])
        return self.everything

    def baseline(self, settings: object, measure: Callable[[], Baseline]) -> Baseline:
        """What ``measure`` returns, or returned before for the same files and settings."""
        holds_for = json.dumps([self.everything, settings])
        with contextlib.suppress(FileNotFoundError, ValueError):  # ValueError: cut short
            entry = json.loads(self.baseline_file.read_text())
            if entry["holds_for"] == holds_for:
                return Baseline.from_table(entry["baseline"])
        baseline = measure()
        entry = {"holds_for": holds_for, "baseline": baseline.to_table()}
        self.baseline_file.write_text(json.dumps(entry) + "\n")
        return baseline


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
