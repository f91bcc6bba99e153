"""The two narrowings: round and store; and the random numbers of stochastic rounding."""

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice

from lsqsim.formats import (
    AnyRounding,
    Generator,
    IntFormat,
    Overflow,
    Rounding,
    StochasticRounding,
)

HALF = Fraction(1, 2)
MASK_32 = (1 << 32) - 1
MASK_64 = (1 << 64) - 1


def round_fraction(x: Fraction, rounding: AnyRounding, noise: int = 0) -> int:
    """``x`` rounded to an integer; ``noise`` is the R of stochastic rounding."""
    if isinstance(rounding, StochasticRounding):
        return math.floor(x + Fraction(noise, 1 << rounding.bits))
    match rounding:
        case Rounding.TO_NEG:
            return math.floor(x)
        case Rounding.TO_ZERO:
            return math.floor(x) if x >= 0 else math.ceil(x)
        case Rounding.TIES_POS:
            return math.floor(x + HALF)
        case Rounding.TIES_AWAY:
            return math.floor(x + HALF) if x >= 0 else math.ceil(x - HALF)
        case Rounding.TIES_EVEN:
            return ties_even(x)


def ties_even(x: Fraction) -> int:
    below = math.floor(x)
    fraction = x - below
    if fraction == HALF:
        return below if below % 2 == 0 else below + 1
    return below if fraction < HALF else below + 1


def store(x: int, bits: int, overflow: Overflow) -> int:
    """``x`` after it entered a signed register of ``bits`` bits."""
    return store_format(x, IntFormat(bits), overflow)


def store_format(x: int, out: IntFormat, overflow: Overflow) -> int:
    """``x`` after it entered a register of format ``out``."""
    if overflow is Overflow.SATURATE:
        return out.min if x < out.min else min(x, out.max)
    low_bits = x % (1 << out.bits)
    return low_bits - (1 << out.bits) if low_bits > out.max else low_bits


def fits(x: int, bits: int) -> bool:
    """Whether a signed register of ``bits`` bits holds ``x``."""
    return -(1 << (bits - 1)) <= x < 1 << (bits - 1)


def xorshift32_words(seed: int) -> Iterator[int]:
    """Marsaglia 2003: the register after each step, the seed itself not included."""
    u = seed
    while True:
        u = (u ^ (u << 13)) & MASK_32
        u = u ^ (u >> 17)
        u = (u ^ (u << 5)) & MASK_32
        yield u


def splitmix64_outputs(seed: int) -> Iterator[int]:
    """Steele, Lea and Flood 2014: the full 64-bit outputs."""
    i = 0
    while True:
        z = (seed + (i + 1) * 0x9E3779B97F4A7C15) & MASK_64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK_64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK_64
        yield z ^ (z >> 31)
        i += 1


def noise_values(rounding: StochasticRounding, n: int) -> list[int]:
    """R of elements 0 .. n - 1: the top bits of each element's 32-bit word."""
    match rounding.generator:
        case Generator.XORSHIFT32:
            words = xorshift32_words(rounding.seed)
        case Generator.SPLITMIX64:
            words = (z >> 32 for z in splitmix64_outputs(rounding.seed))
    return [word >> (32 - rounding.bits) for word in islice(words, n)]
