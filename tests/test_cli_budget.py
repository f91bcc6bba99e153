"""Tests for lsqsim budget: what it prints, writes and refuses."""

import csv
import io
import json
import re
import sys
from functools import partial

import numpy as np
import pytest

from command_line import INPUTS, LAYER, call, write_layer
from lsqsim.budget.input_range import InputRange
from lsqsim.chain import Chain
from lsqsim.datapath import CompiledLayer
from lsqsim.design.comparison import BudgetComparison
from lsqsim.design.grid import DesignGrid, chain_inputs
from lsqsim.design.side_by_side import compare_designs
from lsqsim.formats import IntFormat, Overflow
from lsqsim.layer_file import load_layer
from lsqsim.report import CSV_COLUMNS
from lsqsim.specs import simple_datapath
from lsqsim.tensor import QTensor

FOUR_BITS = ("--weight-bits", 4, "--activation-bits", 4)
BOTH = (Overflow.WRAP, Overflow.SATURATE)
SECOND = {
    "weight": np.array([[1.0, -0.5, 0.25], [0.5, 0.5, -1.0]]),
    "weight_step": 0.125,
    "output_step": 0.5,
}


@pytest.fixture
def run(capsys):
    return partial(call, capsys)


@pytest.fixture
def folder(tmp_path):
    """Two layers that meet, an input, and its classes."""
    write_layer(tmp_path / "fc.npz", activation="relu")
    np.savez(tmp_path / "head.npz", input_step=0.25, **SECOND)
    np.save(tmp_path / "x.npy", INPUTS)
    np.save(tmp_path / "y.npy", np.array([0, 1]))
    return tmp_path


def words(outcome):
    return " ".join(outcome.out.split())


def first_spec(**changes):
    return simple_datapath(weight_bits=4, activation_bits=4, **changes)


def network(folder):
    """The same by library calls."""
    return Chain(
        [
            CompiledLayer(load_layer(folder / "fc.npz"), first_spec()),
            CompiledLayer(load_layer(folder / "head.npz"), first_spec(output_signed=True)),
        ]
    )


def designs_of(comparison: BudgetComparison):
    return comparison.to_dict()["designs"]


class TestTables:
    def test_one_layer_without_data(self, run, folder):
        outcome = run("budget", folder / "fc.npz", *FOUR_BITS, "--acc-bits", "7:12")
        assert (outcome.code, outcome.err) == (0, "")
        text = words(outcome)
        assert "Bits of the last register by layer" in text
        assert "Designs, P = 7..12" in text
        assert re.search(r"P wrap \d+ \d+ \d+..12 P sat", text)
        assert re.search(r"C \d+ wrap is the smallest certified design", text)
        assert "network" not in text
        assert "seen" not in text
        assert max(map(len, outcome.out.splitlines())) <= 80

    def test_a_network_with_data_and_labels(self, run, folder):
        outcome = run(
            "budget", folder / "fc.npz", folder / "head.npz", *FOUR_BITS, "--acc-bits", "6:12",
            "--tile", "none,2", "--data", folder / "x.npy", "--labels", folder / "y.npy",
        )  # fmt: skip
        assert (outcome.code, outcome.err) == (0, "")
        text = words(outcome)
        for line in (
            "every 2 products summed before",
            "network",
            "2 x ",
            "P wrap",
            "P sat",
            "accu- P proven",
            "C ",
            "L ",
            "is the smallest that changes no output code on this data",
        ):
            assert line in text
        assert max(map(len, outcome.out.splitlines())) <= 80

    def test_nothing_is_certified_and_all_lose(self, run, folder):
        outcome = run("budget", folder / "fc.npz", *FOUR_BITS, "--acc-bits", 3, "--data",
                      folder / "x.npy")  # fmt: skip
        text = words(outcome)
        assert re.search(r"None of these designs is certified: that takes .* of \d+ bits", text)
        assert "Every one of these designs changes output codes on this data." in text
        assert "none none" in text

    def test_the_smallest_lossless_is_certified(self, run, folder):
        outcome = run("budget", folder / "fc.npz", *FOUR_BITS, "--acc-bits", 20, "--data",
                      folder / "x.npy")  # fmt: skip
        assert "and it is certified, too" in words(outcome)

    def test_default_widths(self, run, folder):
        """From 2 below the least bound, or what the data needs, to 1 above that of data types."""
        report = json.loads(run("budget", folder / "fc.npz", *FOUR_BITS, "--json").out)
        widths = [d["accumulator"]["stages"][-1]["bits"] for d in report["designs"]]
        layer = report["layers"][0]
        assert (min(widths), max(widths)) == (layer["wrap"] - 2, layer["data_type"] + 1)
        seen = run("budget", folder / "fc.npz", *FOUR_BITS, "--json", "--data", folder / "x.npy")
        report = json.loads(seen.out)
        widths = [d["accumulator"]["stages"][-1]["bits"] for d in report["designs"]]
        layer = report["layers"][0]
        assert min(widths) == min(layer["observed_wrap"], layer["wrap"]) - 2

    def test_default_widths_that_the_rescaler_takes(self, run, tmp_path):
        """A multiplier of 31 bits leaves 33 for the accumulator, whatever data types ask for."""
        np.savez(
            tmp_path / "fc.npz", weight=np.full((1, 2048), 0.01), input_step=1.0, output_step=1.0
        )
        np.save(tmp_path / "x.npy", np.ones((2, 2048)))
        outcome = run("budget", tmp_path / "fc.npz", "--activation-bits", 16, "--data",
                      tmp_path / "x.npy", "--json")  # fmt: skip
        report = json.loads(outcome.out)
        widths = [d["accumulator"]["stages"][-1]["bits"] for d in report["designs"]]
        assert max(widths) == 33 < report["layers"][0]["data_type"]

    def test_progress_on_a_terminal_only(self, run, folder, monkeypatch):
        command = ("budget", folder / "fc.npz", *FOUR_BITS, "--data", folder / "x.npy", "--csv")
        plain = run(*command)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        shown = run(*command)
        assert (plain.err, shown.out) == ("", plain.out)
        assert "\x1b[" in shown.err


class TestJson:
    def test_it_is_the_library_s(self, run, folder):
        chain = network(folder)
        grid = DesignGrid(acc_bits=(6, 9, 10), overflows=BOTH, tiles=(None, 2), tile_bits=(7,))
        wanted = compare_designs(
            chain,
            grid.designs(chain, chain_inputs(chain)),
            data=INPUTS,
            labels=np.array([0, 1]),
        )
        outcome = run(
            "budget", folder / "fc.npz", folder / "head.npz", *FOUR_BITS, "--acc-bits", "6,9:10",
            "--overflow", "wrap,saturate", "--tile", "none,2", "--tile-bits", 7,
            "--data", folder / "x.npy", "--labels", folder / "y.npy", "--json",
        )  # fmt: skip
        report = json.loads(outcome.out)
        assert report["designs"] == designs_of(wanted)
        assert report["network"] == ["fc", "head"]
        assert report["smallest_certified"] == wanted.to_dict()["smallest_certified"]
        assert report["observation"]["exact_accuracy"] == wanted.observation.exact_accuracy
        assert [len(layer["channels"]["wrap"]) for layer in report["layers"]] == [3, 2, 3, 2]
        for layer in report["layers"]:
            assert max(layer["channels"]["saturate"]) == layer["saturate"]

    def test_an_input_range(self, run, folder):
        chain = Chain([CompiledLayer(load_layer(folder / "fc.npz"), first_spec())])
        inputs = chain_inputs(chain, InputRange(low=0, high=3))
        grid = DesignGrid(acc_bits=(8, 9), overflows=(Overflow.SATURATE,))
        wanted = compare_designs(chain, grid.designs(chain, inputs), inputs=inputs)
        outcome = run("budget", folder / "fc.npz", *FOUR_BITS, "--acc-bits", "8:9", "--overflow",
                      "saturate", "--input-range", "0:3", "--json")  # fmt: skip
        report = json.loads(outcome.out)
        assert report["designs"] == designs_of(wanted)
        assert report["inputs"] == [{"low": 0, "high": 3}]

    def test_codes(self, run, folder):
        codes = np.array([[0, 15, 3, 4], [1, 2, 3, 4]])
        np.save(folder / "codes.npy", codes)
        chain = Chain([CompiledLayer(load_layer(folder / "fc.npz"), first_spec())])
        data = QTensor(codes=codes, format=IntFormat(4, signed=False), step_size=np.array(0.25),
                       zero_point=np.array(0))  # fmt: skip
        grid = DesignGrid(acc_bits=(7, 8), overflows=BOTH)
        wanted = compare_designs(chain, grid.designs(chain, chain_inputs(chain)), data=data)
        outcome = run("budget", folder / "fc.npz", *FOUR_BITS, "--acc-bits", "7:8", "--data",
                      folder / "codes.npy", "--codes", "--json")  # fmt: skip
        assert json.loads(outcome.out)["designs"] == designs_of(wanted)

    def test_a_datapath_for_all_and_one_each(self, run, folder):
        one = run("describe", *FOUR_BITS, "--unsigned-output", "--toml").out
        (folder / "one.toml").write_text(one)
        two = run("describe", *FOUR_BITS, "--signed-output", "--toml").out
        (folder / "two.toml").write_text(two)
        layers = (folder / "fc.npz", folder / "head.npz")
        options = ("--acc-bits", "8:9", "--json", "--data", folder / "x.npy")
        by_widths = run("budget", *layers, *FOUR_BITS, *options).out
        each = ("--datapath", folder / "one.toml", "--datapath", folder / "two.toml")
        assert run("budget", *layers, *each, *options).out == by_widths
        assert run("budget", *layers, *each[:2], *options).code == 0

    def test_output_options_are_the_last_layer_s(self, run, folder):
        layers = (folder / "fc.npz", folder / "head.npz")
        outcome = run("budget", *layers, *FOUR_BITS, "--output-bits", 6, "--acc-bits", 9,
                      "--unsigned-output", "--data", folder / "x.npy")  # fmt: skip
        assert outcome.code == 0


class TestSteps:
    """Step sizes that layer files leave out."""

    def test_a_neighbor_s(self, run, folder):
        layers, options = (folder / "fc.npz", folder / "head.npz"), ("--acc-bits", 9, "--json")
        whole = run("budget", *layers, *FOUR_BITS, *options).out
        np.savez(folder / "head.npz", **SECOND)
        assert run("budget", *layers, *FOUR_BITS, *options).out == whole
        np.savez(folder / "head.npz", input_step=0.25, **SECOND)
        write_layer(folder / "fc.npz", activation="relu", output_step=None)
        assert run("budget", *layers, *FOUR_BITS, *options).out == whole

    def test_from_the_data(self, run, folder):
        np.savez(folder / "fc.npz", weight=LAYER["weight"], bias=LAYER["bias"], activation="relu")
        np.savez(folder / "head.npz", weight=SECOND["weight"])
        outcome = run("budget", folder / "fc.npz", folder / "head.npz", "--data",
                      folder / "x.npy", "--acc-bits", 20, "--json")  # fmt: skip
        assert outcome.code == 0
        assert json.loads(outcome.out)["observation"]["exact_accuracy"] is None

    def test_the_last_one_s_output_without_data(self, run, folder):
        second = {key: value for key, value in SECOND.items() if key != "output_step"}
        np.savez(folder / "head.npz", **second)
        outcome = run("budget", folder / "fc.npz", folder / "head.npz", *FOUR_BITS)
        assert outcome.code == 0


class TestCsv:
    def test_rows_are_designs(self, run, folder):
        options = (*FOUR_BITS, "--acc-bits", "6:12", "--tile", "none,2", "--data",
                   folder / "x.npy", "--labels", folder / "y.npy")  # fmt: skip
        layers = (folder / "fc.npz", folder / "head.npz")
        text = run("budget", *layers, *options, "--csv").out
        report = json.loads(run("budget", *layers, *options, "--json").out)
        rows = list(csv.DictReader(io.StringIO(text)))
        assert text.splitlines()[0] == ",".join(CSV_COLUMNS)
        assert len(rows) == len(report["designs"]) == 28
        for row, design in zip(rows, report["designs"], strict=True):
            assert row["design"] == design["name"]
            assert row["is_certified"] == str(design["is_certified"])
            for key in ("transient", "persistent", "n_inexact", "accuracy", "n_changed"):
                assert row[key] == str(design["observed"][key])
        assert rows[0]["tile"] == ""
        assert (rows[-1]["tile"], rows[-1]["overflow"]) == ("2", "saturate")
        marked = [row["design"] for row in rows if row["smallest_certified"] == "True"]
        assert marked == [report["smallest_certified"]]

    def test_without_data(self, run, folder):
        text = run("budget", folder / "fc.npz", *FOUR_BITS, "--acc-bits", "8", "--csv").out
        row = next(csv.DictReader(io.StringIO(text)))
        assert (row["acc_bits"], row["observed_bits"], row["accuracy"]) == ("8", "", "")


class TestFigure:
    @pytest.mark.parametrize("suffix", [".png", ".SVG"])
    def test_it_is_written(self, run, folder, suffix):
        pytest.importorskip("matplotlib", reason="figures need matplotlib: lsqsim[plot]")
        command = ("budget", folder / "fc.npz", *FOUR_BITS, "--data", folder / "x.npy")
        path = folder / f"f{suffix}"
        plain, drawn = run(*command), run(*command, "--figure", path)
        assert drawn == plain
        assert path.read_bytes()[:5] == (b"\x89PNG\r" if suffix == ".png" else b"<?xml")
        assert not list(folder.glob(".lsqsim-*"))

    def test_without_matplotlib(self, run, folder, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        outcome = run("budget", folder / "fc.npz", "--data", folder / "x.npy", "--figure",
                      folder / "f.png")  # fmt: skip
        assert_refused(outcome, r"the figure needs matplotlib: pip install 'lsqsim\[plot\]'")
        assert not (folder / "f.png").exists()


class TestLegalEdges:
    def test_no_products(self, run, tmp_path):
        np.savez(tmp_path / "fc.npz", weight_codes=np.zeros((2, 0), int), bias_codes=[3, -60],
                 input_step=1.0, weight_step=1.0, output_step=1.0)  # fmt: skip
        np.save(tmp_path / "x.npy", np.zeros((3, 0)))
        outcome = run("budget", tmp_path / "fc.npz", "--data", tmp_path / "x.npy")
        assert (outcome.code, outcome.err) == (0, "")
        assert "fc 0 2 7 7" in words(outcome)

    def test_no_weights(self, run, tmp_path):
        np.savez(tmp_path / "fc.npz", weight=np.zeros((2, 3)), output_step=1.0)
        np.save(tmp_path / "x.npy", np.ones((3, 3)))
        outcome = run("budget", tmp_path / "fc.npz", "--data", tmp_path / "x.npy", "--tile", "2")
        assert (outcome.code, outcome.err) == (0, "")
        assert "2 wrap is the smallest certified" in words(outcome)

    def test_a_tile_larger_than_k(self, run, folder):
        assert run("budget", folder / "fc.npz", "--tile", "1000,none").code == 0


DATA = ("--data", "x.npy")
REFUSALS = {
    "an accumulator of 1 bit": (("--acc-bits", "1:4"), "'--acc-bits': 1 is not in the range 2<=x"),
    "an accumulator of 64 bits": (("--acc-bits", "12:64"), "'--acc-bits': 64 is not in the range"),
    "descending widths": (("--acc-bits", "24:12"), "'24:12' has its low end above its high end"),
    "widths that are words": (("--acc-bits", "x"), "'x' is neither a number nor LOW:HIGH: give"),
    "fractions of bits": (("--acc-bits", "1.5"), "'1.5' is neither a number nor LOW:HIGH: give"),
    "three ends": (("--acc-bits", "2:3:4"), "'2:3:4' is neither a number nor LOW:HIGH: give"),
    "no widths": (("--acc-bits", ""), "'' is neither a number nor LOW:HIGH: give"),
    "a hole in a list": (("--acc-bits", "12,,14"), "'' is neither a number nor LOW:HIGH: give"),
    "a tile of 0": (("--tile", "0"), "'--tile': 0 is not in the range x>=1"),
    "tiles that are a range": (("--tile", "1:4"), "'1:4' is neither a number of products nor none"),
    "a long list": (
        ("--tile", ",".join(map(str, range(1, 66)))), "a list has at most 64 entries, got 65"
    ),
    "an unknown rule": (("--overflow", "wrap,clip"), "'clip' is not one of 'wrap', 'saturate'"),
    "widths of no tile": (("--tile-bits", "8"), "--tile-bits are widths of a tile's register"),
    "a tile register of 1 bit": (("--tile", "2", "--tile-bits", "1"), "1 is not in the range"),
    "two forms": (("--csv", "--json"), "--csv and --json are two forms of one output"),
    "labels of nothing": (("--labels", "y.npy"), "--labels says something of data: give --data"),
    "codes of nothing": (("--codes",), "--codes says something of data: give --data"),
    "a figure of nothing": (("--figure", "f.png"), "--figure says something of data: give --data"),
    "a range without order": (("--input-range", "5:2"), "--input-range: .* 5..2 is empty"),
    "a range of words": (("--input-range", "a:b"), "--input-range: .* LOW:HIGH, .* got 'a:b'"),
    "a range beyond the format": (("--input-range", "0:256"), "must lie within the input format"),
    "too many datapaths": (
        ("--datapath", "a", "--datapath", "b"), "once for each of 1, got 2",
    ),
    "a datapath beside widths": (
        ("--datapath", "a", "--weight-bits", 4, "--per-tensor"),
        "--datapath states the whole datapath, --weight-bits, --per-tensor a part of one",
    ),
    "a datapath that is missing": (("--datapath", "a.toml"), "a.toml: can't be read: No such"),
    "no samples": (("--data", "none.npy"), r"none.npy: must hold samples .* shape \(0, 4\)"),
    "a vector": (("--data", "vector.npy"), r"vector.npy: must hold samples .* got shape \(4,\)"),
    "data of another K": (("--data", "wide.npy"), r"inputs \(2, 5\) and weights \(3, 4\)"),
    "NaN": (("--data", "nan.npy"), "NaN has no code: 1 of 4"),
    "codes outside the format": (
        ("--data", "large.npy", "--codes"), "input codes must be codes of uint8 .* got 256"
    ),
    "real codes": ((*DATA, "--codes"), "input codes must be integer"),
    "real labels": ((*DATA, "--labels", "x.npy"), "x.npy: classes are integers, got dtype float64"),
    "labels of another length": (
        (*DATA, "--labels", "three.npy"),
        r"three.npy: there must be one class for each of 2 samples, got shape \(3,\)",
    ),
    "labels of another shape": (
        (*DATA, "--labels", "table.npy"), r"labels must be integers, one a prediction: shape \(2,\)"
    ),
    "a figure of another kind": (
        (*DATA, "--figure", "f.pdf"), "f.pdf: a figure ends in .png or .svg: change the name"
    ),
    "too many curves": (
        (*DATA, "--figure", "f.png", "--tile", "none,2", "--tile-bits", "4:7"),
        "at most 8 curves, .* these designs make 10: give fewer",
    ),
    "a figure in no folder": (
        (*DATA, "--figure", "none/f.png"), "none/f.png: can't be written: there is no folder"
    ),
    "a figure over the data": (
        ("--data", "x.png", "--figure", "x.png"), "--figure would overwrite the data: x.png"
    ),
    "registers beyond the rescaler": ((*DATA, "--acc-bits", "50"), "product could pass 63 bits"),
}  # fmt: skip


@pytest.mark.parametrize(("options", "error"), REFUSALS.values(), ids=REFUSALS)
def test_bad_input(run, folder, monkeypatch, options, error):
    monkeypatch.chdir(folder)
    if "--figure" in options:
        pytest.importorskip("matplotlib", reason="the figure needs matplotlib")
    for name, array in {
        "none": np.zeros((0, 4)),
        "vector": np.zeros(4),
        "wide": np.zeros((2, 5)),
        "nan": np.array([[0, np.nan, 0, 0]]),
        "large": np.array([[0, 0, 256, 0]]),
        "three": np.zeros(3, int),
        "table": np.zeros((2, 1), int),
    }.items():
        np.save(f"{name}.npy", array)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert_refused(run("budget", "fc.npz", *options), error)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def assert_refused(outcome, error):
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("lsqsim: error: ")
    assert outcome.err.count("\n") == 1
    assert re.search(error, outcome.err), outcome.err


class TestOtherRefusals:
    def test_no_layer(self, run):
        assert_refused(run("budget"), "Missing argument 'LAYER.npz...'")

    def test_layers_that_do_not_meet(self, run, folder):
        np.savez(folder / "head.npz", input_step=0.5, **SECOND)
        outcome = run("budget", folder / "fc.npz", folder / "head.npz", *FOUR_BITS)
        assert_refused(outcome, "fc puts out uint4 of step size 0.25, .* but head takes uint4")

    def test_accumulators_that_differ(self, run, folder):
        text = run("describe", *FOUR_BITS, "--unsigned-output", "--toml").out
        (folder / "one.toml").write_text(text)
        (folder / "two.toml").write_text(text.replace('"preload"', '"post_add"'))
        outcome = run(
            "budget", folder / "fc.npz", folder / "head.npz", "--acc-bits", 9,
            "--datapath", folder / "one.toml", "--datapath", folder / "two.toml",
        )  # fmt: skip
        assert_refused(outcome, "accumulators that differ in bias, zero_points or order")

    def test_a_step_between_layers_without_data(self, run, folder):
        np.savez(folder / "head.npz", **SECOND)
        write_layer(folder / "fc.npz", activation="relu", output_step=None)
        outcome = run("budget", folder / "fc.npz", folder / "head.npz", *FOUR_BITS)
        assert_refused(outcome, "fc: output_step is missing, and the next layer takes it: add")

    def test_a_step_of_codes(self, run, folder):
        write_layer(folder / "fc.npz", input_step=None)
        np.save(folder / "codes.npy", np.ones((2, 4), int))
        outcome = run("budget", folder / "fc.npz", "--data", folder / "codes.npy", "--codes")
        assert_refused(outcome, "input_step is missing and the inputs are codes")

    def test_a_figure_that_names_another_file_in_use(self, run, folder):
        (folder / "d.png").write_text(run("describe", "--toml").out)
        for option, what in (("--datapath", "a datapath"), ("--labels", "the labels")):
            outcome = run("budget", folder / "fc.npz", option, folder / "d.png", "--data",
                          folder / "x.npy", "--figure", folder / "d.png")  # fmt: skip
            assert_refused(outcome, f"--figure would overwrite {what}")
