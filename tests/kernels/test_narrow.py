"""Tests for lsqsim_kernels.narrow: every rule at every edge, straight at the loops."""

import math
from fractions import Fraction

import numpy as np
import pytest

import oracle
from lsqsim.formats import IntFormat, Overflow, Rounding, StochasticRounding
from lsqsim_kernels import narrow

RULES = {
    Rounding.TO_NEG: narrow.TO_NEG,
    Rounding.TO_ZERO: narrow.TO_ZERO,
    Rounding.TIES_POS: narrow.TIES_POS,
    Rounding.TIES_AWAY: narrow.TIES_AWAY,
    Rounding.TIES_EVEN: narrow.TIES_EVEN,
}
ENDS = [-(1 << 63), -(1 << 63) + 1, (1 << 63) - 2, (1 << 63) - 1]
NO_NOISE = np.empty(0, np.int64)


def around(*values: int) -> list[int]:
    """The values, and their neighbors, that an int64 holds."""
    near = {v + d for v in values for d in (-1, 0, 1)}
    return sorted(v for v in near if -(1 << 63) <= v < 1 << 63)


def shift_right(values: list[int], shift: int, rule: int, noise=NO_NOISE, bits=0) -> list[int]:
    array = np.array(values, np.int64).reshape(1, 1, -1)
    return narrow.shift_right_array(array, np.array([shift]), rule, noise, bits).ravel().tolist()


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("shift", range(63))
def test_every_shift_at_its_ties(rounding, shift):
    """Zero, one, and multiples of half an LSB, of both signs; int64's ends."""
    half = 1 << shift >> 1
    values = around(0, *(sign * n * half for sign in (-1, 1) for n in (1, 2, 3, 4, 5))) + ENDS
    expected = [oracle.round_fraction(Fraction(v, 1 << shift), rounding) for v in values]
    assert shift_right(values, shift, RULES[rounding]) == expected


@pytest.mark.parametrize("bits", [1, 2, 8, 31, 32])
@pytest.mark.parametrize("shift", [0, 1, 2, 3, 7, 8, 9, 30, 31, 32, 33, 61, 62])
def test_stochastic_shift_at_its_edges(bits, shift):
    """The fractions at which the carry appears, for the least, middle and greatest R."""
    top = (1 << bits) - 1
    for r in {0, 1, top // 2, top - 1, top}:
        edge = (1 << shift) - (r << shift >> bits)
        values = around(0, edge, -edge, (1 << shift) - 1, edge - (1 << shift)) + ENDS
        noise = np.full(len(values), r)
        expected = [math.floor(Fraction(v, 1 << shift) + Fraction(r, 1 << bits)) for v in values]
        assert shift_right(values, shift, narrow.STOCHASTIC, noise, bits) == expected


FLOATS = sorted(
    {
        sign * moved
        for sign in (-1.0, 1.0)
        for x in (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 2.0**51 - 0.5, 2.0**51 + 0.5, 2.0**52, 2.0**53)
        for moved in (x, math.nextafter(x, math.inf), math.nextafter(x, 0.0))
    }
)


@pytest.mark.parametrize("rounding", Rounding)
def test_every_float_tie(rounding):
    expected = [oracle.round_fraction(Fraction(x), rounding) for x in FLOATS]
    got = narrow.round_float_array(np.array(FLOATS), RULES[rounding], NO_NOISE, 0)
    assert got.tolist() == expected


@pytest.mark.parametrize("bits", [1, 2, 32])
def test_stochastic_float_at_its_edges(bits):
    top = (1 << bits) - 1
    for r in {0, 1, top // 2, top}:
        edge = 1 - r / 2**bits
        values = [
            moved
            for x in (edge, edge - 1, edge + 1, edge - 2, 0.0, 0.25, -0.25, 2.0**52 + 1)
            for moved in (math.nextafter(x, -math.inf), x, math.nextafter(x, math.inf))
        ]
        expected = [math.floor(Fraction(x) + Fraction(r, 1 << bits)) for x in values]
        noise = np.full(len(values), r)
        got = narrow.round_float_array(np.array(values), narrow.STOCHASTIC, noise, bits)
        assert got.tolist() == expected


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [1, 2, 8, 32, 62, 63])
def test_store_at_its_ends(bits, signed, overflow):
    fmt = IntFormat(bits, signed=signed)
    span = 1 << bits
    values = around(0, fmt.min, fmt.max, fmt.min - span, fmt.max + span, 3 * span) + ENDS
    expected = [oracle.store_format(v, fmt, overflow) for v in values]
    wraps = overflow is Overflow.WRAP
    got = narrow.store_array(np.array(values, np.int64), fmt.min, fmt.max, span - 1, wraps)
    assert got.tolist() == expected


def test_thresholds_count_what_is_reached():
    """Equal thresholds count each; one below, at and above; a row a channel."""
    table = np.array([[-2, 0, 0, 5], [1, 2, 3, 4]])
    values = np.array([[[-3, -2, -1, 0, 4, 5, 6]] * 2], np.int64)
    counts = narrow.count_thresholds(values, table)
    assert counts.tolist() == [[[0, 1, 1, 3, 3, 4, 4], [0, 0, 0, 0, 4, 4, 4]]]


@pytest.mark.parametrize("rounding", [StochasticRounding(bits=8), Rounding.TIES_EVEN])
def test_channels_keep_their_shifts_and_noise(rounding):
    """Element (o, c, i) shifts by shift[c] and takes noise (o * channels + c) * inner + i."""
    values = np.arange(-30, 30).reshape(2, 3, 10) * 7
    shift = np.array([1, 3, 5])
    noise = np.arange(60) * 4
    stochastic = isinstance(rounding, StochasticRounding)
    rule, bits = (narrow.STOCHASTIC, 8) if stochastic else (narrow.TIES_EVEN, 0)
    got = narrow.shift_right_array(values, shift, rule, noise if bits else NO_NOISE, bits)
    for (o, c, i), value in np.ndenumerate(values):
        exact = Fraction(int(value), 1 << int(shift[c]))
        r = int(noise[(o * 3 + c) * 10 + i])
        expected = math.floor(exact + Fraction(r, 256)) if bits else round(exact)
        assert got[o, c, i] == expected
