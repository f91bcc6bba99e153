"""Tests for lsqsim.report on budgets: tables, sentences and the figure say what was found."""

import io
import json
import re
import sys

import numpy as np
import pytest
from rich.console import Console

from lsqsim.budget.bounds import layer_bounds
from lsqsim.budget.certificate import certify
from lsqsim.chain import Chain
from lsqsim.datapath import CompiledLayer
from lsqsim.design.grid import DesignGrid, chain_inputs
from lsqsim.design.side_by_side import compare_designs
from lsqsim.errors import DataError, LsqsimError
from lsqsim.formats import Overflow
from lsqsim.layer import Layer
from lsqsim.report import (
    budget_report,
    budget_sentences,
    certificate_report,
    draw_budget,
    print_budget,
    print_certificate,
    require_drawable,
    witness_lines,
)
from lsqsim.report.layout import ranges
from lsqsim.specs import AccumulatorSpec, LinearSpec, StageSpec, simple_datapath

BOTH = (Overflow.WRAP, Overflow.SATURATE)


def a_chain(name="fc", weights=((3, 3, 3, -3), (1, 0, 0, -2))):
    layer = Layer(
        spec=LinearSpec(), name=name, weight_codes=np.array(weights), input_step=1.0,
        weight_step=1.0, output_step=4.0,
    )  # fmt: skip
    spec = simple_datapath(weight_bits=3, activation_bits=3, acc_bits=8, output_signed=True)
    return Chain([CompiledLayer(layer, spec)])


DATA = np.random.default_rng(0).integers(0, 8, (50, 4)).astype(float)
CLASSES = np.arange(50) % 2


def a_report(chain=None, *, data=DATA, labels=None, tiles=(None,), with_channels=False, bits=None):
    chain = chain or a_chain()
    inputs = chain_inputs(chain)
    grid = DesignGrid(acc_bits=bits or (4, 5, 6, 7, 8), overflows=BOTH, tiles=tiles)
    comparison = compare_designs(
        chain, grid.designs(chain, inputs), inputs=inputs, data=data, labels=labels
    )
    return budget_report(chain, inputs, comparison, with_channels=with_channels)


def text_of(printer, *arguments, encoding="utf-8"):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    printer(*arguments, Console(file=file, width=80, highlight=False, markup=False))
    file.flush()
    return raw.getvalue().decode(encoding)


class TestBudget:
    def test_plain_values(self):
        report = a_report(with_channels=True)
        assert json.loads(json.dumps(report, allow_nan=False)) == report
        assert report["network"] == ["fc"]
        assert report["inputs"] == [{"low": 0, "high": 7}]

    def test_channels_are_bounds_of_their_own(self):
        """3 * 3 * 7 is 63 and needs 7 bits, 1 * 7 needs 4, -2 * 7 needs 5."""
        channels = a_report(with_channels=True)["layers"][0]["channels"]
        assert channels["wrap"] == [7, 5]

    def test_lost_sums(self):
        report = a_report()
        for design in report["designs"]:
            seen, last = design["observed"], design["accumulator"]["stages"][-1]
            if last["overflow"] == "wrap":
                assert seen["n_inexact"] == seen["persistent"]

    def test_tables_in_ascii(self):
        report = a_report(labels=CLASSES, tiles=(None, 2))
        text = text_of(print_budget, report, encoding="ascii")
        assert max(map(len, text.splitlines())) <= 80

    def test_marks(self):
        report = a_report()
        text = text_of(print_budget, report)
        assert re.search(r"\n +C +7 +yes", text)
        assert report["smallest_certified"] == "7 wrap"

    def test_sentences(self):
        report = a_report(data=None)
        assert " ".join(budget_sentences(report)) == (
            "C  7 wrap is the smallest certified design: no input in range makes any accumulator "
            "lose its total."
        )
        report = a_report(data=None, bits=(3, 4))
        assert " ".join(budget_sentences(report)) == (
            "None of these designs is certified: that takes a last register of 7 bits or more, "
            "and registers before it that are certified, too."
        )

    @pytest.mark.parametrize(
        ("numbers", "text"),
        [([], ""), ([3], "3"), ([3, 4], "3..4"), ([3, 5, 6, 7, 9], "3, 5..7, 9")],
    )
    def test_ranges(self, numbers, text):
        assert ranges(numbers) == text


class TestCertificate:
    def report(self, stages=None, weights=((3, 3, 3, -3), (0, 0, 0, 0))):
        unit = a_chain(weights=weights).layers[0]
        if stages is not None:
            unit = unit.with_accumulator(AccumulatorSpec(stages=stages))
        certificate = certify(unit)
        return certificate_report(certificate, layer_bounds(unit))

    def test_plain_values(self):
        report = self.report()
        assert json.loads(json.dumps(report, allow_nan=False)) == report
        assert (report["layer"]["k"], report["layer"]["n"]) == (4, 2)
        assert (report["n_safe_channels"], report["n_zero_channels"]) == (2, 1)

    def test_a_loss_in_an_inner_stage(self):
        """What would leave the outer register is lost in the inner one: the witness is there."""
        stages = (StageSpec(bits=5, fan_in=2, overflow=Overflow.SATURATE), StageSpec(bits=5))
        report = self.report(stages)
        lines = witness_lines(report)
        assert lines[0].startswith("Stage 0 is unsafe: in channel 0, tile 0, the sum is ")

    def test_an_outer_stage_with_an_inner_witness(self):
        report = self.report((StageSpec(bits=4, fan_in=1), StageSpec(bits=5)))
        witness = report["certificate"]["stages"][0]["witness"]
        report["certificate"]["stages"][1]["witness"] = witness
        report["outputs"][1] = report["outputs"][0]
        line = witness_lines(report)[2]
        assert line.startswith(
            "Stage 1 is unsafe: its farthest inputs lose their value in stage 0 already: in channel"
        )

    def test_long_inputs_are_cut(self):
        report = self.report((StageSpec(bits=5),), weights=((3,) * 20,))
        assert "Input codes (first 8 of 20): 7, 7" in witness_lines(report)[1]

    def test_huge_registers_fit_80_columns(self):
        text = text_of(print_certificate, self.report((StageSpec(bits=31),)), ["x" * 100])
        lines = text.splitlines()
        assert "x" * 100 in lines
        assert max(len(line) for line in lines if "x" * 100 not in line) <= 80


class TestFigure:
    @pytest.fixture(autouse=True)
    def matplotlib(self):
        pytest.importorskip("matplotlib", reason="figures need matplotlib: lsqsim[plot]")

    def test_a_png(self):
        assert draw_budget(a_report(), ".png").startswith(b"\x89PNG\r\n")

    def test_an_svg_is_the_same_each_time(self):
        report = a_report(labels=CLASSES, tiles=(None, 2))
        drawn = draw_budget(report, ".svg")
        assert drawn == draw_budget(report, ".svg")
        assert drawn.startswith(b"<?xml")
        assert b"<dc:date>" not in drawn

    def test_what_it_says(self):
        """Letters are drawn as paths, with the text beside them in comments."""
        text = draw_budget(a_report(labels=CLASSES, tiles=(None, 2)), ".svg").decode()
        for words in (
            "data types", "l1 norm (A2Q)", "zero-centered (A2Q+)", "exact, saturating",
            "exact, wrapping", "this data, saturating", "this data, wrapping",
            "fc (K = 4); 50 predictions on given data", "P bits (wrap)", "P bits (saturate)",
            "tiles of 2 in 7 bits, P bits (wrap)", "width P of the last register (bits)",
            "Outputs that overflow; gray: persistently", "Right predictions (%)",
            "smallest certified design: 7",
            "green halo: certified for all inputs",
        ):  # fmt: skip
            assert words in text, words
        assert "too few" not in text

    def test_without_labels(self):
        text = draw_budget(a_report(), ".svg").decode()
        assert "Worst layer's SQNR (dB); dotted: " in text

    def test_a_formula_that_is_too_small(self):
        """A2Q+ halves the range on either side of 0; unsigned inputs lean to one side."""
        text = draw_budget(a_report(a_chain(weights=((3, 3, 3, 3),))), ".svg").decode()
        assert "(too few)" in text

    def test_a_network(self):
        first = a_chain("one").layers[0]
        layer = Layer(
            spec=LinearSpec(), name="two", weight_codes=np.array([[1, 1], [2, -1]]),
            input_step=4.0, weight_step=1.0, output_step=4.0,
        )  # fmt: skip
        spec = simple_datapath(
            weight_bits=3, activation_bits=3, acc_bits=8, output_signed=True, input_signed=True
        )
        chain = Chain([first, CompiledLayer(layer, spec)])
        text = draw_budget(a_report(chain), ".svg").decode()
        assert "Network of 2 layers, one to two (K up to 4)" in text

    def test_nothing_is_lost(self):
        """No noise, hence no SQNR to draw; no overflow."""
        text = draw_budget(a_report(data=np.zeros((2, 4)), bits=(7, 8)), ".svg").decode()
        assert "dotted" not in text

    def test_long_names_of_accumulators_stand_below_each_other(self):
        chain = a_chain()
        unit = chain.layers[0].with_accumulator(
            AccumulatorSpec(
                stages=(
                    StageSpec(bits=7, fan_in=2, overflow=Overflow.SATURATE),
                    StageSpec(bits=8, fan_in=2, overflow=Overflow.SATURATE),
                    StageSpec(bits=9),
                )
            )
        )
        assert draw_budget(a_report(Chain([unit])), ".png")

    def test_settings_of_the_user_do_not_matter(self):
        import matplotlib as mpl  # noqa: PLC0415

        drawn = draw_budget(a_report(), ".svg")
        with mpl.rc_context({"font.size": 30, "svg.fonttype": "none", "lines.linewidth": 9}):
            assert draw_budget(a_report(), ".svg") == drawn
            assert mpl.rcParams["font.size"] == 30


class TestDrawable:
    def test_without_matplotlib(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(LsqsimError, match=r"pip install 'lsqsim\[plot\]'"):
            require_drawable(tmp_path / "f.png", 2)

    def test_names(self, tmp_path):
        with pytest.raises(DataError, match=r"a figure ends in .png or .svg"):
            require_drawable(tmp_path / "figure", 2)

    def test_too_many_curves(self, tmp_path):
        with pytest.raises(DataError, match=r"at most 8 curves, .* make 9"):
            require_drawable(tmp_path / "f.svg", 9)
