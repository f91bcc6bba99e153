"""Tests for lsqsim.rescaler: worked examples, the oracle, laws, refusals, golden vectors."""

import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import devices
import oracle
from lsqsim.errors import DataError, SpecError, WidthError
from lsqsim.folding import (
    FixedPointParameters,
    FloatParameters,
    PowerOfTwoParameters,
    ThresholdParameters,
)
from lsqsim.formats import Generator, IntFormat, Overflow, Rounding, StochasticRounding
from lsqsim.rescaler import Rescaler
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
from shipped_units import (
    CMSIS_DOUBLE,
    FP32,
    FP64,
    HAWQ,
    SATURATE_32,
    SINGLE,
    SRDHM,
    TFLITE_DOUBLE,
    TOSA_DOUBLE,
    UNITS,
)
from strategies import any_roundings, formats, overflows

INT8, INT16, INT32 = IntFormat(8), IntFormat(16), IntFormat(32)
EXACT = ProductArithmetic.EXACT
ACC12 = IntFormat(12)
EVERY_12_BIT = np.arange(ACC12.min, ACC12.max + 1)
GOLDEN = json.loads((Path(__file__).parent / "golden" / "rescaler.json").read_text())
STOCHASTIC = (
    StochasticRounding(seed=2463534242, bits=5),
    StochasticRounding(generator=Generator.SPLITMIX64, seed=1, bits=32),
)


def fixed(multiplier, shift):
    return FixedPointParameters(
        multiplier=np.atleast_1d(np.array(multiplier, np.int64)),
        shift=np.atleast_1d(np.array(shift, np.int64)),
    )


def as_parameters(scaling, channels):
    """The oracle's parameters, one a channel, as the unit takes them."""
    match scaling:
        case FixedPoint():
            held = fixed([p.multiplier for p in channels], [p.shift for p in channels])
            if scaling.addend is None:
                return held
            return replace(held, addend=np.array([p.addend for p in channels], np.int64))
        case FloatScale():
            scale = [float(p.scale) for p in channels]
            return FloatParameters(scale=np.array(scale, scaling.width.value))
        case PowerOfTwo():
            return PowerOfTwoParameters(shift=np.array([p.shift for p in channels]))
        case Thresholds():
            table = np.array([p.thresholds for p in channels], np.int64)
            table = table.reshape(len(channels), -1)
            return ThresholdParameters(thresholds=table, factor=np.ones(len(channels)))


def rescaler(spec, *channels, acc=INT32, zero_point=0, clamp=None):
    parameters = as_parameters(spec.scaling, channels)
    return Rescaler(spec, parameters, acc_format=acc, zero_point=zero_point, clamp=clamp)


def quarters(values, rounding, **options):
    spec = RescalerSpec(output=INT8, scaling=FixedPoint(rounding=rounding), **options)
    return rescaler(spec, oracle.Parameters(multiplier=1, shift=2)).rescale(values).tolist()


class TestWorkedExamples:
    """What a reader can check on paper. Inputs are quarters: 6 is 1.5, a tie."""

    @pytest.mark.parametrize(
        ("rounding", "expected"),
        [
            (Rounding.TO_NEG, [1, 2, -2, -3]),
            (Rounding.TO_ZERO, [1, 2, -1, -2]),
            (Rounding.TIES_POS, [2, 3, -1, -2]),
            (Rounding.TIES_AWAY, [2, 3, -2, -3]),
            (Rounding.TIES_EVEN, [2, 2, -2, -2]),
        ],
    )
    @pytest.mark.parametrize(
        ("scaling", "parameters"),
        [
            (FixedPoint(), oracle.Parameters(multiplier=1, shift=2)),
            (HAWQ, oracle.Parameters(multiplier=1, shift=2)),
            (FloatScale(), oracle.Parameters(scale=Fraction(1, 4))),
            (FloatScale(width=FloatWidth.FLOAT64), oracle.Parameters(scale=Fraction(1, 4))),
            (PowerOfTwo(), oracle.Parameters(shift=2)),
        ],
        ids=["fixed", "float-product", "float32", "float64", "power-of-two"],
    )  # fmt: skip
    def test_ties(self, rounding, expected, scaling, parameters):
        spec = RescalerSpec(output=INT8, scaling=replace(scaling, rounding=rounding))
        acc = np.array([6, 10, -6, -10])
        assert rescaler(spec, parameters).rescale(acc).tolist() == expected

    @pytest.mark.parametrize(
        ("out", "saturated", "wrapped"),
        [
            (INT8, [-128, 127], [127, -128]),
            (IntFormat(8, signed=False), [0, 255], [255, 0]),
            (IntFormat(1), [-1, 0], [0, -1]),
        ],
        ids=str,
    )
    def test_one_past_each_end(self, out, saturated, wrapped):
        acc = np.array([out.min - 1, out.max + 1])
        one = oracle.Parameters(multiplier=1, shift=0)
        for overflow, expected in ((Overflow.SATURATE, saturated), (Overflow.WRAP, wrapped)):
            spec = RescalerSpec(output=out, overflow=overflow)
            assert rescaler(spec, one).rescale(acc).tolist() == expected

    def test_zero_point_is_added_before_the_store_or_after_the_clamp(self):
        """100 + 50 passes int8: stored it wraps, clamped first it stays at the end."""
        spec = RescalerSpec(output=INT8, overflow=Overflow.WRAP)
        one = oracle.Parameters(multiplier=1, shift=0)
        unit = rescaler(spec, one, zero_point=50)
        assert unit.rescale([100, -100, -178, -179]).tolist() == [-106, -50, -128, 127]
        before = replace(spec, clamp_point=ClampPoint.BEFORE_ZERO_POINT)
        unit = rescaler(before, one, zero_point=50)
        assert unit.rescale([100, -100, -178, -179]).tolist() == [127, -50, -128, -128]

    def test_clamp_of_a_fused_activation(self):
        one = oracle.Parameters(multiplier=1, shift=0)
        for point in ClampPoint:
            spec = RescalerSpec(output=INT8, clamp_point=point)
            unit = rescaler(spec, one, zero_point=-10, clamp=(-10, 50))
            assert unit.rescale([-1, 0, 60, 61, 999]).tolist() == [-10, -10, 50, 50, 50]

    def test_offset_comes_first(self):
        spec = RescalerSpec(output=INT8, input_offset=7)
        unit = rescaler(spec, oracle.Parameters(multiplier=3, shift=1))
        assert unit.rescale([7, 9, 5, 8]).tolist() == [0, 3, -3, 2]

    def test_intermediate_register(self):
        """A 5-bit register [-16, 15] between the shift and the zero point."""
        for overflow, expected in ((Overflow.WRAP, [15, -13]), (Overflow.SATURATE, [15, 18])):
            register = RegisterSpec(bits=5, overflow=overflow)
            spec = RescalerSpec(output=INT8, intermediate=register)
            unit = rescaler(spec, oracle.Parameters(multiplier=1, shift=0), zero_point=3)
            assert unit.rescale([12, 16]).tolist() == expected

    def test_left_shift_is_exact_or_through_a_register(self):
        scaling = FixedPoint(min_shift=-8)
        spec = RescalerSpec(output=INT16, scaling=scaling)
        p = oracle.Parameters(multiplier=3, shift=-4)
        assert rescaler(spec, p, acc=INT8).rescale([5, -5]).tolist() == [240, -240]
        register = RegisterSpec(bits=7)  # 80 wraps to -48
        spec = replace(spec, scaling=replace(scaling, left_register=register))
        assert rescaler(spec, p, acc=INT8).rescale([5, -5]).tolist() == [-144, 144]

    def test_tensorflow_25087(self):
        """7984 * 1583594044 / 2**40 = 11.4991: once rounded 11, twice rounded 12."""
        p = oracle.Parameters(multiplier=1583594044, shift=40)
        for scaling, expected in ((SINGLE, 11), (TFLITE_DOUBLE, 12), (TOSA_DOUBLE, 12)):
            spec = RescalerSpec(output=INT8, scaling=scaling)
            assert rescaler(spec, p, acc=IntFormat(20)).rescale([7984]).tolist() == [expected]

    def test_tensorflow_102943(self):
        """585 times 1 / 90: integer rules give 7, a float32 product is the tie 6.5 and gives 6."""
        spec = RescalerSpec(output=INT8, scaling=SINGLE)
        p = oracle.Parameters(multiplier=1527099593, shift=37)
        assert rescaler(spec, p, zero_point=-126).rescale([585]).tolist() == [-119]
        spec = RescalerSpec(output=INT8, scaling=FP32)
        p = oracle.Parameters(scale=Fraction(devices.to_float32(1 / 90)))
        assert rescaler(spec, p, zero_point=-126).rescale([585]).tolist() == [-120]

    def test_the_square_that_srdhm_saturates(self):
        p = oracle.Parameters(multiplier=devices.INT32_MIN, shift=31)
        acc = [devices.INT32_MIN, devices.INT32_MIN + 1]
        for register, first in (
            (SATURATE_32, devices.INT32_MAX),
            (RegisterSpec(bits=32), devices.INT32_MIN),
        ):
            spec = RescalerSpec(output=INT32, scaling=SRDHM, intermediate=register)
            assert rescaler(spec, p).rescale(acc).tolist() == [first, devices.INT32_MAX]
        scaling = replace(CMSIS_DOUBLE, multiplier=INT32)
        spec = RescalerSpec(output=INT32, scaling=scaling)
        assert rescaler(spec, p).rescale(acc).tolist() == [devices.INT32_MIN, devices.INT32_MAX]

    def test_thresholds(self):
        p = oracle.Parameters(thresholds=(-3, 2, 2))
        spec = RescalerSpec(output=IntFormat(2), scaling=Thresholds())
        acc = [-4, -3, 1, 2, 9]
        assert rescaler(spec, p).rescale(acc).tolist() == [-2, -1, -1, 1, 1]
        assert rescaler(spec, p, clamp=(-1, 0)).rescale(acc).tolist() == [-1, -1, -1, 0, 0]
        offset = replace(spec, input_offset=-1)
        assert rescaler(offset, p).rescale(acc).tolist() == [-1, -1, 1, 1, 1]

    def test_hawqs_product_is_rounded_to_53_bits(self):
        """(2**23 + 5) * (2**31 - 1) is 8 x + 3 of 55 bits: float64 makes it 8 x + 4, a tie."""
        p = oracle.Parameters(multiplier=(1 << 31) - 1, shift=3)
        acc = (1 << 23) + 5
        x = acc * p.multiplier // 8
        for scaling, expected in ((HAWQ, x + 1), (replace(HAWQ, product=EXACT), x)):
            spec = RescalerSpec(output=IntFormat(60), scaling=scaling)
            assert rescaler(spec, p).rescale([acc]).tolist() == [expected]
        assert devices.hawq_v3(acc, p.multiplier, 3) == x + 1

    def test_one_factor_a_channel(self):
        spec = RescalerSpec(output=INT8, granularity=Granularity.PER_CHANNEL)
        unit = rescaler(
            spec, *(oracle.Parameters(multiplier=m, shift=s) for m, s in ((1, 0), (3, 1), (1, 2)))
        )
        acc = np.full((2, 3), 6)
        assert unit.n_channels == 3
        for axis in (1, -1):
            assert unit.rescale(acc, channel_axis=axis).tolist() == [[6, 9, 2]] * 2
        assert unit.rescale(acc.T, channel_axis=0).tolist() == [[6, 6], [9, 9], [2, 2]]


class TestAgainstOracle:
    """Every code and every product equals unbounded integer and rational arithmetic."""

    @pytest.mark.parametrize("unit", UNITS, ids=str)
    def test_every_12_bit_accumulator(self, unit):
        y = rescaler(unit.spec, unit.parameters, acc=ACC12, zero_point=unit.zero_point)
        expected = [
            oracle.rescale(a, unit.spec, unit.parameters, unit.zero_point)
            for a in EVERY_12_BIT.tolist()
        ]
        codes, product = y.rescale_traced(EVERY_12_BIT)
        assert codes.tolist() == [e.code for e in expected]
        if expected[0].product is not None:
            assert product.tolist() == [e.product for e in expected]

    @pytest.mark.parametrize("unit", UNITS, ids=str)
    def test_published_formula(self, unit):
        rng = np.random.default_rng(1)
        acc = np.concatenate([rng.integers(-(1 << 20), 1 << 20, 400), EVERY_12_BIT[::5]])
        y = rescaler(unit.spec, unit.parameters, acc=IntFormat(21), zero_point=unit.zero_point)
        assert y.rescale(acc).tolist() == [unit.published(a) for a in acc.tolist()]

    @pytest.mark.parametrize("unit", [u for u in UNITS if u.factor is not None], ids=str)
    def test_published_formula_from_the_factor(self, unit):
        """The unit folds the factor itself, as the system's own tool would."""
        y = Rescaler.from_factor(
            unit.spec, unit.factor, acc_format=IntFormat(21), zero_point=unit.zero_point
        )
        rng = np.random.default_rng(2)
        acc = np.concatenate([rng.integers(-(1 << 20), 1 << 20, 200), EVERY_12_BIT[::9]])
        assert y.rescale(acc).tolist() == [unit.published(a) for a in acc.tolist()]

    @pytest.mark.parametrize("rounding", [*Rounding, *STOCHASTIC], ids=str)
    @pytest.mark.parametrize("shift", [0, 1, 2, 5, 6, 40, 62])
    def test_every_rounding(self, rounding, shift):
        """Shifts below, at and above the noise width; whole values and ties of both signs."""
        p = oracle.Parameters(multiplier=3, shift=shift)
        float_scale = oracle.Parameters(scale=Fraction(3, 1 << shift))
        for scaling, parameters in (
            (FixedPoint(rounding=rounding), p),
            (PowerOfTwo(rounding=rounding), p),
            (FloatScale(rounding=rounding), float_scale),
            (FixedPoint(rounding=rounding, product=ProductArithmetic.FLOAT64), p),
        ):
            check(RescalerSpec(output=INT16, scaling=scaling), EVERY_12_BIT[::7], [parameters])

    @pytest.mark.parametrize("rounding", Rounding, ids=str)
    def test_thresholds_equal_the_exact_rescale(self, rounding):
        """Counting thresholds is rounding the exact product, for every accumulator."""
        for factor, z in ((0.3, 0), (0.01, -5), (0.5, 7), (2.5, -8)):
            spec = RescalerSpec(output=IntFormat(4), scaling=Thresholds(rounding=rounding))
            unit = Rescaler.from_factor(spec, factor, acc_format=ACC12, zero_point=z)
            expected = [
                max(-8, min(7, oracle.round_fraction(a * Fraction(factor), rounding) + z))
                for a in EVERY_12_BIT.tolist()
            ]
            assert unit.rescale(EVERY_12_BIT).tolist() == expected

    @settings(max_examples=300)
    @given(st.data())
    def test_any_unit(self, data):
        """Random units of every kind, small enough that registers overflow and codes clip."""
        scaling, channels = data.draw(scalings_and_parameters())
        output = data.draw(formats(1, 14))
        wraps = data.draw(overflows) if not output.narrow else Overflow.SATURATE
        spec = RescalerSpec(
            output=output,
            scaling=scaling,
            overflow=wraps,
            granularity=Granularity.PER_CHANNEL,
            input_offset=data.draw(st.just(0) | st.integers(-99, 99)),
            intermediate=data.draw(st.none() | small_registers),
            clamp_point=data.draw(st.sampled_from(ClampPoint)),
        )
        clamp = data.draw(st.none() | st.tuples(*[st.integers(output.min, output.max)] * 2))
        acc_bits = data.draw(st.integers(2, 24))
        fmt = IntFormat(acc_bits)
        elements = st.integers(fmt.min, fmt.max) | st.sampled_from([fmt.min, fmt.max, 0])
        shape = data.draw(st.sampled_from([(3, len(channels)), (2, len(channels), 2)]))
        size = int(np.prod(shape))
        acc = np.array(data.draw(st.lists(elements, min_size=size, max_size=size))).reshape(shape)
        zero_point = data.draw(st.integers(output.min, output.max))
        check(spec, acc, channels, fmt, zero_point, clamp and tuple(sorted(clamp)))

    @pytest.mark.parametrize("bits", [24, 25, 31, 40, 53, 54, 60])
    @pytest.mark.parametrize("scaling", [FP32, FP64, HAWQ, SINGLE], ids=repr)
    def test_wide_accumulators(self, bits, scaling):
        """Past the significands of float32 (24 bits) and float64 (53 bits)."""
        rng = np.random.default_rng(bits)
        fmt = IntFormat(bits)
        acc = rng.integers(fmt.min, fmt.max, 200)
        acc[:8] = fmt.min, fmt.max, fmt.max - 1, fmt.min + 1, fmt.max // 2, fmt.max // 2 + 1, 1, 0
        p = oracle.Parameters(multiplier=3, shift=2, scale=Fraction(devices.to_float32(0.7)))
        check(RescalerSpec(output=IntFormat(62), scaling=scaling), acc, [p], fmt)


small_registers = st.builds(RegisterSpec, bits=st.integers(3, 16), overflow=overflows)


@st.composite
def scalings_and_parameters(draw):
    """A scaling of any kind but thresholds, and parameters of one to three channels."""
    n = draw(st.integers(1, 3))
    shifts = st.lists(st.integers(-6, 24), min_size=n, max_size=n)
    kind = draw(st.sampled_from([FixedPoint, FloatScale, PowerOfTwo]))
    rounding = draw(any_roundings)
    if kind is PowerOfTwo:
        scaling = PowerOfTwo(min_shift=-6, rounding=rounding)
        return scaling, [oracle.Parameters(shift=s) for s in draw(shifts)]
    if kind is FloatScale:
        width = draw(st.sampled_from(FloatWidth))
        scales = st.floats(2.0**-20, 99, width=32 if width is FloatWidth.FLOAT32 else 64)
        scales |= st.sampled_from([0.5, 0.25, 1.5])
        drawn = draw(st.lists(scales, min_size=n, max_size=n))
        scaling = FloatScale(width=width, rounding=rounding)
        return scaling, [oracle.Parameters(scale=Fraction(s)) for s in drawn]
    first = st.builds(
        FirstShift, shift=st.integers(1, 12), rounding=st.sampled_from(Rounding),
        register=small_registers,
    )  # fmt: skip
    product = draw(st.sampled_from(ProductArithmetic))
    exact = product is ProductArithmetic.EXACT
    scaling = FixedPoint(
        multiplier=IntFormat(16), min_shift=-6, rounding=rounding, product=product,
        first_shift=draw(st.none() | first) if exact else None,
        left_register=draw(st.none() | small_registers),
        addend=draw(st.none() | st.just(IntFormat(30))) if exact else None,
    )  # fmt: skip
    multipliers = st.integers(1, 32767) | st.sampled_from([1, 2, 1 << 14, 32767, -32768, -1, 0])
    drawn = draw(st.lists(multipliers, min_size=n, max_size=n))
    ends = st.sampled_from([-(1 << 29), (1 << 29) - 1]) if scaling.addend else st.just(0)
    some = st.integers(-(1 << 12), 1 << 12) if scaling.addend else st.just(0)
    addends = draw(st.lists(some | ends, min_size=n, max_size=n))
    triples = zip(drawn, draw(shifts), addends, strict=True)
    return scaling, [oracle.Parameters(multiplier=m, shift=s, addend=b) for m, s, b in triples]


def check(spec, acc, channels, acc_format=ACC12, zero_point=0, clamp=None):
    """Codes and products of ``acc`` equal the oracle's, in C order; channels on axis 1."""
    unit = rescaler(spec, *channels, acc=acc_format, zero_point=zero_point, clamp=clamp)
    per_channel = spec.granularity is Granularity.PER_CHANNEL
    codes, product = unit.rescale_traced(acc, channel_axis=1 if per_channel else None)
    rounding = spec.scaling.rounding
    drawn = isinstance(rounding, StochasticRounding)
    noise = oracle.noise_values(rounding, acc.size) if drawn else [0] * acc.size
    expected = [
        oracle.rescale(int(a), spec, channels[index[1] if per_channel else 0], zero_point, clamp, r)
        for (index, a), r in zip(np.ndenumerate(acc), noise, strict=True)
    ]
    assert codes.reshape(-1).tolist() == [e.code for e in expected]
    if not isinstance(spec.scaling, PowerOfTwo):
        assert product.reshape(-1).tolist() == [e.product for e in expected]


class TestLaws:
    @given(st.integers(1, (1 << 31) - 1), st.integers(20, 62), st.sampled_from(Rounding),
           st.integers(-128, 127))  # fmt: skip
    def test_saturating_is_monotone_and_within_the_format(self, m, shift, rounding, z):
        spec = RescalerSpec(output=INT8, scaling=FixedPoint(rounding=rounding))
        unit = rescaler(spec, oracle.Parameters(multiplier=m, shift=shift), zero_point=z)
        y = unit.rescale(np.linspace(-(2**31), 2**31 - 1, 999).astype(np.int64))
        assert (np.diff(y) >= 0).all()
        assert y.min() >= -128
        assert y.max() <= 127

    @given(st.integers(1, (1 << 31) - 1), st.integers(32, 62))
    def test_double_and_single_rounding_differ_by_one_at_most(self, m, shift):
        acc = np.random.default_rng(m).integers(-(1 << 31), 1 << 31, 99)
        p = oracle.Parameters(multiplier=m, shift=shift)
        once, twice = (
            rescaler(RescalerSpec(output=INT32, scaling=scaling), p).rescale(acc)
            for scaling in (SINGLE, TFLITE_DOUBLE)
        )
        assert (np.abs(once - twice) <= 1).all()

    @given(st.integers(1 << 30, (1 << 31) - 1), st.integers(24, 62))
    def test_tosa_double_equals_tflite_double(self, m, shift):
        fmt = IntFormat(24)
        acc = np.random.default_rng(m).integers(fmt.min, fmt.max + 1, 99)
        p = oracle.Parameters(multiplier=m, shift=shift)
        tosa, tflite = (
            rescaler(RescalerSpec(output=INT32, scaling=scaling), p, acc=fmt).rescale(acc)
            for scaling in (TOSA_DOUBLE, TFLITE_DOUBLE)
        )
        assert (tosa == tflite).all()

    @pytest.mark.parametrize("rounding", STOCHASTIC, ids=str)
    def test_a_call_starts_from_the_seed(self, rounding):
        spec = RescalerSpec(output=INT16, scaling=FixedPoint(rounding=rounding))
        unit = rescaler(spec, oracle.Parameters(multiplier=1, shift=4))
        acc = np.arange(-50, 50)
        assert (unit.rescale(acc) == unit.rescale(acc)).all()
        assert set((unit.rescale(acc) - acc // 16).tolist()) == {0, 1}

    def test_one_channel_alone_and_among_others(self):
        acc = np.arange(-300, 300).reshape(4, 3, 50)
        channels = [oracle.Parameters(multiplier=m, shift=9) for m in (100, 301, 77)]
        spec = RescalerSpec(output=INT8)
        whole = rescaler(replace(spec, granularity=Granularity.PER_CHANNEL), *channels)
        y = whole.rescale(acc, channel_axis=1)
        for c, p in enumerate(channels):
            assert (rescaler(spec, p).rescale(acc[:, c]) == y[:, c]).all()

    @pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1, 1)])
    def test_shape_and_dtype(self, shape):
        unit = rescaler(RescalerSpec(output=INT8), oracle.Parameters(multiplier=1, shift=0))
        codes, product = unit.rescale_traced(np.ones(shape, np.int32))
        assert codes.shape == product.shape == shape
        assert codes.dtype == np.int64

    def test_memory_layout_is_no_matter(self):
        acc = np.arange(-60, 60).reshape(4, 5, 6)
        spec = RescalerSpec(output=INT8, scaling=FixedPoint(rounding=STOCHASTIC[0]))
        unit = rescaler(spec, oracle.Parameters(multiplier=1, shift=3))
        y = unit.rescale(acc)
        assert (unit.rescale(np.asfortranarray(acc)) == y).all()
        assert (unit.rescale(acc[::-1].copy()[::-1]) == y).all()
        assert (unit.rescale(acc.astype(">i4")) == y).all()

    def test_accumulators_are_left_alone(self):
        acc = np.arange(-9, 9)
        acc.flags.writeable = False
        spec = RescalerSpec(output=INT8, input_offset=3)
        rescaler(spec, oracle.Parameters(multiplier=1, shift=1), zero_point=4).rescale(acc)


ONE = oracle.Parameters(multiplier=1, shift=0)


class TestRefusals:
    @pytest.mark.parametrize("z", [-128, 127])
    def test_legal_zero_points(self, z):
        assert rescaler(RescalerSpec(output=INT8), ONE, zero_point=z).rescale(0) == z

    @pytest.mark.parametrize("z", [-129, 128])
    def test_zero_point(self, z):
        with pytest.raises(SpecError, match=rf"zero_point must be a code of int8 .*, got {z}"):
            rescaler(RescalerSpec(output=INT8), ONE, zero_point=z)

    @pytest.mark.parametrize("z", [1.5, "1", None])
    def test_zero_point_is_an_integer(self, z):
        with pytest.raises((SpecError, DataError), match="zero_point must be"):
            rescaler(RescalerSpec(output=INT8), ONE, zero_point=z)

    @pytest.mark.parametrize("clamp", [(-128, 127), (-128, -128), (5, 5)])
    def test_legal_clamps(self, clamp):
        assert rescaler(RescalerSpec(output=INT8), ONE, clamp=clamp).clamp == clamp

    @pytest.mark.parametrize("clamp", [(-129, 0), (0, 128), (1, 0)])
    def test_clamp(self, clamp):
        with pytest.raises(SpecError, match=r"clamp must satisfy -128 <= low <= high <= 127, got"):
            rescaler(RescalerSpec(output=INT8), ONE, clamp=clamp)

    def test_parameters_of_another_kind(self):
        message = "FixedPoint takes FixedPointParameters, got PowerOfTwoParameters"
        with pytest.raises(SpecError, match=message):
            Rescaler(
                RescalerSpec(output=INT8),
                PowerOfTwoParameters(shift=np.array([1])),
                acc_format=INT8,
            )

    def test_one_factor_a_tensor(self):
        with pytest.raises(SpecError, match="a per-tensor rescaler holds one factor, got 2"):
            rescaler(RescalerSpec(output=INT8), ONE, ONE)
        rescaler(RescalerSpec(output=INT8, granularity=Granularity.PER_CHANNEL), ONE, ONE)

    @pytest.mark.parametrize(
        ("m", "legal"), [(0, True), (127, True), (-128, True), (128, False), (-129, False)]
    )
    def test_multiplier(self, m, legal):
        spec = RescalerSpec(output=INT8, scaling=FixedPoint(multiplier=INT8))
        p = oracle.Parameters(multiplier=m, shift=0)
        if legal:
            rescaler(spec, p)
        else:
            with pytest.raises(SpecError, match=rf"multiplier must be in -128\.\.127, got {m}"):
                rescaler(spec, p)

    @pytest.mark.parametrize("cls", [FixedPoint, PowerOfTwo])
    def test_shift(self, cls):
        spec = RescalerSpec(output=INT8, scaling=cls(min_shift=-1, max_shift=3))
        for shift in (-1, 3):
            rescaler(spec, oracle.Parameters(shift=shift))
        for shift in (-2, 4):
            with pytest.raises(SpecError, match=rf"shift must be in -1\.\.3, got {shift}"):
                rescaler(spec, oracle.Parameters(shift=shift))

    @pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
    def test_scale(self, scale):
        parameters = FloatParameters(scale=np.array([scale], np.float32))
        with pytest.raises(SpecError, match="scale must be finite and positive, got"):
            Rescaler(RescalerSpec(output=INT8, scaling=FP32), parameters, acc_format=INT8)

    def test_scale_has_the_stated_width(self):
        for scaling, width in ((FP32, "float32"), (FP64, "float64")):
            other = FloatParameters(
                scale=np.array([1.0], "float64" if width == "float32" else "float32")
            )
            with pytest.raises(SpecError, match=f"scale must be {width}, got"):
                Rescaler(RescalerSpec(output=INT8, scaling=scaling), other, acc_format=INT8)

    def test_thresholds(self):
        spec = RescalerSpec(output=IntFormat(2), scaling=Thresholds())
        rescaler(spec, oracle.Parameters(thresholds=(1, 1, 2)))
        with pytest.raises(
            SpecError, match=r"int2 needs 3 thresholds a channel, got shape \(1, 2\)"
        ):
            rescaler(spec, oracle.Parameters(thresholds=(1, 2)))
        with pytest.raises(SpecError, match="the thresholds of a channel must ascend"):
            rescaler(spec, oracle.Parameters(thresholds=(1, 3, 2)))

    @pytest.mark.parametrize(
        ("bits", "m", "legal"),
        [
            (32, (1 << 32) - 1, True),
            (32, 1 << 32, False),
            (33, (1 << 31) - 1, True),
            (33, 1 << 31, False),
        ],
    )
    def test_product(self, bits, m, legal):
        """2**(bits - 1) * m must stay below 2**63."""
        scaling = FixedPoint(multiplier=IntFormat(40, signed=False))
        spec = RescalerSpec(output=INT8, scaling=scaling)
        p = oracle.Parameters(multiplier=m, shift=62)
        if legal:
            fmt = IntFormat(bits)
            acc = np.array([fmt.min, fmt.max, 0])
            check(spec, acc, [p], fmt)
        else:
            with pytest.raises(WidthError, match=r"the rescaler's product could pass 63 bits"):
                rescaler(spec, p, acc=IntFormat(bits))

    @pytest.mark.parametrize("cls", [FixedPoint, PowerOfTwo])
    def test_left_shift(self, cls):
        """-2**11 shifted left by 51 is -2**62; by 52 it is -2**63, which is one too wide."""
        spec = RescalerSpec(output=INT8, scaling=cls(min_shift=-62))
        for shift in (51, 50):
            rescaler(spec, oracle.Parameters(shift=-shift), acc=ACC12)
        with pytest.raises(WidthError, match="accumulator shifted left could pass 63 bits"):
            rescaler(spec, oracle.Parameters(shift=-52), acc=ACC12)

    def test_float_product(self):
        spec = RescalerSpec(output=INT8, scaling=FP32)
        unit = rescaler(spec, oracle.Parameters(scale=Fraction(2) ** 51), acc=ACC12)
        assert unit.rescale([-2048, 2047, 0]).tolist() == [-128, 127, 0]
        for exponent in (52, 100):
            with pytest.raises(WidthError, match="float product could pass 63 bits"):
                rescaler(spec, oracle.Parameters(scale=Fraction(2) ** exponent), acc=ACC12)

    def test_offset(self):
        """The accumulator less its offset: 2**63 - 1 and -1 make 2**63, which is one too wide."""
        fmt = IntFormat(63)
        spec = RescalerSpec(output=INT8, scaling=PowerOfTwo(), input_offset=(1 << 62) - 2)
        assert rescaler(spec, ONE, acc=fmt).rescale([fmt.min, fmt.max]).tolist() == [-128, 1]
        unsigned = IntFormat(63, signed=False)
        half = oracle.Parameters(shift=1)
        rescaler(replace(spec, input_offset=0), half, acc=IntFormat(62))
        with pytest.raises(WidthError, match="accumulator less its offset could pass 63 bits"):
            rescaler(replace(spec, input_offset=-1), half, acc=unsigned)

    def test_result_with_its_zero_point(self):
        out = IntFormat(63)
        spec = RescalerSpec(output=out, scaling=PowerOfTwo())
        rescaler(spec, ONE, acc=IntFormat(62), zero_point=out.max)
        with pytest.raises(WidthError, match="result with its zero point could pass 63 bits"):
            rescaler(spec, ONE, acc=out, zero_point=out.min)

    def test_result_of_two_roundings_with_its_zero_point(self):
        """-2**31 * (2**31 - 1) / 2 is -2**61 + 2**30: how much is left for the zero point."""
        out = IntFormat(63, signed=False)
        register = RegisterSpec(bits=63)
        scaling = FixedPoint(first_shift=FirstShift(shift=1, register=register))
        spec = RescalerSpec(output=out, scaling=scaling)
        p = oracle.Parameters(multiplier=(1 << 31) - 1, shift=1)
        widest = (1 << 63) - (1 << 61) + (1 << 30) - 1
        check(spec, np.array([0, 1, INT32.min, INT32.max]), [p], INT32, widest)
        with pytest.raises(WidthError, match="result with its zero point could pass 63 bits"):
            rescaler(spec, p, zero_point=widest + 1)

    def test_float64_product(self):
        """Its rounding may add 2**10: 2**53 - 1 times 1024 could become 2**63."""
        fmt = IntFormat(53, signed=False)
        spec = RescalerSpec(output=IntFormat(62), scaling=HAWQ)
        acc = np.array([fmt.max, fmt.max - 1, 0])
        check(spec, acc, [oracle.Parameters(multiplier=1023, shift=3)], fmt)
        with pytest.raises(WidthError, match="product could pass 63 bits"):
            rescaler(spec, oracle.Parameters(multiplier=1024, shift=3), acc=fmt)

    @pytest.mark.parametrize("value", [-2049, 2048])
    def test_accumulators(self, value):
        unit = rescaler(RescalerSpec(output=INT8), ONE, acc=ACC12)
        unit.rescale([-2048, 2047])
        with pytest.raises(
            DataError, match=rf"accumulators must be codes of int12 .*, got {value}"
        ):
            unit.rescale([value])

    @pytest.mark.parametrize("dtype", [float, bool])
    def test_dtype(self, dtype):
        unit = rescaler(RescalerSpec(output=INT8), ONE)
        with pytest.raises(DataError, match="accumulators must be integer codes, got dtype"):
            unit.rescale(np.zeros(1, dtype))

    def test_channel_axis(self):
        spec = RescalerSpec(output=INT8, granularity=Granularity.PER_CHANNEL)
        unit = rescaler(spec, ONE, ONE)
        with pytest.raises(DataError, match="needs the axis of the output channels"):
            unit.rescale([1, 2])
        with pytest.raises(DataError, match=r"2 channels on axis 0, .*, got shape \(3,\)"):
            unit.rescale([1, 2, 3], channel_axis=0)
        with pytest.raises(DataError, match=r"2 channels on axis 0, .*, got shape \("):
            unit.rescale(1, channel_axis=0)


class TestGolden:
    """Vectors shared with the RTL testbench; regenerate only on a change of docs/datapath.md."""

    @pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
    def test_vectors(self, case):
        spec = RescalerSpec.from_toml(case["spec"])
        held = dict(case["parameters"])
        if "scale" in held:
            held["scale"] = Fraction(float.fromhex(held["scale"]))
        unit = rescaler(
            spec, oracle.Parameters(**held), acc=IntFormat(20), zero_point=case["zero_point"]
        )
        assert unit.rescale(case["acc"]).tolist() == case["codes"]


def test_thresholds_of_the_widest_accumulators_ascend():
    """Neighboring thresholds of 63-bit accumulators are farther apart than an int64 says."""
    spec = RescalerSpec(output=IntFormat(2), scaling=Thresholds(rounding=Rounding.TO_ZERO))
    acc_format = IntFormat(63)
    unit = Rescaler.from_factor(spec, 6.8e-21, acc_format=acc_format)
    codes = unit.rescale(np.array([acc_format.min, -1, 0, 1, acc_format.max]))
    assert codes.tolist() == [
        math.trunc(a * 6.8e-21) for a in (acc_format.min, -1, 0, 1, acc_format.max)
    ]


def adding(**fields):
    """A unit that adds a bias of 20 bits to its product."""
    scaling = FixedPoint(**({"addend": IntFormat(20), "min_shift": -8} | fields))
    return RescalerSpec(output=INT16, scaling=scaling, granularity=Granularity.PER_CHANNEL)


class TestAddend:
    """A bias that joins the product: (T m + B) / 2**right, rounded once."""

    @pytest.mark.parametrize(
        ("rounding", "expected"),
        [
            (Rounding.TO_NEG, [1, 2, -2, -3]),
            (Rounding.TO_ZERO, [1, 2, -1, -2]),
            (Rounding.TIES_POS, [2, 3, -1, -2]),
            (Rounding.TIES_AWAY, [2, 3, -2, -3]),
            (Rounding.TIES_EVEN, [2, 2, -2, -2]),
        ],
    )
    def test_ties(self, rounding, expected):
        """Quarters: 5 + 1 is 1.5, a tie; and -7 + 1 is -1.5."""
        p = oracle.Parameters(multiplier=1, shift=2, addend=1)
        unit = rescaler(adding(rounding=rounding), p)
        codes, product = unit.rescale_traced(np.array([[5], [9], [-7], [-11]]), channel_axis=1)
        assert codes.ravel().tolist() == expected
        assert product.ravel().tolist() == [6, 10, -6, -10]

    def test_each_channel_its_own(self):
        channels = [oracle.Parameters(multiplier=3, shift=1, addend=b) for b in (0, 1, -7)]
        unit = rescaler(adding(), *channels)
        assert unit.rescale([[1, 1, 1]], channel_axis=1).tolist() == [[2, 2, -2]]

    def test_after_a_left_shift(self):
        p = oracle.Parameters(multiplier=3, shift=-2, addend=5)
        assert rescaler(adding(), p).rescale([[2], [-2]], channel_axis=1).tolist() == [[29], [-19]]

    def test_before_the_first_of_two_roundings(self):
        """(5 * 3 + 1) / 2 is 8, no tie any more; then 8 / 4."""
        first = FirstShift(shift=1)
        p = oracle.Parameters(multiplier=3, shift=3, addend=1)
        for register in (None, RegisterSpec(bits=16)):
            spec = adding(first_shift=first, left_register=register)
            codes, product = rescaler(spec, p).rescale_traced([[5]], channel_axis=1)
            assert (codes.tolist(), product.tolist()) == ([[2]], [[16]])

    @pytest.mark.parametrize("shift", [-3, 0, 2, 5, 9])
    @pytest.mark.parametrize("register", [None, RegisterSpec(bits=16)])
    @pytest.mark.parametrize("first", [None, FirstShift(shift=5)])
    def test_against_the_oracle(self, shift, register, first):
        spec = adding(first_shift=first, left_register=register)
        channels = [
            oracle.Parameters(multiplier=m, shift=shift, addend=b)
            for m, b in ((1, 1), (3, -1), (77, 1 << 18), (1000, -(1 << 19)))
        ]
        acc = np.repeat(EVERY_12_BIT[::41, None], 4, axis=1)
        check(spec, acc, channels)

    @pytest.mark.parametrize("addend", [-(1 << 19), (1 << 19) - 1])
    def test_legal(self, addend):
        rescaler(adding(), replace(ONE, addend=addend))

    @pytest.mark.parametrize("addend", [-(1 << 19) - 1, 1 << 19])
    def test_beyond_its_format(self, addend):
        message = rf"addend must be in -524288\.\.524287, got {addend}"
        with pytest.raises(SpecError, match=message):
            rescaler(adding(), replace(ONE, addend=addend))

    def test_without_a_place(self):
        held = replace(fixed(1, 0), addend=np.array([1]))
        with pytest.raises(SpecError, match="the rescaler takes no bias: leave addend out, or"):
            Rescaler(RescalerSpec(output=INT8), held, acc_format=INT8)

    def test_one_a_factor(self):
        held = replace(fixed(1, 0), addend=np.array([1, 2]))
        message = r"addend must have one value a factor, \(1,\), got \(2,\)"
        with pytest.raises(SpecError, match=message):
            Rescaler(adding(), held, acc_format=INT8)

    def test_no_addend_adds_nothing(self):
        unit = Rescaler(adding(), fixed(3, 1), acc_format=INT8)
        assert unit.rescale([[5]], channel_axis=1).tolist() == [[8]]

    @pytest.mark.parametrize("sign", [1, -1])
    def test_product_with_it(self, sign):
        """2**31 * 2**31 and the addend stay below 2**63."""
        spec = adding(multiplier=IntFormat(33, signed=False), addend=IntFormat(63))
        most = (1 << 62) - 1
        p = oracle.Parameters(multiplier=1 << 31, shift=62, addend=sign * most)
        acc = np.array([[INT32.min], [INT32.max], [0]])
        check(spec, acc, [p], INT32)
        with pytest.raises(WidthError, match="the rescaler's product could pass 63 bits"):
            rescaler(spec, replace(p, addend=-most - 1), acc=INT32)
