"""The oracle itself: against published formulas, published numbers, and the text's own tables."""

import json
import math
import random
import runpy
import struct
from fractions import Fraction
from itertools import islice, product
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

import devices
import oracle
from lsqsim.formats import Generator, IntFormat, Overflow, Rounding, StochasticRounding
from lsqsim.specs import (
    AccumulatorSpec,
    BiasPlacement,
    Conv2dSpec,
    FanIn,
    FixedPoint,
    KOrder,
    Layout,
    PowerOfTwo,
    QuantizerSpec,
    RescalerSpec,
    StageSpec,
    StepArithmetic,
    Thresholds,
    ZeroPointHandling,
)
from oracle.folding import Refused, fold_thresholds
from oracle.narrowing import splitmix64_outputs, xorshift32_words
from shipped_units import FP32, OUT32, SINGLE, TFLITE_16X8, TFLITE_DOUBLE, TOSA_DOUBLE, UNITS

HALVES = [Fraction(-5, 2), Fraction(-3, 2), Fraction(3, 2), Fraction(5, 2)]
UINT31 = IntFormat(31, signed=False)


class TestRounding:
    """The table of docs/datapath.md, and the laws that define each rule."""

    @pytest.mark.parametrize(
        ("rounding", "expected"),
        [
            (Rounding.TO_NEG, [-3, -2, 1, 2]),
            (Rounding.TO_ZERO, [-2, -1, 1, 2]),
            (Rounding.TIES_POS, [-2, -1, 2, 3]),
            (Rounding.TIES_AWAY, [-3, -2, 2, 3]),
            (Rounding.TIES_EVEN, [-2, -2, 2, 2]),
        ],
    )
    def test_table_of_the_text(self, rounding, expected):
        assert [oracle.round_fraction(x, rounding) for x in HALVES] == expected

    @pytest.mark.parametrize("rounding", Rounding)
    def test_nearest_rules_differ_at_ties_only(self, rounding):
        for n in range(-24, 25):
            x = Fraction(n, 8)
            y = oracle.round_fraction(x, rounding)
            assert abs(y - x) < 1
            if rounding.is_nearest and n % 8 != 4:
                assert y == math.floor(x + Fraction(1, 2))

    @given(st.fractions(-1000, 1000))
    def test_to_even_is_pythons_own(self, x):
        assert oracle.round_fraction(x, Rounding.TIES_EVEN) == round(x)

    def test_stochastic_is_up_for_the_share_of_the_fraction(self):
        rule = StochasticRounding(bits=3)
        ups = [oracle.round_fraction(Fraction(-11, 8), rule, noise) for noise in range(8)]
        assert ups == [-2, -2, -2, -1, -1, -1, -1, -1]  # -1.375 is 5/8 above -2


class TestStore:
    @pytest.mark.parametrize(
        ("text", "below", "above"),
        [
            ("int8", (-128, 127), (127, -128)),
            ("uint8", (0, 255), (255, 0)),
            ("int1", (-1, 0), (0, -1)),
            ("uint1", (0, 1), (1, 0)),
            ("int63", (-(1 << 62), (1 << 62) - 1), ((1 << 62) - 1, -(1 << 62))),
        ],
    )
    def test_one_past_each_end(self, text, below, above):
        out = IntFormat.parse(text)
        for x, (saturated, wrapped) in ((out.min - 1, below), (out.max + 1, above)):
            assert oracle.store_format(x, out, Overflow.SATURATE) == saturated
            assert oracle.store_format(x, out, Overflow.WRAP) == wrapped

    @given(st.integers(-(1 << 70), 1 << 70), st.integers(2, 63))
    def test_wrap_keeps_the_low_bits(self, x, bits):
        y = oracle.store(x, bits, Overflow.WRAP)
        assert IntFormat(bits).holds(y)
        assert (x - y) % (1 << bits) == 0


class TestNoise:
    """Known answers of both generators."""

    def test_xorshift32(self):
        # Marsaglia's 13, 17, 5 from seed 1: the first words of every published implementation
        assert list(islice(xorshift32_words(1), 4)) == [270369, 67634689, 2647435461, 307599695]

    def test_splitmix64(self):
        # the vector of Rosetta Code and of several libraries' tests, in full 64 bits
        assert list(islice(splitmix64_outputs(1234567), 3)) == [
            6457827717110365317,
            3203168211198807973,
            9817491932198370423,
        ]

    @pytest.mark.parametrize(
        ("generator", "words"),
        [
            (Generator.XORSHIFT32, [270369, 67634689, 2647435461]),
            (Generator.SPLITMIX64, [6457827717110365317 >> 32, 3203168211198807973 >> 32]),
        ],
    )
    @pytest.mark.parametrize("bits", [1, 8, 31, 32])
    def test_top_bits_of_each_word(self, generator, words, bits):
        seed = 1 if generator is Generator.XORSHIFT32 else 1234567
        rule = StochasticRounding(generator=generator, seed=seed, bits=bits)
        expected = [int(f"{word:032b}"[:bits], 2) for word in words]
        assert oracle.noise_values(rule, len(words)) == expected


class TestFloats:
    """fl32 and fl64 against the machine's own conversions, which IEEE 754 fixes."""

    @pytest.mark.parametrize(
        ("x", "expected"),
        [
            (Fraction((1 << 24) + 1), 1 << 24),
            (Fraction((1 << 24) + 3), (1 << 24) + 4),
            (Fraction(1, 1 << 150), 0),
            (Fraction(3, 1 << 151), Fraction(1, 1 << 149)),
            ((2 - Fraction(1, 1 << 24)) * (1 << 127), math.inf),
            ((2 - Fraction(1, 1 << 24)) * (1 << 127) - 1, Fraction((1 << 24) - 1) * (1 << 104)),
            (-Fraction(1 << 128), -math.inf),
            (math.inf, math.inf),
        ],
        ids=["to-even", "up-to-even", "to-0", "subnormal", "to-inf", "max", "to-minus-inf", "inf"],
    )
    def test_edges_of_float32(self, x, expected):
        assert oracle.fl32(x) == expected

    @given(st.floats(allow_nan=False))
    def test_fl32_is_the_machines(self, x):
        try:
            expected = struct.unpack("f", struct.pack("f", x))[0]
        except OverflowError:
            expected = math.copysign(math.inf, x)
        assert oracle.fl32(x) == expected

    @given(st.integers(-(1 << 1100), 1 << 1100), st.integers(1, 1 << 1200))
    def test_fl64_is_pythons_true_division(self, n, d):
        try:
            expected = n / d
        except OverflowError:
            expected = math.inf if n > 0 else -math.inf
        assert oracle.fl64(Fraction(n, d)) == expected

    @given(
        st.floats(width=32, min_value=-(2.0**60), max_value=2.0**60),
        st.floats(width=32, min_value=2.0**-60, max_value=2.0**60),
    )
    def test_float32_quotient_and_reciprocal(self, v, s):
        # the quotient of two float32 rounds innocuously through float64 (53 >= 2 * 24 + 2)
        quotient = oracle.quotient(v, s, StepArithmetic.DIVIDE_FLOAT32)
        assert quotient == devices.to_float32(v / s)
        product = oracle.quotient(v, s, StepArithmetic.RECIPROCAL_FLOAT32)
        assert product == devices.to_float32(v * devices.to_float32(1 / s))


class TestQuantize:
    def test_worked(self):
        spec = QuantizerSpec(format=IntFormat(4), rounding=Rounding.TIES_EVEN)
        values = [0.0, 0.24, 0.25, 0.75, -0.25, 3.75, 100.0, math.inf, -math.inf, 2]
        codes = [oracle.quantize(v, 0.5, 1, spec) for v in values]
        assert codes == [1, 1, 1, 3, 1, 7, 7, 7, -8, 5]

    def test_arithmetics_differ(self):
        # 0.15 / 0.3 is a hair below a half in float64; float32 operands make it exactly half
        half = QuantizerSpec(format=IntFormat(8), rounding=Rounding.TIES_POS)
        assert oracle.quantize(0.15, 0.3, 0, half) == 1
        ten_thirds = oracle.quotient(1.0, 0.3, StepArithmetic.DIVIDE_FLOAT64)
        assert ten_thirds == Fraction(1.0 / 0.3)
        assert oracle.quotient(1e300, 1e-30, StepArithmetic.DIVIDE_FLOAT64) == math.inf
        assert oracle.quotient(1e39, 1.0, StepArithmetic.DIVIDE_FLOAT32) == math.inf
        assert oracle.quotient(1e39, 1.0, StepArithmetic.DIVIDE_FLOAT64) == Fraction(1e39)

    def test_smallest_negative_rounds_down(self):
        spec = QuantizerSpec(format=IntFormat(4), rounding=Rounding.TO_NEG)
        assert oracle.quantize(-5e-324, 1.0, 0, spec) == -1


def reduce_stages(x, w, addend, *stages, z=(0, 0), **options):
    built = tuple(
        StageSpec(fan_in=fan_in, bits=bits, overflow=overflow) for fan_in, bits, overflow in stages
    )
    return oracle.reduce(x, w, addend, AccumulatorSpec(stages=built, **options), *z)


ALL, WRAP, SATURATE = FanIn.ALL, Overflow.WRAP, Overflow.SATURATE


class TestReduce:
    """Outputs small enough to follow by hand."""

    def test_wrap_forgives_what_saturation_does_not(self):
        # 4-bit register, 7 + 5 - 6: passes 12, ends at 6
        x, w = [7, 5, -6], [1, 1, 1]
        wrapped = reduce_stages(x, w, 0, (ALL, 4, WRAP))
        assert (wrapped.register, wrapped.total, wrapped.kind) == (6, 6, "transient")
        saturated = reduce_stages(x, w, 0, (ALL, 4, SATURATE))
        assert (saturated.register, saturated.kind) == (1, "transient")
        assert (saturated.first_stage, saturated.first_k) == (0, 1)

    def test_persistent(self):
        y = reduce_stages([7, 5], [1, 1], 0, (ALL, 4, WRAP))
        assert (y.register, y.total, y.kind) == (-4, 12, "persistent")

    def test_first_addition_overflows_alone(self):
        y = reduce_stages([3], [3], 0, (ALL, 4, SATURATE))
        assert (y.register, y.kind, y.first_k) == (7, "persistent", 0)

    def test_groups_and_the_short_last_one(self):
        y = reduce_stages([1, 2, 3, 4, 5], [1] * 5, 10, (2, 8, WRAP), (2, 8, WRAP), (ALL, 8, WRAP))
        assert y.stage_results == [[3, 7, 5], [10, 5], [25]]
        assert (y.kind, y.first_stage, y.first_k) == ("none", None, None)

    def test_inner_stage_comes_first(self):
        # product 1 completes a group of 6-bit registers: both additions at that instant overflow
        y = reduce_stages([20, 20, 0], [1, 1, 1], 0, (2, 6, SATURATE), (ALL, 5, SATURATE))
        assert y.stage_results == [[31, 0], [15]]
        assert (y.first_stage, y.first_k) == (0, 1)

    def test_earlier_outer_comes_before_later_inner(self):
        y = reduce_stages([5, 5, 30, 30], [1] * 4, 0, (2, 6, WRAP), (ALL, 4, WRAP))
        assert (y.first_stage, y.first_k) == (1, 1)

    def test_short_group_is_flushed_after_the_last_product(self):
        # 3 products, groups of 2, then groups of 2: the last addition of stage 2 is at product 2
        y = reduce_stages([3, 3, 3], [1] * 3, 0, (2, 8, WRAP), (2, 8, WRAP), (ALL, 4, WRAP))
        assert (y.first_stage, y.first_k) == (2, 2)

    @pytest.mark.parametrize(
        ("order", "first_k"), [(KOrder.NATURAL, 2), (KOrder.REVERSED, 0), ((1, 2, 0), 0)]
    )
    def test_k_index_is_natural(self, order, first_k):
        y = reduce_stages([3, 3, 3], [1] * 3, 0, (ALL, 4, WRAP), order=order)
        assert (y.first_stage, y.first_k) == (0, first_k)

    @pytest.mark.parametrize(
        ("placement", "first_k", "register"),
        [(BiasPlacement.PRELOAD, -1, 5), (BiasPlacement.POST_ADD, 2, 7)],
    )
    def test_bias(self, placement, first_k, register):
        y = reduce_stages([-1, 2], [1, -1], 9, (ALL, 4, SATURATE), bias=placement)
        if placement is BiasPlacement.PRELOAD:
            assert (y.register, y.first_k) == (7 - 1 - 2, -1)
        else:
            assert (y.register, y.kind, y.first_k) == (6, "none", None)
        y = reduce_stages([1, 1], [1, -2], 9, (ALL, 4, SATURATE), bias=placement)
        assert (y.kind, y.first_k) == ("persistent", first_k)
        assert y.register == register

    @pytest.mark.parametrize("placement", BiasPlacement)
    def test_no_products(self, placement):
        y = reduce_stages([], [], 9, (2, 8, WRAP), (ALL, 4, WRAP), bias=placement)
        before_the_bias = -7 if placement is BiasPlacement.PRELOAD else 0
        assert (y.register, y.total) == (-7, 9)
        assert y.stage_results == [[], [before_the_bias]]
        assert (y.kind, y.first_stage) == ("persistent", 1)
        assert y.first_k == (-1 if placement is BiasPlacement.PRELOAD else 0)

    @pytest.mark.parametrize("zero_points", ZeroPointHandling)
    def test_zero_points_cancel(self, zero_points):
        y = reduce_stages([3, 5], [2, -1], 1, (ALL, 16, WRAP), z=(3, -1), zero_points=zero_points)
        assert y.register == y.total == (3 - 3) * 3 + (5 - 3) * 0 + 1

    @given(
        st.lists(st.tuples(st.integers(-8, 7), st.integers(-8, 7)), max_size=8),
        st.integers(2, 9),
        st.sampled_from(BiasPlacement),
    )
    def test_wrapping_is_a_homomorphism(self, pairs, bits, placement):
        x, w = [a for a, _ in pairs], [b for _, b in pairs]
        one = reduce_stages(x, w, 5, (ALL, bits, WRAP), bias=placement)
        tree = reduce_stages(
            x, w, 5, (2, bits, WRAP), (2, bits, WRAP), (ALL, bits, WRAP),
            bias=placement, order=KOrder.REVERSED, zero_points=ZeroPointHandling.CENTER,
        )  # fmt: skip
        assert one.register == tree.register == oracle.store(one.total, bits, WRAP)


class TestFold:
    def test_significand_of_31_bits(self):
        for factor in (0.3, 0.5, 1.5, 3.7, 1e-4, 1 - 2.0**-33, 0.011111111910680305):
            m0, e = devices.quantize_multiplier(factor)
            p = oracle.fold(FixedPoint(), factor)
            assert (p.multiplier, p.shift) == (m0, 31 - e)

    def test_16x8_rule(self):
        for factor in (0.3, 1.5, 0.9999999, 0.49999999, 1 - 2.0**-17):
            m0, e = devices.quantize_multiplier(factor)
            m16 = 0x7FFF if m0 >= 0x7FFF0000 else (m0 + (1 << 15)) >> 16
            p = oracle.fold(TFLITE_16X8, factor)
            assert (p.multiplier, p.shift) == (m16, 15 - e)

    def test_limits_of_the_shift(self):
        narrow = FixedPoint(multiplier=IntFormat(8), min_shift=0, max_shift=7)
        assert oracle.fold(narrow, 0.996) == oracle.Parameters(multiplier=127, shift=7)
        assert oracle.fold(narrow, 0.998) == oracle.Parameters(multiplier=64, shift=6)
        assert oracle.fold(narrow, 127.49) == oracle.Parameters(multiplier=127, shift=0)
        with pytest.raises(Refused, match="too large"):
            oracle.fold(narrow, 127.5)
        assert oracle.fold(narrow, 2.0**-8) == oracle.Parameters(multiplier=1, shift=7)
        with pytest.raises(Refused, match="too small"):
            oracle.fold(narrow, math.nextafter(2.0**-8, 0))

    @pytest.mark.parametrize(("factor", "shift"), [(0.25, 2), (0.353, 2), (0.354, 1), (9.0, 0)])
    def test_power_of_two_is_nearest_in_ratio(self, factor, shift):
        # between 1/4 and 1/2 the border is 2**-1.5 = 0.35355...
        assert oracle.fold(PowerOfTwo(), factor).shift == shift

    def test_float_scale_rounds_at_each_step(self):
        steps = (0.1, 0.3, 0.7)
        f = devices.to_float32
        expected = f(f(f(0.1) * f(0.3)) / f(0.7))
        assert oracle.fold(FP32, 0, steps=steps).scale == expected
        assert oracle.fold(FP32, 0.1).scale == f(0.1)

    def test_factor_is_formed_left_to_right(self):
        assert oracle.factor_of(0.1, 0.3, 0.7) == 0.1 * 0.3 / 0.7

    @pytest.mark.parametrize("factor", [0.3, 0.5, 1.0, 2.5, 1 / 90])
    def test_thresholds_are_finns(self, factor):
        p = fold_thresholds(
            Thresholds(), Fraction(factor), IntFormat(20), IntFormat(4, signed=False), 0, 0
        )
        expected = [devices.finn_threshold(k, Fraction(factor)) for k in range(1, 16)]
        assert list(p.thresholds) == expected

    def test_thresholds_are_limited_to_the_accumulator(self):
        p = fold_thresholds(Thresholds(), Fraction(1, 2), IntFormat(3), IntFormat(4), 1, 0)
        # round(a / 2) + 1 is -1 at a = -4 and 3 at a = 3: lower codes always, higher ones never
        assert p.thresholds == (-4, -4, -4, -4, -4, -4, -4, -3, -1, 1, 3, 4, 4, 4, 4)

    def test_fold_error(self):
        p = oracle.Parameters(multiplier=3, shift=3)
        assert oracle.fold_error(FixedPoint(), p, 0.25) == Fraction(1, 2)
        assert oracle.fold_error(PowerOfTwo(), oracle.Parameters(shift=2), 0.5) == Fraction(-1, 2)


def code(scaling, acc, m, shift):
    spec = RescalerSpec(output=IntFormat(32), scaling=scaling)
    return oracle.rescale(acc, spec, oracle.Parameters(multiplier=m, shift=shift)).code


class TestPublishedNumbers:
    def test_tensorflow_25087(self):
        """x = 7984, m0 = 1583594044, e = -9: 11.4991 rounds to 11 once and to 12 twice."""
        assert float(Fraction(7984 * 1583594044, 1 << 40)) == pytest.approx(11.4991, abs=1e-4)
        assert code(SINGLE, 7984, 1583594044, 40) == 11
        assert code(TFLITE_DOUBLE, 7984, 1583594044, 40) == 12
        assert code(TOSA_DOUBLE, 7984, 1583594044, 40) == 12

    def test_tensorflow_102943(self):
        """585 * M: a float32 product of exactly 6.5; integer rules give 7, float32 to even 6."""
        steps = (0.05296124517917633, 0.024093778803944588, 0.11484327912330627)
        factor = oracle.factor_of(*steps)
        assert factor == 0.011111111910680305
        m0, e = devices.quantize_multiplier(float(factor))
        assert (m0, e) == (1527099593, -6)
        assert [code(s, 585, m0, 31 - e) for s in (SINGLE, TFLITE_DOUBLE, TOSA_DOUBLE)] == [7, 7, 7]
        p = oracle.fold(FP32, factor, steps=steps)
        tie = oracle.rescale(585, RescalerSpec(output=IntFormat(8), scaling=FP32), p, -126)
        assert (tie.product, tie.code) == (Fraction(13, 2), 6 - 126)
        assert 585 * p.scale > Fraction(13, 2)
        # the scale is formed in float32 step by step: fl32(M) is the next float32, and no tie
        assert p.scale != devices.to_float32(float(factor))


def accumulators(rng: random.Random) -> list[int]:
    """Edges, a dense middle that meets the ties of both signs, and random ones."""
    powers = (sign << n for sign in (-1, 1) for n in (0, 8, 15, 16, 24, 30))
    return [
        *(power + d for power in powers for d in (-1, 0, 1)),
        *(devices.INT32_MIN, devices.INT32_MIN + 1, devices.INT32_MAX),
        *range(-40, 41),
        *(rng.randrange(-(1 << 31), 1 << 31) for _ in range(40)),
        *(rng.randrange(-(1 << 16), 1 << 16) for _ in range(40)),
    ]


class TestPublishedFormulas:
    """Every unit of the text's last table equals the formula its system publishes."""

    @pytest.mark.parametrize("unit", UNITS, ids=str)
    def test_unit(self, unit):
        for acc in accumulators(random.Random(1)):
            got = oracle.rescale(acc, unit.spec, unit.parameters, unit.zero_point).code
            assert got == unit.published(acc), acc

    def test_srdhm_saturates_the_one_square_that_overflows(self):
        low = devices.INT32_MIN
        assert devices.srdhm(low, low) == devices.INT32_MAX
        spec = next(unit.spec for unit in UNITS if unit.name == "srdhm")
        assert oracle.rescale(low, spec, oracle.Parameters(multiplier=low, shift=31)).code == (
            devices.INT32_MAX
        )

    def test_tosa_double_equals_tflite_double(self):
        rng = random.Random(2)
        for _ in range(5000):
            m0 = rng.randrange(1 << 30, 1 << 31)
            e = rng.randrange(-31, 9)
            x = rng.randrange(-(1 << 31), 1 << 31) >> max(e, 0) >> rng.randrange(31)
            tosa = devices.tosa_apply_scale_32(x, m0, 31 - e, double_round=True)
            assert tosa == devices.tflite_double(x, m0, e)
            assert code(TOSA_DOUBLE, x, m0, 31 - e) == code(TFLITE_DOUBLE, x, m0, 31 - e) == tosa

    def test_roundings_of_the_devices_differ(self):
        """Each pair of rules differs somewhere, so that the table above can tell them apart."""
        pairs = product((0.25, 0.3), range(-99999, 99999, 7))
        cases = [(x, *devices.quantize_multiplier(factor)) for factor, x in pairs]
        rules = (
            devices.tflite_double,
            devices.ruy_double,
            devices.tflite_single,
            devices.tflite_16x8,
        )
        assert len({tuple(rule(*case) for case in cases) for rule in rules}) == 4

    def test_gemmlowps_divide(self):
        spec = RescalerSpec(output=OUT32.output, scaling=PowerOfTwo(rounding=Rounding.TIES_AWAY))
        for exponent in range(32):
            p = oracle.Parameters(shift=exponent)
            for x in accumulators(random.Random(exponent)):
                expected = devices.rounding_divide_by_pot(x, exponent)
                assert oracle.rescale(x, spec, p).code == expected


class TestConv2d:
    """One layer small enough to list."""

    @pytest.mark.parametrize("layout", Layout)
    def test_pairs(self, layout):
        spec = Conv2dSpec(padding=(0, 1, 1, 0), stride=(2, 1), layout=layout)
        if layout is Layout.NCHW:
            x, w = [[[[1, 2, 3], [4, 5, 6]]]], [[[[10, 20]]]]
        else:
            x, w = [[[[1], [2], [3]], [[4], [5], [6]]]], [[[[10], [20]]]]
        outputs = oracle.conv2d_operands(x, w, spec, z_x=-9)
        assert oracle.conv2d_output_size(spec, 2, 3, 1, 2) == (2, 3)
        assert [pairs for _, pairs in outputs] == [
            [(-9, 10), (1, 20)],
            [(1, 10), (2, 20)],
            [(2, 10), (3, 20)],
            [(-9, 10), (-9, 20)],
            [(-9, 10), (-9, 20)],
            [(-9, 10), (-9, 20)],
        ]

    def test_depthwise_with_two_outputs_a_channel(self):
        spec = Conv2dSpec(groups=2)
        outputs = oracle.conv2d_operands([[[[1]], [[2]]]], [[[[j]]] for j in range(4)], spec, 0)
        assert outputs == [(0, [(1, 0)]), (1, [(1, 1)]), (2, [(2, 2)]), (3, [(2, 3)])]

    def test_k_order_of_the_layouts(self):
        nchw = oracle.conv2d_operands(
            [[[[1, 2]], [[3, 4]]]], [[[[5, 6]], [[7, 8]]]], Conv2dSpec(), 0
        )
        assert nchw == [(0, [(1, 5), (2, 6), (3, 7), (4, 8)])]
        nhwc = Conv2dSpec(layout=Layout.NHWC)
        y = oracle.conv2d_operands([[[[1, 3], [2, 4]]]], [[[[5, 7], [6, 8]]]], nhwc, 0)
        assert y == [(0, [(1, 5), (3, 7), (2, 6), (4, 8)])]

    def test_linear(self):
        assert oracle.linear_operands([[1, 2]], [[3, 4], [5, 6]]) == [
            (0, [(1, 3), (2, 4)]), (1, [(1, 5), (2, 6)]),
        ]  # fmt: skip


class TestGolden:
    """The golden files are what their generator writes: neither they nor the oracle drift."""

    FOLDER = Path(__file__).parent / "golden"

    @pytest.mark.parametrize(
        ("name", "cases"),
        [
            ("quantizer", "quantizer_cases"),
            ("matmul_array", "accumulator_cases"),
            ("rescaler", "rescaler_cases"),
        ],
    )
    def test_up_to_date(self, name, cases):
        written = json.loads((self.FOLDER / f"{name}.json").read_text())
        generator = runpy.run_path(str(self.FOLDER / "generate.py"))
        assert {key: written[key] for key in generator["SOURCE"]} == generator["SOURCE"]
        assert written["cases"] == json.loads(json.dumps([*generator[cases]()]))
