"""Strategies for rescaler units: parameters and factors within all of a unit's widths."""

import numpy as np
from hypothesis import strategies as st

from lsqsim.errors import SpecError
from lsqsim.folding import (
    FLOAT_TYPES,
    FixedPointParameters,
    FloatParameters,
    Parameters,
    PowerOfTwoParameters,
    ThresholdParameters,
    fold,
)
from lsqsim.formats import IntFormat
from lsqsim.rescaler import Rescaler
from lsqsim.specs import (
    FixedPoint,
    FloatScale,
    FloatWidth,
    Granularity,
    PowerOfTwo,
    RescalerSpec,
)
from lsqsim.testing.choices import Choice, Range, chosen, integers_in
from lsqsim.testing.rescaler_strategies import (
    LARGEST,
    largest_magnitude,
    left_room,
    rescaler_specs,
)

_ROUND_UP = 1 << 10
"""What a float64 product below 2**63 can gain by rounding."""
_LARGEST_ZERO = 1 << 61
_LARGEST_ADDEND = 1 << 60
_ROBUST_BITS = 45
"""Multipliers of so many bits survive the three roundings of a float64 factor."""
_SMALL_TABLE = 16
_GENTLE = 0.75, 1.375
"""Ratios that are nearest to 1 among the powers of two."""


def legal_shifts(spec: RescalerSpec, acc_format: IntFormat) -> tuple[int, int]:
    """Least and greatest shift at which no accumulator leaves the unit's widths on the left.

    Raises
    ------
    SpecError
        When there is none.
    """
    scaling = spec.scaling
    assert isinstance(scaling, FixedPoint | PowerOfTwo)
    low = max(scaling.min_shift, _base(scaling) - left_room(acc_format, spec.input_offset))
    if low > scaling.max_shift:
        raise SpecError(
            f"no shift of {scaling.min_shift}..{scaling.max_shift} holds every accumulator of "
            f"{acc_format}: shifts must be {low} at least"
        )
    return low, scaling.max_shift


def _base(scaling: FixedPoint | PowerOfTwo) -> int:
    """The shift below which the accumulator is shifted left."""
    if isinstance(scaling, PowerOfTwo) or scaling.first_shift is None:
        return 0
    return scaling.first_shift.shift


def greatest_multiplier(spec: RescalerSpec, acc_format: IntFormat, shift: int) -> int:
    """Greatest multiplier whose product with any accumulator stays within 62 bits; 1 at least."""
    scaling = spec.scaling
    assert isinstance(scaling, FixedPoint)
    largest = largest_magnitude(acc_format, spec.input_offset)
    shifted = largest << max(_base(scaling) - shift, 0)
    if scaling.left_register is not None:
        shifted = min(shifted, -scaling.left_register.format.min)
    return max(min(scaling.multiplier.max, (LARGEST - _ROUND_UP) // max(shifted, 1)), 1)


@st.composite
def _multiplier_and_shift(
    draw: st.DrawFn, spec: RescalerSpec, acc_format: IntFormat
) -> tuple[int, int]:
    """Any legal pair; those whose results take 0 bits to all of the accumulator are common."""
    assert isinstance(spec.scaling, FixedPoint)
    low, high = legal_shifts(spec, acc_format)
    top = spec.scaling.multiplier.max
    ends = [m for m in (1, 3, top // 2 + 1, top - 1, top) if 1 <= m <= top]
    multiplier = draw(st.integers(1, top) | st.sampled_from(ends))
    down = st.integers(0, acc_format.bits)
    near = down.map(lambda bits: min(max(multiplier.bit_length() - 1 + bits, low), high))
    shift = draw(near | near | st.integers(low, high))
    return min(multiplier, greatest_multiplier(spec, acc_format, shift)), shift


@st.composite
def _addends(draw: st.DrawFn, scaling: FixedPoint, n_channels: int) -> np.ndarray | None:
    """Biases at the product, small ones common; None sometimes, and where there is no place."""
    fmt = scaling.addend
    if fmt is None or not draw(st.integers(0, 3)):
        return None
    low, high = max(fmt.min, -_LARGEST_ADDEND), min(fmt.max, _LARGEST_ADDEND)
    small = st.integers(max(low, -(1 << 16)), min(high, 1 << 16))
    values = small | st.sampled_from([low, high]) | st.integers(low, high)
    return np.array(draw(st.lists(values, min_size=n_channels, max_size=n_channels)), np.int64)


def _float_factors(spec: RescalerSpec, acc_format: IntFormat, width: int) -> st.SearchStrategy:
    """Floats of ``width`` bits, those with few significant bits (hence ties) common."""
    room = 61 - largest_magnitude(acc_format, spec.input_offset).bit_length()
    top, least = 2.0**room, 2.0 ** (-acc_format.bits - 4)
    short = st.builds(
        lambda odd, down: min(odd * 2.0**-down, top),
        st.sampled_from([1, 3, 5, 7]),
        st.integers(0, acc_format.bits),
    )
    return short | st.floats(least, top, width=width)  # pyright: ignore[reportArgumentType]


def _shifts(spec: RescalerSpec, acc_format: IntFormat) -> st.SearchStrategy[int]:
    low, high = legal_shifts(spec, acc_format)
    useful = max(low, min(0, high)), max(low, min(acc_format.bits, high))
    return st.integers(*useful) | st.integers(low, high)


@st.composite
def _threshold_rows(draw: st.DrawFn, spec: RescalerSpec, acc_format: IntFormat) -> list[int]:
    """Any ascending thresholds: what training may have left, instead of a factor."""
    n = spec.output.n_levels - 1
    low, high = acc_format.min - spec.input_offset, acc_format.max - spec.input_offset + 1
    return sorted(draw(st.lists(st.integers(low, high), min_size=n, max_size=n)))


@st.composite
def rescaler_parameters(
    draw: st.DrawFn,
    spec: RescalerSpec,
    *,
    acc_format: IntFormat,
    n_channels: int = 1,
    zero_point: int = 0,
) -> Parameters:
    """What ``spec`` may hold for ``n_channels`` channels: the unit it makes is legal."""
    match spec.scaling:
        case FixedPoint():
            pair = _multiplier_and_shift(spec, acc_format)
            pairs = draw(st.lists(pair, min_size=n_channels, max_size=n_channels))
            table = np.array(pairs, np.int64).reshape(-1, 2)
            return FixedPointParameters(
                multiplier=table[:, 0],
                shift=table[:, 1],
                addend=draw(_addends(spec.scaling, n_channels)),
            )
        case FloatScale():
            width = 32 if spec.scaling.width is FloatWidth.FLOAT32 else 64
            factor = _float_factors(spec, acc_format, width)
            scales = draw(st.lists(factor, min_size=n_channels, max_size=n_channels))
            return FloatParameters(scale=np.array(scales, FLOAT_TYPES[spec.scaling.width]))
        case PowerOfTwo():
            shift = _shifts(spec, acc_format)
            shifts = draw(st.lists(shift, min_size=n_channels, max_size=n_channels))
            return PowerOfTwoParameters(shift=np.array(shifts, np.int64))
        case _:
            return draw(_threshold_parameters(spec, acc_format, n_channels, zero_point))


@st.composite
def _threshold_parameters(
    draw: st.DrawFn, spec: RescalerSpec, acc_format: IntFormat, n_channels: int, zero_point: int
) -> ThresholdParameters:
    """Thresholds placed for a factor, or any where there are few."""
    factor = _float_factors(spec, acc_format, 64)
    factors = draw(st.lists(factor, min_size=n_channels, max_size=n_channels))
    placed = fold(spec, factors, acc_format=acc_format, zero_point=zero_point)
    assert isinstance(placed, ThresholdParameters)
    if spec.output.n_levels > _SMALL_TABLE or not draw(st.booleans()):
        return placed
    row = _threshold_rows(spec, acc_format)
    rows = draw(st.lists(row, min_size=n_channels, max_size=n_channels))
    table = np.array(rows, np.int64).reshape(placed.thresholds.shape)
    return ThresholdParameters(thresholds=table, factor=placed.factor)


def output_zero_points(output: IntFormat) -> st.SearchStrategy[int]:
    """Output zero points; 0 and the ends are common."""
    low, high = max(output.min, -_LARGEST_ZERO), min(output.max, _LARGEST_ZERO)
    return st.sampled_from([0, low, high]) | st.integers(low, high)


@st.composite
def _clamps(draw: st.DrawFn, output: IntFormat, zero_point: int) -> tuple[int, int]:
    whole = output.min, output.max
    low, high = st.integers(*whole), st.integers(*whole)
    any_pair = st.tuples(low, high).map(lambda pair: (min(pair), max(pair)))
    return draw(st.just(whole) | st.just((zero_point, output.max)) | any_pair)


@st.composite
def rescalers(  # noqa: PLR0913 - a keyword for each choice
    draw: st.DrawFn,
    spec: Choice[RescalerSpec] = None,
    *,
    acc_format: IntFormat = IntFormat(32),
    n_channels: Range = (1, 3),
    parameters: Choice[Parameters] = None,
    zero_point: Choice[int] = None,
    clamp: Choice[tuple[int, int]] = None,
) -> Rescaler:
    """Rescaler units, ready to use; ``n_channels`` counts for per-channel ones."""
    unit = draw(chosen(spec, rescaler_specs(acc_format=acc_format)))
    channels = 1
    if unit.granularity is Granularity.PER_CHANNEL:
        channels = draw(integers_in("n_channels", n_channels, 1, 1 << 16))
    zero = draw(chosen(zero_point, output_zero_points(unit.output)))
    legal = rescaler_parameters(unit, acc_format=acc_format, n_channels=channels, zero_point=zero)
    return Rescaler(
        unit,
        draw(chosen(parameters, legal)),
        acc_format=acc_format,
        zero_point=zero,
        clamp=draw(chosen(clamp, _clamps(unit.output, zero))),
    )


def factors(spec: RescalerSpec, acc_format: IntFormat) -> st.SearchStrategy[float]:
    """Real factors s_x * s_w / s_y that ``spec`` can express, even when rounded three times."""
    match spec.scaling:
        case FixedPoint():
            return _fixed_point_factors(spec, acc_format)
        case FloatScale():
            return _float_factors(spec, acc_format, 32)
        case PowerOfTwo():
            ratios = st.just(1.0) | st.floats(*_GENTLE)
            return st.builds(lambda s, r: r * 2.0**-s, _shifts(spec, acc_format), ratios)
        case _:
            return _float_factors(spec, acc_format, 64)


@st.composite
def _fixed_point_factors(draw: st.DrawFn, spec: RescalerSpec, acc_format: IntFormat) -> float:
    """m / 2**shift that folds to just this pair: m is normalized, or shift the greatest."""
    assert isinstance(spec.scaling, FixedPoint)
    multiplier, shift = draw(_multiplier_and_shift(spec, acc_format))
    half = spec.scaling.multiplier.max // 2 + 1
    multiplier = max(multiplier, half)
    if multiplier > greatest_multiplier(spec, acc_format, shift):
        shift = spec.scaling.max_shift
        multiplier = min(multiplier, greatest_multiplier(spec, acc_format, shift))
    spare = max(multiplier.bit_length() - _ROBUST_BITS, 0)
    multiplier = (multiplier >> spare | 1) << spare
    return multiplier * 2.0**-shift
