"""Products that sum to a given number: how operands lead a register to its edge."""

from collections.abc import Sequence


def spelled(
    target: int, n_slots: int, x_range: tuple[int, int], w_range: tuple[int, int]
) -> list[tuple[int, int]]:
    """``n_slots`` pairs within the ranges whose products sum to ``target``, or near it.

    >>> spelled(100, 3, (-8, 7), (-8, 7))
    [(-8, -8), (5, 7), (1, 1)]
    """
    pairs: list[tuple[int, int]] = []
    for _ in range(n_slots):
        pair = _nearest_pair(target, x_range, w_range)
        pairs.append(pair)
        target -= pair[0] * pair[1]
    return pairs


def _nearest_pair(
    target: int, x_range: tuple[int, int], w_range: tuple[int, int]
) -> tuple[int, int]:
    """Of pairs with one factor at an end or of magnitude 1, that with the nearest product."""
    pairs = [(_factor(target, b, x_range), b) for b in _levers(w_range)]
    pairs += [(a, _factor(target, a, w_range)) for a in _levers(x_range)]
    return min(pairs, key=lambda pair: abs(target - pair[0] * pair[1]), default=(0, 0))


def _levers(limits: tuple[int, int]) -> Sequence[int]:
    low, high = limits
    return [value for value in (1, -1, low, high) if low <= value <= high and value]


def _factor(target: int, lever: int, limits: tuple[int, int]) -> int:
    """What to multiply ``lever`` by, to come near ``target`` without passing it."""
    quotient = abs(target) // abs(lever)
    return min(max(quotient if (target < 0) == (lever < 0) else -quotient, limits[0]), limits[1])
