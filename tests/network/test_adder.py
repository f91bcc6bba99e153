"""Tests for lsqsim.network.adder: additions on paper, against Fractions, bounds, refusals."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st

import network_oracle
from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, Overflow, Rounding, StochasticRounding
from lsqsim.network.adder import Adder, fold_factors
from lsqsim.network.encoding import Encoding
from lsqsim.network.folds import adder_bound
from lsqsim.network.nodes import Add, AddSpec
from lsqsim.network.reference import node_reference
from lsqsim.specs import Activation, RegisterSpec

S8, U8 = IntFormat(8), IntFormat(8, signed=False)


def encoding(fmt=S8, step=1.0, zero=0):
    return Encoding(format=fmt, step_size=step, zero_point=zero)


def node(output, **fields):
    return Add(name="add", source="a", other="b", output=output, **fields)


def add(unit, a, b):
    """Codes and registers, as lists."""
    codes, held = unit.add(np.array(a), np.array(b), observe=True)
    return codes.tolist(), held.registers[:, 0].tolist()


class TestWorkedExamples:
    def test_factors_share_the_largest_shift_that_fits_both(self):
        """3/4 and 1/4 in 4 signed bits: 6/8 and 2/8; at shift 4 the larger were 12."""
        unit = Adder(node(encoding(), adder=AddSpec(factor=IntFormat(4))),
                     encoding(step=0.75), encoding(step=0.25))  # fmt: skip
        assert (unit.factors, unit.shift) == ((6, 2), 3)

    @pytest.mark.parametrize(
        ("rounding", "codes"),
        [
            (Rounding.TO_NEG, [0, 1, -1, -2]),
            (Rounding.TO_ZERO, [0, 1, 0, -1]),
            (Rounding.TIES_POS, [1, 2, 0, -1]),
            (Rounding.TIES_AWAY, [1, 2, -1, -2]),
            (Rounding.TIES_EVEN, [0, 2, 0, -2]),
        ],
    )
    def test_ties_of_both_signs(self, rounding, codes):
        """Sums of 1/2, 3/2, -1/2 and -3/2."""
        half = encoding(step=0.5)
        unit = Adder(node(encoding(), adder=AddSpec(rounding=rounding)), half, half)
        assert add(unit, [1, 1, -1, -1], [0, 2, 0, -2])[0] == codes

    def test_zero_points(self):
        """(10 - 3) + (2 - 1) = 8, and 8 + 5."""
        unit = Adder(node(encoding(U8, zero=5)), encoding(U8, zero=3), encoding(S8, zero=1))
        assert add(unit, [10], [2])[0] == [13]

    def test_relu_is_the_lower_clip_at_the_zero_point(self):
        relu = node(encoding(zero=-100), activation=Activation.RELU)
        unit = Adder(relu, encoding(), encoding())
        assert add(unit, [-3, 0, 3], [1, 0, 1])[0] == [-100, -100, -96]

    @pytest.mark.parametrize(
        ("overflow", "codes"),
        [("saturate", [127, 127, -128, -128]), ("wrap", [127, -128, -128, 127])],
    )
    def test_one_past_each_end_of_the_output(self, overflow, codes):
        unit = Adder(
            node(encoding(), adder=AddSpec(overflow=Overflow(overflow))), encoding(), encoding()
        )
        assert add(unit, [126, 127, -127, -128], [1, 1, -1, -1])[0] == codes

    @pytest.mark.parametrize(
        ("overflow", "registers"), [("wrap", [7, -8, -8, 7]), ("saturate", [7, 7, -8, -8])]
    )
    def test_one_past_each_end_of_the_register(self, overflow, registers):
        """Factors of 1 in a register of 4 bits."""
        spec = AddSpec(factor=IntFormat(2), max_shift=0,
                       accumulator=RegisterSpec(bits=4, overflow=Overflow(overflow)))  # fmt: skip
        unit = Adder(node(encoding(), adder=spec), encoding(), encoding())
        assert add(unit, [3, 4, -4, -4], [4, 4, -4, -5])[1] == registers

    def test_the_rule_acts_after_every_addition(self):
        """7 + 4 saturates at 7 before -4 comes; the other way round nothing does."""
        spec = AddSpec(factor=IntFormat(2), max_shift=0,
                       accumulator=RegisterSpec(bits=4, overflow=Overflow.SATURATE))  # fmt: skip
        unit = Adder(node(encoding(), bias=7.0, adder=spec), encoding(), encoding())
        assert add(unit, [4, -4], [-4, 4])[1] == [3, 7]
        report = unit.add(np.array([4, -4]), np.array([-4, 4]), observe=True)[1].overflow
        assert report.counts().transient == 1

    @pytest.mark.parametrize(("bias", "code"), [(0.25, 0), (-0.25, 0), (0.5, 1), (0.0625, 0)])
    def test_bias(self, bias, code):
        unit = Adder(node(encoding(), bias=bias), encoding(), encoding())
        assert unit.bias == bias * 2**unit.shift
        assert add(unit, [0], [0])[0] == [code]

    @pytest.mark.parametrize(("bias", "held"), [(1.5, 2), (-1.5, -2), (2.5, 3), (-2.5, -3)])
    def test_a_bias_between_two_integers_goes_away_from_zero(self, bias, held):
        spec = AddSpec(factor=IntFormat(2), max_shift=0)
        assert Adder(node(encoding(), bias=bias, adder=spec), encoding(), encoding()).bias == held

    def test_no_values(self):
        unit = Adder(node(encoding()), encoding(), encoding())
        codes, _ = unit.add(np.zeros((0, 3), np.int64), np.zeros((0, 3), np.int64), observe=False)
        assert codes.shape == (0, 3)

    def test_sources_without_negative_codes(self):
        unit = Adder(node(encoding(U8)), encoding(U8), encoding(U8))
        assert unit.array.input_format == U8
        assert add(unit, [255, 255], [0, 1])[0] == [255, 255]

    def test_the_array_takes_the_smallest_format_for_both(self):
        assert Adder(node(encoding()), encoding(U8), encoding(S8)).array.input_format == IntFormat(
            9
        )
        shifted = Adder(node(encoding()), encoding(S8, zero=-128), encoding(U8))
        assert shifted.array.input_format == U8


STEPS = st.floats(1 / 64, 4.0)
ROUNDINGS = st.sampled_from(Rounding)
FORMATS = st.builds(IntFormat, st.integers(2, 8), signed=st.booleans())


@st.composite
def encodings(draw):
    fmt = draw(FORMATS)
    return Encoding(
        format=fmt, step_size=draw(STEPS), zero_point=draw(st.integers(fmt.min, fmt.max))
    )


@st.composite
def adders(draw, acc_bits=None):
    bits = draw(st.integers(4, 40)) if acc_bits is None else acc_bits
    adder = AddSpec(
        factor=IntFormat(draw(st.integers(4, 17)), signed=draw(st.booleans())),
        accumulator=RegisterSpec(bits=bits, overflow=draw(st.sampled_from(Overflow))),
        rounding=draw(ROUNDINGS),
        overflow=draw(st.sampled_from(Overflow)),
    )
    added = node(
        draw(encodings()), adder=adder, bias=draw(st.just(0.0) | st.floats(-2.0, 2.0)),
        activation=draw(st.sampled_from([Activation.NONE, Activation.RELU])),
    )  # fmt: skip
    try:
        return Adder(added, draw(encodings()), draw(encodings()))
    except SpecError as error:
        assert "step size is" in str(error)  # noqa: PT017
        assume(False)


@st.composite
def codes(draw, unit, n=40):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    formats = [each.format for each in unit.encodings]
    return [rng.integers(fmt.min, fmt.max, n, endpoint=True) for fmt in formats]


class TestAgainstOracle:
    @given(st.data())
    def test_random_adders(self, data):
        unit = data.draw(adders())
        a, b = data.draw(codes(unit))
        expected = [
            network_oracle.add(unit.node, *unit.encodings, *pair)
            for pair in zip(a.tolist(), b.tolist(), strict=True)
        ]
        assert unit.add(a, b, observe=False)[0].tolist() == expected

    @given(st.data())
    def test_factors(self, data):
        ratios = tuple(Fraction(data.draw(STEPS)) for _ in range(2))
        spec = AddSpec(factor=IntFormat(data.draw(st.integers(10, 24))))
        factors, shift = fold_factors(spec, ratios)
        assert (list(factors), shift) == network_oracle.add_factors(spec, ratios)


class TestBound:
    @given(st.data())
    def test_holds(self, data):
        unit = data.draw(adders(acc_bits=40))
        a, b = data.draw(codes(unit))
        got = unit.add(a, b, observe=False)[0]
        sources = [e.tensor(c) for e, c in zip(unit.encodings, (a, b), strict=True)]
        real = node_reference(unit.node, sources).output / unit.node.output.step_size
        distance = np.abs(got - unit.node.output.zero_point - real)
        assert (distance <= adder_bound(unit)).all()

    def test_only_rounding_where_steps_are_powers_of_two(self):
        unit = Adder(node(encoding()), encoding(step=0.5), encoding(step=0.25))
        assert adder_bound(unit) == pytest.approx(0.5, abs=1e-11)

    def test_nothing_is_rounded_without_a_shift(self):
        unit = Adder(node(encoding(), adder=AddSpec(max_shift=0)), encoding(), encoding())
        assert adder_bound(unit) == pytest.approx(0, abs=1e-11)

    def test_a_whole_step_where_rounding_is_not_to_nearest(self):
        half = encoding(step=0.5)
        for rounding in (Rounding.TO_NEG, StochasticRounding()):
            unit = Adder(node(encoding(), adder=AddSpec(rounding=rounding)), half, half)
            assert adder_bound(unit) == pytest.approx(1.0, abs=1e-11)

    def test_folds_and_bias_count(self):
        """1/3 in 3 bits is 5/16: off by 1/48 for codes up to 128, twice; 1/3 as bias by 1/48."""
        spec = AddSpec(factor=IntFormat(3, signed=False))
        third = encoding(step=1 / 3)
        unit = Adder(node(encoding(), bias=1 / 3, adder=spec), third, third)
        assert (unit.factors, unit.shift, unit.bias) == ((5, 5), 4, 5)
        assert adder_bound(unit) == pytest.approx(0.5 + 257 / 48)

    def test_none_where_the_output_may_wrap(self):
        wrapping = AddSpec(overflow=Overflow.WRAP)
        narrow = Adder(node(encoding(), adder=wrapping), encoding(), encoding())
        wide = Adder(node(encoding(IntFormat(10)), adder=wrapping), encoding(), encoding())
        assert adder_bound(narrow) == np.inf
        assert adder_bound(wide) == pytest.approx(0.5, abs=1e-11)


class TestRefusals:
    def test_a_step_size_too_large(self):
        spec = AddSpec(factor=IntFormat(4))
        Adder(node(encoding(), adder=spec), encoding(step=7.25), encoding(step=7.0))
        with pytest.raises(SpecError, match=r"7\.5 output steps, too large for factors of int4 and "
                           r"shifts 0\.\.62: widen the factors"):  # fmt: skip
            Adder(node(encoding(), adder=spec), encoding(step=7.5), encoding())

    def test_a_step_size_too_small_beside_the_other(self):
        spec = AddSpec(factor=IntFormat(4))
        Adder(node(encoding(), adder=spec), encoding(), encoding(step=1 / 8))
        message = r"0\.0625 output steps: its factor is 0 at shift 2, the largest for int4"
        with pytest.raises(SpecError, match=message):
            Adder(node(encoding(), adder=spec), encoding(step=7.0 / 4), encoding(step=1 / 16))

    def test_specs(self):
        with pytest.raises(SpecError, match=r"shifts to the right only: min_shift is -1"):
            AddSpec(min_shift=-1)
        with pytest.raises(SpecError, match=r"shifts must satisfy .* got 5\.\.4"):
            AddSpec(min_shift=5, max_shift=4)
        with pytest.raises(SpecError, match=r"factors need a positive code; int1 has none"):
            AddSpec(factor=IntFormat(1))

    def test_relu6_and_an_infinite_bias(self):
        with pytest.raises(SpecError, match=r"add: activation must be none or relu, got relu6"):
            node(encoding(), activation=Activation.RELU6)
        with pytest.raises(SpecError, match=r"add: bias must be finite, got nan"):
            node(encoding(), bias=float("nan"))

    def test_round_trip(self):
        spec = AddSpec(rounding=StochasticRounding(seed=3), overflow=Overflow.WRAP, max_shift=9)
        assert AddSpec.from_toml(spec.to_toml()) == spec
        assert replace(spec, max_shift=8) != spec
