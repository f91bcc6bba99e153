"""Sums that no register of an accumulator can change, computed without walking through it.

Two facts allow it. If every register holds every value up to the sum of the magnitudes of an
output's operands, no addition overflows, in whatever order and tiles (Lemma 1 of
docs/quantization.md). If every stage wraps and none is narrower than the last, the last register
is the exact total, wrapped (Lemma 2).

Exact totals come from a floating-point matrix product: integers whose magnitudes sum to at most
2**24 in float32, or 2**53 in float64, add up without rounding, in any order.
"""

import numpy as np

from lsqsim.array_operands import ArrayOperands
from lsqsim.formats import Overflow
from lsqsim.specs import AccumulatorSpec

_FLOAT32_EXACT = 1 << 24
_FLOAT64_EXACT = 1 << 53


def magnitude_sums(operands: ArrayOperands) -> np.ndarray:
    """Bound on any sum of some of an output's products and its addend; int64 (n,).

    sum_k |w_k| * max|x| + max|addend|: it fits 63 bits, as the ports have checked.
    """
    largest_x = _largest(operands.x)
    addends = np.abs(operands.addend).max(axis=0, initial=0)
    return np.abs(operands.w).sum(axis=1) * largest_x + addends


def always_exact(spec: AccumulatorSpec, magnitudes: np.ndarray) -> np.ndarray:
    """Channels in which no addition can overflow; bool (n,)."""
    return magnitudes <= min(stage.format.max for stage in spec.stages)


def wraps_throughout(spec: AccumulatorSpec) -> bool:
    """Whether the last register is the wrapped exact total, whatever overflows before."""
    last = spec.stages[-1]
    return all(
        stage.overflow is Overflow.WRAP and stage.format.bits >= last.format.bits
        for stage in spec.stages
    )


def exact_totals(operands: ArrayOperands, magnitudes: np.ndarray) -> np.ndarray | None:
    """Exact totals, int64 (m, n); None where floating point does not hold them."""
    largest = int(magnitudes.max(initial=0))
    if largest > _FLOAT64_EXACT:
        return None
    dtype = np.float32 if largest <= _FLOAT32_EXACT else np.float64
    products = operands.x.astype(dtype) @ operands.w.T.astype(dtype)
    return products.astype(np.int64) + operands.addend


def _largest(values: np.ndarray) -> int:
    return max(int(values.max(initial=0)), -int(values.min(initial=0)))
