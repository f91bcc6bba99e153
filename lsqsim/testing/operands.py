"""Strategies for codes and real values, biased to where hardware goes wrong."""

import math
from collections.abc import Sequence
from enum import Enum
from functools import cache

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lsqsim.formats import IntFormat
from lsqsim.specs import QuantizerSpec, StepArithmetic
from lsqsim.testing.choices import Choice, chosen

Shape = tuple[int, ...]
FLOATS = (np.float64, np.float32, np.float16)
_FRACTIONS = (0.0, 0.5, 0.5)
_ULPS = (0, 0, 0, 0, 1, -1, 2, -2)
_IS_SPECIAL = (False, False, False, True)
_IS_END = (False, False, True)
_FULL_SIZE = 64
"""Arrays up to this size have every element drawn by itself."""


class Pattern(Enum):
    """What an array of operands looks like as a whole."""

    ELEMENTS = "each element by itself"
    ZERO = "all zero"
    END = "all at one end of the range"
    ONE_HOT = "zero but for one element"


PATTERNS = st.sampled_from([Pattern.ELEMENTS] * 6 + [Pattern.ZERO, Pattern.END, Pattern.ONE_HOT])


def shapes() -> st.SearchStrategy[Shape]:
    """Small shapes of one or two axes."""
    return hnp.array_shapes(min_dims=1, max_dims=2, max_side=4)


def edge_codes(fmt: IntFormat) -> list[int]:
    """0, 1, -1, the ends, their neighbors and halves: those that ``fmt`` holds, simplest first."""
    half = 1 << max(fmt.bits - 2, 0)
    candidates = {0, 1, -1, fmt.min, fmt.min + 1, fmt.max - 1, fmt.max, half, half - 1, -half}
    return sorted(filter(fmt.holds, candidates), key=lambda code: (abs(code), code < 0))


@cache
def code_values(fmt: IntFormat) -> st.SearchStrategy[int]:
    """Single codes; those of :func:`edge_codes` are common."""
    return st.integers(fmt.min, fmt.max) | st.sampled_from(edge_codes(fmt))


def element_array(
    elements: st.SearchStrategy, shape: Shape, dtype: type = np.int64
) -> st.SearchStrategy[np.ndarray]:
    """Arrays of independent elements; large ones repeat many, to stay cheap to draw."""
    fill = st.nothing() if math.prod(shape) <= _FULL_SIZE else None
    return hnp.arrays(dtype, shape, elements=elements, fill=fill)


def codes(
    fmt: IntFormat, shape: Choice[Shape] = None, *, zero_point: int = 0
) -> st.SearchStrategy[np.ndarray]:
    """Arrays of codes, int64.

    Elements are biased to 0, 1, -1 and the ends of the range; whole arrays to
    all zero, all at one end, and one-hot. Zero means ``zero_point`` there.
    """
    return _codes(fmt, chosen(shape, shapes()), zero_point)


@st.composite
def _codes(
    draw: st.DrawFn, fmt: IntFormat, shape: st.SearchStrategy[Shape], zero_point: int
) -> np.ndarray:
    elements = draw(element_array(code_values(fmt), draw(shape)))
    return patterned(draw, elements, fmt, zero_point)


def patterned(draw: st.DrawFn, elements: np.ndarray, fmt: IntFormat, zero_point: int) -> np.ndarray:
    """``elements``, or an array of the same shape with a pattern.

    Elements are drawn before, whatever the pattern: Hypothesis can then drop
    the pattern and keep them.
    """
    pattern = draw(PATTERNS)
    if pattern is Pattern.ELEMENTS:
        return elements
    array = np.full(elements.shape, zero_point, np.int64)
    if pattern is Pattern.END:
        array[...] = draw(st.sampled_from([fmt.max, fmt.min]))
    elif pattern is Pattern.ONE_HOT and array.size:
        at = draw(st.integers(0, array.size - 1))
        hot = elements.reshape(-1)[at]
        array.reshape(-1)[at] = hot if hot != zero_point else _other_end(fmt, zero_point)
    return array


def _other_end(fmt: IntFormat, code: int) -> int:
    """The end of ``fmt`` that ``code`` is not."""
    return fmt.max if code != fmt.max else fmt.min


def step_sizes(
    spec: QuantizerSpec, *, low: float = 2.0**-16, high: float = 2.0**8
) -> st.SearchStrategy[float]:
    """Step sizes that are legal in the unit's arithmetic: powers of two, decimals, any."""
    exact = spec.arithmetic is StepArithmetic.DIVIDE_FLOAT64
    first, last = math.ceil(math.log2(low)), math.floor(math.log2(high))
    powers = st.integers(first, last).map(lambda e: 2.0**e)
    low_, high_ = (low, high) if exact else (2.0**first, 2.0**last)
    any_step = st.floats(low_, high_, width=64 if exact else 32)
    decimals = st.integers(1, 999).map(lambda i: min(max(i / 1000, low), high))
    return powers | decimals | any_step


def zero_points(fmt: IntFormat) -> st.SearchStrategy[int]:
    """Codes that may mean real 0; 0 itself and the ends are common."""
    return st.sampled_from([0, fmt.min, fmt.max]) | st.integers(fmt.min, fmt.max)


def real_values(
    spec: QuantizerSpec,
    shape: Choice[Shape] = None,
    *,
    step_size: float | Sequence[float] | np.ndarray,
    zero_point: int | Sequence[int] | np.ndarray = 0,
    dtypes: Sequence[type] = FLOATS,
    specials: bool = True,
) -> st.SearchStrategy[np.ndarray]:
    """Arrays of real values for a quantizer of these step sizes and zero points.

    Biased to multiples of the step, ties (k + 1/2) * s, the clip edges, the
    floats beside each of them, infinities, -0.0, subnormals and the greatest
    finite values; whole arrays to all zero, all at one end, and one-hot. Never
    NaN, which has no code.

    Parameters
    ----------
    spec
        The unit.
    shape
        With the channels on ``spec.channel_axis``; needed by a per-channel unit
        whose axis is not the first.
    step_size, zero_point
        As the unit has them: one, or one a channel.
    dtypes
        One is drawn for each array.
    specials
        Whether to draw what no step size leads to: infinities, -0.0,
        subnormals and the greatest finite values.
    """
    steps, zeros = np.atleast_1d(step_size), np.atleast_1d(zero_point)
    n_channels = max(steps.size, zeros.size)
    per_channel = st.integers(1, 3).map(lambda n: (n_channels, n))
    any_shape = shapes() if spec.channel_axis is None else per_channel
    pairs = [(float(s), int(z)) for s, z in zip(*np.broadcast_arrays(steps, zeros), strict=True)]
    kinds = st.sampled_from([(dtype, specials) for dtype in dtypes])
    return _real_values(spec, chosen(shape, any_shape), pairs, kinds)


@st.composite
def _real_values(
    draw: st.DrawFn,
    spec: QuantizerSpec,
    shape: st.SearchStrategy[Shape],
    channels: list[tuple[float, int]],
    kinds: st.SearchStrategy[tuple[type, bool]],
) -> np.ndarray:
    dims, (dtype, specials) = draw(shape), draw(kinds)
    axis = spec.channel_axis
    index = np.zeros(dims, np.intp)
    if axis is not None:
        index += np.arange(dims[axis]).reshape([-1 if a == axis else 1 for a in range(len(dims))])
    owners = [channels[c] for c in index.reshape(-1)]
    elements = [
        draw(_special_values(dtype))
        if specials and draw(st.sampled_from(_IS_SPECIAL))
        else _real(draw, spec.format, channel, dtype)
        for channel in owners
    ]
    pattern = draw(PATTERNS)
    array = np.zeros(dims, dtype)
    flat = array.reshape(-1)
    if pattern is Pattern.ELEMENTS:
        flat[:] = elements
    elif pattern is Pattern.END:
        side = draw(st.sampled_from([spec.format.max, spec.format.min]))
        flat[:] = [_beside(dtype, float(side - zero) * step, 0) for step, zero in owners]
    elif pattern is Pattern.ONE_HOT and flat.size:
        at = draw(st.integers(0, flat.size - 1))
        flat[at] = elements[at]
    return array


def _real(draw: st.DrawFn, fmt: IntFormat, channel: tuple[float, int], dtype: type) -> np.floating:
    """One element of a channel (step size, zero point)."""
    step, zero = channel
    low, high = fmt.min - zero, fmt.max - zero
    if draw(st.sampled_from(_IS_END)):
        level = draw(st.sampled_from((0, low, high, low - 1, high + 1)))
    else:
        level = draw(st.integers(low - 1, high + 1))
    value = (level + draw(st.sampled_from(_FRACTIONS))) * step
    return _beside(dtype, value, draw(st.sampled_from(_ULPS)))


def _beside(dtype: type, value: float, ulps: int) -> np.floating:
    """The float of ``dtype`` that lies ``ulps`` places from ``value``."""
    with np.errstate(over="ignore", under="ignore"):
        x = dtype(value)
        for _ in range(abs(ulps)):
            x = np.nextafter(x, dtype(math.copysign(math.inf, ulps)))
    return x


@cache
def _special_values(dtype: type) -> st.SearchStrategy[float]:
    """Zeros of both signs, infinities, the least and greatest finite values and subnormals."""
    info = np.finfo(dtype)
    positive = [0.0, info.smallest_subnormal, info.tiny, info.max, math.inf]
    return st.sampled_from([float(x) for value in positive for x in (value, -value)])
