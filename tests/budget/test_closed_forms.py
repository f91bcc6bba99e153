"""Tests for lsqsim.budget.closed_forms: golden widths, edges at powers of two, minimality."""

from fractions import Fraction

import pytest
from hypothesis import example, given, strategies as st

from lsqsim.budget.closed_forms import (
    data_type_bits,
    l1_bits,
    l1_budget,
    rule_of_thumb_bits,
    zero_centered_bits,
    zero_centered_budget,
)
from lsqsim.errors import SpecError

bits = st.integers(1, 63)
norms = st.integers(0, 1 << 70) | st.fractions(0, 1 << 20)


def least_width(low, high):
    """Smallest two's-complement width, counted up, that holds both ends."""
    width = 1
    while not -(2 ** (width - 1)) <= low <= high <= 2 ** (width - 1) - 1:
        width += 1
    return width


def exact_width(codes, low, high):
    """Width of the sum of all products, over all inputs from low to high."""
    ends = [sorted((w * low, w * high)) for w in codes]
    return least_width(sum(end[0] for end in ends), sum(end[1] for end in ends))


class TestWorkedExamples:
    """Widths of shared/datapath.md, section 4, whose ranges a reader multiplies out."""

    @pytest.mark.parametrize(
        ("bits", "formula", "needed"), [(2, 16, 15), (3, 18, 17), (4, 20, 20), (8, 28, 28)]
    )
    def test_worst_full_range_codes(self, bits, formula, needed):
        """2304 * (2^N - 1) * -2^(N-1) is what they need; the formula takes 2^N for 2^N - 1."""
        k = 2304
        by_type = data_type_bits(k, input_bits=bits, weight_bits=bits, signed_input=False)
        assert by_type == formula
        assert least_width(k * (2**bits - 1) * -(2 ** (bits - 1)), 0) == needed

    def test_narrow_weights_save_a_bit(self):
        """2304 * 7 * 15 = 241920 fits 19 bits, 2304 * 8 * 15 = 276480 does not."""
        assert l1_bits(2304 * 7, input_bits=4, signed_input=False) == 19
        assert l1_bits(2304 * 8, input_bits=4, signed_input=False) == 20

    def test_the_rule_of_thumb_is_a_bit_short(self):
        assert rule_of_thumb_bits(2304, input_bits=4, weight_bits=4) == 19
        assert least_width(2304 * 15 * -8, 0) == 20

    def test_the_trap_of_zero_centering(self):
        """Codes (1, 1), 8-bit inputs: 510 needs 10 bits. Codes (1, -1): 9 are enough."""
        assert zero_centered_bits(2, input_bits=8) == 9
        assert exact_width([1, 1], 0, 255) == 10
        assert exact_width([1, -1], 0, 255) == 9

    @pytest.mark.parametrize(
        ("k", "expected"),  # signed 8-bit inputs and weights: K * 2^14 <= 2^(P-1) - 1
        [(0, 1), (1, 16), (2, 17), (3, 17), (4, 18), (2**17 - 1, 32), (2**17, 33)],
    )
    def test_signed_inputs(self, k, expected):
        assert data_type_bits(k, input_bits=8, weight_bits=8, signed_input=True) == expected

    @pytest.mark.parametrize(
        ("norm", "expected"),  # unsigned 1-bit inputs: norm * 2 <= 2^(P-1) - 1
        [(0, 1), (1, 3), (Fraction(1, 2), 2), (Fraction(3, 2), 3), (Fraction(13, 8), 4), (2, 4)],
    )
    def test_norms_between_integers(self, norm, expected):
        """2 * 3/2 = 3 fits 3 bits; 2 * 13/8 passes it."""
        assert l1_bits(norm, input_bits=1, signed_input=False) == expected

    @pytest.mark.parametrize(
        ("acc_bits", "input_bits", "signed_input", "expected"),
        [
            (8, 8, False, Fraction(127, 256)),
            (8, 8, True, Fraction(127, 128)),
            (16, 4, False, Fraction(32767, 16)),
            (2, 1, True, Fraction(1)),
        ],
    )
    def test_l1_budget(self, acc_bits, input_bits, signed_input, expected):
        budget = l1_budget(acc_bits, input_bits=input_bits, signed_input=signed_input)
        assert budget == expected

    def test_zero_centered_budget(self):
        assert zero_centered_budget(16, input_bits=8) == Fraction(65534, 255)
        assert zero_centered_budget(2, input_bits=1) == 2


class TestPowersOfTwo:
    """The next power of two is the first that does not fit, for every exponent."""

    @pytest.mark.parametrize("exponent", range(1, 70))
    def test_l1_bits(self, exponent):
        norms_and_bits = [(2**exponent - 1, exponent + 1), (2**exponent, exponent + 2)]
        for norm, expected in norms_and_bits:
            assert l1_bits(norm, input_bits=1, signed_input=True) == expected

    @pytest.mark.parametrize("exponent", range(2, 70))
    def test_zero_centered_bits(self, exponent):
        for norm, expected in [(2**exponent - 2, exponent), (2**exponent - 1, exponent + 1)]:
            assert zero_centered_bits(norm, input_bits=1) == expected

    @pytest.mark.parametrize("exponent", range(1, 70))
    def test_data_type_bits(self, exponent):
        for k, expected in [(2**exponent - 1, exponent + 1), (2**exponent, exponent + 2)]:
            widths = {"input_bits": 1, "weight_bits": 1, "signed_input": True}
            assert data_type_bits(k, **widths) == expected

    @pytest.mark.parametrize("exponent", range(1, 70))
    def test_rule_of_thumb(self, exponent):
        for k, expected in [(2**exponent, exponent), (2**exponent + 1, exponent + 1)]:
            assert rule_of_thumb_bits(k, input_bits=1, weight_bits=1) == expected


class TestLaws:
    """P holds the published inequality, and P - 1 does not."""

    @given(st.integers(0, 1 << 70), bits, bits, st.booleans())
    def test_data_type_bits_are_the_least(self, k, n, m, signed):
        p = data_type_bits(k, input_bits=n, weight_bits=m, signed_input=signed)
        need = k * 2 ** (n + m - 1 - signed)
        assert 2 ** (p - 1) - 1 >= need
        assert p == 1 or 2 ** (p - 2) - 1 < need

    @given(norms, bits, st.booleans())
    @example(Fraction(3, 2), 1, False)
    def test_l1_bits_are_the_least(self, norm, n, signed):
        p = l1_bits(norm, input_bits=n, signed_input=signed)
        need = norm * 2 ** (n - signed)
        assert 2 ** (p - 1) - 1 >= need
        assert p == 1 or 2 ** (p - 2) - 1 < need

    @given(norms, bits)
    @example(Fraction(5, 3), 2)
    def test_zero_centered_bits_are_the_least(self, norm, n):
        p = zero_centered_bits(norm, input_bits=n)
        need = norm * (2**n - 1)
        assert 2**p - 2 >= need
        assert p == 1 or 2 ** (p - 1) - 2 < need

    @given(st.integers(1, 1 << 70), bits, bits)
    def test_the_rule_of_thumb_is_the_rounded_up_logarithm(self, k, n, m):
        p = rule_of_thumb_bits(k, input_bits=n, weight_bits=m)
        product = (2**n - 1) * (2**m - 1) * k
        assert product <= 2**p
        assert p == 0 or product > 2 ** (p - 1)

    @given(st.integers(2, 63), bits, st.booleans())
    def test_l1_budget_is_the_inverse(self, p, n, signed):
        """The budget needs exactly P bits, and the least more needs another."""
        budget = l1_budget(p, input_bits=n, signed_input=signed)
        assert l1_bits(budget, input_bits=n, signed_input=signed) == p
        more = budget + Fraction(1, 1 << 80)
        assert l1_bits(more, input_bits=n, signed_input=signed) == p + 1

    @given(st.integers(2, 63), bits)
    def test_zero_centered_budget_is_the_inverse(self, p, n):
        budget = zero_centered_budget(p, input_bits=n)
        assert zero_centered_bits(budget, input_bits=n) == p
        assert zero_centered_bits(budget + Fraction(1, 1 << 80), input_bits=n) == p + 1

    @given(st.lists(st.integers(-8, 7), max_size=9), st.integers(1, 8), st.booleans())
    def test_sound_bounds_hold_the_exact_range(self, codes, n, signed):
        """A2Q's bounds cover every sum; A2Q+'s only if positive and negative sums are equal."""
        low, high = (-(2 ** (n - 1)), 2 ** (n - 1) - 1) if signed else (0, 2**n - 1)
        norm = sum(map(abs, codes))
        by_norm = l1_bits(norm, input_bits=n, signed_input=signed)
        by_type = data_type_bits(len(codes), input_bits=n, weight_bits=4, signed_input=signed)
        assert exact_width(codes, low, high) <= by_norm <= by_type
        balanced = codes + [-w for w in codes]
        assert exact_width(balanced, low, high) <= zero_centered_bits(2 * norm, input_bits=n)


class TestRefusals:
    @pytest.mark.parametrize("value", [0, 64, -1, True, 8.0, "8"])
    @pytest.mark.parametrize("name", ["input_bits", "weight_bits"])
    @pytest.mark.parametrize("form", [data_type_bits, rule_of_thumb_bits])
    def test_widths_of_formats(self, form, name, value):
        widths = {"input_bits": 8, "weight_bits": 8, name: value}
        signed = {"signed_input": False} if form is data_type_bits else {}
        with pytest.raises(
            SpecError, match=rf"{name} must be an integer in 1\.\.63, got {value!r}"
        ):
            form(4, **widths, **signed)

    @pytest.mark.parametrize("value", [0, 64])
    def test_input_bits(self, value):
        message = rf"input_bits must be an integer in 1\.\.63, got {value}"
        for form in (l1_bits, l1_budget):
            with pytest.raises(SpecError, match=message):
                form(8, input_bits=value, signed_input=False)
        for form in (zero_centered_bits, zero_centered_budget):
            with pytest.raises(SpecError, match=message):
                form(8, input_bits=value)

    @pytest.mark.parametrize("value", [1, 64, True, Fraction(8)])
    def test_acc_bits(self, value):
        with pytest.raises(SpecError, match=r"acc_bits must be an integer in 2\.\.63, got"):
            l1_budget(value, input_bits=8, signed_input=False)
        with pytest.raises(SpecError, match=r"acc_bits must be an integer in 2\.\.63, got"):
            zero_centered_budget(value, input_bits=8)

    def test_both_ends_of_the_widths_are_legal(self):
        for n in (1, 63):
            assert data_type_bits(1, input_bits=n, weight_bits=n, signed_input=False) == 2 * n + 1
            assert rule_of_thumb_bits(1, input_bits=n, weight_bits=n) == (2 * n if n > 1 else 0)
        assert l1_budget(63, input_bits=63, signed_input=True) == Fraction(2**62 - 1, 2**62)
        assert zero_centered_budget(63, input_bits=63) == Fraction(2**63 - 2, 2**63 - 1)

    @pytest.mark.parametrize("value", [-1, 1.0, True, "3"])
    def test_k(self, value):
        with pytest.raises(SpecError, match="k must be an integer, 0 or more, got"):
            data_type_bits(value, input_bits=8, weight_bits=8, signed_input=False)

    @pytest.mark.parametrize("value", [0, -1])
    def test_k_of_the_rule_of_thumb(self, value):
        with pytest.raises(SpecError, match=f"k must be an integer, 1 or more, got {value}"):
            rule_of_thumb_bits(value, input_bits=8, weight_bits=8)

    @pytest.mark.parametrize("value", [-1, 1.5, True, Fraction(-1, 2)])
    def test_norm(self, value):
        with pytest.raises(
            SpecError, match="norm must be an integer or a Fraction, 0 or more, got"
        ):
            l1_bits(value, input_bits=8, signed_input=False)
        with pytest.raises(
            SpecError, match="norm must be an integer or a Fraction, 0 or more, got"
        ):
            zero_centered_bits(value, input_bits=8)

    @pytest.mark.parametrize("value", [1, None])
    def test_signed_input(self, value):
        message = f"signed_input must be true or false, got {value}"
        with pytest.raises(SpecError, match=message):
            data_type_bits(4, input_bits=8, weight_bits=8, signed_input=value)
        with pytest.raises(SpecError, match=message):
            l1_bits(4, input_bits=8, signed_input=value)
        with pytest.raises(SpecError, match=message):
            l1_budget(8, input_bits=8, signed_input=value)
