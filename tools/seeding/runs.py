"""The tests with a fault in the code, each fault in a process of its own."""

import contextlib
import sys
import time
import tomllib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from multiprocessing import connection
from pathlib import Path
from types import CodeType, ModuleType

import pytest

from .baseline import Baseline
from .faults import Fault
from .forks import Child
from .tests import Chosen, run_pytest


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a fault.

    Attributes
    ----------
    killed
        Whether a test failed, or the process died.
    by
        The test; or what else happened. Empty for a survivor.
    why
        First line of the test's error.
    """

    killed: bool
    by: str
    why: str
    seconds: float


def run_faults(
    root: Path, faults: Iterable[Fault], baseline: Baseline, jobs: int
) -> Iterator[tuple[Fault, Outcome]]:
    """Seed each fault in a child of its own, ``jobs`` at a time; yields them as they finish."""
    waiting = deque(faults)
    running: dict[connection.Connection, _Running] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                started = _Running(root, waiting.popleft(), baseline)
                running[started.child.receiver] = started
            ready = set(connection.wait([*running], timeout=1))
            for receiver, run in [*running.items()]:
                if receiver in ready or run.is_late:
                    del running[receiver]
                    yield run.fault, run.outcome()
    finally:
        for run in running.values():
            run.child.kill()


class _Running:
    """A fault that is being tested."""

    def __init__(self, root: Path, fault: Fault, baseline: Baseline) -> None:
        tests = baseline.tests_of(fault)
        self.fault = fault
        self.started = time.monotonic()
        expected = sum(map(baseline.total, tests.values()))
        self.deadline = self.started + 120 + 10 * expected  # the machine may be busy
        self.child = Child(lambda: _test(root, fault, tests, baseline.seconds))

    @property
    def is_late(self) -> bool:
        return time.monotonic() > self.deadline

    def outcome(self) -> Outcome:
        """What the child says; a child that died, or is late, has noticed the fault, too."""
        killed, by, why = True, "process died", ""
        if self.is_late:
            by = "time limit"
        else:
            with contextlib.suppress(EOFError):
                killed, by, why = self.child.result()
        self.child.kill()
        return Outcome(killed, by, why, round(time.monotonic() - self.started, 2))


def _test(
    root: Path, fault: Fault, tests: dict[str, list[str]], seconds: dict[str, float]
) -> tuple[bool, str, str]:
    """(killed, by which test, why) of a fault, in this process, which is of no more use then."""
    if not tests:
        return False, "", "no test calls the function"
    sys.meta_path.insert(0, _Seeded(root, fault))
    for file, names in tests.items():
        chosen = Chosen(seconds, names)
        code = run_pytest(root, ["-x", str(root / file)], chosen)
        if code not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            return True, chosen.by or f"{file}: pytest ended with {code}", chosen.why
    return False, "", ""


class _Seeded(MetaPathFinder):
    """Imports one module with a fault in it."""

    def __init__(self, root: Path, fault: Fault) -> None:
        self.file = str(root / fault.path)
        self.name = module_name(root, fault.path)
        self.code = compile(fault.seeded(), self.file, "exec", dont_inherit=True)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname != self.name:
            return None
        loader = _Loader(fullname, self.file)
        loader.code = self.code
        return spec_from_file_location(fullname, self.file, loader=loader)


class _Loader(SourceFileLoader):
    code: CodeType

    def get_code(self, fullname: str) -> CodeType:
        del fullname
        return self.code


def module_name(root: Path, path: str) -> str:
    """Dotted name of the module at ``path``, given pytest's ``pythonpath`` in pyproject.toml."""
    pyproject = root / "pyproject.toml"
    tables = tomllib.loads(pyproject.read_text()) if pyproject.exists() else {}
    bases = tables.get("tool", {}).get("pytest", {}).get("ini_options", {}).get("pythonpath", ["."])
    names = [
        Path(path).relative_to(base).with_suffix("").parts
        for base in bases
        if Path(path).is_relative_to(base)
    ]
    return ".".join(min(names, key=len))
