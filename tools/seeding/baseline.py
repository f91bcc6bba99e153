"""The tests without a fault: how long each takes, and which functions it calls."""

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from .faults import Fault
from .forks import Child
from .tests import reason, run_pytest, time_limit

SLOWEST = 10.0
"""Seconds of the processor, while calls are recorded; slower tests are left out."""


@dataclass(frozen=True, slots=True)
class Place:
    """A function of a source."""

    path: str
    function: str


@dataclass(slots=True)
class Baseline:
    """What the tests do without a fault.

    Attributes
    ----------
    seconds
        Of the processor, for every test that passes.
    reached
        Functions that it calls.
    at_import
        Functions that run while tests are collected: a fault in them may show anywhere.
    failed, slow
        Tests left out because they fail, or take too long.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    reached: dict[str, set[Place]] = field(default_factory=dict)
    at_import: set[Place] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    slow: list[str] = field(default_factory=list)

    def to_table(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self) | {
            "reached": {name: _rows(places) for name, places in self.reached.items()},
            "at_import": _rows(self.at_import),
        }

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> "Baseline":
        """Read what :meth:`to_table` has returned."""
        places = {
            "reached": {name: _places(rows) for name, rows in table["reached"].items()},
            "at_import": _places(table["at_import"]),
        }
        return cls(**table | places)

    def tests_of(self, fault: Fault) -> dict[str, list[str]]:
        """Tests that can tell the fault, by file: its own first, then the fastest first."""
        place = Place(fault.path, fault.function)
        everywhere = not fault.is_local or place in self.at_import
        files: dict[str, list[str]] = {}
        for name in sorted(self.seconds, key=self.seconds.__getitem__):
            if everywhere or place in self.reached[name]:
                files.setdefault(name.split("::")[0], []).append(name)
        own = f"test_{Path(fault.path).stem}"
        order = sorted(files, key=lambda file: (Path(file).stem != own, self.total(files[file])))
        return {file: files[file] for file in order}

    def total(self, names: Iterable[str]) -> float:
        """Seconds that these tests take together."""
        return sum(self.seconds[name] for name in names)


def _rows(places: Iterable[Place]) -> list[list[str]]:
    return sorted([place.path, place.function] for place in places)


def _places(rows: Iterable[Sequence[str]]) -> set[Place]:
    return {Place(*row) for row in rows}


def measure(root: Path, left_out: Sequence[str], slowest: float) -> Baseline:
    """Run all tests under ``root`` once, without a fault, in a child."""

    def task() -> Baseline:
        recorder = _Recorder(root, slowest)
        ignored = [f"--ignore={root / path}" for path in left_out]
        code = run_pytest(root, [*ignored], recorder)
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            raise RuntimeError(f"the tests without a fault did not come to their end: {code!r}")
        baseline = recorder.baseline
        for name in baseline.slow:
            baseline.failed.pop(name, None)
            baseline.seconds.pop(name, None)
        return baseline

    return Child(task).result()


class _Recorder:
    """Pytest plugin: how long every test takes, and which functions of the root it calls."""

    def __init__(self, root: Path, slowest: float) -> None:
        self.root = str(root) + os.sep
        self.slowest = slowest
        self.baseline = Baseline()

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Iterator[None]:
        with self._calls(self.baseline.at_import):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        started = time.process_time()
        reached = self.baseline.reached.setdefault(item.nodeid, set())
        with self._calls(reached):
            result = yield
        if item.nodeid not in self.baseline.failed:
            self.baseline.seconds[item.nodeid] = time.process_time() - started
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        started = time.process_time()
        try:
            with time_limit(self.slowest):
                return (yield)
        finally:
            # Asking for the error would not do: Hypothesis, stopped anywhere, may raise another.
            if time.process_time() - started > self.slowest:
                self.baseline.slow.append(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.baseline.failed[report.nodeid] = reason(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.baseline.failed[report.nodeid] = reason(report)

    @contextlib.contextmanager
    def _calls(self, places: set[Place]) -> Iterator[None]:
        codes: dict[int, CodeType] = {}

        def called(frame: FrameType, event: str, _arg: object) -> None:
            if event == "call":
                codes[id(frame.f_code)] = frame.f_code

        sys.setprofile(called)
        try:
            yield
        finally:
            sys.setprofile(None)
            for code in codes.values():
                if code.co_filename.startswith(self.root):
                    path = Path(code.co_filename).relative_to(self.root).as_posix()
                    places.add(Place(path, code.co_qualname.split(".<locals>")[0]))
