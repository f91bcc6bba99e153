"""Pytest, run in this process, under limits that a fault may make it pass."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

_IMPORT_SECONDS = 30
_LEAST_SECONDS = 2
_TIMES = 20
"""A test may take so many times as long as without the fault."""


class TooSlowError(BaseException):
    """Passes through ``except Exception``, of the code under test and of Hypothesis."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """TooSlowError after so many seconds of the processor, hence also on a busy machine."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TooSlowError(f"more than {seconds:.0f} s")

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def run_pytest(root: Path, arguments: list[str], plugin: object) -> int:
    """Run pytest in this process, quietly, with the directory ``root`` as its root."""
    os.chdir(root)
    options = ["-q", "--rootdir", str(root), "-p", "no:cacheprovider"]
    return pytest.main([*options, *arguments], plugins=[plugin])


class Chosen:
    """Pytest plugin: runs the tests given, in the order given; keeps the first failure."""

    def __init__(self, seconds: dict[str, float], names: list[str]) -> None:
        self.seconds = seconds
        self.rank = {name: rank for rank, name in enumerate(names)}
        self.by = ""
        self.why = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Iterator[None]:
        with time_limit(_IMPORT_SECONDS):
            return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if item.nodeid in self.rank]
        items[:] = sorted(chosen, key=lambda item: self.rank[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        with time_limit(_LEAST_SECONDS + _TIMES * self.seconds[item.nodeid]):
            return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed and not self.by:
            self.by = report.nodeid
            self.why = reason(report)


def reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The first line of the error that a report is about."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(report.longrepr) if crash is None else crash.message
    return next(iter(text.splitlines()), "")[:200]
