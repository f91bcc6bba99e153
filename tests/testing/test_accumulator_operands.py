"""Tests for the strategies of accumulators and rescaler units, by counting."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, strategies as st

from drawing import drawn, share
from lsqsim import testing
from lsqsim.errors import SpecError
from lsqsim.folding import (
    FixedPointParameters,
    PowerOfTwoParameters,
    ThresholdParameters,
    fold,
)
from lsqsim.formats import IntFormat, Overflow, Rounding
from lsqsim.rescaler import Rescaler
from lsqsim.specs import (
    FirstShift,
    FixedPoint,
    Granularity,
    PowerOfTwo,
    RegisterSpec,
    RescalerSpec,
    Thresholds,
)

INT4, INT8, INT16, INT32 = IntFormat(4), IntFormat(8), IntFormat(16), IntFormat(32)


def rescaler(scaling, parameters, **options):
    acc_format = options.pop("acc_format", INT16)
    zero_point = options.pop("zero_point", 0)
    spec = RescalerSpec(output=INT8, scaling=scaling, **options)
    return Rescaler(spec, parameters, acc_format=acc_format, zero_point=zero_point)


def fixed(multiplier, shift):
    return FixedPointParameters(multiplier=np.atleast_1d(multiplier), shift=np.atleast_1d(shift))


class TestAccumulators:
    @pytest.mark.parametrize(
        ("holds", "least"),
        [
            (lambda a: (a == -(1 << 31)).any() or (a == (1 << 31) - 1).any(), 0.1),
            (lambda a: not a.any(), 0.01),
            (lambda a: any(abs(v).bit_count() == 1 for v in a.ravel().tolist()), 0.3),
        ],
        ids=["end", "zero", "power of two"],
    )
    def test_bias_without_a_rescaler(self, holds, least):
        assert share(drawn(testing.accumulators(INT32, (4,))), holds) >= least

    def test_ties_and_their_neighbors(self):
        """3 / 16: ties are the odd multiples of 8."""
        unit = rescaler(FixedPoint(), fixed(3, 4))
        arrays = drawn(testing.accumulators(INT16, (4,), rescaler=unit))
        assert share(arrays, lambda a: (a % 16 == 8).any()) >= 0.3
        assert share(arrays, lambda a: ((a % 16 == 7) | (a % 16 == 9)).any()) >= 0.3
        negative = share(arrays, lambda a: ((a % 16 == 8) & (a < 0) & (a * 3 > -128 * 16)).any())
        assert negative >= 0.1

    def test_both_sides_of_the_clip(self):
        unit = rescaler(FixedPoint(), fixed(1, 4), zero_point=5)
        top = (127 - 5) * 16 + 8  # the least that rounds beyond the top
        arrays = drawn(testing.accumulators(INT16, (4,), rescaler=unit), n=1000)
        assert share(arrays, lambda a: (a == top).any()) >= 0.005
        assert share(arrays, lambda a: (a == top - 1).any()) >= 0.005

    def test_edges_of_the_intermediate_register(self):
        unit = rescaler(
            FixedPoint(), fixed(1, 1), intermediate=RegisterSpec(bits=6, overflow=Overflow.WRAP)
        )
        arrays = drawn(testing.accumulators(INT16, (4,), rescaler=unit))
        assert share(arrays, lambda a: ((a == 62) | (a == 63)).any()) >= 0.02

    def test_ties_of_the_first_of_two_roundings(self):
        first = FirstShift(shift=4, register=RegisterSpec(bits=32))
        unit = rescaler(FixedPoint(first_shift=first), fixed(1, 9))
        arrays = drawn(testing.accumulators(INT16, (4,), rescaler=unit))
        assert share(arrays, lambda a: (a % 16 == 8).any()) >= 0.1
        assert share(arrays, lambda a: (a % 512 == 256).any()) >= 0.1

    def test_both_sides_of_each_threshold(self):
        held = ThresholdParameters(thresholds=np.array([[-100, 7, 900]]), factor=np.array([0.5]))
        spec = RescalerSpec(output=IntFormat(2), scaling=Thresholds(), input_offset=3)
        unit = Rescaler(spec, held, acc_format=INT16)
        arrays = drawn(testing.accumulators(INT16, (4,), rescaler=unit))
        for threshold in (-97, 10, 903):
            for beside in (threshold, threshold - 1):
                assert share(arrays, lambda a, v=beside: (a == v).any()) >= 0.05

    def test_each_channel_has_its_own_ties(self):
        unit = rescaler(
            PowerOfTwo(), PowerOfTwoParameters(shift=np.array([3, 6])),
            granularity=Granularity.PER_CHANNEL,
        )  # fmt: skip
        arrays = drawn(testing.accumulators(INT16, rescaler=unit))
        assert all(a.shape[1] == 2 for a in arrays)
        assert share(arrays, lambda a: (a[:, 0] % 8 == 4).any()) >= 0.2
        assert share(arrays, lambda a: (a[:, 1] % 64 == 32).any()) >= 0.15

    @pytest.mark.parametrize("multiplier", [0, -3])
    def test_a_multiplier_that_is_not_positive(self, multiplier):
        unit = rescaler(FixedPoint(multiplier=INT8), fixed(multiplier, 2))
        for array in drawn(testing.accumulators(INT16, rescaler=unit), 30):
            unit.rescale(array)

    @pytest.mark.parametrize("shift", [0, 40])
    def test_a_scale_without_ties(self, shift):
        """Integers have none, and 2**-40 none that 16 bits reach."""
        unit = rescaler(FixedPoint(), fixed(1, shift))
        for array in drawn(testing.accumulators(INT16, rescaler=unit), 30):
            unit.rescale(array)

    def test_shape_without_the_channels(self):
        unit = rescaler(
            PowerOfTwo(), PowerOfTwoParameters(shift=np.array([3, 6])),
            granularity=Granularity.PER_CHANNEL,
        )  # fmt: skip
        with pytest.raises(SpecError, match=r"last axis must have the rescaler's 2 channels"):
            drawn(testing.accumulators(INT16, (2, 3), rescaler=unit), 1)

    @given(st.data())
    def test_any_rescaler_takes_them(self, data):
        fmt = IntFormat(data.draw(st.integers(2, 63)))
        unit = data.draw(testing.rescalers(acc_format=fmt))
        unit.rescale(data.draw(testing.accumulators(fmt, rescaler=unit)), channel_axis=-1)


class TestRescalers:
    def test_results_are_worth_looking_at(self):
        """Neither all 0 nor all saturated: the scale suits the accumulator."""
        spec = RescalerSpec(output=INT8)
        calls = drawn(testing.rescaler_calls(spec, acc_format=INT32, clamp=(-128, 127)))
        inside = [
            ((call.expected["output"] > -128) & (call.expected["output"] < 127)).any()
            for call in calls
        ]
        assert np.mean(inside) > 0.5

    def test_parameters_can_be_fixed(self):
        strategy = testing.rescalers(
            RescalerSpec(output=INT8), parameters=fixed(3, 4), zero_point=7, clamp=(7, 9)
        )
        (unit,) = drawn(strategy, 1)
        assert unit.zero_point == 7
        assert unit.clamp == (7, 9)
        assert unit.parameters.multiplier.tolist() == [3]

    def test_no_legal_shift(self):
        spec = RescalerSpec(output=INT8, scaling=PowerOfTwo(min_shift=-62, max_shift=-40))
        with pytest.raises(
            SpecError, match=r"no shift of -62\.\.-40 .* shifts must be -30 at least"
        ):
            drawn(testing.rescalers(spec, acc_format=INT32), 1)

    @given(st.data())
    def test_factors_can_be_expressed(self, data):
        """Folding the factor, and a factor three roundings away, makes a legal unit."""
        fmt = IntFormat(data.draw(st.integers(2, 63)))
        spec = data.draw(testing.rescaler_specs(acc_format=fmt))
        factor = data.draw(testing.factors(spec, fmt))
        for near in (factor, factor * (1 + 2.0**-51), factor * (1 - 2.0**-51)):
            Rescaler(spec, fold(spec, near, acc_format=fmt), acc_format=fmt)

    def test_wide_multipliers_keep_their_factor(self):
        spec = RescalerSpec(output=INT8, scaling=FixedPoint(multiplier=IntFormat(60)))
        for factor in drawn(testing.factors(spec, INT4), 50):
            Rescaler.from_factor(spec, factor, acc_format=INT4)


def test_ties_are_ties():
    """The claim behind the tie strategy, for every small scale: odd multiples of q / 2."""
    for p in range(1, 8):
        for q in (2, 4, 8, 16):
            scale = Fraction(p, q)
            ties = [a for a in range(-64, 65) if (a * scale) % 1 == Fraction(1, 2)]
            half, odd = divmod(scale.denominator, 2)
            expected = [] if odd else [a for a in range(-64, 65) if a % (2 * half) == half]
            assert ties == expected


def test_rounding_rule_of_a_drawn_tie_matters():
    unit = {
        rule: rescaler(FixedPoint(rounding=rule), fixed(3, 4))
        for rule in (Rounding.TIES_POS, Rounding.TIES_AWAY, Rounding.TIES_EVEN)
    }
    arrays = drawn(testing.accumulators(INT16, (4,), rescaler=unit[Rounding.TIES_POS]))
    outputs = [{rule: u.rescale(a).tolist() for rule, u in unit.items()} for a in arrays]
    assert share(outputs, lambda o: o[Rounding.TIES_POS] != o[Rounding.TIES_AWAY]) > 0.1
    assert share(outputs, lambda o: o[Rounding.TIES_POS] != o[Rounding.TIES_EVEN]) > 0.1
