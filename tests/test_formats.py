"""Tests for lsqsim.formats: ranges of every kind, names, refusals."""

import pytest
from hypothesis import given, strategies as st

from lsqsim.errors import LsqsimError, SpecError
from lsqsim.formats import (
    Generator,
    IntFormat,
    Overflow,
    Rounding,
    StochasticRounding,
    signed_bits,
)
from strategies import formats, stochastic_roundings


class TestWorkedExamples:
    """Both ends of the range of widths, for every kind."""

    @pytest.mark.parametrize(
        ("text", "low", "high", "n_levels"),
        [
            ("int1", -1, 0, 2),
            ("int2", -2, 1, 4),
            ("int2-narrow", -1, 1, 3),
            ("int4", -8, 7, 16),
            ("int8-narrow", -127, 127, 255),
            ("int63", -4611686018427387904, 4611686018427387903, 9223372036854775808),
            ("int63-narrow", -4611686018427387903, 4611686018427387903, 9223372036854775807),
            ("uint1", 0, 1, 2),
            ("uint2", 0, 3, 4),
            ("uint8", 0, 255, 256),
            ("uint63", 0, 9223372036854775807, 9223372036854775808),
        ],
    )
    def test_range(self, text, low, high, n_levels):
        f = IntFormat.parse(text)
        assert (f.min, f.max, f.n_levels) == (low, high, n_levels)
        assert str(f) == text

    def test_parse(self):
        assert IntFormat.parse("int8") == IntFormat(8)
        assert IntFormat.parse("uint31") == IntFormat(31, signed=False)
        assert IntFormat.parse("int4-narrow") == IntFormat(4, narrow=True)

    def test_describe(self):
        assert IntFormat(4).describe() == "int4 [-8, 7]"
        assert IntFormat(4, narrow=True).describe() == "int4-narrow [-7, 7]"

    def test_enumerations_print_as_code_and_as_toml(self):
        assert (repr(Rounding.TIES_AWAY), str(Rounding.TIES_AWAY)) == (
            "Rounding.TIES_AWAY",
            "ties_away",
        )
        assert (repr(Overflow.WRAP), str(Overflow.WRAP)) == ("Overflow.WRAP", "wrap")
        assert str(Generator.SPLITMIX64) == "splitmix64"

    def test_names_are_those_of_the_text(self):
        assert [str(r) for r in Rounding] == [
            "to_neg", "to_zero", "ties_pos", "ties_away", "ties_even",
        ]  # fmt: skip
        assert [str(r) for r in Rounding if r.is_nearest] == ["ties_pos", "ties_away", "ties_even"]
        assert [str(o) for o in Overflow] == ["wrap", "saturate"]
        assert [str(g) for g in Generator] == ["xorshift32", "splitmix64"]


class TestLaws:
    @given(formats())
    def test_name_reads_back(self, f):
        assert IntFormat.parse(str(f)) == f

    @given(formats())
    def test_repr_is_code(self, f):
        assert eval(repr(f)) == f  # noqa: S307  the text is our own

    @given(formats())
    def test_ends_are_held_and_nothing_past_them(self, f):
        assert f.holds(f.min)
        assert f.holds(f.max)
        assert not f.holds(f.min - 1)
        assert not f.holds(f.max + 1)

    @given(formats())
    def test_levels(self, f):
        assert f.n_levels == (1 << f.bits) - f.narrow == f.max - f.min + 1
        assert f.min == (-f.max if f.narrow else -f.max - 1 if f.signed else 0)

    @given(formats())
    def test_codes_fit_an_int64(self, f):
        assert -(1 << 63) <= f.min <= f.max < 1 << 63

    @given(stochastic_roundings)
    def test_repr_of_stochastic_rounding(self, rounding):
        assert eval(repr(rounding)) == rounding  # noqa: S307


class TestRefusals:
    @pytest.mark.parametrize("bits", [1, 63])
    def test_legal_widths(self, bits):
        IntFormat(bits)
        IntFormat(bits, signed=False)

    @pytest.mark.parametrize("bits", [0, -1, 64])
    def test_widths(self, bits):
        with pytest.raises(SpecError, match=rf"bits must be in 1\.\.63, got {bits}"):
            IntFormat(bits)

    @pytest.mark.parametrize("bits", [8.0, "8", True, None])
    def test_width_is_an_integer(self, bits):
        with pytest.raises(SpecError, match=r"bits must be an integer in 1\.\.63, got"):
            IntFormat(bits)

    @pytest.mark.parametrize("field", ["signed", "narrow"])
    @pytest.mark.parametrize("value", [1, "yes", None])
    def test_flags_are_flags(self, field, value):
        with pytest.raises(SpecError, match=rf"{field} must be true or false, got {value!r}"):
            IntFormat(8, **{field: value})

    @pytest.mark.parametrize(
        ("bits", "signed", "name"), [(1, True, "int1"), (1, False, "uint1"), (8, False, "uint8")]
    )
    def test_nothing_to_drop(self, bits, signed, name):
        IntFormat(2, narrow=True)
        with pytest.raises(SpecError, match=rf"at least 2 bits; {name} has none to drop"):
            IntFormat(bits, signed=signed, narrow=True)

    @pytest.mark.parametrize(
        "text",
        ["", "int", "int0", "int08", "Int8", "int8 ", " int8", "s8", "int-8", "int8-wide", "int100",
         "int8-narrow-narrow", "int\u0668"],
    )  # fmt: skip
    def test_not_a_format(self, text):
        message = r"a format is written int8, uint4 or int4-narrow \(1\.\.63 bits\), got"
        with pytest.raises(SpecError, match=message):
            IntFormat.parse(text)

    @pytest.mark.parametrize("text", ["int64", "uint99"])
    def test_written_well_but_too_wide(self, text):
        with pytest.raises(SpecError, match=r"bits must be in 1\.\.63"):
            IntFormat.parse(text)

    def test_narrow_unsigned_text(self):
        with pytest.raises(SpecError, match="uint8 has none to drop"):
            IntFormat.parse("uint8-narrow")

    @pytest.mark.parametrize("seed", [1, (1 << 32) - 1])
    def test_legal_seeds(self, seed):
        StochasticRounding(seed=seed)

    @pytest.mark.parametrize("seed", [0, -1, 1 << 32])
    def test_seeds(self, seed):
        with pytest.raises(SpecError, match=rf"seed must be in 1\.\.2\*\*32-1, got {seed}"):
            StochasticRounding(seed=seed)

    @pytest.mark.parametrize("bits", [1, 32])
    def test_legal_noise_widths(self, bits):
        StochasticRounding(bits=bits)

    @pytest.mark.parametrize("bits", [0, 33])
    def test_noise_widths(self, bits):
        with pytest.raises(SpecError, match=rf"random bits must be in 1\.\.32, got {bits}"):
            StochasticRounding(bits=bits)

    @pytest.mark.parametrize(
        ("field", "value"), [("seed", 1.5), ("seed", True), ("bits", "8"), ("bits", 8.0)]
    )
    def test_noise_numbers_are_integers(self, field, value):
        with pytest.raises(SpecError, match=rf"{field} must be an integer, got {value!r}"):
            StochasticRounding(**{field: value})

    def test_generator_is_an_enumeration(self):
        with pytest.raises(SpecError, match="generator must be 'xorshift32' or 'splitmix64'"):
            StochasticRounding(generator="xorshift32")

    def test_errors_are_caught_as_what_they_are(self):
        with pytest.raises(ValueError, match="bits"):
            IntFormat(0)
        with pytest.raises(LsqsimError, match="bits"):
            IntFormat(0)


class TestSignedBits:
    @pytest.mark.parametrize(
        ("value", "bits"),
        [
            (0, 1), (1, 2), (-1, 1), (-2, 2), (511, 10), (512, 11), (-512, 10), (-513, 11),
            ((1 << 62) - 1, 63), (1 << 62, 64), (-(1 << 62), 63), (-(1 << 62) - 1, 64),
        ],
    )  # fmt: skip
    def test_both_sides_of_powers_of_two(self, value, bits):
        assert signed_bits(value) == bits

    @given(st.integers(-(1 << 70), 1 << 70))
    def test_is_the_least_that_holds_the_value(self, value):
        bits = signed_bits(value)
        assert -(1 << bits - 1) <= value < 1 << bits - 1
        assert bits == 1 or not -(1 << bits - 2) <= value < 1 << bits - 2
