"""From a real factor to what a rescaler holds: multiplier and shift, float scale, or thresholds.

All of it in exact rational arithmetic, so that the fold error is exact too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lsqsim.errors import SpecError
from lsqsim.formats import IntFormat, Rounding
from lsqsim.specs import (
    FixedPoint,
    FloatScale,
    FloatWidth,
    PowerOfTwo,
    RescalerSpec,
    Scaling,
    Thresholds,
)

FLOAT_TYPES = {FloatWidth.FLOAT32: np.float32, FloatWidth.FLOAT64: np.float64}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FixedPointParameters:
    """Scale by multiplier / 2**shift; int64 (channels,) each. ``shift > 0`` is to the right.

    ``addend``, likewise, joins the product: a bias in units of s_y / 2**right, ``right`` being
    what the product is shifted by (:attr:`lsqsim.specs.rescaler.Shifts.right`). None is none.
    """

    multiplier: np.ndarray
    shift: np.ndarray
    addend: np.ndarray | None = None

    @property
    def n_channels(self) -> int:
        """Number of channels they are for."""
        return self.shift.size

    @property
    def addends(self) -> list[int]:
        """What joins the product of every channel; zeros where nothing does."""
        return [0] * self.n_channels if self.addend is None else self.addend.tolist()

    def exact_scales(self) -> list[Fraction]:
        """What each channel is really scaled by."""
        pairs = zip(self.multiplier.tolist(), self.shift.tolist(), strict=True)
        return [m / Fraction(2) ** shift for m, shift in pairs]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FloatParameters:
    """Scale by a float32 or float64 ``scale`` (channels,)."""

    scale: np.ndarray

    @property
    def n_channels(self) -> int:
        """Number of channels they are for."""
        return self.scale.size

    def exact_scales(self) -> list[Fraction]:
        """What each channel is really scaled by."""
        return [Fraction(float(scale)) for scale in self.scale]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PowerOfTwoParameters:
    """Scale by 2**-shift, int64 (channels,)."""

    shift: np.ndarray

    @property
    def n_channels(self) -> int:
        """Number of channels they are for."""
        return self.shift.size

    def exact_scales(self) -> list[Fraction]:
        """What each channel is really scaled by."""
        return [Fraction(2) ** -shift for shift in self.shift.tolist()]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ThresholdParameters:
    """Thresholds, int64 (channels, codes - 1), ascending; and the factor they were made for."""

    thresholds: np.ndarray
    factor: np.ndarray

    @property
    def n_channels(self) -> int:
        """Number of channels they are for."""
        return self.factor.size

    def exact_scales(self) -> list[Fraction]:
        """What each channel is really scaled by: the factor itself."""
        return [Fraction(float(factor)) for factor in self.factor]


Parameters = FixedPointParameters | FloatParameters | PowerOfTwoParameters | ThresholdParameters


def combined_factor(
    scaling: Scaling, input_step: np.ndarray, weight_step: np.ndarray, output_step: np.ndarray
) -> np.ndarray:
    """M = s_x * s_w / s_y, left to right, in the width the scaling states (equation 6).

    Parameters are float64 () or (channels,) arrays; so is the result. float64
    unless the scaling is a float32 scale.
    """
    dtype = FLOAT_TYPES[scaling.width] if isinstance(scaling, FloatScale) else np.float64
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        product = np.asarray(input_step, dtype) * np.asarray(weight_step, dtype)
        return np.asarray(product / np.asarray(output_step, dtype), np.float64)


def fold(
    spec: RescalerSpec,
    factor: object,
    *,
    acc_format: IntFormat,
    zero_point: int = 0,
    bias: np.ndarray | None = None,
) -> Parameters:
    """What ``spec`` holds for real ``factor``: one value, or one a channel.

    Parameters
    ----------
    spec : RescalerSpec
        The unit.
    factor : float or float array (channels,)
        M = s_x * s_w / s_y; finite and positive.
    acc_format : IntFormat
        Format of the accumulators the unit receives (for thresholds).
    zero_point : int
        Output zero point (for thresholds).
    bias : float array (channels,), optional
        b / s_y, finite, where the product takes it (:attr:`RescalerSpec.takes_bias`).

    Raises
    ------
    SpecError
        A factor that is not finite and positive, or that the unit's
        multiplier and shifts can't express.

    Examples
    --------
    A third, with 8 bits of multiplier: 171 / 2**9.

    >>> scaling = FixedPoint(multiplier=IntFormat(8, signed=False))
    >>> spec = RescalerSpec(output=IntFormat(8), scaling=scaling)
    >>> fold(spec, 1 / 3, acc_format=IntFormat(32))
    FixedPointParameters(multiplier=array([171]), shift=array([9]), addend=None)
    """
    factors = np.atleast_1d(np.asarray(factor, np.float64))
    _check(factors)
    match spec.scaling:
        case FixedPoint():
            pairs = [_fold_fixed(spec.scaling, Fraction(f)) for f in factors.tolist()]
            multipliers, shifts = zip(*pairs, strict=True) if pairs else ((), ())
            return FixedPointParameters(
                multiplier=np.array(multipliers, np.int64),
                shift=np.array(shifts, np.int64),
                addend=None if bias is None else _fold_bias(spec.scaling, bias, shifts),
            )
        case FloatScale():
            return FloatParameters(scale=_fold_float(spec.scaling, factors))
        case PowerOfTwo():
            shifts = [_fold_power_of_two(spec.scaling, Fraction(f)) for f in factors.tolist()]
            return PowerOfTwoParameters(shift=np.array(shifts, np.int64))
        case Thresholds():
            rows = [_place_thresholds(spec, f, acc_format, zero_point) for f in factors.tolist()]
            table = np.array(rows, np.int64).reshape(len(rows), spec.output.n_levels - 1)
            return ThresholdParameters(thresholds=table, factor=factors)


def fold_error(parameters: Parameters, factor: object) -> np.ndarray:
    """Relative error of every channel's scale, scale / factor - 1; float64 (channels,).

    Formed exactly from the float64 ``factor`` and rounded once.
    """
    factors = np.atleast_1d(np.asarray(factor, np.float64)).tolist()
    scales = parameters.exact_scales()
    return np.array([float(s / Fraction(f) - 1) for s, f in zip(scales, factors, strict=True)])


def _check(factors: np.ndarray) -> None:
    legal = np.isfinite(factors) & (factors > 0)
    if not legal.all():
        at = int(np.argmin(legal))
        where = f" (channel {at})" if factors.size > 1 else ""
        raise SpecError(
            f"the factor s_x*s_w/s_y must be finite and positive, got {factors[at]}{where}; "
            f"fold a negative sign into the weights"
        )


def round_half_up(value: Fraction) -> int:
    """To nearest, ties up; for positive values also ties away."""
    return math.floor(value + Fraction(1, 2))


def _fold_fixed(scaling: FixedPoint, factor: Fraction) -> tuple[int, int]:
    wide = scaling.reduced_from
    if wide is None:
        return _largest_fitting(factor, scaling.multiplier, scaling.min_shift, scaling.max_shift)
    extra = wide.max.bit_length() - scaling.multiplier.max.bit_length()
    m, shift = _largest_fitting(factor, wide, scaling.min_shift + extra, scaling.max_shift + extra)
    reduced = min(round_half_up(Fraction(m, 1 << extra)), scaling.multiplier.max)
    _require_nonzero(reduced, factor, shift - extra)
    return reduced, shift - extra


def _largest_fitting(
    factor: Fraction, multiplier: IntFormat, min_shift: int, max_shift: int
) -> tuple[int, int]:
    """(m, shift) with the largest legal shift for which m = round(factor * 2**shift) fits."""
    magnitude = factor.numerator.bit_length() - factor.denominator.bit_length()
    shift = min(max_shift, multiplier.max.bit_length() - magnitude + 1)
    while shift >= min_shift and _scaled(factor, shift) > multiplier.max:
        shift -= 1
    if shift < min_shift:
        raise SpecError(
            f"factor {float(factor):.6g} is too large for multiplier {multiplier} and shifts "
            f"{min_shift}..{max_shift}: allow smaller (left) shifts or a wider multiplier"
        )
    m = _scaled(factor, shift)
    _require_nonzero(m, factor, shift)
    return m, shift


def _fold_bias(scaling: FixedPoint, bias: np.ndarray, shifts: Sequence[int]) -> np.ndarray:
    """b / s_y in units of 2**-right, to nearest, clipped to its format; int64 (channels,)."""
    if scaling.addend is None:
        raise SpecError("the rescaler takes no bias: leave it out, or give addend a format")
    low, high = scaling.addend.min, scaling.addend.max
    rounded = _rounded_addends(scaling, bias, shifts)
    return np.array([min(max(b, low), high) for b in rounded], np.int64)


def n_clipped_addends(scaling: Scaling, parameters: Parameters, bias: np.ndarray) -> int:
    """Channels whose b / s_y does not fit the addend's format, and is clipped."""
    assert isinstance(scaling, FixedPoint)
    assert isinstance(parameters, FixedPointParameters)
    assert scaling.addend is not None
    rounded = _rounded_addends(scaling, bias, parameters.shift.tolist())
    return sum(not scaling.addend.holds(b) for b in rounded)


def _rounded_addends(scaling: FixedPoint, bias: np.ndarray, shifts: Sequence[int]) -> list[int]:
    """b / s_y in units of 2**-right, what the product is shifted by; not clipped yet."""
    pairs = zip(bias.tolist(), shifts, strict=True)
    exact = [Fraction(b) * (1 << scaling.split(shift).right) for b, shift in pairs]
    return [round_half_up(b) for b in exact]


def _scaled(factor: Fraction, shift: int) -> int:
    return round_half_up(factor * Fraction(2) ** shift)


def _require_nonzero(m: int, factor: Fraction, shift: int) -> None:
    if m == 0:
        raise SpecError(
            f"factor {float(factor):.6g} is too small: its multiplier is 0 at the largest legal "
            f"shift, {shift}; allow larger shifts"
        )


def _fold_float(scaling: FloatScale, factors: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        scale = factors.astype(FLOAT_TYPES[scaling.width])
    for given, held in zip(factors.tolist(), scale.tolist(), strict=True):
        if not (math.isfinite(held) and held > 0):
            raise SpecError(f"factor {given} has no finite positive {scaling.width} value")
    return scale


def _fold_power_of_two(scaling: PowerOfTwo, factor: Fraction) -> int:
    """The legal shift whose 2**-shift is nearest in ratio; the larger scale at the midpoint."""
    exponent = factor.numerator.bit_length() - factor.denominator.bit_length()
    ratios = {e: factor / Fraction(2) ** e for e in (exponent - 1, exponent, exponent + 1)}
    # 2**e is nearest when the factor lies within [2**(e - 1/2), 2**(e + 1/2)): compare squares.
    nearest = next(e for e, r in ratios.items() if Fraction(1, 2) <= r * r < 2)
    if not scaling.min_shift <= -nearest <= scaling.max_shift:
        raise SpecError(
            f"factor {float(factor):.6g} needs shift {-nearest}, legal are "
            f"{scaling.min_shift}..{scaling.max_shift}"
        )
    return -nearest


def _place_thresholds(
    spec: RescalerSpec, factor: float, acc_format: IntFormat, zero_point: int
) -> list[int]:
    """T_k: least accumulator whose exactly rounded product, zero point added, reaches a code."""
    assert isinstance(spec.scaling, Thresholds)
    m = Fraction(factor)
    low = acc_format.min - spec.input_offset
    high = acc_format.max - spec.input_offset + 1
    first = spec.output.min + 1 - zero_point
    targets = range(first, first + spec.output.n_levels - 1)
    return [min(max(_least(j, m, spec.scaling.rounding), low), high) for j in targets]


def _least(target: int, m: Fraction, rounding: Rounding) -> int:
    """Least integer a with round(a * m) >= target."""
    edge, inclusive = _edge(target, rounding)
    quotient = edge / m
    return math.ceil(quotient) if inclusive else math.floor(quotient) + 1


def _edge(target: int, rounding: Rounding) -> tuple[Fraction, bool]:
    """Where rounding reaches ``target``, and whether the edge itself does."""
    half_below = target - Fraction(1, 2)
    match rounding:
        case Rounding.TO_NEG:
            return Fraction(target), True
        case Rounding.TO_ZERO:
            return (Fraction(target), True) if target > 0 else (Fraction(target - 1), False)
        case Rounding.TIES_POS:
            return half_below, True
        case Rounding.TIES_AWAY:
            return half_below, target > 0
        case Rounding.TIES_EVEN:
            return half_below, target % 2 == 0
