"""Tests for lsqsim.quantizer: worked examples, the oracle, laws, refusals, golden vectors."""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

import oracle
from lsqsim.errors import DataError, SpecError
from lsqsim.formats import Generator, IntFormat, Rounding, StochasticRounding
from lsqsim.quantizer import Quantizer
from lsqsim.specs import QuantizerSpec, StepArithmetic
from oracle.narrowing import round_fraction
from strategies import any_roundings, formats

INT4, INT8, UINT8 = IntFormat(4), IntFormat(8), IntFormat(8, signed=False)
GOLDEN = json.loads((Path(__file__).parent / "golden" / "quantizer.json").read_text())
STOCHASTIC = (
    StochasticRounding(seed=2463534242, bits=8),
    StochasticRounding(generator=Generator.SPLITMIX64, seed=1, bits=32),
)
FINITE = {"allow_nan": False, "allow_infinity": True}


def codes(values, step=1.0, zero_point=0, **options):
    spec = QuantizerSpec(**{"format": INT8} | options)
    unit = Quantizer(spec, step_size=step, zero_point=zero_point)
    return unit.quantize(np.asarray(values)).codes.tolist()


def expected_codes(unit, values):
    """The oracle, element by element, in C order."""
    spec = unit.spec
    rounding = spec.rounding
    drawn = isinstance(rounding, StochasticRounding)
    noise = oracle.noise_values(rounding, values.size) if drawn else [0] * values.size
    axis = spec.channel_axis
    result = []
    for (index, value), r in zip(np.ndenumerate(values), noise, strict=True):
        c = 0 if axis is None else index[axis]
        step, z = float(unit.step_size[c]), int(unit.zero_point[c])
        result.append(oracle.quantize(value.item(), step, z, spec, r))
    return result


class TestWorkedExamples:
    @pytest.mark.parametrize(
        ("rounding", "expected"),
        [
            (Rounding.TO_NEG, [-3, -2, -1, 0, 1, 2]),
            (Rounding.TO_ZERO, [-2, -1, 0, 0, 1, 2]),
            (Rounding.TIES_POS, [-2, -1, 0, 1, 2, 3]),
            (Rounding.TIES_AWAY, [-3, -2, -1, 1, 2, 3]),
            (Rounding.TIES_EVEN, [-2, -2, 0, 0, 2, 2]),
        ],
    )
    def test_ties(self, rounding, expected):
        assert codes([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], rounding=rounding) == expected
        assert codes([-1.25, -0.75, -0.25, 0.25, 0.75, 1.25], 0.5, rounding=rounding) == expected

    @pytest.mark.parametrize("text", ["int4", "uint4", "int4-narrow", "int1", "uint1", "int63"])
    def test_ends_and_beyond(self, text):
        f = IntFormat.parse(text)
        values = [-math.inf, -1e300, float(f.min), float(f.max), 1e300, math.inf]
        assert codes(values, format=f) == [f.min, f.min, f.min, f.max, f.max, f.max]

    def test_widest_unsigned_format(self):
        # 2**63 - 1024 is the largest float64 below the format's end
        f = IntFormat(63, signed=False)
        assert codes([2.0**63 - 1024, 2.0**63, 1e30], format=f) == [2**63 - 1024, f.max, f.max]

    def test_zero_point_is_added_after_rounding_and_before_the_clip(self):
        assert codes([-100.0, -0.5, 0.0, 0.5, 1.5, 200.0], zero_point=3) == [-97, 3, 3, 3, 5, 127]

    @pytest.mark.parametrize("zero_point", [-128, 127])
    def test_zero_point_at_the_ends(self, zero_point):
        y = codes([-300.0, -1.0, 0.0, 1.0, 300.0], zero_point=zero_point)
        clipped = [max(-128, min(127, int(v) + zero_point)) for v in (-300, -1, 0, 1, 300)]
        assert y == clipped

    @pytest.mark.parametrize(
        ("value", "step", "expected"),
        [
            (0.105, 0.07, [1, 2, 1]),  # 1.4999999999999998, 1.5, 1.4999998807907104
            (0.945, 0.27, [3, 3, 4]),  # 3.4999999999999996, 3.499999761581421, 3.5
            (0.045, 0.01, [4, 5, 4]),  # 4.5, 4.500000476837158, 4.5
        ],
    )
    def test_arithmetics_part_at_ties(self, value, step, expected):
        assert [codes(value, step, arithmetic=a) for a in StepArithmetic] == expected

    def test_float32_overflows_to_infinity_and_clips(self):
        values = [1e39, -1e39]  # past float32
        assert [codes(values, 1e38, arithmetic=a) for a in StepArithmetic] == [
            [10, -10],
            [127, -128],
            [127, -128],
        ]

    def test_one_step_a_channel(self):
        spec = QuantizerSpec(format=INT8, channel_axis=1)
        unit = Quantizer(spec, step_size=[1.0, 0.5, 0.25], zero_point=[0, 1, 2])
        q = unit.quantize(np.ones((2, 3)))
        assert q.codes.tolist() == [[1, 3, 6], [1, 3, 6]]
        assert q.dequantize().tolist() == [[1.0] * 3] * 2
        assert (q.channel_axis, q.format) == (1, INT8)

    def test_smallest_negative_goes_down(self):
        tiny = [-5e-324, 5e-324, -0.0]
        assert codes(tiny, rounding=Rounding.TO_NEG) == [-1, 0, 0]
        assert codes(tiny, rounding=StochasticRounding(bits=1))[2] == 0

    def test_the_largest_fraction_below_a_half_is_not_a_half(self):
        # adding 0.5 in floating point would round 0.49999999999999994 up to 1
        below = math.nextafter(0.5, 0.0)
        assert codes([below, -below], rounding=Rounding.TIES_AWAY) == [0, 0]
        assert codes([2.0**52 + 1], format=IntFormat(60)) == [2**52 + 1]


@cache
def float16_values():
    """Every float16 that is not a NaN: 63490 of the 65536 bit patterns."""
    values = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    return values[~np.isnan(values)]


@cache
def float16_quotients(arithmetic, step, stride):
    return [oracle.quotient(v, step, arithmetic) for v in float16_values()[::stride].tolist()]


class TestAgainstOracle:
    """Every code equals the oracle's, bit for bit."""

    @pytest.mark.parametrize("rounding", [*Rounding, *STOCHASTIC], ids=str)
    @pytest.mark.parametrize("arithmetic", StepArithmetic, ids=str)
    # A stride of 7 for the second and third step: the oracle takes 5 us a quotient, and all
    # exponents and low bits of significands still come up.
    @pytest.mark.parametrize(("step", "stride"), [(0.1, 1), (0.0078125, 7), (3.3e-5, 7)])
    def test_every_float16(self, arithmetic, rounding, step, stride):
        values = float16_values()[::stride]
        spec = QuantizerSpec(format=INT8, arithmetic=arithmetic, rounding=rounding)
        y = Quantizer(spec, step_size=step, zero_point=-5).quantize(values).codes.tolist()
        drawn = isinstance(rounding, StochasticRounding)
        noise = oracle.noise_values(rounding, len(y)) if drawn else [0] * len(y)
        quotients = float16_quotients(arithmetic, step, stride)
        expected = [
            round_fraction(x, rounding, r) - 5 if abs(x) < 1000 else math.copysign(1000, x)
            for x, r in zip(quotients, noise, strict=True)
        ]
        assert y == [max(-128, min(127, code)) for code in expected]

    @given(st.data(), formats(), any_roundings, st.sampled_from(StepArithmetic))
    def test_any_spec(self, data, fmt, rounding, arithmetic):
        spec = QuantizerSpec(format=fmt, rounding=rounding, arithmetic=arithmetic)
        step = data.draw(st.floats(1e-6, 1e6) | st.sampled_from([1.0, 0.5, 2.0**-20, 1e-30, 1e30]))
        z = data.draw(st.integers(fmt.min, fmt.max) | st.sampled_from([fmt.min, fmt.max]))
        halves = st.integers(-600, 600).map(lambda n: n / 2 * step)
        near_ends = st.sampled_from([fmt.min, fmt.max]).map(lambda q: (q - z) * step)
        elements = halves | near_ends | st.floats(**FINITE)
        values = np.array(data.draw(st.lists(elements, max_size=12)))
        unit = Quantizer(spec, step_size=step, zero_point=z)
        assert unit.quantize(values).codes.tolist() == expected_codes(unit, values)

    @given(st.data(), any_roundings, st.sampled_from(StepArithmetic))
    def test_any_channels_and_dtype(self, data, rounding, arithmetic):
        shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3))
        axis = data.draw(st.integers(0, len(shape) - 1))
        channels = shape[axis]
        dtype = data.draw(st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.uint64]))
        values = data.draw(hnp.arrays(dtype, shape, elements=FINITE if dtype(0.5) else None))
        steps = data.draw(st.lists(st.floats(1e-3, 1e3), min_size=channels, max_size=channels))
        zeros = data.draw(st.lists(st.integers(-8, 7), min_size=channels, max_size=channels))
        if not channels:
            steps, zeros = [1.0], [0]
            axis = None
        spec = QuantizerSpec(
            format=INT4, rounding=rounding, arithmetic=arithmetic, channel_axis=axis
        )
        unit = Quantizer(spec, step_size=np.array(steps), zero_point=np.array(zeros))
        got = unit.quantize(values).codes
        assert got.shape == shape
        assert got.reshape(-1).tolist() == expected_codes(unit, values)

    @pytest.mark.parametrize("value", [2**53 + 1, 2**63 - 1, -(2**63), 2**24 + 1, 2**64 - 1])
    @pytest.mark.parametrize("arithmetic", StepArithmetic, ids=str)
    def test_wide_integers_are_rounded_once(self, arithmetic, value):
        spec = QuantizerSpec(format=IntFormat(63), arithmetic=arithmetic)
        unit = Quantizer(spec, step_size=2.0)
        values = np.array([value])
        assert unit.quantize(values).codes.tolist() == expected_codes(unit, values)


class TestLaws:
    @given(st.lists(st.floats(**FINITE), max_size=20), st.sampled_from(Rounding),
           st.sampled_from(StepArithmetic))  # fmt: skip
    def test_monotone(self, values, rounding, arithmetic):
        y = codes(sorted(values), 0.37, rounding=rounding, arithmetic=arithmetic)
        assert y == sorted(y)

    @given(st.lists(st.floats(-12.0, 12.0), max_size=20), st.sampled_from(Rounding))
    def test_error_is_half_a_step_or_less_for_nearest(self, values, rounding):
        values = np.array(values)
        unit = Quantizer(QuantizerSpec(format=INT8, rounding=rounding), step_size=0.1)
        error = np.abs(unit.quantize(values).dequantize() - values)
        assert (error <= (0.05 if rounding.is_nearest else 0.1) + 1e-12).all()

    @pytest.mark.parametrize("step", [0.1, 1 / 3, 7.0, 1e-20])
    def test_codes_come_back(self, step):
        unit = Quantizer(QuantizerSpec(format=INT8), step_size=step, zero_point=9)
        q = unit.quantize((np.arange(-128, 128) - 9) * step)
        assert q.codes.tolist() == list(range(-128, 128))
        assert (unit.quantize(q.dequantize()).codes == q.codes).all()

    @pytest.mark.parametrize("rounding", STOCHASTIC, ids=str)
    def test_a_call_starts_from_the_seed(self, rounding):
        unit = Quantizer(QuantizerSpec(format=INT8, rounding=rounding), step_size=1.0)
        values = np.linspace(-3, 3, 50)
        assert (unit.quantize(values).codes == unit.quantize(values).codes).all()

    @pytest.mark.parametrize("rounding", STOCHASTIC, ids=str)
    def test_stochastic_is_right_on_average(self, rounding):
        y = np.array(codes(np.full(4096, 0.3), rounding=rounding))
        assert set(y.tolist()) == {0, 1}
        assert abs(y.mean() - 0.3) < 5 * math.sqrt(0.21 / 4096)

    def test_memory_layout_is_no_matter(self):
        values = np.linspace(-9, 9, 60).reshape(3, 4, 5)
        spec = QuantizerSpec(format=INT8, rounding=STOCHASTIC[0], channel_axis=1)
        unit = Quantizer(spec, step_size=[0.1, 0.2, 0.3, 0.4])
        expected = unit.quantize(values).codes
        swapped = np.asfortranarray(values)
        reversed_twice = values[::-1, :, ::-1].copy()[::-1, :, ::-1]
        big_endian = values.astype(">f8")
        for other in (swapped, reversed_twice, big_endian, values.tolist()):
            assert (unit.quantize(other).codes == expected).all()

    def test_values_are_left_alone(self):
        values = np.array([0.3, 1.7])
        values.flags.writeable = False
        assert codes(values) == [0, 2]

    @pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1)])
    def test_shape_stays(self, shape):
        q = Quantizer(QuantizerSpec(format=INT8), step_size=1.0).quantize(np.ones(shape))
        assert q.codes.shape == shape
        assert q.codes.dtype == np.int64
        assert q.step_size.shape == q.zero_point.shape == ()


class TestRefusals:
    @pytest.mark.parametrize("step", [0.0, -0.0, -1.0, math.inf, -math.inf, math.nan])
    @pytest.mark.parametrize("arithmetic", StepArithmetic, ids=str)
    def test_step(self, arithmetic, step):
        with pytest.raises(SpecError, match=f"step_size must be finite and positive.*got {step}"):
            codes([1.0], step, arithmetic=arithmetic)

    @pytest.mark.parametrize(
        ("arithmetic", "legal", "refused"),
        [
            # float64: the least subnormal is a number; its quotients may overflow, and clip
            (StepArithmetic.DIVIDE_FLOAT64, [5e-324, 1.7e308], []),
            # float32: half its least subnormal rounds to 0, its largest plus half an LSB to inf
            (StepArithmetic.DIVIDE_FLOAT32, [2.0**-149, (2 - 2.0**-23) * 2.0**127],
             [2.0**-150, (2 - 2.0**-24) * 2.0**127]),
            # and its reciprocal: 1 / 2**-128 is 2**128, which is inf; the next float32 is legal
            (StepArithmetic.RECIPROCAL_FLOAT32, [2.0**-128 + 2.0**-149, (2 - 2.0**-23) * 2.0**127],
             [2.0**-128, 2.0**-149, 2.0**128]),
        ],
    )  # fmt: skip
    def test_limits_of_the_step(self, arithmetic, legal, refused):
        for step in legal:
            assert codes([0.0, math.inf], step, arithmetic=arithmetic) == [0, 127]
        for step in refused:
            with pytest.raises(SpecError, match="step_size must be finite and positive, as must"):
                codes([0.0], step, arithmetic=arithmetic)

    def test_message_names_the_reciprocal(self):
        with pytest.raises(SpecError, match="float32 value and reciprocal, got 1e-40"):
            codes([0.0], 1e-40, arithmetic=StepArithmetic.RECIPROCAL_FLOAT32)

    def test_step_of_one_channel(self):
        spec = QuantizerSpec(format=INT8, channel_axis=0)
        with pytest.raises(SpecError, match=r"got -1\.0 \(channel 1\)"):
            Quantizer(spec, step_size=[1.0, -1.0])

    @pytest.mark.parametrize("step", ["1", None, 1j, [1.0, 2.0], [[1.0]], [1.0, [2.0]], [True]])
    def test_step_is_one_number(self, step):
        with pytest.raises(DataError, match="step_size must be"):
            codes([1.0], step)

    @pytest.mark.parametrize("fmt", [INT4, UINT8, IntFormat(4, narrow=True)], ids=str)
    def test_zero_point_is_a_code(self, fmt):
        for z in (fmt.min, fmt.max):
            codes([0.0], zero_point=z, format=fmt)
        for z in (fmt.min - 1, fmt.max + 1):
            with pytest.raises(SpecError, match=f"zero_point must be a code of {fmt} .*, got {z}"):
                codes([0.0], zero_point=z, format=fmt)

    @pytest.mark.parametrize("z", [1.0, "1", [0, 1]])
    def test_zero_point_is_an_integer(self, z):
        with pytest.raises(DataError, match="zero_point must be"):
            codes([0.0], zero_point=z)

    @pytest.mark.parametrize("z", [2**64 - 1, 2**63, 2**64, -(2**63) - 1])
    def test_zero_point_past_int64(self, z):
        with pytest.raises((SpecError, DataError), match=f"zero_point must .*{z}"):
            codes([0.0], zero_point=z)

    def test_nan(self):
        values = np.ones((2, 3), np.float32)
        values[1, 0] = values[1, 2] = np.nan
        message = r"NaN has no code: 2 of 6 values are NaN, the first at index \(1, 0\)"
        with pytest.raises(DataError, match=message):
            codes(values)

    @pytest.mark.parametrize("dtype", [bool, np.complex128, object, "U1", np.longdouble])
    def test_dtype(self, dtype):
        message = "values must be float16, float32, float64 or integers, got dtype"
        with pytest.raises(DataError, match=message):
            codes(np.zeros(2, dtype))

    def test_channel_axis(self):
        spec = QuantizerSpec(format=INT8, channel_axis=1)
        unit = Quantizer(spec, step_size=[1.0, 2.0, 3.0])
        unit.quantize(np.zeros((1, 3)))
        with pytest.raises(DataError, match=r"values must have a channel axis 1, got shape \(3,\)"):
            unit.quantize(np.zeros(3))
        with pytest.raises(DataError, match=r"3 channels on axis 1, .* got shape \(3, 2\)"):
            unit.quantize(np.zeros((3, 2)))

    def test_channels_of_steps_and_zero_points_agree(self):
        spec = QuantizerSpec(format=INT8, channel_axis=0)
        assert Quantizer(spec, step_size=1.0, zero_point=[1, 2]).n_channels == 2
        with pytest.raises(DataError, match=r"one for each of the 3 channels, got shape \(2,\)"):
            Quantizer(spec, step_size=[1.0, 2.0], zero_point=[1, 2, 3])


class TestGolden:
    """Vectors shared with the RTL testbench; regenerate only on a change of docs/datapath.md."""

    @pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
    def test_vectors(self, case):
        unit = Quantizer(
            QuantizerSpec.from_toml(case["spec"]),
            step_size=float.fromhex(case["step_size"]),
            zero_point=case["zero_point"],
        )
        values = np.array([float.fromhex(v) for v in case["values"]])
        assert unit.quantize(values).codes.tolist() == case["codes"]
