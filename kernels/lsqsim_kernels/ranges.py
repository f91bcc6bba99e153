"""Ranges of every register of the multiply array, over all inputs at once.

Each product lies between two ends, whatever the others are; so one pass that
adds all upper ends, and all lower ends beside them, finds how far every sum
can reach. ``stages`` is as in ``reduce``. Operands are in the order in which
they enter: ``w`` (n, k), and ``low`` and ``high`` (groups, k), the ends of the
operands that the weights of a group of channels meet.

The addend of channel c is ``constant[c]`` plus ``coupling[c]`` times the sum of
all inputs; coupling is 0 unless weights have a zero point that is folded.

Exact when every sum of magnitudes, addend included, is below 2**62.
"""

import numpy as np

from lsqsim_kernels._jit import inline, kernel
from lsqsim_kernels.reduce import FAN_IN, HIGH, LOW

EXACT = 0
CLAMPED = 1
LOST = 2

PREFIX_LOW = 0
PREFIX_HIGH = 1
RESULT_LOW = 2
RESULT_HIGH = 3

_NOTHING_LOW = np.int64((1 << 62) - 1)
_NOTHING_HIGH = np.int64(-(1 << 62))


@inline
def widen(ranges, low, high):
    """Widen (low, high) at the start of ``ranges`` to hold [low, high]."""
    ranges[0] = min(ranges[0], low)
    ranges[1] = max(ranges[1], high)


@inline
def scaled(factor, low, high):
    """Ends of factor * [low, high]."""
    a, b = factor * low, factor * high
    return min(a, b), max(a, b)


@kernel
def propagate(w, low, high, constant, coupling, preload, stages, modes):
    """Ranges of every channel and stage, int64 (n, depth, 4).

    PREFIX_LOW and PREFIX_HIGH: of every sum before it is stored; RESULT_LOW and RESULT_HIGH: of
    every result, the last after a post-added bias. ``modes`` uint8 (n, depth) says what a stage
    hands on: EXACT, its sums; CLAMPED, what its saturating registers keep of them; LOST,
    anything its registers can hold. A stage that adds nothing has ranges [0, 0].

    Behind EXACT stages all ends are attained. Behind CLAMPED ones too, saturation being
    monotone, unless there is a coupling; then, and behind LOST stages, ranges may be too wide.
    """
    n, k = w.shape
    per_group = max(n // max(low.shape[0], 1), 1)
    depth = stages.shape[0]
    last = depth - 1
    ranges = np.empty((n, depth, 4), np.int64)
    ranges[:, :, 0::2] = _NOTHING_LOW
    ranges[:, :, 1::2] = _NOTHING_HIGH
    register_low = np.zeros(depth, np.int64)
    register_high = np.zeros(depth, np.int64)
    counts = np.zeros(depth, np.int64)
    for c in range(n):
        g = c // per_group
        factor = coupling[c]
        is_exact = True
        for level in range(last):
            is_exact = is_exact and modes[c, level] == EXACT
        # What the addend adds for the inputs that are still to come, and for all.
        coming_low = np.int64(0)
        coming_high = np.int64(0)
        if factor != 0:
            for t in range(k):
                a, b = scaled(factor, low[g, t], high[g, t])
                coming_low += a
                coming_high += b
        register_low[:] = 0
        register_high[:] = 0
        counts[:] = 0
        if preload:
            register_low[last] = constant[c] + coming_low
            register_high[last] = constant[c] + coming_high
            widen(ranges[c, last], register_low[last], register_high[last])
        # Ends of what a tile's inputs do to the last register by product and addend together.
        joint_low = np.int64(0)
        joint_high = np.int64(0)
        total_low = np.int64(0)
        total_high = np.int64(0)
        for t in range(k + last):
            if t < k:
                level = 0
                add_low, add_high = scaled(w[c, t], low[g, t], high[g, t])
                if factor != 0:
                    with_low, with_high = scaled(w[c, t] + factor, low[g, t], high[g, t])
                    before_low, before_high = scaled(factor, low[g, t], high[g, t])
                    joint_low += with_low - before_low
                    joint_high += with_high - before_high
                    total_low += with_low
                    total_high += with_high
            else:
                # All products have entered: hand on the incomplete groups, inner first.
                level = t - k
                if counts[level] == 0:
                    continue
                add_low, add_high = hand_on(
                    ranges[c, level], register_low, register_high, level, modes[c, level], stages
                )
                counts[level] = 0
                level += 1
            while True:
                if level == last and preload and factor != 0 and is_exact:
                    add_low = joint_low
                    add_high = joint_high
                    joint_low = np.int64(0)
                    joint_high = np.int64(0)
                register_low[level] += add_low
                register_high[level] += add_high
                widen(ranges[c, level], register_low[level], register_high[level])
                if modes[c, level] == CLAMPED:
                    clamp(register_low, level, stages)
                    clamp(register_high, level, stages)
                counts[level] += 1
                if counts[level] < stages[level, FAN_IN]:
                    break
                add_low, add_high = hand_on(
                    ranges[c, level], register_low, register_high, level, modes[c, level], stages
                )
                counts[level] = 0
                level += 1
        if not preload:
            if is_exact and factor != 0:
                register_low[last] = constant[c] + total_low
                register_high[last] = constant[c] + total_high
            else:
                register_low[last] += constant[c] + coming_low
                register_high[last] += constant[c] + coming_high
            widen(ranges[c, last], register_low[last], register_high[last])
        widen(ranges[c, last, 2:], register_low[last], register_high[last])
        for level in range(depth):
            if ranges[c, level, PREFIX_LOW] > ranges[c, level, PREFIX_HIGH]:
                ranges[c, level] = 0
    return ranges


@inline
def clamp(register, level, stages):
    """``register[level]`` as a saturating register keeps it."""
    register[level] = min(max(register[level], stages[level, LOW]), stages[level, HIGH])


@inline
def hand_on(ranges, register_low, register_high, level, mode, stages):
    """Ends of the result of the group that is complete, and an empty register for the next."""
    low, high = register_low[level], register_high[level]
    widen(ranges[2:], low, high)
    register_low[level] = 0
    register_high[level] = 0
    if mode == LOST:
        return stages[level, LOW], stages[level, HIGH]
    return low, high
