"""From an accumulator to an output code."""

from dataclasses import dataclass
from fractions import Fraction

from lsqsim.formats import AnyRounding, IntFormat, Rounding
from lsqsim.specs import (
    Activation,
    ClampPoint,
    FirstShift,
    FixedPoint,
    FloatScale,
    FloatWidth,
    PowerOfTwo,
    ProductArithmetic,
    RegisterSpec,
    RescalerSpec,
    Thresholds,
)
from oracle.floats import finite, fl32, fl64, power_of_two
from oracle.folding import Parameters
from oracle.narrowing import round_fraction, store, store_format


@dataclass(frozen=True)
class Rescaled:
    """An output code, and the registers on the way to it."""

    code: int
    product: Fraction | None
    """a1 * factor before any rounding of this unit, as the product register holds it."""
    first: int | None = None
    """After the first of two roundings."""
    rounded: int | None = None
    """y."""
    intermediate: int | None = None
    """y1."""


Scaled = tuple[Fraction, int | None, int]
"""The product, the first rounding's result if there are two, and y."""


def output_limits(
    output: IntFormat, zero_point: int, activation: Activation, s_y: float = 1.0
) -> tuple[int, int]:
    """lo and hi: the output's ends, tightened by a fused activation."""
    lo, hi = output.min, output.max
    if activation is not Activation.NONE:
        lo = max(lo, zero_point)
    if activation is Activation.RELU6:
        hi = min(hi, zero_point + round_fraction(6 / Fraction(s_y), Rounding.TIES_AWAY))
    return lo, hi


def rescale(
    acc: int,
    spec: RescalerSpec,
    parameters: Parameters,
    zero_point: int = 0,
    clamp: tuple[int, int] | None = None,
    noise: int = 0,
) -> Rescaled:
    """Steps 1 to 4; ``clamp`` is (lo, hi), the output's ends unless given."""
    lo, hi = clamp or (spec.output.min, spec.output.max)
    a1 = acc - spec.input_offset
    if isinstance(spec.scaling, Thresholds):
        q = spec.output.min + sum(a1 >= t for t in parameters.thresholds)
        return Rescaled(min(max(q, lo), hi), None)
    product, first, y = scaled(a1, spec.scaling, parameters, noise)
    y1 = stored(y, spec.intermediate)
    if spec.clamp_point is ClampPoint.AFTER_ZERO_POINT:
        q = min(max(store_format(y1 + zero_point, spec.output, spec.overflow), lo), hi)
    else:
        q = min(max(y1, lo - zero_point), hi - zero_point) + zero_point
    return Rescaled(q, product, first, y, y1)


def scaled(
    a1: int, scaling: FixedPoint | FloatScale | PowerOfTwo, p: Parameters, noise: int
) -> Scaled:
    match scaling:
        case FixedPoint(first_shift=first):
            if first is None:
                return one_rounding(a1, scaling, p, noise)
            return two_roundings(a1, scaling, first, p, noise)
        case FloatScale():
            fl = fl32 if scaling.width is FloatWidth.FLOAT32 else fl64
            product = finite(fl(finite(fl(a1)) * p.scale))
            return product, None, round_fraction(product, scaling.rounding, noise)
        case PowerOfTwo():
            return (
                Fraction(a1),
                None,
                shifted_right(Fraction(a1), p.shift, scaling.rounding, noise),
            )


def one_rounding(a1: int, scaling: FixedPoint, p: Parameters, noise: int) -> Scaled:
    left, right = max(-p.shift, 0), max(p.shift, 0)
    a2 = stored(a1 * 2**left, scaling.left_register)
    product = Fraction(a2 * p.multiplier + p.addend)
    if scaling.product is ProductArithmetic.FLOAT64:
        product = finite(fl64(finite(fl64(a2)) * finite(fl64(p.multiplier))))
    return product, None, shifted_right(product, right, scaling.rounding, noise)


def two_roundings(
    a1: int, scaling: FixedPoint, first: FirstShift, p: Parameters, noise: int
) -> Scaled:
    right = max(p.shift - first.shift, 0)
    if scaling.left_register is None:
        left, f = max(-p.shift, 0), min(first.shift, max(p.shift, 0))
    else:
        left, f = max(first.shift - p.shift, 0), first.shift
    a2 = stored(a1 * 2**left, scaling.left_register)
    product = Fraction(a2 * p.multiplier + p.addend)
    high = shifted_right(product, f, first.rounding)
    h = stored(high, first.register)
    return product, h, shifted_right(Fraction(h), right, scaling.rounding, noise)


def shifted_right(x: Fraction, shift: int, rounding: AnyRounding, noise: int = 0) -> int:
    return round_fraction(x * power_of_two(-shift), rounding, noise)


def stored(x: int, register: RegisterSpec | None) -> int:
    """``x`` after an optional register."""
    return x if register is None else store(x, register.bits, register.overflow)
