"""Tests for the operands of multiply arrays: legal, and at the edges of registers, by counting."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, strategies as st

from drawing import drawn, share
from lsqsim import testing
from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, Overflow
from lsqsim.matmul_array import MatmulArray
from lsqsim.overflow import OverflowKind
from lsqsim.specs import (
    AccumulatorSpec,
    BiasPlacement,
    StageSpec,
    ZeroPointHandling,
)
from lsqsim.testing.spelling import spelled

INT4, INT8 = IntFormat(4), IntFormat(8)
UINT8 = IntFormat(8, signed=False)


CHAIN = AccumulatorSpec(stages=(StageSpec(bits=32),))
TWO_STAGES = AccumulatorSpec(
    stages=(
        StageSpec(bits=8, fan_in=4, overflow=Overflow.SATURATE),
        StageSpec(bits=12, overflow=Overflow.SATURATE),
    )
)


@cache
def of_two_stages():
    return drawn(testing.matmul_operands(TWO_STAGES, input_format=INT4, weight_format=INT4))


class TestMatmulOperands:
    @pytest.mark.parametrize(
        ("spec", "fmt"),
        [
            (CHAIN, INT8),
            (TWO_STAGES, INT4),
            (AccumulatorSpec(stages=CHAIN.stages, bias=BiasPlacement.POST_ADD), INT8),
            (AccumulatorSpec(stages=CHAIN.stages, zero_points=ZeroPointHandling.CENTER), INT8),
        ],
        ids=["chain", "two stages", "post-added", "centered"],
    )
    def test_registers_overflow_and_come_near_it(self, spec, fmt):
        unit = MatmulArray(spec, input_format=fmt, weight_format=fmt)
        results = [
            unit.accumulate(**operands, observe=True).overflow
            for operands in drawn(
                testing.matmul_operands(spec, input_format=fmt, weight_format=fmt)
            )
        ]
        top = spec.format.max
        assert share(results, lambda r: (r.kind != OverflowKind.NONE).any()) >= 0.15
        assert share(results, lambda r: (r.kind == OverflowKind.NONE).all()) >= 0.15
        assert share(results, lambda r: (abs(r.total) >= top - 1).any()) >= 0.1

    def test_every_stage_overflows_first_somewhere(self):
        unit = MatmulArray(TWO_STAGES, input_format=INT4, weight_format=INT4)
        firsts = [unit.accumulate(**o, observe=True).overflow.first_stage for o in of_two_stages()]
        assert share(firsts, lambda f: (f == 0).any()) >= 0.03
        assert share(firsts, lambda f: (f == 1).any()) >= 0.1

    @pytest.mark.parametrize(
        ("holds", "least"),
        [
            (lambda o: not o["x"].any(), 0.03),
            (lambda o: np.count_nonzero(o["x"]) == 1, 0.03),
            (lambda o: o["input_zero_point"] != 0, 0.2),
            (lambda o: o["weight_zero_point"].any(), 0.2),
            (lambda o: not o["weight_zero_point"].any(), 0.2),
            (lambda o: o["x"].shape[1] == 0, 0.01),
            (lambda o: o["x"].shape[1] > 4, 0.1),
        ],
    )
    def test_bias(self, holds, least):
        assert share(of_two_stages(), holds) >= least

    def test_hardware_without_bias_and_zero_points(self):
        strategy = testing.matmul_operands(
            CHAIN, input_format=UINT8, weight_format=INT8,
            bias=0, input_zero_point=0, weight_zero_point=0,
        )  # fmt: skip
        for operands in drawn(strategy, 100):
            assert not operands["bias"].any()
            assert operands["input_zero_point"] == 0
            assert not operands["weight_zero_point"].any()

    def test_sizes(self):
        sizes = testing.ArraySizes(m=2, n=(1, 2), k=(30, 200))
        strategy = testing.matmul_operands(
            CHAIN, input_format=INT8, weight_format=INT8, sizes=sizes
        )
        for operands in drawn(strategy, 30):
            (m, k), n = operands["x"].shape, len(operands["w"])
            assert m == 2
            assert 1 <= n <= 2
            assert 30 <= k <= 200

    def test_an_order_sets_k(self):
        spec = AccumulatorSpec(stages=CHAIN.stages, order=(2, 0, 1))
        strategy = testing.matmul_operands(spec, input_format=INT8, weight_format=INT8)
        assert {o["x"].shape[1] for o in drawn(strategy, 30)} == {3}

    def test_an_empty_batch(self):
        sizes = testing.ArraySizes(m=0)
        strategy = testing.matmul_operands(
            CHAIN, input_format=INT8, weight_format=INT8, sizes=sizes
        )
        unit = MatmulArray(CHAIN, input_format=INT8, weight_format=INT8)
        assert all(unit.accumulate(**o).registers.size == 0 for o in drawn(strategy, 30))

    def test_products_too_wide_for_k(self):
        wide = IntFormat(31)
        spec = AccumulatorSpec(stages=CHAIN.stages, order=(0, 1, 2))
        with pytest.raises(SpecError, match="allow K up to 2, and K is 3 at least"):
            testing.matmul_operands(spec, input_format=wide, weight_format=wide)

    @given(st.data())
    def test_any_array_takes_them(self, data):
        """Legal for formats up to the widest whose products fit, in any accumulator."""
        spec = data.draw(testing.accumulator_specs())
        formats = testing.int_formats(bits=(1, 31))
        x, w = data.draw(formats), data.draw(formats)
        operands = data.draw(testing.matmul_operands(spec, input_format=x, weight_format=w))
        MatmulArray(spec, input_format=x, weight_format=w).accumulate(**operands, observe=True)


class TestSpelled:
    @pytest.mark.parametrize("target", [*range(-40, 41), 1000, -1000, 127, -128])
    def test_sums_to_the_target(self, target):
        pairs = spelled(target, 20, (-8, 7), (-8, 7))
        assert sum(a * b for a, b in pairs) == target

    def test_stays_within_the_ranges(self):
        for target in (-500, 500):
            for a, b in spelled(target, 8, (0, 3), (-2, 1)):
                assert 0 <= a <= 3
                assert -2 <= b <= 1

    def test_nothing_to_multiply_with(self):
        assert spelled(5, 2, (0, 0), (0, 0)) == [(0, 0), (0, 0)]
