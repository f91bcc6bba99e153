"""Nearest magnitudes whose sums stay within limits, for registers that nest.

A register of stage s covers the next ``sizes[s]`` entries of K in the order in which products
enter, so every register lies inside one of the next stage. Magnitudes (n, k) are in that order,
float64 and 0 or more; limits are one a channel and register, (n, registers), or (n, 1) for all
registers of a channel, 0 or more, or infinite.
"""

from collections.abc import Sequence

import numpy as np

from lsqsim.accumulator_aware.weight_limits import Constraint, Facet, tightest

# Halvings of 0 .. largest magnitude: down to neighboring float64 numbers, but next to 0.
_HALVINGS = 80


def tiles(values: np.ndarray, size: int) -> np.ndarray:
    """Entries (n, k) by register, (n, registers, size); the last register is filled up with 0."""
    n, k = values.shape
    registers = -(-k // size)
    padded = np.zeros((n, registers * size), values.dtype)
    padded[:, :k] = values
    return padded.reshape(n, registers, size)


def untile(values: np.ndarray, k: int) -> np.ndarray:
    """The inverse of :func:`tiles`: (n, registers, size) as (n, k)."""
    n, registers, size = values.shape
    return values.reshape(n, registers * size)[:, :k]


def sums(values: np.ndarray, size: int) -> np.ndarray:
    """Sum of the entries of every register, (n, registers)."""
    return tiles(values, size).sum(axis=2)


def nearest(
    constraint: Constraint,
    weights: np.ndarray,
    sizes: Sequence[int],
    facets: Sequence[list[Facet]],
) -> np.ndarray:
    """Weights that meet the facets of every stage; WeightBudget.project says how near.

    Parameters
    ----------
    constraint
        What the facets were made for.
    weights
        float64 (n, k) in the order of entry; centered for A2Q_PLUS.
    sizes, facets
        Entries a register covers, and its facets, for every stage, inner first.
    """
    norms = [tightest(stage, weights.shape[0]) for stage in facets]
    positive, negative = np.maximum(weights, 0.0), np.maximum(-weights, 0.0)
    if constraint is Constraint.A2Q_PLUS:
        positive, negative = shrink(positive, sizes, norms), shrink(negative, sizes, norms)
        return np.subtract(*balance(positive, negative))
    within = shrink(np.abs(weights), sizes, norms)
    safe = np.where(weights > 0, within, 0.0), np.where(weights < 0, within, 0.0)
    if constraint is Constraint.A2Q:
        return np.subtract(*safe)
    limits = [
        corners(
            stage,
            (sums(safe[0], size), sums(safe[1], size)),
            (sums(positive, size), sums(negative, size)),
        )
        for stage, size in zip(facets, sizes, strict=True)
    ]
    positive = shrink(positive, sizes, [limit for limit, _ in limits])
    return positive - shrink(negative, sizes, [limit for _, limit in limits])


def shrink(
    magnitudes: np.ndarray, sizes: Sequence[int], limits: Sequence[np.ndarray]
) -> np.ndarray:
    """The nearest magnitudes whose sum in every register is within its limit.

    Nearest in the Euclidean norm, for all registers at once. Within one register each magnitude
    loses the same threshold, and those below it become 0: projection on the l1 ball, Duchi,
    Shalev-Shwartz, Singer and Chandra, *Efficient Projections onto the l1-Ball for Learning in
    High Dimensions*, ICML 2008. With nested registers, a magnitude loses the **largest** threshold
    of its registers, each found given those inside: a register that has taken its share already
    is not taxed again before its neighbors have caught up. (By the optimality conditions: the
    multipliers of the registers around a magnitude add up, and that of an inner one is the part
    by which its threshold exceeds those further out, which is positive only if its limit is
    reached.)

    Parameters
    ----------
    magnitudes
        float64 (n, k), 0 or more.
    sizes
        Entries a register covers, for every stage, inner first; each a multiple of the one
        before, or all of k.
    limits
        For every stage, (n, registers) or (n, 1).

    Returns
    -------
    float64 (n, k), between 0 and ``magnitudes``; each sum as computed is within its limit.
    """
    thresholds = np.zeros_like(magnitudes)
    for size, limit in zip(sizes, limits, strict=True):
        inside = tiles(magnitudes, size), tiles(thresholds, size)
        level = _threshold(*inside, np.broadcast_to(limit, inside[0].shape[:2]))
        thresholds = untile(np.maximum(inside[1], level[:, :, None]), magnitudes.shape[1])
    return np.maximum(magnitudes - thresholds, 0.0)


def _threshold(magnitudes: np.ndarray, inner: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """The least threshold (n, registers) that brings every register within its limit.

    Magnitudes and the thresholds ``inner`` of stages further in are (n, registers, size). Found
    by halving rather than by sorting, so that the sum *as computed* is within the limit.
    """
    found = np.zeros(limit.shape)
    over = _left(magnitudes, inner, found) > limit
    magnitudes, inner, limit = magnitudes[over], inner[over], limit[over]
    low, high = np.zeros(limit.shape), magnitudes.max(axis=-1, initial=0.0)
    for _ in range(_HALVINGS):
        middle = low + (high - low) / 2
        fits = _left(magnitudes, inner, middle) <= limit
        low, high = np.where(fits, low, middle), np.where(fits, middle, high)
    found[over] = high
    return found


def _left(magnitudes: np.ndarray, inner: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """Sums of what thresholds leave of the magnitudes."""
    lost = np.maximum(inner, threshold[..., None])
    return np.maximum(magnitudes - lost, 0.0).sum(axis=-1)


def corners(
    facets: Sequence[Facet],
    inside: tuple[np.ndarray, np.ndarray],
    wanted: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Divide what facets allow a register between its positive and its negative weights.

    From sums that meet the facets, straight toward the sums wanted until a facet stops it; then
    on along each sign alone, as far as facets let it.

    Parameters
    ----------
    facets
        Of the stage.
    inside, wanted
        Sums of positive and of negative magnitudes, (n, registers) each; those inside meet the
        facets and exceed none of the wanted ones.

    Returns
    -------
    Limits on both sums, (n, registers) each: no less than those inside, no more than wanted,
    and meeting the facets together.
    """
    step = wanted[0] - inside[0], wanted[1] - inside[1]
    part = np.ones_like(step[0])
    for facet in facets:
        growth = facet.positive * step[0] + facet.negative * step[1]
        room = facet.limit - facet.positive * inside[0] - facet.negative * inside[1]
        room = np.maximum(room, 0.0)  # by rounding, it may be a little less
        reached = np.divide(room, growth, out=np.ones_like(growth), where=growth > room)
        part = np.minimum(part, reached)
    positive = np.where(part < 1, inside[0] + part * step[0], wanted[0])
    negative = np.where(part < 1, inside[1] + part * step[1], wanted[1])
    sides = [(f.positive, f.negative, f.limit) for f in facets]
    positive = _grown(positive, wanted[0], negative, sides)
    negative = _grown(negative, wanted[1], positive, [(b, a, limit) for a, b, limit in sides])
    return positive, negative


def _grown(
    own: np.ndarray,
    wanted: np.ndarray,
    other: np.ndarray,
    sides: list[tuple[float, float, np.ndarray]],
) -> np.ndarray:
    """``own`` raised toward ``wanted`` as far as facets (own factor, other's, limit) allow."""
    reach = wanted
    for factor, others, limit in sides:
        if factor > 0:
            reach = np.minimum(reach, (limit - others * other) / factor)
    return np.maximum(own, reach)


def balance(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shrink the magnitudes of the sign with the larger sum, channel by channel, to the other's."""
    k = max(positive.shape[1], 1)
    limit = np.minimum(sums(positive, k), sums(negative, k))
    return shrink(positive, [k], [limit]), shrink(negative, [k], [limit])
