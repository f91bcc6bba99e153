"""From a real factor to the parameters of a rescaler."""

from dataclasses import dataclass
from fractions import Fraction

from lsqsim.formats import IntFormat, Rounding
from lsqsim.specs import FixedPoint, FloatScale, FloatWidth, PowerOfTwo, Scaling, Thresholds
from oracle.floats import finite, fl32, fl64, power_of_two
from oracle.narrowing import round_fraction


class Refused(Exception):  # noqa: N818  it is a verdict, not an error
    """The text says that this is refused."""


@dataclass(frozen=True)
class Parameters:
    """Those of one channel; each scaling uses its own fields."""

    multiplier: int = 1
    shift: int = 0
    scale: Fraction = Fraction(1)
    thresholds: tuple[int, ...] = ()
    addend: int = 0


def factor_of(s_x: float, s_w: float, s_y: float) -> Fraction:
    """M = s_x * s_w / s_y, formed left to right in float64."""
    return finite(fl64(finite(fl64(Fraction(s_x) * Fraction(s_w))) / Fraction(s_y)))


def fold(
    scaling: Scaling,
    factor: float | Fraction,
    *,
    steps: tuple[float, float, float] | None = None,
    acc: IntFormat = IntFormat(32),
    output: IntFormat = IntFormat(8),
    zero_point: int = 0,
    input_offset: int = 0,
) -> Parameters:
    """Parameters for the exact ``factor`` (or ``steps`` = s_x, s_w, s_y, where they matter)."""
    exact = Fraction(factor)
    match scaling:
        case FixedPoint():
            return fold_fixed_point(scaling, exact)
        case FloatScale():
            fl = fl32 if scaling.width is FloatWidth.FLOAT32 else fl64
            if steps is None:
                return Parameters(scale=finite(fl(exact)))
            s_x, s_w, s_y = (finite(fl(s)) for s in steps)
            return Parameters(scale=finite(fl(finite(fl(s_x * s_w)) / s_y)))
        case PowerOfTwo():
            return fold_power_of_two(scaling, exact)
        case Thresholds():
            return fold_thresholds(scaling, exact, acc, output, zero_point, input_offset)


def fold_fixed_point(scaling: FixedPoint, factor: Fraction) -> Parameters:
    if scaling.reduced_from is None:
        m, shift = largest_shift(
            factor, scaling.multiplier, range(scaling.min_shift, scaling.max_shift + 1)
        )
    else:
        drop = value_bits(scaling.reduced_from) - value_bits(scaling.multiplier)
        wide_m, wide_shift = largest_shift(
            factor,
            scaling.reduced_from,
            range(scaling.min_shift + drop, scaling.max_shift + drop + 1),
        )
        m = round_fraction(Fraction(wide_m, 1 << drop), Rounding.TIES_POS)
        m, shift = min(m, scaling.multiplier.max), wide_shift - drop
    if m == 0:
        raise Refused(f"{factor} is too small: multiplier 0")
    return Parameters(multiplier=m, shift=shift)


def largest_shift(factor: Fraction, multiplier: IntFormat, shifts: range) -> tuple[int, int]:
    for shift in reversed(shifts):
        m = round_fraction(factor * power_of_two(shift), Rounding.TIES_AWAY)
        if multiplier.holds(m):
            return m, shift
    raise Refused(f"{factor} is too large for {multiplier}")


def value_bits(f: IntFormat) -> int:
    return f.max.bit_length()


def fold_bias(scaling: FixedPoint, shift: int, b: float, s_y: float) -> int:
    """B: b / s_y, in float64, in units of what one step of the product means."""
    units = finite(fl64(Fraction(b) / Fraction(s_y))) * power_of_two(shifted_out(scaling, shift))
    fmt = scaling.addend
    return min(max(round_fraction(units, Rounding.TIES_POS), fmt.min), fmt.max)


def shifted_out(scaling: FixedPoint, shift: int) -> int:
    """R': bits of the product below a code."""
    if scaling.first_shift is not None and scaling.left_register is not None:
        return max(shift, scaling.first_shift.shift)
    return max(shift, 0)


def fold_power_of_two(scaling: PowerOfTwo, factor: Fraction) -> Parameters:
    """Nearest in ratio: the larger of 2**-shift / M and its inverse is least."""

    def ratio(shift: int) -> Fraction:
        r = power_of_two(-shift) / factor
        return max(r, 1 / r)

    shift = min(range(scaling.min_shift, scaling.max_shift + 1), key=ratio)
    return Parameters(shift=shift)


def fold_thresholds(
    scaling: Thresholds,
    factor: Fraction,
    acc: IntFormat,
    output: IntFormat,
    zero_point: int,
    input_offset: int,
) -> Parameters:
    """T_k by bisection on the definition; round(a * M) never falls as a grows."""

    def reaches(a: int, code: int) -> bool:
        return round_fraction(a * factor, scaling.rounding) + zero_point >= code

    first, past = acc.min - input_offset, acc.max - input_offset + 1
    thresholds = []
    for code in range(output.min + 1, output.max + 1):
        low, high = first, past
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if reaches(middle, code) else (middle + 1, high)
        thresholds.append(low)
    return Parameters(thresholds=tuple(thresholds))


def fold_error(scaling: Scaling, p: Parameters, factor: float | Fraction) -> Fraction:
    """(what the parameters scale by) / M - 1; thresholds are exact."""
    match scaling:
        case FloatScale():
            return p.scale / Fraction(factor) - 1
        case Thresholds():
            return Fraction(0)
        case _:
            return p.multiplier * power_of_two(-p.shift) / Fraction(factor) - 1
