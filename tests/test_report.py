"""Tests for lsqsim.report: the dictionary says what the library found, the tables what it says."""

import io
import json
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from rich.console import Console

from lsqsim.compare import compare
from lsqsim.datapath import CompiledLayer
from lsqsim.formats import IntFormat, Overflow, StochasticRounding
from lsqsim.layer import Layer
from lsqsim.report import (
    description_report,
    print_description,
    print_simulation,
    simulation_report,
    unit_rows,
)
from lsqsim.specs import (
    AccumulatorSpec,
    Activation,
    BiasPlacement,
    ClampPoint,
    Conv2dSpec,
    DatapathSpec,
    FirstShift,
    FixedPoint,
    FloatScale,
    Granularity,
    LinearSpec,
    PowerOfTwo,
    ProductArithmetic,
    RegisterSpec,
    RescalerSpec,
    StageSpec,
    Thresholds,
    ZeroPointHandling,
    simple_datapath,
)
from strategies import datapath_specs


def text_of(report, printer, encoding="utf-8"):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    printer(report, Console(file=file, width=80, highlight=False, markup=False))
    file.flush()
    return raw.getvalue().decode(encoding)


def simulated(layer, spec, inputs, **options):
    compiled = CompiledLayer(layer, spec)
    result = compiled.run(inputs)
    return simulation_report(compiled, result, compare(compiled, result, inputs), **options)


def a_layer(weights, **changes):
    fields = {
        "spec": LinearSpec(), "weight": np.array(weights, float), "input_step": 1.0,
        "weight_step": 1.0, "output_step": 1.0, "name": "fc",
    }  # fmt: skip
    return Layer(**(fields | changes))


FIVE_BITS = simple_datapath(
    weight_bits=3, activation_bits=3, acc_bits=5, input_signed=True, output_signed=True
)
OVERFLOWING = a_layer([[3, 3, 3], [3, 3, -3], [1, 0, 0]])
"""On (3, 3, 3), with 5 bits [-16, 15]: 27 persists, 9 + 9 - 9 is transient, 3 is none."""
INPUTS = np.array([[3.0, 3.0, 3.0]])


class TestSimulation:
    report = simulated(OVERFLOWING, FIVE_BITS, INPUTS, calibrated=["input_step"], by_channel=True)

    def test_sections(self):
        assert list(self.report) == ["datapath", "layer", "factors", "overflow", "comparison"]

    def test_the_datapath_is_its_toml(self):
        assert self.report["datapath"]["spec"] == tomllib.loads(FIVE_BITS.to_toml())
        assert self.report["datapath"]["units"] == unit_rows(FIVE_BITS)

    def test_layer(self):
        layer = self.report["layer"]
        assert (layer["m"], layer["k"], layer["n"]) == (1, 3, 3)
        assert (layer["input_shape"], layer["output_shape"]) == ([1, 3], [1, 3])
        assert layer["weight_codes"] == [-3, 3]
        assert layer["bias_codes"] is None
        assert layer["calibrated"] == ["input_step"]

    def test_overflow(self):
        assert self.report["overflow"] == {
            "outputs": 3,
            "transient": 1,
            "persistent": 1,
            "share": 2 / 3,
            "first": {"output": [0, 0], "kind": "persistent", "stage": 0, "k": 1, "total": 27},
            "by_channel": [
                {"outputs": 1, "transient": 0, "persistent": 1, "share": 1.0},
                {"outputs": 1, "transient": 1, "persistent": 0, "share": 1.0},
                {"outputs": 1, "transient": 0, "persistent": 0, "share": 0.0},
            ],
        }

    def test_factors(self):
        assert self.report["factors"] == {
            "kind": "fixed_point",
            "multiplier": [1 << 30],
            "shift": [30],
            "factor": [1.0],
            "fold_error": [0.0],
        }

    def test_comparison(self):
        compiled = CompiledLayer(OVERFLOWING, FIVE_BITS)
        comparison = compare(compiled, compiled.run(INPUTS), INPUTS)
        assert self.report["comparison"]["verdict"] == comparison.verdict
        assert self.report["comparison"]["sqnr_db"] == comparison.sqnr_db
        first = self.report["comparison"]["first_difference"]
        assert (first["register"], first["index"]) == ("stage_0", [0, 0])
        assert (first["left"], first["right"]) == (-14, 18)

    def test_json_reads_back_equal(self):
        assert json.loads(json.dumps(self.report, allow_nan=False)) == self.report

    def test_tables(self):
        text = text_of(self.report, print_simulation)
        for line in (
            "stage 0 int5 [-16, 15]",
            "fc (linear)",
            "M x K x N 1 x 3 x 3",
            "(1, 3), step size 1 (calibrated), zero point 0",
            "all 1073741824 30 1 0",
            "transient 1 33.3 %",
            "output [0, 0]",
            "where stage 0, K index 1",
            "kind persistent; exact total 27",
            "0 1 0 1 100 %",
            "first difference stage_0[0, 0] tile 0, K index 1: -14 in integers, 18 in the",
        ):
            assert line in " ".join(text.split())
        assert max(map(len, text.splitlines())) <= 80


class TestOtherRuns:
    def test_nothing_overflows(self):
        report = simulated(OVERFLOWING, simple_datapath(output_signed=True), INPUTS)
        assert report["overflow"]["first"] is None
        assert "by_channel" not in report["overflow"]
        assert report["comparison"]["first_difference"] is None
        text = " ".join(text_of(report, print_simulation).split())
        assert "verdict exact" in text
        assert "SQNR none: no noise, or no signal" in text
        assert "First overflow" not in text

    def test_an_empty_batch(self):
        report = simulated(OVERFLOWING, FIVE_BITS, np.zeros((0, 3)), by_channel=True)
        assert report["layer"]["m"] == 0
        assert report["overflow"]["share"] == 0.0
        assert "none 0 -" in " ".join(text_of(report, print_simulation).split())

    def test_no_products(self):
        layer = a_layer(np.zeros((2, 0)), bias=np.array([1.0, 20.0]))
        report = simulated(layer, FIVE_BITS, np.zeros((1, 0)))
        assert report["layer"]["k"] == 0
        assert report["layer"]["weight_codes"] is None
        assert report["layer"]["bias_codes"] == [1, 20]
        assert report["overflow"]["first"]["k"] == -1
        text = " ".join(text_of(report, print_simulation).split())
        assert "where stage 0, before the first product" in text
        assert "bias codes 1 .. 20" in text

    def test_a_bias_added_last(self):
        spec = replace(
            FIVE_BITS,
            accumulator=AccumulatorSpec(stages=(StageSpec(bits=5),), bias=BiasPlacement.POST_ADD),
        )
        report = simulated(a_layer([[3, 1, 0]], bias=np.array([9.0])), spec, INPUTS)
        assert report["overflow"]["first"]["k"] == 3
        assert "stage 0, K index 3" in text_of(report, print_simulation)

    def test_a_convolution_with_channels(self):
        layer = a_layer(
            np.ones((20, 1, 2, 2)),
            spec=Conv2dSpec(activation=Activation.RELU, stride=(2, 2)),
            weight_step=np.linspace(1, 2, 20),
            weight_zero_point=np.zeros(20, int),
        )
        spec = simple_datapath(per_channel=True)
        report = simulated(layer, spec, np.ones((2, 1, 5, 5)), by_channel=True)
        assert (report["layer"]["m"], report["layer"]["n"]) == (8, 20)
        text = " ".join(text_of(report, print_simulation).split())
        assert "conv2d, stride (2, 2), padding (0, 0, 0, 0)" in text
        assert "activation relu" in text
        assert "step size 1 .. 2 (20 channels), zero point 0 .. 0 (20 channels)" in text
        assert "of 20 channels)" in text
        assert "least factor" in text
        assert "19 " in text
        assert "Overflow by channel (worst 8 of 20)" in text

    @pytest.mark.parametrize(
        ("scaling", "column"),
        [
            (FloatScale(), "scale"),
            (PowerOfTwo(), "shift"),
            (Thresholds(), "thresholds first last"),
        ],
    )
    def test_other_scalings(self, scaling, column):
        spec = replace(FIVE_BITS, rescaler=RescalerSpec(output=IntFormat(3), scaling=scaling))
        report = simulated(OVERFLOWING, spec, INPUTS)
        assert json.loads(json.dumps(report, allow_nan=False)) == report
        assert column in " ".join(text_of(report, print_simulation).split())

    def test_no_bound_where_registers_overflow(self):
        rescaler = replace(FIVE_BITS.rescaler, overflow=Overflow.WRAP)
        report = simulated(OVERFLOWING, replace(FIVE_BITS, rescaler=rescaler), INPUTS)
        assert report["comparison"]["bound_lsb"] is None
        text = " ".join(text_of(report, print_simulation).split())
        assert "none: a register may overflow" in text

    def test_an_output_that_differs(self):
        """3 / 0.7 is 4.29; two bits of multiplier make it 3 * 3 / 2, rounded up to 5."""
        coarse = FixedPoint(multiplier=IntFormat(2, signed=False))
        rescaler = RescalerSpec(output=IntFormat(8), scaling=coarse)
        layer = a_layer([[1, 0, 0]], output_step=0.7)
        report = simulated(layer, replace(FIVE_BITS, rescaler=rescaler), INPUTS)
        text = " ".join(text_of(report, print_simulation).split())
        assert "verdict within 1 LSB" in text
        assert "first difference output[0, 0]: 5 in integers, 4 in the reference" in text
        assert "outputs that differ 1 of 1 (100 %)" in text

    def test_a_bias_that_its_format_clips(self):
        spec = simple_datapath(input_signed=True, output_signed=True)
        spec = replace(spec, bias=replace(spec.bias, format=IntFormat(8)))
        layer = a_layer([[1.0]], bias=np.array([1e6]))
        report = simulated(layer, spec, np.ones((1, 1)))
        assert report["layer"]["n_clipped_bias"] == 1
        assert "bias clipped" in text_of(report, print_simulation)

    def test_plain_ascii_where_the_terminal_has_no_more(self):
        text_of(TestSimulation.report, print_simulation, encoding="ascii")
        assert "─" in text_of(TestSimulation.report, print_simulation)


class TestDescription:
    def test_a_datapath_alone(self):
        report = description_report(FIVE_BITS)
        assert list(report) == ["datapath"]
        assert "Layer" not in text_of(report, print_description)

    def test_with_a_layer_whose_step_sizes_are_missing(self):
        layer = a_layer([[1.0]], output_step=float("nan"))
        report = description_report(FIVE_BITS, layer)
        assert list(report) == ["datapath", "layer"]
        assert report["layer"]["output_step"] is None
        text = " ".join(text_of(report, print_description).split())
        assert "K x N 1 x 1" in text
        assert "output step size missing" in text

    def test_with_a_layer(self):
        report = description_report(FIVE_BITS, OVERFLOWING, CompiledLayer(OVERFLOWING, FIVE_BITS))
        assert list(report) == ["datapath", "layer", "factors"]
        assert "weight codes -3 .. 3" in " ".join(text_of(report, print_description).split())


class TestWords:
    def test_every_unit_of_a_rich_datapath(self):
        spec = DatapathSpec(
            input=FIVE_BITS.input,
            weight=replace(FIVE_BITS.weight, channel_axis=0, rounding=StochasticRounding(seed=7)),
            accumulator=AccumulatorSpec(
                stages=(
                    StageSpec(bits=9, fan_in=4, overflow=Overflow.SATURATE),
                    StageSpec(bits=12),
                ),
                bias=BiasPlacement.POST_ADD,
                zero_points=ZeroPointHandling.CENTER,
                order=(1, 0),
            ),
            rescaler=RescalerSpec(
                output=IntFormat(17),
                granularity=Granularity.PER_CHANNEL,
                input_offset=3,
                scaling=FixedPoint(
                    multiplier=IntFormat(15, signed=False),
                    reduced_from=IntFormat(31, signed=False),
                    left_register=RegisterSpec(bits=32),
                    first_shift=FirstShift(shift=15),
                ),
                intermediate=RegisterSpec(bits=17, overflow=Overflow.SATURATE),
                clamp_point=ClampPoint.BEFORE_ZERO_POINT,
            ),
        )
        rows = {row["unit"]: f"{row['format']}: {row['rule']}" for row in unit_rows(spec)}
        assert rows == {
            "input codes": "int3 [-4, 3]: v / s by divide_float64, rounded ties_even, clipped",
            "weight codes": "int3 [-4, 3]: v / s by divide_float64, rounded stochastically "
            "(xorshift32, seed 7, 32 bits), clipped; one step size a channel",
            "bias codes": "int32: v / s by divide_float64, rounded ties_away, clipped",
            "products": "exact: zero points are subtracted from the codes first; "
            "K in a stated order",
            "stage 0": "int9 [-256, 255]: adds 4 operands, one at a time; saturates",
            "stage 1": "int12 [-2048, 2047]: adds the bias last; adds all operands, "
            "one at a time; wraps",
            "input offset": "exact: subtracts 3 from the accumulator",
            "left shift": "int32: holds acc * 2**left; wraps",
            "first shift": "int32: holds acc * m / 2**15 rounded ties_pos; saturates",
            "rescaler": "uint15 [0, 32767]: the rest of the shift, rounded ties_pos; one "
            "multiplier and shift 0..62 a channel, folded by way of uint31",
            "intermediate": "int17: holds the rounded result; saturates",
            "output codes": "int17: clips to the limits less the zero point, then adds it",
        }

    def test_a_product_in_float(self):
        rescaler = replace(
            FIVE_BITS.rescaler, scaling=FixedPoint(product=ProductArithmetic.FLOAT64)
        )
        rules = [row["rule"] for row in unit_rows(replace(FIVE_BITS, rescaler=rescaler))]
        assert any(rule.startswith("acc * m / 2**shift in float64, rounded") for rule in rules)

    @given(datapath_specs())
    def test_every_datapath_fits_80_columns(self, spec):
        text = text_of(description_report(spec), print_description)
        assert max(map(len, text.splitlines())) <= 80
        assert "None" not in text
