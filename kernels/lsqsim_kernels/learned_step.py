"""The learned quantizer of training: what it lets through, and its gradients, in one pass each.

Arrays are float32 (rows, channels), channels contiguous; a step size per tensor is repeated for
every channel. Sums over rows are float64, in the order of the rows.
"""

import numpy as np

from lsqsim_kernels._jit import inline, kernel

INCLUSIVE, STRICT, AFTER_ROUNDING = range(3)

# Adding 1.5 * 2**23 rounds a float32 of magnitude below 2**22 to an integer, ties to even.
_ROUNDER = np.float32(12582912.0)


@inline
def _round_even(u):
    return (u + _ROUNDER) - _ROUNDER


@inline
def _clip(u, low, high):
    """``u`` within [low, high]; NaN stays NaN, so that it is seen where the loss is."""
    u = max(u, low)
    return min(u, high)


@kernel
def fake_quantize(v, step, offset, low, high, out):
    """``out`` = round(clip((v - offset) / step, low, high)) * step + offset (equations 26, 27).

    ``v`` and ``out`` are float32 (rows, channels) and may be the same array; ``step``, positive,
    and ``offset`` float32 (channels,); ``low`` and ``high`` float32 of magnitude below 2**21.
    """
    rows, channels = v.shape
    for i in range(rows):
        for c in range(channels):
            u = (v[i, c] - offset[c]) / step[c]
            out[i, c] = _round_even(_clip(u, low, high)) * step[c] + offset[c]


@kernel
def learned_codes(v, step, offset, low, high):
    """Codes of :func:`fake_quantize`: int32 (rows, channels); NaN must be refused before."""
    rows, channels = v.shape
    codes = np.empty((rows, channels), np.int32)
    for i in range(rows):
        for c in range(channels):
            u = (v[i, c] - offset[c]) / step[c]
            codes[i, c] = np.int32(_round_even(_clip(u, low, high)))
    return codes


@kernel
def quantizer_gradient(v, grad, step, offset, low, high, mask, inside, at_low, at_high, out, sums):
    """Gradient through the quantizer (equation 29), and sums for its step size (equation 28).

    ``grad`` is the gradient of the loss by the quantizer's output, float32 (rows, channels);
    ``out``, which may be the same array, receives the gradient by ``v``: ``grad`` where v is inside
    the range, 0 elsewhere. To ``sums``, float64 (channels,), is added grad times

    - ``inside`` * (round(u) - u) inside, u = (v - offset) / step,
    - ``at_low`` below the range, ``at_high`` above,

    which are -Q_N and Q_P for the step size of LSQ, and 0, 1 or -1 for the parameters of others.
    ``mask`` says what inside is: low < u < high (INCLUSIVE edges are outside), low <= u <= high
    (STRICT: only beyond them is outside), or low <= round(u) <= high (AFTER_ROUNDING).
    """
    rows, channels = v.shape
    for i in range(rows):
        for c in range(channels):
            u = (v[i, c] - offset[c]) / step[c]
            r = _round_even(_clip(u, low - np.float32(1), high + np.float32(1)))
            t = r if mask == 2 else u
            if mask == 0:
                below = t <= low
                above = t >= high
            else:
                below = t < low
                above = t > high
            g = grad[i, c]
            out[i, c] = np.float32(0) if below or above else g
            d = at_low if below else (at_high if above else inside * (r - u))
            sums[c] += np.float64(g * d)
