"""Tests for lsqsim.cli and lsqsim.commands: what is printed and written, and each bad input."""

import io
import json
import math
import os
import pty
import signal
import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest

from command_line import (
    INPUTS,
    LAYER,
    SPEC,
    WIDTHS,
    call,
    finish,
    start,
    write_files,
    write_layer,
)
from lsqsim.calibration import error_minimizing_step_size
from lsqsim.cli import main
from lsqsim.compare import compare
from lsqsim.datapath import CompiledLayer
from lsqsim.errors import LsqsimError
from lsqsim.formats import IntFormat, Overflow, Rounding
from lsqsim.geometry import weight_stationary
from lsqsim.layer_file import load_layer
from lsqsim.reference import reference_output
from lsqsim.report import simulation_report
from lsqsim.specs import DatapathSpec, simple_datapath
from lsqsim.tensor import QTensor

HELP_SECONDS = 1.0
"""Generous: the budget is 0.3 s on an idle machine, and tests share one."""


@pytest.fixture
def run(capsys):
    return partial(call, capsys)


@pytest.fixture
def folder(tmp_path):
    """A folder with ``fc.npz``, ``x.npy`` and ``d.toml`` in it."""
    write_files(tmp_path)
    return tmp_path


def expected(folder, spec=SPEC, inputs=INPUTS, *, trace=False, **report_options):
    """The same by library calls."""
    compiled = CompiledLayer(load_layer(folder / "fc.npz"), spec)
    result = compiled.run(inputs, trace=trace)
    values = None if isinstance(inputs, QTensor) else inputs
    comparison = compare(compiled, result, values)
    return result, simulation_report(compiled, result, comparison, **report_options)


class TestSimulate:
    def test_table(self, run, folder):
        outcome = run("simulate", folder / "fc.npz", folder / "x.npy", *WIDTHS)
        assert outcome.code == 0
        assert outcome.err == ""
        text = " ".join(outcome.out.split())
        for line in (
            "input codes uint4 [0, 15]",
            "stage 0 int8 [-128, 127]",
            "M x K x N 2 x 4 x 3",
            "verdict ",
            "SQNR",
        ):
            assert line in text
        assert max(map(len, outcome.out.splitlines())) <= 80

    @pytest.mark.parametrize("as_file", [True, False])
    def test_json_is_the_library_s_result(self, run, folder, as_file):
        datapath = ("--datapath", folder / "d.toml") if as_file else WIDTHS
        outcome = run("simulate", folder / "fc.npz", folder / "x.npy", *datapath, "--json")
        assert outcome.code == 0
        assert outcome.err == ""
        assert json.loads(outcome.out) == expected(folder)[1]

    def test_by_channel(self, run, folder):
        command = ("simulate", folder / "fc.npz", folder / "x.npy", *WIDTHS, "--by-channel")
        assert "Overflow by channel" in run(*command).out
        report = json.loads(run(*command, "--json").out)
        assert report == expected(folder, by_channel=True)[1]

    def test_trace_and_output(self, run, folder):
        outcome = run(
            "simulate", folder / "fc.npz", folder / "x.npy", *WIDTHS, "--tile", 2, "--tile-bits", 7,
            "--trace", folder / "trace.npz", "--output", folder / "y.npy",
        )  # fmt: skip
        assert outcome.code == 0
        stages = weight_stationary(
            rows=2, column_bits=7, acc_bits=8,
            column_overflow=Overflow.SATURATE, acc_overflow=Overflow.SATURATE,
        )  # fmt: skip
        spec = replace(SPEC, accumulator=replace(SPEC.accumulator, stages=stages))
        result, _ = expected(folder, spec, trace=True)
        with np.load(folder / "trace.npz", allow_pickle=False) as trace:
            assert trace.files == list(result.trace)
            for name in trace.files:
                np.testing.assert_array_equal(trace[name], result.trace[name], strict=True)
        codes = np.load(folder / "y.npy", allow_pickle=False)
        np.testing.assert_array_equal(codes, result.output.codes, strict=True)

    def test_every_width_option(self, run, folder):
        outcome = run(
            "simulate", folder / "fc.npz", folder / "x.npy", "--weight-bits", 5,
            "--activation-bits", 6, "--acc-bits", 20, "--overflow", "wrap", "--output-bits", 7,
            "--rounding", "to_zero", "--tile", 3, "--tile-bits", 12, "--tile-overflow", "saturate",
            "--signed-input", "--unsigned-output", "--per-channel", "--json",
        )  # fmt: skip
        spec = simple_datapath(
            weight_bits=5, activation_bits=6, acc_bits=20, output_bits=7, input_signed=True,
            per_channel=True,
        )  # fmt: skip
        scaling = replace(spec.rescaler.scaling, rounding=Rounding.TO_ZERO)
        stages = weight_stationary(
            rows=3, column_bits=12, acc_bits=20, column_overflow=Overflow.SATURATE
        )
        spec = replace(
            spec,
            accumulator=replace(spec.accumulator, stages=stages),
            rescaler=replace(spec.rescaler, scaling=scaling),
        )
        assert json.loads(outcome.out) == expected(folder, spec)[1]

    @pytest.mark.parametrize("dtype", [np.int64, np.uint8, ">i4"])
    def test_codes(self, run, folder, dtype):
        codes = np.array([[0, 15, 3, 4], [1, 2, 3, 4]])
        np.save(folder / "codes.npy", codes.astype(dtype))
        command = ("simulate", folder / "fc.npz", folder / "codes.npy", *WIDTHS, "--codes")
        inputs = QTensor(
            codes=codes, format=IntFormat(4, signed=False), step_size=np.array(0.25),
            zero_point=np.array(0),
        )  # fmt: skip
        assert json.loads(run(*command, "--json").out) == expected(folder, inputs=inputs)[1]

    def test_integers_without_codes_are_real_values(self, run, folder):
        np.save(folder / "x.npy", np.array([[0, 1, 2, 3]], np.int8))
        outcome = run("simulate", folder / "fc.npz", folder / "x.npy", *WIDTHS, "--json")
        report = expected(folder, inputs=np.array([[0.0, 1.0, 2.0, 3.0]]))[1]
        assert json.loads(outcome.out) == report

    def test_progress_on_a_terminal_only(self, run, folder, monkeypatch):
        """It leaves standard output as it is without."""
        command = ("simulate", folder / "fc.npz", folder / "x.npy", "--json")
        plain = run(*command)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        shown = run(*command)
        assert (plain.err, shown.out) == ("", plain.out)
        assert "\x1b[" in shown.err

    def test_infinite_inputs_clip_without_a_word(self, run, folder):
        np.save(folder / "x.npy", np.array([[math.inf, -math.inf, 0.0, 0.0]]))
        outcome = run(
            "simulate", folder / "fc.npz", folder / "x.npy", "--unsigned-input",
            "--output", folder / "y.npy",
        )  # fmt: skip
        assert (outcome.code, outcome.err) == (0, "")
        assert np.load(folder / "y.npy").shape == (1, 3)

    @pytest.mark.parametrize(
        "missing", [("input_step", "weight_step", "output_step"), ("output_step",)]
    )
    def test_calibration(self, run, folder, missing):
        write_layer(folder / "fc.npz", **dict.fromkeys(missing))
        command = ("simulate", folder / "fc.npz", folder / "x.npy", *WIDTHS)
        layer = json.loads(run(*command, "--json").out)["layer"]
        assert layer["calibrated"] == list(missing)
        text = run(*command).out
        assert text.count("(calibrated)") == len(missing)
        uint4, int4 = IntFormat(4, signed=False), IntFormat(4)
        if "input_step" in missing:
            assert layer["input_step"] == error_minimizing_step_size(INPUTS, uint4)
            assert layer["weight_step"] == error_minimizing_step_size(LAYER["weight"], int4)
        wanted = reference_output(load_layer(folder / "fc.npz"), INPUTS)
        assert layer["output_step"] == error_minimizing_step_size(wanted, int4)

    def test_calibration_of_a_convolution_by_channel(self, run, folder):
        rng = np.random.default_rng(1)
        weights = rng.normal(size=(4, 1, 3, 3)) * np.array([1, 2, 4, 8]).reshape(4, 1, 1, 1)
        np.savez(folder / "conv.npz", weight=weights, groups=2, padding=1, activation="relu")
        np.save(folder / "x.npy", rng.normal(size=(2, 2, 5, 5)))
        outcome = run("simulate", folder / "conv.npz", folder / "x.npy", "--per-channel", "--json")
        report = json.loads(outcome.out)
        assert report["layer"]["weight_step"] == [
            error_minimizing_step_size(row, IntFormat(8)) for row in weights
        ]
        assert len(report["factors"]["multiplier"]) == 4
        assert report["layer"]["output_shape"] == [2, 4, 5, 5]
        assert report["comparison"]["n_beyond_bound"] == 0


class TestLegalEdges:
    """An empty batch, and products of nothing: defined results, not errors."""

    @pytest.mark.parametrize("steps", [True, False])
    def test_an_empty_batch(self, run, folder, steps):
        layer = LAYER if steps else {"weight": LAYER["weight"]}
        np.savez(folder / "fc.npz", **layer)
        np.save(folder / "x.npy", np.zeros((0, 4)))
        outcome = run(
            "simulate", folder / "fc.npz", folder / "x.npy", "--json",
            "--output", folder / "y.npy", "--trace", folder / "t.npz",
        )  # fmt: skip
        report = json.loads(outcome.out)
        assert (outcome.code, outcome.err) == (0, "")
        assert report["layer"]["m"] == 0
        assert report["overflow"] == {
            "outputs": 0, "transient": 0, "persistent": 0, "share": 0.0, "first": None,
        }  # fmt: skip
        assert report["comparison"]["verdict"] == "exact"
        assert np.load(folder / "y.npy").shape == (0, 3)
        assert np.load(folder / "t.npz")["accumulator"].shape == (0, 3)
        if not steps:
            assert (report["layer"]["input_step"], report["layer"]["output_step"]) == (1.0, 1.0)

    @pytest.mark.parametrize("steps", [True, False])
    def test_no_products(self, run, folder, steps):
        """The result is the bias, stored once and rescaled: 1.0 / 0.25 and -2.0 / 0.25."""
        layer = {key: LAYER[key] for key in ("input_step", "weight_step", "output_step") if steps}
        np.savez(folder / "fc.npz", weight=np.zeros((2, 0)), bias=np.array([1.0, -2.0]), **layer)
        np.save(folder / "x.npy", np.zeros((3, 0)))
        outcome = run(
            "simulate", folder / "fc.npz", folder / "x.npy", "--output", folder / "y.npy", "--json"
        )
        assert (outcome.code, outcome.err) == (0, "")
        assert json.loads(outcome.out)["layer"]["k"] == 0
        codes = np.load(folder / "y.npy")
        assert codes.shape == (3, 2)
        if steps:
            assert codes.tolist() == [[4, -8]] * 3

    @pytest.mark.parametrize("size", [math.inf, -math.inf, 1e308])
    def test_a_bias_beyond_everything(self, run, folder, size):
        """It clips; no bound holds, and none is shown."""
        bias = np.array([0.5, size, 0.25])
        write_layer(folder / "fc.npz", bias=bias, input_step=1e-3, output_step=1e-3)
        outcome = run("simulate", folder / "fc.npz", folder / "x.npy", "--json")
        assert (outcome.code, outcome.err) == (0, "")
        assert json.loads(outcome.out)["comparison"]["bound_lsb"] is None

    def test_one_vector_and_further_axes(self, run, folder):
        for shape in ((4,), (2, 3, 4)):
            np.save(folder / "x.npy", np.ones(shape))
            run("simulate", folder / "fc.npz", folder / "x.npy", "--output", folder / "y.npy")
            assert np.load(folder / "y.npy").shape == (*shape[:-1], 3)


class TestDescribe:
    def test_table(self, run):
        outcome = run("describe", "--acc-bits", 16, "--overflow", "saturate")
        assert (outcome.code, outcome.err) == (0, "")
        text = " ".join(outcome.out.split())
        assert "stage 0 int16 [-32768, 32767] starts from the bias; adds all operands" in text
        assert "saturates" in text

    def test_toml_comes_back(self, run, tmp_path):
        text = run("describe", "--acc-bits", 16, "--tile", 4, "--tile-bits", 9, "--toml").out
        (tmp_path / "my.toml").write_text(text)
        assert DatapathSpec.from_toml(text).accumulator.stages[0].fan_in == 4
        assert run("describe", "--datapath", tmp_path / "my.toml", "--toml").out == text

    def test_toml_for_a_layer(self, run, folder):
        text = run("describe", folder / "fc.npz", *WIDTHS, "--toml").out
        assert DatapathSpec.from_toml(text) == SPEC

    def test_json(self, run, folder):
        report = json.loads(run("describe", folder / "fc.npz", *WIDTHS, "--json").out)
        simulated = expected(folder)[1]
        assert report["datapath"] == simulated["datapath"]
        assert report["factors"] == simulated["factors"]
        assert report["layer"].items() <= simulated["layer"].items()

    def test_with_a_layer(self, run, folder):
        text = " ".join(run("describe", folder / "fc.npz").out.split())
        assert "K x N 4 x 3" in text
        assert "Rescaling" in text

    def test_a_standard_output_that_is_no_file(self, folder):
        with redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit):
            main(["describe", str(folder / "fc.npz")])
        assert "Rescaling" in out.getvalue()

    def test_step_sizes_that_are_missing(self, run, folder):
        np.savez(folder / "fc.npz", weight=LAYER["weight"])
        outcome = run("describe", folder / "fc.npz")
        assert outcome.code == 0
        assert "step size missing" in outcome.out
        assert "Rescaling" not in outcome.out


class TestProgram:
    @pytest.mark.parametrize("arguments", [(), ("--help",)])
    def test_help(self, run, arguments):
        outcome = run(*arguments)
        assert outcome.code == 0
        assert "simulate" in outcome.out

    @pytest.mark.parametrize(
        "command", ["simulate", "describe", "demo", "certify", "check-certificate", "budget"]
    )
    def test_help_of_a_command(self, run, command):
        outcome = run(command, "--help")
        assert outcome.code == 0
        assert ("--json" in outcome.out) == (command != "check-certificate")
        assert max(map(len, outcome.out.splitlines())) <= 100

    def test_version(self, run, monkeypatch):
        monkeypatch.setattr("importlib.metadata.version", lambda name: f"of {name}")
        assert run("--version").out == "lsqsim of lsqsim\n"

    def test_version_of_sources(self, run, monkeypatch):
        def missing(name):
            from importlib.metadata import PackageNotFoundError  # noqa: PLC0415

            raise PackageNotFoundError(name)

        monkeypatch.setattr("importlib.metadata.version", missing)
        outcome = run("--version")
        assert outcome.code == 0
        assert "not installed" in outcome.out


class TestDemo:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        """A result at once: the demonstration has tests of its own."""

        @dataclass
        class Result:
            seed: int

            def to_dict(self):
                return {"seed": self.seed}

        def run_demo(*, seed, progress):
            progress("running", 1, 2)
            return Result(seed)

        def save_demo(_result, directory):
            directory.mkdir()

        def print_demo(result, console, *, saved):
            console.print(f"seed {result.seed} saved {saved is not None}")

        for function in (run_demo, save_demo, print_demo):
            monkeypatch.setattr(f"lsqsim.commands.demonstration.{function.__name__}", function)

    def test_table(self, run):
        assert run("demo", "--seed", 3).out == "seed 3 saved False\n"

    def test_json(self, run):
        assert json.loads(run("demo", "--json").out) == {"seed": 0}

    def test_save(self, run, tmp_path):
        assert run("demo", "--save", tmp_path / "demo").out == "seed 0 saved True\n"
        assert (tmp_path / "demo").is_dir()

    def test_without_scikit_learn(self, run, monkeypatch):
        def run_demo(**_):
            raise LsqsimError("the demonstration needs scikit-learn: pip install 'lsqsim[demo]'")

        monkeypatch.setattr("lsqsim.commands.demonstration.run_demo", run_demo)
        outcome = run("demo")
        assert outcome.code == 2
        assert outcome.err.count("\n") == 1
        assert "pip install 'lsqsim[demo]'" in outcome.err

    @pytest.mark.parametrize("seed", [-1, 1 << 32, "x"])
    def test_seeds_out_of_range(self, run, seed):
        assert run("demo", "--seed", seed).code == 2


def timed(*arguments):
    began = time.perf_counter()
    assert finish(start(*arguments)).code == 0
    return time.perf_counter() - began


class TestProcess:
    """What only a process of its own shows."""

    def test_help_imports_nothing_heavy_and_is_quick(self):
        code = (
            "import sys, lsqsim.cli\n"
            "try: lsqsim.cli.main(['--help'])\n"
            "finally: print({'numpy', 'numba', 'rich', 'lsqsim.specs'} & set(sys.modules))"
        )
        outcome = finish(start("--help", command=("-c", code)))
        assert outcome.code == 0
        assert outcome.out.splitlines()[-1] == "set()"
        seconds = min(timed("--help") for _ in range(3))
        print(f"lsqsim --help: {seconds:.3f} s")  # noqa: T201 - to be read with pytest -s
        assert seconds < HELP_SECONDS

    def test_an_error_is_one_line_and_exit_code_2(self, folder):
        outcome = finish(start("simulate", folder / "none.npz", folder / "x.npy"))
        assert outcome.code == 2
        assert outcome.out == ""
        text = f"lsqsim: error: {folder}/none.npz: can't be read: No such file or directory\n"
        assert outcome.err == text

    @pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
    def test_names_and_tables_in_any_encoding(self, folder, encoding):
        write_layer(folder / "Größe.npz")
        environment = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
        outcome = finish(start("describe", folder / "Größe.npz", environment=environment))
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out.isascii() == (encoding == "ascii")
        assert ("Größe" if encoding == "utf-8" else "Gr\\xf6\\xdfe") in outcome.out

    def test_a_reader_that_leaves_early(self, folder):
        process = start("simulate", folder / "fc.npz", folder / "x.npy")
        process.stdout.close()
        assert process.wait(timeout=60) == 1
        assert "Traceback" not in process.stderr.read()
        process.stderr.close()


@pytest.fixture
def slow(tmp_path):
    """A layer that takes a minute: 2**36 products."""
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "slow.npz", weight=rng.random((4096, 1024), np.float32).astype(np.float16),
        input_step=0.1, weight_step=0.1, output_step=0.1,
    )  # fmt: skip
    np.save(tmp_path / "x.npy", rng.random((16384, 1024), np.float32).astype(np.float16))
    return tmp_path


@pytest.mark.slow
class TestLongRuns:
    def interrupted(self, slow, ready, **streams):
        """Start the long run, and press Ctrl-C once it is under way."""
        process = start(
            "simulate", slow / "slow.npz", slow / "x.npy",
            "--trace", slow / "trace.npz", "--output", slow / "y.npy", **streams,
        )  # fmt: skip
        ready(process)
        process.send_signal(signal.SIGINT)
        outcome = finish(process)
        assert outcome.code == 130
        assert {path.name for path in slow.iterdir()} == {"slow.npz", "x.npy"}
        return outcome

    def test_an_interrupt_is_one_line(self, slow):
        outcome = self.interrupted(slow, lambda _: time.sleep(4))
        assert (outcome.out, outcome.err) == ("", "lsqsim: interrupted\n")

    def test_progress_on_a_terminal(self, slow):
        """The terminal shows what is being done; an interrupt then ends it."""
        leader, follower = pty.openpty()
        shown = bytearray()

        def until_running(_):
            os.close(follower)
            while b"running" not in shown:
                shown.extend(os.read(leader, 4096))

        self.interrupted(slow, until_running, stderr=follower)
        try:
            while chunk := os.read(leader, 4096):
                shown.extend(chunk)
        except OSError:
            pass  # the terminal is gone with its last user
        os.close(leader)
        assert bytes(shown).rstrip().endswith(b"lsqsim: interrupted")
