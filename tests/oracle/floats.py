"""IEEE 754 rounding done exactly: a fraction in, the fraction a float holds out.

Infinities are the floats ``math.inf`` and ``-math.inf``; zeros have no sign.
"""

import math
from fractions import Fraction

from oracle.narrowing import ties_even

Real = Fraction | float
"""A Fraction, or an infinity."""


def fl32(x: Fraction | float | int) -> Real:
    """``x`` rounded to binary32."""
    return round_to_binary(x, precision=24, min_exponent=-126, max_exponent=127)


def fl64(x: Fraction | float | int) -> Real:
    """``x`` rounded to binary64."""
    return round_to_binary(x, precision=53, min_exponent=-1022, max_exponent=1023)


def round_to_binary(
    x: Fraction | float | int, *, precision: int, min_exponent: int, max_exponent: int
) -> Real:
    """To nearest, ties to even; gradual underflow; overflow to an infinity."""
    if isinstance(x, float) and math.isinf(x):
        return x
    exact = Fraction(x)
    if exact == 0:
        return exact
    exponent = max(floor_log2(abs(exact)), min_exponent)
    unit = power_of_two(exponent - (precision - 1))
    rounded = ties_even(exact / unit) * unit
    if abs(rounded) >= power_of_two(max_exponent + 1):
        return math.inf if rounded > 0 else -math.inf
    return rounded


def finite(x: Real) -> Fraction:
    """``x``, which the text promises to be no infinity."""
    assert isinstance(x, Fraction)
    return x


def power_of_two(exponent: int) -> Fraction:
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)


def floor_log2(x: Fraction) -> int:
    """The e with 2**e <= x < 2**(e + 1)."""
    guess = x.numerator.bit_length() - x.denominator.bit_length()
    return guess if power_of_two(guess) <= x else guess - 1
