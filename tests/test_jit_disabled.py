"""The same bits whatever runs the kernels: compiled, plain Python, one thread or two.

``digest.py`` hashes every register of a fixed set of layers, in this process
and in processes of their own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import digest
from layer_oracle import OracleLayer
from lsqsim.datapath import CompiledLayer

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "tests" / "digest.py"
GOLDEN = json.loads((ROOT / "tests" / "golden" / "digest.json").read_text())
"""Written by its source, tests/digest.py; only a change of docs/datapath.md is a reason to."""

WITH_IMAGES = [name for name, case in digest.CASES.items() if case.x[0]]
"""All but one: the oracle reads a convolution's shape off its first image."""

MODES = {
    "compiled, one thread": {"NUMBA_DISABLE_JIT": "0", "NUMBA_NUM_THREADS": "1"},
    "compiled, two threads": {"NUMBA_DISABLE_JIT": "0", "NUMBA_NUM_THREADS": "2"},
    "plain Python": {"NUMBA_DISABLE_JIT": "1"},
}


def run_digest(**variables):
    """What ``digest.py`` prints in a process of its own, where every warning is an error."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA_")}
    own["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    command = [sys.executable, "-W", "error", str(SCRIPT)]
    result = subprocess.run(
        command, env=own | variables, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


class TestAgainstOracle:
    """The golden digests are those of right registers: the oracle has the same."""

    @pytest.mark.parametrize("name", WITH_IMAGES)
    def test_registers(self, name):
        case = digest.CASES[name]
        layer, values = case.operands()
        result = CompiledLayer(layer, case.spec).run(values, trace=True)
        expected = OracleLayer(layer, case.spec, values)
        for register, numbers in expected.registers.items():
            assert result.trace[register].tolist() == numbers.tolist(), register
        assert result.overflow.total.tolist() == expected.total.tolist()
        assert result.overflow.first_k.tolist() == expected.first_k.tolist()


class TestLaws:
    def test_the_layers_are_worth_their_hash(self):
        """Among them, every kind of overflow, and more than one output code nearly everywhere."""
        results = [case.run() for case in digest.CASES.values()]
        kinds = [set(result.overflow.kind.reshape(-1).tolist()) for result in results]
        assert set.union(*kinds) == {0, 1, 2}
        varied = [len(np.unique(result.output.codes)) > 1 for result in results]
        assert sum(varied) >= len(results) - 1  # one has no batch

    def test_a_changed_bit_changes_the_digest(self):
        result = next(iter(digest.CASES.values())).run()
        before = digest.digest(result)
        result.trace["stage_0"][0, 0, 0] += 1
        assert digest.digest(result) != before


class TestGolden:
    def test_in_this_process(self):
        assert digest.digests() == GOLDEN["digests"]

    @pytest.mark.parametrize("mode", MODES)
    def test_in_a_process_of_its_own(self, mode):
        assert run_digest(**MODES[mode]) == GOLDEN
