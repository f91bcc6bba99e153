"""Tests for lsqsim.specs.rescaler."""

import pytest

from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, Overflow, Rounding, StochasticRounding
from lsqsim.specs import (
    ClampPoint,
    FirstShift,
    FixedPoint,
    FloatScale,
    FloatWidth,
    Granularity,
    PowerOfTwo,
    ProductArithmetic,
    RegisterSpec,
    RescalerSpec,
    Thresholds,
)

INT8 = IntFormat(8)
UINT15, UINT31 = IntFormat(15, signed=False), IntFormat(31, signed=False)


class TestWorkedExamples:
    def test_defaults(self):
        spec = RescalerSpec(output=INT8)
        assert spec.scaling == FixedPoint(
            multiplier=UINT31, min_shift=0, max_shift=62, rounding=Rounding.TIES_POS
        )
        assert (spec.overflow, spec.granularity) == (Overflow.SATURATE, Granularity.PER_TENSOR)
        assert (spec.input_offset, spec.intermediate) == (0, None)
        assert spec.clamp_point is ClampPoint.AFTER_ZERO_POINT

    def test_first_shift_is_a_32_bit_srdhm(self):
        register = RegisterSpec(bits=32, overflow=Overflow.SATURATE)
        assert FirstShift() == FirstShift(shift=31, rounding=Rounding.TIES_POS, register=register)

    def test_names_are_those_of_the_text(self):
        assert [str(x) for x in ProductArithmetic] == ["exact", "float64"]
        assert [str(x) for x in FloatWidth] == ["float32", "float64"]
        assert [str(x) for x in Granularity] == ["per_tensor", "per_channel"]
        assert [str(x) for x in ClampPoint] == ["after_zero_point", "before_zero_point"]


class TestRefusals:
    @pytest.mark.parametrize("cls", [FixedPoint, PowerOfTwo])
    @pytest.mark.parametrize(("low", "high"), [(-62, 62), (62, 62), (-62, -62), (5, 5)])
    def test_legal_shifts(self, cls, low, high):
        spec = cls(min_shift=low, max_shift=high)
        assert (spec.min_shift, spec.max_shift) == (low, high)

    @pytest.mark.parametrize("cls", [FixedPoint, PowerOfTwo])
    @pytest.mark.parametrize(("low", "high"), [(-63, 0), (0, 63), (6, 5)])
    def test_shifts(self, cls, low, high):
        message = rf"-62 <= min_shift <= max_shift <= 62, got {low}\.\.{high}"
        with pytest.raises(SpecError, match=message):
            cls(min_shift=low, max_shift=high)

    @pytest.mark.parametrize("shift", [1, 62])
    def test_legal_first_shifts(self, shift):
        assert FirstShift(shift=shift).shift == shift

    @pytest.mark.parametrize("shift", [0, 63])
    def test_first_shift(self, shift):
        with pytest.raises(SpecError, match=rf"first shift must be in 1\.\.62, got {shift}"):
            FirstShift(shift=shift)

    @pytest.mark.parametrize("text", ["int2", "uint1", "int2-narrow", "uint63"])
    def test_legal_multipliers(self, text):
        FixedPoint(multiplier=IntFormat.parse(text))

    def test_multiplier_without_a_positive_code(self):
        with pytest.raises(SpecError, match="a multiplier needs a positive code; int1 has none"):
            FixedPoint(multiplier=IntFormat(1))

    @pytest.mark.parametrize("wide", [IntFormat(17), IntFormat(16, signed=False), UINT31])
    def test_legal_wide_multipliers(self, wide):
        FixedPoint(multiplier=UINT15, reduced_from=wide)

    @pytest.mark.parametrize("wide", [UINT15, IntFormat(16), IntFormat(8)])
    def test_reduced_from(self, wide):
        message = f"reduced_from must be wider than the multiplier uint15, got {wide}"
        with pytest.raises(SpecError, match=message):
            FixedPoint(multiplier=UINT15, reduced_from=wide)

    def test_a_float_product_is_rounded_once(self):
        FixedPoint(product=ProductArithmetic.FLOAT64)
        with pytest.raises(SpecError, match="a float64 product is rounded once"):
            FixedPoint(product=ProductArithmetic.FLOAT64, first_shift=FirstShift())

    def test_a_wrapping_output_is_not_narrow(self):
        narrow = IntFormat(8, narrow=True)
        RescalerSpec(output=narrow)
        RescalerSpec(output=INT8, overflow=Overflow.WRAP)
        with pytest.raises(SpecError, match="a wrapping output has no narrow range, got int8-narr"):
            RescalerSpec(output=narrow, overflow=Overflow.WRAP)

    def test_a_bias_joins_an_exact_product(self):
        FixedPoint(addend=INT8)
        with pytest.raises(SpecError, match="a bias joins an exact product only: leave addend out"):
            FixedPoint(addend=INT8, product=ProductArithmetic.FLOAT64)

    def test_a_bias_is_the_channels(self):
        scaling = FixedPoint(addend=INT8)
        spec = RescalerSpec(output=INT8, scaling=scaling, granularity=Granularity.PER_CHANNEL)
        assert spec.takes_bias
        assert not RescalerSpec(output=INT8).takes_bias
        assert not RescalerSpec(output=INT8, scaling=PowerOfTwo()).takes_bias
        with pytest.raises(SpecError, match="joins the product is the channel's: set granularity"):
            RescalerSpec(output=INT8, scaling=scaling)

    @pytest.mark.parametrize("offset", [-(1 << 62), (1 << 62) - 1])
    def test_legal_offsets(self, offset):
        assert RescalerSpec(output=INT8, input_offset=offset).input_offset == offset

    @pytest.mark.parametrize("offset", [-(1 << 62) - 1, 1 << 62])
    def test_offset(self, offset):
        with pytest.raises(SpecError, match=f"input_offset must fit 63 bits, got {offset}"):
            RescalerSpec(output=INT8, input_offset=offset)

    def test_thresholds_have_one_comparator_a_code(self):
        RescalerSpec(output=IntFormat(16), scaling=Thresholds())
        with pytest.raises(SpecError, match="output must have at most 16 bits, got int17"):
            RescalerSpec(output=IntFormat(17), scaling=Thresholds())

    @pytest.mark.parametrize(
        "option", [{"overflow": Overflow.WRAP}, {"intermediate": RegisterSpec(bits=17)}]
    )
    def test_thresholds_saturate_unregistered(self, option):
        with pytest.raises(SpecError, match="thresholds count into the output format"):
            RescalerSpec(output=INT8, scaling=Thresholds(), **option)

    def test_thresholds_are_not_stochastic(self):
        with pytest.raises(SpecError, match=r"Thresholds\.rounding must be Rounding, got Stoch"):
            Thresholds(rounding=StochasticRounding())


class TestShifts:
    @pytest.mark.parametrize(
        ("first", "register", "shift", "right"),
        [
            (None, None, 3, 3),
            (None, None, -3, 0),
            (5, None, 3, 3),
            (5, None, 9, 9),
            (5, None, -3, 0),
            (5, RegisterSpec(bits=32), 3, 5),
            (5, RegisterSpec(bits=32), -3, 5),
            (5, RegisterSpec(bits=32), 9, 9),
        ],
    )
    def test_right(self, first, register, shift, right):
        """All that the product loses."""
        first_shift = None if first is None else FirstShift(shift=first)
        scaling = FixedPoint(first_shift=first_shift, left_register=register)
        assert scaling.split(shift).right == right


class TestGolden:
    def test_addend(self):
        scaling = FixedPoint(addend=IntFormat(40))
        assert scaling.to_toml().endswith('product = "exact"\naddend = "int40"\n')
        assert FixedPoint.from_toml(scaling.to_toml()) == scaling

    def test_first_shift(self):
        text = """\
shift = 31
rounding = "ties_pos"

[register]
bits = 32
overflow = "saturate"
"""
        assert FirstShift().to_toml() == text

    def test_fixed_point(self):
        text = """\
multiplier = "uint31"
min_shift = 0
max_shift = 62
rounding = "ties_pos"
product = "exact"
"""
        assert FixedPoint().to_toml() == text

    def test_float_scale(self):
        assert FloatScale().to_toml() == 'width = "float32"\nrounding = "ties_even"\n'

    def test_power_of_two(self):
        text = 'min_shift = 0\nmax_shift = 62\nrounding = "ties_pos"\n'
        assert PowerOfTwo().to_toml() == text

    def test_thresholds(self):
        assert Thresholds().to_toml() == 'rounding = "ties_pos"\n'

    def test_tflite_double(self):
        spec = RescalerSpec(
            output=INT8,
            scaling=FixedPoint(
                rounding=Rounding.TIES_AWAY,
                first_shift=FirstShift(),
                left_register=RegisterSpec(bits=32),
            ),
            granularity=Granularity.PER_CHANNEL,
        )
        text = """\
output = "int8"
overflow = "saturate"
granularity = "per_channel"
input_offset = 0
clamp_point = "after_zero_point"

[scaling]
kind = "fixed_point"
multiplier = "uint31"
min_shift = 0
max_shift = 62
rounding = "ties_away"
product = "exact"

[scaling.first_shift]
shift = 31
rounding = "ties_pos"

[scaling.first_shift.register]
bits = 32
overflow = "saturate"

[scaling.left_register]
bits = 32
overflow = "wrap"
"""
        assert spec.to_toml() == text
        assert RescalerSpec.from_toml(text) == spec

    def test_nvdla(self):
        spec = RescalerSpec(
            output=INT8,
            scaling=FixedPoint(multiplier=IntFormat(16), rounding=Rounding.TIES_AWAY),
            input_offset=-7,
            intermediate=RegisterSpec(bits=17, overflow=Overflow.SATURATE),
        )
        text = """\
output = "int8"
overflow = "saturate"
granularity = "per_tensor"
input_offset = -7
clamp_point = "after_zero_point"

[scaling]
kind = "fixed_point"
multiplier = "int16"
min_shift = 0
max_shift = 62
rounding = "ties_away"
product = "exact"

[intermediate]
bits = 17
overflow = "saturate"
"""
        assert spec.to_toml() == text
        assert RescalerSpec.from_toml(text) == spec
