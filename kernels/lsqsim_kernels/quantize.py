"""Quantizer loops: real values to codes (equation 1)."""

import numpy as np

from lsqsim_kernels._jit import inline, kernel
from lsqsim_kernels.narrow import round_float

TWO_63 = 9223372036854775808.0


@inline
def code_of(quotient, zero_point, low, high, rounding, noise, noise_bits):
    """clip(round(quotient) + zero_point, low, high); float64 quotient, infinite ones included.

    Clips before it adds, so that no sum leaves int64.
    """
    if quotient >= TWO_63:
        return high
    if quotient < -TWO_63:
        return low
    rounded = np.int64(round_float(quotient, rounding, noise, noise_bits))
    return min(max(rounded, low - zero_point), high - zero_point) + zero_point


@kernel
def quantize_by_division(values, step, zero_point, low, high, rounding, noise, noise_bits):
    """Codes of ``values / step``, divided in the dtype of both.

    ``values`` is float32 or float64 (outer, channel, inner) without NaN; ``step`` (channel,) of the
    same dtype, positive; ``zero_point`` int64 (channel,) within [low, high]; ``noise`` as in
    ``shift_right_array``.
    """
    result = np.empty(values.shape, np.int64)
    outer, channels, inner = values.shape
    for o in range(outer):
        for c in range(channels):
            for i in range(inner):
                r = noise[(o * channels + c) * inner + i] if noise_bits > 0 else 0
                quotient = np.float64(values[o, c, i] / step[c])
                result[o, c, i] = code_of(
                    quotient, zero_point[c], low, high, rounding, r, noise_bits
                )
    return result


@kernel
def quantize_by_reciprocal(values, reciprocal, zero_point, low, high, rounding, noise, noise_bits):
    """Codes of ``values * reciprocal``, multiplied in the dtype of both; else as by division."""
    result = np.empty(values.shape, np.int64)
    outer, channels, inner = values.shape
    for o in range(outer):
        for c in range(channels):
            for i in range(inner):
                r = noise[(o * channels + c) * inner + i] if noise_bits > 0 else 0
                quotient = np.float64(values[o, c, i] * reciprocal[c])
                result[o, c, i] = code_of(
                    quotient, zero_point[c], low, high, rounding, r, noise_bits
                )
    return result
