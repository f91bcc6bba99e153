"""Tests for lsqsim.walk: additions on paper, and the kernels' registers and first overflows."""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, strategies as st

import oracle
from lsqsim.formats import IntFormat, Overflow
from lsqsim.matmul_array import MatmulArray
from lsqsim.specs import (
    AccumulatorSpec,
    BiasPlacement,
    FanIn,
    KOrder,
    StageSpec,
    ZeroPointHandling,
    entry_order,
)
from lsqsim.walk import Addition, stored, walk
from strategies import accumulator_specs, formats, overflows

CODES = IntFormat(4)
TWO_STAGES = (
    StageSpec(bits=5, fan_in=2, overflow=Overflow.SATURATE),
    StageSpec(bits=6, overflow=Overflow.WRAP),
)


@st.composite
def operands(draw):
    """(spec, x, w, bias, z_x, z_w) of one output."""
    k = draw(st.integers(0, 8))
    codes = st.integers(CODES.min, CODES.max)
    row = st.lists(codes, min_size=k, max_size=k)
    spec = draw(accumulator_specs(k=k, max_bits=draw(st.sampled_from([7, 12]))))
    return spec, draw(row), draw(row), draw(st.integers(-70, 70)), draw(codes), draw(codes)


def steps_of(case):
    spec, x, w, bias, z_x, z_w = case
    return list(walk(spec, x, w, bias, input_zero_point=z_x, weight_zero_point=z_w))


def first_overflow(steps):
    """(stage, K index) as a report has them."""
    return next(((s.stage, s.k_index) for s in steps if s.overflows), (-1, -2))


class TestWorkedExamples:
    def test_every_addition_in_time_order(self):
        """9 + 9 and 15 + 15 saturate 5 bits at 15; 30 - 15, and a bias of 20, wraps 6 bits at 35.

        A pair enters the outer register right after its second product; the last product, which
        has no partner, at the end.
        """
        spec = AccumulatorSpec(stages=TWO_STAGES, bias=BiasPlacement.POST_ADD)
        steps = list(walk(spec, [3, 3, 5, 5, -5], [3, 3, 3, 3, 3], 20))
        assert steps == [
            Addition(0, 0, 0, 0, 9, 9),
            Addition(0, 0, 1, 9, 9, 15),
            Addition(1, 0, 1, 0, 15, 15),
            Addition(0, 1, 2, 0, 15, 15),
            Addition(0, 1, 3, 15, 15, 15),
            Addition(1, 0, 3, 15, 15, 30),
            Addition(0, 2, 4, 0, -15, -15),
            Addition(1, 0, 4, 30, -15, 15),
            Addition(1, 0, 5, 15, 20, 35 - 64),
        ]
        assert [step.overflows for step in steps] == [0, 1, 0, 0, 1, 0, 0, 0, 1]

    def test_preload_comes_first(self):
        steps = list(walk(AccumulatorSpec(stages=TWO_STAGES), [1], [2], 40))
        assert steps == [
            Addition(1, 0, -1, 0, 40, -24),
            Addition(0, 0, 0, 0, 2, 2),
            Addition(1, 0, 0, -24, 2, -22),
        ]

    @pytest.mark.parametrize(
        ("zero_points", "addend", "product"),
        [(ZeroPointHandling.FOLD, 2 * 1 * -1 - 1 * 3 + 1 * 5, 6), (ZeroPointHandling.CENTER, 0, 6)],
    )
    def test_zero_points(self, zero_points, addend, product):
        """x = 3, 2 about 1 and w = 2, 1 about -1: centered 2 * 3 + 1 * 2 = 8, raw 6 + 2 + 0."""
        spec = AccumulatorSpec(stages=(StageSpec(bits=9),), zero_points=zero_points)
        steps = list(walk(spec, [3, 2], [2, 1], input_zero_point=1, weight_zero_point=-1))
        assert [step.operand for step in steps] == [addend, product, 2]
        assert steps[-1].after == 8

    @pytest.mark.parametrize(
        ("order", "expected"),
        [(KOrder.NATURAL, [0, 1, 2]), (KOrder.REVERSED, [2, 1, 0]), ((1, 2, 0), [1, 2, 0])],
    )
    def test_order(self, order, expected):
        assert list(entry_order(order, 3)) == expected
        spec = AccumulatorSpec(stages=(StageSpec(bits=9),), order=order)
        steps = list(walk(spec, [1, 2, 3], [1, 1, 1]))[1:]
        assert [step.k_index for step in steps] == expected
        assert [step.operand for step in steps] == [k + 1 for k in expected]

    @pytest.mark.parametrize(
        ("bias", "k_index"), [(BiasPlacement.PRELOAD, -1), (BiasPlacement.POST_ADD, 0)]
    )
    def test_no_products(self, bias, k_index):
        steps = list(walk(AccumulatorSpec(stages=TWO_STAGES, bias=bias), [], [], 7))
        assert steps == [Addition(1, 0, k_index, 0, 7, 7)]

    @pytest.mark.parametrize(
        ("inner_bits", "outer_bits", "x", "expected"),
        [
            (4, 3, [3], (0, 0)),  # 9 overflows 4 bits, and the -7 it leaves overflows 3
            (5, 3, [3], (1, 0)),  # 9 fits 5 bits
            (5, 4, [1, 3, 3], (1, 1)),  # 3 + 9 in the outer register, the next comes later
            (4, 4, [1, 1, 3], (0, 2)),  # -7 after 6 would fit, but 9 did not fit 4 bits
        ],
    )
    def test_inner_stage_comes_first(self, inner_bits, outer_bits, x, expected):
        """Of two overflows at one instant, the first is the inner stage's; else time decides."""
        stages = StageSpec(bits=inner_bits, fan_in=1), StageSpec(bits=outer_bits)
        spec, w = AccumulatorSpec(stages=stages), [3] * len(x)
        assert first_overflow(list(walk(spec, x, w))) == expected
        array = MatmulArray(spec, input_format=CODES, weight_format=CODES)
        report = array.accumulate(np.array([x]), np.array([w]), observe=True).overflow
        assert (report.first_stage.item(), report.first_k.item()) == expected


class TestAgainstOracle:
    @given(operands())
    def test_reduction(self, case):
        """Python ints stage by stage, without a clock, end and overflow first at the same place."""
        spec, x, w, bias, z_x, z_w = case
        expected, steps = oracle.reduce(x, w, bias, spec, z_x, z_w), steps_of(case)
        assert steps[-1].after == expected.register
        stage, k = expected.first_stage, expected.first_k
        assert first_overflow(steps) == ((-1, -2) if stage is None else (stage, k))

    @given(st.integers(-(1 << 66), 1 << 66), formats(), overflows)
    def test_stored(self, value, fmt, overflow):
        if not fmt.narrow:
            assert stored(value, fmt, overflow) == oracle.store_format(value, fmt, overflow)


class TestLaws:
    @given(operands())
    def test_kernels_hold_the_same(self, case):
        """The last register, the first overflow and the exact total are those of the array."""
        spec, x, w, bias, z_x, z_w = case
        array = MatmulArray(spec, input_format=CODES, weight_format=CODES)
        shape = (1, len(x))
        held = array.accumulate(
            np.reshape(x, shape).astype(int), np.reshape(w, shape).astype(int), np.array([bias]),
            input_zero_point=z_x, weight_zero_point=z_w, observe=True, trace=True,
        )  # fmt: skip
        steps = steps_of(case)
        assert steps[-1].after == held.registers.item()
        found = held.overflow.first_stage.item(), held.overflow.first_k.item()
        assert first_overflow(steps) == found
        if spec.bias is BiasPlacement.POST_ADD:
            steps.pop()  # the trace has the register before it
        last = len(spec.stages) - 1
        for level, results in enumerate(held.stages):
            mine = [step for step in steps if step.stage == level]
            tiles = [[*tile][-1].after for _, tile in groupby(mine, key=lambda step: step.tile)]
            assert results.reshape(-1).tolist() == (tiles or ([0] if level == last else []))

    @given(operands())
    def test_additions_follow_each_other(self, case):
        """A register goes on from what it held, starts at 0, and holds what its format holds."""
        spec = case[0]
        held: dict[tuple[int, int], int] = {}
        for step in steps_of(case):
            assert step.before == held.get((step.stage, step.tile), 0)
            stage = spec.stages[step.stage]
            assert step.after == oracle.store(
                step.before + step.operand, stage.bits, stage.overflow
            )
            held[step.stage, step.tile] = step.after

    @given(operands())
    def test_results_are_the_operands_of_the_next_stage(self, case):
        """In order: what a stage's tiles end with, and what the next stage adds."""
        steps, last = steps_of(case), len(case[0].stages) - 1
        steps = steps[1:] if case[0].bias is BiasPlacement.PRELOAD else steps[:-1]
        for level in range(last):
            mine = [step for step in steps if step.stage == level]
            results = [[*tile][-1].after for _, tile in groupby(mine, key=lambda step: step.tile)]
            assert results == [step.operand for step in steps if step.stage == level + 1]

    @given(operands())
    def test_every_product_enters_once(self, case):
        spec, x, *_ = case
        entered = [s.k_index for s in steps_of(case) if s.stage == 0 and 0 <= s.k_index < len(x)]
        assert entered == list(entry_order(spec.order, len(x)))

    @given(operands())
    def test_wide_registers_hold_the_total(self, case):
        spec, x, w, bias, z_x, z_w = case
        wide = AccumulatorSpec(
            stages=(StageSpec(bits=40, fan_in=3), StageSpec(bits=40, fan_in=FanIn.ALL)),
            bias=spec.bias, zero_points=spec.zero_points, order=spec.order,
        )  # fmt: skip
        steps = steps_of((wide, x, w, bias, z_x, z_w))
        total = sum((a - z_x) * (b - z_w) for a, b in zip(x, w, strict=True)) + bias
        assert steps[-1].after == total
        assert not any(step.overflows for step in steps)


class TestRefusals:
    def test_operands_of_two_lengths(self):
        with pytest.raises(ValueError, match="shorter than argument 1"):
            list(walk(AccumulatorSpec(stages=TWO_STAGES), [1, 2], [1]))
