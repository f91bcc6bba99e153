"""Limits that an accumulator sets on the sums of its weights, register by register.

Of the weights of one register, let p be the sum of the positive ones and n that of the
magnitudes of the negative ones. With operands from a <= 0 to b >= 0 and an addend c, sums stay
within c - (p*|a| + n*b) and c + (p*b + n*|a|), whatever the order. So a register that holds
L .. U is safe where

    p*b + n*|a| <= U - c   and   p*|a| + n*b <= c - L.

A range of operands without 0 is widened to it: a product that has not entered yet counts 0.
That is safe, and may leave a little of the register unused.

A *facet* is one such inequality, divided by the larger of its two factors, so that its limit is
in codes, as weights are. Limits steer training and are float64; what proves codes safe is their
exact range.
"""

from typing import NamedTuple

import numpy as np

from lsqsim.formats import SpecEnum
from lsqsim.specs import AccumulatorSpec, BiasPlacement, ZeroPointHandling


class Constraint(SpecEnum):
    """What weights are held to so that no register overflows."""

    A2Q = "a2q"
    """The l1 norm of every register's weights: p + n <= (U - |c|) / max(|a|, b).

    Colbert et al., ICCV 2023, for every register as AXE (Colbert et al. 2024) has it."""
    A2Q_PLUS = "a2q_plus"
    """Mean 0 in every channel, and the wider l1 norm (2U - 2|c|) / (b - a), half a sign.

    Colbert et al. 2024. The mean is taken off the channel, as published, not off every tile:
    that would cost a degree of freedom a tile, and all weights at fan-in 1. The norm alone is
    then no bound for a tile, nor for rounded codes, whose sums differ. Half of it for each sign
    is: with p and n both at most h, p*b + n*|a| <= h * (b - a)."""
    SIGNED = "signed"
    """The two inequalities themselves: weights that break one can overflow, if 0 is an operand."""


class Facet(NamedTuple):
    """One inequality: positive * p + negative * n <= limit, for every register of a stage.

    Factors are 0 .. 1, the larger one 1; ``limit`` is float64 (n, 1), codes, 0 or more.
    """

    positive: float
    negative: float
    limit: np.ndarray


class _Reading(NamedTuple):
    """What is read in a register: operands from ``low`` to ``high``, and the addend."""

    low: int
    high: int
    addend: np.ndarray


def stage_facets(
    spec: AccumulatorSpec,
    constraint: Constraint,
    input_ends: tuple[int, int],
    zero_point: int,
    bias: np.ndarray,
) -> list[list[Facet]]:
    """The facets of every stage, inner first.

    Parameters
    ----------
    spec, constraint
        The array, and how its weights are held.
    input_ends
        Least and largest input code.
    zero_point
        Of the inputs; that of the weights is 0.
    bias
        int64 (n,), each a value of the last register.
    """
    centers = spec.zero_points is ZeroPointHandling.CENTER
    chain = _operands(input_ends, zero_point if centers else 0)
    inner = _Reading(*chain, np.zeros_like(bias))
    found = [_facets(constraint, stage.format.max, [inner]) for stage in spec.stages[:-1]]
    last = _last_readings(spec, inner, input_ends, zero_point, bias)
    return [*found, _facets(constraint, spec.format.max, last)]


def tightest(facets: list[Facet], n: int) -> np.ndarray:
    """The largest sums (n, 1) that meet every facet, whatever the signs; infinite without any."""
    return np.min([facet.limit for facet in facets] or [np.full((n, 1), np.inf)], axis=0)


def _operands(ends: tuple[int, int], zero_point: int) -> tuple[int, int]:
    """Ends of x - z, and 0, for the products that have not entered yet."""
    return min(ends[0] - zero_point, 0), max(ends[1] - zero_point, 0)


def _last_readings(
    spec: AccumulatorSpec,
    chain: _Reading,
    ends: tuple[int, int],
    zero_point: int,
    bias: np.ndarray,
) -> list[_Reading]:
    """What is read in the last register: with the addend, and before it is added.

    A folded correction is -z for every weight. Preloaded, it is in from the start, and a product
    that has not entered counts as (0 - z) * w; post-added, only the finished sum has it.
    """
    if spec.bias is BiasPlacement.POST_ADD:
        return [chain, _Reading(*_operands(ends, zero_point), bias)]
    if spec.zero_points is ZeroPointHandling.FOLD:
        ends = min(ends[0], 0), max(ends[1], 0)
    return [_Reading(*_operands(ends, zero_point), bias)]


def _facets(constraint: Constraint, largest: int, readings: list[_Reading]) -> list[Facet]:
    """Facets of a register -largest - 1 .. largest; of equal ones the tightest only."""
    limits: dict[tuple[float, float], np.ndarray] = {}
    for reading in readings:
        if reading.low == reading.high:  # both 0: no weight is felt
            continue
        for positive, negative, limit in _reading_facets(constraint, largest, reading):
            key = positive, negative
            limits[key] = np.minimum(limits.get(key, np.inf), limit)
    return [Facet(*factors, np.maximum(limit, 0.0)[:, None]) for factors, limit in limits.items()]


def _reading_facets(
    constraint: Constraint, largest: int, reading: _Reading
) -> list[tuple[float, float, np.ndarray]]:
    """Factors and limits (n,); a limit below 0 leaves room for no weight."""
    low, high, addend = reading
    widest = max(-low, high)
    if constraint is Constraint.SIGNED:
        return [
            (high / widest, -low / widest, (largest - addend) / widest),
            (-low / widest, high / widest, (addend + largest + 1) / widest),
        ]
    room = largest - np.abs(addend)
    if constraint is Constraint.A2Q:
        return [(1.0, 1.0, room / widest)]
    return [(1.0, 0.0, room / (high - low)), (0.0, 1.0, room / (high - low))]
