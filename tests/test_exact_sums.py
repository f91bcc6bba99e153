"""Sums that need no walk through the registers, against the walk and at their own limits."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lsqsim import IntFormat, Overflow, StageSpec
from lsqsim.array_operands import ArrayOperands
from lsqsim.exact_sums import always_exact, exact_totals, magnitude_sums, wraps_throughout
from lsqsim.matmul_array import MatmulArray
from lsqsim.overflow import OverflowKind
from lsqsim.specs import AccumulatorSpec, BiasPlacement


def operands(x, w, addend):
    x, w = np.array(x, np.int64), np.array(w, np.int64)
    return ArrayOperands(
        x=x, w=w, addend=np.array(addend, np.int64), order=np.arange(x.shape[1], dtype=np.int64)
    )


def spec(*stages, **fields):
    return AccumulatorSpec(stages=tuple(StageSpec(**stage) for stage in stages), **fields)


class TestMagnitudeSums:
    def test_is_the_sum_of_weight_magnitudes_times_the_largest_input_plus_the_addend(self):
        taken = operands([[3, -5], [2, 4]], [[1, -2], [0, 0]], [[-7, 6]])
        assert magnitude_sums(taken).tolist() == [(1 + 2) * 5 + 7, 6]

    def test_takes_the_largest_addend_of_all_rows(self):
        assert magnitude_sums(operands([[1], [1]], [[1]], [[2], [-9]])).tolist() == [10]

    @pytest.mark.parametrize(("m", "k"), [(0, 3), (2, 0), (0, 0)])
    def test_of_nothing_is_the_addend(self, m, k):
        taken = operands(np.zeros((m, k)), np.zeros((1, k)), [[-4]])
        assert magnitude_sums(taken).tolist() == [4]


class TestAlwaysExact:
    @pytest.mark.parametrize(("magnitude", "expected"), [(127, True), (128, False)])
    def test_holds_up_to_the_largest_code_of_the_narrowest_stage(self, magnitude, expected):
        stages = spec({"bits": 8, "fan_in": 4}, {"bits": 16})
        assert always_exact(stages, np.array([magnitude])).tolist() == [expected]


class TestWrapsThroughout:
    @pytest.mark.parametrize(
        ("stages", "expected"),
        [
            ([{"bits": 8}], True),
            ([{"bits": 8, "overflow": Overflow.SATURATE}], False),
            ([{"bits": 8, "fan_in": 4}, {"bits": 8}], True),
            ([{"bits": 9, "fan_in": 4}, {"bits": 8}], True),
            ([{"bits": 7, "fan_in": 4}, {"bits": 8}], False),
            ([{"bits": 9, "fan_in": 4, "overflow": Overflow.SATURATE}, {"bits": 8}], False),
            ([{"bits": 9, "fan_in": 4}, {"bits": 8, "overflow": Overflow.SATURATE}], False),
        ],
    )
    def test_needs_every_stage_to_wrap_and_none_narrower_than_the_last(self, stages, expected):
        assert wraps_throughout(spec(*stages)) is expected


class TestExactTotals:
    @pytest.mark.parametrize("limit", [1 << 24, 1 << 53])
    @pytest.mark.parametrize("sign", [1, -1])
    @pytest.mark.parametrize("beyond", [-1, 0, 1])
    def test_are_exact_on_both_sides_of_each_limit(self, limit, sign, beyond):
        # The odd neighbor of a power of two is what the narrower type would round away.
        total = sign * (limit + beyond)
        half = limit // 2
        taken = operands([[1, 1]], [[sign * half, total - sign * half]], [[0]])
        found = exact_totals(taken, magnitude_sums(taken))
        if limit + beyond > 1 << 53:
            assert found is None
        else:
            assert found is not None
            assert found.tolist() == [[total]]

    def test_of_magnitudes_that_cancel_are_taken_wide(self):
        # The total is small, but a partial sum passes 2**24.
        taken = operands([[1, 1, 1]], [[1 << 24, 1, -(1 << 24)]], [[0]])
        found = exact_totals(taken, magnitude_sums(taken))
        assert found is not None
        assert found.tolist() == [[1]]


@st.composite
def reductions(draw):
    """An array whose registers hold some channels' sums and not others', and codes for it."""
    k, n = draw(st.integers(0, 9)), draw(st.integers(1, 4))
    overflow = st.sampled_from(Overflow)
    stages = [{"bits": draw(st.integers(4, 12)), "overflow": draw(overflow)}]
    if draw(st.booleans()):
        inner = {"bits": draw(st.integers(4, 12)), "fan_in": draw(st.integers(1, 4))}
        stages.insert(0, inner | {"overflow": draw(overflow)})
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    reach = rng.integers(0, 8, n)
    w = np.array([rng.integers(-r, r + 1, k) for r in reach], np.int64).reshape(n, k)
    x = rng.integers(-8, 8, (3, k))
    bias = rng.integers(-9, 10, n)
    return spec(*stages, bias=draw(st.sampled_from(BiasPlacement))), x, w, bias


class TestInTheArray:
    @settings(deadline=None)
    @given(reductions())
    def test_registers_and_reports_are_those_of_the_walk(self, case):
        """The array's answer equals what its own walk through every register says."""
        accumulator, x, w, bias = case
        array = MatmulArray(accumulator, input_format=IntFormat(4), weight_format=IntFormat(4))
        taken = array.ports.take(x, w, bias, 0, 0)
        walked = array._observed(taken)
        assert np.array_equal(array.reduce(taken).registers, walked.registers)
        assert np.array_equal(array._plain(taken).registers, walked.registers)
        seen = array.reduce(taken, observe=True)
        assert np.array_equal(seen.registers, walked.registers)
        for field in ("total", "kind", "first_stage", "first_k"):
            assert np.array_equal(getattr(seen.overflow, field), getattr(walked.overflow, field))
            assert getattr(seen.overflow, field).dtype == getattr(walked.overflow, field).dtype

    def test_totals_beyond_float64_are_walked(self):
        array = MatmulArray(
            spec({"bits": 63}), input_format=IntFormat(32), weight_format=IntFormat(31)
        )
        x, w = np.array([[-(1 << 31), 1]]), np.array([[-(1 << 30), 1]])
        found = array.accumulate(x, w, observe=True)
        assert found.registers.tolist() == [[(1 << 61) + 1]]
        assert found.overflow is not None
        assert found.overflow.kind.tolist() == [[OverflowKind.NONE]]

    def test_wrapping_walks_only_when_observed(self, monkeypatch):
        """A wrapped total needs no walk; where it overflowed does."""
        array = MatmulArray(
            spec({"bits": 4}), input_format=IntFormat(4), weight_format=IntFormat(4)
        )
        x = w = np.array([[7, 7]])
        monkeypatch.setattr(array, "_plain", lambda _: pytest.fail("it walked"))
        assert array.accumulate(x, w).registers.tolist() == [[98 - 96]]
        seen = array.accumulate(x, w, observe=True)
        assert seen.overflow is not None
        assert seen.overflow.first_k.tolist() == [[0]]
