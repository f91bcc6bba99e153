"""The learned quantizer in Fractions, from docs/gradients.md (26) to (34); no code of the engine.

``u`` is what float32 makes of (v - offset) / step: one rounding for each operation. Float64 holds
sums and quotients of float32 numbers well enough to round once to float32 and be right.
"""

import math
from fractions import Fraction

import numpy as np

INCLUSIVE, STRICT, AFTER_ROUNDING = "inclusive", "strict", "after_rounding"


def single(value):
    """A real number, Fraction or float, rounded to float32; Fractions must be exact in float64."""
    return Fraction(float(np.float32(float(value))))


def position(v, step, offset=0.0):
    """u, in units of codes; infinite where v is, or where float32 can't hold it."""
    with np.errstate(over="ignore"):
        difference = np.float32(float(v) - float(offset))
        u = float(np.float32(float(difference) / float(step)))
    return u if math.isinf(u) else Fraction(u)


def code(u, low, high):
    """(26); Python rounds ties to even."""
    if u <= low:
        return low
    return high if u >= high else round(u)


def value(u, step, offset, low, high):
    """(27), two roundings; an offset of 0 adds none."""
    return single(single(code(u, low, high) * Fraction(float(step))) + Fraction(float(offset)))


def side(u, low, high, mask):
    """-1 below the range, 0 inside, 1 above."""
    if mask == INCLUSIVE:
        return -1 if u <= low else int(u >= high)
    if mask == STRICT or (isinstance(u, float) and math.isinf(u)):
        return -1 if u < low else int(u > high)
    return -1 if round(u) < low else int(round(u) > high)


def by_step(u, low, high, mask):
    """(28): the derivative of the quantized value by the step size."""
    where = side(u, low, high, mask)
    return {-1: low, 1: high}[where] if where else round(u) - u


def by_value(u, low, high, mask):
    """(29): the derivative by v."""
    return int(side(u, low, high, mask) == 0)


def by_offset(u, low, high, mask):
    """(32): LSQ+."""
    return 1 - by_value(u, low, high, mask)


def by_clip_value(u, low, high, mask):
    """(33): PACT, 1 where v >= a."""
    return int(side(u, low, high, mask) == 1)
