"""Tests for lsqsim.cli: each bad input is one line, exit code 2, and leaves nothing behind."""

import io
import math
import os
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np
import pytest

from command_line import INPUTS, LAYER, SPEC, call, write_files, write_layer


@dataclass(frozen=True, kw_only=True)
class Bad:
    """One bad input: the files or options that differ, and what the error must say."""

    error: str
    layer: Callable[[Path], object] | None = None
    inputs: Callable[[Path], object] | None = None
    toml: Callable[[Path], object] | None = None
    options: tuple[object, ...] = ()


def layer(**changes):
    return lambda path: write_layer(path, **changes)


def array(values, dtype=None):
    return lambda path: np.save(path, np.array(values, dtype), allow_pickle=True)


def content(data):
    return lambda path: path.write_bytes(data)


def toml(old, new):
    text = SPEC.to_toml()
    assert old in text
    return lambda path: path.write_text(text.replace(old, new))


def stored(write, *arguments):
    file = io.BytesIO()
    write(file, *arguments)
    return file.getvalue()


AN_ARRAY, AN_ARCHIVE = stored(np.save, INPUTS), stored(np.savez, INPUTS)
NAN_INPUTS = np.where(INPUTS == 2.0, math.nan, INPUTS)
NAN_BIAS = [1.0, math.nan, 1.0]
KERNELS = np.ones((3, 1, 2, 2))
CODES = np.ones((3, 4), int)

SHAPES = {
    "inputs of another K": Bad(
        inputs=array(np.ones((2, 5))),
        error=r"fc: inputs \(2, 5\) and weights \(3, 4\) do not meet: .* must be K = 4",
    ),
    "the same, to be calibrated": Bad(
        layer=layer(output_step=None),
        inputs=array(np.ones((2, 5))),
        error=r"fc: inputs \(2, 5\) and weights \(3, 4\) do not meet: .* must be K = 4",
    ),
    "inputs without axes": Bad(inputs=array(1.0), error=r"inputs \(\) and weights \(3, 4\)"),
    "a matrix for a convolution": Bad(
        layer=layer(weight=KERNELS), error=r"4 axes, got \(2, 4\) and \(3, 1, 2, 2\)"
    ),
    "the same matrix, to be calibrated": Bad(
        layer=layer(weight=KERNELS, output_step=None), error=r"4 axes, got \(2, 4\)"
    ),
    "other channels for a convolution": Bad(
        layer=layer(weight=KERNELS), inputs=array(np.ones((1, 2, 4, 4))), error="2 input channels"
    ),
    "a kernel larger than its input": Bad(
        layer=layer(weight=KERNELS), inputs=array(np.ones((1, 1, 1, 4))), error="reaches over 2"
    ),
    "a bias of another length": Bad(layer=layer(bias=np.ones(2)), error=r"must have shape \(3,\)"),
    "weights of three axes": Bad(layer=layer(weight=np.ones((1, 2, 3))), error="have 2 axes"),
    "no output": Bad(layer=layer(weight=np.ones((0, 4))), error="at least one output channel"),
    "steps for other channels": Bad(
        layer=layer(weight_step=[1.0, 2.0]), error=r"have shape \(3,\)"
    ),
    "channel steps on a tensor datapath": Bad(
        layer=layer(weight_step=[1.0, 2.0, 3.0]),
        options=("--per-tensor",),
        error="weight_step has one value a channel, .*: leave out --per-tensor",
    ),
    "channel zero points on a tensor datapath": Bad(
        layer=layer(weight_zero_point=[1, 2, 3]),
        toml=content(SPEC.to_toml().encode()),
        error="weight_zero_point has one .* set weight.channel_axis = 0",
    ),
    "channel output steps on a tensor datapath": Bad(
        layer=layer(output_step=[1.0, 2.0, 3.0]),
        options=("--per-tensor",),
        error="set granularity to per_channel",
    ),
}

DTYPES = {
    "inputs that are text": Bad(inputs=array(["a"]), error="got dtype <U1"),
    "inputs that are complex": Bad(inputs=array([1j]), error="got dtype complex128"),
    "inputs that are truth values": Bad(inputs=array([True]), error="got dtype bool"),
    "weights that are integers": Bad(
        layer=layer(weight=CODES), error="weight must hold real numbers .* stored as weight_codes"
    ),
    "weight codes that are real": Bad(
        layer=layer(weight=None, weight_codes=KERNELS), error="weight_codes must hold integers"
    ),
    "input codes that are real": Bad(options=("--codes",), error="input codes must be integer"),
}

CODE_RANGES = {
    "an input code above": Bad(
        inputs=array([[256] * 4]), options=("--codes",), error=r"uint8 \[0, 255\], got 256"
    ),
    "an input code below": Bad(
        inputs=array([[-1] * 4]),
        options=("--codes", "--unsigned-input"),
        error=r"uint8 \[0, 255\], got -1",
    ),
    "a weight code": Bad(
        layer=layer(weight=None, weight_codes=CODES * 128), error=r"int8 \[-128, 127\], got 128"
    ),
    "a bias code": Bad(
        layer=layer(bias=None, bias_codes=np.full(3, 1 << 31)), error="codes of int32 .* 2147483648"
    ),
    "an input zero point": Bad(
        layer=layer(input_zero_point=256), error=r"zero_point must be a code of uint8 .* got 256"
    ),
    "a weight zero point": Bad(
        layer=layer(weight_zero_point=128), error=r"zero_point must be a code of int8 .* got 128"
    ),
    "an output zero point": Bad(
        layer=layer(output_zero_point=256), error=r"zero_point must be a code of uint8 .* got 256"
    ),
    "a zero point of 64 bits": Bad(
        layer=layer(input_zero_point=np.uint64(2**64 - 1)), error=r"zero_point must .* 18446744"
    ),
}

RANGES = {
    "an accumulator of 1 bit": Bad(options=("--acc-bits", 1), error="'--acc-bits': 1 is not in"),
    "an accumulator of 64 bits": Bad(options=("--acc-bits", 64), error="64 .* range 2<=x<=63"),
    "weights of 0 bits": Bad(options=("--weight-bits", 0), error="'--weight-bits': 0 is not in"),
    "inputs of 64 bits": Bad(options=("--activation-bits", 64), error="64 .* range 1<=x<=63"),
    "outputs of 0 bits": Bad(options=("--output-bits", 0), error="'--output-bits': 0 is not in"),
    "bits that are no number": Bad(options=("--acc-bits", "x"), error="'x' is not a valid integer"),
    "a tile of 0": Bad(options=("--tile", 0, "--tile-bits", 8), error="'--tile': 0 is not in"),
    "a tile without bits": Bad(options=("--tile", 4), error="give --tile and --tile-bits together"),
    "an unknown overflow": Bad(
        options=("--overflow", "clip"), error="'clip' is not one of 'wrap', 'saturate'"
    ),
    "an unknown rounding": Bad(
        options=("--rounding", "half_up"), error="'half_up' is not one of 'to_neg', 'to_zero'"
    ),
    "a format in TOML": Bad(
        toml=toml('"uint4"', '"uint64"'), error="d.toml: input.format: bits must be in 1..63"
    ),
    "a register in TOML": Bad(toml=toml("bits = 8", "bits = 1"), error="bits must be in 2..63"),
    "a fan-in in TOML": Bad(toml=toml('fan_in = "all"', "fan_in = 0"), error="must be 1 or more"),
    "a last fan-in in TOML": Bad(toml=toml('fan_in = "all"', "fan_in = 4"), error="must be 'all'"),
    "a shift in TOML": Bad(
        toml=toml("max_shift = 62", "max_shift = 63"), error="shifts must satisfy .* got 0..63"
    ),
    "a rounding in TOML": Bad(toml=toml('"ties_pos"', '"half_up"'), error="got 'half_up'"),
    "a stride": Bad(layer=layer(weight=KERNELS, stride=0), error="stride must be 1 or more"),
}

FACTORS = {
    "a factor that overflows": Bad(
        layer=layer(input_step=1e308, weight_step=1e308), error="finite and positive, got inf"
    ),
    "a factor that vanishes": Bad(
        layer=layer(input_step=1e-308, weight_step=1e-308, bias=None),
        error="must be finite and positive, got 0.0",
    ),
    "a factor too large for the shifts": Bad(
        layer=layer(output_step=1e-30), error="is too large for multiplier uint31"
    ),
    "a factor too small for the shifts": Bad(
        layer=layer(output_step=1e30), error="is too small: its multiplier is 0"
    ),
    "a step of 0": Bad(layer=layer(input_step=0.0), error="input_step must be .* got 0.0"),
    "a step below 0": Bad(layer=layer(weight_step=-1.0), error="weight_step must be .* got -1.0"),
    "an infinite step": Bad(layer=layer(output_step=math.inf), error="output_step must .* got inf"),
    "a step that is NaN": Bad(layer=layer(input_step=math.nan), error="input_step must .* got nan"),
    "a channel's step of 0": Bad(
        layer=layer(weight_step=[1.0, 0.0, 1.0]), error="weight_step must be .* got 0.0"
    ),
}

NANS = {
    "among the inputs": Bad(
        inputs=array(NAN_INPUTS), error=r"fc: NaN has no code: 1 of 8 .* first at index \(0, 2\)"
    ),
    "among inputs to be calibrated": Bad(
        layer=layer(input_step=None), inputs=array(NAN_INPUTS), error=r"got nan at index \(0, 2\)"
    ),
    "among inputs that calibrate the output": Bad(
        layer=layer(output_step=None), inputs=array(NAN_INPUTS), error="NaN has no code: 1 of 8"
    ),
    "among the weights": Bad(
        layer=layer(weight=np.full((3, 4), math.nan)), error="NaN has no code: 12 of 12"
    ),
    "among the biases": Bad(layer=layer(bias=NAN_BIAS), error=r"NaN has no code: .* index \(1,\)"),
    "among biases that calibrate the output": Bad(
        layer=layer(bias=NAN_BIAS, output_step=None), error="bias must be finite to calibrate"
    ),
}

FILES = {
    "a layer that is missing": Bad(layer=Path.unlink, error="fc.npz: can't be read: No such file"),
    "inputs that are missing": Bad(inputs=Path.unlink, error="x.npy: can't be read: No such file"),
    "a datapath that is missing": Bad(toml=Path.unlink, error="d.toml: can't be read: No such"),
    "an empty layer": Bad(layer=content(b""), error="fc.npz: is empty"),
    "empty inputs": Bad(inputs=content(b""), error="x.npy: is empty"),
    "a pickled layer": Bad(
        layer=content(pickle.dumps(LAYER)), error="fc.npz: is a pickle, .* is never read"
    ),
    "a pickle in a layer": Bad(layer=layer(bias=[None] * 3), error="fc.npz: .* pickled objects"),
    "pickled inputs": Bad(inputs=array([None]), error="x.npy: .* pickled objects"),
    "a foreign layer": Bad(layer=content(b"GGUF and more"), error="fc.npz: is no NumPy file"),
    "a foreign archive": Bad(layer=layer(scale=1.0), error="unknown key 'scale'; legal keys are"),
    "an array for a layer": Bad(layer=content(AN_ARRAY), error="single array"),
    "a layer for inputs": Bad(inputs=content(AN_ARCHIVE), error="an archive"),
    "a layer without weights": Bad(layer=layer(weight=None), error="neither weight"),
    "malformed TOML": Bad(toml=content(b"[input\n"), error="d.toml: malformed TOML: Expected"),
    "TOML that is no text": Bad(toml=content(b"\xff\x00"), error="d.toml: malformed TOML: 'utf-8'"),
    "an unknown key in TOML": Bad(
        toml=toml("[input]", "rows = 4\n[input]"), error="unknown key rows; legal keys are input"
    ),
    "a key that is missing in TOML": Bad(toml=content(b""), error="missing key"),
}

WIDTHS_BEYOND_63_BITS = {
    "a product of codes": Bad(
        options=("--weight-bits", 40, "--activation-bits", 40), error="could pass 63 bits"
    ),
    "a sum of products": Bad(
        options=("--weight-bits", 31, "--activation-bits", 31, "--acc-bits", 40),
        layer=layer(weight_step=1e-9, output_step=1e-12),
        error="an exact total could need 64 bits for K = 4",
    ),
    "a product of the rescaler": Bad(
        options=("--acc-bits", 50), error="product could pass 63 bits .*: use a narrower acc"
    ),
}

UNCALIBRATED = {
    "codes without an input step": Bad(
        layer=layer(input_step=None), inputs=array(CODES), options=("--codes",),
        error="input_step is missing and the inputs are codes",
    ),
    "codes without an output step": Bad(
        layer=layer(output_step=None), inputs=array(CODES), options=("--codes",),
        error="output_step is missing, .* or give real inputs without --codes",
    ),
    "weight codes without a step": Bad(
        layer=layer(weight=None, weight_codes=CODES, weight_step=None),
        error="weight_step is missing and the weights are codes",
    ),
    "infinite inputs": Bad(
        layer=layer(input_step=None), inputs=array([[math.inf] * 4]),
        error="must be finite to find a step size",
    ),
}  # fmt: skip

ARGUMENTS = {
    "an unknown option": Bad(options=("--rows", 4), error="No such option"),
    "one argument too many": Bad(options=("more",), error="unexpected extra argument"),
    "a datapath beside widths": Bad(
        options=("--datapath", "d.toml", "--acc-bits", 8, "--per-tensor"),
        error="--datapath states the whole datapath, --acc-bits, --per-tensor a part of one",
    ),
    "a datapath beside flags": Bad(
        options=("--datapath", "d.toml", "--unsigned-input", "--signed-output"),
        error="--unsigned-input, --signed-output|--signed-output, --unsigned-input",
    ),
}

TABLES = (
    SHAPES, DTYPES, CODE_RANGES, RANGES, FACTORS, NANS, FILES, WIDTHS_BEYOND_63_BITS, UNCALIBRATED,
    ARGUMENTS,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    write_files(tmp_path)
    return tmp_path


@pytest.fixture
def simulate(capsys, folder):
    return partial(call, capsys, "simulate", folder / "fc.npz", folder / "x.npy")


def assert_refused(outcome, error):
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("lsqsim: error: ")
    assert outcome.err.count("\n") == 1
    assert re.search(error, outcome.err), outcome.err


@pytest.mark.parametrize(
    "bad", [p for t in TABLES for p in t.values()], ids=[k for t in TABLES for k in t]
)
def test_bad_input(folder, simulate, bad):
    for name, change in (("fc.npz", bad.layer), ("x.npy", bad.inputs), ("d.toml", bad.toml)):
        if change is not None:
            change(folder / name)
    datapath = ("--datapath", folder / "d.toml") if bad.toml is not None else ()
    before = {path.name for path in folder.iterdir()}
    outcome = simulate(
        *datapath, *bad.options, "--trace", folder / "trace.npz", "--output", folder / "y.npy"
    )
    assert_refused(outcome, bad.error)
    assert {path.name for path in folder.iterdir()} == before


@pytest.mark.parametrize("damage", range(0, 1200, 60))
def test_a_truncated_layer(folder, simulate, damage):
    """Cut anywhere, a layer file is refused."""
    whole = (folder / "fc.npz").read_bytes()
    (folder / "fc.npz").write_bytes(whole[:damage])
    assert_refused(simulate(), "fc.npz: is ")


@pytest.mark.parametrize("option", ["--trace", "--output"])
class TestOutputPaths:
    def test_no_such_folder(self, folder, simulate, option):
        outcome = simulate(option, folder / "none" / "out")
        assert_refused(outcome, f"none/out: can't be written: there is no folder {folder}/none")

    def test_a_folder(self, folder, simulate, option):
        assert_refused(simulate(option, folder), "it is there, and no regular file")

    def test_a_device(self, simulate, option):
        assert_refused(simulate(option, "/dev/null"), "it is there, and no regular file")

    def test_a_read_only_folder(self, folder, simulate, option, monkeypatch):
        monkeypatch.setattr(os, "access", lambda *_: False)
        assert_refused(simulate(option, folder / "out"), "the folder .* is read-only")

    def test_a_full_disk(self, folder, simulate, option, monkeypatch):
        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(np, "savez" if option == "--trace" else "save", full)
        assert_refused(simulate(option, folder / "out"), "out: can't be written: No space left")
        assert not (folder / "out").exists()

    @pytest.mark.parametrize(("name", "what"), [("fc.npz", "the layer"), ("x.npy", "the input")])
    def test_a_file_in_use(self, folder, simulate, option, name, what):
        before = (folder / name).read_bytes()
        assert_refused(simulate(option, folder / name), f"{option} would overwrite {what}")
        assert (folder / name).read_bytes() == before

    def test_the_datapath(self, folder, simulate, option):
        outcome = simulate("--datapath", folder / "d.toml", option, folder / "d.toml")
        assert_refused(outcome, f"{option} would overwrite the datapath")


def test_one_path_for_two_outputs(folder, simulate):
    outcome = simulate("--trace", folder / "out", "--output", folder / "sub" / ".." / "out")
    assert_refused(outcome, "--output would overwrite what --trace writes")


class TestMachine:
    """What the machine refuses, or the user ends."""

    @pytest.fixture
    def ended_by(self, simulate, monkeypatch):
        def outcome(error):
            def fail(*_):
                raise error

            monkeypatch.setattr("lsqsim.commands.simulation.compare", fail)
            return simulate()

        return outcome

    def test_memory(self, ended_by):
        outcome = ended_by(MemoryError("Unable to allocate 8 TiB"))
        assert_refused(outcome, "need more memory: Unable to allocate 8 TiB")

    def test_any_file(self, ended_by):
        outcome = ended_by(OSError(28, "No space left on device", "/cache"))
        assert_refused(outcome, "No space left on device: '/cache'")

    def test_an_interrupt(self, ended_by):
        outcome = ended_by(KeyboardInterrupt())
        assert (outcome.code, outcome.out, outcome.err) == (130, "", "lsqsim: interrupted\n")

    def test_an_interrupt_inside_a_kernel(self, ended_by):
        """Numba hands it on as the cause of a SystemError; any other is a defect, and stays."""
        error = SystemError("observe returned a result with an exception set")
        with pytest.raises(SystemError):
            ended_by(error)
        error.__cause__ = SystemError("_numba_unpickle returned a result with an exception set")
        error.__cause__.__cause__ = KeyboardInterrupt()
        outcome = ended_by(error)
        assert (outcome.code, outcome.out, outcome.err) == (130, "", "lsqsim: interrupted\n")

    def test_an_interrupt_before_the_command(self, simulate, monkeypatch):
        def fail(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(click.Group, "parse_args", fail)
        outcome = simulate()
        assert (outcome.code, outcome.err.strip()) == (130, "lsqsim: interrupted")


class TestOtherCommands:
    def test_an_unknown_command(self, capsys):
        assert_refused(call(capsys, "simulat"), "No such command 'simulat'")

    def test_missing_arguments(self, capsys):
        assert_refused(call(capsys, "simulate"), "Missing argument 'LAYER.npz'")

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            (("--acc-bits", 1), "'--acc-bits': 1 is not in the range"),
            (("--toml", "--json"), "--toml and --json are two forms of one output"),
            (("--tile-bits", 8), "give --tile and --tile-bits together"),
            (("--datapath", "none.toml"), "none.toml: can't be read: No such file"),
            (("none.npz",), "none.npz: can't be read: No such file"),
            (("none.npz", "--toml"), "none.npz: can't be read: No such file"),
            (("--weight-bits", 40, "--datapath", "none.toml"), "--weight-bits a part of one"),
        ],
    )
    def test_describe(self, capsys, options, error):
        assert_refused(call(capsys, "describe", *options), error)
