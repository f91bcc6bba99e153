"""Tests for lsqsim.specs.datapath."""

from dataclasses import replace

import pytest

from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, Overflow, Rounding
from lsqsim.specs import (
    DatapathSpec,
    FanIn,
    FixedPoint,
    Granularity,
    QuantizerSpec,
    simple_datapath,
)

INT8, UINT8 = IntFormat(8), IntFormat(8, signed=False)


class TestWorkedExamples:
    def test_simple(self):
        spec = simple_datapath()
        assert (spec.input.format, spec.weight.format) == (UINT8, INT8)
        assert spec.rescaler.output == UINT8
        assert spec.accumulator.format == IntFormat(32)
        (stage,) = spec.accumulator.stages
        assert (stage.fan_in, stage.overflow) == (FanIn.ALL, Overflow.WRAP)
        assert spec.bias == QuantizerSpec(format=IntFormat(32), rounding=Rounding.TIES_AWAY)

    def test_simple_with_everything_else(self):
        spec = simple_datapath(
            weight_bits=2, activation_bits=4, acc_bits=15, overflow=Overflow.SATURATE,
            output_bits=3, input_signed=True, output_signed=True, per_channel=True,
        )  # fmt: skip
        assert spec.weight == QuantizerSpec(format=IntFormat(2), channel_axis=0)
        assert spec.input == QuantizerSpec(format=IntFormat(4))
        assert spec.rescaler.output == IntFormat(3)
        assert spec.rescaler.granularity is Granularity.PER_CHANNEL
        (stage,) = spec.accumulator.stages
        assert (stage.bits, stage.overflow) == (15, Overflow.SATURATE)

    @pytest.mark.parametrize(("acc_bits", "multiplier_bits"), [(32, 31), (33, 15)])
    def test_wide_accumulators_have_a_narrow_multiplier(self, acc_bits, multiplier_bits):
        scaling = simple_datapath(acc_bits=acc_bits).rescaler.scaling
        assert scaling == FixedPoint(multiplier=IntFormat(multiplier_bits, signed=False))


class TestRefusals:
    def test_input_step_per_channel(self):
        spec = simple_datapath()
        message = "an input step size per channel can't leave the sum over channels"
        with pytest.raises(SpecError, match=message):
            replace(spec, input=replace(spec.input, channel_axis=1))

    def test_weight_axis(self):
        spec = simple_datapath(per_channel=True)
        with pytest.raises(SpecError, match=r"an output channel \(axis 0\), got channel_axis 1"):
            replace(spec, weight=replace(spec.weight, channel_axis=1))

    def test_per_channel_weights_want_per_channel_factors(self):
        spec = simple_datapath(per_channel=True)
        replace(spec, weight=replace(spec.weight, channel_axis=None))
        rescaler = replace(spec.rescaler, granularity=Granularity.PER_TENSOR)
        with pytest.raises(SpecError, match=r"set rescaler\.granularity to per_channel"):
            replace(spec, rescaler=rescaler)

    def test_bias_axis(self):
        spec = simple_datapath()
        with pytest.raises(SpecError, match="the bias takes its step sizes from input and weights"):
            replace(spec, bias=replace(spec.bias, channel_axis=0))

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ({"weight_bits": 0}, r"bits must be in 1\.\.63, got 0"),
            ({"activation_bits": 64}, r"bits must be in 1\.\.63, got 64"),
            ({"output_bits": 0}, r"bits must be in 1\.\.63, got 0"),
            ({"acc_bits": 1}, r"register bits must be in 2\.\.63, got 1"),
            ({"acc_bits": 64}, r"register bits must be in 2\.\.63, got 64"),
        ],
    )
    def test_widths(self, option, message):
        with pytest.raises(SpecError, match=message):
            simple_datapath(**option)


class TestGolden:
    def test_simple(self):
        text = """\
[input]
format = "uint4"
rounding = "ties_even"
arithmetic = "divide_float64"

[weight]
format = "int4"
rounding = "ties_even"
arithmetic = "divide_float64"
channel_axis = 0

[accumulator]
stages = [
    { bits = 20, fan_in = "all", overflow = "wrap" },
]
bias = "preload"
zero_points = "fold"
order = "natural"

[rescaler]
output = "uint4"
overflow = "saturate"
granularity = "per_channel"
input_offset = 0
clamp_point = "after_zero_point"

[rescaler.scaling]
kind = "fixed_point"
multiplier = "uint31"
min_shift = 0
max_shift = 62
rounding = "ties_pos"
product = "exact"

[bias]
format = "int32"
rounding = "ties_away"
arithmetic = "divide_float64"
"""
        spec = simple_datapath(weight_bits=4, activation_bits=4, acc_bits=20, per_channel=True)
        assert spec.to_toml() == text
        assert DatapathSpec.from_toml(text) == spec
