"""The two narrowings: round a fraction away, store into a register.

Rounding rules arrive as the integer codes below. ``noise`` is the random
number R of stochastic rounding, uniform in 0 .. 2**noise_bits - 1; the other
rules ignore it.
"""

import numpy as np

from lsqsim_kernels._jit import inline, kernel

TO_NEG = 0
TO_ZERO = 1
TIES_POS = 2
TIES_AWAY = 3
TIES_EVEN = 4
STOCHASTIC = 5

TWO_52 = 4503599627370496.0


@inline
def shift_right(value, shift, rounding, noise, noise_bits):
    """round(value / 2**shift) for int64 ``value`` and 0 <= shift <= 62; exact for every value.

    Works on floor and remainder, so that no half is ever added to ``value``.
    """
    floor = value >> shift
    fraction = value - (floor << shift)
    if fraction == 0:
        return floor
    half = np.int64(1) << (shift - 1)
    if rounding == TO_NEG:
        up = False
    elif rounding == TO_ZERO:
        up = value < 0
    elif rounding == TIES_POS:
        up = fraction >= half
    elif rounding == TIES_AWAY:
        up = fraction > half or (fraction == half and value >= 0)
    elif rounding == TIES_EVEN:
        up = fraction > half or (fraction == half and (floor & 1) == 1)
    elif shift <= noise_bits:
        up = (fraction << (noise_bits - shift)) + noise >= np.int64(1) << noise_bits
    else:
        up = fraction + (noise << (shift - noise_bits)) >= np.int64(1) << shift
    return floor + 1 if up else floor


@inline
def round_float(value, rounding, noise, noise_bits):
    """round(value) for float64 ``value``, infinite ones included, as an integral float64; exact.

    Works on the truncated part and the rest, both exact; adding 0.5 would not be.
    """
    if not abs(value) < TWO_52:
        return value
    whole = np.trunc(value)
    rest = value - whole
    if rest == 0.0:
        return whole
    distance = abs(rest)
    away = 1.0 if rest > 0.0 else -1.0
    if rounding == TO_NEG:
        move = rest < 0.0
    elif rounding == TO_ZERO:
        move = False
    elif rounding == TIES_POS:
        move = distance > 0.5 or (distance == 0.5 and rest > 0.0)
    elif rounding == TIES_AWAY:
        move = distance >= 0.5
    elif rounding == TIES_EVEN:
        move = distance > 0.5 or (distance == 0.5 and np.int64(whole) % 2 != 0)
    elif rest > 0.0:
        move = rest * 2.0**noise_bits >= 2.0**noise_bits - noise
    else:
        move = rest * 2.0**noise_bits < -noise
    return whole + away if move else whole


@inline
def store(value, low, high, mask, wraps):
    """Int64 ``value`` in a register of range [low, high]; ``mask`` is 2**bits - 1."""
    if low <= value <= high:
        return value
    if not wraps:
        return low if value < low else high
    kept = value & mask
    return kept if kept <= high else kept - mask - 1


@kernel
def shift_right_array(values, shift, rounding, noise, noise_bits):
    """round(values / 2**shift) elementwise.

    Exact for every int64, for 0 <= shift <= 62. ``values`` is int64 (outer, channel, inner),
    ``shift`` int64 (channel,), ``noise`` int64 with one R an element in C order, or empty when
    ``noise_bits`` is 0.
    """
    result = np.empty_like(values)
    outer, channels, inner = values.shape
    for o in range(outer):
        for c in range(channels):
            for i in range(inner):
                r = noise[(o * channels + c) * inner + i] if noise_bits > 0 else 0
                result[o, c, i] = shift_right(values[o, c, i], shift[c], rounding, r, noise_bits)
    return result


@kernel
def round_float_array(values, rounding, noise, noise_bits):
    """round(values) elementwise, float64 (n,) to int64; requires abs(values) < 2**63."""
    result = np.empty(values.shape, np.int64)
    for i in range(values.size):
        r = noise[i] if noise_bits > 0 else 0
        result[i] = np.int64(round_float(values[i], rounding, r, noise_bits))
    return result


@kernel
def store_array(values, low, high, mask, wraps):
    """Store int64 (n,) into a register of range [low, high]; exact for every int64."""
    result = np.empty_like(values)
    for i in range(values.size):
        result[i] = store(values[i], low, high, mask, wraps)
    return result


@kernel
def count_thresholds(values, thresholds):
    """Number of thresholds each value reaches, by bisection.

    ``values`` is int64 (outer, channel, inner), ``thresholds`` int64 (channel, n), each row
    ascending.
    """
    result = np.empty_like(values)
    outer, channels, inner = values.shape
    for o in range(outer):
        for c in range(channels):
            for i in range(inner):
                result[o, c, i] = np.searchsorted(thresholds[c], values[o, c, i], side="right")
    return result
