"""Strategies for accumulators: register edges, and the ties and steps of a given rescaler."""

import math
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from lsqsim.errors import SpecError
from lsqsim.folding import FixedPointParameters, ThresholdParameters
from lsqsim.formats import IntFormat
from lsqsim.rescaler import Rescaler
from lsqsim.specs import FixedPoint, Granularity
from lsqsim.testing.choices import Choice, chosen
from lsqsim.testing.operands import Shape, code_values, codes, shapes

HALF = Fraction(1, 2)
_IS_ANY = (True, False, False)


class Point(Enum):
    """What an accumulator is chosen for."""

    CODE = "any value of the format, its ends common"
    EDGE = "the edge of a narrower register"
    STEP = "where the result may step up"
    TIE = "where the scaled value is a tie"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ties:
    """Accumulators (2 i + 1) * half + offset for low <= i <= high."""

    half: int
    low: int
    high: int

    @property
    def exist(self) -> bool:
        return self.low <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class _Channel:
    """What there is to hit in one channel: ``steps`` are thresholds, less their offset."""

    fmt: IntFormat
    points: tuple[Point, ...] = (Point.CODE, Point.EDGE)
    offset: int = 0
    scale: Fraction = Fraction(1)
    results: tuple[int, int] = (0, 0)
    ends: tuple[int, ...] = ()
    ties: tuple[_Ties, ...] = ()
    steps: tuple[int, ...] = ()


def accumulators(
    fmt: IntFormat, shape: Choice[Shape] = None, *, rescaler: Rescaler | None = None
) -> st.SearchStrategy[np.ndarray]:
    """Arrays of accumulators, int64; the last axis has a per-channel rescaler's channels.

    Biased to the edges of powers of two, and with a rescaler to its ties, to
    the accumulators where its result steps (at the clip above all) and to the
    edges of its registers, all with their neighbors.
    """
    if rescaler is None:
        return codes(fmt, shape) | _arrays(chosen(shape, shapes()), [_Channel(fmt=fmt)])
    channels = [_channel(fmt, rescaler, c) for c in range(rescaler.n_channels)]
    if rescaler.spec.granularity is Granularity.PER_TENSOR:
        return _arrays(chosen(shape, shapes()), channels)
    per_channel = st.integers(1, 3).map(lambda rows: (rows, len(channels)))
    return _arrays(chosen(shape, per_channel), channels)


@st.composite
def _arrays(
    draw: st.DrawFn, shape: st.SearchStrategy[Shape], channels: list[_Channel]
) -> np.ndarray:
    dims = draw(shape)
    if len(channels) > 1 and dims[-1:] != (len(channels),):
        raise SpecError(
            f"the last axis must have the rescaler's {len(channels)} channels, got shape {dims}"
        )
    values = [_value(draw, channels[i % len(channels)]) for i in range(math.prod(dims))]
    return np.array(values, np.int64).reshape(dims)


def _value(draw: st.DrawFn, channel: _Channel) -> int:
    fmt = channel.fmt
    match draw(st.sampled_from(channel.points)):
        case Point.CODE:
            return draw(code_values(fmt))
        case Point.EDGE:
            value = draw(st.sampled_from((1, -1))) << draw(st.integers(0, fmt.bits - 1))
        case Point.STEP:
            value = _step(draw, channel) + draw(st.sampled_from((0, 1)))
        case _:
            ties = draw(st.sampled_from(channel.ties))
            value = (2 * draw(st.integers(ties.low, ties.high)) + 1) * ties.half + channel.offset
    beside = value + draw(st.sampled_from((0, 0, 1, -1)))
    return min(max(beside, fmt.min), fmt.max)


def _step(draw: st.DrawFn, channel: _Channel) -> int:
    """The last accumulator before the result may step up."""
    if channel.steps:
        return draw(st.sampled_from(channel.steps)) + channel.offset - 1
    low, high = channel.results
    if draw(st.sampled_from(_IS_ANY)):
        result = draw(st.integers(low, high))
    else:
        result = min(max(draw(st.sampled_from(channel.ends)), low), high)
    return math.floor((result + HALF) / channel.scale) + channel.offset


def _channel(fmt: IntFormat, rescaler: Rescaler, index: int) -> _Channel:
    scale, offset = rescaler.parameters.exact_scales()[index], rescaler.spec.input_offset
    if isinstance(rescaler.parameters, ThresholdParameters):
        row = set(rescaler.parameters.thresholds[index].tolist())
        return _Channel(
            fmt=fmt,
            points=(Point.CODE, Point.STEP),
            offset=offset,
            steps=tuple(sorted(row, key=abs)),
        )
    if scale <= 0:
        return _Channel(fmt=fmt)
    steps = (Point.CODE, Point.EDGE, Point.STEP, Point.STEP)
    ties = tuple(found for found in _ties(rescaler, index, scale) if found.exist)
    return _Channel(
        fmt=fmt,
        points=(*steps, Point.TIE, Point.TIE) if ties else steps,
        offset=offset,
        scale=scale,
        results=_results(rescaler, scale),
        ends=_register_results(rescaler),
        ties=ties,
    )


def _results(rescaler: Rescaler, scale: Fraction) -> tuple[int, int]:
    """Least and greatest result, zero point not yet added, worth a visit."""
    fmt, offset, zero = rescaler.acc_format, rescaler.spec.input_offset, rescaler.zero_point
    reach = math.floor(scale * (fmt.min - offset)), math.ceil(scale * (fmt.max - offset))
    low = max(reach[0], rescaler.clamp[0] - zero - 1)
    high = min(reach[1], rescaler.clamp[1] - zero + 1)
    return (low, high) if low <= high else reach


def _register_results(rescaler: Rescaler) -> tuple[int, ...]:
    """Results at the edges of the clip, of the output and of the intermediate register."""
    spec, zero = rescaler.spec, rescaler.zero_point
    ends = [*rescaler.clamp, spec.output.min, spec.output.max]
    results = [end - zero + d for end in ends for d in (0, -1)]
    if spec.intermediate is not None:
        held = spec.intermediate.format
        results += [end + d for end in (held.min, held.max) for d in (0, -1)]
    return tuple(sorted(set(results), key=abs))


def _ties(rescaler: Rescaler, index: int, scale: Fraction) -> list[_Ties]:
    """Accumulators whose scaled value is an exact tie, of either rounding.

    a * p / q, in lowest terms, lies half way between integers just when q is
    even and a is an odd multiple of q / 2.
    """
    found = [_odd_multiples(rescaler, scale, _results(rescaler, scale))]
    scaling = rescaler.spec.scaling
    if isinstance(scaling, FixedPoint) and scaling.first_shift is not None:
        assert isinstance(rescaler.parameters, FixedPointParameters)
        left = max(scaling.first_shift.shift - int(rescaler.parameters.shift[index]), 0)
        multiplier = int(rescaler.parameters.multiplier[index])
        first = Fraction(multiplier << left, 1 << scaling.first_shift.shift)
        found.append(_odd_multiples(rescaler, first, None))
    return found


def _odd_multiples(rescaler: Rescaler, scale: Fraction, results: tuple[int, int] | None) -> _Ties:
    """Ties of one rounding; those whose result lies in ``results``, where there are any."""
    p, q = scale.numerator, scale.denominator
    if q % 2:
        return _Ties(half=1, low=0, high=-1)
    half, offset, fmt = q // 2, rescaler.spec.input_offset, rescaler.acc_format
    low, high = _indices(half, fmt.min - offset, fmt.max - offset)
    if results is not None:
        # The tie of index i is (2 i + 1) p / 2.
        inner = math.ceil(Fraction(2 * results[0], p)), math.floor(Fraction(2 * results[1], p))
        inside = _indices(1, *inner)
        if max(low, inside[0]) <= min(high, inside[1]):
            low, high = max(low, inside[0]), min(high, inside[1])
    return _Ties(half=half, low=low, high=high)


def _indices(half: int, low: int, high: int) -> tuple[int, int]:
    """The i with low <= (2 i + 1) * half <= high."""
    return -(-(low - half) // (2 * half)), (high - half) // (2 * half)
