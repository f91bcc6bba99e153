"""Tests for lsqsim.coupling.hardware: the specification, its limits and its TOML."""

import pytest

from lsqsim.coupling.hardware import HardwareSpec
from lsqsim.coupling.layer_folding import rescaler_for
from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, Overflow, Rounding
from lsqsim.network.nodes import AddSpec
from lsqsim.specs import (
    AccumulatorSpec,
    ClampPoint,
    FixedPoint,
    FloatScale,
    Granularity,
    QuantizerSpec,
    RegisterSpec,
    RescalerSpec,
    StageSpec,
)

ACCUMULATOR = AccumulatorSpec(stages=(StageSpec(bits=16, overflow=Overflow.SATURATE),))
RICH = HardwareSpec(
    accumulator=ACCUMULATOR,
    rescaler=RescalerSpec(
        output=IntFormat(8),
        scaling=FloatScale(rounding=Rounding.TO_NEG),
        overflow=Overflow.WRAP,
        input_offset=3,
        intermediate=RegisterSpec(bits=40),
        clamp_point=ClampPoint.BEFORE_ZERO_POINT,
    ),
    add=AddSpec(factor=IntFormat(9)),
    bias=QuantizerSpec(format=IntFormat(16)),
    logits=IntFormat(20),
    guard_bits=0,
)


def test_round_trip():
    assert HardwareSpec.from_toml(RICH.to_toml()) == RICH
    assert HardwareSpec.from_toml(HardwareSpec(accumulator=ACCUMULATOR).to_toml()).guard_bits == 8


@pytest.mark.parametrize("per_channel", [False, True])
def test_the_rescaler_keeps_all_but_output_and_granularity(per_channel):
    got = rescaler_for(RICH, IntFormat(3), per_channel=per_channel)
    granularity = Granularity.PER_CHANNEL if per_channel else Granularity.PER_TENSOR
    assert got == RescalerSpec(
        output=IntFormat(3), scaling=RICH.rescaler.scaling, overflow=Overflow.WRAP, input_offset=3,
        intermediate=RegisterSpec(bits=40), clamp_point=ClampPoint.BEFORE_ZERO_POINT,
        granularity=granularity,
    )  # fmt: skip


def test_a_bias_that_the_rescaler_adds_is_the_channels():
    adding = RescalerSpec(
        output=IntFormat(8), scaling=FixedPoint(addend=IntFormat(50)),
        granularity=Granularity.PER_CHANNEL,
    )  # fmt: skip
    spec = HardwareSpec(accumulator=ACCUMULATOR, rescaler=adding)
    got = rescaler_for(spec, IntFormat(3), per_channel=False)
    assert got.granularity is Granularity.PER_CHANNEL


@pytest.mark.parametrize("bits", [-1, 17])
def test_guard_bits(bits):
    HardwareSpec(accumulator=ACCUMULATOR, guard_bits=16)
    with pytest.raises(SpecError, match=rf"guard_bits must be in 0\.\.16, got {bits}"):
        HardwareSpec(accumulator=ACCUMULATOR, guard_bits=bits)


def test_the_bias_has_no_axis():
    with pytest.raises(SpecError, match=r"takes its step sizes from input and weights: no channel"):
        HardwareSpec(
            accumulator=ACCUMULATOR, bias=QuantizerSpec(format=IntFormat(32), channel_axis=0)
        )
