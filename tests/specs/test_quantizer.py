"""Tests for lsqsim.specs.quantizer."""

import pytest

from lsqsim.errors import SpecError
from lsqsim.formats import Generator, IntFormat, Rounding, StochasticRounding
from lsqsim.specs import QuantizerSpec, StepArithmetic

INT8 = IntFormat(8)


class TestWorkedExamples:
    def test_defaults(self):
        spec = QuantizerSpec(format=INT8)
        assert spec.rounding is Rounding.TIES_EVEN
        assert spec.arithmetic is StepArithmetic.DIVIDE_FLOAT64
        assert spec.channel_axis is None

    def test_names_are_those_of_the_text(self):
        names = [str(arithmetic) for arithmetic in StepArithmetic]
        assert names == ["divide_float64", "divide_float32", "reciprocal_float32"]


class TestRefusals:
    @pytest.mark.parametrize("axis", [None, 0, 3])
    def test_legal_axes(self, axis):
        assert QuantizerSpec(format=INT8, channel_axis=axis).channel_axis == axis

    def test_axis(self):
        with pytest.raises(SpecError, match="channel_axis must be 0 or more, got -1"):
            QuantizerSpec(format=INT8, channel_axis=-1)


class TestGolden:
    def test_plain(self):
        text = """\
format = "uint4"
rounding = "ties_even"
arithmetic = "divide_float64"
"""
        assert QuantizerSpec(format=IntFormat(4, signed=False)).to_toml() == text

    def test_full(self):
        spec = QuantizerSpec(
            format=IntFormat(8, narrow=True),
            rounding=StochasticRounding(generator=Generator.SPLITMIX64, seed=7, bits=16),
            arithmetic=StepArithmetic.RECIPROCAL_FLOAT32,
            channel_axis=0,
        )
        text = """\
format = "int8-narrow"
arithmetic = "reciprocal_float32"
channel_axis = 0

[rounding]
generator = "splitmix64"
seed = 7
bits = 16
"""
        assert spec.to_toml() == text
        assert QuantizerSpec.from_toml(text) == spec
