"""From a real value to its code."""

from collections.abc import Callable
from fractions import Fraction

from lsqsim.specs import QuantizerSpec, StepArithmetic
from oracle.floats import Real, finite, fl32, fl64
from oracle.narrowing import round_fraction


def quantize(
    value: float | int, step: float, zero_point: int, spec: QuantizerSpec, noise: int = 0
) -> int:
    """clip(round(v / s) + z, q_min, q_max)."""
    x = quotient(value, step, spec.arithmetic)
    out = spec.format
    if isinstance(x, float):
        return out.max if x > 0 else out.min
    return min(max(round_fraction(x, spec.rounding, noise) + zero_point, out.min), out.max)


def quotient(value: float | int, step: float, arithmetic: StepArithmetic) -> Real:
    """v / s as the arithmetic forms it: a Fraction, or an infinity."""
    match arithmetic:
        case StepArithmetic.DIVIDE_FLOAT64:
            return times(fl64(value), 1 / finite(fl64(step)), fl64)
        case StepArithmetic.DIVIDE_FLOAT32:
            return times(fl32(value), 1 / finite(fl32(step)), fl32)
        case StepArithmetic.RECIPROCAL_FLOAT32:
            return times(fl32(value), finite(fl32(1 / finite(fl32(step)))), fl32)


def times(x: Real, factor: Fraction, fl: Callable[[Fraction], Real]) -> Real:
    """fl(x * factor) for a positive finite factor; an infinite x stays as it is."""
    return x if isinstance(x, float) else fl(x * factor)
