"""Tests for lsqsim.folding: from a real factor to multiplier, shift, scale and thresholds."""

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st

import devices
import oracle
from lsqsim.errors import SpecError
from lsqsim.folding import combined_factor, fold, fold_error
from lsqsim.formats import IntFormat, Rounding
from lsqsim.specs import (
    FirstShift,
    FixedPoint,
    FloatScale,
    FloatWidth,
    Granularity,
    PowerOfTwo,
    RegisterSpec,
    RescalerSpec,
    Thresholds,
)
from oracle.folding import Refused
from shipped_units import FP32, FP64, SRDHM, TFLITE_16X8
from strategies import formats, roundings

INT8, UINT4 = IntFormat(8), IntFormat(4, signed=False)
ACC = IntFormat(20)
FACTORS = [0.3, 0.5, 1.0, 1.5, 3.7, 1e-4, 1 - 2.0**-33, 1 - 2.0**-17, 0.011111111910680305]
factors = (
    st.floats(1e-9, 1e3) | st.integers(-30, 9).map(lambda e: 2.0**e) | st.sampled_from(FACTORS)
)


def folded(scaling, factor, output=INT8, zero_point=0, acc=ACC, offset=0) -> Any:
    spec = RescalerSpec(output=output, scaling=scaling, input_offset=offset)
    return fold(spec, factor, acc_format=acc, zero_point=zero_point)


def pair(scaling, factor):
    p = folded(scaling, factor)
    return int(p.multiplier[0]), int(p.shift[0])


class TestWorkedExamples:
    @pytest.mark.parametrize(
        ("factor", "expected"),
        [
            (1 / 3, (171, 9)),
            (0.5, (128, 8)),
            (0.998, (255, 8)),
            (0.9985, (128, 7)),
            (255.49, (255, 0)),
            (2.0**-63, (1, 62)),
        ],
    )
    def test_eight_bits(self, factor, expected):
        """255.5 / 256 = 0.998047 rounds up to 256, which does not fit: one bit less."""
        scaling = FixedPoint(multiplier=IntFormat(8, signed=False))
        assert pair(scaling, factor) == expected

    def test_published_multiplier(self):
        """tensorflow #102943: M0 = 1527099593, right shift 6."""
        assert pair(FixedPoint(), 0.011111111910680305) == (1527099593, 31 + 6)

    @pytest.mark.parametrize(
        ("factor", "expected"),
        [
            (0.5, (1 << 14, 15)),
            (1 - 2.0**-17, (0x7FFF, 15)),  # m0 = 0x7FFFC000 would round to 0x8000: saturates
            (1 - 2.0**-33, (1 << 14, 14)),  # m0 rounds up to 2**31: halved first
            (0.99996, (0x7FFF, 15)),
        ],
    )
    def test_16x8(self, factor, expected):
        assert pair(TFLITE_16X8, factor) == expected

    @pytest.mark.parametrize(
        ("factor", "shift"),
        [(1.0, 0), (0.25, 2), (0.36, 1), (0.3535, 2), (math.sqrt(0.5), 0), (0.7, 1)],
    )
    def test_power_of_two_is_nearest_in_ratio(self, factor, shift):
        assert folded(PowerOfTwo(), factor).shift.tolist() == [shift]

    def test_finn(self):
        expected = [math.ceil((k - Fraction(1, 2)) / Fraction(0.3)) for k in range(1, 16)]
        p = folded(Thresholds(), 0.3, UINT4)
        assert p.thresholds.tolist() == [expected]
        assert p.factor.tolist() == [0.3]

    @pytest.mark.parametrize(
        ("rounding", "expected"),
        [
            # doubling of codes -2 .. 1 with M = 1/2: where round(a / 2) reaches -1, 0, 1
            (Rounding.TO_NEG, [-2, 0, 2]),
            (Rounding.TO_ZERO, [-3, -1, 2]),
            (Rounding.TIES_POS, [-3, -1, 1]),
            (Rounding.TIES_AWAY, [-2, 0, 1]),
            (Rounding.TIES_EVEN, [-2, -1, 2]),
        ],
    )
    def test_thresholds_by_rounding(self, rounding, expected):
        p = folded(Thresholds(rounding=rounding), 0.5, IntFormat(2))
        assert p.thresholds.tolist() == [expected]

    def test_thresholds_are_limited_to_one_past_the_accumulator(self):
        p = folded(Thresholds(), 0.5, IntFormat(4), 1, IntFormat(3))
        assert p.thresholds.tolist() == [[-4] * 7 + [-3, -1, 1, 3] + [4] * 4]
        p = folded(Thresholds(), 0.5, IntFormat(4), 1, IntFormat(3), offset=2)
        assert p.thresholds.tolist() == [[-6] * 6 + [-5, -3, -1, 1] + [2] * 5]

    def test_several_channels(self):
        p = folded(FixedPoint(), [0.5, 0.25, 0.3])
        assert p.multiplier.tolist()[:2] == [1 << 30, 1 << 30]
        assert p.shift.tolist()[:2] == [31, 32]
        assert len(p.exact_scales()) == 3
        assert folded(Thresholds(), [0.5, 0.25], UINT4).thresholds.shape == (2, 15)

    def test_fold_error(self):
        p = folded(FixedPoint(multiplier=IntFormat(2, signed=False)), [0.5, 0.4])
        # 0.4 becomes 3 / 8
        assert p.exact_scales() == [Fraction(1, 2), Fraction(3, 8)]
        assert fold_error(p, [0.5, 0.4]).tolist() == [
            0.0,
            float(Fraction(3, 8) / Fraction(0.4) - 1),
        ]


class TestAgainstOracle:
    @given(factors, formats(2, 40), st.integers(-20, 62), st.integers(0, 60))
    def test_fixed_point(self, factor, multiplier, low, span):
        scaling = FixedPoint(multiplier=multiplier, min_shift=low, max_shift=min(62, low + span))
        self.check(scaling, factor)

    @given(factors, formats(2, 15), formats(16, 40))
    def test_reduced(self, factor, multiplier, wide):
        assume(wide.max > multiplier.max)
        self.check(FixedPoint(multiplier=multiplier, reduced_from=wide, max_shift=40), factor)

    def check(self, scaling, factor):
        try:
            expected = oracle.fold(scaling, factor)
        except Refused as refused:
            with pytest.raises(
                SpecError, match=f"is too {'large' if 'large' in str(refused) else 'small'}"
            ):
                folded(scaling, factor)
            return
        assert pair(scaling, factor) == (expected.multiplier, expected.shift)
        error = fold_error(folded(scaling, factor), factor)
        assert error.tolist() == [float(oracle.fold_error(scaling, expected, factor))]

    @given(factors | st.floats(1e-30, 1e30), st.sampled_from(FloatWidth))
    def test_float_scale(self, factor, width):
        scaling = FloatScale(width=width)
        p = folded(scaling, factor)
        expected = oracle.fold(scaling, factor)
        assert p.scale.dtype == width.value
        assert Fraction(float(p.scale[0])) == expected.scale
        assert fold_error(p, factor).tolist() == [
            float(oracle.fold_error(scaling, expected, factor))
        ]

    @given(factors)
    def test_power_of_two(self, factor):
        scaling = PowerOfTwo(min_shift=-62, max_shift=62)
        p = folded(scaling, factor)
        expected = oracle.fold(scaling, factor)
        assert p.shift.tolist() == [expected.shift]
        assert fold_error(p, factor).tolist() == [
            float(oracle.fold_error(scaling, expected, factor))
        ]

    @given(st.data(), factors, formats(1, 5), roundings, st.integers(-40, 40))
    def test_thresholds(self, data, factor, output, rounding, offset):
        z = data.draw(st.integers(output.min, output.max))
        acc = IntFormat(data.draw(st.integers(2, 24)))
        scaling = Thresholds(rounding=rounding)
        p = folded(scaling, factor, output, z, acc, offset)
        expected = oracle.fold(
            scaling, factor, acc=acc, output=output, zero_point=z, input_offset=offset
        )
        assert p.thresholds.tolist() == [list(expected.thresholds)]
        assert fold_error(p, factor).tolist() == [0.0]

    steps = st.floats(1e-6, 1e3)

    @given(steps, steps, steps, st.sampled_from([FixedPoint(), FP32, FP64]))
    def test_combined_factor(self, s_x, s_w, s_y, scaling):
        steps = (s_x, s_w, s_y)
        m = combined_factor(scaling, np.array(s_x), np.array(s_w), np.array(s_y))
        assert (m.dtype, m.shape) == (np.float64, ())
        if isinstance(scaling, FloatScale):
            assert Fraction(float(m)) == oracle.fold(scaling, 0, steps=steps).scale
            assert float(folded(scaling, m).scale[0]) == float(m)
        else:
            assert Fraction(float(m)) == oracle.factor_of(*steps)

    def test_combined_factor_of_channels(self):
        s_w = np.array([0.1, 0.2, 0.7])
        m = combined_factor(FixedPoint(), np.array(0.3), s_w, np.array(0.9))
        assert m.tolist() == [0.3 * s / 0.9 for s in s_w.tolist()]

    def test_the_published_float32_scale(self):
        """tensorflow #102943: the scale formed in float32 makes 585 a tie, fl32(M) would not."""
        steps = [
            np.array(s) for s in (0.05296124517917633, 0.024093778803944588, 0.11484327912330627)
        ]
        scale = float(combined_factor(FP32, *steps))
        assert devices.to_float32(585 * scale) == 6.5
        assert scale != devices.to_float32(0.011111111910680305)


class TestLaws:
    @given(factors)
    def test_significand_is_normalized_and_near(self, factor):
        p = folded(FixedPoint(min_shift=-62), factor)
        if p.shift[0] < 62:
            assert 1 << 30 <= p.multiplier[0] < 1 << 31
            assert abs(fold_error(p, factor)[0]) <= 2.0**-31

    @given(factors)
    def test_tflites_own(self, factor):
        m0, e = devices.quantize_multiplier(factor)
        assume(0 <= 31 - e <= 62)
        assert pair(FixedPoint(), factor) == (m0, 31 - e)

    @given(factors)
    def test_power_of_two_is_within_the_square_root_of_two(self, factor):
        p = folded(PowerOfTwo(min_shift=-62), factor)
        ratio = p.exact_scales()[0] / Fraction(factor)
        assert Fraction(1, 2) <= ratio * ratio <= 2

    @given(factors, roundings)
    def test_thresholds_ascend(self, factor, rounding):
        p = folded(Thresholds(rounding=rounding), factor)
        assert p.thresholds.shape == (1, 255)
        assert (np.diff(p.thresholds) >= 0).all()


class TestRefusals:
    @pytest.mark.parametrize("factor", [0.0, -0.5, math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("scaling", [FixedPoint(), FP32, PowerOfTwo(), Thresholds()], ids=repr)
    def test_factor(self, scaling, factor):
        message = rf"must be finite and positive, got {factor}; fold a negative sign"
        with pytest.raises(SpecError, match=message):
            folded(scaling, factor)

    def test_factor_of_a_channel(self):
        with pytest.raises(SpecError, match=r"got -1\.0 \(channel 1\); fold a negative sign"):
            folded(FixedPoint(), [1.0, -1.0])

    def test_too_large(self):
        """127.5 rounds to 128, which int8 does not hold; without a left shift it's refused."""
        scaling = FixedPoint(multiplier=INT8, max_shift=7)
        assert pair(scaling, math.nextafter(127.5, 0)) == (127, 0)
        with pytest.raises(
            SpecError, match=r"factor 127\.5 is too large for multiplier int8 and shifts 0\.\.7"
        ):
            folded(scaling, 127.5)
        assert pair(replace(scaling, min_shift=-1), 127.5) == (64, -1)

    def test_too_small(self):
        scaling = FixedPoint(multiplier=INT8, max_shift=7)
        assert pair(scaling, 2.0**-8) == (1, 7)
        with pytest.raises(
            SpecError, match="is too small: its multiplier is 0 at the largest legal shift, 7"
        ):
            folded(scaling, math.nextafter(2.0**-8, 0))

    def test_srdhm_is_below_one(self):
        assert pair(SRDHM, 1 - 2.0**-31) == ((1 << 31) - 1, 31)
        with pytest.raises(SpecError, match=r"too large for multiplier int32 and shifts 31\.\.31"):
            folded(SRDHM, 1 - 2.0**-32)

    def test_reduced_to_zero(self):
        """The wide multiplier is 1, and half of it or less is left of that."""
        scaling = FixedPoint(multiplier=INT8, reduced_from=IntFormat(16), max_shift=7)
        assert pair(scaling, 2.0**-8) == (1, 7)
        with pytest.raises(SpecError, match="is too small: its multiplier is 0"):
            folded(scaling, 2.0**-9)

    def test_float32_scale(self):
        """Half the least subnormal is 0, the largest float32 plus half an LSB is infinite."""
        largest = (2 - 2.0**-23) * 2.0**127
        assert folded(FP32, 2.0**-149).scale.tolist() == [2.0**-149]
        assert folded(FP32, largest).scale.tolist() == [largest]
        for factor in (2.0**-150, (2 - 2.0**-24) * 2.0**127):
            with pytest.raises(SpecError, match="has no finite positive float32 value"):
                folded(FP32, factor)

    def test_power_of_two_outside_its_shifts(self):
        scaling = PowerOfTwo(min_shift=1, max_shift=3)
        root = math.sqrt(
            2
        )  # a hair above the root: sqrt(2) / 2 is nearer 1, sqrt(2) / 16 nearer 1/8
        assert folded(scaling, math.nextafter(root / 2, 0)).shift.tolist() == [1]
        assert folded(scaling, root / 16).shift.tolist() == [3]
        with pytest.raises(SpecError, match=r"needs shift 0, legal are 1\.\.3"):
            folded(scaling, root / 2)
        with pytest.raises(SpecError, match=r"needs shift 4, legal are 1\.\.3"):
            folded(scaling, math.nextafter(root / 16, 0))


def with_bias(bias, factor=1.0, **fields) -> Any:
    """Parameters of a unit whose product takes a bias; as many channels as biases."""
    scaling = FixedPoint(**({"addend": IntFormat(8), "max_shift": 2, "min_shift": -2} | fields))
    spec = RescalerSpec(
        output=IntFormat(8), scaling=scaling, granularity=Granularity.PER_CHANNEL
    )  # fmt: skip
    bias = np.array(bias, np.float64)
    return fold(spec, np.full(len(bias), factor), acc_format=IntFormat(16), bias=bias)


class TestBias:
    """B = round(b / s_y * 2**right), ties to positive, clipped."""

    def test_quarters_of_a_code_and_ties_of_both_signs(self):
        held = with_bias([1.0, 0.125, -0.125, 0.375, -0.375, 0.13, -0.13])
        assert held.shift.tolist() == [2] * 7
        assert held.addend.tolist() == [4, 1, 0, 2, -1, 1, -1]

    def test_clipped_at_the_ends(self):
        assert with_bias([127 / 4, -32, 128 / 4, -129 / 4, 1e300, -1e300]).addend.tolist() == [
            127, -128, 127, -128, 127, -128,
        ]  # fmt: skip

    def test_whole_codes_after_a_left_shift(self):
        held = with_bias([3.0, 0.5], factor=4.0, multiplier=IntFormat(1, signed=False))
        assert held.shift.tolist() == [-2, -2]
        assert held.addend.tolist() == [3, 1]

    def test_units_of_all_that_is_shifted_out(self):
        """With a left register the first shift is always whole: 2**5, not 2**2, steps a code."""
        first = FirstShift(shift=5)
        for register, steps in ((RegisterSpec(bits=32), 32), (None, 4)):
            scaling = {"first_shift": first, "left_register": register}
            assert with_bias([1.0], **scaling).addend.tolist() == [steps]

    @given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.booleans(), st.booleans())
    def test_against_the_oracle(self, bias, factor, is_double, has_register):
        fields = {
            "first_shift": FirstShift() if is_double else None,
            "left_register": RegisterSpec(bits=32) if has_register else None,
            "addend": IntFormat(40), "min_shift": -20, "max_shift": 62,
        }  # fmt: skip
        held = with_bias([bias], factor, **fields)
        expected = oracle.fold_bias(FixedPoint(**fields), int(held.shift[0]), bias, 1.0)
        assert held.addend.tolist() == [expected]

    def test_without_a_place(self):
        with pytest.raises(SpecError, match="the rescaler takes no bias: leave it out, or give"):
            with_bias([1.0], addend=None)
