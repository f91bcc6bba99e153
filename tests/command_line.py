"""The command line, called in this process or started as one of its own; and files to give it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import lsqsim
from lsqsim.cli import main
from lsqsim.formats import Overflow
from lsqsim.specs import simple_datapath

ROOT = Path(lsqsim.__file__).parents[1]

LAYER = {
    "weight": np.array([[0.5, -0.25, 0.75, 1.0], [1.0, 0.5, 0.25, -1.0], [0.25, 0.25, 0.0, 0.5]]),
    "bias": np.array([0.5, -1.0, 0.25]),
    "input_step": 0.25,
    "weight_step": 0.125,
    "output_step": 0.25,
}
INPUTS = np.array([[0.5, 1.0, 2.0, 3.75], [3.0, 0.0, 1.25, 0.25]])
SPEC = simple_datapath(
    weight_bits=4, activation_bits=4, acc_bits=8, overflow=Overflow.SATURATE, output_signed=True
)
WIDTHS = ("--weight-bits", 4, "--activation-bits", 4, "--acc-bits", 8, "--overflow", "saturate")
"""Options that stand for ``SPEC``."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


def write_layer(path, **changes):
    """``LAYER`` with some of its arrays changed, or left out where None."""
    arrays = {key: value for key, value in (LAYER | changes).items() if value is not None}
    np.savez(path, **arrays)


def write_files(folder):
    """``fc.npz``, ``x.npy`` and ``d.toml``."""
    write_layer(folder / "fc.npz")
    np.save(folder / "x.npy", INPUTS)
    (folder / "d.toml").write_text(SPEC.to_toml())


def call(capsys, *arguments):
    """Call the command line in this process."""
    with pytest.raises(SystemExit) as end:  # a defect's own error passes
        main([str(argument) for argument in arguments], prog_name="lsqsim")
    code = end.value.code
    return Outcome(code if isinstance(code, int) else 0, *capsys.readouterr())


def start(*arguments, command=("-m", "lsqsim"), environment=(), **options):
    """Start the command line as a process of its own."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    return subprocess.Popen(
        [sys.executable, *command, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": paths} | dict(environment),
        **(streams | options),
    )


def finish(process, timeout=60):
    """Wait for it."""
    out, err = process.communicate(timeout=timeout)
    return Outcome(process.returncode, out, err)
