"""Edges of the width checks that seeded faults once survived."""

import numpy as np
import pytest

from lsqsim import matmul_array
from lsqsim.errors import WidthError
from lsqsim.folding import FixedPointParameters
from lsqsim.formats import IntFormat
from lsqsim.matmul_array import MatmulArray
from lsqsim.rescaler import Rescaler
from lsqsim.specs import (
    AccumulatorSpec,
    FixedPoint,
    Granularity,
    RegisterSpec,
    RescalerSpec,
    StageSpec,
    ZeroPointHandling,
)

WIDE_OUTPUT = IntFormat(63, signed=False)
TOP_ZERO_POINT = (1 << 63) - 1 - (1 << 61)


def test_centered_operands_bound_the_total():
    """7 * 2**31 * 2**28 fits 62 bits; with raw codes of up to 2**32 it would not."""
    spec = AccumulatorSpec(stages=(StageSpec(bits=63),), zero_points=ZeroPointHandling.CENTER)
    array = MatmulArray(spec, input_format=IntFormat(32, signed=False), weight_format=IntFormat(30))
    x, w = np.zeros((1, 7), np.int64), np.full((1, 7), 1 << 28)
    got = array.accumulate(x, w, input_zero_point=1 << 31, observe=True)
    assert got.registers.tolist() == [[-7 << 59]]


def test_the_widest_channel_decides():
    """One of two channels could pass 63 bits together with the zero point."""
    scaling = FixedPoint(max_shift=40)
    spec = RescalerSpec(output=WIDE_OUTPUT, scaling=scaling, granularity=Granularity.PER_CHANNEL)
    m = (1 << 31) - 1
    narrow = FixedPointParameters(multiplier=np.array([m, m]), shift=np.array([40, 40]))
    wide = FixedPointParameters(multiplier=np.array([m, m]), shift=np.array([40, 0]))
    Rescaler(spec, narrow, acc_format=IntFormat(32), zero_point=TOP_ZERO_POINT)
    with pytest.raises(WidthError, match="result with its zero point could pass 63 bits"):
        Rescaler(spec, wide, acc_format=IntFormat(32), zero_point=TOP_ZERO_POINT)


def test_a_left_register_narrows_what_is_multiplied():
    """A 40-bit accumulator is legal once a 32-bit register holds it; it wraps there."""
    scaling = FixedPoint(left_register=RegisterSpec(bits=32))
    parameters = FixedPointParameters(multiplier=np.array([(1 << 31) - 1]), shift=np.array([31]))
    unit = Rescaler(
        RescalerSpec(output=IntFormat(40), scaling=scaling), parameters, acc_format=IntFormat(40)
    )
    expected = [-(1 << 31) + 1, 5, 0]
    assert unit.rescale(np.array([1 << 31, 5, 1 << 32])).tolist() == expected
    bare = RescalerSpec(output=IntFormat(40))
    with pytest.raises(WidthError, match="product could pass 63 bits"):
        Rescaler(bare, parameters, acc_format=IntFormat(40))


def test_every_row_is_traced_in_blocks_of_one(monkeypatch):
    monkeypatch.setattr(matmul_array, "_TRACE_BLOCK_ELEMENTS", 1)
    fmt = IntFormat(8)
    stages = (StageSpec(bits=8, fan_in=2), StageSpec(bits=20))
    array = MatmulArray(AccumulatorSpec(stages=stages), input_format=fmt, weight_format=fmt)
    x = np.arange(5)[:, None]
    traced = array.accumulate(x, np.array([[1], [2]]), trace=True)
    assert traced.stages is not None
    assert traced.stages[0][:, :, 0].tolist() == [[v, 2 * v] for v in range(5)]
    assert (traced.stages[1][:, :, 0] == traced.registers).all()
