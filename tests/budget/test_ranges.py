"""Tests for lsqsim.budget.ranges: against all inputs of all small layers, and the known traps."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lsqsim.budget.operands import range_operands
from lsqsim.budget.ranges import Verdict, exact_ranges, stage_verdicts
from lsqsim.formats import Overflow
from lsqsim.specs import (
    AccumulatorSpec,
    BiasPlacement,
    FanIn,
    KOrder,
    StageSpec,
    ZeroPointHandling,
)
from oracle.ranges import all_inputs, try_all

WIDE = 40
FOLD, CENTER = ZeroPointHandling.FOLD, ZeroPointHandling.CENTER
FAN_INS = [1, 2, 3, FanIn.ALL]
INNER = [fans for depth in range(3) for fans in product(FAN_INS, repeat=depth)]
RANGES = [(0, 3), (-2, 1), (1, 3), (-3, -1), (2, 2)]
"""With 0 and without, of one sign and of both, and of one code."""
ZERO_POINTS = [(FOLD, 0, 0), (FOLD, 1, 0), (FOLD, 1, -2), (FOLD, -2, 1), (CENTER, 1, -1)]


def stages_of(fan_ins, bits=WIDE, overflow=Overflow.WRAP):
    return tuple(
        StageSpec(bits=bits, fan_in=fan, overflow=overflow) for fan in (*fan_ins, FanIn.ALL)
    )


def all_weights(k, low, high):
    """Every weight vector, (count, k)."""
    return all_inputs([(low, high)] * k)


def biases(n):
    """Some codes of both signs, and 0."""
    return np.arange(n) * 5 % 19 - 9


def propagated(spec, w, ends, bias, z_x=0, z_w=0):
    return range_operands(
        spec, w, bias=bias, input_low=ends[0], input_high=ends[1], input_zero_point=z_x,
        weight_zero_point=z_w,
    )  # fmt: skip


def check_equal(ranges, tried):
    """Both ends of every range are those that some input reaches."""
    for level in range(len(tried.sums)):
        assert (ranges.prefix_low[:, level] == tried.sums[level][0]).all()
        assert (ranges.prefix_high[:, level] == tried.sums[level][1]).all()
        assert (ranges.result_low[:, level] == tried.results[level][0]).all()
        assert (ranges.result_high[:, level] == tried.results[level][1]).all()


def one_chain(w, ends, bias=0, placement=BiasPlacement.PRELOAD):
    """Ranges of one row of weights in one register."""
    spec = AccumulatorSpec(stages=stages_of(()), bias=placement)
    return exact_ranges(propagated(spec, np.array([w], np.int64), ends, np.array([bias])))


class TestWorkedExamples:
    def test_two_tiles_and_a_bias(self):
        """3 and -2, then 1, with inputs 0..3: tiles -6..9 and 0..3; from 5 on, -1..17."""
        spec = AccumulatorSpec(stages=stages_of((2,)))
        ranges = exact_ranges(propagated(spec, np.array([[3, -2, 1]]), (0, 3), np.array([5])))
        assert ranges.prefix_low.tolist() == ranges.result_low.tolist() == [[-6, -1]]
        assert ranges.prefix_high.tolist() == ranges.result_high.tolist() == [[9, 17]]
        assert ranges.saturate_bits.tolist() == [[5, 6]]

    def test_a_bias_added_last_leaves_prefixes_uncovered(self):
        """7 * 1 and then -7: the total needs 2 bits, the sum before it 4."""
        ranges = one_chain([7], (1, 1), -7, BiasPlacement.POST_ADD)
        assert (ranges.wrap_bits.item(), ranges.saturate_bits.item()) == (2, 4)

    def test_a_range_without_zero_leaves_prefixes_uncovered(self):
        """5 - 5 is 0 in the end; on the way it is 5."""
        ranges = one_chain([5, -5], (1, 1))
        assert (ranges.wrap_bits.item(), ranges.saturate_bits.item()) == (2, 4)

    def test_a_folded_zero_point_meets_its_products(self):
        """(w - z_w) x with w = z_w: the total is 0 whatever x is, the preload is not."""
        spec = AccumulatorSpec(stages=stages_of(()))
        ranges = exact_ranges(propagated(spec, np.array([[3, 3]]), (0, 5), None, z_w=3))
        assert (ranges.prefix_low.item(), ranges.prefix_high.item()) == (-30, 0)
        assert (ranges.result_low.item(), ranges.result_high.item()) == (0, 0)

    def test_without_products_the_bias_is_all(self):
        for placement in BiasPlacement:
            spec = AccumulatorSpec(stages=stages_of((2,)), bias=placement)
            operands = propagated(spec, np.empty((1, 0), int), (0, 3), np.array([-9]))
            ranges = exact_ranges(operands)
            assert ranges.prefix_low.tolist() == ranges.result_high.tolist() == [[0, -9]]
            assert ranges.saturate_bits.tolist() == [[2, 5]]


class TestPublishedTraps:
    """Widths that closed forms get wrong; shared/datapath.md section 4."""

    @pytest.mark.parametrize(
        ("w", "k", "high", "bits"),
        [
            (1, 2, 255, 10),  # A2Q+ backwards says 9
            (-8, 2304, 15, 20),  # the rule of thumb says 19
            (7, 2304, 15, 19),
            (-7, 2304, 15, 19),
            (-2, 2304, 3, 15),
            (-4, 2304, 7, 17),
            (-128, 2304, 255, 28),
        ],
    )
    def test_worst_codes(self, w, k, high, bits):
        ranges = one_chain([w] * k, (0, high))
        assert ranges.saturate_bits.item() == ranges.wrap_bits.item() == bits

    @pytest.mark.parametrize("power", range(1, 61))
    def test_powers_of_two(self, power):
        """-2**(P-1) is the last that P bits hold below, 2**(P-1) - 1 above."""
        for value, bits in ((-(2**power), 1), (2**power - 1, 1), (2**power, 2), (~(2**power), 2)):
            ranges = one_chain([], (0, 0), value)
            assert ranges.saturate_bits.item() == ranges.wrap_bits.item() == power + bits

    @pytest.mark.parametrize(
        ("placement", "ends"), [(BiasPlacement.POST_ADD, (0, 15)), (BiasPlacement.PRELOAD, (3, 15))]
    )
    def test_the_total_alone_is_often_not_enough(self, placement, ends):
        """Bias added last, or no 0 among inputs: prefixes reach past it in many random layers."""
        rng = np.random.default_rng(3)
        w, bias = rng.integers(-8, 8, (300, 16)), rng.integers(-900, 900, 300)
        spec = AccumulatorSpec(stages=stages_of(()), bias=placement)
        ranges = exact_ranges(propagated(spec, w, ends, bias))
        low, high = ranges.prefix_low < ranges.result_low, ranges.prefix_high > ranges.result_high
        assert 100 < int((low | high).sum()) <= 300
        assert (ranges.saturate_bits > ranges.wrap_bits).any()

    def test_the_total_is_enough_with_zero_in_range_and_preload(self):
        rng = np.random.default_rng(3)
        w, bias = rng.integers(-8, 8, (600, 16)), rng.integers(-900, 900, 600)
        spec = AccumulatorSpec(stages=stages_of(()))
        ranges = exact_ranges(propagated(spec, w, (0, 15), bias))
        assert (ranges.saturate_bits == ranges.wrap_bits).all()


@pytest.mark.slow
class TestExhaustive:
    """Every input of every small layer, for every list of up to three stages."""

    @pytest.mark.parametrize("placement", BiasPlacement)
    @pytest.mark.parametrize("ends", RANGES)
    @pytest.mark.parametrize("zeros", ZERO_POINTS)
    def test_ranges_are_exact(self, placement, ends, zeros):
        """2-bit weights, K = 0 .. 3: both ends of sums and of results are reached."""
        handling, z_x, z_w = zeros
        for k, fan_ins in product(range(4), INNER):
            spec = AccumulatorSpec(
                stages=stages_of(fan_ins), bias=placement, zero_points=handling,
                order=(1, 2, 0) if k == 3 else KOrder.REVERSED,
            )  # fmt: skip
            w = all_weights(k, -2, 1)
            x, bias = all_inputs([ends] * k), biases(len(w))
            tried = try_all(x, w, bias, spec, z_x, z_w)
            check_equal(exact_ranges(propagated(spec, w, ends, bias, z_x, z_w)), tried)
            assert not tried.is_wrong.any()

    @pytest.mark.parametrize("placement", BiasPlacement)
    @pytest.mark.parametrize("fan_ins", INNER)
    def test_four_products(self, placement, fan_ins):
        """All 2-bit weights and inputs, then some of 3 bits."""
        spec = AccumulatorSpec(stages=stages_of(fan_ins), bias=placement)
        w, wider = all_weights(4, -2, 1), all_weights(4, -4, 3)[5::97]
        for weights, ends, z_w in ((w, (0, 3), 0), (w, (1, 2), 1), (wider, (-4, -1), -3)):
            x, bias = all_inputs([ends] * 4), biases(len(weights))
            tried = try_all(x, weights, bias, spec, 1, z_w)
            check_equal(exact_ranges(propagated(spec, weights, ends, bias, 1, z_w)), tried)

    @pytest.mark.parametrize("ends", [(0, 7), (-4, 3), (1, 7), (-8, -3)])
    @pytest.mark.parametrize("placement", BiasPlacement)
    def test_three_bits(self, ends, placement):
        """All 3-bit weights and inputs, K = 1 and 2, one stage to three."""
        for k, fan_ins, z_w in product((1, 2), [(), (1,), (2,), (1, 2)], (0, -4)):
            spec = AccumulatorSpec(stages=stages_of(fan_ins), bias=placement)
            w = all_weights(k, -4, 3)
            x, bias = all_inputs([ends] * k), biases(len(w))
            tried = try_all(x, w, bias, spec, -1, z_w)
            check_equal(exact_ranges(propagated(spec, w, ends, bias, -1, z_w)), tried)

    @pytest.mark.parametrize("placement", BiasPlacement)
    @pytest.mark.parametrize("ends", RANGES)
    @pytest.mark.parametrize(
        "fan_ins", [(), (1,), (2,), (3,), (FanIn.ALL,), (2, 2), (1, 2), (3, 1), (2, FanIn.ALL)]
    )
    def test_widths_are_tight(self, placement, ends, fan_ins):
        """With P bits no input is lost, with P - 1 one of each channel is."""
        k, z_x, z_w = 3, 1, 1
        spec = AccumulatorSpec(stages=stages_of(fan_ins), bias=placement)
        w = all_weights(k, -2, 1)
        x, bias = all_inputs([ends] * k), biases(len(w))
        ranges = exact_ranges(propagated(spec, w, ends, bias, z_x, z_w))
        exact = try_all(x, w, bias, spec, z_x, z_w)
        for level, overflow in product(range(len(spec.stages)), Overflow):
            wraps = overflow is Overflow.WRAP
            widths = (ranges.wrap_bits if wraps else ranges.saturate_bits)[:, level]
            for bits in range(2, int(widths.max()) + 1):
                stages = list(spec.stages)
                stages[level] = StageSpec(bits=bits, fan_in=stages[level].fan_in, overflow=overflow)
                tried = try_all(x, w, bias, replace(spec, stages=tuple(stages)), z_x, z_w)
                lost = _wrong(tried, exact, level) if wraps else tried.overflows[level]
                assert (lost == (widths > bits)).all()


def _wrong(tried, exact, level):
    """Whether some input of a channel has another result in a stage than with wide registers."""
    pairs = zip(tried.values[level], exact.values[level], strict=True)
    return np.any([(a != b).any(axis=1) for a, b in pairs], axis=0)


@st.composite
def arrays(draw):
    """A small array with narrow registers, and all its operands."""
    k, n = draw(st.integers(0, 5)), draw(st.integers(1, 3))
    fan_ins = [*draw(st.lists(st.sampled_from(FAN_INS), max_size=2)), FanIn.ALL]
    uniform = draw(st.none() | st.sampled_from(Overflow))
    spec = AccumulatorSpec(
        stages=tuple(
            StageSpec(
                bits=draw(st.integers(2, 7)),
                fan_in=fan,
                overflow=uniform or draw(st.sampled_from(Overflow)),
            )
            for fan in fan_ins
        ),
        bias=draw(st.sampled_from(BiasPlacement)),
        zero_points=draw(st.sampled_from(ZeroPointHandling)),
        order=draw(st.sampled_from(KOrder) | st.permutations(range(k)).map(tuple)),
    )
    codes = st.integers(-3, 3)
    rows = st.lists(codes, min_size=k, max_size=k)
    w = np.array(draw(st.lists(rows, min_size=n, max_size=n)), np.int64).reshape(n, k)
    ends = [tuple(sorted(draw(st.tuples(codes, codes)))) for _ in range(k)]
    z_w = draw(st.just(0) | codes)
    bias = np.array(draw(st.lists(st.integers(-9, 9), min_size=n, max_size=n)))
    return spec, w, ends, bias, draw(codes), z_w


def operands_of(case):
    spec, w, ends, bias, z_x, z_w = case
    low, high = np.array(ends, np.int64).reshape(-1, 2).T
    return propagated(spec, w, (low, high), bias, z_x, z_w)


class TestVerdicts:
    @pytest.mark.parametrize(
        ("stages", "w", "expected"),
        [
            # 9 fits no 4 bits; 9 - 6 does.
            ([(FanIn.ALL, 4, Overflow.WRAP)], [3, -2], [1]),
            ([(FanIn.ALL, 4, Overflow.SATURATE)], [3, -2], [2]),
            ([(FanIn.ALL, 5, Overflow.SATURATE)], [3, -2], [0]),
            # An outer register, no wider, forgives an inner one; a wider one does not.
            ([(1, 4, Overflow.WRAP), (FanIn.ALL, 4, Overflow.WRAP)], [3, -2], [1, 1]),
            ([(1, 4, Overflow.WRAP), (FanIn.ALL, 5, Overflow.WRAP)], [3, -2], [2, 0]),
            ([(1, 4, Overflow.WRAP), (FanIn.ALL, 4, Overflow.SATURATE)], [3, -2], [2, 2]),
            # In between it may be wider: what it holds is right in its low bits.
            (
                [(1, 4, Overflow.WRAP), (1, 6, Overflow.WRAP), (FanIn.ALL, 4, Overflow.WRAP)],
                [3, -2],
                [1, 1, 1],
            ),
        ],
    )
    def test_worked_examples(self, stages, w, expected):
        """Inputs are 3 and 3."""
        spec = AccumulatorSpec(
            stages=tuple(StageSpec(fan_in=f, bits=b, overflow=o) for f, b, o in stages)
        )
        operands = propagated(spec, np.array([w]), (3, 3), None)
        assert stage_verdicts(operands, exact_ranges(operands)).tolist() == [expected]

    @given(arrays())
    def test_no_input_overflows_a_saturate_safe_stage(self, case):
        operands, tried = operands_of(case), self.tried(case)
        verdicts = stage_verdicts(operands, exact_ranges(operands))
        for level, overflows in enumerate(tried.overflows):
            assert not overflows[verdicts[:, level] == Verdict.SATURATE_SAFE].any()

    @given(arrays())
    def test_safe_registers_hold_their_totals(self, case):
        operands, tried = operands_of(case), self.tried(case)
        verdicts = stage_verdicts(operands, exact_ranges(operands))
        assert not tried.is_wrong[(verdicts != Verdict.UNSAFE).all(axis=1)].any()

    @given(arrays())
    def test_an_unsafe_stage_loses_a_value(self, case):
        """Behind exact and saturating stages alone; a coupling counts behind exact ones only."""
        operands, tried = operands_of(case), self.tried(case)
        verdicts = stage_verdicts(operands, exact_ranges(operands))
        stages = case[0].stages
        for channel, level in np.argwhere(verdicts == Verdict.UNSAFE):
            behind = [v == Verdict.UNSAFE for v in verdicts[channel, :level]]
            if any(behind) and operands.coupling[channel]:
                continue
            if any(b and s.overflow is Overflow.WRAP for b, s in zip(behind, stages, strict=False)):
                continue
            assert tried.overflows[level][channel]

    @given(arrays())
    def test_the_ranges_are_exact_in_any_array(self, case):
        spec, w, ends, bias, z_x, z_w = case
        wide = replace(spec, stages=tuple(replace(stage, bits=WIDE) for stage in spec.stages))
        check_equal(
            exact_ranges(operands_of(case)), try_all(all_inputs(ends), w, bias, wide, z_x, z_w)
        )

    def tried(self, case):
        spec, w, ends, bias, z_x, z_w = case
        return try_all(all_inputs(ends), w, bias, spec, z_x, z_w)
