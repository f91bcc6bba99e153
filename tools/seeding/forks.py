"""Forked processes that share what is slow to import, but nothing of the code under test."""

import contextlib
import importlib
import os
import resource
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection, get_context
from pathlib import Path
from typing import Any

EXAMPLES = 50
_MEMORY = 8 << 30
_FORK = get_context("fork")
_SHARED = (
    "numba",
    "numpy",
    "numpy.testing",
    "pytest",
    "hypothesis",
    "hypothesis.strategies",
    "hypothesis.extra.numpy",
    "tomli_w",
    "click",
)


def prepare() -> None:
    """Set the environment of all children, and import what they share.

    Kernels run as plain Python: compiling them for every fault would take hours.
    """
    os.environ |= {
        "NUMBA_DISABLE_JIT": "1",
        "HYPOTHESIS_PROFILE": "seeded-faults",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    for name in _SHARED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with contextlib.suppress(ImportError):
        _register_profile()


def _register_profile() -> None:
    """Few examples, the same for every fault; and no search for the simplest one that fails."""
    from hypothesis import HealthCheck, Phase, settings  # noqa: PLC0415 - heavy, and optional

    settings.register_profile(
        "seeded-faults",
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("seeded-faults")


class Child:
    """A forked process that runs a task, quietly and with bounded memory.

    Attributes
    ----------
    receiver
        Ready for reading once the task has ended.
    """

    def __init__(self, task: Callable[[], Any]) -> None:
        self.receiver, sender = _FORK.Pipe(duplex=False)
        self.process = _FORK.Process(target=_work, args=(task, sender))
        self.process.start()
        sender.close()

    def result(self) -> Any:
        """What the task returned; waits for it. EOFError when the process has died."""
        result = self.receiver.recv()
        if isinstance(result, _Broken):
            raise RuntimeError(result.text)  # noqa: TRY004 - the task's error, not the result's
        return result

    def kill(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.join()
        self.receiver.close()


@dataclass(frozen=True, slots=True)
class _Broken:
    """A task ended with an exception; that of a child can't be pickled in general."""

    text: str


def _work(task: Callable[[], Any], sender: connection.Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    try:
        sender.send(task())
    except Exception:  # noqa: BLE001 - the parent raises it
        sender.send(_Broken(traceback.format_exc()))
